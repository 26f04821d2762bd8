//! Calls added up for a bill: by destination and rate, fees by name.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_schemas::{
    cdr::Cdr,
    id::Id,
    money::{format_amount, format_rate, parse_scaled},
    terms::USAGE,
};

use super::{Exchanged, Line, Section, is_billed, narrow};
use crate::fx::{self, Used};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    calls: u64,
    billed_s: u64,
    amount_e8: i128,
    /// In the calls' own currency.
    original_e8: i128,
}

impl Sum {
    fn add(&mut self, e8: i64, at: Option<&Used>) {
        self.calls += 1;
        self.original_e8 += i128::from(e8);
        self.amount_e8 += i128::from(at.map_or(e8, |at| fx::convert(e8, at.rate_e12)));
    }
}

/// Currency, rate, source and day of what was converted: one line each.
type At = Option<(String, i64, String, String)>;

/// Whose calls: an account below the invoice's; empty = its own.
type Below = String;
/// Whose, destination and rate.
type ByRate = (Below, String, i64, At);
/// Whose, and the fee's name.
type Fee = (Below, String, At);

/// A period's calls, in the currency of an invoice. Rows are as [`tollgate_schemas::tiers::paid_by`] gives them for its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    account: String,
    by_rate: BTreeMap<ByRate, Sum>,
    fees: BTreeMap<Fee, Sum>,
    /// Ids of its calls, where they are wanted.
    pub calls: Vec<String>,
    /// Calls seen, billed or not.
    pub rows: u64,
}

impl Usage {
    /// Of calls that this account pays for.
    pub fn of(account: &str) -> Usage {
        Usage { account: account.to_owned(), by_rate: BTreeMap::new(), fees: BTreeMap::new(), calls: Vec::new(), rows: 0 }
    }

    /// Takes a call's final that is in the invoice's currency. Calls that cost nothing and were not answered are no line.
    pub fn add(&mut self, row: &Cdr) {
        self.add_at(row, None);
    }

    /// As [`Usage::add`], of a call that is converted at this rate.
    pub fn add_at(&mut self, row: &Cdr, at: Option<&Used>) {
        self.rows += 1;
        if !is_billed(row) {
            return;
        }
        let key = || at.map(|at| (row.sell_currency.clone(), at.rate_e12, at.source.clone(), at.date.clone()));
        let below = || if row.account == self.account { Below::new() } else { row.account.clone() };
        let (used_e8, fees) = billed(row);
        for (name, amount_e8) in fees {
            self.fees.entry((below(), name, key())).or_default().add(amount_e8, at);
        }
        if used_e8 == 0 && row.billed_sec_sell == 0 {
            return;
        }
        let sum = self.by_rate.entry((below(), row.b_dest_group.clone(), row.sell_rate.unwrap_or(0), key())).or_default();
        sum.add(used_e8, at);
        sum.billed_s += row.billed_sec_sell;
    }

    /// As [`Usage::add_at`], and remembers which call it was.
    pub fn add_named(&mut self, row: &Cdr, at: Option<&Used>) {
        self.add_at(row, at);
        self.calls.push(Id::of(&row.call_uuid).to_string());
    }

    pub fn amount_e8(&self) -> i128 {
        self.by_rate.values().chain(self.fees.values()).map(|s| s.amount_e8).sum()
    }

    pub(super) fn lines(&self, section: Section, date: &str) -> Vec<(Line, i128)> {
        let line = |((below, destination, rate_e12, at), sum): (&ByRate, &Sum)| {
            let line = Line {
                section: Some(section),
                description: if date.is_empty() { "calls".to_owned() } else { format!("calls of {date}, known after its invoice") },
                sub_account: below.clone(),
                destination: destination.clone(),
                rate: format_rate(*rate_e12),
                calls: Some(sum.calls),
                minutes: minutes(sum.billed_s),
                original_date: date.to_owned(),
                exchanged: exchanged(at, sum),
                ..Line::default()
            };
            (line, sum.amount_e8)
        };
        self.by_rate.iter().map(line).collect()
    }

    pub(super) fn fee_lines(&self, date: &str) -> Vec<(Line, i128)> {
        let line = |((below, name, at), sum): (&Fee, &Sum)| {
            let line = Line {
                section: Some(Section::Fees),
                description: name.clone(),
                sub_account: below.clone(),
                calls: Some(sum.calls),
                original_date: date.to_owned(),
                exchanged: exchanged(at, sum),
                ..Line::default()
            };
            (line, sum.amount_e8)
        };
        self.fees.iter().map(line).collect()
    }
}

fn exchanged(at: &At, sum: &Sum) -> Option<Exchanged> {
    let (currency, rate_e12, source, date) = at.clone()?;
    Some(Exchanged { currency, amount: format_amount(narrow(sum.original_e8)), rate: format_rate(rate_e12), source, date })
}

/// What a row's usage came to, and its fees by name.
pub(super) fn billed(row: &Cdr) -> (i64, Vec<(String, i64)>) {
    let fees = fees(row);
    let of_fees: i64 = fees.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount));
    (row.sell_amount.saturating_sub(of_fees), fees)
}

/// Billed minutes to the hundredth, rounded half up.
pub(super) fn minutes(billed_s: u64) -> String {
    let hundredths = (u128::from(billed_s) * 100 + 30) / 60;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Fees of a row by name (C-084): its charge lines but the usage.
fn fees(row: &Cdr) -> Vec<(String, i64)> {
    if row.sell_lines.is_empty() {
        return Vec::new();
    }
    let lines: Vec<Value> = serde_json::from_str(&row.sell_lines).unwrap_or_default();
    let fee = |line: &Value| {
        let name = line["name"].as_str().filter(|n| *n != USAGE)?;
        Some((name.to_owned(), parse_scaled(line["amount"].as_str()?, 8).ok()?))
    };
    lines.iter().filter_map(fee).collect()
}

/// How a call's row differs between two positions of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference<R> {
    /// It was not there then.
    Late(R),
    /// It was, and is another now: as it was, as it is.
    Changed(R, R),
    Same(R),
}

/// Walks two lists of rows of the same time, each newest first as stores give them, and tells what became of each call that is
/// there now. Rows that were there and are not (a version that moved in time) are told as changed to nothing by neither.
pub fn differences<R: AsRef<Cdr>>(then: impl IntoIterator<Item = R>, now: impl IntoIterator<Item = R>, mut tell: impl FnMut(Difference<R>)) {
    let key = |r: &R| tollgate_schemas::store::RowKey::of(r.as_ref());
    let mut then = then.into_iter().peekable();
    for new in now {
        // Newest first: what is newer in the old list is no longer there.
        while then.peek().is_some_and(|old| key(old) > key(&new)) {
            then.next();
        }
        match then.peek().is_some_and(|old| key(old) == key(&new)) {
            true => {
                let Some(old) = then.next() else { continue };
                if old.as_ref().cdr_version == new.as_ref().cdr_version { tell(Difference::Same(new)) } else { tell(Difference::Changed(old, new)) }
            }
            false => tell(Difference::Late(new)),
        }
    }
}
