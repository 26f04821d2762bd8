//! Makes a stage's outputs again from its input and compares them with what the log has (design §2: same input, same
//! output). Processing time and the log's own numbering stand outside the comparison.

use std::{collections::HashMap, hash::BuildHasher};

use prost::Message;
use tollgate_schemas::{
    event::Event,
    id::Id,
    log::{Append, EventLog, LogError, Topic},
    stage::Stage,
};

use crate::{
    runner::{Instance, RunnerOptions, partitions},
    worker::Control,
};

const BATCH: usize = 4096;
/// Differences listed.
const LISTED: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub topic: Topic,
    pub partition: u16,
    pub id: Id,
    pub what: &'static str,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Events fed.
    pub inputs: u64,
    /// Outputs compared.
    pub outputs: u64,
    /// The first thousand.
    pub differences: Vec<Difference>,
}

impl ReplayReport {
    pub fn equal(&self) -> bool {
        self.differences.is_empty()
    }

    fn note(&mut self, topic: Topic, partition: u16, id: Id, what: &'static str) {
        if self.differences.len() < LISTED {
            self.differences.push(Difference { topic, partition, id, what });
        }
    }
}

/// An output in the log: a hash of what must be equal, and whether the replay made it too.
struct Logged {
    hash: u64,
    made: bool,
}

/// Feeds a fresh stage the whole of its input up to its committed progress, and compares what it puts into `topics`,
/// with what is there; of topics that others write too, `mine` tells this stage's events. Run it while the stage does not.
pub fn replay(
    log: &dyn EventLog,
    stage: &'static str,
    make: impl Fn(u16) -> Box<dyn Stage>,
    options: &RunnerOptions,
    topics: &[Topic],
    mine: &dyn Fn(&Event) -> bool,
) -> Result<ReplayReport, LogError> {
    let mut report = ReplayReport::default();
    let mut logged: HashMap<(Topic, u16, Id), Logged> = HashMap::new();
    // Outputs to topics of one partition come from every input partition: they are held to the end.
    let (single, own): (Vec<Topic>, Vec<Topic>) = topics.iter().partition(|t| t.single_partition());
    for topic in single {
        load(log, topic, 0, mine, &mut logged, &mut report)?;
    }
    for (_, partition) in partitions(log, options.input) {
        for topic in &own {
            load(log, *topic, partition, mine, &mut logged, &mut report)?;
        }
        let mut instance = Instance::fresh(log, stage, partition, &make, options)?;
        let never_stopped = Control::detached();
        let mut outputs = Vec::new();
        while instance.behind() {
            let before = instance.next;
            instance.again(log, &never_stopped, &mut outputs)?;
            report.inputs += instance.next - before;
            for output in outputs.drain(..).filter(|o: &Append| topics.contains(&o.topic)) {
                compare(output, &mut logged, &mut report);
            }
        }
        logged.retain(|(topic, p, id), found| {
            let done = *p == partition && !topic.single_partition();
            if done && !found.made {
                report.note(*topic, *p, *id, "in the log, not made again");
            }
            !done
        });
    }
    for ((topic, partition, id), _) in logged.iter().filter(|(_, found)| !found.made) {
        report.note(*topic, *partition, *id, "in the log, not made again");
    }
    Ok(report)
}

fn load(log: &dyn EventLog, topic: Topic, partition: u16, mine: &dyn Fn(&Event) -> bool, logged: &mut HashMap<(Topic, u16, Id), Logged>, report: &mut ReplayReport) -> Result<(), LogError> {
    let end = log.end(topic, partition);
    let mut next = 0;
    while next < end {
        let records = log.read(topic, partition, next, BATCH)?;
        for record in &records {
            next = record.offset + 1;
            if !mine(&record.event) {
                continue;
            }
            let logged_now = Logged { hash: hash(&record.event), made: false };
            if logged.insert((topic, partition, record.event.id()), logged_now).is_some() {
                report.note(topic, partition, record.event.id(), "twice in the log");
            }
        }
        if records.is_empty() {
            break;
        }
    }
    Ok(())
}

fn compare(output: Append, logged: &mut HashMap<(Topic, u16, Id), Logged>, report: &mut ReplayReport) {
    report.outputs += 1;
    let (topic, partition, id) = (output.topic, output.partition, output.event.id());
    match logged.get_mut(&(topic, partition, id)) {
        None => report.note(topic, partition, id, "made again, not in the log"),
        Some(found) if found.made => report.note(topic, partition, id, "made twice"),
        Some(found) => {
            found.made = true;
            if found.hash != hash(&output.event) {
                report.note(topic, partition, id, "made again with other content");
            }
        }
    }
}

/// Of everything but processing time and place.
fn hash(event: &Event) -> u64 {
    let plain = Event { ingest_us: 0, partition_seq: 0, ..event.clone() };
    foldhash::quality::FixedState::with_seed(1).hash_one(plain.encode_to_vec())
}
