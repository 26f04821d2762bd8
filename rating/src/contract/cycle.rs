//! Which contract holds over an invoice's period, and how much of a cycle that is. A period of which only a part is under a
//! contract, or which is not the contract's cycle, is refused: amounts of a cycle have no meaning there.

use chrono::{Datelike, Days, Months, NaiveDate};
use chrono_tz::Tz;
use thiserror::Error;

use super::Contract;
use crate::corrections::invoice::instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    Month,
    /// From the 1st to the 15th, and the rest.
    HalfMonth,
    /// From Monday.
    Week,
    /// Any period.
    Invoice,
}

impl Cycle {
    pub const WORDS: [(&str, Cycle); 4] = [("month", Cycle::Month), ("half_month", Cycle::HalfMonth), ("week", Cycle::Week), ("invoice", Cycle::Invoice)];

    fn name(self) -> &'static str {
        Cycle::WORDS.iter().find(|(_, c)| *c == self).map_or("", |(word, _)| word)
    }

    /// The cycle a day is in, its end not in it; None for any period.
    fn around(self, day: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
        let first = day.with_day(1)?;
        match self {
            Cycle::Month => Some((first, first.checked_add_months(Months::new(1))?)),
            Cycle::HalfMonth if day.day() < 16 => Some((first, first.with_day(16)?)),
            Cycle::HalfMonth => Some((first.with_day(16)?, first.checked_add_months(Months::new(1))?)),
            Cycle::Week => {
                let monday = day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into()))?;
                Some((monday, monday.checked_add_days(Days::new(7))?))
            }
            Cycle::Invoice => None,
        }
    }
}

/// Days of a cycle that a contract holds, of how many: 1 of 1 where it holds whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub days: u32,
    pub of: u32,
}

impl Share {
    pub const WHOLE: Share = Share { days: 1, of: 1 };
}

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadPeriod {
    #[error("contract '{contract}' {what} on {day}, within the period: make an invoice up to that day and one from it on")]
    Cut { contract: String, what: &'static str, day: NaiveDate },
    #[error("contract '{contract}' counts by {cycle}: the invoice that begins then is {from} to {until}")]
    NoCycle { contract: String, cycle: &'static str, from: NaiveDate, until: NaiveDate },
}

/// The contract of these that holds over a period, with its share; None where none does. All of one account, none at the same
/// time as another.
pub fn in_force<'c>(contracts: impl IntoIterator<Item = &'c Contract>, from_us: i64, until_us: i64, zone: Tz) -> Result<Option<(&'c Contract, Share)>, BadPeriod> {
    // A day no zone has ends nothing.
    let begins = |day: NaiveDate| instant(&day.to_string(), zone).unwrap_or(i64::MAX);
    for contract in contracts {
        let (first, end) = (contract.from.map_or(i64::MIN, begins), contract.until.map_or(i64::MAX, begins));
        if until_us <= first || end <= from_us {
            continue;
        }
        for (what, day, at) in [("begins", contract.from, first), ("ends", contract.until, end)] {
            if let Some(day) = day.filter(|_| from_us < at && at < until_us) {
                return Err(BadPeriod::Cut { contract: contract.name.clone(), what, day });
            }
        }
        return share(contract, from_us, until_us, zone, &begins).map(|share| Some((contract, share)));
    }
    Ok(None)
}

fn share(contract: &Contract, from_us: i64, until_us: i64, zone: Tz, begins: &dyn Fn(NaiveDate) -> i64) -> Result<Share, BadPeriod> {
    let day = chrono::DateTime::from_timestamp_micros(from_us).map(|t| t.with_timezone(&zone).date_naive());
    let Some((first, end)) = day.and_then(|d| contract.cycle.around(d)) else { return Ok(Share::WHOLE) };
    let from = contract.from.map_or(first, |day| day.max(first));
    let until = contract.until.map_or(end, |day| day.min(end));
    if (begins(from), begins(until)) != (from_us, until_us) {
        return Err(BadPeriod::NoCycle { contract: contract.name.clone(), cycle: contract.cycle.name(), from, until });
    }
    let days = |a: NaiveDate, b: NaiveDate| u32::try_from((b - a).num_days()).unwrap_or(0);
    let share = Share { days: days(from, until), of: days(first, end) };
    Ok(if !contract.prorates || share.days == share.of { Share::WHOLE } else { share })
}
