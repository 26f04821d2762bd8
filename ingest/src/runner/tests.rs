use tollgate_schemas::{event::Body, log::{Snapshot, Urgency}, v1::Event};

use super::*;
use crate::{
    embedded::Faults,
    inspect,
    sample::{ADDER, ADDER_VERSION, LONG, PANIC, POISON, adder, all, control, lifted, numbered, open, open_with, put},
    tick::Ticker,
    worker::WorkerState,
};

fn options() -> RunnerOptions {
    RunnerOptions { poll_ms: 0, batch_max: 16, snapshot_every_events: 50, follow_control: true, ..RunnerOptions::default() }
}

fn start(log: &Arc<crate::EmbeddedLog>, options: RunnerOptions) -> WorkerHandle {
    Runner::spawn(log.clone(), ADDER, adder, options).expect("thread")
}

fn caught_up(runner: &WorkerHandle) {
    assert!(runner.wait_caught_up(LONG), "{:?}, {} behind", runner.state(), runner.lag());
}

/// What the adder posted in a partition: number, sum so far, control so far.
fn posted(log: &dyn EventLog, partition: u16) -> Vec<String> {
    let reason = |e: &Arc<Event>| match &e.body {
        Some(Body::LedgerPosted(p)) => p.reason.clone(),
        _ => panic!("{}", e.name()),
    };
    all(log, Topic::Ledger, partition).iter().map(reason).collect()
}

#[test]
fn outputs_are_there_once_however_often_the_stage_stops() {
    let dir = tempfile::tempdir().expect("dir");
    for round in 0..5 {
        let log = open(dir.path());
        let runner = start(&log, options());
        for n in round * 40..(round + 1) * 40 {
            put(&*log, vec![numbered((n % 4) as u16, n, 0)]);
        }
        if round % 2 == 0 {
            caught_up(&runner);
        }
        assert_eq!(runner.join(), WorkerState::Stopped);
    }
    let log = open(dir.path());
    let runner = start(&log, options());
    caught_up(&runner);
    drop(runner);
    for p in 0..4 {
        let mut sum = 0;
        let mut want = Vec::new();
        for (offset, n) in (0..200i64).filter(|n| n % 4 == i64::from(p)).enumerate() {
            sum += n;
            if offset % 3 != 2 {
                want.push(format!("{n} {sum} 0"));
            }
        }
        assert_eq!(posted(&*log, p), want);
    }
    let report = inspect::replay(&*log, ADDER, adder, &options(), &[Topic::Ledger], &|_| true).expect("replay");
    assert!(report.equal() && report.inputs == 200 && report.outputs > 100, "{report:?}");
}

#[test]
fn replay_tells_when_the_program_does_not_agree_with_the_log() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let runner = start(&log, options());
    put(&*log, (0..10).map(|n| numbered(0, n, 0)).collect());
    caught_up(&runner);
    drop(runner);
    // Somebody else's posting, and a snapshot that must not be used.
    put(&*log, vec![Append { topic: Topic::Ledger, ..numbered(2, 5, 0) }]);
    let report = inspect::replay(&*log, ADDER, |p| adder(p + 1), &options(), &[Topic::Ledger], &|_| true).expect("replay");
    let mut what: Vec<&str> = report.differences.iter().map(|d| d.what).collect();
    what.sort_unstable();
    what.dedup();
    assert_eq!(what, ["in the log, not made again", "made again, not in the log"], "{report:?}");
}

#[test]
fn a_restart_begins_at_the_snapshot_and_one_of_another_version_is_left() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let runner = start(&log, options());
    put(&*log, (0..9).map(|n| numbered(1, n, 0)).collect());
    caught_up(&runner);
    drop(runner);
    let snapshot = log.snapshot(ADDER, 1).expect("read").expect("written at the stop");
    assert_eq!((snapshot.next, snapshot.version), (9, super::instance::FORM | ADDER_VERSION));
    let own = super::instance::FORM | ADDER_VERSION;
    for (version, first) in [(own, 1_000_000), (own + 1, 36)] {
        // A snapshot that says something else shows whether it was used.
        let mut state = snapshot.state.clone();
        // After the control offset and an empty table of nodes.
        state[10..18].copy_from_slice(&1_000_000i64.to_be_bytes());
        let next = log.end(Topic::Calls, 1);
        let shot = Snapshot { state, version, next, ..snapshot.clone() };
        let ticket = log.commit(vec![], vec![], vec![shot]).expect("commit");
        log.wait(ticket, LONG).expect("durable");
        let runner = start(&log, options());
        put(&*log, vec![numbered(1, 0, 0)]);
        caught_up(&runner);
        drop(runner);
        assert!(posted(&*log, 1).last().expect("posted").starts_with(&format!("0 {first} ")), "version {version}");
    }
}

#[test]
fn control_is_fed_up_to_each_inputs_stamp_and_replay_feeds_the_same() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    put(&*log, (0..5).map(control).collect());
    let runner = start(&log, options());
    for (n, stamp) in [(0, 0), (1, 2), (2, 1), (3, 5), (4, 5)] {
        put(&*log, vec![numbered(0, n, stamp)]);
    }
    put(&*log, vec![numbered(1, 9, 3)]);
    caught_up(&runner);
    drop(runner);
    let fold = |count: u64| (0..count).fold(0u64, |f, n| f.wrapping_mul(31).wrapping_add(n + 1));
    // The third event's stamp is behind: what was fed stays fed. It has no output.
    assert_eq!(posted(&*log, 0), ["0 0 0".to_owned(), format!("1 1 {}", fold(2)), format!("3 6 {}", fold(5)), format!("4 10 {}", fold(5))]);
    assert_eq!(posted(&*log, 1), [format!("9 9 {}", fold(3))]);
    // After a restart nothing is fed twice.
    let runner = start(&log, options());
    put(&*log, vec![numbered(1, 1, 4)]);
    caught_up(&runner);
    drop(runner);
    assert_eq!(posted(&*log, 1)[1], format!("1 10 {}", fold(4)));
    let report = inspect::replay(&*log, ADDER, adder, &options(), &[Topic::Ledger], &|_| true).expect("replay");
    assert!(report.equal(), "{report:?}");
}

#[test]
fn blocks_reach_every_partition_once_at_a_place_replay_finds_again() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let clock = || tollgate_schemas::time::Now { utc_us: 0, mono_ns: 0 };
    for round in 0..3 {
        let ticker = Ticker::spawn(log.clone(), clock, log.mint(), 1, Duration::from_millis(5), None).expect("thread");
        let runner = start(&log, options());
        let block = round as u128 * 2;
        put(&*log, vec![numbered(0, round, 0), lifted(block), numbered(3, round, 0), lifted(block + 1)]);
        caught_up(&ticker);
        drop(ticker);
        caught_up(&runner);
    }
    for p in 0..4 {
        let copies: Vec<u64> = all(&*log, Topic::Calls, p)
            .iter()
            .filter(|e| matches!(e.body, Some(Body::BlockLifted(_))))
            .map(|e| e.id().0 as u64)
            .collect();
        assert_eq!(copies, [0, 1, 2, 3, 4, 5], "partition {p}");
    }
    assert_eq!(log.end(Topic::Quarantine, 0), 0, "a block is not an input");
    let report = inspect::replay(&*log, ADDER, adder, &options(), &[Topic::Ledger], &|_| true).expect("replay");
    assert!(report.equal() && report.outputs > 0, "{report:?}");
}

#[test]
fn poison_and_panics_go_to_quarantine_whole_and_the_partition_goes_on() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let runner = start(&log, options());
    put(&*log, [1, POISON, 3, PANIC, 5].map(|n| numbered(2, n, 0)).to_vec());
    caught_up(&runner);
    drop(runner);
    // 3 stands at the offset without output; the refused ones have none and do not count.
    assert_eq!(posted(&*log, 2), ["1 1 0", "5 9 0"]);
    let kept: Vec<_> = all(&*log, Topic::Quarantine, 2)
        .iter()
        .map(|e| match &e.body {
            Some(Body::Quarantined(q)) => (q.offset, q.problem.clone(), prost::Message::decode(&*q.event).expect("the event itself")),
            _ => panic!("{}", e.name()),
        })
        .collect::<Vec<(u64, String, Event)>>();
    assert_eq!(kept.len(), 2);
    assert!(kept[0].1.contains("does not like") && kept[1].1.contains("cannot bear"), "{kept:?}");
    for (offset, _, event) in kept {
        assert_eq!(event, *all(&*log, Topic::Calls, 2)[offset as usize]);
    }
    let report = inspect::replay(&*log, ADDER, adder, &options(), &[Topic::Ledger, Topic::Quarantine], &|_| true).expect("replay");
    assert!(report.equal(), "{report:?}");
}

#[test]
fn an_event_for_a_newer_program_stops_the_stage_instead_of_being_skipped() {
    let dir = tempfile::tempdir().expect("dir");
    let log = open(dir.path());
    let mut newer = numbered(0, 1, 0);
    newer.event.oldest_reader = tollgate_schemas::event::VERSION + 1;
    put(&*log, vec![numbered(0, 0, 0), newer, numbered(0, 2, 0)]);
    drop(log);
    let log = open(dir.path());
    let runner = start(&log, options());
    assert!(!runner.wait_caught_up(LONG));
    match runner.state() {
        WorkerState::Failed(why) => assert!(why.contains("upgrade") && why.contains("offset 1"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn outputs_wait_for_a_failing_disk_and_none_is_lost() {
    let dir = tempfile::tempdir().expect("dir");
    let faults = Arc::new(Faults::default());
    let log = open_with(dir.path(), Some(faults.clone()));
    let runner = start(&log, options());
    put(&*log, vec![numbered(0, 1, 0)]);
    caught_up(&runner);
    faults.fail_commits(true);
    for n in 2..40 {
        log.append(vec![numbered(0, n, 0)], Urgency::Group, tollgate_schemas::log::Claim::Reserved).expect("append");
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(posted(&*log, 0).len(), 1);
    faults.fail_commits(false);
    let last = log.append(vec![], Urgency::Group, tollgate_schemas::log::Claim::Ordinary).expect("append");
    log.wait(last, LONG).expect("healed");
    caught_up(&runner);
    assert_eq!(posted(&*log, 0).len(), 26);
}
