//! Exact money: fixed-point integers, never float. Amounts count 1e-8 of a currency's unit (R-30: 18 digits, 8 places),
//! prices 1e-12. Conversions to and from text are exact or an error.

use std::fmt::Write;

use rust_decimal::Decimal;
use thiserror::Error;

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
}
