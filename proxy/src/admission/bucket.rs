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
}

impl Bucket {
    pub fn new() -> Bucket {
        Bucket { level: 0, size: 0, at_ns: 0 }
    }

    /// Takes a token if there is one. `burst` below `cps` counts as `cps`: a second's calls may come in one moment,
    /// since a datagram's arrival is a matter of the network's batches. (S1-17: cps 10, burst 20 passes 20 of 30 at once.)
    pub fn take(&mut self, cps: u32, burst: u32, now: Now) -> bool {
        let size = u64::from(burst.max(cps).max(1)) * TOKEN;
        if size != self.size {
            // New, or a changed limit: what was used up stays used up.
            self.level = size - self.size.saturating_sub(self.level).min(size);
            self.size = size;
            self.at_ns = self.at_ns.max(now.mono_ns);
        }
        // Readings of several threads may come in out of order: time only goes on.
        let passed = now.mono_ns.saturating_sub(self.at_ns);
        self.level = self.level.saturating_add(passed.saturating_mul(u64::from(cps))).min(size);
        self.at_ns = self.at_ns.max(now.mono_ns);
        if self.level < TOKEN {
            return false;
        }
        self.level -= TOKEN;
        true
    }
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

    proptest::proptest! {
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
