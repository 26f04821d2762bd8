//! Tariffs of decks: their documents, and prices that come from other decks.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_rating::{
    deck::{BadOption, Deck, DeckOptions, Lookup, Origination, link},
    geography::Judged,
};
use tollgate_schemas::{control, parties::Jurisdiction, time::parse_rfc3339, v1::Terms};

const HEADER: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,currency\n";

fn spec(json: serde_json::Value) -> control::Deck {
    serde_json::from_value(json).expect("a spec")
}

fn deck(name: &str, rows: &str, json: serde_json::Value) -> Arc<Deck> {
    let options = DeckOptions::from_spec(&spec(json)).expect("options");
    Arc::new(Deck::compile(name, format!("{HEADER}{rows}").as_bytes(), &options).expect("compiles"))
}

fn linked(decks: Vec<Arc<Deck>>) -> BTreeMap<String, Arc<Deck>> {
    link(&by_name(decks)).expect("fits together")
}

fn by_name(decks: Vec<Arc<Deck>>) -> BTreeMap<String, Arc<Deck>> {
    decks.into_iter().map(|d| (d.name().to_owned(), d)).collect()
}

fn terms(deck: &Deck, number: &str, at: &str) -> Terms {
    match deck.lookup(number, parse_rfc3339(at).expect(at)) {
        Lookup::Row(row) => {
            let (terms, at_us) = (row.terms(), parse_rfc3339(at).expect(at));
            for ms in [0, 1, 61_000, 3_600_000] {
                assert_eq!(row.charge(at_us, ms), terms.charge(at_us, ms), "the row charges what its terms say");
            }
            terms
        }
        other => panic!("{number}: {other:?}"),
    }
}

/// In millionths.
fn cost(deck: &Deck, number: &str, at: &str, s: u64) -> i64 {
    terms(deck, number, at).charge(parse_rfc3339(at).expect(at), s * 1000).amount_e8 / 100
}

const FRIDAY: &str = "2026-11-20T12:00:00Z";
const SATURDAY: &str = "2026-11-21T12:00:00Z";

#[test]
fn r_18_a_profile_is_priced_by_its_own_decks_longest_prefix() {
    let weekend = serde_json::json!({ "tariff": { "profiles": [{ "name": "weekend", "deck": "cheap", "weekdays": ["sat", "sun"] }] } });
    let decks = linked(vec![
        deck("main", "44,UK,0.60,0,1,1,,\n447,UK mobile,1.20,0,60,60,,\n33,France,0.9,0,1,1,,", weekend),
        deck("cheap", "44,UK,0.30,0.01,1,1,,\n4420,London,0.12,0,6,6,,", serde_json::json!({})),
    ]);
    let main = &decks["main"];
    assert_eq!(cost(main, "442071838750", FRIDAY, 60), 600_000);
    assert_eq!(cost(main, "442071838750", SATURDAY, 60), 120_000, "the cheap deck breaks London out, the main one does not");
    assert_eq!(cost(main, "447911123456", FRIDAY, 61), 2_400_000);
    assert_eq!(cost(main, "447911123456", SATURDAY, 60), 310_000, "and it does not break mobile out: its own row of 44, fee and increments too");
    assert_eq!(cost(main, "33123456789", SATURDAY, 60), 900_000, "not sold there: the row's own price stays");
    assert_eq!(terms(main, "442071838750", SATURDAY).bands[0].name, "weekend");
}

#[test]
fn r_17_steps_are_factors_of_the_price_in_force_or_another_decks() {
    let tariff = serde_json::json!({ "tariff": {
        "steps": [{ "after_s": 60, "rate_factor": "0.5" }, { "after_s": 600, "deck": "long", "increment_s": 60 }],
        "profiles": [{ "name": "night", "rate_factor": "0.5", "from": "22:00", "to": "06:00" }],
    } });
    let decks = linked(vec![
        deck("main", "44,UK,0.60,0.02,1,1,,", tariff),
        deck("long", "44,UK,0.06,0,1,1,,", serde_json::json!({})),
    ]);
    let main = &decks["main"];
    // 60 s at 0.60 and 540 s at 0.30, then a minute at 0.06.
    assert_eq!(cost(main, "4420", FRIDAY, 600), 20_000 + 600_000 + 2_700_000);
    assert_eq!(cost(main, "4420", FRIDAY, 601), 20_000 + 600_000 + 2_700_000 + 60_000);
    // At night half of either.
    assert_eq!(cost(main, "4420", "2026-11-20T23:00:00Z", 600), 20_000 + 300_000 + 1_350_000);
    assert_eq!(cost(main, "4420", "2026-11-20T23:00:00Z", 660), 20_000 + 300_000 + 1_350_000 + 60_000);
}

/// In millionths, for a caller of these groups and of this jurisdiction.
fn cost_from(deck: &Deck, at: &str, s: u64, groups: &[&str], jurisdiction: Jurisdiction) -> i64 {
    let judged = Judged { jurisdiction, invalid_caller: false };
    let (from, at_us) = (Origination { groups, by_ani: judged, by_routing: judged }, parse_rfc3339(at).expect(at));
    let Lookup::Row(row) = deck.lookup_for("12125550100", at_us, &from) else { panic!("{at}") };
    let amount = row.terms_for(&from).charge(at_us, s * 1000).amount_e8;
    assert_eq!(row.charge_for(&from, at_us, s * 1000).amount_e8, amount, "the row charges what its terms say");
    amount / 100
}

#[test]
fn r_25_r_27_prices_of_other_decks_and_of_later_rows_go_by_the_caller_too() {
    let head = "prefix,destination,rate,connect_fee,initial,increment,effective_from,interrate,intrarate,ijrate,origin_group\n";
    let deck = |name: &str, rows: &str, json: serde_json::Value| {
        let options = DeckOptions::from_spec(&spec(json)).expect("options");
        Arc::new(Deck::compile(name, format!("{head}{rows}").as_bytes(), &options).expect("compiles"))
    };
    let tariff = serde_json::json!({ "tariff": {
        "split_at_change": true,
        "steps": [{ "after_s": 60, "deck": "other" }],
        "profiles": [{ "name": "weekend", "deck": "other", "weekdays": ["sat", "sun"] }],
    } });
    let decks = linked(vec![
        deck("main", "1212,NY,0.9,0,1,1,,0.03,0.06,0.12,\n1212,NY,0.9,0,1,1,2026-11-18,0.3,0.6,1.2,\n1,US,0.7,0,1,1,,,,,eea", tariff),
        deck("other", "1212,NY,0.8,0,1,1,,0.01,0.02,0.04,\n1212,NY,0.5,0,1,1,,,,,eea", serde_json::json!({})),
    ]);
    let main = &decks["main"];
    for (groups, jurisdiction, on_friday, on_saturday) in [
        (&[][..], Jurisdiction::Inter, 300_000, 10_000),
        (&[], Jurisdiction::Intra, 600_000, 20_000),
        (&[], Jurisdiction::Indeterminate, 1_200_000, 40_000),
        (&[], Jurisdiction::Intl, 900_000, 800_000),
        (&["eea"], Jurisdiction::Intl, 700_000, 500_000),
        (&["africa", "eea"], Jurisdiction::Intra, 700_000, 500_000),
    ] {
        assert_eq!(cost_from(main, FRIDAY, 60, groups, jurisdiction), on_friday, "{groups:?} {jurisdiction:?}");
        assert_eq!(cost_from(main, SATURDAY, 60, groups, jurisdiction), on_saturday, "{groups:?} {jurisdiction:?}: the profile's deck");
        assert_eq!(cost_from(main, FRIDAY, 120, groups, jurisdiction), on_friday + on_saturday, "{groups:?} {jurisdiction:?}: the step's deck");
    }
    // Half a minute before the row changes, and half a minute after it.
    assert_eq!(cost_from(main, "2026-11-17T23:59:30Z", 60, &[], Jurisdiction::Intra), 30_000 + 300_000);
    assert_eq!(cost_from(main, "2026-11-17T23:59:30Z", 60, &["eea"], Jurisdiction::Intl), 700_000, "its row does not change");
}

#[test]
fn r_17_r_18_where_another_deck_does_not_sell_the_number_the_rows_own_price_stays() {
    let profiles = serde_json::json!({ "tariff": { "profiles": [{ "name": "special", "deck": "x", "weight": 5 }, { "name": "cheap", "rate_factor": "0.1" }] } });
    let steps = serde_json::json!({ "tariff": { "steps": [{ "after_s": 60, "deck": "x", "increment_s": 60 }, { "after_s": 120, "rate_factor": "2" }] } });
    let night = serde_json::json!({ "tariff": {
        "steps": [{ "after_s": 60, "deck": "x" }], "profiles": [{ "name": "night", "rate_factor": "0.5", "from": "22:00", "to": "06:00" }],
    } });
    let decks = linked(vec![
        deck("by-profile", "44,UK,0.6,0,1,1,,", profiles), deck("by-step", "44,UK,0.6,0,1,1,,", steps), deck("at-night", "44,UK,0.6,0,1,1,,", night),
        deck("x", "49,DE,5,0,1,1,,", serde_json::json!({})),
    ]);
    assert_eq!(cost(&decks["by-profile"], "442079460000", FRIDAY, 90), 900_000, "no profile of less weight comes in its place");
    assert_eq!(cost(&decks["by-step"], "442079460000", FRIDAY, 90), 1_200_000, "the step's increment holds from the step on");
    assert_eq!(cost(&decks["by-step"], "442079460000", FRIDAY, 121), 1_200_000 + 1_200_000);
    assert_eq!(cost(&decks["at-night"], "442079460000", "2026-11-20T23:00:00Z", 120), 600_000, "the price that holds from the answer on: the profile's");
}

#[test]
fn r_12_a_contract_may_split_calls_where_the_row_changes() {
    let rows = "44,UK,0.60,0.02,1,1,,\n44,UK,0.30,0.05,1,1,2026-03-29,\n44,UK,0.90,0,60,60,2026-10-25,";
    let zone = |split: bool| serde_json::json!({ "timezone": "Europe/Amsterdam", "tariff": { "split_at_change": split, "grace_ms": 1 } });
    let (whole, split) = (deck("whole", rows, zone(false)), deck("split", rows, zone(true)));
    // 00:00 of the days the clocks change, in Amsterdam.
    for (before, after, at_30, second) in [
        ("2026-03-28T22:59:30Z", "2026-03-28T23:00:00Z", 20_000 + 300_000 + 150_000, 50_000 + 300_000),
        ("2026-10-24T21:59:30Z", "2026-10-24T22:00:00Z", 50_000 + 150_000 + 900_000, 900_000),
    ] {
        let own = cost(&whole, "4420", before, 60);
        assert_eq!(own, if before.contains("-03-") { 620_000 } else { 350_000 }, "by default the answer's row prices all of it");
        assert_eq!(cost(&split, "4420", before, 60), at_30, "{before}");
        assert_eq!(cost(&split, "4420", before, 30), own - if before.contains("-03-") { 300_000 } else { 150_000 }, "over before the change");
        assert_eq!(cost(&split, "4420", after, 60), second, "answered after it");
    }
}

#[test]
fn r_09_modifiers_and_fees_of_a_document_are_in_the_terms() {
    let json = serde_json::json!({ "places": 4, "rounding": "up", "tariff": {
        "seconds": "floor", "tolerance_ms": 100, "grace_ms": 500, "free_s": 2, "min_charge": "0.05", "max_charge": "1", "at_max": "disconnect",
        "answer_fee": "0.01", "attempt_fee": "0.02", "ringing_fee": "0.03", "call_fee": "0.04",
    } });
    let terms = terms(&deck("main", "44,UK,0.60,0,1,1,,", json), "4420", FRIDAY);
    let told = (terms.seconds_rule, terms.tolerance_ms, terms.grace_ms, terms.free_s, terms.min_charge_e12, terms.max_charge_e12, terms.end_at_max);
    assert_eq!(told, (2, 100, 500, 2, 50_000_000_000, 1_000_000_000_000, true));
    let fees: Vec<_> = terms.fees.iter().map(|f| (f.name.as_str(), f.amount_e12 / 10_000_000_000)).collect();
    assert_eq!(fees, [("answer", 1), ("attempt", 2), ("ringing", 3), ("call", 4)]);
    assert!(!terms.is_plain());
}

#[test]
fn a_tariff_that_adds_nothing_leaves_the_deck_plain() {
    let plain = deck("main", "44,UK,0.60,0,1,1,,", serde_json::json!({ "tariff": {} }));
    assert!(plain.tariff().is_none() && terms(&plain, "4420", FRIDAY).is_plain());
}

#[test]
fn every_mistake_of_a_tariff_is_told_with_its_place() {
    let json = serde_json::json!({ "tariff": {
        "seconds": "round", "at_max": "disconnect", "min_charge": "x", "ringing_fee": "-1", "grace_ms": 86_400_001u32, "free_s": 90_000,
        "steps": [{ "after_s": 0, "rate_factor": "0.5" }, { "after_s": 60 }, { "after_s": 60, "rate_factor": "1001", "increment_s": 0 }, { "after_s": 9, "deck": "No" }],
        "profiles": [
            { "name": "", "rate_factor": "1", "deck": "x" },
            { "name": "a", "rate_factor": "0.0000001", "weekdays": ["sat", "someday"], "months": [13], "days": [0], "dates": ["2026-02-30"], "from": "24:00", "to": "9:00" },
            { "name": "a", "rate_factor": "1", "to": "24:01" },
        ],
    } });
    let Err(BadOption::Tariff(bad)) = DeckOptions::from_spec(&spec(json)) else { panic!("mistakes") };
    let paths: Vec<&str> = bad.iter().map(|b| b.path.as_str()).collect();
    assert_eq!(paths, [
        "tariff.seconds", "tariff.min_charge", "tariff.at_max", "tariff.grace_ms", "tariff.free_s", "tariff.ringing_fee",
        "tariff.steps[0].after_s", "tariff.steps[1]", "tariff.steps[2].after_s", "tariff.steps[2].increment_s", "tariff.steps[2].rate_factor", "tariff.steps[3].deck",
        "tariff.profiles[0].name", "tariff.profiles[0]",
        "tariff.profiles[1].weekdays[1]", "tariff.profiles[1].months[0]", "tariff.profiles[1].days[0]", "tariff.profiles[1].dates[0]", "tariff.profiles[1].from",
        "tariff.profiles[1].to", "tariff.profiles[1].rate_factor", "tariff.profiles[2].name", "tariff.profiles[2].to",
    ]);
}

#[test]
fn decks_that_do_not_fit_together_are_told() {
    let naming = |other: &str| serde_json::json!({ "tariff": { "profiles": [{ "name": "n", "deck": other }] } });
    let row = "44,UK,0.60,0,1,1,,";
    let problems = link(&by_name(vec![
        deck("a", row, naming("b")), deck("b", row, naming("c")), deck("c", row, naming("a")),
        deck("itself", row, naming("itself")), deck("lost", row, naming("nowhere")), deck("abroad", row, naming("euro")),
        deck("euro", "44,UK,0.60,0,1,1,,EUR", serde_json::json!({})), deck("fine", row, naming("plain")), deck("plain", row, serde_json::json!({})),
        deck("outside", row, naming("a")),
    ]));
    let told: Vec<String> = problems.map(drop).expect_err("problems").iter().map(|(name, b)| format!("{name}: {}", b.problem)).collect();
    assert_eq!(told, [
        "a: deck 'b' leads back to this one", "abroad: deck 'euro' is in EUR, this one in USD", "b: deck 'c' leads back to this one",
        "c: deck 'a' leads back to this one", "itself: deck 'itself' leads back to this one", "lost: there is no deck 'nowhere'",
    ]);
}
