//! `tollgate deck diff`: what a new sheet changes, code by code.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};
use tollgate_rating::{
    deck::{Deck, DeckOptions, JurisdictionRates, RowRef},
    import::{InForce, Mode, Order, prepare},
};
use tollgate_schemas::{money::format_rate, time::format_rfc3339};

use super::{
    Done, SheetArgs, foreign_groups,
    import::{ModeArgs, TakeArgs},
    load, load_as, out,
    sheet::SheetOptions,
    warn,
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
    /// Empty: for every caller.
    pub origin_group: String,
    pub change: Change,
    pub old: Option<RowRef<'d>>,
    pub new: Option<RowRef<'d>>,
}

impl Line<'_> {
    /// The rate moved by more than half: look twice.
    pub fn suspicious(&self) -> bool {
        let (Some(old), Some(new)) = (self.old, self.new) else { return false };
        prices(&old).into_iter().zip(prices(&new)).any(|(old, new)| (i128::from(new) - i128::from(old)).abs() * 2 > i128::from(old))
    }
}

pub fn compare<'d>(old: &'d Deck, new: &'d Deck, at_us: i64) -> Vec<Line<'d>> {
    let mut codes: BTreeMap<(String, String), [Option<RowRef<'d>>; 2]> = BTreeMap::new();
    for (which, deck) in [old, new].into_iter().enumerate() {
        let rows = deck.rows().chain(deck.origin_rows().map(|(row, _)| row));
        for row in rows.filter(|r| r.effective_to_us().is_none_or(|to| at_us < to)) {
            // In order of their start: what is in force, else the first to come.
            codes.entry((row.prefix(), row.origin_group().to_owned())).or_default()[which].get_or_insert(row);
        }
    }
    let sold = |row: Option<RowRef<'d>>| row.filter(|r| !r.blocked());
    let line = |((prefix, origin_group), [old, new]): ((String, String), [Option<RowRef<'d>>; 2])| {
        let (old, new) = (sold(old), sold(new));
        let change = match (&old, &new) {
            (None, None) => return None,
            (None, Some(_)) => Change::New,
            (Some(_), None) => Change::Closed,
            (Some(a), Some(b)) => between(a, b),
        };
        Some(Line { prefix, origin_group, change, old, new })
    };
    codes.into_iter().filter_map(line).collect()
}

/// What becomes of a code: dearer in some jurisdiction and cheaper in none is an increase, both is a change.
fn between(old: &RowRef<'_>, new: &RowRef<'_>) -> Change {
    let pairs = || prices(old).into_iter().zip(prices(new));
    match (pairs().any(|(a, b)| b > a), pairs().any(|(a, b)| b < a)) {
        (true, false) => Change::Increased,
        (false, true) => Change::Decreased,
        (true, true) => Change::Changed,
        (false, false) if terms(old) != terms(new) => Change::Changed,
        (false, false) => Change::Unchanged,
    }
}

/// The row's price of a minute, then what it is by US jurisdiction.
fn prices(row: &RowRef<'_>) -> [i64; 4] {
    let by = row.jurisdiction_rates().unwrap_or_default();
    let own = row.rate_e12();
    [own, by.inter_e12.unwrap_or(own), by.intra_e12.unwrap_or(own), by.indeterminate_e12.unwrap_or(own)]
}

fn terms<'d>(row: &RowRef<'d>) -> (i64, u32, u32, &'d str, JurisdictionRates) {
    (row.connect_fee_e12(), row.initial_s(), row.increment_s(), row.destination(), row.jurisdiction_rates().unwrap_or_default())
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let options = args.options.options()?;
    if let Some(mode) = args.mode.mode() {
        return preview(args, mode, &options);
    }
    let (old, new) = (load(&args.old, &options)?, load_as(&args.new, &options, &args.sheet)?.0);
    warn(&args.new, &new);
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
    let (old, csv) = load_as(&args.old, options, &SheetOptions::default())?;
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
        Ok(mut prepared) => {
            prepared.preview.left_out = sheet.explained.left_out();
            prepared.preview.warnings.extend(foreign_groups(&prepared.deck));
            if args.json {
                out::json(&serde_json::to_value(&prepared.preview)?)?;
            } else {
                out::line(&prepared.preview.to_string())?;
            }
        }
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
    let code = if line.origin_group.is_empty() { line.prefix.clone() } else { format!("{} from {}", line.prefix, line.origin_group) };
    vec![code, destination, line.change.name().to_owned(), rate(&line.old), rate(&line.new), from, note.to_owned()]
}

/// `0.0100 6/6 +0.05 inter 0.0070`: rate, increments, connect fee, and prices by jurisdiction where there are some.
fn price(row: RowRef<'_>) -> String {
    let by = row.jurisdiction_rates().unwrap_or_default();
    let by: String = [("inter", by.inter_e12), ("intra", by.intra_e12), ("ij", by.indeterminate_e12)].into_iter().filter_map(|(name, rate)| Some(format!(" {name} {}", format_rate(rate?)))).collect();
    let fee = if row.connect_fee_e12() == 0 { String::new() } else { format!(" +{}", format_rate(row.connect_fee_e12())) };
    format!("{} {}/{}{fee}{by}", row.rate_text(), row.initial_s(), row.increment_s())
}

fn line_json(line: &Line<'_>) -> Value {
    let row = |row: &Option<RowRef<'_>>| {
        row.map(|r| {
            json!({
                "destination": r.destination(), "rate": r.rate_text(), "connect_fee": format_rate(r.connect_fee_e12()),
                "initial": r.initial_s(), "increment": r.increment_s(), "interrate": r.jurisdiction_rates().and_then(|j| j.inter_e12).map(format_rate),
                "intrarate": r.jurisdiction_rates().and_then(|j| j.intra_e12).map(format_rate), "ijrate": r.jurisdiction_rates().and_then(|j| j.indeterminate_e12).map(format_rate), "effective_from": r.effective_from_us().map(format_rfc3339),
            })
        })
    };
    json!({
        "prefix": line.prefix, "origin_group": line.origin_group, "change": line.change.name(), "suspicious": line.suspicious(), "old": row(&line.old), "new": row(&line.new),
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
    fn r_14_prices_by_jurisdiction_and_rows_of_origin_groups_are_compared() {
        let deck = |rows: &str| {
            let text = format!("prefix,destination,rate,connect_fee,initial,increment,effective_from,interrate,intrarate,ijrate,origin_group\n{rows}");
            Deck::compile("d", text.as_bytes(), &DeckOptions::default()).expect("deck")
        };
        let old = deck("1201,NJ,0.005,0,6,6,,0.003,0.004,0.005,\n1202,DC,0.005,0,6,6,,0.003,0.004,,\n1203,CT,0.005,0,6,6,,0.003,,,\n44,UK,0.9,0,1,1,,,,,\n44,UK,0.5,0,1,1,,,,,eea\n");
        let new = deck("1201,NJ,0.005,0,6,6,,0.003,0.006,0.005,\n1202,DC,0.005,0,6,6,,0.004,0.003,,\n1203,CT,0.005,0,6,6,,0.003,,,\n44,UK,0.9,0,1,1,,,,,\n44,UK,0.4,0,1,1,,,,,EEA\n33,FR,0.1,0,1,1,,,,,eea\n");
        let lines = compare(&old, &new, 1_800_000_000_000_000);
        let found: Vec<(String, Change, bool)> = lines.iter().map(|l| (cells(l)[0].clone(), l.change, l.suspicious())).collect();
        let want = [("1201", Change::Increased, false), ("1202", Change::Changed, false), ("1203", Change::Unchanged, false), ("33 from eea", Change::New, false), ("44", Change::Unchanged, false), ("44 from eea", Change::Decreased, false)];
        assert_eq!(found, want.map(|(code, change, jump)| (code.to_owned(), change, jump)));
        assert_eq!(cells(&lines[0])[4], "0.005 6/6 inter 0.0030 intra 0.0060 ij 0.0050");
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
