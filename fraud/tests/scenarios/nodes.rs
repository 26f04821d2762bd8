//! Several nodes in one partition: silent ones, clocks that differ, and what comes twice.

use tollgate_schemas::{
    event::Body,
    id::Id,
    stage::{Outputs, Stage},
    v1::{BlockLifted, CallAnswered, CallEnded, Event, Tick},
};

use crate::trace::*;

const A: u128 = 1;
const B: u128 = 2;

fn id_on(node: u128, seq: u128) -> u128 {
    node << 80 | seq
}

/// A tick of a node each second of its own clock, both ends included.
fn ticks(world: &mut World, node: u128, from_s: i64, to_s: i64) {
    for s in from_s..=to_s {
        let at_s = s as f64;
        world.feed(event(id_on(node, 1_000_000 + (s + 1_000) as u128), at_s, Body::Tick(Tick { at_us: time_us(at_s) })));
    }
}

fn call(world: &mut World, node: u128, seq: u128, at_s: f64, to: To<'_>) -> Id {
    world.feed(attempted(id_on(node, seq), at_s, to));
    Id(id_on(node, seq))
}

fn answer(world: &mut World, node: u128, seq: u128, at_s: f64, call: Id) {
    world.feed(event(id_on(node, seq), at_s, Body::CallAnswered(CallAnswered { call_id: call.to_vec(), attempt_no: 1, code: 200, ..CallAnswered::default() })));
}

fn end(world: &mut World, node: u128, seq: u128, at_s: f64, call: Id, duration_s: u64) {
    let body = CallEnded { call_id: call.to_vec(), duration_ms: duration_s * 1_000, answered_attempt: u32::from(duration_s > 0), ..CallEnded::default() };
    world.feed(event(id_on(node, seq), at_s, Body::CallEnded(body)));
}

fn at_once(critical: &str) -> World {
    World::new(policy(vec![rule("concurrent_calls", "all", 60, "", critical)]))
}

#[test]
fn f_16_calls_of_a_dead_node_do_not_count_as_up() {
    let mut world = at_once("4");
    (1..=3).for_each(|seq| { call(&mut world, B, seq, 0.0, PREMIUM); });
    ticks(&mut world, A, 0, 90);
    assert_eq!((world.guard.stats().live_calls, world.guard.stats().silent), (3, 0), "the tolerated outage");
    ticks(&mut world, A, 91, 92);
    assert_eq!((world.guard.stats().live_calls, world.guard.stats().silent), (0, 3));
    (1..=3).for_each(|seq| { call(&mut world, A, seq, 93.0, PREMIUM); });
    assert_eq!(world.alerts(), [""; 0], "three are up");
    call(&mut world, A, 4, 94.0, PREMIUM);
    assert_eq!(world.alerts(), ["94 concurrent_calls critical Cuba"]);
}

#[test]
fn f_16_calls_of_a_node_that_comes_back_count_again_and_end_once() {
    let mut world = at_once("4");
    let calls: Vec<Id> = (1..=3).map(|seq| call(&mut world, B, seq, 0.0, PREMIUM)).collect();
    ticks(&mut world, A, 0, 200);
    // The first fact back is of one call; its node is there with all of them.
    end(&mut world, B, 10, 150.0, calls[0], 0);
    assert_eq!((world.guard.stats().live_calls, world.guard.stats().silent), (2, 0));
    call(&mut world, A, 1, 201.0, PREMIUM);
    assert_eq!(world.alerts(), [""; 0], "two are back, one is new");
    call(&mut world, A, 2, 201.5, PREMIUM);
    assert_eq!(world.alerts().len(), 1);
    calls.iter().for_each(|c| end(&mut world, B, 11, 202.0, *c, 0));
    assert_eq!((world.guard.stats().live_calls, world.guard.stats().unknown), (2, 1));
}

#[test]
fn f_01_money_of_calls_that_were_away_is_counted_when_they_are_back() {
    let mut world = World::new(policy(vec![rule("spend", "all", 3_600, "", "5")]));
    let one = call(&mut world, B, 1, 0.0, PREMIUM);
    answer(&mut world, B, 2, 0.0, one);
    ticks(&mut world, A, 0, 240);
    assert_eq!(world.alerts(), [""; 0], "it owed two minutes when it was last counted");
    ticks(&mut world, B, 241, 242);
    assert_eq!(world.alerts(), ["241 spend critical Cuba"], "the fifth minute has begun");
}

#[test]
fn a_nodes_clock_that_differs_hides_no_calls_and_lengthens_none() {
    for (skew, first) in [(-30, A), (30, A), (-30, B), (30, B)] {
        let mut world = World::new(policy(vec![
            rule("calls_per_minute", "all", 60, "", "2"),
            rule("call_duration", "all", 60, "", "100"),
        ]));
        // B's clock differs. It has a call at 5 s, answered at once, A one 50 s later; each has a word every second.
        let mut said = Vec::new();
        for s in 0..140 {
            for node in [first, A + B - first] {
                let own_s = if node == B { s + skew } else { s };
                ticks(&mut world, node, own_s, own_s);
                if (node, s) == (B, 5) {
                    let made = call(&mut world, B, 1, own_s as f64, PREMIUM);
                    answer(&mut world, B, 2, own_s as f64, made);
                }
                if (node, s) == (A, 55) {
                    call(&mut world, A, 1, own_s as f64, PREMIUM);
                }
            }
            said.extend(world.alerts()[said.len()..].iter().map(|a| (s, a.split(' ').nth(1).expect("a rule").to_owned())).collect::<Vec<_>>());
        }
        assert_eq!(said[0], (55, "calls_per_minute".to_owned()), "{skew}: {said:?}");
        let calls_per_minute = said.iter().filter(|(_, rule)| rule == "calls_per_minute").count();
        let long: Vec<i64> = said.iter().filter(|(_, rule)| rule == "call_duration").map(|(s, _)| *s).collect();
        assert!(calls_per_minute <= 2 && long.len() == 1 && (104..=106).contains(&long[0]), "{skew}: {said:?}");
    }
}

#[test]
fn ticks_of_two_nodes_advance_no_window_twice() {
    let run = |twice: bool| {
        let mut world = World::new(policy(vec![rule("spend", "all", 120, "2", "30"), rule("calls_per_minute", "all", 60, "", "4")]));
        for s in 0..200 {
            ticks(&mut world, A, s, s);
            if twice {
                ticks(&mut world, B, s, s);
            }
            if s % 20 == 7 {
                let made = call(&mut world, A, 1 + s as u128, s as f64, PREMIUM);
                answer(&mut world, A, 1_000 + s as u128, s as f64, made);
            }
        }
        world.alerts()
    };
    assert_eq!(run(true), run(false));
    assert!(!run(true).is_empty());
}

#[test]
fn f_31_a_block_or_its_lift_that_two_nodes_copied_acts_once() {
    let mut world = at_once("2");
    for seq in 1..=2 {
        call(&mut world, A, seq, seq as f64, PREMIUM);
    }
    let placed = world.blocks()[0].clone();
    let copy = |world: &mut World, body: Body| {
        let event: Event = event(77, 3.0, body);
        (0..2).for_each(|_| world.guard.control(&event).expect("sound"));
    };
    copy(&mut world, Body::BlockPlaced(placed.clone()));
    call(&mut world, A, 3, 4.0, PREMIUM);
    assert_eq!(world.blocks().len(), 1, "it stands");
    copy(&mut world, Body::BlockLifted(BlockLifted { block_id: placed.block_id.clone(), ..BlockLifted::default() }));
    call(&mut world, A, 4, 5.0, PREMIUM);
    assert_eq!(world.blocks().len(), 2, "lifted, and hit again");
    // The other node's copy of the lift, late: it is of the first block.
    copy(&mut world, Body::BlockLifted(BlockLifted { block_id: placed.block_id, ..BlockLifted::default() }));
    call(&mut world, A, 5, 6.0, PREMIUM);
    assert_eq!(world.blocks().len(), 2, "the second stands");
}

#[test]
fn what_a_sweep_says_is_not_lost_with_a_poisoned_event() {
    let mut world = World::new(policy(vec![rule("call_duration", "all", 60, "", "60")]));
    let one = call(&mut world, A, 1, 0.0, PREMIUM);
    answer(&mut world, A, 2, 0.0, one);
    let mut broken = attempted(id_on(A, 3), 61.0, PREMIUM);
    if let Some(Body::CallAttempted(body)) = &mut broken.body {
        body.facts = None;
    }
    let mut out = Outputs::default();
    assert!(world.guard.apply(2, &broken, &mut out).is_err());
    assert!(out.appends.is_empty(), "or the runner would throw it away");
    ticks(&mut world, A, 62, 62);
    assert_eq!(world.alerts(), ["62 call_duration critical Cuba"]);
}

#[test]
fn f_38_calls_aside_survive_a_snapshot_also_when_their_key_is_gone() {
    let limits = tollgate_fraud::Limits { keys: 2 };
    let mut world = World::with_limits(policy(vec![rule("concurrent_calls", "all", 60, "", "9")]), limits);
    let to = |group| To { group, ..PREMIUM };
    let aside = call(&mut world, B, 1, 0.0, to("Cuba"));
    ticks(&mut world, A, 0, 100);
    // Cuba's key is idle now and gives way; another group takes its slot.
    (1..=3).for_each(|seq| { call(&mut world, A, seq, 101.0, to(["X", "Y", "Z"][seq as usize - 1])); });
    let state = world.guard.snapshot();
    let mut again = World::with_limits(policy(vec![rule("concurrent_calls", "all", 60, "", "9")]), limits);
    again.guard.restore(&state).expect("its own snapshot");
    assert_eq!(again.guard.snapshot(), state);
    for world in [&mut world, &mut again] {
        ticks(world, B, 102, 102);
        assert_eq!((world.guard.stats().live_calls, world.guard.stats().silent), (4, 0));
        end(world, B, 9, 103.0, aside, 60);
        assert_eq!(world.guard.stats().live_calls, 3);
    }
    assert_eq!(world.guard.snapshot(), again.guard.snapshot());
}
