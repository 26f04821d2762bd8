//! `/healthz`, `/readyz`, `/metrics`: for what watches us; no key.

use axum::http::StatusCode;
use futures::FutureExt;
use serde_json::json;

use crate::{ApiState, ask::Ask, render, route::Reply};

/// The process answers. That it can take calls is `/readyz`'s to say.
pub(crate) fn alive(_: ApiState, _: Ask) -> Reply {
    async move { Ok(render::json_response(&json!({ "status": "ok" }))) }.boxed()
}

pub(crate) fn ready(state: ApiState, _: Ask) -> Reply {
    async move {
        let readiness = (state.parts.ready)();
        let mut response = render::json_response(&json!(readiness));
        if !readiness.ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok(response)
    }
    .boxed()
}

pub(crate) fn metrics(state: ApiState, _: Ask) -> Reply {
    async move { Ok(render::typed("application/openmetrics-text; version=1.0.0; charset=utf-8", (state.parts.render_metrics)())) }.boxed()
}
