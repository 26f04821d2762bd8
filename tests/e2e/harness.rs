//! Starting nodes, asking their API, running SIPp.

mod api;
mod cdr;
mod node;
mod setup;
mod sipp;
mod world;

use std::time::{Duration, Instant};

pub use api::Api;
pub use cdr::{Cdr, check, micros, money, per_second};
pub use node::{Node, tollgate};
pub use setup::{KEY, Net, Setup};
pub use sipp::Sipp;
pub use world::World;
pub(crate) use sipp::scenario;

/// Asks until it is so; fails with `what` when it never was.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
