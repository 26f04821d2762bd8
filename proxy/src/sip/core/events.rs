//! The call's facts on their way into the log.

use tollgate_schemas::{
    event::{Body, Event, Origin},
    id::{Id, partition_of},
    log::{Append, Topic},
    parties::revenue,
    time::Now,
    v1::{
        CallAttemptEnded, CallAttempted, CallDialogChanged, CallEnded, CallInterim, CallRefused, CallRinging,
        CallRouteSkipped, CallRouteTried, CallTeardown, CreditHold, Fx, Personal, RouteChoice, SipLeg, Tier,
    },
};

use super::{super::call::{Call, Verdict}, Core};
use crate::{admission::Shut, routing::Route};

/// What routing decided, as the call's event tells.
pub struct Decision {
    pub choices: Vec<RouteChoice>,
    pub policy: String,
    pub quality_snapshot: String,
    pub draw_e6: u32,
    /// And what admission held.
    pub holds: Vec<CreditHold>,
}

/// How an attempt ended, as its event tells.
pub struct AttemptEnd {
    pub sip_code: u16,
    pub phrase: String,
    pub q850: u8,
    pub local_cause: &'static str,
    pub late_answer: bool,
    pub duration_ms: u64,
}

/// How a call ended, as its event tells.
pub struct CallEnd {
    pub disposition: &'static str,
    pub sip_code: u16,
    pub phrase: String,
    pub q850: u8,
    pub hangup_party: &'static str,
    pub end_reason: &'static str,
    pub local_cause: &'static str,
    pub confidence: &'static str,
}

impl Core {
    fn origin(&self, now: Now) -> Origin<'_> {
        Origin { mint: &self.ctx.mint, boot_id: self.ctx.boot_id, now, control_position: self.plan.control_position }
    }

    /// Queues a fact for this batch and gives its id.
    pub(super) fn emit(&mut self, key: &str, partition: u16, now: Now, body: Body, personal: Option<Personal>) -> Id {
        let mut event = Event::born(self.origin(now), key, body);
        event.personal = personal;
        let id = event.id();
        self.out.events.push(Append { topic: Topic::Calls, partition, event });
        id
    }

    fn emit_for(&mut self, call: &Call, now: Now, body: Body, personal: Option<Personal>) {
        self.emit(&call.key, call.partition, now, body, personal);
    }

    pub(super) fn emit_attempted(&mut self, call: &mut Call, personal: Personal, hold_e8: i64, decision: Decision, now: Now) {
        let body = Body::CallAttempted(CallAttempted {
            facts: Some(call.facts.clone()),
            sell: call.sell.clone(),
            hold_e8,
            route_policy: decision.policy,
            choices: decision.choices,
            tiers: call.tiers.clone(),
            quality_snapshot: decision.quality_snapshot,
            draw_e6: decision.draw_e6,
            holds: decision.holds,
        });
        let mut event = Event::born(self.origin(now), &call.key, body);
        // The call's id was given before its routes were asked for: it is this event's.
        event.id = call.id.to_vec();
        event.personal = Some(personal);
        self.out.events.push(Append { topic: Topic::Calls, partition: call.partition, event });
    }

    pub(super) fn emit_refused(&mut self, key: &str, partition: u16, body: CallRefused, personal: Option<Personal>, now: Now) {
        self.emit(key, partition, now, Body::CallRefused(body), personal);
    }

    /// A call that came as far as its carriers: `id` is what decided its draw.
    pub(super) fn emit_unrouted(&mut self, id: Id, key: &str, body: CallRefused, decision: Decision, tiers: Vec<Tier>, personal: Personal, now: Now) {
        let body = Body::CallRefused(CallRefused {
            route_policy: decision.policy,
            choices: decision.choices,
            quality_snapshot: decision.quality_snapshot,
            draw_e6: decision.draw_e6,
            tiers,
            ..body
        });
        let mut event = Event::born(self.origin(now), key, body);
        event.id = id.to_vec();
        event.personal = Some(personal);
        self.out.events.push(Append { topic: Topic::Calls, partition: partition_of(key, self.ctx.partitions), event });
    }

    /// A carrier whose turn came and that gets no call.
    pub(super) fn emit_route_skipped(&mut self, call: &Call, route: &Route, shut: Shut, detail: String, now: Now) {
        let body = Body::CallRouteSkipped(CallRouteSkipped {
            call_id: call.id.to_vec(),
            carrier: call.plan.policy.carrier(route.carrier).name.clone(),
            rank: route.rank,
            reason: shut.reason().to_owned(),
            block_id: shut.block().map(Id::to_vec).unwrap_or_default(),
            detail,
        });
        self.emit_for(call, now, body, None);
    }

    pub(super) fn emit_route_tried(&mut self, call: &Call, n: usize, b_out: &str, leg: SipLeg, now: Now) {
        let a = &call.attempts[n];
        let body = Body::CallRouteTried(CallRouteTried {
            call_id: call.id.to_vec(),
            attempt_no: u32::from(a.no),
            carrier: a.carrier.clone(),
            cost: a.route.cost.clone(),
            rank: a.route.rank,
            route_class: a.route.cost.as_ref().map(|t| t.route_class.clone()).unwrap_or_default(),
            fx: self.fx_of(call, n, now),
        });
        let personal = Personal { b_out: b_out.to_owned(), peer_addr: a.addr.to_string(), leg: Some(leg), ..Personal::default() };
        self.emit_for(call, now, body, Some(personal));
    }

    pub(super) fn emit_ringing(&mut self, call: &Call, n: usize, code: u16, early_media: bool, now: Now) {
        let a = &call.attempts[n];
        let body = Body::CallRinging(CallRinging {
            call_id: call.id.to_vec(),
            attempt_no: u32::from(a.no),
            code: u32::from(code),
            early_media,
            first_100_us: a.first_100_us,
        });
        self.emit_for(call, now, body, None);
    }

    /// Everything a live call needs to be spoken for again after a crash.
    pub(super) fn dialogs_of(call: &Call) -> Personal {
        Personal { dialogs: call.dialogs.iter().map(super::super::dialog::Dialog::record).collect(), ..Personal::default() }
    }

    /// the rate between what this attempt's carrier is paid and what the house is paid, where those are two currencies.
    fn fx_of(&self, call: &Call, n: usize, now: Now) -> Option<Fx> {
        let (paid, cost) = (revenue(call.sell.as_ref(), &call.tiers)?, call.attempts[n].route.cost.as_ref()?);
        if paid.currency == cost.currency {
            return None;
        }
        self.plan.routing.fx(&cost.currency, &paid.currency, now.utc_us)
    }

    pub(super) fn emit_answered(&mut self, call: &Call, n: usize, code: u16, now: Now) {
        let a = &call.attempts[n];
        let body = Body::CallAnswered(tollgate_schemas::v1::CallAnswered {
            call_id: call.id.to_vec(),
            attempt_no: u32::from(a.no),
            sell: call.sell.clone(),
            cost: a.route.cost.clone(),
            code: u32::from(code),
            account: call.facts.account.clone(),
            b_dest_group: call.facts.b_dest_group.clone(),
            carrier: a.carrier.clone(),
            tiers: call.tiers.clone(),
            holds: self.holds_of(call),
            fx: self.fx_of(call, n, now),
        });
        self.emit_for(call, now, body, Some(Core::dialogs_of(call)));
    }

    pub(super) fn emit_dialog_changed(&mut self, call: &Call, what: &str, now: Now) {
        let body = Body::CallDialogChanged(CallDialogChanged { call_id: call.id.to_vec(), what: what.to_owned(), ack_us: call.ack_us });
        self.emit_for(call, now, body, Some(Core::dialogs_of(call)));
    }

    /// What a call holds of accounts with a limit.
    fn holds_of(&self, call: &Call) -> Vec<CreditHold> {
        match &call.slot {
            Some(slot) if call.on_credit => self.gate().admission.credit_holds(slot),
            _ => Vec::new(),
        }
    }

    /// What it takes for good, before `finish` gives the rest back.
    fn settled_of(&self, call: &Call, now: Now) -> Vec<CreditHold> {
        match (&call.slot, call.answered) {
            (Some(slot), Some(answered)) if call.on_credit && call.answered_attempt > 0 => {
                self.gate().admission.credit_charges(slot, answered.utc_us, Some(call.answered_for_ms(now)))
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn emit_interim(&mut self, call: &Call, now: Now) {
        let body = Body::CallInterim(CallInterim { call_id: call.id.to_vec(), duration_ms: call.answered_for_ms(now), holds: self.holds_of(call) });
        self.emit_for(call, now, body, None);
    }

    pub(super) fn emit_attempt_ended(&mut self, call: &mut Call, n: usize, end: AttemptEnd, now: Now) {
        let a = &mut call.attempts[n];
        a.closed = true;
        let body = Body::CallAttemptEnded(CallAttemptEnded {
            call_id: call.id.to_vec(),
            attempt_no: u32::from(a.no),
            carrier: a.carrier.clone(),
            sip_code: u32::from(end.sip_code),
            reason_phrase: end.phrase,
            q850: u32::from(end.q850),
            local_cause: end.local_cause.to_owned(),
            late_answer: end.late_answer,
            duration_ms: end.duration_ms,
            first_100_us: a.first_100_us,
            first_18x_us: a.first_18x_us,
            first_18x_code: u32::from(a.first_18x_code),
        });
        self.emit_for(call, now, body, None);
    }

    pub(super) fn emit_teardown(&mut self, call: &Call, verdict: &Verdict, now: Now) {
        let body = Body::CallTeardown(CallTeardown {
            call_id: call.id.to_vec(),
            actor: verdict.actor.clone(),
            reason: verdict.reason.clone(),
            block_id: verdict.block.map(Id::to_vec).unwrap_or_default(),
            state: format!("{:?}", call.phase).to_lowercase(),
        });
        self.emit_for(call, now, body, None);
    }

    pub(super) fn emit_ended(&mut self, call: &mut Call, end: CallEnd, now: Now) {
        let body = Body::CallEnded(CallEnded {
            call_id: call.id.to_vec(),
            account: call.facts.account.clone(),
            disposition: end.disposition.to_owned(),
            sip_code: u32::from(end.sip_code),
            reason_phrase: end.phrase,
            q850: u32::from(end.q850),
            hangup_party: end.hangup_party.to_owned(),
            end_reason: end.end_reason.to_owned(),
            local_cause: end.local_cause.to_owned(),
            duration_ms: call.answered_for_ms(now),
            duration_confidence: end.confidence.to_owned(),
            ack_us: call.ack_us,
            attempts: call.attempts.len() as u32,
            answered_attempt: u32::from(call.answered_attempt),
            settled: self.settled_of(call, now),
        });
        self.emit_for(call, now, body, None);
        call.ended_batch = self.batch;
        call.ended_ms = super::ms(now);
        self.counters.ended += 1;
    }
}
