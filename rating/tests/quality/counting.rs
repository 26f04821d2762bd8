//! What counts, under which carrier, and what does not.

use tollgate_rating::quality::{Counter, Figure, Figures};
use tollgate_schemas::{event::Body, stage::{Outputs, Stage}, v1::QualityPublished};

use super::made::{Calls, Goes, apply, counted};

/// (first, answered, reached, broken, later, later answered, redials)
fn attempts(f: &Figures) -> [u64; 7] {
    use Figure::{First, FirstAnswered, FirstBroken, FirstReached, Later, LaterAnswered, Redial};
    [First, FirstAnswered, FirstReached, FirstBroken, Later, LaterAnswered, Redial].map(|figure| f.get(figure))
}

fn of(calls: &mut Calls, carrier: &str) -> Figures {
    calls.wait(600);
    calls.tick();
    counted(&apply(&mut Counter::new(0, 1), &calls.take()), "UK", carrier)
}

#[test]
fn m_03_outcomes_of_a_first_attempt() {
    //  what came back                            answered reached broken
    for (goes, want) in [
        (Goes::Talks(60), [1, 0, 0]),
        (Goes::Fails(486, false), [0, 1, 0]),
        (Goes::Fails(600, false), [0, 1, 0]),
        (Goes::Fails(480, true), [0, 1, 0]),
        (Goes::Fails(480, false), [0, 0, 0]),
        (Goes::Fails(487, true), [0, 1, 0]),
        (Goes::Fails(487, false), [0, 0, 0]),
        (Goes::Fails(603, true), [0, 1, 0]),
        (Goes::Fails(404, false), [0, 0, 0]),
        (Goes::Fails(503, false), [0, 0, 1]),
        (Goes::Fails(408, false), [0, 0, 1]),
        (Goes::Ours("pdd_timeout"), [0, 0, 1]),
    ] {
        let mut calls = Calls::new();
        calls.call("UK", &[("a", goes)]);
        let [first, answered, reached, broken, ..] = attempts(&of(&mut calls, "a"));
        assert_eq!((first, [answered, reached, broken]), (1, want), "{goes:?}");
    }
}

#[test]
fn r_37_what_we_ended_ourselves_says_nothing_of_the_carrier() {
    for cause in ["fraud_teardown", "block", "command", "node_restart"] {
        let mut calls = Calls::new();
        calls.call("UK", &[("a", Goes::Ours(cause))]);
        assert_eq!(of(&mut calls, "a"), Figures::default(), "{cause}");
    }
    let mut calls = Calls::new();
    calls.call("emergency", &[("a", Goes::Talks(60))]);
    calls.wait(600);
    calls.tick();
    assert!(apply(&mut Counter::new(0, 1), &calls.take()).is_empty(), "emergency calls count nowhere");
}

#[test]
fn r_37_later_attempts_and_redials_are_counted_apart() {
    let mut calls = Calls::new();
    calls.call("UK", &[("a", Goes::Fails(503, false)), ("b", Goes::Fails(404, false)), ("c", Goes::Talks(30))]);
    // The same pair: at once, a minute after the first, and from somebody else.
    calls.call_of("12025550100", "44207", "UK", &[("b", Goes::Fails(503, false))]);
    calls.wait(59);
    calls.call_of("12025550100", "44207", "UK", &[("b", Goes::Fails(503, false))]);
    calls.call_of("12025550199", "44207", "UK", &[("b", Goes::Talks(10))]);
    calls.wait(61);
    calls.call_of("12025550100", "44207", "UK", &[("b", Goes::Fails(486, false))]);
    calls.wait(600);
    calls.tick();
    let said = apply(&mut Counter::new(0, 1), &calls.take());
    //                                             first answ reach brok later answ redial
    assert_eq!(attempts(&counted(&said, "UK", "a")), [1, 0, 0, 1, 0, 0, 0]);
    assert_eq!(attempts(&counted(&said, "UK", "b")), [3, 1, 1, 1, 1, 0, 1]);
    assert_eq!(attempts(&counted(&said, "UK", "c")), [0, 0, 0, 0, 1, 1, 0]);
}

#[test]
fn f_05_answers_too_soon_to_have_rung_and_short_calls_are_counted() {
    let mut calls = Calls::new();
    calls.call("UK", &[("a", Goes::FalseAnswer(4))]);
    calls.call("UK", &[("a", Goes::FalseAnswer(300))]);
    calls.call("UK", &[("a", Goes::Talks(6))]);
    let f = of(&mut calls, "a");
    let get = |figure| f.get(figure);
    assert_eq!((get(Figure::Answers), get(Figure::Early), get(Figure::Ended), get(Figure::Short), get(Figure::HungUp)), (3, 2, 3, 2, 1));
    assert_eq!((get(Figure::TalkMs), get(Figure::PddCount), get(Figure::PddMs), get(Figure::SetupMs)), (310_000, 3, 1_600, 5_600));
    assert_eq!((f.class(0), f.class(5)), ((2, 10_000), (1, 300_000)));
}

#[test]
fn r_37_counts_are_absolute_and_a_replay_gives_them_again() {
    let mut calls = Calls::new();
    for _ in 0..40 {
        calls.call("UK", &[("a", Goes::Talks(20))]);
        calls.call("US", &[("a", Goes::Fails(503, false)), ("b", Goes::Talks(3))]);
        calls.wait(7);
    }
    calls.wait(600);
    calls.tick();
    let events = calls.take();
    let whole = apply(&mut Counter::new(0, 4), &events);
    assert_eq!(counted(&whole, "UK", "a").get(Figure::First), 40);
    assert_eq!(counted(&whole, "US", "b").get(Figure::Later), 40);
    // Restarted at any place from its snapshot, and with every event told twice, it says the same.
    for cut in [1, 37, 200, events.len() - 1] {
        let mut before = Counter::new(0, 4);
        let mut said = apply(&mut before, &events[..cut]);
        let mut after = Counter::new(0, 4);
        after.restore(&before.snapshot()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(after.snapshot(), before.snapshot());
        said.extend(apply(&mut after, &events[cut..]));
        assert_eq!(said, whole, "cut at {cut}");
    }
    let twice: Vec<_> = events.iter().flat_map(|e| [e.clone(), e.clone()]).collect();
    assert_eq!(counted(&apply(&mut Counter::new(0, 4), &twice), "UK", "a"), counted(&whole, "UK", "a"));
}

#[test]
fn r_37_a_minute_that_goes_on_is_published_with_higher_revisions() {
    let mut calls = Calls::new();
    for _ in 0..5 {
        calls.call("UK", &[("a", Goes::Fails(486, false))]);
        calls.wait(6);
    }
    calls.tick();
    let mut counter = Counter::new(0, 1);
    let said = apply(&mut counter, &calls.take());
    let revisions: Vec<(u64, u64)> = said
        .iter()
        .filter_map(|e| match &e.body {
            Some(Body::QualityPublished(QualityPublished { counted: Some(c), .. })) => Some((c.revision, Figures::of(&c.figures).get(Figure::First))),
            _ => None,
        })
        .collect();
    assert!(revisions.len() > 2 && revisions.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{revisions:?}");
}

#[test]
fn a_broken_clock_is_poison_and_a_late_fact_counts_nowhere() {
    let mut calls = Calls::new();
    calls.call("UK", &[("a", Goes::Talks(10))]);
    let mut events = calls.take();
    let mut counter = Counter::new(0, 1);
    events[0].occurred_us = -1;
    assert!(counter.apply(0, &events[0], &mut Outputs::default()).is_err());
    // An hour passes between the attempt and what is told of it as of before.
    let mut calls = Calls::new();
    calls.call("UK", &[("a", Goes::Fails(486, false))]);
    let mut events = calls.take();
    calls.wait(3600);
    calls.tick();
    events.splice(2..2, calls.take());
    apply(&mut counter, &events);
    assert_eq!(counter.stats().too_late, 1);
}
