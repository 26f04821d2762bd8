use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use tollgate_schemas::{
    event::Event,
    log::{LogError, Progress, Record},
};

use super::{write::Writer, *};
use crate::{
    EmbeddedLog, WorkerState,
    sample::{LONG, numbered, open, put},
};

/// The `n`th event, at an offset, as a log gives it.
fn record(offset: u64, n: i64) -> Record {
    Record { offset, event: Arc::new(numbered(1, n, 0).event) }
}

fn options(segment_bytes: u64) -> ArchiverOptions {
    ArchiverOptions { segment_bytes, ..ArchiverOptions::new(None, || 0) }
}

fn wide(n: i64) -> tollgate_schemas::log::Append {
    let mut append = numbered(1, n, 0);
    append.event.key = "k".repeat(500);
    append
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn all(reader: &ArchiveReader, partition: u16, from: u64) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let more = reader.read(partition, records.last().map_or(from, |r| r.offset + 1), 100).expect("read");
        if more.is_empty() {
            return records;
        }
        records.extend(more);
    }
}

fn archived(log: &EmbeddedLog) -> u64 {
    log.progress(ARCHIVER, Topic::Calls, 1).expect("progress").unwrap_or(0)
}

/// Runs an archiver over 2000 events of partition 1 in segments of about 100 events each.
fn filled() -> (tempfile::TempDir, tempfile::TempDir, Arc<EmbeddedLog>) {
    let (near, dir) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = open(near.path());
    put(&*log, (0..2000).map(wide).collect());
    let worker = Archiver::spawn(log.clone(), dir.path().to_owned(), options(52_000)).expect("thread");
    until("archived", || worker.caught_up() && archived(&log) >= 1900);
    drop(worker);
    (near, dir, log)
}

#[test]
fn design_2_old_events_are_read_from_the_archive_as_they_were_at_their_offsets() {
    let (_near, dir, log) = filled();
    let reader = ArchiveReader::open(dir.path());
    let (first, next) = reader.span(1).expect("span").expect("some");
    assert_eq!((first, next), (0, archived(&log)));
    let live = log.read(Topic::Calls, 1, 0, 2000).expect("read");
    for from in [0, 1, 99, 1234, next - 1] {
        let old = all(&reader, 1, from);
        assert_eq!(old.len() as u64, next - from);
        for (old, live) in old.iter().zip(&live[from as usize..]) {
            assert_eq!((old.offset, &old.event), (live.offset, &live.event));
        }
    }
    assert!(reader.read(1, next, 10).expect("at the end").is_empty() && reader.read(3, 0, 10).expect("nothing").is_empty());
    let report = verify(dir.path(), |_| {}).expect("verify");
    assert!(report.sound(), "{:?}", report.problems);
    assert_eq!((report.partitions, report.events), (4, next));
    assert!(report.segments >= 19 && report.bytes * 3 < report.raw_bytes, "{report:?}");
}

#[test]
fn design_2_offsets_with_gaps_are_kept_and_segments_still_join() {
    let dir = tempfile::tempdir().expect("dir");
    let folder = folder(dir.path(), 7);
    std::fs::create_dir_all(&folder).expect("folder");
    let (mut previous, mut from) = ([0; 32], 0);
    for offsets in [vec![3, 4, 9], vec![11, 1 << 40, (1 << 40) + 5]] {
        let mut writer = Writer::create(&folder, 7, from, previous).expect("writer");
        offsets.iter().for_each(|o| writer.push(&record(*o, *o as i64)).expect("push"));
        let closed = writer.close().expect("close");
        assert!(write::publish(&closed, &folder).expect("publish"));
        (previous, from) = (closed.hash, closed.header.next());
    }
    let reader = ArchiveReader::open(dir.path());
    let offsets = |from| all(&reader, 7, from).iter().map(|r| r.offset).collect::<Vec<_>>();
    assert_eq!(offsets(0), [3, 4, 9, 11, 1 << 40, (1 << 40) + 5]);
    assert_eq!(offsets(10), [11, 1 << 40, (1 << 40) + 5]);
    assert_eq!(offsets((1 << 40) + 1), [(1 << 40) + 5]);
    let report = verify(dir.path(), |_| {}).expect("verify");
    assert!(report.sound() && report.segments == 2, "{report:?}");
}

#[test]
fn design_2_a_killed_archivers_successor_goes_on_without_loss_or_repeat() {
    let (near, dir, log) = filled();
    let (folder, next) = (folder(dir.path(), 1), archived(&log));
    let last = *starts(&folder).expect("list").last().expect("some");
    // Killed while it wrote the next segment, and before it had committed the last two.
    std::fs::write(folder.join(format!("{next:020}.00-0.tmp")), b"half").expect("leftover");
    let back = Progress { consumer: ARCHIVER.to_owned(), topic: Topic::Calls, partition: 1, next: starts(&folder).expect("list")[17] };
    let ticket = log.commit(vec![], vec![back], vec![]).expect("commit");
    log.wait(ticket, LONG).expect("durable");
    let before = std::fs::metadata(place(&folder, last)).expect("segment").modified().expect("time");
    put(&*log, (2000..2300).map(wide).collect());
    let worker = Archiver::spawn(log.clone(), dir.path().to_owned(), options(52_000)).expect("thread");
    until("archived", || worker.caught_up() && archived(&log) >= 2200);
    drop(worker);
    assert_eq!(std::fs::metadata(place(&folder, last)).expect("segment").modified().expect("time"), before, "a sound segment stays");
    let report = verify(dir.path(), |_| {}).expect("verify");
    assert!(report.sound() && report.events == archived(&log), "{report:?}");
    let reader = ArchiveReader::open(dir.path());
    assert!(all(&reader, 1, 0).iter().zip(0..).all(|(r, n)| r.offset == n));
    let left: Vec<_> = std::fs::read_dir(&folder).expect("list").filter_map(|e| e.ok()).filter(|e| e.path().extension().is_some_and(|e| e == "tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    drop(near);
}

#[test]
fn a_segment_that_was_not_written_whole_is_written_again_and_one_that_was_is_never_replaced() {
    let (_near, dir, log) = filled();
    let folder = folder(dir.path(), 1);
    let list = starts(&folder).expect("list");
    let (torn, from) = (place(&folder, list[18]), list[18]);
    let whole = std::fs::read(&torn).expect("segment");
    std::fs::write(&torn, &whole[..whole.len() / 2]).expect("tear");
    let back = Progress { consumer: ARCHIVER.to_owned(), topic: Topic::Calls, partition: 1, next: from };
    let ticket = log.commit(vec![], vec![back], vec![]).expect("commit");
    log.wait(ticket, LONG).expect("durable");
    let worker = Archiver::spawn(log.clone(), dir.path().to_owned(), options(52_000)).expect("thread");
    until("archived", || worker.caught_up() && archived(&log) > from);
    drop(worker);
    assert_eq!(std::fs::read(&torn).expect("segment"), whole, "the same events give the same segment");
    // Who comes late, with more events in its own, does not replace it.
    let (header, hash) = segment::check(&torn, from).expect("sound");
    let mut late = Writer::create(&folder, 1, from, header.previous).expect("writer");
    for r in log.read(Topic::Calls, 1, from, 200).expect("read") {
        late.push(&r).expect("push");
    }
    let late = late.close().expect("close");
    assert!(late.header.last > header.last);
    assert!(!write::publish(&late, &folder).expect("publish"));
    assert_eq!(segment::check(&torn, from).expect("sound").1, hash);
}

#[test]
fn what_was_changed_taken_away_or_damaged_in_the_archive_is_found() {
    let (_near, dir, _log) = filled();
    let folder = folder(dir.path(), 1);
    let list = starts(&folder).expect("list");
    let (path, from) = (place(&folder, list[5]), list[5]);
    let whole = std::fs::read(&path).expect("segment");
    let said = || verify(dir.path(), |_| {}).expect("verify").problems.iter().map(|p| p.what.clone()).collect::<Vec<_>>();
    let reader = ArchiveReader::open(dir.path());
    // One bit anywhere: header, frame, trailer.
    for at in [9, 70, 110, whole.len() / 2, whole.len() - 1] {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).expect("write");
        assert!(!said().is_empty() && segment::check(&path, from).is_err(), "bit at {at}");
    }
    let mut bad = whole.clone();
    bad[whole.len() / 2] ^= 1;
    std::fs::write(&path, &bad).expect("write");
    let read = reader.read(1, from, 100).expect_err("damaged");
    assert!(matches!(&read, LogError::Corrupt { problem, .. } if problem.contains("frame")), "{read}");
    // A segment that is whole in itself, with one event changed: the next one names another.
    let records = { std::fs::write(&path, &whole).expect("write"); segment::read(&path, from, from, usize::MAX).expect("read") };
    let (header, _) = segment::check(&path, from).expect("sound");
    std::fs::remove_file(&path).expect("remove");
    let mut forged = Writer::create(&folder, 1, from, header.previous).expect("writer");
    for (i, r) in records.iter().enumerate() {
        forged.push(&if i == 3 { record(r.offset, 7_777) } else { r.clone() }).expect("push");
    }
    assert!(write::publish(&forged.close().expect("close"), &folder).expect("publish"));
    let found = said();
    assert!(found.len() == 1 && found[0].contains("does not name the segment before it"), "{found:?}");
    // Taken away: who reads there is told which offsets.
    std::fs::remove_file(&path).expect("remove");
    assert!(said().iter().any(|p| p.contains("are missing before it")));
    let missing = ArchiveReader::open(dir.path()).read(1, from, 100).expect_err("missing").to_string();
    assert!(missing.contains(&format!("offsets {from} to {}", list[6] - 1)), "{missing}");
}

#[test]
fn a_segment_is_closed_by_age_only_when_nothing_newer_is_there_and_the_wait_shows() {
    let (near, dir) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = open(near.path());
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let reads = clock.clone();
    let options = ArchiverOptions { age: Duration::from_secs(3600), ..ArchiverOptions::new(Some(Duration::from_secs(400)), move || reads.load(SeqCst)) };
    let stats = options.stats.clone();
    let mut event = numbered(1, 1, 0);
    event.event.occurred_us = 1_000_000;
    put(&*log, vec![event]);
    let worker = Archiver::spawn(log.clone(), dir.path().to_owned(), options).expect("thread");
    until("read", || stats.oldest_unarchived_us() == Some(1_000_000));
    clock.store(100_900_000, SeqCst);
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!((archived(&log), stats.archived_events()), (0, 0), "a quarter of the retention is not over");
    clock.store(101_000_000, SeqCst);
    until("closed", || archived(&log) == 1);
    until("counted", || stats.oldest_unarchived_us().is_none());
    assert_eq!((stats.archived_events(), stats.archived_segments()), (1, 1));
    drop(worker);
}

#[test]
fn an_event_of_a_newer_program_stops_the_archiver_before_it_is_written_short() {
    let (near, dir) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = open(near.path());
    let event = Event { version: tollgate_schemas::event::VERSION + 1, ..numbered(1, 1, 0).event };
    put(&*log, vec![tollgate_schemas::log::Append { topic: Topic::Calls, partition: 1, event }]);
    let worker = Archiver::spawn(log.clone(), dir.path().to_owned(), options(1)).expect("thread");
    until("failed", || matches!(worker.state(), WorkerState::Failed(problem) if problem.contains("upgrade the archiver first")));
}

#[test]
fn a_folder_that_cannot_be_written_is_tried_again() {
    let (near, dir) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = open(near.path());
    put(&*log, (0..300).map(wide).collect());
    // A file where the folder of the topic should be.
    let calls = dir.path().join("calls");
    std::fs::write(&calls, b"").expect("file");
    let options = options(52_000);
    let stats = options.stats.clone();
    let worker = Archiver::spawn(log.clone(), dir.path().to_owned(), options).expect("thread");
    until("what waits shows", || (stats.oldest_unarchived_us(), worker.lag()) == (Some(0), 300));
    assert_eq!((worker.state(), archived(&log)), (WorkerState::Running, 0));
    std::fs::remove_file(&calls).expect("mend");
    until("archived", || archived(&log) >= 200);
    until("read", || worker.lag() == 0);
    drop(worker);
    assert!(verify(dir.path(), |_| {}).expect("verify").sound());
}

/// The part of the next test that is killed: fills a log and archives it for ever.
const VICTIM: &str = "TOLLGATE_TEST_ARCHIVE_VICTIM";

#[test]
fn design_2_killed_at_any_moment_the_archive_is_whole_and_goes_on() {
    const NAME: &str = "archive::tests::design_2_killed_at_any_moment_the_archive_is_whole_and_goes_on";
    let archive = |dir: &Path| (dir.join("log"), dir.join("archive"));
    if let Some(dir) = std::env::var_os(VICTIM) {
        let (log, to) = archive(Path::new(&dir));
        let log = open(&log);
        let _worker = Archiver::spawn(log.clone(), to, options(20_000)).expect("thread");
        for n in log.end(Topic::Calls, 1).. {
            put(&*log, vec![wide(n as i64), wide(n as i64)]);
        }
    }
    let dir = tempfile::tempdir().expect("dir");
    let (near, to) = archive(dir.path());
    let mut before = 0;
    // On a busy machine the first come to nothing.
    for round in 0..200u64 {
        if round >= 12 && before > 100 {
            break;
        }
        let mut victim = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args([NAME, "--exact"])
            .env(VICTIM, dir.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("victim");
        std::thread::sleep(Duration::from_millis(80 + round * 41 % 170));
        victim.kill().expect("kill -9");
        victim.wait().expect("wait");
        let log = open(&near);
        let report = if to.join("calls").is_dir() { verify(&to, |_| {}).expect("verify") } else { Report::default() };
        assert!(report.sound(), "round {round}: {:?}", report.problems);
        assert!(archived(&log) <= report.events && before <= report.events, "progress never runs ahead of the files");
        before = report.events;
    }
    let (log, reader) = (open(&near), ArchiveReader::open(&to));
    let old = all(&reader, 1, 0);
    assert!(old.len() as u64 == before && before > 100, "{before}");
    for r in &old {
        assert_eq!(r.event, log.read(Topic::Calls, 1, r.offset, 1).expect("read")[0].event);
    }
}

/// `golden/form-N.seg` is a segment as form N wrote it; a new form adds a file. `UPDATE_GOLDEN=1` writes the newest form's.
#[test]
fn design_2_a_segment_of_every_form_ever_written_stays_readable() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/archive/golden");
    let wrote = [5, 6, 9].map(|o| record(o, o as i64));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let dir = tempfile::tempdir().expect("dir");
        let mut writer = Writer::create(dir.path(), 1, 4, [7; 32]).expect("writer");
        wrote.iter().for_each(|r| writer.push(r).expect("push"));
        assert!(write::publish(&writer.close().expect("close"), dir.path()).expect("publish"));
        std::fs::copy(place(dir.path(), 4), golden.join("form-1.seg")).expect("golden");
    }
    for form in 1..=1 {
        let path = golden.join(format!("form-{form}.seg"));
        let (header, _) = segment::check(&path, 4).expect("sound");
        assert_eq!((header.partition, header.first, header.last, header.count, header.previous), (1, 5, 9, 3, [7; 32]));
        let read = segment::read(&path, 4, 0, 10).expect("read");
        assert_eq!(read.iter().map(|r| (r.offset, &r.event)).collect::<Vec<_>>(), wrote.iter().map(|r| (r.offset, &r.event)).collect::<Vec<_>>());
    }
}
