//! What was told of coverage, and how far topic `alerts` was read to know it.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_rating::coverage::{Coverage, Gap};
use tollgate_schemas::{
    event::Body,
    log::{EventLog, LogError, Snapshot, Topic},
};

use super::rule;

/// Upstreams by destination.
pub type Upstreams = BTreeMap<String, u64>;

const CONSUMER: &str = "coverage";
/// Of the form below; another one is not restored.
const VERSION: u32 = 1;
const BATCH: usize = 1024;
/// Upstreams of a destination of which is told that it has enough.
const ENOUGH: u64 = 2;

pub fn upstreams(coverage: &Coverage) -> Upstreams {
    coverage.destinations.iter().map(|d| (d.destination.clone(), d.diversity)).collect()
}

/// The snapshot's form. Field numbers are never reused.
#[derive(Clone, PartialEq, Message)]
pub struct Told {
    #[prost(btree_map = "string, uint64", tag = "1")]
    pub upstreams: Upstreams,
    /// The next offset of topic `alerts`, whose coverage alerts this one tells on top of.
    #[prost(uint64, tag = "2")]
    pub next: u64,
}

impl Told {
    /// None: nothing was ever looked at, or a program of another form did.
    pub fn restore(log: &dyn EventLog) -> Result<Option<Told>, LogError> {
        let snapshot = log.snapshot(CONSUMER, 0)?.filter(|s| s.version == VERSION);
        Ok(snapshot.and_then(|s| Told::decode(s.state.as_slice()).ok()))
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot { consumer: CONSUMER.to_owned(), partition: 0, version: VERSION, next: self.next, state: self.encode_to_vec() }
    }

    /// Takes in what was told since, here or by another process.
    pub fn follow(&mut self, log: &dyn EventLog) -> Result<(), LogError> {
        while self.next < log.end(Topic::Alerts, 0) {
            let records = log.read(Topic::Alerts, 0, self.next, BATCH)?;
            let Some(last) = records.last() else { return Ok(()) };
            self.next = last.offset + 1;
            for record in &records {
                self.note(&record.event.body);
            }
        }
        Ok(())
    }

    fn note(&mut self, body: &Option<Body>) {
        match body {
            Some(Body::AlertRaised(raised)) if raised.stays_open && !raised.dest_group.is_empty() => {
                if let Some(gap) = [Gap::NoCarrier, Gap::OneUpstream].into_iter().find(|gap| rule(*gap) == raised.rule) {
                    self.upstreams.insert(raised.dest_group.clone(), if gap == Gap::NoCarrier { 0 } else { 1 });
                }
            }
            Some(Body::AlertClosed(closed)) => {
                let upstreams = self.upstreams.get_mut(&closed.dest_group);
                if let Some(upstreams) = upstreams.filter(|n| Gap::of(**n).is_some_and(|gap| rule(gap) == closed.rule)) {
                    *upstreams = ENOUGH;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::{closed, opened}, *};

    #[test]
    fn s1_85_what_was_told_since_the_snapshot_is_not_told_again() {
        let mut told = Told { upstreams: [("japan".to_owned(), 3), ("peru".to_owned(), 1)].into(), next: 0 };
        let mut take = |body: Body| {
            told.note(&Some(body));
            (told.upstreams["japan"], told.upstreams["peru"])
        };
        assert_eq!(take(opened(Gap::OneUpstream, "japan", String::new())), (1, 1));
        assert_eq!(take(closed(Gap::NoCarrier, "japan", String::new())), (1, 1), "it was none of those");
        assert_eq!(take(closed(Gap::OneUpstream, "japan", String::new())), (2, 1));
        assert_eq!(take(opened(Gap::NoCarrier, "japan", String::new())), (0, 1));
        assert_eq!(take(closed(Gap::NoCarrier, "peru", String::new())), (0, 1));
        assert_eq!(Told::decode(told.snapshot().state.as_slice()), Ok(told));
    }
}
