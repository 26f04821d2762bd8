//! The hacked PBX (F-01, F-02): its lines dial numbers that pay the thief by the minute, another number every ten calls
//! and another country now and then, and hold each call as long as they can. What it would cost if nobody looked is a
//! model, stated with its figures.

use std::time::{Duration, Instant};

use super::{
    prng::Prng,
    scene::{TRAP_SELL_CENTS, TRAPS},
    ua::caller::{Dial, Kind, Script},
};

/// Lines the PBX has for it.
pub const LINES: u64 = 30;
/// How long each call is meant to last: revenue-share calls seldom are shorter.
pub const HOLD_MIN: u64 = 20;
/// Time between two calls in the mean.
const GAP: Duration = Duration::from_millis(180);
const CALLS_PER_NUMBER: u32 = 10;
const CALLS_PER_COUNTRY: u32 = 40;

/// What the attack costs until its first calls end by themselves, 1e-8 of a dollar: nobody who reads CDRs can know
/// earlier (a call's CDR comes with its end).
pub fn unstopped_e8() -> i64 {
    (LINES * HOLD_MIN * TRAP_SELL_CENTS * 1_000_000) as i64
}

pub fn model() -> String {
    format!(
        "{LINES} lines x {HOLD_MIN} min x ${}.{:02}/min: what the first wave of calls costs when it is found by its CDRs",
        TRAP_SELL_CENTS / 100,
        TRAP_SELL_CENTS % 100
    )
}

pub struct Attack {
    prng: Prng,
    due: Instant,
    from: &'static str,
    calls: u32,
    number: String,
}

impl Attack {
    pub fn new(prng: Prng, start: Instant, from: &'static str) -> Attack {
        Attack { prng, due: start, from, calls: 0, number: String::new() }
    }
}

impl Script for Attack {
    fn kind(&self) -> Kind {
        Kind::Fraud
    }

    fn due(&self) -> Option<Instant> {
        Some(self.due)
    }

    fn next(&mut self, now: Instant, live: usize) -> Option<Dial> {
        // A machine dials: at random, but never two calls in one moment.
        self.due = now.max(self.due) + GAP / 2 + self.prng.gap(GAP / 2);
        if live as u64 >= LINES {
            return None;
        }
        if self.calls.is_multiple_of(CALLS_PER_NUMBER) {
            let (prefix, digits) = TRAPS[(self.calls / CALLS_PER_COUNTRY) as usize % TRAPS.len()];
            self.number = self.prng.number(prefix, digits);
        }
        self.calls += 1;
        Some(Dial {
            kind: Kind::Fraud,
            to: self.number.clone(),
            from: self.from.to_owned(),
            patience: Duration::from_secs(20),
            hold: Duration::from_secs(60 * HOLD_MIN),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_01_numbers_and_countries_rotate_and_lines_are_not_exceeded() {
        let start = Instant::now();
        let mut attack = Attack::new(Prng::new(3, "attack"), start, "0200");
        let mut dials = Vec::new();
        for i in 0..100u64 {
            let at = attack.due().expect("always due");
            assert!(at >= start + GAP / 2 * i as u32);
            dials.extend(attack.next(at, 0));
        }
        for (i, ten) in dials.chunks(10).enumerate() {
            assert!(ten.iter().all(|d| d.to == ten[0].to && d.to.starts_with(TRAPS[i / 4 % 2].0)), "{i}");
        }
        assert_ne!(dials[0].to, dials[10].to);
        assert!(attack.next(start, LINES as usize).is_none());
        assert_eq!(unstopped_e8(), 60_000_000_000);
    }
}
