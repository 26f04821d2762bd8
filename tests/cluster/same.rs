//! The same results on both pairs of backends: one recorded stream of events fed to the embedded log and store, and to Kafka
//! and ClickHouse; then the whole recorded log moved to a cluster, which goes on with it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prost::Message;
use serde_json::{Value, json};
use tollgate_clickhouse::{ClickhouseStore, Compression};
use tollgate_fraud::{Guard, merged::Merged, partials::Partials};
use tollgate_ingest::{EmbeddedLog, Projector, Runner, RunnerOptions, WorkerHandle};
use tollgate_kafka::KafkaLog;
use tollgate_rating::mediation::Rater;
use tollgate_schemas::{
    cdr::Cdr,
    control::FraudPolicy,
    event::{Body, Event},
    id::Mint,
    log::{Append, Claim, EventLog, Progress, Topic, Urgency},
    stage::Stage,
    v1::Tick,
    store::{Answer, CdrFilter, CdrQuery, CdrStore, GroupBy, Positions, StoreError, TallyBy, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
};
use tollgate_store::EmbeddedStore;

use super::{
    Cluster, alone, passed,
    parts::{Broker, Clickhouse},
};
use crate::{
    harness::{Node, Setup, Sipp, ms, scenario, tollgate, wait_for},
    ua::{AutoCarrier, Msg, Plan},
};

const USA: &str = "12125550100";
const LONG: Duration = Duration::from_secs(90);
const PARTITIONS: u16 = 8;

fn plan(m: &Msg) -> Plan {
    let hash: u32 = m.call_id().bytes().map(u32::from).sum();
    Plan {
        refuses: match hash % 9 {
            2 => Some(486),
            5 => Some(503),
            _ => None,
        },
        rings_after: ms(20),
        answers_after: ms(40 + u64::from(hash % 150)),
        hangs_up_after: (hash.is_multiple_of(3)).then_some(ms(u64::from(300 + hash % 700))),
    }
}

/// A node that took calls of every kind, an attack among them, and stopped.
fn recorded() -> (Node, Vec<Value>) {
    let mut setup = Setup::new(2);
    setup.log = format!("partitions = {PARTITIONS}\n");
    setup.doc("fraud_policy", "strict", json!({
        "rules": [{ "feature": "concurrent_calls", "watch": "international", "warning": "3", "critical": "6" }],
        "block_s": 600, "block_scope": "dest_group", "sip_code": 403, "teardown": true,
    }));
    setup.spec("account", "acme")["fraud_policy"] = "strict".into();
    let _carriers = [AutoCarrier::start("alpha", setup.net.carrier(0), plan), AutoCarrier::start("beta", setup.net.carrier(1), plan)];
    let mut node = Node::start(setup);
    let from = node.setup.net.caller();
    for (number, calls) in [(USA, 60), ("442079460100", 30), ("33142685300", 5)] {
        let mut caller = Sipp::long_caller(scenario!("load"), from, node.sip, number, calls, 20, Duration::from_secs(40));
        caller.exit();
    }
    node.is_idle();
    std::thread::sleep(ms(1_500));
    let said = rows(&node.api.text("/v1/cdrs?format=jsonl"));
    assert!(node.api.items("/v1/alerts").iter().any(|a| a["severity"] == "critical"), "the attack was seen");
    node.stop();
    (node, said)
}

fn rows(text: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for row in &mut rows {
        row.as_object_mut().expect("a row").remove("ingest_ts");
    }
    rows.sort_by_key(|r| (r["call_uuid"].to_string(), r["attempt_no"].as_u64()));
    rows
}

fn all(log: &dyn EventLog, topic: Topic, partition: u16) -> Vec<Event> {
    let mut events = Vec::new();
    let mut next = 0;
    while let Some(records) = Some(log.read(topic, partition, next, 1000).expect("read")).filter(|r| !r.is_empty()) {
        next = records[records.len() - 1].offset + 1;
        events.extend(records.iter().map(|r| (*r.event).clone()));
    }
    events
}

/// What happened, without what was made of it.
fn feed(from: &dyn EventLog, node: u64, to: &dyn EventLog) {
    let put = |batch: Vec<Append>| {
        for part in batch.chunks(500) {
            let ticket = to.append(part.to_vec(), Urgency::Group, Claim::Reserved).expect("append");
            to.wait(ticket, LONG).expect("durable");
        }
    };
    put(all(from, Topic::Control, 0).into_iter().map(|event| Append { topic: Topic::Control, partition: 0, event }).collect());
    for partition in 0..PARTITIONS {
        let mut events = all(from, Topic::Calls, partition);
        // Minutes pass, so that windows close: ticks of the same node.
        let (mut at_us, mut mono_ns) = events.last().map_or((0, 0), |e| (e.occurred_us, e.mono_ns));
        let boot_id = events.last().map_or(0, |e| e.boot_id);
        let mint = Mint::new(node, u32::from(partition) + 1_000);
        for _ in 0..10 {
            (at_us, mono_ns) = (at_us + 30_000_000, mono_ns + 30_000_000_000);
            let body = Some(Body::Tick(Tick { at_us }));
            events.push(Event { id: mint.mint().to_vec(), occurred_us: at_us, mono_ns, boot_id, body, ..Event::default() });
        }
        let events = events.into_iter().enumerate();
        put(events.map(|(i, e)| Append { topic: Topic::Calls, partition, event: tollgate_ingest::forward::sealed(&e, node, i as u64) }).collect());
    }
}

/// Every stage that makes something of calls.
fn stages(log: &Arc<dyn EventLog>, batch_max: usize) -> Vec<WorkerHandle> {
    let options = |follow_control| RunnerOptions { poll_ms: 5, batch_max, follow_control, snapshot_every_events: 500, ..RunnerOptions::default() };
    let guard = |p| -> Box<dyn Stage> { Box::new(Guard::new(p, FraudPolicy::default()).expect("policy")) };
    vec![
        Runner::spawn(log.clone(), "rater", |p| -> Box<dyn Stage> { Box::new(Rater::new(p, 1)) }, options(false)).expect("thread"),
        Runner::spawn(log.clone(), "fraud", guard, options(true)).expect("thread"),
        Runner::spawn(log.clone(), "partials", |p| -> Box<dyn Stage> { Box::new(Partials::new(p, PARTITIONS)) }, options(false)).expect("thread"),
        Runner::spawn(log.clone(), "merged", |p| -> Box<dyn Stage> { Box::new(Merged::new(p)) }, RunnerOptions { input: Topic::Quality, ..options(false) }).expect("thread"),
    ]
}

/// Everything was read and came of it what comes of it: nothing moves for a while.
fn settle(log: &dyn EventLog, workers: &[WorkerHandle], owned: usize) {
    let ends = || -> Vec<u64> {
        let topics = [Topic::Cdrs, Topic::Ledger, Topic::Alerts, Topic::Blocks, Topic::Quality, Topic::Quarantine];
        topics.into_iter().flat_map(|t| (0..if t.single_partition() { 1 } else { PARTITIONS }).map(move |p| (t, p))).map(|(t, p)| log.end(t, p)).collect()
    };
    let began = Instant::now();
    let (mut before, mut still) = (ends(), 0);
    while still < 8 {
        assert!(began.elapsed() < LONG, "the stages do not settle: {:?}", workers.iter().map(|w| (w.state(), w.lag())).collect::<Vec<_>>());
        std::thread::sleep(ms(250));
        let now = ends();
        let quiet = now == before && workers.iter().all(|w| w.owned() >= owned && w.lag() == 0);
        still = if quiet { still + 1 } else { 0 };
        before = now;
    }
}

/// Facts by id, without where they stand and when they were worked on.
fn facts(log: &dyn EventLog, topic: Topic) -> BTreeMap<String, Vec<u8>> {
    let partitions = if topic.single_partition() { 1 } else { PARTITIONS };
    let mut facts = BTreeMap::new();
    for event in (0..partitions).flat_map(|p| all(log, topic, p)) {
        let plain = Event { partition_seq: 0, log_node: 0, ingest_us: 0, ..event.clone() };
        let known = facts.insert(event.id().to_string(), plain.encode_to_vec());
        // Blocks are said twice by nature of being said at once, and are the same then.
        assert!(known.is_none_or(|k| topic == Topic::Blocks && k == plain.encode_to_vec()), "{} {} twice", topic.name(), event.id());
    }
    facts
}

/// A store whose answer is lost now and then, after the rows were written: a crash between insert and commit.
struct Forgetful {
    inner: Arc<dyn CdrStore>,
    writes: AtomicUsize,
    every: usize,
}

impl CdrStore for Forgetful {
    fn write(&self, partition: u16, rows: Vec<Arc<Cdr>>, next: u64) -> Result<(), StoreError> {
        self.inner.write(partition, rows, next)?;
        if (self.writes.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every) {
            return Err(StoreError::Unavailable("the answer was lost".to_owned()));
        }
        Ok(())
    }
    fn positions(&self) -> Option<Positions> {
        self.inner.positions()
    }
    fn flush(&self) -> Answer<'_, ()> {
        self.inner.flush()
    }
    fn cdrs(&self, query: CdrQuery) -> Answer<'_, Vec<Arc<Cdr>>> {
        self.inner.cdrs(query)
    }
    fn traffic(&self, query: TrafficQuery) -> Answer<'_, Vec<TrafficRow>> {
        self.inner.traffic(query)
    }

    fn tally(&self, query: TallyQuery) -> Answer<'_, Vec<TallyRow>> {
        self.inner.tally(query)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// Everything a person could ask the store.
fn answers(store: &dyn CdrStore) -> (Vec<Cdr>, Vec<String>) {
    let runtime = runtime();
    runtime.block_on(store.flush()).expect("flush");
    let mut cdrs = Vec::new();
    let mut reports = Vec::new();
    for record_type in ["final", "attempt"] {
        let filter = CdrFilter { record_type: record_type.to_owned(), ..CdrFilter::default() };
        let page = CdrQuery { filter: filter.clone(), after: None, limit: 10_000 };
        let found = runtime.block_on(store.cdrs(page)).expect("cdrs");
        cdrs.extend(found.iter().map(|c| Cdr { ingest_ts: None, ..(**c).clone() }));
        let mut groups: Vec<Vec<GroupBy>> = GroupBy::ALL.into_iter().map(|g| vec![g]).collect();
        groups.extend([vec![], vec![GroupBy::Account, GroupBy::Destination], vec![GroupBy::Hour, GroupBy::Carrier, GroupBy::Country]]);
        for group_by in groups {
            let query = TrafficQuery { filter: filter.clone(), group_by: group_by.clone() };
            let mut rows: Vec<String> = runtime.block_on(store.traffic(query)).expect("traffic").iter().map(|r| format!("{r:?}")).collect();
            rows.sort();
            reports.push(format!("{record_type} by {group_by:?}\n{}", rows.join("\n")));
        }
        for by in [TallyBy::Account, TallyBy::Carrier] {
            let query = TallyQuery { filter: filter.clone(), by, answered_us: None, short_ms: 6_000 };
            reports.push(format!("{record_type} by {by:?}\n{:?}", runtime.block_on(store.tally(query)).expect("tally")));
        }
    }
    (cdrs, reports)
}

fn embedded(dir: &Path) -> Arc<EmbeddedLog> {
    let options = tollgate_ingest::Options { partitions: PARTITIONS, reserve_bytes: 0, ..tollgate_ingest::Options::default() };
    Arc::new(EmbeddedLog::open(dir, options).expect("open"))
}

/// What the stages made and the store answers, of the stream fed to the embedded pair.
type Results = (BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>, (Vec<Cdr>, Vec<String>));

const MADE: [Topic; 6] = [Topic::Cdrs, Topic::Ledger, Topic::Alerts, Topic::Blocks, Topic::Quality, Topic::Quarantine];

fn on_embedded(from: &dyn EventLog, node: u64) -> Results {
    let dir = tempfile::tempdir().expect("dir");
    let log: Arc<dyn EventLog> = embedded(&dir.path().join("log"));
    feed(from, node, &*log);
    let store = EmbeddedStore::open(&dir.path().join("cdrs"), tollgate_store::Options { partitions: PARTITIONS.into(), ..tollgate_store::Options::default() }).expect("store");
    let mut workers = stages(&log, 1024);
    workers.push(Projector::spawn(log.clone(), store.clone(), || 42, 5).expect("thread"));
    settle(&*log, &workers, PARTITIONS.into());
    let made = MADE.map(|t| (t.name(), facts(&*log, t))).into_iter().collect();
    (made, answers(&*store))
}

fn on_kafka(from: &dyn EventLog, node: u64, broker: &Broker, clickhouse: &Clickhouse) -> Results {
    let prefix = format!("same{}.", std::process::id());
    let options = tollgate_kafka::Options {
        brokers: broker.bootstrap().to_owned(), prefix: prefix.clone(), partitions: PARTITIONS, session: Duration::from_secs(3), ..tollgate_kafka::Options::default()
    };
    let open = || -> Arc<dyn EventLog> { Arc::new(KafkaLog::open(options.clone()).expect("open")) };
    let log = open();
    feed(from, node, &*log);
    let store = ClickhouseStore::open(tollgate_clickhouse::Options {
        url: clickhouse.url().to_owned(), database: format!("same{}", std::process::id()), compression: Compression::None, ..tollgate_clickhouse::Options::default()
    }).expect("store");
    // Half-way everything is dropped as it stands, and another process goes on, with batches of another size.
    let forgetful: Arc<dyn CdrStore> = Arc::new(Forgetful { inner: store.clone(), writes: AtomicUsize::new(0), every: 3 });
    {
        let mut workers = stages(&log, 37);
        workers.push(Projector::spawn(log.clone(), forgetful.clone(), || 42, 20).expect("thread"));
        wait_for("something was made", LONG, || ((0..PARTITIONS).map(|p| log.end(Topic::Cdrs, p)).sum::<u64>() > 20).then_some(()));
    }
    drop(log);
    let log = open();
    let mut workers = stages(&log, 500);
    workers.push(Projector::spawn(log.clone(), forgetful, || 43, 5).expect("thread"));
    settle(&*log, &workers, PARTITIONS.into());
    let made: BTreeMap<_, _> = MADE.map(|t| (t.name(), facts(&*log, t))).into_iter().collect();
    let first = answers(&*store);
    // Every row once more, from the beginning, long after any token is remembered: the same.
    drop(workers);
    for partition in 0..PARTITIONS {
        log.take_over("projector", Topic::Cdrs, partition).expect("taken");
        let back = Progress { consumer: "projector".to_owned(), topic: Topic::Cdrs, partition, next: 0 };
        let ticket = log.commit(vec![], vec![back], vec![]).expect("commit");
        log.wait(ticket, LONG).expect("durable");
    }
    let again = vec![Projector::spawn(log.clone(), store.clone(), || 44, 5).expect("thread")];
    settle(&*log, &again, PARTITIONS.into());
    let second = answers(&*store);
    assert_eq!(first.1, second.1, "reports after every row was written again");
    assert_eq!(first.0, second.0, "rows after every row was written again");
    (made, second)
}

#[test]
fn issue_4_one_stream_gives_the_same_on_both_pairs_and_a_laptop_moves_to_a_cluster() {
    let _alone = alone();
    let (node, said) = recorded();
    let (broker, clickhouse) = (Broker::start(), Clickhouse::start());
    {
        let source = embedded(&node.data().join("log"));
        let (made, (cdrs, reports)) = on_embedded(&*source, source.node());
        let (made_too, (cdrs_too, reports_too)) = on_kafka(&*source, source.node(), &broker, &clickhouse);
        for topic in MADE {
            let (a, b) = (&made[topic.name()], &made_too[topic.name()]);
            println!("{}: {} facts", topic.name(), a.len());
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "ids in {}", topic.name());
            for (id, bytes) in a {
                if *bytes != b[id] {
                    let read = |bytes: &[u8]| tollgate_schemas::event::decode(bytes).map(|e| e.json().to_string()).unwrap_or_default();
                    panic!("{} {id}\n{}\n{}", topic.name(), read(bytes), read(&b[id]));
                }
            }
        }
        assert!(made["cdrs"].len() > 150 && !made["alerts"].is_empty() && !made["quality"].is_empty() && made["quarantine"].is_empty());
        assert_eq!(cdrs, cdrs_too, "rows of both stores");
        for (a, b) in reports.iter().zip(&reports_too) {
            assert_eq!(a, b, "a report of both stores");
        }
        println!("{} rows and {} reports are alike in both stores", cdrs.len(), reports.len());
    }

    // The laptop's log, moved whole; then the cluster takes calls.
    let mut cluster = Cluster::with(node.setup.clone(), broker, clickhouse);
    let mut setup = node.setup.clone();
    setup.log = String::new();
    cluster.setup = setup;
    let config = cluster.configure("copy");
    let copied = passed(&tollgate().args(["log", "copy", "--to", "kafka", "--data"]).arg(node.data()).arg("-c").arg(&config).output().expect("runs"));
    println!("{}", copied.trim());
    let twice = tollgate().args(["log", "copy", "--to", "kafka", "--data"]).arg(node.data()).arg("-c").arg(&config).output().expect("runs");
    assert!(!twice.status.success() && String::from_utf8_lossy(&twice.stderr).contains("not empty"), "a second copy is refused");
    println!("log verify: {}", passed(&tollgate().args(["log", "verify", "-c"]).arg(&config).output().expect("runs")).trim());
    println!("log replay: {}", passed(&tollgate().args(["log", "replay", "-c"]).arg(&config).output().expect("runs")).trim());
    for (name, stages) in [("proxy", "proxy"), ("stages", "rating,fraud,ingest"), ("api", "api")] {
        cluster.start(name, stages);
    }
    let moved = wait_for("the cluster has every CDR", LONG, || {
        let rows = rows(&cluster.api().text("/v1/cdrs?format=jsonl"));
        (rows.len() >= said.len()).then_some(rows)
    });
    assert_eq!(moved, said, "the CDR list of the laptop");
    let _carriers = [AutoCarrier::start("alpha", node.setup.net.carrier(0), plan), AutoCarrier::start("beta", node.setup.net.carrier(1), plan)];
    let sip = cluster.named("proxy").sip.expect("a proxy");
    let mut caller = Sipp::long_caller(scenario!("load"), node.setup.net.caller(), sip, USA, 6, 3, Duration::from_secs(30));
    caller.exit();
    wait_for("new calls have CDRs", LONG, || {
        std::thread::sleep(ms(200));
        (cluster.api().items("/v1/cdrs?limit=1000").len() > said.len()).then_some(())
    });
    cluster.settled(LONG);
    println!("log replay after new calls: {}", passed(&cluster.on_log(&["log", "replay"])).trim());
    // A block of before the move still stands.
    let blocks = cluster.api().items("/v1/blocks");
    assert!(!blocks.is_empty(), "the attack's block moved along");
    for process in &mut cluster.processes {
        process.stop();
    }
    drop(node);
}
