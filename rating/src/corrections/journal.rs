//! What moved accounts' money beside calls, as a fold over topic `ledger`: payments, adjustments and deposits, and which documents are
//! posted. For statements, ageing, and who asks to book the same again; balances themselves are [`crate::ledger::Balances`].
//!
//! An account's movements are its own whatever hierarchy it was in: one that was put elsewhere with nothing owed goes on with its history.
//!
//! **Limit.** The newest [`MAX_MOVEMENTS`] of an account are kept one by one, older ones as their sum: a statement that begins before
//! the oldest of them is refused ([`Account::known_since_us`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
    v1::RequestKey,
};

use crate::{
    lately::{Lately, REQUEST_US},
    ledger,
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
    /// The payer's or bank's own; empty = none.
    pub reference: String,
    /// As it was given out to who booked it.
    pub payment: Id,
}

/// Payments known by their reference, over all accounts, and by their request.
const MAX_KNOWN: usize = 200_000;

/// A payment that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    pub payment: Id,
    pub account: String,
    pub kind: String,
    pub currency: String,
    /// In the account's favour.
    pub amount_e8: i64,
    /// The request it was asked for with.
    pub request: Option<RequestKey>,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// By name.
    accounts: BTreeMap<String, Account>,
    documents: BTreeSet<String>,
    /// Of the last day, by the payment's own id.
    payments: Lately<Booked>,
    /// By [`ledger::reference`], and by the request's id.
    references: Lately<Booked>,
    requests: Lately<Booked>,
}

impl Default for Journal {
    fn default() -> Journal {
        let lately = |age_us| Lately::new(MAX_KNOWN, age_us);
        Journal { accounts: BTreeMap::new(), documents: BTreeSet::new(), payments: lately(REQUEST_US), references: lately(i64::MAX), requests: lately(REQUEST_US) }
    }
}

impl Journal {
    pub fn apply(&mut self, event: &Event) {
        let Some(Body::LedgerPosted(posted)) = &event.body else { return };
        match posted.kind.as_str() {
            "invoice" | "credit_note" | "debit_note" => drop(self.documents.insert(posted.reason.clone())),
            "payment" | "adjustment" | "deposit" => {
                for entry in &posted.entries {
                    let Some(("account" | "deposit", name)) = entry.account.split_once(':') else { continue };
                    let (root, account) = name.split_once('/').unwrap_or((name, name));
                    let (at_us, amount_e8, payment) = (event.occurred_us, entry.amount_e8.saturating_neg(), Id::of(&event.cause_id));
                    self.accounts.entry(account.to_owned()).or_default().add(Movement {
                        at_us,
                        kind: posted.kind.clone(),
                        currency: entry.currency.clone(),
                        amount_e8,
                        reason: posted.reason.clone(),
                        reference: posted.reference.clone(),
                        payment,
                    });
                    let request = posted.request.clone();
                    let booked = Booked { payment, account: account.to_owned(), kind: posted.kind.clone(), currency: entry.currency.clone(), amount_e8, request };
                    if !posted.reference.is_empty() {
                        self.references.insert(ledger::reference(root, account, &posted.reference), at_us, booked.clone());
                    }
                    if let Some(request) = &booked.request {
                        self.requests.insert(Id::of(&request.id), at_us, booked.clone());
                    }
                    self.payments.insert(payment, at_us, booked);
                }
            }
            _ => {}
        }
    }

    /// None for an account nothing was ever booked for.
    pub fn account(&self, account: &str) -> Option<&Account> {
        self.accounts.get(account)
    }

    /// A payment that was posted within a day before `now_us`, by its own id.
    pub fn payment(&self, payment: Id, now_us: i64) -> Option<&Booked> {
        self.payments.get(payment, now_us)
    }

    /// The payment of an account's reference.
    pub fn reference(&self, root: &str, account: &str, reference: &str) -> Option<&Booked> {
        self.references.get(ledger::reference(root, account, reference), 0)
    }

    /// The payment a request came to, as known at an instant.
    pub fn request(&self, request: Id, now_us: i64) -> Option<&Booked> {
        self.requests.get(request, now_us)
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
        let told: Vec<_> = journal.account("shop").expect("known").movements().map(|m| (m.at_us, m.kind.as_str(), m.amount_e8)).collect();
        assert_eq!(told, [(1, "payment", 500), (2, "deposit", 200)]);
        assert!(journal.has_posted("2026-1") && !journal.has_posted("2026-2"));
        assert_eq!(journal.account("acme"), None);
    }

    #[test]
    fn fn_04_beyond_the_limit_the_oldest_become_a_sum() {
        let mut journal = Journal::default();
        for n in 0..MAX_MOVEMENTS as i64 + 3 {
            journal.apply(&posted("payment", ledger::customer("acme", "acme"), 10, n));
        }
        let account = journal.account("acme").expect("known");
        assert_eq!((account.movements().count(), account.older_e8(&["payment"], "EUR"), account.known_since_us()), (MAX_MOVEMENTS, 30, Some(2)));
        assert_eq!((account.older_e8(&["deposit"], "EUR"), account.older_e8(&["payment"], "USD")), (0, 0));
    }

    fn booked(payment: u128, reference: &str, request: Option<RequestKey>, at_us: i64) -> Event {
        let mut event = posted("payment", ledger::customer("acme", "shop"), 500, at_us);
        if let Some(Body::LedgerPosted(posted)) = &mut event.body {
            (posted.reference, posted.request) = (reference.to_owned(), request);
        }
        Event { cause_id: Id(payment).to_vec(), ..event }
    }

    /// The answer to who asks again is the first one's.
    #[test]
    fn x_08_a_payment_is_known_by_its_request_for_a_day_and_by_its_reference() {
        let mut journal = Journal::default();
        let request = RequestKey { id: Id(9).to_vec(), sha256: vec![1; 32] };
        journal.apply(&booked(77, "RF-1", Some(request.clone()), 1_000));
        let first = journal.request(Id(9), 1_000 + REQUEST_US - 1).expect("known").clone();
        assert_eq!((first.payment, first.amount_e8, first.request.as_ref()), (Id(77), 500, Some(&request)));
        assert_eq!((journal.reference("acme", "shop", "RF-1"), journal.payment(Id(77), 1_001)), (Some(&first), Some(&first)));
        assert_eq!((journal.request(Id(9), 1_000 + REQUEST_US), journal.request(Id(8), 1_001), journal.reference("acme", "other", "RF-1")), (None, None, None));
        let movement = journal.account("shop").expect("known").movements().next().expect("one").clone();
        assert_eq!((movement.payment, movement.reference.as_str()), (Id(77), "RF-1"));
    }

    #[test]
    fn fn_04_an_account_goes_on_with_its_history_when_it_is_put_elsewhere() {
        let mut journal = Journal::default();
        journal.apply(&posted("payment", ledger::customer("shop", "shop"), 500, 1));
        journal.apply(&posted("payment", ledger::customer("acme", "shop"), 200, 2));
        assert_eq!(journal.account("shop").expect("known").movements().map(|m| m.amount_e8).collect::<Vec<_>>(), [500, 200]);
    }
}
