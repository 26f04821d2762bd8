//! Calls as the proxies of a partition write them, and what the folds say of them.

use tollgate_fraud::{
    Merged, Partials,
    figures::{Figure, Figures, Kind},
};
use tollgate_schemas::{
    event::Body,
    id::Id,
    log::{Append, Topic},
    stage::{Outputs, Stage},
    v1::*,
};

/// A full minute.
pub const T0: i64 = 1_763_769_000_000_000;
pub const SECOND: i64 = 1_000_000;
pub const PARTITIONS: u16 = 4;

/// Writes events of one node.
pub struct Node {
    node: u128,
    seq: u128,
    pub events: Vec<Event>,
}

#[derive(Clone, Copy)]
pub struct Party<'a> {
    pub account: &'a str,
    pub number: &'a str,
    pub ip: &'a str,
    pub group: &'a str,
    pub risky: bool,
}

pub const CUBA: Party<'_> = Party { account: "acme", number: "5355550001", ip: "192.0.2.1:5060", group: "Cuba", risky: true };

impl Node {
    pub fn new(node: u128) -> Node {
        Node { node, seq: 0, events: Vec::new() }
    }

    pub fn write(&mut self, at_ms: i64, body: Body) -> Id {
        self.seq += 1;
        let id = Id(self.node << 80 | self.seq);
        self.events.push(Event { id: id.to_vec(), occurred_us: T0 + at_ms * 1_000, body: Some(body), ..Event::default() });
        id
    }

    fn personal(&mut self, of: Party<'_>) {
        if let Some(event) = self.events.last_mut() {
            event.personal = Some(Personal { b_e164: of.number.to_owned(), peer_addr: of.ip.to_owned(), ..Personal::default() });
        }
    }

    fn facts(of: Party<'_>) -> Option<CallFacts> {
        let risk = if of.risky { "high" } else { "none" };
        Some(CallFacts { account: of.account.to_owned(), b_dest_group: of.group.to_owned(), b_risk_flag: risk.to_owned(), ..CallFacts::default() })
    }

    pub fn attempted(&mut self, at_ms: i64, of: Party<'_>) -> Id {
        let id = self.write(at_ms, Body::CallAttempted(CallAttempted { facts: Node::facts(of), ..CallAttempted::default() }));
        self.personal(of);
        id
    }

    pub fn refused(&mut self, at_ms: i64, of: Party<'_>, count: u64) -> Id {
        let body = CallRefused { facts: Node::facts(of), reason: "blocked".to_owned(), count, ..CallRefused::default() };
        let id = self.write(at_ms, Body::CallRefused(body));
        self.personal(of);
        id
    }

    pub fn tried(&mut self, at_ms: i64, call: Id, no: u32, carrier: &str) {
        self.write(at_ms, Body::CallRouteTried(CallRouteTried { call_id: call.to_vec(), attempt_no: no, carrier: carrier.to_owned(), ..CallRouteTried::default() }));
    }

    pub fn ringing(&mut self, at_ms: i64, call: Id, no: u32) {
        self.write(at_ms, Body::CallRinging(CallRinging { call_id: call.to_vec(), attempt_no: no, code: 180, ..CallRinging::default() }));
    }

    pub fn answered(&mut self, at_ms: i64, call: Id, no: u32) {
        self.write(at_ms, Body::CallAnswered(CallAnswered { call_id: call.to_vec(), attempt_no: no, ..CallAnswered::default() }));
    }

    /// `rang_ms`: after the start of time, 0 = never.
    pub fn attempt_ended(&mut self, at_ms: i64, call: Id, no: u32, sip_code: u32, rang_ms: i64, duration_ms: u64) {
        let first_18x_us = if rang_ms == 0 { 0 } else { T0 + rang_ms * 1_000 };
        let body = CallAttemptEnded { call_id: call.to_vec(), attempt_no: no, sip_code, first_18x_us, duration_ms, ..CallAttemptEnded::default() };
        self.write(at_ms, Body::CallAttemptEnded(body));
    }

    pub fn ended(&mut self, at_ms: i64, call: Id, disposition: &str, answered_attempt: u32, duration_ms: u64) {
        let body = CallEnded { call_id: call.to_vec(), disposition: disposition.to_owned(), answered_attempt, duration_ms, ..CallEnded::default() };
        self.write(at_ms, Body::CallEnded(body));
    }

    pub fn tick(&mut self, at_ms: i64) {
        self.write(at_ms, Body::Tick(Tick { at_us: T0 + at_ms * 1_000 }));
    }

    /// Begun at a carrier and answered after 2 s, or refused by it after 1 s.
    pub fn whole(&mut self, at_ms: i64, of: Party<'_>, carrier: &str, duration_ms: Option<u64>) {
        let call = self.attempted(at_ms, of);
        self.tried(at_ms + 10, call, 1, carrier);
        match duration_ms {
            Some(ms) => {
                self.answered(at_ms + 2_000, call, 1);
                self.attempt_ended(at_ms + 2_000 + ms as i64, call, 1, 200, at_ms + 1_000, ms);
                self.ended(at_ms + 2_000 + ms as i64, call, "answered", 1, ms);
            }
            None => {
                self.attempt_ended(at_ms + 1_000, call, 1, 503, 0, 0);
                self.ended(at_ms + 1_000, call, "failed", 0, 0);
            }
        }
    }

    /// The events in the order they happened, with ticks each second to `until_ms`.
    pub fn log(mut self, until_ms: i64) -> Vec<Event> {
        (0..=until_ms).step_by(1_000).for_each(|ms| self.tick(ms));
        self.events.sort_by_key(|e| (e.occurred_us, e.id()));
        self.events
    }
}

pub fn play<'a>(stage: &mut dyn Stage, events: impl IntoIterator<Item = &'a Event>) -> Vec<Append> {
    let mut out = Outputs::default();
    for event in events {
        stage.apply(0, event, &mut out).expect("no poison in this story");
    }
    out.appends
}

pub fn partials(said: &[Append]) -> Vec<PartialPublished> {
    let partial = |a: &Append| match &a.event.body {
        Some(Body::PartialPublished(p)) => {
            assert_eq!((a.topic, a.event.oldest_reader), (Topic::Quality, 2));
            assert_eq!(a.partition, tollgate_schemas::id::partition_of(&a.event.key, PARTITIONS), "where its key's shares meet");
            assert_eq!(a.event.key, format!("{}/{}", p.kind, p.key));
            Some(p.clone())
        }
        _ => None,
    };
    said.iter().filter_map(partial).collect()
}

pub fn figure(partial: &PartialPublished, name: Figure) -> i64 {
    Figures::of(&partial.figures).get(name)
}

pub fn alerts(said: &[Append]) -> Vec<AlertRaised> {
    said.iter().filter_map(|a| if let Some(Body::AlertRaised(b)) = &a.event.body { Some(b.clone()) } else { None }).collect()
}

/// Each partition's events through its own first fold, what they publish through the second folds; the alerts.
pub fn judged(logs: &[Vec<Event>]) -> Vec<AlertRaised> {
    let mut shares: Vec<Append> = Vec::new();
    for (partition, log) in (0..).zip(logs) {
        shares.extend(play(&mut Partials::new(partition, PARTITIONS), log));
    }
    // As time goes, whatever partition a share comes from.
    shares.sort_by_key(|a| a.event.occurred_us);
    let mut said = Vec::new();
    for partition in 0..PARTITIONS {
        let own = shares.iter().filter(|a| a.partition == partition).map(|a| &a.event);
        said.extend(play(&mut Merged::new(partition), own));
    }
    let ids: std::collections::BTreeSet<_> = said.iter().map(|a| a.event.id()).collect();
    assert_eq!(ids.len(), said.len(), "no id twice");
    alerts(&said)
}

pub fn share(kind: Kind, key: &str, minute: i64, source_partition: u32, revision: u64, figures: &[(Figure, i64)]) -> PartialPublished {
    let figures = figures.iter().map(|(f, value)| tollgate_schemas::v1::Figure { name: f.name().to_owned(), value: *value }).collect();
    PartialPublished {
        kind: kind.name().to_owned(),
        key: key.to_owned(),
        window_start_us: T0 + minute * 60 * SECOND,
        window_s: 60,
        source_partition,
        revision,
        figures,
    }
}

pub fn shared(n: u128, partial: PartialPublished) -> Event {
    Event { id: Id(n + 1).to_vec(), occurred_us: partial.window_start_us, body: Some(Body::PartialPublished(partial)), ..Event::default() }
}
