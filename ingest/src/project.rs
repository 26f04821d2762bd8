//! Carries CDRs from the log to the store. How far it got is the store's own knowledge ([`CdrStore::positions`]), so that rows in its
//! files and its position can never disagree; rows written again change nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event},
    log::{Append, Claim, EventLog, LogError, Record, Topic, Urgency},
    store::{CdrStore, StoreError},
    v1::Quarantined,
};

use crate::{
    runner::partitions,
    worker::{self, Control, NAP, WorkerHandle},
};

/// The thread's name, and the stage's in what it quarantines.
pub const PROJECTOR: &str = "projector";

const BATCH: usize = 4096;

pub struct Projector;

impl Projector {
    /// Starts the thread. `clock` gives UTC microseconds, for `ingest_ts`. A round begins at most every `poll_ms`.
    pub fn spawn(
        log: Arc<dyn EventLog>,
        store: Arc<dyn CdrStore>,
        clock: impl Fn() -> i64 + Send + 'static,
        poll_ms: u64,
    ) -> std::io::Result<WorkerHandle> {
        let streams = partitions(&*log, Topic::Cdrs);
        let body_log = log.clone();
        worker::spawn(log, PROJECTOR, streams, move |control| {
            let mut next = store.positions().unwrap_or_default();
            next.resize(body_log.partitions().into(), 0);
            for (i, offset) in next.iter().enumerate() {
                control.reached(i, *offset);
            }
            control.ready();
            while !control.stopping() {
                let began = Instant::now();
                let seen = body_log.news();
                let mut moved = false;
                for (partition, next) in (0..).zip(next.iter_mut()) {
                    match project(&*body_log, &*store, &clock, partition, *next, control)? {
                        Some(to) if to > *next => (*next, moved) = (to, true),
                        Some(_) => {}
                        None => return Ok(()),
                    }
                    control.reached(partition.into(), *next);
                }
                if !moved {
                    body_log.wait_beyond(seen, NAP);
                }
                let rest = Duration::from_millis(poll_ms).saturating_sub(began.elapsed());
                if !rest.is_zero() && !control.stopping() {
                    std::thread::sleep(rest);
                }
            }
            Ok(())
        })
    }
}

/// Carries one batch; gives the next offset, None when told to stop.
fn project(log: &dyn EventLog, store: &dyn CdrStore, clock: &dyn Fn() -> i64, partition: u16, from: u64, control: &Control) -> Result<Option<u64>, String> {
    if log.end(Topic::Cdrs, partition) == from {
        return Ok(Some(from));
    }
    let read = control.until_read(|| log.read(Topic::Cdrs, partition, from, BATCH)).map_err(|e| e.to_string())?;
    let Some(records) = read else { return Ok(None) };
    let Some(last) = records.last() else { return Ok(Some(from)) };
    let now_us = clock();
    let mut rows = Vec::with_capacity(records.len());
    for record in &records {
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
    let next = last.offset + 1;
    loop {
        match store.write(partition, rows.clone(), next) {
            Ok(()) => return Ok(Some(next)),
            Err(StoreError::Unavailable(problem)) => tracing::warn!(problem, "CDRs wait for the store"),
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
        store::{Answer, CdrQuery, Positions, TrafficQuery, TrafficRow},
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
