//! Ending a call: by its parties, by command, by verdict (P-60 to P-63).

use std::io::Write;

use tollgate_schemas::time::Now;

use super::{
    super::{
        call::{Best, Call, Phase, Verdict},
        dialog::Side,
        table::Ref,
        token::push_hex,
        txn::{ClientTx, Role},
    },
    Core,
    events::{AttemptEnd, CallEnd},
    hunt::Outcome,
    ms,
};
use crate::sip::msg::Msg;

impl Core {
    /// The last events of an answered call: its attempt, then itself.
    pub(super) fn end_answered(&mut self, at: Ref, call: &mut Call, hangup_party: &'static str, end_reason: &'static str, q850: u8, now: Now) {
        // The end was seen as it happened; over two boots the clocks may disagree.
        let confidence = if call.other_boot { "forced" } else { "exact" };
        if let Some(n) = call.attempts.iter().position(|a| a.no == call.answered_attempt && !a.closed) {
            let end = AttemptEnd { sip_code: 200, phrase: "OK".to_owned(), q850: 0, local_cause: "", late_answer: false, duration_ms: call.answered_for_ms(now) };
            self.emit_attempt_ended(call, n, end, now);
        }
        let end = CallEnd {
            disposition: "answered",
            sip_code: 200,
            phrase: "OK".to_owned(),
            q850,
            hangup_party,
            end_reason,
            local_cause: if end_reason == "normal" { "" } else { end_reason },
            confidence,
        };
        self.emit_ended(call, end, now);
        self.finish(at, call, now);
    }

    /// Ends a call from here, in whatever state it is.
    pub(super) fn tear_down(&mut self, at: Ref, call: &mut Call, verdict: Verdict, now: Now) {
        self.counters.torn_down += 1;
        self.emit_teardown(call, &verdict, now);
        call.verdict = Some(verdict.clone());
        match call.phase {
            Phase::Hunting | Phase::Cancelling => self.tear_down_early(at, call, &verdict, now),
            Phase::Answered => self.tear_down_answered(at, call, &verdict, now),
            Phase::TearingDown | Phase::Over => {}
        }
    }

    /// CANCEL towards the carrier, a final response upstream.
    fn tear_down_early(&mut self, at: Ref, call: &mut Call, verdict: &Verdict, now: Now) {
        if let Some(n) = call.active_attempt() {
            let rang = call.attempts[n].first_18x_us != 0;
            let outcome = Outcome { received: 0, status: verdict.sip_code, phrase: String::new(), q850: verdict.q850, local_cause: verdict.end_reason, bytes: Vec::new(), rang, early_media: false };
            // Over first, so that giving up the branch does not send the hunt on.
            let phase = std::mem::replace(&mut call.phase, Phase::Over);
            self.abandon(at, call, n, outcome, now);
            call.phase = phase;
        }
        let best = Best {
            status: verdict.sip_code,
            bytes: Vec::new(),
            q850: verdict.q850,
            phrase: super::reply::phrase_of(verdict.sip_code).to_owned(),
            attempt: 0,
            rang: false,
        };
        self.end_unanswered(at, call, best, "system", verdict.end_reason, verdict.end_reason, now);
    }

    /// BYE to both sides; where the caller has not acknowledged the answer yet, the 200 goes on upstream first.
    fn tear_down_answered(&mut self, at: Ref, call: &mut Call, verdict: &Verdict, now: Now) {
        let reason = verdict.public_reason();
        let mut waiting = false;
        let live: Vec<_> = (0..call.dialogs.len()).filter(|i| call.dialogs[*i].confirmed && !call.dialogs[*i].ended).collect();
        for i in live {
            if !call.dialogs[i].acked {
                self.acknowledge(call, i);
            }
            self.bye_to(at, call, i, Side::Callee, reason, verdict.q850, now);
            if call.dialogs[i].acked {
                self.bye_to(at, call, i, Side::Caller, reason, verdict.q850, now);
            } else {
                waiting = true;
            }
            call.dialogs[i].ended = true;
        }
        let ok = std::mem::take(&mut call.ok_response);
        self.end_answered(at, call, "system", verdict.end_reason, verdict.q850, now);
        if waiting {
            // We answer for the callee now: the 200 again until the ACK or 64·T1 (§13.3.1.4), then BYE.
            call.phase = Phase::TearingDown;
            call.ok_response = ok;
            call.ok_interval = self.ctx.settings.t1_ms;
            call.ok_next = ms(now) + call.ok_interval;
            call.forget_ms = ms(now) + 2 * self.ctx.settings.t1_64();
        }
    }

    /// The 2xx of a call that a verdict fell on while it rang: the carrier gets ACK and BYE, the caller a refusal.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn refuse_answer(&mut self, at: Ref, call: &mut Call, n: usize, msg: &Msg<'_>, from: std::net::SocketAddr, verdict: Verdict, now: Now) {
        self.tear_down(at, call, verdict, now);
        self.on_late_success(call, n, msg, from, now);
    }

    /// A BYE of ours to one side, with that leg's own CSeq.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn bye_to(&mut self, at: Ref, call: &mut Call, i: usize, side: Side, reason: &str, q850: u8, now: Now) {
        let role = Role::Bye { to_caller: side == Side::Caller };
        self.send_bye(at, call, i, side, role, reason, q850, now);
    }

    pub(super) fn bye_late(&mut self, at: Ref, call: &mut Call, i: usize, n: usize, now: Now) {
        self.send_bye(at, call, i, Side::Callee, Role::LateBye(n as u8), "", 16, now);
    }

    #[allow(clippy::too_many_arguments)]
    fn send_bye(&mut self, at: Ref, call: &mut Call, i: usize, side: Side, role: Role, reason: &str, q850: u8, now: Now) {
        // The sender's next number: what the other side sent last on this leg, and room after a crash for what was
        // not recorded.
        let sender = call.dialogs[i].party_mut(side.other());
        sender.cseq = sender.cseq.saturating_add(if call.resumed { 100 } else { 1 });
        let cseq = sender.cseq;
        let client = self.clients.next_ref();
        let mut branch = Vec::with_capacity(40);
        self.ctx.keys.write_branch(client.index, client.generation, &mut branch);
        let mut extra = format!("Reason: Q.850;cause={q850}");
        if !reason.is_empty() {
            let _ = std::fmt::Write::write_fmt(&mut extra, format_args!(";text=\"{reason}\""));
        }
        let mut request = Vec::with_capacity(512);
        self.write_own_request(call, i, side, "BYE", cseq, &branch, &extra, &mut request);
        let dest = Core::side_address(call, i, side);
        let mut tx = ClientTx::new(false, role, Some(at), dest, 0, ms(now), &self.ctx.settings);
        self.out.send(dest, 0, &request);
        tx.request = request;
        self.clients.insert(tx);
        self.arm_client(client);
    }

    pub(super) fn acknowledge_re_invite(&mut self, call: &Call, i: usize, answerer: Side, seq: u32) {
        let mut branch = Vec::with_capacity(48);
        let hash = self.ctx.keys.hash(&[b"re-ack", &call.id.0.to_be_bytes(), &seq.to_be_bytes()]);
        branch.extend_from_slice(b"z9hG4bKts");
        push_hex(&mut branch, hash, 32);
        let mut bytes = Vec::with_capacity(512);
        self.write_own_request(call, i, answerer, "ACK", seq, &branch, "", &mut bytes);
        self.out.send(Core::side_address(call, i, answerer), 0, &bytes);
    }

    /// A request of ours inside a dialog, as if from the other side: the parties' own identifiers and route sets.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn write_own_request(&self, call: &Call, i: usize, to: Side, method: &str, cseq: u32, branch: &[u8], extra: &str, out: &mut Vec<u8>) {
        let dialog = &call.dialogs[i];
        let party = dialog.party(to);
        let fallback;
        let target: &[u8] = if party.target.is_empty() {
            fallback = format!("sip:{}", party.addr).into_bytes();
            &fallback
        } else {
            &party.target
        };
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(target);
        out.extend_from_slice(b" SIP/2.0\r\n");
        super::request::write_via(&self.local_text, branch, out);
        out.extend_from_slice(b"\r\nMax-Forwards: 70\r\n");
        for route in &party.route_set {
            out.extend_from_slice(b"Route: ");
            out.extend_from_slice(route);
            out.extend_from_slice(b"\r\n");
        }
        let callee_value = [call.to_value.as_slice(), b";tag=", dialog.to_tag.as_slice()].concat();
        let (from, to_value) = match to {
            Side::Callee => (&call.from_value, &callee_value),
            Side::Caller => (&callee_value, &call.from_value),
        };
        out.extend_from_slice(b"From: ");
        out.extend_from_slice(from);
        out.extend_from_slice(b"\r\nTo: ");
        out.extend_from_slice(to_value);
        out.extend_from_slice(b"\r\nCall-ID: ");
        out.extend_from_slice(&call.call_id);
        let _ = write!(out, "\r\nCSeq: {cseq} {method}\r\n");
        if !extra.is_empty() {
            out.extend_from_slice(extra.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}
