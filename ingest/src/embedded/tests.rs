mod trim;

use std::time::Instant;

use tollgate_schemas::v1::{Event, Tick, event::Body};

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options { partitions: 4, window_ms: 1, ride_ms: 5, reserve_bytes: 0, ..Options::default() }
}

fn open(dir: &Path, options: Options) -> EmbeddedLog {
    EmbeddedLog::open(dir, options).expect("open")
}

fn event(n: i64) -> Append {
    Append { topic: Topic::Calls, partition: 1, event: Event { body: Some(Body::Tick(Tick { at_us: n })), ..Event::default() } }
}

fn number(e: &Event) -> i64 {
    match e.body {
        Some(Body::Tick(Tick { at_us })) => at_us,
        _ => panic!("{}", e.name()),
    }
}

fn numbers(log: &EmbeddedLog) -> Vec<i64> {
    let mut all = Vec::new();
    loop {
        let records = log.read(Topic::Calls, 1, all.len() as u64, 100).expect("read");
        if records.is_empty() {
            return all;
        }
        for r in records {
            assert_eq!(r.offset, all.len() as u64);
            assert_eq!(r.event.partition_seq, r.offset + 1);
            all.push(number(&r.event));
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ids_of_two_openings_never_meet() {
    let dir = tempfile::tempdir().expect("dir");
    let (node, first) = {
        let log = open(dir.path(), options());
        assert_eq!(log.epoch(), 1);
        (log.node(), log.mint().mint())
    };
    let log = open(dir.path(), options());
    assert_eq!((log.node(), log.epoch()), (node, 2));
    assert_ne!(log.mint().mint(), first);
    assert!(node > 0 && node < 1 << 48);
    let other = tempfile::tempdir().expect("dir");
    assert_ne!(open(other.path(), options()).node(), node, "a node is random");
}

#[test]
fn a_second_opening_and_another_partition_count_are_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path(), options());
    let refused = |o| match EmbeddedLog::open(dir.path(), o) {
        Err(LogError::Refused(why)) => why,
        Err(e) => panic!("{e:?}"),
        Ok(_) => panic!("opened"),
    };
    assert!(refused(options()).contains("in use"));
    log.close().expect("close");
    let why = refused(Options { partitions: 8, ..options() });
    assert!(why.contains("made with 4 partitions") && why.contains("says 8"), "{why}");
    open(dir.path(), options());
}

#[test]
fn closing_commits_what_is_pending_and_takes_no_more() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path(), Options { window_ms: 60_000, ride_ms: 60_000, ..options() });
    log.append(vec![event(1)], Urgency::Ride, Claim::Ordinary).expect("append");
    assert_eq!(log.durable(), Ticket(0));
    log.close().expect("close");
    assert!(matches!(log.append(vec![event(2)], Urgency::Ride, Claim::Reserved), Err(LogError::Refused(_))));
    drop(log);
    assert_eq!(numbers(&open(dir.path(), options())), [1]);
}

#[test]
fn a_ride_waits_for_company_and_a_waiter_hurries_it() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path(), Options { window_ms: 1, ride_ms: 60_000, ..options() });
    let ride = log.append(vec![event(1)], Urgency::Ride, Claim::Ordinary).expect("append");
    assert!(matches!(log.wait_beyond(Ticket(0), Duration::from_millis(50)), Ticket(0)), "nobody came");
    let urgent = log.append(vec![event(2)], Urgency::Group, Claim::Ordinary).expect("append");
    assert_eq!(log.wait_beyond(Ticket(0), LONG), urgent);
    assert!(ride < urgent);
    assert_eq!(log.stats().groups, 1, "one group took both");
    let ride = log.append(vec![event(3)], Urgency::Ride, Claim::Ordinary).expect("append");
    log.wait(ride, LONG).expect("hurried");
}

#[test]
fn old_events_are_read_from_many_segments_as_they_were() {
    let dir = tempfile::tempdir().expect("dir");
    let small = || Options { segment_bytes: 400, tail_bytes: 200, ..options() };
    for round in 0..3 {
        let log = open(dir.path(), small());
        assert_eq!(numbers(&log), (0..round * 100).collect::<Vec<i64>>());
        for n in round * 100..(round + 1) * 100 {
            let ticket = log.append(vec![event(n)], Urgency::Group, Claim::Ordinary).expect("append");
            if n % 7 == 0 {
                log.wait(ticket, LONG).expect("durable");
            }
            if n % 10 == 0 {
                // Another stream, so that segments begin in the middle of this one.
                let other = Append { topic: Topic::Cdrs, partition: 0, ..event(n) };
                log.append(vec![other], Urgency::Group, Claim::Ordinary).expect("append");
            }
        }
        let last = log.append(vec![], Urgency::Group, Claim::Ordinary).expect("last ticket");
        log.wait(last, LONG).expect("durable");
        assert_eq!(numbers(&log), (0..(round + 1) * 100).collect::<Vec<i64>>());
    }
    let log = open(dir.path(), small());
    let middle = log.read(Topic::Calls, 1, 137, 5).expect("read");
    assert_eq!(number(&middle[0].event), 137);
    assert_eq!(log.end(Topic::Cdrs, 0), 30);
}

#[test]
fn a_failing_disk_loses_nothing_acknowledges_nothing_and_heals_by_itself() {
    let dir = tempfile::tempdir().expect("dir");
    let faults = Arc::new(Faults::default());
    let log = open(dir.path(), Options { faults: Some(faults.clone()), ..options() });
    let first = log.append(vec![event(0)], Urgency::Group, Claim::Ordinary).expect("append");
    log.wait(first, LONG).expect("durable");
    faults.fail_commits(true);
    let mut last = first;
    for n in 1..50 {
        last = log.append(vec![event(n)], Urgency::Group, Claim::Reserved).expect("append");
    }
    until("health", || log.health() == Health::Failing);
    assert!(matches!(log.wait(last, Duration::from_millis(50)), Err(LogError::Timeout { .. })));
    assert_eq!((log.durable(), log.end(Topic::Calls, 1)), (first, 1));
    assert_eq!(numbers(&log), [0]);
    faults.fail_commits(false);
    log.wait(last, LONG).expect("healed");
    assert_eq!(log.health(), Health::Good);
    assert!(log.stats().failures > 0);
    assert_eq!(numbers(&log), (0..50).collect::<Vec<i64>>());
    drop(log);
    assert_eq!(numbers(&open(dir.path(), options())), (0..50).collect::<Vec<i64>>());
}

#[test]
fn a_log_closed_while_its_disk_fails_says_what_was_lost() {
    let dir = tempfile::tempdir().expect("dir");
    let faults = Arc::new(Faults::default());
    let log = open(dir.path(), Options { faults: Some(faults.clone()), ..options() });
    faults.fail_commits(true);
    log.append(vec![event(0), event(1)], Urgency::Group, Claim::Reserved).expect("append");
    let error = log.close().expect_err("not written").to_string();
    assert!(error.contains("2 pending events"), "{error}");
}

#[test]
fn a_slow_disk_is_told_before_the_backlog_is_full_then_ordinary_appends_are_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let faults = Arc::new(Faults::default());
    let o = Options { limit: 10, reserved: 10, slow_ms: 100, faults: Some(faults.clone()), ..options() };
    let log = open(dir.path(), o);
    faults.delay_commits(400);
    log.append(vec![event(0)], Urgency::Group, Claim::Ordinary).expect("append");
    until("slow", || log.health() == Health::Slow);
    let mut taken = 1;
    let refused = loop {
        match log.append(vec![event(taken)], Urgency::Group, Claim::Ordinary) {
            Ok(_) => taken += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(refused, LogError::Backlog { pending } if pending >= 10) && refused.retryable());
    while log.append(vec![event(taken)], Urgency::Group, Claim::Reserved).is_ok() {
        taken += 1;
    }
    assert!((20..=40).contains(&taken), "the reserve ends too: {taken}");
    faults.delay_commits(0);
    until("good again", || log.health() == Health::Good);
    assert_eq!(numbers(&log), (0..taken).collect::<Vec<i64>>());
}

#[test]
fn a_nearly_full_disk_refuses_new_calls_and_keeps_its_reserve_for_live_ones() {
    let dir = tempfile::tempdir().expect("dir");
    let faults = Arc::new(Faults::default());
    let log = open(dir.path(), Options { reserve_bytes: 1 << 20, faults: Some(faults.clone()), ..options() });
    log.append(vec![event(0)], Urgency::Group, Claim::Ordinary).expect("room");
    faults.cap_free_bytes(1 << 19);
    until("failing", || log.health() == Health::Failing);
    let refused = log.append(vec![event(1)], Urgency::Group, Claim::Ordinary).expect_err("no room");
    assert!(refused.retryable(), "{refused}");
    let live = log.append(vec![event(2)], Urgency::Group, Claim::Reserved).expect("live calls go on");
    log.wait(live, LONG).expect("durable");
    faults.cap_free_bytes(u64::MAX);
    until("good", || log.health() == Health::Good);
    log.append(vec![event(3)], Urgency::Group, Claim::Ordinary).expect("room again");
}

/// A real full disk: fjall itself fails, refuses to go on and is opened again. Needs the right to mount a tmpfs;
/// without it the injected test above stands alone, and this one says so.
#[test]
fn a_really_full_disk_heals_when_room_is_made() {
    let dir = tempfile::tempdir().expect("dir");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
        .arg(dir.path())
        .output()
        .is_ok_and(|o| o.status.success());
    if !mounted {
        println!("not exercised: mounting a tmpfs needs root");
        return;
    }
    let mount = Unmount(dir.path());
    {
        let log = open(&mount.0.join("log"), options());
        let ballast = mount.0.join("ballast");
        std::fs::write(&ballast, vec![1u8; 5 << 20]).expect("ballast");
        let mut sent = 0;
        until("full", || {
            for _ in 0..200 {
                let mut one = event(sent);
                one.event.key = "k".repeat(500);
                if log.append(vec![one], Urgency::Group, Claim::Reserved).is_ok() {
                    sent += 1;
                }
            }
            log.health() == Health::Failing
        });
        let durable = numbers(&log);
        assert!(durable.len() < sent as usize, "something waits");
        std::fs::remove_file(&ballast).expect("make room");
        let last = log.append(vec![event(sent)], Urgency::Group, Claim::Reserved).expect("append");
        log.wait(last, LONG).expect("healed");
        assert_eq!(numbers(&log), (0..=sent).collect::<Vec<i64>>());
        drop(log);
        assert_eq!(numbers(&open(&mount.0.join("log"), options())), (0..=sent).collect::<Vec<i64>>());
    }
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg(self.0).status();
        assert!(done.is_ok_and(|s| s.success()), "umount {}", self.0.display());
    }
}
