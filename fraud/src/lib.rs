//! Fraud verdicts, pure: call events and ticks in, alerts and blocks out. No clock, no I/O, no randomness: time comes
//! with the events, so the same events give the same verdicts (F-38).
//!
//! In the order data flows: a policy is compiled, a call is classified and counted under its keys, the counts are
//! judged by the policy's rules, and a hit becomes an alert and, when critical, a block.
//!
//! Beside it, for what no account shows alone: `partials` counts by keys that span partitions (carrier × destination, number
//! range, address), `merged` adds up what the partitions counted and judges it.

pub mod destinations;
pub mod features;
pub mod figures;
pub mod merged;
pub mod partials;
pub mod policy;

mod calls;
mod detectors;
mod keys;
mod memo;
mod snapshot;
mod verdict;
mod window;

mod guard;

pub use guard::{Guard, Limits, Stats};
pub use merged::Merged;
pub use partials::Partials;
pub use policy::{BadPolicy, Policy, PolicyError};
