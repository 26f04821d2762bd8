//! Lists of rows. Memory and files are each one DataFusion table; conditions are typed expressions, never text. A page
//! is the newest rows of memory merged with the newest of those files whose times can hold any.

use std::{cmp::Reverse, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    datatypes::{DataType, SchemaRef, TimestampMicrosecondType, UInt32Type, UInt64Type},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider, memory::MemorySourceConfig},
    common::ScalarValue,
    dataframe::DataFrame,
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::CachedParquetFileReaderFactory},
        source::DataSourceExec,
    },
    error::{DataFusionError, Result as DfResult},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableType, Volatility, col, lit,
    },
    object_store::{ObjectMeta, path::Path as ObjectPath},
    physical_plan::ExecutionPlan,
    prelude::{SessionConfig, SessionContext},
};
use futures::StreamExt;
use tollgate_schemas::{
    cdr::Cdr,
    id::Id,
    store::{CdrFilter, CdrQuery, RowKey, StoreError},
    tiers,
};

use crate::{
    columns,
    embedded::Snapshot,
    identity::{Kind, Revised, Stand},
    manifest::StoredFile,
    older,
};

/// DataFusion with this store's settings.
pub(crate) struct Engine {
    ctx: SessionContext,
}

/// Where rows are read from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Memory(Vec<RecordBatch>),
    /// Newest first, so that a page's threshold is high after the first file.
    Files(Vec<Arc<StoredFile>>),
}

impl Engine {
    pub fn new() -> Engine {
        let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(8_192).with_information_schema(false);
        let parquet = &mut config.options_mut().execution.parquet;
        // Conditions are evaluated on their own columns first; the other ninety are decoded for matching rows only.
        parquet.pushdown_filters = true;
        parquet.reorder_filters = true;
        Engine { ctx: SessionContext::new_with_config(config) }
    }

    /// The newest rows after `query.after`, at most `query.limit`.
    pub async fn cdrs(&self, snapshot: &Snapshot, query: &CdrQuery) -> Result<Vec<Arc<Cdr>>, StoreError> {
        if query.limit == 0 {
            return Ok(Vec::new());
        }
        let reach = Reach::of(&query.filter, query.after);
        let mut page = self.page(snapshot.memory(reach), snapshot, query, None).await?;
        // A full page from memory leaves files only what is as new as its last row.
        let floor = page.get(query.limit - 1).map(|row| row.invite_ts);
        let files = Source::Files(snapshot.files(&query.filter, Reach { from_us: floor.max(reach.from_us), ..reach })?);
        page.extend(self.page(files, snapshot, query, floor).await?);
        page.sort_by_cached_key(|row| Reverse(RowKey::of(row)));
        page.truncate(query.limit);
        Ok(page)
    }

    /// A page of one source. Where that is much more than a page, the page's keys are found first, on their columns
    /// alone, so that the other ninety are decoded for about as many rows as are wanted.
    async fn page(
        &self,
        source: Source,
        snapshot: &Snapshot,
        query: &CdrQuery,
        floor: Option<i64>,
    ) -> Result<Vec<Arc<Cdr>>, StoreError> {
        let rows = source.rows();
        if rows == 0 {
            return Ok(Vec::new());
        }
        let mut wanted = conditions(&query.filter)?;
        if let Some(after) = query.after {
            wanted.push(older_than(after));
        }
        if let Some(floor) = floor {
            wanted.push(col("invite_ts").gt_eq(time(floor)));
        }
        let limit = (query.limit < rows).then_some(query.limit);
        if limit.is_some_and(|limit| rows / 8 > limit) {
            let table = self.table(source.clone(), snapshot, wanted.clone(), &query.filter)?;
            let keys = newest(table.select_columns(&KEY).map_err(failed)?, limit)?;
            let Some((oldest, newest)) = times(&keys.collect().await.map_err(failed)?) else { return Ok(Vec::new()) };
            wanted.push(col("invite_ts").gt_eq(time(oldest)).and(col("invite_ts").lt_eq(time(newest))));
        }
        let frame = newest(self.table(source, snapshot, wanted, &query.filter)?, limit)?;
        let mut page = Vec::new();
        let mut batches = frame.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let cdrs = columns::from_batch(&batch.map_err(failed)?).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            page.extend(cdrs.into_iter().map(Arc::new));
        }
        Ok(page)
    }

    /// The current rows of a source that meet the conditions.
    pub fn table(
        &self,
        source: Source,
        snapshot: &Snapshot,
        mut conditions: Vec<Expr>,
        filter: &CdrFilter,
    ) -> Result<DataFrame, StoreError> {
        if !snapshot.revised.is_empty() || filter.as_of.is_some() {
            let kind = Kind::parse(&filter.record_type)?;
            conditions.push(is_current(kind, snapshot.revised.clone(), filter.as_of.clone()));
        }
        let table = CdrTable { source, schema: columns::schema() };
        let frame = self.ctx.read_table(Arc::new(table)).map_err(failed)?;
        match conditions.into_iter().reduce(Expr::and) {
            Some(all) => frame.filter(all).map_err(failed),
            None => Ok(frame),
        }
    }
}

const KEY: [&str; 3] = ["invite_ts", "call_uuid", "attempt_no"];

/// In the order of lists, at most `limit`.
fn newest(frame: DataFrame, limit: Option<usize>) -> Result<DataFrame, StoreError> {
    let sorted = frame.sort(KEY.map(|c| col(c).sort(false, false)).to_vec()).map_err(failed)?;
    match limit {
        Some(limit) => sorted.limit(0, Some(limit)).map_err(failed),
        None => Ok(sorted),
    }
}

/// The least and greatest `invite_ts` of batches.
fn times(batches: &[RecordBatch]) -> Option<(i64, i64)> {
    let columns = batches.iter().filter_map(|b| b.column_by_name("invite_ts")?.as_primitive_opt::<TimestampMicrosecondType>());
    let all = || columns.clone().flat_map(|c| c.values().iter().copied());
    Some((all().min()?, all().max()?))
}

/// Which times a query can touch, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    from_us: Option<i64>,
    to_us: Option<i64>,
}

impl Reach {
    pub fn of(filter: &CdrFilter, after: Option<RowKey>) -> Reach {
        let until = filter.until_us.map(|t| t.saturating_sub(1));
        let to_us = match (until, after.map(|a| a.invite_us)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Reach { from_us: filter.since_us, to_us }
    }

    fn touches(self, min_us: i64, max_us: i64) -> bool {
        self.from_us.is_none_or(|from| max_us >= from) && self.to_us.is_none_or(|to| min_us <= to)
    }
}

impl Snapshot {
    pub fn memory(&self, reach: Reach) -> Source {
        let touched = self.chunks.iter().filter(|c| reach.touches(c.min_us, c.max_us));
        Source::Memory(touched.map(|c| c.batch.clone()).collect())
    }

    pub fn files(&self, filter: &CdrFilter, reach: Reach) -> Result<Vec<Arc<StoredFile>>, StoreError> {
        let kind = Kind::parse(&filter.record_type)?;
        let touched = |f: &&Arc<StoredFile>| f.entry.kind == kind && reach.touches(f.entry.min_us, f.entry.max_us);
        let mut files: Vec<_> = self.files.iter().filter(touched).cloned().collect();
        files.sort_by_key(|f| Reverse(f.entry.max_us));
        Ok(files)
    }
}

impl Source {
    pub fn rows(&self) -> usize {
        match self {
            Source::Memory(batches) => batches.iter().map(RecordBatch::num_rows).sum(),
            Source::Files(files) => files.iter().map(|f| f.entry.rows as usize).sum(),
        }
    }
}

fn time(us: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())))
}

fn call(id: Id) -> Expr {
    lit(ScalarValue::FixedSizeBinary(16, Some(id.to_vec())))
}

/// The filter as expressions that must all hold. The record type is which files and chunks are read.
pub(crate) fn conditions(filter: &CdrFilter) -> Result<Vec<Expr>, StoreError> {
    // Named in full so that a new condition cannot be forgotten here.
    let CdrFilter {
        tenant,
        record_type,
        since_us,
        until_us,
        account,
        payer,
        resold,
        trunk,
        carrier,
        disposition,
        call_uuid,
        sip_call_id_in,
        a_number,
        b_number,
        // With the versions, in `is_current`.
        as_of: _,
    } = filter;
    Kind::parse(record_type)?;
    let mut all = Vec::new();
    if let Some(t) = tenant {
        all.push(col("root_account").eq(lit(t.as_str())).or(col("account").eq(lit(t.as_str()))));
    }
    if let Some(p) = payer {
        all.push(col("account").eq(lit(p.as_str())).or(col("tier_amounts").like(lit(containing(&tiers::mark(p))))));
    }
    if *resold {
        all.push(col("tier_amounts").not_eq(lit("")));
    }
    all.extend(since_us.map(|t| col("invite_ts").gt_eq(time(t))));
    all.extend(until_us.map(|t| col("invite_ts").lt(time(t))));
    let equal = [
        ("account", account),
        ("trunk", trunk),
        ("carrier", carrier),
        ("disposition", disposition),
        ("sip_call_id_in", sip_call_id_in),
        ("a_number_e164", a_number),
        ("b_number_e164", b_number),
    ];
    for (name, value) in equal {
        all.extend(value.as_ref().map(|v| col(name).eq(lit(v.as_str()))));
    }
    all.extend(call_uuid.map(|id| col("call_uuid").eq(call(id))));
    Ok(all)
}

/// The pattern of text that has this in it; the backslash is what escapes in LIKE.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Rows behind `key` in the order of lists.
fn older_than(key: RowKey) -> Expr {
    let same_call = col("call_uuid").eq(call(key.call)).and(col("attempt_no").lt(lit(key.attempt_no)));
    let same_time = col("invite_ts").eq(time(key.invite_us)).and(col("call_uuid").lt(call(key.call)).or(same_call));
    // The first condition says nothing new; row groups and pages are skipped by it.
    col("invite_ts").lt_eq(time(key.invite_us)).and(col("invite_ts").lt(time(key.invite_us)).or(same_time))
}

/// Leaves out rows that a higher version has replaced, or had at `as_of`.
fn is_current(kind: Kind, revised: Arc<Revised>, as_of: Option<Vec<u64>>) -> Expr {
    let args = ["call_uuid", "attempt_no", "cdr_version", "partition", "event_last_offset"].map(col);
    let args = if as_of.is_some() { args.to_vec() } else { args[..3].to_vec() };
    let signature = Signature::any(args.len(), Volatility::Immutable);
    ScalarUDF::from(IsCurrent { kind, revised: ByAddress(revised), as_of, signature }).call(args)
}

/// Compared by address: a snapshot's versions are equal to themselves only.
#[derive(Debug, Clone)]
struct ByAddress(Arc<Revised>);

impl PartialEq for ByAddress {
    fn eq(&self, other: &ByAddress) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByAddress {}

impl std::hash::Hash for ByAddress {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IsCurrent {
    kind: Kind,
    revised: ByAddress,
    as_of: Option<Vec<u64>>,
    signature: Signature,
}

impl ScalarUDFImpl for IsCurrent {
    fn name(&self) -> &str {
        "is_current"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let wrong = || DataFusionError::Internal("is_current wants call_uuid, attempt_no, cdr_version".into());
        let [calls, attempts, versions, place @ ..] = arrays.as_slice() else { return Err(wrong()) };
        let calls = calls.as_fixed_size_binary_opt().ok_or_else(wrong)?;
        let number = |a: &ArrayRef| a.as_primitive_opt::<UInt32Type>().cloned().ok_or_else(wrong);
        let (attempts, versions) = (number(attempts)?, number(versions)?);
        let current: BooleanArray = match (&self.as_of, place) {
            (Some(as_of), [partitions, offsets]) => {
                let partitions = number(partitions)?;
                let offsets = offsets.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?;
                let stand = |i| Stand {
                    call: Id::of(calls.value(i)),
                    attempt: attempts.value(i),
                    version: versions.value(i),
                    partition: partitions.value(i),
                    last_offset: offsets.value(i),
                };
                (0..calls.len()).map(|i| Some(self.revised.0.is_current_at(self.kind, &stand(i), as_of))).collect()
            }
            _ => (0..calls.len())
                .map(|i| Some(self.revised.0.is_current(self.kind, Id::of(calls.value(i)), attempts.value(i), versions.value(i))))
                .collect(),
        };
        Ok(ColumnarValue::Array(Arc::new(current)))
    }
}

#[derive(Debug)]
struct CdrTable {
    source: Source,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for CdrTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        match &self.source {
            Source::Memory(batches) => {
                let plan = MemorySourceConfig::try_new_exec(&[batches.clone()], self.schema.clone(), projection.cloned())?;
                Ok(plan)
            }
            Source::Files(files) => {
                let url = ObjectStoreUrl::local_filesystem();
                let env = state.runtime_env();
                let footers = env.cache_manager.get_file_metadata_cache();
                let reader = CachedParquetFileReaderFactory::new(env.object_store(&url)?, footers);
                let source = ParquetSource::new(self.schema.clone())
                    .with_table_parquet_options(state.table_options().parquet.clone())
                    .with_pushdown_filters(true)
                    .with_reorder_filters(true)
                    .with_parquet_file_reader_factory(Arc::new(reader));
                let group = FileGroup::new(files.iter().map(|f| part(f)).collect::<DfResult<Vec<_>>>()?);
                let config = FileScanConfigBuilder::new(url, Arc::new(source))
                    .with_file_groups(vec![group])
                    .with_projection_indices(projection.cloned())?
                    .with_expr_adapter(Some(Arc::new(older::EmptyWhereMissing)))
                    .build();
                Ok(DataSourceExec::from_data_source(config))
            }
        }
    }
}

fn part(file: &StoredFile) -> DfResult<PartitionedFile> {
    let location = ObjectPath::from_absolute_path(&file.path).map_err(|e| DataFusionError::External(Box::new(e)))?;
    let last_modified = std::fs::metadata(&file.path)?.modified()?.into();
    Ok(PartitionedFile::new_from_meta(ObjectMeta { location, last_modified, size: file.entry.bytes, e_tag: None, version: None }))
}

pub(crate) fn failed(e: DataFusionError) -> StoreError {
    // Queries are built from types, so an error while one runs is the data or the disk.
    StoreError::Corrupt(e.to_string())
}
