//! Nodes heard and nodes silent. Calls of a node that fell silent (`nodes.rs`) no longer count as up and owe no more, or a
//! dead node's calls would hold their account's count for ever; what they owed stays counted. They are kept aside, and count
//! again with the node's next word or the next fact of theirs, what they owe by then included.

use tollgate_schemas::{id::Id, v1::Event};

use super::{Guard, MAX_SKEW_US, Owing, node_of};
use crate::calls::LOST_US;

impl Guard {
    /// Hears an event's node, and sees which others have fallen silent.
    pub(super) fn hear(&mut self, event: &Event, at_us: i64) {
        // A stage's output is born on no node.
        if !event.cause_id.is_empty() {
            return;
        }
        if self.nodes.heard(event, at_us) {
            let node = node_of(event.id());
            self.calls.slots_where(|c| node_of(c.id) == node && c.silent.is_some()).into_iter().for_each(|slot| self.count_again(slot));
        }
        for node in self.nodes.newly_lost() {
            self.calls.slots_where(|c| node_of(c.id) == node && c.silent.is_none()).into_iter().for_each(|slot| self.set_aside(slot));
        }
    }

    /// An event's time on the partition's clock, never ahead of it.
    pub(super) fn partition_time(&self, event: &Event) -> i64 {
        let behind_us = self.nodes.last_word(node_of(event.id())).map_or(0, |word| self.now_us - word.occurred_us);
        let skew_us = if (0..=MAX_SKEW_US).contains(&behind_us) { behind_us } else { 0 };
        event.occurred_us.saturating_add(skew_us).min(self.now_us)
    }

    /// A call's slot, counted as up again if it was not.
    pub(super) fn spoken_of(&mut self, call: Id) -> Option<u32> {
        let slot = self.calls.slot(call)?;
        self.count_again(slot);
        Some(slot)
    }

    fn set_aside(&mut self, slot: u32) {
        let Some(call) = self.calls.get_mut(slot) else { return };
        let (owing, due_us) = (Owing::of(call), call.seen_us + LOST_US);
        call.silent = Some(call.key.and_then(|key| self.keys.get(key)).map_or(0, |key| key.serial));
        self.forget(&owing);
        self.calls.set_due(slot, due_us);
    }

    fn count_again(&mut self, slot: u32) {
        let now_us = self.now_us;
        let Some(call) = self.calls.get_mut(slot) else { return };
        if call.silent.is_none() {
            return;
        }
        call.key = call.standing_key(&self.keys);
        call.silent = None;
        let (owing, classes) = (Owing::of(call), call.classes);
        for key in owing.slots(&self.keys) {
            self.keys.begin(key, |k| classes.each().for_each(|w| k.lanes[w.lane()].resume(now_us)));
        }
        self.calls.set_due(slot, now_us);
    }
}
