//! What must always hold: order, replay, restarts, the rows' invariants (domain §4.1), the ledger.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::SizeRange};
use prost::Message;
use tollgate_rating::{ledger::Balances, mediation::Rater};
use tollgate_schemas::{
    cdr::Cdr,
    id::Id,
    stage::{Outputs, Stage},
    v1::Event,
};

use super::calls::*;

pub fn bytes(out: &Outputs) -> Vec<(u8, u16, Vec<u8>)> {
    out.appends.iter().map(|a| (a.topic as u8, a.partition, a.event.encode_to_vec())).collect()
}

fn sorted(out: &Outputs) -> Vec<(u8, u16, Vec<u8>)> {
    let mut all = bytes(out);
    all.sort();
    all
}

/// Which call a story is about: kind and figures.
fn any_story(seq: u32) -> impl Strategy<Value = Vec<(u64, Event)>> {
    (0..8u32, 0..90_000i64, 1..400_000u64).prop_map(move |(kind, start_ms, talk_ms)| {
        let offset = u64::from(seq) * 1_000;
        match kind {
            0 | 1 => answered(seq, start_ms, offset, talk_ms),
            2 => busy(seq, start_ms, offset),
            3 => cancelled(seq, start_ms, offset),
            4 => failover(seq, start_ms, offset, talk_ms),
            5 => torn_down(seq, start_ms, offset, Id(5)),
            6 => late_answered(seq, start_ms, offset, talk_ms),
            _ => {
                let mut s = Story::new(seq, start_ms, offset);
                s.refused("blocked", 403, 21, 1 + talk_ms % 2, &Id(3).to_vec());
                s
            }
        }
        .events
    })
}

/// Many calls at once in the order things happened, with a tick each second.
fn any_traffic(calls: impl Into<SizeRange>) -> impl Strategy<Value = Vec<(u64, Event)>> {
    prop::collection::vec(any::<u32>(), calls).prop_flat_map(|seeds| {
        let stories: Vec<_> = (1..=seeds.len() as u32).map(any_story).collect();
        stories.prop_map(|stories| {
            let mut all: Vec<Event> = stories.into_iter().flatten().map(|(_, e)| e).collect();
            let last = all.iter().map(|e| e.occurred_us).max().unwrap_or(T0);
            all.extend((T0..last).step_by(7_000_000).enumerate().map(|(i, at)| tick(i as u32, at)));
            all.sort_by_key(|e| (e.occurred_us, e.id()));
            all.into_iter().enumerate().map(|(i, e)| (i as u64, e)).collect()
        })
    })
}

pub fn balances(out: &Outputs) -> Balances {
    let mut balances = Balances::default();
    for posted in postings(out) {
        balances.apply(&posted).expect("balanced");
    }
    balances
}

/// The current rows: the highest version of each record, without what tells versions apart. A final's attempt is that of
/// its first version, so it tells versions apart too.
pub fn current(out: &Outputs) -> BTreeMap<(Vec<u8>, String, u32), Cdr> {
    let mut current = BTreeMap::new();
    for row in rows(out) {
        let attempt_no = if row.is_final() { 0 } else { row.attempt_no };
        let key = (row.call_uuid.clone(), row.record_type.clone(), attempt_no);
        current.insert(key, Cdr { cdr_version: 0, event_last_offset: 0, attempt_no, ..row });
    }
    current
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn design_3_the_fold_does_not_depend_on_order(
        (story, shuffled) in any_story(1).prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle())),
    ) {
        let in_order = play(&mut Rater::new(5, 9), &story);
        let out = play(&mut Rater::new(5, 9), &shuffled);
        // A late answer is a fact after the end: in which version it stands is a matter of order, what holds is not.
        if story.iter().any(|(_, e)| matches!(&e.body, Some(tollgate_schemas::event::Body::CallAttemptEnded(b)) if b.late_answer)) {
            prop_assert_eq!(current(&out), current(&in_order));
        } else {
            prop_assert_eq!(sorted(&out), sorted(&in_order));
        }
        prop_assert_eq!(balances(&out), balances(&in_order));
    }

    #[test]
    fn design_2_a_snapshot_and_the_tail_equal_never_having_stopped(traffic in any_traffic(1..12), cut in 0.0..1.0f64) {
        let whole = play(&mut Rater::new(5, 9), &traffic);
        let at = (cut * traffic.len() as f64) as usize;
        let mut first = Rater::new(5, 9);
        let mut out = play(&mut first, &traffic[..at]);
        let mut second = Rater::new(5, 9);
        second.restore(&first.snapshot()).expect("our own snapshot");
        prop_assert_eq!(second.snapshot(), first.snapshot());
        out.appends.extend(play(&mut second, &traffic[at..]).appends);
        prop_assert_eq!(bytes(&out), bytes(&whole));
    }

    #[test]
    fn design_2_a_replay_gives_the_same_bytes(traffic in any_traffic(1..12)) {
        prop_assert_eq!(bytes(&play(&mut Rater::new(5, 9), &traffic)), bytes(&play(&mut Rater::new(5, 9), &traffic)));
    }

    #[test]
    fn c_4_1_the_rows_invariants_hold(traffic in any_traffic(1..12)) {
        let out = play(&mut Rater::new(5, 9), &traffic);
        let mut versions: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for row in rows(&out) {
            versions.entry((row.call_uuid.clone(), row.record_type.clone(), row.attempt_no)).or_default().push(row.cdr_version);
            let answer = row.answer_ts.unwrap_or(row.end_ts);
            prop_assert!(row.invite_ts <= row.first_18x_ts.unwrap_or(row.invite_ts));
            prop_assert!(row.first_18x_ts.unwrap_or(row.invite_ts) <= answer && answer <= row.end_ts);
            if row.disposition != "answered" {
                prop_assert_eq!((row.duration_ms, row.sell_amount, row.answer_ts), (0, 0, None));
            }
            prop_assert_eq!(row.disposition == "blocked", row.attempts_total == 0);
            prop_assert!(row.rating_status != "error");
        }
        for (record, versions) in versions {
            prop_assert_eq!(&versions, &(1..=versions.len() as u32).collect::<Vec<_>>(), "{:?}", record);
        }
        let called: std::collections::BTreeSet<_> = traffic.iter().map(|(_, e)| e.call_id()).filter(|id| *id != Id::NIL).collect();
        prop_assert_eq!(finals(&out).iter().filter(|r| r.cdr_version == 1).count(), called.len(), "one final for each call");
    }

    #[test]
    fn fn_08_the_ledger_is_the_current_finals(traffic in any_traffic(1..12)) {
        let out = play(&mut Rater::new(5, 9), &traffic);
        let balances = balances(&out);
        prop_assert!(balances.totals().values().all(|sum| *sum == 0));
        let finals: Vec<Cdr> = current(&out).into_values().filter(Cdr::is_final).collect();
        prop_assert_eq!(balances.balance("account:acme/shop", "USD"), finals.iter().map(|r| r.sell_amount).sum::<i64>());
        prop_assert_eq!(balances.balance("cost/5", "USD"), finals.iter().map(|r| r.cost_amount).sum::<i64>());
        prop_assert_eq!(balances.balance("revenue/5", "USD"), -balances.balance("account:acme/shop", "USD"));
    }
}
