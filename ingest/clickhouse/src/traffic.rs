//! Traffic reports: counts, integer sums of 128 bits and exact quantiles, as every store defines them; what leaves is
//! checked to fit 64 bits. Hours and days that are summed up and not written to since come from the rollups, the rest of
//! the time asked for from rows, in one query.
//!
//! Amounts of two currencies never meet: the server groups by both currencies of a row; here a row's cost in another currency
//! than its sell price is added to a row of the same group in that currency, which then has amounts only.

use std::collections::BTreeMap;

use tollgate_schemas::{
    cdr::ATTEMPT,
    store::{GroupBy, StoreError, TrafficQuery, TrafficRow},
    time,
};

use crate::{
    client::Sql,
    migrate::broken,
    rollup::{self, DAY_US, HOUR_US},
    rowbinary::{Broken, Reader},
    scope::Scope,
    store::Inner,
};

/// What is summed: (name, of a row, type). `calls` is the row's count. NER's numerator is M-03.
pub const SUMS: &[(&str, &str)] = &[
    ("bids", "sum(toUInt128(calls))"),
    ("seizures", "sumIf(toUInt128(calls), seized)"),
    ("answered", "sumIf(toUInt128(calls), disposition = 'answered')"),
    ("network_effective", "sumIf(toUInt128(calls), seized AND effective)"),
    ("refused", "sumIf(toUInt128(calls), disposition = 'blocked')"),
    ("duration_ms", "sum(toUInt128(duration_ms))"),
    ("billed_sell_s", "sum(toUInt128(billed_sec_sell))"),
    ("billed_cost_s", "sum(toUInt128(billed_sec_cost))"),
    ("pdd_ms_sum", "sum(toUInt128(ifNull(pdd_ms, 0)))"),
    ("pdd", "sumMapIf(map(assumeNotNull(pdd_ms), toUInt64(1)), isNotNull(pdd_ms))"),
    ("sell", "sum(toInt128(reinterpretAsInt64(sell_amount)))"),
    ("sell_rows", "countIf(sell_amount != 0)"),
    ("cost", "sum(toInt128(reinterpretAsInt64(cost_amount)))"),
    ("cost_rows", "countIf(cost_amount != 0)"),
    ("margin", "sum(toInt128(ifNull(reinterpretAsInt64(margin_base), 0)))"),
];

/// Names the sums lean on, for a row.
pub const ROW_TERMS: &str = "WITH greatest(count, 1) AS calls, (record_type = 'attempt' OR attempts_total > 0) AS seized, \
    isNotNull(first_18x_ts) AS rang, \
    (disposition = 'answered' OR sip_final_code IN (486, 600, 603) OR sip_final_code = 487 AND rang \
     OR sip_final_code IN (480, 408) AND (rang OR ifNull(vendor_q850 IN (18, 19, 20), false))) AS effective ";

/// The start of the row's hour or day, microseconds.
pub fn start(span_us: i64) -> String {
    format!("reinterpretAsInt64(invite_ts) - positiveModulo(reinterpretAsInt64(invite_ts), {span_us})")
}

/// The column a group is taken from; hours and days come from the time.
pub fn group_column(group: GroupBy) -> Option<&'static str> {
    match group {
        GroupBy::Account => Some("account"),
        GroupBy::Trunk => Some("trunk"),
        GroupBy::Carrier => Some("carrier"),
        GroupBy::Destination => Some("b_dest_group"),
        GroupBy::Country => Some("b_country"),
        GroupBy::Hour | GroupBy::Day => None,
    }
}

impl Inner {
    /// One row for each group and currency, in the groups' order. `rollups`: whether they may be used.
    pub async fn traffic(&self, query: &TrafficQuery, rollups: bool) -> Result<Vec<TrafficRow>, StoreError> {
        let scope = self.scope(&query.filter)?;
        let plan = if rollups { self.plan(&scope, query).await? } else { None };
        let sql = report(&scope, query, plan.as_ref());
        let answer = scope.server.fetch(&sql).await?;
        let attempts = query.filter.record_type == ATTEMPT;
        let mut folded = Folded::default();
        let mut from = Reader(&answer);
        while !from.is_empty() {
            folded.take(&mut from, &query.group_by, attempts).map_err(broken)?;
        }
        folded.finish()
    }
}

fn report(scope: &Scope, query: &TrafficQuery, plan: Option<&rollup::Plan>) -> Sql {
    let names: Vec<String> = (0..query.group_by.len()).map(|i| format!("g{i}")).collect();
    let groups = |of: &dyn Fn(GroupBy) -> String| -> String {
        query.group_by.iter().zip(&names).map(|(by, name)| format!("toString({}) AS {name}, ", of(*by))).collect()
    };
    let keys: String = names.iter().map(|n| format!("{n}, ")).collect();
    let sums: String = SUMS.iter().map(|(name, of)| format!(", {of} AS s_{name}")).collect();

    let of_row = |by: GroupBy| match by {
        GroupBy::Hour => start(HOUR_US),
        GroupBy::Day => start(DAY_US),
        by => group_column(by).unwrap_or("").to_owned(),
    };
    let times = plan.map_or_else(|| scope.times(), |p| p.rows.clone());
    let mut inner = Sql::new(format!("{ROW_TERMS}SELECT {}toString(sell_currency) AS c_sell, toString(cost_currency) AS c_cost{sums}", groups(&of_row)));
    inner.append(&scope.current(&times)).push(&format!(" GROUP BY {keys}c_sell, c_cost"));
    if let Some(plan) = plan {
        let of_rollup = |by: GroupBy| match by {
            GroupBy::Hour => "start".to_owned(),
            GroupBy::Day => format!("start - positiveModulo(start, {DAY_US})"),
            by => group_column(by).unwrap_or("").to_owned(),
        };
        let sums: String = SUMS.iter().map(|(name, _)| format!(", {} AS s_{name}", merged(name, name))).collect();
        inner.push(&format!(" UNION ALL SELECT {}toString(sell_currency) AS c_sell, toString(cost_currency) AS c_cost{sums} FROM rollup", groups(&of_rollup)));
        inner.append(&plan.conditions).push(&format!(" GROUP BY {keys}c_sell, c_cost"));
    }
    // Over both parts, then over the currencies a group does not count in, for the quantiles: nearest rank, M-05.
    let own = if query.filter.record_type == ATTEMPT { "c_cost" } else { "c_sell" };
    let both: String = SUMS.iter().map(|(name, _)| format!(", {} AS t_{name}", merged(name, &format!("s_{name}")))).collect();
    let rank = |percent: u32| {
        format!("toUInt64(sorted[arrayFirstIndex(s -> toUInt128(s) >= intDiv(toUInt128(n) * {percent} + 99, 100), seen)].1)")
    };
    let (p50, p95) = (rank(50), rank(95));
    let mut sql = Sql::new(format!(
        "WITH arraySort(arrayZip(mapKeys(pdd), mapValues(pdd))) AS sorted, arrayCumSum(x -> x.2, sorted) AS seen, \
         if(empty(seen), 0, seen[-1]) AS n \
         SELECT {keys}toUInt64(n), {p50}, {p95}, currencies FROM (SELECT {keys}{own} AS own, sumMap(t_pdd) AS pdd, \
         groupArray((c_sell, c_cost, t_bids, t_seizures, t_answered, t_network_effective, t_refused, t_duration_ms, \
         t_billed_sell_s, t_billed_cost_s, t_pdd_ms_sum, t_sell, t_sell_rows, t_cost, t_cost_rows, t_margin)) AS currencies \
         FROM (SELECT {keys}c_sell, c_cost{both} FROM ("
    ));
    sql.append(&inner).push(&format!(") GROUP BY {keys}c_sell, c_cost) GROUP BY {keys}own)"));
    sql
}

/// How sums of parts become the sum of the whole.
fn merged(name: &str, column: &str) -> String {
    if name == "pdd" { format!("sumMap({column})") } else { format!("sum({column})") }
}

#[derive(Default)]
struct Sums {
    naturals: [u128; 9],
    pdd_count: u64,
    pdd_ms_p50: Option<u64>,
    pdd_ms_p95: Option<u64>,
    sell: i128,
    cost: i128,
    margin: i128,
}

#[derive(Default)]
struct Folded(BTreeMap<(Vec<String>, String), Sums>);

impl Folded {
    /// One group in its own currency, with its sums for each pair of currencies.
    fn take(&mut self, from: &mut Reader<'_>, group_by: &[GroupBy], attempts: bool) -> Result<(), Broken> {
        let mut group = Vec::with_capacity(group_by.len());
        for by in group_by {
            let value = from.text()?;
            group.push(match by {
                GroupBy::Hour | GroupBy::Day => time::format_rfc3339(value.parse().map_err(|_| Broken::Value(by.name()))?),
                _ => value.to_owned(),
            });
        }
        let (n, p50, p95) = (from.u64()?, from.u64()?, from.u64()?);
        for _ in 0..from.length()? {
            let (sell_currency, cost_currency) = (from.text()?.to_owned(), from.text()?.to_owned());
            let mut naturals = [0; 9];
            for natural in &mut naturals {
                *natural = from.u128()?;
            }
            let (sell, sell_rows, cost, cost_rows, margin) = (from.i128()?, from.u64()?, from.i128()?, from.u64()?, from.i128()?);
            let own = if attempts { &cost_currency } else { &sell_currency };
            let sums = self.0.entry((group.clone(), own.clone())).or_default();
            sums.naturals.iter_mut().zip(naturals).for_each(|(a, b)| *a = a.wrapping_add(b));
            (sums.pdd_count, sums.pdd_ms_p50, sums.pdd_ms_p95) = (n, (n > 0).then_some(p50), (n > 0).then_some(p95));
            sums.margin = sums.margin.wrapping_add(margin);
            if sell_rows > 0 {
                let sums = self.0.entry((group.clone(), sell_currency)).or_default();
                sums.sell = sums.sell.wrapping_add(sell);
            }
            if cost_rows > 0 {
                let sums = self.0.entry((group.clone(), cost_currency)).or_default();
                sums.cost = sums.cost.wrapping_add(cost);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<TrafficRow>, StoreError> {
        self.0.into_iter().map(|((group, currency), sums)| row(group, currency, &sums)).collect()
    }
}

fn row(group: Vec<String>, currency: String, s: &Sums) -> Result<TrafficRow, StoreError> {
    let too_large = || StoreError::BadQuery("a sum of this report does not fit 64 bits; narrow the time".into());
    let natural = |i: usize| u64::try_from(s.naturals[i]).map_err(|_| too_large());
    let amount = |n: i128| i64::try_from(n).map_err(|_| too_large());
    Ok(TrafficRow {
        group,
        currency,
        bids: natural(0)?,
        seizures: natural(1)?,
        answered: natural(2)?,
        network_effective: natural(3)?,
        refused: natural(4)?,
        duration_ms: natural(5)?,
        billed_sell_s: natural(6)?,
        billed_cost_s: natural(7)?,
        pdd_ms_sum: natural(8)?,
        pdd_count: s.pdd_count,
        pdd_ms_p50: s.pdd_ms_p50,
        pdd_ms_p95: s.pdd_ms_p95,
        sell_e8: amount(s.sell)?,
        cost_e8: amount(s.cost)?,
        margin_e8: amount(s.margin)?,
    })
}
