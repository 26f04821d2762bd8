//! The API's ports over the running node.

mod backup;
mod decks;
mod finance;
mod ledger;
mod scope;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use tollgate_api::ports::{
    Blocks, CallFilter, Calls, Command, Control, Decision, Document, EndResult, Fault, LiftResult, LiveCall, NewBlock,
    NodeStats, Problem,
};
use tollgate_proxy::{
    admission::Gauges,
    shard,
    sip::{call::Verdict, core::EndOutcome},
};
use tollgate_schemas::{
    control::Kind,
    event::{Body, Event, Origin},
    id::Id,
    log::{Append, Claim, EventLog, Health, Topic, Urgency},
    money::format_rate,
    v1::{BlockLifted, BlockPlaced, BlockScope, CallEndRequested, Terms},
};

use super::{Shared, live::Live};

pub use backup::BackupPort;
pub use decks::DecksPort;
pub use finance::FinancePort;
pub use ledger::LedgerPort;

pub type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// How long an answer from the proxy or the log may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Runs what blocks where blocking hurts nobody.
pub async fn off<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Fault::Internal(e.to_string()))?
}

pub struct ControlPort(pub Arc<Shared>);

impl Control for ControlPort {
    fn submit(&self, command: Command) -> Answer<'_, Decision> {
        let shared = self.0.clone();
        Box::pin(off(move || shared.owner.submit(&command)))
    }

    fn get(&self, kind: Kind, name: &str) -> Option<Document> {
        self.0.owner.get(kind, name)
    }

    fn list(&self, kind: Kind) -> Vec<Document> {
        self.0.owner.list(kind)
    }
}

pub struct CallsPort {
    pub shared: Arc<Shared>,
    pub live: Arc<Live>,
    /// Calls seen per second, for the rates.
    pub rate: Mutex<RateMeter>,
}

/// INVITEs of the last eleven whole seconds.
#[derive(Default)]
pub struct RateMeter {
    samples: std::collections::VecDeque<(u64, u64)>,
}

impl RateMeter {
    /// (last second, last ten seconds in tenths of a call per second).
    fn note(&mut self, second: u64, invites: u64) -> (u64, u64) {
        if self.samples.back().is_none_or(|(s, _)| *s != second) {
            self.samples.push_back((second, invites));
        }
        while self.samples.len() > 12 {
            self.samples.pop_front();
        }
        let back = |n: u64| self.samples.iter().rev().find(|(s, _)| *s + n <= second);
        let one = back(1).map_or(0, |(s, was)| (invites - was) / (second - s).max(1));
        let ten = back(10).or(self.samples.front()).map_or(0, |(s, was)| (invites - was) * 10 / (second - s).max(1));
        (one, ten)
    }
}

impl Calls for CallsPort {
    fn live(&self, filter: &CallFilter) -> Vec<LiveCall> {
        let now = (self.shared.clock)();
        let mut calls = Vec::new();
        self.live.each(|open| {
            let call = view(open, now.utc_us);
            if filter.admits(&call) {
                calls.push(call);
            }
        });
        calls
    }

    fn end(&self, call: Id, actor: &str, reason: &str) -> Answer<'_, EndResult> {
        let (shared, live) = (self.shared.clone(), self.live.clone());
        let verdict = Verdict {
            actor: format!("operator:{actor}"),
            end_reason: "command",
            block: None,
            sip_code: 403,
            q850: 21,
            reason: reason.to_owned(),
            teardown: true,
        };
        Box::pin(off(move || {
            let shards = shared.shards();
            let (answer, answers) = mpsc::sync_channel(shards.len().max(1));
            for shard in &shards {
                shard.command(shard::Command::End { id: call, verdict: verdict.clone(), answer: answer.clone() });
            }
            drop(answer);
            for _ in 0..shards.len() {
                match answers.recv_timeout(PATIENCE) {
                    Ok(EndOutcome::Ending) => return Ok(EndResult::Ending),
                    Ok(EndOutcome::Unknown) => {}
                    Err(_) => return Err(Fault::Unavailable("the proxy did not answer".to_owned())),
                }
            }
            if shared.log.shared() && live.has(call) {
                return request_end(&shared, call, &verdict);
            }
            Ok(EndResult::Unknown)
        }))
    }

    fn stats(&self) -> NodeStats {
        let now = (self.shared.clock)();
        let shards = self.shared.shards();
        let invites = shards.iter().map(|s| s.counters().invites).sum();
        let (cps_1s, cps_10s_tenths) = self.rate.lock().unwrap_or_else(PoisonError::into_inner).note(now.mono_ns / 1_000_000_000, invites);
        let gauges: Gauges = self.shared.gate().admission.gauges();
        let (mut up, mut answered) = (0, 0);
        self.live.each(|open| {
            up += 1;
            answered += u64::from(open.answered().is_some());
        });
        // Alone the gate knows at once; of several proxies only the log tells.
        if !self.shared.log.shared() {
            up = gauges.calls as u64;
        }
        NodeStats {
            node_id: self.shared.mint.node_name(),
            uptime_s: (now.mono_ns - self.shared.started.mono_ns) / 1_000_000_000,
            calls_up: up,
            calls_answered: answered,
            cps_1s,
            cps_10s_tenths,
            draining: self.shared.draining.load(std::sync::atomic::Ordering::Relaxed),
            log_health: match worst(self.shared.own.health(), self.shared.log.health()) {
                Health::Good => "good",
                Health::Slow => "slow",
                Health::Failing => "failing",
            }
            .to_owned(),
        }
    }
}

/// Of the node's own log and the shared one.
pub fn worst(own: Health, shared: Health) -> Health {
    match (own, shared) {
        (Health::Failing, _) | (_, Health::Failing) => Health::Failing,
        (Health::Slow, _) | (_, Health::Slow) => Health::Slow,
        _ => Health::Good,
    }
}

fn view(open: &tollgate_proxy::live::OpenCall, now_us: i64) -> LiveCall {
    let attempted = open.attempted_event();
    let facts = open.facts().cloned().unwrap_or_default();
    let personal = attempted.personal.clone().unwrap_or_default();
    let answered = open.answered();
    let tried = open.routes_tried().last().and_then(|e| match &e.body {
        Some(Body::CallRouteTried(t)) => Some(t),
        _ => None,
    });
    let sell: Option<&Terms> = answered.and_then(|(_, a)| a.sell.as_ref()).or_else(|| open.attempted().and_then(|a| a.sell.as_ref()));
    let elapsed_ms = answered.map(|(e, _)| (now_us - e.occurred_us).max(0) as u64 / 1000);
    let ringing = open.ringing().count() > 0;
    let ending = open.teardowns().count() > 0;
    LiveCall {
        call_uuid: open.id(),
        account: facts.account,
        root_account: facts.root_account,
        trunk: facts.trunk,
        carrier: tried.map(|t| t.carrier.clone()).unwrap_or_default(),
        a_number: if personal.a_e164.is_empty() { personal.a_raw } else { personal.a_e164 },
        b_number: if personal.b_e164.is_empty() { personal.b_raw } else { personal.b_e164 },
        dest_group: facts.b_dest_group,
        state: match () {
            () if ending => "ending",
            () if answered.is_some() => "answered",
            () if ringing => "ringing",
            () => "trying",
        },
        attempt_no: tried.map_or(0, |t| t.attempt_no),
        invite_us: attempted.occurred_us,
        answer_us: answered.map(|(e, _)| e.occurred_us),
        sell_rate: sell.map(|t| format_rate(t.rate_e12)).unwrap_or_default(),
        currency: sell.map(|t| t.currency.clone()).unwrap_or_default(),
        spent_e8: elapsed_ms.zip(sell).zip(answered).map_or(0, |((ms, terms), (e, _))| terms.charge(e.occurred_us, ms).amount_e8),
        emergency: facts.emergency,
    }
}

pub struct BlocksPort(pub Arc<Shared>);

impl BlocksPort {
    /// The key of a block's events: the root account it is about, so that its tenant sees it.
    fn key(&self, account: &str, trunk: &str) -> String {
        let plan = self.0.owner.plan();
        let policy = &plan.policy;
        if !account.is_empty() {
            return policy.root_of(account).to_owned();
        }
        policy.trunk_named(trunk).map(|t| policy.account(policy.trunk(t).account).root.clone()).unwrap_or_default()
    }
}

/// Asks whichever proxy has the call to end it, by way of the log they all read.
fn request_end(shared: &Shared, call: Id, verdict: &Verdict) -> Result<EndResult, Fault> {
    let body = Body::CallEndRequested(CallEndRequested { call_id: call.to_vec(), actor: verdict.actor.clone(), reason: verdict.reason.clone() });
    append(shared, "", body)?;
    Ok(EndResult::Ending)
}

fn append(shared: &Shared, key: &str, body: Body) -> Result<Id, Fault> {
    let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now: (shared.clock)(), control_position: shared.owner.plan().control_position };
    let event = Event::born(origin, key, body);
    let id = event.id();
    let log: &dyn EventLog = &*shared.log;
    let ticket = log
        .append(vec![Append { topic: Topic::Blocks, partition: 0, event }], Urgency::Group, Claim::Reserved)
        .map_err(|e| Fault::Unavailable(e.to_string()))?;
    log.wait(ticket, PATIENCE).map_err(|e| Fault::Unavailable(e.to_string()))?;
    Ok(id)
}

impl Blocks for BlocksPort {
    fn unknown(&self, scope: BlockScope) -> Answer<'_, Vec<Problem>> {
        let shared = self.0.clone();
        Box::pin(off(move || Ok(scope::unknown(&shared, &scope))))
    }

    fn place(&self, block: NewBlock) -> Answer<'_, Id> {
        let key = self.key(&block.scope.account, &block.scope.trunk);
        let shared = self.0.clone();
        Box::pin(off(move || {
            let id = shared.mint.mint();
            let now = (shared.clock)();
            let body = Body::BlockPlaced(BlockPlaced {
                block_id: id.to_vec(),
                scope: Some(block.scope),
                actor: format!("operator:{}", block.actor),
                reason: block.reason,
                expires_us: block.expires_s.map_or(0, |s| now.utc_us.saturating_add_unsigned(s.saturating_mul(1_000_000))),
                sip_code: block.sip_code.into(),
                teardown: block.teardown,
                rule: String::new(),
                evidence: Vec::new(),
            });
            append(&shared, &key, body)?;
            Ok(id)
        }))
    }

    fn lift(&self, block: Id, actor: &str, reason: &str) -> Answer<'_, LiftResult> {
        let shared = self.0.clone();
        let body = Body::BlockLifted(BlockLifted { block_id: block.to_vec(), actor: format!("operator:{actor}"), reason: reason.to_owned() });
        Box::pin(off(move || {
            if !is_in_force(&shared, block) {
                return Ok(LiftResult::Unknown);
            }
            append(&shared, "", body)?;
            Ok(LiftResult::Lifted)
        }))
    }
}

/// Whether a block is in force; one that was placed a moment ago is waited for.
fn is_in_force(shared: &Shared, block: Id) -> bool {
    for _ in 0..10 {
        if shared.gate().admission.blocks().any(|b| b.id == block) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Counters of all shards, summed by name.
pub fn summed(shards: &[Arc<shard::Shared>]) -> HashMap<&'static str, u64> {
    let mut all = HashMap::new();
    for shard in shards {
        for (name, value) in shard.counters().each() {
            *all.entry(name).or_insert(0) += value;
        }
    }
    all
}
