//! Tickets of append and commit calls of this process: given in order, completed in any; the watermark is where all before are
//! complete. Also the mark that moves when there is something new to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tollgate_schemas::log::{LogError, OnDurable, Ticket};

/// Failed tickets remembered for who waits for them.
const FAILED: usize = 4096;

#[derive(Default)]
pub struct Tickets {
    state: Mutex<State>,
    moved: Condvar,
    calls: Mutex<Vec<OnDurable>>,
}

#[derive(Default)]
struct State {
    last: u64,
    durable: u64,
    open: BTreeSet<u64>,
    /// Never durable: their owner was fenced.
    failed: BTreeMap<u64, (String, u16)>,
    news: u64,
    waiting: usize,
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(&self) -> Ticket {
        let mut s = self.lock();
        s.last += 1;
        let ticket = s.last;
        s.open.insert(ticket);
        Ticket(ticket)
    }

    /// The newest ticket given.
    pub fn last(&self) -> Ticket {
        Ticket(self.lock().last)
    }

    pub fn done(&self, ticket: Ticket) {
        let mut s = self.lock();
        if s.open.remove(&ticket.0) {
            self.advance(s);
        }
    }

    /// It will never be durable.
    pub fn failed(&self, ticket: Ticket, consumer: &str, partition: u16) {
        let mut s = self.lock();
        s.failed.insert(ticket.0, (consumer.to_owned(), partition));
        while s.failed.len() > FAILED {
            s.failed.pop_first();
        }
        if s.open.remove(&ticket.0) {
            self.advance(s);
        }
    }

    fn advance(&self, mut s: MutexGuard<'_, State>) {
        let durable = s.open.first().map_or(s.last, |first| first - 1);
        let further = durable > s.durable;
        s.durable = durable;
        s.news += 1;
        if s.waiting > 0 {
            self.moved.notify_all();
        }
        // Taken before the state is let go, so that call-backs hear tickets in order.
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        drop(s);
        if further {
            for call in calls.iter() {
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(Ticket(durable)))).is_err() {
                    tracing::error!("an on_durable call-back panicked");
                }
            }
        }
    }

    pub fn durable(&self) -> Ticket {
        Ticket(self.lock().durable)
    }

    pub fn on_durable(&self, call: OnDurable) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Something new can be read.
    pub fn arrived(&self) {
        let mut s = self.lock();
        s.news += 1;
        if s.waiting > 0 {
            self.moved.notify_all();
        }
    }

    pub fn news(&self) -> Ticket {
        Ticket(self.lock().news)
    }

    /// Blocks until the ticket is complete, whatever came before it.
    pub fn wait(&self, ticket: Ticket, limit: Duration) -> Result<(), LogError> {
        let done = self.until(limit, |s| ticket.0 <= s.durable || (ticket.0 <= s.last && !s.open.contains(&ticket.0)));
        let s = self.lock();
        if let Some((consumer, partition)) = s.failed.get(&ticket.0) {
            return Err(LogError::Fenced { consumer: consumer.clone(), partition: *partition });
        }
        if done { Ok(()) } else { Err(LogError::Timeout { waited: limit }) }
    }

    pub fn wait_news(&self, seen: Ticket, limit: Duration) -> Ticket {
        self.until(limit, |s| s.news > seen.0);
        self.news()
    }

    fn until(&self, limit: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now().checked_add(limit);
        let mut s = self.lock();
        s.waiting += 1;
        while !holds(&s) {
            let left = deadline.map_or(Duration::from_secs(3600), |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            s = self.moved.wait_timeout(s, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        s.waiting -= 1;
        holds(&s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_stops_before_the_first_open_ticket_and_a_wait_does_not() {
        let t = Tickets::default();
        let (a, b) = (t.open(), t.open());
        t.done(b);
        assert_eq!(t.durable(), Ticket(0));
        assert!(t.wait(b, Duration::ZERO).is_ok());
        assert!(t.wait(a, Duration::ZERO).is_err());
        t.done(a);
        assert_eq!(t.durable(), b);
        let c = t.open();
        t.failed(c, "rater", 3);
        assert!(matches!(t.wait(c, Duration::ZERO), Err(LogError::Fenced { partition: 3, .. })));
        assert_eq!(t.durable(), c, "what never comes holds nobody up");
    }
}
