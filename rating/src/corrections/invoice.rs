//! Invoices and notes (FN-01, FN-17, FN-19, R-46): what a customer's calls of a period come to, as one document that is never
//! made twice. Amounts of calls are exact to 1e-8; a document's total is in whole cents (`places`), and a line `rounding`
//! takes the difference, so that the lines always sum to the total.
//!
//! A call belongs to the period its INVITE came in. What of it was known when the invoice was issued is the position of the
//! log in `as_of`: calls that became known later go to the next invoice as late usage with their own date, and what was
//! rated again later becomes a note.

use std::collections::BTreeMap;

use chrono::TimeZone;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use tollgate_schemas::{
    cdr::Cdr,
    money::{format_amount, format_rate, parse_scaled},
};

mod note;
mod usage;

#[cfg(test)]
mod tests;

pub use note::{Ground, Note, NoteLine, NoteOrder, Refused, note};
pub use usage::{Difference, Usage, differences};

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
    pub amount: String,
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
    pub taxes: Vec<Tax>,
    /// Owed before this invoice and paid since the last, for the statement at its end; not part of its total.
    pub balance_forward: Option<String>,
    pub payments: Vec<Item>,
    /// Decimal places of the total.
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

/// What an invoice is asked for.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    pub series: &'a str,
    pub sequence: u64,
    pub account: &'a str,
    pub root_account: &'a str,
    pub currency: &'a str,
    pub from_us: i64,
    pub until_us: i64,
    pub timezone: Tz,
    pub issued_us: i64,
    pub details: &'a Details,
    pub as_of: &'a str,
    pub annex: Annex,
    pub actor: &'a str,
}

/// Cents, if the details do not say otherwise.
const PLACES: u32 = 2;
/// Late calls listed by id.
const LATE_LISTED: usize = 10_000;

/// `amount` rounded half up to `places`, in 1e-8.
pub(crate) fn round(amount_e8: i128, places: u32) -> i128 {
    let unit = 10i128.pow(8 - places.min(8));
    let half = unit / 2;
    let magnitude = (amount_e8.abs() + half) / unit * unit;
    if amount_e8 < 0 { -magnitude } else { magnitude }
}

fn narrow(amount_e8: i128) -> i64 {
    i64::try_from(amount_e8).unwrap_or(if amount_e8 < 0 { i64::MIN } else { i64::MAX })
}

/// Microseconds as RFC 3339 of a zone.
pub fn local(us: i64, zone: Tz) -> String {
    match zone.timestamp_micros(us).single() {
        Some(t) => t.to_rfc3339_opts(chrono::SecondsFormat::Secs, false),
        None => tollgate_schemas::time::format_rfc3339(us),
    }
}

/// The day of an instant in a zone.
pub fn day(us: i64, zone: Tz) -> String {
    zone.timestamp_micros(us).single().map_or_else(String::new, |t| t.format("%Y-%m-%d").to_string())
}

/// Midnight of `yyyy-mm-dd` in a zone, or an RFC 3339 instant; microseconds. In zones whose midnight is left out that day, the
/// first instant of the day.
pub fn instant(text: &str, zone: Tz) -> Result<i64, String> {
    if let Ok(us) = tollgate_schemas::time::parse_rfc3339(text) {
        return Ok(us);
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| format!("'{text}' is neither a date (yyyy-mm-dd) nor an RFC 3339 time"))?;
    for minute in 0..24 * 60 {
        let at = date.and_hms_opt(minute / 60, minute % 60, 0).map(|t| zone.from_local_datetime(&t).earliest());
        if let Some(Some(at)) = at {
            return Ok(at.timestamp_micros());
        }
    }
    Err(format!("{text} is no day in {zone}"))
}

/// What is wrong with the details, each with its path.
pub fn check(details: &Details) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (name, items) in [("recurring", &details.recurring), ("contract", &details.contract), ("credits", &details.credits), ("payments", &details.payments)] {
        for (i, item) in items.iter().enumerate() {
            if let Err(e) = parse_scaled(&item.amount, 8) {
                wrong.push((format!("{name}[{i}].amount"), e.to_string()));
            }
        }
    }
    for (i, credit) in details.credits.iter().enumerate() {
        if parse_scaled(&credit.amount, 8).is_ok_and(|a| a < 0) {
            wrong.push((format!("credits[{i}].amount"), "a credit is given positive".to_owned()));
        }
    }
    for (i, tax) in details.taxes.iter().enumerate() {
        if parse_scaled(&tax.percent, 6).map_or(true, |p| p < 0) {
            wrong.push((format!("taxes[{i}].percent"), format!("'{}' is no percentage", tax.percent)));
        }
    }
    if let Some(Err(e)) = details.balance_forward.as_ref().map(|b| parse_scaled(b, 8)) {
        wrong.push(("balance_forward".to_owned(), e.to_string()));
    }
    if details.places.is_some_and(|p| p > 8) {
        wrong.push(("places".to_owned(), "an amount has 0 to 8 places".to_owned()));
    }
    wrong
}

/// Lines without numbers, with their exact amounts: usage, late usage, fees, items; then taxes; then rounding.
pub(crate) fn lines(usage: &Usage, late: &BTreeMap<String, Usage>, details: &Details) -> (Vec<(Line, i128)>, i128) {
    let mut all: Vec<(Line, i128)> = Vec::new();
    let item = |section, item: &Item, sign: i128| {
        let amount = i128::from(parse_scaled(&item.amount, 8).unwrap_or(0)) * sign;
        (Line { section: Some(section), description: item.description.clone(), ..Line::default() }, amount)
    };
    all.extend(details.recurring.iter().map(|i| item(Section::Recurring, i, 1)));
    all.extend(usage.lines(Section::Usage, ""));
    for (date, calls) in late {
        all.extend(calls.lines(Section::LateUsage, date));
    }
    all.extend(usage.fee_lines(""));
    for (date, calls) in late {
        all.extend(calls.fee_lines(date));
    }
    all.extend(details.contract.iter().map(|i| item(Section::Contract, i, 1)));
    all.extend(details.credits.iter().map(|i| item(Section::Credits, i, -1)));
    let places = details.places.unwrap_or(PLACES);
    let net: i128 = all.iter().map(|(_, a)| a).sum();
    let taxes: Vec<(Line, i128)> = details
        .taxes
        .iter()
        .map(|tax| {
            let taxed = |l: &Line| tax.on.is_empty() || l.section.is_some_and(|s| tax.on.contains(&s));
            let base: i128 = all.iter().filter(|(l, _)| taxed(l)).map(|(_, a)| a).sum();
            // Percent with six places: 1e-8 of the base.
            let percent = i128::from(parse_scaled(&tax.percent, 6).unwrap_or(0));
            let exact = base * percent;
            let (whole, rest) = (exact / 100_000_000, exact % 100_000_000);
            let amount = round(whole + i128::from(rest * 2 >= 100_000_000) - i128::from(rest * 2 <= -100_000_000), places);
            let description = format!("{} {} % on {}", tax.description, tax.percent, format_amount(narrow(base)));
            (Line { section: Some(Section::Taxes), description, ..Line::default() }, amount)
        })
        .collect();
    all.extend(taxes);
    let exact: i128 = all.iter().map(|(_, a)| a).sum();
    let total = round(exact, places);
    if total != exact {
        let line = Line { section: Some(Section::Rounding), description: "rounding".to_owned(), ..Line::default() };
        all.push((line, total - exact));
    }
    (all, net)
}

/// Makes the document. `late`: usage of earlier periods by day.
pub fn invoice(usage: &Usage, late: &BTreeMap<String, Usage>, order: Order<'_>) -> Invoice {
    let details = order.details;
    let (all, net) = lines(usage, late, details);
    let sum = |section: Section| all.iter().filter(|(l, _)| l.section == Some(section)).map(|(_, a)| a).sum::<i128>();
    let total: i128 = all.iter().map(|(_, a)| a).sum();
    let taxes = sum(Section::Taxes);
    let places = details.places.unwrap_or(PLACES);
    let lines = (1..).zip(all).map(|(no, (line, amount))| Line { no, amount: format_amount(narrow(amount)), ..line }).collect();
    let due_us = order.issued_us.saturating_add(i64::from(details.due_days) * 86_400_000_000);
    let late_calls = late.values().flat_map(|u| u.calls.iter().cloned()).take(LATE_LISTED).collect();
    Invoice {
        kind: "invoice".to_owned(),
        number: format!("{}-{}", order.series, order.sequence),
        series: order.series.to_owned(),
        sequence: order.sequence,
        account: order.account.to_owned(),
        root_account: order.root_account.to_owned(),
        currency: order.currency.to_owned(),
        issued: day(order.issued_us, order.timezone),
        due: day(due_us, order.timezone),
        period: Period { from: local(order.from_us, order.timezone), until: local(order.until_us, order.timezone), timezone: order.timezone.name().to_owned() },
        supplier: details.supplier.clone(),
        customer: details.customer.clone(),
        purchase_order: details.purchase_order.clone(),
        payment_terms: details.payment_terms.clone(),
        bank: details.bank.clone(),
        lines,
        subtotal: format_amount(narrow(net)),
        taxes: format_amount(narrow(taxes)),
        total: fixed(narrow(total), places),
        places,
        tax_rules: details.taxes.clone(),
        balance_forward: details.balance_forward.clone(),
        payments: details.payments.clone(),
        as_of: order.as_of.to_owned(),
        annex: order.annex,
        late_calls,
        actor: order.actor.to_owned(),
    }
}

/// With exactly so many places, as totals are written.
pub fn fixed(amount_e8: i64, places: u32) -> String {
    tollgate_schemas::money::format_scaled(amount_e8, 8, places)
}

/// Whether a row is on a customer's bill: rated, in this currency, no test.
pub fn is_billed(row: &Cdr) -> bool {
    row.is_final() && !row.test_call && !row.sell_currency.is_empty() && row.disposition != "blocked"
}

/// What a line of usage is grouped by.
fn rate_text(rate_e12: i64) -> String {
    format_rate(rate_e12)
}
