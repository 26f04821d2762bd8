//! The documents about numbers, compiled: number tables, origin groups, surcharges.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_rating::{
    deck::Deck,
    geography::{Known, NumberTable, OriginGroups, Places, Surcharges},
    routing::CarrierRoutes,
};
use tollgate_schemas::{
    control::{self, Kind},
    parties::Parties,
    v1::Terms,
};

use super::{PlanProblem, Registry};

fn all<T: serde::de::DeserializeOwned>(registry: &Registry, kind: Kind, problems: &mut Vec<PlanProblem>) -> BTreeMap<String, T> {
    registry.of(kind, problems)
}

/// Compiles what the documents say; mistakes go to `problems`. `decks` are those in force.
pub(super) fn compile(registry: &Registry, decks: &[Arc<Deck>], problems: &mut Vec<PlanProblem>) -> Places {
    let wrong = |kind, (name, message): (String, String)| {
        let (path, message) = message.split_once(": ").map_or((String::new(), message.clone()), |(p, m)| (p.to_owned(), m.to_owned()));
        PlanProblem { kind, name, path, message }
    };
    let mut numbers = NumberTable::default();
    for (name, table) in &registry.number_tables {
        match std::mem::take(&mut numbers).merged(table) {
            Ok(merged) => numbers = merged,
            Err(exchange) => problems.push(PlanProblem {
                kind: Kind::NumberTable,
                name: name.clone(),
                path: String::new(),
                message: format!("exchange {exchange} is in another number table already"),
            }),
        }
    }
    let groups = OriginGroups::compile(&all(registry, Kind::OriginGroup, problems)).unwrap_or_else(|bad| {
        problems.extend(bad.into_iter().map(|(name, b)| wrong(Kind::OriginGroup, (name, b.to_string()))));
        OriginGroups::default()
    });
    let documents: BTreeMap<String, control::Surcharge> = all(registry, Kind::Surcharge, problems);
    for (name, document) in &documents {
        for (at, deck) in document.decks.iter().enumerate() {
            let problem = match decks.iter().find(|d| d.name() == deck) {
                None => format!("there is no deck '{deck}'"),
                Some(found) if found.currency() != document.currency => format!("deck '{deck}' is in {}, this table in {}", found.currency(), document.currency),
                Some(_) => continue,
            };
            problems.push(PlanProblem { kind: Kind::Surcharge, name: name.clone(), path: format!("decks[{at}]"), message: problem });
        }
    }
    let surcharges = Surcharges::compile(&documents, &groups).unwrap_or_else(|bad| {
        problems.extend(bad.into_iter().map(|(name, b)| wrong(Kind::Surcharge, (name, b.to_string()))));
        Surcharges::default()
    });
    if let Err(bad) = tollgate_rating::tax::TaxTables::compile(&all(registry, Kind::Tax, problems)) {
        problems.extend(bad.into_iter().map(|(name, b)| wrong(Kind::Tax, (name, b.to_string()))));
    }
    Places::new(numbers, groups, surcharges, decks.iter().map(|d| &**d))
}

/// What a carrier charges.
pub(super) fn cost(places: &Places, carrier: &CarrierRoutes, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Option<Terms> {
    let mut terms = places.cost(&carrier.deck, known, parties, at_us)?;
    if terms.route_class.is_empty() {
        terms.route_class.clone_from(&carrier.route_class);
    }
    Some(terms)
}
