//! Times as carriers write them. A file is read with one form: the first that reads every sample; where day and month
//! cannot be told apart the mapping has to say (`date_format: dmy | mdy | ymd`).

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

/// Order of a date's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    Ymd,
    Dmy,
    Mdy,
}

/// A time without a zone, or with one.
pub(super) enum Moment {
    Utc(i64),
    Local(NaiveDateTime),
}

/// What a date cell says about the order of its parts.
pub(super) fn order_of(text: &str) -> Option<DateOrder> {
    let date = text.split([' ', 'T']).next()?;
    let parts: Vec<&str> = date.split(['-', '/', '.']).collect();
    let [a, b, c] = parts[..] else { return Some(DateOrder::Ymd).filter(|_| date.len() == 8 || date.len() >= 10) };
    if a.len() == 4 {
        return Some(DateOrder::Ymd);
    }
    let (a, b) = (a.parse::<u32>().ok()?, b.parse::<u32>().ok()?);
    let _ = c;
    match (a > 12, b > 12) {
        (true, false) => Some(DateOrder::Dmy),
        (false, true) => Some(DateOrder::Mdy),
        _ => None,
    }
}

/// Reads a cell, or the two cells of date and time joined by a space.
pub(super) fn read(text: &str, order: DateOrder) -> Result<Moment, String> {
    let text = text.trim();
    let wrong = || format!("'{text}' is no time in the order {}", format!("{order:?}").to_lowercase());
    if let Ok(us) = tollgate_schemas::time::parse_rfc3339(&text.replacen(' ', "T", 1)) {
        return Ok(Moment::Utc(us));
    }
    let text = text.trim_end_matches(" UTC").trim_end_matches(" GMT").trim_end_matches('Z');
    if text.len() >= 9 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !text.contains("..") {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |n: i64, unit: i64| n.checked_mul(unit);
        let n: i64 = whole.parse().map_err(|_| wrong())?;
        match whole.len() {
            // Seconds, milliseconds, microseconds since 1970.
            9 | 10 => {
                let micros: i64 = format!("{fraction:0<6}")[..6].parse().map_err(|_| wrong())?;
                return digits(n, 1_000_000).map(|us| Moment::Utc(us + micros)).ok_or_else(wrong);
            }
            13 => return digits(n, 1_000).map(Moment::Utc).ok_or_else(wrong),
            16 => return Ok(Moment::Utc(n)),
            14 => {
                let at = NaiveDateTime::parse_from_str(whole, "%Y%m%d%H%M%S").map_err(|_| wrong())?;
                return Ok(Moment::Local(at));
            }
            _ => return Err(wrong()),
        }
    }
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let date = self::date(date, order).ok_or_else(wrong)?;
    let time = self::time(time.trim()).ok_or_else(wrong)?;
    Ok(Moment::Local(date.and_time(time)))
}

fn date(text: &str, order: DateOrder) -> Option<NaiveDate> {
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        return NaiveDate::parse_from_str(text, "%Y%m%d").ok();
    }
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let [a, b, c] = parts[..] else { return None };
    let (y, m, d) = match order {
        _ if a.len() == 4 => (a, b, c),
        DateOrder::Ymd => (a, b, c),
        DateOrder::Dmy => (c, b, a),
        DateOrder::Mdy => (c, a, b),
    };
    let month = m.parse().ok().or_else(|| {
        let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        let short = m.get(..3)?.to_ascii_lowercase();
        names.iter().position(|n| *n == short).map(|i| i as u32 + 1)
    })?;
    let year: i32 = y.parse().ok()?;
    let year = if y.len() == 2 { 2000 + year } else { year };
    NaiveDate::from_ymd_opt(year, month, d.parse().ok()?)
}

fn time(text: &str) -> Option<NaiveTime> {
    let (text, afternoon) = match text.to_ascii_lowercase() {
        t if t.ends_with("pm") => (text[..text.len() - 2].trim(), Some(true)),
        t if t.ends_with("am") => (text[..text.len() - 2].trim(), Some(false)),
        _ => (text, None),
    };
    if text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit()) {
        return NaiveTime::parse_from_str(text, "%H%M%S").ok();
    }
    let mut parts = text.split(':');
    let (h, m) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse().ok()?);
    let seconds = parts.next().unwrap_or("0");
    let (s, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
    let micros = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let h = match afternoon {
        Some(true) if h < 12 => h + 12,
        Some(false) if h == 12 => 0,
        _ => h,
    };
    NaiveTime::from_hms_micro_opt(h, m, s.parse().ok()?, micros).filter(|_| parts.next().is_none())
}

/// UTC microseconds of a moment whose zone, where it names none, is `zone`, moved by `west` minutes. A clock time that
/// a change to winter time makes twice is taken as the first, one it leaves out as the same many minutes later.
pub(super) fn utc(moment: Moment, zone: Tz, west: Option<i64>) -> i64 {
    match (moment, west) {
        (Moment::Utc(us), _) => us,
        (Moment::Local(at), Some(minutes)) => at.and_utc().timestamp_micros().saturating_add(minutes.saturating_mul(60_000_000)),
        (Moment::Local(at), None) => match zone.from_local_datetime(&at).earliest() {
            Some(t) => t.timestamp_micros(),
            None => {
                let later = at + chrono::TimeDelta::hours(1);
                zone.from_local_datetime(&later).earliest().map_or(at.and_utc().timestamp_micros(), |t| t.timestamp_micros())
            }
        },
    }
}

/// Milliseconds of a duration: seconds (`61`, `61.2`), `mm:ss` or `hh:mm:ss`.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let mut seconds = 0u64;
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            seconds = seconds.checked_add(part.parse().ok()?)?.checked_mul(60)?;
        } else {
            let ms = tollgate_schemas::money::parse_scaled(part.trim_end_matches('s'), 6).ok()?;
            return seconds.checked_mul(1000)?.checked_add(u64::try_from(ms / 1000).ok()?);
        }
    }
    None
}
