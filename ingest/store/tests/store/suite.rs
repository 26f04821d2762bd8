//! The suite that every CDR store runs, on this one.

use std::sync::Arc;

use tollgate_ingest::store_suite::{self, Bed};
use tollgate_schemas::store::CdrStore;
use tollgate_store::EmbeddedStore;

use crate::support::{open, options, runtime};

#[test]
fn the_embedded_store_keeps_what_every_store_promises() {
    store_suite::run(|| {
        let dir = tempfile::tempdir().expect("dir");
        let rt = runtime();
        let store: Arc<dyn CdrStore> = open(dir.path());
        Bed {
            store,
            reopen: Box::new(move |store| {
                // One process has the folder at a time: the old one goes first.
                let nothing = tempfile::tempdir().expect("dir");
                *store = open(nothing.path());
                *store = EmbeddedStore::open(dir.path(), options()).expect("reopen");
            }),
            block: Box::new(move |future| rt.block_on(future)),
        }
    });
}
