//! Reads events back from the archive.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tollgate_schemas::log::{LogError, Record, Topic};

use super::{folder, place, segment, starts};

/// The archive in a folder. It may grow meanwhile.
pub struct ArchiveReader {
    dir: PathBuf,
    /// Where each partition's segments begin, as last looked at.
    starts: Mutex<HashMap<u16, Arc<Vec<u64>>>>,
}

impl ArchiveReader {
    pub fn open(dir: impl Into<PathBuf>) -> ArchiveReader {
        ArchiveReader { dir: dir.into(), starts: Mutex::default() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn starts(&self, partition: u16, look: bool) -> Result<Arc<Vec<u64>>, LogError> {
        let known = self.starts.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).cloned();
        if let (Some(known), false) = (known, look) {
            return Ok(known);
        }
        let folder = folder(&self.dir, partition);
        let found = starts(&folder).map_err(|e| LogError::Storage(format!("archive: {}: {e}", folder.display())))?;
        let found = Arc::new(found);
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, found.clone());
        Ok(found)
    }

    /// Events of topic `calls` from `from` on, oldest first, at most about `max` (whole frames may overshoot); empty where the
    /// archive ends. Corrupt: a segment is damaged, or offset `from` is before the archive or in a hole of it.
    pub fn read(&self, partition: u16, from: u64, max: usize) -> Result<Vec<Record>, LogError> {
        let missing = |problem| LogError::Corrupt { topic: Topic::Calls.name(), partition, offset: from, problem };
        let folder = folder(&self.dir, partition);
        for look in [false, true] {
            let starts = self.starts(partition, look)?;
            let after = starts.partition_point(|s| *s <= from);
            let Some(begins) = after.checked_sub(1).map(|at| starts[at]) else {
                match starts.first() {
                    Some(first) if look => return Err(missing(format!("archive {}: it begins at offset {first}", folder.display()))),
                    _ => continue,
                }
            };
            let path = place(&folder, begins);
            let records = segment::read(&path, begins, from, max.max(1)).map_err(|bad| bad.at(&path, partition))?;
            if !records.is_empty() {
                return Ok(records);
            }
            if let (Some(later), true) = (starts.get(after), look) {
                return Err(missing(format!("archive {}: offsets {from} to {} are not there", folder.display(), later - 1)));
            }
        }
        Ok(Vec::new())
    }

    /// The first offset of a partition that the archive holds, and the one after its last. None: it holds nothing.
    pub fn span(&self, partition: u16) -> Result<Option<(u64, u64)>, LogError> {
        let starts = self.starts(partition, true)?;
        let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return Ok(None) };
        let path = place(&folder(&self.dir, partition), *last);
        let (header, _) = segment::glance(&path, *last).map_err(|bad| bad.at(&path, partition))?;
        Ok(Some((*first, header.next())))
    }
}
