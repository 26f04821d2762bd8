//! The charge: a plain row, steps inside the call, prices by the clock of a zone, and what funds buy.
#![allow(clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_schemas::v1::{Fee, RateStep, Surcharge, Terms, TimeBand};

fn row() -> Terms {
    Terms { rate_e12: 12_500_000_000, initial_s: 30, increment_s: 6, places: 6, ..Terms::default() }
}

fn step(after_s: u32, rate_e12: i64) -> RateStep {
    RateStep { after_s, rate_e12, initial_s: 6, increment_s: 6, ..RateStep::default() }
}

fn charge(c: &mut Criterion) {
    let steps = Terms { steps: vec![step(60, 10_000_000_000), step(300, 8_000_000_000), step(900, 5_000_000_000)], ..row() };
    let modifiers = Terms {
        min_charge_e12: 10_000_000_000,
        max_charge_e12: 5_000_000_000_000,
        grace_ms: 2_000,
        surcharges: vec![Surcharge { name: "eea".to_owned(), per_minute_e12: 250_000_000_000 }],
        fees: vec![Fee { name: "call".to_owned(), amount_e12: 1_000_000_000, on: 3 }],
        ..row()
    };
    let band = |name: &str, weekdays, from_s, to_s, weight, rate| TimeBand {
        name: name.to_owned(), weekdays, from_s, to_s, weight, steps: vec![step(0, rate)], ..TimeBand::default()
    };
    let bands = Terms {
        bands: vec![
            band("weekend", 0b110_0000, 0, 0, 1, 5_000_000_000),
            band("night", 0, 22 * 3600, 6 * 3600, 0, 6_000_000_000),
            TimeBand { dates: vec![20_261_225, 20_261_226, 20_270_101], weight: 9, ..band("holiday", 0, 0, 0, 9, 4_000_000_000) },
        ],
        timezone: "Europe/Amsterdam".to_owned(),
        ..row()
    };
    // 2026-11-24T20:30:00Z, a Tuesday: the long call goes into the night.
    let answer_us = 1_795_552_200_000_000i64;
    let mut group = c.benchmark_group("charge");
    for (name, terms) in [("plain", &row()), ("modifiers", &modifiers), ("three_steps", &steps), ("bands_in_a_zone", &bands)] {
        for (length, ms) in [("3min", 180_000u64), ("1h", 3_600_000)] {
            group.bench_function(format!("{name}/{length}"), |b| b.iter(|| black_box(terms).charge(black_box(answer_us), black_box(ms))));
        }
    }
    group.bench_function("affordable/plain", |b| b.iter(|| black_box(&row()).affordable_ms(answer_us, black_box(500_000_000))));
    group.bench_function("affordable/three_steps", |b| b.iter(|| black_box(&steps).affordable_ms(answer_us, black_box(500_000_000))));
    group.bench_function("affordable/bands_in_a_zone", |b| b.iter(|| black_box(&bands).affordable_ms(answer_us, black_box(500_000_000))));
    group.finish();
}

criterion_group!(benches, charge);
criterion_main!(benches);
