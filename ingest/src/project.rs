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
            let mut next = store.positions();
            next.resize(body_log.partitions().into(), 0);
            for (i, offset) in next.iter().enumerate() {
                control.reached(i, *offset);
            }
            control.ready();
            while !control.stopping() {
                let began = Instant::now();
                let seen = body_log.durable();
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
