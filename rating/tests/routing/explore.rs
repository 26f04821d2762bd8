//! R-40: some traffic learns, and who recovers comes back.

use tollgate_rating::{
    quality::{Judge, Quality, Rules},
    routing::RouteQuery,
};
use tollgate_schemas::{event::Body, id::Id, stage::{Outputs, Stage}, v1::{CarrierQuality, Event, QualityCount, QualityPublished}};

use super::made::{NOW, carrier, known, names, policy, query, sell, table, verdict};

#[test]
fn r_40_the_lowest_draws_explore_and_premium_emergency_and_cli_guaranteed_calls_never() {
    let carriers = table(vec![carrier("good", "1 0.01 1/1"), carrier("new", "1 0.02 1/1"), carrier("poor", "1 0.001 1/1")].into_iter().map(|mut c| {
        c.cli_guaranteed = true;
        c.emergency = true;
        c
    }).collect());
    let quality = verdict(vec![known("good", 50), CarrierQuality { state: "demoted".into(), ..known("poor", 5) }], &[]);
    let first = |by: &str, draw_e6, emergency| {
        let by = policy(by);
        let decision = carriers.candidates(&RouteQuery { policy: Some(&by), quality: Some(&quality), draw_e6, emergency, ..query() });
        let states: Vec<_> = decision.choices().iter().map(|c| c.quality.clone()).collect();
        (names(&decision)[0].clone(), states[0].clone())
    };
    let told = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    let two = r#"{"exploration_pct":"2"}"#;
    assert_eq!(first(two, 0, false), told("new", "exploring"));
    assert_eq!(first(two, 19_999, false), told("poor", "exploring"));
    assert_eq!(first(two, 20_000, false), told("good", "good"));
    assert_eq!(first(r#"{"premium":true,"exploration_pct":"5"}"#, 0, false), told("good", "good"));
    assert_eq!(first(r#"{"cli_guaranteed":true,"exploration_pct":"5"}"#, 0, false), told("good", "good"));
    assert_eq!(first(two, 0, true).1, "", "qualities have no say in an emergency");
}

/// A network of two carriers in simulated time: `cheap` completes so many of ten, `dear` five. Each call goes where routing sends it.
struct Network {
    judge: Judge,
    quality: Quality,
    at_us: i64,
    calls: u128,
    /// Of the running minute, by carrier: attempts and answers.
    minute: [(u64, u64); 2],
    revision: u64,
}

const NAMES: [&str; 2] = ["cheap", "dear"];

impl Network {
    fn new() -> Network {
        Network { judge: Judge::new(0), quality: Quality::default(), at_us: NOW.div_euclid(60_000_000) * 60_000_000, calls: 0, minute: [(0, 0); 2], revision: 0 }
    }

    /// One call a second for so many seconds; the share that went to `cheap` first.
    fn run(&mut self, seconds: u64, cheap_of_ten: u64) -> (u64, u64) {
        let carriers = table(vec![carrier("cheap", "1 0.01 1/1"), carrier("dear", "1 0.012 1/1")]);
        let (by, price) = (policy(r#"{"order":"cost","exploration_pct":"5"}"#), sell("0.02", 1, 1));
        let mut first = [0, 0];
        for _ in 0..seconds {
            self.calls += 1;
            let known = self.quality.of("UK");
            let draw_e6 = Id(self.calls).draw_e6();
            let decision = carriers.candidates(&RouteQuery { policy: Some(&by), quality: known.as_deref(), sell: Some(&price), draw_e6, at_us: self.at_us, ..query() });
            let to = NAMES.iter().position(|n| *n == names(&decision)[0]).expect("one of them");
            first[to] += 1;
            let luck = u64::from(Id(self.calls << 64).draw_e6()) % 10;
            self.minute[to].0 += 1;
            self.minute[to].1 += u64::from(luck < if to == 0 { cheap_of_ten } else { 5 });
            self.at_us += 1_000_000;
            self.publish();
        }
        (first[0], first[1])
    }

    fn publish(&mut self) {
        self.revision += 1;
        let start = (self.at_us - 1).div_euclid(60_000_000) * 60_000_000;
        let mut out = Outputs::default();
        for (name, (attempts, answered)) in NAMES.iter().zip(self.minute) {
            let counted = QualityCount {
                carrier: (*name).into(), window_start_us: start, window_s: 60, source_partition: 0, revision: self.revision, figures: vec![attempts, answered],
                ..QualityCount::default()
            };
            let body = Body::QualityPublished(QualityPublished { dest_group: "UK".into(), counted: Some(counted), judged: None });
            let event = Event { id: Id(self.at_us as u128).to_vec(), occurred_us: self.at_us, body: Some(body), ..Event::default() };
            self.judge.apply(0, &event, &mut out).unwrap_or_else(|e| panic!("{e}"));
        }
        out.appends.iter().for_each(|a| assert!(self.quality.apply(&a.event)));
        if self.at_us % 60_000_000 == 0 {
            (self.minute, self.revision) = ([(0, 0); 2], 0);
        }
    }

    fn state(&self) -> String {
        let known = self.quality.of("UK").expect("judged");
        known.verdict.carriers.iter().find(|c| c.carrier == "cheap").map(|c| c.state.clone()).unwrap_or_default()
    }
}

#[test]
fn r_40_traffic_leaves_a_failing_carrier_and_comes_back_when_it_recovers() {
    let mut network = Network::new();
    let (cheap, _) = network.run(600, 5);
    assert!(cheap > 560, "while it is well the cheaper one has the traffic: {cheap} of 600");
    network.run(300, 0);
    assert_eq!(network.state(), "demoted");
    let (cheap, dear) = network.run(600, 0);
    assert!((10..=60).contains(&cheap) && dear >= 540, "about 5 % explores: {cheap} of 600");
    // Well again: three batches of 30 explored attempts, one call in twenty, are 1,800 calls; the hold-down is long over.
    let rules = Rules::default();
    let needs = u64::from(rules.promote_after) * rules.asr_samples * 20;
    let mut calls = 0;
    while network.state() == "demoted" {
        network.run(60, 5);
        calls += 60;
        assert!(calls <= 2 * needs, "not promoted within {calls} calls");
    }
    println!("promoted after {calls} calls at 5 % exploration");
    let (cheap, _) = network.run(600, 5);
    assert!(cheap > 560, "it has its traffic back: {cheap} of 600");
}
