//! Mediation and rating as one stage: a call's events become one CDR for each carrier tried, one for the call, and
//! postings in the ledger (design §3, points 3 and 6).
//!
//! **When rows are written.** Rows are functions of a call's facts, so they wait until the facts are there, in whatever
//! order those come. An attempt that failed: its `route_tried`, its `attempt_ended` and the call's `attempted`. An
//! attempt that was answered: also `answered` and the call's `ended`. The final: `ended`, as many closed attempts as it
//! says, and the teardown's event where the end is one. An ended call waits [`WAIT_US`] of log time for the rest; then
//! its rows are written with what is there, `rating_status` "error" and local cause "incomplete" if money is concerned.
//! `ringing` and `dialog_changed` are never waited for: the ends repeat what they say.
//!
//! **Versions.** The first `ended` in the log makes version 1. A later fact that changes a row (a contradicting end, a
//! 2xx to an abandoned branch, a fact missing before) makes the next version of that row, and for a final a posting of
//! the difference. Limits of the memory that takes: `memory.rs`. Ids of outputs come from the event that closes the
//! record (`attempt_ended`, `ended`), for later versions from the event that changed it; never from offsets or order.
//!
//! **Lost nodes.** Several nodes write into a partition. When one has been silent for longer than the tolerated outage
//! (`nodes.rs`), its calls that are up are closed: `lost.rs` says how. Rows of version 1 then come from the call's own id,
//! and the node's own facts, when it comes back, make the next version and a posting of the difference.
//!
//! **Money before the end.** What a call of an account with a limit holds is posted as its events say so, and given back with the
//! posting of its charge (`write.rs`, `ledger.rs`). Payments are posted here, too: whatever moves an account's balance is in
//! this partition's order, so that this stage can lend the rest to proxies (`credit.rs`) and tell who nears a limit.
//!
//! **Time** is the newest time seen in the partition, of events and ticks; nothing here reads a clock.

use std::collections::{HashMap, hash_map::Entry};

use foldhash::fast::FixedState;
use prost::{Message, encoding::WireType};
use tollgate_schemas::{
    cdr::Cdr,
    event::Body,
    id::Id,
    log::Topic,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{CallRefused, Event, Quarantined},
};

mod cause;
mod charge;
mod fold;
mod lost;
mod memory;
mod money;
mod record;
mod rerate;
mod state;
mod text;
mod tiers;
mod write;

pub use rerate::{FRESH_US, MAX_RECENT, RECENT_US, cost_charge, differs, repriced, sell_charge};
pub use memory::{KEEP_LOST_US, KEEP_US, MAX_FORGOTTEN, MAX_LOST, MAX_SETTLED, MAX_UNSETTLED, WAIT_US};
pub use tollgate_schemas::nodes::NODE_LOST_US;

use crate::{credit::Credit, lately::Lately};
use fold::Touched;
use memory::{Forgotten, Queue, requests};
use rerate::Recent;
use tollgate_schemas::nodes::Nodes;
use state::{Call, Saved, Stamp};
use write::Desk;

/// Name of the stage, part of its outputs' ids.
pub const NAME: &str = "rater";
/// 2: the nodes heard, and calls closed because theirs fell silent. 3: holds, balances and what of them is
/// lent; what got new versions lately, and terms of re-ratings.
const SNAPSHOT_VERSION: u32 = 3;

/// One partition of topic `calls`, folded.
pub struct Rater {
    desk: Desk,
    /// The newest time seen.
    clock_us: i64,
    nodes: Nodes,
    calls: HashMap<Id, Remembered, FixedState>,
    /// Ended calls that lack facts, and calls without their `attempted`.
    waiting: Queue,
    settled: Queue,
    unsettled: Queue,
    /// Closed calls of silent nodes, and entries of calls whose node came back.
    lost: Queue,
    /// Those of `lost` that count.
    lost_count: usize,
    forgotten: Forgotten,
    credit: Credit,
    /// Payments that were posted, by reference or event: the same again is not.
    payments: Forgotten,
    /// Payments asked for with a key: the same again within a day is not posted.
    requests: Lately<()>,
    recent: Recent,
}

enum Remembered {
    Open(Box<Call>),
    /// The final is written: the saved form, a fifth of the size in use, made while the call is in the cache.
    Closed { deadline_us: i64, lost: bool, state: Box<[u8]> },
}

impl Rater {
    /// `rating_version` goes into each row (C-096).
    pub fn new(partition: u16, rating_version: u32) -> Rater {
        Rater {
            desk: Desk::new(partition, rating_version),
            clock_us: i64::MIN,
            nodes: Nodes::new(NODE_LOST_US),
            calls: HashMap::default(),
            waiting: Queue::default(),
            settled: Queue::default(),
            unsettled: Queue::default(),
            lost: Queue::default(),
            lost_count: 0,
            forgotten: Forgotten::default(),
            credit: Credit::default(),
            payments: Forgotten::default(),
            requests: requests(),
            recent: Recent::default(),
        }
    }

    /// With another tolerated outage than [`NODE_LOST_US`]. All replays of a log must have the same.
    pub fn node_lost_after(mut self, us: i64) -> Rater {
        self.nodes = self.nodes.restored(us);
        self
    }

    /// Calls in memory: open, waiting for facts, or closed and remembered.
    pub fn calls_in_memory(&self) -> usize {
        self.calls.len()
    }

    /// Does what is due.
    fn sweep(&mut self, out: &mut Outputs) {
        let to_us = self.clock_us;
        while let Some((deadline, id)) = self.waiting.pop_due(to_us) {
            let Some(Remembered::Open(call)) = self.calls.get_mut(&id) else { continue };
            if call.deadline_us != deadline {
                continue;
            }
            if call.attempted.is_some() {
                call.flushed = true;
                self.desk.settle(call, Touched::Call, None, out);
                self.close(id);
            } else {
                self.quarantine(id, out);
            }
        }
        while let Some(entry) = self.settled.pop_due(to_us) {
            self.forget(entry);
        }
        while let Some(entry) = self.unsettled.pop_due(to_us) {
            if !self.keep_for_silent_node(entry) {
                self.forget(entry);
            }
        }
        while let Some(entry) = self.lost.pop_due(to_us) {
            self.forget(entry);
        }
    }

    /// Facts of a call whose `attempted` never came: there is nobody to bill, so a person must look.
    fn quarantine(&mut self, id: Id, out: &mut Outputs) {
        let Some(Remembered::Open(call)) = self.calls.remove(&id) else { return };
        self.forgotten.insert(id);
        self.credit.waits(&call.key, &call.waits, -1);
        let cause = call.ended.as_ref().map(|e| e.stamp).unwrap_or_default();
        let stamp = Stamp { id_high: call.id_high, id_low: call.id_low, ..cause };
        let body = Body::Quarantined(Quarantined {
            stage: NAME.to_owned(),
            problem: format!("call without its attempted event for {} s", WAIT_US / 1_000_000),
            topic: Topic::Calls.name().to_owned(),
            partition: self.desk.partition().into(),
            offset: call.first_offset,
            call_id: id.to_vec(),
            ..Quarantined::default()
        });
        let event = Event::derived(NAME, &stamp.as_cause(call.key), "orphan", 0, body);
        out.push(Topic::Quarantine, self.desk.partition(), event);
    }

    /// The final is written: from now on the call is only remembered.
    fn close(&mut self, id: Id) {
        let Some(Remembered::Open(call)) = self.calls.get_mut(&id) else { return };
        call.deadline_us = self.clock_us.saturating_add(if call.lost { KEEP_LOST_US } else { KEEP_US });
        self.credit.waits(&call.key, &std::mem::take(&mut call.waits), -1);
        call.settled = call.is_settled();
        let (deadline_us, lost, settled) = (call.deadline_us, call.lost, call.settled);
        let closed = Remembered::closed(call);
        self.calls.insert(id, closed);
        if lost {
            self.lost.push(deadline_us, id);
            self.lost_count += 1;
            while self.lost_count > MAX_LOST
                && let Some(oldest) = self.lost.pop()
            {
                self.forget(oldest);
            }
            if self.lost.len() > 2 * MAX_LOST {
                let calls = &self.calls;
                let stands = |at, id| matches!(calls.get(&id), Some(Remembered::Closed { deadline_us, lost: true, .. }) if *deadline_us == at);
                self.lost.retain(stands);
            }
            return;
        }
        let (queue, limit) = if settled { (&mut self.settled, MAX_SETTLED) } else { (&mut self.unsettled, MAX_UNSETTLED) };
        queue.push(deadline_us, id);
        let oldest = if queue.len() > limit { queue.pop() } else { None };
        if let Some(oldest) = oldest {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, (deadline, id): (i64, Id)) {
        // A call whose node came back has another deadline now.
        let Some(Remembered::Closed { deadline_us, lost, .. }) = self.calls.get(&id) else { return };
        if *deadline_us == deadline {
            self.lost_count -= usize::from(*lost);
            self.calls.remove(&id);
            self.forgotten.insert(id);
        }
    }

    fn refused(&mut self, offset: u64, event: &Event, refused: &CallRefused, out: &mut Outputs) -> Result<(), Poison> {
        let stamp = Stamp::of(offset, event);
        if stamp.id() == Id::NIL {
            return Err(no_call(event));
        }
        // The same event again writes the same row no second time.
        if self.forgotten.insert(stamp.id()) {
            let mut row = Cdr::default();
            record::refused_row(&stamp, event, refused, &mut row);
            self.desk.write_refused(event, row, out);
        }
        Ok(())
    }

    fn call_event(&mut self, offset: u64, event: &Event, body: &Body, out: &mut Outputs) -> Result<(), Poison> {
        let id = event.call_id();
        if id == Id::NIL {
            return Err(no_call(event));
        }
        let mut opened = false;
        let known = match self.calls.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if self.forgotten.contains(id) => return late(event, body),
            // Nothing is opened for what no row waits for.
            Entry::Vacant(_) if !fold::matters(body) => return Ok(()),
            Entry::Vacant(new) => {
                opened = true;
                new.insert(Remembered::Open(Box::new(Call::new(id, &event.key, offset))))
            }
        };
        let call = match known {
            Remembered::Open(call) => call,
            Remembered::Closed { lost: false, .. } if !fold::matters(body) => return Ok(()),
            Remembered::Closed { state, .. } => {
                let mut call = Call::decode(&**state).map_err(|e| Poison(format!("call {id} is not what was closed: {e}")))?;
                let was_lost = call.lost;
                let touched = call.fold(offset, event)?;
                if touched != Touched::Nothing {
                    money::tell(&mut self.credit, &mut call, event, body);
                }
                match (was_lost, call.lost, touched) {
                    (false, _, Touched::Nothing) => return Ok(()),
                    // Kept for the end the node will tell, or for when it is lost once more.
                    (true, true, _) => {}
                    _ => self.desk.settle(&mut call, touched, Some(Stamp::of(offset, event)), out),
                }
                if let Some(versions) = call.versions_above_one() {
                    self.recent.note(id, self.clock_us, versions);
                }
                if was_lost && !call.lost {
                    self.lost_count -= 1;
                    *known = Remembered::Open(Box::new(call));
                    self.close(id);
                } else {
                    *known = Remembered::closed(&mut call);
                }
                return Ok(());
            }
        };
        let touched = match call.fold(offset, event) {
            Ok(touched) => touched,
            Err(poison) => {
                if opened {
                    self.calls.remove(&id);
                }
                return Err(poison);
            }
        };
        if touched == Touched::Nothing {
            return Ok(());
        }
        if let Some(told) = money::tell(&mut self.credit, call, event, body) {
            // Between the proxy's word and the posting, which may have to wait for facts.
            self.credit.waits(&call.key, told, 1);
            call.waits = told.to_vec();
        }
        self.desk.settle(call, touched, Some(Stamp::of(offset, event)), out);
        if call.written.is_some() {
            self.close(id);
        } else {
            self.arm(id);
        }
        Ok(())
    }

    /// Sets when a call whose rows cannot be written is looked at again: [`WAIT_US`] after its last fact.
    fn arm(&mut self, id: Id) {
        let Some(Remembered::Open(call)) = self.calls.get_mut(&id) else { return };
        if call.ended.is_some() || call.attempted.is_none() {
            call.deadline_us = self.clock_us.saturating_add(WAIT_US);
            self.waiting.push(call.deadline_us, id);
        } else {
            call.deadline_us = 0;
        }
    }
}

impl Remembered {
    fn closed(call: &mut Call) -> Remembered {
        if let Some(head) = &mut call.head {
            record::blank(head);
        }
        Remembered::Closed { deadline_us: call.deadline_us, lost: call.lost, state: call.encode_to_vec().into_boxed_slice() }
    }
}

fn no_call(event: &Event) -> Poison {
    Poison(format!("{} {} names no call", event.name(), event.id()))
}

/// A fact about a call that is no longer remembered. What would change a row must be seen by a person; the rest
/// changes nothing.
fn late(event: &Event, body: &Body) -> Result<(), Poison> {
    match body {
        Body::CallEnded(_) | Body::CallAttemptEnded(_) => Err(Poison(format!(
            "{} {} comes after call {} was closed and forgotten ({} s or more, or too many calls since)",
            event.name(),
            event.id(),
            event.call_id(),
            KEEP_US / 1_000_000
        ))),
        _ => Ok(()),
    }
}

impl Stage for Rater {
    fn name(&self) -> &'static str {
        NAME
    }

    fn snapshot_version(&self) -> u32 {
        SNAPSHOT_VERSION
    }

    fn apply(&mut self, offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        let Some(body) = &event.body else { return Ok(()) };
        let (time_us, applied) = match body {
            Body::Tick(tick) => (tick.at_us.max(event.occurred_us), None),
            Body::CallRefused(_)
            | Body::CallAttempted(_)
            | Body::CallRouteTried(_)
            | Body::CallRouteSkipped(_)
            | Body::CallRinging(_)
            | Body::CallAnswered(_)
            | Body::CallDialogChanged(_)
            | Body::CallAttemptEnded(_)
            | Body::CallTeardown(_)
            | Body::CallEnded(_) => (event.occurred_us, Some(body)),
            Body::CallInterim(interim) if !interim.holds.is_empty() => (event.occurred_us, Some(body)),
            // Proof of life, and nothing else.
            Body::CallInterim(_) | Body::CallMedia(_) => (event.occurred_us, None),
            // Of no time: a demand may have waited for its log, a payment is of no proxy.
            Body::LeaseAsked(asked) if asked.credit => {
                let from = out.appends.len();
                self.lend(event, asked, out);
                self.balance(event, from, out);
                return Ok(());
            }
            Body::PaymentPosted(paid) => {
                let from = out.appends.len();
                self.paid(event, paid, out)?;
                self.balance(event, from, out);
                return Ok(());
            }
            Body::DocumentPosted(document) => {
                let from = out.appends.len();
                self.document(event, document, out)?;
                self.balance(event, from, out);
                return Ok(());
            }
            Body::CallRerated(_) => (event.occurred_us, Some(body)),
            _ => return Ok(()),
        };
        let from = out.appends.len();
        self.clock_us = self.clock_us.max(time_us);
        // Who orders a re-rating need not be a proxy, whose silence would mean something.
        if !matches!(body, Body::CallRerated(_)) {
            self.nodes.heard(event, time_us);
        }
        let result = match applied {
            None => Ok(()),
            Some(Body::CallRefused(refused)) => self.refused(offset, event, refused, out),
            Some(Body::CallRerated(order)) => self.rerated(offset, event, order, out),
            Some(body) => self.call_event(offset, event, body, out),
        };
        // After the event: a call must not be given up for the time its own event brought. Not with poison, whose outputs
        // are thrown away: what is due then is done with the next event.
        if result.is_ok() {
            self.lose(offset, out);
            self.sweep(out);
            self.balance(event, from, out);
        }
        result
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut calls: Vec<_> = self.calls.iter().collect();
        calls.sort_unstable_by_key(|(id, _)| **id);
        let rest = Saved {
            partition: self.desk.partition().into(),
            clock_us: self.clock_us,
            calls: Vec::new(),
            forgotten: self.forgotten.to_bytes(),
            nodes: Some(self.nodes.clone()),
            credit: Some(self.credit.save()),
            payments: self.payments.to_bytes(),
            requests: self.requests.to_bytes(),
            recent: self.recent.saved(),
        };
        // As `Saved` with its calls, without a copy of them.
        let mut state = rest.encode_to_vec();
        for (_, call) in calls {
            match call {
                Remembered::Open(call) => prost::encoding::message::encode(Saved::CALLS, &**call, &mut state),
                Remembered::Closed { state: bytes, .. } => {
                    prost::encoding::encode_key(Saved::CALLS, WireType::LengthDelimited, &mut state);
                    prost::encoding::encode_varint(bytes.len() as u64, &mut state);
                    state.extend_from_slice(bytes);
                }
            }
        }
        state
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let bad = |problem: String| BadSnapshot { stage: NAME, problem };
        let saved = Saved::decode(state).map_err(|e| bad(e.to_string()))?;
        let own = self.desk.partition();
        if saved.partition != u32::from(own) {
            return Err(bad(format!("it is of partition {}, this is partition {own}", saved.partition)));
        }
        let ids = |bytes: &[u8]| Forgotten::from_bytes(bytes).ok_or_else(|| bad("its ids are cut short".to_owned()));
        let (forgotten, payments) = (ids(&saved.forgotten)?, ids(&saved.payments)?);
        let requests = requests().restored(&saved.requests).ok_or_else(|| bad("its requests are cut short".to_owned()))?;
        let credit = Credit::restore(saved.credit.unwrap_or_default());
        let nodes = saved.nodes.unwrap_or_default().restored(self.nodes.lost_after_us());
        let recent = Recent::restored(&saved.recent);
        *self = Rater { desk: self.desk.clone(), clock_us: saved.clock_us, nodes, forgotten, credit, payments, requests, recent, ..Rater::new(own, 0) };
        for mut call in saved.calls {
            let (id, deadline_us) = (call.id(), call.deadline_us);
            let remembered = if call.written.is_none() {
                if deadline_us != 0 {
                    self.waiting.push(deadline_us, id);
                }
                Remembered::Open(Box::new(call))
            } else {
                self.lost_count += usize::from(call.lost);
                let queue = match (call.lost, call.settled) {
                    (true, _) => &mut self.lost,
                    (false, true) => &mut self.settled,
                    (false, false) => &mut self.unsettled,
                };
                queue.push(deadline_us, id);
                Remembered::closed(&mut call)
            };
            self.calls.insert(id, remembered);
        }
        Ok(())
    }
}
