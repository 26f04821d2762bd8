//! The lines of a charge: the usage of the leg, and each fee.

use super::{
    legs::LegContext,
    round::{PER_RATE_UNIT, line_e8},
    walk::{Run, Walk},
};
use crate::v1::{Fee, FeeOn, Terms};

/// Name of the line that is the leg's whole usage.
pub const USAGE: &str = "usage";

/// A charge as an invoice shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    /// As [`super::Charge::billed_s`].
    pub billed_s: u64,
    /// The usage of a leg that was charged, first; then fees that are not 0, in the tariff's order.
    pub lines: Vec<Line>,
    /// Part of the usage line.
    pub connect_fee_e12: i64,
    /// What the usage line is the sum of, beside the connect fee, before the least and the most it may come to.
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub amount_e8: i64,
    /// What the fee is for; `None` for the usage.
    pub fee: Option<FeeOn>,
}

/// Increments charged at one price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Of its first increment, seconds from the answer.
    pub start_s: u64,
    pub billed_s: u64,
    /// Per minute with surcharges; saturates.
    pub rate_e12: i64,
    /// The time band, `""` = the row's own price.
    pub band: String,
    /// The step of that price, by where it begins.
    pub after_s: u32,
}

impl Lines {
    /// The charge: the sum of the lines.
    pub fn amount_e8(&self) -> i64 {
        self.lines.iter().fold(0i64, |sum, line| sum.saturating_add(line.amount_e8))
    }

    /// The fees alone.
    pub fn fees_e8(&self) -> i64 {
        self.lines.iter().filter(|l| l.fee.is_some()).fold(0i64, |sum, line| sum.saturating_add(line.amount_e8))
    }
}

/// The usage line, and whether there is one.
pub(super) struct Usage {
    pub charged: bool,
    pub billed_s: u64,
    pub amount_e8: i64,
}

impl Terms {
    /// Whether a leg is charged for being answered (R-09: beyond the grace).
    fn is_charged(&self, duration_ms: u64, context: &LegContext) -> bool {
        context.answered && (self.grace_ms == 0 || duration_ms > u64::from(self.grace_ms))
    }

    pub(super) fn usage(&self, answer_us: i64, duration_ms: u64, context: &LegContext) -> Usage {
        self.usage_of(answer_us, duration_ms, context, &mut |_, _| {}).0
    }

    /// The usage line and the connect fee in it; `tell` hears of each run and how many of its increments were used.
    fn usage_of(&self, answer_us: i64, duration_ms: u64, context: &LegContext, tell: &mut dyn FnMut(&Run<'_>, u64)) -> (Usage, i64) {
        if !self.is_charged(duration_ms, context) {
            return (Usage { charged: false, billed_s: 0, amount_e8: 0 }, 0);
        }
        let seconds = self.seconds(duration_ms);
        let mut walk = Walk::new(self, answer_us);
        let connect_fee_e12 = walk.connect_fee_e12;
        let mut exact = i128::from(connect_fee_e12) * PER_RATE_UNIT;
        let mut billed_s = 0u64;
        for run in &mut walk {
            let used = run.used(seconds);
            if used == 0 {
                break;
            }
            exact += run.exact(used);
            billed_s += used * run.increment_s;
            tell(&run, used);
        }
        (Usage { charged: true, billed_s, amount_e8: self.usage_e8(exact) }, connect_fee_e12)
    }

    /// The usage line from its exact sum: not below the minimum, not above a maximum that is free beyond, rounded once.
    pub(super) fn usage_e8(&self, exact: i128) -> i64 {
        let mut exact = exact;
        if self.min_charge_e12 != 0 {
            exact = exact.max(i128::from(self.min_charge_e12) * PER_RATE_UNIT);
        }
        if self.max_charge_e12 != 0 && !self.end_at_max {
            exact = exact.min(i128::from(self.max_charge_e12) * PER_RATE_UNIT);
        }
        line_e8(exact, self.places, self.rounding())
    }

    /// The sum of the fees of a leg; `charged`: its answer is charged.
    pub(super) fn fees_e8(&self, charged: bool, context: &LegContext) -> i64 {
        self.fees.iter().fold(0i64, |sum, fee| sum.saturating_add(self.fee_e8(fee, charged, context)))
    }

    /// A fee's line, rounded by the tariff's rule; 0 when the leg does not owe it.
    fn fee_e8(&self, fee: &Fee, charged: bool, context: &LegContext) -> i64 {
        let seconds = match fee.on() {
            FeeOn::Answer => 60 * u64::from(charged),
            FeeOn::Call => 60 * u64::from(context.attempts.min(1)),
            FeeOn::Attempt => 60 * u64::from(context.attempts),
            FeeOn::Ringing => context.ringing_ms.div_ceil(1000),
        };
        line_e8(i128::from(fee.amount_e12) * i128::from(seconds), self.places, self.rounding())
    }

    /// The charge line by line, with the segments that explain it. Their sum is what [`Terms::charge_leg`] says; for one attempt
    /// that was answered without ringing it is [`Terms::charge`].
    pub fn lines(&self, answer_us: i64, duration_ms: u64, context: &LegContext) -> Lines {
        let mut segments: Vec<Segment> = Vec::new();
        let mut tell = |run: &Run<'_>, used: u64| {
            let rate_e12 = i64::try_from(run.rate_e12).unwrap_or(if run.rate_e12 < 0 { i64::MIN } else { i64::MAX });
            let band = run.band.map_or("", |b| b.name.as_str());
            let billed_s = used * run.increment_s;
            match segments.last_mut() {
                Some(last) if last.rate_e12 == rate_e12 && last.band == band && last.after_s == run.after_s => last.billed_s += billed_s,
                _ => segments.push(Segment { start_s: run.start_s, billed_s, rate_e12, band: band.to_owned(), after_s: run.after_s }),
            }
        };
        let (usage, connect_fee_e12) = self.usage_of(answer_us, duration_ms, context, &mut tell);
        let mut lines = Vec::with_capacity(1 + self.fees.len());
        if usage.charged {
            lines.push(Line { name: USAGE.to_owned(), amount_e8: usage.amount_e8, fee: None });
        }
        for fee in &self.fees {
            let amount_e8 = self.fee_e8(fee, usage.charged, context);
            if amount_e8 != 0 {
                lines.push(Line { name: fee.name.clone(), amount_e8, fee: Some(fee.on()) });
            }
        }
        Lines { billed_s: usage.billed_s, lines, connect_fee_e12, segments }
    }
}
