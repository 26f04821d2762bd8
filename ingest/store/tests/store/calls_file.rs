//! Call files in Parquet, in the forms other programs write them.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray, TimestampMicrosecondArray,
        TimestampMillisecondArray, TimestampNanosecondArray,
    },
    datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use tollgate_store::calls_file::{Added, CallBatch, CallCells, CallsFile, CallsFileError, Line, RatedFile};

use crate::support::T0;

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("batch");
    let mut writer = ArrowWriter::try_new(File::create(path).expect("create"), batch.schema(), None).expect("writer");
    writer.write(&batch).expect("write");
    writer.close().expect("close");
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn calls_are_read_with_text_or_zoned_times_and_bad_cells_are_placed() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("calls.parquet");
    let four = |v: &str| texts(&[Some(v); 4]);
    write(
        &path,
        vec![
            ("call_id", Arc::new(LargeStringArray::from(vec!["a", "b", "c", "d"]))),
            ("account", four("acme")),
            ("from", four("4930123")),
            ("to", texts(&[Some("+1212"), Some("1213"), None, Some("1214")])),
            ("setup", Arc::new(TimestampMillisecondArray::from(vec![T0 / 1000; 4]).with_timezone("+02:00"))),
            ("answer", texts(&[Some("2026-11-21T01:00:05.25+01:00"), None, Some(""), Some("soon")])),
            ("end", Arc::new(TimestampNanosecondArray::from(vec![(T0 + 65_250_000) * 1000 + 999; 4]).with_timezone("UTC"))),
            ("duration_ms", Arc::new(Int32Array::from(vec![Some(60_000), None, Some(0), None]))),
        ],
    );
    let file = CallsFile::open(&path).expect("open");
    assert_eq!((file.rows(), file.units()), (4, 1));
    let batches: Vec<CallBatch> = file.unit(0).expect("unit").map(|b| b.expect("readable")).collect();
    let [rows] = batches.as_slice() else { panic!("one batch") };
    let first = CallCells {
        from: "",
        jip: "",
        lrn_source: "",
        cnam_source: "",
        // The statistics know that it is not empty.
        call_id: None,
        account: "acme",
        to: "+1212",
        lrn: "",
        setup_us: Some(T0),
        answer_us: Some(T0 + 5_250_000),
        end_us: Some(T0 + 65_250_000),
        duration_ms: Some(60_000),
    };
    assert_eq!(rows.cells(0), Ok(first));
    assert_eq!(rows.cells(1).map(|r| (r.answer_us, r.duration_ms)), Ok((None, None)));
    assert_eq!(rows.cells(2).map(|r| r.to), Ok(""), "rating says that it is empty");
    let bad = rows.cells(3).expect_err("no time");
    assert_eq!((bad.row, bad.column), (4, "answer"));
}

#[test]
fn a_call_id_is_read_where_it_may_be_empty() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("calls.parquet");
    let zoned = || -> ArrayRef { Arc::new(TimestampMillisecondArray::from(vec![0; 2]).with_timezone("UTC")) };
    let same = || texts(&[Some("1"), Some("1")]);
    for (ids, want) in [([Some("a"), Some("b")], [None, None]), ([Some("a"), Some("")], [Some("a"), Some("")]), ([None, Some("b")], [Some(""), Some("b")])] {
        write(&path, vec![("call_id", texts(&ids)), ("account", same()), ("from", same()), ("to", same()), ("setup", zoned()), ("answer", zoned()), ("end", zoned())]);
        let file = CallsFile::open(&path).expect("open");
        let batch = file.unit(0).expect("unit").next().expect("a batch").expect("readable");
        assert_eq!([0, 1].map(|at| batch.cells(at).expect("cells").call_id), want);
    }
}

#[test]
fn a_file_of_another_shape_says_which_column() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("calls.parquet");
    write(&path, vec![("call_id", texts(&[Some("a")]))]);
    assert!(matches!(CallsFile::open(&path), Err(CallsFileError::MissingColumn { column: "account", .. })));
    let one = || texts(&[Some("2026-11-21T00:00:00Z")]);
    let local: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0]));
    write(
        &path,
        vec![("call_id", one()), ("account", one()), ("from", one()), ("to", one()), ("setup", local), ("answer", one()), ("end", one())],
    );
    let error = CallsFile::open(&path).map(|_| ()).expect_err("no zone");
    assert!(matches!(error, CallsFileError::ColumnType { column: "setup", .. }), "{error}");
    assert!(CallsFile::open(&dir.path().join("none")).is_err());
}

#[test]
fn rated_calls_have_the_csv_columns_in_order_with_exact_decimals() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("rated.parquet");
    let calls = dir.path().join("calls.parquet");
    const ROWS: i64 = 300_000;
    let repeated = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; ROWS as usize])) };
    let times = |at: fn(i64) -> Option<i64>| -> ArrayRef { Arc::new((0..ROWS).map(at).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) };
    write(
        &calls,
        vec![
            // Not in the order of the form, and one that is none of it.
            ("duration_ms", Arc::new((0..ROWS).map(Some).collect::<Int64Array>())),
            ("call_id", Arc::new((0..ROWS).map(|i| Some(format!("c{i}"))).collect::<StringArray>())),
            ("account", repeated("acme")),
            ("from", repeated("")),
            ("to", repeated("1")),
            ("note", repeated("not asked for")),
            ("setup", times(|_| Some(T0))),
            ("answer", times(|i| (i % 2 == 0).then_some(T0 + 1))),
            ("end", times(|_| Some(T0 + 2))),
            ("carrier", repeated("alfa")),
        ],
    );
    let file = CallsFile::open(&calls).expect("open");
    let mut rated = RatedFile::create(&path, &file).expect("create");
    let encoder = rated.encoder().expect("encoder");
    let mut unit = file.unit(0).expect("unit");
    let mut added = Added::default();
    let priced = added.line(&Line { prefix: "1", rate_e12: Some(10_000_000_001), reason: "rated", ..Line::default() });
    let not = added.line(&Line { reason: "no_prefix", ..Line::default() });
    while let Some(batch) = unit.next() {
        for _ in 0..batch.expect("readable").len() {
            let i = added.rows() as i64;
            let price = (i as u64, -999_999_999_999_999_999 + i);
            if i % 3 > 0 { added.push(priced, Some(price)) } else { added.push(not, None) }
        }
    }
    rated.write(encoder.part(&mut unit, &added).expect("part")).expect("write");
    assert!(!path.exists(), "not there before it is whole");
    rated.finish().expect("finish");
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).expect("open")).expect("reader");
    let names: Vec<String> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(
        names.join(","),
        "call_id,account,from,to,setup,answer,end,carrier,duration_ms,prefix,destination,billed_seconds,rate,amount,currency,deck_version,reason"
    );
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(builder.schema().field(4).data_type(), &utc);
    let mut i = 0i64;
    for batch in builder.build().expect("batches") {
        let batch = batch.expect("batch");
        let (answer, billed) = (batch.column(5).as_primitive::<TimestampMicrosecondType>(), batch.column(11).as_primitive::<Int64Type>());
        let (rate, amount) = (batch.column(12).as_primitive::<Decimal128Type>(), batch.column(13).as_primitive::<Decimal128Type>());
        let text = |column: usize, row| batch.column(column).as_string::<i32>().value(row).to_owned();
        for row in 0..batch.num_rows() {
            assert_eq!(text(0, row), format!("c{i}"));
            assert_eq!(answer.is_valid(row), i % 2 == 0);
            let has_price = i % 3 > 0;
            assert_eq!((billed.is_valid(row), rate.is_valid(row), amount.is_valid(row)), (has_price, has_price, has_price));
            assert_eq!([text(9, row), text(16, row)], if has_price { ["1", "rated"] } else { ["", "no_prefix"] });
            if has_price {
                assert_eq!(billed.value(row), i);
                assert_eq!(rate.value_as_string(row), "0.010000000001");
                assert_eq!(amount.value(row), -999_999_999_999_999_999 + i128::from(i));
            }
            i += 1;
        }
    }
    assert_eq!(i, ROWS);
    // What was rated can be read as calls again.
    assert_eq!(CallsFile::open(&path).expect("open").rows(), ROWS as u64);
}
