//! The charge of a row that has no tariff beyond its own cells, from the compiled deck, in 64 bits. `Terms::charge` is
//! the rule; this is the same arithmetic without building a `Terms`, and gives way to it where 64 bits do not hold.

use tollgate_schemas::{
    money::{AMOUNT_PLACES, RATE_PLACES},
    terms::{Charge, rated_seconds},
    v1::Rounding,
};

use super::Kind;

/// How a deck's amounts are rounded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounder {
    /// What one unit of the last place is in 1e-12 / 60.
    unit: u64,
    /// What it is in 1e-8.
    scale: u64,
    rounding: Rounding,
}

impl Rounder {
    pub(super) fn new(places: u32, rounding: Rounding) -> Rounder {
        let places = places.min(AMOUNT_PLACES);
        Rounder { unit: 60 * 10u64.pow(RATE_PLACES - places), scale: 10u64.pow(AMOUNT_PLACES - places), rounding }
    }

    /// As `Terms::charge` of a plain row; `None` where a number is beyond 64 bits.
    #[inline]
    pub(super) fn charge(&self, rate_e12: i64, kind: &Kind, duration_ms: u64) -> Option<Charge> {
        let billed = billed_seconds(u32::try_from(rated_seconds(duration_ms)).ok()?, kind.initial_s, kind.increment_s)?;
        // In 1e-12 / 60. A compiled row has no price below 0.
        let usage = u64::try_from(rate_e12).ok()?.checked_mul(u64::from(billed))?;
        let exact = usage.checked_add(u64::try_from(kind.connect_fee_e12).ok()?.checked_mul(60)?)?;
        let (whole, rest) = (exact / self.unit, exact % self.unit);
        let up = match self.rounding {
            Rounding::HalfUp => rest >= self.unit - rest,
            Rounding::Up => rest > 0,
            Rounding::HalfEven => rest > self.unit - rest || (rest == self.unit - rest && whole % 2 == 1),
            Rounding::Down => false,
        };
        let amount_e8 = i64::try_from((whole + u64::from(up)).checked_mul(self.scale)?).ok()?;
        Some(Charge { billed_s: billed.into(), amount_e8 })
    }
}

/// R-07 in 32 bits.
#[inline]
fn billed_seconds(seconds: u32, initial_s: u32, increment_s: u32) -> Option<u32> {
    if seconds <= initial_s {
        return Some(initial_s.max(1));
    }
    match increment_s {
        0 | 1 => Some(seconds),
        increment => (seconds - initial_s).div_ceil(increment).checked_mul(increment)?.checked_add(initial_s),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_schemas::v1::Terms;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn r_08_the_compiled_charge_is_that_of_the_terms(
            (rate, fee) in (prop_oneof![0i64..2_000_000_000_000, any::<i64>().prop_map(|r| r & i64::MAX)], prop_oneof![Just(0i64), 0i64..1_000_000_000_000]),
            (initial_s, increment_s) in (0u32..400, 1u32..400),
            ms in prop_oneof![0u64..10_000_000, any::<u64>()],
            (places, rule) in (0u32..9, 0i32..4),
        ) {
            let rounding = Rounding::try_from(rule).expect("one of four");
            let terms = Terms { rate_e12: rate, connect_fee_e12: fee, initial_s, increment_s, places, rounding: rule, ..Terms::default() };
            let kind = Kind { connect_fee_e12: fee, initial_s, increment_s, from: i64::MIN, to: i64::MAX, route_class: 0, rate_places: 12, blocked: false };
            if let Some(charge) = Rounder::new(places, rounding).charge(rate, &kind, ms) {
                prop_assert_eq!(charge, terms.charge(0, ms));
            } else {
                // Only what no price list has: a rate of millions, or a call of years.
                prop_assert!(rate > 1_000_000_000_000 || ms > 1_000_000_000);
            }
        }
    }
}
