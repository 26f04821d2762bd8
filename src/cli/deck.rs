//! `tollgate deck`: rate sheets, as files and on a running node.

mod convert;
mod coverage;
mod diff;
mod import;
mod sheet;
mod show;
pub mod xlsx;

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context as _;
use chrono_tz::Tz;
use serde_json::{Value, json};
use tollgate_rating::{
    deck::{Deck, DeckOptions, DeckProblems, parse_rounding},
    geography::BUILT_IN,
    import::{ImportProblems, NotWhole, whole_sheet},
};

use self::sheet::SheetOptions;
use super::{Done, out};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Says what is wrong with a rate sheet, by row and column; a workbook is read as a carrier's sheet
    Check {
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: SheetArgs,
        #[command(flatten)]
        sheet: Box<SheetOptions>,
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

/// Rows of a carrier's sheet that are no deck by themselves, told as `sheet.xlsx:Rates!12: 44: what is wrong`.
#[derive(Debug)]
pub struct BadRows {
    pub file: PathBuf,
    pub problems: ImportProblems,
}

impl std::fmt::Display for BadRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.display();
        for (i, problem) in self.problems.problems.iter().enumerate() {
            write!(f, "{}{file}:{}{problem}", if i == 0 { "" } else { "\nerror: " }, if problem.source.is_empty() { " " } else { "" })?;
        }
        let total = self.problems.total();
        write!(f, "\n{total} problem{} in {file}", if total == 1 { "" } else { "s" })
    }
}

impl std::error::Error for BadRows {}

/// Reads and compiles a sheet; the deck has the file's name without its ending. A workbook, and what `deck convert` writes, is
/// taken as a carrier's sheet that is a deck by itself.
pub fn load(file: &Path, options: &DeckOptions) -> anyhow::Result<Deck> {
    Ok(load_as(file, options, &SheetOptions::default())?.0)
}

/// The same, with what the carrier's sheet does not say itself, and the deck's own form of it.
pub fn load_as(file: &Path, options: &DeckOptions, sheet: &SheetOptions) -> anyhow::Result<(Deck, Vec<u8>)> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let name = file.file_stem().map_or_else(|| "deck".to_owned(), |s| s.to_string_lossy().into_owned());
    if !sheet::is_carriers(&bytes) {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let deck = Deck::compile_on(cores, &name, &bytes, options).map_err(|problems| BadSheet { file: file.to_owned(), problems })?;
        return Ok((deck, bytes));
    }
    drop(bytes);
    let read = sheet.read(file, options.timezone)?;
    // Workbooks are called anything.
    let name: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }).take(64).collect();
    let whole = whole_sheet(&name, options, &read.rows, read.currency.as_deref());
    let prepared = whole.map_err(|NotWhole(problems)| BadRows { file: file.to_owned(), problems })?;
    Ok((prepared.deck, prepared.csv))
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    match command {
        Command::Check { file, json, options, sheet } => check(&file, &options, &sheet, json),
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
    for group in foreign_groups(deck) {
        eprintln!("warning: {}: {group}", file.display());
    }
}

/// Origin groups that are not built in: whether a document has them is not known here.
fn foreign_groups(deck: &Deck) -> Vec<String> {
    let unknown = deck.unknown_groups(|group| BUILT_IN.contains(&group));
    let told = |(group, rows): (&str, usize)| format!("{rows} rows are for callers of origin group '{group}', which is not built in (there are {}): they price nobody unless a document of kind origin_group has it", BUILT_IN.join(", "));
    unknown.into_iter().map(told).collect()
}

/// Rows of every kind.
fn rows_of(deck: &Deck) -> usize {
    deck.len() + deck.origin_rows().count()
}

fn check(file: &Path, options: &SheetArgs, sheet: &SheetOptions, as_json: bool) -> anyhow::Result<Done> {
    let loaded = load_as(file, &options.options()?, sheet).map(|(deck, _)| deck);
    if !as_json {
        let deck = loaded?;
        warn(file, &deck);
        let origins = deck.origin_rows().count();
        let of_groups = if origins > 0 { format!(" ({origins} of them for origin groups)") } else { String::new() };
        out::line(&format!("{}: right; {} rows{of_groups} in {}, version {}", file.display(), rows_of(&deck), deck.currency(), deck.version()))?;
        return Ok(Done::Yes);
    }
    let (report, ok) = match loaded {
        Ok(deck) => {
            let mut warnings: Vec<Value> = deck.warnings().iter().map(|w| json!({ "line": w.line, "text": w.text })).collect();
            warnings.extend(foreign_groups(&deck).into_iter().map(|text| json!({ "line": 0, "text": text })));
            let report = json!({
                "file": file, "ok": true, "rows": rows_of(&deck), "origin_rows": deck.origin_rows().count(), "currency": deck.currency(), "version": deck.version(),
                "problems": [], "warnings": warnings,
            });
            (report, true)
        }
        Err(error) => (refusal(file, error)?, false),
    };
    out::json(&report)?;
    Ok(Done::when(ok))
}

/// A refusal as JSON; anything else is the program's own error.
fn refusal(file: &Path, error: anyhow::Error) -> anyhow::Result<Value> {
    let error = match error.downcast::<BadSheet>() {
        Ok(bad) => {
            let problems: Vec<Value> = bad.problems.problems.iter().map(|p| json!({ "line": p.line, "column": p.column, "problem": p.problem })).collect();
            return Ok(json!({ "file": file, "ok": false, "problems": problems, "more": bad.problems.more }));
        }
        Err(error) => error,
    };
    let error = match error.downcast::<sheet::BadCarrierSheet>() {
        Ok(bad) => return Ok(bad.json()),
        Err(error) => error,
    };
    let bad = error.downcast::<BadRows>()?;
    Ok(json!({ "file": file, "ok": false, "problems": bad.problems.problems, "more": bad.problems.more }))
}
