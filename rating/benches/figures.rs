//! The figures of docs/sizing.md in one go: `cargo bench -p tollgate-rating --bench figures`. Criterion's benches beside
//! this one are for finding out what changed; these are what a reader wants to know, latencies by call and not by mean.

use std::{
    hint::black_box,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tollgate_rating::{
    deck::{Deck, DeckOptions},
    rate_file::{CallIn, Decks, Rater},
    routing::{CarrierRoutes, RouteQuery, RouteTable},
};
use tollgate_schemas::number::E164;

#[path = "traffic.rs"]
#[allow(dead_code)]
mod traffic;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use traffic::{NOW_US, calls, deck_csv};

fn deck(name: &str, csv: &str, threads: usize) -> Arc<Deck> {
    Arc::new(Deck::compile_on(threads, name, csv.as_bytes(), &DeckOptions::default()).unwrap_or_else(|e| panic!("{e}")))
}

fn resident_mb() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|p| p.parse::<u64>().ok()).unwrap_or(0) * 4096 >> 20
}

/// CPU time of this thread, or of the process with all its threads: what a busy machine beside us does not change much.
fn cpu(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer, and both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Of `sorted` latencies.
fn at(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

fn line(what: &str, figure: String) {
    println!("{what:72} {figure}");
}

/// All figures, or those named: `engine`, `route`, `million`.
fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let asked = |what: &str| named.is_empty() || named.iter().any(|n| n == what);
    let decks: Vec<Arc<Deck>> = (0..50).map(|n| deck(&format!("carrier-{n}"), &deck_csv(200_000, n + 1), 2)).collect();
    if asked("engine") {
        engine(&decks);
    }
    if asked("route") {
        route(&decks);
    }
    if asked("million") {
        million(&decks, table(&decks));
    }
}

/// Look-up and charge of calls in memory.
fn engine(decks: &[Arc<Deck>]) {
    let traffic: Vec<_> = calls(1_000_000, 50, 7).collect();
    let accounts: Vec<String> = (0..50).map(|n| format!("account-{n}")).collect();
    let calls: Vec<CallIn<'_>> = traffic
        .iter()
        .filter_map(|call| {
            Some(CallIn {
                account: &accounts[call.account as usize],
                number: E164::parse(&call.to.to_string()).ok()?,
                setup_us: call.setup_us,
                answer_us: call.answer_us,
                duration_ms: call.answer_us.map_or(0, |answer| (call.end_us - answer) as u64 / 1000),
            })
        })
        .collect();
    let mut fifty = Decks::default();
    for (account, deck) in accounts.iter().zip(decks) {
        fifty.add(Some(account), deck.clone()).unwrap_or_else(|e| panic!("{e}"));
    }
    for (name, decks, bytes) in [
        ("1 deck", &Decks::all(decks[0].clone()), decks[0].resident_bytes()),
        ("50 decks", &fifty, decks.iter().map(|d| d.resident_bytes()).sum()),
    ] {
        let mut rater = Rater::new(decks);
        let mut best = Duration::MAX;
        for _ in 0..10 {
            let start = cpu(libc::CLOCK_THREAD_CPUTIME_ID);
            let mut sum = 0i64;
            rater.rate(&calls, &[], |_, out| sum = sum.wrapping_add(out.and_then(|o| o.amount_e8).unwrap_or(0)));
            black_box(sum);
            best = best.min(cpu(libc::CLOCK_THREAD_CPUTIME_ID) - start);
        }
        let rate = calls.len() as f64 / best.as_secs_f64() / 1e6;
        line(&format!("engine, {name} of 200,000 prefixes, CPU of one core, best of 10"), format!("{rate:.1} M calls/s"));
        line(&format!("  resident, {name}"), format!("{:.1} MB", bytes as f64 / 1e6));
    }
}

fn carriers(decks: &[Arc<Deck>]) -> Vec<CarrierRoutes> {
    decks.iter().map(|deck| CarrierRoutes::new(deck.name(), deck.clone())).collect()
}

fn table(decks: &[Arc<Deck>]) -> RouteTable {
    RouteTable::new(carriers(decks)).unwrap_or_else(|e| panic!("{e}"))
}

/// How long each decision took, sorted. `until` is asked between them.
fn decide(table: impl Fn() -> RouteTable, mut until: impl FnMut(usize) -> bool) -> Vec<Duration> {
    let numbers: Vec<String> = calls(100_000, 1, 99).map(|c| c.to.to_string()).collect();
    let mut taken = Vec::new();
    while !until(taken.len()) {
        let number = &numbers[taken.len() % numbers.len()];
        let start = Instant::now();
        let table = table();
        black_box(table.candidates(&RouteQuery::new(number, NOW_US)).order.len());
        taken.push(start.elapsed());
    }
    taken.sort_unstable();
    taken
}

fn tell(what: &str, taken: &[Duration]) {
    line(what, format!("p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, most {:.1?}, of {}", at(taken, 0.5), at(taken, 0.99), at(taken, 0.999), at(taken, 1.0), taken.len()));
}

fn route(decks: &[Arc<Deck>]) {
    let start = Instant::now();
    let table = table(decks);
    line("table of 50 carriers from compiled decks", format!("{:.1?}", start.elapsed()));
    let taken = decide(|| table.clone(), |n| n == 200_000);
    tell("route among 50 carriers x 200,000 prefixes, random numbers", &taken);
    let number = "442071838750";
    let mut taken: Vec<Duration> = (0..100_000)
        .map(|_| {
            let start = Instant::now();
            black_box(table.candidates(&RouteQuery::new(number, NOW_US)).order.len());
            start.elapsed()
        })
        .collect();
    taken.sort_unstable();
    tell("  one number again and again: what is no waiting for memory", &taken);
}

/// A deck of a million rows: file to serving, and routes meanwhile.
fn million(decks: &[Arc<Deck>], first: RouteTable) {
    let path = std::env::temp_dir().join(format!("tollgate-million-{}.csv", std::process::id()));
    std::fs::write(&path, deck_csv(1_000_000, 77)).unwrap_or_else(|e| panic!("{e}"));
    for threads in [1, 2] {
        let before = resident_mb();
        let (start, used) = (Instant::now(), cpu(libc::CLOCK_PROCESS_CPUTIME_ID));
        let csv = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}"));
        let big = deck("carrier-0", &csv, threads);
        let mut with = decks.to_vec();
        with[0] = big.clone();
        black_box(table(&with));
        line(&format!("deck of 1,000,000 rows, file to serving, {threads} thread(s)"), format!("{:.0?}, CPU {:.0?}", start.elapsed(), cpu(libc::CLOCK_PROCESS_CPUTIME_ID) - used));
        drop(csv);
        line("  bytes a row; resident set grew by (allocator's reserve included)", format!("{:.1}; {} MB", big.resident_bytes() as f64 / 1e6, resident_mb().saturating_sub(before)));
    }
    let serving = Mutex::new(first);
    let done = AtomicBool::new(false);
    let swaps = thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0;
            for seed in 0..6 {
                let csv = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}"));
                let mut with = decks.to_vec();
                with[seed] = deck(&format!("carrier-{seed}"), &csv, 1);
                let table = table(&with);
                *serving.lock().unwrap_or_else(|e| e.into_inner()) = table;
                swaps += 1;
            }
            done.store(true, Ordering::Release);
            swaps
        });
        let taken = decide(|| serving.lock().unwrap_or_else(|e| e.into_inner()).clone(), |_| done.load(Ordering::Acquire));
        tell("route while a million rows are compiled and swapped beside it", &taken);
        swapper.join().unwrap_or(0)
    });
    line("  swaps meanwhile", swaps.to_string());
    // What is left over is only a file of ours in the temporary folder.
    let _ = std::fs::remove_file(&path);
}
