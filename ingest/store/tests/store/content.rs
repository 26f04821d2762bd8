//! What is written can be read: each column, each mix of memory and files, each order of arrival.

use std::sync::Arc;

use tollgate_schemas::{
    cdr::{ATTEMPT, COLUMNS, Cdr, FINAL},
    store::{CdrFilter, CdrQuery, CdrStore, RowKey, StoreError},
};
use tollgate_store::{EmbeddedStore, Options, columns, content_digest};

use crate::support::{Model, Rng, T0, all, cdr, full_row, open, options, random_filter, runtime, small_row};

#[test]
fn every_column_comes_back_from_arrow_and_from_files_to_the_last_digit() {
    let mut rng = Rng(11);
    let rows: Vec<Arc<Cdr>> = (1..300).map(|i| Arc::new(full_row(&mut rng, i))).collect();
    let batch = columns::to_batch(&rows).expect("batch");
    let back = columns::from_batch(&batch).expect("rows");
    assert!(rows.iter().zip(&back).all(|(a, b)| **a == *b));

    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    store.write(3, rows.clone(), 300).expect("write");
    let rt = runtime();
    for step in ["memory", "files", "reopened"] {
        let store = match step {
            "memory" => store.clone(),
            "files" => {
                rt.block_on(store.flush()).expect("flush");
                assert_eq!(store.fresh_rows(), 0);
                store.clone()
            }
            _ => {
                // Only one may have the folder open.
                assert!(matches!(EmbeddedStore::open(dir.path(), options()), Err(StoreError::Unavailable(_))));
                store.clone()
            }
        };
        for kind in [FINAL, ATTEMPT] {
            let got = rt.block_on(store.cdrs(all(kind))).expect("cdrs");
            let mut want: Vec<_> = rows.iter().filter(|r| r.record_type == kind).cloned().collect();
            want.sort_by_key(|r| std::cmp::Reverse(RowKey::of(r)));
            assert_eq!(got.len(), want.len(), "{step}");
            for (got, want) in got.iter().zip(&want) {
                for c in COLUMNS {
                    assert_eq!((c.get)(got), (c.get)(want), "{step}: {}", c.name);
                }
            }
        }
    }
}

#[test]
fn decimals_keep_the_last_digit() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let rt = runtime();
    let amounts = [999_999_999_999_999_999, -999_999_999_999_999_999, 1, -1, 0, i64::MAX, i64::MIN];
    for (i, amount) in amounts.into_iter().enumerate() {
        let mut row = cdr(i as u128 + 1, FINAL, 1, 1);
        (row.sell_amount, row.margin_base, row.sell_rate) = (amount, Some(amount), Some(amount));
        store.write(0, vec![Arc::new(row)], i as u64 + 1).expect("write");
    }
    rt.block_on(store.flush()).expect("flush");
    let mut got = rt.block_on(store.cdrs(all(FINAL))).expect("cdrs");
    got.sort_by_key(|r| r.call_uuid.clone());
    for (row, amount) in got.iter().zip(amounts) {
        assert_eq!((row.sell_amount, row.margin_base, row.sell_rate), (amount, Some(amount), Some(amount)));
    }
}

#[test]
fn a_row_can_be_queried_when_write_returns() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let rt = runtime();
    for call in 1..200u128 {
        let mut row = cdr(call, FINAL, 1, 1);
        row.invite_ts += call as i64;
        store.write((call % 16) as u16, vec![Arc::new(row)], call as u64).expect("write");
        let newest = CdrQuery { limit: 1, ..all(FINAL) };
        let got = rt.block_on(store.cdrs(newest)).expect("cdrs");
        assert_eq!(got[0].invite_ts, T0 + call as i64);
        if call % 50 == 0 {
            rt.block_on(store.flush()).expect("flush");
        }
    }
    assert_eq!(rt.block_on(store.cdrs(all(FINAL))).expect("cdrs").len(), 199);
}

#[test]
fn c_002_the_highest_version_is_read_wherever_it_is_and_whenever_it_came() {
    let rt = runtime();
    // Where to flush between the writes, and in which order versions come.
    for flushes in 0..8u32 {
        for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
            let dir = tempfile::tempdir().expect("dir");
            let store = open(dir.path());
            for (i, version) in order.into_iter().enumerate() {
                let mut row = cdr(7, FINAL, 1, version);
                row.sell_amount = i64::from(version);
                let mut other = cdr(100 + i as u128, FINAL, 1, 1);
                other.sell_amount = 1;
                store.write(0, vec![Arc::new(row), Arc::new(other)], i as u64 + 1).expect("write");
                if flushes >> i & 1 == 1 {
                    rt.block_on(store.flush()).expect("flush");
                }
            }
            let only = |id| CdrQuery {
                filter: CdrFilter { call_uuid: Some(tollgate_schemas::id::Id(id)), ..all(FINAL).filter },
                ..all(FINAL)
            };
            let got = rt.block_on(store.cdrs(only(7))).expect("cdrs");
            assert_eq!(got.iter().map(|r| r.cdr_version).collect::<Vec<_>>(), [3], "{flushes:b} {order:?}");
            assert_eq!(rt.block_on(store.cdrs(all(FINAL))).expect("cdrs").len(), 4);
            rt.block_on(store.flush()).expect("flush");
            drop(store);
            let store = open(dir.path());
            let got = rt.block_on(store.cdrs(only(7))).expect("cdrs");
            assert_eq!(got.iter().map(|r| r.cdr_version).collect::<Vec<_>>(), [3], "reopened {flushes:b} {order:?}");
        }
    }
}

#[test]
fn a_row_written_again_changes_nothing() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let mut rng = Rng(5);
    let rows: Vec<Arc<Cdr>> = (1..500).map(|i| Arc::new(full_row(&mut rng, i))).collect();
    let mut digest = None;
    for round in 0..4 {
        // All at once, twice in one batch, then in pieces; into memory, then onto files, then after a reopening.
        let twice = rows.iter().chain(&rows).cloned().collect();
        store.write(1, twice, 500 + round).expect("write");
        for piece in rows.chunks(7) {
            store.write(1, piece.to_vec(), 500 + round).expect("write");
        }
        let count = rt.block_on(store.cdrs(all(FINAL))).expect("cdrs").len() + rt.block_on(store.cdrs(all(ATTEMPT))).expect("cdrs").len();
        assert_eq!(count, rows.len());
        rt.block_on(store.flush()).expect("flush");
        assert_eq!(store.positions().expect("its own")[1], 500 + round);
        let now = content_digest(dir.path()).expect("digest");
        assert_eq!(*digest.get_or_insert(now), now);
    }
    assert_eq!(store.file_count(), 2, "nothing new, no new file");
    drop(store);
    let store = open(dir.path());
    store.write(1, rows.clone(), 600).expect("write");
    assert_eq!(store.fresh_rows(), 0);
}

#[test]
fn any_mix_of_memory_and_files_answers_like_a_list() {
    let rt = runtime();
    for seed in 1..=6u64 {
        let mut rng = Rng(seed * 7919);
        let dir = tempfile::tempdir().expect("dir");
        let options = Options { merge_files: 2 + (seed % 3) as usize, ..options() };
        let mut store = EmbeddedStore::open(dir.path(), options.clone()).expect("open");
        let (mut model, mut durable) = (Model::default(), Model::default());
        let mut next = 0;
        for step in 0..60 {
            match rng.below(10) {
                0..=4 => {
                    let rows: Vec<_> = (0..rng.below(80)).map(|_| Arc::new(small_row(&mut rng))).collect();
                    rows.iter().for_each(|r| model.write(r));
                    next += rows.len() as u64;
                    store.write((next % 16) as u16, rows, next).expect("write");
                }
                5 | 6 => {
                    rt.block_on(store.flush()).expect("flush");
                    durable = model.clone();
                }
                7 => {
                    // A crash: what was in memory only is gone, and comes again from the log.
                    drop(store);
                    store = EmbeddedStore::open(dir.path(), options.clone()).expect("open");
                    let lost: Vec<_> = model.written().filter(|r| rng.below(2) == 0 || !durable.has(r)).cloned().map(Arc::new).collect();
                    store.write(0, lost, next).expect("write again");
                }
                _ => {
                    let mut query = CdrQuery { filter: random_filter(&mut rng), after: None, limit: 1 + rng.below(60) as usize };
                    let want = model.cdrs(&CdrQuery { limit: usize::MAX, ..query.clone() });
                    // The whole list page by page equals the whole list at once.
                    let mut got = Vec::new();
                    loop {
                        let page = rt.block_on(store.cdrs(query.clone())).expect("cdrs");
                        assert!(page.len() <= query.limit);
                        let last = page.len() < query.limit;
                        query.after = page.last().map(|r| RowKey::of(r));
                        got.extend(page.iter().map(|r| (**r).clone()));
                        if last {
                            break;
                        }
                    }
                    assert_eq!(got, want, "seed {seed} step {step} {:?}", query.filter);
                }
            }
        }
        rt.block_on(store.flush()).expect("flush");
        for kind in [FINAL, ATTEMPT] {
            let got: Vec<_> = rt.block_on(store.cdrs(all(kind))).expect("cdrs").iter().map(|r| (**r).clone()).collect();
            assert_eq!(got, model.cdrs(&all(kind)), "seed {seed}");
        }
        assert!(store.file_count() <= 32, "{} files", store.file_count());
        // The next flush comes after the merges of this one: no file goes while they are read.
        rt.block_on(store.flush()).expect("flush");
        // The same rows in one go, on another store, have the same digest.
        let other = tempfile::tempdir().expect("dir");
        let fresh = open(other.path());
        fresh.write(2, model.written().cloned().map(Arc::new).collect(), 1).expect("write");
        (0..2).for_each(|_| rt.block_on(fresh.flush()).expect("flush"));
        assert_eq!(content_digest(dir.path()).expect("digest"), content_digest(other.path()).expect("digest"));
    }
}

#[test]
fn paging_neither_skips_nor_repeats_while_rows_arrive_and_files_move() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let store = EmbeddedStore::open(dir.path(), Options { merge_files: 2, ..options() }).expect("open");
    let row = |call: u128| {
        let mut row = cdr(call, FINAL, 1, 1);
        row.invite_ts = T0 + (call / 3) as i64;
        Arc::new(row)
    };
    let old: Vec<_> = (1..=2_000).map(row).collect();
    store.write(0, old, 1).expect("write");
    let mut seen = Vec::new();
    let mut query = CdrQuery { limit: 130, ..all(FINAL) };
    for round in 0u128.. {
        let page = rt.block_on(store.cdrs(query.clone())).expect("cdrs");
        seen.extend(page.iter().map(|r| u128::from_be_bytes(r.call_uuid.clone().try_into().expect("16"))));
        query.after = page.last().map(|r| RowKey::of(r)).or(query.after);
        if page.len() < query.limit {
            break;
        }
        // Newer rows than the list began with, and a flush under its feet.
        store.write(0, (0..50).map(|i| row(10_000 + round * 50 + i)).collect(), 2 + round as u64).expect("write");
        rt.block_on(store.flush()).expect("flush");
    }
    assert_eq!(seen, (1..=2_000).rev().collect::<Vec<_>>());
}

#[test]
fn many_writers_and_readers_see_each_row_once() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let store = EmbeddedStore::open(dir.path(), Options { flush_rows: 500, merge_files: 2, ..options() }).expect("open");
    let writers: Vec<_> = (0..4u128)
        .map(|w| {
            let store = store.clone();
            std::thread::spawn(move || {
                for i in 0..150u128 {
                    let rows = (0..20).map(|k| Arc::new(cdr(1 + w * 1_000_000 + i * 20 + k, FINAL, 1, 1))).collect();
                    store.write(w as u16, rows, i as u64 + 1).expect("write");
                }
            })
        })
        .collect();
    let mut before = 0;
    while !writers.iter().all(|w| w.is_finished()) {
        let rows = rt.block_on(store.cdrs(all(FINAL))).expect("cdrs");
        let distinct: std::collections::BTreeSet<_> = rows.iter().map(|r| r.call_uuid.clone()).collect();
        assert_eq!(distinct.len(), rows.len(), "a row twice");
        assert!(rows.len() >= before, "a row gone: {} after {before}", rows.len());
        before = rows.len();
    }
    writers.into_iter().for_each(|w| w.join().expect("writer"));
    rt.block_on(store.flush()).expect("flush");
    assert_eq!(rt.block_on(store.cdrs(all(FINAL))).expect("cdrs").len(), 12_000);
    assert_eq!(store.positions().expect("its own")[..4], [150; 4]);
    assert_eq!(store.fresh_rows(), 0);
}

#[test]
fn bad_requests_are_said_to_be_bad() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let mut short = cdr(1, FINAL, 1, 1);
    short.call_uuid.pop();
    for (partition, row) in [(0, short), (0, cdr(1, "partial", 1, 1)), (0, cdr(1, FINAL, 1, 0)), (16, cdr(1, FINAL, 1, 1))] {
        assert!(matches!(store.write(partition, vec![Arc::new(row)], 1), Err(StoreError::BadQuery(_))));
    }
    assert!(matches!(rt.block_on(store.cdrs(all("partial"))), Err(StoreError::BadQuery(_))));
    assert_eq!(rt.block_on(store.cdrs(CdrQuery { limit: 0, ..all(FINAL) })).expect("cdrs").len(), 0);
    assert_eq!(rt.block_on(store.cdrs(all(FINAL))).expect("cdrs").len(), 0);
}
