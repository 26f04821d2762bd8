use proptest::prelude::*;
use tollgate_schemas::time::parse_rfc3339;

use super::*;

const HEADER: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from";

fn compile(csv: &str) -> Result<Deck, DeckProblems> {
    Deck::compile("test", csv.as_bytes(), &DeckOptions::default())
}

fn deck(csv: &str) -> Deck {
    compile(csv).unwrap_or_else(|e| panic!("{e}"))
}

/// Problems of a sheet with the plain header, as text.
fn problems(rows: &str) -> Vec<String> {
    problems_of(&format!("{HEADER}\n{rows}\n"))
}

fn problems_of(csv: &str) -> Vec<String> {
    compile(csv).err().map(|e| e.problems.iter().map(Problem::to_string).collect()).unwrap_or_default()
}

fn at(text: &str) -> i64 {
    parse_rfc3339(text).expect("a time of the test")
}

/// `prefix` of the row found, or the name of what else was.
fn found(deck: &Deck, number: &str, at_us: i64) -> String {
    match deck.lookup(number, at_us) {
        Lookup::Row(row) => row.prefix(),
        Lookup::Blocked(row) => format!("blocked {}", row.prefix()),
        Lookup::NotEffective => "not effective".to_owned(),
        Lookup::NoPrefix => "no prefix".to_owned(),
    }
}

#[test]
fn r_11_a_row_holds_what_the_sheet_says() {
    let csv = "Prefix,destination, RATE ,connect_fee,initial,increment,effective_from,effective_to,currency,route_class,blocked\r\n\
               +447,\"UK, Mobile\",0.0200,0.01,6,6,2026-01-01,2027-01-01,eur,gold,no\r\n";
    let deck = deck(&format!("\u{feff}{csv}"));
    let Lookup::Row(row) = deck.lookup("+447700900123", at("2026-06-01T00:00:00Z")) else { panic!("no row") };
    let terms = row.terms();
    assert_eq!((terms.prefix.as_str(), terms.destination.as_str(), terms.currency.as_str()), ("447", "UK, Mobile", "EUR"));
    assert_eq!((terms.rate_e12, terms.connect_fee_e12), (20_000_000_000, 10_000_000_000));
    assert_eq!((terms.initial_s, terms.increment_s, terms.places), (6, 6, 6));
    assert_eq!((terms.route_class.as_str(), terms.blocked), ("gold", false));
    assert_eq!((terms.deck.as_str(), terms.deck_version.as_str()), ("test", deck.version()));
    assert_eq!(terms.effective_from_us, at("2026-01-01T00:00:00Z"));
    assert_eq!(row.effective_to_us(), Some(at("2027-01-01T00:00:00Z")));
    assert_eq!(row.price().charge(0, 10_000), terms.charge(0, 10_000), "a price without text costs the same");
    assert_eq!(deck.row(row.number()), Some(row));
}

#[test]
fn the_version_is_the_start_of_the_files_sha_256() {
    // SHA-256 of "abc" is the standard's first example.
    assert_eq!(deck_version(b"abc"), "ba7816bf8f01cfea");
}

#[test]
fn columns_come_in_any_order_and_empty_cells_have_their_defaults() {
    let deck = deck("effective_from,increment,initial,rate,connect_fee,destination,prefix\n,60,0,1,,World,1\n");
    let Lookup::Row(row) = deck.lookup("12025550100", i64::MIN) else { panic!("in force since ever") };
    assert_eq!((row.connect_fee_e12(), row.initial_s(), row.increment_s()), (0, 0, 60));
    assert_eq!((row.effective_from_us(), row.effective_to_us(), row.rate_text().as_str()), (None, None, "1"));
}

#[test]
fn the_rate_prints_as_the_sheet_wrote_it() {
    for (written, printed) in [("0.0100", "0.0100"), ("0.01", "0.01"), (".5", "0.5"), ("2", "2"), ("0.10000000000000", "0.100000000000")] {
        let deck = deck(&format!("{HEADER}\n1,World,{written},0,1,1,\n"));
        assert_eq!(deck.rows().next().map(|r| r.rate_text()).as_deref(), Some(printed));
    }
}

#[test]
fn every_mistake_is_told_with_line_and_column() {
    for (row, wrong) in [
        (",UK,0.01,0,1,1,", "line 2, column prefix: '' is not a prefix: want 1 to 15 digits"),
        ("44x,UK,0.01,0,1,1,", "line 2, column prefix: '44x' is not a prefix: want 1 to 15 digits"),
        ("1234567890123456,UK,0.01,0,1,1,", "line 2, column prefix: '1234567890123456' is not a prefix: want 1 to 15 digits"),
        ("0044,UK,0.01,0,1,1,", "line 2, column prefix: '0044' starts with 0: want the prefix of an E.164 number, without international prefix"),
        ("44,,0.01,0,1,1,", "line 2, column destination: empty: want the destination group"),
        ("44,UK,,0,1,1,", "line 2, column rate: empty: want the price of a minute"),
        ("44,UK,-0.01,0,1,1,", "line 2, column rate: '-0.01' is below 0"),
        ("44,UK,1e-2,0,1,1,", "line 2, column rate: '1e-2' is not a decimal number (digits with at most one '.')"),
        ("44,UK,0.0000000000001,0,1,1,", "line 2, column rate: '0.0000000000001' has more than 12 decimal places"),
        ("44,UK,10000000,0,1,1,", "line 2, column rate: '10000000' is too large"),
        ("44,UK,0.01,free,1,1,", "line 2, column connect_fee: 'free' is not a decimal number (digits with at most one '.')"),
        ("44,UK,0.01,0,,1,", "line 2, column initial: '' is not a number of seconds from 0 to 86400"),
        ("44,UK,0.01,0,+6,1,", "line 2, column initial: '+6' is not a number of seconds from 0 to 86400"),
        ("44,UK,0.01,0,1,0,", "line 2, column increment: '0' is not a number of seconds from 1 to 86400"),
        ("44,UK,0.01,0,1,86401,", "line 2, column increment: '86401' is not a number of seconds from 1 to 86400"),
        ("44,UK,0.01,0,1,1,31/12/2026", "line 2, column effective_from: '31/12/2026' is not a date: want YYYY-MM-DD, or RFC 3339 with an offset as 2026-11-21T09:30:00Z"),
        ("44,UK,0.01,0,1,1", "line 2: 6 columns, the header has 7 (is a quote left open?)"),
        ("44,\"UK,0.01,0,1,1,", "line 2: 2 columns, the header has 7 (is a quote left open?)"),
        ("44,\"U\nK\",0.01,0,1,1,", "line 2, column destination: a line break or control character (is a quote left open?)"),
    ] {
        assert_eq!(problems(row), [wrong], "{row}");
    }
    let optional = |columns: &str, cells: &str| problems_of(&format!("{HEADER},{columns}\n44,UK,1,0,1,1,2026-01-01,{cells}\n"));
    assert_eq!(optional("blocked", "maybe"), ["line 2, column blocked: 'maybe' is neither true nor false"]);
    assert_eq!(optional("currency", "€"), ["line 2, column currency: '€' is not a currency: want three letters"]);
    assert_eq!(optional("interrate", "x").len(), 1);
    assert_eq!(optional("effective_to", "2026-01-01"), ["line 2, column effective_to: not after effective_from"]);
    assert_eq!(optional("effective_to", "2025-12-31").len(), 1);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_files_order() {
    let got = problems("\n44x,UK,-1,0,1,1,\n\n44,UK,0.01,0,1,1,\n44,UK,0.02,0,1,1,");
    assert_eq!(
        got,
        [
            "line 3, column prefix: '44x' is not a prefix: want 1 to 15 digits",
            "line 3, column rate: '-1' is below 0",
            "line 6, column effective_from: prefix 44 starts at the same time in line 5",
        ]
    );
}

#[test]
fn a_header_that_is_not_the_form_is_told_and_rows_are_not_read() {
    assert_eq!(problems_of(""), ["line 1: the file is empty: want a header line and rows"]);
    assert_eq!(problems_of(HEADER), ["line 1: the sheet has a header but no rows"]);
    assert_eq!(problems_of("prefix;destination;rate\n1;x;y"), ["line 1: columns are separated by ';' or tabs: want commas"]);
    let missing = problems_of("prefix,destination,connect_fee,initial,increment,effective_from,prefix\nx\n");
    assert_eq!(missing, ["line 1, column prefix: the column is there twice", "line 1, column rate: the column is missing"]);
    let misspelt = problems_of(&format!("{HEADER},efective_to\n1,World,1,0,1,1,,2020-01-01"));
    assert!(misspelt[0].starts_with("line 1, column efective_to: no such column; the columns are prefix,"), "{misspelt:?}");
    let utf_16 = Deck::compile("test", b"\xff\xfep\0r\0", &DeckOptions::default()).map(|_| ()).map_err(|e| e.problems[0].to_string());
    assert_eq!(utf_16, Err("line 1: the file is UTF-16; save it as CSV in UTF-8".to_owned()));
}

#[test]
fn text_that_is_not_utf_8_is_told_by_its_cell() {
    let csv = [HEADER.as_bytes(), b"\r\n1,World,1,0,1,1,\r\n33,R\xe9union,1,0,1,1,\r\n"].concat();
    let got = Deck::compile("test", &csv, &DeckOptions::default()).map(|_| ()).map_err(|e| e.problems[0].to_string());
    assert_eq!(got, Err("line 3, column destination: not UTF-8 text".to_owned()));
}

#[test]
fn problems_are_capped_and_the_rest_counted() {
    let rows: String = (0..MAX_PROBLEMS + 7).map(|_| "x,World,1,0,1,1,\n").collect();
    let Err(refused) = compile(&format!("{HEADER}\n{rows}")) else { panic!("loaded") };
    assert_eq!((refused.problems.len(), refused.more, refused.total()), (MAX_PROBLEMS, 7, MAX_PROBLEMS as u64 + 7));
    assert!(refused.to_string().ends_with("\n  and 7 more"));
}

#[test]
fn options_and_names_that_cannot_be_are_refused() {
    let csv = format!("{HEADER}\n1,World,1,0,1,1,\n");
    let with = |name: &str, options: DeckOptions| {
        Deck::compile(name, csv.as_bytes(), &options).map(|_| ()).map_err(|e| e.problems[0].column.clone())
    };
    assert_eq!(with("Bad Name", DeckOptions::default()), Err("name".to_owned()));
    assert_eq!(with("ok", DeckOptions { places: 9, ..DeckOptions::default() }), Err("options".to_owned()));
    assert_eq!(with("ok", DeckOptions { currency: "usd".to_owned(), ..DeckOptions::default() }), Err("options".to_owned()));
    let mut spec: control::Deck = serde_json::from_str("{}").expect("all of a deck's spec has defaults");
    assert_eq!(DeckOptions::from_spec(&spec), Ok(DeckOptions::default()));
    spec.timezone = "Mars/Olympus".to_owned();
    assert_eq!(DeckOptions::from_spec(&spec), Err(BadOption::Timezone("Mars/Olympus".to_owned())));
    spec.timezone = "Europe/Amsterdam".to_owned();
    spec.rounding = "sideways".to_owned();
    assert_eq!(DeckOptions::from_spec(&spec), Err(BadOption::Rounding("sideways".to_owned())));
}

#[test]
fn r_11_overlapping_windows_of_one_prefix_are_refused() {
    let windows = |rows: &str| problems_of(&format!("{HEADER},effective_to\n{rows}\n"));
    assert_eq!(
        windows("44,UK,1,0,1,1,2026-01-01,2026-03-01\n45,DK,1,0,1,1,2026-01-01,\n44,UK,2,0,1,1,2026-02-28,"),
        ["line 4, column effective_from: the window of prefix 44 overlaps the one in line 2"]
    );
    // Order in the file does not matter, and a window inside an earlier, longer one is found behind a third.
    assert_eq!(
        windows("44,UK,3,0,1,1,2026-05-01,2026-06-01\n44,UK,2,0,1,1,2026-02-01,2026-03-01\n44,UK,1,0,1,1,2026-01-01,2026-12-01"),
        [
            "line 2, column effective_from: the window of prefix 44 overlaps the one in line 4",
            "line 3, column effective_from: the window of prefix 44 overlaps the one in line 4",
        ]
    );
    assert_eq!(windows("44,UK,1,0,1,1,2026-01-01,\n44,UK,2,0,1,1,2026-01-01,2026-02-01").len(), 1);
    assert_eq!(windows("44,UK,1,0,1,1,,\n44,UK,2,0,1,1,,").len(), 1);
    assert!(windows("44,UK,1,0,1,1,2026-01-01,2026-02-01\n44,UK,2,0,1,1,2026-02-01,").is_empty(), "touching windows do not overlap");
}

#[test]
fn an_open_row_is_closed_by_its_successor() {
    let csv = format!("{HEADER},effective_to\n44,UK,1,0,1,1,2026-01-01,\n44,UK,2,0,1,1,2026-02-01,\n4,Europe,9,0,1,1,2026-01-01,\n");
    let deck = deck(&csv);
    assert!(deck.warnings().is_empty());
    let rate = |t: &str| match deck.lookup("4420", at(t)) {
        Lookup::Row(row) => row.rate_text(),
        other => panic!("{other:?}"),
    };
    assert_eq!((rate("2026-01-31T23:59:59.999999Z").as_str(), rate("2026-02-01T00:00:00Z").as_str()), ("1", "2"));
}

#[test]
fn an_open_row_does_not_come_back_after_a_closed_one_and_a_warning_says_so() {
    let deck = deck(&format!("{HEADER},effective_to\n44,UK,1,0,1,1,2026-01-01,\n44,UK,2,0,1,1,2026-02-01,2026-03-01\n"));
    assert_eq!(found(&deck, "4420", at("2026-03-01T00:00:00Z")), "not effective");
    assert_eq!(
        deck.warnings().iter().map(Warning::to_string).collect::<Vec<_>>(),
        ["line 3: prefix 44 has no price after this row ends: the open row in line 2 does not come back"]
    );
}

#[test]
fn r_11_the_longest_prefix_in_force_wins() {
    let csv = format!(
        "{HEADER},effective_to,blocked\n\
         4,Europe,1,0,1,1,2020-01-01,,\n\
         44,UK,2,0,1,1,2026-01-01,2027-01-01,\n\
         447,UK Mobile,3,0,1,1,2026-06-01,,0\n\
         4470,UK Personal,,0,1,1,2026-01-01,,YES\n\
         49,Germany,1,0,1,1,2030-01-01,,\n\
         999,Nowhere,1,0,1,1,2030-01-01,,\n"
    );
    let deck = deck(&csv);
    for (number, when, want) in [
        ("447800900123", "2026-06-01T00:00:00Z", "447"),
        ("+447800900123", "2026-05-31T23:59:59.999999Z", "44"),
        ("447800900123", "2027-01-01T00:00:00Z", "447"),
        ("442071838750", "2027-01-01T00:00:00Z", "4"),
        ("442071838750", "2026-12-31T23:59:59.999999Z", "44"),
        ("447000900123", "2026-06-01T00:00:00Z", "blocked 4470"),
        ("447000900123", "2025-06-01T00:00:00Z", "4"),
        ("4", "2026-06-01T00:00:00Z", "4"),
        ("442071838750", "2019-12-31T23:59:59Z", "not effective"),
        ("999123", "2026-01-01T00:00:00Z", "not effective"),
        ("99", "2026-01-01T00:00:00Z", "no prefix"),
        ("81312345678", "2026-01-01T00:00:00Z", "no prefix"),
        ("", "2026-01-01T00:00:00Z", "no prefix"),
    ] {
        assert_eq!(found(&deck, number, at(when)), want, "{number} at {when}");
    }
}

#[test]
fn r_12_a_date_is_midnight_of_the_decks_zone_on_dst_days() {
    let options = DeckOptions { timezone: Tz::Europe__Amsterdam, ..DeckOptions::default() };
    let csv = format!("{HEADER}\n31,NL,1,0,1,1,2026-03-29\n31,NL,2,0,1,1,2026-03-30\n31,NL,3,0,1,1,2026-10-25\n31,NL,4,0,1,1,2026-10-26\n");
    let deck = Deck::compile("nl", csv.as_bytes(), &options).unwrap_or_else(|e| panic!("{e}"));
    let rate = |t: &str| match deck.lookup("31201234567", at(t)) {
        Lookup::Row(row) => row.rate_text(),
        _ => "none".to_owned(),
    };
    for (when, want) in [
        ("2026-03-28T22:59:59.999999Z", "none"),
        ("2026-03-28T23:00:00Z", "1"),
        // 23 hours later: the day lost an hour.
        ("2026-03-29T21:59:59.999999Z", "1"),
        ("2026-03-29T22:00:00Z", "2"),
        ("2026-10-24T21:59:59.999999Z", "2"),
        ("2026-10-24T22:00:00Z", "3"),
        // 25 hours later.
        ("2026-10-25T22:59:59.999999Z", "3"),
        ("2026-10-25T23:00:00Z", "4"),
    ] {
        assert_eq!(rate(when), want, "{when}");
    }
}

#[test]
fn a_deck_has_one_currency_and_the_file_goes_before_the_options() {
    let csv = |a: &str, b: &str| format!("{HEADER},currency\n1,World,1,0,1,1,,{a}\n2,Africa,1,0,1,1,,{b}\n");
    assert_eq!(deck(&csv("", "")).currency(), "USD");
    assert_eq!(deck(&csv("", "eur")).currency(), "EUR");
    assert_eq!(problems_of(&csv("EUR", "GBP")), ["line 3, column currency: GBP, but line 2 says EUR: a deck has one currency"]);
}

#[test]
fn r_27_rows_of_an_origin_group_are_not_found_without_a_caller() {
    let csv = format!("{HEADER},origin_group\n33,France,0.01,0,1,1,,\n33,France,0.25,0,1,1,,non_eea\n336,France Mobile,0.30,0,1,1,,non_eea\n");
    let deck = deck(&csv);
    assert_eq!((found(&deck, "33612345678", 0), deck.len()), ("33".to_owned(), 1));
    let kept: Vec<_> = deck.origin_rows().map(|(row, group)| (row.prefix(), row.rate_text(), group.to_owned())).collect();
    let non_eea = |prefix: &str, rate: &str| (prefix.to_owned(), rate.to_owned(), "non_eea".to_owned());
    assert_eq!(kept, [non_eea("33", "0.25"), non_eea("336", "0.30")]);
    assert!(deck.warnings().is_empty());
}

#[test]
fn r_25_rates_by_jurisdiction_are_kept() {
    let deck = deck(&format!("{HEADER},interrate,intrarate,ijrate\n1212,NY,0.01,0,6,6,,0.002,0.004,\n1213,CA,0.01,0,6,6,,,,\n"));
    let of = |number: &str| match deck.lookup(number, 0) {
        Lookup::Row(row) => row.jurisdiction_rates(),
        _ => panic!("no row"),
    };
    let rates = JurisdictionRates { inter_e12: Some(2_000_000_000), intra_e12: Some(4_000_000_000), indeterminate_e12: None };
    assert_eq!((of("12125550100"), of("12135550100")), (Some(rates), None));
    assert!(deck.warnings().is_empty());
}

/// A row of the brute-force model.
#[derive(Debug, Clone)]
struct Plain {
    prefix: String,
    from: i64,
    to: Option<i64>,
    blocked: bool,
}

/// R-11 by reading every row: longest prefix first, then whichever row is in force.
fn linear(rows: &[Plain], number: &str, at: i64) -> String {
    let matching = || rows.iter().filter(|r| number.starts_with(&r.prefix));
    let in_force = matching().filter(|r| r.from <= at && r.to.is_none_or(|to| at < to)).max_by_key(|r| r.prefix.len());
    match in_force {
        Some(row) if row.blocked => format!("blocked {}", row.prefix),
        Some(row) => row.prefix.clone(),
        None if matching().next().is_some() => "not effective".to_owned(),
        None => "no prefix".to_owned(),
    }
}

/// Rows whose windows do not overlap: per prefix some cuts of time, and of the windows between them some.
fn sheet() -> impl Strategy<Value = Vec<Plain>> {
    let windows = (proptest::collection::btree_set(0i64..1000, 1..5), any::<u8>(), any::<bool>());
    let by_prefix = proptest::collection::btree_map("[1-3]([0-3]{0,6}|[0-1]{0,14})", windows, 1..60);
    by_prefix.prop_map(|prefixes| {
        let rows = prefixes.into_iter().flat_map(|(prefix, (cuts, chosen, blocked))| {
            let cuts: Vec<i64> = cuts.into_iter().collect();
            let ends: Vec<Option<i64>> = cuts[1..].iter().copied().map(Some).chain([None]).collect();
            let windows = cuts.into_iter().zip(ends).enumerate().filter(move |(at, _)| *at == 0 || chosen >> at & 1 == 1);
            windows.map(move |(_, (from, to))| Plain { prefix: prefix.clone(), from, to, blocked }).collect::<Vec<_>>()
        });
        rows.collect()
    })
}

fn csv_of(rows: &[Plain]) -> String {
    let second = |s: i64| tollgate_schemas::time::format_rfc3339(s * 1_000_000);
    let mut out = format!("{HEADER},effective_to,blocked\n");
    for row in rows {
        let to = row.to.map(second).unwrap_or_default();
        out += &format!("{},D,1,0,1,1,{},{to},{}\n", row.prefix, second(row.from), row.blocked);
    }
    out
}

/// All that a deck says, but for its version.
fn described(deck: &Deck) -> String {
    let row = |row: RowRef<'_>| {
        let (terms, rates) = (Terms { deck_version: String::new(), ..row.terms() }, row.jurisdiction_rates());
        format!("{terms:?} {:?} {} {rates:?}\n", row.effective_to_us(), row.rate_text())
    };
    let origins = deck.origin_rows().map(|(of, group)| format!("{group}: {}", row(of)));
    let rows: String = deck.rows().map(row).chain(origins).collect();
    format!("{rows}{} {:?}", deck.currency(), deck.warnings())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_sheet_read_in_pieces_is_the_sheet_read_whole(
        rows in sheet(),
        currency in "|USD|usd",
        (crlf, blank, threads) in (any::<bool>(), any::<bool>(), 1usize..5),
        wrong in proptest::option::of((0usize..3000, prop_oneof![Just("rate,oops"), Just("EUR"), Just("short")])),
    ) {
        let mut csv = format!("{HEADER},currency,route_class,intrarate,origin_group\n");
        let line = |csv: &mut String, at: usize, prefix: &str, from: &str| {
            let (mut rate, mut currency) = ("0.25", currency.as_str());
            match wrong {
                Some((place, "EUR")) if place == at => currency = "EUR",
                Some((place, "short")) if place == at => rate = "1\n",
                Some((place, _)) if place == at => rate = "oops",
                _ => {}
            }
            let (class, intra, origin) = (at % 3, ["", "0.5"][at % 2], if at.is_multiple_of(11) { "eea" } else { "" });
            *csv += &format!("{prefix},Group {},{rate},0,{},6,{from},{currency},class-{class},{intra},{origin}\n", at % 17, at % 5);
            if blank && at.is_multiple_of(5) {
                *csv += "\n";
            }
        };
        for (at, row) in rows.iter().enumerate() {
            line(&mut csv, at, &row.prefix, &tollgate_schemas::time::format_rfc3339(row.from * 1_000_000));
        }
        // Enough of other countries that there is something to cut.
        for at in 0..3000 {
            line(&mut csv, at, &(80_000 + at * 7919 % 10_000).to_string(), "2026-01-01");
        }
        if crlf {
            csv = csv.replace('\n', "\r\n");
        }
        // A quote anywhere sends a sheet the other way.
        let quoted = csv.replacen("prefix", "\"prefix\"", 1);
        let whole = Deck::compile("d", quoted.as_bytes(), &DeckOptions::default());
        let pieces = Deck::compile_on(threads, "d", csv.as_bytes(), &DeckOptions::default());
        match (whole, pieces) {
            (Ok(a), Ok(b)) => prop_assert_eq!(described(&a), described(&b)),
            (a, b) => prop_assert_eq!(a.err(), b.err()),
        }
    }
}

proptest! {
    // 500 sheets × 200 numbers and instants: the 1e5 look-ups of R-11.
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn r_11_lookup_equals_a_linear_scan(
        rows in sheet(),
        calls in proptest::collection::vec(("[1-4][0-4]{0,14}", 0i64..1100), 200),
    ) {
        let deck = deck(&csv_of(&rows));
        for (number, second) in calls {
            let want = linear(&rows, &number, second);
            prop_assert_eq!(found(&deck, &number, second * 1_000_000), want, "{} at {}", number, second);
        }
    }

    #[test]
    fn r_16_a_set_finds_what_each_deck_finds(
        sheets in proptest::collection::vec(sheet(), 1..6),
        calls in proptest::collection::vec(("[1-4][0-4]{0,14}", 0i64..1100), 50),
    ) {
        let decks: Vec<_> = sheets.iter().map(|rows| std::sync::Arc::new(deck(&csv_of(rows)))).collect();
        let set = DeckSet::new(decks.clone());
        for (number, second) in calls {
            let alone: Vec<_> = decks.iter().map(|deck| deck.lookup(&number, second * 1_000_000)).collect();
            prop_assert_eq!(set.lookup(&number, second * 1_000_000), alone, "{} at {}", number, second);
        }
    }

    #[test]
    fn r_11_many_look_ups_together_find_what_each_finds_alone(
        sheets in proptest::collection::vec(sheet(), 1..4),
        calls in proptest::collection::vec((any::<proptest::sample::Index>(), "[1-4][0-4]{0,14}", 0i64..1100), 200),
    ) {
        let decks: Vec<_> = sheets.iter().map(|rows| deck(&csv_of(rows))).collect();
        let ask = |(at, number, second): &(proptest::sample::Index, String, i64)| {
            Ask { deck: at.get(&decks), number: Dialled::of(number), at_us: second * 1_000_000 }
        };
        let mut together = Vec::new();
        lookup_all(&calls.iter().map(ask).collect::<Vec<_>>(), &mut together);
        prop_assert_eq!(together.len(), calls.len());
        for ((at, number, second), found) in calls.iter().zip(together) {
            let rows = at.get(&sheets);
            let want = linear(rows, number, *second);
            prop_assert_eq!(found, at.get(&decks).lookup(number, second * 1_000_000), "{} at {}", number, second);
            let name = match found {
                Lookup::Row(row) => row.prefix(),
                Lookup::Blocked(row) => format!("blocked {}", row.prefix()),
                Lookup::NotEffective => "not effective".to_owned(),
                Lookup::NoPrefix => "no prefix".to_owned(),
            };
            prop_assert_eq!(name, want, "{} at {}", number, second);
        }
    }

    #[test]
    fn any_bytes_are_a_deck_or_told_problems(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let sheet = [HEADER.as_bytes(), b"\n", &bytes].concat();
        for bytes in [bytes, sheet] {
            if let Err(refused) = Deck::compile("fuzz", &bytes, &DeckOptions::default()) {
                prop_assert!(refused.total() > 0);
            }
        }
    }
}
