//! The event log port (design §2): topics and partitions, appended to in groups, acknowledged when durable, read from
//! an offset, with committed positions and snapshots that move atomically with a stage's outputs.
//!
//! Offsets count up in each (topic, partition): from 0 without gaps in the embedded log; on Kafka a topic that is written
//! in transactions has gaps, so the next offset to read is the last one read + 1, never a count. An append is handed a [`Ticket`]; it is *durable*
//! (survives the process, fdatasync'ed) once [`EventLog::durable`] has reached it. Only durable events are ever read.
//! Events of one append keep their order in their partition; so do appends of one thread.

use std::{
    sync::Arc,
    time::Duration,
};

use thiserror::Error;

use crate::v1::Event;

/// The streams of facts. The number is stored: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Topic {
    Calls = 1,
    Cdrs = 2,
    Ledger = 3,
    Alerts = 4,
    Blocks = 5,
    /// Partition 0 only: provisioning has one order.
    Control = 6,
    /// Partition 0 only.
    Decks = 7,
    Quality = 8,
    Quarantine = 9,
    /// What proxies want of limits that span them, and what each may use.
    Leases = 10,
}

impl Topic {
    pub const ALL: [Topic; 10] = [
        Topic::Calls, Topic::Cdrs, Topic::Ledger, Topic::Alerts, Topic::Blocks, Topic::Control, Topic::Decks,
        Topic::Quality, Topic::Quarantine, Topic::Leases,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Topic::Calls => "calls",
            Topic::Cdrs => "cdrs",
            Topic::Ledger => "ledger",
            Topic::Alerts => "alerts",
            Topic::Blocks => "blocks",
            Topic::Control => "control",
            Topic::Decks => "decks",
            Topic::Quality => "quality",
            Topic::Quarantine => "quarantine",
            Topic::Leases => "leases",
        }
    }

    pub fn from_name(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|t| t.name() == name)
    }

    /// Control, decks and blocks have one order for everyone: one partition.
    pub fn single_partition(self) -> bool {
        matches!(self, Topic::Control | Topic::Decks | Topic::Blocks)
    }
}

/// One event on its way into the log.
#[derive(Debug, Clone)]
pub struct Append {
    pub topic: Topic,
    pub partition: u16,
    pub event: Event,
}

/// One durable event.
#[derive(Debug, Clone)]
pub struct Record {
    pub offset: u64,
    pub event: Arc<Event>,
}

/// Orders appends; durable when the log's watermark has reached it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Ticket(pub u64);

/// How soon an append must be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits: at the end of the running group window.
    Group,
    /// Nobody waits: with the next group, at the latest after the ride window.
    Ride,
}

/// Who may still append when the log is near its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// New calls: refused at the limit.
    Ordinary,
    /// Live calls, emergency calls and stages: may use the reserved part.
    Reserved,
}

/// Whether the log can take new calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Good,
    /// Commits are slow or the backlog is at its limit: no new calls.
    Slow,
    /// Commits fail (a full disk): no new calls; retried until they pass.
    Failing,
}

#[derive(Debug, Error)]
pub enum LogError {
    /// Retryable: the backlog of appends not yet durable is at its limit.
    #[error("the log's backlog is full ({pending} events are not durable yet): the disk is slow or full")]
    Backlog { pending: usize },
    /// Retryable.
    #[error("not durable within {waited:?}: the disk is slow or full")]
    Timeout { waited: Duration },
    /// Terminal: what was written cannot be read.
    #[error("{topic} partition {partition} offset {offset}: {problem}")]
    Corrupt { topic: &'static str, partition: u16, offset: u64, problem: String },
    /// Terminal: the program is too old or the folder is not ours.
    #[error("{0}")]
    Refused(String),
    /// Terminal for this owner of the partition, not for the process: another has taken it over, nothing was committed.
    #[error("{consumer} no longer owns partition {partition}: another process has taken it over")]
    Fenced { consumer: String, partition: u16 },
    #[error("log storage: {0}")]
    Storage(String),
}

impl LogError {
    pub fn retryable(&self) -> bool {
        matches!(self, LogError::Backlog { .. } | LogError::Timeout { .. } | LogError::Storage(_))
    }
}

/// A stage's progress over one partition, committed with its outputs or not at all.
#[derive(Debug, Clone)]
pub struct Progress {
    pub consumer: String,
    pub topic: Topic,
    pub partition: u16,
    /// The next offset to read.
    pub next: u64,
}

/// A stage's state at an input position.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub consumer: String,
    pub partition: u16,
    /// Version of the stage's snapshot form; another version is not restored.
    pub version: u32,
    /// The next input offset to apply on top of this state.
    pub next: u64,
    pub state: Vec<u8>,
}

/// What a consumer that shares its partitions with other processes is told.
pub trait Member: Send + Sync + 'static {
    /// These are this process's from now on.
    fn assigned(&self, partitions: &[u16]);

    /// These are another's from the moment this returns: finish what is in hand and let go, within seconds.
    fn revoked(&self, partitions: &[u16]);
}

/// How a consumer's partitions are shared.
pub enum Membership {
    /// This process owns them all; nobody is told anything.
    Alone,
    /// The [`Member`] is told. Dropping this leaves the group, after the member was told to let go.
    Shared(Box<dyn std::any::Any + Send>),
}

/// Called by the committer after each group, with the new watermark.
pub type OnDurable = Arc<dyn Fn(Ticket) + Send + Sync>;

pub trait EventLog: Send + Sync + 'static {
    /// Partitions of topics that are not single; fixed when the log is made.
    fn partitions(&self) -> u16;

    /// Queues events for the next group. Gives each its `partition_seq`. Does not wait.
    fn append(&self, batch: Vec<Append>, urgency: Urgency, claim: Claim) -> Result<Ticket, LogError>;

    /// As `append`, and gives the events back when the log does not take them: for who must not lose them.
    fn append_or_return(&self, batch: Vec<Append>, urgency: Urgency, claim: Claim) -> Result<Ticket, (Vec<Append>, LogError)>;

    /// The log is shared by several processes: an event may come more than once (its sender was killed between sending and
    /// noting it), told by node and `partition_seq`, and more than one owner may decide.
    fn shared(&self) -> bool {
        false
    }

    /// Joins the processes that share a consumer's partitions of a topic, where the log can be shared.
    fn join(&self, _consumer: &str, _topic: Topic, _member: Arc<dyn Member>) -> Result<Membership, LogError> {
        Ok(Membership::Alone)
    }

    /// Before an owner reads its progress: ends whatever a predecessor left open, and fences it.
    fn take_over(&self, _consumer: &str, _topic: Topic, _partition: u16) -> Result<(), LogError> {
        Ok(())
    }

    /// Appends a stage's outputs and moves its progress, atomically: after a crash both are there or neither.
    /// Progress is of one consumer and, where partitions are shared, of one partition it owns. Without progress,
    /// snapshots are kept as they come: any of them is a state to begin from.
    fn commit(&self, outputs: Vec<Append>, progress: Vec<Progress>, snapshots: Vec<Snapshot>) -> Result<Ticket, LogError>;

    /// Everything up to this ticket is durable.
    fn durable(&self) -> Ticket;

    /// Blocks until the ticket is durable.
    fn wait(&self, ticket: Ticket, limit: Duration) -> Result<(), LogError>;

    /// Registers a call-back that must be quick and must not call the log.
    fn on_durable(&self, call: OnDurable);

    fn health(&self) -> Health;

    /// Durable events from `from` on, at most about `max` (whole groups may overshoot), oldest first; empty at the end.
    fn read(&self, topic: Topic, partition: u16, from: u64, max: usize) -> Result<Vec<Record>, LogError>;

    /// A mark that moves whenever there is something new to read; for [`EventLog::wait_beyond`].
    fn news(&self) -> Ticket {
        self.durable()
    }

    /// The first offset that can be read: greater than 0 where a node gave up what a shared log has.
    fn first(&self, _topic: Topic, _partition: u16) -> u64 {
        0
    }

    /// The offset after the last durable event; 0 without any.
    fn end(&self, topic: Topic, partition: u16) -> u64;

    /// Blocks until there is something newer than the mark `seen` (of [`EventLog::news`]), or `limit` has passed; gives the
    /// mark.
    fn wait_beyond(&self, seen: Ticket, limit: Duration) -> Ticket;

    /// Where a consumer stands; None when it never committed.
    fn progress(&self, consumer: &str, topic: Topic, partition: u16) -> Result<Option<u64>, LogError>;

    fn snapshot(&self, consumer: &str, partition: u16) -> Result<Option<Snapshot>, LogError>;
}
