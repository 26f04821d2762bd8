//! A running process: opens the data folder, folds what the log has, takes up open calls, and starts the stages it was told
//! to, in the order the design gives them: log, provisioning, blocks and live calls before sockets, the rest after.
//!
//! There is always the node's own log. Alone, it is the only one. Where a log is shared with others, stages work on that one,
//! and the own log holds what this process must know without it: its calls until they are forwarded, and provisioning and blocks.

mod accounts;
mod books;
mod cluster;
mod cnam;
mod coverage;
mod credit;
mod figures;
mod live;
mod lrn;
mod metrics;
mod owner;
mod ports;
mod proxy;
mod quality;
mod secrets;
mod settled;
mod stages;
mod store;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tollgate_api::{ApiState, Keys, Limits, Metrics, Parts, Views};
use tollgate_ingest::{Backlog, EmbeddedLog, Forwarder, Mirror, WorkerHandle, WorkerState, follow, follow::From};
use tollgate_kafka::KafkaLog;
use tollgate_proxy::{
    shard::{self, Command},
    sip::core::Gate,
};
use tollgate_schemas::{
    control::Kind,
    id::Mint,
    log::{EventLog, Topic},
    time::Now,
};

use crate::config::{Config, Stage, documents::{Document, read_documents}};
use figures::Figures;
use live::Live;
use owner::Owner;
use store::Stores;

pub use cluster::options as kafka_options;
pub use lrn::{Examined as LrnExamined, examine as examine_lrn};
pub use quality::verdict_of_json;
pub use secrets::{files as secret_files, put_file as put_secret};

/// Version of the rating program, in every CDR. Raise it when the same events would give another CDR.
pub const RATING_VERSION: u32 = 1;
/// How long folds may take at the start before it is given up.
const START: Duration = Duration::from_secs(600);
/// How long what is left may take at a clean stop, all stages together.
const LAST: Duration = Duration::from_secs(8);

/// What a caller of [`Node::start`] brings beside the configuration.
#[derive(Default)]
pub struct Extra {
    /// Provisioned, like the configuration's own, when the log has none yet.
    pub documents: Vec<Document>,
    /// Instead of the environment's `TOLLGATE_ADMIN_KEY`.
    pub admin_key: Option<String>,
    /// What this process runs; empty = all.
    pub stages: Vec<Stage>,
}

/// What threads of one process share.
pub struct Shared {
    /// The node's own log.
    pub own: Arc<dyn EventLog>,
    /// Where facts are for everybody: the same, or the log that is shared.
    pub log: Arc<dyn EventLog>,
    pub mint: Arc<Mint>,
    pub boot_id: u64,
    pub clock: fn() -> Now,
    pub started: Now,
    pub owner: Owner,
    pub gate: Arc<Mutex<Gate>>,
    pub draining: AtomicBool,
    /// Where numbers are looked up, when somebody is asked.
    lrn: std::sync::OnceLock<lrn::Gauges>,
    cnam: std::sync::OnceLock<lrn::Gauges>,
    shards: Mutex<Vec<Arc<shard::Shared>>>,
}

impl Shared {
    pub fn shards(&self) -> Vec<Arc<shard::Shared>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, mut command: impl FnMut() -> Command) {
        for shard in self.shards() {
            shard.command(command());
        }
    }
}

pub struct Node {
    shared: Arc<Shared>,
    embedded: Arc<EmbeddedLog>,
    kafka: Option<Arc<KafkaLog>>,
    backlog: Arc<Backlog>,
    archived: Option<Arc<tollgate_ingest::archive::ArchiverStats>>,
    stores: Option<Stores>,
    live: Arc<Live>,
    workers: Workers,
    spool: Option<cluster::Spool>,
    leases: Option<stages::Leases>,
    credits: Option<credit::Credits>,
    accounts: Arc<accounts::Accounts>,
    poster: Option<books::Poster>,
    shard_threads: Vec<thread::JoinHandle<()>>,
    api: Option<Api>,
    sip_addr: Option<SocketAddr>,
    admin_key: Option<String>,
    drain: Duration,
    /// Two round trips of SIP's own estimate.
    round_trips: Duration,
}

/// What the API shows beside the store.
struct Shown {
    views: Arc<Views>,
    books: Arc<books::SharedBooks>,
}

/// The threads, with their names.
pub type Workers = Arc<Vec<(&'static str, WorkerHandle)>>;

struct Api {
    addr: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// Reads both clocks. The only place of the program, beside tests, that does for calls.
pub fn clock() -> Now {
    let read = |id| {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec of ours; the clocks always exist.
        unsafe { libc::clock_gettime(id, &raw mut t) };
        (t.tv_sec, t.tv_nsec)
    };
    let (utc_s, utc_ns) = read(libc::CLOCK_REALTIME);
    let (mono_s, mono_ns) = read(libc::CLOCK_MONOTONIC);
    Now { utc_us: utc_s * 1_000_000 + utc_ns / 1000, mono_ns: mono_s as u64 * 1_000_000_000 + mono_ns as u64 }
}

/// Names this boot of the machine: monotonic times of one boot can be compared.
fn boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&hex, 16).unwrap_or(1)
}

impl Node {
    /// Starts everything asked for; when it returns, calls are taken and the API answers.
    pub fn start(config: Config, extra: Extra) -> anyhow::Result<Node> {
        let stages: BTreeSet<Stage> = if extra.stages.is_empty() { Stage::ALL.into() } else { extra.stages.iter().copied().collect() };
        let runs = |stage| stages.contains(&stage);
        let dir = config.data_dir.clone();
        std::fs::create_dir_all(&dir).with_context(|| format!("data folder {}", dir.display()))?;
        let secrets = secrets::open(&dir, extra.admin_key, runs(Stage::Api))?;
        let embedded = Arc::new(EmbeddedLog::open(dir.join("log"), log_options(&config)).context("event log")?);
        let own: Arc<dyn EventLog> = embedded.clone();
        let (mint, boot) = (embedded.mint(), boot_id());
        let kafka = cluster::attach(&config, &embedded)?;
        let log: Arc<dyn EventLog> = match &kafka {
            Some(kafka) => kafka.clone(),
            None => own.clone(),
        };
        let mut workers: Vec<(&'static str, WorkerHandle)> = Vec::new();
        // Who admits calls or takes commands knows provisioning and blocks without the shared log.
        let knows = runs(Stage::Proxy) || runs(Stage::Api);
        if kafka.is_some() && knows {
            let mirror = Mirror::spawn(log.clone(), own.clone())?;
            if own.end(Topic::Control, 0) == 0 {
                caught_up(&mirror, "provisioning")?;
            }
            workers.push(("mirror", mirror));
        }
        let decided = kafka.as_ref().map(|_| log.clone());
        let owner = Owner::open(own.clone(), decided, mint.clone(), boot, clock).context("provisioning")?;
        let shared = Arc::new(Shared {
            own: own.clone(),
            log: log.clone(),
            mint: mint.clone(),
            boot_id: boot,
            clock,
            started: clock(),
            owner,
            gate: Arc::default(),
            draining: AtomicBool::new(false),
            lrn: std::sync::OnceLock::new(),
            cnam: std::sync::OnceLock::new(),
            shards: Mutex::default(),
        });
        if kafka.is_some() && knows {
            let applied = shared.clone();
            workers.push(("control", follow::follow(own.clone(), "control", &[Topic::Control], From::Beginning, 0, move |_, _, record| applied.owner.apply(record))?));
        }
        if shared.owner.is_empty() && knows {
            let own = read_documents(&config.provision).map_err(|problems| {
                anyhow::anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })?;
            provision(&shared.owner, own.into_iter().chain(extra.documents).collect())?;
        }
        // Blocks first, then the calls that were up: nothing is admitted, or resumed, past a block.
        if knows {
            workers.push(("blocks", proxy::follow_blocks(&shared)?));
            workers.push(("quality", quality::follow(&shared)?));
        }
        let backlog = Arc::new(Backlog::default());
        let mut started = None;
        let mut spool = None;
        let mut live = Live::of_all(log.partitions());
        if runs(Stage::Proxy) {
            let (own_live, worker, proxy) = proxy::start(&shared, &embedded, &config, secrets.keyring.clone())?;
            workers.push(("live", worker));
            workers.push(("ticker", stages::ticker(&shared, &config)?));
            started = Some(proxy);
            if kafka.is_some() {
                workers.push(("forwarder", Forwarder::spawn(own.clone(), log.clone(), embedded.node(), backlog.clone())?));
                let spool_mb = config.log.kafka.as_ref().map_or(0, |k| k.spool_mb);
                spool = Some(cluster::Spool::watch(embedded.clone(), backlog.clone(), spool_mb)?);
            } else {
                live = own_live;
            }
        }
        let (shard_threads, sip_addr) = started.map_or((Vec::new(), None), |(threads, addr)| (threads, Some(addr)));
        workers.extend(stages::start(&shared, &config, &stages)?);
        let leases = match runs(Stage::Proxy) && kafka.is_some() {
            true => Some(stages::Leases::start(&shared)?),
            false => None,
        };
        let credits = match runs(Stage::Proxy) {
            true => Some(credit::Credits::start(&shared)?),
            false => None,
        };
        let stores = match runs(Stage::Ingest) || runs(Stage::Api) {
            true => Some(store::open(&config, &mint.node_name())?),
            false => None,
        };
        if let (Some(stores), true) = (&stores, runs(Stage::Ingest)) {
            workers.push(("projector", stages::projector(&shared, &config, stores)?));
        }
        let mut archived = None;
        if runs(Stage::Ingest)
            && let Some((worker, stats)) = stages::archiver(&shared, &config)?
        {
            workers.push(("archiver", worker));
            archived = Some(stats);
        }
        let figures = Arc::new(Figures::default());
        let views = Arc::new(Views::new(tollgate_api::CountFrom::Calls));
        let accounts = Arc::new(accounts::Accounts::default());
        let (mut documents, mut poster) = (None, None);
        if runs(Stage::Api) {
            let (books, worker) = books::SharedBooks::follow(log.clone())?;
            workers.push(("books", worker));
            documents = Some(books);
            workers.push(("balances", accounts.follow(&shared)?));
            poster = documents.clone().map(|books| books::Poster::start(shared.clone(), books, accounts.clone())).transpose()?;
            workers.extend(stages::views(&shared, &views, &figures)?);
            if kafka.is_some() {
                workers.push(("live", stages::live_view(&shared, &live)?));
            }
        }
        if runs(Stage::Api) {
            coverage::watch(&shared)?;
        }
        let mut node = Node {
            shared,
            embedded,
            kafka,
            backlog,
            archived,
            stores: stores.clone(),
            live,
            workers: Arc::new(workers),
            spool,
            leases,
            credits,
            accounts,
            poster,
            shard_threads,
            api: None,
            sip_addr,
            admin_key: secrets.shown.clone(),
            drain: Duration::from_secs(config.drain_s),
            round_trips: Duration::from_millis(2 * config.sip.timers.t1_ms),
        };
        if let Some(credits) = &node.credits
            && (runs(Stage::Rating) || node.kafka.is_some())
        {
            credits.wait(&node.shared);
        }
        let render = metrics::render(&node, &figures);
        let (metrics, render) = render;
        node.api = Some(match (stores, documents) {
            (Some(stores), Some(books)) => node.serve(&config, stores, Shown { views, books }, secrets.keys(config.api.keys.clone())?, metrics, render)?,
            _ => node.serve_health(&config, render)?,
        });
        Ok(node)
    }

    /// Health and metrics only, for a process without the API.
    fn serve_health(&self, config: &Config, render: tollgate_api::RenderMetrics) -> anyhow::Result<Api> {
        let shared = self.shared.clone();
        let ready: tollgate_api::Ready = Arc::new(move || readiness(&shared));
        Api::start(config.api.listen, move |listener, stopped| Box::pin(tollgate_api::serve_health(listener, ready, render, stopped)))
    }

    fn serve(&self, config: &Config, stores: Stores, shown: Shown, keys: Keys, metrics: Metrics, render: tollgate_api::RenderMetrics) -> anyhow::Result<Api> {
        let Shown { views, books } = shown;
        settled::watch(&self.shared, &books, &self.accounts, &self.live);
        tenants(&self.shared.owner, &config.api.keys);
        let shared = self.shared.clone();
        let state = ApiState::new(Parts {
            control: Arc::new(ports::ControlPort(self.shared.clone())),
            calls: Arc::new(ports::CallsPort { shared: self.shared.clone(), live: self.live.clone(), rate: Mutex::default() }),
            blocks: Arc::new(ports::BlocksPort(self.shared.clone())),
            routing: Arc::new(quality::RoutingPort(self.shared.clone())),
            decks: Arc::new(ports::DecksPort(self.shared.clone())),
            ledger: Arc::new(ports::LedgerPort { shared: self.shared.clone(), accounts: self.accounts.clone() }),
            backups: Arc::new(ports::BackupPort::new(self.shared.clone(), self.embedded.node(), config.data_dir.clone())),
            finance: Arc::new(ports::FinancePort::new(self.shared.clone(), stores.cdrs.clone(), books, self.accounts.clone())),
            cdrs: stores.cdrs,
            views,
            keys,
            render_metrics: render,
            ready: Arc::new(move || readiness(&shared)),
            metrics,
            limits: Limits::default(),
            clock: Arc::new(|| clock().utc_us),
        });
        Api::start(config.api.listen, move |listener, stopped| Box::pin(tollgate_api::serve(listener, state, stopped)))
    }

    /// None without the proxy.
    pub fn sip_addr(&self) -> Option<SocketAddr> {
        self.sip_addr
    }

    pub fn api_addr(&self) -> Option<SocketAddr> {
        self.api.as_ref().map(|api| api.addr)
    }

    /// The admin key, where this start knows it: given, or made just now.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_deref()
    }

    pub fn calls_up(&self) -> u64 {
        self.shared.shards().iter().map(|s| s.calls_up()).sum()
    }

    /// A stage that stopped by itself, and why.
    pub fn failure(&self) -> Option<String> {
        self.workers.iter().find_map(|(name, w)| match w.state() {
            WorkerState::Failed(problem) => Some(format!("{name}: {problem}")),
            _ => None,
        })
    }

    /// `/readyz` says that the node is stopping once every shard refuses: whoever has read it sends no call into a gap.
    fn refuse_new_calls(&self) {
        let shards = self.shared.shards().len();
        let (answer, answers) = std::sync::mpsc::sync_channel(shards.max(1));
        self.shared.tell(|| Command::Drain { answer: answer.clone() });
        let until = Instant::now() + Duration::from_secs(1);
        // A shard that waits for the event log refuses when it is back; the stop goes on.
        let _ = (0..shards).try_for_each(|_| answers.recv_timeout(until.saturating_duration_since(Instant::now())));
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// A clean stop (design §3): no new calls but emergency ones, calls drain for a while, stages write their
    /// snapshots. Calls still up are resumed at the next start.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.refuse_new_calls();
        let until = Instant::now() + self.drain;
        let mut drained = false;
        while Instant::now() < until && self.calls_up() > 0 {
            thread::sleep(Duration::from_millis(50));
            drained = self.calls_up() == 0;
        }
        if drained {
            // The answer to the last BYE is still on its way through us.
            thread::sleep(self.round_trips);
        }
        self.shared.tell(|| Command::Stop);
        for thread in self.shard_threads.drain(..) {
            thread.join().map_err(|_| anyhow::anyhow!("a SIP shard had panicked"))?;
        }
        if let Some(api) = self.api.take() {
            let _ = api.stop.send(());
            api.thread.join().map_err(|_| anyhow::anyhow!("the API had panicked"))?;
        }
        self.leases.take();
        self.credits.take();
        self.poster.take();
        // What the last events give is rated and stored before the stages write their snapshots.
        let until = Instant::now() + LAST;
        for (_, worker) in self.workers.iter() {
            worker.wait_caught_up(until.saturating_duration_since(Instant::now()).min(Duration::from_secs(5)));
        }
        self.workers.iter().for_each(|(_, worker)| worker.stop());
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until && self.workers.iter().any(|(_, w)| w.state() == WorkerState::Running) {
            thread::sleep(Duration::from_millis(5));
        }
        let failed = self.failure();
        self.spool.take();
        if let Some(stores) = &self.stores {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let flushed = runtime.block_on(stores.cdrs.flush());
            match (flushed, &stores.embedded) {
                (Err(e), Some(_)) => return Err(e).context("CDR store"),
                (Err(error), None) => tracing::warn!(%error, "CDR store"),
                (Ok(()), _) => {}
            }
        }
        self.embedded.close().context("event log")?;
        match failed {
            Some(problem) => Err(anyhow::anyhow!("a stage had stopped: {problem}")),
            None => Ok(()),
        }
    }
}

fn log_options(config: &Config) -> tollgate_ingest::Options {
    tollgate_ingest::Options {
        partitions: config.log.partitions,
        window_ms: config.log.window_ms,
        ride_ms: config.log.ride_ms,
        reserve_bytes: config.log.reserve_mb << 20,
        ..tollgate_ingest::Options::default()
    }
}

/// Applies the first documents, all or none.
fn provision(owner: &Owner, documents: Vec<Document>) -> anyhow::Result<()> {
    if documents.is_empty() {
        return Ok(());
    }
    let commands: Vec<_> = documents
        .into_iter()
        .map(|d| tollgate_api::ports::Command { kind: d.kind, name: d.name, spec: Some(d.spec), actor: "provision".to_owned(), reason: "first start".to_owned(), dry_run: false })
        .collect();
    match owner.submit_first(&commands)? {
        // None: another process was first.
        None | Some(tollgate_api::ports::Decision::Accepted { .. }) => Ok(()),
        Some(tollgate_api::ports::Decision::Refused { problems }) => {
            let lines: Vec<_> = problems.iter().map(|p| format!("  {}", p.message)).collect();
            anyhow::bail!("provisioning is refused:\n{}", lines.join("\n"))
        }
    }
}

/// Says which API keys see nothing, as their account is not there, or little, as it is no whole tree. Calls are taken all the same.
fn tenants(owner: &Owner, keys: &[tollgate_api::KeyConfig]) {
    for key in keys {
        let Some(tenant) = &key.tenant else { continue };
        match owner.get(Kind::Account, tenant) {
            None => tracing::warn!(key = key.id, tenant, "an API key is confined to an account that does not exist: it sees nothing"),
            Some(account) => {
                if let Some(parent) = account.spec["parent"].as_str() {
                    tracing::warn!(key = key.id, tenant, parent, "an API key is confined to an account below another: it sees its calls, of the rest there are only whole trees");
                }
            }
        }
    }
}

fn caught_up(worker: &WorkerHandle, what: &str) -> anyhow::Result<()> {
    let until = Instant::now() + START;
    while !worker.wait_caught_up(Duration::from_millis(200)) {
        if let WorkerState::Failed(problem) = worker.state() {
            anyhow::bail!("cannot fold {what}: {problem}");
        }
        anyhow::ensure!(Instant::now() < until, "folding {what} takes longer than {START:?}");
    }
    Ok(())
}

fn readiness(shared: &Shared) -> tollgate_api::ports::Readiness {
    let stopping = shared.draining.load(Ordering::Relaxed);
    tollgate_api::ports::Readiness { ready: !stopping, waiting_for: if stopping { vec!["the node is stopping".to_owned()] } else { Vec::new() } }
}

type Serving = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>>>>;
type Stopped = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Api {
    /// Serves HTTP in threads of its own, until told to stop.
    fn start(listen: SocketAddr, serve: impl FnOnce(tokio::net::TcpListener, Stopped) -> Serving + Send + 'static) -> anyhow::Result<Api> {
        let (started, starting) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = thread::Builder::new().name("api".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("api-worker").enable_all().build() {
                Ok(runtime) => runtime,
                Err(e) => return drop(started.send(Err(e))),
            };
            runtime.block_on(async move {
                let listener = match tokio::net::TcpListener::bind(listen).await {
                    Ok(listener) => listener,
                    Err(e) => return drop(started.send(Err(e))),
                };
                let _ = started.send(listener.local_addr());
                if let Err(error) = serve(listener, Box::pin(async { drop(stopped.await) })).await {
                    tracing::error!(%error, "API");
                }
            });
        })?;
        let addr = starting.recv().context("API thread")?.with_context(|| format!("API address {listen}"))?;
        Ok(Api { addr, stop, thread })
    }
}

/// `tollgate run`: a node in the foreground until SIGTERM or Ctrl-C.
pub fn run(config: Config, stages: Vec<Stage>) -> anyhow::Result<()> {
    let env_key = std::env::var("TOLLGATE_ADMIN_KEY").ok();
    let given = env_key.is_some();
    let node = Node::start(config, Extra { documents: Vec::new(), admin_key: env_key, stages })?;
    if let Some(addr) = node.sip_addr() {
        eprintln!("SIP    udp:{addr}");
    }
    if let Some(addr) = node.api_addr() {
        eprintln!("API    http://{addr}/");
    }
    if let (false, Some(key)) = (given, node.admin_key()) {
        eprintln!("admin key (shown only now): {key}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let failure = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok::<_, std::io::Error>(None),
                _ = terminate.recv() => return Ok(None),
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    if let Some(problem) = node.failure() {
                        return Ok(Some(problem));
                    }
                }
            }
        }
    })?;
    eprintln!("stopping: no new calls, draining");
    node.stop()?;
    match failure {
        Some(problem) => Err(anyhow::anyhow!("a stage stopped: {problem}")),
        None => Ok(()),
    }
}
