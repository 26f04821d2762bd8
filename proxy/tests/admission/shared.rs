//! A node that shares its limits with others: what it asks for, and what it may use when.

use tollgate_proxy::admission::{Admission, CarrierFull, LeaseRules, Policy, Resumed, Slot};
use tollgate_schemas::{
    id::partition_of,
    refusal::Refusal,
    time::Now,
    v1::{LeaseAsked, LeaseDemand, LeaseGranted, LeaseShare},
};

use crate::fixture::{self, LONDON, Sheet, attempt, call, documents, policy, wide};

const NODE: &str = "00000000000a";
const RULES: LeaseRules = LeaseRules { partitions: 16, outage_ms: 120_000, idle_ms: 60_000 };
const HOLD_MS: i64 = 10_000;
/// After the first call of a scope a small share does not bind.
const WARM: i64 = 5_000;

/// Tests begin a minute into the clock, since what was before counts too.
fn at(ms: i64) -> Now {
    fixture::at(60_000 + ms)
}

fn node() -> Admission {
    let mut admission = Admission::new();
    admission.lease_mode(NODE, RULES);
    admission
}

fn share(scope: &str, name: &str, channels: u32, cps: u32) -> LeaseShare {
    LeaseShare { scope: scope.to_owned(), name: name.to_owned(), channels, cps, ceiling_e8: 0 }
}

fn grant(revision: u64, shares: Vec<LeaseShare>) -> LeaseGranted {
    LeaseGranted { node: NODE.to_owned(), shares, hold_ms: HOLD_MS as u64, keep_ms: 200_000, revision, ..LeaseGranted::default() }
}

/// The demands of one partition, and the newest grant applied.
fn asked(all: &[(u16, LeaseAsked)], key: &str) -> (Vec<LeaseDemand>, Option<String>) {
    let Some((_, asked)) = all.iter().find(|(partition, _)| *partition == partition_of(key, 16)) else { return (vec![], None) };
    assert_eq!(asked.node, NODE);
    (asked.demands.clone(), Some(asked.applied_revision.to_string()))
}

/// Calls that stay up, out of so many.
fn offer(admission: &mut Admission, policy: &Policy, calls: usize, ms: i64) -> Vec<Slot> {
    (0..calls).filter_map(|_| call(admission, policy, LONDON, at(ms)).ok()).map(|admitted| admitted.slot).collect()
}

/// A node with a call up, that has asked, and was new long enough ago.
fn warm(policy: &Policy) -> (Admission, Vec<Slot>) {
    let mut admission = node();
    let up = offer(&mut admission, policy, 1, -WARM);
    admission.lease_demands(policy, at(-WARM));
    (admission, up)
}

fn channels() -> Policy {
    policy("", &wide("", r#""channels": 80"#))
}

#[test]
fn alone_nothing_is_asked_and_nothing_is_granted() {
    let policy = channels();
    let mut admission = Admission::new();
    assert_eq!(offer(&mut admission, &policy, 100, 0).len(), 80);
    assert!(admission.lease_demands(&policy, at(0)).is_empty() && admission.lease_gauges(&policy, at(0)).is_empty());
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 0, 0)]), at(0));
    let refused = call(&mut admission, &policy, LONDON, at(0)).expect_err("full");
    assert_eq!((refused.refusal, refused.detail.as_str()), (Refusal::ChannelLimit, "80 calls are up, at most 80"));
}

#[test]
fn first_calls_need_no_grant_and_an_eighth_is_the_bound() {
    let policy = channels();
    let mut admission = node();
    let up = offer(&mut admission, &policy, 100, 0);
    assert_eq!(up.len(), 10);
    let refused = call(&mut admission, &policy, LONDON, at(0)).expect_err("an eighth is up");
    assert_eq!((refused.refusal, refused.detail.as_str()), (Refusal::ChannelLimit, "10 calls are up, this node's share is 10 of 80"));
    // A first grant of nothing is not the end of first calls: what is free comes with the next one.
    admission.lease_demands(&policy, at(0));
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 0, 100_000)]), at(100));
    admission.release(up.into_iter().next().expect("ten"), at(200), None);
    assert_eq!(offer(&mut admission, &policy, 5, WARM - 1).len(), 1);
    assert_eq!(offer(&mut admission, &policy, 5, WARM).len(), 0, "from now on it is the share that counts");
}

#[test]
fn a_share_is_what_may_be_used_and_the_newest_counts() {
    let policy = channels();
    let (mut admission, mut up) = warm(&policy);
    let mut try_more = |admission: &mut Admission, ms| {
        up.extend(offer(admission, &policy, 100, ms));
        up.len()
    };
    admission.apply_lease(&grant(5, vec![share("trunk", "t1", 30, 100_000)]), at(0));
    assert_eq!(try_more(&mut admission, 0), 30);
    admission.apply_lease(&grant(5, vec![share("trunk", "t1", 50, 100_000)]), at(0));
    admission.apply_lease(&grant(4, vec![share("trunk", "t1", 50, 100_000)]), at(0));
    admission.apply_lease(&LeaseGranted { node: "00000000000b".to_owned(), ..grant(6, vec![share("trunk", "t1", 50, 100_000)]) }, at(0));
    assert_eq!(try_more(&mut admission, 0), 30, "the same again, an older one, another's");
    let (_, applied) = asked(&admission.lease_demands(&policy, at(1_000)), "acme-root");
    assert_eq!(applied.as_deref(), Some("5"));
    admission.apply_lease(&grant(6, vec![share("trunk", "t1", 500, 100_000)]), at(0));
    assert_eq!(try_more(&mut admission, 0), 80, "never more than the limit this node knows");
    admission.apply_lease(&grant(7, vec![share("trunk", "t1", 20, 100_000)]), at(0));
    assert_eq!(admission.gauges().trunks[0].channels, 80, "no live call is ended");
    let gauge = &admission.lease_gauges(&policy, at(0))[0];
    assert_eq!((gauge.scope, gauge.name.as_str(), gauge.granted, gauge.channels), ("trunk", "t1", true, Some((20, 80))));
    assert_eq!(call(&mut admission, &policy, LONDON, at(0)).expect_err("80 of 20").detail, "80 calls are up, this node's share is 20 of 80");
}

#[test]
fn without_the_log_the_last_share_goes_on_for_two_minutes_and_then_an_eighth() {
    let policy = channels();
    let (mut admission, _up) = warm(&policy);
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 30, 100_000)]), at(0));
    assert_eq!(offer(&mut admission, &policy, 20, HOLD_MS + 119_999).len(), 20, "21 of 30");
    assert_eq!(offer(&mut admission, &policy, 20, HOLD_MS + 120_000).len(), 0, "21 of 10");
    assert_eq!(admission.gauges().trunks[0].channels, 21);
    admission.apply_lease(&grant(2, vec![share("trunk", "t1", 30, 100_000)]), at(HOLD_MS + 120_000));
    assert_eq!(offer(&mut admission, &policy, 20, HOLD_MS + 120_000).len(), 9);
}

#[test]
fn p_50_emergency_calls_ask_for_no_share() {
    let policy = channels();
    let (mut admission, _up) = warm(&policy);
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 0, 0), share("carrier", "c1", 0, 0)]), at(0));
    let refused = call(&mut admission, &policy, LONDON, at(0)).expect_err("no share");
    assert_eq!((refused.refusal, refused.detail.as_str()), (Refusal::CpsLimit, "this node's share is 0 of 100000 calls per second, burst 0 of 100000"));
    assert!(call(&mut admission, &policy, "112", at(0)).is_ok());
    let c1 = policy.carrier_named("c1").expect("c1");
    assert!((0..5).all(|_| admission.reserve_carrier(&policy, c1, true, at(0)).is_ok()));
}

#[test]
fn s1_17_a_share_of_the_rate_is_a_share_of_the_burst() {
    let policy = policy("", &wide("", r#""cps": 80, "burst": 160"#));
    let mut admission = node();
    assert_eq!(offer(&mut admission, &policy, 200, -WARM).len(), 20, "an eighth of the burst");
    admission.lease_demands(&policy, at(-WARM));
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 100_000, 40)]), at(-WARM));
    assert_eq!(offer(&mut admission, &policy, 200, 0).len(), 80, "half of it");
    assert_eq!(offer(&mut admission, &policy, 200, 1_000).len(), 40);
    assert_eq!(call(&mut admission, &policy, LONDON, at(1_000)).expect_err("spent").detail, "this node's share is 40 of 80 calls per second, burst 80 of 160");
    // More room, but no tokens on top of what the others had.
    admission.lease_demands(&policy, at(1_000));
    admission.apply_lease(&grant(2, vec![share("trunk", "t1", 100_000, 80)]), at(1_000));
    assert_eq!(offer(&mut admission, &policy, 200, 1_000).len(), 0);
    assert_eq!(offer(&mut admission, &policy, 200, 1_500).len(), 40);
}

#[test]
fn r_43_carriers_are_shared_alike() {
    let mut documents = documents("", &wide("", ""));
    let c1 = documents.carriers.get_mut("c1").expect("c1");
    (c1.channels, c1.cps) = (Some(80), Some(40));
    let policy = Policy::compile(&documents, 1).expect("right");
    let (c1, c2) = (policy.carrier_named("c1").expect("c1"), policy.carrier_named("c2").expect("c2"));
    let mut admission = node();
    let take = |admission: &mut Admission, ms| (0..100).map_while(|_| admission.reserve_carrier(&policy, c1, false, at(ms)).ok()).collect::<Vec<_>>();
    let first = take(&mut admission, -WARM);
    assert_eq!(first.len(), 5, "an eighth of 40 calls per second");
    assert!((0..100).all(|_| admission.reserve_carrier(&policy, c2, false, at(-WARM)).is_ok()), "no limit, no share");
    let all = admission.lease_demands(&policy, at(-WARM));
    let (demands, _) = asked(&all, "c1");
    assert_eq!(all.len(), 1, "a carrier without limits is not asked for");
    assert_eq!((demands[0].scope.as_str(), demands[0].name.as_str(), demands[0].channels_limit, demands[0].channels_used, demands[0].cps_limit, demands[0].cps_offered), ("carrier", "c1", 80, 5, 40, 6));
    admission.apply_lease(&grant(1, vec![share("carrier", "c1", 20, 40)]), at(-WARM));
    let more = take(&mut admission, 0);
    assert_eq!(more.len(), 15, "20 of 80 channels");
    assert_eq!(admission.reserve_carrier(&policy, c1, false, at(0)), Err(CarrierFull::Channels));
    first.into_iter().chain(more).for_each(|slot| admission.release_carrier(slot));
}

#[test]
fn what_is_wanted_lets_a_ramp_to_four_times_the_rate_pass() {
    let policy = policy("", &wide("", r#""channels": 8000, "cps": 1000, "burst": 1000"#));
    let mut admission = node();
    let demand = |admission: &mut Admission, ms| asked(&admission.lease_demands(&policy, at(ms)), "acme-root").0.remove(0);
    for second in 0..10 {
        offer(&mut admission, &policy, 20, second * 1_000);
    }
    let first = demand(&mut admission, 9_900);
    assert_eq!((first.channels_limit, first.cps_limit, first.channels_used, first.cps_offered), (8_000, 1_000, 200, 20));
    assert_eq!(first.channels_wanted, 200 + 500, "a sixteenth of the limit at least");
    offer(&mut admission, &policy, 100, 10_000);
    let second = demand(&mut admission, 10_100);
    assert_eq!((second.cps_offered, second.channels_wanted), (100, 300 + 100 * 4 * 4));
    let later = demand(&mut admission, 12_500);
    assert_eq!(later.cps_offered, 0, "nothing was offered in the last second");
    assert!((800..1_900).contains(&later.channels_wanted), "but not long ago: {}", later.channels_wanted);
}

#[test]
fn an_idle_scope_is_given_up_once_and_for_all_its_share() {
    let policy = channels();
    let (mut admission, mut up) = warm(&policy);
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 80, 100_000)]), at(0));
    let idle = 60_000 - WARM;
    assert_eq!(asked(&admission.lease_demands(&policy, at(idle + 60_000)), "acme-root").0.len(), 1, "a call is up");
    admission.apply_lease(&grant(2, vec![share("trunk", "t1", 80, 100_000)]), at(idle + 60_000));
    admission.release(up.remove(0), at(idle + 60_000), None);
    let (demands, applied) = asked(&admission.lease_demands(&policy, at(idle + 61_000)), "acme-root");
    assert_eq!((demands.len(), applied.as_deref()), (0, Some("2")), "left out");
    assert!(admission.lease_demands(&policy, at(idle + 62_000)).is_empty(), "nothing more to say");
    // What was granted meanwhile is not taken: it is free for others.
    admission.apply_lease(&grant(3, vec![share("trunk", "t1", 80, 100_000)]), at(idle + 62_000));
    assert_eq!(offer(&mut admission, &policy, 100, idle + 63_000).len(), 10, "an eighth, as at first");
}

#[test]
fn a_grant_is_whole_and_leaves_out_what_is_not_given() {
    let policy = channels();
    let mut admission = node();
    let t2 = policy.trunk_named("t2").expect("t2");
    for trunk in [crate::fixture::t1(&policy), t2] {
        let other = tollgate_proxy::admission::Attempt { trunk, ..attempt(&policy, LONDON, at(-WARM)) };
        let _kept = admission.admit(&policy, &Sheet, &other).expect("an eighth").slot;
    }
    assert_eq!(asked(&admission.lease_demands(&policy, at(-WARM)), "acme-root").0.len(), 2);
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 40, 100_000), share("trunk", "t2", 5_000, 5_000)]), at(0));
    admission.apply_lease(&grant(2, vec![share("trunk", "t2", 5_000, 5_000)]), at(0));
    let granted: Vec<_> = admission.lease_gauges(&policy, at(0)).into_iter().map(|g| (g.name, g.granted, g.channels.map(|c| c.0))).collect();
    assert_eq!(granted, [("t1".to_owned(), false, Some(10)), ("t2".to_owned(), true, Some(5_000))]);
}

#[test]
fn a_trunk_under_another_root_has_another_lessor_and_starts_again() {
    let policy = channels();
    let (mut admission, _up) = warm(&policy);
    admission.apply_lease(&grant(9, vec![share("trunk", "t1", 40, 100_000)]), at(0));
    let mut moved = documents("", &wide("", r#""channels": 80"#));
    moved.accounts.get_mut("acme").expect("acme").parent = None;
    let moved = Policy::compile(&moved, 2).expect("right");
    let all = admission.lease_demands(&moved, at(1_000));
    assert_eq!(asked(&all, "acme").0.len(), 1);
    assert_eq!(asked(&all, "acme-root"), (vec![], Some("9".to_owned())), "given up where it was");
    assert!(!admission.lease_gauges(&moved, at(1_000))[0].granted);
    admission.apply_lease(&grant(1, vec![share("trunk", "t1", 40, 100_000)]), at(1_000));
    assert!(admission.lease_gauges(&moved, at(1_000))[0].granted, "revisions count by partition");
}

#[test]
fn calls_that_were_up_before_are_asked_for_at_once() {
    let policy = channels();
    let mut before = Admission::new();
    let facts = call(&mut before, &policy, LONDON, at(0)).expect("admitted").facts;
    let mut admission = node();
    let resumed = Resumed { facts: &facts, hold_e8: 0, answered: None };
    let _kept = admission.resume(&policy, resumed, at(0));
    let _carrier = admission.resume_carrier("c1");
    let all = admission.lease_demands(&policy, at(0));
    assert_eq!((asked(&all, "acme-root").0[0].channels_used, asked(&all, "c1").0[0].channels_used), (1, 1));
    // Also when the node is told to share only after that.
    let mut late = Admission::new();
    let _kept = late.resume(&policy, resumed, at(0));
    late.lease_mode(NODE, RULES);
    assert_eq!(asked(&late.lease_demands(&policy, at(0)), "acme-root").0[0].channels_used, 1);
}
