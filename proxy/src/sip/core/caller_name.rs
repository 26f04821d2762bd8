//! Who calls, as the headers of its INVITE have it: the number, and the name beside it. A name that was looked up is put
//! beside the number it is of, which itself passes as it came; responses go back with the From the caller wrote.

use super::super::{
    msg::{Edits, Header, Msg, NameAddr, Uri, Value, parse_name_addr},
};
use crate::admission::Shown;

/// Where a caller's number may stand, in the order they are believed, with the name CDRs have for each (C-023).
const PLACES: [(Header, &str); 4] = [(Header::PAssertedIdentity, "pai"), (Header::PPreferredIdentity, "ppi"), (Header::RemotePartyId, "rpid"), (Header::From, "from")];

fn user<'a>(n: &NameAddr<'a>) -> Option<&'a str> {
    Uri::parse(n.uri).ok().and_then(|u| u.user).and_then(|u| std::str::from_utf8(u).ok())
}

/// The header's value that has the caller's number.
fn place<'a>(msg: &Msg<'a>) -> Option<(Value<'a>, NameAddr<'a>, &'static str)> {
    PLACES.iter().find_map(|(header, source)| {
        msg.values(*header).find_map(|value| {
            let n = parse_name_addr(value.bytes).ok()?;
            user(&n).map(|_| (value, n, *source))
        })
    })
}

/// The caller's number as its headers give it: the value and which header it came from.
pub(super) fn number<'a>(msg: &Msg<'a>) -> (Option<&'a str>, &'static str) {
    place(msg).map_or((None, "from"), |(_, n, source)| (user(&n), source))
}

/// What the caller lets others see of its name. Privacy (RFC 3323, RFC 3325) and a From of nobody hide it.
pub(super) fn shown(msg: &Msg<'_>) -> Shown {
    let hides = |token: &str| ["id", "user", "header", "full"].iter().any(|t| token.trim().eq_ignore_ascii_case(t));
    let privacy = msg.header(Header::Privacy).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
    let from = msg.from().ok();
    let nobody = from.and_then(|f| Uri::parse(f.uri).ok()).is_some_and(|u| {
        u.host.to_ascii_lowercase().ends_with(b"anonymous.invalid") || u.user.is_some_and(|user| user.eq_ignore_ascii_case(b"anonymous"))
    });
    if privacy.split([';', ',']).any(hides) || nobody {
        return Shown::Nothing;
    }
    let named = from.is_some_and(|f| f.display.is_some()) || place(msg).is_some_and(|(_, n, _)| n.display.is_some());
    if named { Shown::Name } else { Shown::Number }
}

/// Puts the name beside the caller's number. `name`: as [`tollgate_schemas::portability::shown_name`] makes it.
pub(super) fn show(msg: &Msg<'_>, name: &str, edits: &mut Edits) {
    let Some((value, n, _)) = place(msg).filter(|(_, n, _)| n.display.is_none()) else { return };
    if value.bytes.first() == Some(&b'<') {
        edits.insert(value.span.start, format!("\"{name}\" ").as_bytes());
    } else {
        // Parameters of an address without brackets are the header's: they stay behind it.
        edits.insert(value.span.start, format!("\"{name}\" <").as_bytes());
        edits.insert(value.span.start + n.uri.len() as u32, b">");
    }
}

/// Whether [`show`] changed From, so that responses have to have it back.
pub(super) fn is_in_from(source: &str) -> bool {
    source == "from"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(lines: &str) -> Vec<u8> {
        let from = if lines.contains("From:") { "" } else { "From: <sip:12125550199@a>;tag=x\n" };
        format!("INVITE sip:1@b SIP/2.0\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\n{from}{lines}To: <sip:1@b>\nCall-ID: c\nCSeq: 1 INVITE\nContent-Length: 0\n\n").replace('\n', "\r\n").into_bytes()
    }

    #[test]
    fn r_29_a_name_stands_beside_the_number_it_is_of_and_changes_nothing_else() {
        for (lines, want) in [
            ("", "From: \"ACME\" <sip:12125550199@a>;tag=x"),
            ("From: sip:12125550199@a;tag=x\n", "From: \"ACME\" <sip:12125550199@a>;tag=x"),
            ("From: <sip:1@a>;tag=x\nP-Asserted-Identity: <tel:+12125550199>, <sip:+1@z>\n", "P-Asserted-Identity: \"ACME\" <tel:+12125550199>, <sip:+1@z>"),
            ("P-Preferred-Identity: sip:+12125550199@a\n", "P-Preferred-Identity: \"ACME\" <sip:+12125550199@a>"),
        ] {
            let bytes = message(lines);
            let msg = Msg::parse(&bytes).expect("a message");
            let (mut edits, mut out) = (Edits::new(), Vec::new());
            show(&msg, "ACME", &mut edits);
            edits.apply(&msg, &mut out);
            let text = String::from_utf8(out).expect("text");
            assert!(text.contains(&format!("{want}\r\n")), "{lines}: {text}");
            assert_eq!(text.replace("\"ACME\" ", "").replace(['<', '>'], ""), String::from_utf8(bytes).expect("text").replace(['<', '>'], ""), "R-26: the rest is as it came");
        }
    }

    #[test]
    fn r_29_a_caller_that_sent_a_name_or_hides_has_none_looked_up() {
        for (lines, want) in [
            ("", Shown::Number),
            ("Privacy: none\n", Shown::Number),
            ("Privacy: history\n", Shown::Number),
            ("Privacy: id\n", Shown::Nothing),
            ("Privacy: critical;USER\n", Shown::Nothing),
            ("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=x\nP-Asserted-Identity: <sip:+12125550199@a>\n", Shown::Nothing),
            ("From: <sip:anonymous@a>;tag=x\n", Shown::Nothing),
            ("From: \"Jo\" <sip:12125550199@a>;tag=x\n", Shown::Name),
            ("P-Asserted-Identity: \"Jo\" <sip:+12125550199@a>\n", Shown::Name),
            ("P-Asserted-Identity: Jo <sip:+12125550199@a>\nPrivacy: id\n", Shown::Nothing),
        ] {
            let bytes = message(lines);
            assert_eq!(shown(&Msg::parse(&bytes).expect("a message")), want, "{lines}");
        }
    }
}
