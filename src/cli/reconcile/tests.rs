//! Our CDRs from files of other ages.

use std::sync::Arc;

use clap::Parser;
use tollgate_schemas::cdr::{COLUMNS, Column};
use tollgate_store::cdr_file::CdrWriter;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// 2026-11-19T00:00:00Z
const FIRST_US: i64 = 1_795_046_400_000_000;

/// A minute and some seconds, each at another hour: 0.03 a minute by the second.
fn attempt(n: u64) -> Arc<Cdr> {
    let at_us = FIRST_US + n as i64 * 3_700_000_000;
    let seconds = 60 + n;
    Arc::new(Cdr {
        call_uuid: vec![n as u8; 16], cdr_version: 1, record_type: ATTEMPT.into(), attempt_no: 1, account: "acme".into(), carrier: "alpha".into(), disposition: "answered".into(),
        a_number_e164: format!("1201555{:04}", n * 37), b_number_e164: format!("1212555{n:04}"), invite_ts: at_us - 2_000_000, answer_ts: Some(at_us), end_ts: at_us + seconds as i64 * 1_000_000,
        duration_ms: seconds * 1_000, billed_sec_cost: seconds, cost_amount: seconds as i64 * 50_000, cost_rate: Some(30_000_000_000), cost_increment: "1/1".into(),
        cost_currency: "USD".into(), cost_prefix: "1".into(), lrn: "12015550000".into(), ..Cdr::default()
    })
}

#[test]
fn r_47_a_file_of_before_the_column_table_grew_is_compared_as_a_new_one_is() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rows: Vec<Arc<Cdr>> = (1..=40).map(attempt).collect();
    let mut theirs = "start,called,caller,duration,amount\n".to_owned();
    for row in &rows {
        // The sixth call (66 s) at 0.04 a minute.
        let e8 = if row.call_uuid[0] == 6 { row.cost_amount / 3 * 4 } else { row.cost_amount };
        let start = format_rfc3339(row.answer_ts.expect("answered"));
        theirs.push_str(&format!("{start},{},{},{},{}\n", row.b_number_e164, row.a_number_e164, row.duration_ms / 1_000, format_amount(e8)));
    }
    fs::write(path("theirs.csv"), theirs).expect("file");
    let old: Vec<&'static Column> = COLUMNS.iter().filter(|c| c.since <= 1).collect();
    assert!(old.len() < COLUMNS.len() && old.iter().all(|c| c.name != "lrn"));
    for (name, columns) in [("old", old), ("new", COLUMNS.iter().collect())] {
        let ours = path(&format!("{name}.parquet"));
        let mut writer = CdrWriter::create(Path::new(&ours), &columns).expect("file");
        writer.write(&rows).expect("rows");
        writer.finish().expect("finished");
        let out = path(name);
        let args = Cli::try_parse_from(["reconcile", "--ours", &ours, "--theirs", &path("theirs.csv"), "--carrier", "alpha", "--out", &out]).expect("a command").args;
        assert!(matches!(run(&args).expect("compared"), Done::No), "{name}: one call differs");
    }
    let read = |name: &str, file: &str| fs::read_to_string(folder.path().join(name).join(file)).expect("a result");
    let summary: Value = serde_json::from_str(&read("old", "summary.json")).expect("JSON");
    assert_eq!((&summary["ours"]["calls"], &summary["classes"]["exact"]["calls"]), (&json!(40), &json!(40)), "{summary}");
    assert_eq!(summary["causes"], json!({ "rate": { "calls": 1, "minutes": "0.00", "amount": "0.011000" } }));
    assert_eq!(read("old", "differences.csv"), read("new", "differences.csv"));
}
