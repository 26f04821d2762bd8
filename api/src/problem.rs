//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tollgate_schemas::store::StoreError;

use crate::ports::{Fault, Problem};

/// An answer that is an error. `kind` is the machine's word for it: the last part of the problem's `type`.
#[derive(Debug, Clone)]
pub struct Error {
    pub status: StatusCode,
    pub kind: &'static str,
    pub detail: String,
    /// Mistakes one by one, where there can be several.
    pub problems: Vec<Problem>,
    pub retry_after: Option<Duration>,
}

impl Error {
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Error {
        Error { status, kind, detail: detail.into(), problems: Vec::new(), retry_after: None }
    }

    pub fn bad_parameter(name: &str, detail: impl std::fmt::Display) -> Error {
        let problem = Problem { path: name.to_owned(), message: detail.to_string() };
        Error { problems: vec![problem], ..Error::new(StatusCode::BAD_REQUEST, "bad-parameter", format!("parameter '{name}': {detail}")) }
    }

    pub fn not_found(what: &str, id: &str) -> Error {
        Error::new(StatusCode::NOT_FOUND, "not-found", format!("there is no {what} '{id}'"))
    }

    pub fn forbidden(detail: impl Into<String>) -> Error {
        Error::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub fn unprocessable(problems: Vec<Problem>) -> Error {
        let detail = match problems.as_slice() {
            [one] if one.path.is_empty() => one.message.clone(),
            [one] => format!("{}: {}", one.path, one.message),
            many => format!("{} problems", many.len()),
        };
        Error { problems, ..Error::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail) }
    }

    /// The problem's JSON.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:tollgate:problem:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.problems.is_empty() {
            body["problems"] = json!(self.problems);
        }
        body
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        match fault {
            Fault::Unavailable(_) => Error {
                retry_after: Some(Duration::from_secs(1)),
                ..Error::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", fault.to_string())
            },
            Fault::Internal(_) => internal(&fault),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::Unavailable(_) => Error {
                retry_after: Some(Duration::from_secs(1)),
                ..Error::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the CDR store is not available now")
            },
            StoreError::BadQuery(detail) => Error::new(StatusCode::BAD_REQUEST, "bad-query", detail),
            StoreError::Corrupt(_) => internal(&error),
        }
    }
}

/// What went wrong inside stays in the log: it may name files or other tenants.
fn internal(error: &dyn std::error::Error) -> Error {
    tracing::error!(%error, "a request failed");
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something failed on our side; the server's log says what")
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollgate\""));
        }
        response
    }
}
