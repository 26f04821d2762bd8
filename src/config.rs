//! `tollgate.toml`: read with the position of every value, checked as a whole, and either a [`Config`] that can be run or
//! every mistake at once. Paths in the file are relative to the file.
//!
//! ```toml
//! data_dir = "data"                 # where all state lives; --data goes before it
//! provision = ["provision.yaml"]    # applied once, to an empty control topic
//! drain_s = 10                      # how long a clean stop waits for calls
//! [log]
//! kind = "embedded"                 # the one there is
//! partitions = 16                   # fixed when the data folder is made
//! window_ms = 15
//! ride_ms = 200
//! reserve_mb = 256                  # free space below which new calls are refused
//! [store]
//! kind = "embedded"
//! flush_s = 60
//! flush_rows = 200000
//! [sip]
//! listen = "127.0.0.1:5060"         # port 0: any free one
//! shards = 1
//! [sip.timers]                      # P-13, P-46 and size limits, see `tollgate_proxy::sip::settings::Settings`
//! t1_ms = 500
//! [rating]
//! poll_ms = 200
//! [fraud]
//! poll_ms = 20
//! tick_ms = 1000
//! [api]
//! listen = "127.0.0.1:8080"
//! [[api.keys]]
//! id = "acme"
//! sha256 = "…"                      # of the key, 64 hex digits
//! tenant = "acme"                   # root account it is confined to; none: an operator's key
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
    pub rating: RatingConfig,
    pub fraud: FraudConfig,
    pub api: ApiConfig,
}

/// The embedded event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub partitions: u16,
    /// How long the first urgent append waits for company.
    pub window_ms: u64,
    /// How long an append nobody waits for may wait.
    pub ride_ms: u64,
    /// Free space on the disk below which new calls are refused, MiB.
    pub reserve_mb: u64,
}

/// The embedded CDR store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub flush_s: u64,
    pub flush_rows: usize,
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
            log: LogConfig { partitions: 16, window_ms: 15, ride_ms: 200, reserve_mb: 256 },
            store: StoreConfig { flush_s: 60, flush_rows: 200_000 },
            sip: SipConfig { listen: any_port, shards: 1, timers: Settings::default() },
            rating: RatingConfig { poll_ms: 200 },
            fraud: FraudConfig { poll_ms: 20, tick_ms: 1000 },
            api: ApiConfig { listen: any_port, keys: Vec::new() },
        }
    }

    /// The embedded log lives in one process, so it runs every stage or none (design §2). `stages` empty = all.
    pub fn check_stages(&self, stages: &[Stage]) -> Result<(), ConfigProblem> {
        let missing: Vec<&str> = Stage::ALL.into_iter().filter(|s| !stages.contains(s)).map(Stage::name).collect();
        if stages.is_empty() || missing.is_empty() {
            return Ok(());
        }
        let file = self.file.as_deref().unwrap_or(Path::new("tollgate.toml"));
        let message = format!(
            "the embedded log belongs to one process, so all stages run in it, and --stages leaves out {}; leave --stages away",
            missing.join(", ")
        );
        Err(ConfigProblem::of_file(file, message))
    }
}
