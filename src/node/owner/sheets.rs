//! Where in topic `decks` the sheets are. Their bytes stay in the log and are read when they are wanted.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use serde_json::Value;
use tollgate_rating::deck::deck_version;
use tollgate_schemas::{
    control::{self, Kind},
    event::Body,
    log::{EventLog, Topic},
};

use super::join;
use crate::plan::{PlanProblem, Registry, compile_deck, compile_number_table, read as read_spec};

/// Documents whose rows travel apart from them, on topic decks.
pub(super) fn has_sheet(kind: Kind) -> bool {
    matches!(kind, Kind::Deck | Kind::NumberTable)
}

/// What a document's rows are called on topic decks: a deck by its name, another kind apart from every deck (a name has
/// no slash).
pub(super) fn sheet_name(kind: Kind, name: &str) -> String {
    if kind == Kind::Deck { name.to_owned() } else { format!("{}/{name}", kind.name()) }
}

/// Offsets of chunks by sheet, then by place: chunks of one sheet may come more than once.
#[derive(Default)]
pub(super) struct Sheets {
    next: u64,
    chunks: HashMap<(String, String), BTreeMap<u32, u64>>,
}

impl Sheets {
    /// Takes in what the topic has new.
    pub fn follow(&mut self, log: &dyn EventLog) -> anyhow::Result<()> {
        while self.next < log.end(Topic::Decks, 0) {
            let records = log.read(Topic::Decks, 0, self.next, 64)?;
            let Some(last) = records.last().map(|r| r.offset) else { break };
            for record in &records {
                if let Some(Body::DeckChunk(chunk)) = &record.event.body {
                    self.chunks.entry((chunk.deck.clone(), chunk.deck_version.clone())).or_default().insert(chunk.index, record.offset);
                }
            }
            self.next = last + 1;
        }
        Ok(())
    }

    /// Where the parts of a sheet are, in order.
    pub fn places(&self, name: &str, version: &str) -> anyhow::Result<Vec<u64>> {
        let chunks = self.chunks.get(&(name.to_owned(), version.to_owned())).with_context(|| format!("the log has no sheet of '{name}' version {version}"))?;
        Ok(chunks.values().copied().collect())
    }
}

/// The bytes of a sheet; an error when the log lacks any of them.
pub(super) fn read(log: &dyn EventLog, name: &str, version: &str, places: &[u64]) -> anyhow::Result<Vec<u8>> {
    let mut sheet = Vec::new();
    for offset in places {
        let records = log.read(Topic::Decks, 0, *offset, 1)?;
        match records.first().map(|r| (r.offset, &r.event.body)) {
            Some((at, Some(Body::DeckChunk(chunk)))) if at == *offset => sheet.extend_from_slice(&chunk.data),
            _ => anyhow::bail!("the log has lost a part of the sheet of '{name}' version {version}"),
        }
    }
    anyhow::ensure!(deck_version(&sheet) == version, "the sheet of '{name}' in the log is not version {version}");
    Ok(sheet)
}

impl Registry {
    /// Compiles the deck or number table a document names, from the sheets in the log.
    pub(super) fn put_sheet(&mut self, kind: Kind, name: &str, spec: &Value, sheets: &Sheets, log: &dyn EventLog) -> anyhow::Result<()> {
        let (version, called) = (spec["version"].as_str().unwrap_or_default(), sheet_name(kind, name));
        let sheet = read(log, &called, version, &sheets.places(&called, version)?)?;
        let bad = |p: Vec<PlanProblem>| anyhow::anyhow!("{}", join(&p));
        if kind == Kind::NumberTable {
            self.number_tables.insert(name.to_owned(), compile_number_table(name, &sheet).map_err(bad)?);
            return Ok(());
        }
        let deck: control::Deck = read_spec(kind, name, spec).map_err(|p| anyhow::anyhow!("{p}"))?;
        self.decks.insert(name.to_owned(), compile_deck(name, &deck, &sheet).map_err(bad)?);
        Ok(())
    }

    pub(super) fn drop_sheet(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Deck => drop(self.decks.remove(name)),
            Kind::NumberTable => drop(self.number_tables.remove(name)),
            _ => {}
        }
    }
}
