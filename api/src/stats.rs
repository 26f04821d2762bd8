//! `/v1/stats` and `/v1/stats/series`: the state of things now, and the plots of the last hour.

use futures::FutureExt;
use serde_json::{Map, Value, json};
use tollgate_schemas::{money::format_amount, time::format_rfc3339};

use crate::{
    ApiState,
    ask::Ask,
    auth::Key,
    ports::CallFilter,
    problem::Error,
    render,
    route::Reply,
    views::{Bucket, SECONDS},
};

pub(crate) fn now(state: ApiState, ask: Ask) -> Reply {
    async move { Ok(render::json_response(&snapshot(&state, &*ask.caller()?))) }.boxed()
}

/// What `/v1/stats` answers and the stream tells each second. A tenant sees its own calls and money; the node's state
/// is the operator's.
pub(crate) fn snapshot(state: &ApiState, caller: &Key) -> Value {
    let (views, now) = (&state.parts.views, state.now_us());
    let tenant = caller.tenant.as_deref();
    let (open_critical_alerts, active_blocks) = views.open(tenant, now);
    let (second, minute) = views.series(|s| match tenant {
        None => (s.seconds.last(1, now).first().and_then(|(_, b)| b.cloned()), s.seconds.sum(60, now)),
        Some(t) => (None, s.tenant(t).map(|m| m.sum(1, now)).unwrap_or_default()),
    });
    let mut out = json!({
        "at": format_rfc3339(now),
        "open_critical_alerts": open_critical_alerts,
        "active_blocks": active_blocks,
        "last_minute": figures(&minute, caller),
    });
    match tenant {
        None => {
            let node = state.parts.calls.stats();
            out["calls_up"] = node.calls_up.into();
            out["calls_answered"] = node.calls_answered.into();
            out["node"] = json!({
                "node_id": node.node_id,
                "uptime_s": node.uptime_s,
                "cps_1s": node.cps_1s,
                "cps_10s": tollgate_schemas::money::format_scaled(node.cps_10s_tenths.min(i64::MAX as u64) as i64, 1, 1),
                "draining": node.draining,
                "log_health": node.log_health,
            });
            out["last_second"] = figures(&second.unwrap_or_default(), caller);
        }
        Some(_) => {
            let filter = CallFilter { tenant: caller.tenant.clone(), ..CallFilter::default() };
            let calls = state.parts.calls.live(&filter);
            let own = calls.iter().filter(|c| filter.admits(c));
            out["calls_answered"] = own.clone().filter(|c| c.answer_us.is_some()).count().into();
            out["calls_up"] = own.count().into();
        }
    }
    out
}

/// A bucket as plots read it.
fn figures(bucket: &Bucket, caller: &Key) -> Value {
    let mut money = Map::new();
    for (currency, m) in &bucket.money {
        let mut amounts = json!({ "revenue": format_amount(m.revenue_e8), "fraud_loss": format_amount(m.fraud_loss_e8) });
        if caller.sees_costs() {
            amounts["cost"] = format_amount(m.cost_e8).into();
        }
        money.insert(currency.clone(), amounts);
    }
    let reasons: Map<String, Value> = bucket.refused.iter().map(|(reason, n)| ((*reason).to_owned(), (*n).into())).collect();
    json!({
        "attempted": bucket.attempted,
        "answered": bucket.answered,
        "refused": bucket.refused_total(),
        "refused_by_reason": reasons,
        "money": money,
    })
}

pub(crate) fn series(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let step = ask.query.text("step").unwrap_or("minute");
        let most = if step == "second" { SECONDS } else { SECONDS / 60 };
        let points = ask.query.whole("points", 60).min(most as u64) as i64;
        let now = state.now_us();
        if step == "second" && caller.tenant.is_some() {
            return Err(Error::bad_parameter("step", "a tenant's plots have minutes only"));
        }
        let points: Vec<Value> = state.parts.views.series(|s| {
            let ring = match &caller.tenant {
                Some(tenant) => s.tenant(tenant),
                None if step == "second" => Some(&s.seconds),
                None => Some(&s.minutes),
            };
            let empty = Bucket::default();
            let buckets = ring.map(|r| r.last(points, now)).unwrap_or_default();
            let point = |(us, bucket): (i64, Option<&Bucket>)| {
                let mut point = figures(bucket.unwrap_or(&empty), &caller);
                point["at"] = format_rfc3339(us).into();
                point
            };
            buckets.into_iter().map(point).collect()
        });
        Ok(render::json_response(&json!({ "step": step, "points": points })))
    }
    .boxed()
}
