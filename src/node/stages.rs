//! The stages a process runs, on the log they share or on the node's own.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tollgate_api::Views;
use tollgate_fraud::{Guard, merged::Merged, partials::Partials};
use tollgate_ingest::{
    Projector, Runner, RunnerOptions, Ticker, WorkerHandle,
    archive::{Archiver, ArchiverOptions, ArchiverStats},
    follow,
    follow::From,
};
use tollgate_proxy::admission::LeaseRules;
use tollgate_rating::{lease::{Lessor, LessorRules}, mediation::Rater, quality::{Counter, Judge, MAX_KEYS, Rules}};
use tollgate_schemas::{
    control::FraudPolicy,
    event::{Body, Event, Origin},
    log::{Append, Claim, Topic, Urgency},
};

use super::{Figures, RATING_VERSION, Shared, live::Live, store::Stores};
use crate::config::{Config, Stage};

/// Demands for leases go out this often.
const ASK: Duration = Duration::from_millis(500);
/// A grant this much older than this process is not its own to use; clocks may differ by less.
const OLD_GRANT_US: i64 = 10_000_000;
/// What a second copy of a fraud partition says: the same blocks, under the same ids.
const AT_ONCE: &[Topic] = &[Topic::Blocks];

type Named = (&'static str, WorkerHandle);

fn guard(partition: u16) -> Box<dyn tollgate_schemas::stage::Stage> {
    Box::new(Guard::new(partition, FraudPolicy::default()).unwrap_or_else(|e| unreachable!("the default policy compiles: {e:?}")))
}

/// Rating and fraud, as far as this process runs them.
pub fn start(shared: &Shared, config: &Config, stages: &BTreeSet<Stage>) -> anyhow::Result<Vec<Named>> {
    let log = &shared.log;
    let is_shared = log.shared();
    // On a shared log a take-over replays what came since the newest snapshot: so snapshots are taken more often there.
    let snapshot_every_s = if is_shared { 15 } else { 60 };
    let runner = |poll_ms, follow_control| RunnerOptions { poll_ms, follow_control, snapshot_every_s, ..RunnerOptions::default() };
    let mut workers: Vec<Named> = Vec::new();
    if stages.contains(&Stage::Rating) {
        let make = |p| -> Box<dyn tollgate_schemas::stage::Stage> { Box::new(Rater::new(p, RATING_VERSION)) };
        workers.push(("rater", Runner::spawn(log.clone(), "rater", make, runner(config.rating.poll_ms, false))?));
        let partitions = log.partitions();
        let make = move |p| -> Box<dyn tollgate_schemas::stage::Stage> { Box::new(Counter::new(p, partitions)) };
        workers.push(("quality_count", Runner::spawn(log.clone(), "quality_count", make, runner(250, false))?));
        let rules = Rules { hold_down_us: config.rating.quality_hold_down_s as i64 * 1_000_000, ..Rules::default() };
        let make = move |p| -> Box<dyn tollgate_schemas::stage::Stage> { Box::new(Judge::with(p, rules, MAX_KEYS)) };
        let options = RunnerOptions { input: Topic::Quality, ..runner(250, false) };
        workers.push(("quality_judge", Runner::spawn(log.clone(), "quality_judge", make, options)?));
        if is_shared {
            let make = |p| -> Box<dyn tollgate_schemas::stage::Stage> { Box::new(Lessor::new(p, LessorRules::default())) };
            let options = RunnerOptions { input: Topic::Leases, ..runner(10, false) };
            workers.push(("lessor", Runner::spawn(log.clone(), "lessor", make, options)?));
        }
    }
    if stages.contains(&Stage::Fraud) {
        workers.push(("fraud", Runner::spawn(log.clone(), "fraud", guard, runner(config.fraud.poll_ms, true))?));
        if is_shared {
            let options = RunnerOptions { observes: Some(AT_ONCE), ..runner(config.fraud.poll_ms, true) };
            workers.push(("fraud_watch", Runner::spawn_as(log.clone(), "fraud_watch", "fraud", guard, options)?));
        }
        let partitions = log.partitions();
        let make = move |p| -> Box<dyn tollgate_schemas::stage::Stage> { Box::new(Partials::new(p, partitions)) };
        workers.push(("partials", Runner::spawn(log.clone(), "partials", make, runner(250, false))?));
        let make = |p| -> Box<dyn tollgate_schemas::stage::Stage> { Box::new(Merged::new(p)) };
        let options = RunnerOptions { input: Topic::Quality, ..runner(250, false) };
        workers.push(("merged", Runner::spawn(log.clone(), "merged", make, options)?));
    }
    Ok(workers)
}

/// Makes time and blocks part of every partition's order, in the node's own log.
pub fn ticker(shared: &Shared, config: &Config) -> anyhow::Result<WorkerHandle> {
    let every = Duration::from_millis(config.fraud.tick_ms);
    // Below the step by which silence is measured (`schemas::nodes`).
    let asleep = shared.log.shared().then_some(Duration::from_secs(30));
    Ok(Ticker::spawn(shared.own.clone(), shared.clock, shared.mint.clone(), shared.boot_id, every, asleep)?)
}

pub fn projector(shared: &Shared, config: &Config, stores: &Stores) -> anyhow::Result<WorkerHandle> {
    let poll_ms = config.store.clickhouse.as_ref().map_or(config.rating.poll_ms, |c| c.poll_ms);
    let clock = shared.clock;
    Ok(Projector::spawn(shared.log.clone(), stores.cdrs.clone(), move || clock().utc_us, poll_ms)?)
}

/// Carries old calls out of the shared log into files, where the configuration says where.
pub fn archiver(shared: &Shared, config: &Config) -> anyhow::Result<Option<(WorkerHandle, Arc<ArchiverStats>)>> {
    let Some((kafka, dir)) = config.log.kafka.as_ref().and_then(|k| Some((k, k.archive_dir.clone()?))) else { return Ok(None) };
    let retention = (kafka.calls_retention_h > 0).then(|| Duration::from_secs(kafka.calls_retention_h * 3600));
    let clock = shared.clock;
    let options = ArchiverOptions::new(retention, move || clock().utc_us);
    let stats = options.stats.clone();
    Ok(Some((Archiver::spawn(shared.log.clone(), dir, options)?, stats)))
}

/// What the API shows beside the store.
pub fn views(shared: &Shared, views: &Arc<Views>, figures: &Arc<Figures>) -> anyhow::Result<Vec<Named>> {
    let log = &shared.log;
    let (told, fed, counted) = (views.clone(), views.clone(), figures.clone());
    Ok(vec![
        ("views", follow::follow(log.clone(), "views", &[Topic::Alerts, Topic::Blocks], From::Beginning, 20, move |topic, partition, record| {
            told.apply(topic, partition, record.offset, &record.event);
        })?),
        ("counts", follow::follow(log.clone(), "counts", &[Topic::Calls, Topic::Cdrs, Topic::Ledger, Topic::Quarantine], From::End, 250, move |topic, partition, record| {
            counted.see(&record.event);
            if matches!(topic, Topic::Calls | Topic::Cdrs) {
                fed.apply(topic, partition, record.offset, &record.event);
            }
        })?),
    ])
}

/// The calls of every proxy, for the API of a process that shares the log.
pub fn live_view(shared: &Shared, live: &Arc<Live>) -> anyhow::Result<WorkerHandle> {
    let stage = live.clone();
    let options = RunnerOptions { poll_ms: 100, observes: Some(&[]), keeps: true, ..RunnerOptions::default() };
    Ok(Runner::spawn_as(shared.log.clone(), "live_view", "live", move |p| stage.stage(p), options)?)
}

/// This proxy's side of limits that span proxies: it asks, and applies what is granted.
pub struct Leases {
    stop: Arc<AtomicBool>,
    asks: Option<thread::JoinHandle<()>>,
    grants: Option<WorkerHandle>,
}

impl Leases {
    pub fn start(shared: &Arc<Shared>) -> anyhow::Result<Leases> {
        let partitions = shared.log.partitions();
        shared.gate().admission.lease_mode(&shared.mint.node_name(), LeaseRules { partitions, ..LeaseRules::default() });
        let applied = shared.clone();
        let grants = follow::follow(shared.log.clone(), "leases", &[Topic::Leases], From::End, 0, move |_, _, record| {
            // Where the log was away at the start its end was not known: an old grant is no grant.
            let old = record.event.occurred_us < applied.started.utc_us - OLD_GRANT_US;
            if let Some(Body::LeaseGranted(granted)) = &record.event.body
                && !old
            {
                applied.gate().admission.apply_lease(granted, (applied.clock)());
            }
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, asking) = (stop.clone(), shared.clone());
        let asks = thread::Builder::new().name("lease-ask".to_owned()).spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                thread::sleep(ASK);
                let plan = asking.owner.plan();
                let now = (asking.clock)();
                let demands = asking.gate().admission.lease_demands(&plan.policy, now);
                let origin = Origin { mint: &asking.mint, boot_id: asking.boot_id, now, control_position: plan.control_position };
                let batch: Vec<Append> = demands
                    .into_iter()
                    .map(|(partition, asked)| Append { topic: Topic::Leases, partition, event: Event::born(origin, "", Body::LeaseAsked(asked)) })
                    .collect();
                // A demand is of the moment: while the log is away the next one says it again.
                if !batch.is_empty()
                    && asking.log.health() == tollgate_schemas::log::Health::Good
                    && let Err(error) = asking.log.append(batch, Urgency::Ride, Claim::Ordinary)
                {
                    tracing::debug!(%error, "no leases asked for");
                }
            }
        })?;
        Ok(Leases { stop, asks: Some(asks), grants: Some(grants) })
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.grants.take();
        if let Some(asks) = self.asks.take() {
            let _ = asks.join();
        }
    }
}
