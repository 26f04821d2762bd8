//! `tollgate rate`: prices a file of calls with nothing running.

mod callers;
mod documents;
mod parquet;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufWriter, IsTerminal, Read, Write},
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Instant,
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tollgate_rating::{
    deck::Tariff,
    rate_file::{Counts, Decks, RateOptions, rate_csv_on},
};
use tollgate_schemas::name;

use super::{
    Done,
    deck::{self, SheetArgs},
    out,
};

/// Prices a file of calls with no services running
///
/// Calls and rated calls are CSV, or Parquet where both file names end in .parquet. Rows that are no calls go to standard
/// error with row and column and make the exit code 1; the others are written all the same. Prices go by the caller (column
/// from) as a node's do, where decks, surcharges or a number table ask for it.
#[derive(clap::Args)]
pub struct Args {
    /// Rate sheet, for one account or for all that have none of their own; may be repeated. A .yaml or .json file is a deck document:
    /// it says currency, zone and tariff itself, and names its sheet and other decks relative to it
    #[arg(long = "deck", value_name = "[ACCOUNT=]FILE", required_unless_present = "files")]
    decks: Vec<String>,
    /// Provisioning documents, may be repeated: accounts with their decks (of one deck and no account: all accounts), origin
    /// groups, surcharges and number tables; other kinds are not looked at. An account pays by its own deck, whatever is above it
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exchanges and their states (npanxx,state,…): calls have a US jurisdiction; may be repeated
    #[arg(long = "number-table", value_name = "FILE")]
    number_tables: Vec<PathBuf>,
    /// Ported numbers (number,lrn,…): rows without lrn and lrn_source are looked up here, which counts as a dip
    #[arg(long, value_name = "FILE")]
    lrn: Option<PathBuf>,
    /// Calls; "-" is standard input
    #[arg(long, value_name = "FILE")]
    calls: PathBuf,
    /// Rated calls, put in place when all are written; "-" is standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Add a column that says how each amount came about
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    options: SheetArgs,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let sheets = args.decks.iter().map(|text| Path::new(text.split_once('=').map_or(text.as_str(), |(_, file)| file)));
    let files = args.files.iter().chain(&args.number_tables).chain(&args.lrn).chain([&args.calls]).map(PathBuf::as_path);
    let inputs: Vec<&Path> = sheets.chain(files).collect();
    let out = if args.out == Path::new("-") { args.out.clone() } else { out::target(&args.out, &inputs)? };
    let decks = callers::add(args, decks(args)?)?;
    let parquet = [&args.calls, &args.out].map(|f| f.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")));
    let ringing: BTreeSet<&str> = decks.iter().filter(|d| d.tariff().is_some_and(Tariff::charges_ringing)).map(|d| d.name()).collect();
    for deck in ringing {
        eprintln!("deck '{deck}' charges ringing (ringing_fee): how long calls rang is not in the file, so nothing is charged for it here");
    }
    let started = Instant::now();
    let counts = match parquet {
        [true, true] if args.explain => bail!("--explain adds a column that the Parquet form does not have: rate CSV files with it"),
        [true, true] => parquet::rate(&decks, &args.calls, &out, cores())?,
        [false, false] => csv(&decks, args, &out)?,
        [true, false] => bail!("calls in Parquet are rated to Parquet: name --out something.parquet"),
        [false, true] => bail!("calls in CSV are rated to CSV: name --out something.csv"),
    };
    summary(&counts, started.elapsed().as_millis());
    Ok(Done::when(counts.malformed == 0))
}

/// Threads that a file is rated on.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Every deck that is named by itself, or every problem of every one.
fn decks(args: &Args) -> anyhow::Result<Decks> {
    let options = args.options.options()?;
    let (mut decks, mut wrong) = (Decks::default(), Vec::new());
    for text in &args.decks {
        let (account, file) = match text.split_once('=') {
            // A file may have a '=' in its name; an account is a name.
            Some((account, file)) if name::check(account).is_ok() => (Some(account), Path::new(file)),
            _ => (None, Path::new(text)),
        };
        let loaded = if documents::is_document(file) { documents::load(file) } else { deck::load(file, &options) };
        match loaded {
            Ok(deck) => {
                deck::warn(file, &deck);
                decks.add(account, Arc::new(deck))?;
            }
            Err(e) => wrong.push(e),
        }
    }
    let last = wrong.pop();
    for error in wrong {
        eprintln!("error: {error:#}");
    }
    last.map_or(Ok(decks), Err)
}

fn csv(decks: &Decks, args: &Args, out: &Path) -> anyhow::Result<Counts> {
    let (input, bytes): (Box<dyn Read + Send>, u64) = if args.calls == Path::new("-") {
        (Box::new(io::stdin()), 0)
    } else {
        let file = File::open(&args.calls).with_context(|| format!("{} cannot be read", args.calls.display()))?;
        let bytes = file.metadata().map(|m| m.len()).unwrap_or(0);
        (Box::new(file), bytes)
    };
    let bar = bar(bytes, "{bar:40} {percent}% {bytes_per_sec} {eta}");
    let mut malformed = Malformed { file: &args.calls, bar: &bar };
    let mut problem = |p: tollgate_rating::rate_file::RowProblem| malformed.tell(p.line, p.column, &p.problem);
    let mut progress = |read: u64| bar.set_position(read);
    let options = RateOptions { explain: args.explain };
    let context = |what: &Path| format!("{}", what.display());
    let counts = if out == Path::new("-") {
        let mut stdout = io::stdout().lock();
        let rated = rate_csv_on(cores(), decks, input, &mut stdout, options, &mut problem, &mut progress);
        super::out::wrote(stdout.flush())?;
        rated.map_err(|e| closed(e)).with_context(|| context(&args.calls))?
    } else {
        let temporary = beside(out);
        let file = File::create(&temporary).with_context(|| format!("{} cannot be written", out.display()))?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let rated = rate_csv_on(cores(), decks, input, &mut writer, options, &mut problem, &mut progress)
            .with_context(|| context(&args.calls))
            .and_then(|counts| {
                writer.flush()?;
                fs::rename(&temporary, out)?;
                Ok(counts)
            });
        if rated.is_err() {
            // Half a file under any name would be taken for a whole one some day; that it is gone is all that matters.
            let _ = fs::remove_file(&temporary);
        }
        rated?
    };
    bar.finish_and_clear();
    Ok(counts)
}

/// Where standard output's reader went away, that is no failure of ours.
fn closed(error: tollgate_rating::rate_file::RateFileError) -> anyhow::Error {
    use tollgate_rating::rate_file::RateFileError;
    if let RateFileError::Write(e) = &error
        && let csv::ErrorKind::Io(io) = e.kind()
        && io.kind() == io::ErrorKind::BrokenPipe
    {
        return out::Closed.into();
    }
    error.into()
}

/// A name in the same folder, so that putting it in place is one step.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

/// Drawn only where a person looks on.
fn bar(length: u64, template: &str) -> ProgressBar {
    if length == 0 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Rows that are no calls, to standard error.
struct Malformed<'a> {
    file: &'a Path,
    bar: &'a ProgressBar,
}

impl Malformed<'_> {
    fn tell(&mut self, row: u64, column: &str, problem: &str) {
        let column = if column.is_empty() { String::new() } else { format!(":{column}") };
        self.bar.suspend(|| eprintln!("{}:{row}{column}: {problem}", self.file.display()));
    }
}

fn summary(counts: &Counts, ms: u128) {
    let Counts { read, malformed, rated, unanswered, no_prefix, not_effective, blocked, .. } = counts;
    let per_second = u128::from(*read) * 1000 / ms.max(1);
    eprintln!(
        "{read} rows: {rated} rated, {unanswered} unanswered, {no_prefix} no_prefix, {not_effective} not_effective, {blocked} blocked, \
         {malformed} malformed; {ms} ms, {per_second} calls/s"
    );
    if counts.without_deck > 0 {
        let named: Vec<&str> = counts.accounts_without_deck.iter().map(String::as_str).take(10).collect();
        let more = counts.accounts_without_deck.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        eprintln!("{} calls are of accounts without a deck: {}{more}; give one with --deck ACCOUNT=FILE", counts.without_deck, named.join(", "));
    }
}
