//! `tollgate doctor`: whether this machine can run what the configuration says.

mod checks;

use std::path::PathBuf;

use serde_json::json;

use super::{Done, out};
use crate::config::Config;

/// Looks at the machine: data folder, disk, ports, limits, clock, configuration
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
    let mut config = match Config::load(&args.config) {
        Ok(config) => {
            let (documents, problems) = super::check_config::problems(&config, &[]);
            let found = match problems.as_slice() {
                [] => format!("{} is right, with {} documents", args.config.display(), documents.len()),
                some => format!("{}{}", some[0], if some.len() > 1 { format!(" and {} more: see tollgate check-config", some.len() - 1) } else { String::new() }),
            };
            findings.push(Finding { check: "configuration", state: if problems.is_empty() { State::Ok } else { State::Bad }, found });
            config
        }
        Err(problems) => {
            let found = format!("{}{}", problems[0], if problems.len() > 1 { format!(" and {} more: see tollgate check-config", problems.len() - 1) } else { String::new() });
            findings.push(Finding { check: "configuration", state: State::Bad, found });
            // The rest is looked at with the defaults.
            Config::default_in("data".as_ref())
        }
    };
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
