//! Deck CSV → rows → [`Deck`], collecting every problem on the way.

mod cells;
mod plain;

use std::{collections::HashMap, sync::Arc, thread};

use chrono_tz::Tz;
use csv::{ByteRecord, ReaderBuilder};
use foldhash::fast::FixedState;

use super::{
    Deck, DeckOptions, JurisdictionRates, Kind, Linked, Row, Rows, charge::Rounder, deck_version,
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
    /// Into the sheet's kinds, whose window is settled in `from` and `to` above.
    kind: u32,
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

/// Compiles on at most `threads` threads; the deck is the same with any number.
pub(super) fn compile(name: &str, bytes: &[u8], options: &DeckOptions, threads: usize) -> Result<Deck, DeckProblems> {
    let read = || -> Result<(Sheet, Vec<Warning>), DeckProblems> {
        let mut sheet = Sheet::new(name, options.timezone);
        if let Err(e) = tollgate_schemas::name::check(name) {
            sheet.problems.add(0, "name", e);
        }
        if let Err(e) = options.check() {
            sheet.problems.add(0, "options", e);
        }
        if !plain::read(&mut sheet, bytes, threads) {
            sheet.read(bytes);
        }
        sheet.rows.sort_unstable_by_key(|row| (row.origin, row.prefix, row.from, row.line));
        let mut warnings = Vec::new();
        windows::settle(&mut sheet.rows, &mut sheet.problems, &mut warnings);
        if sheet.problems.total() > 0 {
            sheet.problems.problems.sort_by_key(|p| p.line);
            return Err(sheet.problems);
        }
        Ok((sheet, warnings))
    };
    if threads < 2 {
        let (sheet, warnings) = read()?;
        return Ok(sheet.into_deck(name, deck_version(bytes), options, warnings));
    }
    thread::scope(|scope| {
        let version = scope.spawn(|| deck_version(bytes));
        let (sheet, warnings) = read()?;
        let version = version.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(sheet.into_deck(name, version, options, warnings))
    })
}

/// A sheet while it is read.
struct Sheet {
    zone: Tz,
    problems: DeckProblems,
    /// Where each column is in a record.
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
    texts: Ids<Box<str>>,
    /// With a window that is always open.
    kinds: Ids<Kind>,
    rows: Vec<RawRow>,
    /// By line.
    jurisdictions: Vec<(u64, JurisdictionRates)>,
    /// The first currency named, and its line.
    currency: Option<(String, u64)>,
    seen: cells::Seen,
}

impl Sheet {
    fn new(name: &str, zone: Tz) -> Sheet {
        let mut texts = Ids::default();
        text_id(&mut texts, "");
        Sheet {
            zone,
            problems: DeckProblems::new(name),
            places: [None; COLUMNS.len()],
            width: 0,
            texts,
            kinds: Ids::default(),
            rows: Vec::new(),
            jurisdictions: Vec::new(),
            currency: None,
            seen: cells::Seen::default(),
        }
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

    fn into_deck(self, name: &str, version: String, options: &DeckOptions, warnings: Vec<Warning>) -> Deck {
        let indexed = self.rows.partition_point(|row| row.origin == NO_TEXT);
        let counted = by_id(self.kinds);
        let mut kinds = Ids::default();
        // Rows of one date and increments stand together: most need no hashing.
        let mut last = None;
        let mut kind_of = |row: &RawRow| {
            let same = (row.kind, row.from, row.to);
            match last {
                Some((before, id)) if before == same => id,
                _ => {
                    let kind = Kind { from: row.from, to: row.to.unwrap_or(i64::MAX), ..counted[row.kind as usize] };
                    let id = id_of(&mut kinds, kind);
                    last = Some((same, id));
                    id
                }
            }
        };
        let row = |row: &RawRow| Row::new(row.rate_e12, row.destination, kind_of(row), index::key_len(row.prefix));
        let rows: Box<[Row]> = self.rows.iter().map(row).collect();
        let index = PrefixIndex::build(self.rows[..indexed].iter().map(|row| row.prefix));
        let kinds = by_id(kinds);
        let mut boundaries: Vec<i64> = kinds.iter().flat_map(|kind| [kind.from, kind.to]).collect();
        boundaries.sort_unstable();
        boundaries.dedup();
        let by_line: HashMap<u64, JurisdictionRates> = self.jurisdictions.into_iter().collect();
        let jurisdiction = |(row, at): (&RawRow, u32)| Some((at, *by_line.get(&row.line)?));
        let jurisdictions = if by_line.is_empty() { Box::default() } else { self.rows.iter().zip(0..).filter_map(jurisdiction).collect() };
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
            version,
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
            jurisdictions,
            groups: groups.into(),
            origins,
            rows,
            warnings,
        };
        Deck { shared: Arc::new(shared), tariff: options.tariff.clone().map(Linked::alone) }
    }
}
