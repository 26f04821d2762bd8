//! A thread that follows streams of the log, and the handle its owner holds.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tollgate_schemas::log::{EventLog, LogError, Ticket, Topic};

/// How a worker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerState {
    Running,
    /// Was told to.
    Stopped,
    /// Met what it must not skip: an event for a newer program, a damaged log or store. Alarm; a person must act.
    Failed(String),
}

/// Owns a worker thread. Dropping it stops the thread and waits for it.
pub struct WorkerHandle {
    log: Arc<dyn EventLog>,
    shared: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and its handle share.
pub(crate) struct Control {
    stop: AtomicBool,
    state: Mutex<WorkerState>,
    /// For each stream followed, the next offset to handle.
    positions: Vec<(Topic, u16, AtomicU64)>,
    /// What the worker itself appended must be durable before it has caught up.
    appended: AtomicU64,
    ready: AtomicBool,
    /// Events that came again and were dropped, and places where a node's events are missing.
    repeats: AtomicU64,
    gaps: AtomicU64,
    /// The worker this is a part of.
    whole: Option<Arc<Control>>,
}

/// How long a worker sleeps at most before it looks whether it should stop.
pub(crate) const NAP: Duration = Duration::from_millis(100);
/// Between two tries of what may pass later.
pub(crate) const RETRY: Duration = Duration::from_millis(100);

/// How long a stopping worker waits for its last outputs.
const SETTLE: Duration = Duration::from_secs(2);

impl Control {
    fn new(streams: Vec<(Topic, u16)>) -> Control {
        Control {
            stop: AtomicBool::new(false),
            state: Mutex::new(WorkerState::Running),
            positions: streams.into_iter().map(|(t, p)| (t, p, AtomicU64::new(0))).collect(),
            appended: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            repeats: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            whole: None,
        }
    }

    /// Of a thread of its own that does a part of the worker's work, and can be stopped alone.
    pub fn part(whole: Arc<Control>) -> Control {
        Control { whole: Some(whole), ..Control::new(Vec::new()) }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// For work in the caller's own thread: nobody stops it.
    pub fn detached() -> Control {
        Control::new(Vec::new())
    }

    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.whole.as_ref().is_some_and(|w| w.stopping())
    }

    /// Everything before `next` of the stream with that index is handled.
    pub fn reached(&self, stream: usize, next: u64) {
        if let Some(whole) = &self.whole {
            return whole.reached(stream, next);
        }
        if let Some((_, _, position)) = self.positions.get(stream) {
            position.store(next, Ordering::Release);
        }
    }

    /// The stream is another's to handle: it counts as handled.
    pub fn not_ours(&self, stream: usize) {
        self.reached(stream, u64::MAX);
    }

    pub fn repeated(&self) {
        match &self.whole {
            Some(whole) => whole.repeated(),
            None => drop(self.repeats.fetch_add(1, Ordering::Relaxed)),
        }
    }

    pub fn gap(&self) {
        match &self.whole {
            Some(whole) => whole.gap(),
            None => drop(self.gaps.fetch_add(1, Ordering::Relaxed)),
        }
    }

    pub fn appended(&self, ticket: Ticket) {
        self.appended.fetch_max(ticket.0, Ordering::AcqRel);
        if let Some(whole) = &self.whole {
            whole.appended(ticket);
        }
    }

    /// The positions stand for where the worker begins.
    pub fn ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Waits a moment for what was appended, so that who joins the worker finds it; a failing disk keeps nobody.
    pub fn settle(&self, log: &dyn EventLog) {
        if let Err(error) = log.wait(Ticket(self.appended.load(Ordering::Acquire)), SETTLE) {
            tracing::warn!(%error, "stopped before its last outputs were durable");
        }
    }

    /// Sleeps before a repeated try; false when the worker should stop instead.
    pub fn pause(&self) -> bool {
        std::thread::sleep(RETRY);
        !self.stopping()
    }

    /// Repeats a read until it passes or must not be repeated; None when told to stop.
    pub fn until_read<T>(&self, mut read: impl FnMut() -> Result<T, LogError>) -> Result<Option<T>, LogError> {
        for tries in 0u32.. {
            match read() {
                Ok(value) => return Ok(Some(value)),
                Err(e) if !e.retryable() => return Err(e),
                // Told at once, then every half minute or so.
                Err(error) if tries.is_multiple_of(300) => tracing::warn!(%error, "reading the event log"),
                Err(_) => {}
            }
            if !self.pause() {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// Starts a thread named `name`. `body` returns when told to stop, or with what made it fail.
pub(crate) fn spawn(
    log: Arc<dyn EventLog>,
    name: &str,
    streams: Vec<(Topic, u16)>,
    body: impl FnOnce(&Arc<Control>) -> Result<(), String> + Send + 'static,
) -> std::io::Result<WorkerHandle> {
    let shared = Arc::new(Control::new(streams));
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn({
        let shared = shared.clone();
        let name = name.to_owned();
        move || {
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&shared)));
            let state = match end {
                Ok(Ok(())) => WorkerState::Stopped,
                Ok(Err(problem)) => WorkerState::Failed(problem),
                Err(panic) => WorkerState::Failed(format!("panicked: {}", panic_text(&*panic))),
            };
            if let WorkerState::Failed(problem) = &state {
                tracing::error!(worker = name, problem, "stopped: it must not go on");
            }
            *shared.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        }
    })?;
    Ok(WorkerHandle { log, shared, thread: Some(thread) })
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "of an unknown kind".to_owned())
}

impl WorkerHandle {
    /// Asks the thread to finish what it has in hand and end. Does not wait.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Stops the thread, waits for it, and says how it ended.
    pub fn join(mut self) -> WorkerState {
        self.stop();
        self.finish();
        self.state()
    }

    fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the body was caught in the thread.
            let _ = thread.join();
        }
    }

    pub fn state(&self) -> WorkerState {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Events that came more than once and were dropped.
    pub fn repeats(&self) -> u64 {
        self.shared.repeats.load(Ordering::Relaxed)
    }

    /// Places where events of a node are missing: alarm.
    pub fn gaps(&self) -> u64 {
        self.shared.gaps.load(Ordering::Relaxed)
    }

    /// Partitions that are this process's to handle.
    pub fn owned(&self) -> usize {
        self.shared.positions.iter().filter(|(_, _, next)| next.load(Ordering::Acquire) != u64::MAX).count()
    }

    /// Durable events not handled yet, over all streams.
    pub fn lag(&self) -> u64 {
        let behind = |(topic, partition, next): &(Topic, u16, AtomicU64)| match next.load(Ordering::Acquire) {
            // Another's.
            u64::MAX => 0,
            next => self.log.end(*topic, *partition).saturating_sub(next),
        };
        self.shared.positions.iter().map(behind).sum()
    }

    /// Everything durable is handled, and what came of it is durable too.
    pub fn caught_up(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
            && self.lag() == 0
            && self.log.durable().0 >= self.shared.appended.load(Ordering::Acquire)
    }

    /// Waits until caught up; false when that took longer than `limit`, or the thread has ended before.
    pub fn wait_caught_up(&self, limit: Duration) -> bool {
        let began = Instant::now();
        while !self.caught_up() {
            let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            if ended || began.elapsed() >= limit {
                return self.caught_up();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.stop();
        self.finish();
    }
}
