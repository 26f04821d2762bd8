//! How a log is opened. Every number has a default that suits one machine.

use std::sync::Arc;

use tollgate_schemas::log::LogError;

use super::Faults;

#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of topics that are not single, 1 to 1024. Fixed when the folder is made.
    pub partitions: u16,
    /// How long the first urgent append waits for company, ms.
    pub window_ms: u64,
    /// How long an append nobody waits for may wait, ms.
    pub ride_ms: u64,
    /// A group is closed early when it holds this many events.
    pub group_events: usize,
    /// Events not yet durable at which ordinary appends are refused.
    pub limit: usize,
    /// Further events not yet durable that live calls, emergency calls and stages may still queue.
    pub reserved: usize,
    /// Age of the oldest append not yet durable beyond which the log says it is slow, ms.
    pub slow_ms: u64,
    /// Free space on the disk below which new calls are refused, bytes.
    pub reserve_bytes: u64,
    /// Recent events kept decoded in memory for readers of this process, in encoded bytes.
    pub tail_bytes: usize,
    /// Encoded bytes of one segment, which is also what one memtable holds.
    pub segment_bytes: u64,
    /// Faults to inject at the storage boundary, for tests and drills.
    pub faults: Option<Arc<Faults>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            partitions: 16,
            window_ms: 15,
            ride_ms: 200,
            group_events: 8192,
            limit: 65_536,
            reserved: 65_536,
            slow_ms: 2_000,
            reserve_bytes: 256 << 20,
            tail_bytes: 16 << 20,
            segment_bytes: 64 << 20,
            faults: None,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), LogError> {
        let refuse = |what: &str| Err(LogError::Refused(format!("event log options: {what}")));
        match self {
            Options { partitions: 0 | 1025.., .. } => refuse("partitions must be 1 to 1024"),
            Options { limit: 0, .. } | Options { group_events: 0, .. } => refuse("limit and group_events must be at least 1"),
            Options { segment_bytes: 0, .. } => refuse("segment_bytes must be at least 1"),
            _ => Ok(()),
        }
    }
}
