//! Which row is which: (call, record type, attempt, version) names a row for ever; without the version it names the
//! chain of which only the highest version is read.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tollgate_schemas::{
    cdr::{self, Cdr},
    id::Id,
    store::StoreError,
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

/// The highest version of each chain that has one above 1. Rare, so it is held in memory whole.
#[derive(Debug, Clone, Default)]
pub struct Revised(HashMap<ChainId, u32>);

impl Revised {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn note(&mut self, kind: Kind, call: Id, attempt: u32, version: u32) {
        if version > 1 {
            let highest = self.0.entry(ChainId::new(kind, call, attempt)).or_default();
            *highest = version.max(*highest);
        }
    }

    /// Whether a stored row of that version is the one to read.
    pub fn is_current(&self, kind: Kind, call: Id, attempt: u32, version: u32) -> bool {
        self.0.get(&ChainId::new(kind, call, attempt)).is_none_or(|highest| version == *highest)
    }
}

pub type RowIds = HashSet<RowId>;
