//! The judge's whole state as protobuf, in order of names, so that equal states give equal bytes. Field numbers are never
//! reused.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_schemas::{codec::CodecClass, v1::QualityVerdict};

use super::{Carrier, Figures, Group, Judge, Mark, Share, Standing};

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

/// Tags 3 to 11 and 13 were version 1's.
#[derive(Clone, PartialEq, Message)]
struct CarrierState {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    shares: Vec<ShareState>,
    #[prost(sint64, tag = "12")]
    fas_until_us: i64,
    /// With all calls first, then by class.
    #[prost(message, repeated, tag = "14")]
    standings: Vec<StandingState>,
}

#[derive(Clone, PartialEq, Message)]
struct StandingState {
    #[prost(string, tag = "1")]
    codec_class: String,
    #[prost(message, repeated, tag = "2")]
    minutes: Vec<Sum>,
    #[prost(message, repeated, tag = "3")]
    quarters: Vec<Sum>,
    #[prost(message, repeated, tag = "4")]
    hours: Vec<Sum>,
    /// First, answered, reached, broken.
    #[prost(uint64, repeated, tag = "5")]
    total: Vec<u64>,
    #[prost(uint64, repeated, tag = "6")]
    mark: Vec<u64>,
    #[prost(uint32, tag = "7")]
    bad: u32,
    #[prost(uint32, tag = "8")]
    good: u32,
    #[prost(bool, tag = "9")]
    demoted: bool,
    #[prost(sint64, tag = "10")]
    switched_us: i64,
    #[prost(sint64, tag = "11")]
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
    #[prost(string, tag = "5")]
    codec_class: String,
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

fn standing(class: CodecClass, s: &Standing) -> StandingState {
    StandingState {
        codec_class: class.name().to_owned(),
        minutes: sums(&s.minutes),
        quarters: sums(&s.quarters),
        hours: sums(&s.hours),
        total: mark(&s.total),
        mark: mark(&s.mark),
        bad: s.bad,
        good: s.good,
        demoted: s.demoted,
        switched_us: s.switched_us,
        heard_us: s.heard_us,
    }
}

fn stood(s: StandingState) -> Standing {
    Standing {
        minutes: summed(s.minutes),
        quarters: summed(s.quarters),
        hours: summed(s.hours),
        total: marked(&s.total),
        mark: marked(&s.mark),
        bad: s.bad,
        good: s.good,
        demoted: s.demoted,
        switched_us: s.switched_us,
        heard_us: s.heard_us,
    }
}

pub fn take(stage: &Judge) -> Vec<u8> {
    let share = |((start_us, source, class), s): (&(i64, u16, CodecClass), &Share)| ShareState {
        start_us: *start_us,
        source: (*source).into(),
        revision: s.revision,
        figures: s.figures.published(),
        codec_class: class.name().to_owned(),
    };
    let carrier = |(name, c): (&Box<str>, &Carrier)| CarrierState {
        name: name.to_string(),
        shares: c.shares.iter().map(share).collect(),
        fas_until_us: c.fas_until_us,
        standings: std::iter::once((&CodecClass::Unknown, &c.all)).chain(&c.by_class).map(|(class, s)| standing(*class, s)).collect(),
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
            let mut carrier = Carrier { fas_until_us: c.fas_until_us, ..Carrier::default() };
            for s in c.shares {
                let source = u16::try_from(s.source).map_err(|_| format!("partition {}", s.source))?;
                let share = Share { revision: s.revision, figures: Figures::of(&s.figures) };
                carrier.shares.insert((s.start_us, source, CodecClass::of(&s.codec_class)), share);
            }
            for s in c.standings {
                match CodecClass::of(&s.codec_class) {
                    CodecClass::Unknown => carrier.all = stood(s),
                    class => drop(carrier.by_class.insert(class, stood(s))),
                }
            }
            stage.classes += carrier.by_class.len();
            group.carriers.insert(c.name.into(), carrier);
            stage.keys += 1;
        }
        stage.groups.insert(g.name.into(), group);
    }
    Ok(stage)
}
