//! The counter's whole state as protobuf, in order of ids and keys, so that equal states give equal bytes. Field numbers are
//! never reused.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_schemas::{codec::CodecClass, id::Id, nodes::Nodes};

use super::{Attempt, Call, Counter, Figures, Row, Under};

/// Of the form below; another one is not restored.
/// 2: codec classes.
pub const VERSION: u32 = 2;

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
    #[prost(sint64, tag = "9")]
    redials_since_us: i64,
    #[prost(btree_map = "fixed64, sint64", tag = "10")]
    redials_now: BTreeMap<u64, i64>,
    #[prost(btree_map = "fixed64, sint64", tag = "11")]
    redials_before: BTreeMap<u64, i64>,
}

#[derive(Clone, PartialEq, Message)]
struct CallState {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    dest_group: String,
    #[prost(sint64, tag = "3")]
    begun_us: i64,
    #[prost(bool, tag = "4")]
    redial: bool,
    #[prost(message, repeated, tag = "5")]
    attempts: Vec<AttemptState>,
    #[prost(string, tag = "6")]
    codec_class: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttemptState {
    #[prost(uint32, tag = "1")]
    no: u32,
    #[prost(string, tag = "2")]
    carrier: String,
    #[prost(sint64, tag = "3")]
    tried_us: i64,
    #[prost(sint64, tag = "4")]
    rang_us: i64,
    #[prost(bool, tag = "5")]
    early_media: bool,
    #[prost(bool, tag = "6")]
    answered: bool,
    #[prost(bool, tag = "7")]
    ended: bool,
}

#[derive(Clone, PartialEq, Message)]
struct RowState {
    #[prost(sint64, tag = "1")]
    start_us: i64,
    #[prost(string, tag = "2")]
    dest_group: String,
    #[prost(string, tag = "3")]
    carrier: String,
    #[prost(uint64, repeated, tag = "4")]
    figures: Vec<u64>,
    #[prost(uint64, tag = "5")]
    revision: u64,
    #[prost(bool, tag = "6")]
    dirty: bool,
    #[prost(string, tag = "7")]
    codec_class: String,
}

pub fn take(stage: &Counter) -> Vec<u8> {
    let mut calls: Vec<_> = stage.calls.open.iter().collect();
    calls.sort_unstable_by_key(|(id, _)| **id);
    let rows = stage.minutes.iter().flat_map(|(start_us, table)| {
        table.iter().map(move |((dest_group, carrier, class), row)| RowState {
            start_us: *start_us,
            dest_group: dest_group.to_string(),
            carrier: carrier.to_string(),
            figures: row.figures.published(),
            revision: row.revision,
            dirty: row.dirty,
            codec_class: class.name().to_owned(),
        })
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
        redials_since_us: stage.redials.since_us,
        redials_now: stage.redials.now.clone(),
        redials_before: stage.redials.before.clone(),
    }
    .encode_to_vec()
}

fn call_state(id: Id, call: &Call) -> CallState {
    let attempt = |a: &Attempt| AttemptState {
        no: a.no,
        carrier: a.carrier.to_string(),
        tried_us: a.tried_us,
        rang_us: a.rang_us,
        early_media: a.early_media,
        answered: a.answered,
        ended: a.ended,
    };
    CallState {
        id: id.to_vec(),
        dest_group: call.under.dest_group.to_string(),
        begun_us: call.begun_us,
        redial: call.under.redial,
        attempts: call.attempts.iter().map(attempt).collect(),
        codec_class: call.under.class.name().to_owned(),
    }
}

/// Fills an empty stage.
pub fn read(state: &[u8], mut stage: Counter) -> Result<Counter, String> {
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
    ids.iter().for_each(|id| stage.calls.over(Id(u128::from_be_bytes(*id))));
    for call in state.calls {
        let attempt = |a: AttemptState| Attempt {
            no: a.no,
            carrier: a.carrier.into(),
            tried_us: a.tried_us,
            rang_us: a.rang_us,
            early_media: a.early_media,
            answered: a.answered,
            ended: a.ended,
        };
        let attempts = call.attempts.into_iter().map(attempt).collect();
        let under = Under { dest_group: call.dest_group.into(), class: CodecClass::of(&call.codec_class), redial: call.redial };
        stage.calls.open.insert(Id::of(&call.id), Call { under, begun_us: call.begun_us, attempts });
    }
    for row in state.rows {
        let filled = Row { figures: Figures::of(&row.figures), revision: row.revision, dirty: row.dirty };
        let key = (row.dest_group.into(), row.carrier.into(), CodecClass::of(&row.codec_class));
        stage.minutes.entry(row.start_us).or_default().insert(key, filled);
    }
    stage.redials.since_us = state.redials_since_us;
    stage.redials.now = state.redials_now;
    stage.redials.before = state.redials_before;
    Ok(stage)
}
