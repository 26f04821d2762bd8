//! Which line of the added columns a priced call has. Calls of one row of a deck have one line, so it is written once and
//! then found by the row's number; where the row has prices by jurisdiction, by the price as well.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tollgate_rating::{
    deck::Deck,
    rate_file::{RatedOut, Reason},
};
use tollgate_store::calls_file::{Added, Line};

/// Lines of a deck: two for each row (answered or not, blocked being one of them), and two without a row.
struct Lines {
    by_row: Vec<u32>,
    /// Places of `by_row` that are set.
    set: Vec<usize>,
}

#[derive(Default)]
pub struct Coder<'d> {
    /// By the deck's address.
    known: HashMap<usize, usize, RandomState>,
    /// Lines of rows at a price of a jurisdiction: by place among `lines`, place among its rows and rate.
    judged: HashMap<(usize, usize, i64), u32, RandomState>,
    lines: Vec<Lines>,
    without_deck: Option<u32>,
    /// The deck asked last, and its place.
    last: Option<(&'d Deck, usize)>,
}

/// No line yet.
const UNSET: u32 = u32::MAX;

impl<'d> Coder<'d> {
    /// Forgets every line: the next rows go to other columns.
    pub fn clear(&mut self) {
        self.without_deck = None;
        self.judged.clear();
        for lines in &mut self.lines {
            for place in lines.set.drain(..) {
                lines.by_row[place] = UNSET;
            }
        }
    }

    pub fn line(&mut self, out: &RatedOut<'d>, added: &mut Added) -> u32 {
        let Some(deck) = out.deck else {
            return *self.without_deck.get_or_insert_with(|| added.line(&line(out, &mut String::new())));
        };
        let place = match self.last {
            Some((last, place)) if std::ptr::eq(last, deck) => place,
            _ => self.place(deck),
        };
        self.last = Some((deck, place));
        let lines = &mut self.lines[place];
        let at = match out.row {
            Some(row) => 2 + 2 * row.number() as usize + usize::from(out.reason == Reason::Unanswered),
            None => usize::from(out.reason == Reason::NotEffective),
        };
        if let Some(row) = out.row.filter(|row| !row.judged_by().is_empty()) {
            return *self.judged.entry((place, at, row.rate_e12())).or_insert_with(|| added.line(&line(out, &mut String::new())));
        }
        if at >= lines.by_row.len() {
            // Rows of origin groups stand behind those that are counted.
            lines.by_row.resize(at + 1, UNSET);
        }
        if lines.by_row[at] == UNSET {
            lines.by_row[at] = added.line(&line(out, &mut String::new()));
            lines.set.push(at);
        }
        lines.by_row[at]
    }

    fn place(&mut self, deck: &'d Deck) -> usize {
        let next = self.lines.len();
        let place = *self.known.entry(std::ptr::from_ref(deck) as usize).or_insert(next);
        if place == next {
            self.lines.push(Lines { by_row: vec![UNSET; 2 + 2 * deck.len()], set: Vec::new() });
        }
        place
    }
}

fn line<'a>(out: &RatedOut<'a>, prefix: &'a mut String) -> Line<'a> {
    if let Some(row) = out.row {
        *prefix = row.prefix();
    }
    Line {
        prefix,
        destination: out.row.map_or("", |row| row.destination()),
        rate_e12: out.row.map(|row| row.rate_e12()),
        currency: out.deck.map_or("", |deck| deck.currency()),
        deck_version: out.deck.map_or("", |deck| deck.version()),
        reason: out.reason.name(),
    }
}
