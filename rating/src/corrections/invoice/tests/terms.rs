//! Contracts, taxes and exchange on invoices and their notes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_schemas::control;

use super::*;
use crate::{contract::{Contract, Share}, fx::Fx, tax::TaxError};

fn contract(more: Value) -> Contract {
    let mut spec = json!({ "account": "acme", "currency": "EUR" });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    Contract::compile("acme-2026", &serde_json::from_value(spec).expect("a document")).expect("right")
}

fn tables(more: Value) -> BTreeMap<String, control::Tax> {
    serde_json::from_value(more).expect("tables of the test")
}

/// The published quarters of R-31 and a charge per line of a state.
fn us() -> BTreeMap<String, control::Tax> {
    tables(json!({
        "us": { "country": "US", "rows": [
            { "code": "usf-share", "kind": "share", "rate": "64.9" },
            { "code": "usf", "rate": "37.6", "base": "interstate", "resale_exempt": true, "from": "2026-01-01", "until": "2026-04-01" },
            { "code": "usf", "rate": "37.0", "base": "interstate", "resale_exempt": true, "from": "2026-04-01", "until": "2026-07-01" },
        ] },
        "us-tx": { "country": "US", "region": "TX", "rows": [{ "code": "911", "kind": "per_line", "rate": "0.50" }] },
        "de": { "country": "DE", "rows": [{ "code": "vat", "rate": "19", "reverse_charge": true }] },
    }))
}

fn profile(more: Value) -> control::TaxProfile {
    let mut spec = json!({ "seller_country": "NL", "places": [{ "country": "US" }] });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).expect("a profile")
}

fn basis(more: Value, day: &str) -> TaxBasis {
    TaxBasis::new(profile(more), day, &us())
}

/// `description amount` of the taxes of an invoice over this much.
fn taxed(amount: &str, basis: &TaxBasis) -> Vec<String> {
    let details = Details { recurring: vec![Item { description: "service".into(), amount: amount.into() }], ..Details::default() };
    let made = issue_with(&Bill::plain(&Usage::of("acme")), &details, 1, Some(basis));
    assert_eq!(made.lines.iter().map(|l| e8(&l.amount)).sum::<i64>(), e8(&made.total));
    assert!(made.lines.iter().filter_map(|l| l.tax.as_ref()).all(|t| t.note.contains("non-authoritative")));
    let of = |l: &Line| format!("{} {}", l.description, fixed(e8(&l.amount), 2));
    made.lines.iter().filter(|l| l.section == Some(Section::Taxes)).map(of).collect()
}

#[test]
fn r_31_a_hundred_dollars_retail_by_safe_harbour_at_37_percent_are_taxed_24_01() {
    assert_eq!(taxed("100.00", &basis(json!({}), "2026-05-31")), ["usf (US) 37 % on 64.900000 24.01"]);
    assert_eq!(taxed("100.00", &basis(json!({}), "2026-03-31")), ["usf (US) 37.6 % on 64.900000 24.40"], "the factor of its quarter");
    assert_eq!(taxed("100.00", &basis(json!({ "interstate_pct": "10" }), "2026-05-31")), ["usf (US) 37 % on 10.000000 3.70"]);
    let reseller = json!({ "certificate": "499-A 12", "certificate_until": "2026-06-01" });
    assert_eq!(taxed("100.00", &basis(reseller, "2026-05-31")), ["usf (US) 37 % on 64.900000: resale certificate 0.00"]);
    let beyond = json!({ "certificate": "499-A 12", "certificate_until": "2026-05-31" });
    assert_eq!(taxed("100.00", &basis(beyond, "2026-05-31")), ["usf (US) 37 % on 64.900000 24.01"]);
}

#[test]
fn r_32_each_place_is_taxed_on_its_part_by_its_own_tables() {
    let places = json!({ "places": [{ "country": "US", "region": "TX", "share_pct": "33.3333", "lines": 3 }, { "country": "DE", "share_pct": "66.6667" }] });
    assert_eq!(taxed("100.00", &basis(places, "2026-05-31")), [
        "usf (US-TX) 37 % on 21.6333117 8.00", "911 (US-TX) 0.500000 a line on 3 lines 1.50", "vat (DE) 19 % on 66.666700 12.67",
    ]);
    let abroad = |checked: Value| basis(json!({ "places": [{ "country": "DE" }], "vat_id": "DE123", "vat_id_checked": checked }), "2026-05-31");
    assert_eq!(taxed("100.00", &abroad(json!("2026-05-31"))), ["vat (DE) 19 % on 100.000000: reverse charge 0.00"]);
    assert_eq!(taxed("100.00", &abroad(json!("2026-06-01"))), ["vat (DE) 19 % on 100.000000 19.00"], "not checked by then");
    let unknown = basis(json!({ "places": [{ "country": "FR" }] }), "2026-05-31");
    assert_eq!(unknown.lines(0, "EUR", 2), Err(TaxError::NoTable { country: "FR".into() }));
    assert!(basis(json!({}), "2026-05-31").differs_on("2026-03-31", &us()) && !basis(json!({}), "2026-05-31").differs_on("2026-04-01", &us()));
}

#[test]
fn r_32_every_mistake_of_a_profile_is_told_at_its_place() {
    let found = TaxBasis::check(&profile(json!({
        "seller_country": "nl", "places": [{ "country": "USA", "share_pct": "50" }, { "country": "US", "share_pct": "49.9" }], "vat_id_checked": "1 May",
        "certificate": "x", "interstate_pct": "101",
    })));
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["seller_country", "places[0].country", "places", "vat_id_checked", "certificate_until", "vat_id", "interstate_pct"], "{found:#?}");
    assert!(TaxBasis::check(&profile(json!({}))).is_empty());
}

fn metered<'a>(contract: &Contract, usage: &'a Usage, rows: &[Cdr]) -> (Bill<'a>, ContractUsed) {
    let mut terms = Terms::new(contract, Share::WHOLE);
    rows.iter().for_each(|r| terms.add(r, None).expect("taken"));
    let used = terms.used();
    (Bill { contract: terms.lines(None).expect("lines"), ..Bill::plain(usage) }, used)
}

/// Two hours of calls for 72.00, of which the first is in a bundle; the tier takes half off the rest, and 30.00 were committed.
#[test]
fn r_22_a_contracts_lines_are_on_the_invoice_by_name_with_their_version() {
    let contract = contract(json!({
        "commitment": "30",
        "bundles": [{ "name": "UK 60", "minutes": 60, "price": "10", "destinations": ["UK"] }],
        "volumes": [{ "name": "rest", "mode": "incremental", "basis": "minutes", "steps": [{ "from": 0, "discount_pct": "50" }] }],
    }));
    let rows = [row(1, "UK", 600_000_000_000, 3_600, 3_600_000_000), row(2, "UK", 600_000_000_000, 3_600, 3_600_000_000)];
    let usage = usage(&rows);
    let (bill, _) = metered(&contract, &usage, &rows);
    let made = issue_with(&bill, &Details::default(), 1, None);
    let told: Vec<(Section, &str, &str, &str)> = made.lines.iter().map(|l| (l.section.expect("section"), l.description.as_str(), l.minutes.as_str(), l.amount.as_str())).collect();
    assert_eq!(told, [
        (Section::Recurring, "UK 60, 60 minutes", "", "10.000000"),
        (Section::Usage, "calls", "120.00", "72.000000"),
        (Section::Contract, "UK 60, bundled minutes used", "60.00", "-36.000000"),
        (Section::Contract, "rest, from 0 minutes, less 50%", "", "-18.000000"),
        (Section::Contract, "commitment shortfall", "", "12.000000"),
    ]);
    let of = format!("acme-2026 {}", contract.version);
    assert_eq!(made.lines.iter().filter(|l| l.contract == of).count(), 4);
    assert_eq!(made.total, "40.00", "what was committed, and the bundle");
}

#[test]
fn r_46_a_note_follows_the_invoices_contract_and_taxes() {
    let contract = contract(json!({ "volumes": [{ "name": "t", "mode": "whole_volume", "basis": "amount", "steps": [{ "from": 0, "discount_pct": "0" }, { "from": 10, "discount_pct": "10" }] }] }));
    let old = [row(1, "UK", 10_000_000_000, 3_600, 1_000_000_000)];
    let new = [Cdr { cdr_version: 2, sell_amount: 900_000_000, ..old[0].clone() }];
    let (then, now) = (usage(&old), usage(&new));
    let taxes = basis(json!({ "places": [{ "country": "DE" }] }), "2026-03-31");
    let ((was, used), (is, _)) = (metered(&contract, &then, &old), metered(&contract, &now, &new));
    let made = Invoice { contract: Some(used), ..issue_with(&was, &Details::default(), 7, Some(&taxes)) };
    // 10.00 less 10 % and 19 %; 9.00 reach no step.
    assert_eq!(made.total, "10.71");
    // Calls are a unit less and the discount is gone: nothing to pay, and both lines, as the ledger has only the one of the calls.
    let even = note(&made, Ground::Rerated { then: &was, now: &is }, note_order(e8(&made.total))).expect("a note");
    let lines: Vec<&str> = even.lines.iter().map(|l| l.amount.as_str()).collect();
    assert_eq!((even.kind.as_str(), even.total.as_str(), lines), ("credit_note", "0.00", vec!["-1.000000", "1.000000"]));
    let same = note(&made, Ground::Rerated { then: &was, now: &was }, note_order(e8(&made.total))).expect_err("nothing has changed");
    assert_eq!(same, Refused::NothingChanged("2026-7".into()));
    let cheaper = [Cdr { cdr_version: 2, sell_amount: 500_000_000, ..old[0].clone() }];
    let usage = usage(&cheaper);
    let (is, _) = metered(&contract, &usage, &cheaper);
    let credit = note(&made, Ground::Rerated { then: &was, now: &is }, note_order(e8(&made.total))).expect("a note");
    let lines: Vec<(&str, &str, Option<u32>)> = credit.lines.iter().map(|l| (l.description.as_str(), l.amount.as_str(), l.invoice_line)).collect();
    assert_eq!((credit.kind.as_str(), credit.total.as_str()), ("credit_note", "4.76"));
    assert_eq!(lines[0], ("calls", "-5.000000", Some(1)));
    assert!(lines.contains(&("t, from 10, less 10%", "1.000000", Some(2))) && lines.contains(&("vat (DE) 19 %", "-0.760000", Some(3))), "{lines:?}");
}

#[test]
fn r_30_calls_in_another_currency_are_converted_at_the_rate_of_their_answer_which_the_line_keeps() {
    let rate = |date: &str, rate: &str| json!({ "base": "USD", "quote": "EUR", "rate": rate, "date": date });
    let rates: BTreeMap<String, control::FxRate> = serde_json::from_value(json!({ "ecb": { "source": "ecb", "rates": [rate("2026-03-01", "0.90"), rate("2026-03-02", "0.80")] } })).expect("rates");
    let fx = Fx::compile(&rates).expect("right");
    let day_us = 86_400_000_000;
    // row's calls began at midnight of 1 March; the third was answered the day after, the last long after any rate.
    let usd = |n: u8, days: i64| Cdr { sell_currency: "USD".into(), answer_ts: Some(1_772_323_200_000_000 + days * day_us), ..row(n, "UK", 10_000_000_000, 60, 1_000_000) };
    let rows = [row(1, "UK", 10_000_000_000, 60, 1_000_000), usd(2, 0), usd(3, 1)];
    let mut exchange = Exchange::new("EUR", &fx, &[]);
    let mut usage = Usage::of("acme");
    for row in &rows {
        let at = exchange.of(row).expect("a rate");
        usage.add_at(row, at);
    }
    assert_eq!(exchange.of(&usd(4, 10)), Err(NoRate { from: "USD".into(), to: "EUR".into(), day: "2026-03-11".into() }));
    let made = issue(&usage, &BTreeMap::new(), &Details::default(), 1);
    let told: Vec<_> = made.lines.iter().filter(|l| l.section == Some(Section::Usage)).map(|l| (l.amount.as_str(), l.exchanged.clone())).collect();
    let at = |rate: &str, date: &str| Some(Exchanged { currency: "USD".into(), amount: "0.010000".into(), rate: rate.into(), source: "ecb".into(), date: date.into() });
    assert_eq!(told, [("0.010000", None), ("0.008000", at("0.8000", "2026-03-02")), ("0.009000", at("0.9000", "2026-03-01"))]);
    // What the invoice kept goes before what the tables say later.
    let kept = exchange.days();
    assert_eq!(kept.len(), 2);
    let none = Fx::default();
    let mut again = Exchange::new("EUR", &none, &kept);
    assert_eq!(again.of(&rows[2]).expect("kept").map(|u| u.rate_e12), Some(800_000_000_000));
}
