use tollgate_schemas::{money::parse_scaled, time::parse_rfc3339};

use super::*;
use crate::deck::{DeckOptions, Origination};

const HEADER: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,currency,route_class,blocked\n";

fn deck(rows: &str) -> Arc<Deck> {
    Arc::new(Deck::compile("d", format!("{HEADER}{rows}\n").as_bytes(), &DeckOptions::default()).unwrap_or_else(|e| panic!("{e}")))
}

/// `prefix rate plan connect`, comma separated.
fn carrier(name: &str, rows: &str) -> CarrierRoutes {
    let row = |row: &str| {
        let cells: Vec<&str> = row.split_whitespace().collect();
        format!("{},D{},{},{},{},,,,,", cells[0], cells[0], cells[1], cells[3], cells[2].replace('/', ","))
    };
    CarrierRoutes::new(name, deck(&rows.split(',').map(row).collect::<Vec<_>>().join("\n")))
}

fn table(carriers: Vec<CarrierRoutes>) -> RouteTable {
    RouteTable::new(carriers).unwrap_or_else(|e| panic!("{e}"))
}

fn query(number: &str) -> RouteQuery<'_> {
    RouteQuery::new(number, parse_rfc3339("2026-06-01T00:00:00Z").expect("a time of the test"))
}

fn sell(rate: &str, plan: (u32, u32)) -> Terms {
    let rate_e12 = parse_scaled(rate, 12).expect("a price of the test");
    Terms { rate_e12, initial_s: plan.0, increment_s: plan.1, currency: "USD".to_owned(), places: 6, ..Terms::default() }
}

fn names(decision: &RouteDecision) -> Vec<&str> {
    decision.order.iter().map(|c| decision.name(c)).collect()
}

fn left_out(decision: &RouteDecision) -> Vec<(&str, &str)> {
    decision.left_out.iter().map(|l| (decision.carrier(l.carrier).name.as_str(), l.reason.name())).collect()
}

#[test]
fn r_16_each_carrier_is_priced_by_its_own_longest_prefix() {
    let table = table(vec![carrier("a", "44 0.010 1/1 0,447 0.020 1/1 0"), carrier("b", "44 0.015 1/1 0")]);
    let decision = table.candidates(&query("447700900123"));
    let priced: Vec<_> = decision.order.iter().map(|c| (decision.name(c), decision.terms(c, &Origination::default()).prefix, c.covered_by_parent_prefix)).collect();
    assert_eq!(priced, [("b", "44".to_owned(), true), ("a", "447".to_owned(), false)]);
    assert_eq!(decision.order.iter().map(|c| (c.rank, c.expected_cost_e8)).collect::<Vec<_>>(), [(1, 4_500_000), (2, 6_000_000)]);
    let landline = table.candidates(&query("442071838750"));
    assert_eq!(names(&landline), ["a", "b"]);
    assert!(landline.order.iter().all(|c| !c.covered_by_parent_prefix));
}

#[test]
fn r_16_a_carrier_that_is_left_out_still_breaks_the_range_out() {
    let blocked = CarrierRoutes::new("b", deck("4,E,1,0,1,1,,,,,\n447,M,1,0,1,1,,,,,yes"));
    let decision = table(vec![carrier("a", "44 0.010 1/1 0"), blocked]).candidates(&query("447700900123"));
    assert_eq!((names(&decision), left_out(&decision)), (vec!["a"], vec![("b", "blocked")]));
    assert!(decision.order[0].covered_by_parent_prefix && !decision.left_out[0].covered_by_parent_prefix);
}

#[test]
fn r_36_order_is_by_the_cost_of_the_expected_duration() {
    let table = table(vec![carrier("a", "1 0.0095 60/60 0"), carrier("b", "1 0.0100 1/1 0")]);
    let ask = |durations: &[(u64, u32)]| {
        let decision = table.candidates(&RouteQuery { durations, ..query("12025550100") });
        (names(&decision).join(","), decision.order[0].expected_cost_e8)
    };
    assert_eq!(ask(&[(30_000, 1)]), ("b,a".to_owned(), 500_000));
    assert_eq!(ask(&[(600_000, 1)]), ("a,b".to_owned(), 9_500_000));
    assert_eq!(ask(&[]), ("a,b".to_owned(), 2_850_000), "180 s");
    // Three of four calls last 30 s: a costs (3·0.0095 + 0.095)/4, b (3·0.005 + 0.1)/4.
    assert_eq!(ask(&[(30_000, 3), (600_000, 1)]), ("b,a".to_owned(), 2_875_000));
    assert_eq!(ask(&[(30_000, 0)]), ask(&[]), "weights of nothing say nothing");
}

#[test]
fn r_36_connect_fees_count() {
    let table = table(vec![carrier("fee", "1 0.0010 1/1 0.05"), carrier("plain", "1 0.0100 1/1 0")]);
    assert_eq!(names(&table.candidates(&RouteQuery { durations: &[(60_000, 1)], ..query("1202") })), ["plain", "fee"]);
    assert_eq!(names(&table.candidates(&RouteQuery { durations: &[(600_000, 1)], ..query("1202") })), ["fee", "plain"]);
}

#[test]
fn r_36_differences_below_a_rounded_amount_decide_and_ties_go_by_name() {
    let table = table(vec![
        carrier("d", "1 0.010000000002 1/1 0"),
        carrier("c", "1 0.010000000001 1/1 0"),
        carrier("b", "1 0.01 1/1 0"),
        carrier("a", "1 0.010000000001 1/1 0"),
    ]);
    assert_eq!(names(&table.candidates(&query("12025550100"))), ["b", "a", "c", "d"]);
}

#[test]
fn r_36_money_of_two_currencies_is_never_compared() {
    let euro = CarrierRoutes::new("a-euro", deck("1,World,0.0001,0,1,1,,,EUR,,"));
    let pound = CarrierRoutes::new("b-pound", deck("1,World,0.0001,0,1,1,,,GBP,,"));
    let table = table(vec![pound, euro, carrier("dollar", "1 5 1/1 0")]);
    let price = sell("1", (1, 1));
    let decision = table.candidates(&RouteQuery { sell: Some(&price), ..query("1202") });
    assert_eq!(names(&decision), ["dollar", "a-euro", "b-pound"]);
}

#[test]
fn r_41_the_margin_guard_knows_increments_and_duration() {
    let table = table(vec![carrier("c", "1 0.0090 60/60 0")]);
    let price = sell("0.0100", (6, 6));
    let ask = |seconds: u64, min_margin_e8| {
        let durations = [(seconds * 1000, 1)];
        let guard = RouteQuery { sell: Some(&price), margin_guard: true, min_margin_e8, durations: &durations, ..query("1202") };
        table.candidates(&guard)
    };
    let short = ask(30, 0);
    assert_eq!(left_out(&short), [("c", "negative_margin")]);
    assert_eq!(short.left_out[0].expected_cost_e8, Some(900_000));
    assert_eq!((names(&ask(120, 0)), ask(120, 0).order[0].expected_cost_e8), (vec!["c"], 1_800_000));
    // 0.020000 - 0.018000 is 0.002 exactly.
    assert_eq!(names(&ask(120, 200_000)), ["c"]);
    assert_eq!(left_out(&ask(120, 200_001)), [("c", "negative_margin")]);
    let off = RouteQuery { sell: Some(&price), durations: &[(30_000, 1)], ..query("1202") };
    assert_eq!(names(&table.candidates(&off)), ["c"], "off unless asked for");
}

/// A fixture of R-35: eight carriers of which each filter takes its own.
fn pipeline() -> RouteTable {
    table(vec![
        carrier("good", "1 0.0100 1/1 0"),
        CarrierRoutes { suspended: true, ..carrier("suspended", "1 0.0010 1/1 0") },
        carrier("not-allowed", "1 0.0010 1/1 0"),
        CarrierRoutes { party: "ingress".to_owned(), ..carrier("loop", "1 0.0010 1/1 0") },
        carrier("no-prefix", "44 0.0010 1/1 0"),
        CarrierRoutes::new("not-effective", deck("1,World,0.001,0,1,1,2027-01-01,,,,")),
        CarrierRoutes::new("blocked", deck("1,World,0.001,0,1,1,,,,,1")),
        CarrierRoutes { route_class: "grey".to_owned(), ..carrier("class", "1 0.0010 1/1 0") },
        CarrierRoutes::new("row-class", deck("1,World,0.001,0,1,1,,,,grey,")),
        CarrierRoutes::new("currency", deck("1,World,0.001,0,1,1,,,EUR,,")),
        carrier("margin", "1 0.0300 1/1 0"),
        carrier("second", "1 0.0110 1/1 0"),
    ])
}

#[test]
fn r_35_each_filter_removes_its_own_carrier_and_names_itself() {
    let table = pipeline();
    let price = sell("0.0200", (1, 1));
    let allowed: Vec<String> = table.carriers().iter().map(|c| c.name.clone()).filter(|n| n != "not-allowed").collect();
    let classes = ["".to_owned()];
    let asked = RouteQuery {
        allowed: &allowed,
        classes: &classes,
        sell: Some(&price),
        margin_guard: true,
        ingress_party: Some("ingress"),
        max_attempts: 1,
        ..query("12025550100")
    };
    let decision = table.candidates(&asked);
    assert_eq!(names(&decision), ["good"]);
    assert_eq!(
        left_out(&decision),
        [
            ("blocked", "blocked"),
            ("class", "route_class"),
            ("currency", "currency_mismatch"),
            ("loop", "loop"),
            ("margin", "negative_margin"),
            ("no-prefix", "no_prefix"),
            ("not-allowed", "not_allowed_for_account"),
            ("not-effective", "not_effective"),
            ("row-class", "route_class"),
            ("second", "beyond_max_attempts"),
            ("suspended", "suspended"),
        ]
    );
    assert_eq!(decision.order.len() + decision.left_out.len(), table.carriers().len(), "every carrier is accounted for");
    let unpriced = table.candidates(&RouteQuery { sell: None, ..asked });
    assert_eq!((unpriced.order.len(), unpriced.best_reason()), (0, Some(Reason::NoSellPrice)));
    let own_name = table.candidates(&RouteQuery { ingress_party: Some("good"), ..query("12025550100") });
    assert!(left_out(&own_name).contains(&("good", "loop")), "a carrier's own call does not go back to it");
    let no_limit = table.candidates(&RouteQuery { max_attempts: 0, ..query("12025550100") });
    assert_eq!(no_limit.order.len(), 8);
}

#[test]
fn emergency_calls_go_to_every_capable_carrier_whatever_the_price() {
    let capable = |name: &str, rows: &str| CarrierRoutes { emergency: true, ..carrier(name, rows) };
    let table = table(vec![
        carrier("plain", "1 0.0001 1/1 0"),
        capable("dear", "1 9 1/1 0"),
        capable("cheap", "1 0.01 1/1 0"),
        capable("no-row", "44 1 1/1 0"),
        CarrierRoutes { emergency: true, ..CarrierRoutes::new("blocked", deck("1,World,0.001,0,1,1,,,,,1")) },
        CarrierRoutes { suspended: true, ..capable("out", "1 0.01 1/1 0") },
    ]);
    let price = sell("0.0001", (1, 1));
    let allowed = ["plain".to_owned()];
    let asked = RouteQuery { emergency: true, margin_guard: true, sell: Some(&price), allowed: &allowed, max_attempts: 1, ..query("112") };
    let decision = table.candidates(&asked);
    // 112 is no number of country code 1: nothing is priced, so the order is by name.
    assert_eq!(names(&decision), ["blocked", "cheap", "dear", "no-row"]);
    assert_eq!(left_out(&decision), [("out", "suspended"), ("plain", "not_emergency_capable")]);
    let terms = decision.terms(&decision.order[0], &Origination::default());
    assert_eq!((terms.rate_e12, terms.currency.as_str(), terms.blocked, terms.charge(0, 60_000).amount_e8), (0, "USD", false, 0));
    let by_number = table.candidates(&RouteQuery { number: "12025550100", ..asked });
    assert_eq!(names(&by_number), ["cheap", "dear", "blocked", "no-row"]);
    assert_eq!(by_number.order[0].expected_cost_e8, 3_000_000);
    assert_eq!(names(&table.candidates(&RouteQuery { number: "", ..asked })).len(), 4, "a URN has no digits");
}

#[test]
fn r_12_the_cost_is_resolved_again_at_the_answer() {
    let table = table(vec![CarrierRoutes::new("c", deck("1,World,1,0,1,1,2026-01-01,,,,\n1,World,2,0,1,1,2026-06-02,,,,"))]);
    let at = |text: &str| parse_rfc3339(text).expect("a time of the test");
    let rate = |when| table.cost_terms(0, "1202", at(when)).map(|t| t.rate_e12);
    assert_eq!(rate("2026-06-01T23:59:59Z"), Some(1_000_000_000_000));
    assert_eq!(rate("2026-06-02T00:00:00Z"), Some(2_000_000_000_000));
    assert_eq!((rate("2025-01-01T00:00:00Z"), table.cost_terms(7, "1202", 0)), (None, None));
}

#[test]
fn a_decision_outlives_its_table() {
    let table = table(vec![CarrierRoutes { route_class: "std".to_owned(), ..carrier("c", "1 0.0100 6/6 0") }]);
    let decision = table.candidates(&query("1202"));
    drop(table);
    let terms = decision.terms(&decision.order[0], &Origination::default());
    assert_eq!((terms.increments().as_str(), terms.route_class.as_str()), ("6/6", "std"));
}

#[test]
fn tables_are_by_name_without_doubles() {
    let twice = RouteTable::new(vec![carrier("a", "1 1 1/1 0"), carrier("a", "1 1 1/1 0")]);
    assert_eq!(twice.err(), Some(BadRoutes::Twice("a".to_owned())));
    let table = table(vec![carrier("b", "1 1 1/1 0"), carrier("a", "1 1 1/1 0")]);
    assert_eq!((table.position("a"), table.position("b"), table.position("c")), (Some(0), Some(1), None));
}

#[test]
fn a_change_of_carriers_keeps_the_index_while_the_decks_stay() {
    let before = table(vec![carrier("a", "1 1 1/1 0"), carrier("b", "1 2 1/1 0")]);
    let mut carriers = before.carriers().to_vec();
    carriers[0].suspended = true;
    let after = before.with(carriers.clone()).unwrap_or_else(|e| panic!("{e}"));
    assert!(Arc::ptr_eq(&before.0.decks, &after.0.decks));
    assert_eq!(names(&after.candidates(&query("1202"))), ["b"]);
    assert_eq!(names(&before.candidates(&query("1202"))), ["a", "b"], "the old table is as it was");
    carriers[1].deck = carriers[0].deck.clone();
    let shared = before.with(carriers).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(shared.candidates(&query("1202")).order[0].expected_cost_e8, 300_000_000, "b now has a's price");
}

#[test]
fn explanations_have_a_line_for_every_carrier() {
    let b = CarrierRoutes { suspended: true, ..carrier("b", "1 1 1/1 0") };
    let table = table(vec![carrier("acme", "1 0.0100 6/6 0.001"), carrier("c", "1202 0.02 60/60 0"), b]);
    let asked = RouteQuery { max_attempts: 1, ..query("12025550100") };
    let decision = table.candidates(&asked);
    let want = "\
RANK  CARRIER  PREFIX  DESTINATION  RATE/MIN  INCR   CONNECT  CUR  EXPECTED  REASON
1     acme     1       D1           0.0100    6/6    0.0010   USD  0.031000  chosen (another carrier lists a longer prefix)
-     b        -       -            -         -      -        USD  -         suspended
-     c        1202    D1202        0.02      60/60  0.0000   USD  0.060000  beyond_max_attempts
";
    assert_eq!(decision.explain_text(), want);
    let json = decision.explain_json(&asked);
    assert_eq!(json["number"], "12025550100");
    assert_eq!(json["at"], "2026-06-01T00:00:00.000000Z");
    assert_eq!(json["carriers"][0]["expected_cost"], "0.031000");
    assert_eq!((&json["carriers"][1]["rank"], &json["carriers"][1]["reason"]), (&serde_json::Value::Null, &"suspended".into()));
    let choices = decision.choices();
    assert_eq!(choices.iter().map(|c| (c.carrier.as_str(), c.rank)).collect::<Vec<_>>(), [("acme", 1), ("b", 0), ("c", 0)]);
    assert_eq!((choices[0].expected_cost_e8, choices[2].expected_cost_e8, choices[2].rate_e12), (3_100_000, 6_000_000, 20_000_000_000));
    assert_eq!((choices[0].reason.as_str(), choices[0].prefix.as_str(), choices[0].covered_by_parent_prefix), ("chosen", "1", true));
}

#[test]
fn reasons_have_their_own_names_in_the_order_of_the_filters() {
    let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    assert!(Reason::ALL.windows(2).all(|w| w[0] < w[1]));
}

proptest::proptest! {
    /// Against a sort of exact fractions: the order, and the rounded cost.
    #[test]
    fn r_36_order_equals_an_exact_sort(
        rows in proptest::collection::vec((0i64..2_000_000, 0u32..90, 1u32..90, 0i64..50_000), 1..12),
        durations in proptest::collection::vec((1u64..900_000, 0u32..5), 0..6),
    ) {
        let carriers: Vec<CarrierRoutes> = rows.iter().enumerate().map(|(at, (rate, initial, inc, fee))| {
            let money = |e8: i64| format!("{}.{:08}", e8 / 100_000_000, e8 % 100_000_000);
            carrier(&format!("c{at:02}"), &format!("1 {} {initial}/{inc} {}", money(*rate), money(*fee)))
        }).collect();
        let decision = table(carriers).candidates(&RouteQuery { durations: &durations, max_attempts: 0, ..query("1202") });
        let weighted = if durations.iter().all(|(_, w)| *w == 0) { vec![(DEFAULT_EXPECTED_MS, 1)] } else { durations };
        let total: i128 = weighted.iter().map(|(_, w)| i128::from(*w)).sum();
        // 1e-8 of the unit times 60 times the weight.
        let cost = |at: usize| -> i128 {
            let (rate, initial, inc, fee) = rows[at];
            weighted.iter().map(|(ms, w)| {
                let mut billed = u64::from(initial);
                while billed * 1000 < *ms {
                    billed += u64::from(inc);
                }
                i128::from(*w) * (i128::from(fee) * 60 + i128::from(rate) * i128::from(billed))
            }).sum()
        };
        let mut want: Vec<usize> = (0..rows.len()).collect();
        want.sort_by_key(|at| (cost(*at), *at));
        let got: Vec<usize> = decision.order.iter().map(|c| usize::from(c.carrier)).collect();
        proptest::prop_assert_eq!(&got, &want);
        for candidate in &decision.order {
            let exact = cost(usize::from(candidate.carrier));
            let off = i128::from(candidate.expected_cost_e8) * 60 * total - exact;
            proptest::prop_assert!(off.abs() * 2 <= 60 * total, "{} is not the nearest to {exact}", candidate.expected_cost_e8);
        }
    }
}
