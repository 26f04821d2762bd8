//! [`KafkaLog`]: the port, put together from sending, transactions, reading, groups and progress.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::consumer::Consumer;
use tollgate_schemas::log::{
    Append, Claim, EventLog, Health, LogError, Member, Membership, OnDurable, Progress, Record, Snapshot, Ticket, Topic, Urgency,
};

use crate::{
    KafkaStats, Options,
    dropped::Dropped,
    group::{self, Client},
    history::History,
    metrics,
    progress::Offsets,
    sender::{Acked, Encoded, Sender},
    snapshots,
    tail::{self, Running, Tail},
    tickets::Tickets,
    topics,
    writer::{Call, Counts, Metadata, Tools, Writer},
};

/// What acts at once, so that it never waits for a transaction's end; applied idempotently by who reads it.
fn goes_ahead(topic: Topic) -> bool {
    matches!(topic, Topic::Blocks | Topic::Control | Topic::Decks | Topic::Leases)
}

type Key = (String, u16);

/// The log of a cluster, as one process sees it.
pub struct KafkaLog {
    options: Arc<Options>,
    tickets: Arc<Tickets>,
    acked: Acked,
    sender: Arc<Sender>,
    sending: Mutex<Option<JoinHandle<()>>>,
    tails: Mutex<HashMap<Topic, Arc<Running>>>,
    history: History,
    dropped: Dropped,
    offsets: Arc<Offsets>,
    members: Arc<RwLock<HashMap<String, Weak<Client>>>>,
    writers: Arc<Mutex<HashMap<Key, Arc<Writer>>>>,
    counts: Arc<Counts>,
    numbers: AtomicU64,
    /// The brokers answered last.
    reachable: Arc<AtomicBool>,
}

impl KafkaLog {
    /// Reaches the brokers, makes the topics that are missing and checks the others. Refused: another partition count, a
    /// topic that would lose facts.
    pub fn open(options: Options) -> Result<KafkaLog, LogError> {
        options.check()?;
        topics::ensure(&options)?;
        KafkaLog::attach(options)
    }

    /// As `open`, without a word to the brokers: they may be away, and the topics must be there.
    pub fn attach(options: Options) -> Result<KafkaLog, LogError> {
        options.check()?;
        let options = Arc::new(options);
        let dropped = Dropped::new(options.archive.as_deref());
        let tickets = Arc::new(Tickets::default());
        let acked = Acked::default();
        let (sender, thread) = Sender::start(options.clone(), tickets.clone(), acked.clone())?;
        Ok(KafkaLog {
            options,
            tickets,
            acked,
            sender,
            sending: Mutex::new(Some(thread)),
            tails: Mutex::default(),
            history: History::default(),
            dropped,
            offsets: Arc::default(),
            members: Arc::default(),
            writers: Arc::default(),
            counts: Arc::default(),
            numbers: AtomicU64::new(0),
            reachable: Arc::new(AtomicBool::new(true)),
        })
    }

    /// Makes missing topics and checks the others, for who attached without.
    pub fn ensure_topics(&self) -> Result<(), LogError> {
        let ensured = topics::ensure(&self.options);
        self.reachable.store(!matches!(&ensured, Err(e) if e.retryable()), Ordering::Relaxed);
        ensured
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn stats(&self) -> KafkaStats {
        metrics::stats(&self.sender, &self.counts)
    }

    /// Registers the log's metrics under `kafka_…`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        metrics::register(registry, &self.sender, &self.counts);
    }

    fn tail(&self, topic: Topic) -> Result<Arc<Running>, LogError> {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = tails.get(&topic) {
            return Ok(running.clone());
        }
        let running = Arc::new(tail::start(topic, self.options.clone(), self.tickets.clone(), self.reachable.clone())?);
        tails.insert(topic, running.clone());
        Ok(running)
    }

    fn followed(&self, topic: Topic) -> Option<Arc<Tail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner).get(&topic).map(|r| r.tail.clone())
    }

    /// How the group stands, for a transaction: as the member here, if this process is one.
    fn metadata(&self, consumer: &str) -> Metadata {
        let (members, offsets, options, consumer) = (self.members.clone(), self.offsets.clone(), self.options.clone(), consumer.to_owned());
        Box::new(move || {
            let member = members.read().unwrap_or_else(PoisonError::into_inner).get(&consumer).and_then(Weak::upgrade);
            match member.and_then(|m| m.group_metadata()) {
                Some(metadata) => Ok(metadata),
                None => offsets.metadata(&options, &consumer),
            }
        })
    }

    fn writer(&self, consumer: &str, partition: u16, anew: bool) -> Result<Arc<Writer>, LogError> {
        let key = (consumer.to_owned(), partition);
        let known = {
            let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
            if anew { writers.remove(&key) } else { writers.get(&key).cloned() }
        };
        match known {
            Some(writer) if !anew => return Ok(writer),
            // Ended here, outside the lock: what it still had to commit is committed or given up first.
            Some(old) => drop(old),
            None => {}
        }
        let tools = Tools {
            options: self.options.clone(),
            tickets: self.tickets.clone(),
            acked: self.acked.clone(),
            counts: self.counts.clone(),
            metadata: self.metadata(consumer),
        };
        let writer = Arc::new(Writer::start(consumer, partition, tools)?);
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, writer.clone());
        Ok(writer)
    }

    fn check(&self, appends: &[Append]) -> Result<(), LogError> {
        appends.iter().try_for_each(|a| self.options.known(a.topic, a.partition))
    }

    /// Snapshots on their own, of who keeps no progress.
    fn keep(&self, shots: &[Snapshot]) -> Result<Ticket, LogError> {
        let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        let number = start.wrapping_add(self.numbers.fetch_add(1, Ordering::Relaxed));
        let records = shots
            .iter()
            .enumerate()
            .flat_map(|(i, s)| {
                let partition = s.partition;
                snapshots::chunks(s, number.wrapping_add(i as u64)).into_iter().map(move |c| Encoded { topic: None, partition, key: c.key, value: c.value })
            })
            .collect();
        self.sender.push(records, Claim::Reserved)
    }

    /// What was acknowledged shows in the streams that are read here.
    fn shown(&self, limit: Duration) {
        let acked: Vec<((Topic, u16), u64)> = {
            let acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
            acked.iter().map(|(k, v)| (*k, *v)).collect()
        };
        let deadline = Instant::now() + limit;
        for ((topic, partition), end) in acked {
            let Some(tail) = self.followed(topic) else { continue };
            while tail.end_if_followed(partition).is_some_and(|shown| shown < end) && Instant::now() < deadline {
                let seen = self.tickets.news();
                if tail.end_if_followed(partition).is_some_and(|shown| shown < end) {
                    self.tickets.wait_news(seen, Duration::from_millis(20));
                }
            }
        }
    }
}

impl Drop for KafkaLog {
    /// Sends what is queued, for as long as one request may take.
    fn drop(&mut self) {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.sender.close();
        if let Some(thread) = self.sending.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl EventLog for KafkaLog {
    fn partitions(&self) -> u16 {
        self.options.partitions
    }

    fn append(&self, batch: Vec<Append>, urgency: Urgency, claim: Claim) -> Result<Ticket, LogError> {
        self.append_or_return(batch, urgency, claim).map_err(|(_, error)| error)
    }

    fn append_or_return(&self, batch: Vec<Append>, _urgency: Urgency, claim: Claim) -> Result<Ticket, (Vec<Append>, LogError)> {
        if let Err(error) = self.check(&batch) {
            return Err((batch, error));
        }
        match self.sender.push(batch.iter().map(Encoded::of).collect(), claim) {
            Ok(ticket) => Ok(ticket),
            Err(error) => Err((batch, error)),
        }
    }

    fn shared(&self) -> bool {
        true
    }

    fn join(&self, consumer: &str, topic: Topic, member: Arc<dyn Member>) -> Result<Membership, LogError> {
        let writers = self.writers.clone();
        let name = consumer.to_owned();
        let revoked = Box::new(move |partitions: &[u16]| {
            for partition in partitions {
                let writer = writers.lock().unwrap_or_else(PoisonError::into_inner).remove(&(name.clone(), *partition));
                drop(writer);
            }
        });
        let (joined, client) = group::join(&self.options, consumer, topic, member, revoked)?;
        self.members.write().unwrap_or_else(PoisonError::into_inner).insert(consumer.to_owned(), client);
        Ok(Membership::Shared(Box::new(joined)))
    }

    fn take_over(&self, consumer: &str, _topic: Topic, partition: u16) -> Result<(), LogError> {
        self.writer(consumer, partition, true).map(drop)
    }

    fn commit(&self, outputs: Vec<Append>, progress: Vec<Progress>, shots: Vec<Snapshot>) -> Result<Ticket, LogError> {
        self.check(&outputs)?;
        for p in &progress {
            self.options.known(p.topic, p.partition)?;
        }
        let (ahead, rest): (Vec<Append>, Vec<Append>) = outputs.into_iter().partition(|a| goes_ahead(a.topic));
        let Some(first) = progress.first() else {
            let ticket = self.sender.push(ahead.iter().chain(&rest).map(Encoded::of).collect(), Claim::Reserved)?;
            return if shots.is_empty() { Ok(ticket) } else { self.keep(&shots) };
        };
        if let Some(other) = progress.iter().find(|p| p.consumer != first.consumer || p.partition != first.partition) {
            return Err(LogError::Refused(format!(
                "one commit moves {} on partition {} and {} on partition {}: on Kafka each has its own transactions",
                first.consumer, first.partition, other.consumer, other.partition
            )));
        }
        let writer = self.writer(&first.consumer, first.partition, false)?;
        if writer.fenced() {
            return Err(LogError::Fenced { consumer: first.consumer.clone(), partition: first.partition });
        }
        let ahead = if ahead.is_empty() { None } else { Some(self.sender.push(ahead.iter().map(Encoded::of).collect(), Claim::Reserved)?) };
        let call = Call { ticket: self.tickets.open(), ahead, outputs: rest.iter().map(Encoded::of).collect(), progress, snapshots: shots };
        let ticket = call.ticket;
        match writer.push(call) {
            Ok(()) => Ok(ticket),
            Err((call, error)) => {
                self.tickets.done(call.ticket);
                Err(error)
            }
        }
    }

    fn durable(&self) -> Ticket {
        self.tickets.durable()
    }

    fn wait(&self, ticket: Ticket, limit: Duration) -> Result<(), LogError> {
        let began = Instant::now();
        self.tickets.wait(ticket, limit)?;
        // Durable is what was asked; that it shows a moment later here, too, is a courtesy to who reads next.
        self.shown(limit.saturating_sub(began.elapsed()).min(Duration::from_secs(2)));
        Ok(())
    }

    fn on_durable(&self, call: OnDurable) {
        self.tickets.on_durable(call);
    }

    fn health(&self) -> Health {
        self.sender.health()
    }

    fn read(&self, topic: Topic, partition: u16, from: u64, max: usize) -> Result<Vec<Record>, LogError> {
        self.options.known(topic, partition)?;
        let tail = self.tail(topic)?;
        loop {
            if let Some(records) = self.dropped.read(topic, partition, from, max)? {
                return Ok(records);
            }
            match tail.tail.read(partition, from, max)? {
                // Of a topic that has no gaps by itself, so that what is in memory is read without the brokers.
                Ok(records) if topic == Topic::Calls => match self.dropped.cut(&self.options, topic, partition, from, records)? {
                    Some(records) => return Ok(records),
                    None => continue,
                },
                Ok(records) => return Ok(records),
                Err(first) => {
                    let records = self.history.read(&self.options, topic, partition, from, first, max)?;
                    if records.is_empty() && self.dropped.look(&self.options, topic, partition, from)? {
                        continue;
                    }
                    if !records.is_empty() {
                        match self.dropped.cut(&self.options, topic, partition, from, records)? {
                            Some(records) => return Ok(records),
                            None => continue,
                        }
                    }
                    // Nothing is left before the tail: only ends of transactions.
                    match tail.tail.read(partition, first, max)? {
                        Ok(records) => return Ok(records),
                        Err(_) => continue,
                    }
                }
            }
        }
    }

    fn end(&self, topic: Topic, partition: u16) -> u64 {
        if self.options.known(topic, partition).is_err() {
            return 0;
        }
        self.tail(topic).and_then(|t| t.tail.end(partition)).unwrap_or(0)
    }

    fn news(&self) -> Ticket {
        self.tickets.news()
    }

    fn wait_beyond(&self, seen: Ticket, limit: Duration) -> Ticket {
        self.tickets.wait_news(seen, limit)
    }

    fn progress(&self, consumer: &str, topic: Topic, partition: u16) -> Result<Option<u64>, LogError> {
        self.options.known(topic, partition)?;
        self.offsets.committed(&self.options, consumer, topic, partition)
    }

    fn snapshot(&self, consumer: &str, partition: u16) -> Result<Option<Snapshot>, LogError> {
        snapshots::newest(&self.options, consumer, partition)
    }
}
