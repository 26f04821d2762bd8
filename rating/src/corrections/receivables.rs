//! What a customer owes by its documents and payments (FN-03, FN-04): a statement between two instants, open invoices and their age.
//! Calls that are rated and not invoiced are not in it; the ledger's balance is both.
//!
//! **Which payment pays what.** Nobody says so, so payments and adjustments pay the oldest invoice first, by due day, then by the order they
//! were issued in; a credit note takes from its own invoice. What is left over is a credit (`unallocated`).
//!
//! Disputes count as they stand now, whatever day is asked about.

use thiserror::Error;
use tollgate_schemas::{money::parse_scaled, time::format_rfc3339};

use super::{
    books::{Books, Document},
    dispute::Dispute,
    journal,
    statement::{Ageing, Entry, Open, Statement, ageing, statement},
};

/// What pays invoices; deposits are kept beside.
const PAYS: [&str; 2] = ["payment", "adjustment"];

/// One customer in one currency.
#[derive(Clone, Copy)]
pub struct Customer<'a> {
    pub books: &'a Books,
    /// None: nothing was ever booked for it.
    pub journal: Option<&'a journal::Account>,
    pub account: &'a str,
    pub currency: &'a str,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("payments up to {until} are kept as their sum only: ask from then on")]
pub struct NotKept {
    until: String,
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub at_us: i64,
    /// `invoice`, `credit_note`, `debit_note`, `payment` or `adjustment`.
    pub kind: String,
    /// A document's number, a payment's id as it was given out.
    pub number: String,
    /// Of a payment: the payer's or bank's own; empty = none.
    pub reference: String,
    /// A note's invoice, a payment's reason.
    pub about: String,
    /// What it changes of what is owed, 1e-8.
    pub amount_e8: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub sums: Statement,
    /// By time.
    pub rows: Vec<Row>,
    /// Invoice, dispute, amount.
    pub disputes: Vec<(String, String, i64)>,
    /// Kept for the customer at the end, not part of the closing balance.
    pub deposits_e8: i64,
}

/// An invoice with something left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInvoice {
    pub number: String,
    pub due: String,
    pub total_e8: i64,
    /// With its notes and what was paid.
    pub open: Open,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aged {
    pub ageing: Ageing,
    /// Oldest due day first.
    pub invoices: Vec<OpenInvoice>,
    /// Paid beyond all invoices, in the customer's favour; negative: owed beside invoices.
    pub unallocated_e8: i64,
}

impl Aged {
    /// Everything owed by documents.
    pub fn owed_e8(&self) -> i64 {
        self.ageing.total_e8().saturating_sub(self.unallocated_e8)
    }
}

/// Days since 1970 of `yyyy-mm-dd`.
pub fn day_number(text: &str) -> Option<i64> {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some((day - chrono::NaiveDate::default()).num_days())
}

impl<'a> Customer<'a> {
    fn documents(&self) -> impl Iterator<Item = &'a Document> + use<'a> {
        let (account, currency) = (self.account, self.currency);
        self.books.documents().filter(move |d| d.account == account && d.currency == currency)
    }

    /// Disputes about one of its invoices that are not settled, with what is disputed.
    fn disputed(&self) -> Vec<(String, &'a Dispute, i64)> {
        let own = self.books.disputes().filter(|(_, _, d)| d.account == self.account && d.currency == self.currency && d.is_open());
        own.map(|(_, _, d)| (d.invoice.clone(), d, parse_scaled(&d.amount_disputed, 8).unwrap_or(0))).collect()
    }

    /// Sum of what was booked before an instant, in the customer's favour.
    fn booked_e8(&self, kinds: &[&str], before_us: i64) -> i64 {
        let Some(journal) = self.journal else { return 0 };
        let kept = journal.movements().filter(|m| m.at_us < before_us && m.currency == self.currency && kinds.contains(&m.kind.as_str()));
        kept.fold(journal.older_e8(kinds, self.currency), |sum, m| sum.saturating_add(m.amount_e8))
    }

    /// From an instant on, up to another that is not in it.
    pub fn statement(&self, from_us: i64, until_us: i64) -> Result<View, NotKept> {
        if let Some(known_us) = self.journal.and_then(journal::Account::known_since_us).filter(|known| from_us <= *known) {
            return Err(NotKept { until: format_rfc3339(known_us) });
        }
        let before = self.documents().filter(|d| d.issued_us < from_us).map(Document::signed_e8);
        let opening_e8 = before.fold(0i64, i64::saturating_add).saturating_sub(self.booked_e8(&PAYS, from_us));
        let inside = |at_us: i64| from_us <= at_us && at_us < until_us;
        let of_document = |d: &Document| Row {
            at_us: d.issued_us,
            kind: if d.kind == "invoice" { d.kind.clone() } else { format!("{}_note", d.kind) },
            number: d.name(),
            reference: String::new(),
            about: d.invoice.as_ref().map_or(String::new(), |(series, number)| format!("{series}-{number}")),
            amount_e8: d.signed_e8(),
        };
        let mut rows: Vec<Row> = self.documents().filter(|d| inside(d.issued_us)).map(of_document).collect();
        let movements = self.journal.into_iter().flat_map(journal::Account::movements);
        let own = movements.filter(|m| inside(m.at_us) && m.currency == self.currency && PAYS.contains(&m.kind.as_str()));
        rows.extend(own.map(|m| Row {
            at_us: m.at_us,
            kind: m.kind.clone(),
            number: m.payment.to_string(),
            reference: m.reference.clone(),
            about: m.reason.clone(),
            amount_e8: m.amount_e8.saturating_neg(),
        }));
        rows.sort_by(|a, b| (a.at_us, &a.kind, &a.number).cmp(&(b.at_us, &b.kind, &b.number)));
        let entries: Vec<Entry> = rows
            .iter()
            .map(|row| match row.kind.as_str() {
                "invoice" => Entry::Invoice(row.amount_e8),
                "debit_note" => Entry::DebitNote(row.amount_e8),
                "credit_note" => Entry::CreditNote(row.amount_e8.saturating_neg()),
                _ => Entry::Payment(row.amount_e8.saturating_neg()),
            })
            .collect();
        let disputes: Vec<_> = self.disputed().into_iter().map(|(invoice, d, e8)| (invoice, d.id.clone(), e8)).collect();
        let disputed = disputes.iter().fold(0i64, |sum, (.., e8)| sum.saturating_add(*e8));
        let deposits_e8 = self.booked_e8(&["deposit"], until_us);
        Ok(View { sums: statement(opening_e8, &entries, disputed), rows, disputes, deposits_e8 })
    }

    /// What was open before an instant, by age on a day (since 1970).
    pub fn aged(&self, until_us: i64, today: i64) -> Aged {
        let before = || self.documents().filter(move |d| d.issued_us < until_us);
        let due = |d: &Document| {
            let due = serde_json::from_str::<serde_json::Value>(&d.json).ok().and_then(|v| v["due"].as_str().map(str::to_owned)).unwrap_or_default();
            // One without a due day is due when it is issued.
            (day_number(&due).unwrap_or(d.issued_us.div_euclid(86_400_000_000)), due)
        };
        let mut invoices: Vec<(i64, i64, OpenInvoice)> = before()
            .filter(|d| d.kind == "invoice")
            .map(|d| {
                let notes = before().filter(|n| n.invoice.as_ref().is_some_and(|(series, number)| *series == d.series && *number == d.number));
                let amount_e8 = notes.map(Document::signed_e8).fold(d.total_e8, i64::saturating_add);
                let (due_day, due) = due(d);
                (due_day, d.issued_us, OpenInvoice { number: d.name(), due, total_e8: d.total_e8, open: Open { due_day, amount_e8, disputed_e8: 0 } })
            })
            .collect();
        invoices.sort_by(|a, b| (a.0, a.1, &a.2.number).cmp(&(b.0, b.1, &b.2.number)));
        let mut invoices: Vec<OpenInvoice> = invoices.into_iter().map(|(.., i)| i).collect();
        let mut left_e8 = self.booked_e8(&PAYS, until_us);
        // A credit invoice gives what it has to the others.
        for invoice in invoices.iter_mut().filter(|i| i.open.amount_e8 < 0) {
            left_e8 = left_e8.saturating_sub(std::mem::take(&mut invoice.open.amount_e8));
        }
        for invoice in &mut invoices {
            let paid = left_e8.clamp(0, invoice.open.amount_e8);
            invoice.open.amount_e8 -= paid;
            left_e8 -= paid;
        }
        for (number, _, e8) in self.disputed() {
            if let Some(invoice) = invoices.iter_mut().find(|i| i.number == number) {
                invoice.open.disputed_e8 = invoice.open.disputed_e8.saturating_add(e8).min(invoice.open.amount_e8);
            }
        }
        invoices.retain(|i| i.open.amount_e8 != 0);
        let open: Vec<Open> = invoices.iter().map(|i| i.open).collect();
        Aged { ageing: ageing(&open, today), invoices, unallocated_e8: left_e8 }
    }
}

#[cfg(test)]
mod tests;
