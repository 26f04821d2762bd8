//! A call rated again: the order `call.rerated` gives new terms, the rater answers with the next version of the
//! rows they change and a posting of the difference. Nothing is edited; a replay of the log gives the same.
//!
//! **Two ways.** A call that is still remembered gets the terms in place of those its answer came with, so that a late fact of it
//! is priced by them too. Of a call long forgotten the order brings the rows, and they are priced as they stand.
//!
//! **Versions never clash.** An order names the versions it follows, and is refused (to quarantine; the re-rating is run
//! again) when the call has others now. Whatever got a version above 1 lately is remembered for [`RECENT_US`] of log time, and
//! an order that comes more than [`FRESH_US`] after its rows were read is refused: so a version it could not see is always one
//! that is remembered. At most [`MAX_RECENT`] such calls in a partition; beyond, orders are refused until the oldest are
//! forgotten, and a late fact's version takes the oldest's place.
//!
//! **Limit.** Rows do not tell several late answers of one attempt apart: a forgotten call's are priced as one of their whole
//! length.

use prost::Message;
use tollgate_schemas::{
    cdr::{Cdr, FINAL},
    event::{Body, Event},
    log::Topic,
    stage::{Outputs, Poison},
    terms::{Charge, LegContext},
    v1::{AttemptTerms, CallRerated, CdrWritten, LedgerEntry, LedgerPosted, Terms, Tier},
};

mod recent;

pub use recent::{MAX_RECENT, RECENT_US};
pub(super) use recent::{Recent, RecentSaved};

use super::{
    NAME, Rater, Remembered,
    charge::LegCharge,
    record::{self, Sum},
    state::{Call, Rerated, Stamp},
    text::set,
    tiers,
    write::Desk,
};
use crate::{
    fx,
    ledger::{self, posting},
};

/// Log time between the reading of an order's rows and the order, at most.
pub const FRESH_US: i64 = 60_000_000;
/// Rows of one order: a final and its attempts.
const MAX_ROWS: usize = 65;

/// The rows of a call (final first) priced by other terms; nothing else of them is changed. Terms that are not given stay as
/// they were. `tiers`: of accounts above the caller's. Errors when the rows are not those of one rated call, or a tier is of nobody
/// who pays for it.
pub fn repriced(rows: &[Cdr], sell: Option<&Terms>, tiers: &[Tier], costs: &[AttemptTerms]) -> Result<Vec<Cdr>, String> {
    let before: Vec<_> = rows.iter().map(tiers::currencies).collect();
    let mut rows = rows.to_vec();
    let Some((last, attempts)) = rows.split_first_mut() else { return Err("it has no rows".to_owned()) };
    if !last.is_final() || attempts.iter().any(|a| a.is_final()) {
        return Err("its first row is not the call's final, or it is not the only one".to_owned());
    }
    if attempts.len() != last.attempts_total as usize {
        return Err(format!("it has {} of its {} attempts", attempts.len(), last.attempts_total));
    }
    if last.rating_status == "error" || attempts.iter().any(|a| a.rating_status == "error") {
        return Err("facts of it are missing: it cannot be priced".to_owned());
    }
    let given = |no: u32| costs.iter().find(|c| c.attempt_no == no).and_then(|c| c.terms.as_ref());
    let answered_no = attempts.iter().find(|a| a.answer_ts.is_some() && a.answer_ts == last.answer_ts && a.end_reason != "late_answer").map(|a| a.attempt_no);
    for attempt in attempts.iter_mut() {
        if let Some(terms) = given(attempt.attempt_no) {
            record::set_cost(attempt, Some(terms));
            record::set_cost_charge(attempt, &cost_of(attempt, terms));
        }
    }
    if let Some(terms) = sell {
        let charge = sell_of(last, terms);
        record::set_sell(last, Some(terms));
        record::set_sell_charge(last, &charge);
        if let Some(attempt) = attempts.iter_mut().find(|a| Some(a.attempt_no) == answered_no) {
            record::set_sell(attempt, Some(terms));
            record::set_sell_charge(attempt, &charge);
        }
    }
    if !tiers.is_empty() {
        last.tier_amounts = tiers::written_again(&last.tier_amounts, tiers, |terms| sell_of(last, terms))?;
        if let Some(attempt) = attempts.iter_mut().find(|a| Some(a.attempt_no) == answered_no) {
            attempt.tier_amounts.clone_from(&last.tier_amounts);
        }
    }
    for (attempt, before) in attempts.iter_mut().zip(&before[1..]) {
        tiers::set_margin_again(attempt, before);
    }
    let (house, _) = tiers::currencies(last);
    if house != before[0].0 {
        // Attempts nobody answered do not tell what the house is paid in: their rates were of that.
        for attempt in attempts.iter_mut().filter(|a| Some(a.attempt_no) != answered_no && a.cost_currency != house) {
            tiers::without_rate(attempt, attempt.answer_ts);
        }
    }
    let summed = !costs.is_empty() || last.fx_source == tiers::RATES_OF_ATTEMPTS && house != before[0].0;
    let sum = if summed { sum_costs(last, attempts, given(last.attempt_no), &house) } else { Sum::Whole };
    match sum {
        Sum::Partial => tiers::without_rate(last, last.answer_ts.or(Some(last.invite_ts))),
        // With the cost came its rate.
        Sum::Whole if summed && last.fx_rate.is_some() => tiers::set_margin_again(last, &tiers::currencies(last)),
        _ => tiers::set_margin_again(last, &before[0]),
    }
    for row in &mut rows {
        if row.is_final() && sum == Sum::Partial {
            set(&mut row.rating_status, "error");
        } else if row.rating_status != "error" {
            let unpriced = row.answer_ts.is_some() && (row.sell_rate.is_none() && row.is_final() || row.cost_rate.is_none());
            record::set_status(row, !unpriced, true);
        }
    }
    Ok(rows)
}

/// What a final's customer is charged under some terms.
pub fn sell_charge(row: &Cdr, terms: &Terms) -> Charge {
    sell_of(row, terms).charge
}

/// What an attempt's carrier charges under some terms.
pub fn cost_charge(row: &Cdr, terms: &Terms) -> Charge {
    cost_of(row, terms).charge
}

/// The carrier's charge for an attempt, from its row.
fn cost_of(row: &Cdr, terms: &Terms) -> LegCharge {
    match row.answer_ts {
        Some(at_us) if row.disposition == "answered" && row.end_reason != "late_answer" => {
            LegCharge::of(terms, at_us, row.duration_ms, &LegContext { answered: true, attempts: 1, ringing_ms: row.ring_ms })
        }
        Some(at_us) if row.disposition == "answered" => LegCharge::of(terms, at_us, row.duration_ms, &LegContext::default()),
        _ if terms.is_plain() => LegCharge::default(),
        _ => LegCharge::of(terms, 0, 0, &LegContext::unanswered(row.ring_ms)),
    }
}

fn sell_of(row: &Cdr, terms: &Terms) -> LegCharge {
    match row.answer_ts {
        Some(at_us) if row.disposition == "answered" => {
            LegCharge::of(terms, at_us, row.duration_ms, &LegContext { answered: true, attempts: 1, ringing_ms: row.ring_ms })
        }
        _ if terms.is_plain() => LegCharge::default(),
        _ => LegCharge::of(terms, 0, 0, &LegContext { answered: false, attempts: 1, ringing_ms: row.ring_ms }),
    }
}

/// A final's cost: what all attempts cost, in their one currency or in the house's. `shown`: new terms of the attempt it shows.
fn sum_costs(last: &mut Cdr, attempts: &[Cdr], shown: Option<&Terms>, house: &str) -> Sum {
    if shown.is_some() {
        record::set_cost(last, shown);
    }
    let costing = || attempts.iter().filter(|a| a.cost_amount != 0 || a.billed_sec_cost != 0);
    if let Some(first) = costing().next() {
        set(&mut last.cost_currency, &first.cost_currency);
    }
    let currency = last.cost_currency.clone();
    if last.fx_source == tiers::RATES_OF_ATTEMPTS {
        last.fx_source.clear();
    }
    let one = costing().all(|a| a.cost_currency == currency);
    if !one {
        let in_house = |a: &Cdr| if a.cost_currency == house { Some(a.cost_amount) } else { a.fx_rate.map(|rate| fx::convert(a.cost_amount, rate)) };
        if let Some(sum) = costing().map(in_house).try_fold(0i64, |sum, one| Some(sum.saturating_add(one?))) {
            last.billed_sec_cost = costing().fold(0, |sum, a| sum.saturating_add(a.billed_sec_cost));
            last.cost_amount = sum;
            set(&mut last.cost_currency, house);
            last.cost_lines.clear();
            (last.fx_rate, last.fx_source) = (None, tiers::RATES_OF_ATTEMPTS.to_owned());
            last.fx_date.clear();
            return Sum::Converted;
        }
    }
    let own = || costing().filter(|a| a.cost_currency == currency);
    if let (true, Some(rated)) = (one, own().find(|a| a.fx_rate.is_some())) {
        (last.fx_rate, last.fx_source, last.fx_date) = (rated.fx_rate, rated.fx_source.clone(), rated.fx_date.clone());
    }
    last.billed_sec_cost = own().fold(0, |sum, a| sum.saturating_add(a.billed_sec_cost));
    last.cost_amount = own().fold(0, |sum, a| sum.saturating_add(a.cost_amount));
    // Lines are told where one attempt is the whole cost, as nearly always.
    let mut with = own();
    let lines = match (with.next(), with.next()) {
        (Some(one), None) => one.cost_lines.as_str(),
        _ => "",
    };
    let lines = lines.to_owned();
    last.cost_lines = lines;
    if one { Sum::Whole } else { Sum::Partial }
}

/// Whether a re-rating says anything new of a row: money, or what it is counted by.
pub fn differs(old: &Cdr, new: &Cdr) -> bool {
    let of = |r: &Cdr| {
        (
            (r.sell_amount, r.billed_sec_sell, r.sell_rate, r.sell_connect, r.cost_amount, r.billed_sec_cost, r.cost_rate, r.cost_connect),
            [&r.sell_increment, &r.sell_currency, &r.sell_lines, &r.cost_increment, &r.cost_currency, &r.cost_lines, &r.tier_amounts].map(Clone::clone),
        )
    };
    of(old) != of(new)
}

impl Rater {
    pub(super) fn rerated(&mut self, offset: u64, event: &Event, order: &CallRerated, out: &mut Outputs) -> Result<(), Poison> {
        let id = event.call_id();
        let refuse = |problem: String| Poison(format!("re-rating {} of call {id} is refused: {problem}; run it again", order.batch));
        let rows = decode(order).map_err(&refuse)?;
        if rows.iter().any(|r| r.call_uuid != order.call_id) {
            return Err(refuse("a row is another call's".to_owned()));
        }
        let above = rows.first().map_or_else(Vec::new, |last| tollgate_schemas::tiers::read(&last.tier_amounts));
        if let Some(stranger) = order.tiers.iter().find(|t| above.iter().all(|a| a.account != t.account)) {
            return Err(refuse(format!("account {} is not one of those that pay for it", stranger.account)));
        }
        if self.clock_us.saturating_sub(order.read_us) > FRESH_US {
            return Err(refuse(format!("its rows were read more than {} s before", FRESH_US / 1_000_000)));
        }
        if !self.recent.has_room(id, self.clock_us) {
            return Err(refuse(format!("{MAX_RECENT} calls of its partition got new versions within {} s", RECENT_US / 1_000_000)));
        }
        let stamp = Stamp::of(offset, event);
        let total = |rows: &[Cdr]| rows.iter().map(|r| u64::from(r.cdr_version)).sum::<u64>();
        if let Some(known) = self.calls.get_mut(&id) {
            let Remembered::Closed { state, .. } = known else { return Err(refuse("it is not rated yet".to_owned())) };
            let mut call = Call::decode(&**state).map_err(|e| refuse(format!("it is not what was closed: {e}")))?;
            if call.versions() != versions(&rows) {
                return Err(refuse("it has other versions now".to_owned()));
            }
            call.take_terms(order);
            self.desk.rerate(&mut call, stamp, out);
            self.recent.note(id, self.clock_us, call.versions().iter().map(|v| u64::from(v.1)).sum());
            *known = Remembered::closed(&mut call);
            return Ok(());
        }
        if self.recent.of(id).is_some_and(|now| now != total(&rows)) {
            return Err(refuse("it has other versions now".to_owned()));
        }
        let new = repriced(&rows, order.sell.as_ref(), &order.tiers, &order.costs).map_err(&refuse)?;
        let mut written = 0;
        // Attempts before their final, as always.
        for (old, new) in rows.iter().zip(&new).skip(1).chain(rows.iter().zip(&new).take(1)) {
            if differs(old, new) {
                written += 1;
                self.desk.write_again(event, order, offset, new, out);
            }
        }
        if written > 0 {
            self.recent.note(id, self.clock_us, total(&rows) + written);
            self.desk.post_again(event, &rows, &new, out);
        }
        Ok(())
    }
}

fn decode(order: &CallRerated) -> Result<Vec<Cdr>, String> {
    if order.rows.len() > MAX_ROWS {
        return Err(format!("{} rows are more than a call has", order.rows.len()));
    }
    let rows: Result<Vec<Cdr>, _> = order.rows.iter().map(|r| Cdr::decode(r.as_slice())).collect();
    rows.map_err(|e| format!("a row of it cannot be read: {e}"))
}

/// (attempt, version), 0 = the final; by attempt.
fn versions(rows: &[Cdr]) -> Vec<(u32, u32)> {
    let mut all: Vec<_> = rows.iter().map(|r| (if r.record_type == FINAL { 0 } else { r.attempt_no }, r.cdr_version)).collect();
    all.sort_unstable();
    all
}

impl Call {
    fn versions(&self) -> Vec<(u32, u32)> {
        let last = self.written.map(|w| (0, w.version));
        let mut all: Vec<_> = self.attempts.iter().filter_map(|a| Some((a.no, a.written?.version))).chain(last).collect();
        all.sort_unstable();
        all
    }

    /// What [`Recent`] remembers of it, where any version is above 1.
    pub fn versions_above_one(&self) -> Option<u64> {
        let all = self.versions();
        all.iter().any(|(_, version)| *version > 1).then(|| all.iter().map(|(_, version)| u64::from(*version)).sum())
    }

    /// The order's terms in place of those the events brought.
    fn take_terms(&mut self, order: &CallRerated) {
        let by = Rerated { reason: order.reason.clone(), actor: order.actor.clone() };
        let answered_no = self.end().map_or(0, |e| e.answered_attempt);
        for attempt in &mut self.attempts {
            let terms = order.costs.iter().find(|c| c.attempt_no == attempt.no).and_then(|c| c.terms.as_ref());
            if let Some(terms) = terms {
                if let Some(tried) = &mut attempt.tried {
                    tried.cost = Some(terms.clone());
                }
                if let Some(answered) = &mut attempt.answered {
                    answered.cost = Some(terms.clone());
                }
            }
            let resold = answered_no != 0 && attempt.no == answered_no;
            if let (Some(answered), true) = (&mut attempt.answered, resold) {
                if let Some(terms) = &order.sell {
                    answered.sell = Some(terms.clone());
                }
                take_tiers(&mut answered.tiers, &order.tiers);
            }
            if terms.is_some() || resold && (order.sell.is_some() || !order.tiers.is_empty()) {
                attempt.rerated = Some(by.clone());
            }
        }
        if let Some(terms) = &order.sell {
            self.sell = Some(terms.clone());
        }
        take_tiers(&mut self.tiers, &order.tiers);
        self.rerated = Some(by);
    }
}

fn take_tiers(known: &mut [Tier], given: &[Tier]) {
    for tier in known {
        if let Some(new) = given.iter().find(|t| t.account == tier.account) {
            tier.terms.clone_from(&new.terms);
        }
    }
}

impl Desk {
    /// The next version of a row that nothing but the order tells of.
    fn write_again(&self, event: &Event, order: &CallRerated, offset: u64, new: &Cdr, out: &mut Outputs) {
        let mut row = Cdr { ingest_ts: None, cdr_version: new.cdr_version.saturating_add(1), event_last_offset: offset, ..new.clone() };
        row.rerate_reason.clone_from(&order.reason);
        row.rerate_actor.clone_from(&order.actor);
        // As the other way does: one event changes several rows, so the attempt is part of the id.
        let (rule, ordinal) = match row.is_final() {
            true => ("final", row.cdr_version),
            false => ("attempt", row.attempt_no << 16 | row.cdr_version),
        };
        let (cdr, hash) = self.encoded(&mut row);
        let body = Body::CdrWritten(CdrWritten { cdr, content_hash: hash.to_vec() });
        out.push(Topic::Cdrs, self.partition(), Event::derived(NAME, event, rule, ordinal, body));
    }

    /// The difference the new rows make in the ledger.
    fn post_again(&self, event: &Event, old: &[Cdr], new: &[Cdr], out: &mut Outputs) {
        let entries = posting::difference(&self.entries_of_rows(old), &self.entries_of_rows(new));
        let Some(last) = new.first().filter(|r| !r.test_call && !entries.is_empty()) else { return };
        let version = last.cdr_version.saturating_add(1);
        let posted = LedgerPosted {
            kind: "correction".to_owned(),
            call_id: last.call_uuid.clone(),
            attempt_no: last.attempt_no,
            cdr_version: version,
            entries,
            reason: "rerate".to_owned(),
            ..LedgerPosted::default()
        };
        out.push(Topic::Ledger, self.partition(), Event::derived(NAME, event, "ledger", version, Body::LedgerPosted(posted)));
    }

    /// What the ledger holds of a call with these rows.
    fn entries_of_rows(&self, rows: &[Cdr]) -> Vec<LedgerEntry> {
        let mut entries = Vec::with_capacity(4);
        for row in rows {
            if row.is_final() {
                let above = tollgate_schemas::tiers::read(&row.tier_amounts);
                let payments = above.iter().map(|t| (t.account.as_str(), t.amount_e8, t.currency.as_str()));
                tiers::entries(&mut entries, row, payments, &ledger::revenue(self.partition()));
            }
            if !row.is_final() && row.cost_amount != 0 {
                let carrier = ledger::carrier(&row.carrier, self.partition());
                posting::transfer(&mut entries, carrier, ledger::cost(self.partition()), row.cost_amount, &row.cost_currency);
            }
        }
        entries
    }
}
