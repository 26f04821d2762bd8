//! Hunting: one carrier after the other until one takes the call, and the best answer when none does (P-05, P-08 to
//! P-11, P-46, P-47).

use std::{io::Write, net::SocketAddr};

use tollgate_schemas::{
    refusal::Refusal,
    time::Now,
    v1::{CallFacts, SipLeg},
};

use super::{
    super::{
        call::{Attempt, AttemptState, Best, Call, Caller, Phase, Verdict},
        msg::{Header, Msg, Scheme, Uri},
        table::Ref,
        token::RouteToken,
        txn::{ClientTx, NEVER, Role},
    },
    Core, caller_name,
    events::{AttemptEnd, CallEnd},
    ms,
    reply::phrase_of,
};
use crate::{
    admission::{CallView, CarrierSlot, CarrierView, NodeState, Shut},
    routing::{Plan, Route},
};

/// A final response of an attempt, or what stands for one.
pub struct Outcome {
    /// As received from the carrier; 0 when nothing came.
    pub received: u16,
    /// What it counts as (a timeout counts as 408).
    pub status: u16,
    pub phrase: String,
    pub q850: u8,
    pub local_cause: &'static str,
    /// The response with our Via cut, to go upstream; empty for one made here.
    pub bytes: Vec<u8>,
    /// A 18x was seen on this attempt.
    pub rang: bool,
    /// The caller heard this carrier already.
    pub early_media: bool,
}

/// P-47: does this answer send the hunt on to the next carrier?
pub fn advances(carrier: &CarrierView, o: &Outcome) -> bool {
    if carrier.stop_on.contains(&o.status) || o.early_media {
        return false;
    }
    if carrier.advance_on.contains(&o.status) {
        return true;
    }
    match o.status {
        401 | 402 | 403 | 407 => true,
        408 => !o.rang,
        404 | 484 => !matches!(o.q850, 1 | 28),
        480 => !matches!(o.q850, 17..=20) && !o.rang,
        415 | 488 => true,
        500..=505 | 513 => true,
        300..=399 => true,
        _ => false,
    }
}

/// P-08: lower is better.
fn rank(status: u16) -> (u16, u16) {
    match status {
        600.. => (0, status),
        401 | 407 | 415 | 420 | 484 => (status / 100, 0),
        _ => (status / 100, 1),
    }
}

/// What a final status says of the called party (C-054).
pub fn disposition(status: u16, rang: bool, q850: u8) -> &'static str {
    match status {
        200..=299 => "answered",
        486 | 600 => "busy",
        408 | 480 if rang || matches!(q850, 18..=20) => "noanswer",
        487 => "cancelled",
        403 | 603 | 606 | 607 | 608 => "rejected",
        _ => "failed",
    }
}

impl Core {
    /// Starts the next attempt, or ends the call with the best answer so far. `msg` is the caller's INVITE when it is
    /// at hand; otherwise the kept copy is read.
    pub(super) fn try_next(&mut self, at: Ref, call: &mut Call, msg: Option<(&Msg<'_>, SocketAddr)>, now: Now) {
        if !call.attempts.is_empty() {
            if ms(now) >= call.started_ms + self.ctx.settings.hunt_ms {
                return self.give_best(at, call, now);
            }
            if let Some(verdict) = self.block_on(call, now) {
                return self.tear_down(at, call, verdict, now);
            }
        }
        while let Some(route) = call.routes.get(call.next_route).cloned() {
            call.next_route += 1;
            let plan = call.plan.clone();
            let slot = match self.take_carrier(call, &plan, &route, now) {
                Ok(slot) => slot,
                Err((shut, detail)) => {
                    self.counters.failed_over += 1;
                    // No silent throttle (S1-75): the skipped carrier is named in the call's events.
                    self.emit_route_skipped(call, &route, shut, detail, now);
                    continue;
                }
            };
            let carrier = plan.policy.carrier(route.carrier);
            let no = call.attempts.len() as u8 + 1;
            let client = self.clients.next_ref();
            call.attempts.push(Attempt {
                no,
                carrier: carrier.name.clone(),
                addr: carrier.addresses[0],
                route,
                state: AttemptState::Trying,
                client,
                cancelled: false,
                started_ms: ms(now),
                cancel_ms: NEVER,
                first_100_us: 0,
                first_18x_us: 0,
                first_18x_ms: 0,
                first_18x_code: 0,
                early_media: false,
                slot: Some(slot),
                closed: false,
                late_tag: None,
            });
            let n = call.attempts.len() - 1;
            match msg {
                Some((msg, from)) => self.send_attempt(at, call, n, carrier, msg, from, now),
                None => {
                    let invite = std::mem::take(&mut call.invite);
                    let from = call.source;
                    match Msg::parse(&invite) {
                        Ok(kept) => self.send_attempt(at, call, n, carrier, &kept, from, now),
                        Err(e) => tracing::error!(error = %e, "kept INVITE cannot be read"),
                    }
                    call.invite = invite;
                }
            }
            if call.next_route >= call.routes.len() {
                call.invite = Vec::new();
            }
            return;
        }
        self.give_best(at, call, now);
    }

    /// A place at a carrier whose turn it is, or why it gets no call, and the block's reason.
    fn take_carrier(&mut self, call: &Call, plan: &Plan, route: &Route, now: Now) -> Result<CarrierSlot, (Shut, String)> {
        let view = CallView::of(&call.facts, &call.a_number, &call.dialled, Some(call.source.ip()));
        let carrier = plan.policy.carrier(route.carrier);
        let mut gate = self.gate();
        if let Some(block) = gate.admission.carrier_blocked(&carrier.name, &view, now) {
            return Err((Shut::Blocked(block.id), block.reason.clone()));
        }
        let slot = gate.admission.reserve_carrier(&plan.policy, route.carrier, call.facts.emergency, now).map_err(|full| (Shut::Full(full), String::new()))?;
        if let Some(party) = &carrier.party {
            gate.laps.sent(party, &call.a_number, &call.dialled, now);
        }
        Ok(slot)
    }

    /// Writes the INVITE for a carrier; it leaves when its events are durable.
    #[allow(clippy::too_many_arguments)]
    fn send_attempt(&mut self, at: Ref, call: &mut Call, n: usize, carrier: &CarrierView, msg: &Msg<'_>, from: SocketAddr, now: Now) {
        let dest = carrier.addresses[0];
        let client = call.attempts[n].client;
        let mut branch = Vec::with_capacity(40);
        self.ctx.keys.write_branch(client.index, client.generation, &mut branch);
        let b_out = format!("{}{}", carrier.prefix, call.dialled);

        self.edits.clear();
        let is_urn = msg.uri_span().and_then(|s| Uri::parse(msg.at(s)).ok()).is_some_and(|u| u.scheme == Scheme::Urn);
        let mut request_uri = Vec::with_capacity(64);
        match msg.uri_span() {
            // A service URN is routed, never rewritten (RFC 6881).
            Some(span) if is_urn => request_uri.extend_from_slice(msg.at(span)),
            Some(span) => {
                let _ = write!(request_uri, "sip:{b_out}@{dest}");
                self.edits.replace(span, &request_uri);
            }
            None => {}
        }
        // A trunk does not choose our next hop: preloaded routes end here.
        self.edits.remove_header(msg, Header::Route);
        let token = RouteToken { call: call.id, attempt: call.attempts[n].no, partition: call.partition };
        let (keys, local) = (&self.ctx.keys, &self.local_text);
        self.edits.push_line_before(msg, Header::RecordRoute, |out| {
            out.extend_from_slice(b"Record-Route: <sip:");
            out.extend_from_slice(local);
            out.extend_from_slice(b";lr;tg=");
            keys.write_token(&token, out);
            out.push(b'>');
        });
        self.edit_vias(msg, from, &branch);
        self.edit_max_forwards(msg);
        if !call.a_name.is_empty() {
            caller_name::show(msg, &call.a_name, &mut self.edits);
        }
        let mut request = Vec::with_capacity(msg.bytes().len() + 256);
        self.edits.apply(msg, &mut request);

        let leg = SipLeg { call_id: call.call_id.clone(), branch, request_uri, cseq: call.cseq, ..SipLeg::default() };
        self.emit_route_tried(call, n, &b_out, leg, now);
        // An emergency call does not wait for a slow disk.
        let after = if call.facts.emergency && self.node != NodeState::Open { 0 } else { self.batch };
        let mut tx = ClientTx::new(true, Role::Attempt(n as u8), Some(at), dest, after, ms(now), &self.ctx.settings);
        self.out.send(dest, after, &request);
        tx.request = request;
        let inserted = self.clients.insert(tx);
        debug_assert_eq!(inserted, client);
        self.arm_client(client);
    }

    /// An attempt failed: on to the next carrier, or the end of the call.
    pub(super) fn attempt_failed(&mut self, at: Ref, call: &mut Call, n: usize, o: Outcome, now: Now) {
        call.attempts[n].state = AttemptState::Failed;
        self.release_carrier(call, n);
        if !call.attempts[n].closed {
            let end = AttemptEnd { sip_code: o.received, phrase: o.phrase.clone(), q850: o.q850, local_cause: o.local_cause, late_answer: false, duration_ms: 0 };
            self.emit_attempt_ended(call, n, end, now);
        }
        self.hunt_on(at, call, n, o, now);
    }

    /// A carrier is given up without its final answer (P-46): it counts as `o`, and whatever still comes from it is
    /// dealt with for 64·T1 but never passed on.
    pub(super) fn abandon(&mut self, at: Ref, call: &mut Call, n: usize, o: Outcome, now: Now) {
        call.attempts[n].state = AttemptState::Abandoned;
        self.release_carrier(call, n);
        self.cancel_branch(call, n, now);
        let end = ms(now) + self.ctx.settings.t1_64();
        let client = call.attempts[n].client;
        if let Some(tx) = self.clients.get_mut(client) {
            tx.next_send = NEVER;
            tx.end = end;
            tx.alarm.due = end;
        }
        self.arm_client(client);
        let ended = AttemptEnd { sip_code: o.received, phrase: o.phrase.clone(), q850: o.q850, local_cause: o.local_cause, late_answer: false, duration_ms: 0 };
        self.emit_attempt_ended(call, n, ended, now);
        if call.phase != Phase::Over {
            self.hunt_on(at, call, n, o, now);
        }
    }

    fn hunt_on(&mut self, at: Ref, call: &mut Call, n: usize, o: Outcome, now: Now) {
        if call.phase == Phase::Cancelling {
            // The caller gave up: whatever the carrier said, the INVITE ends with 487 (RFC 3261 §9.2).
            let bytes = if o.status == 487 { o.bytes } else { Vec::new() };
            let best = Best { status: 487, bytes, q850: 0, phrase: phrase_of(487).to_owned(), attempt: n as u8, rang: o.rang };
            return self.end_unanswered(at, call, best, "caller", "cancelled", "", now);
        }
        let carrier = call.attempts[n].route.carrier;
        let on = advances(call.plan.policy.carrier(carrier), &o) && o.status < 600;
        let better = call.best.as_ref().is_none_or(|b| rank(o.status) < rank(b.status));
        if matches!(o.status, 401 | 407) {
            self.keep_challenges(call, &o.bytes);
        }
        let stopping = !on;
        if better || stopping {
            call.best = Some(Best { status: o.status, bytes: o.bytes, q850: o.q850, phrase: o.phrase, attempt: n as u8, rang: o.rang });
        }
        if on {
            self.counters.failed_over += u64::from(call.next_route < call.routes.len());
            self.try_next(at, call, None, now);
        } else {
            self.give_best(at, call, now);
        }
    }

    fn keep_challenges(&self, call: &mut Call, bytes: &[u8]) {
        let Ok(msg) = Msg::parse(bytes) else { return };
        for (header, name, value) in msg.headers_known() {
            if matches!(header, Header::WwwAuthenticate | Header::ProxyAuthenticate) {
                call.challenges.push([name, b": ", value, b"\r\n"].concat());
            }
        }
    }

    /// No carrier is left: the best answer goes upstream (P-08), 408 when there is none.
    fn give_best(&mut self, at: Ref, call: &mut Call, now: Now) {
        let best = call.best.take().unwrap_or_else(|| {
            // Carriers were there and none could be tried: between the choice and its first turn all were blocked or full.
            let (status, q850) = if call.attempts.is_empty() { (Refusal::CarrierUnavailable.sip_code(), Refusal::CarrierUnavailable.q850()) } else { (408, 102) };
            Best { status, bytes: Vec::new(), q850, phrase: phrase_of(status).to_owned(), attempt: 0, rang: false }
        });
        let local_cause = if call.attempts.is_empty() { Refusal::CarrierUnavailable.name() } else { "" };
        self.end_unanswered(at, call, best, "callee", "normal", local_cause, now);
    }

    /// The final response of a call that nobody answered, and its last event.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn end_unanswered(&mut self, at: Ref, call: &mut Call, mut best: Best, hangup_party: &'static str, end_reason: &'static str, local_cause: &'static str, now: Now) {
        let relay_503 = call.plan.policy.trunk_named(&call.facts.trunk).is_some_and(|t| call.plan.policy.trunk(t).relay_503);
        let disposition = disposition(best.status, best.rang, best.q850);
        let made_here = best.bytes.is_empty();
        if best.status == 503 && !relay_503 && !call.attempts.is_empty() {
            // One carrier's overload is not ours (P-10).
            best.status = 500;
            best.phrase = phrase_of(500).to_owned();
            best.bytes = Vec::new();
        } else if (300..400).contains(&best.status) {
            // Nobody outside sends our customers elsewhere (P-19).
            best.status = 480;
            best.phrase = phrase_of(480).to_owned();
            best.bytes = Vec::new();
        }
        self.send_final(call, &best, now);
        let q850 = if best.q850 != 0 { best.q850 } else { super::super::cause::of_status(best.status) };
        let end = CallEnd {
            disposition: if call.verdict.is_some() { "rejected" } else { disposition },
            sip_code: best.status,
            phrase: best.phrase,
            q850,
            hangup_party: if made_here && hangup_party == "callee" { "system" } else { hangup_party },
            end_reason,
            local_cause,
            confidence: "exact",
        };
        self.emit_ended(call, end, now);
        self.finish(at, call, now);
    }

    /// Sends the final response to the caller's INVITE: the carrier's own bytes, or one of ours.
    fn send_final(&mut self, call: &mut Call, best: &Best, now: Now) {
        let Some(server) = call.server else { return };
        let mut bytes = Vec::with_capacity(512);
        if best.bytes.is_empty() {
            self.write_call_reply(call, best.status, &best.phrase, best.q850, &mut bytes);
        } else if let Ok(msg) = Msg::parse(&best.bytes) {
            self.edits.clear();
            // P-11: the challenges of every branch; its own are in it already.
            let own: Vec<_> = msg.headers().map(|(_, v)| v.to_vec()).collect();
            for line in &call.challenges {
                if !own.iter().any(|v| line.ends_with(&[v.as_slice(), b"\r\n"].concat())) {
                    self.edits.push_line_last(&msg, |out| out.extend_from_slice(&line[..line.len() - 2]));
                }
            }
            self.edits.apply(&msg, &mut bytes);
        }
        self.respond(server, bytes, best.status, 0, now);
    }

    /// A response of ours to the caller's INVITE, from the call's record.
    pub(super) fn write_call_reply(&self, call: &Call, status: u16, phrase: &str, q850: u8, out: &mut Vec<u8>) {
        let _ = write!(out, "SIP/2.0 {status} {phrase}\r\n");
        for via in &call.vias {
            out.extend_from_slice(b"Via: ");
            out.extend_from_slice(via);
            out.extend_from_slice(b"\r\n");
        }
        let tag = self.ctx.keys.hash(&[b"call", &call.id.0.to_be_bytes()]);
        for (name, value) in [("From: ", &call.from_value), ("To: ", &call.to_value)] {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
            if name == "To: " {
                out.extend_from_slice(b";tag=tg");
                super::super::token::push_hex(out, tag >> 64, 16);
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Call-ID: ");
        out.extend_from_slice(&call.call_id);
        let _ = write!(out, "\r\nCSeq: {} INVITE\r\n", call.cseq);
        if q850 != 0 {
            let _ = write!(out, "Reason: Q.850;cause={q850}\r\n");
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    pub(super) fn release_carrier(&mut self, call: &mut Call, n: usize) {
        if let Some(slot) = call.attempts[n].slot.take() {
            self.gate().admission.release_carrier(slot);
        }
    }

    /// Gives back everything the call holds and keeps only what answers stragglers.
    pub(super) fn finish(&mut self, _at: Ref, call: &mut Call, now: Now) {
        for n in 0..call.attempts.len() {
            self.release_carrier(call, n);
        }
        if let Some(slot) = call.slot.take() {
            let duration = (call.answered_attempt > 0).then(|| call.answered_for_ms(now));
            self.gate().admission.release(slot, now, duration);
        }
        self.merges.remove(&call.merge_key);
        call.phase = Phase::Over;
        call.forget_ms = ms(now) + self.ctx.settings.t1_64();
        call.invite = Vec::new();
        call.routes = Vec::new();
        call.best = None;
        call.challenges = Vec::new();
        call.vias = Vec::new();
        call.sell = None;
        call.tiers = Vec::new();
        call.caller = Caller::default();
        call.a_number = String::new();
        call.dialled = String::new();
        for attempt in &mut call.attempts {
            attempt.route.cost = None;
        }
        // What tells its own party from others is all that is still asked of its facts.
        let trunk = std::mem::take(&mut call.facts.trunk);
        call.facts = CallFacts { trunk, emergency: call.facts.emergency, ..CallFacts::default() };
        self.up -= 1;
    }

    /// What a block says of this call now, if one does.
    pub(super) fn block_on(&mut self, call: &Call, now: Now) -> Option<Verdict> {
        if call.facts.emergency {
            return None;
        }
        let gate = self.gate();
        let view = CallView::of(&call.facts, &call.a_number, &call.dialled, Some(call.source.ip()));
        let block = gate.admission.blocked(&view, now)?;
        Some(Verdict {
            actor: block.actor.clone(),
            end_reason: if block.actor.starts_with("fraud") { "fraud_teardown" } else { "block" },
            block: Some(block.id),
            sip_code: block.sip_code.unwrap_or(Refusal::Blocked.sip_code()),
            q850: Refusal::Blocked.q850(),
            reason: block.reason.clone(),
            teardown: block.teardown,
        })
    }
}

#[cfg(test)]
mod tests;
