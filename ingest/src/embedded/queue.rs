//! Appends on their way to the commit thread, and when that thread has to act.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tollgate_schemas::log::{Append, Claim, LogError, Progress, Snapshot, Ticket, Urgency};

use super::Options;

/// One append or commit call; its ticket is its place in the order of calls.
pub struct Pending {
    pub appends: Vec<Append>,
    pub progress: Vec<Progress>,
    pub snapshots: Vec<Snapshot>,
}

/// What one group is made of.
pub struct Group {
    pub calls: Vec<Pending>,
    /// The ticket of its last call.
    pub last: Ticket,
}

pub enum Next {
    Group(Group),
    /// Nothing to do for a while.
    Idle,
    Closed,
}

pub struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    window: Duration,
    ride: Duration,
    slow: Duration,
    group_events: usize,
    limit: usize,
    reserved: usize,
}

#[derive(Default)]
struct State {
    calls: Vec<Pending>,
    queued: usize,
    /// Events of the group that is being committed.
    in_flight: usize,
    in_flight_since: Option<Instant>,
    urgent_since: Option<Instant>,
    oldest: Option<Instant>,
    last: u64,
    closing: bool,
    sleeping: bool,
    abandoned: usize,
}

impl Queue {
    pub fn new(options: &Options) -> Queue {
        Queue {
            state: Mutex::default(),
            wake: Condvar::new(),
            window: Duration::from_millis(options.window_ms),
            ride: Duration::from_millis(options.ride_ms),
            slow: Duration::from_millis(options.slow_ms),
            group_events: options.group_events,
            limit: options.limit,
            reserved: options.reserved,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what is not taken. The limit is looked at before a batch is taken, so it is passed by at most one batch for each caller.
    pub fn push(&self, pending: Pending, urgency: Urgency, claim: Claim) -> Result<Ticket, (Pending, LogError)> {
        let mut state = self.lock();
        if state.closing {
            return Err((pending, LogError::Refused("the event log is closed".to_owned())));
        }
        if pending.appends.is_empty() && pending.progress.is_empty() && pending.snapshots.is_empty() {
            // Durable when everything before it is.
            return Ok(Ticket(state.last));
        }
        let waiting = state.queued + state.in_flight;
        let limit = match claim {
            Claim::Ordinary => self.limit,
            Claim::Reserved => self.limit + self.reserved,
        };
        if waiting >= limit {
            return Err((pending, LogError::Backlog { pending: waiting }));
        }
        let first = state.calls.is_empty();
        let full = state.queued >= self.group_events;
        state.queued += pending.appends.len();
        state.calls.push(pending);
        state.last += 1;
        let mut earlier = first || (!full && state.queued >= self.group_events);
        if first {
            state.oldest = Some(Instant::now());
        }
        if urgency == Urgency::Group && state.urgent_since.is_none() {
            state.urgent_since = Some(Instant::now());
            earlier = true;
        }
        let ticket = Ticket(state.last);
        let wake = earlier && state.sleeping;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(ticket)
    }

    /// Somebody waits for what is queued.
    pub fn hurry(&self) {
        let mut state = self.lock();
        if !state.calls.is_empty() && state.urgent_since.is_none() {
            state.urgent_since = Some(Instant::now());
            self.wake.notify_one();
        }
    }

    /// Blocks the commit thread until a group is due, or `idle` has passed with nothing queued.
    pub fn next(&self, idle: Duration) -> Next {
        let mut state = self.lock();
        loop {
            let sleep = if state.calls.is_empty() {
                if state.closing {
                    return Next::Closed;
                }
                idle
            } else {
                let urgent = state.urgent_since.map(|t| t + self.window);
                let ride = state.oldest.map(|t| t + self.ride);
                let due = [urgent, ride].into_iter().flatten().min();
                let left = due.map_or(Duration::ZERO, |d| d.saturating_duration_since(Instant::now()));
                if left.is_zero() || state.closing || state.queued >= self.group_events {
                    let calls = std::mem::take(&mut state.calls);
                    state.in_flight = std::mem::take(&mut state.queued);
                    state.in_flight_since = state.oldest.take();
                    state.urgent_since = None;
                    return Next::Group(Group { calls, last: Ticket(state.last) });
                }
                left
            };
            let was_empty = state.calls.is_empty();
            state.sleeping = true;
            let (back, timeout) = self.wake.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.sleeping = false;
            if was_empty && timeout.timed_out() && state.calls.is_empty() && !state.closing {
                return Next::Idle;
            }
        }
    }

    /// The group in flight is durable.
    pub fn done(&self) {
        let mut state = self.lock();
        state.in_flight = 0;
        state.in_flight_since = None;
    }

    /// The log closes and the group in flight could not be written.
    pub fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned += state.in_flight + state.queued;
        state.calls.clear();
        state.queued = 0;
        state.in_flight = 0;
    }

    pub fn abandoned(&self) -> usize {
        self.lock().abandoned
    }

    pub fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_all();
    }

    /// Sleeps between two tries of a commit; true when the log is being closed.
    pub fn pause(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        while !state.closing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.closing
    }

    pub fn pending(&self) -> usize {
        let state = self.lock();
        state.queued + state.in_flight
    }

    /// Commits do not keep up: the oldest append waits too long, or half of the backlog is used.
    pub fn slow(&self) -> bool {
        let state = self.lock();
        let oldest = state.in_flight_since.or(state.oldest);
        (state.queued + state.in_flight) * 2 > self.limit || oldest.is_some_and(|t| t.elapsed() > self.slow)
    }
}
