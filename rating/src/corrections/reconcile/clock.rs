//! The other side's clock and zone, as one offset per day of its file: what its starts have to be moved by to be ours.
//!
//! Pairs of calls with the same two numbers within 14 hours vote, second by second; calls that are each other all vote for
//! one offset, chance votes spread. Each day of the file votes for itself, so that a change to summer time in the middle
//! of it is seen; a day with few votes has the file's offset. Their starts may be of the INVITE or of the answer: the
//! one that gives the sharper peak is taken.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::Billed;

/// UTC offsets reach from −12 to +14 hours; a file may be labelled with one and made in another.
const REACH_S: i64 = 26 * 3600;
const DAY_US: i64 = 86_400_000_000;
/// Pairs of one number pair that vote; a number called all day long says little.
const PAIRS: usize = 64;
/// Votes for an offset of a day of its own.
const DAY_VOTES: u32 = 20;
/// Clocks of one call differ by this much to both sides of a peak.
const WIDTH_S: i64 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Theirs − ours, microseconds.
    pub offset_us: i64,
    /// Days of the file, in its own time since 1970, that have another.
    pub days: BTreeMap<i64, i64>,
    /// Calls that voted for `offset_us`; 0 = given, or nothing to go by.
    pub votes: u32,
    /// Their starts are our answers; else our INVITEs.
    pub by_answer: bool,
}

impl Clock {
    pub fn fixed(offset_us: i64) -> Clock {
        Clock { offset_us, days: BTreeMap::new(), votes: 0, by_answer: true }
    }

    /// Their start in our time.
    pub fn ours(&self, theirs_us: i64) -> i64 {
        let day = theirs_us.div_euclid(DAY_US);
        theirs_us.saturating_sub(*self.days.get(&day).unwrap_or(&self.offset_us))
    }

    /// Our start as they count it.
    pub(super) fn reference(&self, call: &Billed) -> i64 {
        match call.answer_us {
            Some(answer) if self.by_answer => answer,
            _ => call.start_us,
        }
    }

    pub fn estimate(ours: &[Billed], theirs: &[Billed]) -> Clock {
        let mut index: HashMap<(u64, u64), Vec<u32>, FixedState> = HashMap::default();
        for (i, call) in (0u32..).zip(ours).filter(|(_, c)| c.answer_us.is_some()) {
            index.entry(key(call)).or_default().push(i);
        }
        let candidates = [true, false].map(|by_answer| {
            let at = |call: &Billed| if by_answer { call.answer_us.unwrap_or(call.start_us) } else { call.start_us };
            let mut days: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for call in theirs {
                let Some(same) = index.get(&key(call)) else { continue };
                let deltas = same.iter().map(|i| call.start_us - at(&ours[*i as usize])).filter(|d| d.abs() <= REACH_S * 1_000_000);
                days.entry(call.start_us.div_euclid(DAY_US)).or_default().extend(deltas.take(PAIRS));
            }
            let all: Vec<i64> = days.values().flatten().copied().collect();
            let (offset_us, votes) = peak(&all).unwrap_or((0, 0));
            let own = |(day, deltas): (i64, Vec<i64>)| {
                let (own, votes) = peak(&deltas)?;
                (votes >= DAY_VOTES && (own - offset_us).abs() > WIDTH_S * 1_000_000).then_some((day, own))
            };
            Clock { offset_us, days: days.into_iter().filter_map(own).collect(), votes, by_answer }
        });
        let [by_answer, by_invite] = candidates;
        if by_invite.votes > by_answer.votes { by_invite } else { by_answer }
    }
}

/// Called number, and the calling number's last seven digits.
fn key(call: &Billed) -> (u64, u64) {
    (call.b, call.a % 10_000_000)
}

/// The offset most deltas are near: their median within the densest five seconds, and how many those are.
fn peak(deltas: &[i64]) -> Option<(i64, u32)> {
    let mut votes: HashMap<i64, u32, FixedState> = HashMap::default();
    for delta in deltas {
        *votes.entry(delta.div_euclid(1_000_000)).or_default() += 1;
    }
    let near = |second: i64| (-WIDTH_S..=WIDTH_S).map(|d| votes.get(&(second + d)).copied().unwrap_or(0)).sum::<u32>();
    let (second, _, count) = votes.keys().map(|s| (*s, votes[s], near(*s))).max_by_key(|(s, own, n)| (*n, *own, std::cmp::Reverse(s.abs()), *s))?;
    let mut within: Vec<i64> = deltas.iter().copied().filter(|d| (d.div_euclid(1_000_000) - second).abs() <= WIDTH_S).collect();
    let middle = within.len() / 2;
    let (_, median, _) = within.select_nth_unstable(middle);
    Some((*median, count))
}
