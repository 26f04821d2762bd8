//! What one message costs on the wire path: scanning it, reading what a proxy reads, and a whole hop (scan, read, edit,
//! write out) of an INVITE with SDP, its 200 and a BYE. Goals on the reference machine: 0.4 us to scan the INVITE of
//! 1059 octets, 1 us for its hop.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_proxy::sip::msg::{Edits, Header, Msg, sip_json};

const SDP: &str = "v=0\r\no=gw 53655765 2353687637 IN IP4 203.0.113.40\r\ns=-\r\nc=IN IP4 203.0.113.40\r\nt=0 0\r\n\
    m=audio 30200 RTP/AVP 8 0 18 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:18 G729/8000\r\n\
    a=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

/// 15 headers and SDP, padded by its User-Agent to 1059 octets.
fn invite() -> Vec<u8> {
    let text = |pad: usize| {
        format!(
            "INVITE sip:+15550111222@sbc1.carrier.example:5060;user=phone;transport=udp SIP/2.0\r\n\
             Via: SIP/2.0/UDP 203.0.113.40:5060;rport;branch=z9hG4bKPj4f2c9a1e7b\r\n\
             Max-Forwards: 70\r\n\
             From: \"Alice Example\" <sip:+15550100333@customer.example;user=phone>;tag=a6c85cf1e2\r\n\
             To: <sip:+15550111222@carrier.example;user=phone>\r\n\
             Contact: <sip:+15550100333@203.0.113.40:5060;transport=udp>\r\n\
             Call-ID: 9f2c1b7e-4a3d@203.0.113.40\r\n\
             CSeq: 20155 INVITE\r\n\
             P-Asserted-Identity: <sip:+15550100333@customer.example>\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE\r\n\
             Supported: 100rel, timer\r\n\
             Session-Expires: 1800\r\n\
             Min-SE: 90\r\n\
             User-Agent: gw{}\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{SDP}",
            "x".repeat(pad),
            SDP.len()
        )
        .into_bytes()
    };
    let bare = text(0).len();
    text(1059usize.saturating_sub(bare))
}

fn answer() -> Vec<u8> {
    format!(
        "SIP/2.0 200 OK\r\n\
         Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKtg00000001\r\n\
         Via: SIP/2.0/UDP 203.0.113.40:5060;rport=5060;received=203.0.113.40;branch=z9hG4bKPj4f2c9a1e7b\r\n\
         Record-Route: <sip:198.51.100.1;lr;t=1>\r\n\
         From: \"Alice Example\" <sip:+15550100333@customer.example;user=phone>;tag=a6c85cf1e2\r\n\
         To: <sip:+15550111222@carrier.example;user=phone>;tag=77f1\r\n\
         Contact: <sip:+15550111222@198.51.100.77:5080>\r\n\
         Call-ID: 9f2c1b7e-4a3d@203.0.113.40\r\nCSeq: 20155 INVITE\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into_bytes()
}

fn bye() -> Vec<u8> {
    b"BYE sip:+15550111222@198.51.100.77:5080;transport=udp SIP/2.0\r\n\
      Via: SIP/2.0/UDP 203.0.113.40:5060;rport;branch=z9hG4bKPjbye01\r\n\
      Route: <sip:198.51.100.1;lr;t=1>\r\n\
      Max-Forwards: 70\r\n\
      From: \"Alice Example\" <sip:+15550100333@customer.example;user=phone>;tag=a6c85cf1e2\r\n\
      To: <sip:+15550111222@carrier.example;user=phone>;tag=77f1\r\n\
      Call-ID: 9f2c1b7e-4a3d@203.0.113.40\r\nCSeq: 20156 BYE\r\nContent-Length: 0\r\n\r\n"
        .to_vec()
}

/// Everything a proxy needs to route.
fn view(msg: &Msg<'_>) -> usize {
    let via = msg.top_via().expect("valid");
    let tags = (
        msg.from().expect("valid").tag(),
        msg.to().expect("valid").tag(),
    );
    let route = msg.first_value(Header::Route);
    let contact = msg.contact().expect("valid");
    let cseq = msg.cseq().expect("valid");
    let (call_id, hops) = (
        msg.call_id().expect("valid"),
        msg.max_forwards().expect("valid"),
    );
    black_box((
        via.branch,
        tags,
        route,
        contact,
        call_id,
        hops,
        msg.method(),
    ));
    cseq.seq as usize
}

fn request_hop(bytes: &[u8], edits: &mut Edits, out: &mut Vec<u8>) {
    let msg = Msg::parse(bytes).expect("valid");
    black_box(view(&msg));
    edits.clear();
    out.clear();
    edits.push_line_before(&msg, Header::Via, |out| {
        out.extend_from_slice(b"Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKtg00000001");
    });
    match msg.first_value(Header::Route) {
        Some(route) => edits.remove_value(&msg, &route),
        None => edits.push_line_before(&msg, Header::RecordRoute, |out| {
            out.extend_from_slice(b"Record-Route: <sip:198.51.100.1;lr;t=1>");
        }),
    }
    if let Some(span) = msg.header_span(Header::MaxForwards) {
        edits.replace(span, b"69");
    }
    edits.apply(&msg, out);
}

fn answer_hop(bytes: &[u8], edits: &mut Edits, out: &mut Vec<u8>) {
    let msg = Msg::parse(bytes).expect("valid");
    black_box(view(&msg));
    edits.clear();
    out.clear();
    let top = msg.first_value(Header::Via).expect("valid");
    edits.remove_value(&msg, &top);
    edits.apply(&msg, out);
}

/// Best of 9 batches, nanoseconds for one call: the figure to compare between machines that others share.
fn best(mut f: impl FnMut()) -> f64 {
    const BATCH: u32 = 20_000;
    let batch = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..BATCH {
            f();
        }
        start.elapsed()
    };
    let best: Duration = (0..9).map(|_| batch(&mut f)).min().unwrap_or_default();
    best.as_nanos() as f64 / f64::from(BATCH)
}

fn message(c: &mut Criterion) {
    let (invite, answer, bye) = (invite(), answer(), bye());
    assert_eq!(invite.len(), 1059);
    let (mut edits, mut out) = (Edits::new(), Vec::new());
    let scan = |bytes: &[u8]| drop(black_box(Msg::parse(black_box(bytes)).expect("valid")));

    println!(
        "nanoseconds, best of 9 batches      INVITE ({})  200 ({})  BYE ({})",
        invite.len(),
        answer.len(),
        bye.len()
    );
    println!(
        "scan                                {:8.0} {:13.0} {:9.0}",
        best(|| scan(&invite)),
        best(|| scan(&answer)),
        best(|| scan(&bye))
    );
    let checked = |bytes: &[u8]| {
        let msg = Msg::parse(black_box(bytes)).expect("valid");
        black_box(if msg.is_request() {
            msg.check_request()
        } else {
            msg.check_response()
        })
        .expect("valid");
    };
    println!(
        "scan and check                      {:8.0} {:13.0} {:9.0}",
        best(|| checked(&invite)),
        best(|| checked(&answer)),
        best(|| checked(&bye))
    );
    let viewed = |bytes: &[u8]| {
        black_box(view(&Msg::parse(black_box(bytes)).expect("valid")));
    };
    println!(
        "scan and read                       {:8.0} {:13.0} {:9.0}",
        best(|| viewed(&invite)),
        best(|| viewed(&answer)),
        best(|| viewed(&bye))
    );
    println!(
        "hop: scan, read, edit, write        {:8.0} {:13.0} {:9.0}",
        best(|| request_hop(black_box(&invite), &mut edits, &mut out)),
        best(|| answer_hop(black_box(&answer), &mut edits, &mut out)),
        best(|| request_hop(black_box(&bye), &mut edits, &mut out)),
    );

    let mut group = c.benchmark_group("message");
    group
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    group.bench_function("scan INVITE", |b| b.iter(|| scan(&invite)));
    group.bench_function("scan and check INVITE", |b| b.iter(|| checked(&invite)));
    group.bench_function("hop INVITE", |b| {
        b.iter(|| request_hop(black_box(&invite), &mut edits, &mut out))
    });
    group.bench_function("hop 200", |b| {
        b.iter(|| answer_hop(black_box(&answer), &mut edits, &mut out))
    });
    group.bench_function("hop BYE", |b| {
        b.iter(|| request_hop(black_box(&bye), &mut edits, &mut out))
    });
    group.bench_function("json INVITE", |b| {
        b.iter(|| sip_json(black_box(&invite)).expect("valid"))
    });
    group.finish();
}

criterion_group!(benches, message);
criterion_main!(benches);
