//! Snapshots in the compacted topic `snapshots`: partition as the stage's, split into chunks below Kafka's message size.
//!
//! The key of a chunk is `consumer/slot/chunk`; two slots take turns, so that one that was being written when its writer
//! died leaves the one before it whole. The value is a header (snapshot id u64, version u32, next u64, chunk u32, chunks u32)
//! and the chunk's bytes; integers are big endian.

use std::collections::{BTreeMap, HashMap};

use tollgate_schemas::log::{LogError, Snapshot};

use crate::{Options, history};

/// Bytes of state in one record: Kafka takes 1 MiB by default.
const CHUNK: usize = 512 << 10;
const HEADER: usize = 8 + 4 + 8 + 4 + 4;

/// One record of the topic.
pub struct Chunk {
    pub key: String,
    pub value: Vec<u8>,
}

/// The records of a snapshot. `number` counts up with each snapshot of this consumer and partition that one process writes.
pub fn chunks(snapshot: &Snapshot, number: u64) -> Vec<Chunk> {
    let parts: Vec<&[u8]> = if snapshot.state.is_empty() { vec![&[]] } else { snapshot.state.chunks(CHUNK).collect() };
    let count = parts.len() as u32;
    let slot = number % 2;
    // Two processes may write the same slot: the id says which chunks belong together.
    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ snapshot.next.rotate_left(17) ^ u64::from(std::process::id()).rotate_left(40);
    parts
        .into_iter()
        .enumerate()
        .map(|(i, part)| {
            let mut value = Vec::with_capacity(HEADER + part.len());
            value.extend(id.to_be_bytes());
            value.extend(snapshot.version.to_be_bytes());
            value.extend(snapshot.next.to_be_bytes());
            value.extend((i as u32).to_be_bytes());
            value.extend(count.to_be_bytes());
            value.extend(part);
            Chunk { key: format!("{}/{slot}/{i}", snapshot.consumer), value }
        })
        .collect()
}

struct Gathered {
    version: u32,
    next: u64,
    count: u32,
    parts: BTreeMap<u32, Vec<u8>>,
    /// Place of its last chunk in the topic.
    place: u64,
}

/// The newest whole snapshot.
pub fn newest(options: &Options, consumer: &str, partition: u16) -> Result<Option<Snapshot>, LogError> {
    let mut found: HashMap<u64, Gathered> = HashMap::new();
    let own = format!("{consumer}/");
    let mut place = 0;
    history::each(options, &options.snapshots(), partition, |key, value| {
        place += 1;
        let mine = key.and_then(|k| std::str::from_utf8(k).ok()).is_some_and(|k| k.starts_with(&own) && k[own.len()..].split('/').count() == 2);
        if let Some(value) = value.filter(|_| mine) {
            gather(&mut found, value, place);
        }
    })?;
    let whole = found.into_values().filter(|g| g.parts.len() as u32 == g.count);
    Ok(whole.max_by_key(|g| g.place).map(|g| Snapshot {
        consumer: consumer.to_owned(),
        partition,
        version: g.version,
        next: g.next,
        state: g.parts.into_values().flatten().collect(),
    }))
}

fn gather(found: &mut HashMap<u64, Gathered>, value: &[u8], place: u64) {
    let Some((header, part)) = value.split_first_chunk::<HEADER>() else { return };
    let u32_at = |i: usize| u32::from_be_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    let u64_at = |i: usize| (u64::from(u32_at(i)) << 32) | u64::from(u32_at(i + 4));
    let (id, version, next, chunk, count) = (u64_at(0), u32_at(8), u64_at(12), u32_at(20), u32_at(24));
    let gathered = found.entry(id).or_insert_with(|| Gathered { version, next, count, parts: BTreeMap::new(), place });
    gathered.place = place;
    gathered.parts.insert(chunk, part.to_vec());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_comes_back_whole_from_its_chunks_in_any_order() {
        let state: Vec<u8> = (0..CHUNK * 2 + 5).map(|i| i as u8).collect();
        let snapshot = Snapshot { consumer: "rater".to_owned(), partition: 3, version: 4, next: 99, state };
        let mut found = HashMap::new();
        let mut all = chunks(&snapshot, 7);
        assert_eq!(all.iter().map(|c| c.key.as_str()).collect::<Vec<_>>(), ["rater/1/0", "rater/1/1", "rater/1/2"]);
        all.reverse();
        for (i, chunk) in all.iter().enumerate() {
            gather(&mut found, &chunk.value, i as u64);
        }
        let one = found.into_values().next().expect("one");
        assert_eq!((one.version, one.next, one.count), (4, 99, 3));
        assert_eq!(one.parts.into_values().flatten().collect::<Vec<_>>(), snapshot.state);
    }
}
