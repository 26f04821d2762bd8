//! Which row is which: (call, record type, attempt, version) names a row for ever; without the version it names the
//! chain of which only the highest version is read.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tollgate_schemas::{
    cdr::{self, Cdr},
    id::Id,
    store::{CdrFilter, StoreError},
};

/// The two kinds of rows; each kind has its own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Final,
    Attempt,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Final, Kind::Attempt];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Final => cdr::FINAL,
            Kind::Attempt => cdr::ATTEMPT,
        }
    }

    pub fn parse(name: &str) -> Result<Kind, StoreError> {
        Kind::ALL
            .into_iter()
            .find(|k| k.name() == name)
            .ok_or_else(|| StoreError::BadQuery(format!("record_type '{name}' is neither 'final' nor 'attempt'")))
    }
}

/// A row's identity in 128 bits: the call's id xor a random-looking word of the rest. Rows with the same kind, attempt
/// and version cannot collide; others only by a 2^-128 accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(u128);

/// A chain of versions, in the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainId(u128);

/// SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn word(kind: Kind, attempt: u32, version: u32) -> u128 {
    let tag = (u64::from(attempt) << 32) | u64::from(version);
    let salt = mix(kind as u64 + 1);
    (u128::from(mix(tag ^ salt)) << 64) | u128::from(mix(!tag ^ salt.rotate_left(32)))
}

impl RowId {
    pub fn new(kind: Kind, call: Id, attempt: u32, version: u32) -> RowId {
        RowId(call.0 ^ word(kind, attempt, version))
    }
}

impl ChainId {
    /// Version 0 is no row's, so it can stand for the chain.
    pub fn new(kind: Kind, call: Id, attempt: u32) -> ChainId {
        ChainId(call.0 ^ word(kind, attempt, 0))
    }
}

/// A row with what the store files it under.
#[derive(Debug, Clone)]
pub struct Row {
    pub cdr: Arc<Cdr>,
    pub kind: Kind,
    pub id: RowId,
}

impl Row {
    /// Errors on a row that could not be stored and read back as it is.
    pub fn new(cdr: Arc<Cdr>) -> Result<Row, StoreError> {
        let kind = Kind::parse(&cdr.record_type)?;
        let call = Id::from_bytes(&cdr.call_uuid)
            .ok_or_else(|| StoreError::BadQuery(format!("call_uuid has {} bytes instead of 16", cdr.call_uuid.len())))?;
        if cdr.block_id.as_ref().is_some_and(|b| b.len() != 16) {
            return Err(StoreError::BadQuery(format!("block_id of call {call} has not 16 bytes")));
        }
        if cdr.cdr_version == 0 {
            return Err(StoreError::BadQuery(format!("cdr_version of call {call} is 0; versions count from 1")));
        }
        let id = RowId::new(kind, call, cdr.attempt_no, cdr.cdr_version);
        Ok(Row { cdr, kind, id })
    }
}

/// The versions above 1 of each chain that has any. Rare, so it is held in memory whole.
#[derive(Debug, Clone, Default)]
pub struct Revised(HashMap<ChainId, Chain>);

#[derive(Debug, Clone, Default)]
struct Chain {
    highest: u32,
    /// `event_last_offset` of the highest.
    offset: u64,
    /// The others, in any order.
    older: Vec<(u32, u64)>,
}

/// What of a stored row says which version it is and since when it is there.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    pub call: Id,
    pub attempt: u32,
    pub version: u32,
    pub partition: u32,
    pub last_offset: u64,
}

impl Revised {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn note(&mut self, kind: Kind, stand: &Stand) {
        let Stand { call, attempt, version, last_offset, .. } = *stand;
        if version <= 1 {
            return;
        }
        let chain = self.0.entry(ChainId::new(kind, call, attempt)).or_default();
        if version == chain.highest || chain.older.iter().any(|(known, _)| *known == version) {
            return;
        }
        if version > chain.highest {
            if chain.highest > 0 {
                chain.older.push((chain.highest, chain.offset));
            }
            (chain.highest, chain.offset) = (version, last_offset);
        } else {
            chain.older.push((version, last_offset));
        }
    }

    /// Whether a stored row of that version is the one to read.
    pub fn is_current(&self, kind: Kind, call: Id, attempt: u32, version: u32) -> bool {
        self.0.get(&ChainId::new(kind, call, attempt)).is_none_or(|chain| version == chain.highest)
    }

    /// The same when the log was read up to `as_of`.
    pub fn is_current_at(&self, kind: Kind, row: &Stand, as_of: &[u64]) -> bool {
        let there = |offset| CdrFilter::is_visible(as_of, row.partition, offset);
        if !there(row.last_offset) {
            return false;
        }
        let Some(chain) = self.0.get(&ChainId::new(kind, row.call, row.attempt)) else { return true };
        let versions = chain.older.iter().copied().chain([(chain.highest, chain.offset)]);
        row.version == versions.filter(|(_, offset)| there(*offset)).map(|(version, _)| version).max().unwrap_or(1)
    }
}

pub type RowIds = HashSet<RowId>;
