//! What comes first, under which policy.

use tollgate_rating::routing::{CarrierRoutes, RouteQuery};
use tollgate_schemas::v1::CarrierQuality;

use super::made::{carrier, known, left_out, names, policy, query, sell, table, verdict};

fn ask(carriers: Vec<CarrierRoutes>, by: &str, quality: Vec<CarrierQuality>, durations: &[(u64, u32)], draw_e6: u32) -> Vec<String> {
    let (table, policy, quality, price) = (table(carriers), policy(by), verdict(quality, durations), sell("0.02", 1, 1));
    let decision = table.candidates(&RouteQuery { policy: Some(&policy), quality: Some(&quality), sell: Some(&price), draw_e6, ..query() });
    names(&decision)
}

const LAST: u32 = 999_999;

#[test]
fn r_36_cost_is_of_the_lengths_calls_have_there() {
    let carriers = || vec![carrier("a", "1 0.0095 60/60"), carrier("b", "1 0.0100 1/1")];
    for (durations, want) in [(&[(30_000, 1)][..], ["b", "a"]), (&[(600_000, 1)], ["a", "b"]), (&[(30_000, 3), (600_000, 1)], ["b", "a"])] {
        assert_eq!(ask(carriers(), "{}", vec![], durations, LAST), want, "{durations:?}");
    }
}

#[test]
fn r_36_ties_go_by_quality_then_priority_then_weight_then_name() {
    let at = |name: &str, priority, weight| CarrierRoutes { priority, weight, ..carrier(name, "1 0.01 1/1") };
    let carriers = vec![at("a", 0, 0), at("b", 0, 5), at("c", 1, 0), at("d", 0, 0)];
    assert_eq!(ask(carriers.clone(), "{}", vec![], &[], LAST), ["c", "b", "a", "d"]);
    assert_eq!(ask(carriers, "{}", vec![known("d", 50), known("a", 40)], &[], LAST), ["d", "a", "c", "b"]);
}

#[test]
fn r_36_within_the_delta_weight_decides() {
    let at = |name: &str, rate: &str, weight| CarrierRoutes { weight, ..carrier(name, &format!("1 {rate} 60/60")) };
    let carriers = || vec![at("a", "0.0100", 1), at("b", "0.0104", 9), at("c", "0.0106", 50)];
    // 60 s cost 0.0100, 0.0104 and 0.0106.
    for (by, want) in [
        ("{}", ["a", "b", "c"]),
        (r#"{"delta":"0.0004"}"#, ["b", "a", "c"]),
        (r#"{"delta":"0.0006"}"#, ["c", "b", "a"]),
        (r#"{"delta_pct":"4"}"#, ["b", "a", "c"]),
        (r#"{"delta_pct":"3.99"}"#, ["a", "b", "c"]),
        (r#"{"order":"weight"}"#, ["c", "b", "a"]),
    ] {
        assert_eq!(ask(carriers(), by, vec![], &[(60_000, 1)], LAST), want, "{by}");
    }
}

#[test]
fn r_39_demoted_carriers_come_after_all_others_whatever_their_price() {
    let carriers = || vec![carrier("cheap", "1 0.0001 1/1"), carrier("dear", "1 0.019 1/1")];
    let demoted = || vec![CarrierQuality { state: "demoted".into(), ..known("cheap", 5) }, known("dear", 50)];
    for order in ["cost", "score", "quality", "weight", "penalties"] {
        assert_eq!(ask(carriers(), &format!(r#"{{"order":"{order}"}}"#), demoted(), &[], LAST), ["dear", "cheap"], "{order}");
    }
    // Without a policy qualities have no say.
    let quality = verdict(demoted(), &[]);
    let table = table(carriers());
    assert_eq!(names(&table.candidates(&RouteQuery { quality: Some(&quality), ..query() })), ["cheap", "dear"]);
}

#[test]
fn r_38_the_score_is_the_hunts_expected_money() {
    let (carriers, by) = (table(vec![carrier("a", "1 0.010 1/1"), carrier("b", "1 0.012 1/1")]), policy(r#"{"order":"score","delay_price":"0.0001"}"#));
    let quality = verdict(vec![known("a", 40), known("b", 50)], &[(60_000, 1)]);
    let price = sell("0.02", 1, 1);
    let decision = carriers.candidates(&RouteQuery { policy: Some(&by), quality: Some(&quality), sell: Some(&price), ..query() });
    // One minute earns 0.010 over a, 0.008 over b; each waits 2 s at 0.0001.
    //   a: 0.010 − 0.0002/0.4 = 0.0095 goes first; b: 0.008 − 0.0002/0.5 = 0.0076.
    //   b alone earns 0.5·0.008 − 0.0002 = 0.0038; from a on 0.4·0.010 − 0.0002 + 0.6·0.0038 = 0.00608.
    let scores: Vec<(String, i64)> = decision.choices().iter().map(|c| (c.carrier.clone(), c.score_e8)).collect();
    assert_eq!(scores, [("a".to_owned(), 608_000), ("b".to_owned(), 380_000)]);
}

#[test]
fn r_38_what_nobody_completes_is_worth_less_than_a_dearer_route() {
    let carriers = || vec![carrier("cheap", "1 0.0100 1/1"), carrier("dear", "1 0.0105 1/1")];
    let quality = || vec![CarrierQuality { pdd_ms: 9_000, ..known("cheap", 5) }, known("dear", 50)];
    assert_eq!(ask(carriers(), r#"{"order":"cost"}"#, quality(), &[], LAST), ["cheap", "dear"]);
    assert_eq!(ask(carriers(), r#"{"order":"score"}"#, quality(), &[], LAST), ["dear", "cheap"]);
}

#[test]
fn f_05_long_false_calls_do_not_win() {
    let (carriers, by) = (table(vec![carrier("honest", "1 0.010 1/1"), carrier("liar", "1 0.010 1/1")]), policy(r#"{"order":"score"}"#));
    // Everything is answered, and lasts ten times as long: its length counts no more than its peers'.
    let liar = CarrierQuality { acd_ms: 600_000, acd_capped_ms: 60_000, pdd_ms: 2_000, ..known("liar", 50) };
    let score = |liar: CarrierQuality| {
        let quality = verdict(vec![known("honest", 50), liar], &[(60_000, 1)]);
        let price = sell("0.02", 1, 1);
        let decision = carriers.candidates(&RouteQuery { policy: Some(&by), quality: Some(&quality), sell: Some(&price), ..query() });
        (names(&decision), left_out(&decision), decision.order[0].judged.map(|j| j.score_e8))
    };
    let (order, _, worth) = score(liar.clone());
    assert_eq!((order, worth), (vec!["honest".to_owned(), "liar".to_owned()], score(known("liar", 50)).2));
    let (order, out, _) = score(CarrierQuality { fas_until_us: i64::MAX, ..liar });
    assert_eq!((order, out), (vec!["honest".to_owned()], vec![("liar".to_owned(), "false_answer")]));
}

#[test]
fn splits_fall_by_the_draw_and_never_to_who_is_demoted() {
    let carriers = || vec![carrier("a", "1 0.01 1/1"), carrier("b", "1 0.02 1/1"), carrier("c", "1 0.03 1/1")];
    let by = r#"{"exploration_pct":"0","splits":[{"carrier":"b","percent":30},{"carrier":"c","percent":20}]}"#;
    let shares = |quality: &dyn Fn() -> Vec<CarrierQuality>| {
        let mut first = std::collections::BTreeMap::new();
        for draw in (0..1_000_000).step_by(1_000) {
            *first.entry(ask(carriers(), by, quality(), &[], draw)[0].clone()).or_insert(0) += 1;
        }
        first.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(shares(&Vec::new), [("a".to_owned(), 500), ("b".to_owned(), 300), ("c".to_owned(), 200)]);
    let demoted = || vec![CarrierQuality { state: "demoted".into(), ..known("b", 5) }];
    assert_eq!(shares(&demoted), [("a".to_owned(), 800), ("c".to_owned(), 200)]);
}

#[test]
fn r_30_costs_in_another_currency_are_compared_at_the_rate_of_the_day() {
    use tollgate_rating::fx::Fx;
    let euro = |name: &str, rate: &str| {
        let csv = format!("prefix,destination,rate,connect_fee,initial,increment,effective_from,currency\n1,D,{rate},0,60,60,,EUR\n");
        let deck = tollgate_rating::deck::Deck::compile("d", csv.as_bytes(), &tollgate_rating::deck::DeckOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        CarrierRoutes::new(name, std::sync::Arc::new(deck))
    };
    // 0.0095 EUR are 0.01045 USD at 1.10: between the two others.
    let carriers = table(vec![carrier("cheap", "1 0.0100 60/60"), euro("euro", "0.0095"), carrier("dear", "1 0.0110 60/60")]);
    let rates = |date: &str| {
        let document = serde_json::from_value(serde_json::json!({ "source": "ECB", "rates": [{ "base": "EUR", "quote": "USD", "date": date, "rate": "1.10" }] }));
        Fx::compile(&[("ecb".to_owned(), document.expect("rates"))].into()).unwrap_or_else(|e| panic!("{e:?}"))
    };
    let price = sell("0.0104", 60, 60);
    let ask = |fx: &Fx, margin_guard| {
        let decision = carriers.candidates(&RouteQuery { sell: Some(&price), fx: Some(fx), margin_guard, durations: &[(60_000, 1)], ..query() });
        (names(&decision).join(" "), left_out(&decision), decision.order.iter().map(|c| c.expected_cost_e8).collect::<Vec<_>>())
    };
    let (order, _, costs) = ask(&rates("2026-05-28"), false);
    assert_eq!((order.as_str(), costs), ("cheap euro dear", vec![1_000_000, 950_000, 1_100_000]), "shown in its own currency");
    let loses = |name: &str| (name.to_owned(), "negative_margin");
    assert_eq!(ask(&rates("2026-05-28"), true).1, [loses("dear"), loses("euro")], "and judged in the sale's");
    // A rate of long ago is none.
    assert_eq!(ask(&rates("2026-05-01"), false).0, "cheap dear euro");
    assert_eq!(ask(&rates("2026-05-01"), true).1, [loses("dear"), ("euro".to_owned(), "currency_mismatch")]);
}
