//! The store: its own small runtime for the network, whoever calls; inserts from plain threads, queries from anywhere.

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::{runtime::Runtime, sync::Mutex};
use tollgate_schemas::{
    cdr::Cdr,
    id::Id,
    store::{Answer, CdrFilter, CdrQuery, CdrStore, Positions, StoreError, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
};

use crate::{
    client::{Server, Sql},
    metrics::{StoreMetrics, StoreStats},
    migrate::{self, TENANT_SETTING, broken},
    options::Options,
    rollup::{Marks, hour_of},
    rowbinary::{self, Reader},
    scope::{Scope, TIMES},
};

/// A part of each month in each insert: a merge costs less than an error, up to the server's limit of parts. ClickHouse
/// refuses inserts with parts of more than 100 partitions; a batch is cut before that.
const MOST_MONTHS: usize = 50;

pub struct Inner {
    pub server: Server,
    pub options: Options,
    pub marks: Mutex<Marks>,
    /// The turn of who sums hours up.
    pub settling: Mutex<()>,
    pub metrics: StoreMetrics,
    fenced: bool,
    insert: String,
}

/// The CDR store on a ClickHouse server. Dropping it loses nothing: what `write` took is in the server.
pub struct ClickhouseStore {
    inner: Arc<Inner>,
    runtime: Option<Runtime>,
}

impl ClickhouseStore {
    /// Connects, brings the tables to this program's version, takes up what this writer left open. Blocks.
    ///
    /// Errors: `Unavailable` while the server is away, `Corrupt` for a database of a newer program or with columns of
    /// other types, `BadQuery` for options that make no sense.
    pub fn open(options: Options) -> Result<Arc<ClickhouseStore>, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("clickhouse")
            .enable_all()
            .build()
            .map_err(|e| StoreError::Unavailable(format!("no threads for the ClickHouse client: {e}")))?;
        let every = options.rollup_every;
        let inner = Arc::new(wait(&runtime, Inner::open(options))??);
        if let Some(every) = every {
            let inner = Arc::downgrade(&inner);
            runtime.spawn(async move {
                loop {
                    tokio::time::sleep(every).await;
                    let Some(inner) = inner.upgrade() else { return };
                    if let Err(problem) = inner.settle(inner.options.rollup_quiet).await {
                        tracing::warn!(%problem, "hours wait to be summed up; reports read them from rows");
                    }
                    inner.metrics.open_hours(inner.marks.lock().await.len());
                }
            });
        }
        Ok(Arc::new(ClickhouseStore { inner, runtime: Some(runtime) }))
    }

    /// Sums up again every hour with rows in the time; gives their number. For rows that came into the table by other
    /// means than `write`.
    pub fn recompute(&self, since_us: i64, until_us: i64) -> Answer<'_, usize> {
        self.ask(move |inner| async move { inner.recompute(since_us, until_us).await })
    }

    /// The report from rows alone, as `traffic` gives it with the rollups' help: for checking one by the other.
    pub fn traffic_from_rows(&self, query: TrafficQuery) -> Answer<'_, Vec<TrafficRow>> {
        self.ask(move |inner| async move { inner.traffic(&query, false).await })
    }

    /// Whether row policies stand behind the tenant scope.
    pub fn fenced(&self) -> bool {
        self.inner.fenced
    }

    pub fn stats(&self) -> StoreStats {
        self.inner.metrics.stats()
    }

    pub fn register(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
    }

    /// Runs on the store's own runtime, whose threads own the connections.
    fn ask<T, F>(&self, what: impl FnOnce(Arc<Inner>) -> F + Send + 'static) -> Answer<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let inner = self.inner.clone();
        Box::pin(async move {
            let Some(runtime) = &self.runtime else { return Err(stopped()) };
            let done = runtime.spawn(what(inner)).await.map_err(|_| stopped())?;
            done.inspect_err(|e| self.inner.metrics.query_failed(e))
        })
    }
}

impl Drop for ClickhouseStore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: this may be an async context.
            runtime.shutdown_background();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the ClickHouse client has stopped".into())
}

/// Blocks this thread, which must be no runtime's worker, until `what` is done on `runtime`.
fn wait<T: Send + 'static>(runtime: &Runtime, what: impl Future<Output = T> + Send + 'static) -> Result<T, StoreError> {
    let (done, answer) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let _ = done.send(what.await);
    });
    answer.recv().map_err(|_| stopped())
}

impl Inner {
    async fn open(options: Options) -> Result<Inner, StoreError> {
        let outside = Server::new(&options);
        let mut server = outside.clone().inside();
        // One row is in one month, so months need not be merged with each other; queries see one state of the table. Older
        // servers do not know every name.
        for name in ["do_not_merge_across_partitions_select_final", "enable_shared_storage_snapshot_in_query"] {
            if knows(&outside, name).await? {
                server = server.with(name, "1");
            }
        }
        migrate::run(&outside, &server, &options.retention).await?;
        let fenced = options.row_policies && migrate::fence(&server).await?;
        if fenced {
            server = server.with(TENANT_SETTING, "");
        }
        let inner = Inner {
            server,
            marks: Mutex::default(),
            settling: Mutex::default(),
            metrics: StoreMetrics::default(),
            fenced,
            insert: format!("INSERT INTO cdr ({}) FORMAT RowBinary", rowbinary::columns()),
            options,
        };
        inner.take_over().await?;
        Ok(inner)
    }

    pub fn scope(&self, filter: &CdrFilter) -> Result<Scope, StoreError> {
        Scope::of(&self.server, self.fenced, filter)
    }

    async fn write(&self, partition: u16, rows: &[Arc<Cdr>], next: u64) -> Result<(), StoreError> {
        for rows in batches(rows, self.options.max_insert_rows) {
            let mut hours: HashSet<i64> = rows.iter().map(|r| hour_of(r.invite_ts)).collect();
            hours.extend(self.hours_revised(rows).await?);
            self.mark(&hours).await?;
            let done = self.insert(partition, rows, next).await;
            self.marks.lock().await.written(&hours);
            done?;
            // What another writer brought meanwhile, and may have summed up without these versions.
            let since: HashSet<i64> = self.hours_revised(rows).await?.difference(&hours).copied().collect();
            self.mark(&since).await?;
            self.marks.lock().await.written(&since);
        }
        Ok(())
    }

    async fn insert(&self, partition: u16, rows: &[Arc<Cdr>], next: u64) -> Result<(), StoreError> {
        let mut data = Vec::with_capacity(rows.len() * 512);
        let mut token = blake3::Hasher::new();
        token.update(&partition.to_be_bytes());
        token.update(&next.to_be_bytes());
        for row in rows {
            rowbinary::encode(row, &mut data);
            token.update(&row.call_uuid);
            token.update(row.record_type.as_bytes());
            token.update(&row.attempt_no.to_be_bytes());
            token.update(&row.cdr_version.to_be_bytes());
        }
        // Saves the server a part when the same batch comes again; that nothing doubles does not rest on it.
        let token = token.finalize().to_hex()[..32].to_owned();
        let began = Instant::now();
        self.server.insert(&self.insert, Bytes::from(data), Some(&token)).await?;
        let newest = rows.iter().map(|r| r.end_ts).max().unwrap_or(0);
        self.metrics.inserted(rows.len(), began.elapsed(), newest);
        Ok(())
    }
}

async fn knows(server: &Server, setting: &str) -> Result<bool, StoreError> {
    let answer = server.fetch(&Sql::new(format!("SELECT count() FROM system.settings WHERE name = '{setting}'"))).await?;
    Ok(Reader(&answer).u64().map_err(broken)? > 0)
}

/// Rows that could not be stored and read back as they are.
fn check(row: &Cdr) -> Result<(), StoreError> {
    let bad = |text: String| Err(StoreError::BadQuery(text));
    let Some(call) = Id::from_bytes(&row.call_uuid) else {
        return bad(format!("call_uuid has {} bytes instead of 16", row.call_uuid.len()));
    };
    if row.record_type != tollgate_schemas::cdr::FINAL && row.record_type != tollgate_schemas::cdr::ATTEMPT {
        return bad(format!("record_type '{}' of call {call} is neither 'final' nor 'attempt'", row.record_type));
    }
    if row.block_id.as_ref().is_some_and(|b| b.len() != 16) {
        return bad(format!("block_id of call {call} has not 16 bytes"));
    }
    if row.cdr_version == 0 {
        return bad(format!("cdr_version of call {call} is 0; versions count from 1"));
    }
    if !TIMES.contains(&row.invite_ts) {
        return bad(format!("invite_ts of call {call} is outside the years 1900 to 2299"));
    }
    Ok(())
}

/// Pieces of at most `most` rows and [`MOST_MONTHS`] months.
fn batches(rows: &[Arc<Cdr>], most: usize) -> Vec<&[Arc<Cdr>]> {
    let mut batches = Vec::new();
    let (mut from, mut months) = (0, HashSet::new());
    for (i, row) in rows.iter().enumerate() {
        // Months of 28 days: at least as many as real ones.
        months.insert(row.invite_ts.div_euclid(28 * crate::rollup::DAY_US));
        if i - from >= most.max(1) || months.len() > MOST_MONTHS {
            batches.push(&rows[from..i]);
            from = i;
            months = HashSet::from([row.invite_ts.div_euclid(28 * crate::rollup::DAY_US)]);
        }
    }
    if from < rows.len() {
        batches.push(&rows[from..]);
    }
    batches
}

impl CdrStore for ClickhouseStore {
    fn write(&self, partition: u16, rows: Vec<Arc<Cdr>>, next: u64) -> Result<(), StoreError> {
        rows.iter().try_for_each(|r| check(r))?;
        if rows.is_empty() {
            return Ok(());
        }
        let Some(runtime) = &self.runtime else { return Err(stopped()) };
        let inner = self.inner.clone();
        let done = wait(runtime, async move { inner.write(partition, &rows, next).await })?;
        done.inspect_err(|e| self.inner.metrics.failed(e))
    }

    fn positions(&self) -> Option<Positions> {
        None
    }

    /// Rows are in the server already: sums every open hour up.
    fn flush(&self) -> Answer<'_, ()> {
        self.ask(|inner| async move { inner.settle(Duration::ZERO).await.map(drop) })
    }

    fn cdrs(&self, query: CdrQuery) -> Answer<'_, Vec<Arc<Cdr>>> {
        self.ask(move |inner| async move { inner.cdrs(&query).await })
    }

    fn traffic(&self, query: TrafficQuery) -> Answer<'_, Vec<TrafficRow>> {
        self.ask(move |inner| async move { inner.traffic(&query, true).await })
    }

    fn tally(&self, query: TallyQuery) -> Answer<'_, Vec<TallyRow>> {
        self.ask(move |inner| async move { inner.tally(&query).await })
    }
}
