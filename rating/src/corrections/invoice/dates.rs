//! Days of a zone and their instants.

use chrono::TimeZone;
use chrono_tz::Tz;

/// Microseconds as RFC 3339 of a zone.
pub fn local(us: i64, zone: Tz) -> String {
    match zone.timestamp_micros(us).single() {
        Some(t) => t.to_rfc3339_opts(chrono::SecondsFormat::Secs, false),
        None => tollgate_schemas::time::format_rfc3339(us),
    }
}

/// The day of an instant in a zone.
pub fn day(us: i64, zone: Tz) -> String {
    zone.timestamp_micros(us).single().map_or_else(String::new, |t| t.format("%Y-%m-%d").to_string())
}

/// Midnight of `yyyy-mm-dd` in a zone, or an RFC 3339 instant; microseconds. In zones whose midnight is left out that day, the
/// first instant of the day.
pub fn instant(text: &str, zone: Tz) -> Result<i64, String> {
    if let Ok(us) = tollgate_schemas::time::parse_rfc3339(text) {
        return Ok(us);
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| format!("'{text}' is neither a date (yyyy-mm-dd) nor an RFC 3339 time"))?;
    for minute in 0..24 * 60 {
        let at = date.and_hms_opt(minute / 60, minute % 60, 0).map(|t| zone.from_local_datetime(&t).earliest());
        if let Some(Some(at)) = at {
            return Ok(at.timestamp_micros());
        }
    }
    Err(format!("{text} is no day in {zone}"))
}
