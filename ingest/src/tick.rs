//! Makes time and blocks part of the input: time advances only by events and logged ticks (design §2).
//!
//! Once a period every partition of topic `calls` in which something happened lately gets a tick, so that idle partitions cost
//! nothing. Before the ticks, block events that are new in topic `blocks` are copied into every partition, exactly once
//! (the copies and the ticker's progress are one commit): so each partition's order says when a block was known there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::Mint,
    log::{Append, Claim, EventLog, LogError, Progress, Topic, Urgency},
    time::Now,
    v1::Tick,
};

use crate::worker::{self, Control, NAP, WorkerHandle};

/// The ticker's name as a consumer of topic blocks.
pub const TICKER: &str = "ticker";

/// A partition ticks this long after its last event, and after every start.
const AWAKE_NS: u64 = 15 * 60 * 1_000_000_000;
const BLOCK_BATCH: usize = 256;

pub struct Ticker;

impl Ticker {
    /// Starts the thread. `asleep`: how often an idle partition ticks all the same, where other nodes must hear that this one is
    /// there and time goes on without it. `clock` reads the node's clocks; ticks are born of `mint` and `boot_id`.
    pub fn spawn(
        log: Arc<dyn EventLog>,
        clock: impl Fn() -> Now + Send + 'static,
        mint: Arc<Mint>,
        boot_id: u64,
        every: Duration,
        asleep: Option<Duration>,
    ) -> std::io::Result<WorkerHandle> {
        let body_log = log.clone();
        worker::spawn(log, TICKER, vec![(Topic::Blocks, 0)], move |control| {
            run(&*body_log, &clock, &mint, boot_id, (every, asleep), control).map_err(|e| e.to_string())
        })
    }
}

struct Partition {
    /// Durable events when the ticker started, and those of them that are its own since.
    start: u64,
    own: u64,
    others: u64,
    awake_until_ns: u64,
    ticked_ns: u64,
}

fn run(log: &dyn EventLog, clock: &dyn Fn() -> Now, mint: &Mint, boot_id: u64, (every, asleep): (Duration, Option<Duration>), control: &Control) -> Result<(), LogError> {
    let Some(next) = control.until_read(|| log.progress(TICKER, Topic::Blocks, 0))? else { return Ok(()) };
    let mut next_block = next.unwrap_or(0);
    control.reached(0, next_block);
    control.ready();
    let awake_until_ns = clock().mono_ns.saturating_add(AWAKE_NS);
    let mut partitions: Vec<Partition> =
        (0..log.partitions()).map(|p| Partition { start: log.end(Topic::Calls, p), own: 0, others: 0, awake_until_ns, ticked_ns: 0 }).collect();
    let mut due = Instant::now();
    while !control.stopping() {
        if let Some(copied) = copy_blocks(log, next_block, &mut partitions, control)? {
            next_block = copied;
            control.reached(0, next_block);
        }
        tick(log, clock(), mint, boot_id, asleep, &mut partitions);
        due += every;
        // After a stall time goes on from now: one tick says as much as ten.
        due = due.max(Instant::now());
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || control.stopping() {
                break;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
    Ok(())
}

fn tick(log: &dyn EventLog, now: Now, mint: &Mint, boot_id: u64, asleep: Option<Duration>, partitions: &mut [Partition]) {
    let origin = Origin { mint, boot_id, now, control_position: log.end(Topic::Control, 0) };
    let mut ticks = Vec::new();
    for (number, p) in (0..).zip(partitions.iter_mut()) {
        // Own ticks still on their way only make this smaller: it is seen with the next tick.
        let others = (log.end(Topic::Calls, number) - p.start).saturating_sub(p.own);
        if others > p.others {
            p.others = others;
            p.awake_until_ns = now.mono_ns.saturating_add(AWAKE_NS);
        }
        let overdue = asleep.is_some_and(|d| u128::from(now.mono_ns.saturating_sub(p.ticked_ns)) >= d.as_nanos());
        if now.mono_ns <= p.awake_until_ns || overdue {
            p.ticked_ns = now.mono_ns;
            let event = Event::born(origin, "", Body::Tick(Tick { at_us: now.utc_us }));
            ticks.push(Append { topic: Topic::Calls, partition: number, event });
        }
    }
    let ticked: Vec<u16> = ticks.iter().map(|t| t.partition).collect();
    // Deadlines of live calls depend on ticks, so they may use the reserve; one that is lost is made up by the next.
    match log.append(ticks, Urgency::Ride, Claim::Reserved) {
        Ok(_) => ticked.into_iter().for_each(|p| partitions[usize::from(p)].own += 1),
        Err(error) => tracing::warn!(%error, "no tick"),
    }
}

/// Copies new block events into every partition; the next offset to copy if any were.
fn copy_blocks(log: &dyn EventLog, from: u64, partitions: &mut [Partition], control: &Control) -> Result<Option<u64>, LogError> {
    if log.end(Topic::Blocks, 0) == from {
        return Ok(None);
    }
    let Some(records) = control.until_read(|| log.read(Topic::Blocks, 0, from, BLOCK_BATCH))? else { return Ok(None) };
    let Some(last) = records.last() else { return Ok(None) };
    let next = last.offset + 1;
    let numbers = 0..partitions.len() as u16;
    let copies = records.iter().flat_map(|r| numbers.clone().map(|partition| Append { topic: Topic::Calls, partition, event: (*r.event).clone() }));
    let progress = Progress { consumer: TICKER.to_owned(), topic: Topic::Blocks, partition: 0, next };
    match log.commit(copies.collect(), vec![progress], Vec::new()) {
        Ok(ticket) => {
            control.appended(ticket);
            partitions.iter_mut().for_each(|p| p.own += records.len() as u64);
            Ok(Some(next))
        }
        Err(e) if e.retryable() => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::sample::{LONG, numbered, open, put};

    #[test]
    fn an_idle_partition_stops_ticking_and_starts_again_with_its_next_event() {
        let dir = tempfile::tempdir().expect("dir");
        let log = open(dir.path());
        let clock = Arc::new(AtomicU64::new(0));
        let reads = clock.clone();
        let now = move || {
            let mono_ns = reads.load(Ordering::SeqCst);
            Now { utc_us: mono_ns as i64 / 1000, mono_ns }
        };
        let _ticker = Ticker::spawn(log.clone(), now, log.mint(), 1, Duration::from_millis(5), None).expect("thread");
        let until = |what: &str, holds: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !holds() {
                assert!(began.elapsed() < LONG, "{what}");
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        until("every partition ticks at the start", &|| (0..4).all(|p| log.end(Topic::Calls, p) >= 3));
        clock.store(AWAKE_NS + 1, Ordering::SeqCst);
        let quiet = || {
            let ends = || (0..4).map(|p| log.end(Topic::Calls, p)).collect::<Vec<_>>();
            let before = ends();
            std::thread::sleep(Duration::from_millis(60));
            before == ends()
        };
        until("all fall asleep: own ticks keep nobody awake", &quiet);
        let asleep = log.end(Topic::Calls, 3);
        put(&*log, vec![numbered(2, 1, 0)]);
        let woken = log.end(Topic::Calls, 2);
        until("its event wakes it", &|| log.end(Topic::Calls, 2) > woken + 2);
        assert_eq!(log.end(Topic::Calls, 3), asleep, "and only it");
    }
}
