//! How far the log is durable, and who waits for it to move.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tollgate_schemas::log::{OnDurable, Ticket};

#[derive(Default)]
pub struct Watermark {
    durable: AtomicU64,
    /// How many threads wait: without any, moving costs no system call.
    waiting: Mutex<usize>,
    moved: Condvar,
    calls: Mutex<Vec<OnDurable>>,
}

impl Watermark {
    pub fn get(&self) -> Ticket {
        Ticket(self.durable.load(Ordering::Acquire))
    }

    pub fn on_durable(&self, call: OnDurable) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    pub fn advance(&self, to: Ticket) {
        {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            self.durable.store(to.0, Ordering::Release);
            if *waiting > 0 {
                self.moved.notify_all();
            }
        }
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        for call in calls.iter() {
            // A call-back that panics must not end the commit thread: every call would hang.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(to))).is_err() {
                tracing::error!("an on_durable call-back panicked");
            }
        }
    }

    /// Blocks until the watermark has reached `ticket` or `limit` has passed; gives the watermark.
    pub fn wait(&self, ticket: Ticket, limit: Duration) -> Ticket {
        if self.get() >= ticket {
            return self.get();
        }
        // A limit beyond the clock's range waits as good as for ever.
        let deadline = Instant::now().checked_add(limit);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting += 1;
        while self.get() < ticket {
            let left = deadline.map_or(Duration::from_secs(3600), |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            waiting = self.moved.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *waiting -= 1;
        self.get()
    }
}
