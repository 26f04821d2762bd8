//! Rows into the deck in force, code by code.

use std::{collections::{BTreeMap, HashMap, HashSet}, sync::Arc};

use tollgate_schemas::time::format_rfc3339;

use super::{
    Action, Change, Flag, ImportProblems, ImportRow, InForce, Line, LinePrice, Mode, Order, Prepared, Start,
    base::{Base, BaseRow, Key},
    country, covered, preview,
};
use crate::deck::{Deck, DeckOptions, Lookup};

const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// A line before the new deck is there to look things up in.
pub(super) struct Draft {
    pub line: Line,
    pub at_us: i64,
}

struct Merge<'a> {
    base: Base,
    /// None for a first sheet.
    in_force: Option<InForce<'a>>,
    order: &'a Order,
    problems: ImportProblems,
    drafts: Vec<Draft>,
    /// New ends of rows of the base, rows taken out of it, rows put in.
    ends: HashMap<usize, i64>,
    dropped: HashMap<usize, ()>,
    added: Vec<(ImportRow, i64, Option<i64>)>,
    /// Rows of the sheet that are over already, or were replaced before now.
    over: u64,
    /// Rows that say what is in force, and nothing to look at: only counted.
    unchanged: u64,
}

pub(super) fn prepare(name: &str, options: &DeckOptions, in_force: Option<InForce<'_>>, rows: &[ImportRow], order: &Order, others: &[(&str, &Deck)]) -> Result<Prepared, ImportProblems> {
    let mut problems = ImportProblems::default();
    let currency = in_force.map_or(options.currency.as_str(), |f| f.deck.currency());
    if let Some(other) = order.currency.as_deref().filter(|c| *c != currency) {
        problems.add("", "", format!("the sheet is in {other}, the deck in {currency}: import it as another deck, or ask for the sheet in {currency}"));
    }
    let base = match in_force.map(|f| Base::read(f.csv, f.timezone)) {
        None => Base::empty(),
        Some(Ok(base)) => base,
        Some(Err(e)) => {
            problems.add("", "", e);
            return Err(problems);
        }
    };
    let mut merge = Merge { base, in_force, order, problems, drafts: Vec::new(), ends: HashMap::new(), dropped: HashMap::new(), added: Vec::new(), over: 0, unchanged: 0 };
    let mut by_code: BTreeMap<Key, Vec<&ImportRow>> = BTreeMap::new();
    for row in rows {
        by_code.entry((row.prefix, row.origin_group.clone())).or_default().push(row);
    }
    for (key, rows) in &by_code {
        merge.code(key, rows);
    }
    merge.close_missing(&by_code);
    let touched = !(merge.ends.is_empty() && merge.dropped.is_empty() && merge.added.is_empty());
    let csv = match in_force {
        Some(f) if !touched => f.csv.to_vec(),
        _ => merge.base.write(&merge.ends, &merge.dropped, &merge.added),
    };
    let options = DeckOptions { currency: currency.to_owned(), ..options.clone() };
    let deck = match Deck::compile(name, &csv, &options) {
        Ok(deck) => deck,
        Err(bad) => {
            if merge.problems.total() == 0 {
                merge.problems.add("", "", format!("the merged deck does not compile: {bad}"));
            }
            return Err(merge.problems);
        }
    };
    let Merge { mut problems, mut drafts, over, unchanged, .. } = merge;
    let old = in_force.map(|f| f.deck);
    for draft in &mut drafts {
        judge(draft, old, &deck, order, &mut problems);
    }
    if problems.total() > 0 {
        return Err(problems);
    }
    let covered = covered::covered_by_parent(&deck, others, order.now_us);
    let preview = preview::of(name, old, &deck, order, drafts, covered, (over, unchanged));
    Ok(Prepared { csv, deck, preview })
}

fn price_of(row: &ImportRow) -> LinePrice {
    LinePrice {
        rate_e12: row.rate.map_or(0, |(e12, _)| e12),
        rate_places: row.rate.map_or(0, |(_, places)| places),
        connect_fee_e12: row.connect_fee_e12,
        initial_s: row.initial_s,
        increment_s: row.increment_s,
        inter_e12: row.jurisdiction.inter_e12,
        intra_e12: row.jurisdiction.intra_e12,
        indeterminate_e12: row.jurisdiction.indeterminate_e12,
        blocked: row.action == Action::Block,
        route_class: row.route_class.clone(),
        destination: row.destination.clone(),
    }
}

fn in_force_at(rows: &[BaseRow], at: i64) -> Option<&BaseRow> {
    rows.iter().rev().find(|r| r.from <= at && at < r.to)
}

fn shown(us: i64) -> String {
    if us == i64::MIN { "since ever".to_owned() } else { format_rfc3339(us) }
}

impl Merge<'_> {
    /// A code that the sheet lists.
    fn code(&mut self, key: &Key, rows: &[&ImportRow]) {
        let now = self.order.now_us;
        let base: Vec<BaseRow> = self.base.rows.get(key).cloned().unwrap_or_default();
        let mut timed: Vec<(i64, &ImportRow)> = rows.iter().map(|r| (match r.from { Start::Now => now, Start::At(us) => us }, *r)).collect();
        timed.sort_by_key(|(from, _)| *from);
        for pair in timed.windows(2) {
            let ((_, before), (from, row)) = (pair[0], pair[1]);
            if before.to.is_some_and(|to| to > from) {
                self.problems.add(&row.source, key.0.digits(), format!("its window overlaps that of row {} (R-11): end that one at {}", before.source, shown(from)));
            }
        }
        if self.in_force.is_some() {
            // Of what is past only the row that holds now says anything.
            let current = timed.partition_point(|(from, _)| *from <= now).saturating_sub(1);
            self.over += current as u64;
            timed.drain(..current);
            if timed.first().is_some_and(|(_, r)| r.to.is_some_and(|to| to <= now)) {
                timed.remove(0);
                self.over += 1;
            }
        }
        let mut changed_from: Option<i64> = None;
        for at in 0..timed.len() {
            let (mut from, row) = timed[at];
            let (digits, new) = (key.0.digits(), price_of(row));
            let mut flags = Vec::new();
            let look_at = if self.in_force.is_some() { from.max(now) } else { from };
            let held = in_force_at(&base, look_at);
            if changed_from.is_none() && self.says_nothing_new(row, &new, held) {
                let held_price = held.map(|h| h.price.clone());
                if let (Some(to), Some(held)) = (row.to.filter(|to| held.is_some_and(|h| h.to > *to)), held) {
                    self.ends.insert(held.at, to);
                    flags.push(Flag::Ends { at: shown(to) });
                    self.draft(key, row, Change::Changed, held_price.clone(), held_price, to, flags);
                } else {
                    if row.action == Action::Close && held.is_none() {
                        flags.push(Flag::NothingToClose);
                    }
                    let new = held_price.clone();
                    self.draft(key, row, Change::Unchanged, held_price, new, look_at, flags);
                }
                continue;
            }
            if self.in_force.is_some() && from < now {
                if !self.order.past_now {
                    let was = held.map_or_else(|| "no price of its own".to_owned(), |h| h.price.to_string());
                    self.problems.add(&row.source, digits, format!("effective {} is in the past, when the deck had {was} (R-13): say --past now to take it from now on, or ask for a date to come", shown(from)));
                }
                flags.push(Flag::MovedToNow { was: shown(from) });
                from = now;
            }
            let before = match changed_from {
                Some(_) => timed[..at].last().filter(|(_, r)| r.action != Action::Close && r.to.is_none_or(|to| to >= from)).map(|(_, r)| price_of(r)),
                None => held.map(|h| h.price.clone()),
            };
            if changed_from.is_none() {
                changed_from = Some(from);
                self.cut(&base, from, row.action == Action::Close, &mut flags);
            }
            let next = timed.get(at + 1).map(|(from, _)| *from);
            let to = match (row.to, timed.get(at + 1)) {
                (None, Some((next, r))) if r.action == Action::Close => Some(*next),
                (to, _) => to,
            };
            if let (Some(end), Some(next)) = (to, next)
                && end < next
            {
                flags.push(Flag::Gap { from: shown(end), to: shown(next) });
            }
            let change = match row.action {
                Action::Close => Change::Closed,
                Action::Block => Change::Blocked,
                Action::Set => compare(before.as_ref().filter(|p| !p.blocked), &new),
            };
            if row.action != Action::Close {
                self.added.push((ImportRow { from: Start::At(from), ..row.clone() }, from, to));
            }
            let new = Some(new).filter(|_| row.action != Action::Close);
            self.draft(key, row, change, before, new, from, flags);
        }
    }

    fn says_nothing_new(&self, row: &ImportRow, new: &LinePrice, held: Option<&BaseRow>) -> bool {
        match (row.action, held) {
            (Action::Close, None) => true,
            (Action::Block, Some(held)) => held.price.blocked,
            (Action::Set, Some(held)) => !held.price.blocked && held.price.same(new),
            _ => false,
        }
    }

    /// From `from` on the base says nothing any more.
    fn cut(&mut self, base: &[BaseRow], from: i64, close: bool, flags: &mut Vec<Flag>) {
        let mut withdrawn = 0;
        for row in base {
            if row.from >= from {
                self.dropped.insert(row.at, ());
                withdrawn += 1;
            } else if row.to > from && (close || row.ends) {
                self.ends.insert(row.at, from);
            }
        }
        if close && let Some(last) = base.iter().rfind(|r| r.from < from && r.to >= from && !r.ends) {
            // Its successor, which closed it, is gone.
            self.ends.insert(last.at, from);
        }
        if withdrawn > 0 {
            flags.push(Flag::Withdraws { rows: withdrawn });
        }
    }

    /// what a full sheet does not list ends.
    fn close_missing(&mut self, listed: &BTreeMap<Key, Vec<&ImportRow>>) {
        let now = self.order.now_us;
        let countries: HashSet<String> = match self.order.mode {
            Mode::Partial => return,
            Mode::Full => HashSet::new(),
            Mode::FullCountry => listed.keys().map(|(prefix, _)| country::of(*prefix)).collect(),
        };
        let starts = || listed.values().flatten().filter_map(|r| match r.from {
            Start::At(us) if us > now => Some(us),
            _ => None,
        });
        let at = self.order.closes_us.or_else(|| starts().min()).unwrap_or(now).max(now);
        let missing: Vec<(Key, Vec<BaseRow>)> = self
            .base
            .rows
            .iter()
            .filter(|(key, rows)| !listed.contains_key(*key) && rows.iter().any(|r| r.to > at))
            .filter(|(key, _)| self.order.mode == Mode::Full || countries.contains(&country::of(key.0)))
            .map(|(key, rows)| (key.clone(), rows.clone()))
            .collect();
        for ((prefix, origin_group), rows) in missing {
            let mut flags = vec![Flag::NotListed];
            self.cut(&rows, at, true, &mut flags);
            let old = in_force_at(&rows, at - 1).or(rows.last()).map(|r| r.price.clone());
            let line = Line {
                prefix: prefix.digits().to_owned(),
                origin_group: origin_group.to_string(),
                destination: old.as_ref().map(|p| p.destination.to_string()).unwrap_or_default(),
                change: Change::Closed,
                old,
                new: None,
                effective: shown(at),
                flags,
                source: String::new(),
            };
            self.drafts.push(Draft { line, at_us: at });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one line's fields, from two places")]
    fn draft(&mut self, key: &Key, row: &ImportRow, change: Change, old: Option<LinePrice>, new: Option<LinePrice>, at_us: i64, mut flags: Vec<Flag>) {
        let rate = old.as_ref().filter(|p| !p.blocked).map(|p| p.rate_e12);
        if let Some(said) = row.previous_e12.filter(|said| rate.is_some_and(|r| r != *said)) {
            flags.push(Flag::PreviousDiffers { said: tollgate_schemas::money::format_rate(said) });
        }
        let plain = change != Change::Changed && !matches!((row.claimed, change), ("", _));
        if plain && row.claimed != change.name() {
            flags.push(Flag::ClaimsOtherwise { said: row.claimed.to_owned() });
        }
        if change == Change::Unchanged && flags.is_empty() {
            self.unchanged += 1;
            return;
        }
        let line = Line {
            prefix: key.0.digits().to_owned(),
            origin_group: Arc::clone(&key.1).to_string(),
            destination: row.destination.to_string(),
            change,
            old,
            new,
            effective: shown(at_us),
            flags,
            source: row.source.to_string(),
        };
        self.drafts.push(Draft { line, at_us });
    }
}

fn compare(old: Option<&LinePrice>, new: &LinePrice) -> Change {
    match old {
        None => Change::New,
        Some(old) if new.rate_e12 > old.rate_e12 => Change::Increased,
        Some(old) if new.rate_e12 < old.rate_e12 => Change::Decreased,
        Some(old) if old.same(new) => Change::Unchanged,
        Some(_) => Change::Changed,
    }
}

/// What the two decks as wholes say of a change: other prefixes that price its numbers, notice, jumps.
fn judge(draft: &mut Draft, old_deck: Option<&Deck>, new_deck: &Deck, order: &Order, problems: &mut ImportProblems) {
    let (line, at) = (&mut draft.line, draft.at_us);
    if line.change == Change::Unchanged || matches!(line.flags.first(), Some(Flag::Ends { .. })) {
        return;
    }
    // Rows of origin groups stand beside the others, and price nothing alone.
    let shorter = |deck: &Deck, at: i64| match deck.lookup(&line.prefix, at) {
        Lookup::Row(row) if row.prefix_len() < line.prefix.len() => Some((row.prefix(), price_of_row(&row))),
        _ => None,
    };
    let mut was = line.old.clone().filter(|p| !p.blocked);
    let mut becomes = line.new.clone();
    if line.origin_group.is_empty() {
        match line.change {
            Change::New => {
                if let Some((prefix, price)) = old_deck.and_then(|d| shorter(d, at)) {
                    was = Some(price.clone());
                    line.flags.push(Flag::BrokenOutOf { prefix, price });
                }
            }
            Change::Closed => match shorter(new_deck, at) {
                Some((prefix, price)) => {
                    becomes = Some(price.clone());
                    line.flags.push(Flag::FallsTo { prefix, price });
                }
                None if !line.flags.contains(&Flag::NothingToClose) => line.flags.push(Flag::NoPrice),
                None => {}
            },
            _ => {}
        }
    }
    let (Some(was), Some(becomes)) = (was, becomes) else { return };
    let moved = (i128::from(becomes.rate_e12) - i128::from(was.rate_e12)).abs();
    if !becomes.blocked && moved * 100 > i128::from(was.rate_e12) * i128::from(order.jump_percent) {
        line.flags.push(Flag::Suspicious);
    }
    let notice = at.saturating_sub(order.now_us);
    if was.is_dearer_in(&becomes) && notice < i64::from(order.notice_days) * DAY_US {
        let hours = notice.max(0) / HOUR_US;
        if order.short_notice.is_none() {
            let text = format!("dearer ({was} to {becomes}) from {} with {hours} h of notice, the deck's is {} days (R-13): ask for a later date, or take it with --short-notice REASON", line.effective, order.notice_days);
            problems.add(&line.source, &line.prefix, text);
        }
        line.flags.push(Flag::ShortNotice { hours });
    }
}

fn price_of_row(row: &crate::deck::RowRef<'_>) -> LinePrice {
    let j = row.jurisdiction_rates().unwrap_or_default();
    LinePrice {
        rate_e12: row.rate_e12(),
        rate_places: row.rate_text().split_once('.').map_or(0, |(_, f)| f.len() as u8),
        connect_fee_e12: row.connect_fee_e12(),
        initial_s: row.initial_s(),
        increment_s: row.increment_s(),
        inter_e12: j.inter_e12,
        intra_e12: j.intra_e12,
        indeterminate_e12: j.indeterminate_e12,
        blocked: row.blocked(),
        route_class: row.route_class().into(),
        destination: row.destination().into(),
    }
}
