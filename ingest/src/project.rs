//! Carries CDRs from the log to the store; rows written again change nothing.
//!
//! A store that is files of this process knows itself how far it is ([`CdrStore::positions`]), so that rows in its files and
//! its position can never disagree. For a server the log keeps the position, and before each batch is inserted the log is told
//! where the batch ends: after a crash the same batch goes again, so that a server that remembers batches drops it whole
//! at once. Nothing rests on that: a row's identity decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event},
    log::{Append, Claim, EventLog, LogError, Membership, Progress, Record, Snapshot, Topic, Urgency},
    store::{CdrStore, StoreError},
    v1::Quarantined,
};

use crate::{
    runner::{partitions, share::{Share, Work}},
    worker::{self, Control, NAP, WorkerHandle},
};

/// The thread's name, the consumer's, and the stage's in what it quarantines.
pub const PROJECTOR: &str = "projector";

const BATCH: usize = 4096;
/// Rows in one insert into a server: inserts are dear there.
const BATCH_SERVER: usize = 50_000;
/// An idle partition's position is noted after this long.
const IDLE: Duration = Duration::from_secs(1);
/// Version of the form a plan is kept in: the batch's end, u64 big endian.
const PLAN: u32 = 1;
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Projector;

impl Projector {
    /// Starts the thread. `clock` gives UTC microseconds, for `ingest_ts`. A round begins at most every `poll_ms`.
    pub fn spawn(
        log: Arc<dyn EventLog>,
        store: Arc<dyn CdrStore>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
        poll_ms: u64,
    ) -> std::io::Result<WorkerHandle> {
        let streams = partitions(&*log, Topic::Cdrs);
        let count = log.partitions();
        let body_log = log.clone();
        let clock: Clock = Arc::new(clock);
        worker::spawn(log, PROJECTOR, streams, move |control| {
            let log = body_log;
            if let Some(next) = store.positions() {
                return own(&*log, &*store, &*clock, poll_ms, next, control);
            }
            let work: Work = Arc::new({
                let log = log.clone();
                move |partition, control| served(&*log, &*store, &*clock, poll_ms, partition, control)
            });
            let share = Share::new(PROJECTOR, work.clone(), control.clone());
            match log.join(PROJECTOR, Topic::Cdrs, share.clone()).map_err(|e| e.to_string())? {
                Membership::Shared(membership) => share.watch(count, membership),
                // All are this process's.
                Membership::Alone => share.watch_all(count),
            }
        })
    }
}

type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Into a store that knows its positions: one thread for all partitions.
fn own(log: &dyn EventLog, store: &dyn CdrStore, clock: &dyn Fn() -> i64, poll_ms: u64, mut next: Vec<u64>, control: &Control) -> Result<(), String> {
    next.resize(log.partitions().into(), 0);
    for (i, offset) in next.iter().enumerate() {
        control.reached(i, *offset);
    }
    control.ready();
    while !control.stopping() {
        let began = Instant::now();
        let seen = log.news();
        let mut moved = false;
        for (partition, next) in (0..).zip(next.iter_mut()) {
            match project(log, store, clock, partition, *next, control)? {
                Some(to) if to > *next => (*next, moved) = (to, true),
                Some(_) => {}
                None => return Ok(()),
            }
            control.reached(partition.into(), *next);
        }
        if !moved {
            log.wait_beyond(seen, NAP);
        }
        rest(began, poll_ms, control);
    }
    Ok(())
}

fn rest(began: Instant, poll_ms: u64, control: &Control) {
    let rest = Duration::from_millis(poll_ms).saturating_sub(began.elapsed());
    if !rest.is_zero() && !control.stopping() {
        std::thread::sleep(rest);
    }
}

/// One partition into a server, until told to stop.
fn served(
    log: &dyn EventLog,
    store: &dyn CdrStore,
    clock: &dyn Fn() -> i64,
    poll_ms: u64,
    partition: u16,
    control: &Control,
) -> Result<(), LogError> {
    if control.until_read(|| log.take_over(PROJECTOR, Topic::Cdrs, partition))?.is_none() {
        return Ok(());
    }
    let Some(noted) = control.until_read(|| log.progress(PROJECTOR, Topic::Cdrs, partition))? else { return Ok(()) };
    let Some(plan) = control.until_read(|| log.snapshot(PROJECTOR, partition))? else { return Ok(()) };
    let (mut next, mut noted) = (noted.unwrap_or(0), noted.unwrap_or(0));
    let mut planned = plan.filter(|s| s.version == PLAN && s.next == next).and_then(|s| Some(u64::from_be_bytes(s.state.try_into().ok()?)));
    let mut moved_at = Instant::now();
    control.reached(partition.into(), next);
    while !control.stopping() {
        let began = Instant::now();
        let seen = log.news();
        if log.end(Topic::Cdrs, partition) == next {
            if noted != next && moved_at.elapsed() >= IDLE {
                note(log, partition, next, None, control)?;
                noted = next;
            }
            log.wait_beyond(seen, NAP);
            continue;
        }
        let Some(batch) = control.until_read(|| gather(log, partition, next, planned))? else { return Ok(()) };
        let Some(to) = batch.last().map(|r| r.offset + 1) else {
            planned = None;
            continue;
        };
        if planned.is_none() {
            note(log, partition, next, Some(to), control)?;
            noted = next;
        }
        match carry(log, store, clock, partition, &batch, to, control).map_err(LogError::Refused)? {
            Some(to) => next = to,
            None => return Ok(()),
        }
        planned = None;
        moved_at = Instant::now();
        control.reached(partition.into(), next);
        rest(began, poll_ms, control);
    }
    if noted != next {
        note(log, partition, next, None, control)?;
    }
    Ok(())
}

/// What comes next, up to a batch, or to where a batch that was begun ends.
fn gather(log: &dyn EventLog, partition: u16, from: u64, planned: Option<u64>) -> Result<Vec<Record>, LogError> {
    let mut batch: Vec<Record> = Vec::new();
    while batch.len() < BATCH_SERVER {
        let next = batch.last().map_or(from, |r| r.offset + 1);
        if planned.is_some_and(|to| next >= to) {
            break;
        }
        let more = log.read(Topic::Cdrs, partition, next, BATCH)?;
        if more.is_empty() {
            break;
        }
        batch.extend(more.into_iter().take_while(|r| planned.is_none_or(|to| r.offset < to)));
    }
    Ok(batch)
}

/// Tells the log how far it is and where the batch under way ends, and waits until it knows.
fn note(log: &dyn EventLog, partition: u16, next: u64, to: Option<u64>, control: &Control) -> Result<(), LogError> {
    let progress = vec![Progress { consumer: PROJECTOR.to_owned(), topic: Topic::Cdrs, partition, next }];
    let plan = |to: u64| Snapshot { consumer: PROJECTOR.to_owned(), partition, version: PLAN, next, state: to.to_be_bytes().to_vec() };
    let plan: Vec<Snapshot> = to.map(plan).into_iter().collect();
    let Some(ticket) = control.until_read(|| log.commit(Vec::new(), progress.clone(), plan.clone()))? else { return Ok(()) };
    loop {
        match log.wait(ticket, PATIENCE) {
            Ok(()) => return Ok(()),
            Err(e) if e.retryable() && !control.stopping() => {}
            Err(e) if e.retryable() => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

/// Carries one batch; gives the next offset, None when told to stop.
fn project(log: &dyn EventLog, store: &dyn CdrStore, clock: &dyn Fn() -> i64, partition: u16, from: u64, control: &Control) -> Result<Option<u64>, String> {
    if log.end(Topic::Cdrs, partition) == from {
        return Ok(Some(from));
    }
    let read = control.until_read(|| log.read(Topic::Cdrs, partition, from, BATCH)).map_err(|e| e.to_string())?;
    let Some(records) = read else { return Ok(None) };
    let Some(next) = records.last().map(|r| r.offset + 1) else { return Ok(Some(from)) };
    carry(log, store, clock, partition, &records, next, control)
}

/// Writes the rows of some records; gives `next`, None when told to stop.
fn carry(
    log: &dyn EventLog,
    store: &dyn CdrStore,
    clock: &dyn Fn() -> i64,
    partition: u16,
    records: &[Record],
    next: u64,
    control: &Control,
) -> Result<Option<u64>, String> {
    let now_us = clock();
    let mut rows = Vec::with_capacity(records.len());
    for record in records {
        match row(&record.event, now_us) {
            Ok(Some(cdr)) => rows.push(cdr),
            Ok(None) => {}
            Err(problem) => {
                if !quarantine(log, partition, record, problem, control).map_err(|e| e.to_string())? {
                    return Ok(None);
                }
            }
        }
    }
    let mut told = false;
    loop {
        match store.write(partition, rows.clone(), next) {
            Ok(()) => return Ok(Some(next)),
            Err(StoreError::Unavailable(problem)) if !told => {
                told = true;
                tracing::warn!(problem, partition, "CDRs wait for the store");
            }
            Err(StoreError::Unavailable(_)) => {}
            Err(e) => return Err(e.to_string()),
        }
        if !control.pause() {
            return Ok(None);
        }
    }
}

/// The row in an event of topic `cdrs`, with the time it came here; None when it carries none.
fn row(event: &Event, now_us: i64) -> Result<Option<Arc<Cdr>>, String> {
    let Some(Body::CdrWritten(written)) = &event.body else { return Ok(None) };
    let mut cdr = Cdr::decode(&*written.cdr).map_err(|e| format!("CDR cannot be decoded: {e}"))?;
    cdr.ingest_ts = Some(now_us);
    Ok(Some(Arc::new(cdr)))
}

/// The id is derived from the event, so a repeat after a restart is known as one.
fn quarantine(log: &dyn EventLog, partition: u16, record: &Record, problem: String, control: &Control) -> Result<bool, LogError> {
    tracing::error!(partition, offset = record.offset, problem, "CDR quarantined");
    let body = Quarantined {
        stage: PROJECTOR.to_owned(),
        problem,
        event: record.event.encode_to_vec(),
        topic: Topic::Cdrs.name().to_owned(),
        partition: partition.into(),
        offset: record.offset,
        call_id: record.event.call_id().to_vec(),
    };
    let event = Event::derived(PROJECTOR, &record.event, "quarantine", 0, Body::Quarantined(body));
    loop {
        let append = Append { topic: Topic::Quarantine, partition, event: event.clone() };
        match log.append(vec![append], Urgency::Ride, Claim::Reserved) {
            Ok(_) => return Ok(true),
            Err(e) if !e.retryable() => return Err(e),
            Err(_) if !control.pause() => return Ok(false),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tollgate_schemas::{
        store::{Answer, CdrQuery, Positions, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
        v1::CdrWritten,
    };

    use super::*;
    use crate::sample::{LONG, open, put};

    #[derive(Default)]
    struct Kept {
        rows: Vec<(u16, String, Option<i64>)>,
        next: Positions,
        /// Writes to refuse before one passes.
        away: usize,
    }

    struct Store(Mutex<Kept>);

    impl CdrStore for Store {
        fn write(&self, partition: u16, rows: Vec<Arc<Cdr>>, next: u64) -> Result<(), StoreError> {
            let mut kept = self.0.lock().expect("lock");
            if kept.away > 0 {
                kept.away -= 1;
                return Err(StoreError::Unavailable("away".to_owned()));
            }
            kept.rows.extend(rows.iter().map(|c| (partition, c.account.clone(), c.ingest_ts)));
            kept.next[usize::from(partition)] = next;
            Ok(())
        }
        fn positions(&self) -> Option<Positions> {
            Some(self.0.lock().expect("lock").next.clone())
        }
        fn flush(&self) -> Answer<'_, ()> {
            Box::pin(async { Ok(()) })
        }
        fn cdrs(&self, _: CdrQuery) -> Answer<'_, Vec<Arc<Cdr>>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn traffic(&self, _: TrafficQuery) -> Answer<'_, Vec<TrafficRow>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn tally(&self, _: TallyQuery) -> Answer<'_, Vec<TallyRow>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    fn cdr(partition: u16, account: &str) -> Append {
        let cdr = Cdr { account: account.to_owned(), ..Cdr::default() };
        written(partition, cdr.encode_to_vec())
    }

    fn written(partition: u16, cdr: Vec<u8>) -> Append {
        let body = Body::CdrWritten(CdrWritten { cdr, content_hash: Vec::new() });
        Append { topic: Topic::Cdrs, partition, event: Event { body: Some(body), ..Event::default() } }
    }

    #[test]
    fn cdrs_go_on_to_the_store_from_where_it_stands_through_outages_and_bad_rows() {
        let dir = tempfile::tempdir().expect("dir");
        let log = open(dir.path());
        put(&*log, vec![cdr(1, "known"), cdr(1, "a"), cdr(3, "b"), written(1, vec![0xff; 3])]);
        let store = Arc::new(Store(Mutex::new(Kept { next: vec![0, 1], away: 2, ..Kept::default() })));
        store.0.lock().expect("lock").next.resize(4, 0);
        let projector = Projector::spawn(log.clone(), store.clone(), || 42, 0).expect("thread");
        put(&*log, vec![cdr(1, "c")]);
        assert!(projector.wait_caught_up(LONG), "{:?}", projector.state());
        drop(projector);
        let kept = store.0.lock().expect("lock");
        let mut rows = kept.rows.clone();
        rows.sort();
        let row = |p, account: &str| (p, account.to_owned(), Some(42));
        assert_eq!(rows, [row(1, "a"), row(1, "c"), row(3, "b")]);
        assert_eq!(kept.next, [0, 4, 0, 1]);
        let last = log.append(vec![], Urgency::Group, Claim::Ordinary).expect("append");
        log.wait(last, LONG).expect("durable");
        assert_eq!(log.end(Topic::Quarantine, 1), 1, "the bad row is kept for a person");
    }
}
