//! CDR Parquet files: written from batches, checked, joined, and read back by rows' identities. A file holds one kind
//! of row, newest first by (`invite_ts`, `call_uuid`, `attempt_no`): up to `SORTED_ROWS` exactly, in a larger flush run
//! by run, each run a batch sorted when it was made. No answer depends on the order; how much a query skips does.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::interleave_record_batch,
    datatypes::{TimestampMicrosecondType, UInt32Type, UInt64Type},
};
use parquet::{
    arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, Encoding, ZstdLevel},
    bloom_filter::Sbbf,
    column::writer::ColumnCloseResult,
    errors::ParquetError,
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::ColumnPath,
};
use tollgate_schemas::{
    cdr::{COLUMNS, Column, ColumnType},
    id::Id,
    store::StoreError,
};

use crate::{
    columns,
    identity::{Kind, RowId, Stand},
    manifest::{FileEntry, corrupt, unavailable},
    older,
};

/// Rows of a row group: what a page of recent rows has to look at, at most.
pub const GROUP_ROWS: usize = 65_536;

/// Columns that queries narrow by: their row groups carry the least and greatest value.
const FILTERED: &[&str] = &[
    "call_uuid", "cdr_version", "attempt_no", "account", "root_account", "trunk", "carrier", "disposition",
    "sip_call_id_in", "a_number_e164", "b_number_e164",
];
/// Columns that are looked up by one value: their row groups carry a Bloom filter.
const LOOKED_UP: &[&str] = &["call_uuid", "sip_call_id_in", "a_number_e164", "b_number_e164"];
/// Columns whose values hardly repeat, so that a dictionary of them is work for nothing.
const UNIQUE: &[&str] = &[
    "call_uuid", "sip_call_id_in", "sip_call_id_out", "from_tag", "to_tag", "a_number_raw", "a_number_e164",
    "a_presentation_number", "b_number_raw", "b_number_e164", "b_number_out", "attempts_summary",
];
/// Above this a flush does not gather its rows in order once more: that copies every cell.
const SORTED_ROWS: usize = GROUP_ROWS;

fn properties() -> Result<WriterProperties, ParquetError> {
    let mut p = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(8_192)
        .set_statistics_enabled(EnabledStatistics::None);
    for c in COLUMNS {
        let path = ColumnPath::from(c.name);
        if matches!(c.ty, ColumnType::Ts | ColumnType::U64) && c.name != "count" {
            p = p.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        } else if UNIQUE.contains(&c.name) {
            p = p.set_column_dictionary_enabled(path, false);
        }
    }
    p = p.set_column_statistics_enabled(ColumnPath::from("invite_ts"), EnabledStatistics::Page);
    for name in FILTERED {
        p = p.set_column_statistics_enabled(ColumnPath::from(*name), EnabledStatistics::Chunk);
    }
    for name in LOOKED_UP {
        p = p.set_column_bloom_filter_enabled(ColumnPath::from(*name), true);
    }
    Ok(p.build())
}

/// Creates `dir/name` whole or not at all: written beside it, synced and renamed. The folder is synced by the manifest.
fn create(dir: &Path, name: &str, fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), ParquetError>) -> Result<u64, StoreError> {
    let tmp = dir.join(format!("{name}.tmp"));
    let attempt = || -> Result<u64, ParquetError> {
        let mut out = BufWriter::with_capacity(1 << 18, File::create(&tmp)?);
        fill(&mut out)?;
        out.flush()?;
        let file = out.into_inner().map_err(|e| ParquetError::General(e.to_string()))?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        fs::rename(&tmp, dir.join(name))?;
        Ok(bytes)
    };
    attempt().map_err(|e| {
        // What is left of it is no file of the store; a start would remove it too.
        let _ = fs::remove_file(&tmp);
        unavailable(&dir.join(name), &e)
    })
}

/// Writes rows of one kind, newest first, as one file. Returns its entry and the sorted identities of its rows.
pub fn write(dir: &Path, name: String, kind: Kind, batches: &[RecordBatch]) -> Result<(FileEntry, Vec<RowId>), StoreError> {
    struct Place {
        invite_us: i64,
        call: Id,
        attempt: u32,
        at: (usize, usize),
    }
    let mut places = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    let mut ids = Vec::with_capacity(places.capacity());
    let mut revised = 0;
    for (b, batch) in batches.iter().enumerate() {
        let invites = batch
            .column_by_name("invite_ts")
            .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>())
            .ok_or_else(|| StoreError::Corrupt("a batch has no invite_ts".into()))?;
        let mut row = 0;
        identities(batch, |call, attempt, version| {
            places.push(Place { invite_us: invites.value(row), call, attempt, at: (b, row) });
            ids.push(RowId::new(kind, call, attempt, version));
            revised += u64::from(version > 1);
            row += 1;
        })?;
    }
    ids.sort_unstable();
    let times = || places.iter().map(|p| p.invite_us);
    let (min_us, max_us) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let rows = places.len();
    let bytes = create(dir, &name, |out| {
        let mut writer = ArrowWriter::try_new(out, columns::schema(), Some(properties()?))?;
        if rows <= SORTED_ROWS {
            places.sort_unstable_by_key(|p| std::cmp::Reverse((p.invite_us, p.call, p.attempt)));
            let sources: Vec<&RecordBatch> = batches.iter().collect();
            let order: Vec<(usize, usize)> = places.iter().map(|p| p.at).collect();
            for run in order.chunks(8_192) {
                writer.write(&interleave_record_batch(&sources, run)?)?;
            }
        } else {
            let mut newest = vec![i64::MIN; batches.len()];
            for place in &places {
                newest[place.at.0] = newest[place.at.0].max(place.invite_us);
            }
            let mut order: Vec<usize> = (0..batches.len()).collect();
            order.sort_unstable_by_key(|b| std::cmp::Reverse(newest[*b]));
            for b in order {
                writer.write(&batches[b])?;
            }
        }
        writer.close().map(drop)
    })?;
    let entry = FileEntry {
        name,
        kind,
        rows: rows as u64,
        bytes,
        min_us,
        max_us,
        revised,
    };
    Ok((entry, ids))
}

/// Joins files by copying their encoded row groups: no row is decoded, unless one of the files is of an older column table.
pub fn join(dir: &Path, name: &str, inputs: &[impl AsRef<Path>]) -> Result<u64, StoreError> {
    let mut sources = Vec::with_capacity(inputs.len());
    for path in inputs {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| unavailable(path, &e))?;
        let metadata = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .parse_and_finish(&file)
            .map_err(|e| corrupt(path, &e))?;
        sources.push((file, metadata));
    }
    if sources.iter().any(|(_, metadata)| missing(metadata).is_ok_and(|m| !m.is_empty())) {
        return join_anew(dir, name, inputs);
    }
    create(dir, name, |out| {
        let Some((_, first)) = sources.first() else { return Ok(()) };
        let facts = first.file_metadata();
        let properties = WriterProperties::builder().set_key_value_metadata(facts.key_value_metadata().cloned()).build();
        let mut writer = SerializedFileWriter::new(out, facts.schema_descr().root_schema_ptr(), Arc::new(properties))?;
        for (file, metadata) in &sources {
            for group in 0..metadata.num_row_groups() {
                copy_group(&mut writer, file, metadata, group)?;
            }
        }
        writer.close().map(drop)
    })
}

/// The same with every row encoded again, batch by batch, in the columns of now.
fn join_anew(dir: &Path, name: &str, inputs: &[impl AsRef<Path>]) -> Result<u64, StoreError> {
    create(dir, name, |out| {
        let mut writer = ArrowWriter::try_new(out, columns::schema(), Some(properties()?))?;
        for path in inputs {
            let mut copy = |batch: RecordBatch| writer.write(&batch).map_err(|e| unavailable(path.as_ref(), &e));
            each_batch(path.as_ref(), None, &mut copy).map_err(|e| ParquetError::External(Box::new(e)))?;
        }
        writer.close().map(drop)
    })
}

fn copy_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    file: &File,
    metadata: &ParquetMetaData,
    group: usize,
) -> Result<(), ParquetError> {
    let rows = metadata.row_group(group);
    let column_index = metadata.column_index().and_then(|i| i.get(group));
    let offset_index = metadata.offset_index().and_then(|i| i.get(group));
    let mut out = writer.next_row_group()?;
    for (i, column) in rows.columns().iter().enumerate() {
        let close = ColumnCloseResult {
            bytes_written: column.compressed_size() as u64,
            rows_written: rows.num_rows() as u64,
            metadata: column.clone(),
            bloom_filter: Sbbf::read_from_column_chunk(column, file)?,
            column_index: column_index.and_then(|c| c.get(i)).cloned(),
            offset_index: offset_index.and_then(|c| c.get(i)).cloned(),
        };
        out.append_column(file, close)?;
    }
    out.close().map(drop)
}

/// The file is there, as long as listed, and its footer reads and agrees.
pub fn check(dir: &Path, entry: &FileEntry) -> Result<(), StoreError> {
    let path = dir.join(&entry.name);
    let file = File::open(&path).map_err(|e| corrupt(&path, &format!("listed in the manifest, but {e}")))?;
    let bytes = file.metadata().map_err(|e| corrupt(&path, &e))?.len();
    if bytes != entry.bytes {
        return Err(corrupt(&path, &format!("{bytes} bytes long, {} in the manifest", entry.bytes)));
    }
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|e| corrupt(&path, &e))?;
    let rows = metadata.file_metadata().num_rows();
    if rows != entry.rows as i64 {
        return Err(corrupt(&path, &format!("{rows} rows, {} in the manifest", entry.rows)));
    }
    missing(&metadata).map(drop).map_err(|c| corrupt(&path, &format!("has no column {}", c.name)))
}

/// What a file of an older column table does not have.
fn missing(metadata: &ParquetMetaData) -> Result<Vec<&'static Column>, &'static Column> {
    let names: HashSet<&str> = metadata.file_metadata().schema_descr().columns().iter().map(|c| c.name()).collect();
    older::missing(|name| names.contains(name))
}

/// Every batch of a file, with the columns named (all of the table where None, also those that came after the file).
pub fn each_batch(
    path: &Path,
    names: Option<&[&str]>,
    mut take: impl FnMut(RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let file = File::open(path).map_err(|e| corrupt(path, &e))?;
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| corrupt(path, &e))?.with_batch_size(8_192);
    if let Some(names) = names {
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        builder = builder.with_projection(mask);
    }
    for batch in builder.build().map_err(|e| corrupt(path, &e))? {
        let batch = batch.map_err(|e| corrupt(path, &e))?;
        take(if names.is_some() { batch } else { older::complete(&batch).map_err(|e| corrupt(path, &e))? })?;
    }
    Ok(())
}

/// (call, attempt, version) of every row of a file.
pub fn each_identity(path: &Path, mut take: impl FnMut(Id, u32, u32)) -> Result<(), StoreError> {
    each_batch(path, Some(&["call_uuid", "attempt_no", "cdr_version"]), |batch| identities(&batch, &mut take))
}

/// Version and place of every row of a file.
pub fn each_stand(path: &Path, mut take: impl FnMut(&Stand)) -> Result<(), StoreError> {
    let missing = |what: &str| corrupt(path, &format!("has no usable {what}"));
    each_batch(path, Some(&["call_uuid", "attempt_no", "cdr_version", "partition", "event_last_offset"]), |batch| {
        let partitions = batch.column_by_name("partition").and_then(|c| c.as_primitive_opt::<UInt32Type>()).ok_or_else(|| missing("partition"))?;
        let offsets = batch.column_by_name("event_last_offset").and_then(|c| c.as_primitive_opt::<UInt64Type>());
        let offsets = offsets.ok_or_else(|| missing("event_last_offset"))?;
        let mut row = 0;
        identities(&batch, |call, attempt, version| {
            take(&Stand { call, attempt, version, partition: partitions.value(row), last_offset: offsets.value(row) });
            row += 1;
        })
    })
}

/// (call, attempt, version) of every row of a batch.
pub fn identities(batch: &RecordBatch, mut take: impl FnMut(Id, u32, u32)) -> Result<(), StoreError> {
    let missing = |what: &str| StoreError::Corrupt(format!("a batch has no usable {what}"));
    let calls = batch.column_by_name("call_uuid").and_then(|c| c.as_fixed_size_binary_opt()).ok_or_else(|| missing("call_uuid"))?;
    let number = |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt32Type>()).ok_or_else(|| missing(name));
    let (attempts, versions) = (number("attempt_no")?, number("cdr_version")?);
    for i in 0..calls.len() {
        take(Id::of(calls.value(i)), attempts.value(i), versions.value(i));
    }
    Ok(())
}
