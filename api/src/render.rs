//! How things look in JSON, for whom: carriers, costs and margins are absent, not null, for who may not see them.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tollgate_schemas::{
    cdr::{COLUMNS, Cdr, Column},
    money::format_amount,
    tiers,
    time::format_rfc3339,
    v1::{BlockScope, Feature},
};

use crate::{
    auth::Key,
    ports::LiveCall,
    views::{Alert, Block},
};

/// Columns that tell whom a call was bought from, how it was routed, or what it cost.
const WHOLESALE: [&str; 30] = [
    "sip_call_id_out", "b_number_out", "vendor_sip_code", "vendor_q850", "carrier", "egress_dst_ip", "egress_dst_port",
    "route_class", "route_policy", "route_rank", "route_explain", "attempts_total", "attempts_summary", "billed_sec_cost",
    "cost_deck", "cost_deck_version", "cost_prefix", "cost_rate", "cost_connect", "cost_increment", "cost_amount",
    "cost_currency", "margin_base", "margin_pct", "cost_lines", "cost_surcharges", "fx_rate", "fx_source", "fx_date",
    "quality_snapshot",
];

pub(crate) fn is_wholesale(column: &str) -> bool {
    WHOLESALE.contains(&column)
}

/// The columns a customer may see, in the table's order.
pub fn customer_columns() -> Vec<&'static Column> {
    COLUMNS.iter().filter(|c| !is_wholesale(c.name)).collect()
}

/// The columns a key may see, in the table's order.
pub(crate) fn columns(key: &Key) -> Vec<&'static Column> {
    COLUMNS.iter().filter(|c| key.sees_costs() || !is_wholesale(c.name)).collect()
}

/// What of rows a caller sees, beside columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// As the store has them.
    All,
    /// What is handed on to each row's own account: nothing of what is above it.
    Customer,
    /// Without what accounts above this one pay.
    Below(String),
    /// As a bill of this account has them.
    Paid(String),
}

impl Sight {
    /// `payer` and `customer`: what was asked for.
    pub fn of(key: &Key, payer: Option<&str>, customer: bool) -> Sight {
        match (payer, &key.tenant) {
            (Some(payer), _) => Sight::Paid(payer.to_owned()),
            (None, _) if customer => Sight::Customer,
            (None, Some(own)) => Sight::Below(own.clone()),
            (None, None) => Sight::All,
        }
    }
}

/// How CDRs are shown to one caller.
pub(crate) struct Seen {
    pub columns: Vec<&'static Column>,
    pub sight: Sight,
}

impl Seen {
    /// None: there is nothing of it to see.
    pub fn row(&self, row: &Arc<Cdr>) -> Option<Arc<Cdr>> {
        match &self.sight {
            Sight::All => Some(row.clone()),
            Sight::Customer => Some(tiers::told_to(row, &row.account)),
            Sight::Below(own) => Some(tiers::told_to(row, own)),
            Sight::Paid(payer) => tiers::paid_by(row, payer),
        }
    }

    pub fn cdr(&self, row: &Arc<Cdr>) -> Option<Value> {
        self.row(row).map(|row| cdr(&row, &self.columns))
    }
}

pub(crate) fn cdr(cdr: &Cdr, columns: &[&'static Column]) -> Value {
    Value::Object(columns.iter().map(|c| (c.name.to_owned(), (c.get)(cdr).json())).collect())
}

pub(crate) fn list(items: Vec<Value>, next_cursor: Option<String>) -> Value {
    json!({ "items": items, "next_cursor": next_cursor })
}

fn ts(us: Option<i64>) -> Value {
    us.filter(|t| *t != 0).map_or(Value::Null, |t| format_rfc3339(t).into())
}

pub(crate) fn call(call: &LiveCall, key: &Key) -> Value {
    let mut out = json!({
        "call_uuid": call.call_uuid,
        "account": call.account,
        "root_account": call.root_account,
        "trunk": call.trunk,
        "a_number": call.a_number,
        "b_number": call.b_number,
        "dest_group": call.dest_group,
        "state": call.state,
        "invite_ts": ts(Some(call.invite_us)),
        "answer_ts": ts(call.answer_us),
        "sell_rate": call.sell_rate,
        "currency": call.currency,
        "spent": format_amount(call.spent_e8),
        "emergency": call.emergency,
    });
    if key.sees_costs() {
        out["carrier"] = call.carrier.as_str().into();
        out["attempt_no"] = call.attempt_no.into();
    }
    out
}

fn features(features: &[Feature]) -> Value {
    features
        .iter()
        .map(|f| json!({ "name": f.name, "value": f.value, "threshold": f.threshold, "unit": f.unit, "counted_at": f.counted_at }))
        .collect()
}

/// An alert with what was done about it.
pub(crate) fn alert((alert, block, open): &(std::sync::Arc<Alert>, Option<std::sync::Arc<Block>>, bool), now_us: i64) -> Value {
    json!({
        "alert_id": alert.alert_id,
        "raised_ts": ts(Some(alert.raised_us)),
        "rule": alert.rule,
        "severity": alert.severity,
        "open": open,
        "account": alert.account,
        "root_account": alert.root_account,
        "dest_group": alert.dest_group,
        "explanation": alert.explanation,
        "features": features(&alert.features),
        "loss_amount": format_amount(alert.loss_e8),
        "currency": alert.currency,
        "first_ts": ts(Some(alert.first_us)),
        "closed_ts": ts(alert.closed_us),
        "block_id": alert.block_id,
        "block_state": block.as_ref().map(|b| b.state(now_us).name()),
        "calls_refused": block.as_ref().map_or(0, |b| b.calls_refused),
        "calls_ended": block.as_ref().map_or(0, |b| b.calls_ended),
    })
}

/// What a block restricts: only what is set.
pub(crate) fn scope(scope: &BlockScope) -> Value {
    let names = [
        ("account", &scope.account), ("trunk", &scope.trunk), ("dest_group", &scope.dest_group), ("a_number", &scope.a_number),
        ("b_number", &scope.b_number), ("b_prefix", &scope.b_prefix), ("ip", &scope.ip), ("carrier", &scope.carrier),
    ];
    let mut out: Map<String, Value> =
        names.into_iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.to_owned(), v.as_str().into())).collect();
    for (name, set) in [("high_risk", scope.high_risk), ("international", scope.international)] {
        if set {
            out.insert(name.to_owned(), true.into());
        }
    }
    Value::Object(out)
}

pub(crate) fn block(block: &Block, now_us: i64) -> Value {
    let lifted = block.lifted.as_ref();
    json!({
        "block_id": block.block_id,
        "state": block.state(now_us).name(),
        "placed_ts": ts(Some(block.placed_us)),
        "expires_ts": ts(block.expires_us),
        "scope": scope(&block.scope),
        "actor": block.actor,
        "reason": block.reason,
        "rule": block.rule,
        "sip_code": block.sip_code,
        "teardown": block.teardown,
        "evidence": features(&block.evidence),
        "calls_refused": block.calls_refused,
        "calls_ended": block.calls_ended,
        "lifted_ts": ts(lifted.map(|l| l.0)),
        "lifted_by": lifted.map(|l| &l.1),
        "lift_reason": lifted.map(|l| &l.2),
    })
}

pub(crate) fn json_response(body: &Value) -> axum::response::Response {
    typed("application/json", body.to_string())
}

pub(crate) fn typed(media_type: &'static str, body: impl Into<axum::body::Body>) -> axum::response::Response {
    let mut response = axum::response::Response::new(body.into());
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, axum::http::HeaderValue::from_static(media_type));
    response
}
