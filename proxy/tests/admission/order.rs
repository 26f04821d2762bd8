//! The order of precedence, what facts say, and the safe defaults.

use tollgate_proxy::admission::{Admission, Attempt, NodeState};
use tollgate_schemas::{
    refusal::Refusal,
    v1::{BlockPlaced, BlockScope},
};

use crate::fixture::{FRANCE, LONDON, PREMIUM, SOMALIA, Sheet, at, attempt, call, policy, wide, lend};

#[test]
fn s1_54_a_new_trunk_may_not_dial_what_fraud_dials() {
    let policy = policy("", "");
    let mut admission = Admission::new();
    for (dialled, refusal) in [(SOMALIA, Refusal::InternationalOff), ("00252612345678", Refusal::InternationalOff), (FRANCE, Refusal::InternationalOff), (PREMIUM, Refusal::PremiumOff)] {
        let refused = call(&mut admission, &policy, dialled, at(0)).expect_err(dialled);
        assert_eq!((refused.refusal, refused.sip_code), (refusal, 403));
        // Its own cps must not answer for the policy.
        admission = Admission::new();
    }
    assert!(call(&mut admission, &policy, LONDON, at(0)).is_ok());
}

#[test]
fn s1_54_international_on_still_keeps_high_risk_and_dear_destinations_off() {
    let policy = policy("", r#""cps": 100, "dial": {"international": true}"#);
    let mut admission = Admission::new();
    assert_eq!(call(&mut admission, &policy, SOMALIA, at(0)).expect_err("high risk").refusal, Refusal::HighRiskOff);
    assert_eq!(call(&mut admission, &policy, FRANCE, at(0)).expect_err("dear").refusal, Refusal::RateTooHigh);
    assert_eq!(call(&mut admission, &policy, "+99912345678", at(0)).expect_err("unknown").refusal, Refusal::UnknownDestination);
    assert!(call(&mut admission, &policy, "+12125550123", at(0)).is_ok());
}

#[test]
fn a_plan_without_a_country_has_no_domestic_numbers() {
    let policy = policy("", r#""numbers": {}"#);
    assert_eq!(call(&mut Admission::new(), &policy, "442071838750", at(0)).expect_err("international").refusal, Refusal::InternationalOff);
}

#[test]
fn f_32_deny_beats_allow_beats_the_switches() {
    let policy = policy("", r#""dial": {"allow": ["+2526", "9"], "deny": ["25261234"], "max_rate": null}, "cps": 100"#);
    let mut admission = Admission::new();
    assert!(call(&mut admission, &policy, "+252619999999", at(0)).is_ok(), "allowed past international and high risk");
    assert_eq!(call(&mut admission, &policy, SOMALIA, at(0)).expect_err("denied").refusal, Refusal::DestinationDenied);
    assert_eq!(call(&mut admission, &policy, "+252512345678", at(0)).expect_err("not allowed").refusal, Refusal::InternationalOff);
}

/// The first of two reasons is the one given.
#[test]
fn refusals_have_one_order_of_precedence() {
    let trunk = |dial: &str, more: &str| wide(dial, more);
    let block = BlockPlaced { block_id: vec![1; 16], scope: Some(BlockScope { account: "acme".to_owned(), ..BlockScope::default() }), ..BlockPlaced::default() };
    // Each mends the reason before it.
    let mut limits = vec![
        (Refusal::Draining, r#""international": false, "premium": false, "high_risk": false, "deny": ["252"], "max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::CpsLimit, r#""international": false, "premium": false, "high_risk": false, "deny": ["252"], "max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::Blocked, r#""international": false, "high_risk": false, "deny": ["252"], "max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::InvalidCli, r#""international": false, "high_risk": false, "deny": ["252"], "max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::InternationalOff, r#""international": false, "high_risk": false, "deny": ["252"], "max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::HighRiskOff, r#""high_risk": false, "deny": ["252"], "max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::DestinationDenied, r#""deny": ["252"], "max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::RateTooHigh, r#""max_rate": "0.1", "daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::SpendCap, r#""daily_spend": "0", "group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::ChannelLimit, r#""group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::GroupLimit, r#""group_channels": 1, "hot_spot_channels": 0"#),
        (Refusal::HotSpotLimit, r#""hot_spot_channels": 0"#),
        (Refusal::Credit, ""),
    ];
    limits.sort_by_key(|(refusal, _)| *refusal);
    for (refusal, dial) in limits {
        let more = match refusal {
            r if r <= Refusal::CpsLimit => r#""cps": 1, "burst": 1, "require_cli": true, "channels": 1"#,
            r if r <= Refusal::InvalidCli => r#""require_cli": true, "channels": 1"#,
            r if r <= Refusal::ChannelLimit => r#""channels": 1"#,
            _ => "",
        };
        let mut admission = Admission::new();
        // One call is up, made while everything was allowed.
        let open = policy("", &wide("", ""));
        let up = call(&mut admission, &open, SOMALIA, at(0)).expect("nothing stops it");
        let tight = policy(r#""credit_limit": "0""#, &trunk(dial, more));
        lend(&mut admission, &tight, at(0), |_| 0);
        if refusal <= Refusal::CpsLimit {
            let _ = call(&mut admission, &tight, LONDON, at(0));
        }
        if refusal <= Refusal::Blocked {
            admission.apply_block(&block, at(0)).expect("placed");
        }
        let node = if refusal == Refusal::Draining { NodeState::Draining } else { NodeState::Open };
        let asked = Attempt { node, a_user: None, ..attempt(&tight, SOMALIA, at(0)) };
        assert_eq!(admission.admit(&tight, &Sheet, &asked).expect_err("tight").refusal, refusal);
        admission.release(up.slot, at(0), None);
    }
}

#[test]
fn r_02_a_number_of_no_country_is_refused_unless_the_trunk_may_dial_it() {
    let mut admission = Admission::new();
    for (dial, want) in [
        ("", ("unknown_destination", 404, 3)),
        // It is let through, and nobody sells it.
        (r#""unknown": true"#, ("no_sell_price", 404, 3)),
        (r#""allow": ["999"]"#, ("no_sell_price", 404, 3)),
        (r#""unknown": true, "deny": ["999"]"#, ("destination_denied", 403, 21)),
    ] {
        let policy = policy("", &wide(dial, ""));
        let refused = call(&mut admission, &policy, "+99912345678", at(0)).expect_err("unknown");
        assert_eq!((refused.refusal.name(), refused.sip_code, refused.refusal.q850()), want, "{dial}");
    }
}

#[test]
fn r_02_a_listed_number_is_high_risk_and_named_and_the_trunk_says_whether_it_passes() {
    const TEST: &str = "+442079469999";
    const HOT: &str = "+442079461234";
    for (dial, dialled, want) in [
        // By default test numbers are marked, numbers known for abuse refused.
        ("", TEST, Ok("test:iprn")),
        ("", HOT, Err(("listed_number", "hot:abuse"))),
        (r#""test_numbers": "reject""#, TEST, Err(("listed_number", "test:iprn"))),
        (r#""hot_numbers": "mark""#, HOT, Ok("hot:abuse")),
        // Who may not dial high risk may not dial these.
        (r#""hot_numbers": "mark", "high_risk": false"#, HOT, Err(("high_risk_off", "hot:abuse"))),
        (r#""allow": ["4420"]"#, HOT, Ok("hot:abuse")),
        ("", LONDON, Ok("")),
    ] {
        let policy = policy("", &wide(dial, ""));
        let mut admission = Admission::new();
        let got = call(&mut admission, &policy, dialled, at(0));
        let got = got.as_ref().map(|a| a.facts.clone()).map_err(|r| (r.refusal.name(), r.facts.clone()));
        let facts = got.as_ref().unwrap_or_else(|(_, facts)| facts);
        let high = if facts.b_listed.is_empty() { "none" } else { "high" };
        assert_eq!(facts.b_risk_flag, high, "{dial} {dialled}");
        let seen = got.as_ref().map(|f| f.b_listed.as_str()).map_err(|(name, f)| (*name, f.b_listed.as_str()));
        assert_eq!(seen, want, "{dial} {dialled}");
    }
}

#[test]
fn facts_say_what_was_found_whatever_the_verdict() {
    let policy = policy(r#""test": true"#, &wide("", ""));
    let mut admission = Admission::new();
    let facts = call(&mut admission, &policy, "00252 612345678", at(0)).expect("admitted").facts;
    assert_eq!(
        [facts.b_country.as_str(), &facts.b_dest_group, &facts.b_number_type, &facts.b_risk_flag, &facts.norm_rules, &facts.a_validity, &facts.service_type],
        ["252", "Somalia", "unknown", "high", "separators,international_prefix", "valid", "test"]
    );
    assert!(facts.international && facts.b_valid && !facts.emergency);
    let refused = call(&mut admission, &policy, "0012", at(0)).expect_err("short");
    assert_eq!((refused.sip_code, refused.refusal.q850(), refused.detail.as_str()), (484, 28, "norm.too_short"), "S1-05");
    assert_eq!((refused.facts.b_risk_flag.as_str(), refused.facts.b_dest_group.as_str()), ("none", ""));
}
