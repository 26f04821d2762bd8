//! Look-ups, rated calls and route decisions, in one thread. Numbers are random over the whole sheet, so that the
//! caches see the worst of it.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tollgate_rating::{
    deck::{Deck, DeckOptions, Lookup},
    rate_file::{CallIn, Decks, RateOptions, Rater, rate_call, rate_csv},
    quality::GroupKnown,
    routing::{CarrierRoutes, RoutePolicy, RouteQuery, RouteTable},
};
use tollgate_schemas::{
    control,
    number::E164,
    time::format_rfc3339,
    v1::{CarrierQuality, DurationShare, QualityVerdict},
};

#[path = "traffic.rs"]
#[allow(dead_code)]
mod traffic;

use traffic::{NOW_US as NOW, calls, deck_csv};

fn deck(name: &str, rows: u64, seed: u64) -> Arc<Deck> {
    let csv = deck_csv(rows, seed);
    Arc::new(Deck::compile(name, csv.as_bytes(), &DeckOptions::default()).unwrap_or_else(|e| panic!("{e}")))
}

fn numbers(count: u64) -> Vec<String> {
    calls(count, 1, 99).map(|c| c.to.to_string()).collect()
}

fn lookups(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    let numbers = numbers(100_000);
    for rows in [100_000, 200_000, 1_000_000] {
        let deck = deck("bench", rows, 1);
        println!("{rows} rows: {} bytes a row", deck.resident_bytes() as u64 / rows);
        group.throughput(Throughput::Elements(numbers.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(rows), |b| {
            b.iter(|| numbers.iter().filter(|n| matches!(deck.lookup(n, NOW), Lookup::Row(_))).count())
        });
    }
    group.finish();
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for rows in [200_000, 1_000_000] {
        let csv = deck_csv(rows, 1);
        group.throughput(Throughput::Elements(rows));
        for threads in [1, 2] {
            group.bench_function(format!("{rows} rows, {threads} threads"), |b| {
                b.iter(|| Deck::compile_on(threads, "bench", csv.as_bytes(), &DeckOptions::default()).map(|d| d.len()).unwrap_or(0))
            });
        }
    }
    group.finish();
}

/// A million calls in memory, so that they do not stay in any cache either.
fn rated_calls(c: &mut Criterion) {
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
    let mut group = c.benchmark_group("rate");
    group.throughput(Throughput::Elements(calls.len() as u64)).sample_size(10);
    let one = Decks::all(deck("bench", 200_000, 1));
    let mut fifty = Decks::default();
    for (account, seed) in accounts.iter().zip(1..) {
        let added = fifty.add(Some(account), deck(account, 200_000, seed));
        added.unwrap_or_else(|e| panic!("{e}"));
    }
    for (name, decks) in [("1 deck", &one), ("50 decks", &fifty)] {
        group.bench_function(format!("engine, {name}"), |b| {
            let mut rater = Rater::new(decks);
            b.iter(|| {
                let mut sum = 0i64;
                rater.rate(&calls, &[], |_, out| sum = sum.wrapping_add(out.and_then(|o| o.amount_e8).unwrap_or(0)));
                sum
            })
        });
        group.bench_function(format!("one at a time, {name}"), |b| {
            b.iter(|| calls.iter().filter_map(|call| rate_call(decks, call, None)?.amount_e8).fold(0, i64::wrapping_add))
        });
    }
    drop(fifty);
    let mut csv = "call_id,account,from,to,setup,answer,end\n".to_owned();
    for (at, call) in traffic.iter().take(100_000).enumerate() {
        let (setup, end) = (format_rfc3339(call.setup_us), format_rfc3339(call.end_us));
        let answer = call.answer_us.map(format_rfc3339).unwrap_or_default();
        csv += &format!("call-{at},account-{},{},+{},{setup},{answer},{end}\n", call.account, call.from, call.to);
    }
    group.throughput(Throughput::Elements(100_000)).sample_size(20);
    group.bench_function("csv to csv", |b| {
        b.iter(|| {
            let mut out = Vec::with_capacity(csv.len() * 2);
            let rated = rate_csv(&one, csv.as_bytes(), &mut out, RateOptions::default(), &mut |_| {}, &mut |_| {});
            (rated.map(|c| c.rated).unwrap_or(0), out.len())
        })
    });
    group.finish();
}

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for (carriers, rows) in [(3, 100_000), (10, 200_000), (50, 200_000)] {
        let carriers: Vec<CarrierRoutes> = (0..carriers)
            .map(|at| {
                let name = format!("carrier-{at}");
                CarrierRoutes::new(&name, deck(&name, rows, 1 + at as u64))
            })
            .collect();
        let name = format!("{} carriers x {rows} prefixes", carriers.len());
        let Ok(table) = RouteTable::new(carriers) else { return };
        let numbers = numbers(20_000);
        let sell = table.cost_terms(0, "442071838750", NOW);
        let mut next = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(&name, |b| {
            b.iter(|| {
                next = (next + 1) % numbers.len();
                let query = RouteQuery { sell: sell.as_ref(), ..RouteQuery::new(&numbers[next], NOW) };
                black_box(table.candidates(&query)).order.len()
            })
        });
        // A carrier's traffic comes back to the same ranges: a hundred numbers.
        group.bench_function(format!("{name}, warm"), |b| {
            b.iter(|| {
                next = (next + 1) % 100;
                let query = RouteQuery { sell: sell.as_ref(), ..RouteQuery::new(&numbers[next], NOW) };
                black_box(table.candidates(&query)).order.len()
            })
        });
    }
    group.finish();
}

/// A decision by quality among 50 carriers, each known for its destination: by cost with a band, and by the hunt's money.
fn routes_by_quality(c: &mut Criterion) {
    let names: Vec<String> = (0..50).map(|at| format!("carrier-{at:02}")).collect();
    let carriers: Vec<CarrierRoutes> = names.iter().zip(1..).map(|(name, seed)| CarrierRoutes::new(name, deck(name, 200_000, seed))).collect();
    let Ok(table) = RouteTable::new(carriers) else { return };
    let groups: Vec<GroupKnown> = (0..2_000u32).map(|g| known(&names, g)).collect();
    let numbers = numbers(20_000);
    let sell = table.cost_terms(0, "442071838750", NOW);
    let mut group = c.benchmark_group("route by quality");
    group.throughput(Throughput::Elements(1));
    for order in ["cost", "score"] {
        let spec = control::RoutePolicy { order: order.to_owned(), delta_pct: Some("5".to_owned()), ..control::RoutePolicy::default() };
        let Ok(policy) = RoutePolicy::compile("bench", &spec) else { return };
        let decide = |at: usize| {
            let quality = Some(&groups[at % groups.len()]);
            let query = RouteQuery { sell: sell.as_ref(), policy: Some(&policy), quality, draw_e6: at as u32, ..RouteQuery::new(&numbers[at % numbers.len()], NOW) };
            black_box(table.candidates(&query)).order.len()
        };
        let mut next = 0;
        group.bench_function(format!("50 carriers x 200000 prefixes, {order}"), |b| {
            b.iter(|| {
                next += 1;
                decide(next)
            })
        });
        // One after the other, as calls meet them: what most and what the slowest hundredth take.
        let mut took: Vec<u128> = (0..20_000)
            .map(|at| {
                let began = std::time::Instant::now();
                decide(at);
                began.elapsed().as_nanos()
            })
            .collect();
        took.sort_unstable();
        println!("{order}: p50 {} ns, p99 {} ns", took[took.len() / 2], took[took.len() * 99 / 100]);
    }
    group.finish();
}

/// What is known of all carriers for one destination, with the eight classes of lengths.
fn known(names: &[String], group: u32) -> GroupKnown {
    let carrier = |(at, name): (u32, &String)| CarrierQuality {
        carrier: name.clone(),
        state: if (at + group) % 10 == 0 { "demoted" } else { "good" }.to_owned(),
        asr_e6: 300_000 + (at * 7_919 + group * 104_729) % 400_000,
        ner_e6: 900_000,
        samples: 500,
        acd_ms: 100_000 + u64::from(at) * 1_000,
        acd_capped_ms: 100_000,
        pdd_ms: 1_500 + u64::from((at * 31 + group) % 4_000),
        ..CarrierQuality::default()
    };
    let durations = [3_000, 10_000, 22_000, 45_000, 110_000, 320_000, 900_000, 2_400_000].map(|mean_ms| DurationShare { mean_ms, calls: 100 }).to_vec();
    let carriers = (0..).zip(names).map(carrier).collect();
    GroupKnown::new(QualityVerdict { carriers, durations, asr_e6: 450_000, later_e6: 800_000, pdd_ms: 2_500, ..QualityVerdict::default() })
}

criterion_group!(benches, lookups, compile, rated_calls, routes, routes_by_quality);
criterion_main!(benches);
