//! What each account above the caller's paid for a call (R-20), as column `tier_amounts` has it, and a call's row as one account may see
//! it (R-21): what it pays itself and what those below it pay, nothing of what is above.
//!
//! The column is a JSON array, nearest first; empty = nobody is above:
//!
//! `[{"account":"acme","deck":"wholesale","amount":"0.006000","currency":"USD","rate":"0.0060","billed_sec":60,"lines":[…]},…]`
//!
//! `rate` is per minute. `lines` are as `sell_lines`, where they say more than the amount. Of a tier without a price only the first four are there.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    cdr::Cdr,
    money::{AMOUNT_PLACES, RATE_PLACES, parse_scaled},
};

/// What one account paid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tier {
    pub account: String,
    pub deck: String,
    /// 1e-8 of the currency's unit.
    pub amount_e8: i64,
    /// Empty: it had no price.
    pub currency: String,
    /// 1e-12 per minute.
    pub rate_e12: Option<i64>,
    pub billed_s: u64,
    /// JSON as in `sell_lines`; empty = the amount is one line, the usage.
    pub lines: String,
}

/// Reads a column, nearest first. What is not in its form is left out.
pub fn read(column: &str) -> Vec<Tier> {
    if column.is_empty() {
        return Vec::new();
    }
    let values: Vec<Value> = serde_json::from_str(column).unwrap_or_default();
    values.iter().filter_map(tier).collect()
}

fn tier(value: &Value) -> Option<Tier> {
    let text = |name: &str| Some(value[name].as_str()?.to_owned());
    Some(Tier {
        account: text("account")?,
        deck: text("deck").unwrap_or_default(),
        amount_e8: parse_scaled(value["amount"].as_str()?, AMOUNT_PLACES).ok()?,
        currency: text("currency")?,
        rate_e12: value["rate"].as_str().and_then(|r| parse_scaled(r, RATE_PLACES).ok()),
        billed_s: value["billed_sec"].as_u64().unwrap_or(0),
        lines: if value["lines"].is_array() { value["lines"].to_string() } else { String::new() },
    })
}

/// What a column has in it if this account is one of those that paid, and otherwise has not: for stores to look for.
pub fn mark(account: &str) -> String {
    format!("{{\"account\":{},", Value::from(account))
}

/// The row as a bill of `payer` has it: its own call, or a call of an account below it with what `payer` pays for that in place of what
/// the caller's account pays. Nothing of amounts above is in it (R-21). None: `payer` pays nothing of this call.
pub fn paid_by(row: &Arc<Cdr>, payer: &str) -> Option<Arc<Cdr>> {
    if row.account == payer {
        return Some(told_to(row, payer));
    }
    if row.tier_amounts.is_empty() {
        return None;
    }
    let tier = read(&row.tier_amounts).into_iter().find(|t| t.account == payer)?;
    let mut seen = Cdr::clone(row);
    (seen.sell_amount, seen.sell_currency, seen.sell_rate, seen.billed_sec_sell) = (tier.amount_e8, tier.currency, tier.rate_e12, tier.billed_s);
    (seen.sell_deck, seen.sell_lines) = (tier.deck, tier.lines);
    // These are of the caller's account's price.
    for other in [
        &mut seen.sell_deck_version, &mut seen.sell_prefix, &mut seen.sell_increment, &mut seen.sell_surcharges, &mut seen.tax_lines,
        &mut seen.balance_type, &mut seen.tier_amounts, &mut seen.rerate_reason, &mut seen.rerate_actor,
    ] {
        other.clear();
    }
    (seen.sell_connect, seen.dip_fees, seen.per_call_fees) = (None, 0, 0);
    (seen.credit_reservation_id, seen.credit_held) = (None, None);
    Some(Arc::new(seen))
}

/// The row without what accounts above `account` pay (R-21): of those above the caller's, it sees itself and who is below it. Nor with
/// the reason of a re-rating, which may be about a carrier's price.
pub fn told_to(row: &Arc<Cdr>, account: &str) -> Arc<Cdr> {
    // Why prices were corrected and by whom is the house's; what a customer is told of it is on its note.
    let row = &match row.rerate_reason.is_empty() && row.rerate_actor.is_empty() {
        true => row.clone(),
        false => Arc::new(Cdr { rerate_reason: String::new(), rerate_actor: String::new(), ..Cdr::clone(row) }),
    };
    if row.tier_amounts.is_empty() {
        return row.clone();
    }
    let all: Vec<Value> = serde_json::from_str(&row.tier_amounts).unwrap_or_default();
    let known = match all.iter().position(|t| t["account"] == account) {
        Some(own) if row.account != account => &all[..=own],
        _ => &[],
    };
    if known.len() == all.len() {
        return row.clone();
    }
    let tier_amounts = if known.is_empty() { String::new() } else { Value::from(known.to_vec()).to_string() };
    Arc::new(Cdr { tier_amounts, ..Cdr::clone(row) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = concat!(
        r#"[{"account":"mid","deck":"m","amount":"0.008000","currency":"EUR","rate":"0.0080","billed_sec":60,"lines":[{"name":"usage","amount":"0.007000"},{"name":"dip","amount":"0.001000"}]},"#,
        r#"{"account":"acme","deck":"wholesale","amount":"0.006000","currency":"USD"}]"#
    );

    fn row() -> Arc<Cdr> {
        Arc::new(Cdr {
            account: "shop".into(),
            root_account: "acme".into(),
            sell_deck: "retail".into(),
            sell_prefix: "44".into(),
            sell_amount: 1_500_000,
            sell_currency: "GBP".into(),
            sell_rate: Some(15_000_000_000),
            sell_connect: Some(1),
            billed_sec_sell: 61,
            per_call_fees: 5,
            tier_amounts: TWO.into(),
            ..Cdr::default()
        })
    }

    #[test]
    fn r_20_a_tier_reads_back_also_from_before_it_had_a_rate() {
        let mut read = read(TWO);
        let lines: Value = serde_json::from_str(&std::mem::take(&mut read[0].lines)).expect("JSON");
        assert_eq!(lines, serde_json::json!([{ "name": "usage", "amount": "0.007000" }, { "name": "dip", "amount": "0.001000" }]));
        let mid = Tier { account: "mid".into(), deck: "m".into(), amount_e8: 800_000, currency: "EUR".into(), rate_e12: Some(8_000_000_000), billed_s: 60, ..Tier::default() };
        assert_eq!(read[0], mid);
        assert_eq!((read[1].amount_e8, read[1].rate_e12, read[1].billed_s, read[1].lines.as_str()), (600_000, None, 0, ""));
        for (bad, left) in [("", 0), ("[", 0), ("{}", 0), (r#"[{"account":"a"},{"account":"b","amount":"1","currency":"EUR"}]"#, 1)] {
            assert_eq!(super::read(bad).len(), left, "{bad}");
        }
        assert!(TWO.contains(&mark("mid")) && TWO.contains(&mark("acme")));
        assert!(!TWO.contains(&mark("m")) && !TWO.contains(&mark("shop")));
    }

    #[test]
    fn r_21_each_account_sees_what_it_pays_and_nothing_above() {
        let seen = |payer: &str| {
            let row = paid_by(&row(), payer)?;
            Some((row.account.clone(), row.sell_amount, row.sell_currency.clone(), row.sell_deck.clone(), row.billed_sec_sell, row.tier_amounts.clone()))
        };
        let of = |amount, currency: &str, deck: &str, s| Some(("shop".to_owned(), amount, currency.to_owned(), deck.to_owned(), s, String::new()));
        assert_eq!(seen("shop"), of(1_500_000, "GBP", "retail", 61));
        assert_eq!(seen("mid"), of(800_000, "EUR", "m", 60));
        assert_eq!(seen("acme"), of(600_000, "USD", "wholesale", 0));
        assert_eq!(seen("other"), None);
        let mid = paid_by(&row(), "mid").expect("it pays");
        assert_eq!((mid.sell_prefix.as_str(), mid.sell_connect, mid.per_call_fees), ("", None, 0), "the caller's price is not its");
    }

    #[test]
    fn r_21_why_a_carriers_price_was_corrected_is_not_told() {
        for row in [Cdr { tier_amounts: String::new(), ..Cdr::clone(&row()) }, Cdr::clone(&row())] {
            let row = Arc::new(Cdr { rerate_reason: "alpha was too dear".into(), rerate_actor: "finance".into(), ..row });
            for seen in [told_to(&row, "shop"), told_to(&row, "mid"), paid_by(&row, "shop").expect("its call")] {
                assert_eq!((seen.rerate_reason.as_str(), seen.rerate_actor.as_str()), ("", ""));
            }
            assert_eq!(paid_by(&row, "mid").map_or(String::new(), |r| r.rerate_reason.clone()), "");
        }
    }

    #[test]
    fn r_21_amounts_above_an_account_are_cut_off_for_it() {
        let known = |account: &str| read(&told_to(&row(), account).tier_amounts).into_iter().map(|t| t.account).collect::<Vec<_>>();
        assert_eq!((known("shop"), known("mid"), known("acme")), (vec![], vec!["mid".to_owned()], vec!["mid".to_owned(), "acme".to_owned()]));
        assert!(known("other").is_empty());
    }
}
