//! `tollgate block`: what is refused.

use serde_json::{Map, Value, json};
use tollgate_schemas::id::Id;

use super::{
    Done,
    api::{ApiArgs, Client},
    out,
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Lists blocks, newest first
    List {
        #[arg(long, default_value = "active", value_parser = ["active", "lifted", "expired", "all"])]
        state: String,
        /// Of this account
        #[arg(long)]
        account: Option<String>,
        /// Most of them
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Blocks calls: those that all of the given scope holds for
    Place {
        #[command(flatten)]
        scope: Scope,
        /// Why; stays in the log
        #[arg(long)]
        reason: String,
        /// Seconds it stands; without it, until it is lifted
        #[arg(long, value_name = "SECONDS")]
        expires_s: Option<u64>,
        /// End the calls that are up, too
        #[arg(long)]
        teardown: bool,
        /// What calls are refused with
        #[arg(long, default_value_t = 403, value_parser = clap::value_parser!(u16).range(400..700))]
        sip_code: u16,
        /// Also for names that no document has yet
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Lifts a block
    Lift {
        /// The block's block_id
        id: Id,
        /// Why; stays in the log
        #[arg(long, default_value = "lifted on the command line")]
        reason: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(clap::Args)]
#[group(id = "scope", required = true, multiple = true)]
pub struct Scope {
    #[arg(long)]
    account: Option<String>,
    #[arg(long)]
    trunk: Option<String>,
    #[arg(long)]
    carrier: Option<String>,
    /// Destination group, as decks name it
    #[arg(long)]
    dest_group: Option<String>,
    /// Calling number, digits
    #[arg(long)]
    a_number: Option<String>,
    /// Called number, digits
    #[arg(long)]
    b_number: Option<String>,
    /// Start of called numbers, digits
    #[arg(long)]
    b_prefix: Option<String>,
    /// Source address
    #[arg(long)]
    ip: Option<std::net::IpAddr>,
    /// High-risk destinations
    #[arg(long)]
    high_risk: bool,
    /// International destinations
    #[arg(long)]
    international: bool,
}

impl Scope {
    fn json(&self) -> Value {
        let ip = self.ip.map(|ip| ip.to_string());
        let texts = [
            ("account", &self.account), ("trunk", &self.trunk), ("carrier", &self.carrier), ("dest_group", &self.dest_group),
            ("a_number", &self.a_number), ("b_number", &self.b_number), ("b_prefix", &self.b_prefix), ("ip", &ip),
        ];
        let mut scope: Map<String, Value> =
            texts.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.as_deref()?.into()))).collect();
        for (name, _) in [("high_risk", self.high_risk), ("international", self.international)].iter().filter(|(_, set)| *set) {
            scope.insert((*name).to_owned(), true.into());
        }
        Value::Object(scope)
    }
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    match command {
        Command::List { state, account, limit, json, api } => list(&state, account.as_deref(), limit, json, &api)?,
        Command::Place { scope, reason, expires_s, teardown, sip_code, force, json, api } => {
            let mut order = json!({ "scope": scope.json(), "reason": reason, "teardown": teardown, "sip_code": sip_code, "force": force });
            if let Some(seconds) = expires_s {
                order["expires_s"] = seconds.into();
            }
            let block = Client::new(&api)?.send("POST", "/v1/blocks", &[], Some(&order))?.ok()?;
            if json {
                out::json(&block)?;
            } else {
                out::line(&format!("block {} placed: {}", text(&block["block_id"]), scope_text(&block["scope"])))?;
            }
        }
        Command::Lift { id, reason, api } => {
            let answer = Client::new(&api)?.send("DELETE", &format!("/v1/blocks/{id}"), &[("reason", &reason)], None)?;
            answer.ok()?;
            out::line(&format!("block {id} lifted"))?;
        }
    }
    Ok(Done::Yes)
}

fn list(state: &str, account: Option<&str>, limit: usize, json: bool, api: &ApiArgs) -> anyhow::Result<()> {
    let mut query = vec![("state", state)];
    query.extend(account.map(|a| ("account", a)));
    let blocks = Client::new(api)?.items("/v1/blocks", &query, limit)?;
    if json {
        return out::json(&Value::Array(blocks));
    }
    let rows: Vec<Vec<String>> = blocks
        .iter()
        .map(|b| {
            let expires = if b["expires_ts"].is_null() { "never".to_owned() } else { text(&b["expires_ts"]) };
            vec![
                text(&b["block_id"]), text(&b["state"]), text(&b["placed_ts"]), expires, text(&b["actor"]),
                text(&b["calls_refused"]), text(&b["calls_ended"]), scope_text(&b["scope"]), text(&b["reason"]),
            ]
        })
        .collect();
    out::text(&out::table(&["BLOCK", "STATE", "PLACED", "EXPIRES", "BY", "REFUSED", "ENDED", "SCOPE", "REASON"], &rows))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `account=acme dest_group="Premium"`: what is set.
fn scope_text(scope: &Value) -> String {
    let set = |(_, v): &(&String, &Value)| !matches!(v, Value::Null | Value::Bool(false)) && v.as_str() != Some("");
    let shown = |(name, v): (&String, &Value)| match v {
        Value::Bool(true) => name.clone(),
        Value::String(s) if !s.contains(' ') => format!("{name}={s}"),
        other => format!("{name}={other}"),
    };
    scope.as_object().into_iter().flatten().filter(set).map(shown).collect::<Vec<_>>().join(" ")
}
