//! The fjall database behind the log: opening, writing a group, reading rows, and opening again after a failure.
//!
//! fjall refuses every write after one failed (a full disk), because it no longer knows what its journal holds.
//! Opening again cuts the journal at its last whole batch; the failed group is then written again under the same
//! keys, so it makes no difference whether the first try had reached the disk.

mod trim;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserKey, UserValue,
    config::{BlockSizePolicy, FilterPolicy},
};
use serde::{Deserialize, Serialize};
use tollgate_schemas::log::{LogError, Record, Snapshot, Topic};

use super::{Faults, Options, disk, keys, streams::Streams};

pub struct Storage {
    dir: PathBuf,
    segment_bytes: u64,
    streams: Streams,
    faults: Option<Arc<Faults>>,
    handles: RwLock<Option<Handles>>,
    segments: RwLock<Vec<Segment>>,
    /// Held while rows of one segment are read, so that a trim does not move them meanwhile.
    reading: RwLock<()>,
    /// One trim at a time.
    trimming: Mutex<()>,
    /// A write failed, so the database has to be opened again.
    broken: AtomicBool,
}

struct Handles {
    db: Database,
    events: Keyspace,
    kept: Keyspace,
    state: Keyspace,
}

/// Where each stream stood when the segment began.
#[derive(Clone)]
pub struct Segment {
    pub number: u32,
    pub starts: Box<[u64]>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    pub format: u32,
    pub node: u64,
    pub epoch: u32,
    pub partitions: u16,
}

/// What one group writes, atomically.
#[derive(Default)]
pub struct Writes {
    /// Set when the group begins a segment.
    pub segment: Option<Segment>,
    pub rows: Vec<(UserKey, UserValue)>,
    /// One value for each key: a batch must not hold a key twice.
    pub state: BTreeMap<Vec<u8>, UserValue>,
}

fn storage(e: fjall::Error) -> LogError {
    LogError::Storage(match e {
        fjall::Error::Io(e) => e.to_string(),
        e => e.to_string(),
    })
}

fn open_database(dir: &Path, segment_bytes: u64) -> Result<Handles, LogError> {
    let db = Database::builder(dir)
        // Flushes and moves of tables are all it does.
        .worker_threads(1)
        .cache_size(16 << 20)
        .max_journaling_size(256 << 20)
        .manual_journal_persist(true)
        .open()
        .map_err(|e| match e {
            fjall::Error::Locked => LogError::Refused(format!("event log {} is in use by another process", dir.display())),
            fjall::Error::InvalidVersion(_) => LogError::Refused(format!("{} is not an event log this program can read", dir.display())),
            e => storage(e),
        })?;
    // Rows are read by ranges, never looked up by key: filters would only cost.
    let rows = || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(segment_bytes.saturating_mul(4))
            .data_block_size_policy(BlockSizePolicy::all(32 << 10))
            .filter_policy(FilterPolicy::disabled())
    };
    let events = db.keyspace("events", rows);
    let kept = db.keyspace("kept", rows);
    let state = db.keyspace("state", KeyspaceCreateOptions::default);
    Ok(Handles { events: events.map_err(storage)?, kept: kept.map_err(storage)?, state: state.map_err(storage)?, db })
}

impl Storage {
    /// Opens or creates; gives the identity (with this opening's epoch), the segments' last number and each stream's end.
    pub fn open(dir: &Path, options: &Options, streams: Streams) -> Result<(Storage, Identity, Vec<u64>), LogError> {
        std::fs::create_dir_all(dir).map_err(|e| LogError::Storage(format!("cannot make {}: {e}", dir.display())))?;
        let handles = open_database(dir, options.segment_bytes)?;
        let identity = identify(dir, &handles, options.partitions)?;
        let segments = load_segments(&handles, streams.count())?;
        let mut ends = segments.last().map_or_else(|| vec![0; streams.count()], |s| s.starts.to_vec());
        if let Some(last) = segments.last() {
            for (stream, end) in ends.iter_mut().enumerate() {
                *end = end_of(&handles, last.number, &streams, stream)?.unwrap_or(*end);
            }
        }
        trim::reclaim(&handles, segments.first())?;
        let storage = Storage {
            dir: dir.to_owned(),
            segment_bytes: options.segment_bytes,
            streams,
            faults: options.faults.clone(),
            handles: RwLock::new(Some(handles)),
            segments: RwLock::new(segments),
            reading: RwLock::new(()),
            trimming: Mutex::new(()),
            broken: AtomicBool::new(false),
        };
        Ok((storage, identity, ends))
    }

    pub fn last_segment(&self) -> Option<u32> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).last().map(|s| s.number)
    }

    fn with<T>(&self, call: impl FnOnce(&Handles) -> Result<T, LogError>) -> Result<T, LogError> {
        match &*self.handles.read().unwrap_or_else(PoisonError::into_inner) {
            Some(handles) => call(handles),
            None => Err(LogError::Storage("the event log's database is not open".to_owned())),
        }
    }

    /// Writes a group; it is on disk when this returns Ok. After an error, `mend` and write the same again.
    pub fn commit(&self, writes: &Writes) -> Result<(), LogError> {
        if let Some(faults) = &self.faults {
            faults.before_commit().map_err(LogError::Storage)?;
        }
        let done = self.with(|h| {
            // A panic inside the store must not end the commit thread.
            catch_unwind(AssertUnwindSafe(|| write(h, writes))).unwrap_or_else(|_| Err(LogError::Storage("the store panicked".to_owned())))
        });
        match (&done, &writes.segment) {
            (Ok(()), Some(segment)) => self.segments.write().unwrap_or_else(PoisonError::into_inner).push(segment.clone()),
            (Err(_), _) => self.broken.store(true, Ordering::SeqCst),
            _ => {}
        }
        done
    }

    /// Opens the database again after a failed write, once the disk has room for `needed` bytes.
    pub fn mend(&self, needed: u64) -> Result<(), LogError> {
        if !self.broken.load(Ordering::SeqCst) || self.free_bytes().is_some_and(|free| free < needed) {
            return Ok(());
        }
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        // The folder's lock goes with the last handle.
        *handles = None;
        *handles = Some(open_database(&self.dir, self.segment_bytes)?);
        self.broken.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// None when the system does not say.
    pub fn free_bytes(&self) -> Option<u64> {
        let cap = self.faults.as_ref().map_or(u64::MAX, |f| f.free_bytes());
        disk::free_bytes(&self.dir).ok().map(|free| free.min(cap))
    }

    pub fn close(&self) {
        *self.handles.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Events of a stream from `from` to before `end`, whole rows until there are `max`. An event that cannot be read
    /// is an error only when it is the first: what is before it is given.
    pub fn read(&self, stream: usize, from: u64, end: u64, max: usize) -> Result<Vec<Record>, LogError> {
        let (topic, partition) = self.streams.of(stream);
        let corrupt = |offset, problem: String| LogError::Corrupt { topic: topic.name(), partition, offset, problem };
        let mut records = Vec::new();
        let mut next = from;
        while next < end && records.len() < max {
            let before = next;
            let _reading = self.reading.read().unwrap_or_else(PoisonError::into_inner);
            let segment = self.segment_with(stream, next);
            if segment.is_none() && keys::trimmable(topic) {
                return Err(corrupt(next, format!("trimmed: forwarded to the shared log; this one begins at {}", self.first(stream))));
            }
            let bad = self.with(|h| {
                let (rows, segment) = segment.map_or((&h.kept, 0), |s| (&h.events, s));
                let first = first_row(rows, segment, topic, partition, next)?;
                for row in rows.range(keys::row(segment, topic, partition, first)..=keys::row(segment, topic, partition, u64::MAX)) {
                    let (key, value) = row.into_inner().map_err(storage)?;
                    let base = keys::base_of(&key).unwrap_or(0);
                    if base > next {
                        return Ok(Some((next, "it is missing".to_owned())));
                    }
                    for one in keys::events(&value) {
                        let read = one.and_then(|(index, bytes)| {
                            if base + index < next { Ok(None) } else { keys::decode(index, bytes).map(Some) }
                        });
                        match read {
                            Ok(None) => {}
                            Ok(Some(event)) => {
                                records.push(Record { offset: next, event: Arc::new(event) });
                                next += 1;
                            }
                            Err(bad) => return Ok(Some((base + bad.index, bad.problem.to_string()))),
                        }
                        if next >= end {
                            return Ok(None);
                        }
                    }
                    if records.len() >= max {
                        return Ok(None);
                    }
                }
                Ok(None)
            })?;
            match bad {
                Some(_) if !records.is_empty() => break,
                Some((offset, problem)) => return Err(corrupt(offset, problem)),
                None if next == before => return Err(corrupt(next, "it is missing".to_owned())),
                None => {}
            }
        }
        Ok(records)
    }

    /// The segment that holds an offset; None when it is below the first.
    fn segment_with(&self, stream: usize, offset: u64) -> Option<u32> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|s| s.starts[stream] <= offset);
        segments.get(after.checked_sub(1)?).map(|s| s.number)
    }

    /// Where every consumer stands, by [`keys::progress`].
    pub fn progress(&self) -> Result<HashMap<Vec<u8>, u64>, LogError> {
        self.with(|h| {
            let mut all = HashMap::new();
            for row in h.state.prefix(keys::PROGRESS) {
                let (key, value) = row.into_inner().map_err(storage)?;
                let next = value.as_ref().try_into().map(u64::from_be_bytes);
                let next = next.map_err(|_| LogError::Storage(format!("a consumer's progress has {} bytes instead of 8", value.len())))?;
                all.insert(key.to_vec(), next);
            }
            Ok(all)
        })
    }

    pub fn snapshot(&self, consumer: &str, partition: u16) -> Result<Option<Snapshot>, LogError> {
        let value = self.with(|h| h.state.get(keys::snapshot(partition, consumer)).map_err(storage))?;
        // A snapshot can always be made again: one that cannot be read is as good as none.
        Ok(value.and_then(|v| keys::snapshot_of(consumer, partition, &v)))
    }
}

fn write(h: &Handles, writes: &Writes) -> Result<(), LogError> {
    if writes.segment.is_some() {
        // What follows goes to a new memtable, so that tables on disk do not overlap.
        h.events.rotate_memtable().map_err(storage)?;
        h.state.rotate_memtable().map_err(storage)?;
    }
    let mut batch = h.db.batch().durability(Some(PersistMode::SyncData));
    for (key, value) in &writes.rows {
        batch.insert(&h.events, key.clone(), value.clone());
    }
    for (key, value) in &writes.state {
        batch.insert(&h.state, key.as_slice(), value.clone());
    }
    batch.commit().map_err(storage)
}

/// The base of the row that holds `offset`, or the offset itself when no row does.
fn first_row(rows: &Keyspace, segment: u32, topic: Topic, partition: u16, offset: u64) -> Result<u64, LogError> {
    let range = keys::row(segment, topic, partition, 0)..=keys::row(segment, topic, partition, offset);
    let Some(row) = rows.range(range).next_back() else { return Ok(offset) };
    Ok(keys::base_of(&row.key().map_err(storage)?).unwrap_or(offset))
}

/// The offset after the stream's last event in the segment; None when it has none there.
fn end_of(h: &Handles, segment: u32, streams: &Streams, stream: usize) -> Result<Option<u64>, LogError> {
    let (topic, partition) = streams.of(stream);
    let range = keys::row(segment, topic, partition, 0)..=keys::row(segment, topic, partition, u64::MAX);
    let Some(row) = h.events.range(range).next_back() else { return Ok(None) };
    let (key, value) = row.into_inner().map_err(storage)?;
    let base = keys::base_of(&key).unwrap_or(0);
    let mut count = 0;
    for one in keys::events(&value) {
        one.map_err(|bad| LogError::Corrupt { topic: topic.name(), partition, offset: base + bad.index, problem: bad.problem.to_string() })?;
        count += 1;
    }
    Ok(Some(base + count))
}

fn load_segments(h: &Handles, streams: usize) -> Result<Vec<Segment>, LogError> {
    let mut segments = Vec::new();
    for row in h.state.prefix(b"g") {
        let (key, value) = row.into_inner().map_err(storage)?;
        if let Some(number) = keys::segment_of(&key) {
            segments.push(Segment { number, starts: keys::starts_of(&value, streams) });
        }
    }
    Ok(segments)
}

/// Reads the folder's identity, or makes it, and counts this opening.
fn identify(dir: &Path, h: &Handles, partitions: u16) -> Result<Identity, LogError> {
    let mut identity = match h.state.get(keys::IDENTITY).map_err(storage)? {
        Some(text) => serde_json::from_slice(&text)
            .map_err(|e| LogError::Refused(format!("event log {}: its identity cannot be read: {e}", dir.display())))?,
        None => {
            let mut random = [0; 8];
            getrandom::fill(&mut random[2..]).map_err(|e| LogError::Storage(format!("no random numbers: {e}")))?;
            Identity { format: keys::FORMAT_UNTRIMMED, node: u64::from_be_bytes(random), epoch: 0, partitions }
        }
    };
    if identity.format > keys::FORMAT {
        return Err(LogError::Refused(format!(
            "event log {} has form {}, this program reads up to {}: upgrade it", dir.display(), identity.format, keys::FORMAT
        )));
    }
    if identity.partitions != partitions {
        return Err(LogError::Refused(format!(
            "event log {} was made with {} partitions, the configuration says {partitions}: the count is fixed when the log is made",
            dir.display(), identity.partitions
        )));
    }
    identity.epoch += 1;
    let text = serde_json::to_vec(&identity).map_err(|e| LogError::Storage(e.to_string()))?;
    h.state.insert(keys::IDENTITY, text).map_err(storage)?;
    // Ids of this epoch may leave the process before the first group does.
    h.db.persist(PersistMode::SyncAll).map_err(storage)?;
    Ok(identity)
}
