//! `tollgate report`: what carriers and finance ask of traffic over a period, as tables.

use serde_json::Value;
use tollgate_rating::corrections::invoice::instant;
use tollgate_schemas::time::format_rfc3339;

use super::{
    Done,
    api::{ApiArgs, Client},
    out,
};

#[derive(clap::Subcommand)]
pub enum Command {
    Cpn(CpnArgs),
    ShortCalls(ShortCallArgs),
}

/// A period in UTC, and the form of the answer.
#[derive(clap::Args)]
struct Common {
    /// Its beginning in UTC: a date, or an RFC 3339 time [default: the beginning of the month]
    #[arg(long, alias = "since", value_name = "TIME", value_parser = utc)]
    from: Option<String>,
    /// Its end, which is not in it [default: now]
    #[arg(long, value_name = "TIME", value_parser = utc)]
    until: Option<String>,
    /// One account; all without it
    #[arg(long)]
    account: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// Shows how much of each customer's traffic had a valid calling number, and who is under the mark
#[derive(clap::Args)]
pub struct CpnArgs {
    /// What a line is: an account, or a root account with those below it
    #[arg(long, default_value = "account", value_parser = ["account", "root_account"])]
    by: String,
    /// One trunk
    #[arg(long)]
    trunk: Option<String>,
    /// Share of valid numbers below which carriers treat traffic otherwise, percent
    #[arg(long, default_value_t = 90, value_name = "PERCENT")]
    mark: u32,
    #[command(flatten)]
    common: Common,
}

/// Shows who has more short calls than is allowed, by how many, and what contracts charge for it
#[derive(clap::Args)]
pub struct ShortCallArgs {
    /// What a line is: an account, or a carrier
    #[arg(long, default_value = "account", value_parser = ["account", "carrier"])]
    by: String,
    /// One carrier's attempts
    #[arg(long)]
    carrier: Option<String>,
    /// A call up to so long is short, seconds
    #[arg(long, default_value_t = 6, value_name = "S")]
    max_s: u64,
    /// Share of short calls that is allowed, percent
    #[arg(long, default_value_t = 15, value_name = "PERCENT")]
    allowance: u32,
    /// Fewer connected calls than this are not judged
    #[arg(long, default_value_t = 200, value_name = "N")]
    min_calls: u64,
    #[command(flatten)]
    common: Common,
}

fn utc(text: &str) -> Result<String, String> {
    instant(text, chrono_tz::Tz::UTC).map(format_rfc3339)
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    match command {
        Command::Cpn(args) => cpn(&args),
        Command::ShortCalls(args) => short_calls(&args),
    }
}

/// Asks, and prints what programs read; the answer where a person reads.
fn ask(path: &str, common: &Common, more: &[(&str, Option<&str>)]) -> anyhow::Result<Option<Value>> {
    let client = Client::new(&common.api)?;
    let own = [("since", common.from.as_deref()), ("until", common.until.as_deref()), ("account", common.account.as_deref())];
    let mut query: Vec<(&str, &str)> = own.iter().chain(more).filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    if common.csv {
        query.push(("format", "csv"));
        out::text(&client.text(path, &query)?)?;
        return Ok(None);
    }
    let answer = client.get(path, &query)?.ok()?;
    if common.json {
        out::json(&answer)?;
        return Ok(None);
    }
    Ok(Some(answer))
}

fn cpn(args: &CpnArgs) -> anyhow::Result<Done> {
    let mark = args.mark.to_string();
    let more = [("by", Some(args.by.as_str())), ("trunk", args.trunk.as_deref()), ("mark_pct", Some(&mark))];
    if let Some(report) = ask("/v1/reports/cpn", &args.common, &more)? {
        out::text(&cpn_text(&report, &args.by))?;
    }
    Ok(Done::Yes)
}

fn short_calls(args: &ShortCallArgs) -> anyhow::Result<Done> {
    let [max_s, allowance, least] = [args.max_s, args.allowance.into(), args.min_calls].map(|n| n.to_string());
    let more = [
        ("by", Some(args.by.as_str())), ("carrier", args.carrier.as_deref()), ("max_s", Some(&*max_s)), ("allowance_pct", Some(&*allowance)),
        ("min_calls", Some(&*least)),
    ];
    if let Some(report) = ask("/v1/reports/short-calls", &args.common, &more)? {
        out::text(&short_calls_text(&report, &args.by))?;
    }
    Ok(Done::Yes)
}

fn cell(item: &Value, name: &str) -> String {
    match &item[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(report: &Value) -> impl Iterator<Item = &Value> {
    report["items"].as_array().into_iter().flatten()
}

fn period(report: &Value) -> String {
    format!("{} to {} (UTC), {}", cell(report, "since"), cell(report, "until"), cell(report, "denominator"))
}

fn cpn_text(report: &Value, by: &str) -> String {
    let mark = &report["mark_pct"];
    let under: Vec<&Value> = items(report).filter(|i| i["under_mark"] == true).collect();
    let mut text = format!("{}\n", period(report));
    for item in &under {
        text += &format!(
            "UNDER {mark} %: {}: {} % of {} calls had a valid calling number; {} more would have to\n",
            cell(item, by), cell(item, "cpn_pct"), item["calls"], item["lacking"]
        );
    }
    if under.is_empty() {
        text += &format!("nobody is under {mark} %\n");
    }
    let columns = ["calls", "valid", "cpn_pct", "missing", "invalid_short", "invalid_long", "invalid_bad_cc", "invalid_other", "refused", "refused_valid"];
    let header = [&[by][..], &columns].concat();
    let rows: Vec<Vec<String>> = items(report).map(|item| header.iter().map(|name| cell(item, name)).collect()).collect();
    text + "\n" + &out::table(&header, &rows)
}

fn short_calls_text(report: &Value, by: &str) -> String {
    let (max_s, allowance, least) = (&report["max_s"], &report["allowance_pct"], &report["min_calls"]);
    let breaches: Vec<&Value> = items(report).filter(|i| i["breach"] == true).collect();
    let mut text = format!("{}; short: up to {max_s} s; allowed: {allowance} %; judged from {least} connected calls\n", period(report));
    for item in &breaches {
        text += &format!(
            "BREACH: {}: {} of {} calls were short ({} %), {} more than the {} allowed\n",
            cell(item, by), item["short"], item["connected"], cell(item, "short_pct"), item["excess"], item["allowed"]
        );
    }
    if breaches.is_empty() {
        text += &format!("nobody with {least} connected calls or more breaches the allowance\n");
    }
    for (item, contract) in items(report).map(|i| (i, &i["contract"])).filter(|(_, c)| c.is_object()) {
        let whose = cell(item, by);
        match contract["fee"].as_str() {
            Some(fee) => {
                text += &format!(
                    "contract {}: {whose}: {} of {} calls up to {} s, {} % allowed: {fee} {}\n",
                    cell(contract, "contract"), contract["short"], contract["connected"], contract["max_s"], cell(contract, "allowance_pct"), cell(contract, "currency")
                );
            }
            None => text += &format!("{whose}: no fee for this period\n"),
        }
        if let Some(note) = contract["note"].as_str() {
            text += &format!("  {note}\n");
        }
    }
    let header = [&[by][..], &["connected", "short", "short_pct", "allowed", "excess", "judged"]].concat();
    let rows: Vec<Vec<String>> = items(report).map(|item| header.iter().map(|name| cell(item, name)).collect()).collect();
    text + "\n" + &out::table(&header, &rows)
}
