//! Limits that span proxies, lent to them (design §4): the one lessor of a partition of topic `leases` divides the channels and
//! calls per second of each trunk and carrier among the nodes that ask, for a short time.
//!
//! **In and out.** A node's `lease.asked` replaces its demand before; a scope it leaves out is given up. Each is answered by
//! one `lease.granted` to the same node, in the same partition, with a share of every scope asked for: first what is used, then
//! what is wanted, the spare in equal parts (`divide.rs`), as much of it as is free now. So a node that asks grows at
//! once by what is free, and by what others are to give up when they have asked once more. The newest demand's limits win.
//!
//! **What is free.** A grant may be read late or never, so a share counts until it is known to be gone: each grant to a node
//! counts until a demand of that node says that a newer one was applied (`applied_revision`), the largest of them at a
//! time; calls that are up count even where the share is smaller. A node of which nothing was heard for `keep_ms` has given
//! up everything. Silence is counted in log time, at most `hold_ms` for each step of it: when the log was away nobody was
//! heard, and nobody loses a share for that.
//!
//! **How much too much.** The shares that nodes may use never add up to more than the limit, whatever is late, lost or
//! repeated, while `keep_ms` is at least the proxies' `hold_ms` and `outage_ms` and the time a grant may be late. A
//! node that is cut off for longer than that has lost its share, not its calls: they come on top until they end. So do
//! calls above a limit that was lowered. What a node may have without any grant is the proxy's to bound (an eighth of
//! the limit each).
//!
//! **Limits.** [`MAX_NODES`] nodes: a further one gets no answer. [`MAX_SCOPES`] scopes: a further one is left out of the
//! grant. Either way the proxy stays at what it may have without one. Eight grants that are not known to be read are
//! counted apart, more of them as one of the largest.
//!
//! A limit smaller than the number of nodes that want it leaves some of them without any.

mod book;
mod divide;
mod snapshot;

use prost::Message;
use tollgate_schemas::{
    event::Body,
    id::Id,
    log::Topic,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{Event, LeaseAsked, LeaseDemand, LeaseGranted},
};

use book::{Book, Key, Kind};

/// Name of the stage, part of its outputs' ids.
pub const NAME: &str = "lessor";
const SNAPSHOT_VERSION: u32 = 1;

/// Nodes of one partition.
pub const MAX_NODES: usize = 64;
/// Scopes of one partition.
pub const MAX_SCOPES: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LessorRules {
    /// How long a share holds from when it is read.
    pub hold_ms: u64,
    /// How long the shares of a node that is silent are kept from others.
    pub keep_ms: u64,
}

impl Default for LessorRules {
    /// For proxies that ask every second and whose shares outlast `hold_ms` by two minutes: a grant may be 70 s late.
    fn default() -> LessorRules {
        LessorRules { hold_ms: 10_000, keep_ms: 200_000 }
    }
}

/// One partition of topic `leases`, folded.
pub struct Lessor {
    partition: u16,
    rules: LessorRules,
    /// The newest time seen; none before the first event.
    clock_us: Option<i64>,
    /// The time in which somebody was heard: silence is measured in it.
    heard_us: i64,
    /// Of the newest grant.
    revision: u64,
    book: Book,
}

impl Lessor {
    pub fn new(partition: u16, rules: LessorRules) -> Lessor {
        Lessor { partition, rules, clock_us: None, heard_us: 0, revision: 0, book: Book::default() }
    }

    /// Nodes and scopes with shares.
    pub fn sizes(&self) -> (usize, usize) {
        self.book.sizes()
    }

    /// Time goes on by what events say, and whoever was silent for too long loses what it had.
    fn advance(&mut self, to_us: i64) {
        if let Some(clock_us) = self.clock_us {
            let step_us = to_us.saturating_sub(clock_us).max(0);
            self.heard_us = self.heard_us.saturating_add(step_us.min(us(self.rules.hold_ms)));
            self.book.expire(self.heard_us.saturating_sub(us(self.rules.keep_ms)));
        }
        self.clock_us = self.clock_us.max(Some(to_us));
    }

    fn asked(&mut self, event: &Event, asked: &LeaseAsked, out: &mut Outputs) -> Result<(), Poison> {
        let node = asked.node.as_str();
        if node.len() != 12 || !node.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Poison(format!("{} {} is of node '{node}': want 12 hex digits", event.name(), event.id())));
        }
        let (id, applied) = (event.id(), asked.applied_revision);
        // A scope this program does not know is what a newer proxy leases.
        let demands: Vec<_> = asked.demands.iter().filter_map(|demand| Some((key(demand)?, demand))).collect();
        // A node's ids go up with time, whatever its clock does: the same demand again, or an earlier one, says nothing new.
        if !self.book.hear(node, id, self.heard_us) {
            return Ok(());
        }
        // A revision some node has applied was given, even if this lessor's memory does not reach back to it.
        self.revision = self.revision.max(applied);
        self.book.replace(node, applied, &demands);
        if demands.is_empty() {
            return Ok(());
        }
        self.revision += 1;
        let granted = LeaseGranted {
            node: node.to_owned(),
            shares: self.book.grant(node, self.revision),
            hold_ms: self.rules.hold_ms,
            keep_ms: self.rules.keep_ms,
            revision: self.revision,
            ..LeaseGranted::default()
        };
        out.push(Topic::Leases, self.partition, Event::derived(NAME, event, "grant", 0, Body::LeaseGranted(granted)));
        Ok(())
    }

    /// Its own grants come by again and say nothing new. Newer ones are a predecessor's whose memory was lost: what they
    /// gave is given.
    fn granted(&mut self, granted: &LeaseGranted) {
        if granted.revision > self.revision {
            self.revision = granted.revision;
            if self.book.hear(&granted.node, Id::NIL, self.heard_us) {
                self.book.adopt(granted);
            }
        }
    }
}

fn us(ms: u64) -> i64 {
    i64::try_from(ms.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

fn key(demand: &LeaseDemand) -> Option<Key> {
    Kind::named(&demand.scope).map(|kind| Key { kind, name: demand.name.as_str().into() })
}

impl Stage for Lessor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn snapshot_version(&self) -> u32 {
        SNAPSHOT_VERSION
    }

    fn apply(&mut self, _offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        match &event.body {
            Some(Body::LeaseAsked(asked)) => {
                self.advance(event.occurred_us);
                self.asked(event, asked, out)
            }
            Some(Body::Tick(tick)) => {
                self.advance(tick.at_us);
                Ok(())
            }
            Some(Body::LeaseGranted(granted)) => {
                self.granted(granted);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let clock_us = self.clock_us.unwrap_or_default();
        let (nodes, scopes) = snapshot::of(&self.book);
        let (heard_us, revision) = (self.heard_us, self.revision);
        snapshot::Saved { partition: self.partition.into(), started: self.clock_us.is_some(), clock_us, heard_us, revision, nodes, scopes }.encode_to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let bad = |problem: String| BadSnapshot { stage: NAME, problem };
        let saved = snapshot::Saved::decode(state).map_err(|e| bad(e.to_string()))?;
        if saved.partition != u32::from(self.partition) {
            return Err(bad(format!("it is of partition {}, this is partition {}", saved.partition, self.partition)));
        }
        let (clock_us, heard_us, revision) = (saved.started.then_some(saved.clock_us), saved.heard_us, saved.revision);
        let book = snapshot::book(saved).map_err(bad)?;
        *self = Lessor { clock_us, heard_us, revision, book, ..Lessor::new(self.partition, self.rules) };
        Ok(())
    }
}
