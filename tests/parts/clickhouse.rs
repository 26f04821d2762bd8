//! The ClickHouse engine for a test: `tests/parts/clickhouse.py` as a child process, or the server of `CLICKHOUSE_URL`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The ClickHouse engine behind HTTP, or the server of `CLICKHOUSE_URL`.
pub struct Clickhouse {
    url: String,
    port: u16,
    dir: Option<tempfile::TempDir>,
    child: Option<Child>,
}

impl Clickhouse {
    pub fn start() -> Clickhouse {
        if let Ok(url) = std::env::var("CLICKHOUSE_URL") {
            return Clickhouse { url, port: 0, dir: None, child: None };
        }
        let dir = tempfile::tempdir().expect("a folder for ClickHouse");
        let mut clickhouse = Clickhouse { url: String::new(), port: 0, dir: Some(dir), child: None };
        clickhouse.up();
        clickhouse
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn up(&mut self) {
        let Some(dir) = &self.dir else { return };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts/clickhouse.py");
        let mut command = Command::new("python3");
        command.arg(script).arg("--dir").arg(dir.path()).args(["--port", &self.port.to_string()]);
        if std::env::var_os("PYTHONPATH").is_none() {
            let parts = std::env::var_os("TOLLGATE_PARTS").map(PathBuf::from).unwrap_or_else(|| {
                std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default().join("tollgate-parts")
            });
            command.env("PYTHONPATH", parts.join("python"));
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("python3 starts: apt-get install -y python3");
        let line = BufReader::new(child.stdout.take().expect("piped")).lines().next();
        let Some(Ok(line)) = line else { panic!("ClickHouse did not start; if it says that chdb is missing: tests/run --parts installs it") };
        self.url = line.trim_start_matches("listening on ").trim().to_owned();
        self.port = self.url.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
        self.child = Some(child);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }
}

impl Drop for Clickhouse {
    fn drop(&mut self) {
        self.kill();
    }
}
