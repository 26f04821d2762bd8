//! The snapshot of a lessor, version 1: protobuf. Field numbers are never reused; a change that old readers would misread
//! takes a new snapshot version.

use std::sync::Arc;

use prost::Message;
use tollgate_schemas::id::Id;

use super::book::{Book, Demand, Holder, Key, Kind, Node, Out};

#[derive(Clone, PartialEq, Message)]
pub struct Saved {
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// False: no time was seen yet, `clock_us` says nothing.
    #[prost(bool, tag = "2")]
    pub started: bool,
    #[prost(sint64, tag = "3")]
    pub clock_us: i64,
    #[prost(sint64, tag = "4")]
    pub heard_us: i64,
    #[prost(uint64, tag = "5")]
    pub revision: u64,
    #[prost(message, repeated, tag = "6")]
    pub nodes: Vec<SavedNode>,
    #[prost(message, repeated, tag = "7")]
    pub scopes: Vec<SavedScope>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SavedNode {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    newest: Vec<u8>,
    #[prost(sint64, tag = "3")]
    heard_us: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct SavedScope {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint32, tag = "3")]
    channels: u32,
    #[prost(uint32, tag = "4")]
    cps: u32,
    #[prost(message, repeated, tag = "5")]
    holders: Vec<SavedHolder>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SavedHolder {
    /// Place of the node in `Saved.nodes`.
    #[prost(uint32, tag = "1")]
    node: u32,
    #[prost(bool, tag = "2")]
    asks: bool,
    #[prost(uint32, tag = "3")]
    channels: u32,
    #[prost(uint32, tag = "4")]
    channels_wanted: u32,
    #[prost(uint32, tag = "5")]
    cps: u32,
    #[prost(message, repeated, tag = "6")]
    out: Vec<SavedOut>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct SavedOut {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(uint32, tag = "2")]
    channels: u32,
    #[prost(uint32, tag = "3")]
    cps: u32,
}

pub fn of(book: &Book) -> (Vec<SavedNode>, Vec<SavedScope>) {
    let names: Vec<&Arc<str>> = book.nodes.keys().collect();
    let nodes = book.nodes.iter().map(|(name, node)| SavedNode { name: name.to_string(), newest: node.newest.to_vec(), heard_us: node.heard_us });
    let scopes = book.scopes.iter().map(|(key, scope)| SavedScope {
        kind: key.kind.name().to_owned(),
        name: key.name.to_string(),
        channels: scope.channels,
        cps: scope.cps,
        holders: scope
            .holders
            .iter()
            .filter_map(|(name, holder)| Some(saved_holder(names.binary_search(&name).ok()? as u32, holder)))
            .collect(),
    });
    (nodes.collect(), scopes.collect())
}

fn saved_holder(node: u32, holder: &Holder) -> SavedHolder {
    let demand = holder.demand.unwrap_or_default();
    SavedHolder {
        node,
        asks: holder.demand.is_some(),
        channels: demand.channels,
        channels_wanted: demand.channels_wanted,
        cps: demand.cps,
        out: holder.out.iter().map(|out| SavedOut { revision: out.revision, channels: out.channels, cps: out.cps }).collect(),
    }
}

pub fn book(saved: Saved) -> Result<Book, String> {
    let mut book = Book::default();
    let names: Vec<Arc<str>> = saved.nodes.iter().map(|node| node.name.as_str().into()).collect();
    for (node, name) in saved.nodes.iter().zip(&names) {
        let newest = Id::from_bytes(&node.newest).ok_or_else(|| format!("the newest demand of {name} has no id"))?;
        book.nodes.insert(name.clone(), Node { newest, heard_us: node.heard_us, ..Node::default() });
    }
    for scope in saved.scopes {
        let kind = Kind::named(&scope.kind).ok_or_else(|| format!("'{}' is no kind of scope", scope.kind))?;
        let key = Key { kind, name: scope.name.as_str().into() };
        let entry = book.scopes.entry(key.clone()).or_default();
        (entry.channels, entry.cps) = (scope.channels, scope.cps);
        for holder in scope.holders {
            let name = names.get(holder.node as usize).ok_or_else(|| format!("scope {} names a node that is not there", scope.name))?;
            let demand = holder.asks.then_some(Demand { channels: holder.channels, channels_wanted: holder.channels_wanted, cps: holder.cps });
            let out = holder.out.iter().map(|out| Out { revision: out.revision, channels: out.channels, cps: out.cps }).collect();
            entry.holders.insert(name.clone(), Holder { demand, out });
            if let Some(node) = book.nodes.get_mut(name) {
                node.scopes.insert(key.clone());
            }
        }
    }
    Ok(book)
}
