//! `tollgate deck diff`: what a new sheet changes, code by code.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_rating::{
    deck::{Deck, DeckOptions, RowRef},
    import::{InForce, Mode, Order, prepare},
};
use tollgate_schemas::{money::format_rate, time::format_rfc3339};

use super::{
    Done, SheetArgs,
    import::{ModeArgs, TakeArgs},
    load, out,
    sheet::SheetOptions,
};
use crate::cli::{now_us, parse_time};

/// Compares two rate sheets, code by code, in the prices each has in force at one time
///
/// A code that has no price yet counts with the first that comes. A code that ends, or is blocked in the new sheet, is
/// closed.
///
/// With --full, --full-country or --partial the new one is a carrier's sheet as it comes (XLSX or any CSV), and what is shown is the
/// preview of its import into the old one, refusals included, with no node running.
#[derive(clap::Args)]
pub struct Args {
    old: PathBuf,
    new: PathBuf,
    /// When, RFC 3339 with an offset [default: now]
    #[arg(long, value_parser = parse_time)]
    at: Option<i64>,
    /// Show unchanged codes, too
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: SheetArgs,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    take: TakeArgs,
    /// Days of notice that what gets dearer needs
    #[arg(long, default_value_t = tollgate_rating::import::NOTICE_DAYS, value_name = "N")]
    notice_days: u32,
    #[command(flatten)]
    sheet: SheetOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    New,
    Increased,
    Decreased,
    /// Same rate, other connect fee, increments or destination.
    Changed,
    Unchanged,
    Closed,
}

impl Change {
    const ALL: [Change; 6] = [Change::New, Change::Increased, Change::Decreased, Change::Changed, Change::Unchanged, Change::Closed];

    fn name(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Increased => "increased",
            Change::Decreased => "decreased",
            Change::Changed => "changed",
            Change::Unchanged => "unchanged",
            Change::Closed => "closed",
        }
    }
}

/// One code of either sheet.
pub struct Line<'d> {
    pub prefix: String,
    pub change: Change,
    pub old: Option<RowRef<'d>>,
    pub new: Option<RowRef<'d>>,
}

impl Line<'_> {
    /// The rate moved by more than half: look twice.
    pub fn suspicious(&self) -> bool {
        let (Some(old), Some(new)) = (self.old, self.new) else { return false };
        let (old, new) = (i128::from(old.rate_e12()), i128::from(new.rate_e12()));
        (new - old).abs() * 2 > old
    }
}

pub fn compare<'d>(old: &'d Deck, new: &'d Deck, at_us: i64) -> Vec<Line<'d>> {
    let mut codes: BTreeMap<String, [Option<RowRef<'d>>; 2]> = BTreeMap::new();
    for (which, deck) in [old, new].into_iter().enumerate() {
        for row in deck.rows().filter(|r| r.effective_to_us().is_none_or(|to| at_us < to)) {
            // In order of their start: what is in force, else the first to come.
            codes.entry(row.prefix()).or_default()[which].get_or_insert(row);
        }
    }
    let sold = |row: Option<RowRef<'d>>| row.filter(|r| !r.blocked());
    let line = |(prefix, [old, new]): (String, [Option<RowRef<'d>>; 2])| {
        let (old, new) = (sold(old), sold(new));
        let change = match (&old, &new) {
            (None, None) => return None,
            (None, Some(_)) => Change::New,
            (Some(_), None) => Change::Closed,
            (Some(a), Some(b)) if b.rate_e12() > a.rate_e12() => Change::Increased,
            (Some(a), Some(b)) if b.rate_e12() < a.rate_e12() => Change::Decreased,
            (Some(a), Some(b)) if terms(a) != terms(b) => Change::Changed,
            _ => Change::Unchanged,
        };
        Some(Line { prefix, change, old, new })
    };
    codes.into_iter().filter_map(line).collect()
}

fn terms<'d>(row: &RowRef<'d>) -> (i64, u32, u32, &'d str) {
    (row.connect_fee_e12(), row.initial_s(), row.increment_s(), row.destination())
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let options = args.options.options()?;
    if let Some(mode) = args.mode.mode() {
        return preview(args, mode, &options);
    }
    let (old, new) = (load(&args.old, &options)?, load(&args.new, &options)?);
    let at = args.at.unwrap_or_else(now_us);
    let lines = compare(&old, &new, at);
    let counts = Change::ALL.map(|c| (c, lines.iter().filter(|l| l.change == c).count()));
    let other_currency = old.currency() != new.currency();
    let shown: Vec<&Line<'_>> = lines.iter().filter(|l| args.all || l.change != Change::Unchanged).collect();
    if args.json {
        let counted: serde_json::Map<String, Value> = counts.iter().map(|(c, n)| (c.name().to_owned(), (*n).into())).collect();
        out::json(&json!({
            "at": format_rfc3339(at), "old_version": old.version(), "new_version": new.version(), "currency_mismatch": other_currency,
            "counts": counted, "codes": shown.iter().map(|l| line_json(l)).collect::<Vec<_>>(),
        }))?;
        return Ok(Done::Yes);
    }
    if !shown.is_empty() {
        let rows: Vec<Vec<String>> = shown.iter().map(|l| cells(l)).collect();
        out::text(&out::table(&["CODE", "DESTINATION", "CHANGE", "OLD", "NEW", "FROM", ""], &rows))?;
    }
    let counted: Vec<String> = counts.iter().map(|(c, n)| format!("{n} {}", c.name())).collect();
    out::line(&format!("{} at {}", counted.join(", "), format_rfc3339(at)))?;
    if other_currency {
        eprintln!("warning: the old sheet is in {}, the new one in {}: rates are compared as they stand", old.currency(), new.currency());
    }
    Ok(Done::Yes)
}

/// What an import would show, without a node.
fn preview(args: &Args, mode: Mode, options: &DeckOptions) -> anyhow::Result<Done> {
    let old = load(&args.old, options)?;
    let csv = std::fs::read(&args.old).with_context(|| format!("{} cannot be read", args.old.display()))?;
    let sheet = args.sheet.read(&args.new, options.timezone)?;
    let order = Order {
        closes_us: args.take.closes,
        past_now: args.take.past == "now",
        notice_days: args.notice_days,
        short_notice: args.take.short_notice.clone(),
        jump_percent: args.take.jump_percent,
        currency: sheet.currency.clone(),
        ..Order::new(mode, args.at.unwrap_or_else(now_us))
    };
    let in_force = InForce { deck: &old, csv: &csv, timezone: options.timezone };
    match prepare(old.name(), options, Some(in_force), &sheet.rows, &order, &[]) {
        Ok(prepared) if args.json => out::json(&serde_json::to_value(&prepared.preview)?)?,
        Ok(prepared) => out::line(&prepared.preview.to_string())?,
        Err(problems) if args.json => {
            out::json(&json!({ "ok": false, "problems": problems.problems, "more": problems.more }))?;
            return Ok(Done::No);
        }
        Err(problems) => {
            for problem in &problems.problems {
                eprintln!("error: {}:{problem}", args.new.display());
            }
            eprintln!("error: {} problems in {}", problems.total(), args.new.display());
            return Ok(Done::No);
        }
    }
    Ok(Done::Yes)
}

fn cells(line: &Line<'_>) -> Vec<String> {
    let rate = |row: &Option<RowRef<'_>>| row.map_or_else(|| "-".to_owned(), price);
    let destination = line.new.or(line.old).map(|r| r.destination().to_owned()).unwrap_or_default();
    let from = line.new.and_then(|r| r.effective_from_us()).map(format_rfc3339).unwrap_or_else(|| "-".to_owned());
    let note = if line.suspicious() { "more than 50 %" } else { "" };
    vec![line.prefix.clone(), destination, line.change.name().to_owned(), rate(&line.old), rate(&line.new), from, note.to_owned()]
}

/// `0.0100 6/6 +0.05`: rate, increments, connect fee.
fn price(row: RowRef<'_>) -> String {
    let fee = if row.connect_fee_e12() == 0 { String::new() } else { format!(" +{}", format_rate(row.connect_fee_e12())) };
    format!("{} {}/{}{fee}", row.rate_text(), row.initial_s(), row.increment_s())
}

fn line_json(line: &Line<'_>) -> Value {
    let row = |row: &Option<RowRef<'_>>| {
        row.map(|r| {
            json!({
                "destination": r.destination(), "rate": r.rate_text(), "connect_fee": format_rate(r.connect_fee_e12()),
                "initial": r.initial_s(), "increment": r.increment_s(), "effective_from": r.effective_from_us().map(format_rfc3339),
            })
        })
    };
    json!({
        "prefix": line.prefix, "change": line.change.name(), "suspicious": line.suspicious(), "old": row(&line.old), "new": row(&line.new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deck(rows: &str) -> Deck {
        let text = format!("prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,blocked\n{rows}");
        Deck::compile("d", text.as_bytes(), &DeckOptions::default()).expect("deck")
    }

    #[test]
    fn r_14_every_code_is_new_increased_decreased_changed_unchanged_or_closed() {
        let old = deck(
            "1,US,0.01,0,6,6,,,\n31,NL,0.02,0,1,1,,,\n32,BE,0.03,0,1,1,,,\n33,FR,0.04,0,1,1,,,\n34,ES,0.05,0,1,1,,,\n35,PT,0.05,0,1,1,,,\n",
        );
        let new = deck(
            "1,US,0.01,0,6,6,,,\n31,NL,0.031,0,1,1,,,\n32,BE,0.02,0,1,1,,,\n33,FR,0.04,0,60,60,,,\n35,PT,0.05,0,1,1,,,true\n49,DE,0.01,0,1,1,2030-01-01,,\n",
        );
        let lines = compare(&old, &new, 1_800_000_000_000_000);
        let found: Vec<(&str, Change, bool)> = lines.iter().map(|l| (l.prefix.as_str(), l.change, l.suspicious())).collect();
        assert_eq!(
            found,
            [
                ("1", Change::Unchanged, false), ("31", Change::Increased, true), ("32", Change::Decreased, false),
                ("33", Change::Changed, false), ("34", Change::Closed, false), ("35", Change::Closed, false), ("49", Change::New, false),
            ]
        );
    }

    #[test]
    fn r_14_the_price_at_the_asked_time_counts() {
        let old = deck("1,US,0.01,0,6,6,2020-01-01,2027-01-01,\n1,US,0.05,0,6,6,2027-01-01,,\n");
        let new = deck("1,US,0.02,0,6,6,,,\n");
        let change = |at: &str| compare(&old, &new, parse_time(at).expect("time"))[0].change;
        assert_eq!(change("2026-06-01T00:00:00Z"), Change::Increased);
        assert_eq!(change("2027-06-01T00:00:00Z"), Change::Decreased);
    }
}
