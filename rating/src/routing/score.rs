//! One score in money for the whole hunt.
//!
//! A hunt over carriers 1, 2, … is expected to earn `V₁ = p₁·m₁ − d₁ + (1 − p₁)·V₂`, and so on to nothing: the carrier completes
//! the call with probability p and then earns m, its delay costs d whether it does or not, and what it does not complete goes on.
//! Of two neighbours the one with the greater `m − d/p` comes first in the best order, whoever else is there. Where more
//! carriers are left than may be tried, the best choice of them in that order is found step by step from the end.
//!
//! - p is Wilson's lower bound of the answer-seizure ratio of first attempts; of a carrier of which too little is known it is the
//!   destination's. After the first attempt it is smaller by what later attempts are worse there: those numbers are hard.
//! - m is the exact expected margin over the destination's lengths of calls, cut by how much shorter than the full length the
//!   carrier's calls are. No length above its peers' median counts, so false answer does not pay.
//! - d is the post-dial delay times what a second of waiting costs.
//!
//! Whole numbers: probabilities in 1e-6, money in 1e-12 of the unit.

use crate::quality::{CarrierKnown, ClassKnown};

/// What is taken where nothing is known at all.
const P_E6: i64 = 500_000;
const PDD_MS: u64 = 3_000;
const ONE_E6: i64 = 1_000_000;
/// Most attempts of one hunt that are weighed against each other; more are taken in order.
const MAX_DEPTH: usize = 16;

/// A carrier as the hunt sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prospect {
    pub p_e6: i64,
    pub margin_e12: i64,
    pub delay_e12: i64,
    /// m − d/p: what orders.
    pub key: i64,
}

impl Prospect {
    pub fn new(margin_e12: i64, known: Option<&CarrierKnown>, group: Option<&ClassKnown>, delay_price_e12: i64) -> Prospect {
        let all = group.map_or(0, |g| i64::from(g.asr_e6));
        let p_e6 = match known.filter(|k| k.samples > 0) {
            Some(k) => i64::from(k.asr_e6),
            None if all > 0 => all,
            None => P_E6,
        }
        .max(1);
        let margin_e12 = match known {
            Some(k) if k.acd_ms > 0 && k.full_acd_ms > k.acd_capped_ms && margin_e12 > 0 => {
                part(margin_e12, (k.acd_capped_ms.saturating_mul(1_000_000) / k.full_acd_ms) as i64)
            }
            _ => margin_e12,
        };
        let pdd_ms = [known.map_or(0, |k| k.pdd_ms), group.map_or(0, |g| g.pdd_ms), PDD_MS].into_iter().find(|ms| *ms > 0).unwrap_or(PDD_MS);
        let delay_e12 = delay_price_e12.saturating_mul(i64::try_from(pdd_ms).unwrap_or(i64::MAX)) / 1000;
        let key = margin_e12.saturating_sub(delay_e12.saturating_mul(ONE_E6) / p_e6);
        Prospect { p_e6, margin_e12, delay_e12, key }
    }

    /// What the hunt is expected to earn from here on, when `next` comes after; `worse_e6`: what later attempts are of first ones.
    fn earns(&self, next_e12: i64, worse_e6: i64) -> i64 {
        let p = self.p_e6 * worse_e6 / ONE_E6;
        part(self.margin_e12, p).saturating_sub(self.delay_e12).saturating_add(part(next_e12, ONE_E6 - p))
    }
}

fn part(money: i64, e6: i64) -> i64 {
    match money.checked_mul(e6) {
        Some(product) => product / ONE_E6,
        None => (i128::from(money) * i128::from(e6) / i128::from(ONE_E6)) as i64,
    }
}

/// Which of these, in the order of their keys, to try when only `most` may be: the places of the best choice, in order.
pub(super) fn best(prospects: &[Prospect], most: usize, later_e6: i64) -> Vec<usize> {
    let n = prospects.len();
    let most = most.min(n);
    if most == n || most > MAX_DEPTH {
        return (0..most).collect();
    }
    // What the hunt earns from candidate `i` on with `k` attempts left, and whether `i` is taken. Exactly so many are taken: a
    // hunt that gives up early saves waiting, but a call lost is not ours to weigh.
    const NEVER: i64 = i64::MIN;
    let mut worth = [0i64; MAX_DEPTH + 1];
    worth[1..=most].fill(NEVER);
    let mut taken = vec![0u32; n];
    for i in (0..n).rev() {
        for k in (1..=most).rev() {
            let worse = if k == most { ONE_E6 } else { later_e6 };
            let with = if worth[k - 1] == NEVER { NEVER } else { prospects[i].earns(worth[k - 1], worse) };
            if with != NEVER && with >= worth[k] {
                worth[k] = with;
                taken[i] |= 1 << k;
            }
        }
    }
    let mut chosen = Vec::with_capacity(most);
    let mut left = most;
    for (i, takes) in taken.iter().enumerate() {
        if left > 0 && takes & (1 << left) != 0 {
            chosen.push(i);
            left -= 1;
        }
    }
    chosen
}

/// What the hunt in this order is expected to earn from each place on, 1e-8 of the unit.
pub(super) fn earnings_e8(hunt: &[Prospect], later_e6: i64) -> Vec<i64> {
    let mut next = 0;
    let mut all: Vec<i64> = hunt
        .iter()
        .enumerate()
        .rev()
        .map(|(i, one)| {
            next = one.earns(next, if i == 0 { ONE_E6 } else { later_e6 });
            next.div_euclid(10_000)
        })
        .collect();
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prospect((p_e6, margin, delay): (i64, i64, i64)) -> Prospect {
        let (margin_e12, delay_e12) = (margin * 1_000_000, delay * 1_000_000);
        Prospect { p_e6, margin_e12, delay_e12, key: margin_e12 - delay_e12 * ONE_E6 / p_e6 }
    }

    fn worth(hunt: &[Prospect]) -> i64 {
        hunt.iter().rev().fold(0, |next, one| one.earns(next, ONE_E6))
    }

    /// Every choice of `most` of them, in every order.
    fn all(left: &[Prospect], most: usize) -> Vec<Vec<Prospect>> {
        if most == 0 {
            return vec![Vec::new()];
        }
        (0..left.len())
            .flat_map(|i| {
                let mut rest = left.to_vec();
                let one = rest.remove(i);
                all(&rest, most - 1).into_iter().map(move |mut tail| {
                    tail.insert(0, one);
                    tail
                })
            })
            .collect()
    }

    proptest::proptest! {
        /// Against every choice and order there is. Cut digits may cost a millionth of a millionth per step.
        #[test]
        fn r_38_no_other_hunt_earns_more(of in proptest::collection::vec((1_000i64..=1_000_000, -5_000i64..50_000, 0i64..500), 1..6), most in 1usize..4) {
            let mut prospects: Vec<Prospect> = of.iter().map(|o| prospect(*o)).collect();
            prospects.sort_by_key(|p| std::cmp::Reverse(p.key));
            let hunt: Vec<Prospect> = best(&prospects, most, ONE_E6).into_iter().map(|at| prospects[at]).collect();
            proptest::prop_assert_eq!(hunt.len(), most.min(prospects.len()));
            let ours = worth(&hunt);
            let most_there_is = all(&prospects, most.min(prospects.len())).iter().map(|h| worth(h)).max().unwrap_or(0);
            proptest::prop_assert!(most_there_is - ours <= 20, "{ours} of {most_there_is}");
            let said = earnings_e8(&hunt, ONE_E6)[0];
            proptest::prop_assert!((said - ours.div_euclid(10_000)).abs() <= 1);
        }
    }

    #[test]
    fn r_38_waiting_costs_and_completion_pays() {
        // The cheaper carrier completes one call of fifty and makes callers wait: the dearer one goes first.
        let (poor, good) = (prospect((20_000, 2_100, 90)), prospect((500_000, 2_000, 10)));
        assert!(good.key > poor.key);
        // Where waiting costs nothing, price alone decides: what is not completed goes on to the next.
        assert!(prospect((20_000, 2_100, 0)).key > prospect((500_000, 2_000, 0)).key);
        // With one attempt only, completion is what there is to choose.
        let two = [prospect((20_000, 2_100, 0)), prospect((500_000, 2_000, 0))];
        assert_eq!((best(&two, 1, ONE_E6), best(&two, 2, ONE_E6)), (vec![1], vec![0, 1]));
    }
}
