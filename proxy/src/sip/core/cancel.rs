//! CANCEL: the caller's, and ours towards a carrier (RFC 3261 §9, P-16).

use std::net::SocketAddr;

use tollgate_schemas::{portability::DipError, time::Now};

use super::{
    super::{
        call::{AttemptState, Call, Phase},
        msg::{Header, Method, Msg},
        txn::{ClientState, ClientTx, Role},
    },
    Core, ms,
    reply::phrase_of,
};
use crate::admission::Party;

impl Core {
    /// The caller's CANCEL: a transaction of its own that is answered at once, and the end of the hunt.
    pub(super) fn on_cancel(&mut self, msg: &Msg<'_>, from: SocketAddr, party: Option<Party>, now: Now) {
        let own_key = self.server_key(msg, Method::Cancel);
        if let Some(at) = self.server_keys.get(&own_key).copied() {
            self.counters.retransmissions += 1;
            if let Some(tx) = self.servers.get(at) {
                self.out.send(tx.reply_to, 0, &tx.response);
            }
            return;
        }
        let invite = self.server_keys.get(&self.server_key(msg, Method::Invite)).copied();
        let Some((invite, tx)) = invite.and_then(|at| Some((at, self.servers.get(at)?))) else {
            if party.is_some() {
                self.reply_stateless(msg, from, 481, phrase_of(481), "");
            }
            return;
        };
        if tx.reply_to.ip() != from.ip() {
            self.counters.wrong_party += 1;
            return;
        }
        let (call_at, relayed, waiting) = (tx.call, tx.relayed, tx.waiting);
        let cancel = self.new_server(msg, own_key, false, from);
        self.reply(cancel, msg, from, 200, "OK", "", now);
        if let Some(client) = relayed {
            // Of a re-INVITE: towards the other side.
            return self.cancel_relayed(client, now);
        }
        if let Some(at) = waiting {
            return self.give_up_waiting(at, DipError::Cancelled, now);
        }
        let Some(at) = call_at else { return };
        let Some(mut call) = self.calls.take(at) else { return };
        if call.server == Some(invite) && call.phase == Phase::Hunting {
            call.phase = Phase::Cancelling;
            if let Some(n) = call.active_attempt() {
                call.attempts[n].state = AttemptState::Cancelling;
                call.attempts[n].cancel_ms = ms(now);
                self.cancel_branch(&mut call, n, now);
            }
        }
        self.put_call(at, call);
    }

    /// Sends CANCEL on an attempt's branch once a provisional was seen; until then it waits.
    pub(super) fn cancel_branch(&mut self, call: &mut Call, n: usize, now: Now) {
        let attempt = &mut call.attempts[n];
        if attempt.cancelled {
            return;
        }
        let Some(tx) = self.clients.get(attempt.client) else { return };
        if tx.state != ClientState::Proceeding {
            return;
        }
        attempt.cancelled = true;
        let client = attempt.client;
        self.cancel_client(client, now);
    }

    fn cancel_relayed(&mut self, client: super::super::table::Ref, now: Now) {
        if self.clients.get(client).is_some_and(|tx| tx.state == ClientState::Proceeding) {
            self.cancel_client(client, now);
        }
    }

    fn cancel_client(&mut self, client: super::super::table::Ref, now: Now) {
        let Some(tx) = self.clients.get(client) else { return };
        let (dest, call) = (tx.dest, tx.call);
        let mut bytes = Vec::with_capacity(512);
        if let Ok(sent) = Msg::parse(&tx.request) {
            let to = sent.header(Header::To).unwrap_or_default();
            super::ack::write_follow_up(&sent, "CANCEL", to, &mut bytes);
        }
        if bytes.is_empty() {
            return;
        }
        // CANCEL has the INVITE's branch: its answer comes back to the INVITE's transaction, where its CSeq tells it
        // apart. Its own transaction only repeats it.
        let mut cancel = ClientTx::new(false, Role::Cancel, call, dest, 0, ms(now), &self.ctx.settings);
        self.out.send(dest, 0, &bytes);
        cancel.request = bytes;
        let at = self.clients.insert(cancel);
        self.cancels.insert(client, at);
        self.arm_client(at);
    }
}
