//! `/v1/stream`: server-sent events (alert, block, unblock, cdr, stats each second, lagged), the caller's own only.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use axum::http::StatusCode;
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::{sync::broadcast::error::RecvError, time};
use tokio_stream::wrappers::ReceiverStream;

use crate::{ApiState, ask::Ask, auth::Caller, problem::Error, render, route::Reply, stats, views::Fact};

/// CDRs a stream tells in a second; the others are for `/v1/cdrs`.
const CDRS_PER_S: u32 = 10;
/// Events written ahead of a slow reader before facts queue in the broadcast, which then drops the oldest.
const AHEAD: usize = 16;

pub(crate) fn open(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let Ok(permit) = state.streams.clone().try_acquire_owned() else {
            return Err(Error {
                retry_after: Some(Duration::from_secs(10)),
                ..Error::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", "as many streams are open as there may be")
            });
        };
        // Subscribed before the answer begins: what happens after it is not missed.
        let facts = state.parts.views.subscribe();
        let (out, events) = tokio::sync::mpsc::channel::<Result<Event, Infallible>>(AHEAD);
        tokio::spawn(async move {
            let gauge = state.parts.metrics.streams.clone();
            gauge.inc();
            feed(state, caller, facts, out).await;
            gauge.dec();
            drop(permit);
        });
        let stream = Sse::new(ReceiverStream::new(events)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
        let mut response: Response = stream.into_response();
        // Proxies before us must not collect it.
        response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
        Ok(response)
    }
    .boxed()
}

async fn feed(
    state: ApiState,
    caller: Caller,
    mut facts: tokio::sync::broadcast::Receiver<Fact>,
    out: tokio::sync::mpsc::Sender<Result<Event, Infallible>>,
) {
    let seen = render::Seen { columns: render::columns(&caller), sight: render::Sight::of(&caller, None, false) };
    let mut closing = state.closing.subscribe();
    let mut second = time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut cdrs_left = CDRS_PER_S;
    loop {
        let event = tokio::select! {
            _ = closing.wait_for(|c| *c) => return,
            () = out.closed() => return,
            _ = second.tick() => {
                cdrs_left = CDRS_PER_S;
                Some(named("stats", &stats::snapshot(&state, &caller)))
            }
            fact = facts.recv() => match fact {
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(lost)) => {
                    state.parts.metrics.stream_lost.inc_by(lost);
                    Some(named("lagged", &json!({ "lost": lost })))
                }
                Ok(fact) if caller.tenant.as_deref().is_some_and(|t| fact.root() != t) => None,
                Ok(Fact::Alert(alert)) => {
                    let now = state.now_us();
                    Some(named("alert", &render::alert(&state.parts.views.alert_joined(&alert, now), now)))
                }
                Ok(Fact::Block(block)) => Some(named("block", &render::block(&block, state.now_us()))),
                Ok(Fact::Unblock(block)) => Some(named("unblock", &render::block(&block, state.now_us()))),
                Ok(Fact::Cdr(_)) if cdrs_left == 0 => None,
                Ok(Fact::Cdr(cdr)) => {
                    cdrs_left -= 1;
                    seen.cdr(&cdr).map(|row| named("cdr", &row))
                }
            },
        };
        if let Some(event) = event
            && out.send(Ok(event)).await.is_err()
        {
            return;
        }
    }
}

fn named(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
