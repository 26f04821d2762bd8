//! Callers' names of a node: a file in memory, or a service over HTTP that answers JSON `{"name": "ACME LTD"}`; an empty or
//! absent name and status 404 = nobody said. Asked, remembered and left alone as portability is ([`super::lrn`]).

use std::sync::Arc;

use anyhow::Context as _;
use serde::Deserialize;
use tollgate_rating::portability::NamesFile;
use tollgate_schemas::{
    number::E164,
    portability::{Named, shown_name},
    time::Now,
};

use super::lrn::{self, Ask, Made, NoAnswer, Tell, http};
use crate::config::LrnConfig;

/// What the configuration names, if anything; and its gauges, where somebody is asked.
pub fn source(config: &LrnConfig, clock: fn() -> Now, tell: Tell<Named>) -> anyhow::Result<Made<Named>> {
    if let Some(file) = &config.file {
        let bytes = std::fs::read(file).with_context(|| format!("cnam.file {}", file.display()))?;
        let names = NamesFile::read(&bytes).map_err(|bad| anyhow::anyhow!("cnam.file {}:\n  {}", file.display(), bad.join("\n  ")))?;
        tracing::info!(numbers = names.len(), file = %file.display(), "callers' names from a file");
        return Ok((Some(Arc::new(names)), None));
    }
    match &config.url {
        Some(url) => lrn::asked("callers' names", Arc::new(Names(http::Http::new(url, config))), config, clock, tell),
        None => Ok((None, None)),
    }
}

struct Names(http::Http);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    name: Option<String>,
}

impl Ask<Named> for Names {
    fn ask(&self, number: &E164) -> Result<Named, NoAnswer> {
        let Some(text) = self.0.get(number)? else { return Ok(Named::default()) };
        let answer: Answer = serde_json::from_str(&text).map_err(|e| NoAnswer::Useless(e.to_string()))?;
        Ok(shown_name(&answer.name.unwrap_or_default()))
    }
}
