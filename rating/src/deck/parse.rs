//! Deck CSV → rows → [`Deck`], collecting every problem on the way.

use std::{collections::HashMap, sync::Arc};

use chrono_tz::Tz;
use csv::{ByteRecord, ReaderBuilder};
use foldhash::fast::FixedState;
use tollgate_schemas::money::{RATE_PLACES, parse_scaled};

use super::{
    Deck, DeckOptions, JurisdictionRates, Kind, Linked, Row, Rows, charge::Rounder, dates, deck_version,
    index::{self, PrefixIndex},
    problem::{DeckProblems, Warning},
    windows,
};
use crate::lines::Lines;

/// The columns of the form; the first [`REQUIRED`] must be there.
const COLUMNS: [&str; 15] = [
    "prefix", "destination", "rate", "connect_fee", "initial", "increment", "effective_from", "effective_to", "currency",
    "interrate", "intrarate", "ijrate", "route_class", "origin_group", "blocked",
];
const REQUIRED: usize = 7;
const PREFIX: usize = 0;
const DESTINATION: usize = 1;
const RATE: usize = 2;
const CONNECT_FEE: usize = 3;
const INITIAL: usize = 4;
const INCREMENT: usize = 5;
const EFFECTIVE_FROM: usize = 6;
const EFFECTIVE_TO: usize = 7;
const CURRENCY: usize = 8;
const INTERRATE: usize = 9;
const INTRARATE: usize = 10;
const IJRATE: usize = 11;
const ROUTE_CLASS: usize = 12;
const ORIGIN_GROUP: usize = 13;
const BLOCKED: usize = 14;

/// Longest initial and increment: a day.
const MAX_INCREMENT_S: u32 = 86_400;
const MAX_DESTINATION: usize = 128;
const MAX_LABEL: usize = 64;

/// A row that parsed, before its window is settled.
pub(super) struct RawRow {
    pub line: u64,
    pub prefix: u64,
    /// `i64::MIN` = since ever.
    pub from: i64,
    /// `None` = until further notice.
    pub to: Option<i64>,
    /// Text id; [`NO_TEXT`] = every caller.
    pub origin: u32,
    rate_e12: i64,
    destination: u32,
    /// Its window is settled in `from` and `to` above.
    kind: Kind,
    jurisdiction: JurisdictionRates,
}

impl RawRow {
    pub fn digits(&self) -> String {
        index::digits(self.prefix)
    }
}

/// Id of `""`.
const NO_TEXT: u32 = 0;

type Ids<T> = HashMap<T, u32, FixedState>;

fn id_of<T: std::hash::Hash + Eq>(ids: &mut Ids<T>, value: T) -> u32 {
    let next = ids.len() as u32;
    *ids.entry(value).or_insert(next)
}

/// The values of a numbering, by number.
fn by_id<T>(ids: Ids<T>) -> Box<[T]> {
    let mut all: Vec<(u32, T)> = ids.into_iter().map(|(value, id)| (id, value)).collect();
    all.sort_unstable_by_key(|(id, _)| *id);
    all.into_iter().map(|(_, value)| value).collect()
}

fn text_id(texts: &mut Ids<Box<str>>, text: &str) -> u32 {
    match texts.get(text) {
        Some(id) => *id,
        None => id_of(texts, text.into()),
    }
}

pub(super) fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase())
}

pub(super) fn compile(name: &str, bytes: &[u8], options: &DeckOptions) -> Result<Deck, DeckProblems> {
    let mut sheet = Sheet::new(name, options.timezone);
    if let Err(e) = tollgate_schemas::name::check(name) {
        sheet.problems.add(0, "name", e);
    }
    if let Err(e) = options.check() {
        sheet.problems.add(0, "options", e);
    }
    sheet.read(bytes);
    sheet.rows.sort_unstable_by_key(|row| (row.origin, row.prefix, row.from, row.line));
    let mut warnings = Vec::new();
    windows::settle(&mut sheet.rows, &mut sheet.problems, &mut warnings);
    if sheet.problems.total() > 0 {
        sheet.problems.problems.sort_by_key(|p| p.line);
        return Err(sheet.problems);
    }
    Ok(sheet.into_deck(name, bytes, options, warnings))
}

/// A sheet while it is read.
struct Sheet {
    zone: Tz,
    problems: DeckProblems,
    /// Where each column is in a record.
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
    texts: Ids<Box<str>>,
    rows: Vec<RawRow>,
    /// The first currency named, and its line.
    currency: Option<(String, u64)>,
}

impl Sheet {
    fn new(name: &str, zone: Tz) -> Sheet {
        let mut texts = Ids::default();
        text_id(&mut texts, "");
        let problems = DeckProblems::new(name);
        Sheet { zone, problems, places: [None; COLUMNS.len()], width: 0, texts, rows: Vec::new(), currency: None }
    }

    fn read(&mut self, bytes: &[u8]) {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return self.problems.add(1, "", "the file is UTF-16; save it as CSV in UTF-8");
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Lines::new(bytes));
        let mut record = ByteRecord::new();
        let mut header = true;
        loop {
            let start = reader.position().byte();
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => return self.problems.add(0, "", e),
            }
            let line = reader.get_mut().of_record(start);
            if header {
                header = false;
                if !self.read_header(&record, line) {
                    return;
                }
            } else if record.len() != self.width {
                let problem = format!("{} columns, the header has {} (is a quote left open?)", record.len(), self.width);
                self.problems.add(line, "", problem);
            } else if let Some(row) = self.read_row(&record, line) {
                self.rows.push(row);
            }
        }
        if header {
            self.problems.add(1, "", "the file is empty: want a header line and rows");
        } else if self.rows.is_empty() && self.problems.total() == 0 {
            self.problems.add(1, "", "the sheet has a header but no rows");
        }
    }

    /// False when the columns cannot be known, so that rows would only repeat the mistake.
    fn read_header(&mut self, record: &ByteRecord, line: u64) -> bool {
        self.width = record.len();
        if record.len() == 1 && record[0].iter().any(|b| matches!(b, b';' | b'\t')) {
            self.problems.add(line, "", "columns are separated by ';' or tabs: want commas");
            return false;
        }
        let before = self.problems.total();
        for (at, cell) in record.iter().enumerate() {
            let name = String::from_utf8_lossy(cell).trim().to_ascii_lowercase();
            match COLUMNS.iter().position(|c| *c == name) {
                Some(column) if self.places[column].is_some() => self.problems.add(line, &name, "the column is there twice"),
                Some(column) => self.places[column] = Some(at),
                None => {
                    let problem = format!("no such column; the columns are {}", COLUMNS.join(", "));
                    self.problems.add(line, &name, problem);
                }
            }
        }
        for (column, place) in COLUMNS.iter().zip(&self.places).take(REQUIRED) {
            if place.is_none() {
                self.problems.add(line, column, "the column is missing");
            }
        }
        before == self.problems.total()
    }

    /// `None` when something is wrong with the row; every wrong cell is reported.
    fn read_row(&mut self, record: &ByteRecord, line: u64) -> Option<RawRow> {
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
        let origin = self.label(record, line, ORIGIN_GROUP, MAX_LABEL);
        self.check_currency(record, line);
        let (rate_e12, rate_places) = rate?;
        let kind = Kind {
            from: from.unwrap_or(i64::MIN),
            to: to.unwrap_or(i64::MAX),
            connect_fee_e12: connect_fee,
            initial_s: initial?,
            increment_s: increment?,
            route_class: route_class?,
            rate_places,
            blocked: blocked?,
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
            jurisdiction,
        };
        (before == self.problems.total()).then_some(row)
    }

    /// The trimmed cell; `None` when the column is absent or not UTF-8 (which [`Sheet::text`] reports).
    fn cell<'r>(&self, record: &'r ByteRecord, column: usize) -> Option<&'r str> {
        std::str::from_utf8(&record[self.places[column]?]).ok().map(str::trim)
    }

    /// As [`Sheet::cell`], reporting what is not text; `""` when there is none.
    fn text<'r>(&mut self, record: &'r ByteRecord, line: u64, column: usize) -> &'r str {
        let text = self.cell(record, column);
        if text.is_none() && self.places[column].is_some() {
            self.problems.add(line, COLUMNS[column], "not UTF-8 text");
        }
        text.unwrap_or("")
    }

    fn prefix(&mut self, record: &ByteRecord, line: u64) -> Option<u64> {
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
    fn label(&mut self, record: &ByteRecord, line: u64, column: usize, max: usize) -> Option<u32> {
        let text = self.text(record, line, column);
        if text.chars().any(char::is_control) {
            self.problems.add(line, COLUMNS[column], "a line break or control character (is a quote left open?)");
            return None;
        }
        if text.chars().count() > max {
            self.problems.add(line, COLUMNS[column], format_args!("more than {max} characters"));
            return None;
        }
        Some(text_id(&mut self.texts, text))
    }

    /// A price and the decimal places it was written with; `None` when empty or wrong.
    fn price(&mut self, record: &ByteRecord, line: u64, column: usize) -> Option<(i64, u8)> {
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

    fn seconds(&mut self, record: &ByteRecord, line: u64, column: usize, min: u32) -> Option<u32> {
        let text = self.text(record, line, column);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|s| digits && (min..=MAX_INCREMENT_S).contains(s));
        if value.is_none() {
            let problem = format!("'{text}' is not a number of seconds from {min} to {MAX_INCREMENT_S}");
            self.problems.add(line, COLUMNS[column], problem);
        }
        value
    }

    fn date(&mut self, record: &ByteRecord, line: u64, column: usize) -> Option<i64> {
        let text = self.text(record, line, column);
        if text.is_empty() {
            return None;
        }
        dates::parse(text, self.zone).map_err(|e| self.problems.add(line, COLUMNS[column], e)).ok()
    }

    fn flag(&mut self, record: &ByteRecord, line: u64, column: usize) -> Option<bool> {
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

    fn check_currency(&mut self, record: &ByteRecord, line: u64) {
        let text = self.text(record, line, CURRENCY).to_ascii_uppercase();
        if text.is_empty() {
            return;
        }
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

    fn into_deck(self, name: &str, bytes: &[u8], options: &DeckOptions, warnings: Vec<Warning>) -> Deck {
        let indexed = self.rows.partition_point(|row| row.origin == NO_TEXT);
        let mut kinds = Ids::default();
        let rows: Box<[Row]> = self
            .rows
            .iter()
            .map(|row| Row {
                rate_e12: row.rate_e12,
                destination: row.destination,
                kind: id_of(&mut kinds, Kind { from: row.from, to: row.to.unwrap_or(i64::MAX), ..row.kind }),
            })
            .collect();
        let index = PrefixIndex::build(self.rows[..indexed].iter().map(|row| row.prefix));
        let kinds = by_id(kinds);
        let mut boundaries: Vec<i64> = kinds.iter().flat_map(|kind| [kind.from, kind.to]).collect();
        boundaries.sort_unstable();
        boundaries.dedup();
        let jurisdictions = self.rows.iter().map(|row| row.jurisdiction).zip(0u32..);
        let origins: Box<[(u64, u32)]> = self.rows[indexed..].iter().map(|row| (row.prefix, row.origin)).collect();
        let mut groups: Vec<(u32, u32, u32)> = Vec::new();
        for ((_, group), at) in origins.iter().zip(0u32..) {
            match groups.last_mut() {
                Some((last, _, end)) if last == group => *end = at + 1,
                _ => groups.push((*group, at, at + 1)),
            }
        }
        let shared = Rows {
            name: name.to_owned(),
            version: deck_version(bytes),
            currency: self.currency.map_or_else(|| options.currency.clone(), |(code, _)| code),
            places: options.places,
            rounding: options.rounding,
            rounder: Rounder::new(options.places, options.rounding),
            rules: options.jurisdiction,
            fees: options.lookup_fees,
            index,
            kinds,
            boundaries: boundaries.into(),
            texts: by_id(self.texts),
            jurisdictions: jurisdictions.filter(|(j, _)| *j != JurisdictionRates::default()).map(|(j, row)| (row, j)).collect(),
            groups: groups.into(),
            origins,
            rows,
            warnings,
        };
        Deck { shared: Arc::new(shared), tariff: options.tariff.clone().map(Linked::alone) }
    }
}
