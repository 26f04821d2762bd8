//! A small carrier to write traces against: calls begin, are answered and end at seconds of event time, with a tick
//! every second between; what the stage says is kept with the second it was said.

use tollgate_fraud::{Guard, Limits};
use tollgate_schemas::{
    control::{FraudPolicy, FraudRule},
    event::Body,
    id::Id,
    log::{Append, Topic},
    money::parse_scaled,
    stage::{Outputs, Stage},
    v1::*,
};

/// 23:50 UTC, so that ten minutes into each trace the day changes.
pub const START_US: i64 = 1_763_769_000_000_000;
pub const SECOND: i64 = 1_000_000;

#[derive(Clone, Copy)]
pub struct To<'a> {
    pub account: &'a str,
    pub group: &'a str,
    pub high_risk: bool,
    pub international: bool,
    pub emergency: bool,
    pub number: &'a str,
    pub rate: &'a str,
}

/// A premium range abroad at $1/min, billed by the minute.
pub const PREMIUM: To<'_> = To { account: "acme", group: "Cuba", high_risk: true, international: true, emergency: false, number: "5355550001", rate: "1.00" };
pub const DOMESTIC: To<'_> = To { group: "US", high_risk: false, international: false, number: "12125550001", rate: "0.01", ..PREMIUM };

pub struct World {
    pub guard: Guard,
    pub said: Vec<Append>,
    pub events: Vec<Event>,
    now_s: f64,
    next: u128,
}

pub fn rule(feature: &str, watch: &str, window_s: u64, warning: &str, critical: &str) -> FraudRule {
    let level = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    FraudRule { feature: feature.to_owned(), watch: watch.to_owned(), window_s, warning: level(warning), critical: level(critical) }
}

pub fn policy(rules: Vec<FraudRule>) -> FraudPolicy {
    FraudPolicy { rules, ..FraudPolicy::default() }
}

pub fn terms(rate: &str, initial_s: u32, increment_s: u32) -> Terms {
    Terms {
        rate_e12: parse_scaled(rate, 12).expect("a rate"),
        initial_s,
        increment_s,
        places: 6,
        currency: "USD".to_owned(),
        ..Terms::default()
    }
}

pub fn time_us(s: f64) -> i64 {
    START_US + (s * 1e6).round() as i64
}

pub fn event(n: u128, at_s: f64, body: Body) -> Event {
    Event { version: 1, oldest_reader: 1, id: Id(n).to_vec(), occurred_us: time_us(at_s), key: "acme".to_owned(), body: Some(body), ..Event::default() }
}

pub fn attempted(n: u128, at_s: f64, to: To<'_>) -> Event {
    let facts = CallFacts {
        account: to.account.to_owned(),
        root_account: to.account.to_owned(),
        b_dest_group: to.group.to_owned(),
        b_risk_flag: if to.high_risk { "high" } else { "none" }.to_owned(),
        international: to.international,
        emergency: to.emergency,
        ..CallFacts::default()
    };
    let body = CallAttempted { facts: Some(facts), sell: Some(terms(to.rate, 60, 60)), ..CallAttempted::default() };
    Event {
        key: to.account.to_owned(),
        personal: Some(Personal { b_e164: to.number.to_owned(), ..Personal::default() }),
        ..event(n, at_s, Body::CallAttempted(body))
    }
}

/// At $1/min by the minute, twice that from midnight UTC on and from the third minute into a call, with a fee of $0.50: ten minutes into
/// each trace the price changes by the clock.
pub fn tariff() -> Terms {
    let twice = |after_s| RateStep { after_s, rate_e12: 2_000_000_000_000, initial_s: 60, increment_s: 60, ..RateStep::default() };
    Terms {
        steps: vec![twice(120)],
        bands: vec![TimeBand { name: "night".to_owned(), to_s: 6 * 3600, steps: vec![twice(0)], ..TimeBand::default() }],
        fees: vec![Fee { name: "answer".to_owned(), amount_e12: 500_000_000_000, on: FeeOn::Answer.into() }],
        ..terms("1.00", 60, 60)
    }
}

/// The same call under [`tariff`].
pub fn under_tariff(mut attempted: Event) -> Event {
    if let Some(Body::CallAttempted(body)) = &mut attempted.body {
        body.sell = Some(tariff());
    }
    attempted
}

impl World {
    pub fn new(policy: FraudPolicy) -> World {
        World::with_limits(policy, Limits::default())
    }

    pub fn with_limits(policy: FraudPolicy, limits: Limits) -> World {
        let guard = Guard::with_limits(3, policy, limits).expect("a right policy");
        World { guard, said: Vec::new(), events: Vec::new(), now_s: 0.0, next: 1 }
    }

    fn mint(&mut self) -> u128 {
        self.next += 1;
        self.next
    }

    pub fn feed(&mut self, event: Event) {
        let mut out = Outputs::default();
        self.guard.apply(self.events.len() as u64, &event, &mut out).expect("a sound event");
        self.events.push(event);
        self.said.append(&mut out.appends);
    }

    /// Ticks once a second up to there.
    pub fn until(&mut self, at_s: f64) {
        while self.now_s + 1.0 <= at_s {
            self.now_s += 1.0;
            let n = self.mint();
            let tick = Event { key: String::new(), ..event(n, self.now_s, Body::Tick(Tick { at_us: time_us(self.now_s) })) };
            self.feed(tick);
        }
    }

    pub fn call(&mut self, at_s: f64, to: To<'_>) -> Id {
        self.until(at_s);
        let n = self.mint();
        self.feed(attempted(n, at_s, to));
        Id(n)
    }

    /// As [`World::call`], under [`tariff`].
    pub fn call_under_tariff(&mut self, at_s: f64, to: To<'_>) -> Id {
        self.until(at_s);
        let n = self.mint();
        self.feed(under_tariff(attempted(n, at_s, to)));
        Id(n)
    }

    pub fn refused(&mut self, at_s: f64, to: To<'_>) {
        self.until(at_s);
        let n = self.mint();
        let Some(Body::CallAttempted(body)) = attempted(n, at_s, to).body else { return };
        self.feed(event(n, at_s, Body::CallRefused(CallRefused { facts: body.facts, reason: "blocked".to_owned(), count: 1, ..CallRefused::default() })));
    }

    pub fn answer(&mut self, at_s: f64, call: Id) {
        self.until(at_s);
        let n = self.mint();
        self.feed(event(n, at_s, Body::CallAnswered(CallAnswered { call_id: call.to_vec(), attempt_no: 1, code: 200, ..CallAnswered::default() })));
    }

    pub fn end(&mut self, at_s: f64, call: Id, duration_s: f64) {
        self.until(at_s);
        let n = self.mint();
        let body = CallEnded { call_id: call.to_vec(), duration_ms: (duration_s * 1e3) as u64, answered_attempt: u32::from(duration_s > 0.0), ..CallEnded::default() };
        self.feed(event(n, at_s, Body::CallEnded(body)));
    }

    /// Begun, answered at once, and over.
    pub fn whole(&mut self, at_s: f64, to: To<'_>, duration_s: f64) {
        let call = self.call(at_s, to);
        self.answer(at_s, call);
        self.end(at_s + duration_s, call, duration_s);
    }

    pub fn control(&mut self, kind: &str, name: &str, spec_json: String) {
        let removed = spec_json.is_empty();
        let body = ControlApplied { kind: kind.to_owned(), name: name.to_owned(), spec_json, removed, ..ControlApplied::default() };
        self.guard.control(&event(0, 0.0, Body::ControlApplied(body))).expect("a sound document");
    }

    pub fn lift(&mut self, block: &BlockPlaced) {
        let body = BlockLifted { block_id: block.block_id.clone(), actor: "ops".to_owned(), reason: "known".to_owned() };
        self.guard.control(&event(0, 0.0, Body::BlockLifted(body))).expect("a sound event");
    }

    /// `second rule severity group`, in order.
    pub fn alerts(&self) -> Vec<String> {
        let line = |a: &Append| match &a.event.body {
            Some(Body::AlertRaised(b)) => {
                let at_s = (a.event.occurred_us - START_US) / SECOND;
                Some(format!("{at_s} {} {} {}", b.rule, b.severity, b.dest_group))
            }
            _ => None,
        };
        self.said.iter().filter_map(line).collect()
    }

    pub fn raised(&self) -> Vec<AlertRaised> {
        let body = |a: &Append| match &a.event.body {
            Some(Body::AlertRaised(b)) => Some(b.clone()),
            _ => None,
        };
        self.said.iter().filter_map(body).collect()
    }

    pub fn blocks(&self) -> Vec<BlockPlaced> {
        let body = |a: &Append| match &a.event.body {
            Some(Body::BlockPlaced(b)) => {
                assert_eq!((a.topic, a.partition), (Topic::Blocks, 0));
                Some(b.clone())
            }
            _ => None,
        };
        self.said.iter().filter_map(body).collect()
    }
}
