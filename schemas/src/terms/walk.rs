//! A call as runs of equal increments: what [`super::Terms`] says, laid out second by second without visiting each.

use super::clock::Clock;
use crate::v1::{RateStep, Terms, TimeBand};

/// Increments that follow each other under one price.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'t> {
    /// Seconds from the answer.
    pub start_s: u64,
    pub increment_s: u64,
    /// How many start before the price may change; `u64::MAX`: it never does.
    pub count: u64,
    /// Per minute, surcharges included.
    pub rate_e12: i128,
    pub band: Option<&'t TimeBand>,
    /// The step of the price, by where it begins.
    pub after_s: u32,
}

impl Run<'_> {
    /// Increments of this run that a call of `seconds` uses.
    pub fn used(&self, seconds: u64) -> u64 {
        self.count.min(seconds.saturating_sub(self.start_s).div_ceil(self.increment_s))
    }

    /// Of so many increments, in 1e-12/60. Within the module's bounds.
    pub fn exact(&self, increments: u64) -> i128 {
        let seconds = i128::from(increments).wrapping_mul(i128::from(self.increment_s));
        self.rate_e12.wrapping_mul(seconds)
    }
}

/// A price of a minute with its surcharges, kept where no sum overflows (see the module's bounds).
const RATE_BOUND: i128 = 1 << 70;

/// The runs of a call, in order and without end.
pub(super) struct Walk<'t> {
    terms: &'t Terms,
    clock: Clock<'t>,
    surcharge_e12: i128,
    /// Of the price the call begins in.
    pub connect_fee_e12: i64,
    position: u64,
    /// The initial increment, while it is still to come.
    initial_s: u64,
    /// The last run had no end.
    over: bool,
}

impl<'t> Walk<'t> {
    pub fn new(terms: &'t Terms, answer_us: i64) -> Walk<'t> {
        let clock = Clock::new(terms, answer_us);
        let surcharge_e12 = terms.surcharges.iter().fold(0i128, |sum, s| sum.saturating_add(s.per_minute_e12.into()));
        let (band, _) = clock.at(0);
        let first = slot(terms, band, 0);
        Walk {
            terms,
            clock,
            surcharge_e12,
            connect_fee_e12: first.connect_fee_e12,
            position: terms.free_s.into(),
            initial_s: first.initial_s.into(),
            over: false,
        }
    }
}

impl<'t> Iterator for Walk<'t> {
    type Item = Run<'t>;

    fn next(&mut self) -> Option<Run<'t>> {
        if self.over {
            return None;
        }
        let start_s = self.position;
        let (band, clock_until) = self.clock.at(start_s);
        let slot = slot(self.terms, band, start_s);
        let (increment_s, count) = if self.initial_s > 0 {
            (std::mem::take(&mut self.initial_s), 1)
        } else {
            let increment_s = u64::from(slot.increment_s).max(1);
            let until = slot.until.min(clock_until);
            (increment_s, if until == u64::MAX { u64::MAX } else { (until - start_s).div_ceil(increment_s) })
        };
        match count.checked_mul(increment_s).and_then(|s| s.checked_add(start_s)) {
            Some(next) if count != u64::MAX => self.position = next,
            _ => self.over = true,
        }
        let rate_e12 = (i128::from(slot.rate_e12) + self.surcharge_e12).clamp(-RATE_BOUND, RATE_BOUND);
        Some(Run { start_s, increment_s, count, rate_e12, band, after_s: slot.after_s })
    }
}

/// A price and its increments at some time into the call.
struct Slot {
    rate_e12: i64,
    connect_fee_e12: i64,
    initial_s: u32,
    increment_s: u32,
    after_s: u32,
    /// Where the next step begins.
    until: u64,
}

/// What holds `position` seconds into a call: of the band's steps, or of the row and its steps, the one begun last. A band without
/// prices changes nothing.
fn slot(terms: &Terms, band: Option<&TimeBand>, position: u64) -> Slot {
    let band = band.filter(|b| !b.steps.is_empty());
    let steps = band.map_or(&terms.steps, |b| &b.steps);
    let mut until = u64::MAX;
    let mut current: Option<&RateStep> = None;
    for step in steps {
        if u64::from(step.after_s) > position {
            until = until.min(step.after_s.into());
        } else if current.is_none_or(|c| step.after_s >= c.after_s) {
            current = Some(step);
        }
    }
    match current {
        Some(s) => Slot {
            rate_e12: s.rate_e12,
            connect_fee_e12: s.connect_fee_e12,
            initial_s: s.initial_s,
            increment_s: s.increment_s,
            after_s: s.after_s,
            until,
        },
        None => Slot {
            rate_e12: terms.rate_e12,
            connect_fee_e12: terms.connect_fee_e12,
            initial_s: terms.initial_s,
            increment_s: terms.increment_s,
            after_s: 0,
            until,
        },
    }
}
