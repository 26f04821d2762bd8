//! Sources of a node for what is known of numbers: portability, and, by the same service, callers' names (R-29,
//! [`super::cnam`]): a file in memory, or somebody who is asked, a service over HTTP (`http`) or a name server
//! (`name_server`), by threads of its own. A shard never waits: an answer that is remembered is given at once; for another the
//! call waits, and every shard that has such calls is told when the answer is there, or that there is none.
//!
//! A number is asked for once, however many calls want it; the look-up is the first shard's, the others have it from memory.
//! Limits: [`QUEUE`] numbers waiting to be asked, beyond that the call falls back and nothing is asked; one that waited there as
//! long as an answer may take is not asked any more; answers as configured, the oldest given up first, none kept longer than 24 h.
//! The last [`FAILED`] numbers without an answer are not asked for again for `failed_s`: calls to them go by the dialled number at once.
//!
//! After `circuit_failures` look-ups in a row without an answer, each for another number, the source is in doubt: the number that it
//! answered last is asked for once more (`rating/src/portability/circuit.rs`). Silent on that too, it is left alone for `circuit_s`:
//! calls go by the dialled number at once, and then one look-up, of such a number where there is one, tries whether it is back. An
//! answer that is of no use for its number is an answer.

mod examine;
pub mod http;
mod name_server;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tollgate_rating::portability::{Answers, Circuit, CircuitRules, CircuitState, Failed, Next, PortedFile};
use tollgate_schemas::{
    number::E164,
    portability::{Asker, Dip, DipAnswer, DipError, NumberSource, Ported},
    time::Now,
};

use crate::config::LrnConfig;

pub use examine::{Examined, examine};

/// Numbers waiting to be asked.
const QUEUE: usize = 4_096;
/// Numbers remembered for having had no answer.
const FAILED: usize = 16_384;
/// Look-ups at once.
const ASKERS: usize = 16;

/// Tells a shard what came of a number it asked for.
pub type Tell<V = Ported> = Box<dyn Fn(Asker, E164, DipAnswer<V>) + Send + Sync>;

/// A source, and its gauges where somebody is asked.
pub type Made<V> = (Option<Arc<dyn NumberSource<V>>>, Option<Gauges>);

/// Somebody who knows about numbers, asked by several threads.
pub trait Ask<V>: Send + Sync + 'static {
    /// Blocks for as long as the configuration lets it.
    fn ask(&self, number: &E164) -> Result<V, NoAnswer>;
}

/// Why a look-up brought nothing.
#[derive(Debug)]
pub enum NoAnswer {
    /// The source does not answer, or says that it cannot.
    Silent(String),
    /// It answered, and not so that anything is known of this number: no fault of the source's for others. Who chooses the number may
    /// choose the answer, so this must not switch the source off.
    Useless(String),
    /// Nobody asked: too many look-ups at once.
    Unasked(String),
}

impl NoAnswer {
    fn into_text(self) -> String {
        match self {
            NoAnswer::Silent(text) | NoAnswer::Useless(text) | NoAnswer::Unasked(text) => text,
        }
    }
}

/// What metrics show of a source that is asked.
pub struct Gauges(Arc<dyn Counted>);

/// What the configuration names, if anything; and its gauges, where somebody is asked.
pub fn source(config: &LrnConfig, clock: fn() -> Now, tell: Tell) -> anyhow::Result<Made<Ported>> {
    if let Some(file) = &config.file {
        let bytes = std::fs::read(file).with_context(|| format!("lrn.file {}", file.display()))?;
        let ported = PortedFile::read(&bytes).map_err(|bad| anyhow::anyhow!("lrn.file {}:\n  {}", file.display(), bad.join("\n  ")))?;
        tracing::info!(numbers = ported.len(), file = %file.display(), "portability from a file");
        return Ok((Some(Arc::new(ported)), None));
    }
    let Some(ask) = asker(config) else { return Ok((None, None)) };
    asked("portability", ask, config, clock, tell)
}

/// A source that asks somebody. `what` it is, for the log.
pub fn asked<V: Clone + Send + Sync + 'static>(what: &'static str, ask: Arc<dyn Ask<V>>, config: &LrnConfig, clock: fn() -> Now, tell: Tell<V>) -> anyhow::Result<Made<V>> {
    let service = Service::start(what, ask, config, clock, tell)?;
    let gauges = Gauges(service.shared.clone());
    Ok((Some(Arc::new(service)), Some(gauges)))
}

/// Who is asked, by the configuration.
fn asker(config: &LrnConfig) -> Option<Arc<dyn Ask<Ported>>> {
    match (&config.url, &config.enum_server) {
        (Some(url), _) => Some(Arc::new(http::Http::new(url, config))),
        (None, Some(server)) => Some(Arc::new(name_server::NameServer::new(*server, config))),
        (None, None) => None,
    }
}

/// What [`Gauges`] shows, whatever is looked up.
trait Counted: Send + Sync {
    fn asked(&self) -> (u64, u64);
    fn unanswered(&self) -> u64;
    fn remembered(&self) -> u64;
    fn circuit(&self) -> CircuitState;
}

impl<V: Send + Sync> Counted for Shared<V> {
    fn asked(&self) -> (u64, u64) {
        (self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    fn unanswered(&self) -> u64 {
        self.lock().failed.len() as u64
    }

    fn remembered(&self) -> u64 {
        self.lock().answers.len() as u64
    }

    fn circuit(&self) -> CircuitState {
        self.lock().circuit.state()
    }
}

impl Gauges {
    /// Look-ups made, and how many of them brought no answer.
    pub fn asked(&self) -> (u64, u64) {
        self.0.asked()
    }

    /// Numbers remembered for having had no answer.
    pub fn unanswered(&self) -> u64 {
        self.0.unanswered()
    }

    /// Answers that are remembered.
    pub fn remembered(&self) -> u64 {
        self.0.remembered()
    }

    /// 0 asked, 1 left alone after failures, 2 tried again by one look-up.
    pub fn circuit(&self) -> u64 {
        match self.0.circuit() {
            CircuitState::Closed => 0,
            CircuitState::Open => 1,
            CircuitState::Probing => 2,
        }
    }
}

/// A source's answers, remembered.
struct Service<V> {
    shared: Arc<Shared<V>>,
    ask: SyncSender<E164>,
}

struct Shared<V> {
    /// For the log.
    what: &'static str,
    state: Mutex<State<V>>,
    clock: fn() -> Now,
    timeout_ms: u32,
    tell: Tell<V>,
    asked: AtomicU64,
    failed: AtomicU64,
}

struct State<V> {
    answers: Answers<V>,
    failed: Failed,
    /// Answered last: by it a source that is silent on others is told from one that is away.
    answered: Option<E164>,
    /// Being asked, or waiting for it.
    pending: HashMap<E164, Pending>,
    circuit: Circuit,
}

struct Pending {
    since_ns: u64,
    /// Who is told, the first to want it first.
    askers: Vec<Asker>,
    /// It was answered before and is asked for to see whether the source is there.
    check: bool,
}

impl<V> State<V> {
    /// A number that was not asked says nothing of the source; only a probe must come to an end.
    fn unasked(&mut self, now: Now) {
        if self.circuit.state() == CircuitState::Probing {
            self.circuit.failed(false, now.mono_ns);
        }
    }

    /// The number by which to see whether the source is there, if there is one; it is pending from here on. Once it is not answered
    /// there is none, so that one that lost its answer does not keep a source away.
    fn check(&mut self, now: Now) -> Option<E164> {
        let number = self.answered.take()?;
        self.pending.entry(number).or_insert(Pending { since_ns: now.mono_ns, askers: Vec::new(), check: true }).check = true;
        Some(number)
    }
}

fn ms_since(since_ns: u64, now: Now) -> u32 {
    u32::try_from(now.mono_ns.saturating_sub(since_ns) / 1_000_000).unwrap_or(u32::MAX)
}

impl<V: Clone + Send + Sync + 'static> Service<V> {
    fn start(what: &'static str, ask: Arc<dyn Ask<V>>, config: &LrnConfig, clock: fn() -> Now, tell: Tell<V>) -> anyhow::Result<Service<V>> {
        let age_us = i64::try_from(config.cache_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let answers = Answers::new(config.cache_numbers as usize, age_us);
        let failed = Failed::new(FAILED, config.failed_s.saturating_mul(1_000_000_000));
        let circuit = Circuit::new(CircuitRules { failures: config.circuit_failures as u32, open_ns: config.circuit_s.saturating_mul(1_000_000_000) });
        let shared = Arc::new(Shared {
            what,
            state: Mutex::new(State { answers, failed, answered: None, pending: HashMap::new(), circuit }),
            clock,
            timeout_ms: config.timeout_ms as u32,
            tell,
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let (queue, queued) = sync_channel(QUEUE);
        let queued = Arc::new(Mutex::new(queued));
        for n in 0..ASKERS {
            let (shared, queued, ask) = (shared.clone(), queued.clone(), ask.clone());
            // They end when the service is dropped and the queue with it.
            thread::Builder::new().name(format!("lrn-{n}")).spawn(move || shared.answer_all(&queued, ask.as_ref()))?;
        }
        Ok(Service { shared, ask: queue })
    }
}

impl<V: Clone + Send + Sync> NumberSource<V> for Service<V> {
    fn lookup(&self, number: &E164, asker: Option<Asker>, now_us: i64) -> DipAnswer<V> {
        let mut state = self.shared.lock();
        if let Some(found) = state.answers.get(number, now_us) {
            return Ok(Dip { found: found.clone(), cached: true, took_ms: 0 });
        }
        let now = (self.shared.clock)();
        if let Some(pending) = state.pending.get_mut(number) {
            if let Some(asker) = asker.filter(|a| !pending.askers.contains(a)) {
                pending.askers.push(asker);
            }
            // Who comes later waits as long as the first, not longer.
            return Err(DipError::Pending(self.shared.timeout_ms.saturating_sub(ms_since(pending.since_ns, now)).max(1)));
        }
        if state.failed.just_now(number, now.mono_ns) {
            return Err(DipError::Failed("it had no answer a moment ago".to_owned()));
        }
        if !state.circuit.allows(now.mono_ns) {
            return Err(DipError::Open);
        }
        if state.circuit.state() == CircuitState::Probing
            && let Some(check) = state.check(now)
        {
            // Whether the source is back is seen by a number it answered: no call waits for that.
            self.send(&mut state, check, now);
            return Err(DipError::Open);
        }
        state.pending.insert(*number, Pending { since_ns: now.mono_ns, askers: asker.into_iter().collect(), check: false });
        if self.send(&mut state, *number, now) { Err(DipError::Pending(self.shared.timeout_ms)) } else { Err(DipError::Busy) }
    }
}

impl<V> Service<V> {
    /// False when there is no room: it is pending no more.
    fn send(&self, state: &mut State<V>, number: E164, now: Now) -> bool {
        let sent = self.ask.try_send(number).is_ok();
        if !sent {
            state.pending.remove(&number);
            state.unasked(now);
        }
        sent
    }
}

impl<V> Shared<V> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone + 'static> Shared<V> {
    fn answer_all(&self, queued: &Mutex<Receiver<E164>>, ask: &dyn Ask<V>) {
        loop {
            let next = queued.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(number) = next else { return };
            let waited_ms = self.lock().pending.get(&number).map_or(0, |p| ms_since(p.since_ns, (self.clock)()));
            let answer = if waited_ms < self.timeout_ms {
                self.asked.fetch_add(1, Ordering::Relaxed);
                ask.ask(&number)
            } else {
                Err(NoAnswer::Unasked(format!("it waited {waited_ms} ms to be asked: {ASKERS} look-ups at once are too few")))
            };
            if let Some(check) = self.answered(number, answer) {
                self.asked.fetch_add(1, Ordering::Relaxed);
                self.answered(check, ask.ask(&check));
            }
        }
    }

    /// Remembers an answer and tells who waits for it; gives a number to be asked for at once where the source is in doubt.
    fn answered(&self, number: E164, answer: Result<V, NoAnswer>) -> Option<E164> {
        let now = (self.clock)();
        let mut state = self.lock();
        let pending = state.pending.remove(&number)?;
        let mut check = None;
        let took_ms = ms_since(pending.since_ns, now);
        let told = match answer {
            Ok(found) => {
                state.answers.put(number, found.clone(), now.utc_us);
                state.failed.forget(&number);
                state.answered = Some(number);
                if state.circuit.succeeded() {
                    tracing::info!("{}: the source answers again", self.what);
                }
                Ok(Dip { found, cached: false, took_ms })
            }
            Err(none) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if !matches!(none, NoAnswer::Unasked(_)) {
                    state.failed.note(number, now.mono_ns);
                }
                let left_alone = match &none {
                    NoAnswer::Silent(_) | NoAnswer::Unasked(_) if pending.check => state.circuit.unchecked(now.mono_ns),
                    NoAnswer::Silent(_) => {
                        let known = state.answered.is_some_and(|n| n != number);
                        let next = state.circuit.failed(known, now.mono_ns);
                        check = if next == Next::Check { state.check(now) } else { None };
                        next == Next::LeftAlone
                    }
                    NoAnswer::Useless(_) => {
                        state.circuit.succeeded();
                        false
                    }
                    NoAnswer::Unasked(_) => {
                        state.unasked(now);
                        false
                    }
                };
                let error = none.into_text();
                tracing::debug!(error, took_ms, "{}: a look-up failed, its calls go on without", self.what);
                if left_alone {
                    tracing::warn!(error, "{}: the source is left alone for a while, calls go on without", self.what);
                }
                Err(DipError::Failed(error))
            }
        };
        drop(state);
        for (nth, asker) in pending.askers.into_iter().enumerate() {
            let mut told = told.clone();
            if let Ok(dip) = &mut told {
                dip.cached = nth > 0;
            }
            (self.tell)(asker, number, told);
        }
        check
    }
}

/// Milliseconds as time.
fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests;
