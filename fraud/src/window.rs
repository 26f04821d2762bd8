//! A rolling sum over event time: no calendar, so midnight and month ends mean nothing (G1).
//!
//! Amounts that fall within `width` of each other share an entry, so a window of span S holds at most about
//! `2·S/width + 1` entries whatever the traffic. An entry leaves when its *last* amount does: a window may keep an
//! amount up to one width too long, and never forgets one early.

use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub first_us: i64,
    pub last_us: i64,
    pub sum: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    entries: VecDeque<Entry>,
    total: i64,
}

impl Window {
    /// Adds an amount at its own time; late amounts go where they belong. Sums saturate.
    pub fn add(&mut self, at_us: i64, amount: i64, width_us: i64) {
        self.total = self.total.saturating_add(amount);
        let mut next = self.entries.len();
        while let Some(entry) = next.checked_sub(1).and_then(|i| self.entries.get_mut(i)) {
            if entry.first_us <= at_us {
                if at_us - entry.first_us < width_us {
                    entry.sum = entry.sum.saturating_add(amount);
                    entry.last_us = entry.last_us.max(at_us);
                    return;
                }
                break;
            }
            next -= 1;
        }
        match self.entries.get_mut(next) {
            Some(later) if later.last_us - at_us < width_us => {
                later.first_us = at_us;
                later.sum = later.sum.saturating_add(amount);
            }
            _ => self.entries.insert(next, Entry { first_us: at_us, last_us: at_us, sum: amount }),
        }
    }

    /// Drops what lies `span_us` or more before now.
    pub fn expire(&mut self, now_us: i64, span_us: i64) {
        while let Some(oldest) = self.entries.front() {
            if oldest.last_us + span_us > now_us {
                break;
            }
            self.total = self.total.saturating_sub(oldest.sum);
            self.entries.pop_front();
        }
    }

    /// The sum of what happened less than `span_us` ago.
    pub fn sum(&self, now_us: i64, span_us: i64) -> i64 {
        let gone = self.entries.iter().take_while(|e| e.last_us + span_us <= now_us);
        gone.fold(self.total, |total, e| total.saturating_sub(e.sum))
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// From what [`Window::entries`] gave.
    pub fn from_entries(entries: impl Iterator<Item = Entry>) -> Window {
        let entries: VecDeque<Entry> = entries.collect();
        let total = entries.iter().fold(0i64, |total, e| total.saturating_add(e.sum));
        Window { entries, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn g1_an_amount_counts_until_its_span_has_passed() {
        let mut w = Window::default();
        w.add(1_000, 5, 10);
        assert_eq!((w.sum(1_099, 100), w.sum(1_100, 100)), (5, 0));
        w.expire(1_100, 100);
        assert_eq!(w, Window::default());
    }

    proptest! {
        /// Against the plain list: never less than the true sum, never more than the sum one width further back.
        #[test]
        fn g1_a_window_lies_between_the_exact_sums(events in prop::collection::vec((0i64..5_000, 1i64..9), 0..200), ahead in 0i64..2_000, span in 1i64..2_000) {
            let width = 50;
            let mut w = Window::default();
            for (at, amount) in &events {
                w.add(*at, *amount, width);
            }
            let now = events.iter().map(|e| e.0).max().unwrap_or(0) + ahead;
            let exact = |span: i64| events.iter().filter(|(at, _)| at + span > now).map(|e| e.1).sum::<i64>();
            let got = w.sum(now, span);
            prop_assert!(exact(span) <= got && got <= exact(span + width), "{} <= {got} <= {}", exact(span), exact(span + width));
            prop_assert!(w.entries().count() <= 2 * 5_000 / 50 + 1);
            prop_assert_eq!(Window::from_entries(w.entries().copied()), w);
        }
    }
}
