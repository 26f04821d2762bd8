//! Things to do later, in order of time. Nothing is taken back: whoever is woken looks whether there still is a reason.

use std::{cmp::Ordering, collections::BinaryHeap, time::Instant};

pub struct Timers<T> {
    heap: BinaryHeap<Entry<T>>,
    sequence: u64,
}

struct Entry<T> {
    at: Instant,
    /// Of equals the one set first.
    sequence: u64,
    what: T,
}

impl<T> Timers<T> {
    pub fn new() -> Timers<T> {
        Timers { heap: BinaryHeap::new(), sequence: 0 }
    }

    pub fn set(&mut self, at: Instant, what: T) {
        self.sequence += 1;
        self.heap.push(Entry { at, sequence: self.sequence, what });
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|e| e.at)
    }

    /// The next thing that is due, if any.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|e| e.what)
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap's top is its largest: the earliest must be that.
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}
