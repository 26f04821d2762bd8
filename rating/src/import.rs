//! A carrier's rows into the deck in force: what changes, what is wrong with it, and the deck it comes to.
//!
//! - **Full or partial is said, never guessed** ([`Mode`]): a full sheet closes what it does not list, a partial one does not
//!   a full-country one closes it in the countries it lists.
//! - **The past is not rewritten** (R-13). What was in force until now stays as it is; a row that is effective in the past is
//!   refused, or made effective now where that was asked for. One that says what is in force already changes nothing.
//! - **From the first date on which a code's rows say something new**, the code is what the rows say: what was announced for
//!   later is withdrawn, and the preview says so. Codes whose rows say nothing new keep what was announced.
//! - **Dearer needs notice**: a higher rate or fee, coarser increments, a new code dearer than the prefix that priced its
//!   numbers so far, a closed code whose numbers fall to a dearer prefix.
//!
//! Pure: the instant of the import is an argument ([`Order::now_us`]).

mod base;
pub(crate) mod country;
mod covered;
mod line;
mod merge;
mod preview;
mod row;
mod text;
mod whole;

#[cfg(test)]
mod tests;

use std::fmt;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::deck::{Deck, DeckOptions};
pub use covered::{Covered, covered_by_parent};
pub use line::{Change, Flag, Line, LinePrice};
pub use preview::{MAX_LINES, Preview};
pub(crate) use row::Shared;
pub use row::{Action, BadRow, CLAIMS, ImportRow, Start, is_rows, read_rows, write_rows};
pub use whole::{NotWhole, whole_sheet};

/// What a code means that the sheet does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is closed.
    Full,
    /// It is closed where the sheet lists another code of its country.
    FullCountry,
    /// Nothing.
    Partial,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::FullCountry => "full_country",
            Mode::Partial => "partial",
        }
    }
}

/// Notice an increase needs where the deck document says nothing.
pub const NOTICE_DAYS: u32 = 7;
/// Change of a rate that is worth a second look, in percent.
pub const JUMP_PERCENT: u32 = 50;

/// How rows are to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub mode: Mode,
    /// When the import becomes known; UTC microseconds.
    pub now_us: i64,
    /// When a full sheet closes what it does not list; none = its earliest date still to come, else now.
    pub closes_us: Option<i64>,
    /// Rows effective in the past become effective now, rather than refused.
    pub past_now: bool,
    pub notice_days: u32,
    /// Why too short a notice is taken all the same; none = it is refused.
    pub short_notice: Option<String>,
    pub jump_percent: u32,
    /// The sheet's, where it names one.
    pub currency: Option<String>,
}

impl Order {
    pub fn new(mode: Mode, now_us: i64) -> Order {
        Order { mode, now_us, closes_us: None, past_now: false, notice_days: NOTICE_DAYS, short_notice: None, jump_percent: JUMP_PERCENT, currency: None }
    }
}

/// The deck that the rows change.
#[derive(Clone, Copy)]
pub struct InForce<'a> {
    pub deck: &'a Deck,
    /// The file it was compiled from.
    pub csv: &'a [u8],
    /// Zone of the file's dates.
    pub timezone: Tz,
}

/// What an import comes to.
#[derive(Debug)]
pub struct Prepared {
    /// The new deck's file; the old one's bytes where nothing changes.
    pub csv: Vec<u8>,
    pub deck: Deck,
    pub preview: Preview,
}

/// Why an import is refused, by row of the sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProblem {
    /// Where in the sheet; empty when it is about the whole.
    pub source: String,
    /// Code it is about, or empty.
    pub prefix: String,
    pub problem: String,
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.source, &self.prefix] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.problem)
    }
}

/// All of them; [`MAX_PROBLEMS`](crate::sheet::MAX_PROBLEMS) are told, the rest counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProblems {
    pub problems: Vec<ImportProblem>,
    pub more: u64,
}

impl ImportProblems {
    fn add(&mut self, source: &str, prefix: &str, problem: impl fmt::Display) {
        if self.problems.len() < crate::sheet::MAX_PROBLEMS {
            self.problems.push(ImportProblem { source: source.to_owned(), prefix: prefix.to_owned(), problem: problem.to_string() });
        } else {
            self.more += 1;
        }
    }

    pub fn total(&self) -> u64 {
        self.problems.len() as u64 + self.more
    }
}

impl fmt::Display for ImportProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        write!(f, "{} problem{}", self.total(), if self.total() == 1 { "" } else { "s" })
    }
}

impl std::error::Error for ImportProblems {}

/// Merges rows into a deck and says what changes. `name` and `options` are the deck's; `in_force`: none for a deck's first sheet,
/// whose dates are taken as they stand, since nothing was known before. `others`: other carriers' decks by carrier.
pub fn prepare(name: &str, options: &DeckOptions, in_force: Option<InForce<'_>>, rows: &[ImportRow], order: &Order, others: &[(&str, &Deck)]) -> Result<Prepared, ImportProblems> {
    merge::prepare(name, options, in_force, rows, order, others)
}
