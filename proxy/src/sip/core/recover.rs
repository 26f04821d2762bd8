//! After a crash (design §3): open calls are taken up again before sockets open. Who was not answered yet is told so on
//! both sides; who was goes on talking.

use std::{io::Write, net::SocketAddr};

use tollgate_schemas::{
    event::Body,
    parties::{CallerValidity, Place},
    time::Now,
    v1::{CallFacts, Event, SipLeg, Terms},
};

use super::{
    super::{
        call::{Attempt, AttemptState, Best, Call, Caller as PriceCaller, Phase},
        dialog::Dialog,
        msg::{Method, Msg},
        table::Ref,
        txn::{Alarm, ClientState, ClientTx, NEVER, Role},
    },
    Core,
    charge_limit::charge_limit_ms,
    events::AttemptEnd,
    ms,
    reply::phrase_of,
};
use crate::{admission::Resumed, live::OpenCall, routing::Route};

fn addr_of(event: &Event) -> Option<SocketAddr> {
    event.personal.as_ref()?.peer_addr.parse().ok()
}

fn leg_of(event: &Event) -> Option<&SipLeg> {
    event.personal.as_ref()?.leg.as_ref()
}

/// An INVITE with just what transactions need, as it was on one leg.
fn invite_of(uri: &[u8], vias: &[Vec<u8>], caller: &SipLeg) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"INVITE ");
    out.extend_from_slice(uri);
    out.extend_from_slice(b" SIP/2.0\r\n");
    for via in vias {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(via);
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in [("From: ", &caller.from_value), ("To: ", &caller.to_value), ("Call-ID: ", &caller.call_id)] {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    let _ = write!(out, "CSeq: {} INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", caller.cseq);
    out
}

/// What prices went by, as its event kept it; the caller's switch is not kept, it has had its say.
fn caller_of(facts: &CallFacts, a_e164: &str) -> PriceCaller {
    let place = Place {
        ocn: facts.b_ocn.clone(),
        lata: facts.b_lata.clone(),
        rate_center: facts.b_rate_center.clone(),
        state: facts.b_state.clone(),
    };
    PriceCaller {
        a: a_e164.parse().ok(),
        validity: CallerValidity::from_name(&facts.a_validity).unwrap_or_default(),
        routing: None,
        lrn: facts.lrn.parse().ok(),
        place: (place != Place::default()).then(|| Box::new(place)),
    }
}

impl Core {
    /// Takes up one open call again. A record that cannot be read is reported and left: its CDR is closed by the rater.
    pub fn resume(&mut self, open: &OpenCall, now: Now) -> Result<(), String> {
        let first = open.attempted_event();
        let attempted = open.attempted().ok_or("no call.attempted")?;
        let facts = attempted.facts.clone().ok_or("no facts")?;
        let caller = leg_of(first).ok_or("no SIP identifiers")?.clone();
        let source = addr_of(first).ok_or("no caller's address")?;
        let personal = first.personal.clone().unwrap_or_default();
        let answered = open.answered();
        let attempts = self.attempts_of(open)?;
        let dialogs: Vec<Dialog> = open
            .dialog_changed()
            .or(answered.map(|(event, _)| event))
            .and_then(|event| event.personal.as_ref())
            .map(|p| p.dialogs.iter().filter_map(Dialog::from_record).collect())
            .unwrap_or_default();

        let same_boot = first.boot_id == self.ctx.boot_id;
        let age_ms = elapsed_ms(first, self.ctx.boot_id, now);
        let answered_age = answered.map(|(event, _)| elapsed_ms(event, self.ctx.boot_id, now));
        let sell: Option<Terms> = answered.and_then(|(_, a)| a.sell.clone()).or_else(|| attempted.sell.clone());
        let slot = {
            let resumed = Resumed {
                facts: &facts,
                hold_e8: attempted.hold_e8,
                answered: answered_age.zip(sell.as_ref()),
            };
            self.gate().admission.resume(&self.plan.policy, resumed, now)
        };
        // What it held, by the newest word of it.
        let interim = open.interim().and_then(|e| match &e.body {
            Some(Body::CallInterim(interim)) if !interim.holds.is_empty() => Some(&interim.holds),
            _ => None,
        });
        let holds = interim.or(answered.map(|(_, a)| &a.holds).filter(|h| !h.is_empty())).unwrap_or(&attempted.holds);
        let tiers = answered.map_or(&attempted.tiers, |(_, a)| &a.tiers);
        let on_credit = {
            let mut gate = self.gate();
            if !holds.is_empty() {
                gate.admission.credit_resumed(&slot, &self.plan.policy, holds, sell.as_ref(), tiers, now);
            }
            // And of accounts that have a limit since.
            gate.admission.credit_began(&slot, &self.plan.policy, &facts.account, sell.as_ref(), tiers, now) || !holds.is_empty()
        };

        let at = self.calls.next_ref();
        let mut vias = caller.vias.clone();
        vias.retain(|v| !v.is_empty());
        let mut call = Box::new(Call {
            id: open.id(),
            key: first.key.as_str().into(),
            partition: tollgate_schemas::id::partition_of(&first.key, self.ctx.partitions),
            dialled: if personal.b_e164.is_empty() { personal.b_raw.clone() } else { personal.b_e164.clone() },
            a_name: personal.a_name.clone(),
            a_number: personal.a_e164.clone(),
            caller: caller_of(&facts, &personal.a_e164),
            tiers: tiers.clone(),
            facts,
            plan: self.plan.clone(),
            sell,
            slot: Some(slot),
            phase: if answered.is_some() { Phase::Answered } else { Phase::Hunting },
            verdict: None,
            server: None,
            invite: Vec::new(),
            merge_key: 0,
            source,
            caller_contact: caller.remote_target.clone(),
            caller_routes: caller.route_set.clone(),
            call_id: caller.call_id.clone(),
            from_value: caller.from_value.clone(),
            to_value: caller.to_value.clone(),
            from_tag: caller.from_tag.clone(),
            vias,
            cseq: caller.cseq,
            routes: Vec::new(),
            next_route: 0,
            attempts,
            best: None,
            challenges: Vec::new(),
            dialogs,
            ok_response: Vec::new(),
            ok_interval: 0,
            ok_next: NEVER,
            started: Now { utc_us: first.occurred_us, mono_ns: if same_boot { first.mono_ns } else { 0 } },
            started_ms: ms(now).saturating_sub(age_ms),
            answered: answered.map(|(event, _)| Now { utc_us: event.occurred_us, mono_ns: event.mono_ns }),
            answered_ms: ms(now).saturating_sub(answered_age.unwrap_or(0)),
            answered_attempt: answered.map_or(0, |(_, a)| a.attempt_no as u8),
            ack_us: 0,
            ended_ms: 0,
            interim_next: ms(now) + self.ctx.settings.interim_ms,
            ended_batch: 0,
            answered_batch: 0,
            resumed: true,
            other_boot: answered.is_some_and(|(event, _)| event.boot_id != self.ctx.boot_id),
            limit_ms: ms(now) + self.ctx.settings.max_call_ms.saturating_sub(answered_age.unwrap_or(0)),
            charge_ms: NEVER,
            on_credit,
            slice_ms: if on_credit && answered.is_some() { ms(now) } else { NEVER },
            forget_ms: NEVER,
            intruder_told: false,
            alarm: Alarm::default(),
        });
        self.by_id.insert(call.id, at);
        self.up += 1;
        self.learn(source);
        for i in 0..call.dialogs.len() {
            // Whether the ACK passed is not recorded; where it did not, the callee repeats its 2xx and this relays it.
            call.dialogs[i].acked = true;
            self.learn_targets(&call, i);
        }
        if age_ms < 2 * self.ctx.settings.t1_64() {
            self.resume_server(at, &mut call, &caller, source, now);
        }
        match answered {
            Some((event, a)) => self.resume_answered(at, &mut call, open, event, a.attempt_no as u8, &caller, now),
            None => self.end_after_crash(at, &mut call, open, &caller, now),
        }
        let inserted = self.calls.insert(call);
        debug_assert_eq!(inserted, at);
        if let Some(call) = self.calls.take(at) {
            self.put_call(at, call);
        }
        Ok(())
    }

    fn attempts_of(&mut self, open: &OpenCall) -> Result<Vec<Attempt>, String> {
        let mut attempts = Vec::new();
        for event in open.routes_tried() {
            let Some(Body::CallRouteTried(tried)) = &event.body else { continue };
            let addr = addr_of(event).ok_or("no carrier's address")?;
            let carrier = self.plan.policy.carrier_named(&tried.carrier);
            let closed = open.attempts_ended().any(|e| matches!(&e.body, Some(Body::CallAttemptEnded(b)) if b.attempt_no == tried.attempt_no));
            let ringing = open.ringing().find_map(|e| match &e.body {
                Some(Body::CallRinging(r)) if r.attempt_no == tried.attempt_no => Some((e.occurred_us, r)),
                _ => None,
            });
            let slot = (!closed).then(|| self.gate().admission.resume_carrier(&tried.carrier));
            attempts.push(Attempt {
                no: tried.attempt_no as u8,
                carrier: tried.carrier.clone(),
                addr,
                route: Route { carrier: carrier.unwrap_or(crate::admission::CarrierIx(0)), cost: tried.cost.clone(), rank: tried.rank },
                state: if closed { AttemptState::Failed } else { AttemptState::Trying },
                client: Ref { index: u32::MAX, generation: 0 },
                cancelled: false,
                slot,
                cancel_ms: NEVER,
                started_ms: 0,
                first_100_us: ringing.map_or(0, |(_, r)| r.first_100_us),
                first_18x_us: ringing.map_or(0, |(us, _)| us),
                first_18x_ms: 0,
                first_18x_code: ringing.map_or(0, |(_, r)| r.code as u16),
                early_media: false,
                closed,
                late_tag: None,
            });
        }
        Ok(attempts)
    }

    /// The caller's INVITE transaction, so that a repeated INVITE is no new call and an answer finds its way.
    fn resume_server(&mut self, at: Ref, call: &mut Call, caller: &SipLeg, source: SocketAddr, now: Now) {
        let invite = invite_of(&caller.request_uri, &caller.vias, caller);
        let Ok(msg) = Msg::parse(&invite) else { return };
        let key = self.server_key(&msg, Method::Invite);
        let server = self.new_server(&msg, key, true, source);
        if let Some(tx) = self.servers.get_mut(server) {
            tx.call = Some(at);
            if call.answered.is_some() {
                tx.finish(200, ms(now), &self.ctx.settings);
            }
        }
        if call.answered.is_some() {
            self.arm_server(server);
        }
        call.server = Some(server);
    }

    /// A client transaction for an attempt of the last process, found by the branch it used.
    fn resume_client(&mut self, at: Ref, call: &mut Call, n: usize, event: &Event, caller: &SipLeg, state: ClientState, now: Now) {
        let Some(leg) = leg_of(event) else { return };
        let local = String::from_utf8_lossy(&self.local_text).into_owned();
        let via = [b"SIP/2.0/UDP ", local.as_bytes(), b";branch=", leg.branch.as_slice()].concat();
        let mut tx = ClientTx::new(true, Role::Attempt(n as u8), Some(at), call.attempts[n].addr, 0, ms(now), &self.ctx.settings);
        tx.request = invite_of(&leg.request_uri, &[via], caller);
        tx.state = state;
        tx.next_send = NEVER;
        tx.end = ms(now) + self.ctx.settings.t1_64();
        tx.alarm.due = tx.end;
        let client = self.clients.insert(tx);
        call.attempts[n].client = client;
        self.old_branches.insert(leg.branch.clone(), client);
        self.arm_client(client);
    }

    #[allow(clippy::too_many_arguments)]
    fn resume_answered(&mut self, at: Ref, call: &mut Call, open: &OpenCall, answered: &Event, attempt_no: u8, caller: &SipLeg, now: Now) {
        let recent = elapsed_ms(answered, self.ctx.boot_id, now) < self.ctx.settings.t1_64();
        let cost = open.answered().and_then(|(_, a)| a.cost.clone());
        for (n, event) in open.routes_tried().enumerate() {
            if n >= call.attempts.len() || call.attempts[n].no != attempt_no {
                continue;
            }
            call.attempts[n].state = AttemptState::Answered;
            call.attempts[n].route.cost = cost.clone();
            call.charge_ms = charge_limit_ms(call, n, now);
            if recent {
                self.resume_client(at, call, n, event, caller, ClientState::Accepted, now);
            }
        }
        // Attempts that were given up before, and whose end was not written.
        for n in 0..call.attempts.len() {
            if call.attempts[n].state == AttemptState::Trying {
                call.attempts[n].state = AttemptState::Failed;
                self.release_carrier(call, n);
                self.emit_attempt_ended(call, n, restarted(), now);
            }
        }
    }

    /// CANCEL to the carrier, 500 upstream; what still comes is dealt with for 64·T1.
    fn end_after_crash(&mut self, at: Ref, call: &mut Call, open: &OpenCall, caller: &SipLeg, now: Now) {
        let tried: Vec<_> = open.routes_tried().cloned().collect();
        for (n, event) in tried.iter().enumerate() {
            if n >= call.attempts.len() || call.attempts[n].closed {
                continue;
            }
            self.resume_client(at, call, n, event, caller, ClientState::Proceeding, now);
            call.attempts[n].state = AttemptState::Abandoned;
            self.release_carrier(call, n);
            self.cancel_branch(call, n, now);
            self.emit_attempt_ended(call, n, restarted(), now);
        }
        let best = Best { status: 500, bytes: Vec::new(), q850: 41, phrase: phrase_of(500).to_owned(), attempt: 0, rang: false };
        self.end_unanswered(at, call, best, "system", "node_restart", "node_restart", now);
    }
}

fn restarted() -> AttemptEnd {
    AttemptEnd { sip_code: 0, phrase: String::new(), q850: 41, local_cause: "node_restart", late_answer: false, duration_ms: 0 }
}

/// Milliseconds since an event: monotonic within one boot, UTC across boots.
fn elapsed_ms(event: &Event, boot_id: u64, now: Now) -> u64 {
    if event.boot_id == boot_id {
        now.mono_ns.saturating_sub(event.mono_ns) / 1_000_000
    } else {
        (now.utc_us - event.occurred_us).max(0) as u64 / 1000
    }
}
