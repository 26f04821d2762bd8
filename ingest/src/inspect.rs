//! Looks at a log without changing it: what `tollgate log ls|tail|verify|replay` print.

mod replay;
mod verify;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
    vec,
};

use tollgate_schemas::log::{EventLog, LogError, Record, Topic};

pub use replay::{Difference, ReplayReport, replay};
pub use verify::{Problem, VerifyReport, verify};

use crate::runner::partitions;

/// One stream of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub topic: Topic,
    pub partition: u16,
    pub events: u64,
    pub first_offset: u64,
    pub next_offset: u64,
}

/// Every stream, empty ones too, in the order of topics and partitions. A node that shares another log gives up
/// old calls in its own, all else begins at 0. On a shared log offsets have gaps, and `events` is what they span.
pub fn ls(log: &dyn EventLog) -> Vec<TopicInfo> {
    let streams = Topic::ALL.into_iter().flat_map(|t| partitions(log, t));
    streams
        .map(|(topic, partition)| {
            let (first_offset, next_offset) = (log.first(topic, partition), log.end(topic, partition));
            TopicInfo { topic, partition, events: next_offset - first_offset.min(next_offset), first_offset, next_offset }
        })
        .collect()
}

const BATCH: usize = 1024;

/// Events of a topic from an offset on, one partition after the other.
pub struct Tail<'a> {
    log: &'a dyn EventLog,
    streams: Vec<(Topic, u16, u64)>,
    turn: usize,
    held: vec::IntoIter<Record>,
    /// Of the events held.
    partition: u16,
    stop: Option<&'a AtomicBool>,
    failed: bool,
}

/// `partition`: None for all. `follow`: None ends at the log's end; Some waits there for more until it is set.
pub fn tail<'a>(log: &'a dyn EventLog, topic: Topic, partition: Option<u16>, from: u64, follow: Option<&'a AtomicBool>) -> Tail<'a> {
    let streams = match partition {
        Some(p) => vec![(topic, p, from.max(log.first(topic, p)))],
        None => partitions(log, topic).into_iter().map(|(t, p)| (t, p, from.max(log.first(t, p)))).collect(),
    };
    Tail { log, streams, turn: 0, held: Vec::new().into_iter(), partition: 0, stop: follow, failed: false }
}

impl Iterator for Tail<'_> {
    /// The partition and the event. An error is the last item.
    type Item = Result<(u16, Record), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.held.next() {
                return Some(Ok((self.partition, record)));
            }
            if self.failed || self.stop.is_some_and(|stop| stop.load(Ordering::Acquire)) {
                return None;
            }
            let seen = self.log.news();
            match self.refill() {
                Ok(true) => {}
                Ok(false) if self.stop.is_none() => return None,
                Ok(false) => {
                    self.log.wait_beyond(seen, Duration::from_millis(100));
                }
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            }
        }
    }
}

impl Tail<'_> {
    /// Takes the next batch of the stream whose turn it is; false when all are at their end.
    fn refill(&mut self) -> Result<bool, LogError> {
        for _ in 0..self.streams.len() {
            let (topic, partition, next) = self.streams[self.turn];
            let records = self.log.read(topic, partition, next, BATCH)?;
            if let Some(last) = records.last() {
                self.streams[self.turn].2 = last.offset + 1;
                self.partition = partition;
                self.held = records.into_iter();
                return Ok(true);
            }
            self.turn = (self.turn + 1) % self.streams.len();
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
