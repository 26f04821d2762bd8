//! Responses: found by the branch we made, moved through their client transaction, passed upstream or absorbed.

use std::{net::SocketAddr, sync::Arc};

use tollgate_schemas::time::Now;

use super::{
    super::{
        call::{AttemptState, Call, Phase},
        cause,
        dialog::{Dialog, Party as Side, contact_uri, route_values},
        msg::{Header, Method, Msg},
        table::Ref,
        txn::{ClientState, Role},
    },
    Core, caller_name,
    charge_limit::charge_limit_ms,
    events::AttemptEnd,
    hunt::Outcome,
    ms,
};
use crate::admission::Party;

impl Core {
    pub(super) fn on_response(&mut self, msg: &Msg<'_>, from: SocketAddr, party: Option<Party>, now: Now) {
        self.counters.responses += 1;
        if msg.check_response().is_err() {
            self.counters.malformed += 1;
            return;
        }
        let found = msg.top_via().ok().and_then(|v| v.branch).and_then(|branch| match self.old_branches.get(branch) {
            Some(at) => Some(*at),
            None => self.ctx.keys.read_branch(branch).map(|(index, generation)| Ref { index, generation }),
        });
        let Some(at) = found else {
            self.counters.stray_responses += 1;
            return;
        };
        if msg.cseq().is_ok_and(|c| c.method == Method::Cancel) {
            if let Some(cancel) = self.cancels.get(&at).copied() {
                self.on_own_response(cancel, msg.status().unwrap_or_default(), now);
            }
            return;
        }
        let Some(tx) = self.clients.get(at) else {
            self.counters.stray_responses += 1;
            return;
        };
        // From where we sent it, or from another address of the same party (a carrier's cluster).
        if tx.dest != from && tx.dest.ip() != from.ip() && (party.is_none() || party != self.plan.policy.party(tx.dest)) {
            self.counters.wrong_party += 1;
            return;
        }
        let is_invite = msg.cseq().is_ok_and(|c| c.method == Method::Invite);
        if tx.invite != is_invite {
            self.counters.stray_responses += 1;
            return;
        }
        let Some(status) = msg.status() else { return };
        match tx.role {
            Role::Attempt(n) => self.on_attempt_response(at, usize::from(n), msg, status, from, now),
            Role::Relay(server) => self.on_relay_response(at, server, msg, status, now),
            Role::Bye { .. } | Role::LateBye(_) | Role::Cancel => self.on_own_response(at, status, now),
        }
    }

    /// The message with our Via value cut (§16.7 step 3).
    pub(super) fn cut_via(&mut self, msg: &Msg<'_>, out: &mut Vec<u8>) {
        self.edits.clear();
        if let Some(top) = msg.first_value(Header::Via) {
            self.edits.remove_value(msg, &top);
        }
        self.edits.apply(msg, out);
    }

    /// The same of a response to the call's INVITE, with the From its caller wrote (RFC 3261 §8.2.6.2).
    pub(super) fn cut_via_of(&mut self, call: &Call, msg: &Msg<'_>, out: &mut Vec<u8>) {
        self.edits.clear();
        if let Some(top) = msg.first_value(Header::Via) {
            self.edits.remove_value(msg, &top);
        }
        if !call.a_name.is_empty()
            && caller_name::is_in_from(&call.facts.a_number_source)
            && let Some(from) = msg.first_value(Header::From)
        {
            self.edits.replace(from.span, &call.from_value);
        }
        self.edits.apply(msg, out);
    }

    fn on_attempt_response(&mut self, client: Ref, n: usize, msg: &Msg<'_>, status: u16, from: SocketAddr, now: Now) {
        let Some(at) = self.clients.get(client).and_then(|tx| tx.call) else { return };
        let Some(mut call) = self.calls.take(at) else { return };
        match status {
            100..=199 => self.on_provisional(&mut call, client, n, msg, status, from, now),
            200..=299 => self.on_success(at, &mut call, client, n, msg, status, from, now),
            _ => self.on_failure(at, &mut call, client, n, msg, status, now),
        }
        self.put_call(at, call);
    }

    #[allow(clippy::too_many_arguments)]
    fn on_provisional(&mut self, call: &mut Call, client: Ref, n: usize, msg: &Msg<'_>, status: u16, from: SocketAddr, now: Now) {
        if let Some(tx) = self.clients.get_mut(client) {
            tx.provisional(&self.ctx.settings);
            if tx.state != ClientState::Proceeding {
                return;
            }
        }
        let attempt = &mut call.attempts[n];
        if status == 100 && attempt.first_100_us == 0 {
            attempt.first_100_us = now.utc_us;
        }
        match attempt.state {
            // CANCEL waits for a provisional (P-16).
            AttemptState::Cancelling | AttemptState::Abandoned => return self.cancel_branch(call, n, now),
            AttemptState::Trying if status > 100 => {}
            _ => return,
        }
        let first = attempt.first_18x_us == 0;
        if first {
            attempt.first_18x_us = now.utc_us;
            attempt.first_18x_ms = ms(now);
            attempt.first_18x_code = status;
        }
        if first || attempt.first_18x_code < 180 && status == 180 {
            self.emit_ringing(call, n, status, !msg.body().is_empty(), now);
        }
        call.attempts[n].early_media |= !msg.body().is_empty();
        self.note_dialog(call, msg, from);
        if let Some(server) = call.server {
            let mut bytes = Vec::with_capacity(msg.bytes().len());
            self.cut_via_of(call, msg, &mut bytes);
            self.respond(server, bytes, status, 0, now);
        }
    }

    /// Remembers the dialog of a response with a To tag, and gives its place.
    fn note_dialog(&mut self, call: &mut Call, msg: &Msg<'_>, from: SocketAddr) -> Option<usize> {
        let tag = msg.to().ok()?.tag()?;
        if let Some(i) = call.dialog(tag) {
            let contact = contact_uri(msg);
            if !contact.is_empty() && !call.dialogs[i].confirmed {
                call.dialogs[i].callee.target = contact;
            }
            return Some(i);
        }
        // Record-Route in a response: nearest to the callee first, ours among them, then the caller's side.
        let routes = route_values(msg, Header::RecordRoute);
        let ours = routes.iter().position(|r| self.is_our_route(r)).unwrap_or(routes.len());
        let mut callee_routes: Vec<_> = routes[..ours].to_vec();
        callee_routes.reverse();
        let caller_target = call.caller_contact.clone();
        call.dialogs.push(Dialog {
            to_tag: tag.to_vec(),
            caller: Side { target: caller_target, route_set: call.caller_routes.clone(), cseq: call.cseq, addr: call.source },
            callee: Side { target: contact_uri(msg), route_set: callee_routes, cseq: 0, addr: from },
            confirmed: false,
            acked: false,
            ended: false,
        });
        self.learn_targets(call, call.dialogs.len() - 1);
        Some(call.dialogs.len() - 1)
    }

    /// Addresses that this dialog's parties may use beside their own (design §3 point 5).
    pub(super) fn learn_targets(&mut self, call: &Call, i: usize) {
        for addr in Core::addresses_of(&call.dialogs[i]) {
            self.learn(addr);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn on_success(&mut self, at: Ref, call: &mut Call, client: Ref, n: usize, msg: &Msg<'_>, status: u16, from: SocketAddr, now: Now) {
        let first = match self.clients.get_mut(client) {
            Some(tx) => {
                let first = tx.finish(status, ms(now), &self.ctx.settings);
                // Neither CANCEL nor a repetition can follow.
                tx.request = Vec::new();
                first
            }
            None => return,
        };
        self.arm_client(client);
        let unwanted = matches!(call.attempts[n].state, AttemptState::Abandoned | AttemptState::Failed);
        if unwanted {
            return self.on_late_success(call, n, msg, from, now);
        }
        if call.phase != Phase::Answered
            && call.phase != Phase::TearingDown
            && call.phase != Phase::Over
            && let Some(verdict) = self.block_on(call, now)
        {
            // A verdict fell while it rang: the answer is not let through (the carrier's cost is still owed).
            return self.refuse_answer(at, call, n, msg, from, verdict, now);
        }
        let Some(tag) = msg.to().ok().and_then(|t| t.tag()) else { return };
        let known = call.dialog(tag).filter(|i| call.dialogs[*i].confirmed);
        if let Some(i) = known {
            self.counters.retransmissions += u64::from(!first);
            return self.on_repeated_success(call, i, msg);
        }
        let Some(i) = self.note_dialog(call, msg, from) else { return };
        call.dialogs[i].confirmed = true;
        let mut bytes = Vec::with_capacity(msg.bytes().len());
        self.cut_via_of(call, msg, &mut bytes);
        if call.answered.is_none() {
            self.answer(call, n, status, now);
            call.ok_response = bytes.clone();
        } else if matches!(call.phase, Phase::TearingDown | Phase::Over) {
            // Another fork answers a call that is over: it is answered for and ended.
            self.acknowledge(call, i);
            self.bye_to(at, call, i, super::super::dialog::Side::Callee, "", 16, now);
            call.dialogs[i].ended = true;
            return;
        } else {
            self.emit_dialog_changed(call, "forked", now);
        }
        let after = self.batch;
        if let Some(server) = call.server {
            self.respond(server, bytes, status, after, now);
        }
    }

    /// The first 2xx: from here on money runs.
    fn answer(&mut self, call: &mut Call, n: usize, status: u16, now: Now) {
        call.phase = Phase::Answered;
        call.answered = Some(now);
        call.answered_ms = ms(now);
        call.limit_ms = ms(now) + self.ctx.settings.max_call_ms;
        call.answered_attempt = call.attempts[n].no;
        call.interim_next = ms(now) + self.ctx.settings.interim_ms;
        call.attempts[n].state = AttemptState::Answered;
        // the rows in force now price the call, as far as this node has heard of them.
        let plan = self.plan.clone();
        let same = Arc::ptr_eq(&plan, &call.plan) && plan.routing.unchanged(call.started.utc_us, now.utc_us);
        if !same
            && !call.facts.emergency
            && let Some((sell, tiers)) = plan.routing.sell_at(&call.facts.account, &call.parties(), now.utc_us)
        {
            call.sell = Some(sell);
            call.tiers = tiers;
        }
        if !same
            && let Some(carrier) = plan.policy.carrier_named(&call.attempts[n].carrier)
            && let Some(cost) = plan.routing.cost(carrier, &call.parties(), now.utc_us)
        {
            call.attempts[n].route.cost = Some(cost);
        }
        if let Some(slot) = call.slot.as_mut() {
            let mut gate = self.ctx.gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            gate.admission.answered(slot, now, call.sell.as_ref());
            if call.on_credit {
                gate.admission.credit_answered(slot, call.sell.as_ref(), &call.tiers);
                call.slice_ms = ms(now);
            }
        }
        call.charge_ms = charge_limit_ms(call, n, now);
        call.invite = Vec::new();
        call.routes = Vec::new();
        self.counters.answered += 1;
        self.emit_answered(call, n, status, now);
        call.answered_batch = self.batch;
    }

    /// A 2xx that was seen before: upstream again while the caller has not acknowledged it, else acknowledged here.
    fn on_repeated_success(&mut self, call: &mut Call, i: usize, msg: &Msg<'_>) {
        if matches!(call.phase, Phase::TearingDown | Phase::Over) {
            return self.acknowledge(call, i);
        }
        if !self.may_send(call.answered_batch) {
            return;
        }
        if let Some(tx) = call.server.and_then(|s| self.servers.get(s)) {
            let to = tx.reply_to;
            let mut bytes = Vec::with_capacity(msg.bytes().len());
            self.cut_via_of(call, msg, &mut bytes);
            self.out.send(to, 0, &bytes);
        }
    }

    /// A 2xx on a branch that was given up: ACK and BYE, and its cost is owed.
    pub(super) fn on_late_success(&mut self, call: &mut Call, n: usize, msg: &Msg<'_>, from: SocketAddr, now: Now) {
        let Some(tag) = msg.to().ok().and_then(|t| t.tag()) else { return };
        let known = call.attempts[n].late_tag.as_deref() == Some(tag);
        let Some(i) = self.note_dialog(call, msg, from) else { return };
        self.acknowledge(call, i);
        if known {
            return;
        }
        self.counters.late_answers += 1;
        call.attempts[n].late_tag = Some(tag.to_vec());
        call.dialogs[i].ended = true;
        let at = self.by_id.get(&call.id).copied();
        if let Some(at) = at {
            self.bye_late(at, call, i, n, now);
        }
        let end = AttemptEnd {
            sip_code: msg.status().unwrap_or(200),
            phrase: "OK".to_owned(),
            q850: 16,
            local_cause: "late_answer",
            late_answer: true,
            // Ended at once: the shortest answered call there is.
            duration_ms: 1,
        };
        self.emit_attempt_ended(call, n, end, now);
    }

    fn on_failure(&mut self, at: Ref, call: &mut Call, client: Ref, n: usize, msg: &Msg<'_>, status: u16, now: Now) {
        let Some(tx) = self.clients.get_mut(client) else { return };
        let first = tx.finish(status, ms(now), &self.ctx.settings);
        if first {
            let mut ack = Vec::with_capacity(512);
            super::ack::write_hop_ack(&tx.request, msg, &mut ack);
            tx.ack = ack;
            tx.request = Vec::new();
        }
        self.out.send(tx.dest, 0, &tx.ack);
        self.arm_client(client);
        if !first {
            self.counters.retransmissions += 1;
            return;
        }
        if !matches!(call.attempts[n].state, AttemptState::Trying | AttemptState::Cancelling) {
            return;
        }
        let mut bytes = Vec::with_capacity(msg.bytes().len());
        self.cut_via_of(call, msg, &mut bytes);
        let reason = match msg.kind() {
            super::super::msg::Kind::Response { reason, .. } => String::from_utf8_lossy(reason).into_owned(),
            super::super::msg::Kind::Request { .. } => String::new(),
        };
        let (rang, early_media) = (call.attempts[n].first_18x_us != 0, call.attempts[n].early_media);
        let outcome = Outcome { received: status, status, phrase: reason, q850: cause::of_message(msg), local_cause: "", bytes, rang, early_media };
        self.attempt_failed(at, call, n, outcome, now);
    }

    /// A response to an in-dialog request that was passed on.
    fn on_relay_response(&mut self, client: Ref, server: Ref, msg: &Msg<'_>, status: u16, now: Now) {
        let Some(tx) = self.clients.get_mut(client) else { return };
        let call_at = tx.call;
        let invite = tx.invite;
        if status < 200 {
            tx.provisional(&self.ctx.settings);
            if status == 100 {
                return;
            }
        } else {
            let first = tx.finish(status, ms(now), &self.ctx.settings);
            if invite && status >= 300 {
                if first {
                    let mut ack = Vec::with_capacity(512);
                    super::ack::write_hop_ack(&tx.request, msg, &mut ack);
                    tx.ack = ack;
                }
                self.out.send(tx.dest, 0, &tx.ack);
            }
            tx.request = Vec::new();
            self.arm_client(client);
            if !first && !(invite && status < 300) {
                return;
            }
        }
        let mut after = 0;
        if let Some(at) = call_at
            && let Some(mut call) = self.calls.take(at)
        {
            after = self.on_relay_final(&mut call, msg, status, invite, now);
            self.put_call(at, call);
        }
        let mut bytes = Vec::with_capacity(msg.bytes().len());
        self.cut_via(msg, &mut bytes);
        if invite && (200..300).contains(&status) {
            // Each 2xx passes, repeated ones too (RFC 6026).
            let Some(tx) = self.servers.get_mut(server) else { return };
            self.out.send(tx.reply_to, after, &bytes);
            if tx.state == super::super::txn::ServerState::Proceeding {
                tx.finish(status, ms(now), &self.ctx.settings);
                tx.response = Vec::new();
                self.arm_server(server);
            }
        } else {
            self.respond(server, bytes, status, after, now);
        }
    }

    /// Our own BYE or CANCEL was answered.
    fn on_own_response(&mut self, client: Ref, status: u16, now: Now) {
        let Some(tx) = self.clients.get_mut(client) else { return };
        if status < 200 {
            return tx.provisional(&self.ctx.settings);
        }
        tx.finish(status, ms(now), &self.ctx.settings);
        tx.request = Vec::new();
        self.arm_client(client);
    }
}
