//! What must be remembered of a call to know what its later facts count under.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::FixedState;
use tollgate_schemas::{id::Id, nodes::node_of};

use crate::{
    figures::{Kind, carrier_destination},
};

/// Calls remembered in one partition, about 250 bytes each.
pub const MAX_CALLS: usize = 65_536;
/// Ids of calls that ended or were refused, known again when repeated.
pub const MAX_RECENT: usize = 16_384;
/// No call lasts this long (P-46: 12 h at most).
const MAX_AGE_US: i64 = 24 * 3_600_000_000;
/// Attempts of one call: far above what a hunt makes.
const MAX_ATTEMPTS: usize = 64;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempt {
    pub no: u32,
    pub carrier: Box<str>,
    pub tried_us: i64,
    pub answered: bool,
}

/// Empty texts: the call has no such key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Call {
    pub range: Box<str>,
    pub ip: Box<str>,
    pub dest_group: Box<str>,
    pub begun_us: i64,
    pub answered: bool,
    /// 0 = not yet.
    pub rang_us: i64,
    /// Those without a last word.
    pub attempts: Vec<Attempt>,
    /// Numbers of those that had it.
    pub ended: Vec<u32>,
}

impl Call {
    pub fn keys(&self) -> impl Iterator<Item = (Kind, &str)> {
        [(Kind::BRange, &*self.range), (Kind::SourceIp, &*self.ip)].into_iter().filter(|(_, key)| !key.is_empty())
    }

    pub fn rang(&mut self, at_us: i64) {
        if self.rang_us == 0 || at_us < self.rang_us {
            self.rang_us = at_us;
        }
    }

    /// False when it is known, or there are too many.
    pub fn add_attempt(&mut self, attempt: Attempt) -> bool {
        let known = self.ended.contains(&attempt.no) || self.attempts.iter().any(|a| a.no == attempt.no);
        if known || self.attempts.len() + self.ended.len() >= MAX_ATTEMPTS {
            return false;
        }
        self.attempts.push(attempt);
        true
    }

    /// The key of an attempt that is answered for the first time.
    pub fn answer(&mut self, no: u32) -> Option<String> {
        let attempt = self.attempts.iter_mut().find(|a| a.no == no && !a.answered)?;
        attempt.answered = true;
        Some(carrier_destination(&attempt.carrier, &self.dest_group))
    }

    pub fn end_attempt(&mut self, no: u32) -> Option<Attempt> {
        let at = self.attempts.iter().position(|a| a.no == no)?;
        self.ended.push(no);
        Some(self.attempts.remove(at))
    }
}

#[derive(Default)]
pub struct Calls {
    pub(super) open: HashMap<Id, Call, FixedState>,
    pub(super) recent: VecDeque<Id>,
    known: HashSet<Id, FixedState>,
    pub(super) swept_us: i64,
}

impl Calls {
    pub fn knows(&self, id: Id) -> bool {
        self.open.contains_key(&id) || self.known.contains(&id)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut Call> {
        self.open.get_mut(&id)
    }

    /// False when there is no room.
    pub fn insert(&mut self, id: Id, call: Call) -> bool {
        if self.open.len() >= MAX_CALLS {
            // Its own repetition must not count again.
            self.once(id);
            return false;
        }
        self.open.insert(id, call);
        true
    }

    pub fn end(&mut self, id: Id) -> Option<Call> {
        let call = self.open.remove(&id)?;
        self.once(id);
        Some(call)
    }

    /// True for the first time an id is seen here, among the last [`MAX_RECENT`].
    pub fn once(&mut self, id: Id) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.recent.push_back(id);
        if self.recent.len() > MAX_RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    pub fn drop_node(&mut self, node: u64) {
        self.open.retain(|id, _| node_of(*id) != node);
    }

    /// Once an hour is often enough.
    pub fn drop_old(&mut self, clock_us: i64) {
        if clock_us.saturating_sub(self.swept_us) >= 3_600_000_000 {
            self.swept_us = clock_us;
            self.open.retain(|_, call| call.begun_us.saturating_add(MAX_AGE_US) > clock_us);
        }
    }
}
