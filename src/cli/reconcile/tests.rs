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

/// Writes our rows as Parquet and as CSV, and runs the command on each; gives what it says, or why it does not.
fn both(rows: &[Arc<Cdr>], theirs: &str, more: &[&str]) -> Vec<Result<Value, String>> {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let columns: Vec<&'static Column> = COLUMNS.iter().collect();
    let mut writer = CdrWriter::create(Path::new(&path("ours.parquet")), &columns).expect("file");
    writer.write(rows).expect("rows");
    writer.finish().expect("finished");
    let names = ["call_uuid", "record_type", "attempts_total", "carrier", "a_number_e164", "b_number_e164", "invite_ts", "answer_ts", "end_ts", "duration_ms", "billed_sec_cost", "cost_rate", "cost_increment", "cost_amount", "cost_currency"];
    let mut csv = format!("{}\n", names.join(","));
    for r in rows {
        let at = format_rfc3339;
        csv.push_str(&format!(
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
            Id::of(&r.call_uuid), r.record_type, r.attempts_total, r.carrier, r.a_number_e164, r.b_number_e164, at(r.invite_ts), at(r.answer_ts.expect("answered")), at(r.end_ts), r.duration_ms,
            r.billed_sec_cost, format_rate(r.cost_rate.expect("a rate")), r.cost_increment, format_amount(r.cost_amount), r.cost_currency
        ));
    }
    fs::write(path("ours.csv"), csv).expect("file");
    fs::write(path("theirs.csv"), theirs).expect("file");
    let (ours, out) = (["ours.parquet", "ours.csv"].map(path), path("out"));
    let run = |ours: &String| {
        let (file, folder) = (path("theirs.csv"), out.as_str());
        let line = ["reconcile", "--ours", ours, "--theirs", &file, "--out", folder].into_iter().chain(more.iter().copied());
        run(&Cli::try_parse_from(line).expect("a command").args).map_err(|e| format!("{e:#}"))?;
        Ok(serde_json::from_str(&fs::read_to_string(Path::new(folder).join("summary.json")).expect("a result")).expect("JSON"))
    };
    ours.iter().map(run).collect()
}

/// What a carrier that agrees writes; `currency`: a further column.
fn agreed(rows: &[Arc<Cdr>], currency: &str) -> String {
    let head = if currency.is_empty() { "" } else { ",currency" };
    let line = |r: &Arc<Cdr>| {
        let (start, cell) = (format_rfc3339(r.answer_ts.expect("answered")), if currency.is_empty() { String::new() } else { format!(",{currency}") });
        format!("{start},{},{},{},{}{cell}\n", r.b_number_e164, r.a_number_e164, r.duration_ms / 1_000, format_amount(r.cost_amount))
    };
    format!("start,called,caller,duration,amount{head}\n{}", rows.iter().map(line).collect::<String>())
}

fn with(n: u64, change: impl FnOnce(&mut Cdr)) -> Arc<Cdr> {
    let mut cdr = Cdr::clone(&attempt(n));
    cdr.attempts_total = 1;
    change(&mut cdr);
    Arc::new(cdr)
}

#[track_caller]
fn refused(results: &[Result<Value, String>], part: &str) {
    for result in results {
        assert!(result.as_ref().is_err_and(|e| e.contains(part)), "{part}: {result:?}");
    }
}

#[test]
fn r_47_finals_stand_for_attempts_only_where_there_was_one_in_csv_as_in_parquet() {
    let finals = |several: bool| -> Vec<Arc<Cdr>> {
        (1..=20).map(|n| with(n, |c| {
            c.record_type = "final".into();
            c.attempts_total = if several && n == 7 { 2 } else { 1 };
        })).collect()
    };
    for summary in both(&finals(false), &agreed(&finals(false), ""), &["--carrier", "alpha"]) {
        let summary = summary.expect("compared");
        assert_eq!((&summary["classes"]["exact"]["calls"], &summary["dispute"]), (&json!(20), &Value::Null), "{summary}");
    }
    refused(&both(&finals(true), &agreed(&finals(true), ""), &["--carrier", "alpha", "--dispute-least", "0"]), "1 of its 20 calls were tried with more than one carrier");
}

#[test]
fn r_47_of_ours_only_the_carriers_own_calls_are_compared_in_csv_as_in_parquet() {
    let rows: Vec<Arc<Cdr>> = (1..=40).map(|n| with(n, |c| c.carrier = if n % 2 == 0 { "alpha" } else { "beta" }.into())).collect();
    let of = |carrier: &str| rows.iter().filter(|r| r.carrier == carrier).cloned().collect::<Vec<_>>();
    for summary in both(&rows, &agreed(&of("alpha"), ""), &["--carrier", "alpha"]) {
        let summary = summary.expect("compared");
        assert_eq!((&summary["ours"]["calls"], &summary["difference"]), (&json!(20), &json!("0.000000")), "{summary}");
    }
    refused(&both(&rows, &agreed(&of("alpha"), ""), &["--carrier", "gamma"]), "none of its 40 rows is of carrier 'gamma': they are of alpha 20, beta 20");
    refused(&both(&rows, &agreed(&of("alpha"), ""), &[]), "say whose file it is compared with (--carrier)");
    // Another month's file is no reason to dispute all of it.
    let later: Vec<Arc<Cdr>> = of("beta");
    refused(&both(&rows, &agreed(&later, ""), &["--carrier", "alpha", "--dispute-least", "0"]), "no call is in both files (20 of ours, 20 of theirs)");
}

#[test]
fn r_30_files_of_two_currencies_are_compared_only_at_dated_rates() {
    let rows: Vec<Arc<Cdr>> = (1..=20).map(|n| with(n, |_| {})).collect();
    refused(&both(&rows, &agreed(&rows, "EUR"), &[]), "our calls are in USD (20 calls) and theirs in EUR (20 calls), and there is no exchange rate");
    let mixed: Vec<Arc<Cdr>> = (1..=20).map(|n| with(n, |c| c.cost_currency = if n == 3 { "EUR" } else { "USD" }.into())).collect();
    refused(&both(&mixed, &agreed(&rows, ""), &[]), "our calls are in EUR (1 call), USD (19 calls)");
    for summary in both(&rows, &agreed(&rows, "USD"), &[]) {
        let summary = summary.expect("compared");
        assert_eq!((&summary["currency"], &summary["carrier"], &summary["difference"]), (&json!("USD"), &json!("alpha"), &json!("0.000000")));
    }
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("fx.yaml");
    fs::write(&file, "kind: fx_rate\nname: ecb\nspec:\n  source: ecb\n  rates: [{ base: USD, quote: EUR, rate: \"2\", date: \"2026-11-18\" }]\n").expect("file");
    let doubled: Vec<Arc<Cdr>> = rows.iter().map(|r| with(u64::from(r.call_uuid[0]), |c| c.cost_amount *= 2)).collect();
    for summary in both(&rows, &agreed(&doubled, "EUR"), &["-f", &file.display().to_string()]) {
        let summary = summary.expect("compared");
        assert_eq!((&summary["currency"], &summary["difference"], &summary["currencies"]["converted_calls"]), (&json!("EUR"), &json!("0.000000"), &json!(20)), "{summary}");
    }
}
