//! Whether a source of portability is there, asked once, for `tollgate doctor`.

use std::time::Instant;

use tollgate_rating::portability::PortedFile;
use tollgate_schemas::number::E164;

use super::{NoAnswer, asker};
use crate::config::LrnConfig;

/// A number nobody has (555-01XX is kept for examples): what is said of it does not matter.
const NOBODYS: &str = "12125550100";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examined {
    /// A file of so many numbers.
    File(usize),
    Answers {
        source: String,
        ms: u128,
    },
    /// It is there and its answer says nothing.
    Useless(String),
    /// It is not there, does not answer in time or says that it cannot.
    Silent(String),
}

/// Asks the configured source; none: nothing is looked up.
pub fn examine(config: &LrnConfig) -> Option<Examined> {
    if let Some(file) = &config.file {
        let told = std::fs::read(file).map_err(|e| e.to_string()).and_then(|bytes| PortedFile::read(&bytes).map_err(|bad| bad.join("; ")));
        return Some(told.map_or_else(|e| Examined::Silent(format!("{}: {e}", file.display())), |ported| Examined::File(ported.len())));
    }
    let ask = asker(config)?;
    let source = config.url.clone().or_else(|| config.enum_server.map(|s| format!("name server {s}"))).unwrap_or_default();
    let Ok(number) = E164::parse(NOBODYS) else { return None };
    let began = Instant::now();
    Some(match ask.ask(&number) {
        Ok(_) => Examined::Answers { source, ms: began.elapsed().as_millis() },
        Err(NoAnswer::Useless(why)) => Examined::Useless(format!("{source}: {why}")),
        Err(NoAnswer::Silent(why) | NoAnswer::Unasked(why)) => Examined::Silent(format!("{source}: {why}")),
    })
}
