//! The stage's whole state as protobuf. In order of ids and keys, so equal states give equal bytes. Field numbers are never
//! reused.

use std::collections::BTreeSet;

use prost::Message;
use tollgate_schemas::{id::Id, nodes::Nodes, v1::Figure as Published};

use super::{
    Partials,
    calls::{Attempt, Call},
    tables::Row,
};
use crate::{
    figures::{Figures, Kind},
};

/// Of the form below; another one is not restored.
pub const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(sint64, tag = "2")]
    clock_us: i64,
    #[prost(sint64, tag = "3")]
    published_us: i64,
    #[prost(message, optional, tag = "4")]
    nodes: Option<Nodes>,
    #[prost(message, repeated, tag = "5")]
    calls: Vec<CallState>,
    /// Ids of 16 bytes each, oldest first.
    #[prost(bytes = "vec", tag = "6")]
    recent: Vec<u8>,
    #[prost(sint64, tag = "7")]
    swept_us: i64,
    #[prost(message, repeated, tag = "8")]
    rows: Vec<RowState>,
}

#[derive(Clone, PartialEq, Message)]
struct CallState {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    range: String,
    #[prost(string, tag = "3")]
    ip: String,
    #[prost(string, tag = "4")]
    dest_group: String,
    #[prost(sint64, tag = "5")]
    begun_us: i64,
    #[prost(bool, tag = "6")]
    answered: bool,
    #[prost(sint64, tag = "7")]
    rang_us: i64,
    #[prost(message, repeated, tag = "8")]
    attempts: Vec<AttemptState>,
    #[prost(uint32, repeated, tag = "9")]
    ended: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct AttemptState {
    #[prost(uint32, tag = "1")]
    no: u32,
    #[prost(string, tag = "2")]
    carrier: String,
    #[prost(sint64, tag = "3")]
    tried_us: i64,
    #[prost(bool, tag = "4")]
    answered: bool,
}

#[derive(Clone, PartialEq, Message)]
struct RowState {
    #[prost(sint64, tag = "1")]
    start_us: i64,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(string, tag = "3")]
    key: String,
    /// Without the accounts.
    #[prost(message, repeated, tag = "4")]
    figures: Vec<Published>,
    #[prost(string, repeated, tag = "5")]
    accounts: Vec<String>,
    #[prost(uint64, tag = "6")]
    revision: u64,
    #[prost(bool, tag = "7")]
    dirty: bool,
}

pub fn take(stage: &Partials) -> Vec<u8> {
    let mut calls: Vec<_> = stage.calls.open.iter().collect();
    calls.sort_unstable_by_key(|(id, _)| **id);
    let tables = stage.tables.0.iter();
    let rows = tables.flat_map(|(start_us, tables)| {
        Kind::ALL.into_iter().zip(tables).flat_map(move |(kind, table)| table.iter().map(move |(key, row)| row_state(*start_us, kind, key, row)))
    });
    State {
        partition: stage.partition.into(),
        clock_us: stage.clock_us,
        published_us: stage.published_us,
        nodes: Some(stage.nodes.clone()),
        calls: calls.into_iter().map(|(id, call)| call_state(*id, call)).collect(),
        recent: stage.calls.recent.iter().flat_map(|id| id.0.to_be_bytes()).collect(),
        swept_us: stage.calls.swept_us,
        rows: rows.collect(),
    }
    .encode_to_vec()
}

/// Fills an empty stage.
pub fn read(state: &[u8], mut stage: Partials) -> Result<Partials, String> {
    let state = State::decode(state).map_err(|e| e.to_string())?;
    if state.partition != u32::from(stage.partition) {
        return Err(format!("it is of partition {}, this is partition {}", state.partition, stage.partition));
    }
    stage.clock_us = state.clock_us;
    stage.published_us = state.published_us;
    stage.nodes = state.nodes.unwrap_or_default().restored(stage.nodes.lost_after_us());
    stage.calls.swept_us = state.swept_us;
    let (ids, rest) = state.recent.as_chunks::<16>();
    if !rest.is_empty() {
        return Err("its ids are cut short".to_owned());
    }
    for id in ids {
        stage.calls.once(Id(u128::from_be_bytes(*id)));
    }
    for call in state.calls {
        let attempts = call.attempts.into_iter();
        let attempt = |a: AttemptState| Attempt { no: a.no, carrier: a.carrier.into(), tried_us: a.tried_us, answered: a.answered };
        stage.calls.open.insert(
            Id::of(&call.id),
            Call {
                range: call.range.into(),
                ip: call.ip.into(),
                dest_group: call.dest_group.into(),
                begun_us: call.begun_us,
                answered: call.answered,
                rang_us: call.rang_us,
                attempts: attempts.map(attempt).collect(),
                ended: call.ended,
            },
        );
    }
    for row in state.rows {
        let kind = Kind::ALL.get(row.kind as usize).copied().ok_or_else(|| format!("kind {}", row.kind))?;
        let accounts: BTreeSet<Box<str>> = row.accounts.into_iter().map(Into::into).collect();
        let filled = Row { figures: Figures::of(&row.figures), accounts, revision: row.revision, dirty: row.dirty };
        stage.tables.0.entry(row.start_us).or_default()[kind as usize].insert(row.key.into(), filled);
    }
    Ok(stage)
}

fn row_state(start_us: i64, kind: Kind, key: &str, row: &Row) -> RowState {
    RowState {
        start_us,
        kind: kind as u32,
        key: key.to_owned(),
        figures: row.figures.published(),
        accounts: row.accounts.iter().map(ToString::to_string).collect(),
        revision: row.revision,
        dirty: row.dirty,
    }
}

fn call_state(id: Id, call: &Call) -> CallState {
    let attempt = |a: &Attempt| AttemptState { no: a.no, carrier: a.carrier.to_string(), tried_us: a.tried_us, answered: a.answered };
    CallState {
        id: id.to_vec(),
        range: call.range.to_string(),
        ip: call.ip.to_string(),
        dest_group: call.dest_group.to_string(),
        begun_us: call.begun_us,
        answered: call.answered,
        rang_us: call.rang_us,
        attempts: call.attempts.iter().map(attempt).collect(),
        ended: call.ended.clone(),
    }
}
