//! What a deck's document adds to its rows, checked and compiled ([`control::Tariff`]), and how it becomes part of the terms
//! of a row. Prices by the clock or by the time into a call are a factor of the row's own, or of another deck, which is asked by its
//! own longest prefix of the same number at the same instant. Of that deck only the rows count: its own tariff does not.

mod compose;
mod parse;

use std::sync::Arc;

use chrono_tz::Tz;
use thiserror::Error;
use tollgate_schemas::{
    control,
    v1::{FeeOn, Terms, TimeBand},
};

use super::Deck;

/// One mistake of a tariff: where in its document, and what.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{path}: {problem}")]
pub struct BadTariff {
    /// From the deck's spec on, as `tariff.profiles[0].from`.
    pub path: String,
    pub problem: String,
}

/// A tariff that adds something. What it says of other decks is names until they are linked ([`Deck::linked`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    /// The parts that are no price of a minute, as terms carry them, and the zone.
    modifiers: Terms,
    /// By `after_s`.
    steps: Vec<Step>,
    profiles: Vec<Profile>,
    split_at_change: bool,
    /// Other decks: where each is named first, and its name.
    names: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    after_s: u32,
    price: Price,
    increment_s: Option<u32>,
}

/// Prices by the clock: when, without a price yet.
#[derive(Debug, Clone, PartialEq)]
struct Profile {
    band: TimeBand,
    price: Price,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Price {
    /// Millionths of the price it changes.
    Factor(u32),
    /// Into `names`.
    Deck(usize),
}

impl Tariff {
    /// Checks and compiles a deck's tariff; `None` when it adds nothing.
    pub fn compile(spec: &control::Tariff, zone: Tz) -> Result<Option<Tariff>, Vec<BadTariff>> {
        parse::compile(spec, zone)
    }

    /// Whether the time a call rings is charged.
    pub fn charges_ringing(&self) -> bool {
        self.modifiers.fees.iter().any(|fee| fee.on() == FeeOn::Ringing)
    }

    /// Names of the decks whose prices it uses, each with where it is named first.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(|(path, name)| (path.as_str(), name.as_str()))
    }
}

/// A deck's tariff with the decks it names, in the order of its names.
#[derive(Clone)]
pub(super) struct Linked {
    pub tariff: Arc<Tariff>,
    /// `None`: not linked; the row's own price stays.
    pub decks: Box<[Option<Arc<Deck>>]>,
}

impl Linked {
    pub fn alone(tariff: Arc<Tariff>) -> Linked {
        let decks = tariff.names.iter().map(|_| None).collect();
        Linked { tariff, decks }
    }
}

