//! Credit, lent to proxies (FN-06, FN-07): the rating stage of an account's partition is the one writer of its money, and says
//! what the calls of each proxy may come to.
//!
//! **In and out.** A proxy's demand (`lease.asked`, of credit) comes in topic `calls`, behind its calls' own events. It names
//! accounts whose figures changed; each demand is answered by one `lease.granted` on topic `leases`, also an empty one, which says
//! that nothing changed and is heard as a sign of life.
//!
//! **Sums, not amounts.** A grant is a *ceiling*: what the proxy's calls may come to since its process began (its ids' epoch),
//! those that ended with what the proxy took for them, those that are up with what they hold. So a grant that is late, lost or
//! repeated never lends anything twice. What counts as lent is the ceiling less what `call.ended` says was taken
//! (`settled`), as far as the log has come; the charge itself is in the balance from the moment it is posted, and in between an
//! amount waits apart. A ceiling may go down as well; the higher one counts until the proxy's demand says that the lower one
//! was applied.
//!
//! **The bound.** At every place of the log: owed − deposits + waiting + lent ≤ limit, for as long as charges are what the
//! proxies took for them (a fee of ringing or of a failed attempt is owed without having been lent), the limit is not lowered,
//! nothing is booked against the account and no lease is written off. Written off is what was lent to a node that fell silent
//! (`nodes.rs`); by then its lease has run out, and what its calls come to after its last word is on top. So what an account owes
//! in the end is at most its limit, and for each of its calls what it costs from when it should have ended until it has.
//!
//! **Shares.** A proxy alone with an account has all of it; of several each has an equal part of what no call uses, and its
//! calls' wish before that as far as it is free. Who gets less than its calls want takes half of what others have idle, until
//! they have parted with it.
//!
//! **Limits.** [`MAX_LINES`] accounts of a partition with credit lent: further ones get none, their calls are refused.
//! 64 proxies of one account; of one proxy, eight ceilings that are not known to be applied are counted apart, more as the highest.

mod line;

use std::collections::HashMap;

use foldhash::fast::FixedState;
use prost::Message;
use tollgate_schemas::{
    id::Id,
    v1::{CreditHold, Event, LeaseAsked, LeaseGranted, LeaseShare, LedgerEntry},
};

use line::{Account, Asked, Line};

/// `LeaseDemand.scope` of credit.
pub const SCOPE: &str = "account";
pub const MAX_LINES: usize = 100_000;
/// How long a lease lasts from when it was asked for, and how long a silent proxy's is kept from others
/// (`nodes::NODE_LOST_US`). The rest is for clocks that differ.
pub const HOLD_MS: u64 = 60_000;

/// The accounts of one partition.
#[derive(Default)]
pub struct Credit {
    /// By `root/account`, as the ledger names them.
    accounts: HashMap<Box<str>, Account, FixedState>,
    revision: u64,
    lines: usize,
    /// Accounts with credit lent whose money moved since [`Credit::crossings`] was asked.
    touched: Vec<Box<str>>,
}

/// A use of its limit that an account has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// `root/account`.
    pub account: Box<str>,
    /// Percent of the limit; 100: no new calls.
    pub pct: u32,
    /// Owed and held, less deposits, and the limit: 1e-8.
    pub exposure_e8: i64,
    pub limit_e8: i64,
    pub currency: String,
    pub prepaid: bool,
}

/// An account's money in one currency, 1e-8 of its unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    pub owed_e8: i64,
    pub held_e8: i64,
    pub deposits_e8: i64,
    /// Lent to proxies and not yet spent, and spent but not yet posted.
    pub lent_e8: i64,
    pub waiting_e8: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Saved {
    #[prost(uint64, tag = "1")]
    revision: u64,
    /// By name.
    #[prost(message, repeated, tag = "2")]
    accounts: Vec<Account>,
}

impl Credit {
    /// Folds entries of a posting of this partition.
    pub fn posted(&mut self, entries: &[LedgerEntry]) {
        for entry in entries {
            let Some((kind, name)) = entry.account.split_once(':') else { continue };
            if !matches!(kind, "account" | "held" | "deposit") {
                continue;
            }
            let account = entry_of(&mut self.accounts, name);
            account.post(kind, &entry.currency, entry.amount_e8);
            if account.line.is_some() {
                self.touched.push(name.into());
            }
        }
    }

    /// A proxy told what it took for a call that ended. `ended`: the id of that event, which says who told.
    pub fn settled(&mut self, ended: Id, root: &str, settled: &[CreditHold]) {
        for hold in settled {
            let line = self.accounts.get_mut(key(root, &hold.account).as_str()).and_then(|a| a.line.as_mut());
            if let Some(line) = line {
                line.settled(ended.node(), ended.epoch(), hold.amount_e8);
            }
        }
    }

    /// What was taken waits for its charge (`sign` 1), or waits no longer (-1).
    pub fn waits(&mut self, root: &str, settled: &[CreditHold], sign: i64) {
        for hold in settled {
            if let Some(line) = self.accounts.get_mut(key(root, &hold.account).as_str()).and_then(|a| a.line.as_mut()) {
                line.waiting_e8 = line.waiting_e8.saturating_add(hold.amount_e8.saturating_mul(sign));
            }
        }
    }

    /// What was lent to these nodes is written off.
    pub fn lose(&mut self, nodes: &[u64]) {
        for line in self.accounts.values_mut().filter_map(|a| a.line.as_mut()) {
            line.lose(nodes);
        }
    }

    /// Answers a demand: the grant to who asked first, then what is taken from others for it. Empty for what was heard before.
    pub fn asked(&mut self, event: &Event, asked: &LeaseAsked) -> Vec<LeaseGranted> {
        let by = Asked { id: event.id(), node: event.id().node(), epoch: event.id().epoch() };
        let mut named = Vec::new();
        for demand in asked.demands.iter().filter(|d| d.scope == SCOPE) {
            let Some(credit) = &demand.credit else { continue };
            let name = key(&credit.root_account, &demand.name);
            let account = entry_of(&mut self.accounts, &name);
            if account.line.is_none() {
                if self.lines >= MAX_LINES {
                    continue;
                }
                self.lines += 1;
                account.line = Some(Line::default());
                account.line_begins(credit);
            }
            if account.demand(&by, credit) {
                named.push((name, demand.name.clone()));
            }
        }
        if named.is_empty() && !asked.demands.is_empty() {
            return Vec::new();
        }
        self.revision += 1;
        let grant = |node: u64, asked_ns: u64| LeaseGranted {
            node: format!("{node:012x}"),
            hold_ms: HOLD_MS,
            revision: self.revision,
            credit: true,
            asked_ns,
            ..LeaseGranted::default()
        };
        let mut grants = vec![grant(by.node, asked.asked_ns)];
        for (key, name) in named {
            let Some(account) = self.accounts.get_mut(key.as_str()) else { continue };
            let share = |ceiling_e8| LeaseShare { scope: SCOPE.to_owned(), name: name.clone(), ceiling_e8, ..LeaseShare::default() };
            let (own, taken) = account.grant(by.node, self.revision);
            grants[0].shares.push(share(own));
            for (node, ceiling_e8) in taken {
                let id = format!("{node:012x}");
                let at = grants.iter().position(|g| g.node == id).unwrap_or_else(|| {
                    grants.push(grant(node, 0));
                    grants.len() - 1
                });
                grants[at].shares.push(share(ceiling_e8));
            }
            self.touched.push(key.into_boxed_str());
        }
        grants
    }

    /// Uses of limits that were reached since this was asked, in order of account and percent.
    pub fn crossings(&mut self) -> Vec<Crossing> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut crossings = Vec::new();
        for name in touched {
            if let Some(account) = self.accounts.get_mut(&name) {
                account.crossed(&name, &mut crossings);
            }
        }
        crossings
    }

    /// `None` for an account nothing was ever posted or lent for.
    pub fn standing(&self, root: &str, account: &str, currency: &str) -> Option<Standing> {
        self.accounts.get(key(root, account).as_str()).map(|a| a.standing(currency))
    }

    pub fn save(&self) -> Saved {
        let mut accounts: Vec<Account> = self.accounts.iter().map(|(name, account)| Account { name: name.to_string(), ..account.clone() }).collect();
        accounts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Saved { revision: self.revision, accounts }
    }

    pub fn restore(saved: Saved) -> Credit {
        let lines = saved.accounts.iter().filter(|a| a.line.is_some()).count();
        let accounts = saved.accounts.into_iter().map(|mut a| (std::mem::take(&mut a.name).into_boxed_str(), a)).collect();
        Credit { accounts, revision: saved.revision, lines, touched: Vec::new() }
    }
}

fn key(root: &str, account: &str) -> String {
    format!("{root}/{account}")
}

fn entry_of<'a>(accounts: &'a mut HashMap<Box<str>, Account, FixedState>, name: &str) -> &'a mut Account {
    // Twice looked up only for a new one: the name is not copied for each posting.
    if !accounts.contains_key(name) {
        accounts.insert(name.into(), Account::default());
    }
    accounts.get_mut(name).unwrap_or_else(|| unreachable!("inserted above"))
}

#[cfg(test)]
mod tests;
