//! Limits that hold over all proxies together (design §4): of the channels and calls per second of a trunk or a carrier this
//! node uses a share, which the one lessor of the scope's partition grants it for a short time. A node alone
//! ([`Admission::lease_mode`] never called) has no shares: every limit is whole and nothing here is computed.
//!
//! **Asking.** Once a second or so [`Admission::lease_demands`] says, for every scope that had calls lately, what is used
//! and wanted (`demand.rs`). A scope without a call for `idle_ms` is left out, which gives its share up.
//!
//! **Holding.** A grant replaces the one before it, whole, by its revision. A share holds `hold_ms` from when it is read.
//! Without a newer one it goes on for `outage_ms`: the log is away, for everybody, and nobody grants it to another. After
//! that, and before the first grant, the node has an eighth of the limit, rounded up, and no less in the first five seconds of a
//! scope (`share.rs`), so that first calls are taken at once and a long outage does not stop a trunk. No live call is ended for a share, emergency calls ask for none.
//!
//! **How much too much.** Shares never add up to more than the limit (the lessor's promise, which also says when it can
//! fail). Beyond it each node without a share, or new, may have an eighth: calls up at once stay within limit + nodes × ⌈limit/8⌉,
//! and calls of any t seconds within burst + cps × t, and nodes × ⌈both/8⌉ more.
//!
//! **Limits.** Demands of one partition: [`MAX_DEMANDS`], further scopes have the eighth.

mod demand;
mod share;

use tollgate_schemas::{
    time::Now,
    v1::{LeaseGranted, LeaseShare},
};

pub use self::demand::MAX_DEMANDS;
pub(super) use self::share::Lease;
use super::{Admission, TrunkView};

/// `LeaseDemand.scope` of what is limited.
const TRUNK: &str = "trunk";
const CARRIER: &str = "carrier";

/// How a node that shares its limits behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRules {
    /// Of topic `leases`; a scope's partition follows from it.
    pub partitions: u16,
    /// How long an unrenewed share goes on after its `hold_ms`. The lessor's `keep_ms` must be longer than both together, by
    /// as much as a grant may be late.
    pub outage_ms: u64,
    /// A scope that had no call for so long is given up.
    pub idle_ms: u64,
}

impl Default for LeaseRules {
    fn default() -> LeaseRules {
        LeaseRules { partitions: 16, outage_ms: 120_000, idle_ms: 60_000 }
    }
}

/// A scope by its place in the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Trunk(u32),
    Carrier(u32),
}

/// What a node knows of its shares as a whole.
#[derive(Debug)]
pub(super) struct Shared {
    node: String,
    rules: LeaseRules,
    /// Scopes that had calls lately.
    active: Vec<Scope>,
    /// By partition: the newest revision applied, and whether anything was asked for last time.
    applied: Vec<u64>,
    asked: Vec<bool>,
    /// The control position at which the scopes' partitions were worked out.
    placed: Option<u64>,
}

/// A share as a figure, for metrics and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseGauge {
    /// "trunk" or "carrier", and its name.
    pub scope: &'static str,
    pub name: String,
    /// False: the eighth of a node that holds no grant, or is new.
    pub granted: bool,
    /// Share and limit; none where there is no limit.
    pub channels: Option<(u32, u32)>,
    pub cps: Option<(u32, u32)>,
}

impl Admission {
    /// From now on limits are shared with other proxies. `node`: 12 hex digits, `Mint::node_name`. Before the first call.
    pub fn lease_mode(&mut self, node: &str, rules: LeaseRules) {
        let partitions = usize::from(rules.partitions.max(1));
        let shared = Shared { node: node.to_owned(), rules, active: Vec::new(), applied: vec![0; partitions], asked: vec![false; partitions], placed: None };
        self.shared = Some(Box::new(shared));
        for index in 0..self.trunks.len() {
            self.lease_resumed(Scope::Trunk(index as u32));
        }
        for index in 0..self.carriers.len() {
            self.lease_resumed(Scope::Carrier(index as u32));
        }
    }

    /// Takes over what the lessor gave this node. Of another node, older than what was applied, or alone: nothing happens.
    pub fn apply_lease(&mut self, granted: &LeaseGranted, now: Now) {
        let Some(mut shared) = self.shared.take() else { return };
        if granted.node == shared.node {
            self.apply_own(&mut shared, granted, now);
        }
        self.shared = Some(shared);
    }

    fn apply_own(&mut self, shared: &mut Shared, granted: &LeaseGranted, now: Now) {
        // A grant is of one partition, whose revision it counts; its scopes say which.
        let Some(partition) = granted.shares.iter().find_map(|share| self.lease_named(share)?.partition) else { return };
        let Some(applied) = shared.applied.get_mut(usize::from(partition)).filter(|applied| **applied < granted.revision) else { return };
        *applied = granted.revision;
        let lasts_ms = granted.hold_ms.saturating_add(shared.rules.outage_ms);
        let until_ns = now.mono_ns.saturating_add(lasts_ms.saturating_mul(1_000_000));
        for share in &granted.shares {
            match (share.scope.as_str(), self.trunk_names.get(&share.name), self.carrier_names.get(&share.name)) {
                (TRUNK, Some(index), _) => {
                    let trunk = &mut self.trunks[*index as usize];
                    trunk.lease.grant(share, granted.revision, until_ns, &mut trunk.bucket, now);
                }
                (CARRIER, _, Some(index)) => {
                    let carrier = &mut self.carriers[*index as usize];
                    carrier.lease.grant(share, granted.revision, until_ns, &mut carrier.bucket, now);
                }
                _ => {}
            }
        }
        // Whole: what it leaves out is not this node's any more, and the lessor counts it as free once this is applied.
        for scope in &shared.active {
            let lease = self.lease_mut(*scope);
            if lease.partition == Some(partition) && lease.revision() != Some(granted.revision) {
                lease.drop_share();
            }
        }
    }

    /// The shares of the scopes that had calls lately, by scope and name; empty when alone.
    pub fn lease_gauges(&self, policy: &super::Policy, now: Now) -> Vec<LeaseGauge> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let mut gauges: Vec<LeaseGauge> = shared
            .active
            .iter()
            .filter_map(|scope| {
                let (scope, name, lease, channels, cps) = match scope {
                    Scope::Trunk(index) => {
                        let state = &self.trunks[*index as usize];
                        let view = policy.trunk(policy.trunk_named(&state.name)?);
                        (TRUNK, &state.name, &state.lease, Some(view.channels), Some(view.cps))
                    }
                    Scope::Carrier(index) => {
                        let state = &self.carriers[*index as usize];
                        let view = policy.carrier(policy.carrier_named(&state.name)?);
                        (CARRIER, &state.name, &state.lease, view.channels, view.cps)
                    }
                };
                let channels = channels.map(|limit| (lease.channels(limit, now), limit));
                let cps = cps.map(|limit| (lease.cps(limit, now), limit));
                Some(LeaseGauge { scope, name: name.clone(), granted: lease.holds(now), channels, cps })
            })
            .collect();
        gauges.sort_by(|a, b| (a.scope, &a.name).cmp(&(b.scope, &b.name)));
        gauges
    }

    /// Counts an ordinary call offered to a trunk and takes a token of its rate; why not, where there is none.
    #[inline]
    pub(super) fn over_cps(&mut self, trunk: u32, view: &TrunkView, now: Now) -> Option<String> {
        if self.shared.is_some() {
            return self.over_cps_share(trunk, view, now);
        }
        let passes = self.trunks[trunk as usize].bucket.take(view.cps, view.burst, now);
        (!passes).then(|| format!("{} calls per second, burst {}", view.cps, view.burst))
    }

    fn over_cps_share(&mut self, trunk: u32, view: &TrunkView, now: Now) -> Option<String> {
        self.lease_offered(Scope::Trunk(trunk), now);
        let state = &mut self.trunks[trunk as usize];
        let share = state.lease.cps(view.cps, now);
        let burst = share::part(view.burst, share, view.cps);
        if share > 0 && state.bucket.take_share(share, burst, now) {
            return None;
        }
        Some(format!("this node's share is {share} of {} calls per second, burst {burst} of {}", view.cps, view.burst))
    }

    /// Most channels of a trunk on this node.
    #[inline]
    pub(super) fn trunk_channels(&self, trunk: u32, limit: u32, now: Now) -> u32 {
        if self.shared.is_none() { limit } else { self.trunks[trunk as usize].lease.channels(limit, now) }
    }

    /// One more call was offered to a scope.
    pub(super) fn lease_offered(&mut self, scope: Scope, now: Now) {
        self.lease_mut(scope).offered(now);
        self.lease_active(scope);
    }

    /// A call that was up before this process takes a place of the scope.
    pub(super) fn lease_resumed(&mut self, scope: Scope) {
        let used = match scope {
            Scope::Trunk(index) => self.trunks[index as usize].channels,
            Scope::Carrier(index) => self.carriers[index as usize].channels,
        };
        if used > 0 {
            self.lease_active(scope);
        }
    }

    fn lease_active(&mut self, scope: Scope) {
        if self.shared.is_some()
            && !std::mem::replace(&mut self.lease_mut(scope).active, true)
            && let Some(shared) = &mut self.shared
        {
            shared.active.push(scope);
        }
    }

    fn lease_mut(&mut self, scope: Scope) -> &mut Lease {
        match scope {
            Scope::Trunk(index) => &mut self.trunks[index as usize].lease,
            Scope::Carrier(index) => &mut self.carriers[index as usize].lease,
        }
    }

    fn lease_named(&self, share: &LeaseShare) -> Option<&Lease> {
        match share.scope.as_str() {
            TRUNK => self.trunk_names.get(&share.name).map(|index| &self.trunks[*index as usize].lease),
            CARRIER => self.carrier_names.get(&share.name).map(|index| &self.carriers[*index as usize].lease),
            _ => None,
        }
    }
}
