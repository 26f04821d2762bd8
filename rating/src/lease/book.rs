//! Who asked for what, and what of it is given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tollgate_schemas::{
    id::Id,
    v1::{LeaseDemand, LeaseGranted, LeaseShare},
};

use super::{
    MAX_NODES, MAX_SCOPES,
    divide::{Need, divide},
};

/// Grants to one node that are counted apart.
const MAX_OUT: usize = 8;
/// Calls per second offered → wanted, until the next grant; and at least this part of the limit.
const RAMP: u32 = 4;
const LEAST: u32 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Trunk,
    Carrier,
}

impl Kind {
    pub fn named(name: &str) -> Option<Kind> {
        [Kind::Trunk, Kind::Carrier].into_iter().find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Trunk => "trunk",
            Kind::Carrier => "carrier",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub name: Arc<str>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub nodes: BTreeMap<Arc<str>, Node>,
    pub scopes: BTreeMap<Key, Scope>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its newest demand.
    pub newest: Id,
    pub heard_us: i64,
    /// Where it is a holder.
    pub scopes: BTreeSet<Key>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// As the newest demand has them; 0 = not leased.
    pub channels: u32,
    pub cps: u32,
    pub holders: BTreeMap<Arc<str>, Holder>,
}

/// One node's part in a scope.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// What it asks for; none when it has given the scope up and is only not known to have read of it.
    pub demand: Option<Demand>,
    /// Grants it may be using, oldest first.
    pub out: Vec<Out>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    pub channels: u32,
    pub channels_wanted: u32,
    pub cps: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Out {
    pub revision: u64,
    pub channels: u32,
    pub cps: u32,
}

impl Holder {
    /// Channels that are not free because of this node.
    fn channels(&self) -> u32 {
        let used = self.demand.map_or(0, |demand| demand.channels);
        self.out.iter().map(|out| out.channels).max().unwrap_or(0).max(used)
    }

    fn cps(&self) -> u32 {
        self.out.iter().map(|out| out.cps).max().unwrap_or(0)
    }

    fn put_out(&mut self, new: Out) {
        let full = self.out.len() >= MAX_OUT;
        match self.out.last_mut() {
            // As large, or too many to tell apart: one, until something newer than both is known to be applied.
            Some(last) if full || (last.channels, last.cps) == (new.channels, new.cps) => {
                *last = Out { revision: new.revision, channels: last.channels.max(new.channels), cps: last.cps.max(new.cps) };
            }
            _ => self.out.push(new),
        }
    }
}

impl Book {
    pub fn sizes(&self) -> (usize, usize) {
        (self.nodes.len(), self.scopes.len())
    }

    /// Takes note of a node; false when this is nothing new of it, or there are too many others.
    pub fn hear(&mut self, name: &str, id: Id, heard_us: i64) -> bool {
        if let Some(node) = self.nodes.get_mut(name) {
            if id != Id::NIL && id <= node.newest {
                return false;
            }
            node.newest = node.newest.max(id);
            node.heard_us = heard_us;
            return true;
        }
        let room = self.nodes.len() < MAX_NODES;
        if room {
            self.nodes.insert(name.into(), Node { newest: id, heard_us, scopes: BTreeSet::new() });
        }
        room
    }

    /// Forgets the nodes that were not heard since.
    pub fn expire(&mut self, since_us: i64) {
        let scopes = &mut self.scopes;
        self.nodes.retain(|name, node| {
            let heard = node.heard_us >= since_us;
            if !heard {
                node.scopes.iter().for_each(|key| leave(scopes, key, name));
            }
            heard
        });
    }

    /// Puts a node's demands in the place of its earlier ones. `applied`: the newest revision it had applied.
    pub fn replace(&mut self, name: &str, applied: u64, demands: &[(Key, &LeaseDemand)]) {
        let Some((name, mut node)) = self.nodes.remove_entry(name) else { return };
        let asked: BTreeSet<&Key> = demands.iter().map(|(key, _)| key).collect();
        node.scopes.retain(|key| {
            let Some(holder) = self.scopes.get_mut(key).and_then(|scope| scope.holders.get_mut(&name)) else { return false };
            let listed = asked.contains(key);
            // The grant it applied last is what it uses; of a scope it gives up, only what it has not yet read.
            holder.out.retain(|out| out.revision > applied || listed && out.revision == applied);
            holder.demand = None;
            let stays = listed || !holder.out.is_empty();
            if !stays {
                leave(&mut self.scopes, key, &name);
            }
            stays
        });
        for (key, demand) in demands {
            if !self.scopes.contains_key(key) && self.scopes.len() >= MAX_SCOPES {
                continue;
            }
            let scope = self.scopes.entry(key.clone()).or_default();
            (scope.channels, scope.cps) = (demand.channels_limit, demand.cps_limit);
            let asked = Demand { channels: demand.channels_used, channels_wanted: demand.channels_wanted, cps: demand.cps_offered };
            scope.holders.entry(name.clone()).or_default().demand = Some(asked);
            node.scopes.insert(key.clone());
        }
        self.nodes.insert(name, node);
    }

    /// Gives a node its share of everything it asks for, and notes it as given.
    pub fn grant(&mut self, name: &str, revision: u64) -> Vec<LeaseShare> {
        let Some(node) = self.nodes.get(name) else { return Vec::new() };
        let mut shares = Vec::new();
        for key in &node.scopes {
            let Some(scope) = self.scopes.get_mut(key) else { continue };
            let Some((channels, cps)) = scope.share(name) else { continue };
            if let Some(holder) = scope.holders.get_mut(name) {
                holder.put_out(Out { revision, channels, cps });
            }
            shares.push(LeaseShare { scope: key.kind.name().to_owned(), name: key.name.to_string(), channels, cps, ceiling_e8: 0 });
        }
        shares
    }

    /// Notes what another lessor gave.
    pub fn adopt(&mut self, granted: &LeaseGranted) {
        let Some((name, mut node)) = self.nodes.remove_entry(granted.node.as_str()) else { return };
        for share in &granted.shares {
            let Some(kind) = Kind::named(&share.scope) else { continue };
            let key = Key { kind, name: share.name.as_str().into() };
            if self.scopes.contains_key(&key) || self.scopes.len() < MAX_SCOPES {
                let scope = self.scopes.entry(key.clone()).or_default();
                let out = Out { revision: granted.revision, channels: share.channels, cps: share.cps };
                scope.holders.entry(name.clone()).or_default().put_out(out);
                node.scopes.insert(key);
            }
        }
        self.nodes.insert(name, node);
    }
}

impl Scope {
    /// What a node that asks may have now: its part, as far as it is free. None when it does not ask.
    fn share(&self, name: &str) -> Option<(u32, u32)> {
        self.holders.get(name)?.demand?;
        let asking = || self.holders.iter().filter_map(|(other, holder)| Some((other, holder.demand?)));
        let at = asking().position(|(other, _)| **other == *name)?;
        let channels: Vec<Need> = asking().map(|(_, d)| Need { used: d.channels, wanted: d.channels_wanted }).collect();
        let cps: Vec<Need> = asking().map(|(_, d)| Need { used: d.cps, wanted: wanted_cps(d.cps, self.cps) }).collect();
        let others = || self.holders.iter().filter(|(other, _)| ***other != *name).map(|(_, holder)| holder);
        let free = |limit: u32, taken: u64| u32::try_from(u64::from(limit).saturating_sub(taken)).unwrap_or(0);
        let free_channels = free(self.channels, others().map(|holder| u64::from(holder.channels())).sum());
        let free_cps = free(self.cps, others().map(|holder| u64::from(holder.cps())).sum());
        Some((divide(self.channels, &channels)[at].min(free_channels), divide(self.cps, &cps)[at].min(free_cps)))
    }
}

fn wanted_cps(offered: u32, limit: u32) -> u32 {
    offered.saturating_mul(RAMP).max(limit.div_ceil(LEAST))
}

/// Takes a node out of a scope, and the scope out when nobody is left in it.
fn leave(scopes: &mut BTreeMap<Key, Scope>, key: &Key, name: &str) {
    if let Some(scope) = scopes.get_mut(key) {
        scope.holders.remove(name);
        if scope.holders.is_empty() {
            scopes.remove(key);
        }
    }
}
