//! Numbers whose look-up brought no answer a moment ago: the next calls to them do not wait again, and one number counts once.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;
use tollgate_schemas::number::E164;

/// The newest failures, each for the same time; the oldest given up first. Times are monotonic nanoseconds.
#[derive(Debug)]
pub struct Failed {
    since_ns: HashMap<E164, u64, FixedState>,
    /// Oldest first.
    order: VecDeque<(u64, E164)>,
    max: usize,
    keep_ns: u64,
}

impl Failed {
    pub fn new(max: usize, keep_ns: u64) -> Failed {
        Failed { since_ns: HashMap::default(), order: VecDeque::new(), max: max.max(1), keep_ns }
    }

    /// Whether asking for it failed just now.
    pub fn just_now(&self, number: &E164, now_ns: u64) -> bool {
        self.since_ns.get(number).is_some_and(|since| now_ns.saturating_sub(*since) < self.keep_ns)
    }

    pub fn note(&mut self, number: E164, now_ns: u64) {
        self.since_ns.insert(number, now_ns);
        self.order.push_back((now_ns, number));
        while let Some((since_ns, oldest)) = self.order.front().copied()
            && (self.order.len() > self.max || now_ns.saturating_sub(since_ns) >= self.keep_ns)
        {
            self.order.pop_front();
            // One that failed again since has a later entry.
            if self.since_ns.get(&oldest) == Some(&since_ns) {
                self.since_ns.remove(&oldest);
            }
        }
    }

    /// It was answered after all.
    pub fn forget(&mut self, number: &E164) {
        self.since_ns.remove(number);
    }

    pub fn len(&self) -> usize {
        self.since_ns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.since_ns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn number(n: usize) -> E164 {
        E164::parse(&format!("1212555{n:04}")).expect("a number of the test")
    }

    #[test]
    fn r_04_a_failure_is_remembered_for_a_while_and_the_oldest_gives_way() {
        let mut failed = Failed::new(3, 5 * S);
        assert!(!failed.just_now(&number(0), 0));
        failed.note(number(0), S);
        assert!(failed.just_now(&number(0), 6 * S - 1) && !failed.just_now(&number(0), 6 * S) && !failed.just_now(&number(1), S));
        // Again, which is what counts from then on.
        failed.note(number(0), 4 * S);
        assert!(failed.just_now(&number(0), 8 * S));
        failed.forget(&number(0));
        assert!(!failed.just_now(&number(0), 4 * S));
        for n in 1..100 {
            failed.note(number(n), 10 * S);
            assert!(failed.len() <= 3 && failed.order.len() <= 3);
        }
        assert!(!failed.just_now(&number(96), 10 * S) && (97..100).all(|n| failed.just_now(&number(n), 10 * S)));
        failed.note(number(1), 15 * S);
        assert_eq!((failed.len(), failed.order.len()), (1, 1), "what is over goes");
    }
}
