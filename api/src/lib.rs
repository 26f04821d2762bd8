//! What people and programs touch: REST under `/v1`, exports, a live stream, and the portal (design §5).
//!
//! In the order a request meets them: [`route`] is the one table of what there is, from which both the router and
//! `/openapi.json` are made; `entry` checks key, scope, rate, parameters and body; then one file per resource.
//! What is needed from elsewhere comes through [`ports`]; what is remembered of the log is in [`views`].

pub mod ports;
pub mod views;

mod auth;
mod metrics;
mod state;

mod ask;
mod entry;
mod idempotency;
mod problem;
pub mod route;
mod server;

mod alerts;
mod backup;
mod balances;
mod blocks;
mod calls;
mod cdrs;
mod control;
mod cursor;
mod decks;
mod export;
mod finance;
mod health;
mod health_only;
mod openapi;
mod portal;
mod render;
mod reports;
mod routing;
mod stats;
mod stream;

pub use auth::{BadKey, Key, KeyConfig, Keys, Scope};
pub use health_only::serve_health;
pub use metrics::Metrics;
pub use render::customer_columns;
pub use server::{router, serve};
pub use state::{ApiState, Clock, Limits, Parts, Ready, RenderMetrics};
pub use views::{CountFrom, Views};
