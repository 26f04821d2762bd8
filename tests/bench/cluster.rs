//! What Kafka and ClickHouse cost beside the embedded pair, on the machine at hand, in one run:
//! `cargo bench -p tollgate --bench cluster` (`-- CALLS` for another number of calls). Starts Kafka and the ClickHouse engine
//! itself, or uses `KAFKA_BOOTSTRAP` and `CLICKHOUSE_URL`. Every figure of Kafka stands beside the embedded log's of the same run.

#[path = "../parts/broker.rs"]
#[allow(dead_code)]
mod broker;
#[path = "../../rating/tests/mediation/calls.rs"]
#[allow(dead_code)]
mod calls;
#[path = "../parts/clickhouse.rs"]
#[allow(dead_code)]
mod clickhouse;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_clickhouse::{ClickhouseStore, Compression};
use tollgate_fraud::Guard;
use tollgate_ingest::{EmbeddedLog, Projector, Runner, RunnerOptions, WorkerHandle};
use tollgate_kafka::KafkaLog;
use tollgate_rating::mediation::Rater;
use tollgate_schemas::{
    control::FraudPolicy,
    log::{Append, Claim, EventLog, Progress, Topic, Urgency},
    stage::Stage,
    store::CdrStore,
    v1::Event,
};
use tollgate_store::EmbeddedStore;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u16 = 16;
const LONG: Duration = Duration::from_secs(600);

/// CPU this process has used.
fn cpu() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux and `t` is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut t) };
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Answered calls, 2,000 a second, spread over the partitions.
fn traffic(count: u32) -> Vec<Vec<Event>> {
    let mut all: Vec<Vec<Event>> = vec![Vec::new(); PARTITIONS.into()];
    for n in 0..count {
        let story = calls::answered(n + 1, i64::from(n) / 2, 0, 10_000);
        all[(n % u32::from(PARTITIONS)) as usize].extend(story.events.into_iter().map(|(_, e)| e));
    }
    for events in &mut all {
        events.sort_by_key(|e| (e.occurred_us, e.id()));
    }
    all
}

struct Timed {
    began: Instant,
    cpu: Duration,
}

impl Timed {
    fn start() -> Timed {
        Timed { began: Instant::now(), cpu: cpu() }
    }

    fn say(&self, what: &str, count: usize) {
        let (took, spent) = (self.began.elapsed(), cpu() - self.cpu);
        println!(
            "{what:<58} {count:>9} in {:>6.2} s  {:>8.0} /s  {:>6.2} us of this process's CPU each",
            took.as_secs_f64(),
            count as f64 / took.as_secs_f64(),
            spent.as_secs_f64() * 1e6 / count as f64
        );
    }
}

/// As the forwarder does: in order, some appends under way for each partition.
fn append(log: &dyn EventLog, traffic: &[Vec<Event>]) {
    let mut last = None;
    let longest = traffic.iter().map(Vec::len).max().unwrap_or(0);
    for at in (0..longest).step_by(512) {
        for (partition, events) in (0u16..).zip(traffic) {
            let part = events.iter().enumerate().skip(at).take(512);
            let batch: Vec<Append> = part
                .map(|(i, e)| Append { topic: Topic::Calls, partition, event: Event { partition_seq: i as u64 + 1, ..e.clone() } })
                .collect();
            loop {
                match log.append(batch.clone(), Urgency::Ride, Claim::Reserved) {
                    Ok(ticket) => break last = Some(ticket),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        }
    }
    if let Some(last) = last {
        log.wait(last, LONG).expect("durable");
    }
}

fn until_read(log: &dyn EventLog, worker: &WorkerHandle, topic: Topic) {
    let began = Instant::now();
    let count: usize = if topic.single_partition() { 1 } else { log.partitions().into() };
    while worker.owned() < count || worker.lag() > 0 {
        assert!(began.elapsed() < LONG, "{:?}", worker.state());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stage(log: &Arc<dyn EventLog>, name: &'static str, on: &str, events: usize, make: fn(u16) -> Box<dyn Stage>) {
    let timed = Timed::start();
    let options = RunnerOptions { poll_ms: 20, batch_max: 4096, ..RunnerOptions::default() };
    let worker = Runner::spawn(log.clone(), name, make, options).expect("thread");
    until_read(&**log, &worker, Topic::Calls);
    timed.say(&format!("{name} on {on}, events"), events);
}

fn read_all(log: &dyn EventLog, topic: Topic) -> usize {
    let mut read = 0;
    for partition in 0..log.partitions() {
        let mut next = 0;
        while let Some(records) = Some(log.read(topic, partition, next, 4096).expect("read")).filter(|r| !r.is_empty()) {
            next = records[records.len() - 1].offset + 1;
            read += records.len();
        }
    }
    read
}

fn project(log: &Arc<dyn EventLog>, store: Arc<dyn CdrStore>, on: &str) {
    let rows = read_all(&**log, Topic::Cdrs);
    let timed = Timed::start();
    let worker = Projector::spawn(log.clone(), store, || 1, 20).expect("thread");
    until_read(&**log, &worker, Topic::Cdrs);
    timed.say(&format!("CDRs {on}"), rows);
}

/// Small commits, one after the other: what a stage waits for when little happens.
fn commits(log: &dyn EventLog) {
    log.take_over("bench", Topic::Calls, 0).expect("taken");
    let mut took: Vec<Duration> = (1..=200u64)
        .map(|next| {
            let began = Instant::now();
            let output = Append { topic: Topic::Alerts, partition: 0, event: Event::default() };
            let progress = Progress { consumer: "bench".to_owned(), topic: Topic::Calls, partition: 0, next };
            let ticket = log.commit(vec![output], vec![progress], vec![]).expect("commit");
            log.wait(ticket, LONG).expect("durable");
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("one small transaction on Kafka: p50 {:?}, p99 {:?}", took[100], took[197]);
}

fn embedded(dir: &Path) -> Arc<dyn EventLog> {
    let options = tollgate_ingest::Options { partitions: PARTITIONS, reserve_bytes: 0, ..tollgate_ingest::Options::default() };
    Arc::new(EmbeddedLog::open(dir, options).expect("open"))
}

fn main() {
    let count = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(40_000u32);
    let traffic = traffic(count);
    let events: usize = traffic.iter().map(Vec::len).sum();
    println!("{count} answered calls, {events} events, {PARTITIONS} partitions\n");
    let rater: fn(u16) -> Box<dyn Stage> = |p| Box::new(Rater::new(p, 1));
    let guard: fn(u16) -> Box<dyn Stage> = |p| Box::new(Guard::new(p, FraudPolicy::default()).expect("policy"));

    let dir = tempfile::tempdir().expect("dir");
    let log = embedded(&dir.path().join("log"));
    let timed = Timed::start();
    append(&*log, &traffic);
    timed.say("appended to the embedded log, events", events);
    stage(&log, "rater", "the embedded log", events, rater);
    stage(&log, "fraud", "the embedded log", events, guard);
    let store = EmbeddedStore::open(&dir.path().join("cdrs"), tollgate_store::Options { partitions: PARTITIONS.into(), ..tollgate_store::Options::default() }).expect("store");
    project(&log, store, "into Parquet's memory, as queried");
    drop(log);

    let broker = broker::Broker::start();
    let options = tollgate_kafka::Options {
        brokers: broker.bootstrap().to_owned(), prefix: format!("bench{}.", std::process::id()), partitions: PARTITIONS, ..tollgate_kafka::Options::default()
    };
    let kafka = KafkaLog::open(options.clone()).expect("Kafka");
    commits(&kafka);
    let timed = Timed::start();
    append(&kafka, &traffic);
    timed.say("appended to Kafka (idempotent, acks=all), events", events);
    drop(kafka);
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(options.clone()).expect("Kafka"));
    let timed = Timed::start();
    assert_eq!(read_all(&*log, Topic::Calls), events);
    timed.say("read from offset zero of Kafka, events", events);
    stage(&log, "rater", "Kafka, in transactions", events, rater);
    stage(&log, "fraud", "Kafka, in transactions", events, guard);
    let clickhouse = clickhouse::Clickhouse::start();
    let store = ClickhouseStore::open(tollgate_clickhouse::Options {
        url: clickhouse.url().to_owned(), database: format!("bench{}", std::process::id()), compression: Compression::None, ..tollgate_clickhouse::Options::default()
    })
    .expect("ClickHouse");
    project(&log, store, "from Kafka into ClickHouse");
}
