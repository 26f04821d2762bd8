//! One number, many decks: an index over all of them, so that a route decision probes once per prefix length and not
//! once per length and carrier. With 50 decks of 200,000 rows the single indexes do not fit any cache, and the probes
//! that find nothing are most of the cost.

use std::sync::Arc;

use super::{
    Deck, Lookup, RowRef,
    index::{self, PrefixIndex, PrefixKeys},
};

/// A prefix of one deck.
#[derive(Clone, Copy)]
struct Posting {
    /// First row of the prefix in its deck.
    row: u32,
    deck: u16,
    /// No further deck has the prefix.
    last: bool,
}

/// Decks and their common index.
pub struct DeckSet {
    decks: Box<[Arc<Deck>]>,
    /// Prefix → first posting; the others follow it.
    index: PrefixIndex,
    postings: Box<[Posting]>,
}

impl DeckSet {
    /// At most 65,536 decks.
    pub fn new(decks: Vec<Arc<Deck>>) -> DeckSet {
        let mut all: Vec<(u64, u16, u32)> = Vec::with_capacity(decks.iter().map(|d| d.len()).sum());
        for (id, deck) in (0u16..).zip(&decks) {
            all.extend(deck.first_rows().map(|(prefix, row)| (prefix, id, row)));
        }
        all.sort_unstable();
        let last = |at: usize| all.get(at + 1).is_none_or(|next| next.0 != all[at].0);
        let postings = all.iter().enumerate().map(|(at, (_, deck, row))| Posting { row: *row, deck: *deck, last: last(at) });
        let firsts = || all.iter().zip(0u32..).filter(|(one, at)| *at == 0 || all[*at as usize - 1].0 != one.0);
        let index = PrefixIndex::build(firsts().count(), firsts().map(|(one, at)| (one.0, at)));
        DeckSet { index, postings: postings.collect(), decks: decks.into() }
    }

    pub fn decks(&self) -> &[Arc<Deck>] {
        &self.decks
    }

    /// What [`Deck::lookup`] says, for each deck in order.
    pub fn lookup(&self, number: &str, at_us: i64) -> Vec<Lookup<'_>> {
        let keys = PrefixKeys::of(number);
        let mut out = vec![Lookup::NoPrefix; self.decks.len()];
        let mut open = out.len();
        let mut lengths = self.index.lengths_within(&keys);
        while let Some(len) = index::longest(&mut lengths)
            && open > 0
        {
            let prefix_of = |at: u32| {
                let posting = self.postings[at as usize];
                self.decks[usize::from(posting.deck)].rows[posting.row as usize].prefix
            };
            let Some(first) = self.index.find(&keys, len, prefix_of) else { continue };
            for posting in &self.postings[first as usize..] {
                let found = &mut out[usize::from(posting.deck)];
                if matches!(found, Lookup::NoPrefix | Lookup::NotEffective) {
                    *found = match self.decks[usize::from(posting.deck)].in_force(posting.row, at_us) {
                        None => Lookup::NotEffective,
                        Some(row) => {
                            open -= 1;
                            Lookup::of(row)
                        }
                    };
                }
                if posting.last {
                    break;
                }
            }
        }
        out
    }
}

impl Deck {
    /// Each prefix and its first row.
    fn first_rows(&self) -> impl Iterator<Item = (u64, u32)> {
        index::firsts(&self.rows[..self.indexed])
    }

    /// The row in force among those of the prefix that starts at row `first`.
    #[inline]
    pub(super) fn in_force(&self, first: u32, at_us: i64) -> Option<RowRef<'_>> {
        let rows = &self.rows[first as usize..self.indexed];
        let prefix = rows.first()?.prefix;
        for (row, entry) in (first..).zip(rows) {
            if entry.prefix != prefix {
                break;
            }
            let window = self.windows[entry.window as usize];
            if window.from <= at_us && at_us < window.to {
                return Some(RowRef { deck: self, row });
            }
        }
        None
    }
}

impl<'d> Lookup<'d> {
    pub(super) fn of(row: RowRef<'d>) -> Lookup<'d> {
        if row.blocked() { Lookup::Blocked(row) } else { Lookup::Row(row) }
    }
}
