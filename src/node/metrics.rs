//! Prometheus metrics of the whole node.

use std::sync::{Arc, Mutex, PoisonError, atomic::{AtomicU64, Ordering}};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tollgate_api::{Metrics, RenderMetrics};
use tollgate_ingest::EmbeddedLog;
use tollgate_schemas::log::Health;
use tollgate_store::EmbeddedStore;

use super::{Shared, Workers, ports};

/// Reads the proxy's and the stages' figures when somebody asks.
struct Figures {
    shared: Arc<Shared>,
    store: Arc<EmbeddedStore>,
    workers: Workers,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
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
        let mut gauge = |name: &str, help: &str, value: u64| {
            let metric = ConstGauge::new(value as i64);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("tollgate_sip_calls_up", "Calls that are not over", shards.iter().map(|s| s.calls_up()).sum())?;
        gauge("tollgate_sip_dropped_datagrams", "Datagrams that could not be sent or handed over", shards.iter().map(|s| s.dropped()).sum())?;
        gauge("tollgate_blocks", "Blocks in force", self.shared.gate().admission.blocks().len() as u64)?;
        gauge("tollgate_log_health", "0 good, 1 slow, 2 failing", match self.shared.log.health() {
            Health::Good => 0,
            Health::Slow => 1,
            Health::Failing => 2,
        })?;
        gauge("tollgate_store_files", "Parquet files", self.store.file_count() as u64)?;
        gauge("tollgate_store_fresh_rows", "CDRs in memory, not in files yet", self.store.fresh_rows() as u64)?;
        for (name, worker) in self.workers.iter() {
            gauge(&format!("tollgate_stage_{name}_lag_events"), "Events the stage has yet to read", worker.lag())?;
        }
        Ok(())
    }
}

/// The renderer for `/metrics`.
pub fn render(shared: &Arc<Shared>, log: &EmbeddedLog, store: &Arc<EmbeddedStore>, workers: &Workers, api: &Metrics) -> RenderMetrics {
    let mut registry = Registry::default();
    log.register(&mut registry);
    api.register(&mut registry);
    registry.register_collector(Box::new(Figures { shared: shared.clone(), store: store.clone(), workers: workers.clone() }));
    let failures = AtomicU64::new(0);
    let registry = Mutex::new(registry);
    Arc::new(move || {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &registry.lock().unwrap_or_else(PoisonError::into_inner)).is_err() {
            failures.fetch_add(1, Ordering::Relaxed);
        }
        text
    })
}
