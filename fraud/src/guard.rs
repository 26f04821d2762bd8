//! The stage: one partition's calls and keys, driven by its events.
//!
//! Time is the latest seen on an event or tick. Features that count at INVITE are judged at each INVITE let in. Money
//! and durations are judged for all running calls by a sweep, at every tick and at the first event 250 ms or more after
//! the last sweep, and for one call at its answer and its end.
//!
//! Several nodes write into a partition, each by its own clock. An event counts at the partition's time: its own, moved by how
//! far its node's newest time lies behind the latest of any node, if that is no more than [`MAX_SKEW_US`]; what lies further
//! back is a backlog, and counts when it happened. Calls of a node that fell silent are no longer up (`silent.rs`).

mod control;
mod judging;
mod silent;

use std::{collections::BTreeMap, mem, sync::Arc};

use tollgate_schemas::{
    control::FraudPolicy,
    event::Body,
    id::Id,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{CallAnswered, CallAttempted, CallEnded, Event},
    nodes::{NODE_LOST_US, Nodes, node_of},
};

use crate::{
    calls::{Call, Calls, LOST_US},
    destinations::{Classes, classify},
    features::{Feature, call_duration, spend::Currency, spend::Price},
    keys::Keys,
    policy::{BadPolicy, Policy},
    snapshot,
    verdict::{STAGE, Verdicts},
};

/// Least event time between two sweeps that no tick asked for.
const SWEEP_US: i64 = 250_000;
/// Clocks of two nodes may differ by as much.
pub const MAX_SKEW_US: i64 = 35_000_000;
/// Times outside 1970 to about 2223 are a broken clock or a broken event.
const LAST_US: i64 = 8_000_000_000_000_000;

/// What may grow, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Account × destination group keys of the partition.
    pub keys: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { keys: 100_000 }
    }
}

/// Figures for the operator, since the instance was made; no part of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub live_calls: u64,
    pub keys: u64,
    /// Calls let in and counted.
    pub counted: u64,
    /// Emergency calls and calls to groups the policy allows: neither counted nor judged.
    pub exempt: u64,
    /// Calls without a paying account: nothing to block.
    pub without_account: u64,
    /// Refused calls seen: they count nowhere (G6).
    pub refused: u64,
    /// `attempted` again for a call that is known.
    pub repeated: u64,
    /// Events of calls that are not known: exempt, over, or begun before this log.
    pub unknown: u64,
    /// Calls dropped because nothing was heard of them for a day.
    pub lost: u64,
    /// Calls not counted as up, because their node is silent.
    pub silent: u64,
    /// Keys dropped at the cap, with what they remembered.
    pub keys_dropped: u64,
    /// Calls counted in their account's total alone, because every key at the cap had a live call.
    pub keys_over_cap: u64,
    pub warnings: u64,
    pub criticals: u64,
    pub blocks: u64,
}

pub struct Guard {
    pub(crate) partition: u16,
    pub(crate) defaults: Arc<Policy>,
    /// Policies by name, as provisioned and compiled.
    pub(crate) policies: BTreeMap<String, (FraudPolicy, Arc<Policy>)>,
    /// The policy's name of each account that names one.
    pub(crate) assigned: BTreeMap<String, String>,
    pub(crate) calls: Calls,
    pub(crate) keys: Keys,
    pub(crate) nodes: Nodes,
    pub(crate) call_serial: u64,
    pub(crate) now_us: i64,
    pub(crate) swept_us: i64,
    stats: Stats,
    touched: Vec<u32>,
    late: Vec<(u64, u32)>,
}

impl Guard {
    /// An empty stage. `defaults` judges accounts without a policy of their own while no policy is named `default`.
    pub fn new(partition: u16, defaults: FraudPolicy) -> Result<Guard, BadPolicy> {
        Guard::with_limits(partition, defaults, Limits::default())
    }

    pub fn with_limits(partition: u16, defaults: FraudPolicy, limits: Limits) -> Result<Guard, BadPolicy> {
        Ok(Guard::with_policy(partition, Arc::new(Policy::compile(&defaults)?), limits))
    }

    pub(crate) fn with_policy(partition: u16, defaults: Arc<Policy>, limits: Limits) -> Guard {
        Guard {
            partition,
            defaults,
            policies: BTreeMap::new(),
            assigned: BTreeMap::new(),
            calls: Calls::default(),
            keys: Keys::new(limits.keys),
            nodes: Nodes::new(NODE_LOST_US),
            call_serial: 0,
            now_us: 0,
            swept_us: 0,
            stats: Stats::default(),
            touched: Vec::new(),
            late: Vec::new(),
        }
    }

    /// With another tolerated outage than 90 s. All replays of a log must have the same.
    pub fn node_lost_after(mut self, us: i64) -> Guard {
        self.nodes = self.nodes.restored(us);
        self
    }

    pub fn stats(&self) -> Stats {
        let silent = self.calls.silent() as u64;
        Stats {
            live_calls: self.calls.len() as u64 - silent,
            silent,
            keys: self.keys.groups() as u64,
            keys_dropped: self.keys.dropped,
            keys_over_cap: self.keys.refused,
            ..self.stats
        }
    }

    fn attempted(&mut self, event: &Event, body: &CallAttempted, out: &mut Verdicts<'_>) -> Result<(), Poison> {
        let facts = body.facts.as_ref().ok_or_else(|| Poison("call.attempted without facts".to_owned()))?;
        let id = event.id();
        if self.calls.knows(id) {
            self.stats.repeated += 1;
            return Ok(());
        }
        if facts.emergency {
            self.stats.exempt += 1;
            return Ok(());
        }
        if facts.account.is_empty() {
            self.stats.without_account += 1;
            return Ok(());
        }
        let account = match self.keys.find_account(&facts.account) {
            Some(account) => account,
            None => {
                let policy = self.policy_of(&facts.account);
                self.keys.add_account(&facts.account, &facts.root_account, policy)
            }
        };
        let policy = Arc::clone(&self.keys.accounts[account as usize].policy);
        if policy.allows(&facts.b_dest_group) {
            self.stats.exempt += 1;
            return Ok(());
        }
        let classes = classify(facts, event.personal.as_ref(), &policy);
        let key = self.keys.find_or_add(account, &facts.b_dest_group);
        let total = self.keys.accounts[account as usize].total;
        let (at_us, now_us) = (self.partition_time(event), self.now_us);
        for slot in key.into_iter().chain([total]) {
            self.keys.begin(slot, |k| classes.each().for_each(|w| k.lanes[w.lane()].begin(at_us, now_us, policy.spend_span_us)));
        }
        self.call_serial += 1;
        self.stats.counted += 1;
        let call = Call {
            id,
            serial: self.call_serial,
            account,
            key,
            classes,
            price: body.sell.as_ref().map(|terms| Price::of(terms, 0)),
            answered_us: None,
            owed_e8: 0,
            owes_more_us: 0,
            raised: Vec::new(),
            again_us: 0,
            seen_us: now_us,
            silent: None,
        };
        self.calls.insert(call, now_us + LOST_US);
        for slot in key.into_iter().chain([total]) {
            self.judge(slot, classes, &policy, &[Feature::ConcurrentCalls, Feature::CallsPerMinute], out);
        }
        Ok(())
    }

    fn answered(&mut self, event: &Event, body: &CallAnswered, out: &mut Verdicts<'_>) {
        let (now_us, at_us) = (self.now_us, self.partition_time(event));
        let Some(slot) = self.spoken_of(event.call_id()) else {
            self.stats.unknown += 1;
            return;
        };
        let Some(call) = self.calls.get_mut(slot) else { return };
        call.seen_us = now_us;
        // A fork's further answers change nothing: the first one prices the call.
        if call.answered_us.is_some() {
            return;
        }
        call.answered_us = Some(at_us);
        if let Some(terms) = &body.sell {
            call.price = Some(Price::of(terms, event.occurred_us));
        } else if let Some(tariff) = call.price.as_mut().and_then(|p| p.tariff.as_mut()) {
            tariff.answer_us = event.occurred_us;
        }
        let policy = Arc::clone(&self.keys.accounts[call.account as usize].policy);
        let watched = policy.spend_classes.meets(call.classes);
        let added = if watched { call.accrue(now_us) } else { 0 };
        let owing = Owing::of(call);
        let due_us = call.next_due(&policy, now_us);
        self.calls.set_due(slot, due_us);
        if watched {
            owing.post(&mut self.keys, now_us, added);
            self.judge_money(&owing, &policy, out);
        }
    }

    fn ended(&mut self, event: &Event, body: &CallEnded, out: &mut Verdicts<'_>) {
        self.spoken_of(event.call_id());
        let Some(mut call) = self.calls.remove(event.call_id()) else {
            self.stats.unknown += 1;
            return;
        };
        let now_us = self.now_us;
        let owing = Owing::of(&call);
        let answered = call.answered_us.is_some() || body.answered_attempt > 0;
        if let Some(price) = call.price.as_ref().filter(|_| answered) {
            let owed_e8 = price.owed(body.duration_ms).0;
            owing.post(&mut self.keys, now_us, owed_e8.saturating_sub(call.owed_e8));
        }
        self.forget(&owing);
        let policy = Arc::clone(&self.keys.accounts[call.account as usize].policy);
        if answered {
            self.judge_duration(&mut call, body.duration_ms, &policy, out);
        }
        self.judge_money(&owing, &policy, out);
    }

    /// A call no longer counts as up.
    fn forget(&mut self, owing: &Owing) {
        let (now_us, classes) = (self.now_us, owing.classes);
        for slot in owing.slots(&self.keys) {
            self.keys.end(slot, |k| classes.each().for_each(|w| k.lanes[w.lane()].end(now_us)));
        }
    }

    /// Brings every running call whose time has come up to now, and judges what that changed.
    fn sweep(&mut self, out: &mut Verdicts<'_>) {
        let now_us = self.now_us;
        self.swept_us = now_us;
        let (mut touched, mut late) = (mem::take(&mut self.touched), mem::take(&mut self.late));
        let mut from = 0;
        while let Some(slot) = self.calls.next_due(from, now_us) {
            from = slot + 1;
            let slot = slot as u32;
            let Some(call) = self.calls.get_mut(slot) else { continue };
            if call.seen_us + LOST_US <= now_us {
                let (id, owing, silent) = (call.id, Owing::of(call), call.silent.is_some());
                self.calls.remove(id);
                if !silent {
                    self.forget(&owing);
                }
                self.stats.lost += 1;
                continue;
            }
            if call.silent.is_some() {
                let due_us = call.seen_us + LOST_US;
                self.calls.set_due(slot, due_us);
                continue;
            }
            let policy = &self.keys.accounts[call.account as usize].policy;
            let added = if policy.spend_classes.meets(call.classes) { call.accrue(now_us) } else { 0 };
            if call.duration_pending(policy, now_us) {
                late.push((call.serial, slot));
            }
            let due_us = call.next_due(policy, now_us);
            if added != 0 {
                let owing = Owing::of(call);
                owing.post(&mut self.keys, now_us, added);
                for slot in owing.slots(&self.keys) {
                    if let Some(key) = self.keys.get_mut(slot).filter(|k| !k.touched) {
                        key.touched = true;
                        touched.push(slot);
                    }
                }
            }
            self.calls.set_due(slot, due_us);
        }
        // Groups before totals, and each in the order the keys were made: slots differ after a restore.
        touched.sort_unstable_by_key(|slot| self.keys.get(*slot).map(|k| (k.total, k.serial)));
        for slot in touched.drain(..) {
            let Some(key) = self.keys.get_mut(slot) else { continue };
            key.touched = false;
            let policy = Arc::clone(&self.keys.accounts[self.keys.get(slot).map_or(0, |k| k.account) as usize].policy);
            self.judge(slot, Classes(u8::MAX), &policy, &[Feature::Spend], out);
        }
        late.sort_unstable();
        for (_, slot) in late.drain(..) {
            self.running_too_long(slot, out);
        }
        (self.touched, self.late) = (touched, late);
    }

    fn running_too_long(&mut self, slot: u32, out: &mut Verdicts<'_>) {
        let now_us = self.now_us;
        let Some(call) = self.calls.get_mut(slot) else { return };
        let Some(answered_us) = call.answered_us else { return };
        let elapsed_ms = call_duration::elapsed_ms(answered_us, now_us);
        let policy = Arc::clone(&self.keys.accounts[call.account as usize].policy);
        // Taken out while the guard judges it, and its verdicts put back.
        let mut own = call.clone();
        self.judge_duration(&mut own, elapsed_ms, &policy, out);
        let due_us = own.next_due(&policy, now_us);
        if let Some(call) = self.calls.get_mut(slot) {
            (call.raised, call.again_us) = (own.raised, own.again_us);
        }
        self.calls.set_due(slot, due_us);
    }
}

/// Where a call's money and presence count.
struct Owing {
    account: u32,
    key: Option<u32>,
    classes: Classes,
    currency: Currency,
}

impl Owing {
    fn of(call: &Call) -> Owing {
        let currency = call.price.as_ref().map(|p| p.currency).unwrap_or_default();
        Owing { account: call.account, key: call.key, classes: call.classes, currency }
    }

    /// The group key, when it has one, then the total.
    fn slots(&self, keys: &Keys) -> impl Iterator<Item = u32> + use<> {
        self.key.into_iter().chain([keys.accounts[self.account as usize].total])
    }

    fn post(&self, keys: &mut Keys, now_us: i64, amount_e8: i64) {
        if amount_e8 == 0 {
            return;
        }
        let span_us = keys.accounts[self.account as usize].policy.spend_span_us;
        for slot in self.slots(keys) {
            if let Some(key) = keys.get_mut(slot) {
                self.classes.each().for_each(|w| key.lanes[w.lane()].spend.post(self.currency, now_us, amount_e8, span_us));
            }
        }
    }
}

impl Stage for Guard {
    fn name(&self) -> &'static str {
        STAGE
    }

    fn snapshot_version(&self) -> u32 {
        snapshot::VERSION
    }

    fn apply(&mut self, _offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        let (at_us, tick) = match &event.body {
            Some(Body::Tick(tick)) => (tick.at_us, true),
            _ => (event.occurred_us, false),
        };
        if !(0..=LAST_US).contains(&at_us) {
            return Err(Poison(format!("{} at {at_us} us lies outside the times there are", event.name())));
        }
        // Before anything is said: what poison puts out is thrown away.
        if let Some(Body::CallAttempted(body)) = &event.body {
            let missing = if body.facts.is_none() { "facts" } else { "an id" };
            if body.facts.is_none() || event.id() == Id::NIL {
                return Err(Poison(format!("call.attempted without {missing}")));
            }
        }
        self.now_us = self.now_us.max(at_us);
        self.hear(event, at_us);
        let mut out = Verdicts { cause: event, out, partition: self.partition, ordinal: 0 };
        if tick || self.now_us - self.swept_us >= SWEEP_US {
            self.sweep(&mut out);
        }
        match &event.body {
            Some(Body::CallAttempted(body)) => return self.attempted(event, body, &mut out),
            Some(Body::CallAnswered(body)) => self.answered(event, body, &mut out),
            Some(Body::CallEnded(body)) => self.ended(event, body, &mut out),
            Some(Body::CallRefused(body)) => self.stats.refused += body.count.max(1),
            Some(Body::CallInterim(_)) => {
                if let Some(call) = self.spoken_of(event.call_id()).and_then(|slot| self.calls.get_mut(slot)) {
                    call.seen_us = self.now_us;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn control(&mut self, event: &Event) -> Result<(), Poison> {
        self.apply_control(event)
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::take(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let (defaults, limits) = (Arc::clone(&self.defaults), Limits { keys: self.keys.limit() });
        let empty = Guard::with_policy(self.partition, defaults, limits).node_lost_after(self.nodes.lost_after_us());
        let restored = snapshot::read(state, empty);
        *self = restored.map_err(|problem| BadSnapshot { stage: STAGE, problem })?;
        Ok(())
    }
}
