//! The ClickHouse engine for a test: `tests/parts/clickhouse.py` on a folder of its own, or the server of `CLICKHOUSE_URL`.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tollgate_clickhouse::{Compression, Options};

pub struct Server {
    pub url: String,
    child: Option<Child>,
    _dir: Option<tempfile::TempDir>,
}

const MISSING: &str = "the ClickHouse engine is missing. Install it with\n    pip install chdb-core\nor name a server in CLICKHOUSE_URL.";

impl Server {
    /// `CLICKHOUSE_URL`, or one of its own.
    pub fn start() -> Server {
        match std::env::var("CLICKHOUSE_URL") {
            Ok(url) => Server { url, child: None, _dir: None },
            Err(_) => {
                let dir = tempfile::tempdir().expect("dir");
                let (child, url) = spawn(dir.path(), 0);
                Server { url, child: Some(child), _dir: Some(dir) }
            }
        }
    }

    pub fn options(&self) -> Options {
        Options {
            url: self.url.clone(),
            database: fresh_name(),
            user: std::env::var("CLICKHOUSE_USER").ok(),
            password: std::env::var("CLICKHOUSE_PASSWORD").ok(),
            // The engine behind the script takes no compressed bodies.
            compression: if self.child.is_some() || uncompressed() { Compression::None } else { Compression::Lz4 },
            request_timeout: Duration::from_secs(60),
            // Only `flush` sums hours up, so that a test knows when.
            rollup_every: None,
            ..Options::default()
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// For the script started by hand.
fn uncompressed() -> bool {
    std::env::var("CLICKHOUSE_COMPRESSION").is_ok_and(|c| c == "none")
}

/// A database nobody has: tests share a server.
pub fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros());
    format!("tollgate_test_{since}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The script on `dir`; it ends with this process at the latest.
pub fn spawn(dir: &Path, port: u16) -> (Child, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parts/clickhouse.py");
    let mut child = Command::new("python3")
        .args([script, "--follow", "--dir"])
        .arg(dir)
        .args(["--port", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|e| panic!("python3 cannot be started ({e}). Install it with\n    apt-get install python3 python3-pip\n{MISSING}"));
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("the script's first line");
    match line.trim().strip_prefix("listening on ") {
        Some(url) => (child, url.to_owned()),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{MISSING}");
        }
    }
}
