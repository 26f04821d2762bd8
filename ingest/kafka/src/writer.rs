//! The transactions of one consumer and partition: one producer, one thread, commits in the order they were handed over,
//! several in one transaction when they wait. A transaction that fails is repeated until it passes, or until another owner
//! has fenced this one; then nothing of it is committed, and whoever waits is told.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};
use tollgate_schemas::log::{LogError, Progress, Snapshot, Ticket, Topic};

use crate::{
    Options,
    client::{Quiet, storage},
    progress,
    sender::{Acked, Encoded, note_acked},
    snapshots,
    tickets::Tickets,
};

/// Outputs waiting for one partition's transactions at which further commits are refused for a while.
const LIMIT: usize = 65_536;
/// Outputs in one transaction, about.
const MERGE: usize = 16_384;
const RETRY: Duration = Duration::from_millis(100);
/// How long a closing writer tries on.
const LAST: Duration = Duration::from_secs(3);

/// One commit call.
pub struct Call {
    pub ticket: Ticket,
    /// Outputs that went ahead, and must be durable before progress moves past what made them.
    pub ahead: Option<Ticket>,
    pub outputs: Vec<Encoded>,
    pub progress: Vec<Progress>,
    pub snapshots: Vec<Snapshot>,
}

/// Gives the consumer's group as the brokers know it at this moment.
pub type Metadata = Box<dyn Fn() -> Result<ConsumerGroupMetadata, LogError> + Send + Sync>;

#[derive(Default)]
pub struct Counts {
    pub transactions: AtomicU64,
    pub outputs: AtomicU64,
    pub aborted: AtomicU64,
    pub fenced: AtomicU64,
    pub commit_us: AtomicU64,
}

#[derive(Default)]
struct State {
    calls: VecDeque<Call>,
    outputs: usize,
    fenced: bool,
    closing: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Writer {
    consumer: String,
    partition: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a writer works with.
pub struct Tools {
    pub options: Arc<Options>,
    pub tickets: Arc<Tickets>,
    pub acked: Acked,
    pub counts: Arc<Counts>,
    pub metadata: Metadata,
}

struct Context {
    quiet: Quiet,
    options: Arc<Options>,
    /// Where the open transaction's records are.
    reached: Mutex<Vec<(Topic, i32, i64)>>,
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
    type DeliveryOpaque = ();

    /// A failed delivery fails the transaction; there is nothing more to note.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Ok(message) = result else { return };
        if let Some(topic) = Topic::ALL.into_iter().find(|t| self.options.topic(*t) == message.topic()) {
            self.reached.lock().unwrap_or_else(PoisonError::into_inner).push((topic, message.partition(), message.offset()));
        }
    }
}

impl Writer {
    /// Fences whoever wrote for this consumer and partition before, and waits until what it left open is ended.
    pub fn start(consumer: &str, partition: u16, tools: Tools) -> Result<Writer, LogError> {
        let mut config = tools.options.client();
        config
            .set("transactional.id", format!("{}{consumer}.{partition}", tools.options.prefix))
            .set("transaction.timeout.ms", tools.options.transaction.as_millis().to_string())
            // The next transaction asks again until the end of the one before is written everywhere.
            .set("retry.backoff.ms", "10")
            // A request may not outlive its transaction.
            .set("socket.timeout.ms", tools.options.request.min(tools.options.transaction).as_millis().to_string())
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "1048576")
            // A message may not outlive its transaction.
            .set("message.timeout.ms", tools.options.transaction.as_millis().to_string());
        let context = Context { quiet: Quiet, options: tools.options.clone(), reached: Mutex::default() };
        let producer: BaseProducer<Context> = config.create_with_context(context).map_err(|e| storage("producer", &e))?;
        producer.init_transactions(tools.options.request).map_err(|e| storage("taking a partition over", &e))?;
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() });
        let body = Body { consumer: consumer.to_owned(), partition, tools, producer, shared: shared.clone(), numbers: started_at(), committing: false };
        let thread = std::thread::Builder::new()
            .name(format!("tx-{consumer}-{partition}"))
            .spawn(move || body.run())
            .map_err(|e| LogError::Storage(format!("cannot start a commit thread: {e}")))?;
        Ok(Writer { consumer: consumer.to_owned(), partition, shared, thread: Some(thread) })
    }

    /// Hands a commit over; gives it back when there is no room, or another has taken the partition over.
    pub fn push(&self, call: Call) -> Result<(), (Call, LogError)> {
        let mut s = self.shared.lock();
        if s.fenced || s.closing {
            return Err((call, LogError::Fenced { consumer: self.consumer.clone(), partition: self.partition }));
        }
        if s.outputs >= LIMIT {
            let pending = s.outputs;
            return Err((call, LogError::Backlog { pending }));
        }
        s.outputs += call.outputs.len();
        s.calls.push_back(call);
        drop(s);
        self.shared.wake.notify_one();
        Ok(())
    }

    pub fn fenced(&self) -> bool {
        self.shared.lock().fenced
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Snapshots of one process are numbered from its start on, so that numbers of two processes differ.
fn started_at() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

struct Body {
    consumer: String,
    partition: u16,
    tools: Tools,
    producer: BaseProducer<Context>,
    shared: Arc<Shared>,
    numbers: u64,
    /// A commit was asked for and its outcome is not known: only asking again may follow.
    committing: bool,
}

enum Failure {
    /// Try the same again.
    Again(LogError),
    Fenced(String),
}

impl Body {
    fn run(mut self) {
        loop {
            let Some(calls) = self.next() else { return };
            let began = Instant::now();
            let mut told = false;
            let outcome = loop {
                let held = self.tools.options.hold.as_ref().is_some_and(|h| h.load(Ordering::Acquire));
                let failure = if held { None } else { self.transact(&calls).err() };
                match failure {
                    None if !held => break Ok(()),
                    None => {}
                    Some(Failure::Fenced(problem)) => break Err(problem),
                    Some(Failure::Again(error)) if !told => {
                        told = true;
                        tracing::warn!(consumer = self.consumer, partition = self.partition, %error, "a commit is repeated until it passes");
                    }
                    Some(Failure::Again(_)) => {}
                }
                if self.shared.lock().closing && began.elapsed() > LAST {
                    break Err("closed before it could commit".to_owned());
                }
                std::thread::sleep(RETRY);
            };
            match outcome {
                Ok(()) => {
                    let counts = &self.tools.counts;
                    counts.transactions.fetch_add(1, Ordering::Relaxed);
                    counts.outputs.fetch_add(calls.iter().map(|c| c.outputs.len() as u64).sum(), Ordering::Relaxed);
                    counts.commit_us.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                    calls.iter().for_each(|c| self.tools.tickets.done(c.ticket));
                }
                Err(problem) => return self.give_up(calls, &problem),
            }
        }
    }

    fn next(&self) -> Option<Vec<Call>> {
        let mut s = self.shared.lock();
        while s.calls.is_empty() {
            if s.closing {
                return None;
            }
            s = self.shared.wake.wait_timeout(s, Duration::from_secs(1)).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut taken = Vec::new();
        let mut outputs = 0;
        while outputs < MERGE
            && let Some(call) = s.calls.pop_front()
        {
            outputs += call.outputs.len();
            taken.push(call);
        }
        s.outputs -= outputs;
        Some(taken)
    }

    fn give_up(&self, calls: Vec<Call>, problem: &str) {
        tracing::warn!(consumer = self.consumer, partition = self.partition, problem, "no longer owns the partition");
        self.tools.counts.fenced.fetch_add(1, Ordering::Relaxed);
        let mut s = self.shared.lock();
        s.fenced = true;
        let rest = std::mem::take(&mut s.calls);
        drop(s);
        for call in calls.into_iter().chain(rest) {
            self.tools.tickets.failed(call.ticket, &self.consumer, self.partition);
        }
    }

    fn transact(&mut self, calls: &[Call]) -> Result<(), Failure> {
        let request = self.tools.options.request;
        if !self.committing {
            // What went ahead must be there before the position says so.
            for ahead in calls.iter().filter_map(|c| c.ahead) {
                self.tools.tickets.wait(ahead, request).map_err(Failure::Again)?;
            }
            self.producer.context().reached.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.producer.begin_transaction().map_err(|e| self.failure("beginning", &e))?;
            if let Err(e) = self.fill(calls) {
                return Err(self.abort(e));
            }
            self.committing = true;
        }
        self.drain(request);
        match self.producer.commit_transaction(request) {
            Ok(()) => {}
            Err(e) => {
                let retry = match &e {
                    KafkaError::Transaction(t) => t.is_retriable(),
                    KafkaError::Flush(_) => true,
                    _ => false,
                };
                // Whether it passed is not known yet: asked again, it says.
                return Err(if retry && self.producer.client().fatal_error().is_none() {
                    Failure::Again(storage("committing", &e))
                } else {
                    self.committing = false;
                    self.abort(e)
                });
            }
        }
        self.committing = false;
        let reached = std::mem::take(&mut *self.producer.context().reached.lock().unwrap_or_else(PoisonError::into_inner));
        for (topic, partition, offset) in reached {
            note_acked(&self.tools.acked, topic, partition, offset);
        }
        Ok(())
    }

    /// Waits for the reports of what was sent. The client's own flush does, too, in steps of 100 ms, whenever they come; and its
    /// poll spins for less than a millisecond.
    fn drain(&self, limit: Duration) {
        let began = Instant::now();
        while self.producer.in_flight_count() > 0 && began.elapsed() < limit {
            self.producer.poll(Duration::ZERO);
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn fill(&mut self, calls: &[Call]) -> Result<(), KafkaError> {
        for r in calls.iter().flat_map(|c| &c.outputs) {
            let topic = r.topic.map_or_else(|| self.tools.options.snapshots(), |t| self.tools.options.topic(t));
            self.send(&topic, r.partition, &r.key, &r.value)?;
        }
        let topic = self.tools.options.snapshots();
        for snapshot in calls.iter().flat_map(|c| &c.snapshots) {
            self.numbers += 1;
            for chunk in snapshots::chunks(snapshot, self.numbers) {
                self.send(&topic, snapshot.partition, &chunk.key, &chunk.value)?;
            }
        }
        let moves: Vec<Progress> = calls.iter().flat_map(|c| c.progress.clone()).collect();
        // The newest of each stream: a list holds a partition once.
        let mut newest: Vec<Progress> = Vec::new();
        for p in moves {
            newest.retain(|n| n.topic != p.topic || n.partition != p.partition);
            newest.push(p);
        }
        if !newest.is_empty() {
            let list = progress::list(&self.tools.options, &newest).map_err(|_| KafkaError::Global(RDKafkaErrorCode::State))?;
            let group = (self.tools.metadata)().map_err(|_| KafkaError::Global(RDKafkaErrorCode::State))?;
            self.producer.send_offsets_to_transaction(&list, &group, self.tools.options.request)?;
        }
        Ok(())
    }

    fn send(&self, topic: &str, partition: u16, key: &str, value: &[u8]) -> Result<(), KafkaError> {
        loop {
            match self.producer.send(BaseRecord::to(topic).partition(partition.into()).key(key).payload(value)) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => drop(self.producer.poll(Duration::from_millis(10))),
                Err((e, _)) => return Err(e),
            }
        }
    }

    fn failure(&self, what: &str, error: &KafkaError) -> Failure {
        let fatal = match error {
            KafkaError::Transaction(e) => e.is_fatal(),
            _ => false,
        };
        match self.producer.client().fatal_error() {
            Some((_, problem)) => Failure::Fenced(problem),
            None if fatal => Failure::Fenced(error.to_string()),
            None => Failure::Again(storage(what, error)),
        }
    }

    /// Ends the open transaction, so that the same can be tried again.
    fn abort(&self, error: KafkaError) -> Failure {
        let failure = self.failure("in a transaction", &error);
        if matches!(failure, Failure::Fenced(_)) {
            return failure;
        }
        self.tools.counts.aborted.fetch_add(1, Ordering::Relaxed);
        let deadline = Instant::now() + self.tools.options.transaction;
        loop {
            // The reports of what is thrown away.
            self.producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
            self.producer.poll(Duration::ZERO);
            match self.producer.abort_transaction(self.tools.options.request) {
                Ok(()) => return failure,
                Err(KafkaError::Transaction(e)) if e.is_retriable() && Instant::now() < deadline => {}
                // Cannot be ended: the partition is taken over anew.
                Err(e) => return Failure::Fenced(format!("{error}; and it could not be aborted: {e}")),
            }
        }
    }
}
