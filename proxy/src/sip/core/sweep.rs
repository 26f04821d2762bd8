//! Looking over every call: when blocks change, and for whoever wants to know what is up.

use tollgate_schemas::time::Now;

use super::{super::call::Phase, Core};

/// What became of a command to end a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOutcome {
    Ending,
    /// Not here, or over already.
    Unknown,
}

impl Core {
    /// Ends every call that a block with teardown covers now, ringing, hunting and live ones alike (F-33). Emergency
    /// calls are never swept. Gives how many.
    pub fn sweep(&mut self, now: Now) -> usize {
        let up: Vec<_> = self.calls.iter().filter(|(_, c)| matches!(c.phase, Phase::Hunting | Phase::Answered)).map(|(at, _)| at).collect();
        let mut ended = 0;
        for at in up {
            let Some(mut call) = self.calls.take(at) else { continue };
            let covered = self.block_on(&call, now).filter(|v| v.teardown || call.phase == Phase::Hunting);
            if let Some(verdict) = covered {
                self.tear_down(at, &mut call, verdict, now);
                ended += 1;
            }
            self.put_call(at, call);
        }
        ended
    }
}
