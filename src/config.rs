//! `tollgate.toml`: read with the position of every value, checked as a whole, and either a [`Config`] that can be run or
//! every mistake at once. Paths in the file are relative to the file.
//!
//! ```toml
//! data_dir = "data"                 # where all state lives; --data goes before it
//! provision = ["provision.yaml"]    # applied once, to an empty control topic
//! drain_s = 10                      # how long a clean stop waits for calls
//! [log]
//! kind = "embedded"                 # or "kafka", with the keys below
//! partitions = 16                   # fixed when the data folder is made
//! window_ms = 15
//! ride_ms = 200
//! reserve_mb = 256                  # free space below which new calls are refused
//! brokers = "kafka-1:9092,kafka-2:9092"
//! topic_prefix = "tollgate."
//! replication = 3                   # of topics when they are made
//! calls_retention_h = 0             # how long Kafka keeps topic calls; 0 = for ever, else archive_dir keeps what is older
//! archive_dir = "archive"           # the same folder for every process, on a share or on the one machine of stage ingest
//! spool_mb = 8192                   # events not yet in Kafka at which new calls are refused
//! session_ms = 6000                 # a stage silent this long is taken over
//! transaction_ms = 10000
//! security = "plaintext"            # ssl, sasl_plaintext, sasl_ssl
//! ca = "ca.pem"                     # and cert, key; sasl_mechanism, sasl_user, sasl_password_file
//! [store]
//! kind = "embedded"                 # or "clickhouse", with the keys below
//! url = "http://127.0.0.1:8123"
//! database = "tollgate"
//! user = "default"
//! password_file = "clickhouse.password"
//! compression = "lz4"               # or "none"
//! row_policies = false              # a second fence in the server; its user must be allowed to make them
//! retention = ["44=400", "*=550"]   # days by country code of the called number
//! poll_ms = 500                     # an insert a partition begins at most this often
//! flush_s = 60
//! flush_rows = 200000
//! [sip]
//! listen = "127.0.0.1:5060"         # port 0: any free one
//! shards = 1
//! [sip.timers]                      # P-13, P-46 and size limits, see `tollgate_proxy::sip::settings::Settings`
//! t1_ms = 500
//! [lrn]                             # portability (R-04); nothing here: numbers are rated as dialled
//! file = "ported.csv"               # number,lrn[,ocn,lata,rate_center,state]: answered from memory
//! url = "http://127.0.0.1:9090/lrn/{number}"   # or a service that answers JSON {lrn, ocn, lata, rate_center, state}
//! enum_server = "127.0.0.1:53"     # or a name server, asked for NAPTR records (RFC 6116, RFC 4769)
//! enum_suffix = "e164.arpa"
//! timeout_ms = 300                  # how long a call waits for an answer; then it goes by the dialled number
//! failed_s = 5                      # a number without an answer is not asked for again so soon; 0: each call asks and waits anew
//! circuit_failures = 5              # in a row, and a number answered before is not answered either: nothing is asked any more, no call
//! circuit_s = 10                    # waits, for so long; then one look-up tries again
//! cache_s = 86400                   # how long an answer is kept, at most a day
//! cache_numbers = 1000000
//! [cnam]                            # callers' names (R-29), of trunks and accounts with `cnam`; waited for with [lrn], its timeout_ms
//! file = "names.csv"                # number,name: answered from memory
//! url = "http://127.0.0.1:9090/cnam/{number}"  # or a service that answers JSON {name}
//! circuit_failures = 5              # as [lrn]
//! circuit_s = 10
//! cache_s = 86400
//! cache_numbers = 1000000
//! [rating]
//! poll_ms = 200
//! quality_hold_down_s = 600         # least time between a carrier's demotion and its promotion (R-39); alike in every process
//! [fraud]
//! poll_ms = 20
//! tick_ms = 1000
//! [api]
//! listen = "127.0.0.1:8080"
//! [[api.keys]]
//! id = "acme"
//! sha256 = "…"                      # of the key, 64 hex digits
//! tenant = "acme"                   # account at the top whose tree it is confined to; none: an operator's key
//! scopes = ["read"]                 # read, costs, calls, blocks, control, admin
//! ```

pub mod documents;

mod fields;
mod problem;
mod reader;
mod resolve;
mod secrets;

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use tollgate_api::KeyConfig;
use tollgate_proxy::sip::settings::Settings;

pub use problem::{ConfigProblem, nearest};
pub use secrets::admin_key_problem;

/// A configuration that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file it came from; none for one made in memory.
    pub file: Option<PathBuf>,
    pub data_dir: PathBuf,
    /// Provisioning files that exist.
    pub provision: Vec<PathBuf>,
    pub drain_s: u64,
    pub log: LogConfig,
    pub store: StoreConfig,
    pub sip: SipConfig,
    pub lrn: LrnConfig,
    /// Where callers' names are looked up (R-29), as portability is; calls wait for both together.
    pub cnam: LrnConfig,
    pub rating: RatingConfig,
    pub fraud: FraudConfig,
    pub api: ApiConfig,
}

/// The node's own log, and the one it shares with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// None: the node's own log is the only one.
    pub kafka: Option<KafkaConfig>,
    pub partitions: u16,
    /// How long the first urgent append waits for company.
    pub window_ms: u64,
    /// How long an append nobody waits for may wait.
    pub ride_ms: u64,
    /// Free space on the disk below which new calls are refused, MiB.
    pub reserve_mb: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Before every topic and group.
    pub topic_prefix: String,
    pub replication: u16,
    /// Hours Kafka keeps topic `calls`; 0 = for ever.
    pub calls_retention_h: u64,
    /// Where what is older goes, and is read from.
    pub archive_dir: Option<PathBuf>,
    /// MiB of events not yet in Kafka at which new calls are refused.
    pub spool_mb: u64,
    pub session_ms: u64,
    pub transaction_ms: u64,
    pub security: String,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub sasl_mechanism: String,
    pub sasl_user: String,
    pub sasl_password: Secret,
}

/// Where portability is looked up; neither a file nor a service: nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LrnConfig {
    pub file: Option<PathBuf>,
    /// Of a service; `{number}` is the number's digits.
    pub url: Option<String>,
    /// A name server, and the zone numbers are in (RFC 6116).
    pub enum_server: Option<SocketAddr>,
    pub enum_suffix: String,
    /// How long a call waits for an answer.
    pub timeout_ms: u64,
    /// How long a number is not asked for again after it had no answer.
    pub failed_s: u64,
    /// Failures in a row after which the source is left alone, and for how long.
    pub circuit_failures: u64,
    pub circuit_s: u64,
    pub cache_s: u64,
    pub cache_numbers: u64,
}

impl Default for LrnConfig {
    fn default() -> LrnConfig {
        LrnConfig {
            file: None,
            url: None,
            enum_server: None,
            enum_suffix: "e164.arpa".to_owned(),
            timeout_ms: 300,
            failed_s: 5,
            circuit_failures: 5,
            circuit_s: 10,
            cache_s: 86_400,
            cache_numbers: 1_000_000,
        }
    }
}

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Default for KafkaConfig {
    fn default() -> KafkaConfig {
        KafkaConfig {
            brokers: "127.0.0.1:9092".to_owned(),
            topic_prefix: "tollgate.".to_owned(),
            replication: 1,
            calls_retention_h: 0,
            archive_dir: None,
            spool_mb: 8192,
            session_ms: 6_000,
            transaction_ms: 10_000,
            security: "plaintext".to_owned(),
            ca: None,
            cert: None,
            key: None,
            sasl_mechanism: "SCRAM-SHA-256".to_owned(),
            sasl_user: String::new(),
            sasl_password: Secret::default(),
        }
    }
}

/// The CDR store: files of this process, or a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// None: Parquet files in the data folder.
    pub clickhouse: Option<ClickhouseConfig>,
    pub flush_s: u64,
    pub flush_rows: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickhouseConfig {
    pub url: String,
    pub database: String,
    pub user: String,
    pub password: Secret,
    /// `lz4` or `none`.
    pub compression: String,
    pub row_policies: bool,
    /// Days by country code of the called number; `*` = all others.
    pub retention: Vec<(String, u32)>,
    /// An insert of a partition begins at most this often.
    pub poll_ms: u64,
}

impl Default for ClickhouseConfig {
    fn default() -> ClickhouseConfig {
        ClickhouseConfig {
            url: "http://127.0.0.1:8123".to_owned(),
            database: "tollgate".to_owned(),
            user: "default".to_owned(),
            password: Secret::default(),
            compression: "lz4".to_owned(),
            row_policies: false,
            retention: Vec::new(),
            poll_ms: 500,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipConfig {
    pub listen: SocketAddr,
    /// Threads, each with a socket and a core of its own.
    pub shards: usize,
    pub timers: Settings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatingConfig {
    pub poll_ms: u64,
    /// R-39. All replays of a log must have the same.
    pub quality_hold_down_s: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FraudConfig {
    pub poll_ms: u64,
    pub tick_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    pub listen: SocketAddr,
    pub keys: Vec<KeyConfig>,
}

/// What a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Stage {
    Proxy,
    Rating,
    Fraud,
    Ingest,
    Api,
}

impl Stage {
    pub const ALL: [Stage; 5] = [Stage::Proxy, Stage::Rating, Stage::Fraud, Stage::Ingest, Stage::Api];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Proxy => "proxy",
            Stage::Rating => "rating",
            Stage::Fraud => "fraud",
            Stage::Ingest => "ingest",
            Stage::Api => "api",
        }
    }
}

impl Config {
    /// Reads and checks a file, or gives every mistake in it, in the order of the file.
    pub fn load(path: &Path) -> Result<Config, Vec<ConfigProblem>> {
        let (config, problems) = Config::examine(path);
        config.filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// As [`Config::load`], with defaults in the place of what is wrong, so that the files it names can be looked at, too;
    /// none when it cannot be read.
    pub fn examine(path: &Path) -> (Option<Config>, Vec<ConfigProblem>) {
        match std::fs::read_to_string(path) {
            Ok(text) => resolve::resolve(path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                (None, vec![ConfigProblem::of_file(path, "there is no such file; name a configuration with -c FILE")])
            }
            Err(e) => (None, vec![ConfigProblem::of_file(path, format!("cannot be read: {e}"))]),
        }
    }

    /// All defaults, with the data in `dir` and any free ports of the loopback: for the demo and tests.
    pub fn default_in(dir: &Path) -> Config {
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Config {
            file: None,
            data_dir: dir.to_owned(),
            provision: Vec::new(),
            drain_s: 10,
            log: LogConfig { kafka: None, partitions: 16, window_ms: 15, ride_ms: 200, reserve_mb: 256 },
            store: StoreConfig { clickhouse: None, flush_s: 60, flush_rows: 200_000 },
            sip: SipConfig { listen: any_port, shards: 1, timers: Settings::default() },
            lrn: LrnConfig::default(),
            cnam: LrnConfig::default(),
            rating: RatingConfig { poll_ms: 200, quality_hold_down_s: 600 },
            fraud: FraudConfig { poll_ms: 20, tick_ms: 1000 },
            api: ApiConfig { listen: any_port, keys: Vec::new() },
        }
    }

    /// What lives in one process must be used in it (design §2): the embedded log by every stage, the embedded store by ingest
    /// and api. `stages` empty = all.
    pub fn check_stages(&self, stages: &[Stage]) -> Result<(), ConfigProblem> {
        let missing: Vec<&str> = Stage::ALL.into_iter().filter(|s| !stages.contains(s)).map(Stage::name).collect();
        if stages.is_empty() || missing.is_empty() {
            return Ok(());
        }
        let file = self.file.as_deref().unwrap_or(Path::new("tollgate.toml"));
        if self.log.kafka.is_none() {
            let message = format!(
                "the embedded log belongs to one process, so all stages run in it, and --stages leaves out {}; leave --stages away, or use [log] kind = \"kafka\"",
                missing.join(", ")
            );
            return Err(ConfigProblem::of_file(file, message));
        }
        if self.store.clickhouse.is_none() && stages.contains(&Stage::Ingest) != stages.contains(&Stage::Api) {
            let message = "the embedded CDR store belongs to one process, so ingest and api run in the same; name both, or use [store] kind = \"clickhouse\"";
            return Err(ConfigProblem::of_file(file, message));
        }
        Ok(())
    }
}
