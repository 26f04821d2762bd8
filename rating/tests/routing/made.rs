//! Carriers, policies and verdicts of the tests.

use std::sync::Arc;

use tollgate_rating::{
    deck::{Deck, DeckOptions},
    quality::GroupKnown,
    routing::{CarrierRoutes, RouteDecision, RoutePolicy, RouteQuery, RouteTable},
};
use tollgate_schemas::{
    control,
    money::parse_scaled,
    v1::{CarrierQuality, DurationShare, QualityVerdict, Terms},
};

pub const NOW: i64 = 1_780_000_000_000_000;

/// `prefix rate initial/increment connect`, comma separated.
pub fn deck(rows: &str) -> Arc<Deck> {
    let mut csv = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n".to_owned();
    for row in rows.split(',') {
        let c: Vec<&str> = row.split_whitespace().collect();
        csv += &format!("{},D,{},{},{},\n", c[0], c[1], c.get(3).unwrap_or(&"0"), c[2].replace('/', ","));
    }
    Arc::new(Deck::compile("d", csv.as_bytes(), &DeckOptions::default()).unwrap_or_else(|e| panic!("{e}")))
}

pub fn carrier(name: &str, rows: &str) -> CarrierRoutes {
    CarrierRoutes::new(name, deck(rows))
}

pub fn table(carriers: Vec<CarrierRoutes>) -> RouteTable {
    RouteTable::new(carriers).unwrap_or_else(|e| panic!("{e}"))
}

pub fn policy(json: &str) -> RoutePolicy {
    let spec: control::RoutePolicy = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}"));
    RoutePolicy::compile("p", &spec).unwrap_or_else(|e| panic!("{e:?}"))
}

pub fn sell(rate: &str, initial_s: u32, increment_s: u32) -> Terms {
    let rate_e12 = parse_scaled(rate, 12).expect("a price of the test");
    Terms { rate_e12, initial_s, increment_s, currency: "USD".into(), places: 6, ..Terms::default() }
}

pub fn query() -> RouteQuery<'static> {
    RouteQuery::new("12025550100", NOW)
}

/// A carrier that answers `asr` percent of 100 calls, of 60 s, after 2 s.
pub fn known(carrier: &str, asr: u32) -> CarrierQuality {
    CarrierQuality {
        carrier: carrier.into(),
        state: "good".into(),
        asr_e6: asr * 10_000,
        ner_e6: 900_000,
        ccr_e6: 950_000,
        samples: 100,
        acd_ms: 60_000,
        acd_capped_ms: 60_000,
        pdd_ms: 2_000,
        answered: 50,
        talk_ms: 3_000_000,
        ..CarrierQuality::default()
    }
}

pub fn verdict(carriers: Vec<CarrierQuality>, durations: &[(u64, u32)]) -> GroupKnown {
    let durations = durations.iter().map(|(mean_ms, calls)| DurationShare { mean_ms: *mean_ms, calls: *calls }).collect();
    GroupKnown::new(QualityVerdict { name: "q".into(), carriers, durations, asr_e6: 400_000, later_e6: 1_000_000, pdd_ms: 2_000, ..QualityVerdict::default() })
}

pub fn names(decision: &RouteDecision) -> Vec<String> {
    decision.order.iter().map(|c| decision.name(c).to_owned()).collect()
}

pub fn left_out(decision: &RouteDecision) -> Vec<(String, &'static str)> {
    decision.left_out.iter().map(|l| (decision.carrier(l.carrier).name.clone(), l.reason.name())).collect()
}
