//! The calls that are up, as a fold over topic `calls`: what the proxy resumes from after a crash (design §3), and the
//! sums admission needs then. Per partition; makes no events.
//!
//! Limits: [`MAX_OPEN`] open calls (a further one is poison: quarantined, and not resumed after a crash),
//! [`MAX_EVENTS`] events kept of one call (then the oldest that only informs gives way), calls older than [`MAX_AGE_US`] by
//! event time are forgotten (their node is lost, and the rater closes them).

mod call;
mod snapshot;
mod usage;

use std::{collections::BTreeMap, sync::Arc};

use tollgate_schemas::{
    event::Body,
    id::Id,
    stage::{BadSnapshot, Outputs, Poison, Stage},
    v1::Event,
};

pub use self::{
    call::{MAX_EVENTS, OpenCall},
    usage::{Spend, Usage},
};

/// Most open calls of one partition.
pub const MAX_OPEN: usize = 1 << 20;
/// No call lasts this long (P-46: 12 h at most); microseconds of event time.
pub const MAX_AGE_US: i64 = 48 * 3600 * 1_000_000;
/// How often, by event time, calls that are too old are looked for.
const SWEEP_US: i64 = 3600 * 1_000_000;

/// One partition's open calls and usage.
#[derive(Debug, Default)]
pub struct LiveCalls {
    /// First offset not applied: what comes again below it is a repeat.
    next_offset: u64,
    swept_us: i64,
    calls: BTreeMap<Id, OpenCall>,
    usage: Usage,
}

impl LiveCalls {
    pub fn new() -> LiveCalls {
        LiveCalls::default()
    }

    /// Calls without `call.ended`, in order of id.
    pub fn open_calls(&self) -> impl ExactSizeIterator<Item = &OpenCall> {
        self.calls.values()
    }

    pub fn open_call(&self, id: Id) -> Option<&OpenCall> {
        self.calls.get(&id)
    }

    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Applies one event; shares it rather than copying it.
    pub fn fold(&mut self, offset: u64, event: &Arc<Event>) -> Result<(), Poison> {
        if offset < self.next_offset {
            return Ok(());
        }
        self.next_offset = offset + 1;
        self.usage.advance(event.occurred_us);
        if self.usage.latest_us >= self.swept_us + SWEEP_US {
            self.swept_us = self.usage.latest_us;
            let oldest = self.usage.latest_us - MAX_AGE_US;
            self.calls.retain(|_, call| call.attempted_event().occurred_us >= oldest);
        }
        match &event.body {
            Some(Body::CallAttempted(attempted)) => {
                let id = event.id();
                if self.calls.contains_key(&id) {
                    return Ok(());
                }
                if let Some(facts) = &attempted.facts {
                    self.usage.attempted(facts, event.occurred_us);
                }
                if self.calls.len() >= MAX_OPEN {
                    return Err(Poison(format!("call {id} is not kept for a restart: {MAX_OPEN} calls are open")));
                }
                self.calls.insert(id, OpenCall::new(Arc::clone(event)));
            }
            Some(Body::CallEnded(ended)) => {
                if let Some(call) = self.calls.remove(&event.call_id())
                    && let Some(facts) = call.facts()
                {
                    let sell = call.answered().and_then(|(_, answered)| answered.sell.as_ref());
                    self.usage.ended(facts, sell, ended.duration_ms, event.occurred_us);
                }
            }
            Some(_) => {
                if let Some(call) = self.calls.get_mut(&event.call_id()) {
                    call.keep(event);
                }
            }
            None => {}
        }
        Ok(())
    }
}

impl Stage for LiveCalls {
    fn name(&self) -> &'static str {
        "live"
    }

    fn snapshot_version(&self) -> u32 {
        1
    }

    fn apply(&mut self, offset: u64, event: &Event, _out: &mut Outputs) -> Result<(), Poison> {
        // Most events are of calls; what no fold keeps is not copied.
        if matches!(event.body, Some(Body::CallRefused(_) | Body::CallMedia(_) | Body::Tick(_)) | None) {
            return self.fold(offset, &Arc::new(Event { occurred_us: event.occurred_us, ..Event::default() }));
        }
        self.fold(offset, &Arc::new(event.clone()))
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::encode(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        *self = snapshot::decode(state).map_err(|problem| BadSnapshot { stage: "live", problem })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
