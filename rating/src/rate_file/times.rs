//! RFC 3339 to the nanosecond. Three times a row make this the dearest part of reading a file, so the usual shape is
//! read by hand; everything else, and every refusal, is chrono's.

use chrono::DateTime;
use tollgate_schemas::time::BadTime;

/// UTC nanoseconds since 1970; years 1678 to 2261.
pub fn parse_rfc3339_ns(text: &str) -> Result<i64, BadTime> {
    match usual(text.as_bytes()) {
        Some(ns) => Ok(ns),
        None => {
            let parsed = DateTime::parse_from_rfc3339(text).ok().and_then(|t| t.timestamp_nanos_opt());
            parsed.ok_or_else(|| BadTime(text.to_owned()))
        }
    }
}

/// `2026-11-21T09:30:00[.f…](Z|±hh:mm)`, 1 to 9 digits of fraction, no leap second.
fn usual(b: &[u8]) -> Option<i64> {
    if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || b[10] != b'T' || b[13] != b':' || b[16] != b':' {
        return None;
    }
    let two = |at: usize| number(&b[at..at + 2]);
    let (year, month, day) = (number(&b[..4])?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &b[19..];
    let mut nanos = 0;
    if rest[0] == b'.' {
        let digits = rest[1..].iter().take_while(|c| c.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        nanos = number(&rest[1..=digits])? * 10i64.pow(9 - digits as u32);
        rest = &rest[1 + digits..];
    }
    let offset_s = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (h, m) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if h > 23 || m > 59 {
                return None;
            }
            let ahead = h * 3600 + m * 60;
            if *sign == b'-' { -ahead } else { ahead }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the Gregorian calendar, counting years from March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let since_march = (month + 9) % 12;
    let of_year = (153 * since_march + 2) / 5 + day - 1;
    // 719,468 days from 0000-03-01 to 1970-01-01.
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, SecondsFormat, TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn by_chrono(text: &str) -> Option<i64> {
        DateTime::parse_from_rfc3339(text).ok().and_then(|t| t.timestamp_nanos_opt())
    }

    proptest! {
        #[test]
        fn the_short_way_reads_what_chrono_reads(ns in -9_200_000_000_000_000_000i64..9_200_000_000_000_000_000, offset in -1439i32..1440, form in 0..4) {
            let format = [SecondsFormat::Secs, SecondsFormat::Millis, SecondsFormat::Micros, SecondsFormat::Nanos][form as usize];
            let zone = FixedOffset::east_opt(offset * 60).expect("within a day");
            let text = zone.timestamp_nanos(ns).to_rfc3339_opts(format, true);
            prop_assert_eq!(usual(text.as_bytes()), by_chrono(&text), "{}", text);
        }

        #[test]
        fn what_the_short_way_takes_chrono_takes_alike(text in "[0-9]{4}-[0-3][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|[+-][0-2][0-9]:[0-6][0-9])?") {
            if let Some(ns) = usual(text.as_bytes()) {
                prop_assert_eq!(Some(ns), by_chrono(&text), "{}", text);
            }
        }
    }

    #[test]
    fn times_without_an_offset_or_out_of_the_calendar_are_refused() {
        for bad in ["", "2026-11-21", "2026-11-21T09:30:00", "2026-02-29T00:00:00Z", "2026-11-21 09:30", "2026-13-01T00:00:00Z", "1600-01-01T00:00:00Z"] {
            assert!(parse_rfc3339_ns(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_rfc3339_ns("1970-01-01T00:00:00.000000001Z"), Ok(1));
        assert_eq!(parse_rfc3339_ns("2024-02-29T01:00:00+01:00"), Ok(1_709_164_800_000_000_000));
    }
}
