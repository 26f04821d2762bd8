//! Codes on one sheet, rates on another: joined by the name of the destination, whole or not at all.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use tollgate_schemas::number::E164;

use super::{Reading, cells::words};
use crate::sheet::{Column, Remark, reader::Raw};

/// Codes by destination, in small letters.
#[derive(Default)]
pub(super) struct Joined {
    codes: HashMap<String, Vec<E164>, FixedState>,
    /// Destinations of the sheet of codes that a rate was found for.
    used: HashMap<String, (), FixedState>,
    first: HashMap<String, Remark, FixedState>,
}

impl Reading<'_> {
    /// Takes in the rows of the sheet of codes.
    pub(super) fn take_codes(&mut self, rows: &[Raw]) {
        let mut joined = Joined::default();
        for raw in rows {
            let codes = self.codes(raw);
            let name = self.destination(raw);
            if name.is_empty() {
                self.problem(raw, Some(Column::Destination), "empty: want the destination whose codes these are");
            }
            // What a code's own row says of dates and changes would be lost in a join.
            for column in [Column::EffectiveFrom, Column::EffectiveTo, Column::Change, Column::Blocked] {
                if raw.cells[column as usize] != 0 {
                    let text = "a code's own date or change on the sheet of codes: a rate's are taken; leave the column out in the mapping file (ignore) if that is right";
                    self.problem(raw, Some(column), text);
                }
            }
            let key = name.to_lowercase();
            joined.first.entry(key.clone()).or_insert_with(|| self.remark(raw, Some(Column::Destination), ""));
            joined.codes.entry(key).or_default().extend(codes);
        }
        self.joined = Some(joined);
    }

    /// Codes of a row of rates.
    pub(super) fn joined_codes(&mut self, raw: &Raw) -> Vec<E164> {
        let name = words(self.value(raw, Column::Destination));
        let key = self.destination(raw).to_lowercase();
        let found = self.joined.as_mut().and_then(|joined| {
            let codes = joined.codes.get(&key).cloned();
            if codes.is_some() {
                joined.used.insert(key, ());
            }
            codes
        });
        found.unwrap_or_else(|| {
            self.problem(raw, Some(Column::Destination), format!("'{name}' has no codes on the sheet of codes: destinations are joined by their names, large and small letters alike"));
            Vec::new()
        })
    }

    /// Destinations with codes and no rate are left out, and told.
    pub(super) fn without_rates(&mut self) {
        let Some(joined) = &self.joined else { return };
        let mut left: Vec<&Remark> = joined.codes.keys().filter(|k| !joined.used.contains_key(*k)).filter_map(|k| joined.first.get(k)).collect();
        left.sort_by_key(|r| r.row);
        if let Some(first) = left.first() {
            let first = (*first).clone();
            let text = "a destination with codes and no rate: left out".to_owned();
            self.notes.insert(text, (left.len() as u64, first));
        }
    }
}
