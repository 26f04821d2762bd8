//! The thread `store-flush`: seals, flushes, merges. It alone makes files and manifests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_schemas::store::{Positions, StoreError};

use crate::{
    compact,
    embedded::{Flushing, Shared},
    fresh::Generation,
    identity::Kind,
    manifest::{Manifest, StoredFile},
    parquet_file,
};

/// Wait after a failed flush.
const RETRY: Duration = Duration::from_secs(1);
/// Identities held in memory for files, in rows (16 bytes each); those of older files are read again when needed.
const IDS_IN_MEMORY: u64 = 8_000_000;

/// What only this thread knows.
pub struct Writer {
    pub next_seq: u64,
    /// Files of the generation that is being flushed, written but not yet in a saved manifest.
    pending: Vec<Arc<StoredFile>>,
}

enum Work {
    Stop,
    Seal,
    Flush,
}

pub fn run(shared: &Shared, next_seq: u64) {
    let mut writer = Writer { next_seq, pending: Vec::new() };
    loop {
        match next_work(shared) {
            Work::Stop => return,
            Work::Seal => {
                if let Err(e) = shared.sealed().map(drop) {
                    tracing::error!(error = %e, "fresh CDRs could not be converted");
                }
            }
            Work::Flush => {
                let waiting = std::mem::take(&mut shared.lock().waiting);
                let result = writer.flush(shared);
                {
                    let mut state = shared.lock();
                    state.last_flush = Instant::now();
                    state.retry_at = result.is_err().then(|| Instant::now() + RETRY);
                }
                if let Err(e) = &result {
                    tracing::warn!(error = %e, "CDRs could not be written to files; they stay in memory and are tried again");
                }
                let failed = result.as_ref().err().map(ToString::to_string);
                for waiter in waiting {
                    // A caller that gave up needs no answer.
                    let _ = waiter.send(failed.clone().map_or(Ok(()), |e| Err(StoreError::Unavailable(e))));
                }
                if result.is_ok()
                    && let Err(e) = compact::merge_due(shared, &mut writer)
                {
                    tracing::warn!(error = %e, "CDR files could not be merged; they stay as they are");
                }
            }
        }
    }
}

/// Waits until something is due.
fn next_work(shared: &Shared) -> Work {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return Work::Stop;
        }
        let now = Instant::now();
        let every = state.last_flush + shared.options.flush_every;
        let wanted = !state.waiting.is_empty()
            || state.open.rows >= shared.options.flush_rows
            || (now >= every && (state.fresh_rows() > 0 || state.written != state.durable));
        let may = state.retry_at.is_none_or(|at| now >= at) || !state.waiting.is_empty();
        if (wanted || state.flushing.is_some()) && may {
            return Work::Flush;
        }
        if shared.seal_due(&state) {
            return Work::Seal;
        }
        let until = state.retry_at.unwrap_or(if now >= every { now + shared.options.flush_every } else { every });
        let pause = until.saturating_duration_since(now).clamp(Duration::from_millis(1), Duration::from_secs(3600));
        state = shared.wake.wait_timeout(state, pause).unwrap_or_else(std::sync::PoisonError::into_inner).0;
    }
}

impl Writer {
    pub fn name(&mut self, kind: Kind) -> String {
        let seq = self.next_seq;
        self.next_seq += 1;
        format!("cdr-{}-{seq:08}.parquet", kind.name())
    }

    /// Everything written before the call, into files.
    fn flush(&mut self, shared: &Shared) -> Result<(), StoreError> {
        // What an earlier flush could not finish comes first.
        self.finish(shared)?;
        {
            let mut state = shared.sealed()?;
            if state.open.rows == 0 && state.written == state.durable {
                return Ok(());
            }
            let Generation { ids, chunks, rows, .. } = std::mem::take(&mut state.open);
            state.flushing = Some(Flushing { ids, chunks: Arc::new(chunks), rows, positions: state.written.clone() });
        }
        self.finish(shared)
    }

    /// Writes the generation that is set aside. After an error it stays there, whole, for the next try.
    fn finish(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let Some((chunks, positions)) = shared.lock().flushing.as_ref().map(|f| (f.chunks.clone(), f.positions.clone())) else {
            return Ok(());
        };
        for kind in Kind::ALL {
            let batches: Vec<_> = chunks.iter().filter(|c| c.kind == kind).map(|c| c.batch.clone()).collect();
            if batches.is_empty() || self.pending.iter().any(|f| f.entry.kind == kind) {
                continue;
            }
            let (entry, ids) = parquet_file::write(&shared.dir, self.name(kind), kind, &batches)?;
            self.pending.push(Arc::new(StoredFile::new(&shared.dir, entry, Some(ids))));
        }
        let mut files = shared.lock().files.to_vec();
        files.extend(self.pending.iter().cloned());
        self.save(shared, &files, &positions)?;
        self.pending.clear();
        forget_old_ids(&files);
        let done = {
            let mut state = shared.lock();
            state.files = Arc::new(files);
            state.durable = positions;
            state.flushing.take()
        };
        drop(done);
        Ok(())
    }

    /// Saves a manifest with these files.
    pub fn save(&self, shared: &Shared, files: &[Arc<StoredFile>], positions: &Positions) -> Result<(), StoreError> {
        let mut manifest = Manifest::empty(0);
        manifest.next_seq = self.next_seq;
        manifest.positions.clone_from(positions);
        manifest.files = files.iter().map(|f| f.entry.clone()).collect();
        manifest.save(&shared.dir)
    }
}

/// Beyond the memory for identities the files with the oldest calls forget theirs.
pub fn forget_old_ids(files: &[Arc<StoredFile>]) {
    let mut known: Vec<_> = files.iter().filter(|f| f.ids_in_memory().is_some()).collect();
    known.sort_by_key(|f| std::cmp::Reverse(f.entry.max_us));
    let mut held = 0;
    for file in known {
        held += file.entry.rows;
        if held > IDS_IN_MEMORY {
            file.forget_ids();
        }
    }
}
