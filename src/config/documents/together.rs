//! Whether documents fit together: what each names exists, addresses belong to one party, and all of it compiles into the
//! plan calls are decided by.

use std::sync::Arc;

use tollgate_proxy::routing::Plan;
use tollgate_rating::{deck::Deck, geography::BUILT_IN};
use tollgate_schemas::control::Kind;

use super::{ConfigProblem, Document};
use crate::plan::{PlanProblem, Registry};

/// The documents in force and their plan.
pub struct Compiled {
    pub registry: Registry,
    pub plan: Plan,
}

/// For documents that are all there is: a fresh node's provisioning, or the input of `tollgate route`.
pub fn check_together(documents: &[Document]) -> Result<Compiled, Vec<ConfigProblem>> {
    let registry = registry(documents);
    match registry.compile(0) {
        Ok(plan) => {
            let unknown = unknown_groups(&registry);
            if unknown.is_empty() { Ok(Compiled { registry, plan }) } else { Err(placed(documents, &unknown)) }
        }
        Err(problems) => Err(placed(documents, &problems)),
    }
}

/// Decks whose rows are for callers of a group that no document has: they would price nobody.
fn unknown_groups(registry: &Registry) -> Vec<PlanProblem> {
    let known = |group: &str| BUILT_IN.contains(&group) || registry.documents.contains_key(&(Kind::OriginGroup, group.to_owned()));
    let of_deck = |(name, deck): (&String, &Arc<Deck>)| {
        let told = |(group, rows): (&str, usize)| PlanProblem {
            kind: Kind::Deck,
            name: name.clone(),
            path: String::new(),
            message: format!("{rows} rows are for callers of origin group '{group}', and no document has it: there are {}", BUILT_IN.join(", ")),
        };
        deck.unknown_groups(known).into_iter().map(told).collect::<Vec<_>>()
    };
    registry.decks.iter().flat_map(of_deck).collect()
}

/// The documents as a registry; whether they fit together is not asked.
pub fn registry<'d>(documents: impl IntoIterator<Item = &'d Document>) -> Registry {
    let mut registry = Registry::default();
    for document in documents {
        registry.documents.insert((document.kind, document.name.clone()), document.spec.clone());
        if let Some(deck) = &document.deck {
            registry.decks.insert(document.name.clone(), deck.clone());
        }
        if let Some(table) = &document.number_table {
            registry.number_tables.insert(document.name.clone(), table.clone());
        }
    }
    registry
}

/// Mistakes where they were written.
pub fn placed(documents: &[Document], problems: &[PlanProblem]) -> Vec<ConfigProblem> {
    problems.iter().map(|p| place(documents, p)).collect()
}

fn place(documents: &[Document], problem: &PlanProblem) -> ConfigProblem {
    match documents.iter().find(|d| d.kind == problem.kind && d.name == problem.name) {
        Some(document) => document.problem(&problem.path, &problem.message),
        None => {
            let file = documents.first().map(|d| d.file.as_path()).unwrap_or(std::path::Path::new("provisioning"));
            ConfigProblem::of_file(file, problem.to_string())
        }
    }
}
