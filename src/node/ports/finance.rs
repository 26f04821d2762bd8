//! Finance's orders on a running node: re-rating, invoices, notes, disputes. What is computed is rating's; here the store is
//! read, prices are looked up in the plan, and what is decided goes into the log.

mod call_ledger;
mod calls;
mod invoices;
mod notes;
mod pages;
mod posting;
mod rerate;
mod short_report;
mod statements;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono_tz::Tz;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tollgate_api::ports::{Fault, Finance, FinanceVerb, KEY_REUSED, Problem};
use tollgate_proxy::routing::SharedPlan;
use tollgate_rating::corrections::{
    books::PARTITION,
    dispute::{self, Dispute, State},
};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::Id,
    log::{Append, Claim, Topic, Urgency},
    store::CdrStore,
    strict,
    time::format_rfc3339,
    v1::{DisputeChanged, RequestKey},
};

use super::{Answer, off};
use crate::node::{Shared, accounts::Accounts, books::SharedBooks};

/// How long the store may lag behind the log before an order is told to wait.
const PATIENCE: Duration = Duration::from_secs(15);

pub struct FinancePort(Arc<Inner>);

pub struct Inner {
    shared: Arc<Shared>,
    cdrs: Arc<dyn CdrStore>,
    books: Arc<SharedBooks>,
    accounts: Arc<Accounts>,
    /// The plan as it was known at some time, with the control position it was made at.
    known: Mutex<Option<(i64, u64, SharedPlan)>>,
    /// Orders of re-ratings lately, by partition: how many of each second.
    pace: Mutex<rerate::Pace>,
}

/// What an order came to: its answer, or what is wrong with it; None = no such thing.
pub type Outcome = Option<Result<Value, Vec<Problem>>>;

/// What stops an order.
pub enum Stop {
    Problems(Vec<Problem>),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

impl From<tollgate_schemas::store::StoreError> for Stop {
    fn from(e: tollgate_schemas::store::StoreError) -> Stop {
        Stop::Fault(Fault::Unavailable(e.to_string()))
    }
}

pub fn problem(path: &str, message: impl Into<String>) -> Stop {
    Stop::Problems(vec![Problem { path: path.to_owned(), message: message.into() }])
}

impl FinancePort {
    pub fn new(shared: Arc<Shared>, cdrs: Arc<dyn CdrStore>, books: Arc<SharedBooks>, accounts: Arc<Accounts>) -> FinancePort {
        FinancePort(Arc::new(Inner { shared, cdrs, books, accounts, known: Mutex::default(), pace: Mutex::default() }))
    }
}

impl Finance for FinancePort {
    fn ask(&self, verb: FinanceVerb, name: &str, order: Value, actor: &str, request: Option<RequestKey>) -> Answer<'_, Outcome> {
        let (inner, name, actor) = (self.0.clone(), name.to_owned(), actor.to_owned());
        // Nothing is issued by what only shows.
        let request = request.filter(|_| order["dry_run"] != true);
        Box::pin(off(move || match inner.once(verb, &name, &order, &Asker { id: &actor, request: request.as_ref() }) {
            Ok(Some(answer)) => Ok(Some(Ok(answer))),
            Ok(None) => Ok(None),
            Err(Stop::Problems(problems)) => Ok(Some(Err(problems))),
            Err(Stop::Fault(fault)) => Err(fault),
        }))
    }
}

/// An order's fields, or what is wrong with them.
fn read<T: DeserializeOwned>(order: &Value) -> Result<T, Stop> {
    strict::read(order).map_err(|bad| problem(&bad.path, bad.message))
}

/// Who asks, and the key by which it is done once.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    id: &'a str,
    request: Option<&'a RequestKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    to: String,
    #[serde(default)]
    note: String,
    /// Of an accepted one: what they credit.
    credit: Option<String>,
    #[serde(default)]
    late_override: bool,
    /// A credit of more than is disputed.
    #[serde(default)]
    amount_override: bool,
}

/// A drafted dispute, and whether more than was billed may be disputed.
#[derive(Deserialize)]
struct Draft {
    #[serde(flatten)]
    dispute: Dispute,
    #[serde(default)]
    amount_override: bool,
}

impl Inner {
    /// What is asked for with a key is done once: asked again within a day, whichever process did it, the first one's answer comes back.
    fn once(&self, verb: FinanceVerb, name: &str, order: &Value, by: &Asker<'_>) -> Result<Option<Value>, Stop> {
        if let Some(answer) = self.answered(by)? {
            return Ok(Some(answer));
        }
        match self.carry_out(verb, name, order, by) {
            // Another process may have been asked the same at the same time.
            Err(stop) => self.answered(by)?.map_or(Err(stop), |answer| Ok(Some(answer))),
            done => done,
        }
    }

    fn answered(&self, by: &Asker<'_>) -> Result<Option<Value>, Stop> {
        let Some(request) = by.request else { return Ok(None) };
        let now_us = (self.shared.clock)().utc_us;
        let Some(made) = self.look(|books| books.request(request, now_us).cloned())? else { return Ok(None) };
        let mut answer: Value = serde_json::from_str(&made.json).map_err(|e| Fault::Internal(e.to_string()))?;
        if made.request.sha256 != request.sha256 {
            let what = ["number", "id"].iter().find_map(|n| answer[*n].as_str()).unwrap_or_default();
            return Err(problem(KEY_REUSED, format!("this Idempotency-Key was used with another request, which made {what}")));
        }
        if let Some(revision) = made.revision {
            answer["revision"] = revision.into();
        }
        Ok(Some(answer))
    }

    fn carry_out(&self, verb: FinanceVerb, name: &str, order: &Value, by: &Asker<'_>) -> Result<Option<Value>, Stop> {
        let actor = by.id;
        match verb {
            FinanceVerb::AsOf => Ok(Some(json!({ "as_of": self.as_of()?, "key": actor }))),
            FinanceVerb::Rerate => self.rerate(&read(order)?, actor).map(Some),
            FinanceVerb::Invoice => self.invoice(&read(order)?, by).map(Some),
            FinanceVerb::Documents => {
                let items: Vec<Value> = self.look(|books| {
                    books.documents().filter(|d| name.is_empty() || d.account == name).filter_map(|d| serde_json::from_str(&d.json).ok()).collect()
                })?;
                Ok(Some(json!({ "items": items, "next_cursor": null })))
            }
            FinanceVerb::Document => {
                let Some((series, number)) = numbered(name) else { return Ok(None) };
                self.look(|books| books.document(series, number).and_then(|d| serde_json::from_str(&d.json).ok()))
            }
            FinanceVerb::Note => self.note(&read(order)?, by).map(Some),
            FinanceVerb::Statement => self.statement(&read(order)?).map(Some),
            FinanceVerb::Ageing => self.ageing(&read(order)?).map(Some),
            FinanceVerb::Accrual => self.accrual(&read(order)?).map(Some),
            FinanceVerb::Netting => self.netting(&read(order)?).map(Some),
            FinanceVerb::CallLedger => self.call_ledger(name, &read(order)?),
            FinanceVerb::ShortCalls => self.short_report(&read(order)?).map(Some),
            FinanceVerb::Disputes => {
                let items: Vec<Value> = self.look(|books| books.disputes().map(|(_, revision, d)| shown_dispute(d, revision)).collect())?;
                Ok(Some(json!({ "items": items, "next_cursor": null })))
            }
            FinanceVerb::Dispute => {
                let Draft { dispute: drafted, amount_override } = read(order)?;
                if drafted.state != State::Draft {
                    return Err(problem("state", "a dispute begins as a draft"));
                }
                drafted.check(amount_override).map_err(|e| problem(e.field(), e.to_string()))?;
                self.check_disputed(&drafted)?;
                let id: Id = drafted.id.parse().map_err(|_| problem("id", "want an id in UUID shape, as `tollgate reconcile` drafts it"))?;
                self.change(id, by, "drafted", move |known| match known {
                    Some(_) => Err("there is this dispute already".to_owned()),
                    None => Ok(drafted.clone()),
                })
                .map(Some)
            }
            FinanceVerb::Step => {
                let step: Step = read(order)?;
                let Ok(id) = name.parse::<Id>() else { return Ok(None) };
                if self.look(|books| books.dispute(id).is_none())? {
                    return Ok(None);
                }
                let to = State::from_name(&step.to).ok_or_else(|| problem("to", format!("'{}' is no state of a dispute", step.to)))?;
                let today = format_rfc3339((self.shared.clock)().utc_us)[..10].to_owned();
                self.change(id, by, &step.note, move |known| {
                    let Some(known) = known else { return Err("there is no such dispute".to_owned()) };
                    let step = dispute::Step {
                        to, today: &today, credit: step.credit.as_deref(), late_override: step.late_override, amount_override: step.amount_override,
                    };
                    known.step(&step).map_err(|e| e.to_string())
                })
                .map(Some)
            }
        }
    }

    /// A customer's dispute is about an invoice of ours, and no more than is left of it.
    fn check_disputed(&self, drafted: &Dispute) -> Result<(), Stop> {
        if drafted.invoice.is_empty() {
            return Ok(());
        }
        let amount = tollgate_schemas::money::parse_scaled(&drafted.amount_disputed, 8).ok().filter(|e8| *e8 > 0);
        let Some(amount_e8) = amount else { return Err(problem("amount_disputed", format!("'{}' is no amount above 0", drafted.amount_disputed))) };
        let found = self.look(|books| {
            let invoice = numbered(&drafted.invoice).and_then(|(series, number)| books.document(series, number)).filter(|d| d.kind == "invoice")?;
            let open = books.disputes().filter(|(_, _, d)| d.invoice == drafted.invoice && d.is_open() && d.id != drafted.id);
            let disputed = open.filter_map(|(_, _, d)| tollgate_schemas::money::parse_scaled(&d.amount_disputed, 8).ok()).fold(0i64, i64::saturating_add);
            Some((invoice.account == drafted.account && invoice.currency == drafted.currency, books.remainder(invoice).saturating_sub(disputed)))
        })?;
        match found {
            None => Err(problem("invoice", format!("there is no invoice {}", drafted.invoice))),
            Some((false, _)) => Err(problem("account", format!("invoice {} is of another account or currency", drafted.invoice))),
            Some((true, left_e8)) if amount_e8 > left_e8 => {
                Err(problem("amount_disputed", format!("more than the {} of invoice {} that is not disputed yet", tollgate_schemas::money::format_amount(left_e8), drafted.invoice)))
            }
            Some(_) => Ok(()),
        }
    }

    fn look<T>(&self, look: impl FnOnce(&tollgate_rating::corrections::books::Books) -> T) -> Result<T, Stop> {
        self.books.read(&*self.shared.log, look).map_err(|e| Stop::Fault(Fault::Unavailable(e)))
    }

    /// Writes a dispute in its next state.
    fn change(&self, id: Id, by: &Asker<'_>, note: &str, next: impl Fn(Option<&Dispute>) -> Result<Dispute, String>) -> Result<Value, Stop> {
        let mut refused = None;
        let issued = self.books.issue(
            &*self.shared.log,
            by.request,
            |books| {
                let known = books.dispute(id);
                let dispute = next(known.map(|(_, d)| d)).inspect_err(|e| refused = Some(e.clone()))?;
                let revision = known.map_or(0, |(revision, _)| revision + 1);
                let body = Body::DisputeChanged(DisputeChanged {
                    dispute_id: id.to_vec(),
                    carrier: dispute.carrier.clone(),
                    state: dispute.state.name().to_owned(),
                    revision,
                    actor: by.id.to_owned(),
                    note: note.to_owned(),
                    document: serde_json::to_string(&dispute).map_err(|e| e.to_string())?,
                    request: by.request.cloned(),
                });
                Ok((self.born("", body), shown_dispute(&dispute, revision)))
            },
            |event| self.write(event),
        );
        issued.map_err(|e| match refused.take() {
            Some(refused) => problem("", refused),
            None => Stop::Fault(Fault::Unavailable(e)),
        })
    }

    fn born(&self, key: &str, body: Body) -> Event {
        let shared = &self.shared;
        let origin = Origin { mint: &shared.mint, boot_id: shared.boot_id, now: (shared.clock)(), control_position: shared.owner.plan().control_position };
        Event::born(origin, key, body)
    }

    /// A document into its partition of the ledger; durable when this returns.
    fn write(&self, event: Event) -> Result<(), String> {
        let log = &self.shared.log;
        let append = Append { topic: Topic::Ledger, partition: PARTITION, event };
        let ticket = log.append(vec![append], Urgency::Group, Claim::Reserved).map_err(|e| e.to_string())?;
        log.wait(ticket, PATIENCE).map_err(|e| e.to_string())
    }

    /// Waits until the store has the rows of every call event that is durable now, and gives the position of topic `calls`
    /// they are of, partition by partition with points between them.
    fn as_of(&self) -> Result<String, Stop> {
        let log = &*self.shared.log;
        let until = Instant::now() + PATIENCE;
        let late = |what: &str| Stop::Fault(Fault::Unavailable(format!("{what} lags behind the log: ask again")));
        // Progress without outputs is noted once a second, of all partitions at once: so they are waited for together.
        let ends: Vec<u64> = (0..log.partitions()).map(|p| log.end(Topic::Calls, p)).collect();
        let mut positions = Vec::with_capacity(ends.len());
        for (partition, end) in (0..).zip(ends) {
            loop {
                let at = log.progress("rater", Topic::Calls, partition).map_err(|e| Fault::Unavailable(e.to_string()))?.unwrap_or(0);
                if at >= end {
                    positions.push(at.to_string());
                    break;
                }
                if Instant::now() > until {
                    return Err(late("rating"));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let ends: Vec<u64> = (0..log.partitions()).map(|p| log.end(Topic::Cdrs, p)).collect();
        for (partition, end) in (0u16..).zip(ends) {
            loop {
                let stored = match self.cdrs.reached() {
                    Some(positions) => positions.get(usize::from(partition)).copied(),
                    None => log.progress(tollgate_ingest::PROJECTOR, Topic::Cdrs, partition).map_err(|e| Fault::Unavailable(e.to_string()))?,
                };
                if stored.unwrap_or(0) >= end {
                    break;
                }
                if Instant::now() > until {
                    return Err(late("the CDR store"));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(positions.join("."))
    }
}

fn shown_dispute(dispute: &Dispute, revision: u64) -> Value {
    let mut value = serde_json::to_value(dispute).unwrap_or_default();
    value["revision"] = revision.into();
    value
}

/// A document as it is answered.
fn shown(document: &impl serde::Serialize, draft: bool) -> Result<Value, Stop> {
    let mut value = serde_json::to_value(document).map_err(|e| Fault::Internal(e.to_string()))?;
    if draft {
        value["draft"] = true.into();
    }
    Ok(value)
}

fn zone(name: Option<&str>) -> Result<Tz, Stop> {
    let name = name.unwrap_or("UTC");
    name.parse().map_err(|_| problem("timezone", format!("'{name}' is not a time zone of the IANA list")))
}

/// `2026-41` → ("2026", 41): a series may have a dash in it.
pub fn numbered(name: &str) -> Option<(&str, u64)> {
    let (series, number) = name.rsplit_once('-')?;
    Some((series, number.parse().ok()?))
}

/// Positions as the store's filter has them.
pub fn positions(as_of: &str) -> Vec<u64> {
    as_of.split('.').filter_map(|n| n.parse().ok()).collect()
}
