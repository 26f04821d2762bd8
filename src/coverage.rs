//! Coverage of what documents sell (S1-85, S1-27): what `tollgate_rating::coverage` asks, taken from provisioning.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_rating::{
    coverage::{Coverage, Reach, coverage},
    deck::Deck,
};
use tollgate_schemas::control::{Account, Carrier, Kind};

use crate::plan::Registry;

/// A carrier with its deck.
pub struct Owned {
    name: String,
    spec: Carrier,
    deck: Arc<Deck>,
}

impl Owned {
    pub fn reach(&self) -> Reach<'_> {
        let upstream = self.spec.upstream.as_deref().filter(|u| !u.is_empty()).unwrap_or(&self.name);
        Reach { name: &self.name, upstream, route_class: &self.spec.route_class, suspended: self.spec.suspended, deck: &self.deck }
    }
}

/// The carriers whose decks are there, by name.
pub fn carriers(registry: &Registry) -> Vec<Owned> {
    let specs: BTreeMap<String, Carrier> = registry.of(Kind::Carrier, &mut Vec::new());
    specs.into_iter().filter_map(|(name, spec)| Some(Owned { deck: registry.decks.get(&spec.deck)?.clone(), name, spec })).collect()
}

/// The decks that accounts buy from, by name.
fn sold(registry: &Registry) -> BTreeMap<String, Arc<Deck>> {
    let accounts: BTreeMap<String, Account> = registry.of(Kind::Account, &mut Vec::new());
    let deck = |a: Account| registry.decks.get(&a.sell_deck).cloned().map(|deck| (a.sell_deck, deck));
    accounts.into_values().filter_map(deck).collect()
}

/// The next instant after this one at which a row of a deck that is sold or bought comes into force or goes out of it.
pub fn next_change(registry: &Registry, after_us: i64) -> Option<i64> {
    let carriers = carriers(registry);
    let sold = sold(registry);
    let decks = sold.values().chain(carriers.iter().map(|c| &c.deck));
    decks.flat_map(|deck| deck.boundaries()).filter(|at_us| (after_us + 1..i64::MAX).contains(at_us)).min()
}

/// The matrix of everything that any account may buy.
pub fn of(registry: &Registry, at_us: i64) -> Coverage {
    let sold = sold(registry);
    let sold = sold.iter().map(|(name, deck)| (name.as_str(), &**deck));
    let carriers = carriers(registry);
    coverage(&sold.collect::<Vec<_>>(), &carriers.iter().map(Owned::reach).collect::<Vec<_>>(), at_us)
}
