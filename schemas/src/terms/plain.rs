//! The row nothing is added to: what most decks are made of, and the fast path of all others.

use super::{
    Charge,
    round::{PER_RATE_UNIT, line_e8},
    seconds::{billed_seconds, rated_seconds},
};
use crate::v1::{Rounding, Terms};

/// A price that takes nothing from the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct PlainPrice {
    /// Per minute.
    pub rate_e12: i64,
    pub connect_fee_e12: i64,
    pub initial_s: u32,
    pub increment_s: u32,
    /// Decimal places of the amount, 0–8; more count as 8.
    pub places: u32,
    /// A [`Rounding`], as the wire has it.
    pub rounding: i32,
}

impl PlainPrice {
    /// Connect fee + rate · billed / 60, exact as a ratio of integers, rounded once.
    #[inline]
    pub fn charge(&self, duration_ms: u64) -> Charge {
        let billed_s = billed_seconds(rated_seconds(duration_ms), self.initial_s, self.increment_s);
        // 64 bits by 64, and one sum: within 128.
        let exact = i128::from(self.connect_fee_e12)
            .wrapping_mul(PER_RATE_UNIT)
            .wrapping_add(i128::from(self.rate_e12).wrapping_mul(i128::from(billed_s)));
        let rounding = Rounding::try_from(self.rounding).unwrap_or_default();
        Charge { billed_s, amount_e8: line_e8(exact, self.places, rounding) }
    }

    /// As terms, for what takes those; nothing is allocated.
    pub fn terms(&self) -> Terms {
        Terms {
            rate_e12: self.rate_e12,
            connect_fee_e12: self.connect_fee_e12,
            initial_s: self.initial_s,
            increment_s: self.increment_s,
            places: self.places,
            rounding: self.rounding,
            ..Terms::default()
        }
    }
}
