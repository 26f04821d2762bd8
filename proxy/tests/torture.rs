//! The conditions of RFC 4475 and RFC 5118 in messages of our own (`torture/{valid,invalid}/*.dat`, bit-exact).
//! Each case names the clause whose condition it holds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tollgate_proxy::sip::msg::{
    Edits, Header, Kind, Msg, ParseFault, ParseOrHeaderError, sip_json,
};

/// What a valid message must read as.
struct Valid {
    file: &'static str,
    clause: &'static str,
    vias: usize,
    branch: Option<&'static str>,
    from_tag: Option<&'static str>,
    to_tag: Option<&'static str>,
    cseq: u32,
    contacts: usize,
    routes: usize,
    max_forwards: Option<u32>,
    body: usize,
}

const LONG: &str = "stretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedx\
                    stretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedxstretchedx\
                    stretchedxstretchedxstretchedxstretched";

/// What a probe of our monitor looks like where a case does not say otherwise.
const PROBE: Valid = Valid {
    file: "",
    clause: "",
    vias: 1,
    branch: Some("z9hG4bKone"),
    from_tag: Some("m1"),
    to_tag: None,
    cseq: 8,
    contacts: 0,
    routes: 0,
    max_forwards: Some(70),
    body: 0,
};

#[rustfmt::skip]
const VALID: [Valid; 38] = [
    Valid { file: "folded_and_spaced", clause: "4475 §3.1.1.1", vias: 3, branch: Some("aa17"), from_tag: Some("n1ght"), to_tag: Some("q7e-11"), cseq: 312, contacts: 1, routes: 1, max_forwards: Some(41), body: 142 },
    Valid { file: "wide_characters", clause: "4475 §3.1.1.2", branch: Some("z9hG4bK~'`+_*%!.-z"), from_tag: Some("t'+`*%!-.g"), cseq: 2_000_111_222, max_forwards: Some(255), ..PROBE },
    Valid { file: "escapes_in_uri", clause: "4475 §3.1.1.3", branch: Some("z9hG4bKesc"), from_tag: Some("esc1"), cseq: 41, contacts: 1, body: 142, ..PROBE },
    Valid { file: "escaped_nul", clause: "4475 §3.1.1.4", branch: Some("z9hG4bKnul"), from_tag: Some("nul"), cseq: 5, contacts: 2, ..PROBE },
    Valid { file: "percent_is_no_escape", clause: "4475 §3.1.1.5", branch: Some("z9hG4bK%41%zz"), from_tag: Some("pct"), cseq: 77, contacts: 2, ..PROBE },
    Valid { file: "no_blank_before_bracket", clause: "4475 §3.1.1.6", branch: Some("z9hG4bKnb"), from_tag: Some("nb"), cseq: 3, ..PROBE },
    Valid { file: "long_values", clause: "4475 §3.1.1.7", vias: 34, branch: None, from_tag: Some(LONG), cseq: 2_000_000, contacts: 1, body: 142, ..PROBE },
    Valid { file: "octets_after_message", clause: "4475 §3.1.1.8", branch: Some("z9hG4bKoct"), from_tag: Some("oct"), cseq: 19, contacts: 1, max_forwards: Some(9), ..PROBE },
    Valid { file: "semicolon_in_user", clause: "4475 §3.1.1.9", branch: Some("z9hG4bKsemi"), from_tag: Some("semi"), cseq: 4, max_forwards: Some(3), ..PROBE },
    Valid { file: "unknown_transports", clause: "4475 §3.1.1.10", vias: 5, branch: Some("z9hG4bKa"), from_tag: Some("tr"), cseq: 61, ..PROBE },
    Valid { file: "binary_multipart", clause: "4475 §3.1.1.11", branch: Some("z9hG4bK-bin-1"), from_tag: Some("bin"), cseq: 1, contacts: 1, routes: 1, body: 418, ..PROBE },
    Valid { file: "utf8_reason", clause: "4475 §3.1.1.12", branch: Some("z9hG4bKreason"), from_tag: Some("r1"), to_tag: Some("r2"), cseq: 35, contacts: 1, max_forwards: None, body: 142, ..PROBE },
    Valid { file: "empty_reason", clause: "4475 §3.1.1.13", branch: Some("z9hG4bKempty"), from_tag: Some("e1"), cseq: 36, max_forwards: None, ..PROBE },
    Valid { file: "cookie_only_branch", clause: "4475 §3.2.1", branch: Some("z9hG4bK"), ..PROBE },
    Valid { file: "unknown_scheme", clause: "4475 §3.3.2", ..PROBE },
    Valid { file: "atypical_scheme", clause: "4475 §3.3.3", ..PROBE },
    Valid { file: "unknown_schemes_in_headers", clause: "4475 §3.3.4", from_tag: Some("us"), contacts: 1, ..PROBE },
    Valid { file: "requires_unknown", clause: "4475 §3.3.5", ..PROBE },
    Valid { file: "unknown_content_type", clause: "4475 §3.3.6", contacts: 1, body: 26, ..PROBE },
    Valid { file: "unknown_auth_scheme", clause: "4475 §3.3.7", ..PROBE },
    Valid { file: "broadcast_via", clause: "4475 §3.3.10", vias: 2, branch: Some("z9hG4bKbc1"), from_tag: Some("b1"), to_tag: Some("b2"), cseq: 35, contacts: 1, max_forwards: None, body: 142, ..PROBE },
    Valid { file: "max_forwards_zero", clause: "4475 §3.3.11", max_forwards: Some(0), ..PROBE },
    Valid { file: "contact_param_outside", clause: "4475 §3.3.12", contacts: 1, ..PROBE },
    Valid { file: "contact_param_inside", clause: "4475 §3.3.13", contacts: 1, ..PROBE },
    Valid { file: "contact_with_uri_header", clause: "4475 §3.3.14", contacts: 1, ..PROBE },
    Valid { file: "unacceptable_accept", clause: "4475 §3.3.15", contacts: 1, body: 142, ..PROBE },
    Valid { file: "rfc2543_invite", clause: "4475 §3.4.1", branch: None, from_tag: None, cseq: 56, max_forwards: None, body: 142, ..PROBE },
    Valid { file: "v6_request_uri", clause: "5118 §4.1", branch: Some("z9hG4bKv6a"), contacts: 1, ..PROBE },
    Valid { file: "v6_port_inside_brackets", clause: "5118 §4.3", branch: Some("z9hG4bKv6b"), contacts: 1, ..PROBE },
    Valid { file: "v6_port_outside_brackets", clause: "5118 §4.4", branch: Some("z9hG4bKv6c"), contacts: 1, ..PROBE },
    Valid { file: "v6_received_plain", clause: "5118 §4.5", branch: Some("z9hG4bKv6d"), ..PROBE },
    Valid { file: "v6_received_bracketed", clause: "5118 §4.5", branch: Some("z9hG4bKv6e"), to_tag: Some("v6"), ..PROBE },
    Valid { file: "v6_in_sdp", clause: "5118 §4.6", branch: Some("z9hG4bKv6f"), contacts: 1, body: 146, ..PROBE },
    Valid { file: "v6_and_v4_vias", clause: "5118 §4.7", vias: 3, branch: Some("z9hG4bKm1"), to_tag: Some("mix"), ..PROBE },
    Valid { file: "v6_and_v4_sdp", clause: "5118 §4.8", contacts: 1, body: 190, ..PROBE },
    Valid { file: "v6_mapped_v4", clause: "5118 §4.9", vias: 2, branch: Some("z9hG4bKq1"), contacts: 1, body: 154, ..PROBE },
    Valid { file: "v6_two_colons_before_v4", clause: "5118 §4.10", ..PROBE },
    Valid { file: "v6_three_colons_before_v4", clause: "5118 §4.10", ..PROBE },
];

/// How a message must be refused: `status` none means it is dropped.
struct Invalid {
    file: &'static str,
    clause: &'static str,
    status: Option<u16>,
    /// The text at the offset of the error; empty means the end of the bytes.
    at: &'static str,
}

const fn bad(file: &'static str, clause: &'static str, status: u16, at: &'static str) -> Invalid {
    Invalid {
        file,
        clause,
        status: Some(status),
        at,
    }
}

const fn dropped(file: &'static str, clause: &'static str, at: &'static str) -> Invalid {
    Invalid {
        file,
        clause,
        status: None,
        at,
    }
}

#[rustfmt::skip]
const INVALID: [Invalid; 48] = [
    bad("stray_separators", "4475 §3.1.2.1", 400, ",;,;;,\r\nContact"),
    bad("stray_separators_in_contact", "4475 §3.1.2.1", 400, ";;\r\n"),
    bad("length_beyond_end", "4475 §3.1.2.2", 400, "8191\r\n"),
    bad("length_negative", "4475 §3.1.2.3", 400, "-12\r\n"),
    bad("cseq_too_large_request", "4475 §3.1.2.4", 400, "18446744073709551616 REGISTER"),
    dropped("cseq_too_large_response", "4475 §3.1.2.5", "9000000000000000000000 OPTIONS"),
    bad("quote_unclosed", "4475 §3.1.2.6", 400, "\"Night desk <sip:"),
    bad("brackets_round_request_uri", "4475 §3.1.2.7", 400, "<sip:probe@carrier.example> SIP/2.0"),
    bad("blank_in_request_uri", "4475 §3.1.2.8", 400, " lr SIP/2.0"),
    bad("blanks_in_request_line", "4475 §3.1.2.9", 400, " sip:probe@carrier.example  SIP/2.0"),
    bad("blanks_after_request_line", "4475 §3.1.2.10", 400, "   \r\n"),
    bad("headers_in_request_uri", "4475 §3.1.2.11", 400, "?Route="),
    bad("contact_header_without_brackets", "4475 §3.1.2.13", 400, "?Route="),
    bad("blanks_in_brackets", "4475 §3.1.2.14", 400, " sip:night@"),
    bad("comma_in_display_name", "4475 §3.1.2.15", 400, ", Alice <sip:"),
    bad("version_unknown", "4475 §3.1.2.16", 505, "SIP/9.1\r\n"),
    bad("cseq_method_differs", "4475 §3.1.2.17", 400, "8 INVITE\r\n"),
    bad("cseq_method_differs_unknown_method", "4475 §3.1.2.18", 501, "8 INVITE\r\n"),
    dropped("status_overflow", "4475 §3.1.2.19", "4294967496 wraps"),
    dropped("status_four_digits", "4475 §3.1.2.19", "2000 OK"),
    dropped("status_700", "4475 §3.1.2.19", "700 beyond"),
    bad("headers_missing", "4475 §3.3.1", 400, "\r\nv=0"),
    bad("single_headers_repeated", "4475 §3.3.8", 400, "Call-ID: two@"),
    bad("length_repeated", "4475 §3.3.9", 400, "4\r\n"),
    bad("length_repeated_alike", "4475 §3.3.9", 400, "12\r\n"),
    bad("v6_without_brackets", "5118 §4.2", 400, "db8:40::10 SIP/2.0"),
    bad("length_in_hex", "3261 §20.14", 400, "0xC\r\n"),
    bad("length_empty", "3261 §20.14", 400, "\r\n\r\ntwelve octet"),
    bad("length_astronomic", "3261 §20.14", 400, "340282366920938463463374607431768211456\r\n"),
    bad("cseq_above_31_bits", "3261 §8.1.1.5", 400, "2147483648 OPTIONS"),
    bad("max_forwards_too_large", "3261 §20.22", 400, "256\r\n"),
    dropped("response_version_unknown", "3261 §7.2", "SIP/3.0 200 OK"),
    bad("method_not_a_token", "3261 §25.1", 400, "OPT(IONS"),
    bad("header_without_colon", "3261 §7.3.1", 400, "Foobar roobar"),
    bad("header_name_with_blank", "3261 §7.3.1", 400, "Foo bar: baz"),
    bad("header_name_empty", "3261 §7.3.1", 400, ": value"),
    bad("fold_after_start_line", "3261 §7.3.1", 400, " folded onto nothing"),
    bad("two_tags", "3261 §7.3.1", 400, "<sip:monitor@noc.example>;tag=a;tag=b"),
    bad("port_too_large", "3261 §25.1", 400, "65536 SIP/2.0"),
    bad("via_port_too_large", "3261 §25.1", 400, "70000;branch"),
    bad("via_two_branches", "3261 §7.3.1", 400, "branch=z9hG4bKq"),
    bad("no_empty_line", "3261 §7", 400, ""),
    dropped("bare_lf", "3261 §7", "\nTo: "),
    bad("bare_lf_in_value", "3261 §7", 400, "\nProxy-Require: two"),
    bad("bare_cr_in_value", "3261 §7", 400, "\rProxy-Require: two"),
    dropped("http", "3261 §7.1", "GET / HTTP/1.1"),
    bad("too_many_lines", "limits", 513, "X-Pad: 1\r\nX-Pad: 1\r\nX-Pad: 1\r\nX-Pad: 1\r\nX-Pad: 1\r\nX-Pad: 1\r\nX-Pad: 1\r\nX-Pad: 1\r\nContent-Length"),
    bad("request_uri_too_long", "limits", 414, "sip:5555"),
];

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/torture")
        .join(kind)
}

fn load(kind: &str, file: &str) -> Vec<u8> {
    let path = folder(kind).join(file).with_extension("dat");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn text(b: Option<&[u8]>) -> Option<&str> {
    b.map(|b| std::str::from_utf8(b).expect("tags and branches of the cases are UTF-8"))
}

/// A file without a case would prove nothing.
#[test]
fn every_file_has_its_case() {
    for (kind, cases) in [
        (
            "valid",
            VALID.iter().map(|c| c.file).collect::<BTreeSet<_>>(),
        ),
        ("invalid", INVALID.iter().map(|c| c.file).collect()),
    ] {
        let there: BTreeSet<String> = std::fs::read_dir(folder(kind))
            .expect("corpus folder")
            .map(|entry| {
                entry
                    .expect("corpus entry")
                    .path()
                    .file_stem()
                    .expect("name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let named: BTreeSet<String> = cases.into_iter().map(String::from).collect();
        assert_eq!(there, named, "{kind}");
    }
}

#[test]
fn valid_messages_are_read_right() {
    for case in &VALID {
        let at = format!("{} ({})", case.file, case.clause);
        let bytes = load("valid", case.file);
        let msg = Msg::parse(&bytes).unwrap_or_else(|e| panic!("{at}: {e}"));
        if msg.is_request() {
            msg.check_request()
        } else {
            msg.check_response()
        }
        .unwrap_or_else(|e| panic!("{at}: {e}"));
        let via = msg.top_via().expect("checked");
        let cseq = msg.cseq().expect("checked");
        assert_eq!(
            msg.values(Header::Via).count(),
            case.vias,
            "{at}: Via values"
        );
        assert_eq!(text(via.branch), case.branch, "{at}: branch");
        assert_eq!(
            text(msg.from().expect("checked").tag()),
            case.from_tag,
            "{at}: From tag"
        );
        assert_eq!(
            text(msg.to().expect("checked").tag()),
            case.to_tag,
            "{at}: To tag"
        );
        assert_eq!(cseq.seq, case.cseq, "{at}: CSeq");
        assert!(
            msg.method().is_none_or(|method| method == cseq.method),
            "{at}: CSeq method"
        );
        assert_eq!(
            msg.values(Header::Contact).count(),
            case.contacts,
            "{at}: Contacts"
        );
        assert_eq!(
            msg.values(Header::Route).count(),
            case.routes,
            "{at}: Routes"
        );
        assert_eq!(
            msg.max_forwards(),
            Ok(case.max_forwards),
            "{at}: Max-Forwards"
        );
        assert_eq!(msg.body().len(), case.body, "{at}: body");
    }
}

#[test]
fn valid_messages_pass_through_bit_exact() {
    for case in &VALID {
        let bytes = load("valid", case.file);
        let msg = Msg::parse(&bytes).expect("valid");
        let mut out = Vec::new();
        Edits::new().apply(&msg, &mut out);
        assert_eq!(out, msg.bytes(), "{}", case.file);
        assert!(bytes.starts_with(&out), "{}", case.file);
        // Only what lies behind the message may be missing, and only in the case that is about it.
        assert_eq!(
            out.len() < bytes.len(),
            case.file == "octets_after_message",
            "{}",
            case.file
        );
    }
}

#[test]
fn invalid_messages_are_refused_with_status_and_place() {
    for case in &INVALID {
        let at = format!("{} ({})", case.file, case.clause);
        let bytes = load("invalid", case.file);
        let error = sip_json(&bytes)
            .map(|json| panic!("{at}: accepted as {json}"))
            .unwrap_err();
        let response = bytes.starts_with(b"SIP/");
        let (offset, status) = match error {
            ParseOrHeaderError::Parse(e) => (e.offset, e.status),
            ParseOrHeaderError::Header(e) => (e.offset, (!response).then_some(e.status)),
        };
        assert_eq!(status, case.status, "{at}: {error}");
        let rest = &bytes[offset as usize..];
        let expected = if case.at.is_empty() {
            rest.is_empty()
        } else {
            rest.starts_with(case.at.as_bytes())
        };
        assert!(
            expected,
            "{at}: {error}, which is {:?}",
            String::from_utf8_lossy(&rest[..rest.len().min(40)])
        );
        assert!(
            error.to_string().ends_with(&format!(" at byte {offset}")),
            "{at}: {error}"
        );
    }
}

/// A request that cannot be framed still has the headers that its answer needs.
#[test]
fn unframeable_requests_can_be_answered() {
    for file in [
        "length_beyond_end",
        "length_repeated",
        "blank_in_request_uri",
        "header_without_colon",
        "no_empty_line",
        "too_many_lines",
    ] {
        let bytes = load("invalid", file);
        let error = Msg::parse(&bytes)
            .map(|_| panic!("{file}: framed"))
            .unwrap_err();
        assert!(error.status.is_some(), "{file}: {error}");
        let msg = Msg::for_refusal(&bytes).unwrap_or_else(|| panic!("{file}: nothing to answer"));
        assert_eq!(
            text(msg.top_via().expect("Via").branch),
            Some("z9hG4bKone"),
            "{file}"
        );
        assert_eq!(msg.cseq().expect("CSeq").seq, 8, "{file}");
        assert_eq!(msg.call_id(), Ok(&b"one@noc.example"[..]), "{file}");
        assert!(
            msg.from().is_ok() && msg.to().is_ok() && msg.body().is_empty(),
            "{file}"
        );
    }
    for file in ["http", "status_700", "bare_lf"] {
        assert!(Msg::for_refusal(&load("invalid", file)).is_none(), "{file}");
    }
    let ack = String::from_utf8(load("invalid", "length_beyond_end"))
        .expect("ASCII")
        .replace("INVITE", "ACK");
    assert!(
        Msg::for_refusal(ack.as_bytes()).is_none(),
        "an ACK has no answer (RFC 3261 §17.1.1.3)"
    );
}

/// RFC 4475 §3.1.1.5: a `%` outside URIs escapes nothing, so this is neither INVITE nor Contact.
#[test]
fn percent_does_not_make_a_known_method() {
    let bytes = load("valid", "percent_is_no_escape");
    let msg = Msg::parse(&bytes).expect("valid");
    assert!(matches!(msg.kind(), Kind::Request { method, .. } if method.as_bytes() == b"IN%56ITE"));
    assert_eq!(msg.count(Header::Contact), 2);
}

/// RFC 5626 §4.4 and habits of deployed elements: no message, no error.
#[test]
fn keep_alives_are_told_from_messages() {
    for ping in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"\r\n\r\n\0"] {
        let error = Msg::parse(ping).map(|_| ()).unwrap_err();
        assert_eq!(
            (error.what, error.status),
            (ParseFault::KeepAlive, None),
            "{ping:?}"
        );
    }
    let mut message = b"\r\n\r\n".to_vec();
    message.extend(load("valid", "v6_request_uri"));
    let msg =
        Msg::parse(&message).expect("CRLFs before the start line are skipped (RFC 3261 §7.5)");
    assert_eq!(
        msg.at(msg.uri_span().expect("request")),
        b"sip:[2001:db8:40::10]"
    );
    let mut out = Vec::new();
    Edits::new().apply(&msg, &mut out);
    assert_eq!(out, load("valid", "v6_request_uri"), "they are not sent on");
}

#[test]
fn json_shows_what_was_written() {
    let json = sip_json(&load("valid", "folded_and_spaced")).expect("valid");
    assert_eq!(json["kind"], "request");
    assert_eq!(json["method"], "INVITE");
    assert_eq!(json["uri"], "sip:desk7@pbx.customer.example;early-offer");
    assert!(json["status"].is_null() && json["reason"].is_null());
    assert_eq!(json["body_bytes"], 142);
    let headers = json["headers"].as_array().expect("headers");
    assert_eq!(headers.len(), 14);
    assert_eq!(
        headers[0],
        serde_json::json!({ "name": "tO", "value": "sip:desk7@pbx.customer.example  ; tag  =  q7e-11" })
    );
    assert_eq!(headers[5]["value"], "000312 INVITE");
    assert_eq!(headers[7], serde_json::json!({ "name": "s", "value": "" }));
    assert_eq!(headers[9]["value"], "first half second half");

    let json = sip_json(&load("valid", "empty_reason")).expect("valid");
    assert_eq!(
        (
            json["kind"].as_str(),
            json["status"].as_u64(),
            json["reason"].as_str()
        ),
        (Some("response"), Some(100), Some(""))
    );
    assert!(json["method"].is_null() && json["uri"].is_null());
    let keys: Vec<&String> = json.as_object().expect("object").keys().collect();
    assert_eq!(
        keys,
        [
            "kind",
            "method",
            "uri",
            "status",
            "reason",
            "headers",
            "body_bytes"
        ]
    );
}
