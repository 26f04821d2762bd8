//! The money between the customer's charge and the carrier's cost: what each account above the caller's pays, and
//! the margin, where need be through the exchange rate that the answer named.

use tollgate_schemas::{
    cdr::Cdr,
    money::{AMOUNT_PLACES, format_rate, format_scaled},
    tiers,
    v1::{Fx, LedgerEntry, Terms, Tier},
};

use super::{
    charge::{LegCharge, sell_charge_by},
    state::{Answered, Attempt, Call},
    text::{margin_percent, push_json, set},
};
use crate::{fx, ledger, ledger::posting};

/// `fx_source` of a final whose attempts cost in several currencies: each row of theirs has its rate.
pub(super) const RATES_OF_ATTEMPTS: &str = "attempts";
/// `fx_source` where two currencies had no dated row.
pub(super) const NO_RATE: &str = "missing";

/// What one account above paid.
pub(super) struct Paid<'c> {
    pub tier: &'c Tier,
    pub charge: LegCharge,
}

impl Paid<'_> {
    pub fn currency(&self) -> &str {
        self.tier.terms.as_ref().map_or("", |t| t.currency.as_str())
    }

    pub fn payment(&self) -> Payment<'_> {
        (&self.tier.account, self.charge.charge.amount_e8, self.currency())
    }
}

/// The rows in force at the answer, else as offered.
fn tiers_of<'c>(call: &'c Call, answered: Option<&'c Answered>) -> &'c [Tier] {
    match answered {
        Some(answered) if !answered.tiers.is_empty() => &answered.tiers,
        _ => &call.tiers,
    }
}

/// What each account above paid, nearest first; nothing for a call without resellers.
pub(super) fn paid(call: &Call) -> Vec<Paid<'_>> {
    let answered = call.answered_attempt().and_then(|a| a.answered.as_ref());
    let charge = |tier: &Tier| sell_charge_by(call, tier.terms.as_ref(), tier.terms.as_ref());
    tiers_of(call, answered).iter().map(|tier| Paid { tier, charge: charge(tier) }).collect()
}

/// In the form of [`tollgate_schemas::tiers`], nearest first.
pub(super) fn write_tiers(column: &mut String, paid: &[Paid<'_>]) {
    column.clear();
    let mut lines = String::new();
    for one in paid {
        let deck = one.tier.terms.as_ref().map_or("", |t| t.deck.as_str());
        let priced = one.tier.terms.as_ref().map(|terms| {
            one.charge.write_lines(&mut lines);
            (terms.rate_e12, one.charge.charge.billed_s, lines.as_str())
        });
        push_tier(column, &one.tier.account, deck, one.charge.charge.amount_e8, one.currency(), priced);
    }
    if !column.is_empty() {
        column.push(']');
    }
}

/// `priced`: rate, billed seconds and lines of a tier that has them.
fn push_tier(column: &mut String, account: &str, deck: &str, amount_e8: i64, currency: &str, priced: Option<(i64, u64, &str)>) {
    column.push_str(if column.is_empty() { "[{\"account\":" } else { ",{\"account\":" });
    push_json(column, account);
    column.push_str(",\"deck\":");
    push_json(column, deck);
    column.push_str(",\"amount\":\"");
    column.push_str(&format_scaled(amount_e8, AMOUNT_PLACES, 6));
    column.push_str("\",\"currency\":");
    push_json(column, currency);
    if let Some((rate_e12, billed_s, lines)) = priced {
        column.push_str(",\"rate\":\"");
        column.push_str(&format_rate(rate_e12));
        column.push_str("\",\"billed_sec\":");
        column.push_str(&billed_s.to_string());
        if !lines.is_empty() {
            column.push_str(",\"lines\":");
            column.push_str(lines);
        }
    }
    column.push('}');
}

/// A column in which some accounts' charges are others now. Errors when one of them pays nothing there.
pub(super) fn written_again(column: &str, given: &[Tier], charge: impl Fn(&Terms) -> LegCharge) -> Result<String, String> {
    let mut all = tiers::read(column);
    for tier in given {
        let (Some(old), Some(terms)) = (all.iter_mut().find(|t| t.account == tier.account), &tier.terms) else {
            return Err(format!("account {} is not one of those that pay for it", tier.account));
        };
        let new = charge(terms);
        (old.deck, old.amount_e8, old.currency) = (terms.deck.clone(), new.charge.amount_e8, terms.currency.clone());
        (old.rate_e12, old.billed_s) = (Some(terms.rate_e12), new.charge.billed_s);
        new.write_lines(&mut old.lines);
    }
    let mut written = String::with_capacity(column.len() + 16);
    for t in &all {
        push_tier(&mut written, &t.account, &t.deck, t.amount_e8, &t.currency, t.rate_e12.map(|rate| (rate, t.billed_s, t.lines.as_str())));
    }
    if !written.is_empty() {
        written.push(']');
    }
    Ok(written)
}

/// What one account pays: its name, how much, of which currency.
type Payment<'p> = (&'p str, i64, &'p str);

/// Who pays whom, each in its own currency: the caller's account the one above, each account the next, the topmost us.
pub(super) fn entries<'p>(entries: &mut Vec<LedgerEntry>, row: &'p Cdr, above: impl Iterator<Item = Payment<'p>>, house: &str) {
    let mut above = above.peekable();
    let mut payer = Some((row.account.as_str(), row.sell_amount, row.sell_currency.as_str()));
    while let Some((account, amount, currency)) = payer {
        if amount != 0 {
            let to = match above.peek() {
                Some((above, ..)) => ledger::resale(&row.root_account, above),
                None => house.to_owned(),
            };
            posting::transfer(entries, to, ledger::customer(&row.root_account, account), amount, currency);
        }
        payer = above.next();
    }
}

/// What the house is paid for a row, and in which currency; none = in the row's own.
pub(super) fn revenue<'p>(row: &Cdr, paid: &'p [Paid<'_>]) -> (i64, Option<&'p str>) {
    paid.last().map_or((row.sell_amount, None), |top| (top.charge.charge.amount_e8, Some(top.currency())))
}

/// What the house is paid for the call in.
pub(super) fn house_currency(call: &Call) -> &str {
    let answered = call.answered_attempt().and_then(|a| a.answered.as_ref());
    let own = answered.and_then(|a| a.sell.as_ref()).or(call.sell.as_ref());
    let top = tiers_of(call, answered).last().map(|t| t.terms.as_ref());
    top.unwrap_or(own).map_or("", |t| t.currency.as_str())
}

/// The rate between what an attempt's carrier is paid and what the house is: its answer's, else that of its INVITE.
pub(super) fn rate_of(attempt: &Attempt) -> Option<&Fx> {
    attempt.answered.as_ref().and_then(|a| a.fx.as_ref()).or_else(|| attempt.tried.as_ref()?.fx.as_ref())
}

/// The margin of the row: what the house is paid less what it pays. In another currency than the cost's only through the
/// rate its events named; without one there is none, and `fx_source` says so.
pub(super) fn set_margin(row: &mut Cdr, (revenue, currency): (i64, Option<&str>), rate: Option<&Fx>, answer_us: Option<i64>) {
    let currency = currency.unwrap_or(&row.sell_currency);
    if currency.is_empty() || row.cost_currency.is_empty() {
        return;
    }
    let mut cost = row.cost_amount;
    if currency != row.cost_currency {
        match rate.filter(|fx| fx.from == row.cost_currency && fx.to == currency) {
            Some(fx) => {
                cost = fx::convert(cost, fx.rate_e12);
                row.fx_rate = Some(fx.rate_e12);
                set(&mut row.fx_source, &fx.source);
                set(&mut row.fx_date, &fx.date);
            }
            // A call that was not answered costs nothing to convert.
            None if answer_us.is_none() && cost == 0 => return,
            None => return no_rate(row, answer_us),
        }
    }
    let margin = revenue.saturating_sub(cost);
    row.margin_base = Some(margin);
    row.margin_pct = margin_percent(margin, revenue);
}

/// The currency of what the house is paid for the row, and of what it pays.
pub(super) fn currencies(row: &Cdr) -> (String, String) {
    let paid = tiers::read(&row.tier_amounts).pop().map_or_else(|| row.sell_currency.clone(), |top| top.currency);
    (paid, row.cost_currency.clone())
}

/// The margin of a row whose prices are others now. The exchange rate stays as it was written; `before`: the [`currencies`] it is of.
/// Between others there is none.
pub(super) fn set_margin_again(row: &mut Cdr, before: &(String, String)) {
    row.margin_base = None;
    row.margin_pct.clear();
    let now = currencies(row);
    if now != *before && row.fx_source != RATES_OF_ATTEMPTS {
        row.fx_rate = None;
        row.fx_source.clear();
        row.fx_date.clear();
    }
    let (currency, cost_currency) = now;
    if currency.is_empty() || cost_currency.is_empty() {
        return;
    }
    let cost = match row.fx_rate {
        // Also of an attempt nobody answered, which does not tell what the house is paid in.
        Some(rate_e12) => fx::convert(row.cost_amount, rate_e12),
        None if currency == cost_currency => row.cost_amount,
        None if row.answer_ts.is_none() && row.cost_amount == 0 => return,
        None => return no_rate(row, row.answer_ts),
    };
    let revenue = tiers::read(&row.tier_amounts).pop().map_or(row.sell_amount, |top| top.amount_e8);
    let margin = revenue.saturating_sub(cost);
    row.margin_base = Some(margin);
    row.margin_pct = margin_percent(margin, revenue);
}

/// A row that had a margin through a rate that is none between its currencies now.
pub(super) fn without_rate(row: &mut Cdr, at_us: Option<i64>) {
    (row.margin_base, row.fx_rate) = (None, None);
    row.margin_pct.clear();
    no_rate(row, at_us);
}

/// Two currencies without a rate of the answer's day.
pub(super) fn no_rate(row: &mut Cdr, answer_us: Option<i64>) {
    set(&mut row.fx_source, NO_RATE);
    let day = answer_us.and_then(chrono::DateTime::from_timestamp_micros);
    set(&mut row.fx_date, &day.map_or(String::new(), |t| t.date_naive().to_string()));
}
