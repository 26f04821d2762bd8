//! One archived segment: the form of its file, and reading it. Integers are big endian.
//!
//! | part | bytes |
//! |---|---|
//! | header | [`HEADER`] |
//! | frames | as many as it takes |
//! | trailer | 32: BLAKE3 of the header followed by the frames' BLAKE3. It names the segment. |
//!
//! Header: `TGARCHIV`, form u32, topic u8, a zero, partition u16, then u64 each: the offset it begins at (its name), first offset,
//! last offset, count, encoded bytes, bytes of all frames; then the trailer of the partition's segment before it (zeros: none).
//! Everything the log had from where it begins to its last offset is in it; the next begins at last + 1.
//!
//! Frame: first offset u64, last offset u64, count u32, encoded bytes u32, packed bytes u32, then one zstd frame with its
//! checksum. Inside, for each event: its offset's distance to the one before (varint; to the frame's first offset for the
//! first), then the event in protobuf's delimited form.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use tollgate_schemas::{
    event,
    log::{LogError, Record, Topic},
};

pub type Hash = [u8; 32];

const MAGIC: &[u8; 8] = b"TGARCHIV";
/// Version of this form.
const FORM: u32 = 1;
pub const HEADER: usize = 96;
pub const TRAILER: usize = 32;
pub const FRAME: usize = 28;
/// No frame holds more, encoded: what says so is damaged. An event is far smaller.
pub const FRAME_MOST: u32 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub partition: u16,
    pub from: u64,
    pub first: u64,
    pub last: u64,
    pub count: u64,
    pub raw: u64,
    pub body: u64,
    pub previous: Hash,
}

/// Why a segment cannot be read.
#[derive(Debug)]
pub enum Bad {
    /// May pass: the disk or the share.
    Io(io::Error),
    /// `offset`: from which on it says nothing.
    Damaged { offset: u64, problem: String },
}

impl From<io::Error> for Bad {
    fn from(e: io::Error) -> Bad {
        Bad::Io(e)
    }
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bad::Io(e) => e.fmt(f),
            Bad::Damaged { offset, problem } => write!(f, "from offset {offset} on: {problem}"),
        }
    }
}

impl Bad {
    pub fn at(self, path: &Path, partition: u16) -> LogError {
        match self {
            Bad::Io(e) => LogError::Storage(format!("archive: {}: {e}", path.display())),
            Bad::Damaged { offset, problem } => {
                LogError::Corrupt { topic: Topic::Calls.name(), partition, offset, problem: format!("archive: {}: {problem}", path.display()) }
            }
        }
    }
}

fn damaged(offset: u64, problem: impl Into<String>) -> Bad {
    Bad::Damaged { offset, problem: problem.into() }
}

impl Header {
    /// The offset the next segment begins at.
    pub fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = Vec::with_capacity(HEADER);
        out.extend(MAGIC);
        out.extend(FORM.to_be_bytes());
        out.extend([Topic::Calls as u8, 0]);
        out.extend(self.partition.to_be_bytes());
        for number in [self.from, self.first, self.last, self.count, self.raw, self.body] {
            out.extend(number.to_be_bytes());
        }
        out.extend(self.previous);
        let mut header = [0; HEADER];
        header.copy_from_slice(&out);
        header
    }

    fn decode(bytes: &[u8; HEADER], from: u64) -> Result<Header, Bad> {
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        if &bytes[..8] != MAGIC {
            return Err(damaged(from, "it is no archived segment"));
        }
        let form = u32::from_be_bytes(std::array::from_fn(|i| bytes[8 + i]));
        if form != FORM {
            return Err(damaged(from, format!("it has form {form}, this program reads up to {FORM}: upgrade it")));
        }
        let header = Header {
            partition: u16::from_be_bytes([bytes[14], bytes[15]]),
            from: number(16),
            first: number(24),
            last: number(32),
            count: number(40),
            raw: number(48),
            body: number(56),
            previous: std::array::from_fn(|i| bytes[64 + i]),
        };
        if bytes[12] != Topic::Calls as u8 || header.from != from {
            return Err(damaged(from, format!("it says it begins at offset {}, of topic {}", header.from, bytes[12])));
        }
        if header.first < header.from || header.last < header.first || header.count == 0 {
            return Err(damaged(from, format!("it says it holds {} events from {} to {}", header.count, header.first, header.last)));
        }
        Ok(header)
    }
}

/// A segment's name.
pub(super) fn seal(header: &[u8; HEADER], body: &blake3::Hasher) -> Hash {
    *blake3::Hasher::new().update(header).update(body.finalize().as_bytes()).finalize().as_bytes()
}

/// Opens a segment at its first frame.
fn open(path: &Path, from: u64) -> Result<(File, Header, [u8; HEADER]), Bad> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = [0; HEADER];
    if length < (HEADER + TRAILER) as u64 {
        return Err(damaged(from, format!("it has {length} bytes: less than a header")));
    }
    file.read_exact(&mut bytes)?;
    let header = Header::decode(&bytes, from)?;
    let want = header.body.saturating_add((HEADER + TRAILER) as u64);
    if want != length {
        return Err(damaged(from, format!("it has {length} bytes instead of {want}")));
    }
    Ok((file, header, bytes))
}

/// Header and name of a segment, as they stand there.
pub fn glance(path: &Path, from: u64) -> Result<(Header, Hash), Bad> {
    let (mut file, header, _) = open(path, from)?;
    let mut hash = [0; TRAILER];
    file.seek(SeekFrom::End(-(TRAILER as i64)))?;
    file.read_exact(&mut hash)?;
    Ok((header, hash))
}

struct FrameHead {
    first: u64,
    last: u64,
    count: u32,
    raw: u32,
    packed: u32,
}

/// The head of the next frame; `left`: bytes of frames still to come.
fn frame_head(file: &mut File, left: u64, at: u64) -> Result<(FrameHead, [u8; FRAME]), Bad> {
    let mut bytes = [0; FRAME];
    if left < FRAME as u64 {
        return Err(damaged(at, "it ends inside a frame"));
    }
    file.read_exact(&mut bytes)?;
    let long = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
    let short = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
    let head = FrameHead { first: long(0), last: long(8), count: short(16), raw: short(20), packed: short(24) };
    if head.first < at || head.last < head.first || head.raw > FRAME_MOST || u64::from(head.packed) > left - FRAME as u64 {
        return Err(damaged(at, "a frame's head makes no sense"));
    }
    Ok((head, bytes))
}

fn unpack(head: &FrameHead, packed: &[u8]) -> Result<Vec<Record>, Bad> {
    let raw = zstd::bulk::decompress(packed, head.raw as usize).map_err(|e| damaged(head.first, format!("a frame cannot be unpacked: {e}")))?;
    let mut rest = &raw[..];
    let mut records = Vec::with_capacity(head.count as usize);
    let mut offset = head.first;
    while !rest.is_empty() {
        let step = prost::encoding::decode_varint(&mut rest).map_err(|e| damaged(offset, e.to_string()))?;
        if step == 0 && !records.is_empty() {
            return Err(damaged(offset, "an offset comes twice"));
        }
        offset = offset.saturating_add(step);
        let len = prost::decode_length_delimiter(&mut rest).map_err(|e| damaged(offset, e.to_string()))?;
        let (one, after) = rest.split_at_checked(len).ok_or_else(|| damaged(offset, "a frame ends inside an event"))?;
        rest = after;
        let event = event::decode(one).map_err(|e| damaged(offset, e.to_string()))?;
        records.push(Record { offset, event: Arc::new(event) });
    }
    let ends = records.last().map(|r| r.offset) == Some(head.last) && records[0].offset == head.first;
    if !ends || records.len() != head.count as usize {
        return Err(damaged(head.first, "a frame does not hold what its head says"));
    }
    Ok(records)
}

/// Events from `from` on, whole frames until there are `max`; none when the segment ends before.
pub fn read(path: &Path, begins: u64, from: u64, max: usize) -> Result<Vec<Record>, Bad> {
    let (mut file, header, _) = open(path, begins)?;
    let mut records = Vec::new();
    let (mut left, mut at) = (header.body, header.from);
    while left > 0 && records.len() < max && from <= header.last {
        let (head, _) = frame_head(&mut file, left, at)?;
        left -= FRAME as u64 + u64::from(head.packed);
        at = head.last.saturating_add(1);
        if head.last < from {
            file.seek_relative(i64::from(head.packed))?;
            continue;
        }
        let mut packed = vec![0; head.packed as usize];
        file.read_exact(&mut packed)?;
        match unpack(&head, &packed) {
            Ok(frame) => records.extend(frame.into_iter().filter(|r| r.offset >= from)),
            // What is before it is given.
            Err(_) if !records.is_empty() => break,
            Err(bad) => return Err(bad),
        }
    }
    Ok(records)
}

/// Reads all of a segment; gives its header and name when everything in it is as it was written.
pub fn check(path: &Path, from: u64) -> Result<(Header, Hash), Bad> {
    let (mut file, header, bytes) = open(path, from)?;
    let mut body = blake3::Hasher::new();
    let (mut left, mut at) = (header.body, header.from);
    let (mut count, mut raw, mut first) = (0, 0, None);
    while left > 0 {
        let (head, head_bytes) = frame_head(&mut file, left, at)?;
        let mut packed = vec![0; head.packed as usize];
        file.read_exact(&mut packed)?;
        body.update(&head_bytes).update(&packed);
        unpack(&head, &packed)?;
        left -= FRAME as u64 + u64::from(head.packed);
        at = head.last.saturating_add(1);
        first = first.or(Some(head.first));
        count += u64::from(head.count);
        raw += u64::from(head.raw);
    }
    let mut hash = [0; TRAILER];
    file.read_exact(&mut hash)?;
    if hash != seal(&bytes, &body) {
        return Err(damaged(from, "its hash is not that of what it holds"));
    }
    if (count, raw, first, at) != (header.count, header.raw, Some(header.first), header.next()) {
        return Err(damaged(from, "it does not hold what its header says"));
    }
    Ok((header, hash))
}
