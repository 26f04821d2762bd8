//! Money and routes, pure: rate sheets, the rating of files of calls, and the choice of carriers. No clock, no files,
//! no tokio, no randomness: time and input are arguments, effects are return values.

pub mod deck;
pub mod coverage;
pub mod import;
pub mod sheet;

pub mod rate_file;
pub mod routing;

pub mod contract;
pub mod fx;
pub mod portability;
pub mod geography;
pub mod tax;
pub mod quality;

pub mod credit;
pub mod lease;
pub mod ledger;
pub mod mediation;
pub mod lately;

pub mod corrections;

mod cells;
mod lines;
