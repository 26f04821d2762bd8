//! Call files in Parquet, in the forms other programs write them.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int32Array, LargeStringArray, RecordBatch, StringArray, TimestampMillisecondArray,
        TimestampNanosecondArray,
    },
    datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use tollgate_store::calls_file::{CallRow, CallsFileError, CallsReader, RatedRow, RatedWriter};

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
    let three = |v: &str| texts(&[Some(v), Some(v), Some(v)]);
    write(
        &path,
        vec![
            ("call_id", Arc::new(LargeStringArray::from(vec!["a", "b", "c"]))),
            ("account", three("acme")),
            ("from", three("4930123")),
            ("to", texts(&[Some("+1212"), Some("1213"), None])),
            ("setup", Arc::new(TimestampMillisecondArray::from(vec![T0 / 1000; 3]).with_timezone("+02:00"))),
            ("answer", texts(&[Some("2026-11-21T01:00:05.25+01:00"), None, Some("")])),
            ("end", Arc::new(TimestampNanosecondArray::from(vec![(T0 + 65_250_000) * 1000 + 999; 3]).with_timezone("UTC"))),
            ("duration_ms", Arc::new(Int32Array::from(vec![Some(60_000), None, Some(0)]))),
        ],
    );
    let mut reader = CallsReader::open(&path).expect("open");
    assert_eq!(reader.rows(), 3);
    assert_eq!(reader.optional_columns(), ["duration_ms"]);
    let rows = reader.next().expect("a batch").expect("readable");
    assert!(reader.next().is_none());
    let first = CallRow {
        call_id: "a".into(),
        account: "acme".into(),
        from: "4930123".into(),
        to: "+1212".into(),
        setup_us: T0,
        answer_us: Some(T0 + 5_250_000),
        end_us: T0 + 65_250_000,
        duration_ms: Some(60_000),
        ..CallRow::default()
    };
    assert_eq!(rows[0].as_ref(), Ok(&first));
    assert_eq!(rows[1].as_ref().map(|r| (r.answer_us, r.duration_ms)), Ok((None, None)));
    let bad = rows[2].as_ref().expect_err("no number");
    assert_eq!((bad.row, bad.column, bad.problem.as_str()), (3, "to", "is empty"));
}

#[test]
fn a_file_of_another_shape_says_which_column() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("calls.parquet");
    write(&path, vec![("call_id", texts(&[Some("a")]))]);
    assert!(matches!(CallsReader::open(&path), Err(CallsFileError::MissingColumn { column: "account", .. })));
    let one = || texts(&[Some("2026-11-21T00:00:00Z")]);
    let local: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0]));
    write(
        &path,
        vec![("call_id", one()), ("account", one()), ("from", one()), ("to", one()), ("setup", local), ("answer", one()), ("end", one())],
    );
    let error = CallsReader::open(&path).expect("open").next().expect("a batch").expect_err("no zone");
    assert!(matches!(error, CallsFileError::ColumnType { column: "setup", .. }), "{error}");
    assert!(CallsReader::open(&dir.path().join("none")).is_err());
}

#[test]
fn rated_calls_have_the_csv_columns_in_order_with_exact_decimals() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("rated.parquet");
    let mut writer = RatedWriter::create(&path, &["duration_ms", "carrier"]).expect("create");
    for i in 0..20_000u64 {
        let call = CallRow {
            call_id: format!("c{i}"),
            setup_us: T0,
            answer_us: (i % 2 == 0).then_some(T0 + 1),
            end_us: T0 + 2,
            carrier: "alfa".into(),
            duration_ms: Some(i),
            ..CallRow::default()
        };
        let rated = i % 3 > 0;
        writer
            .write(RatedRow {
                call,
                billed_seconds: rated.then_some(i),
                rate_e12: rated.then_some(10_000_000_001),
                amount_e8: rated.then_some(-999_999_999_999_999_999 + i as i64),
                reason: "rated".into(),
                ..RatedRow::default()
            })
            .expect("write");
    }
    assert!(!path.exists(), "not there before it is whole");
    writer.finish().expect("finish");
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).expect("open")).expect("reader");
    let names: Vec<String> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(
        names.join(","),
        "call_id,account,from,to,setup,answer,end,carrier,duration_ms,prefix,destination,billed_seconds,rate,amount,currency,deck_version,reason"
    );
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(builder.schema().field(4).data_type(), &utc);
    let mut i = 0u64;
    for batch in builder.build().expect("batches") {
        let batch = batch.expect("batch");
        let (answer, billed) = (batch.column(5).as_primitive::<TimestampMicrosecondType>(), batch.column(11).as_primitive::<Int64Type>());
        let (rate, amount) = (batch.column(12).as_primitive::<Decimal128Type>(), batch.column(13).as_primitive::<Decimal128Type>());
        for row in 0..batch.num_rows() {
            assert_eq!(batch.column(0).as_string::<i32>().value(row), format!("c{i}"));
            assert_eq!(answer.is_valid(row), i % 2 == 0);
            assert_eq!(billed.is_valid(row), i % 3 > 0);
            if i % 3 > 0 {
                assert_eq!(billed.value(row), i as i64);
                assert_eq!(rate.value_as_string(row), "0.010000000001");
                assert_eq!(amount.value(row), -999_999_999_999_999_999 + i128::from(i));
            }
            i += 1;
        }
    }
    assert_eq!(i, 20_000);
    // What was rated can be read as calls again.
    let again = CallsReader::open(&path).expect("open");
    assert_eq!(again.optional_columns(), ["carrier", "duration_ms"]);
    assert_eq!(again.map(|b| b.expect("batch").into_iter().filter(Result::is_err).count()).sum::<usize>(), 20_000, "empty numbers");
}
