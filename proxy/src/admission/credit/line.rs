//! What is known of one account's lease, beside the account's counters. Sums are of this process.

#[derive(Debug, Default)]
pub struct Line {
    pub partition: u16,
    /// What its calls here may come to, by the newest grant; 0 = none was applied yet.
    pub ceiling_e8: i64,
    pub revision: u64,
    /// Since when it is waited for the first grant.
    pub unknown_ns: u64,
    /// Of its partition's leases when it was granted.
    pub generation: u32,
    /// What calls that ended came to.
    pub settled_e8: i64,
    /// What calls that are up hold.
    pub held_e8: i64,
    /// Held since the last demand, and the most in one of the last ones, a quarter less each time.
    flow_e8: i64,
    peak_e8: i64,
    unmet_e8: i64,
    /// Something is to be said that no grant has answered; since when.
    pub changed: bool,
    pub changed_ns: u64,
    /// On the list of those with something to say.
    pub listed: bool,
}

/// Demands that what was held between two of them is head room for: two seconds and a lost answer.
const AHEAD: i64 = 8;

impl Line {
    pub fn new(partition: u16, now_ns: u64) -> Line {
        Line { partition, unknown_ns: now_ns, ..Line::default() }
    }

    pub fn used(&self) -> i64 {
        self.settled_e8.saturating_add(self.held_e8)
    }

    pub fn hold(&mut self, more_e8: i64) {
        self.held_e8 = self.held_e8.saturating_add(more_e8);
        self.flow_e8 = self.flow_e8.saturating_add(more_e8.max(0));
    }

    /// Gives back what a call held, of which `charge_e8` is spent.
    pub fn settle(&mut self, held_e8: i64, charge_e8: i64) {
        self.held_e8 = self.held_e8.saturating_sub(held_e8);
        self.settled_e8 = self.settled_e8.saturating_add(charge_e8);
    }

    /// A call needed so much and did not get it.
    pub fn unmet(&mut self, amount_e8: i64) {
        self.unmet_e8 = self.unmet_e8.saturating_add(amount_e8.max(0));
    }

    /// What is wanted beyond what is used: for calls to come as they came lately, for the next slices of those that are up, and
    /// what was refused.
    pub fn wanted(&mut self) -> i64 {
        self.peak_e8 = (self.peak_e8 - self.peak_e8 / 4).max(self.flow_e8);
        let wanted = self.peak_e8.saturating_mul(AHEAD).saturating_add(self.held_e8 / 4).saturating_add(self.unmet_e8);
        (self.flow_e8, self.unmet_e8) = (0, 0);
        wanted
    }
}
