//! The CDR store port: rows in, pages, exports and reports out. Row identity is (call, record type, attempt, version);
//! writing a row again changes nothing; the highest version of a row is the current one, and only that is read.

use std::{future::Future, pin::Pin, sync::Arc};

use thiserror::Error;

use crate::cdr::Cdr;

#[derive(Debug, Error)]
pub enum StoreError {
    /// Retryable: disk or server away.
    #[error("CDR store is not available: {0}")]
    Unavailable(String),
    /// Terminal for this request.
    #[error("{0}")]
    BadQuery(String),
    /// Terminal: stored data cannot be read.
    #[error("CDR store is damaged: {0}")]
    Corrupt(String),
}

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Which rows. All given conditions must hold; times are on `invite_ts`, `since` included, `until` not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdrFilter {
    /// The scope no store method can leave out: None only for an operator's own key.
    pub tenant: Option<String>,
    /// `final` or `attempt`.
    pub record_type: String,
    pub since_us: Option<i64>,
    pub until_us: Option<i64>,
    pub account: Option<String>,
    /// Calls this account pays for: its own, and those of accounts below it. Rows come as they are; what it pays of them and may see
    /// is [`crate::tiers::paid_by`].
    pub payer: Option<String>,
    /// Only calls that accounts above the caller's pay for too.
    pub resold: bool,
    pub trunk: Option<String>,
    pub carrier: Option<String>,
    pub disposition: Option<String>,
    pub call_uuid: Option<crate::id::Id>,
    pub sip_call_id_in: Option<String>,
    /// Exact canonical numbers, without plus.
    pub a_number: Option<String>,
    pub b_number: Option<String>,
    /// As the rows stood when topic `calls` was read up to here: for each partition the next offset. Rows of later events are
    /// not there, and of the others the highest version then is (FN-12). None = as they stand.
    pub as_of: Option<Vec<u64>>,
}

impl CdrFilter {
    /// Whether a row of that partition and last event is there at `as_of`.
    pub fn is_visible(as_of: &[u64], partition: u32, last_offset: u64) -> bool {
        as_of.get(partition as usize).is_some_and(|next| last_offset < *next)
    }
}

/// Newest first by (`invite_ts`, `call_uuid`, `attempt_no`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdrQuery {
    pub filter: CdrFilter,
    /// The last row already seen: the page starts after it.
    pub after: Option<RowKey>,
    pub limit: usize,
}

/// Where a row stands in the order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    pub invite_us: i64,
    pub call: crate::id::Id,
    pub attempt_no: u32,
}

impl RowKey {
    pub fn of(cdr: &Cdr) -> RowKey {
        RowKey { invite_us: cdr.invite_ts, call: crate::id::Id::of(&cdr.call_uuid), attempt_no: cdr.attempt_no }
    }
}

/// What a traffic report groups by, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupBy {
    Account,
    Trunk,
    Carrier,
    Destination,
    Country,
    /// The UTC hour of `invite_ts`.
    Hour,
    Day,
}

impl GroupBy {
    pub const ALL: [GroupBy; 7] =
        [GroupBy::Account, GroupBy::Trunk, GroupBy::Carrier, GroupBy::Destination, GroupBy::Country, GroupBy::Hour, GroupBy::Day];

    pub fn name(self) -> &'static str {
        match self {
            GroupBy::Account => "account",
            GroupBy::Trunk => "trunk",
            GroupBy::Carrier => "carrier",
            GroupBy::Destination => "destination",
            GroupBy::Country => "country",
            GroupBy::Hour => "hour",
            GroupBy::Day => "day",
        }
    }

    pub fn from_name(name: &str) -> Option<GroupBy> {
        GroupBy::ALL.into_iter().find(|g| g.name() == name)
    }
}

/// A traffic report: counts and sums; ratios are made by the reader so that all stores agree. By carrier it counts
/// attempts (vendor ASR), otherwise calls (customer ASR): M-01 forbids mixing them.
#[derive(Debug, Clone, Default)]
pub struct TrafficQuery {
    pub filter: CdrFilter,
    pub group_by: Vec<GroupBy>,
}

/// One group of a traffic report. Amounts in 1e-8, durations in milliseconds. Test and emergency calls are counted
/// like others here; `filter` narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrafficRow {
    /// One value for each `group_by`, hours and days as RFC 3339.
    pub group: Vec<String>,
    pub currency: String,
    /// Bids: everything, refused calls too.
    pub bids: u64,
    /// Calls (or attempts) that reached a carrier.
    pub seizures: u64,
    pub answered: u64,
    /// Numerator of NER (M-03): answered, user busy, ring no answer, terminal reject.
    pub network_effective: u64,
    pub refused: u64,
    pub duration_ms: u64,
    pub billed_sell_s: u64,
    pub billed_cost_s: u64,
    pub pdd_ms_sum: u64,
    pub pdd_count: u64,
    pub pdd_ms_p50: Option<u64>,
    pub pdd_ms_p95: Option<u64>,
    pub sell_e8: i64,
    pub cost_e8: i64,
    /// Σ margin where sell and cost share a currency.
    pub margin_e8: i64,
}

/// Whose calls a tally counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TallyBy {
    /// Billed accounts, with the root of each.
    #[default]
    Account,
    /// Carriers of attempts.
    Carrier,
}

/// Counts of calls by party and by what their calling number was worth, with those that connected and were short
/// . Test calls are in none of it.
#[derive(Debug, Clone, Default)]
pub struct TallyQuery {
    pub filter: CdrFilter,
    pub by: TallyBy,
    /// Connected are calls answered in these UTC microseconds, the first included, the second not; None = whenever. `filter`
    /// is on the INVITE, which comes before.
    pub answered_us: Option<(i64, i64)>,
    /// A connected call up to so long is short, milliseconds.
    pub short_ms: u64,
}

/// One party and class of calling numbers. Rows are in the order of their first three fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TallyRow {
    /// Account or carrier.
    pub party: String,
    /// Empty by carrier.
    pub root_account: String,
    /// As column `a_validity` has it.
    pub a_validity: String,
    /// Everything, refused calls too, each as often as its row counts.
    pub calls: u64,
    /// Of these, what reached a carrier.
    pub delivered: u64,
    pub connected: u64,
    pub short: u64,
}

/// How far a store's durable content reaches: for each partition the next offset of topic `cdrs` to project.
pub type Positions = Vec<u64>;

pub trait CdrStore: Send + Sync + 'static {
    /// Takes rows read from topic `cdrs` of `partition` up to (not including) `next`. They can be queried when this
    /// returns; they are durable once `positions` has passed them, or on return where the store keeps no positions.
    /// The same rows may come again, alone or in other batches: that changes nothing.
    fn write(&self, partition: u16, rows: Vec<Arc<Cdr>>, next: u64) -> Result<(), StoreError>;

    /// Where to read on from after a start, where the store's own files know it; None: the log keeps it, as the
    /// projector's progress.
    fn positions(&self) -> Option<Positions>;

    /// How far rows can be queried, where the store knows: at least as far as `positions`. None: as far as the log has the
    /// projector's progress.
    fn reached(&self) -> Option<Positions> {
        None
    }

    /// Puts everything written so far into files.
    fn flush(&self) -> Answer<'_, ()>;

    fn cdrs(&self, query: CdrQuery) -> Answer<'_, Vec<Arc<Cdr>>>;

    fn traffic(&self, query: TrafficQuery) -> Answer<'_, Vec<TrafficRow>>;

    fn tally(&self, query: TallyQuery) -> Answer<'_, Vec<TallyRow>>;
}
