//! The commit thread, and what it shares with those who append and read.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fjall::UserValue;
use tollgate_schemas::{
    event::Event,
    log::{Health, LogError, Record, Ticket},
};

use super::{
    Options, keys,
    metrics::LogMetrics,
    queue::{Group, Next, Queue},
    storage::{Identity, Segment, Storage, Writes},
    streams::Streams,
    tail::Tail,
    watermark::Watermark,
};

/// Between two tries of a failed commit.
const RETRY: Duration = Duration::from_millis(200);
/// How often free space is looked at.
const SPACE: Duration = Duration::from_secs(1);
/// Tries left to a failing commit once the log is being closed.
const LAST_TRIES: u32 = 5;
/// Room fjall needs beside the group to open again.
const MEND_SLACK: u64 = 1 << 20;

pub struct Shared {
    pub streams: Streams,
    pub queue: Queue,
    pub storage: Storage,
    pub tail: Tail,
    pub watermark: Watermark,
    pub metrics: LogMetrics,
    /// Moves after the events of the same group are shown: who sees progress sees the outputs made on the way there.
    progress: RwLock<HashMap<Vec<u8>, u64>>,
    reserve_bytes: u64,
    failing: AtomicBool,
    low_space: AtomicBool,
    /// Its owner wants no new calls.
    refused: AtomicBool,
}

impl Shared {
    pub fn health(&self) -> Health {
        if self.failing.load(Ordering::Relaxed) || self.low_space.load(Ordering::Relaxed) {
            Health::Failing
        } else if self.queue.slow() || self.refused.load(Ordering::Relaxed) {
            Health::Slow
        } else {
            Health::Good
        }
    }

    pub fn refuse_new_calls(&self, refuse: bool) {
        self.refused.store(refuse, Ordering::Relaxed);
    }

    pub fn progress(&self, key: &[u8]) -> Option<u64> {
        self.progress.read().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// The reserve is kept for calls that are up.
    pub fn room_for_new_calls(&self) -> Result<(), LogError> {
        if self.low_space.load(Ordering::Relaxed) {
            return Err(LogError::Storage(format!("less than {} MiB are free on the event log's disk", self.reserve_bytes >> 20)));
        }
        if self.refused.load(Ordering::Relaxed) {
            return Err(LogError::Storage("too many events of this node's log are not in the shared log yet".to_owned()));
        }
        Ok(())
    }

    pub fn read(&self, stream: usize, from: u64, max: usize) -> Result<Vec<Record>, LogError> {
        let end = self.tail.end(stream);
        if from >= end || max == 0 {
            return Ok(Vec::new());
        }
        match self.tail.read(stream, from, max) {
            Some(records) => Ok(records),
            None => self.storage.read(stream, from, end, max),
        }
    }

    fn look_at_space(&self) {
        let Some(free) = self.storage.free_bytes() else { return };
        self.metrics.free(free);
        let low = free < self.reserve_bytes;
        if self.low_space.swap(low, Ordering::Relaxed) != low {
            let reserve = self.reserve_bytes;
            if low {
                tracing::error!(free, reserve, "the event log's disk is nearly full: new calls are refused");
            } else {
                tracing::info!(free, reserve, "the event log's disk has room again");
            }
        }
    }
}

/// The commit thread's own.
pub struct Writer {
    /// The next offset of each stream.
    next: Vec<u64>,
    scratch: Vec<Scratch>,
    segment: u32,
    /// Left of the segment; a segment is begun when nothing is left.
    left: u64,
    segment_bytes: u64,
}

#[derive(Default)]
struct Scratch {
    value: Vec<u8>,
    events: Vec<Arc<Event>>,
}

/// A group ready to be written, again and again if need be, and then shown.
struct Encoded {
    writes: Writes,
    streams: Vec<(usize, Vec<Arc<Event>>, usize)>,
    progress: Vec<(Vec<u8>, u64)>,
    events: usize,
    bytes: usize,
    last: Ticket,
}

pub fn open(dir: &Path, options: Options) -> Result<(Arc<Shared>, Writer, Identity), LogError> {
    let streams = Streams::new(options.partitions);
    let (storage, identity, ends) = Storage::open(dir, &options, streams.clone())?;
    let writer = Writer {
        scratch: ends.iter().map(|_| Scratch::default()).collect(),
        // What an earlier process began may be flushed in part by now: a new segment keeps the tables apart.
        segment: storage.last_segment().map_or(0, |last| last + 1),
        left: 0,
        segment_bytes: options.segment_bytes,
        next: ends,
    };
    let shared = Shared {
        queue: Queue::new(&options),
        progress: RwLock::new(storage.progress()?),
        tail: Tail::new(&writer.next, options.tail_bytes),
        streams,
        storage,
        watermark: Watermark::default(),
        metrics: LogMetrics::default(),
        reserve_bytes: options.reserve_bytes,
        failing: AtomicBool::new(false),
        low_space: AtomicBool::new(false),
        refused: AtomicBool::new(false),
    };
    shared.look_at_space();
    Ok((Arc::new(shared), writer, identity))
}

pub fn run(shared: &Shared, mut writer: Writer) {
    let mut looked = Instant::now();
    loop {
        match shared.queue.next(SPACE) {
            Next::Closed => return,
            Next::Idle => {}
            Next::Group(group) => {
                let encoded = writer.encode(group, &shared.streams);
                if !commit(shared, &encoded) {
                    shared.queue.abandon();
                    return;
                }
                for (stream, events, bytes) in encoded.streams {
                    shared.tail.publish(stream, events.into_iter(), bytes);
                }
                if !encoded.progress.is_empty() {
                    shared.progress.write().unwrap_or_else(PoisonError::into_inner).extend(encoded.progress);
                }
                shared.queue.done();
                shared.watermark.advance(encoded.last);
            }
        }
        if looked.elapsed() >= SPACE {
            shared.look_at_space();
            looked = Instant::now();
        }
    }
}

/// Writes the group, repeating until it is durable; false when the log is closed before that.
fn commit(shared: &Shared, group: &Encoded) -> bool {
    let mut last_tries = LAST_TRIES;
    loop {
        let began = Instant::now();
        match shared.storage.commit(&group.writes) {
            Ok(()) => {
                shared.metrics.committed(group.events, group.bytes, began.elapsed(), shared.queue.pending());
                if shared.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("event log commits pass again");
                }
                return true;
            }
            Err(error) => {
                let pending = shared.queue.pending();
                shared.metrics.failed(pending);
                if !shared.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, pending, "event log cannot commit: new calls are refused, trying on");
                }
            }
        }
        if shared.queue.pause(RETRY) {
            last_tries -= 1;
            if last_tries == 0 {
                return false;
            }
            std::thread::sleep(RETRY / 4);
        }
        shared.look_at_space();
        if let Err(error) = shared.storage.mend(group.bytes as u64 + MEND_SLACK) {
            tracing::error!(%error, "event log cannot be opened again yet");
        }
    }
}

impl Writer {
    /// Gives offsets and encodes. The offsets are taken for good: a group is repeated, never given up.
    fn encode(&mut self, group: Group, streams: &Streams) -> Encoded {
        let mut writes = Writes::default();
        let mut progress = Vec::new();
        let mut touched = Vec::new();
        let starts = (self.left == 0).then(|| self.next.clone());
        for call in group.calls {
            for append in call.appends {
                // The partition was checked when it was queued.
                let Ok(stream) = streams.index(append.topic, append.partition) else { continue };
                let scratch = &mut self.scratch[stream];
                if scratch.events.is_empty() {
                    touched.push(stream);
                }
                let mut event = append.event;
                self.next[stream] += 1;
                event.partition_seq = self.next[stream];
                keys::put_event(&event, &mut scratch.value);
                scratch.events.push(Arc::new(event));
            }
            for p in call.progress {
                let key = keys::progress(p.topic, p.partition, &p.consumer);
                writes.state.insert(key.clone(), UserValue::from(p.next.to_be_bytes()));
                progress.push((key, p.next));
            }
            for s in call.snapshots {
                writes.state.insert(keys::snapshot(s.partition, &s.consumer), UserValue::from(keys::snapshot_value(&s)));
            }
        }
        let mut encoded = Encoded { writes, streams: Vec::with_capacity(touched.len()), progress, events: 0, bytes: 0, last: group.last };
        if let (Some(starts), false) = (starts, touched.is_empty()) {
            encoded.writes.state.insert(keys::segment(self.segment).to_vec(), UserValue::from(keys::starts(&starts)));
            encoded.writes.segment = Some(Segment { number: self.segment, starts: starts.into() });
            self.left = self.segment_bytes;
        }
        for stream in touched {
            self.take_row(stream, streams, &mut encoded);
        }
        self.left = self.left.saturating_sub(encoded.bytes as u64);
        if self.left == 0 && encoded.events > 0 {
            self.segment += 1;
        }
        encoded
    }

    fn take_row(&mut self, stream: usize, streams: &Streams, encoded: &mut Encoded) {
        let scratch = &mut self.scratch[stream];
        let (topic, partition) = streams.of(stream);
        let events = std::mem::take(&mut scratch.events);
        let base = self.next[stream] - events.len() as u64;
        encoded.writes.rows.push((keys::row(self.segment, topic, partition, base).into(), UserValue::from(&scratch.value[..])));
        encoded.events += events.len();
        encoded.bytes += scratch.value.len();
        scratch.events = Vec::with_capacity(events.len());
        encoded.streams.push((stream, events, scratch.value.len()));
        scratch.value.clear();
        scratch.value.shrink_to(1 << 20);
    }
}
