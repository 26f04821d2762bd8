//! The ledger (FN-08): double entry, append only. A posting is a set of entries that sum to zero per currency; what was
//! posted is never changed, a correction is a further posting of the difference.
//!
//! Chart of accounts, positive = debit:
//!
//! | account | of | a call adds |
//! |---|---|---|
//! | `account:<root>/<account>` | a customer: what it owes us | + sell |
//! | `resale:<root>/<account>` | an account with others below it: what those pay it (R-20) | − sell of the one below |
//! | `revenue/<partition>` | us | − sell |
//! | `cost/<partition>` | us | + cost |
//! | `carrier:<name>/<partition>` | a carrier: what we owe it, negative | − cost |
//! | `held:<root>/<account>` | a customer with a limit: what its calls that are up hold | + hold, − at the end |
//! | `holds/<partition>` | its other side | − hold, + at the end |
//! | `deposit:<root>/<account>` | a customer: what we keep for it, negative | |
//! | `cash/<partition>` | us: payments and deposits, positive = came in | |
//! | `adjustments/<partition>` | us: what was booked by hand, positive = given away | |
//! | `exchange/<partition>` | us: what was invoiced in another currency than its calls', one side in each | |
//! | `tax/<partition>` | us: taxes of invoices, to be paid on, negative | |
//!
//! A call of an account with a limit holds before it rings, holds more as it goes on, and gives all of it back with the posting of
//! its charge (kinds `hold`, then `usage`, or `void` where it costs nothing): at any place of the log an account's `held:` is what its
//! open calls hold. Accounts without a limit hold nothing, so their calls have one posting.
//!
//! An invoice or note (kinds `invoice`, `credit_note`, `debit_note`) posts only what it adds to the calls that are posted already:
//! `account:` + , `revenue/` and `tax/` −; of an account that buys from another, `resale:` of that one −.
//!
//! What our own accounts come to has no bound but their width (128 bits), so no posting is left out for what others were posted. A
//! customer's is kept within [`MAX_BALANCE_E8`] where money is booked by hand ([`takes`]).
//!
//! A customer's calls are all in one partition, so its account has one writer; ours and the carriers' are split by
//! partition and summed on read (design §2).

use std::collections::{BTreeMap, btree_map::Entry};

use thiserror::Error;
use tollgate_schemas::{
    id::Id,
    money::format_amount,
    v1::{LedgerEntry, LedgerPosted},
};

pub use of_call::{Moved, OfCall};

mod of_call;
pub mod posting;

/// Terminal: the posting was not made by this program's rules; nothing of it was applied.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadPosting {
    #[error("a posting's entries sum to {sum_e8}e-8 {currency}, not to zero")]
    Unbalanced { currency: String, sum_e8: i128 },
    #[error("the balance of {account} in {currency} is beyond what can be counted")]
    TooLarge { account: String, currency: String },
}

/// The most one payment, adjustment or deposit may be: 10,000,000,000 units.
pub const MAX_PAYMENT_E8: i64 = 1_000_000_000_000_000_000;
/// The most that may be owed to or by an account, or kept for it, once something was booked for it: 40,000,000,000 units. As much again is
/// left for its calls.
pub const MAX_BALANCE_E8: i64 = 4_000_000_000_000_000_000;

/// Why money is not booked for an account.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum NotTaken {
    #[error("one booking is at most {}", format_amount(MAX_PAYMENT_E8))]
    TooMuch,
    #[error("the account would come to {}, at most {} can be counted", format_amount(saturated(*.0)), format_amount(MAX_BALANCE_E8))]
    Beyond(i128),
    #[error("only {} is kept as deposit: no more can be given back", format_amount(*.0))]
    NotKept(i64),
}

/// Whether money can be booked, in the account's favour: by what it owes and what is kept for it.
pub fn takes(kind: &str, amount_e8: i64, owed_e8: i64, deposits_e8: i64) -> Result<(), NotTaken> {
    if amount_e8.unsigned_abs() > MAX_PAYMENT_E8.unsigned_abs() {
        return Err(NotTaken::TooMuch);
    }
    let (amount, deposit) = (i128::from(amount_e8), kind == "deposit");
    let has = if deposit { i128::from(deposits_e8) } else { -i128::from(owed_e8) };
    let comes_to = has + amount;
    if deposit && comes_to < 0 && amount < 0 {
        return Err(NotTaken::NotKept(deposits_e8));
    }
    // What leads back is taken.
    if comes_to.abs() > i128::from(MAX_BALANCE_E8).max(has.abs()) {
        return Err(NotTaken::Beyond(comes_to));
    }
    Ok(())
}

/// What a payment with a reference is known by, whatever event says it.
pub fn reference(root: &str, account: &str, reference: &str) -> Id {
    Id::derived("payment", Id::NIL, &format!("{root}/{account}/{reference}"), 0)
}

fn saturated(e8: i128) -> i64 {
    i64::try_from(e8).unwrap_or(if e8 < 0 { i64::MIN } else { i64::MAX })
}

/// What a customer owes.
pub fn customer(root: &str, account: &str) -> String {
    format!("account:{root}/{account}")
}

/// What an account is owed by those it resells to, negative: its income, apart from what it owes itself.
pub fn resale(root: &str, account: &str) -> String {
    format!("resale:{root}/{account}")
}

pub fn revenue(partition: u16) -> String {
    format!("revenue/{partition}")
}

pub fn cost(partition: u16) -> String {
    format!("cost/{partition}")
}

/// What a customer's open calls hold.
pub fn held(root: &str, account: &str) -> String {
    format!("held:{root}/{account}")
}

pub fn holds(partition: u16) -> String {
    format!("holds/{partition}")
}

/// What we keep for a customer.
pub fn deposit(root: &str, account: &str) -> String {
    format!("deposit:{root}/{account}")
}

pub fn cash(partition: u16) -> String {
    format!("cash/{partition}")
}

pub fn adjustments(partition: u16) -> String {
    format!("adjustments/{partition}")
}

pub fn exchange(partition: u16) -> String {
    format!("exchange/{partition}")
}

pub fn tax(partition: u16) -> String {
    format!("tax/{partition}")
}

pub fn carrier(name: &str, partition: u16) -> String {
    format!("carrier:{name}/{partition}")
}

/// All balances as a fold over topic `ledger`. Which postings were applied is the reader's position in the log: each is
/// to be applied once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balances {
    /// Account, then currency; accounts that came back to zero stay.
    by_account: BTreeMap<String, BTreeMap<String, i128>>,
}

impl Balances {
    /// Applies one posting, whole or not at all.
    pub fn apply(&mut self, posted: &LedgerPosted) -> Result<(), BadPosting> {
        check(&posted.entries)?;
        let mut next: BTreeMap<(&str, &str), i128> = BTreeMap::new();
        for e in &posted.entries {
            let old = match next.entry((&e.account, &e.currency)) {
                Entry::Occupied(o) => *o.get(),
                Entry::Vacant(_) => self.exact(&e.account, &e.currency),
            };
            let sum = old
                .checked_add(i128::from(e.amount_e8))
                .ok_or_else(|| BadPosting::TooLarge { account: e.account.clone(), currency: e.currency.clone() })?;
            next.insert((&e.account, &e.currency), sum);
        }
        for ((account, currency), sum) in next {
            self.by_account.entry(account.to_owned()).or_default().insert(currency.to_owned(), sum);
        }
        Ok(())
    }

    /// Sum of an account's entries in one currency, in 1e-8 of its unit; 0 for an unknown account.
    pub fn exact(&self, account: &str, currency: &str) -> i128 {
        self.by_account.get(account).and_then(|by| by.get(currency)).copied().unwrap_or(0)
    }

    /// The same; one beyond 64 bits is shown at their end ([`Balances::shown_difference`]).
    pub fn balance(&self, account: &str, currency: &str) -> i64 {
        saturated(self.exact(account, currency))
    }

    /// What a customer's account ([`customer`]) owes, by currency; currencies never meet.
    pub fn owed<'a>(&'a self, account: &str) -> impl Iterator<Item = (&'a str, i64)> + use<'a> {
        self.by_account.get(account).into_iter().flatten().map(|(currency, e8)| (currency.as_str(), saturated(*e8)))
    }

    /// Every balance: account, currency, amount.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, i128)> {
        self.by_account.iter().flat_map(|(account, by)| by.iter().map(move |(currency, e8)| (account.as_str(), currency.as_str(), *e8)))
    }

    /// The sum over all accounts by currency: zero in each, or the ledger is broken.
    pub fn totals(&self) -> BTreeMap<&str, i128> {
        let mut sums = BTreeMap::new();
        for (_, currency, e8) in self.iter() {
            *sums.entry(currency).or_default() += e8;
        }
        sums
    }

    /// The largest sum of any currency over the customers' balances as they are shown and ours: not zero where a balance of theirs cannot be
    /// shown, or a posting was left out on one side.
    pub fn shown_difference(&self) -> i128 {
        let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
        for (account, currency, e8) in self.iter() {
            let ours = !account.contains(':');
            *sums.entry(currency).or_default() += if ours { e8 } else { i128::from(saturated(e8)) };
        }
        sums.values().map(|sum| sum.abs()).max().unwrap_or(0)
    }
}

/// Entries of one posting sum to zero per currency.
pub fn check(entries: &[LedgerEntry]) -> Result<(), BadPosting> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for e in entries {
        *sums.entry(&e.currency).or_default() += i128::from(e.amount_e8);
    }
    match sums.into_iter().find(|(_, sum)| *sum != 0) {
        Some((currency, sum_e8)) => Err(BadPosting::Unbalanced { currency: currency.to_owned(), sum_e8 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
