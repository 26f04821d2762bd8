//! One shard: one thread with one socket and one core. It receives, lets the core decide, hands events to the log and
//! sends what may leave; what waits for durability is kept here. Shards are told apart by Call-ID, so both legs of a
//! call and all its requests meet in one core whichever socket they came to.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tollgate_schemas::{
    id::Id,
    log::{Claim, EventLog, Health, Ticket, Urgency},
    number::E164,
    portability::{DipAnswer, Named},
    time::Now,
};

use crate::{
    admission::NodeState,
    live::OpenCall,
    routing::SharedPlan,
    sip::{
        call::Verdict,
        core::{Context, Core, Counters, EndOutcome},
        msg::Msg,
    },
    udp::{UdpBatch, Waker, wait},
};

/// Reads both clocks; the only clock of a shard.
pub type Clock = fn() -> Now;

/// Datagrams one shard may keep for another; beyond it they are dropped, as a full socket would.
const HANDED_OVER: usize = 4_096;
/// Events one shard keeps while the log takes none; beyond it no new calls are taken (they are refused by health long
/// before) and the shard waits.
const UNSENT_EVENTS: usize = 100_000;
/// Pause after a turn that received something: the next datagrams come in one system call and one wake-up instead of
/// each in its own. Nobody hears half a millisecond; under load it saves a sixth of the thread's time.
const GATHER: Duration = Duration::from_micros(500);
/// System calls to receive before timers and sends have their turn.
const RECEIVES: usize = 4;

pub enum Command {
    Plan(SharedPlan),
    /// Take no new calls any more; answered when the next datagram is already refused.
    Drain { answer: SyncSender<()> },
    /// Blocks changed: look over every call.
    Sweep,
    End { id: Id, verdict: Verdict, answer: SyncSender<EndOutcome> },
    /// What came of a look-up that calls wait for.
    NumberKnown { number: E164, answer: DipAnswer },
    NameKnown { number: E164, answer: DipAnswer<Named> },
    Stop,
}

#[derive(Default)]
struct Inbox {
    commands: Vec<Command>,
    datagrams: VecDeque<(Vec<u8>, SocketAddr)>,
}

/// What other threads see of a shard.
pub struct Shared {
    inbox: Mutex<Inbox>,
    waker: Waker,
    /// Set while something waits for durability.
    waiting: AtomicBool,
    counters: Mutex<Counters>,
    calls_up: AtomicU64,
    unsendable: AtomicU64,
    dropped_hand_overs: AtomicU64,
}

impl Shared {
    pub fn new() -> io::Result<Arc<Shared>> {
        Ok(Arc::new(Shared {
            inbox: Mutex::default(),
            waker: Waker::new()?,
            waiting: AtomicBool::new(false),
            counters: Mutex::default(),
            calls_up: AtomicU64::new(0),
            unsendable: AtomicU64::new(0),
            dropped_hand_overs: AtomicU64::new(0),
        }))
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn command(&self, command: Command) {
        self.inbox().commands.push(command);
        self.waker.wake();
    }

    fn hand_over(&self, datagram: &[u8], from: SocketAddr) {
        let mut inbox = self.inbox();
        if inbox.datagrams.len() >= HANDED_OVER {
            self.dropped_hand_overs.fetch_add(1, Ordering::Relaxed);
            return;
        }
        inbox.datagrams.push_back((datagram.to_vec(), from));
        drop(inbox);
        self.waker.wake();
    }

    /// For the log's call-back.
    pub fn wake_if_waiting(&self) {
        if self.waiting.load(Ordering::Acquire) {
            self.waker.wake();
        }
    }

    pub fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls_up(&self) -> u64 {
        self.calls_up.load(Ordering::Relaxed)
    }

    /// Datagrams the kernel would not take, and ones lost between shards.
    pub fn dropped(&self) -> u64 {
        self.unsendable.load(Ordering::Relaxed) + self.dropped_hand_overs.load(Ordering::Relaxed)
    }
}

struct Held {
    after: u64,
    to: SocketAddr,
    bytes: Vec<u8>,
}

pub struct Shard {
    index: usize,
    peers: Vec<Arc<Shared>>,
    socket: UdpBatch,
    core: Core,
    log: Arc<dyn EventLog>,
    clock: Clock,
    held: Vec<Held>,
    /// Batches handed to the log, with their tickets.
    sent: VecDeque<(u64, Ticket)>,
    draining: bool,
    /// The log did not take the last batch.
    refused_by_log: bool,
    second: u64,
}

impl Shard {
    /// `peers` are all shards of the process in order, this one among them at `index`.
    pub fn new(index: usize, peers: Vec<Arc<Shared>>, socket: UdpBatch, ctx: Context, plan: SharedPlan, log: Arc<dyn EventLog>, clock: Clock) -> Shard {
        let mut core = Core::new(ctx, plan, clock());
        core.set_shard(index as u32);
        Shard { index, peers, socket, core, log, clock, held: Vec::new(), sent: VecDeque::new(), draining: false, refused_by_log: false, second: 0 }
    }

    /// Which shard a Call-ID belongs to.
    pub fn of_call_id(call_id: &[u8], shards: usize) -> usize {
        if shards <= 1 {
            return 0;
        }
        // FNV-1a: spread is all that is asked of it; a peer that aims at one shard only slows its own calls.
        let hash = call_id.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
        (hash >> 32) as usize % shards
    }

    /// Takes up an open call of the last process; before [`Shard::spawn`].
    pub fn resume(&mut self, open: &OpenCall) -> Result<(), String> {
        let now = (self.clock)();
        self.core.resume(open, now)
    }

    pub fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        let name = format!("sip-{}", self.index);
        thread::Builder::new().name(name).spawn(move || while self.turn() {})
    }

    fn shared(&self) -> &Shared {
        &self.peers[self.index]
    }

    /// One turn of the loop; false when it was told to stop.
    fn turn(&mut self) -> bool {
        // Events of a resume, or of the last turn, go first: nothing waits in front of a poll.
        self.flush();
        let now = (self.clock)();
        let limit = self.limit_ms(now);
        wait(&self.socket, &self.peers[self.index].waker, limit);
        let now = (self.clock)();
        let running = self.take_commands(now);
        self.settle_durable();
        let mut received = 0;
        let began = (self.clock)().mono_ns;
        let sockets = self.core.counters.sockets_ns;
        for _ in 0..RECEIVES {
            let n = self.receive(now);
            received += n;
            if n < crate::udp::BATCH {
                break;
            }
        }
        self.core.handle_timeouts(now);
        let spent = (self.clock)().mono_ns - began;
        // Reading the socket is counted where it is done.
        let reading = self.core.counters.sockets_ns - sockets;
        self.core.counters.core_ns += spent.saturating_sub(reading);
        self.each_second(now);
        if !running {
            self.core.flush_counted(now, true);
        }
        self.flush();
        if received > 0 && running {
            thread::sleep(GATHER);
        }
        running
    }

    fn limit_ms(&self, now: Now) -> i32 {
        let now_ms = now.mono_ns / 1_000_000;
        let timer = self.core.next_timeout_ms().map_or(1_000, |at| at.saturating_sub(now_ms));
        let stuck = self.refused_by_log || (!self.held.is_empty() && self.core.node_state() != NodeState::Open);
        let limit = if stuck { timer.min(20) } else { timer };
        limit.min(1_000) as i32
    }

    fn take_commands(&mut self, now: Now) -> bool {
        let (commands, datagrams) = {
            let mut inbox = self.shared().inbox();
            if inbox.commands.is_empty() && inbox.datagrams.is_empty() {
                return true;
            }
            (std::mem::take(&mut inbox.commands), std::mem::take(&mut inbox.datagrams))
        };
        for (bytes, from) in datagrams {
            self.core.handle(&bytes, from, now);
        }
        let mut running = true;
        for command in commands {
            match command {
                Command::Plan(plan) => self.core.set_plan(plan, now),
                Command::Drain { answer } => {
                    self.draining = true;
                    self.core.set_node_state(NodeState::Draining, self.refused_by_log);
                    self.core.settle_waiting(now);
                    let _ = answer.try_send(());
                }
                Command::Sweep => {
                    self.core.sweep(now);
                }
                Command::End { id, verdict, answer } => {
                    let outcome = self.core.end_call(id, verdict, now);
                    // Whoever asked may have gone.
                    let _ = answer.try_send(outcome);
                }
                Command::NumberKnown { number, answer } => self.core.number_known(&number, answer, now),
                Command::NameKnown { number, answer } => self.core.name_known(&number, answer, now),
                Command::Stop => running = false,
            }
        }
        running
    }

    fn receive(&mut self, now: Now) -> usize {
        let began = (self.clock)().mono_ns;
        let received = self.socket.receive();
        self.core.counters.sockets_ns += (self.clock)().mono_ns - began;
        let n = match received {
            Ok(n) => n,
            Err(error) => {
                tracing::error!(%error, "UDP receive");
                thread::sleep(Duration::from_millis(10));
                return 0;
            }
        };
        for i in 0..n {
            let Some((bytes, from)) = self.socket.datagram(i) else { continue };
            let shards = self.peers.len();
            if shards > 1 {
                let owner = Msg::parse(bytes).ok().and_then(|m| m.call_id().ok().map(|id| Shard::of_call_id(id, shards)));
                if let Some(owner) = owner.filter(|o| *o != self.index) {
                    self.peers[owner].hand_over(bytes, from);
                    continue;
                }
            }
            self.core.handle(bytes, from, now);
        }
        n
    }

    fn settle_durable(&mut self) {
        let durable = self.log.durable();
        let mut batch = 0;
        while let Some((number, ticket)) = self.sent.front() {
            if *ticket > durable {
                break;
            }
            batch = *number;
            self.sent.pop_front();
        }
        self.core.set_durable(batch);
        if self.held.is_empty() {
            return;
        }
        let core = &self.core;
        let ready: Vec<Held> = self.held.extract_if(.., |h| core.may_send(h.after)).collect();
        let reached = self.core.durable_batch();
        self.core.counters.sent_unlogged += ready.iter().filter(|h| h.after > reached).count() as u64;
        self.send(ready.iter().map(|h| (h.to, h.bytes.as_slice())));
    }

    fn send<'a>(&self, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) {
        let dropped = self.socket.send(datagrams);
        if dropped > 0 {
            self.shared().unsendable.fetch_add(dropped as u64, Ordering::Relaxed);
        }
    }

    /// Events to the log, then datagrams to the network, each in order.
    fn flush(&mut self) {
        if !self.core.out.events.is_empty() {
            let began = (self.clock)().mono_ns;
            let events = std::mem::take(&mut self.core.out.events);
            let urgency = if self.core.out.sends.iter().any(|s| s.after > 0) || !self.held.is_empty() { Urgency::Group } else { Urgency::Ride };
            // Whether new calls may come is decided by the log's health at their INVITE; what is decided must be told.
            match self.log.append_or_return(events, urgency, Claim::Reserved) {
                Ok(ticket) => {
                    self.sent.push_back((self.core.batch(), ticket));
                    self.core.next_batch();
                    self.refused_by_log = false;
                }
                Err((events, error)) => {
                    if !self.refused_by_log {
                        tracing::error!(%error, "the log takes no events: no new calls");
                    }
                    self.refused_by_log = true;
                    self.core.out.events = events;
                }
            }
            self.core.counters.events_ns += (self.clock)().mono_ns - began;
        }
        let began = (self.clock)().mono_ns;
        let (out, core) = (&self.core.out, &self.core);
        self.send(out.sends.iter().filter(|s| core.may_send(s.after)).map(|s| (s.to, out.bytes(s))));
        if !out.sends.is_empty() {
            self.core.counters.sockets_ns += (self.clock)().mono_ns - began;
        }
        let (out, core) = (&self.core.out, &self.core);
        let before = self.held.len();
        let held = out.sends.iter().filter(|s| !core.may_send(s.after)).map(|s| Held { after: s.after, to: s.to, bytes: out.bytes(s).to_vec() });
        self.held.extend(held);
        if self.held.len() > before
            && let Some((_, ticket)) = self.sent.back()
        {
            // What they wait for may have gone to the log when nobody waited, as the end of a call whose BYE was passed
            // on: not to wait here, only to say that somebody does.
            let _ = self.log.wait(*ticket, Duration::ZERO);
        }
        self.core.out.clear_sends();
        self.shared().calls_up.store(self.core.calls_up() as u64, Ordering::Relaxed);
        self.shared().waiting.store(!self.held.is_empty() || !self.sent.is_empty(), Ordering::Release);
        let health = self.log.health();
        let failing = self.refused_by_log || self.core.out.events.len() > UNSENT_EVENTS || health == Health::Failing;
        let state = match health {
            _ if self.draining => NodeState::Draining,
            _ if failing => NodeState::LogFailing,
            Health::Slow => NodeState::LogSlow,
            _ => NodeState::Open,
        };
        self.core.set_node_state(state, failing);
    }

    /// What is told to others now and then.
    fn each_second(&mut self, now: Now) {
        let quarter = now.mono_ns / 250_000_000;
        if quarter == self.second {
            return;
        }
        self.second = quarter;
        self.core.flush_counted(now, false);
        let shared = self.shared();
        *shared.counters.lock().unwrap_or_else(PoisonError::into_inner) = self.core.counters;
    }
}
