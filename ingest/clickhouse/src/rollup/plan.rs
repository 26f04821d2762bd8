//! What of a report's time is taken from rollups and what from rows.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_schemas::store::{CdrFilter, GroupBy, StoreError, TrafficQuery};

use crate::{
    client::{Bound, Sql},
    migrate::broken,
    rollup::{Cube, DAY_S, DAY_US, HOUR_S, HOUR_US, day_of, hour_of},
    rowbinary::Reader,
    scope::Scope,
    store::Inner,
};

/// Pieces of time read from rows in one report; beyond that the shortest summed pieces between them are read from rows too.
const MOST_PIECES: usize = 40;

pub struct Plan {
    /// ` WHERE …` of the rollup.
    pub conditions: Sql,
    /// What is left for rows.
    pub rows: Vec<(i64, i64)>,
}

/// Of a time: what is published, by start, and which hours are being written to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    pub hours: BTreeMap<i64, u64>,
    pub days: BTreeMap<i64, u64>,
    pub dirty: BTreeSet<i64>,
}

impl Inner {
    pub async fn published(&self, since_us: i64, until_us: i64) -> Result<State, StoreError> {
        let server = self.unfiltered()?.server;
        // The marks first: an hour without an open one now was published before, with every row written before.
        let mut sql = Sql::new("SELECT toUInt32(0) AS span, hour AS start, toUInt64(0) AS revision FROM rollup_marks WHERE hour >= ");
        sql.bind(Bound::Int(hour_of(since_us))).push(" AND hour < ").bind(Bound::Int(until_us));
        sql.push(" GROUP BY hour, writer, mark HAVING max(closed) = 0");
        let open = server.fetch(&sql).await?;
        let mut sql = Sql::new("SELECT span, start, max(revision) FROM rollup_published WHERE start >= ");
        sql.bind(Bound::Int(day_of(since_us))).push(" AND start < ").bind(Bound::Int(until_us)).push(" GROUP BY span, start");
        let summed = server.fetch(&sql).await?;
        let mut state = State::default();
        for answer in [open, summed] {
            let mut from = Reader(&answer);
            while !from.is_empty() {
                let span = u64::from(from.u32().map_err(broken)?);
                let (start, revision) = (from.i64().map_err(broken)?, from.u64().map_err(broken)?);
                match span {
                    HOUR_S => drop(state.hours.insert(start, revision)),
                    DAY_S => drop(state.days.insert(start, revision)),
                    _ => drop(state.dirty.insert(start)),
                }
            }
        }
        Ok(state)
    }

    /// None where every row has to be read.
    pub async fn plan(&self, scope: &Scope, query: &TrafficQuery) -> Result<Option<Plan>, StoreError> {
        let Some(cube) = Cube::of(query) else { return Ok(None) };
        let Some((since, until)) = scope.times().first().copied() else { return Ok(None) };
        let state = self.published(since, until).await?;
        let days = !query.group_by.contains(&GroupBy::Hour);
        let pieces = choose(&state, since, until, days);
        if pieces.hours.is_empty() && pieces.days.is_empty() {
            return Ok(None);
        }
        Ok(Some(Plan { conditions: conditions(cube, scope, &query.filter, &pieces), rows: pieces.rows }))
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Pieces {
    hours: Vec<(i64, u64)>,
    days: Vec<(i64, u64)>,
    rows: Vec<(i64, i64)>,
}

fn choose(state: &State, since: i64, until: i64, use_days: bool) -> Pieces {
    let whole = |start: i64, span: i64| start >= since && start.saturating_add(span) <= until;
    let mut hours: Vec<(i64, u64)> =
        state.hours.iter().filter(|(h, _)| whole(**h, HOUR_US) && !state.dirty.contains(h)).map(|(h, r)| (*h, *r)).collect();
    let mut rows = between(&hours, since, until);
    while rows.len() > MOST_PIECES {
        // The summed stretch that saves least: it joins the rows around it.
        let gaps = rows.windows(2).map(|w| (w[1].0 - w[0].1, w[0].1, w[1].0));
        let Some((_, from, to)) = gaps.min() else { break };
        hours.retain(|(h, _)| *h < from || *h >= to);
        rows = between(&hours, since, until);
    }
    let mut days = Vec::new();
    if use_days {
        for (day, revision) in &state.days {
            let end = day.saturating_add(DAY_US);
            let of_day = || state.hours.range(*day..end);
            let all_summed = || of_day().all(|(h, _)| hours.binary_search_by_key(h, |(h, _)| *h).is_ok());
            let newest = of_day().map(|(_, r)| *r).max().unwrap_or(0);
            // A day without an open hour holds every row that was there; later ones show as an hour of a higher revision.
            if whole(*day, DAY_US) && *revision > newest && all_summed() && state.dirty.range(*day..end).next().is_none() {
                days.push((*day, *revision));
            }
        }
        hours.retain(|(h, _)| days.binary_search_by_key(&day_of(*h), |(d, _)| *d).is_err());
        let mut summed: Vec<(i64, i64)> = days.iter().map(|(d, _)| (*d, DAY_US)).chain(hours.iter().map(|(h, _)| (*h, HOUR_US))).collect();
        summed.sort_unstable();
        rows = rest(&summed, since, until);
    }
    Pieces { hours, days, rows }
}

fn between(hours: &[(i64, u64)], since: i64, until: i64) -> Vec<(i64, i64)> {
    let summed: Vec<(i64, i64)> = hours.iter().map(|(h, _)| (*h, HOUR_US)).collect();
    rest(&summed, since, until)
}

/// What of `since..until` the pieces (start, length), in order, leave.
fn rest(pieces: &[(i64, i64)], since: i64, until: i64) -> Vec<(i64, i64)> {
    let mut rest = Vec::new();
    let mut at = since;
    for (start, length) in pieces {
        if *start > at {
            rest.push((at, *start));
        }
        at = at.max(start.saturating_add(*length));
    }
    if at < until {
        rest.push((at, until));
    }
    rest
}

fn conditions(cube: &Cube, scope: &Scope, filter: &CdrFilter, pieces: &Pieces) -> Sql {
    let mut sql = Sql::new(format!(" WHERE cube = {} AND record_type = ", cube.number));
    sql.bind(Bound::Text(filter.record_type.clone())).append(scope.tenant());
    for (name, value) in [("account", &filter.account), ("trunk", &filter.trunk), ("carrier", &filter.carrier)] {
        if let Some(value) = value {
            sql.push(&format!(" AND {name} = ")).bind(Bound::Text(value.clone()));
        }
    }
    sql.push(&format!(" AND (span = {DAY_S} AND (start, revision) IN (SELECT arrayJoin(")).bind(Bound::Pairs(pieces.days.clone()));
    // An hour's newest revision: it has every row that the one seen above has.
    sql.push(&format!(
        ")) OR span = {HOUR_S} AND (start, revision) IN (SELECT start, max(revision) FROM rollup_published WHERE span = {HOUR_S} GROUP BY start) AND ("
    ));
    let runs = runs(&pieces.hours);
    for (from, to) in &runs {
        sql.push("(start >= ").bind(Bound::Int(*from)).push(" AND start < ").bind(Bound::Int(*to)).push(") OR ");
    }
    sql.push("false))");
    sql
}

/// Hours in a row as one piece of time.
fn runs(hours: &[(i64, u64)]) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for (hour, _) in hours {
        match runs.last_mut() {
            Some(run) if run.1 == *hour => run.1 += HOUR_US,
            _ => runs.push((*hour, hour.saturating_add(HOUR_US))),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = HOUR_US;

    fn state(hours: &[(i64, u64)], days: &[(i64, u64)], dirty: &[i64]) -> State {
        let at = |n: &i64| n * H;
        State {
            hours: hours.iter().map(|(h, r)| (at(h), *r)).collect(),
            days: days.iter().map(|(d, r)| (at(d), *r)).collect(),
            dirty: dirty.iter().map(at).collect(),
        }
    }

    #[test]
    fn open_and_half_hours_are_read_from_rows() {
        let s = state(&[(1, 5), (2, 5), (3, 6)], &[], &[2]);
        let p = choose(&s, H / 2, 4 * H + 1, true);
        assert_eq!(p.hours, [(H, 5), (3 * H, 6)]);
        assert_eq!(p.rows, [(H / 2, H), (2 * H, 3 * H), (4 * H, 4 * H + 1)]);
        assert_eq!(choose(&s, H + 1, 2 * H - 1, true).rows, [(H + 1, 2 * H - 1)]);
    }

    #[test]
    fn a_day_is_believed_only_while_none_of_its_hours_changed_since() {
        let hours: Vec<(i64, u64)> = (0..24).map(|h| (h, 5)).collect();
        let whole = choose(&state(&hours, &[(0, 9)], &[]), 0, 24 * H, true);
        assert_eq!((whole.days.len(), whole.hours.len(), whole.rows.len()), (1, 0, 0));
        for (what, s, since) in [
            ("open", state(&hours, &[(0, 9)], &[7]), 0),
            ("an hour summed again", state(&[&hours[..], &[(7, 10)]].concat(), &[(0, 9)], &[]), 0),
            ("not whole", state(&hours, &[(0, 9)], &[]), 1),
        ] {
            assert!(choose(&s, since, 24 * H, true).days.is_empty(), "{what}");
        }
        assert!(choose(&state(&hours, &[(0, 9)], &[]), 0, 24 * H, false).days.is_empty(), "by hour");
    }

    #[test]
    fn pieces_are_bounded_and_cover_the_time_once() {
        let odd: Vec<(i64, u64)> = (0..400).map(|n| (2 * n + 1, 3)).collect();
        let p = choose(&state(&odd, &[], &[]), 0, 801 * H, true);
        assert_eq!(p.rows.len(), MOST_PIECES);
        let covered: i64 = p.rows.iter().map(|(a, b)| b - a).sum::<i64>() + p.hours.len() as i64 * H;
        assert_eq!(covered, 801 * H);
    }
}
