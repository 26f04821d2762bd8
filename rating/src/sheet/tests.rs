use chrono_tz::Tz;

use super::*;

pub(super) fn read(text: &[u8], mapping: Mapping) -> Result<Canonical, SheetProblems> {
    let mut reader = SheetReader::new(mapping, Tz::UTC);
    feed_csv(text, &mut reader).expect("memory");
    reader.finish()
}

fn short(sheet: &Canonical) -> Vec<String> {
    let start = |s: Start| match s {
        Start::Now => "now".to_owned(),
        Start::At(us) => tollgate_schemas::time::format_rfc3339(us)[..10].to_owned(),
    };
    sheet.rows.iter().map(|r| format!("{} {} {} {}/{} {} {}", r.prefix.digits(), r.destination, r.rate_text(), r.initial_s, r.increment_s, start(r.from), r.action.name())).collect()
}

fn places(result: Result<Canonical, SheetProblems>) -> Vec<String> {
    result.err().map(|p| p.problems.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn r_14_a_sheet_as_carriers_send_it_comes_to_rows() {
    let text = "ACME Telecom A-Z,,,,,\nRates valid for Premium route,,Currency: EUR,,,\n,,,,,\n\
        Country,Area Code,Country Code,\"Price per Minute\",Billing Increment,Effective Date,Status\n\
        Netherlands,,31,\"0,0150\",1/1,01.12.2026,Unchanged\n\
        Netherlands Mobile,\"6,97\",31,\"0,0420\",60/60,01.12.2026,Increase\n\
        UK,\"7911-7913\",44,\"0,02\",30/6,15.12.2026,New\n\
        Cuba,,53,,,01.12.2026,Closed\n\
        * all prices exclude VAT,,,,,,\n";
    let sheet = read(text.as_bytes(), Mapping::default()).unwrap();
    assert_eq!(sheet.currency.as_deref(), Some("EUR"));
    assert_eq!((sheet.explained.decimal, sheet.explained.sheets[0].header_row, sheet.explained.sheets[0].remarks), (Some(DecimalSign::Comma), 4, 1));
    assert_eq!(
        short(&sheet),
        [
            "31 Netherlands 0.0150 1/1 2026-12-01 set", "316 Netherlands Mobile 0.0420 60/60 2026-12-01 set", "3197 Netherlands Mobile 0.0420 60/60 2026-12-01 set", "447911 UK 0.02 30/6 2026-12-15 set",
            "447912 UK 0.02 30/6 2026-12-15 set", "447913 UK 0.02 30/6 2026-12-15 set", "53 Cuba  1/1 2026-12-01 close",
        ]
    );
}

#[test]
fn r_14_every_separator_and_encoding_gives_the_same_rows() {
    let text = "code;destination;rate;increments;effective\n225;Côte d'Ivoire;0.2501;60/60;2026-12-01\n31;Holland;0.01;1/1;2026-12-01\n";
    let want = short(&read(text.as_bytes(), Mapping::default()).unwrap());
    assert_eq!(want[0], "225 Côte d'Ivoire 0.2501 60/60 2026-12-01 set");
    let utf16 = |big: bool, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeffu16).into_iter().chain(text.encode_utf16());
        units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
    };
    let latin: Vec<u8> = text.chars().map(|c| c as u32 as u8).collect();
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("UTF-8", text.replace(';', ",").into()), ("UTF-8", text.replace(';', "\t").into()), ("UTF-8", text.replace(';', "|").into()), ("UTF-8", text.replace('\n', "\r\n").into()),
        ("UTF-8", format!("\u{feff}{text}").into()), ("UTF-8", format!("sep=;\n{text}").into()), ("UTF-16LE", utf16(false, true)), ("UTF-16BE", utf16(true, true)), ("UTF-16LE", utf16(false, false)),
        ("Windows-1252", latin),
    ];
    for (encoding, bytes) in forms {
        let sheet = read(&bytes, Mapping::default()).unwrap_or_else(|p| panic!("{encoding}: {p}"));
        assert_eq!((sheet.explained.encoding, short(&sheet)), (Some(encoding), want.clone()));
    }
}

#[test]
fn r_25_a_us_sheet_is_priced_as_indeterminate_where_it_has_no_rate() {
    let text = "code,duration,increment,interrate,intrarate,ijrate,effective_date\n1934226,6,6,0.007,0.009,0.008,8/16/2027\n";
    let sheet = read(text.as_bytes(), Mapping::default()).unwrap();
    assert_eq!(short(&sheet), ["1934226 1934226 0.008 6/6 2027-08-16 set"]);
    assert_eq!(sheet.rows[0].jurisdiction, crate::deck::JurisdictionRates { inter_e12: Some(7_000_000_000), intra_e12: Some(9_000_000_000), indeterminate_e12: Some(8_000_000_000) });
    let text = "dialprefix;destination name;rate interstate;rate intrastate;initial billing time;billing increment\n1201;New Jersey;0.004;0.006;6;6\n";
    let sheet = read(text.as_bytes(), Mapping { effective_from: Some("now".to_owned()), ..Mapping::default() }).unwrap();
    assert_eq!(short(&sheet), ["1201 New Jersey 0.004 6/6 now set"]);
}

#[test]
fn r_14_a_mapping_goes_before_what_is_detected() {
    let text = "x,Ziffern,Tarif A,Tarif B,Start\n1,49,0.01,0.02,01/02/2027\n";
    let columns = [(Column::Prefix, "Ziffern".to_owned()), (Column::Rate, "D".to_owned())].into();
    let mapping = Mapping { header_row: Some(1), columns, dates: Some(DateOrder::Dmy), increments: Some("1/1".to_owned()), destination: Some("Germany".to_owned()), ..Mapping::default() };
    assert_eq!(short(&read(text.as_bytes(), mapping.clone()).unwrap()), ["49 Germany 0.02 1/1 2027-02-01 set"]);
    let without = Mapping { header_row: Some(0), columns: [(Column::Prefix, "B".to_owned()), (Column::Rate, "C".to_owned()), (Column::EffectiveFrom, "E".to_owned())].into(), ..mapping };
    assert_eq!(short(&read(b"1,49,0.01,0.02,01/02/2027\n", without).unwrap()), ["49 Germany 0.01 1/1 2027-02-01 set"]);
}

#[test]
fn r_14_a_header_of_two_lines_and_one_on_every_page() {
    let text = "Code,Destination,Rate,,Effective\n,,Peak,Off-Peak,\n31,Holland,0.01,0.01,2027-01-01\nCode,Destination,Rate,,Effective\n32,Belgium,0.02,0.02,2027-01-01\n";
    let sheet = read(text.as_bytes(), Mapping { increments: Some("1/1".to_owned()), ..Mapping::default() }).unwrap();
    assert_eq!(short(&sheet), ["31 Holland 0.01 1/1 2027-01-01 set", "32 Belgium 0.02 1/1 2027-01-01 set"]);
}

/// A sheet that is wrong, and where: everything at once, each with what to do.
#[test]
fn r_14_every_problem_is_told_with_its_place() {
    const HEAD: &str = "code,destination,rate,increments,effective,end,currency,change\n";
    let cases: &[(&str, &[&str])] = &[
        (
            "31,A,0.01,1/1,2027-01-01,,USD,\n0x,B,free,1/1/7,soon,,USD,\n32,C,-1,60/0,2027-01-01,2026-01-01,EUR,odd\n",
            &["3:A (code): '0x' is not a code", "3:C (rate): 'free'", "3:D (increments): '1/1/7' has a third", "3:E (effective): 'soon' is not a date", "4:C (rate): '-1' is below 0", "4:D (increments): '60/0'", "4:F (end): not after", "4:G (currency): the price is in EUR, in row 2", "4:H (change): 'odd'"],
        ),
        ("31,A,0.01,1/1,2027-01-01,,USD,\n32,B,0.01,1/1,2027-01-01,,EUR,\n", &["3:G (currency): the price is in EUR, in row 2 it is USD"]),
        ("31,A,0.01,1/1,2027-01-01,,,\n31,A,0.02,1/1,2027-01-01,,,\n", &["3: code 31 from the same date stands in row 2"]),
        ("31,A,0.01,1/1,01/02/2027,,,\n", &["2:E (effective): '01/02/2027' has day and month in either order"]),
        ("31,A,0.01,1/1,31/12/2027,,,\n32,A,0.01,1/1,12/31/2027,,,\n33,A,0.01,1/1,30/12/2027,,,\n", &["3:E (effective): '12/31/2027' is not a date"]),
        ("31,A,\"1,234\",1/1,2027-01-01,,,\n", &["2:C (rate): '1,234' is a thousand or a decimal"]),
        ("31,A,0.5,1/1,2027-01-01,,,\n32,A,0.6,1/1,2027-01-01,,,\n33,A,\"0,5\",1/1,2027-01-01,,,\n", &["4:C (rate): '0,5' is not a number with '.'"]),
        ("4.4791E+11,A,0.5,1/1,2027-01-01,,,\n", &["2:A (code): the spreadsheet has rounded this code"]),
        ("31,A,#REF!,1/1,2027-01-01,,,\n", &["2:C (rate): the formula's value is #REF!"]),
        (",A,0.5,1/1,2027-01-01,,,\n31,A,,1/1,2027-01-01,,,\n31,A,0.5,,,,,\n", &["2:A (code): empty", "3:C (rate): empty", "4:D (increments): no increments", "4:E (effective): no date"]),
    ];
    for (rows, want) in cases {
        let found = places(read(format!("{HEAD}{rows}").as_bytes(), Mapping::default()));
        assert_eq!(found.len(), want.len(), "{rows}: {found:#?}");
        for (found, want) in found.iter().zip(*want) {
            assert!(found.starts_with(want), "{found} — {want}");
        }
    }
    for (text, want) in [
        ("", "empty"), ("just words\nand more\n", "no header in the first 60 rows"), ("Destination,Rate\nHolland,0.1\n", "1: no header: this row comes nearest with 'Destination' as destination, 'Rate' as rate"),
        ("code,rate\n", "1: a header, but no rows"), ("code,Rate USD,Rate EUR\n31,1,1\n", "1:C (Rate EUR): columns B ('Rate USD') and C ('Rate EUR') both look like rate"),
        ("country code,code,rate,effective,increments\n44,7911,0.1,2027-01-01,1/1\n", "2:B (code): 7911 does not begin with the row's country code 44"),
        ("code,peak,off-peak,effective,increments\n44,0.2,0.1,2027-01-01,1/1\n", "2:C (off-peak): another price than the rate"),
    ] {
        let found = places(read(text.as_bytes(), Mapping::default()));
        assert!(found.first().is_some_and(|f| f.starts_with(want)), "{text}: {found:#?}");
    }
    let broken = [b"code,rate\n31,\"".as_slice(), "x".repeat(20 << 20).as_bytes()].concat();
    assert!(places(read(&broken, Mapping::default()))[0].contains("quote left open"));
    let mapping = Mapping { sheets: vec!["Rates".to_owned()], timezone: Some("Mars".to_owned()), ..Mapping::default() };
    assert_eq!(places(read(b"code,rate\n", mapping)).len(), 2);
}

#[test]
fn r_14_problems_beyond_the_cap_are_counted() {
    let mut text = "code,rate,increments,effective\n".to_owned();
    for _ in 0..MAX_PROBLEMS + 5 {
        text.push_str("x,0.1,1/1,2027-01-01\n");
    }
    let problems = read(text.as_bytes(), Mapping::default()).unwrap_err();
    assert_eq!((problems.problems.len(), problems.more, problems.total()), (MAX_PROBLEMS, 5, MAX_PROBLEMS as u64 + 5));
}

#[test]
fn r_14_what_is_odd_but_clear_is_taken_and_told() {
    let text = "code,destination,rate,increments,effective,remarks\n31,\"Hol\nland\",1.2E-02,1/1,46388,\n31,Holland,0.012,1/1,46388,\n\n32,,0.01,1/1,46388,x\n";
    let sheet = read(text.as_bytes(), Mapping::default()).unwrap();
    assert_eq!(short(&sheet), ["31 Hol land 0.012 1/1 2027-01-01 set", "32 32 0.01 1/1 2027-01-01 set"]);
    let warned: Vec<String> = sheet.warnings.iter().map(ToString::to_string).collect();
    for part in ["counted once", "scientific form", "bare number", "no destination"] {
        assert!(warned.iter().any(|w| w.contains(part)), "{part}: {warned:#?}");
    }
}

fn mapping(yaml: &[(&str, &str)]) -> Mapping {
    let mut value = serde_json::json!({ "increments": "1/1", "effective_from": "2027-01-01" });
    for (key, text) in yaml {
        value[*key] = serde_json::from_str(text).unwrap_or_else(|_| (*text).into());
    }
    serde_json::from_value(value).expect("a mapping")
}

/// One data row under a header: what a rate comes to, or what is asked.
#[test]
fn r_14_cents_and_seconds_are_counted_or_asked_about() {
    let cases: &[(&str, &[(&str, &str)], &str)] = &[
        ("code,Rate (cents/min)\n44,1.2\n", &[], "44 44 0.012 1/1"),
        ("code,Rate in cents\n44,120\n", &[], "44 44 1.20 1/1"),
        ("code,Rate (US cents)\n44,1.2\n", &[], "44 44 0.012 1/1"),
        ("code,Rate/sec\n44,0.001\n", &[], "44 44 0.060 1/1"),
        ("code,Rate (USD/sec)\n44,0.001\n", &[], "44 44 0.060 1/1"),
        ("code,Price/s\n44,0.001\n", &[], "44 44 0.060 1/1"),
        ("code,Pence per 6 seconds\n44,1\n", &[], "1:"),
        ("code,Rate (c/min)\n44,1.2\n", &[], "1:B (Rate (c/min)): what a price of 'Rate (c/min)' is in is not clear ('c')"),
        ("code,Rate (c/min)\n44,1.2\n", &[("units", r#"{"rate":"cents"}"#)], "44 44 0.012 1/1"),
        ("code,PPM\n44,1.2\n", &[], "1:B (PPM): what a price of 'PPM' is in is not clear"),
        ("code,PPM\n44,1.2\n", &[("currency", "USD")], "44 44 1.2 1/1"),
        ("code,rate\n44,1.2\n", &[("units", r#"{"rate":"0.001"}"#)], "44 44 0.0012 1/1"),
        ("code,Rate (cents),Setup fee\n44,1.2,5\n", &[], "1:C (Setup fee): another column speaks of cents"),
        ("code,Rate (cents),Setup fee (cents)\n44,1.2,5\n", &[], "44 44 0.012 1/1"),
        ("All rates in US cents per minute\ncode,rate\n44,1.2\n", &[], "1:A: 'All rates in US cents per minute' speaks of cents"),
        ("All rates in US cents per minute\ncode,rate\n44,1.2\n", &[("units", r#"{"rate":"cents"}"#)], "44 44 0.012 1/1"),
        ("code,rate\n44,1.2\n* prices are in pence\n", &[], "1:B (rate): the sheet speaks of cents"),
        ("Per second billing applies to all rates\ncode,rate\n44,1.2\n", &[], "44 44 1.2 1/1"),
        ("code,rate\n44,1.2\n", &[("units", r#"{"rate":"gold"}"#)], "1: units: rate: 'gold' is no unit"),
    ];
    for (text, more, want) in cases {
        let found = match read(text.as_bytes(), mapping(more)) {
            Ok(sheet) => short(&sheet),
            Err(p) => p.problems.iter().map(ToString::to_string).collect(),
        };
        assert!(found.iter().any(|f| f.starts_with(want)), "{text}{more:?}: {found:#?}");
    }
}

#[test]
fn r_14_codes_of_north_america_get_their_1_or_are_asked_about() {
    let cases: &[(&str, &[(&str, &str)], &str)] = &[
        ("NPANXX,Interrate,Intrarate\n201200,0.003,0.004\n", &[], "1201200 1201200"),
        ("NPA-NXX,Rate\n201-200,0.003\n", &[], "1201200 1201200"),
        ("NPA,NXX,Rate\n201,200-201,0.003\n", &[], "1201200 1201200"),
        ("NPA,Rate\n201,0.003\n", &[], "1201 1201"),
        ("NPANXX,Rate\n1201200,0.003\n", &[], "1201200 1201200"),
        ("NPANXX,Rate\n201200,0.003\n", &[("codes", "e164")], "201200 201200"),
        ("code,Rate\n201200,0.003\n", &[("codes", "npa_nxx")], "1201200 1201200"),
        ("code,interrate,intrarate\n201200,0.003,0.004\n", &[], "2:A (code): 201200 is no code of +1 and has prices by US jurisdiction"),
        ("NPANXX,Rate\n44,0.003\n", &[], "2:A (NPANXX): '44' is not a North American code"),
        ("NPA,NXX,X,Rate\n201,200,5,0.003\n", &[], "2:C (X): 'X' is '5' here"),
    ];
    for (text, more, want) in cases {
        let found = match read(text.as_bytes(), mapping(more)) {
            Ok(sheet) => short(&sheet),
            Err(p) => p.problems.iter().map(ToString::to_string).collect(),
        };
        assert!(found.first().is_some_and(|f| f.starts_with(want)), "{text}{more:?}: {found:#?}");
    }
}

#[test]
fn r_14_money_ends_and_terms_are_not_left_out_in_silence() {
    let head = "code,rate,Surcharge,Comment\n44,0.5,";
    let found = places(read(format!("{head}0.1,x\n").as_bytes(), mapping(&[])));
    assert!(found[0].starts_with("2:C (Surcharge): 'Surcharge' is '0.1' here") && found[0].contains("ignore: [\"Surcharge\"]") && found.len() == 1, "{found:?}");
    // Nothing in it, or told to leave it out: listed.
    for (rows, more) in [("0.00,x\n", &[][..]), (",x\n", &[]), ("0.1,x\n", &[("ignore", r#"["surcharge"]"#)])] {
        let sheet = read(format!("{head}{rows}").as_bytes(), mapping(more)).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(sheet.explained.left_out(), ["C 'Surcharge'", "D 'Comment'"], "{rows}");
    }
    let sheet = read(format!("{head}0.1,x\n").as_bytes(), mapping(&[("columns", r#"{"connect_fee":"Surcharge"}"#)])).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(sheet.rows[0].connect_fee_e12, 100_000_000_000);
    for header in ["Minimum Charge", "Next rate", "Access Fee", "Locked", "Max price"] {
        let found = places(read(format!("code,rate,{header}\n44,0.5,1\n").as_bytes(), mapping(&[])));
        assert!(found.first().is_some_and(|f| f.starts_with(&format!("2:C ({header})"))), "{header}: {found:?}");
    }
    for header in ["Call Setup", "Price per call"] {
        let sheet = read(format!("code,rate,{header}\n44,0.5,0.25\n").as_bytes(), mapping(&[])).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(sheet.rows[0].connect_fee_e12, 250_000_000_000, "{header}");
    }
    assert!(places(read(b"code,rate\n44,0.5\n", mapping(&[("ignore", r#"["Surcharg"]"#)])))[0].contains("no header has such a column"));
}

#[test]
fn r_11_an_end_without_a_time_counts_through_its_day_where_the_column_says_so() {
    let end = |header: &str, cell: &str, more: &[(&str, &str)]| match read(format!("code,rate,{header}\n44,0.5,{cell}\n").as_bytes(), mapping(more)) {
        Ok(sheet) => sheet.rows[0].to.map_or_else(String::new, |us| tollgate_schemas::time::format_rfc3339(us)[..16].to_owned()),
        Err(p) => p.problems[0].to_string(),
    };
    for header in ["Valid until", "Valid to", "Effective Till", "Through", "End date", "Expiry Date", "Effective To"] {
        assert_eq!(end(header, "31/12/2027", &[]), "2028-01-01T00:00", "{header}");
    }
    assert_eq!(end("effective_to", "2027-12-31", &[]), "2027-12-31T00:00");
    assert_eq!(end("Valid until", "31/12/2027 12:00", &[]), "2027-12-31T12:00");
    assert_eq!(end("Valid until", "31/12/2027", &[("end_day", "excluded")]), "2027-12-31T00:00");
    assert!(end("Discontinue Date", "31/12/2027", &[]).starts_with("2:C (Discontinue Date): '31/12/2027' may be the last day"));
    assert_eq!(end("Discontinue Date", "31/12/2027", &[("end_day", "included")]), "2028-01-01T00:00");
}

/// Cells as a workbook has them: numbers whose format shows a currency.
fn formatted(header: &[&str], rows: &[&[Cell]], more: &[(&str, &str)]) -> Result<Canonical, SheetProblems> {
    let mut reader = SheetReader::new(mapping(more), Tz::UTC);
    reader.begin("Rates", false);
    let _ = reader.row(1, &header.iter().map(|h| Cell::Text((*h).to_owned())).collect::<Vec<_>>());
    for (at, row) in (2..).zip(rows) {
        let _ = reader.row(at, row);
    }
    reader.finish()
}

#[test]
fn r_14_a_currency_that_a_format_shows_counts_as_one_in_the_cell() {
    let (code, shown) = (|n: f64| Cell::Number(n), |n: f64, words: &str| Cell::Shown(n, words.into()));
    let currency = |result: Result<Canonical, SheetProblems>| match result {
        Ok(sheet) => sheet.currency.unwrap_or_default(),
        Err(p) => p.problems[0].to_string(),
    };
    assert_eq!(currency(formatted(&["code", "rate"], &[&[code(44.0), shown(0.5, "€")], &[code(33.0), Cell::Number(0.5)]], &[])), "EUR");
    for (header, rows, more, want) in [
        (&["code", "rate"][..], vec![vec![code(44.0), shown(0.5, "€")], vec![code(33.0), shown(0.5, "$")]], &[][..], "Rates!B3 (rate): the price is in USD, in row Rates!2 it is EUR"),
        (&["code", "rate USD"], vec![vec![code(44.0), shown(0.5, "€")]], &[], "Rates!B2 (rate USD): a price is in USD, and another cell"),
        (&["code", "rate"], vec![vec![code(44.0), shown(0.5, "€")]], &[("currency", "USD")], "Rates!B2 (rate): the price is in EUR, wanted is USD"),
        (&["code", "rate", "setup fee"], vec![vec![code(44.0), shown(0.5, "€"), shown(0.1, "$")]], &[], "Rates!B2 (rate): a price is in USD, and another"),
        (&["code", "rate"], vec![vec![code(44.0), shown(0.5, "¤")]], &[], "Rates!B2 (rate): the cell's format shows '¤'"),
        (&["code", "rate"], vec![vec![code(44.0), shown(0.5, "¤")]], &[("currency", "CHF")], "CHF"),
        (&["code", "rate USD"], vec![vec![code(44.0), shown(0.5, "¤")]], &[], "USD"),
        (&["code", "rate USD"], vec![vec![code(44.0), shown(0.5, "¥")]], &[], "Rates!B2 (rate USD): the cell's format shows '¥'"),
        (&["code", "rate"], vec![vec![code(44.0), shown(0.5, "cents")]], &[], "Rates!B2 (rate): the cell's format shows cents or seconds"),
        (&["code", "rate USD", "setup fee EUR"], vec![vec![code(44.0), code(1.0), code(1.0)]], &[], "Rates!C1 (setup fee EUR): 'setup fee EUR' is in EUR, another column in USD"),
    ] {
        let rows: Vec<&[Cell]> = rows.iter().map(Vec::as_slice).collect();
        let found = currency(formatted(header, &rows, more));
        assert!(found.starts_with(want), "{header:?}: {found} — {want}");
    }
}

#[test]
fn r_14_rates_and_codes_of_two_sheets_are_joined_whole_or_not_at_all() {
    let text = |t: &str| Cell::Text(t.to_owned());
    let row = |cells: &[&str]| cells.iter().map(|c| if c.is_empty() { Cell::Empty } else { text(c) }).collect::<Vec<_>>();
    let both = |rates: &[&[&str]], codes: &[&[&str]], more: &[(&str, &str)]| {
        let mut reader = SheetReader::new(mapping(more), Tz::UTC);
        for (name, header, rows) in [("Rates", &["Destination", "Rate", "Effective"][..], rates), ("Codes", &["Destination", "Code", "Effective"], codes)] {
            reader.begin(name, false);
            let _ = reader.row(1, &row(header));
            for (at, cells) in (2..).zip(rows) {
                let _ = reader.row(at, &row(cells));
            }
        }
        reader.finish()
    };
    let (rates, codes): (&[&[&str]], &[&[&str]]) = (&[&["UK Mobile", "0.1", "2027-02-01"], &["UK", "0.2", "2027-02-01"]], &[&["uk mobile", "4478-4479", ""], &["UK Mobile", "4477", ""], &["UK", "44", ""], &["Spain", "34", ""]]);
    let told = |result: Result<Canonical, SheetProblems>| places(result).join(" / ");
    assert!(told(both(rates, codes, &[])).contains("codes and rates are on different sheets: say codes_sheet: \"Codes\""));
    let joined = both(rates, codes, &[("codes_sheet", "Codes")]).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(short(&joined).iter().map(|r| r.split(' ').next().unwrap_or("").to_owned() + r.rsplit("0.").next().unwrap_or("")).collect::<Vec<_>>(), ["44781 1/1 2027-02-01 set", "44791 1/1 2027-02-01 set", "44771 1/1 2027-02-01 set", "442 1/1 2027-02-01 set"]);
    assert_eq!(joined.explained.sheets.iter().map(|s| s.used_as).collect::<Vec<_>>(), ["rates", "codes"]);
    assert!(joined.warnings.iter().any(|w| w.to_string().contains("no rate: left out")));
    assert!(told(both(&[&["France", "0.1", "2027-02-01"]], codes, &[("codes_sheet", "Codes")])).contains("'France' has no codes on the sheet of codes"));
    assert!(told(both(rates, &[&["UK", "44", "2027-03-01"], &["UK Mobile", "447", ""]], &[("codes_sheet", "Codes")])).contains("a code's own date or change"));
    assert!(told(both(rates, codes, &[("codes_sheet", "Kodes")])).contains("there is no sheet 'Kodes'"));
}
