//! The rollups beside the rows they were made from.

use std::sync::Arc;

use tollgate_clickhouse::{ClickhouseStore, Options};
use tollgate_ingest::store_suite::{Model, Rng, T0, cdr, only, small_row};
use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    store::{CdrFilter, CdrStore, GroupBy, TrafficQuery},
};

use crate::{runtime, server::Server};

fn queries() -> Vec<TrafficQuery> {
    let tenant = |name: &str| CdrFilter { tenant: Some(name.to_owned()), ..CdrFilter::default() };
    let month = CdrFilter { since_us: Some(T0 - 86_400_000_000), until_us: Some(T0 + 5 * 86_400_000_000), ..CdrFilter::default() };
    let filters = [CdrFilter::default(), tenant("acme"), tenant("it's; --"), CdrFilter { carrier: Some("alfa".into()), ..CdrFilter::default() }, month];
    let groups: [&[GroupBy]; 8] = [
        &[], &[GroupBy::Account], &[GroupBy::Carrier, GroupBy::Hour], &[GroupBy::Day], &[GroupBy::Destination, GroupBy::Country],
        &[GroupBy::Trunk, GroupBy::Day], &[GroupBy::Account, GroupBy::Carrier], &[GroupBy::Account, GroupBy::Trunk, GroupBy::Carrier],
    ];
    let mut all = Vec::new();
    for kind in [FINAL, ATTEMPT] {
        for filter in &filters {
            for group_by in groups {
                all.push(TrafficQuery { filter: CdrFilter { record_type: kind.into(), ..filter.clone() }, group_by: group_by.to_vec() });
            }
        }
    }
    all
}

fn agree(rt: &tokio::runtime::Runtime, store: &ClickhouseStore, model: &Model, what: &str) {
    for query in queries() {
        let want = model.traffic(&query);
        assert_eq!(rt.block_on(store.traffic_from_rows(query.clone())).expect("rows"), want, "{what}, rows: {query:?}");
        assert_eq!(rt.block_on(store.traffic(query.clone())).expect("sums"), want, "{what}, sums: {query:?}");
    }
}

#[test]
fn sums_equal_rows_before_and_after_repeats_corrections_and_a_writer_that_died() {
    let server = Server::start();
    let rt = runtime();
    let options = server.options();
    let mut rng = Rng(7);
    let mut model = Model::default();
    let mut write = |store: &ClickhouseStore, model: &mut Model, n: usize| {
        let rows: Vec<Cdr> = (0..n).map(|_| small_row(&mut rng)).collect();
        rows.iter().for_each(|r| model.write(r));
        store.write(0, rows.into_iter().map(Arc::new).collect(), 1).expect("write");
    };
    let store = ClickhouseStore::open(options.clone()).expect("open");
    write(&store, &mut model, 700);
    rt.block_on(store.flush()).expect("flush");
    agree(&rt, &store, &model, "summed");
    // Most of these come again, some as new versions that move a call out of its hour.
    write(&store, &mut model, 300);
    agree(&rt, &store, &model, "written to again");
    rt.block_on(store.flush()).expect("flush");
    agree(&rt, &store, &model, "summed again");

    // Another process reads, and one writes beside this one.
    let reader = ClickhouseStore::open(Options { writer: "reader".into(), ..options.clone() }).expect("open");
    let second = ClickhouseStore::open(Options { writer: "second".into(), ..options.clone() }).expect("open");
    write(&second, &mut model, 60);
    write(&store, &mut model, 60);
    rt.block_on(store.flush()).expect("flush");
    agree(&rt, &reader, &model, "one of two writers has summed up");
    // It dies with hours open: they stay rows for everyone, until it is back.
    drop(second);
    rt.block_on(reader.flush()).expect("a reader has nothing to sum up");
    agree(&rt, &reader, &model, "a writer died");
    let second = ClickhouseStore::open(Options { writer: "second".into(), ..options.clone() }).expect("open");
    rt.block_on(second.flush()).expect("flush");
    agree(&rt, &reader, &model, "it came back");
    let asked = second.recompute(T0 - 86_400_000_000, T0 + 86_400_000_000);
    assert!(rt.block_on(asked).expect("recompute") > 10);
    agree(&rt, &reader, &model, "summed up once more");
}

#[test]
fn a_report_over_summed_hours_reads_no_rows() {
    let server = Server::start();
    let rt = runtime();
    let options = server.options();
    let store = ClickhouseStore::open(options.clone()).expect("open");
    let rows: Vec<Arc<Cdr>> = (0..240u32).map(|n| Arc::new(Cdr { invite_ts: T0 + i64::from(n) * 360_000_000, ..cdr(u128::from(n) + 1, FINAL, 1, 1) })).collect();
    store.write(0, rows, 1).expect("write");
    rt.block_on(store.flush()).expect("flush");
    // Rows gone behind the store's back show what a report is taken from.
    let client = clickhouse::Client::default().with_url(&options.url).with_database(&options.database);
    rt.block_on(client.query_raw("TRUNCATE TABLE cdr").execute()).expect("truncate");
    let day = CdrFilter { since_us: Some(T0), until_us: Some(T0 + 86_400_000_000), ..only(FINAL) };
    for group_by in [vec![], vec![GroupBy::Hour], vec![GroupBy::Day], vec![GroupBy::Account]] {
        let report = rt.block_on(store.traffic(TrafficQuery { filter: day.clone(), group_by })).expect("traffic");
        assert_eq!(report.iter().map(|r| r.bids).sum::<u64>(), 240);
    }
    // Half an hour at the end is not in whole hours: 5 of its 10 calls would be rows.
    let less = CdrFilter { until_us: Some(T0 + 86_400_000_000 - 1_800_000_000), ..day };
    let report = rt.block_on(store.traffic(TrafficQuery { filter: less, group_by: vec![] })).expect("traffic");
    assert_eq!(report[0].bids, 230);
}
