//! Invoices and notes (FN-01, FN-17, FN-19, R-46): what a customer's calls of a period come to, as one document that is never
//! made twice. Amounts of calls are exact to 1e-8; a document's total is in whole minor units of its currency (`places`), and a line `rounding`
//! takes the difference, so that the lines always sum to the total.
//!
//! A call belongs to the period its INVITE came in. What of it was known when the invoice was issued is the position of the
//! log in `as_of`: calls that became known later go to the next invoice as late usage with their own date, and what was
//! rated again later becomes a note.

use chrono_tz::Tz;
use tollgate_schemas::{
    cdr::Cdr,
    currency::minor_units,
    money::{format_amount, parse_scaled},
};

mod dates;
mod details;
mod document;
mod exchange;
mod note;
mod taxes;
mod terms;
mod usage;

use crate::tax::TaxError;

#[cfg(test)]
mod tests;

pub use dates::{day, instant, local};
pub use details::check;
pub use document::{Annex, ContractUsed, DayRate, Details, Exchanged, Invoice, Item, Line, Party, Period, Section, Tax, TaxOf};
pub use exchange::{Exchange, NoRate};
pub use note::{Ground, Note, NoteLine, NoteOrder, Refused, note};
pub use taxes::TaxBasis;
pub use terms::{Bill, Late, Terms};
pub use usage::{Difference, Usage, differences};

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
    /// The day taxes are of.
    pub supplied: &'a str,
    pub taxes: Option<&'a TaxBasis>,
    pub contract: Option<ContractUsed>,
    pub exchange: Vec<DayRate>,
    pub as_of: &'a str,
    pub annex: Annex,
    pub actor: &'a str,
}

/// Places of a total in a currency that no list has: earlier versions let it be provisioned.
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

/// Decimal places of a total: those the details say, else of the currency's minor unit.
fn places_of(details: &Details, currency: &str) -> u32 {
    details.places.unwrap_or_else(|| minor_units(currency).unwrap_or(PLACES))
}

fn narrow(amount_e8: i128) -> i64 {
    i64::try_from(amount_e8).unwrap_or(if amount_e8 < 0 { i64::MIN } else { i64::MAX })
}

/// Lines without numbers, with their exact amounts: usage, late usage, fees, items; then taxes; then rounding. The second is their
/// sum before taxes.
pub(crate) fn lines(bill: &Bill<'_>, details: &Details, taxes: Option<&TaxBasis>, currency: &str) -> Result<(Vec<(Line, i128)>, i128), TaxError> {
    let (usage, late) = (bill.usage, bill.late);
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
    all.extend(bill.contract.iter().cloned());
    all.extend(details.contract.iter().map(|i| item(Section::Contract, i, 1)));
    all.extend(details.credits.iter().map(|i| item(Section::Credits, i, -1)));
    // A bundle's price is recurring.
    all.sort_by_key(|(line, _)| line.section);
    let places = places_of(details, currency);
    let net: i128 = all.iter().map(|(_, a)| a).sum();
    let stated: Vec<(Line, i128)> = details
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
    all.extend(stated);
    if let Some(basis) = taxes {
        all.extend(basis.lines(narrow(net), currency, places)?);
    }
    let exact: i128 = all.iter().map(|(_, a)| a).sum();
    let total = round(exact, places);
    if total != exact {
        let line = Line { section: Some(Section::Rounding), description: "rounding".to_owned(), ..Line::default() };
        all.push((line, total - exact));
    }
    Ok((all, net))
}

/// Makes the document. Fails where the tax tables do not say what is to be charged.
pub fn invoice(bill: &Bill<'_>, order: Order<'_>) -> Result<Invoice, TaxError> {
    let details = order.details;
    let (all, net) = lines(bill, details, order.taxes, order.currency)?;
    let sum = |section: Section| all.iter().filter(|(l, _)| l.section == Some(section)).map(|(_, a)| a).sum::<i128>();
    let total: i128 = all.iter().map(|(_, a)| a).sum();
    let taxes = sum(Section::Taxes);
    let places = places_of(details, order.currency);
    let lines = (1..).zip(all).map(|(no, (line, amount))| Line { no, amount: format_amount(narrow(amount)), ..line }).collect();
    let due_us = order.issued_us.saturating_add(i64::from(details.due_days) * 86_400_000_000);
    let late_calls = bill.late.values().flat_map(|u| u.calls.iter().cloned()).take(LATE_LISTED).collect();
    Ok(Invoice {
        kind: "invoice".to_owned(),
        number: format!("{}-{}", order.series, order.sequence),
        series: order.series.to_owned(),
        sequence: order.sequence,
        account: order.account.to_owned(),
        root_account: order.root_account.to_owned(),
        currency: order.currency.to_owned(),
        issued: day(order.issued_us, order.timezone),
        due: day(due_us, order.timezone),
        supplied: order.supplied.to_owned(),
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
        tax_basis: order.taxes.cloned(),
        contract: order.contract.clone(),
        exchange: order.exchange.clone(),
        balance_forward: details.balance_forward.clone(),
        payments: details.payments.clone(),
        as_of: order.as_of.to_owned(),
        annex: order.annex,
        late_calls,
        actor: order.actor.to_owned(),
    })
}

/// With exactly so many places, as totals are written.
pub fn fixed(amount_e8: i64, places: u32) -> String {
    tollgate_schemas::money::format_scaled(amount_e8, 8, places)
}

/// Whether a row is on a customer's bill: rated, in this currency, no test.
pub fn is_billed(row: &Cdr) -> bool {
    row.is_final() && !row.test_call && !row.sell_currency.is_empty() && row.disposition != "blocked"
}
