//! `tollgate rerate`: calls priced again after a price was corrected.

mod file;
mod prices;

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollgate_rating::corrections::rerate::{Key, Summary, Totals};
use tollgate_schemas::{
    csv_text::{cell, header_line},
    id::Id,
    money::{format_scaled, parse_scaled},
};
use tollgate_store::cdr_file::{DiffRow, DiffWriter};

use super::{
    Done,
    api::{ApiArgs, Client},
    deck::SheetArgs,
    finance::{Hashed, PeriodArgs, counter, hex},
    out,
};

/// Prices calls again with the decks in force now, shows what changes, and with --apply corrects it
///
/// Corrections are new versions of the CDRs and postings of the difference; nothing is edited. Without --apply nothing changes.
/// With --cdrs a file of CDRs is priced with documents or rate sheets and no services running.
#[derive(clap::Args)]
pub struct Args {
    /// A period's beginning: a date in --zone, or an RFC 3339 time
    #[arg(long, alias = "since", value_name = "TIME")]
    from: Option<String>,
    /// Its end, which is not in it
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// IANA zone of dates
    #[arg(long, default_value = "UTC")]
    zone: chrono_tz::Tz,
    /// Calls this account pays for, its own and of accounts below it; other accounts' prices then stay
    #[arg(long)]
    account: Option<String>,
    /// Attempts with this carrier; customers' prices then stay
    #[arg(long)]
    carrier: Option<String>,
    /// With a node: only prices that came from this deck. With --cdrs: a rate sheet, for one account or for all, may be repeated
    #[arg(long = "deck", value_name = "NAME | [ACCOUNT=]FILE")]
    decks: Vec<String>,
    /// One call
    #[arg(long, value_name = "CALL_UUID")]
    call: Option<Id>,
    /// Customers' prices, carriers' prices, or both
    #[arg(long, default_value = "both", value_parser = ["sell", "cost", "both"])]
    side: String,
    /// Prices as they were known then, not as they are known now
    #[arg(long, value_name = "TIME")]
    known_at: Option<String>,
    /// By the decks that accounts and carriers have now. Otherwise a call is priced by the deck it was priced by, as that is now
    #[arg(long)]
    reassign: bool,
    /// Why; stays in the log, and in the CDRs
    #[arg(long, default_value = "")]
    reason: String,
    /// Correct what changes
    #[arg(long, conflicts_with = "dry_run")]
    apply: bool,
    /// Only show what changes (as without --apply)
    #[arg(long)]
    dry_run: bool,
    /// Every change, as CSV, Parquet or JSON Lines by the file's ending
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// CDRs to price with nothing running, as `tollgate export cdrs --format parquet` writes them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["apply", "known_at", "call"])]
    cdrs: Option<PathBuf>,
    /// With --cdrs: provisioning documents as a node has them, may be repeated: accounts and carriers with their decks, number tables,
    /// origin groups and surcharges. Callers, ported numbers and look-ups are those of the CDRs
    #[arg(short = 'f', long = "file", value_name = "FILE", requires = "cdrs")]
    files: Vec<PathBuf>,
    /// With --cdrs: exchanges and their states (npanxx,state,…): calls have a US jurisdiction; may be repeated
    #[arg(long = "number-table", value_name = "FILE", requires = "cdrs")]
    number_tables: Vec<PathBuf>,
    /// With --cdrs: a carrier's rate sheet, may be repeated
    #[arg(long = "carrier-deck", value_name = "CARRIER=FILE", requires = "cdrs")]
    carrier_decks: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: SheetArgs,
    #[command(flatten)]
    api: ApiArgs,
}

/// Calls of one question to the node.
const PAGE: &str = "2000";

/// What a re-rating came to.
#[derive(Default)]
pub struct Outcome {
    calls: u64,
    /// Rows of attempts in a file.
    attempts: u64,
    changed: u64,
    problems: u64,
    /// Calls that another command had ordered already.
    busy: u64,
    /// Priced by the caller's own number where a deck goes by the switch's, which CDRs do not keep: calls of a node, rows of a file.
    by_ani: u64,
    /// Rows of parties that the documents do not have.
    left_out: u64,
    summary: Summary,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    if let Some(cdrs) = &args.cdrs {
        return file::run(args, cdrs);
    }
    if args.apply && args.reason.trim().is_empty() {
        bail!("--apply needs --reason: it stays in the log and in every CDR it changes");
    }
    if args.decks.len() > 1 {
        bail!("a running node is asked about one --deck at a time");
    }
    let mut order = json!({ "side": args.side, "reassign": args.reassign });
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            order[name] = value.into();
        }
    };
    match (&args.from, &args.until, &args.call) {
        (Some(from), Some(until), _) => {
            let (since, until) = PeriodArgs { from: from.clone(), until: until.clone(), timezone: args.zone }.utc()?;
            set("since", Some(since));
            set("until", Some(until));
        }
        (None, None, Some(_)) => {}
        _ => bail!("say which calls: --from and --until, or --call"),
    }
    set("account", args.account.clone());
    set("carrier", args.carrier.clone());
    set("deck", args.decks.first().cloned());
    set("call_uuid", args.call.map(|c| c.to_string()));
    set("known_at", args.known_at.clone());
    set("reason", Some(args.reason.clone()).filter(|r| !r.is_empty()));
    // The same question is the same batch, so that its orders are told from others'.
    let batch = hex(&Sha256::digest(order.to_string().as_bytes())[..8]);
    order["batch"] = batch.clone().into();
    order["limit"] = serde_json::from_str(PAGE)?;
    let client = Client::new(&args.api)?;
    let mut sink = args.out.as_deref().map(Diff::create).transpose()?;
    let done = pass(&client, &order, args.apply, &mut sink)?;
    if let Some(sink) = sink {
        sink.finish()?;
    }
    let mut left = 0;
    if args.apply && done.changed > 0 {
        // What was refused, since a late fact of the call came in between, is found by asking again.
        left = pass(&client, &order, false, &mut None)?.changed;
    }
    tell(args, &done, Some(&batch), left)?;
    Ok(Done::when(left == 0 && done.problems == 0))
}

/// One walk over the calls.
fn pass(client: &Client, order: &Value, apply: bool, sink: &mut Option<Diff>) -> anyhow::Result<Outcome> {
    let bar = counter("calls");
    let mut order = order.clone();
    order["apply"] = apply.into();
    let mut done = Outcome::default();
    loop {
        let page = client.send_patiently("POST", "/v1/rerates", &[], Some(&order))?.ok()?;
        let count = |name: &str| page[name].as_u64().unwrap_or(0);
        done.calls += count("calls");
        done.changed += count("changed");
        done.by_ani += count("by_ani");
        done.busy += count("busy");
        bar.set_position(done.calls);
        for problem in page["problems"].as_array().into_iter().flatten() {
            done.problems += 1;
            bar.suspend(|| eprintln!("call {}: {}", problem["call_uuid"].as_str().unwrap_or_default(), problem["problem"].as_str().unwrap_or_default()));
        }
        for row in page["rows"].as_array().into_iter().flatten() {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            let (sells, old_e8, new_e8) = (text("side") == "sell", parse_scaled(text("old_amount"), 8)?, parse_scaled(text("new_amount"), 8)?);
            done.summary.add(sells, if sells { text("account") } else { text("carrier") }, text("destination"), text("currency"), old_e8, new_e8);
            if let Some(sink) = sink {
                let id: Id = text("call_uuid").parse()?;
                sink.write(DiffRow {
                    call_uuid: id.0.to_be_bytes(),
                    record_type: if sells { "final" } else { "attempt" },
                    attempt_no: row["attempt_no"].as_u64().unwrap_or(0) as u32,
                    cdr_version: row["cdr_version"].as_u64().unwrap_or(0) as u32,
                    account: text("account").into(),
                    carrier: if sells { "" } else { text("carrier") }.into(),
                    destination: text("destination").into(),
                    currency: text("currency").into(),
                    old_deck_version: text("old_deck_version").into(),
                    new_deck_version: text("new_deck_version").into(),
                    old_e8,
                    new_e8,
                })?;
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => order["cursor"] = next.into(),
            None => break,
        }
    }
    bar.finish_and_clear();
    Ok(done)
}

fn wide(e8: i128) -> String {
    i64::try_from(e8).map_or_else(|_| format!("{e8}e-8"), |e8| format_scaled(e8, 8, 6))
}

fn tell(args: &Args, done: &Outcome, batch: Option<&str>, left: u64) -> anyhow::Result<()> {
    if args.json {
        let row = |(key, t): (&Key, &Totals)| {
            json!({
                "side": if key.sells { "sell" } else { "cost" }, (if key.sells { "account" } else { "carrier" }): key.party, "destination": key.destination, "currency": key.currency,
                "calls": t.calls, "old_amount": wide(t.old_e8), "new_amount": wide(t.new_e8), "delta": wide(t.new_e8 - t.old_e8),
            })
        };
        let rows: Vec<Value> = done.summary.rows.iter().map(row).collect();
        return out::json(&json!({
            "calls": done.calls, "changed": done.changed, "problems": done.problems, "by_ani": done.by_ani, "left_out": done.left_out, "applied": args.apply, "busy": done.busy, "refused": left, "batch": batch, "summary": rows,
        }));
    }
    let row = |(key, t): (&Key, &Totals)| {
        vec![
            if key.sells { "sell" } else { "cost" }.to_owned(), key.party.clone(), key.destination.clone(), t.calls.to_string(), wide(t.old_e8), wide(t.new_e8),
            wide(t.new_e8 - t.old_e8), key.currency.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = done.summary.rows.iter().map(row).collect();
    if !rows.is_empty() {
        out::text(&out::table(&["SIDE", "PARTY", "DESTINATION", "CALLS", "OLD", "NEW", "DELTA", "CUR"], &rows))?;
    }
    let what = if args.apply { "corrected" } else { "would change" };
    let (count, of) = if done.calls == 0 && done.attempts > 0 { (done.attempts, "attempts") } else { (done.calls, "calls") };
    out::line(&format!("{count} {of}, {} {what}, {} cannot be priced", done.changed, done.problems))?;
    if done.by_ani > 0 {
        let what = if batch.is_some() { "calls" } else { "prices" };
        out::line(&format!("{} {what} go by the calling number, as no CDR keeps that of the caller's switch (jurisdiction.caller: routing)", done.by_ani))?;
    }
    if done.busy > 0 {
        out::line(&format!("{} of them were being rated again already, by another command, and were left to that", done.busy))?;
    }
    if left > 0 {
        out::line(&format!("{left} were refused, as they have newer versions now: run it again"))?;
    }
    Ok(())
}

/// Changes on their way into a file.
pub enum Diff {
    Parquet(Box<DiffWriter>),
    Text { file: Hashed, csv: bool, text: String },
}

const COLUMNS: [&str; 13] = [
    "call_uuid", "record_type", "attempt_no", "cdr_version", "account", "carrier", "destination", "currency", "old_deck_version", "new_deck_version",
    "old_amount", "new_amount", "delta",
];

impl Diff {
    pub fn create(path: &Path) -> anyhow::Result<Diff> {
        let path = &out::target(path, &[])?;
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "parquet" => Ok(Diff::Parquet(Box::new(DiffWriter::create(path)?))),
            "csv" | "jsonl" | "json" => {
                let mut text = String::new();
                if ending == "csv" {
                    header_line(COLUMNS.into_iter(), &mut text);
                }
                Ok(Diff::Text { file: Hashed::create(path)?, csv: ending == "csv", text })
            }
            _ => bail!("{} does not say its form: name it .csv, .parquet or .jsonl", path.display()),
        }
    }

    pub fn write(&mut self, row: DiffRow) -> anyhow::Result<()> {
        match self {
            Diff::Parquet(writer) => Ok(writer.write(row)?),
            Diff::Text { file, csv, text } => {
                let amounts = [row.old_e8, row.new_e8, row.new_e8.saturating_sub(row.old_e8)].map(|e8| format_scaled(e8, 8, 6));
                let id = Id(u128::from_be_bytes(row.call_uuid)).to_string();
                let words: [&str; 6] = [&row.account, &row.carrier, &row.destination, &row.currency, &row.old_deck_version, &row.new_deck_version];
                if *csv {
                    text.push_str(&format!("{id},{},{},{}", row.record_type, row.attempt_no, row.cdr_version));
                    for word in words {
                        text.push(',');
                        cell(word, true, text);
                    }
                    text.push_str(&format!(",{},{},{}\r\n", amounts[0], amounts[1], amounts[2]));
                } else {
                    let mut object = serde_json::Map::new();
                    let numbers = [Value::from(id), row.record_type.into(), row.attempt_no.into(), row.cdr_version.into()];
                    let values = numbers.into_iter().chain(words.into_iter().map(Value::from)).chain(amounts.into_iter().map(Value::from));
                    object.extend(COLUMNS.iter().map(|c| (*c).to_owned()).zip(values));
                    text.push_str(&Value::Object(object).to_string());
                    text.push('\n');
                }
                if text.len() > 1 << 16 {
                    file.write(text.as_bytes())?;
                    text.clear();
                }
                Ok(())
            }
        }
    }

    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Diff::Parquet(writer) => Ok(writer.finish()?),
            Diff::Text { mut file, text, .. } => {
                file.write(text.as_bytes())?;
                file.finish().map(drop)
            }
        }
    }
}
