//! Carries a node's own log to the log it shares with others (design §2, one path out of the proxy): in order, a partition at a
//! time, as fast as the other side takes it. The node's log is the truth until then: when the other side is away it grows, and
//! nothing else changes.
//!
//! How far it got is kept in the node's log, a little behind what the other side has; after a kill some events are sent
//! again, which readers know by node and number. Progress never runs ahead of an acknowledgement.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tollgate_schemas::{
    event::Event,
    log::{Append, Claim, EventLog, LogError, Progress, Ticket, Topic, Urgency},
};

use crate::worker::{self, Control, NAP, WorkerHandle};

/// The thread's name, and the consumer's in the node's log.
pub const FORWARDER: &str = "forwarder";

/// Events of one partition in one append.
const BATCH: usize = 512;
/// Appends of one partition under way.
const FLYING: usize = 8;
/// Progress is noted this often.
const NOTE: Duration = Duration::from_millis(100);

/// How the forwarder does, for metrics and for the limit of the node's log.
#[derive(Debug, Default)]
pub struct Backlog {
    events: AtomicU64,
    forwarded: AtomicU64,
    /// UTC microseconds of the oldest event not yet forwarded; 0 = none.
    oldest_us: AtomicI64,
}

impl Backlog {
    /// Events of the node's log that the other side does not have.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Events forwarded by this process.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    /// When the oldest event still to be forwarded occurred, UTC microseconds.
    pub fn oldest_us(&self) -> Option<i64> {
        Some(self.oldest_us.load(Ordering::Relaxed)).filter(|us| *us != 0)
    }
}

pub struct Forwarder;

impl Forwarder {
    /// Starts the thread. `node`: whose log `from` is.
    pub fn spawn(from: Arc<dyn EventLog>, to: Arc<dyn EventLog>, node: u64, backlog: Arc<Backlog>) -> std::io::Result<WorkerHandle> {
        let streams = (0..from.partitions()).map(|p| (Topic::Calls, p)).collect();
        let body_from = from.clone();
        worker::spawn(from, FORWARDER, streams, move |control| run(&*body_from, &*to, node, &backlog, control).map_err(|e| e.to_string()))
    }
}

/// An event as the shared log keeps it: with the node whose log numbered it, where its id does not say.
pub fn sealed(event: &Event, node: u64, offset: u64) -> Event {
    let mut event = event.clone();
    event.partition_seq = offset + 1;
    event.log_node = if event.id().node() == node { 0 } else { node };
    event
}

struct Stream {
    partition: u16,
    /// The next offset to read, and to note as forwarded.
    next: u64,
    acknowledged: u64,
    noted: u64,
    flying: VecDeque<(Ticket, u64)>,
    first_us: i64,
}

fn run(from: &dyn EventLog, to: &dyn EventLog, node: u64, backlog: &Backlog, control: &Control) -> Result<(), LogError> {
    let mut streams = Vec::new();
    for partition in 0..from.partitions() {
        let Some(next) = control.until_read(|| from.progress(FORWARDER, Topic::Calls, partition))? else { return Ok(()) };
        let next = next.unwrap_or(0);
        control.reached(partition.into(), next);
        streams.push(Stream { partition, next, acknowledged: next, noted: next, flying: VecDeque::new(), first_us: 0 });
    }
    control.ready();
    let mut noted = Instant::now();
    let mut told = false;
    while !control.stopping() {
        let seen = from.news();
        let mut moved = false;
        for s in &mut streams {
            moved |= s.settle(to, backlog);
            while s.flying.len() < FLYING && from.end(Topic::Calls, s.partition) > s.next {
                let Some(records) = control.until_read(|| from.read(Topic::Calls, s.partition, s.next, BATCH))? else { return Ok(()) };
                let Some(last) = records.last().map(|r| r.offset) else { break };
                if s.flying.is_empty() {
                    s.first_us = records[0].event.occurred_us;
                }
                let batch = records
                    .iter()
                    .map(|r| Append { topic: Topic::Calls, partition: s.partition, event: sealed(&r.event, node, r.offset) })
                    .collect();
                match to.append(batch, Urgency::Group, Claim::Reserved) {
                    Ok(ticket) => {
                        told = false;
                        s.next = last + 1;
                        s.flying.push_back((ticket, s.next));
                        moved = true;
                    }
                    Err(error) if error.retryable() => {
                        if !told {
                            told = true;
                            tracing::warn!(%error, "events wait in this node's log");
                        }
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        look(from, backlog, &streams);
        if noted.elapsed() >= NOTE {
            note(from, &mut streams, control)?;
            noted = Instant::now();
        }
        if !moved {
            let waiting = streams.iter().any(|s| !s.flying.is_empty());
            if waiting {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                from.wait_beyond(seen, NAP);
            }
        }
    }
    // What is under way may still arrive.
    let deadline = Instant::now() + Duration::from_secs(2);
    while streams.iter().any(|s| !s.flying.is_empty()) && Instant::now() < deadline {
        for s in &mut streams {
            s.settle(to, backlog);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    note(from, &mut streams, control)?;
    control.settle(from);
    Ok(())
}

impl Stream {
    /// Takes what the other side has acknowledged; true when there was any.
    fn settle(&mut self, to: &dyn EventLog, backlog: &Backlog) -> bool {
        let mut moved = false;
        while let Some((ticket, next)) = self.flying.front().copied()
            && to.wait(ticket, Duration::ZERO).is_ok()
        {
            self.flying.pop_front();
            backlog.forwarded.fetch_add(next - self.acknowledged, Ordering::Relaxed);
            self.acknowledged = next;
            moved = true;
        }
        moved
    }
}

fn look(from: &dyn EventLog, backlog: &Backlog, streams: &[Stream]) {
    let events: u64 = streams.iter().map(|s| from.end(Topic::Calls, s.partition).saturating_sub(s.acknowledged)).sum();
    backlog.events.store(events, Ordering::Relaxed);
    let oldest = streams.iter().filter(|s| !s.flying.is_empty()).map(|s| s.first_us).min().unwrap_or(0);
    backlog.oldest_us.store(oldest, Ordering::Relaxed);
}

fn note(from: &dyn EventLog, streams: &mut [Stream], control: &Control) -> Result<(), LogError> {
    let moves: Vec<Progress> = streams
        .iter()
        .filter(|s| s.acknowledged != s.noted)
        .map(|s| Progress { consumer: FORWARDER.to_owned(), topic: Topic::Calls, partition: s.partition, next: s.acknowledged })
        .collect();
    if moves.is_empty() {
        return Ok(());
    }
    match from.commit(Vec::new(), moves, Vec::new()) {
        Ok(ticket) => {
            control.appended(ticket);
            for s in streams {
                s.noted = s.acknowledged;
                control.reached(s.partition.into(), s.acknowledged);
            }
            Ok(())
        }
        // Noted with the next.
        Err(e) if e.retryable() => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{LONG, all, lifted, numbered, open, put};

    #[test]
    fn design_2_events_go_on_in_order_and_a_killed_forwarder_sends_some_again() {
        let (near, far) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let (from, to) = (open(near.path()), open(far.path()));
        put(&*from, (0..700).map(|n| numbered(1, n, 0)).chain([numbered(3, 9, 0)]).collect());
        let backlog = Arc::new(Backlog::default());
        let forward = || Forwarder::spawn(from.clone(), to.clone(), from.node(), backlog.clone()).expect("thread");
        let worker = forward();
        assert!(worker.wait_caught_up(LONG));
        drop(worker);
        assert_eq!((to.end(Topic::Calls, 1), to.end(Topic::Calls, 3), backlog.forwarded()), (700, 1, 701));
        // As after a kill between the sending and the noting.
        let back = Progress { consumer: FORWARDER.to_owned(), topic: Topic::Calls, partition: 1, next: 650 };
        let ticket = from.commit(vec![], vec![back], vec![]).expect("commit");
        from.wait(ticket, LONG).expect("durable");
        let worker = forward();
        assert!(worker.wait_caught_up(LONG));
        let copies = all(&*to, Topic::Calls, 1);
        assert_eq!(copies.len(), 750);
        assert_eq!(copies[650].id, copies[700].id, "sent again, in order");
        assert_eq!(backlog.events(), 0);
    }

    #[test]
    fn an_event_of_another_nodes_making_says_whose_log_numbered_it() {
        let dir = tempfile::tempdir().expect("dir");
        let log = open(dir.path());
        let (own, copied) = (Event { id: log.mint().mint().to_vec(), ..Event::default() }, lifted(5).event);
        let node = log.node();
        assert_eq!((sealed(&own, node, 4).log_node, sealed(&own, node, 4).partition_seq), (0, 5));
        assert_eq!((sealed(&copied, node, 5).log_node, sealed(&copied, node, 5).log_node()), (node, node));
    }
}
