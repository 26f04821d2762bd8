//! The order of the carriers that are left, and who goes first to learn of it.
//!
//! Demoted carriers come after all others, whatever decides between them. Then, by policy:
//!
//! - *cost* (R-36): the cheapest call first. Those within the policy's delta of the cheapest are of like cost: priority, weight and
//!   quality decide between them. Ties of cost: quality, priority, weight, name.
//! - *score*: what the hunt as a whole is expected to earn (`score.rs`).
//! - *quality*: metric by metric, then priority and weight, then cost.
//! - *weight*: priority, weight, then cost.
//! - *penalties*: R-38's baseline, then cost.
//!
//! **Draws.** One number decides both: the lowest draws explore, the others fall into the splits. An exploring call goes first
//! to a demoted carrier or one of which too little is known, then on in the order. Nobody explores who has nothing to compare.

use std::cmp::Reverse;

use super::{
    RouteQuery, Routes,
    expected::Expected,
    penalties::Gateway,
    policy::{Delta, Metric, Order, RoutePolicy},
    score::{Prospect, best, earnings_e8},
};
use crate::{
    deck::RowRef,
    quality::{CarrierKnown, ClassKnown, State},
};

/// A carrier that has been priced.
pub(super) struct Priced<'t> {
    pub carrier: u16,
    pub row: Option<RowRef<'t>>,
    /// What goes before all else: emergency carriers without a price come last; the currency of the sale before the others, by
    /// their order; demoted carriers after the others.
    pub group: (bool, bool, u16, bool),
    /// Summed over the weighted durations, in 1e-12 / 60 of the unit: of the carrier's currency, and of the sale's where there is a
    /// rate of the day.
    pub own_cost: i128,
    pub cost: i128,
    pub known: Option<&'t CarrierKnown>,
}

/// A place in the order.
pub(super) struct Place {
    /// Which of the priced ones.
    pub priced: usize,
    pub score_e8: i64,
    pub exploring: bool,
}

#[allow(clippy::too_many_arguments, reason = "one decision's whole input")]
pub(super) fn order(
    table: &Routes,
    priced: &mut [Priced<'_>],
    query: &RouteQuery<'_>,
    policy: Option<&RoutePolicy>,
    quality: Option<&ClassKnown>,
    expected: &Expected<'_>,
    cap: usize,
) -> Vec<Place> {
    let carriers = &table.carriers;
    let ranked = |one: &Priced<'_>| {
        let c = &carriers[usize::from(one.carrier)];
        (Reverse(c.priority), Reverse(c.weight))
    };
    let Some(policy) = policy else {
        // Carriers are in the order of their names, which settles a tie.
        let places = least(priced.len(), cap, |at| {
            let one = &priced[at];
            (one.group, one.cost, ranked(one), one.carrier)
        });
        return places.into_iter().map(|priced| Place { priced, score_e8: 0, exploring: false }).collect();
    };
    let quality_of = |one: &Priced<'_>| Reverse(one.known.map_or(0, |k| if k.samples > 0 { k.asr_e6 } else { 0 }));
    // What the margin of a call is where the sale's currency is the carrier's; the score of any other is not known.
    let revenue = query.sell.map(|sell| expected.revenue(sell));
    let prospect = |one: &Priced<'_>| {
        let margin = if one.group.1 { 0 } else { revenue.map_or(0, |r| expected.e12(r.saturating_sub(one.cost))) };
        Prospect::new(margin, one.known, quality, policy.delay_e12)
    };
    let later_e6 = quality.map_or(1_000_000, |g| i64::from(g.later_e6));
    match &policy.order {
        Order::Cost => {
            priced.sort_unstable_by_key(|one| (one.group, one.cost, quality_of(one), ranked(one), one.carrier));
            alike(priced, policy.delta, expected, |one| (ranked(one), quality_of(one), one.cost, one.carrier));
        }
        Order::Weight => priced.sort_unstable_by_key(|one| (one.group, ranked(one), one.cost, one.carrier)),
        Order::Quality(metrics) => priced.sort_by(|a, b| {
            let by = |one: &Priced<'_>| (ranked(one), one.cost, one.carrier);
            let by_metric = |metric: &Metric| value(*metric, a.known).cmp(&value(*metric, b.known)).reverse();
            let unequal = metrics.iter().map(by_metric).find(|o| o.is_ne());
            a.group.cmp(&b.group).then(unequal.unwrap_or(std::cmp::Ordering::Equal)).then_with(|| by(a).cmp(&by(b)))
        }),
        Order::Penalties(penalties) => priced.sort_by_cached_key(|one| {
            let score = penalties.score_e6(&one.known.map_or(Gateway::default(), gateway));
            (one.group, Reverse(score), one.cost, one.carrier)
        }),
        Order::Score => priced.sort_by_cached_key(|one| (one.group, Reverse(prospect(one).key), one.cost, one.carrier)),
    }
    let mut places: Vec<usize> = (0..priced.len()).collect();
    if policy.order == Order::Score && cap < priced.len() {
        // Who is left over comes after, in order: each is named as beyond the attempts.
        let eligible = priced.iter().take_while(|one| one.group == priced[0].group).count();
        let prospects: Vec<Prospect> = priced[..eligible].iter().map(prospect).collect();
        let chosen = best(&prospects, cap, later_e6);
        let rest = (0..priced.len()).filter(|at| !chosen.contains(at));
        places = chosen.iter().copied().chain(rest).collect();
    }
    let first = first(table, priced, &places, query, policy);
    if let Some((at, _)) = first {
        let one = places.remove(at);
        places.insert(0, one);
    }
    let exploring = first.is_some_and(|(_, exploring)| exploring);
    let hunt: Vec<Prospect> = places.iter().take(cap).map(|at| prospect(&priced[*at])).collect();
    let scores = if revenue.is_some() { earnings_e8(&hunt, later_e6) } else { Vec::new() };
    let place = |(rank, priced): (usize, usize)| Place { priced, score_e8: scores.get(rank).copied().unwrap_or(0), exploring: exploring && rank == 0 };
    places.into_iter().enumerate().map(place).collect()
}

/// Which `cap` of so many come first, in order; then the others as they stand.
fn least<K: Ord>(count: usize, cap: usize, key: impl Fn(usize) -> K) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    let order = |a: &usize, b: &usize| key(*a).cmp(&key(*b));
    if (1..count).contains(&cap) {
        places.select_nth_unstable_by(cap - 1, order);
        places[cap..].sort_unstable();
    }
    let first = cap.min(count);
    places[..first].sort_unstable_by(order);
    places
}

/// Orders those of like cost anew. They come in the order of their cost.
fn alike<'t, K: Ord>(priced: &mut [Priced<'t>], delta: Option<Delta>, expected: &Expected<'_>, key: impl Fn(&Priced<'t>) -> K) {
    let (Some(delta), Some(cheapest)) = (delta, priced.first()) else { return };
    let within = match delta {
        Delta::Money(e8) => expected.sum_of_e8(e8),
        Delta::Part(e6) => cheapest.cost.saturating_mul(i128::from(e6)) / 1_000_000,
    };
    let (group, most) = (cheapest.group, cheapest.cost.saturating_add(within));
    let band = priced.iter().take_while(|one| one.group == group && one.cost <= most).count();
    priced[..band].sort_by_key(key);
}

/// A metric such that more is better; less than all others where it is not known.
fn value(metric: Metric, known: Option<&CarrierKnown>) -> i128 {
    let Some(k) = known else { return i128::MIN };
    let some = |value: u64, known: bool| if known { i128::from(value) } else { i128::MIN };
    let ratio = |e6: u32| some(e6.into(), k.samples > 0);
    match metric {
        Metric::Asr => ratio(k.asr_e6),
        Metric::Ner => ratio(k.ner_e6),
        Metric::Ccr => ratio(k.ccr_e6),
        Metric::Acd => some(k.acd_ms, k.acd_ms > 0),
        Metric::Tcd => some(k.talk_ms, k.samples > 0),
        Metric::Tcc => some(k.answered.into(), k.samples > 0),
        Metric::Pdd if k.pdd_ms > 0 => -i128::from(k.pdd_ms),
        Metric::Pdd => i128::MIN,
    }
}

/// Whoever has a figure has enough samples for it.
fn gateway(k: &CarrierKnown) -> Gateway {
    let enough = |known: bool| if known { u32::MAX } else { 0 };
    Gateway {
        asr: (k.asr_e6.into(), k.samples),
        ccr: (k.ccr_e6.into(), k.samples),
        pdd: (k.pdd_ms, enough(k.pdd_ms > 0)),
        ast: (0, 0),
        acd: (k.acd_ms, enough(k.acd_ms > 0)),
    }
}

/// Who goes first though the order says otherwise, as a place, and whether to learn of it.
fn first(table: &Routes, priced: &[Priced<'_>], places: &[usize], query: &RouteQuery<'_>, policy: &RoutePolicy) -> Option<(usize, bool)> {
    let (draw, explores) = (query.draw_e6, policy.exploration_e6);
    if draw < explores {
        // Priced by its own row, in the currency of the sale: nothing else is tried out.
        let unknown = |one: &Priced<'_>| {
            let (unpriced, abroad, ..) = one.group;
            !unpriced && !abroad && one.known.is_none_or(|k| k.samples == 0 || k.state == State::Demoted)
        };
        let tried: Vec<usize> = (0..places.len()).filter(|at| unknown(&priced[places[*at]])).collect();
        // Where all are unknown there is nothing to compare: the order stands.
        if tried.is_empty() || tried.len() == places.len() {
            return None;
        }
        return Some((tried[draw as usize * tried.len() / explores as usize], true));
    }
    let mut percent = u64::from(draw - explores) * 100 / u64::from(1_000_000 - explores);
    for (carrier, share) in &policy.splits {
        if percent < u64::from(*share) {
            let is = |at: &usize| {
                let one = &priced[places[*at]];
                table.carriers[usize::from(one.carrier)].name == *carrier && !one.known.is_some_and(|k| k.state == State::Demoted)
            };
            return (0..places.len()).find(|at| is(at)).map(|at| (at, false));
        }
        percent -= u64::from(*share);
    }
    None
}
