//! Files that were written before the column table grew: every stored version is read for ever.

use std::{fs, path::Path, sync::Arc};

use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use tollgate_schemas::{
    cdr::{ATTEMPT, COLUMNS, Cdr, FINAL},
    store::{CdrQuery, CdrStore, RowKey},
};
use tollgate_store::{EmbeddedStore, Options, cdr_file::{CdrReader, CdrWriter}, columns, content_digest};

use crate::support::{Model, Rng, full_row, open, options, random_filter, runtime, small_row};

/// The row as the first column table had it.
fn first(row: &Cdr) -> Cdr {
    let mut out = Cdr::default();
    for c in COLUMNS.iter().filter(|c| c.since == 1) {
        (c.set)(&mut out, (c.get)(row));
    }
    out
}

/// Writes every Parquet file of a store again without the columns that came later, and what the manifest says of its length.
fn age(dir: &Path) -> usize {
    let manifest = dir.join("manifest.json");
    let mut listed = fs::read_to_string(&manifest).expect("manifest");
    let mut aged = 0;
    for path in fs::read_dir(dir).expect("dir").map(|e| e.expect("entry").path()) {
        if path.extension().is_none_or(|e| e != "parquet") {
            continue;
        }
        let before = fs::metadata(&path).expect("file").len();
        let batches: Vec<_> = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).expect("open")).expect("reader").build().expect("batches").collect();
        let kept: Vec<usize> = (0..COLUMNS.len()).filter(|i| COLUMNS[*i].since == 1).collect();
        assert!(kept.len() < COLUMNS.len());
        let mut writer = None;
        for batch in batches {
            let batch = batch.expect("batch").project(&kept).expect("columns of the table in its order");
            writer.get_or_insert_with(|| ArrowWriter::try_new(fs::File::create(&path).expect("create"), batch.schema(), None).expect("writer")).write(&batch).expect("write");
        }
        writer.expect("rows").close().expect("close");
        let after = fs::metadata(&path).expect("file").len();
        let (name, text) = (path.file_name().and_then(|n| n.to_str()).expect("name"), format!("\"bytes\": {before}"));
        let at = listed.find(name).expect("listed");
        let at = at + listed[at..].find(&text).expect("its bytes");
        listed.replace_range(at..at + text.len(), &format!("\"bytes\": {after}"));
        aged += 1;
    }
    fs::write(&manifest, listed).expect("manifest");
    aged
}

fn same(store: &EmbeddedStore, model: &Model, rng: &mut Rng, queries: usize, step: &str) {
    let rt = runtime();
    for n in 0..queries {
        let query = CdrQuery { filter: random_filter(rng), after: None, limit: 1 + rng.below(400) as usize };
        let got: Vec<Cdr> = rt.block_on(store.cdrs(query.clone())).expect("cdrs").iter().map(|r| (**r).clone()).collect();
        assert_eq!(got, model.cdrs(&query), "{step}, query {n}");
    }
}

/// Waits for the merges of the flush before: the next one comes after them.
fn merged(store: &EmbeddedStore) {
    runtime().block_on(store.flush()).expect("flush");
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).expect("dir").filter(|e| e.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|e| e == "parquet"))).count()
}

#[test]
fn rows_of_an_older_column_table_are_read_filtered_and_merged_with_those_of_now() {
    let dir = tempfile::tempdir().expect("dir");
    let mut rng = Rng(77);
    let (mut model, rt) = (Model::default(), runtime());
    // Files that no merge touches before they are aged: larger than any that is merged, were the limit 1.
    let quiet = || Options { full_file_rows: 1, ..options() };
    let store = EmbeddedStore::open(dir.path(), quiet()).expect("open");
    for part in 0..3u64 {
        let rows: Vec<Arc<Cdr>> = (0..300).map(|_| Arc::new(small_row(&mut rng))).collect();
        rows.iter().for_each(|row| model.write(&first(row)));
        store.write(0, rows, part + 1).expect("write");
        rt.block_on(store.flush()).expect("flush");
    }
    drop(store);
    assert_eq!(age(dir.path()), 6, "three of each kind");
    let store = EmbeddedStore::open(dir.path(), quiet()).expect("a folder of an older program opens");
    same(&store, &model, &mut rng, 200, "aged");
    // Rows of now beside them, in memory and in files; versions of old rows too.
    let rows: Vec<Arc<Cdr>> = (0..400).map(|_| small_row(&mut rng)).map(|row| Arc::new(Cdr { lrn: "12015550000".into(), ..row })).collect();
    let new: Vec<&Arc<Cdr>> = rows.iter().filter(|r| !model.has(r)).collect();
    assert!(new.len() > 20);
    for row in &rows {
        model.write(row);
    }
    store.write(0, rows.clone(), 4).expect("write");
    same(&store, &model, &mut rng, 200, "with rows of now in memory");
    rt.block_on(store.flush()).expect("flush");
    same(&store, &model, &mut rng, 200, "with files of now");
    let digest = content_digest(dir.path()).expect("digest");
    drop(store);
    // Merged: by being read and sorted, as small files are.
    let store = EmbeddedStore::open(dir.path(), Options { merge_files: 2, ..options() }).expect("open");
    store.write(0, vec![Arc::new(Cdr { invite_ts: rows[0].invite_ts, ..full_row(&mut rng, 1 << 40) })], 5).expect("write");
    rt.block_on(store.flush()).expect("flush");
    merged(&store);
    assert!(files(dir.path()) < 8, "none were merged");
    assert_ne!(content_digest(dir.path()).expect("digest"), digest, "one row more");
    let aged = rt.block_on(store.cdrs(crate::support::all(FINAL))).expect("cdrs").len() + rt.block_on(store.cdrs(crate::support::all(ATTEMPT))).expect("cdrs").len();
    assert_eq!(aged, model.current().count() + 1);
}

#[test]
fn large_files_of_an_older_column_table_are_joined_in_the_columns_of_now() {
    let dir = tempfile::tempdir().expect("dir");
    let rt = runtime();
    let quiet = || Options { full_file_rows: 1, ..options() };
    let store = EmbeddedStore::open(dir.path(), quiet()).expect("open");
    let row = |call: u128| Cdr { lrn: format!("1201555{}", call % 10), ..crate::support::cdr(call, FINAL, 1, 1) };
    let per_file = 17_000;
    for part in 0..4u128 {
        let rows = (0..per_file).map(|at| Arc::new(row(1 + part * per_file + at))).collect();
        store.write(0, rows, part as u64 + 1).expect("write");
        rt.block_on(store.flush()).expect("flush");
    }
    drop(store);
    age(dir.path());
    let store = open(dir.path());
    store.write(0, vec![Arc::new(row(u128::from(u64::MAX)))], 5).expect("write");
    rt.block_on(store.flush()).expect("flush");
    merged(&store);
    assert_eq!(files(dir.path()), 2, "four that are one, and the last row");
    let mut got = rt.block_on(store.cdrs(crate::support::all(FINAL))).expect("cdrs");
    got.sort_by_key(|r| RowKey::of(r));
    assert_eq!(got.len() as u128, 4 * per_file + 1);
    assert!(got.iter().all(|r| r.lrn.is_empty() == (r.call_uuid != crate::support::cdr(u128::from(u64::MAX), FINAL, 1, 1).call_uuid)));
}

#[test]
fn a_file_that_lacks_a_column_of_the_first_table_is_refused_by_its_name() {
    let dir = tempfile::tempdir().expect("dir");
    let rt = runtime();
    let store = open(dir.path());
    store.write(0, vec![Arc::new(crate::support::cdr(1, FINAL, 1, 1))], 1).expect("write");
    rt.block_on(store.flush()).expect("flush");
    drop(store);
    let manifest = fs::read_to_string(dir.path().join("manifest.json")).expect("manifest");
    let path = fs::read_dir(dir.path()).expect("dir").map(|e| e.expect("entry").path()).find(|p| p.extension().is_some_and(|e| e == "parquet")).expect("one");
    let before = fs::metadata(&path).expect("file").len();
    let batch = columns::to_batch(&[Arc::new(crate::support::cdr(1, FINAL, 1, 1))]).expect("batch");
    let all: Vec<usize> = (0..COLUMNS.len()).filter(|i| COLUMNS[*i].name != "sell_amount").collect();
    let batch = batch.project(&all).expect("columns");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).expect("create"), batch.schema(), None).expect("writer");
    writer.write(&batch).expect("write");
    writer.close().expect("close");
    let after = fs::metadata(&path).expect("file").len();
    fs::write(dir.path().join("manifest.json"), manifest.replace(&format!("\"bytes\": {before}"), &format!("\"bytes\": {after}"))).expect("manifest");
    let told = EmbeddedStore::open(dir.path(), options()).map(drop).expect_err("refused").to_string();
    assert!(told.contains("has no column sell_amount"), "{told}");
}

#[test]
fn an_exported_file_of_an_older_column_table_is_read_for_finance() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("cdrs.parquet");
    let mut rng = Rng(5);
    let rows: Vec<Arc<Cdr>> = (1..200).map(|i| Arc::new(full_row(&mut rng, i))).collect();
    let of_first: Vec<_> = COLUMNS.iter().filter(|c| c.since == 1).collect();
    let mut writer = CdrWriter::create(&path, &of_first).expect("create");
    writer.write(&rows).expect("write");
    writer.finish().expect("finish");
    let reader = CdrReader::open(&path, &["call_uuid", "sell_amount", "ring_ms"], &["lrn", "sell_currency"]).expect("opens");
    let got: Vec<Cdr> = reader.flat_map(|batch| batch.expect("rows")).collect();
    assert_eq!(got.len(), rows.len());
    for (got, want) in got.iter().zip(&rows) {
        assert_eq!((&got.call_uuid, got.sell_amount, got.ring_ms, &got.sell_currency, got.lrn.as_str()), (&want.call_uuid, want.sell_amount, want.ring_ms, &want.sell_currency, ""));
    }
}
