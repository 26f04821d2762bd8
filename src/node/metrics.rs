//! Prometheus metrics of the whole process.

use std::sync::{Arc, Mutex, PoisonError, atomic::{AtomicU64, Ordering}};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::{ConstCounter, Counter}, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use tollgate_api::{Metrics, RenderMetrics};
use tollgate_ingest::{Backlog, archive::ArchiverStats};
use tollgate_schemas::log::Health;

use super::{Figures, Node, Shared, Workers, accounts::Accounts, ports, store::Stores};

/// Reads the proxy's and the stages' figures when somebody asks.
struct Reader {
    shared: Arc<Shared>,
    stores: Option<Stores>,
    workers: Workers,
    backlog: Arc<Backlog>,
    figures: Arc<Figures>,
    accounts: Arc<Accounts>,
    forwards: bool,
    archived: Option<Arc<ArchiverStats>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

impl Collector for Reader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let shards = self.shared.shards();
        let counters = ports::summed(&shards);
        let mut names: Vec<_> = counters.keys().collect();
        names.sort();
        for name in names {
            let metric = ConstCounter::new(counters[name]);
            let full = format!("tollgate_sip_{name}");
            metric.encode(encoder.encode_descriptor(&full, "SIP proxy counter", None, metric.metric_type())?)?;
        }
        let refused: Family<Reason, Counter> = Family::default();
        for (reason, count) in self.figures.refused() {
            refused.get_or_create(&Reason { reason }).inc_by(count);
        }
        refused.encode(encoder.encode_descriptor("tollgate_refused_calls", "Calls refused, by reason, since this process started", None, refused.metric_type())?)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        counter("tollgate_negative_margin_calls", "Calls that cost more than they brought (R-41), since this process started", self.figures.negative_margin())?;
        counter("tollgate_unrated_calls", "Final CDRs without a price that should have one", self.figures.unrated())?;
        counter("tollgate_node_lost_calls", "Final CDRs of calls whose proxy fell silent", self.figures.node_lost())?;
        counter("tollgate_quarantined_events", "Events a stage could not apply", self.figures.quarantined())?;
        let repeats = self.workers.iter().map(|(_, w)| w.repeats()).sum();
        counter("tollgate_repeated_events", "Events that came more than once and were dropped", repeats)?;
        counter("tollgate_missing_events", "Places where events of a node are missing", self.workers.iter().map(|(_, w)| w.gaps()).sum())?;
        if let Some(lrn) = self.shared.lrn.get() {
            let (asked, failed) = lrn.asked();
            counter("tollgate_lrn_lookups", "Portability look-ups made", asked)?;
            counter("tollgate_lrn_failures", "Portability look-ups without an answer in time", failed)?;
        }
        if let Some(cnam) = self.shared.cnam.get() {
            let (asked, failed) = cnam.asked();
            counter("tollgate_cnam_lookups", "Look-ups of callers' names made", asked)?;
            counter("tollgate_cnam_failures", "Look-ups of callers' names without an answer in time", failed)?;
        }
        if self.forwards {
            counter("tollgate_forwarded_events", "Events of this node that are in the shared log", self.backlog.forwarded())?;
        }
        if let Some(archived) = &self.archived {
            counter("tollgate_archived_events", "Events of calls put into segments of the archive", archived.archived_events())?;
        }
        let mut gauge = |name: &str, help: &str, value: u64| {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("tollgate_sip_calls_up", "Calls that are not over", shards.iter().map(|s| s.calls_up()).sum())?;
        gauge("tollgate_sip_dropped_datagrams", "Datagrams that could not be sent or handed over", shards.iter().map(|s| s.dropped()).sum())?;
        if let Some(lrn) = self.shared.lrn.get() {
            gauge("tollgate_lrn_circuit", "Portability source: 0 asked, 1 left alone after failures, 2 tried by one look-up", lrn.circuit())?;
            gauge("tollgate_lrn_unanswered", "Numbers not asked for again yet, having had no answer", lrn.unanswered())?;
            gauge("tollgate_lrn_remembered", "Numbers whose portability is remembered", lrn.remembered())?;
        }
        if let Some(cnam) = self.shared.cnam.get() {
            gauge("tollgate_cnam_circuit", "Source of callers' names: 0 asked, 1 left alone after failures, 2 tried by one look-up", cnam.circuit())?;
            gauge("tollgate_cnam_remembered", "Callers whose names are remembered", cnam.remembered())?;
        }
        gauge("tollgate_blocks", "Blocks in force", self.shared.gate().admission.blocks().len() as u64)?;
        let shown_e8 = i64::try_from(self.accounts.difference_e8()).unwrap_or(i64::MAX);
        let difference_e8 = self.figures.ledger_difference_e8().max(shown_e8) as u64;
        gauge("tollgate_ledger_difference_e8", "What postings, or balances as they are shown, do not sum to zero by, 1e-8 of a currency's unit", difference_e8)?;
        gauge("tollgate_log_health", "0 good, 1 slow, 2 failing", match ports::worst(self.shared.own.health(), self.shared.log.health()) {
            Health::Good => 0,
            Health::Slow => 1,
            Health::Failing => 2,
        })?;
        if self.forwards {
            let now_us = (self.shared.clock)().utc_us;
            let oldest_s = self.backlog.oldest_us().map_or(0, |us| (now_us - us).max(0) as u64 / 1_000_000);
            gauge("tollgate_forward_backlog_events", "Events of this node that are not in the shared log yet", self.backlog.events())?;
            gauge("tollgate_forward_oldest_seconds", "Age of the oldest of them", oldest_s)?;
        }
        if let Some(archived) = &self.archived {
            let now_us = (self.shared.clock)().utc_us;
            let oldest_s = archived.oldest_unarchived_us().map_or(0, |us| (now_us - us).max(0) as u64 / 1_000_000);
            gauge("tollgate_archive_oldest_seconds", "Age of the oldest event of calls that is in no segment yet", oldest_s)?;
        }
        if let Some(embedded) = self.stores.as_ref().and_then(|s| s.embedded.as_ref()) {
            gauge("tollgate_store_files", "Parquet files", embedded.file_count() as u64)?;
            gauge("tollgate_store_fresh_rows", "CDRs in memory, not in files yet", embedded.fresh_rows() as u64)?;
        }
        for (name, worker) in self.workers.iter() {
            let lag = worker.lag();
            gauge(&format!("tollgate_stage_{name}_lag_events"), "Events the stage has yet to read", lag)?;
            gauge(&format!("tollgate_stage_{name}_partitions"), "Partitions this process works", worker.owned() as u64)?;
            if *name == "mirror" {
                gauge("tollgate_mirror_lag_events", "Provisioning and blocks this node has yet to hear of", lag)?;
            }
        }
        Ok(())
    }
}

/// The API's own metrics, and the renderer for `/metrics`.
pub fn render(node: &Node, figures: &Arc<Figures>) -> (Metrics, RenderMetrics) {
    let api = Metrics::default();
    let mut registry = Registry::default();
    node.embedded.register(&mut registry);
    if let Some(kafka) = &node.kafka {
        kafka.register(&mut registry);
    }
    api.register(&mut registry);
    registry.register_collector(Box::new(Reader {
        shared: node.shared.clone(),
        stores: node.stores.clone(),
        workers: node.workers.clone(),
        backlog: node.backlog.clone(),
        figures: figures.clone(),
        accounts: node.accounts.clone(),
        forwards: node.spool.is_some(),
        archived: node.archived.clone(),
    }));
    let served = node.stores.as_ref().and_then(|s| s.clickhouse.clone());
    let failures = AtomicU64::new(0);
    let registered = std::sync::atomic::AtomicBool::new(false);
    let registry = Mutex::new(registry);
    let render: RenderMetrics = Arc::new(move || {
        let mut text = String::new();
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        // The server may be reached long after the start.
        if let Some(store) = served.as_ref().and_then(|s| s.get())
            && !registered.swap(true, Ordering::Relaxed)
        {
            store.register(&mut registry);
        }
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        text
    });
    (api, render)
}
