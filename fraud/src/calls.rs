//! The calls that are up, ringing or hunting, and when each must be looked at next.
//!
//! A slab with free slots, so that the sweep reads one dense array of times. Slots are no order: whatever is sent out
//! goes by `serial`, which is the same after a restore.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use tollgate_schemas::id::Id;

use crate::{
    destinations::{Classes, Watch},
    detectors::worst,
    features::{Feature, call_duration, spend::Price},
    keys::Keys,
    memo::Severity,
    policy::{Policy, Rule},
};

/// A call of which nothing was heard for this long is gone without its end: live ones are heard of every five minutes.
pub const LOST_US: i64 = 24 * 3600 * 1_000_000;
const NEVER: i64 = i64::MAX;

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub id: Id,
    /// Order in which calls were let in.
    pub serial: u64,
    pub account: u32,
    /// Its account × group key; `None` when the key table was full, then it counts in the account's total alone.
    pub key: Option<u32>,
    pub classes: Classes,
    /// From the sell row of the attempt, then of the answer; `None` without one.
    pub price: Option<Price>,
    pub answered_us: Option<i64>,
    /// Money of this call that is already counted.
    pub owed_e8: i64,
    /// When it will owe more.
    pub owes_more_us: i64,
    /// Duration verdicts raised on this call.
    pub raised: Vec<Raised>,
    /// When a duration verdict that is quiet now may be raised again; 0 = none is.
    pub again_us: i64,
    pub seen_us: i64,
    /// Its node is silent: it counts as up nowhere. The serial its key had then, 0 without one.
    pub silent: Option<u64>,
}

/// A duration verdict by what it judged, so that a changed policy judges anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    pub watch: Watch,
    pub severity: Severity,
    pub threshold: i64,
}

impl Call {
    /// Its key, unless that was dropped while the call did not count and another has its slot: then the call counts in its
    /// account's total alone.
    pub fn standing_key(&self, keys: &Keys) -> Option<u32> {
        self.key.filter(|slot| self.silent.is_none_or(|serial| keys.get(*slot).is_some_and(|k| k.serial == serial)))
    }

    /// Brings the money owed up to `now_us`; gives what was added.
    pub fn accrue(&mut self, now_us: i64) -> i64 {
        let (Some(price), Some(answered_us)) = (&self.price, self.answered_us) else { return 0 };
        if now_us < self.owes_more_us {
            return 0;
        }
        let (owed_e8, next_ms) = price.owed(call_duration::elapsed_ms(answered_us, now_us));
        let next_us = next_ms.and_then(|ms| i64::try_from(ms).ok()?.checked_mul(1000)?.checked_add(answered_us));
        self.owes_more_us = next_us.unwrap_or(NEVER);
        let added = owed_e8.saturating_sub(self.owed_e8);
        self.owed_e8 = owed_e8;
        added
    }

    /// The worst duration threshold of one rule the call has reached.
    pub fn too_long(&self, rule: &Rule, elapsed_ms: u64) -> Option<Raised> {
        if rule.feature != Feature::CallDuration || !self.classes.has(rule.watch) {
            return None;
        }
        let (severity, threshold) = worst(rule, |t| i64::try_from(elapsed_ms).unwrap_or(i64::MAX) >= t)?;
        Some(Raised { watch: rule.watch, severity, threshold })
    }

    /// Some duration verdict has not been raised yet.
    pub fn duration_pending(&self, policy: &Policy, now_us: i64) -> bool {
        let Some(answered_us) = self.answered_us else { return false };
        let elapsed_ms = call_duration::elapsed_ms(answered_us, now_us);
        let again = self.again_us != 0 && self.again_us <= now_us;
        again || policy.rules.iter().filter_map(|r| self.too_long(r, elapsed_ms)).any(|r| !self.raised.contains(&r))
    }

    /// When the sweep must look at this call next.
    pub fn next_due(&self, policy: &Policy, now_us: i64) -> i64 {
        let mut due_us = self.seen_us + LOST_US;
        let Some(answered_us) = self.answered_us else { return due_us };
        if policy.spend_classes.meets(self.classes) && self.price.is_some() {
            due_us = due_us.min(self.owes_more_us);
        }
        if self.again_us > now_us {
            due_us = due_us.min(self.again_us);
        }
        let rules = policy.rules.iter().filter(|r| r.feature == Feature::CallDuration && self.classes.has(r.watch));
        let ahead = rules.flat_map(|r| [r.warning, r.critical]).flatten();
        let ahead = ahead.map(|ms| answered_us.saturating_add(ms.saturating_mul(1000))).filter(|at| *at > now_us);
        due_us.min(ahead.min().unwrap_or(NEVER))
    }
}

#[derive(Default)]
pub struct Calls {
    slots: Vec<Option<Call>>,
    due_us: Vec<i64>,
    free: Vec<u32>,
    by_id: HashMap<Id, u32, FixedState>,
}

impl Calls {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Those that do not count as up.
    pub fn silent(&self) -> usize {
        self.slots.iter().flatten().filter(|c| c.silent.is_some()).count()
    }

    /// Slots of some calls, in the order they were let in.
    pub fn slots_where(&self, wanted: impl Fn(&Call) -> bool) -> Vec<u32> {
        let mut found: Vec<_> = (0u32..).zip(&self.slots).filter_map(|(i, c)| Some((c.as_ref().filter(|c| wanted(c))?.serial, i))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, slot)| slot).collect()
    }

    pub fn knows(&self, id: Id) -> bool {
        self.by_id.contains_key(&id)
    }

    pub fn slot(&self, id: Id) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub fn insert(&mut self, call: Call, due_us: i64) {
        let id = call.id;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(call);
                self.due_us[slot as usize] = due_us;
                slot
            }
            None => {
                self.slots.push(Some(call));
                self.due_us.push(due_us);
                (self.slots.len() - 1) as u32
            }
        };
        self.by_id.insert(id, slot);
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Call> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub fn remove(&mut self, id: Id) -> Option<Call> {
        let slot = self.by_id.remove(&id)?;
        self.due_us[slot as usize] = NEVER;
        self.free.push(slot);
        self.slots[slot as usize].take()
    }

    /// The first slot from `from` on whose time has come.
    pub fn next_due(&self, from: usize, now_us: i64) -> Option<usize> {
        self.due_us.get(from..)?.iter().position(|due| *due <= now_us).map(|i| from + i)
    }

    pub fn set_due(&mut self, slot: u32, due_us: i64) {
        self.due_us[slot as usize] = due_us;
    }

    /// Every call is looked at by the next sweep.
    pub fn all_due(&mut self) {
        for (slot, due) in self.slots.iter().zip(&mut self.due_us) {
            if slot.is_some() {
                *due = 0;
            }
        }
    }

    /// Every call, in no order that means anything.
    pub fn each_mut(&mut self) -> impl Iterator<Item = &mut Call> {
        self.slots.iter_mut().flatten()
    }

    /// Calls with their due times, in the order they were let in.
    pub fn sorted(&self) -> Vec<(&Call, i64)> {
        let mut all: Vec<_> = self.slots.iter().zip(&self.due_us).filter_map(|(c, due)| Some((c.as_ref()?, *due))).collect();
        all.sort_unstable_by_key(|(c, _)| c.serial);
        all
    }
}
