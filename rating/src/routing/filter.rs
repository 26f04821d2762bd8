//! The decision: filter, price, order, cap.

use std::sync::Arc;

use tollgate_schemas::{
    terms::{billed_seconds, rated_seconds},
    v1::Terms,
};

use super::{
    Candidate, CarrierRoutes, DEFAULT_EXPECTED_MS, LeftOut, Reason, RouteDecision, RouteQuery, Routes, SHORTEST_PRICED_EMERGENCY,
};
use crate::deck::{Dialled, Lookup, RowRef};

/// A carrier that has been priced.
struct Priced<'t> {
    carrier: u16,
    row: Option<RowRef<'t>>,
    /// What goes before the cost: emergency carriers without a price come last, and the currency of the sale before
    /// the others, by their order.
    group: (bool, bool, u16),
    /// Summed over the weighted durations, in 1e-12 / 60 of the currency's unit.
    cost: i128,
}

pub(super) fn decide(table: &Arc<Routes>, query: &RouteQuery<'_>) -> RouteDecision {
    let expected = Expected::of(query.durations);
    let carriers = &table.carriers;
    let lookups = table.decks.lookup(query.number, query.at_us);
    let guard = Guard::of(query, &expected);
    // The place of the sale's currency: text is compared once, not once a carrier.
    let home = query.sell.and_then(|sell| table.currencies.iter().position(|c| *c == sell.currency));
    let mut priced: Vec<Priced<'_>> = Vec::with_capacity(carriers.len());
    let mut left_out: Vec<LeftOut> = Vec::with_capacity(carriers.len());
    // The longest prefix any asked carrier lists for this number (R-16's flag).
    let mut longest = 0;
    for (carrier, routes) in (0u16..).zip(carriers) {
        let lookup = lookups[usize::from(table.deck_of[usize::from(carrier)])];
        let found = match admitted(routes, query).and_then(|()| find(routes, lookup, query)) {
            Ok(row) => row,
            Err((reason, row)) => {
                longest = longest.max(row.map_or(0, |r| r.prefix_len()));
                left_out.push(LeftOut { row: row.map(|r| r.number()), ..out(carrier, reason) });
                continue;
            }
        };
        longest = longest.max(found.map_or(0, |r| r.prefix_len()));
        let cost = found.map_or(0, |row| expected.cost(&row, query.at_us));
        let currency = table.currency_of[usize::from(carrier)];
        let abroad = query.sell.is_some() && home != Some(usize::from(currency));
        match guard.refuses(abroad, cost) {
            Some(reason) => left_out.push(LeftOut {
                row: found.map(|r| r.number()),
                expected_cost_e8: Some(expected.e8(cost)),
                ..out(carrier, reason)
            }),
            None => {
                let group = (found.is_none(), abroad, currency);
                priced.push(Priced { carrier, row: found, group, cost });
            }
        }
    }
    // Carriers are in the order of their names, which settles a tie.
    priced.sort_unstable_by_key(|one| (one.group, one.cost, one.carrier));
    let cap = if query.emergency || query.max_attempts == 0 { usize::MAX } else { query.max_attempts };
    let mut order = Vec::with_capacity(priced.len().min(cap));
    for (at, one) in priced.iter().enumerate() {
        let row = one.row.map(|r| r.number());
        let covered_by_parent_prefix = one.row.is_some_and(|r| r.prefix_len() < longest);
        let expected_cost_e8 = expected.e8(one.cost);
        if at < cap {
            let rank = at as u32 + 1;
            order.push(Candidate { carrier: one.carrier, rank, expected_cost_e8, covered_by_parent_prefix, row });
        } else {
            let expected_cost_e8 = Some(expected_cost_e8);
            left_out.push(LeftOut { row, expected_cost_e8, ..out(one.carrier, Reason::BeyondMaxAttempts) });
        }
    }
    for one in &mut left_out {
        let row = one.row.and_then(|row| carriers[usize::from(one.carrier)].deck.row(row));
        one.covered_by_parent_prefix = row.is_some_and(|r| r.prefix_len() < longest);
    }
    left_out.sort_unstable_by_key(|l| l.carrier);
    RouteDecision { order, left_out, routes: table.clone(), number: Dialled::of(query.number), at_us: query.at_us }
}

fn out(carrier: u16, reason: Reason) -> LeftOut {
    LeftOut { carrier, reason, expected_cost_e8: None, covered_by_parent_prefix: false, row: None }
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

/// The row that prices the call, if it may go this way.
fn find<'t>(routes: &CarrierRoutes, lookup: Lookup<'t>, query: &RouteQuery<'_>) -> Result<Option<RowRef<'t>>, Out<'t>> {
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
    let own = row.route_class();
    let class = if own.is_empty() { routes.route_class.as_str() } else { own };
    if !query.classes.is_empty() && !query.classes.iter().any(|c| c == class) {
        return Err((Reason::RouteClass, Some(row)));
    }
    Ok(Some(row))
}

/// The duration a call is expected to have.
struct Expected<'q> {
    durations: &'q [(u64, u32)],
    /// Sum of the weights, at least 1.
    weight: i128,
}

impl<'q> Expected<'q> {
    fn of(durations: &'q [(u64, u32)]) -> Expected<'q> {
        let weight: i128 = durations.iter().map(|(_, weight)| i128::from(*weight)).sum();
        // Weights of nothing say nothing.
        let durations = if weight == 0 { &[(DEFAULT_EXPECTED_MS, 1)] } else { durations };
        Expected { durations, weight: weight.max(1) }
    }

    fn cost(&self, row: &RowRef<'_>, at_us: i64) -> i128 {
        if !row.is_plain() {
            return self.charged(&row.price(), at_us);
        }
        self.sum(row.rate_e12(), row.connect_fee_e12(), row.initial_s(), row.increment_s())
    }

    fn revenue(&self, sell: &Terms, at_us: i64) -> i128 {
        if !sell.is_plain() {
            return self.charged(sell, at_us);
        }
        self.sum(sell.rate_e12, sell.connect_fee_e12, sell.initial_s, sell.increment_s)
    }

    /// Of terms with a tariff: the weighted charges themselves, rounded as they are, as if the call were answered now.
    fn charged(&self, terms: &Terms, at_us: i64) -> i128 {
        let one = |(ms, weight): &(u64, u32)| i128::from(*weight) * i128::from(terms.charge(at_us, *ms).amount_e8) * 600_000;
        self.durations.iter().map(one).fold(0, i128::saturating_add)
    }

    /// R-36, exact: a weighted sum in 1e-12 / 60 of the unit. Durations are cut at about 30 years, so that no
    /// one term overflows.
    fn sum(&self, rate_e12: i64, connect_fee_e12: i64, initial_s: u32, increment_s: u32) -> i128 {
        let one = |(ms, weight): &(u64, u32)| {
            let billed = billed_seconds(rated_seconds((*ms).min(1_000_000_000_000)), initial_s, increment_s);
            i128::from(*weight) * (i128::from(connect_fee_e12) * 60 + i128::from(rate_e12) * i128::from(billed))
        };
        self.durations.iter().map(one).fold(0, i128::saturating_add)
    }

    /// A sum as money of one call, halves up.
    fn e8(&self, sum: i128) -> i64 {
        let unit = self.weight * 600_000;
        let rounded = match (i64::try_from(sum), i64::try_from(unit)) {
            // 128-bit division is ten times as slow, and sums seldom need it.
            (Ok(sum), Ok(unit)) => i128::from(sum.div_euclid(unit) + i64::from(sum.rem_euclid(unit) >= unit - unit / 2)),
            _ => sum.saturating_mul(2).saturating_add(unit).div_euclid(unit * 2),
        };
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }
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
                let margin = i128::from(query.min_margin_e8) * expected.weight * 600_000;
                Guard::On { most: expected.revenue(sell, query.at_us).saturating_sub(margin) }
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
