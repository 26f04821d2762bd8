//! What a call is expected to cost and to bring, by the lengths calls to its destination have.

use tollgate_schemas::{
    terms::{billed_seconds, rated_seconds},
    v1::{Surcharge, Terms},
};

use super::DEFAULT_EXPECTED_MS;
use crate::deck::{Origination, RowRef};

/// The durations a call is expected to have.
pub(super) struct Expected<'q> {
    durations: &'q [(u64, u32)],
    /// Sum of the weights, at least 1.
    weight: i128,
    /// When the call is taken to be answered: prices may go by the clock.
    at_us: i64,
    /// Weighted billed seconds by increments: most carriers have one of a few.
    plans: [(u32, u32, i128); PLANS],
    known: usize,
}

/// Increments remembered in one decision; others are counted each time.
const PLANS: usize = 8;

/// 1e-12 / 60 of the unit in 1e-8 of it.
const E8: i128 = 600_000;

impl<'q> Expected<'q> {
    pub fn of(durations: &'q [(u64, u32)], at_us: i64) -> Expected<'q> {
        let weight: i128 = durations.iter().map(|(_, weight)| i128::from(*weight)).sum();
        // Weights of nothing say nothing.
        let durations = if weight == 0 { &[(DEFAULT_EXPECTED_MS, 1)] } else { durations };
        Expected { durations, weight: weight.max(1), at_us, plans: [(0, 0, 0); PLANS], known: 0 }
    }

    /// `surcharge_e12`: what a minute costs more by its origin.
    pub fn cost(&mut self, row: &RowRef<'_>, from: &Origination<'_>, surcharge_e12: i64) -> i128 {
        if !row.is_plain() {
            let mut price = row.price_for(from);
            if surcharge_e12 != 0 {
                price.surcharges.push(Surcharge { name: String::new(), per_minute_e12: surcharge_e12 });
            }
            return self.of_terms(&price);
        }
        let (initial_s, increment_s) = (row.initial_s(), row.increment_s());
        let known = self.plans[..self.known].iter().find(|p| (p.0, p.1) == (initial_s, increment_s)).map(|p| p.2);
        let billed = known.unwrap_or_else(|| {
            let billed = self.billed(initial_s, increment_s);
            if let Some(place) = self.plans.get_mut(self.known) {
                *place = (initial_s, increment_s, billed);
                self.known += 1;
            }
            billed
        });
        self.priced(row.rate_e12().saturating_add(surcharge_e12), row.connect_fee_e12(), billed)
    }

    pub fn revenue(&self, sell: &Terms) -> i128 {
        self.of_terms(sell)
    }

    fn of_terms(&self, terms: &Terms) -> i128 {
        if terms.is_plain() {
            return self.priced(terms.rate_e12, terms.connect_fee_e12, self.billed(terms.initial_s, terms.increment_s));
        }
        // What a tariff adds is asked of the one charge function, each length rounded as the leg would be.
        let one = |(ms, weight): &(u64, u32)| i128::from(*weight) * i128::from(terms.charge(self.at_us, *ms).amount_e8) * E8;
        self.durations.iter().map(one).fold(0, i128::saturating_add)
    }

    /// Seconds after increments, summed over the weights. Durations are cut at about 30 years, so that no term overflows.
    fn billed(&self, initial_s: u32, increment_s: u32) -> i128 {
        let one = |(ms, weight): &(u64, u32)| {
            i128::from(*weight) * i128::from(billed_seconds(rated_seconds((*ms).min(1_000_000_000_000)), initial_s, increment_s))
        };
        self.durations.iter().map(one).sum()
    }

    /// R-36, exact: a weighted sum in 1e-12 / 60 of the unit.
    fn priced(&self, rate_e12: i64, connect_fee_e12: i64, billed: i128) -> i128 {
        let connect = i128::from(connect_fee_e12) * 60 * self.weight;
        i128::from(rate_e12).saturating_mul(billed).saturating_add(connect)
    }

    /// An amount of one call, 1e-8 of the unit, as a sum.
    pub fn sum_of_e8(&self, e8: i64) -> i128 {
        i128::from(e8) * self.weight * E8
    }

    /// A sum as money of one call, halves up.
    pub fn e8(&self, sum: i128) -> i64 {
        match i64::try_from(sum) {
            // Divided by what is known beforehand: a multiplication.
            Ok(sum) if self.weight == 1 => sum.div_euclid(E8 as i64) + i64::from(sum.rem_euclid(E8 as i64) >= E8 as i64 / 2),
            _ => clamp(divide(sum, self.weight * E8, true)),
        }
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
