//! The same events, the same verdicts (F-38), wherever the stage was stopped and restored.

use proptest::prelude::*;
use tollgate_fraud::{Guard, Limits};
use tollgate_schemas::{
    control::FraudPolicy,
    event::Body,
    id::Id,
    log::Append,
    stage::{Outputs, Stage},
    v1::{BlockLifted, ControlApplied, Event},
};

use crate::trace::*;

#[derive(Debug, Clone)]
enum Step {
    Begin { account: u8, group: u8, kind: u8 },
    Answer { call: u8 },
    End { call: u8, duration_s: u16 },
    Tick,
    /// Lifts one of the blocks placed so far.
    Lift { which: u8 },
    Policy { which: u8 },
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let step = prop_oneof![
        6 => (0u8..3, 0u8..5, 0u8..4).prop_map(|(account, group, kind)| Step::Begin { account, group, kind }),
        5 => any::<u8>().prop_map(|call| Step::Answer { call }),
        3 => (any::<u8>(), 0u16..400).prop_map(|(call, duration_s)| Step::End { call, duration_s }),
        2 => Just(Step::Tick),
        1 => any::<u8>().prop_map(|which| Step::Lift { which }),
        1 => (0u8..3).prop_map(|which| Step::Policy { which }),
    ];
    prop::collection::vec((0u8..60, step), 1..200)
}

fn tight() -> FraudPolicy {
    FraudPolicy {
        block_s: 120,
        cool_down_s: 30,
        ..policy(vec![
            rule("concurrent_calls", "all", 60, "2", "4"),
            rule("calls_per_minute", "international", 60, "2", "5"),
            rule("spend", "high_risk", 120, "2", "6"),
            rule("spend", "all", 600, "", "20"),
            rule("call_duration", "all", 60, "60", "150"),
        ])
    }
}

fn guard() -> Guard {
    Guard::with_limits(3, tight(), Limits { keys: 6 }).expect("a right policy")
}

/// Runs the steps; `stops` says after which of them the state goes through a snapshot.
fn run(steps: &[(u8, Step)], stops: impl Fn(usize) -> bool) -> (Vec<Append>, Vec<u8>) {
    let mut stage = guard();
    let mut out = Outputs::default();
    let mut at_s = 0.0;
    for (i, (gap, step)) in steps.iter().enumerate() {
        at_s += f64::from(*gap) / 4.0;
        // Three nodes, of which the third is often silent for long.
        let id = |i: usize| u128::from(steps[i].0 % 7).min(2) % 3 << 80 | (1_000 + i as u128);
        let id = |i: usize| if id(i) >> 80 == 2 && i % 40 > 8 { id(i) & (1 << 80) - 1 } else { id(i) };
        let n = id(i);
        // Calls are named by the step that began them, so some names are of nothing.
        let call = |call: u8| Id(id(usize::from(call) % (i + 1)));
        match step {
            Step::Begin { account, group, kind } => {
                let (account, group) = (format!("account{account}"), format!("group{group}"));
                let to = To { account: &account, group: &group, high_risk: kind & 1 != 0, international: kind & 2 != 0, ..PREMIUM };
                let begun = attempted(n, at_s, to);
                // The third account buys by the clock.
                apply(&mut stage, if account == "account2" { under_tariff(begun) } else { begun }, &mut out);
            }
            Step::Answer { call: c } => {
                let body = tollgate_schemas::v1::CallAnswered { call_id: call(*c).to_vec(), ..Default::default() };
                apply(&mut stage, event(n, at_s, Body::CallAnswered(body)), &mut out);
            }
            Step::End { call: c, duration_s } => {
                let body = tollgate_schemas::v1::CallEnded { call_id: call(*c).to_vec(), duration_ms: u64::from(*duration_s) * 1000, ..Default::default() };
                apply(&mut stage, event(n, at_s, Body::CallEnded(body)), &mut out);
            }
            Step::Tick => apply(&mut stage, event(n, at_s, Body::Tick(tollgate_schemas::v1::Tick { at_us: time_us(at_s) })), &mut out),
            Step::Lift { which } => {
                let blocks: Vec<_> = out.appends.iter().filter_map(|a| match &a.event.body {
                    Some(Body::BlockPlaced(b)) => Some(b.block_id.clone()),
                    _ => None,
                }).collect();
                if let Some(block_id) = blocks.get(usize::from(*which) % blocks.len().max(1)) {
                    let body = BlockLifted { block_id: block_id.clone(), ..BlockLifted::default() };
                    stage.control(&event(n, at_s, Body::BlockLifted(body))).expect("sound");
                }
            }
            Step::Policy { which } => {
                let specs = [FraudPolicy::default(), tight(), policy(vec![rule("spend", "all", 60, "1", "3"), rule("call_duration", "high_risk", 60, "30", "")])];
                let spec_json = serde_json::to_string(&specs[usize::from(*which)]).expect("json");
                let body = ControlApplied { kind: "fraud_policy".to_owned(), name: "default".to_owned(), spec_json, ..ControlApplied::default() };
                stage.control(&event(n, at_s, Body::ControlApplied(body))).expect("sound");
            }
        }
        if stops(i) {
            let state = stage.snapshot();
            stage = guard();
            stage.restore(&state).expect("its own snapshot");
            assert_eq!(stage.snapshot(), state, "restoring loses nothing");
        }
    }
    (out.appends, stage.snapshot())
}

fn apply(stage: &mut Guard, event: Event, out: &mut Outputs) {
    stage.apply(0, &event, out).expect("a sound event");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn f_38_snapshot_and_tail_equal_never_having_stopped(steps in steps(), every in 1usize..20) {
        let (said, state) = run(&steps, |_| false);
        let (again, _) = run(&steps, |_| false);
        let (stopped, stopped_state) = run(&steps, |i| i % every == 0);
        let events = |said: &[Append]| said.iter().map(|a| a.event.clone()).collect::<Vec<_>>();
        prop_assert_eq!(events(&said), events(&again));
        prop_assert_eq!(events(&said), events(&stopped));
        prop_assert_eq!(state, stopped_state);
        let ids: std::collections::BTreeSet<_> = said.iter().map(|a| a.event.id.clone()).collect();
        prop_assert_eq!(ids.len(), said.len(), "no id twice");
    }

    /// Nothing is forgotten and nothing counted twice: with a window over all calls, money fires if and only if the
    /// exact sum of all charges reaches the threshold.
    #[test]
    fn f_01_spend_is_the_exact_sum_of_the_charges(calls in prop::collection::vec((0u16..900, 1u16..500, any::<bool>()), 1..12), threshold in 1u32..60) {
        let mut world = World::new(policy(vec![rule("spend", "all", 86_400, "", &threshold.to_string())]));
        let mut points: Vec<(u16, usize, bool)> = Vec::new();
        for (i, (from, length, _)) in calls.iter().enumerate() {
            points.extend([(*from, i, true), (from + length, i, false)]);
        }
        points.sort();
        let mut ids = vec![Id::NIL; calls.len()];
        for (at, i, begins) in points {
            if begins {
                ids[i] = if calls[i].2 { world.call_under_tariff(f64::from(at), PREMIUM) } else { world.call(f64::from(at), PREMIUM) };
                world.answer(f64::from(at), ids[i]);
            } else {
                world.end(f64::from(at), ids[i], f64::from(calls[i].1));
            }
        }
        let charge = |(from, length, by_the_clock): &(u16, u16, bool)| {
            let terms = if *by_the_clock { tariff() } else { terms("1.00", 60, 60) };
            terms.charge(time_us(f64::from(*from)), u64::from(*length) * 1000).amount_e8
        };
        let owed: i64 = calls.iter().map(charge).sum();
        prop_assert_eq!(!world.blocks().is_empty(), owed >= i64::from(threshold) * 100_000_000, "{} owed", owed);
    }
}

#[test]
fn a_foreign_snapshot_is_refused() {
    assert!(guard().restore(b"\xff\xff\xff").is_err());
    assert!(guard().restore(&[]).is_ok(), "the empty state");
}
