//! What an import changes, for whoever approves it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tollgate_schemas::time::format_rfc3339;

use super::{Change, Covered, Line, Mode, Order, merge::Draft};
use crate::deck::Deck;

/// Lines told one by one; the counts are of all.
pub const MAX_LINES: usize = 5_000;

/// The difference between the deck in force and what it would become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    pub deck: String,
    pub mode: Mode,
    /// When it was made: notice counts from here.
    pub at: String,
    pub currency: String,
    /// None for a deck's first sheet.
    pub base_version: Option<String>,
    pub version: String,
    /// Rows of the new deck.
    pub rows: u64,
    /// Codes by [`Change`].
    pub counts: BTreeMap<String, u64>,
    /// Codes by flag.
    pub flags: BTreeMap<String, u64>,
    pub notice_days: u32,
    pub jump_percent: u32,
    /// Why short notice was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_notice: Option<String>,
    /// Rows of the sheet that are over, or were replaced before now: they change nothing.
    pub over: u64,
    /// What changes, the alarming first, then by code; unchanged codes are only counted.
    pub lines: Vec<Line>,
    /// Lines beyond [`MAX_LINES`].
    pub lines_left_off: u64,
    /// R-16 `covered_by_parent_prefix`.
    pub covered_by_parent_prefix: Vec<Covered>,
    pub covered_total: u64,
    /// What the compiler says of the new deck.
    pub warnings: Vec<String>,
    /// Columns of the sheet that nothing was taken from: `K 'Comment'`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl Preview {
    pub fn count(&self, change: Change) -> u64 {
        self.counts.get(change.name()).copied().unwrap_or(0)
    }

    /// Whether anything changes at all.
    pub fn changes(&self) -> bool {
        self.base_version.as_ref() != Some(&self.version)
    }
}

pub(super) fn of(name: &str, old: Option<&Deck>, new: &Deck, order: &Order, drafts: Vec<Draft>, covered: (Vec<Covered>, u64), (over, unchanged): (u64, u64)) -> Preview {
    let mut counts: BTreeMap<String, u64> = Change::ALL.map(|c| (c.name().to_owned(), 0)).into();
    counts.insert(Change::Unchanged.name().to_owned(), unchanged);
    let mut flags: BTreeMap<String, u64> = BTreeMap::new();
    for Draft { line, .. } in &drafts {
        *counts.entry(line.change.name().to_owned()).or_default() += 1;
        for flag in &line.flags {
            *flags.entry(flag.name().to_owned()).or_default() += 1;
        }
    }
    let mut lines: Vec<Line> = drafts.into_iter().map(|d| d.line).filter(|l| l.change != Change::Unchanged || !l.flags.is_empty()).collect();
    let alarming = |l: &Line| l.flags.iter().any(super::Flag::is_alarming);
    lines.sort_by_cached_key(|l| (!alarming(l), l.prefix.clone(), l.origin_group.clone(), l.effective.clone()));
    let lines_left_off = lines.len().saturating_sub(MAX_LINES) as u64;
    lines.truncate(MAX_LINES);
    Preview {
        deck: name.to_owned(),
        mode: order.mode,
        at: format_rfc3339(order.now_us),
        currency: new.currency().to_owned(),
        base_version: old.map(|d| d.version().to_owned()),
        version: new.version().to_owned(),
        rows: new.len() as u64 + new.origin_rows().count() as u64,
        counts,
        flags,
        notice_days: order.notice_days,
        jump_percent: order.jump_percent,
        short_notice: order.short_notice.clone(),
        over,
        lines,
        lines_left_off,
        covered_by_parent_prefix: covered.0,
        covered_total: covered.1,
        warnings: new.warnings().iter().map(ToString::to_string).collect(),
        left_out: Vec::new(),
    }
}
