use tollgate_schemas::control::{Account, Carrier, FraudPolicy, Trunk};

use super::*;

fn account(json: &str) -> Account {
    serde_json::from_str(json).expect(json)
}

fn trunk(json: &str) -> Trunk {
    serde_json::from_str(json).expect(json)
}

fn carrier(json: &str) -> Carrier {
    serde_json::from_str(json).expect(json)
}

/// What `examples/bench` needs: a trunk on every port of 127.0.0.1 but the carriers'.
fn bench_documents() -> Documents {
    let mut documents = Documents::default();
    documents.accounts.insert("acme".to_owned(), account(r#"{"sell_deck": "retail"}"#));
    documents.accounts.insert("acme-sub".to_owned(), account(r#"{"sell_deck": "retail", "parent": "acme", "credit_limit": "12.5"}"#));
    documents.trunks.insert("loop".to_owned(), trunk(r#"{"account": "acme-sub", "sources": ["127.0.0.1/32"]}"#));
    for (name, port) in [("a", 5080), ("b", 5081), ("c", 5082)] {
        let spec = format!(r#"{{"addresses": ["127.0.0.1:{port}"], "deck": "cost", "emergency": {}, "suspended": {}}}"#, port != 5080, port == 5081);
        documents.carriers.insert(name.to_owned(), carrier(&spec));
    }
    documents
}

#[test]
fn parties_on_one_address_are_told_apart_by_port() {
    let policy = Policy::compile(&bench_documents(), 7).expect("documents are right");
    assert_eq!(policy.control_position(), 7);
    let party = |port: u16| policy.party(SocketAddr::from(([127, 0, 0, 1], port)));
    let named = |name| policy.carrier_named(name).map(Party::Carrier);
    assert_eq!((party(5080), party(5081), party(5082)), (named("a"), named("b"), named("c")));
    assert_eq!(party(40_000), policy.trunk_named("loop").map(Party::Trunk));
    assert_eq!(policy.party(SocketAddr::from(([127, 0, 0, 2], 5080))), None);
}

#[test]
fn views_hold_what_the_documents_say() {
    let policy = Policy::compile(&bench_documents(), 7).expect("documents are right");
    assert_eq!(policy.root_of("acme-sub"), "acme");
    assert_eq!(policy.root_of("nobody"), "nobody");
    let sub = policy.account(policy.account_named("acme-sub").expect("it is there"));
    assert_eq!((sub.credit.as_ref().map(|c| (c.limit_e8, c.prepaid)), sub.has_credit, sub.max_attempts), (Some((1_250_000_000, false)), true, 4));
    let names: Vec<_> = policy.emergency_carriers().iter().map(|ix| policy.carrier(*ix).name.as_str()).collect();
    assert_eq!(names, ["c", "b"], "suspended ones last");
    let trunk = policy.trunk(policy.trunk_named("loop").expect("it is there"));
    assert_eq!((trunk.channels, trunk.cps, trunk.burst), (10, 2, 4), "§5.4");
    assert_eq!((trunk.dial.max_rate_e12, trunk.dial.daily_spend_e8), (Some(250_000_000_000), Some(5_000_000_000)), "§5.4");
    assert_eq!((trunk.dial.group_channels, trunk.dial.hot_spot_channels, trunk.dial.hot_spot_calls_12h), (10, 1, 1), "§5.4");
    assert!(!trunk.dial.international && !trunk.dial.premium && !trunk.dial.high_risk, "§5.4");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mut d = bench_documents();
    d.accounts.insert("loop-a".to_owned(), account(r#"{"sell_deck": "x", "parent": "loop-b"}"#));
    d.accounts.insert("loop-b".to_owned(), account(r#"{"sell_deck": "x", "parent": "loop-a"}"#));
    d.accounts.insert("orphan".to_owned(), account(r#"{"sell_deck": "X!", "parent": "nobody", "credit_limit": "1e3", "carriers": ["a", "z"], "max_attempts": 0, "fraud_policy": "none"}"#));
    d.trunks.insert("bad".to_owned(), trunk(
        r##"{"account": "nobody", "sources": ["127.0.0.1", "10.0.0.1/8", "x"], "cps": 0, "channels": 0, "emergency": ["", "112", "help"],
            "numbers": {"country_code": "210", "international_prefixes": ["+"], "national_prefix": "x", "national_min": 9, "national_max": 8},
            "dial": {"max_rate": "-1", "daily_spend": "a lot", "allow": ["+44", "x"], "deny": [""], "group_channels": 0}}"##,
    ));
    d.trunks.insert("silent".to_owned(), trunk(r#"{"account": "acme", "sources": [], "numbers": {"national_prefix": "0"}}"#));
    d.carriers.insert("bad".to_owned(), carrier(
        r#"{"addresses": ["127.0.0.1:5080", "10.0.0.1"], "sources": ["0.0.0.0/0"], "deck": "", "prefix": "a", "channels": 0, "cps": 0,
            "timers": {"pdd_ms": 0}, "advance_on": [503, 200], "stop_on": [503]}"#,
    ));
    d.carriers.insert("none".to_owned(), carrier(r#"{"addresses": [], "deck": "cost"}"#));
    d.fraud_policies.insert("strict".to_owned(), FraudPolicy { high_risk_prefixes: vec!["+49".to_owned(), "49x".to_owned()], ..FraudPolicy::default() });
    let problems = Policy::compile(&d, 0).expect_err("documents are wrong");
    let mut got: Vec<String> = problems.iter().map(|p| format!("{} {} {}", p.kind.name(), p.name, p.field)).collect();
    got.sort();
    let mut want = vec![
        "account loop-a parent", "account loop-b parent", "account orphan carriers[1]", "account orphan credit_limit", "account orphan fraud_policy",
        "account orphan max_attempts", "account orphan parent", "account orphan sell_deck",
        "carrier bad addresses[0]", "carrier bad addresses[1]", "carrier bad advance_on[1]", "carrier bad channels", "carrier bad cps", "carrier bad deck",
        "carrier bad prefix", "carrier bad sources[0]", "carrier bad stop_on", "carrier bad timers.pdd_ms", "carrier none addresses",
        "fraud_policy strict high_risk_prefixes[1]",
        "trunk bad account", "trunk bad channels", "trunk bad cps", "trunk bad dial.allow[1]", "trunk bad dial.daily_spend", "trunk bad dial.deny[0]",
        "trunk bad dial.group_channels", "trunk bad dial.max_rate", "trunk bad emergency[0]", "trunk bad emergency[2]", "trunk bad numbers.country_code",
        "trunk bad numbers.international_prefixes[0]", "trunk bad numbers.national_max", "trunk bad numbers.national_prefix", "trunk bad sources[1]",
        "trunk bad sources[2]", "trunk loop sources[0]", "trunk silent numbers.national_prefix", "trunk silent sources",
    ];
    want.sort_unstable();
    assert_eq!(got, want);
    let text = problems.iter().map(ToString::to_string).find(|p| p.starts_with("carrier 'bad', addresses[0]")).expect("it is there");
    assert_eq!(text, "carrier 'bad', addresses[0]: 127.0.0.1:5080 already is carrier 'a': one source has one party");
}

#[test]
fn policies_with_the_same_names_share_their_counters_indices() {
    let (one, mut documents) = (Policy::compile(&bench_documents(), 1).expect("right"), bench_documents());
    documents.trunks.get_mut("loop").expect("it is there").cps = 9;
    assert_eq!(one.stamp(), Policy::compile(&documents, 2).expect("right").stamp());
    documents.carriers.remove("a");
    assert_ne!(one.stamp(), Policy::compile(&documents, 3).expect("right").stamp());
}
