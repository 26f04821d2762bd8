//! The form on disk. fjall owns the files; these are the keys and values in its three keyspaces. Integers in keys are
//! big endian, so that keys sort as numbers do.
//!
//! **`events`**: one row for the events of one stream (topic, partition) in one group:
//!
//! | key | bytes |
//! |---|---|
//! | segment | u32 |
//! | topic | u8 |
//! | partition | u16 |
//! | offset of the row's first event | u64 |
//!
//! The value is the events one after the other, each as protobuf's delimited form: a varint length, then the message.
//!
//! A *segment* is about `segment_bytes` of consecutive groups and begins a new memtable, so that the tables fjall
//! flushes never overlap and its compaction only moves them: what is written once is not rewritten.
//!
//! **`kept`**: when the oldest segments of a log are trimmed, the rows of topics that are kept whole move here, under the same
//! keys with segment 0. What lies below the start of the first segment is here or, of topic `calls`, gone.
//!
//! **`state`**:
//!
//! | key | value |
//! |---|---|
//! | `i` | identity as JSON: `{format, node, epoch, partitions}` |
//! | `g`, segment u32 | for each stream, in the order of topics then partitions, the first offset at or after the segment's begin, u64 |
//! | `d` | the segment before which tables were dropped last, u32: written to make fjall let their files go |
//! | `p`, topic u8, partition u16, consumer | the consumer's next offset, u64 |
//! | `s`, partition u16, consumer | snapshot: version u32, next offset u64, then the state |

use prost::Message;
use tollgate_schemas::{
    event::{self, Event, ReadError},
    log::{Snapshot, Topic},
};

/// Version of this form. A log is of form 1 until it is trimmed for the first time: who knows no `kept` must not open it then.
pub const FORMAT: u32 = 2;
pub const FORMAT_UNTRIMMED: u32 = 1;

/// Whether a topic's oldest events may be given up; all others are kept whole.
pub fn trimmable(topic: Topic) -> bool {
    topic == Topic::Calls
}

pub const IDENTITY: &[u8] = b"i";
pub const DROPPED: &[u8] = b"d";

pub fn row(segment: u32, topic: Topic, partition: u16, base: u64) -> [u8; 15] {
    let mut key = [0; 15];
    key[..4].copy_from_slice(&segment.to_be_bytes());
    key[4] = topic as u8;
    key[5..7].copy_from_slice(&partition.to_be_bytes());
    key[7..].copy_from_slice(&base.to_be_bytes());
    key
}

/// The offset of a row's first event.
pub fn base_of(row: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(row.get(7..15)?.try_into().ok()?))
}

/// A row's key in `kept`.
pub fn kept(row: &[u8]) -> Vec<u8> {
    let mut key = row.to_vec();
    key.iter_mut().take(4).for_each(|b| *b = 0);
    key
}

/// Writes one event into a row's value.
pub fn put_event(event: &Event, value: &mut Vec<u8>) {
    // A Vec takes any length, so this cannot fail.
    let _ = event.encode_length_delimited(value);
}

/// What is wrong with a row: which of its events, and how.
pub struct BadRow {
    pub index: u64,
    pub problem: RowProblem,
}

pub enum RowProblem {
    Truncated,
    Unreadable(ReadError),
}

impl std::fmt::Display for RowProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RowProblem::Truncated => f.write_str("row ends inside an event"),
            RowProblem::Unreadable(e) => e.fmt(f),
        }
    }
}

/// Walks a row's events as (index in the row, encoded bytes).
pub fn events(mut value: &[u8]) -> impl Iterator<Item = Result<(u64, &[u8]), BadRow>> {
    let mut index = 0;
    std::iter::from_fn(move || {
        if value.is_empty() {
            return None;
        }
        let bad = BadRow { index, problem: RowProblem::Truncated };
        let Ok(len) = prost::decode_length_delimiter(&mut value) else {
            value = &[];
            return Some(Err(bad));
        };
        let Some((one, rest)) = value.split_at_checked(len) else {
            value = &[];
            return Some(Err(bad));
        };
        value = rest;
        index += 1;
        Some(Ok((index - 1, one)))
    })
}

pub fn decode(index: u64, bytes: &[u8]) -> Result<Event, BadRow> {
    event::decode(bytes).map_err(|e| BadRow { index, problem: RowProblem::Unreadable(e) })
}

pub fn segment(number: u32) -> [u8; 5] {
    let mut key = [b'g'; 5];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

pub fn segment_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..5)?.try_into().ok()?))
}

pub fn starts(offsets: &[u64]) -> Vec<u8> {
    offsets.iter().flat_map(|o| o.to_be_bytes()).collect()
}

/// Streams of topics younger than the segment start at 0.
pub fn starts_of(value: &[u8], streams: usize) -> Box<[u64]> {
    let mut offsets: Vec<u64> = value.as_chunks::<8>().0.iter().map(|c| u64::from_be_bytes(*c)).collect();
    offsets.resize(streams, 0);
    offsets.into()
}

pub const PROGRESS: &[u8] = b"p";

pub fn progress(topic: Topic, partition: u16, consumer: &str) -> Vec<u8> {
    let mut key = vec![b'p', topic as u8];
    key.extend(partition.to_be_bytes());
    key.extend(consumer.as_bytes());
    key
}

pub fn snapshot(partition: u16, consumer: &str) -> Vec<u8> {
    let mut key = vec![b's'];
    key.extend(partition.to_be_bytes());
    key.extend(consumer.as_bytes());
    key
}

pub fn snapshot_value(s: &Snapshot) -> Vec<u8> {
    let mut value = Vec::with_capacity(12 + s.state.len());
    value.extend(s.version.to_be_bytes());
    value.extend(s.next.to_be_bytes());
    value.extend(&s.state);
    value
}

pub fn snapshot_of(consumer: &str, partition: u16, value: &[u8]) -> Option<Snapshot> {
    let (version, rest) = value.split_first_chunk::<4>()?;
    let (next, state) = rest.split_first_chunk::<8>()?;
    Some(Snapshot {
        consumer: consumer.to_owned(),
        partition,
        version: u32::from_be_bytes(*version),
        next: u64::from_be_bytes(*next),
        state: state.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sort_by_segment_stream_and_offset() {
        let rows = [row(0, Topic::Calls, 1, 300), row(0, Topic::Calls, 2, 0), row(0, Topic::Cdrs, 0, 0), row(1, Topic::Calls, 0, 256), row(256, Topic::Calls, 0, 1)];
        assert!(rows.is_sorted());
        assert_eq!(base_of(&rows[3]), Some(256));
    }

    #[test]
    fn a_torn_row_gives_its_whole_events_then_says_where_it_ends() {
        let mut value = Vec::new();
        for seq in 1..=2 {
            put_event(&Event { partition_seq: seq, ..Event::default() }, &mut value);
        }
        value.pop();
        let read: Vec<_> = events(&value).collect();
        assert!(matches!(read[..], [Ok((0, _)), Err(BadRow { index: 1, problem: RowProblem::Truncated })]));
    }
}
