//! One account's money and what of it is lent, in the shape it is saved in (protobuf; field numbers are never reused).

use prost::Message;
use tollgate_schemas::{id::Id, v1::CreditDemand};

use super::{Crossing, Standing};

/// Proxies with a lease of one account.
const MAX_HOLDERS: usize = 64;
/// Ceilings of one proxy that are not known to be applied; more are one, the highest.
const MAX_CEILINGS: usize = 8;
const MAX_WARNINGS: usize = 8;
/// A use of the limit must fall so many percent below a mark before it is told again.
const BACK_PCT: i128 = 2;

#[derive(Clone, PartialEq, Message)]
pub struct Account {
    /// Set in a snapshot.
    #[prost(string, tag = "1")]
    pub name: String,
    /// By currency; nearly always one.
    #[prost(message, repeated, tag = "2")]
    pub money: Vec<Money>,
    /// None: no proxy ever asked, so the account has no limit.
    #[prost(message, optional, tag = "3")]
    pub line: Option<Line>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Money {
    #[prost(string, tag = "1")]
    currency: String,
    #[prost(sint64, tag = "2")]
    owed_e8: i64,
    #[prost(sint64, tag = "3")]
    held_e8: i64,
    /// Positive: what we keep for the account.
    #[prost(sint64, tag = "4")]
    deposits_e8: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Line {
    #[prost(string, tag = "1")]
    currency: String,
    /// As the newest demand has them.
    #[prost(sint64, tag = "2")]
    limit_e8: i64,
    #[prost(bool, tag = "3")]
    prepaid: bool,
    #[prost(uint32, repeated, tag = "4")]
    warn_pct: Vec<u32>,
    /// The highest percent that was told and has not been left since; 0 = none.
    #[prost(uint32, tag = "5")]
    told_pct: u32,
    /// Taken by proxies for calls whose charge is not posted yet.
    #[prost(sint64, tag = "6")]
    pub waiting_e8: i64,
    /// By node.
    #[prost(message, repeated, tag = "7")]
    holders: Vec<Holder>,
}

/// One proxy's lease.
#[derive(Clone, PartialEq, Message)]
struct Holder {
    #[prost(fixed64, tag = "1")]
    node: u64,
    #[prost(uint32, tag = "2")]
    epoch: u32,
    /// Its newest demand.
    #[prost(bytes = "vec", tag = "3")]
    asked: Vec<u8>,
    /// Fell silent: counts for nothing until it asks again.
    #[prost(bool, tag = "4")]
    lost: bool,
    /// That it may be using, oldest first.
    #[prost(message, repeated, tag = "5")]
    ceilings: Vec<Ceiling>,
    /// What it told to have taken, in this epoch, as far as the log has come.
    #[prost(sint64, tag = "6")]
    seen_e8: i64,
    /// As it said.
    #[prost(sint64, tag = "7")]
    used_e8: i64,
    #[prost(sint64, tag = "8")]
    wanted_e8: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Ceiling {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(sint64, tag = "2")]
    amount_e8: i64,
}

/// Who asks.
pub struct Asked {
    pub id: Id,
    pub node: u64,
    pub epoch: u32,
}

impl Account {
    /// One entry of a posting. `kind`: before the colon of the ledger account's name.
    pub fn post(&mut self, kind: &str, currency: &str, amount_e8: i64) {
        let at = self.money.iter().position(|m| m.currency == currency).unwrap_or_else(|| {
            self.money.push(Money { currency: currency.to_owned(), ..Money::default() });
            self.money.len() - 1
        });
        let money = &mut self.money[at];
        match kind {
            "held" => money.held_e8 = money.held_e8.saturating_add(amount_e8),
            // What we owe is credited.
            "deposit" => money.deposits_e8 = money.deposits_e8.saturating_sub(amount_e8),
            _ => money.owed_e8 = money.owed_e8.saturating_add(amount_e8),
        }
        let exposure = exposure(money);
        if let Some(line) = &mut self.line
            && line.prepaid
            && kind != "held"
            && amount_e8 < 0
            && exposure < i128::from(line.limit_e8)
        {
            // Money was paid in: the next time it is used up is told again.
            line.told_pct = 0;
        }
    }

    /// A prepaid account that never had anything has not used it up.
    pub fn line_begins(&mut self, demand: &CreditDemand) {
        let exposure = self.money(&demand.currency).map_or(0, exposure);
        if let Some(line) = &mut self.line
            && demand.prepaid
            && exposure >= i128::from(demand.limit_e8)
        {
            line.told_pct = 100;
        }
    }

    fn money(&self, currency: &str) -> Option<&Money> {
        self.money.iter().find(|m| m.currency == currency)
    }

    pub fn standing(&self, currency: &str) -> Standing {
        let money = self.money(currency).cloned().unwrap_or_default();
        let line = self.line.as_ref().filter(|l| l.currency == currency);
        Standing {
            owed_e8: money.owed_e8,
            held_e8: money.held_e8,
            deposits_e8: money.deposits_e8,
            lent_e8: line.map_or(0, |l| saturated(l.holders.iter().map(Holder::lent).sum())),
            waiting_e8: line.map_or(0, |l| l.waiting_e8),
        }
    }

    /// Takes a demand in; false for one that was overtaken, or for one too many.
    pub fn demand(&mut self, by: &Asked, demand: &CreditDemand) -> bool {
        let Some(line) = &mut self.line else { return false };
        let at = match line.holders.binary_search_by_key(&by.node, |h| h.node) {
            Ok(at) => at,
            Err(_) if line.holders.len() >= MAX_HOLDERS => return false,
            Err(at) => {
                line.holders.insert(at, Holder { node: by.node, epoch: by.epoch, ..Holder::default() });
                at
            }
        };
        let holder = &mut line.holders[at];
        if by.epoch < holder.epoch || by.id <= Id::of(&holder.asked) {
            return false;
        }
        if by.epoch > holder.epoch {
            // The process before is gone, and with it its lease.
            *holder = Holder { node: by.node, epoch: by.epoch, ..Holder::default() };
        }
        holder.asked = by.id.to_vec();
        holder.lost = false;
        holder.ceilings.retain(|c| c.revision > demand.applied_revision);
        holder.ceilings.insert(0, Ceiling { revision: demand.applied_revision, amount_e8: demand.ceiling_e8 });
        holder.used_e8 = demand.used_e8;
        holder.wanted_e8 = demand.wanted_e8.max(0);
        line.currency.clone_from(&demand.currency);
        line.limit_e8 = demand.limit_e8;
        line.prepaid = demand.prepaid;
        line.warn_pct = demand.warn_pct.iter().copied().take(MAX_WARNINGS).collect();
        true
    }

    /// A new ceiling for who asked, and lower ones for others that have idle what its calls want.
    pub fn grant(&mut self, node: u64, revision: u64) -> (i64, Vec<(u64, i64)>) {
        let owed = self.line.as_ref().and_then(|l| self.money(&l.currency)).map_or(0, |m| i128::from(m.owed_e8) - i128::from(m.deposits_e8));
        let Some(line) = &mut self.line else { return (0, Vec::new()) };
        let Some(at) = line.holders.iter().position(|h| h.node == node) else { return (0, Vec::new()) };
        let lent: i128 = line.holders.iter().map(Holder::lent).sum();
        let free = i128::from(line.limit_e8) - owed - i128::from(line.waiting_e8) - lent;
        let idle: i128 = line.holders.iter().map(Holder::idle).sum();
        let live = line.holders.iter().filter(|h| !h.lost).count() as i128;
        let contested = line.holders.iter().any(|h| h.node != node && h.wants_more());
        let holder = &mut line.holders[at];
        // As high as it may be, and what of that its calls do not use yet.
        let most = i128::from(holder.seen_e8) + holder.lent() + free;
        let room = most - i128::from(holder.used_e8);
        let pool = free.max(0) + idle;
        let fair = if live > 1 { pool / live } else { room };
        let wanted = i128::from(holder.wanted_e8);
        let unspent = if contested { wanted.min(pool / live) } else { wanted.max(fair) };
        let ceiling = i128::from(holder.used_e8) + unspent.max(0);
        let ceiling = saturated(ceiling.min(most));
        holder.put(Ceiling { revision, amount_e8: ceiling });
        if i128::from(ceiling) >= i128::from(holder.used_e8) + wanted {
            return (ceiling, Vec::new());
        }
        let mut taken = Vec::new();
        for other in line.holders.iter_mut().filter(|h| h.node != node && !h.lost) {
            let spare = other.idle() - i128::from(other.wanted_e8);
            if spare > 0 {
                let lower = saturated(i128::from(other.newest()) - (spare + 1) / 2);
                other.put(Ceiling { revision, amount_e8: lower });
                taken.push((other.node, lower));
            }
        }
        (ceiling, taken)
    }

    pub fn crossed(&mut self, name: &str, out: &mut Vec<Crossing>) {
        let Some(currency) = self.line.as_ref().map(|l| l.currency.clone()) else { return };
        let exposure = self.money(&currency).map_or(0, exposure);
        let Some(line) = &mut self.line else { return };
        let limit = i128::from(line.limit_e8);
        let reached = |pct: u32| exposure > 0 && exposure * 100 >= i128::from(pct) * limit || pct == 100 && exposure >= limit;
        let marks = line.warn_pct.iter().copied().filter(|_| !line.prepaid).chain([100]);
        let top = marks.clone().filter(|pct| reached(*pct)).max().unwrap_or(0);
        let left = exposure * 100 < (i128::from(line.told_pct) - BACK_PCT) * limit;
        if top > line.told_pct {
            let before = line.told_pct;
            out.extend(marks.filter(|pct| *pct > before && *pct <= top).map(|pct| Crossing {
                account: name.into(),
                pct,
                exposure_e8: saturated(exposure),
                limit_e8: line.limit_e8,
                currency: currency.clone(),
                prepaid: line.prepaid,
            }));
            line.told_pct = top;
        } else if top < line.told_pct && left && !line.prepaid {
            line.told_pct = top;
        }
    }
}

impl Line {
    pub fn settled(&mut self, node: u64, epoch: u32, amount_e8: i64) {
        if let Some(holder) = self.holders.iter_mut().find(|h| h.node == node && h.epoch == epoch) {
            holder.seen_e8 = holder.seen_e8.saturating_add(amount_e8);
        }
    }

    pub fn lose(&mut self, nodes: &[u64]) {
        self.holders.iter_mut().filter(|h| nodes.contains(&h.node)).for_each(|h| h.lost = true);
    }
}

impl Holder {
    /// What its calls may yet come to.
    fn lent(&self) -> i128 {
        if self.lost {
            return 0;
        }
        let most = self.ceilings.iter().map(|c| c.amount_e8).max().unwrap_or(0);
        (i128::from(most) - i128::from(self.seen_e8)).max(0)
    }

    fn newest(&self) -> i64 {
        self.ceilings.last().map_or(0, |c| c.amount_e8)
    }

    /// What of it no call of its uses.
    fn idle(&self) -> i128 {
        if self.lost { 0 } else { (i128::from(self.newest()) - i128::from(self.used_e8)).max(0) }
    }

    fn wants_more(&self) -> bool {
        !self.lost && i128::from(self.used_e8) + i128::from(self.wanted_e8) > i128::from(self.newest())
    }

    fn put(&mut self, new: Ceiling) {
        let full = self.ceilings.len() >= MAX_CEILINGS;
        match self.ceilings.last_mut() {
            Some(last) if full || last.amount_e8 == new.amount_e8 => {
                *last = Ceiling { revision: new.revision, amount_e8: last.amount_e8.max(new.amount_e8) };
            }
            _ => self.ceilings.push(new),
        }
    }
}

/// FN-06: owed (rated and not paid, invoiced or not) and held, less deposits.
fn exposure(money: &Money) -> i128 {
    i128::from(money.owed_e8) + i128::from(money.held_e8) - i128::from(money.deposits_e8)
}

fn saturated(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}
