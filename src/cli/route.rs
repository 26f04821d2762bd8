//! `tollgate route`: where a call would go and why, by the plan a node would have, or where it went.

use std::path::PathBuf;

use serde_json::Value;
use tollgate_rating::quality::Quality;
use tollgate_schemas::{codec::CodecClass, id::Id, time::format_rfc3339};

use super::{
    Done, Problems,
    api::{ApiArgs, Client},
    get::parse_name,
    now_us, out, parse_time,
};
use crate::{
    config::{
        Config,
        documents::{Compiled, check_together, read_documents},
    },
    explain::{Ask, explain},
    node::verdict_of_json,
};

/// Shows where a call would go: candidates in order with price, cost and quality, and why each other carrier is left out
///
/// Decided from provisioning documents with no node running; with --quality NAME or --call by a running node, as it decides. Exit
/// code 1 when there is no route, or when a call made again goes another way.
#[derive(clap::Args)]
pub struct Args {
    /// Who pays
    #[arg(long, value_parser = parse_name, required_unless_present = "call")]
    account: Option<String>,
    /// Calling number
    #[arg(long, value_name = "NUMBER", required_unless_present = "call")]
    from: Option<String>,
    /// Called number: E.164 digits with or without +, or a dialled string that is an emergency call on the account's trunks
    #[arg(long, value_name = "NUMBER", required_unless_present = "call")]
    to: Option<String>,
    /// When, RFC 3339 with an offset [default: now]
    #[arg(long, value_parser = parse_time)]
    at: Option<i64>,
    /// What is known of the carriers: a verdict as JSON in a file (as `GET /v1/quality` gives them), the name of one in a running
    /// node's log, or `now` for what the node knows now
    #[arg(long, value_name = "FILE|NAME|now")]
    quality: Option<String>,
    /// The class of the codec that the call's offer prefers: whose figures it goes by where they are enough [default: not known]
    #[arg(long, value_name = "CLASS", value_parser = CodecClass::NAMES)]
    codec: Option<String>,
    /// The draw that decides splits and exploration [default: one that decides nothing]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..1_000_000))]
    draw: Option<u32>,
    /// A call that was: shows how it was routed, and decides it again as of then
    #[arg(long, value_name = "UUID", conflicts_with_all = ["account", "from", "to", "at", "quality", "codec", "draw"])]
    call: Option<Id>,
    /// Provisioning documents
    #[arg(short, long = "file", value_name = "FILE", num_args = 1.., conflicts_with = "config")]
    files: Vec<PathBuf>,
    /// The configuration whose provisioning documents count
    #[arg(short, long, value_name = "FILE", default_value = "tollgate.toml")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    if let Some(call) = args.call {
        return replay(args, call);
    }
    let ask = Ask {
        account: args.account.clone().unwrap_or_default(),
        from: args.from.clone().unwrap_or_default(),
        to: args.to.clone().unwrap_or_default(),
        at_us: args.at.unwrap_or_else(now_us),
        codec_class: args.codec.as_deref().map_or(CodecClass::Unknown, CodecClass::of),
        draw_e6: args.draw,
    };
    let found = match &args.quality {
        Some(name) if !PathBuf::from(name).exists() => ask_node(args, &ask, name)?,
        file => {
            let Compiled { registry, plan } = compiled(args)?;
            if let Some(file) = file {
                read_quality(file, &registry.quality)?;
            }
            explain(&registry, &plan, &ask, None)?
        }
    };
    let routed = found["routed"] == true;
    if args.json {
        out::json(&found)?;
    } else {
        print(&found)?;
        if let Some(why) = found["why_not"].as_str() {
            eprintln!("no route: {why}");
        }
    }
    Ok(Done::when(routed))
}

fn compiled(args: &Args) -> anyhow::Result<Compiled> {
    let files = if args.files.is_empty() { Config::load(&args.config).map_err(Problems)?.provision } else { args.files.clone() };
    let documents = read_documents(&files).map_err(Problems)?;
    Ok(check_together(&documents).map_err(Problems)?)
}

/// Verdicts of a file: one, a list, or a page of them.
fn read_quality(file: &str, quality: &Quality) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).map_err(|e| anyhow::anyhow!("--quality {file}: {e}"))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| anyhow::anyhow!("--quality {file}, line {}, column {}: {e}", e.line(), e.column()))?;
    let list = match &value {
        Value::Array(list) => list.as_slice(),
        page => page["items"].as_array().map_or(std::slice::from_ref(page), Vec::as_slice),
    };
    for one in list {
        let (group, verdict) = verdict_of_json(one).map_err(|e| anyhow::anyhow!("--quality {file}: {e}"))?;
        quality.put(&group, verdict);
    }
    Ok(())
}

fn ask_node(args: &Args, ask: &Ask, quality: &str) -> anyhow::Result<Value> {
    let at = format_rfc3339(ask.at_us);
    let mut query = vec![("account", ask.account.as_str()), ("from", ask.from.as_str()), ("to", ask.to.as_str()), ("at", &at)];
    let draw = ask.draw_e6.map(|d| d.to_string());
    if let Some(draw) = &draw {
        query.push(("draw", draw));
    }
    if let Some(codec) = &args.codec {
        query.push(("codec_class", codec));
    }
    if quality != "now" {
        query.push(("quality", quality));
    }
    Client::new(&args.api)?.get("/v1/route", &query)?.ok()
}

fn replay(args: &Args, call: Id) -> anyhow::Result<Done> {
    let found = Client::new(&args.api)?.get(&format!("/v1/cdrs/{call}/route"), &[])?.ok()?;
    let agrees = found["agrees"] == true;
    if args.json {
        out::json(&found)?;
        return Ok(Done::when(agrees));
    }
    out::line(&format!("call {call}, as it was routed{}", of_snapshot(&found["then"])))?;
    out::line(&of_lengths(&found["then"]))?;
    table(&found["then"]["carriers"])?;
    if agrees {
        out::line("decided again from the log: the same")?;
    } else {
        out::line(&format!("decided again from the log, it goes another way{}", of_snapshot(&found["again"])))?;
        table(&found["again"]["carriers"])?;
    }
    Ok(Done::when(agrees))
}

/// How long calls are taken to be, where that is known.
fn of_lengths(found: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let length = |d: &Value| format!("{} s ({})", text(&d["mean_s"]), d["calls"]);
    match found["durations"].as_array() {
        Some(lengths) if !lengths.is_empty() => format!("expected over lengths of calls there were: {}", lengths.iter().map(length).collect::<Vec<_>>().join(", ")),
        _ => "expected over 180 s: no lengths of calls are known".to_owned(),
    }
}

fn of_snapshot(found: &Value) -> String {
    let class = found["codec_class"].as_str().map_or(String::new(), |c| format!(", {c}"));
    match (found["policy"].as_str(), found["quality_snapshot"].as_str()) {
        (Some(policy), Some(name)) => {
            let draw = found["draw"].as_u64().map_or(String::new(), |d| format!(", draw {d}"));
            format!(" (policy '{policy}', quality {name}{class}{draw})")
        }
        (Some(policy), None) => format!(" (policy '{policy}'{class})"),
        _ => String::new(),
    }
}

fn print(found: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    out::line(&format!("{} -> {} of account '{}' at {}{}", text(&found["from"]), text(&found["to"]), text(&found["account"]), text(&found["at"]), of_snapshot(found)))?;
    let sell = &found["sell"];
    out::line(&match sell {
        Value::Null if found["emergency"] == true => "an emergency call: no price, limit or margin stops it".to_owned(),
        Value::Null => "not sold: no price".to_owned(),
        sell if sell["blocked"] == true => format!("not sold: prefix {} is blocked in deck '{}'", text(&sell["prefix"]), text(&sell["deck"])),
        sell => format!(
            "sells at {} {} a minute, {}/{} s, connect fee {} ('{}', prefix {}, deck '{}' {})",
            text(&sell["rate"]), text(&sell["currency"]), sell["initial"], sell["increment"], text(&sell["connect_fee"]), text(&sell["destination"]),
            text(&sell["prefix"]), text(&sell["deck"]), text(&sell["deck_version"])
        ),
    })?;
    if found["emergency"] != true {
        out::line(&of_lengths(found))?;
    }
    table(&found["carriers"])
}

/// A line for each carrier; what is known of their quality only where it was asked.
fn table(carriers: &Value) -> anyhow::Result<()> {
    let carriers = carriers.as_array().map_or(&[][..], Vec::as_slice);
    let judged = carriers.iter().any(|c| !c["quality"].is_null());
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let row = |c: &Value| {
        let covered = if c["covered_by_parent_prefix"] == true { " (another carrier lists a longer prefix)" } else { "" };
        let increments = if c["initial"].is_null() { "-".to_owned() } else { format!("{}/{}", c["initial"], c["increment"]) };
        let mut cells: Vec<String> = ["rank", "carrier", "prefix", "destination", "rate"].map(|f| text(&c[f])).to_vec();
        cells.extend([increments, text(&c["currency"]), text(&c["expected_cost"])]);
        if judged {
            cells.extend(["score", "asr", "ner", "samples", "acd_s"].map(|f| text(&c[f])));
            let class = c["quality_class"].as_str().map_or(String::new(), |class| format!(" ({class})"));
            cells.push(format!("{}{class}", text(&c["quality"])));
        }
        cells.push(format!("{}{covered}", text(&c["reason"])));
        cells
    };
    let mut header = vec!["RANK", "CARRIER", "PREFIX", "DESTINATION", "RATE/MIN", "INCR", "CUR", "EXPECTED"];
    if judged {
        header.extend(["SCORE", "ASR%", "NER%", "SAMPLES", "ACD_S", "QUALITY"]);
    }
    header.push("REASON");
    let rows: Vec<Vec<String>> = carriers.iter().map(row).collect();
    out::text(&out::table(&header, &rows))
}
