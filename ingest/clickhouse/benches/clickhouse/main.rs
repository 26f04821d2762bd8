//! What a CDR costs in ClickHouse: rows a second inserted, bytes a row and a column, lists and month reports beside the
//! same question put to the engine directly.
//!
//! `cargo bench -p tollgate-clickhouse [-- ROWS [CALLS_PER_SECOND]]`; by default a million rows over 30 days. Takes the
//! server of `CLICKHOUSE_URL`, or starts the engine itself (`pip install chdb-core`).

#[path = "../../tests/suite/server.rs"]
mod server;

mod rows;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rows::{Calls, START_US};
use tollgate_clickhouse::{ClickhouseStore, Options};
use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    store::{CdrFilter, CdrQuery, CdrStore, GroupBy, RowKey, TrafficQuery},
};

const BATCH: usize = 20_000;
const MONTH_US: i64 = 30 * 86_400_000_000;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse::<u64>().ok());
    let rows = args.next().unwrap_or(1_000_000).max(2);
    let every_us = args.next().map_or(MONTH_US / (rows as i64 / 2), |cps| 1_000_000 / cps.max(1) as i64).max(1);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let server = server::Server::start();
    let options = Options { request_timeout: Duration::from_secs(600), ..server.options() };
    let store = ClickhouseStore::open(options.clone()).expect("open");

    let mut calls = Calls::new(every_us);
    let (mut making, mut writing) = (Duration::ZERO, Duration::ZERO);
    let mut written = 0;
    while written < rows {
        let began = Instant::now();
        let batch: Vec<Arc<Cdr>> = (0..BATCH.min((rows - written) as usize) / 2).flat_map(|_| calls.next()).map(Arc::new).collect();
        making += began.elapsed();
        written += batch.len() as u64;
        let began = Instant::now();
        store.write(0, batch, written).expect("write");
        writing += began.elapsed();
        if rows - written < 2 {
            break;
        }
    }
    println!("inserted {written} rows in batches of {BATCH}: {:.0} rows/s (making them took {:.1} s)", written as f64 / writing.as_secs_f64(), making.as_secs_f64());
    let began = Instant::now();
    rt.block_on(store.flush()).expect("flush");
    println!("summed up by hour and day in {:.1} s: {:.0} rows/s", began.elapsed().as_secs_f64(), written as f64 / began.elapsed().as_secs_f64());

    let direct = Direct { options: &options, rt: &rt };
    let unmerged = direct.ask("SELECT sum(bytes_on_disk) / sum(rows), count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'cdr'");
    println!("bytes per row before the last merge (and parts): {}", unmerged.trim());
    reports(&rt, &store, &direct, "as inserted");
    let began = Instant::now();
    direct.ask("OPTIMIZE TABLE cdr FINAL");
    println!("merged into one part a month in {:.1} s", began.elapsed().as_secs_f64());
    let size = "SELECT table, sum(rows), sum(bytes_on_disk), round(sum(bytes_on_disk) / sum(rows), 2) FROM system.parts \
        WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table";
    println!("table, rows, bytes, bytes per row:\n{}", direct.ask(size));
    println!("bytes per CDR by column (stored, and as text):\n{}", direct.ask(&format!(
        "SELECT name, round(data_compressed_bytes / {written}, 3) AS b, round(data_uncompressed_bytes / {written}, 1) FROM system.columns \
         WHERE database = currentDatabase() AND table = 'cdr' AND b >= 0.05 ORDER BY b DESC"
    )));
    println!("indices: {}", direct.ask(&format!(
        "SELECT name, round(data_compressed_bytes / {written}, 3) FROM system.data_skipping_indices WHERE database = currentDatabase()"
    )));
    reports(&rt, &store, &direct, "merged");
    lists(&rt, &store, written, every_us);
}

fn reports(rt: &tokio::runtime::Runtime, store: &ClickhouseStore, direct: &Direct<'_>, state: &str) {
    println!("-- month reports, {state}");
    let month = |kind: &str| CdrFilter { record_type: kind.into(), since_us: Some(START_US), until_us: Some(START_US + 2 * MONTH_US), ..CdrFilter::default() };
    let queries = [
        ("by account", month(FINAL), vec![GroupBy::Account], "account", "final"),
        ("by carrier and day", month(ATTEMPT), vec![GroupBy::Carrier, GroupBy::Day], "carrier, toStartOfDay(invite_ts)", "attempt"),
        ("by account and destination", month(FINAL), vec![GroupBy::Account, GroupBy::Destination], "account, b_dest_group", "final"),
    ];
    for (name, filter, group_by, columns, kind) in queries {
        let query = TrafficQuery { filter, group_by };
        let summed = rt.block_on(store.traffic(query.clone())).expect("traffic");
        let scanned = rt.block_on(store.traffic_from_rows(query.clone())).expect("rows");
        assert_eq!(summed, scanned, "{name}");
        time(&format!("{name}, from sums"), || rt.block_on(store.traffic(query.clone())).expect("traffic").len());
        time(&format!("{name}, from rows"), || rt.block_on(store.traffic_from_rows(query.clone())).expect("traffic").len());
        // What someone would type, without versions, repeats or a second currency in mind; with exact quantiles too.
        let sql = format!(
            "SELECT {columns}, sell_currency, count(), countIf(disposition = 'answered'), sum(duration_ms), sum(billed_sec_sell), \
             sum(billed_sec_cost), sum(sell_amount), sum(cost_amount), sum(margin_base), quantilesExact(0.5, 0.95)(pdd_ms) FROM cdr \
             WHERE record_type = '{kind}' AND invite_ts >= '2026-11-01' GROUP BY {columns}, sell_currency"
        );
        time(&format!("{name}, the engine directly"), || direct.ask(&sql).lines().count());
    }
}

fn lists(rt: &tokio::runtime::Runtime, store: &ClickhouseStore, written: u64, every_us: i64) {
    println!("-- lists");
    let finals = CdrFilter { record_type: FINAL.into(), ..CdrFilter::default() };
    let page = |filter: CdrFilter| CdrQuery { filter, after: None, limit: 100 };
    let middle = START_US + written as i64 / 4 * every_us;
    let sample = rt.block_on(store.cdrs(CdrQuery {
        filter: finals.clone(),
        after: Some(RowKey { invite_us: middle, call: tollgate_schemas::id::Id(0), attempt_no: 0 }),
        limit: 1,
    }));
    let sample = sample.expect("cdrs").remove(0);
    let queries = [
        ("newest 100", page(finals.clone())),
        ("newest 100 of a tenant", page(CdrFilter { tenant: Some("account-007".into()), ..finals.clone() })),
        ("newest 100 of a sub-account", page(CdrFilter { tenant: Some("account-150".into()), ..finals.clone() })),
        ("100 before the middle", CdrQuery { after: Some(RowKey::of(&sample)), ..page(finals.clone()) }),
        ("one call by id", page(CdrFilter { call_uuid: Some(RowKey::of(&sample).call), ..finals.clone() })),
        ("one called number", page(CdrFilter { b_number: Some(sample.b_number_e164.clone()), ..finals.clone() })),
        ("one Call-ID", page(CdrFilter { sip_call_id_in: Some(sample.sip_call_id_in.clone()), ..finals.clone() })),
        ("1,000 of an export page", CdrQuery { limit: 1_000, ..page(finals) }),
    ];
    for (name, query) in queries {
        time(name, || rt.block_on(store.cdrs(query.clone())).expect("cdrs").len());
    }
}

struct Direct<'a> {
    options: &'a Options,
    rt: &'a tokio::runtime::Runtime,
}

impl Direct<'_> {
    fn ask(&self, sql: &str) -> String {
        let mut client = clickhouse::Client::default().with_url(&self.options.url).with_database(&self.options.database);
        client = client.with_compression(clickhouse::Compression::None);
        if let (Some(user), Some(password)) = (&self.options.user, &self.options.password) {
            client = client.with_user(user).with_password(password);
        }
        let answer = self.rt.block_on(async { client.query_raw(sql).fetch_bytes("TabSeparated")?.collect().await });
        String::from_utf8_lossy(&answer.unwrap_or_else(|e| panic!("{sql}: {e}"))).into_owned()
    }
}

fn time(name: &str, mut run: impl FnMut() -> usize) {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..5 {
        let t = Instant::now();
        found = run();
        times.push(t.elapsed());
    }
    let first = times[0];
    times.sort();
    println!("{name}: {found} rows, first {:.1} ms, median {:.1} ms", first.as_secs_f64() * 1e3, times[2].as_secs_f64() * 1e3);
}
