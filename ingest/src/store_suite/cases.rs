//! Rows and lists.

use std::sync::Arc;

use tollgate_schemas::{
    cdr::{ATTEMPT, COLUMNS, Cdr, FINAL},
    id::Id,
    store::{CdrFilter, CdrQuery, GroupBy, RowKey, StoreError, TrafficQuery},
};

use super::{
    Bed, Model,
    model::matches,
    only,
    rows::{CALLS, HOUR, Rng, T0, cdr, full_row, random_filter, small_row},
};

const DAY: i64 = 24 * HOUR;

/// Compares column by column, for a message one can read.
fn same(got: &[Arc<Cdr>], want: &[Cdr], what: &dyn std::fmt::Debug) {
    let keys = |rows: &mut dyn Iterator<Item = &Cdr>| rows.map(RowKey::of).collect::<Vec<_>>();
    assert_eq!(keys(&mut got.iter().map(|r| &**r)), keys(&mut want.iter()), "{what:?}");
    for (got, want) in got.iter().zip(want) {
        for c in COLUMNS {
            assert_eq!((c.get)(got), (c.get)(want), "{what:?}: {} of {:?}", c.name, RowKey::of(want));
        }
    }
}

fn page(filter: CdrFilter, limit: usize) -> CdrQuery {
    CdrQuery { filter, after: None, limit }
}

pub(super) fn empty(bed: &mut Bed) {
    for round in 0..2 {
        assert!(bed.all(FINAL).is_empty(), "round {round}");
        let filter = CdrFilter { tenant: Some("acme".into()), b_number: Some("1".into()), ..only(ATTEMPT) };
        assert!(bed.cdrs(page(filter.clone(), 10)).is_empty());
        assert!(bed.traffic(&TrafficQuery { filter, group_by: vec![GroupBy::Hour] }).is_empty());
        assert!(bed.traffic(&TrafficQuery { filter: only(FINAL), group_by: vec![] }).is_empty());
        bed.flush();
        bed.store.write(0, vec![], 5).expect("an empty batch");
    }
    bed.write(0, &[cdr(1, FINAL, 1, 1)], 6);
    assert!(bed.cdrs(page(only(FINAL), 0)).is_empty(), "limit 0");
    assert_eq!(bed.cdrs(page(only(FINAL), 1)).len(), 1);
    for bad in ["", "Final", "other"] {
        let list = bed.wait(bed.store.cdrs(page(only(bad), 1)));
        assert!(matches!(list, Err(StoreError::BadQuery(_))), "{list:?}");
        let report = bed.wait(bed.store.traffic(TrafficQuery { filter: only(bad), group_by: vec![] }));
        assert!(matches!(report, Err(StoreError::BadQuery(_))), "{report:?}");
    }
    let none = CdrFilter { since_us: Some(T0 + 5), until_us: Some(T0 + 5), ..only(FINAL) };
    assert!(bed.cdrs(page(none.clone(), 9)).is_empty());
    assert!(bed.traffic(&TrafficQuery { filter: none, group_by: vec![] }).is_empty());
    let ever = CdrFilter { since_us: Some(i64::MIN), until_us: Some(i64::MAX), ..only(FINAL) };
    assert_eq!(bed.cdrs(page(ever, 9)).len(), 1);
}

pub(super) fn every_column(bed: &mut Bed) {
    let mut rng = Rng(11);
    let mut model = Model::default();
    let rows: Vec<Cdr> = (1..300).map(|i| full_row(&mut rng, i)).collect();
    rows.iter().for_each(|r| model.write(r));
    bed.write(3, &rows, 300);
    for step in ["written", "flushed", "reopened"] {
        for kind in [FINAL, ATTEMPT] {
            same(&bed.all(kind), &model.cdrs(&page(only(kind), usize::MAX)), &(step, kind));
        }
        if step == "written" {
            bed.flush();
        } else {
            (bed.reopen)(&mut bed.store);
        }
    }
}

pub(super) fn decimals(bed: &mut Bed) {
    let amounts = [999_999_999_999_999_999, -999_999_999_999_999_999, 1, -1, 0, i64::MAX, i64::MIN, 10, -10_000_000_001];
    let mut rows = Vec::new();
    for (i, amount) in amounts.into_iter().enumerate() {
        let mut row = cdr(i as u128 + 1, FINAL, 1, 1);
        (row.sell_amount, row.cost_amount, row.margin_base) = (amount, amount.wrapping_neg(), Some(amount));
        (row.sell_rate, row.cost_rate) = (Some(amount), (i % 2 == 0).then_some(amount));
        row.pdd_ms = (i % 2 == 0).then_some(0);
        row.vendor_q850 = (i % 3 == 0).then_some(0);
        row.answer_ts = (i % 2 == 0).then_some(0);
        row.block_id = (i % 2 == 0).then(|| Id::NIL.to_vec());
        rows.push(row);
    }
    bed.write(0, &rows, 9);
    for step in ["written", "flushed"] {
        let mut got = bed.all(FINAL);
        got.sort_by_key(|r| r.call_uuid.clone());
        same(&got, &rows, &step);
        bed.flush();
    }
}

pub(super) fn at_once(bed: &mut Bed) {
    for call in 1..60u128 {
        let mut row = cdr(call, FINAL, 1, 1);
        row.invite_ts += call as i64 * 60_000_000;
        bed.write((call % 4) as u16, &[row], call as u64);
        let newest = bed.cdrs(page(only(FINAL), 1));
        assert_eq!(newest.first().map(|r| Id::of(&r.call_uuid)), Some(Id(call)));
        let report = bed.traffic(&TrafficQuery { filter: only(FINAL), group_by: vec![] });
        assert_eq!(report[0].bids, call as u64);
        if call % 20 == 0 {
            bed.flush();
        }
    }
}

fn everything(bed: &Bed, model: &Model, what: &dyn std::fmt::Debug) {
    for kind in [FINAL, ATTEMPT] {
        let query = page(only(kind), 100_000);
        same(&bed.cdrs(query.clone()), &model.cdrs(&query), what);
        let report = TrafficQuery { filter: only(kind), group_by: vec![GroupBy::Account, GroupBy::Day] };
        assert_eq!(bed.traffic(&report), model.traffic(&report), "{what:?}");
    }
}

pub(super) fn repeats(bed: &mut Bed) {
    let mut rng = Rng(5);
    let mut model = Model::default();
    let mut rows: Vec<Cdr> = (0..600).map(|_| small_row(&mut rng)).collect();
    rows.iter().for_each(|r| model.write(r));
    let mut next = 0;
    for (round, size) in [97, 600, 13, 250].into_iter().enumerate() {
        for batch in rows.chunks(size) {
            next += batch.len() as u64;
            bed.write(0, batch, next);
        }
        everything(bed, &model, &("batches of", size));
        if round == 1 {
            bed.flush();
            everything(bed, &model, &"flushed");
        }
        if round == 2 {
            (bed.reopen)(&mut bed.store);
            everything(bed, &model, &"reopened");
        }
        // Another order each time, with some rows twice in a batch.
        for i in (1..rows.len()).rev() {
            rows.swap(i, rng.below(i as u64 + 1) as usize);
        }
        rows.extend_from_within(..50);
    }
    bed.flush();
    everything(bed, &model, &"at the end");
}

pub(super) fn as_of(bed: &mut Bed) {
    let version = |call: u128, n: u32, last_offset: u64| {
        let mut row = cdr(call, FINAL, 1, n);
        (row.partition, row.event_last_offset) = ((call % 2) as u32, last_offset);
        row.invite_ts = T0 + call as i64;
        row.sell_amount = i64::from(n) * 100;
        row
    };
    // Versions of call 2 lie in partition 0, those of 1 and 3 in partition 1; a later version is stored before an earlier one.
    bed.write(0, &[version(2, 1, 10), version(2, 3, 30)], 2);
    bed.write(1, &[version(1, 1, 5), version(3, 2, 9), version(3, 1, 6)], 3);
    bed.flush();
    bed.write(0, &[version(2, 2, 20)], 3);
    for step in ["fresh", "flushed", "reopened"] {
        for (as_of, want) in [
            ([0, 0], &[][..]), ([10, 5], &[]), ([11, 6], &[(1, 1), (2, 1)]), ([20, 7], &[(1, 1), (2, 1), (3, 1)]),
            ([21, 9], &[(1, 1), (2, 2), (3, 1)]), ([30, 10], &[(1, 1), (2, 2), (3, 2)]), ([31, 100], &[(1, 1), (2, 3), (3, 2)]),
        ] {
            let filter = CdrFilter { as_of: Some(as_of.to_vec()), ..only(FINAL) };
            let mut seen: Vec<(u128, u32)> = bed.cdrs(page(filter.clone(), 9)).iter().map(|r| (Id::of(&r.call_uuid).0, r.cdr_version)).collect();
            seen.sort_unstable();
            assert_eq!(seen, want, "{step}, as of {as_of:?}");
            let sum: i64 = bed.traffic(&TrafficQuery { filter, group_by: vec![] }).iter().map(|r| r.sell_e8).sum();
            assert_eq!(sum, want.iter().map(|(_, n)| i64::from(*n) * 100).sum::<i64>(), "{step}, sums as of {as_of:?}");
        }
        // A store of one partition more than the position names has nothing of it.
        let short = CdrFilter { as_of: Some(vec![100]), ..only(FINAL) };
        assert_eq!(bed.cdrs(page(short, 9)).len(), 1, "{step}");
        if step == "fresh" { bed.flush() } else { (bed.reopen)(&mut bed.store) }
    }
}

pub(super) fn versions(bed: &mut Bed) {
    let version = |call, n: u32| {
        let mut row = cdr(call, FINAL, 1, n);
        // A correction may move a row in time, to another sub-account, another number.
        row.invite_ts = T0 + i64::from(n) * 7 * HOUR + DAY;
        row.account = format!("sub{n}");
        row.b_number_e164 = format!("1212555000{n}");
        row.sell_amount = i64::from(n) * 100;
        row
    };
    let total = |bed: &Bed| bed.traffic(&TrafficQuery { filter: only(FINAL), group_by: vec![] })[0].clone();
    let mut next = 0;
    for (call, order) in [(1, [1, 2, 3]), (2, [3, 2, 1]), (3, [2, 3, 1])] {
        let mut highest = 0;
        for n in order {
            next += 1;
            bed.write(0, &[version(call, n)], next);
            highest = highest.max(n);
            let own = CdrFilter { call_uuid: Some(Id(call)), ..only(FINAL) };
            same(&bed.cdrs(page(own, 9)), &[version(call, highest)], &(call, n));
            for old in 1..highest {
                let by_old = [
                    CdrFilter { account: Some(format!("sub{old}")), call_uuid: Some(Id(call)), ..only(FINAL) },
                    CdrFilter { b_number: Some(format!("1212555000{old}")), call_uuid: Some(Id(call)), ..only(FINAL) },
                ];
                for filter in by_old {
                    assert!(bed.cdrs(page(filter, 9)).is_empty(), "version {old} of {highest}");
                }
            }
            if n == 2 {
                bed.flush();
            }
        }
    }
    for step in ["written", "flushed", "reopened"] {
        assert_eq!((total(bed).bids, total(bed).sell_e8), (3, 900), "{step}");
        let by_account = bed.traffic(&TrafficQuery { filter: only(FINAL), group_by: vec![GroupBy::Account] });
        assert_eq!(by_account.iter().map(|r| r.group[0].as_str()).collect::<Vec<_>>(), ["sub3"], "{step}");
        if step == "written" {
            bed.flush();
        } else {
            (bed.reopen)(&mut bed.store);
        }
    }
    // The attempt of the same number and the other record type are other rows.
    bed.write(0, &[cdr(1, ATTEMPT, 1, 1), cdr(1, FINAL, 2, 1)], next + 1);
    assert_eq!((bed.all(ATTEMPT).len(), bed.all(FINAL).len()), (1, 4));
}

pub(super) fn pages(bed: &mut Bed) {
    let mut rng = Rng(21);
    let mut model = Model::default();
    for round in 0..6u64 {
        let mut rows: Vec<Cdr> = (0..60).map(|_| small_row(&mut rng)).collect();
        // Many at the same microsecond, and two far away, so that a look back goes over empty time.
        for (i, row) in rows.iter_mut().enumerate() {
            if row.cdr_version == 1 && i % 3 == 0 {
                *row = cdr(100_000 + u128::from(round) * 1_000 + i as u128, FINAL, 1, 1);
            }
        }
        rows.push(Cdr { invite_ts: T0 - 400 * DAY, ..cdr(200_000 + u128::from(round), FINAL, 1, 1) });
        rows.iter().for_each(|r| model.write(r));
        bed.write((round % 4) as u16, &rows, 60 * (round + 1));
        if round == 3 {
            bed.flush();
        }
    }
    for (limit, filter) in [
        (7, only(FINAL)),
        (50, only(ATTEMPT)),
        (3, CdrFilter { tenant: Some("globex".into()), ..only(ATTEMPT) }),
        (11, CdrFilter { since_us: Some(T0), until_us: Some(T0 + DAY), ..only(FINAL) }),
    ] {
        let whole = model.cdrs(&page(filter.clone(), usize::MAX));
        let (mut got, mut after) = (Vec::new(), None);
        loop {
            let query = CdrQuery { filter: filter.clone(), after, limit };
            let part = bed.cdrs(query.clone());
            same(&part, &model.cdrs(&query), &query);
            let Some(last) = part.last() else { break };
            after = Some(RowKey::of(last));
            got.extend(part);
        }
        same(&got, &whole, &limit);
    }
}

pub(super) fn filters(bed: &mut Bed) {
    let mut rng = Rng(31);
    let mut model = Model::default();
    for round in 0..4u64 {
        let rows: Vec<Cdr> = (0..200).map(|_| small_row(&mut rng)).collect();
        rows.iter().for_each(|r| model.write(r));
        bed.write(0, &rows, round + 1);
        if round == 2 {
            bed.flush();
        }
    }
    let of = |text: &str| Some(text.to_owned());
    let alone = [
        CdrFilter { tenant: of("globex"), ..only(FINAL) },
        CdrFilter { since_us: Some(T0 + DAY), ..only(FINAL) },
        CdrFilter { until_us: Some(T0 + DAY), ..only(FINAL) },
        CdrFilter { account: of("it's; --"), ..only(FINAL) },
        CdrFilter { payer: of("acme"), ..only(FINAL) },
        CdrFilter { payer: of("mid_1"), ..only(ATTEMPT) },
        CdrFilter { resold: true, ..only(FINAL) },
        CdrFilter { trunk: of("t2"), ..only(FINAL) },
        CdrFilter { carrier: of(""), ..only(FINAL) },
        CdrFilter { disposition: of("blocked"), ..only(FINAL) },
        CdrFilter { sip_call_id_in: of("c7"), ..only(ATTEMPT) },
        CdrFilter { a_number: of("49303"), ..only(ATTEMPT) },
        CdrFilter { b_number: of("12124"), ..only(ATTEMPT) },
    ];
    let some = model.current().next().map(|r| Id::of(&r.call_uuid));
    let by_id = [FINAL, ATTEMPT].map(|kind| CdrFilter { call_uuid: some, ..only(kind) });
    for filter in alone {
        let found = model.current().filter(|r| matches(&filter, r)).count();
        let kind = model.current().filter(|r| r.record_type == filter.record_type).count();
        assert!(found > 0 && found < kind, "the case shows something: {filter:?}");
        let query = page(filter, 100_000);
        same(&bed.cdrs(query.clone()), &model.cdrs(&query), &query);
    }
    let random: Vec<CdrFilter> = (0..80).map(|_| random_filter(&mut rng)).collect();
    for filter in by_id.into_iter().chain(random) {
        let query = page(filter, 1 + rng.below(120) as usize);
        same(&bed.cdrs(query.clone()), &model.cdrs(&query), &query);
    }
    // What means something in SQL is a value like any other.
    for text in ["' OR 1=1 --", "\\", "it''s", "{p0:String}", "?", "%", "a\u{0}b", "\n\t"] {
        let filter = CdrFilter { account: of(text), tenant: of(text), sip_call_id_in: of(text), ..only(FINAL) };
        assert!(bed.cdrs(page(filter, 10)).is_empty(), "{text:?}");
        let payer = CdrFilter { payer: of(text), ..only(FINAL) };
        assert!(bed.cdrs(page(payer, 10)).is_empty(), "payer {text:?}");
    }
    let mut odd = cdr(CALLS as u128 + 1, FINAL, 1, 1);
    odd.account = "tab\tnew\nline \\N \\ 'ü' 😀".into();
    bed.write(0, std::slice::from_ref(&odd), 9);
    same(&bed.cdrs(page(CdrFilter { account: Some(odd.account.clone()), ..only(FINAL) }, 9)), &[odd], &"odd text");
}

pub(super) fn tenants(bed: &mut Bed) {
    let own = |call, root: &str, account: &str| Cdr { root_account: root.into(), account: account.into(), ..cdr(call, FINAL, 1, 1) };
    let rows = [own(1, "acme", "acme"), own(2, "acme", "shop"), own(3, "globex", "globex"), own(4, "globex", "shop2"), own(5, "", "")];
    bed.write(0, &rows, 5);
    for step in ["written", "flushed"] {
        for (tenant, want) in [
            (Some("acme"), vec![2u128, 1]), (Some("shop"), vec![2]), (Some("globex"), vec![4, 3]), (Some("nobody"), vec![]),
            (Some("acm%"), vec![]), (Some("acme' OR '1'='1"), vec![]), (None, vec![5, 4, 3, 2, 1]),
        ] {
            let filter = CdrFilter { tenant: tenant.map(str::to_owned), ..only(FINAL) };
            let got: Vec<Id> = bed.cdrs(page(filter.clone(), 99)).iter().map(|r| Id::of(&r.call_uuid)).collect();
            assert_eq!(got, want.iter().map(|n| Id(*n)).collect::<Vec<_>>(), "{step} {tenant:?}");
            for group_by in [vec![], vec![GroupBy::Account], vec![GroupBy::Carrier], vec![GroupBy::Destination], vec![GroupBy::Trunk, GroupBy::Carrier]] {
                let report = bed.traffic(&TrafficQuery { filter: filter.clone(), group_by: group_by.clone() });
                assert_eq!(report.iter().map(|r| r.bids).sum::<u64>(), want.len() as u64, "{step} {tenant:?} {group_by:?}");
            }
            // Neither another's id nor a position in the list leads out.
            let foreign = CdrFilter { call_uuid: Some(Id(3)), ..filter.clone() };
            assert_eq!(bed.cdrs(page(foreign, 9)).len(), want.iter().filter(|n| **n == 3).count());
            let after = Some(RowKey { invite_us: T0 + 1, call: Id(u128::MAX), attempt_no: 9 });
            assert_eq!(bed.cdrs(CdrQuery { filter, after, limit: 99 }).len(), want.len());
        }
        bed.flush();
    }
}

pub(super) fn borders(bed: &mut Bed) {
    let mut model = Model::default();
    // An hour's, a day's and a month's first and last microsecond; before 1970; leap day.
    let borders = [T0, T0 + HOUR, T0 + DAY, T0 + 2 * DAY, 0, -1, -HOUR, -(DAY * 365), 1_709_164_800_000_000];
    let mut rows = Vec::new();
    for (i, border) in borders.into_iter().enumerate() {
        for (j, at) in [border - 1, border, border + 1].into_iter().enumerate() {
            rows.push(Cdr { invite_ts: at, ..cdr((i * 3 + j) as u128 + 1, FINAL, 1, 1) });
        }
    }
    rows.iter().for_each(|r| model.write(r));
    bed.write(0, &rows, 1);
    for step in ["written", "flushed"] {
        for border in borders {
            for (since, until) in [(Some(border), None), (None, Some(border)), (Some(border), Some(border + HOUR)), (Some(border - DAY), Some(border + 1))] {
                let filter = CdrFilter { since_us: since, until_us: until, ..only(FINAL) };
                let query = page(filter.clone(), 1_000);
                same(&bed.cdrs(query.clone()), &model.cdrs(&query), &(step, &query));
                for group_by in [vec![], vec![GroupBy::Hour], vec![GroupBy::Day, GroupBy::Account]] {
                    let report = TrafficQuery { filter: filter.clone(), group_by };
                    assert_eq!(bed.traffic(&report), model.traffic(&report), "{step} {report:?}");
                }
            }
        }
        bed.flush();
    }
}

pub(super) fn refusals(bed: &mut Bed) {
    let good = cdr(1, FINAL, 1, 1);
    let bad = [
        ("short id", Cdr { call_uuid: vec![1; 15], ..good.clone() }),
        ("no id", Cdr { call_uuid: vec![], ..good.clone() }),
        ("other record type", Cdr { record_type: "interim".into(), ..good.clone() }),
        ("version 0", Cdr { cdr_version: 0, ..good.clone() }),
        ("short block id", Cdr { block_id: Some(vec![1; 3]), ..good.clone() }),
    ];
    for (what, row) in bad {
        let done = bed.store.write(0, vec![Arc::new(good.clone()), Arc::new(row)], 1);
        assert!(matches!(done, Err(StoreError::BadQuery(_))), "{what}: {done:?}");
    }
    assert!(bed.all(FINAL).is_empty());
    bed.write(0, &[good], 1);
    assert_eq!(bed.all(FINAL).len(), 1);
}

pub(super) fn reopening(bed: &mut Bed) {
    let mut rng = Rng(41);
    let mut model = Model::default();
    for round in 0..3u64 {
        let rows: Vec<Cdr> = (0..150).map(|_| small_row(&mut rng)).collect();
        rows.iter().for_each(|r| model.write(r));
        bed.write(1, &rows, 150 * (round + 1));
        bed.flush();
        (bed.reopen)(&mut bed.store);
        if let Some(positions) = bed.store.positions() {
            assert_eq!(positions[1], 150 * (round + 1));
        }
        everything(bed, &model, &round);
    }
}
