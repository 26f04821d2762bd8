//! What admission counts: channels, groups, money held and owed, by names, so that counters outlive the policy that
//! was in force when a call came. Slots are places in these tables; each is given back exactly once.

pub(super) mod calls;
mod gauges;

use foldhash::HashMap;
use tollgate_schemas::{
    id::Id,
    time::Now,
    v1::{BlockPlaced, CallFacts, Terms},
};

pub use self::{
    calls::Slot,
    gauges::{AccountGauge, CarrierGauge, Gauges, TrunkGauge},
};
use self::calls::{Call, Calls};
use super::{
    AccountIx, Applied, BadBlock, BlockView, CallView, CarrierIx, Policy, TrunkIx,
    blocks::Blocks,
    bucket::Bucket,
    carriers::CarrierState,
    hot_spot::HotWindow,
    credit::{Credit, Line},
    lease::{Lease, Scope, Shared},
};
use crate::live::Usage;

/// Most calls at once; beyond, ordinary calls are refused as `overload`.
pub const MAX_CALLS: usize = 1 << 20;
/// Most destination groups counted for one account. At the limit idle ones are dropped; if none is idle, calls to
/// further groups are refused as `group_limit`.
pub const MAX_GROUPS: usize = 4_096;
/// How old the running calls' charges may be when a money limit is judged.
const ACCRUAL_NS: u64 = 1_000_000_000;
const DAY_US: i64 = 86_400_000_000;

/// Counters and blocks. One for the node, behind the lock of its owner.
#[derive(Debug, Default)]
pub struct Admission {
    pub(super) trunks: Vec<TrunkState>,
    pub(super) accounts: Vec<AccountState>,
    pub(super) carriers: Vec<CarrierState>,
    pub(super) trunk_names: HashMap<String, u32>,
    account_names: HashMap<String, u32>,
    pub(super) carrier_names: HashMap<String, u32>,
    /// Policy index → state, for the policy with this stamp.
    stamp: Option<u128>,
    trunk_map: Vec<u32>,
    account_map: Vec<u32>,
    carrier_map: Vec<u32>,
    pub(super) calls: Calls,
    pub(super) blocks: Blocks,
    pub(super) credit: Credit,
    /// None: this node has its limits for itself.
    pub(super) shared: Option<Box<Shared>>,
    /// Where portability is looked up.
    pub portability: super::portability::Source,
    /// Where callers' names are looked up.
    pub caller_names: super::portability::Source<tollgate_schemas::portability::Named>,
}

#[derive(Debug)]
pub(super) struct TrunkState {
    pub name: String,
    pub channels: u32,
    pub bucket: Bucket,
    pub lease: Lease,
    /// Charges of calls that ended on this UTC day.
    day: i64,
    spent_e8: i64,
    /// Of the calls that are up: the larger of what is held and what has accrued.
    exposure_e8: i64,
    live: Vec<u32>,
    accrued_ns: u64,
}

#[derive(Debug)]
pub(super) struct AccountState {
    pub name: String,
    /// Every account above, nearest first.
    ancestors: Vec<String>,
    /// Charges of calls that ended here, of this process and, by its log, of those before.
    owed_e8: i64,
    exposure_e8: i64,
    live: Vec<u32>,
    /// None: it has no limit.
    pub credit: Option<Box<Line>>,
    groups: Vec<GroupState>,
    group_names: HashMap<Box<str>, u32>,
    free_groups: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct GroupState {
    name: Box<str>,
    pub calls: u32,
    pub hot_calls: u32,
    pub hot: Option<Box<HotWindow>>,
}

/// What a call that was up before this process takes up.
#[derive(Debug, Clone, Copy)]
pub struct Resumed<'a> {
    /// As in `call.attempted`.
    pub facts: &'a CallFacts,
    pub hold_e8: i64,
    /// Milliseconds since the answer, and the sell terms of the answer.
    pub answered: Option<(u64, &'a Terms)>,
}

impl Admission {
    pub fn new() -> Admission {
        Admission::default()
    }

    /// Notes the answer: from here the call's charge accrues under these terms, over what is held.
    pub fn answered(&mut self, slot: &mut Slot, now: Now, sell: Option<&Terms>) {
        if let Some(call) = self.calls.get_mut(slot)
            && let Some(terms) = sell
            && !call.emergency
        {
            call.answer(i128::from(now.mono_ns), now.utc_us, terms);
        }
    }

    /// Gives everything back, on every way out. `answered_duration_ms`: answer to end, none when not answered. What
    /// the call cost is owed by its account and spent by its trunk from now on, and is returned: the charge of the terms
    /// at the answer, as on the CDR.
    pub fn release(&mut self, slot: Slot, now: Now, answered_duration_ms: Option<u64>) -> i64 {
        let Some(call) = self.take(slot) else { return 0 };
        let at = call.answered.as_ref().zip(answered_duration_ms).map(|(answered, ms)| (answered.at_us, ms));
        self.settle_holds(&call.holds, at, now);
        let charge = match (answered_duration_ms, &call.answered) {
            (Some(ms), Some(answered)) => answered.terms.charge(answered.at_us, ms).amount_e8,
            _ => 0,
        };
        if charge != 0 {
            let account = &mut self.accounts[call.account as usize];
            account.owed_e8 = account.owed_e8.saturating_add(charge);
            self.trunks[call.trunk as usize].spend(now.utc_us.div_euclid(DAY_US), charge);
        }
        charge
    }

    /// Gives everything back as though the call had never come, because nothing was sent for it (no route). Only the
    /// CPS token stays spent.
    pub fn cancel(&mut self, slot: Slot) {
        let Some(call) = self.take(slot) else { return };
        self.return_holds(&call.holds);
        if let (Some(group), Some(at_us)) = (call.group, call.hot_since_us)
            && let Some(hot) = &mut self.accounts[call.account as usize].groups[group as usize].hot
        {
            hot.take_back(at_us);
        }
    }

    /// After a crash: a call that is up takes its place again, whatever the limits say now.
    pub fn resume(&mut self, policy: &Policy, resumed: Resumed<'_>, now: Now) -> Slot {
        self.adopt(policy);
        let facts = resumed.facts;
        let (trunk, account) = (self.trunk_state_named(&facts.trunk), self.account_state_named(&facts.account));
        if facts.emergency {
            return self.put(Call::emergency(trunk, account));
        }
        let group = self.accounts[account as usize].group(&facts.b_dest_group, now.utc_us);
        let mut call = Call::new(trunk, account, group, resumed.hold_e8);
        call.hot = facts.b_risk_flag == "high";
        if let Some((elapsed_ms, terms)) = resumed.answered {
            let at_us = now.utc_us.saturating_sub(i64::try_from(elapsed_ms).unwrap_or(i64::MAX).saturating_mul(1000));
            call.answer(i128::from(now.mono_ns) - i128::from(elapsed_ms) * 1_000_000, at_us, terms);
        }
        let slot = self.put(call);
        self.lease_resumed(Scope::Trunk(trunk));
        slot
    }

    /// Takes over what the fold of earlier calls counted. Once for each partition, before the first call.
    pub fn restore_usage(&mut self, usage: &Usage) {
        for (trunk, spend) in &usage.spend {
            let index = self.trunk_state_named(trunk);
            self.trunks[index as usize].spend(spend.day, spend.amount_e8);
        }
        for (account, owed_e8) in &usage.owed {
            let index = self.account_state_named(account);
            let owed = &mut self.accounts[index as usize].owed_e8;
            *owed = owed.saturating_add(*owed_e8);
        }
        for ((account, group), window) in &usage.hot_spots {
            let index = self.account_state_named(account);
            let account = &mut self.accounts[index as usize];
            if let Some(group) = account.group(group, usage.latest_us) {
                account.groups[group as usize].hot.get_or_insert_default().merge(window.minutes());
            }
        }
    }

    /// Puts a block in force, idempotently.
    pub fn apply_block(&mut self, placed: &BlockPlaced, now: Now) -> Result<Applied, BadBlock> {
        self.blocks.place(placed, now.utc_us)
    }

    /// Lifts a block; false when it does not stand (lifted or expired before).
    pub fn lift_block(&mut self, id: Id) -> bool {
        self.blocks.lift(id)
    }

    /// Removes expired blocks and names them. Expired blocks stop nothing even before this.
    pub fn expire_blocks(&mut self, now: Now) -> Vec<Id> {
        self.blocks.expire(now.utc_us)
    }

    /// The block that stands against this call, at its INVITE, at a further attempt, at its 200, or in a sweep.
    pub fn blocked(&self, call: &CallView<'_>, now: Now) -> Option<&BlockView> {
        self.blocks.find(call, self.ancestors(call.account), now.utc_us)
    }

    /// The block that keeps this call from this carrier.
    pub fn carrier_blocked(&self, carrier: &str, call: &CallView<'_>, now: Now) -> Option<&BlockView> {
        self.blocks.find_carrier(carrier, call, self.ancestors(call.account), now.utc_us)
    }

    /// The block of this id, while it stands.
    pub fn block(&self, id: Id) -> Option<&BlockView> {
        self.blocks.get(id)
    }

    /// Blocks in force, by the time they expire.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &BlockView> {
        self.blocks.iter()
    }

    fn ancestors(&self, account: &str) -> &[String] {
        if self.blocks.is_empty() {
            return &[];
        }
        self.account_names.get(account).map_or(&[], |index| &self.accounts[*index as usize].ancestors)
    }

    /// Counts a call's place and gives it.
    pub(super) fn put(&mut self, call: Call) -> Slot {
        let (trunk, account) = (call.trunk as usize, call.account as usize);
        let (counted, hold, group, hot) = (!call.emergency, call.exposure(), call.group, call.hot);
        let slot = self.calls.put(call);
        if counted {
            let (t, a) = (&mut self.trunks[trunk], &mut self.accounts[account]);
            t.channels += 1;
            t.exposure_e8 = t.exposure_e8.saturating_add(hold);
            a.exposure_e8 = a.exposure_e8.saturating_add(hold);
            if let Some(group) = group {
                let group = &mut a.groups[group as usize];
                group.calls += 1;
                group.hot_calls += u32::from(hot);
            }
            self.calls.list(&slot, &mut t.live, &mut a.live);
        }
        slot
    }

    fn take(&mut self, slot: Slot) -> Option<Call> {
        let call = self.calls.take(slot)?;
        if !call.emergency {
            let (t, a) = (&mut self.trunks[call.trunk as usize], &mut self.accounts[call.account as usize]);
            t.channels -= 1;
            t.exposure_e8 = t.exposure_e8.saturating_sub(call.exposure());
            a.exposure_e8 = a.exposure_e8.saturating_sub(call.exposure());
            if let Some(group) = call.group {
                let group = &mut a.groups[group as usize];
                group.calls -= 1;
                group.hot_calls -= u32::from(call.hot);
            }
            self.calls.unlist(&call, &mut t.live, &mut a.live);
        }
        Some(call)
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= MAX_CALLS
    }

    /// Spent by the trunk on the UTC day of `now`, calls that are up at the larger of hold and charge so far.
    pub(super) fn spent_today(&mut self, trunk: u32, now: Now) -> i64 {
        let state = &self.trunks[trunk as usize];
        if now.mono_ns.saturating_sub(state.accrued_ns) >= ACCRUAL_NS {
            for at in 0..state.live.len() {
                self.accrue(self.trunks[trunk as usize].live[at], now);
            }
            self.trunks[trunk as usize].accrued_ns = now.mono_ns;
        }
        let state = &self.trunks[trunk as usize];
        let ended = if state.day == now.utc_us.div_euclid(DAY_US) { state.spent_e8 } else { 0 };
        ended.saturating_add(state.exposure_e8)
    }

    /// Brings one running call's charge up to now.
    fn accrue(&mut self, index: u32, now: Now) {
        let Some(call) = self.calls.at_mut(index) else { return };
        let grown = call.accrue(i128::from(now.mono_ns));
        if grown != 0 {
            let (t, a) = (&mut self.trunks[call.trunk as usize], &mut self.accounts[call.account as usize]);
            t.exposure_e8 = t.exposure_e8.saturating_add(grown);
            a.exposure_e8 = a.exposure_e8.saturating_add(grown);
        }
    }

    /// Maps a policy's indices to the counters of its names, when it is not the one mapped last.
    pub(super) fn adopt(&mut self, policy: &Policy) {
        if self.stamp == Some(policy.stamp()) {
            return;
        }
        self.trunk_map = policy.trunks().map(|(_, t)| self.trunk_state_named(&t.name)).collect();
        self.account_map = policy.accounts().map(|(_, a)| self.account_state_named(&a.name)).collect();
        self.carrier_map = policy.carriers().map(|(_, c)| self.carrier_state_named(&c.name) as u32).collect();
        for (ix, view) in policy.accounts() {
            let mut ancestors = Vec::new();
            let mut at = view.parent;
            while let Some(parent) = at {
                let parent = policy.account(parent);
                ancestors.push(parent.name.clone());
                at = parent.parent;
            }
            let state = self.account_state(ix);
            self.accounts[state as usize].ancestors = ancestors;
        }
        self.stamp = Some(policy.stamp());
    }

    pub(super) fn trunk_state(&self, ix: TrunkIx) -> u32 {
        self.trunk_map[ix.0 as usize]
    }

    pub(super) fn account_state(&self, ix: AccountIx) -> u32 {
        self.account_map[ix.0 as usize]
    }

    pub(super) fn carrier_state(&self, ix: CarrierIx) -> usize {
        self.carrier_map[ix.0 as usize] as usize
    }

    fn trunk_state_named(&mut self, name: &str) -> u32 {
        named(&mut self.trunk_names, &mut self.trunks, name, TrunkState::new)
    }

    pub(super) fn account_index(&self, name: &str) -> Option<u32> {
        self.account_names.get(name).copied()
    }

    fn account_state_named(&mut self, name: &str) -> u32 {
        named(&mut self.account_names, &mut self.accounts, name, AccountState::new)
    }

    pub(super) fn carrier_state_named(&mut self, name: &str) -> usize {
        named(&mut self.carrier_names, &mut self.carriers, name, CarrierState::new) as usize
    }
}

/// The state of a name, made at first sight and kept: a name taken out of the policy keeps its spend and its debts.
fn named<T>(names: &mut HashMap<String, u32>, states: &mut Vec<T>, name: &str, make: fn(&str) -> T) -> u32 {
    if let Some(index) = names.get(name) {
        return *index;
    }
    let index = states.len() as u32;
    states.push(make(name));
    names.insert(name.to_owned(), index);
    index
}

impl TrunkState {
    fn new(name: &str) -> TrunkState {
        TrunkState {
            name: name.to_owned(),
            channels: 0,
            bucket: Bucket::new(),
            lease: Lease::default(),
            day: 0,
            spent_e8: 0,
            exposure_e8: 0,
            live: Vec::new(),
            accrued_ns: 0,
        }
    }

    fn spend(&mut self, day: i64, amount_e8: i64) {
        if day > self.day {
            (self.day, self.spent_e8) = (day, 0);
        }
        if day == self.day {
            self.spent_e8 = self.spent_e8.saturating_add(amount_e8);
        }
    }
}

impl AccountState {
    pub fn name(&self) -> &str {
        &self.name
    }

    fn new(name: &str) -> AccountState {
        AccountState {
            name: name.to_owned(),
            ancestors: Vec::new(),
            owed_e8: 0,
            exposure_e8: 0,
            live: Vec::new(),
            credit: None,
            groups: Vec::new(),
            group_names: HashMap::default(),
            free_groups: Vec::new(),
        }
    }

    /// The counter of a destination group, made at first sight; none at [`MAX_GROUPS`] with no idle one.
    pub fn group(&mut self, name: &str, now_us: i64) -> Option<u32> {
        if let Some(index) = self.group_names.get(name) {
            return Some(*index);
        }
        if self.group_names.len() >= MAX_GROUPS {
            self.drop_idle_groups(now_us);
            if self.group_names.len() >= MAX_GROUPS {
                return None;
            }
        }
        let state = GroupState { name: name.into(), calls: 0, hot_calls: 0, hot: None };
        let index = match self.free_groups.pop() {
            Some(index) => {
                self.groups[index as usize] = state;
                index
            }
            None => {
                self.groups.push(state);
                (self.groups.len() - 1) as u32
            }
        };
        self.group_names.insert(name.into(), index);
        Some(index)
    }

    fn drop_idle_groups(&mut self, now_us: i64) {
        let (groups, free) = (&mut self.groups, &mut self.free_groups);
        self.group_names.retain(|_, index| {
            let group = &mut groups[*index as usize];
            let busy = group.calls > 0 || group.hot.as_mut().is_some_and(|hot| hot.calls(now_us) > 0);
            if !busy {
                free.push(*index);
            }
            busy
        });
    }

    pub fn group_state(&mut self, index: u32) -> &mut GroupState {
        &mut self.groups[index as usize]
    }
}
