//! A carrier's CDR file into calls. Layouts differ by column names, delimiter, date form and zone; what a name means is
//! found in a list of the trade's names, and a mapping says it where the list does not. Every row that cannot be read is
//! a problem with its line and column; none is left out in silence.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

pub use super::time_text::DateOrder;
use super::{
    Billed,
    columns::{Columns, Field},
    ours::{NoCalls, Picker},
};
use crate::sheet::{Cell, whole_text};

/// Problems kept; the rest are counted.
const LISTED: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// From 1, the header's line too.
    pub line: u64,
    /// As the file names it; empty = the whole row.
    pub column: String,
    pub problem: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.column.is_empty() {
            write!(f, ", column '{}'", self.column)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Everything wrong with a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    pub listed: Vec<FileProblem>,
    /// With those not listed.
    pub total: u64,
}

impl Problems {
    pub(super) fn one(line: u64, column: &str, problem: String) -> Problems {
        Problems { listed: vec![FileProblem { line, column: column.to_owned(), problem }], total: 1 }
    }

    pub(super) fn push(&mut self, problem: FileProblem) {
        self.total += 1;
        if self.listed.len() < LISTED {
            self.listed.push(problem);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// What a file does not say by itself. Everything may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Our name (`called`, `caller`, `start`, `answer`, `date`, `time`, `duration`, `billed`, `rate`, `amount`, `code`,
    /// `id`, `connect_fee`, `initial`, `increment`, `increments`, `status`, `minutes_west`, `end`, `currency`) to the file's.
    pub columns: BTreeMap<String, String>,
    /// Of a file without a header line: our names in its order, `-` for what is not wanted.
    pub header: Vec<String>,
    pub delimiter: Option<char>,
    pub date_format: Option<DateOrder>,
    /// IANA zone of times that name none; UTC by default.
    pub timezone: Option<String>,
    /// What `duration` and `billed` count: `seconds` (default), `minutes` or `milliseconds`.
    pub duration_unit: Option<String>,
    /// Decimals have a comma, or a point; told by each column where it is left out.
    pub decimal_comma: Option<bool>,
    /// ISO 4217, of rows that name none.
    pub currency: Option<String>,
    /// Digits put before called numbers that are to be taken off.
    pub strip_prefix: String,
    /// Lines before the header.
    pub skip_lines: usize,
    /// Sheet of a workbook that has several.
    pub sheet: Option<String>,
}

/// Calls of a file, in its order.
#[derive(Debug, Default)]
pub struct Read {
    pub calls: Vec<Billed>,
    pub problems: Problems,
}

/// Lower-case letters and digits of a header.
pub(super) fn plain(header: &str) -> String {
    header.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The delimiter of a text's first line: the one it has most of.
pub(super) fn delimiter(text: &str) -> u8 {
    let first = text.lines().next().unwrap_or_default();
    b",;\t|".iter().copied().max_by_key(|d| (first.bytes().filter(|b| b == d).count(), *d == b',')).unwrap_or(b',')
}

/// Which side a file is: prices of ours have names of their own.
impl Mapping {
    /// Our CDRs as a customer sees them: what it is charged.
    pub fn of_sale() -> Mapping {
        let names = [("rate", "sell_rate"), ("amount", "sell_amount"), ("billed", "billed_sec_sell"), ("code", "sell_prefix"), ("connect_fee", "sell_connect"), ("increments", "sell_increment"), ("currency", "sell_currency"), ("party", "account")];
        Mapping { columns: names.map(|(ours, file)| (ours.to_owned(), file.to_owned())).into(), ..Mapping::default() }
    }
}

/// Reads a file of calls: CSV of any of the usual delimiters in UTF-8, UTF-16 or Windows-1252. `seen` is told the bytes read so far.
pub fn read_calls(bytes: &[u8], mapping: &Mapping, seen: &mut dyn FnMut(u64)) -> Read {
    let mut out = Read::default();
    if let Some(table) = Table::of_text(bytes, mapping, &mut out.problems) {
        table.read(mapping, None, seen, &mut out);
    }
    out
}

/// Reads the rows of a workbook's sheet, each with its number.
pub fn read_cells(rows: &[(u64, Vec<Cell>)], mapping: &Mapping) -> Read {
    let mut out = Read::default();
    if let Some(table) = Table::of_cells(rows, mapping, &mut out.problems) {
        table.read(mapping, None, &mut |_| {}, &mut out);
    }
    out
}

/// Reads a CSV file of our own CDRs: those that `picker` asks for.
pub fn read_ours(bytes: &[u8], mut picker: Picker<'_>, seen: &mut dyn FnMut(u64)) -> Result<(super::Ours, Problems), NoCalls> {
    let mapping = if picker.is_sale() { Mapping::of_sale() } else { Mapping::default() };
    let mut out = Read::default();
    if let Some(table) = Table::of_text(bytes, &mapping, &mut out.problems) {
        table.read(&mapping, Some(&mut picker), seen, &mut out);
    }
    if !out.problems.is_empty() && picker.is_empty() {
        return Err(NoCalls::Unreadable(out.problems));
    }
    Ok((picker.finish()?, out.problems))
}

/// A file's header and rows, before anything is known about them.
struct Table {
    header: Vec<String>,
    rows: Vec<csv::StringRecord>,
    delimiter: u8,
}

impl Table {
    fn of_text(bytes: &[u8], mapping: &Mapping, problems: &mut Problems) -> Option<Table> {
        let text = match whole_text(bytes) {
            Ok(text) => text,
            Err(e) => {
                *problems = Problems::one(1, "", e.to_string());
                return None;
            }
        };
        let mut start = 0;
        for _ in 0..mapping.skip_lines {
            start += text[start..].find('\n').map_or(text.len() - start, |n| n + 1);
        }
        let text = &text[start..];
        let delimiter = mapping.delimiter.and_then(|c| u8::try_from(c).ok()).unwrap_or_else(|| delimiter(text));
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
        let mut rows: Vec<csv::StringRecord> = Vec::new();
        for record in reader.records() {
            match record {
                Ok(record) if record.iter().any(|c| !c.is_empty()) => rows.push(record),
                Ok(_) => {}
                Err(e) => problems.push(FileProblem { line: e.position().map_or(0, csv::Position::line), column: String::new(), problem: e.to_string() }),
            }
        }
        Table { header: Vec::new(), rows, delimiter }.headed(mapping, problems)
    }

    fn of_cells(rows: &[(u64, Vec<Cell>)], mapping: &Mapping, problems: &mut Problems) -> Option<Table> {
        let skipped = mapping.skip_lines as u64;
        let mut records = Vec::new();
        for (line, cells) in rows.iter().filter(|(line, _)| *line > skipped) {
            let mut record: csv::StringRecord = cells.iter().map(Cell::as_csv).collect();
            record.trim();
            if record.iter().any(|c| !c.is_empty()) {
                let mut at = csv::Position::new();
                at.set_line(line - skipped);
                record.set_position(Some(at));
                records.push(record);
            }
        }
        Table { header: Vec::new(), rows: records, delimiter: b',' }.headed(mapping, problems)
    }

    fn headed(mut self, mapping: &Mapping, problems: &mut Problems) -> Option<Table> {
        if !mapping.header.is_empty() {
            self.header.clone_from(&mapping.header);
            return Some(self);
        }
        if self.rows.is_empty() {
            *problems = Problems::one(1, "", "the file is empty".to_owned());
            return None;
        }
        self.header = self.rows.remove(0).iter().map(str::to_owned).collect();
        Some(self)
    }

    fn read(self, mapping: &Mapping, mut picker: Option<&mut Picker<'_>>, seen: &mut dyn FnMut(u64), out: &mut Read) {
        let columns = match Columns::find(self.header, mapping, self.delimiter, &self.rows, picker.is_some()) {
            Ok(columns) => columns,
            Err(problems) => {
                out.problems = problems;
                return;
            }
        };
        for (n, record) in self.rows.iter().enumerate() {
            let line = record.position().map_or(0, csv::Position::line) + mapping.skip_lines as u64;
            let wanted = picker.as_deref_mut().is_none_or(|p| {
                let attempts = columns.cell(record, Field::Attempts).parse().ok();
                p.wants(columns.cell(record, Field::RecordType), columns.has(Field::Party).then(|| columns.cell(record, Field::Party)), attempts)
            });
            if wanted {
                match (columns.call(record, line), picker.as_deref_mut()) {
                    (Ok(Some(call)), Some(picker)) => picker.take(call),
                    (Ok(Some(call)), None) => out.calls.push(call),
                    (Ok(None), _) => {}
                    (Err((field, problem)), _) => out.problems.push(FileProblem { line, column: columns.name(field), problem }),
                }
            }
            if n.is_multiple_of(4096) {
                seen(record.position().map_or(0, csv::Position::byte));
            }
        }
    }
}
