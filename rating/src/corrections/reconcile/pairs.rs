//! One-to-one pairs. Calls that could be each other form small groups; within a group as many as possible are
//! paired, and of all such pairings the one with the least sum of distances in start and duration is taken. Greedy choice
//! is not that: of two redials it may give the first call's partner to the second.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{Billed, Clock};

/// Calls of one side in a group that is solved exactly (cubic time); a larger one is paired by least distance first.
const EXACT: usize = 160;
/// A second line for the same call: starts this near, durations as near.
const TWICE_MS: i64 = 2_000;
/// A start wrong by a zone is off by whole quarters of an hour, give or take the tolerance within these.
const QUARTER_US: i64 = 900_000_000;
const ZONE_SLACK_US: [i64; 2] = [2_000_000, 60_000_000];
const ZONE_REACH_US: i64 = 14 * 3_600_000_000;
/// Not a possible pair.
const NEVER: i64 = i64::MAX / 4;
/// More than any sum of distances in a group: a pair more is always better.
const ALONE: i64 = 1 << 44;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// `shifted`: only after moving the start by whole quarters of an hour.
    Pair { ours: u32, shifted: bool },
    /// A second time the call that is paired with another line.
    Duplicate(u32),
    Alone,
}

pub(super) struct Paired {
    pub theirs: Vec<Fate>,
    /// Whether each of ours has a partner.
    pub ours: Vec<bool>,
    pub greedy: u64,
}

pub(super) fn pair(ours: &[Billed], theirs: &[Billed], clock: &Clock, tolerance_ms: u64) -> Paired {
    let tolerance_us = i64::try_from(tolerance_ms).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
    let mut out = Paired { theirs: vec![Fate::Alone; theirs.len()], ours: vec![false; ours.len()], greedy: 0 };
    let at: Vec<i64> = theirs.iter().map(|c| c.start_us).collect();
    let spans: Vec<(i64, i64)> = ours.iter().map(|c| span(c, clock)).collect();
    let side = Sides { ours, theirs, at: &at, spans: &spans };
    let mut numbers: HashMap<u64, (Vec<u32>, Vec<u32>), FixedState> = HashMap::default();
    for (i, call) in (0u32..).zip(ours) {
        numbers.entry(call.b).or_default().0.push(i);
    }
    for (i, call) in (0u32..).zip(theirs) {
        if let Some(same) = numbers.get_mut(&call.b) {
            same.1.push(i);
        }
    }
    // In the order of the lists, so that the same files give the same pairs.
    let mut of_number: Vec<_> = numbers.into_values().filter(|(_, theirs)| !theirs.is_empty()).collect();
    of_number.sort_unstable_by_key(|(_, theirs)| theirs[0]);
    for (mut our, mut their) in of_number {
        our.sort_unstable_by_key(|o| (side.span(*o).0, *o));
        their.sort_unstable_by_key(|t| (at[*t as usize], *t));
        let once = side.without_repeats(&our, &their, tolerance_us);
        side.groups(&our, &once, tolerance_us, &mut out);
        side.twice(&our, &their, tolerance_us, &mut out);
        side.shifted(&our, &their, tolerance_us.clamp(ZONE_SLACK_US[0], ZONE_SLACK_US[1]), &mut out);
    }
    out
}

/// When our call may have started for them, by their clock: its answer; of an unanswered one any time it rang.
fn span(call: &Billed, clock: &Clock) -> (i64, i64) {
    if call.answer_us.is_some() || call.end_us <= call.start_us {
        let at = clock.theirs(clock.reference(call));
        (at, at)
    } else {
        // A clock that is put back within the call says the end before the beginning.
        let (from, to) = (clock.theirs(call.start_us), clock.theirs(call.end_us));
        (from.min(to), from.max(to))
    }
}

struct Sides<'a> {
    ours: &'a [Billed],
    theirs: &'a [Billed],
    /// Their starts, and our spans, by their clock.
    at: &'a [i64],
    spans: &'a [(i64, i64)],
}

impl Sides<'_> {
    fn span(&self, o: u32) -> (i64, i64) {
        self.spans[o as usize]
    }

    fn apart_us(&self, o: u32, t: u32) -> i64 {
        let (from, to) = self.span(o);
        let at = self.at[t as usize];
        (from - at).max(at - to).max(0)
    }

    /// Withheld numbers could be anybody's; others must end alike.
    fn same_caller(&self, o: u32, t: u32) -> bool {
        let (a, b) = (self.ours[o as usize].a, self.theirs[t as usize].a);
        a < 1_000_000 || b < 1_000_000 || a % 10_000_000 == b % 10_000_000
    }

    /// Milliseconds of start and of duration; None when it cannot be the same call.
    fn distance(&self, o: u32, t: u32, tolerance_us: i64) -> Option<i64> {
        let apart = self.apart_us(o, t);
        if apart > tolerance_us || !self.same_caller(o, t) {
            return None;
        }
        let (our, their) = (&self.ours[o as usize], &self.theirs[t as usize]);
        let longer = (our.seconds() as i64 - their.seconds() as i64).abs().min(100_000_000) * 1000;
        // What is written alike goes together before what is not: a withheld number, an unanswered call.
        let unlike = i64::from(our.a % 10_000_000 != their.a % 10_000_000) + i64::from(our.answer_us.is_none());
        Some(apart / 1000 + longer + unlike * 500)
    }

    /// Lines that say the same (caller, second, length) beyond the calls of ours they could be are left out of the pairing:
    /// else one of them takes a call that only rang in that moment.
    fn without_repeats(&self, our: &[u32], their: &[u32], tolerance_us: i64) -> Vec<u32> {
        let same = |t: u32, u: u32| {
            let (a, b) = (&self.theirs[t as usize], &self.theirs[u as usize]);
            a.a == b.a && a.duration_ms == b.duration_ms && a.duration_ms > 0 && (self.at[t as usize] - self.at[u as usize]).abs() <= 1_000_000
        };
        let mut once: Vec<u32> = Vec::with_capacity(their.len());
        for t in their {
            let alike = once.iter().rev().take_while(|u| self.at[*t as usize] - self.at[**u as usize] <= 1_000_000).filter(|u| same(*t, **u)).count();
            if alike > 0 {
                let at = self.at[*t as usize];
                let from = our.partition_point(|o| self.span(*o).0 < at - tolerance_us);
                let near = our[from..].iter().take_while(|o| self.span(**o).0 <= at + tolerance_us);
                let could_be = near.filter(|o| {
                    let call = &self.ours[**o as usize];
                    call.answer_us.is_some() && self.same_caller(**o, *t) && call.duration_ms.abs_diff(self.theirs[*t as usize].duration_ms) <= TWICE_MS as u64
                });
                if could_be.count() <= alike {
                    continue;
                }
            }
            once.push(*t);
        }
        once
    }

    /// Cuts the two lists, both by time, where nothing reaches across, and pairs each piece.
    fn groups(&self, our: &[u32], their: &[u32], tolerance_us: i64, out: &mut Paired) {
        let (mut o, mut t) = (0, 0);
        while o < our.len() && t < their.len() {
            let (from_o, from_t) = (o, t);
            let mut reach = i64::MIN;
            loop {
                let next_o = our.get(o).map(|i| self.span(*i));
                let next_t = their.get(t).map(|i| self.at[*i as usize]);
                let begins = (o, t) == (from_o, from_t);
                match (next_o, next_t) {
                    (Some((from, to)), theirs) if theirs.is_none_or(|at| from <= at) && (begins || from <= reach) => {
                        reach = reach.max(to.saturating_add(tolerance_us));
                        o += 1;
                    }
                    (ours, Some(at)) if ours.is_none_or(|(from, _)| at < from) && (begins || at <= reach) => {
                        reach = reach.max(at.saturating_add(tolerance_us));
                        t += 1;
                    }
                    _ => break,
                }
            }
            self.assign(&our[from_o..o], &their[from_t..t], tolerance_us, out);
        }
    }

    fn assign(&self, our: &[u32], their: &[u32], tolerance_us: i64, out: &mut Paired) {
        if our.is_empty() || their.is_empty() {
            return;
        }
        let mut put = |o: u32, t: u32| {
            out.theirs[t as usize] = Fate::Pair { ours: o, shifted: false };
            out.ours[o as usize] = true;
        };
        if let ([o], [t]) = (our, their) {
            if self.distance(*o, *t, tolerance_us).is_some() {
                put(*o, *t);
            }
            return;
        }
        if our.len().max(their.len()) <= EXACT {
            let cost = |t: usize, o: usize| self.distance(our[o], their[t], tolerance_us);
            for (t, o) in least(their.len(), our.len(), cost) {
                put(our[o], their[t]);
            }
            return;
        }
        let mut edges: Vec<(i64, u32, u32)> = Vec::new();
        let mut first = 0;
        for t in their {
            while first < our.len() && self.span(our[first]).1 < self.at[*t as usize].saturating_sub(tolerance_us) {
                first += 1;
            }
            for o in &our[first..] {
                if self.span(*o).0 > self.at[*t as usize].saturating_add(tolerance_us) {
                    break;
                }
                edges.extend(self.distance(*o, *t, tolerance_us).map(|d| (d, *o, *t)));
            }
        }
        edges.sort_unstable();
        let mut pairs = Vec::new();
        let (mut taken_o, mut taken_t) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for (_, o, t) in edges {
            if !taken_o.contains(&o) && !taken_t.contains(&t) {
                taken_o.insert(o);
                taken_t.insert(t);
                pairs.push((o, t));
            }
        }
        for (o, t) in pairs {
            put(o, t);
        }
        out.greedy += their.len() as u64;
    }

    /// Lines left over that say again what a paired one said.
    fn twice(&self, our: &[u32], their: &[u32], tolerance_us: i64, out: &mut Paired) {
        let paired: Vec<(u32, u32)> = their
            .iter()
            .filter_map(|t| match out.theirs[*t as usize] {
                Fate::Pair { ours, .. } => Some((*t, ours)),
                _ => None,
            })
            .collect();
        if our.is_empty() {
            return;
        }
        for t in their.iter().filter(|t| out.theirs[**t as usize] == Fate::Alone).copied().collect::<Vec<_>>() {
            let from = paired.partition_point(|(p, _)| self.at[*p as usize] < self.at[t as usize] - TWICE_MS * 1000);
            let near = paired[from..].iter().take_while(|(p, _)| self.at[*p as usize] <= self.at[t as usize] + TWICE_MS * 1000);
            let same = |(p, o): &&(u32, u32)| {
                let (a, b) = (&self.theirs[t as usize], &self.theirs[*p as usize]);
                let alike = a.duration_ms.abs_diff(b.duration_ms) <= TWICE_MS as u64;
                alike && a.a % 10_000_000 == b.a % 10_000_000 && self.distance(*o, t, tolerance_us.max(TWICE_MS * 1000)).is_some()
            };
            if let Some((_, o)) = near.clone().find(same) {
                out.theirs[t as usize] = Fate::Duplicate(*o);
            }
        }
    }

    /// Pairs what is left over when the start is moved by whole quarters of an hour and the rest agrees.
    fn shifted(&self, our: &[u32], their: &[u32], slack_us: i64, out: &mut Paired) {
        for t in their.iter().filter(|t| out.theirs[**t as usize] == Fate::Alone).copied().collect::<Vec<_>>() {
            let at = self.at[t as usize];
            let off = |o: &u32| {
                let (our, their) = (&self.ours[*o as usize], &self.theirs[t as usize]);
                let delta = at - self.span(*o).0;
                let rest = (delta + QUARTER_US / 2).rem_euclid(QUARTER_US) - QUARTER_US / 2;
                let fits = rest.abs() <= slack_us && (QUARTER_US / 2..=ZONE_REACH_US).contains(&delta.abs()) && our.answer_us.is_some()
                    && our.duration_ms.abs_diff(their.duration_ms) <= TWICE_MS as u64
                    && our.a >= 1_000_000 && our.a % 10_000_000 == their.a % 10_000_000;
                // A whole hour before a quarter.
                let of_hour = delta.abs() % 3_600_000_000;
                fits.then(|| (of_hour > 2 * slack_us && of_hour < 3_600_000_000 - 2 * slack_us, delta.abs()))
            };
            let from = our.partition_point(|o| self.span(*o).0 < at - ZONE_REACH_US);
            let near = our[from..].iter().take_while(|o| self.span(**o).0 <= at + ZONE_REACH_US).filter(|o| !out.ours[**o as usize]);
            if let Some((_, o)) = near.filter_map(|o| Some((off(o)?, *o))).min() {
                out.theirs[t as usize] = Fate::Pair { ours: o, shifted: true };
                out.ours[o as usize] = true;
            }
        }
    }
}

/// The assignment of `rows` to `columns` with the most pairs and, of those, the least sum (the Hungarian method on a
/// square with room for everybody to stay alone). Gives (row, column).
fn least(rows: usize, columns: usize, cost: impl Fn(usize, usize) -> Option<i64>) -> Vec<(usize, usize)> {
    let n = rows + columns;
    let price = |r: usize, c: usize| match (r < rows, c < columns) {
        (true, true) => cost(r, c).unwrap_or(NEVER),
        (false, false) => 0,
        _ => ALONE,
    };
    // Potentials and the column's row, from 1; 0 is nobody.
    let (mut u, mut v) = (vec![0i64; n + 1], vec![0i64; n + 1]);
    let (mut row_of, mut way) = (vec![0usize; n + 1], vec![0usize; n + 1]);
    for r in 1..=n {
        row_of[0] = r;
        let mut column = 0;
        let mut least = vec![i64::MAX; n + 1];
        let mut done = vec![false; n + 1];
        loop {
            done[column] = true;
            let row = row_of[column];
            let (mut delta, mut next) = (i64::MAX, 0);
            for c in 1..=n {
                if done[c] {
                    continue;
                }
                let reduced = price(row - 1, c - 1) - u[row] - v[c];
                if reduced < least[c] {
                    least[c] = reduced;
                    way[c] = column;
                }
                if least[c] < delta {
                    (delta, next) = (least[c], c);
                }
            }
            for c in 0..=n {
                if done[c] {
                    u[row_of[c]] += delta;
                    v[c] -= delta;
                } else {
                    least[c] -= delta;
                }
            }
            column = next;
            if row_of[column] == 0 {
                break;
            }
        }
        while column != 0 {
            row_of[column] = row_of[way[column]];
            column = way[column];
        }
    }
    let pairs = (1..=columns).filter_map(|c| Some((row_of[c].checked_sub(1).filter(|r| *r < rows)?, c - 1)));
    pairs.filter(|(r, c)| cost(*r, *c).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to pair, the plain way.
    fn best(rows: usize, columns: usize, cost: &dyn Fn(usize, usize) -> Option<i64>) -> (usize, i64) {
        fn go(r: usize, rows: usize, used: u32, columns: usize, cost: &dyn Fn(usize, usize) -> Option<i64>) -> (usize, i64) {
            if r == rows {
                return (0, 0);
            }
            let mut best = go(r + 1, rows, used, columns, cost);
            for c in (0..columns).filter(|c| used & 1 << c == 0) {
                if let Some(d) = cost(r, c) {
                    let (n, sum) = go(r + 1, rows, used | 1 << c, columns, cost);
                    let with = (n + 1, sum + d);
                    if with.0 > best.0 || with.0 == best.0 && with.1 < best.1 {
                        best = with;
                    }
                }
            }
            best
        }
        go(0, rows, 0, columns, cost)
    }

    proptest::proptest! {
        #[test]
        fn r_47_the_assignment_is_the_best_there_is(cells in proptest::collection::vec(proptest::option::weighted(0.6, 0i64..5_000), 25), rows in 1usize..=5, columns in 1usize..=5) {
            let cost = |r: usize, c: usize| cells[r * 5 + c];
            let found = least(rows, columns, cost);
            let sum: i64 = found.iter().filter_map(|(r, c)| cost(*r, *c)).sum();
            assert_eq!((found.len(), sum), best(rows, columns, &cost));
        }
    }
}
