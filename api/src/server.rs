//! The router made from the table, and serving it until told to stop.

use std::{
    collections::BTreeMap,
    future::{Future, IntoFuture},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter},
};
use tokio::net::TcpListener;

use crate::{
    ApiState, entry,
    problem::Error,
    route::{Route, Verb, routes},
};

/// Every route of the table. A path answers OPTIONS with what it takes and no CORS header: other sites' pages are
/// denied.
pub fn router(state: ApiState) -> Router {
    let mut paths: BTreeMap<&str, Vec<&'static Route>> = BTreeMap::new();
    for route in routes() {
        paths.entry(&route.path).or_default().push(route);
    }
    let mut router = Router::new();
    for (path, of_path) in paths {
        let allow = allow(&of_path);
        let mut methods: MethodRouter<ApiState> = MethodRouter::new();
        for route in of_path {
            let filter = match route.verb {
                Verb::Get => MethodFilter::GET,
                Verb::Post => MethodFilter::POST,
                Verb::Put => MethodFilter::PUT,
                Verb::Delete => MethodFilter::DELETE,
            };
            methods = methods.on(filter, move |State(state): State<ApiState>, request: Request<Body>| entry::enter(route, state, request));
        }
        let refused = allow.clone();
        methods = methods
            .on(MethodFilter::OPTIONS, move || async move { with_allow(StatusCode::NO_CONTENT.into_response(), allow) })
            .fallback(move |method: Method, uri: Uri| async move {
                let detail = format!("{} does not take {method}", uri.path());
                with_allow(Error::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail).into_response(), refused)
            });
        router = router.route(path, methods);
    }
    router.fallback(unknown).with_state(state)
}

fn allow(routes: &[&'static Route]) -> HeaderValue {
    let mut names = vec!["OPTIONS"];
    for route in routes {
        names.push(route.verb.name());
        if route.verb == Verb::Get {
            names.push("HEAD");
        }
    }
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

fn with_allow(mut response: Response, allow: HeaderValue) -> Response {
    response.headers_mut().insert(header::ALLOW, allow);
    entry::finish(response)
}

async fn unknown(uri: Uri, _: HeaderMap) -> Response {
    entry::finish(Error::new(StatusCode::NOT_FOUND, "not-found", format!("there is nothing at {}", uri.path())).into_response())
}

/// Serves until `shutdown` is done, then lets running requests end, streams at once, everything else within
/// [`crate::Limits::stop`].
pub async fn serve(listener: TcpListener, state: ApiState, shutdown: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    let (closing, limit) = (state.clone(), state.parts.limits.stop);
    let mut closed = state.closing.subscribe();
    let served = axum::serve(listener, router(state)).with_graceful_shutdown(async move {
        shutdown.await;
        closing.closing.send_replace(true);
    });
    tokio::select! {
        done = served.into_future() => done,
        () = async {
            // An error means the sender is gone, which cannot come before the server's end.
            let _ = closed.wait_for(|c| *c).await;
            tokio::time::sleep(limit).await;
        } => Ok(()),
    }
}
