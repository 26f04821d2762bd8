//! What one call did to accounts' money (C-098): each of its postings with the balance before and after it. A CDR cannot say that:
//! it is a function of the call's own facts, and a balance is one of all calls of the account, in the order of the log. So it
//! is asked of the ledger, from the balance that is known backwards: what was posted since some place is taken off it.

use std::collections::BTreeMap;

use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
};

/// One posting of the call as one account has it, 1e-8 of the currency's unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub account: String,
    pub currency: String,
    /// As the posting's: `hold`, `usage`, `void`, `correction`.
    pub kind: String,
    pub posting: Id,
    pub occurred_us: i64,
    /// Of the final it came with; 0 before there was one.
    pub cdr_version: u32,
    /// What the account owed, and what its open calls held.
    pub owed_before_e8: i64,
    pub owed_after_e8: i64,
    pub held_before_e8: i64,
    pub held_after_e8: i64,
}

/// A fold over the ledger of one partition, from any place before the call's first posting to the place the balances are of.
pub struct OfCall {
    call: Id,
    owed: String,
    held: String,
    /// Since the fold began, by account without its prefix and currency: owed, held.
    sums: BTreeMap<(String, String), [i64; 2]>,
    moved: Vec<Moved>,
}

impl OfCall {
    /// `root`: of the hierarchy whose accounts are looked at.
    pub fn new(call: Id, root: &str) -> OfCall {
        OfCall { call, owed: super::customer(root, ""), held: super::held(root, ""), sums: BTreeMap::new(), moved: Vec::new() }
    }

    /// Which account of the hierarchy a ledger account is of: its name, and 1 where it is what calls hold.
    fn of<'a>(&self, name: &'a str) -> Option<(&'a str, usize)> {
        name.strip_prefix(&self.owed).map(|account| (account, 0)).or_else(|| name.strip_prefix(&self.held).map(|account| (account, 1)))
    }

    pub fn apply(&mut self, event: &Event) {
        let Some(Body::LedgerPosted(posted)) = &event.body else { return };
        let before = if Id::of(&posted.call_id) == self.call { Some(self.sums.clone()) } else { None };
        let mut touched: Vec<(String, String)> = Vec::new();
        for entry in &posted.entries {
            let Some((account, side)) = self.of(&entry.account) else { continue };
            let key = (account.to_owned(), entry.currency.clone());
            let sum = &mut self.sums.entry(key.clone()).or_default()[side];
            *sum = sum.saturating_add(entry.amount_e8);
            if !touched.contains(&key) {
                touched.push(key);
            }
        }
        let Some(before) = before else { return };
        for key in touched {
            let [owed_before_e8, held_before_e8] = before.get(&key).copied().unwrap_or_default();
            let [owed_after_e8, held_after_e8] = self.sums[&key];
            let (account, currency) = key;
            let (kind, posting, occurred_us) = (posted.kind.clone(), event.id(), event.occurred_us);
            self.moved.push(Moved { account, currency, kind, posting, occurred_us, cdr_version: posted.cdr_version, owed_before_e8, owed_after_e8, held_before_e8, held_after_e8 });
        }
    }

    /// Whether a posting of the call was seen; with its id, that one.
    pub fn has(&self, posting: Option<Id>) -> bool {
        self.moved.iter().any(|m| posting.is_none_or(|id| id == m.posting))
    }

    /// The call's postings in the ledger's order. `balance`: of a ledger account in a currency, where the fold ended.
    pub fn finish(self, balance: impl Fn(&str, &str) -> i64) -> Vec<Moved> {
        let (owed, held, sums) = (self.owed, self.held, self.sums);
        let absolute = |mut moved: Moved| {
            let [owed_since, held_since] = sums.get(&(moved.account.clone(), moved.currency.clone())).copied().unwrap_or_default();
            let owed_base = balance(&format!("{owed}{}", moved.account), &moved.currency).saturating_sub(owed_since);
            let held_base = balance(&format!("{held}{}", moved.account), &moved.currency).saturating_sub(held_since);
            for owed in [&mut moved.owed_before_e8, &mut moved.owed_after_e8] {
                *owed = owed.saturating_add(owed_base);
            }
            for held in [&mut moved.held_before_e8, &mut moved.held_after_e8] {
                *held = held.saturating_add(held_base);
            }
            moved
        };
        self.moved.into_iter().map(absolute).collect()
    }
}
