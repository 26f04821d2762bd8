//! For each feature: the least trace that fires, the one just below that does not, and what looks alike and is not.

use tollgate_schemas::control::FraudPolicy;

use crate::trace::*;

struct Case {
    name: &'static str,
    run: fn(&mut World),
    alerts: &'static [&'static str],
}

fn check(cases: &[Case]) {
    for case in cases {
        // One verdict a trace and severity: the cool-down is another test's.
        let mut world = World::new(FraudPolicy { cool_down_s: 86_400, ..FraudPolicy::default() });
        (case.run)(&mut world);
        assert_eq!(world.alerts(), case.alerts, "{}", case.name);
        let criticals = case.alerts.iter().filter(|a| a.contains("critical")).count();
        assert_eq!(world.blocks().len(), criticals, "{}: a block for each critical verdict", case.name);
    }
}

fn at_once(world: &mut World, calls: u32, to: To<'_>) {
    for i in 0..calls {
        // Twenty seconds apart: never five within a minute.
        world.call(f64::from(i) * 20.0, to);
    }
}

fn in_a_minute(world: &mut World, calls: u32, gap_s: f64, to: To<'_>) {
    for i in 0..calls {
        let at_s = f64::from(i) * gap_s;
        let call = world.call(at_s, to);
        world.end(at_s + 0.1, call, 0.0);
    }
}

#[test]
fn f_16_concurrent_calls() {
    check(&[
        Case { name: "(a) six at once", run: |w| at_once(w, 6, PREMIUM), alerts: &["40 concurrent_calls warning Cuba", "100 concurrent_calls critical Cuba"] },
        Case { name: "(b) five at once", run: |w| at_once(w, 5, PREMIUM), alerts: &["40 concurrent_calls warning Cuba"] },
        Case { name: "(b) two at once", run: |w| at_once(w, 2, PREMIUM), alerts: &[] },
        Case { name: "(c) domestic calls are not watched", run: |w| at_once(w, 40, DOMESTIC), alerts: &[] },
        Case { name: "(c) two at a time, one after another", run: |w| (0..20).for_each(|i| w.whole(f64::from(i) * 70.0, To { rate: "0.01", ..PREMIUM }, 60.0)), alerts: &[] },
    ]);
}

#[test]
fn f_01_calls_per_minute() {
    check(&[
        Case { name: "(a) twenty in a minute", run: |w| in_a_minute(w, 20, 2.5, PREMIUM), alerts: &["10 calls_per_minute warning Cuba", "47 calls_per_minute critical Cuba"] },
        Case { name: "(b) nineteen in a minute", run: |w| in_a_minute(w, 19, 2.5, PREMIUM), alerts: &["10 calls_per_minute warning Cuba"] },
        Case { name: "(b) four in every minute", run: |w| in_a_minute(w, 60, 15.1, PREMIUM), alerts: &[] },
        Case { name: "(c) a call centre at home", run: |w| in_a_minute(w, 600, 0.5, DOMESTIC), alerts: &[] },
    ]);
}

#[test]
fn f_01_spend() {
    check(&[
        // A call at $1/min by the minute owes a dollar at once, then one more as each minute begins.
        Case {
            name: "(a) $25 within 15 min by two calls",
            run: |w| {
                for at_s in [0.0, 1.0] {
                    let call = w.call(at_s, PREMIUM);
                    w.answer(at_s, call);
                }
                w.until(800.0);
            },
            alerts: &["121 spend warning Cuba", "721 spend critical Cuba"],
        },
        Case { name: "(b) $4 in all", run: |w| w.whole(0.0, PREMIUM, 239.0), alerts: &[] },
        Case {
            name: "(b) $24 within any 15 min: one call of 15 min and nine of a minute",
            run: |w| {
                let long = w.call(0.0, PREMIUM);
                w.answer(0.0, long);
                (1..10).for_each(|i| w.whole(f64::from(i) * 90.0, PREMIUM, 50.0));
                w.end(899.0, long, 899.0);
                w.until(3_000.0);
            },
            alerts: &["180 spend warning Cuba"],
        },
        Case { name: "(c) one cheap call all day", run: |w| w.whole(0.0, To { rate: "0.20", ..PREMIUM }, 1_700.0), alerts: &[] },
        Case {
            name: "(c) money at home",
            run: |w| {
                let call = w.call(0.0, To { rate: "9.00", ..DOMESTIC });
                w.answer(0.0, call);
                w.until(2_000.0);
            },
            alerts: &[],
        },
    ]);
}

#[test]
fn g2_call_duration_is_judged_while_the_call_is_up() {
    let to = To { rate: "0.01", ..PREMIUM };
    let up = |w: &mut World, until_s: f64, to: To<'_>| {
        let call = w.call(0.0, to);
        w.answer(10.0, call);
        w.until(until_s);
    };
    for (name, until_s, to, alerts) in [
        ("(a) an hour", 3_610.0, to, &["1810 call_duration warning Cuba", "3610 call_duration critical Cuba"][..]),
        ("(b) a second less", 3_609.0, to, &["1810 call_duration warning Cuba"][..]),
        ("(b) ringing is no call time", 1_809.0, to, &[][..]),
        ("(c) a long call at home", 20_000.0, DOMESTIC, &[][..]),
    ] {
        let mut world = World::new(Default::default());
        up(&mut world, until_s, to);
        assert_eq!(world.alerts(), alerts, "{name}");
    }
}

#[test]
fn g2_a_length_no_tick_saw_is_judged_at_the_end() {
    let mut world = World::new(policy(vec![rule("call_duration", "all", 600, "", "100")]));
    let call = world.call(0.0, DOMESTIC);
    world.answer(0.0, call);
    let mut ended = trace_end(call, 100.0);
    ended.occurred_us = time_us(0.1);
    world.feed(ended);
    assert_eq!(world.alerts(), ["0 call_duration critical US"]);
}

fn trace_end(call: tollgate_schemas::id::Id, duration_s: f64) -> tollgate_schemas::v1::Event {
    use tollgate_schemas::{event::Body, v1::CallEnded};
    event(9_999, 100.0, Body::CallEnded(CallEnded { call_id: call.to_vec(), duration_ms: (duration_s * 1e3) as u64, answered_attempt: 1, ..CallEnded::default() }))
}

#[test]
fn a_policys_own_prefixes_are_high_risk() {
    let own = FraudPolicy { high_risk_prefixes: vec!["+1900".to_owned()], ..Default::default() };
    for (number, alerts) in [("19005550001", 1), ("12125550001", 0)] {
        let mut world = World::new(own.clone());
        at_once(&mut world, 3, To { number, ..DOMESTIC });
        assert_eq!(world.alerts().len(), alerts, "{number}");
    }
}

#[test]
fn watch_international_leaves_domestic_calls_alone() {
    for (to, alerts) in [(To { high_risk: false, ..PREMIUM }, 1), (To { high_risk: true, ..DOMESTIC }, 0)] {
        let mut world = World::new(policy(vec![rule("concurrent_calls", "international", 60, "", "3")]));
        at_once(&mut world, 3, to);
        assert_eq!(world.alerts().len(), alerts, "{}", to.group);
    }
}
