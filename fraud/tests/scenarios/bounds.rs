//! What happens at the limits, and with events that come twice, late, or about nobody.

use tollgate_fraud::Limits;
use tollgate_schemas::{id::Id, stage::{Outputs, Stage}};

use crate::trace::*;

fn fours() -> tollgate_schemas::control::FraudPolicy {
    policy(vec![rule("concurrent_calls", "all", 60, "", "4")])
}

#[test]
fn idle_keys_go_first_and_the_longest_unused_before_others() {
    let mut world = World::with_limits(policy(vec![rule("calls_per_minute", "all", 60, "", "3")]), Limits { keys: 2 });
    let to = |group| To { group, rate: "0.01", ..DOMESTIC };
    world.whole(0.0, to("A"), 0.1);
    world.whole(1.0, to("B"), 0.1);
    world.whole(2.0, to("A"), 0.1);
    // B was used longest ago: its count is forgotten, A's is not.
    world.whole(3.0, to("C"), 0.1);
    assert_eq!((world.guard.stats().keys, world.guard.stats().keys_dropped), (2, 1));
    let total_only: Vec<_> = world.alerts();
    world.whole(4.0, to("A"), 0.1);
    assert_eq!(total_only, ["2 calls_per_minute critical *"]);
    assert_eq!(world.alerts()[1..], ["4 calls_per_minute critical A"]);
}

#[test]
fn at_the_cap_with_every_key_in_use_new_groups_count_in_the_total() {
    let mut world = World::with_limits(fours(), Limits { keys: 2 });
    let calls: Vec<_> = ["A", "B", "C", "D"].into_iter().map(|group| world.call(0.0, To { group, ..PREMIUM })).collect();
    assert_eq!(world.alerts(), ["0 concurrent_calls critical *"]);
    assert_eq!((world.guard.stats().keys, world.guard.stats().keys_over_cap), (2, 2));
    calls.into_iter().for_each(|call| world.end(1.0, call, 0.0));
    assert_eq!(world.guard.stats().live_calls, 0);
    world.call(2.0, To { group: "C", ..PREMIUM });
    assert_eq!(world.guard.stats().keys_over_cap, 2, "there is room again");
}

#[test]
fn an_event_that_comes_twice_counts_once() {
    let mut world = World::new(fours());
    for n in 1..=3 {
        (0..3).for_each(|_| world.feed(attempted(n, 1.0, PREMIUM)));
    }
    assert_eq!(world.alerts(), [""; 0]);
    (0..3).for_each(|_| world.end(2.0, Id(1), 0.0));
    world.feed(attempted(10, 3.0, PREMIUM));
    assert_eq!(world.alerts(), [""; 0], "one ended, one began: three are up");
    world.feed(attempted(11, 3.0, PREMIUM));
    assert_eq!(world.alerts(), ["3 concurrent_calls critical Cuba"]);
    let stats = world.guard.stats();
    assert_eq!((stats.repeated, stats.unknown), (6, 2));
}

#[test]
fn events_about_unknown_calls_do_no_harm() {
    let mut world = World::new(Default::default());
    world.answer(1.0, Id(77));
    world.end(2.0, Id(77), 3_000.0);
    world.end(2.0, Id::NIL, 3_000.0);
    assert_eq!((world.said.len(), world.guard.stats().unknown), (0, 3));
}

#[test]
fn a_call_without_a_payer_is_counted_for_nobody() {
    let mut world = World::new(fours());
    (0..9).for_each(|i| { world.call(f64::from(i), To { account: "", ..PREMIUM }); });
    assert_eq!((world.said.len(), world.guard.stats().without_account), (0, 9), "a block of no account would be one of all");
}

#[test]
fn a_call_nothing_is_heard_of_for_a_day_is_let_go() {
    let mut world = World::new(fours());
    (0..3).for_each(|_| { world.call(0.0, PREMIUM); });
    world.feed(event(500, 86_401.0, tollgate_schemas::event::Body::Tick(tollgate_schemas::v1::Tick { at_us: time_us(86_401.0) })));
    assert_eq!((world.guard.stats().lost, world.guard.stats().live_calls), (3, 0));
}

#[test]
fn a_broken_clock_is_quarantined_and_moves_no_time() {
    let mut world = World::new(fours());
    for occurred_us in [i64::MIN, -1, i64::MAX] {
        let mut event = attempted(1, 0.0, PREMIUM);
        event.occurred_us = occurred_us;
        assert!(world.guard.apply(0, &event, &mut Outputs::default()).is_err());
    }
    assert_eq!(world.guard.stats().live_calls, 0);
}

#[test]
fn attempts_that_arrive_an_hour_late_make_no_burst() {
    let mut world = World::new(policy(vec![rule("calls_per_minute", "all", 60, "", "5")]));
    world.until(7_200.0);
    (0..50).for_each(|n| world.feed(attempted(1_000_000 + n, 3_600.0 + n as f64 * 60.0 / 50.0, PREMIUM)));
    assert_eq!(world.alerts(), [""; 0]);
}
