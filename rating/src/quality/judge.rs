//! The second fold: topic `quality` in, verdicts out to the same topic and partition, where all carriers of a destination meet.
//!
//! **Merging.** Of each (destination, carrier, codec class, minute, source partition) the highest revision holds; what is equal or lower
//! changes nothing. Sums are kept of minutes (15), quarters of an hour (5) and hours (25), for the windows of R-37: of all calls
//! together, and of each codec class that is known.
//!
//! **Judging**, every [`SAMPLING_US`] of the partition's time, destinations with something new. A carrier is judged by the
//! shortest window with enough first attempts, by Wilson's lower bounds, against the median of its peers: see `evaluate.rs`. So it is
//! of all calls together, and of each class by the calls of that class alone, with a state of its own. False answer is of a carrier,
//! whatever the class.
//!
//! **Hysteresis .** Two bad evaluations in a row demote. From then on its attempts are taken in batches of the least
//! number of samples, each of its own: three good batches in a row promote, not before the hold-down is over. A promoted carrier
//! starts neutral: what was known before is forgotten. No switch follows another within the hold-down, either way.
//!
//! **Publishing.** A verdict is published when a state changed or a figure moved by more than the tolerance, and else at most once
//! a minute: each stands in the log for as long as calls may be explained by it.
//!
//! **Limits.** [`MAX_KEYS`] carriers × destinations in one partition, beyond which the one not heard of for longest is
//! forgotten, demoted ones last, and as many classes of them, beyond which the class not heard of for longest is forgotten: its calls
//! go by all calls again. Counts of a minute are taken for 15 minutes ([`super::LATE_US`]), later ones count nowhere.

mod evaluate;
mod publish;
mod state;

use std::collections::BTreeMap;

use tollgate_schemas::{
    codec::CodecClass,
    event::Body,
    log::Topic,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::{Event, QualityCount, QualityPublished},
};

use super::{Figure, Figures, LAST_US, LATE_US, MINUTE_US, SAMPLING_US};

/// Name of the stage, part of its outputs' ids.
pub const NAME: &str = "quality_judge";
/// About 13 kB each when busy for a day, for all calls and once more for each class.
pub const MAX_KEYS: usize = 1_024;
const QUARTER_US: i64 = 15 * MINUTE_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;
/// Longest name that is taken.
const MAX_NAME: usize = 256;

/// When a carrier is judged, and how. The same for all replays of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// R-37's least samples.
    pub asr_samples: u64,
    pub pdd_samples: u64,
    pub ast_samples: u64,
    pub acd_samples: u64,
    /// Bad: a bound below so many percent of the peers' median.
    pub bad_pct: u64,
    /// Bad: a post-dial delay so many times the peers' median, and so much longer.
    pub pdd_times: u64,
    pub pdd_more_ms: u64,
    ///
    pub demote_after: u32,
    pub promote_after: u32,
    pub hold_down_us: i64,
    /// F-05: score in 1e-2, answered calls, how long the suspicion stands.
    pub fas_score_e2: i32,
    pub fas_samples: u64,
    pub fas_us: i64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            asr_samples: 30,
            pdd_samples: 10,
            ast_samples: 10,
            acd_samples: 20,
            bad_pct: 50,
            pdd_times: 2,
            pdd_more_ms: 4_000,
            demote_after: 2,
            promote_after: 3,
            hold_down_us: 10 * MINUTE_US,
            fas_score_e2: 600,
            fas_samples: 50,
            fas_us: DAY_US,
        }
    }
}

/// Figures for the operator, since the instance was made; no part of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub merged: u64,
    /// Repeated or overtaken by a later revision.
    pub repeated: u64,
    pub too_late: u64,
    pub keys_dropped: u64,
    pub classes_dropped: u64,
    pub verdicts: u64,
    pub switches: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Share {
    revision: u64,
    figures: Figures,
}

/// First attempts of all time: batches are differences of two of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    first: u64,
    answered: u64,
    reached: u64,
    broken: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Carrier {
    /// By beginning of the minute, source partition and codec class.
    shares: BTreeMap<(i64, u16, CodecClass), Share>,
    all: Standing,
    by_class: BTreeMap<CodecClass, Standing>,
    fas_until_us: i64,
}

/// How a carrier stands with all calls, or with those of one class.
#[derive(Debug, Clone, Default, PartialEq)]
struct Standing {
    minutes: BTreeMap<i64, Figures>,
    quarters: BTreeMap<i64, Figures>,
    hours: BTreeMap<i64, Figures>,
    total: Mark,
    /// Where the running batch of a demoted carrier began; of others, what the last evaluation had seen.
    mark: Mark,
    bad: u32,
    good: u32,
    demoted: bool,
    /// 0 = never.
    switched_us: i64,
    heard_us: i64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Group {
    carriers: BTreeMap<Box<str>, Carrier>,
    dirty: bool,
    /// What was published last, without its name; when.
    said: tollgate_schemas::v1::QualityVerdict,
    said_us: i64,
}

/// One partition of topic `quality`, judged.
pub struct Judge {
    partition: u16,
    rules: Rules,
    clock_us: i64,
    sampled_us: i64,
    groups: BTreeMap<Box<str>, Group>,
    keys: usize,
    /// Classes of all keys together.
    classes: usize,
    /// Of each of the two.
    max_keys: usize,
    stats: Stats,
}

impl Judge {
    pub fn new(partition: u16) -> Judge {
        Judge::with(partition, Rules::default(), MAX_KEYS)
    }

    pub fn with(partition: u16, rules: Rules, max_keys: usize) -> Judge {
        Judge { partition, rules, clock_us: 0, sampled_us: 0, groups: BTreeMap::new(), keys: 0, classes: 0, max_keys, stats: Stats::default() }
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn merge(&mut self, dest_group: &str, count: &QualityCount, source: u16) {
        let start_us = count.window_start_us;
        if start_us.saturating_add(LATE_US) <= self.clock_us {
            self.stats.too_late += 1;
            return;
        }
        let known = self.groups.get(dest_group).is_some_and(|g| g.carriers.contains_key(&*count.carrier));
        if !known {
            if self.keys >= self.max_keys {
                self.forget_one();
            }
            self.keys += 1;
        }
        let class = CodecClass::of(&count.codec_class);
        if class != CodecClass::Unknown && !self.knows(dest_group, &count.carrier, class) {
            if self.classes >= self.max_keys {
                self.forget_class();
            }
            self.classes += 1;
        }
        let group = self.groups.entry(dest_group.into()).or_default();
        let carrier = group.carriers.entry(count.carrier.as_str().into()).or_default();
        let after = Share { revision: count.revision, figures: Figures::of(&count.figures) };
        let share = carrier.shares.entry((start_us, source, class)).or_insert(Share { revision: 0, figures: Figures::default() });
        if share.revision >= after.revision {
            self.stats.repeated += 1;
            carrier.of_class(class).for_each(|s| s.heard_us = self.clock_us);
            return;
        }
        let before = std::mem::replace(share, after).figures;
        for standing in carrier.of_class(class) {
            standing.heard_us = self.clock_us;
            standing.take(start_us, &before, &after.figures, self.clock_us);
        }
        while carrier.shares.first_entry().filter(|s| s.key().0 + LATE_US <= self.clock_us).map(|s| s.remove()).is_some() {}
        group.dirty = true;
        self.stats.merged += 1;
    }

    /// Makes room for a key.
    fn forget_one(&mut self) {
        let keys = self.groups.iter().flat_map(|(g, group)| group.carriers.iter().map(move |(c, carrier)| (carrier.all.demoted, carrier.all.heard_us, g, c)));
        let Some((_, _, g, c)) = keys.min() else { return };
        let (g, c) = (g.clone(), c.clone());
        if let Some(group) = self.groups.get_mut(&g) {
            self.classes -= group.carriers.remove(&c).map_or(0, |carrier| carrier.by_class.len());
            if group.carriers.is_empty() {
                self.groups.remove(&g);
            }
        }
        self.keys -= 1;
        self.stats.keys_dropped += 1;
    }

    fn knows(&self, dest_group: &str, carrier: &str, class: CodecClass) -> bool {
        self.groups.get(dest_group).and_then(|g| g.carriers.get(carrier)).is_some_and(|c| c.by_class.contains_key(&class))
    }

    /// Makes room for a class.
    fn forget_class(&mut self) {
        let carriers = self.groups.iter().flat_map(|(g, group)| group.carriers.iter().map(move |(c, carrier)| (g, c, carrier)));
        let classes = carriers.flat_map(|(g, c, carrier)| carrier.by_class.iter().map(move |(class, s)| (s.demoted, s.heard_us, g, c, *class)));
        let oldest = classes.min().map(|(_, _, g, c, class)| (g.clone(), c.clone(), class));
        let Some((g, c, class)) = oldest else { return };
        if let Some(carrier) = self.groups.get_mut(&g).and_then(|group| group.carriers.get_mut(&c)) {
            carrier.by_class.remove(&class);
        }
        self.classes -= 1;
        self.stats.classes_dropped += 1;
    }

    fn judge(&mut self, cause: &Event, out: &mut Outputs) {
        self.sampled_us = self.clock_us.div_euclid(SAMPLING_US) * SAMPLING_US;
        let mut ordinal = 0;
        for (name, group) in self.groups.iter_mut().filter(|(_, g)| g.dirty) {
            group.dirty = false;
            let (verdict, switches) = evaluate::evaluate(group, &self.rules, self.clock_us);
            self.stats.switches += switches;
            if !publish::worth_saying(&group.said, group.said_us, &verdict, self.clock_us) {
                // What was not said yet is said when its minute is over.
                group.dirty = group.said != verdict;
                continue;
            }
            group.said.clone_from(&verdict);
            group.said_us = self.clock_us;
            let judged = Some(publish::named(name, verdict, self.sampled_us));
            let body = Body::QualityPublished(QualityPublished { dest_group: name.to_string(), counted: None, judged });
            let event = Event { key: name.to_string(), ..Event::derived(NAME, cause, "judged", ordinal, body) };
            ordinal += 1;
            self.stats.verdicts += 1;
            out.push(Topic::Quality, self.partition, event);
        }
    }
}

impl Carrier {
    /// With all calls, or with those of one class; none: nothing was heard of that.
    fn standing(&self, class: Option<CodecClass>) -> Option<&Standing> {
        class.map_or(Some(&self.all), |class| self.by_class.get(&class))
    }

    fn standing_mut(&mut self, class: Option<CodecClass>) -> Option<&mut Standing> {
        match class {
            None => Some(&mut self.all),
            Some(class) => self.by_class.get_mut(&class),
        }
    }

    /// What a count of this class is in.
    fn of_class(&mut self, class: CodecClass) -> impl Iterator<Item = &mut Standing> {
        let own = (class != CodecClass::Unknown).then(|| self.by_class.entry(class).or_default());
        std::iter::once(&mut self.all).chain(own)
    }
}

impl Standing {
    /// Replaces a share's figures in every sum that holds its minute.
    fn take(&mut self, start_us: i64, before: &Figures, after: &Figures, clock_us: i64) {
        for (sums, width_us, keep_us) in [
            (&mut self.minutes, MINUTE_US, QUARTER_US),
            (&mut self.quarters, QUARTER_US, HOUR_US + QUARTER_US),
            (&mut self.hours, HOUR_US, DAY_US + HOUR_US),
        ] {
            sums.entry(start_us.div_euclid(width_us) * width_us).or_default().replace(before, after);
            while sums.first_entry().filter(|s| s.key() + keep_us <= clock_us).map(|s| s.remove()).is_some() {}
        }
        let moved = |of: &mut u64, figure| *of = of.saturating_sub(before.get(figure)).saturating_add(after.get(figure));
        moved(&mut self.total.first, Figure::First);
        moved(&mut self.total.answered, Figure::FirstAnswered);
        moved(&mut self.total.reached, Figure::FirstReached);
        moved(&mut self.total.broken, Figure::FirstBroken);
    }

    /// What the window that ends now holds; it begins with the minute, quarter or hour it begins in.
    fn window(&self, window_s: u32, clock_us: i64) -> Figures {
        let sums = match window_s {
            ..=900 => &self.minutes,
            ..=3_600 => &self.quarters,
            _ => &self.hours,
        };
        let width_us = match window_s {
            ..=900 => MINUTE_US,
            ..=3_600 => QUARTER_US,
            _ => HOUR_US,
        };
        let mut all = Figures::default();
        sums.range(clock_us - i64::from(window_s) * 1_000_000 - width_us + 1..).for_each(|(_, f)| all.add_all(f));
        all
    }

    /// Starts anew: only what comes from now on is judged.
    fn forget(&mut self) {
        self.minutes.clear();
        self.quarters.clear();
        self.hours.clear();
    }
}

impl Stage for Judge {
    fn name(&self) -> &'static str {
        NAME
    }

    fn snapshot_version(&self) -> u32 {
        state::VERSION
    }

    fn apply(&mut self, _offset: u64, event: &Event, out: &mut Outputs) -> Result<(), Poison> {
        // Verdicts on the topic are this stage's own.
        let Some(Body::QualityPublished(QualityPublished { dest_group, counted: Some(count), .. })) = &event.body else { return Ok(()) };
        let start_us = count.window_start_us;
        let minute = i64::from(count.window_s) * 1_000_000 == MINUTE_US && start_us % MINUTE_US == 0;
        if !minute || !(0..=LAST_US).contains(&start_us) || !(0..=LAST_US).contains(&event.occurred_us) {
            return Err(Poison(format!("a window of {} s from {start_us} us is none of ours", count.window_s)));
        }
        for name in [dest_group, &count.carrier] {
            if name.is_empty() || name.len() > MAX_NAME {
                return Err(Poison(format!("a name of {} bytes, want 1 to {MAX_NAME}", name.len())));
            }
        }
        let source = u16::try_from(count.source_partition).map_err(|_| Poison(format!("there is no partition {}", count.source_partition)))?;
        self.clock_us = self.clock_us.max(event.occurred_us);
        self.merge(dest_group, count, source);
        if self.clock_us - self.sampled_us >= SAMPLING_US {
            self.judge(event, out);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        state::take(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let empty = Judge::with(self.partition, self.rules, self.max_keys);
        *self = state::read(state, empty).map_err(|problem| BadSnapshot { stage: NAME, problem })?;
        Ok(())
    }
}
