//! One record of a sheet, cell by cell.

use tollgate_schemas::money::{RATE_PLACES, parse_scaled};

use super::{
    super::{JurisdictionRates, Kind, dates, index},
    BLOCKED, COLUMNS, CONNECT_FEE, CURRENCY, DESTINATION, EFFECTIVE_FROM, EFFECTIVE_TO, IJRATE, INCREMENT, INITIAL, INTERRATE,
    INTRARATE, NO_TEXT, ORIGIN_GROUP, PREFIX, RATE, ROUTE_CLASS, RawRow, Sheet, id_of, is_currency, text_id,
};
use crate::cells::Cells;

/// Longest initial and increment: a day.
const MAX_INCREMENT_S: u32 = 86_400;
const MAX_DESTINATION: usize = 128;
const MAX_LABEL: usize = 64;

/// What the row before had: rows repeat.
#[derive(Default)]
pub(super) struct Seen {
    date: Option<(String, i64)>,
    kind: Option<(Kind, u32)>,
}

impl Sheet {
    /// `None` when something is wrong with the row; every wrong cell is reported.
    pub(super) fn read_row<'r>(&mut self, record: impl Cells<'r>, line: u64) -> Option<RawRow> {
        let before = self.problems.total();
        let blocked = self.flag(record, line, BLOCKED);
        let prefix = self.prefix(record, line);
        let destination = self.label(record, line, DESTINATION, MAX_DESTINATION);
        if destination == Some(NO_TEXT) {
            self.problems.add(line, COLUMNS[DESTINATION], "empty: want the destination group");
        }
        let rate = match self.price(record, line, RATE) {
            None if blocked == Some(true) => Some((0, 0)),
            None if self.cell(record, RATE).is_some_and(str::is_empty) => {
                self.problems.add(line, COLUMNS[RATE], "empty: want the price of a minute");
                None
            }
            other => other,
        };
        let connect_fee = self.price(record, line, CONNECT_FEE).map_or(0, |(fee, _)| fee);
        let initial = self.seconds(record, line, INITIAL, 0);
        let increment = self.seconds(record, line, INCREMENT, 1);
        let from = self.date(record, line, EFFECTIVE_FROM);
        let to = self.date(record, line, EFFECTIVE_TO);
        if let Some(to) = to
            && to <= from.unwrap_or(i64::MIN)
        {
            self.problems.add(line, COLUMNS[EFFECTIVE_TO], "not after effective_from");
        }
        let jurisdiction = JurisdictionRates {
            inter_e12: self.price(record, line, INTERRATE).map(|(rate, _)| rate),
            intra_e12: self.price(record, line, INTRARATE).map(|(rate, _)| rate),
            indeterminate_e12: self.price(record, line, IJRATE).map(|(rate, _)| rate),
        };
        let route_class = self.label(record, line, ROUTE_CLASS, MAX_LABEL);
        let origin = self.group(record, line);
        self.check_currency(record, line);
        let (rate_e12, rate_places) = rate?;
        let kind = Kind {
            from: i64::MIN,
            to: i64::MAX,
            connect_fee_e12: connect_fee,
            initial_s: initial?,
            increment_s: increment?,
            route_class: route_class?,
            rate_places,
            blocked: blocked?,
        };
        if jurisdiction != JurisdictionRates::default() && before == self.problems.total() {
            self.jurisdictions.push((line, jurisdiction));
        }
        let kind = match self.seen.kind {
            Some((last, id)) if last == kind => id,
            _ => {
                let id = id_of(&mut self.kinds, kind);
                self.seen.kind = Some((kind, id));
                id
            }
        };
        let row = RawRow {
            line,
            prefix: prefix?,
            from: from.unwrap_or(i64::MIN),
            to,
            origin: origin?,
            rate_e12,
            destination: destination?,
            kind,
        };
        (before == self.problems.total()).then_some(row)
    }

    /// The trimmed cell; `None` when the column is absent or not UTF-8 (which [`Sheet::text`] reports).
    fn cell<'r>(&self, record: impl Cells<'r>, column: usize) -> Option<&'r str> {
        std::str::from_utf8(record.cell(self.places[column]?)).ok().map(str::trim)
    }

    /// As [`Sheet::cell`], reporting what is not text; `""` when there is none.
    fn text<'r>(&mut self, record: impl Cells<'r>, line: u64, column: usize) -> &'r str {
        let text = self.cell(record, column);
        if text.is_none() && self.places[column].is_some() {
            self.problems.add(line, COLUMNS[column], "not UTF-8 text");
        }
        text.unwrap_or("")
    }

    fn prefix<'r>(&mut self, record: impl Cells<'r>, line: u64) -> Option<u64> {
        let text = self.text(record, line, PREFIX);
        let digits = text.strip_prefix('+').unwrap_or(text);
        let key = index::key(digits).filter(|_| !digits.starts_with('0'));
        if key.is_none() {
            let problem = if digits.starts_with('0') && index::key(digits).is_some() {
                format!("'{text}' starts with 0: want the prefix of an E.164 number, without international prefix")
            } else {
                format!("'{text}' is not a prefix: want 1 to {} digits", index::MAX_DIGITS)
            };
            self.problems.add(line, COLUMNS[PREFIX], problem);
        }
        key
    }

    /// A text of at most `max` characters without control characters, by id.
    fn label<'r>(&mut self, record: impl Cells<'r>, line: u64, column: usize, max: usize) -> Option<u32> {
        let text = self.text(record, line, column);
        let ascii = text.is_ascii();
        if if ascii { text.bytes().any(|b| b.is_ascii_control()) } else { text.chars().any(char::is_control) } {
            self.problems.add(line, COLUMNS[column], "a line break or control character (is a quote left open?)");
            return None;
        }
        if text.len() > max && (ascii || text.chars().count() > max) {
            self.problems.add(line, COLUMNS[column], format_args!("more than {max} characters"));
            return None;
        }
        Some(text_id(&mut self.texts, text))
    }

    /// An origin group by its name in small letters, as documents have them.
    fn group<'r>(&mut self, record: impl Cells<'r>, line: u64) -> Option<u32> {
        let id = self.label(record, line, ORIGIN_GROUP, MAX_LABEL)?;
        match self.cell(record, ORIGIN_GROUP) {
            Some(text) if text.chars().any(char::is_uppercase) => Some(text_id(&mut self.texts, &text.to_lowercase())),
            _ => Some(id),
        }
    }

    /// A price and the decimal places it was written with; `None` when empty or wrong.
    fn price<'r>(&mut self, record: impl Cells<'r>, line: u64, column: usize) -> Option<(i64, u8)> {
        let text = self.text(record, line, column);
        if text.is_empty() {
            return None;
        }
        match parse_scaled(text, RATE_PLACES) {
            Ok(price) if price < 0 => self.problems.add(line, COLUMNS[column], format_args!("'{text}' is below 0")),
            Ok(price) => {
                let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                return Some((price, places.min(RATE_PLACES as usize) as u8));
            }
            Err(e) => self.problems.add(line, COLUMNS[column], e),
        }
        None
    }

    fn seconds<'r>(&mut self, record: impl Cells<'r>, line: u64, column: usize, min: u32) -> Option<u32> {
        let text = self.text(record, line, column);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|s| digits && (min..=MAX_INCREMENT_S).contains(s));
        if value.is_none() {
            let problem = format!("'{text}' is not a number of seconds from {min} to {MAX_INCREMENT_S}");
            self.problems.add(line, COLUMNS[column], problem);
        }
        value
    }

    fn date<'r>(&mut self, record: impl Cells<'r>, line: u64, column: usize) -> Option<i64> {
        let text = self.text(record, line, column);
        if text.is_empty() {
            return None;
        }
        // Most rows of a sheet come into force together.
        if let Some((last, at)) = &self.seen.date
            && last == text
        {
            return Some(*at);
        }
        let at = dates::parse(text, self.zone).map_err(|e| self.problems.add(line, COLUMNS[column], e)).ok()?;
        self.seen.date = Some((text.to_owned(), at));
        Some(at)
    }

    fn flag<'r>(&mut self, record: impl Cells<'r>, line: u64, column: usize) -> Option<bool> {
        let text = self.text(record, line, column);
        let is = |words: [&str; 3]| words.iter().any(|w| w.eq_ignore_ascii_case(text));
        if text.is_empty() || is(["false", "no", "0"]) {
            Some(false)
        } else if is(["true", "yes", "1"]) {
            Some(true)
        } else {
            self.problems.add(line, COLUMNS[column], format_args!("'{text}' is neither true nor false"));
            None
        }
    }

    fn check_currency<'r>(&mut self, record: impl Cells<'r>, line: u64) {
        let text = self.text(record, line, CURRENCY);
        if text.is_empty() || self.currency.as_ref().is_some_and(|(first, _)| first == text) {
            return;
        }
        let text = text.to_ascii_uppercase();
        if !is_currency(&text) {
            return self.problems.add(line, COLUMNS[CURRENCY], format_args!("'{text}' is not a currency: want three letters"));
        }
        match &self.currency {
            None => self.currency = Some((text, line)),
            Some((first, at)) if *first != text => {
                let problem = format!("{text}, but line {at} says {first}: a deck has one currency");
                self.problems.add(line, COLUMNS[CURRENCY], problem);
            }
            Some(_) => {}
        }
    }
}
