//! Trimming: what is forwarded and folded goes, everything else stays.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::forward::FORWARDER;

fn small() -> Options {
    Options { segment_bytes: 64 << 10, tail_bytes: 1000, ..options() }
}

/// Of a partition, about a kilobyte.
fn call(partition: u16, n: i64) -> Append {
    let mut one = Append { partition, ..event(n) };
    one.event.key = (0..50).map(|i| format!("{:020}", n.wrapping_mul(7919) ^ i)).collect();
    one
}

fn decided(n: i64) -> Append {
    Append { topic: Topic::Control, partition: 0, ..event(n) }
}

fn wait(log: &EmbeddedLog) {
    let last = log.append(vec![], Urgency::Group, Claim::Ordinary).expect("ticket");
    log.wait(last, LONG).expect("durable");
}

/// Events `from..to` in partitions 1 and 2, a control event after every tenth.
fn fill(log: &EmbeddedLog, from: i64, to: i64) {
    fill_by(log, from, to, 20);
}

fn fill_by(log: &EmbeddedLog, from: i64, to: i64, every: i64) {
    for n in from..to {
        let mut batch = vec![call(1, n), call(2, n)];
        batch.extend((n % 10 == 0).then(|| decided(n)));
        log.append(batch, Urgency::Group, Claim::Reserved).expect("append");
        if n % every == 0 {
            wait(log);
        }
    }
    wait(log);
}

fn read(log: &EmbeddedLog, topic: Topic, partition: u16, from: u64) -> Vec<(u64, i64)> {
    let mut all: Vec<(u64, i64)> = Vec::new();
    loop {
        let more = log.read(topic, partition, all.last().map_or(from, |(o, _)| o + 1), 100).expect("read");
        if more.is_empty() {
            return all;
        }
        all.extend(more.iter().map(|r| (r.offset, number(&r.event))));
    }
}

/// Bytes of files below a folder.
fn bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |e: std::fs::DirEntry| if e.path().is_dir() { bytes(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) };
    entries.filter_map(|e| e.ok()).map(size).sum()
}

fn first(log: &EmbeddedLog, partition: u16) -> u64 {
    log.first(Topic::Calls, partition).expect("first")
}

/// Everything from where the log begins to `to` is there, and all of the control topic.
fn whole(log: &EmbeddedLog, to: u64) {
    for partition in [1, 2] {
        let from = first(log, partition);
        assert_eq!(read(log, Topic::Calls, partition, from), (from..to).map(|n| (n, n as i64)).collect::<Vec<_>>());
        assert_eq!(log.end(Topic::Calls, partition), to);
    }
    assert_eq!(read(log, Topic::Control, 0, 0), (0..to.div_ceil(10)).map(|n| (n, n as i64 * 10)).collect::<Vec<_>>());
}

#[test]
fn a_trim_takes_whole_segments_below_every_position_and_nothing_of_other_topics() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path(), small());
    fill(&log, 0, 1000);
    let none = log.trim(Topic::Calls, &[0, 1000, 0, 1000]).expect("trim");
    assert_eq!((none, first(&log, 1)), (0, 0), "partition 2 needs all");
    log.trim(Topic::Calls, &[0, 700, 500, 0]).expect("trim");
    let at = first(&log, 2);
    assert!((400..=500).contains(&at) && first(&log, 1) == at, "{at}");
    whole(&log, 1000);
    let gone = log.read(Topic::Calls, 1, at - 1, 10).expect_err("gone").to_string();
    assert!(gone.contains(&format!("offset {}: trimmed: forwarded to the shared log", at - 1)), "{gone}");
    // Numbers go on, now and after a restart.
    fill(&log, 1000, 1010);
    whole(&log, 1010);
    drop(log);
    let log = open(dir.path(), small());
    assert_eq!(first(&log, 1), at);
    whole(&log, 1010);
    assert!(matches!(log.read(Topic::Calls, 1, 0, 10), Err(LogError::Corrupt { offset: 0, .. })));
    log.trim(Topic::Calls, &[u64::MAX; 4]).expect("trim");
    assert!((900..=1010).contains(&first(&log, 1)), "the newest segment stays: {}", first(&log, 1));
    whole(&log, 1010);
    for (topic, keep) in [(Topic::Control, vec![9]), (Topic::Cdrs, vec![0; 4]), (Topic::Calls, vec![0; 3])] {
        assert!(matches!(log.trim(topic, &keep), Err(LogError::Refused(_))), "{}", topic.name());
    }
}

#[test]
fn a_trim_gives_the_disk_back() {
    let dir = tempfile::tempdir().expect("dir");
    let options = || Options { segment_bytes: 1 << 20, ..small() };
    let log = open(dir.path(), options());
    fill_by(&log, 0, 20_000, 200);
    let tables = || bytes(&dir.path().join("keyspaces"));
    until("in tables", || tables() > 36 << 20);
    let (before, all) = (tables(), bytes(dir.path()));
    let mut freed = 0;
    // What was not in tables at the first time goes with the next.
    until("given back", || {
        freed += log.trim(Topic::Calls, &[20_000; 4]).expect("trim");
        std::thread::sleep(Duration::from_millis(20));
        tables() < before / 10
    });
    println!("tables {before} -> {}, all {all} -> {}, said {freed}", tables(), bytes(dir.path()));
    assert!(freed > before / 10 * 8 && freed <= all, "{freed}");
    whole(&log, 20_000);
    // Again and again: the log stays small.
    for round in 2..5 {
        fill_by(&log, (round - 1) * 20_000, round * 20_000, 200);
        log.trim(Topic::Calls, &[round as u64 * 20_000; 4]).expect("trim");
        println!("round {round}: tables {}, all {}", tables(), bytes(dir.path()));
    }
    until("given back", || {
        log.trim(Topic::Calls, &[80_000; 4]).expect("trim");
        std::thread::sleep(Duration::from_millis(20));
        tables() < before / 10
    });
    whole(&log, 80_000);
}

#[test]
fn a_trimmed_log_is_not_opened_by_a_program_that_does_not_know_of_trimming() {
    let dir = tempfile::tempdir().expect("dir");
    let form = |log: &EmbeddedLog| log.shared.storage.format().expect("identity");
    let log = open(dir.path(), small());
    fill(&log, 0, 300);
    assert_eq!(form(&log), keys::FORMAT_UNTRIMMED);
    log.trim(Topic::Calls, &[300; 4]).expect("trim");
    assert_eq!(form(&log), 2);
}

#[test]
fn readers_meet_no_hole_while_the_log_is_trimmed_under_them() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path(), small());
    fill(&log, 0, 1500);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..60 {
                assert_eq!(read(&log, Topic::Control, 0, 0).len(), 150);
                assert_eq!(log.read(Topic::Calls, 1, 1450, 10).expect("read")[0].offset, 1450);
            }
        });
        for keep in (0..1400).step_by(20) {
            log.trim(Topic::Calls, &[keep; 4]).expect("trim");
        }
        reader.join().expect("reader");
    });
    whole(&log, 1500);
}

/// The part of the next test that is killed: fills and trims for ever.
const VICTIM: &str = "TOLLGATE_TEST_TRIM_VICTIM";

#[test]
fn killed_at_any_moment_of_a_trim_the_log_is_whole() {
    const NAME: &str = "embedded::tests::trim::killed_at_any_moment_of_a_trim_the_log_is_whole";
    if let Some(dir) = std::env::var_os(VICTIM) {
        let log = open(Path::new(&dir), small());
        let mut n = log.end(Topic::Calls, 2) as i64;
        loop {
            fill(&log, n, n + 200);
            n += 200;
            log.trim(Topic::Calls, &[n as u64 - 50; 4]).expect("trim");
        }
    }
    let dir = tempfile::tempdir().expect("dir");
    let (mut begins, mut ends) = (0, 0);
    // On a busy machine the first come to nothing.
    for round in 0..200u64 {
        if round >= 12 && begins > 0 && ends > 200 {
            break;
        }
        let exe = std::env::current_exe().expect("this test");
        let mut victim = Command::new(exe)
            .args([NAME, "--exact"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("victim");
        std::thread::sleep(Duration::from_millis(60 + round * 37 % 150));
        victim.kill().expect("kill -9");
        victim.wait().expect("wait");
        let log = open(dir.path(), small());
        // A group holds both partitions' events, so both end alike.
        whole(&log, log.end(Topic::Calls, 1));
        assert!(first(&log, 1) >= begins && log.end(Topic::Calls, 1) >= ends, "nothing comes back, nothing durable goes");
        (begins, ends) = (first(&log, 1), log.end(Topic::Calls, 1));
    }
    assert!(begins > 0 && ends > 200, "the victim trimmed: {begins}, {ends}");
}

#[test]
fn what_is_not_forwarded_or_not_folded_yet_is_needed() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path(), small());
    fill(&log, 0, 500);
    assert_eq!(trim_point(&log), [0; 4], "no forwarder");
    let forwarded = |next| (1..3).map(|p| Progress { consumer: FORWARDER.to_owned(), topic: Topic::Calls, partition: p, next }).collect();
    let folded = |partition, next| Snapshot { consumer: "live".to_owned(), partition, version: 1, next, state: Vec::new() };
    let commit = |progress, shots| {
        let ticket = log.commit(vec![], progress, shots).expect("commit");
        log.wait(ticket, LONG).expect("durable");
    };
    commit(forwarded(400), vec![]);
    assert_eq!(trim_point(&log), [0; 4], "no snapshot");
    commit(forwarded(400), vec![folded(1, 300), folded(2, 450)]);
    assert_eq!(trim_point(&log), [0, 300, 400, 0]);
    log.trim(Topic::Calls, &trim_point(&log)).expect("trim");
    let at = first(&log, 1);
    assert!((200..=300).contains(&at), "{at}");
    whole(&log, 500);
}
