//! The calls that hold a place, and the slots that stand for them.

use tollgate_schemas::v1::Terms;

use crate::admission::credit::CallHold;

/// A call's place in the counters: given back exactly once, which is why it is neither `Clone` nor `Copy`.
#[must_use = "what a call takes up stays taken until its slot is released"]
#[derive(Debug, PartialEq, Eq)]
pub struct Slot {
    index: u32,
    generation: u32,
}

/// What one call takes up.
#[derive(Debug)]
pub struct Call {
    pub trunk: u32,
    pub account: u32,
    /// Counted by no limit and no sum.
    pub emergency: bool,
    pub group: Option<u32>,
    /// Counts as a hot-spot channel; and since when (UTC us) in the 12-hour window, if it was put in by this process.
    pub hot: bool,
    pub hot_since_us: Option<i64>,
    hold_e8: i64,
    accrued_e8: i64,
    pub answered: Option<Answered>,
    /// What it holds of accounts with a limit; mostly none.
    pub holds: Vec<CallHold>,
    trunk_at: u32,
    account_at: u32,
}

/// How a call's charge grows.
#[derive(Debug)]
pub struct Answered {
    /// Monotonic nanoseconds of the answer; before 0 when it was in an earlier boot.
    since_ns: i128,
    /// UTC microseconds of the answer, for prices that go by the clock.
    pub at_us: i64,
    /// The numbers only.
    pub terms: Terms,
    /// Up to this many milliseconds the charge is the one accrued.
    until_ms: u64,
}

impl Call {
    pub fn new(trunk: u32, account: u32, group: Option<u32>, hold_e8: i64) -> Call {
        Call {
            trunk,
            account,
            emergency: false,
            group,
            hot: false,
            hot_since_us: None,
            hold_e8,
            accrued_e8: 0,
            answered: None,
            holds: Vec::new(),
            trunk_at: 0,
            account_at: 0,
        }
    }

    pub fn emergency(trunk: u32, account: u32) -> Call {
        Call { emergency: true, ..Call::new(trunk, account, None, 0) }
    }

    /// What the call counts for in credit and spend: the larger of what is held and what it has come to cost.
    pub fn exposure(&self) -> i64 {
        self.hold_e8.max(self.accrued_e8)
    }

    pub fn answer(&mut self, since_ns: i128, at_us: i64, terms: &Terms) {
        self.answered = Some(Answered { since_ns, at_us, terms: terms.numbers(), until_ms: 0 });
    }

    /// Charges up to now; how much the exposure grew.
    pub fn accrue(&mut self, now_ns: i128) -> i64 {
        let before = self.exposure();
        if let Some(answered) = &mut self.answered {
            let elapsed_ms = u64::try_from((now_ns - answered.since_ns) / 1_000_000).unwrap_or(0);
            if elapsed_ms >= answered.until_ms {
                let charge = answered.terms.charge(answered.at_us, elapsed_ms);
                answered.until_ms = if answered.terms.is_plain() {
                    charge.billed_s.saturating_mul(1000).saturating_add(1)
                } else {
                    answered.terms.next_change_ms(answered.at_us, elapsed_ms).unwrap_or(u64::MAX)
                };
                self.accrued_e8 = charge.amount_e8;
            }
        }
        self.exposure().saturating_sub(before)
    }
}

/// Calls by slot. An index is used again under another generation.
#[derive(Debug, Default)]
pub struct Calls {
    places: Vec<(u32, Option<Call>)>,
    free: Vec<u32>,
}

impl Calls {
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn put(&mut self, call: Call) -> Slot {
        match self.free.pop() {
            Some(index) => {
                let (generation, place) = &mut self.places[index as usize];
                *place = Some(call);
                Slot { index, generation: *generation }
            }
            None => {
                self.places.push((0, Some(call)));
                Slot { index: (self.places.len() - 1) as u32, generation: 0 }
            }
        }
    }

    pub fn take(&mut self, slot: Slot) -> Option<Call> {
        let (generation, place) = self.places.get_mut(slot.index as usize)?;
        if *generation != slot.generation {
            return None;
        }
        let call = place.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(slot.index);
        Some(call)
    }

    pub fn get_mut(&mut self, slot: &Slot) -> Option<&mut Call> {
        let (generation, place) = self.places.get_mut(slot.index as usize)?;
        if *generation == slot.generation { place.as_mut() } else { None }
    }

    pub fn get(&self, slot: &Slot) -> Option<&Call> {
        let (generation, place) = self.places.get(slot.index as usize)?;
        if *generation == slot.generation { place.as_ref() } else { None }
    }

    pub fn at_mut(&mut self, index: u32) -> Option<&mut Call> {
        self.places.get_mut(index as usize)?.1.as_mut()
    }

    /// Puts a call on its trunk's and account's lists.
    pub fn list(&mut self, slot: &Slot, trunk: &mut Vec<u32>, account: &mut Vec<u32>) {
        if let Some(call) = self.at_mut(slot.index) {
            (call.trunk_at, call.account_at) = (trunk.len() as u32, account.len() as u32);
            trunk.push(slot.index);
            account.push(slot.index);
        }
    }

    /// Takes a call off both; the last one of each list moves into its place.
    pub fn unlist(&mut self, call: &Call, trunk: &mut Vec<u32>, account: &mut Vec<u32>) {
        trunk.swap_remove(call.trunk_at as usize);
        if let Some(moved) = trunk.get(call.trunk_at as usize).and_then(|index| self.at_mut(*index)) {
            moved.trunk_at = call.trunk_at;
        }
        account.swap_remove(call.account_at as usize);
        if let Some(moved) = account.get(call.account_at as usize).and_then(|index| self.at_mut(*index)) {
            moved.account_at = call.account_at;
        }
    }
}
