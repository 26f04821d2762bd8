//! Timers: transactions repeat and end, calls are watched (P-06, P-13, P-17, P-46, P-63).

use tollgate_schemas::{refusal::Refusal, time::Now};

use super::{
    super::{
        call::{AttemptState, Best, Call, Phase, Verdict},
        dialog::Side,
        table::Ref,
        timer::{Entry, Owner},
        txn::{ClientState, NEVER, Role, ServerState},
    },
    Core,
    hunt::Outcome,
    ms,
    reply::phrase_of,
};
use crate::admission::Slice;

impl Core {
    /// Does everything that is due.
    pub fn handle_timeouts(&mut self, now: Now) {
        let now_ms = ms(now);
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now_ms, &mut due);
        for entry in due.drain(..) {
            let at = |index| Ref { index, generation: entry.generation };
            match entry.owner {
                Owner::Server(index) => self.server_due(at(index), entry, now_ms),
                Owner::Client(index) => self.client_due(at(index), entry, now),
                Owner::Call(index) => self.call_due_now(at(index), entry, now),
                Owner::Waiting(index) => self.waiting_due(at(index), now),
            }
        }
        self.due = due;
    }

    /// What waits for this batch, or an earlier one, may leave now.
    fn sendable_batch(&self) -> u64 {
        if self.may_send(u64::MAX) { u64::MAX } else { self.durable_batch }
    }

    fn server_due(&mut self, at: Ref, entry: Entry, now: u64) {
        let durable = self.sendable_batch();
        let Some(tx) = self.servers.get_mut(at) else { return };
        if tx.alarm.armed != entry.due_ms {
            return;
        }
        tx.alarm.armed = NEVER;
        if tx.alarm.due > now {
            return self.arm_server(at);
        }
        if now >= tx.end {
            let key = tx.key;
            self.servers.remove(at);
            self.server_keys.remove(&key);
            return;
        }
        if tx.invite && tx.state == ServerState::Completed {
            // Timer G.
            if tx.after <= durable {
                self.counters.repeated += 1;
                self.out.send(tx.reply_to, 0, &tx.response);
            }
            tx.interval = (tx.interval * 2).min(self.ctx.settings.t2_ms);
            tx.alarm.due = (now + tx.interval).min(tx.end);
        } else {
            tx.alarm.due = tx.end;
        }
        self.arm_server(at);
    }

    fn client_due(&mut self, at: Ref, entry: Entry, now: Now) {
        let now_ms = ms(now);
        let durable = self.sendable_batch();
        let Some(tx) = self.clients.get_mut(at) else { return };
        if tx.alarm.armed != entry.due_ms {
            return;
        }
        tx.alarm.armed = NEVER;
        if tx.alarm.due > now_ms {
            return self.arm_client(at);
        }
        if now_ms < tx.end {
            if now_ms >= tx.next_send {
                if tx.after <= durable {
                    self.counters.repeated += 1;
                    self.out.send(tx.dest, 0, &tx.request);
                }
                tx.back_off(now_ms, &self.ctx.settings);
            } else {
                tx.alarm.due = tx.next_send.min(tx.end);
            }
            return self.arm_client(at);
        }
        let unanswered = matches!(tx.state, ClientState::Calling | ClientState::Proceeding);
        let Some(tx) = self.clients.remove(at) else { return };
        match tx.role {
            Role::Attempt(n) if unanswered => self.attempt_timed_out(tx.call, usize::from(n), now),
            Role::Relay(server) if unanswered => self.relay_timed_out(server, tx.call, now),
            Role::Cancel => self.cancels.retain(|_, c| *c != at),
            _ => {}
        }
        if !self.old_branches.is_empty() {
            self.old_branches.retain(|_, c| *c != at);
        }
    }

    fn attempt_timed_out(&mut self, call: Option<Ref>, n: usize, now: Now) {
        let Some(at) = call else { return };
        let Some(mut call) = self.calls.take(at) else { return };
        if matches!(call.attempts[n].state, AttemptState::Trying | AttemptState::Cancelling) {
            let o = timeout("transaction_timeout", call.attempts[n].first_18x_us != 0);
            self.attempt_failed(at, &mut call, n, o, now);
        }
        self.put_call(at, call);
    }

    /// Nobody answered a request that was passed on: 408 for its sender; after a BYE the call is over all the same.
    fn relay_timed_out(&mut self, server: Ref, call: Option<Ref>, now: Now) {
        let Some(tx) = self.servers.get(server) else { return };
        let after = call.and_then(|at| self.calls.get(at)).map_or(0, |c| c.ended_batch);
        if tx.state == ServerState::Proceeding {
            // The response's head was not kept: the sender's own transaction ends by its timers, as RFC 4320 wishes
            // for requests other than INVITE; INVITE was answered by a provisional and needs a final.
            let bytes = tx.response.clone();
            let status_line_end = bytes.windows(2).position(|w| w == b"\r\n");
            if let (true, Some(end)) = (tx.invite, status_line_end) {
                let mut reply = format!("SIP/2.0 408 {}", phrase_of(408)).into_bytes();
                reply.extend_from_slice(&bytes[end..]);
                self.respond(server, reply, 408, after, now);
            } else {
                let key = tx.key;
                self.servers.remove(server);
                self.server_keys.remove(&key);
            }
        }
    }

    /// When a call next wants to be looked at.
    pub(super) fn call_due(&self, call: &Call) -> u64 {
        let s = &self.ctx.settings;
        match call.phase {
            Phase::Hunting => call.active_attempt().map_or(NEVER, |n| self.attempt_limit(call, n).0),
            Phase::Cancelling => call.active_attempt().map_or(call.started_ms, |n| self.cancel_limit(call, n)),
            Phase::Answered => {
                let ack = if call.dialogs.iter().any(|d| d.confirmed && !d.acked && !d.ended) { call.answered_ms + s.ack_wait_ms() } else { NEVER };
                ack.min(call.interim_next).min(call.limit_ms).min(call.charge_ms).min(call.slice_ms)
            }
            Phase::TearingDown => call.ok_next.min(call.forget_ms),
            Phase::Over => call.forget_ms,
        }
    }

    /// The limit that the running attempt meets next, and its name (P-46).
    fn attempt_limit(&self, call: &Call, n: usize) -> (u64, &'static str) {
        let s = &self.ctx.settings;
        let a = &call.attempts[n];
        let t = &call.plan.policy.carrier(a.route.carrier).timers;
        if a.first_18x_us != 0 {
            return (a.first_18x_ms + t.no_answer_ms.unwrap_or(s.no_answer_ms), "no_answer_timeout");
        }
        let pdd = if call.facts.international { s.pdd_international_ms } else { s.pdd_ms };
        let pdd = a.started_ms + t.pdd_ms.unwrap_or(pdd);
        if a.first_100_us != 0 {
            return (pdd, "pdd_timeout");
        }
        let first = a.started_ms + t.first_response_ms.unwrap_or(s.first_response_ms);
        if first <= pdd { (first, "first_response_timeout") } else { (pdd, "pdd_timeout") }
    }

    /// How long a cancelled attempt's final is waited for: 64·T1 (RFC 3261 §9.1), and no longer than a first response
    /// may take where nothing was heard at all.
    fn cancel_limit(&self, call: &Call, n: usize) -> u64 {
        let s = &self.ctx.settings;
        let a = &call.attempts[n];
        let limit = a.cancel_ms.saturating_add(s.t1_64());
        if a.first_100_us != 0 || a.first_18x_us != 0 {
            return limit;
        }
        let first = call.plan.policy.carrier(a.route.carrier).timers.first_response_ms.unwrap_or(s.first_response_ms);
        limit.min((a.started_ms + first).max(a.cancel_ms))
    }

    fn call_due_now(&mut self, at: Ref, entry: Entry, now: Now) {
        let armed = self.calls.get(at).map(|c| c.alarm.armed);
        if armed != Some(entry.due_ms) {
            return;
        }
        let Some(mut call) = self.calls.take(at) else { return };
        call.alarm.armed = NEVER;
        if call.alarm.due <= ms(now) {
            if call.phase == Phase::Over && ms(now) >= call.forget_ms {
                return self.forget(at, call);
            }
            self.watch(at, &mut call, now);
            if call.phase == Phase::Over && ms(now) >= call.forget_ms {
                return self.forget(at, call);
            }
        }
        self.put_call(at, call);
    }

    fn forget(&mut self, at: Ref, call: Box<Call>) {
        self.by_id.remove(&call.id);
        self.unlearn(call.source);
        for dialog in &call.dialogs {
            for addr in Core::addresses_of(dialog) {
                self.unlearn(addr);
            }
        }
        self.calls.forget(at);
    }

    fn watch(&mut self, at: Ref, call: &mut Call, now: Now) {
        let now_ms = ms(now);
        let s = &self.ctx.settings;
        match call.phase {
            Phase::Hunting => {
                let Some(n) = call.active_attempt() else { return };
                let (limit, cause) = self.attempt_limit(call, n);
                if now_ms < limit {
                    return;
                }
                let rang = call.attempts[n].first_18x_us != 0;
                let mut o = timeout(cause, rang);
                if rang {
                    // It rang and nobody took it: the next carrier would only ring the same telephone.
                    o.status = 480;
                    o.q850 = 19;
                    o.phrase = phrase_of(480).to_owned();
                }
                self.abandon(at, call, n, o, now);
            }
            Phase::Cancelling => {
                let Some(n) = call.active_attempt() else {
                    let best = Best { status: 487, bytes: Vec::new(), q850: 0, phrase: phrase_of(487).to_owned(), attempt: 0, rang: false };
                    return self.end_unanswered(at, call, best, "caller", "cancelled", "", now);
                };
                if now_ms >= self.cancel_limit(call, n) {
                    let rang = call.attempts[n].first_18x_us != 0;
                    self.abandon(at, call, n, Outcome { status: 487, ..timeout("cancel_timeout", rang) }, now);
                }
            }
            Phase::Answered => {
                if now_ms >= call.limit_ms {
                    return self.tear_down(at, call, Verdict::system("max_duration", 102), now);
                }
                if now_ms >= call.charge_ms {
                    return self.tear_down(at, call, Verdict::system("max_charge", 102), now);
                }
                if now_ms >= call.slice_ms && !self.next_slice(call, now) {
                    return self.tear_down(at, call, Verdict::system("credit", Refusal::Credit.q850()), now);
                }
                let unacked = call.dialogs.iter().any(|d| d.confirmed && !d.acked && !d.ended);
                if unacked && now_ms >= call.answered_ms + self.ctx.settings.ack_wait_ms() {
                    return self.tear_down_unacknowledged(at, call, now);
                }
                if now_ms >= call.interim_next {
                    call.interim_next = now_ms + self.ctx.settings.interim_ms;
                    self.emit_interim(call, now);
                }
            }
            Phase::TearingDown => {
                if now_ms >= call.forget_ms || call.ok_next == NEVER || now_ms >= call.ended_ms + s.t1_64() {
                    // No ACK came: the caller is told all the same.
                    let (reason, q850) = call.verdict.as_ref().map_or(("", 16), |v| (v.public_reason(), v.q850));
                    for i in 0..call.dialogs.len() {
                        if call.dialogs[i].confirmed && !call.dialogs[i].acked {
                            self.bye_to(at, call, i, Side::Caller, reason, q850, now);
                        }
                    }
                    call.phase = Phase::Over;
                    call.ok_response = Vec::new();
                    call.ok_next = NEVER;
                } else if now_ms >= call.ok_next {
                    if let Some(tx) = call.server.and_then(|s| self.servers.get(s)) {
                        self.counters.repeated += 1;
                        self.out.send(tx.reply_to, 0, &call.ok_response);
                    }
                    call.ok_interval = (call.ok_interval * 2).min(s.t2_ms);
                    call.ok_next = now_ms + call.ok_interval;
                }
            }
            Phase::Over => {}
        }
    }

    /// FN-07: takes the call's next slice in good time; false when there is none and the last is used up. Asks nobody but this
    /// node's lease, so that it holds whatever became of the log and of rating.
    fn next_slice(&mut self, call: &mut Call, now: Now) -> bool {
        let (Some(slot), Some(answered)) = (&call.slot, call.answered) else { return true };
        let elapsed_ms = call.answered_for_ms(now);
        let slice = self.gate().admission.next_slice(slot, answered.utc_us, elapsed_ms, now);
        let Slice::Until { ms: again_ms, changed } = slice else { return false };
        call.slice_ms = ms(now).saturating_add(again_ms.saturating_sub(elapsed_ms));
        if changed {
            self.emit_interim(call, now);
        }
        true
    }

    /// P-17: the answer was never acknowledged. Both sides are told, the CDR says so.
    fn tear_down_unacknowledged(&mut self, at: Ref, call: &mut Call, now: Now) {
        // The caller had its 64·T1 of 200s already: no more of them, BYE at once.
        for dialog in &mut call.dialogs {
            dialog.acked = true;
        }
        self.tear_down(at, call, Verdict::system("no_ack", 102), now);
    }
}

fn timeout(local_cause: &'static str, rang: bool) -> Outcome {
    Outcome { received: 0, status: 408, phrase: phrase_of(408).to_owned(), q850: 102, local_cause, bytes: Vec::new(), rang, early_media: false }
}
