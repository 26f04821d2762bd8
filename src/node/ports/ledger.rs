//! Accounts' money for the API, and money that is booked by hand (FN-06, FN-08, X-08). A payment goes into topic `calls` to the rater of its
//! account's partition, which posts it or not; the answer goes out after that.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tollgate_api::ports::{Fault, Kind, Ledger, Money, NewPayment, Paid, Problem};
use tollgate_rating::{
    corrections::journal::{Booked, Journal},
    ledger::{self, Balances},
};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::{Id, partition_of},
    log::{Append, Claim, Topic, Urgency},
    money::format_amount,
    v1::PaymentPosted,
};

use super::{Answer, off};
use crate::node::{Shared, accounts::Accounts};

/// How long the rater may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it is posted, and whether the rater has passed it.
const LOOK: Duration = Duration::from_millis(5);
const PASSED: Duration = Duration::from_millis(100);

pub struct LedgerPort {
    pub shared: Arc<Shared>,
    pub accounts: Arc<Accounts>,
}

impl Ledger for LedgerPort {
    fn money(&self, root: &str, account: &str) -> Vec<Money> {
        self.accounts.money(root, account)
    }

    fn pay(&self, payment: NewPayment) -> Answer<'_, Paid> {
        let (shared, accounts) = (self.shared.clone(), self.accounts.clone());
        Box::pin(off(move || book(&shared, &accounts, payment)))
    }
}

fn refused(path: &str, message: String) -> Paid {
    Paid::Refused(vec![Problem { path: path.to_owned(), message }])
}

fn stands(booked: &Booked) -> Paid {
    Paid::Booked { id: booked.payment, currency: booked.currency.clone() }
}

fn book(shared: &Shared, accounts: &Accounts, mut payment: NewPayment) -> Result<Paid, Fault> {
    let away = |e: String| Fault::Unavailable(e);
    // Where an account's money is does not change while some is booked.
    let _still = shared.owner.booking.read().unwrap_or_else(PoisonError::into_inner);
    if shared.owner.get(Kind::Account, &payment.account).is_none() {
        return Ok(refused("account", format!("there is no account '{}'", payment.account)));
    }
    let plan = shared.owner.plan();
    plan.policy.root_of(&payment.account).clone_into(&mut payment.root_account);
    let now = (shared.clock)();
    let decided = accounts.read(&*shared.log, |journal, balances| known(journal, &payment, now.utc_us).or_else(|| not_taken(balances, &payment)));
    if let Some(decided) = decided.map_err(away)? {
        return Ok(decided);
    }
    let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now, control_position: plan.control_position };
    let partition = partition_of(&payment.root_account, shared.log.partitions());
    let event = Event::born(origin, &payment.root_account, posted(&payment));
    let id = event.id();
    let ticket = shared.log.append(vec![Append { topic: Topic::Calls, partition, event }], Urgency::Group, Claim::Reserved).map_err(|e| away(e.to_string()))?;
    shared.log.wait(ticket, super::PATIENCE).map_err(|e| away(e.to_string()))?;
    let end = shared.log.end(Topic::Calls, partition);
    let (began, mut looked) = (Instant::now(), Instant::now());
    while began.elapsed() < PATIENCE {
        if let Some(booked) = accounts.journal(|journal| journal.payment(id, now.utc_us).map(stands)) {
            return Ok(booked);
        }
        if looked.elapsed() > PASSED {
            looked = Instant::now();
            let passed = shared.log.progress("rater", Topic::Calls, partition).map_err(|e| away(e.to_string()))?;
            if passed.unwrap_or(0) >= end {
                // What it posted is durable with how far it is.
                let decided = accounts.read(&*shared.log, |journal, balances| {
                    let own = journal.payment(id, now.utc_us).map(stands);
                    own.or_else(|| known(journal, &payment, now.utc_us)).or_else(|| not_taken(balances, &payment))
                });
                return Ok(decided.map_err(away)?.unwrap_or_else(|| unknown(&payment, id)));
            }
        }
        std::thread::sleep(LOOK);
    }
    Err(Fault::Unavailable(format!(
        "payment {id} is written, and the rating stage has not come to it: it is posted when it does. Ask again with the same Idempotency-Key or reference, or look at the balance first"
    )))
}

fn posted(payment: &NewPayment) -> Body {
    let payment = payment.clone();
    Body::PaymentPosted(PaymentPosted {
        account: payment.account,
        root_account: payment.root_account,
        kind: payment.kind,
        amount_e8: payment.amount_e8,
        currency: payment.currency,
        actor: payment.actor,
        reason: payment.reason,
        reference: payment.reference,
        request: payment.request,
    })
}

/// What the same request, or the account's same reference, came to before.
fn known(journal: &Journal, payment: &NewPayment, now_us: i64) -> Option<Paid> {
    let told = |b: &Booked| format!("{} {} of {} {} for '{}'", b.kind, b.payment, format_amount(b.amount_e8), b.currency, b.account);
    if let Some(request) = &payment.request
        && let Some(first) = journal.request(Id::of(&request.id), now_us)
    {
        let same = first.request.as_ref().is_some_and(|r| r.sha256 == request.sha256);
        return Some(if same { stands(first) } else { Paid::KeyReused(format!("this Idempotency-Key was used with another request, which booked {}", told(first))) });
    }
    if payment.reference.is_empty() {
        return None;
    }
    let first = journal.reference(&payment.root_account, &payment.account, &payment.reference)?;
    let same = (&first.kind, &first.currency, first.amount_e8) == (&payment.kind, &payment.currency, payment.amount_e8);
    let used = || Paid::ReferenceUsed(format!("'{}' is the reference of {}: what is another booking has another reference", payment.reference, told(first)));
    Some(if same { stands(first) } else { used() })
}

fn not_taken(balances: &Balances, payment: &NewPayment) -> Option<Paid> {
    let (root, account) = (&payment.root_account, &payment.account);
    let owed_e8 = balances.balance(&ledger::customer(root, account), &payment.currency);
    let deposits_e8 = balances.balance(&ledger::deposit(root, account), &payment.currency).saturating_neg();
    let taken = ledger::takes(&payment.kind, payment.amount_e8, owed_e8, deposits_e8);
    taken.err().map(|e| refused("amount", format!("{} {} is not booked: {e}", format_amount(payment.amount_e8), payment.currency)))
}

/// The rater passed it by, and nothing that is kept here says why.
fn unknown(payment: &NewPayment, id: Id) -> Paid {
    if payment.reference.is_empty() {
        return refused("", format!("payment {id} was not posted: the quarantine has it, and why"));
    }
    Paid::ReferenceUsed(format!("'{}' was used for an earlier booking of this account", payment.reference))
}
