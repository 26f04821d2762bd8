//! Who calls, where prices hang on it: the caller's number and the portability of the called one, read from a row and
//! from a file of ported numbers, as a trunk's call has them. What a price then is, is for [`Places`] to say.

use std::{fmt, fmt::Write as _, sync::Arc};

use tollgate_schemas::{
    money::format_rate,
    number::E164,
    parties::{CallerValidity, Jurisdiction, Parties, Place},
    portability::needs_dip,
};

use super::{CallFields, CallIn, RatedOut, Wrong, context, lines_text, parse_number, priced, priced_by};
use crate::{
    deck::{Deck, Dialled, Lookup, RowRef},
    geography::{Known, Places},
    portability::PortedFile,
};

/// How a caller's number is read: what it is, and the number where it is valid.
pub type ReadCaller = dyn Fn(&str) -> (CallerValidity, Option<E164>) + Send + Sync;

/// What prices go by beside the called number. Immutable, shared by the threads of a file.
#[derive(Clone)]
pub struct Callers {
    places: Arc<Places>,
    ported: Option<Arc<PortedFile>>,
    read: Arc<ReadCaller>,
}

/// The cells of a row that say who calls, and how the called number is ported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerIn<'a> {
    /// As it stands; nothing that is no number makes a row malformed: it is a caller without one.
    pub from: &'a str,
    pub to: E164,
    pub lrn: Option<E164>,
    /// Number of the caller's switch.
    pub jip: Option<E164>,
    /// Whether a look-up was made for the call; `None`: the row does not say.
    pub dipped: Option<bool>,
    /// The caller's name was looked up for the call.
    pub named: bool,
}

/// The words of `lrn_source` and `cnam_source`, as CDRs have them.
const SOURCES: [&str; 5] = ["trusted", "dip", "cache", "fallback", "none"];
const NAME_SOURCES: [&str; 5] = ["sent", "dip", "cache", "fallback", "none"];

impl<'a> CallFields<'a> {
    /// The rest of a row that [`CallFields::check`] took.
    pub fn caller(&self) -> Result<CallerIn<'a>, Wrong> {
        let number = |column, text: &str| if text.is_empty() { Ok(None) } else { parse_number(column, text).map(Some) };
        let dipped = match self.lrn_source {
            "" => None,
            source if SOURCES.contains(&source) => Some(source == "dip"),
            other => return Err(Wrong::new("lrn_source", format!("'{other}' is none of {}", SOURCES.join(", ")))),
        };
        let named = match self.cnam_source {
            "" => false,
            source if NAME_SOURCES.contains(&source) => source == "dip",
            other => return Err(Wrong::new("cnam_source", format!("'{other}' is none of {}", NAME_SOURCES.join(", ")))),
        };
        Ok(CallerIn { from: self.from, to: parse_number("to", self.to)?, lrn: number("lrn", self.lrn)?, jip: number("jip", self.jip)?, dipped, named })
    }
}

/// A row's parties, by value.
pub(super) struct Who<'c> {
    a: Option<E164>,
    validity: CallerValidity,
    jip: Option<E164>,
    to: E164,
    lrn: Option<E164>,
    place: Option<&'c Place>,
    dipped: bool,
    named: bool,
}

impl Who<'_> {
    fn parties(&self) -> Parties<'_> {
        Parties {
            a: self.a,
            a_validity: self.validity,
            a_routing: self.jip,
            called: self.to.digits(),
            lrn: self.lrn.as_ref(),
            place: self.place,
            dipped: self.dipped,
            named: self.named,
        }
    }

    /// The number that deck rows are found by.
    pub(super) fn dialled(&self) -> Dialled {
        let number = self.lrn.as_ref().unwrap_or(&self.to);
        Dialled::padded(number.padded(), number.len())
    }
}

impl Callers {
    pub fn new(places: Arc<Places>, ported: Option<Arc<PortedFile>>, read: Arc<ReadCaller>) -> Callers {
        Callers { places, ported, read }
    }

    /// a row that says nothing of portability is looked up where numbers of its kind are; one that does is believed.
    pub(super) fn who(&self, caller: &CallerIn<'_>) -> Who<'_> {
        let (validity, a) = (self.read)(caller.from);
        let mut who = Who { a, validity, jip: caller.jip, to: caller.to, lrn: caller.lrn, place: None, dipped: caller.dipped == Some(true), named: caller.named };
        let asked = caller.dipped.is_none() && caller.lrn.is_none() && needs_dip(&caller.to);
        if let Some(ported) = self.ported.as_deref().filter(|_| asked) {
            // A file answers every number, those that are not in it too.
            who.dipped = true;
            if let Some(found) = ported.get(&caller.to) {
                (who.lrn, who.place) = (found.lrn, Some(&found.place).filter(|p| **p != Place::default()));
            }
        }
        who
    }

    /// From what the deck's plain rows say of the number to what the call costs.
    pub(super) fn priced<'d>(&self, deck: &'d Deck, plain: Lookup<'d>, who: &Who<'_>, call: &CallIn<'_>) -> Option<RatedOut<'d>> {
        let (parties, at_us) = (who.parties(), call.priced_at_us());
        let known = self.places.known(&parties, at_us);
        let from = known.origination();
        let found = deck.told_apart(&who.dialled(), at_us, &from, plain);
        match found {
            Lookup::Row(row) => match self.places.sell_price(&row, &known, &parties, at_us) {
                Some(price) => priced_by(row, &price, call),
                None => priced(deck, found, &from, call),
            },
            _ => priced(deck, found, &from, call),
        }
    }

    /// What [`RatedOut::explain`] says, and which of the row's prices held for this caller and why.
    pub(super) fn explain(&self, call: &CallIn<'_>, caller: &CallerIn<'_>, out: &RatedOut<'_>) -> String {
        let at_us = call.priced_at_us();
        let who = self.who(caller);
        let parties = who.parties();
        let known = self.places.known(&parties, at_us);
        let price = out.row.filter(|row| !row.blocked()).and_then(|row| self.places.sell_price(&row, &known, &parties, at_us));
        let mut text = match &price {
            Some(price) => lines_text::explain(price, at_us, call.duration_ms, &context(call)),
            None => out.explain_for(&known.origination(), call),
        };
        if let Some(deck) = out.deck {
            tell(&mut text, deck, out.row, &known);
        }
        for surcharge in price.iter().flat_map(|p| &p.surcharges) {
            let _ = write!(text, "; surcharge {} {}/60 in the rate", surcharge.name, format_rate(surcharge.per_minute_e12));
        }
        if let Some(lrn) = who.lrn {
            let _ = write!(text, "; lrn {lrn}");
        }
        text
    }
}

/// `; intra (same_state, NY to NY) by intrarate; caller of eea, by its row`.
fn tell(text: &mut String, deck: &Deck, row: Option<RowRef<'_>>, known: &Known<'_>) {
    let geography = known.geography(deck);
    if geography.jurisdiction != Jurisdiction::Na || !geography.rule.is_empty() {
        let _ = write!(text, "; {} ({}", geography.jurisdiction.name(), geography.rule);
        if !geography.a_state.is_empty() && !geography.b_state.is_empty() {
            let _ = write!(text, ", {} to {}", geography.a_state, geography.b_state);
        }
        text.push(')');
        let by = row.map_or("", |row| row.judged_by());
        if !by.is_empty() && by != geography.jurisdiction.name() {
            let _ = write!(text, " at the {by} rate");
        }
    }
    if !geography.origin_group.is_empty() {
        let _ = write!(text, "; caller of {}", geography.origin_group);
        if row.is_some_and(|row| !row.origin_group().is_empty()) {
            text.push_str(", by its row");
        }
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("ported", &self.ported.as_ref().map(|p| p.len())).finish_non_exhaustive()
    }
}
