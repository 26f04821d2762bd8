//! `tollgate deck`: rate sheets, as files and on a running node.

mod convert;
mod coverage;
mod diff;
mod import;
mod sheet;
mod show;
mod xlsx;

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context as _;
use chrono_tz::Tz;
use serde_json::{Value, json};
use tollgate_rating::deck::{Deck, DeckOptions, DeckProblems, parse_rounding};

use super::{Done, out};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Says what is wrong with a rate sheet, by row and column
    Check {
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: SheetArgs,
    },
    Diff(diff::Args),
    Show(show::Args),
    Convert(convert::Args),
    Import(Box<import::Args>),
    Imports(import::ListArgs),
    /// Puts a proposed sheet in force; not by whoever proposed it
    Approve(import::DecideArgs),
    /// Lays a proposed sheet aside
    Reject(import::DecideArgs),
    Coverage(coverage::Args),
}

/// What a sheet does not say itself.
#[derive(Debug, Clone, clap::Args)]
pub struct SheetArgs {
    /// ISO 4217; the sheet's own column goes before it
    #[arg(long, default_value = "USD", value_parser = parse_currency)]
    pub currency: String,
    /// IANA zone of dates without a time
    #[arg(long, default_value = "UTC")]
    pub timezone: Tz,
    /// Decimal places of an amount
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=8))]
    pub places: u32,
    /// How an amount is rounded
    #[arg(long, default_value = "half_up", value_parser = ["half_up", "up", "half_even", "down"])]
    pub rounding: String,
}

fn parse_currency(text: &str) -> Result<String, String> {
    tollgate_schemas::currency::minor_units(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

impl SheetArgs {
    pub fn options(&self) -> anyhow::Result<DeckOptions> {
        let rounding = parse_rounding(&self.rounding)?;
        Ok(DeckOptions { currency: self.currency.clone(), timezone: self.timezone, places: self.places, rounding, tariff: None, ..DeckOptions::default() })
    }
}

/// A sheet that was refused, told as `deck.csv:12:rate: what is wrong`.
#[derive(Debug)]
pub struct BadSheet {
    pub file: PathBuf,
    pub problems: DeckProblems,
}

impl std::fmt::Display for BadSheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.display();
        for (i, problem) in self.problems.problems.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "\nerror: " })?;
            match (problem.line, problem.column.as_str()) {
                (0, "") => write!(f, "{file}: {}", problem.problem)?,
                (0, column) => write!(f, "{file}: {column}: {}", problem.problem)?,
                (line, "") => write!(f, "{file}:{line}: {}", problem.problem)?,
                (line, column) => write!(f, "{file}:{line}:{column}: {}", problem.problem)?,
            }
        }
        let total = self.problems.total();
        write!(f, "\n{total} problem{} in {file}", if total == 1 { "" } else { "s" })
    }
}

impl std::error::Error for BadSheet {}

/// Reads and compiles a sheet; the deck has the file's name without its ending.
pub fn load(file: &Path, options: &DeckOptions) -> anyhow::Result<Deck> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let name = file.file_stem().map_or_else(|| "deck".to_owned(), |s| s.to_string_lossy().into_owned());
    Deck::compile_on(thread::available_parallelism().map_or(1, NonZero::get), &name, &bytes, options).map_err(|problems| BadSheet { file: file.to_owned(), problems }.into())
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    match command {
        Command::Check { file, json, options } => check(&file, &options, json),
        Command::Diff(args) => diff::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Imports(args) => import::list(&args),
        Command::Approve(args) => import::decide(&args, true),
        Command::Reject(args) => import::decide(&args, false),
        Command::Coverage(args) => coverage::run(&args),
    }
}

/// What the sheet says that pricing does not follow, to standard error.
pub fn warn(file: &Path, deck: &Deck) {
    for warning in deck.warnings() {
        eprintln!("warning: {}:{}: {}", file.display(), warning.line, warning.text);
    }
}

fn check(file: &Path, options: &SheetArgs, as_json: bool) -> anyhow::Result<Done> {
    let loaded = load(file, &options.options()?);
    if !as_json {
        let deck = loaded?;
        warn(file, &deck);
        out::line(&format!("{}: right; {} rows in {}, version {}", file.display(), deck.len(), deck.currency(), deck.version()))?;
        return Ok(Done::Yes);
    }
    let (report, ok) = match loaded {
        Ok(deck) => {
            let warnings: Vec<Value> = deck.warnings().iter().map(|w| json!({ "line": w.line, "text": w.text })).collect();
            let report = json!({
                "file": file, "ok": true, "rows": deck.len(), "currency": deck.currency(), "version": deck.version(),
                "problems": [], "warnings": warnings,
            });
            (report, true)
        }
        Err(error) => match error.downcast::<BadSheet>() {
            Ok(bad) => {
                let told = bad.problems.problems.iter();
                let problems: Vec<Value> =
                    told.map(|p| json!({ "line": p.line, "column": p.column, "problem": p.problem })).collect();
                (json!({ "file": file, "ok": false, "problems": problems, "more": bad.problems.more }), false)
            }
            Err(other) => return Err(other),
        },
    };
    out::json(&report)?;
    Ok(Done::when(ok))
}
