//! Our CDRs against a carrier's. Both files become [`Billed`] calls; then
//!
//! 1. how the other side writes called numbers is learnt (`numbers`),
//! 2. its clock and zone, how it drifts and jumps, are estimated from calls that can only be each other (`clock`),
//! 3. calls are paired one to one by called number, calling number's last seven digits and start, such that as many as
//!    possible are paired and the distance in time and duration is least (`pairs`),
//! 4. each difference is split exactly into its causes (`cause`).
//!
//! Classes of the trade: exact, partial (1–2 s), mismatch (more), missing here, missing there, duplicate, and billed though
//! unanswered. Money is theirs − ours: positive = they ask for more than we expect.

use std::collections::BTreeMap;

mod bill;
mod cause;
mod clock;
mod columns;
mod decimals;
mod layout;
mod money;
mod numbers;
mod ours;
mod pairs;
mod time_text;

#[cfg(test)]
mod tests;

pub use bill::{Bill, BillLine, CodeRow, read_bill, three_way};
pub use cause::{Causes, Split};
pub use clock::{Clock, Piece};
pub use layout::{FileProblem, Mapping, Problems, Read, read_calls, read_cells, read_ours};
pub use money::{Currency, NoCurrency, currencies, in_one};
pub use ours::{NoCalls, Ours, Picker};

/// One call as one side has it. Numbers are digits without plus, as integers: called numbers have at most 15.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Billed {
    /// Line in its file, from 1; 0 = not from a file.
    pub line: u64,
    pub id: Box<str>,
    /// Canonical digits; 0 = withheld.
    pub a: u64,
    pub b: u64,
    /// UTC microseconds. `answer_us` None = not answered, or the side gives one time only.
    pub start_us: i64,
    pub answer_us: Option<i64>,
    /// Unanswered calls of ours: until when it rang; else 0.
    pub end_us: i64,
    pub duration_ms: u64,
    pub billed_s: Option<u64>,
    pub rate_e12: Option<i64>,
    pub connect_e12: i64,
    pub initial_s: u32,
    pub increment_s: u32,
    pub amount_e8: i64,
    pub currency: Currency,
    /// Prefix or destination it was priced by.
    pub code: Box<str>,
}

impl Billed {
    /// Whole seconds, rounded up.
    fn seconds(&self) -> u64 {
        self.duration_ms.div_ceil(1000)
    }

    fn bills(&self) -> bool {
        self.amount_e8 != 0 || self.duration_ms > 0
    }
}

/// What a pair, or a call without one, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Exact,
    /// Durations differ by one or two seconds.
    Partial,
    /// By more.
    Mismatch,
    /// They bill it, we never had it.
    MissingHere,
    /// We had it, they do not bill it.
    MissingThere,
    /// They bill a call a second time.
    Duplicate,
    /// They bill a call that was not answered (false answer supervision).
    UnansweredBilled,
}

impl Class {
    pub const ALL: [Class; 7] = [
        Class::Exact, Class::Partial, Class::Mismatch, Class::MissingHere, Class::MissingThere, Class::Duplicate,
        Class::UnansweredBilled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Class::Exact => "exact",
            Class::Partial => "partial",
            Class::Mismatch => "mismatch",
            Class::MissingHere => "missing_here",
            Class::MissingThere => "missing_there",
            Class::Duplicate => "duplicate",
            Class::UnansweredBilled => "unanswered_billed",
        }
    }
}

/// Why the sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    Rate,
    Increment,
    Rounding,
    Duration,
    /// The start is off by whole quarters of an hour while the file's clock is not.
    Timezone,
    Missing,
    Duplicate,
    /// Billed though unanswered.
    Fas,
}

impl Cause {
    pub const ALL: [Cause; 8] = [
        Cause::Rate, Cause::Increment, Cause::Rounding, Cause::Duration, Cause::Timezone, Cause::Missing, Cause::Duplicate, Cause::Fas,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Cause::Rate => "rate",
            Cause::Increment => "increment",
            Cause::Rounding => "rounding",
            Cause::Duration => "duration",
            Cause::Timezone => "timezone",
            Cause::Missing => "missing",
            Cause::Duplicate => "duplicate",
            Cause::Fas => "fas",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    /// How far apart starts of one call may be once the clock's offset is taken out.
    pub tolerance_ms: u64,
    /// The offset is given, not estimated.
    pub offset_us: Option<i64>,
}

impl Default for Options {
    fn default() -> Options {
        Options { tolerance_ms: 10_000, offset_us: None }
    }
}

/// One line of the result: a pair, or a call that has none. Indexes are into the lists given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub ours: Option<u32>,
    pub theirs: Option<u32>,
    pub class: Class,
    /// What most of the difference is due to; None = no difference.
    pub cause: Option<Cause>,
    pub causes: Causes,
    /// Theirs − ours, 1e-8.
    pub delta_e8: i64,
    pub delta_s: i64,
}

/// Calls, seconds and money of one cause or class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub calls: u64,
    pub seconds: i64,
    pub amount_e8: i64,
}

impl Sum {
    fn add(&mut self, seconds: i64, amount_e8: i64) {
        self.calls += 1;
        self.seconds = self.seconds.saturating_add(seconds);
        self.amount_e8 = self.amount_e8.saturating_add(amount_e8);
    }
}

#[derive(Debug, Clone)]
pub struct Report {
    pub clock: Clock,
    /// How their called numbers were rewritten: put off, put on, calls.
    pub rewrites: Vec<(String, String, u64)>,
    /// In the order of theirs, then ours without a pair.
    pub findings: Vec<Finding>,
    pub by_class: BTreeMap<Class, Sum>,
    /// Each call's difference split over its causes; a call counts for every cause it has.
    pub by_cause: BTreeMap<Cause, Sum>,
    /// Over codes (of ours, else theirs) and causes.
    pub by_code: BTreeMap<(Box<str>, Cause), Sum>,
    pub ours: Sum,
    pub theirs: Sum,
    /// Calls they ask more for than we expect, and what these are above it. What they ask less for elsewhere is not set off.
    pub overbilled: Sum,
    /// Calls they ask less for; the amount is what these are below it, from 0.
    pub underbilled: Sum,
    /// The overbilled split over its causes; sums to it.
    pub over_by_cause: BTreeMap<Cause, Sum>,
    /// Calls in groups too large to be assigned exactly: paired by least distance first.
    pub greedy: u64,
}

/// Compares the two lists. Nothing is changed in them but the called numbers of `theirs`, which become canonical.
pub fn reconcile(ours: &[Billed], theirs: &mut [Billed], options: &Options) -> Report {
    let rewrites = numbers::canonical(ours, theirs);
    let clock = match options.offset_us {
        Some(offset_us) => Clock::fixed(offset_us),
        None => Clock::estimate(ours, theirs),
    };
    let paired = pairs::pair(ours, theirs, &clock, options.tolerance_ms);
    let mut report = Report {
        clock,
        rewrites,
        findings: Vec::with_capacity(theirs.len()),
        by_class: BTreeMap::new(),
        by_cause: BTreeMap::new(),
        by_code: BTreeMap::new(),
        ours: Sum::default(),
        theirs: Sum::default(),
        overbilled: Sum::default(),
        underbilled: Sum::default(),
        over_by_cause: BTreeMap::new(),
        greedy: paired.greedy,
    };
    for (t, fate) in (0u32..).zip(&paired.theirs) {
        let their = &theirs[t as usize];
        let finding = match *fate {
            pairs::Fate::Pair { ours: o, shifted } => cause::of_pair((o, &ours[o as usize]), (t, their), shifted),
            pairs::Fate::Duplicate(o) => cause::of_one(Some(o), Some(t), Class::Duplicate, their, 1),
            pairs::Fate::Alone if their.bills() => cause::of_one(None, Some(t), Class::MissingHere, their, 1),
            // A failed attempt that only they list costs nothing.
            pairs::Fate::Alone => continue,
        };
        report.take(finding, ours, theirs);
    }
    for (o, paired) in (0u32..).zip(&paired.ours) {
        let our = &ours[o as usize];
        if !paired && our.bills() {
            report.take(cause::of_one(Some(o), None, Class::MissingThere, our, -1), ours, theirs);
        }
    }
    for our in ours.iter().filter(|c| c.bills()) {
        report.ours.add(our.seconds() as i64, our.amount_e8);
    }
    for their in theirs.iter().filter(|c| c.bills()) {
        report.theirs.add(their.seconds() as i64, their.amount_e8);
    }
    report
}

impl Report {
    fn take(&mut self, finding: Finding, ours: &[Billed], theirs: &[Billed]) {
        self.by_class.entry(finding.class).or_default().add(finding.delta_s, finding.delta_e8);
        let code = match (finding.ours, finding.theirs) {
            (Some(o), _) => &ours[o as usize].code,
            (_, Some(t)) => &theirs[t as usize].code,
            _ => unreachable!("a finding is of a call"),
        };
        for split in finding.causes.iter() {
            self.by_cause.entry(split.cause).or_default().add(split.seconds, split.amount_e8);
            self.by_code.entry((code.clone(), split.cause)).or_default().add(split.seconds, split.amount_e8);
            if finding.delta_e8 > 0 {
                self.over_by_cause.entry(split.cause).or_default().add(split.seconds, split.amount_e8);
            }
        }
        match finding.delta_e8 {
            1.. => self.overbilled.add(finding.delta_s, finding.delta_e8),
            0 => {}
            ..0 => self.underbilled.add(finding.delta_s.saturating_neg(), finding.delta_e8.saturating_neg()),
        }
        self.findings.push(finding);
    }

    /// Calls that were found on both sides.
    pub fn paired(&self) -> u64 {
        self.findings.iter().filter(|f| f.ours.is_some() && f.theirs.is_some()).count() as u64
    }

    /// Theirs − ours, 1e-8; overbilled − underbilled.
    pub fn delta_e8(&self) -> i64 {
        self.theirs.amount_e8.saturating_sub(self.ours.amount_e8)
    }
}
