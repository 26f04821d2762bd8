//! Provisioning as it was, for calls of the past.

use std::sync::Arc;

use serde_json::Value;
use tollgate_proxy::routing::SharedPlan;
use tollgate_schemas::{
    control::{Decisions, Kind},
    log::Topic,
};

use super::{Owner, each, join, note, sheets::{Sheets, has_sheet}};
use crate::plan::Registry;

impl Owner {
    /// What was decided before a time, compiled: prices as they were known then.
    pub fn plan_known_at(&self, at_us: i64) -> anyhow::Result<SharedPlan> {
        let mut position = 0;
        each(&*self.own, Topic::Control, |record| {
            if record.event.occurred_us < at_us {
                position = position.max(record.offset + 1);
            }
            Ok(())
        })?;
        let plan = self.registry_at(position)?.compile(position);
        Ok(Arc::new(plan.map_err(|p| anyhow::anyhow!("what was provisioned then does not compile: {}", join(&p)))?))
    }

    /// What was in force when so many control events had been applied, folded again from the log.
    pub fn registry_at(&self, position: u64) -> anyhow::Result<Registry> {
        let (now, newest) = self.registry();
        if position == newest {
            return Ok(now);
        }
        let mut registry = Registry::default();
        let mut decisions = Decisions::default();
        each(&*self.own, Topic::Control, |record| {
            if record.offset >= position {
                return Ok(());
            }
            for event in decisions.take(record.offset, &record.event) {
                note(&mut registry, &event)?;
            }
            Ok(())
        })?;
        let with_sheets: Vec<(Kind, String, Value)> =
            registry.documents.iter().filter(|((kind, _), _)| has_sheet(*kind)).map(|((kind, n), s)| (*kind, n.clone(), s.clone())).collect();
        let mut sheets = Sheets::default();
        sheets.follow(&*self.own)?;
        for (kind, name, spec) in &with_sheets {
            // A sheet that is in force still is compiled already.
            let same = now.documents.get(&(*kind, name.clone())) == Some(spec);
            match (kind, now.decks.get(name), now.number_tables.get(name)) {
                (Kind::Deck, Some(deck), _) if same => drop(registry.decks.insert(name.clone(), deck.clone())),
                (Kind::NumberTable, _, Some(table)) if same => drop(registry.number_tables.insert(name.clone(), table.clone())),
                _ => registry.put_sheet(*kind, name, spec, &sheets, &*self.own)?,
            }
        }
        Ok(registry)
    }
}
