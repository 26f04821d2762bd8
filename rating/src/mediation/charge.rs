//! What the legs of a call are charged, by the house's one charge function.

use tollgate_schemas::{
    money::{AMOUNT_PLACES, format_scaled},
    terms::{Charge, LOOKUP_FEES, LegContext, Line},
    v1::{Fx, Terms},
};

use crate::fx;

use super::{
    record::{cost_terms, first_18x},
    state::{Attempt, Call, Stamp},
    text::push_json,
};

/// A leg's charge. The lines are there where they say more than the amount: a plain row's charge is its usage.
#[derive(Debug, Default)]
pub(super) struct LegCharge {
    pub charge: Charge,
    lines: Vec<Line>,
    /// Decimal places of its amounts.
    places: u32,
}

impl LegCharge {
    /// Of a leg under some terms.
    pub fn of(terms: &Terms, answer_us: i64, duration_ms: u64, context: &LegContext) -> LegCharge {
        if terms.is_plain() {
            let charge = if context.answered { terms.plain().charge(duration_ms) } else { Charge::default() };
            return LegCharge { charge, lines: Vec::new(), places: terms.places };
        }
        let lines = terms.lines(answer_us, duration_ms, context);
        let charge = Charge { billed_s: lines.billed_s, amount_e8: lines.amount_e8() };
        LegCharge { charge, lines: lines.lines, places: terms.places }
    }

    pub fn is_nothing(&self) -> bool {
        self.charge == Charge::default()
    }

    /// The fees alone: of look-ups, and the others.
    pub fn fees_e8(&self) -> (i64, i64) {
        let fees = || self.lines.iter().filter(|l| l.fee.is_some());
        let sum = |lookups: bool| {
            let of = |l: &&Line| LOOKUP_FEES.contains(&l.name.as_str()) == lookups;
            fees().filter(of).fold(0i64, |sum, line| sum.saturating_add(line.amount_e8))
        };
        (sum(true), sum(false))
    }

    /// Another leg in the same currency: lines of one name become one.
    pub fn add(&mut self, other: LegCharge) {
        // One of the two has lines, so both need them.
        if self.lines.is_empty() != other.lines.is_empty() {
            self.tell_usage();
        }
        let mut other = other;
        if !self.lines.is_empty() {
            other.tell_usage();
        }
        self.charge.billed_s = self.charge.billed_s.saturating_add(other.charge.billed_s);
        self.charge.amount_e8 = self.charge.amount_e8.saturating_add(other.charge.amount_e8);
        self.places = self.places.max(other.places);
        for line in other.lines {
            match self.lines.iter_mut().find(|l| l.name == line.name && l.fee == line.fee) {
                Some(own) => own.amount_e8 = own.amount_e8.saturating_add(line.amount_e8),
                None => self.lines.push(line),
            }
        }
    }

    /// The same in another currency, as one amount. None: there is no rate between the two.
    pub fn into_currency(self, own: &str, wanted: &str, rate: Option<&Fx>) -> Option<LegCharge> {
        if self.is_nothing() || own == wanted {
            return Some(self);
        }
        let rate = rate.filter(|fx| fx.from == own && fx.to == wanted)?;
        let charge = Charge { amount_e8: fx::convert(self.charge.amount_e8, rate.rate_e12), ..self.charge };
        Some(LegCharge { charge, lines: Vec::new(), places: self.places })
    }

    /// Adds what another comes to; lines are not told of the sum.
    pub fn add_total(&mut self, other: &LegCharge) {
        self.lines.clear();
        self.charge.billed_s = self.charge.billed_s.saturating_add(other.charge.billed_s);
        self.charge.amount_e8 = self.charge.amount_e8.saturating_add(other.charge.amount_e8);
    }

    /// The line a plain charge leaves out.
    fn tell_usage(&mut self) {
        if self.lines.is_empty() && !self.is_nothing() {
            self.lines.push(Line { name: tollgate_schemas::terms::USAGE.to_owned(), amount_e8: self.charge.amount_e8, fee: None });
        }
    }

    /// `[{"name":"usage","amount":"0.008000"},…]`; nothing where the amount is all there is to say.
    pub fn write_lines(&self, column: &mut String) {
        column.clear();
        for line in &self.lines {
            column.push_str(if column.is_empty() { "[{\"name\":" } else { ",{\"name\":" });
            push_json(column, &line.name);
            column.push_str(",\"amount\":\"");
            column.push_str(&format_scaled(line.amount_e8, AMOUNT_PLACES, self.places));
            column.push_str("\"}");
        }
        if !column.is_empty() {
            column.push(']');
        }
    }
}

/// Ringing: from the first 18x to the answer or end, bounded by what the monotonic clock measured.
pub(super) fn ring_ms(start: &Stamp, until: &Stamp, rang_us: i64) -> u64 {
    let whole_ms = start.ms_until(until);
    let pdd_ms = u64::try_from(rang_us.saturating_sub(start.occurred_us)).unwrap_or(0) / 1_000;
    whole_ms - pdd_ms.min(whole_ms)
}

/// The customer's leg: one attempt, whatever was hunted for it; its ringing is what the caller heard first.
pub(super) fn sell_context(call: &Call) -> LegContext {
    let answer = call.answered_attempt().and_then(|a| a.answered.as_ref());
    let rang_us = call.attempts.iter().filter_map(|a| first_18x(call, a)).min().map(|r| r.0);
    let until = answer.map(|a| a.stamp).or(call.ended.as_ref().map(|e| e.stamp));
    let ringing_ms = match (call.attempted, until, rang_us) {
        (Some(start), Some(until), Some(at_us)) if answer.is_none() || at_us <= until.occurred_us => ring_ms(&start, &until, at_us),
        _ => 0,
    };
    LegContext { answered: answer.is_some(), attempts: 1, ringing_ms }
}

/// The customer's charge: the terms of the answer for the time to the end; of a call that was not answered, the
/// fees that are owed all the same.
pub(super) fn sell_charge(call: &Call) -> LegCharge {
    let answered = call.answered_attempt().and_then(|a| a.answered.as_ref());
    sell_charge_by(call, answered.and_then(|a| a.sell.as_ref()), call.sell.as_ref())
}

/// The same for whoever pays for the call: by its terms at the answer, or as offered where there was none.
pub(super) fn sell_charge_by(call: &Call, at_answer: Option<&Terms>, offered: Option<&Terms>) -> LegCharge {
    let Some(end) = call.end() else { return LegCharge::default() };
    match call.answered_attempt().and_then(|a| a.answered.as_ref()) {
        Some(answered) => match at_answer {
            Some(terms) => LegCharge::of(terms, answered.stamp.occurred_us, end.duration_ms, &sell_context(call)),
            None => LegCharge::default(),
        },
        // Answered, but nobody told how: not known is not unanswered.
        None if end.answered_attempt != 0 => LegCharge::default(),
        None => match offered {
            Some(terms) if !terms.is_plain() => LegCharge::of(terms, 0, 0, &sell_context(call)),
            _ => LegCharge::default(),
        },
    }
}

/// The carrier's charge for one attempt: its answer, answers that came after the branch was abandoned, and the fees of one
/// that was not answered.
pub(super) fn cost_charge(call: &Call, attempt: &Attempt) -> LegCharge {
    let start = attempt.tried.as_ref().map(|t| t.stamp);
    let rang_us = first_18x(call, attempt).map(|r| r.0);
    let ringing = |until: &Stamp| match (&start, rang_us) {
        (Some(start), Some(at_us)) => ring_ms(start, until, at_us),
        _ => 0,
    };
    let mut sum = LegCharge::default();
    let mut context = None;
    if let Some(answered) = &attempt.answered {
        let leg = LegContext { answered: true, attempts: 1, ringing_ms: ringing(&answered.stamp) };
        context = Some(LegContext::further_answer());
        if let Some(terms) = &answered.cost {
            sum = LegCharge::of(terms, answered.stamp.occurred_us, call.leg_ms(attempt), &leg);
        }
    }
    let Some(terms) = cost_terms(attempt) else { return sum };
    for late in &attempt.lates {
        // Its answer was never sent on: it is told by its end and its length.
        let lasted_us = i64::try_from(late.body.duration_ms).unwrap_or(i64::MAX).saturating_mul(1000);
        let answer_us = late.stamp.occurred_us.saturating_sub(lasted_us);
        let leg = context.unwrap_or_default();
        context = Some(LegContext::further_answer());
        sum.add(LegCharge::of(terms, answer_us, late.body.duration_ms, &leg));
    }
    let over = call.end_of(attempt).map(|e| e.stamp).or(call.ended.as_ref().map(|e| e.stamp));
    if let (None, Some(over), false, false) = (context, over, terms.is_plain(), call.is_answered(attempt)) {
        sum = LegCharge::of(terms, 0, 0, &LegContext::unanswered(ringing(&over)));
    }
    sum
}
