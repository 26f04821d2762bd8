//! The first fold.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_fraud::{
    Partials,
    figures::{Figure, Figures, Kind},
    partials::{KEEP_US, MAX_ACCOUNTS, MAX_KEYS, OTHER},
};
use tollgate_schemas::{
    event::Body,
    stage::{Outputs, Stage},
    v1::{CallFacts, Event, PartialPublished},
};

use super::calls::*;

fn stage() -> Partials {
    Partials::new(3, PARTITIONS)
}

/// The newest revision of each share, without zeros.
fn newest(said: &[PartialPublished]) -> BTreeMap<(String, String, i64), Vec<(String, i64)>> {
    let mut revisions = BTreeMap::new();
    let mut newest = BTreeMap::new();
    for p in said {
        let key = (p.kind.clone(), p.key.clone(), (p.window_start_us - T0) / SECOND / 60);
        let last = revisions.insert(key.clone(), p.revision).unwrap_or(0);
        assert_eq!((p.revision, p.source_partition, p.window_s), (last + 1, 3, 60), "revisions count up: {key:?}");
        newest.insert(key, p.figures.iter().map(|f| (f.name.clone(), f.value)).collect());
    }
    newest
}

fn named(figures: &[(Figure, i64)]) -> Vec<(String, i64)> {
    figures.iter().map(|(f, n)| (f.name().to_owned(), *n)).collect()
}

#[test]
fn m_01_a_call_counts_at_its_carriers_its_range_and_its_address() {
    let mut node = Node::new(1);
    let call = node.attempted(1_000, CUBA);
    node.tried(1_010, call, 1, "north");
    node.attempt_ended(1_500, call, 1, 503, 0, 0);
    node.tried(1_510, call, 2, "south");
    node.ringing(3_510, call, 2);
    node.answered(5_000, call, 2);
    node.attempt_ended(10_000, call, 2, 200, 3_510, 5_000);
    node.ended(10_000, call, "answered", 2, 5_000);
    node.refused(20_000, Party { account: "shop", ..CUBA }, 7);
    let said = partials(&play(&mut stage(), &node.log(60_000)));
    use Figure::*;
    let own = named(&[(Attempts, 1), (Answered, 1), (Refused, 7), (Ended, 1), (Short, 1), (DurationMs, 5_000), (HighRisk, 8), (Accounts, 2)]);
    let key = |kind: &str, key: &str| (kind.to_owned(), key.to_owned(), 0);
    let want = BTreeMap::from([
        (key("b_range", "535555"), own.clone()),
        (key("source_ip", "192.0.2.1"), own),
        (key("carrier_destination", "north|Cuba"), named(&[(Attempts, 1), (Ended, 1), (Failed, 1)])),
        (
            key("carrier_destination", "south|Cuba"),
            named(&[(Attempts, 1), (Answered, 1), (Ended, 1), (Reached, 1), (Short, 1), (DurationMs, 5_000), (PddMs, 2_000), (PddCount, 1)]),
        ),
    ]);
    assert_eq!(newest(&said), want);
}

#[test]
fn m_03_m_08_what_nobody_answered_says_how_far_it_came() {
    let mut node = Node::new(1);
    for (i, (code, rang, disposition)) in [(486, false, "busy"), (480, true, "noanswer"), (480, false, "rejected"), (487, true, "cancelled"), (487, false, "cancelled"), (404, false, "rejected")].into_iter().enumerate() {
        let at = i as i64 * 8_000;
        let call = node.attempted(at, CUBA);
        node.tried(at, call, 1, "north");
        node.attempt_ended(at + 7_000, call, 1, code, if rang { at + 2_000 } else { 0 }, 0);
        node.ended(at + 7_000, call, disposition, 0, 0);
    }
    let said = partials(&play(&mut stage(), &node.log(60_000)));
    let of = |kind: &str| said.iter().find(|p| p.kind == kind).expect("published");
    let carrier = of("carrier_destination");
    assert_eq!([Figure::Failed, Figure::Reached, Figure::RingMs].map(|f| figure(carrier, f)), [6, 3, 10_000]);
    assert_eq!([Figure::Failed, Figure::ShortRing, Figure::RingMs].map(|f| figure(of("b_range"), f)), [6, 1, 10_000]);
}

#[test]
fn a_window_is_published_when_it_is_over_and_again_when_late_facts_change_it() {
    let mut stage = stage();
    let mut node = Node::new(1);
    node.whole(1_000, CUBA, "north", None);
    let out = play(&mut stage, &node.log(59_000));
    assert!(out.is_empty(), "it is not over");
    let mut later = Node::new(2);
    later.tick(60_000);
    assert_eq!(partials(&play(&mut stage, &later.events)).len(), 3);
    later.events.clear();
    (61..200).for_each(|s| later.tick(s * 1_000));
    assert!(play(&mut stage, &later.events).is_empty(), "nothing changed");
    // Another node's call of that minute reaches the log now.
    let mut late = Node::new(3);
    late.whole(30_000, CUBA, "north", None);
    late.tick(210_000);
    let said = partials(&play(&mut stage, &late.events));
    assert_eq!(said.iter().map(|p| (p.kind.as_str(), p.revision, figure(p, Figure::Attempts))).collect::<Vec<_>>(), [
        ("carrier_destination", 2, 2), ("b_range", 2, 2), ("source_ip", 2, 2),
    ]);
    // Later than that it counts nowhere.
    let mut never = Node::new(3);
    never.tick(1_000 + KEEP_US / 1_000);
    never.whole(31_000, CUBA, "north", None);
    never.tick(60_000 + KEEP_US / 1_000);
    assert!(play(&mut stage, &never.events).is_empty());
    assert_eq!(stage.stats().too_late, 13);
}

#[test]
fn keys_beyond_the_cap_count_together_and_lose_nothing() {
    let mut stage = stage();
    let mut node = Node::new(1);
    for i in 0..MAX_KEYS as i64 + 50 {
        let (number, ip) = (format!("49{:04}0000", 1_000 + i), format!("10.0.{}.{}:5060", i / 256, i % 256));
        node.whole(i, Party { number: &number, ip: &ip, ..CUBA }, "north", Some(1_000));
    }
    let said = partials(&play(&mut stage, &node.log(61_000)));
    for kind in ["b_range", "source_ip"] {
        let rows: Vec<_> = said.iter().filter(|p| p.kind == kind).collect();
        assert_eq!(rows.len(), MAX_KEYS + 1);
        let other = rows.iter().find(|p| p.key == OTHER).expect("the rest");
        assert_eq!([Figure::Attempts, Figure::Answered, Figure::Ended].map(|f| figure(other, f)), [50, 50, 50]);
        assert_eq!(rows.iter().map(|p| figure(p, Figure::Attempts)).sum::<i64>(), MAX_KEYS as i64 + 50);
    }
}

#[test]
fn accounts_are_told_apart_up_to_a_bound() {
    let mut node = Node::new(1);
    for i in 0..2 * MAX_ACCOUNTS as i64 + 20 {
        node.whole(i, Party { account: &format!("a{}", i / 2), ..CUBA }, "north", None);
    }
    let said = partials(&play(&mut stage(), &node.log(60_000)));
    let range = said.iter().find(|p| p.kind == "b_range").expect("published");
    assert_eq!((figure(range, Figure::Accounts), figure(range, Figure::Attempts)), (MAX_ACCOUNTS as i64, 2 * MAX_ACCOUNTS as i64 + 20));
}

#[test]
fn emergency_calls_count_nowhere() {
    let mut node = Node::new(1);
    node.whole(1_000, CUBA, "north", Some(1_000));
    node.refused(1_000, CUBA, 1);
    for event in &mut node.events {
        let facts: Option<&mut Option<CallFacts>> = match &mut event.body {
            Some(Body::CallAttempted(b)) => Some(&mut b.facts),
            Some(Body::CallRefused(b)) => Some(&mut b.facts),
            _ => None,
        };
        if let Some(Some(facts)) = facts {
            facts.emergency = true;
        }
    }
    assert!(play(&mut stage(), &node.log(120_000)).is_empty());
}

#[test]
fn calls_of_a_silent_node_are_not_remembered_for_ever() {
    let mut stage = stage();
    let mut dead = Node::new(1);
    let call = dead.attempted(1_000, CUBA);
    play(&mut stage, &dead.events);
    play(&mut stage, &Node::new(2).log(120_000));
    let mut back = Node::new(1);
    (0..5).for_each(|_| back.tick(0));
    back.events.clear();
    back.ended(121_000, call, "failed", 0, 0);
    back.tick(240_000);
    assert!(play(&mut stage, &back.events).is_empty());
}

#[test]
fn a_broken_time_is_poison_and_moves_none() {
    let mut stage = stage();
    for occurred_us in [-1, i64::MAX] {
        let mut node = Node::new(1);
        node.attempted(0, CUBA);
        node.events[0].occurred_us = occurred_us;
        assert!(stage.apply(0, &node.events[0], &mut Outputs::default()).is_err());
    }
    assert!(Partials::new(2, PARTITIONS).restore(&stage.snapshot()).is_err(), "of another partition");
}

/// Calls of two nodes as they happen, in the order of the log: each node's own, one node's clock differs.
fn any_traffic() -> impl Strategy<Value = Vec<Event>> {
    let call = (0..2usize, 0..400_000i64, 0..4u8, 0..3u8, 0..5u8, 1..120_000u64);
    (prop::collection::vec(call, 0..40), -20i64..20).prop_map(|(calls, skew_s)| {
        let mut nodes = [Node::new(1), Node::new(2)];
        for (which, at, number, account, kind, ms) in calls {
            let (number, account) = (format!("4420{number}8750000"), format!("a{account}"));
            let of = Party { number: &number, account: &account, ip: if ms % 2 == 0 { "10.1.1.1:5060" } else { "10.1.1.2:5061" }, group: "UK", risky: ms % 3 == 0 };
            let node = &mut nodes[which];
            match kind {
                0 => node.whole(at, of, "south", None),
                1 => drop(node.refused(at, of, ms % 5)),
                2 => {
                    let call = node.attempted(at, of);
                    node.tried(at, call, 1, "north");
                    node.ringing(at + 1_500, call, 1);
                    node.attempt_ended(at + ms as i64 % 9_000 + 1_500, call, 1, 487, at + 1_500, 0);
                    node.ended(at + ms as i64 % 9_000 + 1_500, call, "cancelled", 0, 0);
                }
                _ => node.whole(at, of, if kind == 3 { "north" } else { "south" }, Some(ms)),
            }
        }
        let mut log: Vec<(i64, Event)> = Vec::new();
        for (i, node) in nodes.into_iter().enumerate() {
            for mut event in node.log(600_000) {
                let at_us = event.occurred_us;
                event.occurred_us += if i == 1 { skew_s * SECOND } else { 0 };
                log.push((at_us, event));
            }
        }
        log.sort_by_key(|(at_us, e)| (*at_us, e.id()));
        log.into_iter().map(|(_, e)| e).collect()
    })
}

/// What should be counted, from all events at once with a plain map and no limits.
fn model(events: &[Event]) -> BTreeMap<(String, String, i64), Vec<(String, i64)>> {
    let mut sums: BTreeMap<(String, String, i64), Figures> = BTreeMap::new();
    let mut accounts: BTreeMap<(String, String, i64), std::collections::BTreeSet<String>> = BTreeMap::new();
    let of = |id: &[u8]| events.iter().find(|e| e.id == id).expect("its INVITE is there");
    let range = |e: &Event| ("b_range".to_owned(), e.personal.as_ref().map_or_else(String::new, |p| p.b_e164[..8].to_owned()));
    let ip = |e: &Event| ("source_ip".to_owned(), e.personal.as_ref().and_then(|p| p.peer_addr.split(':').next()).unwrap_or_default().to_owned());
    for event in events {
        let minute = (event.occurred_us - T0).div_euclid(60 * SECOND);
        let mut add = |(kind, key): (String, String), figure: Figure, n: i64| sums.entry((kind, key, minute)).or_default().add(figure, n);
        match &event.body {
            Some(Body::CallAttempted(b)) => {
                let facts = b.facts.as_ref().expect("facts");
                for key in [range(event), ip(event)] {
                    add(key.clone(), Figure::Attempts, 1);
                    add(key.clone(), Figure::HighRisk, i64::from(facts.b_risk_flag == "high"));
                    accounts.entry((key.0, key.1, minute)).or_default().insert(facts.account.clone());
                }
            }
            Some(Body::CallRefused(b)) => {
                let facts = b.facts.as_ref().expect("facts");
                let n = b.count.max(1) as i64;
                for key in [range(event), ip(event)] {
                    add(key.clone(), Figure::Refused, n);
                    add(key.clone(), Figure::HighRisk, if facts.b_risk_flag == "high" { n } else { 0 });
                    accounts.entry((key.0, key.1, minute)).or_default().insert(facts.account.clone());
                }
            }
            Some(Body::CallRouteTried(b)) => add(("carrier_destination".to_owned(), format!("{}|UK", b.carrier)), Figure::Attempts, 1),
            Some(Body::CallAnswered(b)) => {
                let carrier = carrier_of(events, &b.call_id);
                add(("carrier_destination".to_owned(), carrier.clone()), Figure::Answered, 1);
                add(("carrier_destination".to_owned(), carrier), Figure::Reached, 1);
                for key in [range(of(&b.call_id)), ip(of(&b.call_id))] {
                    add(key, Figure::Answered, 1);
                }
            }
            Some(Body::CallAttemptEnded(b)) => {
                let key = ("carrier_destination".to_owned(), carrier_of(events, &b.call_id));
                add(key.clone(), Figure::Ended, 1);
                match b.sip_code {
                    200 => {
                        add(key.clone(), Figure::DurationMs, b.duration_ms as i64);
                        add(key.clone(), Figure::Short, i64::from(b.duration_ms <= 6_000));
                    }
                    code => {
                        add(key.clone(), Figure::Failed, 1);
                        add(key.clone(), Figure::Reached, i64::from(code == 487));
                    }
                }
            }
            Some(Body::CallEnded(b)) => {
                for key in [range(of(&b.call_id)), ip(of(&b.call_id))] {
                    add(key.clone(), Figure::Ended, 1);
                    if b.answered_attempt == 0 {
                        add(key.clone(), Figure::Failed, 1);
                    } else {
                        add(key.clone(), Figure::DurationMs, b.duration_ms as i64);
                        add(key.clone(), Figure::Short, i64::from(b.duration_ms <= 6_000));
                    }
                }
            }
            _ => {}
        }
    }
    for (key, names) in accounts {
        sums.entry(key).or_default().add(Figure::Accounts, names.len() as i64);
    }
    sums.into_iter().map(|(key, f)| (key, timeless(f.published().into_iter().map(|f| (f.name, f.value)).collect()))).collect()
}

fn carrier_of(events: &[Event], call: &[u8]) -> String {
    let tried = events.iter().find_map(|e| match &e.body {
        Some(Body::CallRouteTried(b)) if b.call_id == call => Some(b.carrier.clone()),
        _ => None,
    });
    format!("{}|UK", tried.expect("a carrier"))
}

/// Without the sums of rings, which the tables of the tests above give.
fn timeless(figures: Vec<(String, i64)>) -> Vec<(String, i64)> {
    figures.into_iter().filter(|(name, _)| !matches!(name.as_str(), "pdd_ms" | "pdd_count" | "ring_ms" | "short_ring")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_published_is_what_a_plain_count_gives(traffic in any_traffic()) {
        let said = partials(&play(&mut stage(), &traffic));
        let newest: BTreeMap<_, _> = newest(&said).into_iter().map(|(k, f)| (k, timeless(f))).collect();
        prop_assert_eq!(newest, model(&traffic));
    }

    #[test]
    fn a_call_repeated_by_its_forwarder_counts_once(traffic in any_traffic(), every in 1usize..9) {
        let once = newest(&partials(&play(&mut stage(), &traffic)));
        // Each run of events comes twice, as after a forwarder was killed in the middle of it.
        let twice: Vec<Event> = traffic.chunks(every * 50).flat_map(|run| run.iter().chain(run)).cloned().collect();
        prop_assert_eq!(newest(&partials(&play(&mut stage(), &twice))), once);
    }

    #[test]
    fn design_2_a_snapshot_and_the_tail_equal_never_having_stopped(traffic in any_traffic(), cut in 0.0..1.0f64) {
        let at = (cut * traffic.len() as f64) as usize;
        let mut first = stage();
        let mut said = play(&mut first, &traffic[..at]);
        let mut second = stage();
        second.restore(&first.snapshot()).expect("our own snapshot");
        prop_assert_eq!(second.snapshot(), first.snapshot());
        said.extend(play(&mut second, &traffic[at..]));
        let whole = play(&mut stage(), &traffic);
        prop_assert_eq!(said.iter().map(|a| &a.event).collect::<Vec<_>>(), whole.iter().map(|a| &a.event).collect::<Vec<_>>());
    }
}

#[test]
fn the_kinds_on_the_wire_are_pinned() {
    assert_eq!(Kind::ALL.map(Kind::name), ["carrier_destination", "b_range", "source_ip"]);
}
