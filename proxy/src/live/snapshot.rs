//! The snapshot of [`LiveCalls`], version 2: protobuf, with the events as the log holds them. Written and read here only;
//! a field's number is never used again.

use std::sync::Arc;

use prost::Message;
use tollgate_schemas::v1::Event;

use super::{LiveCalls, Nodes, OpenCall, Spend, Usage, node_of};
use crate::admission::HotWindow;

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(uint64, tag = "1")]
    next_offset: u64,
    #[prost(sint64, tag = "2")]
    swept_us: i64,
    #[prost(sint64, tag = "3")]
    latest_us: i64,
    #[prost(message, repeated, tag = "4")]
    calls: Vec<CallState>,
    #[prost(message, repeated, tag = "5")]
    spend: Vec<SpendState>,
    #[prost(message, repeated, tag = "6")]
    owed: Vec<OwedState>,
    #[prost(message, repeated, tag = "7")]
    hot_spots: Vec<HotState>,
    /// They say which calls are set aside.
    #[prost(message, optional, tag = "8")]
    nodes: Option<Nodes>,
}

#[derive(Clone, PartialEq, Message)]
struct CallState {
    /// Each an encoded `Event`, in the log's order.
    #[prost(bytes = "vec", repeated, tag = "1")]
    events: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct SpendState {
    #[prost(string, tag = "1")]
    trunk: String,
    #[prost(sint64, tag = "2")]
    day: i64,
    #[prost(sint64, tag = "3")]
    amount_e8: i64,
}

#[derive(Clone, PartialEq, Message)]
struct OwedState {
    #[prost(string, tag = "1")]
    account: String,
    #[prost(sint64, tag = "2")]
    amount_e8: i64,
}

#[derive(Clone, PartialEq, Message)]
struct HotState {
    #[prost(string, tag = "1")]
    account: String,
    #[prost(string, tag = "2")]
    group: String,
    /// Minutes since 1970, and calls in each.
    #[prost(sint64, repeated, tag = "3")]
    minutes: Vec<i64>,
    #[prost(uint32, repeated, tag = "4")]
    calls: Vec<u32>,
}

pub(super) fn encode(live: &LiveCalls) -> Vec<u8> {
    let usage = &live.usage;
    State {
        next_offset: live.next_offset,
        swept_us: live.swept_us,
        latest_us: usage.latest_us,
        calls: live.calls.values().chain(live.aside.values()).map(|call| CallState { events: call.events().iter().map(|e| e.encode_to_vec()).collect() }).collect(),
        spend: usage.spend.iter().map(|(trunk, s)| SpendState { trunk: trunk.clone(), day: s.day, amount_e8: s.amount_e8 }).collect(),
        owed: usage.owed.iter().map(|(account, amount_e8)| OwedState { account: account.clone(), amount_e8: *amount_e8 }).collect(),
        hot_spots: usage
            .hot_spots
            .iter()
            .map(|((account, group), window)| {
                let (minutes, calls) = window.minutes().unzip();
                HotState { account: account.clone(), group: group.clone(), minutes, calls }
            })
            .collect(),
        nodes: Some(live.nodes.clone()),
    }
    .encode_to_vec()
}

pub(super) fn decode(bytes: &[u8], own: Option<u64>, lost_after_us: i64) -> Result<LiveCalls, String> {
    let state = State::decode(bytes).map_err(|e| e.to_string())?;
    let nodes = state.nodes.unwrap_or_default().restored(lost_after_us);
    let mut live = LiveCalls { own, next_offset: state.next_offset, swept_us: state.swept_us, nodes, ..LiveCalls::default() };
    for call in state.calls {
        let events: Result<Vec<Arc<Event>>, _> = call.events.iter().map(|bytes| tollgate_schemas::event::decode(bytes).map(Arc::new)).collect();
        let call = OpenCall::of(events.map_err(|e| e.to_string())?).ok_or("an open call does not start with call.attempted")?;
        let node = node_of(call.id());
        let aside = own != Some(node) && live.nodes.is_lost(node);
        if aside { &mut live.aside } else { &mut live.calls }.insert(call.id(), call);
    }
    let spend = state.spend.into_iter().map(|s| (s.trunk, Spend { day: s.day, amount_e8: s.amount_e8 })).collect();
    let owed = state.owed.into_iter().map(|o| (o.account, o.amount_e8)).collect();
    let mut usage = Usage { latest_us: state.latest_us, spend, owed, ..Usage::default() };
    for hot in state.hot_spots {
        if hot.minutes.len() != hot.calls.len() {
            return Err(format!("the window of {} and {} is torn", hot.account, hot.group));
        }
        let mut window = HotWindow::default();
        window.merge(hot.minutes.into_iter().zip(hot.calls));
        usage.hot_spots.insert((hot.account, hot.group), window);
    }
    live.usage = usage;
    Ok(live)
}
