//! First and next seconds, from one column or two.

use super::Reading;
use crate::{
    import::Action,
    sheet::{Column, cell::Value, reader::Raw},
};

/// A day, as decks have it.
const MAX_SECONDS: u32 = 86_400;

impl Reading<'_> {
    pub(super) fn increments(&mut self, raw: &Raw, action: Action) -> Option<(u32, u32)> {
        let (both, initial, next) = (raw.cells[Column::Increments as usize], raw.cells[Column::Initial as usize], raw.cells[Column::Increment as usize]);
        let nothing = both == 0 && initial == 0 && next == 0;
        if nothing {
            // What is closed or blocked costs nothing.
            let free = (action != Action::Set).then_some((1, 1));
            let default = self.default_increments.or(free);
            if default.is_none() {
                let column = [Column::Increments, Column::Initial].into_iter().find(|c| self.has(raw, *c));
                self.problem(raw, column, "no increments: say them with --increments, as 60/60 (first/next seconds)");
            }
            return default;
        }
        if both != 0 {
            return self.pair(raw, Column::Increments, both);
        }
        let mut first = self.pair(raw, Column::Initial, initial).map(|(f, _)| f);
        let mut second = self.pair(raw, Column::Increment, next).map(|(_, n)| n);
        // One of two, where the sheet has both columns, is a hole.
        match (initial, next) {
            (0, _) if self.default_increments.is_some() => first = self.default_increments.map(|(f, _)| f),
            (_, 0) if self.default_increments.is_some() => second = self.default_increments.map(|(_, n)| n),
            (0, _) => self.problem(raw, Some(Column::Initial), "empty: want the first seconds"),
            (_, 0) => {
                let column = if self.has(raw, Column::Increment) { Column::Increment } else { Column::Initial };
                self.problem(raw, Some(column), "no next increment beside the first: say them with --increments, as 60/60, or map the column");
            }
            _ => {}
        }
        if second == Some(0) {
            self.problem(raw, Some(Column::Increment), "an increment of 0 seconds: want 1 or more");
            return None;
        }
        Some((first?, second?))
    }

    fn pair(&mut self, raw: &Raw, column: Column, id: u32) -> Option<(u32, u32)> {
        if id == 0 {
            return None;
        }
        let read = match self.seconds.get(&id) {
            Some(read) => read.clone(),
            None => {
                let value = &self.values[id as usize];
                let read = match value {
                    Value::Date(date) => Err(format!("the spreadsheet has made the date {} of these increments: format the column as text", date.format("%Y-%m-%d"))),
                    other => pair(&other.to_string()),
                };
                self.seconds.insert(id, read.clone());
                read
            }
        };
        match read {
            Ok((first, next)) if next == 0 && column == Column::Increments => {
                self.problem(raw, Some(column), format!("'{first}/{next}': an increment of 0 seconds: want 1 or more"));
                None
            }
            Ok(pair) => Some(pair),
            Err(e) => {
                self.problem(raw, Some(column), e);
                None
            }
        }
    }
}

/// `60/60`, `30/6`, `1/1/1`, or one number for both.
pub(super) fn pair(text: &str) -> Result<(u32, u32), String> {
    let bad = || format!("'{text}' is not increments: want first/next seconds, as 60/60 or 30/6");
    let parts: Vec<&str> = text.split(['/', '+', ':', '-']).map(|p| p.trim().trim_end_matches("sec").trim_end_matches('s').trim_end_matches(".0").trim()).collect();
    let numbers: Vec<u32> = parts.iter().map(|p| p.parse().ok().filter(|n| *n <= MAX_SECONDS)).collect::<Option<_>>().ok_or_else(bad)?;
    match numbers.as_slice() {
        [both] => Ok((*both, *both)),
        [first, next] => Ok((*first, *next)),
        // The third is the rest of the call where it repeats the second, or a grace of none.
        [first, next, third] if *third == 0 || third == next => Ok((*first, *next)),
        [_, _, _] => Err(format!("'{text}' has a third number: a grace belongs in the deck document, not in a row; write first/next")),
        _ => Err(bad()),
    }
}
