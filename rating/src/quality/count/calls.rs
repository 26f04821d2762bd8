//! What must be remembered of a call to know what its later facts count under, and which pairs called just now.

use std::collections::{BTreeMap, HashMap, VecDeque};

use foldhash::fast::FixedState;
use tollgate_schemas::{codec::CodecClass, id::Id, nodes::node_of};

/// Calls remembered in one partition, about 200 bytes each.
pub const MAX_CALLS: usize = 65_536;
/// Pairs of caller and number in one minute.
pub const MAX_PAIRS: usize = 65_536;
/// Ids of calls that ended, known again when repeated.
pub const MAX_RECENT: usize = 16_384;
/// No call lasts this long (P-46: 12 h at most).
const MAX_AGE_US: i64 = 24 * 3_600_000_000;
/// Attempts of one call: far above what a hunt makes.
const MAX_ATTEMPTS: usize = 64;
/// A call of the same pair within this time is a redial.
pub const REDIAL_US: i64 = 60_000_000;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempt {
    pub no: u32,
    pub carrier: Box<str>,
    pub tried_us: i64,
    /// 0 = not yet.
    pub rang_us: i64,
    pub early_media: bool,
    pub answered: bool,
    pub ended: bool,
}

/// Under what a call's outcomes are counted, beside the carrier.
#[derive(Debug, Clone)]
pub struct Under {
    pub dest_group: Box<str>,
    pub class: CodecClass,
    pub redial: bool,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub under: Under,
    pub begun_us: i64,
    pub attempts: Vec<Attempt>,
}

impl Call {
    /// Nothing when it is known, or there are too many.
    pub fn try_one(&mut self, attempt: Attempt) {
        if self.attempts.len() < MAX_ATTEMPTS && self.attempt(attempt.no).is_none() {
            self.attempts.push(attempt);
        }
    }

    pub fn attempt(&mut self, no: u32) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|a| a.no == no)
    }
}

#[derive(Default)]
pub struct Calls {
    pub(super) open: HashMap<Id, Call, FixedState>,
    /// Oldest first.
    pub(super) recent: VecDeque<Id>,
    known: std::collections::HashSet<Id, FixedState>,
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
            // Its own repetition must not count.
            self.over(id);
            return false;
        }
        self.open.insert(id, call);
        true
    }

    pub fn end(&mut self, id: Id) -> Option<Call> {
        let call = self.open.remove(&id)?;
        self.over(id);
        Some(call)
    }

    pub(super) fn over(&mut self, id: Id) {
        if self.known.insert(id) {
            self.recent.push_back(id);
        }
        if self.recent.len() > MAX_RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.known.remove(&oldest);
        }
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

/// Who called whom just now: by a hash of the pair, the time. Two generations, so that dropping costs nothing.
#[derive(Debug, Default, PartialEq)]
pub struct Redials {
    pub(super) since_us: i64,
    pub(super) now: BTreeMap<u64, i64>,
    pub(super) before: BTreeMap<u64, i64>,
}

impl Redials {
    /// Notes a call; true when the same pair called within [`REDIAL_US`] before. A caller without a number is nobody's double.
    pub fn again(&mut self, a: &str, b: &str, at_us: i64) -> bool {
        if a.is_empty() || b.is_empty() {
            return false;
        }
        if at_us - self.since_us >= REDIAL_US {
            self.before = std::mem::take(&mut self.now);
            if at_us - self.since_us >= 2 * REDIAL_US {
                self.before.clear();
            }
            self.since_us = at_us;
        }
        let hash = blake3::Hasher::new().update(a.as_bytes()).update(b" ").update(b.as_bytes()).finalize();
        let mut pair = [0u8; 8];
        pair.copy_from_slice(&hash.as_bytes()[..8]);
        let pair = u64::from_be_bytes(pair);
        let last = self.now.get(&pair).or_else(|| self.before.get(&pair)).copied();
        if self.now.len() < MAX_PAIRS || self.now.contains_key(&pair) {
            self.now.insert(pair, at_us);
        }
        last.is_some_and(|last| at_us - last < REDIAL_US)
    }
}
