//! from the document to the lines of a period.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde_json::{Value, json};
use tollgate_schemas::{control, money::{format_amount, parse_scaled}};

use super::*;
use crate::{contract::{BadPeriod, in_force}, corrections::invoice::instant};

fn compiled(more: Value) -> Result<Contract, Vec<String>> {
    let mut spec = json!({ "account": "acme", "currency": "EUR" });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let spec: control::Contract = serde_json::from_value(spec).expect("a document of the test");
    Contract::compile("acme-2026", &spec).map_err(|bad| bad.into_iter().map(|b| format!("{}: {}", b.path, b.problem)).collect())
}

fn e8(text: &str) -> i64 {
    parse_scaled(text, 8).expect("an amount")
}

/// (answered at, destination, minutes, amount)
type Made = (i64, &'static str, u64, &'static str);

fn lines_of(contract: &Contract, share: Share, calls: &[Made]) -> Vec<(Rule, String)> {
    let mut meter = Meter::new(contract, share);
    for (n, (at_us, destination, minutes, amount)) in calls.iter().enumerate() {
        let used = Used { number: "4420", destination, billed_s: minutes * 60, amount_e8: e8(amount) };
        meter.add(&Call { at_us: *at_us, id: Id(n as u128), used, fees_e8: 0 }).expect("taken");
    }
    meter.lines(None).expect("lines").into_iter().map(|l| (l.rule, format_amount(l.amount_e8))).collect()
}

fn told(lines: &[(Rule, String)]) -> Vec<(Rule, &str)> {
    lines.iter().map(|(rule, amount)| (*rule, amount.as_str())).collect()
}

/// A minute is in a bundle or in a tier, and the commitment sees what is left to pay: 10 minutes at 0.10, 4 of them bundled; the tier takes
/// 50 % off the 6 others; 0.30 of 1.00 committed.
#[test]
fn r_22_a_minute_is_bundled_or_in_a_tier_and_the_commitment_sees_what_is_left() {
    let contract = compiled(json!({
        "commitment": "1.00",
        "bundles": [{ "name": "uk", "minutes": 4, "price": "0.25", "destinations": ["UK"] }],
        "volumes": [{ "name": "all", "mode": "whole_volume", "basis": "minutes", "steps": [{ "from": 0, "discount_pct": "0" }, { "from": 6, "discount_pct": "50" }, { "from": 10, "discount_pct": "90" }] }],
    })).expect("right");
    let lines = lines_of(&contract, Share::WHOLE, &[(2, "UK", 5, "0.50"), (1, "UK", 5, "0.50")]);
    assert_eq!(told(&lines), [(Rule::BundlePrice, "0.250000"), (Rule::Bundle, "-0.400000"), (Rule::Volume, "-0.300000"), (Rule::Commitment, "0.700000")]);
    // Without the bundle all ten minutes are in the tier from 10 on.
    let contract = Contract { bundles: Vec::new(), ..contract };
    let lines = lines_of(&contract, Share::WHOLE, &[(2, "UK", 5, "0.50"), (1, "UK", 5, "0.50")]);
    assert_eq!(told(&lines), [(Rule::Volume, "-0.900000"), (Rule::Commitment, "0.900000")]);
}

#[test]
fn r_22_bundles_go_to_the_calls_answered_first_in_whatever_order_they_come() {
    let contract = compiled(json!({ "bundles": [{ "name": "b", "minutes": 3 }] })).expect("right");
    // The minute of the dear call costs ten times the other's.
    let calls = [(20, "UK", 3, "0.30"), (10, "UK", 3, "3.00")];
    assert_eq!(told(&lines_of(&contract, Share::WHOLE, &calls)), [(Rule::Bundle, "-3.000000")]);
    let turned = [calls[1], calls[0]];
    assert_eq!(told(&lines_of(&contract, Share::WHOLE, &turned)), [(Rule::Bundle, "-3.000000")]);
}

#[test]
fn r_22_of_two_volumes_the_first_counts_a_call() {
    let tier = |name: &str, discount: &str, more: Value| json!({ "name": name, "mode": "whole_volume", "basis": "amount", "destinations": more, "steps": [{ "from": 0, "discount_pct": discount }] });
    let contract = compiled(json!({ "volumes": [tier("uk", "10", json!(["UK"])), tier("rest", "50", json!([]))] })).expect("right");
    let lines = lines_of(&contract, Share::WHOLE, &[(1, "UK", 1, "10"), (2, "France", 1, "10")]);
    assert_eq!(told(&lines), [(Rule::Volume, "-1.000000"), (Rule::Volume, "-5.000000")]);
}

#[test]
fn r_28_the_fee_is_a_line_of_its_own_that_no_commitment_sees() {
    let contract = compiled(json!({ "commitment": "5", "short_calls": {} })).expect("right");
    let meter = Meter::new(&contract, Share::WHOLE);
    let lines = meter.lines(Some(ShortCalls { connected: 1000, short: 200 })).expect("lines");
    let lines: Vec<_> = lines.iter().map(|l| (l.rule, format_amount(l.amount_e8))).collect();
    assert_eq!(told(&lines), [(Rule::Commitment, "5.000000"), (Rule::ShortCalls, "2.000000")]);
}

fn period(contract: &Contract, from: &str, until: &str, zone: Tz) -> Result<Option<(u32, u32)>, BadPeriod> {
    let at = |text: &str| instant(text, zone).expect("a day");
    in_force([contract], at(from), at(until), zone).map(|found| found.map(|(_, share)| (share.days, share.of)))
}

#[test]
fn r_22_an_invoice_covers_a_cycle_of_the_contract_or_is_refused() {
    let zone = Tz::Europe__Amsterdam;
    let of = |more: Value| compiled(more).expect("right");
    let month = of(json!({ "from": "2026-03-15", "until": "2026-06-01" }));
    for (from, until, want) in [
        ("2026-04-01", "2026-05-01", Ok(Some((1, 1)))),
        // Summer time begins in it: days count, not hours.
        ("2026-03-15", "2026-04-01", Ok(Some((17, 31)))),
        ("2026-02-01", "2026-03-01", Ok(None)),
        ("2026-03-01", "2026-03-15", Ok(None)),
        ("2026-03-01", "2026-04-01", Err("'acme-2026' begins on 2026-03-15")),
        ("2026-05-01", "2026-07-01", Err("'acme-2026' ends on 2026-06-01")),
        ("2026-04-01", "2026-04-16", Err("by month: the invoice that begins then is 2026-04-01 to 2026-05-01")),
        ("2026-04-10", "2026-05-01", Err("is 2026-04-01 to 2026-05-01")),
    ] {
        let got = period(&month, from, until, zone);
        match want {
            Ok(want) => assert_eq!(got, Ok(want), "{from} {until}"),
            Err(why) => assert!(got.as_ref().is_err_and(|e| e.to_string().contains(why)), "{from} {until}: {got:?}"),
        }
    }
    assert_eq!(period(&of(json!({ "from": "2026-03-15", "partial": "full" })), "2026-03-15", "2026-04-01", zone), Ok(Some((1, 1))));
    for (cycle, from, until) in [("half_month", "2026-02-16", "2026-03-01"), ("half_month", "2026-02-01", "2026-02-16"), ("week", "2026-03-30", "2026-04-06"), ("invoice", "2026-03-03", "2026-03-04")] {
        assert_eq!(period(&of(json!({ "cycle": cycle })), from, until, zone), Ok(Some((1, 1))), "{cycle}");
    }
    // Midnight of another zone is no month's beginning.
    let at = |text: &str, zone| instant(text, zone).expect("a day");
    assert!(in_force([&of(json!({}))], at("2026-04-01", Tz::UTC), at("2026-05-01", Tz::UTC), zone).is_err());
}

#[test]
fn r_22_a_cut_cycle_has_its_amounts_by_days() {
    let contract = compiled(json!({ "commitment": "310", "bundles": [{ "name": "b", "minutes": 31, "price": "62" }] })).expect("right");
    let lines = lines_of(&contract, Share { days: 17, of: 31 }, &[(1, "UK", 20, "20")]);
    assert_eq!(told(&lines), [(Rule::BundlePrice, "34.000000"), (Rule::Bundle, "-17.000000"), (Rule::Commitment, "167.000000")]);
}

#[test]
fn r_22_every_mistake_of_a_contract_is_told_at_its_place() {
    let bad = compiled(json!({
        "currency": "eur", "from": "2026-02-30", "cycle": "year", "partial": "half", "commitment": "-1",
        "bundles": [{ "name": "a", "minutes": 0 }, { "name": "", "minutes": 1, "prefixes": ["x"] }],
        "volumes": [
            { "name": "a", "mode": "both", "basis": "minutes", "steps": [{ "from": 0, "rate": "1" }] },
            { "name": "v", "mode": "incremental", "basis": "minutes", "steps": [{ "from": 0, "rate": "1", "discount_pct": "1" }] },
            { "name": "w", "mode": "incremental", "basis": "minutes", "steps": [{ "from": 1, "rate": "1" }] },
            { "name": "z", "mode": "incremental", "basis": "minutes", "steps": [{ "from": 0, "discount_pct": "101" }] },
        ],
        "short_calls": { "charge": "some" },
    })).expect_err("mistakes");
    let paths: Vec<&str> = bad.iter().map(|b| b.split_once(": ").map_or("", |(path, _)| path)).collect();
    assert_eq!(paths, [
        "currency", "from", "cycle", "partial", "commitment", "bundles[0].minutes", "bundles[1].prefixes[0]", "volumes[0].mode", "volumes[1].steps[0]",
        "volumes[2].steps", "volumes[3].steps[0].discount_pct", "bundles[1].name", "volumes[0].name", "short_calls.charge",
    ], "{bad:#?}");
    assert_eq!(compiled(json!({ "from": "2026-02-01", "until": "2026-02-01" })), Err(vec!["until: is not after from".to_owned()]));
}

#[test]
fn r_22_an_account_has_one_contract_at_a_time_and_a_changed_one_is_another_version() {
    let dated = |from: Option<&str>, until: Option<&str>| compiled(json!({ "from": from, "until": until })).expect("right");
    let overlap = |two: [Contract; 2]| {
        let [a, b] = two;
        Contract::overlaps(&BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)])).len()
    };
    assert_eq!(overlap([dated(None, Some("2026-04-01")), dated(Some("2026-04-01"), None)]), 0);
    assert_eq!(overlap([dated(None, Some("2026-04-02")), dated(Some("2026-04-01"), None)]), 1);
    assert_eq!(overlap([dated(None, None), Contract { account: "other".into(), ..dated(None, None) }]), 0);
    let one = compiled(json!({ "commitment": "5" })).expect("right");
    assert_eq!(one.version, compiled(json!({ "commitment": "5", "cycle": "month" })).expect("right").version, "a default said is the same");
    assert_ne!(one.version, compiled(json!({ "commitment": "6" })).expect("right").version);
    assert_eq!(one.version.len(), 16);
}

proptest::proptest! {
    /// What bundles take off and what tiers count is the whole usage, however calls and bundles lie.
    #[test]
    fn r_22_bundled_and_tiered_seconds_are_all_seconds_once(calls in proptest::collection::vec((0i64..50, 0u64..9, 0i64..1_000_000_000), 0..40), minutes in 1u64..40) {
        let contract = compiled(json!({
            "bundles": [{ "name": "x", "minutes": minutes, "destinations": ["UK"] }, { "name": "y", "minutes": 3, "weight": 1 }],
            "volumes": [{ "name": "v", "mode": "whole_volume", "basis": "amount", "steps": [{ "from": 0, "discount_pct": "100" }] }],
        })).expect("right");
        let mut meter = Meter::new(&contract, Share::WHOLE);
        let mut whole = 0;
        for (n, (at_us, minutes, amount_e8)) in calls.iter().enumerate() {
            let amount_e8 = if *minutes == 0 { 0 } else { amount_e8 / 100 * 100 };
            whole += amount_e8;
            let destination = if n % 3 == 0 { "UK" } else { "France" };
            meter.add(&Call { at_us: *at_us, id: Id(n as u128), used: Used { number: "1", destination, billed_s: minutes * 60, amount_e8 }, fees_e8: 0 }).expect("taken");
        }
        let lines = meter.lines(None).expect("lines");
        // Everything that is not bundled is taken off by the tier of 100 %.
        proptest::prop_assert_eq!(lines.iter().map(|l| l.amount_e8).sum::<i64>(), -whole);
    }
}
