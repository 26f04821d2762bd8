//! Moves a log whole to another, empty one: `tollgate log copy`. Ids and partitions stay, offsets of topics written only here
//! do too, since every event is appended alike; consumers' progress and snapshots do not: a stage folds the copy anew and comes to the same state, and
//! what it would put out again is there already, so progress is set to the end for who has outputs.

use std::time::Duration;

use tollgate_schemas::log::{Append, Claim, EventLog, LogError, Progress, Snapshot, Ticket, Topic, Urgency};

use crate::{forward::sealed, runner::partitions};

const BATCH: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(60);

/// What was moved.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    pub events: u64,
    pub streams: u32,
    pub consumers: u32,
    pub snapshots: u32,
}

/// Stages whose progress and snapshots move along, with their input.
pub const STAGES: [(&str, Topic); 6] = [
    ("rater", Topic::Calls), ("fraud", Topic::Calls), ("partials", Topic::Calls), ("merged", Topic::Quality), ("quality_count", Topic::Calls),
    ("quality_judge", Topic::Quality),
];

/// Copies every event of `from` to `to`, which must be empty and have as many partitions. `node`: whose log `from` is.
/// `told` hears how many events are done, and how many there are.
pub fn copy(from: &dyn EventLog, to: &dyn EventLog, node: u64, mut told: impl FnMut(u64, u64)) -> Result<Copied, LogError> {
    if from.partitions() != to.partitions() {
        return Err(LogError::Refused(format!(
            "the log has {} partitions, the other {}: an account's calls must stay in theirs; make the other with {}",
            from.partitions(), to.partitions(), from.partitions()
        )));
    }
    let streams: Vec<(Topic, u16)> = Topic::ALL.into_iter().filter(|t| *t != Topic::Leases).flat_map(|t| partitions(from, t)).collect();
    if let Some((topic, partition)) = streams.iter().find(|(t, p)| to.end(*t, *p) > 0) {
        return Err(LogError::Refused(format!("topic {} partition {partition} of the other log is not empty: nothing was copied", topic.name())));
    }
    let all: u64 = streams.iter().map(|(t, p)| from.end(*t, *p)).sum();
    let mut copied = Copied::default();
    let mut last = Ticket::default();
    for (topic, partition) in streams.iter().copied() {
        let mut next = 0;
        while next < from.end(topic, partition) {
            let records = from.read(topic, partition, next, BATCH)?;
            let Some(end) = records.last().map(|r| r.offset + 1) else { break };
            let batch: Vec<Append> = records
                .iter()
                .map(|r| {
                    let event = if topic == Topic::Calls { sealed(&r.event, node, r.offset) } else { (*r.event).clone() };
                    Append { topic, partition, event }
                })
                .collect();
            copied.events += batch.len() as u64;
            last = patient(|| to.append(batch.clone(), Urgency::Group, Claim::Reserved))?;
            next = end;
            told(copied.events, all);
        }
        copied.streams += u32::from(next > 0);
    }
    to.wait(last, PATIENCE)?;
    for (consumer, topic) in STAGES {
        for (_, partition) in partitions(from, topic) {
            let Some(next) = from.progress(consumer, topic, partition)? else { continue };
            let shot = from.snapshot(consumer, partition)?.map(|s| adopted(s, node)).filter(|s| s.next <= next);
            copied.snapshots += u32::from(shot.is_some());
            let moves = vec![Progress { consumer: consumer.to_owned(), topic, partition, next }];
            let ticket = patient(|| to.commit(Vec::new(), moves.clone(), shot.clone().into_iter().collect()))?;
            to.wait(ticket, PATIENCE)?;
            copied.consumers += 1;
        }
    }
    Ok(copied)
}

/// A stage's snapshot says nothing of nodes while one node writes: on the shared log it must know how far this one had come.
fn adopted(mut snapshot: Snapshot, node: u64) -> Snapshot {
    snapshot.state = crate::runner::with_node(&snapshot.state, node, snapshot.next);
    snapshot
}

fn patient<T>(mut try_it: impl FnMut() -> Result<T, LogError>) -> Result<T, LogError> {
    let began = std::time::Instant::now();
    loop {
        match try_it() {
            Err(e) if e.retryable() && began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
}
