//! The number table: which state, LATA, company and rate centre an exchange of the North American plan is of.
//!
//! # The form
//! CSV with a header; columns are found by name, in any order and case. `npanxx` has six digits, or seven for one block of
//! a thousand, a leading `1` is dropped; `state` is the two letters; `lata`, `ocn` and `rate_center` may be empty. A block
//! goes before its exchange. The same `npanxx` twice is refused. At most [`MAX_ROWS`] rows.

use std::{collections::HashMap, fmt};

use csv::{ByteRecord, ReaderBuilder};
use foldhash::fast::FixedState;
use sha2::{Digest, Sha256};

use crate::lines::Lines;

/// Every block of every exchange there could be is fewer.
pub const MAX_ROWS: usize = 8_000_000;
/// Problems that are kept; the rest is counted.
const MAX_PROBLEMS: usize = 1_000;
const COLUMNS: [&str; 5] = ["npanxx", "state", "lata", "ocn", "rate_center"];
const REQUIRED: usize = 2;

/// One mistake in a table's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProblem {
    pub line: u64,
    pub column: &'static str,
    pub problem: String,
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.column.is_empty() {
            write!(f, ", column {}", self.column)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// What the table says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'t> {
    pub state: &'t str,
    pub lata: &'t str,
    pub ocn: &'t str,
    pub rate_center: &'t str,
}

/// A compiled number table, immutable.
#[derive(Debug, Clone, Default)]
pub struct NumberTable {
    /// NPANXX or NPANXXX as a number, to a place; the two cannot meet, since an area code does not start with 0.
    rows: HashMap<u32, u32, FixedState>,
    /// Text ids: state, lata, ocn, rate centre.
    places: Vec<[u32; 4]>,
    texts: Vec<Box<str>>,
    version: String,
}

impl NumberTable {
    /// Compiles a file, or gives every mistake, the first 1,000 by name.
    pub fn compile(bytes: &[u8]) -> Result<NumberTable, Vec<TableProblem>> {
        let mut reading = Reading::default();
        reading.read(bytes);
        if reading.problems.is_empty() {
            reading.table.version = Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect();
            return Ok(reading.table);
        }
        if reading.more > 0 {
            reading.problems.push(TableProblem { line: 0, column: "", problem: format!("and {} more problems", reading.more) });
        }
        Err(reading.problems)
    }

    /// First 16 hex digits of the file's SHA-256; of a merged table those of its parts.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Both tables as one; the exchange that both name, if there is one, is the error.
    pub fn merged(mut self, other: &NumberTable) -> Result<NumberTable, String> {
        let base = self.texts.len() as u32;
        let first = self.places.len() as u32;
        self.texts.extend(other.texts.iter().cloned());
        self.places.extend(other.places.iter().map(|p| p.map(|id| id + base)));
        for (key, place) in &other.rows {
            if self.rows.insert(*key, place + first).is_some() {
                return Err(key.to_string());
            }
        }
        if !self.version.is_empty() {
            self.version.push('+');
        }
        self.version.push_str(&other.version);
        Ok(self)
    }

    /// The entry of E.164 digits; None when the number is outside +1 or its exchange is not in the table.
    pub fn find(&self, digits: &str) -> Option<Entry<'_>> {
        let national = digits.strip_prefix('1')?;
        let key = |len: usize| national.get(..len).and_then(|d| d.parse::<u32>().ok());
        let place = key(7).and_then(|k| self.rows.get(&k)).or_else(|| key(6).and_then(|k| self.rows.get(&k)))?;
        let [state, lata, ocn, rate_center] = self.places[*place as usize].map(|id| &*self.texts[id as usize]);
        Some(Entry { state, lata, ocn, rate_center })
    }
}

#[derive(Default)]
struct Reading {
    table: NumberTable,
    texts: HashMap<Box<str>, u32, FixedState>,
    places: HashMap<[u32; 4], u32, FixedState>,
    columns: [Option<usize>; COLUMNS.len()],
    problems: Vec<TableProblem>,
    more: u64,
}

impl Reading {
    fn wrong(&mut self, line: u64, column: &'static str, problem: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(TableProblem { line, column, problem: problem.into() });
        } else {
            self.more += 1;
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Lines::new(bytes));
        let mut record = ByteRecord::new();
        let mut width = None;
        loop {
            let start = reader.position().byte();
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => return self.wrong(0, "", e.to_string()),
            }
            let line = reader.get_mut().of_record(start);
            match width {
                None => {
                    width = Some(record.len());
                    if !self.header(&record, line) {
                        return;
                    }
                }
                Some(width) if width != record.len() => {
                    self.wrong(line, "", format!("{} columns, the header has {width}", record.len()));
                }
                Some(_) => self.row(&record, line),
            }
            if self.table.rows.len() > MAX_ROWS {
                return self.wrong(line, "", format!("more than {MAX_ROWS} rows"));
            }
        }
        if width.is_none() {
            self.wrong(1, "", "the file is empty: want a header line and rows");
        }
    }

    fn header(&mut self, record: &ByteRecord, line: u64) -> bool {
        for (at, cell) in record.iter().enumerate() {
            let name = String::from_utf8_lossy(cell).trim().to_ascii_lowercase();
            match COLUMNS.iter().position(|c| *c == name) {
                Some(column) => self.columns[column] = Some(at),
                None => self.wrong(line, "", format!("'{name}' is no column; the columns are {}", COLUMNS.join(", "))),
            }
        }
        for column in 0..REQUIRED {
            if self.columns[column].is_none() {
                self.wrong(line, COLUMNS[column], "the column is missing");
            }
        }
        self.problems.is_empty()
    }

    fn row(&mut self, record: &ByteRecord, line: u64) {
        let before = self.problems.len();
        let mut cells = [""; COLUMNS.len()];
        for (column, at) in self.columns.into_iter().enumerate() {
            match at.map(|at| std::str::from_utf8(&record[at])) {
                Some(Ok(text)) => cells[column] = text.trim(),
                Some(Err(_)) => self.wrong(line, COLUMNS[column], "not UTF-8 text"),
                None => {}
            }
        }
        let [npanxx, state, lata, ocn, rate_center] = cells;
        let plain = npanxx.strip_prefix('+').unwrap_or(npanxx);
        let plain = plain.strip_prefix('1').unwrap_or(plain);
        let key = plain.parse::<u32>().ok().filter(|_| matches!(plain.len(), 6 | 7) && plain.bytes().all(|b| b.is_ascii_digit()) && plain >= "2");
        if key.is_none() {
            self.wrong(line, COLUMNS[0], format!("'{npanxx}' is no exchange: want six digits, or seven for a block of a thousand"));
        }
        if state.len() != 2 || !state.bytes().all(|b| b.is_ascii_alphabetic()) {
            self.wrong(line, COLUMNS[1], format!("'{state}' is no state: want two letters"));
        }
        for (column, text) in [(2, lata), (3, ocn), (4, rate_center)] {
            if text.len() > 32 {
                self.wrong(line, COLUMNS[column], "more than 32 characters");
            }
        }
        let (Some(key), true) = (key, before == self.problems.len()) else { return };
        let ids = [&*state.to_ascii_uppercase(), lata, ocn, rate_center].map(|text| self.text(text));
        let next = self.table.places.len() as u32;
        let place = *self.places.entry(ids).or_insert(next);
        if place == next {
            self.table.places.push(ids);
        }
        if self.table.rows.insert(key, place).is_some() {
            self.wrong(line, COLUMNS[0], format!("{npanxx} is there already"));
        }
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(id) = self.texts.get(text) {
            return *id;
        }
        let id = self.table.texts.len() as u32;
        self.table.texts.push(text.into());
        self.texts.insert(text.into(), id);
        id
    }
}
