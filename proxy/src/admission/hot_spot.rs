//! Calls to a high-risk group in the last 12 hours (§5.4), counted by the minute so that a window never grows beyond
//! 721 entries. A call leaves the count 12 hours after the end of its minute: never early, at most a minute late.

use std::collections::VecDeque;

/// The window, microseconds.
pub const WINDOW_US: i64 = 12 * 3600 * 1_000_000;
const MINUTE_US: i64 = 60_000_000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HotWindow {
    /// (minute since 1970, calls), oldest first.
    minutes: VecDeque<(i64, u32)>,
    total: u64,
}

impl HotWindow {
    pub fn add(&mut self, at_us: i64, calls: u32) {
        let minute = at_us.div_euclid(MINUTE_US);
        self.total += u64::from(calls);
        // UTC may step back a little; such a call counts in the newest minute.
        match self.minutes.back_mut() {
            Some((last, count)) if *last >= minute => *count = count.saturating_add(calls),
            _ => self.minutes.push_back((minute, calls)),
        }
    }

    /// Takes back one call added at that time (nothing was sent for it).
    pub fn take_back(&mut self, at_us: i64) {
        let minute = at_us.div_euclid(MINUTE_US);
        if let Some((_, count)) = self.minutes.iter_mut().rev().find(|(m, count)| *m >= minute && *count > 0) {
            *count -= 1;
            self.total -= 1;
        }
    }

    /// Calls in the window that ends now; forgets older ones.
    pub fn calls(&mut self, now_us: i64) -> u64 {
        let oldest = (now_us - WINDOW_US).div_euclid(MINUTE_US);
        while let Some((minute, count)) = self.minutes.front()
            && (*minute < oldest || *count == 0)
        {
            self.total -= u64::from(*count);
            self.minutes.pop_front();
        }
        self.total
    }

    /// (minute since 1970, calls), oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = (i64, u32)> {
        self.minutes.iter().copied()
    }

    /// Puts counts of other windows in, in any order.
    pub fn merge(&mut self, minutes: impl Iterator<Item = (i64, u32)>) {
        let mut all: Vec<(i64, u32)> = self.minutes.drain(..).chain(minutes).collect();
        all.sort_unstable();
        self.total = 0;
        for (minute, calls) in all {
            self.add(minute * MINUTE_US, calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_16_a_call_counts_for_twelve_hours() {
        let mut window = HotWindow::default();
        let start = 1_700_000_000_000_000;
        window.add(start, 1);
        assert_eq!(window.calls(start + WINDOW_US - 1), 1);
        assert_eq!(window.calls(start + WINDOW_US + MINUTE_US), 0);
    }

    #[test]
    fn merged_windows_count_all_and_expire_alike() {
        let (mut a, mut b) = (HotWindow::default(), HotWindow::default());
        a.add(10 * MINUTE_US, 2);
        b.add(5 * MINUTE_US, 1);
        a.merge(b.minutes());
        assert_eq!(a.minutes().collect::<Vec<_>>(), [(5, 1), (10, 2)]);
        assert_eq!(a.calls(WINDOW_US + 6 * MINUTE_US), 2);
        a.take_back(10 * MINUTE_US);
        assert_eq!(a.calls(WINDOW_US + 6 * MINUTE_US), 1);
    }
}
