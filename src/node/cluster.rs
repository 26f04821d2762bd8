//! The log that is shared with other processes, beside the node's own: reaching it, and what goes between the two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tollgate_ingest::{Backlog, EmbeddedLog, embedded::trim_point};
use tollgate_kafka::{KafkaLog, Options, Security};
use tollgate_schemas::log::{EventLog, Topic};

use crate::config::{Config, KafkaConfig};

/// Between two tries to reach the brokers.
const RETRY: Duration = Duration::from_secs(1);

pub fn options(kafka: &KafkaConfig, partitions: u16, client_id: &str) -> Options {
    Options {
        brokers: kafka.brokers.clone(),
        prefix: kafka.topic_prefix.clone(),
        partitions,
        replication: kafka.replication.into(),
        calls_retention_h: kafka.calls_retention_h,
        archive: kafka.archive_dir.clone(),
        security: Security {
            protocol: kafka.security.clone(),
            ca: kafka.ca.clone(),
            cert: kafka.cert.clone(),
            key: kafka.key.clone(),
            sasl_mechanism: kafka.sasl_mechanism.clone(),
            sasl_user: kafka.sasl_user.clone(),
            sasl_password: kafka.sasl_password.0.clone(),
        },
        client_id: client_id.to_owned(),
        session: Duration::from_millis(kafka.session_ms),
        transaction: Duration::from_millis(kafka.transaction_ms),
        ..Options::default()
    }
}

/// Attaches to the shared log, if the configuration has one. A node that has been provisioned starts without the brokers; else
/// there is nothing to start with, and they are waited for.
pub fn attach(config: &Config, own: &EmbeddedLog) -> anyhow::Result<Option<Arc<KafkaLog>>> {
    let Some(kafka) = &config.log.kafka else { return Ok(None) };
    let name = format!("tollgate-{:012x}", own.node());
    let log = KafkaLog::attach(options(kafka, config.log.partitions, &name)).context("Kafka")?;
    let log = Arc::new(log);
    match log.ensure_topics() {
        Ok(()) => return Ok(Some(log)),
        Err(error) if !error.retryable() => return Err(error).context("Kafka"),
        Err(error) => tracing::warn!(%error, "Kafka is away"),
    }
    if own.end(Topic::Control, 0) == 0 {
        loop {
            thread::sleep(RETRY);
            match log.ensure_topics() {
                Ok(()) => return Ok(Some(log)),
                Err(error) if !error.retryable() => return Err(error).context("Kafka"),
                Err(error) => tracing::warn!(%error, "this node knows nothing yet, so it waits for Kafka"),
            }
        }
    }
    let later = Arc::downgrade(&log);
    thread::Builder::new().name("kafka-topics".to_owned()).spawn(move || {
        while let Some(log) = later.upgrade() {
            match log.ensure_topics() {
                Ok(()) => return tracing::info!("Kafka is back"),
                Err(error) if !error.retryable() => return tracing::error!(%error, "Kafka cannot be used: see tollgate doctor"),
                Err(_) => {}
            }
            drop(log);
            thread::sleep(RETRY);
        }
    })?;
    Ok(Some(log))
}

/// How often what Kafka has is given up in the node's own log.
const TRIM: Duration = Duration::from_secs(60);

/// Keeps the events that are not in Kafka yet below `spool_mb`: beyond, new calls are refused, live and emergency calls go on.
/// Gives up what was forwarded and nobody here needs any more.
pub struct Spool {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Spool {
    pub fn watch(own: Arc<EmbeddedLog>, backlog: Arc<Backlog>, spool_mb: u64) -> anyhow::Result<Spool> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::Builder::new().name("spool".to_owned()).spawn(move || {
            let mut full = false;
            let mut looked = Instant::now();
            let mut trimmed = Instant::now();
            while !stopping.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
                if looked.elapsed() < Duration::from_millis(500) {
                    continue;
                }
                looked = Instant::now();
                if trimmed.elapsed() >= TRIM {
                    trimmed = Instant::now();
                    match own.trim(Topic::Calls, &trim_point(&*own)) {
                        Ok(0) => {}
                        Ok(bytes) => tracing::info!(bytes, "events that are in Kafka were given up here"),
                        Err(error) => tracing::warn!(%error, "events that are in Kafka stay here for now"),
                    }
                }
                let s = own.stats();
                // What an event took on average, in this process.
                let each = if s.events == 0 { 300 } else { (s.bytes / s.events).max(1) };
                let bytes = backlog.events().saturating_mul(each);
                let limit = spool_mb << 20;
                // Goes on again when a tenth is free: no flapping.
                let now = if full { bytes > limit / 10 * 9 } else { bytes > limit };
                if now != full {
                    full = now;
                    own.refuse_new_calls(full);
                    if full {
                        tracing::error!(bytes, spool_mb, "events not yet in Kafka have reached spool_mb: new calls are refused");
                    } else {
                        tracing::info!(bytes, spool_mb, "events reach Kafka again: new calls are taken");
                    }
                }
            }
        })?;
        Ok(Spool { stop, thread: Some(thread) })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

