//! `/v1/reports`, traffic: the store's counts and sums with the ratios of the trade (M-01 … M-05, M-10), made here so
//! that every store gives the same ones: exact decimals, rounded half away from zero to two places; null without a
//! denominator.

pub(crate) mod cpn;
pub(crate) mod short_calls;

use axum::http::{HeaderValue, header};
use chrono::Datelike;
use futures::FutureExt;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Map, Value, json};
use tollgate_schemas::{
    cdr,
    csv_text::{cell, header_line},
    money::format_amount,
    store::{GroupBy, TrafficQuery, TrafficRow},
    time::format_rfc3339,
};

use crate::{ApiState, ask::{Ask, Query}, auth::Key, cdrs, problem::Error, render, route::Reply};

/// Groups of one report; more is a mistake in the question.
const ROWS: usize = 10_000;
/// Fields about what calls cost, absent for who may not see them.
const WHOLESALE: [&str; 4] = ["billed_cost_s", "cost", "margin", "margin_pct"];

pub(crate) fn traffic(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let group_by: Vec<GroupBy> = ask.query.text("group_by").unwrap_or("account").split(',').filter_map(GroupBy::from_name).collect();
        let mut filter = cdrs::filter(&ask.query, &caller)?;
        let by_carrier = group_by.contains(&GroupBy::Carrier);
        if by_carrier && !caller.sees_costs() {
            return Err(Error::forbidden(format!("key '{}' does not see carriers: it has no scope 'costs'", caller.id)));
        }
        // What a carrier did with a call is told by attempts; a call's final knows only the last one (M-01).
        let vendor = by_carrier || filter.carrier.is_some();
        filter.record_type = if vendor { cdr::ATTEMPT } else { cdr::FINAL }.to_owned();
        let (since, until) = (filter.since_us, filter.until_us);
        let rows = state.parts.cdrs.traffic(TrafficQuery { filter, group_by: group_by.clone() }).await?;
        // A group has a row for each currency that carriers are paid in, too: nothing for who does not see costs.
        let seen = |r: &TrafficRow| caller.sees_costs() || r.bids != 0 || r.sell_e8 != 0;
        let rows: Vec<TrafficRow> = rows.into_iter().filter(seen).collect();
        if rows.len() > ROWS {
            return Err(Error::bad_parameter("group_by", format!("{} groups, more than {ROWS}; group or span less", rows.len())));
        }
        let names: Vec<&str> = group_by.iter().map(|g| g.name()).collect();
        let items: Vec<Map<String, Value>> = rows.iter().map(|r| row(&names, r, &caller)).collect();
        if ask.query.text("format") == Some("csv") {
            return Ok(csv(&names, &items, &caller));
        }
        Ok(render::json_response(&json!({
            "scope": if vendor { "vendor" } else { "customer" },
            "measurement_point": if vendor {
                "attempts at our egress edge: from the INVITE sent to the carrier; hunted attempts count each"
            } else {
                "calls at our ingress edge: from the INVITE received; includes dips and hunting"
            },
            "rounding": "half away from zero, two places",
            "since": since.map(format_rfc3339),
            "until": until.map(format_rfc3339),
            "group_by": names,
            "items": items,
            "totals": totals(&rows, &caller),
            "next_cursor": null,
        })))
    }
    .boxed()
}

/// `100 · part / whole` and the like: `factor · part / whole` to two places; none when `whole` is 0 or the result is
/// beyond what a decimal holds.
fn ratio(part: impl Into<Decimal>, whole: impl Into<Decimal>, factor: i64) -> Option<String> {
    let value = part.into().checked_mul(Decimal::from(factor))?.checked_div(whole.into())?;
    let mut rounded = value.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(2);
    Some(if rounded.is_zero() { "0.00".to_owned() } else { rounded.to_string() })
}

fn row(names: &[&str], r: &TrafficRow, caller: &Key) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in names.iter().zip(&r.group) {
        out.insert((*name).to_owned(), value.as_str().into());
    }
    figures(r, caller, &mut out);
    out
}

fn figures(r: &TrafficRow, caller: &Key, out: &mut Map<String, Value>) {
    let fields = json!({
        "currency": r.currency,
        "calls": r.bids.saturating_sub(r.refused),
        "bids": r.bids,
        "refused": r.refused,
        "seizures": r.seizures,
        "answered": r.answered,
        "asr": ratio(r.answered, r.seizures, 100),
        "ner": ratio(r.network_effective, r.seizures, 100),
        "abr": ratio(r.answered, r.bids, 100),
        "acd_s": ratio(r.duration_ms, Decimal::from(r.answered) * Decimal::ONE_THOUSAND, 1),
        "pdd_ms_avg": ratio(r.pdd_ms_sum, r.pdd_count, 1),
        "pdd_ms_p50": r.pdd_ms_p50,
        "pdd_ms_p95": r.pdd_ms_p95,
        "minutes": ratio(r.duration_ms, 60_000, 1),
        "billed_sell_s": r.billed_sell_s,
        "billed_cost_s": r.billed_cost_s,
        "revenue": format_amount(r.sell_e8),
        "cost": format_amount(r.cost_e8),
        "margin": format_amount(r.margin_e8),
        "margin_pct": ratio(r.margin_e8, r.sell_e8, 100),
    });
    if let Value::Object(fields) = fields {
        out.extend(fields.into_iter().filter(|(name, _)| caller.sees_costs() || !WHOLESALE.contains(&name.as_str())));
    }
}

/// One row per currency. Percentiles do not add up, so totals have none.
fn totals(rows: &[TrafficRow], caller: &Key) -> Vec<Value> {
    let mut sums: Vec<TrafficRow> = Vec::new();
    for r in rows {
        let at = sums.iter().position(|s| s.currency == r.currency).unwrap_or_else(|| {
            sums.push(TrafficRow { currency: r.currency.clone(), ..TrafficRow::default() });
            sums.len() - 1
        });
        let s = &mut sums[at];
        for (sum, n) in [
            (&mut s.bids, r.bids), (&mut s.seizures, r.seizures), (&mut s.answered, r.answered), (&mut s.refused, r.refused),
            (&mut s.network_effective, r.network_effective), (&mut s.duration_ms, r.duration_ms),
            (&mut s.billed_sell_s, r.billed_sell_s), (&mut s.billed_cost_s, r.billed_cost_s),
            (&mut s.pdd_ms_sum, r.pdd_ms_sum), (&mut s.pdd_count, r.pdd_count),
        ] {
            *sum = sum.saturating_add(n);
        }
        for (sum, n) in [(&mut s.sell_e8, r.sell_e8), (&mut s.cost_e8, r.cost_e8), (&mut s.margin_e8, r.margin_e8)] {
            *sum = sum.saturating_add(n);
        }
    }
    let one = |s: &TrafficRow| {
        let mut out = Map::new();
        figures(s, caller, &mut out);
        out.remove("pdd_ms_p50");
        out.remove("pdd_ms_p95");
        Value::Object(out)
    };
    sums.iter().map(one).collect()
}

fn csv(names: &[&str], items: &[Map<String, Value>], caller: &Key) -> axum::response::Response {
    let mut figures_of = Map::new();
    figures(&TrafficRow::default(), caller, &mut figures_of);
    let columns: Vec<&str> = names.iter().copied().chain(figures_of.keys().map(String::as_str)).collect();
    csv_of(&columns, items, "attachment; filename=\"traffic.csv\"")
}

/// A header and a line for each item; what an item does not have is empty.
fn csv_of(columns: &[&str], items: &[Map<String, Value>], disposition: &'static str) -> axum::response::Response {
    let mut text = String::new();
    header_line(columns.iter().copied(), &mut text);
    for item in items {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            match item.get(*column) {
                None | Some(Value::Null) => {}
                Some(Value::String(s)) => cell(s, true, &mut text),
                Some(other) => text.push_str(&other.to_string()),
            }
        }
        text.push_str("\r\n");
    }
    let mut response = render::typed("text/csv; charset=utf-8; header=present", text);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    response
}

/// The period asked for; without one the UTC month so far.
fn period(query: &Query, now_us: i64) -> Result<(i64, i64), Error> {
    let (since, until) = query.span()?;
    let until = until.unwrap_or(now_us);
    let month = chrono::DateTime::from_timestamp_micros(until.saturating_sub(1)).and_then(|t| t.date_naive().with_day(1));
    let begins = month.and_then(|day| day.and_hms_opt(0, 0, 0)).map(|t| t.and_utc().timestamp_micros());
    match since.or(begins) {
        Some(since) if since < until => Ok((since, until)),
        _ => Err(Error::bad_parameter("since", "must be before 'until', which is now by default")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m_01_ratios_are_exact_and_rounded_half_away_from_zero() {
        for (part, whole, factor, want) in [
            (1u64, 3u64, 100, Some("33.33")), (2, 3, 100, Some("66.67")), (1, 8, 1, Some("0.13")), (0, 7, 100, Some("0.00")),
            (7, 7, 100, Some("100.00")), (1, 0, 100, None), (200_005, 1000, 1, Some("200.01")),
        ] {
            assert_eq!(ratio(part, whole, factor).as_deref(), want, "{part}/{whole}");
        }
        assert_eq!(ratio(-1i64, 8i64, 1).as_deref(), Some("-0.13"));
        assert_eq!(ratio(-1i64, 1000i64, 1).as_deref(), Some("0.00"));
    }
}
