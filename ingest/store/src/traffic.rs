//! Traffic reports: DataFusion scans and filters the columns a report needs, and one pass adds them up exactly.
//! Counts and sums are kept in 128 bits and checked when they leave; quantiles are nearest-rank on whole milliseconds.
//!
//! Amounts of two currencies never meet: a row's cost in another currency than its sell price is added to a row of
//! the same group in that currency, which then has amounts only.

use std::collections::HashMap;

use arrow::{
    array::{Array, AsArray, PrimitiveArray, RecordBatch, StringArray},
    datatypes::{ArrowPrimitiveType, Decimal128Type, TimestampMicrosecondType, UInt32Type, UInt64Type},
};
use futures::StreamExt;
use tollgate_schemas::{
    store::{GroupBy, StoreError, TrafficQuery, TrafficRow},
    time,
};

use crate::{
    embedded::Snapshot,
    identity::Kind,
    query::{Engine, Reach, Source, conditions, failed},
};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// What a report reads beside its groups.
const COLUMNS: &[&str] = &[
    "invite_ts", "count", "attempts_total", "disposition", "sip_final_code", "first_18x_ts", "vendor_q850", "duration_ms",
    "billed_sec_sell", "billed_sec_cost", "pdd_ms", "sell_amount", "sell_currency", "cost_amount", "cost_currency",
    "margin_base",
];

impl Engine {
    /// One row for each group and currency, in the groups' order.
    pub async fn traffic(&self, snapshot: &Snapshot, query: &TrafficQuery) -> Result<Vec<TrafficRow>, StoreError> {
        let kind = Kind::parse(&query.filter.record_type)?;
        let reach = Reach::of(&query.filter, None);
        let mut report = Report { kind, group_by: &query.group_by, key: Vec::new(), groups: HashMap::new() };
        let mut columns = COLUMNS.to_vec();
        columns.extend(query.group_by.iter().filter_map(|g| group_column(*g)));
        columns.sort_unstable();
        columns.dedup();
        for source in [snapshot.memory(reach), Source::Files(snapshot.files(&query.filter, reach)?)] {
            if source.rows() == 0 {
                continue;
            }
            let frame = self.table(source, snapshot, conditions(&query.filter)?, &query.filter)?;
            let frame = frame.select_columns(&columns).map_err(failed)?;
            let mut batches = frame.execute_stream().await.map_err(failed)?;
            while let Some(batch) = batches.next().await {
                report.add(&batch.map_err(failed)?)?;
            }
        }
        report.finish()
    }
}

/// The column a group is taken from; hours and days come from `invite_ts`, read anyway.
fn group_column(group: GroupBy) -> Option<&'static str> {
    match group {
        GroupBy::Account => Some("account"),
        GroupBy::Trunk => Some("trunk"),
        GroupBy::Carrier => Some("carrier"),
        GroupBy::Destination => Some("b_dest_group"),
        GroupBy::Country => Some("b_country"),
        GroupBy::Hour | GroupBy::Day => None,
    }
}

#[derive(Default)]
struct Sums {
    bids: u128,
    seizures: u128,
    answered: u128,
    network_effective: u128,
    refused: u128,
    duration_ms: u128,
    billed_sell_s: u128,
    billed_cost_s: u128,
    /// Calls by PDD in milliseconds.
    pdd: HashMap<u64, u64>,
    sell: i128,
    cost: i128,
    margin: i128,
}

struct Report<'a> {
    kind: Kind,
    group_by: &'a [GroupBy],
    /// The group of the row at hand: each value and the currency, with their lengths.
    key: Vec<u8>,
    groups: HashMap<Vec<u8>, Sums>,
}

/// The part of a group's key that one column gives.
enum Part<'a> {
    Text(&'a StringArray),
    Every(i64),
}

impl Report<'_> {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let invite = cells::<TimestampMicrosecondType>(batch, "invite_ts")?;
        let count = cells::<UInt64Type>(batch, "count")?;
        let attempts = cells::<UInt32Type>(batch, "attempts_total")?;
        let disposition = texts(batch, "disposition")?;
        let code = cells::<UInt32Type>(batch, "sip_final_code")?;
        let first_18x = cells::<TimestampMicrosecondType>(batch, "first_18x_ts")?;
        let q850 = cells::<UInt32Type>(batch, "vendor_q850")?;
        let duration = cells::<UInt64Type>(batch, "duration_ms")?;
        let billed_sell = cells::<UInt64Type>(batch, "billed_sec_sell")?;
        let billed_cost = cells::<UInt64Type>(batch, "billed_sec_cost")?;
        let pdd = cells::<UInt64Type>(batch, "pdd_ms")?;
        let (sell, cost) = (cells::<Decimal128Type>(batch, "sell_amount")?, cells::<Decimal128Type>(batch, "cost_amount")?);
        let (sell_currency, cost_currency) = (texts(batch, "sell_currency")?, texts(batch, "cost_currency")?);
        let margin = cells::<Decimal128Type>(batch, "margin_base")?;
        let mut parts = Vec::with_capacity(self.group_by.len());
        for group in self.group_by {
            parts.push(match group_column(*group) {
                Some(name) => Part::Text(texts(batch, name)?),
                None => Part::Every(if *group == GroupBy::Hour { HOUR_US } else { DAY_US }),
            });
        }
        for i in 0..batch.num_rows() {
            self.key.clear();
            for part in &parts {
                match part {
                    Part::Text(values) => push(&mut self.key, values.value(i).as_bytes()),
                    // The sign bit flipped, so that keys sort like times.
                    Part::Every(us) => {
                        let start = invite.value(i).div_euclid(*us) * us;
                        push(&mut self.key, &(start ^ i64::MIN).to_be_bytes());
                    }
                }
            }
            let group = self.key.len();
            // Attempts are what carriers are paid for, calls what customers pay for.
            let own = match self.kind {
                Kind::Attempt => cost_currency.value(i),
                Kind::Final => sell_currency.value(i),
            };
            push(&mut self.key, own.as_bytes());
            let sums = entry(&mut self.groups, &self.key);
            let calls = u128::from(count.value(i).max(1));
            let answered = disposition.value(i) == "answered";
            let seized = self.kind == Kind::Attempt || attempts.value(i) > 0;
            sums.bids += calls;
            if seized {
                sums.seizures += calls;
                let cause = q850.is_valid(i).then(|| q850.value(i));
                if answered || network_effective(code.value(i), first_18x.is_valid(i), cause) {
                    sums.network_effective += calls;
                }
            }
            if answered {
                sums.answered += calls;
            }
            if disposition.value(i) == "blocked" {
                sums.refused += calls;
            }
            sums.duration_ms += u128::from(duration.value(i));
            sums.billed_sell_s += u128::from(billed_sell.value(i));
            sums.billed_cost_s += u128::from(billed_cost.value(i));
            if pdd.is_valid(i) {
                *sums.pdd.entry(pdd.value(i)).or_default() += 1;
            }
            if margin.is_valid(i) {
                sums.margin += margin.value(i);
            }
            for (amount, currency, is_sell) in
                [(sell.value(i), sell_currency.value(i), true), (cost.value(i), cost_currency.value(i), false)]
            {
                if amount == 0 {
                    continue;
                }
                self.key.truncate(group);
                push(&mut self.key, currency.as_bytes());
                let sums = entry(&mut self.groups, &self.key);
                if is_sell {
                    sums.sell += amount;
                } else {
                    sums.cost += amount;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<TrafficRow>, StoreError> {
        let mut rows = Vec::with_capacity(self.groups.len());
        for (key, sums) in self.groups {
            let mut group = Vec::with_capacity(self.group_by.len());
            let mut rest = key.as_slice();
            for by in self.group_by {
                let value = pop(&mut rest);
                group.push(match by {
                    GroupBy::Hour | GroupBy::Day => {
                        let start = value.try_into().map(i64::from_be_bytes).unwrap_or(0) ^ i64::MIN;
                        time::format_rfc3339(start)
                    }
                    _ => String::from_utf8_lossy(value).into_owned(),
                });
            }
            let currency = String::from_utf8_lossy(pop(&mut rest)).into_owned();
            rows.push(row(group, currency, sums)?);
        }
        rows.sort_unstable_by(|a, b| (&a.group, &a.currency).cmp(&(&b.group, &b.currency)));
        Ok(rows)
    }
}

/// M-03 beyond answered calls: the callee was reached, or hung up, or let it ring.
fn network_effective(code: u32, rang: bool, q850: Option<u32>) -> bool {
    match code {
        486 | 600 | 603 => true,
        480 | 408 => rang || matches!(q850, Some(18..=20)),
        487 => rang,
        _ => false,
    }
}

fn row(group: Vec<String>, currency: String, s: Sums) -> Result<TrafficRow, StoreError> {
    let too_large = || StoreError::BadQuery("a sum of this report does not fit 64 bits; narrow the time".into());
    let natural = |n: u128| u64::try_from(n).map_err(|_| too_large());
    let amount = |n: i128| i64::try_from(n).map_err(|_| too_large());
    let mut pdd: Vec<(u64, u64)> = s.pdd.into_iter().collect();
    pdd.sort_unstable();
    let pdd_count: u64 = pdd.iter().map(|(_, n)| n).sum();
    Ok(TrafficRow {
        group,
        currency,
        bids: natural(s.bids)?,
        seizures: natural(s.seizures)?,
        answered: natural(s.answered)?,
        network_effective: natural(s.network_effective)?,
        refused: natural(s.refused)?,
        duration_ms: natural(s.duration_ms)?,
        billed_sell_s: natural(s.billed_sell_s)?,
        billed_cost_s: natural(s.billed_cost_s)?,
        pdd_ms_sum: natural(pdd.iter().map(|(ms, n)| u128::from(*ms) * u128::from(*n)).sum())?,
        pdd_count,
        pdd_ms_p50: nearest_rank(&pdd, pdd_count, 50),
        pdd_ms_p95: nearest_rank(&pdd, pdd_count, 95),
        sell_e8: amount(s.sell)?,
        cost_e8: amount(s.cost)?,
        margin_e8: amount(s.margin)?,
    })
}

/// The least value that at least `percent` of `count` values do not exceed; `counts` is sorted by value.
fn nearest_rank(counts: &[(u64, u64)], count: u64, percent: u64) -> Option<u64> {
    let rank = (u128::from(count) * u128::from(percent)).div_ceil(100);
    let mut seen = 0u128;
    counts.iter().find(|(_, n)| {
        seen += u128::from(*n);
        seen >= rank
    }).map(|(value, _)| *value)
}

fn entry<'a>(groups: &'a mut HashMap<Vec<u8>, Sums>, key: &[u8]) -> &'a mut Sums {
    if !groups.contains_key(key) {
        groups.insert(key.to_vec(), Sums::default());
    }
    match groups.get_mut(key) {
        Some(sums) => sums,
        None => unreachable!("just inserted"),
    }
}

fn push(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u32).to_be_bytes());
    key.extend_from_slice(part);
}

/// What `push` pushed first.
fn pop<'a>(key: &mut &'a [u8]) -> &'a [u8] {
    let Some((len, rest)) = key.split_first_chunk::<4>() else { return &[] };
    let (part, rest) = rest.split_at(rest.len().min(u32::from_be_bytes(*len) as usize));
    *key = rest;
    part
}

pub(crate) fn missing(name: &str) -> StoreError {
    StoreError::Corrupt(format!("a batch has no usable column {name}"))
}

pub(crate) fn cells<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Result<&'a PrimitiveArray<T>, StoreError> {
    batch.column_by_name(name).and_then(|c| c.as_primitive_opt()).ok_or_else(|| missing(name))
}

pub(crate) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, StoreError> {
    batch.column_by_name(name).and_then(|c| c.as_string_opt()).ok_or_else(|| missing(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m_05_quantiles_are_nearest_rank() {
        let counts = |values: &[u64]| values.iter().map(|v| (*v, 1)).collect::<Vec<_>>();
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(nearest_rank(&counts(&hundred), 100, 50), Some(50));
        assert_eq!(nearest_rank(&counts(&hundred), 100, 95), Some(95));
        assert_eq!(nearest_rank(&counts(&[7]), 1, 95), Some(7));
        assert_eq!(nearest_rank(&[(10, 19), (20, 1)], 20, 95), Some(10));
        assert_eq!(nearest_rank(&[(10, 18), (20, 2)], 20, 95), Some(20));
        assert_eq!(nearest_rank(&[], 0, 50), None);
    }

    #[test]
    fn m_03_network_effective_codes() {
        for (code, rang, cause, want) in [
            (486, false, None, true), (600, false, None, true), (603, false, None, true), (480, true, None, true),
            (480, false, None, false), (480, false, Some(19), true), (408, false, Some(18), true), (408, false, Some(102), false),
            (487, true, None, true), (487, false, Some(20), false), (404, true, Some(1), false), (503, true, None, false),
        ] {
            assert_eq!(network_effective(code, rang, cause), want, "{code} {rang} {cause:?}");
        }
    }
}
