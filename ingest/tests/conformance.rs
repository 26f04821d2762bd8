//! The embedded log keeps the port's promises, also when its process is killed.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_ingest::{EmbeddedLog, Options, conformance, embedded::Faults};
use tollgate_schemas::{
    log::{Append, Claim, EventLog, Progress, Topic, Urgency},
    v1::{Event, Tick, event::Body},
};

fn options() -> Options {
    Options { partitions: 4, window_ms: 1, ride_ms: 5, limit: 1000, reserved: 1000, reserve_bytes: 0, ..Options::default() }
}

#[test]
fn the_embedded_log_keeps_every_promise_of_the_port() {
    // Once reading from memory, once with nothing kept there and many segments.
    for (tail_bytes, segment_bytes) in [(1 << 20, 64 << 20), (0, 500)] {
        conformance::run(|| {
            let dir = tempfile::tempdir().expect("dir");
            let faults = Arc::new(Faults::default());
            let o = Options { tail_bytes, segment_bytes, faults: Some(faults.clone()), ..options() };
            let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(dir.path(), o.clone()).expect("open"));
            conformance::Bed {
                log,
                reopen: Box::new(move |log| {
                    // The folder's lock must be free before it is opened again.
                    let other = tempfile::tempdir().expect("dir");
                    *log = Arc::new(EmbeddedLog::open(other.path(), options()).expect("a stand-in"));
                    *log = Arc::new(EmbeddedLog::open(dir.path(), o.clone()).expect("reopen"));
                }),
                stall: Box::new(move |stall| faults.fail_commits(stall)),
                numbers: true,
                gapless: true,
            }
        });
    }
}

const CHILD: &str = "TOLLGATE_LOG_KILL_DIR";
const THREADS: i64 = 3;

fn numbered(topic: Topic, partition: u16, n: i64) -> Append {
    Append { topic, partition, event: Event { body: Some(Body::Tick(Tick { at_us: n })), key: "k".repeat(200), ..Event::default() } }
}

fn numbers(log: &EmbeddedLog, topic: Topic, partition: u16) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(records) = Some(log.read(topic, partition, all.len() as u64, 1000).expect("read")).filter(|r| !r.is_empty()) {
        for r in records {
            assert_eq!(r.offset, all.len() as u64);
            assert_eq!(r.event.partition_seq, r.offset + 1);
            match r.event.body {
                Some(Body::Tick(Tick { at_us })) => all.push(at_us),
                _ => panic!("{}", r.event.name()),
            }
        }
    }
    all
}

/// Not a test of its own: the process the next test kills. Appends until then, telling what was acknowledged.
#[test]
fn child_of_the_kill_test() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let log = EmbeddedLog::open(Path::new(&dir), Options { segment_bytes: 200_000, ..options() }).expect("open");
    std::thread::scope(|scope| {
        for t in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                let partition = t as u16;
                let mut n = log.end(Topic::Calls, partition) as i64;
                loop {
                    // Progress of thread 0 counts its outputs: after a kill they must still agree.
                    let ticket = if t == 0 {
                        let progress = Progress { consumer: "stage".to_owned(), topic: Topic::Calls, partition, next: n as u64 + 1 };
                        log.commit(vec![numbered(Topic::Calls, partition, n), numbered(Topic::Cdrs, partition, n)], vec![progress], vec![])
                    } else {
                        log.append(vec![numbered(Topic::Calls, partition, n), numbered(Topic::Calls, partition, n + 1)], Urgency::Group, Claim::Ordinary)
                    };
                    log.wait(ticket.expect("append"), Duration::from_secs(20)).expect("durable");
                    n += if t == 0 { 1 } else { 2 };
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {t} {n}").and_then(|()| out.flush()).expect("tell");
                }
            });
        }
    });
}

#[test]
fn after_kill_9_every_acknowledged_event_is_there_without_gaps() {
    let dir = tempfile::tempdir().expect("dir");
    let mut events = 0;
    for (round, kill_after_ms) in [30, 170, 90, 260, 50, 130].into_iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .args(["--exact", "child_of_the_kill_test", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child");
        let out = BufReader::new(child.stdout.take().expect("stdout"));
        let mut acknowledged: HashMap<i64, i64> = HashMap::new();
        let mut kill_at = None;
        for line in out.lines() {
            let line = line.expect("line");
            let Some(rest) = line.split("acknowledged ").nth(1) else { continue };
            // From the first acknowledgement on, so that a slow start is not what is tested.
            let at = *kill_at.get_or_insert_with(|| Instant::now() + Duration::from_millis(kill_after_ms));
            let mut words = rest.split(' ').map(|w| w.parse::<i64>());
            if let (Some(Ok(t)), Some(Ok(n))) = (words.next(), words.next()) {
                acknowledged.insert(t, n);
            }
            if Instant::now() >= at {
                child.kill().expect("kill");
            }
        }
        child.wait().expect("gone");
        let log = EmbeddedLog::open(dir.path(), options()).expect("open after the kill");
        assert_eq!(log.epoch() as usize, 2 * (round + 1), "every opening counts");
        events = 0;
        for t in 0..THREADS {
            let read = numbers(&log, Topic::Calls, t as u16);
            assert_eq!(read, (0..read.len() as i64).collect::<Vec<_>>(), "thread {t}");
            let said = acknowledged.get(&t).copied().unwrap_or(0);
            assert!(read.len() as i64 >= said, "thread {t}: {said} acknowledged, {} there", read.len());
            events += read.len();
        }
        let done = log.progress("stage", Topic::Calls, 0).expect("progress").unwrap_or(0);
        assert_eq!((done, done), (log.end(Topic::Calls, 0), log.end(Topic::Cdrs, 0)), "outputs and progress are there together");
    }
    println!("{events} events survived 6 kills");
    assert!(events > 100);
}
