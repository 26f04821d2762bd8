//! Dates as sheets write them. Day and month are told apart by the file as a whole, or by its maker; never guessed.

use chrono::{Datelike, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike};
use chrono_tz::Tz;
use tollgate_schemas::time::parse_rfc3339;

use super::{cell::Value, mapping::DateOrder};

/// From when a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Start {
    /// At once: the instant of the import.
    Now,
    /// UTC microseconds.
    At(i64),
}

/// First and last serial day a spreadsheet's number is taken for: 2000 to 2099.
const SERIALS: std::ops::Range<f64> = 36_526.0..73_051.0;

/// What a cell says of day and month.
pub(super) fn evidence(value: &Value) -> Option<DateOrder> {
    let Value::Text(text) = value else { return None };
    let (a, b, sep) = numeric(text)?;
    match () {
        // Nobody writes 12.31.2026.
        () if sep == '.' || (a > 12 && b <= 12) => Some(DateOrder::Dmy),
        () if b > 12 && a <= 12 => Some(DateOrder::Mdy),
        () => None,
    }
}

/// First and second number and the sign between, of a date that ends in a year.
fn numeric(text: &str) -> Option<(u32, u32, char)> {
    let day = text.split([' ', 'T']).next()?;
    let sep = day.chars().find(|c| matches!(c, '/' | '-' | '.'))?;
    let parts: Vec<&str> = day.split(sep).collect();
    let [a, b, year] = parts.as_slice() else { return None };
    let short = |p: &&str| (1..=2).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
    let year_ok = matches!(year.len(), 2 | 4) && year.bytes().all(|b| b.is_ascii_digit());
    (short(a) && short(b) && year_ok).then(|| (a.parse().unwrap_or(0), b.parse().unwrap_or(0), sep))
}

/// A date read, whether it was a bare serial number, and whether it is a day without a time.
pub(super) struct Read {
    pub start: Start,
    pub serial: bool,
    pub day: bool,
}

/// `order`: the file's, where it is known. `through`: of an end, that a day without a time (or its last minute or second) is the last
/// one. `None`: the cell is blank.
pub(super) fn read(value: &Value, order: Option<DateOrder>, zone: Tz, epoch_1904: bool, through: bool) -> Result<Option<Read>, String> {
    let timed = |local: NaiveDateTime, serial, day: bool| {
        let last = local.hour() == 23 && local.minute() == 59 && matches!(local.second(), 0 | 59);
        let local = if through && (day || last) { local.date().succ_opt().unwrap_or(local.date()).and_time(NaiveTime::MIN) } else { local };
        let us = instant(local, zone).ok_or_else(|| format!("{local} does not exist in {zone}"))?;
        Ok(Some(Read { start: Start::At(us), serial, day }))
    };
    // A spreadsheet's days are instants at midnight.
    let at = |local: NaiveDateTime, serial| timed(local, serial, local.time() == NaiveTime::MIN);
    match value {
        Value::Empty => Ok(None),
        Value::Error(text) => Err(format!("the formula's value is {text}: mend it, or enter the date itself")),
        Value::Date(date) => at(*date, false),
        Value::Number(bits) | Value::Shown(bits, _) => match serial(f64::from_bits(*bits), epoch_1904).or_else(|| compact(f64::from_bits(*bits))) {
            Some(date) => at(date, true),
            None => Err(format!("'{value}' is a number, not a date: format the column as dates")),
        },
        Value::Text(text) => {
            if matches!(text.to_lowercase().as_str(), "now" | "immediate" | "immediately" | "asap" | "today" | "sofort") {
                return Ok(Some(Read { start: Start::Now, serial: false, day: false }));
            }
            if let Ok(us) = parse_rfc3339(text) {
                return Ok(Some(Read { start: Start::At(us), serial: false, day: false }));
            }
            if let Some(date) = text.parse::<f64>().ok().filter(|_| text.len() < 8 || text.contains('.')).and_then(|n| serial(n, epoch_1904)) {
                return at(date, true);
            }
            timed(local(text, order)?, false, split_time(text).1.is_empty())
        }
    }
}

/// Days since the workbook's epoch; the fraction is the time.
fn serial(number: f64, epoch_1904: bool) -> Option<NaiveDateTime> {
    let number = if epoch_1904 { number + 1462.0 } else { number };
    if !SERIALS.contains(&number) {
        return None;
    }
    let epoch = NaiveDate::from_ymd_opt(1899, 12, 30)?.and_time(NaiveTime::MIN);
    let seconds = (number.fract() * 86_400.0).round() as i64;
    epoch.checked_add_signed(Duration::days(number.trunc() as i64))?.checked_add_signed(Duration::seconds(seconds))
}

/// 20261201 as a number.
fn compact(number: f64) -> Option<NaiveDateTime> {
    let ok = number.fract() == 0.0 && (20_000_101.0..21_000_101.0).contains(&number);
    ok.then(|| NaiveDate::parse_from_str(&format!("{number}"), "%Y%m%d").ok()).flatten().map(|d| d.and_time(NaiveTime::MIN))
}

const FORMS: &str = "want YYYY-MM-DD, DD.MM.YYYY, DD-Mon-YYYY, YYYYMMDD or RFC 3339";

fn local(text: &str, order: Option<DateOrder>) -> Result<NaiveDateTime, String> {
    let (day, time) = split_time(text);
    let time = match time {
        "" => NaiveTime::MIN,
        time => clock(time).ok_or_else(|| format!("'{text}': '{time}' is not a time of day"))?,
    };
    Ok(calendar(day, order).map_err(|e| format!("'{text}' {e}"))?.and_time(time))
}

/// `2026-12-01 00:00`, `12/1/2026 12:00 AM`: the time begins at the first word with a colon.
fn split_time(text: &str) -> (&str, &str) {
    let Some(colon) = text.find(':') else { return (text.trim(), "") };
    let at = text[..colon].rfind([' ', 'T']);
    at.map_or((text.trim(), ""), |at| (text[..at].trim_end_matches(',').trim(), text[at + 1..].trim()))
}

fn clock(text: &str) -> Option<NaiveTime> {
    let text = text.trim_end_matches(['Z', 'z']).trim_end_matches("UTC").trim_end_matches("GMT").trim();
    let upper = text.to_uppercase();
    ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M%p"].iter().find_map(|form| NaiveTime::parse_from_str(&upper, form).ok())
}

fn calendar(text: &str, order: Option<DateOrder>) -> Result<NaiveDate, String> {
    let none = || format!("is not a date: {FORMS}");
    let whole = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    if whole(text) && text.len() == 8 {
        return NaiveDate::parse_from_str(text, "%Y%m%d").map_err(|_| none());
    }
    let parts: Vec<&str> = text.split(|c: char| matches!(c, '/' | '-' | '.' | ' ' | ',')).filter(|p| !p.is_empty()).collect();
    let year = |t: &str| match (whole(t), t.len()) {
        (true, 4) => t.parse().ok(),
        (true, 2) => t.parse::<i32>().ok().map(|y| y + 2000),
        _ => None,
    };
    let make = |y: Option<i32>, m: u32, d: u32| y.and_then(|y| NaiveDate::from_ymd_opt(y, m, d)).filter(|d| (1990..2200).contains(&d.year())).ok_or_else(none);
    let small = |t: &str| t.trim_end_matches("st").trim_end_matches("nd").trim_end_matches("rd").trim_end_matches("th").parse::<u32>().ok().filter(|_| t.len() <= 4).ok_or_else(none);
    match parts.as_slice() {
        [y, m] if y.len() == 4 && whole(m) => make(year(y), small(m)?, 1),
        [y, m, d] if y.len() == 4 && whole(y) => match month(m) {
            Some(m) => make(year(y), m, small(d)?),
            None => make(year(y), small(m)?, small(d)?),
        },
        [a, b, y] => match (month(a), month(b)) {
            (Some(m), None) => make(year(y), m, small(b)?),
            (None, Some(m)) => make(year(y), m, small(a)?),
            _ => {
                let (a, b) = (small(a)?, small(b)?);
                let order = if text.contains('.') { Some(DateOrder::Dmy) } else { order };
                match order {
                    _ if a == b => make(year(y), a, b),
                    Some(DateOrder::Dmy) => make(year(y), b, a),
                    Some(DateOrder::Mdy) => make(year(y), a, b),
                    None if a > 12 => make(year(y), b, a),
                    None if b > 12 => make(year(y), a, b),
                    None => Err("has day and month in either order, and no date of the file tells: say --dates dmy or mdy".to_owned()),
                }
            }
        },
        _ => Err(none()),
    }
}

fn month(text: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let lower = text.to_lowercase();
    let known = lower.len() >= 3 && lower.chars().all(char::is_alphabetic);
    MONTHS.iter().position(|m| known && lower.starts_with(m)).map(|at| at as u32 + 1)
}

/// A local time as an instant: the earlier of two, or the first after a gap.
fn instant(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    (0..=48 * 60).find_map(|minutes| match zone.from_local_datetime(&local.checked_add_signed(Duration::minutes(minutes))?) {
        LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => Some(t.timestamp_micros()),
        LocalResult::None => None,
    })
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::time::format_rfc3339;

    use super::*;

    fn at(value: Value, order: Option<DateOrder>) -> String {
        match read(&value, order, Tz::UTC, false, false) {
            Ok(Some(Read { start: Start::At(us), .. })) => format_rfc3339(us)[..16].replace("T00:00", ""),
            Ok(Some(_)) => "now".to_owned(),
            Ok(None) => String::new(),
            Err(e) => e,
        }
    }

    #[test]
    fn r_14_dates_in_every_form_of_the_trade() {
        let first = "2026-12-01";
        for text in [
            "2026-12-01", "2026/12/01", "20261201", "01.12.2026", "1.12.26", "1-Dec-2026", "01 December 2026", "Dec 1, 2026", "2026-Dec-01", "2026-12", "2026-12-01 00:00:00", "2026-12-01T00:00:00Z", "46357", "1st Dec 2026",
        ] {
            assert_eq!(at(Value::Text(text.into()), None), first, "{text}");
        }
        assert_eq!(at(Value::Number(46357f64.to_bits()), None), first);
        assert_eq!(at(Value::Number(20261201f64.to_bits()), None), first);
        for (text, order, want) in [
            ("01/12/2026", Some(DateOrder::Dmy), "2026-12-01"), ("01/12/2026", Some(DateOrder::Mdy), "2026-01-12"), ("31/12/2026", None, "2026-12-31"), ("8/16/2022", None, "2022-08-16"), ("12-12-2026", None, "2026-12-12"),
            ("8/16/2022 12:30 PM", None, "2022-08-16T12:30"), ("now", None, "now"), ("Immediate", None, "now"),
        ] {
            assert_eq!(at(Value::Text(text.into()), order), want, "{text}");
        }
        for (text, part) in [("01/12/2026", "--dates"), ("soon", "not a date"), ("2026-13-01", "not a date"), ("31/02/2026", "not a date"), ("5", "not a date"), ("2026-12-01 25:00", "time of day")] {
            assert!(at(Value::Text(text.into()), None).contains(part), "{text}: {}", at(Value::Text(text.into()), None));
        }
    }

    #[test]
    fn r_11_a_last_day_is_in_force_to_its_end() {
        let zone = Tz::Europe__Amsterdam;
        let end = |text: &str, through| match read(&Value::Text(text.into()), None, zone, false, through) {
            Ok(Some(Read { start: Start::At(us), day, .. })) => (format_rfc3339(us)[..16].to_owned(), day),
            _ => panic!("{text}"),
        };
        for (text, through, want, day) in [
            ("31/12/2025", true, "2025-12-31T23:00", true), ("31/12/2025", false, "2025-12-30T23:00", true), ("31/12/2025 23:59:59", true, "2025-12-31T23:00", false), ("31/12/2025 23:59", true, "2025-12-31T23:00", false),
            ("31/12/2025 23:59", false, "2025-12-31T22:59", false), ("31/12/2025 12:00", true, "2025-12-31T11:00", false), ("2025-12-31T00:00:00Z", true, "2025-12-31T00:00", false), ("31/12/2025 00:00", true, "2025-12-30T23:00", false),
            // The day the clocks go back has 25 hours.
            ("2025-10-26", true, "2025-10-26T23:00", true),
        ] {
            assert_eq!(end(text, through), (want.to_owned(), day), "{text} {through}");
        }
    }

    #[test]
    fn r_14_the_file_tells_day_from_month() {
        let of = |t: &str| evidence(&Value::Text(t.into()));
        assert_eq!((of("31/12/2026"), of("8/16/2022"), of("1/2/2026"), of("01.02.2026"), of("2026-01-02")), (Some(DateOrder::Dmy), Some(DateOrder::Mdy), None, Some(DateOrder::Dmy), None));
    }
}
