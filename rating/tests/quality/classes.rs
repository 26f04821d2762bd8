//! Codec classes: counted apart, judged apart, and together the whole.

use tollgate_rating::quality::{Counter, Figure, Judge, Rules};
use tollgate_schemas::{
    event::Body,
    stage::Stage,
    v1::{CarrierQuality, ClassQuality, Event, QualityVerdict},
};

use super::made::{Calls, Goes, S, START, Stages, apply, count, count_of, counted, counted_of, first, verdicts};

const CLASSES: [&str; 4] = ["", "narrowband", "wideband", "fax"];

fn class<'v>(verdict: &'v QualityVerdict, name: &str) -> &'v ClassQuality {
    verdict.classes.iter().find(|c| c.codec_class == name).unwrap_or_else(|| panic!("no {name} in {verdict:?}"))
}

fn carrier<'v>(carriers: &'v [CarrierQuality], name: &str) -> &'v CarrierQuality {
    carriers.iter().find(|c| c.carrier == name).unwrap_or_else(|| panic!("no {name} in {carriers:?}"))
}

fn last(judge: &mut Judge, events: &[Event]) -> QualityVerdict {
    verdicts(&apply(judge, events)).pop().expect("a verdict")
}

fn goes(kind: u8) -> Goes {
    match kind {
        0 => Goes::Talks(7),
        1 => Goes::FalseAnswer(3),
        2 => Goes::Fails(486, true),
        3 => Goes::Fails(503, false),
        _ => Goes::Ours("block"),
    }
}

/// Without its class: an event as a program wrote it that knew of none.
fn older(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    for event in &mut events {
        if let Some(Body::CallAttempted(body)) = &mut event.body {
            body.facts.iter_mut().for_each(|f| f.codec_class.clear());
        }
    }
    events
}

proptest::proptest! {
    /// Whatever calls there are, what the classes count together is what is counted of the same calls without classes, figure by
    /// figure; and calls of before there were classes count under none.
    #[test]
    fn r_37_what_the_classes_count_is_together_the_whole(of in proptest::collection::vec((0usize..4, 0u8..5, 0u8..5, 0i64..40), 1..60)) {
        let mut calls = Calls::new();
        for (class, a, b, wait) in &of {
            calls.class = CLASSES[*class];
            calls.call("UK", &[("a", goes(*a)), ("b", goes(*b))][..if *a < 2 { 1 } else { 2 }]);
            calls.wait(*wait);
        }
        calls.wait(300);
        calls.tick();
        let events = calls.take();
        let by_class = apply(&mut Counter::new(0, 1), &events);
        let whole = apply(&mut Counter::new(0, 1), &older(&events));
        for name in ["a", "b"] {
            let mut sum = tollgate_rating::quality::Figures::default();
            CLASSES.iter().for_each(|c| sum.add_all(&counted_of(&by_class, "UK", name, |class| class == *c)));
            proptest::prop_assert_eq!(sum, counted(&whole, "UK", name));
            proptest::prop_assert_eq!(counted(&by_class, "UK", name), counted_of(&whole, "UK", name, str::is_empty));
        }
    }

    /// A verdict on all calls does not hang on how they are split, and that of a class is the one there would be if there were no
    /// other calls.
    #[test]
    fn r_37_the_whole_is_judged_as_before_and_a_class_as_if_it_were_alone(
        of in proptest::collection::vec(proptest::collection::vec((0u64..60, 0u64..60), 8), 1..25),
    ) {
        // Whoever is demoted stays so, so that nobody starts anew on the way.
        let rules = Rules { hold_down_us: i64::MAX, ..Rules::default() };
        let [mut split, mut together, mut alone] = [(); 3].map(|()| Judge::with(0, rules, 100));
        let mut at = START;
        for minute in &of {
            at += 60 * S;
            for (n, name) in ["a", "b"].into_iter().enumerate() {
                // Tried and answered, by class.
                let rows: Vec<(u64, u64)> = minute[n * 4..][..4].iter().map(|(tried, answered)| (*tried, *answered.min(tried))).collect();
                for (class, row) in CLASSES.iter().zip(&rows) {
                    apply(&mut split, &[count_of(class, at, name, 1, 0, |f| first(f, row.0, row.1))]);
                }
                apply(&mut alone, &[count(at, name, 1, 0, |f| first(f, rows[2].0, rows[2].1))]);
                let (tried, answered) = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
                apply(&mut together, &[count(at, name, 1, 0, |f| first(f, tried, answered))]);
            }
        }
        // Judged once more, with all of it.
        at += 600 * S;
        let end = |judge: &mut Judge, class: &str| last(judge, &[count_of(class, at, "c", 1, 0, |f| first(f, 1, 1))]);
        let (now, whole, wide) = (end(&mut split, "wideband"), end(&mut together, ""), end(&mut alone, ""));
        let plain = |carriers: &[CarrierQuality]| carriers.iter().map(|c| (c.carrier.clone(), c.samples, c.asr_e6, c.ner_e6, c.by_window.clone())).collect::<Vec<_>>();
        proptest::prop_assert_eq!((now.asr_e6, plain(&now.carriers)), (whole.asr_e6, plain(&whole.carriers)));
        let of_class = class(&now, "wideband");
        proptest::prop_assert_eq!(plain(&of_class.carriers), plain(&wide.carriers));
        proptest::prop_assert_eq!(of_class.asr_e6, if of_class.samples > 0 { wide.asr_e6 } else { 0 });
    }
}

/// Minutes of calls to two carriers, where `a` answers no call of one class.
fn failing(judge: &mut Judge, at: &mut i64, minutes: usize, class: &str) -> Vec<QualityVerdict> {
    let mut said = Vec::new();
    for _ in 0..minutes {
        *at += 60 * S;
        let mut events = Vec::new();
        for of in ["narrowband", "wideband"] {
            events.push(count_of(of, *at, "a", 1, 0, |f| first(f, 40, if of == class { 0 } else { 30 })));
            events.push(count_of(of, *at, "b", 1, 0, |f| first(f, 40, 30)));
        }
        events.push(count_of("narrowband", *at + 5 * S, "b", 2, 0, |f| first(f, 41, 30)));
        said.extend(verdicts(&apply(judge, &events)));
    }
    said
}

#[test]
fn r_37_a_carrier_that_fails_one_class_is_demoted_in_that_class_alone() {
    let (mut judge, mut at) = (Judge::new(0), START);
    let now = failing(&mut judge, &mut at, 10, "wideband").pop().expect("a verdict");
    let state = |class: &str, name: &str| carrier(&self::class(&now, class).carriers, name).state.clone();
    assert_eq!((state("wideband", "a"), state("narrowband", "a")), ("demoted".into(), "good".into()));
    assert_eq!((state("wideband", "b"), state("narrowband", "b")), ("good".into(), "good".into()));
    // It comes back there after it is well, as it would for all calls.
    let back = failing(&mut judge, &mut at, 20, "").pop().expect("a verdict");
    assert_ne!(carrier(&class(&back, "wideband").carriers, "a").state, "demoted");
}

#[test]
fn r_37_a_class_with_few_samples_is_neutral_whatever_they_say() {
    let mut judge = Judge::new(0);
    let now = last(&mut judge, &[
        count_of("narrowband", START, "a", 1, 0, |f| first(f, 300, 200)),
        count_of("narrowband", START, "b", 1, 0, |f| first(f, 300, 200)),
        count_of("wideband", START, "a", 1, 0, |f| first(f, 29, 0)),
        count_of("wideband", START + 5 * S, "b", 1, 0, |f| first(f, 300, 200)),
    ]);
    let a = carrier(&class(&now, "wideband").carriers, "a");
    assert_eq!((a.state.as_str(), a.samples, a.asr_e6), ("neutral", 0, 0));
    assert_eq!(carrier(&now.carriers, "a").samples, 329, "and with all calls they are counted");
    // All of a class together: a ratio, but no lengths of calls, of which there are none.
    let wide = class(&now, "wideband");
    assert!(wide.samples == 329 && wide.asr_e6 > 0 && wide.durations.is_empty() && wide.pdd_ms == 0, "{wide:?}");
}

#[test]
fn f_05_false_answer_is_suspected_of_a_carrier_in_every_class() {
    let (mut calls, mut stages) = (Calls::new(), Stages::new());
    for n in 0..120 {
        calls.class = if n % 3 == 0 { "wideband" } else { "narrowband" };
        calls.call("UK", &[("honest", if n % 2 == 0 { Goes::Talks(60) } else { Goes::Fails(486, false) })]);
        calls.call("UK", &[("false", Goes::FalseAnswer(4))]);
        calls.wait(2);
    }
    calls.wait(400);
    calls.tick();
    let now = stages.feed(&calls.take()).pop().expect("a verdict");
    let until_us = carrier(&now.carriers, "false").fas_until_us;
    assert!(until_us > START);
    for name in ["narrowband", "wideband"] {
        let of = class(&now, name);
        assert_eq!((carrier(&of.carriers, "false").fas_until_us, carrier(&of.carriers, "honest").fas_until_us), (until_us, 0), "{name}");
        assert!(of.durations.iter().all(|d| d.mean_ms == 60_000), "what it answers says nothing of lengths: {of:?}");
    }
}

#[test]
fn r_37_classes_are_part_of_the_state() {
    let mut calls = Calls::new();
    for n in 0..200 {
        calls.class = CLASSES[n % 4];
        calls.call("UK", &[("a", if n % 4 == 2 { Goes::Fails(503, false) } else { Goes::Talks(20) }), ("b", Goes::Talks(30))][..if n % 4 == 2 { 2 } else { 1 }]);
        calls.wait(3);
    }
    calls.wait(600);
    calls.tick();
    let events = calls.take();
    let counts = apply(&mut Counter::new(0, 1), &events);
    let judged = apply(&mut Judge::new(0), &counts);
    assert_eq!(class(&verdicts(&judged).pop().expect("a verdict"), "fax").carriers.len(), 1);
    for cut in [1, events.len() / 3, events.len() - 2] {
        let mut before = Counter::new(0, 1);
        let mut said = apply(&mut before, &events[..cut]);
        let mut after = Counter::new(0, 1);
        after.restore(&before.snapshot()).unwrap_or_else(|e| panic!("{e}"));
        said.extend(apply(&mut after, &events[cut..]));
        assert_eq!(said, counts, "counted, cut at {cut}");
    }
    for cut in [1, counts.len() / 2, counts.len() - 1] {
        let mut before = Judge::new(0);
        let mut said = apply(&mut before, &counts[..cut]);
        let mut after = Judge::new(0);
        after.restore(&before.snapshot()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(after.snapshot(), before.snapshot());
        said.extend(apply(&mut after, &counts[cut..]));
        assert_eq!(said, judged, "judged, cut at {cut}");
    }
}

#[test]
fn at_the_limit_of_classes_the_one_not_heard_of_for_longest_goes_by_all_calls() {
    let mut judge = Judge::with(0, Rules::default(), 2);
    apply(&mut judge, &[
        count_of("narrowband", START, "a", 1, 0, |f| first(f, 30, 15)),
        count_of("wideband", START + S, "a", 1, 0, |f| first(f, 30, 15)),
        count_of("narrowband", START + 2 * S, "b", 1, 0, |f| first(f, 30, 15)),
    ]);
    let now = last(&mut judge, &[count_of("wideband", START + 10 * S, "a", 2, 0, |f| f.add(Figure::First, 31))]);
    let known: Vec<(&str, Vec<&str>)> = now.classes.iter().map(|c| (c.codec_class.as_str(), c.carriers.iter().map(|c| c.carrier.as_str()).collect())).collect();
    assert_eq!(known, [("narrowband", vec!["b"]), ("wideband", vec!["a"])]);
    assert_eq!((judge.stats().classes_dropped, judge.stats().keys_dropped, carrier(&now.carriers, "a").samples), (1, 0, 61));
    // A carrier that is forgotten takes its classes with it.
    let now = last(&mut judge, &[count_of("fax", START + 20 * S, "c", 1, 0, |f| first(f, 30, 15)), count_of("fax", START + 30 * S, "c", 2, 0, |f| first(f, 31, 15))]);
    assert_eq!((judge.stats().keys_dropped, judge.stats().classes_dropped, now.classes.len()), (1, 1, 2));
}
