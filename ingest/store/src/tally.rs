//! Tallies: calls by party and class of calling number, and short ones among those that connected. DataFusion
//! scans the columns this needs, and one pass counts.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{TimestampMicrosecondType, UInt32Type, UInt64Type},
};
use futures::StreamExt;
use tollgate_schemas::store::{StoreError, TallyBy, TallyQuery, TallyRow};

use crate::{
    embedded::Snapshot,
    identity::Kind,
    query::{Engine, Reach, Source, conditions, failed},
    traffic::{cells, missing, texts},
};

const COLUMNS: &[&str] = &["a_validity", "answer_ts", "attempts_total", "count", "duration_ms", "root_account", "test_call"];

impl Engine {
    /// One row for each party and class, in their order.
    pub async fn tally(&self, snapshot: &Snapshot, query: &TallyQuery) -> Result<Vec<TallyRow>, StoreError> {
        let mut counted = Counted { attempts: Kind::parse(&query.filter.record_type)? == Kind::Attempt, query, rows: BTreeMap::new() };
        let reach = Reach::of(&query.filter, None);
        let mut columns = COLUMNS.to_vec();
        columns.push(counted.party());
        for source in [snapshot.memory(reach), Source::Files(snapshot.files(&query.filter, reach)?)] {
            if source.rows() == 0 {
                continue;
            }
            let frame = self.table(source, snapshot, conditions(&query.filter)?, &query.filter)?;
            let mut batches = frame.select_columns(&columns).map_err(failed)?.execute_stream().await.map_err(failed)?;
            while let Some(batch) = batches.next().await {
                counted.add(&batch.map_err(failed)?)?;
            }
        }
        Ok(counted.rows.into_values().collect())
    }
}

struct Counted<'a> {
    attempts: bool,
    query: &'a TallyQuery,
    rows: BTreeMap<(String, String, String), TallyRow>,
}

impl Counted<'_> {
    fn party(&self) -> &'static str {
        match self.query.by {
            TallyBy::Account => "account",
            TallyBy::Carrier => "carrier",
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let (party, root, validity) = (texts(batch, self.party())?, texts(batch, "root_account")?, texts(batch, "a_validity")?);
        let answer = cells::<TimestampMicrosecondType>(batch, "answer_ts")?;
        let attempts = cells::<UInt32Type>(batch, "attempts_total")?;
        let (count, duration) = (cells::<UInt64Type>(batch, "count")?, cells::<UInt64Type>(batch, "duration_ms")?);
        let test = batch.column_by_name("test_call").and_then(|c| c.as_boolean_opt()).ok_or_else(|| missing("test_call"))?;
        let mut key: (String, String, String) = Default::default();
        for i in 0..batch.num_rows() {
            if test.value(i) {
                continue;
            }
            let root = if self.query.by == TallyBy::Account { root.value(i) } else { "" };
            refill(&mut key, [party.value(i), root, validity.value(i)]);
            let row = match self.rows.get_mut(&key) {
                Some(row) => row,
                None => {
                    let new = TallyRow { party: key.0.clone(), root_account: key.1.clone(), a_validity: key.2.clone(), ..TallyRow::default() };
                    self.rows.entry(key.clone()).or_insert(new)
                }
            };
            let calls = count.value(i).max(1);
            row.calls = row.calls.saturating_add(calls);
            if self.attempts || attempts.value(i) > 0 {
                row.delivered = row.delivered.saturating_add(calls);
            }
            let within = |at: i64| self.query.answered_us.is_none_or(|(from, until)| from <= at && at < until);
            if answer.is_valid(i) && within(answer.value(i)) {
                row.connected += 1;
                row.short += u64::from(duration.value(i) <= self.query.short_ms);
            }
        }
        Ok(())
    }
}

/// Keeps what the texts hold in memory from row to row.
fn refill(key: &mut (String, String, String), texts: [&str; 3]) {
    for (old, new) in [&mut key.0, &mut key.1, &mut key.2].into_iter().zip(texts) {
        old.clear();
        old.push_str(new);
    }
}
