//! What a re-rating would change: the rows of each call priced by the terms that hold for it now (or were known at
//! some time), by the same function that priced it first. Nothing is written here: a plan is shown, or becomes an order
//! (`call.rerated`) that the rater carries out.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    tiers,
    v1::{AttemptTerms, CallRerated, Terms, Tier},
};

pub use crate::mediation::{cost_charge, sell_charge};
use crate::mediation::{differs, repriced};

/// Whose prices are looked up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    Sell,
    Cost,
    #[default]
    Both,
}

impl Side {
    pub fn from_name(name: &str) -> Option<Side> {
        match name {
            "sell" => Some(Side::Sell),
            "cost" => Some(Side::Cost),
            "both" => Some(Side::Both),
            _ => None,
        }
    }

    fn sells(self) -> bool {
        self != Side::Cost
    }

    fn costs(self) -> bool {
        self != Side::Sell
    }
}

/// Which rows of a call are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    pub side: Side,
    /// Only prices that came from this deck.
    pub deck: Option<String>,
    /// Only attempts with this carrier; the customer's price then stays.
    pub carrier: Option<String>,
    /// Of customers' prices, only what this account pays: for its own calls and for those of accounts below it.
    pub account: Option<String>,
}

/// What an account pays now for the call of a final: its own, or one of an account below it. The account, the deck it paid by, the
/// row; an error says why there is no price.
pub type SellPrice<'a> = &'a dyn Fn(&str, &str, &Cdr) -> Result<Terms, String>;
/// What the carrier of an attempt charges now.
pub type CostPrice<'a> = &'a dyn Fn(&Cdr) -> Result<Terms, String>;

/// One amount that changes; of a price that is in another currency now, the old one in its, and the new one in its.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of a customer's price; else of the carrier's.
    pub sells: bool,
    pub attempt_no: u32,
    /// Whose price changes; of a carrier's, who called.
    pub account: String,
    pub carrier: String,
    pub destination: String,
    pub currency: String,
    /// Empty of an account above the caller's: the row does not keep it.
    pub old_deck_version: String,
    pub new_deck_version: String,
    pub old_e8: i64,
    pub new_e8: i64,
}

impl Change {
    pub fn delta_e8(&self) -> i64 {
        self.new_e8.saturating_sub(self.old_e8)
    }
}

/// A call that gets new amounts.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub old: Vec<Cdr>,
    pub new: Vec<Cdr>,
    pub sell: Option<Terms>,
    pub tiers: Vec<Tier>,
    pub costs: Vec<AttemptTerms>,
    pub changes: Vec<Change>,
}

/// Prices a call (its final, then its attempts) again. None: nothing changes, or nothing of it is in scope. Errors say why it
/// cannot be priced; it stays as it is.
pub fn plan(rows: &[Cdr], scope: &Scope, sell: SellPrice<'_>, cost: CostPrice<'_>) -> Result<Option<Planned>, String> {
    let Some((last, attempts)) = rows.split_first() else { return Ok(None) };
    // Emergency calls are free whatever decks say, tests are never billed, refused calls have nothing to price.
    if last.emergency_flag || last.test_call || last.disposition == "blocked" || last.rating_status == "error" {
        return Ok(None);
    }
    let from_deck = |deck: &str| !deck.is_empty() && scope.deck.as_deref().is_none_or(|d| d == deck);
    let wanted = |account: &str, deck: &str| {
        scope.side.sells() && scope.carrier.is_none() && from_deck(deck) && scope.account.as_deref().is_none_or(|a| a == account)
    };
    let sold = wanted(&last.account, &last.sell_deck).then(|| sell(&last.account, &last.sell_deck, last)).transpose()?;
    let above = tiers::read(&last.tier_amounts);
    let mut resold = Vec::new();
    for tier in above.iter().filter(|t| wanted(&t.account, &t.deck)) {
        resold.push(Tier { account: tier.account.clone(), terms: Some(sell(&tier.account, &tier.deck, last)?) });
    }
    let mut costs = Vec::new();
    for row in attempts.iter().filter(|_| scope.side.costs()) {
        if scope.carrier.as_deref().is_none_or(|c| c == row.carrier) && from_deck(&row.cost_deck) {
            costs.push(AttemptTerms { attempt_no: row.attempt_no, terms: Some(cost(row)?) });
        }
    }
    // What nobody is charged for costs nothing under any plain terms: fees are what is left.
    if last.disposition != "answered" && attempts.iter().all(|a| a.disposition != "answered") {
        let terms = costs.iter().map(|c| &c.terms).chain(resold.iter().map(|t| &t.terms)).chain([&sold]).flatten();
        let charged = last.sell_amount != 0 || last.cost_amount != 0 || above.iter().any(|t| t.amount_e8 != 0);
        if !charged && terms.into_iter().all(|t| t.fees.is_empty()) {
            return Ok(None);
        }
    }
    // Terms that change nothing are not ordered, so that no row gets a version that says what the one before it said.
    let new = repriced(rows, sold.as_ref(), &resold, &costs)?;
    costs.retain(|c| rows.iter().zip(&new).any(|(old, new)| !old.is_final() && old.attempt_no == c.attempt_no && cost_differs(old, new)));
    let sold = sold.filter(|_| sell_differs(last, &new[0]));
    let paid = tiers::read(&new[0].tier_amounts);
    let of = |account: &str| above.iter().zip(&paid).find(|(old, _)| old.account == account);
    resold.retain(|t| of(&t.account).is_some_and(|(old, new)| old != new));
    if sold.is_none() && resold.is_empty() && costs.is_empty() {
        return Ok(None);
    }
    let new = repriced(rows, sold.as_ref(), &resold, &costs)?;
    if !rows.iter().zip(&new).any(|(old, new)| differs(old, new)) {
        return Ok(None);
    }
    let mut changes = Vec::new();
    for (old, new) in rows.iter().zip(&new) {
        let one = |sells, account: &str, (old_e8, new_e8): (i64, i64), currency: &str, versions: (&str, &str)| Change {
            sells,
            attempt_no: old.attempt_no,
            account: account.to_owned(),
            carrier: old.carrier.clone(),
            destination: old.b_dest_group.clone(),
            currency: currency.to_owned(),
            old_deck_version: versions.0.to_owned(),
            new_deck_version: versions.1.to_owned(),
            old_e8,
            new_e8,
        };
        // Amounts in two currencies have no difference: the one goes, the other comes, as they are posted.
        let mut tell = |sells, account: &str, amounts: (i64, i64), currencies: (&str, &str), versions: (&str, &str)| match currencies {
            (was, is) if was == is || was.is_empty() => changes.push(one(sells, account, amounts, is, versions)),
            (was, is) => changes.extend([one(sells, account, (amounts.0, 0), was, versions), one(sells, account, (0, amounts.1), is, versions)]),
        };
        if old.is_final() && sold.is_some() {
            let versions = (old.sell_deck_version.as_str(), new.sell_deck_version.as_str());
            tell(true, &old.account, (old.sell_amount, new.sell_amount), (&old.sell_currency, &new.sell_currency), versions);
        }
        for tier in resold.iter().filter(|_| old.is_final()) {
            let version = tier.terms.as_ref().map_or("", |t| t.deck_version.as_str());
            if let Some((was, is)) = of(&tier.account) {
                tell(true, &tier.account, (was.amount_e8, is.amount_e8), (&was.currency, &is.currency), ("", version));
            }
        }
        if !old.is_final() && costs.iter().any(|c| c.attempt_no == old.attempt_no) {
            let versions = (old.cost_deck_version.as_str(), new.cost_deck_version.as_str());
            tell(false, &old.account, (old.cost_amount, new.cost_amount), (&old.cost_currency, &new.cost_currency), versions);
        }
    }
    Ok(Some(Planned { old: rows.to_vec(), new, sell: sold, tiers: resold, costs, changes }))
}

/// Of the caller's own price.
fn sell_differs(old: &Cdr, new: &Cdr) -> bool {
    let blind = |r: &Cdr| {
        let cost = (0, 0, None, None, String::new(), String::new(), String::new());
        let mut r = Cdr { tier_amounts: String::new(), ..r.clone() };
        (r.cost_amount, r.billed_sec_cost, r.cost_rate, r.cost_connect, r.cost_increment, r.cost_currency, r.cost_lines) = cost;
        r
    };
    differs(&blind(old), &blind(new))
}

fn cost_differs(old: &Cdr, new: &Cdr) -> bool {
    let blind = |r: &Cdr| {
        let sell = (0, 0, None, None, String::new(), String::new(), String::new());
        let mut r = Cdr { tier_amounts: String::new(), ..r.clone() };
        (r.sell_amount, r.billed_sec_sell, r.sell_rate, r.sell_connect, r.sell_increment, r.sell_currency, r.sell_lines) = sell;
        r
    };
    differs(&blind(old), &blind(new))
}

impl Planned {
    /// The order to the rater. `read_us`: when the rows were read.
    pub fn order(&self, batch: &str, reason: &str, actor: &str, read_us: i64) -> CallRerated {
        let bytes = |row: &Cdr| Cdr { ingest_ts: None, ..row.clone() }.encode_to_vec();
        CallRerated {
            call_id: self.old[0].call_uuid.clone(),
            batch: batch.to_owned(),
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            rows: self.old.iter().map(bytes).collect(),
            read_us,
            sell: self.sell.clone(),
            costs: self.costs.clone(),
            tiers: self.tiers.clone(),
        }
    }
}

/// Changes added up by side, account or carrier, and destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub rows: BTreeMap<Key, Totals>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub sells: bool,
    /// The account, of a customer's price; the carrier, of a carrier's.
    pub party: String,
    pub destination: String,
    pub currency: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub calls: u64,
    pub old_e8: i128,
    pub new_e8: i128,
}

impl Summary {
    pub fn add(&mut self, sells: bool, party: &str, destination: &str, currency: &str, old_e8: i64, new_e8: i64) {
        let key = Key { sells, party: party.to_owned(), destination: destination.to_owned(), currency: currency.to_owned() };
        let totals = self.rows.entry(key).or_default();
        totals.calls += 1;
        totals.old_e8 += i128::from(old_e8);
        totals.new_e8 += i128::from(new_e8);
    }

    pub fn take(&mut self, change: &Change) {
        let party = if change.sells { &change.account } else { &change.carrier };
        self.add(change.sells, party, &change.destination, &change.currency, change.old_e8, change.new_e8);
    }
}
