//! Credit at a node (FN-06, FN-07): what its proxy asks of the writer of its accounts' money and applies. Demands go to the node's own log, behind the calls' events; what is granted comes on topic `leases`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tollgate_ingest::{WorkerHandle, follow, follow::From};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    log::{Append, Claim, Topic, Urgency},
};

use super::Shared;

/// Between two looks whether something is to be asked for; demands themselves are rarer (`credit::EVERY_NS`).
const LOOK: Duration = Duration::from_millis(25);
/// How long a start waits for the first leases: calls before them are refused with 503.
const FIRST: Duration = Duration::from_secs(2);

/// This proxy's side: it asks, and applies what is granted.
pub struct Credits {
    stop: Arc<AtomicBool>,
    asks: Option<thread::JoinHandle<()>>,
    grants: Option<WorkerHandle>,
}

impl Credits {
    pub fn start(shared: &Arc<Shared>) -> anyhow::Result<Credits> {
        let applied = shared.clone();
        let grants = follow::follow(shared.log.clone(), "credit", &[Topic::Leases], From::End, 0, move |_, partition, record| {
            if let Some(Body::LeaseGranted(granted)) = &record.event.body
                && granted.credit
            {
                applied.gate().admission.apply_credit(partition, granted, (applied.clock)());
            }
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, asking) = (stop.clone(), shared.clone());
        let asks = thread::Builder::new().name("credit-ask".to_owned()).spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                ask(&asking);
                thread::sleep(LOOK);
            }
        })?;
        Ok(Credits { stop, asks: Some(asks), grants: Some(grants) })
    }

    /// Waits until every account's first lease is known, or not much longer.
    pub fn wait(&self, shared: &Shared) {
        let until = Instant::now() + FIRST;
        while Instant::now() < until && !shared.gate().admission.credit_known(&shared.owner.plan().policy) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn ask(shared: &Shared) {
    let plan = shared.owner.plan();
    let now = (shared.clock)();
    let demands = shared.gate().admission.credit_demands(&plan.policy, now);
    if demands.is_empty() {
        return;
    }
    let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now, control_position: plan.control_position };
    let batch: Vec<Append> = demands
        .into_iter()
        .map(|(partition, asked)| Append { topic: Topic::Calls, partition, event: Event::born(origin, "", Body::LeaseAsked(asked)) })
        .collect();
    // A demand that is not taken is said again: what it is about stays changed until a grant answers.
    if let Err(error) = shared.own.append(batch, Urgency::Group, Claim::Reserved) {
        tracing::debug!(%error, "no credit asked for");
    }
}

impl Drop for Credits {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.grants.take();
        if let Some(asks) = self.asks.take() {
            let _ = asks.join();
        }
    }
}
