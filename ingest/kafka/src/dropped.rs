//! What the brokers no longer have: a stream's first offset has moved on, by retention. A consumer that asks for less is given
//! what comes after in silence, so this is looked at wherever offsets jump. Topic `calls` is then read from the archive; of
//! topics that are kept for ever, facts are missing. What is derived or of the moment may begin later.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::consumer::{BaseConsumer, Consumer};
use tollgate_ingest::ArchiveReader;
use tollgate_schemas::log::{LogError, Record, Topic};

use crate::{
    Options,
    client::{Quiet, storage},
};

/// Topics that are kept for ever jump at the end of each transaction, and drop nothing: they are looked at this often.
const SELDOM: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Dropped {
    archive: Option<ArchiveReader>,
    /// The first offset each stream still has, as far as is known: it only grows.
    lows: Mutex<HashMap<(Topic, u16), Low>>,
    client: Mutex<Option<BaseConsumer<Quiet>>>,
}

struct Low {
    offset: u64,
    asked: Instant,
}

impl Dropped {
    pub fn new(archive: Option<&Path>) -> Dropped {
        Dropped { archive: archive.map(ArchiveReader::open), ..Dropped::default() }
    }

    /// None: as far as is known, the brokers have what comes next.
    pub fn read(&self, topic: Topic, partition: u16, from: u64, max: usize) -> Result<Option<Vec<Record>>, LogError> {
        let low = self.lows.lock().unwrap_or_else(PoisonError::into_inner).get(&(topic, partition)).map_or(0, |l| l.offset);
        if from >= low {
            return Ok(None);
        }
        let gone = |why: String| {
            let problem = format!("offsets {from} to {} are no longer in Kafka, {why}", low - 1);
            LogError::Corrupt { topic: topic.name(), partition, offset: from, problem }
        };
        let Some(archive) = self.archive.as_ref().filter(|_| topic == Topic::Calls) else {
            let why = if topic == Topic::Calls { "and no archive is configured" } else { "of a topic that is kept for ever" };
            return Err(gone(why.to_owned()));
        };
        let records = match archive.read(partition, from, max) {
            Ok(records) => records,
            Err(LogError::Corrupt { problem, .. }) => return Err(gone(format!("and not in the archive: {problem}"))),
            Err(e) => return Err(e),
        };
        if records.is_empty() {
            return Err(gone(format!("and the archive in {} ends before them", archive.dir().display())));
        }
        Ok(Some(records))
    }

    /// Records as they came, up to a jump over what the brokers have dropped; None when they begin with it.
    pub fn cut(&self, options: &Options, topic: Topic, partition: u16, from: u64, mut records: Vec<Record>) -> Result<Option<Vec<Record>>, LogError> {
        let Some((at, missing)) = jump(from, &records) else { return Ok(Some(records)) };
        // A jump may also be the end of a transaction.
        if !self.look(options, topic, partition, missing)? {
            return Ok(Some(records));
        }
        records.truncate(at);
        Ok(Some(records).filter(|r| !r.is_empty()))
    }

    /// Asks the brokers whether they dropped what stood at `from`.
    pub fn look(&self, options: &Options, topic: Topic, partition: u16, from: u64) -> Result<bool, LogError> {
        if matches!(topic, Topic::Quality | Topic::Leases) {
            return Ok(false);
        }
        if topic != Topic::Calls
            && let Some(low) = self.lows.lock().unwrap_or_else(PoisonError::into_inner).get(&(topic, partition))
            && low.asked.elapsed() < SELDOM
        {
            return Ok(from < low.offset);
        }
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match &mut *client {
            Some(client) => client,
            none => none.insert(options.reader().create_with_context(Quiet).map_err(|e| storage("consumer", &e))?),
        };
        let name = options.topic(topic);
        let (low, _) = client.fetch_watermarks(&name, partition.into(), options.request).map_err(|e| storage("reading a stream's ends", &e))?;
        let mut lows = self.lows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lows.entry((topic, partition)).or_insert(Low { offset: 0, asked: Instant::now() });
        *known = Low { offset: known.offset.max(u64::try_from(low).unwrap_or(0)), asked: Instant::now() };
        Ok(from < known.offset)
    }
}

/// The first record that does not follow, and the offset that would have.
fn jump(from: u64, records: &[Record]) -> Option<(usize, u64)> {
    let mut due = from;
    for (at, record) in records.iter().enumerate() {
        if record.offset > due {
            return Some((at, due));
        }
        due = record.offset + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_schemas::v1::Event;

    use super::*;

    fn records(offsets: &[u64]) -> Vec<Record> {
        offsets.iter().map(|o| Record { offset: *o, event: Arc::new(Event::default()) }).collect()
    }

    #[test]
    fn a_jump_over_what_was_dropped_is_cut_off_and_one_over_a_transactions_end_is_not() {
        let (options, dropped) = (Options::default(), Dropped::default());
        // As asked a moment ago: the stream begins at 100.
        dropped.lows.lock().expect("lock").insert((Topic::Cdrs, 1), Low { offset: 100, asked: Instant::now() });
        let cut = |from, offsets: &[u64]| {
            let left = dropped.cut(&options, Topic::Cdrs, 1, from, records(offsets)).expect("cut");
            left.map(|r| r.iter().map(|r| r.offset).collect::<Vec<_>>())
        };
        assert_eq!(cut(40, &[40, 41, 100, 101]), Some(vec![40, 41]));
        assert_eq!(cut(40, &[100, 101]), None);
        assert_eq!(cut(100, &[100, 101, 105, 109]), Some(vec![100, 101, 105, 109]));
        assert_eq!(cut(102, &[105]), Some(vec![105]));
    }
}
