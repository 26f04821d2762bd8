//! Phone numbers as a type: canonical E.164 digits without the plus, made only by normalisation or by reading
//! text that already is canonical.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// One to fifteen digits, the first not zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164 {
    len: u8,
    digits: [u8; 15],
}

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadNumber {
    #[error("'{0}' is not a number: want digits, with or without a leading '+'")]
    NotDigits(String),
    #[error("'{0}' has more than 15 digits")]
    TooLong(String),
    #[error("'{0}' starts with 0: no country code does")]
    LeadingZero(String),
}

impl E164 {
    /// From canonical text, with or without `+`.
    pub fn parse(text: &str) -> Result<E164, BadNumber> {
        let body = text.strip_prefix('+').unwrap_or(text);
        if body.is_empty() || !body.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadNumber::NotDigits(text.to_owned()));
        }
        if body.len() > 15 {
            return Err(BadNumber::TooLong(text.to_owned()));
        }
        if body.starts_with('0') {
            return Err(BadNumber::LeadingZero(text.to_owned()));
        }
        let mut digits = [0u8; 15];
        digits[..body.len()].copy_from_slice(body.as_bytes());
        Ok(E164 { len: body.len() as u8, digits })
    }

    /// Count of digits, 1 to 15.
    #[allow(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The digits in ASCII, with zero bytes behind them.
    #[inline]
    pub fn padded(&self) -> &[u8; 15] {
        &self.digits
    }

    /// ASCII digits, no plus.
    pub fn digits(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.digits())
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for E164 {
    type Err = BadNumber;
    fn from_str(s: &str) -> Result<E164, BadNumber> {
        E164::parse(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_01_a_canonical_number_has_one_to_fifteen_digits() {
        assert_eq!(E164::parse("+442071838750").map(|n| n.to_string()), Ok("+442071838750".to_owned()));
        assert_eq!(E164::parse("1").map(|n| n.digits().to_owned()), Ok("1".to_owned()));
        for bad in ["", "+", "0044", "1234567890123456", "44 20", "abc", "++1"] {
            assert!(E164::parse(bad).is_err(), "{bad}");
        }
    }
}
