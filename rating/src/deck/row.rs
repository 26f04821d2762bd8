//! A row as others see it.

use std::fmt;

use tollgate_schemas::{
    money::{RATE_PLACES, format_scaled},
    parties::Jurisdiction,
    terms::Charge,
    v1::Terms,
};

use super::{Deck, JurisdictionRates, Kind, Origination, Row, index};
use crate::geography::Judged;

/// A row of a deck, for a call to some number at some instant. Cheap to copy; text is read from the deck.
#[derive(Clone, Copy)]
pub struct RowRef<'d> {
    pub(super) deck: &'d Deck,
    pub(super) row: u32,
    /// Key of the number, and the pricing instant: what a tariff's prices by the clock and of other decks are looked up by.
    pub(super) number: u64,
    pub(super) at_us: i64,
    /// The call's jurisdiction, as far as it was asked for.
    pub(super) judged: Judged,
}

impl<'d> RowRef<'d> {
    #[inline]
    fn row(&self) -> &'d Row {
        &self.deck.rows[self.row as usize]
    }

    #[inline]
    fn kind(&self) -> &'d Kind {
        &self.deck.kinds[self.row().kind()]
    }

    fn key(&self) -> u64 {
        self.deck.key(self.row)
    }

    pub fn deck(&self) -> &'d Deck {
        self.deck
    }

    /// Which row of the deck this is, for [`Deck::row`].
    pub fn number(&self) -> u32 {
        self.row
    }

    /// Digits.
    pub fn prefix(&self) -> String {
        index::digits(self.key())
    }

    #[inline]
    pub fn prefix_len(&self) -> usize {
        self.row().prefix_len()
    }

    /// The prefix as a number: none begins with 0.
    pub fn prefix_number(&self) -> u64 {
        index::number(self.key())
    }

    /// Decimal places the sheet wrote the rate with.
    pub fn rate_places(&self) -> u32 {
        self.kind().rate_places.into()
    }

    pub fn destination(&self) -> &'d str {
        self.deck.text(self.row().destination)
    }

    /// Per minute, of the call's jurisdiction where the row has prices by it.
    #[inline]
    pub fn rate_e12(&self) -> i64 {
        match self.judged.jurisdiction {
            Jurisdiction::Na | Jurisdiction::Intl => self.row().rate_e12,
            _ => self.judged_rate().0,
        }
    }

    /// The price of a minute and which one it is: `inter`, `intra`, `indeterminate`, or empty for the row's one.
    fn judged_rate(&self) -> (i64, &'static str) {
        match self.judged.jurisdiction {
            Jurisdiction::Na | Jurisdiction::Intl => (self.row().rate_e12, ""),
            _ => self.deck.rules.choose(self.row().rate_e12, &self.jurisdiction_rates().unwrap_or_default(), self.judged),
        }
    }

    /// Which of the row's prices holds for the call's jurisdiction: `inter`, `intra`, `indeterminate`, or empty for the row's one.
    pub fn judged_by(&self) -> &'static str {
        self.judged_rate().1
    }

    /// The same row for a call of this jurisdiction.
    pub fn judged(self, judged: Judged) -> RowRef<'d> {
        RowRef { judged, ..self }
    }

    /// The origin group whose callers the row is for; empty = every caller's.
    pub fn origin_group(&self) -> &'d str {
        match (self.row as usize).checked_sub(self.deck.len()) {
            Some(at) => self.deck.text(self.deck.origins[at].1),
            None => "",
        }
    }

    /// The rate with as many decimal places as the sheet wrote.
    pub fn rate_text(&self) -> String {
        format_scaled(self.rate_e12(), RATE_PLACES, self.kind().rate_places.into())
    }

    #[inline]
    pub fn connect_fee_e12(&self) -> i64 {
        self.kind().connect_fee_e12
    }

    #[inline]
    pub fn initial_s(&self) -> u32 {
        self.kind().initial_s
    }

    #[inline]
    pub fn increment_s(&self) -> u32 {
        self.kind().increment_s
    }

    /// `""` when the sheet names none.
    pub fn route_class(&self) -> &'d str {
        self.deck.text(self.kind().route_class)
    }

    pub fn blocked(&self) -> bool {
        self.kind().blocked
    }

    /// First microsecond in force; `None` = since ever.
    pub fn effective_from_us(&self) -> Option<i64> {
        Some(self.kind().from).filter(|t| *t != i64::MIN)
    }

    /// First microsecond no longer in force; `None` = until further notice.
    pub fn effective_to_us(&self) -> Option<i64> {
        Some(self.kind().to).filter(|t| *t != i64::MAX)
    }

    /// R-25's rates, where the sheet has any.
    pub fn jurisdiction_rates(&self) -> Option<JurisdictionRates> {
        let all = &self.deck.jurisdictions;
        all.binary_search_by_key(&self.row, |(row, _)| *row).ok().map(|at| all[at].1)
    }

    /// The row by value, as events carry it, for a caller nobody tells apart. `effective_from_us` is 0 for a row in force since ever.
    pub fn terms(&self) -> Terms {
        self.terms_for(&Origination::default())
    }

    /// The same, for a call of this origination: by it prices of other decks and of later rows are looked up, as the row was.
    pub fn terms_for(&self, from: &Origination<'_>) -> Terms {
        Terms {
            deck: self.deck.name.clone(),
            deck_version: self.deck.version.clone(),
            prefix: self.prefix(),
            destination: self.destination().to_owned(),
            currency: self.deck.currency.clone(),
            effective_from_us: self.effective_from_us().unwrap_or(0),
            route_class: self.route_class().to_owned(),
            jurisdiction: self.judged_by().to_owned(),
            origin_group: self.origin_group().to_owned(),
            ..self.price_for(from)
        }
    }

    /// What an answered call costs by this row: [`Terms::charge`] of [`RowRef::terms`], and nothing is allocated where
    /// the deck has no tariff beyond its rows.
    #[inline]
    pub fn charge(&self, answer_us: i64, duration_ms: u64) -> Charge {
        self.charge_for(&Origination::default(), answer_us, duration_ms)
    }

    /// The same, for a call of this origination.
    #[inline]
    pub fn charge_for(&self, from: &Origination<'_>, answer_us: i64, duration_ms: u64) -> Charge {
        if self.deck.tariff.is_none()
            && let Some(plain) = self.deck.rounder.charge(self.rate_e12(), self.kind(), duration_ms)
        {
            return plain;
        }
        self.price_for(from).charge(answer_us, duration_ms)
    }

    /// Nothing but the row's own cells prices the call.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.deck.tariff.is_none()
    }

    /// The terms without their text: enough for [`Terms::charge`]. Nothing is allocated where the deck has no tariff.
    pub fn price(&self) -> Terms {
        self.price_for(&Origination::default())
    }

    /// The same, for a call of this origination.
    pub fn price_for(&self, from: &Origination<'_>) -> Terms {
        let mut terms = self.plain();
        if let Some(tariff) = &self.deck.tariff {
            tariff.add_to(&mut terms, self, from);
        }
        terms
    }

    fn plain(&self) -> Terms {
        let kind = self.kind();
        Terms {
            rate_e12: self.rate_e12(),
            connect_fee_e12: kind.connect_fee_e12,
            initial_s: kind.initial_s,
            increment_s: kind.increment_s,
            places: self.deck.places,
            rounding: self.deck.rounding.into(),
            blocked: kind.blocked,
            ..Terms::default()
        }
    }
}

impl PartialEq for RowRef<'_> {
    fn eq(&self, other: &RowRef<'_>) -> bool {
        std::ptr::eq(self.deck, other.deck) && self.row == other.row
    }
}

impl fmt::Debug for RowRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} at {}", self.deck.name, self.prefix(), self.rate_text())
    }
}
