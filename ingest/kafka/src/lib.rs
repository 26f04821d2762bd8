//! The event log on Apache Kafka (design §2): the same port as the embedded log, shared by many processes.
//!
//! **Topics.** One for each [`Topic`](tollgate_schemas::log::Topic), named prefix + name, with the partitions fixed when they
//! are made, and `snapshots`, compacted. The partition is always given: it is our own hash of the key, never Kafka's.
//! A record's key is the event's key, its value the event in protobuf; Kafka adds nothing we read but the offset.
//!
//! **Appends** go through one idempotent producer, in order, and are held here until the broker has them on all in-sync
//! replicas: a broker that is away, or a producer that has to be made anew, loses none. What was sent twice then is
//! dropped by who reads (node, epoch, sequence).
//!
//! **Commits** (a stage's outputs, progress and snapshots) are Kafka transactions, one producer for each consumer and
//! partition, so that a successor's `init_transactions` ends and fences what a dead owner left open. Blocks, control, decks and
//! leases never wait inside one: they are appended first, and the transaction commits after they are durable.
//!
//! **Reading.** The newest records of each stream that somebody reads are kept decoded in memory (`tail`); what is older is
//! read by a consumer that walks towards it (`history`). Only what is committed is read. What the brokers have dropped by
//! retention comes from the archive (`dropped`); without one, that facts are missing is an error, never a jump.

mod client;
mod dropped;
mod group;
mod hints;
mod history;
mod log;
mod metrics;
mod options;
mod progress;
mod sender;
mod snapshots;
mod tail;
mod tickets;
mod topics;
mod writer;

pub use log::KafkaLog;
pub use metrics::KafkaStats;
pub use options::{Options, Security};
pub use topics::{Finding, examine};
