//! Traffic reports.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    store::{CdrFilter, GroupBy, StoreError, TrafficQuery},
};

use super::{
    Bed, Model, only,
    rows::{HOUR, Rng, T0, cdr, random_filter, small_row},
};

fn random_report(rng: &mut Rng) -> TrafficQuery {
    let mut group_by: Vec<GroupBy> = GroupBy::ALL.into_iter().filter(|_| rng.below(4) == 0).collect();
    if rng.below(2) == 0 {
        group_by.reverse();
    }
    let mut filter = random_filter(rng);
    if rng.below(2) == 0 {
        // What sums by hour can answer.
        (filter.payer, filter.resold) = (None, false);
        (filter.disposition, filter.call_uuid, filter.sip_call_id_in, filter.a_number, filter.b_number) = (None, None, None, None, None);
    }
    TrafficQuery { filter, group_by }
}

pub(super) fn sums(bed: &mut Bed) {
    let mut rng = Rng(77);
    let mut model = Model::default();
    for round in 0..12u64 {
        let rows: Vec<Cdr> = (0..120).map(|_| small_row(&mut rng)).collect();
        // Rows of an hour that was summed up come again, and so do some of before.
        rows.iter().for_each(|r| model.write(r));
        bed.write(0, &rows, round + 1);
        if round % 3 == 1 {
            bed.flush();
        }
        if round == 7 {
            (bed.reopen)(&mut bed.store);
            // What was not in files comes again from the log.
            let again: Vec<Cdr> = model.written().cloned().collect();
            bed.write(0, &again, round + 1);
        }
        for _ in 0..8 {
            let query = random_report(&mut rng);
            assert_eq!(bed.traffic(&query), model.traffic(&query), "round {round}: {query:?}");
        }
    }
    bed.flush();
    for _ in 0..60 {
        let query = random_report(&mut rng);
        assert_eq!(bed.traffic(&query), model.traffic(&query), "flushed: {query:?}");
    }
}

pub(super) fn quantiles(bed: &mut Bed) {
    // 1 to 100, in no order, over many hours and both currencies of cost.
    let mut rows: Vec<Cdr> = (1..=100u64)
        .map(|n| Cdr {
            pdd_ms: Some(n * 37 % 101),
            invite_ts: T0 + n as i64 * HOUR / 3,
            cost_currency: if n % 3 == 0 { "EUR" } else { "USD" }.into(),
            ..cdr(n.into(), FINAL, 1, 1)
        })
        .collect();
    rows.push(Cdr { pdd_ms: None, ..cdr(101, FINAL, 1, 1) });
    bed.write(0, &rows, 101);
    let query = TrafficQuery { filter: only(FINAL), group_by: vec![] };
    for step in ["written", "flushed", "one more"] {
        let report = bed.traffic(&query);
        let usd = report.iter().find(|r| r.currency == "USD").expect("USD");
        let want = if step == "one more" { (101, Some(50), Some(95)) } else { (100, Some(50), Some(95)) };
        assert_eq!((usd.pdd_count, usd.pdd_ms_p50, usd.pdd_ms_p95), want, "{step}");
        if step == "written" {
            bed.flush();
        } else {
            bed.write(0, &[Cdr { pdd_ms: Some(0), ..cdr(102, FINAL, 1, 1) }], 102);
        }
    }
    // One value is every quantile; the largest there is survives; none is none.
    bed.write(0, &[Cdr { pdd_ms: Some(1 << 40), account: "lone".into(), ..cdr(103, FINAL, 1, 1) }], 103);
    bed.write(0, &[Cdr { pdd_ms: None, account: "none".into(), ..cdr(104, FINAL, 1, 1) }], 104);
    for (account, want) in [("lone", Some(1 << 40)), ("none", None)] {
        let filter = CdrFilter { account: Some(account.into()), ..only(FINAL) };
        let report = bed.traffic(&TrafficQuery { filter, group_by: vec![] });
        assert_eq!((report[0].pdd_ms_p50, report[0].pdd_ms_p95), (want, want), "{account}");
    }
}

pub(super) fn worked_fixture(bed: &mut Bed) {
    // (attempts, code, rang, cause): 48 answered, 12 busy, 15 no answer, 5 abandoned while ringing, 6 unallocated,
    // 10 unavailable, 4 timeouts.
    let mix = [(48, 200, true, 16), (12, 486, false, 17), (15, 480, true, 19), (5, 487, true, 16), (6, 404, false, 1), (10, 503, false, 41), (4, 408, false, 102)];
    let mut rows = Vec::new();
    for (n, code, rang, cause) in mix {
        for _ in 0..n {
            let mut row = cdr(rows.len() as u128 + 1, ATTEMPT, 1, 1);
            row.disposition = if code == 200 { "answered" } else { "failed" }.into();
            row.sip_final_code = code;
            row.first_18x_ts = rang.then_some(T0 + 900_000);
            row.vendor_q850 = Some(cause);
            rows.push(row);
        }
    }
    bed.write(0, &rows, 100);
    for step in ["written", "flushed"] {
        let report = bed.traffic(&TrafficQuery { filter: only(ATTEMPT), group_by: vec![GroupBy::Carrier] });
        let [row] = report.as_slice() else { panic!("{report:?}") };
        assert_eq!(row.group, ["alfa"]);
        assert_eq!((row.answered, row.network_effective, row.seizures, row.bids), (48, 80, 100, 100), "{step}");
        bed.flush();
    }
}

pub(super) fn counted_refusals(bed: &mut Bed) {
    let mut refused = cdr(1, FINAL, 0, 1);
    (refused.disposition, refused.count, refused.attempts_total, refused.sip_final_code) = ("blocked".into(), 250, 0, 503);
    bed.write(0, &[refused, cdr(2, FINAL, 1, 1)], 1);
    for step in ["written", "flushed"] {
        let report = bed.traffic(&TrafficQuery { filter: only(FINAL), group_by: vec![GroupBy::Day] });
        let [row] = report.as_slice() else { panic!("{report:?}") };
        assert_eq!(row.group, ["2026-11-30T00:00:00.000000Z"]);
        assert_eq!((row.bids, row.refused, row.seizures, row.answered), (251, 250, 1, 1), "{step}");
        bed.flush();
    }
}

pub(super) fn currencies(bed: &mut Bed) {
    let money = |call, sell: (i64, &str), cost: (i64, &str)| {
        let mut row = cdr(call, FINAL, 1, 1);
        (row.sell_amount, row.sell_currency) = (sell.0, sell.1.to_owned());
        (row.cost_amount, row.cost_currency) = (cost.0, cost.1.to_owned());
        row.margin_base = (sell.1 == cost.1).then_some(sell.0 - cost.0);
        row
    };
    let rows = [
        money(1, (100, "USD"), (60, "USD")),
        money(2, (100, "USD"), (50, "EUR")),
        // Two that cancel out still show their currency; one of nothing does not.
        money(3, (7, "USD"), (5, "GBP")),
        money(4, (7, "USD"), (-5, "GBP")),
        money(5, (7, "USD"), (0, "JPY")),
    ];
    bed.write(0, &rows, 5);
    for step in ["written", "flushed"] {
        let report = bed.traffic(&TrafficQuery { filter: only(FINAL), group_by: vec![GroupBy::Account] });
        let got: Vec<_> = report.iter().map(|r| (r.currency.as_str(), r.bids, r.sell_e8, r.cost_e8, r.margin_e8)).collect();
        assert_eq!(got, [("EUR", 0, 0, 50, 0), ("GBP", 0, 0, 0, 0), ("USD", 5, 221, 60, 40)], "{step}");
        bed.flush();
    }
}

pub(super) fn too_large(bed: &mut Bed) {
    let rows: Vec<Cdr> = (1..=3).map(|call| Cdr { sell_amount: i64::MAX, duration_ms: u64::MAX, ..cdr(call, FINAL, 1, 1) }).collect();
    let query = TrafficQuery { filter: only(FINAL), group_by: vec![] };
    bed.write(0, &rows[..1], 1);
    let report = bed.traffic(&query);
    assert_eq!((report[0].sell_e8, report[0].duration_ms), (i64::MAX, u64::MAX));
    bed.write(0, &rows[1..], 3);
    for _ in 0..2 {
        let done = bed.wait(bed.store.traffic(query.clone()));
        assert!(matches!(done, Err(StoreError::BadQuery(_))), "{done:?}");
        bed.flush();
    }
}

pub(super) fn while_writing(bed: &mut Bed) {
    let bed = &*bed;
    let (written, begun, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for t in 0..2u64 {
            let (written, begun) = (&written, &begun);
            let store = bed.store.clone();
            scope.spawn(move || {
                for n in 0..30u64 {
                    let rows: Vec<Arc<Cdr>> = (0..5)
                        .map(|k| {
                            let call = 1 + t * 1_000_000 + n * 5 + k;
                            // Hours that were summed up are written to again and again.
                            Arc::new(Cdr { invite_ts: T0 + (call % 7) as i64 * HOUR, ..cdr(call.into(), FINAL, 1, 1) })
                        })
                        .collect();
                    begun.fetch_add(5, Ordering::SeqCst);
                    store.write(t as u16, rows.clone(), n + 1).expect("write");
                    written.fetch_add(5, Ordering::SeqCst);
                    store.write(t as u16, rows, n + 1).expect("the same again");
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                bed.flush();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let query = TrafficQuery { filter: only(FINAL), group_by: vec![] };
        let mut reports = 0;
        while written.load(Ordering::SeqCst) < 300 || reports == 0 {
            let least = written.load(Ordering::SeqCst);
            let seen = bed.traffic(&query).first().map_or(0, |r| r.bids);
            let most = begun.load(Ordering::SeqCst);
            if !(least..=most).contains(&seen) {
                stop.store(true, Ordering::SeqCst);
                panic!("{seen} calls in a report, {least} written before it, {most} begun after");
            }
            reports += 1;
        }
        stop.store(true, Ordering::SeqCst);
    });
    bed.flush();
    assert_eq!(bed.traffic(&TrafficQuery { filter: only(FINAL), group_by: vec![GroupBy::Account] })[0].bids, 300);
}
