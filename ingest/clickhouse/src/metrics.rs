//! What the store counts about itself.

use std::{
    sync::Mutex,
    sync::atomic::AtomicU64,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Upper bounds of the insert time histogram, seconds.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug)]
pub struct StoreMetrics {
    rows: Counter,
    inserts: Counter,
    failures: Counter,
    query_failures: Counter,
    /// 1 from a failed insert to the next that passes.
    away: Gauge,
    last_failure: Gauge,
    last_insert: Gauge,
    lag: Gauge<f64, AtomicU64>,
    open_hours: Gauge,
    insert: Histogram,
    last_error: Mutex<Option<String>>,
}

/// A reading of the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStats {
    pub rows: u64,
    pub inserts: u64,
    /// Inserts that failed; each is tried again by who asked for it.
    pub failures: u64,
    pub query_failures: u64,
    pub last_error: Option<String>,
}

impl Default for StoreMetrics {
    fn default() -> StoreMetrics {
        StoreMetrics {
            rows: Counter::default(),
            inserts: Counter::default(),
            failures: Counter::default(),
            query_failures: Counter::default(),
            away: Gauge::default(),
            last_failure: Gauge::default(),
            last_insert: Gauge::default(),
            lag: Gauge::default(),
            open_hours: Gauge::default(),
            insert: Histogram::new(BOUNDS),
            last_error: Mutex::default(),
        }
    }
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}

impl StoreMetrics {
    /// `newest_end_us`: end of the newest call among the rows.
    pub(crate) fn inserted(&self, rows: usize, took: std::time::Duration, newest_end_us: i64) {
        let now = now_us();
        self.rows.inc_by(rows as u64);
        self.inserts.inc();
        self.insert.observe(took.as_secs_f64());
        self.away.set(0);
        self.last_insert.set(now / 1_000_000);
        self.lag.set(now.saturating_sub(newest_end_us).max(0) as f64 / 1e6);
    }

    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) {
        self.failures.inc();
        self.away.set(1);
        self.last_failure.set(now_us() / 1_000_000);
        self.note(error);
    }

    pub(crate) fn query_failed(&self, error: &dyn std::fmt::Display) {
        self.query_failures.inc();
        self.note(error);
    }

    pub(crate) fn open_hours(&self, n: usize) {
        self.open_hours.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    fn note(&self, error: &dyn std::fmt::Display) {
        *self.last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error.to_string());
    }

    pub fn stats(&self) -> StoreStats {
        StoreStats {
            rows: self.rows.get(),
            inserts: self.inserts.get(),
            failures: self.failures.get(),
            query_failures: self.query_failures.get(),
            last_error: self.last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("clickhouse");
        r.register("rows", "CDR rows inserted", self.rows.clone());
        r.register("inserts", "Inserts that passed", self.inserts.clone());
        r.register("insert_failures", "Inserts that failed and were given back to be tried again", self.failures.clone());
        r.register("query_failures", "Lists and reports that failed", self.query_failures.clone());
        r.register("away", "1 from a failed insert to the next that passes", self.away.clone());
        r.register("last_failure_timestamp_seconds", "When an insert last failed", self.last_failure.clone());
        r.register("last_insert_timestamp_seconds", "When an insert last passed", self.last_insert.clone());
        r.register("lag_seconds", "From the end of the newest call in the last insert to that insert's end", self.lag.clone());
        r.register("open_hours", "Hours written to that are not summed up yet", self.open_hours.clone());
        r.register("insert_seconds", "Time of an insert", self.insert.clone());
    }
}
