//! What is known of numbers beside decks, and what of it bears on one call: the number table, origin groups and
//! surcharges joined for a call's two numbers, once for all its legs. A running plan and a file of calls ask the same.

use tollgate_schemas::{
    parties::{Geography, Parties},
    portability::is_toll_free,
    terms::{CNAM_DIP, LRN_DIP, TOLL_FREE_QUERY},
    v1::{Fee, FeeOn, Terms},
};

use super::{
    Adders, CallerBy, Judged, Leg, NumberTable, Origin, OriginGroups, Rules, Surcharges,
    jurisdiction::judge,
    surcharge::{Call, Surcharged},
};
use crate::deck::{Deck, Lookup, Origination, RowRef};

/// Number tables, origin groups and surcharges, immutable.
#[derive(Debug, Clone, Default)]
pub struct Places {
    numbers: NumberTable,
    groups: OriginGroups,
    surcharges: Surcharges,
    /// A deck or a surcharge asks for the caller's group.
    tells_origins: bool,
}

/// What bears on one call, found once for all its legs.
#[derive(Debug)]
pub struct Known<'p> {
    by_ani: (Judged, Geography<'p>),
    by_routing: (Judged, Geography<'p>),
    names: Vec<&'p str>,
    origin: Origin,
    to: Origin,
}

impl<'p> Known<'p> {
    /// What deck rows go by.
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

impl Places {
    /// `decks`: those that calls are priced by; a sheet may name groups that no document has (yet): its rows of them are for
    /// nobody.
    pub fn new<'d>(numbers: NumberTable, groups: OriginGroups, surcharges: Surcharges, mut decks: impl Iterator<Item = &'d Deck>) -> Places {
        let tells_origins = !surcharges.is_empty() || decks.any(Deck::has_origins);
        Places { numbers, groups, surcharges, tells_origins }
    }

    /// No answer depends on who calls.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && !self.tells_origins
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
            Some(_) => judge(&self.numbers, &Rules { caller: CallerBy::Routing, ..rules }, parties, &mut by_routing.1),
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
        let adders = self.adders(leg, [&terms.deck, &terms.currency, &terms.destination], known, parties, at_us);
        adders.add_to(terms);
    }

    fn adders(&self, leg: Leg, [deck, currency, destination]: [&str; 3], known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Adders {
        self.surcharges.adders(leg, &Call { deck, currency, destination, number: parties.called, origin: &known.origin, to: &known.to, at_us })
    }

    /// What an account pays by its deck: the row, its surcharges, and the look-ups made for the call.
    pub fn sell<'d>(&self, deck: &'d Deck, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Result<Terms, Option<RowRef<'d>>> {
        let from = known.origination();
        match deck.lookup_for(parties.rated(), at_us, &from) {
            Lookup::Row(row) => {
                let mut terms = row.terms_for(&from);
                self.add_surcharges(Leg::Sell, &mut terms, known, parties, at_us);
                terms.fees.extend(lookup_fees(deck, parties));
                Ok(terms)
            }
            Lookup::Blocked(row) => Err(Some(row)),
            Lookup::NotEffective | Lookup::NoPrefix => Err(None),
        }
    }

    /// What a carrier charges by its deck: the row and its surcharges.
    pub fn cost(&self, deck: &Deck, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Option<Terms> {
        let from = known.origination();
        let Lookup::Row(row) = deck.lookup_for(parties.rated(), at_us, &from) else { return None };
        let mut terms = row.terms_for(&from);
        self.add_surcharges(Leg::Cost, &mut terms, known, parties, at_us);
        Some(terms)
    }

    /// The price of [`Places::sell`] without its text, where surcharges or look-ups add to the row's own; else the row prices
    /// the call alone.
    pub fn sell_price(&self, row: &RowRef<'_>, known: &Known<'_>, parties: &Parties<'_>, at_us: i64) -> Option<Terms> {
        let deck = row.deck();
        let adders = match self.surcharges.is_empty() {
            true => Adders::default(),
            false => self.adders(Leg::Sell, [deck.name(), deck.currency(), row.destination()], known, parties, at_us),
        };
        let mut fees = lookup_fees(deck, parties).peekable();
        if adders == Adders::default() && fees.peek().is_none() {
            return None;
        }
        let mut price = row.price_for(&known.origination());
        adders.add_to(&mut price);
        price.fees.extend(fees);
        Some(price)
    }
}

/// a look-up made for the call is a fee on the call, answered or not. Once: only what the customer pays has it.
fn lookup_fees(deck: &Deck, parties: &Parties<'_>) -> impl Iterator<Item = Fee> + use<> {
    let fees = deck.lookup_fees();
    let made = [(LRN_DIP, fees.lrn_e12, parties.dipped), (CNAM_DIP, fees.cnam_e12, parties.named), (TOLL_FREE_QUERY, fees.toll_free_e12, is_toll_free(parties.called))];
    let owed = made.into_iter().filter(|(_, fee, made)| *made && *fee != 0);
    owed.map(|(name, amount_e12, _)| Fee { name: name.to_owned(), amount_e12, on: FeeOn::Call.into() })
}
