//! From a row to the terms of a call: the prices of the tariff's steps and profiles for one number, and of the rows that come into
//! force while a call may be up.

use tollgate_schemas::v1::{RateStep, Terms, TimeBand};

use super::{Linked, Price, Step};
use crate::deck::{Deck, Dialled, Lookup};

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
    /// Adds the tariff to `terms`, which are those of the row of `own` that prices `number` at `at_us`. Factors are of the
    /// rate the terms have.
    pub fn add_to(&self, terms: &mut Terms, own: &Deck, number: &Dialled, at_us: i64) {
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
        let row = Own {
            rate_e12: terms.rate_e12,
            connect_fee_e12: terms.connect_fee_e12,
            initial_s: terms.initial_s,
            increment_s: terms.increment_s,
        };
        terms.steps = self.steps(row, MILLION, number, at_us);
        terms.bands = self.bands(row, number, at_us, 0);
        if tariff.split_at_change {
            self.changes(terms, own, number, at_us);
        }
        if !terms.bands.is_empty() {
            terms.timezone.clone_from(&modifiers.timezone);
        }
    }

    /// The price lists that come into force later, each whole: its row, and the profiles over it.
    fn changes(&self, terms: &mut Terms, own: &Deck, number: &Dialled, at_us: i64) {
        let mut last = (terms.rate_e12, terms.connect_fee_e12, terms.initial_s, terms.increment_s);
        let mut left = MAX_CHANGES;
        for from_us in own.changes_within(at_us, at_us.saturating_add(SPLIT_AHEAD_US)).take(MAX_INSTANTS) {
            // A number that is no longer sold goes on at the price it had.
            let Lookup::Row(row) = own.lookup_dialled(number, from_us) else { continue };
            let next = Own {
                rate_e12: row.rate_e12(),
                connect_fee_e12: row.connect_fee_e12(),
                initial_s: row.initial_s(),
                increment_s: row.increment_s(),
            };
            let key = (next.rate_e12, next.connect_fee_e12, next.initial_s, next.increment_s);
            if std::mem::replace(&mut last, key) == key && !self.names_decks() {
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            let mut steps = vec![next.step(0, next.rate_e12)];
            steps.extend(self.steps(next, MILLION, number, from_us));
            let name = format!("from {}", tollgate_schemas::time::format_rfc3339(from_us));
            terms.bands.push(TimeBand { name, weight: i32::MIN, from_us, steps, ..TimeBand::default() });
            terms.bands.extend(self.bands(next, number, from_us, from_us));
        }
    }

    fn names_decks(&self) -> bool {
        !self.decks.is_empty()
    }

    fn bands(&self, row: Own, number: &Dialled, at_us: i64, from_us: i64) -> Vec<TimeBand> {
        let band = |profile: &super::Profile| {
            let (base, factor) = match profile.price {
                Price::Factor(e6) => (row, i128::from(e6)),
                // Not sold there: the row's own price stays.
                Price::Deck(deck) => (self.priced(deck, number, at_us)?, MILLION),
            };
            let mut steps = vec![base.step(0, times(base.rate_e12, factor, MILLION))];
            steps.extend(self.steps(base, factor, number, at_us));
            Some(TimeBand { steps, from_us, ..profile.band.clone() })
        };
        self.tariff.profiles.iter().filter_map(band).collect()
    }

    /// The tariff's steps over a price that is `factor` millionths of `base`.
    fn steps(&self, base: Own, factor: i128, number: &Dialled, at_us: i64) -> Vec<RateStep> {
        let mut steps = Vec::with_capacity(self.tariff.steps.len());
        let mut increment_s = base.increment_s;
        for Step { after_s, price, increment_s: own } in &self.tariff.steps {
            increment_s = own.unwrap_or(increment_s);
            let rate_e12 = match *price {
                Price::Factor(e6) => times(base.rate_e12, factor, e6.into()),
                Price::Deck(deck) => match self.priced(deck, number, at_us) {
                    Some(other) => other.rate_e12,
                    None => continue,
                },
            };
            steps.push(RateStep { increment_s, ..base.step(*after_s, rate_e12) });
        }
        steps
    }

    fn priced(&self, deck: usize, number: &Dialled, at_us: i64) -> Option<Own> {
        match self.decks.get(deck)?.as_ref()?.lookup_dialled(number, at_us) {
            Lookup::Row(row) => Some(Own {
                rate_e12: row.rate_e12(),
                connect_fee_e12: row.connect_fee_e12(),
                initial_s: row.initial_s(),
                increment_s: row.increment_s(),
            }),
            _ => None,
        }
    }
}

impl Own {
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
