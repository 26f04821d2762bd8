//! The program as a process: started, killed, stopped and always reaped.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use super::{Api, KEY, Setup, wait_for};

/// A start folds what the log has; far more than any case here needs.
const START: Duration = Duration::from_secs(30);
/// Longer than any case's drain.
const STOP: Duration = Duration::from_secs(40);

/// The binary under test.
fn binary() -> PathBuf {
    std::env::var_os("TOLLGATE_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tollgate")), PathBuf::from)
}

/// A command of the program, without a key from outside.
pub fn tollgate() -> Command {
    let mut command = Command::new(binary());
    command.env_remove("TOLLGATE_LOG").env_remove("TOLLGATE_ADMIN_KEY").stdin(Stdio::null());
    command
}

pub struct Node {
    pub setup: Setup,
    pub sip: SocketAddr,
    pub api: Api,
    dir: tempfile::TempDir,
    data: PathBuf,
    child: Option<Child>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Node {
    pub fn start(setup: Setup) -> Node {
        let dir = tempfile::tempdir().expect("folder");
        let data = dir.path().join("data");
        Node::start_in(setup, dir, data)
    }

    /// With the data somewhere else than beside the configuration.
    pub fn start_in(setup: Setup, dir: tempfile::TempDir, data: PathBuf) -> Node {
        let any = SocketAddr::new(setup.net.node().into(), 0);
        setup.write(dir.path(), any, any);
        let mut node = Node { setup, sip: any, api: Api::new(any), dir, data, child: None, said: Arc::default() };
        node.spawn();
        // From now on it keeps its ports: peers know them.
        node.setup.write(node.dir.path(), node.sip, node.api.addr);
        node
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("tollgate.toml")
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    fn spawn(&mut self) {
        let mut command = tollgate();
        command.args(["run", "-c"]).arg(self.config()).arg("--data").arg(&self.data);
        command.env("TOLLGATE_ADMIN_KEY", KEY).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("piped");
        self.child = Some(child);
        let (tell, told) = mpsc::channel();
        let said = self.said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = tell.send(line.clone());
                said.lock().expect("lines").push(line);
            }
        });
        let (mut sip, mut api) = (None, None);
        let until = Instant::now() + START;
        while sip.is_none() || api.is_none() {
            let line = match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(e) => panic!("the node did not start ({e}):\n{}", self.last_words()),
            };
            if let Some(addr) = line.strip_prefix("SIP").and_then(|r| r.trim().strip_prefix("udp:")) {
                sip = addr.trim().parse().ok();
            } else if let Some(addr) = line.strip_prefix("API").and_then(|r| r.trim().strip_prefix("http://")) {
                api = addr.trim().trim_end_matches('/').parse().ok();
            }
        }
        self.sip = sip.expect("SIP address");
        self.api = Api::new(api.expect("API address"));
        wait_for("/readyz says 200", START, || (self.api.status("/readyz") == 200).then_some(()));
    }

    fn last_words(&self) -> String {
        let said = self.said.lock().expect("lines");
        said[said.len().saturating_sub(60)..].join("\n")
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = self.child.as_ref().expect("running").id();
        // SAFETY: sends a signal to a child of ours that was not reaped yet, so its id is its own.
        assert_eq!(unsafe { libc::kill(pid as libc::pid_t, signal) }, 0, "kill {pid}");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.child.take().expect("running").wait().expect("reaped");
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Waits for the end after [`Node::terminate`].
    pub fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + STOP;
        loop {
            if let Some(status) = self.child.as_mut().expect("running").try_wait().expect("waits") {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < until, "the node does not stop:\n{}", self.last_words());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A clean stop; exit code 0 or the case fails.
    pub fn stop(&mut self) {
        self.terminate();
        let status = self.ended();
        assert!(status.success(), "a clean stop gives {status}:\n{}", self.last_words());
    }

    /// Starts again on the same data and the same ports, and gives how long that took.
    pub fn restart(&mut self) -> Duration {
        assert!(self.child.is_none(), "still running");
        let began = Instant::now();
        self.spawn();
        began.elapsed()
    }

    /// A command of the program on the stopped node's folder.
    pub fn on_data(&self, args: &[&str]) -> Output {
        tollgate().args(args).arg("--data").arg(&self.data).output().expect("the program runs")
    }

    /// A command of the program against the running node.
    pub fn command(&self, args: &[&str]) -> Output {
        let mut command = tollgate();
        command.args(args).env("TOLLGATE_URL", format!("http://{}", self.api.addr)).env("TOLLGATE_ADMIN_KEY", KEY);
        command.output().expect("the program runs")
    }

    /// The stopped log is sound, and both stages give again what is in it.
    pub fn log_is_sound_and_replays(&self) {
        for args in [&["log", "verify"][..], &["log", "replay", "--stage", "rating"], &["log", "replay", "--stage", "fraud"]] {
            let done = self.on_data(args);
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            println!("{}: {}", args.join(" "), text(&done.stdout).trim());
            assert!(done.status.success(), "{}: {}\n{}{}", args.join(" "), done.status, text(&done.stdout), text(&done.stderr));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- what the node said last ---\n{}", self.last_words());
        }
    }
}
