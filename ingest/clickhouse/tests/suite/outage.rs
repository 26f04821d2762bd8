//! The server dies, is away, comes back: rows wait with whoever has them, none is lost and none is doubled.

use std::{
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tollgate_clickhouse::{ClickhouseStore, Compression, Options};
use tollgate_ingest::store_suite::{T0, cdr, only};
use tollgate_schemas::{
    cdr::{Cdr, FINAL},
    store::{CdrStore, GroupBy, StoreError, TrafficQuery},
};

use crate::{runtime, server};

fn kill(mut child: Child) {
    child.kill().expect("kill -9");
    child.wait().expect("wait");
}

fn bids(rt: &tokio::runtime::Runtime, store: &ClickhouseStore) -> (u64, u64) {
    let query = TrafficQuery { filter: only(FINAL), group_by: vec![GroupBy::Account] };
    let of = |report: Vec<tollgate_schemas::store::TrafficRow>| report.first().map_or(0, |r| r.bids);
    let whole = of(rt.block_on(store.traffic(query.clone())).expect("traffic"));
    (whole, of(rt.block_on(store.traffic_from_rows(query)).expect("rows")))
}

#[test]
fn rows_survive_kills_in_the_middle_of_inserts_and_seconds_without_a_server() {
    let dir = tempfile::tempdir().expect("dir");
    let (child, url) = server::spawn(dir.path(), 0);
    let port: u16 = url.rsplit(':').next().and_then(|p| p.parse().ok()).expect("port");
    let options = Options {
        url,
        database: server::fresh_name(),
        compression: Compression::None,
        request_timeout: Duration::from_secs(10),
        rollup_every: None,
        ..Options::default()
    };
    let store = ClickhouseStore::open(options).expect("open");
    let (stop, refused, written) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    const BATCHES: u32 = 150;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..BATCHES {
                // Large enough that a kill falls into one of them.
                let rows: Vec<Arc<Cdr>> = (0..400u32)
                    .map(|k| {
                        let call = u128::from(n * 400 + k + 1);
                        Arc::new(Cdr { invite_ts: T0 + i64::from(n) * 60_000_000 + i64::from(k), ..cdr(call, FINAL, 1, 1) })
                    })
                    .collect();
                let began = Instant::now();
                while let Err(e) = store.write(0, rows.clone(), u64::from(n + 1) * 400) {
                    assert!(matches!(e, StoreError::Unavailable(_)), "retryable: {e}");
                    assert!(began.elapsed() < Duration::from_secs(60), "{e}");
                    refused.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                }
                written.store(n + 1, Ordering::SeqCst);
            }
            stop.store(true, Ordering::SeqCst);
        });
        let mut child = child;
        for away in [Duration::ZERO, Duration::from_secs(3), Duration::ZERO] {
            let goal = written.load(Ordering::SeqCst) + 20;
            while written.load(Ordering::SeqCst) < goal && !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            kill(child);
            std::thread::sleep(away);
            child = server::spawn(dir.path(), port).0;
        }
        writer.join().expect("writer");
        let rt = runtime();
        assert!(refused.load(Ordering::SeqCst) > 0, "the outages were felt");
        assert!(store.stats().failures > 0 && store.stats().last_error.is_some());
        let all = u64::from(BATCHES) * 400;
        assert_eq!(bids(&rt, &store), (all, all), "before hours are summed up");
        rt.block_on(store.flush()).expect("flush");
        assert_eq!(bids(&rt, &store), (all, all), "after");
        kill(child);
        assert!(matches!(rt.block_on(store.flush()), Ok(())), "nothing is open, so nothing is asked");
        let list = rt.block_on(store.traffic(TrafficQuery { filter: only(FINAL), group_by: vec![] }));
        assert!(matches!(list, Err(StoreError::Unavailable(_))), "{list:?}");
    });
}
