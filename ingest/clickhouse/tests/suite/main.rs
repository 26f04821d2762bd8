//! The store against the engine itself.

mod outage;
mod schema;
mod server;
mod sums;

use std::sync::Arc;

use tollgate_clickhouse::ClickhouseStore;
use tollgate_ingest::store_suite::{self, Bed};
use tollgate_schemas::store::CdrStore;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime")
}

#[test]
fn the_clickhouse_store_keeps_what_every_store_promises() {
    let server = server::Server::start();
    let wanted = std::env::var("CASE").unwrap_or_default();
    store_suite::run_some(
        || {
            let options = server.options();
            let rt = runtime();
            let store: Arc<dyn CdrStore> = ClickhouseStore::open(options.clone()).expect("open");
            Bed {
                store,
                reopen: Box::new(move |store| *store = ClickhouseStore::open(options.clone()).expect("reopen")),
                block: Box::new(move |future| rt.block_on(future)),
            }
        },
        |name| name.contains(&wanted),
    );
}
