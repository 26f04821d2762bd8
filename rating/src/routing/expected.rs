//! What a call is expected to cost and to bring, by the lengths calls to its destination have.

use tollgate_schemas::{
    terms::{billed_seconds, rated_seconds},
    v1::{Surcharge, Terms},
};

use super::DEFAULT_EXPECTED_MS;
use crate::deck::RowRef;

/// The durations a call is expected to have.
pub(super) struct Expected<'q> {
    durations: &'q [(u64, u32)],
    /// Sum of the weights, at least 1.
    weight: i128,
    /// When the call is taken to be answered: prices may go by the clock.
    at_us: i64,
}

/// 1e-12 / 60 of the unit in 1e-8 of it.
const E8: i128 = 600_000;

impl<'q> Expected<'q> {
    pub fn of(durations: &'q [(u64, u32)], at_us: i64) -> Expected<'q> {
        let weight: i128 = durations.iter().map(|(_, weight)| i128::from(*weight)).sum();
        // Weights of nothing say nothing.
        let durations = if weight == 0 { &[(DEFAULT_EXPECTED_MS, 1)] } else { durations };
        Expected { durations, weight: weight.max(1), at_us }
    }

    /// `surcharge_e12`: what a minute costs more by its origin.
    pub fn cost(&self, row: &RowRef<'_>, surcharge_e12: i64) -> i128 {
        if !row.is_plain() {
            let mut price = row.price();
            if surcharge_e12 != 0 {
                price.surcharges.push(Surcharge { name: String::new(), per_minute_e12: surcharge_e12 });
            }
            return self.of_terms(&price);
        }
        self.sum(row.rate_e12().saturating_add(surcharge_e12), row.connect_fee_e12(), row.initial_s(), row.increment_s())
    }

    pub fn revenue(&self, sell: &Terms) -> i128 {
        self.of_terms(sell)
    }

    fn of_terms(&self, terms: &Terms) -> i128 {
        if terms.is_plain() {
            return self.sum(terms.rate_e12, terms.connect_fee_e12, terms.initial_s, terms.increment_s);
        }
        // What a tariff adds is asked of the one charge function, each length rounded as the leg would be.
        let one = |(ms, weight): &(u64, u32)| i128::from(*weight) * i128::from(terms.charge(self.at_us, *ms).amount_e8) * E8;
        self.durations.iter().map(one).fold(0, i128::saturating_add)
    }

    /// R-36, exact: a weighted sum in 1e-12 / 60 of the unit. Durations are cut at about 30 years, so that no
    /// one term overflows.
    fn sum(&self, rate_e12: i64, connect_fee_e12: i64, initial_s: u32, increment_s: u32) -> i128 {
        let one = |(ms, weight): &(u64, u32)| {
            let billed = billed_seconds(rated_seconds((*ms).min(1_000_000_000_000)), initial_s, increment_s);
            i128::from(*weight) * (i128::from(connect_fee_e12) * 60 + i128::from(rate_e12) * i128::from(billed))
        };
        self.durations.iter().map(one).fold(0, i128::saturating_add)
    }

    /// An amount of one call, 1e-8 of the unit, as a sum.
    pub fn sum_of_e8(&self, e8: i64) -> i128 {
        i128::from(e8) * self.weight * E8
    }

    /// A sum as money of one call, halves up.
    pub fn e8(&self, sum: i128) -> i64 {
        clamp(divide(sum, self.weight * E8, true))
    }

    /// A sum as money of one call in 1e-12, cut.
    pub fn e12(&self, sum: i128) -> i64 {
        clamp(divide(sum, self.weight * 60, false))
    }
}

fn clamp(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

fn divide(sum: i128, unit: i128, half_up: bool) -> i128 {
    match (i64::try_from(sum), i64::try_from(unit)) {
        // 128-bit division is ten times as slow, and sums seldom need it.
        (Ok(sum), Ok(unit)) => i128::from(sum.div_euclid(unit) + i64::from(half_up && sum.rem_euclid(unit) >= unit - unit / 2)),
        _ if half_up => sum.saturating_mul(2).saturating_add(unit).div_euclid(unit * 2),
        _ => sum.div_euclid(unit),
    }
}
