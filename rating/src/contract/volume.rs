//! Volume tiers: what a step's price holds for must be said, since the two readings differ in money. *Incremental*: each
//! step prices the part of the volume inside it. *Whole volume*: the step reached prices everything from the first minute.

use tollgate_schemas::money::{format_scaled, round_amount};

use super::{BadContract, Line, LineRounding, Scope, Used};

/// What the steps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeBasis {
    /// Billed minutes; steps begin at whole minutes.
    Minutes,
    /// Money charged, in whole units of the currency.
    Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeMode {
    Incremental,
    WholeVolume,
}

/// A step from `from` (minutes or currency units) on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub from: u64,
    pub price: StepPrice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPrice {
    /// Instead of what the deck charged: per minute, 1e-12.
    RateE12(i64),
    /// Off what the deck charged, in millionths.
    DiscountE6(u32),
}

/// Volume tiers over one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    pub scope: Scope,
    pub basis: VolumeBasis,
    pub mode: VolumeMode,
    /// By `from`, the first from 0.
    pub steps: Vec<Step>,
}

/// A period's usage in scope, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    billed_s: u64,
    amount_e8: i64,
}

impl Total {
    pub fn add(&mut self, billed_s: u64, amount_e8: i64) {
        self.billed_s = self.billed_s.saturating_add(billed_s);
        self.amount_e8 = self.amount_e8.saturating_add(amount_e8);
    }
}

const MINUTE_S: i128 = 60;
const MILLION: i128 = 1_000_000;
const E8: i128 = 100_000_000;
const E12: i128 = 1_000_000_000_000;

impl Volume {
    pub fn check(&self) -> Result<(), BadContract> {
        if self.steps.first().is_none_or(|s| s.from != 0) {
            return Err(BadContract::NoFirstStep);
        }
        if let Some(two) = self.steps.windows(2).find(|two| two[1].from <= two[0].from) {
            return Err(BadContract::StepsDoNotRise(two[1].from, two[0].from));
        }
        for step in &self.steps {
            match step.price {
                StepPrice::DiscountE6(d) if d > 1_000_000 => return Err(BadContract::Discount(d)),
                StepPrice::RateE12(r) if r < 0 => return Err(BadContract::Negative(r)),
                _ => {}
            }
        }
        Ok(())
    }

    /// One line for each step that has volume: the difference to what the deck charged, negative where the volume is
    /// cheaper. A step priced by rate that the deck priced alike has a line of 0 and says so.
    pub fn lines<'a>(&self, usage: impl IntoIterator<Item = Used<'a>>, how: LineRounding) -> Result<Vec<Line>, BadContract> {
        let mut total = Total::default();
        usage.into_iter().filter(|used| self.scope.covers(used)).for_each(|used| total.add(used.billed_s, used.amount_e8));
        self.lines_of(total, how)
    }

    /// As [`Volume::lines`], of usage in scope that is added up already.
    pub fn lines_of(&self, total: Total, how: LineRounding) -> Result<Vec<Line>, BadContract> {
        self.check()?;
        let (volume, unit) = match self.basis {
            VolumeBasis::Minutes => (i128::from(total.billed_s), MINUTE_S),
            VolumeBasis::Amount => (i128::from(total.amount_e8.max(0)), E8),
        };
        if volume == 0 {
            return Ok(Vec::new());
        }
        let bounds = |at: usize| {
            let from = i128::from(self.steps[at].from) * unit;
            (from, self.steps.get(at + 1).map(|next| i128::from(next.from) * unit))
        };
        let mut lines = Vec::new();
        match self.mode {
            VolumeMode::WholeVolume => {
                // A step is reached at its bound: 1000 minutes are in the step from 1000 on.
                let at = (0..self.steps.len()).rev().find(|at| bounds(*at).0 <= volume).unwrap_or(0);
                lines.push(self.line(at, volume, volume, total, how)?);
            }
            VolumeMode::Incremental => {
                for at in 0..self.steps.len() {
                    let (from, to) = bounds(at);
                    let inside = to.unwrap_or(i128::MAX).min(volume) - from;
                    if inside > 0 {
                        lines.push(self.line(at, inside, volume, total, how)?);
                    }
                }
            }
        }
        Ok(lines)
    }

    /// The difference that `part` of the volume makes in a step.
    fn line(&self, at: usize, part: i128, volume: i128, total: Total, how: LineRounding) -> Result<Line, BadContract> {
        let (charged, over) = self.charged(part, volume, total);
        let round = |numerator, unit| round_amount(numerator, unit, how.places, how.rounding);
        let amount_e8 = match self.steps[at].price {
            StepPrice::DiscountE6(discount) => {
                let common = gcd(i128::from(discount), MILLION);
                -round(charged * (i128::from(discount) / common), over * (MILLION / common) * E8)
            }
            StepPrice::RateE12(rate) => {
                let (seconds, of) = match self.basis {
                    VolumeBasis::Minutes => (part, 1),
                    VolumeBasis::Amount => {
                        let common = gcd(part, volume);
                        (i128::from(total.billed_s) * (part / common), volume / common)
                    }
                };
                let common = gcd(i128::from(rate), MINUTE_S * E12);
                let (seconds, of) = (seconds.checked_mul(i128::from(rate) / common), of.checked_mul(MINUTE_S * E12 / common));
                // Places are multiplied on when it is rounded.
                let (Some(seconds), Some(of)) = (seconds.filter(|s| s.checked_mul(E8).is_some()), of) else { return Err(BadContract::TooLarge) };
                round(seconds, of).saturating_sub(round(charged, over * E8))
            }
        };
        Ok(Line { name: self.name_of(at), amount_e8 })
    }

    /// What the deck charged for a part of the volume, 1e-8 as a ratio: where money is counted the part itself, else its
    /// share by minutes.
    fn charged(&self, part: i128, volume: i128, total: Total) -> (i128, i128) {
        match self.basis {
            VolumeBasis::Amount => (part, 1),
            VolumeBasis::Minutes => {
                let common = gcd(part, volume);
                (i128::from(total.amount_e8) * (part / common), volume / common)
            }
        }
    }

    fn name_of(&self, at: usize) -> String {
        let unit = if self.basis == VolumeBasis::Minutes { " minutes" } else { "" };
        let range = match self.steps.get(at + 1) {
            Some(next) => format!("{} to {}{unit}", self.steps[at].from, next.from),
            None => format!("from {}{unit}", self.steps[at].from),
        };
        let price = match self.steps[at].price {
            StepPrice::RateE12(rate) => format!("at {} a minute", format_scaled(rate, 12, 4)),
            StepPrice::DiscountE6(d) => format!("less {}%", format_scaled(i64::from(d), 4, 0)),
        };
        format!("{}, {range}, {price}", self.name)
    }
}

/// Ratios are cut down first, so that products stay within `i128` for any period.
fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
