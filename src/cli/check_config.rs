//! `tollgate check-config`: every mistake of the configuration and of what it provisions, at once.

use std::path::{Path, PathBuf};

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

/// Documents that are right, and every mistake.
type Examined = (Vec<Document>, Vec<ConfigProblem>);

/// The configuration, where it is right as a whole; what it provisions, and what is wrong with any of it.
pub fn examine(file: &Path, stages: &[Stage]) -> (Option<Config>, Examined) {
    let (config, mut problems) = Config::examine(file);
    let right = problems.is_empty();
    let Some(config) = config else { return (None, (Vec::new(), problems)) };
    problems.extend(config.check_stages(stages).err());
    if let Some(problem) = std::env::var("TOLLGATE_ADMIN_KEY").ok().and_then(|key| admin_key_problem(&key)) {
        problems.push(ConfigProblem::of_file("environment".as_ref(), problem));
    }
    let documents = match read_documents(&config.provision) {
        Ok(documents) => {
            // Documents of a file that is not there would be missed by the others.
            if let (true, Err(more)) = (right, check_together(&documents)) {
                problems.extend(more);
            }
            documents
        }
        Err(more) => {
            problems.extend(more);
            Vec::new()
        }
    };
    (right.then_some(config), (documents, problems))
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let (documents, problems) = examine(&args.config, &args.stages).1;
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
