//! What retention has taken from Kafka is read from the archive, at the same offsets.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tollgate_ingest::{Archiver, ArchiverOptions, ArchiverStats, archive::{self, ARCHIVER}};
use tollgate_kafka::{KafkaLog, Options};
use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
    log::{Append, Claim, EventLog, LogError, Record, Topic, Urgency},
    v1::Tick,
};

use crate::broker::Broker;

const LONG: Duration = Duration::from_secs(60);

fn event(partition: u16, n: u64) -> Append {
    let event = Event { id: Id(n as u128 + 1).to_vec(), partition_seq: n + 1, key: "k".repeat(300), body: Some(Body::Tick(Tick { at_us: n as i64 })), ..Event::default() };
    Append { topic: Topic::Calls, partition, event }
}

fn put(log: &KafkaLog, partition: u16, numbers: std::ops::Range<u64>) {
    let ticket = log.append(numbers.map(|n| event(partition, n)).collect(), Urgency::Group, Claim::Reserved).expect("append");
    log.wait(ticket, LONG).expect("durable");
}

/// As retention does: the first offset of a stream moves to `to`.
fn drop_before(options: &Options, topic: Topic, streams: &[(u16, u64)]) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", &options.brokers).create().expect("admin");
    let mut list = TopicPartitionList::new();
    for (partition, to) in streams {
        list.add_partition_offset(&options.topic(topic), (*partition).into(), Offset::Offset(*to as i64)).expect("offset");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let done = runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).expect("delete records");
    done.elements().iter().for_each(|e| e.error().expect("deleted"));
}

fn all(log: &KafkaLog, partition: u16, from: u64) -> Result<Vec<Record>, LogError> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let more = log.read(Topic::Calls, partition, records.last().map_or(from, |r| r.offset + 1), 500)?;
        if more.is_empty() {
            return Ok(records);
        }
        records.extend(more);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn archiving(log: Arc<KafkaLog>, dir: &Path) -> (tollgate_ingest::WorkerHandle, Arc<ArchiverStats>) {
    let options = ArchiverOptions { segment_bytes: 100_000, ..ArchiverOptions::new(None, || 0) };
    let stats = options.stats.clone();
    (Archiver::spawn(log, dir.to_owned(), options).expect("thread"), stats)
}

fn archived(log: &KafkaLog, partition: u16) -> u64 {
    log.progress(ARCHIVER, Topic::Calls, partition).expect("progress").unwrap_or(0)
}

#[test]
fn design_2_after_retention_a_replay_from_zero_reads_every_event_at_its_offset_from_the_archive() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("archive");
    let options = Options { tail_bytes: 20_000, archive: Some(dir.path().to_owned()), ..crate::options(&broker) };
    let open = |options: &Options| Arc::new(KafkaLog::open(options.clone()).expect("open"));
    let log = open(&options);
    put(&log, 1, 0..5000);
    put(&log, 2, 0..3000);
    let began = Instant::now();
    let (worker, stats) = archiving(log.clone(), dir.path());
    until("archived", || archived(&log, 1) > 4500 && archived(&log, 2) > 2600);
    println!("archived {} events in {} segments, {} bytes, {:?} after the start", stats.archived_events(), stats.archived_segments(), stats.archived_bytes(), began.elapsed());
    // Another shares the work, and has it all when the first is gone.
    let (next, _) = archiving(open(&options), dir.path());
    until("both have some", || next.owned() == 2 && worker.owned() == 2);
    put(&log, 1, 5000..5500);
    put(&log, 2, 3000..3500);
    drop(worker);
    put(&log, 1, 5500..6000);
    until("archived by the next", || archived(&log, 1) > 5500 && archived(&log, 2) > 3100);
    drop(next);
    let (one, two) = (archived(&log, 1), archived(&log, 2));
    let report = archive::verify(dir.path(), |_| {}).expect("verify");
    assert!(report.sound() && report.events == one + two, "{report:?}");

    // A reader that stands in the middle when the rest is dropped under it.
    let reader = open(&options);
    let begun = reader.read(Topic::Calls, 1, 0, 500).expect("read");
    drop_before(&options, Topic::Calls, &[(1, one), (2, 2000)]);
    let from = begun.last().expect("some").offset + 1;
    assert!(all(&reader, 1, from).expect("read on").iter().zip(from..).all(|(r, n)| r.offset == n && r.event.partition_seq == n + 1));

    let fresh = open(&options);
    for (partition, end) in [(1, 6000), (2, 3500)] {
        let events = all(&fresh, partition, 0).expect("from zero");
        assert_eq!(events.len() as u64, end);
        for (n, r) in (0..).zip(&events) {
            assert_eq!((r.offset, &*r.event), (n, &event(partition, n).event), "partition {partition}");
        }
        assert_eq!(fresh.end(Topic::Calls, partition), end);
    }
    assert!(all(&fresh, 2, 1234).expect("from the middle").iter().zip(1234..).all(|(r, n)| r.offset == n));

    // Without the archive, or with a part of it missing, the offsets are named.
    let without = open(&Options { archive: None, ..options.clone() });
    let error = all(&without, 2, 7).expect_err("missing");
    assert!(!error.retryable());
    assert!(error.to_string().contains("partition 2 offset 7: offsets 7 to 1999 are no longer in Kafka, and no archive is configured"), "{error}");
    let error = all(&without, 1, 0).expect_err("missing").to_string();
    assert!(error.contains(&format!("offsets 0 to {} are no longer in Kafka", one - 1)), "{error}");
    assert_eq!(all(&without, 2, 2000).expect("what is there").len(), 1500);

    let folder = dir.path().join("calls/00002");
    let mut segments: Vec<_> = std::fs::read_dir(&folder).expect("folder").map(|e| e.expect("entry").path()).collect();
    segments.sort();
    std::fs::remove_file(&segments[2]).expect("remove");
    let error = all(&open(&options), 2, 0).expect_err("a hole").to_string();
    assert!(error.contains("no longer in Kafka, and not in the archive") && error.contains("are not there"), "{error}");

    // Dropped before it was archived.
    drop_before(&options, Topic::Calls, &[(1, 6000)]);
    let error = all(&open(&options), 1, one).expect_err("lost").to_string();
    assert!(error.contains(&format!("offsets {one} to 5999 are no longer in Kafka, and the archive in")), "{error}");
}

#[test]
fn design_2_of_a_topic_that_is_kept_for_ever_nothing_is_jumped_over_and_of_a_passing_one_the_rest_is_read() {
    let broker = Broker::start();
    let options = crate::options(&broker);
    let log = KafkaLog::open(options.clone()).expect("open");
    for topic in [Topic::Cdrs, Topic::Quality] {
        let batch = (0..100).map(|n| Append { topic, ..event(1, n) }).collect();
        let ticket = log.append(batch, Urgency::Group, Claim::Reserved).expect("append");
        log.wait(ticket, LONG).expect("durable");
        drop_before(&options, topic, &[(1, 40)]);
    }
    let reader = KafkaLog::open(options).expect("open");
    let error = reader.read(Topic::Cdrs, 1, 0, 500).expect_err("lost").to_string();
    assert!(error.contains("cdrs partition 1 offset 0: offsets 0 to 39 are no longer in Kafka, of a topic that is kept for ever"), "{error}");
    assert_eq!(reader.read(Topic::Cdrs, 1, 40, 500).expect("the rest")[0].offset, 40);
    assert_eq!(reader.read(Topic::Quality, 1, 0, 500).expect("the rest")[0].offset, 40);
}
