//! Credit and debit notes: what re-rating changed of an invoiced period, line by line, or a credit that was agreed (R-46, FN-19). The
//! invoice stays as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tollgate_schemas::money::{format_amount, parse_scaled};

use super::{Bill, Details, Exchanged, Invoice, Line, Party, Period, Section, day, fixed, lines, narrow, round};
use crate::tax::TaxError;

/// A note's line: what a line of the invoice came to, and comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteLine {
    pub no: u32,
    /// The line of the invoice it corrects; none = the invoice has no such line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_line: Option<u32>,
    pub section: Section,
    pub description: String,
    /// As the invoice's line has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub_account: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub destination: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rate: String,
    pub was: String,
    pub is: String,
    pub amount: String,
    /// Of calls in another currency: their change there, and the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanged: Option<Exchanged>,
}

/// An issued note, field for field what its JSON is. Amounts of lines are signed as they change the invoice; `total` is positive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `credit_note` or `debit_note`.
    pub kind: String,
    pub number: String,
    pub series: String,
    pub sequence: u64,
    /// The invoice's number.
    pub invoice: String,
    pub account: String,
    pub root_account: String,
    pub currency: String,
    pub issued: String,
    pub period: Period,
    pub supplier: Party,
    pub customer: Party,
    pub reason: String,
    /// Re-ratings it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<String>,
    pub lines: Vec<NoteLine>,
    pub total: String,
    pub as_of: String,
    pub actor: String,
}

#[derive(Debug, Clone)]
pub struct NoteOrder<'a> {
    pub series: &'a str,
    pub sequence: u64,
    pub reason: &'a str,
    pub batches: Vec<String>,
    pub issued_us: i64,
    pub as_of: &'a str,
    pub actor: &'a str,
    /// What the invoice still comes to after notes so far, 1e-8.
    pub remainder_e8: i64,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("nothing of invoice {0} has changed")]
    NothingChanged(String),
    #[error("a credit of {credit} is more than the {remainder} that is left of invoice {invoice}: pay it back instead")]
    MoreThanIsLeft { invoice: String, credit: String, remainder: String },
    #[error("a credit of {credit}: invoice {invoice} is in {currency} with {places} decimal places, and so are its notes")]
    TooFine { invoice: String, credit: String, currency: String, places: u32 },
    #[error(transparent)]
    Tax(#[from] TaxError),
}

/// The usage of an invoiced period as it stood at the last document about it, and as it stands; or an agreed credit.
pub enum Ground<'a> {
    Rerated { then: &'a Bill<'a>, now: &'a Bill<'a> },
    Agreed { amount_e8: i64 },
}

/// Makes the note, or refuses.
pub fn note(invoice: &Invoice, ground: Ground<'_>, order: NoteOrder<'_>) -> Result<Note, Refused> {
    let found = match ground {
        Ground::Agreed { amount_e8 } if round(i128::from(amount_e8), invoice.places) != i128::from(amount_e8) => {
            let (credit, currency) = (fixed(amount_e8, invoice.places), invoice.currency.clone());
            return Err(Refused::TooFine { invoice: invoice.number.clone(), credit, currency, places: invoice.places });
        }
        Ground::Rerated { then, now } => changed(invoice, then, now)?,
        Ground::Agreed { amount_e8 } => vec![NoteLine {
            no: 1,
            invoice_line: None,
            section: Section::Credits,
            description: "credit agreed".to_owned(),
            sub_account: String::new(),
            destination: String::new(),
            rate: String::new(),
            was: format_amount(0),
            is: format_amount(-amount_e8),
            amount: format_amount(-amount_e8),
            exchanged: None,
        }],
    };
    let total: i64 = found.iter().filter_map(|l| parse_scaled(&l.amount, 8).ok()).fold(0, i64::saturating_add);
    // Lines that cancel each other out are a note all the same: a part of them is posted by it, the other was by the rater.
    if found.is_empty() {
        return Err(Refused::NothingChanged(invoice.number.clone()));
    }
    let places = invoice.places;
    if -total > order.remainder_e8 {
        return Err(Refused::MoreThanIsLeft {
            invoice: invoice.number.clone(),
            credit: fixed(-total, places),
            remainder: fixed(order.remainder_e8, places),
        });
    }
    let zone = invoice.period.timezone.parse().unwrap_or(chrono_tz::Tz::UTC);
    Ok(Note {
        kind: if total <= 0 { "credit_note" } else { "debit_note" }.to_owned(),
        number: format!("{}-{}", order.series, order.sequence),
        series: order.series.to_owned(),
        sequence: order.sequence,
        invoice: invoice.number.clone(),
        account: invoice.account.clone(),
        root_account: invoice.root_account.clone(),
        currency: invoice.currency.clone(),
        issued: day(order.issued_us, zone),
        period: invoice.period.clone(),
        supplier: invoice.supplier.clone(),
        customer: invoice.customer.clone(),
        reason: order.reason.to_owned(),
        batches: order.batches,
        lines: found,
        total: fixed(total.saturating_abs(), places),
        as_of: order.as_of.to_owned(),
        actor: order.actor.to_owned(),
    })
}

/// Lines of one key, added up.
#[derive(Default)]
struct Side {
    amount: i128,
    /// In the calls' own currency.
    original: i128,
    exchanged: Option<Exchanged>,
}

/// The lines that usage gives then and now, with the invoice's contract, taxes and rounding, laid side by side.
fn changed(invoice: &Invoice, then: &Bill<'_>, now: &Bill<'_>) -> Result<Vec<NoteLine>, TaxError> {
    // Items of the invoice beside its calls count for taxes and rounding on both sides alike; what its contract makes of the calls is
    // made again.
    let other = |section: Section| {
        let stays = move |l: &&Line| l.section == Some(section) && l.contract.is_empty();
        invoice.lines.iter().filter(stays).map(|l| super::Item { description: l.description.clone(), amount: l.amount.clone() }).collect::<Vec<_>>()
    };
    let credits = other(Section::Credits).into_iter().map(|i| super::Item { amount: i.amount.trim_start_matches('-').to_owned(), ..i });
    let details = Details {
        recurring: other(Section::Recurring),
        contract: other(Section::Contract),
        credits: credits.collect(),
        taxes: invoice.tax_rules.clone(),
        places: Some(invoice.places),
        ..Details::default()
    };
    // Section, whose calls, destination, rate, description, exchange, day of late calls.
    type Key = (Section, String, String, String, String, String, String);
    let key = |l: &Line| {
        let section = l.section.unwrap_or(Section::Usage);
        // A tax is told by its rule, not by the base it names.
        let description = if section == Section::Taxes { l.description.split(" on ").next().unwrap_or_default().to_owned() } else { l.description.clone() };
        let exchanged = l.exchanged.as_ref().map_or(String::new(), |e| format!("{} at {} of {}", e.currency, e.rate, e.date));
        (section, l.sub_account.clone(), l.destination.clone(), l.rate.clone(), description, exchanged, l.original_date.clone())
    };
    let side = |bill: &Bill<'_>| {
        let (all, _) = lines(bill, &details, invoice.tax_basis.as_ref(), &invoice.currency)?;
        let mut side: BTreeMap<Key, Side> = BTreeMap::new();
        for (line, amount) in all {
            let sum = side.entry(key(&line)).or_default();
            sum.amount += amount;
            sum.original += line.exchanged.as_ref().and_then(|e| parse_scaled(&e.amount, 8).ok()).map_or(0, i128::from);
            sum.exchanged = line.exchanged;
        }
        Ok::<_, TaxError>(side)
    };
    let (was, is) = (side(then)?, side(now)?);
    let mut keys: Vec<&Key> = was.keys().chain(is.keys()).collect();
    keys.sort();
    keys.dedup();
    let amount = |of: &BTreeMap<Key, Side>, key: &Key| of.get(key).map_or(0, |s| s.amount);
    let original = |of: &BTreeMap<Key, Side>, key: &Key| of.get(key).map_or(0, |s| s.original);
    let rated = |key: &Key| was.get(key).or_else(|| is.get(key)).and_then(|s| s.exchanged.clone());
    let moved = keys.into_iter().filter(|k| amount(&was, k) != amount(&is, k));
    let line = |(no, found): (u32, &Key)| {
        let (section, sub_account, destination, rate, description, exchanged, late) = found;
        let of_invoice = invoice.lines.iter().find(|l| key(l) == *found);
        let description = match (section, late.is_empty()) {
            (Section::Fees, false) => format!("{description}, calls of {late}"),
            _ => description.clone(),
        };
        NoteLine {
            no,
            invoice_line: of_invoice.map(|l| l.no),
            section: *section,
            description: if exchanged.is_empty() { description } else { format!("{description}, {exchanged}") },
            sub_account: sub_account.clone(),
            destination: destination.clone(),
            rate: rate.clone(),
            was: format_amount(narrow(amount(&was, found))),
            is: format_amount(narrow(amount(&is, found))),
            amount: format_amount(narrow(amount(&is, found) - amount(&was, found))),
            exchanged: rated(found).map(|e| Exchanged { amount: format_amount(narrow(original(&is, found) - original(&was, found))), ..e }),
        }
    };
    Ok((1..).zip(moved).map(line).collect())
}
