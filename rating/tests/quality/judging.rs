//! Who is good, neutral, demoted or suspected, when, and after what.

use tollgate_rating::quality::{Figure, Judge, Rules, wilson_lower_e6};
use tollgate_schemas::{
    stage::Stage,
    v1::{CarrierQuality, Event, QualityVerdict},
};

use super::made::{Calls, Goes, S, START, Stages, apply, count, first, verdicts};

fn carrier<'v>(verdict: &'v QualityVerdict, name: &str) -> &'v CarrierQuality {
    verdict.carriers.iter().find(|c| c.carrier == name).unwrap_or_else(|| panic!("no {name} in {verdict:?}"))
}

fn last(judge: &mut Judge, events: &[Event]) -> QualityVerdict {
    verdicts(&apply(judge, events)).pop().expect("a verdict")
}

#[test]
fn r_37_wilson_lower_bounds() {
    for (hits, of, want_e6) in [(15, 30, 332_000), (50, 100, 404_000), (500, 1_000, 469_000)] {
        assert!(wilson_lower_e6(hits, of).abs_diff(want_e6) <= 1_000, "{hits}/{of}: {}", wilson_lower_e6(hits, of));
    }
    assert_eq!((wilson_lower_e6(0, 0), wilson_lower_e6(0, 100)), (0, 0));
    assert!(wilson_lower_e6(100, 100) < 1_000_000, "nothing is certain");
}

proptest::proptest! {
    /// The bound is below the ratio, rises with hits and with samples of the same ratio, and agrees with the formula.
    #[test]
    fn r_37_wilson_is_a_lower_bound(of in 1u64..100_000, part in 0u64..=1_000) {
        let hits = of * part / 1_000;
        let bound = wilson_lower_e6(hits, of);
        proptest::prop_assert!(u64::from(bound) * of <= hits * 1_000_000);
        proptest::prop_assert!(wilson_lower_e6((hits + 1).min(of), of) >= bound);
        proptest::prop_assert!(wilson_lower_e6(hits * 10, of * 10) >= bound);
        let (n, p, z) = (of as f64, hits as f64 / of as f64, 1.96f64);
        let exact = (p + z * z / (2.0 * n) - z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt()) / (1.0 + z * z / n);
        proptest::prop_assert!((exact * 1e6 - f64::from(bound)).abs() <= 2.0, "{exact} {bound}");
    }

    /// Counts in any order, told again or not, give the same figures: the highest revision holds.
    #[test]
    fn r_37_merging_does_not_depend_on_order(seed in proptest::collection::vec((0usize..3, 1u64..6, 0u64..50), 1..40), swap in 0usize..1_000) {
        let names = ["a", "b", "c"];
        // One clock for all, so that nothing is judged in between.
        let make = |(source, revision, attempts): &(usize, u64, u64)| count(START, names[*source], *revision, *source as u32, |f| first(f, attempts * *revision, *attempts));
        let mut highest = std::collections::BTreeMap::new();
        for one in &seed {
            let held = highest.entry(one.0).or_insert(*one);
            if one.1 > held.1 { *held = *one; }
        }
        // Of one revision there is one content.
        let told: Vec<_> = seed.iter().filter(|o| highest[&o.0] == **o || o.1 < highest[&o.0].1).collect();
        let mut events: Vec<Event> = told.iter().map(|o| make(o)).collect();
        let by_order = { let mut judge = Judge::new(0); apply(&mut judge, &events); end(&mut judge) };
        events.rotate_left(swap % told.len());
        events.extend(events.clone());
        let by_other = { let mut judge = Judge::new(0); apply(&mut judge, &events); end(&mut judge) };
        proptest::prop_assert_eq!(by_order, by_other);
    }
}

/// What is known five seconds later.
fn end(judge: &mut Judge) -> Vec<(String, Vec<u32>)> {
    let verdict = last(judge, &[count(START + 5 * S, "z", 1, 0, |f| first(f, 1, 0))]);
    verdict.carriers.iter().map(|c| (c.carrier.clone(), c.by_window.iter().map(|w| w.attempts).collect())).collect()
}

#[test]
fn r_37_below_the_least_samples_a_carrier_is_neutral() {
    for (attempts, state, samples) in [(29, "neutral", 0), (30, "good", 30)] {
        let mut judge = Judge::new(0);
        let verdict = last(&mut judge, &[count(START, "a", 1, 0, |f| first(f, attempts, 1))]);
        assert_eq!((carrier(&verdict, "a").state.as_str(), carrier(&verdict, "a").samples), (state, samples));
    }
}

#[test]
fn r_37_the_shortest_window_with_enough_samples_judges() {
    let mut judge = Judge::new(0);
    // Ten minutes ago all was well; in the last five there are too few to say.
    apply(&mut judge, &[count(START, "a", 1, 0, |f| first(f, 100, 90))]);
    let verdict = last(&mut judge, &[count(START + 600 * S, "a", 1, 0, |f| first(f, 10, 0))]);
    assert_eq!((carrier(&verdict, "a").window_s, carrier(&verdict, "a").samples), (900, 110));
    let verdict = last(&mut judge, &[count(START + 600 * S + 6 * S, "a", 2, 0, |f| first(f, 40, 0))]);
    assert_eq!((carrier(&verdict, "a").window_s, carrier(&verdict, "a").samples), (300, 40));
}

/// A carrier `b` that answers half while `a` answers `a_answers` of ten, ten calls each in so many samplings.
fn samplings(stages: &mut Judge, at: &mut i64, rounds: usize, a_answers: u64) -> Vec<QualityVerdict> {
    let mut said = Vec::new();
    for _ in 0..rounds {
        *at += 60 * S;
        let events = [
            count(*at, "b", 1, 0, |f| first(f, 40, 20)),
            count(*at, "a", 1, 0, |f| first(f, 40, a_answers * 4)),
            // Five seconds on, so that it is judged with both.
            count(*at + 5 * S, "b", 2, 0, |f| first(f, 41, 20)),
        ];
        said.extend(verdicts(&apply(stages, &events)));
    }
    said
}

fn switches(said: &[QualityVerdict]) -> Vec<(i64, String)> {
    let mut all: Vec<(i64, String)> = Vec::new();
    for verdict in said {
        let Some(state) = verdict.carriers.iter().find(|c| c.carrier == "a").map(|c| c.state.clone()) else { continue };
        let demoted = state == "demoted";
        if all.last().map_or(demoted, |(_, was)| (was == "demoted") != demoted) {
            all.push((verdict.at_us, state));
        }
    }
    all
}

#[test]
fn r_39_two_bad_evaluations_demote_and_three_good_batches_promote_after_the_hold_down() {
    let (mut judge, mut at) = (Judge::new(0), START);
    let well = samplings(&mut judge, &mut at, 5, 5);
    assert!(switches(&well).is_empty() && carrier(well.last().expect("said"), "a").state == "good");
    let badly = samplings(&mut judge, &mut at, 12, 0);
    let demoted = switches(&badly);
    assert_eq!(demoted.len(), 1, "{demoted:?}");
    let better = samplings(&mut judge, &mut at, 20, 5);
    let promoted = switches(&[badly.last().expect("said").clone()].iter().chain(&better).cloned().collect::<Vec<_>>());
    assert_eq!(promoted.len(), 2, "demoted, then not: {promoted:?}");
    assert!(promoted[1].0 - demoted[0].0 >= Rules::default().hold_down_us, "{demoted:?} {promoted:?}");
    assert_eq!(promoted[1].1, "neutral", "a promoted carrier starts anew");
}

#[test]
fn r_39_a_square_wave_faster_than_the_hold_down_switches_once_per_hold_down_at_most() {
    let hold_down_us = Rules::default().hold_down_us;
    for half in [1, 2, 3, 4] {
        let (mut judge, mut at) = (Judge::new(0), START);
        let mut said = Vec::new();
        for wave in 0..60 / half {
            said.extend(samplings(&mut judge, &mut at, half, if wave % 2 == 0 { 0 } else { 5 }));
        }
        let switched = switches(&said);
        assert!(!switched.is_empty(), "it does switch");
        assert!(switched.windows(2).all(|w| w[1].0 - w[0].0 >= hold_down_us), "half a wave of {half} min: {switched:?}");
    }
}

#[test]
fn r_37_a_second_choice_is_not_punished_for_hard_numbers() {
    let (mut calls, mut stages) = (Calls::new(), Stages::new());
    let mut verdicts = Vec::new();
    for n in 0..400 {
        // `b` gets what `a` could not complete, and completes one in ten of it; of its own first attempts it completes half.
        let b = if n % 10 == 0 { Goes::Talks(60) } else { Goes::Fails(404, false) };
        calls.call("UK", &[("a", if n % 2 == 0 { Goes::Talks(60) } else { Goes::Fails(503, false) }), ("b", b)][..if n % 2 == 0 { 1 } else { 2 }]);
        if n % 5 == 0 {
            calls.call("UK", &[("b", if n % 10 == 0 { Goes::Talks(60) } else { Goes::Fails(503, false) })]);
        }
        calls.wait(2);
    }
    calls.wait(120);
    calls.tick();
    verdicts.extend(stages.feed(&calls.take()));
    let demoted: Vec<_> = verdicts.iter().flat_map(|v| &v.carriers).filter(|c| c.state == "demoted").collect();
    assert!(demoted.is_empty(), "{:?}", demoted[0]);
    let now = verdicts.last().expect("a verdict");
    let (a, b) = (carrier(now, "a"), carrier(now, "b"));
    assert!(a.asr_e6.abs_diff(b.asr_e6) < 120_000, "{} {}: both complete half of what they are first asked", a.asr_e6, b.asr_e6);
    assert!(now.later_e6 < 400_000, "later attempts are hard: {}", now.later_e6);
}

/// The usual case: the cheapest carrier has every first attempt, and the others only what it fails.
#[test]
fn r_37_a_carrier_that_has_every_first_attempt_is_seen_to_fail_by_who_comes_second() {
    for (second, want) in [(Goes::Talks(60), "demoted"), (Goes::Fails(503, false), "good")] {
        let (mut calls, mut stages) = (Calls::new(), Stages::new());
        for _ in 0..300 {
            calls.call("UK", &[("a", Goes::Fails(503, false)), ("b", second)]);
            calls.wait(2);
        }
        calls.wait(120);
        calls.tick();
        let now = stages.feed(&calls.take()).pop().expect("a verdict");
        assert_eq!(carrier(&now, "a").state, want, "b: {second:?}");
        assert_ne!(carrier(&now, "b").state, "demoted", "nothing is known of its first attempts");
    }
}

/// Calls of one carrier that behaves and of one that answers whatever comes.
fn with_false_answers(seconds: u64) -> QualityVerdict {
    let (mut calls, mut stages) = (Calls::new(), Stages::new());
    for n in 0..120 {
        calls.call("UK", &[("honest", if n % 2 == 0 { Goes::Talks(60) } else { Goes::Fails(486, false) })]);
        calls.call("UK", &[("honest-too", if n % 2 == 0 { Goes::Talks(80) } else { Goes::Fails(486, false) })]);
        calls.call("UK", &[("false", Goes::FalseAnswer(seconds))]);
        calls.wait(2);
    }
    calls.wait(400);
    calls.tick();
    stages.feed(&calls.take()).pop().expect("a verdict")
}

#[test]
fn f_05_false_answers_are_suspected_whether_short_or_long() {
    for seconds in [4, 300] {
        let verdict = with_false_answers(seconds);
        let (liar, honest) = (carrier(&verdict, "false"), carrier(&verdict, "honest"));
        assert!(liar.fas_until_us > START && liar.fas_score_e2 > 600, "{seconds} s: {liar:?}");
        assert_eq!((honest.fas_until_us, carrier(&verdict, "honest-too").fas_until_us), (0, 0));
        assert!(liar.acd_capped_ms <= 80_000, "what counts of its length is at most its peers': {}", liar.acd_capped_ms);
        let of_peers = verdict.durations.iter().map(|d| d.mean_ms).max();
        assert_eq!(of_peers, Some(80_000), "and what is expected of a call there is not its to say");
    }
}

#[test]
fn f_05_a_better_route_is_no_fraud() {
    let (mut calls, mut stages) = (Calls::new(), Stages::new());
    for n in 0..300 {
        calls.call("UK", &[("poor", if n % 3 == 0 { Goes::Talks(60) } else { Goes::Fails(503, false) })]);
        calls.call("UK", &[("direct", if n % 10 == 0 { Goes::Fails(486, false) } else { Goes::Talks(90) })]);
        calls.wait(2);
    }
    calls.wait(400);
    calls.tick();
    let verdict = stages.feed(&calls.take()).pop().expect("a verdict");
    let direct = carrier(&verdict, "direct");
    assert_eq!((direct.fas_until_us, direct.fas_score_e2), (0, 400), "one feature alone is not enough");
}

#[test]
fn r_37_state_is_part_of_the_fold_and_names_are_of_the_content() {
    let mut at = START;
    let mut events = Vec::new();
    for minute in 0..40u64 {
        at += 60 * S;
        events.push(count(at, "b", 1, 0, |f| first(f, 40, 20)));
        events.push(count(at, "a", 1, 1, |f| first(f, 40, if minute > 10 && minute < 20 { 0 } else { 20 })));
        events.push(count(at + 5 * S, "b", 2, 0, |f| first(f, 41, 20)));
    }
    let whole = apply(&mut Judge::new(0), &events);
    assert!(!switches(&verdicts(&whole)).is_empty());
    for cut in [1, 40, 61, 100] {
        let mut before = Judge::new(0);
        let mut said = apply(&mut before, &events[..cut]);
        let mut after = Judge::new(0);
        after.restore(&before.snapshot()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(after.snapshot(), before.snapshot());
        said.extend(apply(&mut after, &events[cut..]));
        assert_eq!(said, whole, "cut at {cut}");
    }
    let names: std::collections::BTreeSet<_> = verdicts(&whole).into_iter().map(|v| v.name).collect();
    assert_eq!(names.len(), verdicts(&whole).len(), "each verdict has its own name");
}

#[test]
fn at_the_limit_of_keys_the_one_not_heard_of_for_longest_is_forgotten() {
    let mut judge = Judge::with(0, Rules::default(), 2);
    let events = ["a", "b", "c"].iter().zip(0..).map(|(name, n)| count(START + n * S, name, 1, 0, |f| first(f, 30, 15))).collect::<Vec<_>>();
    apply(&mut judge, &events);
    let verdict = last(&mut judge, &[count(START + 10 * S, "c", 2, 0, |f| f.add(Figure::First, 31))]);
    assert_eq!(verdict.carriers.iter().map(|c| c.carrier.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(judge.stats().keys_dropped, 1);
}
