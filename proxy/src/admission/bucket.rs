//! A token bucket in integers: no call is lost or won to rounding, whatever the rate.

use tollgate_schemas::time::Now;

/// One token, in the unit in which a nanosecond adds `cps`.
const TOKEN: u64 = 1_000_000_000;

/// Calls per second with a burst: it holds as many tokens as one moment may take, fills by `cps` a second, starts full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    level: u64,
    /// Tokens it holds when full, to see when the document changes.
    size: u64,
    at_ns: u64,
    /// By how much it filled up to `at_ns`; kept for shares only, see [`Bucket::reshare`].
    cps: u32,
}

impl Bucket {
    pub fn new() -> Bucket {
        Bucket { level: 0, size: 0, at_ns: 0, cps: 0 }
    }

    /// Nothing was ever asked of it.
    pub fn is_new(&self) -> bool {
        self.size == 0
    }

    /// Takes a token if there is one. `burst` below `cps` counts as `cps`: a second's calls may come in one moment,
    /// since a datagram's arrival is a matter of the network's batches. (S1-17: cps 10, burst 20 passes 20 of 30 at once.)
    pub fn take(&mut self, cps: u32, burst: u32, now: Now) -> bool {
        let size = size(cps, burst);
        if size != self.size {
            // New, or a changed limit: what was used up stays used up.
            self.level = size - self.size.saturating_sub(self.level).min(size);
            self.size = size;
            self.at_ns = self.at_ns.max(now.mono_ns);
        }
        self.fill(cps, now);
        self.draw()
    }

    /// As `take`, where the limit is shared with other proxies: `cps` and `burst` are this proxy's part.
    pub fn take_share(&mut self, cps: u32, burst: u32, now: Now) -> bool {
        self.reshare(cps, burst, now);
        self.draw()
    }

    /// Another part of a shared limit from now on. A larger one gives room, not tokens, and a smaller one takes the tokens
    /// that find no room: parts that go to and fro let no more calls pass than one bucket of the whole limit would.
    pub fn reshare(&mut self, cps: u32, burst: u32, now: Now) {
        let size = size(cps, burst);
        if self.size == 0 {
            (self.level, self.size, self.at_ns, self.cps) = (size, size, now.mono_ns, cps);
            return;
        }
        // When the part changed since it last filled, the slower of the two is what is sure.
        self.fill(cps.min(self.cps), now);
        self.cps = cps;
        self.size = size;
        self.level = self.level.min(size);
    }

    fn fill(&mut self, cps: u32, now: Now) {
        // Readings of several threads may come in out of order: time only goes on.
        let passed = now.mono_ns.saturating_sub(self.at_ns);
        self.level = self.level.saturating_add(passed.saturating_mul(u64::from(cps))).min(self.size);
        self.at_ns = self.at_ns.max(now.mono_ns);
    }

    fn draw(&mut self) -> bool {
        if self.level < TOKEN {
            return false;
        }
        self.level -= TOKEN;
        true
    }
}

fn size(cps: u32, burst: u32) -> u64 {
    u64::from(burst.max(cps).max(1)) * TOKEN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { utc_us: 0, mono_ns: ms * 1_000_000 }
    }

    #[test]
    fn s1_17_thirty_at_once_at_burst_twenty_pass_exactly_twenty() {
        let mut bucket = Bucket::new();
        assert_eq!((0..30).filter(|_| bucket.take(10, 20, at(5_000))).count(), 20);
        assert!(!bucket.take(10, 20, at(5_099)), "the next token is there after 100 ms");
        assert!(bucket.take(10, 20, at(5_100)));
        assert!(!bucket.take(10, 20, at(5_100)));
        assert_eq!((0..100).filter(|_| bucket.take(10, 20, at(60_000))).count(), 20, "it never holds more than the burst");
    }

    #[test]
    fn s1_17_a_rate_that_divides_no_second_loses_nothing() {
        let mut bucket = Bucket::new();
        while bucket.take(3, 3, at(0)) {}
        let passed = (1..=100_000).filter(|ms| bucket.take(3, 3, at(*ms))).count();
        assert_eq!(passed, 300);
    }

    #[test]
    fn a_changed_limit_forgets_nothing_that_was_used() {
        let mut bucket = Bucket::new();
        assert_eq!((0..50).filter(|_| bucket.take(10, 10, at(0))).count(), 10);
        assert_eq!((0..50).filter(|_| bucket.take(10, 15, at(0))).count(), 5);
        assert_eq!((0..50).filter(|_| bucket.take(10, 10, at(0))).count(), 0);
    }

    #[test]
    fn a_larger_part_of_a_shared_limit_gives_room_but_no_tokens() {
        let mut bucket = Bucket::new();
        assert_eq!((0..50).filter(|_| bucket.take_share(10, 10, at(0))).count(), 10);
        bucket.reshare(40, 40, at(0));
        assert_eq!((0..50).filter(|_| bucket.take_share(40, 40, at(500))).count(), 20, "half a second at the new rate");
        bucket.reshare(40, 40, at(2_000));
        bucket.reshare(5, 5, at(2_000));
        assert_eq!((0..50).filter(|_| bucket.take_share(5, 5, at(2_000))).count(), 5, "what found no room is gone");
    }

    proptest::proptest! {
        /// Whatever goes to and fro between two of them, as from one bucket of the whole.
        #[test]
        fn s1_17_parts_that_move_pass_no_more_than_the_whole(steps in proptest::collection::vec((0u64..300_000_000, 0u32..=20, 0u8..3), 1..300)) {
            let (mut parts, mut now, mut passed, mut mine) = ([Bucket::new(), Bucket::new()], 1u64, Vec::new(), 10);
            for (gap, part, who) in steps {
                now += gap;
                let at = Now { utc_us: 0, mono_ns: now };
                match who {
                    2 => {
                        mine = part;
                        parts[0].reshare(mine, 2 * mine, at);
                        parts[1].reshare(20 - mine, 2 * (20 - mine), at);
                    }
                    who => {
                        let cps = if who == 0 { mine } else { 20 - mine };
                        if cps > 0 && parts[usize::from(who)].take_share(cps, 2 * cps, at) {
                            passed.push(now);
                        }
                    }
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    // One token over: a part of none keeps room for one.
                    let allowed = 40 + 1 + (to - from) * 20 / TOKEN;
                    assert!((j - i + 1) as u64 <= allowed);
                }
            }
        }

        #[test]
        fn s1_17_no_window_passes_more_than_burst_and_rate(cps in 1u32..50, burst in 1u32..80, gaps in proptest::collection::vec(0u64..400_000_000, 1..300)) {
            let (mut bucket, mut now, mut passed) = (Bucket::new(), 1u64, Vec::new());
            for gap in gaps {
                now += gap;
                if bucket.take(cps, burst, Now { utc_us: 0, mono_ns: now }) {
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let allowed = u64::from(burst.max(cps)) + (to - from) * u64::from(cps) / TOKEN;
                    assert!((j - i + 1) as u64 <= allowed);
                }
            }
        }
    }
}
