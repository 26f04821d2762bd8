//! Keeps files few. Files of one kind fall in size classes, each `merge_files` times the one below; as many files of one
//! class become one of the next. Small files are read, sorted and written again; from `JOIN_FROM_ROWS` on their
//! encoded row groups are copied as they are, so that at full load a row is encoded once in its life.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_schemas::store::StoreError;

use crate::{
    embedded::Shared,
    flush::{Writer, forget_old_ids},
    identity::Kind,
    manifest::{FileEntry, StoredFile},
    parquet_file,
};

/// Row groups of this many rows are worth keeping.
const JOIN_FROM_ROWS: u64 = 16_384;
/// More rows than this are never decoded at once.
const REWRITE_ROWS: u64 = 500_000;

/// Merges until no class is full.
pub fn merge_due(shared: &Shared, writer: &mut Writer) -> Result<(), StoreError> {
    loop {
        let (files, stop) = {
            let state = shared.lock();
            (state.files.clone(), state.stop)
        };
        let entries: Vec<&FileEntry> = files.iter().map(|f| &f.entry).collect();
        let Some(chosen) = choose(&entries, shared.options.merge_files, shared.options.full_file_rows) else { return Ok(()) };
        if stop {
            return Ok(());
        }
        let inputs: Vec<_> = chosen.into_iter().map(|i| files[i].clone()).collect();
        let merged = merge(shared, writer, &inputs)?;
        let is_input = |f: &Arc<StoredFile>| inputs.iter().any(|i| Arc::ptr_eq(i, f));
        let mut files: Vec<_> = files.iter().filter(|f| !is_input(f)).cloned().collect();
        files.push(Arc::new(merged));
        let positions = shared.lock().durable.clone();
        writer.save(shared, &files, &positions)?;
        forget_old_ids(&files);
        let old = std::mem::replace(&mut shared.lock().files, Arc::new(files));
        // They go when the last query that reads them is done.
        for file in &inputs {
            file.retire();
        }
        drop(old);
    }
}

/// The oldest files of the first full class, as indices.
fn choose(files: &[&FileEntry], merge_files: usize, full_rows: u64) -> Option<Vec<usize>> {
    let factor = merge_files.max(2);
    let mut classes: BTreeMap<(u32, Kind), Vec<usize>> = BTreeMap::new();
    for (i, file) in files.iter().enumerate().filter(|(_, f)| f.rows < full_rows) {
        classes.entry((file.rows.max(1).ilog(factor as u64), file.kind)).or_default().push(i);
    }
    let mut full = classes.into_values().find(|class| class.len() >= factor)?;
    full.sort_by_key(|i| files[*i].max_us);
    full.truncate(factor);
    Some(full)
}

fn merge(shared: &Shared, writer: &mut Writer, inputs: &[Arc<StoredFile>]) -> Result<StoredFile, StoreError> {
    let entries = || inputs.iter().map(|f| &f.entry);
    let Some(kind) = entries().map(|e| e.kind).next() else {
        return Err(StoreError::BadQuery("nothing to merge".into()));
    };
    let rows: u64 = entries().map(|e| e.rows).sum();
    let name = writer.name(kind);
    if rows <= REWRITE_ROWS && entries().any(|e| e.rows < JOIN_FROM_ROWS) {
        let mut batches = Vec::new();
        for file in inputs {
            parquet_file::each_batch(&file.path, None, |batch| {
                batches.push(batch);
                Ok(())
            })?;
        }
        let (entry, ids) = parquet_file::write(&shared.dir, name, kind, &batches)?;
        return Ok(StoredFile::new(&shared.dir, entry, Some(ids)));
    }
    let paths: Vec<_> = inputs.iter().map(|f| &f.path).collect();
    let bytes = parquet_file::join(&shared.dir, &name, &paths)?;
    let entry = FileEntry {
        name,
        kind,
        rows,
        bytes,
        min_us: entries().map(|e| e.min_us).min().unwrap_or(0),
        max_us: entries().map(|e| e.max_us).max().unwrap_or(0),
        revised: entries().map(|e| e.revised).sum(),
    };
    let known: Option<Vec<_>> = inputs.iter().map(|f| f.ids_in_memory()).collect();
    let ids = known.map(|lists| {
        let mut all = lists.concat();
        all.sort_unstable();
        all
    });
    Ok(StoredFile::new(&shared.dir, entry, ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_class_is_merged_oldest_first_and_full_files_are_left() {
        let file = |kind, rows, max_us| FileEntry { name: String::new(), kind, rows, bytes: 1, min_us: 0, max_us, revised: 0 };
        let files = [
            file(Kind::Final, 300, 50),
            file(Kind::Attempt, 300, 1),
            file(Kind::Final, 260, 10),
            file(Kind::Final, 5_000_000, 0),
            file(Kind::Final, 1_000, 40),
            file(Kind::Final, 256, 20),
            file(Kind::Final, 257, 30),
        ];
        let entries: Vec<&FileEntry> = files.iter().collect();
        assert_eq!(choose(&entries, 4, 4_000_000), Some(vec![2, 5, 6, 4]));
        assert_eq!(choose(&entries[..5], 4, 4_000_000), None);
    }
}
