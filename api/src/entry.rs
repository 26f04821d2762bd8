//! What every request goes through before its handler: key or session, rate, scope, parameters, body, idempotency.

use std::time::Instant;

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, HeaderValue, Request, StatusCode, header, request},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::{
    ApiState,
    ask::{Ask, Query},
    auth::{COOKIE, Caller},
    idempotency,
    metrics::Answered,
    ports::Kind,
    problem::Error,
    route::{Access, Route, Takes, Verb},
};

/// Serves one request of `route`.
pub(crate) async fn enter(route: &'static Route, state: ApiState, request: Request<Body>) -> Response {
    let response = match prepare(route, &state, request).await {
        Ok(ask) if route.verb == Verb::Post && ask.caller.is_some() && ask.headers.contains_key(idempotency::HEADER) => {
            idempotency::once(state.clone(), ask).await
        }
        Ok(ask) => (route.handler)(state.clone(), ask).await.unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    };
    let answered = Answered { route: &route.path, method: route.verb.name(), status: response.status().as_u16() };
    state.parts.metrics.answered.get_or_create(&answered).inc();
    finish(response)
}

/// Headers every answer has: what is sent is for the asker alone, now, and is what it says it is.
pub(crate) fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

async fn prepare(route: &'static Route, state: &ApiState, request: Request<Body>) -> Result<Ask, Error> {
    let (mut parts, body) = request.into_parts();
    let caller = match route.access {
        Access::Open => None,
        Access::Scoped(_) | Access::Operator(_) => Some(authorise(route, state, &parts)?),
    };
    let query = Query::parse(&parts.uri, route.params)?;
    let path = match RawPathParams::from_request_parts(&mut parts, state).await {
        Ok(params) => params.iter().last().map(|(_, v)| v.to_owned()).unwrap_or_default(),
        Err(_) => return Err(Error::new(StatusCode::BAD_REQUEST, "bad-path", "the path is not UTF-8")),
    };
    let body = match route.takes {
        Some(takes) => {
            let limit = state.parts.limits.body;
            let body = tokio::time::timeout(limit, read(body, takes.max_bytes, &parts.headers)).await.map_err(|_| {
                Error::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", format!("the body did not arrive within {} s", limit.as_secs()))
            })??;
            if !body.is_empty() {
                check_type(takes, &parts.headers)?;
            }
            body
        }
        None => Bytes::new(),
    };
    Ok(Ask { route, caller, query, path, body, headers: parts.headers })
}

/// What a key of an account below another has: its own calls and, with `payer`, those it pays for. Of balances, live calls and
/// the like there are only whole trees.
const OF_ITS_OWN: [&str; 5] = ["/v1/cdrs", "/v1/cdrs/{call_uuid}", "/v1/reports/traffic", "/v1/reports/cpn", "/v1/reports/short-calls"];

fn authorise(route: &Route, state: &ApiState, parts: &request::Parts) -> Result<Caller, Error> {
    let (caller, by_cookie) = identify(state, &parts.headers)?;
    if let Err(wait) = state.rate.take(&caller.id, Instant::now()) {
        return Err(Error {
            retry_after: Some(wait),
            ..Error::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", format!("key '{}' asks more often than it may", caller.id))
        });
    }
    // A page of somebody else can make a browser send its cookie, but not this header.
    if by_cookie && route.verb != Verb::Get && parts.headers.get("x-tollgate").is_none_or(|v| v != "1") {
        return Err(Error::forbidden("a change asked for with a session's cookie needs the header 'x-tollgate: 1'"));
    }
    let (scope, operator) = match route.access {
        Access::Open => return Ok(caller),
        Access::Scoped(scope) => (scope, false),
        Access::Operator(scope) => (scope, true),
    };
    if operator && caller.tenant.is_some() {
        return Err(Error::forbidden(format!("key '{}' is confined to one account's tree; this is the operator's", caller.id)));
    }
    if let Some(tenant) = &caller.tenant
        && !OF_ITS_OWN.contains(&route.path.as_str())
        && let Some(parent) = state.parts.control.get(Kind::Account, tenant).and_then(|a| a.spec["parent"].as_str().map(str::to_owned))
    {
        let detail = format!("key '{}' is confined to account '{tenant}', which is below '{parent}': it sees its calls ({}); the rest is seen by keys of whole trees", caller.id, OF_ITS_OWN.join(", "));
        return Err(Error::new(StatusCode::FORBIDDEN, "tenant-below", detail));
    }
    if !caller.may(scope) {
        return Err(Error::forbidden(format!("key '{}' has no scope '{}'", caller.id, scope.name())));
    }
    Ok(caller)
}

/// Who asks: by key, else by session. A key that is sent and wrong is refused, whatever cookie comes with it.
fn identify(state: &ApiState, headers: &HeaderMap) -> Result<(Caller, bool), Error> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let key = value.to_str().ok().and_then(|v| v.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let caller = key.and_then(|(_, key)| state.parts.keys.find(key.trim()));
        return caller.map(|c| (c, false)).ok_or_else(Error::unauthorized);
    }
    let caller = session_id(headers).and_then(|id| state.sessions.find(&id, state.now_us()));
    caller.map(|c| (c, true)).ok_or_else(Error::unauthorized)
}

/// The session's id among the request's cookies.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = cookies.flat_map(|v| v.split(';')).filter_map(|c| c.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| id.to_owned())
}

fn check_type(takes: Takes, headers: &HeaderMap) -> Result<(), Error> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let plain = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if plain == "application/json" || takes.or_form && plain == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    let detail = if given.is_empty() { "the body has no Content-Type".to_owned() } else { format!("a body of type '{given}'") };
    Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", format!("{detail}; want application/json")))
}

async fn read(body: Body, max: usize, headers: &HeaderMap) -> Result<Bytes, Error> {
    let too_large = || Error::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("the body has more than {max} bytes"));
    let said = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if said.is_some_and(|n| n > max as u64) {
        return Err(too_large());
    }
    let mut taken = BytesMut::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::new(StatusCode::BAD_REQUEST, "bad-body", "the body broke off"))?;
        if taken.len() + chunk.len() > max {
            return Err(too_large());
        }
        taken.extend_from_slice(&chunk);
    }
    Ok(taken.freeze())
}

impl Error {
    pub(crate) fn unauthorized() -> Error {
        Error::new(StatusCode::UNAUTHORIZED, "unauthorized", "want a key: Authorization: Bearer KEY")
    }
}
