//! Who calls whom, as prices and routes go by it: the number rated by, the caller's class, and where both are from. Pure
//! values that pass between admission, rating and the events; nothing here looks anything up.

use crate::{
    number::E164,
    v1::{CallFacts, Terms, Tier},
};

/// `a_validity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CallerValidity {
    Valid,
    /// No number: nothing, `anonymous`, a name.
    #[default]
    Missing,
    /// Fewer than five digits, or fewer than any plan's.
    Short,
    /// More than fifteen digits.
    Long,
    /// No country code can be named.
    BadCountry,
}

impl CallerValidity {
    pub const ALL: [CallerValidity; 5] =
        [CallerValidity::Valid, CallerValidity::Missing, CallerValidity::Short, CallerValidity::Long, CallerValidity::BadCountry];

    pub fn name(self) -> &'static str {
        match self {
            CallerValidity::Valid => "valid",
            CallerValidity::Missing => "missing",
            CallerValidity::Short => "short",
            CallerValidity::Long => "long",
            CallerValidity::BadCountry => "bad_cc",
        }
    }

    pub fn from_name(name: &str) -> Option<CallerValidity> {
        CallerValidity::ALL.into_iter().find(|v| v.name() == name)
    }
}

/// Where a number is from (C-037); empty = not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    pub ocn: String,
    pub lata: String,
    pub rate_center: String,
    pub state: String,
}

/// What is asked of prices and routes.
#[derive(Debug, Clone, Copy)]
pub struct Parties<'a> {
    /// The caller's number, when valid.
    pub a: Option<E164>,
    pub a_validity: CallerValidity,
    /// Number of the caller's switch (JIP) or the LRN of its number, where a trusted trunk sent one.
    pub a_routing: Option<E164>,
    /// E.164 digits of the called number; of an emergency call what was dialled.
    pub called: &'a str,
    /// The called number's location routing number.
    pub lrn: Option<&'a E164>,
    /// What the look-up said of the called number's place, where it did.
    pub place: Option<&'a Place>,
    /// A portability look-up was made for this call; one answered from memory is none.
    pub dipped: bool,
    /// The same of a look-up of the caller's name.
    pub named: bool,
}

impl<'a> Parties<'a> {
    /// A call to these digits, of a caller without a number.
    pub fn to(called: &'a str) -> Parties<'a> {
        Parties { a: None, a_validity: CallerValidity::Missing, a_routing: None, called, lrn: None, place: None, dipped: false, named: false }
    }

    /// The same from this number.
    pub fn from(self, a: E164) -> Parties<'a> {
        Parties { a: Some(a), a_validity: CallerValidity::Valid, ..self }
    }

    /// The digits that rates go by: the LRN's where there is one.
    pub fn rated(&self) -> &'a str {
        self.lrn.map_or(self.called, E164::digits)
    }
}

/// Whether a call stays within a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Jurisdiction {
    /// No number table, or not a number of it: nothing was judged.
    #[default]
    Na,
    Inter,
    Intra,
    Indeterminate,
    /// The called number is outside the number table's country.
    Intl,
}

impl Jurisdiction {
    pub const ALL: [Jurisdiction; 5] =
        [Jurisdiction::Na, Jurisdiction::Inter, Jurisdiction::Intra, Jurisdiction::Indeterminate, Jurisdiction::Intl];

    pub fn name(self) -> &'static str {
        match self {
            Jurisdiction::Na => "na",
            Jurisdiction::Inter => "inter",
            Jurisdiction::Intra => "intra",
            Jurisdiction::Indeterminate => "indeterminate",
            Jurisdiction::Intl => "intl",
        }
    }

    pub fn from_name(name: &str) -> Option<Jurisdiction> {
        Jurisdiction::ALL.into_iter().find(|j| j.name() == name)
    }
}

/// What the number table and the origin groups say of a call; text is borrowed from them, empty = not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Geography<'p> {
    pub b_ocn: &'p str,
    pub b_lata: &'p str,
    pub b_rate_center: &'p str,
    pub b_state: &'p str,
    pub a_state: &'p str,
    pub a_lata: &'p str,
    pub jurisdiction: Jurisdiction,
    /// What decided it, as `states_differ`; empty with [`Jurisdiction::Na`] where there is no table.
    pub rule: &'static str,
    /// Group of the caller that origin-based prices go by.
    pub origin_group: &'p str,
}

impl Geography<'_> {
    /// Writes what is known into the call's facts.
    pub fn describe(&self, facts: &mut CallFacts) {
        for (to, from) in [
            (&mut facts.b_ocn, self.b_ocn),
            (&mut facts.b_lata, self.b_lata),
            (&mut facts.b_rate_center, self.b_rate_center),
            (&mut facts.b_state, self.b_state),
            (&mut facts.a_state, self.a_state),
            (&mut facts.a_lata, self.a_lata),
            (&mut facts.jurisdiction_rule, self.rule),
            (&mut facts.origin_group, self.origin_group),
        ] {
            from.clone_into(to);
        }
        if self.jurisdiction != Jurisdiction::Na || !self.rule.is_empty() {
            self.jurisdiction.name().clone_into(&mut facts.jurisdiction);
        }
    }
}

/// What the house is paid for a call: what the top of the account's hierarchy pays.
pub fn revenue<'a>(sell: Option<&'a Terms>, tiers: &'a [Tier]) -> Option<&'a Terms> {
    tiers.last().map_or(sell, |top| top.terms.as_ref())
}
