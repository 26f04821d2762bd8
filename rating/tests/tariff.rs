//! Tariffs by their figures: tables that a finance person reads, the peer's cases, and what must always hold.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "tariff/cases.rs"]
mod cases;
#[path = "tariff/decks.rs"]
mod decks;
#[path = "tariff/inverse.rs"]
mod inverse;
#[path = "tariff/language.rs"]
mod language;
#[path = "tariff/oracle.rs"]
mod oracle;
#[path = "tariff/properties.rs"]
mod properties;
