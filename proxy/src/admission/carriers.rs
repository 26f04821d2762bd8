//! Channels and calls per second of carriers, as reservations: taken before an attempt, given back when it ends.

use tollgate_schemas::time::Now;

use super::{
    CarrierIx, Policy,
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
}

impl Admission {
    /// Takes a channel and a call of the carrier's rate, or neither. Emergency calls always get one: the channel is
    /// counted, the limits are not asked.
    pub fn reserve_carrier(&mut self, policy: &Policy, carrier: CarrierIx, emergency: bool, now: Now) -> Result<CarrierSlot, CarrierFull> {
        self.adopt(policy);
        let view = policy.carrier(carrier);
        let index = self.carrier_state(carrier);
        let shared = self.shared.is_some();
        if shared && !emergency && (view.channels.is_some() || view.cps.is_some()) {
            self.lease_offered(Scope::Carrier(index as u32), now);
        }
        let state = &mut self.carriers[index];
        if !emergency {
            let lease = &state.lease;
            if view.channels.is_some_and(|limit| state.channels >= if shared { lease.channels(limit, now) } else { limit }) {
                return Err(CarrierFull::Channels);
            }
            // The rate last: a token is spent by being taken, a full carrier must not spend it.
            if let Some(cps) = view.cps {
                let share = if shared { lease.cps(cps, now) } else { cps };
                let passes = if shared { share > 0 && state.bucket.take_share(share, share, now) } else { state.bucket.take(cps, cps, now) };
                if !passes {
                    return Err(CarrierFull::Cps);
                }
            }
        }
        state.channels += 1;
        Ok(CarrierSlot { carrier: index as u32 })
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
