//! Calls in another currency than the invoice's: each at the rate of the UTC day of its answer, which the invoice keeps. Where
//! there is none nothing is converted, and that is said with day and pair.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use thiserror::Error;
use tollgate_schemas::{
    cdr::Cdr,
    money::{RATE_PLACES, format_rate, parse_scaled},
};

use super::{DayRate, day};
use crate::fx::{Fx, Used};

#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("calls answered on {day} are in {from}, and there is no rate of {from}/{to} for that day nor the 7 before: provision one (kind fx_rate)")]
pub struct NoRate {
    pub from: String,
    pub to: String,
    pub day: String,
}

/// Rates into one currency, as they are asked for.
pub struct Exchange<'f> {
    to: String,
    fx: &'f Fx,
    /// By currency and day of the answer; None: there is none.
    known: BTreeMap<(String, String), Option<Used>>,
}

impl<'f> Exchange<'f> {
    /// `before`: what an invoice that is followed was made at; it goes before the tables.
    pub fn new(to: &str, fx: &'f Fx, before: &[DayRate]) -> Exchange<'f> {
        let used = |r: &DayRate| Some(Used { rate_e12: parse_scaled(&r.rate, RATE_PLACES).ok()?, source: r.source.clone(), date: r.date.clone() });
        let known = before.iter().map(|r| ((r.from.clone(), r.answered.clone()), used(r))).collect();
        Exchange { to: to.to_owned(), fx, known }
    }

    /// What a row is converted at; None: it is in this currency.
    pub fn of(&mut self, row: &Cdr) -> Result<Option<&Used>, NoRate> {
        if row.sell_currency == self.to {
            return Ok(None);
        }
        let at_us = row.answer_ts.unwrap_or(row.invite_ts);
        let answered = day(at_us, Tz::UTC);
        let found = self.known.entry((row.sell_currency.clone(), answered)).or_insert_with(|| self.fx.rate(&row.sell_currency, &self.to, at_us));
        match found {
            Some(used) => Ok(Some(used)),
            None => Err(NoRate { from: row.sell_currency.clone(), to: self.to.clone(), day: day(at_us, Tz::UTC) }),
        }
    }

    /// Every rate that was asked for, for the invoice to keep.
    pub fn days(&self) -> Vec<DayRate> {
        let day = |((from, answered), used): (&(String, String), &Option<Used>)| {
            let used = used.as_ref()?;
            Some(DayRate { from: from.clone(), answered: answered.clone(), rate: format_rate(used.rate_e12), source: used.source.clone(), date: used.date.clone() })
        };
        self.known.iter().filter_map(day).collect()
    }
}
