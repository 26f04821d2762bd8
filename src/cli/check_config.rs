//! `tollgate check-config`: every mistake of the configuration and of what it provisions, at once.

use std::path::{Path, PathBuf};

use serde_json::json;
use tollgate_schemas::control::Kind;

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
            if right {
                problems.extend(tenants(file, &config, &documents));
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

/// Keys whose account is not among the documents. Without documents it is not known which there are.
fn tenants(file: &Path, config: &Config, documents: &[Document]) -> Vec<ConfigProblem> {
    if documents.is_empty() {
        return Vec::new();
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut found = Vec::new();
    for key in &config.api.keys {
        let Some(tenant) = &key.tenant else { continue };
        if documents.iter().any(|d| d.kind == Kind::Account && d.name == *tenant) {
            continue;
        }
        let message = format!("api key '{}': there is no account '{tenant}' among the documents: its key would see nothing", key.id);
        let (line, column) = place(&text, &key.id);
        found.push(ConfigProblem { file: file.to_owned(), line, column, message });
    }
    found
}

/// Line and column of the key's `tenant`, from 1; 0 where it is not found.
fn place(text: &str, id: &str) -> (u64, u64) {
    let value = |line: &str, name: &str| line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')?.trim().split(['"', '\'']).nth(1).map(str::to_owned);
    let mut sections: Vec<Vec<(u64, &str)>> = vec![Vec::new()];
    for (n, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with('[') {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push((n, line));
        }
    }
    let own = |section: &&Vec<(u64, &str)>| section.iter().any(|(_, line)| value(line, "id").is_some_and(|v| v == id));
    let found = sections.iter().filter(own).flatten().find(|(_, line)| value(line, "tenant").is_some());
    found.map_or((0, 0), |(n, line)| (*n, line.find("tenant").unwrap_or(0) as u64 + 1))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_21_a_key_whose_account_is_not_there_is_told_with_its_line() {
        let dir = tempfile::tempdir().expect("folder");
        let at = |name: &str| dir.path().join(name);
        let docs = "kind: deck\nname: sell\nspec: { csv: \"prefix,destination,rate,connect_fee,initial,increment,effective_from\\n1,usa,0.06,0,1,1,2020-01-01\\n\" }\n---\n\
            kind: account\nname: acme\nspec: { sell_deck: sell }\n---\nkind: account\nname: shop\nspec: { sell_deck: sell, parent: acme }\n";
        std::fs::write(at("docs.yaml"), docs).expect("file");
        let key = |id: &str, tenant: &str| format!("[[api.keys]]\nid = \"{id}\"\nsha256 = \"{}\"\ntenant = \"{tenant}\"\n", "3b".repeat(32));
        let text = format!("data_dir = \"d\"\nprovision = [\"docs.yaml\"]\n{}{}{}", key("a", "acme"), key("b", "nobody"), key("c", "shop"));
        std::fs::write(at("tollgate.toml"), text).expect("file");
        let (_, (_, problems)) = examine(&at("tollgate.toml"), &[]);
        let told: Vec<(u64, &str)> = problems.iter().map(|p| (p.line, p.message.split(": ").nth(1).unwrap_or_default())).collect();
        assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [10], "{problems:?}");
        assert!(told[0].1.contains("there is no account 'nobody'"), "{problems:?}");
    }
}
