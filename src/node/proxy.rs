//! The proxy's part of a process: blocks in force, the calls that were up, sockets and their threads.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, Weak},
    thread,
};

use anyhow::Context as _;
use tollgate_ingest::{EmbeddedLog, Runner, RunnerOptions, WorkerHandle, follow, follow::From};
use tollgate_proxy::{
    admission::{CreditRules, PortabilitySource},
    shard::{self, Command, Shard},
    sip::{call::Verdict, core::Context, token::Keyring},
    udp::UdpBatch,
};
use tollgate_schemas::{event::Body, id::Id, log::Topic};

use super::{Shared, caught_up, live::Live};
use crate::config::Config;

/// The SIP threads and where they listen.
pub type Started = (Vec<thread::JoinHandle<()>>, SocketAddr);

/// Folds the calls that were up, then opens sockets. Gives this node's calls, and the thread that follows them.
pub fn start(shared: &Arc<Shared>, embedded: &EmbeddedLog, config: &Config, keys: Keyring) -> anyhow::Result<(Arc<Live>, WorkerHandle, Started)> {
    let live = Live::of_node(shared.own.partitions(), embedded.node());
    let live_stage = live.clone();
    let options = RunnerOptions { poll_ms: 50, ..RunnerOptions::default() };
    let worker = Runner::spawn(shared.own.clone(), "live", move |p| live_stage.stage(p), options)?;
    caught_up(&worker, "the calls that were up")?;
    shared.gate().admission.credit_mode(&shared.mint.node_name(), CreditRules { partitions: shared.own.partitions(), expires: shared.log.shared(), ..CreditRules::default() });
    let node = Arc::downgrade(shared);
    let tell = Box::new(move |asker, number, answer| tell_shard(&node, asker, Command::NumberKnown { number, answer }));
    let (portability, gauges) = super::lrn::source(&config.lrn, shared.clock, tell)?;
    shared.gate().admission.portability = portability.map_or_else(PortabilitySource::default, PortabilitySource::new);
    if let Some(gauges) = gauges {
        let _ = shared.lrn.set(gauges);
    }
    let node = Arc::downgrade(shared);
    let tell = Box::new(move |asker, number, answer| tell_shard(&node, asker, Command::NameKnown { number, answer }));
    let (names, gauges) = super::cnam::source(&config.cnam, shared.clock, tell)?;
    shared.gate().admission.caller_names = names.map_or_else(PortabilitySource::default, PortabilitySource::new);
    if let Some(gauges) = gauges {
        let _ = shared.cnam.set(gauges);
    }
    live.each_usage(|usage| shared.gate().admission.restore_usage(usage));
    let ctx = Context {
        local: config.sip.listen,
        settings: config.sip.timers.clone(),
        keys,
        mint: shared.mint.clone(),
        boot_id: shared.boot_id,
        generation: embedded.epoch().wrapping_mul(0x9e37_79b9),
        partitions: shared.own.partitions(),
        gate: shared.gate.clone(),
    };
    let plan = shared.owner.plan();
    let started = start_shards(shared, &live, ctx, plan, config.sip.shards)?;
    Ok((live, worker, started))
}

/// What came of a look-up, for the shard that asked. Nobody waits any more when the node is gone.
fn tell_shard(node: &Weak<Shared>, asker: u32, command: Command) {
    let Some(shared) = node.upgrade() else { return };
    let shards = shared.shards.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(shard) = shards.get(asker as usize) {
        shard.command(command);
    }
}

/// Puts every block in force, and from then on each as it comes, with a sweep over the calls.
pub fn follow_blocks(shared: &Arc<Shared>) -> anyhow::Result<WorkerHandle> {
    let applied = shared.clone();
    let worker = follow::follow(shared.own.clone(), "blocks", &[Topic::Blocks], From::Beginning, 0, move |_, _, record| {
        let now = (applied.clock)();
        match &record.event.body {
            Some(Body::BlockPlaced(placed)) => {
                if let Err(error) = applied.gate().admission.apply_block(placed, now) {
                    tracing::error!(%error, "a block cannot be enforced");
                    return;
                }
                applied.tell(|| Command::Sweep);
            }
            Some(Body::CallEndRequested(wish)) => {
                // Whoever has the call ends it; nobody waits for the answer here.
                let (answer, _) = std::sync::mpsc::sync_channel(applied.shards().len().max(1));
                let verdict = Verdict {
                    actor: wish.actor.clone(),
                    end_reason: "command",
                    block: None,
                    sip_code: 403,
                    q850: 21,
                    reason: wish.reason.clone(),
                    teardown: true,
                };
                let id = Id::of(&wish.call_id);
                applied.tell(|| Command::End { id, verdict: verdict.clone(), answer: answer.clone() });
            }
            Some(Body::BlockLifted(lifted)) => drop(applied.gate().admission.lift_block(Id::of(&lifted.block_id))),
            _ => {}
        }
    })?;
    caught_up(&worker, "blocks")?;
    Ok(worker)
}

/// Binds the sockets, takes up open calls, starts the threads.
fn start_shards(shared: &Arc<Shared>, live: &Live, mut ctx: Context, plan: tollgate_proxy::routing::SharedPlan, count: usize) -> anyhow::Result<Started> {
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
        .map(|(i, socket)| Shard::new(i, peers.clone(), socket, ctx.clone(), plan.clone(), shared.own.clone(), shared.clock))
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
    shared.own.on_durable(Arc::new(move |_| wake.iter().for_each(|p| p.wake_if_waiting())));
    let plans = peers;
    shared.owner.on_plan(Box::new(move |plan| plans.iter().for_each(|p| p.command(Command::Plan(plan.clone())))));
    let threads = shards.into_iter().map(Shard::spawn).collect::<Result<Vec<_>, _>>()?;
    Ok((threads, addr))
}

