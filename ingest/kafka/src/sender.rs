//! Appends on their way to the broker: one idempotent producer and one thread, `kafka-send`. What is not acknowledged is kept
//! here, encoded, so that a producer that broke down (a fatal error) is made anew and everything is sent again, in order.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use prost::Message;
use rdkafka::{
    ClientContext, Message as _, Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig},
};
use tollgate_schemas::log::{Append, Claim, Health, LogError, Ticket, Topic};

use crate::{
    Options,
    client::{Quiet, storage},
    tickets::Tickets,
};

/// A record ready to be sent.
pub struct Encoded {
    /// None: the topic of snapshots.
    pub topic: Option<Topic>,
    pub partition: u16,
    pub key: String,
    pub value: Vec<u8>,
}

impl Encoded {
    pub fn of(append: &Append) -> Encoded {
        Encoded { topic: Some(append.topic), partition: append.partition, key: append.event.key.clone(), value: append.event.encode_to_vec() }
    }
}

/// Where each stream's newest record of ours is: offset + 1.
pub type Acked = Arc<Mutex<HashMap<(Topic, u16), u64>>>;

struct Batch {
    ticket: Ticket,
    records: Arc<Vec<Encoded>>,
    bytes: usize,
    since: Instant,
}

#[derive(Default)]
struct State {
    /// Not handed to the producer yet.
    queued: VecDeque<Batch>,
    /// Handed over, not acknowledged: by ticket, with what is left.
    flying: BTreeMap<u64, (Batch, usize)>,
    events: usize,
    bytes: usize,
    broken: bool,
    closing: bool,
}

pub struct Sender {
    options: Arc<Options>,
    tickets: Arc<Tickets>,
    state: Mutex<State>,
    wake: Condvar,
    topics: Vec<String>,
    snapshots: String,
    acked: Acked,
    pub sent: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub remade: AtomicU64,
}

struct Context {
    sender: Arc<Sender>,
    quiet: Quiet,
    /// Reports of a producer that was given up are not heard any more.
    stale: Arc<AtomicBool>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }
    fn stats(&self, _: Statistics) {}
    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        if self.stale.load(Ordering::Acquire) {
            return;
        }
        match result {
            Ok(message) => {
                if let Some(topic) = self.sender.topic_named(message.topic()) {
                    note_acked(&self.sender.acked, topic, message.partition(), message.offset());
                }
                self.sender.acknowledged(Ticket(ticket as u64));
            }
            Err((error, _)) => self.sender.broke(error),
        }
    }
}

pub fn note_acked(acked: &Acked, topic: Topic, partition: i32, offset: i64) {
    if let (Ok(partition), Ok(offset)) = (u16::try_from(partition), u64::try_from(offset)) {
        let mut acked = acked.lock().unwrap_or_else(PoisonError::into_inner);
        let end = acked.entry((topic, partition)).or_insert(0);
        *end = (*end).max(offset + 1);
    }
}

impl Sender {
    pub fn start(options: Arc<Options>, tickets: Arc<Tickets>, acked: Acked) -> Result<(Arc<Sender>, JoinHandle<()>), LogError> {
        let topics = Topic::ALL.iter().map(|t| options.topic(*t)).collect();
        let snapshots = options.snapshots();
        let sender = Arc::new(Sender {
            options,
            tickets,
            state: Mutex::default(),
            wake: Condvar::new(),
            topics,
            snapshots,
            acked,
            sent: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            remade: AtomicU64::new(0),
        });
        let first = sender.producer()?;
        let body = sender.clone();
        let thread = std::thread::Builder::new()
            .name("kafka-send".to_owned())
            .spawn(move || body.run(first))
            .map_err(|e| LogError::Storage(format!("cannot start the sending thread: {e}")))?;
        Ok((sender, thread))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic_named(&self, name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|t| self.topics[*t as usize - 1] == name)
    }

    fn producer(self: &Arc<Sender>) -> Result<(BaseProducer<Context>, Arc<AtomicBool>), LogError> {
        let stale = Arc::new(AtomicBool::new(false));
        let mut config = self.options.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            .set("batch.size", "262144")
            // Tried until it passes: what is not durable is known here, not there.
            .set("message.timeout.ms", "0")
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "1048576");
        let context = Context { sender: self.clone(), quiet: Quiet, stale: stale.clone() };
        let producer = config.create_with_context(context).map_err(|e| storage("producer", &e))?;
        Ok((producer, stale))
    }

    /// Takes a batch, or gives the reason. Its ticket is complete when the brokers have all of it.
    pub fn push(&self, records: Vec<Encoded>, claim: Claim) -> Result<Ticket, LogError> {
        if records.is_empty() {
            return Ok(self.tickets.last());
        }
        let bytes = records.iter().map(|r| r.value.len() + r.key.len()).sum();
        let mut s = self.lock();
        if s.closing {
            return Err(LogError::Refused("the event log is closed".to_owned()));
        }
        let limit = match claim {
            Claim::Ordinary => self.options.limit,
            Claim::Reserved => self.options.limit + self.options.reserved,
        };
        if s.events >= limit || s.bytes >= self.options.limit_bytes {
            return Err(LogError::Backlog { pending: s.events });
        }
        let ticket = self.tickets.open();
        s.events += records.len();
        s.bytes += bytes;
        s.queued.push_back(Batch { ticket, records: Arc::new(records), bytes, since: Instant::now() });
        drop(s);
        self.wake.notify_one();
        Ok(ticket)
    }

    pub fn pending(&self) -> usize {
        self.lock().events
    }

    pub fn health(&self) -> Health {
        let s = self.lock();
        let oldest = s.flying.values().map(|(b, _)| b.since).chain(s.queued.front().map(|b| b.since)).min();
        let slow = oldest.is_some_and(|t| t.elapsed() > Duration::from_millis(self.options.slow_ms)) || s.events * 2 > self.options.limit;
        if slow { Health::Slow } else { Health::Good }
    }

    /// Ends the thread once everything is acknowledged, or after the time of one request.
    pub fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_all();
    }

    fn acknowledged(&self, ticket: Ticket) {
        let mut s = self.lock();
        if let Some((batch, left)) = s.flying.get_mut(&ticket.0) {
            *left -= 1;
            if *left == 0 {
                let (events, bytes) = (batch.records.len(), batch.bytes);
                s.flying.remove(&ticket.0);
                s.events -= events;
                s.bytes -= bytes;
                drop(s);
                self.sent.fetch_add(events as u64, Ordering::Relaxed);
                self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.tickets.done(ticket);
            }
        }
    }

    fn broke(&self, error: &KafkaError) {
        let mut s = self.lock();
        if !s.broken {
            s.broken = true;
            tracing::warn!(%error, "the Kafka producer is made anew, what was not acknowledged is sent again");
        }
    }

    fn held(&self) -> bool {
        self.options.hold.as_ref().is_some_and(|h| h.load(Ordering::Acquire))
    }

    fn run(self: Arc<Sender>, first: (BaseProducer<Context>, Arc<AtomicBool>)) {
        let (mut producer, mut stale) = first;
        let mut closing_since = None;
        loop {
            if self.lock().broken {
                stale.store(true, Ordering::Release);
                producer.purge(PurgeConfig::default().queue().inflight());
                match self.producer() {
                    Ok((new, mark)) => {
                        (producer, stale) = (new, mark);
                        self.remade.fetch_add(1, Ordering::Relaxed);
                        let mut s = self.lock();
                        s.broken = false;
                        // Everything not acknowledged goes back in front, in order.
                        let flying = std::mem::take(&mut s.flying);
                        for (batch, _) in flying.into_values().rev() {
                            s.queued.push_front(batch);
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "Kafka producer");
                        std::thread::sleep(Duration::from_millis(200));
                        continue;
                    }
                }
            }
            let batch = {
                let mut s = self.lock();
                if s.queued.is_empty() || self.held() {
                    // Reports are looked for by the millisecond, without spinning: the client's own poll spins below one.
                    let wait = if s.flying.is_empty() { Duration::from_millis(20) } else { Duration::from_millis(1) };
                    if !s.closing {
                        s = self.wake.wait_timeout(s, wait).unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
                if s.closing {
                    let since = *closing_since.get_or_insert_with(Instant::now);
                    if s.events == 0 || since.elapsed() > self.options.request {
                        if s.events > 0 {
                            tracing::error!(events = s.events, "closed before the brokers had these events");
                        }
                        return;
                    }
                }
                if self.held() { None } else { s.queued.pop_front() }
            };
            match batch {
                Some(batch) => self.hand_over(&producer, batch),
                None if self.lock().closing => std::thread::sleep(Duration::from_millis(1)),
                None => {}
            }
            // One report each, of many records.
            for _ in 0..8 {
                producer.poll(Duration::ZERO);
            }
        }
    }

    fn hand_over(&self, producer: &BaseProducer<Context>, batch: Batch) {
        let (ticket, records) = (batch.ticket, batch.records.clone());
        // Before the first can be acknowledged.
        self.lock().flying.insert(ticket.0, (batch, records.len()));
        for r in records.iter() {
            let topic = r.topic.map_or(&self.snapshots, |t| &self.topics[t as usize - 1]);
            loop {
                let record = BaseRecord::with_opaque_to(topic, ticket.0 as usize).partition(r.partition.into()).key(&r.key).payload(&r.value);
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => drop(producer.poll(Duration::from_millis(10))),
                    // It stays among what is sent again.
                    Err((e, _)) => return self.broke(&e),
                }
            }
        }
    }
}
