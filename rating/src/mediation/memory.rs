//! When calls are to be looked at again without an event of theirs, and which calls are no longer remembered.
//!
//! Limits: a closed call is remembered [`KEEP_US`] of log time, so that a late fact can make another version; at most
//! [`MAX_SETTLED`] calls whose every carrier gave its last word, and [`MAX_UNSETTLED`] others, beyond which the oldest
//! are forgotten early. A call closed because its node fell silent is remembered [`KEEP_LOST_US`], so that the node's own
//! facts make the next version when it comes back after hours; at most [`MAX_LOST`] of them, beyond which the oldest are
//! forgotten; so is a call of which a carrier's last word may still come while its node is silent. What comes after that goes to quarantine: version 1 stands until a person looks. Of the last [`MAX_FORGOTTEN`] forgotten calls the id stays, so that a fact later still is
//! told from a new call and goes to quarantine.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet, VecDeque},
};

use foldhash::fast::FixedState;
use tollgate_schemas::id::Id;

use crate::lately::{Lately, REQUEST_US};

/// Log time a closed call is remembered. A late 2xx comes within 64·T1 = 32 s of the abandonment, its BYE may take as
/// long again.
pub const KEEP_US: i64 = 120_000_000;
/// Log time an ended call waits for facts that are missing, and an opened one for its `attempted`.
pub const WAIT_US: i64 = 60_000_000;
/// Closed calls remembered in one partition, where nothing more is to be expected.
pub const MAX_SETTLED: usize = 4_096;
/// Closed calls remembered in one partition, where a branch was abandoned or the end was not seen.
pub const MAX_UNSETTLED: usize = 16_384;
/// Log time a call of a lost node is remembered: two days, four times the longest call (P-46).
pub const KEEP_LOST_US: i64 = 48 * 3_600_000_000;
/// Calls of lost nodes remembered in one partition, about 1 KiB each.
pub const MAX_LOST: usize = 32_768;
/// Ids of forgotten and refused calls kept in one partition.
pub const MAX_FORGOTTEN: usize = 65_536;
/// Requests with a key that a partition knows; beyond it the oldest is forgotten before its day is over.
pub const MAX_REQUESTS: usize = 65_536;

/// Calls by deadline; an entry counts only while the call still has that deadline.
#[derive(Default)]
pub(super) struct Queue(BinaryHeap<Reverse<(i64, Id)>>);

impl Queue {
    pub fn push(&mut self, deadline_us: i64, call: Id) {
        self.0.push(Reverse((deadline_us, call)));
    }

    /// Drops entries that count no more.
    pub fn retain(&mut self, mut counts: impl FnMut(i64, Id) -> bool) {
        self.0.retain(|Reverse((deadline_us, id))| counts(*deadline_us, *id));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn pop(&mut self) -> Option<(i64, Id)> {
        self.0.pop().map(|Reverse(entry)| entry)
    }

    pub fn pop_due(&mut self, clock_us: i64) -> Option<(i64, Id)> {
        match self.0.peek() {
            Some(Reverse((deadline, _))) if *deadline <= clock_us => self.pop(),
            _ => None,
        }
    }
}

/// Ids of calls that are no longer remembered, oldest leave first.
#[derive(Default)]
pub(super) struct Forgotten {
    ids: HashSet<Id, FixedState>,
    order: VecDeque<Id>,
}

/// None yet.
pub fn requests() -> Lately<()> {
    Lately::new(MAX_REQUESTS, REQUEST_US)
}

impl Forgotten {
    pub fn contains(&self, id: Id) -> bool {
        self.ids.contains(&id)
    }

    /// False when it was there.
    pub fn insert(&mut self, id: Id) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MAX_FORGOTTEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.order.iter().flat_map(|id| id.0.to_be_bytes()).collect()
    }

    /// None when the bytes are not whole ids.
    pub fn from_bytes(bytes: &[u8]) -> Option<Forgotten> {
        let (ids, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            return None;
        }
        let mut forgotten = Forgotten::default();
        for id in ids {
            forgotten.insert(Id(u128::from_be_bytes(*id)));
        }
        Some(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_ids_are_bounded_and_come_back_in_order() {
        let mut forgotten = Forgotten::default();
        for n in 0..=MAX_FORGOTTEN as u128 {
            assert!(forgotten.insert(Id(n + 1)));
        }
        assert!(!forgotten.insert(Id(2)), "a repetition is not kept twice");
        assert!(!forgotten.contains(Id(1)) && forgotten.contains(Id(2)));
        let back = Forgotten::from_bytes(&forgotten.to_bytes()).expect("whole ids");
        assert_eq!(back.order, forgotten.order);
        assert!(Forgotten::from_bytes(&[0; 17]).is_none());
    }

    #[test]
    fn the_queue_gives_what_is_due_earliest_first() {
        let mut queue = Queue::default();
        for (at, id) in [(30, 3), (10, 1), (20, 2)] {
            queue.push(at, Id(id));
        }
        assert_eq!(queue.pop_due(9), None);
        assert_eq!(queue.pop_due(25), Some((10, Id(1))));
        assert_eq!(queue.pop_due(25), Some((20, Id(2))));
        assert_eq!(queue.pop_due(25), None);
    }
}
