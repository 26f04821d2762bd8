//! `tollgate deck coverage`: what is sold, by carrier and class (S1-85, S1-27).

mod files;

use std::path::PathBuf;

use anyhow::Context as _;
use tollgate_rating::coverage::{Cover, Coverage, Destination};
use tollgate_schemas::time::format_rfc3339;

use super::{Done, out};
use crate::cli::{
    api::{ApiArgs, Client},
    get::parse_name,
    parse_time,
};

/// Destinations sold by carrier and class: gaps, and destinations that hang on one upstream; exit code 1 when there are gaps
#[derive(clap::Args)]
pub struct Args {
    /// When, RFC 3339 with an offset [default: now]
    #[arg(long, value_parser = parse_time)]
    at: Option<i64>,
    /// Only destinations with a gap or one upstream
    #[arg(long)]
    warnings: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Provisioning documents instead of a node
    #[arg(short, long = "file", value_name = "FILE", num_args = 1.., conflicts_with = "config")]
    files: Vec<PathBuf>,
    /// The configuration whose provisioning documents count, instead of a node
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whose sales, of documents; all accounts' when not given
    #[arg(long, value_parser = parse_name)]
    account: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    if args.config.is_some() || !args.files.is_empty() {
        return files::run(args);
    }
    anyhow::ensure!(args.account.is_none(), "--account goes with --file or --config: a node tells of everything it sells");
    let at = args.at.map(format_rfc3339);
    let query: Vec<(&str, &str)> = at.iter().map(|t| ("at", t.as_str())).collect();
    let answer = Client::new(&args.api)?.get("/v1/coverage", &query)?.ok()?;
    let found: Coverage = serde_json::from_value(answer.clone()).context("the node's coverage")?;
    if args.json {
        out::json(&answer)?;
        return Ok(Done::when(found.gaps == 0));
    }
    let shown: Vec<Vec<String>> = found.destinations.iter().filter(|d| !args.warnings || d.diversity < 2).map(cells).collect();
    if !shown.is_empty() {
        out::text(&out::table(&["DESTINATION", "PREFIXES", "UPSTREAMS", "CARRIERS", "LOOK AT"], &shown))?;
    }
    out::line(&format!("{} destinations, {} with a gap, {} with one upstream", found.destinations.len(), found.gaps, found.single_upstream))?;
    Ok(Done::when(found.gaps == 0))
}

fn cells(d: &Destination) -> Vec<String> {
    let cover = |c: &Cover| {
        let class = if c.route_class.is_empty() { String::new() } else { format!("/{}", c.route_class) };
        let mut text = format!("{}{class} {}", c.carrier, if c.covered == d.prefixes { "all".to_owned() } else { format!("{} of {}", c.covered, d.prefixes) });
        for (n, word) in [(c.partly, "in part"), (c.blocked, "blocked")] {
            if n > 0 {
                text.push_str(&format!(", {n} {word}"));
            }
        }
        if c.suspended { format!("{text} (suspended)") } else { text }
    };
    let look = match d.diversity {
        0 => format!("gap: {}{}", d.uncovered_prefixes.join(" "), if d.uncovered as usize > d.uncovered_prefixes.len() { " …" } else { "" }),
        1 => "diversity=1".to_owned(),
        _ => String::new(),
    };
    vec![d.destination.clone(), d.prefixes.to_string(), d.diversity.to_string(), d.carriers.iter().map(cover).collect::<Vec<_>>().join("; "), look]
}
