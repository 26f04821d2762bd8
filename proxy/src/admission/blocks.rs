//! Blocks in force (F-30..F-32): placed by the fraud stage or a person, asked at each INVITE, at each further attempt, at
//! the 200 and by sweeps. Each block is indexed by its narrowest field, so that a call asks a handful of small maps
//! however many blocks there are. Emergency calls match none.

use std::{collections::BTreeSet, net::IpAddr};

use foldhash::HashMap;
use tollgate_schemas::{
    id::Id,
    v1::{BlockPlaced, BlockScope, CallFacts},
};

use super::source::{Source, Sources};

/// Most blocks at once. At the limit a new block takes the place of the one that would expire first: the newest
/// danger is the one to stop.
pub const MAX_BLOCKS: usize = 100_000;

/// A block as it stands.
#[derive(Debug, Clone)]
pub struct BlockView {
    pub id: Id,
    pub scope: BlockScope,
    pub actor: String,
    pub reason: String,
    pub rule: String,
    /// UTC microseconds; `i64::MAX` = until lifted.
    pub expires_us: i64,
    /// Status for refused calls, when the block names a possible one.
    pub sip_code: Option<u16>,
    /// Ends calls that are up, too.
    pub teardown: bool,
    source: Option<Source>,
}

/// A block that is not put in force: it says nothing, or nothing that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    #[error("block {0} has an empty scope: it would stop every call")]
    Everything(Id),
    #[error("block {id}: {problem}")]
    Address { id: Id, problem: String },
}

/// What a block came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// In force; the block that gave way to it at [`MAX_BLOCKS`], if one did.
    Placed { evicted: Option<Id> },
    /// Its time had passed already.
    Expired,
}

/// A call as blocks see it: at admission, or later from the facts in its events.
#[derive(Debug, Clone, Copy)]
pub struct CallView<'a> {
    pub emergency: bool,
    pub account: &'a str,
    pub root_account: &'a str,
    pub trunk: &'a str,
    pub dest_group: &'a str,
    /// Digits, or nothing when not valid.
    pub a_number: &'a str,
    pub b_number: &'a str,
    pub source: Option<IpAddr>,
    pub high_risk: bool,
    pub international: bool,
}

impl<'a> CallView<'a> {
    /// `a_number` and `b_number` with or without `+`.
    pub fn of(facts: &'a CallFacts, a_number: &'a str, b_number: &'a str, source: Option<IpAddr>) -> CallView<'a> {
        CallView {
            emergency: facts.emergency,
            account: &facts.account,
            root_account: &facts.root_account,
            trunk: &facts.trunk,
            dest_group: &facts.b_dest_group,
            a_number: digits(a_number),
            b_number: digits(b_number),
            source,
            high_risk: facts.b_risk_flag == "high",
            international: facts.international,
        }
    }
}

fn digits(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

impl BlockView {
    /// Whether the block is about this call (carrier apart). `ancestors`: every account above the call's.
    fn covers(&self, call: &CallView<'_>, ancestors: &[String]) -> bool {
        let s = &self.scope;
        let is = |field: &str, value: &str| field.is_empty() || field == value;
        !call.emergency
            && (is(&s.account, call.account) || s.account == call.root_account || ancestors.contains(&s.account))
            && is(&s.trunk, call.trunk)
            && is(&s.dest_group, call.dest_group)
            && is(digits(&s.a_number), call.a_number)
            && is(digits(&s.b_number), call.b_number)
            && call.b_number.starts_with(digits(&s.b_prefix))
            && (!s.high_risk || call.high_risk)
            && (!s.international || call.international)
            && self.source.is_none_or(|source| call.source.is_some_and(|ip| contains(source, ip)))
    }
}

fn contains(source: Source, ip: IpAddr) -> bool {
    let mut one = Sources::default();
    one.put(source, ());
    one.get(std::net::SocketAddr::new(ip, 0)).is_some()
}

/// The field a block is found by.
#[derive(Debug, Clone, Copy)]
enum Index {
    Carrier,
    BNumber,
    ANumber,
    Trunk,
    Account,
    BPrefix,
    Group,
    /// Addresses, and the switches alone: few, asked one by one.
    Rest,
}

const INDICES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Blocks {
    all: HashMap<Id, BlockView>,
    by: [HashMap<Box<str>, Vec<Id>>; INDICES],
    by_expiry: BTreeSet<(i64, Id)>,
}

impl Blocks {
    pub fn place(&mut self, placed: &BlockPlaced, now_us: i64) -> Result<Applied, BadBlock> {
        let id = Id::of(&placed.block_id);
        let scope = placed.scope.clone().unwrap_or_default();
        if scope == BlockScope::default() {
            return Err(BadBlock::Everything(id));
        }
        let source = match scope.ip.as_str() {
            "" => None,
            ip => Some(Source::parse(ip).map_err(|problem| BadBlock::Address { id, problem })?),
        };
        self.lift(id);
        let expires_us = if placed.expires_us == 0 { i64::MAX } else { placed.expires_us };
        if expires_us <= now_us {
            return Ok(Applied::Expired);
        }
        let evicted = if self.all.len() >= MAX_BLOCKS { self.by_expiry.first().map(|(_, id)| *id) } else { None };
        if let Some(first) = evicted {
            self.lift(first);
        }
        let sip_code = u16::try_from(placed.sip_code).ok().filter(|code| (400..700).contains(code));
        let block = BlockView {
            id,
            scope,
            actor: placed.actor.clone(),
            reason: placed.reason.clone(),
            rule: placed.rule.clone(),
            expires_us,
            sip_code,
            teardown: placed.teardown,
            source,
        };
        let (index, key) = index_of(&block.scope);
        self.by[index as usize].entry(key.into()).or_default().push(id);
        self.by_expiry.insert((expires_us, id));
        self.all.insert(id, block);
        Ok(Applied::Placed { evicted })
    }

    /// False when no such block stands.
    pub fn lift(&mut self, id: Id) -> bool {
        let Some(block) = self.all.remove(&id) else { return false };
        self.by_expiry.remove(&(block.expires_us, id));
        let (index, key) = index_of(&block.scope);
        let map = &mut self.by[index as usize];
        if let Some(ids) = map.get_mut(key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                map.remove(key);
            }
        }
        true
    }

    /// Removes what has expired and names it.
    pub fn expire(&mut self, now_us: i64) -> Vec<Id> {
        let mut gone = Vec::new();
        while let Some((at, id)) = self.by_expiry.first().copied()
            && at <= now_us
        {
            self.lift(id);
            gone.push(id);
        }
        gone
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether any block names a carrier.
    pub fn any_of_carriers(&self) -> bool {
        !self.by[Index::Carrier as usize].is_empty()
    }

    pub fn get(&self, id: Id) -> Option<&BlockView> {
        self.all.get(&id)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &BlockView> {
        self.by_expiry.iter().filter_map(|(_, id)| self.all.get(id)).collect::<Vec<_>>().into_iter()
    }

    /// A block on this call, whichever carrier it goes to.
    pub fn find(&self, call: &CallView<'_>, ancestors: &[String], now_us: i64) -> Option<&BlockView> {
        if call.emergency || self.is_empty() {
            return None;
        }
        let hit = |index, key: &str| self.hit(index, key, call, ancestors, now_us);
        hit(Index::BNumber, call.b_number)
            .or_else(|| hit(Index::ANumber, call.a_number))
            .or_else(|| hit(Index::Trunk, call.trunk))
            .or_else(|| hit(Index::Account, call.account))
            .or_else(|| hit(Index::Account, call.root_account))
            .or_else(|| ancestors.iter().find_map(|account| hit(Index::Account, account)))
            .or_else(|| (1..=call.b_number.len()).rev().find_map(|len| hit(Index::BPrefix, call.b_number.get(..len)?)))
            .or_else(|| hit(Index::Group, call.dest_group))
            .or_else(|| hit(Index::Rest, ""))
    }

    /// A block on this call going to this carrier.
    pub fn find_carrier(&self, carrier: &str, call: &CallView<'_>, ancestors: &[String], now_us: i64) -> Option<&BlockView> {
        if call.emergency { None } else { self.hit(Index::Carrier, carrier, call, ancestors, now_us) }
    }

    fn hit(&self, index: Index, key: &str, call: &CallView<'_>, ancestors: &[String], now_us: i64) -> Option<&BlockView> {
        let map = &self.by[index as usize];
        if map.is_empty() {
            return None;
        }
        let blocks = map.get(key)?.iter().filter_map(|id| self.all.get(id));
        blocks.into_iter().find(|block| block.expires_us > now_us && block.covers(call, ancestors))
    }
}

/// The narrowest field set, and its value.
fn index_of(scope: &BlockScope) -> (Index, &str) {
    let fields = [
        (Index::Carrier, scope.carrier.as_str()),
        (Index::BNumber, digits(&scope.b_number)),
        (Index::ANumber, digits(&scope.a_number)),
        (Index::Trunk, &scope.trunk),
        (Index::Account, &scope.account),
        (Index::BPrefix, digits(&scope.b_prefix)),
        (Index::Group, &scope.dest_group),
    ];
    fields.into_iter().find(|(_, value)| !value.is_empty()).unwrap_or((Index::Rest, ""))
}

#[cfg(test)]
mod tests;
