//! Reports against the simplest sum over the model.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    store::{CdrFilter, CdrStore, GroupBy, TrafficQuery, TrafficRow},
    time,
};

use crate::support::{Model, Rng, T0, cdr, matches, open, random_filter, runtime, small_row};

fn value(by: GroupBy, r: &Cdr) -> String {
    let hour = time::format_rfc3339(r.invite_ts);
    match by {
        GroupBy::Account => r.account.clone(),
        GroupBy::Trunk => r.trunk.clone(),
        GroupBy::Carrier => r.carrier.clone(),
        GroupBy::Destination => r.b_dest_group.clone(),
        GroupBy::Country => r.b_country.clone(),
        GroupBy::Hour => format!("{}:00:00.000000Z", &hour[..13]),
        GroupBy::Day => format!("{}T00:00:00.000000Z", &hour[..10]),
    }
}

fn model_traffic(model: &Model, q: &TrafficQuery) -> Vec<TrafficRow> {
    let mut groups: BTreeMap<(Vec<String>, String), (TrafficRow, Vec<u64>)> = BTreeMap::new();
    let attempts = q.filter.record_type == ATTEMPT;
    for r in model.current().filter(|r| matches(&q.filter, r)) {
        let group: Vec<String> = q.group_by.iter().map(|by| value(*by, r)).collect();
        let own = if attempts { &r.cost_currency } else { &r.sell_currency };
        let (t, pdd) = groups.entry((group.clone(), own.clone())).or_default();
        let n = r.count;
        let seized = attempts || r.attempts_total > 0;
        let answered = r.disposition == "answered";
        let rang = r.first_18x_ts.is_some();
        let effective = answered
            || matches!(r.sip_final_code, 486 | 600 | 603)
            || (r.sip_final_code == 487 && rang)
            || (matches!(r.sip_final_code, 480 | 408) && (rang || matches!(r.vendor_q850, Some(18 | 19 | 20))));
        t.bids += n;
        t.seizures += if seized { n } else { 0 };
        t.answered += if answered { n } else { 0 };
        t.network_effective += if seized && effective { n } else { 0 };
        t.refused += if r.disposition == "blocked" { n } else { 0 };
        t.duration_ms += r.duration_ms;
        t.billed_sell_s += r.billed_sec_sell;
        t.billed_cost_s += r.billed_sec_cost;
        t.margin_e8 += r.margin_base.unwrap_or(0);
        pdd.extend(r.pdd_ms);
        if r.sell_amount != 0 {
            groups.entry((group.clone(), r.sell_currency.clone())).or_default().0.sell_e8 += r.sell_amount;
        }
        if r.cost_amount != 0 {
            groups.entry((group, r.cost_currency.clone())).or_default().0.cost_e8 += r.cost_amount;
        }
    }
    let finish = |((group, currency), (mut t, mut pdd)): ((Vec<String>, String), (TrafficRow, Vec<u64>))| {
        pdd.sort_unstable();
        let rank = |p: usize| (!pdd.is_empty()).then(|| pdd[(pdd.len() * p).div_ceil(100) - 1]);
        (t.pdd_ms_p50, t.pdd_ms_p95) = (rank(50), rank(95));
        (t.pdd_ms_sum, t.pdd_count) = (pdd.iter().sum(), pdd.len() as u64);
        (t.group, t.currency) = (group, currency);
        t
    };
    groups.into_iter().map(finish).collect()
}

#[test]
fn reports_equal_the_sum_over_a_list_in_any_mix_of_memory_and_files() {
    let rt = runtime();
    let mut rng = Rng(77);
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let mut model = Model::default();
    for round in 0..12u64 {
        let rows: Vec<_> = (0..120).map(|_| Arc::new(small_row(&mut rng))).collect();
        rows.iter().for_each(|r| model.write(r));
        store.write(0, rows, round + 1).expect("write");
        if round % 3 == 1 {
            rt.block_on(store.flush()).expect("flush");
        }
        for _ in 0..6 {
            let mut group_by: Vec<GroupBy> = GroupBy::ALL.into_iter().filter(|_| rng.below(4) == 0).collect();
            group_by.reverse();
            let filter = if rng.below(3) == 0 {
                random_filter(&mut rng)
            } else {
                CdrFilter { record_type: (*rng.pick(&[FINAL, ATTEMPT])).into(), ..CdrFilter::default() }
            };
            let query = TrafficQuery { filter, group_by };
            let got = rt.block_on(store.traffic(query.clone())).expect("traffic");
            assert_eq!(got, model_traffic(&model, &query), "{query:?}");
        }
    }
}

#[test]
fn m_01_m_03_worked_fixture_gives_asr_48_and_ner_80() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    // (attempts, code, rang, cause): 48 answered, 12 busy, 15 no answer, 5 abandoned while ringing, 6 unallocated,
    // 10 unavailable, 4 timeouts.
    let mix = [(48, 200, true, 16), (12, 486, false, 17), (15, 480, true, 19), (5, 487, true, 16), (6, 404, false, 1), (10, 503, false, 41), (4, 408, false, 102)];
    let mut call = 0u128;
    for (n, code, rang, cause) in mix {
        for _ in 0..n {
            call += 1;
            let mut row = cdr(call, ATTEMPT, 1, 1);
            row.disposition = if code == 200 { "answered" } else { "failed" }.into();
            row.sip_final_code = code;
            row.first_18x_ts = rang.then_some(T0 + 900_000);
            row.vendor_q850 = Some(cause);
            store.write(0, vec![Arc::new(row)], call as u64).expect("write");
        }
    }
    let query = TrafficQuery {
        filter: CdrFilter { record_type: ATTEMPT.into(), ..CdrFilter::default() },
        group_by: vec![GroupBy::Carrier],
    };
    for step in ["memory", "files"] {
        let rows = rt.block_on(store.traffic(query.clone())).expect("traffic");
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(row.group, ["alfa"]);
        assert_eq!((row.answered, row.network_effective, row.seizures, row.bids), (48, 80, 100, 100), "{step}");
        rt.block_on(store.flush()).expect("flush");
    }
}

#[test]
fn one_refusal_event_for_many_calls_counts_as_many() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let mut refused = cdr(1, FINAL, 0, 1);
    (refused.disposition, refused.count, refused.attempts_total, refused.sip_final_code) = ("blocked".into(), 250, 0, 503);
    store.write(0, vec![Arc::new(refused), Arc::new(cdr(2, FINAL, 1, 1))], 1).expect("write");
    let query = TrafficQuery { filter: CdrFilter { record_type: FINAL.into(), ..CdrFilter::default() }, group_by: vec![GroupBy::Day] };
    let rows = rt.block_on(store.traffic(query)).expect("traffic");
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(row.group, [time::format_rfc3339(T0)]);
    assert_eq!((row.bids, row.refused, row.seizures, row.answered), (251, 250, 1, 1));
}
