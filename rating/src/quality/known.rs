//! What routes are chosen by: the newest verdict of each destination, whichever process it was made in.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use foldhash::fast::FixedState;
use tollgate_schemas::{
    event::Body,
    v1::{Event, QualityPublished, QualityVerdict},
};

/// Destinations held; one beyond is not taken in, and its carriers stay neutral.
pub const MAX_GROUPS: usize = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Good,
    /// Too little is known.
    Neutral,
    Demoted,
}

impl State {
    /// The word in verdicts and choices.
    pub fn name(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Neutral => "neutral",
            State::Demoted => "demoted",
        }
    }
}

/// A carrier's place in a verdict, ready to be computed with. Ratios in 1e-6, bounds of Wilson's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarrierKnown {
    pub state: State,
    pub fas_until_us: i64,
    /// First attempts the ratios are of; 0 = too few: the ratios say nothing.
    pub samples: u32,
    pub asr_e6: u32,
    pub ner_e6: u32,
    pub ccr_e6: u32,
    /// Means; 0 = too few samples. `acd_capped_ms` is what of the length counts.
    pub acd_ms: u64,
    pub acd_capped_ms: u64,
    pub pdd_ms: u64,
    /// Answered calls and what they lasted together (tcc, tcd).
    pub answered: u32,
    pub talk_ms: u64,
}

/// A verdict on a destination.
#[derive(Debug)]
pub struct GroupKnown {
    pub verdict: QualityVerdict,
    /// By name, as the verdict's carriers are.
    carriers: Vec<CarrierKnown>,
    /// Expected durations and their weights.
    pub durations: Vec<(u64, u32)>,
    /// The longest capped mean length: what is the full length here.
    pub full_acd_ms: u64,
    /// Of each carrier of one table, its place here plus one; 0 = not here. Made for the first table that asks.
    places: OnceLock<(u64, Box<[u16]>)>,
}

impl GroupKnown {
    pub fn new(mut verdict: QualityVerdict) -> GroupKnown {
        verdict.carriers.sort_by(|a, b| a.carrier.cmp(&b.carrier));
        let carriers: Vec<CarrierKnown> = verdict
            .carriers
            .iter()
            .map(|c| CarrierKnown {
                state: match c.state.as_str() {
                    "demoted" => State::Demoted,
                    "good" => State::Good,
                    _ => State::Neutral,
                },
                fas_until_us: c.fas_until_us,
                samples: c.samples,
                asr_e6: c.asr_e6,
                ner_e6: c.ner_e6,
                ccr_e6: c.ccr_e6,
                acd_ms: c.acd_ms,
                acd_capped_ms: c.acd_capped_ms,
                pdd_ms: c.pdd_ms,
                answered: c.answered,
                talk_ms: c.talk_ms,
            })
            .collect();
        let durations = verdict.durations.iter().map(|d| (d.mean_ms, d.calls)).collect();
        let full_acd_ms = carriers.iter().map(|c| c.acd_capped_ms).max().unwrap_or(0);
        GroupKnown { verdict, carriers, durations, full_acd_ms, places: OnceLock::new() }
    }

    pub fn carrier(&self, name: &str) -> Option<&CarrierKnown> {
        let at = self.verdict.carriers.binary_search_by(|c| c.carrier.as_str().cmp(name)).ok()?;
        self.carriers.get(at)
    }

    /// What is known of the carriers of a table (a number that is alike where their names are, and those names in order), by their positions.
    pub fn of_table<'k>(&'k self, table: u64, names: impl ExactSizeIterator<Item = &'k str>) -> Positions<'k> {
        let make = |names: &mut dyn Iterator<Item = &'k str>| -> Box<[u16]> {
            names.map(|name| self.verdict.carriers.binary_search_by(|c| c.carrier.as_str().cmp(name)).map_or(0, |at| at as u16 + 1)).collect()
        };
        let mut names = names;
        let (of, places) = self.places.get_or_init(|| (table, make(&mut names)));
        if *of == table {
            return Positions { group: self, places: Places::Kept(places) };
        }
        Positions { group: self, places: Places::Made(make(&mut names)) }
    }
}

enum Places<'k> {
    Kept(&'k [u16]),
    Made(Box<[u16]>),
}

/// [`GroupKnown`] by the positions of a table's carriers.
pub struct Positions<'k> {
    group: &'k GroupKnown,
    places: Places<'k>,
}

impl Positions<'_> {
    pub fn get(&self, position: u16) -> Option<&CarrierKnown> {
        let places = match &self.places {
            Places::Kept(places) => places,
            Places::Made(places) => &**places,
        };
        let place = *places.get(usize::from(position))?;
        self.group.carriers.get(usize::from(place).checked_sub(1)?)
    }
}

/// The newest verdicts, shared by whoever chooses routes in this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Quality(Arc<RwLock<HashMap<Box<str>, Arc<GroupKnown>, FixedState>>>);

impl Quality {
    /// The verdict on a destination; none: nothing is known, every carrier is neutral.
    pub fn of(&self, dest_group: &str) -> Option<Arc<GroupKnown>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(dest_group).cloned()
    }

    /// Takes in an event of topic `quality`; a verdict older than the one held changes nothing. True when it was taken.
    pub fn apply(&self, event: &Event) -> bool {
        let Some(Body::QualityPublished(QualityPublished { dest_group, judged: Some(verdict), .. })) = &event.body else { return false };
        self.put(dest_group, verdict.clone())
    }

    pub fn put(&self, dest_group: &str, verdict: QualityVerdict) -> bool {
        let mut groups = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match groups.get(dest_group) {
            Some(held) if held.verdict.at_us > verdict.at_us => return false,
            None if groups.len() >= MAX_GROUPS => return false,
            _ => {}
        }
        groups.insert(dest_group.into(), Arc::new(GroupKnown::new(verdict)));
        true
    }

    /// All verdicts held, by destination.
    pub fn all(&self) -> Vec<(String, Arc<GroupKnown>)> {
        let groups = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = groups.iter().map(|(name, group)| (name.to_string(), group.clone())).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }
}
