//! Everyday calls of a customer: at random, to its usual destinations; and the one emergency call of the play.

use std::time::{Duration, Instant};

use super::{
    prng::Prng,
    scene::{Customer, scaled},
    ua::caller::{Dial, Kind, Script},
};

/// Longer than any carrier rings.
const PATIENT: Duration = Duration::from_secs(25);

pub struct Everyday {
    customer: &'static Customer,
    prng: Prng,
    due: Instant,
    /// Mean time between calls.
    gap: Duration,
    seconds: u32,
}

impl Everyday {
    /// `cps`: calls per second of all customers together.
    pub fn new(customer: &'static Customer, mut prng: Prng, start: Instant, cps: u32, seconds: u32) -> Everyday {
        let gap = Duration::from_secs(100) / (cps * customer.share).max(1);
        let due = start + prng.gap(gap);
        Everyday { customer, prng, due, gap, seconds }
    }
}

impl Script for Everyday {
    fn kind(&self) -> Kind {
        Kind::Legit
    }

    fn due(&self) -> Option<Instant> {
        Some(self.due)
    }

    fn next(&mut self, _now: Instant, _live: usize) -> Option<Dial> {
        self.due += self.prng.gap(self.gap);
        let ranges = self.customer.ranges;
        let mut left = self.prng.below(ranges.iter().map(|r| u64::from(r.weight)).sum());
        let range = ranges.iter().find(|r| {
            let hit = left < u64::from(r.weight);
            left = left.saturating_sub(u64::from(r.weight));
            hit
        })?;
        let patience = if self.prng.permille(self.customer.impatient) { self.prng.millis(&(200..=1_200)) } else { PATIENT };
        let (from, to) = self.customer.hold_ms;
        let hold = self.prng.millis(&(from..=to)).as_millis() as u64;
        Some(Dial {
            kind: Kind::Legit,
            to: self.prng.number(range.dialled, range.digits),
            from: self.customer.number.to_owned(),
            patience,
            hold: scaled(hold, self.seconds),
        })
    }
}

/// Somebody in the office dials 999.
pub struct Emergency {
    due: Option<Instant>,
    from: &'static str,
}

impl Emergency {
    pub fn new(at: Instant, from: &'static str) -> Emergency {
        Emergency { due: Some(at), from }
    }
}

impl Script for Emergency {
    fn kind(&self) -> Kind {
        Kind::Emergency
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn next(&mut self, _now: Instant, _live: usize) -> Option<Dial> {
        self.due = None;
        let (to, from) = ("999".to_owned(), self.from.to_owned());
        Some(Dial { kind: Kind::Emergency, to, from, patience: PATIENT, hold: Duration::from_secs(2) })
    }
}
