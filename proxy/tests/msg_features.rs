//! One feature at a time: a plain INVITE with one thing changed, and what must be read from it.

use tollgate_proxy::sip::msg::{
    Header, Kind, Method, Msg, NameAddr, Scheme, Uri, parse_name_addr, parse_via, sip_json,
    unquoted,
};

const BASE: &str = "INVITE sip:+15550111@carrier.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP gw.example:5062;branch=z9hG4bKbase;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@customer.example>;tag=f1\r\n\
    To: <sip:+15550111@carrier.example>\r\n\
    Call-ID: base@gw.example\r\n\
    CSeq: 314 INVITE\r\n\
    Contact: <sip:alice@203.0.113.1:5062>\r\n\
    Content-Length: 0\r\n\
    \r\n";

const URI: &str = "sip:+15550111@carrier.example SIP";
const VIA: &str = "Via: SIP/2.0/UDP gw.example:5062;branch=z9hG4bKbase;rport\r\n";
const FROM: &str = "From: \"Alice\" <sip:alice@customer.example>;tag=f1\r\n";
const CONTACT: &str = "Contact: <sip:alice@203.0.113.1:5062>\r\n";
const LENGTH: &str = "Content-Length: 0\r\n";
const LINE: &str = "INVITE sip:+15550111@carrier.example SIP/2.0\r\n";

/// The base message with its one occurrence of `find` replaced.
fn changed(find: &str, replace: &[u8]) -> Vec<u8> {
    let (before, after) = BASE
        .split_once(find)
        .unwrap_or_else(|| panic!("{find:?} is not in the base message"));
    [before.as_bytes(), replace, after.as_bytes()].concat()
}

/// What the change is made to, what it becomes, what must hold then.
type Feature = (
    &'static str,
    &'static str,
    &'static [u8],
    fn(&Msg<'_>) -> bool,
);

fn uri<'a>(msg: &Msg<'a>) -> Uri<'a> {
    match msg.kind() {
        Kind::Request { uri, .. } => Uri::parse(uri).expect("checked"),
        Kind::Response { .. } => panic!("a response has no URI"),
    }
}

fn from<'a>(msg: &Msg<'a>) -> NameAddr<'a> {
    msg.from().expect("checked")
}

fn values(msg: &Msg<'_>, h: Header) -> Vec<String> {
    msg.values(h)
        .map(|v| String::from_utf8_lossy(v.bytes).into_owned())
        .collect()
}

fn contacts<'a>(msg: &Msg<'a>) -> Vec<&'a [u8]> {
    msg.values(Header::Contact)
        .map(|v| parse_name_addr(v.bytes).expect("checked").uri)
        .collect()
}

#[rustfmt::skip]
const ACCEPTED: &[Feature] = &[
    ("baseline", LENGTH, b"Content-Length: 0\r\n", |m| {
        let via = m.top_via().unwrap();
        m.method() == Some(Method::Invite) && via.host == b"gw.example" && via.port == Some(5062) && via.rport == Some(None)
            && m.at(via.rport_span.unwrap()) == b"rport" && m.at(via.span).ends_with(b";rport")
            && from(m).display == Some(b"\"Alice\"") && from(m).tag() == Some(b"f1") && m.to().unwrap().tag().is_none()
            && m.cseq().unwrap().seq == 314 && m.max_forwards() == Ok(Some(70)) && m.call_id() == Ok(b"base@gw.example")
    }),
    ("folded header", "CSeq: 314 INVITE", b"CSeq:\r\n\t314\r\n INVITE", |m| m.cseq().unwrap().seq == 314 && m.cseq().unwrap().method == Method::Invite),
    ("fold of blanks only", "Max-Forwards: 70", b"Max-Forwards: 70\r\n  ", |m| m.max_forwards() == Ok(Some(70))),
    ("space before colon", "Call-ID:", b"Call-ID \t:", |m| m.call_id() == Ok(b"base@gw.example")),
    ("compact v", "Via:", b"v:", |m| m.values(Header::Via).count() == 1),
    ("compact f t i m", FROM, b"f: <sip:x@y.example>;tag=q\r\n", |m| from(m).uri == b"sip:x@y.example"),
    ("upper case names", "Call-ID: base", b"CALL-ID: base", |m| m.call_id().is_ok()),
    ("lower case names", "Max-Forwards: 70", b"max-forwards: 7", |m| m.max_forwards() == Ok(Some(7))),
    ("no space after colon", "CSeq: 314", b"CSeq:314", |m| m.cseq().unwrap().seq == 314),
    ("two Vias in one line", VIA, b"Via: SIP/2.0/UDP a.example;branch=z9hG4bKa, SIP/2.0/TCP b.example ;branch=z9hG4bKb\r\n", |m| {
        let vias: Vec<_> = m.values(Header::Via).map(|v| parse_via(v).unwrap()).collect();
        vias.len() == 2 && vias[0].branch == Some(b"z9hG4bKa") && vias[1].transport == b"TCP" && vias[1].branch == Some(b"z9hG4bKb")
            && m.at(vias[1].span) == b"SIP/2.0/TCP b.example ;branch=z9hG4bKb"
    }),
    ("Vias in a line and over lines", VIA, b"Via: SIP/2.0/UDP a.example,SIP/2.0/UDP b.example\r\nX: y\r\nv: SIP/2.0/UDP c.example\r\n", |m| {
        m.values(Header::Via).count() == 3 && m.count(Header::Via) == 2 && m.top_via().unwrap().host == b"a.example"
    }),
    ("two Contacts in one line", CONTACT, b"Contact: \"a,b\" <sip:a,b@c.example>;q=1 , <sip:d@e.example>\r\n", |m| contacts(m) == [&b"sip:a,b@c.example"[..], b"sip:d@e.example"]),
    ("two Routes in one line", LENGTH, b"Route: <sip:p1.example;lr>,<sip:p2.example;lr>\r\nContent-Length: 0\r\n", |m| values(m, Header::Route) == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]),
    ("Via with blanks round its slashes", VIA, b"Via: SIP / 2.0 / UDP  h.example : 5071 ; branch = z9hG4bKs\r\n", |m| {
        let via = m.top_via().unwrap();
        via.transport == b"UDP" && via.host == b"h.example" && via.port == Some(5071) && via.branch == Some(b"z9hG4bKs")
    }),
    ("Via transport SCTP", "SIP/2.0/UDP", b"SIP/2.0/SCTP", |m| m.top_via().unwrap().transport == b"SCTP"),
    ("Via transport unknown", "SIP/2.0/UDP", b"SIP/2.0/X-QUIC+1", |m| m.top_via().unwrap().transport == b"X-QUIC+1"),
    ("Via WSS with invalid host", VIA, b"Via: SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bKw\r\n", |m| m.top_via().unwrap().host == b"df7jal23ls0d.invalid"),
    ("Via IPv6 with received", VIA, b"Via: SIP/2.0/UDP [2001:db8::9]:5090;received=2001:db8::fe;rport=40001;ttl=3;maddr=[ff02::1];branch=z9hG4bK6\r\n", |m| {
        let via = m.top_via().unwrap();
        via.host == b"[2001:db8::9]" && via.port == Some(5090) && via.received == Some(b"2001:db8::fe") && via.rport == Some(Some(40001))
            && m.at(via.rport_span.unwrap()) == b"rport=40001" && via.ttl == Some(b"3") && via.maddr == Some(b"[ff02::1]")
    }),
    ("Via with unknown parameters", VIA, b"Via: SIP/2.0/UDP h.example;keep;oc=50;oc-algo=\"loss,rate\";branch=z9hG4bKp\r\n", |m| {
        let via = m.top_via().unwrap();
        via.params.get(b"keep") == Some(None) && unquoted(via.params.get(b"OC-ALGO").flatten().unwrap()) == b"loss,rate"
    }),
    ("R-URI tel", URI, b"tel:+1-555-0111;phone-context=example.com SIP", |m| uri(m).scheme == Scheme::Tel && uri(m).user == Some(b"+1-555-0111") && uri(m).host.is_empty() && uri(m).params.get(b"phone-context") == Some(Some(b"example.com"))),
    ("R-URI tel, short", URI, b"tel:+1234 SIP", |m| uri(m).user == Some(b"+1234") && uri(m).port.is_none()),
    ("R-URI tel, long", URI, b"tel:+123456789012345678 SIP", |m| uri(m).user == Some(b"+123456789012345678")),
    ("R-URI urn:service:sos", URI, b"urn:service:sos SIP", |m| uri(m).is_sos() && uri(m).opaque == b"service:sos"),
    ("R-URI urn:service:sos.police", URI, b"URN:Service:SOS.police SIP", |m| uri(m).is_sos()),
    ("R-URI urn:service:sosa", URI, b"urn:service:sosa SIP", |m| !uri(m).is_sos() && uri(m).scheme == Scheme::Urn),
    ("R-URI IPv6", URI, b"sip:bob@[2001:db8::10]:5070;transport=udp SIP", |m| uri(m).host == b"[2001:db8::10]" && uri(m).port == Some(5070) && uri(m).params.get(b"transport") == Some(Some(b"udp"))),
    ("R-URI user with %40 and ;", URI, b"sip:a;b=c%40d@e.example SIP", |m| uri(m).user == Some(b"a;b=c%40d") && uri(m).host == b"e.example"),
    ("R-URI user like tel", URI, b"sip:+15550111;npdi;rn=+15550999@carrier.example;user=phone SIP", |m| uri(m).user == Some(b"+15550111;npdi;rn=+15550999") && uri(m).params.get(b"user") == Some(Some(b"phone"))),
    ("R-URI user with hash and star", URI, b"sip:*31#5550111@carrier.example SIP", |m| uri(m).user == Some(b"*31#5550111")),
    ("R-URI parameter without value", URI, b"sip:bob@carrier.example;lr;x SIP", |m| uri(m).params.has(b"LR") && uri(m).params.get(b"x") == Some(None)),
    ("R-URI parameter name escaped", URI, b"sip:bob@carrier.example;%6c%72 SIP", |m| uri(m).params.has(b"lr")),
    ("R-URI user and password", URI, b"sip:bob:s3cr:et@carrier.example SIP", |m| uri(m).user == Some(b"bob") && uri(m).password == Some(b"s3cr:et")),
    ("R-URI without user", URI, b"sips:carrier.example:5061 SIP", |m| uri(m).scheme == Scheme::Sips && uri(m).user.is_none() && uri(m).port == Some(5061)),
    ("R-URI scheme in capitals", URI, b"SIP:bob@carrier.example SIP", |m| uri(m).scheme == Scheme::Sip),
    ("version in lower case", "SIP/2.0\r\nVia", b"sip/2.0\r\nVia", |m| m.is_request()),
    ("From without brackets", FROM, b"From: sip:+15550100@customer.example;tag=f2;x=y\r\n", |m| from(m).uri == b"sip:+15550100@customer.example" && from(m).tag() == Some(b"f2") && from(m).display.is_none()),
    ("From tel URI", FROM, b"From: <tel:+15550100;phone-context=x>;tag=f3\r\n", |m| from(m).uri == b"tel:+15550100;phone-context=x"),
    ("From anonymous", FROM, b"From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=f4\r\n", |m| from(m).uri == b"sip:anonymous@anonymous.invalid"),
    ("From tag with odd characters", FROM, b"From: <sip:a@b.example>;tag=gK0c/59+==@x:1\r\n", |m| from(m).tag() == Some(b"gK0c/59+==@x:1")),
    ("From tag in capitals", FROM, b"From: <sip:a@b.example>;TAG=f5\r\n", |m| from(m).tag() == Some(b"f5")),
    ("display name with < ; , > and quotes", FROM, b"From: \"a <b>; c, \\\"d\\\" tag=no\" <sip:a@b.example>;tag=f6\r\n", |m| from(m).uri == b"sip:a@b.example" && from(m).tag() == Some(b"f6")),
    ("display name in UTF-8", FROM, "From: \"Ünï → ☎\" <sip:a@b.example>;tag=f7\r\n".as_bytes(), |m| from(m).display == Some("\"Ünï → ☎\"".as_bytes())),
    ("display name in Latin-1", FROM, b"From: \"Jos\xe9\" <sip:a@b.example>;tag=f8\r\n", |m| from(m).display == Some(b"\"Jos\xe9\"")),
    ("display name with NUL", FROM, b"From: \"a\\\0b\0\" <sip:a@b.example>;tag=f9\r\n", |m| from(m).tag() == Some(b"f9")),
    ("display name of several tokens", FROM, b"From: A. Bell  Jr. <sip:a@b.example>;tag=g1\r\n", |m| from(m).display == Some(b"A. Bell  Jr.")),
    ("empty display name", FROM, b"From: \"\" <sip:a@b.example>;tag=g2\r\n", |m| from(m).display == Some(b"\"\"")),
    ("Contact star", CONTACT, b"Contact: *\r\n", |m| m.contact() == Ok(None) && values(m, Header::Contact) == ["*"]),
    ("Contact quoted parameter with ; and ,", CONTACT, b"Contact: <sip:a@b.example>;+sip.instance=\"<urn:uuid:1;2,3>\";q=0.1, <sip:c@d.example>\r\n", |m| {
        m.values(Header::Contact).count() == 2 && m.contact().unwrap().unwrap().params.get(b"+sip.instance") == Some(Some(b"\"<urn:uuid:1;2,3>\""))
    }),
    ("no Contact", CONTACT, b"", |m| m.contact() == Ok(None)),
    ("CSeq with two blanks and zeros", "CSeq: 314 INVITE", b"CSeq: 000314  INVITE", |m| m.cseq().unwrap().seq == 314),
    ("CSeq at its limit", "CSeq: 314 INVITE", b"CSeq: 2147483647 INVITE", |m| m.cseq().unwrap().seq == 2_147_483_647),
    ("empty header value", LENGTH, b"Supported:\r\nSubject: \t\r\nContent-Length: 0\r\n", |m| m.header(Header::Supported) == Some(b"") && m.values(Header::Supported).count() == 0),
    ("option tags over lines", LENGTH, b"Require: 100rel , timer\r\nRequire:x\r\nContent-Length: 0\r\n", |m| values(m, Header::Require) == ["100rel", "timer", "x"]),
    ("text behind the message", "Content-Length: 0\r\n\r\n", b"Content-Length: 2\r\n\r\nabJUNK", |m| m.body() == b"ab" && m.bytes().ends_with(b"ab")),
    ("no Content-Length, body to the end", "Content-Length: 0\r\n\r\n", b"X: y\r\n\r\nto the end", |m| m.body() == b"to the end"),
    ("binary body", "Content-Length: 0\r\n\r\n", b"Content-Length: 6\r\n\r\n\0\r\n\xff\n\r", |m| m.body() == b"\0\r\n\xff\n\r"),
    ("unknown header with commas", LENGTH, b"X-Odd: ;;,,;;,;\"\r\nContent-Length: 0\r\n", |m| m.headers().any(|(n, v)| n == b"X-Odd" && v == b";;,,;;,;\"")),
    ("Reason with quoted text", LENGTH, b"Reason: Q.850;cause=16;text=\"a;b,c\"\r\nContent-Length: 0\r\n", |m| values(m, Header::Reason) == ["Q.850;cause=16;text=\"a;b,c\""]),
    ("two identities in a line", LENGTH, b"P-Asserted-Identity: \"A\" <sip:a@b.example>, <tel:+15550100>\r\nContent-Length: 0\r\n", |m| m.values(Header::PAssertedIdentity).count() == 2),
    ("compact k x r y o", LENGTH, b"k: timer\r\nx: 1800\r\nr: <sip:z@b.example>\r\ny: abc\r\no: talk\r\nContent-Length: 0\r\n", |m| {
        [Header::Supported, Header::SessionExpires, Header::ReferTo, Header::Identity, Header::Event].iter().all(|&h| m.count(h) == 1)
    }),
    ("status line", LINE, b"SIP/2.0 200 OK\r\n", |m| matches!(m.kind(), Kind::Response { status: 200, reason: b"OK" })),
    ("status line, empty reason", LINE, b"SIP/2.0 180 \r\n", |m| matches!(m.kind(), Kind::Response { status: 180, reason: b"" })),
    ("status line, no space and reason", LINE, b"SIP/2.0 183\r\n", |m| matches!(m.kind(), Kind::Response { status: 183, reason: b"" })),
    ("status line, unknown code", LINE, b"SIP/2.0 299 Perhaps So\r\n", |m| m.status() == Some(299)),
];

#[rustfmt::skip]
const REFUSED: &[(&str, &str, &[u8])] = &[
    ("lower case invite is not INVITE: CSeq differs", "INVITE sip:", b"invite sip:"),
    ("Content-Length beyond the body", LENGTH, b"l: 1\r\n"),
    ("Content-Length -1", LENGTH, b"Content-Length: -1\r\n"),
    ("Content-Length twice", LENGTH, b"Content-Length: 0\r\nl: 1\r\n"),
    ("Content-Length list", LENGTH, b"Content-Length: 0, 0\r\n"),
    ("line without colon", LENGTH, b"Content-Length 0\r\n"),
    ("port 99999", URI, b"sip:bob@carrier.example:99999 SIP"),
    ("port empty", URI, b"sip:bob@carrier.example: SIP"),
    ("host empty", URI, b"sip:bob@ SIP"),
    ("user empty", URI, b"sip:@carrier.example SIP"),
    ("IPv6 unclosed", URI, b"sip:bob@[2001:db8::1 SIP"),
    ("tel without number", URI, b"tel:;x=y SIP"),
    ("no scheme", URI, b"carrier.example SIP"),
    ("URI parameter empty", URI, b"sip:bob@carrier.example;;lr SIP"),
    ("control character in R-URI", URI, b"sip:b\x01b@carrier.example SIP"),
    ("tab in the request line", "INVITE sip:", b"INVITE\tsip:"),
    ("bracket unclosed", FROM, b"From: <sip:a@b.example;tag=f1\r\n"),
    ("text after bracket", FROM, b"From: <sip:a@b.example> x;tag=f1\r\n"),
    ("quoted display without URI", FROM, b"From: \"Alice\";tag=f1\r\n"),
    ("URI with comma outside brackets", FROM, b"From: sip:a,b@c.example;tag=f1\r\n"),
    ("tag without value", FROM, b"From: <sip:a@b.example>;tag\r\n"),
    ("tag empty", FROM, b"From: <sip:a@b.example>;tag=\r\n"),
    ("Via without host", VIA, b"Via: SIP/2.0/UDP\r\n"),
    ("Via without transport", VIA, b"Via: SIP/2.0 gw.example\r\n"),
    ("Via branch empty", VIA, b"Via: SIP/2.0/UDP gw.example;branch=\r\n"),
    ("Via branch without value", VIA, b"Via: SIP/2.0/UDP gw.example;branch\r\n"),
    ("Via rport not a number", VIA, b"Via: SIP/2.0/UDP gw.example;rport=x;branch=z9hG4bKa\r\n"),
    ("Via list ends in a comma", VIA, b"Via: SIP/2.0/UDP gw.example;branch=z9hG4bKa,\r\n"),
    ("Via empty", VIA, b"Via:\r\n"),
    ("second Via bad", VIA, b"Via: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\nVia: nonsense\r\n"),
    ("CSeq without method", "CSeq: 314 INVITE", b"CSeq: 314"),
    ("CSeq without number", "CSeq: 314 INVITE", b"CSeq: INVITE"),
    ("CSeq negative", "CSeq: 314 INVITE", b"CSeq: -1 INVITE"),
    ("CSeq with more", "CSeq: 314 INVITE", b"CSeq: 314 INVITE x"),
    ("Call-ID with blank", "base@gw.example", b"base @gw.example"),
    ("Call-ID empty", "Call-ID: base@gw.example", b"Call-ID:"),
    ("Max-Forwards not a number", "Max-Forwards: 70", b"Max-Forwards: seventy"),
    ("Route without scheme", LENGTH, b"Route: <p1.example;lr>\r\nContent-Length: 0\r\n"),
    ("two Max-Forwards", LENGTH, b"max-forwards: 70\r\nContent-Length: 0\r\n"),
    ("version without number", "SIP/2.0\r\nVia", b"SIP/two\r\nVia"),
    ("version missing", " SIP/2.0\r\nVia", b"\r\nVia"),
];

#[test]
fn each_feature_is_read() {
    for (name, find, replace, holds) in ACCEPTED {
        let bytes = changed(find, replace);
        let msg = Msg::parse(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        if msg.is_request() {
            msg.check_request()
        } else {
            msg.check_response()
        }
        .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(holds(&msg), "{name}");
    }
}

#[test]
fn each_fault_is_refused() {
    for (name, find, replace) in REFUSED {
        let bytes = changed(find, replace);
        assert!(sip_json(&bytes).is_err(), "{name}: accepted");
    }
}

/// Every known name is found in any case, and only it.
#[test]
fn header_names_are_known_in_any_case() {
    for (name, compact) in [
        ("Via", "v"),
        ("From", "f"),
        ("To", "t"),
        ("Call-ID", "i"),
        ("Contact", "m"),
        ("Content-Length", "l"),
        ("Content-Type", "c"),
        ("Supported", "k"),
        ("Session-Expires", "x"),
        ("Event", "o"),
        ("Refer-To", "r"),
        ("Identity", "y"),
    ] {
        let header = Header::of(name.as_bytes());
        assert_eq!(header.name(), name);
        assert_eq!(Header::of(compact.as_bytes()), header, "{compact}");
        assert_eq!(
            Header::of(compact.to_uppercase().as_bytes()),
            header,
            "{compact}"
        );
    }
    for name in [
        "CSeq",
        "Max-Forwards",
        "Route",
        "Record-Route",
        "Require",
        "Proxy-Require",
        "Unsupported",
        "Allow",
        "Reason",
        "Retry-After",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "Privacy",
        "Diversion",
        "User-Agent",
        "Server",
        "Warning",
        "Min-SE",
        "RSeq",
        "RAck",
        "Authorization",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "Proxy-Authenticate",
        "Expires",
        "Date",
    ] {
        let header = Header::of(name.as_bytes());
        assert_eq!(header.name(), name);
        assert_eq!(Header::of(name.to_uppercase().as_bytes()), header);
        assert_eq!(Header::of(name.to_lowercase().as_bytes()), header);
        assert_eq!(Header::of(format!("{name}x").as_bytes()), Header::Other);
    }
    assert_eq!(Header::of(b""), Header::Other);
    assert_eq!(Header::of(b"Rank"), Header::Other);
}
