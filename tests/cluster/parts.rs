//! The servers and processes of a cluster, each started, killed by its id, and reaped.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

#[path = "../parts/broker.rs"]
mod broker;

#[path = "../parts/clickhouse.rs"]
mod clickhouse;

pub use broker::Broker;
pub use clickhouse::Clickhouse;

use crate::harness::{Api, KEY, Net, Setup, ms, tollgate, wait_for};

/// Far more than a start takes on a loaded machine of two cores.
const START: Duration = Duration::from_secs(60);

/// One process of the cluster.
pub struct Process {
    pub name: String,
    stages: &'static str,
    dir: PathBuf,
    child: Option<Child>,
    said: Arc<Mutex<Vec<String>>>,
    pub api: Api,
    pub sip: Option<SocketAddr>,
}

impl Process {
    /// Starts it again on its folder and ports.
    pub fn up(&mut self) {
        let mut command = tollgate();
        command.args(["run", "-c"]).arg(self.dir.join("tollgate.toml")).args(["--stages", self.stages]);
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
        let until = Instant::now() + START;
        loop {
            let line = match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(e) => panic!("{} did not start ({e}):\n{}", self.name, self.last_words()),
            };
            if let Some(addr) = line.strip_prefix("SIP").and_then(|r| r.trim().strip_prefix("udp:")) {
                self.sip = Some(addr.trim().parse().expect("address"));
            } else if let Some(addr) = line.strip_prefix("API").and_then(|r| r.trim().strip_prefix("http://")) {
                self.api = Api::new(addr.trim().trim_end_matches('/').parse().expect("address"));
                break;
            }
        }
        wait_for(&format!("{} is ready", self.name), START, || (self.api.status("/readyz") == 200).then_some(()));
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// A clean stop; exit code 0 or the case fails.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // SAFETY: a child of ours, not reaped yet.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        let until = Instant::now() + START;
        loop {
            if let Some(status) = child.try_wait().expect("waits") {
                assert!(status.success(), "{} stops with {status}:\n{}", self.name, self.last_words());
                return;
            }
            if Instant::now() > until {
                abort(&mut child);
                panic!("{} does not stop:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(ms(20));
        }
    }

    pub fn last_words(&self) -> String {
        let said = self.said.lock().expect("lines");
        said[said.len().saturating_sub(40)..].join("\n")
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("tollgate.toml")
    }
}

/// Ends it so that it leaves a core where the system keeps one (`ulimit -c unlimited`): what its threads waited for.
fn abort(child: &mut Child) {
    // SAFETY: a child of ours, not reaped yet.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGABRT) };
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut fell = String::new();
        if let Some(mut child) = self.child.take() {
            // Ended by itself: by a signal or an exit code, which tells more than its words.
            if let Ok(Some(status)) = child.try_wait() {
                fell = format!(" and ended with {status}");
            }
            if std::thread::panicking() { abort(&mut child) } else { drop(child.kill()) }
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {} said last{fell} ---\n{}", self.name, self.last_words());
        }
    }
}

/// Servers, and processes by name.
pub struct Cluster {
    pub setup: Setup,
    pub processes: Vec<Process>,
    pub broker: Broker,
    pub clickhouse: Clickhouse,
    prefix: String,
    dir: tempfile::TempDir,
}

impl Cluster {
    pub fn new(setup: Setup) -> Cluster {
        Cluster::with(setup, Broker::start(), Clickhouse::start())
    }

    pub fn with(setup: Setup, broker: Broker, clickhouse: Clickhouse) -> Cluster {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let dir = tempfile::tempdir().expect("folder");
        Cluster { setup, processes: Vec::new(), broker, clickhouse, prefix: format!("t{}_{nanos}.", std::process::id()), dir }
    }

    /// Where proxy `n` (from 0) listens, and its callers are.
    pub fn proxy_host(net: Net, n: u8) -> Ipv4Addr {
        net.numbered(20 + n)
    }

    pub fn caller_host(net: Net, n: u8) -> Ipv4Addr {
        net.numbered(40 + n)
    }

    pub fn database(&self) -> String {
        self.prefix.trim_end_matches('.').to_owned()
    }

    fn written(&self, dir: &Path) -> Setup {
        std::fs::create_dir_all(dir).expect("folder");
        let mut setup = self.setup.clone();
        setup.log = format!(
            "kind = \"kafka\"\nbrokers = \"{}\"\ntopic_prefix = \"{}\"\npartitions = 8\nsession_ms = 3000\ntransaction_ms = 5000\n",
            self.broker.bootstrap(), self.prefix
        );
        setup.more += &format!(
            "\n[store]\nkind = \"clickhouse\"\nurl = \"{}\"\ndatabase = \"{}\"\ncompression = \"none\"\npoll_ms = 200\n",
            self.clickhouse.url(), self.database()
        );
        setup
    }

    /// A configuration of the cluster, for commands.
    pub fn configure(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        let any = SocketAddr::new(Cluster::proxy_host(self.setup.net, 69).into(), 0);
        self.written(&dir).write(&dir, any, any);
        dir.join("tollgate.toml")
    }

    /// Starts one more process.
    pub fn start(&mut self, name: &str, stages: &'static str) -> usize {
        let n = self.processes.len() as u8;
        let dir = self.dir.path().join(name);
        let setup = self.written(&dir);
        let any = SocketAddr::new(Cluster::proxy_host(self.setup.net, n).into(), 0);
        setup.write(&dir, any, any);
        let mut process = Process { name: name.to_owned(), stages, dir: dir.clone(), child: None, said: Arc::default(), api: Api::new(any), sip: None };
        process.up();
        // From now on it keeps its ports.
        setup.write(&dir, process.sip.unwrap_or(any), process.api.addr);
        self.processes.push(process);
        usize::from(n)
    }

    /// None of the processes has ended by itself.
    #[track_caller]
    pub fn all_run(&mut self, after: &str) {
        for p in &mut self.processes {
            if let Some(Ok(Some(status))) = p.child.as_mut().map(Child::try_wait) {
                panic!("{after}, and {} ended with {status}", p.name);
            }
        }
    }

    pub fn named(&mut self, name: &str) -> &mut Process {
        self.processes.iter_mut().find(|p| p.name == name).unwrap_or_else(|| panic!("no process {name}"))
    }

    pub fn api(&self) -> &Api {
        let api = self.processes.iter().find(|p| p.name.starts_with("api"));
        &api.expect("a process with the API").api
    }

    /// A command of the program on the shared log.
    pub fn on_log(&self, args: &[&str]) -> std::process::Output {
        tollgate().args(args).arg("-c").arg(self.processes[0].config()).output().expect("the program runs")
    }

    /// Everything that was put into the log was read by every stage that must.
    pub fn settled(&self, limit: Duration) {
        wait_for("every stage has read the log", limit, || {
            let lag = |p: &Process| -> f64 {
                if p.child.is_none() {
                    return 0.0;
                }
                ["rater", "fraud", "projector", "forwarder", "mirror", "partials", "merged"].iter().map(|s| p.api.metric(&format!("tollgate_stage_{s}_lag_events"))).sum::<f64>()
            };
            std::thread::sleep(ms(300));
            self.processes.iter().all(|p| lag(p) == 0.0).then_some(())
        });
    }
}
