//! Writes a backup: stream by stream, a batch at a time.

use std::{
    collections::HashMap,
    io::Write,
    time::{Duration, Instant},
};

use prost::Message;
use tollgate_schemas::log::{EventLog, Snapshot, Topic};

use super::{
    BackupError, Contents, Count, FRAME_MAX, Header, Moment, Reached, Secret, Trailer, frame::FrameWriter, hex,
};
use crate::{
    copy::STAGES,
    runner::repeats::{Repeats, Seen},
};

/// Events read at once, and in one frame at most.
const BATCH: usize = 512;
/// A frame is closed at this size.
const FRAME: usize = 256 << 10;
/// Longest rest after one batch.
const REST: Duration = Duration::from_millis(20);

/// How much of the machine a backup takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes: nobody else is here.
    Full,
    /// Rests as long as it worked: calls go first.
    Half,
}

/// What was written.
pub type Written = Contents;

/// Writes everything up to the moment. `node`: whose log it is, none for a shared one. `told` hears how many events are done and how
/// many there are, about.
#[allow(clippy::too_many_arguments)]
pub fn write(
    log: &dyn EventLog,
    moment: &Moment,
    node: Option<u64>,
    created_us: i64,
    secrets: &[(String, Vec<u8>)],
    out: impl Write,
    pace: Pace,
    mut told: impl FnMut(u64, u64),
) -> Result<Written, BackupError> {
    // A proxy's own log beside a shared one lets go what the shared one has.
    if let Some((topic, partition, _)) = moment.ends.iter().find(|(t, p, _)| !log.shared() && log.first(*t, *p) > 0) {
        let problem = format!("topic {} partition {partition} has let its first events go: this node shares its log, so back up the shared one, with -c FILE", topic.name());
        return Err(BackupError::Refused(problem));
    }
    let header = Header {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        node: node.map(|n| format!("{n:012x}")).unwrap_or_default(),
        shared: log.shared(),
        partitions: log.partitions(),
        created_us,
        streams: moment.ends.iter().map(|(t, p, end)| Count { topic: t.name().to_owned(), partition: *p, events: *end }).collect(),
    };
    let all = header.expected();
    let mut frames = FrameWriter::new(out)?;
    frames.frame(b'H', &json(&header)?)?;
    let mut counts = Vec::new();
    let mut reached = Vec::new();
    let mut snapshots = Vec::new();
    let mut done = 0;
    for (topic, partition, end) in moment.ends.iter().copied() {
        let mut stream = Stream::new(log, moment, topic, partition);
        let mut next = 0;
        while next < end {
            let began = Instant::now();
            let records = log.read(topic, partition, next, BATCH)?;
            let Some(last) = records.last().map(|r| r.offset) else { break };
            for record in records.iter().take_while(|r| r.offset < end) {
                // Events are stamped with places in it.
                if topic == Topic::Control && record.offset != stream.ordinal {
                    let problem = format!("topic control has no event at offset {}: a copy would not fit the stamps of calls", stream.ordinal);
                    return Err(BackupError::Refused(problem));
                }
                if !stream.takes(record.offset, &record.event) {
                    continue;
                }
                stream.put(&record.event, &mut frames)?;
            }
            next = last + 1;
            if pace == Pace::Half {
                std::thread::sleep(began.elapsed().min(REST));
            }
            told(done + stream.ordinal, all);
        }
        stream.close(&mut frames)?;
        done += stream.ordinal;
        reached.extend(stream.reached());
        snapshots.extend(stream.snapshots());
        if stream.ordinal > 0 {
            counts.push(Count { topic: topic.name().to_owned(), partition, events: stream.ordinal });
        }
    }
    frames.frame(b'P', &json(&reached)?)?;
    let mut kept = 0;
    for (snapshot, ordinal) in snapshots {
        let content = snapshot_content(snapshot, ordinal);
        if content.len() <= FRAME_MAX {
            frames.frame(b'N', &content)?;
            kept += 1;
        }
    }
    for (name, secret) in secrets {
        frames.frame(b'S', &json(&Secret { name: name.clone(), hex: hex(secret) })?)?;
    }
    let streams = counts.len() as u32;
    frames.frame(b'T', &json(&Trailer { events: done, frames: frames.frames, streams: counts })?)?;
    let (chain, bytes) = frames.finish()?;
    Ok(Written { header, events: done, streams, snapshots: kept, secrets: secrets.len() as u32, bytes, hash: hex(chain.as_bytes()) })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, BackupError> {
    serde_json::to_vec(value).map_err(|e| BackupError::Output(e.into()))
}

fn snapshot_content(snapshot: &Snapshot, ordinal: u64) -> Vec<u8> {
    // Stages' names are short.
    let mut content = vec![snapshot.consumer.len() as u8];
    content.extend(snapshot.consumer.as_bytes());
    content.extend(snapshot.partition.to_be_bytes());
    content.extend(snapshot.version.to_be_bytes());
    content.extend(ordinal.to_be_bytes());
    content.extend(&snapshot.state);
    content
}

/// A next offset of the log, and how many events before it were taken.
type Mark = (u64, u64);

/// One stream on its way into frames.
struct Stream<'a> {
    topic: Topic,
    partition: u16,
    moment: &'a Moment,
    /// On a shared log: what came of each node, since some of it may have come twice.
    repeats: Option<Repeats>,
    /// Events taken so far.
    ordinal: u64,
    /// Of each consumer of this stream.
    consumers: HashMap<&'a str, Mark>,
    snapshots: Vec<(&'a Snapshot, Mark)>,
    content: Vec<u8>,
    held: u32,
}

impl<'a> Stream<'a> {
    fn new(log: &dyn EventLog, moment: &'a Moment, topic: Topic, partition: u16) -> Stream<'a> {
        let own = moment.progress.iter().filter(|p| (p.topic, p.partition) == (topic, partition));
        let read_by = |consumer: &str| STAGES.into_iter().any(|(name, input)| name == consumer && input == topic);
        let snapshots = moment.snapshots.iter().filter(|s| s.partition == partition && read_by(&s.consumer));
        Stream {
            snapshots: snapshots.map(|s| (s, (s.next, 0))).collect(),
            topic,
            partition,
            moment,
            repeats: (log.shared() && topic == Topic::Calls).then(Repeats::default),
            ordinal: 0,
            consumers: own.map(|p| (p.consumer.as_str(), (p.next, 0))).collect(),
            content: Vec::new(),
            held: 0,
        }
    }

    /// False for what was sent twice, and for a stage's output that it will make again.
    fn takes(&mut self, offset: u64, event: &tollgate_schemas::event::Event) -> bool {
        if self.repeats.as_mut().is_some_and(|r| r.see(event) == Seen::Again) || self.moment.leaves_out(self.topic, self.partition, offset) {
            return false;
        }
        let marks = self.consumers.values_mut().chain(self.snapshots.iter_mut().map(|(_, mark)| mark));
        marks.filter(|(next, _)| offset < *next).for_each(|(_, before)| *before += 1);
        true
    }

    fn put<W: Write>(&mut self, event: &tollgate_schemas::event::Event, frames: &mut FrameWriter<W>) -> Result<(), BackupError> {
        if self.held == 0 {
            self.content.clear();
            self.content.push(self.topic as u8);
            self.content.extend(self.partition.to_be_bytes());
            self.content.extend(self.ordinal.to_be_bytes());
            self.content.extend(0u32.to_be_bytes());
        }
        self.content.extend((event.encoded_len() as u32).to_be_bytes());
        // A vector has room.
        event.encode(&mut self.content).map_err(|e| BackupError::Output(std::io::Error::other(e)))?;
        self.held += 1;
        self.ordinal += 1;
        if self.held as usize >= BATCH || self.content.len() >= FRAME { self.close(frames) } else { Ok(()) }
    }

    fn close<W: Write>(&mut self, frames: &mut FrameWriter<W>) -> Result<(), BackupError> {
        if self.held == 0 {
            return Ok(());
        }
        self.content[11..15].copy_from_slice(&self.held.to_be_bytes());
        self.held = 0;
        frames.frame(b'E', &self.content)
    }

    fn snapshots(&self) -> impl Iterator<Item = (&'a Snapshot, u64)> {
        self.snapshots.iter().map(|(snapshot, (_, before))| (*snapshot, *before)).collect::<Vec<_>>().into_iter()
    }

    fn reached(&self) -> Vec<Reached> {
        let mut all: Vec<Reached> = self
            .consumers
            .iter()
            .map(|(consumer, (_, before))| Reached { consumer: (*consumer).to_owned(), topic: self.topic.name().to_owned(), partition: self.partition, next: *before })
            .collect();
        all.sort_by(|a, b| a.consumer.cmp(&b.consumer));
        all
    }
}
