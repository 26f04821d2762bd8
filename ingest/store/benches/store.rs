//! What a CDR costs: CPU per row from `write` to its file, bytes per row, and times of queries over a million rows.
//! Run with `cargo bench -p tollgate-store`; `-- ROWS` for another number of rows.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    id::Id,
    store::{CdrFilter, CdrQuery, CdrStore, GroupBy, RowKey, TrafficQuery},
};
use tollgate_store::{EmbeddedStore, Options};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 400;
/// Five times the rows of 2,000 calls a second.
const ROWS_PER_SECOND: f64 = 20_000.0;
/// 2026-11-01T00:00:00Z.
const START_US: i64 = 1_793_491_200_000_000;
/// 2,000 calls a second.
const CALL_EVERY_US: i64 = 500;

/// Call `n` as its attempt and its final, with what a real one carries.
fn rows_of(n: u64) -> [Cdr; 2] {
    let h = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let pick = |k: u32, of: u64| (h >> k) % of;
    let answered = pick(3, 100) < 55;
    let ring = 1_000 + pick(5, 9_000) as i64;
    let talk = if answered { 1_000 + pick(17, 400_000) } else { 0 };
    let invite = START_US + n as i64 * CALL_EVERY_US - talk as i64 * 1_000;
    let carrier = format!("carrier-{}", pick(11, 12));
    let mut row = Cdr {
        call_uuid: Id(0x0123_4567_89ab_0000_0001_u128 << 48 | u128::from(n)).to_vec(),
        cdr_version: 1,
        record_type: FINAL.into(),
        attempt_no: 1,
        event_first_offset: n * 7,
        event_last_offset: n * 7 + 6,
        node_id: "0123456789ab".into(),
        partition: (h % 16) as u32,
        account: format!("account-{:03}", pick(23, 200)),
        root_account: format!("account-{:03}", pick(23, 50)),
        trunk: format!("trunk-{:03}", pick(23, 200)),
        auth_method: "ip".into(),
        ingress_src_ip: format!("203.0.113.{}", pick(23, 200)),
        ingress_src_port: 5060,
        ingress_transport: "udp".into(),
        ingress_user_agent: "Asterisk PBX 20.5.0".into(),
        direction: "outbound".into(),
        service_type: "voice".into(),
        sip_call_id_in: format!("{h:016x}{n:08x}@203.0.113.7"),
        from_tag: format!("{:08x}", h as u32),
        to_tag: format!("{:08x}", (h >> 32) as u32),
        sip_call_id_out: format!("{h:016x}{n:08x}@203.0.113.7"),
        a_number_raw: format!("+4930{:07}", pick(1, 10_000_000)),
        a_number_e164: format!("4930{:07}", pick(1, 10_000_000)),
        a_number_source: "pai".into(),
        a_presentation_number: format!("+4930{:07}", pick(1, 10_000_000)),
        a_validity: "valid".into(),
        b_number_raw: format!("001{:010}", pick(2, 10_000_000_000)),
        b_number_e164: format!("1{:010}", pick(2, 10_000_000_000)),
        b_number_out: format!("1{:010}", pick(2, 10_000_000_000)),
        b_country: "1".into(),
        b_dest_group: format!("destination {}", pick(31, 400)),
        b_number_type: "unknown".into(),
        b_risk_flag: "none".into(),
        invite_ts: invite,
        first_100_ts: Some(invite + 20_000),
        first_18x_ts: Some(invite + ring * 300),
        first_18x_code: Some(180),
        answer_ts: answered.then_some(invite + ring * 1_000),
        ack_ts: answered.then_some(invite + ring * 1_000 + 30_000),
        end_ts: invite + (ring + talk as i64) * 1_000,
        pdd_ms: Some(ring as u64 / 3),
        setup_ms: answered.then_some(ring as u64),
        ring_ms: ring as u64,
        duration_ms: talk,
        duration_confidence: "exact".into(),
        billed_sec_sell: talk.div_ceil(1_000),
        billed_sec_cost: talk.div_ceil(1_000),
        disposition: if answered { "answered" } else { "busy" }.into(),
        sip_final_code: if answered { 200 } else { 486 },
        reason_phrase: if answered { "OK" } else { "Busy Here" }.into(),
        vendor_sip_code: Some(if answered { 200 } else { 486 }),
        q850_cause: if answered { 16 } else { 17 },
        hangup_party: "caller".into(),
        end_reason: "normal".into(),
        carrier: carrier.clone(),
        egress_dst_ip: "198.51.100.7".into(),
        egress_dst_port: 5060,
        route_class: "standard".into(),
        route_policy: "lcr".into(),
        route_rank: 1,
        route_explain: format!(
            r#"[{{"carrier":"{carrier}","cost":"0.0071","rank":1}},{{"carrier":"other","cost":"0.0083","rank":2,"reason":"dearer"}}]"#
        ),
        attempts_total: 1,
        attempts_summary: format!(r#"[{{"carrier":"{carrier}","code":200,"ms":{ring}}}]"#),
        sell_deck: "retail".into(),
        sell_deck_version: "8f14e45fceea167a".into(),
        sell_prefix: format!("1{:03}", pick(2, 900)),
        sell_rate: Some(12_000_000_000),
        sell_connect: Some(0),
        sell_increment: "1/1".into(),
        sell_amount: talk as i64 * 20,
        sell_currency: "USD".into(),
        cost_deck: carrier,
        cost_deck_version: "c9f0f895fb98ab91".into(),
        cost_prefix: format!("1{:03}", pick(2, 900)),
        cost_rate: Some(7_100_000_000),
        cost_connect: Some(0),
        cost_increment: "1/1".into(),
        cost_amount: talk as i64 * 12,
        cost_currency: "USD".into(),
        margin_base: Some(talk as i64 * 8),
        margin_pct: "40.00".into(),
        rating_status: "rated".into(),
        rating_version: 1,
        fraud_action: "none".into(),
        schema_version: 1,
        count: 1,
        ingest_ts: Some(START_US + n as i64 * CALL_EVERY_US),
        ..Cdr::default()
    };
    let last = row.clone();
    row.record_type = ATTEMPT.into();
    [row, last]
}

/// CPU of the process in nanoseconds, in clock ticks of 10 ms.
fn process_cpu() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or("").split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    fields.get(11..13).map_or(0, |f| f[0] + f[1]) * 10_000_000
}

/// CPU of this thread in nanoseconds.
fn thread_cpu() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|f| f.parse().ok()).unwrap_or(0)
}

fn resident_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split_whitespace().nth(1).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0) * 4096 / 1_000_000
}

fn main() {
    let rows: u64 = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let dir = tempfile::tempdir().expect("dir");
    let options = Options { flush_every: Duration::from_secs(3600), ..Options::default() };
    let store = EmbeddedStore::open(dir.path(), options).expect("open");

    let (cpu, begun) = (process_cpu(), Instant::now());
    let (mut making, mut writing, mut peak) = (0, 0, 0);
    for first in (0..rows / 2).step_by(BATCH / 2) {
        let t = thread_cpu();
        let batch: Vec<_> = (first..first + BATCH as u64 / 2).flat_map(rows_of).map(Arc::new).collect();
        making += thread_cpu() - t;
        let t = thread_cpu();
        store.write((first % 16) as u16, batch, first).expect("write");
        writing += thread_cpu() - t;
        // Not faster than the thread can seal: a backlog of whole rows costs memory that a real pace does not.
        let pace = Duration::from_secs_f64((first * 2) as f64 / ROWS_PER_SECOND);
        std::thread::sleep(pace.saturating_sub(begun.elapsed()));
        peak = peak.max(resident_mb());
    }
    rt.block_on(store.flush()).expect("flush");
    let spent = process_cpu() - cpu - making;
    let bytes: u64 = fs::read_dir(dir.path()).expect("dir").filter_map(|f| f.ok()?.metadata().ok()).map(|m| m.len()).sum();
    println!("rows {rows} in {:.1} s, {} files, resident at most {peak} MB", begun.elapsed().as_secs_f64(), store.file_count());
    println!("CPU per row, write to file: {:.2} us, of it in write() {:.2} us", spent as f64 / 1e3 / rows as f64, writing as f64 / 1e3 / rows as f64);
    println!("bytes per row: {:.0}", bytes as f64 / rows as f64);

    let page = |filter: CdrFilter| CdrQuery { filter, after: None, limit: 100 };
    let finals = CdrFilter { record_type: FINAL.into(), ..CdrFilter::default() };
    let middle = START_US + rows as i64 / 4 * CALL_EVERY_US;
    let some_call = Id(0x0123_4567_89ab_0000_0001_u128 << 48 | u128::from(rows / 8));
    let lists = [
        ("newest 100", page(finals.clone())),
        ("newest 100 again", page(finals.clone())),
        ("newest 100 of an account", page(CdrFilter { account: Some("account-007".into()), ..finals.clone() })),
        ("newest 100 of a tenant", page(CdrFilter { tenant: Some("account-007".into()), ..finals.clone() })),
        ("100 before the middle", CdrQuery { after: Some(RowKey { invite_us: middle, call: Id(0), attempt_no: 0 }), ..page(finals.clone()) }),
        ("one call by id", page(CdrFilter { call_uuid: Some(some_call), ..finals.clone() })),
        ("one number", page(CdrFilter { b_number: Some("12025550123".into()), ..finals.clone() })),
        ("1,000 of an export page", CdrQuery { limit: 1_000, ..page(finals.clone()) }),
    ];
    for (name, query) in lists {
        time(name, || rt.block_on(store.cdrs(query.clone())).expect("cdrs").len());
    }
    let attempts = CdrFilter { record_type: ATTEMPT.into(), ..CdrFilter::default() };
    let reports = [
        ("report by account", TrafficQuery { filter: finals.clone(), group_by: vec![GroupBy::Account] }),
        ("report by carrier, hour", TrafficQuery { filter: attempts, group_by: vec![GroupBy::Carrier, GroupBy::Hour] }),
        ("report of one account by destination", TrafficQuery {
            filter: CdrFilter { account: Some("account-007".into()), ..finals.clone() },
            group_by: vec![GroupBy::Destination],
        }),
    ];
    for (name, query) in reports {
        time(name, || rt.block_on(store.traffic(query.clone())).expect("traffic").len());
    }
    // The same newest page with fresh rows in memory.
    let fresh: Vec<_> = (rows / 2..rows / 2 + 4_000).flat_map(rows_of).map(Arc::new).collect();
    store.write(0, fresh, rows).expect("write");
    time("newest 100, 8,000 fresh rows in memory", || rt.block_on(store.cdrs(page(finals.clone()))).expect("cdrs").len());
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
