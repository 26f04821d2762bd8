use proptest::prelude::*;
use tollgate_schemas::v1::CallFacts;

use super::*;

fn refused(trunk: &str, refusal: Refusal) -> Refused {
    let facts = CallFacts { trunk: trunk.to_owned(), root_account: format!("root-of-{trunk}"), ..CallFacts::default() };
    Refused::new(refusal, "why", facts)
}

fn at(ms: u64) -> Now {
    Now { utc_us: ms as i64 * 1_000, mono_ns: ms * 1_000_000 }
}

#[test]
fn s1_75_a_flood_is_a_hundred_events_and_one_that_counts() {
    let mut meter = RefusalMeter::new();
    let refusal = refused("t1", Refusal::CpsLimit);
    let written = (0..1_000).filter(|_| meter.trunk(&refusal, at(5_000)) == Verdict::Write).count();
    assert_eq!(written, 100);
    assert_eq!(meter.trunk(&refused("t1", Refusal::Credit), at(5_000)), Verdict::Write, "each reason has its own count");
    assert_eq!(meter.trunk(&refused("t2", Refusal::CpsLimit), at(5_000)), Verdict::Write, "and each trunk");
    assert!(meter.poll(at(5_999), false).is_empty());
    let due = meter.poll(at(6_000), false);
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].key.as_str(), due[0].body.count, due[0].body.first_us), ("root-of-t1", 900, 5_000_000));
    assert_eq!((due[0].body.reason.as_str(), due[0].body.sip_code), ("cps_limit", 503));
    assert_eq!(meter.trunk(&refusal, at(6_100)), Verdict::Write, "a new second writes again");
}

#[test]
fn s1_75_nothing_is_left_behind_at_a_stop() {
    let mut meter = RefusalMeter::new();
    let refusal = refused("t1", Refusal::Credit);
    for _ in 0..101 {
        meter.trunk(&refusal, at(5_000));
    }
    assert_eq!(meter.poll(at(5_000), true)[0].body.count, 1);
    assert!(meter.poll(at(60_000), true).is_empty());
    assert!(meter.trunks.is_empty(), "what has nothing to remember is forgotten");
}

#[test]
fn an_event_that_counts_refusals_of_several_blocks_names_none() {
    let mut meter = RefusalMeter::new();
    let mut refusal = refused("t1", Refusal::Blocked);
    for i in 0..102 {
        refusal.block = Some(Id(1 + u128::from(i == 101)));
        meter.trunk(&refusal, at(5_000));
    }
    let due = meter.poll(at(6_000), false);
    assert_eq!((due[0].body.count, due[0].body.block_id.len()), (2, 0));
}

#[test]
fn strangers_are_counted_by_network_and_bounded_together() {
    let mut meter = RefusalMeter::new();
    let refusal = refused("", Refusal::BadRequest);
    let mut written = 0u64;
    let total = 3_000u32;
    for i in 0..total {
        let source = SocketAddr::from(([10, (i >> 8) as u8, i as u8, 1], 5060));
        written += u64::from(meter.stranger(source, &refusal, at(5_000)) == Verdict::Write);
    }
    assert_eq!(written, u64::from(WRITTEN_PER_SECOND), "however many networks");
    assert!(meter.strangers.len() <= MAX_BUCKETS + Refusal::ALL.len());
    assert!(meter.poll(at(14_999), false).is_empty());
    let due = meter.poll(at(15_000), false);
    assert_eq!(due.iter().map(|d| d.body.count).sum::<u64>() + written, u64::from(total));
    assert!(due.iter().any(|d| d.key == "10.1.0.0/24") && due.iter().any(|d| d.key == "strangers"));
    let v6: SocketAddr = "[2001:db8:7:8::1]:5060".parse().expect("an address");
    assert_eq!(SourceBucket::of(v6).to_string(), "2001:db8:7::/48");
}

proptest! {
    #[test]
    fn s1_75_offered_is_written_plus_counted(offers in proptest::collection::vec((0usize..3, 0usize..4, 0u64..40, any::<bool>()), 0..3_000)) {
        let mut meter = RefusalMeter::new();
        let (mut now, mut seen) = (0, 0);
        let total = offers.len() as u64;
        for (trunk, reason, gap, poll) in offers {
            now += gap / 20;
            let refusal = refused(["a", "b", "c"][trunk], [Refusal::CpsLimit, Refusal::Credit, Refusal::Blocked, Refusal::NoRoute][reason]);
            seen += u64::from(meter.trunk(&refusal, at(now)) == Verdict::Write);
            if poll {
                seen += meter.poll(at(now), false).iter().map(|d| d.body.count).sum::<u64>();
            }
        }
        seen += meter.poll(at(now), true).iter().map(|d| d.body.count).sum::<u64>();
        prop_assert_eq!(seen, total);
    }
}
