//! Requests inside a dialog: whose they are, whether their sender may, and on to the other side (P-04, P-22, X-07).

use std::net::SocketAddr;

use tollgate_schemas::time::Now;

use super::{
    super::{
        call::{Call, Phase},
        dialog::{Dialog, Side, contact_uri, host_ip, is_loose, is_private, route_uri, uri_addr},
        msg::{Header, Method, Msg, Uri},
        table::Ref,
        token::RouteToken,
        txn::{ClientTx, Role},
    },
    Core, ms,
    reply::phrase_of,
};
use crate::admission::Party;

impl Core {
    /// A Route or Record-Route value of ours.
    pub(super) fn is_our_route(&self, value: &[u8]) -> bool {
        route_uri(value).is_some_and(|uri| self.is_our_uri(uri))
    }

    fn is_our_uri(&self, uri: &[u8]) -> bool {
        Uri::parse(uri).is_ok_and(|u| host_ip(u.host) == Some(self.ctx.local.ip()) && u.port.unwrap_or(5060) == self.ctx.local.port() && u.params.has(b"tg"))
    }

    /// The token of the request's top Route, or of its Request-URI where a strict router put it.
    pub(super) fn own_route(&self, msg: &Msg<'_>) -> Option<RouteToken> {
        let token_of = |uri: &[u8]| self.ctx.keys.read_token(Uri::parse(uri).ok()?.params.get(b"tg")??);
        let request_uri = msg.at(msg.uri_span()?);
        if self.is_our_uri(request_uri) {
            return token_of(request_uri);
        }
        let top = msg.first_value(Header::Route)?;
        let uri = route_uri(top.bytes)?;
        token_of(uri)
    }

    /// The dialog of a request by its tags, and the side that sent it.
    pub(super) fn dialog_of(call: &Call, msg: &Msg<'_>) -> Option<(usize, Side)> {
        let from = msg.from().ok()?.tag()?;
        let to = msg.to().ok()?.tag()?;
        if msg.call_id().ok()? != call.call_id.as_slice() {
            return None;
        }
        if from == call.from_tag.as_slice() {
            return call.dialog(to).map(|i| (i, Side::Caller));
        }
        if to == call.from_tag.as_slice() { call.dialog(from).map(|i| (i, Side::Callee)) } else { None }
    }

    /// Every address the dialog itself names.
    pub(super) fn addresses_of(dialog: &Dialog) -> Vec<SocketAddr> {
        let mut all = vec![dialog.caller.addr, dialog.callee.addr];
        for party in [&dialog.caller, &dialog.callee] {
            all.extend(uri_addr(&party.target));
            all.extend(party.route_set.first().and_then(|r| route_uri(r)).and_then(uri_addr));
        }
        all
    }

    /// May this source speak for that side? Its own party, or an address and port learned from the dialog; a trunk and
    /// a carrier are never each other, and a carrier is never another carrier.
    pub(super) fn is_party(&self, call: &Call, i: usize, side: Side, from: SocketAddr, party: Option<Party>) -> bool {
        let own = call.dialogs[i].party(side);
        let learned = from == own.addr
            || uri_addr(&own.target) == Some(from)
            || own.route_set.first().and_then(|r| route_uri(r)).and_then(uri_addr) == Some(from);
        match (side, party) {
            (Side::Caller, Some(Party::Trunk(t))) => learned || self.plan.policy.trunk(t).name == call.facts.trunk,
            (Side::Callee, Some(Party::Carrier(c))) => {
                let name = &self.plan.policy.carrier(c).name;
                learned || call.attempts.iter().any(|a| &a.carrier == name && (a.no == call.answered_attempt || call.answered_attempt == 0))
            }
            _ => learned,
        }
    }

    pub(super) fn on_in_dialog(&mut self, msg: &Msg<'_>, method: Method<'_>, key: u128, from: SocketAddr, party: Option<Party>, now: Now) {
        let Some(token) = self.own_route(msg) else {
            self.counters.unknown_dialogs += 1;
            if party.is_some() {
                self.reply_stateless(msg, from, 481, phrase_of(481), "");
            }
            return;
        };
        let Some(at) = self.by_id.get(&token.call).copied() else {
            self.counters.unknown_dialogs += 1;
            if party.is_some() {
                // Ours, and nobody remembers the call: its own route set leads on (design §3, After a crash).
                self.forward_without_state(msg, key, method, from, now);
            }
            return;
        };
        let Some(mut call) = self.calls.take(at) else { return };
        self.in_dialog(at, &mut call, msg, method, key, from, party, now);
        self.put_call(at, call);
    }

    #[allow(clippy::too_many_arguments)]
    fn in_dialog(&mut self, at: Ref, call: &mut Call, msg: &Msg<'_>, method: Method<'_>, key: u128, from: SocketAddr, party: Option<Party>, now: Now) {
        let Some((i, side)) = Core::dialog_of(call, msg) else {
            self.counters.unknown_dialogs += 1;
            if party.is_some() {
                self.reply_stateless(msg, from, 481, phrase_of(481), "");
            }
            return;
        };
        if !self.is_party(call, i, side, from, party) {
            self.counters.wrong_party += 1;
            if !std::mem::replace(&mut call.intruder_told, true) {
                let method = String::from_utf8_lossy(method.as_bytes()).to_lowercase();
                self.emit_dialog_changed(call, &format!("{method}_from_wrong_party"), now);
            }
            return;
        }
        let over = call.dialogs[i].ended || matches!(call.phase, Phase::TearingDown | Phase::Over);
        if over {
            // A BYE that crossed ours, or a second one, is content; nothing else revives the call (P-61, P-62).
            return match method {
                Method::Bye => {
                    let tx = self.new_server(msg, key, false, from);
                    let mut bytes = Vec::with_capacity(512);
                    self.write_reply(msg, from, 200, "OK", "", &mut bytes);
                    self.respond(tx, bytes, 200, call.ended_batch, now);
                }
                _ => self.reply_stateless(msg, from, 481, phrase_of(481), ""),
            };
        }
        let seq = msg.cseq().map(|c| c.seq).unwrap_or_default();
        let own = call.dialogs[i].party_mut(side);
        own.addr = from;
        if seq <= own.cseq && method != Method::Ack && own.cseq != 0 {
            // Out of order (RFC 3261 §12.2.2).
            return self.reply_stateless(msg, from, 500, phrase_of(500), "");
        }
        own.cseq = seq;
        let is_invite = method == Method::Invite;
        if method == Method::Refer && side == Side::Caller {
            // A customer does not make us call others (P-28).
            self.emit_dialog_changed(call, "refer_refused", now);
            return self.reply_stateless(msg, from, 403, phrase_of(403), "");
        }
        let server = self.new_server(msg, key, is_invite, from);
        if let Some(tx) = self.servers.get_mut(server) {
            tx.call = Some(at);
        }
        if is_invite {
            self.reply(server, msg, from, 100, "Trying", "", now);
        }
        if matches!(method, Method::Invite | Method::Update) {
            let contact = contact_uri(msg);
            if !contact.is_empty() {
                let before: Vec<_> = Core::addresses_of(&call.dialogs[i]);
                call.dialogs[i].party_mut(side).target = contact;
                self.learn_targets(call, i);
                before.into_iter().for_each(|a| self.unlearn(a));
            }
        }
        self.relay(at, call, i, side, server, msg, from, is_invite, now);
        if method == Method::Bye && call.dialogs[i].confirmed {
            call.dialogs[i].ended = true;
            if call.dialogs.iter().all(|d| d.ended || !d.confirmed) {
                let party = if side == Side::Caller { "caller" } else { "callee" };
                self.end_answered(at, call, party, "normal", 16, now);
            }
        } else if matches!(method, Method::Invite | Method::Update) {
            self.emit_dialog_changed(call, "refresh", now);
        }
    }

    /// Passes a request on to the other side through a client transaction.
    #[allow(clippy::too_many_arguments)]
    fn relay(&mut self, at: Ref, call: &mut Call, i: usize, side: Side, server: Ref, msg: &Msg<'_>, from: SocketAddr, invite: bool, now: Now) {
        let client = self.clients.next_ref();
        let mut branch = Vec::with_capacity(40);
        self.ctx.keys.write_branch(client.index, client.generation, &mut branch);
        let Some((dest, request)) = self.forward_in_dialog(call, i, side, msg, from, &branch) else {
            return self.reply(server, msg, from, 483, phrase_of(483), "", now);
        };
        let mut tx = ClientTx::new(invite, Role::Relay(server), Some(at), dest, 0, ms(now), &self.ctx.settings);
        self.out.send(dest, 0, &request);
        tx.request = request;
        self.clients.insert(tx);
        self.arm_client(client);
        if let Some(tx) = self.servers.get_mut(server) {
            tx.relayed = Some(client);
        }
    }

    /// The request as it goes to the other side, and where to.
    pub(super) fn forward_in_dialog(&mut self, call: &Call, i: usize, side: Side, msg: &Msg<'_>, from: SocketAddr, branch: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let to = side.other();
        let next = self.edit_route(msg);
        self.edit_vias(msg, from, branch);
        self.edit_max_forwards(msg);
        let mut request = Vec::with_capacity(msg.bytes().len() + 128);
        self.edits.apply(msg, &mut request);
        Some((Core::reachable(next, call.dialogs[i].party(to).addr), request))
    }

    /// Edits out our Route (and mends what a strict router did), and gives the next hop where it is an address.
    fn edit_route(&mut self, msg: &Msg<'_>) -> Option<SocketAddr> {
        self.edits.clear();
        let strict = msg.uri_span().is_some_and(|s| self.is_our_uri(msg.at(s)));
        let routes: Vec<_> = msg.values(Header::Route).collect();
        if strict {
            // §16.4: the last Route value is the Request-URI again.
            let last = routes.last()?;
            if let (Some(span), Some(uri)) = (msg.uri_span(), route_uri(last.bytes)) {
                self.edits.replace(span, uri);
            }
            self.edits.remove_value(msg, last);
            let next = if routes.len() > 1 { routes.first() } else { None };
            return match next {
                Some(next) => route_uri(next.bytes).and_then(uri_addr),
                None => route_uri(last.bytes).and_then(uri_addr),
            };
        }
        let mut routes = routes.into_iter();
        if let Some(own) = routes.next() {
            self.edits.remove_value(msg, &own);
        }
        let request_uri = msg.uri_span().map(|s| msg.at(s)).unwrap_or_default();
        match routes.next() {
            None => uri_addr(request_uri),
            Some(next) if is_loose(next.bytes) => route_uri(next.bytes).and_then(uri_addr),
            Some(next) => {
                // P-04: the next hop is a strict router: it wants itself as Request-URI and the target last.
                let addr = route_uri(next.bytes).and_then(uri_addr);
                if let (Some(span), Some(uri)) = (msg.uri_span(), route_uri(next.bytes)) {
                    self.edits.replace(span, uri);
                }
                self.edits.remove_value(msg, &next);
                self.edits.push_line_last(msg, |out| {
                    out.extend_from_slice(b"Route: <");
                    out.extend_from_slice(request_uri);
                    out.push(b'>');
                });
                addr
            }
        }
    }

    /// The next hop as its URI says, or where its packets come from when that is hidden behind a NAT or no address.
    fn reachable(next: Option<SocketAddr>, learned: SocketAddr) -> SocketAddr {
        match next {
            Some(addr) if is_private(addr.ip()) && !is_private(learned.ip()) && !learned.ip().is_loopback() => learned,
            Some(addr) => addr,
            None => learned,
        }
    }

    /// Where requests of ours to one side go.
    pub(super) fn side_address(call: &Call, i: usize, side: Side) -> SocketAddr {
        let party = call.dialogs[i].party(side);
        let next = party.route_set.first().and_then(|r| route_uri(r)).and_then(uri_addr).or_else(|| uri_addr(&party.target));
        Core::reachable(next, party.addr)
    }

    /// A request whose call is not known any more, by its own route set: only to a known party's address.
    fn forward_without_state(&mut self, msg: &Msg<'_>, key: u128, method: Method<'_>, from: SocketAddr, now: Now) {
        let next = self.edit_route(msg);
        let Some(dest) = next.filter(|n| self.plan.policy.party(*n).is_some()) else {
            return self.reply_stateless(msg, from, 481, phrase_of(481), "");
        };
        let invite = method == Method::Invite;
        let server = self.new_server(msg, key, invite, from);
        let client = self.clients.next_ref();
        let mut branch = Vec::with_capacity(40);
        self.ctx.keys.write_branch(client.index, client.generation, &mut branch);
        self.edit_vias(msg, from, &branch);
        self.edit_max_forwards(msg);
        let mut request = Vec::with_capacity(msg.bytes().len() + 128);
        self.edits.apply(msg, &mut request);
        let mut tx = ClientTx::new(invite, Role::Relay(server), None, dest, 0, ms(now), &self.ctx.settings);
        self.out.send(dest, 0, &request);
        tx.request = request;
        self.clients.insert(tx);
        self.arm_client(client);
        if let Some(tx) = self.servers.get_mut(server) {
            tx.relayed = Some(client);
        }
    }

    /// An ACK of a call that is not known any more.
    pub(super) fn forward_stateless(&mut self, msg: &Msg<'_>, from: SocketAddr) {
        let next = self.edit_route(msg);
        let Some(dest) = next.filter(|n| self.plan.policy.party(*n).is_some()) else { return };
        let mut branch = Vec::with_capacity(48);
        self.stateless_branch(msg, &mut branch);
        self.edit_vias(msg, from, &branch);
        self.edit_max_forwards(msg);
        let mut request = Vec::with_capacity(msg.bytes().len() + 128);
        self.edits.apply(msg, &mut request);
        self.out.send(dest, 0, &request);
    }

    /// What a passed-on request's response means for its dialog; gives the batch it must wait for.
    pub(super) fn on_relay_final(&mut self, call: &mut Call, msg: &Msg<'_>, status: u16, invite: bool, now: Now) -> u64 {
        let method = msg.cseq().map(|c| c.method).ok();
        if method == Some(Method::Bye) && status >= 200 {
            return call.ended_batch;
        }
        let Some(i) = (match (msg.from().ok().and_then(|f| f.tag()), msg.to().ok().and_then(|t| t.tag())) {
            (Some(from), Some(to)) => call.dialog(to).filter(|_| from == call.from_tag.as_slice()).or_else(|| call.dialog(from)),
            _ => None,
        }) else {
            return 0;
        };
        if !(200..300).contains(&status) || !matches!(method, Some(Method::Invite | Method::Update)) {
            return 0;
        }
        let by_caller = msg.from().ok().and_then(|f| f.tag()) == Some(call.from_tag.as_slice());
        let answerer = if by_caller { Side::Callee } else { Side::Caller };
        if matches!(call.phase, Phase::TearingDown | Phase::Over) {
            if invite {
                // P-62: the sender was told goodbye and may not acknowledge any more: done here.
                let seq = msg.cseq().map(|c| c.seq).unwrap_or_default();
                self.acknowledge_re_invite(call, i, answerer, seq);
            }
            return 0;
        }
        let contact = contact_uri(msg);
        if !contact.is_empty() && contact != call.dialogs[i].party(answerer).target {
            let before: Vec<_> = Core::addresses_of(&call.dialogs[i]);
            call.dialogs[i].party_mut(answerer).target = contact;
            self.learn_targets(call, i);
            before.into_iter().for_each(|a| self.unlearn(a));
            self.emit_dialog_changed(call, "target", now);
        }
        0
    }
}
