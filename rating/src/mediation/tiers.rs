//! The money between the customer's charge and the carrier's cost: what each account above the caller's pays, and
//! the margin, where need be through the exchange rate that the answer named.

use tollgate_schemas::{
    cdr::Cdr,
    money::{AMOUNT_PLACES, format_rate, format_scaled},
    tiers,
    v1::{Fx, LedgerEntry, Tier},
};

use super::{
    charge::{LegCharge, sell_charge_by},
    state::{Answered, Call},
    text::{margin_percent, push_json, set},
};
use crate::{fx, ledger, ledger::posting};

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
        column.push_str(if column.is_empty() { "[{\"account\":" } else { ",{\"account\":" });
        push_json(column, &one.tier.account);
        column.push_str(",\"deck\":");
        push_json(column, one.tier.terms.as_ref().map_or("", |t| t.deck.as_str()));
        column.push_str(",\"amount\":\"");
        column.push_str(&format_scaled(one.charge.charge.amount_e8, AMOUNT_PLACES, 6));
        column.push_str("\",\"currency\":");
        push_json(column, one.currency());
        if let Some(terms) = &one.tier.terms {
            column.push_str(",\"rate\":\"");
            column.push_str(&format_rate(terms.rate_e12));
            column.push_str("\",\"billed_sec\":");
            column.push_str(&one.charge.charge.billed_s.to_string());
            one.charge.write_lines(&mut lines);
            if !lines.is_empty() {
                column.push_str(",\"lines\":");
                column.push_str(&lines);
            }
        }
        column.push('}');
    }
    if !column.is_empty() {
        column.push(']');
    }
}

/// Who pays whom, each in its own currency: the caller's account the one above, each account the next, the topmost us.
pub(super) fn entries(entries: &mut Vec<LedgerEntry>, row: &Cdr, paid: &[Paid<'_>], house: &str) {
    let payers = std::iter::once((row.account.as_str(), row.sell_amount, row.sell_currency.as_str()))
        .chain(paid.iter().map(|p| (p.tier.account.as_str(), p.charge.charge.amount_e8, p.currency())));
    for (at, (account, amount, currency)) in payers.enumerate() {
        if amount == 0 {
            continue;
        }
        let owes = ledger::customer(&row.root_account, account);
        let to = match paid.get(at) {
            Some(above) => ledger::resale(&row.root_account, &above.tier.account),
            None => house.to_owned(),
        };
        posting::transfer(entries, to, owes, amount, currency);
    }
}

/// The margin of the row: what the house is paid less what it pays. In another currency than the cost's only through the
/// rate the answer named; without one there is none, and `fx_source` says so.
pub(super) fn set_margin(row: &mut Cdr, paid: &[Paid<'_>], rate: Option<&Fx>, answer_us: Option<i64>) {
    let (revenue, currency) = match paid.last() {
        Some(top) => (top.charge.charge.amount_e8, top.currency()),
        None => (row.sell_amount, row.sell_currency.as_str()),
    };
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
            None => {
                set(&mut row.fx_source, NO_RATE);
                let day = answer_us.and_then(chrono::DateTime::from_timestamp_micros);
                set(&mut row.fx_date, &day.map_or(String::new(), |t| t.date_naive().to_string()));
                return;
            }
        }
    }
    let margin = revenue.saturating_sub(cost);
    row.margin_base = Some(margin);
    row.margin_pct = margin_percent(margin, revenue);
}

/// The account above the caller's, which the caller's account pays; none where that is the house.
pub(super) fn nearest(row: &Cdr) -> Option<String> {
    tiers::read(&row.tier_amounts).into_iter().next().map(|t| t.account)
}

/// The margin of a row whose sell or cost was rated again. What the accounts above paid stays as it was written, and so does the
/// exchange rate; without one there still is none.
pub(super) fn set_margin_again(row: &mut Cdr) {
    row.margin_base = None;
    row.margin_pct.clear();
    let (revenue, currency) = match tiers::read(&row.tier_amounts).pop() {
        Some(top) => (top.amount_e8, top.currency),
        None => (row.sell_amount, row.sell_currency.clone()),
    };
    if currency.is_empty() || row.cost_currency.is_empty() {
        return;
    }
    let cost = match row.fx_rate {
        _ if currency == row.cost_currency => row.cost_amount,
        Some(rate_e12) => fx::convert(row.cost_amount, rate_e12),
        None => return,
    };
    let margin = revenue.saturating_sub(cost);
    row.margin_base = Some(margin);
    row.margin_pct = margin_percent(margin, revenue);
}
