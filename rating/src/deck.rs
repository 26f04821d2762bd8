//! Rate sheets. A deck CSV is compiled once into an immutable index and swapped whole (design §4); nothing is ever
//! half loaded.
//!
//! # The form
//! A header line, then one row per prefix and effective window, in CSV as RFC 4180 has it (LF or CRLF, quoted fields,
//! a UTF-8 byte order mark is skipped). Columns are found by name in any order and any case; other columns are
//! refused, since a misspelt one would lose money in silence. Space around a cell is ignored.
//!
//! | column | cell | empty cell |
//! |---|---|---|
//! | `prefix` | 1–15 digits, the first not 0; a leading `+` is dropped | refused |
//! | `destination` | the destination group, up to 128 characters | refused |
//! | `rate` | price of a minute, ≥ 0, at most 12 places | refused, unless the row is blocked |
//! | `connect_fee` | price of the answer, ≥ 0, at most 12 places | 0 |
//! | `initial` | seconds, 0–86400 (R-07) | refused |
//! | `increment` | seconds, 1–86400 (R-07) | refused |
//! | `effective_from` | RFC 3339, or `YYYY-MM-DD`: the first instant of that day in the deck's zone | since ever |
//! | `effective_to` (optional) | as above; the first instant the row is *not* in force | until further notice |
//! | `currency` (optional) | one ISO 4217 code, the same in every row; goes before [`DeckOptions::currency`] | the deck's |
//! | `interrate`, `intrarate`, `ijrate` (optional) | prices of a minute by US jurisdiction (R-25) | `rate` |
//! | `route_class` (optional) | up to 64 characters | none |
//! | `origin_group` (optional) | up to 64 characters: the row holds for callers of that group only (R-27) | every caller |
//! | `blocked` (optional) | `true`/`false`, `yes`/`no`, `1`/`0` | not blocked |
//!
//! # Windows
//! A row is in force in `[effective_from, effective_to)`. Two windows of one prefix (and origin group) must not overlap
//! and two rows of one prefix never start together. One habit of the trade is kept: a row *without*
//! `effective_to` is closed by the next `effective_from` of its prefix. If that next row ends and nothing follows it,
//! the earlier one does not come back, and [`Deck::warnings`] says so.
//!
//! Rows with an `origin_group` hold for callers of that group only, and go before the plain rows for them
//! ([`Deck::lookup_for`]); [`Deck::lookup`], which knows no caller, does not see them.

mod ahead;
mod charge;
pub(crate) mod dates;
mod index;
mod link;
mod origins;
mod parse;
mod problem;
mod row;
mod set;
mod tariff;
mod windows;

#[cfg(test)]
mod tests;

use std::{fmt, ops::Deref, sync::Arc};

use chrono_tz::Tz;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tollgate_schemas::{
    control,
    money::BadDecimal,
    v1::{Rounding, Terms},
};

use crate::geography::{Judged, Rules, jurisdiction::BadRule};
use charge::Rounder;
pub use index::Dialled;
use index::{NONE, PrefixIndex};
pub use link::link;
pub use origins::{LookupFees, Origination};
pub use problem::{DeckProblems, MAX_PROBLEMS, Problem, Warning};
pub use row::RowRef;
pub use set::{Ask, DeckSet, lookup_all};
use tariff::Linked;
pub use tariff::{BadTariff, Tariff};

/// What a deck's file does not say itself.
#[derive(Debug, Clone, PartialEq)]
pub struct DeckOptions {
    /// ISO 4217; the file's `currency` column goes before it.
    pub currency: String,
    /// Zone of dates without a time.
    pub timezone: Tz,
    /// Decimal places of an amount, 0–8.
    pub places: u32,
    pub rounding: Rounding,
    /// What is charged beyond the rows.
    pub tariff: Option<Arc<Tariff>>,
    /// How the sheet's prices by US jurisdiction are read.
    pub jurisdiction: Rules,
    pub lookup_fees: LookupFees,
}

impl Default for DeckOptions {
    /// USD, UTC, six places, half up, no tariff.
    fn default() -> DeckOptions {
        DeckOptions {
            currency: "USD".to_owned(),
            timezone: Tz::UTC,
            places: 6,
            rounding: Rounding::HalfUp,
            tariff: None,
            jurisdiction: Rules::default(),
            lookup_fees: LookupFees::default(),
        }
    }
}

/// An option of a deck that cannot be.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadOption {
    #[error("'{0}' is not a currency: want three letters, as USD")]
    Currency(String),
    #[error("'{0}' is not a time zone: want a name of the IANA list, as Europe/Amsterdam")]
    Timezone(String),
    #[error("{0} decimal places: an amount has 0 to 8")]
    Places(u32),
    #[error("'{0}' is not a rounding rule: want half_up, up, half_even or down")]
    Rounding(String),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Tariff(Vec<BadTariff>),
    #[error(transparent)]
    Jurisdiction(BadRule),
    #[error("{field}: {problem}")]
    LookupFee { field: &'static str, problem: BadDecimal },
}

impl DeckOptions {
    /// The options of a provisioned deck.
    pub fn from_spec(spec: &control::Deck) -> Result<DeckOptions, BadOption> {
        let timezone = spec.timezone.parse().map_err(|_| BadOption::Timezone(spec.timezone.clone()))?;
        let rounding = parse_rounding(&spec.rounding)?;
        let tariff = match &spec.tariff {
            Some(tariff) => Tariff::compile(tariff, timezone).map_err(BadOption::Tariff)?.map(Arc::new),
            None => None,
        };
        let jurisdiction = Rules::from_spec(&spec.jurisdiction).map_err(BadOption::Jurisdiction)?;
        let lookup_fees = LookupFees::from_spec(&spec.lookup_fees).map_err(|(field, problem)| BadOption::LookupFee { field, problem })?;
        let options = DeckOptions { currency: spec.currency.clone(), timezone, places: spec.places.into(), rounding, tariff, jurisdiction, lookup_fees };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), BadOption> {
        if !parse::is_currency(&self.currency) {
            return Err(BadOption::Currency(self.currency.clone()));
        }
        if self.places > tollgate_schemas::money::AMOUNT_PLACES {
            return Err(BadOption::Places(self.places));
        }
        Ok(())
    }
}

/// A rounding rule by its name in provisioning.
pub fn parse_rounding(name: &str) -> Result<Rounding, BadOption> {
    Ok(match name {
        "half_up" => Rounding::HalfUp,
        "up" => Rounding::Up,
        "half_even" => Rounding::HalfEven,
        "down" => Rounding::Down,
        _ => return Err(BadOption::Rounding(name.to_owned())),
    })
}

/// First 16 hex digits of the SHA-256 of a deck file.
pub fn deck_version(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// One row, 16 bytes, beside 12 of its prefix in the index; what repeats is stored once.
#[derive(Clone, Copy)]
struct Row {
    rate_e12: i64,
    /// Into `texts`.
    destination: u32,
    /// The place in `kinds` times 16, and the length of the prefix: whoever compares prefixes need not read the index again,
    /// which by then is not in any cache.
    kind_and_len: u32,
}

impl Row {
    fn new(rate_e12: i64, destination: u32, kind: u32, prefix_len: usize) -> Row {
        assert!(kind < 1 << 28 && prefix_len <= index::MAX_DIGITS, "a sheet of 2^28 kinds of rows is beyond any file");
        Row { rate_e12, destination, kind_and_len: kind << 4 | prefix_len as u32 }
    }

    #[inline]
    fn kind(&self) -> usize {
        (self.kind_and_len >> 4) as usize
    }

    #[inline]
    fn prefix_len(&self) -> usize {
        (self.kind_and_len & 15) as usize
    }
}

/// How rows count and when they are in force, shared by many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    /// In force while `from <= t < to`, microseconds; the extremes mean "ever".
    from: i64,
    to: i64,
    connect_fee_e12: i64,
    initial_s: u32,
    increment_s: u32,
    /// Into `texts`.
    route_class: u32,
    /// Decimal places the sheet wrote the rate with.
    rate_places: u8,
    blocked: bool,
}

/// Prices of a minute by US jurisdiction, where the sheet has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct JurisdictionRates {
    pub inter_e12: Option<i64>,
    pub intra_e12: Option<i64>,
    pub indeterminate_e12: Option<i64>,
}

/// A compiled rate sheet, with what its document adds to the prices of the rows. Cheap to clone.
#[derive(Clone)]
pub struct Deck {
    shared: Arc<Rows>,
    tariff: Option<Linked>,
}

impl Deref for Deck {
    type Target = Rows;

    fn deref(&self) -> &Rows {
        &self.shared
    }
}

/// What was compiled of the sheet; shared by a deck and the same deck with its tariff linked.
pub struct Rows {
    name: String,
    version: String,
    currency: String,
    places: u32,
    rounding: Rounding,
    rounder: Rounder,
    rules: Rules,
    fees: LookupFees,
    /// By prefix, as digits sort, and start; those of `index` are found by look-ups, the rest are rows of origin groups.
    rows: Box<[Row]>,
    kinds: Box<[Kind]>,
    /// Instants at which some row comes into force or goes out of it, sorted.
    boundaries: Box<[i64]>,
    /// Destinations, route classes and origin groups.
    texts: Box<[Box<str>]>,
    index: PrefixIndex,
    /// By row.
    jurisdictions: Box<[(u32, JurisdictionRates)]>,
    /// Prefix and origin group of each row behind those of `index`, by group, prefix and start.
    origins: Box<[(u64, u32)]>,
    /// Each origin group with its part of `origins`: from, to.
    groups: Box<[(u32, u32, u32)]>,
    warnings: Vec<Warning>,
}

/// What a number costs at an instant, if anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lookup<'d> {
    /// The longest prefix of the number with a row in force.
    Row(RowRef<'d>),
    /// The same, but the row says: not sold.
    Blocked(RowRef<'d>),
    /// Prefixes match, none has a row in force then.
    NotEffective,
    NoPrefix,
}

impl Deck {
    /// Compiles a deck file, or says everything that is wrong with it.
    pub fn compile(name: &str, bytes: &[u8], options: &DeckOptions) -> Result<Deck, DeckProblems> {
        parse::compile(name, bytes, options, 1)
    }

    /// As [`Deck::compile`], on at most `threads` threads: the deck and the problems are the same with any number.
    pub fn compile_on(threads: usize, name: &str, bytes: &[u8], options: &DeckOptions) -> Result<Deck, DeckProblems> {
        parse::compile(name, bytes, options, threads)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// First 16 hex digits of the file's SHA-256.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Decimal places of an amount.
    pub fn places(&self) -> u32 {
        self.places
    }

    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// What the deck's document adds to its rows.
    pub fn tariff(&self) -> Option<&Tariff> {
        self.tariff.as_ref().map(|linked| &*linked.tariff)
    }

    /// This deck with the other decks its tariff names; those `find` does not have are left out, and the row's own price stays
    /// where theirs would be. The rows are shared, not copied.
    pub fn linked(&self, find: impl Fn(&str) -> Option<Arc<Deck>>) -> Deck {
        let tariff = self.tariff.as_ref().map(|linked| Linked {
            tariff: linked.tariff.clone(),
            decks: linked.tariff.names().map(|(_, name)| find(name)).collect(),
        });
        Deck { shared: self.shared.clone(), tariff }
    }

    /// Rows that look-ups use.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// What the sheet says that pricing does not (yet) follow; show it to whoever loads the deck.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Bytes the deck holds, without allocator overhead.
    pub fn resident_bytes(&self) -> usize {
        size_of_val(&*self.rows)
            + size_of_val(&*self.kinds)
            + size_of_val(&*self.boundaries)
            + size_of_val(&*self.texts)
            + self.texts.iter().map(|t| t.len()).sum::<usize>()
            + self.index.resident_bytes()
            + size_of_val(&*self.jurisdictions)
            + size_of_val(&*self.origins)
            + size_of_val(&*self.groups)
    }

    /// Instants at which some row comes into force or goes out of it: between two of them every look-up gives the same.
    pub fn boundaries(&self) -> impl Iterator<Item = i64> + '_ {
        self.boundaries.iter().copied()
    }

    /// Every row that look-ups use, by prefix, as digits sort, and start.
    pub fn rows(&self) -> impl Iterator<Item = RowRef<'_>> {
        (0..self.len() as u32).map(|row| self.of_itself(row))
    }

    /// Rows for callers of one origin group, with the group: [`Deck::lookup_for`] finds them.
    pub fn origin_rows(&self) -> impl Iterator<Item = (RowRef<'_>, &str)> {
        let first = self.len() as u32;
        self.origins.iter().zip(first..).map(|((_, group), row)| (self.of_itself(row), self.text(*group)))
    }

    /// the row of the longest prefix of `number` (digits, a leading `+` is skipped) in force at `at_us`. A longer
    /// prefix whose rows are not in force then gives way to a shorter one.
    pub fn lookup(&self, number: &str, at_us: i64) -> Lookup<'_> {
        self.lookup_dialled(&Dialled::of(number), at_us)
    }

    /// As [`Deck::lookup`], of a number that was read before.
    pub fn lookup_dialled(&self, number: &Dialled, at_us: i64) -> Lookup<'_> {
        self.resolve(number, self.index.longest(number, self.index.bucket(number)), at_us)
    }

    /// From the longest prefix of a number, its last row, to what is in force.
    #[inline]
    fn resolve(&self, number: &Dialled, longest: u32, at_us: i64) -> Lookup<'_> {
        let mut at = longest;
        if at == NONE {
            return Lookup::NoPrefix;
        }
        loop {
            let kind = &self.kinds[self.rows[at as usize].kind()];
            if kind.from <= at_us && at_us < kind.to {
                let row = RowRef { deck: self, row: at, number: number.key(), at_us, judged: Judged::default() };
                return if kind.blocked { Lookup::Blocked(row) } else { Lookup::Row(row) };
            }
            at = match self.index.before(at) {
                Some(before) => before,
                None => self.index.shorter(number, at),
            };
            if at == NONE {
                return Lookup::NotEffective;
            }
        }
    }

    /// The row with this number in [`Deck::rows`] order, as kept by [`RowRef::number`]: for calls to its prefix as it comes into force.
    pub fn row(&self, number: u32) -> Option<RowRef<'_>> {
        ((number as usize) < self.rows.len()).then_some(self.of_itself(number))
    }

    /// The same, for a call to this number at this instant, which prices by the clock and of other decks depend on.
    pub fn row_for(&self, row: u32, number: &Dialled, at_us: i64) -> Option<RowRef<'_>> {
        ((row as usize) < self.rows.len()).then_some(RowRef { deck: self, row, number: number.key(), at_us, judged: Judged::default() })
    }

    /// Digits of the prefix of a row.
    pub(crate) fn prefix_len(&self, row: u32) -> usize {
        self.rows.get(row as usize).map_or(0, Row::prefix_len)
    }

    fn of_itself(&self, row: u32) -> RowRef<'_> {
        let from = self.kinds[self.rows[row as usize].kind()].from;
        RowRef { deck: self, row, number: Dialled::of_prefix(self.key(row)).key(), at_us: from, judged: Judged::default() }
    }

    /// Changes of some row after `from_us`, up to `to_us`.
    fn changes_within(&self, from_us: i64, to_us: i64) -> impl Iterator<Item = i64> + '_ {
        let first = self.boundaries.partition_point(|b| *b <= from_us);
        self.boundaries[first..].iter().copied().take_while(move |b| *b <= to_us && *b != i64::MAX)
    }

    /// The prefix of a row as a key.
    fn key(&self, row: u32) -> u64 {
        match (row as usize).checked_sub(self.index.len()) {
            None => self.index.key(row),
            Some(of_origin) => self.origins[of_origin].0,
        }
    }

    fn text(&self, id: u32) -> &str {
        &self.texts[id as usize]
    }

    /// Terms of this deck that cost nothing: for emergency calls no row prices.
    pub fn free_terms(&self) -> Terms {
        Terms {
            deck: self.name.clone(),
            deck_version: self.version.clone(),
            currency: self.currency.clone(),
            initial_s: 1,
            increment_s: 1,
            places: self.places,
            rounding: self.rounding.into(),
            ..Terms::default()
        }
    }
}

impl fmt::Debug for Deck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deck({} {}, {} rows, {})", self.name, self.version, self.len(), self.currency)
    }
}
