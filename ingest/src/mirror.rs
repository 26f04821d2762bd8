//! Brings what every node must know into the node's own log: control, decks, blocks and leases of the shared log, so that a node starts,
//! admits and refuses by it while the shared log is away.
//!
//! Topics with one partition keep their offsets, so a control position means the same in both. Leases are of the moment: only
//! what comes is handed on, nothing is kept.

use std::{sync::Arc, time::Duration};

use tollgate_schemas::log::{Append, Claim, EventLog, LogError, Topic, Urgency};

use crate::worker::{self, Control, NAP, WorkerHandle};

/// The thread's name.
pub const MIRROR: &str = "mirror";

/// What is mirrored, in the order in which it must be known: a decision names decks, a block says nothing of either.
pub const TOPICS: [Topic; 3] = [Topic::Decks, Topic::Control, Topic::Blocks];

const BATCH: usize = 256;
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Mirror;

impl Mirror {
    /// Starts the thread; it tries on while `from` is away.
    pub fn spawn(from: Arc<dyn EventLog>, to: Arc<dyn EventLog>) -> std::io::Result<WorkerHandle> {
        let streams = TOPICS.map(|t| (t, 0)).to_vec();
        let body_from = from.clone();
        worker::spawn(from, MIRROR, streams, move |control| run(&*body_from, &*to, control).map_err(|e| e.to_string()))
    }
}

fn run(from: &dyn EventLog, to: &dyn EventLog, control: &Control) -> Result<(), LogError> {
    let mut told = false;
    for (i, topic) in TOPICS.into_iter().enumerate() {
        control.reached(i, to.end(topic, 0));
    }
    let mut ready = false;
    while !control.stopping() {
        let seen = from.news();
        match round(from, to, control) {
            Ok(None) => return Ok(()),
            Ok(Some(true)) => told = false,
            Ok(Some(false)) => {
                told = false;
                if !ready {
                    ready = true;
                    control.ready();
                }
                from.wait_beyond(seen, NAP);
            }
            Err(error) if error.retryable() => {
                if !told {
                    told = true;
                    tracing::warn!(%error, "going on with what this node's own log has");
                }
                control.pause();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One batch of each topic; true when there was any, None when told to stop.
fn round(from: &dyn EventLog, to: &dyn EventLog, control: &Control) -> Result<Option<bool>, LogError> {
    let mut moved = false;
    // Decisions are read before the decks they name are brought, and shown after: those were there before them.
    let decisions = take(from, to, Topic::Control)?;
    loop {
        let decks = take(from, to, Topic::Decks)?;
        if decks.is_empty() {
            break;
        }
        moved = true;
        if !give(to, Topic::Decks, decks, control)? {
            return Ok(None);
        }
    }
    let blocks = take(from, to, Topic::Blocks)?;
    for (topic, batch) in [(Topic::Control, decisions), (Topic::Blocks, blocks)] {
        if !batch.is_empty() {
            moved = true;
            if !give(to, topic, batch, control)? {
                return Ok(None);
            }
        }
    }
    Ok(Some(moved))
}

/// What comes next of a topic.
fn take(from: &dyn EventLog, to: &dyn EventLog, topic: Topic) -> Result<Vec<Append>, LogError> {
    let next = to.end(topic, 0);
    let records = from.read(topic, 0, next, BATCH)?;
    if let Some(first) = records.first().filter(|r| r.offset != next) {
        return Err(LogError::Corrupt {
            topic: topic.name(),
            partition: 0,
            offset: next,
            problem: format!("the shared log goes on at {}: what a node must know whole is not there", first.offset),
        });
    }
    Ok(records.iter().map(|r| Append { topic, partition: 0, event: (*r.event).clone() }).collect())
}

/// Puts it into the node's log; false when told to stop.
fn give(to: &dyn EventLog, topic: Topic, batch: Vec<Append>, control: &Control) -> Result<bool, LogError> {
    let urgency = if topic == Topic::Blocks { Urgency::Group } else { Urgency::Ride };
    let Some(ticket) = control.until_read(|| to.append(batch.clone(), urgency, Claim::Reserved))? else { return Ok(false) };
    // Its end is where the next round begins.
    while let Err(error) = to.wait(ticket, PATIENCE) {
        if !error.retryable() {
            return Err(error);
        }
        if control.stopping() {
            return Ok(false);
        }
    }
    if let Some(i) = TOPICS.iter().position(|t| *t == topic) {
        control.reached(i, to.end(topic, 0));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{LONG, control as decided, lifted, open, put};

    #[test]
    fn design_2_what_every_node_must_know_is_in_its_own_log_at_the_same_offsets() {
        let (far, near) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let (from, to) = (open(far.path()), open(near.path()));
        put(&*from, (0..600).map(decided).collect());
        for round in 0..2u128 {
            put(&*from, vec![lifted(round)]);
            let worker = Mirror::spawn(from.clone(), to.clone()).expect("thread");
            assert!(worker.wait_caught_up(LONG), "{:?}", worker.state());
        }
        assert_eq!((to.end(Topic::Control, 0), to.end(Topic::Blocks, 0)), (600, 2));
        for topic in [Topic::Control, Topic::Blocks] {
            let ids = |log: &dyn EventLog| log.read(topic, 0, 0, 1000).expect("read").iter().map(|r| (r.offset, r.event.id())).collect::<Vec<_>>();
            assert_eq!(ids(&*from), ids(&*to));
        }
    }
}
