//! The moment a backup is of: where every stream ends, and how far every stage had come, such that nothing in it refers to what
//! is not in it, and no output of a stage is in it that the stage would make again.
//!
//! **A log of one process** has such moments: between two groups of the committer. Everything durable then is a beginning of the
//! log's one history, so whatever an event refers to came before it, and outputs and progress moved together. The committer is held there
//! for as long as it takes to read the ends (some tens of microseconds, never longer than [`HOLD`]): its call-back waits, the
//! reading is done by the thread that wants it. A group is made for it, so that a sleeping log has one, too.
//!
//! **A shared log** has none: its partitions are written apart. There the order of looking makes up for it. Progress is looked at
//! first and what has been put out afterwards, so that no output is missing; then the calls, which stages' outputs refer to;
//! then blocks, of which calls hold copies; then decks before control, which everything else refers to. A block may stand
//! without the last calls that led to it: it is applied by itself. What a stage put out beyond the progress seen is found by the
//! event that caused it and left out, since the stage makes it again under the same id. Which side an output is on can
//! be unclear when its cause is of long ago (a call concluded by silence, just then); the moment is then looked for again.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tollgate_schemas::{
    id::Id,
    log::{EventLog, LogError, Progress, Snapshot, Topic},
};

use super::{BackupError, topics};
use crate::{copy::STAGES, runner::partitions, tick::TICKER};

/// Longest the committer is held; a reader that is slower tries again.
pub const HOLD: Duration = Duration::from_millis(20);
/// Until the committer comes by.
const PATIENCE: Duration = Duration::from_secs(15);
const TRIES: u32 = 20;
/// The consumer whose progress makes the group.
const BACKUP: &str = "backup";

/// On a shared log: until what is committed is seen everywhere.
const SETTLE: Duration = Duration::from_secs(1);
const SHARED_TRIES: u32 = 5;
/// Inputs of stages that may lie between their progress and the end of the log.
const WINDOW: u64 = 1_000_000;
const BATCH: usize = 4096;

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

/// A moment of a log that others write, too.
pub fn moment_of_shared(log: &dyn EventLog) -> Result<Moment, BackupError> {
    shared(log, SETTLE)
}

pub(super) fn shared(log: &dyn EventLog, settle: Duration) -> Result<Moment, BackupError> {
    let mut why = String::new();
    for _ in 0..SHARED_TRIES {
        match try_shared(log, settle)? {
            Ok(moment) => return Ok(moment),
            Err(unclear) => why = unclear,
        }
    }
    Err(BackupError::Busy(why))
}

/// How many threads look at a shared log's streams for the first time: each look waits for the brokers.
const LOOKS: usize = 32;

/// Lets every stream be followed, so that looking at all ends is quick from then on. Gives the partitions whose first calls are gone.
fn follow(log: &dyn EventLog) -> Result<HashSet<u16>, LogError> {
    let most = log.partitions();
    let streams: Vec<(Topic, u16)> = (0..most).flat_map(|p| topics().map(move |t| (t, p))).filter(|(t, p)| *p == 0 || !t.single_partition()).collect();
    std::thread::scope(|s| {
        let mut threads = Vec::new();
        for n in 0..LOOKS.min(streams.len()) {
            let own = streams.iter().skip(n).step_by(LOOKS);
            threads.push(s.spawn(move || -> Result<Vec<u16>, LogError> {
                let mut gone = Vec::new();
                for (topic, partition) in own {
                    let end = log.end(*topic, *partition);
                    if *topic == Topic::Calls && end > 0 && log.read(*topic, *partition, 0, 1)?.first().is_none_or(|r| r.offset > 0) {
                        gone.push(*partition);
                    }
                }
                Ok(gone)
            }));
        }
        let mut gone = HashSet::new();
        for thread in threads {
            gone.extend(thread.join().map_err(|_| LogError::Storage("looking at a stream panicked".to_owned()))??);
        }
        Ok(gone)
    })
}

/// Stages' states, in partitions whose first events are gone: elsewhere they fold what there is from the beginning.
fn snapshots(log: &dyn EventLog, gone: &HashSet<u16>) -> Result<Vec<Snapshot>, LogError> {
    let mut found = Vec::new();
    for (consumer, topic) in STAGES {
        for (_, partition) in partitions(log, topic) {
            if topic == Topic::Calls && gone.contains(&partition) {
                found.extend(log.snapshot(consumer, partition)?);
            }
        }
    }
    Ok(found)
}

/// What stages put out for good, once. Blocks and partial figures may be said twice; what is quarantined is for a person.
const ONCE: [Topic; 3] = [Topic::Cdrs, Topic::Ledger, Topic::Alerts];

fn try_shared(log: &dyn EventLog, settle: Duration) -> Result<Result<Moment, String>, BackupError> {
    let began = Instant::now();
    let gone = follow(log)?;
    tracing::debug!(took = ?began.elapsed(), "every stream is followed");
    let mut before = Vec::new();
    for (consumer, topic) in STAGES {
        look(log, consumer, topic, &mut before)?;
    }
    let end = |topic: Topic| -> Vec<(Topic, u16, u64)> { partitions(log, topic).into_iter().map(|(t, p)| (t, p, log.end(t, p))).collect() };
    let begun: HashMap<(Topic, u16), u64> = ONCE.into_iter().flat_map(&end).map(|(t, p, e)| ((t, p), e)).collect();
    std::thread::sleep(settle);
    let mut moment = Moment::default();
    // Before progress, so that none is beyond it.
    moment.snapshots = snapshots(log, &gone)?;
    for (consumer, topic) in STAGES {
        look(log, consumer, topic, &mut moment.progress)?;
    }
    std::thread::sleep(settle);
    let first = [Topic::Cdrs, Topic::Ledger, Topic::Alerts, Topic::Quality, Topic::Quarantine, Topic::Calls, Topic::Blocks, Topic::Decks, Topic::Control];
    // A topic this list does not know yet is looked at first: it would be an output.
    let order = topics().filter(|t| !first.contains(t)).chain(first);
    moment.ends = order.flat_map(end).collect();
    let ends: HashMap<(Topic, u16), u64> = moment.ends.iter().map(|(t, p, e)| ((*t, *p), *e)).collect();
    tracing::debug!(took = ?began.elapsed(), "ends are looked at");
    let causes = causes(log, &before, &moment.progress, &ends)?;
    for (topic, partition, end) in moment.ends.clone().into_iter().filter(|(t, ..)| ONCE.contains(t)) {
        let from = begun.get(&(topic, partition)).copied().unwrap_or(0);
        match beyond(log, topic, partition, from, end, &causes)? {
            Ok(left_out) => moment.left_out.extend(left_out.into_iter().map(|offset| (topic, partition, offset))),
            Err(unclear) => return Ok(Err(unclear)),
        }
    }
    tracing::debug!(took = ?began.elapsed(), "a moment was found");
    moment.ends.sort_by_key(|(t, p, _)| (*t as u8, *p));
    Ok(Ok(moment))
}

/// Which topics a stage's outputs are in.
fn puts_out(consumer: &str, topic: Topic) -> bool {
    match consumer {
        "rater" => matches!(topic, Topic::Cdrs | Topic::Ledger),
        "fraud" | "merged" => topic == Topic::Alerts,
        _ => false,
    }
}

type Causes = HashMap<(&'static str, Id), bool>;

/// The inputs since shortly before the moment, and whether the stage had yet to take them then.
fn causes(log: &dyn EventLog, before: &[Progress], progress: &[Progress], ends: &HashMap<(Topic, u16), u64>) -> Result<Causes, BackupError> {
    let mut causes = Causes::new();
    let mut left = WINDOW;
    let at = |list: &[Progress], consumer: &str, topic: Topic, partition: u16| {
        list.iter().find(|p| p.consumer == consumer && p.topic == topic && p.partition == partition).map_or(0, |p| p.next)
    };
    for (consumer, topic) in STAGES {
        if !ONCE.into_iter().any(|t| puts_out(consumer, t)) {
            continue;
        }
        for (_, partition) in partitions(log, topic) {
            let reached = at(progress, consumer, topic, partition);
            let end = ends.get(&(topic, partition)).copied().unwrap_or(0);
            let mut next = at(before, consumer, topic, partition);
            while next < end {
                let records = log.read(topic, partition, next, BATCH)?;
                let Some(last) = records.last().map(|r| r.offset) else { break };
                left = left.checked_sub(records.len() as u64).ok_or_else(|| {
                    BackupError::Busy(format!("the stages are more than {WINDOW} events behind: back up when {consumer} has caught up"))
                })?;
                causes.extend(records.iter().filter(|r| r.offset < end).map(|r| ((consumer, r.event.id()), r.offset >= reached)));
                next = last + 1;
            }
        }
    }
    Ok(causes)
}

/// The offsets in `from..end` of outputs whose cause was yet to be taken. Each stage puts out in the order of its input, so what
/// does not tell by itself is where its neighbours of the same stage are; else the reason why it is unclear.
fn beyond(log: &dyn EventLog, topic: Topic, partition: u16, from: u64, end: u64, causes: &Causes) -> Result<Result<Vec<u64>, String>, BackupError> {
    let makers: Vec<&'static str> = STAGES.into_iter().map(|(c, _)| c).filter(|c| puts_out(c, topic)).collect();
    let mut left_out = Vec::new();
    let mut unclear: Option<u64> = None;
    let mut next = from;
    while next < end {
        let records = log.read(topic, partition, next, BATCH)?;
        let Some(last) = records.last().map(|r| r.offset) else { break };
        for record in records.iter().filter(|r| r.offset < end) {
            let cause = Id::of(&record.event.cause_id);
            match makers.iter().find_map(|m| causes.get(&(*m, cause))) {
                Some(true) => left_out.push(record.offset),
                // What came before it is in, too.
                Some(false) => unclear = None,
                None if makers.len() == 1 && !left_out.is_empty() => left_out.push(record.offset),
                None => unclear = unclear.or(Some(record.offset)),
            }
        }
        next = last + 1;
    }
    // An alert said twice is one alert; a CDR or a posting is not.
    match unclear {
        Some(offset) if makers.len() == 1 => Ok(Err(format!(
            "{} partition {partition} offset {offset} was put out just now for a cause of long ago: try again in a minute", topic.name()
        ))),
        _ => Ok(Ok(left_out)),
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
