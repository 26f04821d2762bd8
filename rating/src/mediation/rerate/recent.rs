//! Calls that got a version above 1 lately.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;
use prost::Message;
use tollgate_schemas::id::Id;

/// Log time such a call is remembered.
pub const RECENT_US: i64 = 120_000_000;
/// Such calls in one partition, 60 bytes each.
pub const MAX_RECENT: usize = 65_536;

/// Call → sum of its rows' versions, which only grows.
#[derive(Default)]
pub(crate) struct Recent {
    calls: HashMap<Id, (i64, u64), FixedState>,
    /// By time; an entry counts while the call still has that time.
    order: VecDeque<(i64, Id)>,
}

/// One of them in a snapshot.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct RecentSaved {
    #[prost(fixed64, tag = "1")]
    pub id_high: u64,
    #[prost(fixed64, tag = "2")]
    pub id_low: u64,
    #[prost(sint64, tag = "3")]
    pub at_us: i64,
    #[prost(uint64, tag = "4")]
    pub versions: u64,
}

impl Recent {
    pub fn of(&self, call: Id) -> Option<u64> {
        self.calls.get(&call).map(|(_, versions)| *versions)
    }

    /// Whether one more can be remembered without forgetting one too early.
    pub fn has_room(&mut self, call: Id, now_us: i64) -> bool {
        self.forget(now_us);
        self.calls.len() < MAX_RECENT || self.calls.contains_key(&call)
    }

    pub fn note(&mut self, call: Id, now_us: i64, versions: u64) {
        self.forget(now_us);
        self.calls.insert(call, (now_us, versions));
        self.order.push_back((now_us, call));
        while self.calls.len() > MAX_RECENT {
            self.drop_oldest();
        }
    }

    fn forget(&mut self, now_us: i64) {
        while self.order.front().is_some_and(|(at, _)| *at < now_us.saturating_sub(RECENT_US)) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((at, call)) = self.order.pop_front() else { return };
        if self.calls.get(&call).is_some_and(|(newest, _)| *newest == at) {
            self.calls.remove(&call);
        }
    }

    /// Oldest first.
    pub fn saved(&self) -> Vec<RecentSaved> {
        let stands = |(at, id): &&(i64, Id)| self.calls.get(id).is_some_and(|(newest, _)| newest == at);
        let saved = |(at, id): &(i64, Id)| RecentSaved { id_high: (id.0 >> 64) as u64, id_low: id.0 as u64, at_us: *at, versions: self.calls[id].1 };
        let mut all: Vec<RecentSaved> = self.order.iter().filter(stands).map(saved).collect();
        // A call noted twice at one moment stands twice in the order.
        all.dedup_by_key(|s| (s.id_high, s.id_low));
        all
    }

    pub fn restored(saved: &[RecentSaved]) -> Recent {
        let mut recent = Recent::default();
        for s in saved {
            let id = Id(u128::from(s.id_high) << 64 | u128::from(s.id_low));
            recent.calls.insert(id, (s.at_us, s.versions));
            recent.order.push_back((s.at_us, id));
        }
        recent
    }
}
