//! What a re-rating would change: the rows of each call priced by the terms that hold for it now (or were known at
//! some time), by the same function that priced it first. Nothing is written here: a plan is shown, or becomes an order
//! (`call.rerated`) that the rater carries out.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    v1::{AttemptTerms, CallRerated, Terms},
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
}

/// The new price of a row: of a final for its customer, of an attempt for its carrier. None = there is none now.
pub type Price<'a> = &'a dyn Fn(&Cdr) -> Option<Terms>;

/// One amount that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of the customer's price; else of the carrier's.
    pub sells: bool,
    pub attempt_no: u32,
    pub account: String,
    pub carrier: String,
    pub destination: String,
    pub currency: String,
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
    pub costs: Vec<AttemptTerms>,
    pub changes: Vec<Change>,
}

/// Prices a call (its final, then its attempts) again. None: nothing changes, or nothing of it is in scope. Errors say why it
/// cannot be priced; it stays as it is.
pub fn plan(rows: &[Cdr], scope: &Scope, sell: Price<'_>, cost: Price<'_>) -> Result<Option<Planned>, String> {
    let Some((last, attempts)) = rows.split_first() else { return Ok(None) };
    // Emergency calls are free whatever decks say, tests are never billed, refused calls have nothing to price.
    if last.emergency_flag || last.test_call || last.disposition == "blocked" || last.rating_status == "error" {
        return Ok(None);
    }
    let from_deck = |deck: &str| scope.deck.as_deref().is_none_or(|d| d == deck);
    let answered = last.disposition == "answered";
    let mut sold = None;
    if scope.side.sells() && scope.carrier.is_none() && from_deck(&last.sell_deck) && !last.sell_deck.is_empty() {
        sold = Some(sell(last).ok_or_else(|| format!("there is no price for {} now", last.b_number_e164))?);
    }
    let mut costs = Vec::new();
    for row in attempts.iter().filter(|_| scope.side.costs()) {
        let wanted = scope.carrier.as_deref().is_none_or(|c| c == row.carrier) && from_deck(&row.cost_deck) && !row.cost_deck.is_empty();
        if wanted {
            let terms = cost(row).ok_or_else(|| format!("{} has no price for {} now", row.carrier, row.b_number_e164))?;
            costs.push(AttemptTerms { attempt_no: row.attempt_no, terms: Some(terms) });
        }
    }
    // What nobody is charged for costs nothing under any plain terms: fees are what is left.
    if !answered && attempts.iter().all(|a| a.disposition != "answered") {
        let fees = |t: &Terms| !t.fees.is_empty();
        if sold.as_ref().is_none_or(|t| !fees(t)) && costs.iter().filter_map(|c| c.terms.as_ref()).all(|t| !fees(t)) && last.sell_amount == 0 && last.cost_amount == 0 {
            return Ok(None);
        }
    }
    if sold.is_none() && costs.is_empty() {
        return Ok(None);
    }
    let new = repriced(rows, sold.as_ref(), &costs)?;
    // Terms that change nothing are not ordered, so that no row gets a version that says what the one before it said.
    costs.retain(|c| rows.iter().zip(&new).any(|(old, new)| !old.is_final() && old.attempt_no == c.attempt_no && cost_differs(old, new)));
    let sold = sold.filter(|_| sell_differs(&rows[0], &new[0]));
    if sold.is_none() && costs.is_empty() {
        return Ok(None);
    }
    let new = repriced(rows, sold.as_ref(), &costs)?;
    if !rows.iter().zip(&new).any(|(old, new)| differs(old, new)) {
        return Ok(None);
    }
    let mut changes = Vec::new();
    for (old, new) in rows.iter().zip(&new) {
        let one = |sells, old_e8, new_e8, currency: &str, versions: (&str, &str)| Change {
            sells,
            attempt_no: old.attempt_no,
            account: old.account.clone(),
            carrier: old.carrier.clone(),
            destination: old.b_dest_group.clone(),
            currency: currency.to_owned(),
            old_deck_version: versions.0.to_owned(),
            new_deck_version: versions.1.to_owned(),
            old_e8,
            new_e8,
        };
        if old.is_final() && sold.is_some() {
            changes.push(one(true, old.sell_amount, new.sell_amount, &new.sell_currency, (&old.sell_deck_version, &new.sell_deck_version)));
        }
        if !old.is_final() && costs.iter().any(|c| c.attempt_no == old.attempt_no) {
            changes.push(one(false, old.cost_amount, new.cost_amount, &new.cost_currency, (&old.cost_deck_version, &new.cost_deck_version)));
        }
    }
    Ok(Some(Planned { old: rows.to_vec(), new, sell: sold, costs, changes }))
}

fn sell_differs(old: &Cdr, new: &Cdr) -> bool {
    let blind = |r: &Cdr| Cdr { cost_amount: 0, billed_sec_cost: 0, cost_rate: None, cost_connect: None, cost_increment: String::new(), cost_currency: String::new(), cost_lines: String::new(), ..r.clone() };
    differs(&blind(old), &blind(new))
}

fn cost_differs(old: &Cdr, new: &Cdr) -> bool {
    let blind = |r: &Cdr| Cdr { sell_amount: 0, billed_sec_sell: 0, sell_rate: None, sell_connect: None, sell_increment: String::new(), sell_currency: String::new(), sell_lines: String::new(), ..r.clone() };
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
            tiers: Vec::new(),
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
