//! What a leg costs: the one charge function of the house. Live holds, fraud's accrual, the CDR, a re-rate and the
//! invoice all call it, so they speak of the same money (design §4).
//!
//! # Order
//! 1. `tolerance_ms` is cut from the duration, `seconds_rule` makes whole seconds of the rest, at least one.
//! 2. A call of at most `grace_ms` costs what one that was not answered does: no usage, no fee of the answer.
//! 3. The first `free_s` seconds have no price; charging begins after them.
//! 4. The initial increment, then whole increments, until the call is covered. Each belongs to the price in force
//!    when it starts — by the clock on the tariff's wall (`bands`) and by the time into the call (`steps`, counted from
//!    the answer) — and is charged whole; neither midnight nor a change of price begins a new one. Surcharges are part
//!    of every price of a minute.
//! 5. The connect fee of the price the call began in, once.
//! 6. At least `min_charge`, then at most `max_charge`. With `end_at_max` the maximum is no cap: it ends the call
//!    ([`Terms::end_at_ms`]), and time beyond it would be charged.
//! 7. The sum so far is the usage line: an exact ratio of integers, rounded once by the tariff's places and mode.
//! 8. Each fee is a line of its own, rounded by the same rule. The amount is the sum of the lines.
//!
//! # Bounds
//! Exact sums are integers of 1e-12/60 of the unit in 128 bits. A price of a minute with all its surcharges is kept within
//! ±2^70 and a duration is below 2^55 s, so no sum leaves 2^126; amounts beyond `i64` of 1e-8 saturate. From
//! [`FREEZE_S`] (400 days) into a call on, the band then in force holds for the rest of it.

mod afford;
mod clock;
mod legs;
mod lines;
mod plain;
mod round;
mod seconds;
mod walk;

#[cfg(test)]
mod tests;

pub use clock::FREEZE_S;
pub use legs::LegContext;
pub use lines::{Line, Lines, Segment, USAGE};
pub use plain::PlainPrice;
pub use seconds::{billed_seconds, rated_seconds};

use crate::v1::{SecondsRule, Terms};

/// Lines of look-ups made for a call.
pub const LRN_DIP: &str = "lrn_dip";
pub const CNAM_DIP: &str = "cnam_dip";
pub const TOLL_FREE_QUERY: &str = "toll_free_query";
pub const LOOKUP_FEES: [&str; 3] = [LRN_DIP, CNAM_DIP, TOLL_FREE_QUERY];

/// What a duration costs under some terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// Seconds after increments, without free ones; 0 when nothing was used.
    pub billed_s: u64,
    /// The sum of the charge lines, each rounded once, in 1e-8 of the currency's unit.
    pub amount_e8: i64,
}

impl Terms {
    /// Nothing is added to the row: a rate, a connect fee and increments.
    #[inline]
    pub fn is_plain(&self) -> bool {
        let numbers = self.min_charge_e12 | self.max_charge_e12;
        let small = self.grace_ms | self.free_s | self.tolerance_ms;
        let lists = self.steps.len() | self.bands.len() | self.surcharges.len() | self.fees.len();
        numbers == 0 && small == 0 && lists == 0 && self.seconds_rule == SecondsRule::Ceil as i32
    }

    /// The row itself, without what a tariff adds to it.
    #[inline]
    pub fn plain(&self) -> PlainPrice {
        PlainPrice {
            rate_e12: self.rate_e12,
            connect_fee_e12: self.connect_fee_e12,
            initial_s: self.initial_s,
            increment_s: self.increment_s,
            places: self.places,
            rounding: self.rounding,
        }
    }

    /// The charge of an answered leg that lasted `duration_ms` from `answer_us` (UTC microseconds) on: one attempt, and
    /// no fee of its ringing, of which only [`Terms::lines`] is told. Saturates at the largest amount there is.
    #[inline]
    pub fn charge(&self, answer_us: i64, duration_ms: u64) -> Charge {
        if self.is_plain() { self.plain().charge(duration_ms) } else { self.charge_leg(answer_us, duration_ms, &LegContext::default()) }
    }

    /// As [`Terms::lines`], without the names.
    pub fn charge_leg(&self, answer_us: i64, duration_ms: u64, context: &LegContext) -> Charge {
        let usage = self.usage(answer_us, duration_ms, context);
        Charge { billed_s: usage.billed_s, amount_e8: usage.amount_e8.saturating_add(self.fees_e8(usage.charged, context)) }
    }

    /// The terms without their text: what [`Terms::charge`] needs, for whoever keeps one for each call.
    pub fn numbers(&self) -> Terms {
        Terms {
            rate_e12: self.rate_e12,
            connect_fee_e12: self.connect_fee_e12,
            initial_s: self.initial_s,
            increment_s: self.increment_s,
            places: self.places,
            rounding: self.rounding,
            steps: self.steps.clone(),
            bands: self.bands.clone(),
            timezone: self.timezone.clone(),
            min_charge_e12: self.min_charge_e12,
            max_charge_e12: self.max_charge_e12,
            end_at_max: self.end_at_max,
            grace_ms: self.grace_ms,
            free_s: self.free_s,
            seconds_rule: self.seconds_rule,
            tolerance_ms: self.tolerance_ms,
            surcharges: self.surcharges.clone(),
            fees: self.fees.clone(),
            ..Terms::default()
        }
    }

    /// `initial/increment`, as the trade writes it.
    pub fn increments(&self) -> String {
        format!("{}/{}", self.initial_s, self.increment_s)
    }
}
