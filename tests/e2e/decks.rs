//! Carriers' sheets as files into a running node: read, proposed by one person, approved by another, in force, and still
//! known after a restart.

use std::{path::Path, process::Output};

use chrono::{Duration, NaiveDate, SecondsFormat, Utc};
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook, Worksheet};
use serde_json::{Value, json};

use crate::harness::{KEY, Node, Setup, ms, tollgate, wait_for};

/// The second person's key, whose hash is in the configuration.
const SECOND: &str = "second-persons-key-7c21";

fn setup() -> Setup {
    let mut setup = Setup::new(2);
    let hash = "f46f4216d4575be02eb3219e660072e2d27ddcb0ec4723a2cb7fe40b789ad8e8";
    setup.more = format!("[[api.keys]]\nid = \"second\"\nsha256 = \"{hash}\"\nscopes = [\"read\", \"control\"]\n");
    setup
}

fn run(node: &Node, key: &str, args: &[&str]) -> Output {
    let mut command = tollgate();
    command.arg("deck").args(args).env("TOLLGATE_ADMIN_KEY", key).env("TOLLGATE_URL", format!("http://{}", node.api.addr));
    command.output().expect("the program runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn yes(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

fn no(output: &Output, code: i32, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    for part in parts {
        assert!(said(output).contains(part), "{part} in {}", said(output));
    }
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("file");
    path.to_str().expect("UTF-8").to_owned()
}

/// A day to come.
fn in_days(days: i64) -> NaiveDate {
    (Utc::now() + Duration::days(days)).date_naive()
}

fn rate(node: &Node, deck: &str, number: &str, query: &str) -> Value {
    node.api.get(&format!("/v1/decks/{deck}/price?number={number}{query}"))
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[test]
fn r_14_a_sheet_with_one_approver_only_is_not_activated_and_with_two_it_is() {
    let mut node = Node::start(setup());
    let dir = tempfile::tempdir().expect("folder");
    let sheet = write(dir.path(), "alpha.csv", format!("Alpha Telecom;;;;\nDestination;Code;Rate USD;Increments;Valid from\nusa;1;0,025;1/1;now\nuk;44;0,06;1/1;{}\nUK Mobile;\"447-449\";0,11;1/1;{}\n", in_days(20), in_days(20)));
    // Full or partial is said, or nothing happens.
    no(&run(&node, KEY, &["import", &sheet, "--deck", "alpha-cost"]), 2, &["--full", "--partial"]);
    let preview = yes(run(&node, KEY, &["import", &sheet, "--deck", "alpha-cost", "--partial", "--dry-run"]));
    for part in ["3 new", "1 decreased", "1 unchanged", "broken out of 44", "nothing was proposed"] {
        assert!(preview.contains(part), "{part} in {preview}");
    }
    assert!(node.api.items("/v1/deck-imports?state=all").is_empty());
    let proposed = run(&node, KEY, &["import", &sheet, "--deck", "alpha-cost", "--partial", "--json", "--reason", "sheet of May"]);
    let proposed: Value = serde_json::from_slice(&proposed.stdout).expect("JSON");
    let id = proposed["import_id"].as_str().expect("id").to_owned();
    let before = rate(&node, "alpha-cost", "12125550100", "");
    assert_eq!((&before["result"], &before["row"]["rate"]), (&json!("priced"), &json!("0.03")), "a proposal changes no price");
    no(&run(&node, KEY, &["approve", &id]), 1, &["somebody else approves it"]);
    let instant = now();
    // It waits over a kill, too.
    node.kill();
    node.restart();
    assert!(yes(run(&node, SECOND, &["imports"])).contains(&id));
    assert!(yes(run(&node, SECOND, &["imports", &id])).contains("UK Mobile"));
    yes(run(&node, SECOND, &["approve", &id, "--reason", "checked"]));
    let after = rate(&node, "alpha-cost", "12125550100", "");
    assert_eq!(after["row"]["rate"], "0.025");
    // what it cost then, as known then, is what it was.
    let then = rate(&node, "alpha-cost", "12125550100", &format!("&as_of={instant}"));
    assert_eq!((&then["row"]["rate"], &then["deck_version"]), (&json!("0.03"), &before["deck_version"]));
    let later = rate(&node, "alpha-cost", "447911123456", &format!("&as_of={}T12:00:00Z&known_at={}", in_days(21), now()));
    assert_eq!(later["row"]["rate"], "0.11");
    let early = rate(&node, "alpha-cost", "447911123456", &format!("&as_of={}T12:00:00Z&known_at={instant}", in_days(21)));
    assert_eq!(early["row"]["rate"], "0.06", "nobody knew of 447 then");
    no(&run(&node, SECOND, &["approve", &id]), 1, &["approved already"]);
    node.kill();
    node.restart();
    let again = rate(&node, "alpha-cost", "12125550100", "");
    for field in ["row", "deck_version", "known_since", "position"] {
        assert_eq!(again[field], after[field], "{field} is the same after a restart");
    }
    let versions = yes(run(&node, KEY, &["show", "alpha-cost", "--versions"]));
    assert!(versions.contains("second") && versions.contains(&format!("import {id} of alpha.csv, proposed by admin")), "{versions}");
    let shown = yes(run(&node, KEY, &["show", "alpha-cost", "--number", "12125550100", "--as-of", &instant, "--known-at", &instant]));
    assert!(shown.contains("0.03"), "{shown}");
    assert!(yes(run(&node, KEY, &["show", "alpha-cost"])).starts_with("prefix,destination,rate"));
}

#[test]
fn r_13_short_notice_past_dates_and_a_deck_that_changed_meanwhile_are_refused() {
    let node = Node::start(setup());
    let dir = tempfile::tempdir().expect("folder");
    let dearer = write(dir.path(), "dearer.csv", format!("code,destination,rate,increments,effective\n1,usa,0.05,1/1,{}\n44,uk,0.01,1/1,2021-01-01\n", in_days(2)));
    let refused = run(&node, KEY, &["import", &dearer, "--deck", "alpha-cost", "--partial"]);
    no(&refused, 1, &["dearer.csv:2 1: dearer", "7 days", "dearer.csv:3 44: effective 2021-01-01", "--past now"]);
    let over = ["import", dearer.as_str(), "--deck", "alpha-cost", "--partial", "--past", "now", "--short-notice", "agreed with Alpha", "--json"];
    let first: Value = serde_json::from_slice(&run(&node, KEY, &over).stdout).expect("JSON");
    assert_eq!((&first["flags"]["short_notice"], &first["flags"]["moved_to_now"]), (&json!(1), &json!(1)), "{first}");
    let second: Value = serde_json::from_slice(&run(&node, KEY, &over).stdout).expect("JSON");
    yes(run(&node, SECOND, &["approve", first["import_id"].as_str().expect("id")]));
    no(&run(&node, SECOND, &["approve", second["import_id"].as_str().expect("id")]), 1, &["has changed since"]);
    yes(run(&node, KEY, &["reject", second["import_id"].as_str().expect("id"), "--reason", "the same again"]));
    no(&run(&node, KEY, &["import", &dearer, "--deck", "nothing", "--partial"]), 1, &["--new"]);
    let new = run(&node, KEY, &["import", &dearer, "--deck", "nothing", "--full", "--new", "--currency", "EUR", "--timezone", "Europe/Amsterdam", "--json"]);
    let new: Value = serde_json::from_slice(&new.stdout).expect("JSON");
    yes(run(&node, SECOND, &["approve", new["import_id"].as_str().expect("id")]));
    assert_eq!(node.api.get("/v1/decks/nothing")["spec"]["currency"], "EUR");
}

/// Seven days and a little when it was proposed, less than seven when somebody came to approve it.
#[test]
fn r_13_notice_that_ran_short_before_the_approval_is_refused_unless_a_reason_is_given() {
    let node = Node::start(setup());
    let dir = tempfile::tempdir().expect("folder");
    let effective = Utc::now() + Duration::days(7) + Duration::seconds(6);
    let dearer = write(dir.path(), "dearer.csv", format!("code,destination,rate,increments,effective\n1,usa,0.05,1/1,{}\n", effective.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let proposed: Value = serde_json::from_slice(&run(&node, KEY, &["import", &dearer, "--deck", "alpha-cost", "--partial", "--json"]).stdout).expect("JSON");
    let id = proposed["import_id"].as_str().expect("id");
    std::thread::sleep(std::time::Duration::from_secs(7));
    no(&run(&node, SECOND, &["approve", id]), 1, &["with 167 h of notice", "7 days"]);
    yes(run(&node, SECOND, &["approve", id, "--short-notice", "agreed with Alpha by phone"]));
    let import = node.api.get(&format!("/v1/deck-imports/{id}"));
    assert_eq!((&import["state"], &import["order"]["short_notice"]), (&json!("approved"), &json!("agreed with Alpha by phone")), "{import}");
}

fn dates() -> Format {
    Format::new().set_num_format("dd/mm/yyyy")
}

fn date(day: NaiveDate) -> ExcelDateTime {
    use chrono::Datelike;
    ExcelDateTime::from_ymd(day.year() as u16, day.month() as u8, day.day() as u8).expect("date")
}

/// A workbook as carriers send it: a cover, rates under title lines with dates and floats, notes below, a hidden sheet of old rates.
fn workbook(path: &Path, day: NaiveDate, spoil: impl Fn(&mut Worksheet)) {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("Cover").unwrap().write(0, 0, "Beta Carrier Ltd").unwrap();
    let rates = book.add_worksheet();
    rates.set_name("Rates A-Z").unwrap();
    rates.write(0, 0, "BETA CARRIER: RATES").unwrap();
    rates.write(1, 0, "All prices in USD per minute").unwrap();
    for (column, name) in ["Country", "Destination", "Country Code", "Area Codes", "Rate", "Min.", "Next increment", "Effective date", "Change", "Comment"].into_iter().enumerate() {
        rates.write(3, column as u16, name).unwrap();
    }
    // 0.1 + 0.2 - 0.27 in binary is not 0.03.
    let rows: [(&str, &str, f64, &str, f64, f64, f64, &str); 4] = [
        ("United States", "United States", 1.0, "", 0.1 + 0.2 - 0.27, 1.0, 1.0, "Decrease"),
        ("United Kingdom", "Proper", 44.0, "", 0.07, 1.0, 1.0, "Decrease"),
        ("United Kingdom", "Mobile Three", 44.0, "7400-7403, 7411", 0.09, 60.0, 60.0, "New"),
        ("Netherlands", "Mobile", 31.0, "6,97", 0.12, 60.0, 1.0, "New"),
    ];
    for (at, (country, destination, code, areas, rate, min, next, change)) in (4u32..).zip(rows) {
        rates.write(at, 0, country).unwrap().write(at, 1, destination).unwrap().write(at, 2, code).unwrap();
        if !areas.is_empty() {
            rates.write(at, 3, areas).unwrap();
        }
        rates.write(at, 4, rate).unwrap().write(at, 5, min).unwrap().write(at, 6, next).unwrap();
        rates.write_datetime_with_format(at, 7, date(day), &dates()).unwrap();
        rates.write(at, 8, change).unwrap();
    }
    rates.write(10, 0, "* Prices are valid until further notice.").unwrap();
    spoil(rates);
    let old = book.add_worksheet();
    old.set_name("Old").unwrap().set_hidden(true);
    old.write(0, 0, "Code").unwrap().write(0, 1, "Rate").unwrap().write(1, 0, 999.0).unwrap().write(1, 1, 9.0).unwrap();
    book.save(path).expect("workbook");
}

#[test]
fn r_14_a_workbook_prices_calls_as_the_same_sheet_in_csv_does() {
    let node = Node::start(setup());
    let dir = tempfile::tempdir().expect("folder");
    let (xlsx, day) = (dir.path().join("beta.xlsx"), in_days(30));
    workbook(&xlsx, day, |_| {});
    let file = xlsx.to_str().expect("UTF-8");
    let explained = yes(run(&node, KEY, &["convert", file, "--explain"]));
    for part in ["sheet 'Cover': notes", "sheet 'Old': hidden", "header in row 4; 4 rows", "currency USD", "E 'Rate': rate", "J 'Comment': not used", "floats of more than 12 digits"] {
        assert!(explained.contains(part), "{part} in {explained}");
    }
    let csv = format!("dialprefix|destination|price|increments|from|change\n1|United States|0.03|1/1|{day}|decreased\n44|United Kingdom Proper|0.07|1/1|{day}|decreased\n447400-447403,447411|United Kingdom Mobile Three|0.09|60/60|{day}|new\n316,3197|Netherlands Mobile|0.12|60/1|{day}|new\n");
    let csv = write(dir.path(), "beta.csv", csv);
    let rows = |file: &str| {
        let text = yes(run(&node, KEY, &["convert", file]));
        // Without where they are from, and the currency that the workbook names.
        let row = |l: &str| l.split(',').take(16).collect::<Vec<_>>().join(",");
        let mut rows: Vec<String> = text.lines().filter(|l| !l.starts_with("warning")).map(row).collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(file), rows(&csv));
    let proposed = run(&node, KEY, &["import", file, "--deck", "beta-cost", "--full", "--json"]);
    let proposed: Value = serde_json::from_slice(&proposed.stdout).unwrap_or_else(|_| panic!("{}", said(&proposed)));
    assert_eq!(proposed["preview"]["left_out"], json!(["Rates A-Z!J 'Comment'"]));
    assert_eq!(proposed["counts"], json!({ "new": 7, "increased": 0, "decreased": 2, "changed": 0, "closed": 0, "blocked": 0, "unchanged": 0 }));
    yes(run(&node, SECOND, &["approve", proposed["import_id"].as_str().expect("id")]));
    let at = format!("&as_of={day}T00:00:00Z&known_at={}", now());
    for (number, rate_then) in [("12125550100", "0.03"), ("442079460000", "0.07"), ("447401123456", "0.09"), ("447404123456", "0.07"), ("31612345678", "0.12"), ("31970123456", "0.12")] {
        assert_eq!(rate(&node, "beta-cost", number, &at)["row"]["rate"], rate_then, "{number}");
    }
    // a group by its name in large letters is there, one that no document has is not.
    let groups = write(dir.path(), "groups.csv", format!("code,destination,rate,increments,effective,origin\n44,UK,0.06,1/1,{day},EEA\n44,UK,0.07,1/1,{day},Nowhere\n"));
    no(&run(&node, KEY, &["import", &groups, "--deck", "beta-cost", "--partial", "--dry-run"]), 1, &["3 44: there is no origin group 'nowhere'"]);
    // S1-85, S1-27: both carriers have what is sold, each is its own upstream.
    let coverage = yes(run(&node, KEY, &["coverage"]));
    assert!(coverage.contains("alpha/standard all; beta/standard all") && coverage.contains("0 with a gap, 0 with one upstream"), "{coverage}");
    let mut spec = node.api.get("/v1/carriers/beta")["spec"].clone();
    spec["suspended"] = true.into();
    assert_eq!(node.api.put("/v1/carriers/beta", &spec).0, 200);
    wait_for("one upstream is left", ms(3_000), || yes(run(&node, KEY, &["coverage"])).contains("diversity=1").then_some(()));
    let mut spec = node.api.get("/v1/carriers/alpha")["spec"].clone();
    spec["suspended"] = true.into();
    assert_eq!(node.api.put("/v1/carriers/alpha", &spec).0, 200);
    no(&run(&node, KEY, &["coverage"]), 1, &["gap: 1", "gap: 44", "2 with a gap"]);
}

#[test]
fn r_14_a_bad_workbook_says_every_problem_by_sheet_row_and_column() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("bad.xlsx");
    workbook(&path, in_days(30), |rates| {
        rates.write(4, 2, "1.2E+03").unwrap();
        rates.write(5, 4, "n.a.").unwrap();
        rates.write_formula(6, 4, Formula::new("=1/0").set_result("#DIV/0!")).unwrap();
        rates.write_datetime_with_format(6, 3, date(in_days(1)), &dates()).unwrap();
        rates.write(7, 7, "03/04/2027").unwrap();
        rates.write(7, 3, 6.97).unwrap();
        rates.write_formula(8, 4, Formula::new("=E5*2").set_result("0.06")).unwrap();
        rates.write(8, 2, 55.0).unwrap().write(8, 5, 1.0).unwrap().write(8, 6, 0.0).unwrap().write(8, 7, 46400.0).unwrap();
    });
    let file = path.to_str().expect("UTF-8");
    let output = tollgate().args(["deck", "convert", file]).output().expect("runs");
    let places = [
        "bad.xlsx:Rates A-Z!C5 (Country Code): the spreadsheet has rounded this code", "Rates A-Z!E6 (Rate): 'n.a.'", "Rates A-Z!D7 (Area Codes): the spreadsheet has made the date", "Rates A-Z!E7 (Rate): ",
        "Rates A-Z!D8 (Area Codes): '6.97' is a number", "Rates A-Z!H8 (Effective date): '03/04/2027' has day and month in either order", "Rates A-Z!G9 (Next increment): an increment of 0", "problems in", "nothing of it was taken",
    ];
    no(&output, 1, &places);
    assert!(output.stdout.is_empty());
    for (name, bytes, part) in [
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest".as_slice(), "save it as .xlsx"), ("cut.xlsx", b"PK\x03\x04 cut short".as_slice(), "cut in transfer"), ("empty.csv", b"".as_slice(), "empty"),
    ] {
        let file = write(dir.path(), name, bytes);
        no(&tollgate().args(["deck", "convert", &file]).output().expect("runs"), 1, &[part]);
    }
    let json = tollgate().args(["deck", "convert", file, "--json"]).output().expect("runs");
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&json["problems"][0]["sheet"], &json["problems"][0]["row"], &json["problems"][0]["column"]), (&json!("Rates A-Z"), &json!(5), &json!("C")));
}

fn deck(args: &[&str]) -> Output {
    tollgate().arg("deck").args(args).output().expect("the program runs")
}

/// A workbook of one sheet with a header and one row, its price in a format.
fn priced(path: &Path, format: &str) {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    for (column, name) in (0u16..).zip(["Code", "Destination", "Rate", "Increments", "Effective"]) {
        sheet.write(0, column, name).unwrap();
    }
    sheet.write(1, 0, 44.0).unwrap().write(1, 1, "UK").unwrap();
    sheet.write_number_with_format(1, 2, 0.5, &Format::new().set_num_format(format)).unwrap();
    sheet.write(1, 3, "1/1").unwrap().write(1, 4, "2027-01-01").unwrap();
    book.save(path).expect("workbook");
}

#[test]
fn r_14_a_workbook_is_a_deck_by_itself_and_its_formats_say_the_currency() {
    let dir = tempfile::tempdir().expect("folder");
    let file = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (book, converted) = (file("Rates of May.xlsx"), file("may.csv"));
    priced(Path::new(&book), "[$€-407] 0.0000");
    let right = yes(deck(&["check", &book]));
    assert!(right.contains("right; 1 rows in EUR"), "{right}");
    yes(deck(&["convert", &book, "--out", &converted]));
    let version = |text: &str| text.rsplit("version ").next().unwrap_or("").trim().to_owned();
    assert_eq!(version(&yes(deck(&["check", &converted]))), version(&right), "converted and as it came are one deck");
    assert!(yes(deck(&["show", &converted, "--number", "442079460000", "--at", "2027-02-01T00:00:00Z"])).contains("0.5"));
    // Calls are priced by either, and by a document that names the converted one.
    let calls = write(dir.path(), "calls.csv", "call_id,account,from,to,setup,answer,end\nx,a,1,442079460000,2027-02-01T00:00:00Z,2027-02-01T00:00:05Z,2027-02-01T00:01:05Z\n");
    let document = write(dir.path(), "deck.yaml", "kind: deck\nname: may\nspec:\n  file: may.csv\n  currency: EUR\n");
    for sheet in [&book, &converted, &document] {
        let rated = yes(tollgate().args(["rate", "--deck", sheet, "--calls", &calls, "--out", "-"]).output().expect("runs"));
        assert!(rated.contains("0.500000,EUR") && rated.contains(&version(&right)), "{sheet}: {rated}");
    }
    let named = write(dir.path(), "book.yaml", "kind: deck\nname: may\nspec:\n  file: Rates of May.xlsx\n  currency: EUR\n");
    no(&tollgate().args(["rate", "--deck", &named, "--calls", &calls, "--out", "-"]).output().expect("runs"), 1, &["is a workbook", "deck convert"]);
    // Nothing that is read is written over.
    no(&deck(&["convert", &book, "--out", &book]), 1, &["would be overwritten"]);
    std::fs::hard_link(&book, file("same.xlsx")).expect("link");
    no(&deck(&["convert", &book, "--out", &file("same.xlsx")]), 1, &["would be overwritten"]);
    // Dollars against euros; a format of whoever looks.
    let old = write(dir.path(), "old.csv", "prefix,destination,rate,connect_fee,initial,increment,effective_from\n44,UK,0.5,0,1,1,2027-01-01\n");
    no(&deck(&["diff", &old, &book, "--full"]), 1, &["the sheet is in EUR, the deck in USD"]);
    let local = file("local.xlsx");
    priced(Path::new(&local), "\"kr\" 0.00");
    no(&deck(&["convert", &local]), 1, &["Sheet1!C2 (Rate): the cell's format shows 'kr'"]);
}

#[test]
fn r_14_a_workbook_with_a_cell_beyond_any_spreadsheet_is_refused_before_it_is_unpacked() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("bomb.xlsx");
    let small = dir.path().join("small.xlsx");
    priced(&small, "0.00");
    let mut from = zip::ZipArchive::new(std::fs::File::open(&small).expect("file")).expect("zip");
    let mut to = zip::ZipWriter::new(std::fs::File::create(&path).expect("file"));
    let options = zip::write::SimpleFileOptions::default();
    for at in 0..from.len() {
        let mut part = from.by_index(at).expect("part");
        to.start_file(part.name().to_owned(), options).expect("part");
        if part.name() == "xl/sharedStrings.xml" {
            to.write_all(b"<sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" count=\"1\" uniqueCount=\"1\"><si><t>").expect("written");
            for _ in 0..64 {
                to.write_all(&vec![b'x'; 1 << 20]).expect("written");
            }
            to.write_all(b"</t></si></sst>").expect("written");
        } else {
            std::io::copy(&mut part, &mut to).expect("copied");
        }
    }
    to.finish().expect("zip");
    no(&deck(&["convert", path.to_str().expect("UTF-8")]), 1, &["xl/sharedStrings.xml has a text of more than 262144 bytes"]);
}
