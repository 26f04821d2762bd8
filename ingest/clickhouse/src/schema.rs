//! The tables. `cdr` is made from the one column table; what leans on it is written out here.
//!
//! - `cdr`: one row for each (call, record type, attempt, version), in months of `invite_ts`. Sorted by tenant and time:
//!   a call's attempts and its final stand beside each other, which is what makes their texts cost nothing twice. Rows that
//!   come again have the same key and are merged; until then `FINAL` leaves them out.
//! - `rollup`: sums by hour (`span` 3600) and day (86400), for each cube of dimensions, replaced by revision.
//! - `rollup_published`: the revision of each hour and day that may be read.
//! - `rollup_marks`: hours being written to, by writer; while one is open the hour is summed from rows.
//! - `schema_migrations`: what was done to this database.

use crate::layout::STORED;

/// A change of the tables beyond columns, which `migrate` brings by itself.
pub struct Migration {
    pub version: u32,
    pub name: &'static str,
    /// Statements; `IF NOT EXISTS` everywhere, since two processes may start at once.
    pub statements: fn() -> Vec<String>,
    /// What stands in for the text in the checksum, without the columns, which may grow.
    pub text: &'static str,
}

pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "cdr and rollups",
    statements: || {
        let mut all = vec![cdr()];
        all.extend(LEANING.iter().map(|s| (*s).to_owned()));
        all
    },
    text: CDR_TAIL,
}];

pub const MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version UInt32, name String, checksum String, \
    applied DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY (version, applied)";

/// Indices: of versions, so that the few rows with a second one are found without reading; of ids, which stand in few
/// places since they are minted in sequence; of the pairs of root and account, for tenants that are sub-accounts.
const CDR_TAIL: &str = "\
    INDEX version_ix cdr_version TYPE minmax GRANULARITY 1, \
    INDEX call_ix call_lo TYPE minmax GRANULARITY 1, \
    INDEX tenant_ix (root_account, account) TYPE set(64) GRANULARITY 1) \
    ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(invite_ts) PRIMARY KEY (root_account, invite_ts) \
    ORDER BY (root_account, invite_ts, call_hi, call_lo, record_type, attempt_no, cdr_version) \
    SETTINGS non_replicated_deduplication_window = 1000";

fn cdr() -> String {
    let columns: String = expected().iter().map(|w| format!("{}, ", w.definition)).collect();
    format!("CREATE TABLE IF NOT EXISTS cdr ({columns}{CDR_TAIL}")
}

/// A column of an up-to-date table `cdr`.
pub struct Wanted {
    pub name: &'static str,
    pub ty: &'static str,
    /// As in CREATE TABLE and ADD COLUMN.
    pub definition: String,
}

pub fn expected() -> Vec<Wanted> {
    let mut all = Vec::new();
    for stored in STORED.iter() {
        for part in &stored.parts {
            let definition = format!("{} {} CODEC({})", part.name, part.ty, part.codec);
            all.push(Wanted { name: &part.name, ty: &part.ty, definition });
        }
        if let Some((ty, expression)) = &stored.alias {
            let name = stored.column.name;
            all.push(Wanted { name, ty, definition: format!("{name} {ty} ALIAS {expression}") });
        }
    }
    all
}

const LEANING: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS rollup (cube UInt8, span UInt32, record_type LowCardinality(String), start Int64, \
     root_account LowCardinality(String), account LowCardinality(String), trunk LowCardinality(String), \
     carrier LowCardinality(String), b_country LowCardinality(String), b_dest_group LowCardinality(String), \
     sell_currency LowCardinality(String), cost_currency LowCardinality(String), revision UInt64, \
     bids UInt128 CODEC(ZSTD(3)), seizures UInt128 CODEC(ZSTD(3)), answered UInt128 CODEC(ZSTD(3)), \
     network_effective UInt128 CODEC(ZSTD(3)), refused UInt128 CODEC(ZSTD(3)), duration_ms UInt128 CODEC(ZSTD(3)), \
     billed_sell_s UInt128 CODEC(ZSTD(3)), billed_cost_s UInt128 CODEC(ZSTD(3)), pdd_ms_sum UInt128 CODEC(ZSTD(3)), \
     pdd Map(UInt64, UInt64) CODEC(ZSTD(3)), sell Int128 CODEC(ZSTD(3)), sell_rows UInt64 CODEC(T64, ZSTD(3)), \
     cost Int128 CODEC(ZSTD(3)), cost_rows UInt64 CODEC(T64, ZSTD(3)), margin Int128 CODEC(ZSTD(3))) \
     ENGINE = ReplacingMergeTree(revision) PARTITION BY intDiv(start, 2592000000000) \
     ORDER BY (cube, span, record_type, start, root_account, account, trunk, carrier, b_country, b_dest_group, \
     sell_currency, cost_currency)",
    "CREATE TABLE IF NOT EXISTS rollup_published (span UInt32, start Int64, revision UInt64) \
     ENGINE = ReplacingMergeTree(revision) ORDER BY (span, start)",
    "CREATE TABLE IF NOT EXISTS rollup_marks (hour Int64, writer String, mark UInt64, closed UInt8, at DateTime DEFAULT now()) \
     ENGINE = ReplacingMergeTree(closed) ORDER BY (hour, writer, mark)",
];

/// The tables a tenant's row policy stands on.
pub const FENCED: &[&str] = &["cdr", "rollup"];
