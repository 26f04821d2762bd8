//! What a price is in: whole units or hundredths of them, of a minute or of some seconds. A header says it, or a mapping; where
//! words could mean either, a person is asked.

use std::collections::BTreeMap;

use tollgate_schemas::money::{RATE_PLACES, parse_scaled};

use super::{
    Column, Mapping,
    columns::{CURRENCIES, currency_in},
    header::Header,
};

/// Columns of money.
pub(super) const PRICES: [Column; 8] = [Column::Rate, Column::Interrate, Column::Intrarate, Column::Ijrate, Column::ConnectFee, Column::PreviousRate, Column::OffPeak, Column::Weekend];

/// Cents and the like: a price in them is a hundredth.
const HUNDREDTHS: [&str; 12] = ["cent", "cents", "ct", "cts", "eurocent", "eurocents", "uscent", "uscents", "pence", "penny", "pennies", "usc"];
/// Of those, the ones that a sentence does not use for anything else.
const IN_PROSE: [&str; 8] = ["cent", "cents", "eurocent", "eurocents", "uscent", "uscents", "pence", "penny"];
/// Words that could be cents, pence, or only "per".
const UNCLEAR: [&str; 9] = ["c", "p", "ppm", "cpm", "mil", "mils", "mill", "mills", "millicents"];
const SECONDS: [&str; 10] = ["sec", "secs", "second", "seconds", "sek", "sekunde", "sekunden", "segundo", "segundos", "seconde"];
const MINUTES: [&str; 9] = ["min", "mins", "minute", "minutes", "minuten", "minuto", "minutos", "minuti", "minuut"];
const HOURS: [&str; 5] = ["hour", "hours", "hr", "hrs", "h"];

/// A price times `times`, by `by`, is whole units a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Factor {
    pub times: i64,
    pub by: i64,
}

impl Factor {
    pub const ONE: Factor = Factor { times: 1, by: 1 };

    fn new(times: i64, by: i64) -> Factor {
        let (mut a, mut b) = (times, by);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Factor { times: times / a.max(1), by: by / a.max(1) }
    }

    /// A price of so many places in whole units a minute: its 1e-12 and places, and whether nothing was cut. None: too large.
    pub fn apply(self, e12: i64, places: u8) -> Option<(i64, u8, bool)> {
        if self == Factor::ONE {
            return Some((e12, places, true));
        }
        let (scaled, by) = (i128::from(e12) * i128::from(self.times), i128::from(self.by));
        let (whole, rest) = (scaled / by, scaled % by);
        let price = i64::try_from(if rest * 2 >= by { whole + 1 } else { whole }).ok()?;
        // As many places as it takes, and not fewer than were written.
        let needed = (0..=RATE_PLACES as u8).find(|p| price % 10i64.pow(RATE_PLACES - u32::from(*p)) == 0).unwrap_or(RATE_PLACES as u8);
        let tens = (0..=RATE_PLACES as u8).find(|p| self.by == 10i64.pow(u32::from(*p))).unwrap_or(0);
        Some((price, needed.max((places + tens).min(RATE_PLACES as u8)), rest == 0))
    }
}

/// What a text says of the unit; nothing where it is silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unit {
    pub hundredths: Option<bool>,
    pub seconds: Option<i64>,
}

impl Unit {
    fn factor(self, per_time: bool) -> Factor {
        let by = if self.hundredths == Some(true) { 100 } else { 1 };
        let seconds = if per_time { self.seconds.unwrap_or(60) } else { 60 };
        Factor::new(60, by * seconds)
    }

    /// Anything but whole units a minute.
    pub fn is_odd(self) -> bool {
        self.hundredths == Some(true) || self.seconds.is_some_and(|s| s != 60)
    }
}

/// The words of a text with what stands between them; digits and letters apart.
fn words(text: &str) -> Vec<(String, bool)> {
    let mut out: Vec<(String, bool)> = Vec::new();
    let (mut word, mut slash) = (String::new(), false);
    for c in text.chars().flat_map(char::to_lowercase).chain([' ']) {
        let joins = word.chars().last().is_none_or(|last| last.is_numeric() == c.is_numeric());
        if c.is_alphanumeric() && joins {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            out.push((std::mem::take(&mut word), slash));
            slash = false;
        }
        match c {
            c if c.is_alphanumeric() => word.push(c),
            '¢' => out.push(("cents".to_owned(), false)),
            '/' => slash = true,
            _ => {}
        }
    }
    out
}

/// Reads a header's words of the unit, or says what of them is not clear. `alone`: the text is nothing but a unit.
pub(super) fn parse(text: &str, alone: bool) -> Result<Unit, String> {
    let words = words(text);
    let mut unit = Unit::default();
    let mut seconds = Vec::new();
    for (at, (word, slash)) in words.iter().enumerate() {
        let before = at.checked_sub(1).map(|b| words[b].0.as_str());
        let count = before.and_then(|b| b.parse::<i64>().ok()).filter(|n| (1..=86_400).contains(n));
        let after_per = *slash || matches!(before, Some("per" | "pro" | "por" | "par" | "a" | "each")) || count.is_some();
        let w = word.as_str();
        match w {
            _ if HUNDREDTHS.contains(&w) => unit.hundredths = Some(true),
            _ if UNCLEAR.contains(&w) => return Err(word.clone()),
            "s" if after_per => seconds.push(count.unwrap_or(1)),
            _ if SECONDS.contains(&w) && (after_per || alone) => seconds.push(count.unwrap_or(1)),
            _ if SECONDS.contains(&w) => return Err(word.clone()),
            _ if MINUTES.contains(&w) && (after_per || at > 0 || alone) => seconds.push(60 * count.unwrap_or(1)),
            _ if HOURS.contains(&w) && after_per => return Err(format!("per {word}")),
            "whole" if alone => unit.hundredths = Some(false),
            _ => {}
        }
    }
    if unit.hundredths.is_none() && currency_in(text).is_some() {
        unit.hundredths = Some(false);
    }
    seconds.dedup();
    match seconds.as_slice() {
        [] => {}
        [one] => unit.seconds = Some(*one),
        [..] => return Err("two lengths of time".to_owned()),
    }
    Ok(unit)
}

/// Whether a title or a remark speaks of prices that are not whole units a minute.
pub(super) fn spoken_of(text: &str) -> bool {
    let words = words(text);
    let has = |list: &[&str]| words.iter().any(|(w, _)| list.contains(&w.as_str()));
    let by_second = words.windows(2).any(|pair| SECONDS.contains(&pair[1].0.as_str()) && (pair[1].1 || pair[0].0 == "per"));
    let of_prices = has(&["rate", "rates", "price", "prices", "tariff", "tariffs"]) && !has(&["billing", "billed", "bill", "charging", "charged", "increment", "increments", "rounding", "rounded"]);
    has(&IN_PROSE) || text.contains('¢') || (by_second && of_prices)
}

/// What a mapping says of a column's unit: words as a header has them, or a factor.
fn said(text: &str, per_time: bool) -> Result<Factor, String> {
    let want = "want cents, per second, cents per second, per 6 seconds, whole, or a factor as 0.001";
    if let Ok(factor) = parse_scaled(text.trim(), 9) {
        return if factor > 0 { Ok(Factor::new(factor, 1_000_000_000)) } else { Err(format!("'{text}' is not above 0: {want}")) };
    }
    let known = |w: &str| {
        HUNDREDTHS.contains(&w) || SECONDS.contains(&w) || MINUTES.contains(&w) || matches!(w, "per" | "whole" | "us" | "euro" | "s" | "a") || w.bytes().all(|b| b.is_ascii_digit()) || CURRENCIES.iter().any(|c| c.eq_ignore_ascii_case(w))
    };
    match parse(text, true) {
        Ok(unit) if words(text).iter().all(|(w, _)| known(w)) && unit != Unit::default() => Ok(unit.factor(per_time)),
        _ => Err(format!("'{text}' is no unit: {want}")),
    }
}

/// What each price column of a sheet is in, or what has to be asked: column and question. `rumour`: titles or remarks speak of cents or
/// seconds, so that silence of a header is no answer. `pounds`: prices may be in pence.
pub(super) fn settle(header: &Header, mapping: &Mapping, rumour: bool, pounds: bool) -> ([Factor; Column::COUNT], Vec<(Option<usize>, String)>) {
    let (mut factors, mut problems) = ([Factor::ONE; Column::COUNT], Vec::new());
    let mut units: BTreeMap<Column, (usize, Unit)> = BTreeMap::new();
    for (column, text) in &mapping.units {
        match said(text, *column != Column::ConnectFee) {
            _ if !PRICES.contains(column) => problems.push((None, format!("units: {} is no price", column.name()))),
            Ok(factor) => factors[*column as usize] = factor,
            Err(e) => problems.push((None, format!("units: {}: {e}", column.name()))),
        }
    }
    for column in PRICES {
        let Some(at) = header.at(column).filter(|_| !mapping.units.contains_key(&column)) else { continue };
        let text = header.whole_text(at);
        match parse(text, false) {
            Ok(unit) => {
                units.insert(column, (at, unit));
            }
            // Price per minute, where it is not pence per minute.
            Err(word) if word == "ppm" && !pounds => {
                units.insert(column, (at, Unit::default()));
            }
            Err(word) => problems.push((Some(at), format!("what a price of '{text}' is in is not clear ('{word}'): {}", ask(column)))),
        }
    }
    let of_any = |odd: fn(&Unit) -> bool| units.values().any(|(_, u)| odd(u)) || mapping.units.values().filter_map(|t| parse(t, true).ok()).any(|u| odd(&u));
    let (cents, time) = (of_any(|u| u.hundredths == Some(true)), of_any(|u| u.seconds.is_some_and(|s| s != 60)));
    for (column, (at, unit)) in &units {
        let per_time = *column != Column::ConnectFee;
        let silent = ((cents || rumour) && unit.hundredths.is_none()) || (time && per_time && unit.seconds.is_none());
        if silent {
            let why = if cents || time { "another column" } else { "the sheet" };
            problems.push((Some(*at), format!("{why} speaks of cents or seconds, and '{}' does not say what it is in: {}", header.whole_text(*at), ask(*column))));
        }
        factors[*column as usize] = unit.factor(per_time);
    }
    (factors, problems)
}

/// The line of the mapping that answers.
pub(super) fn ask(column: Column) -> String {
    format!("say it in the mapping file, as units: {{ {0}: cents }}, units: {{ {0}: per second }} or units: {{ {0}: whole }}", column.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_14_a_header_says_what_its_prices_are_in() {
        let unit = |hundredths, seconds| Ok(Unit { hundredths, seconds });
        for (text, want) in [
            ("Rate", unit(None, None)), ("Rate (cents/min)", unit(Some(true), Some(60))), ("Rate in cents", unit(Some(true), None)), ("Rate (US cents)", unit(Some(true), None)), ("Rate (USD/sec)", unit(Some(false), Some(1))), ("Rate/sec", unit(None, Some(1))),
            ("Price/s", unit(None, Some(1))), ("Price per second", unit(None, Some(1))), ("Rate per 6 sec", unit(None, Some(6))), ("Rate per 60sec", unit(None, Some(60))), ("Rate per minute (60 s)", unit(None, Some(60))), ("Rate EUR", unit(Some(false), None)),
            ("Rate(s)", unit(None, None)), ("Price (¢)", unit(Some(true), None)), ("Pence per minute", unit(Some(true), Some(60))), ("RPM", unit(None, None)),
        ] {
            assert_eq!(parse(text, false), want, "{text}");
        }
        for (text, word) in [("Rate (c/min)", "c"), ("prijs p/min", "p"), ("PPM", "ppm"), ("Rate (sec)", "sec"), ("Rate per hour", "per hour"), ("Rate per min, per second", "two lengths of time")] {
            assert_eq!(parse(text, false), Err(word.to_owned()), "{text}");
        }
        for (text, want) in [("cents", Ok((1, 100))), ("per second", Ok((60, 1))), ("cents per second", Ok((3, 5))), ("per 6 seconds", Ok((10, 1))), ("whole", Ok((1, 1))), ("0.001", Ok((1, 1000))), ("USD/min", Ok((1, 1)))] {
            assert_eq!(said(text, true).map(|f| (f.times, f.by)), want, "{text}");
        }
        assert!(["gold", "0", "-1", "centuries"].iter().all(|t| said(t, true).is_err()));
        assert!(spoken_of("All rates in US cents") && spoken_of("prices are per second") && !spoken_of("per second billing applies to all rates") && !spoken_of("Central office"));
    }

    #[test]
    fn r_14_cents_and_seconds_are_counted_exactly() {
        let of = |times, by| Factor::new(times, by);
        for (factor, e12, places, want) in [
            (of(1, 100), 1_200_000_000_000, 1, Some((12_000_000_000, 3, true))), (of(60, 1), 1_000_000_000, 3, Some((60_000_000_000, 3, true))), (of(60, 100), 1_000_000_000, 3, Some((600_000_000, 4, true))),
            (of(1, 100), 150, 12, Some((2, 12, false))), (of(60, 1), i64::MAX, 0, None), (Factor::ONE, 5, 2, Some((5, 2, true))),
        ] {
            assert_eq!(factor.apply(e12, places), want, "{factor:?} {e12}");
        }
    }
}
