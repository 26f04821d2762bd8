//! Calls CSV in, rated CSV out, one row at a time.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Cursor, Read, Write},
};

use csv::{ByteRecord, ReaderBuilder, Writer};
use thiserror::Error;

use super::{CallFields, CallIn, Decks, RATED_COLUMNS, RatedOut, Reason, Wrong, parse_rfc3339_ns, rate_call};
use crate::lines::Lines;

/// The columns of the form; the first [`REQUIRED`] must be there.
const COLUMNS: [&str; 11] =
    ["call_id", "account", "from", "to", "setup", "answer", "end", "carrier", "trunk", "lrn", "duration_ms"];
const REQUIRED: usize = 7;
const CALL_ID: usize = 0;
const ACCOUNT: usize = 1;
const TO: usize = 3;
const SETUP: usize = 4;
const ANSWER: usize = 5;
const END: usize = 6;
const LRN: usize = 9;
const DURATION_MS: usize = 10;

/// Accounts without a deck that are named in [`Counts`].
const MAX_NAMED_ACCOUNTS: usize = 100;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateOptions {
    /// Add a column `explain` that says how each amount came about.
    pub explain: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the input without its header.
    pub read: u64,
    pub malformed: u64,
    pub rated: u64,
    pub unanswered: u64,
    pub no_prefix: u64,
    pub not_effective: u64,
    pub blocked: u64,
    /// Of `no_prefix`: calls of accounts that have no deck.
    pub without_deck: u64,
    /// Those accounts, at most a hundred.
    pub accounts_without_deck: BTreeSet<String>,
}

impl Counts {
    /// Rows written.
    pub fn written(&self) -> u64 {
        self.read - self.malformed
    }

    fn count(&mut self, out: &RatedOut<'_>, account: &str) {
        *match out.reason {
            Reason::Rated => &mut self.rated,
            Reason::Unanswered => &mut self.unanswered,
            Reason::NoPrefix => &mut self.no_prefix,
            Reason::NotEffective => &mut self.not_effective,
            Reason::Blocked => &mut self.blocked,
        } += 1;
        if out.deck.is_none() {
            self.without_deck += 1;
            if self.accounts_without_deck.len() < MAX_NAMED_ACCOUNTS && !self.accounts_without_deck.contains(account) {
                self.accounts_without_deck.insert(account.to_owned());
            }
        }
    }
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowProblem {
    /// Line of the file the row starts on, from 1 (the header).
    pub line: u64,
    /// `""` when it is about the whole row.
    pub column: &'static str,
    pub problem: String,
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            "" => write!(f, "line {}: {}", self.line, self.problem),
            column => write!(f, "line {}, column {column}: {}", self.line, self.problem),
        }
    }
}

/// Why a file cannot be rated at all.
#[derive(Debug, Error)]
pub enum RateFileError {
    #[error("the calls file is empty: want a header line and rows")]
    Empty,
    #[error("the calls file has no column '{0}'")]
    NoColumn(&'static str),
    #[error("the calls file has a column '{0}'; the columns are {columns}", columns = COLUMNS.join(", "))]
    UnknownColumn(String),
    #[error("the calls file has two columns '{0}'")]
    ColumnTwice(&'static str),
    #[error("cannot read the calls")]
    Read(#[source] csv::Error),
    #[error("cannot write the rated calls")]
    Write(#[source] csv::Error),
}

/// Rates `input` into `output`. Malformed rows go to `problems`, the rest goes on. `progress` is told after each row
/// how many bytes of the input have been read.
pub fn rate_csv(
    decks: &Decks,
    input: impl Read,
    output: impl Write,
    options: RateOptions,
    problems: &mut dyn FnMut(RowProblem),
    progress: &mut dyn FnMut(u64),
) -> Result<Counts, RateFileError> {
    let input = without_bom(input).map_err(|e| RateFileError::Read(e.into()))?;
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 16).from_reader(Lines::new(input));
    let mut writer = csv::WriterBuilder::new().flexible(true).buffer_capacity(1 << 16).from_writer(output);
    let mut record = ByteRecord::new();
    // The header, too, is a record to be counted.
    let start = reader.position().byte();
    if !reader.read_byte_record(&mut record).map_err(RateFileError::Read)? {
        return Err(RateFileError::Empty);
    }
    reader.get_mut().of_record(start);
    let columns = Columns::of(&record)?;
    write_header(&mut writer, &record, options).map_err(RateFileError::Write)?;
    let mut counts = Counts::default();
    loop {
        let start = reader.position().byte();
        if !reader.read_byte_record(&mut record).map_err(RateFileError::Read)? {
            break;
        }
        let line = reader.get_mut().of_record(start);
        counts.read += 1;
        let done = columns.call(&record).and_then(|call| match rate_call(decks, &call) {
            Some(out) => Ok((call, out)),
            None => Err(Wrong::new("duration_ms", "the amount is beyond what money can hold")),
        });
        match done {
            Ok((call, out)) => {
                counts.count(&out, call.account);
                write_row(&mut writer, &record, &call, &out, options).map_err(RateFileError::Write)?;
            }
            Err(wrong) => {
                counts.malformed += 1;
                problems(RowProblem { line, column: wrong.column, problem: wrong.problem });
            }
        }
        progress(reader.position().byte());
    }
    writer.flush().map_err(|e| RateFileError::Write(e.into()))?;
    Ok(counts)
}

/// Skips a UTF-8 byte order mark.
fn without_bom(mut input: impl Read) -> io::Result<impl Read> {
    let mut head = Vec::with_capacity(3);
    input.by_ref().take(3).read_to_end(&mut head)?;
    if head == b"\xef\xbb\xbf" {
        head.clear();
    }
    Ok(Cursor::new(head).chain(input))
}

/// Where the form's columns are.
struct Columns {
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
}

impl Columns {
    fn of(header: &ByteRecord) -> Result<Columns, RateFileError> {
        let mut places = [None; COLUMNS.len()];
        for (at, cell) in header.iter().enumerate() {
            let name = String::from_utf8_lossy(cell).trim().to_ascii_lowercase();
            let column = COLUMNS.iter().position(|c| *c == name).ok_or(RateFileError::UnknownColumn(name))?;
            if places[column].replace(at).is_some() {
                return Err(RateFileError::ColumnTwice(COLUMNS[column]));
            }
        }
        match (0..REQUIRED).find(|column| places[*column].is_none()) {
            Some(column) => Err(RateFileError::NoColumn(COLUMNS[column])),
            None => Ok(Columns { places, width: header.len() }),
        }
    }

    /// The trimmed cell, `""` when the column is absent.
    fn cell<'r>(&self, record: &'r ByteRecord, column: usize) -> Result<&'r str, Wrong> {
        let Some(at) = self.places[column] else { return Ok("") };
        match std::str::from_utf8(&record[at]) {
            Ok(text) => Ok(text.trim()),
            Err(_) => Err(Wrong::new(COLUMNS[column], "not UTF-8 text")),
        }
    }

    /// UTC nanoseconds; `None` when empty.
    fn time(&self, record: &ByteRecord, column: usize) -> Result<Option<i64>, Wrong> {
        let text = self.cell(record, column)?;
        if text.is_empty() {
            return Ok(None);
        }
        parse_rfc3339_ns(text).map(Some).map_err(|e| Wrong::new(COLUMNS[column], e.to_string()))
    }

    fn call<'r>(&self, record: &'r ByteRecord) -> Result<CallIn<'r>, Wrong> {
        if record.len() != self.width {
            let problem = format!("{} columns, the header has {} (is a quote left open?)", record.len(), self.width);
            return Err(Wrong::new("", problem));
        }
        let fields = CallFields {
            call_id: self.cell(record, CALL_ID)?,
            account: self.cell(record, ACCOUNT)?,
            to: self.cell(record, TO)?,
            lrn: self.cell(record, LRN)?,
            setup_ns: self.time(record, SETUP)?.ok_or_else(|| Wrong::new("setup", "empty"))?,
            answer_ns: self.time(record, ANSWER)?,
            end_ns: self.time(record, END)?,
            duration_ms: self.duration(record)?,
        };
        fields.check()
    }

    fn duration(&self, record: &ByteRecord) -> Result<Option<u64>, Wrong> {
        let text = self.cell(record, DURATION_MS)?;
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let parsed = text.parse().ok().filter(|_| digits);
        parsed.map(Some).ok_or_else(|| Wrong::new("duration_ms", format!("'{text}' is not a whole number of milliseconds")))
    }
}

fn write_header(writer: &mut Writer<impl Write>, header: &ByteRecord, options: RateOptions) -> csv::Result<()> {
    for cell in header {
        writer.write_field(cell)?;
    }
    for column in RATED_COLUMNS {
        writer.write_field(column)?;
    }
    if options.explain {
        writer.write_field("explain")?;
    }
    writer.write_record(None::<&[u8]>)
}

fn write_row(
    writer: &mut Writer<impl Write>,
    record: &ByteRecord,
    call: &CallIn<'_>,
    out: &RatedOut<'_>,
    options: RateOptions,
) -> csv::Result<()> {
    for cell in record {
        writer.write_field(cell)?;
    }
    match &out.row {
        Some(row) => {
            writer.write_field(row.prefix())?;
            writer.write_field(row.destination())?;
        }
        None => {
            writer.write_field("")?;
            writer.write_field("")?;
        }
    }
    writer.write_field(out.billed_s.map(|s| s.to_string()).unwrap_or_default())?;
    writer.write_field(out.row.map(|row| row.rate_text()).unwrap_or_default())?;
    writer.write_field(out.amount_text())?;
    writer.write_field(out.deck.map_or("", |deck| deck.currency()))?;
    writer.write_field(out.deck.map_or("", |deck| deck.version()))?;
    writer.write_field(out.reason.name())?;
    if options.explain {
        writer.write_field(out.explain(call))?;
    }
    writer.write_record(None::<&[u8]>)
}
