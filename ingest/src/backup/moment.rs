//! The moment a backup is of: where every stream ends, and how far every stage had come, such that nothing in it refers to what
//! is not in it, and no output of a stage is in it that the stage would make again.
//!
//! **A log of one process** has such moments: between two groups of the committer. Everything durable then is a beginning of the
//! log's one history, so whatever an event refers to came before it, and outputs and progress moved together. The committer is held there
//! for as long as it takes to read the ends (some tens of microseconds, never longer than [`HOLD`]): its call-back waits, the
//! reading is done by the thread that wants it. A group is made for it, so that a sleeping log has one, too.
//!
//! **A shared log** has none: see [`shared_log`].

mod shared_log;

use std::{
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tollgate_schemas::log::{EventLog, LogError, Progress, Snapshot, Topic};

use super::{BackupError, topics};
use crate::{copy::STAGES, runner::partitions, tick::TICKER};

pub use shared_log::moment_of_shared;
#[cfg(test)]
pub(super) use shared_log::shared;

/// Longest the committer is held; a reader that is slower tries again.
pub const HOLD: Duration = Duration::from_millis(20);
/// Until the committer comes by.
const PATIENCE: Duration = Duration::from_secs(15);
const TRIES: u32 = 20;
/// The consumer whose progress makes the group.
const BACKUP: &str = "backup";

/// Stages of a log of one process that keep a position, with their input.
const OWN: [(&str, Topic); 2] = [("live", Topic::Calls), (TICKER, Topic::Blocks)];

/// Ends exclusive, in the order of topics and partitions.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    pub ends: Vec<(Topic, u16, u64)>,
    pub progress: Vec<Progress>,
    /// Of a shared log, whose oldest calls may be gone: states to go on from, none beyond its stage's progress.
    pub snapshots: Vec<Snapshot>,
    /// Outputs beyond the progress of their stage.
    left_out: HashSet<(Topic, u16, u64)>,
}

impl Moment {
    pub fn leaves_out(&self, topic: Topic, partition: u16, offset: u64) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&(topic, partition, offset))
    }

    /// Everything as it stands, where nothing moves meanwhile.
    fn now(log: &dyn EventLog) -> Result<Moment, LogError> {
        let mut moment = Moment::default();
        for (consumer, topic) in STAGES.into_iter().chain(OWN) {
            look(log, consumer, topic, &mut moment.progress)?;
        }
        moment.ends = topics().flat_map(|t| partitions(log, t)).map(|(t, p)| (t, p, log.end(t, p))).collect();
        Ok(moment)
    }
}

fn look(log: &dyn EventLog, consumer: &str, topic: Topic, into: &mut Vec<Progress>) -> Result<(), LogError> {
    for (_, partition) in partitions(log, topic) {
        if let Some(next) = log.progress(consumer, topic, partition)? {
            into.push(Progress { consumer: consumer.to_owned(), topic, partition, next });
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Wanted,
    /// The committer waits.
    Held,
    /// It has gone on.
    Overdue,
}

struct Gate {
    /// So that a group without a backup costs one look.
    wanted: AtomicBool,
    state: Mutex<State>,
    moved: Condvar,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The committer's side.
    fn pass(&self) {
        if !self.wanted.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state();
        if *state != State::Wanted {
            return;
        }
        *state = State::Held;
        self.moved.notify_all();
        let held = self.moved.wait_timeout_while(state, HOLD, |s| *s == State::Held);
        let (mut state, _) = held.unwrap_or_else(PoisonError::into_inner);
        if *state == State::Held {
            *state = State::Overdue;
        }
    }
}

/// Takes moments of a log of one process. One for each log: what it hangs on the committer stays there.
pub struct Moments {
    log: Arc<dyn EventLog>,
    gate: Arc<Gate>,
    /// One at a time.
    turn: Mutex<()>,
}

impl Moments {
    pub fn of(log: Arc<dyn EventLog>) -> Moments {
        let gate = Arc::new(Gate { wanted: AtomicBool::new(false), state: Mutex::new(State::Idle), moved: Condvar::new() });
        let passed = Arc::downgrade(&gate);
        log.on_durable(Arc::new(move |_| {
            if let Some(gate) = passed.upgrade() {
                gate.pass();
            }
        }));
        Moments { log, gate, turn: Mutex::new(()) }
    }

    pub fn take(&self) -> Result<Moment, BackupError> {
        self.take_with(|| Moment::now(&*self.log))
    }

    fn take_with<T>(&self, mut read: impl FnMut() -> Result<T, LogError>) -> Result<T, BackupError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TRIES {
            *self.gate.state() = State::Wanted;
            self.gate.wanted.store(true, Ordering::Release);
            let seen = self.held().and_then(|()| Ok(read()?));
            self.gate.wanted.store(false, Ordering::Release);
            let was = std::mem::replace(&mut *self.gate.state(), State::Idle);
            self.gate.moved.notify_all();
            let seen = seen?;
            if was == State::Held {
                return Ok(seen);
            }
        }
        Err(BackupError::Busy(format!("looking at the log's ends took longer than {HOLD:?}, {TRIES} times")))
    }

    /// Makes a group, and waits until the committer stands at the end of that one or one before.
    fn held(&self) -> Result<(), BackupError> {
        let note = Progress { consumer: BACKUP.to_owned(), topic: Topic::Control, partition: 0, next: self.log.end(Topic::Control, 0) };
        let began = Instant::now();
        let ticket = loop {
            match self.log.commit(Vec::new(), vec![note.clone()], Vec::new()) {
                Ok(ticket) => break ticket,
                Err(e) if e.retryable() && began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => return Err(e.into()),
            }
        };
        // Only to make it urgent: the committer may stand before it already, and then nothing is made durable.
        let _ = self.log.wait(ticket, Duration::ZERO);
        let waits = self.gate.moved.wait_timeout_while(self.gate.state(), PATIENCE, |s| *s == State::Wanted);
        let (state, _) = waits.unwrap_or_else(PoisonError::into_inner);
        if *state == State::Wanted { Err(LogError::Timeout { waited: PATIENCE }.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use tollgate_schemas::log::{Append, Claim, Urgency};

    use super::*;
    use crate::sample::{LONG, numbered, open};

    /// Every group holds one event in each of two partitions and the progress over both: a moment must have as many of each.
    #[test]
    fn a_moment_is_between_two_groups_however_many_write() {
        let dir = tempfile::tempdir().expect("dir");
        let log = open(dir.path());
        let moments = Moments::of(log.clone());
        let (stop, groups) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = std::thread::spawn({
            let (log, stop, groups) = (log.clone(), stop.clone(), groups.clone());
            move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    let at = |topic, partition| Progress { consumer: "rater".to_owned(), topic, partition, next: n };
                    let outputs = vec![numbered(0, n as i64, 0), Append { topic: Topic::Ledger, ..numbered(3, n as i64, 0) }];
                    let ticket = log.commit(outputs, vec![at(Topic::Calls, 0)], vec![]).expect("commit");
                    if n % 50 == 0 {
                        log.wait(ticket, LONG).expect("durable");
                    }
                    groups.store(n, Ordering::Relaxed);
                }
            }
        });
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let moment = moments.take().expect("moment");
            let end = |topic, partition| moment.ends.iter().find(|(t, p, _)| (*t, *p) == (topic, partition)).expect("stream").2;
            let reached = moment.progress.iter().find(|p| p.consumer == "rater").map_or(0, |p| p.next);
            assert_eq!((end(Topic::Calls, 0), end(Topic::Ledger, 3)), (reached, reached));
            seen.insert(reached);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("writer");
        assert!(seen.len() > 100, "{} moments of {} groups were different", seen.len(), groups.load(Ordering::Relaxed));
    }

    #[test]
    fn a_log_nobody_writes_has_a_moment_too_and_a_slow_reader_does_not_hold_it() {
        let dir = tempfile::tempdir().expect("dir");
        let log = open(dir.path());
        let moments = Moments::of(log.clone());
        assert!(moments.take().expect("moment").ends.iter().all(|(.., end)| *end == 0));
        let slow = moments.take_with(|| {
            let ticket = log.append(vec![numbered(0, 1, 0)], Urgency::Group, Claim::Ordinary)?;
            // Would wait for ever if the committer waited for us.
            log.wait(ticket, LONG)
        });
        assert!(matches!(slow, Err(BackupError::Busy(_))), "{slow:?}");
    }
}
