//! Which nodes write into a partition, and which of them have fallen silent (design §3, after a crash).
//!
//! Each node that has calls in a partition writes there at least a tick about every second. A node is *lost* when the others
//! have been awake for longer than the tolerated outage since its last word. How long they have been awake is measured by
//! each node's own clock against itself, in steps of at most [`STEP_US`]; clocks of two nodes are never compared. So a skew
//! of any size closes nothing, nor does a clock that is set, a partition that slept, or a node that comes back after hours;
//! and a node alone in its partition is never lost, since nobody is awake without it.
//!
//! What this cannot tell: when the log itself was away for longer than the tolerated outage, the first node to send what it
//! kept is awake for that long before the others are heard. Their calls are closed early then, and mended by their later facts.
//!
//! Limit: [`MAX_NODES`]; beyond it the node heard longest ago is reported lost, if it was not yet, and forgotten.
//!
//! Protobuf in memory's shape, so that a snapshot holds the state itself. Field numbers are never reused.

use prost::Message;
use crate::{id::Id, v1::Event};

/// Tolerated outage: a clean restart and a minute without the log pass unnoticed.
pub const NODE_LOST_US: i64 = 90_000_000;
/// Most of a gap between two words of one node that counts as being awake; a longer one counts as nothing.
pub const STEP_US: i64 = 35_000_000;
pub const MAX_NODES: usize = 256;

/// The node an id was born on; of a derived id, nothing that means anything.
pub fn node_of(id: Id) -> u64 {
    id.node()
}

/// A node's latest word: its newest event in the partition.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Word {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(sint64, tag = "3")]
    pub occurred_us: i64,
    #[prost(fixed64, tag = "4")]
    pub boot_id: u64,
    #[prost(uint64, tag = "5")]
    pub mono_ns: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(fixed64, tag = "1")]
    node: u64,
    #[prost(message, required, tag = "2")]
    word: Word,
    /// How long it has been awake, on the scale of the partition's `awake_us`.
    #[prost(sint64, tag = "3")]
    awake_us: i64,
    /// The partition's `awake_us` when it was last heard.
    #[prost(sint64, tag = "4")]
    heard_us: i64,
    #[prost(bool, tag = "5")]
    lost: bool,
}

/// The nodes of one partition. A default one has an outage of zero: make it with [`Nodes::new`].
#[derive(Clone, PartialEq, Message)]
pub struct Nodes {
    /// By node.
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    /// How long the partition has been awake.
    #[prost(sint64, tag = "2")]
    awake_us: i64,
    #[prost(sint64, tag = "3")]
    lost_after_us: i64,
    /// No node is lost before `awake_us` passes this.
    #[prost(sint64, tag = "4")]
    due_us: i64,
    /// Forgotten at the limit and not yet reported.
    #[prost(fixed64, repeated, tag = "5")]
    dropped: Vec<u64>,
}

impl Nodes {
    pub fn new(lost_after_us: i64) -> Nodes {
        Nodes { lost_after_us, ..Nodes::default() }
    }

    /// Nodes of a snapshot under this program's tolerated outage.
    pub fn restored(self, lost_after_us: i64) -> Nodes {
        let due_us = if lost_after_us == self.lost_after_us { self.due_us } else { 0 };
        Nodes { lost_after_us, due_us, ..self }
    }

    pub fn lost_after_us(&self) -> i64 {
        self.lost_after_us
    }

    /// Hears an event born on a node (a call's or a tick), whose own time is `at_us`. True when that node had been lost.
    pub fn heard(&mut self, event: &Event, at_us: i64) -> bool {
        let id = event.id();
        let at = match self.nodes.binary_search_by_key(&node_of(id), |n| n.node) {
            Ok(at) => at,
            Err(_) => self.insert(node_of(id), at_us),
        };
        let known = &mut self.nodes[at];
        let gap_us = at_us.saturating_sub(known.word.occurred_us);
        let newer = (known.word.id_high, known.word.id_low) < halves(id);
        let new_word = |old: &Word| {
            let (id_high, id_low) = halves(id).max((old.id_high, old.id_low));
            Word { id_high, id_low, occurred_us: at_us, boot_id: event.boot_id, mono_ns: event.mono_ns }
        };
        // A repetition, or an event overtaken by a later one of its node, tells no new time.
        if gap_us.saturating_abs() > STEP_US {
            if newer {
                known.awake_us = self.awake_us;
                known.word = new_word(&known.word);
            }
        } else if gap_us > 0 || gap_us == 0 && newer {
            known.awake_us += gap_us;
            known.word = new_word(&known.word);
        }
        // A clock that runs slower than the leader's must not fall behind without end.
        known.awake_us = known.awake_us.max(self.awake_us - STEP_US);
        self.awake_us = self.awake_us.max(known.awake_us);
        known.heard_us = self.awake_us;
        std::mem::take(&mut known.lost)
    }

    fn insert(&mut self, node: u64, at_us: i64) -> usize {
        if self.nodes.len() >= MAX_NODES
            && let Some(oldest) = (0..self.nodes.len()).min_by_key(|i| (self.nodes[*i].heard_us, self.nodes[*i].node))
        {
            let gone = self.nodes.remove(oldest);
            if !gone.lost {
                self.dropped.push(gone.node);
            }
        }
        let word = Word { occurred_us: at_us, ..Word::default() };
        let at = self.nodes.partition_point(|n| n.node < node);
        self.nodes.insert(at, Node { node, word, awake_us: self.awake_us, heard_us: self.awake_us, lost: false });
        at
    }

    /// Nodes that have become lost since this was last asked.
    pub fn newly_lost(&mut self) -> Vec<u64> {
        if self.awake_us < self.due_us && self.dropped.is_empty() {
            return Vec::new();
        }
        let mut lost = std::mem::take(&mut self.dropped);
        self.due_us = i64::MAX;
        for node in self.nodes.iter_mut().filter(|n| !n.lost) {
            let due_us = node.heard_us.saturating_add(self.lost_after_us).saturating_add(1);
            if self.awake_us >= due_us {
                node.lost = true;
                lost.push(node.node);
            } else {
                self.due_us = self.due_us.min(due_us);
            }
        }
        lost
    }

    /// Silent for longer than the tolerated outage, or not known at all.
    pub fn is_lost(&self, node: u64) -> bool {
        self.find(node).is_none_or(|n| n.lost)
    }

    /// A node's newest event: the last proof that it lived.
    pub fn last_word(&self, node: u64) -> Option<Word> {
        self.find(node).map(|n| n.word)
    }

    fn find(&self, node: u64) -> Option<&Node> {
        self.nodes.binary_search_by_key(&node, |n| n.node).ok().map(|at| &self.nodes[at])
    }
}

fn halves(id: Id) -> (u64, u64) {
    ((id.0 >> 64) as u64, id.0 as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// An event of a node: its `seq`-th, at its own clock's second.
    fn say(nodes: &mut Nodes, node: u64, seq: u64, at_s: i64) -> bool {
        let id = Id(u128::from(node) << 80 | u128::from(seq));
        nodes.heard(&Event { id: id.to_vec(), occurred_us: at_s * SECOND, ..Event::default() }, at_s * SECOND)
    }

    #[test]
    fn design_3_a_node_is_lost_when_others_were_awake_for_longer_than_the_outage() {
        let mut nodes = Nodes::new(90 * SECOND);
        say(&mut nodes, 2, 1, 1_000);
        for s in 0..=90 {
            say(&mut nodes, 1, s as u64 + 1, 1_000 + s);
            assert_eq!(nodes.newly_lost(), [0u64; 0], "{s}");
        }
        say(&mut nodes, 1, 92, 1_091);
        assert_eq!((nodes.newly_lost(), nodes.is_lost(2), nodes.is_lost(1)), (vec![2], true, false));
        assert_eq!(nodes.newly_lost(), [0u64; 0], "said once");
        assert!(say(&mut nodes, 2, 2, 1_092), "it is back");
        assert!(!nodes.is_lost(2) && !say(&mut nodes, 2, 3, 1_093));
    }

    /// (node, second of its own clock) in the log's order; nobody is lost at any point.
    #[test]
    fn design_3_what_must_not_make_a_node_lost() {
        let both = |skew: i64| (0..400).flat_map(|s| [(1, s), (2, s + skew)]).collect::<Vec<_>>();
        let cases: Vec<(&str, Vec<(u64, i64)>)> = vec![
            ("alone", (0..1_000).map(|s| (1, s)).collect()),
            ("alone, down for an hour", vec![(1, 0), (1, 3_600), (1, 3_601), (1, 90_000)]),
            ("a clock 30 s ahead", both(30)),
            ("a clock an hour behind", both(-3_600)),
            ("a clock that is set ahead", (0..50).map(|s| (1, s)).chain([(2, 49)]).chain((50..80).map(|s| (1, 3_600 + s))).collect()),
            ("a clock that is set back", (0..50).flat_map(|s| [(2, s), (1, s)]).chain((0..50).flat_map(|s| [(2, 50 + s), (1, s - 3_600)])).collect()),
            ("all slept, one wakes first", vec![(1, 0), (2, 0), (1, 7_200), (1, 7_201), (1, 7_230), (2, 7_231)]),
            ("a clock that jitters", (0..4_000).flat_map(|i| [(1, i / 40 + 7 * (i % 2)), (2, i / 40)]).collect()),
        ];
        for (what, words) in cases {
            let mut nodes = Nodes::new(90 * SECOND);
            for (seq, (node, at_s)) in words.into_iter().enumerate() {
                say(&mut nodes, node, seq as u64 + 1, at_s);
                assert_eq!(nodes.newly_lost(), [0u64; 0], "{what}: at {at_s}");
            }
        }
    }

    #[test]
    fn a_repetition_tells_no_new_time() {
        let mut nodes = Nodes::new(90 * SECOND);
        say(&mut nodes, 2, 1, 0);
        for s in 0..60 {
            say(&mut nodes, 1, s + 1, s as i64);
        }
        for _ in 0..10 {
            for s in 0..60 {
                say(&mut nodes, 1, s + 1, s as i64);
            }
        }
        assert_eq!((nodes.newly_lost(), nodes.last_word(1).map(|w| w.occurred_us)), (vec![], Some(59 * SECOND)));
    }

    #[test]
    fn nodes_are_bounded_and_none_leaves_unsaid() {
        let mut nodes = Nodes::new(90 * SECOND);
        for node in 0..=MAX_NODES as u64 {
            say(&mut nodes, node + 1, 1, 0);
        }
        assert_eq!((nodes.newly_lost(), nodes.nodes.len(), nodes.is_lost(1)), (vec![1], MAX_NODES, true));
    }

    #[test]
    fn a_snapshot_is_the_state() {
        let mut nodes = Nodes::new(90 * SECOND);
        for s in 0..200 {
            say(&mut nodes, 1 + s % 3, s + 1, s as i64);
            let back = Nodes::decode(nodes.encode_to_vec().as_slice()).expect("our own");
            assert_eq!(back, nodes);
        }
    }
}
