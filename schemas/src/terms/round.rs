//! Rounding, once per line.

use crate::{
    money::{AMOUNT_PLACES, RATE_PLACES},
    v1::Rounding,
};

/// Exact sums count 1e-12/60 of the currency's unit: a price of a minute times seconds.
pub(super) const PER_RATE_UNIT: i128 = 60;

/// By decimal places: how many of the exact sum's units a step is, and how many 1e-8.
const STEPS: [(u64, u64); AMOUNT_PLACES as usize + 1] = {
    let mut steps = [(0, 0); AMOUNT_PLACES as usize + 1];
    let mut places = 0;
    while places <= AMOUNT_PLACES {
        steps[places as usize] = (PER_RATE_UNIT as u64 * 10u64.pow(RATE_PLACES - places), 10u64.pow(AMOUNT_PLACES - places));
        places += 1;
    }
    steps
};

/// A line's amount in 1e-8: halves and remainders are judged on the magnitude. Saturates.
#[inline]
pub(super) fn line_e8(exact: i128, places: u32, rounding: Rounding) -> i64 {
    let (unit, scale) = STEPS[places.min(AMOUNT_PLACES) as usize];
    let magnitude = exact.unsigned_abs();
    let (whole, rest) = match u64::try_from(magnitude) {
        // Nearly every charge there is.
        Ok(small) => (u128::from(small / unit), small % unit),
        Err(_) => (magnitude / u128::from(unit), (magnitude % u128::from(unit)) as u64),
    };
    let up = match rounding {
        Rounding::HalfUp => rest * 2 >= unit,
        Rounding::Up => rest > 0,
        Rounding::HalfEven => rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1),
        Rounding::Down => false,
    };
    // The quotient is below 2^128 / 6e5, the scale at most 1e8 with a unit of 6e13: no product overflows.
    let rounded = (whole + u128::from(up)) * u128::from(scale);
    match (exact < 0, i64::try_from(rounded)) {
        (false, Ok(e8)) => e8,
        (true, Ok(e8)) => -e8,
        (false, Err(_)) => i64::MAX,
        (true, Err(_)) => i64::MIN,
    }
}
