//! Call files in Parquet: calls to rate in, rated calls out. The columns are those of the CSV forms, in their order:
//! `call_id, account, from, to, setup, answer, end [, carrier, trunk, lrn, duration_ms, jip, lrn_source, cnam_source]`, and for rated calls then
//! `prefix, destination, billed_seconds, rate, amount, currency, deck_version, reason`. Other columns are not looked at.
//!
//! In: texts are strings; times are timestamps with a zone (any unit; finer than microseconds is cut) or RFC 3339 text;
//! `duration_ms` is an integer or digits. A cell that cannot be read is an error of its row only. Files are compressed with
//! whatever the parquet crate reads.
//! Out: times are UTC microseconds, `billed_seconds` an integer, `rate` Decimal(20,12) per minute, `amount` Decimal(18,8).
//!
//! A row group becomes a row group. Of the calls' columns only those that a price hangs on are decoded; a column goes into
//! the rated file as the bytes it came in, unless it has another form there (times as text, say) or rows of it are left
//! out. A row group of more than [`PART_ROWS`] rows is written anew in parts, so that what is in memory has a bound: per
//! thread one part of what is added (about 60 bytes a row before it is encoded), and one page of each column.

mod added;
mod batch;
mod chunk;
mod rated;
mod shared;

use std::{fs::File, path::{Path, PathBuf}, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    basic::Compression,
    file::metadata::RowGroupMetaData,
};
use thiserror::Error;

pub use added::{Added, Line};
pub use batch::{CallBatch, CallCells};
pub use rated::{Encoder, Part, RatedFile};
use shared::Shared;

#[derive(Debug, Error)]
pub enum CallsFileError {
    #[error("{path}: {why}")]
    File { path: PathBuf, why: String },
    #[error("{path}: column '{column}' is missing; calls need call_id, account, from, to, setup, answer, end")]
    MissingColumn { path: PathBuf, column: &'static str },
    #[error("{path}: column '{column}' is {found}; want {want}")]
    ColumnType { path: PathBuf, column: &'static str, found: String, want: &'static str },
}

/// A row that is not a call: what is wrong in which column. `row` counts from 1, without a header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("row {row}, column {column}: {problem}")]
pub struct BadRow {
    pub row: u64,
    pub column: &'static str,
    pub problem: String,
}

/// The columns of calls in their order; the first [`REQUIRED`] must be there.
const COLUMNS: [&str; 14] =
    ["call_id", "account", "from", "to", "setup", "answer", "end", "carrier", "trunk", "lrn", "duration_ms", "jip", "lrn_source", "cnam_source"];
const REQUIRED: usize = 7;
/// Those that a price hangs on, or that make a row no call.
const PRICED: [&str; 8] = ["call_id", "account", "to", "setup", "answer", "end", "lrn", "duration_ms"];
/// Those that a price hangs on too where it goes by the caller.
const OF_CALLERS: [&str; 4] = ["from", "jip", "lrn_source", "cnam_source"];

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8_192;
/// Most rows of a row group that is written.
pub const PART_ROWS: usize = 1 << 20;

/// What a cell of a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Time,
    Whole,
}

fn holds(column: &str) -> Holds {
    match column {
        "setup" | "answer" | "end" => Holds::Time,
        "duration_ms" => Holds::Whole,
        _ => Holds::Text,
    }
}

/// A column of the form that the file has.
#[derive(Debug, Clone)]
struct Column {
    name: &'static str,
    /// Among the file's leaves.
    leaf: usize,
    /// Already has the form of the rated file.
    as_is: bool,
}

/// A file of calls, opened and its columns checked.
pub struct CallsFile {
    path: PathBuf,
    file: Shared,
    /// As arrow sees it, and with text in the forms that are cheap to look at.
    plain: ArrowReaderMetadata,
    priced: ArrowReaderMetadata,
    columns: Vec<Column>,
    callers: bool,
}

impl CallsFile {
    pub fn open(path: &Path) -> Result<CallsFile, CallsFileError> {
        let wrong = |why: String| CallsFileError::File { path: path.to_owned(), why };
        let file = Shared(Arc::new(File::open(path).map_err(|e| wrong(e.to_string()))?));
        let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let plain = ArrowReaderMetadata::load(&file, options()).map_err(|e| wrong(e.to_string()))?;
        let leaves = plain.parquet_schema().columns();
        let mut columns = Vec::new();
        for (at, name) in COLUMNS.into_iter().enumerate() {
            let leaf = leaves.iter().position(|leaf| leaf.path().parts() == [name]);
            match (leaf, plain.schema().field_with_name(name)) {
                (Some(leaf), Ok(field)) => {
                    let as_is = as_is(name, field.data_type()).map_err(|want| CallsFileError::ColumnType {
                        path: path.to_owned(), column: name, found: field.data_type().to_string(), want,
                    })?;
                    columns.push(Column { name, leaf, as_is });
                }
                _ if at < REQUIRED => return Err(CallsFileError::MissingColumn { path: path.to_owned(), column: name }),
                _ => {}
            }
        }
        let hinted: Vec<Field> = plain.schema().fields().iter().map(|f| hint(f)).collect();
        let priced = ArrowReaderMetadata::try_new(plain.metadata().clone(), options().with_schema(Schema::new(hinted).into()))
            .map_err(|e| wrong(e.to_string()))?;
        Ok(CallsFile { path: path.to_owned(), file, plain, priced, columns, callers: false })
    }

    /// Rows come with the cells that say who calls.
    pub fn with_callers(self) -> CallsFile {
        CallsFile { callers: true, ..self }
    }

    /// Rows in the file, for progress.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.plain.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Row groups.
    pub fn units(&self) -> usize {
        self.plain.metadata().num_row_groups()
    }

    /// The calls of a row group.
    pub fn unit(&self, group: usize) -> Result<Unit<'_>, CallsFileError> {
        let rows = |g: &RowGroupMetaData| u64::try_from(g.num_rows()).unwrap_or(0);
        let groups = self.plain.metadata().row_groups();
        let first_row = 1 + groups.iter().take(group).map(rows).sum::<u64>();
        let whole = groups.get(group).is_some_and(|g| rows(g) <= PART_ROWS as u64);
        let known = groups.get(group).is_some_and(|g| self.never_empty(g, "call_id"));
        let asked = |name: &str| PRICED.contains(&name) || (self.callers && OF_CALLERS.contains(&name));
        let wanted = |c: &&Column| asked(c.name) && !(known && c.name == "call_id");
        let leaves: Vec<usize> = self.columns.iter().filter(wanted).map(|c| c.leaf).collect();
        let batches = self.reader(&self.priced, group, &leaves)?;
        Ok(Unit { file: self, group, whole, next_row: first_row, batches, copier: None })
    }

    fn reader(&self, as_seen: &ArrowReaderMetadata, group: usize, leaves: &[usize]) -> Result<ParquetRecordBatchReader, CallsFileError> {
        let mask = ProjectionMask::leaves(self.plain.parquet_schema(), leaves.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), as_seen.clone())
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|e| self.wrong(e))
    }

    fn wrong(&self, why: impl ToString) -> CallsFileError {
        CallsFileError::File { path: self.path.clone(), why: why.to_string() }
    }

    /// The statistics say that no cell of a text is empty or null.
    fn never_empty(&self, group: &RowGroupMetaData, name: &str) -> bool {
        let leaf = self.columns.iter().find(|c| c.name == name).map(|c| c.leaf);
        let statistics = leaf.and_then(|leaf| group.column(leaf).statistics());
        statistics.is_some_and(|s| {
            s.null_count_opt() == Some(0) && !s.is_min_max_deprecated() && s.min_bytes_opt().is_some_and(|min| !min.is_empty())
        })
    }

    /// How the file's first column is compressed: what is added is compressed alike, where that is Snappy.
    fn compression(&self) -> Compression {
        self.plain.metadata().row_groups().first().map_or(Compression::SNAPPY, |g| g.column(0).compression())
    }
}

/// Whether a column can stay as it is, or the type it should have.
fn as_is(name: &str, found: &DataType) -> Result<bool, &'static str> {
    match (holds(name), found) {
        (Holds::Text, DataType::Utf8) => Ok(true),
        (Holds::Text, _) => Err("a string"),
        (Holds::Time, DataType::Timestamp(unit, Some(_))) => Ok(*unit == TimeUnit::Microsecond),
        (Holds::Time | Holds::Whole, DataType::Utf8) => Ok(false),
        (Holds::Time, _) => Err("a timestamp with a zone, or RFC 3339 text"),
        (Holds::Whole, found) if found.is_integer() => Ok(true),
        (Holds::Whole, _) => Err("an integer"),
    }
}

/// Accounts repeat, so they stay numbered as the file numbers them; other texts are looked at where they were decoded.
fn hint(field: &Field) -> Field {
    match (field.name().as_str(), field.data_type()) {
        ("account", DataType::Utf8) => field.clone().with_data_type(DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())),
        ("call_id" | "from" | "to" | "lrn" | "jip" | "lrn_source" | "cnam_source", DataType::Utf8) => field.clone().with_data_type(DataType::Utf8View),
        _ => field.clone(),
    }
}

/// The calls of a row group, batch by batch, in the file's order; an error ends it.
pub struct Unit<'f> {
    file: &'f CallsFile,
    group: usize,
    /// Becomes one row group.
    whole: bool,
    next_row: u64,
    batches: ParquetRecordBatchReader,
    /// Follows behind, reading the columns that are written anew.
    copier: Option<ParquetRecordBatchReader>,
}

impl Iterator for Unit<'_> {
    type Item = Result<CallBatch, CallsFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.batches.next()? {
            Ok(batch) => batch,
            Err(e) => return Some(Err(self.file.wrong(e))),
        };
        let first_row = self.next_row;
        self.next_row += batch.num_rows() as u64;
        Some(Ok(CallBatch::new(first_row, &batch)))
    }
}
