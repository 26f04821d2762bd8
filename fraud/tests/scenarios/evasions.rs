//! What fraudsters do so as not to be counted.

use crate::trace::*;

#[test]
fn g1_midnight_restarts_no_counter() {
    // 23:50 + 600 s is midnight: three calls before it and three after are six at once.
    let mut world = World::new(Default::default());
    (0..6).for_each(|i| { world.call(570.0 + 12.0 * f64::from(i), PREMIUM); });
    assert!(world.alerts().contains(&"630 concurrent_calls critical Cuba".to_owned()), "{:?}", world.alerts());

    // Ten calls of the minute before it, ten of the minute after, twenty within sixty seconds.
    let mut world = World::new(policy(vec![rule("calls_per_minute", "all", 60, "", "20")]));
    (0..20).for_each(|i| world.whole(572.0 + 2.9 * f64::from(i), PREMIUM, 0.2));
    assert_eq!(world.alerts(), ["627 calls_per_minute critical Cuba"]);

    // $13 before and $12 after.
    let mut world = World::new(policy(vec![rule("spend", "all", 900, "", "25")]));
    (0..25).for_each(|i| world.whole(340.0 + 20.0 * f64::from(i), PREMIUM, 10.0));
    assert_eq!(world.alerts(), ["820 spend critical Cuba"]);
}

#[test]
fn g4_rotating_numbers_within_a_group_is_one_group() {
    let mut world = World::new(Default::default());
    for i in 0..6 {
        let number = format!("5355550{i:03}");
        world.call(f64::from(i) * 20.0, To { number: &number, ..PREMIUM });
    }
    assert_eq!(world.alerts(), ["40 concurrent_calls warning Cuba", "100 concurrent_calls critical Cuba"]);
}

#[test]
fn g3_spreading_over_groups_is_caught_by_the_accounts_total() {
    let mut world = World::new(Default::default());
    for i in 0..6 {
        let group = format!("Island {i}");
        world.call(f64::from(i) * 20.0, To { group: &group, ..PREMIUM });
    }
    assert_eq!(world.alerts(), ["40 concurrent_calls warning *", "100 concurrent_calls critical *"]);
    let scope = world.blocks()[0].scope.clone().expect("a scope");
    assert!(scope.high_risk && scope.account == "acme" && scope.dest_group.is_empty(), "{scope:?}");
}

#[test]
fn g3_one_group_after_another_is_caught_by_the_accounts_total() {
    let mut world = World::new(policy(vec![rule("spend", "high_risk", 900, "", "25")]));
    for (i, group) in ["Cuba", "Chad"].into_iter().enumerate() {
        (0..25).for_each(|n| world.whole(300.0 * i as f64 + 10.0 * f64::from(n), To { group, ..PREMIUM }, 5.0));
    }
    // The first group is blocked alone, its money does not condemn the account; the second one's does.
    assert_eq!(world.alerts(), ["240 spend critical Cuba", "540 spend critical Chad", "540 spend critical *"]);
}

#[test]
fn f_02_one_bad_group_does_not_block_the_accounts_other_calls() {
    let mut world = World::new(policy(vec![rule("spend", "high_risk", 900, "", "25")]));
    (0..25).for_each(|n| world.whole(10.0 * f64::from(n), PREMIUM, 5.0));
    // Honest calls elsewhere while the attack's money is still in the window.
    (0..10).for_each(|n| world.whole(300.0 + 10.0 * f64::from(n), To { group: "Jamaica", ..PREMIUM }, 5.0));
    assert_eq!(world.alerts(), ["240 spend critical Cuba"]);
}

#[test]
fn f_01_a_slow_ramp_is_caught_by_its_money() {
    // Never three at once, never five a minute.
    let mut world = World::new(Default::default());
    for at_s in [0.0, 400.0] {
        let call = world.call(at_s, PREMIUM);
        world.answer(at_s + 5.0, call);
    }
    world.until(1_500.0);
    let alerts = world.alerts();
    assert_eq!(alerts[0], "246 spend warning Cuba");
    let critical = alerts.iter().find(|a| a.contains("spend critical")).expect("found");
    // The fifteenth minute of the first call still in the window and the tenth of the second: its cost is the threshold.
    assert_eq!(critical, "946 spend critical Cuba");
}

#[test]
fn g2_a_running_four_hour_call_is_caught_while_it_is_up() {
    let mut world = World::new(Default::default());
    let call = world.call(0.0, To { rate: "0.001", ..PREMIUM });
    world.answer(0.0, call);
    world.until(4.0 * 3600.0);
    assert_eq!(&world.alerts()[..2], ["1800 call_duration warning Cuba", "3600 call_duration critical Cuba"]);
    assert!(world.blocks()[0].teardown);
    // Whoever cannot tear down is told again when the block has expired, not before.
    assert_eq!(world.blocks().len(), 4, "at 1, 2, 3 and 4 h");
}

#[test]
fn g6_refused_attempts_count_nowhere() {
    let mut world = World::new(Default::default());
    (0..500).for_each(|i| world.refused(f64::from(i) * 0.1, PREMIUM));
    assert_eq!(world.alerts(), [""; 0]);
    assert_eq!(world.guard.stats().refused, 500);
    // And leave no trace: two more calls are two.
    (0..2).for_each(|i| { world.call(51.0 + f64::from(i), PREMIUM); });
    assert_eq!(world.alerts(), [""; 0]);
}

#[test]
fn s1_09_emergency_calls_are_never_counted_or_judged() {
    let mut world = World::new(policy(vec![rule("concurrent_calls", "all", 60, "", "1"), rule("calls_per_minute", "all", 60, "", "1"), rule("spend", "all", 60, "", "0.01"), rule("call_duration", "all", 60, "", "1")]));
    let calls: Vec<_> = (0..50).map(|i| world.call(f64::from(i) * 0.1, To { emergency: true, ..PREMIUM })).collect();
    calls.iter().for_each(|call| world.answer(6.0, *call));
    world.until(7_200.0);
    calls.iter().for_each(|call| world.end(7_200.0, *call, 7_194.0));
    assert_eq!(world.said.len(), 0);
    assert_eq!(world.guard.stats().exempt, 50);
}
