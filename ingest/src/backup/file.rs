//! Reads a backup, part by part.

use std::{collections::BTreeMap, io::Read};

use tollgate_schemas::{
    event::{self, Event},
    log::{Snapshot, Topic},
};

use super::{BackupError, Contents, Count, Header, Reached, Secret, Trailer, frame::FrameReader, hex, unhex};

/// One part of a file, in the file's order.
#[derive(Debug)]
pub enum Part {
    Events { topic: Topic, partition: u16, first: u64, events: Vec<Event> },
    Progress(Vec<Reached>),
    /// Its `next` is an ordinal.
    Snapshot(Snapshot),
    Secret { name: String, bytes: Vec<u8> },
    /// The last one: the file is whole.
    End(Contents),
}

pub struct Reader<R> {
    frames: FrameReader<R>,
    header: Header,
    counts: BTreeMap<(Topic, u16), u64>,
    secrets: u32,
    snapshots: u32,
    progress: bool,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads up to and with the header.
    pub fn open(from: R) -> Result<Reader<R>, BackupError> {
        let mut frames = FrameReader::new(from)?;
        let at = frames.at;
        let damaged = |problem: String| BackupError::Damaged { at, problem };
        let header = match frames.frame()? {
            Some((b'H', content)) => serde_json::from_slice(&content).map_err(|e| damaged(format!("the header cannot be read: {e}")))?,
            Some(_) => return Err(damaged("a frame before the header".to_owned())),
            None => return Err(damaged("the file ends before its header: it is torn".to_owned())),
        };
        Ok(Reader { frames, header, counts: BTreeMap::new(), secrets: 0, snapshots: 0, progress: false, ended: false })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next part; none after [`Part::End`].
    pub fn part(&mut self) -> Result<Option<Part>, BackupError> {
        let at = self.frames.at;
        let damaged = |problem: String| BackupError::Damaged { at, problem };
        let before = self.frames.frames;
        let Some((kind, content)) = self.frames.frame()? else {
            return if self.ended { Ok(None) } else { Err(damaged("the file ends here without its trailer: it is torn".to_owned())) };
        };
        if self.ended {
            return Err(damaged("something follows the trailer".to_owned()));
        }
        let unreadable = |e: serde_json::Error| damaged(format!("frame '{}' cannot be read: {e}", char::from(kind)));
        match kind {
            b'E' => self.events(&content, at).map(Some),
            b'P' if !self.progress => {
                self.progress = true;
                Ok(Some(Part::Progress(serde_json::from_slice(&content).map_err(unreadable)?)))
            }
            b'N' => {
                self.snapshots += 1;
                snapshot(&content).map(|s| Some(Part::Snapshot(s))).ok_or_else(|| damaged("a snapshot ends too soon".to_owned()))
            }
            b'S' => {
                let secret: Secret = serde_json::from_slice(&content).map_err(unreadable)?;
                let bytes = unhex(&secret.hex).ok_or_else(|| damaged("a secret is not hex".to_owned()))?;
                self.secrets += 1;
                Ok(Some(Part::Secret { name: secret.name, bytes }))
            }
            b'T' => {
                let trailer: Trailer = serde_json::from_slice(&content).map_err(unreadable)?;
                let counts: Vec<Count> =
                    self.counts.iter().map(|((t, p), n)| Count { topic: t.name().to_owned(), partition: *p, events: *n }).collect();
                let events = self.counts.values().sum();
                if !self.progress || trailer != (Trailer { events, frames: before, streams: counts.clone() }) {
                    return Err(damaged(format!("the trailer tells of {} events in {} frames, the file has {events} in {before}", trailer.events, trailer.frames)));
                }
                self.ended = true;
                let hash = hex(self.frames.chain.as_bytes());
                let streams = counts.len() as u32;
                Ok(Some(Part::End(Contents { header: self.header.clone(), events, streams, snapshots: self.snapshots, secrets: self.secrets, bytes: self.frames.at, hash })))
            }
            kind => Err(damaged(format!("a frame of kind {kind} does not belong here"))),
        }
    }

    fn events(&mut self, content: &[u8], at: u64) -> Result<Part, BackupError> {
        let damaged = |problem: String| BackupError::Damaged { at, problem };
        let short = || damaged("a frame of events ends too soon".to_owned());
        let (head, mut rest) = content.split_first_chunk::<15>().ok_or_else(short)?;
        let topic = Topic::ALL.into_iter().find(|t| *t as u8 == head[0]);
        let topic = topic.ok_or_else(|| BackupError::Refused(format!("the backup has a topic numbered {} that this program does not know: use a newer one", head[0])))?;
        let partition = u16::from_be_bytes([head[1], head[2]]);
        let first = u64::from_be_bytes([head[3], head[4], head[5], head[6], head[7], head[8], head[9], head[10]]);
        let count = u32::from_be_bytes([head[11], head[12], head[13], head[14]]);
        let held = self.counts.entry((topic, partition)).or_default();
        if self.progress || *held != first || partition >= self.header.partitions {
            return Err(damaged(format!("events of {} partition {partition} from {first} on, where {held} are due", topic.name())));
        }
        *held += u64::from(count);
        let mut events = Vec::with_capacity((count as usize).min(4096));
        for _ in 0..count {
            let (length, left) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            let (bytes, left) = left.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(short)?;
            events.push(event::decode(bytes).map_err(|e| match e {
                event::ReadError::TooNew { .. } => BackupError::Refused(e.to_string()),
                e => damaged(e.to_string()),
            })?);
            rest = left;
        }
        if rest.is_empty() { Ok(Part::Events { topic, partition, first, events }) } else { Err(damaged("a frame of events has more than it counts".to_owned())) }
    }
}

fn snapshot(content: &[u8]) -> Option<Snapshot> {
    let (length, rest) = content.split_first()?;
    let (consumer, rest) = rest.split_at_checked(usize::from(*length))?;
    let (partition, rest) = rest.split_first_chunk::<2>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (next, state) = rest.split_first_chunk::<8>()?;
    Some(Snapshot {
        consumer: std::str::from_utf8(consumer).ok()?.to_owned(),
        partition: u16::from_be_bytes(*partition),
        version: u32::from_be_bytes(*version),
        next: u64::from_be_bytes(*next),
        state: state.to_vec(),
    })
}

/// Reads a whole file and changes nothing: whether it can be restored. `told` hears how many events are done and how many there are.
pub fn check(from: impl Read, mut told: impl FnMut(u64, u64)) -> Result<Contents, BackupError> {
    let mut reader = Reader::open(from)?;
    let all = reader.header.expected();
    let mut done = 0;
    let mut contents = None;
    while let Some(part) = reader.part()? {
        match part {
            Part::Events { events, .. } => {
                done += events.len() as u64;
                told(done, all);
            }
            Part::End(end) => contents = Some(end),
            Part::Progress(_) | Part::Snapshot(_) | Part::Secret { .. } => {}
        }
    }
    // `part` gives no end without a trailer.
    contents.ok_or_else(|| BackupError::Damaged { at: 0, problem: "no trailer".to_owned() })
}
