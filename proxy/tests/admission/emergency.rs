//! P-50, fact 13: no limiter stops an emergency call; S1-75: every limiter that stops another gives an event.

use std::collections::BTreeSet;

use tollgate_proxy::admission::{Admission, Attempt, Called, NodeState, Policy, RefusalMeter, Slot, Verdict};
use tollgate_schemas::{
    refusal::Refusal,
    v1::{BlockPlaced, BlockScope},
};

use crate::fixture::{FRANCE, ITALY, LONDON, PREMIUM, SOMALIA, Sheet, at, attempt, call, lend, policy, wide};

/// A state in which an ordinary call is refused.
struct State {
    refusal: Refusal,
    policy: Policy,
    admission: Admission,
    /// The call that is refused.
    dialled: &'static str,
    a_user: Option<&'static str>,
    node: NodeState,
    /// Calls that are up.
    slots: Vec<Slot>,
}

fn state(refusal: Refusal, account: &str, trunk: &str, dialled: &'static str) -> State {
    State { refusal, policy: policy(account, trunk), admission: Admission::new(), dialled, a_user: Some("+442071838751"), node: NodeState::Open, slots: Vec::new() }
}

impl State {
    fn with_calls(mut self, calls: usize, dialled: &'static str) -> State {
        for _ in 0..calls {
            let admitted = call(&mut self.admission, &self.policy, dialled, at(0)).expect("the state's own calls pass");
            self.slots.push(admitted.slot);
        }
        self
    }

    fn node(self, node: NodeState) -> State {
        State { node, ..self }
    }

    fn lent(mut self, ceiling_e8: i64) -> State {
        lend(&mut self.admission, &self.policy, at(0), |_| ceiling_e8);
        self
    }

    fn block(mut self, scope: BlockScope) -> State {
        let placed = BlockPlaced { block_id: vec![7; 16], scope: Some(scope), sip_code: 603, reason: "test".to_owned(), ..BlockPlaced::default() };
        self.admission.apply_block(&placed, at(0)).expect("placed");
        self
    }

    fn attempt(&self, dialled: &'static str, urn_sos: bool) -> Attempt<'static> {
        Attempt { node: self.node, a_user: self.a_user, urn_sos, ..attempt(&self.policy, dialled, at(0)) }
    }
}

/// Every refusal that admission can give, each in its state.
fn states() -> Vec<State> {
    let all = || wide("", "");
    vec![
        state(Refusal::Draining, "", &all(), LONDON).node(NodeState::Draining),
        state(Refusal::LogUnavailable, "", &all(), LONDON).node(NodeState::LogSlow),
        state(Refusal::LogUnavailable, "", &all(), LONDON).node(NodeState::LogFailing),
        state(Refusal::Overload, "", &all(), LONDON).node(NodeState::Overloaded),
        state(Refusal::InvalidNumber, "", &all(), "12"),
        state(Refusal::InvalidNumber, "", &wide("", r#""numbers": {"country_code": "44", "refuse_invalid": true}"#), "+999123456789"),
        state(Refusal::CpsLimit, "", &wide("", r#""cps": 1, "burst": 2"#), LONDON).with_calls(2, LONDON),
        state(Refusal::Blocked, "", &all(), LONDON).block(BlockScope { account: "acme".to_owned(), ..BlockScope::default() }),
        state(Refusal::Blocked, "", &all(), LONDON).block(BlockScope { trunk: "t1".to_owned(), ..BlockScope::default() }),
        state(Refusal::Blocked, "", &all(), LONDON).block(BlockScope { ip: "192.0.2.0/24".to_owned(), ..BlockScope::default() }),
        State { a_user: None, ..state(Refusal::InvalidCli, "", &wide("", r#""require_cli": true"#), LONDON) },
        state(Refusal::InternationalOff, "", &wide(r#""international": false"#, ""), SOMALIA),
        state(Refusal::PremiumOff, "", &wide(r#""premium": false"#, ""), PREMIUM),
        state(Refusal::HighRiskOff, "", &wide(r#""high_risk": false"#, ""), SOMALIA),
        state(Refusal::UnknownDestination, "", &all(), "+999123456789"),
        state(Refusal::ListedNumber, "", &all(), "+442079461234"),
        state(Refusal::DestinationDenied, "", &wide(r#""deny": ["4420", "112", "911", "999"]"#, ""), LONDON),
        state(Refusal::NoSellPrice, "", &all(), "+351211234567"),
        state(Refusal::RateBlocked, "", &all(), ITALY),
        state(Refusal::RateTooHigh, "", &wide(r#""max_rate": "0.25""#, ""), FRANCE),
        state(Refusal::SpendCap, "", &wide(r#""daily_spend": "0""#, ""), LONDON),
        state(Refusal::ChannelLimit, "", &wide("", r#""channels": 1"#), LONDON).with_calls(1, LONDON),
        state(Refusal::GroupLimit, "", &wide(r#""group_channels": 2"#, ""), LONDON).with_calls(2, LONDON),
        state(Refusal::HotSpotLimit, "", &wide(r#""hot_spot_channels": 1"#, ""), SOMALIA).with_calls(1, SOMALIA),
        state(Refusal::HotSpotLimit, "", &wide(r#""hot_spot_calls_12h": 0"#, ""), SOMALIA),
        state(Refusal::Credit, r#""credit_limit": "0""#, &all(), LONDON).lent(0),
        state(Refusal::Credit, r#""billing": "prepaid""#, &all(), LONDON).lent(0),
        state(Refusal::LogUnavailable, r#""billing": "prepaid""#, &all(), LONDON),
    ]
}

fn name(refusal: Refusal) -> String {
    format!("{refusal:?}")
}

#[test]
fn p_50_an_emergency_call_passes_every_limiter() {
    for mut state in states() {
        let refused = state.admission.admit(&state.policy, &Sheet, &state.attempt(state.dialled, false)).expect_err(&name(state.refusal));
        assert_eq!(refused.refusal, state.refusal);
        let before = state.admission.gauges();
        for (dialled, urn) in [("112", false), ("999", false), ("9-1-1", false), ("", true), (state.dialled, true)] {
            let admitted = state.admission.admit(&state.policy, &Sheet, &state.attempt(dialled, urn));
            let admitted = admitted.unwrap_or_else(|r| panic!("{dialled:?} was refused as {:?} where others are as {:?}", r.refusal, state.refusal));
            assert!(admitted.facts.emergency && admitted.facts.service_type == "emergency" && !admitted.facts.international);
            assert!(matches!(&admitted.called, Called::Emergency(s) if s == if urn { "sos" } else if dialled == "9-1-1" { "911" } else { dialled }));
            assert_eq!((admitted.sell.is_none(), admitted.hold_e8), (true, 0));
            // Nor does a carrier's limit, or a block asked again later.
            let c1 = state.policy.carrier_named("c1").expect("c1");
            let carriers: Vec<_> = (0..5).map(|_| state.admission.reserve_carrier(&state.policy, c1, true, at(0)).expect("emergency")).collect();
            let view = tollgate_proxy::admission::CallView::of(&admitted.facts, "", "112", Some([192, 0, 2, 7].into()));
            assert!(state.admission.blocked(&view, at(0)).is_none());
            carriers.into_iter().for_each(|slot| state.admission.release_carrier(slot));
            assert_eq!(state.admission.release(admitted.slot, at(60_000), Some(60_000)), 0, "an emergency call is not charged");
            assert_eq!(state.admission.gauges(), before, "{:?}: its release leaves the counters as they were", state.refusal);
        }
        // Ordinary calls stand where they stood.
        let again = state.admission.admit(&state.policy, &Sheet, &state.attempt(state.dialled, false)).expect_err(&name(state.refusal));
        assert_eq!(again.refusal, state.refusal);
        assert_eq!(state.admission.gauges(), before, "{:?}: a refusal reserves nothing", state.refusal);
        for slot in state.slots {
            state.admission.release(slot, at(1), None);
        }
        let left = state.admission.gauges();
        assert!(left.calls == 0 && left.trunks.is_empty(), "{:?}: {left:?}", state.refusal);
    }
}

#[test]
fn s1_75_every_limiter_path_gives_an_event() {
    let mut tested = BTreeSet::new();
    let mut meter = RefusalMeter::new();
    for mut state in states() {
        let refused = state.admission.admit(&state.policy, &Sheet, &state.attempt(state.dialled, false)).expect_err(&name(state.refusal));
        let body = refused.body();
        let facts = body.facts.as_ref().expect("facts");
        assert_eq!((body.reason.as_str(), body.count), (state.refusal.name(), 1));
        assert!((400..700).contains(&body.sip_code) && body.q850 > 0 && !body.detail.is_empty());
        assert_eq!((facts.account.as_str(), facts.root_account.as_str(), facts.trunk.as_str()), ("acme", "acme-root", "t1"));
        if state.refusal == Refusal::Blocked {
            assert_eq!((body.block_id.as_slice(), body.sip_code), (&[7; 16][..], 603), "the block's own status");
        }
        assert_eq!(meter.trunk(&refused, at(0)), Verdict::Write);
        tested.insert(name(state.refusal));
    }
    // The order of admission is one file; whatever refusal it can give is in the table above.
    let source = concat!(include_str!("../../src/admission/admit.rs"), include_str!("../../src/admission/credit.rs"));
    let given: BTreeSet<String> = source
        .split("Refusal::")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect())
        .collect();
    assert_eq!(given, tested);
    // Before it: what the message and the node's routes refuse.
    let others = [Refusal::UnknownSource, Refusal::BadRequest, Refusal::UriScheme, Refusal::BadExtension, Refusal::LoopDetected, Refusal::TooManyHops, Refusal::Merged, Refusal::NoRoute, Refusal::CarrierUnavailable];
    let missing: Vec<_> = Refusal::ALL.iter().filter(|r| !others.contains(r) && !tested.contains(&name(**r))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn p_50_only_the_whole_string_is_an_emergency() {
    let policy = policy("", r#""emergency": ["112", "91 1"]"#);
    let mut admission = Admission::new();
    for (dialled, yes) in [("112", true), ("%31%31%32", true), ("112;phone-context=example.com", true), ("1-1-2", true), ("911", true), ("999", false), ("1123", false), ("0112", false), ("+112", false), ("112*", false), ("9112071838750", false)] {
        let emergency = call(&mut admission, &policy, dialled, at(0)).is_ok_and(|admitted| {
            let emergency = admitted.facts.emergency;
            admission.release(admitted.slot, at(0), None);
            emergency
        });
        assert_eq!(emergency, yes, "{dialled}");
    }
}
