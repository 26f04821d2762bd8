//! Puts a backup into an empty log.

use std::{io::Read, time::{Duration, Instant}};

use tollgate_schemas::log::{Append, Claim, EventLog, LogError, Progress, Snapshot, Ticket, Topic, Urgency};

use super::{BackupError, Contents, Part, Reached, Reader, topics};
use crate::{copy::STAGES, forward::sealed, runner::partitions, tick::TICKER};

const PATIENCE: Duration = Duration::from_secs(60);

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub contents: Contents,
    /// Stages whose position was set, and with a state, over all partitions.
    pub positions: u32,
    pub snapshots: u32,
    /// Files of the node's folder, by name.
    pub secrets: Vec<(String, Vec<u8>)>,
}

/// Appends everything, ids and partitions kept, then sets the stages' positions. Refused before anything is written: a log with
/// events, or with another count of partitions. Read the file with [`super::check`] before: a fault is found here only when it
/// is met.
pub fn restore(from: impl Read, to: &dyn EventLog, mut told: impl FnMut(u64, u64)) -> Result<Restored, BackupError> {
    let mut reader = Reader::open(from)?;
    let header = reader.header().clone();
    if to.partitions() != header.partitions {
        return Err(BackupError::Refused(format!(
            "the backup has {} partitions, the log {}: an account's calls must stay in theirs; make the log with {}",
            header.partitions, to.partitions(), header.partitions
        )));
    }
    if let Some((topic, partition)) = topics().flat_map(|t| partitions(to, t)).find(|(t, p)| to.end(*t, *p) > 0) {
        return Err(BackupError::Refused(format!("topic {} partition {partition} of the log is not empty: a backup is restored into an empty log only", topic.name())));
    }
    // What one node's log numbered is told by that node's name where several write.
    let seals = to.shared() && !header.shared;
    let (mut done, all) = (0, header.expected());
    let mut last = Ticket::default();
    let mut reached = Vec::new();
    let mut secrets = Vec::new();
    let mut snapshots = Vec::new();
    while let Some(part) = reader.part()? {
        match part {
            Part::Events { topic, partition, first, events } => {
                let batch: Vec<Append> = events
                    .into_iter()
                    .zip(first..)
                    .map(|(event, ordinal)| {
                        let event = if seals && topic == Topic::Calls { sealed(&event, header.node_number(), ordinal) } else { event };
                        Append { topic, partition, event }
                    })
                    .collect();
                done += batch.len() as u64;
                last = patient(batch, |batch| to.append_or_return(batch, Urgency::Group, Claim::Reserved))?;
                told(done, all);
            }
            Part::Progress(positions) => reached = positions,
            // They are of the same moment; a state without its stage's position is of no use.
            Part::Snapshot(snapshot) => snapshots.push(snapshot),
            Part::Secret { name, bytes } => secrets.push((name, bytes)),
            Part::End(contents) => {
                to.wait(last, PATIENCE)?;
                let snapshots_kept = contents.snapshots;
                let positions = set(to, reached, snapshots)?;
                return Ok(Restored { contents, positions, snapshots: snapshots_kept, secrets });
            }
        }
    }
    // `part` gives no end without a trailer.
    Err(BackupError::Damaged { at: 0, problem: "no trailer".to_owned() })
}

/// Positions only of who keeps one on this kind of log.
fn set(to: &dyn EventLog, reached: Vec<Reached>, mut snapshots: Vec<Snapshot>) -> Result<u32, BackupError> {
    let mut moves: Vec<Progress> = Vec::new();
    for r in reached {
        let topic = Topic::from_name(&r.topic).ok_or_else(|| BackupError::Refused(format!("{} reads topic {}, which this program does not know", r.consumer, r.topic)))?;
        if !to.shared() || STAGES.contains(&(r.consumer.as_str(), topic)) {
            moves.push(Progress { consumer: r.consumer, topic, partition: r.partition, next: r.next });
        }
    }
    // A shared log's proxies have copied its blocks among the calls already.
    if !to.shared() && !moves.iter().any(|m| m.consumer == TICKER) {
        moves.push(Progress { consumer: TICKER.to_owned(), topic: Topic::Blocks, partition: 0, next: to.end(Topic::Blocks, 0) });
    }
    let mut last = Ticket::default();
    let count = moves.len() as u32;
    for one in moves {
        let own = |s: &mut Snapshot| s.consumer == one.consumer && s.partition == one.partition && s.next <= one.next;
        let shots: Vec<Snapshot> = snapshots.extract_if(.., own).collect();
        last = patient((one, shots), |(one, shots)| to.commit(Vec::new(), vec![one.clone()], shots.clone()).map_err(|e| ((one, shots), e)))?;
        if to.shared() {
            to.wait(last, PATIENCE)?;
        }
    }
    to.wait(last, PATIENCE)?;
    Ok(count)
}

fn patient<T, V>(mut value: V, mut try_it: impl FnMut(V) -> Result<T, (V, LogError)>) -> Result<T, LogError> {
    let began = Instant::now();
    loop {
        match try_it(value) {
            Ok(done) => return Ok(done),
            Err((back, e)) if e.retryable() && began.elapsed() < PATIENCE => {
                value = back;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err((_, e)) => return Err(e),
        }
    }
}
