//! The second fold of figures whose keys span partitions: topic `quality` in, alerts out (design §2, keys).
//!
//! **Merging.** Of each (kind, key, window, source partition) the highest revision holds; what is equal or lower changes
//! nothing, so repetitions and any order give the same figures. A key's figures are the sums over its source partitions.
//!
//! **Judging.** Each change of a key is judged by the rules of its kind (`rules.rs`), over windows of event time up to the
//! newest window of this partition. A verdict is raised once per rule and key, again only after the cool-down or when it
//! turns critical. Verdicts are alerts: nothing is blocked for what many accounts do together (F-37 asks four eyes for that).
//!
//! **Limits.** Windows are kept [`KEEP_US`] (R-37: 30 minutes of history); at most [`MAX_SHARES`] shares of figures in one
//! partition, beyond which a sixteenth of the keys, those not heard of for longest, are forgotten with what was said of them.
//! [`OTHER`] is merged and never judged: it is no one key.

mod rules;
mod snapshot;

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use tollgate_schemas::{
    event::Body,
    log::Topic,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{AlertRaised, Event, PartialPublished},
};

use crate::{
    figures::{Figure, Figures, Kind, OTHER},
    memo::Severity,
    partials::WINDOW_US,
};

pub use rules::{Rule, Thresholds};

/// Name of the stage, part of its outputs' ids.
pub const NAME: &str = "merged";
pub const KEEP_US: i64 = 30 * WINDOW_US;
/// Shares (key, window, source partition) in one partition, about 150 bytes each.
pub const MAX_SHARES: usize = 262_144;
/// Longest key that is taken.
const MAX_KEY: usize = 512;
const LAST_US: i64 = 8_000_000_000_000_000;

/// Figures for the operator, since the instance was made; no part of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub merged: u64,
    /// Repeated or overtaken by a later revision.
    pub repeated: u64,
    /// Of windows no longer kept.
    pub too_late: u64,
    /// Of kinds this program does not know.
    pub unknown: u64,
    pub keys_dropped: u64,
    pub alerts: u64,
}

/// One source partition's figures of a key in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share {
    revision: u64,
    figures: Figures,
}

#[derive(Debug, Default, PartialEq)]
struct Key {
    /// By beginning of the window and source partition.
    shares: BTreeMap<(i64, u16), Share>,
    /// When each rule last spoke: (rule, critical, window time).
    said: Vec<(Rule, bool, i64)>,
}

pub struct Merged {
    partition: u16,
    thresholds: Thresholds,
    /// End of the newest window.
    clock_us: i64,
    keys: HashMap<(Kind, Box<str>), Key, FixedState>,
    shares: usize,
    max_shares: usize,
    stats: Stats,
}

impl Merged {
    pub fn new(partition: u16) -> Merged {
        Merged::with(partition, Thresholds::default(), MAX_SHARES)
    }

    pub fn with(partition: u16, thresholds: Thresholds, max_shares: usize) -> Merged {
        Merged { partition, thresholds, clock_us: 0, keys: HashMap::default(), shares: 0, max_shares, stats: Stats::default() }
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A key's figures over windows that begin at or after `from_us` and before `to_us` and are kept, all source partitions
    /// together.
    pub fn figures(&self, kind: Kind, key: &str, from_us: i64, to_us: i64) -> Figures {
        let from_us = from_us.max(self.clock_us - KEEP_US);
        self.keys.get(&(kind, key.into())).map_or_else(Figures::default, |k| k.sum(from_us, to_us.max(from_us)))
    }

    /// False when the partial says nothing new.
    fn merge(&mut self, kind: Kind, partial: &PartialPublished, source: u16) -> bool {
        let start_us = partial.window_start_us;
        self.clock_us = self.clock_us.max(start_us + WINDOW_US);
        if start_us + KEEP_US < self.clock_us {
            self.stats.too_late += 1;
            return false;
        }
        let share = Share { revision: partial.revision, figures: Figures::of(&partial.figures) };
        let key = self.keys.entry((kind, partial.key.as_str().into())).or_default();
        match key.shares.get_mut(&(start_us, source)) {
            Some(known) if known.revision >= share.revision => {
                self.stats.repeated += 1;
                return false;
            }
            Some(known) => *known = share,
            None => {
                key.shares.insert((start_us, source), share);
                self.shares += 1;
                // A key that goes on sheds what is old as it goes; one that stopped is met at the cap.
                let old = key.shares.range(..(self.clock_us - KEEP_US, 0)).count();
                for _ in 0..old {
                    key.shares.pop_first();
                }
                self.shares -= old;
            }
        }
        self.stats.merged += 1;
        true
    }

    fn judge(&mut self, kind: Kind, name: &str, cause: &Event, out: &mut Outputs) {
        let Some(key) = self.keys.get_mut(&(kind, name.into())) else { return };
        for hit in rules::judge(kind, name, key, self.clock_us, &self.thresholds) {
            let (critical, now_us) = (hit.severity == Severity::Critical, self.clock_us);
            let quiet = |(rule, was_critical, at_us): &(Rule, bool, i64)| {
                *rule == hit.rule && (*was_critical || !critical) && now_us - at_us < self.thresholds.cool_down_us
            };
            if key.said.iter().any(quiet) {
                continue;
            }
            key.said.retain(|(rule, ..)| *rule != hit.rule);
            key.said.push((hit.rule, critical, now_us));
            let body = Body::AlertRaised(AlertRaised {
                rule: hit.rule.name().to_owned(),
                severity: hit.severity.name().to_owned(),
                dest_group: hit.dest_group,
                features: hit.features,
                explanation: hit.explanation,
                first_us: hit.first_us,
                control_position: i64::try_from(cause.control_position).unwrap_or(i64::MAX),
                ..AlertRaised::default()
            });
            self.stats.alerts += 1;
            out.push(Topic::Alerts, self.partition, Event::derived(NAME, cause, hit.rule.name(), 0, body));
        }
    }

    /// Forgets what is old everywhere, then, while it is still too much, the keys not heard of for longest.
    fn make_room(&mut self) {
        if self.shares <= self.max_shares {
            return;
        }
        let oldest_us = self.clock_us - KEEP_US;
        for key in self.keys.values_mut() {
            key.shares = key.shares.split_off(&(oldest_us, 0));
        }
        self.keys.retain(|_, key| !key.shares.is_empty());
        self.shares = self.keys.values().map(|k| k.shares.len()).sum();
        // Some room at once, or the next share would come here again.
        let enough = self.max_shares - self.max_shares / 16;
        while self.shares > enough {
            let mut by_age: Vec<_> = self.keys.iter().map(|(name, key)| (key.newest_us(), name.clone())).collect();
            let batch = (by_age.len() / 16).max(1);
            by_age.sort_unstable();
            for (_, name) in &by_age[..batch] {
                self.shares -= self.keys.remove(name).map_or(0, |k| k.shares.len());
            }
            self.stats.keys_dropped += batch as u64;
        }
    }
}

impl Key {
    fn sum(&self, from_us: i64, to_us: i64) -> Figures {
        let mut sum = Figures::default();
        self.shares.range((from_us, 0)..(to_us, 0)).for_each(|(_, share)| sum.add_all(&share.figures));
        sum
    }

    /// Different accounts, at least: each source partition's largest count, since accounts keep to their partition and
    /// may come again in each window.
    fn accounts(&self, from_us: i64, to_us: i64) -> i64 {
        let mut largest: BTreeMap<u16, i64> = BTreeMap::new();
        for ((_, source), share) in self.shares.range((from_us, 0)..(to_us, 0)) {
            let most = largest.entry(*source).or_default();
            *most = share.figures.get(Figure::Accounts).max(*most);
        }
        largest.values().sum()
    }

    fn first_us(&self, from_us: i64) -> i64 {
        self.shares.range((from_us, 0)..).next().map_or(from_us, |((start_us, _), _)| *start_us)
    }

    fn newest_us(&self) -> i64 {
        self.shares.last_key_value().map_or(0, |((start_us, _), _)| *start_us)
    }
}

impl Stage for Merged {
    fn name(&self) -> &'static str {
        NAME
    }

    fn snapshot_version(&self) -> u32 {
        snapshot::VERSION
    }

    fn apply(&mut self, _offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        let Some(Body::PartialPublished(partial)) = &event.body else { return Ok(()) };
        let start_us = partial.window_start_us;
        let minute = i64::from(partial.window_s) * 1_000_000 == WINDOW_US && start_us % WINDOW_US == 0;
        if !minute || !(0..=LAST_US).contains(&start_us) {
            return Err(Poison(format!("a window of {} s from {start_us} us is none of ours", partial.window_s)));
        }
        if partial.key.is_empty() || partial.key.len() > MAX_KEY {
            return Err(Poison(format!("a key of {} bytes, want 1 to {MAX_KEY}", partial.key.len())));
        }
        let source = u16::try_from(partial.source_partition).map_err(|_| Poison(format!("there is no partition {}", partial.source_partition)))?;
        let Some(kind) = Kind::from_name(&partial.kind) else {
            self.stats.unknown += 1;
            return Ok(());
        };
        if self.merge(kind, partial, source) {
            if partial.key != OTHER {
                self.judge(kind, &partial.key, event, out);
            }
            self.make_room();
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::take(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let empty = Merged::with(self.partition, self.thresholds, self.max_shares);
        *self = snapshot::read(state, empty).map_err(|problem| BadSnapshot { stage: NAME, problem })?;
        Ok(())
    }
}

/// Keys in an order that means the same everywhere.
fn sorted(keys: &HashMap<(Kind, Box<str>), Key, FixedState>) -> Vec<(&(Kind, Box<str>), &Key)> {
    let mut all: Vec<_> = keys.iter().collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all
}
