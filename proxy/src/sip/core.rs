//! The proxy core of one shard, sans-IO: datagrams, timers, durability and commands in; datagrams and events out.
//! It is a dialog-stateful, record-routing proxy (RFC 3261 §16, §17, RFC 6026) that can also end the calls it carries
//! (P-60 to P-63). What must be durable before it is sent waits for the batch of events it follows from (design §3).

mod ack;
mod caller_name;
mod cancel;
mod charge_limit;
mod events;
mod hunt;
mod in_dialog;
mod invite;
mod out;
mod recover;
mod reply;
mod request;
mod response;
mod sweep;
mod teardown;
#[cfg(test)]
mod tests;
mod timeouts;
mod waiting;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use tollgate_schemas::{
    id::{Id, Mint},
    number::E164,
    portability::Asker,
    time::Now,
};

use self::waiting::Waiting;
pub use self::{
    out::{Counters, Out, Send},
    sweep::EndOutcome,
    waiting::MAX_WAITING,
};
use super::{
    call::{Call, Verdict},
    msg::{Edits, Msg, ParseFault},
    settings::Settings,
    table::{Ref, Table},
    timer::{Entry, Owner, Wheel},
    token::Keyring,
    txn::{Alarm, ClientTx, NEVER, ServerTx},
};
use crate::{
    admission::{Admission, Laps, NodeState, RefusalMeter},
    routing::SharedPlan,
};

/// What a core shares with the other shards of its process, and what never changes while it runs.
#[derive(Clone)]
pub struct Context {
    /// Our address as peers see it: Via, Record-Route.
    pub local: SocketAddr,
    pub settings: Settings,
    pub keys: Keyring,
    pub mint: Arc<Mint>,
    pub boot_id: u64,
    /// Differs with every start: see `Table::new`.
    pub generation: u32,
    pub partitions: u16,
    pub gate: Arc<Mutex<Gate>>,
}

/// What decides over new calls, one for the node: the shards take turns.
#[derive(Default)]
pub struct Gate {
    pub admission: Admission,
    pub meter: RefusalMeter,
    pub laps: Laps,
}

pub struct Core {
    pub(crate) ctx: Context,
    /// `local` as text, made once.
    local_text: Vec<u8>,
    plan: SharedPlan,
    node: NodeState,
    /// The log takes nothing, whatever else the node's state is.
    log_failing: bool,
    servers: Table<ServerTx>,
    server_keys: HashMap<u128, Ref, RandomState>,
    clients: Table<ClientTx>,
    calls: Table<Box<Call>>,
    /// Calls whose last event is not written.
    up: usize,
    by_id: HashMap<Id, Ref, RandomState>,
    /// INVITEs in progress by Call-ID, From tag and CSeq, to tell merged ones (P-20).
    merges: HashMap<u128, Ref, RandomState>,
    /// This shard's index: whom answers about numbers are for.
    shard: Asker,
    waiting: Table<Waiting>,
    /// Calls that wait, by their number, in the order they came.
    waiting_for: HashMap<E164, Vec<Ref>, RandomState>,
    waiting_names: HashMap<E164, Vec<Ref>, RandomState>,
    /// Addresses learned from dialogs, with how many dialogs know them.
    learned: HashMap<SocketAddr, u32, RandomState>,
    /// Branches of the last process that may still be answered.
    old_branches: HashMap<Vec<u8>, Ref, RandomState>,
    /// CANCELs by the INVITE they share their branch with.
    cancels: HashMap<Ref, Ref, RandomState>,
    wheel: Wheel,
    due: Vec<Entry>,
    edits: Edits,
    /// Number of the batch that events emitted now will be part of.
    batch: u64,
    durable_batch: u64,
    pub out: Out,
    pub counters: Counters,
}

fn ms(now: Now) -> u64 {
    now.mono_ns / 1_000_000
}

impl Core {
    pub fn new(ctx: Context, plan: SharedPlan, now: Now) -> Core {
        Core {
            local_text: ctx.local.to_string().into_bytes(),
            servers: Table::new(ctx.generation),
            clients: Table::new(ctx.generation),
            calls: Table::new(ctx.generation),
            up: 0,
            server_keys: HashMap::default(),
            by_id: HashMap::default(),
            merges: HashMap::default(),
            shard: 0,
            waiting: Table::new(ctx.generation),
            waiting_for: HashMap::default(),
            waiting_names: HashMap::default(),
            learned: HashMap::default(),
            old_branches: HashMap::default(),
            cancels: HashMap::default(),
            wheel: Wheel::new(ms(now)),
            due: Vec::new(),
            edits: Edits::new(),
            batch: 1,
            durable_batch: 0,
            out: Out::default(),
            counters: Counters::default(),
            node: NodeState::Open,
            log_failing: false,
            plan,
            ctx,
        }
    }

    /// Which of the process's shards this is; 0 until it is told.
    pub fn set_shard(&mut self, shard: Asker) {
        self.shard = shard;
    }

    /// One datagram from the network.
    pub fn handle(&mut self, datagram: &[u8], from: SocketAddr, now: Now) {
        self.counters.received += 1;
        let party = self.plan.policy.party(from);
        if party.is_none() && !self.learned.contains_key(&from) {
            // Nobody we know: dropped before any work, counted by source bucket.
            self.counters.strangers += 1;
            return self.note_stranger(from, now);
        }
        if datagram.len() > self.ctx.settings.max_message_bytes {
            self.counters.oversized += 1;
            self.refuse_unframed(datagram, from, 513);
            return;
        }
        match Msg::parse(datagram) {
            Ok(msg) if msg.is_request() => self.on_request(&msg, from, party, now),
            Ok(msg) => self.on_response(&msg, from, party, now),
            Err(e) if e.what == ParseFault::KeepAlive => self.counters.keep_alives += 1,
            Err(e) => {
                self.counters.malformed += 1;
                if let Some(status) = e.status {
                    self.refuse_unframed(datagram, from, status);
                }
            }
        }
    }

    /// A new plan for calls to come; calls that are up keep theirs, and hold money where their accounts have a limit now.
    pub fn set_plan(&mut self, plan: SharedPlan, now: Now) {
        self.plan = plan;
        self.begin_credit(now);
    }

    pub fn set_node_state(&mut self, node: NodeState, log_failing: bool) {
        self.node = node;
        self.log_failing = log_failing;
    }

    pub fn node_state(&self) -> NodeState {
        self.node
    }

    /// The number of the batch that events go into now. The shell calls [`Core::next_batch`] when it has handed that
    /// batch to the log.
    pub fn batch(&self) -> u64 {
        self.batch
    }

    pub fn next_batch(&mut self) {
        self.batch += 1;
    }

    /// Everything up to this batch is durable.
    pub fn set_durable(&mut self, batch: u64) {
        self.durable_batch = self.durable_batch.max(batch);
    }

    pub fn durable_batch(&self) -> u64 {
        self.durable_batch
    }

    /// Whether what waits for a batch may leave now. While the log fails (a full disk) live and emergency calls go on
    /// without it; new ordinary calls are refused by then (design §3).
    pub fn may_send(&self, after: u64) -> bool {
        after <= self.durable_batch || self.log_failing
    }

    /// Calls whose last event is not written.
    pub fn calls_up(&self) -> usize {
        self.up
    }

    /// When [`Core::handle_timeouts`] wants to be called next, in shard milliseconds.
    pub fn next_timeout_ms(&self) -> Option<u64> {
        self.wheel.next_ms()
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.ctx.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Alarms: one entry in the wheel at a time for each owner.

    fn arm(wheel: &mut Wheel, alarm: &mut Alarm, owner: Owner, generation: u32) {
        if alarm.due != NEVER && alarm.due < alarm.armed {
            alarm.armed = alarm.due;
            wheel.insert(Entry { owner, generation, due_ms: alarm.due });
        }
    }

    fn arm_server(&mut self, at: Ref) {
        if let Some(tx) = self.servers.get_mut(at) {
            Core::arm(&mut self.wheel, &mut tx.alarm, Owner::Server(at.index), at.generation);
        }
    }

    fn arm_client(&mut self, at: Ref) {
        if let Some(tx) = self.clients.get_mut(at) {
            Core::arm(&mut self.wheel, &mut tx.alarm, Owner::Client(at.index), at.generation);
        }
    }

    /// Gives a call back to the table and sets its alarm.
    fn put_call(&mut self, at: Ref, mut call: Box<Call>) {
        call.alarm.due = self.call_due(&call);
        Core::arm(&mut self.wheel, &mut call.alarm, Owner::Call(at.index), at.generation);
        self.calls.put(at, call);
    }

    fn learn(&mut self, addr: SocketAddr) {
        if self.plan.policy.party(addr).is_none() {
            *self.learned.entry(addr).or_insert(0) += 1;
        }
    }

    fn unlearn(&mut self, addr: SocketAddr) {
        if let Some(count) = self.learned.get_mut(&addr) {
            *count -= 1;
            if *count == 0 {
                self.learned.remove(&addr);
            }
        }
    }

    /// Ends a call by its id, whatever its state (P-61).
    pub fn end_call(&mut self, id: Id, verdict: Verdict, now: Now) -> EndOutcome {
        let Some(at) = self.by_id.get(&id).copied() else { return EndOutcome::Unknown };
        let Some(mut call) = self.calls.take(at) else { return EndOutcome::Unknown };
        let up = call.phase != super::call::Phase::Over;
        if up {
            self.tear_down(at, &mut call, verdict, now);
        }
        self.put_call(at, call);
        if up { EndOutcome::Ending } else { EndOutcome::Unknown }
    }
}
