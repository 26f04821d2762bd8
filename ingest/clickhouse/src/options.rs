//! How to reach the server, and what may be spent there.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Of what is sent and received; costs little, saves most of a network.
    Lz4,
    /// On one machine.
    None,
}

/// How long rows of a jurisdiction are kept, by the called number's country code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Country calling code as in `b_country`, or `*` for every other one.
    pub country: String,
    pub days: u32,
}

/// TLS: `https://` uses the system's certificate store, which `SSL_CERT_FILE` and `SSL_CERT_DIR` move; the client crate
/// takes no file of its own.
#[derive(Clone)]
pub struct Options {
    /// `http://host:8123` or `https://host:8443`.
    pub url: String,
    /// Made at the first open.
    pub database: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub compression: Compression,
    /// For one request, whole; the server gives a query up at the same time.
    pub request_timeout: Duration,
    /// For one query on the server; 0 leaves its own setting.
    pub max_threads: u32,
    /// Bytes for one query on the server; 0 leaves its own setting.
    pub max_memory: u64,
    /// Empty: rows are kept for ever. Opening with other values changes the table.
    pub retention: Vec<Retention>,
    /// A second fence behind the tenant scope of every query, in the server; refused by servers that have no access control.
    pub row_policies: bool,
    /// This writer's name, the same after a restart: what it left open in the rollups it takes up again.
    pub writer: String,
    /// An hour is summed up when nothing was written to it for so long.
    pub rollup_quiet: Duration,
    /// How often that is looked at; None: only `flush` and `recompute` do it.
    pub rollup_every: Option<Duration>,
    /// Rows in one insert; a larger batch goes as several.
    pub max_insert_rows: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            url: "http://127.0.0.1:8123".into(),
            database: "tollgate".into(),
            user: None,
            password: None,
            compression: Compression::Lz4,
            request_timeout: Duration::from_secs(30),
            max_threads: 0,
            max_memory: 0,
            retention: Vec::new(),
            row_policies: false,
            writer: "tollgate".into(),
            rollup_quiet: Duration::from_secs(60),
            rollup_every: Some(Duration::from_secs(10)),
            max_insert_rows: 100_000,
        }
    }
}

impl std::fmt::Debug for Options {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("url", &self.url).field("database", &self.database).field("user", &self.user).finish_non_exhaustive()
    }
}
