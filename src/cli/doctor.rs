//! `tollgate doctor`: whether this machine can run what the configuration says.

mod checks;

use std::path::PathBuf;

use serde_json::json;

use super::{Done, out};
use crate::config::Config;

/// Looks at the machine: data folder, disk, ports, limits, clock, configuration, and the servers it names
#[derive(clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "tollgate.toml")]
    config: PathBuf,
    /// The data folder, over the configuration's data_dir
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ok,
    /// It will run; somebody should know.
    Warn,
    /// It will not run, or not safely.
    Bad,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Bad => "bad",
        }
    }
}

/// One thing looked at. What is not ok says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub state: State,
    pub found: String,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let mut findings = Vec::new();
    let (config, (documents, problems)) = super::check_config::examine(&args.config, &[]);
    let (state, found) = match problems.as_slice() {
        [] => (State::Ok, format!("{} is right, with {} documents", args.config.display(), documents.len())),
        [one] => (State::Bad, one.to_string()),
        [first, more @ ..] => (State::Bad, format!("{first} and {} more: see tollgate check-config", more.len())),
    };
    findings.push(Finding { check: "configuration", state, found });
    // Where it is wrong the rest is looked at with the defaults.
    let mut config = config.unwrap_or_else(|| Config::default_in("data".as_ref()));
    if let Some(data) = &args.data {
        config.data_dir.clone_from(data);
    }
    findings.extend(checks::all(&config));
    let bad = findings.iter().any(|f| f.state == State::Bad);
    if args.json {
        let shown: Vec<_> = findings.iter().map(|f| json!({ "check": f.check, "state": f.state.name(), "found": f.found })).collect();
        out::json(&json!({ "ok": !bad, "checks": shown }))?;
    } else {
        let rows: Vec<Vec<String>> =
            findings.into_iter().map(|f| vec![f.check.to_owned(), f.state.name().to_owned(), f.found]).collect();
        out::text(&out::table(&["CHECK", "STATE", "FOUND"], &rows))?;
    }
    Ok(Done::when(!bad))
}
