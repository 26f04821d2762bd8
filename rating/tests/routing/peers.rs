//! What other engines order, where rules coincide: the same carriers in the same order.
//!
//! CGRateS (its own cases): `*lc` is our order by cost, `*weight` by weight, `*qos` by metrics. Its prices are floats cut per second;
//! ours are exact, and the orders are the same. What has no counterpart, and why: `*hc` (dearest first) serves nobody here; `*load`
//! and `*reas`/`*reds` order by counters of use at the moment, where we split by percent of calls and filter by capacity; a filter on
//! a live statistic is a floor here, whose unknown figure passes where theirs fails.
//!
//! OpenSIPS qrouting: the score is the product of penalties, a carrier has the mean of its active gateways, best first.

use tollgate_rating::{
    quality::GroupKnown,
    routing::{
        CarrierRoutes, RouteQuery,
        penalties::{Gateway, Penalties, Threshold},
    },
};
use tollgate_schemas::v1::{CarrierQuality, QualityVerdict};

use super::made::{carrier, left_out, names, policy, query, sell, table};

/// (name, price of the 60 s that are expected, weight)
fn priced(of: &[(&str, &str, u32)]) -> Vec<CarrierRoutes> {
    of.iter().map(|(name, rate, weight)| CarrierRoutes { weight: *weight, ..carrier(name, &format!("1 {rate} 60/60")) }).collect()
}

fn order(carriers: Vec<CarrierRoutes>, by: &str, known: Vec<CarrierQuality>, durations: &[(u64, u32)]) -> String {
    let (table, policy) = (table(carriers), policy(by));
    let quality = GroupKnown::new(QualityVerdict { carriers: known, ..QualityVerdict::default() });
    names(&table.candidates(&RouteQuery { policy: Some(&policy), quality: Some(&quality), durations, ..query() })).join(" ")
}

#[test]
fn cgrates_lc_l01_and_weight_l03() {
    let minute = &[(60_000, 1)];
    let by_cost = priced(&[("route1", "0.1", 10), ("route2", "0.1", 20), ("route3", "0.05", 10)]);
    assert_eq!(order(by_cost, r#"{"order":"cost"}"#, vec![], minute), "route3 route2 route1", "L01");
    // Weights are whole numbers here: ten times theirs.
    let by_weight = priced(&[("route1", "0.1", 100), ("route2", "0.1", 200), ("route3", "0.1", 105)]);
    assert_eq!(order(by_weight, r#"{"order":"weight"}"#, vec![], minute), "route2 route3 route1", "L03");
}

#[test]
fn cgrates_lc_l13_l14_l15_l16_with_exact_prices() {
    let vendors = || {
        let at = |name: &str, rows: &str, weight| CarrierRoutes { weight, ..carrier(name, rows) };
        // 0.1 and 0.05 a minute, by the second after the first minute; 0.01 a second is 0.6 a minute.
        vec![
            at("vendor1", "1 0.1 60/1", 0),
            at("vendor2", "1 0.05 60/1", 0),
            at("vendor3", "1 0.05 60/1", 10),
            at("vendor4", "1 0.6 60/1", 30),
        ]
    };
    let decide = |vendors: Vec<CarrierRoutes>, seconds: u64, most: Option<&str>| {
        let (table, by, price) = (table(vendors), policy("{}"), most.map(|m| sell(m, 86_400, 1)));
        // The most it may cost, as a price of one increment of a day: the call is sold for that whatever it lasts.
        let durations = [(seconds * 1000, 1)];
        let query = RouteQuery { policy: Some(&by), durations: &durations, margin_guard: most.is_some(), sell: price.as_ref(), ..query() };
        let decision = table.candidates(&query);
        let costs: Vec<String> = decision.order.iter().map(|c| tollgate_schemas::money::format_amount(c.expected_cost_e8)).collect();
        (names(&decision).join(" "), costs.join(" "), left_out(&decision).len())
    };
    let four = "vendor3 vendor2 vendor1 vendor4".to_owned();
    assert_eq!(decide(vendors(), 150, None), (four, "0.125000 0.125000 0.250000 1.500000".to_owned(), 0), "L13");
    // 0.35 and 0.05 a call over a day's increment of 1,440 minutes.
    assert_eq!(decide(vendors(), 150, Some("0.000243055556")).0, "vendor3 vendor2 vendor1", "L14: vendor4 would lose money");
    assert_eq!(decide(vendors(), 150, Some("0.000034722222")), (String::new(), String::new(), 4), "L15: nobody is left");
    let without: Vec<CarrierRoutes> = vendors().into_iter().filter(|v| v.name != "vendor2").collect();
    assert_eq!(decide(without, 60, None), ("vendor3 vendor1 vendor4".to_owned(), "0.050000 0.100000 0.600000".to_owned(), 0), "L16");
}

/// (name, asr, acd, tcd, tcc, pdd, weight) as thousandths; none = not known.
type Stat = (&'static str, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<u64>, u32);

fn by_metrics(metrics: &str, of: &[Stat]) -> String {
    let carriers = of.iter().map(|s| CarrierRoutes { weight: s.6, ..carrier(s.0, "1 0.1 60/60") }).collect();
    let known = of
        .iter()
        .map(|(name, asr, acd, tcd, tcc, pdd, _)| CarrierQuality {
            carrier: (*name).into(),
            samples: u32::from(asr.is_some() || tcd.is_some() || tcc.is_some()) * 100,
            asr_e6: asr.unwrap_or(0) as u32,
            acd_ms: acd.unwrap_or(0),
            talk_ms: tcd.unwrap_or(0),
            answered: tcc.unwrap_or(0) as u32,
            pdd_ms: pdd.unwrap_or(0),
            ..CarrierQuality::default()
        })
        .collect();
    let list = metrics.split(' ').map(|m| format!("{m:?}")).collect::<Vec<_>>().join(",");
    order(carriers, &format!(r#"{{"order":"quality","metrics":[{list}]}}"#), known, &[(60_000, 1)])
}

#[test]
fn cgrates_qos_by_metrics_in_order() {
    let n = None;
    let some = Some;
    for (id, metrics, of, want) in [
        ("L04", "acd tcd", vec![
            ("route1", n, some(500), some(1_100), n, n, 100), ("route2", n, some(500), some(4_100), n, n, 150), ("route3", n, some(400), some(5_100), n, n, 178),
        ], "route2 route1 route3"),
        ("L05", "acd tcd", vec![
            ("route1", n, some(500), some(1_100), n, n, 10), ("route2", n, some(500), some(1_100), n, n, 17), ("route3", n, some(700), some(1_100), n, n, 10),
        ], "route3 route2 route1"),
        ("L06", "pdd", vec![("route1", n, n, n, n, some(700), 15), ("route2", n, n, n, n, some(1_200), 10), ("route3", n, n, n, n, some(700), 10)], "route1 route3 route2"),
        ("L07", "asr acd tcd", vec![
            ("route1", some(1_200), some(200), some(15), n, n, 0), ("route2", n, some(200), n, n, n, 0), ("route3", some(1_200), some(100), some(10), n, n, 0),
        ], "route1 route3 route2"),
        ("L08", "tcc asr acd tcd", vec![
            // Theirs can know the number of calls and not their ratio; ours has both or neither, and a ratio of nothing is 0.
            ("route1", some(0), some(200), some(15), some(10), n, 0), ("route2", some(1_200), some(200), some(20), some(10), n, 0),
            ("route3", some(1_200), some(100), some(10), some(10), n, 0),
        ], "route2 route3 route1"),
        ("L09", "acd", vec![("route1", n, n, n, n, n, 15), ("route2", n, n, n, n, n, 25), ("route3", n, n, n, n, n, 20)], "route2 route3 route1"),
        ("L10", "acd", vec![("route1", n, n, n, n, n, 15), ("route2", n, n, n, n, n, 25), ("route3", n, some(10), n, n, n, 20)], "route3 route2 route1"),
        ("L17", "acd tcc", vec![("vendor1", some(1), some(150), n, some(2), n, 0), ("vendor2", some(1), some(150), n, some(3), n, 0)], "vendor2 vendor1"),
    ] {
        assert_eq!(by_metrics(metrics, &of), want, "{id}");
    }
}

#[test]
fn r_38_qrouting_penalties_of_five_gateways() {
    let low = |warning, critical, samples| Threshold { warning, critical, warning_e6: 800_000, critical_e6: 400_000, above: false, samples };
    let high = |warning, critical| Threshold { warning, critical, warning_e6: 700_000, critical_e6: 300_000, above: true, samples: 10 };
    let profile = Penalties { asr: low(500_000, 300_000, 30), ccr: low(800_000, 600_000, 30), pdd: high(3_000, 6_000), ast: high(10_000, 20_000), acd: low(60_000, 20_000, 20) };
    let well = Gateway { asr: (600_000, 100), ccr: (900_000, 100), pdd: (2_000, 100), ast: (8_000, 100), acd: (120_000, 100) };
    //                                                                                    score
    let gateways = [
        ("gw1", Gateway { pdd: (7_000, 100), ..well }),                                   // 0.3
        ("gw2", well),                                                                    // 1
        ("gw3", Gateway { asr: (400_000, 100), acd: (50_000, 100), ..well }),             // 0.8 · 0.8 = 0.64
        ("gw4", Gateway { asr: (100_000, 29), acd: (10_000, 19), ..well }),               // too few samples: 1
        ("gw5", Gateway { asr: (200_000, 30), ccr: (700_000, 30), ast: (15_000, 10), ..well }), // 0.4 · 0.8 · 0.7 = 0.224
    ];
    let mut scored: Vec<(u64, &str)> = gateways.iter().map(|(name, g)| (profile.score_e6(g), *name)).collect();
    assert_eq!(scored, [(300_000, "gw1"), (1_000_000, "gw2"), (640_000, "gw3"), (1_000_000, "gw4"), (224_000, "gw5")]);
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    assert_eq!(scored.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["gw2", "gw4", "gw3", "gw1", "gw5"], "best first, equals as listed");
    assert_eq!(profile.carrier_e6(&[gateways[0].1, gateways[2].1]), Some(470_000), "a carrier has the mean of its active gateways");
    assert_eq!(profile.carrier_e6(&[]), None);
}
