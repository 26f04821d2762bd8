//! A difference split into its causes, exactly: our price of their duration, then of their billed seconds, then their
//! price of those, and what is left is how the sides round. The parts sum to the whole.

use tollgate_schemas::terms::billed_seconds;

use super::{Billed, Cause, Class, Finding};

/// A part of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    pub cause: Cause,
    pub seconds: i64,
    pub amount_e8: i64,
}

/// At most one part for each cause, the largest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Causes([Option<Split>; 5]);

impl Causes {
    pub fn iter(&self) -> impl Iterator<Item = Split> + '_ {
        self.0.iter().flatten().copied()
    }

    fn push(&mut self, cause: Cause, seconds: i64, amount_e8: i64) {
        if let Some(free) = self.0.iter_mut().find(|p| p.is_none()) {
            *free = Some(Split { cause, seconds, amount_e8 });
        }
    }
}

/// Units of 1e-12 / 60 in 1e-8.
const UNIT: i128 = 600_000;
/// Where a file has no rate, a difference up to this is rounding: half of a hundredth of a cent.
const ROUNDS_E8: i64 = 5_000;

/// Amounts have six places where nothing else is agreed.
const LAST_PLACE_E8: i64 = 100;

/// A call without a pair (or the second of one): all of it is the difference.
pub(super) fn of_one(ours: Option<u32>, theirs: Option<u32>, class: Class, call: &Billed, sign: i64) -> Finding {
    let cause = if class == Class::Duplicate { Cause::Duplicate } else { Cause::Missing };
    let (delta_s, delta_e8) = (sign * call.seconds() as i64, sign * call.amount_e8);
    let mut causes = Causes::default();
    causes.push(cause, delta_s, delta_e8);
    Finding { ours, theirs, class, cause: Some(cause), causes, delta_e8, delta_s }
}

pub(super) fn of_pair((o, our): (u32, &Billed), (t, their): (u32, &Billed), shifted: bool) -> Finding {
    let delta_s = their.seconds() as i64 - our.seconds() as i64;
    let delta_e8 = their.amount_e8.saturating_sub(our.amount_e8);
    let answered = our.answer_us.is_some();
    let class = match delta_s.unsigned_abs() {
        _ if !answered && their.bills() => Class::UnansweredBilled,
        0 => Class::Exact,
        1 | 2 => Class::Partial,
        _ => Class::Mismatch,
    };
    let mut finding = Finding { ours: Some(o), theirs: Some(t), class, cause: None, causes: Causes::default(), delta_e8, delta_s };
    if class == Class::UnansweredBilled {
        finding.causes.push(Cause::Fas, delta_s, delta_e8);
        finding.cause = Some(Cause::Fas);
        return finding;
    }
    if !answered {
        return finding;
    }
    let mut parts = split(our, their, delta_s, delta_e8);
    parts.retain(|p| p.amount_e8 != 0 || p.seconds != 0 && p.cause == Cause::Duration);
    parts.sort_by_key(|p| (std::cmp::Reverse(p.amount_e8.unsigned_abs()), p.cause));
    // Another price leaves another remainder: below the last place that is of that cause, not of how they round.
    if let Some(at) = parts.iter().position(|p| p.cause == Cause::Rounding && p.amount_e8.abs() <= LAST_PLACE_E8).filter(|at| *at > 0) {
        parts[0].amount_e8 += parts.remove(at).amount_e8;
    }
    if shifted {
        // Its money is whatever the other causes say; that it was somewhere else in time is what a person must see.
        parts.insert(0, Split { cause: Cause::Timezone, seconds: 0, amount_e8: 0 });
    }
    finding.cause = parts.first().map(|p| p.cause);
    for part in parts {
        finding.causes.push(part.cause, part.seconds, part.amount_e8);
    }
    finding
}

fn split(our: &Billed, their: &Billed, delta_s: i64, delta_e8: i64) -> Vec<Split> {
    let Some(rate) = our.rate_e12.map(i128::from) else {
        // Nothing to calculate with: the whole difference is of the duration, else of the price.
        let cause = if delta_s != 0 { Cause::Duration } else { Cause::Rate };
        return vec![Split { cause, seconds: delta_s, amount_e8: delta_e8 }];
    };
    let connect = i128::from(our.connect_e12) * 60;
    let at = |rate: i128, billed: u64| connect + rate * i128::from(billed);
    let count = |seconds: u64| if seconds == 0 { 0 } else { billed_seconds(seconds, our.initial_s, our.increment_s) };
    let our_billed = our.billed_s.unwrap_or_else(|| count(our.seconds()));
    // Where durations agree so do our billed seconds, whatever the tariff does before counting.
    let with_their_duration = if delta_s == 0 { our_billed } else { count(their.seconds()) };
    let their_billed = their.billed_s.or_else(|| implied(their)).unwrap_or(with_their_duration);
    let (ours_exact, duration, increment) = (at(rate, our_billed), at(rate, with_their_duration), at(rate, their_billed));
    let whole = |exact: i128| i64::try_from(exact / UNIT).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX });
    let (of_duration, of_increment) = (whole(duration - ours_exact), whole(increment - duration));
    let left = delta_e8 - of_duration - of_increment;
    let of_rate = match their.rate_e12 {
        Some(their_rate) => whole(at(i128::from(their_rate), their_billed) - increment),
        None if left.abs() <= ROUNDS_E8 => 0,
        None => left,
    };
    vec![
        Split { cause: Cause::Duration, seconds: delta_s, amount_e8: of_duration },
        Split { cause: Cause::Increment, seconds: their_billed as i64 - with_their_duration as i64, amount_e8: of_increment },
        Split { cause: Cause::Rate, seconds: 0, amount_e8: of_rate },
        Split { cause: Cause::Rounding, seconds: 0, amount_e8: left - of_rate },
    ]
}

/// Seconds an amount stands for at its rate, when that is a whole number (to a hundredth).
fn implied(call: &Billed) -> Option<u64> {
    let rate = call.rate_e12.filter(|r| *r > 0)?;
    let hundredths = i128::from(call.amount_e8) * 60 * 10_000 * 100 / i128::from(rate);
    let seconds = (hundredths + 50) / 100;
    ((hundredths - seconds * 100).abs() <= 10 && call.connect_e12 == 0).then(|| u64::try_from(seconds).ok()).flatten()
}
