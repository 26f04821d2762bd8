//! The first fold: one partition of topic `calls` in, counts by carrier, destination, codec class and minute out.
//!
//! Every [`SAMPLING_US`] of log time each changed row is published, absolute and with the next revision, also while its minute
//! goes on. A repetition or a reader's choice of order changes nothing: the highest revision is what holds.
//!
//! **Limits.** [`MAX_ROWS`] rows (carrier × destination × codec class) in one minute; an outcome beyond is not counted ([`Stats::beyond`]): what is
//! known of its carrier stays as it was. [`calls::MAX_CALLS`] calls are remembered until they end; those beyond are not counted, nor are calls
//! whose node fell silent. [`calls::MAX_PAIRS`] pairs of caller and number are remembered for a minute or two; a redial beyond counts as
//! fresh. Emergency calls count nowhere. Ids of outputs come from the event by which time passed, so a replay gives them again.

mod calls;
mod state;

use std::collections::BTreeMap;

use tollgate_schemas::{
    codec::CodecClass,
    event::Body,
    id::{Id, partition_of},
    log::Topic,
    nodes::{NODE_LOST_US, Nodes},
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{CallAnswered, CallAttemptEnded, CallAttempted, CallEnded, CallRouteTried, Event, QualityCount, QualityPublished},
};

use super::{Figure, Figures, LAST_US, LATE_US, MINUTE_US, SAMPLING_US};
use calls::{Attempt, Call, Calls, Redials, Under};


/// Name of the stage, part of its outputs' ids.
pub const NAME: &str = "quality_count";
pub const MAX_ROWS: usize = 8_192;
/// M-06.
const SHORT_MS: u64 = 6_000;
/// F-05.
const HANG_UP_MS: u64 = 10_000;
const EARLY_US: i64 = 1_500_000;

/// Figures for the operator, since the instance was made; no part of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub published: u64,
    /// Outcomes of minutes no longer kept.
    pub too_late: u64,
    pub beyond: u64,
    pub unremembered: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    figures: Figures,
    /// The last one published; 0 = none.
    revision: u64,
    dirty: bool,
}

/// By destination, carrier and codec class.
type Table = BTreeMap<(Box<str>, Box<str>, CodecClass), Row>;

/// One partition of topic `calls`, counted.
pub struct Counter {
    partition: u16,
    partitions: u16,
    /// Log time: the newest of any node.
    clock_us: i64,
    published_us: i64,
    nodes: Nodes,
    calls: Calls,
    redials: Redials,
    /// By beginning of the minute.
    minutes: BTreeMap<i64, Table>,
    stats: Stats,
}

impl Counter {
    /// `partitions`: of topic `quality`, fixed when the log was made.
    pub fn new(partition: u16, partitions: u16) -> Counter {
        Counter {
            partition,
            partitions,
            clock_us: 0,
            published_us: 0,
            nodes: Nodes::new(NODE_LOST_US),
            calls: Calls::default(),
            redials: Redials::default(),
            minutes: BTreeMap::new(),
            stats: Stats::default(),
        }
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn count(&mut self, at_us: i64, under: &Under, carrier: &str, change: impl FnOnce(&mut Figures)) {
        let start_us = at_us.div_euclid(MINUTE_US) * MINUTE_US;
        if start_us.saturating_add(LATE_US) <= self.clock_us {
            self.stats.too_late += 1;
            return;
        }
        let table = self.minutes.entry(start_us).or_default();
        let key = (under.dest_group.clone(), carrier.into(), under.class);
        if table.len() >= MAX_ROWS && !table.contains_key(&key) {
            self.stats.beyond += 1;
            return;
        }
        let row = table.entry(key).or_default();
        change(&mut row.figures);
        row.dirty = true;
    }

    fn attempted(&mut self, event: &Event, body: &CallAttempted) {
        let Some(facts) = body.facts.as_ref().filter(|f| !f.emergency && !f.b_dest_group.is_empty()) else { return };
        let id = event.id();
        if self.calls.knows(id) {
            return;
        }
        let redial = event.personal.as_ref().is_some_and(|p| self.redials.again(&p.a_e164, &p.b_e164, event.occurred_us));
        let under = Under { dest_group: facts.b_dest_group.as_str().into(), class: CodecClass::of(&facts.codec_class), redial };
        let call = Call { under, begun_us: event.occurred_us, attempts: Vec::new() };
        if !self.calls.insert(id, call) {
            self.stats.unremembered += 1;
        }
    }

    fn route_tried(&mut self, event: &Event, body: &CallRouteTried) {
        if let Some(call) = self.calls.get_mut(Id::of(&body.call_id)) {
            call.try_one(Attempt { no: body.attempt_no, carrier: body.carrier.as_str().into(), tried_us: event.occurred_us, ..Attempt::default() });
        }
    }

    fn answered(&mut self, event: &Event, body: &CallAnswered) {
        let Some(call) = self.calls.get_mut(Id::of(&body.call_id)) else { return };
        let Some(attempt) = call.attempt(body.attempt_no).filter(|a| !a.answered && !a.ended) else { return };
        attempt.answered = true;
        let attempt = attempt.clone();
        let under = call.under.clone();
        let setup_us = (event.occurred_us - attempt.tried_us).max(0);
        self.count(event.occurred_us, &under, &attempt.carrier, |f| {
            outcome(f, &attempt, under.redial, Outcome::Answered);
            f.add(Figure::Answers, 1);
            f.add(Figure::SetupMs, (setup_us / 1000) as u64);
            f.add(Figure::Early, u64::from(attempt.rang_us == 0 && setup_us < EARLY_US));
            f.add(Figure::EarlyMedia, u64::from(attempt.early_media));
            // M-05: an answer without ringing is the delay.
            let heard_us = if attempt.rang_us == 0 { event.occurred_us } else { attempt.rang_us };
            f.add(Figure::PddCount, 1);
            f.add(Figure::PddMs, ms(attempt.tried_us, heard_us));
        });
    }

    /// A carrier's last word on an attempt.
    fn attempt_ended(&mut self, event: &Event, body: &CallAttemptEnded) {
        let Some(call) = self.calls.get_mut(Id::of(&body.call_id)) else { return };
        let Some(attempt) = call.attempt(body.attempt_no).filter(|a| !a.ended) else { return };
        attempt.ended = true;
        if body.first_18x_us != 0 {
            attempt.rang_us = body.first_18x_us;
        }
        let attempt = attempt.clone();
        let under = call.under.clone();
        if attempt.answered {
            let talk_ms = body.duration_ms;
            return self.count(event.occurred_us, &under, &attempt.carrier, |f| {
                f.add(Figure::Ended, 1);
                f.add(Figure::TalkMs, talk_ms);
                f.add(Figure::Short, u64::from(talk_ms <= SHORT_MS));
                f.add_length(talk_ms);
            });
        }
        if !carriers_own(&body.local_cause) {
            return;
        }
        self.count(event.occurred_us, &under, &attempt.carrier, |f| {
            outcome(f, &attempt, under.redial, if reached(body) { Outcome::Reached } else if broken(body) { Outcome::Broken } else { Outcome::Failed });
            if attempt.rang_us != 0 {
                f.add(Figure::PddCount, 1);
                f.add(Figure::PddMs, ms(attempt.tried_us, attempt.rang_us));
                f.add(Figure::RingCount, 1);
                f.add(Figure::RingMs, ms(attempt.rang_us, event.occurred_us));
            }
        });
    }

    fn ended(&mut self, event: &Event, body: &CallEnded) {
        let Some(call) = self.calls.end(Id::of(&body.call_id)) else { return };
        let Some(attempt) = call.attempts.iter().find(|a| a.answered) else { return };
        if body.hangup_party == "caller" && body.duration_ms <= HANG_UP_MS {
            self.count(event.occurred_us, &call.under, &attempt.carrier, |f| f.add(Figure::HungUp, 1));
        }
    }

    fn publish(&mut self, cause: &Event, out: &mut Outputs) {
        self.published_us = self.clock_us;
        let mut ordinal = 0;
        for (start_us, table) in &mut self.minutes {
            for ((dest_group, carrier, class), row) in table.iter_mut().filter(|(_, row)| row.dirty) {
                row.revision += 1;
                row.dirty = false;
                let counted = QualityCount {
                    carrier: carrier.to_string(),
                    window_start_us: *start_us,
                    window_s: (MINUTE_US / 1_000_000) as u32,
                    source_partition: self.partition.into(),
                    revision: row.revision,
                    figures: row.figures.published(),
                    codec_class: class.name().to_owned(),
                };
                let body = Body::QualityPublished(QualityPublished { dest_group: dest_group.to_string(), counted: Some(counted), judged: None });
                let event = Event { key: dest_group.to_string(), ..Event::derived(NAME, cause, "counted", ordinal, body) };
                ordinal += 1;
                self.stats.published += 1;
                out.push(Topic::Quality, partition_of(dest_group, self.partitions), event);
            }
        }
        while self.minutes.first_entry().filter(|m| m.key().saturating_add(LATE_US) <= self.clock_us).map(|m| m.remove()).is_some() {}
        self.calls.drop_old(self.clock_us);
    }
}

/// How an attempt came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Reached,
    Broken,
    Failed,
}

fn outcome(f: &mut Figures, attempt: &Attempt, redial: bool, came: Outcome) {
    let answered = u64::from(came == Outcome::Answered);
    if redial {
        f.add(Figure::Redial, 1);
        f.add(Figure::RedialAnswered, answered);
    } else if attempt.no > 1 {
        f.add(Figure::Later, 1);
        f.add(Figure::LaterAnswered, answered);
    } else {
        f.add(Figure::First, 1);
        f.add(Figure::FirstAnswered, answered);
        f.add(Figure::FirstReached, u64::from(came == Outcome::Reached));
        f.add(Figure::FirstBroken, u64::from(came == Outcome::Broken));
    }
}

/// Whether an unanswered attempt's end says something of the carrier: what it answered, or that it kept silent.
fn carriers_own(local_cause: &str) -> bool {
    local_cause.is_empty() || local_cause.ends_with("timeout")
}

/// M-03: the network did its part, though nobody answered.
fn reached(end: &CallAttemptEnded) -> bool {
    let rang = end.first_18x_us != 0;
    match end.sip_code {
        486 | 600 => true,
        480 | 408 => rang || matches!(end.q850, 18..=20),
        487 => rang,
        603 => rang || end.q850 == 21,
        // Ours for a carrier that rang until its time was up.
        0 => rang,
        _ => false,
    }
}

fn broken(end: &CallAttemptEnded) -> bool {
    matches!(end.sip_code, 0 | 408 | 500..)
}

/// Milliseconds from one time to a later one of the same node.
fn ms(from_us: i64, to_us: i64) -> u64 {
    (to_us.saturating_sub(from_us) / 1_000).max(0) as u64
}

impl Stage for Counter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn snapshot_version(&self) -> u32 {
        state::VERSION
    }

    fn apply(&mut self, _offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        let at_us = match &event.body {
            Some(Body::Tick(tick)) => tick.at_us.max(event.occurred_us),
            Some(_) if event.cause_id.is_empty() => event.occurred_us,
            _ => return Ok(()),
        };
        if !(0..=LAST_US).contains(&at_us) || !(0..=LAST_US).contains(&event.occurred_us) {
            return Err(Poison(format!("{} at {at_us} us lies outside the times there are", event.name())));
        }
        self.clock_us = self.clock_us.max(at_us);
        self.nodes.heard(event, at_us);
        for node in self.nodes.newly_lost() {
            self.calls.drop_node(node);
        }
        match &event.body {
            Some(Body::CallAttempted(body)) => self.attempted(event, body),
            Some(Body::CallRouteTried(body)) => self.route_tried(event, body),
            Some(Body::CallRinging(body)) => {
                if let Some(attempt) = self.calls.get_mut(Id::of(&body.call_id)).and_then(|call| call.attempt(body.attempt_no)) {
                    attempt.early_media |= body.early_media;
                    if attempt.rang_us == 0 {
                        attempt.rang_us = event.occurred_us;
                    }
                }
            }
            Some(Body::CallAnswered(body)) => self.answered(event, body),
            Some(Body::CallAttemptEnded(body)) => self.attempt_ended(event, body),
            Some(Body::CallEnded(body)) => self.ended(event, body),
            _ => {}
        }
        if self.clock_us.saturating_sub(self.published_us) >= SAMPLING_US {
            self.publish(event, out);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        state::take(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        *self = state::read(state, Counter::new(self.partition, self.partitions)).map_err(|problem| BadSnapshot { stage: NAME, problem })?;
        Ok(())
    }
}
