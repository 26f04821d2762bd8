//! The store in one process: fresh rows in memory, older ones in Parquet, and the thread that moves them.
//!
//! Order of events: `write` takes rows into memory; the thread `store-flush` writes a generation of them to files, saves
//! the manifest that lists the files together with the positions they reach, and only then lets the memory go. A
//! query sees one instant: under one lock it takes the list of files and the chunks in memory.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tollgate_schemas::{
    cdr::Cdr,
    store::{Answer, CdrQuery, CdrStore, Positions, StoreError, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
};
use tokio::sync::oneshot;

use crate::{
    fresh::{self, Chunk, Generation},
    flush,
    identity::{Kind, Revised, Row, RowIds},
    manifest::{self, Manifest, StoredFile, unavailable},
    parquet_file,
    query::Engine,
};

#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of topic `cdrs`; fixed when the folder is made.
    pub partitions: u16,
    /// A flush begins at this many rows in memory (about 1.5 KB each) …
    pub flush_rows: usize,
    /// … or this long after the last one.
    pub flush_every: Duration,
    /// Files of one size class that are merged together; a class spans a factor of this. At least 2.
    pub merge_files: usize,
    /// Files of this many rows or more are left as they are.
    pub full_file_rows: u64,
    /// While files cannot be written rows stay in memory; with this many or more there `write` refuses.
    pub max_fresh_rows: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            partitions: 16,
            flush_rows: 200_000,
            flush_every: Duration::from_secs(60),
            merge_files: 4,
            full_file_rows: 4_000_000,
            max_fresh_rows: 1_000_000,
        }
    }
}

/// A tail this long is sealed by the thread, query or not: shared `Cdr`s take more memory than columns.
const SEAL_ROWS: usize = 4_096;
/// What may be converted while the state is locked.
const SEAL_LOCKED_ROWS: usize = 64;

/// A generation on its way to files.
pub(crate) struct Flushing {
    pub ids: RowIds,
    pub chunks: Arc<Vec<Arc<Chunk>>>,
    pub rows: usize,
    pub positions: Positions,
}

pub(crate) struct State {
    pub open: Generation,
    pub flushing: Option<Flushing>,
    pub files: Arc<Vec<Arc<StoredFile>>>,
    /// Of files and chunks; the tail's are noted when it is sealed.
    pub revised: Arc<Revised>,
    /// How far rows were taken.
    pub written: Positions,
    /// How far files reach.
    pub durable: Positions,
    pub waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    pub last_flush: Instant,
    pub retry_at: Option<Instant>,
    pub stop: bool,
}

pub(crate) struct Shared {
    pub dir: PathBuf,
    pub options: Options,
    state: Mutex<State>,
    pub wake: Condvar,
    /// Held while a tail is converted; taken before `state`.
    sealing: Mutex<()>,
}

/// What a query reads: files and chunks of one instant.
pub(crate) struct Snapshot {
    pub files: Arc<Vec<Arc<StoredFile>>>,
    pub chunks: Vec<Arc<Chunk>>,
    pub revised: Arc<Revised>,
}

/// The CDR store on local files. Dropping it without `flush` loses no more than a crash does: the log still has the rows.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    engine: Engine,
    thread: Option<JoinHandle<()>>,
    /// Keeps other processes out.
    _lock: File,
}

impl EmbeddedStore {
    /// Opens or makes the store in `dir`. Removes leftovers of an interrupted write, checks every listed file.
    ///
    /// Errors: `Unavailable` when the folder cannot be used or another process has it, `Corrupt` naming the file.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<EmbeddedStore>, StoreError> {
        fs::create_dir_all(dir).map_err(|e| unavailable(dir, &e))?;
        let dir = dir.canonicalize().map_err(|e| unavailable(dir, &e))?;
        let lock = File::create(dir.join("lock")).map_err(|e| unavailable(&dir, &e))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => unavailable(&dir, &"another process has this CDR store open"),
            TryLockError::Error(e) => unavailable(&dir, &e),
        })?;
        let manifest = match Manifest::load(&dir)? {
            Some(manifest) => manifest,
            None => Manifest::empty(options.partitions),
        };
        if manifest.positions.len() != usize::from(options.partitions) {
            return Err(StoreError::Corrupt(format!(
                "{} was made with {} partitions and cannot be opened with {}",
                dir.display(),
                manifest.positions.len(),
                options.partitions
            )));
        }
        manifest::remove_strays(&dir, &manifest)?;
        let mut revised = Revised::default();
        for entry in &manifest.files {
            parquet_file::check(&dir, entry)?;
            if entry.revised > 0 {
                fresh::note_file_versions(&dir.join(&entry.name), entry.kind, &mut revised)?;
            }
        }
        let files = manifest.files.iter().map(|e| Arc::new(StoredFile::new(&dir, e.clone(), None))).collect();
        let state = State {
            open: Generation::default(),
            flushing: None,
            files: Arc::new(files),
            revised: Arc::new(revised),
            written: manifest.positions.clone(),
            durable: manifest.positions.clone(),
            waiting: Vec::new(),
            last_flush: Instant::now(),
            retry_at: None,
            stop: false,
        };
        let shared =
            Arc::new(Shared { dir, options, state: Mutex::new(state), wake: Condvar::new(), sealing: Mutex::new(()) });
        let thread = std::thread::Builder::new()
            .name("store-flush".into())
            .spawn({
                let shared = shared.clone();
                let next_seq = manifest.next_seq;
                move || flush::run(&shared, next_seq)
            })
            .map_err(|e| unavailable(&shared.dir, &e))?;
        Ok(Arc::new(EmbeddedStore { engine: Engine::new(), shared, thread: Some(thread), _lock: lock }))
    }

    /// Parquet files listed now.
    pub fn file_count(&self) -> usize {
        self.shared.lock().files.len()
    }

    /// Rows in memory that are in no file yet.
    pub fn fresh_rows(&self) -> usize {
        self.shared.lock().fresh_rows()
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the CDR store's flush thread panicked");
        }
    }
}

impl State {
    pub fn fresh_rows(&self) -> usize {
        self.open.rows + self.flushing.as_ref().map_or(0, |f| f.rows)
    }
}

impl Shared {
    /// A panic of another thread leaves the state whole: every change under this lock is complete before it is let go.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The locked state with an empty tail: everything written is in chunks or files.
    pub fn sealed(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let _turn = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut state = self.lock();
            let short = state.open.tail.len() <= SEAL_LOCKED_ROWS;
            if short {
                let chunks = fresh::seal(&state.open.tail)?;
                state.absorb(chunks, None)?;
                return Ok(state);
            }
            // Only this turn takes rows off the front; writers add behind them.
            let rows = state.open.tail.clone();
            drop(state);
            let chunks = fresh::seal(&rows)?;
            self.lock().absorb(chunks, Some(rows.len()))?;
            // Freeing thousands of rows takes a while: here, where nobody waits for the lock.
            drop(rows);
        }
    }

    pub fn snapshot(&self, kind: Kind) -> Result<Snapshot, StoreError> {
        let state = self.sealed()?;
        let flushing = state.flushing.iter().flat_map(|f| f.chunks.iter());
        let chunks = state.open.chunks.iter().chain(flushing).filter(|c| c.kind == kind).cloned().collect();
        Ok(Snapshot { files: state.files.clone(), chunks, revised: state.revised.clone() })
    }

    fn write(&self, partition: u16, cdrs: Vec<Arc<Cdr>>, next: u64) -> Result<(), StoreError> {
        let p = usize::from(partition);
        if p >= usize::from(self.options.partitions) {
            return Err(StoreError::BadQuery(format!("partition {partition} of {}", self.options.partitions)));
        }
        let rows = cdrs.into_iter().map(Row::new).collect::<Result<Vec<_>, _>>()?;
        loop {
            let files = self.lock().files.clone();
            let repeated = in_files(&rows, &files)?;
            let mut state = self.lock();
            if !Arc::ptr_eq(&files, &state.files) {
                // A flush or a merge came between: what was in memory may be in a file now.
                continue;
            }
            if state.fresh_rows() >= self.options.max_fresh_rows {
                let held = state.fresh_rows();
                drop(state);
                self.wake.notify_all();
                return Err(StoreError::Unavailable(format!("{held} rows wait in memory to be written to files")));
            }
            for (row, repeated) in rows.into_iter().zip(repeated) {
                let known = repeated
                    || state.open.ids.contains(&row.id)
                    || state.flushing.as_ref().is_some_and(|f| f.ids.contains(&row.id));
                if !known {
                    state.open.push(row);
                }
            }
            state.written[p] = state.written[p].max(next);
            let due = state.open.tail.len() >= SEAL_ROWS || state.open.rows >= self.options.flush_rows;
            drop(state);
            if due {
                self.wake.notify_all();
            }
            return Ok(());
        }
    }

    pub fn seal_due(&self, state: &State) -> bool {
        state.open.tail.len() >= SEAL_ROWS
    }
}

impl State {
    /// Replaces the first rows of the tail (all where None) by chunks made of them.
    fn absorb(&mut self, chunks: Vec<Chunk>, sealed: Option<usize>) -> Result<(), StoreError> {
        let sealed = sealed.unwrap_or(self.open.tail.len());
        fresh::note_versions(&self.open.tail[..sealed], &mut self.revised);
        self.open.absorb(sealed, chunks)
    }
}

/// For each row whether a file has it already. Only files whose times cover a row are asked: a repeated row has its
/// first one's `invite_ts`.
fn in_files(rows: &[Row], files: &[Arc<StoredFile>]) -> Result<Vec<bool>, StoreError> {
    let mut found = vec![false; rows.len()];
    for file in files {
        let mut ids = None;
        for (row, found) in rows.iter().zip(&mut found) {
            if *found || row.kind != file.entry.kind || !file.covers(row.cdr.invite_ts) {
                continue;
            }
            let ids = match &ids {
                Some(ids) => ids,
                None => ids.insert(file.ids()?),
            };
            *found = ids.binary_search(&row.id).is_ok();
        }
    }
    Ok(found)
}

impl CdrStore for EmbeddedStore {
    fn write(&self, partition: u16, rows: Vec<Arc<Cdr>>, next: u64) -> Result<(), StoreError> {
        self.shared.write(partition, rows, next)
    }

    fn positions(&self) -> Option<Positions> {
        Some(self.shared.lock().durable.clone())
    }

    fn reached(&self) -> Option<Positions> {
        Some(self.shared.lock().written.clone())
    }

    fn flush(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (done, answer) = oneshot::channel();
            self.shared.lock().waiting.push(done);
            self.shared.wake.notify_all();
            answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the flush thread has stopped".into())))
        })
    }

    fn cdrs(&self, query: CdrQuery) -> Answer<'_, Vec<Arc<Cdr>>> {
        Box::pin(async move {
            let snapshot = self.shared.snapshot(Kind::parse(&query.filter.record_type)?)?;
            self.engine.cdrs(&snapshot, &query).await
        })
    }

    fn traffic(&self, query: TrafficQuery) -> Answer<'_, Vec<TrafficRow>> {
        Box::pin(async move {
            let snapshot = self.shared.snapshot(Kind::parse(&query.filter.record_type)?)?;
            self.engine.traffic(&snapshot, &query).await
        })
    }

    fn tally(&self, query: TallyQuery) -> Answer<'_, Vec<TallyRow>> {
        Box::pin(async move {
            let snapshot = self.shared.snapshot(Kind::parse(&query.filter.record_type)?)?;
            self.engine.tally(&snapshot, &query).await
        })
    }
}
