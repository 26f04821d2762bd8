//! What is old in topic `calls`, for ever: the shared log keeps it only for a while, so a worker carries it into files on a disk
//! or a mounted share, and readers get it back at the same offsets (design §2).
//!
//! **Folder.** `calls/PPPPP/FFFFFFFFFFFFFFFFFFFF.seg`: the partition, then the offset the segment begins at. A segment is closed by
//! size or age, and from then on never changes; each names the hash of the one before it, so that nothing can be taken out or
//! changed unseen. The form of a file is described in [`segment`].
//!
//! **How a segment comes to be.** It is written beside its place under a name of its own, made durable, put in its place without
//! ever replacing a sound one, and only then is the worker's progress committed. Killed in between, the next owner finds the
//! segment, verifies it and goes on after it; what was still being written is thrown away and read again.
//!
//! **Limits.** The worker holds 256 KiB of events for each partition; what is full goes to the file. When the folder cannot be
//! written it tries on, and the shared log holds what is to come until its retention ends: [`ArchiverStats`] says how far away that is.

mod archiver;
mod reader;
mod segment;
mod verify;
mod write;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tollgate_schemas::log::{EventLog, Membership, Topic};

use crate::{
    runner::{partitions, share::{Share, Work}},
    worker::{self, WorkerHandle},
};

pub use reader::ArchiveReader;
pub use verify::{Problem, Report, verify};

/// The thread's name, and the consumer's.
pub const ARCHIVER: &str = "archiver";

#[derive(Clone)]
pub struct ArchiverOptions {
    /// Encoded events at which a segment is closed, bytes.
    pub segment_bytes: u64,
    /// Age of its first event at which a segment is closed. Never more than a quarter of the retention.
    pub age: Duration,
    /// How long the log keeps topic `calls`; None = for ever.
    pub retention: Option<Duration>,
    /// UTC microseconds.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub stats: Arc<ArchiverStats>,
}

impl ArchiverOptions {
    pub fn new(retention: Option<Duration>, clock: impl Fn() -> i64 + Send + Sync + 'static) -> ArchiverOptions {
        ArchiverOptions {
            segment_bytes: 64 << 20,
            age: Duration::from_secs(3600),
            retention,
            clock: Arc::new(clock),
            stats: Arc::default(),
        }
    }

    fn age_us(&self) -> i64 {
        let age = self.retention.map_or(self.age, |r| self.age.min(r / 4));
        i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
    }
}

/// How the archiver does, in the partitions that are this process's.
#[derive(Debug, Default)]
pub struct ArchiverStats {
    events: AtomicU64,
    segments: AtomicU64,
    bytes: AtomicU64,
    /// By partition: when the oldest event occurred that is in no segment yet.
    oldest_us: Mutex<HashMap<u16, i64>>,
}

impl ArchiverStats {
    /// Events put into segments by this process.
    pub fn archived_events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub fn archived_segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// As they are on disk.
    pub fn archived_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the oldest event occurred that was read and is in no segment yet, UTC microseconds. Older than half the retention:
    /// alarm, facts will be lost.
    pub fn oldest_unarchived_us(&self) -> Option<i64> {
        self.oldest_us.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    fn archived(&self, events: u64, bytes: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.segments.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn oldest(&self, partition: u16, us: Option<i64>) {
        let mut oldest = self.oldest_us.lock().unwrap_or_else(PoisonError::into_inner);
        match us {
            Some(us) => drop(oldest.insert(partition, us)),
            None => drop(oldest.remove(&partition)),
        }
    }
}

pub struct Archiver;

impl Archiver {
    /// Starts the thread; partitions are shared with the archivers of other processes, all of which must see the same `dir`.
    pub fn spawn(log: Arc<dyn EventLog>, dir: PathBuf, options: ArchiverOptions) -> std::io::Result<WorkerHandle> {
        std::fs::create_dir_all(&dir)?;
        let streams = partitions(&*log, Topic::Calls);
        let count = log.partitions();
        let body_log = log.clone();
        worker::spawn(log, ARCHIVER, streams, move |control| {
            let log = body_log;
            let work: Work = Arc::new({
                let log = log.clone();
                move |partition, control| archiver::served(&*log, &dir, &options, partition, control)
            });
            let share = Share::new(ARCHIVER, work, control.clone());
            match log.join(ARCHIVER, Topic::Calls, share.clone()).map_err(|e| e.to_string())? {
                Membership::Shared(membership) => share.watch(count, membership),
                Membership::Alone => share.watch_all(count),
            }
        })
    }
}

/// Where a partition's segments are.
fn folder(dir: &Path, partition: u16) -> PathBuf {
    dir.join(Topic::Calls.name()).join(format!("{partition:05}"))
}

fn place(folder: &Path, from: u64) -> PathBuf {
    folder.join(format!("{from:020}.seg"))
}

/// Where a partition's segments begin, oldest first. No folder: none.
fn starts(folder: &Path) -> std::io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut starts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|n| n.strip_suffix(".seg")).filter(|d| d.len() == 20);
        starts.extend(digits.and_then(|d| d.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    Ok(starts)
}

#[cfg(test)]
mod tests;
