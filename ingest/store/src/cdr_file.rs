//! CDRs in Parquet files of their own, outside the store: exports (FN-11) and what finance computes from them. Columns have
//! the names and types of the one column table; money is Decimal(18,8), prices Decimal(20,12), times UTC microseconds;
//! zstd, statistics by row group. The same rows give the same bytes.

use std::{
    fs::{self, File},
    io::{BufWriter, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Decimal128Array, FixedSizeBinaryArray, RecordBatch, StringArray, UInt32Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use tollgate_schemas::cdr::{Cdr, Column, column};

use crate::{calls_file::CallsFileError, columns};

const BATCH_ROWS: usize = 8_192;
const GROUP_ROWS: usize = 131_072;

fn wrong(path: &Path, why: impl ToString) -> CallsFileError {
    CallsFileError::File { path: path.to_owned(), why: why.to_string() }
}

/// Reads some columns of a CDR file, batch by batch, in the file's order.
pub struct CdrReader {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    rows: u64,
    missing: Vec<&'static str>,
}

impl CdrReader {
    /// Errors naming the first of `needed` that the file does not have; of `wanted` those it has are read.
    pub fn open(path: &Path, needed: &[&'static str], wanted: &[&'static str]) -> Result<CdrReader, CallsFileError> {
        let mut file = File::open(path).map_err(|e| wrong(path, e))?;
        let mut mark = [0u8; 4];
        let parquet = file.read_exact(&mut mark).is_ok() && &mark == b"PAR1";
        if !parquet {
            return Err(wrong(path, "is not a Parquet file: want CDRs as `tollgate export cdrs … --out NAME.parquet` writes them"));
        }
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| wrong(path, e))?;
        let has = |name: &str| builder.schema().field_with_name(name).is_ok();
        if let Some(missing) = needed.iter().find(|n| !has(n)) {
            return Err(wrong(path, format!("column '{missing}' is missing: want CDRs as `tollgate export cdrs --format parquet` writes them")));
        }
        let names: Vec<&str> = needed.iter().chain(wanted).copied().filter(|n| has(n)).collect();
        let missing = wanted.iter().copied().filter(|n| !has(n)).collect();
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|e| wrong(path, e))?;
        Ok(CdrReader { path: path.to_owned(), batches, rows, missing })
    }

    /// Rows in the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What was wanted and the file does not have; its rows hold there what an empty row has.
    pub fn missing(&self) -> &[&'static str] {
        &self.missing
    }
}

impl Iterator for CdrReader {
    type Item = Result<Vec<Cdr>, CallsFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(batch.and_then(|b| columns::some_from_batch(&b)).map_err(|e| wrong(&self.path, e)))
    }
}

/// A Parquet file that appears under its name when it is finished.
struct Whole {
    path: PathBuf,
    tmp: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
}

impl Whole {
    fn create(path: &Path, schema: SchemaRef) -> Result<Whole, CallsFileError> {
        let mut tmp = path.as_os_str().to_owned();
        tmp.push(".tmp");
        let tmp = PathBuf::from(tmp);
        let zstd = ZstdLevel::try_new(3).map_err(|e| wrong(path, e))?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(zstd)).set_max_row_group_row_count(Some(GROUP_ROWS)).build();
        let file = File::create(&tmp).map_err(|e| wrong(path, e))?;
        let writer = ArrowWriter::try_new(BufWriter::with_capacity(1 << 18, file), schema, Some(properties)).map_err(|e| wrong(path, e))?;
        Ok(Whole { path: path.to_owned(), tmp, writer })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), CallsFileError> {
        self.writer.write(batch).map_err(|e| wrong(&self.path, e))
    }

    fn finish(self) -> Result<(), CallsFileError> {
        let Whole { path, tmp, writer } = self;
        let close = || -> Result<(), ParquetError> {
            let file = writer.into_inner()?.into_inner().map_err(|e| ParquetError::General(e.to_string()))?;
            file.sync_all()?;
            fs::rename(&tmp, &path)?;
            Ok(())
        };
        close().map_err(|e| wrong(&path, e))
    }
}

/// Writes CDRs in the order given.
pub struct CdrWriter {
    columns: Vec<&'static Column>,
    schema: SchemaRef,
    file: Whole,
}

impl CdrWriter {
    pub fn create(path: &Path, columns: &[&'static Column]) -> Result<CdrWriter, CallsFileError> {
        let schema = columns::schema_of(columns);
        Ok(CdrWriter { columns: columns.to_vec(), file: Whole::create(path, schema.clone())?, schema })
    }

    pub fn write(&mut self, rows: &[Arc<Cdr>]) -> Result<(), CallsFileError> {
        for block in rows.chunks(BATCH_ROWS) {
            let batch = columns::batch_of(&self.columns, &self.schema, block).map_err(|e| wrong(&self.file.path, e))?;
            self.file.write(&batch)?;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<(), CallsFileError> {
        self.file.finish()
    }
}

/// What a re-rating changes in one row. Amounts in 1e-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffRow {
    pub call_uuid: [u8; 16],
    pub record_type: &'static str,
    pub attempt_no: u32,
    pub cdr_version: u32,
    pub account: Arc<str>,
    /// Empty where it is about the customer's price.
    pub carrier: Arc<str>,
    pub destination: Arc<str>,
    pub currency: Arc<str>,
    pub old_deck_version: Arc<str>,
    pub new_deck_version: Arc<str>,
    pub old_e8: i64,
    pub new_e8: i64,
}

/// Writes differences: `call_uuid, record_type, attempt_no, cdr_version, account, carrier, destination, currency,
/// old_deck_version, new_deck_version, old_amount, new_amount, delta`.
pub struct DiffWriter {
    schema: SchemaRef,
    file: Whole,
    rows: Vec<DiffRow>,
}

impl DiffWriter {
    pub fn create(path: &Path) -> Result<DiffWriter, CallsFileError> {
        let money = || DataType::Decimal128(18, 8);
        let fields = [
            ("call_uuid", DataType::FixedSizeBinary(16)), ("record_type", DataType::Utf8), ("attempt_no", DataType::UInt32),
            ("cdr_version", DataType::UInt32), ("account", DataType::Utf8), ("carrier", DataType::Utf8), ("destination", DataType::Utf8),
            ("currency", DataType::Utf8), ("old_deck_version", DataType::Utf8), ("new_deck_version", DataType::Utf8),
            ("old_amount", money()), ("new_amount", money()), ("delta", money()),
        ];
        let schema = Arc::new(Schema::new(fields.map(|(name, ty)| Field::new(name, ty, false)).to_vec()));
        Ok(DiffWriter { file: Whole::create(path, schema.clone())?, schema, rows: Vec::with_capacity(BATCH_ROWS) })
    }

    pub fn write(&mut self, row: DiffRow) -> Result<(), CallsFileError> {
        self.rows.push(row);
        if self.rows.len() < BATCH_ROWS { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), CallsFileError> {
        let rows = std::mem::take(&mut self.rows);
        let texts = |get: fn(&DiffRow) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(get))) };
        let numbers = |get: fn(&DiffRow) -> u32| -> ArrayRef { Arc::new(UInt32Array::from_iter_values(rows.iter().map(get))) };
        let money = |get: fn(&DiffRow) -> i128| Decimal128Array::from_iter_values(rows.iter().map(get)).with_precision_and_scale(18, 8);
        let batch = || -> Result<RecordBatch, arrow::error::ArrowError> {
            let ids = FixedSizeBinaryArray::try_from_iter(rows.iter().map(|r| r.call_uuid))?;
            let columns: Vec<ArrayRef> = vec![
                Arc::new(ids), texts(|r| r.record_type), numbers(|r| r.attempt_no), numbers(|r| r.cdr_version), texts(|r| &r.account),
                texts(|r| &r.carrier), texts(|r| &r.destination), texts(|r| &r.currency), texts(|r| &r.old_deck_version),
                texts(|r| &r.new_deck_version), Arc::new(money(|r| r.old_e8.into())?), Arc::new(money(|r| r.new_e8.into())?),
                Arc::new(money(|r| i128::from(r.new_e8) - i128::from(r.old_e8))?),
            ];
            RecordBatch::try_new(self.schema.clone(), columns)
        };
        if rows.is_empty() {
            return Ok(());
        }
        let batch = batch().map_err(|e| wrong(&self.file.path, e))?;
        self.file.write(&batch)?;
        self.rows = rows;
        self.rows.clear();
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), CallsFileError> {
        self.flush()?;
        self.file.finish()
    }
}

/// Columns by name; errors with the first that is none.
pub fn named(names: &[&str]) -> Result<Vec<&'static Column>, String> {
    names.iter().map(|n| column(n).ok_or_else(|| format!("'{n}' is no column of CDRs"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_45_a_file_that_is_no_parquet_is_refused_with_what_to_export() {
        let folder = tempfile::tempdir().expect("folder");
        for text in ["call_uuid,record_type\n", ""] {
            let path = folder.path().join("ours.csv");
            fs::write(&path, text).expect("file");
            let refused = CdrReader::open(&path, &["call_uuid"], &[]).map(|r| r.rows()).map_err(|e| e.to_string());
            assert!(refused.as_ref().is_err_and(|e| e.contains("not a Parquet file") && e.contains("--out NAME.parquet")), "{refused:?}");
        }
    }

    #[test]
    fn fn_11_cdrs_come_back_from_parquet_as_they_were_and_the_same_rows_give_the_same_bytes() {
        let folder = tempfile::tempdir().expect("folder");
        let row = |n: u8| Arc::new(Cdr { call_uuid: vec![n; 16], cdr_version: 1, record_type: "final".into(), sell_amount: i64::from(n) * 12_345_678, invite_ts: 1_772_323_200_000_000, sell_rate: Some(12_500_000_000), ..Cdr::default() });
        let rows: Vec<_> = (1..20).map(row).collect();
        let all: Vec<&'static Column> = tollgate_schemas::cdr::COLUMNS.iter().collect();
        let files = ["a.parquet", "b.parquet"].map(|name| {
            let path = folder.path().join(name);
            let mut writer = CdrWriter::create(&path, &all).expect("file");
            writer.write(&rows).expect("rows");
            writer.finish().expect("finished");
            path
        });
        assert_eq!(fs::read(&files[0]).expect("a"), fs::read(&files[1]).expect("b"));
        let names: Vec<&'static str> = all.iter().map(|c| c.name).collect();
        let back: Vec<Cdr> = CdrReader::open(&files[0], &names, &[]).expect("file").flat_map(|b| b.expect("batch")).collect();
        assert_eq!(back, rows.iter().map(|r| (**r).clone()).collect::<Vec<_>>());
        let reader = CdrReader::open(&files[0], &["sell_amount"], &["no_such", "account"]).expect("file");
        assert_eq!(reader.missing(), ["no_such"]);
        let some: Vec<Cdr> = reader.flat_map(|b| b.expect("batch")).collect();
        assert_eq!((some[2].sell_amount, some[2].call_uuid.len()), (3 * 12_345_678, 0));
    }
}
