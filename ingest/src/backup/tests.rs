use std::{
    collections::BTreeMap,
    io::Cursor,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tollgate_schemas::{
    event::{Body, Event},
    log::{
        Append, Claim, EventLog, Health, LogError, OnDurable, Progress, Record, Snapshot, Ticket, Topic, Urgency,
    },
    v1::LedgerPosted,
};

use super::{BackupError, Moment, Moments, Pace, check, moment, restore, write};
use crate::{
    EmbeddedLog, Runner, RunnerOptions,
    sample::{LONG, adder, all, control, lifted, numbered, open, put},
};

fn backup(log: &dyn EventLog, moment: &Moment) -> Vec<u8> {
    let mut file = Vec::new();
    let written = write(log, moment, Some(7), 1, &[("token.key".to_owned(), vec![1, 2, 3])], &mut file, Pace::Full, |_, _| {}).expect("written");
    assert_eq!(written.bytes, file.len() as u64);
    assert_eq!(check(&file[..], |_, _| {}).expect("whole"), written);
    file
}

fn restored(dir: &Path, file: &[u8]) -> (Arc<EmbeddedLog>, super::Restored) {
    let log = open(dir);
    let restored = restore(file, &*log, |_, _| {}).expect("restored");
    (log, restored)
}

fn some_log(dir: &Path) -> Arc<EmbeddedLog> {
    let log = open(dir);
    put(&*log, (0..1_500).map(|n| numbered((n % 3) as u16, n, 0)).collect());
    put(&*log, (0..5).map(control).chain((0..3).map(lifted)).collect());
    let at = Progress { consumer: "rater".to_owned(), topic: Topic::Calls, partition: 1, next: 321 };
    let ticket = log.commit(vec![], vec![at], vec![]).expect("commit");
    log.wait(ticket, LONG).expect("durable");
    log
}

#[test]
fn a_backup_restored_is_the_same_log() {
    let (near, far) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = some_log(near.path());
    let file = backup(&*log, &Moments::of(log.clone()).take().expect("moment"));
    let (copy, told) = restored(far.path(), &file);
    assert_eq!((told.contents.events, told.contents.streams, &told.secrets), (1_508, 5, &vec![("token.key".to_owned(), vec![1, 2, 3])]));
    for (topic, partition) in [(Topic::Calls, 0), (Topic::Calls, 1), (Topic::Calls, 2), (Topic::Calls, 3), (Topic::Control, 0), (Topic::Blocks, 0)] {
        assert_eq!(all(&*copy, topic, partition), all(&*log, topic, partition), "{}/{partition}", topic.name());
    }
    assert_eq!(copy.progress("rater", Topic::Calls, 1).expect("progress"), Some(321));
    assert_eq!(copy.progress("rater", Topic::Calls, 0).expect("progress"), None);
    assert_eq!(copy.progress("ticker", Topic::Blocks, 0).expect("progress"), Some(3), "blocks are not copied among the calls again");
    assert_ne!(copy.node(), log.node(), "a new node");
    let again = restore(&file[..], &*copy, |_, _| {});
    assert!(matches!(&again, Err(BackupError::Refused(why)) if why.contains("not empty")), "{again:?}");
    let dir = tempfile::tempdir().expect("dir");
    let other = EmbeddedLog::open(dir.path(), crate::Options { partitions: 8, reserve_bytes: 0, ..crate::Options::default() }).expect("open");
    let other = restore(&file[..], &other, |_, _| {});
    assert!(matches!(&other, Err(BackupError::Refused(why)) if why.contains("4 partitions")), "{other:?}");
}

#[test]
fn a_torn_file_is_refused_wherever_it_is_torn_and_says_where() {
    let dir = tempfile::tempdir().expect("dir");
    let log = some_log(dir.path());
    let file = backup(&*log, &Moments::of(log.clone()).take().expect("moment"));
    for length in (10..file.len()).step_by(7).chain(file.len() - 60..file.len()) {
        match check(&file[..length], |_, _| {}) {
            Err(BackupError::Damaged { at, problem }) => assert!(at <= length as u64 && problem.contains("torn"), "{length}: {at} {problem}"),
            other => panic!("{length} of {} bytes: {other:?}", file.len()),
        }
    }
    let longer = [&file[..], b"x"].concat();
    assert!(check(&longer[..], |_, _| {}).is_err(), "a byte more");
    assert!(matches!(check(&b"PK\x03\x04 something else"[..], |_, _| {}), Err(BackupError::Refused(_))));
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let dir = tempfile::tempdir().expect("dir");
    let log = some_log(dir.path());
    let file = backup(&*log, &Moments::of(log.clone()).take().expect("moment"));
    for (n, at) in (0..file.len()).step_by(5).enumerate() {
        let mut changed = file.clone();
        changed[at] ^= 1 << (n % 8);
        match check(Cursor::new(&changed), |_, _| {}) {
            Err(BackupError::Damaged { at: said, .. }) => assert!(said <= at as u64, "byte {at} is in a frame that begins before {said}"),
            Err(BackupError::Refused(_)) if at < 10 => {}
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn frames_cannot_change_places() {
    let dir = tempfile::tempdir().expect("dir");
    let log = some_log(dir.path());
    let file = backup(&*log, &Moments::of(log.clone()).take().expect("moment"));
    let mut starts = vec![10];
    while let Some(at) = starts.last().copied().filter(|at| *at < file.len()) {
        let stored = u32::from_be_bytes(file[at + 5..at + 9].try_into().expect("four")) as usize;
        starts.push(at + 9 + stored + 32);
    }
    let without = [&file[..starts[1]], &file[starts[2]..]].concat();
    assert!(matches!(check(&without[..], |_, _| {}), Err(BackupError::Damaged { at, .. }) if at == starts[1] as u64), "a frame taken out");
    let twice = [&file[..starts[2]], &file[starts[1]..]].concat();
    assert!(matches!(check(&twice[..], |_, _| {}), Err(BackupError::Damaged { at, .. }) if at == starts[2] as u64), "a frame put in again");
}

fn postings(log: &dyn EventLog) -> BTreeMap<Vec<u8>, (usize, String)> {
    let mut all_of = BTreeMap::new();
    for partition in 0..4 {
        for event in all(log, Topic::Ledger, partition) {
            let Some(Body::LedgerPosted(LedgerPosted { reason, .. })) = &event.body else { panic!("{event:?}") };
            let seen = all_of.entry(event.id.clone()).or_insert((0, reason.clone()));
            seen.0 += 1;
            assert_eq!(&seen.1, reason);
        }
    }
    all_of
}

#[test]
fn a_stage_goes_on_from_a_backup_taken_while_it_worked_and_puts_nothing_out_twice() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let options = || RunnerOptions { poll_ms: 1, batch_max: 37, ..RunnerOptions::default() };
    let stage = Runner::spawn(log.clone(), "rater", adder, options()).expect("thread");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (log, stop) = (log.clone(), stop.clone());
        move || {
            // Above the numbers that the stage refuses.
            let mut n = 1_000;
            while !stop.load(Ordering::Relaxed) {
                log.append((n..n + 20).map(|i| numbered((i % 4) as u16, i, 0)).collect(), Urgency::Group, Claim::Reserved).expect("append");
                n += 20;
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    });
    let moments = Moments::of(log.clone());
    let files: Vec<Vec<u8>> = (0..5)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(60));
            backup(&*log, &moments.take().expect("moment"))
        })
        .collect();
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("writer");
    assert!(stage.wait_caught_up(LONG));
    let truth = postings(&*log);
    for file in files {
        let far = tempfile::tempdir().expect("dir");
        let (copy, told) = restored(far.path(), &file);
        let had = postings(&*copy).len();
        let stage = Runner::spawn(copy.clone(), "rater", adder, options()).expect("thread");
        assert!(stage.wait_caught_up(LONG));
        let now = postings(&*copy);
        let inputs: u64 = (0..4).map(|p| copy.end(Topic::Calls, p)).sum();
        println!("{} events in the backup, {had} postings, {} after the stage went on over {inputs} inputs", told.contents.events, now.len());
        let due: u64 = (0..4).map(|p| copy.end(Topic::Calls, p)).map(|n| n - n / 3).sum();
        assert_eq!(now.len() as u64, due, "none is missing");
        for (id, (count, reason)) in &now {
            assert_eq!((*count, Some(reason)), (1, truth.get(id).map(|t| &t.1)), "once, and as it was");
        }
    }
}

/// A log that says that others write it, too, and that it has let the first calls go.
struct Many(Arc<EmbeddedLog>, u64);

impl EventLog for Many {
    fn shared(&self) -> bool {
        true
    }
    fn partitions(&self) -> u16 {
        self.0.partitions()
    }
    fn append(&self, batch: Vec<Append>, urgency: Urgency, claim: Claim) -> Result<Ticket, LogError> {
        self.0.append(batch, urgency, claim)
    }
    fn append_or_return(&self, batch: Vec<Append>, urgency: Urgency, claim: Claim) -> Result<Ticket, (Vec<Append>, LogError)> {
        self.0.append_or_return(batch, urgency, claim)
    }
    fn commit(&self, outputs: Vec<Append>, progress: Vec<Progress>, snapshots: Vec<Snapshot>) -> Result<Ticket, LogError> {
        self.0.commit(outputs, progress, snapshots)
    }
    fn durable(&self) -> Ticket {
        self.0.durable()
    }
    fn wait(&self, ticket: Ticket, limit: Duration) -> Result<(), LogError> {
        self.0.wait(ticket, limit)
    }
    fn on_durable(&self, call: OnDurable) {
        self.0.on_durable(call);
    }
    fn health(&self) -> Health {
        self.0.health()
    }
    fn read(&self, topic: Topic, partition: u16, from: u64, max: usize) -> Result<Vec<Record>, LogError> {
        self.0.read(topic, partition, if topic == Topic::Calls { from.max(self.1) } else { from }, max)
    }
    fn end(&self, topic: Topic, partition: u16) -> u64 {
        // As slow as a look at a broker is, so that much happens between two.
        if topic.single_partition() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.0.end(topic, partition)
    }
    fn wait_beyond(&self, seen: Ticket, limit: Duration) -> Ticket {
        self.0.wait_beyond(seen, limit)
    }
    fn progress(&self, consumer: &str, topic: Topic, partition: u16) -> Result<Option<u64>, LogError> {
        self.0.progress(consumer, topic, partition)
    }
    fn snapshot(&self, consumer: &str, partition: u16) -> Result<Option<Snapshot>, LogError> {
        self.0.snapshot(consumer, partition)
    }
}

fn posting(cause: &Append) -> Append {
    let event = Event::derived("rater", &cause.event, "sum", 0, Body::LedgerPosted(LedgerPosted::default()));
    Append { topic: Topic::Ledger, partition: cause.partition, event }
}

/// The rater has put out for inputs 0..before; while the moment is looked for, it puts out `late`, and its progress is seen at 10.
fn late(late: Vec<Append>) -> (tempfile::TempDir, Arc<EmbeddedLog>, Result<Moment, BackupError>) {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    put(&*log, (0..20).map(|n| numbered(2, n, 0)).collect());
    let at = |next| vec![Progress { consumer: "rater".to_owned(), topic: Topic::Calls, partition: 2, next }];
    let ticket = log.commit((0..6).map(|n| posting(&numbered(2, n, 0))).collect(), at(6), vec![]).expect("commit");
    log.wait(ticket, LONG).expect("durable");
    let settle = Duration::from_millis(200);
    let found = std::thread::scope(|s| {
        s.spawn(|| {
            std::thread::sleep(settle / 2);
            let ticket = log.commit(late, at(10), vec![]).expect("commit");
            log.wait(ticket, LONG).expect("durable");
        });
        moment::shared(&Many(log.clone(), 0), settle)
    });
    (dir, log, found)
}

#[test]
fn on_a_shared_log_what_a_stage_puts_out_beyond_its_progress_is_left_to_it() {
    let old = posting(&numbered(2, 900, 0));
    let outputs = |range: std::ops::Range<i64>| range.map(|n| posting(&numbered(2, n, 0)));
    // 6 to 9 are in, one of long ago among them; 10 to 14 are beyond, and what follows them.
    let (_dir, log, found) = late(outputs(6..8).chain([old.clone()]).chain(outputs(8..15)).chain([old.clone()]).collect());
    let moment = found.expect("moment");
    let mut file = Vec::new();
    let written = write(&Many(log, 0), &moment, None, 1, &[], &mut file, Pace::Half, |_, _| {}).expect("written");
    assert_eq!(written.header.expected() - written.events, 6);
    let far = tempfile::tempdir().expect("dir");
    let (copy, _) = restored(far.path(), &file);
    assert_eq!((copy.end(Topic::Ledger, 2), copy.end(Topic::Calls, 2)), (11, 20));
    assert_eq!(copy.progress("rater", Topic::Calls, 2).expect("progress"), Some(10));
    // Which side it is on cannot be told by what is around it.
    let (_dir, _log, found) = late(outputs(6..10).chain([old]).chain(outputs(10..12)).collect());
    assert!(found.is_ok(), "the next look finds it settled: {found:?}");
}

#[test]
fn a_shared_logs_snapshots_go_along_with_their_place_among_what_is_left() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    put(&*log, (0..20).map(|n| numbered(2, n, 0)).collect());
    let progress = Progress { consumer: "rater".to_owned(), topic: Topic::Calls, partition: 2, next: 18 };
    let shot = Snapshot { consumer: "rater".to_owned(), partition: 2, version: 3, next: 15, state: vec![7; 1_000] };
    let ticket = log.commit(vec![], vec![progress], vec![shot.clone()]).expect("commit");
    log.wait(ticket, LONG).expect("durable");
    let moment = moment::shared(&Many(log.clone(), 4), Duration::from_millis(1)).expect("moment");
    let mut file = Vec::new();
    let written = write(&Many(log, 4), &moment, None, 1, &[], &mut file, Pace::Full, |_, _| {}).expect("written");
    assert_eq!((written.snapshots, check(&file[..], |_, _| {}).expect("whole")), (1, written));
    let far = tempfile::tempdir().expect("dir");
    let (copy, told) = restored(far.path(), &file);
    let back = copy.snapshot("rater", 2).expect("read").expect("there");
    assert_eq!((told.snapshots, back.version, back.next, back.state), (1, 3, 11, shot.state), "four calls are gone");
    assert_eq!((copy.end(Topic::Calls, 2), copy.progress("rater", Topic::Calls, 2).expect("progress")), (16, Some(14)));
}

#[test]
fn on_a_shared_log_no_deck_is_missing_that_control_names_and_no_control_that_a_call_is_stamped_with() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (log, stop) = (log.clone(), stop.clone());
        move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                // Each durable before what refers to it.
                put(&*log, vec![Append { topic: Topic::Decks, ..control(n) }]);
                put(&*log, vec![control(n)]);
                put(&*log, vec![numbered(0, n as i64, n as u64)]);
            }
        }
    });
    for _ in 0..10 {
        let moment = moment::shared(&Many(log.clone(), 0), Duration::from_millis(1)).expect("moment");
        let end = |topic| moment.ends.iter().find(|(t, p, _)| (*t, *p) == (topic, 0)).expect("stream").2;
        let (calls, control, decks) = (end(Topic::Calls), end(Topic::Control), end(Topic::Decks));
        assert!(calls <= control && control <= decks, "{calls} calls, {control} decisions, {decks} decks");
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("writer");
}

#[test]
fn a_log_that_has_let_events_go_to_a_shared_one_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let options = crate::Options { partitions: 4, window_ms: 1, reserve_bytes: 0, segment_bytes: 1_000, ..crate::Options::default() };
    let log = Arc::new(EmbeddedLog::open(dir.path(), options).expect("open"));
    for n in 0..200 {
        put(&*log, vec![numbered(0, n, 0)]);
    }
    log.trim(Topic::Calls, &[190, 0, 0, 0]).expect("trimmed");
    assert!(EventLog::first(&*log, Topic::Calls, 0) > 0, "something is gone");
    let moment = Moments::of(log.clone()).take().expect("moment");
    let refused = write(&*log, &moment, Some(7), 1, &[], Vec::new(), Pace::Full, |_, _| {});
    assert!(matches!(&refused, Err(BackupError::Refused(why)) if why.contains("the shared one")), "{refused:?}");
}
