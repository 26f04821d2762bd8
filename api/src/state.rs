//! What every handler shares.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tollgate_schemas::store::CdrStore;

use crate::{
    auth::{Keys, RateLimiter, Sessions},
    idempotency::Answers,
    metrics::Metrics,
    ports::{Backups, Blocks, Calls, Control, Decks, Finance, Ledger, Readiness, Routing},
    views::Views,
};

/// Renders the whole program's metrics in Prometheus' text form.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;
pub type Ready = Arc<dyn Fn() -> Readiness + Send + Sync>;
/// UTC microseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the program hands in; [`ApiState::new`] makes the state of it.
pub struct Parts {
    pub control: Arc<dyn Control>,
    pub calls: Arc<dyn Calls>,
    pub blocks: Arc<dyn Blocks>,
    pub routing: Arc<dyn Routing>,
    pub decks: Arc<dyn Decks>,
    pub backups: Arc<dyn Backups>,
    pub finance: Arc<dyn Finance>,
    pub ledger: Arc<dyn Ledger>,
    pub cdrs: Arc<dyn CdrStore>,
    pub views: Arc<Views>,
    pub keys: Keys,
    pub render_metrics: RenderMetrics,
    pub ready: Ready,
    pub metrics: Metrics,
    pub limits: Limits,
    pub clock: Clock,
}

/// Limits on what can grow, and what a request may ask.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests per second and key, and how many one moment may bring; beyond: 429.
    pub requests_per_s: u32,
    pub burst: u32,
    /// Streams open at once over all keys; beyond: 503.
    pub streams: usize,
    /// How long a request body may take to arrive.
    pub body: Duration,
    /// How long a stop waits for requests that are running.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { requests_per_s: 50, burst: 200, streams: 64, body: Duration::from_secs(20), stop: Duration::from_secs(5) }
    }
}

/// Cheap to clone: everything is behind one [`Arc`].
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

pub struct Inner {
    pub(crate) parts: Parts,
    pub(crate) sessions: Sessions,
    pub(crate) rate: RateLimiter,
    pub(crate) answers: Answers,
    /// Becomes true when the server stops: streams end by it.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
}

impl ApiState {
    pub fn new(parts: Parts) -> ApiState {
        let limits = parts.limits;
        ApiState(Arc::new(Inner {
            parts,
            sessions: Sessions::default(),
            rate: RateLimiter::new(limits.requests_per_s, limits.burst),
            answers: Answers::default(),
            closing: watch::Sender::new(false),
            streams: Arc::new(tokio::sync::Semaphore::new(limits.streams)),
        }))
    }

    pub(crate) fn now_us(&self) -> i64 {
        (self.0.parts.clock)()
    }
}

impl std::ops::Deref for ApiState {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}
