//! Calls at once: from the INVITE let in until the call's end, ringing and hunting included (F-16). Refused calls are
//! never begun, so they never count (G6).

pub const NAME: &str = "concurrent_calls";
pub const COUNTED_AT: &str = "invite";

#[derive(Debug, Clone, Copy, Default)]
pub struct ConcurrentCalls {
    live: u32,
}

impl ConcurrentCalls {
    pub fn with(live: u32) -> ConcurrentCalls {
        ConcurrentCalls { live }
    }

    pub fn begin(&mut self) {
        self.live = self.live.saturating_add(1);
    }

    pub fn end(&mut self) {
        debug_assert!(self.live > 0, "only calls that began end");
        self.live = self.live.saturating_sub(1);
    }

    pub fn value(&self) -> i64 {
        i64::from(self.live)
    }
}
