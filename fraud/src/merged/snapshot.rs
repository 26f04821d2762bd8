//! The stage's whole state as protobuf, in order of keys, so equal states give equal bytes. Field numbers are never reused.

use prost::Message;
use tollgate_schemas::v1::Figure as Published;

use super::{Key, Merged, Rule, Share, sorted};
use crate::figures::{Figures, Kind};

/// Of the form below; another one is not restored.
pub const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(sint64, tag = "2")]
    clock_us: i64,
    #[prost(message, repeated, tag = "3")]
    keys: Vec<KeyState>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyState {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    key: String,
    #[prost(message, repeated, tag = "3")]
    shares: Vec<ShareState>,
    #[prost(message, repeated, tag = "4")]
    said: Vec<SaidState>,
}

#[derive(Clone, PartialEq, Message)]
struct ShareState {
    #[prost(sint64, tag = "1")]
    start_us: i64,
    #[prost(uint32, tag = "2")]
    source: u32,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(message, repeated, tag = "4")]
    figures: Vec<Published>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct SaidState {
    #[prost(uint32, tag = "1")]
    rule: u32,
    #[prost(bool, tag = "2")]
    critical: bool,
    #[prost(sint64, tag = "3")]
    at_us: i64,
}

pub fn take(stage: &Merged) -> Vec<u8> {
    let share = |((start_us, source), share): (&(i64, u16), &Share)| ShareState {
        start_us: *start_us,
        source: u32::from(*source),
        revision: share.revision,
        figures: share.figures.published(),
    };
    let said = |(rule, critical, at_us): &(Rule, bool, i64)| SaidState { rule: *rule as u32, critical: *critical, at_us: *at_us };
    let key = |((kind, name), key): (&(Kind, Box<str>), &Key)| KeyState {
        kind: *kind as u32,
        key: name.to_string(),
        shares: key.shares.iter().map(share).collect(),
        said: key.said.iter().map(said).collect(),
    };
    State { partition: stage.partition.into(), clock_us: stage.clock_us, keys: sorted(&stage.keys).into_iter().map(key).collect() }.encode_to_vec()
}

/// Fills an empty stage.
pub fn read(state: &[u8], mut stage: Merged) -> Result<Merged, String> {
    let state = State::decode(state).map_err(|e| e.to_string())?;
    if state.partition != u32::from(stage.partition) {
        return Err(format!("it is of partition {}, this is partition {}", state.partition, stage.partition));
    }
    stage.clock_us = state.clock_us;
    for saved in state.keys {
        let kind = Kind::ALL.get(saved.kind as usize).copied().ok_or_else(|| format!("kind {}", saved.kind))?;
        let mut key = Key::default();
        for share in saved.shares {
            let source = u16::try_from(share.source).map_err(|_| format!("partition {}", share.source))?;
            key.shares.insert((share.start_us, source), Share { revision: share.revision, figures: Figures::of(&share.figures) });
        }
        for said in saved.said {
            let rule = Rule::ALL.get(said.rule as usize).copied().ok_or_else(|| format!("rule {}", said.rule))?;
            key.said.push((rule, said.critical, said.at_us));
        }
        stage.shares += key.shares.len();
        stage.keys.insert((kind, saved.key.into()), key);
    }
    Ok(stage)
}
