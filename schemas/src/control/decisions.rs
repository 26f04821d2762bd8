//! Which decisions in topic `control` stand, where several processes may decide (design §2, Control).
//!
//! A decision says the position it was made at (`based_on`). Whoever reads takes it for one in force only when it stands where
//! it was meant to: then nobody decided anything between what its owner had read and itself. One that was overtaken is void for
//! every reader alike, and its owner decides again. Decisions that hold together stand only if they follow each other without
//! a stranger between; until the last has come the first ones wait.

use std::sync::Arc;

use crate::{
    event::Body,
    v1::{ControlApplied, Event},
};

/// Sifts topic `control`, read in order from any place.
#[derive(Debug, Default, Clone)]
pub struct Decisions {
    /// The first ones of decisions that hold together, with their offsets.
    waiting: Vec<(u64, Arc<Event>)>,
}

impl Decisions {
    /// The events that stand now: this one, this one with those that waited for it, or none.
    pub fn take(&mut self, offset: u64, event: &Arc<Event>) -> Vec<Arc<Event>> {
        let Some(Body::ControlApplied(applied)) = &event.body else {
            // A refusal or any other word in between overtakes, too.
            self.waiting.clear();
            return vec![event.clone()];
        };
        let Some(based_on) = applied.based_on else {
            self.waiting.clear();
            return vec![event.clone()];
        };
        if based_on.checked_add(applied.batch_index.into()) != Some(offset) {
            self.waiting.clear();
            return Vec::new();
        }
        if applied.batch_index == 0 {
            self.waiting.clear();
        } else if !self.follows(offset, applied) {
            self.waiting.clear();
            return Vec::new();
        }
        self.waiting.push((offset, event.clone()));
        if applied.batch_index + 1 < applied.batch_count {
            return Vec::new();
        }
        std::mem::take(&mut self.waiting).into_iter().map(|(_, event)| event).collect()
    }

    fn follows(&self, offset: u64, applied: &ControlApplied) -> bool {
        self.waiting.len() == applied.batch_index as usize && self.waiting.last().is_some_and(|(last, _)| last + 1 == offset)
    }

    /// Where to read from again after a restart that has `next` to read: what waits must be read once more.
    pub fn resume_at(&self, next: u64) -> u64 {
        self.waiting.first().map_or(next, |(offset, _)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::ControlRefused;

    fn decision(name: &str, based_on: Option<u64>, batch_index: u32, batch_count: u32) -> Arc<Event> {
        let body = ControlApplied { name: name.to_owned(), based_on, batch_index, batch_count, ..ControlApplied::default() };
        Arc::new(Event { body: Some(Body::ControlApplied(body)), ..Event::default() })
    }

    fn stand(events: &[Arc<Event>]) -> Vec<String> {
        let mut decisions = Decisions::default();
        let mut names = Vec::new();
        for (offset, event) in (0..).zip(events) {
            for event in decisions.take(offset, event) {
                if let Some(Body::ControlApplied(a)) = &event.body {
                    names.push(a.name.clone());
                }
            }
        }
        names
    }

    #[test]
    fn design_2_a_decision_that_was_overtaken_is_void() {
        let one = |name, at| decision(name, Some(at), 0, 0);
        assert_eq!(stand(&[one("a", 0), one("late", 0), one("b", 2)]), ["a", "b"]);
        // One owner alone says no position.
        assert_eq!(stand(&[decision("a", None, 0, 0), decision("b", None, 0, 0)]), ["a", "b"]);
    }

    #[test]
    fn design_2_decisions_that_hold_together_stand_all_or_none() {
        let part = |name, at, index| decision(name, Some(at), index, 2);
        assert_eq!(stand(&[part("a1", 0, 0), part("a2", 0, 1)]), ["a1", "a2"]);
        // Another's between them; half a batch of who died; and the next after each.
        assert_eq!(stand(&[part("a1", 0, 0), decision("b", Some(0), 0, 0), part("a2", 0, 1), decision("c", Some(3), 0, 0)]), ["c"]);
        assert_eq!(stand(&[part("a1", 0, 0), decision("c", Some(1), 0, 0)]), ["c"]);
        let refused = Arc::new(Event { body: Some(Body::ControlRefused(ControlRefused::default())), ..Event::default() });
        assert_eq!(stand(&[part("a1", 0, 0), refused, part("a2", 0, 1)]), [""; 0]);
    }

    #[test]
    fn a_reader_that_starts_again_in_the_middle_reads_what_waits_once_more() {
        let mut decisions = Decisions::default();
        assert!(decisions.take(4, &decision("a1", Some(4), 0, 2)).is_empty());
        assert_eq!((decisions.resume_at(5), Decisions::default().resume_at(5)), (4, 5));
    }
}
