//! What is counted: bursts, channels, groups, hot spots, money; and that all of it comes back.

use proptest::prelude::*;
use tollgate_proxy::admission::{Admission, CarrierFull, Gauges, Policy, Slot};
use tollgate_schemas::{refusal::Refusal, time::Now};

use crate::fixture::{LONDON, SOMALIA, Sheet, at, attempt, call, lend, policy, terms, wide};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

fn refusal(admission: &mut Admission, policy: &Policy, dialled: &'static str, now: Now) -> Option<Refusal> {
    match call(admission, policy, dialled, now) {
        Ok(admitted) => {
            admission.cancel(admitted.slot);
            None
        }
        Err(refused) => Some(refused.refusal),
    }
}

/// Calls admitted and kept up, out of so many.
fn burst(admission: &mut Admission, policy: &Policy, dialled: &'static str, calls: usize, now: Now) -> Vec<Slot> {
    (0..calls).filter_map(|_| call(admission, policy, dialled, now).ok()).map(|admitted| admitted.slot).collect()
}

#[test]
fn s1_17_of_thirty_at_once_exactly_twenty_pass() {
    let policy = policy("", &wide("", r#""cps": 10, "burst": 20"#));
    let mut admission = Admission::new();
    assert_eq!(burst(&mut admission, &policy, LONDON, 30, at(0)).len(), 20);
    let refused = call(&mut admission, &policy, LONDON, at(0)).expect_err("cps");
    assert_eq!((refused.refusal, refused.sip_code), (Refusal::CpsLimit, 503));
    assert!(!refused.refusal.retry_after(), "P-45");
    assert_eq!(burst(&mut admission, &policy, LONDON, 30, at(1_000)).len(), 10);
}

#[test]
fn f_16_two_hundred_invites_in_one_burst_do_not_outrun_the_fraud_stage() {
    let policy = policy("", &wide(r#""group_channels": 6"#, ""));
    let mut admission = Admission::new();
    let slots = burst(&mut admission, &policy, SOMALIA, 200, at(0));
    assert_eq!(slots.len(), 6);
    assert_eq!(refusal(&mut admission, &policy, SOMALIA, at(0)), Some(Refusal::GroupLimit));
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(0)), None, "other groups go on");
    for slot in slots {
        admission.release(slot, at(10), None);
    }
    assert_eq!(refusal(&mut admission, &policy, SOMALIA, at(20)), None);
}

#[test]
fn f_16_a_group_is_counted_over_all_trunks_of_the_account() {
    let policy = policy("", &wide(r#""group_channels": 3"#, ""));
    let mut admission = Admission::new();
    let t2 = policy.trunk_named("t2").expect("t2");
    for _ in 0..3 {
        let other = tollgate_proxy::admission::Attempt { trunk: t2, ..attempt(&policy, SOMALIA, at(0)) };
        let _kept = admission.admit(&policy, &Sheet, &other).expect("t2 is wide").slot;
    }
    assert_eq!(refusal(&mut admission, &policy, SOMALIA, at(0)), Some(Refusal::GroupLimit));
}

#[test]
fn s1_17_channels_come_back_on_every_way_out() {
    let policy = policy("", &wide("", r#""channels": 2"#));
    let mut admission = Admission::new();
    let mut slots = burst(&mut admission, &policy, LONDON, 5, at(0));
    assert_eq!(slots.len(), 2);
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(0)), Some(Refusal::ChannelLimit));
    admission.release(slots.remove(0), at(1), None);
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(1)), None);
    let mut last = slots.remove(0);
    admission.answered(&mut last, at(1), Some(&terms("UK", "44", "0.06")));
    assert_eq!(admission.release(last, at(60_001), Some(60_000)), 6_000_000);
    let left = admission.gauges();
    assert_eq!((left.calls, left.trunks[0].channels, left.trunks[0].spent_e8, left.accounts[0].owed_e8), (0, 0, 6_000_000, 6_000_000));
}

#[test]
fn s5_4_a_high_risk_group_gets_one_channel_and_one_call_in_twelve_hours() {
    let policy = policy("", &wide(r#""hot_spot_channels": 1, "hot_spot_calls_12h": 2"#, ""));
    let mut admission = Admission::new();
    let first = call(&mut admission, &policy, SOMALIA, at(0)).expect("the first").slot;
    assert_eq!(refusal(&mut admission, &policy, SOMALIA, at(1)), Some(Refusal::HotSpotLimit), "one channel");
    admission.release(first, at(MINUTE), None);
    // A call that was never sent is not counted.
    for _ in 0..5 {
        assert_eq!(refusal(&mut admission, &policy, SOMALIA, at(2 * MINUTE)), None);
    }
    let second = call(&mut admission, &policy, SOMALIA, at(3 * MINUTE)).expect("the second").slot;
    admission.release(second, at(4 * MINUTE), None);
    assert_eq!(refusal(&mut admission, &policy, SOMALIA, at(12 * HOUR - 1)), Some(Refusal::HotSpotLimit), "two calls in 12 h");
    assert_eq!(refusal(&mut admission, &policy, SOMALIA, at(12 * HOUR + MINUTE)), None);
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(5 * MINUTE)), None, "ordinary groups are not hot spots");
}

#[test]
fn f_17_the_days_spend_counts_ended_calls_and_those_that_are_up() {
    // 0.06 a minute; 0.20 a day.
    let policy = policy("", &wide(r#""daily_spend": "0.20""#, ""));
    let mut admission = Admission::new();
    let answer = terms("UK", "44", "0.06");
    let mut one = call(&mut admission, &policy, LONDON, at(0)).expect("0.06 held").slot;
    admission.answered(&mut one, at(0), Some(&answer));
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(80_000)), None, "0.08 accrued and 0.06 more");
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(3 * MINUTE)), Some(Refusal::SpendCap), "0.18 accrued and 0.06 more");
    admission.release(one, at(3 * MINUTE), Some(3 * MINUTE as u64));
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(4 * MINUTE)), Some(Refusal::SpendCap), "0.18 spent");
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(12 * HOUR - 1)), Some(Refusal::SpendCap));
    assert_eq!(refusal(&mut admission, &policy, LONDON, at(12 * HOUR)), None, "a new UTC day");
}

#[test]
fn r_43_carriers_are_reserved_and_given_back() {
    let policy = policy("", &wide("", ""));
    let mut admission = Admission::new();
    let c1 = policy.carrier_named("c1").expect("c1");
    let first = admission.reserve_carrier(&policy, c1, false, at(0)).expect("one of two");
    let second = admission.reserve_carrier(&policy, c1, false, at(0)).expect("two of two");
    assert_eq!(admission.reserve_carrier(&policy, c1, false, at(0)), Err(CarrierFull::Channels));
    admission.release_carrier(first);
    let third = admission.reserve_carrier(&policy, c1, false, at(0)).expect("the third call of the second");
    admission.release_carrier(third);
    assert_eq!(admission.reserve_carrier(&policy, c1, false, at(0)), Err(CarrierFull::Cps));
    admission.release_carrier(second);
    assert_eq!(admission.gauges(), Gauges::default());
    let resumed = admission.resume_carrier("c1");
    assert_eq!(admission.gauges().carriers[0].channels, 1);
    admission.release_carrier(resumed);
}

#[test]
fn counters_outlive_the_policy_they_were_made_under() {
    let narrow = |channels| policy("", &wide("", &format!(r#""channels": {channels}"#)));
    let mut admission = Admission::new();
    let slots = burst(&mut admission, &narrow(3), LONDON, 9, at(0));
    assert_eq!(slots.len(), 3);
    // Another policy, where indices mean other names.
    let mut documents = crate::fixture::documents("", &wide("", r#""channels": 3"#));
    let account = documents.accounts["acme"].clone();
    documents.accounts.insert("aaa".to_owned(), account);
    let mut trunk = documents.trunks["t1"].clone();
    trunk.sources = vec!["10.0.0.0/8".to_owned()];
    documents.trunks.insert("aaa".to_owned(), trunk);
    let other = Policy::compile(&documents, 2).expect("right");
    assert_eq!(refusal(&mut admission, &other, LONDON, at(0)), Some(Refusal::ChannelLimit));
    for slot in slots {
        admission.release(slot, at(0), None);
    }
    assert_eq!(refusal(&mut admission, &other, LONDON, at(0)), None);
    assert_eq!(admission.gauges(), Gauges::default());
}

#[derive(Debug, Clone)]
enum Op {
    Invite(usize),
    Answer(usize),
    End(usize),
    Cancel(usize),
    Wait(i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0usize..5).prop_map(Op::Invite),
        2 => (0usize..20).prop_map(Op::Answer),
        2 => (0usize..20).prop_map(Op::End),
        1 => (0usize..20).prop_map(Op::Cancel),
        1 => (0i64..200_000).prop_map(Op::Wait),
    ]
}

proptest! {
    /// Against the simplest model there is: whatever happens, no limit is passed, money adds up, and nothing leaks.
    #[test]
    fn nothing_leaks_and_no_limit_is_passed(ops in proptest::collection::vec(op(), 1..200)) {
        let policy = policy(r#""credit_limit": "1000""#, &wide(r#""daily_spend": "2", "group_channels": 4, "hot_spot_channels": 2"#, r#""channels": 6, "cps": 50, "burst": 50"#));
        let mut admission = Admission::new();
        lend(&mut admission, &policy, at(0), |d| d.credit.as_ref().map_or(0, |c| c.limit_e8));
        let mut up: Vec<(Slot, &str, bool, Option<i64>)> = Vec::new();
        let (mut ms, mut owed) = (0, 0);
        for op in ops {
            match op {
                Op::Invite(n) => {
                    let dialled = [LONDON, SOMALIA, "+12125550123", "112", "07911123456"][n];
                    if let Ok(admitted) = call(&mut admission, &policy, dialled, at(ms)) {
                        up.push((admitted.slot, dialled, admitted.facts.emergency, None));
                    }
                }
                Op::Answer(n) if n < up.len() && up[n].3.is_none() => {
                    admission.answered(&mut up[n].0, at(ms), Some(&terms("UK", "44", "0.06")));
                    admission.credit_answered(&up[n].0, Some(&terms("UK", "44", "0.06")), &[]);
                    up[n].3 = Some(ms);
                }
                Op::End(n) if n < up.len() => {
                    let (slot, _, emergency, answered) = up.swap_remove(n);
                    let lasted = answered.map(|from| (ms - from) as u64);
                    let charge = admission.release(slot, at(ms), lasted);
                    let want = lasted.filter(|_| !emergency).map_or(0, |lasted| terms("UK", "44", "0.06").charge(0, lasted).amount_e8);
                    prop_assert_eq!(charge, want);
                    owed += charge;
                }
                Op::Cancel(n) if n < up.len() && up[n].3.is_none() => admission.cancel(up.swap_remove(n).0),
                Op::Wait(more) => ms += more,
                _ => {}
            }
            let g = admission.gauges();
            let ordinary = up.iter().filter(|(_, _, emergency, _)| !emergency).count();
            prop_assert_eq!(g.calls, up.len());
            prop_assert_eq!(g.trunks.first().map_or(0, |t| t.channels as usize), ordinary);
            prop_assert!(ordinary <= 6);
            prop_assert_eq!(g.accounts.first().map_or(0, |a| a.owed_e8), owed);
            let credit = admission.credit_gauges(at(ms));
            prop_assert_eq!(credit[0].settled_e8, owed, "what calls came to is what they took");
            prop_assert!(credit[0].held_e8 > 0 || ordinary == 0);
            for (group, calls, hot, _) in g.accounts.iter().flat_map(|a| &a.groups) {
                prop_assert!(*calls <= 4 && *hot <= 2, "{}", group);
            }
        }
        for (slot, ..) in up {
            admission.release(slot, at(ms), None);
        }
        let left = admission.gauges();
        prop_assert_eq!(left.calls, 0);
        prop_assert_eq!(admission.credit_gauges(at(ms))[0].held_e8, 0);
        prop_assert!(left.trunks.iter().all(|t| (t.channels, t.exposure_e8) == (0, 0)));
        prop_assert!(left.accounts.iter().all(|a| a.exposure_e8 == 0 && a.groups.iter().all(|(_, calls, hot, _)| (*calls, *hot) == (0, 0))));
    }
}
