//! A workbook's cells as they stand, for files that are no rate sheets: carriers' CDRs.

use chrono_tz::Tz;

use super::{Cell, Mapping, MAX_ROWS, Remark, SheetProblems, SheetReader};

/// One sheet: its name, and its rows that are not blank with their numbers.
pub type PlainSheet = (String, Vec<(u64, Vec<Cell>)>);

impl SheetReader {
    /// A reader that keeps every cell. `sheets`: those that are read; empty = every visible one.
    pub fn plain(sheets: Vec<String>) -> SheetReader {
        let mut reader = SheetReader::new(Mapping { sheets, ..Mapping::default() }, Tz::UTC);
        reader.plain = Some(Vec::new());
        reader
    }

    /// Takes a row of the sheet begun; false where this is no plain reader.
    pub(super) fn keep(&mut self, number: u64, cells: &[Cell]) -> bool {
        let name = self.sheets.last().map_or("", |s| s.name.as_str());
        let Some(plain) = &mut self.plain else { return false };
        if plain.last().is_none_or(|(last, _)| last != name) {
            plain.push((name.to_owned(), Vec::new()));
        }
        if let Some((name, rows)) = plain.last_mut() {
            if rows.len() < MAX_ROWS {
                rows.push((number, cells.to_vec()));
            } else if rows.len() == MAX_ROWS && self.problems.total() == 0 {
                self.problems.add(Remark::new(name, number, None, format!("more than {MAX_ROWS} rows: split the file")));
            }
        }
        true
    }

    /// The sheets that have rows, or what is wrong with the file.
    pub fn finish_plain(self) -> Result<Vec<PlainSheet>, SheetProblems> {
        if self.problems.total() == 0 { Ok(self.plain.unwrap_or_default()) } else { Err(self.problems) }
    }
}
