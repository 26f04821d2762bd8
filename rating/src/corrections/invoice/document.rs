//! The form of invoices and what they are asked with, field for field what their JSON is.

use serde::{Deserialize, Serialize};
use tollgate_schemas::control;

use super::TaxBasis;

/// What a line is for, in the order of the sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    Recurring,
    Usage,
    /// Calls of periods invoiced before they were known.
    LateUsage,
    Fees,
    /// Commitments, volume terms and whatever a contract adds.
    Contract,
    Credits,
    Taxes,
    Rounding,
}

/// One line. Amounts, rates and minutes are decimal text; what does not apply is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub no: u32,
    pub section: Option<Section>,
    pub description: String,
    /// Whose calls, where it is an account below the invoice's: the amount is what the invoice's account pays for them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub_account: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// Per minute.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Billed, in whole and hundredths.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub minutes: String,
    /// Late usage: the day of the calls, in the period's zone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub original_date: String,
    /// Of a contract: its name and version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contract: String,
    /// Calls in another currency: what they were charged there, at the rate of which source and day each was converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanged: Option<Exchanged>,
    /// Of a tax table: which tax, where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<TaxOf>,
    pub amount: String,
}

/// Amounts of calls in another currency. Each call is converted by itself and rounded to 1e-8; a line has their sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanged {
    /// What its calls and rate are in.
    pub currency: String,
    /// Before conversion.
    pub amount: String,
    /// Units of the invoice's currency for one.
    pub rate: String,
    pub source: String,
    /// The day the rate is of.
    pub date: String,
}

/// A line of the tax tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxOf {
    pub code: String,
    /// `US`, `US-TX`.
    pub place: String,
    /// What the rate is of; of a charge per line nothing.
    pub base: String,
    /// Percent.
    pub rate: String,
    /// Why nothing is charged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the amount rests on.
    pub note: String,
}

/// The rate that calls answered on a day were converted at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRate {
    pub from: String,
    pub answered: String,
    pub rate: String,
    pub source: String,
    pub date: String,
}

/// The contract an invoice was made by, so that a note can follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractUsed {
    pub name: String,
    pub version: String,
    /// Days of the cycle the period is, of how many; 1 of 1 = whole.
    pub days: u32,
    pub of: u32,
    pub spec: control::Contract,
}

/// Who sells or buys, as printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Party {
    pub name: String,
    pub address: Vec<String>,
    pub tax_id: String,
    /// For questions about the bill.
    pub contact: String,
    /// ISO 3166, and state or region: where the customer is taxed when its account does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub country: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
}

/// A charge or credit that is not of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub description: String,
    /// Decimal; credits are given positive.
    pub amount: String,
}

/// A tax on the sections named; empty = on all above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tax {
    pub code: String,
    pub description: String,
    /// Percent, decimal.
    pub percent: String,
    #[serde(default)]
    pub on: Vec<Section>,
}

/// What calls do not say. As `--details` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Details {
    pub supplier: Party,
    pub customer: Party,
    pub purchase_order: String,
    pub payment_terms: String,
    /// Days from the issue to the due date.
    pub due_days: u32,
    pub bank: Vec<String>,
    pub recurring: Vec<Item>,
    /// Lines of a contract, as its rules gave them.
    pub contract: Vec<Item>,
    pub credits: Vec<Item>,
    /// Where no tax tables apply.
    pub taxes: Vec<Tax>,
    /// Instead of the account's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax: Option<control::TaxProfile>,
    /// Day whose taxes apply, `yyyy-mm-dd`; none = the period's last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supply_date: Option<String>,
    /// Owed before this invoice and paid since the last, for the statement at its end; not part of its total.
    pub balance_forward: Option<String>,
    pub payments: Vec<Item>,
    /// Decimal places of the total; none = as many as its currency's minor unit has.
    pub places: Option<u32>,
}

/// Where the calls behind a document are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annex {
    /// Every call of the period as `GET /v1/cdrs` with this query gives it.
    pub query: String,
    pub rows: u64,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// RFC 3339 in the period's zone; `until` is not in it.
    pub from: String,
    pub until: String,
    pub timezone: String,
}

/// An issued invoice, field for field what its JSON is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    pub kind: String,
    pub number: String,
    pub series: String,
    pub sequence: u64,
    pub account: String,
    pub root_account: String,
    pub currency: String,
    pub issued: String,
    pub due: String,
    /// The day taxes are of.
    #[serde(default)]
    pub supplied: String,
    pub period: Period,
    pub supplier: Party,
    pub customer: Party,
    pub purchase_order: String,
    pub payment_terms: String,
    pub bank: Vec<String>,
    pub lines: Vec<Line>,
    /// Before taxes and rounding.
    pub subtotal: String,
    pub taxes: String,
    pub total: String,
    pub places: u32,
    pub tax_rules: Vec<Tax>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_basis: Option<TaxBasis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractUsed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchange: Vec<DayRate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_forward: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Item>,
    /// The position of the log the calls were read at.
    pub as_of: String,
    pub annex: Annex,
    /// Calls of the lines of late usage; at most 10,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late_calls: Vec<String>,
    pub actor: String,
}
