//! R-35: each filter takes out its own carrier and names itself.

use tollgate_rating::{
    coverage::{Buyer, Gap, Reach, cover},
    routing::{CarrierRoutes, Reason, RoutePolicy, RouteQuery},
};
use tollgate_schemas::{control, v1::CarrierQuality};

use super::made::{NOW, carrier, known, left_out, names, policy, query, sell, table, verdict};

/// One carrier for each filter, and one that is left.
#[test]
fn r_35_each_filter_removes_exactly_its_carrier_and_names_itself() {
    let with = |name: &str, rows: &str, change: fn(&mut CarrierRoutes)| {
        let mut one = carrier(name, rows);
        one.route_class = "standard".into();
        one.cli_guaranteed = true;
        change(&mut one);
        one
    };
    let plain = "1 0.01 1/1";
    let carriers = table(vec![
        with("a-suspended", plain, |c| c.suspended = true),
        with("b-stranger", plain, |_| {}),
        with("c-ours", plain, |c| c.party = "them".into()),
        with("d-elsewhere", "44 0.01 1/1", |_| {}),
        with("e-class", plain, |c| c.route_class = "grey".into()),
        with("f-floor", plain, |c| c.route_class = "wholesale".into()),
        with("g-no-cli", plain, |c| c.cli_guaranteed = false),
        with("h-bad-asr", plain, |_| {}),
        with("i-bad-ner", plain, |_| {}),
        with("j-false", plain, |_| {}),
        with("k-loss", "1 0.03 1/1", |_| {}),
        with("l-dear", "1 0.015 1/1", |_| {}),
        with("m-good", plain, |_| {}),
    ]);
    let allowed: Vec<String> = carriers.carriers().iter().map(|c| c.name.clone()).filter(|n| n != "b-stranger").collect();
    let classes = ["standard".to_owned(), "wholesale".to_owned()];
    let policy = policy(
        r#"{"order":"cost","floors":{"asr":"40","ner":"50","class":"standard","classes_from_best":["premium","standard","wholesale"]},
            "cli_guaranteed":true,"max_attempts":1}"#,
    );
    let quality = verdict(
        vec![
            known("h-bad-asr", 12),
            CarrierQuality { ner_e6: 300_000, ..known("i-bad-ner", 60) },
            CarrierQuality { fas_until_us: NOW + 1, ..known("j-false", 95) },
            CarrierQuality { fas_until_us: NOW, ..known("m-good", 50) },
        ],
        &[],
    );
    let price = sell("0.02", 1, 1);
    let decision = carriers.candidates(&RouteQuery {
        allowed: &allowed,
        classes: &classes,
        ingress_party: Some("them"),
        margin_guard: true,
        sell: Some(&price),
        policy: Some(&policy),
        quality: Some(&quality),
        ..query()
    });
    assert_eq!(names(&decision), ["m-good"]);
    let out: Vec<(String, &str)> = left_out(&decision);
    let want = [
        ("a-suspended", "suspended"),
        ("b-stranger", "not_allowed_for_account"),
        ("c-ours", "loop"),
        ("d-elsewhere", "no_prefix"),
        ("e-class", "route_class"),
        ("f-floor", "class_floor"),
        ("g-no-cli", "cli_not_guaranteed"),
        ("h-bad-asr", "quality_floor"),
        ("i-bad-ner", "quality_floor"),
        ("j-false", "false_answer"),
        ("k-loss", "negative_margin"),
        ("l-dear", "beyond_max_attempts"),
    ];
    assert_eq!(out, want.map(|(name, reason)| (name.to_owned(), reason)));
}

#[test]
fn s1_08_a_cheap_carrier_under_the_floor_is_not_offered_whatever_its_price() {
    let carriers = table(vec![carrier("cheap", "1 0.0001 1/1"), carrier("dear", "1 0.02 1/1"), carrier("new", "1 0.03 1/1")]);
    let floor = policy(r#"{"floors":{"asr":"40"}}"#);
    let quality = verdict(vec![known("cheap", 12), known("dear", 45)], &[]);
    let decision = carriers.candidates(&RouteQuery { policy: Some(&floor), quality: Some(&quality), ..query() });
    assert_eq!(names(&decision), ["dear", "new"], "of a carrier that is not known no floor holds");
    assert_eq!(left_out(&decision), [("cheap".to_owned(), "quality_floor")]);
    assert_eq!(decision.choices()[2].asr_e4, 1_200, "and the explanation says by what");
}

proptest::proptest! {
    /// S1-23: whatever is known, drawn or charged, a customer of premium routes never gets another.
    #[test]
    fn s1_23_a_premium_customer_never_gets_another_class(
        of in proptest::collection::vec((0usize..3, 1u32..100, 0u32..100, 0usize..3), 1..10), draw in 0u32..1_000_000, order in 0usize..4, splits in 0u32..=100,
    ) {
        let classes = ["premium", "standard", "wholesale"];
        let carriers: Vec<CarrierRoutes> = of.iter().enumerate().map(|(i, (class, price, ..))| {
            CarrierRoutes { route_class: classes[*class].into(), ..carrier(&format!("c{i}"), &format!("1 0.{price:04} 1/1")) }
        }).collect();
        let quality = verdict(of.iter().enumerate().map(|(i, (_, _, asr, state))| {
            CarrierQuality { state: ["good", "neutral", "demoted"][*state].into(), ..known(&format!("c{i}"), *asr) }
        }).collect(), &[]);
        let order = ["cost", "score", "quality", "weight"][order];
        let policy = policy(&format!(r#"{{"order":"{order}","exploration_pct":"5","splits":[{{"carrier":"c0","percent":{}}}]}}"#, splits.max(1)));
        let price = sell("0.01", 1, 1);
        let bought = ["premium".to_owned()];
        let table = table(carriers);
        let decision = table.candidates(&RouteQuery { classes: &bought, draw_e6: draw, sell: Some(&price), policy: Some(&policy), quality: Some(&quality), ..query() });
        proptest::prop_assert!(decision.order.iter().all(|c| decision.carrier(c.carrier).route_class == "premium"));
        proptest::prop_assert!(decision.order.len() == of.iter().filter(|o| o.0 == 0).count().min(4));
    }
}

#[test]
fn r_41_the_guard_asks_the_margin_of_the_calls_that_are_expected() {
    let carriers = table(vec![carrier("coarse", "1 0.0090 60/60")]);
    let price = sell("0.0100", 6, 6);
    // Sold at 6/6 and bought at 60/60: 30 s bring 0.005 and cost 0.009, 120 s bring 0.020 and cost 0.018.
    for (ms, min_margin_e8, want) in [(30_000, 0, vec!["negative_margin"]), (120_000, 0, vec![]), (120_000, 200_000, vec![]), (120_000, 200_001, vec!["negative_margin"])] {
        let quality = verdict(vec![], &[(ms, 10)]);
        let by_quality = policy("{}");
        let decision = carriers.candidates(&RouteQuery {
            sell: Some(&price), margin_guard: true, min_margin_e8, policy: Some(&by_quality), quality: Some(&quality), ..query()
        });
        assert_eq!(left_out(&decision).iter().map(|(_, r)| *r).collect::<Vec<_>>(), want, "{ms} ms, at least {min_margin_e8}");
    }
}

#[test]
fn s1_27_s1_85_coverage_names_gaps_and_single_networks() {
    let behind = |name: &str, rows: &str, upstream: &str| CarrierRoutes { upstream: upstream.into(), route_class: "std".into(), ..carrier(name, rows) };
    let carriers = [behind("a", "1 0.01 1/1,44 0.01 1/1", "big"), behind("b", "1 0.01 1/1", "big"), behind("c", "44 0.01 1/1", "c")];
    let taken = |carriers: &[CarrierRoutes]| {
        let reach: Vec<Reach<'_>> = carriers
            .iter()
            .map(|c| Reach { name: &c.name, upstream: &c.upstream, route_class: &c.route_class, suspended: c.suspended, deck: &c.deck })
            .collect();
        let mut taken = Vec::new();
        cover([("1", "USA"), ("44", "UK"), ("252", "Somalia")].into_iter(), &reach, Buyer::default(), NOW, |t| taken.push(t));
        taken
    };
    let told: Vec<_> = taken(&carriers).iter().map(|t| (t.destination.clone(), t.carriers.len(), t.upstreams, Gap::of(t.upstreams).map(Gap::name))).collect();
    assert_eq!(told, [("USA".to_owned(), 2, 1, Some("diversity=1")), ("UK".to_owned(), 2, 2, None), ("Somalia".to_owned(), 0, 0, Some("no_route"))]);
    assert_eq!(Gap::of(taken(&carriers[..2])[1].upstreams), Some(Gap::OneUpstream));
}

#[test]
fn a_policy_says_every_mistake_with_its_field() {
    let spec: control::RoutePolicy = serde_json::from_str(
        r#"{"order":"best","exploration_pct":"6","delta":"0.1","delta_pct":"101","delay_price":"x","max_attempts":0,
            "splits":[{"carrier":"a","percent":60},{"carrier":"a","percent":60}],"floors":{"class":"gold","asr":"200"}}"#,
    )
    .expect("a spec");
    let wrong = RoutePolicy::compile("p", &spec).expect_err("all of it is wrong");
    let fields: Vec<&str> = wrong.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        ["order", "exploration_pct", "delta_pct", "floors.asr", "delay_price", "delta_pct", "splits", "splits[1].carrier", "floors.class", "max_attempts"]
    );
}

/// What the node knows of the moment comes last: it is named only where the carrier would else be there, and its place goes to the next.
#[test]
fn r_35_a_carrier_that_is_shut_names_it_after_all_other_filters_and_gives_its_place_away() {
    let carriers = table(vec![
        carrier("a", "1 0.01 1/1"), carrier("b", "1 0.02 1/1"), carrier("c", "1 0.03 1/1"), carrier("d", "1 0.09 1/1"), carrier("e", "1 0.035 1/1"),
    ]);
    let price = sell("0.05", 1, 1);
    let shut = [(0, Reason::CarrierBlocked), (1, Reason::CarrierChannels), (3, Reason::CarrierCps)];
    let decision = carriers.candidates(&RouteQuery { margin_guard: true, sell: Some(&price), max_attempts: 1, shut: &shut, ..query() });
    assert_eq!(names(&decision), ["c"]);
    let want = [("a", "carrier_blocked"), ("b", "carrier_channels"), ("d", "negative_margin"), ("e", "beyond_max_attempts")];
    assert_eq!(left_out(&decision), want.map(|(name, reason)| (name.to_owned(), reason)));
}

/// 6/6 at 0.06 sold, 60/60 at 0.03 bought: of three minutes it earns, of 50 ms it loses.
#[test]
fn r_41_the_guard_goes_by_the_lengths_calls_have_without_a_policy_too() {
    let carriers = table(vec![carrier("by-minute", "1 0.03 60/60"), carrier("by-second", "1 0.05 1/1")]);
    let price = sell("0.06", 6, 6);
    let short = verdict(vec![], &[(50, 60)]);
    let ask = |quality, margin_guard, emergency| carriers.candidates(&RouteQuery { margin_guard, sell: Some(&price), quality, emergency, ..query() });
    assert_eq!(names(&ask(None, true, false)), ["by-minute", "by-second"], "nothing is known: three minutes");
    let guarded = ask(Some(&short), true, false);
    assert_eq!((names(&guarded), left_out(&guarded)), (vec!["by-second".to_owned()], vec![("by-minute".to_owned(), "negative_margin")]));
    assert!(guarded.order[0].judged.is_none(), "of qualities nothing is asked");
}
