use super::*;

fn source(text: &str) -> Source {
    Source::parse(text).expect(text)
}

#[test]
fn sources_read_and_print() {
    for (text, printed) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.7:5060", "192.0.2.7:5060"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.0/24:5060", "192.0.2.0/24:5060"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:5060", "[2001:db8::1]:5060"),
        ("[2001:db8::/32]:5060", "[2001:db8::/32]:5060"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ] {
        assert_eq!(source(text).to_string(), printed);
        assert_eq!(source(printed), source(text));
    }
    for bad in ["", "x", "192.0.2.7/33", "192.0.2.7/24", "0.0.0.0/0", "::/0", "192.0.2.0/24:x", "192.0.2.7:99999", "host:5060", "192.0.2/24", "2001:db8::1/129"] {
        assert!(Source::parse(bad).is_err(), "{bad}");
    }
    assert!(Source::parse("192.0.2.7/24").is_err_and(|e| e.contains("192.0.2.0/24")), "it says how to write it");
}

#[test]
fn the_most_specific_party_wins() {
    let mut parties = Sources::default();
    for (text, party) in [("127.0.0.1/32", 1), ("127.0.0.1:5080", 2), ("127.0.0.0/8", 3), ("127.0.0.0/8:5090", 4), ("10.0.0.0/8", 5), ("10.1.0.0/16", 6), ("2001:db8::/32", 7)] {
        assert_eq!(parties.put(source(text), party), None);
    }
    for (addr, party) in [
        ("127.0.0.1:5060", Some(1)),
        ("127.0.0.1:5080", Some(2)),
        ("[::ffff:127.0.0.1]:5080", Some(2)),
        // A longer prefix beats a port.
        ("127.0.0.1:5090", Some(1)),
        ("127.0.0.2:5080", Some(3)),
        ("127.0.0.2:5090", Some(4)),
        ("10.2.0.1:1", Some(5)),
        ("10.1.0.1:1", Some(6)),
        ("192.0.2.1:5060", None),
        ("[2001:db8::9]:5060", Some(7)),
        ("[2001:db9::9]:5060", None),
        ("[::1]:5060", None),
    ] {
        assert_eq!(parties.get(addr.parse().expect(addr)), party, "{addr}");
    }
    assert_eq!(parties.put(source("10.1.0.0/16"), 9), Some(6), "one source has one party");
    assert_eq!(parties.put(source("10.1.0.0/16"), 6), None);
}

proptest::proptest! {
    #[test]
    fn party_look_up_equals_a_linear_scan(
        sources in proptest::collection::vec((0u32..16, 28u8..=32, proptest::option::of(0u16..3)), 0..12),
        ip in 0u32..16,
        port in 0u16..3,
    ) {
        let mut table = Sources::default();
        let mut list: Vec<(Source, usize)> = Vec::new();
        for (i, (bits, len, port)) in sources.into_iter().enumerate() {
            let bits = u128::from(bits) >> (32 - len) << (32 - len);
            let source = Source { v6: false, bits, len, port };
            if table.put(source, i).is_none() {
                list.push((source, i));
            }
        }
        let addr = SocketAddr::new(IpAddr::V4(ip.into()), port);
        let covers = |s: &Source| u128::from(ip) >> (32 - s.len) == s.bits >> (32 - s.len) && s.port.is_none_or(|p| p == port);
        let best = list.iter().filter(|(s, _)| covers(s)).max_by_key(|(s, _)| (s.len, s.port.is_some()));
        assert_eq!(table.get(addr), best.map(|(_, i)| *i));
    }
}
