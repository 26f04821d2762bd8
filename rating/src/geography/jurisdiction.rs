//! whether a call stays within a state. B's state goes by its LRN's exchange, A's by its own number or, where the
//! contract says so, by the number of its switch. Both in one state = intra, in two = inter; where one is not known the
//! contract says what the call costs.
//!
//! The domestic part of a number table is the fifty states and DC. A territory (PR, VI, GU, AS, MP) on either side makes
//! a call indeterminate, as R-25 has it. A called number of another country in the table (a Canadian province, a
//! Caribbean island) or outside +1 is international: it has no jurisdiction and costs the row's plain rate.

use thiserror::Error;
use tollgate_schemas::{
    control,
    parties::{CallerValidity, Geography, Jurisdiction, Parties},
    portability::is_toll_free,
};

use super::number_table::{Entry, NumberTable};

const STATES: [&str; 51] = [
    "AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN", "KS", "KY", "LA", "MA", "MD", "ME", "MI",
    "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ", "NM", "NV", "NY", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VA",
    "VT", "WA", "WI", "WV", "WY",
];
const TERRITORIES: [&str; 6] = ["AS", "GU", "MP", "PR", "UM", "VI"];
/// Of the rest of +1: Canada's provinces, in the older letters too, and the other countries. Letters that are none of all these tell nothing.
const FOREIGN: [&str; 33] = [
    "AB", "BC", "MB", "NB", "NF", "NL", "NS", "NT", "NU", "ON", "PE", "PQ", "QC", "SK", "YK", "YT", "AG", "AI", "BB", "BM", "BS", "DM", "DO", "GD", "JM", "KN", "LC",
    "SX", "TC", "TT", "VC", "VG", "CN",
];
/// What a contract says of jurisdiction; part of a deck's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rules {
    pub caller: CallerBy,
    pub indeterminate: Unknown,
    /// Callers without a valid number; none = as every other indeterminate call.
    pub invalid_caller: Option<Unknown>,
}

/// Which of the caller's numbers says its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CallerBy {
    #[default]
    Ani,
    /// Its switch's number (JIP) or LRN where a trusted trunk sent one, else its own.
    Routing,
}

/// What an indeterminate call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unknown {
    /// The row's own price for it; a row without one: the highest.
    #[default]
    IjRate,
    Highest,
    Intrastate,
}

/// A verdict, as prices need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Judged {
    pub jurisdiction: Jurisdiction,
    /// It is indeterminate because the caller has no valid number.
    pub invalid_caller: bool,
}

/// A word that is not one of a rule's.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("'{0}' is none of {1}")]
pub struct BadRule(pub String, pub &'static str);

impl Rules {
    /// The rules of a provisioned deck.
    pub fn from_spec(spec: &control::JurisdictionRules) -> Result<Rules, BadRule> {
        let caller = match spec.caller.as_str() {
            "ani" => CallerBy::Ani,
            "routing" => CallerBy::Routing,
            other => return Err(BadRule(other.to_owned(), "ani, routing")),
        };
        let unknown = |text: &str| match text {
            "ij_rate" => Ok(Unknown::IjRate),
            "highest" => Ok(Unknown::Highest),
            "intrastate" => Ok(Unknown::Intrastate),
            other => Err(BadRule(other.to_owned(), "ij_rate, highest, intrastate")),
        };
        let invalid_caller = spec.invalid_caller.as_deref().map(unknown).transpose()?;
        Ok(Rules { caller, indeterminate: unknown(&spec.indeterminate)?, invalid_caller })
    }
}

enum Side<'t> {
    State(Entry<'t>),
    Territory(Entry<'t>),
    Foreign(Entry<'t>),
    No(&'static str),
}

fn side<'t>(table: &'t NumberTable, digits: &str, names: [&'static str; 3]) -> Side<'t> {
    let [outside, toll_free, unknown] = names;
    match table.find(digits) {
        _ if !digits.starts_with('1') => Side::No(outside),
        _ if is_toll_free(digits) => Side::No(toll_free),
        None => Side::No(unknown),
        Some(entry) if STATES.contains(&entry.state) => Side::State(entry),
        Some(entry) if TERRITORIES.contains(&entry.state) => Side::Territory(entry),
        Some(entry) if FOREIGN.contains(&entry.state) => Side::Foreign(entry),
        Some(_) => Side::No(unknown),
    }
}

/// Judges a call. Writes what the table knows into the geography, and what decided.
pub fn judge<'p>(table: &'p NumberTable, rules: &Rules, parties: &Parties<'p>, geography: &mut Geography<'p>) -> Judged {
    if table.is_empty() {
        return Judged::default();
    }
    let b = side(table, parties.rated(), ["b_outside", "b_toll_free", "b_unknown"]);
    let from_dip = parties.place;
    if let Side::State(e) | Side::Territory(e) | Side::Foreign(e) = &b {
        (geography.b_state, geography.b_lata, geography.b_ocn, geography.b_rate_center) = (e.state, e.lata, e.ocn, e.rate_center);
    } else if let Some(place) = from_dip {
        (geography.b_state, geography.b_lata) = (&place.state, &place.lata);
        (geography.b_ocn, geography.b_rate_center) = (&place.ocn, &place.rate_center);
    }
    let a_number = match rules.caller {
        CallerBy::Routing => parties.a_routing.or(parties.a),
        CallerBy::Ani => parties.a,
    };
    let a = match &a_number {
        Some(number) => side(table, number.digits(), ["a_international", "a_toll_free", "a_unknown"]),
        None if parties.a_validity == CallerValidity::Missing => Side::No("a_missing"),
        None => Side::No("a_invalid"),
    };
    if let Side::State(e) | Side::Territory(e) | Side::Foreign(e) = &a {
        (geography.a_state, geography.a_lata) = (e.state, e.lata);
    }
    let (jurisdiction, rule) = match (&b, &a) {
        (Side::No(rule @ "b_outside"), _) => (Jurisdiction::Intl, *rule),
        (Side::Foreign(_), _) => (Jurisdiction::Intl, "b_foreign"),
        // An exchange the table lacks may still be placed by the look-up.
        (Side::No("b_unknown"), Side::State(a)) if STATES.contains(&geography.b_state) => states(a.state, geography.b_state),
        (Side::No(rule), _) => (Jurisdiction::Indeterminate, *rule),
        (Side::Territory(_), _) => (Jurisdiction::Indeterminate, "b_territory"),
        (_, Side::No(rule)) => (Jurisdiction::Indeterminate, *rule),
        (_, Side::Foreign(_)) => (Jurisdiction::Indeterminate, "a_foreign"),
        (_, Side::Territory(_)) => (Jurisdiction::Indeterminate, "a_territory"),
        (Side::State(b), Side::State(a)) => states(a.state, b.state),
    };
    (geography.jurisdiction, geography.rule) = (jurisdiction, rule);
    Judged { jurisdiction, invalid_caller: matches!(rule, "a_missing" | "a_invalid") }
}

fn states(a: &str, b: &str) -> (Jurisdiction, &'static str) {
    if a == b { (Jurisdiction::Intra, "same_state") } else { (Jurisdiction::Inter, "states_differ") }
}

impl Rules {
    /// The price of a minute and which of the row's prices that is (for `Terms.jurisdiction`); the row's plain rate and ""
    /// where nothing was judged or the row has no such price.
    pub fn choose(&self, plain_e12: i64, rates: &crate::deck::JurisdictionRates, judged: Judged) -> (i64, &'static str) {
        let named = |rate: Option<i64>, name| rate.map_or((plain_e12, ""), |r| (r, name));
        match judged.jurisdiction {
            Jurisdiction::Na | Jurisdiction::Intl => (plain_e12, ""),
            Jurisdiction::Inter => named(rates.inter_e12, "inter"),
            Jurisdiction::Intra => named(rates.intra_e12, "intra"),
            Jurisdiction::Indeterminate => {
                let rule = if judged.invalid_caller { self.invalid_caller.unwrap_or(self.indeterminate) } else { self.indeterminate };
                match (rule, rates.indeterminate_e12) {
                    (Unknown::IjRate, Some(rate)) => (rate, "indeterminate"),
                    (Unknown::Intrastate, _) => named(rates.intra_e12, "intra"),
                    (Unknown::IjRate | Unknown::Highest, ij) => {
                        let all = [(rates.inter_e12, "inter"), (rates.intra_e12, "intra"), (ij, "indeterminate")];
                        let highest = all.into_iter().filter_map(|(rate, name)| Some((rate?, name))).max_by_key(|(rate, _)| *rate);
                        highest.unwrap_or((plain_e12, ""))
                    }
                }
            }
        }
    }
}
