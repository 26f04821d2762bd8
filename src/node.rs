//! A running node: opens the data folder, folds what the log has, takes up open calls, and starts the stages in the
//! order the design gives them: log, provisioning, blocks and live calls before sockets, the rest after.

mod live;
mod metrics;
mod owner;
mod ports;
mod secrets;

use std::{
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
use tollgate_ingest::{EmbeddedLog, Projector, Runner, RunnerOptions, Ticker, WorkerHandle, WorkerState, follow, follow::From};
use tollgate_proxy::{
    shard::{self, Command, Shard},
    sip::core::{Context, Gate},
    udp::UdpBatch,
};
use tollgate_schemas::{
    control::FraudPolicy,
    event::Body,
    id::{Id, Mint},
    log::{EventLog, Topic},
    store::CdrStore,
    time::Now,
};
use tollgate_store::EmbeddedStore;

use crate::config::{Config, documents::{Document, read_documents}};
use live::Live;
use owner::Owner;

/// Version of the rating program, in every CDR. Raise it when the same events would give another CDR.
pub const RATING_VERSION: u32 = 1;
/// How long folds may take at the start before it is given up.
const START: Duration = Duration::from_secs(600);

/// What a caller of [`Node::start`] brings beside the configuration.
#[derive(Default)]
pub struct Extra {
    /// Provisioned, like the configuration's own, when the log has none yet.
    pub documents: Vec<Document>,
    /// Instead of the environment's `TOLLGATE_ADMIN_KEY`.
    pub admin_key: Option<String>,
}

/// What threads of one node share.
pub struct Shared {
    pub log: Arc<dyn EventLog>,
    pub mint: Arc<Mint>,
    pub boot_id: u64,
    pub clock: fn() -> Now,
    pub started: Now,
    pub owner: Owner,
    pub gate: Arc<Mutex<Gate>>,
    pub draining: AtomicBool,
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
    store: Arc<EmbeddedStore>,
    live: Arc<Live>,
    workers: Workers,
    shard_threads: Vec<thread::JoinHandle<()>>,
    api: Option<Api>,
    sip_addr: SocketAddr,
    admin_key: Option<String>,
    drain: Duration,
    /// Two round trips of SIP's own estimate.
    round_trips: Duration,
}

/// The stages' threads, with their names.
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
    /// Starts everything; when it returns, calls are taken and the API answers.
    pub fn start(config: Config, extra: Extra) -> anyhow::Result<Node> {
        let dir = config.data_dir.clone();
        std::fs::create_dir_all(&dir).with_context(|| format!("data folder {}", dir.display()))?;
        let secrets = secrets::open(&dir, extra.admin_key)?;
        let embedded = Arc::new(EmbeddedLog::open(dir.join("log"), log_options(&config)).context("event log")?);
        let log: Arc<dyn EventLog> = embedded.clone();
        let (mint, boot) = (embedded.mint(), boot_id());
        let owner = Owner::open(log.clone(), mint.clone(), boot, clock).context("provisioning")?;
        if owner.is_empty() {
            let own = read_documents(&config.provision).map_err(|problems| {
                anyhow::anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })?;
            provision(&owner, own.into_iter().chain(extra.documents).collect())?;
        }
        let plan = owner.plan();
        let gate: Arc<Mutex<Gate>> = Arc::default();
        let shared = Arc::new(Shared {
            log: log.clone(),
            mint: mint.clone(),
            boot_id: boot,
            clock,
            started: clock(),
            owner,
            gate: gate.clone(),
            draining: AtomicBool::new(false),
            shards: Mutex::default(),
        });
        // Blocks first, then the calls that were up: nothing is admitted, or resumed, past a block.
        let blocks = follow_blocks(&shared)?;
        let live = Live::new(log.partitions());
        let live_stage = live.clone();
        let runner = |poll_ms, follow_control| RunnerOptions { poll_ms, follow_control, ..RunnerOptions::default() };
        let live_worker = Runner::spawn(log.clone(), "live", move |p| live_stage.stage(p), runner(50, false))?;
        caught_up(&live_worker, "the calls that were up")?;
        live.each_usage(|usage| shared.gate().admission.restore_usage(usage));

        let ctx = Context {
            local: config.sip.listen,
            settings: config.sip.timers.clone(),
            keys: secrets.keyring.clone(),
            mint: mint.clone(),
            boot_id: boot,
            generation: embedded.epoch().wrapping_mul(0x9e37_79b9),
            partitions: log.partitions(),
            gate,
        };
        let (shard_threads, sip_addr) = start_shards(&shared, &live, ctx, plan, config.sip.shards)?;

        let store = EmbeddedStore::open(&dir.join("cdrs"), store_options(&config, log.partitions())).context("CDR store")?;
        let cdrs: Arc<dyn CdrStore> = store.clone();
        let views = Arc::new(Views::new(tollgate_api::CountFrom::Calls));
        let fed = views.clone();
        let workers = vec![
            ("blocks", blocks),
            ("live", live_worker),
            ("rater", Runner::spawn(log.clone(), "rater", |p| Box::new(tollgate_rating::mediation::Rater::new(p, RATING_VERSION)), runner(config.rating.poll_ms, false))?),
            ("fraud", Runner::spawn(log.clone(), "fraud", |p| Box::new(tollgate_fraud::Guard::new(p, FraudPolicy::default()).unwrap_or_else(|e| unreachable!("the default policy compiles: {e:?}"))), runner(config.fraud.poll_ms, true))?),
            ("ticker", Ticker::spawn(log.clone(), clock, mint, boot, Duration::from_millis(config.fraud.tick_ms))?),
            ("projector", Projector::spawn(log.clone(), cdrs.clone(), || clock().utc_us, config.rating.poll_ms)?),
            ("views", follow::follow(log.clone(), "views", &[Topic::Alerts, Topic::Blocks], From::Beginning, 20, {
                let views = fed.clone();
                move |topic, partition, record| views.apply(topic, partition, record.offset, &record.event)
            })?),
            ("counts", follow::follow(log, "counts", &[Topic::Calls, Topic::Cdrs], From::End, 250, move |topic, partition, record| {
                fed.apply(topic, partition, record.offset, &record.event);
            })?),
        ];
        let workers = Arc::new(workers);
        let mut node = Node { shared, embedded, store, live, workers, shard_threads, api: None, sip_addr, admin_key: secrets.shown.clone(), drain: Duration::from_secs(config.drain_s), round_trips: Duration::from_millis(2 * config.sip.timers.t1_ms) };
        node.api = Some(node.serve(&config, cdrs, views, secrets.keys(config.api.keys.clone())?)?);
        Ok(node)
    }

    fn serve(&self, config: &Config, cdrs: Arc<dyn CdrStore>, views: Arc<Views>, keys: Keys) -> anyhow::Result<Api> {
        let metrics = Metrics::default();
        let render = metrics::render(&self.shared, &self.embedded, &self.store, &self.workers, &metrics);
        let shared = self.shared.clone();
        let state = ApiState::new(Parts {
            control: Arc::new(ports::ControlPort(self.shared.clone())),
            calls: Arc::new(ports::CallsPort { shared: self.shared.clone(), live: self.live.clone(), rate: Mutex::default() }),
            blocks: Arc::new(ports::BlocksPort(self.shared.clone())),
            cdrs,
            views,
            keys,
            render_metrics: render,
            ready: Arc::new(move || tollgate_api::ports::Readiness {
                ready: !shared.draining.load(Ordering::Relaxed),
                waiting_for: if shared.draining.load(Ordering::Relaxed) { vec!["the node is stopping".to_owned()] } else { Vec::new() },
            }),
            metrics,
            limits: Limits::default(),
            clock: Arc::new(|| clock().utc_us),
        });
        let listen = config.api.listen;
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
                let result = tollgate_api::serve(listener, state, async { drop(stopped.await) }).await;
                if let Err(error) = result {
                    tracing::error!(%error, "API");
                }
            });
        })?;
        let addr = starting.recv().context("API thread")?.with_context(|| format!("API address {listen}"))?;
        Ok(Api { addr, stop, thread })
    }

    pub fn sip_addr(&self) -> SocketAddr {
        self.sip_addr
    }

    pub fn api_addr(&self) -> SocketAddr {
        self.api.as_ref().map_or(self.sip_addr, |api| api.addr)
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

    /// A clean stop (design §3): no new calls but emergency ones, calls drain for a while, stages write their
    /// snapshots. Calls still up are resumed at the next start.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.tell(|| Command::Drain);
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
        // What the last events give is rated and stored before the stages write their snapshots.
        for (_, worker) in self.workers.iter() {
            worker.wait_caught_up(Duration::from_secs(5));
        }
        self.workers.iter().for_each(|(_, worker)| worker.stop());
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until && self.workers.iter().any(|(_, w)| w.state() == WorkerState::Running) {
            thread::sleep(Duration::from_millis(5));
        }
        let failed = self.failure();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.store.flush()).context("CDR store")?;
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

fn store_options(config: &Config, partitions: u16) -> tollgate_store::Options {
    tollgate_store::Options {
        partitions: partitions.into(),
        flush_rows: config.store.flush_rows,
        flush_every: Duration::from_secs(config.store.flush_s),
        ..tollgate_store::Options::default()
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
    match owner.submit_all(&commands)? {
        tollgate_api::ports::Decision::Accepted { .. } => Ok(()),
        tollgate_api::ports::Decision::Refused { problems } => {
            let lines: Vec<_> = problems.iter().map(|p| format!("  {}", p.message)).collect();
            anyhow::bail!("provisioning is refused:\n{}", lines.join("\n"))
        }
    }
}

/// Puts every block in force, and from then on each as it comes, with a sweep over the calls.
fn follow_blocks(shared: &Arc<Shared>) -> anyhow::Result<WorkerHandle> {
    let applied = shared.clone();
    let worker = follow::follow(shared.log.clone(), "blocks", &[Topic::Blocks], From::Beginning, 0, move |_, _, record| {
        let now = (applied.clock)();
        match &record.event.body {
            Some(Body::BlockPlaced(placed)) => {
                if let Err(error) = applied.gate().admission.apply_block(placed, now) {
                    tracing::error!(%error, "a block cannot be enforced");
                    return;
                }
                applied.tell(|| Command::Sweep);
            }
            Some(Body::BlockLifted(lifted)) => drop(applied.gate().admission.lift_block(Id::of(&lifted.block_id))),
            _ => {}
        }
    })?;
    caught_up(&worker, "blocks")?;
    Ok(worker)
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

/// Binds the sockets, takes up open calls, starts the threads.
fn start_shards(shared: &Arc<Shared>, live: &Live, mut ctx: Context, plan: tollgate_proxy::routing::SharedPlan, count: usize) -> anyhow::Result<(Vec<thread::JoinHandle<()>>, SocketAddr)> {
    let listen = ctx.local;
    let first = UdpBatch::bind(listen, count > 1).with_context(|| format!("SIP address {listen}"))?;
    let addr = first.local();
    ctx.local = addr;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(UdpBatch::bind(addr, true).with_context(|| format!("SIP address {addr}"))?);
    }
    let peers = (0..count).map(|_| shard::Shared::new()).collect::<Result<Vec<_>, _>>()?;
    let mut shards: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(i, socket)| Shard::new(i, peers.clone(), socket, ctx.clone(), plan.clone(), shared.log.clone(), shared.clock))
        .collect();
    let open = live.open_calls();
    if !open.is_empty() {
        tracing::info!(calls = open.len(), "taking up calls of the last run");
    }
    for call in open {
        let call_id = call.attempted_event().personal.as_ref().and_then(|p| p.leg.as_ref()).map(|l| l.call_id.clone()).unwrap_or_default();
        if let Err(problem) = shards[Shard::of_call_id(&call_id, count)].resume(&call) {
            tracing::error!(call = %call.id(), problem, "a call cannot be taken up again");
        }
    }
    *shared.shards.lock().unwrap_or_else(PoisonError::into_inner) = peers.clone();
    let wake = peers.clone();
    shared.log.on_durable(Arc::new(move |_| wake.iter().for_each(|p| p.wake_if_waiting())));
    let plans = peers;
    shared.owner.on_plan(Box::new(move |plan| plans.iter().for_each(|p| p.command(Command::Plan(plan.clone())))));
    let threads = shards.into_iter().map(Shard::spawn).collect::<Result<Vec<_>, _>>()?;
    Ok((threads, addr))
}

/// `tollgate run`: a node in the foreground until SIGTERM or Ctrl-C.
pub fn run(config: Config) -> anyhow::Result<()> {
    let env_key = std::env::var("TOLLGATE_ADMIN_KEY").ok();
    let given = env_key.is_some();
    let node = Node::start(config, Extra { documents: Vec::new(), admin_key: env_key })?;
    eprintln!("SIP    udp:{}", node.sip_addr());
    eprintln!("API    http://{}/", node.api_addr());
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
