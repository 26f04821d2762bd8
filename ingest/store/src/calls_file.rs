//! Call files in Parquet: calls to rate in, rated calls out. The columns are those of the CSV forms, in their order:
//! `call_id, account, from, to, setup, answer, end [, carrier, trunk, lrn, duration_ms]`, and for rated calls then
//! `prefix, destination, billed_seconds, rate, amount, currency, deck_version, reason`.
//!
//! In: texts are strings of any arrow kind; times are timestamps with a zone (any unit; finer than microseconds is cut)
//! or RFC 3339 text; `duration_ms` is an integer or digits. A cell that cannot be read is an error of its row only.
//! Out: times are UTC microseconds, `billed_seconds` an integer, `rate` Decimal(20,12) per minute, `amount` Decimal(18,8).

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    compute::cast,
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use thiserror::Error;
use tollgate_schemas::time;

#[derive(Debug, Error)]
pub enum CallsFileError {
    #[error("{path}: {why}")]
    File { path: PathBuf, why: String },
    #[error("{path}: column '{column}' is missing; calls need call_id, account, from, to, setup, answer, end")]
    MissingColumn { path: PathBuf, column: &'static str },
    #[error("{path}: column '{column}' is {found}; want {want}")]
    ColumnType { path: PathBuf, column: &'static str, found: String, want: &'static str },
}

/// A call to rate. Times are UTC microseconds; `answer_us` None = not answered. Columns that the file does not have, and
/// null cells of optional columns, are empty or None.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallRow {
    pub call_id: String,
    pub account: String,
    pub from: String,
    pub to: String,
    pub setup_us: i64,
    pub answer_us: Option<i64>,
    pub end_us: i64,
    pub carrier: String,
    pub trunk: String,
    pub lrn: String,
    pub duration_ms: Option<u64>,
}

/// What rating found. `rate_e12` is per minute; `amount_e8` None where there is no price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RatedRow {
    pub call: CallRow,
    pub prefix: String,
    pub destination: String,
    pub billed_seconds: Option<u64>,
    pub rate_e12: Option<i64>,
    pub amount_e8: Option<i64>,
    pub currency: String,
    pub deck_version: String,
    pub reason: String,
}

/// A row that is not a call: what is wrong in which column. `row` counts from 1, without a header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("row {row}, column {column}: {problem}")]
pub struct BadRow {
    pub row: u64,
    pub column: &'static str,
    pub problem: String,
}

/// The optional columns, in their order.
const OPTIONAL: [&str; 4] = ["carrier", "trunk", "lrn", "duration_ms"];
const BATCH_ROWS: usize = 8_192;

/// Reads calls batch by batch, in the file's order.
pub struct CallsReader {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    next_row: u64,
    rows: u64,
    present: Vec<&'static str>,
}

impl CallsReader {
    pub fn open(path: &Path) -> Result<CallsReader, CallsFileError> {
        let wrong = |why: String| CallsFileError::File { path: path.to_owned(), why };
        let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| wrong(e.to_string()))?;
        let has = |name: &str| builder.schema().field_with_name(name).is_ok();
        for column in ["call_id", "account", "from", "to", "setup", "answer", "end"] {
            if !has(column) {
                return Err(CallsFileError::MissingColumn { path: path.to_owned(), column });
            }
        }
        let present = OPTIONAL.into_iter().filter(|c| has(c)).collect();
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let batches = builder.with_batch_size(BATCH_ROWS).build().map_err(|e| wrong(e.to_string()))?;
        Ok(CallsReader { path: path.to_owned(), batches, next_row: 1, rows, present })
    }

    /// Rows in the file, for progress.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Which of `carrier`, `trunk`, `lrn`, `duration_ms` the file has: a rated file has the same.
    pub fn optional_columns(&self) -> &[&'static str] {
        &self.present
    }

    fn read(&self, batch: &RecordBatch) -> Result<Vec<Result<CallRow, BadRow>>, CallsFileError> {
        let text = |name| self.text(batch, name);
        let (call_id, account, from, to) = (text("call_id")?, text("account")?, text("from")?, text("to")?);
        let (setup, answer, end) = (self.times(batch, "setup")?, self.times(batch, "answer")?, self.times(batch, "end")?);
        let (carrier, trunk, lrn) = (text("carrier")?, text("trunk")?, text("lrn")?);
        let duration = self.duration(batch)?;
        Ok((0..batch.num_rows())
            .map(|i| {
                let row = self.next_row + i as u64;
                let bad = |column, problem: String| BadRow { row, column, problem };
                let need = |cells: &Texts, column| match cells.get(i) {
                    "" => Err(bad(column, "is empty".into())),
                    text => Ok(text.to_owned()),
                };
                let at = |cells: &Times, column| cells.get(i).map_err(|problem| bad(column, problem));
                let needed = |cells: &Times, column| at(cells, column)?.ok_or_else(|| bad(column, "is empty".into()));
                Ok(CallRow {
                    call_id: need(&call_id, "call_id")?,
                    account: account.get(i).to_owned(),
                    from: from.get(i).to_owned(),
                    to: need(&to, "to")?,
                    setup_us: needed(&setup, "setup")?,
                    answer_us: at(&answer, "answer")?,
                    end_us: needed(&end, "end")?,
                    carrier: carrier.get(i).to_owned(),
                    trunk: trunk.get(i).to_owned(),
                    lrn: lrn.get(i).to_owned(),
                    duration_ms: duration.get(i).map_err(|problem| bad("duration_ms", problem))?,
                })
            })
            .collect())
    }

    fn wrong_type(&self, column: &'static str, found: &DataType, want: &'static str) -> CallsFileError {
        CallsFileError::ColumnType { path: self.path.clone(), column, found: found.to_string(), want }
    }

    fn text(&self, batch: &RecordBatch, name: &'static str) -> Result<Texts, CallsFileError> {
        let Some(array) = batch.column_by_name(name) else { return Ok(Texts(None)) };
        let wrong = || self.wrong_type(name, array.data_type(), "a string");
        Ok(Texts(Some(strings(array).ok_or_else(wrong)?)))
    }

    fn times(&self, batch: &RecordBatch, name: &'static str) -> Result<Times, CallsFileError> {
        let Some(array) = batch.column_by_name(name) else {
            return Err(CallsFileError::MissingColumn { path: self.path.clone(), column: name });
        };
        let wrong = || self.wrong_type(name, array.data_type(), "a timestamp with a zone, or RFC 3339 text");
        if let Some(texts) = strings(array) {
            return Ok(Times::Text(texts));
        }
        match array.data_type() {
            DataType::Timestamp(_, Some(_)) => {
                let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                let micros = cast(array, &utc).map_err(|_| wrong())?;
                Ok(Times::Micros(micros.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?.clone()))
            }
            _ => Err(wrong()),
        }
    }

    fn duration(&self, batch: &RecordBatch) -> Result<Durations, CallsFileError> {
        let Some(array) = batch.column_by_name("duration_ms") else { return Ok(Durations::Absent) };
        let wrong = || self.wrong_type("duration_ms", array.data_type(), "an integer");
        if let Some(texts) = strings(array) {
            return Ok(Durations::Text(texts));
        }
        if !array.data_type().is_integer() {
            return Err(wrong());
        }
        let whole = cast(array, &DataType::Int64).map_err(|_| wrong())?;
        Ok(Durations::Whole(whole.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.clone()))
    }
}

impl Iterator for CallsReader {
    type Item = Result<Vec<Result<CallRow, BadRow>>, CallsFileError>;

    /// The next batch of rows; an error ends the file.
    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.batches.next()? {
            Ok(batch) => batch,
            Err(e) => return Some(Err(CallsFileError::File { path: self.path.clone(), why: e.to_string() })),
        };
        let rows = self.read(&batch);
        self.next_row += batch.num_rows() as u64;
        Some(rows)
    }
}

fn strings(array: &ArrayRef) -> Option<StringArray> {
    let is_text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let text = match array.data_type() {
        DataType::Dictionary(_, value) => is_text(value),
        ty => is_text(ty),
    };
    if !text {
        return None;
    }
    cast(array, &DataType::Utf8).ok()?.as_string_opt::<i32>().cloned()
}

struct Texts(Option<StringArray>);

impl Texts {
    fn get(&self, i: usize) -> &str {
        self.0.as_ref().filter(|a| a.is_valid(i)).map_or("", |a| a.value(i))
    }
}

enum Times {
    Text(StringArray),
    Micros(TimestampMicrosecondArray),
}

impl Times {
    fn get(&self, i: usize) -> Result<Option<i64>, String> {
        match self {
            Times::Micros(a) => Ok(a.is_valid(i).then(|| a.value(i))),
            Times::Text(a) if a.is_null(i) || a.value(i).is_empty() => Ok(None),
            Times::Text(a) => time::parse_rfc3339(a.value(i)).map(Some).map_err(|e| e.to_string()),
        }
    }
}

enum Durations {
    Absent,
    Text(StringArray),
    Whole(Int64Array),
}

impl Durations {
    fn get(&self, i: usize) -> Result<Option<u64>, String> {
        let negative = |n: i64| u64::try_from(n).map(Some).map_err(|_| format!("{n} is negative"));
        match self {
            Durations::Absent => Ok(None),
            Durations::Whole(a) if a.is_null(i) => Ok(None),
            Durations::Whole(a) => negative(a.value(i)),
            Durations::Text(a) if a.is_null(i) || a.value(i).is_empty() => Ok(None),
            Durations::Text(a) => a.value(i).parse().map(Some).map_err(|_| format!("'{}' is not a whole number", a.value(i))),
        }
    }
}

/// Writes rated calls in the order given. The file appears under its name when `finish` returns, not before.
pub struct RatedWriter {
    path: PathBuf,
    tmp: PathBuf,
    optional: Vec<&'static str>,
    schema: SchemaRef,
    writer: ArrowWriter<BufWriter<File>>,
    rows: Vec<RatedRow>,
}

impl RatedWriter {
    /// `optional`: which of the optional call columns the file has, as `CallsReader::optional_columns` gives them.
    pub fn create(path: &Path, optional: &[&'static str]) -> Result<RatedWriter, CallsFileError> {
        let wrong = |why: String| CallsFileError::File { path: path.to_owned(), why };
        let optional: Vec<_> = OPTIONAL.into_iter().filter(|c| optional.contains(c)).collect();
        let schema = rated_schema(&optional);
        let mut tmp = path.as_os_str().to_owned();
        tmp.push(".tmp");
        let tmp = PathBuf::from(tmp);
        let zstd = ZstdLevel::try_new(3).map_err(|e| wrong(e.to_string()))?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(zstd)).build();
        let file = File::create(&tmp).map_err(|e| wrong(e.to_string()))?;
        let writer = ArrowWriter::try_new(BufWriter::new(file), schema.clone(), Some(properties)).map_err(|e| wrong(e.to_string()))?;
        Ok(RatedWriter { path: path.to_owned(), tmp, optional, schema, writer, rows: Vec::with_capacity(BATCH_ROWS) })
    }

    pub fn write(&mut self, row: RatedRow) -> Result<(), CallsFileError> {
        self.rows.push(row);
        if self.rows.len() < BATCH_ROWS { Ok(()) } else { self.write_batch() }
    }

    pub fn finish(mut self) -> Result<(), CallsFileError> {
        self.write_batch()?;
        let RatedWriter { path, tmp, writer, .. } = self;
        let close = || -> Result<(), ParquetError> {
            let file = writer.into_inner()?.into_inner().map_err(|e| ParquetError::General(e.to_string()))?;
            file.sync_all()?;
            fs::rename(&tmp, &path)?;
            Ok(())
        };
        close().map_err(|e| CallsFileError::File { path: path.clone(), why: e.to_string() })
    }

    fn write_batch(&mut self) -> Result<(), CallsFileError> {
        let written = self.batch().map_err(ParquetError::from).and_then(|batch| self.writer.write(&batch));
        self.rows.clear();
        written.map_err(|e| CallsFileError::File { path: self.path.clone(), why: e.to_string() })
    }

    /// The waiting rows as a batch in the schema's order.
    fn batch(&self) -> Result<RecordBatch, ArrowError> {
        let texts = |get: fn(&RatedRow) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(self.rows.iter().map(get))) };
        let times = |get: fn(&RatedRow) -> Option<i64>| -> ArrayRef {
            Arc::new(self.rows.iter().map(get).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        };
        let whole = |get: fn(&RatedRow) -> Option<u64>| -> Result<ArrayRef, ArrowError> {
            let fits = |n: u64| i64::try_from(n).map_err(|_| ArrowError::CastError(format!("{n} does not fit 63 bits")));
            Ok(Arc::new(self.rows.iter().map(|r| get(r).map(fits).transpose()).collect::<Result<Int64Array, _>>()?))
        };
        let decimals = |get: fn(&RatedRow) -> Option<i64>, precision, scale| -> Result<ArrayRef, ArrowError> {
            let cells: Decimal128Array = self.rows.iter().map(|r| get(r).map(i128::from)).collect();
            Ok(Arc::new(cells.with_precision_and_scale(precision, scale)?))
        };
        let mut columns = vec![
            texts(|r| &r.call.call_id),
            texts(|r| &r.call.account),
            texts(|r| &r.call.from),
            texts(|r| &r.call.to),
            times(|r| Some(r.call.setup_us)),
            times(|r| r.call.answer_us),
            times(|r| Some(r.call.end_us)),
        ];
        for name in &self.optional {
            columns.push(match *name {
                "carrier" => texts(|r| &r.call.carrier),
                "trunk" => texts(|r| &r.call.trunk),
                "lrn" => texts(|r| &r.call.lrn),
                _ => whole(|r| r.call.duration_ms)?,
            });
        }
        columns.extend([
            texts(|r| &r.prefix),
            texts(|r| &r.destination),
            whole(|r| r.billed_seconds)?,
            decimals(|r| r.rate_e12, 20, 12)?,
            decimals(|r| r.amount_e8, 18, 8)?,
            texts(|r| &r.currency),
            texts(|r| &r.deck_version),
            texts(|r| &r.reason),
        ]);
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

fn rated_schema(optional: &[&'static str]) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = ["call_id", "account", "from", "to"].map(text).to_vec();
    fields.extend([Field::new("setup", utc(), false), Field::new("answer", utc(), true), Field::new("end", utc(), false)]);
    for name in optional {
        fields.push(if *name == "duration_ms" { Field::new(*name, DataType::Int64, true) } else { text(name) });
    }
    fields.extend(["prefix", "destination"].map(text));
    fields.push(Field::new("billed_seconds", DataType::Int64, true));
    fields.push(Field::new("rate", DataType::Decimal128(20, 12), true));
    fields.push(Field::new("amount", DataType::Decimal128(18, 8), true));
    fields.extend(["currency", "deck_version", "reason"].map(text));
    Arc::new(Schema::new(fields))
}
