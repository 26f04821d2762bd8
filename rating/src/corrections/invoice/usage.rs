//! Calls added up for a bill: by destination and rate, fees by name.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_schemas::{cdr::Cdr, id::Id, money::parse_scaled, terms::USAGE};

use super::{Line, Section, is_billed, rate_text};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    calls: u64,
    billed_s: u64,
    amount_e8: i128,
}

/// A period's calls in one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    by_rate: BTreeMap<(String, i64), Sum>,
    fees: BTreeMap<String, Sum>,
    /// Ids of its calls, where they are wanted.
    pub calls: Vec<String>,
    /// Calls seen, billed or not.
    pub rows: u64,
}

impl Usage {
    /// Takes a call's final. Calls that cost nothing and were not answered are no line.
    pub fn add(&mut self, row: &Cdr) {
        self.rows += 1;
        if !is_billed(row) {
            return;
        }
        let fees = fees(row);
        let of_fees: i64 = fees.iter().fold(0, |sum, (_, amount)| sum.saturating_add(*amount));
        for (name, amount_e8) in fees {
            let sum = self.fees.entry(name).or_default();
            sum.calls += 1;
            sum.amount_e8 += i128::from(amount_e8);
        }
        let used = row.sell_amount.saturating_sub(of_fees);
        if used == 0 && row.billed_sec_sell == 0 {
            return;
        }
        let sum = self.by_rate.entry((row.b_dest_group.clone(), row.sell_rate.unwrap_or(0))).or_default();
        sum.calls += 1;
        sum.billed_s += row.billed_sec_sell;
        sum.amount_e8 += i128::from(used);
    }

    /// As [`Usage::add`], and remembers which call it was.
    pub fn add_named(&mut self, row: &Cdr) {
        self.add(row);
        self.calls.push(Id::of(&row.call_uuid).to_string());
    }

    pub fn amount_e8(&self) -> i128 {
        self.by_rate.values().chain(self.fees.values()).map(|s| s.amount_e8).sum()
    }

    pub(super) fn lines(&self, section: Section, date: &str) -> Vec<(Line, i128)> {
        let line = |((destination, rate_e12), sum): (&(String, i64), &Sum)| {
            let line = Line {
                section: Some(section),
                description: if date.is_empty() { "calls".to_owned() } else { format!("calls of {date}, known after its invoice") },
                destination: destination.clone(),
                rate: rate_text(*rate_e12),
                calls: Some(sum.calls),
                minutes: minutes(sum.billed_s),
                original_date: date.to_owned(),
                ..Line::default()
            };
            (line, sum.amount_e8)
        };
        self.by_rate.iter().map(line).collect()
    }

    pub(super) fn fee_lines(&self, date: &str) -> Vec<(Line, i128)> {
        let line = |(name, sum): (&String, &Sum)| {
            (Line { section: Some(Section::Fees), description: name.clone(), calls: Some(sum.calls), original_date: date.to_owned(), ..Line::default() }, sum.amount_e8)
        };
        self.fees.iter().map(line).collect()
    }
}

/// Billed minutes to the hundredth, rounded half up.
fn minutes(billed_s: u64) -> String {
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
