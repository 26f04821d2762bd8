//! The newest durable events, kept as they were appended, so that readers of this process neither touch the disk nor
//! decode. Bounded by encoded bytes over all streams; what falls out is read from the store.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tollgate_schemas::{event::Event, log::Record};

pub struct Tail {
    streams: Box<[Stream]>,
    limit: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Oldest first: what to let go next.
    groups: VecDeque<(usize, usize, usize)>,
    bytes: usize,
}

struct Stream {
    /// The offset after the newest durable event.
    end: AtomicU64,
    recent: Mutex<Recent>,
}

struct Recent {
    first: u64,
    events: VecDeque<Arc<Event>>,
}

impl Tail {
    /// `ends`: where each stream stands on disk.
    pub fn new(ends: &[u64], limit: usize) -> Tail {
        let streams = ends
            .iter()
            .map(|end| Stream { end: AtomicU64::new(*end), recent: Mutex::new(Recent { first: *end, events: VecDeque::new() }) })
            .collect();
        Tail { streams, limit, held: Mutex::default() }
    }

    pub fn end(&self, stream: usize) -> u64 {
        self.streams[stream].end.load(Ordering::Acquire)
    }

    /// Shows durable events to readers. `bytes`: their encoded size.
    pub fn publish(&self, stream: usize, events: impl ExactSizeIterator<Item = Arc<Event>>, bytes: usize) {
        let count = events.len();
        let s = &self.streams[stream];
        let end = {
            let mut recent = s.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.events.extend(events);
            recent.first + recent.events.len() as u64
        };
        s.end.store(end, Ordering::Release);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.groups.push_back((stream, count, bytes));
        held.bytes += bytes;
        // The newest group always stays, however large.
        while held.bytes > self.limit && held.groups.len() > 1 {
            let Some((stream, count, bytes)) = held.groups.pop_front() else { break };
            held.bytes -= bytes;
            let mut recent = self.streams[stream].recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.first += count as u64;
            recent.events.drain(..count);
        }
    }

    /// The events from `from` on if the tail reaches back that far.
    pub fn read(&self, stream: usize, from: u64, max: usize) -> Option<Vec<Record>> {
        let recent = self.streams[stream].recent.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = from.checked_sub(recent.first)? as usize;
        let events = recent.events.iter().skip(skip).take(max);
        Some(events.zip(from..).map(|(event, offset)| Record { offset, event: event.clone() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_holds_no_more_than_its_limit_and_lets_the_oldest_go() {
        let tail = Tail::new(&[10, 0], 100);
        for i in 0..5u64 {
            let one = std::iter::once(Arc::new(Event { partition_seq: i, ..Event::default() }));
            tail.publish((i % 2) as usize, one, 40);
        }
        assert_eq!((tail.end(0), tail.end(1)), (13, 2));
        assert!(tail.read(0, 11, 9).is_none(), "fell out");
        let rest = tail.read(0, 12, 9).expect("held");
        assert_eq!(rest.iter().map(|r| (r.offset, r.event.partition_seq)).collect::<Vec<_>>(), [(12, 4)]);
        assert_eq!(tail.read(0, 13, 9).expect("at the end").len(), 0);
    }
}
