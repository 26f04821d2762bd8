//! `/healthz`, `/readyz` and `/metrics` of a process that runs stages without the API.

use std::future::Future;

use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{Ready, RenderMetrics};

/// Serves until `shutdown` is done.
pub async fn serve_health(
    listener: TcpListener,
    ready: Ready,
    render: RenderMetrics,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let is_ready = move || async move {
        let readiness = ready();
        let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(json!(readiness))).into_response()
    };
    let metrics = move || async move { ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], render()) };
    let router = Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(is_ready))
        .route("/metrics", get(metrics));
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
