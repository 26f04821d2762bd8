//! SIPp as caller and as carrier, with scenarios of our own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A scenario's text with its placeholders filled in.
macro_rules! scenario {
    ($name:literal $(, $key:literal => $value:expr)*) => {{
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/sipp/", $name, ".xml")).to_owned();
        $(let text = text.replace(concat!("@", $key, "@"), &$value.to_string());)*
        text
    }};
}
pub(crate) use scenario;

/// One SIPp process.
pub struct Sipp {
    name: String,
    dir: tempfile::TempDir,
    child: Option<Child>,
    began: Instant,
    limit: Duration,
}

impl Sipp {
    /// A carrier at `at` that takes `calls` calls and then ends.
    pub fn carrier(name: &str, xml: String, at: SocketAddr, calls: usize) -> Sipp {
        let sipp = Sipp::spawn(name, xml, at, None, calls, &[]);
        // It must be there before the first call is: its socket tells.
        super::wait_for(&format!("{name} listens"), Duration::from_secs(5), || {
            std::net::UdpSocket::bind(at).is_err().then_some(())
        });
        sipp
    }

    /// A caller that dials `number` through the node `calls` times.
    pub fn caller(xml: String, from: Ipv4Addr, node: SocketAddr, number: &str, calls: usize, more: &[&str]) -> Sipp {
        let mut args = vec!["-s", number];
        args.extend(more);
        Sipp::spawn("caller", xml, SocketAddr::new(from.into(), 5060), Some(node), calls, &args)
    }

    /// As `caller`, for a load that lasts up to `limit`: the cluster's.
    #[allow(dead_code)]
    pub fn long_caller(xml: String, from: Ipv4Addr, node: SocketAddr, number: &str, calls: usize, rate: usize, limit: Duration) -> Sipp {
        let rate = rate.to_string();
        Sipp::spawn_for("caller", xml, SocketAddr::new(from.into(), 5060), Some(node), calls, &["-s", number, "-r", &rate, "-l", "20000"], limit)
    }

    fn spawn(name: &str, xml: String, at: SocketAddr, node: Option<SocketAddr>, calls: usize, more: &[&str]) -> Sipp {
        Sipp::spawn_for(name, xml, at, node, calls, more, Duration::from_secs(30))
    }

    fn spawn_for(name: &str, xml: String, at: SocketAddr, node: Option<SocketAddr>, calls: usize, more: &[&str], lasts: Duration) -> Sipp {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join(format!("{name}.xml"));
        std::fs::write(&file, xml).expect("scenario");
        let (timeout, limit) = (format!("{}s", lasts.as_secs()), lasts + Duration::from_secs(10));
        let mut command = Command::new("sipp");
        command.args(["-sf"]).arg(&file).args(["-i", &at.ip().to_string(), "-p", &at.port().to_string()]);
        command.args(["-m", &calls.to_string(), "-timeout", &timeout, "-timeout_error", "-nostdin", "-trace_err", "-error_file"]);
        command.arg(dir.path().join("errors.log")).args(more);
        command.args(node.map(|n| n.to_string()));
        command.current_dir(dir.path()).env("TERM", "dumb").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(e) => panic!("sipp cannot be started ({e}): install it with `apt-get install sip-tester`"),
        };
        Sipp { name: name.to_owned(), dir, child: Some(child), began: Instant::now(), limit }
    }

    /// Where its error log is.
    fn errors(&self) -> PathBuf {
        self.dir.path().join("errors.log")
    }

    /// The scenario went through as written, for every call.
    #[track_caller]
    pub fn passes(&mut self) {
        let status = self.exit();
        let errors = std::fs::read_to_string(self.errors()).unwrap_or_default();
        let few: String = errors.chars().take(3000).collect();
        assert!(status == Some(0), "sipp {} exits with {status:?}: {few}", self.name);
    }

    /// How it stands: running or ended, and the end of its error log.
    #[allow(dead_code)]
    pub fn stands(&mut self) -> String {
        let status = self.child.as_mut().map(|c| c.try_wait());
        let errors = std::fs::read_to_string(self.errors()).unwrap_or_default();
        let lines: Vec<&str> = errors.lines().collect();
        format!("sipp {}: {status:?}, {} lines of errors, the last:\n{}", self.name, lines.len(), lines[lines.len().saturating_sub(12)..].join("\n"))
    }

    /// Waits for its end; 1 means that some calls went otherwise than the scenario.
    pub fn exit(&mut self) -> Option<i32> {
        let child = self.child.as_mut().expect("not waited for yet");
        while self.began.elapsed() < self.limit {
            if let Some(status) = child.try_wait().expect("waits") {
                self.child = None;
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("sipp {} does not end", self.name);
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
