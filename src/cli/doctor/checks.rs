//! What is looked at, each check by itself. Nothing is left behind.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::{TcpListener, UdpSocket},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Finding, State};
use crate::{
    config::{ClickhouseConfig, Config, KafkaConfig},
    node::LrnExamined,
};

/// What one SIP socket asks the kernel to hold.
const UDP_BUFFER: u64 = 8 << 20;
/// Log segments, Parquet files, sockets and connections at once.
const FILES: u64 = 4096;
/// An fdatasync slower than this makes every call wait.
const SLOW_SYNC_US: u128 = 20_000;
const SYNCS: usize = 50;

pub fn all(config: &Config) -> Vec<Finding> {
    let (folder, writable) = folder(&config.data_dir);
    let mut findings = vec![writable];
    if let Some(folder) = folder {
        findings.push(space(&folder, config.log.reserve_mb));
        findings.push(sync(&folder));
    }
    findings.extend([sip_port(config), api_port(config), udp_buffer(), files(), clock(), admin_key(config)]);
    findings.extend(portability(config));
    if let Some(kafka) = &config.log.kafka {
        findings.extend(kafka_topics(kafka, config.log.partitions));
    }
    findings.extend(config.store.clickhouse.as_ref().map(clickhouse));
    findings
}

/// Whether numbers can be looked up: the source itself, asked once, and whether a node that runs here leaves it alone.
fn portability(config: &Config) -> Option<Finding> {
    const CHECK: &str = "portability";
    const FALLBACK: &str = "calls wait for it and go by the dialled number";
    let found = match crate::node::examine_lrn(&config.lrn)? {
        LrnExamined::File(numbers) => return Some(finding(CHECK, State::Ok, format!("{numbers} numbers in the file"))),
        LrnExamined::Answers { source, ms } => (State::Ok, format!("{source} answers in {ms} ms, {} are given to it", config.lrn.timeout_ms)),
        LrnExamined::Useless(why) => (State::Warn, format!("{why}: it is there, but {FALLBACK}")),
        LrnExamined::Silent(why) if config.lrn.file.is_some() => return Some(finding(CHECK, State::Bad, why)),
        LrnExamined::Silent(why) => (State::Warn, format!("{why}: {FALLBACK}")),
    };
    Some(match circuit(config) {
        Some("1") => finding(CHECK, State::Warn, format!("{}; the node leaves it alone after failures and tries again every {} s (circuit open)", found.1, config.lrn.circuit_s)),
        Some("2") => finding(CHECK, State::Warn, format!("{}; the node is trying whether it is back (circuit open)", found.1)),
        Some(_) => finding(CHECK, found.0, format!("{}; the node asks it (circuit closed)", found.1)),
        None => finding(CHECK, found.0, found.1),
    })
}

/// `tollgate_lrn_circuit` of the node that has the configuration's API port; none: there is no such node.
fn circuit(config: &Config) -> Option<&'static str> {
    let mut at = config.api.listen;
    if at.ip().is_unspecified() {
        at.set_ip(if at.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build().into();
    let text = agent.get(format!("http://{at}/metrics")).call().ok()?.body_mut().read_to_string().ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("tollgate_lrn_circuit "))?;
    ["0", "1", "2"].into_iter().find(|known| *known == value.trim())
}

/// Whether the brokers are there, and each topic as the log needs it.
fn kafka_topics(kafka: &KafkaConfig, partitions: u16) -> Vec<Finding> {
    const CHECK: &str = "Kafka";
    let mut options = crate::node::kafka_options(kafka, partitions, "tollgate-doctor");
    options.request = Duration::from_secs(5);
    match tollgate_kafka::examine(&options) {
        Err(e) => vec![finding(CHECK, State::Bad, format!("{}: {e}", kafka.brokers))],
        Ok(problems) if problems.is_empty() => vec![finding(CHECK, State::Ok, format!("{}: every topic is as it should be", kafka.brokers))],
        Ok(problems) => {
            let missing = problems.iter().filter(|p| p.problem == "there is no such topic").count();
            let mut findings: Vec<Finding> = problems
                .iter()
                .filter(|p| p.problem != "there is no such topic")
                .map(|p| finding(CHECK, if p.fatal { State::Bad } else { State::Warn }, format!("topic {}: {}: {}", p.topic, p.problem, p.mend)))
                .collect();
            if missing > 0 {
                findings.push(finding(CHECK, State::Ok, format!("{}: {missing} topics are made at the next start", kafka.brokers)));
            }
            findings
        }
    }
}

/// Whether the server is there and lets this user in.
fn clickhouse(clickhouse: &ClickhouseConfig) -> Finding {
    const CHECK: &str = "ClickHouse";
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5))).build().into();
    let mut request = agent.post(format!("{}/?default_format=TSV", clickhouse.url.trim_end_matches('/'))).header("X-ClickHouse-User", &clickhouse.user);
    if !clickhouse.password.0.is_empty() {
        request = request.header("X-ClickHouse-Key", &clickhouse.password.0);
    }
    match request.send("SELECT version()") {
        Ok(mut answer) => {
            let status = answer.status().as_u16();
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            let text = text.lines().next().unwrap_or_default();
            match status {
                200 => finding(CHECK, State::Ok, format!("{}: version {text}", clickhouse.url)),
                _ => finding(CHECK, State::Bad, format!("{} says {status}: {text}: check store.user and store.password_file", clickhouse.url)),
            }
        }
        Err(e) => finding(CHECK, State::Bad, format!("{} cannot be reached ({e}): is the server up? CDRs would wait in the log", clickhouse.url)),
    }
}

fn finding(check: &'static str, state: State, found: impl Into<String>) -> Finding {
    Finding { check, state, found: found.into() }
}

/// The data folder, or where it would be made; none when nothing can be written there.
fn folder(data: &Path) -> (Option<PathBuf>, Finding) {
    const CHECK: &str = "data folder";
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let Some(there) = absolute.ancestors().find(|p| p.exists()).map(Path::to_owned) else {
        return (None, finding(CHECK, State::Bad, format!("{} cannot be made: name another with --data", data.display())));
    };
    match probe(&there) {
        Ok((path, _)) => {
            // Made a moment ago by this check.
            let _ = fs::remove_file(path);
            let found = if there == absolute { "can be written".to_owned() } else { format!("will be made in {}", there.display()) };
            (Some(there), finding(CHECK, State::Ok, format!("{} {found}", data.display())))
        }
        Err(e) => {
            let found = format!("{} cannot be written ({e}): give its folder to this user, or name another with --data", there.display());
            (None, finding(CHECK, State::Bad, found))
        }
    }
}

fn probe(folder: &Path) -> io::Result<(PathBuf, File)> {
    let path = folder.join(format!(".tollgate-doctor-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    Ok((path, file))
}

fn space(folder: &Path, reserve_mb: u64) -> Finding {
    const CHECK: &str = "free space";
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else {
        return finding(CHECK, State::Warn, "the folder's name cannot be asked about");
    };
    // SAFETY: plain old data that statvfs fills; the path ends in NUL.
    let (failed, stat) = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut stat), stat)
    };
    if failed != 0 {
        return finding(CHECK, State::Warn, format!("cannot be told: {}", io::Error::last_os_error()));
    }
    let free_mb = (stat.f_bavail as u128 * stat.f_frsize as u128 / (1 << 20)) as u64;
    let found = format!("{free_mb} MiB free, {reserve_mb} MiB are held back for live and emergency calls");
    match free_mb {
        free if free <= reserve_mb => finding(CHECK, State::Bad, format!("{found}: no new calls would be taken, make room")),
        free if free < reserve_mb + 2048 => finding(CHECK, State::Warn, format!("{found}: make room soon")),
        _ => finding(CHECK, State::Ok, found),
    }
}

/// What durability costs here: writes of 4 KiB, each made durable.
fn sync(folder: &Path) -> Finding {
    const CHECK: &str = "fdatasync";
    let timed = probe(folder).and_then(|(path, mut file)| {
        let mut times = Vec::with_capacity(SYNCS);
        let run = (0..SYNCS).try_for_each(|_| {
            file.write_all(&[0; 4096])?;
            let started = Instant::now();
            file.sync_data()?;
            times.push(started.elapsed().as_micros());
            Ok(())
        });
        // Made a moment ago by this check.
        let _ = fs::remove_file(path);
        times.sort_unstable();
        run.map(|()| times)
    });
    match timed {
        Ok(times) => {
            let (middle, worst) = (times[times.len() / 2], times[times.len() - 1]);
            let found = format!("{middle} us in the middle, {worst} us at worst, of {SYNCS}");
            let slow = middle > SLOW_SYNC_US;
            let mend = if slow { ": every call waits for it, use a faster disk" } else { "" };
            finding(CHECK, if slow { State::Warn } else { State::Ok }, format!("{found}{mend}"))
        }
        Err(e) => finding(CHECK, State::Bad, format!("fails: {e}")),
    }
}

fn sip_port(config: &Config) -> Finding {
    let at = config.sip.listen;
    port("SIP port", format!("UDP {at}"), "sip.listen", UdpSocket::bind(at).map(drop))
}

fn api_port(config: &Config) -> Finding {
    let at = config.api.listen;
    port("API port", format!("TCP {at}"), "api.listen", TcpListener::bind(at).map(drop))
}

fn port(check: &'static str, at: String, setting: &str, bound: io::Result<()>) -> Finding {
    match bound {
        Ok(()) => finding(check, State::Ok, format!("{at} is free")),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            finding(check, State::Bad, format!("{at} is in use: is a node running already? else change {setting}"))
        }
        Err(e) => finding(check, State::Bad, format!("{at} cannot be listened on ({e}): change {setting}")),
    }
}

fn udp_buffer() -> Finding {
    const CHECK: &str = "UDP buffer";
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    match text.trim().parse::<u64>() {
        Ok(bytes) if bytes >= UDP_BUFFER => finding(CHECK, State::Ok, format!("up to {bytes} bytes a socket")),
        Ok(bytes) => {
            let found = format!("up to {bytes} bytes a socket, bursts may be lost: sysctl -w net.core.rmem_max={UDP_BUFFER}");
            finding(CHECK, State::Warn, found)
        }
        Err(_) => finding(CHECK, State::Warn, "cannot be told"),
    }
}

fn files() -> Finding {
    const CHECK: &str = "open files";
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one rlimit of ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return finding(CHECK, State::Warn, "cannot be told");
    }
    let now = limit.rlim_cur;
    if now >= FILES {
        finding(CHECK, State::Ok, format!("{now} at once"))
    } else {
        finding(CHECK, State::Warn, format!("{now} at once, {FILES} are wanted under load: ulimit -n {FILES}"))
    }
}

/// Money hangs on the wall clock: whether the kernel says that something keeps it right.
fn clock() -> Finding {
    const CHECK: &str = "clock";
    // SAFETY: plain old data; modes 0 only reads.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    let now = tollgate_schemas::time::format_rfc3339(crate::cli::now_us());
    match state {
        -1 => finding(CHECK, State::Warn, format!("{now}; whether it is kept right cannot be told: {}", io::Error::last_os_error())),
        libc::TIME_ERROR => finding(CHECK, State::Warn, format!("{now}, and nothing keeps it right: run chrony or another NTP client")),
        _ => finding(CHECK, State::Ok, format!("{now}, kept right to {} us", timex.maxerror)),
    }
}

fn admin_key(config: &Config) -> Finding {
    const CHECK: &str = "admin key";
    match std::env::var("TOLLGATE_ADMIN_KEY") {
        Ok(key) => match crate::config::admin_key_problem(&key) {
            Some(problem) => finding(CHECK, State::Bad, problem),
            None => finding(CHECK, State::Ok, "TOLLGATE_ADMIN_KEY is set"),
        },
        Err(_) if config.data_dir.join("admin-key.sha256").exists() => finding(CHECK, State::Ok, "the data folder has one"),
        Err(_) => finding(CHECK, State::Ok, "the first start makes one and prints it once"),
    }
}
