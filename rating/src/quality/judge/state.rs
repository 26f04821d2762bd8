//! The judge's whole state as protobuf, in order of names, so that equal states give equal bytes. Field numbers are never
//! reused.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_schemas::v1::QualityVerdict;

use super::{Carrier, Figures, Group, Judge, Mark, Share};

/// Of the form below; another one is not restored.
pub const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(uint32, tag = "1")]
    partition: u32,
    #[prost(sint64, tag = "2")]
    clock_us: i64,
    #[prost(sint64, tag = "3")]
    sampled_us: i64,
    #[prost(message, repeated, tag = "4")]
    groups: Vec<GroupState>,
}

#[derive(Clone, PartialEq, Message)]
struct GroupState {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    dirty: bool,
    #[prost(message, optional, tag = "3")]
    said: Option<QualityVerdict>,
    #[prost(sint64, tag = "4")]
    said_us: i64,
    #[prost(message, repeated, tag = "5")]
    carriers: Vec<CarrierState>,
}

#[derive(Clone, PartialEq, Message)]
struct CarrierState {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    shares: Vec<ShareState>,
    #[prost(message, repeated, tag = "3")]
    minutes: Vec<Sum>,
    #[prost(message, repeated, tag = "4")]
    quarters: Vec<Sum>,
    #[prost(message, repeated, tag = "5")]
    hours: Vec<Sum>,
    /// First, answered, reached, broken.
    #[prost(uint64, repeated, tag = "6")]
    total: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    mark: Vec<u64>,
    #[prost(uint32, tag = "8")]
    bad: u32,
    #[prost(uint32, tag = "9")]
    good: u32,
    #[prost(bool, tag = "10")]
    demoted: bool,
    #[prost(sint64, tag = "11")]
    switched_us: i64,
    #[prost(sint64, tag = "12")]
    fas_until_us: i64,
    #[prost(sint64, tag = "13")]
    heard_us: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ShareState {
    #[prost(sint64, tag = "1")]
    start_us: i64,
    #[prost(uint32, tag = "2")]
    source: u32,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(uint64, repeated, tag = "4")]
    figures: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(sint64, tag = "1")]
    start_us: i64,
    #[prost(uint64, repeated, tag = "2")]
    figures: Vec<u64>,
}

fn sums(of: &BTreeMap<i64, Figures>) -> Vec<Sum> {
    of.iter().map(|(start_us, f)| Sum { start_us: *start_us, figures: f.published() }).collect()
}

fn summed(of: Vec<Sum>) -> BTreeMap<i64, Figures> {
    of.into_iter().map(|s| (s.start_us, Figures::of(&s.figures))).collect()
}

fn mark(m: &Mark) -> Vec<u64> {
    vec![m.first, m.answered, m.reached, m.broken]
}

fn marked(of: &[u64]) -> Mark {
    let at = |i: usize| of.get(i).copied().unwrap_or(0);
    Mark { first: at(0), answered: at(1), reached: at(2), broken: at(3) }
}

pub fn take(stage: &Judge) -> Vec<u8> {
    let carrier = |(name, c): (&Box<str>, &Carrier)| CarrierState {
        name: name.to_string(),
        shares: c
            .shares
            .iter()
            .map(|((start_us, source), s)| ShareState { start_us: *start_us, source: (*source).into(), revision: s.revision, figures: s.figures.published() })
            .collect(),
        minutes: sums(&c.minutes),
        quarters: sums(&c.quarters),
        hours: sums(&c.hours),
        total: mark(&c.total),
        mark: mark(&c.mark),
        bad: c.bad,
        good: c.good,
        demoted: c.demoted,
        switched_us: c.switched_us,
        fas_until_us: c.fas_until_us,
        heard_us: c.heard_us,
    };
    let group = |(name, g): (&Box<str>, &Group)| GroupState {
        name: name.to_string(),
        dirty: g.dirty,
        said: Some(g.said.clone()),
        said_us: g.said_us,
        carriers: g.carriers.iter().map(carrier).collect(),
    };
    State {
        partition: stage.partition.into(),
        clock_us: stage.clock_us,
        sampled_us: stage.sampled_us,
        groups: stage.groups.iter().map(group).collect(),
    }
    .encode_to_vec()
}

/// Fills an empty stage.
pub fn read(state: &[u8], mut stage: Judge) -> Result<Judge, String> {
    let state = State::decode(state).map_err(|e| e.to_string())?;
    if state.partition != u32::from(stage.partition) {
        return Err(format!("it is of partition {}, this is partition {}", state.partition, stage.partition));
    }
    (stage.clock_us, stage.sampled_us) = (state.clock_us, state.sampled_us);
    for g in state.groups {
        let mut group = Group { carriers: BTreeMap::new(), dirty: g.dirty, said: g.said.unwrap_or_default(), said_us: g.said_us };
        for c in g.carriers {
            let mut shares = BTreeMap::new();
            for s in c.shares {
                let source = u16::try_from(s.source).map_err(|_| format!("partition {}", s.source))?;
                shares.insert((s.start_us, source), Share { revision: s.revision, figures: Figures::of(&s.figures) });
            }
            let carrier = Carrier {
                shares,
                minutes: summed(c.minutes),
                quarters: summed(c.quarters),
                hours: summed(c.hours),
                total: marked(&c.total),
                mark: marked(&c.mark),
                bad: c.bad,
                good: c.good,
                demoted: c.demoted,
                switched_us: c.switched_us,
                fas_until_us: c.fas_until_us,
                heard_us: c.heard_us,
            };
            group.carriers.insert(c.name.into(), carrier);
            stage.keys += 1;
        }
        stage.groups.insert(g.name.into(), group);
    }
    Ok(stage)
}
