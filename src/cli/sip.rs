//! `tollgate sip parse`.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tollgate_proxy::sip::msg::sip_json;

use super::{Done, out};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Prints a SIP message as JSON, or its error with the byte offset
    Parse {
        /// The message's bytes, taken as they are; "-" is standard input
        file: PathBuf,
    },
}

pub fn run(command: &Command) -> anyhow::Result<Done> {
    let Command::Parse { file } = command;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|b| bytes = b)
    };
    read.with_context(|| format!("{} cannot be read", file.display()))?;
    match sip_json(&bytes) {
        Ok(message) => {
            out::json(&message)?;
            Ok(Done::Yes)
        }
        Err(e) => anyhow::bail!("{}: {e}", file.display()),
    }
}
