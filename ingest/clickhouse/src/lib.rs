//! The CDR store on ClickHouse, in the order data flows: the row as stored, the tables, inserts, lists, reports and the
//! sums behind them. README.md beside this crate has what a row costs and what was measured.

pub mod options;

mod layout;
mod rowbinary;

mod client;
mod schema;
mod migrate;

mod scope;
mod lists;
mod traffic;
mod tally;
mod rollup;

mod metrics;
mod store;

pub use metrics::StoreStats;
pub use options::{Compression, Options, Retention};
pub use store::ClickhouseStore;
