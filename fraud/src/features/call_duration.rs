//! How long a call has been up, judged while it runs: at the first tick or event after a threshold has passed (G2), and
//! once more at its end in case none came between. Counted per call, reported under the call's key.

pub const NAME: &str = "call_duration";
pub const COUNTED_AT: &str = "tick";

/// Milliseconds since the answer, cut.
pub fn elapsed_ms(answered_us: i64, now_us: i64) -> u64 {
    u64::try_from((now_us - answered_us) / 1000).unwrap_or(0)
}
