use proptest::prelude::*;
use tollgate_schemas::v1::{
    CallAnswered, CallAttemptEnded, CallAttempted, CallDialogChanged, CallEnded, CallFacts, CallInterim, CallRinging, CallRouteTried, CallTeardown,
    Terms, Tick,
};

use super::*;

const START_US: i64 = 1_795_262_400_000_000;

fn event(id: u128, at_us: i64, body: Body) -> Event {
    Event { id: Id(id).to_vec(), occurred_us: START_US + at_us, body: Some(body), ..Event::default() }
}

fn attempted(trunk: &str, group: &str, emergency: bool) -> Body {
    let facts = CallFacts {
        account: format!("of-{trunk}"),
        trunk: trunk.to_owned(),
        b_dest_group: group.to_owned(),
        b_risk_flag: if group == "hot" { "high" } else { "none" }.to_owned(),
        emergency,
        ..CallFacts::default()
    };
    Body::CallAttempted(CallAttempted { facts: Some(facts), hold_e8: 5, ..CallAttempted::default() })
}

fn answered(call: u128) -> Body {
    let sell = Terms { rate_e12: 60_000_000_000, initial_s: 1, increment_s: 1, places: 6, ..Terms::default() };
    Body::CallAnswered(CallAnswered { call_id: Id(call).to_vec(), sell: Some(sell), ..CallAnswered::default() })
}

fn ended(call: u128, duration_ms: u64) -> Body {
    Body::CallEnded(CallEnded { call_id: Id(call).to_vec(), duration_ms, ..CallEnded::default() })
}

fn fold(events: &[Event]) -> LiveCalls {
    let mut live = LiveCalls::new();
    for (offset, event) in events.iter().enumerate() {
        live.apply(offset as u64, event, &mut Outputs::default()).expect("folds");
    }
    live
}

#[test]
fn an_open_call_keeps_what_the_proxy_resumes_from() {
    let id = Id(1).to_vec();
    let dialog = |what: &str| Body::CallDialogChanged(CallDialogChanged { call_id: id.clone(), what: what.to_owned(), ..CallDialogChanged::default() });
    let interim = |ms| Body::CallInterim(CallInterim { call_id: id.clone(), duration_ms: ms, holds: Vec::new() });
    let ringing = |no, code| Body::CallRinging(CallRinging { call_id: id.clone(), attempt_no: no, code, ..CallRinging::default() });
    let tried = |no| Body::CallRouteTried(CallRouteTried { call_id: id.clone(), attempt_no: no, ..CallRouteTried::default() });
    let live = fold(&[
        event(1, 0, attempted("t", "g", false)),
        event(2, 1, tried(1)),
        event(3, 2, ringing(1, 180)),
        event(4, 3, Body::CallAttemptEnded(CallAttemptEnded { call_id: id.clone(), attempt_no: 1, sip_code: 503, ..CallAttemptEnded::default() })),
        event(5, 4, tried(2)),
        event(6, 5, ringing(2, 180)),
        event(7, 6, ringing(2, 183)),
        event(8, 7, answered(1)),
        event(9, 8, answered(1)),
        event(10, 9, dialog("ack")),
        event(11, 10, dialog("target")),
        event(12, 11, interim(300_000)),
        event(13, 12, interim(600_000)),
        event(14, 13, Body::CallTeardown(CallTeardown { call_id: id.clone(), ..CallTeardown::default() })),
        event(15, 14, dialog("of another call")),
    ]);
    let call = live.open_call(Id(1)).expect("it is open");
    assert_eq!((call.id(), call.attempted().map(|a| a.hold_e8), call.last_seen_us()), (Id(1), Some(5), START_US + 14));
    let ids = |events: &mut dyn Iterator<Item = &Arc<Event>>| events.map(|e| e.id().0).collect::<Vec<_>>();
    assert_eq!(ids(&mut call.routes_tried()), [2, 5]);
    assert_eq!(ids(&mut call.ringing()), [3, 7], "the latest of each attempt");
    assert_eq!(ids(&mut call.attempts_ended()), [4]);
    assert_eq!(call.answered().map(|(e, _)| e.id()), Some(Id(8)), "the first answer prices the call");
    assert_eq!(call.interim().map(|e| e.id()), Some(Id(13)));
    assert_eq!(call.dialog_changed().map(|e| e.id()), Some(Id(15)));
    assert_eq!(ids(&mut call.teardowns()), [14]);
}

#[test]
fn a_call_is_gone_with_its_end_and_its_charge_is_owed() {
    let events = [event(1, 0, attempted("t", "hot", false)), event(2, 1, answered(1)), event(3, 90_000_000, ended(1, 90_000)), event(4, 91_000_000, ended(1, 90_000))];
    let live = fold(&events);
    assert_eq!(live.open_calls().len(), 0);
    assert_eq!(live.usage().owed["of-t"], 9_000_000);
    assert_eq!(live.usage().spend["t"].amount_e8, 9_000_000);
    assert_eq!(live.usage().hot_spots[&("of-t".to_owned(), "hot".to_owned())].minutes().map(|(_, n)| n).sum::<u32>(), 1);
    // What is read again is not counted again.
    let mut again = live;
    for (offset, event) in events.iter().enumerate() {
        again.apply(offset as u64, event, &mut Outputs::default()).expect("folds");
    }
    assert_eq!(again.usage().owed["of-t"], 9_000_000);
    assert_eq!(again.open_calls().len(), 0);
}

#[test]
fn emergency_calls_are_kept_and_cost_nothing() {
    let live = fold(&[event(1, 0, attempted("t", "hot", true)), event(2, 1, answered(1))]);
    assert_eq!(live.open_calls().len(), 1);
    let live = fold(&[event(1, 0, attempted("t", "hot", true)), event(2, 1, answered(1)), event(3, 2, ended(1, 60_000))]);
    assert!(live.usage().owed.is_empty() && live.usage().spend.is_empty() && live.usage().hot_spots.is_empty());
}

#[test]
fn a_call_keeps_a_bounded_number_of_events() {
    let id = Id(1).to_vec();
    let mut events = vec![event(1, 0, attempted("t", "g", false)), event(2, 0, answered(1))];
    for no in 0..1_000u32 {
        let tried = CallAttemptEnded { call_id: id.clone(), attempt_no: no, ..CallAttemptEnded::default() };
        events.push(event(3 + u128::from(no), 1, Body::CallAttemptEnded(tried)));
    }
    let live = fold(&events);
    let call = live.open_call(Id(1)).expect("open");
    assert_eq!(call.events().len(), MAX_EVENTS);
    assert!(call.answered().is_some() && call.attempted().is_some());
}

#[test]
fn calls_of_a_lost_node_are_forgotten_in_the_end() {
    let live = fold(&[event(1, 0, attempted("t", "g", false)), event(2, MAX_AGE_US + 1, Body::Tick(Tick { at_us: 0 }))]);
    assert_eq!(live.open_calls().len(), 0);
}

const SECOND: i64 = 1_000_000;

fn id_on(node: u128, seq: u128) -> u128 {
    node << 80 | seq
}

/// Ticks of a node, one a second, both ends included.
fn ticks(live: &mut LiveCalls, node: u128, from_s: i64, to_s: i64) {
    for s in from_s..=to_s {
        let tick = event(id_on(node, 1_000 + s as u128), s * SECOND, Body::Tick(Tick { at_us: START_US + s * SECOND }));
        live.apply(live.next_offset, &tick, &mut Outputs::default()).expect("folds");
    }
}

fn put(live: &mut LiveCalls, event: Event) {
    live.apply(live.next_offset, &event, &mut Outputs::default()).expect("folds");
}

fn up(live: &LiveCalls) -> Vec<u128> {
    live.open_calls().map(|c| c.id().0).collect()
}

#[test]
fn design_3_calls_of_a_silent_node_are_not_up_until_it_is_heard_again() {
    let (ours, theirs, more) = (id_on(1, 1), id_on(2, 1), id_on(2, 2));
    let mut live = LiveCalls::new();
    for id in [ours, theirs, more] {
        put(&mut live, event(id, 0, attempted("t", "g", false)));
    }
    ticks(&mut live, 1, 0, 90);
    assert_eq!(up(&live), [ours, theirs, more]);
    ticks(&mut live, 1, 91, 91);
    assert_eq!(up(&live), [ours]);
    // It ended one of them before anybody heard of it again, and is up with the other.
    put(&mut live, event(id_on(2, 50), 40 * SECOND, ended(theirs, 0)));
    assert_eq!(up(&live), [ours, more]);
    assert_eq!(live.open_calls_of(2).map(|c| c.id().0).collect::<Vec<_>>(), [more]);
    // Restored while calls are set aside.
    ticks(&mut live, 1, 92, 200);
    let mut again = LiveCalls::new();
    again.restore(&live.snapshot()).expect("restores");
    for live in [&mut live, &mut again] {
        assert_eq!(up(live), [ours]);
        ticks(live, 2, 201, 201);
        assert_eq!(up(live), [ours, more]);
    }
    assert_eq!(live.snapshot(), again.snapshot());
}

#[test]
fn design_3_a_nodes_own_calls_are_there_after_however_long_a_stop() {
    let own = id_on(2, 1);
    let story = |live: &mut LiveCalls| {
        put(live, event(own, 0, attempted("t", "g", false)));
        ticks(live, 1, 0, 36_000);
    };
    let mut theirs = LiveCalls::new();
    story(&mut theirs);
    assert_eq!(up(&theirs), [0u128; 0]);
    let mut ours = LiveCalls::of_node(2);
    story(&mut ours);
    assert_eq!(up(&ours), [own]);
    let mut again = LiveCalls::of_node(2);
    again.restore(&theirs.snapshot()).expect("restores");
    assert_eq!(up(&again), [own], "whoever took the snapshot");
    // And alone in its partition, whoever looks.
    let mut alone = LiveCalls::new();
    put(&mut alone, event(own, 0, attempted("t", "g", false)));
    ticks(&mut alone, 2, 7_200, 8_000);
    assert_eq!(up(&alone), [own]);
}

#[test]
fn what_was_set_aside_counts_nowhere_twice() {
    let theirs = id_on(2, 1);
    let mut live = LiveCalls::new();
    put(&mut live, event(theirs, 0, attempted("t", "hot", false)));
    put(&mut live, event(id_on(2, 2), 1, answered(theirs)));
    ticks(&mut live, 1, 0, 200);
    // Repeated by its forwarder, then ended.
    put(&mut live, event(theirs, 0, attempted("t", "hot", false)));
    put(&mut live, event(id_on(2, 3), 90 * SECOND, ended(theirs, 90_000)));
    assert_eq!((up(&live), live.usage().owed["of-t"]), (vec![], 9_000_000));
    assert_eq!(live.usage().hot_spots[&("of-t".to_owned(), "hot".to_owned())].minutes().map(|(_, n)| n).sum::<u32>(), 1);
}

#[test]
fn a_torn_snapshot_is_refused() {
    let mut bytes = fold(&[event(1, 0, attempted("t", "g", false))]).snapshot();
    bytes.truncate(bytes.len() - 1);
    let problem = LiveCalls::new().restore(&bytes).expect_err("torn");
    assert_eq!(problem.stage, "live");
}

/// Events of a few calls in any order, some of them nonsense.
fn history() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec((0u8..9, 1u128..6, 0usize..3, 0i64..4_000_000_000), 0..120).prop_map(|steps| {
        let mut at = 0;
        let mut events = Vec::new();
        for (i, (what, call, which, gap)) in steps.into_iter().enumerate() {
            at += gap;
            let id = Id(call).to_vec();
            let trunk = ["t1", "t2", "t3"][which];
            let body = match what {
                0 | 1 => attempted(trunk, ["hot", "cold", "hot"][which], call == 5),
                2 => answered(call),
                3 | 4 => ended(call, (gap / 1_000) as u64),
                5 => Body::CallDialogChanged(CallDialogChanged { call_id: id, what: trunk.to_owned(), ..CallDialogChanged::default() }),
                6 => Body::CallRinging(CallRinging { call_id: id, attempt_no: which as u32, ..CallRinging::default() }),
                7 => Body::CallRouteTried(CallRouteTried { call_id: id, attempt_no: which as u32, ..CallRouteTried::default() }),
                _ => Body::Tick(Tick { at_us: at }),
            };
            let event_id = if matches!(body, Body::CallAttempted(_)) { call } else { 1_000 + i as u128 };
            events.push(event(event_id, at, body));
        }
        events
    })
}

proptest! {
    #[test]
    fn a_snapshot_and_the_tail_equal_the_whole(events in history(), cut in 0usize..120) {
        let whole = fold(&events);
        let cut = cut.min(events.len());
        let mut live = LiveCalls::new();
        live.restore(&fold(&events[..cut]).snapshot()).expect("restores");
        for (offset, event) in events.iter().enumerate().skip(cut) {
            live.apply(offset as u64, event, &mut Outputs::default()).expect("folds");
        }
        prop_assert_eq!(live.snapshot(), whole.snapshot());
        prop_assert_eq!(live.usage(), whole.usage());
        prop_assert!(live.open_calls().eq(whole.open_calls()));
    }
}
