//! Edits: what they write, against expected text and against the simplest model.

use proptest::prelude::*;
use tollgate_proxy::sip::msg::{Edits, Header, Msg, Span};

const BODY: &str = "v=0\r\n";

/// A message whose Via lines are given; the rest is small.
fn with_vias(vias: &str) -> Vec<u8> {
    format!("BYE sip:b@c.example SIP/2.0\r\n{vias}To: <sip:b@c.example>;tag=2\r\nMax-Forwards: 70\r\nContent-Length: 5\r\n\r\n{BODY}junk").into_bytes()
}

fn applied(edits: &Edits, msg: &Msg<'_>) -> String {
    let mut out = b"kept:".to_vec();
    edits.apply(msg, &mut out);
    String::from_utf8(out)
        .expect("ASCII")
        .strip_prefix("kept:")
        .expect("apply appends")
        .to_string()
}

/// Cuts the Via values of the given ordinals, in the given order, and gives back the Via lines that are left.
fn cut(vias: &str, ordinals: &[usize]) -> String {
    let bytes = with_vias(vias);
    let msg = Msg::parse(&bytes).expect("frames");
    let values: Vec<_> = msg.values(Header::Via).collect();
    let mut edits = Edits::new();
    for &i in ordinals {
        edits.remove_value(&msg, &values[i]);
    }
    let out = applied(&edits, &msg);
    let (before, rest) = out.split_once("SIP/2.0\r\n").expect("start line");
    let (left, after) = rest.split_once("To: ").expect("To");
    assert_eq!(before, "BYE sip:b@c.example ");
    assert_eq!(
        after,
        format!("<sip:b@c.example>;tag=2\r\nMax-Forwards: 70\r\nContent-Length: 5\r\n\r\n{BODY}")
    );
    left.to_string()
}

#[test]
fn a_value_goes_with_its_separator() {
    assert_eq!(cut("Via: a\r\n", &[0]), "");
    assert_eq!(cut("Via: a\r\nVia: b\r\n", &[0]), "Via: b\r\n");
    assert_eq!(cut("Via: a\r\nVia: b\r\n", &[1]), "Via: a\r\n");
    assert_eq!(cut("Via: a , b,c\r\n", &[0]), "Via: b,c\r\n");
    assert_eq!(cut("Via: a , b,c\r\n", &[1]), "Via: a , c\r\n");
    assert_eq!(cut("Via: a , b, c \r\n", &[2]), "Via: a , b \r\n");
    assert_eq!(cut("v :a,\r\n b\r\nVia: c\r\n", &[0]), "v :b\r\nVia: c\r\n");
}

#[test]
fn several_values_of_one_line_go_in_any_order() {
    for order in [[0, 1], [1, 0]] {
        assert_eq!(cut("Via: a, b, c\r\n", &order), "Via: c\r\n");
    }
    for order in [[1, 2], [2, 1]] {
        assert_eq!(cut("Via: a, b, c\r\n", &order), "Via: a\r\n");
    }
    for order in [[0, 2], [2, 0]] {
        assert_eq!(cut("Via: a, b, c\r\n", &order), "Via: b\r\n");
    }
    assert_eq!(cut("Via: a, b, c\r\nVia: d\r\n", &[2, 0, 1]), "Via: d\r\n");
    assert_eq!(
        cut("Via: a, b\r\nVia: c, d\r\n", &[0, 3]),
        "Via: b\r\nVia: c\r\n"
    );
    assert_eq!(cut("Via: a, b, c\r\n", &[1, 1]), "Via: a, c\r\n");
}

#[test]
fn a_hop_is_written_in_one_pass() {
    let bytes = b"INVITE sip:+15550111@edge.example SIP/2.0\r\nMax-Forwards: 70\r\n\
        Via: SIP/2.0/UDP gw.example;rport;branch=z9hG4bK1\r\nRoute: <sip:edge.example;lr>, <sip:next.example;lr>\r\n\
        Contact: <sip:a@gw.example>\r\nContent-Length: 5\r\n\r\nv=0\r\nbeyond";
    let msg = Msg::parse(bytes).expect("frames");
    let via = msg.top_via().expect("Via");
    let mut edits = Edits::new();
    // In an order that is not the message's.
    let route = msg.first_value(Header::Route).expect("Route");
    edits.remove_value(&msg, &route);
    edits.replace(via.rport_span.expect("rport"), b"rport=40000");
    edits.insert(via.span.end, b";received=203.0.113.9");
    edits.push_line_before(&msg, Header::Via, |out| {
        out.extend_from_slice(b"Via: SIP/2.0/UDP edge.example;branch=z9hG4bK2")
    });
    edits.push_line_before(&msg, Header::RecordRoute, |out| {
        out.extend_from_slice(b"Record-Route: <sip:edge.example;lr>")
    });
    edits.replace(
        msg.header_span(Header::MaxForwards).expect("Max-Forwards"),
        b"69",
    );
    edits.replace(
        msg.uri_span().expect("request"),
        b"sip:+15550111@203.0.113.77",
    );
    edits.push_line_last(&msg, |out| out.extend_from_slice(b"X-Last: 1"));
    assert_eq!(
        applied(&edits, &msg),
        "INVITE sip:+15550111@203.0.113.77 SIP/2.0\r\nRecord-Route: <sip:edge.example;lr>\r\nMax-Forwards: 69\r\n\
         Via: SIP/2.0/UDP edge.example;branch=z9hG4bK2\r\n\
         Via: SIP/2.0/UDP gw.example;rport=40000;branch=z9hG4bK1;received=203.0.113.9\r\nRoute: <sip:next.example;lr>\r\n\
         Contact: <sip:a@gw.example>\r\nContent-Length: 5\r\nX-Last: 1\r\n\r\nv=0\r\n"
    );
    edits.clear();
    assert_eq!(
        applied(&edits, &msg).as_bytes(),
        msg.bytes(),
        "cleared edits are gone"
    );
}

#[test]
fn edits_at_one_place_keep_the_order_of_the_calls() {
    let bytes = with_vias("Via: a\r\n");
    let msg = Msg::parse(&bytes).expect("frames");
    let mut edits = Edits::new();
    edits.push_line_before(&msg, Header::Via, |out| out.extend_from_slice(b"A: 1"));
    edits.push_line_before(&msg, Header::Via, |out| out.extend_from_slice(b"B: 2"));
    let value = msg.first_value(Header::Via).expect("Via");
    edits.remove_value(&msg, &value);
    edits.push_line_before(&msg, Header::Via, |out| out.extend_from_slice(b"C: 3"));
    assert!(
        applied(&edits, &msg)
            .starts_with("BYE sip:b@c.example SIP/2.0\r\nA: 1\r\nB: 2\r\nC: 3\r\nTo: ")
    );
}

#[test]
fn whole_headers_go() {
    let bytes = with_vias("Via: a\r\nX: y\r\nv: b, c\r\n");
    let msg = Msg::parse(&bytes).expect("frames");
    let mut edits = Edits::new();
    edits.remove_header(&msg, Header::Via);
    edits.remove_header(&msg, Header::Route);
    edits.remove_header(&msg, Header::Other);
    assert!(applied(&edits, &msg).starts_with("BYE sip:b@c.example SIP/2.0\r\nX: y\r\nTo: "));
}

#[test]
fn parts_know_where_they_stand() {
    let bytes = with_vias("Via: a\r\n");
    let msg = Msg::parse(&bytes).expect("frames");
    let tag = msg.to().expect("To").tag().expect("tag");
    let mut edits = Edits::new();
    edits.replace(msg.span_of(tag).expect("of this message"), b"other");
    assert!(applied(&edits, &msg).contains("To: <sip:b@c.example>;tag=other\r\n"));
    assert_eq!(msg.span_of(&[1, 2, 3]), None);
    assert_eq!(msg.at(msg.body_span()), BODY.as_bytes());
}

/// Positions from another message must not bring the process down.
#[test]
fn positions_outside_the_message_are_its_ends() {
    let bytes = with_vias("Via: a\r\n");
    let msg = Msg::parse(&bytes).expect("frames");
    let mut edits = Edits::new();
    edits.insert(u32::MAX, b"end");
    edits.remove(Span {
        start: 90_000,
        end: u32::MAX,
    });
    edits.replace(Span { start: 9, end: 3 }, b"");
    assert_eq!(
        applied(&edits, &msg),
        format!("{}end", String::from_utf8_lossy(msg.bytes()))
    );
}

proptest! {
    /// Edits that do not overlap, made in any order, write what splicing them one by one from the back writes.
    #[test]
    fn edits_equal_splices(
        cuts in proptest::collection::btree_set(0usize..130, 2..12),
        texts in proptest::collection::vec("[a-z]{0,6}", 6),
        order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let bytes = with_vias("Via: a\r\nVia: b, c, d\r\n");
        let msg = Msg::parse(&bytes).expect("frames");
        let cuts: Vec<usize> = cuts.into_iter().filter(|&c| c <= msg.bytes().len()).collect();
        let spans: Vec<(usize, usize)> = cuts.chunks_exact(2).map(|c| (c[0], c[1])).collect();
        let mut model = msg.bytes().to_vec();
        for (&(start, end), text) in spans.iter().zip(&texts).rev() {
            model.splice(start..end, text.bytes());
        }
        let mut edits = Edits::new();
        for &i in order.iter().filter(|&&i| i < spans.len()) {
            let (start, end) = spans[i];
            edits.replace(Span { start: start as u32, end: end as u32 }, texts[i].as_bytes());
        }
        let mut out = Vec::new();
        edits.apply(&msg, &mut out);
        prop_assert_eq!(out, model);
    }
}
