//! Rows that are a deck by themselves: a carrier's sheet priced or checked with no deck in force.

use thiserror::Error;

use super::{ImportProblem, ImportProblems, ImportRow, Mode, Order, Prepared, Start, prepare};
use crate::deck::DeckOptions;

/// Why rows are no deck by themselves.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct NotWhole(#[from] pub ImportProblems);

/// The deck that rows come to where nothing was in force before: their dates as they stand, closed codes ended and blocked ones blocked.
/// `currency`: the sheet's, which goes before the options'. A row that holds from "now" has no date without a clock, and is refused.
pub fn whole_sheet(name: &str, options: &DeckOptions, rows: &[ImportRow], currency: Option<&str>) -> Result<Prepared, NotWhole> {
    let mut problems = ImportProblems::default();
    for row in rows.iter().filter(|r| r.from == Start::Now) {
        problems.add(&row.source, row.prefix.digits(), "effective now, which is no date: say one (--effective DATE of deck convert, or effective_from in a mapping file)");
    }
    if problems.total() > 0 {
        return Err(problems.into());
    }
    let options = DeckOptions { currency: currency.unwrap_or(&options.currency).to_owned(), ..options.clone() };
    // Nothing was known before, so nothing is past and no notice is short: the instant does not matter.
    let prepared = prepare(name, &options, None, rows, &Order::new(Mode::Full, 0), &[])?;
    if prepared.deck.is_empty() && !prepared.deck.has_origins() {
        let problem = ImportProblem { source: String::new(), prefix: String::new(), problem: "no row has a price: all are closed".to_owned() };
        return Err(ImportProblems { problems: vec![problem], more: 0 }.into());
    }
    Ok(prepared)
}
