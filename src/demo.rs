//! `tollgate demo`: a whole node in this process, and around it simulated customers and carriers that speak SIP with it
//! over loopback. After a third of the time a hacked PBX begins to dial numbers that cost a dollar a minute; the node is
//! to find it, block it and end its calls. At the end the callers' and the carriers' own records are held against the
//! CDRs. Nothing here reaches into the node: it is provisioned by documents, and read over its API.
//!
//! In the order things happen: who plays (`scene`, `traffic`, `attack`), how they speak (`ua`), who puts them on stage
//! (`cast`), what is seen meanwhile (`client`, `watch`), what came of it (`account`, `damage`, `report`).

mod account;
mod attack;
mod cast;
mod client;
mod damage;
mod prng;
mod report;
mod scene;
mod traffic;
mod ua;
mod watch;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;
use tollgate_schemas::{control::Kind, time::format_rfc3339};

use crate::{
    config::Config,
    node::{Extra, Node, clock},
};
use account::Findings;
use cast::{Cast, Sockets, Timetable};
use client::Client;
use damage::{Damage, micros};
use report::Report;
use ua::caller::Stage;
use watch::{Teller, Watch};

/// How long calls may take to end by themselves, then to be ended: a call whose carrier is silent hangs up to 64·T1.
const FADE: Duration = Duration::from_secs(8);
const CURTAIN: Duration = Duration::from_secs(30);
/// How long the last CDRs may take to be there.
const SETTLE: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_millis(700);

/// Everything in one process: simulated customers and carriers over real SIP, and one fraud attack that is found and stopped
#[derive(Debug, Clone, clap::Args)]
pub struct DemoOptions {
    /// Where all state lives; a folder of its own, removed at the end, when left out
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Everyday calls per second, of all customers together
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub cps: u32,
    /// How long calls are placed
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub seconds: u32,
    /// One JSON object on standard output at the end; what happens meanwhile goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Keep the node up after the end, until Ctrl-C, to look at the portal
    #[arg(long)]
    pub hold: bool,
    /// Port of the API and portal; any free one when left out
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub api: u16,
    /// Port of SIP; any free one when left out
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub sip: u16,
    /// Equal seeds place equal calls
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Runs the play; true when the attack was stopped and every call is accounted for.
///
/// # Errors
/// The node does not start or stop, the API does not answer, or Ctrl-C ends the play before its end.
pub fn run(options: DemoOptions) -> anyhow::Result<bool> {
    let interrupted = interrupts()?;
    let folder = Folder::open(options.data.clone())?;
    let result = play(&options, &folder, &interrupted);
    drop(folder);
    result
}

fn play(options: &DemoOptions, folder: &Folder, interrupted: &AtomicBool) -> anyhow::Result<bool> {
    let sockets = Sockets::bind()?;
    let documents = scene::documents(&sockets.callers()?, &sockets.carriers()?, options.cps);
    let key = match std::env::var("TOLLGATE_ADMIN_KEY") {
        Ok(key) => key,
        Err(_) => random_key()?,
    };
    let used_before = folder.path.join("log").exists();
    let config = configuration(options, &folder.path, &documents)?;
    let node = Node::start(config, Extra { admin_key: Some(key.clone()), ..Extra::default() })?;
    let (Some(sip_addr), Some(api_addr)) = (node.sip_addr(), node.api_addr()) else { anyhow::bail!("the node runs neither proxy nor API") };
    let client = Client::new(api_addr, &key);
    if used_before {
        take_over(&client, &documents).context("provisioning a data folder that was in use")?;
    }

    let since = format_rfc3339(clock().utc_us);
    let start = Instant::now();
    let times = Timetable { start, seconds: options.seconds, cps: options.cps };
    let teller = Teller::new(start, options.json, options.seconds);
    teller.line(&format!("portal  http://{}/   key: {key}", api_addr));
    teller.line(&format!("SIP     udp:{}   {} calls/s for {} s, then the books", sip_addr, options.cps, options.seconds));

    let (mut watch, notices) = Watch::start(client.clone())?;
    let stage = Arc::new(Stage::default());
    let run = format!("{:x}", clock().utc_us);
    let cast = Cast::start(sockets, sip_addr, &run, options.seed, times, &stage, &notices)?;
    let whole = conduct(times, &stage, &teller, &mut watch, interrupted);
    let (calls, legs) = cast.stop(LINGER)?;
    watch.tell(&teller);
    teller.end();
    if !whole {
        node.stop()?;
        anyhow::bail!("ended by Ctrl-C before the end of the play");
    }

    let (findings, finals) = settle(&client, &since, &calls, &legs)?;
    let (found_us, blocked_us) = verdict(&client, &since)?;
    let damage = Damage::measure(&calls, &finals, found_us, blocked_us);
    let (customers, carriers) = (client.traffic("account", &since)?, client.traffic("carrier", &since)?);
    let report = Report {
        findings: &findings,
        damage: &damage,
        customers: &customers,
        carriers: &carriers,
        seconds: options.seconds,
        cps: options.cps,
        seed: options.seed,
        api: api_addr.to_string(),
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    } else {
        print!("{}", report.text());
    }
    if options.hold {
        teller.line(&format!("\nThe node stays up: http://{}/   key: {key}   (Ctrl-C ends it)", api_addr));
        while !interrupted.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
    }
    let ok = report.ok();
    node.stop()?;
    Ok(ok)
}

/// From the first call to the last; false when Ctrl-C cut it short.
fn conduct(times: Timetable, stage: &Stage, teller: &Teller, watch: &mut Watch, interrupted: &AtomicBool) -> bool {
    let quiet = |stage: &Stage| stage.done.load(Ordering::Relaxed) >= stage.placed.load(Ordering::Relaxed);
    let status_every = Duration::from_secs((u64::from(times.seconds) / 6).max(5));
    let (mut next_status, mut attack_told) = (times.start + status_every, false);
    loop {
        thread::sleep(Duration::from_millis(50));
        let now = Instant::now();
        watch.tell(teller);
        teller.progress(stage);
        if !attack_told && now >= times.attack() {
            attack_told = true;
            teller.timed(now, "the office's PBX is hacked: it begins to dial Somalia and the Maldives");
        }
        // A terminal sees the bar; a log file gets a line now and then.
        if now >= next_status && now < times.end() {
            next_status += status_every;
            if !teller.is_live() {
                teller.timed(now, &watch::counts(stage));
            }
        }
        if interrupted.load(Ordering::Relaxed) {
            stage.quiet.store(true, Ordering::Relaxed);
            stage.curtain.store(true, Ordering::Relaxed);
            return false;
        }
        if now < times.end() {
            continue;
        }
        if !stage.quiet.swap(true, Ordering::Relaxed) {
            teller.timed(now, &format!("no more calls are placed ({})", watch::counts(stage)));
            continue;
        }
        if now >= times.end() + FADE {
            stage.curtain.store(true, Ordering::Relaxed);
        }
        if quiet(stage) || now >= times.end() + FADE + CURTAIN {
            return true;
        }
    }
}

/// Reads CDRs until they account for every call, or until they had time enough.
fn settle(client: &Client, since: &str, calls: &[ua::caller::CallRecord], legs: &[ua::carrier::LegRecord]) -> anyhow::Result<(Findings, Vec<account::Row>)> {
    let until = Instant::now() + SETTLE;
    loop {
        let finals = client.cdrs("final", since)?;
        let attempts = client.cdrs("attempt", since)?;
        let findings = account::compare(calls, legs, &finals, &attempts);
        if findings.accounted_for() || Instant::now() >= until {
            return Ok((findings, finals));
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// When the node found the attack, and when it placed the block: UTC microseconds.
fn verdict(client: &Client, since: &str) -> anyhow::Result<(Option<i64>, Option<i64>)> {
    let alerts = client.get(&format!("/v1/alerts?account={}&severity=critical&since={since}&limit=1000", scene::OFFICE))?;
    // Newest first.
    let first = alerts["items"].as_array().and_then(|a| a.last().cloned()).unwrap_or_default();
    let found_us = first["raised_ts"].as_str().and_then(micros);
    let blocked_us = match first["block_id"].as_str() {
        Some(block) => client.get(&format!("/v1/blocks/{block}"))?["placed_ts"].as_str().and_then(micros),
        None => None,
    };
    Ok((found_us, blocked_us))
}

fn configuration(options: &DemoOptions, folder: &Path, documents: &[Value]) -> anyhow::Result<Config> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let file = folder.join("demo.yaml");
    // JSON is YAML, and several documents of it are parted alike.
    let text: Vec<String> = documents.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    fs::write(&file, text.join("\n---\n")).with_context(|| format!("cannot write {}", file.display()))?;
    let mut config = Config::default_in(folder);
    config.provision = vec![file];
    config.drain_s = 2;
    config.sip.listen = local(options.sip);
    config.api.listen = local(options.api);
    Ok(config)
}

/// A folder that was in use has other ports in its provisioning, and perhaps the last attack's blocks.
fn take_over(client: &Client, documents: &[Value]) -> anyhow::Result<()> {
    for kind in Kind::ALL {
        for document in documents.iter().filter(|d| d["kind"].as_str() == Some(kind.name())) {
            let folder = match kind {
                Kind::FraudPolicy => "fraud_policies".to_owned(),
                Kind::Tax => "taxes".to_owned(),
                _ => format!("{}s", kind.name()),
            };
            client.put(&format!("/v1/{folder}/{}?reason=demo", document["name"].as_str().unwrap_or_default()), &document["spec"])?;
        }
    }
    let blocks = client.get(&format!("/v1/blocks?account={}&limit=1000", scene::OFFICE))?;
    for block in blocks["items"].as_array().into_iter().flatten() {
        client.delete(&format!("/v1/blocks/{}?reason=the+demo+begins+again", block["block_id"].as_str().unwrap_or_default()))?;
    }
    Ok(())
}

/// The data folder; one of our own making goes when the play is over.
struct Folder {
    path: PathBuf,
    own: bool,
}

impl Folder {
    fn open(given: Option<PathBuf>) -> anyhow::Result<Folder> {
        let own = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("tollgate-demo-{}-{:x}", std::process::id(), clock().utc_us)));
        fs::create_dir_all(&path).with_context(|| format!("data folder {}", path.display()))?;
        Ok(Folder { path, own })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, folder = %self.path.display(), "the demo's data folder stays");
        }
    }
}

fn random_key() -> anyhow::Result<String> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("the machine has no randomness for a key: {e}"))?;
    Ok(random.iter().map(|b| format!("{b:02x}")).collect())
}

/// Set by Ctrl-C and SIGTERM from now on, instead of ending the process: the folder is to be removed.
fn interrupts() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("demo-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else { return };
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                // The second time it is meant.
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    })?;
    Ok(flag)
}
