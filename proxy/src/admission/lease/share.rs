//! What is known of one scope's share, beside the scope's counters.

use tollgate_schemas::{time::Now, v1::LeaseShare};

use crate::admission::bucket::Bucket;

/// A node without a grant has a limit's eighth, rounded up.
const BOOTSTRAP: u32 = 8;
/// For so long after a scope's first call a smaller share does not go below that: what others hold and do not need
/// takes two of their demands to come free, and first calls do not wait for it.
const WARM_UP_NS: u64 = 5 * SECOND_NS;
const SECOND_NS: u64 = 1_000_000_000;

/// What a node may use of a limit before it was granted anything.
pub fn bootstrap(limit: u32) -> u32 {
    limit.div_ceil(BOOTSTRAP)
}

/// The part of a burst that goes with a share of the rate, rounded down: parts never add up to more than the whole.
pub fn part(burst: u32, share: u32, cps: u32) -> u32 {
    (u64::from(burst) * u64::from(share) / u64::from(cps.max(1))) as u32
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Lease {
    held: Option<Held>,
    /// On the list of scopes that had calls lately.
    pub active: bool,
    /// Where the scope's lessor is; none until it was asked.
    pub partition: Option<u16>,
    asked: Limits,
    offered: Offered,
    /// Until then it is new here.
    warm_up_ns: u64,
}

/// A scope's limits; 0 = none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub channels: u32,
    pub cps: u32,
    pub burst: u32,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    /// None: there was no such limit when the share was asked for, so none of it was granted.
    channels: Option<u32>,
    cps: Option<u32>,
    revision: u64,
    until_ns: u64,
}

/// Calls offered, by the second of the monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
struct Offered {
    second: u64,
    now: u32,
    last: u32,
    /// The most in one second, a quarter less for each second since.
    peak: u32,
    at_ns: u64,
}

impl Lease {
    pub fn channels(&self, limit: u32, now: Now) -> u32 {
        self.share(self.held(now).and_then(|held| held.channels), limit, now)
    }

    pub fn cps(&self, limit: u32, now: Now) -> u32 {
        self.share(self.held(now).and_then(|held| held.cps), limit, now)
    }

    fn share(&self, held: Option<u32>, limit: u32, now: Now) -> u32 {
        match held {
            Some(share) if now.mono_ns >= self.warm_up_ns => share.min(limit),
            Some(share) => share.min(limit).max(bootstrap(limit)),
            None => bootstrap(limit),
        }
    }

    /// What it may use is a granted share and nothing else.
    pub fn holds(&self, now: Now) -> bool {
        self.held(now).is_some() && now.mono_ns >= self.warm_up_ns
    }

    fn held(&self, now: Now) -> Option<&Held> {
        self.held.as_ref().filter(|held| now.mono_ns < held.until_ns)
    }

    pub fn revision(&self) -> Option<u64> {
        self.held.map(|held| held.revision)
    }

    pub fn drop_share(&mut self) {
        self.held = None;
    }

    /// Takes a share over. One of a scope that was given up meanwhile is not taken: the lessor gives it to others.
    pub fn grant(&mut self, share: &LeaseShare, revision: u64, until_ns: u64, bucket: &mut Bucket, now: Now) {
        if !self.active {
            return;
        }
        let Limits { channels, cps, burst } = self.asked;
        if cps > 0 {
            let share = share.cps.min(cps);
            if bucket.is_new() {
                // Full at the start is what a node may have without a grant; more comes with time.
                bucket.reshare(bootstrap(cps), part(burst, bootstrap(cps), cps), now);
            }
            bucket.reshare(share, part(burst, share, cps), now);
        }
        self.held = Some(Held { channels: (channels > 0).then_some(share.channels), cps: (cps > 0).then_some(share.cps), revision, until_ns });
    }

    /// Counts one more call offered.
    pub fn offered(&mut self, now: Now) {
        if !self.active {
            self.warm_up_ns = now.mono_ns.saturating_add(WARM_UP_NS);
        }
        self.offered.roll(now);
        self.offered.now = self.offered.now.saturating_add(1);
    }

    /// Nothing was offered for so long.
    pub fn idle(&self, idle_ms: u64, now: Now) -> bool {
        now.mono_ns.saturating_sub(self.offered.at_ns) >= idle_ms.saturating_mul(1_000_000)
    }

    /// Notes what is asked for; gives the calls of the last second, and the rate that a ramp is reckoned from.
    pub fn ask(&mut self, limits: Limits, now: Now) -> (u32, u32) {
        self.asked = limits;
        let mut offered = self.offered;
        offered.roll(now);
        let lately = offered.now.max(offered.last);
        (lately, lately.max(offered.peak))
    }
}

impl Offered {
    fn roll(&mut self, now: Now) {
        let second = now.mono_ns / SECOND_NS;
        self.at_ns = self.at_ns.max(now.mono_ns);
        if second <= self.second {
            return;
        }
        self.peak = self.peak.max(self.now);
        for _ in 0..(second - self.second).min(64) {
            self.peak -= self.peak.div_ceil(4);
        }
        self.last = if second == self.second + 1 { self.now } else { 0 };
        self.now = 0;
        self.second = second;
    }
}
