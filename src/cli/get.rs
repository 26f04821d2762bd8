//! `tollgate get`: documents in force.

use serde_json::Value;
use tollgate_schemas::{control::Kind, name};

use super::{
    Done,
    api::{ApiArgs, Client, folder},
    out,
};

/// Prints provisioning documents of a running node, as YAML
///
/// What is printed can be applied again, but for decks: their sheets are not printed, only their versions.
#[derive(clap::Args)]
pub struct Args {
    /// deck, fraud_policy, carrier, account or trunk
    #[arg(value_parser = parse_kind)]
    kind: Kind,
    /// One of them
    #[arg(value_parser = parse_name)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn parse_kind(text: &str) -> Result<Kind, String> {
    Kind::from_name(text).ok_or_else(|| format!("there are {}", Kind::ALL.map(Kind::name).join(", ")))
}

pub fn parse_name(text: &str) -> Result<String, String> {
    name::check(text).map(str::to_owned).map_err(|e| e.to_string())
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let client = Client::new(&args.api)?;
    let path = format!("/v1/{}", folder(args.kind));
    let documents = match &args.name {
        Some(name) => {
            let answer = client.get(&format!("{path}/{name}"), &[])?;
            if answer.status == 404 {
                anyhow::bail!("{}", answer.problem());
            }
            vec![answer.ok()?]
        }
        None => client.items(&path, &[], usize::MAX)?,
    };
    match (args.json, &args.name) {
        (true, Some(_)) => out::json(&documents[0])?,
        (true, None) => out::json(&Value::Array(documents))?,
        (false, _) => {
            let yaml: Result<Vec<String>, _> = documents.iter().map(serde_yaml_ng::to_string).collect();
            out::text(&yaml?.join("---\n"))?;
        }
    }
    Ok(Done::Yes)
}
