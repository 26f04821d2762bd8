//! Calls let in during the last 60 s, sliding (G1: a minute is no calendar minute). Calls within 250 ms of each other
//! leave the window together, with the last of them.

use crate::window::Window;

pub const NAME: &str = "calls_per_minute";
pub const COUNTED_AT: &str = "invite";

pub const SPAN_US: i64 = 60_000_000;
const WIDTH_US: i64 = 250_000;

#[derive(Debug, Clone, Default)]
pub struct CallsPerMinute {
    pub window: Window,
}

impl CallsPerMinute {
    /// One call, at its own time: one that reached us over a minute late says nothing about this minute.
    pub fn count(&mut self, at_us: i64, now_us: i64) {
        self.window.expire(now_us, SPAN_US);
        if at_us + SPAN_US > now_us {
            self.window.add(at_us, 1, WIDTH_US);
        }
    }

    pub fn value(&self, now_us: i64) -> i64 {
        self.window.sum(now_us, SPAN_US)
    }
}
