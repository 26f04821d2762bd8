//! Many look-ups at once: one number in many decks (a route decision), or many numbers, each in its deck (a file of
//! calls). Every step is made for all of a block before the next step, so that the block waits for memory together and
//! not one look-up after the other. There is no index over several decks: a deck that changes costs its own compilation
//! and nothing more.

use std::sync::Arc;

use super::{Deck, Dialled, Lookup, Origination, ahead::fetch, index::NONE};

/// Look-ups that go on together. More would not fit into the first cache, fewer wait more often.
const BLOCK: usize = 64;

/// A number to look up in a deck.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'d> {
    pub deck: &'d Deck,
    pub number: Dialled,
    pub at_us: i64,
}

/// What [`Deck::lookup`] says of each, in order, added to `found`.
pub fn lookup_all<'d>(asks: &[Ask<'d>], found: &mut Vec<Lookup<'d>>) {
    found.reserve(asks.len());
    let mut buckets = [(0, 0); BLOCK];
    let mut rows = [NONE; BLOCK];
    for block in asks.chunks(BLOCK) {
        for ask in block {
            ask.deck.index.fetch_bucket(&ask.number);
        }
        for (ask, bucket) in block.iter().zip(&mut buckets) {
            *bucket = ask.deck.index.bucket(&ask.number);
            ask.deck.index.fetch(*bucket);
        }
        for ((ask, bucket), row) in block.iter().zip(&buckets).zip(&mut rows) {
            *row = ask.deck.index.longest(&ask.number, *bucket);
            fetch(&ask.deck.rows, *row as usize);
        }
        found.extend(block.iter().zip(&rows).map(|(ask, row)| ask.deck.resolve(&ask.number, *row, ask.at_us)));
    }
}

/// Decks that are asked for the same number.
pub struct DeckSet {
    decks: Box<[Arc<Deck>]>,
}

impl DeckSet {
    pub fn new(decks: Vec<Arc<Deck>>) -> DeckSet {
        DeckSet { decks: decks.into() }
    }

    pub fn decks(&self) -> &[Arc<Deck>] {
        &self.decks
    }

    /// What [`Deck::lookup`] says, for each deck in order.
    pub fn lookup(&self, number: &str, at_us: i64) -> Vec<Lookup<'_>> {
        let number = Dialled::of(number);
        let asks: Vec<Ask<'_>> = self.decks.iter().map(|deck| Ask { deck, number, at_us }).collect();
        let mut found = Vec::new();
        lookup_all(&asks, &mut found);
        found
    }

    /// What [`Deck::lookup_for`] says, for each deck in order.
    pub fn lookup_for(&self, number: &str, at_us: i64, from: &Origination<'_>) -> Vec<Lookup<'_>> {
        let mut found = self.lookup(number, at_us);
        if *from != Origination::default() {
            let number = Dialled::of(number);
            for (deck, lookup) in self.decks.iter().zip(&mut found) {
                *lookup = deck.told_apart(&number, at_us, from, *lookup);
            }
        }
        found
    }
}
