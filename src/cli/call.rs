//! `tollgate call`: orders about calls that are up.

use serde_json::json;
use tollgate_schemas::id::Id;

use super::{
    Done,
    api::{ApiArgs, Client},
    out,
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Ends a call that is up, in whatever state
    End {
        /// The call's call_uuid
        id: Id,
        /// Why; stays in the log
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    let Command::End { id, reason, api } = command;
    let answer = Client::new(&api)?.send("POST", &format!("/v1/calls/{id}/end"), &[], Some(&json!({ "reason": reason })))?;
    if answer.status == 404 {
        anyhow::bail!("no call {id} is up: it has ended, or never was on this node");
    }
    answer.ok()?;
    out::line(&format!("call {id} is being ended"))?;
    Ok(Done::Yes)
}
