//! No bytes bring the message layer down, and what it accepts it can take apart and put together again.

use proptest::prelude::*;
use tollgate_proxy::sip::msg::{Edits, Header, Msg, Uri, parse_name_addr, parse_via, sip_json};

#[path = "torture/corpus.rs"]
mod corpus;

const LISTS: [Header; 8] = [
    Header::Via,
    Header::Route,
    Header::RecordRoute,
    Header::Contact,
    Header::Require,
    Header::Supported,
    Header::PAssertedIdentity,
    Header::Reason,
];

/// Calls everything there is on any bytes; what is accepted must hold together.
fn exercise(bytes: &[u8]) {
    let whole = sip_json(bytes).is_ok();
    if let Some(msg) = Msg::for_refusal(bytes) {
        read_all(&msg);
    }
    let _ = parse_name_addr(bytes).map(|a| a.params.iter().count());
    let _ = Uri::parse(bytes).map(|u| u.params.iter().count());
    let Ok(msg) = Msg::parse(bytes) else {
        return;
    };
    read_all(&msg);
    let mut out = Vec::new();
    let mut edits = Edits::new();
    edits.apply(&msg, &mut out);
    assert!(
        msg.bytes().ends_with(&out),
        "unedited messages pass bit-exact"
    );
    let again = Msg::parse(&out).expect("what was framed once frames again");
    assert_eq!(again.body(), msg.body());
    assert_eq!(again.headers().count(), msg.headers().count());
    if !whole {
        return;
    }
    // A proxy pops its Via: of a checked message that leaves the others, and nothing else changes.
    let top = msg.first_value(Header::Via).expect("checked");
    edits.remove_value(&msg, &top);
    edits.push_line_before(&msg, Header::Via, |out| {
        out.extend_from_slice(b"Via: SIP/2.0/UDP us.example;branch=z9hG4bKus")
    });
    out.clear();
    edits.apply(&msg, &mut out);
    let popped = Msg::parse(&out).expect("popped message frames");
    let left: Vec<&[u8]> = popped
        .values(Header::Via)
        .skip(1)
        .map(|v| v.bytes)
        .collect();
    let were: Vec<&[u8]> = msg.values(Header::Via).skip(1).map(|v| v.bytes).collect();
    assert_eq!(left, were);
    assert_eq!(
        popped.top_via().expect("ours").branch,
        Some(&b"z9hG4bKus"[..])
    );
    assert_eq!(
        (popped.body(), popped.call_id(), popped.cseq()),
        (msg.body(), msg.call_id(), msg.cseq())
    );
}

fn read_all(msg: &Msg<'_>) {
    let _ = (
        msg.check_request(),
        msg.check_response(),
        msg.contact(),
        msg.max_forwards(),
        msg.cseq(),
        msg.call_id(),
    );
    let _ = (
        msg.from().map(|a| a.tag()),
        msg.to().map(|a| a.tag()),
        msg.top_via(),
    );
    for (name, value) in msg.headers() {
        assert!(!name.is_empty());
        assert!(msg.span_of(value).is_some());
    }
    for header in LISTS {
        for value in msg.values(header) {
            assert_eq!(msg.at(value.span), value.bytes);
            let _ = parse_via(value).map(|v| v.params.iter().count());
            let _ = parse_name_addr(value.bytes)
                .map(|a| Uri::parse(a.uri).map(|u| u.params.has(b"lr")));
        }
    }
}

#[test]
fn the_corpus_itself_holds() {
    for (_, bytes) in corpus::all() {
        exercise(&bytes);
        // Every prefix too: datagrams arrive cut.
        for end in 0..bytes.len().min(1_500) {
            exercise(&bytes[..end]);
        }
    }
}

#[test]
fn mutations_of_the_corpus_do_no_harm() {
    let seeds = corpus::all();
    let mut random = corpus::Random(0x5eed_0001);
    let mut accepted = 0;
    for _ in 0..40_000 {
        let bytes = corpus::mutated(&seeds, &mut random);
        exercise(&bytes);
        accepted += usize::from(Msg::parse(&bytes).is_ok());
    }
    assert!(
        accepted > 4_000,
        "mutations too wild to test accepted messages: {accepted}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        exercise(&bytes);
    }

    /// Bytes that look like header lines go deeper.
    #[test]
    fn any_header_lines_do_no_harm(lines in "((Via|v|From|To|Contact|Route|CSeq|l|X-a)[ :;,<>\"=\\\\/@a-z0-9\\[\\]\t]{0,40}\r\n[ ]?){0,12}") {
        exercise(format!("INVITE sip:a@b.example SIP/2.0\r\n{lines}\r\n").as_bytes());
        exercise(format!("SIP/2.0 200 OK\r\n{lines}\r\n").as_bytes());
    }
}

/// Limits hold at their edge: 65,535 octets and 128 lines pass, one more of either is refused with 513.
#[test]
fn limits_are_exact() {
    let head =
        "OPTIONS sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\nX: ";
    let filled =
        |len: usize| format!("{head}{}\r\n\r\n", "x".repeat(len - head.len() - 4)).into_bytes();
    assert_eq!(
        Msg::parse(&filled(65_535)).map(|m| m.bytes().len()).ok(),
        Some(65_535)
    );
    assert_eq!(
        Msg::parse(&filled(65_536)).map(|_| ()).unwrap_err().status,
        Some(513)
    );
    let lines = |n: usize| {
        format!(
            "OPTIONS sip:a@b.example SIP/2.0\r\n{}\r\n",
            "X: y\r\n".repeat(n)
        )
        .into_bytes()
    };
    assert_eq!(
        Msg::parse(&lines(128)).map(|m| m.headers().count()).ok(),
        Some(128)
    );
    assert_eq!(
        Msg::parse(&lines(129)).map(|_| ()).unwrap_err().status,
        Some(513)
    );
}
