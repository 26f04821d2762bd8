//! a fee when too many answered calls of a period are short. The share is of connected calls only; the period is a
//! UTC window over answer times. Who counts them is the store (`TallyQuery`); invoice and report go by the count alone.

use super::Line;

/// When short calls cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortPolicy {
    /// A call up to so long is short: 6000.
    pub short_ms: u64,
    /// Share of short calls that is allowed, in millionths: 150,000 = 15 %.
    pub allowance_e6: u32,
    /// Per call charged.
    pub fee_e8: i64,
    pub charge: ShortCharge,
    /// Fewer connected calls than this are not judged.
    pub min_calls: u64,
}

/// Which short calls of a breach are charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortCharge {
    /// All of them, as published tariffs read.
    All,
    /// Those beyond the allowance.
    Excess,
}

impl Default for ShortPolicy {
    /// 6 s, 15 %, 0.01 for all, whatever the number of calls.
    fn default() -> ShortPolicy {
        ShortPolicy { short_ms: 6_000, allowance_e6: 150_000, fee_e8: 1_000_000, charge: ShortCharge::All, min_calls: 0 }
    }
}

/// A period's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShortCalls {
    pub connected: u64,
    pub short: u64,
}

impl ShortCalls {
    /// How many of the connected calls may be short.
    pub fn allowed(&self, policy: &ShortPolicy) -> u64 {
        u64::try_from(u128::from(self.connected) * u128::from(policy.allowance_e6) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// Whether there are enough calls to be judged.
    pub fn is_judged(&self, policy: &ShortPolicy) -> bool {
        self.connected > 0 && self.connected >= policy.min_calls
    }

    /// Short calls beyond the allowance; 0 = no breach.
    pub fn excess(&self, policy: &ShortPolicy) -> u64 {
        if self.is_judged(policy) { self.short.saturating_sub(self.allowed(policy)) } else { 0 }
    }

    /// The fee's line, where there is a breach.
    pub fn line(&self, policy: &ShortPolicy) -> Option<Line> {
        let excess = self.excess(policy);
        if excess == 0 {
            return None;
        }
        let charged = match policy.charge {
            ShortCharge::All => self.short,
            ShortCharge::Excess => excess,
        };
        let amount_e8 = i64::try_from(i128::from(charged) * i128::from(policy.fee_e8)).unwrap_or(i64::MAX);
        let name = format!("short calls, {} of {} up to {} s", self.short, self.connected, policy.short_ms / 1000);
        Some(Line { name, amount_e8 })
    }
}
