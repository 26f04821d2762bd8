//! The CDR store the configuration names.

use std::{
    sync::{Arc, OnceLock, Weak},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tollgate_clickhouse::{ClickhouseStore, Compression, Options, Retention};
use tollgate_schemas::{
    cdr::Cdr,
    store::{Answer, CdrQuery, CdrStore, Positions, StoreError, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
};
use tollgate_store::EmbeddedStore;

use crate::config::{ClickhouseConfig, Config};

/// Between two tries to reach the server.
const RETRY: Duration = Duration::from_secs(1);

/// The store, and what only one kind of it can say.
#[derive(Clone)]
pub struct Stores {
    pub cdrs: Arc<dyn CdrStore>,
    pub embedded: Option<Arc<EmbeddedStore>>,
    pub clickhouse: Option<Arc<Served>>,
}

pub fn open(config: &Config, writer: &str) -> anyhow::Result<Stores> {
    if let Some(clickhouse) = &config.store.clickhouse {
        let served = Served::open(options(clickhouse, writer))?;
        return Ok(Stores { cdrs: served.clone(), embedded: None, clickhouse: Some(served) });
    }
    let options = tollgate_store::Options {
        partitions: config.log.partitions.into(),
        flush_rows: config.store.flush_rows,
        flush_every: Duration::from_secs(config.store.flush_s),
        ..tollgate_store::Options::default()
    };
    let embedded = EmbeddedStore::open(&config.data_dir.join("cdrs"), options).context("CDR store")?;
    Ok(Stores { cdrs: embedded.clone(), embedded: Some(embedded), clickhouse: None })
}

pub fn options(c: &ClickhouseConfig, writer: &str) -> Options {
    Options {
        url: c.url.clone(),
        database: c.database.clone(),
        user: Some(c.user.clone()).filter(|u| !u.is_empty()),
        password: Some(c.password.0.clone()).filter(|p| !p.is_empty()),
        compression: if c.compression == "none" { Compression::None } else { Compression::Lz4 },
        retention: c.retention.iter().map(|(country, days)| Retention { country: country.clone(), days: *days }).collect(),
        row_policies: c.row_policies,
        writer: writer.to_owned(),
        ..Options::default()
    }
}

/// A ClickHouse server, which may be away when this process starts: until it is there, everything says so.
pub struct Served {
    store: OnceLock<Arc<ClickhouseStore>>,
}

impl Served {
    fn open(options: Options) -> anyhow::Result<Arc<Served>> {
        let served = Arc::new(Served { store: OnceLock::new() });
        match ClickhouseStore::open(options.clone()) {
            Ok(store) => drop(served.store.set(store)),
            Err(StoreError::Unavailable(problem)) => {
                tracing::warn!(problem, "ClickHouse is away: CDRs wait in the log");
                Served::later(Arc::downgrade(&served), options)?;
            }
            Err(e) => return Err(e).context("ClickHouse"),
        }
        Ok(served)
    }

    fn later(served: Weak<Served>, options: Options) -> anyhow::Result<()> {
        thread::Builder::new().name("clickhouse".to_owned()).spawn(move || {
            while let Some(served) = served.upgrade() {
                match ClickhouseStore::open(options.clone()) {
                    Ok(store) => {
                        tracing::info!("ClickHouse is there");
                        drop(served.store.set(store));
                        return;
                    }
                    Err(StoreError::Unavailable(_)) => {}
                    Err(error) => return tracing::error!(%error, "ClickHouse cannot be used: see tollgate doctor"),
                }
                drop(served);
                thread::sleep(RETRY);
            }
        })?;
        Ok(())
    }

    pub fn get(&self) -> Option<&Arc<ClickhouseStore>> {
        self.store.get()
    }

    fn there(&self) -> Result<&ClickhouseStore, StoreError> {
        self.store.get().map(|s| &**s).ok_or_else(|| StoreError::Unavailable("ClickHouse has not been reached yet".to_owned()))
    }
}

fn away<'a, T: Send + 'a>(e: StoreError) -> Answer<'a, T> {
    Box::pin(async { Err(e) })
}

impl CdrStore for Served {
    fn write(&self, partition: u16, rows: Vec<Arc<Cdr>>, next: u64) -> Result<(), StoreError> {
        self.there()?.write(partition, rows, next)
    }

    fn positions(&self) -> Option<Positions> {
        None
    }

    fn flush(&self) -> Answer<'_, ()> {
        match self.there() {
            Ok(store) => store.flush(),
            // Nothing was written by this process.
            Err(_) => Box::pin(async { Ok(()) }),
        }
    }

    fn cdrs(&self, query: CdrQuery) -> Answer<'_, Vec<Arc<Cdr>>> {
        match self.there() {
            Ok(store) => store.cdrs(query),
            Err(e) => away(e),
        }
    }

    fn traffic(&self, query: TrafficQuery) -> Answer<'_, Vec<TrafficRow>> {
        match self.there() {
            Ok(store) => store.traffic(query),
            Err(e) => away(e),
        }
    }

    fn tally(&self, query: TallyQuery) -> Answer<'_, Vec<TallyRow>> {
        match self.there() {
            Ok(store) => store.tally(query),
            Err(e) => away(e),
        }
    }
}
