//! Calls of a node that fell silent (design §3): closed at its last word, mended by its own facts when it comes back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_rating::mediation::{KEEP_LOST_US, MAX_LOST, NODE_LOST_US, Rater};
use tollgate_schemas::{
    event::Body,
    id::Id,
    log::Topic,
    stage::{Outputs, Stage},
    v1::*,
};

use super::{calls::*, properties::{balances, bytes, current}};

const A: u64 = 0xa;
const B: u64 = 0xb;
/// Milliseconds after which a node is lost, at ticks of a second.
const LOST_MS: i64 = NODE_LOST_US / 1_000;

fn rater() -> Rater {
    Rater::new(5, 9)
}

fn us(ms: i64) -> i64 {
    T0 + ms * 1_000
}

/// Ticks of a node, one a second, both ends included; skew is its clock's.
fn ticks(stage: &mut Rater, node: u64, from_ms: i64, to_ms: i64, skew_ms: i64) -> Outputs {
    let mut out = Outputs::default();
    for ms in (from_ms..=to_ms).step_by(1_000) {
        stage.apply(50_000 + ms as u64 / 1_000, &tick_of(node, us(ms + skew_ms)), &mut out).expect("a tick is no poison");
    }
    out
}

/// On node B: answered at 2.0 s, acknowledged; up.
fn up() -> Story {
    let mut s = Story::on(B, 1, 0, 100);
    s.attempted().at(5).tried(1, "north").at(1_000).ringing(1).at(2_000).answered(1, "north").at(2_050).ack();
    s
}

fn hang_up(s: &mut Story, at_ms: i64) {
    let duration_ms = (at_ms - 2_000) as u64;
    s.at(at_ms).attempt_ended(1, "north", 200, 1_000, duration_ms);
    s.ended(CallEnded { duration_ms, answered_attempt: 1, q850: 16, ..end("answered", 200, 1) });
}

#[test]
fn design_3_an_answered_call_of_a_lost_node_ends_at_its_last_word_and_is_charged() {
    let mut stage = rater();
    play(&mut stage, &up().events);
    ticks(&mut stage, B, 3_000, 62_000, 0);
    assert!(ticks(&mut stage, A, 62_000, 62_000 + LOST_MS, 0).appends.is_empty(), "not within the tolerated outage");
    let out = ticks(&mut stage, A, 63_000 + LOST_MS, 63_000 + LOST_MS, 0);
    let row = &finals(&out)[0];
    assert_eq!((row.cdr_version, row.disposition.as_str(), row.sip_final_code, row.q850_cause), (1, "answered", 200, 41));
    assert_eq!((row.end_reason.as_str(), row.release_cause_local.as_str(), row.hangup_party.as_str()), ("node_lost", "node_lost", "system"));
    assert_eq!((row.duration_confidence.as_str(), row.duration_ms, row.end_ts, row.ack_ts), ("node_lost", 60_000, us(62_000), Some(us(2_050))));
    assert_eq!((row.rating_status.as_str(), row.sell_amount, row.cost_amount, row.attempts_total), ("rated", 1_500_000, 1_000_000, 1));
    let attempt = &attempts(&out)[0];
    assert_eq!((attempt.cdr_version, attempt.duration_ms, attempt.end_reason.as_str(), attempt.rating_status.as_str()), (1, 60_000, "node_lost", "rated"));
    assert_eq!((attempt.release_cause_local.as_str(), attempt.duration_confidence.as_str(), attempt.cost_amount), ("node_lost", "node_lost", 1_000_000));
    assert_eq!(postings(&out).iter().map(|p| (p.kind.as_str(), p.cdr_version)).collect::<Vec<_>>(), [("usage", 1)]);
    assert!(ticks(&mut stage, A, 64_000 + LOST_MS, 400_000, 0).appends.is_empty(), "once");
}

#[test]
fn design_3_an_unanswered_call_of_a_lost_node_failed_and_costs_nothing() {
    let mut stage = rater();
    let mut s = Story::on(B, 1, 0, 100);
    s.attempted().at(5).tried(1, "north").at(300);
    s.attempt_ended(1, "north", 503, 0, 0);
    s.at(301).tried(2, "south").at(2_000).ringing(2);
    play(&mut stage, &s.events);
    ticks(&mut stage, A, 2_000, 3_000 + LOST_MS, 0);
    let out = ticks(&mut stage, A, 4_000 + LOST_MS, 4_000 + LOST_MS, 0);
    assert!(out.appends.is_empty(), "closed with the tick before");
    let mut stage = rater();
    play(&mut stage, &s.events);
    let out = ticks(&mut stage, A, 2_000, 4_000 + LOST_MS, 0);
    let row = &finals(&out)[0];
    assert_eq!((row.disposition.as_str(), row.sip_final_code, row.q850_cause, row.duration_ms), ("failed", 0, 41, 0));
    assert_eq!((row.end_reason.as_str(), row.release_cause_local.as_str(), row.rating_status.as_str()), ("node_lost", "node_lost", "zero"));
    assert_eq!((row.end_ts, row.answer_ts, row.attempts_total, row.carrier.as_str()), (us(2_000), None, 2, "south"));
    let tries: Vec<_> = attempts(&out).iter().map(|a| (a.attempt_no, a.disposition.clone(), a.release_cause_local.clone())).collect();
    assert_eq!(tries, [(2, "failed".to_owned(), "node_lost".to_owned())], "the first had its row long ago");
    assert!(postings(&out).is_empty());
}

#[test]
fn c_052_an_interim_is_the_last_proof_of_life_as_any_word_is() {
    let mut stage = rater();
    let mut s = up();
    s.at(32_000).interim(30_000);
    play(&mut stage, &s.events);
    let out = ticks(&mut stage, A, 32_000, 33_000 + LOST_MS, 0);
    assert_eq!((finals(&out)[0].duration_ms, finals(&out)[0].end_ts), (30_000, us(32_000)));
}

#[test]
fn design_3_a_leg_whose_end_was_written_ended_there() {
    let mut stage = rater();
    let mut s = up();
    s.at(22_000).attempt_ended(1, "north", 200, 1_000, 20_000);
    play(&mut stage, &s.events);
    ticks(&mut stage, B, 23_000, 40_000, 0);
    let row = &finals(&ticks(&mut stage, A, 40_000, 41_000 + LOST_MS, 0))[0];
    assert_eq!((row.duration_ms, row.end_ts, row.duration_confidence.as_str()), (20_000, us(22_000), "node_lost"));
}

/// The rows that hold in the end, and the ledger, of a run in which the node was never missed.
fn undisturbed(s: &Story) -> Outputs {
    play(&mut rater(), &s.events)
}

#[test]
fn design_3_a_node_that_comes_back_after_hours_makes_version_2_and_a_correction() {
    for back_ms in [200_000, 47 * 3_600_000] {
        let mut stage = rater();
        let mut s = up();
        let mut out = play(&mut stage, &s.events);
        out.appends.extend(ticks(&mut stage, A, 2_000, 3_000 + LOST_MS, 0).appends);
        out.appends.extend(ticks(&mut stage, A, back_ms - 5_000, back_ms, 0).appends);
        assert_eq!(finals(&out).len(), 1);
        hang_up(&mut s, 92_000);
        let later = play(&mut stage, &s.events[s.events.len() - 2..]);
        assert_eq!(finals(&later).iter().map(|r| (r.cdr_version, r.duration_ms, r.sell_amount)).collect::<Vec<_>>(), [(2, 90_000, 2_250_000)]);
        assert_eq!(postings(&later).iter().map(|p| p.kind.as_str()).collect::<Vec<_>>(), ["correction"]);
        out.appends.extend(later.appends);
        assert_eq!(current(&out), current(&undisturbed(&s)), "as if it had never been missed");
        assert_eq!(balances(&out), balances(&undisturbed(&s)));
        // Now it is an ended call like any other: the next end contradicts.
        let again = s.at(93_000).ended(CallEnded { duration_ms: 91_000, answered_attempt: 1, ..end("answered", 200, 1) });
        assert_ne!(again, Id::NIL);
        assert_eq!(finals(&play(&mut stage, &s.events[s.events.len() - 1..]))[0].cdr_version, 3);
    }
}

#[test]
fn facts_that_come_while_a_call_is_lost_are_kept_for_its_end() {
    let mut s = up();
    hang_up(&mut s, 92_000);
    // What the log had when the node fell silent; the rest comes when it is back.
    for known in 1..s.events.len() - 1 {
        let mut stage = rater();
        let mut out = play(&mut stage, &s.events[..known]);
        out.appends.extend(ticks(&mut stage, A, 0, 200_000, 0).appends);
        assert_eq!(finals(&out).len(), 1, "{known} events");
        out.appends.extend(play(&mut stage, &s.events[known..]).appends);
        let finals = finals(&out);
        assert_eq!(finals.len(), 2, "nothing between the two versions: {known} events");
        assert_eq!(finals[0].attempt_no, finals[1].attempt_no, "one chain of versions in the store: {known} events");
        assert_eq!(current(&out), current(&undisturbed(&s)), "{known} events");
        assert_eq!(balances(&out), balances(&undisturbed(&s)));
    }
}

#[test]
fn a_node_lost_twice_has_its_calls_end_at_its_newer_last_word() {
    let mut stage = rater();
    let mut out = play(&mut stage, &up().events);
    out.appends.extend(ticks(&mut stage, A, 2_000, 120_000, 0).appends);
    out.appends.extend(ticks(&mut stage, B, 121_000, 182_000, 0).appends);
    let again = ticks(&mut stage, A, 183_000, 400_000, 0);
    out.appends.extend(again.appends);
    assert_eq!(finals(&out).iter().map(|r| (r.cdr_version, r.duration_ms)).collect::<Vec<_>>(), [(1, 50), (2, 180_000)]);
    assert_eq!(attempts(&out).iter().map(|r| (r.cdr_version, r.duration_ms)).collect::<Vec<_>>(), [(1, 50), (2, 180_000)]);
    assert_eq!(balances(&out).balance("account:acme/shop", "USD"), 4_500_000);
    let ids: std::collections::BTreeSet<_> = out.appends.iter().map(|a| a.event.id()).collect();
    assert_eq!(ids.len(), out.appends.len(), "no id twice");
}

/// Names of what must close nothing, and what is played after B's call is up at 2 s.
#[test]
fn design_3_what_closes_no_call() {
    type Play = fn(&mut Rater) -> Outputs;
    let cases: [(&str, Play); 6] = [
        ("one node, down for an hour", |r| ticks(r, B, 3_600_000, 3_700_000, 0)),
        ("one node, for a day", |r| ticks(r, B, 3_000, 86_400_000, 0)),
        ("the other is 30 s ahead", |r| interleaved(r, 30_000)),
        ("the other is 30 s behind", |r| interleaved(r, -30_000)),
        ("back within the outage", |r| {
            let mut out = ticks(r, A, 3_000, 2_000 + LOST_MS, 0);
            out.appends.extend(ticks(r, B, 2_000 + LOST_MS, 3_000 + LOST_MS, 0).appends);
            out.appends.extend(ticks(r, A, 3_000 + LOST_MS, 80_000 + LOST_MS, 0).appends);
            out
        }),
        ("both were away for an hour", |r| {
            let mut out = ticks(r, A, 2_000, 2_000, 0);
            out.appends.extend(ticks(r, A, 3_600_000, 3_660_000, 0).appends);
            out.appends.extend(ticks(r, B, 3_600_000, 3_660_000, 0).appends);
            out
        }),
    ];
    for (what, played) in cases {
        let mut stage = rater();
        play(&mut stage, &up().events);
        assert!(played(&mut stage).appends.is_empty(), "{what}");
    }
}

fn interleaved(stage: &mut Rater, skew_ms: i64) -> Outputs {
    let mut out = Outputs::default();
    for ms in (3_000..600_000).step_by(1_000) {
        out.appends.extend(ticks(stage, A, ms, ms, skew_ms).appends);
        out.appends.extend(ticks(stage, B, ms, ms, 0).appends);
    }
    out
}

#[test]
fn a_node_that_comes_back_too_late_goes_to_quarantine_and_version_1_stands() {
    let mut stage = rater();
    let mut s = up();
    play(&mut stage, &s.events);
    assert_eq!(finals(&ticks(&mut stage, A, 2_000, 120_000, 0)).len(), 1);
    let forgotten_ms = 93_000 + KEEP_LOST_US / 1_000;
    ticks(&mut stage, A, forgotten_ms, forgotten_ms, 0);
    assert_eq!(stage.calls_in_memory(), 0);
    hang_up(&mut s, 92_000);
    let mut out = Outputs::default();
    for (offset, event) in &s.events[s.events.len() - 2..] {
        assert!(stage.apply(*offset, event, &mut out).is_err(), "poison is what the runner quarantines");
    }
    assert!(out.appends.is_empty());
}

#[test]
fn a_late_answer_of_a_silent_node_is_waited_for() {
    let mut stage = rater();
    let whole = {
        let mut s = Story::on(B, 1, 0, 100);
        s.attempted().at(5).tried(1, "north").at(4_005);
        s.attempt_ended_as(CallAttemptEnded { attempt_no: 1, carrier: "north".into(), local_cause: "LOCAL_PDD_TIMEOUT".into(), ..CallAttemptEnded::default() });
        s.at(4_010).ended(end("failed", 408, 1));
        s.at(6_000).late_answer(1, "north", 1_500);
        s
    };
    let mut out = play(&mut stage, &whole.events[..whole.events.len() - 1]);
    out.appends.extend(ticks(&mut stage, A, 4_000, 7_200_000, 0).appends);
    out.appends.extend(play(&mut stage, &whole.events[whole.events.len() - 1..]).appends);
    assert_eq!(current(&out), current(&undisturbed(&whole)));
    assert_eq!(finals(&out).last().map(|r| (r.cdr_version, r.cost_amount)), Some((2, 33_300)));
}

#[test]
fn the_memory_of_lost_calls_is_bounded() {
    let mut stage = rater();
    let calls = MAX_LOST as u32 + 10;
    for seq in 1..=calls {
        let mut s = Story::on(B, seq, 0, u64::from(seq));
        s.attempted();
        play(&mut stage, &s.events);
    }
    let out = ticks(&mut stage, A, 0, 2_000 + LOST_MS, 0);
    assert_eq!((finals(&out).len(), stage.calls_in_memory()), (calls as usize, MAX_LOST));
    // Restored in the middle of it, the bound is the same.
    let mut again = rater();
    again.restore(&stage.snapshot()).expect("our own snapshot");
    for stage in [&mut stage, &mut again] {
        let mut s = Story::on(B, calls + 1, 200_000, 1);
        s.attempted();
        play(stage, &s.events);
        ticks(stage, A, 201_000, 300_000 + LOST_MS, 0);
        assert_eq!(stage.calls_in_memory(), MAX_LOST);
    }
    assert_eq!(stage.snapshot(), again.snapshot());
}

/// A silence of a node: what it writes in that time comes afterwards, or never.
#[derive(Debug, Clone)]
struct Silence {
    from_ms: i64,
    for_ms: i64,
    dies: bool,
}

/// Calls on three nodes with a tick every five seconds each, in the order things happened; offsets by that order.
fn any_cluster() -> impl Strategy<Value = (Vec<(u64, Event)>, Vec<Silence>)> {
    let call = (0..3u64, 0..5u32, 0..300_000i64, 1..400_000u64);
    let silence = (0..500_000i64, 0..600_000i64, any::<bool>()).prop_map(|(from_ms, for_ms, dies)| Silence { from_ms, for_ms, dies });
    (prop::collection::vec(call, 1..14), prop::collection::vec(silence, 3)).prop_map(|(calls, silences)| {
        let mut all: Vec<Event> = Vec::new();
        for (seq, (node, kind, start_ms, talk_ms)) in (1..).zip(calls) {
            let mut s = Story::on(node + 1, seq, start_ms, 0);
            s.attempted().at(5).tried(1, "north");
            match kind {
                0 => {
                    s.at(800).attempt_ended(1, "north", 486, 0, 0);
                    s.at(801).ended(CallEnded { q850: 17, ..end("busy", 486, 1) });
                }
                1 => {
                    s.at(300).attempt_ended(1, "north", 503, 0, 0);
                    s.at(301).tried(2, "south").at(2_000).ringing(2).at(4_000).answered(2, "south").at(4_050).ack();
                    s.at(4_000 + talk_ms as i64).attempt_ended(2, "south", 200, 2_000, talk_ms);
                    s.ended(CallEnded { duration_ms: talk_ms, answered_attempt: 2, ..end("answered", 200, 2) });
                }
                _ => {
                    s.at(1_000).ringing(1).at(2_000).answered(1, "north").at(2_050).ack();
                    s.at(2_000 + talk_ms as i64).attempt_ended(1, "north", 200, 1_000, talk_ms);
                    s.ended(CallEnded { duration_ms: talk_ms, answered_attempt: 1, ..end("answered", 200, 1) });
                }
            }
            all.extend(s.events.into_iter().map(|(_, e)| e));
        }
        for node in 1..=3 {
            all.extend((0..2_400_000).step_by(5_000).map(|ms| tick_of(node, us(ms))));
        }
        all.sort_by_key(|e| (e.occurred_us, e.id()));
        (all.into_iter().enumerate().map(|(i, e)| (i as u64, e)).collect(), silences)
    })
}

/// The log as it is with these silences; a node that dies takes with it what it had not written.
fn disturbed(events: &[(u64, Event)], silences: &[Silence]) -> Vec<(u64, Event)> {
    let mut log: Vec<(i64, u64, Event)> = Vec::new();
    for (offset, event) in events {
        let silence = &silences[(event.id().0 >> 80) as usize - 1];
        let (from, to) = (us(silence.from_ms), us(silence.from_ms + silence.for_ms));
        match (event.occurred_us < from, silence.dies && silence.for_ms > 300_000, event.occurred_us < to) {
            (true, ..) => log.push((event.occurred_us, *offset, event.clone())),
            (_, true, _) => {}
            (_, false, inside) => log.push((if inside { to } else { event.occurred_us }, *offset, event.clone())),
        }
    }
    log.sort_by_key(|(at, offset, _)| (*at, *offset));
    // Whoever is left ticks on until everything is decided.
    let end = (2_400_000..3_000_000).step_by(5_000).enumerate().map(|(i, ms)| (10_000_000 + i as u64, tick_of(9, us(ms))));
    log.into_iter().map(|(_, offset, event)| (offset, event)).chain(end).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn design_3_whichever_nodes_fall_silent_each_call_has_one_current_final_and_the_ledger_agrees((events, silences) in any_cluster()) {
        let log = disturbed(&events, &silences);
        let out = play(&mut rater(), &log);
        let current = current(&out);
        let called: std::collections::BTreeSet<Vec<u8>> =
            log.iter().filter(|(_, e)| matches!(e.body, Some(Body::CallAttempted(_)))).map(|(_, e)| e.id.clone()).collect();
        let finals: Vec<_> = current.values().filter(|r| r.is_final()).collect();
        prop_assert_eq!(finals.len(), called.len(), "one for each call");
        let mut versions: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for row in rows(&out) {
            prop_assert!(row.rating_status != "error", "{}", row.release_cause_local);
            prop_assert!(row.invite_ts <= row.answer_ts.unwrap_or(row.end_ts) && row.answer_ts.unwrap_or(row.end_ts) <= row.end_ts);
            versions.entry((row.call_uuid.clone(), row.record_type.clone(), row.attempt_no)).or_default().push(row.cdr_version);
        }
        // A final whose attempt changed would be two chains, and two current finals in the store.
        for (record, versions) in versions {
            prop_assert_eq!(&versions, &(1..=versions.len() as u32).collect::<Vec<_>>(), "{:?}", record);
        }
        let balances = balances(&out);
        prop_assert!(balances.totals().values().all(|sum| *sum == 0));
        prop_assert_eq!(balances.balance("account:acme/shop", "USD"), finals.iter().map(|r| r.sell_amount).sum::<i64>());
        prop_assert_eq!(balances.balance("cost/5", "USD"), finals.iter().map(|r| r.cost_amount).sum::<i64>());
        let ids: std::collections::BTreeSet<_> = out.appends.iter().map(|a| a.event.id()).collect();
        prop_assert_eq!(ids.len(), out.appends.len(), "no id twice");
        prop_assert!(out.appends.iter().all(|a| a.topic != Topic::Quarantine));
    }

    #[test]
    fn design_3_silence_that_ends_leaves_no_trace_in_what_holds((events, mut silences) in any_cluster()) {
        silences.iter_mut().for_each(|s| s.dies = false);
        let out = play(&mut rater(), &disturbed(&events, &silences));
        let undisturbed = play(&mut rater(), &events);
        prop_assert_eq!(current(&out), current(&undisturbed));
        prop_assert_eq!(balances(&out), balances(&undisturbed));
    }

    #[test]
    fn design_2_restored_at_any_place_the_same_calls_are_lost((events, silences) in any_cluster(), cut in 0.0..1.0f64) {
        let log = disturbed(&events, &silences);
        let at = (cut * log.len() as f64) as usize;
        let mut first = rater();
        let mut out = play(&mut first, &log[..at]);
        let mut second = rater();
        second.restore(&first.snapshot()).expect("our own snapshot");
        prop_assert_eq!(second.snapshot(), first.snapshot());
        out.appends.extend(play(&mut second, &log[at..]).appends);
        prop_assert_eq!(bytes(&out), bytes(&play(&mut rater(), &log)));
    }
}
