//! Rows out of what is remembered of a call. Each row is a function of the call's facts alone, not of their order.

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    money::format_rate,
    refusal::Refusal,
    v1::{CallEnded, CallRefused, Event, Fx, Terms},
};

use super::{
    cause,
    charge::{LegCharge, cost_charge, ring_ms, sell_charge},
    fold::fill_head,
    state::{Answered, Attempt, AttemptEnd, Call, Rerated, Stamp},
    text::{self, push_json, push_number, set, set_peer},
    tiers,
};

/// `release_cause_local` of a row written without every fact.
pub(super) const INCOMPLETE: &str = "incomplete";

/// Whether the end is the work of a teardown, whose event then belongs to the final.
pub(super) fn says_teardown(end: &CallEnded) -> bool {
    matches!(end.end_reason.as_str(), "fraud_teardown" | "command")
}

/// The cost row of an attempt: of the answer where there was one, else as routed.
pub(super) fn cost_terms(attempt: &Attempt) -> Option<&Terms> {
    match &attempt.answered {
        Some(answered) if answered.cost.is_some() => answered.cost.as_ref(),
        _ => attempt.tried.as_ref().and_then(|t| t.cost.as_ref()),
    }
}

/// The sell row: of the answer where there was one, else as offered.
fn sell_terms<'a>(call: &'a Call, answered: Option<&'a Answered>) -> Option<&'a Terms> {
    answered.and_then(|a| a.sell.as_ref()).or(call.sell.as_ref())
}

/// The carrier's first 18x of an attempt: (time, code).
pub(super) fn first_18x(call: &Call, attempt: &Attempt) -> Option<(i64, u32)> {
    let told = call.end_of(attempt).map(|e| (e.body.first_18x_us, e.body.first_18x_code));
    // The ringing event tells where the end does not: a writer that stopped in between.
    told.filter(|t| t.0 != 0).or(attempt.ringing.map(|r| (r.at_us, r.code)))
}

fn first_100(call: &Call, attempt: &Attempt) -> Option<i64> {
    let told = call.end_of(attempt).map(|e| e.body.first_100_us).filter(|t| *t != 0);
    told.or(attempt.ringing.map(|r| r.first_100_us).filter(|t| *t != 0))
}

/// One attempt's row, in `row`, which holds the call's head columns. The version and last offset are the caller's.
pub(super) fn attempt_row(call: &Call, attempt: &Attempt, row: &mut Cdr) {
    blank(row);
    set(&mut row.record_type, ATTEMPT);
    set(&mut row.fraud_action, "none");
    row.attempt_no = attempt.no;
    row.attempts_total = attempt.no;
    set_carrier(row, attempt);

    let answered = call.is_answered(attempt);
    let end = call.end_of(attempt);
    let call_end = call.ended.as_ref();
    let start = attempt.tried.as_ref().map(|t| t.stamp).or(call.attempted).unwrap_or_default();
    let closed = end.map(|e| e.stamp).or(call_end.map(|e| e.stamp)).unwrap_or(start);
    let rang = first_18x(call, attempt);
    let answer = attempt.answered.as_ref().map(|a| a.stamp);
    row.first_100_ts = first_100(call, attempt);
    row.invite_ts = start.occurred_us;
    set_times(row, &start, answer.as_ref(), &closed, rang);

    if let Some(AttemptEnd { body, .. }) = end {
        row.sip_final_code = body.sip_code;
        set(&mut row.reason_phrase, &body.reason_phrase);
        row.vendor_sip_code = Some(body.sip_code).filter(|c| *c != 0);
        row.vendor_q850 = Some(body.q850).filter(|c| *c != 0);
        row.q850_cause = if body.q850 != 0 { body.q850 } else { cause::q850(body.sip_code) };
        set(&mut row.release_cause_local, &body.local_cause);
    }
    if answered {
        set(&mut row.disposition, "answered");
        row.duration_ms = call.leg_ms(attempt);
        if let Some(e) = call.end() {
            set(&mut row.hangup_party, &e.hangup_party);
            set(&mut row.end_reason, &e.end_reason);
            set(&mut row.duration_confidence, &e.duration_confidence);
        }
        if row.sip_final_code == 0 {
            row.sip_final_code = 200;
        }
        if row.q850_cause == 0 || end.is_some_and(|e| e.body.q850 == 0) {
            row.q850_cause = 16;
        }
        end_by_proof_of_life(row);
    } else {
        set(&mut row.duration_confidence, "exact");
        match end {
            Some(e) => {
                set(&mut row.disposition, cause::disposition(&e.body, rang.is_some()));
                set(&mut row.hangup_party, cause::ended_by(&e.body));
                set(&mut row.end_reason, if e.body.local_cause.is_empty() { "normal" } else { "local" });
            }
            None => set(&mut row.disposition, "failed"),
        }
    }
    if let (None, true, Some(e)) = (end, call.lost, call.end()) {
        set(&mut row.hangup_party, &e.hangup_party);
        set(&mut row.end_reason, &e.end_reason);
        set(&mut row.release_cause_local, &e.local_cause);
        set(&mut row.duration_confidence, &e.duration_confidence);
    }
    if let (Some(late), false) = (attempt.lates.last(), answered) {
        set_late(row, attempt, late, &start);
    }

    set_sell(row, sell_terms(call, attempt.answered.as_ref()));
    set_cost(row, cost_terms(attempt));
    let cost = cost_charge(call, attempt);
    let caller_got_it = call.end().is_some_and(|e| e.answered_attempt == attempt.no);
    let sell = if caller_got_it { sell_charge(call) } else { LegCharge::default() };
    set_money(row, &sell, &cost);
    let paid = if caller_got_it { tiers::paid(call) } else { Vec::new() };
    tiers::write_tiers(&mut row.tier_amounts, &paid);
    let answer = attempt.answered.as_ref();
    let revenue = if caller_got_it { tiers::revenue(row, &paid) } else { (0, Some(tiers::house_currency(call))) };
    tiers::set_margin(row, revenue, tiers::rate_of(attempt), answer.map(|a| a.stamp.occurred_us));
    let priced = [attempt.answered.as_ref().is_none_or(|a| a.cost.is_some() && (!caller_got_it || a.sell.is_some())),
        attempt.lates.is_empty() || cost_terms(attempt).is_some()];
    set_status(row, priced == [true, true], call.attempt_complete(attempt));
    set_rerated(row, attempt.rerated.as_ref());
}

/// The call's row, in `row`, which holds the call's head columns. The version and last offset are the caller's.
pub(super) fn final_row(call: &Call, row: &mut Cdr) {
    blank(row);
    set(&mut row.record_type, FINAL);
    set(&mut row.fraud_action, "none");
    let shown = call.shown_attempt();
    let answer = call.answered_attempt().and_then(|a| a.answered.as_ref());
    let start = call.attempted.unwrap_or_default();
    let closed = call.ended.as_ref().map_or(start, |e| e.stamp);
    if let Some(attempt) = shown {
        row.attempt_no = attempt.no;
        set_carrier(row, attempt);
        if let Some(AttemptEnd { body, .. }) = call.end_of(attempt) {
            row.vendor_sip_code = Some(body.sip_code).filter(|c| *c != 0);
            row.vendor_q850 = Some(body.q850).filter(|c| *c != 0);
        }
    }
    row.attempts_total = call.attempts.len() as u32;
    summarise(call, &mut row.attempts_summary);

    // M-05: what the caller heard first, whichever carrier rang, counted from the caller's own INVITE.
    let rang = call.attempts.iter().filter_map(|a| first_18x(call, a)).min();
    row.first_100_ts = call.attempts.iter().filter_map(|a| first_100(call, a)).min();
    row.invite_ts = start.occurred_us;
    set_times(row, &start, answer.map(|a| &a.stamp), &closed, rang);

    if let Some(e) = call.end() {
        set(&mut row.disposition, &e.disposition);
        row.sip_final_code = e.sip_code;
        set(&mut row.reason_phrase, &e.reason_phrase);
        row.q850_cause = if e.q850 != 0 { e.q850 } else { cause::q850(e.sip_code) };
        set(&mut row.hangup_party, &e.hangup_party);
        set(&mut row.end_reason, &e.end_reason);
        set(&mut row.release_cause_local, &e.local_cause);
        set(&mut row.duration_confidence, if e.duration_confidence.is_empty() { "exact" } else { &e.duration_confidence });
        if e.answered_attempt != 0 {
            row.duration_ms = e.duration_ms;
            row.ack_ts = Some(if e.ack_us != 0 { e.ack_us } else { call.ack_us }).filter(|t| *t != 0);
            end_by_proof_of_life(row);
        }
        if says_teardown(e) {
            set_teardown(row, call);
        }
    }
    if let Some(a) = answer {
        set(&mut row.to_tag, &a.to_tag);
    }

    if call.attempts.is_empty() && !call.skipped.is_empty() {
        set_unavailable(row, call);
    }

    set_sell(row, sell_terms(call, answer));
    set_cost(row, shown.and_then(cost_terms));
    let (cost, one_sum) = cost_of_call(call, &mut row.cost_currency);
    set_money(row, &sell_charge(call), &cost);
    let paid = tiers::paid(call);
    tiers::write_tiers(&mut row.tier_amounts, &paid);
    let revenue = tiers::revenue(row, &paid);
    match one_sum {
        Sum::Converted => {
            set(&mut row.fx_source, tiers::RATES_OF_ATTEMPTS);
            tiers::set_margin(row, revenue, None, answer.map(|a| a.stamp.occurred_us));
        }
        Sum::Whole => {
            let of_this = |fx: &&Fx| fx.from == row.cost_currency;
            let rates = call.answered_attempt().into_iter().chain(&call.attempts).filter_map(tiers::rate_of);
            let rate = rates.into_iter().find(of_this);
            tiers::set_margin(row, revenue, rate, answer.map(|a| a.stamp.occurred_us));
        }
        Sum::Partial => tiers::no_rate(row, Some(answer.map_or(start.occurred_us, |a| a.stamp.occurred_us))),
    }
    let priced = answer.is_none_or(|a| a.sell.is_some() && a.cost.is_some())
        && call.attempts.iter().all(|a| a.lates.is_empty() || cost_terms(a).is_some());
    set_status(row, priced, call.money_complete());
    if one_sum == Sum::Partial {
        set(&mut row.rating_status, "error");
    }
    set_rerated(row, call.rerated.as_ref());
}

fn set_rerated(row: &mut Cdr, by: Option<&Rerated>) {
    set(&mut row.rerate_reason, by.map_or("", |b| &b.reason));
    set(&mut row.rerate_actor, by.map_or("", |b| &b.actor));
}

/// A refused call's only row (design §3): `refused` stands alone and its id is the call's.
pub(super) fn refused_row(born: &Stamp, event: &Event, refused: &CallRefused, row: &mut Cdr) {
    fill_head(row, born, refused.facts.as_ref(), event.personal.as_ref());
    blank(row);
    set(&mut row.record_type, FINAL);
    row.cdr_version = 1;
    row.event_last_offset = born.offset;
    row.count = refused.count.max(1);
    row.end_ts = born.occurred_us;
    row.invite_ts = if row.count > 1 && refused.first_us != 0 { refused.first_us.min(born.occurred_us) } else { born.occurred_us };
    set(&mut row.disposition, "blocked");
    row.sip_final_code = refused.sip_code;
    let reason = Refusal::ALL.into_iter().find(|r| r.name() == refused.reason);
    set(&mut row.reason_phrase, reason.map_or("", Refusal::phrase));
    row.q850_cause = if refused.q850 != 0 { refused.q850 } else { cause::q850(refused.sip_code) };
    set(&mut row.hangup_party, "system");
    set(&mut row.end_reason, "refused");
    set(&mut row.duration_confidence, "exact");
    set(&mut row.release_cause_local, &refused.reason);
    set(&mut row.block_reason, &refused.reason);
    row.block_response_code = Some(refused.sip_code);
    set(&mut row.fraud_action, "none");
    row.block_id = Some(refused.block_id.clone()).filter(|id| !id.is_empty());
    if reason == Some(Refusal::Blocked) {
        set(&mut row.fraud_action, "refused");
        set(&mut row.fraud_rules_hit, &refused.detail);
    }
    row.cps_limited = reason == Some(Refusal::CpsLimit);
    row.channel_limited = matches!(reason, Some(Refusal::ChannelLimit | Refusal::GroupLimit));
    row.route_explain = text::explain(&refused.choices);
    row.route_policy.clone_from(&refused.route_policy);
    row.quality_snapshot.clone_from(&refused.quality_snapshot);
    set_sell(row, refused.sell.as_ref());
    set(&mut row.rating_status, "zero");
}

/// Clears every column that is not the call's head.
pub(super) fn blank(row: &mut Cdr) {
    for column in [
        &mut row.record_type, &mut row.to_tag, &mut row.sip_call_id_out, &mut row.b_number_out,
        &mut row.duration_confidence, &mut row.disposition, &mut row.reason_phrase, &mut row.hangup_party,
        &mut row.end_reason, &mut row.carrier, &mut row.egress_dst_ip, &mut row.route_class,
        &mut row.attempts_summary, &mut row.sell_deck, &mut row.sell_deck_version, &mut row.sell_prefix,
        &mut row.sell_increment, &mut row.sell_currency, &mut row.cost_deck, &mut row.cost_deck_version,
        &mut row.cost_prefix, &mut row.cost_increment, &mut row.cost_currency, &mut row.margin_pct,
        &mut row.rating_status, &mut row.fraud_rules_hit, &mut row.fraud_action, &mut row.block_reason,
        &mut row.release_cause_local,
    ] {
        column.clear();
    }
    for column in [
        &mut row.cdr_version, &mut row.attempt_no, &mut row.sip_final_code, &mut row.q850_cause,
        &mut row.egress_dst_port, &mut row.route_rank, &mut row.attempts_total,
    ] {
        *column = 0;
    }
    for column in [&mut row.first_100_ts, &mut row.first_18x_ts, &mut row.answer_ts, &mut row.ack_ts, &mut row.sell_rate,
        &mut row.sell_connect, &mut row.cost_rate, &mut row.cost_connect, &mut row.margin_base] {
        *column = None;
    }
    for column in [&mut row.first_18x_code, &mut row.vendor_sip_code, &mut row.vendor_q850, &mut row.block_response_code] {
        *column = None;
    }
    for column in [&mut row.event_last_offset, &mut row.ring_ms, &mut row.duration_ms, &mut row.billed_sec_sell, &mut row.billed_sec_cost] {
        *column = 0;
    }
    (row.invite_ts, row.end_ts, row.sell_amount, row.cost_amount) = (0, 0, 0, 0);
    (row.pdd_ms, row.setup_ms, row.block_id) = (None, None, None);
    (row.cps_limited, row.channel_limited) = (false, false);
    for column in [&mut row.sell_lines, &mut row.cost_lines, &mut row.sell_surcharges, &mut row.cost_surcharges] {
        column.clear();
    }
    for column in [&mut row.tier_amounts, &mut row.fx_source, &mut row.fx_date] {
        column.clear();
    }
    (row.fx_rate, row.dip_fees, row.per_call_fees) = (None, 0, 0);
}

fn set_carrier(row: &mut Cdr, attempt: &Attempt) {
    match &attempt.tried {
        Some(tried) => {
            set(&mut row.carrier, &tried.carrier);
            set(&mut row.sip_call_id_out, &tried.sip_call_id);
            set(&mut row.b_number_out, &tried.b_out);
            set_peer(&mut row.egress_dst_ip, &mut row.egress_dst_port, &tried.peer_addr);
            let class = tried.cost.as_ref().map_or("", |c| c.route_class.as_str());
            set(&mut row.route_class, if tried.route_class.is_empty() { class } else { &tried.route_class });
            row.route_rank = tried.rank;
        }
        None => set(&mut row.carrier, attempt.ends.first().map_or("", |e| e.body.carrier.as_str())),
    }
}

/// Times in their order (invite ≤ 18x ≤ answer ≤ end) and the durations between them. A clock set back between two
/// facts of a boot moves a time, not a duration: those are bounded by what the monotonic clock measured.
fn set_times(row: &mut Cdr, start: &Stamp, answer: Option<&Stamp>, closed: &Stamp, rang: Option<(i64, u32)>) {
    let until = answer.unwrap_or(closed);
    let whole_ms = start.ms_until(until);
    row.answer_ts = answer.map(|a| a.occurred_us.max(start.occurred_us));
    row.end_ts = closed.occurred_us.max(row.answer_ts.unwrap_or(start.occurred_us));
    row.setup_ms = answer.map(|_| whole_ms);
    row.pdd_ms = row.setup_ms;
    if let Some((at_us, code)) = rang.filter(|r| answer.is_none_or(|a| r.0 <= a.occurred_us)) {
        let latest = row.answer_ts.unwrap_or(row.end_ts);
        row.first_18x_ts = Some(at_us.clamp(start.occurred_us, latest));
        row.first_18x_code = Some(code).filter(|c| *c != 0);
        row.ring_ms = ring_ms(start, until, at_us);
        row.pdd_ms = Some(whole_ms - row.ring_ms);
    }
}

/// An end nobody saw is written when it is noticed; the call ended at its last proof of life.
fn end_by_proof_of_life(row: &mut Cdr) {
    if let ("node_lost", Some(answer)) = (row.duration_confidence.as_str(), row.answer_ts) {
        row.end_ts = answer.saturating_add_unsigned(row.duration_ms.saturating_mul(1_000));
    }
}

/// The carrier answered after the branch was abandoned: for it the attempt was a call, and it will bill it.
fn set_late(row: &mut Cdr, attempt: &Attempt, late: &AttemptEnd, start: &Stamp) {
    set(&mut row.disposition, "answered");
    set(&mut row.hangup_party, "system");
    set(&mut row.end_reason, "late_answer");
    row.duration_ms = attempt.lates.iter().map(|l| l.body.duration_ms).fold(0, u64::saturating_add);
    let whole_ms = start.ms_until(&late.stamp);
    row.end_ts = late.stamp.occurred_us.max(start.occurred_us);
    let answer = row.end_ts.saturating_sub_unsigned(late.body.duration_ms.saturating_mul(1_000)).max(start.occurred_us);
    row.answer_ts = Some(answer);
    row.setup_ms = Some(whole_ms.saturating_sub(late.body.duration_ms));
    row.pdd_ms = row.pdd_ms.or(row.setup_ms);
    row.first_18x_ts = row.first_18x_ts.map(|t| t.min(answer));
    row.sip_final_code = if late.body.sip_code == 0 { 200 } else { late.body.sip_code };
    set(&mut row.reason_phrase, &late.body.reason_phrase);
    row.vendor_sip_code = Some(row.sip_final_code);
    row.q850_cause = 16;
    if !late.body.local_cause.is_empty() {
        set(&mut row.release_cause_local, &late.body.local_cause);
    }
}

fn set_teardown(row: &mut Cdr, call: &Call) {
    let Some(teardown) = &call.teardown else { return };
    row.block_id = Some(teardown.block_id.clone()).filter(|id| !id.is_empty());
    set(&mut row.block_reason, &teardown.reason);
    let by_fraud = call.end().is_some_and(|e| e.end_reason == "fraud_teardown");
    if by_fraud || teardown.actor.starts_with("fraud") || teardown.reason.starts_with("fraud") {
        set(&mut row.fraud_action, "teardown");
        set(&mut row.fraud_rules_hit, &teardown.reason);
    }
}

/// Nobody could be tried: each carrier was blocked or full when its turn came.
fn set_unavailable(row: &mut Cdr, call: &Call) {
    let cause = Refusal::CarrierUnavailable;
    set(&mut row.block_reason, cause.name());
    row.block_response_code = call.end().map(|e| e.sip_code);
    row.block_id = call.skipped.iter().find(|s| !s.block_id.is_empty()).map(|s| s.block_id.clone());
}

/// Carrier, code and milliseconds from INVITE to the final response, for each attempt.
fn summarise(call: &Call, out: &mut String) {
    for (i, attempt) in call.attempts.iter().enumerate() {
        out.push_str(if i == 0 { "[{\"carrier\":" } else { ",{\"carrier\":" });
        let end = call.end_of(attempt);
        let answer = attempt.answered.as_ref().map(|a| &a.stamp);
        let carrier = match &attempt.tried {
            Some(t) => t.carrier.as_str(),
            None => end.map_or("", |e| e.body.carrier.as_str()),
        };
        push_json(out, carrier);
        out.push_str(",\"code\":");
        push_number(out, end.map_or(0, |e| e.body.sip_code).into());
        out.push_str(",\"ms\":");
        let ms = match (&attempt.tried, answer.or(end.map(|e| &e.stamp))) {
            (Some(tried), Some(last)) => tried.stamp.ms_until(last),
            _ => 0,
        };
        push_number(out, ms);
        out.push('}');
    }
    if !call.attempts.is_empty() {
        out.push(']');
    }
}

pub(super) fn set_sell(row: &mut Cdr, terms: Option<&Terms>) {
    let Some(t) = terms else { return };
    set(&mut row.sell_deck, &t.deck);
    set(&mut row.sell_deck_version, &t.deck_version);
    set(&mut row.sell_prefix, &t.prefix);
    row.sell_rate = Some(t.rate_e12);
    row.sell_connect = Some(t.connect_fee_e12);
    set_increments(&mut row.sell_increment, t);
    set_surcharges(&mut row.sell_surcharges, t);
    set(&mut row.sell_currency, &t.currency);
}

pub(super) fn set_cost(row: &mut Cdr, terms: Option<&Terms>) {
    let Some(t) = terms else { return };
    set(&mut row.cost_deck, &t.deck);
    set(&mut row.cost_deck_version, &t.deck_version);
    set(&mut row.cost_prefix, &t.prefix);
    row.cost_rate = Some(t.rate_e12);
    row.cost_connect = Some(t.connect_fee_e12);
    set_increments(&mut row.cost_increment, t);
    set_surcharges(&mut row.cost_surcharges, t);
    set(&mut row.cost_currency, &t.currency);
}

fn set_increments(column: &mut String, terms: &Terms) {
    column.clear();
    push_number(column, terms.initial_s.into());
    column.push('/');
    push_number(column, terms.increment_s.into());
}

/// The surcharges a minute holds, by name.
fn set_surcharges(column: &mut String, terms: &Terms) {
    column.clear();
    for surcharge in &terms.surcharges {
        column.push(if column.is_empty() { '{' } else { ',' });
        push_json(column, &surcharge.name);
        column.push_str(":\"");
        column.push_str(&format_rate(surcharge.per_minute_e12));
        column.push('"');
    }
    if !column.is_empty() {
        column.push('}');
    }
}

/// What a final's cost is the sum of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    /// All attempts, in the one currency they are in.
    Whole,
    /// All attempts, those in another currency than the house is paid in at the rates their events name.
    Converted,
    /// Part of them is in another currency, without a rate, and is not in it.
    Partial,
}

/// What all attempts cost, in the currency shown.
fn cost_of_call(call: &Call, currency: &mut String) -> (LegCharge, Sum) {
    let mut sum = LegCharge::default();
    let mut one_currency = true;
    for attempt in &call.attempts {
        let charge = cost_charge(call, attempt);
        if charge.is_nothing() {
            continue;
        }
        let own = cost_terms(attempt).map_or("", |t| t.currency.as_str());
        if sum.is_nothing() {
            // What was billed names the currency, even where the attempt shown was not.
            set(currency, own);
        }
        if own == currency.as_str() {
            sum.add(charge);
        } else {
            one_currency = false;
        }
    }
    if one_currency {
        return (sum, Sum::Whole);
    }
    let house = tiers::house_currency(call);
    let converted = call.attempts.iter().map(|attempt| {
        let charge = cost_charge(call, attempt);
        let own = cost_terms(attempt).map_or("", |t| t.currency.as_str());
        charge.into_currency(own, house, tiers::rate_of(attempt))
    });
    match converted.collect::<Option<Vec<LegCharge>>>() {
        Some(all) => {
            set(currency, house);
            let mut sum = LegCharge::default();
            all.into_iter().for_each(|one| sum.add_total(&one));
            (sum, Sum::Converted)
        }
        None => (sum, Sum::Partial),
    }
}

fn set_money(row: &mut Cdr, sell: &LegCharge, cost: &LegCharge) {
    set_sell_charge(row, sell);
    set_cost_charge(row, cost);
}

pub(super) fn set_sell_charge(row: &mut Cdr, sell: &LegCharge) {
    row.billed_sec_sell = sell.charge.billed_s;
    row.sell_amount = sell.charge.amount_e8;
    sell.write_lines(&mut row.sell_lines);
    (row.dip_fees, row.per_call_fees) = sell.fees_e8();
}

pub(super) fn set_cost_charge(row: &mut Cdr, cost: &LegCharge) {
    row.billed_sec_cost = cost.charge.billed_s;
    row.cost_amount = cost.charge.amount_e8;
    cost.write_lines(&mut row.cost_lines);
}

/// `priced`: every leg that bills has its row. `complete`: every fact about money was there.
pub(super) fn set_status(row: &mut Cdr, priced: bool, complete: bool) {
    let status = match (complete, priced) {
        (false, _) => "error",
        // Emergency calls and tests need no price; for another answered call a missing row is money not asked for.
        (true, false) if !row.emergency_flag && !row.test_call => "unrated",
        // An emergency call is free for the caller even where its carrier charges for it.
        (true, _) if row.sell_amount == 0 && (row.cost_amount == 0 || row.emergency_flag && row.is_final()) => "zero",
        (true, _) => "rated",
    };
    set(&mut row.rating_status, status);
    if !complete {
        set(&mut row.release_cause_local, INCOMPLETE);
    }
}
