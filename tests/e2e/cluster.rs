//! Several processes on one Kafka and one ClickHouse: the same results, and nothing lost when any of them, or either server, is
//! killed or away.

mod faults;
mod parts;
mod same;
mod shares;

pub use parts::Cluster;
