//! What is counted of a carrier for a destination in a window.

/// A count's place in [`Figures`] and on the wire. Places are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Figure {
    /// First attempts of fresh calls with a known outcome, those answered, and those that reached the called party all the
    /// same (M-03: busy, rang unanswered, rejected by the user).
    First = 0,
    FirstAnswered = 1,
    FirstReached = 2,
    /// M-03b: failures that are the network's own, 5xx, 6xx without a user's cause, and silence.
    FirstBroken = 3,
    /// The same after another carrier had failed, and of redials.
    Later = 4,
    LaterAnswered = 5,
    Redial = 6,
    RedialAnswered = 7,
    /// Answered calls that ended, what they lasted, those of at most 6 s, those the caller ended within 10 s.
    Ended = 8,
    TalkMs = 9,
    Short = 10,
    HungUp = 11,
    /// M-05 and M-07.
    PddCount = 12,
    PddMs = 13,
    Answers = 14,
    SetupMs = 15,
    /// F-05: answered sooner than 1.5 s after the INVITE without ringing; answered after media had begun.
    Early = 16,
    EarlyMedia = 17,
    /// From the first 18x to the end of what was not answered.
    RingCount = 18,
    RingMs = 19,
}

/// Ends of the classes of lengths, all but the last: R-36's histogram.
pub const CLASS_ENDS_MS: [u64; 7] = [6_000, 15_000, 30_000, 60_000, 180_000, 600_000, 1_800_000];
pub const CLASSES: usize = CLASS_ENDS_MS.len() + 1;
const FIRST_CLASS: usize = 20;
const PLACES: usize = FIRST_CLASS + 2 * CLASSES;

/// Counts by place: [`Figure`]s, then how many answered calls each class of lengths has, then what they lasted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures([u64; PLACES]);

impl Default for Figures {
    fn default() -> Figures {
        Figures([0; PLACES])
    }
}

impl Figures {
    /// As on the wire; places a newer program may know are left out.
    pub fn of(published: &[u64]) -> Figures {
        let mut figures = Figures::default();
        figures.0.iter_mut().zip(published).for_each(|(own, value)| *own = *value);
        figures
    }

    /// Without trailing zeros.
    pub fn published(&self) -> Vec<u64> {
        let len = self.0.iter().rposition(|v| *v != 0).map_or(0, |at| at + 1);
        self.0[..len].to_vec()
    }

    pub fn get(&self, figure: Figure) -> u64 {
        self.0[figure as usize]
    }

    pub fn add(&mut self, figure: Figure, amount: u64) {
        let place = &mut self.0[figure as usize];
        *place = place.saturating_add(amount);
    }

    /// An answered call's length.
    pub fn add_length(&mut self, ms: u64) {
        let class = CLASS_ENDS_MS.partition_point(|end| *end < ms);
        self.0[FIRST_CLASS + class] += 1;
        let sum = &mut self.0[FIRST_CLASS + CLASSES + class];
        *sum = sum.saturating_add(ms);
    }

    /// Calls and total length of a class.
    pub fn class(&self, class: usize) -> (u64, u64) {
        (self.0[FIRST_CLASS + class], self.0[FIRST_CLASS + CLASSES + class])
    }

    pub fn add_all(&mut self, other: &Figures) {
        self.0.iter_mut().zip(other.0).for_each(|(own, more)| *own = own.saturating_add(more));
    }

    /// Replaces what `before` added by what `after` has.
    pub fn replace(&mut self, before: &Figures, after: &Figures) {
        for (own, (before, after)) in self.0.iter_mut().zip(before.0.iter().zip(after.0)) {
            *own = own.saturating_sub(*before).saturating_add(after);
        }
    }

    /// Mean of a sum over a count; none below `least` of them.
    pub fn mean(&self, sum: Figure, count: Figure, least: u64) -> Option<u64> {
        let n = self.get(count);
        (n >= least.max(1)).then(|| self.get(sum) / n)
    }
}
