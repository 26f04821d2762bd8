//! The rated file: row groups in the order given, columns of the calls as they came where they can stay so.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use parquet::{
    arrow::{
        ArrowSchemaConverter,
        arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves},
        parquet_to_arrow_schema,
    },
    column::writer::ColumnCloseResult,
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnDescPtr, Type, TypePtr},
};

use super::{
    Added, BATCH_ROWS, CallsFile, CallsFileError, Column, Holds, Unit,
    batch::{micros, time_text, whole_text},
    chunk::{Chunk, Codec},
    holds,
};

/// The columns that are added, in order.
fn added_fields() -> Vec<Field> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    vec![
        text("prefix"),
        text("destination"),
        Field::new("billed_seconds", DataType::Int64, true),
        Field::new("rate", DataType::Decimal128(20, 12), true),
        Field::new("amount", DataType::Decimal128(18, 8), true),
        text("currency"),
        text("deck_version"),
        text("reason"),
    ]
}

/// A column of calls in the form that rated files have.
fn call_field(name: &str) -> Field {
    let ty = match holds(name) {
        Holds::Text => DataType::Utf8,
        Holds::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Holds::Whole => DataType::Int64,
    };
    Field::new(name, ty, true)
}

/// Writes rated calls. The file appears under its name when `finish` returns, not before.
pub struct RatedFile<'f> {
    calls: &'f CallsFile,
    path: PathBuf,
    tmp: PathBuf,
    writer: SerializedFileWriter<BufWriter<File>>,
}

/// Makes row groups, on any thread.
pub struct Encoder<'f> {
    calls: &'f CallsFile,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    columns: Vec<ColumnDescPtr>,
    codec: Codec,
    out: PathBuf,
}

/// A row group, ready to be written.
pub struct Part {
    /// Of the calls.
    group: usize,
    rows: usize,
    /// The columns of calls that are written anew; the others stay as they are.
    anew: Vec<Option<ArrowColumnChunk>>,
    added: Vec<Chunk>,
}

impl<'f> RatedFile<'f> {
    pub fn create(path: &Path, calls: &'f CallsFile) -> Result<RatedFile<'f>, CallsFileError> {
        let wrong = |why: ParquetError| CallsFileError::File { path: path.to_owned(), why: why.to_string() };
        let schema = schema(calls).map_err(wrong)?;
        let mut tmp = path.as_os_str().to_owned();
        tmp.push(".tmp");
        let tmp = PathBuf::from(tmp);
        let codec = Codec::like(calls.compression());
        // Columns copied as they are bring no index of their pages, and a file has one for every column or for none.
        let properties = WriterProperties::builder()
            .set_compression(codec.compression())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let file = File::create(&tmp).map_err(|e| wrong(e.into()))?;
        let writer = SerializedFileWriter::new(BufWriter::with_capacity(1 << 20, file), schema, properties.into()).map_err(wrong)?;
        Ok(RatedFile { calls, path: path.to_owned(), tmp, writer })
    }

    pub fn encoder(&self) -> Result<Encoder<'f>, CallsFileError> {
        let descr = self.writer.schema_descr();
        let schema: SchemaRef = parquet_to_arrow_schema(descr, None).map_err(|e| self.wrong(e))?.into();
        Ok(Encoder {
            calls: self.calls,
            factory: ArrowRowGroupWriterFactory::new(&self.writer, schema.clone()),
            schema,
            columns: descr.columns().to_vec(),
            codec: Codec::like(self.calls.compression()),
            out: self.path.clone(),
        })
    }

    /// Writes the next row group.
    pub fn write(&mut self, part: Part) -> Result<(), CallsFileError> {
        self.append(part).map_err(|e| self.wrong(e))
    }

    fn append(&mut self, part: Part) -> Result<(), ParquetError> {
        if part.rows == 0 {
            return Ok(());
        }
        let source = self.calls.plain.metadata().row_group(part.group);
        let mut group = self.writer.next_row_group()?;
        for (column, anew) in self.calls.columns.iter().zip(part.anew) {
            match anew {
                Some(chunk) => chunk.append_to_row_group(&mut group)?,
                None => {
                    let metadata = source.column(column.leaf).clone();
                    let close = ColumnCloseResult {
                        bytes_written: metadata.compressed_size() as u64,
                        rows_written: part.rows as u64,
                        metadata,
                        bloom_filter: None,
                        column_index: None,
                        offset_index: None,
                    };
                    group.append_column(&self.calls.file, close)?;
                }
            }
        }
        for chunk in part.added {
            group.append_column(&chunk.bytes, chunk.close)?;
        }
        group.close()?;
        Ok(())
    }

    pub fn finish(self) -> Result<(), CallsFileError> {
        let RatedFile { path, tmp, writer, .. } = self;
        let close = || -> Result<(), ParquetError> {
            let file = writer.into_inner()?.into_inner().map_err(|e| ParquetError::General(e.to_string()))?;
            file.sync_all()?;
            fs::rename(&tmp, &path)?;
            Ok(())
        };
        close().map_err(|e| CallsFileError::File { path: path.clone(), why: e.to_string() })
    }

    /// Gives the file up.
    pub fn abandon(self) {
        // That it is gone is all that matters.
        let _ = fs::remove_file(&self.tmp);
    }

    fn wrong(&self, why: ParquetError) -> CallsFileError {
        CallsFileError::File { path: self.path.clone(), why: why.to_string() }
    }
}

impl Encoder<'_> {
    /// What was gathered of the unit's next rows as a row group. A unit is one part, unless it has more than
    /// [`super::PART_ROWS`] rows: then each part has that many, and the last the rest.
    pub fn part(&self, unit: &mut Unit<'_>, added: &Added) -> Result<Part, CallsFileError> {
        let wrong = |why: ParquetError| CallsFileError::File { path: self.out.clone(), why: why.to_string() };
        let all = added.left_out() > 0 || !unit.whole;
        let columns = &self.calls.columns;
        let anew: Vec<usize> = (0..columns.len()).filter(|at| all || !columns[*at].as_is).collect();
        let mut chunks: Vec<Option<ArrowColumnChunk>> = columns.iter().map(|_| None).collect();
        if !anew.is_empty() && added.kept_rows() > 0 {
            self.write_anew(unit, added, &anew, &mut chunks)?;
        } else if !unit.whole {
            // Nothing is kept: read on all the same.
            self.copy(unit, added, &anew, |_| Ok(()))?;
        }
        let added_columns = &self.columns[columns.len()..];
        let encoded = added.encode(added_columns, self.codec).map_err(wrong)?;
        Ok(Part { group: unit.group, rows: added.kept_rows(), anew: chunks, added: encoded })
    }

    fn write_anew(&self, unit: &mut Unit<'_>, added: &Added, anew: &[usize], chunks: &mut [Option<ArrowColumnChunk>]) -> Result<(), CallsFileError> {
        let wrong = |why: ParquetError| CallsFileError::File { path: self.out.clone(), why: why.to_string() };
        let mut writers: Vec<_> = self.factory.create_column_writers(0).map_err(wrong)?.into_iter().map(Some).collect();
        self.copy(unit, added, anew, |batch| {
            for at in anew {
                let column = &self.calls.columns[*at];
                let field = self.schema.field(*at);
                let array = batch.column_by_name(column.name).ok_or_else(|| ParquetError::General(format!("no column {}", column.name)))?;
                let array = in_form(column, array, field.data_type())?;
                for leaf in compute_leaves(field, &array)? {
                    if let Some(writer) = &mut writers[*at] {
                        writer.write(&leaf)?;
                    }
                }
            }
            Ok(())
        })?;
        for at in anew {
            chunks[*at] = writers[*at].take().map(|w| w.close()).transpose().map_err(wrong)?;
        }
        Ok(())
    }

    /// Hands over the rows that are kept, in batches.
    fn copy(
        &self,
        unit: &mut Unit<'_>,
        added: &Added,
        anew: &[usize],
        mut each: impl FnMut(&RecordBatch) -> Result<(), ParquetError>,
    ) -> Result<(), CallsFileError> {
        let wrong = |why: ParquetError| CallsFileError::File { path: self.out.clone(), why: why.to_string() };
        let leaves: Vec<usize> = anew.iter().map(|at| self.calls.columns[*at].leaf).collect();
        let mut copier = match unit.copier.take() {
            Some(copier) => copier,
            None => self.calls.reader(&self.calls.plain, unit.group, &leaves)?,
        };
        for kept in added.kept.chunks(BATCH_ROWS) {
            let batch = copier.next().transpose().map_err(|e| self.calls.wrong(e))?;
            let batch = batch.filter(|b| b.num_rows() == kept.len()).ok_or_else(|| self.calls.wrong("rows are missing"))?;
            let batch = match kept.contains(&false) {
                true => filter_record_batch(&batch, &BooleanArray::from(kept.to_vec())).map_err(|e| wrong(e.into()))?,
                false => batch,
            };
            each(&batch).map_err(wrong)?;
        }
        unit.copier = Some(copier);
        Ok(())
    }
}

/// The array in the type that the rated file has.
fn in_form(column: &Column, array: &ArrayRef, want: &DataType) -> Result<ArrayRef, ParquetError> {
    if array.data_type() == want {
        return Ok(array.clone());
    }
    Ok(match holds(column.name) {
        Holds::Text => arrow::compute::cast(array, want)?,
        Holds::Time => Arc::new(micros(array).unwrap_or_else(|| time_text(array)).with_timezone("UTC")),
        Holds::Whole => Arc::new(whole_text(array)),
    })
}

/// The calls' own columns where they stay as they are, else in the form; then what is added.
fn schema(calls: &CallsFile) -> Result<TypePtr, ParquetError> {
    let fields = calls.columns.iter().map(|c| call_field(c.name)).chain(added_fields()).collect::<Vec<_>>();
    let converted = ArrowSchemaConverter::new().convert(&Schema::new(fields))?;
    let own = calls.plain.parquet_schema();
    let field = |(at, converted): (usize, &TypePtr)| match calls.columns.get(at) {
        Some(column) if column.as_is => own.column(column.leaf).self_type_ptr(),
        _ => converted.clone(),
    };
    let fields = converted.root_schema().get_fields().iter().enumerate().map(field).collect();
    Ok(Arc::new(Type::group_type_builder("calls").with_fields(fields).build()?))
}
