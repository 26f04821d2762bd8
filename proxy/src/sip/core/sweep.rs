//! Looking over every call: when blocks change, and for whoever wants to know what is up.

use tollgate_schemas::time::Now;

use super::{
    super::call::{Call, Phase},
    Core, ms,
};

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

    /// FN-07: an account that has a limit now, or is prepaid now, may have calls up that hold nothing of it. They take a slice at once,
    /// for what they came to so far as well, or end where there is no money for it.
    pub(super) fn begin_credit(&mut self, now: Now) {
        let plan = self.plan.clone();
        let limited = |call: &Call| {
            matches!(call.phase, Phase::Hunting | Phase::Answered)
                && !call.facts.emergency
                && plan.policy.account_named(&call.facts.account).is_some_and(|ix| plan.policy.account(ix).has_credit)
        };
        let up: Vec<_> = self.calls.iter().filter(|(_, call)| limited(call)).map(|(at, _)| at).collect();
        for at in up {
            let Some(mut call) = self.calls.take(at) else { continue };
            let begins = call.slot.as_ref().is_some_and(|slot| {
                self.gate().admission.credit_began(slot, &plan.policy, &call.facts.account, call.sell.as_ref(), &call.tiers, now)
            });
            if begins {
                call.on_credit = true;
                call.slice_ms = if call.phase == Phase::Answered { ms(now) } else { call.slice_ms };
            }
            self.put_call(at, call);
        }
    }
}
