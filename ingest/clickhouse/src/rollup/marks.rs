//! Which hours this writer has open, and the marks that say so in the database.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tollgate_schemas::{cdr::Cdr, id::Id, store::StoreError};

use crate::{
    client::{Bound, Sql},
    migrate::broken,
    rollup::HOUR_US,
    rowbinary::Reader,
    scope::halves,
    store::Inner,
    traffic::start,
};

/// A mark is renewed when so old, before others may take it for a dead writer's, at [`ABANDONED`].
const RENEW: Duration = Duration::from_secs(6 * 3_600);
const ABANDONED: &str = "INTERVAL 24 HOUR";
/// Hours open at once; a batch with more of them than this beyond is written all the same, its hours are summed sooner.
pub const MOST_OPEN: usize = 4_096;

/// An hour being written to.
#[derive(Debug, Clone)]
pub struct Open {
    /// Whose mark and its number: one's own, or those taken over.
    pub marks: Vec<(String, u64)>,
    pub marked: Instant,
    pub last_write: Instant,
    pub in_flight: u32,
}

#[derive(Debug, Default)]
pub struct Marks {
    open: HashMap<i64, Open>,
    next: u64,
}

impl Marks {
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes the hours off the list that nobody writes to, oldest first.
    pub fn take_quiet(&mut self, quiet: Duration, now: Instant) -> Vec<(i64, Open)> {
        let full = self.open.len() > MOST_OPEN;
        let is_quiet = |o: &Open| o.in_flight == 0 && (full || now.saturating_duration_since(o.last_write) >= quiet);
        let mut hours: Vec<i64> = self.open.iter().filter(|(_, o)| is_quiet(o)).map(|(h, _)| *h).collect();
        hours.sort_unstable();
        hours.into_iter().filter_map(|h| self.open.remove(&h).map(|o| (h, o))).collect()
    }

    /// After a failure: the marks are still open, beside one that a write may have brought since.
    pub fn put_back(&mut self, hour: i64, old: Open) {
        match self.open.get_mut(&hour) {
            Some(open) => open.marks.extend(old.marks),
            None => {
                self.open.insert(hour, old);
            }
        }
    }

    pub fn written(&mut self, hours: &HashSet<i64>) {
        for hour in hours {
            if let Some(open) = self.open.get_mut(hour) {
                open.in_flight = open.in_flight.saturating_sub(1);
                open.last_write = Instant::now();
            }
        }
    }
}

impl Inner {
    /// Marks the hours, durably, before rows of theirs are written; [`Marks::written`] follows.
    pub async fn mark(&self, hours: &HashSet<i64>) -> Result<(), StoreError> {
        if hours.is_empty() {
            return Ok(());
        }
        let mut marks = self.marks.lock().await;
        let now = Instant::now();
        let fresh = |o: &Open| now.saturating_duration_since(o.marked) < RENEW;
        let missing: Vec<i64> = hours.iter().copied().filter(|h| !marks.open.get(h).is_some_and(fresh)).collect();
        if !missing.is_empty() {
            if marks.next == 0 {
                // Not a number of this writer's earlier life.
                marks.next = self.revision().await?;
            }
            marks.next += 1;
            let mark = marks.next;
            self.insert_marks(&missing, &self.options.writer, mark, 0).await?;
            for hour in missing {
                let open = marks.open.entry(hour).or_insert(Open { marks: Vec::new(), marked: now, last_write: now, in_flight: 0 });
                open.marks.push((self.options.writer.clone(), mark));
                open.marked = now;
            }
        }
        for hour in hours {
            if let Some(open) = marks.open.get_mut(hour) {
                open.in_flight += 1;
            }
        }
        Ok(())
    }

    /// The hours that other versions of these rows are in: a correction may move a call, and its old hour must then be
    /// summed up again without it. Rows of a first version move nothing.
    pub async fn hours_revised(&self, rows: &[Arc<Cdr>]) -> Result<HashSet<i64>, StoreError> {
        let revised: Vec<(u64, u64)> = rows.iter().filter(|r| r.cdr_version > 1).map(|r| halves(Id::of(&r.call_uuid))).collect();
        let mut hours = HashSet::new();
        for calls in revised.chunks(2_000) {
            let (hi, lo): (Vec<u64>, Vec<u64>) = calls.iter().copied().unzip();
            let (Some(least), Some(most)) = (lo.iter().min().copied(), lo.iter().max().copied()) else { continue };
            let mut sql = Sql::new(format!("SELECT DISTINCT {} FROM cdr WHERE call_lo >= ", start(HOUR_US)));
            sql.bind(Bound::UInt(least)).push(" AND call_lo <= ").bind(Bound::UInt(most));
            sql.push(" AND (call_hi, call_lo) IN (SELECT arrayJoin(arrayZip(").bind(Bound::UInts(hi)).push(", ");
            sql.bind(Bound::UInts(lo)).push(")))");
            let answer = self.server.fetch(&sql).await?;
            let mut from = Reader(&answer);
            while !from.is_empty() {
                hours.insert(from.i64().map_err(broken)?);
            }
        }
        Ok(hours)
    }

    async fn insert_marks(&self, hours: &[i64], writer: &str, mark: u64, closed: u64) -> Result<(), StoreError> {
        // A bound value has a limit at the server, 128 KB.
        for hours in hours.chunks(2_000) {
            let mut sql = Sql::new("INSERT INTO rollup_marks (hour, writer, mark, closed) SELECT arrayJoin(");
            sql.bind(Bound::Ints(hours.to_vec())).push("), ").bind(Bound::Text(writer.into())).push(", ");
            sql.bind(Bound::UInt(mark)).push(", ").bind(Bound::UInt(closed));
            self.server.execute(&sql).await?;
        }
        Ok(())
    }

    pub async fn close(&self, hours: &[(i64, Open)]) -> Result<(), StoreError> {
        // Mostly many hours have one mark in common.
        let mut by_mark: HashMap<&(String, u64), Vec<i64>> = HashMap::new();
        for (hour, open) in hours {
            open.marks.iter().for_each(|mark| by_mark.entry(mark).or_default().push(*hour));
        }
        for ((writer, mark), hours) in by_mark {
            self.insert_marks(&hours, writer, *mark, 1).await?;
        }
        Ok(())
    }

    /// At the start: what this writer left open, and what others left a day ago.
    pub async fn take_over(&self) -> Result<(), StoreError> {
        let mut sql = Sql::new("SELECT hour, writer, mark FROM rollup_marks GROUP BY hour, writer, mark HAVING max(closed) = 0 AND (writer = ");
        sql.bind(Bound::Text(self.options.writer.clone())).push(&format!(" OR min(at) < now() - {ABANDONED})"));
        let answer = self.server.fetch(&sql).await?;
        let mut from = Reader(&answer);
        let mut marks = self.marks.lock().await;
        let now = Instant::now();
        // A mark taken over is no own mark: the first write to the hour brings one.
        let long_ago = now.checked_sub(RENEW).unwrap_or(now);
        while !from.is_empty() {
            let hour = from.i64().map_err(broken)?;
            let writer = from.text().map_err(broken)?.to_owned();
            let mark = from.u64().map_err(broken)?;
            let open = marks.open.entry(hour).or_insert(Open { marks: Vec::new(), marked: long_ago, last_write: now, in_flight: 0 });
            open.marks.push((writer, mark));
        }
        Ok(())
    }
}
