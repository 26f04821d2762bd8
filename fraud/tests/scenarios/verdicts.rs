//! What a verdict says, when it is said again, and what a change of policy does.

use tollgate_schemas::{
    control::FraudPolicy,
    money::parse_scaled,
};

use crate::trace::*;

fn concurrent(warning: &str, critical: &str) -> FraudPolicy {
    policy(vec![rule("concurrent_calls", "all", 600, warning, critical)])
}

#[test]
fn f_36_a_critical_verdict_says_what_was_counted_and_what_it_cost() {
    let mut world = World::new(Default::default());
    for i in 0..6 {
        let call = world.call(10.0 + f64::from(i), PREMIUM);
        if i < 5 {
            world.answer(10.5 + f64::from(i), call);
        }
    }
    let alert = world.raised().into_iter().find(|a| a.severity == "critical").expect("critical");
    let block = world.blocks().remove(0);
    assert_eq!(block.actor, "fraud:concurrent_calls");
    assert_eq!(block.reason, "acme to Cuba (high-risk calls): 6 calls at once, critical from 6");
    assert_eq!((block.sip_code, block.teardown, block.expires_us), (403, true, time_us(15.0 + 3600.0)));
    let scope = block.scope.expect("a scope");
    assert_eq!((scope.account.as_str(), scope.dest_group.as_str(), scope.high_risk), ("acme", "Cuba", false));
    assert_eq!(alert.block_id, block.block_id);
    assert_eq!(alert.features, block.evidence);
    let features: Vec<_> = alert.features.iter().map(|f| (f.name.as_str(), f.value, f.threshold, f.unit.as_str(), f.counted_at.as_str())).collect();
    assert_eq!(
        features,
        [
            ("concurrent_calls", 6, 6, "calls", "invite"),
            ("calls_per_minute", 6, 20, "calls/min", "invite"),
            ("spend", 500_000_000, 2_500_000_000, "1e-8 USD", "answer"),
        ]
    );
    // Five calls owe their first minute.
    assert_eq!((alert.loss_e8, alert.currency.as_str()), (parse_scaled("5", 8).expect("money"), "USD"));
    assert_eq!(alert.first_us, time_us(10.0));
}

#[test]
fn the_loss_is_told_where_no_rule_watches_money() {
    let mut world = World::new(concurrent("", "2"));
    let call = world.call(0.0, PREMIUM);
    world.answer(0.0, call);
    world.until(130.0);
    world.call(130.0, PREMIUM);
    assert_eq!(world.raised()[0].loss_e8, parse_scaled("3", 8).expect("money"));
}

#[test]
fn the_block_is_as_wide_as_the_policy_says_and_never_the_whole_account() {
    let unnamed = To { group: "", ..PREMIUM };
    for (scope, watch, to, want) in [
        ("dest_group", "all", PREMIUM, "Cuba"),
        ("high_risk", "all", PREMIUM, "high_risk"),
        ("international", "all", PREMIUM, "international"),
        // A scope with an empty group would restrict nothing.
        ("dest_group", "all", unnamed, "high_risk"),
        ("dest_group", "international", unnamed, "international"),
        ("dest_group", "all", To { high_risk: false, ..unnamed }, "international"),
        ("dest_group", "all", To { group: "", ..DOMESTIC }, "international"),
    ] {
        let mut world = World::new(FraudPolicy { block_scope: scope.to_owned(), ..policy(vec![rule("concurrent_calls", watch, 60, "", "1")]) });
        world.call(0.0, to);
        let got = world.blocks()[0].scope.clone().expect("a scope");
        let text = if got.high_risk { "high_risk" } else if got.international { "international" } else { &got.dest_group };
        assert_eq!(text, want, "{scope} {watch} {}", to.group);
    }
}

#[test]
fn a_verdict_is_not_repeated_within_its_cool_down() {
    let mut world = World::new(FraudPolicy { cool_down_s: 60, ..concurrent("2", "") });
    (0..14).for_each(|i| { world.call(f64::from(i) * 10.0, PREMIUM); });
    assert_eq!(world.alerts(), ["10 concurrent_calls warning Cuba", "70 concurrent_calls warning Cuba", "130 concurrent_calls warning Cuba"]);
}

#[test]
fn f_31_a_block_that_expired_is_placed_anew_when_the_threshold_is_hit_again() {
    let mut world = World::new(FraudPolicy { block_s: 30, cool_down_s: 600, ..concurrent("", "2") });
    (0..9).for_each(|i| { world.call(f64::from(i) * 10.0, PREMIUM); });
    assert_eq!(world.alerts(), ["10 concurrent_calls critical Cuba", "40 concurrent_calls critical Cuba", "70 concurrent_calls critical Cuba"]);
    let ids: std::collections::BTreeSet<_> = world.blocks().into_iter().map(|b| b.block_id).collect();
    assert_eq!(ids.len(), 3, "each block has its own id");
}

#[test]
fn f_31_a_lifted_block_is_placed_anew_only_when_the_threshold_is_hit_again() {
    let mut world = World::new(concurrent("", "2"));
    (0..3).for_each(|i| { world.call(f64::from(i), PREMIUM); });
    let blocks = world.blocks();
    assert_eq!(blocks.len(), 1);
    world.lift(&blocks[0]);
    world.until(20.0);
    assert_eq!(world.blocks().len(), 1, "lifted, and nothing new happened");
    world.call(21.0, PREMIUM);
    assert_eq!(world.blocks().len(), 2);
    world.lift(&blocks[0]);
    world.call(22.0, PREMIUM);
    assert_eq!(world.blocks().len(), 2, "the old block lifted twice says nothing of the new one");
}

#[test]
fn allowed_groups_are_never_judged_not_even_in_the_total() {
    let mut world = World::new(FraudPolicy { allow_groups: vec!["Cuba".to_owned()], ..concurrent("", "3") });
    (0..20).for_each(|i| { world.call(f64::from(i), PREMIUM); });
    (0..2).for_each(|i| { world.call(20.0 + f64::from(i), To { group: "Chad", ..PREMIUM }); });
    assert_eq!(world.alerts(), [""; 0]);
}

#[test]
fn a_policy_change_judges_only_what_comes_after_it() {
    let strict = serde_json::to_string(&concurrent("", "3")).expect("json");
    let account = |policy: &str| format!(r#"{{"sell_deck":"retail","fraud_policy":"{policy}"}}"#);
    let mut world = World::new(concurrent("", "9"));
    (0..4).for_each(|i| { world.call(f64::from(i), PREMIUM); });
    world.control("fraud_policy", "strict", strict.clone());
    world.call(4.0, PREMIUM);
    assert_eq!(world.alerts(), [""; 0], "nobody has the policy");
    world.control("account", "acme", account("strict"));
    assert_eq!(world.alerts(), [""; 0], "control alone judges nothing");
    world.call(5.0, PREMIUM);
    assert_eq!(world.alerts(), ["5 concurrent_calls critical Cuba"]);
    // Removed: back to the default, and a policy named `default` goes before the built-in one.
    world.control("fraud_policy", "strict", String::new());
    world.call(6.0, To { account: "other", ..PREMIUM });
    world.control("fraud_policy", "default", strict);
    (0..2).for_each(|i| { world.call(7.0 + f64::from(i), To { account: "other", ..PREMIUM }); });
    assert_eq!(world.alerts()[1..], ["8 concurrent_calls critical Cuba"]);
}

#[test]
fn g2_a_new_policy_looks_at_the_calls_that_are_up() {
    let mut world = World::new(concurrent("", "9"));
    let call = world.call(0.0, PREMIUM);
    world.answer(0.0, call);
    world.until(500.0);
    world.control("fraud_policy", "default", serde_json::to_string(&policy(vec![rule("call_duration", "all", 60, "", "400"), rule("spend", "all", 900, "", "9")])).expect("json"));
    world.until(501.0);
    assert_eq!(world.alerts(), ["501 spend critical Cuba", "501 call_duration critical Cuba"]);
}

#[test]
fn a_bad_document_changes_nothing() {
    use tollgate_schemas::{event::Body, stage::Stage, v1::ControlApplied};
    let mut world = World::new(concurrent("", "2"));
    for spec_json in ["{", r#"{"rules":[{"feature":"spend","critical":"1e9"}]}"#, r#"{"rulez":[]}"#] {
        let body = ControlApplied { kind: "fraud_policy".to_owned(), name: "default".to_owned(), spec_json: spec_json.to_owned(), ..ControlApplied::default() };
        assert!(world.guard.control(&event(0, 0.0, Body::ControlApplied(body))).is_err(), "{spec_json}");
    }
    (0..2).for_each(|i| { world.call(f64::from(i), PREMIUM); });
    assert_eq!(world.alerts().len(), 1);
}
