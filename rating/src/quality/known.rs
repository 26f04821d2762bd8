//! What routes are chosen by: the newest verdict of each destination, whichever process it was made in.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use foldhash::fast::FixedState;
use tollgate_schemas::{
    codec::CodecClass,
    event::Body,
    v1::{CarrierQuality, ClassQuality, DurationShare, Event, QualityPublished, QualityVerdict},
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
    /// Whose calls the state and the ratios are of; not known = all calls together.
    pub class: CodecClass,
    pub state: State,
    pub fas_until_us: i64,
    /// First attempts the ratios are of; 0 = too few: the ratios say nothing.
    pub samples: u32,
    pub asr_e6: u32,
    pub ner_e6: u32,
    pub ccr_e6: u32,
    /// Means; 0 = too few samples. `acd_capped_ms` is what of the length counts, `full_acd_ms` the longest that does among the carriers it
    /// is compared with: the full length there.
    pub acd_ms: u64,
    pub acd_capped_ms: u64,
    pub full_acd_ms: u64,
    pub pdd_ms: u64,
    /// Answered calls and what they lasted together (tcc, tcd).
    pub answered: u32,
    pub talk_ms: u64,
}

impl CarrierKnown {
    fn of(c: &CarrierQuality, class: CodecClass, full_acd_ms: u64) -> CarrierKnown {
        CarrierKnown {
            class,
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
            full_acd_ms,
            pdd_ms: c.pdd_ms,
            answered: c.answered,
            talk_ms: c.talk_ms,
        }
    }

    /// What holds for calls of a class: what it says of the carrier where it says anything, `self`, which is of all calls, for the rest.
    fn or_of_class(self, own: CarrierKnown) -> CarrierKnown {
        if own.samples == 0 && own.state != State::Demoted {
            return self;
        }
        let length = if own.acd_ms > 0 { own } else { self };
        CarrierKnown {
            acd_ms: length.acd_ms,
            acd_capped_ms: length.acd_capped_ms,
            full_acd_ms: length.full_acd_ms,
            pdd_ms: if own.pdd_ms > 0 { own.pdd_ms } else { self.pdd_ms },
            // Of the carrier, whatever the class.
            fas_until_us: self.fas_until_us,
            ..own
        }
    }
}

/// What is known for calls of one codec class, or of none that is known: for each carrier what the class says where that is enough,
/// else what all calls say.
#[derive(Debug)]
pub struct ClassKnown {
    /// In the order of the verdict's carriers.
    carriers: Vec<CarrierKnown>,
    /// Expected durations and their weights.
    pub durations: Vec<(u64, u32)>,
    /// All carriers' first attempts together, what a later one's is of a first one's, and the delay; as [`QualityVerdict`] has them.
    pub asr_e6: u32,
    pub later_e6: u32,
    pub pdd_ms: u64,
}

/// A verdict on a destination.
#[derive(Debug)]
pub struct GroupKnown {
    pub verdict: QualityVerdict,
    all: ClassKnown,
    /// By [`CodecClass::place`]; none: as all.
    classes: [Option<ClassKnown>; CodecClass::KNOWN.len()],
    /// Of each carrier of one table, its place here plus one; 0 = not here. Made for the first table that asks.
    places: OnceLock<(u64, Box<[u16]>)>,
}

/// The longest capped mean length.
fn full_acd_ms(carriers: &[CarrierQuality]) -> u64 {
    carriers.iter().map(|c| c.acd_capped_ms).max().unwrap_or(0)
}

fn weighted(durations: &[DurationShare]) -> Vec<(u64, u32)> {
    durations.iter().map(|d| (d.mean_ms, d.calls)).collect()
}

impl GroupKnown {
    pub fn new(mut verdict: QualityVerdict) -> GroupKnown {
        verdict.carriers.sort_by(|a, b| a.carrier.cmp(&b.carrier));
        let full_ms = full_acd_ms(&verdict.carriers);
        let all = ClassKnown {
            carriers: verdict.carriers.iter().map(|c| CarrierKnown::of(c, CodecClass::Unknown, full_ms)).collect(),
            durations: weighted(&verdict.durations),
            asr_e6: verdict.asr_e6,
            later_e6: verdict.later_e6,
            pdd_ms: verdict.pdd_ms,
        };
        let mut classes = [const { None }; CodecClass::KNOWN.len()];
        for of in &verdict.classes {
            let class = CodecClass::of(&of.codec_class);
            if let Some(place) = class.place() {
                classes[place] = Some(all.of_class(&verdict.carriers, class, of));
            }
        }
        GroupKnown { verdict, all, classes, places: OnceLock::new() }
    }

    /// What calls of this class go by.
    pub fn of_class(&self, class: CodecClass) -> &ClassKnown {
        class.place().and_then(|place| self.classes[place].as_ref()).unwrap_or(&self.all)
    }

    /// What is known of the carriers of a table (a number that is alike where their names are, and those names in order), by their
    /// positions, for calls of this class.
    pub fn of_table<'k>(&'k self, table: u64, names: impl ExactSizeIterator<Item = &'k str>, class: CodecClass) -> Positions<'k> {
        let make = |names: &mut dyn Iterator<Item = &'k str>| -> Box<[u16]> {
            names.map(|name| self.verdict.carriers.binary_search_by(|c| c.carrier.as_str().cmp(name)).map_or(0, |at| at as u16 + 1)).collect()
        };
        let mut names = names;
        let known = self.of_class(class);
        let (of, places) = self.places.get_or_init(|| (table, make(&mut names)));
        if *of == table {
            return Positions { known, places: Places::Kept(places) };
        }
        Positions { known, places: Places::Made(make(&mut names)) }
    }
}

impl ClassKnown {
    /// `carriers`: the verdict's, in order.
    fn of_class(&self, carriers: &[CarrierQuality], class: CodecClass, of: &ClassQuality) -> ClassKnown {
        let own: HashMap<&str, &CarrierQuality, FixedState> = of.carriers.iter().map(|c| (c.carrier.as_str(), c)).collect();
        let full_ms = full_acd_ms(&of.carriers);
        let known = |(all, c): (&CarrierKnown, &CarrierQuality)| match own.get(c.carrier.as_str()) {
            Some(own) => all.or_of_class(CarrierKnown::of(own, class, full_ms)),
            None => *all,
        };
        let enough = of.samples > 0;
        ClassKnown {
            carriers: self.carriers.iter().zip(carriers).map(known).collect(),
            durations: if of.durations.is_empty() { self.durations.clone() } else { weighted(&of.durations) },
            asr_e6: if enough { of.asr_e6 } else { self.asr_e6 },
            later_e6: if enough { of.later_e6 } else { self.later_e6 },
            pdd_ms: if of.pdd_ms > 0 { of.pdd_ms } else { self.pdd_ms },
        }
    }
}

enum Places<'k> {
    Kept(&'k [u16]),
    Made(Box<[u16]>),
}

/// [`ClassKnown`] by the positions of a table's carriers.
pub struct Positions<'k> {
    known: &'k ClassKnown,
    places: Places<'k>,
}

impl<'k> Positions<'k> {
    pub fn get(&self, position: u16) -> Option<&'k CarrierKnown> {
        let places = match &self.places {
            Places::Kept(places) => places,
            Places::Made(places) => &**places,
        };
        let place = *places.get(usize::from(position))?;
        self.known.carriers.get(usize::from(place).checked_sub(1)?)
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
