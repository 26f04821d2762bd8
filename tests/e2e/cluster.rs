//! Several processes on one Kafka and one ClickHouse: the same results, and nothing lost when any of them, or either server, is
//! killed or away. A program of its own beside `main.rs`, whose harness it shares. One case at a time: each has two servers and
//! up to nine processes.

#[allow(dead_code, unused_imports)]
mod harness;
#[allow(dead_code, unused_imports)]
mod ua;

#[path = "../cluster/backup.rs"]
mod backup;
#[path = "../cluster/faults.rs"]
mod faults;
#[path = "../cluster/flaps.rs"]
mod flaps;
#[path = "../cluster/money.rs"]
mod money;
#[path = "../cluster/parts.rs"]
mod parts;
#[path = "../cluster/same.rs"]
mod same;
#[path = "../cluster/shares.rs"]
mod shares;

use std::{
    process::Output,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use parts::Cluster;

/// Held while a case runs.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a command said, which must succeed.
#[track_caller]
fn passed(done: &Output) -> String {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(done.status.success(), "{}\n{}{}", done.status, text(&done.stdout), text(&done.stderr));
    text(&done.stdout)
}
