//! Responses that are ours: stateless ones and those of server transactions.

use std::{io::Write, net::SocketAddr};

use super::{
    super::{
        msg::{Header, Msg, Via},
        table::Ref,
        token::push_hex,
        txn::ServerState,
    },
    Core, ms,
};
use tollgate_schemas::time::Now;

/// What the methods we pass on in dialogs are, for Allow.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE";

/// Where the response to a request goes (RFC 3581 §4, RFC 3261 §18.2.2): to the source, at the sent-by port unless the
/// sender asked for the source port. `maddr` is ignored: it would let a peer aim us at others.
pub fn reply_address(via: &Via<'_>, from: SocketAddr) -> SocketAddr {
    match via.rport {
        Some(_) => from,
        None => SocketAddr::new(from.ip(), via.port.unwrap_or(5060)),
    }
}

/// Completes the top Via with where the request came from (P-23), as `out` of its value.
pub fn write_top_via(via: &Via<'_>, value: &[u8], from: SocketAddr, out: &mut Vec<u8>) {
    let at = |s: u32| (s - via.span.start) as usize;
    match (via.rport, via.rport_span) {
        (Some(None), Some(span)) => {
            out.extend_from_slice(&value[..at(span.start)]);
            let _ = write!(out, "rport={}", from.port());
            out.extend_from_slice(&value[at(span.end)..]);
        }
        _ => out.extend_from_slice(value),
    }
    if via.received.is_none() {
        let _ = write!(out, ";received={}", from.ip());
    }
}

/// Everything a response takes over from its request, up to and with CSeq; a To tag is added when there is none.
pub fn write_head(msg: &Msg<'_>, from: SocketAddr, status: u16, phrase: &str, to_tag: Option<&[u8]>, out: &mut Vec<u8>) {
    let _ = write!(out, "SIP/2.0 {status} {phrase}\r\n");
    for (i, v) in msg.values(Header::Via).enumerate() {
        out.extend_from_slice(b"Via: ");
        match super::super::msg::parse_via(v) {
            Ok(via) if i == 0 => write_top_via(&via, v.bytes, from, out),
            _ => out.extend_from_slice(v.bytes),
        }
        out.extend_from_slice(b"\r\n");
    }
    for (header, name) in [(Header::From, "From: "), (Header::To, "To: "), (Header::CallId, "Call-ID: "), (Header::CSeq, "CSeq: ")] {
        if let Some(value) = msg.header(header) {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
            if header == Header::To
                && let (Some(tag), None) = (to_tag, msg.to().ok().and_then(|t| t.tag()))
            {
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(tag);
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl Core {
    /// A To tag of ours: alike for every copy of one request, without remembering it.
    pub(super) fn own_tag(&self, msg: &Msg<'_>) -> Vec<u8> {
        let branch = msg.top_via().ok().and_then(|v| v.branch).unwrap_or_default();
        let hash = self.ctx.keys.hash(&[b"tag", branch, msg.call_id().unwrap_or_default()]);
        let mut tag = b"tg".to_vec();
        push_hex(&mut tag, hash >> 64, 16);
        tag
    }

    /// A whole response of ours to `msg`. `extra` are header lines with CRLF.
    pub(super) fn write_reply(&self, msg: &Msg<'_>, from: SocketAddr, status: u16, phrase: &str, extra: &str, out: &mut Vec<u8>) {
        let tag = (status > 100).then(|| self.own_tag(msg));
        write_head(msg, from, status, phrase, tag.as_deref(), out);
        out.extend_from_slice(extra.as_bytes());
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    /// Answers without a transaction: for what is not worth one.
    pub(super) fn reply_stateless(&mut self, msg: &Msg<'_>, from: SocketAddr, status: u16, phrase: &str, extra: &str) {
        let to = msg.top_via().map_or(from, |via| reply_address(&via, from));
        let mut bytes = Vec::with_capacity(512);
        self.write_reply(msg, from, status, phrase, extra, &mut bytes);
        self.out.send(to, 0, &bytes);
    }

    /// Answers through the request's server transaction.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn reply(&mut self, tx: Ref, msg: &Msg<'_>, from: SocketAddr, status: u16, phrase: &str, extra: &str, now: Now) {
        let mut bytes = Vec::with_capacity(512);
        self.write_reply(msg, from, status, phrase, extra, &mut bytes);
        self.respond(tx, bytes, status, 0, now);
    }

    /// Sends a response on a server transaction, which keeps it for retransmissions.
    pub(super) fn respond(&mut self, at: Ref, bytes: Vec<u8>, status: u16, after: u64, now: Now) {
        let Some(tx) = self.servers.get_mut(at) else { return };
        if !matches!(tx.state, ServerState::Proceeding) && !(tx.state == ServerState::Accepted && (200..300).contains(&status)) {
            return;
        }
        self.out.send(tx.reply_to, after, &bytes);
        tx.after = after;
        if status >= 200 && tx.state == ServerState::Proceeding {
            tx.finish(status, ms(now), &self.ctx.settings);
        }
        // The answering side repeats its 2xx itself (RFC 6026); everything else is repeated from here.
        tx.response = if tx.state == ServerState::Accepted { Vec::new() } else { bytes };
        self.arm_server(at);
    }

    /// Answers what could not even be framed, from the headers that can be found.
    pub(super) fn refuse_unframed(&mut self, datagram: &[u8], from: SocketAddr, status: u16) {
        let Some(msg) = Msg::for_refusal(datagram) else { return };
        if msg.method().is_none_or(|m| m == super::super::msg::Method::Ack) {
            return;
        }
        self.reply_stateless(&msg, from, status, phrase_of(status), "");
    }
}

/// Reason phrases of the statuses we give ourselves.
pub fn phrase_of(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "Request-URI Too Long",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        487 => "Request Terminated",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        _ => "Error",
    }
}
