//! A small house: one British trunk, a few prices, and the call that all tests make.

use std::net::SocketAddr;

use tollgate_proxy::admission::{Admission, Admitted, Attempt, Documents, NodeState, Policy, Prices, Refused, Sale, Sell, Shown, TrunkIx};
use tollgate_schemas::{money::parse_scaled, parties::Parties, time::Now, v1::{LeaseDemand, LeaseGranted, LeaseShare, Terms}};

pub const LONDON: &str = "02071838750";
pub const SOMALIA: &str = "+252612345678";
pub const FRANCE: &str = "+33142345678";
pub const ITALY: &str = "+390612345678";
pub const PREMIUM: &str = "09011234567";

/// 2026-11-21T12:00:00Z.
pub const NOON_US: i64 = 1_795_262_400_000_000;

/// Milliseconds after noon.
pub fn at(ms: i64) -> Now {
    Now { utc_us: NOON_US + ms * 1_000, mono_ns: 1_000_000_000_000_000 + ms as u64 * 1_000_000 }
}

pub fn terms(destination: &str, prefix: &str, rate: &str) -> Terms {
    Terms {
        deck: "retail".to_owned(),
        deck_version: "0011223344556677".to_owned(),
        prefix: prefix.to_owned(),
        destination: destination.to_owned(),
        rate_e12: parse_scaled(rate, 12).expect("a rate"),
        initial_s: 1,
        increment_s: 1,
        currency: "USD".to_owned(),
        places: 6,
        ..Terms::default()
    }
}

/// Longest first.
const ROWS: [(&str, &str, &str); 7] = [
    ("449", "UK premium", "0.20"),
    ("447", "UK mobile", "0.03"),
    ("252", "Somalia", "0.20"),
    ("44", "UK", "0.06"),
    ("33", "France", "0.90"),
    ("39", "Italy", "0.05"),
    ("1", "USA", "0.01"),
];

pub struct Sheet;

impl Prices for Sheet {
    fn sell<'p>(&'p self, account: &str, parties: &Parties<'p>, _at_us: i64) -> Sale<'p> {
        assert!(account.starts_with("acme"));
        let sell = match ROWS.iter().find(|(prefix, ..)| parties.rated().starts_with(prefix)) {
            Some((prefix @ "39", destination, rate)) => Sell::Blocked(Terms { blocked: true, ..terms(destination, prefix, rate) }),
            Some((prefix, destination, rate)) => Sell::Terms(terms(destination, prefix, rate)),
            None => Sell::None,
        };
        sell.into()
    }
}

/// One account `acme` below `acme-root`, trunks `t1` (with these fields) and `t2`, two carriers.
pub fn policy(account: &str, trunk: &str) -> Policy {
    Policy::compile(&documents(account, trunk), 1).expect("documents are right")
}

pub fn documents(account: &str, trunk: &str) -> Documents {
    let mut d = Documents::default();
    let json = |fixed: &str, more: &str| if more.is_empty() { format!("{{{fixed}}}") } else { format!("{{{fixed}, {more}}}") };
    let plan = r#""numbers": {"country_code": "44", "international_prefixes": ["00"], "national_prefix": "0", "national_min": 9, "national_max": 10}"#;
    d.accounts.insert("acme-root".to_owned(), serde_json::from_str(r#"{"sell_deck": "retail"}"#).expect("an account"));
    d.accounts.insert("acme".to_owned(), serde_json::from_str(&json(r#""sell_deck": "retail", "parent": "acme-root""#, account)).expect("an account"));
    let t1 = json(&format!(r#""account": "acme", "sources": ["192.0.2.0/24"], {}"#, if trunk.contains("numbers") { r#""relay_503": false"# } else { plan }), trunk);
    d.trunks.insert("t1".to_owned(), serde_json::from_str(&t1).expect("a trunk"));
    d.trunks.insert("t2".to_owned(), serde_json::from_str(&json(&format!(r#""account": "acme", "sources": ["198.51.100.0/24"], {plan}"#), WIDE)).expect("a trunk"));
    for (name, more) in [("c1", r#""channels": 2, "cps": 3"#), ("c2", r#""emergency": true"#)] {
        let spec = json(&format!(r#""deck": "cost", "addresses": ["203.0.113.{}:5060"]"#, name.len() + usize::from(name.ends_with('2'))), more);
        d.carriers.insert(name.to_owned(), serde_json::from_str(&spec).expect("a carrier"));
    }
    for (name, spec) in [
        ("iprn", r#"{"list": "test", "numbers": [{"number": "+442079469999"}]}"#),
        ("abuse", r#"{"list": "hot", "numbers": [{"number": "44207946*"}]}"#),
    ] {
        d.number_lists.insert(name.to_owned(), serde_json::from_str(spec).expect("a list"));
    }
    d
}

/// Limits far above any test, every destination open.
pub const WIDE: &str = r#""channels": 100000, "cps": 100000, "burst": 100000, "dial": {"international": true, "premium": true, "high_risk": true,
    "max_rate": null, "daily_spend": null, "hot_spot_channels": 100000, "hot_spot_calls_12h": 100000}"#;

/// `WIDE` with other fields in `dial`, and more fields of the trunk.
pub fn wide(dial: &str, more: &str) -> String {
    let mut trunk: serde_json::Value = serde_json::from_str(&format!("{{{WIDE}}}")).expect("a trunk");
    let over = |into: &mut serde_json::Value, text: &str| {
        if let (Some(into), Ok(serde_json::Value::Object(from))) = (into.as_object_mut(), serde_json::from_str(&format!("{{{text}}}"))) {
            into.extend(from);
        }
    };
    over(&mut trunk["dial"], dial);
    over(&mut trunk, more);
    let text = trunk.to_string();
    text[1..text.len() - 1].to_owned()
}

/// As the writer of the accounts' money would: lends each account that asks what `lend` says its calls here may come to.
pub fn lend(admission: &mut Admission, policy: &Policy, now: Now, lend: impl Fn(&LeaseDemand) -> i64) {
    for (partition, asked) in admission.credit_demands(policy, now) {
        let shares = asked.demands.iter().map(|d| LeaseShare { scope: d.scope.clone(), name: d.name.clone(), ceiling_e8: lend(d), ..LeaseShare::default() });
        let revision = now.mono_ns;
        let granted = LeaseGranted { node: asked.node, shares: shares.collect(), hold_ms: 60_000, revision, credit: true, asked_ns: asked.asked_ns, ..LeaseGranted::default() };
        admission.apply_credit(partition, &granted, now);
    }
}

pub fn attempt(policy: &Policy, dialled: &'static str, now: Now) -> Attempt<'static> {
    Attempt {
        trunk: t1(policy),
        source: SocketAddr::from(([192, 0, 2, 7], 5060)),
        dialled,
        urn_sos: false,
        a_user: Some("+442071838751"),
        shown: Shown::Number,
        now,
        node: NodeState::Open,
    }
}

pub fn t1(policy: &Policy) -> TrunkIx {
    policy.trunk_named("t1").expect("t1")
}

pub fn call(admission: &mut Admission, policy: &Policy, dialled: &'static str, now: Now) -> Result<Admitted, Box<Refused>> {
    admission.admit(policy, &Sheet, &attempt(policy, dialled, now)).map_err(Box::new)
}
