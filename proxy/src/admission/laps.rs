//! Calls that come back: the same caller and number, from a party they were sent to within the last seconds. Two carriers
//! that each find the other cheapest send a call round and round; here it ends after one lap.
//!
//! Limit: [`MAX_SENT`] calls within one span; one beyond is not remembered, and Max-Forwards ends it.

use std::hash::BuildHasher;

use foldhash::{HashMap, HashMapExt, fast::RandomState};
use tollgate_schemas::time::Now;

/// How soon a call that was sent out counts as the one that comes in.
pub const LAP_MS: u64 = 5_000;
pub const MAX_SENT: usize = 65_536;

/// Calls sent to parties that also send us calls, and when, in ms. Two generations, so that forgetting costs nothing.
#[derive(Debug)]
pub struct Laps {
    keys: RandomState,
    since_ms: u64,
    now: HashMap<u64, u64>,
    before: HashMap<u64, u64>,
}

impl Default for Laps {
    fn default() -> Laps {
        Laps { keys: RandomState::default(), since_ms: 0, now: HashMap::new(), before: HashMap::new() }
    }
}

impl Laps {
    /// The time in ms.
    fn turn(&mut self, now: Now) -> u64 {
        let ms = now.mono_ns / 1_000_000;
        if ms.saturating_sub(self.since_ms) >= LAP_MS {
            self.before = std::mem::take(&mut self.now);
            if ms.saturating_sub(self.since_ms) >= 2 * LAP_MS {
                self.before.clear();
            }
            self.since_ms = ms;
        }
        ms
    }

    /// A call goes out to a party.
    pub fn sent(&mut self, party: &str, a: &str, b: &str, now: Now) {
        let ms = self.turn(now);
        if self.now.len() < MAX_SENT {
            self.now.insert(self.keys.hash_one((party, a, b)), ms);
        }
    }

    /// Whether a call that comes in from a party was sent there just now.
    pub fn is_back(&mut self, party: &str, a: &str, b: &str, now: Now) -> bool {
        let ms = self.turn(now);
        let key = self.keys.hash_one((party, a, b));
        self.now.get(&key).or_else(|| self.before.get(&key)).is_some_and(|sent| ms.saturating_sub(*sent) <= LAP_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_42_a_call_comes_back_only_from_where_it_was_sent_and_soon() {
        let at = |ms: u64| Now { utc_us: 0, mono_ns: ms * 1_000_000 };
        let mut laps = Laps::default();
        laps.sent("them", "1", "44", at(100_000));
        assert!(laps.is_back("them", "1", "44", at(100_001)) && laps.is_back("them", "1", "44", at(104_900)));
        for (party, a, b) in [("others", "1", "44"), ("them", "2", "44"), ("them", "1", "45")] {
            assert!(!laps.is_back(party, a, b, at(100_001)), "{party} {a} {b}");
        }
        assert!(!laps.is_back("them", "1", "44", at(105_001)), "long ago is another call");
        for n in 0..MAX_SENT + 10 {
            laps.sent("them", &n.to_string(), "44", at(200_000));
        }
        assert_eq!(laps.now.len(), MAX_SENT);
    }
}
