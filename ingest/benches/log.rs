//! What the embedded log costs: `cargo bench -p tollgate-ingest --bench log`. CPU is that of the log's own threads
//! (the committer, fjall's worker), read from the system, apart from the threads that make and take events.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prost::Message;
use tollgate_ingest::{EmbeddedLog, Options, Runner, RunnerOptions};
use tollgate_schemas::{
    event::{Body, Event, Origin},
    log::{Append, Claim, EventLog, LogError, Topic, Urgency},
    stage::{BadSnapshot, Outputs, Poison, Stage},
    time::Now,
    v1::{CallAnswered, Personal, Terms},
};

/// As in the binary.
#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u16 = 16;

/// About 300 bytes encoded, as most call events.
fn event(origin: Origin<'_>, n: u64) -> Event {
    let terms = || {
        Some(Terms {
            deck: "retail-us".to_owned(),
            deck_version: "0123456789abcdef".to_owned(),
            prefix: "1202".to_owned(),
            destination: "United States".to_owned(),
            rate_e12: 8_500_000_000,
            initial_s: 6,
            increment_s: 6,
            currency: "USD".to_owned(),
            places: 6,
            ..Terms::default()
        })
    };
    let body = CallAnswered {
        call_id: origin.mint.mint().to_vec(),
        attempt_no: 1,
        sell: terms(),
        cost: terms(),
        code: 200,
        account: "acme".to_owned(),
        b_dest_group: "United States".to_owned(),
        carrier: "carrier-a".to_owned(),
    };
    let personal = Personal { a_e164: format!("1202555{:04}", n % 10_000), peer_addr: "192.0.2.17:5060".to_owned(), ..Personal::default() };
    Event { personal: Some(personal), ..Event::born(origin, "acme", Body::CallAnswered(body)) }
}

fn origin(log_mint: &tollgate_schemas::id::Mint) -> Origin<'_> {
    Origin { mint: log_mint, boot_id: 1, now: Now { utc_us: 1_700_000_000_000_000, mono_ns: 1 }, control_position: 3 }
}

/// Nanoseconds of CPU of this process' threads whose name begins so.
fn cpu_ns(name: &str) -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    tasks
        .flatten()
        .filter(|t| std::fs::read_to_string(t.path().join("comm")).is_ok_and(|c| c.starts_with(name)))
        .filter_map(|t| std::fs::read_to_string(t.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn append(log: &EmbeddedLog, mut make: impl FnMut() -> Vec<Append>) -> u64 {
    let batch = make();
    let n = batch.len() as u64;
    match log.append(batch, Urgency::Group, Claim::Ordinary) {
        Ok(_) => n,
        Err(LogError::Backlog { .. }) => {
            std::thread::sleep(Duration::from_micros(500));
            0
        }
        Err(e) => panic!("{e}"),
    }
}

fn throughput(log: &Arc<EmbeddedLog>, events: u64) {
    let mint = log.mint();
    let before = (cpu_ns("log-commit"), cpu_ns("fjall"), log.stats());
    let template = event(origin(&mint), 1);
    let bytes = template.encoded_len();
    let began = Instant::now();
    let mut sent = 0;
    while sent < events {
        sent += append(log, || (0..64).map(|i| Append { topic: Topic::Calls, partition: ((sent / 64 + i) % 16) as u16, event: template.clone() }).collect());
    }
    let last = log.append(vec![], Urgency::Group, Claim::Ordinary).expect("ticket");
    log.wait(last, Duration::from_secs(60)).expect("durable");
    let took = began.elapsed();
    let stats = log.stats();
    let us = |to: u64, from: u64| (to - from) as f64 / 1000.0 / events as f64;
    println!(
        "throughput: {:.0} events/s of {bytes} bytes durable, {} groups; CPU per event: commit thread {:.2} us, store's worker {:.2} us",
        sent as f64 / took.as_secs_f64(),
        stats.groups - before.2.groups,
        us(cpu_ns("log-commit"), before.0),
        us(cpu_ns("fjall"), before.1),
    );
}

/// A steady load in single appends, as the proxy makes it.
fn paced(log: &Arc<EmbeddedLog>, per_second: u64, seconds: u64) {
    let mint = log.mint();
    let born: Arc<Mutex<Vec<(u64, Instant)>>> = Arc::default();
    let waits: Arc<Mutex<Vec<u64>>> = Arc::default();
    let on = Arc::new(AtomicU64::new(1));
    {
        let (born, waits, on) = (born.clone(), waits.clone(), on.clone());
        log.on_durable(Arc::new(move |to| {
            if on.load(Ordering::Relaxed) == 0 {
                return;
            }
            let mut born = born.lock().expect("lock");
            let done = born.iter().take_while(|(ticket, _)| *ticket <= to.0).count();
            waits.lock().expect("lock").extend(born.drain(..done).map(|(_, at)| at.elapsed().as_micros() as u64));
        }));
    }
    let before = (cpu_ns("log-commit"), cpu_ns("fjall"), log.stats());
    let began = Instant::now();
    let mut sent = 0u64;
    while began.elapsed() < Duration::from_secs(seconds) {
        let due = (began.elapsed().as_micros() as u64) * per_second / 1_000_000;
        while sent < due {
            let one = Append { topic: Topic::Calls, partition: (sent % 16) as u16, event: event(origin(&mint), sent) };
            let mut born = born.lock().expect("lock");
            let ticket = log.append(vec![one], Urgency::Group, Claim::Ordinary).expect("append");
            if sent % 8 == 0 {
                born.push((ticket.0, Instant::now()));
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let last = log.append(vec![], Urgency::Group, Claim::Ordinary).expect("ticket");
    log.wait(last, Duration::from_secs(60)).expect("durable");
    on.store(0, Ordering::Relaxed);
    let mut waits = waits.lock().expect("lock");
    waits.sort_unstable();
    let at = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize];
    let stats = log.stats();
    let groups = stats.groups - before.2.groups;
    let (commit, worker) = (cpu_ns("log-commit") - before.0, cpu_ns("fjall") - before.1);
    println!(
        "paced {per_second}/s: durable after p50 {} us, p99 {} us, max {} us; {groups} groups of {:.0}; commit takes {:.0} us; \
         CPU per event: commit thread {:.2} us, store's worker {:.2} us; per group {:.0} us; of one core {:.2} %",
        at(0.5),
        at(0.99),
        at(1.0),
        sent as f64 / groups as f64,
        (stats.commit_us_sum - before.2.commit_us_sum) as f64 / groups as f64,
        commit as f64 / 1000.0 / sent as f64,
        worker as f64 / 1000.0 / sent as f64,
        commit as f64 / 1000.0 / groups as f64,
        (commit + worker) as f64 / 1e7 / seconds as f64,
    );
}

fn read_all(log: &EmbeddedLog) -> u64 {
    let mut read = 0;
    for p in 0..PARTITIONS {
        let mut next = 0;
        loop {
            let records = log.read(Topic::Calls, p, next, 1024).expect("read");
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            read += records.len() as u64;
        }
    }
    read
}

struct Counter(u64);

impl Stage for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }
    fn snapshot_version(&self) -> u32 {
        1
    }
    fn apply(&mut self, _: u64, event: &Event, _: &mut Outputs) -> Result<(), Poison> {
        self.0 = self.0.wrapping_add(event.partition_seq);
        Ok(())
    }
    fn snapshot(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
    fn restore(&mut self, _: &[u8]) -> Result<(), BadSnapshot> {
        Ok(())
    }
}

fn main() {
    let root = std::env::var_os("TOLLGATE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = root.join(format!("tollgate-bench-log-{}", std::process::id()));
    let options = Options { partitions: PARTITIONS, ..Options::default() };
    {
        let log = Arc::new(EmbeddedLog::open(&dir, options.clone()).expect("open"));
        for rate in [300 * 7, 1000 * 7, 2000 * 7] {
            paced(&log, rate, 5);
        }
        throughput(&log, 2_000_000);
    }
    {
        let began = Instant::now();
        let log = Arc::new(EmbeddedLog::open(&dir, options).expect("open"));
        println!("opened after a clean close in {:.0} ms", began.elapsed().as_secs_f64() * 1000.0);
        let began = Instant::now();
        let read = read_all(&log);
        let took = began.elapsed();
        println!("read from disk: {:.0} events/s, {:.2} us each, of {read}", read as f64 / took.as_secs_f64(), took.as_secs_f64() * 1e6 / read as f64);
        let began = Instant::now();
        let runner = Runner::spawn(log.clone(), "counter", |_| Box::new(Counter(0)), RunnerOptions { poll_ms: 0, ..RunnerOptions::default() }).expect("thread");
        assert!(runner.wait_caught_up(Duration::from_secs(120)));
        println!("replay through a stage: {:.0} events/s", read as f64 / began.elapsed().as_secs_f64());
    }
    if let Err(e) = std::fs::remove_dir_all(&dir) {
        println!("left behind {}: {e}", dir.display());
    }
}
