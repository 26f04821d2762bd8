//! The windows that are kept, each with a table of keys and their figures.

use std::collections::{BTreeMap, BTreeSet};

use super::Stats;
use crate::figures::{Figure, Figures, Kind, MAX_ACCOUNTS, OTHER};

pub const WINDOW_S: u32 = 60;
pub const WINDOW_US: i64 = WINDOW_S as i64 * 1_000_000;
/// Windows are kept this long after they begin: about 15 times [`MAX_KEYS`] rows of three kinds, some 200 bytes each.
pub const KEEP_US: i64 = 15 * WINDOW_US;
/// Keys of one kind in one window, besides [`OTHER`].
pub const MAX_KEYS: usize = 1_024;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub figures: Figures,
    pub accounts: BTreeSet<Box<str>>,
    /// The last one published; 0 = none.
    pub revision: u64,
    /// Changed since.
    pub dirty: bool,
}

impl Row {
    pub fn note_account(&mut self, account: &str) {
        if self.accounts.len() < MAX_ACCOUNTS && !self.accounts.contains(account) {
            self.accounts.insert(account.into());
        }
    }

    pub fn published(&self) -> Figures {
        let mut figures = self.figures;
        figures.add(Figure::Accounts, self.accounts.len() as i64);
        figures
    }
}

pub type Table = BTreeMap<Box<str>, Row>;

/// By beginning of the window.
#[derive(Debug, Default, PartialEq)]
pub struct Tables(pub BTreeMap<i64, [Table; 3]>);

impl Tables {
    /// Changes one row of the window of `at_us`.
    pub fn change(&mut self, clock_us: i64, at_us: i64, kind: Kind, key: &str, stats: &mut Stats, change: impl FnOnce(&mut Row)) {
        let start_us = at_us.div_euclid(WINDOW_US) * WINDOW_US;
        if start_us.saturating_add(KEEP_US) <= clock_us {
            stats.too_late += 1;
            return;
        }
        let table = &mut self.0.entry(start_us).or_default()[kind as usize];
        let key = if table.len() < MAX_KEYS || table.contains_key(key) {
            key
        } else {
            stats.other += 1;
            OTHER
        };
        let row = match table.get_mut(key) {
            Some(row) => row,
            None => table.entry(key.into()).or_default(),
        };
        let before = (row.figures, row.accounts.len());
        change(row);
        row.dirty |= before != (row.figures, row.accounts.len());
    }

    /// Changed rows of windows that are over, oldest window first, then by kind and key.
    pub fn unpublished(&mut self, clock_us: i64) -> impl Iterator<Item = (Kind, &str, i64, &mut Row)> {
        let closed = self.0.iter_mut().take_while(move |(start_us, _)| **start_us + WINDOW_US <= clock_us);
        closed.flat_map(|(start_us, tables)| {
            Kind::ALL.into_iter().zip(tables).flat_map(move |(kind, table)| {
                table.iter_mut().filter(|(_, row)| row.dirty).map(move |(key, row)| (kind, &**key, *start_us, row))
            })
        })
    }

    pub fn drop_old(&mut self, clock_us: i64) {
        while let Some(oldest) = self.0.first_entry().filter(|w| w.key().saturating_add(KEEP_US) <= clock_us) {
            oldest.remove();
        }
    }
}
