//! Credit at a node (FN-06, FN-07): what its proxy asks of the writer of its accounts' money and applies, and the
//! API's port. Demands go to the node's own log, behind the calls' events; what is granted comes on topic `leases`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tollgate_api::ports::{Fault, Ledger, Money, NewPayment};
use tollgate_ingest::{WorkerHandle, follow, follow::From};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::{Id, partition_of},
    log::{Append, Claim, Topic, Urgency},
    v1::PaymentPosted,
};

use super::{Shared, accounts::Accounts, ports};

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

pub struct LedgerPort {
    pub shared: Arc<Shared>,
    pub accounts: Arc<Accounts>,
}

impl Ledger for LedgerPort {
    fn money(&self, root: &str, account: &str) -> Vec<Money> {
        self.accounts.money(root, account)
    }

    fn pay(&self, payment: NewPayment) -> ports::Answer<'_, Id> {
        let shared = self.shared.clone();
        Box::pin(ports::off(move || {
            let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now: (shared.clock)(), control_position: shared.owner.plan().control_position };
            let partition = partition_of(&payment.root_account, shared.log.partitions());
            let key = payment.root_account.clone();
            // What is booked once has one id, the one the rater knows it by, however often it is said.
            let known = |reference: &str| Id::derived("payment", Id::NIL, &format!("{}/{}/{reference}", payment.root_account, payment.account), 0);
            let once = (!payment.reference.is_empty()).then(|| known(&payment.reference));
            let body = Body::PaymentPosted(PaymentPosted {
                account: payment.account,
                root_account: payment.root_account,
                kind: payment.kind,
                amount_e8: payment.amount_e8,
                currency: payment.currency,
                actor: payment.actor,
                reason: payment.reason,
                reference: payment.reference,
            });
            let event = Event::born(origin, &key, body);
            let id = once.unwrap_or(event.id());
            let ticket = shared
                .log
                .append(vec![Append { topic: Topic::Calls, partition, event }], Urgency::Group, Claim::Reserved)
                .map_err(|e| Fault::Unavailable(e.to_string()))?;
            shared.log.wait(ticket, ports::PATIENCE).map_err(|e| Fault::Unavailable(e.to_string()))?;
            Ok(id)
        }))
    }
}
