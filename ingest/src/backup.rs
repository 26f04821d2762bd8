//! A copy of the whole log in one file: `tollgate backup`, `tollgate restore`.
//!
//! **What it holds.** The events of every topic and partition up to one moment ([`moment`]), and how far each stage had come
//! then, so that its outputs are neither made twice nor missing after a restore. Of a log that one node writes, and keeps for
//! ever, stages' snapshots are not in it: they fold the copy anew and come to the same state. A shared log may have let its oldest
//! calls go, so there they are. Leases are not in it: they are of the moment. A node's secrets only if they are asked for.
//!
//! **The form**, version [`FORM`]. Numbers are big endian.
//!
//! ```text
//! file     magic "TGBACKUP", form u16, then frames
//! frame    kind u8, bytes of the content u32, bytes stored u32, stored (one zstd frame), chain 32 bytes
//! chain    BLAKE3(chain of the frame before, kind, both lengths, stored); before the first frame BLAKE3(magic, form)
//! kinds    H once, first: JSON, [`Header`]
//!          E events of one stream: topic u8, partition u16, ordinal of the first u64, count u32,
//!            then each event: bytes u32, protobuf
//!          P once, after the last events: JSON, stages' progress as ordinals of their input
//!          N a snapshot, of a shared log only: consumer (length u8), partition u16, version u32, ordinal of the next input u64, state
//!          S a secret: JSON, name and hex
//!          T once, last: JSON, what there was of each; its chain names the file
//! ```
//!
//! An ordinal counts the events of a stream in this file from 0. In a log that one node writes it is the offset; a shared
//! log's offsets have gaps and hold what was sent twice, which is left out here.
//!
//! A file that ends too soon lacks its trailer, a changed one fails its chain: both are refused with the byte where the frame
//! begins. Reading and writing hold one frame in memory, and a shared log's snapshots while it is written; a frame's content is at
//! most [`FRAME_MAX`] bytes, and a snapshot that is larger is left out.

mod file;
mod frame;
mod moment;
mod restore;
mod write;

use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tollgate_schemas::log::{LogError, Topic};

pub use file::{Part, Reader, check};
pub use moment::{Moment, Moments, moment_of_shared};
pub use restore::{Restored, restore};
pub use write::{Pace, Written, write};

pub const MAGIC: &[u8; 8] = b"TGBACKUP";
/// Version of the form this program writes; older ones stay readable.
pub const FORM: u16 = 1;
/// Most bytes of one frame's content. The largest event is a chunk of a deck, far below it.
pub const FRAME_MAX: usize = 64 << 20;

#[derive(Debug, Error)]
pub enum BackupError {
    /// As the log's own.
    #[error("{0}")]
    Log(#[from] LogError),
    /// Retryable: the disk or the connection; what was written so far is no backup.
    #[error("the backup cannot be written: {0}")]
    Output(#[source] io::Error),
    /// Retryable.
    #[error("the backup cannot be read: {0}")]
    Input(#[source] io::Error),
    /// Terminal: this is not the file that was written.
    #[error("the backup is damaged at byte {at}: {problem}")]
    Damaged { at: u64, problem: String },
    /// Terminal: not for this program, or not for this log.
    #[error("{0}")]
    Refused(String),
    /// Retryable: too much was going on to find a moment.
    #[error("no moment to copy: {0}")]
    Busy(String),
}

impl BackupError {
    pub fn retryable(&self) -> bool {
        match self {
            BackupError::Log(e) => e.retryable(),
            BackupError::Output(_) | BackupError::Input(_) | BackupError::Busy(_) => true,
            BackupError::Damaged { .. } | BackupError::Refused(_) => false,
        }
    }
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Of the program that wrote it.
    pub program: String,
    /// Whose log it is, 12 hex digits; empty for a shared one, which has many.
    pub node: String,
    pub shared: bool,
    pub partitions: u16,
    /// When the moment was, UTC microseconds.
    pub created_us: i64,
    /// Where each stream ended; of a shared log the offset, so no more events than that.
    pub streams: Vec<Count>,
}

impl Header {
    /// Events there will be, or a little fewer.
    pub fn expected(&self) -> u64 {
        self.streams.iter().map(|s| s.events).sum()
    }

    /// The node as a number; 0 for a shared log.
    pub fn node_number(&self) -> u64 {
        u64::from_str_radix(&self.node, 16).unwrap_or(0)
    }
}

/// Events of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub topic: String,
    pub partition: u16,
    pub events: u64,
}

/// How far a stage had come: the ordinal of the next event of its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    pub consumer: String,
    pub topic: String,
    pub partition: u16,
    pub next: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Secret {
    name: String,
    hex: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trailer {
    events: u64,
    /// Frames before this one.
    frames: u64,
    streams: Vec<Count>,
}

/// What a whole file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    pub header: Header,
    pub events: u64,
    pub streams: u32,
    pub snapshots: u32,
    pub secrets: u32,
    pub bytes: u64,
    /// The trailer's chain in hex: two files with the same are the same.
    pub hash: String,
}

/// Topics in a backup; leases are of the moment.
fn topics() -> impl Iterator<Item = Topic> {
    Topic::ALL.into_iter().filter(|t| *t != Topic::Leases)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(byte).collect())?
}

#[cfg(test)]
mod tests;
