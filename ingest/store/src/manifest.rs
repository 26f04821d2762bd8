//! What the store's folder holds. `manifest.json` is the truth: a Parquet file it does not list is left over from a
//! write that never completed, and one it lists must be there and whole. It is replaced whole (written beside, synced,
//! renamed, folder synced), and it alone says how far the files reach, so files and positions change together.
//!
//! ```text
//! DIR/lock              held by the process that has the store open
//! DIR/manifest.json     {format, next_seq, positions, files: [{name, kind, rows, bytes, min_us, max_us, revised}]}
//! DIR/cdr-final-N.parquet, DIR/cdr-attempt-N.parquet
//! DIR/*.tmp             being written
//! ```

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tollgate_schemas::store::StoreError;

use crate::{
    identity::{Kind, RowId},
    parquet_file,
};

const NAME: &str = "manifest.json";
const FORMAT: u32 = 1;

/// One listed file. Times are the least and greatest `invite_ts`, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub kind: Kind,
    pub rows: u64,
    pub bytes: u64,
    pub min_us: i64,
    pub max_us: i64,
    /// Rows with a version above 1.
    pub revised: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub next_seq: u64,
    /// For each partition the next offset of topic `cdrs` that is not in these files.
    pub positions: Vec<u64>,
    pub files: Vec<FileEntry>,
}

impl Manifest {
    pub fn empty(partitions: u16) -> Manifest {
        Manifest { format: FORMAT, next_seq: 1, positions: vec![0; usize::from(partitions)], files: Vec::new() }
    }

    /// None in a new folder.
    pub fn load(dir: &Path) -> Result<Option<Manifest>, StoreError> {
        let path = dir.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unavailable(&path, &e)),
        };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| corrupt(&path, &e))?;
        if manifest.format != FORMAT {
            return Err(corrupt(&path, &format!("format {} is not {FORMAT}, the one this program reads", manifest.format)));
        }
        Ok(Some(manifest))
    }

    /// Durable when it returns. After an error either the old or this one is in force.
    pub fn save(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(NAME);
        let text = serde_json::to_vec_pretty(self).map_err(|e| corrupt(&path, &e))?;
        let tmp = dir.join("manifest.tmp");
        let write = || -> io::Result<()> {
            let mut file = File::create(&tmp)?;
            file.write_all(&text)?;
            file.sync_all()?;
            // First the data files' names, then the list that names them.
            sync_dir(dir)?;
            fs::rename(&tmp, &path)?;
            sync_dir(dir)
        };
        write().map_err(|e| unavailable(&path, &e))
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes what no manifest lists: temporary files, and data files whose listing never came or was replaced.
pub fn remove_strays(dir: &Path, manifest: &Manifest) -> Result<(), StoreError> {
    for item in fs::read_dir(dir).map_err(|e| unavailable(dir, &e))? {
        let path = item.map_err(|e| unavailable(dir, &e))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let ours = name.ends_with(".tmp") || (name.starts_with("cdr-") && name.ends_with(".parquet"));
        if ours && !manifest.files.iter().any(|f| f.name == name) {
            fs::remove_file(&path).map_err(|e| unavailable(&path, &e))?;
        }
    }
    Ok(())
}

/// A listed file while anything reads it. Dropping the last user of a file that was merged away removes it.
#[derive(Debug)]
pub struct StoredFile {
    pub path: PathBuf,
    pub entry: FileEntry,
    ids: RwLock<Option<Arc<[RowId]>>>,
    obsolete: AtomicBool,
}

impl StoredFile {
    /// `ids`: sorted identities of its rows, where known.
    pub fn new(dir: &Path, entry: FileEntry, ids: Option<Vec<RowId>>) -> StoredFile {
        let ids = RwLock::new(ids.map(Arc::from));
        StoredFile { path: dir.join(&entry.name), entry, ids, obsolete: AtomicBool::new(false) }
    }

    /// The sorted identities of its rows, read from the file where they are not in memory.
    pub fn ids(&self) -> Result<Arc<[RowId]>, StoreError> {
        if let Some(ids) = self.ids_in_memory() {
            return Ok(ids);
        }
        let mut ids = Vec::with_capacity(self.entry.rows as usize);
        parquet_file::each_identity(&self.path, |call, attempt, version| {
            ids.push(RowId::new(self.entry.kind, call, attempt, version));
        })?;
        ids.sort_unstable();
        let ids: Arc<[RowId]> = ids.into();
        *self.ids.write().unwrap_or_else(PoisonError::into_inner) = Some(ids.clone());
        Ok(ids)
    }

    pub fn ids_in_memory(&self) -> Option<Arc<[RowId]>> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn forget_ids(&self) {
        *self.ids.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn covers(&self, invite_us: i64) -> bool {
        self.entry.min_us <= invite_us && invite_us <= self.entry.max_us
    }

    pub fn retire(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire)
            && let Err(e) = fs::remove_file(&self.path)
        {
            tracing::warn!(file = %self.path.display(), error = %e, "a merged CDR file could not be removed; the next start removes it");
        }
    }
}

pub fn corrupt(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{}: {why}", path.display()))
}

pub fn unavailable(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{}: {why}", path.display()))
}
