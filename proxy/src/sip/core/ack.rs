//! ACK: hop by hop for failures, end to end for answers, and our own where nobody else can give it.

use std::{io::Write, net::SocketAddr};

use tollgate_schemas::time::Now;

use super::{
    super::{
        call::{Call, Phase},
        dialog::Side,
        msg::{Header, Method, Msg},
        txn::{NEVER, ServerState},
    },
    Core, ms,
};
use crate::admission::Party;

/// The ACK for a non-2xx final (§17.1.1.3): from the INVITE as sent, with the response's To.
pub fn write_hop_ack(invite: &[u8], response: &Msg<'_>, out: &mut Vec<u8>) {
    let Ok(sent) = Msg::parse(invite) else { return };
    write_follow_up(&sent, "ACK", response.header(Header::To).unwrap_or_default(), out);
}

/// CANCEL and hop ACK alike: same Request-URI, top Via, From, Call-ID, CSeq number and Route as the INVITE.
pub fn write_follow_up(sent: &Msg<'_>, method: &str, to: &[u8], out: &mut Vec<u8>) {
    let line = |out: &mut Vec<u8>, name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(sent.uri_span().map(|s| sent.at(s)).unwrap_or_default());
    out.extend_from_slice(b" SIP/2.0\r\n");
    line(out, "Via: ", sent.first_value(Header::Via).map(|v| v.bytes).unwrap_or_default());
    for route in sent.values(Header::Route) {
        line(out, "Route: ", route.bytes);
    }
    line(out, "From: ", sent.header(Header::From).unwrap_or_default());
    line(out, "To: ", to);
    line(out, "Call-ID: ", sent.header(Header::CallId).unwrap_or_default());
    let seq = sent.cseq().map(|c| c.seq).unwrap_or_default();
    let _ = write!(out, "CSeq: {seq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
}

impl Core {
    pub(super) fn on_ack(&mut self, msg: &Msg<'_>, from: SocketAddr, party: Option<Party>, now: Now) {
        // Of a failure: the INVITE's own branch.
        let key = self.server_key(msg, Method::Invite);
        if let Some(at) = self.server_keys.get(&key).copied()
            && let Some(tx) = self.servers.get_mut(at)
            && tx.state == ServerState::Completed
        {
            tx.state = ServerState::Confirmed;
            tx.response = Vec::new();
            tx.interval = 0;
            tx.end = ms(now) + self.ctx.settings.t4_ms;
            tx.alarm.due = tx.end;
            return self.arm_server(at);
        }
        // Of a 2xx: through the dialog, without a transaction.
        let Some(token) = self.own_route(msg) else { return };
        let Some(at) = self.by_id.get(&token.call).copied() else {
            if party.is_some() {
                self.forward_stateless(msg, from);
            }
            return;
        };
        let Some(mut call) = self.calls.take(at) else { return };
        self.ack_in_dialog(at, &mut call, msg, from, party, now);
        self.put_call(at, call);
    }

    fn ack_in_dialog(&mut self, at: super::super::table::Ref, call: &mut Call, msg: &Msg<'_>, from: SocketAddr, party: Option<Party>, now: Now) {
        let Some((i, side)) = Core::dialog_of(call, msg) else {
            self.counters.unknown_dialogs += 1;
            return;
        };
        if !self.is_party(call, i, side, from, party) {
            self.counters.wrong_party += 1;
            return;
        }
        let initial = side == Side::Caller && msg.cseq().is_ok_and(|c| c.seq == call.cseq);
        if initial && !call.dialogs[i].acked {
            call.dialogs[i].acked = true;
            if call.ack_us == 0 {
                call.ack_us = now.utc_us;
            }
            call.ok_response = Vec::new();
            call.ok_next = NEVER;
            if call.phase == Phase::TearingDown {
                // It was ended while the answer was on its way: now the caller can hear of it too.
                let (reason, q850) = call.verdict.as_ref().map_or(("", 16), |v| (v.public_reason(), v.q850));
                self.bye_to(at, call, i, Side::Caller, reason, q850, now);
                call.phase = Phase::Over;
                return;
            }
        }
        if call.dialogs[i].ended && call.phase != Phase::Answered && initial {
            return;
        }
        let mut branch = Vec::with_capacity(40);
        self.stateless_branch(msg, &mut branch);
        if let Some((dest, bytes)) = self.forward_in_dialog(call, i, side, msg, from, &branch) {
            let after = if initial { call.answered_batch } else { 0 };
            self.out.send(dest, after, &bytes);
        }
    }

    /// A branch for what is forwarded without a transaction: alike for every copy of the request (§16.11).
    pub(super) fn stateless_branch(&self, msg: &Msg<'_>, out: &mut Vec<u8>) {
        let branch = msg.top_via().ok().and_then(|v| v.branch).unwrap_or_default();
        let seq = msg.cseq().map(|c| c.seq).unwrap_or_default().to_be_bytes();
        let hash = self.ctx.keys.hash(&[b"stateless", branch, msg.call_id().unwrap_or_default(), &seq]);
        out.extend_from_slice(b"z9hG4bKts");
        super::super::token::push_hex(out, hash, 32);
    }

    /// Our own ACK for a 2xx of this dialog, to the callee.
    pub(super) fn acknowledge(&mut self, call: &Call, i: usize) {
        let mut branch = Vec::with_capacity(40);
        let hash = self.ctx.keys.hash(&[b"ack", &call.id.0.to_be_bytes(), &call.dialogs[i].to_tag]);
        branch.extend_from_slice(b"z9hG4bKts");
        super::super::token::push_hex(&mut branch, hash, 32);
        let dest = Core::side_address(call, i, Side::Callee);
        let mut bytes = Vec::with_capacity(512);
        self.write_own_request(call, i, Side::Callee, "ACK", call.cseq, &branch, "", &mut bytes);
        self.out.send(dest, 0, &bytes);
    }
}
