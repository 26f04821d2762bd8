//! How the log is reached. Every time and size has a default that suits a small cluster.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tollgate_schemas::log::LogError;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub protocol: String,
    /// PEM of who signed the brokers' certificates; none: the system's.
    pub ca: Option<PathBuf>,
    /// This process's own certificate and key, where brokers ask for one.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: String,
    pub sasl_user: String,
    pub sasl_password: String,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Before every topic, group and transactional id; two clusters of ours can share a Kafka.
    pub prefix: String,
    /// Partitions of topics that are not single, 1 to 1024. Fixed when the topics are made.
    pub partitions: u16,
    /// Replicas of each topic when it is made.
    pub replication: i32,
    /// How long topic `calls` is kept, hours; 0 = for ever. The other topics of facts are kept for ever.
    pub calls_retention_h: u64,
    /// Where what Kafka no longer has of topic `calls` is read from: the folder the archivers write.
    pub archive: Option<PathBuf>,
    pub security: Security,
    /// Names this process to the brokers.
    pub client_id: String,
    /// Events queued and not durable at which ordinary appends are refused, and how many more the reserved ones get.
    pub limit: usize,
    pub reserved: usize,
    /// Bytes queued and not durable at which every append is refused.
    pub limit_bytes: usize,
    /// Age of the oldest append not yet durable beyond which the log says it is slow, ms.
    pub slow_ms: u64,
    /// Newest records kept decoded in memory, in encoded bytes, for each stream that is read here.
    pub tail_bytes: usize,
    /// A member that is silent this long has lost its partitions.
    pub session: Duration,
    /// A transaction that is open this long is ended by the broker.
    pub transaction: Duration,
    /// One request to the broker.
    pub request: Duration,
    /// While true nothing is sent: for tests and drills.
    pub hold: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            brokers: "127.0.0.1:9092".to_owned(),
            prefix: "tollgate.".to_owned(),
            partitions: 16,
            replication: 1,
            calls_retention_h: 0,
            archive: None,
            security: Security { protocol: "plaintext".to_owned(), ..Security::default() },
            client_id: "tollgate".to_owned(),
            limit: 65_536,
            reserved: 65_536,
            limit_bytes: 128 << 20,
            slow_ms: 2_000,
            tail_bytes: 4 << 20,
            session: Duration::from_secs(6),
            transaction: Duration::from_secs(10),
            request: Duration::from_secs(10),
            hold: None,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let refuse = |what: &str| Err(LogError::Refused(format!("Kafka log options: {what}")));
        match self {
            Options { partitions: 0 | 1025.., .. } => refuse("partitions must be 1 to 1024"),
            Options { limit: 0, .. } | Options { limit_bytes: 0, .. } => refuse("limit and limit_bytes must be at least 1"),
            Options { brokers, .. } if brokers.trim().is_empty() => refuse("brokers must name at least one host:port"),
            _ => Ok(()),
        }
    }
}
