//! Durations as seconds.

use crate::v1::{SecondsRule, Terms};

/// whole seconds of an answered call, rounded up, at least one. Durations arrive cut to milliseconds.
#[inline]
pub fn rated_seconds(duration_ms: u64) -> u64 {
    duration_ms.div_ceil(1000).max(1)
}

/// the initial increment, then whole increments. Increments of 0 count as 1.
#[inline]
pub fn billed_seconds(seconds: u64, initial_s: u32, increment_s: u32) -> u64 {
    let initial = u64::from(initial_s);
    let increment = u64::from(increment_s).max(1);
    if seconds <= initial { initial.max(1) } else { initial + (seconds - initial).div_ceil(increment) * increment }
}

impl Terms {
    /// R-06 as these terms have it: whole seconds of an answered call, at least one.
    pub fn seconds(&self, duration_ms: u64) -> u64 {
        let ms = duration_ms.saturating_sub(self.tolerance_ms.into());
        let whole = match self.seconds_rule() {
            SecondsRule::Ceil => ms.div_ceil(1000),
            SecondsRule::HalfUp => ms / 1000 + u64::from(ms % 1000 >= 500),
            SecondsRule::Floor => ms / 1000,
        };
        whole.max(1)
    }

    /// The longest duration that counts as at most so many seconds (at least one).
    pub(super) fn longest_ms(&self, seconds: u64) -> u64 {
        let beyond = match self.seconds_rule() {
            SecondsRule::Ceil => 0,
            SecondsRule::HalfUp => 499,
            SecondsRule::Floor => 999,
        };
        seconds.saturating_mul(1000).saturating_add(beyond).saturating_add(self.tolerance_ms.into())
    }
}
