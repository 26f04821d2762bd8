//! A small seeded generator (SplitMix64), so that a run can be repeated from its seed.

use std::{ops::RangeInclusive, time::Duration};

#[derive(Debug, Clone)]
pub struct Prng(u64);

impl Prng {
    /// A stream of its own for each part of a run.
    pub fn new(seed: u64, part: &str) -> Prng {
        let mut prng = Prng(seed);
        for b in part.bytes() {
            prng.0 = prng.0.wrapping_mul(0x0000_0100_0000_01b3) ^ u64::from(b);
            prng.next();
        }
        prng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// 0 to `n` - 1; 0 for none.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True `n` times of a thousand.
    pub fn permille(&mut self, n: u32) -> bool {
        self.below(1000) < u64::from(n)
    }

    pub fn millis(&mut self, range: &RangeInclusive<u64>) -> Duration {
        Duration::from_millis(range.start() + self.below(range.end().saturating_sub(*range.start()) + 1))
    }

    /// The time until the next of events that come at random, this far apart in the mean.
    pub fn gap(&mut self, mean: Duration) -> Duration {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        mean.mul_f64(-(1.0 - unit).ln())
    }

    /// A number of a range with this many random digits at its end.
    pub fn number(&mut self, prefix: &str, digits: u32) -> String {
        let tail = self.below(10u64.pow(digits));
        format!("{prefix}{tail:0width$}", width = digits as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_stream_and_parts_differ() {
        let take = |seed, part| {
            let mut p = Prng::new(seed, part);
            [p.next(), p.next(), p.next()]
        };
        assert_eq!(take(7, "a"), take(7, "a"));
        assert_ne!(take(7, "a"), take(7, "b"));
        assert_ne!(take(7, "a"), take(8, "a"));
    }

    #[test]
    fn gaps_have_their_mean_and_ranges_their_bounds() {
        let mut p = Prng::new(1, "gaps");
        let mean = Duration::from_millis(10);
        let total: Duration = (0..20_000).map(|_| p.gap(mean)).sum();
        assert!((190..210).contains(&total.as_secs()), "{total:?}");
        assert!((0..1000).all(|_| (3..=5).contains(&p.millis(&(3..=5)).as_millis())));
        assert_eq!(p.number("+44207946", 4).len(), 13);
    }
}
