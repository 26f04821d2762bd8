//! The keys calls are counted under: one per account and destination group, and one total per account.
//!
//! Memory: a key is about 600 bytes when quiet; a busy lane adds up to 241 entries of 24 bytes for the minute and 121
//! for money, so about 9 KB, and a call counts in one to three lanes of two keys. Group keys are capped; at the cap the
//! least recently used keys without a live call go first, a batch at a time. When every key has a live call, a call of a
//! new group counts in its account's total alone. Totals are not capped: accounts are what provisioning made.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;
use tollgate_schemas::id::Id;

use crate::{
    destinations::Watch,
    features::{Lane, spend::Currency},
    memo::{Memo, RuleKey},
    policy::Policy,
};

/// The total's group in alerts.
pub const TOTAL: &str = "*";

pub struct Key {
    /// Order in which keys were made; unique.
    pub serial: u64,
    pub account: u32,
    pub group: Box<str>,
    pub total: bool,
    /// Counts up with every use of any key: the least recently used has the smallest.
    pub used: u64,
    pub lanes: [Lane; 3],
    pub memos: Vec<Memo>,
    /// Money was posted in this sweep.
    pub touched: bool,
}

impl Key {
    pub fn lane(&self, watch: Watch) -> &Lane {
        &self.lanes[watch.lane()]
    }

    pub fn live(&self) -> i64 {
        self.lane(Watch::All).concurrent.value()
    }

    pub fn memo(&self, rule: RuleKey) -> Option<&Memo> {
        self.memos.iter().find(|m| m.rule == rule)
    }

    pub fn memo_mut(&mut self, rule: RuleKey) -> &mut Memo {
        let at = self.memos.iter().position(|m| m.rule == rule).unwrap_or_else(|| {
            self.memos.push(Memo::new(rule));
            self.memos.len() - 1
        });
        &mut self.memos[at]
    }

    /// The value of an invite or money feature, and the currency of money.
    pub fn value(&self, rule: RuleKey, now_us: i64, currency: Option<Currency>) -> (i64, Currency) {
        use crate::features::Feature;
        let lane = self.lane(rule.watch);
        let value = match rule.feature {
            Feature::ConcurrentCalls => lane.concurrent.value(),
            Feature::CallsPerMinute => lane.per_minute.value(now_us),
            Feature::Spend => {
                return match currency {
                    Some(c) => (lane.spend.value(c, now_us, rule.window_us), c),
                    None => swap(lane.spend.largest(now_us, rule.window_us)),
                };
            }
            // Counted per call, not per key.
            Feature::CallDuration => 0,
        };
        (value, Currency::default())
    }
}

fn swap((currency, value): (Currency, i64)) -> (i64, Currency) {
    (value, currency)
}

pub struct Account {
    pub name: Box<str>,
    /// Key of its events: the root of its hierarchy.
    pub root: Box<str>,
    pub policy: Arc<Policy>,
    pub total: u32,
    pub groups: HashMap<Box<str>, u32, FixedState>,
    /// Group keys a verdict was raised on.
    pub hot: Vec<u32>,
}

pub struct Keys {
    pub accounts: Vec<Account>,
    by_name: HashMap<Box<str>, u32, FixedState>,
    /// Boxed, as a growing table of whole keys would be copied about.
    slots: Vec<Option<Box<Key>>>,
    free: Vec<u32>,
    /// Blocks placed here, by id, with the key's slot.
    pub blocks: HashMap<Id, u32, FixedState>,
    pub serial: u64,
    pub uses: u64,
    limit: usize,
    groups: usize,
    idle: usize,
    /// Keys dropped at the cap, and calls that got no group key at it.
    pub dropped: u64,
    pub refused: u64,
}

impl Keys {
    pub fn new(limit: usize) -> Keys {
        Keys {
            accounts: Vec::new(),
            by_name: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            blocks: HashMap::default(),
            serial: 0,
            uses: 0,
            limit,
            groups: 0,
            idle: 0,
            dropped: 0,
            refused: 0,
        }
    }

    /// Group keys there are.
    pub fn groups(&self) -> usize {
        self.groups
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn get(&self, slot: u32) -> Option<&Key> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Key> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    pub fn find_account(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub fn add_account(&mut self, name: &str, root: &str, policy: Arc<Policy>) -> u32 {
        let account = self.accounts.len() as u32;
        let total = self.add_key(account, TOTAL, true);
        self.accounts.push(Account {
            name: name.into(),
            root: root.into(),
            policy,
            total,
            groups: HashMap::default(),
            hot: Vec::new(),
        });
        self.by_name.insert(name.into(), account);
        account
    }

    /// The slot of an account's group; `None` when there is no room for a new one.
    pub fn find_or_add(&mut self, account: u32, group: &str) -> Option<u32> {
        if let Some(slot) = self.accounts[account as usize].groups.get(group) {
            return Some(*slot);
        }
        if self.groups >= self.limit && !self.make_room() {
            self.refused += 1;
            return None;
        }
        Some(self.add_group(account, group))
    }

    pub fn add_group(&mut self, account: u32, group: &str) -> u32 {
        let slot = self.add_key(account, group, false);
        self.accounts[account as usize].groups.insert(group.into(), slot);
        self.groups += 1;
        self.idle += 1;
        slot
    }

    fn add_key(&mut self, account: u32, group: &str, total: bool) -> u32 {
        self.serial += 1;
        let key = Box::new(Key {
            serial: self.serial,
            account,
            group: group.into(),
            total,
            used: 0,
            lanes: Default::default(),
            memos: Vec::new(),
            touched: false,
        });
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(key);
                slot
            }
            None => {
                self.slots.push(Some(key));
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// A call begins under this key.
    pub fn begin(&mut self, slot: u32, call: impl FnOnce(&mut Key)) {
        self.uses += 1;
        let uses = self.uses;
        let Some(key) = self.get_mut(slot) else { return };
        let was_idle = !key.total && key.live() == 0;
        key.used = uses;
        call(key);
        if was_idle && key.live() > 0 {
            self.idle -= 1;
        }
    }

    /// A call under this key is over.
    pub fn end(&mut self, slot: u32, call: impl FnOnce(&mut Key)) {
        let Some(key) = self.get_mut(slot) else { return };
        let was_live = !key.total && key.live() > 0;
        call(key);
        if was_live && key.live() == 0 {
            self.idle += 1;
        }
    }

    /// Drops the sixteenth of the table that was used longest ago, of what has no live call.
    fn make_room(&mut self) -> bool {
        if self.idle == 0 {
            return false;
        }
        let mut idle: Vec<(u64, u32)> = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(slot, key)| key.as_ref().filter(|k| !k.total && k.live() == 0).map(|k| (k.used, slot as u32)))
            .collect();
        let batch = (self.limit / 16).clamp(1, idle.len());
        // `used` is unique but for keys never used, which cannot be: a key is used as it is made.
        idle.select_nth_unstable(batch - 1);
        for (_, slot) in &idle[..batch] {
            self.drop_key(*slot);
        }
        self.dropped += batch as u64;
        true
    }

    fn drop_key(&mut self, slot: u32) {
        let Some(key) = self.slots[slot as usize].take() else { return };
        let account = &mut self.accounts[key.account as usize];
        account.groups.remove(&key.group);
        account.hot.retain(|hot| *hot != slot);
        for memo in &key.memos {
            self.blocks.remove(&memo.block);
        }
        self.free.push(slot);
        self.groups -= 1;
        self.idle -= 1;
    }

    /// Every key, in the order they were made.
    pub fn sorted(&self) -> Vec<(u32, &Key)> {
        let mut all: Vec<_> = self.slots.iter().enumerate().filter_map(|(i, k)| Some((i as u32, k.as_deref()?))).collect();
        all.sort_unstable_by_key(|(_, k)| k.serial);
        all
    }
}
