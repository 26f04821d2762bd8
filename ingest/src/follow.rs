//! Shows every event of some topics to a view as soon as it is durable: live calls, blocks, alerts, the stream.

use std::{sync::Arc, time::{Duration, Instant}};

use tollgate_schemas::log::{EventLog, Record, Topic};

use crate::{
    runner::partitions,
    worker::{self, NAP, WorkerHandle},
};

/// Where a follower begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Beginning,
    /// Only what is durable from now on.
    End,
}

const BATCH: usize = 1024;

/// Starts the thread `name`, which calls `seen` with every event of `topics`: within a partition in order, between
/// topics in the order given, each round. `poll_ms` makes rounds fewer and larger; 0 follows at once.
pub fn follow(
    log: Arc<dyn EventLog>,
    name: &str,
    topics: &[Topic],
    from: From,
    poll_ms: u64,
    mut seen: impl FnMut(Topic, u16, &Record) + Send + 'static,
) -> std::io::Result<WorkerHandle> {
    let streams: Vec<(Topic, u16)> = topics.iter().flat_map(|t| partitions(&*log, *t)).collect();
    // The end is taken here, so that nothing durable after this call returns is missed.
    let start: Vec<u64> = streams.iter().map(|(t, p)| if from == From::End { log.end(*t, *p) } else { 0 }).collect();
    let body_log = log.clone();
    worker::spawn(log, name, streams.clone(), move |control| {
        let log = body_log;
        let mut next = start;
        for (i, offset) in next.iter().enumerate() {
            control.reached(i, *offset);
        }
        control.ready();
        while !control.stopping() {
            let began = Instant::now();
            let mark = log.durable();
            let mut moved = false;
            for (i, (topic, partition)) in streams.iter().enumerate() {
                if log.end(*topic, *partition) == next[i] {
                    continue;
                }
                let read = control.until_read(|| log.read(*topic, *partition, next[i], BATCH)).map_err(|e| e.to_string())?;
                let Some(records) = read else { return Ok(()) };
                for record in &records {
                    seen(*topic, *partition, record);
                    next[i] = record.offset + 1;
                }
                moved |= !records.is_empty();
                control.reached(i, next[i]);
            }
            if !moved {
                log.wait_beyond(mark, NAP);
            }
            let rest = Duration::from_millis(poll_ms).saturating_sub(began.elapsed());
            if !rest.is_zero() && !control.stopping() {
                std::thread::sleep(rest);
            }
        }
        Ok(())
    })
}
