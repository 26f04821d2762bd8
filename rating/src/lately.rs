//! What was seen lately, by id: bounded in number and, where wanted, in log time. For what is to be done once.

use std::collections::{HashMap, VecDeque};

use tollgate_schemas::id::Id;

/// How long a request is known by its key, in log time.
pub const REQUEST_US: i64 = 24 * 3600 * 1_000_000;

/// Each with the time of the event that brought it. Beyond `most` the oldest is forgotten; older than `age_us` counts as unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lately<T> {
    most: usize,
    age_us: i64,
    by_id: HashMap<Id, (i64, T)>,
    /// In the order they came.
    order: VecDeque<(i64, Id)>,
}

impl<T> Lately<T> {
    /// `age_us`: `i64::MAX` = whatever its age.
    pub fn new(most: usize, age_us: i64) -> Lately<T> {
        Lately { most, age_us, by_id: HashMap::new(), order: VecDeque::new() }
    }

    /// As known at an instant.
    pub fn get(&self, id: Id, at_us: i64) -> Option<&T> {
        self.by_id.get(&id).filter(|(seen_us, _)| at_us.saturating_sub(*seen_us) < self.age_us).map(|(_, known)| known)
    }

    /// Takes the place of what had the id before.
    pub fn insert(&mut self, id: Id, at_us: i64, known: T) {
        self.by_id.insert(id, (at_us, known));
        self.order.push_back((at_us, id));
        while let Some((oldest_us, oldest)) = self.order.front().copied()
            && (self.order.len() > self.most || at_us.saturating_sub(oldest_us) >= self.age_us)
        {
            self.order.pop_front();
            // One that came again has a later place.
            if self.by_id.get(&oldest).is_some_and(|(seen_us, _)| *seen_us == oldest_us) {
                self.by_id.remove(&oldest);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// Bytes of one in a snapshot: the id and its time, big end first.
const SAVED: usize = 24;

impl Lately<()> {
    pub fn to_bytes(&self) -> Vec<u8> {
        self.order.iter().flat_map(|(at_us, id)| id.0.to_be_bytes().into_iter().chain(at_us.to_be_bytes())).collect()
    }

    /// None when the bytes are cut short.
    pub fn restored(mut self, bytes: &[u8]) -> Option<Lately<()>> {
        let (all, rest) = bytes.as_chunks::<SAVED>();
        if !rest.is_empty() {
            return None;
        }
        for one in all {
            let (id, at) = one.split_at(16);
            self.insert(Id(u128::from_be_bytes(id.try_into().ok()?)), i64::from_be_bytes(at.try_into().ok()?), ());
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_08_a_request_is_known_for_a_day_of_the_logs_time_and_no_longer() {
        let mut seen = Lately::new(10, REQUEST_US);
        seen.insert(Id(1), 5, "first");
        assert_eq!(seen.get(Id(1), 5 + REQUEST_US - 1), Some(&"first"));
        assert_eq!(seen.get(Id(1), 5 + REQUEST_US), None, "after a day it is another");
        seen.insert(Id(1), 5 + REQUEST_US, "second");
        assert_eq!((seen.get(Id(1), 6 + REQUEST_US), seen.len()), (Some(&"second"), 1));
    }

    #[test]
    fn x_08_requests_are_bounded_and_come_back_from_a_snapshot() {
        let mut seen = Lately::new(3, i64::MAX);
        (1..=5u128).for_each(|n| seen.insert(Id(n), n as i64, ()));
        assert_eq!((seen.len(), seen.get(Id(2), 9), seen.get(Id(3), 9)), (3, None, Some(&())));
        let back = Lately::new(3, i64::MAX).restored(&seen.to_bytes()).expect("whole");
        assert_eq!(back, seen);
        assert!(Lately::new(3, i64::MAX).restored(&[0; 25]).is_none());
    }
}
