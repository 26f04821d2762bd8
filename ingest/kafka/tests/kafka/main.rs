//! The Kafka log against a real broker: every promise of the port, and what only a shared log can be asked.

#[path = "../../../../tests/parts/broker.rs"]
mod broker;

mod archive;
mod shared;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use broker::Broker;
use tollgate_ingest::conformance::{self, Bed};
use tollgate_kafka::{KafkaLog, Options};
use tollgate_schemas::log::EventLog;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Topics of its own for each log.
pub fn options(broker: &Broker) -> Options {
    let prefix = format!("t{}-{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Options { brokers: broker.bootstrap().to_owned(), prefix, partitions: 4, ..Options::default() }
}

#[test]
fn design_2_kafka_keeps_every_promise_of_the_log() {
    let broker = Broker::start();
    conformance::run(|| {
        let hold = Arc::new(AtomicBool::new(false));
        let options = Options { limit: 1_000, reserved: 500, hold: Some(hold.clone()), ..options(&broker) };
        let open = move |options: &Options| -> Arc<dyn EventLog> { Arc::new(KafkaLog::open(options.clone()).expect("open")) };
        Bed {
            log: open(&options),
            reopen: Box::new(move |log| *log = open(&options)),
            stall: Box::new(move |stall| hold.store(stall, Ordering::Release)),
            numbers: false,
            gapless: false,
        }
    });
}
