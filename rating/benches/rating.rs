//! Look-ups, rated calls and route decisions, in one thread. Numbers are random over the whole sheet, so that the
//! caches see the worst of it.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tollgate_rating::{
    deck::{Deck, DeckOptions, Lookup},
    rate_file::{CallFields, CallIn, Decks, RateOptions, rate_call, rate_csv},
    routing::{CarrierRoutes, RouteQuery, RouteTable},
};
use tollgate_schemas::time::format_rfc3339;

const NOW: i64 = 1_780_000_000_000_000;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// `rows` prefixes of 1 to 8 digits, dense as the trade's: the first rows are short, most have 6 or 7 digits.
fn deck(name: &str, rows: u64, seed: u64) -> Arc<Deck> {
    let mut random = Random(seed);
    let mut prefixes = std::collections::BTreeSet::new();
    for country in 1..1000u64 {
        prefixes.insert(country);
    }
    while (prefixes.len() as u64) < rows {
        let digits = 4 + random.below(5) as u32;
        prefixes.insert(10u64.pow(digits - 1) + random.below(9 * 10u64.pow(digits - 1)));
    }
    let mut csv = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n".to_owned();
    for prefix in prefixes {
        let plan = ["1,1", "6,6", "30,6", "60,60"][random.below(4) as usize];
        let (group, rate) = (random.below(2000), random.below(100_000));
        csv += &format!("{prefix},Group {group},0.{rate:05},0,{plan},2026-01-01\n");
    }
    Arc::new(Deck::compile(name, csv.as_bytes(), &DeckOptions::default()).unwrap_or_else(|e| panic!("{e}")))
}

fn numbers(count: usize) -> Vec<String> {
    let mut random = Random(99);
    (0..count).map(|_| (100_000_000_000 + random.below(899_999_999_999)).to_string()).collect()
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
    let mut csv = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n".to_owned();
    for prefix in 100_000..300_000 {
        csv += &format!("{prefix},Group {},0.0123,0,6,6,2026-01-01\n", prefix / 100);
    }
    let mut group = c.benchmark_group("compile");
    group.throughput(Throughput::Elements(200_000)).sample_size(10);
    group.bench_function("200000 rows", |b| {
        b.iter(|| Deck::compile("bench", csv.as_bytes(), &DeckOptions::default()).map(|d| d.len()).unwrap_or(0))
    });
    group.finish();
}

fn rated_calls(c: &mut Criterion) {
    let decks = Decks::all(deck("bench", 200_000, 1));
    let numbers = numbers(100_000);
    let mut group = c.benchmark_group("rate");
    group.throughput(Throughput::Elements(numbers.len() as u64));
    let call = |number| CallFields {
        call_id: "1",
        account: "acme",
        to: number,
        lrn: "",
        setup_ns: NOW * 1000,
        answer_ns: Some(NOW * 1000),
        end_ns: None,
        duration_ms: Some(95_000),
    };
    let calls: Vec<CallIn<'_>> = numbers.iter().filter_map(|n| call(n).check().ok()).collect();
    group.bench_function("engine", |b| {
        b.iter(|| calls.iter().filter_map(|call| rate_call(&decks, call)?.amount_e8).fold(0, i64::wrapping_add))
    });
    let mut csv = "call_id,account,from,to,setup,answer,end\n".to_owned();
    for (at, number) in numbers.iter().enumerate() {
        let time = |s: i64| format_rfc3339(NOW + s * 1_000_000);
        csv += &format!("call-{at},acme,442071838750,+{number},{},{},{}\n", time(0), time(4), time(4 + at as i64 % 600));
    }
    group.sample_size(20);
    group.bench_function("csv to csv", |b| {
        b.iter(|| {
            let mut out = Vec::with_capacity(csv.len() * 2);
            let rated = rate_csv(&decks, csv.as_bytes(), &mut out, RateOptions::default(), &mut |_| {}, &mut |_| {});
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

criterion_group!(benches, lookups, compile, rated_calls, routes);
criterion_main!(benches);
