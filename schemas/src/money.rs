//! Exact money: fixed-point integers, never float. Amounts count 1e-8 of a currency's unit (R-30: 18 digits, 8 places),
//! prices 1e-12. Conversions to and from text are exact or an error.

use std::fmt::Write;

use rust_decimal::Decimal;
use thiserror::Error;

use crate::v1::Rounding;

/// Decimal places of an amount (`_e8`).
pub const AMOUNT_PLACES: u32 = 8;
/// Decimal places of a price (`_e12`).
pub const RATE_PLACES: u32 = 12;

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadDecimal {
    #[error("'{0}' is not a decimal number (digits with at most one '.')")]
    Malformed(String),
    #[error("'{text}' has more than {places} decimal places")]
    TooFine { text: String, places: u32 },
    #[error("'{0}' is too large")]
    TooLarge(String),
}

/// Parses plain decimal text (`-12.5`, `.5`, `3`) into an integer count of 10^-`places`. No exponent, no separators,
/// no currency sign. Trailing zeros beyond `places` are accepted, other digits there are not.
pub fn parse_scaled(text: &str, places: u32) -> Result<i64, BadDecimal> {
    let malformed = || BadDecimal::Malformed(text.to_owned());
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let kept = fraction.len().min(places as usize);
    if fraction[kept..].bytes().any(|b| b != b'0') {
        return Err(BadDecimal::TooFine { text: text.to_owned(), places });
    }
    let mut value: i64 = 0;
    let zeros = places as usize - kept;
    let digits = whole.bytes().chain(fraction[..kept].bytes()).chain(std::iter::repeat_n(b'0', zeros));
    for b in digits {
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(i64::from(b - b'0')))
            .ok_or_else(|| BadDecimal::TooLarge(text.to_owned()))?;
    }
    Ok(if negative { -value } else { value })
}

/// Renders a count of 10^-`places`, with trailing zeros cut down to `min_places`.
pub fn format_scaled(value: i64, places: u32, min_places: u32) -> String {
    let unit = 10u64.pow(places);
    let magnitude = value.unsigned_abs();
    let mut out = String::with_capacity(24);
    if value < 0 {
        out.push('-');
    }
    let _ = write!(out, "{}", magnitude / unit);
    if places == 0 {
        return out;
    }
    let _ = write!(out, ".{:0width$}", magnitude % unit, width = places as usize);
    let floor = out.len() - (places - min_places.min(places)) as usize;
    while out.len() > floor && out.ends_with('0') {
        out.pop();
    }
    if out.ends_with('.') {
        out.pop();
    }
    out
}

/// An amount as people and programs read it: at least six places.
pub fn format_amount(e8: i64) -> String {
    format_scaled(e8, AMOUNT_PLACES, 6)
}

/// A price as people and programs read it: at least four places.
pub fn format_rate(e12: i64) -> String {
    format_scaled(e12, RATE_PLACES, 4)
}

/// `numerator / unit` as a whole number, rounded once; halves and remainders are judged on the magnitude. `unit` is above 0.
pub fn round_ratio(numerator: i128, unit: i128, rounding: Rounding) -> i128 {
    let magnitude = numerator.unsigned_abs();
    let unit = unit.unsigned_abs().max(1);
    let (whole, rest) = (magnitude / unit, magnitude % unit);
    let up = match rounding {
        Rounding::HalfUp => rest >= unit - rest,
        Rounding::Up => rest > 0,
        Rounding::HalfEven => rest > unit - rest || (rest == unit - rest && whole % 2 == 1),
        Rounding::Down => false,
    };
    let rounded = i128::try_from(whole).unwrap_or(i128::MAX).saturating_add(i128::from(up && rest > 0));
    if numerator < 0 { -rounded } else { rounded }
}

/// The same as an amount of 1e-8, rounded to `places` decimal places: `numerator / unit` counts whole units of the currency.
/// Saturates at the largest amount there is.
pub fn round_amount(numerator: i128, unit: i128, places: u32, rounding: Rounding) -> i64 {
    let places = places.min(AMOUNT_PLACES);
    let scaled = numerator.saturating_mul(10i128.pow(places));
    let rounded = round_ratio(scaled, unit, rounding).saturating_mul(10i128.pow(AMOUNT_PLACES - places));
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

pub fn amount_decimal(e8: i64) -> Decimal {
    Decimal::new(e8, AMOUNT_PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_is_exact_or_an_error() {
        assert_eq!(parse_scaled("0.0100", 12), Ok(10_000_000_000));
        assert_eq!(parse_scaled(".5", 8), Ok(50_000_000));
        assert_eq!(parse_scaled("-3", 8), Ok(-300_000_000));
        assert_eq!(parse_scaled("1.1000000000000", 8), Ok(110_000_000));
        assert!(matches!(parse_scaled("0.000000001", 8), Err(BadDecimal::TooFine { .. })));
        for bad in ["", ".", "-", "1e3", "1,5", "1.2.3", " 1", "0x1", "١"] {
            assert!(matches!(parse_scaled(bad, 8), Err(BadDecimal::Malformed(_))), "{bad}");
        }
        assert!(matches!(parse_scaled("99999999999999", 8), Err(BadDecimal::TooLarge(_))));
    }

    #[test]
    fn amounts_print_with_at_least_six_places() {
        assert_eq!(format_amount(200_000), "0.002000");
        assert_eq!(format_amount(1), "0.00000001");
        assert_eq!(format_amount(-150_000_000), "-1.500000");
        assert_eq!(format_rate(10_000_000_000), "0.0100");
        assert_eq!(format_scaled(5, 0, 0), "5");
    }

    #[test]
    fn r_08_a_ratio_is_rounded_once_by_the_magnitude() {
        for (n, unit, mode, want) in [
            (25, 10, Rounding::HalfUp, 3),
            (25, 10, Rounding::HalfEven, 2),
            (35, 10, Rounding::HalfEven, 4),
            (25, 10, Rounding::Down, 2),
            (21, 10, Rounding::Up, 3),
            (20, 10, Rounding::Up, 2),
            (-25, 10, Rounding::HalfUp, -3),
            (-24, 10, Rounding::HalfUp, -2),
            (0, 7, Rounding::Up, 0),
            (1, 1, Rounding::HalfUp, 1),
        ] {
            assert_eq!(round_ratio(n, unit, mode), want, "{n}/{unit} {mode:?}");
        }
        // 0.0000025 at six places.
        assert_eq!(round_amount(25, 10_000_000, 6, Rounding::HalfUp), 300);
        assert_eq!(round_amount(25, 10_000_000, 6, Rounding::HalfEven), 200);
        assert_eq!(round_amount(i128::MAX, 1, 8, Rounding::HalfUp), i64::MAX);
    }
}
