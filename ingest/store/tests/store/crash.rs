//! What is on disk after a crash at any step, a damaged file, or a disk that takes nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::Arc,
};

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    store::{CdrStore, StoreError},
};
use tollgate_store::{EmbeddedStore, Options, content_digest};

use crate::support::{Model, Rng, all, cdr, open, options, runtime, small_row};

fn copy(from: &Path, to: &Path) {
    for item in fs::read_dir(from).expect("read") {
        let path = item.expect("item").path();
        fs::copy(&path, to.join(path.file_name().expect("name"))).expect("copy");
    }
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).expect("read").map(|i| i.expect("item").file_name().into_string().expect("name")).collect()
}

fn rows(seed: u64, n: usize) -> Vec<Arc<Cdr>> {
    let mut rng = Rng(seed);
    let mut model = Model::default();
    (0..n).for_each(|_| model.write(&small_row(&mut rng)));
    model.written().cloned().map(Arc::new).collect()
}

#[test]
fn a_crash_at_any_step_of_a_flush_or_merge_leaves_the_content_whole() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let (before, after) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    // The same rows for other calls, so that the files are of one size class and merge.
    let first = rows(1, 300);
    let other = |r: &Arc<Cdr>| Arc::new(Cdr { call_uuid: [&[9], &r.call_uuid[1..]].concat(), ..(**r).clone() });
    let second: Vec<_> = first.iter().map(other).collect();
    let store = EmbeddedStore::open(dir.path(), Options { merge_files: 2, ..options() }).expect("open");
    store.write(0, first.clone(), 10).expect("write");
    rt.block_on(store.flush()).expect("flush");
    copy(dir.path(), before.path());
    store.write(0, second.clone(), 20).expect("write");
    rt.block_on(store.flush()).expect("flush");
    // The flush is answered before the merge that follows it; the second one waits for it.
    rt.block_on(store.flush()).expect("flush");
    drop(store);
    copy(dir.path(), after.path());
    let (digest_before, digest_after) = (content_digest(before.path()).expect("digest"), content_digest(after.path()).expect("digest"));
    assert_ne!(digest_before, digest_after);
    let (old, new) = (names(before.path()), names(after.path()));
    assert!(old.iter().any(|n| n.ends_with(".parquet") && !new.contains(n)), "the merge removed a file: {old:?} {new:?}");

    // Steps before the manifest: the old list is in force, whatever else lies there.
    for step in ["half a file", "data files", "manifest beside"] {
        let crashed = tempfile::tempdir().expect("dir");
        copy(before.path(), crashed.path());
        for name in new.difference(&old).filter(|n| n.ends_with(".parquet")) {
            let bytes = fs::read(after.path().join(name)).expect("read");
            if step == "half a file" {
                fs::write(crashed.path().join(format!("{name}.tmp")), &bytes[..bytes.len() / 2]).expect("write");
            } else {
                fs::write(crashed.path().join(name), &bytes).expect("write");
            }
        }
        if step == "manifest beside" {
            fs::copy(after.path().join("manifest.json"), crashed.path().join("manifest.tmp")).expect("copy");
        }
        let store = open(crashed.path());
        assert_eq!(store.positions().expect("its own")[0], 10, "{step}");
        assert_eq!(names(crashed.path()), old, "{step}: leftovers are removed");
        assert_eq!(content_digest(crashed.path()).expect("digest"), digest_before, "{step}");
        // The projector sends again from there, some of it for the second time.
        store.write(0, first[first.len() / 2..].to_vec(), 10).expect("write");
        store.write(0, second.clone(), 20).expect("write");
        rt.block_on(store.flush()).expect("flush");
        assert_eq!(content_digest(crashed.path()).expect("digest"), digest_after, "{step}");
    }

    // After the manifest: the new list is in force, files that were merged away may still be there.
    let crashed = tempfile::tempdir().expect("dir");
    copy(before.path(), crashed.path());
    copy(after.path(), crashed.path());
    let store = open(crashed.path());
    assert_eq!(store.positions().expect("its own")[0], 20);
    assert_eq!(names(crashed.path()), new);
    assert_eq!(content_digest(crashed.path()).expect("digest"), digest_after);
}

#[test]
fn a_missing_or_damaged_file_is_named() {
    let rt = runtime();
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    store.write(0, rows(3, 50), 1).expect("write");
    rt.block_on(store.flush()).expect("flush");
    drop(store);
    let name = names(dir.path()).into_iter().find(|n| n.ends_with(".parquet")).expect("a file");
    let path = dir.path().join(&name);
    let whole = fs::read(&path).expect("read");
    let mut footer = whole.clone();
    let end = footer.len() - 20;
    footer[end..].fill(0);
    for damage in [None, Some(whole[..whole.len() - 9].to_vec()), Some(footer), Some(Vec::new())] {
        match damage {
            None => fs::remove_file(&path).expect("remove"),
            Some(bytes) => fs::write(&path, bytes).expect("write"),
        }
        match EmbeddedStore::open(dir.path(), options()) {
            Err(StoreError::Corrupt(why)) => assert!(why.contains(&name), "{why}"),
            other => panic!("opened a damaged store: {:?}", other.err()),
        }
    }
    fs::write(&path, &whole).expect("write");
    drop(open(dir.path()));
    fs::write(dir.path().join("manifest.json"), "{").expect("write");
    assert!(matches!(EmbeddedStore::open(dir.path(), options()), Err(StoreError::Corrupt(why)) if why.contains("manifest.json")));
    let other = tempfile::tempdir().expect("dir");
    drop(open(other.path()));
    let store = open(other.path());
    store.write(0, rows(3, 5), 1).expect("write");
    rt.block_on(store.flush()).expect("flush");
    drop(store);
    assert!(matches!(EmbeddedStore::open(other.path(), Options { partitions: 8, ..options() }), Err(StoreError::Corrupt(_))));
}

#[test]
fn a_disk_that_takes_nothing_loses_nothing() {
    let rt = runtime();
    let parent = tempfile::tempdir().expect("dir");
    let dir = parent.path().join("cdrs");
    let store = EmbeddedStore::open(&dir, Options { max_fresh_rows: 400, ..options() }).expect("open");
    let row = |call| Arc::new(cdr(call, FINAL, 1, 1));
    store.write(0, (1..=200).map(row).collect(), 200).expect("write");
    rt.block_on(store.flush()).expect("flush");
    let away = parent.path().join("away");
    fs::rename(&dir, &away).expect("rename");

    store.write(0, (201..=400).map(row).collect(), 400).expect("memory takes them");
    assert!(matches!(rt.block_on(store.flush()), Err(StoreError::Unavailable(_))));
    assert_eq!(store.positions().expect("its own")[0], 200);
    store.write(0, (401..=600).map(row).collect(), 600).expect("memory takes these too");
    assert!(matches!(store.write(0, vec![row(601)], 601), Err(StoreError::Unavailable(_))), "the bound is reached");
    // A file left half written must not be taken for one.
    assert!(matches!(rt.block_on(store.flush()), Err(StoreError::Unavailable(_))));

    fs::rename(&away, &dir).expect("rename back");
    rt.block_on(store.flush()).expect("flush");
    store.write(0, vec![row(601)], 601).expect("write");
    assert_eq!(rt.block_on(store.cdrs(all(FINAL))).expect("cdrs").len(), 601);
    rt.block_on(store.flush()).expect("flush");
    drop(store);
    let store = open(&dir);
    assert_eq!(store.positions().expect("its own")[0], 601);
    assert_eq!(rt.block_on(store.cdrs(all(FINAL))).expect("cdrs").len(), 601);
    assert_eq!(rt.block_on(store.cdrs(all(ATTEMPT))).expect("cdrs").len(), 0);
}
