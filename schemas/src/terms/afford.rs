//! The charge turned round: how long a call may be for some money, when a maximum ends it, when it next costs more. All three
//! rest on charges that do not fall as a call goes on, which holds for prices and fees of at least 0: decks have no others.

use super::{
    legs::LegContext,
    round::PER_RATE_UNIT,
    walk::Walk,
};
use crate::v1::Terms;

/// No duration has so many seconds.
const NO_END_S: u64 = u64::MAX / 1000 + 1;

impl Terms {
    /// FN-07: the longest duration in milliseconds whose [`Terms::charge`] is at most `funds_e8`; `u64::MAX` when every one is, 0
    /// when not even a call of no length is.
    pub fn affordable_ms(&self, answer_us: i64, funds_e8: i64) -> u64 {
        let context = LegContext::default();
        let fees_e8 = self.fees_e8(true, &context);
        let charged = self.longest(answer_us, |exact| self.usage_e8(exact).saturating_add(fees_e8) <= funds_e8);
        if self.grace_ms == 0 {
            return charged;
        }
        // Within the grace only what an unanswered call costs is owed.
        match self.fees_e8(false, &context) <= funds_e8 {
            true => charged.max(self.grace_ms.into()),
            false => 0,
        }
    }

    /// how long a call may last before a maximum that ends it (`end_at_max`) would be passed, in milliseconds; `None` when
    /// nothing ends it. A maximum below the first increment gives 0, or the grace.
    pub fn end_at_ms(&self, answer_us: i64) -> Option<u64> {
        if !self.end_at_max || self.max_charge_e12 == 0 {
            return None;
        }
        let most = i128::from(self.max_charge_e12) * PER_RATE_UNIT;
        let end_ms = self.longest(answer_us, |exact| exact <= most);
        (end_ms != u64::MAX).then_some(end_ms.max(self.grace_ms.into()))
    }

    /// The shortest duration longer than this one whose [`Terms::charge`] is higher; `None` when none is.
    pub fn next_change_ms(&self, answer_us: i64, duration_ms: u64) -> Option<u64> {
        let now = self.charge(answer_us, duration_ms);
        if self.is_plain() {
            // The next increment, unless it is too small to show.
            let next = now.billed_s.checked_mul(1000)?.checked_add(1)?;
            if self.charge(answer_us, next).amount_e8 > now.amount_e8 {
                return Some(next);
            }
        }
        self.affordable_ms(answer_us, now.amount_e8).checked_add(1)
    }

    /// The highest price of a minute, surcharges included, of a call answered at `answer_us` that lasts `within_s`: what a limit on
    /// prices has to look at, where they go by the clock or by the time into the call. Saturates.
    pub fn dearest_e12(&self, answer_us: i64, within_s: u64) -> i64 {
        if self.is_plain() {
            return self.rate_e12;
        }
        let free_s = u64::from(self.free_s);
        let runs = Walk::new(self, answer_us).take_while(|run| run.start_s == free_s || run.start_s < within_s);
        runs.map(|run| run.rate_e12).max().map_or(self.rate_e12, |e12| i64::try_from(e12).unwrap_or(i64::MAX))
    }

    /// The longest duration beyond the grace whose exact usage passes `fits`, which must pass every lesser sum too. As
    /// [`Terms::affordable_ms`].
    fn longest(&self, answer_us: i64, fits: impl Fn(i128) -> bool) -> u64 {
        let mut walk = Walk::new(self, answer_us);
        let mut sum = i128::from(walk.connect_fee_e12) * PER_RATE_UNIT;
        if !fits(sum) {
            return 0;
        }
        for run in &mut walk {
            // Increments beyond the longest duration there is need no answer.
            let most = run.used(NO_END_S);
            if most == 0 {
                return u64::MAX;
            }
            let count = largest(most, |n| fits(sum + run.exact(n)));
            if count < most {
                return self.up_to(run.start_s + count * run.increment_s);
            }
            sum += run.exact(count);
        }
        u64::MAX
    }

    /// The longest duration that increments up to this second cover.
    fn up_to(&self, covered_s: u64) -> u64 {
        match covered_s {
            // Every answered call is a second at least.
            0 => 0,
            s if s >= NO_END_S => u64::MAX,
            s => self.longest_ms(s),
        }
    }
}

/// The largest number up to `most` that passes; 0 passes.
fn largest(most: u64, passes: impl Fn(u64) -> bool) -> u64 {
    if passes(most) {
        return most;
    }
    let (mut good, mut bad) = (0, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if passes(middle) { good = middle } else { bad = middle }
    }
    good
}
