//! Taxes and regulatory charges: a port, and a table-driven engine behind it. The built-in engine computes
//! what its dated tables say and no more: it is **not authoritative**, and each of its lines says so ([`NOTE`]).
//!
//! Percentages are exact ratios, rounded once per line to the currency's minor unit, half up.

mod table;

#[cfg(test)]
mod tests;

use thiserror::Error;

pub use table::{BadTax, TaxTables};

/// On every line of the built-in engine.
pub const NOTE: &str = "computed from configured tables, non-authoritative";

/// Who is taxed, where, and when.
#[derive(Debug, Clone, Copy)]
pub struct TaxQuery<'a> {
    /// ISO 3166 of the customer's place; what the tables are found by.
    pub country: &'a str,
    /// State or region; empty = not known.
    pub region: &'a str,
    /// ISO 3166 of the seller.
    pub seller_country: &'a str,
    /// Day of the invoice, UTC microseconds.
    pub at_us: i64,
    /// Revenue in 1e-8 of `currency`'s unit.
    pub amount_e8: i64,
    pub currency: &'a str,
    /// Decimal places of the currency's minor unit: 2.
    pub places: u32,
    /// Lines the customer has, for charges per line.
    pub lines: u32,
    /// A VAT id that was checked and found valid.
    pub valid_vat_id: bool,
    /// Until when a reseller's certificate stands; None = an end user.
    pub certificate_until_us: Option<i64>,
    /// Interstate and international share of the revenue by traffic study, in millionths; None = the safe harbour of the tables.
    pub interstate_e6: Option<u32>,
}

/// One line of tax. An amount of 0 with a reason is a line, too: an invoice must say why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxLine {
    pub code: String,
    /// What the rate is of.
    pub base_e8: i64,
    /// Millionths; 0 for a charge per line.
    pub rate_e6: i64,
    /// Of a charge per line, what each is; None for a percentage.
    pub per_line_e8: Option<i64>,
    pub amount_e8: i64,
    /// Why nothing is charged, or empty.
    pub reason: &'static str,
    pub note: &'static str,
}

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum TaxError {
    #[error("no tax table of {country} holds on that day: give one (kind tax), or an empty one that says there is nothing")]
    NoTable { country: String },
    #[error("tax '{code}' of {country} is of interstate revenue, and neither a traffic study nor a safe harbour (kind share) says how much that is")]
    NoShare { country: String, code: String },
}

/// A tax engine. The built-in one is [`TaxTables`]; a certified one may stand behind the same question.
pub trait TaxEngine {
    /// The lines for one amount, in the tables' order.
    fn lines(&self, query: &TaxQuery<'_>) -> Result<Vec<TaxLine>, TaxError>;
}
