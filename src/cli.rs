//! The command line. One file per command; each says what it did, or that it said no, or fails with what to do. Exit
//! codes: 0 ok, 1 said no or failed, 2 misuse.

mod api;
mod apply;
mod backup;
mod block;
mod call;
mod check_config;
mod compare;
mod deck;
mod diff;
mod dispute;
mod doctor;
mod export;
mod finance;
mod get;
mod invoice;
mod log;
#[cfg(test)]
mod made;
mod out;
mod payment;
mod rate;
mod receivable;
mod reconcile;
mod report;
mod rerate;
mod restore;
mod route;
mod run;
mod sip;

use std::{io::IsTerminal, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::{
    config::ConfigProblem,
    demo::{self, DemoOptions},
};

/// A voice carrier's engine: SIP proxy, rating, fraud, CDRs and API in one binary.
#[derive(Parser)]
#[command(name = "tollgate", version, propagate_version = true)]
struct Cli {
    /// What to tell on standard error: off, error, warn, info, debug or trace [default: info for run, else warn]
    #[arg(long = "log", global = true, env = "TOLLGATE_LOG", value_name = "LEVEL")]
    level: Option<LevelFilter>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(DemoOptions),
    Run(run::Args),
    CheckConfig(check_config::Args),
    Doctor(doctor::Args),
    Apply(apply::Args),
    Get(get::Args),
    Diff(diff::Args),
    /// Checks, compares, shows and loads rate sheets
    #[command(subcommand)]
    Deck(deck::Command),
    Rate(rate::Args),
    Route(route::Args),
    Rerate(Box<rerate::Args>),
    Invoice(Box<invoice::Args>),
    Reconcile(Box<reconcile::Args>),
    /// Disputes with carriers, and customers' about invoices
    #[command(subcommand)]
    Dispute(dispute::Command),
    Statement(receivable::StatementArgs),
    Ageing(receivable::AgeingArgs),
    Accrual(receivable::AccrualArgs),
    Netting(receivable::NettingArgs),
    /// Reports on a period's traffic: calling numbers, short calls
    #[command(subcommand)]
    Report(report::Command),
    /// Writes files that can be made again
    #[command(subcommand)]
    Export(export::Command),
    /// Orders about calls that are up
    #[command(subcommand)]
    Call(call::Command),
    /// Lists, places and lifts blocks
    #[command(subcommand)]
    Block(block::Command),
    /// Reads SIP messages
    #[command(subcommand)]
    Sip(sip::Command),
    /// Looks at the event log of a stopped node
    #[command(subcommand)]
    Log(log::Command),
    Payment(payment::PaymentArgs),
    Balance(payment::BalanceArgs),
    Backup(backup::Args),
    Restore(restore::Args),
}

/// How a command ended, when it could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Yes,
    /// The answer is no: problems found, nothing there, different.
    No,
}

impl Done {
    fn when(yes: bool) -> Done {
        if yes { Done::Yes } else { Done::No }
    }
}

/// Mistakes of files, each told on its own line.
#[derive(Debug)]
pub struct Problems(pub Vec<ConfigProblem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\nerror: " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = cli.level.unwrap_or(if matches!(cli.command, Command::Run(_)) { LevelFilter::INFO } else { LevelFilter::WARN });
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
    let done = match cli.command {
        Command::Demo(options) => demo::run(options).map(Done::when),
        Command::Run(args) => run::run(args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Deck(command) => deck::run(command),
        Command::Rate(args) => rate::run(&args),
        Command::Route(args) => route::run(&args),
        Command::Rerate(args) => rerate::run(&args),
        Command::Invoice(args) => invoice::run(*args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Dispute(command) => dispute::run(command),
        Command::Statement(args) => receivable::statement(&args),
        Command::Ageing(args) => receivable::ageing(&args),
        Command::Accrual(args) => receivable::accrual(&args),
        Command::Netting(args) => receivable::netting(&args),
        Command::Report(command) => report::run(command),
        Command::Export(command) => export::run(command),
        Command::Call(command) => call::run(command),
        Command::Block(command) => block::run(command),
        Command::Sip(command) => sip::run(&command),
        Command::Log(command) => log::run(command),
        Command::Payment(args) => payment::pay(&args),
        Command::Balance(args) => payment::balance(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
    };
    match done {
        Ok(Done::Yes) => ExitCode::SUCCESS,
        Ok(Done::No) => ExitCode::from(1),
        // Whoever read our output has seen enough.
        Err(error) if error.downcast_ref::<out::Closed>().is_some() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// A time as people give it on the command line.
fn parse_time(text: &str) -> Result<i64, String> {
    tollgate_schemas::time::parse_rfc3339(text).map_err(|e| e.to_string())
}

/// Microseconds since 1970, now.
fn now_us() -> i64 {
    crate::node::clock().utc_us
}
