//! `tollgate deck import`, `imports`, `approve`, `reject`: a carrier's sheet, proposed by one and approved by another.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use clap::{CommandFactory as _, error::ErrorKind};
use serde_json::{Map, Value, json};
use tollgate_rating::{
    deck::parse_rounding,
    import::{Mode, Preview, write_rows},
};

use super::{Done, out, sheet::SheetOptions};
use crate::cli::{
    Cli,
    api::{Answer, ApiArgs, Client},
    get::parse_name,
    parse_time,
};

/// What a code means that the sheet does not list: said, never guessed.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "How it is taken")]
#[group(multiple = false)]
pub struct ModeArgs {
    /// Codes that the sheet does not list are closed
    #[arg(long)]
    full: bool,
    /// Codes that the sheet does not list are closed, in the countries it lists
    #[arg(long)]
    full_country: bool,
    /// Codes that the sheet does not list stay as they are
    #[arg(long)]
    partial: bool,
}

impl ModeArgs {
    pub fn mode(self) -> Option<Mode> {
        match self {
            ModeArgs { full: true, .. } => Some(Mode::Full),
            ModeArgs { full_country: true, .. } => Some(Mode::FullCountry),
            ModeArgs { partial: true, .. } => Some(Mode::Partial),
            _ => None,
        }
    }
}

/// How rows are taken.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "How it is taken")]
pub struct TakeArgs {
    /// Rows that are effective in the past: refused, or in force from now on
    #[arg(long, value_parser = ["refuse", "now"], default_value = "refuse")]
    pub past: String,
    /// Takes what gets dearer with too short a notice, for this reason
    #[arg(long, value_name = "REASON")]
    pub short_notice: Option<String>,
    /// Change of a rate, in percent, that is marked for a second look
    #[arg(long, default_value_t = tollgate_rating::import::JUMP_PERCENT, value_name = "N")]
    pub jump_percent: u32,
    /// When a full sheet closes what it does not list, RFC 3339 [default: its earliest date to come, else now]
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    pub closes: Option<i64>,
}

/// Proposes a carrier's sheet for a deck of a running node; somebody else approves it
///
/// Takes XLSX, or CSV of any separator and encoding; column names, dates and signs are detected or refused. The preview says
/// what is new, increased, decreased, closed and blocked, and what to look at. Increases with less notice than the deck's
/// notice_days, and dates in the past, are refused.
#[derive(clap::Args)]
pub struct Args {
    file: PathBuf,
    /// The deck it is for
    #[arg(long, value_parser = parse_name)]
    deck: String,
    #[command(flatten)]
    mode: ModeArgs,
    /// Show the preview, and propose nothing
    #[arg(long)]
    dry_run: bool,
    /// Why; stays in the log
    #[arg(long, default_value = "")]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    take: TakeArgs,
    #[command(flatten)]
    options: SheetOptions,
    #[command(flatten)]
    first: FirstArgs,
    #[command(flatten)]
    api: ApiArgs,
}

/// What the document of a new deck says.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "A deck's first sheet")]
struct FirstArgs {
    /// The deck is new
    #[arg(long)]
    new: bool,
    /// ISO 4217 [default: the sheet's]
    #[arg(long, requires = "new", value_parser = super::parse_currency)]
    currency: Option<String>,
    /// IANA zone of dates without a time
    #[arg(long, requires = "new", default_value = "UTC")]
    timezone: Tz,
    /// Decimal places of an amount
    #[arg(long, requires = "new", default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=8))]
    places: u32,
    /// How an amount is rounded
    #[arg(long, requires = "new", default_value = "half_up", value_parser = ["half_up", "up", "half_even", "down"])]
    rounding: String,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let Some(mode) = args.mode.mode() else {
        let text = "say what a code means that the sheet does not list: --full (it is closed), --full-country (it is closed in the countries listed) or --partial (it stays)";
        Cli::command().error(ErrorKind::MissingRequiredArgument, text).exit();
    };
    let client = Client::new(&args.api)?;
    let now = client.get(&format!("/v1/decks/{}", args.deck), &[])?;
    let known = match (now.status, args.first.new) {
        (404, false) => bail!("there is no deck '{}': for its first sheet say --new (with --currency, --timezone …)", args.deck),
        (404, true) => None,
        (_, true) => bail!("there is a deck '{}' already: leave --new out", args.deck),
        (_, false) => Some(now.ok()?),
    };
    let zone = match &known {
        Some(deck) => deck["spec"]["timezone"].as_str().unwrap_or("UTC").parse().map_err(|_| anyhow::anyhow!("the deck's time zone is not one that is known here"))?,
        None => args.first.timezone,
    };
    let sheet = args.options.read(&args.file, zone)?;
    let mut body = json!({
        "deck": args.deck, "mode": mode.name(), "rows": write_rows(&sheet.rows, None), "file": args.file.file_name().map(|n| n.to_string_lossy()),
        "past_now": args.take.past == "now", "jump_percent": args.take.jump_percent, "reason": args.reason,
    });
    let left_out = sheet.explained.left_out();
    if !left_out.is_empty() {
        body["left_out"] = left_out.into();
    }
    if let Some(currency) = &sheet.currency {
        body["currency"] = currency.as_str().into();
    }
    if let Some(reason) = &args.take.short_notice {
        body["short_notice"] = reason.as_str().into();
    }
    if let Some(at) = args.take.closes {
        body["closes"] = tollgate_schemas::time::format_rfc3339(at).into();
    }
    if known.is_none() {
        parse_rounding(&args.first.rounding)?;
        let currency = args.first.currency.clone().or_else(|| sheet.currency.clone()).context("neither the sheet nor --currency says the currency")?;
        body["spec"] = json!({ "currency": currency, "timezone": zone.name(), "places": args.first.places, "rounding": args.first.rounding });
    }
    let query: &[(&str, &str)] = if args.dry_run { &[("dry_run", "true")] } else { &[] };
    let answer = client.send("POST", "/v1/deck-imports", query, Some(&body))?;
    if answer.status == 422 {
        return refused(args, &answer);
    }
    let answer = answer.ok()?;
    if args.json {
        out::json(&answer)?;
        return Ok(Done::Yes);
    }
    print_preview(&answer["preview"])?;
    match answer["import_id"].as_str() {
        Some(id) => out::line(&format!("proposed as {id}: somebody else approves it, with `tollgate deck approve {id}` and a key of their own"))?,
        None => out::line("nothing was proposed")?,
    }
    Ok(Done::Yes)
}

/// What the node says no to, at the sheet's places.
fn refused(args: &Args, answer: &Answer) -> anyhow::Result<Done> {
    if args.json {
        out::json(&answer.body)?;
        return Ok(Done::No);
    }
    let problems = answer.body["problems"].as_array().cloned().unwrap_or_default();
    for problem in &problems {
        let (path, message) = (problem["path"].as_str().unwrap_or_default(), problem["message"].as_str().unwrap_or_default());
        let place = if path.is_empty() { String::new() } else { format!(":{path}") };
        eprintln!("error: {}{place}: {message}", args.file.display());
    }
    if problems.is_empty() {
        eprintln!("error: {}", answer.problem());
    }
    Ok(Done::No)
}

pub fn print_preview(value: &Value) -> anyhow::Result<()> {
    let preview: Preview = serde_json::from_value(value.clone()).context("the node's preview")?;
    out::line(&preview.to_string())
}

/// Lists imports, or shows one with its preview
#[derive(clap::Args)]
pub struct ListArgs {
    /// One import
    id: Option<String>,
    /// Which
    #[arg(long, default_value = "proposed", value_parser = ["proposed", "approved", "rejected", "all"])]
    state: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn list(args: &ListArgs) -> anyhow::Result<Done> {
    let client = Client::new(&args.api)?;
    if let Some(id) = &args.id {
        let import = client.get(&format!("/v1/deck-imports/{id}"), &[])?.ok()?;
        if args.json {
            out::json(&import)?;
        } else {
            out::text(&table(std::slice::from_ref(&import)))?;
            print_preview(&import["preview"])?;
        }
        return Ok(Done::Yes);
    }
    let items = client.items("/v1/deck-imports", &[("state", &args.state)], 1000)?;
    if args.json {
        out::json(&Value::Array(items))?;
    } else if items.is_empty() {
        out::line(&format!("no imports{}", if args.state == "all" { String::new() } else { format!(" that are {}", args.state) }))?;
    } else {
        out::text(&table(&items))?;
    }
    Ok(Done::Yes)
}

fn table(items: &[Value]) -> String {
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let counts = |v: &Map<String, Value>| v.iter().filter(|(_, n)| **n != 0).map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ");
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|i| {
            let when = text(&i["proposed_at"]).chars().take(16).collect();
            let changes = i["counts"].as_object().map(counts).unwrap_or_default();
            vec![text(&i["import_id"]), text(&i["deck"]), text(&i["state"]), text(&i["mode"]), text(&i["proposed_by"]), when, text(&i["decided_by"]), changes]
        })
        .collect();
    out::table(&["ID", "DECK", "STATE", "MODE", "PROPOSED BY", "AT", "DECIDED BY", "CHANGES"], &rows)
}

/// Approves or rejects an import
#[derive(clap::Args)]
pub struct DecideArgs {
    /// The import
    id: String,
    /// Why; stays in the log
    #[arg(long, default_value = "")]
    reason: String,
    /// With approve: takes what gets dearer though its notice is too short by now, for this reason
    #[arg(long, value_name = "REASON")]
    short_notice: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn decide(args: &DecideArgs, approve: bool) -> anyhow::Result<Done> {
    let verb = if approve { "approve" } else { "reject" };
    let path = format!("/v1/deck-imports/{}/{verb}", args.id);
    let word = json!({ "reason": args.reason, "short_notice": args.short_notice });
    let answer = Client::new(&args.api)?.send("POST", &path, &[], Some(&word))?;
    if answer.status == 422 {
        if args.json {
            out::json(&answer.body)?;
        } else {
            eprintln!("error: {}", answer.problem());
        }
        return Ok(Done::No);
    }
    let answer = answer.ok()?;
    if args.json {
        out::json(&answer)?;
    } else {
        let deck = answer["deck"].as_str().unwrap_or_default();
        let what = if approve { format!("deck '{deck}' has version {}", answer["version"].as_str().unwrap_or_default()) } else { format!("deck '{deck}' stays as it is") };
        out::line(&format!("import {} is {}: {what}", args.id, answer["state"].as_str().unwrap_or_default()))?;
    }
    Ok(Done::Yes)
}
