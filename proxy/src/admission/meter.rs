//! Refusals in floods (S1-75, design §2): up to [`WRITTEN_PER_SECOND`] a second of a kind are written one by one, the rest are
//! counted and written as one event with their number and the time of the first. None is dropped: what is offered
//! equals what is written plus what is counted.

use std::net::{IpAddr, SocketAddr};

use foldhash::HashMap;
use tollgate_schemas::{id::Id, refusal::Refusal, time::Now, v1::CallRefused};

use super::Refused;

/// Written one by one, a second: per trunk and reason; for strangers, all of them together as well.
pub const WRITTEN_PER_SECOND: u32 = 100;
/// Buckets of strangers counted apart; more share one.
pub const MAX_BUCKETS: usize = 1_024;
/// How long a trunk's, and a stranger's, counted refusals wait for their event.
const TRUNK_NS: u64 = 1_000_000_000;
const STRANGER_NS: u64 = 10_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Where an unknown sender is counted: its /24, or its /48 in IPv6. Also the key of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceBucket {
    V4([u8; 3]),
    V6([u16; 3]),
    /// Beyond [`MAX_BUCKETS`].
    Others,
}

impl SourceBucket {
    pub fn of(source: SocketAddr) -> SourceBucket {
        match source.ip().to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                SourceBucket::V4([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                SourceBucket::V6([a, b, c])
            }
        }
    }
}

impl std::fmt::Display for SourceBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceBucket::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            SourceBucket::V6([a, b, c]) => write!(f, "{}/48", std::net::Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0)),
            SourceBucket::Others => f.write_str("strangers"),
        }
    }
}

/// What becomes of one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Write its event now.
    Write,
    /// Counted: its event comes out of [`RefusalMeter::poll`].
    Counted,
}

/// One event for many refusals.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedRefusal {
    /// Key of the event: the account's root, or the bucket of strangers.
    pub key: String,
    /// `facts` and `detail` are the first one's, `count` how many, `first_us` since when.
    pub body: CallRefused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Trunk(Box<str>, Refusal),
    Stranger(SourceBucket, Refusal),
}

#[derive(Debug)]
struct Counter {
    second: u64,
    written: u32,
    since_ns: u64,
    counted: Option<CountedRefusal>,
}

/// Decides which refusals are written one by one. One for the node.
#[derive(Debug, Default)]
pub struct RefusalMeter {
    trunks: HashMap<Box<str>, HashMap<Refusal, Counter>>,
    strangers: HashMap<(SourceBucket, Refusal), Counter>,
    strangers_second: u64,
    strangers_written: u32,
}

impl RefusalMeter {
    pub fn new() -> RefusalMeter {
        RefusalMeter::default()
    }

    /// A refusal on a trunk, counted by trunk and reason.
    pub fn trunk(&mut self, refused: &Refused, now: Now) -> Verdict {
        let facts = &refused.facts;
        if !self.trunks.contains_key(facts.trunk.as_str()) {
            self.trunks.insert(facts.trunk.as_str().into(), HashMap::default());
        }
        let Some(reasons) = self.trunks.get_mut(facts.trunk.as_str()) else { return Verdict::Write };
        let counter = reasons.entry(refused.refusal).or_insert_with(Counter::new);
        if counter.may_write(now) {
            return Verdict::Write;
        }
        counter.count(now, || CountedRefusal { key: facts.root_account.clone(), body: refused.body() });
        // An event for many blocks names none of them.
        if let Some(counted) = &mut counter.counted
            && Id::of(&counted.body.block_id) != refused.block.unwrap_or(Id::NIL)
        {
            counted.body.block_id.clear();
        }
        Verdict::Counted
    }

    /// A refusal of somebody unknown. Facts are empty: nothing a stranger says is believed.
    pub fn stranger(&mut self, source: SocketAddr, refused: &Refused, now: Now) -> Verdict {
        let mut key = (SourceBucket::of(source), refused.refusal);
        if !self.strangers.contains_key(&key) && self.strangers.len() >= MAX_BUCKETS {
            key.0 = SourceBucket::Others;
        }
        let second = now.mono_ns / SECOND_NS;
        if second != self.strangers_second {
            (self.strangers_second, self.strangers_written) = (second, 0);
        }
        let counter = self.strangers.entry(key).or_insert_with(Counter::new);
        if self.strangers_written < WRITTEN_PER_SECOND && counter.may_write(now) {
            self.strangers_written += 1;
            return Verdict::Write;
        }
        counter.count(now, || CountedRefusal { key: key.0.to_string(), body: refused.body() });
        Verdict::Counted
    }

    /// Events that are due, in a fixed order. Call at least once a second, and once with `last` when stopping.
    pub fn poll(&mut self, now: Now, last: bool) -> Vec<CountedRefusal> {
        let mut due = Vec::new();
        for (trunk, reasons) in &mut self.trunks {
            reasons.retain(|refusal, counter| {
                counter.collect(now, TRUNK_NS, last, || Key::Trunk(trunk.clone(), *refusal), &mut due)
            });
        }
        self.trunks.retain(|_, reasons| !reasons.is_empty());
        self.strangers.retain(|(bucket, refusal), counter| {
            counter.collect(now, STRANGER_NS, last, || Key::Stranger(*bucket, *refusal), &mut due)
        });
        due.sort_by(|(a, _), (b, _)| a.cmp(b));
        due.into_iter().map(|(_, counted)| counted).collect()
    }
}

impl Counter {
    fn new() -> Counter {
        Counter { second: 0, written: 0, since_ns: 0, counted: None }
    }

    fn may_write(&mut self, now: Now) -> bool {
        let second = now.mono_ns / SECOND_NS;
        if second > self.second {
            (self.second, self.written) = (second, 0);
        }
        self.written += 1;
        self.written <= WRITTEN_PER_SECOND
    }

    fn count(&mut self, now: Now, first: impl FnOnce() -> CountedRefusal) {
        match &mut self.counted {
            Some(counted) => counted.body.count += 1,
            None => {
                let mut counted = first();
                counted.body.first_us = now.utc_us;
                self.since_ns = now.mono_ns;
                self.counted = Some(counted);
            }
        }
    }

    /// Gives what is due; false when the counter has nothing more to remember.
    fn collect(&mut self, now: Now, wait_ns: u64, last: bool, key: impl FnOnce() -> Key, due: &mut Vec<(Key, CountedRefusal)>) -> bool {
        if (last || now.mono_ns.saturating_sub(self.since_ns) >= wait_ns)
            && let Some(counted) = self.counted.take()
        {
            due.push((key(), counted));
        }
        self.counted.is_some() || now.mono_ns / SECOND_NS <= self.second
    }
}

#[cfg(test)]
mod tests;
