//! The API over real HTTP on loopback, with simple parts behind its ports.

mod client;
mod decks;
mod fakes;

mod auth;
mod balances;
mod blocks;
mod cdrs;
mod finance;
mod openapi;
mod provisioning;
mod reports;
mod sessions;
mod shape;
mod stream;
