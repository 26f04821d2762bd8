//! A new call: from the caller's INVITE to its first attempt, or to its refusal.

use std::net::SocketAddr;

use tollgate_schemas::{
    id::{Id, partition_of},
    parties::{Parties, revenue},
    refusal::Refusal,
    time::Now,
    v1::{CallFacts, CallRefused, Personal, SipLeg, Tier},
};

use super::{
    super::{
        call::{Best, Call, Caller, Phase},
        dialog::{contact_uri, route_values},
        msg::{Header, Msg, Scheme, Uri},
        sdp::codec_class,
        table::Ref,
        token::Keyring,
        txn::{Alarm, NEVER},
    },
    Core, caller_name, events::Decision, ms,
    reply::phrase_of,
};
use crate::{
    admission::{Attempt as Asked, CallView, Called, CarrierIx, Halt, Lookup, NodeState, Party, Refused, Shut, SourceBucket, TrunkIx, Verdict},
    routing::{RouteQuery, Routes},
};

/// Bytes of User-Agent kept (C-016).
const USER_AGENT_BYTES: usize = 128;

/// how often a call may have been redirected.
const MAX_REDIRECTIONS: usize = 5;

/// How often it was: by Diversion (RFC 5806) or by the entries of History-Info beyond the first (RFC 7044), whichever says more.
fn redirections(msg: &Msg<'_>) -> usize {
    let history = msg.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"history-info"));
    let entries: usize = history.map(|(_, value)| value.to_ascii_lowercase().windows(6).filter(|w| w == b"index=").count()).sum();
    msg.values(Header::Diversion).count().max(entries.saturating_sub(1))
}

/// A call for which no carrier is left, and what was decided of it.
struct Unrouted {
    id: Id,
    shut: Vec<(CarrierIx, Shut)>,
    decision: Decision,
    tiers: Vec<Tier>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Core {
    pub(super) fn on_invite(&mut self, msg: &Msg<'_>, key: u128, from: SocketAddr, party: Option<Party>, now: Now) {
        self.counters.invites += 1;
        let trunk = match party {
            Some(Party::Trunk(trunk)) => trunk,
            Some(Party::Carrier(_)) => return self.reply_stateless(msg, from, 403, phrase_of(403), ""),
            None => return,
        };
        if msg.uri_span().and_then(|s| Uri::parse(msg.at(s)).ok()).is_none() {
            return self.reply_stateless(msg, from, 400, phrase_of(400), "");
        }
        let tx = self.new_server(msg, key, true, from);
        self.reply(tx, msg, from, 100, "Trying", "", now);

        let loops = msg.values(Header::Via).skip(1).any(|v| {
            super::super::msg::parse_via(v).ok().and_then(|v| v.branch).is_some_and(Keyring::looks_ours)
        });
        let early = match () {
            () if loops => Some(Refusal::LoopDetected),
            () if redirections(msg) > MAX_REDIRECTIONS => Some(Refusal::TooManyHops),
            () if self.merges.contains_key(&self.merge_key(msg)) => Some(Refusal::Merged),
            () => None,
        };
        self.decide(tx, msg, from, trunk, early, self.lookup(), now);
    }

    fn merge_key(&self, msg: &Msg<'_>) -> u128 {
        let from_tag = msg.from().ok().and_then(|f| f.tag()).unwrap_or_default();
        let cseq = msg.cseq().map(|c| c.seq).unwrap_or_default();
        self.ctx.keys.hash(&[b"merge", msg.call_id().unwrap_or_default(), from_tag, &cseq.to_be_bytes()])
    }

    /// Whether a new call goes on, once it has its 100 Trying: to its first attempt, to its refusal, or to wait for what is
    /// known of its number and come here again with the answer.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn decide(&mut self, tx: Ref, msg: &Msg<'_>, from: SocketAddr, trunk: TrunkIx, early: Option<Refusal>, lookup: Lookup<'_>, now: Now) {
        let Some(uri) = msg.uri_span().and_then(|s| Uri::parse(msg.at(s)).ok()) else { return };
        let from_tag = msg.from().ok().and_then(|f| f.tag()).unwrap_or_default();
        let call_id = msg.call_id().unwrap_or_default();
        let cseq = msg.cseq().map(|c| c.seq).unwrap_or_default();
        let merge_key = self.merge_key(msg);
        // It gave up before it was decided: it is a call all the same, without an attempt.
        let cancelled = matches!(lookup, Lookup::Answer(answers, _) if answers.cancelled());

        let urn_sos = uri.scheme == Scheme::Urn && uri.is_sos();
        let dialled = match uri.scheme {
            Scheme::Urn => text(msg.uri_span().map(|s| msg.at(s)).unwrap_or_default()),
            _ => text(uri.user.unwrap_or_default()),
        };
        let (a_user, a_source) = caller_name::number(msg);
        let a_source = a_source.to_owned();
        let a_raw = a_user.unwrap_or_default().to_owned();
        let mut personal = self.caller_facts(msg, from, &a_raw, &dialled, call_id, from_tag, cseq);

        let mut node = self.node;
        if node == NodeState::Open && self.up >= self.ctx.settings.max_calls {
            node = NodeState::Overloaded;
        }
        let plan = self.plan.clone();
        let decision = match early {
            Some(refusal) => Err(Halt::Refused(self.refused_early(refusal, trunk))),
            None => {
                let asked = Asked { trunk, source: from, dialled: &dialled, urn_sos, a_user, shown: caller_name::shown(msg), now, node };
                self.gate().admission.decide(&plan.policy, plan.routing.as_ref(), &asked, lookup)
            }
        };
        let mut admitted = match decision {
            Ok(admitted) => admitted,
            Err(Halt::Waits { awaits, within_ms }) => return self.wait_for(tx, msg, from, merge_key, awaits, within_ms, now),
            Err(Halt::Refused(mut refused)) => {
                refused.facts.a_number_source = a_source;
                return self.refuse(tx, msg, from, *refused, None, personal, now);
            }
        };
        admitted.facts.a_number_source = a_source;
        admitted.facts.a_privacy = text(msg.header(Header::Privacy).unwrap_or_default());
        let codec_class = codec_class(msg);
        admitted.facts.codec_class = codec_class.name().to_owned();

        let number = match &admitted.called {
            Called::Number(number) => number.digits().to_owned(),
            Called::Emergency(dialled) => dialled.clone(),
        };
        if let Some(party) = plan.policy.trunk(trunk).party.as_deref().filter(|_| !admitted.facts.emergency) {
            let a = admitted.a_e164.map(|n| n.digits().to_owned()).unwrap_or_default();
            let mut gate = self.gate();
            if gate.laps.is_back(party, &a, &number, now) {
                gate.admission.cancel(admitted.slot);
                drop(gate);
                let detail = format!("'{party}' sends back what it was sent");
                let refused = Refused { called: admitted.called.number().copied(), a_e164: admitted.a_e164, sell: admitted.sell, ..Refused::new(Refusal::LoopDetected, detail, admitted.facts) };
                return self.refuse(tx, msg, from, refused, None, personal, now);
            }
        }
        let called = admitted.called.number().copied();
        let caller = Caller {
            a: admitted.a_e164,
            validity: admitted.a_validity,
            routing: admitted.a_routing,
            lrn: admitted.lrn,
            place: admitted.place,
        };
        let parties = Parties {
            a: caller.a,
            a_validity: caller.validity,
            a_routing: caller.routing,
            called: &number,
            lrn: caller.lrn.as_ref(),
            place: caller.place.as_deref(),
            dipped: admitted.facts.lrn_source == "dip",
            named: admitted.facts.cnam_source == "dip",
        };
        // Nobody outside can choose it, and whoever has the call's id can draw it again.
        let id = self.ctx.mint.mint();
        let draw_e6 = id.draw_e6();
        let view = CallView::of(&admitted.facts, caller.a.as_ref().map_or("", |a| a.digits()), &number, Some(from.ip()));
        let query = RouteQuery {
            account: &admitted.facts.account,
            trunk,
            parties: &parties,
            dest_group: &admitted.facts.b_dest_group,
            at_us: now.utc_us,
            emergency: admitted.facts.emergency,
            codec_class,
            revenue: revenue(admitted.sell.as_ref(), &admitted.tiers),
            draw_e6,
            shut: &[],
        };
        let (routes, shut) = plan.open_routes(&query, &view, now, || self.gate());
        self.counters.failed_over += shut.iter().filter(|(_, shut)| shut.block().is_none()).count() as u64;
        let Routes { routes, choices, policy, quality_snapshot } = routes;
        let decision = Decision { choices, policy, quality_snapshot, draw_e6, holds: admitted.holds };
        if routes.is_empty() {
            self.gate().admission.cancel(admitted.slot);
            let unrouted = Unrouted { id, shut, decision, tiers: admitted.tiers };
            let refused = self.refused_unrouted(&unrouted, admitted.facts);
            let refused = Refused { called, a_e164: admitted.a_e164, sell: admitted.sell, ..refused };
            return self.refuse(tx, msg, from, refused, Some(unrouted), personal, now);
        }

        personal.b_e164 = called.map(|n| n.digits().to_owned()).unwrap_or_default();
        personal.a_e164 = admitted.a_e164.map(|n| n.digits().to_owned()).unwrap_or_default();
        personal.a_name.clone_from(&admitted.a_name);
        let key: std::sync::Arc<str> = admitted.facts.root_account.as_str().into();
        let at = self.calls.next_ref();
        let mut call = Box::new(Call {
            id,
            partition: partition_of(&key, self.ctx.partitions),
            key,
            facts: admitted.facts,
            plan,
            dialled: number,
            a_number: personal.a_e164.clone(),
            a_name: admitted.a_name,
            caller,
            sell: admitted.sell,
            tiers: admitted.tiers,
            slot: Some(admitted.slot),
            phase: Phase::Hunting,
            verdict: None,
            server: Some(tx),
            invite: if routes.len() > 1 { msg.bytes().to_vec() } else { Vec::new() },
            merge_key,
            source: from,
            caller_contact: contact_uri(msg),
            caller_routes: route_values(msg, Header::RecordRoute),
            call_id: call_id.to_vec(),
            from_value: msg.header(Header::From).unwrap_or_default().to_vec(),
            to_value: msg.header(Header::To).unwrap_or_default().to_vec(),
            from_tag: from_tag.to_vec(),
            vias: personal.leg.as_ref().map(|l| l.vias.clone()).unwrap_or_default(),
            cseq,
            routes,
            next_route: 0,
            attempts: Vec::with_capacity(1),
            best: None,
            challenges: Vec::new(),
            dialogs: Vec::new(),
            ok_response: Vec::new(),
            ok_interval: 0,
            ok_next: NEVER,
            started: now,
            started_ms: ms(now),
            answered: None,
            answered_ms: 0,
            answered_attempt: 0,
            ack_us: 0,
            ended_ms: 0,
            interim_next: NEVER,
            ended_batch: 0,
            answered_batch: 0,
            resumed: false,
            other_boot: false,
            limit_ms: NEVER,
            charge_ms: NEVER,
            on_credit: !decision.holds.is_empty(),
            slice_ms: NEVER,
            forget_ms: NEVER,
            intruder_told: false,
            alarm: Alarm::default(),
        });
        if let Some(server) = self.servers.get_mut(tx) {
            server.call = Some(at);
        }
        self.merges.insert(merge_key, at);
        self.learn(from);
        self.emit_attempted(&mut call, personal, admitted.hold_e8, decision, now);
        self.by_id.insert(call.id, at);
        self.up += 1;
        if cancelled {
            let best = Best { status: 487, bytes: Vec::new(), q850: 0, phrase: phrase_of(487).to_owned(), attempt: 0, rang: false };
            self.end_unanswered(at, &mut call, best, "caller", "cancelled", "", now);
        } else {
            self.try_next(at, &mut call, Some((msg, from)), now);
        }
        let inserted = self.calls.insert(call);
        debug_assert_eq!(inserted, at);
        if let Some(call) = self.calls.take(at) {
            self.put_call(at, call);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn caller_facts(&self, msg: &Msg<'_>, from: SocketAddr, a_raw: &str, dialled: &str, call_id: &[u8], from_tag: &[u8], cseq: u32) -> Personal {
        let user_agent = msg.header(Header::UserAgent).unwrap_or_default();
        let presentation = msg.from().ok().and_then(|f| Uri::parse(f.uri).ok()).and_then(|u| u.user).unwrap_or_default();
        Personal {
            a_raw: a_raw.to_owned(),
            a_presentation: text(presentation),
            b_raw: dialled.to_owned(),
            peer_addr: from.to_string(),
            user_agent: user_agent[..user_agent.len().min(USER_AGENT_BYTES)].to_vec(),
            leg: Some(SipLeg {
                call_id: call_id.to_vec(),
                from_tag: from_tag.to_vec(),
                from_value: msg.header(Header::From).unwrap_or_default().to_vec(),
                to_value: msg.header(Header::To).unwrap_or_default().to_vec(),
                remote_target: contact_uri(msg),
                route_set: route_values(msg, Header::RecordRoute),
                cseq,
                vias: self.vias_of(msg, from),
                request_uri: msg.uri_span().map(|s| msg.at(s).to_vec()).unwrap_or_default(),
                ..SipLeg::default()
            }),
            ..Personal::default()
        }
    }

    /// The Via values for the answer to this request, the top one completed.
    fn vias_of(&self, msg: &Msg<'_>, from: SocketAddr) -> Vec<Vec<u8>> {
        msg.values(Header::Via)
            .enumerate()
            .map(|(i, v)| match super::super::msg::parse_via(v) {
                Ok(via) if i == 0 => {
                    let mut out = Vec::with_capacity(v.bytes.len() + 32);
                    super::reply::write_top_via(&via, v.bytes, from, &mut out);
                    out
                }
                _ => v.bytes.to_vec(),
            })
            .collect()
    }

    /// A refusal that no limit was asked for: the request itself cannot be served.
    fn refused_early(&self, refusal: Refusal, trunk: TrunkIx) -> Box<Refused> {
        let view = self.plan.policy.trunk(trunk);
        let account = self.plan.policy.account(view.account);
        let facts = CallFacts {
            account: account.name.clone(),
            root_account: account.root.clone(),
            trunk: view.name.clone(),
            auth_method: "ip".to_owned(),
            transport: "udp".to_owned(),
            direction: "outbound".to_owned(),
            billing: account.billing().to_owned(),
            service_type: "voice".to_owned(),
            ..CallFacts::default()
        };
        Box::new(Refused::new(refusal, "", facts))
    }

    /// No carrier is left: the documents have none, or those they have are blocked or full.
    fn refused_unrouted(&self, unrouted: &Unrouted, facts: CallFacts) -> Refused {
        let gate = self.gate();
        // The block counts where it was what left a carrier out.
        let blocked = |name: &str| {
            let (_, shut) = unrouted.shut.iter().find(|(ix, shut)| shut.block().is_some() && self.plan.policy.carrier(*ix).name == name)?;
            gate.admission.block(shut.block()?)
        };
        let (mut reasons, mut refusal, mut block) = (Vec::new(), Refusal::NoRoute, None);
        for choice in &unrouted.decision.choices {
            let shut = Shut::of_reason(&choice.reason);
            let by = blocked(&choice.carrier).filter(|_| matches!(shut, Some(Shut::Blocked(_))));
            if shut.is_some() {
                refusal = Refusal::CarrierUnavailable;
            }
            block = block.or(by.map(|b| b.id));
            let why = by.map_or(String::new(), |b| format!(" ({})", b.reason));
            reasons.push(format!("{}: {}{why}", choice.carrier, choice.reason));
        }
        Refused { block, ..Refused::new(refusal, reasons.join("; "), facts) }
    }

    /// Refuses a call: the answer at once, the event always, one by one or counted (S1-75).
    #[allow(clippy::too_many_arguments)]
    fn refuse(&mut self, tx: Ref, msg: &Msg<'_>, from: SocketAddr, refused: Refused, unrouted: Option<Unrouted>, mut personal: Personal, now: Now) {
        self.counters.refused += 1;
        let refusal = refused.refusal;
        let mut extra = format!("Reason: Q.850;cause={}\r\n", refusal.q850());
        if refusal.retry_after() {
            // Spread over 1 to 10 s so that the peers do not come back together (P-44).
            extra.push_str(&format!("Retry-After: {}\r\n", 1 + now.mono_ns / 1_000 % 10));
        }
        self.reply(tx, msg, from, refused.sip_code, refusal.phrase(), &extra, now);
        if self.gate().meter.trunk(&refused, now) == Verdict::Counted {
            return;
        }
        personal.b_e164 = refused.called.map(|n| n.digits().to_owned()).unwrap_or_default();
        personal.a_e164 = refused.a_e164.map(|n| n.digits().to_owned()).unwrap_or_default();
        let key = refused.facts.root_account.clone();
        let body = CallRefused { first_us: now.utc_us, ..refused.body() };
        match unrouted {
            Some(Unrouted { id, decision, tiers, .. }) => self.emit_unrouted(id, &key, body, decision, tiers, personal, now),
            None => self.emit_refused(&key, partition_of(&key, self.ctx.partitions), body, Some(personal), now),
        }
    }

    /// Somebody unknown sent something: no answer, an event for the first ones and a count for floods (X-02, S1-75).
    pub(super) fn note_stranger(&mut self, from: SocketAddr, now: Now) {
        let refused = Refused::new(Refusal::UnknownSource, "", CallFacts::default());
        if self.gate().meter.stranger(from, &refused, now) == Verdict::Counted {
            return;
        }
        let key = SourceBucket::of(from).to_string();
        let body = CallRefused { first_us: now.utc_us, ..refused.body() };
        let personal = Personal { peer_addr: from.to_string(), ..Personal::default() };
        self.emit_refused(&key, partition_of(&key, self.ctx.partitions), body, Some(personal), now);
    }

    /// Writes what was counted instead of written one by one. Call about once a second, and with `last` when stopping.
    pub fn flush_counted(&mut self, now: Now, last: bool) {
        let counted = {
            let mut gate = self.gate();
            gate.admission.expire_blocks(now);
            gate.meter.poll(now, last)
        };
        for refusal in counted {
            self.emit_refused(&refusal.key, partition_of(&refusal.key, self.ctx.partitions), refusal.body, None, now);
        }
    }
}
