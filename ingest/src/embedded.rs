//! The embedded event log: one process, one folder, kept by fjall (an LSM store with a journal).
//!
//! **How an event becomes durable.** [`EventLog::append`] queues and returns a ticket. One thread, `log-commit`, gathers
//! what is queued for a window, gives offsets, encodes, writes one atomic fjall batch with one fdatasync, then puts the
//! events where readers find them, moves the watermark and wakes whoever waits. A failed commit is repeated with the
//! same group, in order, until it passes: nothing is acknowledged meanwhile and nothing is dropped.
//!
//! **Tickets** number append calls of this process from 1; a restart begins again.
//!
//! **`partition_seq`** is the event's offset + 1: one node writes each log, and its offsets go on over restarts.
//!
//! **What is on disk** is described in [`keys`].

mod committer;
mod disk;
mod faults;
mod keys;
mod metrics;
mod options;
mod point;
mod queue;
mod storage;
mod streams;
mod tail;
mod watermark;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tollgate_schemas::{
    id::Mint,
    log::{Append, Claim, EventLog, Health, LogError, OnDurable, Progress, Record, Snapshot, Ticket, Topic, Urgency},
};

pub use faults::Faults;
pub use metrics::{LogMetrics, LogStats};
pub use options::Options;
pub use point::trim_point;

use committer::Shared;
use queue::Pending;

/// The log of this node. Opened once per process; a second opening of the folder is refused. Dropping it commits what
/// is pending.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    mint: Arc<Mint>,
    node: u64,
    epoch: u32,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens or creates the log in `dir`. Refused: another process has it open, another partition count, a newer form.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<EmbeddedLog, LogError> {
        options.check()?;
        let (shared, writer, identity) = committer::open(dir.as_ref(), options)?;
        let thread = std::thread::Builder::new()
            .name("log-commit".to_owned())
            .spawn({
                let shared = shared.clone();
                move || committer::run(&shared, writer)
            })
            .map_err(|e| LogError::Storage(format!("cannot start the commit thread: {e}")))?;
        Ok(EmbeddedLog {
            shared,
            mint: Arc::new(Mint::new(identity.node, identity.epoch)),
            node: identity.node,
            epoch: identity.epoch,
            committer: Mutex::new(Some(thread)),
        })
    }

    /// 48 random bits, made with the folder.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// Counts up with every opening of the folder, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Mints the ids of facts born in this process.
    pub fn mint(&self) -> Arc<Mint> {
        self.mint.clone()
    }

    /// What the log has done since it was opened.
    pub fn stats(&self) -> LogStats {
        self.shared.metrics.stats()
    }

    /// Refuses new calls, or takes them again, for a reason outside this log: what reads it is too far behind.
    pub fn refuse_new_calls(&self, refuse: bool) {
        self.shared.refuse_new_calls(refuse);
    }

    /// Gives up the oldest events of a topic, whole segments only, in which each partition's events are below `keep_from`. What it
    /// gives back of the disk, bytes. Refused: a topic other than `calls`, which is kept whole.
    ///
    /// Reading what is gone is [`LogError::Corrupt`]; ends and numbers go on. Killed in between, nothing or all of it is gone. The
    /// caller sees to it that nobody needs the events any more: [`trim_point`].
    pub fn trim(&self, topic: Topic, keep_from: &[u64]) -> Result<u64, LogError> {
        self.shared.storage.trim(topic, keep_from)
    }

    /// The first offset of a stream that can be read; greater than 0 when the log was trimmed.
    pub fn first(&self, topic: Topic, partition: u16) -> Result<u64, LogError> {
        let stream = self.shared.streams.index(topic, partition)?;
        Ok(if keys::trimmable(topic) { self.shared.storage.first(stream) } else { 0 })
    }

    /// Registers the log's metrics under `log_…`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.shared.metrics.register(registry);
    }

    /// Commits what is pending and lets the folder go. Later appends and reads are refused.
    ///
    /// Fails when what was pending could not be made durable: it was never acknowledged, and is lost.
    pub fn close(&self) -> Result<(), LogError> {
        self.shared.queue.close();
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            if thread.join().is_err() {
                return Err(LogError::Storage("the commit thread panicked".to_owned()));
            }
            self.shared.storage.close();
        }
        match self.shared.queue.abandoned() {
            0 => Ok(()),
            lost => Err(LogError::Storage(format!("{lost} pending events could not be written before the close"))),
        }
    }

    /// Gives back what the log does not take.
    fn queue(&self, pending: Pending, urgency: Urgency, claim: Claim) -> Result<Ticket, (Pending, LogError)> {
        let known = pending.appends.iter().try_for_each(|a| self.shared.streams.index(a.topic, a.partition).map(drop));
        let room = || if claim == Claim::Ordinary { self.shared.room_for_new_calls() } else { Ok(()) };
        match known.and_then(|()| room()) {
            Ok(()) => self.shared.queue.push(pending, urgency, claim),
            Err(error) => Err((pending, error)),
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        if let Err(e) = self.close() {
            tracing::error!(error = %e, "event log");
        }
    }
}

impl EventLog for EmbeddedLog {
    fn partitions(&self) -> u16 {
        self.shared.streams.partitions()
    }

    fn append(&self, batch: Vec<Append>, urgency: Urgency, claim: Claim) -> Result<Ticket, LogError> {
        self.append_or_return(batch, urgency, claim).map_err(|(_, error)| error)
    }

    fn append_or_return(&self, batch: Vec<Append>, urgency: Urgency, claim: Claim) -> Result<Ticket, (Vec<Append>, LogError)> {
        let pending = Pending { appends: batch, progress: Vec::new(), snapshots: Vec::new() };
        self.queue(pending, urgency, claim).map_err(|(pending, error)| (pending.appends, error))
    }

    /// Verdicts and control must act at once; what else stages write rides along.
    fn commit(&self, outputs: Vec<Append>, progress: Vec<Progress>, snapshots: Vec<Snapshot>) -> Result<Ticket, LogError> {
        for p in &progress {
            self.shared.streams.index(p.topic, p.partition)?;
        }
        let urgent = outputs.iter().any(|a| matches!(a.topic, Topic::Blocks | Topic::Control | Topic::Alerts | Topic::Decks));
        let urgency = if urgent { Urgency::Group } else { Urgency::Ride };
        self.queue(Pending { appends: outputs, progress, snapshots }, urgency, Claim::Reserved).map_err(|(_, error)| error)
    }

    fn durable(&self) -> Ticket {
        self.shared.watermark.get()
    }

    /// Somebody waits, so a ride becomes urgent.
    fn wait(&self, ticket: Ticket, limit: Duration) -> Result<(), LogError> {
        if self.shared.watermark.get() >= ticket {
            return Ok(());
        }
        self.shared.queue.hurry();
        if self.shared.watermark.wait(ticket, limit) >= ticket { Ok(()) } else { Err(LogError::Timeout { waited: limit }) }
    }

    fn on_durable(&self, call: OnDurable) {
        self.shared.watermark.on_durable(call);
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn read(&self, topic: Topic, partition: u16, from: u64, max: usize) -> Result<Vec<Record>, LogError> {
        let stream = self.shared.streams.index(topic, partition)?;
        self.shared.read(stream, from, max)
    }

    fn first(&self, topic: Topic, partition: u16) -> u64 {
        EmbeddedLog::first(self, topic, partition).unwrap_or(0)
    }

    fn end(&self, topic: Topic, partition: u16) -> u64 {
        self.shared.streams.index(topic, partition).map_or(0, |stream| self.shared.tail.end(stream))
    }

    fn wait_beyond(&self, seen: Ticket, limit: Duration) -> Ticket {
        self.shared.watermark.wait(Ticket(seen.0.saturating_add(1)), limit)
    }

    fn progress(&self, consumer: &str, topic: Topic, partition: u16) -> Result<Option<u64>, LogError> {
        self.shared.streams.index(topic, partition)?;
        Ok(self.shared.progress(&keys::progress(topic, partition, consumer)))
    }

    fn snapshot(&self, consumer: &str, partition: u16) -> Result<Option<Snapshot>, LogError> {
        self.shared.storage.snapshot(consumer, partition)
    }
}

#[cfg(test)]
mod tests;
