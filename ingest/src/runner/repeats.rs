//! What came of each node in one partition of a shared log. A node numbers its events (`partition_seq`); its sender, killed
//! between sending and noting it, sends some again, in order: they are dropped. A number left out is a loss, and told.

use std::collections::BTreeMap;

use tollgate_schemas::event::Event;

/// Nodes remembered; beyond, the one longest silent is forgotten, and what it sends again would not be known as a repeat.
const NODES: usize = 4096;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Repeats {
    nodes: BTreeMap<u64, Last>,
    turn: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    seq: u64,
    turn: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Next,
    /// It came before.
    Again,
    /// Some before it never came.
    Gap { node: u64, expected: u64 },
}

impl Repeats {
    /// An event without a number was appended by who sends nothing twice.
    pub fn see(&mut self, event: &Event) -> Seen {
        if event.partition_seq == 0 {
            return Seen::Next;
        }
        let (node, seq) = (event.log_node(), event.partition_seq);
        let turn = self.turn + 1;
        let Some(last) = self.nodes.get_mut(&node) else {
            // Where a node begins is not known here: its first events may have been archived.
            self.nodes.insert(node, Last { seq, turn });
            self.turn = turn;
            if self.nodes.len() > NODES
                && let Some(oldest) = self.nodes.iter().min_by_key(|(_, l)| l.turn).map(|(n, _)| *n)
            {
                self.nodes.remove(&oldest);
            }
            return Seen::Next;
        };
        if seq <= last.seq {
            return Seen::Again;
        }
        let expected = last.seq + 1;
        *last = Last { seq, turn };
        self.turn = turn;
        if seq == expected { Seen::Next } else { Seen::Gap { node, expected } }
    }

    /// The node's events up to and with that number have come.
    pub fn reached(&mut self, node: u64, seq: u64) {
        self.turn += 1;
        self.nodes.insert(node, Last { seq, turn: self.turn });
    }

    /// Count u16, then node, number and turn, u64 each, big endian.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.nodes.len() as u16).to_be_bytes());
        for (node, last) in &self.nodes {
            for n in [*node, last.seq, last.turn] {
                out.extend(n.to_be_bytes());
            }
        }
    }

    /// What `write` wrote, and what follows it.
    pub fn read(bytes: &[u8]) -> Option<(Repeats, &[u8])> {
        let (count, mut rest) = bytes.split_first_chunk::<2>()?;
        let mut repeats = Repeats::default();
        for _ in 0..u16::from_be_bytes(*count) {
            let mut numbers = [0; 3];
            for n in &mut numbers {
                let (bytes, left) = rest.split_first_chunk::<8>()?;
                (*n, rest) = (u64::from_be_bytes(*bytes), left);
            }
            let [node, seq, turn] = numbers;
            repeats.nodes.insert(node, Last { seq, turn });
            repeats.turn = repeats.turn.max(turn);
        }
        Some((repeats, rest))
    }
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::id::{Id, Mint};

    use super::*;

    fn event(node: u64, seq: u64) -> Event {
        Event { id: Mint::new(node, 1).mint().to_vec(), partition_seq: seq, ..Event::default() }
    }

    #[test]
    fn design_2_repeats_are_dropped_and_gaps_told_for_each_node_apart() {
        let mut r = Repeats::default();
        let seen: Vec<Seen> = [(1, 5), (1, 6), (2, 1), (1, 5), (1, 6), (1, 7), (1, 9), (2, 2)].map(|(n, s)| r.see(&event(n, s))).into();
        use Seen::{Again, Gap, Next};
        assert_eq!(seen, [Next, Next, Next, Again, Again, Next, Gap { node: 1, expected: 8 }, Next]);
        assert_eq!(r.see(&event(1, 0)), Next, "not numbered");
        // A copy of another's event, counted by node 2's log.
        let copied = Event { id: Id(7 << 80).to_vec(), log_node: 2, partition_seq: 3, ..Event::default() };
        assert_eq!((r.see(&copied), r.see(&copied)), (Next, Again));
        let mut bytes = Vec::new();
        r.write(&mut bytes);
        bytes.extend(b"state");
        assert_eq!(Repeats::read(&bytes), Some((r, &b"state"[..])));
        assert_eq!(Repeats::read(&bytes[..9]), None);
    }

    #[test]
    fn the_node_longest_silent_makes_room() {
        let mut r = Repeats::default();
        for node in 1..=NODES as u64 + 1 {
            r.see(&event(node, 1));
        }
        assert_eq!(r.nodes.len(), NODES);
        assert_eq!((r.see(&event(1, 1)), r.see(&event(3, 1))), (Seen::Next, Seen::Again));
    }
}
