//! What all clients of the broker share: settings, names, and what an error means.

use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use tollgate_schemas::log::{LogError, Topic};

use crate::Options;

/// Passes librdkafka's words on to our log, quietly: an outage is told once by who notices it.
#[derive(Clone, Default)]
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => tracing::error!(facility, message, "kafka"),
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::debug!(facility, message, "kafka"),
            _ => tracing::trace!(facility, message, "kafka"),
        }
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Quiet {}

impl Options {
    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    pub fn snapshots(&self) -> String {
        format!("{}snapshots", self.prefix)
    }

    pub fn group(&self, consumer: &str) -> String {
        format!("{}{consumer}", self.prefix)
    }

    pub fn count(&self, topic: Topic) -> u16 {
        if topic.single_partition() { 1 } else { self.partitions }
    }

    /// Refuses a partition the topic does not have.
    pub fn known(&self, topic: Topic, partition: u16) -> Result<(), LogError> {
        let count = self.count(topic);
        if partition < count {
            return Ok(());
        }
        Err(LogError::Refused(format!("topic {} has {count} partition(s), there is no partition {partition}", topic.name())))
    }

    /// Settings of every client.
    pub fn client(&self) -> ClientConfig {
        let mut c = ClientConfig::new();
        c.set_log_level(RDKafkaLogLevel::Info);
        c.set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            // A broker that comes back is found within a second, not ten.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("topic.metadata.propagation.max.ms", "10000")
            .set("socket.timeout.ms", self.request.as_millis().max(1000).to_string());
        let s = &self.security;
        if !s.protocol.is_empty() {
            c.set("security.protocol", &s.protocol);
        }
        let files = [("ssl.ca.location", &s.ca), ("ssl.certificate.location", &s.cert), ("ssl.key.location", &s.key)];
        for (name, file) in files {
            if let Some(file) = file {
                c.set(name, file.to_string_lossy());
            }
        }
        if s.protocol.starts_with("sasl") {
            c.set("sasl.mechanism", &s.sasl_mechanism).set("sasl.username", &s.sasl_user).set("sasl.password", &s.sasl_password);
        }
        c
    }

    /// Settings of a consumer that is told what to read, and reads only what is committed.
    pub fn reader(&self) -> ClientConfig {
        let mut c = self.client();
        c.set("group.id", self.group("reader"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "50")
            .set("queued.min.messages", "2000")
            .set("queued.max.messages.kbytes", "8192");
        c
    }
}

pub fn storage(what: &str, error: &KafkaError) -> LogError {
    if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) {
        return LogError::Refused(format!("Kafka: {what}: {error}"));
    }
    let code = match error {
        KafkaError::Transaction(e) => Some(e.code()),
        e => e.rdkafka_error_code(),
    };
    match code {
        // What no waiting mends.
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::SaslAuthenticationFailed,
        ) => LogError::Refused(format!("Kafka: {what}: {error}")),
        _ => LogError::Storage(format!("Kafka: {what}: {error}")),
    }
}
