//! What is wrong with a carrier's sheet: all of it at once, by sheet, row and column.

use std::fmt;

use serde::Serialize;

use super::cell::letters;

/// Problems told one by one; the rest are counted.
pub const MAX_PROBLEMS: usize = 1000;

/// Something about a cell, a row or a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Sheet of the workbook; empty for CSV.
    pub sheet: String,
    /// Row of the sheet, or line of the file, from 1; 0 = about no row.
    pub row: u64,
    /// `C`; empty = about the row.
    pub column: String,
    /// What the header calls it.
    pub header: String,
    pub text: String,
}

impl Remark {
    pub(super) fn new(sheet: &str, row: u64, column: Option<(usize, &str)>, text: impl fmt::Display) -> Remark {
        let (column, header) = column.map_or_else(Default::default, |(at, header)| (letters(at), header.to_owned()));
        Remark { sheet: sheet.to_owned(), row, column, header, text: text.to_string() }
    }

    /// `Rates!C12` in a workbook, `12:C` in a CSV file; empty when it is about the whole.
    pub fn place(&self) -> String {
        match (self.sheet.as_str(), self.row) {
            ("", 0) => self.column.clone(),
            (sheet, 0) => sheet.to_owned(),
            ("", row) if self.column.is_empty() => row.to_string(),
            ("", row) => format!("{row}:{}", self.column),
            (sheet, row) => format!("{sheet}!{}{row}", self.column),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        if !self.header.is_empty() {
            write!(f, " ({})", self.header)?;
        }
        f.write_str(if self.place().is_empty() { "" } else { ": " })?;
        f.write_str(&self.text)
    }
}

/// Why a sheet was refused. Nothing of it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SheetProblems {
    /// In the order of the file, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Remark>,
    /// Problems beyond those.
    pub more: u64,
}

impl SheetProblems {
    pub(super) fn add(&mut self, remark: Remark) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(remark);
        } else {
            self.more += 1;
        }
    }

    pub fn total(&self) -> u64 {
        self.problems.len() as u64 + self.more
    }
}

impl fmt::Display for SheetProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        write!(f, "{} problem{}", self.total(), if self.total() == 1 { "" } else { "s" })?;
        if self.more > 0 { write!(f, ", {} of them not told here", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for SheetProblems {}
