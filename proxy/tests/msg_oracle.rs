//! Against another implementation: what both accept they must read alike. The other one is `sipx-sip`, written by
//! other people; a difference is a finding in one of the two.

use std::collections::BTreeMap;

use bytes::Bytes;
use sipx_sip::headers::{CallId, ContactValue, From, MaxForwards, Route, To};
use sipx_sip::{
    CSeq, HeaderError, Headers, Limits, Message, TypedHeader, Via, parse_datagram, validate,
};
use tollgate_proxy::sip::msg::{Header, Kind, Msg};

#[path = "torture/corpus.rs"]
mod corpus;

type Fields = BTreeMap<&'static str, String>;

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Folds and runs of blanks mean one space to both; how they are kept differs.
fn spaced(bytes: &[u8]) -> String {
    let words: Vec<&[u8]> = bytes
        .split(|c| c.is_ascii_whitespace())
        .filter(|w| !w.is_empty())
        .collect();
    shown(&words.join(&b' '))
}

/// What our layer reads; none when it refuses.
fn ours(bytes: &[u8]) -> Option<Fields> {
    let msg = Msg::parse(bytes).ok()?;
    if msg.is_request() {
        msg.check_request()
    } else {
        msg.check_response()
    }
    .ok()?;
    let (via, cseq) = (msg.top_via().ok()?, msg.cseq().ok()?);
    let start = match msg.kind() {
        Kind::Request { method, uri } => format!("{} {}", shown(method.as_bytes()), shown(uri)),
        Kind::Response { status, reason } => format!("{status} {}", shown(reason)),
    };
    Some(BTreeMap::from([
        ("start", start),
        ("lines", msg.headers().count().to_string()),
        ("vias", msg.values(Header::Via).count().to_string()),
        ("transport", shown(via.transport)),
        ("port", format!("{:?}", via.port)),
        ("branch", format!("{:?}", via.branch.map(shown))),
        ("received", format!("{:?}", via.received.map(shown))),
        ("rport", format!("{:?}", via.rport)),
        (
            "from tag",
            format!("{:?}", msg.from().ok()?.tag().map(shown)),
        ),
        ("to tag", format!("{:?}", msg.to().ok()?.tag().map(shown))),
        ("call-id", spaced(msg.call_id().ok()?)),
        (
            "cseq",
            format!("{} {}", cseq.seq, shown(cseq.method.as_bytes())),
        ),
        ("contacts", msg.values(Header::Contact).count().to_string()),
        ("routes", msg.values(Header::Route).count().to_string()),
        ("max-forwards", format!("{:?}", msg.max_forwards().ok()?)),
        ("body", shown(msg.body())),
    ]))
}

/// How many values a list header has by the oracle's reading; none when it refuses one. It counts an empty line as a
/// fault where we see a list of nothing, so such lines are left out on both sides.
fn listed<H: TypedHeader>(headers: &Headers) -> Option<String> {
    let mut n = 0;
    for header in headers.get_all(&H::NAME) {
        let value = header.value();
        if !value.trim_ascii().is_empty() {
            n += H::decode_list(&value).ok()?.len();
        }
    }
    Some(n.to_string())
}

/// What the oracle reads; none when it refuses.
fn theirs(bytes: &[u8]) -> Option<Fields> {
    let message = parse_datagram(Bytes::copy_from_slice(bytes), &Limits::datagram()).ok()?;
    // Elements of RFC 2543 leave out Max-Forwards, which both let pass.
    if validate(&message)
        .iter()
        .any(|finding| !finding.is_repairable())
    {
        return None;
    }
    let headers = message.headers();
    let needed = |found: Option<Result<String, HeaderError>>| found.and_then(Result::ok);
    let via = headers.typed::<Via>()?.ok()?;
    let cseq = headers.typed::<CSeq>()?.ok()?;
    let start = match &message {
        Message::Request(r) => format!(
            "{} {}",
            shown(r.method.as_bytes()),
            shown(&r.uri.to_bytes())
        ),
        Message::Response(r) => format!("{} {}", r.status.code(), shown(&r.reason)),
    };
    let rport = via
        .rport()
        .map(|port| port.and_then(|p| std::str::from_utf8(p).ok()?.parse::<u16>().ok()));
    Some(BTreeMap::from([
        ("start", start),
        ("lines", headers.len().to_string()),
        ("vias", listed::<Via>(headers)?),
        ("transport", shown(&via.transport)),
        ("port", format!("{:?}", via.port)),
        ("branch", format!("{:?}", via.branch().map(shown))),
        ("received", format!("{:?}", via.received().map(shown))),
        ("rport", format!("{rport:?}")),
        (
            "from tag",
            format!("{:?}", headers.typed::<From>()?.ok()?.tag().map(shown)),
        ),
        (
            "to tag",
            format!("{:?}", headers.typed::<To>()?.ok()?.tag().map(shown)),
        ),
        (
            "call-id",
            needed(
                headers
                    .typed::<CallId>()
                    .map(|id| id.map(|id| spaced(&id.0))),
            )?,
        ),
        (
            "cseq",
            format!("{} {}", cseq.sequence, shown(cseq.method.as_bytes())),
        ),
        ("contacts", listed::<ContactValue>(headers)?),
        ("routes", listed::<Route>(headers)?),
        (
            "max-forwards",
            format!(
                "{:?}",
                headers
                    .typed::<MaxForwards>()
                    .transpose()
                    .ok()?
                    .map(|m| u32::from(m.0))
            ),
        ),
        ("body", shown(message.body())),
    ]))
}

fn differences(bytes: &[u8]) -> Option<Vec<String>> {
    let (ours, theirs) = (ours(bytes)?, theirs(bytes)?);
    Some(
        ours.iter()
            .filter(|(k, v)| theirs.get(*k) != Some(v))
            .map(|(k, v)| format!("{k}: {v} / {}", theirs[k]))
            .collect(),
    )
}

#[test]
fn both_accept_and_read_the_valid_corpus_alike() {
    for (name, bytes) in corpus::all()
        .iter()
        .filter(|(name, _)| name.starts_with("valid/"))
    {
        // The oracle refuses blanks behind the colon of sent-by, which RFC 3261 §25.1 allows (`COLON` is `SWS ":" SWS`).
        let mut bytes = bytes.clone();
        if let Some(at) = bytes.windows(9).position(|w| w == b"  :  5062") {
            assert_eq!(
                (ours(&bytes).is_some(), theirs(&bytes).is_some()),
                (true, false),
                "{name}"
            );
            bytes.splice(at..at + 9, b":5062".iter().copied());
        }
        assert_eq!(differences(&bytes), Some(Vec::new()), "{name}");
    }
}

#[test]
fn mutations_that_both_accept_read_alike() {
    let seeds: Vec<_> = corpus::all()
        .into_iter()
        .filter(|(name, _)| name.starts_with("valid/"))
        .collect();
    let mut random = corpus::Random(0x5eed_0002);
    let (mut compared, mut ours_only, mut theirs_only) = (0, 0, 0);
    for round in 0..60_000 {
        let bytes = corpus::mutated(&seeds, &mut random);
        match differences(&bytes) {
            Some(found) => {
                assert!(
                    found.is_empty(),
                    "round {round}: {found:#?}\n{}",
                    bytes.escape_ascii()
                );
                compared += 1;
            }
            None => {
                ours_only += usize::from(ours(&bytes).is_some());
                theirs_only += usize::from(theirs(&bytes).is_some());
            }
        }
    }
    println!(
        "{compared} read alike; accepted by us alone {ours_only}, by the oracle alone {theirs_only}"
    );
    assert!(
        compared > 5_000,
        "only {compared} mutations were accepted by both"
    );
}
