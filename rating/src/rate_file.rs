//! Rating a file of calls with nothing running: the engine of `tollgate rate`. Streams; memory does not grow with the
//! file.
//!
//! # Calls CSV
//! `call_id,account,from,to,setup,answer,end[,carrier,trunk,lrn,duration_ms,jip,lrn_source,cnam_source]`, found by header name in any order and
//! case; an unknown column is refused, since a misspelt `duration_ms` would change what calls cost. Times are RFC 3339
//! with an offset, to the nanosecond; an empty `answer` is a call that was not answered. The call lasts `duration_ms`
//! where given, else `end - answer` cut to milliseconds; with `duration_ms` the two clocks are not compared, and `end`
//! may be empty. `to` and `lrn` are E.164 with or without `+`; `lrn`, where given, is what is looked up. `carrier` and
//! `trunk` are carried through as they are: no price hangs on them.
//!
//! Where the decks ask who calls ([`Decks::with_callers`]) `from` is the caller: E.164 with or without `+`, and whatever
//! is no valid number is a caller without one. `jip` is the number of its switch, `lrn_source` the CDR's word for how the
//! called number's portability was known, `cnam_source` the same for the caller's name: `dip` is a look-up that is paid for. Elsewhere these
//! four are carried through.
//!
//! # Rated CSV
//! The input's columns as they came, then `prefix,destination,billed_seconds,rate,amount,currency,deck_version,reason`
//! (and `explain` where asked for). One row for each well-formed row, in its order. A row is priced at its answer, or
//! looked up at its setup when unanswered. [`Reason`] says which cells are filled. Malformed rows are reported
//! by line and column and left out.

mod call;
mod callers;
mod columns;
mod csv_file;
mod cut;
mod decks;
mod lines_text;
mod rater;
mod recent;
mod rows;
mod text;
mod times;

#[cfg(test)]
mod tests;

use tollgate_schemas::{
    money::{AMOUNT_PLACES, format_rate, format_scaled},
    number::E164,
    terms::{LegContext, rated_seconds},
    v1::Terms,
};

pub use call::{CallFields, CallIn, Wrong};
pub use callers::{CallerIn, Callers, ReadCaller};
pub use csv_file::{Counts, RateFileError, RateOptions, RowProblem, rate_csv, rate_csv_on};
pub use decks::{BadDecks, Decks};
pub use rater::Rater;
pub use times::parse_rfc3339_ns;

use crate::deck::{Deck, Lookup, Origination, RowRef};

/// The columns added to a call, in order.
pub const RATED_COLUMNS: [&str; 8] =
    ["prefix", "destination", "billed_seconds", "rate", "amount", "currency", "deck_version", "reason"];

/// What became of a well-formed call. Whether there is a price is asked first, so an unanswered call that no row
/// prices is `no_prefix`, `not_effective` or `blocked`, not `unanswered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Every cell is filled.
    Rated,
    /// The row in force at setup; billed 0, amount 0 but for a tariff's fees of every call or attempt.
    Unanswered,
    /// No prefix of the number is in the deck (or the account has no deck: `deck_version` is empty then). Prefix,
    /// destination, billed seconds, rate and amount are empty.
    NoPrefix,
    /// No row was in force. Cells as for `NoPrefix`.
    NotEffective,
    /// The row is blocked: prefix, destination and rate are its own, billed seconds and amount are empty.
    Blocked,
}

impl Reason {
    pub const ALL: [Reason; 5] =
        [Reason::Rated, Reason::Unanswered, Reason::NoPrefix, Reason::NotEffective, Reason::Blocked];

    pub fn name(self) -> &'static str {
        match self {
            Reason::Rated => "rated",
            Reason::Unanswered => "unanswered",
            Reason::NoPrefix => "no_prefix",
            Reason::NotEffective => "not_effective",
            Reason::Blocked => "blocked",
        }
    }
}

/// A priced call.
#[derive(Debug, Clone, Copy)]
pub struct RatedOut<'d> {
    pub reason: Reason,
    /// `None` when neither the account nor the rest has a deck.
    pub deck: Option<&'d Deck>,
    pub row: Option<RowRef<'d>>,
    pub billed_s: Option<u64>,
    /// In the deck's currency, rounded to its places.
    pub amount_e8: Option<i64>,
}

impl RatedOut<'_> {
    fn without_deck<'d>() -> RatedOut<'d> {
        RatedOut { reason: Reason::NoPrefix, deck: None, row: None, billed_s: None, amount_e8: None }
    }

    /// The amount with the deck's decimal places; `""` when there is none.
    pub fn amount_text(&self) -> String {
        match (self.amount_e8, self.deck) {
            (Some(e8), Some(deck)) => format_scaled(e8, AMOUNT_PLACES, deck.places()),
            _ => String::new(),
        }
    }

    /// How the amount came about, for people: `47 s → 6+7×6=48 s × 0.0100/60 = 0.008000`.
    pub fn explain(&self, call: &CallIn<'_>) -> String {
        self.explain_for(&Origination::default(), call)
    }

    /// The same, for a call of this origination.
    fn explain_for(&self, from: &Origination<'_>, call: &CallIn<'_>) -> String {
        let Some(deck) = self.deck else { return format!("no deck for account '{}'", call.account) };
        let number = call.number;
        match (self.reason, self.row) {
            (Reason::NotEffective, _) => {
                format!("deck '{}' has prefixes of {number} but none in force at {}", deck.name(), call.priced_at())
            }
            (_, None) => format!("deck '{}' has no prefix of {number}", deck.name()),
            (Reason::Blocked, Some(row)) => format!("prefix {} is blocked in deck '{}'", row.prefix(), deck.name()),
            (Reason::Unanswered | Reason::Rated, Some(row)) if !row.is_plain() => {
                lines_text::explain(&row.price_for(from), call.priced_at_us(), call.duration_ms, &context(call))
            }
            (Reason::Unanswered, Some(row)) => format!("not answered; prefix {} at {}", row.prefix(), row.rate_text()),
            (_, Some(row)) => self.explain_price(call, &row),
        }
    }

    fn explain_price(&self, call: &CallIn<'_>, row: &RowRef<'_>) -> String {
        let (s, billed) = (rated_seconds(call.duration_ms), self.billed_s.unwrap_or(0));
        let (initial, increment) = (u64::from(row.initial_s()), u64::from(row.increment_s()));
        let counted = if billed > initial {
            format!("{initial}+{}×{increment}={billed}", (billed - initial) / increment.max(1))
        } else {
            format!("initial {billed}")
        };
        let connect = match row.connect_fee_e12() {
            0 => String::new(),
            fee => format!("{} + ", format_rate(fee)),
        };
        format!("{s} s → {connect}{counted} s × {}/60 = {}", row.rate_text(), self.amount_text())
    }
}

/// Prices one call. `None` when the amount is beyond what money can hold. `caller`: where the decks ask for it.
pub fn rate_call<'d>(decks: &'d Decks, call: &CallIn<'_>, caller: Option<&CallerIn<'_>>) -> Option<RatedOut<'d>> {
    let Some(deck) = decks.of(call.account) else { return Some(RatedOut::without_deck()) };
    match decks.callers().zip(caller) {
        Some((callers, caller)) => {
            let who = callers.who(caller);
            callers.priced(deck, deck.lookup_dialled(&who.dialled(), call.priced_at_us()), &who, call)
        }
        None => priced(deck, deck.lookup_dialled(&call.dialled(), call.priced_at_us()), &Origination::default(), call),
    }
}

/// From what the deck says of the number to what the call costs.
#[inline]
fn priced<'d>(deck: &'d Deck, found: Lookup<'d>, from: &Origination<'_>, call: &CallIn<'_>) -> Option<RatedOut<'d>> {
    let unpriced = |reason, row| RatedOut { reason, deck: Some(deck), row, billed_s: None, amount_e8: None };
    let row = match found {
        Lookup::Row(row) => row,
        Lookup::Blocked(row) => return Some(unpriced(Reason::Blocked, Some(row))),
        Lookup::NotEffective => return Some(unpriced(Reason::NotEffective, None)),
        Lookup::NoPrefix => return Some(unpriced(Reason::NoPrefix, None)),
    };
    if call.answer_us.is_none() {
        // Nothing but what a tariff takes of every call.
        if !row.is_plain() {
            return priced_by(row, &row.price_for(from), call);
        }
        return Some(RatedOut { billed_s: Some(0), amount_e8: Some(0), ..unpriced(Reason::Unanswered, Some(row)) });
    }
    let charge = row.charge_for(from, call.priced_at_us(), call.duration_ms);
    // The charge saturates; an amount at the stop is no amount.
    if charge.amount_e8 == i64::MAX {
        return None;
    }
    let rated = unpriced(Reason::Rated, Some(row));
    Some(RatedOut { billed_s: Some(charge.billed_s), amount_e8: Some(charge.amount_e8), ..rated })
}

/// What the call costs under terms that add to the row's own.
fn priced_by<'d>(row: RowRef<'d>, price: &Terms, call: &CallIn<'_>) -> Option<RatedOut<'d>> {
    let charge = price.charge_leg(call.priced_at_us(), call.duration_ms, &context(call));
    if charge.amount_e8 == i64::MAX {
        return None;
    }
    let reason = if call.answer_us.is_some() { Reason::Rated } else { Reason::Unanswered };
    Some(RatedOut { reason, deck: Some(row.deck()), row: Some(row), billed_s: Some(charge.billed_s), amount_e8: Some(charge.amount_e8) })
}

/// A call of a file is one attempt; how long it rang is not in the file.
fn context(call: &CallIn<'_>) -> LegContext {
    LegContext { answered: call.answer_us.is_some(), ..LegContext::default() }
}

/// Reads a number of a calls file.
fn parse_number(column: &'static str, text: &str) -> Result<E164, Wrong> {
    E164::parse(text).map_err(|e| Wrong { column, problem: e.to_string() })
}
