//! The port of a pure stage: events in, events out, no clock, no files, no randomness. A runner drives one instance
//! for each partition, feeds it the control events its inputs were stamped with, and commits outputs with progress.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    log::{Append, Topic},
    v1::Event,
};

/// An event a stage cannot apply. The runner writes it to `quarantine`, marks its call, and goes on.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Poison(pub String);

#[derive(Debug, Error)]
#[error("snapshot of {stage} cannot be restored: {problem}")]
pub struct BadSnapshot {
    pub stage: &'static str,
    pub problem: String,
}

/// What a stage makes of its input, in order.
#[derive(Debug, Default)]
pub struct Outputs {
    pub appends: Vec<Append>,
}

impl Outputs {
    pub fn push(&mut self, topic: Topic, partition: u16, event: Event) {
        let partition = if topic.single_partition() { 0 } else { partition };
        self.appends.push(Append { topic, partition, event });
    }
}

pub trait Stage: Send {
    /// Consumer name and part of every output's id.
    fn name(&self) -> &'static str;

    /// Version of the snapshot form.
    fn snapshot_version(&self) -> u32;

    /// Applies one event of the stage's input topic (calls) at its offset. Same events in the same order, same outputs.
    fn apply(&mut self, offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison>;

    /// As `apply`, for a stage that keeps the event itself: it can share it rather than copy it.
    fn apply_shared(&mut self, offset: u64, event: &Arc<Event>, out: &mut Outputs) -> Result<(), Poison> {
        self.apply(offset, event, out)
    }

    /// Applies a control or block event; called for all those with a position below an input's stamp before the
    /// input, in order.
    fn control(&mut self, _event: &Event) -> Result<(), Poison> {
        Ok(())
    }

    /// The whole state, such that `restore` then the tail equals never having stopped.
    fn snapshot(&self) -> Vec<u8>;

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot>;
}
