//! One destination's carriers against each other: with all calls, then with those of each codec class alone. A class says of a carrier
//! what it is only where it has samples enough, or has demoted it; what it leaves open is as it is with all calls.
//!
//! - *Enough*: the shortest of 5 min, 15 min, 1 h and 24 h with the least number of first attempts; without one: neutral.
//! - *Bad*: the answer-seizure or the network-effectiveness bound is below half of the median of the peers that are known well
//!   enough and not suspected, or the post-dial delay is both a multiple of theirs and seconds longer. A peer that only ever comes
//!   second is known by what it answers then: those numbers are harder, so it is no worse than that. Without peers none is bad.
//! - *False answer* (F-05): the standard deviations by which its answer ratio, its answers too soon to have rung, and hang-ups by
//!   callers within 10 s lie above its peers' together (or above 5 % and 10 % where there are none), each counted up to 4. So no one
//!   of them is enough, however many calls there were: a better route is not a fraud. Of all calls; who is suspected is so in each class.
//! - *Length that counts*: at most the median of the peers' means. Who answers calls that nobody took does not earn by their length.

use tollgate_schemas::{
    codec::CodecClass,
    v1::{CarrierQuality, ClassQuality, DurationShare, QualityVerdict, QualityWindow},
};

use super::{Figures, Group, Mark, Rules, Standing};
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
    let mut verdict = QualityVerdict::default();
    let (carriers, seen, mut switches) = among(group, None, rules, now_us);
    verdict.carriers = carriers;
    together(&mut verdict, &seen);
    for class in CodecClass::KNOWN {
        let (carriers, seen, more) = among(group, Some(class), rules, now_us);
        switches += more;
        if !carriers.is_empty() {
            verdict.classes.push(of_class(class, carriers, &seen, &verdict, rules));
        }
    }
    (verdict, switches)
}

/// The carriers that are known with all calls, or with those of a class, against each other; and the number of switches.
fn among(group: &mut Group, class: Option<CodecClass>, rules: &Rules, now_us: i64) -> (Vec<CarrierQuality>, Vec<Seen>, u64) {
    let known = group.carriers.iter().filter_map(|(name, c)| Some((name.clone(), Seen::of(c.standing(class)?, c.fas_until_us > now_us, rules, now_us))));
    let (names, mut seen): (Vec<Box<str>>, Vec<Seen>) = known.unzip();
    let mut described = Vec::with_capacity(names.len());
    let mut switches = 0;
    for (at, name) in names.iter().enumerate() {
        let Some(carrier) = group.carriers.get_mut(name) else { continue };
        let mut score_e2 = 0;
        if class.is_none() {
            let samples;
            (score_e2, samples) = false_answer(&seen, at);
            if samples >= rules.fas_samples && score_e2 > rules.fas_score_e2 {
                carrier.fas_until_us = now_us + rules.fas_us;
            }
        }
        let fas_until_us = carrier.fas_until_us;
        seen[at].suspected = fas_until_us > now_us;
        let peers = Peers::of(&seen, at);
        let Some(standing) = carrier.standing_mut(class) else { continue };
        switches += u64::from(switch(standing, &seen[at], &peers, rules, now_us));
        if standing.minutes.is_empty() && standing.hours.is_empty() {
            seen[at] = Seen::of(standing, seen[at].suspected, rules, now_us);
        }
        let quality = describe(name, standing, &seen[at], &peers, rules);
        described.push(CarrierQuality { fas_until_us, fas_score_e2: score_e2, ..quality });
    }
    (described, seen, switches)
}

impl Seen {
    fn of(standing: &Standing, suspected: bool, rules: &Rules, now_us: i64) -> Seen {
        let windows = WINDOWS_S.map(|s| standing.window(s, now_us));
        let judged = windows.iter().position(|w| w.get(Figure::First) >= rules.asr_samples);
        let enough = |sum, count, least| windows.iter().find_map(|w| w.mean(sum, count, least));
        let of = |w: usize| &windows[w];
        Seen {
            asr_e6: judged.map_or(0, |w| asr_e6(of(w))),
            ner_e6: judged.map_or(0, |w| ner_e6(of(w))),
            later_e6: windows.iter().find(|w| w.get(Figure::Later) >= rules.asr_samples).map(|w| wilson_lower_e6(w.get(Figure::LaterAnswered), w.get(Figure::Later))),
            pdd_ms: enough(Figure::PddMs, Figure::PddCount, rules.pdd_samples),
            acd_ms: enough(Figure::TalkMs, Figure::Ended, rules.acd_samples),
            suspected,
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
fn switch(carrier: &mut Standing, seen: &Seen, peers: &Peers, rules: &Rules, now_us: i64) -> bool {
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

fn describe(name: &str, carrier: &Standing, seen: &Seen, peers: &Peers, rules: &Rules) -> CarrierQuality {
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
        answered: judged.map_or(0, |(w, _)| count(w.get(Figure::Ended))),
        talk_ms: judged.map_or(0, |(w, _)| w.get(Figure::TalkMs)),
        bad: carrier.bad,
        good: carrier.good,
        demoted_us: if carrier.demoted { carrier.switched_us } else { 0 },
        by_window: seen.windows.iter().zip(WINDOWS_S).filter(|(w, _)| **w != Figures::default()).map(window).collect(),
        ..CarrierQuality::default()
    }
}

/// What is known of the destination whoever carries the call: from carriers that are not suspected.
fn together(verdict: &mut QualityVerdict, seen: &[Seen]) {
    let all = day_of_all(seen);
    verdict.asr_e6 = asr_e6(&all);
    verdict.pdd_ms = all.mean(Figure::PddMs, Figure::PddCount, 10).unwrap_or(0);
    verdict.later_e6 = later_e6(&all).unwrap_or(1_000_000);
    verdict.durations = durations(&all);
}

/// The same of one class; what there is too little of is left to all classes.
fn of_class(class: CodecClass, carriers: Vec<CarrierQuality>, seen: &[Seen], verdict: &QualityVerdict, rules: &Rules) -> ClassQuality {
    let all = day_of_all(seen);
    let enough = all.get(Figure::First) >= rules.asr_samples;
    ClassQuality {
        codec_class: class.name().to_owned(),
        carriers,
        durations: if all.get(Figure::Ended) >= rules.acd_samples { durations(&all) } else { Vec::new() },
        samples: if enough { u32::try_from(all.get(Figure::First)).unwrap_or(u32::MAX) } else { 0 },
        asr_e6: if enough { asr_e6(&all) } else { 0 },
        later_e6: later_e6(&all).unwrap_or(verdict.later_e6),
        pdd_ms: all.mean(Figure::PddMs, Figure::PddCount, rules.pdd_samples).unwrap_or(0),
    }
}

fn day_of_all(seen: &[Seen]) -> Figures {
    let mut all = Figures::default();
    seen.iter().filter(|s| !s.suspected).for_each(|s| all.add_all(s.day()));
    all
}

/// What a later attempt's answer-seizure ratio is of a first one's.
fn later_e6(all: &Figures) -> Option<u32> {
    let first = ratio_e6(all.get(Figure::FirstAnswered), all.get(Figure::First));
    let later = ratio_e6(all.get(Figure::LaterAnswered), all.get(Figure::Later));
    let known = all.get(Figure::Later) >= 30 && all.get(Figure::First) >= 30 && first > 0;
    known.then(|| (u64::from(later) * 1_000_000 / u64::from(first)).min(1_000_000) as u32)
}

fn durations(all: &Figures) -> Vec<DurationShare> {
    let shares = (0..CLASSES).map(|class| all.class(class)).filter(|(calls, _)| *calls > 0);
    shares.map(|(calls, ms)| DurationShare { mean_ms: ms / calls, calls: u32::try_from(calls).unwrap_or(u32::MAX) }).collect()
}
