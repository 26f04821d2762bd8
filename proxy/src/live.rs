//! The calls that are up, as a fold over topic `calls`: what the proxy resumes from after a crash (design §3), and the
//! sums admission needs then. Per partition; makes no events.
//!
//! **Several nodes.** Calls of a node that fell silent are set aside, by the rule by which the rater closes them (`nodes.rs`),
//! and are open again with the node's next word, if it has not ended them. Those of the own node never are
//! ([`LiveCalls::of_node`]): after however long a stop they are what it resumes from.
//!
//! Limits: [`MAX_OPEN`] open calls, those set aside included (the first of those give way; without any, a further call is
//! poison: quarantined, and not resumed after a crash), [`MAX_EVENTS`] events kept of one call (then the oldest that only
//! informs gives way), calls older than [`MAX_AGE_US`] by event time are forgotten.

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

use tollgate_schemas::nodes::{Nodes, node_of};
pub use tollgate_schemas::nodes::NODE_LOST_US;
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
#[derive(Debug)]
pub struct LiveCalls {
    /// Whose calls are never set aside.
    own: Option<u64>,
    /// First offset not applied: what comes again below it is a repeat.
    next_offset: u64,
    swept_us: i64,
    nodes: Nodes,
    calls: BTreeMap<Id, OpenCall>,
    /// Of nodes that are silent.
    aside: BTreeMap<Id, OpenCall>,
    usage: Usage,
}

impl Default for LiveCalls {
    fn default() -> LiveCalls {
        LiveCalls {
            own: None,
            next_offset: 0,
            swept_us: 0,
            nodes: Nodes::new(NODE_LOST_US),
            calls: BTreeMap::new(),
            aside: BTreeMap::new(),
            usage: Usage::default(),
        }
    }
}

impl LiveCalls {
    /// The view of nobody in particular.
    pub fn new() -> LiveCalls {
        LiveCalls::default()
    }

    /// As a node sees them (the upper 48 bits of its ids): its own calls are open until they end.
    pub fn of_node(node: u64) -> LiveCalls {
        LiveCalls { own: Some(node), ..LiveCalls::default() }
    }

    /// With another tolerated outage than [`NODE_LOST_US`].
    pub fn node_lost_after(mut self, us: i64) -> LiveCalls {
        self.nodes = self.nodes.restored(us);
        self
    }

    /// Calls without `call.ended` of nodes that are heard, in order of id.
    pub fn open_calls(&self) -> impl ExactSizeIterator<Item = &OpenCall> {
        self.calls.values()
    }

    /// One node's calls without `call.ended`, in order of id: what it resumes from where the log is shared.
    pub fn open_calls_of(&self, node: u64) -> impl Iterator<Item = &OpenCall> {
        self.calls.range(ids_of(node)).map(|(_, call)| call)
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
            self.aside.retain(|_, call| call.attempted_event().occurred_us >= oldest);
        }
        // What is not born on a node (a stage's output) tells of none.
        if event.cause_id.is_empty() && self.nodes.heard(event, event.occurred_us) {
            shift(&mut self.aside, &mut self.calls, node_of(event.id()));
        }
        let folded = self.take(event);
        for node in self.nodes.newly_lost() {
            if self.own != Some(node) {
                shift(&mut self.calls, &mut self.aside, node);
            }
        }
        folded
    }

    fn take(&mut self, event: &Arc<Event>) -> Result<(), Poison> {
        match &event.body {
            Some(Body::CallAttempted(attempted)) => {
                let id = event.id();
                if self.calls.contains_key(&id) || self.aside.contains_key(&id) {
                    return Ok(());
                }
                if let Some(facts) = &attempted.facts {
                    self.usage.attempted(facts, event.occurred_us);
                }
                if self.calls.len() + self.aside.len() >= MAX_OPEN && self.aside.pop_first().is_none() {
                    return Err(Poison(format!("call {id} is not kept for a restart: {MAX_OPEN} calls are open")));
                }
                self.calls.insert(id, OpenCall::new(Arc::clone(event)));
            }
            Some(Body::CallEnded(ended)) => {
                let id = event.call_id();
                if let Some(call) = self.calls.remove(&id).or_else(|| self.aside.remove(&id))
                    && let Some(facts) = call.facts()
                {
                    let sell = call.answered().and_then(|(e, answered)| Some((e.occurred_us, answered.sell.as_ref()?)));
                    self.usage.ended(facts, sell, ended.duration_ms, event.occurred_us);
                }
            }
            Some(_) => {
                let id = event.call_id();
                if let Some(call) = self.calls.get_mut(&id).or_else(|| self.aside.get_mut(&id)) {
                    call.keep(event);
                }
            }
            None => {}
        }
        Ok(())
    }
}

fn ids_of(node: u64) -> std::ops::RangeInclusive<Id> {
    let first = u128::from(node) << 80;
    Id(first)..=Id(first | ((1 << 80) - 1))
}

fn shift(from: &mut BTreeMap<Id, OpenCall>, to: &mut BTreeMap<Id, OpenCall>, node: u64) {
    let ids: Vec<Id> = from.range(ids_of(node)).map(|(id, _)| *id).collect();
    to.extend(ids.into_iter().filter_map(|id| from.remove_entry(&id)));
}

impl Stage for LiveCalls {
    fn name(&self) -> &'static str {
        "live"
    }

    fn snapshot_version(&self) -> u32 {
        2
    }

    fn apply(&mut self, offset: u64, event: &Event, _out: &mut Outputs) -> Result<(), Poison> {
        // Most events are of calls; what no fold keeps is not copied.
        if matches!(event.body, Some(Body::CallRefused(_) | Body::CallMedia(_) | Body::Tick(_)) | None) {
            let (id, cause_id) = (event.id.clone(), event.cause_id.clone());
            let (occurred_us, boot_id, mono_ns) = (event.occurred_us, event.boot_id, event.mono_ns);
            return self.fold(offset, &Arc::new(Event { id, cause_id, occurred_us, boot_id, mono_ns, ..Event::default() }));
        }
        self.fold(offset, &Arc::new(event.clone()))
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::encode(self)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), BadSnapshot> {
        let restored = snapshot::decode(state, self.own, self.nodes.lost_after_us());
        *self = restored.map_err(|problem| BadSnapshot { stage: "live", problem })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
