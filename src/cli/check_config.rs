//! `tollgate check-config`: every mistake of the configuration and of what it provisions, at once.

use std::path::PathBuf;

use serde_json::json;

use super::{Done, out};
use crate::config::{
    Config, ConfigProblem, Stage, admin_key_problem,
    documents::{Document, check_together, read_documents},
};

/// Checks a configuration and its provisioning files, and says every mistake with its place
#[derive(clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "tollgate.toml")]
    config: PathBuf,
    /// The stages one process would run [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    stages: Vec<Stage>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a configuration provisions, and what is wrong with either.
pub fn problems(config: &Config, stages: &[Stage]) -> (Vec<Document>, Vec<ConfigProblem>) {
    let mut problems: Vec<ConfigProblem> = config.check_stages(stages).err().into_iter().collect();
    if let Some(problem) = std::env::var("TOLLGATE_ADMIN_KEY").ok().and_then(|key| admin_key_problem(&key)) {
        problems.push(ConfigProblem::of_file("environment".as_ref(), problem));
    }
    let documents = read_documents(&config.provision).unwrap_or_else(|more| {
        problems.extend(more);
        Vec::new()
    });
    if let Err(more) = check_together(&documents) {
        problems.extend(more);
    }
    (documents, problems)
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let (documents, problems) = match Config::load(&args.config) {
        Ok(config) => problems(&config, &args.stages),
        Err(problems) => (Vec::new(), problems),
    };
    let ok = problems.is_empty();
    if args.json {
        out::json(&json!({ "ok": ok, "documents": documents.len(), "problems": problems }))?;
    } else if ok {
        let count = documents.len();
        out::line(&format!("{}: right; it provisions {count} document{}", args.config.display(), if count == 1 { "" } else { "s" }))?;
    } else {
        for problem in &problems {
            eprintln!("error: {problem}");
        }
        let count = problems.len();
        eprintln!("{count} problem{}", if count == 1 { "" } else { "s" });
    }
    Ok(Done::when(ok))
}
