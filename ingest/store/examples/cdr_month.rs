//! Writes a month of made-up CDRs as `tollgate export cdrs --format parquet` would: for measuring what reads them.
//! `cargo run --release -p tollgate-store --example cdr_month -- CALLS FILE`
#![allow(clippy::expect_used)]

use std::{path::Path, sync::Arc};

use tollgate_schemas::cdr::Cdr;
use tollgate_store::cdr_file::{CdrWriter, named};

const COLUMNS: [&str; 30] = [
    "call_uuid", "record_type", "attempt_no", "cdr_version", "account", "carrier", "a_number_e164", "b_number_e164", "b_dest_group", "invite_ts", "answer_ts",
    "end_ts", "duration_ms", "disposition", "end_reason", "rating_status", "sell_amount", "sell_currency", "sell_deck_version", "sell_prefix", "sell_rate",
    "billed_sec_sell", "cost_amount", "cost_currency", "cost_deck_version", "cost_rate", "billed_sec_cost", "ring_ms", "emergency_flag", "test_call",
];
const START_US: i64 = 1_772_323_200_000_000; // 2026-03-01

fn main() {
    let mut args = std::env::args().skip(1);
    let calls: u64 = args.next().and_then(|n| n.parse().ok()).expect("CALLS FILE");
    let path = args.next().expect("CALLS FILE");
    let columns = named(&COLUMNS).expect("columns");
    let mut writer = CdrWriter::create(Path::new(&path), &columns).expect("file");
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut waiting = Vec::with_capacity(8_192);
    for n in 0..calls {
        let (draw, other) = (next(), next());
        let answered = draw % 10 < 6;
        let invite_ts = START_US + (n as i64) * (31 * 86_400_000_000 / calls as i64);
        let answer_ts = answered.then_some(invite_ts + 3_000_000 + (draw >> 40) as i64 % 9_000_000);
        let duration_ms = if answered { 1_000 + other % 600_000 } else { 0 };
        let seconds = duration_ms.div_ceil(1000);
        // Priced as sheet 1 of the bench has it: 0.01 a minute by the second.
        let amount = (10_000_000_000i128 * i128::from(seconds) * 2 + 60_000_000) / 120_000_000;
        let mut id = [0u8; 16];
        id[..8].copy_from_slice(&draw.to_be_bytes());
        id[8..].copy_from_slice(&n.to_be_bytes());
        waiting.push(Arc::new(Cdr {
            call_uuid: id.to_vec(),
            record_type: "final".into(),
            attempt_no: 1,
            cdr_version: 1,
            account: format!("account-{:03}", draw % 200),
            carrier: format!("carrier-{:02}", other % 20),
            a_number_e164: format!("1212555{:04}", draw % 10_000),
            b_number_e164: format!("{}{:09}", 1 + draw % 9, other % 1_000_000_000),
            b_dest_group: format!("zone {}", 1 + draw % 9),
            invite_ts,
            answer_ts,
            end_ts: answer_ts.unwrap_or(invite_ts) + duration_ms as i64 * 1000 + i64::from(!answered) * 20_000_000,
            duration_ms,
            disposition: if answered { "answered" } else { "noanswer" }.into(),
            end_reason: "normal".into(),
            rating_status: if answered { "rated" } else { "zero" }.into(),
            sell_amount: amount as i64 * 100,
            sell_currency: "USD".into(),
            sell_deck_version: "0123456789abcdef".into(),
            sell_prefix: (1 + draw % 9).to_string(),
            sell_rate: Some(10_000_000_000),
            billed_sec_sell: seconds,
            cost_currency: "USD".into(),
            ..Cdr::default()
        }));
        if waiting.len() == 8_192 {
            writer.write(&waiting).expect("rows");
            waiting.clear();
        }
    }
    writer.write(&waiting).expect("rows");
    writer.finish().expect("finished");
}
