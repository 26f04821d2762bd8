use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_schemas::{
    control,
    money::format_rate,
    number::E164,
    parties::{CallerValidity, Geography, Jurisdiction, Parties, Place},
    time::parse_rfc3339,
    v1::Terms,
};

use super::{surcharge::Call, *};
use crate::deck::JurisdictionRates;

const TABLE: &str = include_str!("cases/exchanges.csv");

fn table() -> NumberTable {
    NumberTable::compile(TABLE.as_bytes()).unwrap_or_else(|p| panic!("{p:?}"))
}

fn at(text: &str) -> i64 {
    parse_rfc3339(text).expect("a time of the test")
}

/// `-` = missing, a word = a number that could not be read, else a number.
fn caller(cell: &str) -> (Option<E164>, CallerValidity) {
    match cell {
        "-" => (None, CallerValidity::Missing),
        digits => match E164::parse(digits) {
            Ok(number) => (Some(number), CallerValidity::Valid),
            Err(_) => (None, CallerValidity::BadCountry),
        },
    }
}

/// Rates told apart by their place: plain 1, inter 2, intra 3, ij 4 (or none).
const RATES: JurisdictionRates =
    JurisdictionRates { inter_e12: Some(2), intra_e12: Some(3), indeterminate_e12: Some(4) };

#[test]
fn r_25_r_26_the_cases_of_jurisdiction() {
    let table = table();
    let mut wrong = Vec::new();
    let rows = || include_str!("cases/jurisdiction.tsv").lines().skip(1).filter(|l| !l.is_empty());
    for row in rows() {
        let cells: Vec<&str> = row.split('\t').collect();
        let [what, a, switch, called, lrn, caller_by, unknown, jurisdiction, rule, rate] = cells[..] else { panic!("{row}") };
        let (a, a_validity) = caller(a);
        let lrn = (lrn != "-").then(|| E164::parse(lrn).expect("an LRN"));
        let parties = Parties { a, a_validity, a_routing: caller(switch).0, lrn: lrn.as_ref(), ..Parties::to(called) };
        let rules = Rules {
            caller: if caller_by == "routing" { CallerBy::Routing } else { CallerBy::Ani },
            indeterminate: match unknown {
                "highest" => Unknown::Highest,
                "intrastate" => Unknown::Intrastate,
                _ => Unknown::IjRate,
            },
            invalid_caller: None,
        };
        let mut geography = Geography::default();
        let judged = judge(&table, &rules, &parties, &mut geography);
        let (price, _) = rules.choose(1, &RATES, judged);
        let got = (geography.jurisdiction.name(), geography.rule, ["", "plain", "inter", "intra", "ij"][price as usize]);
        if got != (jurisdiction, rule, rate) {
            wrong.push(format!("{what}: got {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows().count() >= 24, "{}", rows().count());
}

#[test]
fn r_25_a_row_without_a_price_for_the_jurisdiction_costs_its_plain_rate() {
    let of = |rates: JurisdictionRates, rules: Rules, jurisdiction| rules.choose(1, &rates, Judged { jurisdiction, invalid_caller: false }).0;
    let none = JurisdictionRates::default();
    for jurisdiction in Jurisdiction::ALL {
        assert_eq!(of(none, Rules::default(), jurisdiction), 1, "{jurisdiction:?}");
    }
    // No ij price: the highest there is.
    let two = JurisdictionRates { indeterminate_e12: None, ..RATES };
    assert_eq!(of(two, Rules::default(), Jurisdiction::Indeterminate), 3);
    // A contract may have its own rule for callers without a valid number.
    let rules = Rules { invalid_caller: Some(Unknown::Intrastate), ..Rules::default() };
    let judged = |invalid_caller| Judged { jurisdiction: Jurisdiction::Indeterminate, invalid_caller };
    assert_eq!((rules.choose(1, &RATES, judged(true)), rules.choose(1, &RATES, judged(false))), ((3, "intra"), (4, "indeterminate")));
}

#[test]
fn r_25_the_look_up_places_an_exchange_that_the_table_lacks() {
    let table = table();
    let place = Place { state: "TX".to_owned(), lata: "552".to_owned(), ocn: "9999".to_owned(), rate_center: "DALLAS".to_owned() };
    let a = E164::parse("12145550100").expect("a number");
    let mut geography = Geography::default();
    let parties = Parties { place: Some(&place), ..Parties::to("19725550100").from(a) };
    assert_eq!(judge(&table, &Rules::default(), &parties, &mut geography).jurisdiction, Jurisdiction::Intra);
    assert_eq!((geography.b_state, geography.b_ocn, geography.b_rate_center), ("TX", "9999", "DALLAS"));
}

#[test]
fn r_25_a_number_table_with_mistakes_tells_them_all_and_is_not_loaded() {
    let bad = "npanxx,state,lata\n212555,NY,132\n2125551,N,132\n112555,NY,1\n212555,NJ,2\n21255,NY,3\nx,NY\n";
    let problems: Vec<String> = NumberTable::compile(bad.as_bytes()).err().into_iter().flatten().map(|p| p.to_string()).collect();
    assert_eq!(
        problems,
        [
            "line 3, column state: 'N' is no state: want two letters",
            "line 4, column npanxx: '112555' is no exchange: want six digits, or seven for a block of a thousand",
            "line 5, column npanxx: 212555 is there already",
            "line 6, column npanxx: '21255' is no exchange: want six digits, or seven for a block of a thousand",
            "line 7: 2 columns, the header has 3",
        ]
    );
    assert!(NumberTable::compile(b"").is_err() && NumberTable::compile(b"npa,state\n").is_err());
    let one = NumberTable::compile(b"npanxx,state\n212555,NY\n").expect("right");
    let other = NumberTable::compile(b"npanxx,state\n2125559,NJ\n").expect("right");
    let both = one.clone().merged(&other).expect("a block beside its exchange");
    assert_eq!((both.find("12125559000").map(|e| e.state), both.find("12125558000").map(|e| e.state)), (Some("NJ"), Some("NY")));
    assert_eq!(one.clone().merged(&one).err().as_deref(), Some("212555"));
}

fn groups() -> OriginGroups {
    let own: BTreeMap<String, control::OriginGroup> = serde_json::from_str(include_str!("cases/groups.json")).expect("groups of the test");
    OriginGroups::compile(&own).unwrap_or_else(|bad| panic!("{bad:?}"))
}

#[test]
fn r_27_membership_of_the_eea_is_dated() {
    let groups = groups();
    let eea = groups.position("eea").expect("built in");
    let is = |number: &str, when: &str| {
        let parties = Parties::to("33142345678").from(E164::parse(number).expect("a number"));
        groups.of_caller(&parties, at(when)).has(eea).is_some()
    };
    for (number, when, member) in [
        ("31201234567", "2026-06-01T00:00:00Z", true),
        ("3541234567", "2026-06-01T00:00:00Z", true),
        ("4231234567", "2026-06-01T00:00:00Z", true),
        ("4721234567", "2026-06-01T00:00:00Z", true),
        ("41441234567", "2026-06-01T00:00:00Z", false),
        ("12125550100", "2026-06-01T00:00:00Z", false),
        ("442071838750", "2026-06-01T00:00:00Z", false),
        ("442071838750", "2020-12-31T23:59:59.999999Z", true),
        ("442071838750", "2021-01-01T00:00:00Z", false),
        // Jersey shares the code and never was a member; nor is the Vatican's part of +39.
        ("441534123456", "2020-06-01T00:00:00Z", false),
        ("390669812345", "2026-06-01T00:00:00Z", false),
        ("390612345678", "2026-06-01T00:00:00Z", true),
        ("385123456789", "2014-04-11T23:59:59Z", false),
    ] {
        assert_eq!(is(number, when), member, "{number} at {when}");
    }
}

fn surcharges(groups: &OriginGroups) -> Surcharges {
    let documents: BTreeMap<String, control::Surcharge> = serde_json::from_str(include_str!("cases/surcharges.json")).expect("surcharges of the test");
    Surcharges::compile(&documents, groups).unwrap_or_else(|bad| panic!("{bad:?}"))
}

/// What a leg's surcharges come to: `per minute names`, `per call`.
fn charged(leg: Leg, a: &str, b: &str, when: &str, deck: &str, currency: &str) -> String {
    let groups = groups();
    let (a, a_validity) = caller(a);
    let parties = Parties { a, a_validity, ..Parties::to(b) };
    let (origin, to) = (groups.of_caller(&parties, at(when)), groups.of_digits(b, at(when)));
    let call = Call { deck, currency, destination: "France", number: b, origin: &origin, to: &to, at_us: at(when) };
    let all = surcharges(&groups);
    let adders = all.adders(leg, &call);
    assert_eq!(all.per_minute_e12(leg, &call), adders.surcharges.iter().map(|s| s.per_minute_e12).sum::<i64>());
    let mut terms = Terms::default();
    adders.add_to(&mut terms);
    let minutes = terms.surcharges.iter().map(|s| format!("{} {}", s.name, format_rate(s.per_minute_e12)));
    let calls = terms.fees.iter().map(|f| format!("{} {} a call", f.name, format_rate(f.amount_e12)));
    minutes.chain(calls).collect::<Vec<_>>().join(", ")
}

#[test]
fn r_27_the_cases_of_surcharges() {
    let mut wrong = Vec::new();
    let rows = || include_str!("cases/surcharges.tsv").lines().skip(1).filter(|l| !l.is_empty());
    for row in rows() {
        let cells: Vec<&str> = row.split('\t').collect();
        let [what, leg, a, b, when, deck, currency, want] = cells[..] else { panic!("{row}") };
        let leg = if leg == "cost" { Leg::Cost } else { Leg::Sell };
        let got = charged(leg, a, b, when, deck, currency);
        if got != want.trim_matches('-') {
            wrong.push(format!("{what}: got '{got}'"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows().count() >= 14);
}

#[test]
fn r_27_groups_and_tables_that_cannot_be_are_told() {
    let own: BTreeMap<String, control::OriginGroup> = serde_json::from_value(serde_json::json!({
        "eea": { "members": [{ "prefix": "1" }] },
        "empty": {},
        "both": { "members": [{ "prefix": "1" }], "except": "eea" },
        "lost": { "except": "nobody" },
        "bad": { "members": [{ "prefix": "x", "from": "1.1.2020" }, { "prefix": "2", "from": "2021-01-01", "until": "2020-01-01" }] },
    }))
    .expect("groups of the test");
    let bad: Vec<String> = OriginGroups::compile(&own).err().into_iter().flatten().map(|(name, b)| format!("{name}: {b}")).collect();
    assert_eq!(bad.len(), 7, "{bad:#?}");
    let documents: BTreeMap<String, control::Surcharge> = serde_json::from_value(serde_json::json!({
        "x": { "currency": "eur", "rows": [{ "origin_group": "nobody", "per_minute": "-1", "per_call": "x", "from": "soon", "legs": ["both"], "prefixes": ["+"] }] },
        "y": { "currency": "EUR", "rows": [] },
    }))
    .expect("surcharges of the test");
    let bad: Vec<String> = Surcharges::compile(&documents, &groups()).err().into_iter().flatten().map(|(name, b)| format!("{name}: {b}")).collect();
    assert_eq!(bad.len(), 8, "{bad:#?}");
}

proptest! {
    /// Every valid number is in exactly one of `eea` and `non-eea`, and never in `invalid`.
    #[test]
    fn r_27_eea_and_non_eea_part_the_world(number in "[1-9][0-9]{6,14}", day in 0i64..30_000) {
        let groups = groups();
        let parties = Parties::to("33142345678").from(E164::parse(&number).expect("digits"));
        let origin = groups.of_caller(&parties, day * 86_400_000_000);
        let has = |name: &str| groups.position(name).is_some_and(|g| origin.has(g).is_some());
        prop_assert!(has("eea") != has("non-eea"));
        prop_assert!(!has("invalid"));
    }
}
