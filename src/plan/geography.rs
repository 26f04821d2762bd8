//! What the plan knows of numbers beside decks: number tables, origin groups, surcharges; and what of it
//! bears on one call.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_rating::{
    deck::{Deck, Lookup, Origination, RowRef},
    geography::{
        Judged, Leg, NumberTable, Origin, OriginGroups, Rules, Surcharges,
        jurisdiction::judge,
        surcharge::{Call, Surcharged},
    },
    routing::CarrierRoutes,
};
use tollgate_schemas::{
    control::{self, Kind},
    parties::{Geography, Parties},
    portability::is_toll_free,
    terms::{LRN_DIP, TOLL_FREE_QUERY},
    v1::{Fee, FeeOn, Terms},
};

use super::{PlanProblem, Registry};

/// Immutable, part of a plan.
#[derive(Default)]
pub(super) struct Places {
    numbers: NumberTable,
    groups: OriginGroups,
    surcharges: Surcharges,
    /// A deck or a surcharge asks for the caller's group.
    tells_origins: bool,
}

/// What bears on one call, found once for all its legs.
pub(super) struct Known<'p> {
    by_ani: (Judged, Geography<'p>),
    by_routing: (Judged, Geography<'p>),
    names: Vec<&'p str>,
    origin: Origin,
    to: Origin,
}

impl<'p> Known<'p> {
    pub fn origination(&self) -> Origination<'_> {
        Origination { groups: &self.names, by_ani: self.by_ani.0, by_routing: self.by_routing.0 }
    }

    /// As a deck's contract reads it.
    pub fn geography(&self, deck: &Deck) -> Geography<'p> {
        let judged = self.origination().judged(deck);
        let mut geography = if judged == self.by_ani.0 { self.by_ani.1 } else { self.by_routing.1 };
        geography.origin_group = self.names.first().copied().unwrap_or_default();
        geography
    }
}

fn all<T: serde::de::DeserializeOwned>(registry: &Registry, kind: Kind, problems: &mut Vec<PlanProblem>) -> BTreeMap<String, T> {
    registry.of(kind, problems)
}

impl Places {
    /// Compiles what the documents say; mistakes go to `problems`. `decks` are those in force.
    pub fn compile(registry: &Registry, decks: &BTreeMap<String, Arc<Deck>>, problems: &mut Vec<PlanProblem>) -> Places {
        let wrong = |kind, (name, message): (String, String)| {
            let (path, message) = message.split_once(": ").map_or((String::new(), message.clone()), |(p, m)| (p.to_owned(), m.to_owned()));
            PlanProblem { kind, name, path, message }
        };
        let mut out = Places::default();
        for (name, table) in &registry.number_tables {
            match std::mem::take(&mut out.numbers).merged(table) {
                Ok(merged) => out.numbers = merged,
                Err(exchange) => problems.push(PlanProblem {
                    kind: Kind::NumberTable,
                    name: name.clone(),
                    path: String::new(),
                    message: format!("exchange {exchange} is in another number table already"),
                }),
            }
        }
        match OriginGroups::compile(&all(registry, Kind::OriginGroup, problems)) {
            Ok(groups) => out.groups = groups,
            Err(bad) => problems.extend(bad.into_iter().map(|(name, b)| wrong(Kind::OriginGroup, (name, b.to_string())))),
        }
        let documents: BTreeMap<String, control::Surcharge> = all(registry, Kind::Surcharge, problems);
        for (name, document) in &documents {
            for (at, deck) in document.decks.iter().enumerate() {
                let problem = match decks.get(deck) {
                    None => format!("there is no deck '{deck}'"),
                    Some(found) if found.currency() != document.currency => format!("deck '{deck}' is in {}, this table in {}", found.currency(), document.currency),
                    Some(_) => continue,
                };
                problems.push(PlanProblem { kind: Kind::Surcharge, name: name.clone(), path: format!("decks[{at}]"), message: problem });
            }
        }
        match Surcharges::compile(&documents, &out.groups) {
            Ok(surcharges) => out.surcharges = surcharges,
            Err(bad) => problems.extend(bad.into_iter().map(|(name, b)| wrong(Kind::Surcharge, (name, b.to_string())))),
        }
        if let Err(bad) = tollgate_rating::tax::TaxTables::compile(&all(registry, Kind::Tax, problems)) {
            problems.extend(bad.into_iter().map(|(name, b)| wrong(Kind::Tax, (name, b.to_string()))));
        }
        // A sheet may name groups that no document has (yet): its rows of them are for nobody.
        out.tells_origins = !out.surcharges.is_empty() || decks.values().any(|d| d.has_origins());
        out
    }

    /// When an answer may change beside the decks' own instants.
    pub fn boundaries(&self) -> impl Iterator<Item = i64> + '_ {
        let dated = self.tells_origins.then(|| self.groups.boundaries()).into_iter().flatten();
        self.surcharges.boundaries().chain(dated)
    }

    /// What bears on a call. Nothing is allocated where no document asks for it.
    pub fn known<'p>(&'p self, parties: &Parties<'p>, at_us: i64) -> Known<'p> {
        let mut by_ani = (Judged::default(), Geography::default());
        let mut by_routing = by_ani;
        if let Some(place) = parties.place {
            let from_dip = Geography {
                b_ocn: &place.ocn,
                b_lata: &place.lata,
                b_rate_center: &place.rate_center,
                b_state: &place.state,
                ..Geography::default()
            };
            (by_ani.1, by_routing.1) = (from_dip, from_dip);
        }
        let rules = Rules::default();
        by_ani.0 = judge(&self.numbers, &rules, parties, &mut by_ani.1);
        by_routing.0 = match parties.a_routing {
            None => by_ani.0,
            Some(_) => judge(&self.numbers, &Rules { caller: tollgate_rating::geography::CallerBy::Routing, ..rules }, parties, &mut by_routing.1),
        };
        if parties.a_routing.is_none() {
            by_routing.1 = by_ani.1;
        }
        let (mut names, mut origin, mut to) = (Vec::new(), Origin::default(), Origin::default());
        if self.tells_origins {
            origin = self.groups.of_caller(parties, at_us);
            names.extend(origin.groups().map(|g| self.groups.name_of(g)));
            if !self.surcharges.is_empty() {
                to = self.groups.of_digits(parties.called, at_us);
            }
        }
        Known { by_ani, by_routing, names, origin, to }
    }

    /// For comparing carriers with their surcharges; none where there are no tables.
    pub fn surcharged<'a>(&'a self, known: &'a Known<'_>, parties: &Parties<'a>, at_us: i64) -> Option<Surcharged<'a>> {
        (!self.surcharges.is_empty()).then(|| Surcharged { surcharges: &self.surcharges, origin: &known.origin, to: &known.to, number: parties.called, at_us })
    }

    /// A row's terms with what the tables add to this leg.
    pub fn add_surcharges(&self, leg: Leg, terms: &mut Terms, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) {
        if self.surcharges.is_empty() {
            return;
        }
        let adders = self.surcharges.adders(leg, &Call {
            deck: &terms.deck,
            currency: &terms.currency,
            destination: &terms.destination,
            number: parties.called,
            origin: &known.origin,
            to: &known.to,
            at_us,
        });
        adders.add_to(terms);
    }

    /// What an account pays by its deck: the row, its surcharges, and the look-ups made for the call.
    pub fn sell<'d>(&self, deck: &'d Deck, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Result<Terms, Option<RowRef<'d>>> {
        match deck.lookup_for(parties.rated(), at_us, &known.origination()) {
            Lookup::Row(row) => {
                let mut terms = row.terms();
                self.add_surcharges(Leg::Sell, &mut terms, known, parties, at_us);
                add_lookup_fees(&mut terms, deck, parties);
                Ok(terms)
            }
            Lookup::Blocked(row) => Err(Some(row)),
            Lookup::NotEffective | Lookup::NoPrefix => Err(None),
        }
    }

    /// What a carrier charges.
    pub fn cost(&self, carrier: &CarrierRoutes, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Option<Terms> {
        let Lookup::Row(row) = carrier.deck.lookup_for(parties.rated(), at_us, &known.origination()) else { return None };
        let mut terms = row.terms();
        if terms.route_class.is_empty() {
            terms.route_class.clone_from(&carrier.route_class);
        }
        self.add_surcharges(Leg::Cost, &mut terms, known, parties, at_us);
        Some(terms)
    }
}

/// a look-up made for the call is a fee on the call, answered or not. Once: only what the customer pays has it.
fn add_lookup_fees(terms: &mut Terms, deck: &Deck, parties: &Parties<'_>) {
    let fees = deck.lookup_fees();
    let made = [(LRN_DIP, fees.lrn_e12, parties.dipped), (TOLL_FREE_QUERY, fees.toll_free_e12, is_toll_free(parties.called))];
    for (name, amount_e12, _) in made.into_iter().filter(|(_, fee, made)| *made && *fee != 0) {
        terms.fees.push(Fee { name: name.to_owned(), amount_e12, on: FeeOn::Call.into() });
    }
}
