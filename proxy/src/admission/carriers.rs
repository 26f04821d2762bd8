//! Channels and calls per second of carriers, as reservations: taken before an attempt, given back when it ends.

use tollgate_schemas::{id::Id, time::Now};

use super::{
    CallView, CarrierIx, CarrierView, Policy,
    bucket::Bucket,
    counters::Admission,
    lease::{Lease, Scope},
};

/// Why a carrier cannot take one more call; `reason` is what stands in the route's explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CarrierFull {
    #[error("carrier_cps")]
    Cps,
    #[error("carrier_channels")]
    Channels,
}

impl CarrierFull {
    pub fn reason(self) -> &'static str {
        match self {
            CarrierFull::Cps => "carrier_cps",
            CarrierFull::Channels => "carrier_channels",
        }
    }
}

/// Why a carrier gets no call now, whatever the documents say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// By this block.
    Blocked(Id),
    Full(CarrierFull),
}

impl Shut {
    /// As it stands in the route's explanation.
    pub fn reason(self) -> &'static str {
        match self {
            Shut::Blocked(_) => "carrier_blocked",
            Shut::Full(full) => full.reason(),
        }
    }

    /// The way back, for a decision that is made again; which block it was is not told.
    pub fn of_reason(reason: &str) -> Option<Shut> {
        [Shut::Blocked(Id::NIL), Shut::Full(CarrierFull::Channels), Shut::Full(CarrierFull::Cps)].into_iter().find(|shut| shut.reason() == reason)
    }

    pub fn block(self) -> Option<Id> {
        match self {
            Shut::Blocked(id) => Some(id),
            Shut::Full(_) => None,
        }
    }
}

/// One channel of a carrier. Give it back exactly once, with `release_carrier`.
#[must_use = "the carrier's channel stays taken until it is released"]
#[derive(Debug, PartialEq, Eq)]
pub struct CarrierSlot {
    carrier: u32,
}

/// What is counted for a carrier, over policies.
#[derive(Debug, Clone)]
pub(super) struct CarrierState {
    pub name: String,
    pub channels: u32,
    pub bucket: Bucket,
    pub lease: Lease,
}

impl CarrierState {
    pub(super) fn new(name: &str) -> CarrierState {
        CarrierState { name: name.to_owned(), channels: 0, bucket: Bucket::new(), lease: Lease::default() }
    }

    /// Why it takes no further call; where it does, a token is spent.
    fn full(&mut self, view: &CarrierView, shared: bool, now: Now) -> Option<CarrierFull> {
        let lease = &self.lease;
        if view.channels.is_some_and(|limit| self.channels >= if shared { lease.channels(limit, now) } else { limit }) {
            return Some(CarrierFull::Channels);
        }
        // The rate last: a token is spent by being taken, a full carrier must not spend it.
        let cps = view.cps?;
        let share = if shared { lease.cps(cps, now) } else { cps };
        let passes = if shared { share > 0 && self.bucket.take_share(share, share, now) } else { self.bucket.take(cps, cps, now) };
        (!passes).then_some(CarrierFull::Cps)
    }
}

impl Admission {
    /// Takes a channel and a call of the carrier's rate, or neither. Emergency calls always get one: the channel is
    /// counted, the limits are not asked.
    pub fn reserve_carrier(&mut self, policy: &Policy, carrier: CarrierIx, emergency: bool, now: Now) -> Result<CarrierSlot, CarrierFull> {
        self.adopt(policy);
        let view = policy.carrier(carrier);
        let index = self.carrier_state(carrier);
        let shared = self.shared.is_some();
        if shared && !emergency && view.is_limited() {
            self.lease_offered(Scope::Carrier(index as u32), now);
        }
        let state = &mut self.carriers[index];
        if !emergency && let Some(full) = state.full(view, shared, now) {
            return Err(full);
        }
        state.channels += 1;
        Ok(CarrierSlot { carrier: index as u32 })
    }

    /// What `reserve_carrier` would refuse with, taking nothing. A call that a full carrier is spared counts as offered to it.
    pub fn carrier_full(&mut self, policy: &Policy, carrier: CarrierIx, emergency: bool, now: Now) -> Option<CarrierFull> {
        let view = policy.carrier(carrier);
        if emergency || !view.is_limited() {
            return None;
        }
        self.adopt(policy);
        let index = self.carrier_state(carrier);
        let shared = self.shared.is_some();
        let look = |state: &mut CarrierState| {
            let bucket = state.bucket;
            let full = state.full(view, shared, now);
            state.bucket = bucket;
            full
        };
        let full = look(&mut self.carriers[index])?;
        if shared {
            // The first call in a while makes its share larger.
            self.lease_offered(Scope::Carrier(index as u32), now);
            return look(&mut self.carriers[index]);
        }
        Some(full)
    }

    /// The carriers that blocks keep this call from, by their index.
    pub fn carriers_blocked(&self, policy: &Policy, call: &CallView<'_>, now: Now) -> Vec<(CarrierIx, Shut)> {
        if call.emergency || !self.blocks.any_of_carriers() {
            return Vec::new();
        }
        policy.carriers().filter_map(|(ix, view)| Some((ix, Shut::Blocked(self.carrier_blocked(&view.name, call, now)?.id)))).collect()
    }

    /// The place of an attempt that was up before this process: counted, no limit asked.
    pub fn resume_carrier(&mut self, name: &str) -> CarrierSlot {
        let index = self.carrier_state_named(name);
        self.carriers[index].channels += 1;
        self.lease_resumed(Scope::Carrier(index as u32));
        CarrierSlot { carrier: index as u32 }
    }

    pub fn release_carrier(&mut self, slot: CarrierSlot) {
        let channels = &mut self.carriers[slot.carrier as usize].channels;
        debug_assert!(*channels > 0, "a carrier's channel is given back once");
        *channels = channels.saturating_sub(1);
    }
}
