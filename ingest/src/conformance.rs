//! What every [`EventLog`] promises, as cases a backend's tests run against it. A broken promise panics.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tollgate_schemas::{
    id::Id,
    log::{Append, Claim, EventLog, LogError, Progress, Record, Snapshot, Ticket, Topic, Urgency},
    v1::{Event, Personal, Tick, event::Body},
};

/// A log to try: fresh and empty, of at least 4 partitions, with a backlog limit below [`MANY`].
pub struct Bed {
    pub log: Arc<dyn EventLog>,
    /// Closes the log and puts what it left, opened again, in its place.
    pub reopen: Reopen,
    /// While set, nothing becomes durable.
    pub stall: Box<dyn Fn(bool)>,
    /// The log numbers events itself (`partition_seq`); otherwise it keeps the number an event has.
    pub numbers: bool,
    /// Offsets have no gaps in topics written by `commit` either.
    pub gapless: bool,
}

pub type Reopen = Box<dyn FnMut(&mut Arc<dyn EventLog>)>;

/// More events than the bed's ordinary and reserved backlog together.
pub const MANY: usize = 10_000;

/// Far above what anything here takes.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

pub type Case = (&'static str, fn(&mut Bed));

pub const CASES: &[Case] = &[
    ("offsets count from 0 without gaps in every stream", offsets_are_gapless),
    ("an event is kept as it was appended, with its partition_seq", events_are_kept_whole),
    ("appends of one thread keep their order", threads_keep_their_order),
    ("only durable events are read", only_durable_is_read),
    ("tickets grow, and the watermark reaches each", tickets_grow),
    ("an empty append is durable when what came before is", empty_appends),
    ("waits end at their limit, and with the event", waits_are_bounded),
    ("call-backs hear of every ticket", callbacks_hear),
    ("reads begin anywhere and end at the end", reads_begin_anywhere),
    ("outputs and progress are seen and kept together", commits_are_atomic),
    ("progress moves without outputs, each consumer and stream apart", progress_stands_alone),
    ("the newest snapshot wins, each consumer and partition apart", snapshots_newest_wins),
    ("what was acknowledged is there after a reopening, and numbers go on", reopening_keeps_all),
    ("the backlog is bounded, the reserve goes on after it, and what was taken is kept", backlog_is_bounded),
    ("partitions a topic does not have are refused", wrong_partitions_are_refused),
];

/// Runs every case on a fresh bed; panics at the end with the names of those that failed.
pub fn run(make: impl Fn() -> Bed) {
    let failed: Vec<&str> = CASES
        .iter()
        .filter(|(name, case)| {
            println!("conformance: {name}");
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut make()))).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "broken promises: {failed:#?}");
}

fn numbered(topic: Topic, partition: u16, n: i64) -> Append {
    Append { topic, partition, event: Event { body: Some(Body::Tick(Tick { at_us: n })), ..Event::default() } }
}

fn number(event: &Event) -> i64 {
    match event.body {
        Some(Body::Tick(Tick { at_us })) => at_us,
        _ => panic!("not one of ours: {}", event.name()),
    }
}

fn append(log: &dyn EventLog, batch: Vec<Append>) -> Ticket {
    log.append(batch, Urgency::Group, Claim::Ordinary).expect("append")
}

fn put(log: &dyn EventLog, batch: Vec<Append>) -> Ticket {
    let ticket = append(log, batch);
    log.wait(ticket, LONG).expect("durable");
    ticket
}

/// Everything durable in a stream, read in small steps.
fn all(log: &dyn EventLog, topic: Topic, partition: u16, gapless: bool) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut next = 0;
    loop {
        let more = log.read(topic, partition, next, 7).expect("read");
        if more.is_empty() {
            return records;
        }
        for r in more {
            assert!(r.offset >= next && (!gapless || r.offset == next), "offsets grow and have no gaps");
            next = r.offset + 1;
            records.push(r);
        }
    }
}

/// Of a stream that is written by `append`, where offsets have no gaps on any log.
fn numbers(log: &dyn EventLog, topic: Topic, partition: u16) -> Vec<i64> {
    all(log, topic, partition, true).iter().map(|r| number(&r.event)).collect()
}

fn offsets_are_gapless(bed: &mut Bed) {
    for n in 0..20 {
        put(&*bed.log, vec![numbered(Topic::Calls, 0, n), numbered(Topic::Calls, 3, n), numbered(Topic::Cdrs, 3, n), numbered(Topic::Control, 0, n)]);
    }
    for (topic, partition) in [(Topic::Calls, 0), (Topic::Calls, 3), (Topic::Cdrs, 3), (Topic::Control, 0)] {
        assert_eq!(numbers(&*bed.log, topic, partition), (0..20).collect::<Vec<_>>());
        assert_eq!(bed.log.end(topic, partition), 20);
    }
    assert_eq!((bed.log.end(Topic::Calls, 1), all(&*bed.log, Topic::Calls, 1, true).len()), (0, 0));
}

fn events_are_kept_whole(bed: &mut Bed) {
    let event = Event {
        version: 1,
        oldest_reader: 1,
        id: Id(77).to_vec(),
        occurred_us: -5,
        boot_id: u64::MAX,
        mono_ns: 9,
        control_position: 3,
        key: "acme".to_owned(),
        partition_seq: 0,
        log_node: 0x0123_4567_89ab,
        cause_id: Id(76).to_vec(),
        ingest_us: 12,
        personal: Some(Personal { a_raw: "+12025550100".to_owned(), user_agent: vec![0xff, 0], ..Personal::default() }),
        body: Some(Body::Tick(Tick { at_us: 1 })),
    };
    put(&*bed.log, vec![Append { topic: Topic::Calls, partition: 2, event: event.clone() }, Append { topic: Topic::Calls, partition: 2, event: event.clone() }]);
    for round in 0..2 {
        let read = all(&*bed.log, Topic::Calls, 2, true);
        for (i, record) in read.iter().enumerate() {
            let partition_seq = if bed.numbers { i as u64 + 1 } else { event.partition_seq };
            assert_eq!(*record.event, Event { partition_seq, ..event.clone() }, "round {round}");
        }
        assert_eq!(read.len(), 2);
        (bed.reopen)(&mut bed.log);
    }
}

fn threads_keep_their_order(bed: &mut Bed) {
    let log = &*bed.log;
    std::thread::scope(|scope| {
        for t in 0..4i64 {
            scope.spawn(move || {
                for n in 0..100 {
                    let batch = (0..3).map(|k| numbered(Topic::Calls, 1, t * 1_000_000 + n * 3 + k)).collect();
                    let ticket = append(log, batch);
                    if n % 10 == 9 {
                        log.wait(ticket, LONG).expect("durable");
                    }
                }
            });
        }
    });
    let last = append(log, vec![]);
    log.wait(last, LONG).expect("durable");
    let read = numbers(log, Topic::Calls, 1);
    for t in 0..4 {
        let own: Vec<i64> = read.iter().filter(|n| **n / 1_000_000 == t).map(|n| n % 1_000_000).collect();
        assert_eq!(own, (0..300).collect::<Vec<_>>(), "thread {t}");
    }
}

fn only_durable_is_read(bed: &mut Bed) {
    put(&*bed.log, vec![numbered(Topic::Calls, 0, 0)]);
    (bed.stall)(true);
    let ticket = append(&*bed.log, vec![numbered(Topic::Calls, 0, 1)]);
    let commit = bed.log.commit(vec![numbered(Topic::Cdrs, 0, 1)], vec![progress("a", 0, 1)], vec![]).expect("commit");
    std::thread::sleep(SHORT);
    assert_eq!(numbers(&*bed.log, Topic::Calls, 0), [0]);
    assert_eq!((bed.log.end(Topic::Calls, 0), bed.log.end(Topic::Cdrs, 0)), (1, 0));
    assert_eq!(bed.log.progress("a", Topic::Calls, 0).expect("progress"), None);
    assert!(bed.log.durable() < ticket);
    (bed.stall)(false);
    bed.log.wait(commit, LONG).expect("durable");
    assert_eq!(numbers(&*bed.log, Topic::Calls, 0), [0, 1]);
    assert_eq!(bed.log.progress("a", Topic::Calls, 0).expect("progress"), Some(1));
}

fn tickets_grow(bed: &mut Bed) {
    let mut last = bed.log.durable();
    for n in 0..50 {
        let ticket = append(&*bed.log, vec![numbered(Topic::Calls, 0, n)]);
        assert!(ticket > last);
        last = ticket;
        if n % 5 == 0 {
            bed.log.wait(ticket, LONG).expect("durable");
            assert!(bed.log.durable() >= ticket);
            assert_eq!(bed.log.end(Topic::Calls, 0), n as u64 + 1);
        }
    }
}

fn empty_appends(bed: &mut Bed) {
    let before = append(&*bed.log, vec![numbered(Topic::Calls, 0, 1)]);
    let empty = append(&*bed.log, vec![]);
    assert!(empty >= before);
    bed.log.wait(empty, LONG).expect("durable");
    assert_eq!(bed.log.end(Topic::Calls, 0), 1);
}

fn waits_are_bounded(bed: &mut Bed) {
    put(&*bed.log, vec![numbered(Topic::Calls, 0, 0)]);
    assert_eq!(bed.log.end(Topic::Calls, 0), 1);
    let began = Instant::now();
    let mut seen = bed.log.news();
    // What is shared may still show what became durable before.
    while bed.log.wait_beyond(seen, SHORT) != seen {
        seen = bed.log.news();
        assert!(began.elapsed() < LONG, "it never rests");
    }
    assert!(began.elapsed() >= SHORT);
    (bed.stall)(true);
    let ticket = append(&*bed.log, vec![numbered(Topic::Calls, 0, 1)]);
    assert!(matches!(bed.log.wait(ticket, SHORT), Err(LogError::Timeout { .. })));
    let log = &*bed.log;
    let woken = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait_beyond(seen, LONG));
        std::thread::sleep(SHORT);
        (bed.stall)(false);
        waiter.join().expect("waiter")
    });
    assert!(woken > seen);
    bed.log.wait(ticket, LONG).expect("durable");
}

fn callbacks_hear(bed: &mut Bed) {
    let heard: Arc<Mutex<Vec<Ticket>>> = Arc::default();
    let into = heard.clone();
    bed.log.on_durable(Arc::new(move |t| into.lock().expect("lock").push(t)));
    let mut last = Ticket(0);
    for n in 0..10 {
        last = put(&*bed.log, vec![numbered(Topic::Calls, 0, n)]);
    }
    let began = Instant::now();
    while heard.lock().expect("lock").last() != Some(&last) {
        assert!(began.elapsed() < LONG, "never heard of {last:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(heard.lock().expect("lock").is_sorted());
}

fn reads_begin_anywhere(bed: &mut Bed) {
    put(&*bed.log, (0..100).map(|n| numbered(Topic::Calls, 0, n)).collect());
    put(&*bed.log, (100..110).map(|n| numbered(Topic::Calls, 0, n)).collect());
    for round in 0..2 {
        for from in [0u64, 1, 57, 99, 100, 109] {
            let read = bed.log.read(Topic::Calls, 0, from, 5).expect("read");
            assert!(!read.is_empty(), "round {round} from {from}");
            for (r, want) in read.iter().zip(from..) {
                assert_eq!((r.offset, number(&r.event)), (want, want as i64));
            }
        }
        for from in [110, 111, u64::MAX] {
            assert!(bed.log.read(Topic::Calls, 0, from, 5).expect("at the end").is_empty());
        }
        (bed.reopen)(&mut bed.log);
    }
}

fn progress(consumer: &str, partition: u16, next: u64) -> Progress {
    Progress { consumer: consumer.to_owned(), topic: Topic::Calls, partition, next }
}

fn commits_are_atomic(bed: &mut Bed) {
    let stop = AtomicBool::new(false);
    let checks = AtomicU64::new(0);
    let log = &*bed.log;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                // Each commit puts out two events: whoever sees its progress sees them too, in both topics; on a shared log
                // once they have come here.
                let done = log.progress("stage", Topic::Calls, 0).expect("progress").unwrap_or(0) as usize;
                let began = Instant::now();
                while log.read(Topic::Cdrs, 0, 0, 1000).expect("read").len() < done || log.read(Topic::Ledger, 3, 0, 1000).expect("read").len() < done {
                    assert!(began.elapsed() < LONG, "progress without its outputs");
                }
                checks.fetch_add(1, Ordering::AcqRel);
            }
        });
        for n in 0..100 {
            let outputs = vec![numbered(Topic::Cdrs, 0, n), numbered(Topic::Ledger, 3, n)];
            let ticket = log.commit(outputs, vec![progress("stage", 0, n as u64 + 1)], vec![]).expect("commit");
            if n % 4 == 0 {
                log.wait(ticket, LONG).expect("durable");
            }
        }
        stop.store(true, Ordering::Release);
    });
    assert!(checks.load(Ordering::Acquire) > 0);
    (bed.reopen)(&mut bed.log);
    let kept = bed.log.progress("stage", Topic::Calls, 0).expect("progress").map(|n| n as usize);
    for (topic, partition) in [(Topic::Cdrs, 0), (Topic::Ledger, 3)] {
        let read = all(&*bed.log, topic, partition, bed.gapless);
        assert_eq!(kept, Some(read.len()));
        assert_eq!(read.last().map(|r| r.offset + 1), Some(bed.log.end(topic, partition)), "the end is after the last");
    }
}

fn progress_stands_alone(bed: &mut Bed) {
    assert_eq!(bed.log.progress("a", Topic::Calls, 0).expect("none"), None);
    let of_a = vec![progress("a", 0, 5), Progress { topic: Topic::Cdrs, ..progress("a", 0, 8) }, progress("a", 0, 9)];
    for moves in [of_a, vec![progress("a", 1, 6)], vec![progress("ab", 0, 7)]] {
        let ticket = bed.log.commit(vec![], moves, vec![]).expect("commit");
        bed.log.wait(ticket, LONG).expect("durable");
    }
    let at = |c, t, p| bed.log.progress(c, t, p).expect("progress");
    assert_eq!(
        [at("a", Topic::Calls, 0), at("a", Topic::Calls, 1), at("ab", Topic::Calls, 0), at("a", Topic::Cdrs, 0), at("b", Topic::Calls, 0)],
        [Some(9), Some(6), Some(7), Some(8), None]
    );
    assert_eq!(bed.log.end(Topic::Calls, 0), 0, "progress is no event");
}

fn snapshots_newest_wins(bed: &mut Bed) {
    assert!(bed.log.snapshot("a", 0).expect("none").is_none());
    let shot = |consumer: &str, partition, next, state: &[u8]| Snapshot { consumer: consumer.to_owned(), partition, version: 3, next, state: state.to_vec() };
    let large = vec![7; 300_000];
    let groups = [vec![shot("a", 0, 1, b"old"), shot("a", 1, 4, b"other"), shot("b", 0, 5, b"")], vec![shot("a", 0, 2, &large)]];
    for shots in groups {
        let ticket = bed.log.commit(vec![], vec![], shots).expect("commit");
        bed.log.wait(ticket, LONG).expect("durable");
    }
    for _ in 0..2 {
        let got = |c, p| bed.log.snapshot(c, p).expect("read").map(|s| (s.version, s.next, s.state));
        assert_eq!(got("a", 0), Some((3, 2, large.clone())));
        assert_eq!((got("a", 1), got("b", 0), got("b", 1)), (Some((3, 4, b"other".to_vec())), Some((3, 5, vec![])), None));
        (bed.reopen)(&mut bed.log);
    }
}

fn reopening_keeps_all(bed: &mut Bed) {
    for round in 0..4i64 {
        for n in 0..25 {
            put(&*bed.log, vec![numbered(Topic::Calls, 0, round * 25 + n)]);
        }
        (bed.reopen)(&mut bed.log);
        let read = all(&*bed.log, Topic::Calls, 0, true);
        assert_eq!(read.iter().map(|r| number(&r.event)).collect::<Vec<_>>(), (0..(round + 1) * 25).collect::<Vec<_>>());
        assert!(!bed.numbers || read.windows(2).all(|w| w[1].event.partition_seq == w[0].event.partition_seq + 1), "partition_seq goes on");
    }
}

fn backlog_is_bounded(bed: &mut Bed) {
    (bed.stall)(true);
    let mut taken = Vec::new();
    let mut refused = HashSet::new();
    for n in 0..MANY as i64 {
        for claim in [Claim::Ordinary, Claim::Reserved] {
            match bed.log.append(vec![numbered(Topic::Calls, 0, n)], Urgency::Group, claim) {
                Ok(_) => {
                    assert!(claim == Claim::Reserved || !refused.contains("ordinary"), "the limit does not move");
                    taken.push(n);
                }
                Err(e) => {
                    assert!(e.retryable() && matches!(e, LogError::Backlog { .. }), "{e}");
                    if claim == Claim::Reserved {
                        assert!(refused.contains("ordinary"), "ordinary appends are refused first");
                    }
                    refused.insert(if claim == Claim::Ordinary { "ordinary" } else { "reserved" });
                }
            }
        }
        if refused.len() == 2 {
            break;
        }
    }
    assert_eq!(refused.len(), 2, "both end");
    (bed.stall)(false);
    let last = bed.log.append(vec![], Urgency::Group, Claim::Reserved);
    let last = last.unwrap_or_else(|e| panic!("an empty append takes no room: {e}"));
    bed.log.wait(last, LONG).expect("durable");
    assert_eq!(numbers(&*bed.log, Topic::Calls, 0), taken);
}

fn wrong_partitions_are_refused(bed: &mut Bed) {
    let n = bed.log.partitions();
    for topic in Topic::ALL {
        let beyond = if topic.single_partition() { 1 } else { n };
        assert!(bed.log.append(vec![numbered(topic, beyond - 1, 0)], Urgency::Group, Claim::Ordinary).is_ok(), "{topic:?}");
        let e = bed.log.append(vec![numbered(Topic::Calls, 0, 0), numbered(topic, beyond, 0)], Urgency::Group, Claim::Ordinary).expect_err("no such partition");
        assert!(!e.retryable(), "{e}");
        assert!(bed.log.read(topic, beyond, 0, 1).is_err());
        assert!(bed.log.progress("a", topic, beyond).is_err());
    }
    let last = append(&*bed.log, vec![]);
    bed.log.wait(last, LONG).expect("durable");
    assert_eq!(bed.log.end(Topic::Calls, 0), 0, "a refused batch leaves nothing behind");
}
