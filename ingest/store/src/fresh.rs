//! Rows that are in no file yet. A row arrives as a shared `Cdr` and waits in the tail; a query or a full tail seals
//! the tail into arrow chunks, so that a row is converted once, whoever asks first. A flush takes a whole generation
//! of chunks away while new rows go to the next one.

use std::{cmp::Reverse, sync::Arc};

use arrow::{array::RecordBatch, compute::concat_batches};
use tollgate_schemas::{
    id::Id,
    store::{RowKey, StoreError},
};

use crate::{
    columns,
    identity::{Kind, Revised, Row, RowIds, Stand},
    parquet_file,
};

/// Chunks up to this many rows are joined with their neighbours, so that many small queries do not leave many chunks.
const JOIN_ROWS: usize = 1_024;

/// Sealed rows of one kind.
#[derive(Debug)]
pub struct Chunk {
    pub kind: Kind,
    pub batch: RecordBatch,
    pub min_us: i64,
    pub max_us: i64,
}

/// Rows taken since the last flush began.
#[derive(Debug, Default)]
pub struct Generation {
    pub ids: RowIds,
    pub tail: Vec<Row>,
    pub chunks: Vec<Arc<Chunk>>,
    /// Tail and chunks.
    pub rows: usize,
}

impl Generation {
    /// Takes a row not seen before.
    pub fn push(&mut self, row: Row) {
        self.ids.insert(row.id);
        self.rows += 1;
        self.tail.push(row);
    }

    /// Puts chunks made from the first `sealed` rows of the tail in their place.
    pub fn absorb(&mut self, sealed: usize, chunks: Vec<Chunk>) -> Result<(), StoreError> {
        self.tail.drain(..sealed);
        for mut chunk in chunks {
            while let Some(i) = self.joinable(&chunk) {
                let other = self.chunks.remove(i);
                chunk = Chunk {
                    kind: chunk.kind,
                    batch: concat_batches(&columns::schema(), [&other.batch, &chunk.batch]).map_err(broken)?,
                    min_us: chunk.min_us.min(other.min_us),
                    max_us: chunk.max_us.max(other.max_us),
                };
            }
            self.chunks.push(Arc::new(chunk));
        }
        Ok(())
    }

    /// The latest chunk of that kind, if it is no larger than this one and both are small: each row is moved about
    /// log2(JOIN_ROWS) times at most.
    fn joinable(&self, chunk: &Chunk) -> Option<usize> {
        let i = self.chunks.iter().rposition(|c| c.kind == chunk.kind)?;
        let (old, new) = (self.chunks[i].batch.num_rows(), chunk.batch.num_rows());
        (old <= new * 2 && old + new <= JOIN_ROWS).then_some(i)
    }
}

/// Rows as chunks, one for each kind present, newest first.
pub fn seal(rows: &[Row]) -> Result<Vec<Chunk>, StoreError> {
    let mut chunks = Vec::with_capacity(2);
    for kind in Kind::ALL {
        let mut cdrs: Vec<_> = rows.iter().filter(|r| r.kind == kind).map(|r| r.cdr.clone()).collect();
        cdrs.sort_by_cached_key(|c| Reverse(RowKey::of(c)));
        let (Some(newest), Some(oldest)) = (cdrs.first(), cdrs.last()) else { continue };
        let (min_us, max_us) = (oldest.invite_ts, newest.invite_ts);
        chunks.push(Chunk { kind, batch: columns::to_batch(&cdrs).map_err(broken)?, min_us, max_us });
    }
    Ok(chunks)
}

/// Notes the versions above 1 among the rows.
pub fn note_versions(rows: &[Row], revised: &mut Arc<Revised>) {
    for row in rows.iter().filter(|r| r.cdr.cdr_version > 1) {
        let cdr = &row.cdr;
        let stand = Stand {
            call: Id::of(&cdr.call_uuid),
            attempt: cdr.attempt_no,
            version: cdr.cdr_version,
            partition: cdr.partition,
            last_offset: cdr.event_last_offset,
        };
        Arc::make_mut(revised).note(row.kind, &stand);
    }
}

/// Reads the versions above 1 of a file.
pub fn note_file_versions(path: &std::path::Path, kind: Kind, revised: &mut Revised) -> Result<(), StoreError> {
    parquet_file::each_stand(path, |stand| revised.note(kind, stand))
}

fn broken(e: arrow::error::ArrowError) -> StoreError {
    StoreError::Corrupt(format!("CDR rows do not fit their columns: {e}"))
}
