//! `/v1/backup`: the whole event log as one file, streamed as it is read. Everything of every tenant is in it, so it is for the
//! admin's key only.

use axum::{
    body::Body,
    http::{HeaderValue, header},
};
use futures::FutureExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::{ApiState, ask::Ask, render, route::Reply};

pub(crate) const MEDIA_TYPE: &str = "application/vnd.tollgate.backup";

/// A fault on the way breaks the stream off: chunked HTTP tells its reader, and the file lacks its trailer.
pub(crate) fn take(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let secrets = ask.query.text("with") == Some("secrets");
        let pieces = state.parts.backups.begin(secrets).await?;
        tracing::info!(key = caller.id, secrets, "a backup is being taken");
        let mut response = render::typed(MEDIA_TYPE, Body::from_stream(ReceiverStream::new(pieces)));
        response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"tollgate.backup\""));
        Ok(response)
    }
    .boxed()
}
