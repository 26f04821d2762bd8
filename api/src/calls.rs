//! `/v1/calls`: calls that are up, and ending one.

use axum::http::StatusCode;
use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use crate::{
    ApiState,
    ask::Ask,
    cursor::{self, Mark, Place},
    ports::{CallFilter, EndResult, LiveCall},
    problem::Error,
    render,
    route::Reply,
};

pub(crate) fn list(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let query = &ask.query;
        if !caller.sees_costs() && query.text("carrier").is_some() {
            return Err(Error::forbidden(format!("key '{}' does not see carriers: it has no scope 'costs'", caller.id)));
        }
        let filter = CallFilter {
            tenant: caller.tenant.clone(),
            call_uuid: None,
            account: query.owned("account"),
            trunk: query.owned("trunk"),
            carrier: query.owned("carrier"),
            state: query.owned("state"),
        };
        let mark = Mark::of(&("calls", &filter));
        let after = cursor::read(mark, query.text("cursor"))?.map(|p| (p.us, p.id));
        let limit = query.whole("limit", 100) as usize;
        let mut calls: Vec<LiveCall> = state.parts.calls.live(&filter);
        // A second check costs little and keeps one tenant's calls from another whatever the port does.
        calls.retain(|c| filter.admits(c) && after.is_none_or(|a| (c.invite_us, c.call_uuid) < a));
        calls.sort_unstable_by_key(|c| std::cmp::Reverse((c.invite_us, c.call_uuid)));
        let more = calls.len() > limit;
        calls.truncate(limit);
        let last = calls.last().filter(|_| more);
        let next = last.map(|c| cursor::write(mark, Place { us: c.invite_us, id: c.call_uuid, attempt_no: 0 }));
        let items = calls.iter().map(|c| render::call(c, &caller)).collect();
        Ok(render::json_response(&render::list(items, next)))
    }
    .boxed()
}

pub(crate) fn one(state: ApiState, ask: Ask) -> Reply {
    async move {
        let call = find(&state, &ask)?;
        Ok(render::json_response(&render::call(&call, &*ask.caller()?)))
    }
    .boxed()
}

/// The body of `POST /v1/calls/{call_uuid}/end`; it may be left empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    #[serde(default)]
    reason: String,
}

pub(crate) fn end(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let order: End = if ask.body.is_empty() { End::default() } else { ask.json()? };
        let call = find(&state, &ask)?;
        let reason = if order.reason.is_empty() { "ended through the API" } else { &order.reason };
        match state.parts.calls.end(call.call_uuid, &caller.id, reason).await? {
            EndResult::Unknown => Err(Error::not_found("live call", &ask.path)),
            EndResult::Ending => {
                let mut response = render::json_response(&json!({ "call_uuid": call.call_uuid, "state": "ending" }));
                *response.status_mut() = StatusCode::ACCEPTED;
                Ok(response)
            }
        }
    }
    .boxed()
}

/// The live call of the path, if the key may see it.
fn find(state: &ApiState, ask: &Ask) -> Result<LiveCall, Error> {
    let call_uuid = Some(ask.path_id("live call")?);
    let filter = CallFilter { tenant: ask.caller()?.tenant.clone(), call_uuid, ..CallFilter::default() };
    let mut calls = state.parts.calls.live(&filter).into_iter().filter(|c| filter.admits(c));
    calls.next().ok_or_else(|| Error::not_found("live call", &ask.path))
}
