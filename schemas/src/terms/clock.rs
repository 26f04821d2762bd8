//! Which time band holds at a second of a call, and until when.
//!
//! A band holds whenever the clock on the tariff's wall says so: its days and its times of day are read off the local time
//! of the instant, so a day of 23 or 25 hours needs no rule of its own. In the hour that comes twice a band holds twice; a
//! band that would begin in the hour that is left out begins when that hour would have ended, and one that lies within it does not
//! hold that day.

use std::cmp::Reverse;

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

use crate::v1::{Terms, TimeBand};

/// From so far into a call on, what is then in force holds for the rest of it: no call is that long, and a charge must end.
pub const FREEZE_S: u64 = 400 * DAY_S as u64;

const DAY_S: i64 = 86_400;
/// 1970-01-01, as days of the common era, and as a day of the week counted from Monday.
const EPOCH_CE: i64 = 719_163;
const EPOCH_WEEKDAY: i64 = 3;

/// The bands of a call.
pub(super) struct Clock<'t> {
    bands: &'t [TimeBand],
    zone: Tz,
    /// The answer, cut to seconds; bands change at whole ones.
    answer_s: i64,
    /// What was cut.
    rest_us: i64,
}

impl<'t> Clock<'t> {
    /// A zone that is not of the IANA list counts as UTC; decks with one are refused.
    pub fn new(terms: &'t Terms, answer_us: i64) -> Clock<'t> {
        let zone = if terms.bands.is_empty() { Tz::UTC } else { terms.timezone.parse().unwrap_or(Tz::UTC) };
        Clock { bands: &terms.bands, zone, answer_s: answer_us.div_euclid(1_000_000), rest_us: answer_us.rem_euclid(1_000_000) }
    }

    /// The band in force `position` seconds after the answer, and the first later position at which that may be another.
    pub fn at(&self, position: u64) -> (Option<&'t TimeBand>, u64) {
        if self.bands.is_empty() {
            return (None, u64::MAX);
        }
        let frozen = position >= FREEZE_S;
        let position = position.min(FREEZE_S);
        let at_s = self.answer_s.saturating_add(position as i64);
        let local_s = at_s.saturating_add(self.offset(at_s));
        let (day, time_s) = (Day::of(local_s.div_euclid(DAY_S)), local_s.rem_euclid(DAY_S));
        let yesterday = Day::of(day.number - 1);

        let mut best: Option<(_, &TimeBand)> = None;
        let mut change_s = DAY_S;
        let mut until = u64::MAX;
        for (at, band) in self.bands.iter().enumerate() {
            let from = self.from_position(band);
            if position < from {
                until = until.min(from);
                continue;
            }
            for edge in [i64::from(band.from_s), i64::from(band.to_s)] {
                if edge > time_s {
                    change_s = change_s.min(edge);
                }
            }
            if let Some(began_s) = began(band, &day, &yesterday, time_s) {
                let rank = (band.from_us, band.weight, began_s, Reverse(at));
                if best.is_none_or(|(other, _)| rank > other) {
                    best = Some((rank, band));
                }
            }
        }
        let band = best.map(|(_, band)| band);
        if frozen {
            return (band, u64::MAX);
        }
        let ahead = self.ahead(at_s, change_s - time_s);
        (band, until.min(position + ahead).min(FREEZE_S))
    }

    /// The position a band's price list comes into force at.
    fn from_position(&self, band: &TimeBand) -> u64 {
        if band.from_us == 0 {
            return 0;
        }
        let after_us = i128::from(band.from_us) - i128::from(self.rest_us) - i128::from(self.answer_s) * 1_000_000;
        u64::try_from(after_us.max(0)).map_or(u64::MAX, |us| us.div_ceil(1_000_000))
    }

    /// Seconds until the wall shows `wall_s` more, or until it is put forward or back, whichever comes first.
    fn ahead(&self, at_s: i64, wall_s: i64) -> u64 {
        let offset = self.offset(at_s);
        let (mut same, mut other) = (0, wall_s - 1);
        if self.offset(at_s.saturating_add(other)) == offset {
            return wall_s as u64;
        }
        // One change at most within a day.
        while other - same > 1 {
            let middle = (same + other) / 2;
            if self.offset(at_s + middle) == offset { same = middle } else { other = middle }
        }
        other as u64
    }

    /// Seconds east of UTC; 0 beyond the years there are.
    fn offset(&self, at_s: i64) -> i64 {
        if self.zone == Tz::UTC {
            return 0;
        }
        let utc = DateTime::from_timestamp(at_s, 0).unwrap_or_default().naive_utc();
        self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc().into()
    }
}

/// A day of the tariff's zone.
struct Day {
    /// Since 1970-01-01.
    number: i64,
    weekday: u32,
    /// Bits of [`TimeBand`], and `yyyymmdd`.
    month: u32,
    month_day: u32,
    date: u32,
}

impl Day {
    fn of(number: i64) -> Day {
        let weekday = 1 << (number + EPOCH_WEEKDAY).rem_euclid(7);
        let date = i32::try_from(number + EPOCH_CE).ok().and_then(NaiveDate::from_num_days_from_ce_opt).unwrap_or_default();
        let year = u32::try_from(date.year()).unwrap_or(0);
        Day {
            number,
            weekday,
            month: 1 << date.month0(),
            month_day: 1 << date.day0(),
            date: year.saturating_mul(10_000) + date.month() * 100 + date.day(),
        }
    }

    fn is_of(&self, band: &TimeBand) -> bool {
        (band.weekdays == 0 || band.weekdays & self.weekday != 0)
            && (band.months == 0 || band.months & self.month != 0)
            && (band.month_days == 0 || band.month_days & self.month_day != 0)
            && (band.dates.is_empty() || band.dates.contains(&self.date))
    }
}

/// When the band that holds at this time of the day began, in seconds of the day; below 0: the day before. A band whose end
/// is not after its start lasts over midnight and is of the day it begins on.
fn began(band: &TimeBand, day: &Day, yesterday: &Day, time_s: i64) -> Option<i64> {
    let (from, to) = (i64::from(band.from_s), i64::from(band.to_s));
    let over_midnight = to != 0 && to <= from;
    if time_s >= from && (to == 0 || over_midnight || time_s < to) && day.is_of(band) {
        Some(from)
    } else if over_midnight && time_s < to && yesterday.is_of(band) {
        Some(from - DAY_S)
    } else {
        None
    }
}
