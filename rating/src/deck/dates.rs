//! Dates of a sheet: RFC 3339, or a day in the deck's zone.

use chrono::{Duration, LocalResult, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Tz;
use thiserror::Error;
use tollgate_schemas::time::parse_rfc3339;

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub(crate) enum BadDate {
    #[error("'{0}' is not a date: want YYYY-MM-DD, or RFC 3339 with an offset as 2026-11-21T09:30:00Z")]
    Malformed(String),
    #[error("'{0}' has no first instant in this time zone")]
    NoSuchDay(String),
}

/// UTC microseconds.
pub(crate) fn parse(text: &str, zone: Tz) -> Result<i64, BadDate> {
    if text.len() > 10 {
        return parse_rfc3339(text).map_err(|_| BadDate::Malformed(text.to_owned()));
    }
    // chrono would take `2026-1-5` too; the form says two digits each.
    let shaped = text.len() == 10 && text.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    let day = Some(text).filter(|_| shaped).and_then(|t| NaiveDate::parse_from_str(t, "%Y-%m-%d").ok());
    let day = day.ok_or_else(|| BadDate::Malformed(text.to_owned()))?;
    first_instant(day, zone).ok_or_else(|| BadDate::NoSuchDay(text.to_owned()))
}

/// The first instant of a day. Where the clocks skip midnight it is the instant they skip to; where midnight comes
/// twice it is the earlier one; a day that was left out whole (Apia, 30 December 2011) starts with the next.
fn first_instant(day: NaiveDate, zone: Tz) -> Option<i64> {
    let midnight = day.and_time(NaiveTime::MIN);
    (0..=48 * 60).find_map(|minutes| {
        let local = midnight.checked_add_signed(Duration::minutes(minutes))?;
        match zone.from_local_datetime(&local) {
            LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => Some(t.timestamp_micros()),
            LocalResult::None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::time::format_rfc3339;

    use super::*;

    fn at(text: &str, zone: Tz) -> String {
        parse(text, zone).map(format_rfc3339).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn r_12_a_day_starts_at_its_zones_midnight_on_dst_days_too() {
        for (zone, day, utc) in [
            (Tz::Europe__Amsterdam, "2026-03-28", "2026-03-27T23:00:00.000000Z"),
            // The clocks go forward at 02:00 and back at 03:00 of these days: midnight still has the old offset.
            (Tz::Europe__Amsterdam, "2026-03-29", "2026-03-28T23:00:00.000000Z"),
            (Tz::Europe__Amsterdam, "2026-03-30", "2026-03-29T22:00:00.000000Z"),
            (Tz::Europe__Amsterdam, "2026-10-25", "2026-10-24T22:00:00.000000Z"),
            (Tz::Europe__Amsterdam, "2026-10-26", "2026-10-25T23:00:00.000000Z"),
            (Tz::America__New_York, "2026-11-01", "2026-11-01T04:00:00.000000Z"),
            // Midnight is skipped: the day starts at 01:00 local.
            (Tz::America__Sao_Paulo, "2018-11-04", "2018-11-04T03:00:00.000000Z"),
            // Midnight comes twice: the earlier one.
            (Tz::America__Havana, "2024-11-03", "2024-11-03T04:00:00.000000Z"),
            (Tz::Pacific__Apia, "2011-12-30", "2011-12-30T10:00:00.000000Z"),
        ] {
            assert_eq!(at(day, zone), utc, "{zone} {day}");
        }
    }

    #[test]
    fn dates_are_days_or_rfc_3339() {
        assert_eq!(at("2026-01-01T00:00:00+02:00", Tz::UTC), "2025-12-31T22:00:00.000000Z");
        for bad in ["2026-1-5", "2026-02-30", "01/02/2026", "2026-01-01T00:00:00", "2026", "yesterday!", "20260101"] {
            assert!(matches!(parse(bad, Tz::UTC), Err(BadDate::Malformed(_))), "{bad}");
        }
    }
}
