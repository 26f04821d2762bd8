//! What the log counts about itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Upper bounds of the commit time histogram, seconds.
const BOUNDS: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.05, 0.2, 1.0, 5.0];

#[derive(Debug)]
pub struct LogMetrics {
    groups: Counter,
    events: Counter,
    bytes: Counter,
    failures: Counter,
    pending: Gauge,
    free_bytes: Gauge,
    commit: Histogram,
    commit_us_sum: AtomicU64,
    commit_us_max: AtomicU64,
}

/// A reading of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStats {
    pub groups: u64,
    pub events: u64,
    /// Encoded.
    pub bytes: u64,
    /// Commits that failed and were tried again.
    pub failures: u64,
    /// Time of commits (write, fdatasync, memtable), microseconds.
    pub commit_us_sum: u64,
    pub commit_us_max: u64,
    /// Events not durable yet, at the last commit.
    pub pending: i64,
}

impl Default for LogMetrics {
    fn default() -> LogMetrics {
        LogMetrics {
            groups: Counter::default(),
            events: Counter::default(),
            bytes: Counter::default(),
            failures: Counter::default(),
            pending: Gauge::default(),
            free_bytes: Gauge::default(),
            commit: Histogram::new(BOUNDS),
            commit_us_sum: AtomicU64::new(0),
            commit_us_max: AtomicU64::new(0),
        }
    }
}

impl LogMetrics {
    pub(super) fn committed(&self, events: usize, bytes: usize, took: std::time::Duration, pending: usize) {
        let us = took.as_micros() as u64;
        self.groups.inc();
        self.events.inc_by(events as u64);
        self.bytes.inc_by(bytes as u64);
        self.commit.observe(took.as_secs_f64());
        self.commit_us_sum.fetch_add(us, Relaxed);
        self.commit_us_max.fetch_max(us, Relaxed);
        self.pending.set(pending as i64);
    }

    pub(super) fn failed(&self, pending: usize) {
        self.failures.inc();
        self.pending.set(pending as i64);
    }

    pub(super) fn free(&self, bytes: u64) {
        self.free_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn stats(&self) -> LogStats {
        LogStats {
            groups: self.groups.get(),
            events: self.events.get(),
            bytes: self.bytes.get(),
            failures: self.failures.get(),
            commit_us_sum: self.commit_us_sum.load(Relaxed),
            commit_us_max: self.commit_us_max.load(Relaxed),
            pending: self.pending.get(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("log");
        r.register("groups", "Groups committed", self.groups.clone());
        r.register("events", "Events made durable", self.events.clone());
        r.register("bytes", "Encoded bytes of events made durable", self.bytes.clone());
        r.register("commit_failures", "Commits that failed and were tried again", self.failures.clone());
        r.register("pending_events", "Events not durable yet, at the last commit", self.pending.clone());
        r.register("disk_free_bytes", "Free space on the log's disk", self.free_bytes.clone());
        r.register("commit_seconds", "Time of a group's write and fdatasync", self.commit.clone());
    }
}
