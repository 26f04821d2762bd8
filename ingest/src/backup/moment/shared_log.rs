//! A moment of a log that several processes write.
//!
//! There is none that all partitions share: they are written apart. The order of looking makes up for it. Progress is looked at
//! first and what has been put out afterwards, so that no output is missing; then the calls, which stages' outputs refer to;
//! then blocks, of which calls hold copies; then control, by which calls are stamped, and last the decks that control names. A block may stand
//! without the last calls that led to it: it is applied by itself. What a stage put out beyond the progress seen is found by the
//! event that caused it and left out, since the stage makes it again under the same id. Which side an output is on can
//! be unclear when its cause is of long ago (a call concluded by silence, just then); the moment is then looked for again.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use tollgate_schemas::{
    id::Id,
    log::{EventLog, LogError, Progress, Snapshot, Topic},
};

use super::{Moment, look};
use crate::{
    backup::{BackupError, topics},
    copy::STAGES,
    runner::partitions,
};

/// Until what is committed is seen everywhere.
const SETTLE: Duration = Duration::from_secs(1);
const SHARED_TRIES: u32 = 5;
/// Inputs of stages that may lie between their progress and the end of the log.
const WINDOW: u64 = 1_000_000;
const BATCH: usize = 4096;

/// A moment of a log that others write, too.
pub fn moment_of_shared(log: &dyn EventLog) -> Result<Moment, BackupError> {
    shared(log, SETTLE)
}

pub(in crate::backup) fn shared(log: &dyn EventLog, settle: Duration) -> Result<Moment, BackupError> {
    let mut why = String::new();
    for _ in 0..SHARED_TRIES {
        match try_shared(log, settle)? {
            Ok(moment) => return Ok(moment),
            Err(unclear) => why = unclear,
        }
    }
    Err(BackupError::Busy(why))
}

/// How many threads look at a shared log's streams for the first time: each look waits for the brokers.
const LOOKS: usize = 32;

/// Lets every stream be followed, so that looking at all ends is quick from then on. Gives the partitions whose first calls are gone.
fn follow(log: &dyn EventLog) -> Result<HashSet<u16>, LogError> {
    let most = log.partitions();
    let streams: Vec<(Topic, u16)> = (0..most).flat_map(|p| topics().map(move |t| (t, p))).filter(|(t, p)| *p == 0 || !t.single_partition()).collect();
    std::thread::scope(|s| {
        let mut threads = Vec::new();
        for n in 0..LOOKS.min(streams.len()) {
            let own = streams.iter().skip(n).step_by(LOOKS);
            threads.push(s.spawn(move || -> Result<Vec<u16>, LogError> {
                let mut gone = Vec::new();
                for (topic, partition) in own {
                    let end = log.end(*topic, *partition);
                    if *topic == Topic::Calls && end > 0 && log.read(*topic, *partition, 0, 1)?.first().is_none_or(|r| r.offset > 0) {
                        gone.push(*partition);
                    }
                }
                Ok(gone)
            }));
        }
        let mut gone = HashSet::new();
        for thread in threads {
            gone.extend(thread.join().map_err(|_| LogError::Storage("looking at a stream panicked".to_owned()))??);
        }
        Ok(gone)
    })
}

/// Stages' states, in partitions whose first events are gone: elsewhere they fold what there is from the beginning.
fn snapshots(log: &dyn EventLog, gone: &HashSet<u16>) -> Result<Vec<Snapshot>, LogError> {
    let mut found = Vec::new();
    for (consumer, topic) in STAGES {
        for (_, partition) in partitions(log, topic) {
            if topic == Topic::Calls && gone.contains(&partition) {
                found.extend(log.snapshot(consumer, partition)?);
            }
        }
    }
    Ok(found)
}

/// In which order ends are looked at: what refers before what is referred to.
const ORDER: [Topic; 9] = [
    Topic::Cdrs, Topic::Ledger, Topic::Alerts, Topic::Quality, Topic::Quarantine, Topic::Calls, Topic::Blocks, Topic::Control, Topic::Decks,
];

/// What stages put out for good, once. Blocks and partial figures may be said twice; what is quarantined is for a person.
const ONCE: [Topic; 3] = [Topic::Cdrs, Topic::Ledger, Topic::Alerts];

fn try_shared(log: &dyn EventLog, settle: Duration) -> Result<Result<Moment, String>, BackupError> {
    let began = Instant::now();
    let gone = follow(log)?;
    tracing::debug!(took = ?began.elapsed(), "every stream is followed");
    let mut before = Vec::new();
    for (consumer, topic) in STAGES {
        look(log, consumer, topic, &mut before)?;
    }
    let end = |topic: Topic| -> Vec<(Topic, u16, u64)> { partitions(log, topic).into_iter().map(|(t, p)| (t, p, log.end(t, p))).collect() };
    let begun: HashMap<(Topic, u16), u64> = ONCE.into_iter().flat_map(&end).map(|(t, p, e)| ((t, p), e)).collect();
    std::thread::sleep(settle);
    let mut moment = Moment::default();
    // Before progress, so that none is beyond it.
    moment.snapshots = snapshots(log, &gone)?;
    for (consumer, topic) in STAGES {
        look(log, consumer, topic, &mut moment.progress)?;
    }
    std::thread::sleep(settle);
    // A topic the order does not know yet is looked at first: it would be an output.
    let order = topics().filter(|t| !ORDER.contains(t)).chain(ORDER);
    moment.ends = order.flat_map(end).collect();
    let ends: HashMap<(Topic, u16), u64> = moment.ends.iter().map(|(t, p, e)| ((*t, *p), *e)).collect();
    tracing::debug!(took = ?began.elapsed(), "ends are looked at");
    let causes = causes(log, &before, &moment.progress, &ends)?;
    for (topic, partition, end) in moment.ends.clone().into_iter().filter(|(t, ..)| ONCE.contains(t)) {
        let from = begun.get(&(topic, partition)).copied().unwrap_or(0);
        match beyond(log, topic, partition, from, end, &causes)? {
            Ok(left_out) => moment.left_out.extend(left_out.into_iter().map(|offset| (topic, partition, offset))),
            Err(unclear) => return Ok(Err(unclear)),
        }
    }
    tracing::debug!(took = ?began.elapsed(), "a moment was found");
    moment.ends.sort_by_key(|(t, p, _)| (*t as u8, *p));
    Ok(Ok(moment))
}

/// Which topics a stage's outputs are in.
fn puts_out(consumer: &str, topic: Topic) -> bool {
    match consumer {
        "rater" => matches!(topic, Topic::Cdrs | Topic::Ledger),
        "fraud" | "merged" => topic == Topic::Alerts,
        _ => false,
    }
}

type Causes = HashMap<(&'static str, Id), bool>;

/// The inputs since shortly before the moment, and whether the stage had yet to take them then.
fn causes(log: &dyn EventLog, before: &[Progress], progress: &[Progress], ends: &HashMap<(Topic, u16), u64>) -> Result<Causes, BackupError> {
    let mut causes = Causes::new();
    let mut left = WINDOW;
    let at = |list: &[Progress], consumer: &str, topic: Topic, partition: u16| {
        list.iter().find(|p| p.consumer == consumer && p.topic == topic && p.partition == partition).map_or(0, |p| p.next)
    };
    for (consumer, topic) in STAGES {
        if !ONCE.into_iter().any(|t| puts_out(consumer, t)) {
            continue;
        }
        for (_, partition) in partitions(log, topic) {
            let reached = at(progress, consumer, topic, partition);
            let end = ends.get(&(topic, partition)).copied().unwrap_or(0);
            let mut next = at(before, consumer, topic, partition);
            while next < end {
                let records = log.read(topic, partition, next, BATCH)?;
                let Some(last) = records.last().map(|r| r.offset) else { break };
                left = left.checked_sub(records.len() as u64).ok_or_else(|| {
                    BackupError::Busy(format!("the stages are more than {WINDOW} events behind: back up when {consumer} has caught up"))
                })?;
                causes.extend(records.iter().filter(|r| r.offset < end).map(|r| ((consumer, r.event.id()), r.offset >= reached)));
                next = last + 1;
            }
        }
    }
    Ok(causes)
}

/// The offsets in `from..end` of outputs whose cause was yet to be taken. Each stage puts out in the order of its input, so what
/// does not tell by itself is where its neighbours of the same stage are; else the reason why it is unclear.
fn beyond(log: &dyn EventLog, topic: Topic, partition: u16, from: u64, end: u64, causes: &Causes) -> Result<Result<Vec<u64>, String>, BackupError> {
    let makers: Vec<&'static str> = STAGES.into_iter().map(|(c, _)| c).filter(|c| puts_out(c, topic)).collect();
    let mut left_out = Vec::new();
    let mut unclear: Option<u64> = None;
    let mut next = from;
    while next < end {
        let records = log.read(topic, partition, next, BATCH)?;
        let Some(last) = records.last().map(|r| r.offset) else { break };
        for record in records.iter().filter(|r| r.offset < end) {
            let cause = Id::of(&record.event.cause_id);
            match makers.iter().find_map(|m| causes.get(&(*m, cause))) {
                Some(true) => left_out.push(record.offset),
                // What came before it is in, too.
                Some(false) => unclear = None,
                None if makers.len() == 1 && !left_out.is_empty() => left_out.push(record.offset),
                None => unclear = unclear.or(Some(record.offset)),
            }
        }
        next = last + 1;
    }
    // An alert said twice is one alert; a CDR or a posting is not.
    match unclear {
        Some(offset) if makers.len() == 1 => Ok(Err(format!(
            "{} partition {partition} offset {offset} was put out just now for a cause of long ago: try again in a minute", topic.name()
        ))),
        _ => Ok(Ok(left_out)),
    }
}
