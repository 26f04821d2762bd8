//! The CDR store on one machine: Parquet files under DataFusion, fresh rows in memory. It implements
//! `tollgate_schemas::store::CdrStore`, and it is the crate where arrow lives, so the Parquet forms of call files
//! (`calls_file`) and of exported CDRs (`cdr_file`) are here too.
//!
//! Where to begin: `embedded` (a row's way in and what a query sees), then `manifest` (what is on disk).

pub mod calls_file;
pub mod cdr_file;
pub mod columns;
mod compact;
mod digest;
mod embedded;
mod flush;
mod fresh;
mod identity;
mod manifest;
mod older;
mod parquet_file;
mod query;
mod tally;
mod traffic;

pub use digest::content_digest;
pub use embedded::{EmbeddedStore, Options};
