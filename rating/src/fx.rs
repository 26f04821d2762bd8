//! Exchange rates by day. Amounts of two currencies meet only through a dated row, which the CDR keeps; where there
//! is none there is no margin, and that is said. A pair is found as quoted or turned round: the turned rate is rounded to 12
//! places first, so that what the CDR keeps reproduces the amount.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike, NaiveDate};
use foldhash::fast::FixedState;
use thiserror::Error;
use tollgate_schemas::{
    control,
    money::{BadDecimal, RATE_PLACES, parse_scaled, round_ratio},
    v1::Rounding,
};

/// Days a rate goes on to hold where the next is not published: weekends and holidays.
pub const HOLDS_DAYS: i32 = 7;

/// A rate that cannot be, with its place in the document.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadRate {
    #[error("rates[{at}].{field}: '{text}' is not a currency: want three letters, as USD")]
    Currency { at: usize, field: &'static str, text: String },
    #[error("rates[{at}]: a currency is not exchanged for itself")]
    Same { at: usize },
    #[error("rates[{at}].rate: {problem}")]
    Rate { at: usize, problem: BadDecimal },
    #[error("rates[{at}].rate: not above 0")]
    Zero { at: usize },
    #[error("rates[{at}].date: '{text}' is not a date: want YYYY-MM-DD")]
    Date { at: usize, text: String },
    #[error("rates[{at}]: {base}/{quote} of {date} is there already, from '{source_name}'")]
    Twice { at: usize, base: String, quote: String, date: String, source_name: String },
}

/// A rate as used: what the CDR keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Units of `to` for one of `from`.
    pub rate_e12: i64,
    pub source: String,
    /// `YYYY-MM-DD`: the day the rate is of.
    pub date: String,
}

type Pair = ([u8; 3], [u8; 3]);

/// All exchange rates, immutable.
#[derive(Debug, Clone, Default)]
pub struct Fx {
    /// By pair, then day (days since the common era).
    rates: HashMap<Pair, BTreeMap<i32, (i64, u32)>, FixedState>,
    sources: Vec<String>,
}

fn code(text: &str) -> Option<[u8; 3]> {
    let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
    bytes.iter().all(u8::is_ascii_uppercase).then_some(bytes)
}

fn day_of(at_us: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(at_us).map(|t| t.date_naive())
}

impl Fx {
    /// Compiles the documents, or gives every mistake by the document's name.
    pub fn compile(documents: &BTreeMap<String, control::FxRate>) -> Result<Fx, Vec<(String, BadRate)>> {
        let (mut out, mut problems) = (Fx::default(), Vec::new());
        for (name, document) in documents {
            let source = out.sources.len() as u32;
            out.sources.push(document.source.clone());
            for (at, row) in document.rates.iter().enumerate() {
                if let Err(bad) = out.put(at, row, source) {
                    problems.push((name.clone(), bad));
                }
            }
        }
        if problems.is_empty() { Ok(out) } else { Err(problems) }
    }

    fn put(&mut self, at: usize, row: &control::FxDay, source: u32) -> Result<(), BadRate> {
        let currency = |field, text: &str| code(text).ok_or_else(|| BadRate::Currency { at, field, text: text.to_owned() });
        let pair = (currency("base", &row.base)?, currency("quote", &row.quote)?);
        if pair.0 == pair.1 {
            return Err(BadRate::Same { at });
        }
        let rate = parse_scaled(&row.rate, RATE_PLACES).map_err(|problem| BadRate::Rate { at, problem })?;
        if rate <= 0 {
            return Err(BadRate::Zero { at });
        }
        let day = NaiveDate::parse_from_str(&row.date, "%Y-%m-%d").map_err(|_| BadRate::Date { at, text: row.date.clone() })?;
        let days = self.rates.entry(pair).or_default();
        if let Some((_, other)) = days.insert(day.num_days_from_ce(), (rate, source)) {
            let source_name = self.sources[other as usize].clone();
            return Err(BadRate::Twice { at, base: row.base.clone(), quote: row.quote.clone(), date: row.date.clone(), source_name });
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.rates.is_empty()
    }

    /// The rate of the UTC day of an instant: that day's, else the newest of the [`HOLDS_DAYS`] before it.
    pub fn rate(&self, from: &str, to: &str, at_us: i64) -> Option<Used> {
        let (from, to, day) = (code(from)?, code(to)?, day_of(at_us)?.num_days_from_ce());
        let newest = |pair: Pair| self.rates.get(&pair)?.range(day - HOLDS_DAYS..=day).next_back();
        let (straight, turned) = (newest((from, to)), newest((to, from)));
        let used = |(day, (_, source)): (&i32, &(i64, u32)), rate_e12| {
            let date = NaiveDate::from_num_days_from_ce_opt(*day)?.to_string();
            Some(Used { rate_e12, source: self.sources[*source as usize].clone(), date })
        };
        match (straight, turned) {
            (Some(found), other) if other.is_none_or(|o| o.0 <= found.0) => used(found, found.1.0),
            (_, Some(found)) => {
                let one = 10i128.pow(2 * RATE_PLACES);
                let rate = round_ratio(one, i128::from(found.1.0), Rounding::HalfEven);
                used(found, i64::try_from(rate).ok().filter(|r| *r > 0)?)
            }
            _ => None,
        }
    }
}

/// An amount (1e-8) at a rate (1e-12), rounded half up to 1e-8.
pub fn convert(amount_e8: i64, rate_e12: i64) -> i64 {
    let exact = i128::from(amount_e8) * i128::from(rate_e12);
    let rounded = round_ratio(exact, 10i128.pow(RATE_PLACES), Rounding::HalfUp);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_schemas::{money::{format_scaled, parse_scaled}, time::parse_rfc3339};

    use super::*;

    fn fx(rows: &[(&str, &str, &str, &str)]) -> Result<Fx, Vec<(String, BadRate)>> {
        let day = |(base, quote, rate, date): &(&str, &str, &str, &str)| control::FxDay {
            base: (*base).to_owned(),
            quote: (*quote).to_owned(),
            rate: (*rate).to_owned(),
            date: (*date).to_owned(),
        };
        let document = control::FxRate { source: "ecb".to_owned(), rates: rows.iter().map(day).collect() };
        Fx::compile(&BTreeMap::from([("rates".to_owned(), document)]))
    }

    fn at(text: &str) -> i64 {
        parse_rfc3339(text).expect("a time of the test")
    }

    #[test]
    fn r_30_an_amount_is_converted_at_the_day_rate_of_its_answer() {
        let fx = fx(&[("EUR", "USD", "1.1650", "2026-11-20"), ("EUR", "USD", "1.2000", "2026-11-21")]).expect("right");
        for (from, to, when, rate, date, amount, converted) in [
            ("EUR", "USD", "2026-11-20T00:00:00Z", "1.1650", "2026-11-20", "0.0040", "0.00466000"),
            ("EUR", "USD", "2026-11-20T23:59:59.999999Z", "1.1650", "2026-11-20", "0.0040", "0.00466000"),
            // The next day's rate changes nothing about it, and holds for its own day.
            ("EUR", "USD", "2026-11-21T00:00:00Z", "1.2000", "2026-11-21", "0.0040", "0.00480000"),
            // No rate is published on the 22nd: the last one holds for a week.
            ("EUR", "USD", "2026-11-28T23:59:59Z", "1.2000", "2026-11-21", "-1", "-1.20000000"),
            ("USD", "EUR", "2026-11-21T12:00:00Z", "0.833333333333", "2026-11-21", "1.2", "1.00000000"),
        ] {
            let used = fx.rate(from, to, at(when)).unwrap_or_else(|| panic!("no rate at {when}"));
            assert_eq!((used.rate_e12, used.date.as_str(), used.source.as_str()), (parse_scaled(rate, 12).expect("a rate"), date, "ecb"));
            let got = convert(parse_scaled(amount, 8).expect("an amount"), used.rate_e12);
            assert_eq!(format_scaled(got, 8, 8), converted, "{amount} {from} in {to} at {when}");
        }
    }

    #[test]
    fn r_30_without_a_dated_row_currencies_do_not_meet() {
        let fx = fx(&[("EUR", "USD", "1.1650", "2026-11-20")]).expect("right");
        for (from, to, when) in [
            ("EUR", "USD", "2026-11-19T23:59:59Z"),
            ("EUR", "USD", "2026-11-28T00:00:00Z"),
            ("EUR", "GBP", "2026-11-20T00:00:00Z"),
            ("GBP", "USD", "2026-11-20T00:00:00Z"),
        ] {
            assert_eq!(fx.rate(from, to, at(when)), None, "{from} {to} {when}");
        }
    }

    #[test]
    fn r_30_every_bad_row_is_told_by_its_place() {
        let bad = fx(&[
            ("eur", "USD", "1", "2026-11-20"),
            ("EUR", "EUR", "1", "2026-11-20"),
            ("EUR", "USD", "x", "2026-11-20"),
            ("EUR", "USD", "0", "2026-11-20"),
            ("EUR", "USD", "1", "20/11/2026"),
            ("EUR", "USD", "1", "2026-11-20"),
            ("EUR", "USD", "1.1", "2026-11-20"),
        ]);
        let text: Vec<String> = bad.err().into_iter().flatten().map(|(_, b)| b.to_string()).collect();
        assert_eq!(text.len(), 6, "{text:?}");
        assert!(text[5].contains("rates[6]") && text[5].contains("already"), "{}", text[5]);
    }

    proptest! {
        #[test]
        fn r_30_what_the_cdr_keeps_reproduces_the_amount(amount in -1_000_000_000_000i64..1_000_000_000_000, rate in 1i64..100_000_000_000_000) {
            let oracle = rust_decimal::Decimal::new(amount, 8) * rust_decimal::Decimal::new(rate, 12);
            let oracle = oracle.round_dp_with_strategy(8, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
            prop_assert_eq!(rust_decimal::Decimal::new(convert(amount, rate), 8), oracle);
        }
    }
}
