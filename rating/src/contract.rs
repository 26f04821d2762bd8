//! What a contract adds over a period: minimum commitments, volume tiers, bundles of minutes, and the fee for too
//! many short calls. Pure functions over a period's usage; an invoice puts their lines below the usage. Money is
//! 1e-8 of the contract's currency, exact as ratios, rounded once per line. A credit is negative. As provisioned: [`Contract`]; which
//! one holds over a period: [`in_force`]; its lines: [`Meter`].

mod bundle;
mod cycle;
mod meter;
mod short_calls;
mod terms;
mod volume;

#[cfg(test)]
mod tests;

use thiserror::Error;
use tollgate_schemas::v1::Rounding;

pub use bundle::{Bundle, Drawn, draw};
pub use cycle::{BadPeriod, Cycle, Share, in_force};
pub use meter::{BadMeter, Call, ContractLine, MAX_HELD, Meter, Rule};
pub use short_calls::{ShortCalls, ShortCharge, ShortPolicy};
pub use terms::{BadTerm, Contract, MAX_RULES};
pub use volume::{Step, StepPrice, Volume, VolumeBasis, VolumeMode};

/// One line for an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// For people, as `commitment shortfall` or `domestic, 1000 to 5000 minutes`.
    pub name: String,
    /// 1e-8 of the currency's unit; negative = a credit.
    pub amount_e8: i64,
}

/// Usage of a period that a rule looks at: one rated call, or many added up where the rule allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used<'a> {
    /// E.164 digits.
    pub number: &'a str,
    pub destination: &'a str,
    /// After increments.
    pub billed_s: u64,
    /// What was charged for it.
    pub amount_e8: i64,
}

/// What a rule is about: everything, or destinations and number prefixes named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Destination groups, exactly as the deck names them.
    pub destinations: Vec<String>,
    /// Digits.
    pub prefixes: Vec<String>,
}

impl Scope {
    /// Nothing named = everything.
    pub fn covers(&self, used: &Used<'_>) -> bool {
        let everything = self.destinations.is_empty() && self.prefixes.is_empty();
        everything
            || self.destinations.iter().any(|d| d == used.destination)
            || self.prefixes.iter().any(|p| used.number.starts_with(p.as_str()))
    }
}

/// A rule that cannot be.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadContract {
    #[error("volume steps must begin at 0")]
    NoFirstStep,
    #[error("volume steps must rise: {0} does not come after {1}")]
    StepsDoNotRise(u64, u64),
    #[error("a discount is 0 to 1000000 millionths, not {0}")]
    Discount(u32),
    #[error("a price is 0 or more, not {0}")]
    Negative(i64),
    #[error("the volume is too large to be priced exactly: give steps a rate of fewer places, or a shorter cycle")]
    TooLarge,
}

/// A minimum commitment: the shortfall is charged as a line of its own; none when it was reached.
pub fn shortfall(commit_e8: i64, used_e8: i64) -> Option<Line> {
    let missing = commit_e8.saturating_sub(used_e8.max(0));
    (missing > 0).then(|| Line { name: "commitment shortfall".to_owned(), amount_e8: missing })
}

/// How lines are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRounding {
    pub places: u32,
    pub rounding: Rounding,
}

impl Default for LineRounding {
    /// Six places, half up.
    fn default() -> LineRounding {
        LineRounding { places: 6, rounding: Rounding::HalfUp }
    }
}
