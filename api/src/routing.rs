//! `/v1/quality`, `/v1/route` and `/v1/cdrs/{call_uuid}/route`: what is known of the carriers, where a call would go, and where a
//! call went and why. For the operator only: all of it is the wholesale side.

use axum::http::StatusCode;
use futures::FutureExt;
use serde_json::json;
use tollgate_schemas::{
    cdr,
    codec::CodecClass,
    store::{CdrFilter, CdrQuery},
};

use crate::{ApiState, ask::Ask, ports::RouteAsk, problem::Error, render, route::Reply};

/// The newest verdict on each destination, by its name.
pub(crate) fn quality(state: ApiState, ask: Ask) -> Reply {
    async move {
        let limit = ask.query.whole("limit", 100) as usize;
        let after = ask.query.text("cursor");
        let mut items = state.parts.routing.quality(ask.query.text("dest_group"));
        items.retain(|v| after.is_none_or(|a| v["dest_group"].as_str().is_some_and(|name| name > a)));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).and_then(|v| v["dest_group"].as_str()).map(str::to_owned);
        Ok(render::json_response(&json!({ "items": items, "next_cursor": next })))
    }
    .boxed()
}

/// Where a call would go now, or by another verdict.
pub(crate) fn explain(state: ApiState, ask: Ask) -> Reply {
    async move {
        let needed = |name: &str| ask.query.owned(name).ok_or_else(|| Error::bad_parameter(name, "is needed"));
        let asked = RouteAsk {
            account: needed("account")?,
            from: needed("from")?,
            to: needed("to")?,
            at_us: ask.query.time("at").unwrap_or_else(|| state.now_us()),
            codec_class: ask.query.text("codec_class").map_or(CodecClass::Unknown, CodecClass::of),
            draw_e6: ask.query.text("draw").map(|_| ask.query.whole("draw", 0) as u32),
            quality: ask.query.owned("quality"),
        };
        match state.parts.routing.explain(asked).await? {
            Ok(found) => Ok(render::json_response(&found)),
            Err(wrong) => Err(Error::new(StatusCode::BAD_REQUEST, "bad-request", wrong)),
        }
    }
    .boxed()
}

/// A call's choices as they were made, and made again from the log.
pub(crate) fn replay(state: ApiState, ask: Ask) -> Reply {
    async move {
        let call = ask.path_id("CDR")?;
        let filter = CdrFilter { record_type: cdr::FINAL.to_owned(), call_uuid: Some(call), ..CdrFilter::default() };
        let finals = state.parts.cdrs.cdrs(CdrQuery { filter, after: None, limit: 1 }).await?;
        let Some(row) = finals.first() else { return Err(Error::not_found("CDR", &ask.path)) };
        let Some(found) = state.parts.routing.replay(call, &row.root_account, row.invite_ts).await? else {
            return Err(Error::not_found("decision of the call in the log", &ask.path));
        };
        Ok(render::json_response(&json!({
            "call_uuid": call.to_string(), "control_position": found.control_position, "agrees": found.agrees,
            "then": found.then, "again": found.again,
        })))
    }
    .boxed()
}
