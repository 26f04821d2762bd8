//! The newest records of the streams that are read here, decoded once and shared by all readers of the process.
//!
//! One consumer and thread for each topic. A stream is followed from its first read on: the tail begins a little before the
//! stream's end, so that the offset of its last record is known (on a topic written in transactions the end itself is no
//! record's). It holds the newest `tail_bytes`; what falls out is read by [`crate::history`].

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tollgate_schemas::{
    event,
    log::{LogError, Record, Topic},
    v1::Event,
};

use crate::{
    Options,
    client::{Quiet, storage},
    tickets::Tickets,
};

/// How far before the end a stream is begun to be followed, tried one after the other until a record is met.
const REACH: [i64; 3] = [64, 65_536, i64::MAX];
/// Longest wait for a stream to be followed, and once the brokers are known to be away: who only wants to know how far a stream
/// goes (figures, a start without the brokers) must not wait for each of many.
const PATIENCE: Duration = Duration::from_secs(10);
const AWAY: Duration = Duration::from_millis(20);
/// A stream nobody read for this long is followed no more.
const IDLE: Duration = Duration::from_secs(300);

/// One record as it came: the event, or why it cannot be read.
#[derive(Clone)]
pub struct Arrived {
    pub offset: u64,
    pub bytes: usize,
    pub event: Result<Arc<Event>, String>,
}

impl Arrived {
    pub fn decode(offset: i64, payload: Option<&[u8]>) -> Arrived {
        let bytes = payload.unwrap_or_default();
        let event = event::decode(bytes).map(Arc::new).map_err(|e| e.to_string());
        Arrived { offset: offset.max(0) as u64, bytes: bytes.len(), event }
    }
}

/// Records up to the first that cannot be read; that one is an error when it is the first.
pub fn readable<'a>(topic: Topic, partition: u16, arrived: impl Iterator<Item = &'a Arrived>) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    for a in arrived {
        match &a.event {
            Ok(event) => records.push(Record { offset: a.offset, event: event.clone() }),
            Err(_) if !records.is_empty() => break,
            Err(problem) => return Err(LogError::Corrupt { topic: topic.name(), partition, offset: a.offset, problem: problem.clone() }),
        }
    }
    Ok(records)
}

struct Ring {
    records: VecDeque<Arrived>,
    bytes: usize,
    /// Every record from here on that is not in `records` does not exist.
    first: u64,
    /// After the last record; meaningful when `ready`.
    end: u64,
    ready: bool,
    /// Index into [`REACH`].
    reach: usize,
    low: i64,
    read: Instant,
}

pub struct Tail {
    topic: Topic,
    options: Arc<Options>,
    tickets: Arc<Tickets>,
    shared: Mutex<HashMap<u16, Ring>>,
    moved: Condvar,
    wanted: Mutex<Vec<u16>>,
    consumer: BaseConsumer<Quiet>,
    stop: AtomicBool,
    /// The brokers answered last, as far as anybody of this log knows.
    reachable: Arc<AtomicBool>,
}

pub struct Running {
    pub tail: Arc<Tail>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tail.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn start(topic: Topic, options: Arc<Options>, tickets: Arc<Tickets>, reachable: Arc<AtomicBool>) -> Result<Running, LogError> {
    let consumer = options.reader().create_with_context(Quiet).map_err(|e| storage("consumer", &e))?;
    let tail = Arc::new(Tail {
        topic,
        options,
        tickets,
        shared: Mutex::default(),
        moved: Condvar::new(),
        wanted: Mutex::default(),
        consumer,
        stop: AtomicBool::new(false),
        reachable,
    });
    let body = tail.clone();
    let thread = std::thread::Builder::new()
        .name(format!("kafka-{}", topic.name()))
        .spawn(move || body.run())
        .map_err(|e| LogError::Storage(format!("cannot start a reading thread: {e}")))?;
    Ok(Running { tail, thread: Some(thread) })
}

impl Tail {
    fn lock(&self) -> MutexGuard<'_, HashMap<u16, Ring>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure the stream is followed; an error when that cannot be reached in time.
    fn follow(&self, partition: u16, patience: Duration) -> Result<MutexGuard<'_, HashMap<u16, Ring>>, LogError> {
        let deadline = Instant::now() + patience;
        let mut rings = self.lock();
        let mut asked = false;
        loop {
            if let Some(ring) = rings.get_mut(&partition)
                && ring.ready
            {
                ring.read = Instant::now();
                return Ok(rings);
            }
            if !asked && !rings.contains_key(&partition) {
                asked = true;
                self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(partition);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.reachable.store(false, Ordering::Relaxed);
                return Err(LogError::Storage(format!("Kafka: topic {} cannot be read: the brokers are away", self.options.topic(self.topic))));
            }
            rings = self.moved.wait_timeout(rings, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The offset after the last readable record.
    pub fn end(&self, partition: u16) -> Result<u64, LogError> {
        let patience = if self.reachable.load(Ordering::Relaxed) { PATIENCE } else { AWAY };
        Ok(self.follow(partition, patience)?.get(&partition).map_or(0, |r| r.end))
    }

    /// As `end`, if the stream is followed already.
    pub fn end_if_followed(&self, partition: u16) -> Option<u64> {
        self.lock().get(&partition).filter(|r| r.ready).map(|r| r.end)
    }

    /// What the tail has from `from` on; Err(first) when it begins later, at `first`.
    pub fn read(&self, partition: u16, from: u64, max: usize) -> Result<Result<Vec<Record>, u64>, LogError> {
        let rings = self.follow(partition, PATIENCE)?;
        let Some(ring) = rings.get(&partition) else { return Ok(Ok(Vec::new())) };
        if from < ring.first {
            return Ok(Err(ring.first));
        }
        let skip = ring.records.partition_point(|r| r.offset < from);
        readable(self.topic, partition, ring.records.iter().skip(skip).take(max)).map(Ok)
    }

    fn run(&self) {
        let mut looked = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            let wanted = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
            for partition in wanted {
                if let Err(error) = self.begin(partition, 0) {
                    tracing::debug!(%error, topic = self.topic.name(), partition, "not followed yet");
                    self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(partition);
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            match self.consumer.poll(Duration::from_millis(20)) {
                None => {}
                Some(Ok(first)) => {
                    let mut rings = self.lock();
                    self.take(&mut rings, first.partition(), first.offset(), first.payload());
                    let mut ended = None;
                    // What has come already, without waiting.
                    for _ in 0..4096 {
                        match self.consumer.poll(Duration::ZERO) {
                            Some(Ok(m)) => self.take(&mut rings, m.partition(), m.offset(), m.payload()),
                            Some(Err(e)) => {
                                ended = Some(e);
                                break;
                            }
                            None => break,
                        }
                    }
                    drop(rings);
                    self.moved.notify_all();
                    self.tickets.arrived();
                    if let Some(e) = ended {
                        self.note(e);
                    }
                }
                Some(Err(e)) => self.note(e),
            }
            if looked.elapsed() > Duration::from_secs(10) {
                looked = Instant::now();
                self.forget_idle();
            }
        }
    }

    /// Begins, or begins further back, to follow a stream.
    fn begin(&self, partition: u16, reach: usize) -> Result<(), LogError> {
        let name = self.options.topic(self.topic);
        let mut rings = self.lock();
        if reach == 0 && rings.contains_key(&partition) {
            return Ok(());
        }
        drop(rings);
        let (low, high) = self.consumer.fetch_watermarks(&name, partition.into(), self.options.request).map_err(|e| storage("reading a stream's ends", &e))?;
        let from = low.max(high.saturating_sub(REACH[reach]));
        let mut list = TopicPartitionList::new();
        list.add_partition(&name, partition.into());
        if reach > 0 {
            self.consumer.incremental_unassign(&list).map_err(|e| storage("reading a stream", &e))?;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&name, partition.into(), Offset::Offset(from)).map_err(|e| storage("reading a stream", &e))?;
        rings = self.lock();
        let ring = Ring { records: VecDeque::new(), bytes: 0, first: from.max(0) as u64, end: 0, ready: false, reach, low, read: Instant::now() };
        rings.insert(partition, ring);
        drop(rings);
        if let Err(e) = self.consumer.incremental_assign(&list) {
            self.lock().remove(&partition);
            return Err(storage("reading a stream", &e));
        }
        Ok(())
    }

    fn take(&self, rings: &mut HashMap<u16, Ring>, partition: i32, offset: i64, payload: Option<&[u8]>) {
        let Some(ring) = u16::try_from(partition).ok().and_then(|p| rings.get_mut(&p)) else { return };
        let arrived = Arrived::decode(offset, payload);
        if arrived.offset < ring.end && ring.ready {
            // Fetched again after a reconnection.
            return;
        }
        ring.end = arrived.offset + 1;
        ring.bytes += arrived.bytes;
        ring.records.push_back(arrived);
        // The newest record always stays, however large.
        while ring.bytes > self.options.tail_bytes && ring.records.len() > 1 {
            let Some(oldest) = ring.records.pop_front() else { break };
            ring.bytes -= oldest.bytes;
            ring.first = oldest.offset + 1;
        }
    }

    /// The end of a stream was met, or something went wrong that the client mends by itself.
    fn note(&self, error: KafkaError) {
        let KafkaError::PartitionEOF(partition) = error else {
            tracing::debug!(%error, topic = self.topic.name(), "reading Kafka");
            return;
        };
        let Ok(partition) = u16::try_from(partition) else { return };
        let mut again = None;
        {
            let mut rings = self.lock();
            if let Some(ring) = rings.get_mut(&partition)
                && !ring.ready
            {
                let bottom = ring.first as i64 <= ring.low.max(0);
                if ring.records.is_empty() && !bottom && ring.reach + 1 < REACH.len() {
                    again = Some(ring.reach + 1);
                } else {
                    if ring.records.is_empty() {
                        ring.end = if bottom { ring.low.max(0) as u64 } else { ring.first };
                    }
                    ring.ready = true;
                    self.reachable.store(true, Ordering::Relaxed);
                }
            }
        }
        match again {
            Some(reach) => {
                if let Err(error) = self.begin(partition, reach) {
                    tracing::debug!(%error, topic = self.topic.name(), partition, "not followed yet");
                    self.lock().remove(&partition);
                    self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(partition);
                }
            }
            None => {
                self.moved.notify_all();
                self.tickets.arrived();
            }
        }
    }

    fn forget_idle(&self) {
        let idle: Vec<u16> = self.lock().iter().filter(|(_, r)| r.ready && r.read.elapsed() > IDLE).map(|(p, _)| *p).collect();
        if idle.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for partition in &idle {
            list.add_partition(&self.options.topic(self.topic), (*partition).into());
        }
        if self.consumer.incremental_unassign(&list).is_ok() {
            let mut rings = self.lock();
            idle.iter().for_each(|p| drop(rings.remove(p)));
        }
    }
}
