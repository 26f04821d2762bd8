//! Sums by hour and by day. They are always recomputed from current rows and replaced whole by a higher revision; nothing is
//! ever added to them, so a row that came twice or got a new version cannot be counted twice.
//!
//! Who may be believed is decided by marks. Before a writer's first row of an hour it writes a mark for that hour; when
//! nothing was written to the hour for a while it takes the mark off its list (a later row brings a new one), sums the hour
//! up, publishes the revision, and closes the mark. A report takes an hour from here if it is published and none of
//! its marks is open: then every row written before is in the sums. Any other time is summed from rows.
//!
//! A writer that died leaves its marks open; under the same name it takes them up again at its start, and anyone's that
//! are a day old. Until then those hours cost a scan, no more.

mod cubes;
mod marks;
mod plan;

pub use cubes::{CUBES, Cube};
pub use marks::Marks;
pub use plan::Plan;

use std::time::{Duration, Instant};

use tollgate_schemas::{
    cdr::{ATTEMPT, FINAL},
    store::{CdrFilter, StoreError},
};

use crate::{
    client::{Bound, Sql},
    migrate::broken,
    rowbinary::Reader,
    scope::{self, Scope},
    store::Inner,
    traffic::{ROW_TERMS, SUMS, start},
};

pub const HOUR_US: i64 = 3_600_000_000;
pub const DAY_US: i64 = 24 * HOUR_US;
pub const HOUR_S: u64 = 3_600;
pub const DAY_S: u64 = 86_400;

/// Hours summed up by one statement: what it holds in memory is bounded by their groups.
const AT_ONCE: usize = 24;

pub fn hour_of(us: i64) -> i64 {
    us.div_euclid(HOUR_US) * HOUR_US
}

pub fn day_of(us: i64) -> i64 {
    us.div_euclid(DAY_US) * DAY_US
}

impl Inner {
    /// Sums up the hours that were left alone for `quiet`. One at a time: the caller holds the turn.
    pub async fn settle(&self, quiet: Duration) -> Result<usize, StoreError> {
        let _turn = self.settling.lock().await;
        let taken = self.marks.lock().await.take_quiet(quiet, Instant::now());
        let mut done = 0;
        for hours in taken.chunks(AT_ONCE) {
            let starts: Vec<i64> = hours.iter().map(|(hour, _)| *hour).collect();
            let summed = match self.sum_up(&starts).await {
                Ok(()) => self.close(hours).await,
                Err(e) => Err(e),
            };
            if let Err(e) = summed {
                let mut marks = self.marks.lock().await;
                taken[done..].iter().for_each(|(hour, open)| marks.put_back(*hour, open.clone()));
                return Err(e);
            }
            done += hours.len();
            self.sum_up_days(&starts).await?;
        }
        Ok(done)
    }

    /// Sums up again every hour that has rows between the two times. For hours written by other means than this store.
    pub async fn recompute(&self, since_us: i64, until_us: i64) -> Result<usize, StoreError> {
        let _turn = self.settling.lock().await;
        let filter = CdrFilter { record_type: FINAL.into(), since_us: Some(since_us), until_us: Some(until_us), ..CdrFilter::default() };
        let scope = self.scope(&filter)?;
        let mut sql = Sql::new(format!("SELECT DISTINCT {} AS h FROM cdr WHERE invite_ts >= ", start(HOUR_US)));
        scope::time(&mut sql, scope.since_us);
        sql.push(" AND invite_ts < ");
        scope::time(&mut sql, scope.until_us);
        sql.push(" ORDER BY h");
        let answer = scope.server.fetch(&sql).await?;
        let mut from = Reader(&answer);
        let mut hours = Vec::new();
        while !from.is_empty() {
            hours.push(from.i64().map_err(broken)?);
        }
        for hours in hours.chunks(AT_ONCE) {
            self.sum_up(hours).await?;
            self.sum_up_days(hours).await?;
        }
        Ok(hours.len())
    }

    async fn sum_up(&self, hours: &[i64]) -> Result<(), StoreError> {
        // Taken before the rows are read: of two that sum up at the same time the later reader wins.
        let revision = self.revision().await?;
        let sums: String = SUMS.iter().map(|(name, of)| format!(", {of} AS s_{name}")).collect();
        let times: Vec<(i64, i64)> = hours.iter().map(|h| (*h, h.saturating_add(HOUR_US))).collect();
        for kind in [FINAL, ATTEMPT] {
            let scope = self.scope(&CdrFilter { record_type: kind.into(), ..CdrFilter::default() })?;
            for cube in CUBES {
                let keys = cube.keys();
                let mut sql = Sql::new(into_rollup(&keys));
                sql.push(&format!(" {ROW_TERMS}SELECT {}, {HOUR_S}, '{kind}', {} AS h, {keys}, ", cube.number, start(HOUR_US)));
                sql.bind(Bound::UInt(revision)).push(&sums).append(&scope.current(&times)).push(&format!(" GROUP BY h, {keys}"));
                scope.server.execute(&sql).await?;
            }
        }
        self.publish(HOUR_S, hours, revision).await
    }

    /// The days of these hours, from their hours, if none of a day's hours is open.
    async fn sum_up_days(&self, hours: &[i64]) -> Result<(), StoreError> {
        let mut days: Vec<i64> = hours.iter().map(|h| day_of(*h)).collect();
        days.sort_unstable();
        days.dedup();
        for day in days {
            let revision = self.revision().await?;
            let state = self.published(day, day.saturating_add(DAY_US)).await?;
            // Over a month of open hours in a row is no normal day's end: one open hour, and the day waits.
            if !state.dirty.is_empty() {
                continue;
            }
            let pairs: Vec<(i64, u64)> = state.hours.iter().map(|(h, r)| (*h, *r)).collect();
            let server = self.scope(&CdrFilter { record_type: FINAL.into(), ..CdrFilter::default() })?.server;
            for cube in CUBES {
                let keys = cube.keys();
                let sums: String = SUMS
                    .iter()
                    .map(|(name, _)| if *name == "pdd" { ", sumMap(pdd) AS s_pdd".to_owned() } else { format!(", sum({name}) AS s_{name}") })
                    .collect();
                let mut sql = Sql::new(into_rollup(&keys));
                sql.push(&format!(" SELECT {}, {DAY_S}, record_type, ", cube.number)).bind(Bound::Int(day));
                sql.push(&format!(", {keys}, ")).bind(Bound::UInt(revision)).push(&sums);
                sql.push(&format!(" FROM rollup WHERE cube = {} AND span = {HOUR_S} AND (start, revision) IN (SELECT arrayJoin(", cube.number));
                sql.bind(Bound::Pairs(pairs.clone())).push(&format!(")) GROUP BY record_type, {keys}"));
                server.execute(&sql).await?;
            }
            self.publish(DAY_S, &[day], revision).await?;
        }
        Ok(())
    }

    async fn publish(&self, span: u64, starts: &[i64], revision: u64) -> Result<(), StoreError> {
        let mut sql = Sql::new(format!("INSERT INTO rollup_published (span, start, revision) SELECT {span}, arrayJoin("));
        sql.bind(Bound::Ints(starts.to_vec())).push("), ").bind(Bound::UInt(revision));
        self.server.execute(&sql).await
    }

    /// Of the server's clock, with the writer's name in the low bits, so that two writers cannot have the same.
    pub async fn revision(&self) -> Result<u64, StoreError> {
        let answer = self.server.fetch(&Sql::new("SELECT toUInt64(toUnixTimestamp64Micro(now64(6)))")).await?;
        let us = Reader(&answer).u64().map_err(broken)?;
        Ok((us << 8) | u64::from(blake3::hash(self.options.writer.as_bytes()).as_bytes()[0]))
    }

    pub fn unfiltered(&self) -> Result<Scope, StoreError> {
        self.scope(&CdrFilter { record_type: FINAL.into(), ..CdrFilter::default() })
    }
}

fn into_rollup(dimensions: &str) -> String {
    let sums: String = SUMS.iter().map(|(name, _)| format!(", {name}")).collect();
    format!("INSERT INTO rollup (cube, span, record_type, start, {dimensions}, revision{sums})")
}
