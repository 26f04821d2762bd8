//! One event into what is remembered of its call. Nothing here depends on the order of different facts; a fact that
//! comes twice (same id, or same words) is taken once.

use tollgate_schemas::{
    cdr::Cdr,
    event::Body,
    id::Id,
    stage::Poison,
    v1::{CallAttemptEnded, CallEnded, CallFacts, CreditHold, Event, Personal},
};

use super::{
    NAME,
    state::{Answered, Attempt, AttemptEnd, Call, Ended, Ringing, Skipped, Stamp, Teardown, Tried},
    text,
};

/// Attempts of one call, and facts of one kind about one thing: far above what a hunt makes; more is a broken writer.
const MAX_ATTEMPTS: u32 = 64;
const MAX_CONTRADICTIONS: usize = 16;
/// Carriers passed over that are named in the explanation of one call.
const MAX_SKIPPED: usize = 256;
/// Accounts a call holds money of: itself and those above.
const MAX_HOLDS: usize = 32;

/// Which rows an event may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touched {
    Nothing,
    /// No row, but what the call holds.
    Hold,
    Attempt(u32),
    Call,
}

/// Whether the event bears on rows, so that a call may be opened for it.
pub(super) fn matters(body: &Body) -> bool {
    matches!(
        body,
        Body::CallAttempted(_)
            | Body::CallRouteTried(_)
            | Body::CallRouteSkipped(_)
            | Body::CallAnswered(_)
            | Body::CallAttemptEnded(_)
            | Body::CallTeardown(_)
            | Body::CallEnded(_)
    )
}

impl Call {
    pub fn fold(&mut self, offset: u64, event: &Event) -> Result<Touched, Poison> {
        let stamp = Stamp::of(offset, event);
        let personal = event.personal.as_ref();
        match &event.body {
            Some(Body::CallAttempted(b)) if self.attempted.is_none() => {
                self.attempted = Some(stamp);
                let mut head = Box::<Cdr>::default();
                fill_head(&mut head, &stamp, b.facts.as_ref(), personal);
                text::set(&mut head.route_policy, &b.route_policy);
                text::set(&mut head.quality_snapshot, &b.quality_snapshot);
                self.head = Some(head);
                self.sell = b.sell.clone();
                self.tiers.clone_from(&b.tiers);
                self.explain = text::explain(&b.choices);
                self.hold(&b.holds);
                self.reserved(&b.holds);
                Ok(Touched::Call)
            }
            Some(Body::CallRouteTried(b)) => {
                let attempt = self.attempt_mut(b.attempt_no)?;
                if attempt.tried.is_some() {
                    return Ok(Touched::Nothing);
                }
                attempt.tried = Some(Tried {
                    stamp,
                    carrier: b.carrier.clone(),
                    cost: b.cost.clone(),
                    rank: b.rank,
                    route_class: b.route_class.clone(),
                    fx: b.fx.clone(),
                    b_out: personal.map_or_else(String::new, |p| p.b_out.clone()),
                    peer_addr: personal.map_or_else(String::new, |p| p.peer_addr.clone()),
                    sip_call_id: personal
                        .and_then(|p| p.leg.as_ref())
                        .map_or_else(String::new, |l| String::from_utf8_lossy(&l.call_id).into_owned()),
                });
                Ok(Touched::Attempt(b.attempt_no))
            }
            Some(Body::CallRouteSkipped(b)) => {
                let at = match self.skipped.binary_search_by(|s| (s.rank, &s.carrier).cmp(&(b.rank, &b.carrier))) {
                    Err(at) if self.skipped.len() < MAX_SKIPPED => at,
                    _ => return Ok(Touched::Nothing),
                };
                let skipped = Skipped { rank: b.rank, carrier: b.carrier.clone(), reason: b.reason.clone(), block_id: b.block_id.clone() };
                self.skipped.insert(at, skipped);
                Ok(Touched::Call)
            }
            Some(Body::CallRinging(b)) => {
                let attempt = self.attempt_mut(b.attempt_no)?;
                let new = Ringing { at_us: event.occurred_us, code: b.code, first_100_us: b.first_100_us };
                if attempt.ringing.is_none_or(|old| (new.at_us, new.code) < (old.at_us, old.code)) {
                    attempt.ringing = Some(new);
                }
                Ok(Touched::Nothing)
            }
            Some(Body::CallAnswered(b)) => {
                self.hold(&b.holds);
                let attempt = self.attempt_mut(b.attempt_no)?;
                // A fork answers more than once: the first answer is the attempt's.
                let first = |a: &Answered| (stamp.occurred_us, stamp.id()) < (a.stamp.occurred_us, a.stamp.id());
                if !attempt.answered.as_ref().is_none_or(first) {
                    return Ok(Touched::Nothing);
                }
                let to_tag = personal.and_then(|p| p.dialogs.first()).map(|d| String::from_utf8_lossy(&d.to_tag).into_owned());
                attempt.answered = Some(Answered { stamp, sell: b.sell.clone(), cost: b.cost.clone(), to_tag: to_tag.unwrap_or_default(), tiers: b.tiers.clone(), fx: b.fx.clone() });
                Ok(Touched::Attempt(b.attempt_no))
            }
            Some(Body::CallDialogChanged(b)) => {
                if b.ack_us != 0 && (self.ack_us == 0 || b.ack_us < self.ack_us) {
                    self.ack_us = b.ack_us;
                }
                Ok(Touched::Nothing)
            }
            Some(Body::CallInterim(b)) => Ok(if self.hold(&b.holds) { Touched::Hold } else { Touched::Nothing }),
            Some(Body::CallTeardown(b)) if self.teardown.is_none() => {
                self.teardown = Some(Teardown { actor: b.actor.clone(), reason: b.reason.clone(), block_id: b.block_id.clone() });
                Ok(Touched::Call)
            }
            Some(Body::CallAttemptEnded(b)) => self.attempt_ended(stamp, b),
            Some(Body::CallEnded(b)) => self.call_ended(stamp, b),
            _ => Ok(Touched::Nothing),
        }
    }

    fn attempt_ended(&mut self, stamp: Stamp, b: &CallAttemptEnded) -> Result<Touched, Poison> {
        let attempt = self.attempt_mut(b.attempt_no)?;
        let list = if b.late_answer { &mut attempt.lates } else { &mut attempt.ends };
        let body = CallAttemptEnded { call_id: Vec::new(), ..b.clone() };
        // Two late answers may look alike and still be two dialogs to pay for; two ends that look alike are one.
        let known = |e: &AttemptEnd| e.stamp.id() == stamp.id() || (!b.late_answer && e.body == body);
        if list.iter().any(known) {
            return Ok(Touched::Nothing);
        }
        if list.len() >= MAX_CONTRADICTIONS {
            return Err(Poison(format!("attempt {} ended more than {MAX_CONTRADICTIONS} times", b.attempt_no)));
        }
        list.push(AttemptEnd { stamp, body });
        Ok(Touched::Attempt(b.attempt_no))
    }

    fn call_ended(&mut self, stamp: Stamp, b: &CallEnded) -> Result<Touched, Poison> {
        let body = CallEnded { call_id: Vec::new(), ..b.clone() };
        if self.lost {
            // The node is back and tells the end: what was concluded without it is void (design §3).
            self.lost = false;
            self.ended = Some(Ended { stamp, body });
            return Ok(Touched::Call);
        }
        if let Some(old) = &self.ended {
            let repeated = old.stamp.id() == stamp.id() || self.earlier_ends.iter().any(|e| e.id() == stamp.id());
            if repeated || old.body == body {
                return Ok(Touched::Nothing);
            }
            if self.earlier_ends.len() >= MAX_CONTRADICTIONS {
                return Err(Poison(format!("call ended more than {MAX_CONTRADICTIONS} times")));
            }
            self.earlier_ends.push(old.stamp);
        }
        self.ended = Some(Ended { stamp, body });
        Ok(Touched::Call)
    }

    /// Notes what the call holds, each the most that was said, in whatever order it was; true when that is more.
    fn hold(&mut self, holds: &[CreditHold]) -> bool {
        let mut more = false;
        for hold in holds {
            let full = self.holds.len() >= MAX_HOLDS;
            match self.holds.iter_mut().find(|h| h.account == hold.account && h.currency == hold.currency) {
                Some(known) if known.amount_e8 >= hold.amount_e8 => {}
                Some(known) => (known.amount_e8, more) = (hold.amount_e8, true),
                None if full => {}
                None => {
                    self.holds.push(hold.clone());
                    more = true;
                }
            }
        }
        more
    }

    /// C-098: what admission held. A later slice is the ledger's to tell: rows do not wait for one.
    fn reserved(&mut self, holds: &[CreditHold]) {
        let (id, Some(head)) = (self.id(), &mut self.head) else { return };
        if !holds.is_empty() {
            // As `Desk::hold` posts it, caused by this event.
            head.credit_reservation_id = Some(Id::derived(NAME, id, "hold", 0).to_vec());
            head.credit_held = holds.iter().find(|h| h.account == head.account).map(|h| h.amount_e8);
        }
    }

    fn attempt_mut(&mut self, no: u32) -> Result<&mut Attempt, Poison> {
        if !(1..=MAX_ATTEMPTS).contains(&no) {
            return Err(Poison(format!("attempt {no} is not between 1 and {MAX_ATTEMPTS}")));
        }
        let at = match self.attempts.binary_search_by_key(&no, |a| a.no) {
            Ok(at) => at,
            Err(at) => {
                // Most calls have one.
                self.attempts.reserve_exact(1);
                self.attempts.insert(at, Attempt { no, ..Attempt::default() });
                at
            }
        };
        Ok(&mut self.attempts[at])
    }
}

/// The columns that the call's first event decides, the same in each of its rows.
pub(super) fn fill_head(row: &mut Cdr, born: &Stamp, facts: Option<&CallFacts>, personal: Option<&Personal>) {
    row.call_uuid = born.id().to_vec();
    row.event_first_offset = born.offset;
    row.node_id = format!("{:012x}", born.id_high >> 16);
    row.count = 1;
    row.schema_version = tollgate_schemas::cdr::SCHEMA_VERSION;
    if let Some(f) = facts {
        row.account.clone_from(&f.account);
        row.root_account.clone_from(&f.root_account);
        row.trunk.clone_from(&f.trunk);
        row.auth_method.clone_from(&f.auth_method);
        row.ingress_transport.clone_from(&f.transport);
        row.direction.clone_from(&f.direction);
        row.service_type.clone_from(&f.service_type);
        row.emergency_flag = f.emergency;
        row.test_call = f.service_type == "test";
        row.a_validity.clone_from(&f.a_validity);
        row.a_number_source.clone_from(&f.a_number_source);
        row.a_privacy.clone_from(&f.a_privacy);
        row.b_country.clone_from(&f.b_country);
        row.b_dest_group.clone_from(&f.b_dest_group);
        row.b_number_type.clone_from(&f.b_number_type);
        row.b_risk_flag.clone_from(&f.b_risk_flag);
        row.lrn.clone_from(&f.lrn);
        row.lrn_source.clone_from(&f.lrn_source);
        row.lrn_dip_ms = matches!(f.lrn_source.as_str(), "dip" | "fallback").then_some(f.lrn_dip_ms);
        row.b_ocn.clone_from(&f.b_ocn);
        row.b_lata.clone_from(&f.b_lata);
        row.b_rate_center.clone_from(&f.b_rate_center);
        row.b_state.clone_from(&f.b_state);
        row.a_state.clone_from(&f.a_state);
        row.a_lata.clone_from(&f.a_lata);
        row.jurisdiction.clone_from(&f.jurisdiction);
        row.jurisdiction_rule.clone_from(&f.jurisdiction_rule);
        row.origin_group.clone_from(&f.origin_group);
        row.balance_type.clone_from(&f.billing);
        row.cnam_source.clone_from(&f.cnam_source);
        row.cnam_dip_ms = matches!(f.cnam_source.as_str(), "dip" | "fallback").then_some(f.cnam_dip_ms);
    }
    if let Some(p) = personal {
        row.a_number_raw.clone_from(&p.a_raw);
        row.a_number_e164.clone_from(&p.a_e164);
        row.a_presentation_number.clone_from(&p.a_presentation);
        row.a_name.clone_from(&p.a_name);
        row.b_number_raw.clone_from(&p.b_raw);
        row.b_number_e164.clone_from(&p.b_e164);
        text::set_peer(&mut row.ingress_src_ip, &mut row.ingress_src_port, &p.peer_addr);
        text::set_bytes(&mut row.ingress_user_agent, &p.user_agent);
        text::cut(&mut row.ingress_user_agent, 128);
        if let Some(leg) = &p.leg {
            text::set_bytes(&mut row.sip_call_id_in, &leg.call_id);
            text::set_bytes(&mut row.from_tag, &leg.from_tag);
        }
    }
}
