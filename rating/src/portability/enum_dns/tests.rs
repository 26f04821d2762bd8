//! Answers as servers send them, byte by byte, and datagrams that are none.

use proptest::prelude::*;

use super::*;

const ZONE: &str = "e164.arpa";

fn number(text: &str) -> E164 {
    E164::parse(text).expect("a number of the test")
}

fn asked() -> E164 {
    number("12125550100")
}

/// A NAPTR record whose owner points to the question's name.
fn record(rank: (u16, u16), flags: &str, service: &str, expression: &str) -> Vec<u8> {
    let mut data = [rank.0.to_be_bytes(), rank.1.to_be_bytes()].concat();
    for text in [flags, service, expression] {
        data.push(text.len() as u8);
        data.extend_from_slice(text.as_bytes());
    }
    data.push(0);
    let mut out = vec![0xc0, 12, 0, 35, 0, 1, 0, 0, 0, 60];
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    [out, data].concat()
}

/// The server's datagram: the question's header and name, then records.
fn datagram(id: u16, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = question(id, &asked(), ZONE);
    let end = out.len() - 11;
    out.truncate(end);
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    out[10..12].copy_from_slice(&[0, 0]);
    out.extend(records.iter().flatten());
    out
}

fn read(bytes: &[u8]) -> Result<Option<String>, DnsError> {
    answer(7, &asked(), ZONE, bytes).map(|p| p.lrn.map(|n| n.digits().to_owned()))
}

#[test]
fn r_04_the_question_is_a_naptr_query_for_the_reversed_digits() {
    let bytes = question(0x0102, &number("4420"), ".e164.arpa.");
    assert_eq!(bytes, b"\x01\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x010\x012\x014\x014\x04e164\x04arpa\x00\x00\x23\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
    assert_eq!(name_of(&asked(), ZONE), "0.0.1.0.5.5.5.2.1.2.1.e164.arpa");
    assert!(suffix_problem("e164.arpa").is_none() && suffix_problem("a..b").is_some() && suffix_problem(&"a.".repeat(120)).is_some() && suffix_problem("").is_some());
}

#[test]
fn r_04_a_record_of_pstn_tel_says_the_routing_number_as_rfc_4769_has_it() {
    let one = |flags, service, expression| vec![record((10, 10), flags, service, expression)];
    for (records, want) in [
        (one("u", "E2U+pstn:tel", "!^.*$!tel:+12125550100;npdi;rn=+1-201-555-0000!"), Ok(Some("12015550000"))),
        (one("U", "e2u+PSTN:TEL", "/^.*$/TEL:+12125550100;npdi;rn=2015550000;rn-context=+1/i"), Ok(Some("12015550000"))),
        (one("u", "E2U+pstn:sip+pstn:tel", "!^(.*)$!tel:\\1;npdi!"), Ok(None)),
        // Records of other kinds, and none at all: nothing is known of the number.
        (one("u", "E2U+sip", "!^.*$!sip:x@y!"), Ok(None)),
        (one("s", "E2U+pstn:tel", ""), Ok(None)),
        (vec![], Ok(None)),
        // The first by order and preference counts.
        (
            vec![
                record((20, 1), "u", "E2U+pstn:tel", "!^.*$!tel:+1;rn=+13155550000!"),
                record((10, 9), "u", "E2U+pstn:tel", "!^.*$!tel:+1;rn=+12015550000!"),
            ],
            Ok(Some("12015550000")),
        ),
        (one("u", "E2U+pstn:tel", "!^.*$!sip:x@y!"), Err("no tel URI")),
        (one("u", "E2U+pstn:tel", "!^\\+1(.*)$!tel:+1;rn=+12015550000!"), Err("the pattern")),
        (one("u", "E2U+pstn:tel", "!^.*$!tel:+1;rn=+1201x!"), Err("rn is no number")),
        (one("u", "E2U+pstn:tel", "!^.*$!tel:+1"), Err("delimiter")),
        (one("u", "E2U+pstn:tel", ""), Err("delimiter")),
    ] {
        match (read(&datagram(7, 0x8180, &records)), want) {
            (Ok(got), Ok(want)) => assert_eq!(got.as_deref(), want, "{records:?}"),
            (Err(got), Err(want)) => assert!(got.to_string().contains(want), "{got}"),
            (got, want) => panic!("{got:?}, not {want:?}"),
        }
    }
}

#[test]
fn r_04_only_the_answer_to_our_own_question_is_one() {
    let right = || datagram(7, 0x8180, &[record((1, 1), "u", "E2U+pstn:tel", "!^.*$!tel:+1;npdi;rn=+12015550000!")]);
    assert_eq!(read(&right()), Ok(Some("12015550000".to_owned())));
    assert_eq!(answer(8, &asked(), ZONE, &right()), Err(DnsError::NotOurs), "another id");
    assert_eq!(answer(7, &number("12125550101"), ZONE, &right()), Err(DnsError::NotOurs), "another number");
    assert_eq!(answer(7, &asked(), "e164.example", &right()), Err(DnsError::NotOurs), "another zone");
    assert_eq!(read(&datagram(7, 0x0100, &[])), Err(DnsError::NotOurs), "a question");
    assert_eq!(read(b"x"), Err(DnsError::NotOurs), "noise");
    assert_eq!(read(&datagram(7, 0x8183, &[])), Ok(None), "no such name");
    assert_eq!(read(&datagram(7, 0x8182, &[])), Err(DnsError::Refused("SERVFAIL")));
    assert!(matches!(read(&datagram(7, 0x8380, &[])), Err(DnsError::Broken(_))), "truncated");
    // A record of another name is not looked at.
    let mut other = right();
    let owner = question(7, &asked(), ZONE).len() - 11;
    other[owner + 1] = 14;
    assert_eq!(read(&other), Ok(None));
    // Pointers to themselves, forwards, into the header.
    for target in [owner as u8, owner as u8 + 1, 200, 4] {
        let mut bad = right();
        bad[owner + 1] = target;
        assert!(matches!(read(&bad), Err(DnsError::Broken(_))), "{target}");
    }
}

proptest! {
    #[test]
    fn r_04_no_datagram_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
    }

    /// A good answer with bytes changed, or cut anywhere: it ends with an answer or an error, and cut short never with a number.
    #[test]
    fn r_04_a_damaged_answer_is_an_error_or_still_an_answer(changes in proptest::collection::vec((0usize..150, any::<u8>()), 0..4), cut in 0usize..150) {
        let good = datagram(7, 0x8180, &[record((1, 1), "u", "E2U+pstn:tel", "!^.*$!tel:+1;npdi;rn=+12015550000!")]);
        let mut bytes = good.clone();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = read(&bytes);
        let cut = cut % good.len();
        prop_assert!(read(&good[..cut]).is_err(), "cut at {}", cut);
    }

    #[test]
    fn r_04_every_number_comes_back_from_its_answer(digits in "[1-9][0-9]{6,14}", rn in "[1-9][0-9]{6,14}", id in any::<u16>()) {
        let (called, lrn) = (number(&digits), number(&rn));
        let mut bytes = question(id, &called, ZONE);
        bytes.truncate(bytes.len() - 11);
        bytes[2] = 0x81;
        bytes[7] = 1;
        bytes[11] = 0;
        bytes.extend(record((1, 1), "u", "E2U+pstn:tel", &format!("!^(.*)$!tel:\\1;npdi;rn=+{rn}!")));
        prop_assert_eq!(answer(id, &called, ZONE, &bytes).map(|p| p.lrn), Ok(Some(lrn)));
    }
}
