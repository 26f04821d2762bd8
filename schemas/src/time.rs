//! Times: UTC microseconds since 1970 as `i64`, read and written as RFC 3339 with six digits (design §5).

use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("'{0}' is not a time: want RFC 3339 with an offset, as 2026-11-21T09:30:00Z")]
pub struct BadTime(pub String);

/// One reading of the clocks. Logic takes it as an argument; only shells read clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// UTC microseconds since 1970.
    pub utc_us: i64,
    /// Monotonic nanoseconds since this boot.
    pub mono_ns: u64,
}

pub fn parse_rfc3339(text: &str) -> Result<i64, BadTime> {
    DateTime::parse_from_rfc3339(text).map(|t| t.timestamp_micros()).map_err(|_| BadTime(text.to_owned()))
}

pub fn format_rfc3339(us: i64) -> String {
    match Utc.timestamp_micros(us).single() {
        Some(t) => t.to_rfc3339_opts(SecondsFormat::Micros, true),
        None => format!("{us}us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_any_offset_and_print_utc_with_six_digits() {
        let us = parse_rfc3339("2026-11-21T10:30:00.5+01:00");
        assert_eq!(us.map(format_rfc3339), Ok("2026-11-21T09:30:00.500000Z".to_owned()));
        assert!(parse_rfc3339("2026-11-21 10:30").is_err());
        assert!(parse_rfc3339("2026-02-30T00:00:00Z").is_err());
    }
}
