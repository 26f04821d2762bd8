//! Rate sheets behind the API: the owner's imports, and coverage from the documents in force.

use std::sync::Arc;

use serde_json::Value;
use tollgate_api::ports::{Approval, Decks, Fault, NewImport, Told};
use tollgate_schemas::time::format_rfc3339;

use super::{Answer, off};
use crate::node::Shared;

pub struct DecksPort(pub Arc<Shared>);

impl Decks for DecksPort {
    fn propose(&self, import: NewImport) -> Answer<'_, Told> {
        let shared = self.0.clone();
        Box::pin(off(move || shared.owner.propose(&import)))
    }

    fn decide(&self, import_id: String, approval: Approval) -> Answer<'_, Told> {
        let shared = self.0.clone();
        Box::pin(off(move || shared.owner.decide_import(&import_id, &approval)))
    }

    fn imports(&self) -> Vec<Value> {
        self.0.owner.imports()
    }

    fn import(&self, import_id: String) -> Answer<'_, Option<Value>> {
        let shared = self.0.clone();
        Box::pin(off(move || shared.owner.import(&import_id)))
    }

    fn versions(&self, deck: &str) -> Option<Value> {
        self.0.owner.deck_versions(deck)
    }

    fn price(&self, deck: String, number: String, as_of_us: i64, known_us: i64) -> Answer<'_, Option<Value>> {
        let shared = self.0.clone();
        Box::pin(off(move || shared.owner.deck_price(&deck, &number, as_of_us, known_us)))
    }

    fn sheet(&self, deck: String, known_us: i64) -> Answer<'_, Option<Vec<u8>>> {
        let shared = self.0.clone();
        Box::pin(off(move || shared.owner.deck_sheet(&deck, known_us)))
    }

    fn coverage(&self, at_us: i64) -> Answer<'_, Value> {
        let shared = self.0.clone();
        Box::pin(off(move || {
            let found = crate::coverage::of(&shared.owner.registry().0, at_us);
            let mut value = serde_json::to_value(&found).map_err(|e| Fault::Internal(e.to_string()))?;
            value["at"] = format_rfc3339(at_us).into();
            Ok(value)
        }))
    }
}
