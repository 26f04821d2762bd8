//! One hash of a store's content, so that two stores can be compared: after a replay of the log, or across backends.

use std::path::Path;

use tollgate_schemas::{id::Id, store::StoreError};

use crate::{
    columns, fresh,
    identity::{Kind, Revised},
    manifest::Manifest,
    parquet_file,
};

/// Hash over the current rows in files, in the order of (record type, call, attempt), each by `Cdr::content_hash`. Equal
/// for equal facts however they are spread over files. Rows that are only in memory are not in it: flush first.
pub fn content_digest(dir: &Path) -> Result<[u8; 32], StoreError> {
    let manifest = Manifest::load(dir)?
        .ok_or_else(|| StoreError::Unavailable(format!("{}: no CDR store here", dir.display())))?;
    let mut revised = Revised::default();
    for file in manifest.files.iter().filter(|f| f.revised > 0) {
        fresh::note_file_versions(&dir.join(&file.name), file.kind, &mut revised)?;
    }
    let mut rows: Vec<(Kind, Id, u32, [u8; 32])> = Vec::new();
    for file in &manifest.files {
        parquet_file::each_batch(&dir.join(&file.name), None, |batch| {
            for cdr in columns::from_batch(&batch).map_err(|e| StoreError::Corrupt(format!("{}: {e}", file.name)))? {
                let call = Id::of(&cdr.call_uuid);
                if revised.is_current(file.kind, call, cdr.attempt_no, cdr.cdr_version) {
                    rows.push((file.kind, call, cdr.attempt_no, cdr.content_hash()));
                }
            }
            Ok(())
        })?;
    }
    rows.sort_unstable();
    let mut hash = blake3::Hasher::new();
    for (_, _, _, content) in &rows {
        hash.update(content);
    }
    Ok(*hash.finalize().as_bytes())
}
