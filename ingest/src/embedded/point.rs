//! How far the node's own log may be trimmed, when it only spools for a shared one.
//!
//! **The rule.** An event of topic `calls` may go when nobody reads it from this log again:
//! - the forwarder has noted that the shared log has it;
//! - the newest snapshot of `live` (the calls that are up, folded at the next start) comes after it.
//!
//! The ticker needs nothing: it follows topic `blocks`, and of `calls` only the ends, which go on. Everybody else reads the shared
//! log. Without one there is no forwarder, its progress is nowhere, and nothing may go.
//!
//! A snapshot of `live` in a form this program does not restore counts: it may be from before an upgrade. So whoever changes that
//! form must read the one before.

use tollgate_schemas::log::{EventLog, Topic};

use crate::forward::FORWARDER;

/// The stage that folds the calls that are up.
const LIVE: &str = "live";

/// For each partition of topic `calls`, the first offset that is still needed. What cannot be told is needed.
pub fn trim_point(log: &dyn EventLog) -> Vec<u64> {
    let needed = |partition| {
        let forwarded = log.progress(FORWARDER, Topic::Calls, partition).ok().flatten().unwrap_or(0);
        if forwarded == 0 {
            return 0;
        }
        let folded = log.snapshot(LIVE, partition).ok().flatten().map_or(0, |s| s.next);
        forwarded.min(folded)
    };
    (0..log.partitions()).map(needed).collect()
}
