//! Carriers' rate sheets as they come: workbooks of several sheets and CSV of every sort, read into rows that an import can
//! take ([`crate::import`]). Cells go in row by row ([`SheetReader`]); what comes out are the rows, what was detected, and
//! what to look at — or everything that is wrong, by sheet, row and column, and nothing loaded.
//!
//! # What is found, and what is never guessed
//! - The header: the first row (or two rows) that names a code and a rate; title lines above it may name currency and sheet.
//! - Columns by the names of [`columns`]; codes as lists and ranges ([`codes`]); dates in the forms of the trade ([`dates`]);
//!   prices with either decimal sign ([`numbers`]).
//! - Day or month first, `1,234`, `44 20`, an area code's 0, cents or whole units: the file as a whole tells, or a [`Mapping`];
//!   else it is refused.
//! - A column of money, of an end or of a term that has no place here is asked about, not passed over; the others that are left out
//!   are listed ([`Explained::left_out`]).

mod cell;
mod codes;
mod columns;
mod csv;
mod dates;
mod finish;
mod header;
mod mapping;
mod nanp;
mod numbers;
mod plain;
mod problem;
mod reader;
mod text;
mod units;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use cell::{Cell, letters};
pub use columns::Column;
pub use csv::feed_csv;
pub use dates::Start;
pub use mapping::{AreaZero, CodePlan, Commas, DateOrder, DecimalSign, EndDay, Mapping, Spaces};
pub use plain::PlainSheet;
pub use problem::{MAX_PROBLEMS, Remark, SheetProblems};
pub use reader::{MAX_ROWS, SheetReader};
pub(crate) use columns::currency_in;
pub(crate) use numbers::{decimal, sign_shown};
pub(crate) use text::whole_text;

use crate::import::ImportRow;

/// What a sheet came to.
#[derive(Debug)]
pub struct Canonical {
    /// One for each code, in the order of the sheet.
    pub rows: Vec<ImportRow>,
    /// ISO 4217; none when neither the sheet nor the mapping names one.
    pub currency: Option<String>,
    pub explained: Explained,
    /// What to look at, none of it a reason to refuse.
    pub warnings: Vec<Remark>,
}

/// What was detected.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Explained {
    /// Of a CSV file: `UTF-8`, `UTF-16LE` …; and its separator.
    pub encoding: Option<&'static str>,
    pub separator: Option<char>,
    pub decimal: Option<DecimalSign>,
    pub dates: Option<DateOrder>,
    pub currency: Option<String>,
    pub sheets: Vec<ExplainedSheet>,
}

impl Explained {
    /// Columns with a header that nothing is taken from: `Rates!K 'Comment'`, `K 'Comment'` of a CSV file.
    pub fn left_out(&self) -> Vec<String> {
        let of_sheet = |sheet: &ExplainedSheet| {
            let name = if sheet.name.is_empty() { String::new() } else { format!("{}!", sheet.name) };
            let columns = sheet.columns.iter().filter(|c| c.column.is_none() && !c.header.is_empty());
            columns.map(|c| format!("{name}{} '{}'", c.letter, c.header)).collect::<Vec<_>>()
        };
        self.sheets.iter().filter(|s| matches!(s.used_as, "rates" | "codes")).flat_map(of_sheet).collect()
    }
}

/// One sheet of the file.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ExplainedSheet {
    pub name: String,
    /// `rates`, `codes` (joined to the rates by destination), `notes` (no header was found), `hidden` or `not asked for`.
    pub used_as: &'static str,
    pub header_row: u64,
    pub columns: Vec<ExplainedColumn>,
    /// Rows with a code, blank ones, and ones that are only a remark.
    pub rows: u64,
    pub blank: u64,
    pub remarks: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct ExplainedColumn {
    pub letter: String,
    pub header: String,
    /// None: of no use to the import.
    pub column: Option<Column>,
}
