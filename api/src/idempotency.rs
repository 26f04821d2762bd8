//! `Idempotency-Key` on POST: the same key and request give the same answer, done once.
//!
//! This process remembers its answers. What moves money or issues a document takes the key with it into the log ([`request`]), so that
//! it is done once also over a restart and by another process.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tollgate_schemas::{id::Id, v1::RequestKey};

use crate::{ApiState, ask::Ask, problem::Error};

pub(crate) const HEADER: &str = "idempotency-key";
/// Answers remembered, and for how long; beyond it the oldest is forgotten.
const KEPT: usize = 10_000;
const KEPT_US: i64 = 24 * 3600 * 1_000_000;
const LONGEST: usize = 128;
/// No POST's answer comes near it.
const ANSWER_BYTES: usize = 1 << 20;

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

struct Entry {
    request: [u8; 32],
    order: u64,
    at_us: i64,
    /// None while it is being done.
    answer: Option<Answer>,
}

#[derive(Default)]
struct Book {
    entries: HashMap<(String, String), Entry>,
    by_order: BTreeMap<u64, (String, String)>,
    next: u64,
}

#[derive(Default)]
pub struct Answers(Mutex<Book>);

enum Look {
    Known(Answer),
    Running,
    Other,
    New,
}

/// Runs the ask's handler, or gives the answer it gave before. It runs to its end even if the asker goes away, so a
/// second try finds the answer of the first.
pub(crate) async fn once(state: ApiState, ask: Ask) -> Response {
    let given = ask.headers.get(HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if given.is_empty() || given.len() > LONGEST {
        let detail = format!("Idempotency-Key: want 1 to {LONGEST} visible ASCII characters");
        return Error::new(StatusCode::BAD_REQUEST, "bad-idempotency-key", detail).into_response();
    }
    let who = ask.caller.as_ref().map(|c| c.id.clone()).unwrap_or_default();
    let key = (who, given.to_owned());
    let request = fingerprint(&ask);
    match state.answers.look(&key, request, state.now_us()) {
        Look::Known(answer) => return answer.into_response(),
        Look::Running => return Error::new(StatusCode::CONFLICT, "in-progress", "a request with this Idempotency-Key is being done").into_response(),
        Look::Other => {
            return reused("this Idempotency-Key was used with another request").into_response();
        }
        Look::New => {}
    }
    let work = tokio::spawn(async move {
        let running = Running { state: &state, key, done: false };
        match (ask.route.handler)(state.clone(), ask).await {
            // The log knows the key of another request: that one may still be asked for again.
            Err(error) if error.kind == REUSED => error.into_response(),
            done => running.end(done.unwrap_or_else(IntoResponse::into_response)).await,
        }
    });
    work.await.unwrap_or_else(|_| Error::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed").into_response())
}

const REUSED: &str = "idempotency-key-reused";

pub(crate) fn reused(detail: &str) -> Error {
    Error::new(StatusCode::UNPROCESSABLE_ENTITY, REUSED, detail)
}

/// What the request is known by wherever it is asked again; none without a key.
pub(crate) fn request(ask: &Ask) -> Option<RequestKey> {
    let given = ask.headers.get(HEADER)?.to_str().ok()?;
    let who = ask.caller.as_ref().map_or("", |c| c.id.as_str());
    Some(RequestKey { id: Id::derived("request", Id::NIL, &format!("{who}\n{given}"), 0).to_vec(), sha256: fingerprint(ask).to_vec() })
}

/// Forgets an entry whose work did not come to its end.
struct Running<'a> {
    state: &'a ApiState,
    key: (String, String),
    done: bool,
}

impl Running<'_> {
    async fn end(mut self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, ANSWER_BYTES).await else {
            return Error::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer is too large").into_response();
        };
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        // A fault may be gone the next time: it is not the answer.
        if !answer.status.is_server_error() {
            self.done = true;
            self.state.answers.keep(&self.key, answer.clone());
        }
        answer.into_response()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.state.answers.forget(&self.key);
        }
    }
}

impl Answers {
    fn look(&self, key: &(String, String), request: [u8; 32], now_us: i64) -> Look {
        let mut book = self.lock();
        if let Some(entry) = book.entries.get(key).filter(|e| now_us - e.at_us < KEPT_US) {
            return match &entry.answer {
                _ if entry.request != request => Look::Other,
                Some(answer) => Look::Known(answer.clone()),
                None => Look::Running,
            };
        }
        book.remove(key);
        while book.entries.len() >= KEPT {
            let Some((_, oldest)) = book.by_order.pop_first() else { break };
            book.entries.remove(&oldest);
        }
        let order = book.next;
        book.next += 1;
        book.by_order.insert(order, key.clone());
        book.entries.insert(key.clone(), Entry { request, order, at_us: now_us, answer: None });
        Look::New
    }

    fn keep(&self, key: &(String, String), answer: Answer) {
        if let Some(entry) = self.lock().entries.get_mut(key) {
            entry.answer = Some(answer);
        }
    }

    fn forget(&self, key: &(String, String)) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn remove(&mut self, key: &(String, String)) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_order.remove(&entry.order);
        }
    }
}

fn fingerprint(ask: &Ask) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [ask.route.id.as_bytes(), ask.path.as_bytes(), &ask.body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        response
    }
}
