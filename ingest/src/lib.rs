//! Movement and storage, in the order data flows: the event log, the threads that follow it, what is read off it.

pub mod conformance;
pub mod store_suite;
pub mod embedded;

pub mod archive;
pub mod backup;
pub mod copy;
pub mod follow;
pub mod forward;
pub mod mirror;
pub mod project;
pub mod runner;
pub mod tick;
pub mod worker;

pub mod inspect;

pub use archive::{ArchiveReader, Archiver, ArchiverOptions, ArchiverStats};
pub use embedded::{EmbeddedLog, Options, trim_point};
pub use follow::follow;
pub use forward::{Backlog, Forwarder};
pub use mirror::Mirror;
pub use project::{PROJECTOR, Projector};
pub use runner::{Runner, RunnerOptions};
pub use tick::Ticker;
pub use worker::{WorkerHandle, WorkerState};

#[cfg(test)]
mod sample;
