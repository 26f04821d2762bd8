//! Calls folded per second on one core at a steady load: seven events in, two encoded rows and a posting out, a thousand
//! calls up at once, the memory of closed calls full.
#![allow(clippy::expect_used)]

#[path = "../tests/mediation/calls.rs"]
#[expect(dead_code, reason = "the tests tell more kinds of stories")]
mod calls;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_rating::mediation::Rater;
use tollgate_schemas::{
    stage::{Outputs, Stage},
    v1::Event,
};

// As the binary does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls of one round, all up at once.
const CALLS: u32 = 1_000;

/// Rounds of new calls for one partition whose time goes on.
struct Traffic {
    rounds: u32,
    offset: u64,
}

impl Traffic {
    /// 2,000 calls a second, ten seconds each, in the order things happen.
    fn round(&mut self, make: impl Fn(u32, i64) -> calls::Story) -> Vec<(u64, Event)> {
        let story = |n: u32| make(self.rounds * CALLS + n + 1, i64::from(self.rounds) * 500 + i64::from(n) / 2).events;
        let mut all: Vec<Event> = (0..CALLS).flat_map(story).map(|(_, e)| e).collect();
        all.sort_by_key(|e| (e.occurred_us, e.id()));
        self.rounds += 1;
        all.into_iter()
            .map(|e| {
                self.offset += 1;
                (self.offset, e)
            })
            .collect()
    }
}

/// CPU time of this thread: a busy machine is not the stage's cost.
fn cpu_time() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux and `t` is ours to write.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    assert_eq!(done, 0);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

fn fold(stage: &mut Rater, events: &[(u64, Event)]) {
    // A runner commits in groups, so the outputs of a group are all that lives at once.
    for group in events.chunks(256) {
        let mut out = Outputs::default();
        for (offset, event) in group {
            stage.apply(*offset, event, &mut out).expect("no poison");
        }
        black_box(&out);
    }
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("mediation");
    group.throughput(Throughput::Elements(CALLS.into())).sample_size(20).measurement_time(Duration::from_secs(3));
    let kinds: [(&str, fn(u32, i64) -> calls::Story); 3] = [
        ("answered", |seq, at| calls::answered(seq, at, 0, 10_000)),
        ("failover", |seq, at| calls::failover(seq, at, 0, 10_000)),
        ("busy", |seq, at| calls::busy(seq, at, 0)),
    ];
    for (name, make) in kinds {
        let (mut stage, mut traffic) = (Rater::new(0, 1), Traffic { rounds: 0, offset: 0 });
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let events = traffic.round(make);
                    let start = cpu_time();
                    fold(&mut stage, &events);
                    spent += cpu_time() - start;
                }
                spent
            });
        });
    }
    let (mut up, mut traffic) = (Rater::new(0, 1), Traffic { rounds: 0, offset: 0 });
    for _ in 0..4 {
        fold(&mut up, &traffic.round(kinds[0].1));
    }
    println!("snapshot of {} calls: {} bytes", up.calls_in_memory(), up.snapshot().len());
    group.bench_function("snapshot", |b| b.iter(|| up.snapshot().len()));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
