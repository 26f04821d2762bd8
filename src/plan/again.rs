//! A call priced again from its CDR: who called whom as the row tells it, and what a plan charges for that. A re-rating on
//! a node and one of a file ask the same.
//!
//! **Limit.** A CDR does not keep the number of the caller's switch: decks that go by it go by the caller's own ([`by_switch`]).

use tollgate_proxy::routing::Plan;
use tollgate_schemas::{
    cdr::Cdr,
    number::E164,
    parties::{CallerValidity, Parties, Place},
    v1::Terms,
};

/// What a row tells of who called whom.
pub struct Told {
    a: Option<E164>,
    validity: CallerValidity,
    lrn: Option<E164>,
    place: Place,
}

impl Told {
    pub fn of(row: &Cdr) -> Told {
        Told {
            a: E164::parse(&row.a_number_e164).ok(),
            validity: CallerValidity::from_name(&row.a_validity).unwrap_or_default(),
            lrn: E164::parse(&row.lrn).ok(),
            place: Place { ocn: row.b_ocn.clone(), lata: row.b_lata.clone(), rate_center: row.b_rate_center.clone(), state: row.b_state.clone() },
        }
    }

    /// `row`: the one this is of.
    pub fn parties<'a>(&'a self, row: &'a Cdr) -> Parties<'a> {
        let place = Some(&self.place).filter(|p| **p != Place::default());
        Parties { a: self.a, a_validity: self.validity, lrn: self.lrn.as_ref(), place, dipped: row.lrn_source == "dip", named: row.cnam_source == "dip", ..Parties::to(&row.b_number_e164) }
    }
}

/// the answer's time prices a call, else its beginning's.
pub fn priced_at(row: &Cdr) -> i64 {
    row.answer_ts.unwrap_or(row.invite_ts)
}

/// Which deck a call is priced by again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// The one it was priced by, as that is now: who has been given another deck since pays by it from then on.
    #[default]
    ItsDeck,
    /// The one its account or carrier has now: it was given the wrong one.
    Assigned,
}

/// What an account pays for the call of a final: its own, or one of an account below it. `deck`: what it paid by. Errors say why there
/// is no price.
pub fn sell(plan: &Plan, by: By, payer: &str, deck: &str, row: &Cdr) -> Result<Terms, String> {
    match by {
        By::ItsDeck => by_deck(plan, deck, true, row),
        // None where it, or an account above it, has no price.
        By::Assigned => plan.routing.sell_at(payer, &Told::of(row).parties(row), priced_at(row)).map(|(terms, _)| terms).ok_or_else(|| none(payer, row)),
    }
}

/// What the attempt's carrier charges.
pub fn cost(plan: &Plan, by: By, row: &Cdr) -> Result<Terms, String> {
    match by {
        By::ItsDeck => by_deck(plan, &row.cost_deck, false, row),
        By::Assigned => {
            let found = plan.policy.carrier_named(&row.carrier).and_then(|c| plan.routing.cost(c, &Told::of(row).parties(row), priced_at(row)));
            found.ok_or_else(|| none(&row.carrier, row))
        }
    }
}

fn by_deck(plan: &Plan, deck: &str, sells: bool, row: &Cdr) -> Result<Terms, String> {
    if !plan.routing.has_deck(deck) {
        return Err(format!("deck '{deck}', which it was priced by, is not there: put it back, or price by the decks that accounts and carriers have now (--reassign)"));
    }
    plan.routing.by_deck(deck, sells, &Told::of(row).parties(row), priced_at(row)).ok_or_else(|| none(&format!("deck '{deck}'"), row))
}

fn none(who: &str, row: &Cdr) -> String {
    format!("{who} has no price for {} now", row.b_number_e164)
}

/// Whether the price hangs on the caller's state, and the deck would rather know that of the caller's switch.
pub fn by_switch(plan: &Plan, terms: &Terms) -> bool {
    !terms.jurisdiction.is_empty() && plan.routing.by_switch(&terms.deck)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_29_a_look_up_that_was_made_is_paid_for_when_the_call_is_rated_again() {
        for (source, paid) in [("dip", true), ("cache", false), ("trusted", false), ("fallback", false), ("", false)] {
            let row = Cdr { b_number_e164: "12125550100".into(), lrn: "12015550000".into(), lrn_source: source.into(), ..Cdr::default() };
            let told = Told::of(&row);
            assert_eq!((told.parties(&row).dipped, told.parties(&row).named), (paid, false), "{source}");
            let row = Cdr { lrn_source: "cache".into(), cnam_source: source.into(), ..row };
            assert_eq!((told.parties(&row).dipped, told.parties(&row).named), (false, paid), "{source}");
        }
    }
}
