//! The decision: filter, price, order, cap.

use std::sync::Arc;

use super::{
    Candidate, CarrierRoutes, Judged, LeftOut, Reason, RouteDecision, RouteQuery, Routes, SHORTEST_PRICED_EMERGENCY,
    expected::Expected,
    order::{Place, Priced},
};
use crate::{
    deck::{Dialled, Lookup, Origination, RowRef},
    quality::{CarrierKnown, Positions},
};

pub(super) fn decide(table: &Arc<Routes>, query: &RouteQuery<'_>) -> RouteDecision {
    // Emergency calls ask nothing of prices and qualities, and an account without a policy nothing of qualities: only how long calls
    // there last.
    let policy = query.policy.filter(|_| !query.emergency);
    let of_class = query.quality.filter(|_| !query.emergency).map(|group| group.of_class(query.codec_class));
    let durations = match of_class {
        Some(known) if query.durations.is_empty() => &known.durations,
        _ => query.durations,
    };
    let quality = query.quality.filter(|_| policy.is_some());
    let mut expected = Expected::of(durations, query.at_us);
    let carriers = &table.carriers;
    let lookups = table.decks.lookup_for(query.number, query.at_us, &query.from);
    let guard = Guard::of(query, &expected);
    let known: Option<Positions<'_>> = quality.map(|group| group.of_table(table.id, carriers.iter().map(|c| c.name.as_str()), query.codec_class));
    // The place of the sale's currency: text is compared once, not once a carrier.
    let home = query.sell.and_then(|sell| table.currencies.iter().position(|c| *c == sell.currency));
    let rates: Vec<Option<i64>> = table.currencies.iter().map(|c| rate_of_the_day(c, query)).collect();
    let mut priced: Vec<Priced<'_>> = Vec::with_capacity(carriers.len());
    let mut left_out: Vec<LeftOut> = Vec::with_capacity(carriers.len());
    // The longest prefix any asked carrier lists for this number (R-16's flag).
    let mut longest = 0;
    for (carrier, routes) in (0u16..).zip(carriers) {
        let lookup = lookups[usize::from(table.deck_of[usize::from(carrier)])];
        let known = known.as_ref().and_then(|k| k.get(carrier));
        let judged = policy.map(|_| Judged::of(known));
        let found = admitted(routes, query).and_then(|()| find(routes, lookup, query)).and_then(|row| {
            let refused = row.and_then(|row| of_policy(routes, &row, known, query));
            refused.map_or(Ok(row), |reason| Err((reason, row)))
        });
        let found = match found {
            Ok(row) => row,
            Err((reason, row)) => {
                longest = longest.max(row.map_or(0, |r| r.prefix_len()));
                left_out.push(LeftOut { row: row.map(|r| r.number()), judged, ..out(carrier, reason) });
                continue;
            }
        };
        longest = longest.max(found.map_or(0, |r| r.prefix_len()));
        let surcharge_e12 = |row: &RowRef<'_>| query.surcharged.map_or(0, |s| s.per_minute_e12(row));
        let cost = found.map_or(0, |row| expected.cost(&row, &query.from, surcharge_e12(&row)));
        let currency = table.currency_of[usize::from(carrier)];
        let own_cost = cost;
        let exchanged = if home == Some(usize::from(currency)) { None } else { rates[usize::from(currency)] };
        let cost = exchanged.map_or(cost, |rate_e12| exchange(cost, rate_e12));
        let abroad = query.sell.is_some() && home != Some(usize::from(currency)) && exchanged.is_none();
        // Costs in the sale's currency stand together, whatever the carrier's is.
        let currency = if exchanged.is_some() { home.map_or(currency, |at| at as u16) } else { currency };
        match guard.refuses(abroad, cost).or_else(|| shut(query, carrier)) {
            Some(reason) => left_out.push(LeftOut {
                row: found.map(|r| r.number()),
                expected_cost_e8: Some(expected.e8(own_cost)),
                judged,
                ..out(carrier, reason)
            }),
            None => {
                let group = (found.is_none(), abroad, currency, known.is_some_and(|k| k.state == crate::quality::State::Demoted));
                priced.push(Priced { carrier, row: found, group, own_cost, cost, known });
            }
        }
    }
    let most = policy.and_then(|p| p.max_attempts).filter(|m| query.max_attempts == 0 || *m < query.max_attempts).unwrap_or(query.max_attempts);
    let cap = if query.emergency || most == 0 { usize::MAX } else { most };
    let places = super::order::order(table, &mut priced, query, policy, of_class, &expected, cap);
    let mut order = Vec::with_capacity(priced.len().min(cap));
    left_out.reserve(places.len().saturating_sub(cap));
    for (at, Place { priced: place, score_e8, exploring }) in places.into_iter().enumerate() {
        let one = &priced[place];
        let row = one.row.map(|r| r.number());
        let covered_by_parent_prefix = one.row.is_some_and(|r| r.prefix_len() < longest);
        let expected_cost_e8 = expected.e8(one.own_cost);
        let judged = policy.map(|_| Judged { score_e8, exploring, ..Judged::of(one.known) });
        if at < cap {
            let rank = at as u32 + 1;
            order.push(Candidate { carrier: one.carrier, rank, expected_cost_e8, covered_by_parent_prefix, row, judged });
        } else {
            let expected_cost_e8 = Some(expected_cost_e8);
            left_out.push(LeftOut { row, expected_cost_e8, judged, ..out(one.carrier, Reason::BeyondMaxAttempts) });
        }
    }
    for one in &mut left_out {
        let deck = &carriers[usize::from(one.carrier)].deck;
        one.covered_by_parent_prefix = one.row.is_some_and(|row| deck.prefix_len(row) < longest);
    }
    left_out.sort_unstable_by_key(|l| l.carrier);
    RouteDecision { order, left_out, routes: table.clone(), number: Dialled::of(query.number), at_us: query.at_us, from: Origination { groups: &[], ..query.from } }
}

/// Why a carrier gets no call now. There is mostly none.
fn shut(query: &RouteQuery<'_>, carrier: u16) -> Option<Reason> {
    let at = query.shut.binary_search_by_key(&carrier, |(carrier, _)| *carrier).ok()?;
    Some(query.shut[at].1)
}

/// The rate from a carrier's currency to the sale's, where one is to be found.
fn rate_of_the_day(currency: &str, query: &RouteQuery<'_>) -> Option<i64> {
    let (fx, sell) = (query.fx?, query.sell?);
    Some(fx.rate(currency, &sell.currency, query.at_us)?.rate_e12)
}

/// A sum at a rate in 1e-12, cut: less than a millionth of a millionth of the unit per minute.
fn exchange(sum: i128, rate_e12: i64) -> i128 {
    const ONE: i128 = 1_000_000_000_000;
    match sum.checked_mul(i128::from(rate_e12)) {
        Some(product) => product.div_euclid(ONE),
        None => (sum / ONE).saturating_mul(i128::from(rate_e12)),
    }
}

fn out(carrier: u16, reason: Reason) -> LeftOut {
    LeftOut { carrier, reason, expected_cost_e8: None, covered_by_parent_prefix: false, row: None, judged: None }
}

/// What took a carrier out, and the row it would have been priced by.
type Out<'t> = (Reason, Option<RowRef<'t>>);

/// The filters that do not look at prices.
fn admitted<'t>(routes: &CarrierRoutes, query: &RouteQuery<'_>) -> Result<(), Out<'t>> {
    if routes.suspended {
        return Err((Reason::Suspended, None));
    }
    if !query.emergency && !query.allowed.is_empty() && !query.allowed.contains(&routes.name) {
        return Err((Reason::NotAllowedForAccount, None));
    }
    if query.ingress_party.is_some_and(|party| party == routes.party || party == routes.name) {
        return Err((Reason::Loop, None));
    }
    if query.emergency && !routes.emergency {
        return Err((Reason::NotEmergencyCapable, None));
    }
    Ok(())
}

/// What the account's policy leaves out, whatever the price.
fn of_policy(routes: &CarrierRoutes, row: &RowRef<'_>, known: Option<&CarrierKnown>, query: &RouteQuery<'_>) -> Option<Reason> {
    let policy = query.policy.filter(|_| !query.emergency)?;
    let class = class_of(routes, row);
    let one_of = |classes: &[String]| classes.iter().any(|c| c == class);
    if !policy.classes.is_empty() && !one_of(&policy.classes) {
        return Some(Reason::RouteClass);
    }
    if policy.floor_classes.as_ref().is_some_and(|floor| !one_of(floor)) {
        return Some(Reason::ClassFloor);
    }
    if policy.cli_guaranteed && !routes.cli_guaranteed {
        return Some(Reason::CliNotGuaranteed);
    }
    let known = known?;
    // A carrier of which too little is known is not under a floor.
    if known.samples > 0 && (known.asr_e6 < policy.floor_asr_e6 || known.ner_e6 < policy.floor_ner_e6) {
        return Some(Reason::QualityFloor);
    }
    (known.fas_until_us > query.at_us).then_some(Reason::FalseAnswer)
}

fn class_of<'r>(routes: &'r CarrierRoutes, row: &RowRef<'r>) -> &'r str {
    let own = row.route_class();
    if own.is_empty() { routes.route_class.as_str() } else { own }
}

/// The row that prices the call, if it may go this way.
fn find<'t>(routes: &'t CarrierRoutes, lookup: Lookup<'t>, query: &RouteQuery<'_>) -> Result<Option<RowRef<'t>>, Out<'t>> {
    if query.emergency {
        let priced = query.number.trim_start_matches('+').len() >= SHORTEST_PRICED_EMERGENCY;
        return Ok(match lookup {
            Lookup::Row(row) if priced => Some(row),
            _ => None,
        });
    }
    let row = match lookup {
        Lookup::Row(row) => row,
        Lookup::Blocked(row) => return Err((Reason::Blocked, Some(row))),
        Lookup::NotEffective => return Err((Reason::NotEffective, None)),
        Lookup::NoPrefix => return Err((Reason::NoPrefix, None)),
    };
    let class = class_of(routes, &row);
    if !query.classes.is_empty() && !query.classes.iter().any(|c| c == class) {
        return Err((Reason::RouteClass, Some(row)));
    }
    Ok(Some(row))
}

/// expected revenue against expected cost, both exact.
enum Guard {
    Off,
    NoPrice,
    /// A cost above this is refused.
    On { most: i128 },
}

impl Guard {
    fn of(query: &RouteQuery<'_>, expected: &Expected<'_>) -> Guard {
        match query.sell {
            _ if !query.margin_guard || query.emergency => Guard::Off,
            None => Guard::NoPrice,
            Some(sell) => {
                Guard::On { most: expected.revenue(sell).saturating_sub(expected.sum_of_e8(query.min_margin_e8)) }
            }
        }
    }

    /// `abroad`: the carrier's currency is not that of the sale.
    fn refuses(&self, abroad: bool, cost: i128) -> Option<Reason> {
        match self {
            Guard::Off => None,
            Guard::NoPrice => Some(Reason::NoSellPrice),
            Guard::On { .. } if abroad => Some(Reason::CurrencyMismatch),
            Guard::On { most } => (cost > *most).then_some(Reason::NegativeMargin),
        }
    }
}
