//! The stage's whole state as protobuf, for a restart: restore and the tail equal never having stopped.
//!
//! Keys and calls go by their serials, in that order, so equal states give equal bytes. Sums are not stored but added
//! up again. Policies are stored as provisioned; the built-in default comes with the instance.

use std::{collections::HashMap, sync::Arc};

use prost::Message;
use tollgate_schemas::{control::FraudPolicy, id::Id, nodes::Nodes, terms::PlainPrice, v1::Terms};

use crate::{
    calls::{Call, Raised},
    destinations::{Classes, Watch},
    features::{
        Feature, Lane,
        calls_per_minute::CallsPerMinute,
        concurrent_calls::ConcurrentCalls,
        spend::{Currency, Price, Spend, Tariff},
    },
    guard::Guard,
    keys::Key,
    memo::{Memo, RuleKey, Severity},
    policy::Policy,
    window::{Entry, Window},
};

/// Of the form below; another one is not restored.
/// 2: the nodes heard, and calls that do not count because theirs is silent. 3: tariffs.
pub const VERSION: u32 = 3;

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(sint64, tag = "1")]
    now_us: i64,
    #[prost(sint64, tag = "2")]
    swept_us: i64,
    #[prost(uint64, tag = "3")]
    call_serial: u64,
    #[prost(uint64, tag = "4")]
    key_serial: u64,
    #[prost(uint64, tag = "5")]
    key_uses: u64,
    #[prost(message, repeated, tag = "6")]
    policies: Vec<Named>,
    #[prost(message, repeated, tag = "7")]
    assigned: Vec<Named>,
    /// In the order they were first seen.
    #[prost(message, repeated, tag = "8")]
    accounts: Vec<Named>,
    #[prost(message, repeated, tag = "9")]
    keys: Vec<KeyState>,
    #[prost(message, repeated, tag = "10")]
    calls: Vec<CallState>,
    #[prost(message, optional, tag = "11")]
    nodes: Option<Nodes>,
}

/// A policy and its JSON, an account and its policy's name, or an account and its root.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyState {
    #[prost(uint64, tag = "1")]
    serial: u64,
    #[prost(uint32, tag = "2")]
    account: u32,
    #[prost(string, tag = "3")]
    group: String,
    #[prost(bool, tag = "4")]
    total: bool,
    #[prost(uint64, tag = "5")]
    used: u64,
    #[prost(message, repeated, tag = "6")]
    lanes: Vec<LaneState>,
    #[prost(message, repeated, tag = "7")]
    memos: Vec<MemoState>,
}

#[derive(Clone, PartialEq, Message)]
struct LaneState {
    #[prost(uint32, tag = "1")]
    concurrent: u32,
    #[prost(message, repeated, tag = "2")]
    minute: Vec<EntryState>,
    #[prost(message, repeated, tag = "3")]
    spend: Vec<SpendState>,
    #[prost(sint64, tag = "4")]
    burst_us: i64,
    #[prost(sint64, tag = "5")]
    last_us: i64,
}

#[derive(Clone, PartialEq, Message)]
struct SpendState {
    #[prost(string, tag = "1")]
    currency: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<EntryState>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct EntryState {
    #[prost(sint64, tag = "1")]
    first_us: i64,
    #[prost(sint64, tag = "2")]
    last_us: i64,
    #[prost(sint64, tag = "3")]
    sum: i64,
}

#[derive(Clone, PartialEq, Message)]
struct MemoState {
    #[prost(uint32, tag = "1")]
    feature: u32,
    #[prost(uint32, tag = "2")]
    watch: u32,
    #[prost(sint64, tag = "3")]
    window_us: i64,
    #[prost(sint64, optional, tag = "4")]
    warned_us: Option<i64>,
    #[prost(sint64, optional, tag = "5")]
    critical_us: Option<i64>,
    #[prost(bytes = "vec", tag = "6")]
    block: Vec<u8>,
    #[prost(sint64, tag = "7")]
    block_until_us: i64,
    #[prost(bool, tag = "8")]
    lifted: bool,
}

#[derive(Clone, PartialEq, Message)]
struct CallState {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    serial: u64,
    #[prost(uint32, tag = "3")]
    account: u32,
    /// Serial of its group key.
    #[prost(uint64, optional, tag = "4")]
    key: Option<u64>,
    #[prost(uint32, tag = "5")]
    classes: u32,
    #[prost(message, optional, tag = "6")]
    price: Option<PriceState>,
    #[prost(sint64, optional, tag = "7")]
    answered_us: Option<i64>,
    #[prost(sint64, tag = "8")]
    owed_e8: i64,
    #[prost(sint64, tag = "9")]
    owes_more_us: i64,
    #[prost(message, repeated, tag = "10")]
    raised: Vec<RaisedState>,
    #[prost(sint64, tag = "11")]
    again_us: i64,
    #[prost(sint64, tag = "12")]
    seen_us: i64,
    #[prost(sint64, tag = "13")]
    due_us: i64,
    #[prost(uint64, optional, tag = "14")]
    silent: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct PriceState {
    #[prost(sint64, tag = "1")]
    rate_e12: i64,
    #[prost(sint64, tag = "2")]
    connect_fee_e12: i64,
    #[prost(uint32, tag = "3")]
    initial_s: u32,
    #[prost(uint32, tag = "4")]
    increment_s: u32,
    #[prost(uint32, tag = "5")]
    places: u32,
    #[prost(int32, tag = "6")]
    rounding: i32,
    #[prost(string, tag = "7")]
    currency: String,
    /// Terms that are more than the numbers above, and the answer's instant.
    #[prost(message, optional, tag = "8")]
    tariff: Option<Terms>,
    #[prost(sint64, tag = "9")]
    answer_us: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct RaisedState {
    #[prost(uint32, tag = "1")]
    watch: u32,
    #[prost(bool, tag = "2")]
    critical: bool,
    #[prost(sint64, tag = "3")]
    threshold: i64,
}

pub fn take(guard: &Guard) -> Vec<u8> {
    let named = |name: &str, value: &str| Named { name: name.to_owned(), value: value.to_owned() };
    let json = |spec: &FraudPolicy| serde_json::to_string(spec).unwrap_or_default();
    let serial_of = |slot: u32| guard.keys.get(slot).map(|k| k.serial);
    State {
        now_us: guard.now_us,
        swept_us: guard.swept_us,
        call_serial: guard.call_serial,
        key_serial: guard.keys.serial,
        key_uses: guard.keys.uses,
        policies: guard.policies.iter().map(|(name, (spec, _))| named(name, &json(spec))).collect(),
        assigned: guard.assigned.iter().map(|(account, policy)| named(account, policy)).collect(),
        accounts: guard.keys.accounts.iter().map(|a| named(&a.name, &a.root)).collect(),
        keys: guard.keys.sorted().into_iter().map(|(_, key)| key_state(key)).collect(),
        calls: guard.calls.sorted().into_iter().map(|(c, due)| call_state(c, due, c.standing_key(&guard.keys).and_then(serial_of))).collect(),
        nodes: Some(guard.nodes.clone()),
    }
    .encode_to_vec()
}

/// Fills an empty guard.
pub fn read(state: &[u8], mut guard: Guard) -> Result<Guard, String> {
    let state = State::decode(state).map_err(|e| e.to_string())?;
    for Named { name, value } in state.policies {
        let spec: FraudPolicy = serde_json::from_str(&value).map_err(|e| format!("policy {name}: {e}"))?;
        let policy = Policy::compile(&spec).map_err(|e| format!("policy {name}: {e}"))?;
        guard.policies.insert(name, (spec, Arc::new(policy)));
    }
    guard.assigned = state.assigned.into_iter().map(|n| (n.name, n.value)).collect();
    for Named { name, value } in state.accounts {
        let policy = guard.policy_of(&name);
        guard.keys.add_account(&name, &value, policy);
    }
    let mut slots = HashMap::new();
    for key in state.keys {
        let account = guard.keys.accounts.get(key.account as usize).ok_or_else(|| format!("key {} of no account", key.serial))?;
        let slot = if key.total { account.total } else { guard.keys.add_group(key.account, &key.group) };
        slots.insert(key.serial, slot);
        fill_key(&mut guard, slot, key)?;
    }
    for call in state.calls {
        let key = match call.key {
            Some(serial) => Some(*slots.get(&serial).ok_or_else(|| format!("call {} of no key", call.serial))?),
            None => None,
        };
        if call.account as usize >= guard.keys.accounts.len() {
            return Err(format!("call {} of no account", call.serial));
        }
        let due_us = call.due_us;
        guard.calls.insert(call_of(call, key)?, due_us);
    }
    guard.nodes = state.nodes.unwrap_or_default().restored(guard.nodes.lost_after_us());
    (guard.now_us, guard.swept_us, guard.call_serial) = (state.now_us, state.swept_us, state.call_serial);
    (guard.keys.serial, guard.keys.uses) = (state.key_serial, state.key_uses);
    Ok(guard)
}

fn key_state(key: &Key) -> KeyState {
    KeyState {
        serial: key.serial,
        account: key.account,
        group: key.group.to_string(),
        total: key.total,
        used: key.used,
        lanes: key.lanes.iter().map(lane_state).collect(),
        memos: key.memos.iter().map(memo_state).collect(),
    }
}

fn fill_key(guard: &mut Guard, slot: u32, state: KeyState) -> Result<(), String> {
    let memos = state.memos.into_iter().map(memo_of).collect::<Result<Vec<_>, _>>()?;
    for memo in memos.iter().filter(|m| m.block != Id::NIL && !m.lifted) {
        guard.keys.blocks.insert(memo.block, slot);
    }
    if !state.total && !memos.is_empty() {
        guard.keys.accounts[state.account as usize].hot.push(slot);
    }
    // A key with live calls stops being idle, as at its first call.
    guard.keys.begin(slot, |key| {
        (key.serial, key.used, key.memos) = (state.serial, state.used, memos);
        for (lane, state) in key.lanes.iter_mut().zip(state.lanes) {
            *lane = lane_of(state);
        }
    });
    Ok(())
}

fn lane_state(lane: &Lane) -> LaneState {
    LaneState {
        concurrent: u32::try_from(lane.concurrent.value()).unwrap_or(u32::MAX),
        minute: entries(&lane.per_minute.window),
        spend: lane
            .spend
            .windows
            .iter()
            .map(|(currency, window)| SpendState { currency: currency.code().to_owned(), entries: entries(window) })
            .collect(),
        burst_us: lane.burst_us,
        last_us: lane.last_us,
    }
}

fn lane_of(state: LaneState) -> Lane {
    Lane {
        concurrent: ConcurrentCalls::with(state.concurrent),
        per_minute: CallsPerMinute { window: window(state.minute) },
        spend: Spend { windows: state.spend.into_iter().map(|s| (Currency::new(&s.currency), window(s.entries))).collect() },
        burst_us: state.burst_us,
        last_us: state.last_us,
    }
}

fn entries(window: &Window) -> Vec<EntryState> {
    window.entries().map(|e| EntryState { first_us: e.first_us, last_us: e.last_us, sum: e.sum }).collect()
}

fn window(entries: Vec<EntryState>) -> Window {
    Window::from_entries(entries.into_iter().map(|e| Entry { first_us: e.first_us, last_us: e.last_us, sum: e.sum }))
}

fn memo_state(memo: &Memo) -> MemoState {
    MemoState {
        feature: memo.rule.feature as u32,
        watch: memo.rule.watch as u32,
        window_us: memo.rule.window_us,
        warned_us: memo.warned_us,
        critical_us: memo.critical_us,
        block: memo.block.to_vec(),
        block_until_us: memo.block_until_us,
        lifted: memo.lifted,
    }
}

fn memo_of(state: MemoState) -> Result<Memo, String> {
    let feature = Feature::ALL.get(state.feature as usize).ok_or_else(|| format!("feature {}", state.feature))?;
    let rule = RuleKey { feature: *feature, watch: watch(state.watch)?, window_us: state.window_us };
    Ok(Memo {
        rule,
        warned_us: state.warned_us,
        critical_us: state.critical_us,
        block: Id::of(&state.block),
        block_until_us: state.block_until_us,
        lifted: state.lifted,
    })
}

fn watch(number: u32) -> Result<Watch, String> {
    Watch::ALL.get(number as usize).copied().ok_or_else(|| format!("watch {number}"))
}

fn call_state(call: &Call, due_us: i64, key: Option<u64>) -> CallState {
    let raised = |r: &Raised| RaisedState { watch: r.watch as u32, critical: r.severity == Severity::Critical, threshold: r.threshold };
    CallState {
        id: call.id.to_vec(),
        serial: call.serial,
        account: call.account,
        key,
        classes: u32::from(call.classes.0),
        price: call.price.as_ref().map(price_state),
        answered_us: call.answered_us,
        owed_e8: call.owed_e8,
        owes_more_us: call.owes_more_us,
        raised: call.raised.iter().map(raised).collect(),
        again_us: call.again_us,
        seen_us: call.seen_us,
        due_us,
        silent: call.silent,
    }
}

fn call_of(state: CallState, key: Option<u32>) -> Result<Call, String> {
    let raised = |r: &RaisedState| {
        let severity = if r.critical { Severity::Critical } else { Severity::Warning };
        Ok::<_, String>(Raised { watch: watch(r.watch)?, severity, threshold: r.threshold })
    };
    Ok(Call {
        id: Id::of(&state.id),
        serial: state.serial,
        account: state.account,
        key,
        classes: Classes(u8::try_from(state.classes).map_err(|e| format!("classes: {e}"))?),
        price: state.price.map(price_of),
        answered_us: state.answered_us,
        owed_e8: state.owed_e8,
        owes_more_us: state.owes_more_us,
        raised: state.raised.iter().map(raised).collect::<Result<_, _>>()?,
        again_us: state.again_us,
        seen_us: state.seen_us,
        silent: state.silent,
    })
}

fn price_state(price: &Price) -> PriceState {
    let PlainPrice { rate_e12, connect_fee_e12, initial_s, increment_s, places, rounding } = price.plain;
    PriceState {
        rate_e12,
        connect_fee_e12,
        initial_s,
        increment_s,
        places,
        rounding,
        currency: price.currency.code().to_owned(),
        tariff: price.tariff.as_ref().map(|t| t.terms.clone()),
        answer_us: price.tariff.as_ref().map_or(0, |t| t.answer_us),
    }
}

fn price_of(state: PriceState) -> Price {
    let PriceState { rate_e12, connect_fee_e12, initial_s, increment_s, places, rounding, answer_us, .. } = state;
    Price {
        plain: PlainPrice { rate_e12, connect_fee_e12, initial_s, increment_s, places, rounding },
        currency: Currency::new(&state.currency),
        tariff: state.tariff.map(|terms| Box::new(Tariff { terms, answer_us })),
    }
}
