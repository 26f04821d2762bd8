//! Apache Kafka for a test: `tests/parts/kafka` as a child process, or the servers of `KAFKA_BOOTSTRAP`.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub struct Broker {
    bootstrap: String,
    dir: Option<tempfile::TempDir>,
    port: u16,
    more: Vec<String>,
    child: Option<Child>,
}

fn script() -> PathBuf {
    let mut at = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    while !at.join("tests/parts/kafka").is_file() {
        assert!(at.pop(), "tests/parts/kafka is not in this checkout");
    }
    at.join("tests/parts/kafka")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

#[allow(dead_code)]
impl Broker {
    pub fn start() -> Broker {
        Broker::start_with(&[])
    }

    /// `more`: further arguments of the script. The servers of `KAFKA_BOOTSTRAP` are taken as they are.
    pub fn start_with(more: &[String]) -> Broker {
        if let (Ok(bootstrap), true) = (std::env::var("KAFKA_BOOTSTRAP"), more.is_empty()) {
            return Broker { bootstrap, dir: None, port: 0, more: Vec::new(), child: None };
        }
        let port = free_port();
        let dir = tempfile::tempdir().expect("a folder for Kafka");
        let mut broker = Broker { bootstrap: format!("127.0.0.1:{port}"), dir: Some(dir), port, more: more.to_vec(), child: None };
        broker.up();
        broker
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_ref().map(|d| d.path())
    }

    /// Whether this test may end the broker.
    pub fn own(&self) -> bool {
        self.dir.is_some()
    }

    /// Starts the broker again on its folder.
    pub fn up(&mut self) {
        let Some(dir) = &self.dir else { return };
        let child = Command::new(script())
            .arg("--dir")
            .arg(dir.path())
            .args(["--port", &self.port.to_string()])
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("tests/parts/kafka starts; it needs python3: apt-get install -y python3");
        self.child = Some(child);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                panic!("Kafka did not start ({status}): what it said above names the command that installs what is missing");
            }
            assert!(began.elapsed() < Duration::from_secs(60), "Kafka is not up after a minute, see {}", dir.path().display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// Stops (`true`) or goes on with the process, as a broker that is cut off.
    pub fn freeze(&self, frozen: bool) {
        if let Some(child) = &self.child {
            let signal = if frozen { "-STOP" } else { "-CONT" };
            assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill").success());
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.freeze(false);
        self.kill();
    }
}
