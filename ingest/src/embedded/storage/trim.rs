//! Gives up the oldest segments of a topic.
//!
//! fjall gives the disk back a table at a time, and a segment is a table or two of its own. So the rows of other topics in those
//! segments are first copied to keyspace `kept`; then one durable batch takes the segments out of the list, which is the moment
//! they are gone for readers; then their tables are dropped. Killed before the batch, the copies are written again some day, under
//! the same keys; killed after it, the tables are dropped at the next opening or trim. So is what was not in tables yet.

use std::sync::PoisonError;

use fjall::{AbstractTree, PersistMode};
use tollgate_schemas::log::{LogError, Topic};

use super::{Handles, Identity, Segment, Storage, storage};
use crate::embedded::keys;

/// Bytes of rows copied in one batch.
const COPY: usize = 4 << 20;

impl Storage {
    /// The first offset of a stream that is in a segment.
    pub fn first(&self, stream: usize) -> u64 {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).first().map_or(0, |s| s.starts[stream])
    }

    /// The form the folder says it has.
    #[cfg(test)]
    pub fn format(&self) -> Result<u32, LogError> {
        self.with(|h| identity(h).map(|i| i.format))
    }

    /// As [`crate::EmbeddedLog::trim`].
    pub fn trim(&self, topic: Topic, keep_from: &[u64]) -> Result<u64, LogError> {
        let wanted = if topic.single_partition() { 1 } else { usize::from(self.streams.partitions()) };
        if !keys::trimmable(topic) || keep_from.len() != wanted {
            return Err(LogError::Refused(format!("topic {} with {} positions cannot be trimmed", topic.name(), keep_from.len())));
        }
        let _one = self.trimming.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = self.below(topic, keep_from)?;
        if let Some(keep) = gone.1 {
            self.with(|h| {
                gone.0.iter().try_for_each(|segment| copy(h, *segment, topic))?;
                take_out(h, &gone.0)?;
                // Its journals can go only when it is in a table.
                h.kept.rotate_memtable().map_err(storage).map(drop)
            })?;
            let _still = self.reading.write().unwrap_or_else(PoisonError::into_inner);
            self.segments.write().unwrap_or_else(PoisonError::into_inner).retain(|s| s.number >= keep);
        }
        let first = self.segments.read().unwrap_or_else(PoisonError::into_inner).first().cloned();
        self.with(|h| {
            let before = h.events.disk_space();
            reclaim(h, first.as_ref())?;
            Ok(before.saturating_sub(h.events.disk_space()))
        })
    }

    /// Segments that may go, and the first that stays if any may. The newest always stays.
    fn below(&self, topic: Topic, keep_from: &[u64]) -> Result<(Vec<u32>, Option<u32>), LogError> {
        let streams: Vec<usize> = (0..keep_from.len() as u16).map(|p| self.streams.index(topic, p)).collect::<Result<_, _>>()?;
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        // Where a segment begins, the one before has ended.
        let old = |s: &&Segment| streams.iter().zip(keep_from).all(|(stream, keep)| s.starts[*stream] <= *keep);
        let through = segments.iter().skip(1).take_while(old).count();
        let gone: Vec<u32> = segments.iter().take(through).map(|s| s.number).collect();
        let keep = segments.get(through).filter(|_| through > 0).map(|s| s.number);
        Ok((gone, keep))
    }
}

/// Copies a segment's rows of all other topics.
fn copy(h: &Handles, segment: u32, topic: Topic) -> Result<(), LogError> {
    for other in Topic::ALL.into_iter().filter(|t| *t != topic) {
        let mut batch = h.db.batch();
        let mut bytes = 0;
        for row in h.events.range(keys::row(segment, other, 0, 0)..=keys::row(segment, other, u16::MAX, u64::MAX)) {
            let (key, value) = row.into_inner().map_err(storage)?;
            bytes += value.len();
            batch.insert(&h.kept, keys::kept(&key), value);
            if bytes >= COPY {
                std::mem::replace(&mut batch, h.db.batch()).commit().map_err(storage)?;
                bytes = 0;
            }
        }
        if bytes > 0 {
            batch.commit().map_err(storage)?;
        }
    }
    Ok(())
}

fn identity(h: &Handles) -> Result<Identity, LogError> {
    let text = h.state.get(keys::IDENTITY).map_err(storage)?;
    let identity = text.and_then(|text| serde_json::from_slice(&text).ok());
    identity.ok_or_else(|| LogError::Storage("the log's identity cannot be read".to_owned()))
}

/// Takes segments out of the list, durably, with all that was copied before.
fn take_out(h: &Handles, gone: &[u32]) -> Result<(), LogError> {
    let mut batch = h.db.batch().durability(Some(PersistMode::SyncData));
    for segment in gone {
        batch.remove(&h.state, keys::segment(*segment).as_slice());
    }
    let identity = identity(h)?;
    if identity.format < keys::FORMAT {
        let text = serde_json::to_vec(&Identity { format: keys::FORMAT, ..identity }).map_err(|e| LogError::Storage(e.to_string()))?;
        batch.insert(&h.state, keys::IDENTITY, text);
    }
    batch.commit().map_err(storage)
}

/// Drops the tables of everything before the first segment.
pub fn reclaim(h: &Handles, first: Option<&Segment>) -> Result<(), LogError> {
    let Some(first) = first.filter(|s| s.number > 0) else { return Ok(()) };
    let end = keys::row(first.number, Topic::Calls, 0, 0);
    if !h.events.tree.current_version().iter_tables().any(|t| t.metadata.key_range.max()[..] < end[..]) {
        return Ok(());
    }
    h.events.tree.drop_range(..end).map_err(|e| LogError::Storage(e.to_string()))?;
    // The tree's older versions still hold the files. They are let go where a memtable is rotated, once something was written
    // after the drop.
    h.state.insert(keys::DROPPED, first.number.to_be_bytes()).map_err(storage)?;
    h.state.rotate_memtable().map_err(storage)?;
    Ok(())
}
