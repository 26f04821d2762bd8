//! One destination's carriers against each other.
//!
//! - *Enough*: the shortest of 5 min, 15 min, 1 h and 24 h with the least number of first attempts; without one: neutral.
//! - *Bad*: the answer-seizure or the network-effectiveness bound is below half of the median of the peers that are known well
//!   enough and not suspected, or the post-dial delay is both a multiple of theirs and seconds longer. A peer that only ever comes
//!   second is known by what it answers then: those numbers are harder, so it is no worse than that. Without peers none is bad.
//! - *False answer* (F-05): the standard deviations by which its answer ratio, its answers too soon to have rung, and hang-ups by
//!   callers within 10 s lie above its peers' together (or above 5 % and 10 % where there are none), each counted up to 4. So no one
//!   of them is enough, however many calls there were: a better route is not a fraud.
//! - *Length that counts*: at most the median of the peers' means. Who answers calls that nobody took does not earn by their length.

use tollgate_schemas::v1::{CarrierQuality, DurationShare, QualityVerdict, QualityWindow};

use super::{Carrier, Figures, Group, Mark, Rules};
use crate::quality::{
    figures::{CLASSES, Figure},
    ratio::{median, ratio_e6, wilson_lower_e6, z_e2},
};

pub const WINDOWS_S: [u32; 4] = [300, 900, 3_600, 86_400];
/// Most one feature counts, 1e-2 standard deviations.
const FEATURE_E2: i32 = 400;
/// What is usual where there are no peers.
const USUAL_EARLY_E6: u32 = 50_000;
const USUAL_HUNG_UP_E6: u32 = 100_000;

/// A carrier as its peers see it.
struct Seen {
    windows: [Figures; 4],
    /// The window it is judged by; none: too few samples.
    judged: Option<usize>,
    asr_e6: u32,
    ner_e6: u32,
    /// The answer-seizure bound of attempts that were not a call's first, where there are enough of them.
    later_e6: Option<u32>,
    pdd_ms: Option<u64>,
    acd_ms: Option<u64>,
    suspected: bool,
}

/// Judges, changes states, and gives the verdict and the number of switches.
pub fn evaluate(group: &mut Group, rules: &Rules, now_us: i64) -> (QualityVerdict, u64) {
    let mut seen: Vec<Seen> = group.carriers.values().map(|c| Seen::of(c, rules, now_us)).collect();
    let mut switches = 0;
    let names: Vec<Box<str>> = group.carriers.keys().cloned().collect();
    let mut verdict = QualityVerdict { at_us: 0, ..QualityVerdict::default() };
    for (at, name) in names.iter().enumerate() {
        let Some(carrier) = group.carriers.get_mut(name) else { continue };
        let (score_e2, samples) = false_answer(&seen, at);
        if samples >= rules.fas_samples && score_e2 > rules.fas_score_e2 {
            carrier.fas_until_us = now_us + rules.fas_us;
        }
        seen[at].suspected = carrier.fas_until_us > now_us;
        let peers = Peers::of(&seen, at);
        switches += u64::from(switch(carrier, &seen[at], &peers, rules, now_us));
        if carrier.minutes.is_empty() && carrier.hours.is_empty() {
            seen[at] = Seen::of(carrier, rules, now_us);
        }
        verdict.carriers.push(describe(name, carrier, &seen[at], &peers, rules, score_e2));
    }
    together(&mut verdict, &seen);
    (verdict, switches)
}

impl Seen {
    fn of(carrier: &Carrier, rules: &Rules, now_us: i64) -> Seen {
        let windows = WINDOWS_S.map(|s| carrier.window(s, now_us));
        let judged = windows.iter().position(|w| w.get(Figure::First) >= rules.asr_samples);
        let enough = |sum, count, least| windows.iter().find_map(|w| w.mean(sum, count, least));
        let of = |w: usize| &windows[w];
        Seen {
            asr_e6: judged.map_or(0, |w| asr_e6(of(w))),
            ner_e6: judged.map_or(0, |w| ner_e6(of(w))),
            later_e6: windows.iter().find(|w| w.get(Figure::Later) >= rules.asr_samples).map(|w| wilson_lower_e6(w.get(Figure::LaterAnswered), w.get(Figure::Later))),
            pdd_ms: enough(Figure::PddMs, Figure::PddCount, rules.pdd_samples),
            acd_ms: enough(Figure::TalkMs, Figure::Ended, rules.acd_samples),
            suspected: carrier.fas_until_us > now_us,
            judged,
            windows,
        }
    }

    fn day(&self) -> &Figures {
        &self.windows[3]
    }
}

fn asr_e6(f: &Figures) -> u32 {
    wilson_lower_e6(f.get(Figure::FirstAnswered), f.get(Figure::First))
}

fn ner_e6(f: &Figures) -> u32 {
    wilson_lower_e6(f.get(Figure::FirstAnswered) + f.get(Figure::FirstReached), f.get(Figure::First))
}

/// What the others do; none where no other is known well enough.
struct Peers {
    asr_e6: Option<u32>,
    ner_e6: Option<u32>,
    pdd_ms: Option<u64>,
    acd_ms: Option<u64>,
}

impl Peers {
    fn of(seen: &[Seen], at: usize) -> Peers {
        let others = || seen.iter().enumerate().filter(move |(i, s)| *i != at && !s.suspected).map(|(_, s)| s);
        let mut asr: Vec<u32> = others().filter_map(|s| s.judged.map(|_| s.asr_e6).or(s.later_e6)).collect();
        let mut ner: Vec<u32> = others().filter(|s| s.judged.is_some()).map(|s| s.ner_e6).collect();
        let mut pdd: Vec<u64> = others().filter_map(|s| s.pdd_ms).collect();
        let mut acd: Vec<u64> = others().filter_map(|s| s.acd_ms).collect();
        Peers { asr_e6: median(&mut asr), ner_e6: median(&mut ner), pdd_ms: median(&mut pdd), acd_ms: median(&mut acd) }
    }

    fn bad(&self, asr_e6: u32, ner_e6: u32, pdd_ms: Option<u64>, rules: &Rules) -> bool {
        let below = |own: u32, peers: Option<u32>| peers.is_some_and(|p| u64::from(own) * 100 < u64::from(p) * rules.bad_pct);
        let slow = match (pdd_ms, self.pdd_ms) {
            (Some(own), Some(peers)) => own > peers * rules.pdd_times && own > peers + rules.pdd_more_ms,
            _ => false,
        };
        below(asr_e6, self.asr_e6) || below(ner_e6, self.ner_e6) || slow
    }
}

/// R-39; true when the state changed.
fn switch(carrier: &mut Carrier, seen: &Seen, peers: &Peers, rules: &Rules, now_us: i64) -> bool {
    let held = carrier.switched_us != 0 && now_us - carrier.switched_us < rules.hold_down_us;
    let batch = carrier.total.since(&carrier.mark);
    if carrier.demoted {
        if batch.first < rules.asr_samples {
            return false;
        }
        carrier.mark = carrier.total;
        let asr = wilson_lower_e6(batch.answered, batch.first);
        let ner = wilson_lower_e6(batch.answered + batch.reached, batch.first);
        carrier.good = if peers.bad(asr, ner, None, rules) { 0 } else { carrier.good + 1 };
        if carrier.good < rules.promote_after || held {
            return false;
        }
        (carrier.demoted, carrier.good, carrier.bad, carrier.switched_us) = (false, 0, 0, now_us);
        carrier.forget();
        return true;
    }
    // The same samples are not bad twice.
    if seen.judged.is_none() || batch.first == 0 {
        return false;
    }
    carrier.mark = carrier.total;
    if peers.bad(seen.asr_e6, seen.ner_e6, seen.pdd_ms, rules) {
        (carrier.bad, carrier.good) = (carrier.bad.saturating_add(1), 0);
    } else {
        (carrier.bad, carrier.good) = (0, carrier.good.saturating_add(1).min(rules.promote_after));
    }
    if carrier.bad < rules.demote_after || held {
        return false;
    }
    (carrier.demoted, carrier.good, carrier.switched_us) = (true, 0, now_us);
    true
}

impl Mark {
    fn since(&self, earlier: &Mark) -> Mark {
        Mark {
            first: self.first.saturating_sub(earlier.first),
            answered: self.answered.saturating_sub(earlier.answered),
            reached: self.reached.saturating_sub(earlier.reached),
            broken: self.broken.saturating_sub(earlier.broken),
        }
    }
}

/// F-05: the score in 1e-2, and of how many answered calls; of the last day.
fn false_answer(seen: &[Seen], at: usize) -> (i32, u64) {
    let own = seen[at].day();
    let mut peers = Figures::default();
    seen.iter().enumerate().filter(|(i, s)| *i != at && !s.suspected).for_each(|(_, s)| peers.add_all(s.day()));
    let known = peers.get(Figure::Answers) >= 50;
    let usual = |part, of, otherwise: u32| if known { ratio_e6(peers.get(part), peers.get(of)) } else { otherwise };
    let feature = |part, of, usual_e6| z_e2(own.get(part), own.get(of), usual_e6).clamp(0, FEATURE_E2);
    let mut score = feature(Figure::Early, Figure::Answers, usual(Figure::Early, Figure::Answers, USUAL_EARLY_E6));
    score += feature(Figure::HungUp, Figure::Ended, usual(Figure::HungUp, Figure::Ended, USUAL_HUNG_UP_E6));
    if known {
        score += feature(Figure::FirstAnswered, Figure::First, usual(Figure::FirstAnswered, Figure::First, 0));
    }
    (score, own.get(Figure::Answers))
}

fn describe(name: &str, carrier: &Carrier, seen: &Seen, peers: &Peers, rules: &Rules, fas_score_e2: i32) -> CarrierQuality {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let judged = seen.judged.map(|w| (&seen.windows[w], WINDOWS_S[w]));
    let state = match (carrier.demoted, judged) {
        (true, _) => "demoted",
        (false, Some(_)) => "good",
        (false, None) => "neutral",
    };
    let acd_ms = seen.acd_ms.unwrap_or(0);
    let window = |(w, window_s): (&Figures, u32)| QualityWindow {
        window_s,
        attempts: count(w.get(Figure::First)),
        answered: count(w.get(Figure::FirstAnswered)),
        asr_e6: asr_e6(w),
        ner_e6: ner_e6(w),
        acd_ms: w.mean(Figure::TalkMs, Figure::Ended, 1).unwrap_or(0),
        pdd_ms: w.mean(Figure::PddMs, Figure::PddCount, 1).unwrap_or(0),
        short_e6: ratio_e6(w.get(Figure::Short), w.get(Figure::Ended)),
    };
    let of = |get: fn(&Figures) -> u32| judged.map_or(0, |(w, _)| get(w));
    CarrierQuality {
        carrier: name.to_owned(),
        state: state.to_owned(),
        fas_until_us: carrier.fas_until_us,
        asr_e6: seen.asr_e6,
        ner_e6: seen.ner_e6,
        ccr_e6: of(|w| wilson_lower_e6(w.get(Figure::First) - w.get(Figure::FirstBroken).min(w.get(Figure::First)), w.get(Figure::First))),
        samples: judged.map_or(0, |(w, _)| count(w.get(Figure::First))),
        window_s: judged.map_or(0, |(_, s)| s),
        acd_ms,
        acd_capped_ms: peers.acd_ms.map_or(acd_ms, |cap| acd_ms.min(cap)),
        pdd_ms: seen.pdd_ms.unwrap_or(0),
        ast_ms: seen.windows.iter().find_map(|w| w.mean(Figure::SetupMs, Figure::Answers, rules.ast_samples)).unwrap_or(0),
        short_e6: of(|w| ratio_e6(w.get(Figure::Short), w.get(Figure::Ended))),
        fas_score_e2,
        answered: judged.map_or(0, |(w, _)| count(w.get(Figure::Ended))),
        talk_ms: judged.map_or(0, |(w, _)| w.get(Figure::TalkMs)),
        bad: carrier.bad,
        good: carrier.good,
        demoted_us: if carrier.demoted { carrier.switched_us } else { 0 },
        by_window: seen.windows.iter().zip(WINDOWS_S).filter(|(w, _)| **w != Figures::default()).map(window).collect(),
    }
}

/// What is known of the destination whoever carries the call: from carriers that are not suspected.
fn together(verdict: &mut QualityVerdict, seen: &[Seen]) {
    let mut all = Figures::default();
    seen.iter().filter(|s| !s.suspected).for_each(|s| all.add_all(s.day()));
    verdict.asr_e6 = asr_e6(&all);
    verdict.pdd_ms = all.mean(Figure::PddMs, Figure::PddCount, 10).unwrap_or(0);
    let first = ratio_e6(all.get(Figure::FirstAnswered), all.get(Figure::First));
    let later = ratio_e6(all.get(Figure::LaterAnswered), all.get(Figure::Later));
    let known = all.get(Figure::Later) >= 30 && all.get(Figure::First) >= 30 && first > 0;
    verdict.later_e6 = if known { (u64::from(later) * 1_000_000 / u64::from(first)).min(1_000_000) as u32 } else { 1_000_000 };
    for class in 0..CLASSES {
        let (calls, ms) = all.class(class);
        if calls > 0 {
            verdict.durations.push(DurationShare { mean_ms: ms / calls, calls: u32::try_from(calls).unwrap_or(u32::MAX) });
        }
    }
}
