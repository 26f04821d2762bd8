//! From a row to the terms of a call: the prices of the tariff's steps and profiles for one number, and of the rows that come into
//! force while a call may be up.

use tollgate_schemas::v1::{RateStep, Terms, TimeBand};

use super::{Linked, Price, Step};
use crate::{
    deck::{Deck, Dialled, Lookup, Origination, RowRef},
    geography::Judged,
};

/// How far ahead of its pricing instant a call is split at changes of its row, at how many, and how many instants at which some
/// row of the deck changes are looked at for them.
const SPLIT_AHEAD_US: i64 = 7 * 86_400 * 1_000_000;
const MAX_CHANGES: usize = 16;
const MAX_INSTANTS: usize = 1_000;

const MILLION: i128 = 1_000_000;

/// A row as far as its price goes.
#[derive(Debug, Clone, Copy)]
struct Own {
    rate_e12: i64,
    connect_fee_e12: i64,
    initial_s: u32,
    increment_s: u32,
}

impl Linked {
    /// Adds the tariff to `terms`, which are those of this row for a call of this origination.
    pub fn add_to(&self, terms: &mut Terms, row: &RowRef<'_>, from: &Origination<'_>) {
        let call = CallTo { number: &Dialled::of_key(row.number), from, judged: row.judged, at_us: row.at_us };
        let tariff = &*self.tariff;
        let modifiers = &tariff.modifiers;
        terms.min_charge_e12 = modifiers.min_charge_e12;
        terms.max_charge_e12 = modifiers.max_charge_e12;
        terms.end_at_max = modifiers.end_at_max;
        terms.grace_ms = modifiers.grace_ms;
        terms.free_s = modifiers.free_s;
        terms.seconds_rule = modifiers.seconds_rule;
        terms.tolerance_ms = modifiers.tolerance_ms;
        terms.fees.clone_from(&modifiers.fees);
        let own = Own::of(row);
        terms.steps = self.steps(own, MILLION, &call);
        terms.bands = self.bands(own, &call, 0);
        if tariff.split_at_change {
            self.changes(terms, row.deck, &call);
        }
        if !terms.bands.is_empty() {
            terms.timezone.clone_from(&modifiers.timezone);
        }
    }

    /// The price lists that come into force later, each whole: its row, and the profiles over it.
    fn changes(&self, terms: &mut Terms, own: &Deck, call: &CallTo<'_>) {
        let mut last = (terms.rate_e12, terms.connect_fee_e12, terms.initial_s, terms.increment_s);
        let mut left = MAX_CHANGES;
        for from_us in own.changes_within(call.at_us, call.at_us.saturating_add(SPLIT_AHEAD_US)).take(MAX_INSTANTS) {
            // A number that is no longer sold goes on at the price it had.
            let then = CallTo { at_us: from_us, ..*call };
            let Some(row) = then.row_of(own) else { continue };
            let next = Own::of(&row.judged(call.judged));
            let key = (next.rate_e12, next.connect_fee_e12, next.initial_s, next.increment_s);
            if std::mem::replace(&mut last, key) == key && !self.names_decks() {
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            let mut steps = vec![next.step(0, next.rate_e12)];
            steps.extend(self.steps(next, MILLION, &then));
            let name = format!("from {}", tollgate_schemas::time::format_rfc3339(from_us));
            terms.bands.push(TimeBand { name, weight: i32::MIN, from_us, steps, ..TimeBand::default() });
            terms.bands.extend(self.bands(next, &then, from_us));
        }
    }

    fn names_decks(&self) -> bool {
        !self.decks.is_empty()
    }

    fn bands(&self, row: Own, call: &CallTo<'_>, from_us: i64) -> Vec<TimeBand> {
        let band = |profile: &super::Profile| {
            let (base, factor) = match profile.price {
                Price::Factor(e6) => (row, i128::from(e6)),
                // Not sold there: the row's own price stays, and no profile below this one comes in its place.
                Price::Deck(deck) => (self.priced(deck, call).unwrap_or(row), MILLION),
            };
            let mut steps = vec![base.step(0, times(base.rate_e12, factor, MILLION))];
            steps.extend(self.steps(base, factor, call));
            TimeBand { steps, from_us, ..profile.band.clone() }
        };
        self.tariff.profiles.iter().map(band).collect()
    }

    /// The tariff's steps over a price that is `factor` millionths of `base`.
    fn steps(&self, base: Own, factor: i128, call: &CallTo<'_>) -> Vec<RateStep> {
        let mut steps = Vec::with_capacity(self.tariff.steps.len());
        let mut increment_s = base.increment_s;
        for Step { after_s, price, increment_s: own } in &self.tariff.steps {
            increment_s = own.unwrap_or(increment_s);
            let rate_e12 = match *price {
                Price::Factor(e6) => times(base.rate_e12, factor, e6.into()),
                // Not sold there: the price that holds from the answer on stays, by the step's increment.
                Price::Deck(deck) => self.priced(deck, call).map_or_else(|| times(base.rate_e12, factor, MILLION), |other| other.rate_e12),
            };
            steps.push(RateStep { increment_s, ..base.step(*after_s, rate_e12) });
        }
        steps
    }

    fn priced(&self, deck: usize, call: &CallTo<'_>) -> Option<Own> {
        call.row_of(self.decks.get(deck)?.as_ref()?).map(|row| Own::of(&row))
    }
}

/// What rows are looked up by. `judged`: the verdict that the call's own row goes by.
#[derive(Clone, Copy)]
struct CallTo<'a> {
    number: &'a Dialled,
    from: &'a Origination<'a>,
    judged: Judged,
    at_us: i64,
}

impl CallTo<'_> {
    /// The row of a deck for this caller.
    fn row_of<'d>(&self, deck: &'d Deck) -> Option<RowRef<'d>> {
        match deck.told_apart(self.number, self.at_us, self.from, deck.lookup_dialled(self.number, self.at_us)) {
            Lookup::Row(row) => Some(row),
            _ => None,
        }
    }
}

impl Own {
    fn of(row: &RowRef<'_>) -> Own {
        Own { rate_e12: row.rate_e12(), connect_fee_e12: row.connect_fee_e12(), initial_s: row.initial_s(), increment_s: row.increment_s() }
    }

    fn step(&self, after_s: u32, rate_e12: i64) -> RateStep {
        let Own { connect_fee_e12, initial_s, increment_s, .. } = *self;
        RateStep { after_s, rate_e12, connect_fee_e12, initial_s, increment_s }
    }
}

/// A price times two factors in millionths, halves up, once; saturates.
fn times(rate_e12: i64, a: i128, b: i128) -> i64 {
    let unit = MILLION * MILLION;
    let product = i128::from(rate_e12) * a * b;
    i64::try_from((product + unit / 2).div_euclid(unit)).unwrap_or(i64::MAX)
}
