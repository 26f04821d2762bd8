//! The portal: one page, its script and style, and the session it needs. The page itself says nothing; all it shows it
//! asks the API for, with the session's cookie.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures::FutureExt;
use serde::Deserialize;

use crate::{
    ApiState,
    ask::Ask,
    auth::{COOKIE, SESSION_S},
    entry,
    problem::Error,
    render,
    route::Reply,
};

const PAGE: &str = include_str!("portal/index.html");
const SCRIPT: &str = include_str!("portal/app.js");
const PLOTS: &str = include_str!("portal/plots.js");
const DECKS: &str = include_str!("portal/decks.js");
const REPORTS: &str = include_str!("portal/reports.js");
const STYLE: &str = include_str!("portal/app.css");
const ICON: &str = include_str!("portal/icon.svg");

/// Only what comes from here runs, shows and is asked; nothing frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn fixed(media_type: &'static str, text: &'static str) -> Reply {
    async move {
        let mut response = render::typed(media_type, text);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        Ok(response)
    }
    .boxed()
}

pub(crate) fn page(_: ApiState, _: Ask) -> Reply {
    fixed("text/html; charset=utf-8", PAGE)
}

pub(crate) fn script(_: ApiState, _: Ask) -> Reply {
    fixed("text/javascript; charset=utf-8", SCRIPT)
}

pub(crate) fn plots(_: ApiState, _: Ask) -> Reply {
    fixed("text/javascript; charset=utf-8", PLOTS)
}

pub(crate) fn decks(_: ApiState, _: Ask) -> Reply {
    fixed("text/javascript; charset=utf-8", DECKS)
}

pub(crate) fn reports(_: ApiState, _: Ask) -> Reply {
    fixed("text/javascript; charset=utf-8", REPORTS)
}

pub(crate) fn style(_: ApiState, _: Ask) -> Reply {
    fixed("text/css; charset=utf-8", STYLE)
}

pub(crate) fn icon(_: ApiState, _: Ask) -> Reply {
    fixed("image/svg+xml", ICON)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    key: String,
}

/// Takes the key once and begins a session. As JSON it answers 204 or 401; as a browser's form it leads back to `/`.
pub(crate) fn login(state: ApiState, ask: Ask) -> Reply {
    async move {
        // Another site's form must not log somebody in under its own key.
        if ask.headers.get("sec-fetch-site").is_some_and(|v| v != "same-origin" && v != "none") {
            return Err(Error::forbidden("a login comes from the portal's own page"));
        }
        let content_type = ask.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let form = content_type.starts_with("application/x-www-form-urlencoded");
        let key = if form {
            form_urlencoded::parse(&ask.body).find(|(name, _)| name == "key").map(|(_, v)| v.into_owned()).unwrap_or_default()
        } else {
            ask.json::<Login>()?.key
        };
        let Some(caller) = state.parts.keys.find(key.trim()) else {
            return if form { Ok(lead("/?login=failed")) } else { Err(Error::unauthorized()) };
        };
        let Some(id) = state.sessions.begin(caller, state.now_us()) else {
            return Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "no randomness for a session"));
        };
        let mut response = if form { lead("/") } else { empty() };
        set_cookie(&mut response, &ask.headers, &id, SESSION_S);
        Ok(response)
    }
    .boxed()
}

pub(crate) fn logout(state: ApiState, ask: Ask) -> Reply {
    async move {
        if let Some(id) = entry::session_id(&ask.headers) {
            state.sessions.end(&id);
        }
        let mut response = empty();
        set_cookie(&mut response, &ask.headers, "", 0);
        Ok(response)
    }
    .boxed()
}

fn set_cookie(response: &mut Response, asked: &HeaderMap, id: &str, seconds: i64) {
    // Behind a proxy that ends TLS the cookie stays on TLS; on plain loopback a browser would not send it back.
    let secure = if asked.get("x-forwarded-proto").is_some_and(|v| v == "https") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

fn empty() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn lead(to: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}
