//! Where the columns of a calls file are, and a record as a call.

use csv::ByteRecord;

use super::{CallFields, CallIn, CallerIn, RateFileError, Wrong, parse_rfc3339_ns};
use crate::cells::Cells;

/// The columns of the form; the first [`REQUIRED`] must be there.
pub(super) const COLUMNS: [&str; 14] =
    ["call_id", "account", "from", "to", "setup", "answer", "end", "carrier", "trunk", "lrn", "duration_ms", "jip", "lrn_source", "cnam_source"];
const REQUIRED: usize = 7;
const CALL_ID: usize = 0;
const ACCOUNT: usize = 1;
const FROM: usize = 2;
const TO: usize = 3;
const SETUP: usize = 4;
const ANSWER: usize = 5;
const END: usize = 6;
const LRN: usize = 9;
const DURATION_MS: usize = 10;
const JIP: usize = 11;
const LRN_SOURCE: usize = 12;
const CNAM_SOURCE: usize = 13;

/// Where the form's columns are.
pub(super) struct Columns {
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
}

impl Columns {
    pub(super) fn of(header: &ByteRecord) -> Result<Columns, RateFileError> {
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
    fn cell<'r>(&self, record: impl Cells<'r>, column: usize) -> Result<&'r str, Wrong> {
        let Some(at) = self.places[column] else { return Ok("") };
        match std::str::from_utf8(record.cell(at)) {
            Ok(text) => Ok(text.trim()),
            Err(_) => Err(Wrong::new(COLUMNS[column], "not UTF-8 text")),
        }
    }

    /// UTC nanoseconds; `None` when empty.
    fn time<'r>(&self, record: impl Cells<'r>, column: usize) -> Result<Option<i64>, Wrong> {
        let text = self.cell(record, column)?;
        if text.is_empty() {
            return Ok(None);
        }
        parse_rfc3339_ns(text).map(Some).map_err(|e| Wrong::new(COLUMNS[column], e.to_string()))
    }

    pub(super) fn call<'r>(&self, record: impl Cells<'r>) -> Result<CallIn<'r>, Wrong> {
        if record.count() != self.width {
            let problem = format!("{} columns, the header has {} (is a quote left open?)", record.count(), self.width);
            return Err(Wrong::new("", problem));
        }
        let fields = CallFields {
            call_id: self.cell(record, CALL_ID)?,
            account: self.cell(record, ACCOUNT)?,
            to: self.cell(record, TO)?,
            lrn: self.cell(record, LRN)?,
            from: "",
            jip: "",
            lrn_source: "",
            cnam_source: "",
            setup_ns: self.time(record, SETUP)?.ok_or_else(|| Wrong::new("setup", "empty"))?,
            answer_ns: self.time(record, ANSWER)?,
            end_ns: self.time(record, END)?,
            duration_ms: self.duration(record)?,
        };
        fields.check()
    }

    /// Who calls, of a record that is a call.
    pub(super) fn caller<'r>(&self, record: impl Cells<'r>) -> Result<CallerIn<'r>, Wrong> {
        let fields = CallFields {
            from: self.cell(record, FROM)?,
            to: self.cell(record, TO)?,
            lrn: self.cell(record, LRN)?,
            jip: self.cell(record, JIP)?,
            lrn_source: self.cell(record, LRN_SOURCE)?,
            cnam_source: self.cell(record, CNAM_SOURCE)?,
            ..CallFields::default()
        };
        fields.caller()
    }

    fn duration<'r>(&self, record: impl Cells<'r>) -> Result<Option<u64>, Wrong> {
        let text = self.cell(record, DURATION_MS)?;
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let parsed = text.parse().ok().filter(|_| digits);
        parsed.map(Some).ok_or_else(|| Wrong::new("duration_ms", format!("'{text}' is not a whole number of milliseconds")))
    }
}
