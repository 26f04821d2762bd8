//! Requests: validation in the order of RFC 3261 §16.3, the server transaction they belong to, and who deals with them.

use std::{io::Write, net::SocketAddr};

use tollgate_schemas::time::Now;

use super::{
    super::{
        msg::{Header, Method, Msg, Scheme, Uri},
        table::Ref,
        txn::{ServerState, ServerTx},
    },
    Core,
    reply::{ALLOW, phrase_of, reply_address},
};
use crate::admission::{NodeState, Party};

impl Core {
    pub(super) fn on_request(&mut self, msg: &Msg<'_>, from: SocketAddr, party: Option<Party>, now: Now) {
        self.counters.requests += 1;
        let Some(method) = msg.method() else { return };
        if let Err(e) = msg.check_request() {
            self.counters.malformed += 1;
            if method != Method::Ack {
                self.reply_stateless(msg, from, e.status, phrase_of(e.status), "");
            }
            return;
        }
        if msg.uri_span().is_some_and(|s| s.len() as usize > self.ctx.settings.max_uri_bytes) {
            if method != Method::Ack {
                self.reply_stateless(msg, from, 414, phrase_of(414), "");
            }
            return;
        }
        match method {
            Method::Ack => return self.on_ack(msg, from, party, now),
            Method::Cancel => return self.on_cancel(msg, from, party, now),
            _ => {}
        }
        let key = self.server_key(msg, method);
        if let Some(at) = self.server_keys.get(&key).copied() {
            return self.on_retransmission(at);
        }
        if let Some((status, extra)) = self.refused_by_form(msg) {
            return self.reply_stateless(msg, from, status, phrase_of(status), &extra);
        }
        let to_tag = msg.to().ok().and_then(|t| t.tag());
        if to_tag.is_some() {
            return self.on_in_dialog(msg, method, key, from, party, now);
        }
        let draining = self.node != NodeState::Open;
        match method {
            Method::Invite => self.on_invite(msg, key, from, party, now),
            Method::Options if party.is_none() => {}
            Method::Options if draining => self.reply_stateless(msg, from, 503, phrase_of(503), "Retry-After: 5\r\n"),
            Method::Options => {
                let extra = format!("Allow: {ALLOW}\r\nAccept: application/sdp\r\n");
                self.reply_stateless(msg, from, 200, "OK", &extra);
            }
            _ if party.is_none() => {}
            _ => self.reply_stateless(msg, from, 405, phrase_of(405), &format!("Allow: {ALLOW}\r\n")),
        }
    }

    /// P-01: what is refused whoever asks. The status, and header lines for the answer.
    fn refused_by_form(&self, msg: &Msg<'_>) -> Option<(u16, String)> {
        let uri = msg.uri_span().and_then(|s| Uri::parse(msg.at(s)).ok())?;
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Urn) {
            return Some((416, String::new()));
        }
        // OPTIONS with no hops left is for us to answer (§11).
        if msg.max_forwards().ok().flatten() == Some(0) && msg.method() != Some(Method::Options) {
            return Some((483, String::new()));
        }
        let unknown: Vec<_> = msg.values(Header::ProxyRequire).map(|v| String::from_utf8_lossy(v.bytes).into_owned()).collect();
        if !unknown.is_empty() {
            return Some((420, format!("Unsupported: {}\r\n", unknown.join(", "))));
        }
        None
    }

    /// The key of a server transaction (RFC 3261 §17.2.3): branch, sent-by and method, hashed with our secret since
    /// peers choose them. Requests of RFC 2543 elements are told by everything that stays alike in a retransmission.
    pub(super) fn server_key(&self, msg: &Msg<'_>, method: Method<'_>) -> u128 {
        let Ok(via) = msg.top_via() else { return 0 };
        let port = via.port.unwrap_or(5060).to_be_bytes();
        let method = method.as_bytes();
        match via.branch.filter(|b| b.len() > 7 && b[..7].eq_ignore_ascii_case(b"z9hG4bK")) {
            Some(branch) => self.ctx.keys.hash(&[b"3261", branch, via.host, &port, method]),
            None => {
                let seq = msg.cseq().map(|c| c.seq).unwrap_or_default().to_be_bytes();
                let from_tag = msg.from().ok().and_then(|f| f.tag()).unwrap_or_default();
                let uri = msg.uri_span().map(|s| msg.at(s)).unwrap_or_default();
                let call_id = msg.call_id().unwrap_or_default();
                self.ctx.keys.hash(&[b"2543", uri, from_tag, call_id, &seq, via.host, &port, method])
            }
        }
    }

    pub(super) fn new_server(&mut self, msg: &Msg<'_>, key: u128, invite: bool, from: SocketAddr) -> Ref {
        let reply_to = msg.top_via().map_or(from, |via| reply_address(&via, from));
        let at = self.servers.insert(ServerTx::new(key, invite, reply_to));
        self.server_keys.insert(key, at);
        at
    }

    /// A request seen before: its last response again, if there is one and it may leave.
    fn on_retransmission(&mut self, at: Ref) {
        self.counters.retransmissions += 1;
        let Some(tx) = self.servers.get(at) else { return };
        if matches!(tx.state, ServerState::Proceeding | ServerState::Completed) && !tx.response.is_empty() && self.may_send(tx.after) {
            self.out.send(tx.reply_to, 0, &tx.response);
        }
    }

    /// Max-Forwards, one less; 70 when there was none (P-01).
    pub(super) fn edit_max_forwards(&mut self, msg: &Msg<'_>) {
        match (msg.max_forwards().ok().flatten(), msg.header_span(Header::MaxForwards)) {
            (Some(n), Some(span)) => self.edits.replace_with(span, |out| {
                let _ = write!(out, "{}", n.saturating_sub(1).min(255));
            }),
            _ => self.edits.push_line_last(msg, |out| out.extend_from_slice(b"Max-Forwards: 70")),
        }
    }

    /// Our Via on top of the others, and the sender's Via completed.
    pub(super) fn edit_vias(&mut self, msg: &Msg<'_>, from: SocketAddr, branch: &[u8]) {
        let local = std::mem::take(&mut self.local_text);
        self.edits.push_line_before(msg, Header::Via, |out| write_via(&local, branch, out));
        self.local_text = local;
        if let (Ok(via), Some(value)) = (msg.top_via(), msg.first_value(Header::Via)) {
            self.edits.replace_with(via.span, |out| super::reply::write_top_via(&via, value.bytes, from, out));
        }
    }
}

/// Our Via header line, without CRLF.
pub fn write_via(local: &[u8], branch: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Via: SIP/2.0/UDP ");
    out.extend_from_slice(local);
    out.extend_from_slice(b";branch=");
    out.extend_from_slice(branch);
}
