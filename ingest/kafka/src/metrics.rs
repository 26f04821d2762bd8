//! What the log has done, for `/metrics`: under `kafka_…`.

use std::sync::{Arc, atomic::Ordering};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::{sender::Sender, writer::Counts};

/// Figures since the log was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KafkaStats {
    /// Appended outside transactions, acknowledged.
    pub sent_events: u64,
    pub sent_bytes: u64,
    pub pending_events: u64,
    pub producers_remade: u64,
    pub transactions: u64,
    pub transaction_outputs: u64,
    pub transactions_aborted: u64,
    /// Partitions lost to another owner.
    pub fenced: u64,
    /// Time all commits took together.
    pub commit_us: u64,
}

pub fn stats(sender: &Sender, counts: &Counts) -> KafkaStats {
    let read = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
    KafkaStats {
        sent_events: read(&sender.sent),
        sent_bytes: read(&sender.sent_bytes),
        pending_events: sender.pending() as u64,
        producers_remade: read(&sender.remade),
        transactions: read(&counts.transactions),
        transaction_outputs: read(&counts.outputs),
        transactions_aborted: read(&counts.aborted),
        fenced: read(&counts.fenced),
        commit_us: read(&counts.commit_us),
    }
}

struct Figures {
    sender: Arc<Sender>,
    counts: Arc<Counts>,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let s = stats(&self.sender, &self.counts);
        let counters = [
            ("kafka_sent_events", "Events appended outside transactions and acknowledged", s.sent_events),
            ("kafka_sent_bytes", "Their bytes", s.sent_bytes),
            ("kafka_producers_remade", "Times the producer was made anew after a fatal error", s.producers_remade),
            ("kafka_transactions", "Transactions committed", s.transactions),
            ("kafka_transaction_outputs", "Events in them", s.transaction_outputs),
            ("kafka_transactions_aborted", "Transactions that were aborted and repeated", s.transactions_aborted),
            ("kafka_fenced", "Partitions lost to another owner while writing", s.fenced),
            ("kafka_commit_microseconds", "Time spent in commits", s.commit_us),
        ];
        for (name, help, value) in counters {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        let pending = ConstGauge::new(s.pending_events as i64);
        pending.encode(encoder.encode_descriptor("kafka_pending_events", "Events the brokers have not acknowledged", None, pending.metric_type())?)
    }
}

pub fn register(registry: &mut Registry, sender: &Arc<Sender>, counts: &Arc<Counts>) {
    registry.register_collector(Box::new(Figures { sender: sender.clone(), counts: counts.clone() }));
}
