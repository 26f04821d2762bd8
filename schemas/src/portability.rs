//! The portability port: which number a ported number is routed and rated by, and where that is. What answers is
//! outside: a file, a service with a cache. An answer must be there at once: the caller is a shard that others wait for, so a
//! source that has to ask somebody says [`DipError::Pending`] and has the answer for the next call.

use crate::{number::E164, parties::Place};

/// What is known of a number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ported {
    /// Its location routing number; none = not ported.
    pub lrn: Option<E164>,
    pub place: Place,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dip {
    pub ported: Ported,
    /// It was known from an earlier call: no look-up was made, none is charged.
    pub cached: bool,
    /// How long the look-up took.
    pub took_ms: u32,
}

/// Why there is no answer; the call is rated on the dialled number and says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DipError {
    #[error("no answer within {0} ms")]
    Timeout(u32),
    /// Asked beside; the next call will know.
    #[error("being asked")]
    Pending,
    #[error("too many numbers are being asked")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

/// A source of portability.
pub trait Portability: Send + Sync {
    /// Never blocks.
    fn lookup(&self, number: &E164, now_us: i64) -> Result<Dip, DipError>;
}

/// Whether a number is looked up at all: North American, and not toll-free (those have their own query, R-05).
pub fn needs_dip(number: &E164) -> bool {
    let digits = number.digits();
    digits.len() == 11 && digits.starts_with('1') && !is_toll_free(digits)
}

const TOLL_FREE: [&str; 7] = ["800", "833", "844", "855", "866", "877", "888"];

/// Whether E.164 digits are a North American toll-free number.
pub fn is_toll_free(digits: &str) -> bool {
    digits.strip_prefix('1').and_then(|d| d.get(..3)).is_some_and(|area| TOLL_FREE.contains(&area))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_04_north_american_numbers_are_looked_up_but_toll_free_ones_never() {
        for (number, needs) in [
            ("12125550100", true),
            ("14165550100", true),
            ("18005550100", false),
            ("18335550100", false),
            ("18885550100", false),
            // 822 and 880 are no toll-free codes in use.
            ("18225550100", true),
            ("442071838750", false),
            ("1212555", false),
        ] {
            assert_eq!(needs_dip(&E164::parse(number).expect("a number")), needs, "{number}");
        }
    }
}
