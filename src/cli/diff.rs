//! `tollgate diff`: what apply would change.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    Done, Problems,
    api::{ApiArgs, Client, folder},
    compare::{Change, canonical, changes},
    out,
};
use crate::config::documents::read_documents;

/// Shows what apply would change on a running node; exit code 1 when anything would
#[derive(clap::Args)]
pub struct Args {
    /// Files of documents
    #[arg(short, long = "file", value_name = "FILE", num_args = 1.., required = true)]
    files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let documents = read_documents(&args.files).map_err(Problems)?;
    let client = Client::new(&args.api)?;
    let mut same = true;
    let mut shown = Vec::new();
    for document in &documents {
        let answer = client.get(&format!("/v1/{}/{}", folder(document.kind), document.name), &[])?;
        let wanted = canonical(document.kind, &document.spec);
        let (result, found) = match answer.status {
            404 => ("new", Vec::new()),
            _ => {
                let found = changes(&canonical(document.kind, &answer.ok()?["spec"]), &wanted);
                (if found.is_empty() { "unchanged" } else { "changed" }, found)
            }
        };
        same &= result == "unchanged";
        if args.json {
            shown.push(json!({ "kind": document.kind, "name": document.name, "result": result, "changes": found }));
        } else if result != "unchanged" {
            out::line(&format!("{} '{}' {result}", document.kind.name(), document.name))?;
            for Change { path, from, to } in &found {
                out::line(&format!("  {path}: {} -> {}", plain(from), plain(to)))?;
            }
        }
    }
    if args.json {
        out::json(&json!({ "same": same, "documents": shown }))?;
    } else if same {
        out::line(&format!("the node has these {} documents as they are", documents.len()))?;
    }
    Ok(Done::when(same))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
