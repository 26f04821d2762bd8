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
            let mark = log.news();
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::sample::{LONG, lifted, numbered, open, put};

    #[test]
    fn a_view_sees_every_event_from_where_it_began() {
        let dir = tempfile::tempdir().expect("dir");
        let log = open(dir.path());
        put(&*log, (0..5).map(|n| numbered(n as u16 % 4, n, 0)).chain([lifted(1)]).collect());
        let seen: Arc<Mutex<Vec<(bool, Topic, u16, u64)>>> = Arc::default();
        let views = [From::Beginning, From::End].map(|from| {
            let seen = seen.clone();
            let note = move |t, p, r: &Record| seen.lock().expect("lock").push((from == From::End, t, p, r.offset));
            follow(log.clone(), "view", &[Topic::Calls, Topic::Blocks], from, 0, note).expect("thread")
        });
        put(&*log, vec![numbered(0, 9, 0)]);
        for view in views {
            assert!(view.wait_caught_up(LONG));
        }
        let seen = seen.lock().expect("lock");
        let of = |end| seen.iter().filter(|s| s.0 == end).collect::<Vec<_>>();
        assert_eq!(of(false).len(), 7);
        assert_eq!(of(true), [&(true, Topic::Calls, 0, 2)]);
        assert!(seen.contains(&(false, Topic::Blocks, 0, 0)));
    }
}
