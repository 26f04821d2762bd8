//! `tollgate apply`: documents to a running node.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use tollgate_schemas::control::Kind;

use super::{
    Done, Problems,
    api::{ApiArgs, Client, folder},
    compare::{canonical, changes},
    out,
};
use crate::config::{
    ConfigProblem,
    documents::{Document, read_documents, schema},
};

/// Puts provisioning documents in force on a running node
///
/// Files are YAML (several documents in one, parted by ---) or JSON, each document {kind, name, spec}. All are checked
/// here first; then each is sent, decks first, trunks last. A document that changes nothing is not sent.
#[derive(clap::Args)]
pub struct Args {
    /// Files of documents
    #[arg(short, long = "file", value_name = "FILE", num_args = 1.., required_unless_present = "schema")]
    files: Vec<PathBuf>,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why; stays in the log
    #[arg(long, default_value = "")]
    reason: String,
    /// Print the documents' JSON Schema and do nothing else
    #[arg(long)]
    schema: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    if args.schema {
        out::json(&schema::schema())?;
        return Ok(Done::Yes);
    }
    let documents = read_documents(&args.files).map_err(Problems)?;
    let done = send(&Client::new(&args.api)?, &documents, args.dry_run, &args.reason)?;
    let refused = done.iter().any(|d| !d.problems.is_empty());
    if args.json {
        let results: Vec<_> = done
            .iter()
            .map(|d| json!({ "kind": d.document.kind, "name": d.document.name, "result": d.result, "problems": d.problems }))
            .collect();
        out::json(&json!({ "dry_run": args.dry_run, "results": results }))?;
    } else {
        for one in &done {
            for problem in &one.problems {
                eprintln!("error: {problem}");
            }
            if one.problems.is_empty() {
                let would = if args.dry_run && one.result != "unchanged" { "would be " } else { "" };
                out::line(&format!("{} '{}' {would}{}", one.document.kind.name(), one.document.name, one.result))?;
            }
        }
    }
    Ok(Done::when(!refused))
}

/// What became of a document: `created`, `updated`, `unchanged` or `refused`.
pub struct Sent<'d> {
    pub document: &'d Document,
    pub result: &'static str,
    pub problems: Vec<ConfigProblem>,
}

/// Sends each document that changes something; a refused one does not stop the others.
pub fn send<'d>(client: &Client, documents: &'d [Document], dry_run: bool, reason: &str) -> anyhow::Result<Vec<Sent<'d>>> {
    let mut done: Vec<Sent<'d>> = Vec::new();
    for document in documents {
        let path = format!("/v1/{}/{}", folder(document.kind), document.name);
        let now = client.get(&path, &[])?;
        let result = match now.status {
            404 => "created",
            _ => {
                let in_force = canonical(document.kind, &now.ok()?["spec"]);
                if changes(&in_force, &canonical(document.kind, &document.spec)).is_empty() { "unchanged" } else { "updated" }
            }
        };
        let mut sent = Sent { document, result, problems: Vec::new() };
        if result != "unchanged" {
            let mut query = Vec::new();
            if dry_run {
                query.push(("dry_run", "true"));
            }
            if !reason.is_empty() {
                query.push(("reason", reason));
            }
            let answer = client.send("PUT", &path, &query, Some(&document.spec)).with_context(|| path.clone())?;
            if !(200..300).contains(&answer.status) {
                sent.problems = refusals(document, &answer);
                if dry_run {
                    sent.problems.retain(|p| !done.iter().any(|d| d.result == "created" && missing_now(&p.message, d.document)));
                }
                if !sent.problems.is_empty() {
                    sent.result = "refused";
                }
            }
        }
        done.push(sent);
    }
    Ok(done)
}

/// The node's reasons, at the places in the file they are about.
fn refusals(document: &Document, answer: &super::api::Answer) -> Vec<ConfigProblem> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    match answer.body["problems"].as_array() {
        Some(many) => many.iter().map(|p| document.problem(&text(&p["path"]), text(&p["message"]))).collect(),
        None => vec![document.problem("", answer.problem())],
    }
}

/// On a dry run what comes before is not there: a document that only lacks such a one will be right.
fn missing_now(message: &str, before: &Document) -> bool {
    let kind = match before.kind {
        Kind::FraudPolicy => "fraud policy",
        Kind::RoutePolicy => "route policy",
        Kind::NumberTable => "number table",
        Kind::OriginGroup => "origin group",
        Kind::NumberList => "number list",
        Kind::FxRate => "exchange rate",
        other => other.name(),
    };
    message.ends_with(&format!("there is no {kind} '{}'", before.name))
}
