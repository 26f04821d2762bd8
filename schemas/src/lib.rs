//! The contracts between Tollgate's parts, in the order data flows: what a call is made of, what is written about
//! it, where it is written, and what is read from it. Pure: no I/O, no clock, no randomness, imports no other crate
//! of ours.

pub mod currency;
pub mod id;
pub mod money;
pub mod name;
pub mod number;
pub mod time;

pub mod codec;
pub mod parties;
pub mod portability;
pub mod refusal;
pub mod terms;

pub mod cdr;
pub mod csv_text;
pub mod event;
pub mod json;
pub mod strict;
pub mod tiers;
pub mod v1;

pub mod control;
pub mod log;
pub mod nodes;
pub mod stage;
pub mod store;
