//! Events per second on one core: 2,000 calls a second of ten seconds each (20,000 up at once, billed by the second)
//! through one partition, six events a call and a tick a second, under the default policy and under one that watches
//! everything far above the load. The first half of the traffic fills the tables and is not timed.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tollgate_fraud::{Guard, Partials};
use tollgate_schemas::{
    control::{FraudPolicy, FraudRule},
    event::Body,
    id::Id,
    stage::{Outputs, Stage},
    v1::*,
};

const CPS: i64 = 2_000;
const CALL_US: i64 = 10_000_000;
const SECONDS: i64 = 20;

/// Calls of `accounts` accounts to `groups` destination groups each.
fn events(accounts: i64, groups: i64) -> Vec<Event> {
    let terms = Terms { rate_e12: 10_000_000_000, initial_s: 1, increment_s: 1, places: 6, currency: "USD".to_owned(), ..Terms::default() };
    let mut events = Vec::new();
    let mut push = |at_us: i64, n: i64, part: u128, body| {
        let id = Id(n as u128 * 8 + part + 1).to_vec();
        // 997 number ranges and 50 addresses.
        let personal = (part == 0).then(|| Personal {
            b_e164: format!("49{:06}{:04}", n % 997, n % 10_000),
            peer_addr: format!("10.0.0.{}:5060", n % 50),
            ..Personal::default()
        });
        events.push(Event { id, occurred_us: 1_763_769_000_000_000 + at_us, key: "acme".to_owned(), personal, body: Some(body), ..Event::default() });
    };
    for n in 0..CPS * SECONDS {
        let at_us = n * 1_000_000 / CPS;
        let call_id = || Id(n as u128 * 8 + 1).to_vec();
        let facts = CallFacts {
            account: format!("account{}", n % accounts),
            root_account: "acme".to_owned(),
            b_dest_group: format!("destination {}", n % groups),
            b_risk_flag: if n % 20 == 0 { "high" } else { "none" }.to_owned(),
            international: n % 2 == 0,
            ..CallFacts::default()
        };
        push(at_us, n, 0, Body::CallAttempted(CallAttempted { facts: Some(facts), sell: Some(terms.clone()), ..CallAttempted::default() }));
        push(at_us + 1, n, 1, Body::CallRouteTried(CallRouteTried { call_id: call_id(), attempt_no: 1, carrier: "north".to_owned(), ..CallRouteTried::default() }));
        push(at_us + 100_000, n, 2, Body::CallRinging(CallRinging { call_id: call_id(), ..CallRinging::default() }));
        push(at_us + 200_000, n, 3, Body::CallAnswered(CallAnswered { call_id: call_id(), attempt_no: 1, sell: Some(terms.clone()), ..CallAnswered::default() }));
        let duration_ms = (CALL_US / 1000 - 200) as u64;
        push(at_us + CALL_US, n, 4, Body::CallAttemptEnded(CallAttemptEnded { call_id: call_id(), attempt_no: 1, duration_ms, ..CallAttemptEnded::default() }));
        push(at_us + CALL_US, n, 5, Body::CallEnded(CallEnded { call_id: call_id(), duration_ms, answered_attempt: 1, ..CallEnded::default() }));
    }
    for s in 0..SECONDS + CALL_US / 1_000_000 {
        push(s * 1_000_000, CPS * SECONDS + s, 0, Body::Tick(Tick { at_us: 1_763_769_000_000_000 + s * 1_000_000 }));
    }
    events.sort_by_key(|e| e.occurred_us);
    events
}

fn far_above() -> FraudPolicy {
    let rule = |feature: &str, critical: &str| FraudRule {
        feature: feature.to_owned(),
        watch: "all".to_owned(),
        window_s: 600,
        warning: Some(critical.to_owned()),
        critical: Some(critical.to_owned()),
    };
    FraudPolicy {
        rules: vec![rule("concurrent_calls", "1000000"), rule("calls_per_minute", "100000000"), rule("spend", "100000000"), rule("call_duration", "86400")],
        ..FraudPolicy::default()
    }
}

fn fed(policy: FraudPolicy, events: &[Event]) -> Guard {
    let mut guard = Guard::new(0, policy).expect("a right policy");
    let mut out = Outputs::default();
    for (i, event) in events.iter().enumerate() {
        guard.apply(i as u64, event, &mut out).expect("a sound event");
    }
    guard
}

fn counted(events: &[Event]) -> Partials {
    let mut stage = Partials::new(0, 16);
    let mut out = Outputs::default();
    for event in events {
        stage.apply(0, event, &mut out).expect("a sound event");
    }
    stage
}

fn bench(c: &mut Criterion) {
    let (wide, narrow) = (events(50, 997), events(1, 10));
    let mut group = c.benchmark_group("fraud");
    group.sample_size(20);
    for (name, policy, events) in [
        ("default policy, 24,000 keys", FraudPolicy::default(), &wide),
        ("everything watched, 24,000 keys", far_above(), &wide),
        ("everything watched, 10 keys", far_above(), &narrow),
    ] {
        let (warm, timed) = events.split_at(events.len() / 2);
        group.throughput(Throughput::Elements(timed.len() as u64));
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || fed(policy.clone(), warm),
                |guard| {
                    let mut out = Outputs::default();
                    for (i, event) in timed.iter().enumerate() {
                        guard.apply(i as u64, event, &mut out).expect("a sound event");
                    }
                    black_box(out.appends.len())
                },
                BatchSize::PerIteration,
            );
        });
    }
    let (warm, timed) = wide.split_at(wide.len() / 2);
    group.throughput(Throughput::Elements(timed.len() as u64));
    group.bench_function("partials, 997 ranges, 997 destinations, 50 addresses", |b| {
        b.iter_batched_ref(
            || counted(warm),
            |stage| {
                let mut out = Outputs::default();
                for event in timed {
                    stage.apply(0, event, &mut out).expect("a sound event");
                }
                black_box(out.appends.len())
            },
            BatchSize::PerIteration,
        );
    });
    let guard = fed(far_above(), &wide[..wide.len() / 2]);
    let state = guard.snapshot();
    println!("snapshot: {} live calls, {} keys, {} bytes", guard.stats().live_calls, guard.stats().keys, state.len());
    group.throughput(Throughput::Elements(guard.stats().live_calls));
    group.bench_function("snapshot, per live call", |b| b.iter(|| black_box(guard.snapshot().len())));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
