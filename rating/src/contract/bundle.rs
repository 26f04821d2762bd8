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
    let mut order: Vec<usize> = (0..bundles.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(bundles[*at].weight));
    usage
        .into_iter()
        .map(|used| {
            let mut need = used.billed_s;
            for at in &order {
                let bundle = &mut bundles[*at];
                if need > 0 && bundle.scope.covers(&used) {
                    let taken = need.min(bundle.left_s);
                    bundle.left_s -= taken;
                    need -= taken;
                }
            }
            let covered_s = used.billed_s - need;
            if covered_s == 0 {
                return Drawn::default();
            }
            let share = i128::from(used.amount_e8) * i128::from(covered_s);
            let credit = round_amount(share, i128::from(used.billed_s) * 100_000_000, how.places, how.rounding);
            Drawn { covered_s, credit_e8: if covered_s == used.billed_s { used.amount_e8 } else { credit.min(used.amount_e8) } }
        })
        .collect()
}

impl Drawn {
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
