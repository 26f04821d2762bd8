//! The first fold of figures whose keys span partitions (design §2, keys): one partition of topic `calls` in, its share of the
//! figures of each key out, to where all partitions' shares of that key meet in topic `quality`.
//!
//! **Windows** are minutes of event time. A fact counts in the minute it happened in, so a call's answer may count in another
//! window than the call. When log time has passed a window's end, each of its keys is published, absolute and with revision 1;
//! when later facts change it, again with the next revision, at most every [`PUBLISH_US`] of log time. A repetition or a
//! reader's choice of order changes nothing: the highest revision is what holds.
//!
//! **Limits.** [`MAX_KEYS`] keys of a kind in one window; what is beyond counts under [`OTHER`]. [`MAX_ACCOUNTS`] different
//! accounts are told apart per key. Windows are kept [`KEEP_US`]: a fact later than that counts nowhere
//! ([`Stats::too_late`]). [`MAX_CALLS`] calls are remembered until they end; the facts after the INVITE of one beyond
//! do not count ([`Stats::unremembered`]), nor do those of a call whose node fell silent. The last [`MAX_RECENT`] calls that
//! ended or were refused are known again when their events are repeated.
//!
//! Emergency calls count nowhere. Ids of outputs come from the event by which time passed, so a replay gives them again.

mod calls;
mod snapshot;
mod tables;

use tollgate_schemas::{
    event::Body,
    id::{Id, partition_of},
    log::Topic,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{CallAttemptEnded, CallAttempted, CallEnded, CallRefused, CallRouteTried, Event, PartialPublished},
    nodes::{NODE_LOST_US, Nodes},
};

use crate::{
    figures::{Figure, Kind, b_range, carrier_destination, source_ip},
};
use calls::{Attempt, Call, Calls};
use tables::Tables;

pub use crate::figures::{MAX_ACCOUNTS, OTHER};
pub use calls::{MAX_CALLS, MAX_RECENT};
pub use tables::{KEEP_US, MAX_KEYS, WINDOW_S, WINDOW_US};

/// Name of the stage, part of its outputs' ids.
pub const NAME: &str = "partials";
/// Least log time between two publications.
pub const PUBLISH_US: i64 = 10_000_000;
/// M-06, M-08.
const SHORT_MS: u64 = 6_000;
/// Times outside 1970 to about 2223 are a broken clock or a broken event.
const LAST_US: i64 = 8_000_000_000_000_000;

/// Figures for the operator, since the instance was made; no part of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub published: u64,
    /// Facts of windows no longer kept.
    pub too_late: u64,
    /// Facts counted under [`OTHER`].
    pub other: u64,
    pub unremembered: u64,
}

/// One partition of topic `calls`, counted.
pub struct Partials {
    partition: u16,
    partitions: u16,
    /// Log time: the newest of any node.
    clock_us: i64,
    published_us: i64,
    nodes: Nodes,
    calls: Calls,
    tables: Tables,
    stats: Stats,
}

impl Partials {
    /// `partitions`: of topic `quality`, fixed when the log was made.
    pub fn new(partition: u16, partitions: u16) -> Partials {
        Partials {
            partition,
            partitions,
            clock_us: 0,
            published_us: 0,
            nodes: Nodes::new(NODE_LOST_US),
            calls: Calls::default(),
            tables: Tables::default(),
            stats: Stats::default(),
        }
    }

    /// With another tolerated outage of nodes than 90 s. All replays of a log must have the same.
    pub fn node_lost_after(mut self, us: i64) -> Partials {
        self.nodes = self.nodes.restored(us);
        self
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn count(&mut self, at_us: i64, kind: Kind, key: &str, figure: Figure, amount: i64) {
        if amount != 0 {
            self.tables.change(self.clock_us, at_us, kind, key, &mut self.stats, |row| row.figures.add(figure, amount));
        }
    }

    /// A call's own keys: its number's range and where it came from.
    fn count_call(&mut self, at_us: i64, call: &Call, figure: Figure, amount: i64) {
        for (kind, key) in call.keys() {
            self.count(at_us, kind, key, figure, amount);
        }
    }

    fn note_account(&mut self, at_us: i64, call: &Call, account: &str) {
        if account.is_empty() {
            return;
        }
        for (kind, key) in call.keys() {
            self.tables.change(self.clock_us, at_us, kind, key, &mut self.stats, |row| row.note_account(account));
        }
    }

    fn attempted(&mut self, event: &Event, body: &CallAttempted) {
        let Some(facts) = body.facts.as_ref().filter(|f| !f.emergency) else { return };
        let id = event.id();
        if self.calls.knows(id) {
            return;
        }
        let call = Call {
            range: b_range(event.personal.as_ref()).unwrap_or_default(),
            ip: source_ip(event.personal.as_ref()).unwrap_or_default(),
            dest_group: facts.b_dest_group.as_str().into(),
            begun_us: event.occurred_us,
            ..Call::default()
        };
        self.count_call(event.occurred_us, &call, Figure::Attempts, 1);
        self.count_call(event.occurred_us, &call, Figure::HighRisk, i64::from(facts.b_risk_flag == "high"));
        self.note_account(event.occurred_us, &call, &facts.account);
        if !self.calls.insert(id, call) {
            self.stats.unremembered += 1;
        }
    }

    fn refused(&mut self, event: &Event, body: &CallRefused) {
        if !self.calls.once(event.id()) || body.facts.as_ref().is_some_and(|f| f.emergency) {
            return;
        }
        let call = Call {
            range: b_range(event.personal.as_ref()).unwrap_or_default(),
            ip: source_ip(event.personal.as_ref()).unwrap_or_default(),
            ..Call::default()
        };
        let count = i64::try_from(body.count.max(1)).unwrap_or(i64::MAX);
        self.count_call(event.occurred_us, &call, Figure::Refused, count);
        if let Some(facts) = &body.facts {
            self.count_call(event.occurred_us, &call, Figure::HighRisk, if facts.b_risk_flag == "high" { count } else { 0 });
            self.note_account(event.occurred_us, &call, &facts.account);
        }
    }

    fn route_tried(&mut self, event: &Event, body: &CallRouteTried) {
        let Some(call) = self.calls.get_mut(Id::of(&body.call_id)) else { return };
        let attempt = Attempt { no: body.attempt_no, carrier: body.carrier.as_str().into(), tried_us: event.occurred_us, answered: false };
        if call.add_attempt(attempt) {
            let key = carrier_destination(&body.carrier, &call.dest_group);
            self.count(event.occurred_us, Kind::CarrierDestination, &key, Figure::Attempts, 1);
        }
    }

    fn answered(&mut self, event: &Event, call: Id, attempt_no: u32) {
        let Some(call) = self.calls.get_mut(call) else { return };
        let key = call.answer(attempt_no);
        let first = !std::mem::replace(&mut call.answered, true);
        let copy = first.then(|| call.clone());
        if let Some(key) = key {
            self.count(event.occurred_us, Kind::CarrierDestination, &key, Figure::Answered, 1);
            self.count(event.occurred_us, Kind::CarrierDestination, &key, Figure::Reached, 1);
        }
        if let Some(call) = copy {
            self.count_call(event.occurred_us, &call, Figure::Answered, 1);
        }
    }

    /// A carrier's last word. An attempt has one: a late answer's comes after it, and is money, not quality.
    fn attempt_ended(&mut self, event: &Event, body: &CallAttemptEnded) {
        let Some(call) = self.calls.get_mut(Id::of(&body.call_id)) else { return };
        if body.first_18x_us != 0 {
            call.rang(body.first_18x_us);
        }
        let Some(attempt) = call.end_attempt(body.attempt_no) else { return };
        let key = carrier_destination(&attempt.carrier, &call.dest_group);
        let mut count = |figure, amount| self.count(event.occurred_us, Kind::CarrierDestination, &key, figure, amount);
        count(Figure::Ended, 1);
        if attempt.answered {
            count(Figure::DurationMs, i64::try_from(body.duration_ms).unwrap_or(i64::MAX));
            count(Figure::Short, i64::from(body.duration_ms <= SHORT_MS));
        } else {
            count(Figure::Failed, 1);
            count(Figure::Reached, i64::from(reached(body)));
        }
        if body.first_18x_us != 0 {
            count(Figure::PddMs, ms(attempt.tried_us, body.first_18x_us));
            count(Figure::PddCount, 1);
            if !attempt.answered {
                count(Figure::RingMs, ms(body.first_18x_us, event.occurred_us));
            }
        }
    }

    fn ended(&mut self, event: &Event, body: &CallEnded) {
        let id = Id::of(&body.call_id);
        let Some(call) = self.calls.end(id) else { return };
        let at_us = event.occurred_us;
        self.count_call(at_us, &call, Figure::Ended, 1);
        if body.answered_attempt != 0 || call.answered {
            self.count_call(at_us, &call, Figure::DurationMs, i64::try_from(body.duration_ms).unwrap_or(i64::MAX));
            self.count_call(at_us, &call, Figure::Short, i64::from(body.duration_ms <= SHORT_MS));
            return;
        }
        self.count_call(at_us, &call, Figure::Failed, 1);
        if call.rang_us != 0 {
            let ring_ms = ms(call.rang_us, at_us);
            self.count_call(at_us, &call, Figure::RingMs, ring_ms);
            let bait = body.disposition == "cancelled" && ring_ms < SHORT_MS as i64;
            self.count_call(at_us, &call, Figure::ShortRing, i64::from(bait));
        }
    }

    /// Publishes what closed windows have that was not published as it is now.
    fn publish(&mut self, cause: &Event, out: &mut Outputs) {
        self.published_us = self.clock_us;
        let mut ordinal = 0;
        for (kind, key, window_start_us, row) in self.tables.unpublished(self.clock_us) {
            row.revision += 1;
            row.dirty = false;
            let event_key = kind.event_key(key);
            let body = Body::PartialPublished(PartialPublished {
                kind: kind.name().to_owned(),
                key: key.to_owned(),
                window_start_us,
                window_s: WINDOW_S,
                source_partition: self.partition.into(),
                revision: row.revision,
                figures: row.published().published(),
            });
            let partition = partition_of(&event_key, self.partitions);
            let event = Event { key: event_key, ..Event::derived(NAME, cause, kind.name(), ordinal, body) };
            ordinal += 1;
            self.stats.published += 1;
            out.push(Topic::Quality, partition, event);
        }
        self.tables.drop_old(self.clock_us);
        self.calls.drop_old(self.clock_us);
    }
}

/// M-03: what a carrier's response says of the network, where nobody answered.
fn reached(end: &CallAttemptEnded) -> bool {
    let rang = end.first_18x_us != 0;
    match end.sip_code {
        486 | 600 => true,
        480 | 408 => rang || matches!(end.q850, 18..=20),
        487 => rang,
        603 => rang || end.q850 == 21,
        _ => false,
    }
}

/// Milliseconds from one time to a later one of the same node.
fn ms(from_us: i64, to_us: i64) -> i64 {
    (to_us.saturating_sub(from_us) / 1_000).max(0)
}

impl Stage for Partials {
    fn name(&self) -> &'static str {
        NAME
    }

    fn snapshot_version(&self) -> u32 {
        snapshot::VERSION
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
            Some(Body::CallRefused(body)) => self.refused(event, body),
            Some(Body::CallRouteTried(body)) => self.route_tried(event, body),
            Some(Body::CallRinging(body)) => {
                if let Some(call) = self.calls.get_mut(Id::of(&body.call_id)) {
                    call.rang(event.occurred_us);
                }
            }
            Some(Body::CallAnswered(body)) => self.answered(event, Id::of(&body.call_id), body.attempt_no),
            Some(Body::CallAttemptEnded(body)) => self.attempt_ended(event, body),
            Some(Body::CallEnded(body)) => self.ended(event, body),
            _ => {}
        }
        if self.clock_us.saturating_sub(self.published_us) >= PUBLISH_US {
            self.publish(event, out);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::take(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let empty = Partials::new(self.partition, self.partitions).node_lost_after(self.nodes.lost_after_us());
        *self = snapshot::read(state, empty).map_err(|problem| BadSnapshot { stage: NAME, problem })?;
        Ok(())
    }
}
