//! Decks in two times: a row says from when it is in force, and topic `control` says since when that was known. What a
//! number cost at an instant, as known at another, is the sheet known then, looked up at the first.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value, json};
use tollgate_api::ports::Fault;
use tollgate_rating::deck::{Deck, Lookup, RowRef};
use tollgate_schemas::{
    control::{self, Kind},
    event::Event,
    money::format_rate,
    time::format_rfc3339,
    v1::ControlApplied,
};

use super::{Owner, sheets};
use crate::plan::{compile_deck, read};

/// One state of a deck.
#[derive(Debug, Clone)]
struct Version {
    /// How many control events lie behind it, itself included.
    position: u64,
    since_us: i64,
    actor: String,
    reason: String,
    /// None: the deck was removed.
    spec: Option<Value>,
}

impl Version {
    fn sheet(&self) -> &str {
        self.spec.as_ref().and_then(|s| s["version"].as_str()).unwrap_or_default()
    }
}

/// Every state of every deck, oldest first. Kept whole: there is one for each decision about a deck.
#[derive(Default)]
pub(super) struct Known {
    decks: HashMap<String, Vec<Version>>,
}

impl Known {
    pub fn note(&mut self, position: u64, event: &Event, applied: &ControlApplied) {
        if Kind::from_name(&applied.kind) != Some(Kind::Deck) {
            return;
        }
        let spec = if applied.removed { None } else { serde_json::from_str(&applied.spec_json).ok() };
        let version = Version { position, since_us: event.occurred_us, actor: applied.actor.clone(), reason: applied.reason.clone(), spec };
        self.decks.entry(applied.name.clone()).or_default().push(version);
    }

    fn at(&self, deck: &str, known_us: i64) -> Option<&Version> {
        self.decks.get(deck)?.iter().rev().find(|v| v.since_us <= known_us)
    }
}

fn internal(e: anyhow::Error) -> Fault {
    Fault::Internal(format!("{e:#}"))
}

impl Owner {
    /// A deck's states, newest first; none for a name that never was a deck's.
    pub fn deck_versions(&self, deck: &str) -> Option<Value> {
        let state = self.lock();
        let show = |v: &Version| {
            json!({
                "version": v.sheet(), "position": v.position, "known_since": format_rfc3339(v.since_us), "actor": v.actor, "reason": v.reason, "removed": v.spec.is_none(),
            })
        };
        let all = state.known.decks.get(deck)?;
        Some(Value::Array(all.iter().rev().map(show).collect()))
    }

    /// The deck as known at an instant, with its sheet; none when there was none.
    fn deck_known_at(&self, name: &str, known_us: i64) -> Result<Option<(Arc<Deck>, Version)>, Fault> {
        let (version, in_force) = {
            let state = self.lock();
            let Some(version) = state.known.at(name, known_us).cloned() else { return Ok(None) };
            (version, state.registry.decks.get(name).cloned())
        };
        let Some(spec) = &version.spec else { return Ok(None) };
        if let Some(deck) = in_force.filter(|d| d.version() == version.sheet()) {
            return Ok(Some((deck, version)));
        }
        let sheet = self.sheet(name, version.sheet())?;
        let spec: control::Deck = read(Kind::Deck, name, spec).map_err(|p| Fault::Internal(p.to_string()))?;
        let deck = compile_deck(name, &spec, &sheet).map_err(|p| Fault::Internal(super::join(&p)))?;
        Ok(Some((deck, version)))
    }

    /// Bytes of a sheet of the log.
    pub(super) fn sheet(&self, name: &str, version: &str) -> Result<Vec<u8>, Fault> {
        let places = {
            let mut state = self.lock();
            state.sheets.follow(&*self.own).map_err(internal)?;
            state.sheets.places(name, version).map_err(internal)?
        };
        sheets::read(&*self.own, name, version, &places).map_err(internal)
    }

    /// The sheet of a deck as known at an instant.
    pub fn deck_sheet(&self, name: &str, known_us: i64) -> Result<Option<Vec<u8>>, Fault> {
        let version = self.lock().known.at(name, known_us).filter(|v| v.spec.is_some()).map(|v| v.sheet().to_owned());
        version.map(|v| self.sheet(name, &v)).transpose()
    }

    /// What a number costs at `as_of_us`, as known at `known_us`.
    pub fn deck_price(&self, name: &str, number: &str, as_of_us: i64, known_us: i64) -> Result<Option<Value>, Fault> {
        let Some((deck, version)) = self.deck_known_at(name, known_us)? else { return Ok(None) };
        let (result, row) = match deck.lookup(number, as_of_us) {
            Lookup::Row(row) => ("priced", Some(row)),
            Lookup::Blocked(row) => ("blocked", Some(row)),
            Lookup::NotEffective => ("not_effective", None),
            Lookup::NoPrefix => ("no_prefix", None),
        };
        Ok(Some(json!({
            "deck": name, "number": number, "as_of": format_rfc3339(as_of_us), "known_at": format_rfc3339(known_us), "result": result,
            "currency": deck.currency(), "deck_version": deck.version(), "known_since": format_rfc3339(version.since_us), "position": version.position,
            "row": row.map(|r| show(&r)),
        })))
    }
}

fn show(row: &RowRef<'_>) -> Value {
    let by = row.jurisdiction_rates().unwrap_or_default();
    json!({
        "prefix": row.prefix(), "destination": row.destination(), "rate": row.rate_text(), "connect_fee": format_rate(row.connect_fee_e12()),
        "initial": row.initial_s(), "increment": row.increment_s(), "effective_from": row.effective_from_us().map(format_rfc3339),
        "effective_to": row.effective_to_us().map(format_rfc3339), "interrate": by.inter_e12.map(format_rate), "intrarate": by.intra_e12.map(format_rate),
        "ijrate": by.indeterminate_e12.map(format_rate), "route_class": row.route_class(), "origin_group": row.origin_group(), "blocked": row.blocked(),
    })
}
