//! Bundles: minutes already paid for, within a scope. Calls draw in the order they come (by answer, then id); a call that
//! finds less than it needs is covered for the part that is left, and pays the rest pro rata.

use tollgate_schemas::money::round_amount;

use super::{Line, LineRounding, Scope, Used};

/// Minutes paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub name: String,
    pub scope: Scope,
    /// Left, in billed seconds.
    pub left_s: u64,
    /// A bundle that is drawn first; of equals the first in the list.
    pub weight: i32,
}

/// What the bundles did for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drawn {
    /// Billed seconds that bundles covered.
    pub covered_s: u64,
    /// The credit for them: the call's amount by its share of seconds, rounded once; never more than the amount.
    pub credit_e8: i64,
}

/// Draws a period's calls, in order, from the bundles, and gives what each call got. What is left stays in the bundles.
/// Their sum for an invoice: [`Drawn::line`].
pub fn draw<'a>(bundles: &mut [Bundle], usage: impl IntoIterator<Item = Used<'a>>, how: LineRounding) -> Vec<Drawn> {
    let order = order(bundles);
    let mut out = Vec::new();
    for used in usage {
        let covers: Vec<bool> = bundles.iter().map(|b| b.scope.covers(&used)).collect();
        out.push(draw_one(bundles, &order, |at| covers[at], used.billed_s, used.amount_e8, how, |_, _| {}));
    }
    out
}

/// In which order bundles are drawn.
pub(super) fn order(bundles: &[Bundle]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..bundles.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(bundles[*at].weight));
    order
}

/// One call: what it gets, and from each bundle its part. Parts of the credit are what the seconds so far are worth, less what was
/// given for those before, so that they sum to the whole.
pub(super) fn draw_one(
    bundles: &mut [Bundle],
    order: &[usize],
    covers: impl Fn(usize) -> bool,
    billed_s: u64,
    amount_e8: i64,
    how: LineRounding,
    mut each: impl FnMut(usize, Drawn),
) -> Drawn {
    let mut got = Drawn::default();
    for at in order.iter().copied().filter(|at| covers(*at)) {
        let taken = (billed_s - got.covered_s).min(bundles[at].left_s);
        if taken == 0 {
            continue;
        }
        bundles[at].left_s -= taken;
        let covered_s = got.covered_s + taken;
        let credit_e8 = if covered_s == billed_s {
            amount_e8
        } else {
            let share = i128::from(amount_e8) * i128::from(covered_s);
            round_amount(share, i128::from(billed_s) * 100_000_000, how.places, how.rounding).min(amount_e8)
        };
        each(at, Drawn { covered_s: taken, credit_e8: credit_e8 - got.credit_e8 });
        got = Drawn { covered_s, credit_e8 };
    }
    got
}

impl Drawn {
    pub(super) fn add(&mut self, part: Drawn) {
        self.covered_s = self.covered_s.saturating_add(part.covered_s);
        self.credit_e8 = self.credit_e8.saturating_add(part.credit_e8);
    }

    /// The period's credits as one line; none when nothing was drawn.
    pub fn line(all: &[Drawn]) -> Option<Line> {
        let (mut seconds, mut credit) = (0u64, 0i64);
        for one in all {
            seconds = seconds.saturating_add(one.covered_s);
            credit = credit.saturating_add(one.credit_e8);
        }
        (seconds > 0).then(|| Line { name: format!("bundled minutes, {}:{:02}", seconds / 60, seconds % 60), amount_e8: -credit })
    }
}
