use std::{fs::File, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, LargeStringArray, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType},
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use tollgate_rating::{
    deck::{Deck, DeckOptions},
    geography::{NumberTable, OriginGroups, Places, Surcharges},
    rate_file::{Callers, RateOptions, rate_csv},
};
use tollgate_schemas::{money::format_scaled, number::E164, parties::CallerValidity, time::format_rfc3339};

use super::*;

const SHEET: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,blocked\n\
    1,US,0.0100,0,6,6,,,\n12,US East,0.0050,0.01,1,1,1970-01-02,1970-01-05,\n44,UK,0.0200,0,60,60,,,\n447,UK Mobile,0.0000,0,1,1,,,yes\n33,France,1.0000,0,1,1,2030-01-01,,\n";

fn decks() -> Decks {
    let deck = |name, csv: &str| Arc::new(Deck::compile(name, csv.as_bytes(), &DeckOptions::default()).expect("a deck"));
    let mut decks = Decks::default();
    decks.add(Some("acme"), deck("acme", SHEET)).expect("once");
    decks.add(Some("globex"), deck("globex", &SHEET.replace("0.0100", "0.0300").replace("US", "USA"))).expect("once");
    decks
}

/// Calls of every fate, some of them no calls at all; every seventh row is one of those where `bad` says so.
struct Calls {
    rows: usize,
    bad: bool,
}

impl Calls {
    fn cells(&self, at: usize) -> (String, &'static str, &'static str, i64, Option<i64>, Option<i64>, Option<i64>) {
        let to = ["12025550100", "+442071838750", "447700900123", "33123456789", "861012345678", "1", "12"][at % 7];
        let to = if self.bad && at % 7 == 3 { "bogus" } else { to };
        let account = ["acme", "globex", "nobody", "acme"][at % 4];
        let setup = at as i64 * 60_000_000;
        let answer = (at % 3 > 0).then_some(setup + 5_000_000);
        let duration = (at % 5 == 0).then_some(at as i64);
        (format!("call-{at}"), account, to, setup, answer, Some(setup + 5_000_000 + at as i64 * 1_013), duration)
    }

    fn batch(&self) -> RecordBatch {
        let cells: Vec<_> = (0..self.rows).map(|at| self.cells(at)).collect();
        let times = |cells: Vec<Option<i64>>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(cells).with_timezone("UTC")) };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("unasked", Arc::new(Int64Array::from(vec![7; self.rows]))),
            ("call_id", Arc::new(cells.iter().map(|c| Some(c.0.as_str())).collect::<StringArray>())),
            ("account", Arc::new(cells.iter().map(|c| Some(c.1)).collect::<LargeStringArray>())),
            ("from", Arc::new((0..self.rows).map(|at| (at % 2 == 0).then_some("anonymous")).collect::<StringArray>())),
            ("to", Arc::new(cells.iter().map(|c| Some(c.2)).collect::<StringArray>())),
            ("setup", times(cells.iter().map(|c| Some(c.3)).collect())),
            ("answer", times(cells.iter().map(|c| c.4).collect())),
            ("end", times(cells.iter().map(|c| c.5).collect())),
            ("duration_ms", Arc::new(cells.iter().map(|c| c.6).collect::<Int64Array>())),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("batch")
    }

    fn csv(&self) -> String {
        let mut csv = "call_id,account,from,to,setup,answer,end,duration_ms\n".to_owned();
        for at in 0..self.rows {
            let (id, account, to, setup, answer, end, duration) = self.cells(at);
            let time = |us: Option<i64>| us.map(format_rfc3339).unwrap_or_default();
            let from = if at % 2 == 0 { "anonymous" } else { "" };
            let duration = duration.map(|d| d.to_string()).unwrap_or_default();
            csv += &format!("{id},{account},{from},{to},{},{},{},{duration}\n", time(Some(setup)), time(answer), time(end));
        }
        csv
    }
}

fn write(path: &Path, batch: &RecordBatch, group_rows: usize, compression: Compression) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(path).expect("create"), batch.schema(), Some(properties)).expect("writer");
    writer.write(batch).expect("write");
    writer.close().expect("close");
}

/// A rated file as the lines that rating CSV gives.
fn as_csv(path: &Path) -> Vec<String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("open")).expect("reader");
    let names: Vec<String> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
    let mut lines = vec![names.join(",")];
    for batch in builder.build().expect("batches") {
        let batch = batch.expect("batch");
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = names.iter().map(|name| cell(name, batch.column_by_name(name).expect("there"), row)).collect();
            lines.push(cells.join(","));
        }
    }
    lines
}

fn cell(name: &str, array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return String::new();
    }
    let decimal = |array: &Decimal128Array| i64::try_from(array.value(row)).expect("64 bits");
    match name {
        "setup" | "answer" | "end" => format_rfc3339(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        "duration_ms" | "billed_seconds" => array.as_primitive::<Int64Type>().value(row).to_string(),
        "rate" => format_scaled(decimal(array.as_primitive::<Decimal128Type>()), 12, 4),
        "amount" => format_scaled(decimal(array.as_primitive::<Decimal128Type>()), 8, 6),
        _ => array.as_string::<i32>().value(row).to_owned(),
    }
}

#[test]
fn parquet_is_rated_as_csv_is_with_any_row_groups_threads_and_bad_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let (calls, out) = (folder.path().join("calls.parquet"), folder.path().join("rated.parquet"));
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for (rows, group_rows, threads, bad, compression) in [
        (1, 10, 2, false, Compression::SNAPPY),
        (50_000, 7_001, 3, false, Compression::SNAPPY),
        (50_000, 7_001, 1, true, zstd),
        (20_000, 20_000, 2, true, Compression::UNCOMPRESSED),
        (9_000, 10, 2, true, zstd),
    ] {
        let of = Calls { rows, bad };
        write(&calls, &of.batch(), group_rows, compression);
        let (mut csv, mut problems) = (Vec::new(), Vec::new());
        let counted =
            rate_csv(&decks(), of.csv().as_bytes(), &mut csv, RateOptions::default(), &mut |p| problems.push(p), &mut |_| {}).expect("rated");
        let counts = rate(&decks(), &calls, &out, threads).expect("rated");
        assert_eq!(counts, counted, "{rows} rows");
        let want = String::from_utf8(csv).expect("text");
        let got = as_csv(&out);
        assert_eq!(got.len(), want.lines().count());
        for (got, want) in got.iter().zip(want.lines()) {
            assert_eq!(got, want, "{rows} rows");
        }
    }
}

#[test]
fn times_as_text_are_written_as_times() {
    let folder = tempfile::tempdir().expect("folder");
    let (calls, out) = (folder.path().join("calls.parquet"), folder.path().join("rated.parquet"));
    let texts = |cells: [Option<&str>; 3]| -> ArrayRef { Arc::new(StringArray::from(cells.to_vec())) };
    let same = |cell| texts([Some(cell); 3]);
    let batch = RecordBatch::try_from_iter_with_nullable(
        [
            ("call_id", same("a")),
            ("account", same("acme")),
            ("from", same("")),
            ("to", same("12025550100")),
            ("setup", texts([Some("1970-01-01T00:00:00Z"), Some("yesterday"), Some("1970-01-01T01:00:00+01:00")])),
            ("answer", texts([Some("1970-01-01T00:00:01Z"), None, Some("")])),
            ("end", same("1970-01-01T00:00:11.5Z")),
            ("duration_ms", texts([None, None, Some("17")])),
        ]
        .map(|(name, array)| (name, array, true)),
    );
    write(&calls, &batch.expect("batch"), 10, Compression::SNAPPY);
    let counts = rate(&decks(), &calls, &out, 2).expect("rated");
    assert_eq!((counts.read, counts.rated, counts.unanswered, counts.malformed), (3, 1, 1, 1));
    let lines: Vec<String> = as_csv(&out)[1..].iter().map(|l| l.rsplitn(4, ',').last().expect("cells").to_owned()).collect();
    assert_eq!(
        lines,
        [
            "a,acme,,12025550100,1970-01-01T00:00:00.000000Z,1970-01-01T00:00:01.000000Z,1970-01-01T00:00:11.500000Z,,1,US,12,0.0100,0.002000",
            "a,acme,,12025550100,1970-01-01T00:00:00.000000Z,,1970-01-01T00:00:11.500000Z,17,1,US,0,0.0100,0.000000",
        ]
    );
}

#[test]
fn a_row_group_too_long_to_be_held_is_written_in_parts() {
    let folder = tempfile::tempdir().expect("folder");
    let (calls, out) = (folder.path().join("calls.parquet"), folder.path().join("rated.parquet"));
    let rows = PART_ROWS + 12_345;
    write(&calls, &Calls { rows, bad: true }.batch(), 4 * PART_ROWS, Compression::SNAPPY);
    let counts = rate(&decks(), &calls, &out, 2).expect("rated");
    assert_eq!((counts.read, counts.malformed > 0), (rows as u64, true));
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&out).expect("open")).expect("reader");
    let metadata = builder.metadata();
    assert_eq!((metadata.num_row_groups(), metadata.file_metadata().num_rows()), (2, counts.written() as i64));
    let last = builder.build().expect("batches").last().expect("rows").expect("batch");
    let id = last.column_by_name("call_id").expect("there").as_string::<i32>().value(last.num_rows() - 1).to_owned();
    assert_eq!(id, format!("call-{}", rows - 1));
}

/// Within New York, between states, and of callers nobody knows; one row in three by its LRN.
#[test]
fn r_25_callers_have_the_same_say_in_parquet_as_in_csv() {
    let folder = tempfile::tempdir().expect("folder");
    let (calls, out) = (folder.path().join("calls.parquet"), folder.path().join("rated.parquet"));
    let sheet = "prefix,destination,rate,connect_fee,initial,increment,effective_from,interrate,intrarate,ijrate,origin_group\n\
        1,US,0.0100,0,6,6,,0.0070,0.0090,0.0120,\n1,US,0.0500,0,6,6,,,,,invalid\n";
    let deck = Arc::new(Deck::compile("us", sheet.as_bytes(), &DeckOptions::default()).expect("a deck"));
    let table = NumberTable::compile(b"npanxx,state\n212555,NY\n201555,NJ\n").expect("a table");
    let groups = OriginGroups::compile(&Default::default()).expect("the built-in ones");
    let places = Places::new(table, groups, Surcharges::default(), [&*deck].into_iter());
    let read = |from: &str| E164::parse(from).map_or((CallerValidity::Missing, None), |number| (CallerValidity::Valid, Some(number)));
    let decks = Decks::all(deck).with_callers(Callers::new(Arc::new(places), None, Arc::new(read)));
    let rows = 9_000;
    let from = |at: usize| ["12125550101", "+12015550101", "", "442071838750", "nobody"][at % 5];
    let lrn = |at: usize| ["", "", "12015550000"][at % 3];
    let source = |at: usize| ["", "dip", "guessed"][if at == 8_000 { 2 } else { at % 2 }];
    let answer = |at: usize| (at % 4 > 0).then_some(1_000_000);
    let texts = |cell: &dyn Fn(usize) -> String| -> ArrayRef { Arc::new((0..rows).map(|at| Some(cell(at))).collect::<StringArray>()) };
    let times = |cell: &dyn Fn(usize) -> Option<i64>| -> ArrayRef { Arc::new((0..rows).map(cell).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("call_id", texts(&|at| at.to_string())),
        ("account", texts(&|_| "acme".to_owned())),
        ("from", texts(&|at| from(at).to_owned())),
        ("to", texts(&|_| "12125550100".to_owned())),
        ("setup", times(&|_| Some(0))),
        ("answer", times(&answer)),
        ("end", times(&|at| Some(1_000_000 * (1 + at as i64)))),
        ("lrn", texts(&|at| lrn(at).to_owned())),
        ("lrn_source", texts(&|at| source(at).to_owned())),
    ];
    write(&calls, &RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).expect("batch"), 4_000, Compression::SNAPPY);
    let mut csv = "call_id,account,from,to,setup,answer,end,lrn,lrn_source\n".to_owned();
    for at in 0..rows {
        let time = |us: Option<i64>| us.map(format_rfc3339).unwrap_or_default();
        csv += &format!("{at},acme,{},12125550100,{},{},{},{},{}\n", from(at), time(Some(0)), time(answer(at)), time(Some(1_000_000 * (1 + at as i64))), lrn(at), source(at));
    }
    let (mut rated, mut problems) = (Vec::new(), Vec::new());
    let counted = rate_csv(&decks, csv.as_bytes(), &mut rated, RateOptions::default(), &mut |p| problems.push(p), &mut |_| {}).expect("rated");
    assert_eq!(rate(&decks, &calls, &out, 2).expect("rated"), counted);
    assert_eq!((problems.len(), problems[0].column), (1, "lrn_source"));
    let rated = String::from_utf8(rated).expect("text");
    let (got, want): (Vec<String>, Vec<&str>) = (as_csv(&out), rated.lines().collect());
    assert_eq!(got, want);
    let rates = ["0.0070", "0.0090", "0.0120", "0.0500"].map(|rate| want.iter().filter(|l| l.contains(&format!(",{rate},"))).count());
    assert!(rates.iter().all(|n| *n > 1_000), "{rates:?}");
}
