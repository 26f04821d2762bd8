//! What moved accounts' money beside calls, as a fold over topic `ledger`: payments, adjustments and deposits, and which documents are
//! posted. For statements and ageing; balances themselves are [`crate::ledger::Balances`].
//!
//! **Limit.** The newest [`MAX_MOVEMENTS`] of an account are kept one by one, older ones as their sum: a statement that begins before
//! the oldest of them is refused ([`Account::known_since_us`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
};

/// Of one account.
pub const MAX_MOVEMENTS: usize = 10_000;

/// Money that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub at_us: i64,
    /// `payment`, `adjustment` or `deposit`.
    pub kind: String,
    pub currency: String,
    /// In the account's favour.
    pub amount_e8: i64,
    /// Who booked it, and why.
    pub reason: String,
    /// Of the posting.
    pub id: Id,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    movements: VecDeque<Movement>,
    /// By kind and currency: what is no longer kept one by one.
    older: BTreeMap<(String, String), i64>,
    forgotten_us: Option<i64>,
}

impl Account {
    /// In the order they were posted.
    pub fn movements(&self) -> impl Iterator<Item = &Movement> {
        self.movements.iter()
    }

    /// Sum of what is no longer kept, in the account's favour.
    pub fn older_e8(&self, kinds: &[&str], currency: &str) -> i64 {
        let of = self.older.iter().filter(|((kind, c), _)| kinds.contains(&kind.as_str()) && c == currency);
        of.fold(0, |sum: i64, (_, e8)| sum.saturating_add(*e8))
    }

    /// Everything after this instant is kept one by one; None: everything is.
    pub fn known_since_us(&self) -> Option<i64> {
        self.forgotten_us
    }

    fn add(&mut self, movement: Movement) {
        self.movements.push_back(movement);
        if self.movements.len() > MAX_MOVEMENTS
            && let Some(old) = self.movements.pop_front()
        {
            self.forgotten_us = self.forgotten_us.max(Some(old.at_us));
            let sum = self.older.entry((old.kind, old.currency)).or_default();
            *sum = sum.saturating_add(old.amount_e8);
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// By `root/account`, as the ledger names them.
    accounts: BTreeMap<String, Account>,
    documents: BTreeSet<String>,
}

impl Journal {
    pub fn apply(&mut self, event: &Event) {
        let Some(Body::LedgerPosted(posted)) = &event.body else { return };
        match posted.kind.as_str() {
            "invoice" | "credit_note" | "debit_note" => drop(self.documents.insert(posted.reason.clone())),
            "payment" | "adjustment" | "deposit" => {
                for entry in &posted.entries {
                    let Some(("account" | "deposit", name)) = entry.account.split_once(':') else { continue };
                    self.accounts.entry(name.to_owned()).or_default().add(Movement {
                        at_us: event.occurred_us,
                        kind: posted.kind.clone(),
                        currency: entry.currency.clone(),
                        amount_e8: entry.amount_e8.saturating_neg(),
                        reason: posted.reason.clone(),
                        id: event.id(),
                    });
                }
            }
            _ => {}
        }
    }

    /// None for an account nothing was ever booked for.
    pub fn account(&self, root: &str, account: &str) -> Option<&Account> {
        self.accounts.get(&format!("{root}/{account}"))
    }

    /// Whether what a document adds is posted. `number`: as people see it.
    pub fn has_posted(&self, number: &str) -> bool {
        self.documents.contains(number)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::v1::{LedgerEntry, LedgerPosted};

    use super::*;
    use crate::ledger;

    fn posted(kind: &str, from: String, amount_e8: i64, at_us: i64) -> Event {
        let entry = |account: String, amount_e8| LedgerEntry { account, amount_e8, currency: "EUR".into() };
        let body = LedgerPosted { kind: kind.into(), entries: vec![entry(ledger::cash(0), amount_e8), entry(from, -amount_e8)], reason: "2026-1".into(), ..LedgerPosted::default() };
        Event { occurred_us: at_us, body: Some(Body::LedgerPosted(body)), ..Event::default() }
    }

    #[test]
    fn fn_04_payments_and_deposits_are_movements_in_the_accounts_favour_and_calls_are_none() {
        let mut journal = Journal::default();
        journal.apply(&posted("payment", ledger::customer("acme", "shop"), 500, 1));
        journal.apply(&posted("deposit", ledger::deposit("acme", "shop"), 200, 2));
        journal.apply(&posted("usage", ledger::customer("acme", "shop"), -70, 3));
        journal.apply(&posted("invoice", ledger::customer("acme", "shop"), -10, 4));
        let told: Vec<_> = journal.account("acme", "shop").expect("known").movements().map(|m| (m.at_us, m.kind.as_str(), m.amount_e8)).collect();
        assert_eq!(told, [(1, "payment", 500), (2, "deposit", 200)]);
        assert!(journal.has_posted("2026-1") && !journal.has_posted("2026-2"));
        assert_eq!(journal.account("acme", "acme"), None);
    }

    #[test]
    fn fn_04_beyond_the_limit_the_oldest_become_a_sum() {
        let mut journal = Journal::default();
        for n in 0..MAX_MOVEMENTS as i64 + 3 {
            journal.apply(&posted("payment", ledger::customer("acme", "acme"), 10, n));
        }
        let account = journal.account("acme", "acme").expect("known");
        assert_eq!((account.movements().count(), account.older_e8(&["payment"], "EUR"), account.known_since_us()), (MAX_MOVEMENTS, 30, Some(2)));
        assert_eq!((account.older_e8(&["deposit"], "EUR"), account.older_e8(&["payment"], "USD")), (0, 0));
    }
}
