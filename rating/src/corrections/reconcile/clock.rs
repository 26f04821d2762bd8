//! The other side's clock: what their starts are when ours are known. It may have a wrong zone, change to summer time in the
//! middle of the file, drift, and be set right again.
//!
//! Pairs of calls with the same two numbers within 26 hours give deltas; those of calls that are each other lie on one line,
//! chance ones anywhere. The line is the cheapest path through our calls in their order ([`path`]): a call near it is worth
//! something, moving it by a second costs a little, a jump as much as a few calls. Along the path the deltas' medians are
//! laid end to end ([`Piece`]); it breaks where the clock jumps, at the whole quarter of an hour where that fits. Their starts may be
//! of the INVITE or of the answer: the one that gives the better path is taken.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::Billed;

/// UTC offsets reach from −12 to +14 hours; a file may be labelled with one and made in another.
const REACH_US: i64 = 26 * 3_600_000_000;
const SECOND_US: i64 = 1_000_000;
const QUARTER_US: i64 = 900 * SECOND_US;
const COARSE_US: i64 = 15 * SECOND_US;
/// Of the other side's calls with the same numbers the nearest that count; a number called all day long says little.
const NEAREST: usize = 64;
/// Our calls that the path is laid through; of more every second, third … is taken.
const EVENTS: usize = 40_000;
/// Offsets a path may have.
const STATES: usize = 512;
/// A call on the path is worth this, and less by [`FALL`] for each unit away from it, up to [`WIDTH`] units.
const WORTH: i64 = 1_000;
const FALL: i64 = 100;
const WIDTH: i64 = 4;
/// What moving the path by a unit costs, and what any jump costs at most.
const MOVE: i64 = 300;
const JUMP: i64 = 8 * WORTH;
/// Between two calls the path moves so many units without a break.
const SMOOTH: i64 = 5;
/// Calls of one median, and the fewest.
const MEDIAN: usize = 64;
const FEWEST: usize = 5;

/// A stretch of our time in which their clock does not jump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In our time, microseconds; the first begins at `i64::MIN`.
    pub from_us: i64,
    /// Our time and theirs − ours, in order; at least one. Straight lines between them; level before the first and after the last.
    pub knots: Vec<(i64, i64)>,
}

impl Piece {
    fn offset(&self, ours_us: i64) -> i64 {
        let after = self.knots.partition_point(|(x, _)| *x <= ours_us);
        match (after.checked_sub(1).and_then(|i| self.knots.get(i)), self.knots.get(after)) {
            (Some((x0, y0)), Some((x1, y1))) => {
                let part = i128::from(y1 - y0) * i128::from(ours_us - x0) / i128::from((x1 - x0).max(1));
                y0 + i64::try_from(part).unwrap_or(0)
            }
            (Some((_, y)), None) | (None, Some((_, y))) => *y,
            (None, None) => 0,
        }
    }

    /// How far its offsets are apart.
    pub fn spread_us(&self) -> i64 {
        let of = |pick: fn(i64, i64) -> i64| self.knots.iter().map(|k| k.1).reduce(pick).unwrap_or(0);
        of(i64::max) - of(i64::min)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Theirs − ours, microseconds, for most calls.
    pub offset_us: i64,
    /// At least one.
    pub pieces: Vec<Piece>,
    /// Our calls that are on it; 0 = given, or nothing to go by.
    pub votes: u32,
    /// Their starts are our answers; else our INVITEs.
    pub by_answer: bool,
}

impl Clock {
    pub fn fixed(offset_us: i64) -> Clock {
        Clock { offset_us, pieces: vec![Piece { from_us: i64::MIN, knots: vec![(0, offset_us)] }], votes: 0, by_answer: true }
    }

    /// What their clock says at an instant of ours.
    pub fn theirs(&self, ours_us: i64) -> i64 {
        let after = self.pieces.partition_point(|p| p.from_us <= ours_us).max(1);
        ours_us.saturating_add(self.pieces[after - 1].offset(ours_us))
    }

    /// Our start as they count it, in our time.
    pub(super) fn reference(&self, call: &Billed) -> i64 {
        match call.answer_us {
            Some(answer) if self.by_answer => answer,
            _ => call.start_us,
        }
    }

    pub fn estimate(ours: &[Billed], theirs: &[Billed]) -> Clock {
        let mut starts: HashMap<(u64, u64), Vec<i64>, FixedState> = HashMap::default();
        for call in theirs {
            starts.entry(key(call)).or_default().push(call.start_us);
        }
        for same in starts.values_mut() {
            same.sort_unstable();
        }
        let tries = [true, false].map(|by_answer| {
            let at = |call: &Billed| if by_answer { call.answer_us.unwrap_or(call.start_us) } else { call.start_us };
            let events = Events::of(ours.iter().filter(|c| c.answer_us.is_some()).map(|c| (at(c), key(c))), &starts);
            let path = path(&events, SECOND_US);
            (events, path, by_answer)
        });
        // Answers, where both are as good.
        let better = |answers: i64, invites: i64| usize::from(invites > answers);
        let (events, fine, by_answer) = &tries[better(tries[0].1.score, tries[1].1.score)];
        // A file of whole minutes spreads each call over one: only then is it looked at so coarsely, as times of ringing would hide in it.
        if fine.score * 2 < fine.steps.len() as i64 * WORTH {
            let coarse = tries.each_ref().map(|(events, ..)| path(events, COARSE_US));
            let best = better(coarse[0].score, coarse[1].score);
            if fine.score * 2 < coarse[best].score {
                return Clock { by_answer: tries[best].2, ..coarse[best].clock(&tries[best].0, COARSE_US) };
            }
        }
        Clock { by_answer: *by_answer, ..fine.clock(events, SECOND_US) }
    }
}

/// Called number, and the calling number's last seven digits.
fn key(call: &Billed) -> (u64, u64) {
    (call.b, call.a % 10_000_000)
}

/// Our calls in their order, with the deltas of theirs that could be they.
struct Events {
    at: Vec<i64>,
    /// Of event i those from `ends[i - 1]` to `ends[i]`.
    deltas: Vec<i64>,
    ends: Vec<usize>,
}

impl Events {
    fn of(calls: impl Iterator<Item = (i64, (u64, u64))>, starts: &HashMap<(u64, u64), Vec<i64>, FixedState>) -> Events {
        let mut found: Vec<(i64, &Vec<i64>)> = calls.filter_map(|(at, key)| Some((at, starts.get(&key)?))).collect();
        found.sort_unstable();
        let mut events = Events { at: Vec::new(), deltas: Vec::new(), ends: Vec::new() };
        for (at, same) in found {
            let (mut from, mut to) = (same.partition_point(|s| *s < at.saturating_sub(REACH_US)), same.partition_point(|s| *s <= at.saturating_add(REACH_US)));
            while to - from > NEAREST {
                if at.abs_diff(same[from]) > at.abs_diff(same[to - 1]) { from += 1 } else { to -= 1 }
            }
            if from < to {
                events.deltas.extend(same[from..to].iter().map(|s| s - at));
                events.at.push(at);
                events.ends.push(events.deltas.len());
            }
        }
        events
    }

    fn of_event(&self, i: usize) -> &[i64] {
        &self.deltas[i.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[i]]
    }

    /// The delta nearest to an offset, within a reach.
    fn near(&self, i: usize, offset_us: i64, reach_us: i64) -> Option<i64> {
        self.of_event(i).iter().copied().filter(|d| (d - offset_us).abs() <= reach_us).min_by_key(|d| ((d - offset_us).abs(), *d))
    }
}

/// The best path: an offset, in units, for each event that was looked at.
#[derive(Default)]
struct Path {
    score: i64,
    /// Event and offset.
    steps: Vec<(usize, i64)>,
}

/// Offsets in units that most events are near, in order.
fn states(events: &Events, looked_at: &[usize], unit_us: i64) -> Vec<i64> {
    let mut votes: HashMap<i64, u32, FixedState> = HashMap::default();
    for i in looked_at {
        for delta in events.of_event(*i) {
            *votes.entry(delta.div_euclid(unit_us)).or_default() += 1;
        }
    }
    let near = |unit: i64| (-2..=2).map(|d| votes.get(&(unit + d)).copied().unwrap_or(0)).sum::<u32>();
    let mut all: Vec<(u32, u32, i64)> = votes.iter().map(|(unit, own)| (near(*unit), *own, *unit)).collect();
    all.sort_unstable_by_key(|(near, own, unit)| (std::cmp::Reverse((*near, *own)), unit.abs(), *unit));
    let mut states: Vec<i64> = all.into_iter().take(STATES).map(|(.., unit)| unit).collect();
    states.sort_unstable();
    states
}

/// The path of the highest score through the events (Viterbi's method).
fn path(events: &Events, unit_us: i64) -> Path {
    let each = events.at.len().div_ceil(EVENTS).max(1);
    let looked_at: Vec<usize> = (0..events.at.len()).step_by(each).collect();
    let states = states(events, &looked_at, unit_us);
    if states.is_empty() {
        return Path::default();
    }
    // Of equal beginnings the one nearest to no offset.
    let mut score: Vec<i64> = states.iter().map(|s| -(s.abs().min(100_000) / 1_000)).collect();
    let mut came_from: Vec<u16> = Vec::with_capacity(looked_at.len() * states.len());
    let mut from: Vec<u16> = vec![0; states.len()];
    for (n, i) in looked_at.iter().enumerate() {
        for (s, from) in from.iter_mut().enumerate() {
            *from = s as u16;
        }
        if n > 0 {
            let best = (0..states.len()).max_by_key(|s| (score[*s], std::cmp::Reverse(states[*s].abs()))).unwrap_or(0);
            let jumped = score[best] - JUMP;
            let step = |score: &mut [i64], from: &mut [u16], to: usize, near: usize| {
                let moved = score[near] - MOVE * (states[to] - states[near]).abs();
                if moved > score[to] {
                    (score[to], from[to]) = (moved, from[near]);
                }
            };
            (1..states.len()).for_each(|s| step(&mut score, &mut from, s, s - 1));
            (0..states.len() - 1).rev().for_each(|s| step(&mut score, &mut from, s, s + 1));
            for s in 0..states.len() {
                if jumped > score[s] {
                    (score[s], from[s]) = (jumped, best as u16);
                }
            }
        }
        came_from.extend_from_slice(&from);
        // The nearest of an event's deltas counts for a state, once.
        let mut near: Vec<(usize, i64)> = Vec::new();
        for delta in events.of_event(*i) {
            let unit = delta.div_euclid(unit_us);
            let first = states.partition_point(|s| *s < unit - WIDTH);
            near.extend((first..states.len()).take_while(|s| states[*s] <= unit + WIDTH).map(|s| (s, WORTH - FALL * (states[s] - unit).abs())));
        }
        near.sort_unstable_by_key(|(s, worth)| (*s, std::cmp::Reverse(*worth)));
        near.dedup_by_key(|(s, _)| *s);
        for (s, worth) in near {
            score[s] += worth;
        }
    }
    let mut state = (0..states.len()).max_by_key(|s| (score[*s], std::cmp::Reverse(states[*s].abs()))).unwrap_or(0);
    let mut path = Path { score: score[state], steps: Vec::with_capacity(looked_at.len()) };
    for (n, i) in looked_at.iter().enumerate().rev() {
        path.steps.push((*i, states[state]));
        state = usize::from(came_from[n * states.len() + state]);
    }
    path.steps.reverse();
    path
}

impl Path {
    /// The path as a clock: broken where it jumps, medians between.
    fn clock(&self, events: &Events, unit_us: i64) -> Clock {
        let reach_us = WIDTH * unit_us + unit_us;
        let middle = |unit: i64| unit * unit_us + unit_us / 2;
        let on: Vec<(usize, i64)> = self.steps.iter().copied().filter(|(i, unit)| events.near(*i, middle(*unit), reach_us).is_some()).collect();
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut votes, mut all) = (0, Vec::new());
        let mut runs = on.chunk_by(|a, b| (a.1 - b.1).abs() < SMOOTH).peekable();
        let mut last: Option<(usize, i64)> = None;
        let mut first_event = 0;
        while let Some(run) = runs.next() {
            let (Some(head), Some(tail)) = (run.first(), run.last()) else { continue };
            let from_us = match last {
                None => i64::MIN,
                Some(last) => {
                    let (from_us, next) = cut(events, (last.0, middle(last.1)), (head.0, middle(head.1)), reach_us);
                    first_event = next;
                    from_us
                }
            };
            let end_event = match runs.peek().and_then(|next| next.first()) {
                Some(next) => cut(events, (tail.0, middle(tail.1)), (next.0, middle(next.1)), reach_us).1,
                None => events.at.len(),
            };
            let (deltas, range) = along(events, run, first_event..end_event, &middle, reach_us);
            votes += deltas.len() as u32;
            all.extend(deltas.iter().map(|(_, d)| *d));
            pieces.push(Piece { from_us, knots: medians(deltas, range) });
            last = Some(*tail);
        }
        if all.is_empty() {
            return Clock { votes: 0, ..Clock::fixed(0) };
        }
        Clock { offset_us: median(&mut all), pieces, votes, by_answer: true }
    }
}

/// Where the clock jumps between two events, in our time, and the first event after it: as many events as can be are on
/// their side of it, at the whole quarter of an hour where there is one.
fn cut(events: &Events, before: (usize, i64), after: (usize, i64), reach_us: i64) -> (i64, usize) {
    let fits = |i: usize, offset_us: i64| i64::from(events.near(i, offset_us, reach_us).is_some());
    let mut score: i64 = (before.0 + 1..after.0).map(|i| fits(i, after.1)).sum();
    let (mut best, mut first, mut last) = (score, before.0 + 1, before.0 + 1);
    for i in before.0 + 1..after.0 {
        score += fits(i, before.1) - fits(i, after.1);
        if score > best {
            (best, first, last) = (score, i + 1, i + 1);
        } else if score == best && last == i {
            last = i + 1;
        }
    }
    let (from_us, to_us) = (events.at[first - 1], events.at[last]);
    let quarter = from_us.div_euclid(QUARTER_US) * QUARTER_US + QUARTER_US;
    let hour = from_us.div_euclid(4 * QUARTER_US) * 4 * QUARTER_US + 4 * QUARTER_US;
    let at_us = [hour, quarter].into_iter().find(|q| *q <= to_us).unwrap_or(from_us + (to_us - from_us) / 2);
    (at_us, events.at.partition_point(|x| *x < at_us))
}

/// Our time and delta of the events of a stretch that are on the path, and how far the path moves in it.
fn along(events: &Events, run: &[(usize, i64)], of: std::ops::Range<usize>, middle: &dyn Fn(i64) -> i64, reach_us: i64) -> (Vec<(i64, i64)>, i64) {
    let mut found = Vec::new();
    let mut step = 0;
    for i in of {
        while step + 1 < run.len() && run[step + 1].0 <= i {
            step += 1;
        }
        if let Some(delta) = events.near(i, middle(run[step].1), reach_us) {
            found.push((events.at[i], delta));
        }
    }
    let low = run.iter().map(|r| r.1).min().unwrap_or(0);
    let high = run.iter().map(|r| r.1).max().unwrap_or(0);
    (found, high - low)
}

fn median(values: &mut [i64]) -> i64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

/// Medians of a stretch, end to end: enough that the path is followed, each of enough calls.
fn medians(found: Vec<(i64, i64)>, range: i64) -> Vec<(i64, i64)> {
    let wanted = (found.len() / MEDIAN).max(usize::try_from(range).unwrap_or(0));
    let parts = wanted.clamp(1, (found.len() / FEWEST).max(1));
    let size = found.len().div_ceil(parts).max(1);
    let mut knots: Vec<(i64, i64)> = Vec::with_capacity(parts);
    for part in found.chunks(size) {
        let mut deltas: Vec<i64> = part.iter().map(|(_, d)| *d).collect();
        let mut times: Vec<i64> = part.iter().map(|(x, _)| *x).collect();
        knots.push((median(&mut times), median(&mut deltas)));
    }
    // The ends lie in the middle of their medians: the line is drawn on to the first and the last call.
    if let ([first, second, ..], [.., before, last], Some(begin), Some(end)) = (&knots[..], &knots[..], found.first(), found.last()) {
        let on = |a: &(i64, i64), b: &(i64, i64), x: i64| {
            let part = i128::from(b.1 - a.1) * i128::from(x - a.0) / i128::from((b.0 - a.0).max(1));
            (x, a.1 + i64::try_from(part).unwrap_or(0))
        };
        let (head, tail) = (on(first, second, begin.0), on(before, last, end.0));
        knots.insert(0, head);
        knots.push(tail);
    }
    knots
}
