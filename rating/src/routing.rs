//! Which carriers a call may go to, in what order, and why each other one was left out.
//!
//! Every carrier is priced by the longest prefix of *its own* deck, and ordered by what a call of the expected
//! duration costs with that carrier's increments and connect fee, in exact integers:
//! `E[connect fee · 60 + rate · billed]`, never rounded before it is compared. Ties go by the carrier's name, so the
//! order does not flap. Money of two currencies is compared only by a rate of the day; without one carriers
//! in the customer's currency come first, then the others by currency.
//!
//! Filters, in this order; the first that holds names itself ([`Reason`]): suspended, not allowed for the account,
//! loop, (emergency calls: not emergency capable), no prefix, not effective, blocked, route class, class floor, calling
//! number not guaranteed, quality floor, false answer, currency mismatch, no sell price, negative margin, shut (blocked or full now,
//! as the question says), beyond the attempts.
//!
//! An account's [`RoutePolicy`] says by what its carriers are ordered instead, what is asked of their quality
//! ([`crate::quality`]), and how much of its traffic may be used to learn; see `order.rs` and `score.rs`.
//!
//! Emergency calls go to every emergency-capable carrier that is not suspended and not the one the call came from:
//! no price, margin, account list or count of attempts takes one out. A short dialled string such as `112` is no
//! E.164 number and is never priced by a prefix it happens to start with.

mod expected;
mod explain;
mod filter;
mod order;
pub mod penalties;
mod policy;
mod reason;
mod score;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use thiserror::Error;
use tollgate_schemas::{codec::CodecClass, v1::Terms};

use crate::{
    deck::{Deck, DeckSet, Dialled, Lookup, Origination, RowRef},
    fx::Fx,
    geography::surcharge::Surcharged,
    quality::{CarrierKnown, GroupKnown, State},
};

pub use policy::{Delta, Metric, Order, RoutePolicy};
pub use reason::Reason;

/// R-36's expected duration where nothing is known of the destination's calls.
pub const DEFAULT_EXPECTED_MS: u64 = 180_000;

/// Shortest dialled digits that are looked up for an emergency call.
const SHORTEST_PRICED_EMERGENCY: usize = 7;

/// A carrier and what routing needs to know of it.
#[derive(Debug, Clone)]
pub struct CarrierRoutes {
    pub name: String,
    /// What the carrier charges.
    pub deck: Arc<Deck>,
    /// Class of its rows that name none.
    pub route_class: String,
    /// Takes emergency calls.
    pub emergency: bool,
    pub suspended: bool,
    /// Who it belongs to: a call never goes back to the party it came from. Usually the carrier's own name.
    pub party: String,
    /// Whose network its calls run over (S1-27). Usually the carrier's own name.
    pub upstream: String,
    pub cli_guaranteed: bool,
    /// Decide between carriers of like cost, higher first.
    pub priority: u32,
    pub weight: u32,
}

impl CarrierRoutes {
    /// A carrier in service, of no class, that takes no emergency calls and is a party of its own.
    pub fn new(name: &str, deck: Arc<Deck>) -> CarrierRoutes {
        CarrierRoutes {
            name: name.to_owned(),
            deck,
            route_class: String::new(),
            emergency: false,
            suspended: false,
            party: name.to_owned(),
            upstream: name.to_owned(),
            cli_guaranteed: false,
            priority: 0,
            weight: 0,
        }
    }
}

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadRoutes {
    #[error("carrier '{0}' is there twice")]
    Twice(String),
    #[error("{0} carriers: at most {max} are routed", max = u16::MAX)]
    TooMany(usize),
}

/// All carriers, immutable; cheap to clone.
#[derive(Clone)]
pub struct RouteTable(Arc<Routes>);

struct Routes {
    /// Alike for two tables whose positions mean the same carriers.
    id: u64,
    /// By name, so that a tie of cost is settled by position.
    carriers: Vec<CarrierRoutes>,
    /// The position of each carrier's deck in `decks`.
    deck_of: Vec<u16>,
    /// The carriers' currencies in alphabetical order, and the place of each carrier's.
    currencies: Vec<String>,
    currency_of: Vec<u16>,
    decks: Arc<DeckSet>,
}

/// What is asked of the table.
#[derive(Debug, Clone, Copy)]
pub struct RouteQuery<'a> {
    /// E.164 digits, with or without `+`; for an emergency call what was dialled, perhaps nothing.
    pub number: &'a str,
    /// Pricing instant of the choice: the INVITE's time.
    pub at_us: i64,
    /// Names of the carriers the account may use; empty = all.
    pub allowed: &'a [String],
    /// Route classes the account buys; empty = all.
    pub classes: &'a [String],
    /// What the call is sold for.
    pub sell: Option<&'a Terms>,
    /// Most candidates; 0 = no limit.
    pub max_attempts: usize,
    /// leave out carriers expected to earn less than `min_margin_e8` a call.
    pub margin_guard: bool,
    pub min_margin_e8: i64,
    pub emergency: bool,
    /// Carrier or party the call came from (loop guard, R-42).
    pub ingress_party: Option<&'a str>,
    /// Expected durations with their weights; empty = the destination's, where they are known, else [`DEFAULT_EXPECTED_MS`].
    pub durations: &'a [(u64, u32)],
    /// How to choose and order; none: by expected cost, and qualities have no say.
    pub policy: Option<&'a RoutePolicy>,
    /// Exchange rates, by which costs in another currency than the sale's are compared; none, or no rate of the day: they are
    /// not.
    pub fx: Option<&'a Fx>,
    /// What is known of the destination's calls and, where a policy asks for it, of the carriers there; none = nothing.
    pub quality: Option<&'a GroupKnown>,
    /// Of the call: whose figures of these it goes by, where they are enough.
    pub codec_class: CodecClass,
    /// From 0 to 999,999: decides who explores and how a split falls.
    pub draw_e6: u32,
    /// What rows of origin groups and prices by jurisdiction go by.
    pub from: Origination<'a>,
    /// Surcharges by origin, counted in where there are any.
    pub surcharged: Option<Surcharged<'a>>,
    /// Carriers that get no call now and why, by position.
    pub shut: &'a [(u16, Reason)],
}

impl<'a> RouteQuery<'a> {
    /// A plain call: every carrier, no guard, four attempts.
    pub fn new(number: &'a str, at_us: i64) -> RouteQuery<'a> {
        RouteQuery {
            number,
            at_us,
            allowed: &[],
            classes: &[],
            sell: None,
            max_attempts: 4,
            margin_guard: false,
            min_margin_e8: 0,
            emergency: false,
            ingress_party: None,
            durations: &[],
            policy: None,
            fx: None,
            quality: None,
            codec_class: CodecClass::Unknown,
            draw_e6: 999_999,
            from: Origination::default(),
            surcharged: None,
            shut: &[],
        }
    }
}

/// A carrier to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Position in [`RouteTable::carriers`].
    pub carrier: u16,
    /// 1 = first tried.
    pub rank: u32,
    /// Cost of the expected duration, not rounded to the deck's places; 0 when no row prices an emergency call.
    pub expected_cost_e8: i64,
    /// Another carrier lists a longer prefix of this number: dispute risk.
    pub covered_by_parent_prefix: bool,
    /// Row of the carrier's deck.
    row: Option<u32>,
    /// Where a policy asked for it.
    pub judged: Option<Judged>,
}

/// A carrier not to try, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Position in [`RouteTable::carriers`].
    pub carrier: u16,
    pub reason: Reason,
    /// When it came as far as being priced.
    pub expected_cost_e8: Option<i64>,
    pub covered_by_parent_prefix: bool,
    row: Option<u32>,
    pub judged: Option<Judged>,
}

/// What was known of a carrier when it was chosen or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// What the hunt is expected to earn from this carrier on, 1e-8 of the unit of the sale.
    pub score_e8: i64,
    /// Wilson's lower bounds in 1e-4, of so many samples; 0 samples: too little is known.
    pub asr_e4: u32,
    pub ner_e4: u32,
    pub samples: u32,
    /// 0 = too few calls.
    pub acd_ms: u64,
    pub state: State,
    /// What all of this is of: the call's codec class, or all classes together.
    pub class: CodecClass,
    /// It goes first to learn of it.
    pub exploring: bool,
}

impl Judged {
    fn of(known: Option<&CarrierKnown>) -> Judged {
        let nothing = Judged { score_e8: 0, asr_e4: 0, ner_e4: 0, samples: 0, acd_ms: 0, state: State::Neutral, class: CodecClass::Unknown, exploring: false };
        known.map_or(nothing, |k| Judged {
            asr_e4: k.asr_e6 / 100,
            ner_e4: k.ner_e6 / 100,
            samples: k.samples,
            acd_ms: k.acd_ms,
            state: k.state,
            class: k.class,
            ..nothing
        })
    }

    /// The word in choices.
    pub fn name(&self) -> &'static str {
        if self.exploring { "exploring" } else { self.state.name() }
    }
}

/// The answer to a [`RouteQuery`]. Holds on to the table it was made from, so it outlives a swap.
#[derive(Clone)]
pub struct RouteDecision {
    /// To be tried in this order.
    pub order: Vec<Candidate>,
    /// By carrier.
    pub left_out: Vec<LeftOut>,
    routes: Arc<Routes>,
    /// The number, and the instant of the choice.
    number: Dialled,
    at_us: i64,
    /// Its jurisdiction.
    from: Origination<'static>,
}

impl RouteTable {
    /// Indexes the carriers' decks together; sorts every row once.
    pub fn new(carriers: Vec<CarrierRoutes>) -> Result<RouteTable, BadRoutes> {
        RouteTable::build(carriers, None)
    }

    /// A table of these carriers instead. The index is kept when they have the same decks (the same `Arc`s), so a
    /// carrier is suspended in no time.
    pub fn with(&self, carriers: Vec<CarrierRoutes>) -> Result<RouteTable, BadRoutes> {
        RouteTable::build(carriers, Some(&self.0.decks))
    }

    fn build(mut carriers: Vec<CarrierRoutes>, before: Option<&Arc<DeckSet>>) -> Result<RouteTable, BadRoutes> {
        if carriers.len() > usize::from(u16::MAX) {
            return Err(BadRoutes::TooMany(carriers.len()));
        }
        carriers.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(two) = carriers.windows(2).find(|two| two[0].name == two[1].name) {
            return Err(BadRoutes::Twice(two[0].name.clone()));
        }
        let mut decks: Vec<Arc<Deck>> = Vec::new();
        let mut deck_of = Vec::with_capacity(carriers.len());
        for carrier in &carriers {
            let known = decks.iter().position(|deck| Arc::ptr_eq(deck, &carrier.deck));
            deck_of.push(known.unwrap_or(decks.len()) as u16);
            if known.is_none() {
                decks.push(carrier.deck.clone());
            }
        }
        let same = |set: &&Arc<DeckSet>| {
            set.decks().len() == decks.len() && set.decks().iter().zip(&decks).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let decks = match before.filter(same) {
            Some(set) => set.clone(),
            None => Arc::new(DeckSet::new(decks)),
        };
        let mut currencies: Vec<String> = carriers.iter().map(|c| c.deck.currency().to_owned()).collect();
        currencies.sort_unstable();
        currencies.dedup();
        let place = |carrier: &CarrierRoutes| currencies.partition_point(|c| c.as_str() < carrier.deck.currency()) as u16;
        let currency_of = carriers.iter().map(place).collect();
        let mut names = blake3::Hasher::new();
        for carrier in &carriers {
            names.update(carrier.name.as_bytes()).update(&[0]);
        }
        let mut id = [0u8; 8];
        id.copy_from_slice(&names.finalize().as_bytes()[..8]);
        let id = u64::from_be_bytes(id);
        Ok(RouteTable(Arc::new(Routes { id, carriers, deck_of, currencies, currency_of, decks })))
    }

    /// By name.
    pub fn carriers(&self) -> &[CarrierRoutes] {
        &self.0.carriers
    }

    /// The position of a carrier in [`RouteTable::carriers`].
    pub fn position(&self, name: &str) -> Option<u16> {
        self.0.carriers.binary_search_by(|c| c.name.as_str().cmp(name)).ok().map(|at| at as u16)
    }

    /// filters, prices and orders the carriers.
    pub fn candidates(&self, query: &RouteQuery<'_>) -> RouteDecision {
        filter::decide(&self.0, query)
    }

    /// What this carrier's deck says of the number at an instant: the cost row at the answer. `None` when no
    /// row is in force or the row is blocked.
    pub fn cost_terms(&self, carrier: u16, number: &str, at_us: i64) -> Option<Terms> {
        match self.0.carriers.get(usize::from(carrier))?.deck.lookup(number, at_us) {
            Lookup::Row(row) => Some(row.terms()),
            _ => None,
        }
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteTable").field(&self.0.carriers).finish()
    }
}

impl fmt::Debug for RouteDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteDecision").field("order", &self.order).field("left_out", &self.left_out).finish()
    }
}

impl RouteDecision {
    pub fn carrier(&self, position: u16) -> &CarrierRoutes {
        &self.routes.carriers[usize::from(position)]
    }

    pub fn name(&self, candidate: &Candidate) -> &str {
        &self.carrier(candidate.carrier).name
    }

    /// The deck row a candidate is priced by; `None` only for an emergency call that no row prices.
    pub fn row(&self, candidate: &Candidate) -> Option<RowRef<'_>> {
        self.row_of(candidate.carrier, candidate.row)
    }

    fn row_of(&self, carrier: u16, row: Option<u32>) -> Option<RowRef<'_>> {
        let deck = &self.carrier(carrier).deck;
        deck.row_for(row?, &self.number, self.at_us).map(|row| row.judged(self.from.judged(deck)))
    }

    /// What the carrier charges, by value; the class is the row's, else the carrier's. `from`: as the question had it.
    pub fn terms(&self, candidate: &Candidate, from: &Origination<'_>) -> Terms {
        let carrier = self.carrier(candidate.carrier);
        let mut terms = match self.row(candidate) {
            Some(row) => row.terms_for(from),
            None => carrier.deck.free_terms(),
        };
        if terms.route_class.is_empty() {
            terms.route_class.clone_from(&carrier.route_class);
        }
        terms
    }

    /// The reason when there is nowhere to send the call: the one that came furthest through the filters.
    pub fn best_reason(&self) -> Option<Reason> {
        self.left_out.iter().map(|l| l.reason).max()
    }
}
