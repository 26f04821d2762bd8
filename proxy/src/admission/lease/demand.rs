//! What this node uses and wants.
//!
//! Wanted channels are those in use and head room: four seconds (until a grant is there, with one lost on the way) of four
//! times the calls that were lately offered in a second, and a sixteenth of the limit at least. So a ramp to four times the
//! rate is not refused while the limit allows. For calls per second the lessor reckons by the same factor from what was offered.

use std::collections::BTreeMap;

use tollgate_schemas::{
    id::partition_of,
    time::Now,
    v1::{LeaseAsked, LeaseDemand},
};

use super::{CARRIER, Scope, TRUNK, share::{Lease, Limits}};
use crate::admission::{Admission, Policy};

/// Scopes one demand may name: with names of 64 characters it stays below a megabyte, which a broker takes. Further ones
/// are not asked for.
pub const MAX_DEMANDS: usize = 8_192;

/// Calls offered in a second → head room.
const RAMP: u32 = 16;

/// The demands of one call, by partition.
struct Desk {
    now: Now,
    idle_ms: u64,
    by_partition: BTreeMap<u16, Vec<LeaseDemand>>,
}

impl Admission {
    /// What to append to topic `leases`, by partition; to be called about once a second, and its events to be appended in
    /// the order they were made. Empty when alone, and where there is nothing to say. Gives idle scopes' shares up.
    pub fn lease_demands(&mut self, policy: &Policy, now: Now) -> Vec<(u16, LeaseAsked)> {
        let Some(mut shared) = self.shared.take() else { return Vec::new() };
        // Another root account for a trunk is another partition and another lessor.
        let place_again = shared.placed.replace(policy.control_position()) != Some(policy.control_position());
        let partitions = shared.rules.partitions;
        let mut desk = Desk { now, idle_ms: shared.rules.idle_ms, by_partition: BTreeMap::new() };
        shared.active.retain(|scope| match scope {
            Scope::Trunk(index) => {
                let state = &mut self.trunks[*index as usize];
                let view = policy.trunk_named(&state.name).map(|ix| policy.trunk(ix));
                let limits = view.map(|view| Limits { channels: view.channels, cps: view.cps, burst: view.burst });
                if let Some(view) = view
                    && (place_again || state.lease.partition.is_none())
                {
                    place(&mut state.lease, &policy.account(view.account).root, partitions);
                }
                desk.ask(TRUNK, &state.name, &mut state.lease, state.channels, limits)
            }
            Scope::Carrier(index) => {
                let state = &mut self.carriers[*index as usize];
                let view = policy.carrier_named(&state.name).map(|ix| policy.carrier(ix));
                let limits = view.map(|view| {
                    let cps = view.cps.unwrap_or(0);
                    Limits { channels: view.channels.unwrap_or(0), cps, burst: cps }
                });
                if state.lease.partition.is_none() {
                    place(&mut state.lease, &state.name, partitions);
                }
                desk.ask(CARRIER, &state.name, &mut state.lease, state.channels, limits)
            }
        });
        let mut asked = Vec::new();
        for (partition, (before, applied)) in shared.asked.iter_mut().zip(&shared.applied).enumerate() {
            let demands = desk.by_partition.remove(&(partition as u16));
            // Once more when nothing is wanted any more: what is left out is given up.
            if std::mem::replace(before, demands.is_some()) || demands.is_some() {
                let asks = LeaseAsked { node: shared.node.clone(), demands: demands.unwrap_or_default(), applied_revision: *applied, ..LeaseAsked::default() };
                asked.push((partition as u16, asks));
            }
        }
        self.shared = Some(shared);
        asked
    }
}

fn place(lease: &mut Lease, key: &str, partitions: u16) {
    let partition = Some(partition_of(key, partitions));
    if lease.partition != partition {
        lease.drop_share();
        lease.partition = partition;
    }
}

impl Desk {
    /// Asks for one scope; false when it is no longer one that had calls lately.
    fn ask(&mut self, scope: &str, name: &str, lease: &mut Lease, used: u32, limits: Option<Limits>) -> bool {
        let over = used == 0 && lease.idle(self.idle_ms, self.now);
        let limited = limits.filter(|limits| !over && (limits.channels > 0 || limits.cps > 0));
        let room = |partition: &u16| self.by_partition.get(partition).is_none_or(|demands| demands.len() < MAX_DEMANDS);
        match (limited, lease.partition.filter(room)) {
            (Some(limits), Some(partition)) => {
                let (cps_offered, rate) = lease.ask(limits, self.now);
                let head_room = rate.saturating_mul(RAMP).max(limits.channels.div_ceil(RAMP));
                self.by_partition.entry(partition).or_default().push(LeaseDemand {
                    scope: scope.to_owned(),
                    name: name.to_owned(),
                    channels_limit: limits.channels,
                    cps_limit: limits.cps,
                    channels_used: if limits.channels > 0 { used } else { 0 },
                    channels_wanted: used.saturating_add(head_room).min(limits.channels),
                    cps_offered,
                    credit: None,
                });
            }
            // Not asked for: given up.
            _ => lease.drop_share(),
        }
        lease.active = !over;
        !over
    }
}
