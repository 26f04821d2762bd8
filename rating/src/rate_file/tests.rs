use std::sync::Arc;

use super::*;
use crate::deck::{Deck, DeckOptions};
use tollgate_schemas::v1::Rounding;

const CALLS: &str = "call_id,account,from,to,setup,answer,end";
const DECK: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,blocked\n";

fn compile(name: &str, rows: &str, options: &DeckOptions) -> Arc<Deck> {
    let csv = format!("{DECK}{rows}\n");
    Arc::new(Deck::compile(name, csv.as_bytes(), options).unwrap_or_else(|e| panic!("{e}")))
}

fn usual() -> Decks {
    let rows = "44,UK,0.0100,0,6,6,,,\n447,UK Mobile,0.0200,0,1,1,,,\n33,France,0.01,0,1,1,2026-06-01,2026-07-01,\n882,Satellite,9,0,1,1,,,yes";
    Decks::all(compile("usual", rows, &DeckOptions::default()))
}

/// Output, problems and counts.
fn rate(decks: &Decks, calls: &str, options: RateOptions) -> (String, Vec<String>, Counts) {
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let counts = rate_csv(decks, calls.as_bytes(), &mut out, options, &mut |p| problems.push(p.to_string()), &mut |_| {});
    (String::from_utf8(out).expect("text"), problems, counts.unwrap_or_else(|e| panic!("{e}")))
}

/// The cells added to each row.
fn added(decks: &Decks, calls: &str) -> Vec<String> {
    let (out, problems, _) = rate(decks, calls, RateOptions::default());
    assert_eq!(problems, [""; 0]);
    let width = calls.lines().next().map_or(0, |h| h.split(',').count());
    out.lines().skip(1).map(|line| line.split(',').skip(width).collect::<Vec<_>>().join(",")).collect()
}

fn refused(calls: &str) -> String {
    let mut out = Vec::new();
    match rate_csv(&usual(), calls.as_bytes(), &mut out, RateOptions::default(), &mut |_| {}, &mut |_| {}) {
        Err(e) => e.to_string(),
        Ok(counts) => panic!("{counts:?}"),
    }
}

#[test]
fn every_reason_fills_the_cells_it_promises() {
    let decks = usual();
    let version = decks.of("a").map(|d| d.version().to_owned()).unwrap_or_default();
    let calls = format!(
        "{CALLS}\n\
         1,a,,442071838750,2026-01-01T00:00:00Z,2026-01-01T00:00:05Z,2026-01-01T00:00:15Z\n\
         2,a,,+447800900123,2026-01-01T00:00:00Z,,2026-01-01T00:00:15Z\n\
         3,a,,81312345678,2026-01-01T00:00:00Z,2026-01-01T00:00:05Z,2026-01-01T00:00:15Z\n\
         4,a,,33612345678,2026-01-01T00:00:00Z,2026-01-01T00:00:05Z,2026-01-01T00:00:15Z\n\
         5,a,,88216123456,2026-01-01T00:00:00Z,2026-01-01T00:00:05Z,2026-01-01T00:00:15Z\n\
         6,a,,81312345678,2026-01-01T00:00:00Z,,\n"
    );
    assert_eq!(
        added(&decks, &calls),
        [
            format!("44,UK,12,0.0100,0.002000,USD,{version},rated"),
            format!("447,UK Mobile,0,0.0200,0.000000,USD,{version},unanswered"),
            format!(",,,,,USD,{version},no_prefix"),
            format!(",,,,,USD,{version},not_effective"),
            format!("882,Satellite,,9,,USD,{version},blocked"),
            format!(",,,,,USD,{version},no_prefix"),
        ]
    );
    let (.., counts) = rate(&decks, &calls, RateOptions::default());
    let want = Counts { read: 6, rated: 1, unanswered: 1, no_prefix: 2, not_effective: 1, blocked: 1, ..Counts::default() };
    assert_eq!((counts.written(), counts), (6, want));
}

/// One answered call of `ms` to 1…, at these terms.
fn one(plan: &str, ms: &str, rate: &str, connect: &str, options: &DeckOptions) -> (String, String) {
    let rows = format!("1,World,{rate},{connect},{},,,", plan.replace('/', ","));
    let decks = Decks::all(compile("vectors", &rows, options));
    let row = "1,a,,12025550100,2026-01-01T00:00:00Z,2026-01-01T00:00:05Z,";
    let got = added(&decks, &format!("{CALLS},duration_ms\n{row},{ms}\n"));
    let cells: Vec<&str> = got[0].split(',').collect();
    (cells[2].to_owned(), cells[4].to_owned())
}

#[test]
fn r_10_vectors_come_out_of_the_file_exactly() {
    let six = DeckOptions::default();
    for (plan, ms, rate, connect, billed, amount) in [
        ("6/6", "10000", "0.0100", "", "12", "0.002000"),
        ("6/6", "6000", "0.0080", "", "6", "0.000800"),
        ("6/6", "6001", "0.0080", "", "12", "0.001600"),
        ("6/6", "400", "0.0080", "", "6", "0.000800"),
        ("30/6", "31000", "0.1200", "", "36", "0.072000"),
        ("30/6", "30000", "0.0090", "", "30", "0.004500"),
        ("60/60", "10000", "0.0500", "", "60", "0.050000"),
        ("60/60", "60001", "0.1850", "", "120", "0.370000"),
        ("60/1", "61200", "0.2500", "", "62", "0.258333"),
        ("1/1", "30100", "0.0125", "", "31", "0.006458"),
        ("1/1", "1", "0.0077", "", "1", "0.000128"),
        ("1/1", "3599999", "0.0077", "", "3600", "0.462000"),
        ("1/1", "90000", "0.0600", "0.02", "90", "0.110000"),
        ("1/1", "0", "0.0077", "", "1", "0.000128"),
    ] {
        assert_eq!(one(plan, ms, rate, connect, &six), (billed.to_owned(), amount.to_owned()), "{plan} {ms} ms at {rate}");
    }
    let up = DeckOptions { places: 4, rounding: Rounding::Up, ..six };
    assert_eq!(one("1/1", "30100", "0.0125", "", &up), ("31".to_owned(), "0.0065".to_owned()));
}

#[test]
fn r_08_one_rounding_as_the_deck_says() {
    let half = |rounding| one("60/60", "60000", "0.0000025", "", &DeckOptions { rounding, ..DeckOptions::default() }).1;
    assert_eq!(half(Rounding::HalfUp), "0.000003");
    assert_eq!(half(Rounding::HalfEven), "0.000002");
    assert_eq!(half(Rounding::Down), "0.000002");
    assert_eq!(half(Rounding::Up), "0.000003");
    let eight = DeckOptions { places: 8, ..DeckOptions::default() };
    assert_eq!(one("60/60", "60000", "0.0000025", "", &eight).1, "0.00000250");
}

#[test]
fn r_06_durations_are_cut_to_milliseconds_after_the_subtraction() {
    let decks = Decks::all(compile("d", "1,World,0.6,0,6,6,,,", &DeckOptions::default()));
    let billed = |answer: &str, end: &str, ms: &str| {
        let row = format!("1,a,,12025550100,2026-01-01T00:00:00Z,2026-01-01T00:00:{answer},{end},{ms}");
        added(&decks, &format!("{CALLS},duration_ms\n{row}\n"))[0].split(',').nth(2).map(str::to_owned)
    };
    let six = Some("6".to_owned());
    let twelve = Some("12".to_owned());
    // 6.0009999 s are 6,000 ms; 6.001 s are one increment more.
    assert_eq!(billed("05Z", "2026-01-01T00:00:11.000999999Z", ""), six);
    assert_eq!(billed("05.000000001Z", "2026-01-01T00:00:11.001Z", ""), six);
    assert_eq!(billed("05Z", "2026-01-01T00:00:11.001Z", ""), twelve);
    // Offsets do not matter, the instants do.
    assert_eq!(billed("05Z", "2026-01-01T02:00:11+02:00", ""), six);
    // What was measured wins over two readings of a clock, even one that was set back.
    assert_eq!(billed("05Z", "2026-01-01T01:00:05Z", "6000"), six);
    assert_eq!(billed("05Z", "2026-01-01T00:00:01Z", "6001"), twelve);
    assert_eq!(billed("05Z", "", "6001"), twelve);
}

#[test]
fn r_12_answered_calls_are_priced_at_the_answer_others_at_setup() {
    let rows = "31,NL,1,0,60,60,2026-03-29,,\n31,NL,2,0,60,60,2026-03-30,,";
    let options = DeckOptions { timezone: chrono_tz::Tz::Europe__Amsterdam, ..DeckOptions::default() };
    let decks = Decks::all(compile("nl", rows, &options));
    let calls = format!(
        "{CALLS}\n\
         1,a,,31201234567,2026-03-29T23:59:50+02:00,2026-03-30T00:00:00+02:00,2026-03-30T00:00:10+02:00\n\
         2,a,,31201234567,2026-03-29T23:59:50+02:00,2026-03-29T23:59:59.999999+02:00,2026-03-30T00:00:10+02:00\n\
         3,a,,31201234567,2026-03-29T23:59:50+02:00,,2026-03-30T00:00:10+02:00\n\
         4,a,,31201234567,2026-03-28T23:59:59+01:00,2026-03-29T00:00:01+01:00,2026-03-29T00:00:10+01:00\n\
         5,a,,31201234567,2026-03-28T23:59:59+01:00,,2026-03-29T00:00:10+01:00\n"
    );
    let rate_and_reason: Vec<String> = added(&decks, &calls)
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            format!("{} {}", cells[3], cells[7])
        })
        .collect();
    assert_eq!(rate_and_reason, ["2 rated", "1 rated", "1 unanswered", "1 rated", " not_effective"]);
}

#[test]
fn decks_are_chosen_by_account() {
    let options = DeckOptions::default();
    let mut decks = Decks::default();
    decks.add(Some("acme"), compile("of-acme", "1,World,1,0,60,60,,,", &options)).expect("first");
    let calls = format!(
        "{CALLS}\n\
         1,acme,,12025550100,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,2026-01-01T00:00:01Z\n\
         2,beta,,12025550100,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,2026-01-01T00:00:01Z\n"
    );
    let got = added(&decks, &calls);
    assert!(got[0].starts_with("1,World,60,1,1.000000,"), "{got:?}");
    assert_eq!(got[1], ",,,,,,,no_prefix");
    let (.., counts) = rate(&decks, &calls, RateOptions::default());
    assert_eq!((counts.without_deck, counts.accounts_without_deck.into_iter().collect::<Vec<_>>()), (1, vec!["beta".to_owned()]));
    let rest = compile("rest", "1,World,2,0,60,60,,,", &options);
    decks.add(None, rest.clone()).expect("first");
    let got = added(&decks, &calls);
    assert!(got[0].contains(",1.000000,") && got[1].contains(",2.000000,"), "{got:?}");
    assert_eq!(decks.add(None, rest.clone()), Err(BadDecks::DefaultTwice));
    assert_eq!(decks.add(Some("acme"), rest), Err(BadDecks::AccountTwice("acme".to_owned())));
}

#[test]
fn the_lrn_is_what_is_looked_up() {
    let calls = format!(
        "{CALLS},carrier,trunk,lrn\n\
         1,a,,442071838750,2026-01-01T00:00:00Z,,,c,t,+447800900123\n\
         2,a,,442071838750,2026-01-01T00:00:00Z,,,c,t,\n"
    );
    let got = added(&usual(), &calls);
    assert!(got[0].starts_with("447,") && got[1].starts_with("44,"), "{got:?}");
}

#[test]
fn the_inputs_columns_come_back_as_they_were() {
    let calls = "To,call_id,account,FROM,end,setup,answer,trunk\r\n\
                 +442071838750,\"id, 1\",a,\"Anonymous \"\"x\"\"\",2026-01-01T00:00:10Z,2026-01-01T00:00:00Z,,t1\r\n";
    let (out, problems, _) = rate(&usual(), &format!("\u{feff}{calls}"), RateOptions::default());
    assert_eq!(problems, [""; 0]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "To,call_id,account,FROM,end,setup,answer,trunk,prefix,destination,billed_seconds,rate,amount,currency,deck_version,reason");
    let as_it_was = "+442071838750,\"id, 1\",a,\"Anonymous \"\"x\"\"\",2026-01-01T00:00:10Z,2026-01-01T00:00:00Z,,t1,44,UK,0,";
    assert!(lines[1].starts_with(as_it_was), "{}", lines[1]);
}

#[test]
fn malformed_rows_are_told_by_line_and_column_and_the_rest_goes_on() {
    let good = "x,a,,442071838750,2026-01-01T00:00:00Z,,,\r\n";
    for (row, wrong) in [
        (",a,,44207,2026-01-01T00:00:00Z,,,", "line 4, column call_id: empty"),
        ("1,,,44207,2026-01-01T00:00:00Z,,,", "line 4, column account: empty"),
        ("1,a,,,2026-01-01T00:00:00Z,,,", "line 4, column to: '' is not a number: want digits, with or without a leading '+'"),
        ("1,a,,sip:x,2026-01-01T00:00:00Z,,,", "line 4, column to: 'sip:x' is not a number: want digits, with or without a leading '+'"),
        ("1,a,,0044207,2026-01-01T00:00:00Z,,,", "line 4, column to: '0044207' starts with 0: no country code does"),
        ("1,a,,1234567890123456,2026-01-01T00:00:00Z,,,", "line 4, column to: '1234567890123456' has more than 15 digits"),
        ("1,a,,44207,,,,", "line 4, column setup: empty"),
        ("1,a,,44207,2026-01-01 00:00:00,,,", "line 4, column setup: '2026-01-01 00:00:00' is not a time: want RFC 3339 with an offset, as 2026-11-21T09:30:00Z"),
        ("1,a,,44207,2026-01-01T00:00:00,,,", "line 4, column setup: '2026-01-01T00:00:00' is not a time: want RFC 3339 with an offset, as 2026-11-21T09:30:00Z"),
        ("1,a,,44207,2026-01-01T00:00:05Z,2026-01-01T00:00:04Z,2026-01-01T00:00:09Z,", "line 4, column answer: before setup"),
        ("1,a,,44207,2026-01-01T00:00:00Z,2026-01-01T00:00:04Z,2026-01-01T00:00:03Z,", "line 4, column end: before answer"),
        ("1,a,,44207,2026-01-01T00:00:05Z,,2026-01-01T00:00:03Z,", "line 4, column end: before setup"),
        ("1,a,,44207,2026-01-01T00:00:00Z,2026-01-01T00:00:04Z,,", "line 4, column end: empty, and there is no duration_ms"),
        ("1,a,,44207,2026-01-01T00:00:00Z,2026-01-01T00:00:04Z,,-5", "line 4, column duration_ms: '-5' is not a whole number of milliseconds"),
        ("1,a,,44207,2026-01-01T00:00:00Z,2026-01-01T00:00:04Z,,1.5", "line 4, column duration_ms: '1.5' is not a whole number of milliseconds"),
        ("1,a,,44207,2026-01-01T00:00:00Z,2026-01-01T00:00:04Z,,18446744073709551615", "line 4, column duration_ms: the amount is beyond what money can hold"),
        ("1,a,,44207", "line 4: 4 columns, the header has 8 (is a quote left open?)"),
    ] {
        let (out, problems, counts) = rate(&usual(), &format!("{CALLS},duration_ms\r\n{good}\r\n{row}\r\n{good}"), RateOptions::default());
        assert_eq!(problems, [wrong], "{row}");
        assert_eq!((out.lines().count(), counts.read, counts.malformed), (3, 3, 1), "{row}");
    }
    let latin_1 = [CALLS.as_bytes(), b"\n1,\xe9,,44207,2026-01-01T00:00:00Z,,\n"].concat();
    let mut problems = Vec::new();
    rate_csv(&usual(), &latin_1[..], std::io::sink(), RateOptions::default(), &mut |p| problems.push(p.to_string()), &mut |_| {}).expect("goes on");
    assert_eq!(problems, ["line 2, column account: not UTF-8 text"]);
}

#[test]
fn a_header_that_is_not_the_form_stops_the_run() {
    assert_eq!(refused(""), "the calls file is empty: want a header line and rows");
    assert_eq!(refused("call_id,account,from,to,setup,answer\n"), "the calls file has no column 'end'");
    assert_eq!(refused(&format!("{CALLS},END\n")), "the calls file has two columns 'end'");
    assert!(refused(&format!("{CALLS},duration\n")).starts_with("the calls file has a column 'duration'; the columns are call_id,"));
}

#[test]
fn explanations_show_the_sum() {
    let rows = "44,UK,0.0100,0,6,6,,,\n33,France,0.06,0.02,1,1,,,\n882,Satellite,9,0,1,1,,,yes\n7,Russia,1,0,60,60,2027-01-01,,";
    let decks = Decks::all(compile("usual", rows, &DeckOptions::default()));
    let times = "2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,";
    let calls = format!("{CALLS},duration_ms\n1,a,,442,{times},47000\n2,a,,332,{times},90000\n3,a,,442,{times},1\n4,a,,8821,{times},1\n5,a,,1,{times},1\n6,a,,71,{times},1\n7,a,,442,2026-01-01T00:00:00Z,,,\n");
    let (out, ..) = rate(&decks, &calls, RateOptions { explain: true });
    let last: Vec<&str> = out.lines().filter_map(|line| line.rsplit(',').next()).collect();
    assert_eq!(
        last,
        [
            "explain",
            "47 s → 6+7×6=48 s × 0.0100/60 = 0.008000",
            "90 s → 0.0200 + 1+89×1=90 s × 0.06/60 = 0.110000",
            "1 s → initial 6 s × 0.0100/60 = 0.001000",
            "prefix 882 is blocked in deck 'usual'",
            "deck 'usual' has no prefix of +1",
            "deck 'usual' has prefixes of +71 but none in force at 2026-01-01T00:00:00.000000Z",
            "not answered; prefix 44 at 0.0100",
        ]
    );
}

#[test]
fn rows_of_another_form_are_priced_alike() {
    let decks = usual();
    let fields = CallFields {
        call_id: "1",
        account: "a",
        to: "442071838750",
        lrn: "",
        setup_ns: 0,
        answer_ns: Some(5_000_000_000),
        end_ns: Some(15_000_000_000),
        duration_ms: None,
        ..CallFields::default()
    };
    let call = fields.check().expect("well formed");
    assert_eq!((call.duration_ms, call.priced_at_us()), (10_000, 5_000_000));
    let out = rate_call(&decks, &call, None).expect("priced");
    assert_eq!((out.reason, out.billed_s, out.amount_e8), (Reason::Rated, Some(12), Some(200_000)));
}

/// A price as text.
fn facts(out: Option<RatedOut<'_>>) -> String {
    let facts = out.map(|o| (o.reason, o.deck.map(|d| d.name().to_owned()), o.row, o.billed_s, o.amount_e8));
    format!("{facts:?}")
}

#[test]
fn calls_priced_many_at_a_time_cost_what_each_costs_alone() {
    let mut decks = Decks::default();
    decks.add(Some("own"), compile("own", "44,UK,0.03,0,60,60,,,", &DeckOptions::default())).expect("first");
    decks.add(Some("other"), compile("other", "4,Europe,1,0.5,1,1,,,\n44,UK,,0,1,1,,,yes", &DeckOptions::default())).expect("second");
    // Longer than any block, accounts changing with every call, one of them without a deck.
    let numbers = ["442071838750", "491711234567", "81312345678", "44"].map(|n| E164::parse(n).expect("a number"));
    let call = |n: usize| CallIn {
        account: ["own", "other", "nobody"][n % 3],
        number: numbers[n % 4],
        setup_us: 0,
        answer_us: (n % 5 > 0).then_some(1_000_000),
        // One of them lasts longer than its amount fits.
        duration_ms: if n == 700 { u64::MAX } else { n as u64 * 977 },
    };
    let calls: Vec<CallIn<'_>> = (0..1000).map(call).collect();
    let mut together = Vec::new();
    Rater::new(&decks).rate(&calls, &[], |call, out| together.push((*call, out)));
    assert_eq!(together.len(), calls.len());
    for (alone, (call, out)) in calls.iter().zip(&together) {
        assert_eq!(alone, call);
        assert_eq!(facts(rate_call(&decks, alone, None)), facts(*out), "{call:?}");
    }
}

#[test]
fn more_accounts_than_are_remembered_keep_their_own_decks() {
    let mut decks = Decks::default();
    // Names of 1 to 20 bytes, every other one with a deck of its own price.
    let names: Vec<String> = (0..600usize).map(|n| format!("{n:0>width$}", width = 1 + n % 20)).collect();
    let deck = |n: usize| compile("own", &format!("44,UK,0.{n:04},0,60,60,,,"), &DeckOptions::default());
    for (n, name) in names.iter().enumerate().filter(|(n, _)| n % 2 == 0) {
        if decks.of(name).is_none() {
            decks.add(Some(name), deck(n)).expect("once");
        }
    }
    let number = E164::parse("442071838750").expect("a number");
    let call = |n: usize| CallIn { account: &names[n * 7919 % names.len()], number, setup_us: 0, answer_us: Some(0), duration_ms: 60_000 };
    let calls: Vec<CallIn<'_>> = (0..5_000).map(call).collect();
    let mut at = 0;
    Rater::new(&decks).rate(&calls, &[], |call, out| {
        assert_eq!(facts(out), facts(rate_call(&decks, call, None)), "{}", call.account);
        at += 1;
    });
    assert_eq!(at, calls.len());
}

/// Rows of every fate from their numbers; `quoted` puts a line break into some, which also sends their block another way.
fn many(rows: usize, quoted: bool, newline: &str) -> (String, Vec<u64>) {
    let (mut csv, mut line, mut malformed) = (format!("{CALLS}{newline}"), 2, Vec::new());
    for at in 0..rows {
        let to = ["442071838750", "+447800900123", "81312345678", "33612345678", "88216123456"][at % 5];
        let (account, answer) = (["a", ""][usize::from(at % 1013 == 7)], ["2026-01-01T00:00:05Z", ""][usize::from(at % 3 == 0)]);
        if account.is_empty() {
            malformed.push(line);
        }
        let id = match quoted && at.is_multiple_of(211) {
            true => format!("\"c{newline}{at},\"\"x\""),
            false => format!("c{at}"),
        };
        csv += &format!("{id},{account},from-{at},{to},2026-01-01T00:00:00Z,{answer},2026-01-01T00:{:02}:15.5Z{newline}", at % 60);
        line += 1 + id.matches('\n').count() as u64;
        if at.is_multiple_of(97) {
            csv += newline;
            line += 1;
        }
    }
    (csv, malformed)
}

#[test]
fn blocks_on_any_number_of_threads_give_one_file_with_problems_in_order() {
    let decks = usual();
    for (quoted, newline) in [(false, "\n"), (true, "\n"), (true, "\r\n")] {
        let (csv, malformed) = many(60_000, quoted, newline);
        assert!(csv.len() > 4 * cut::BLOCK, "several blocks for each thread");
        let (want, problems, counts) = rate(&decks, &csv, RateOptions { explain: true });
        assert_eq!(problems, malformed.iter().map(|line| format!("line {line}, column account: empty")).collect::<Vec<_>>());
        assert_eq!((counts.read, counts.malformed), (60_000, malformed.len() as u64));
        for threads in [2, 3] {
            let (mut out, mut told, mut at) = (Vec::new(), Vec::new(), Vec::new());
            let options = RateOptions { explain: true };
            let done = rate_csv_on(threads, &decks, csv.as_bytes(), &mut out, options, &mut |p| told.push(p.to_string()), &mut |n| at.push(n));
            assert_eq!(done.ok().as_ref(), Some(&counts));
            assert_eq!(told, problems);
            assert!(out == want.as_bytes(), "{threads} threads, quoted {quoted}");
            assert!(at.is_sorted() && at.last() == Some(&(csv.len() as u64)), "progress ends at the end");
        }
    }
}

#[test]
fn a_block_without_quotes_is_rated_as_a_reader_of_quotes_rates_it() {
    let deck = compile("d", "44,\"UK, \"\"fixed\"\"\",0.0100,0.5,6,6,,,\n447,UK Mobile,1,0,1,1,,,\n33,France,0.01,0,1,1,2026-06-01,2026-07-01,\n882,Satellite,9,0,1,1,,,yes", &DeckOptions::default());
    let decks = Decks::all(deck);
    let (plain, _) = many(3000, false, "\n");
    // Something wrong of every kind.
    let plain = plain + "x,a,b\n\n,a,,44,2026-01-01T00:00:00Z,,\nx,a,,44,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,\nx,a,,0044,2026-01-01T00:00:00Z,,\n \n";
    let quoted = plain.replacen("c0,", "\"c0\",", 1);
    for explain in [false, true] {
        assert_eq!(rate(&decks, &plain, RateOptions { explain }), rate(&decks, &quoted, RateOptions { explain }));
    }
}

#[test]
fn what_cannot_be_written_or_read_ends_the_file_on_any_number_of_threads() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (csv, _) = many(60_000, false, "\n");
    for threads in [1, 2] {
        let done = rate_csv_on(threads, &usual(), csv.as_bytes(), Full, RateOptions::default(), &mut |_| {}, &mut |_| {});
        assert!(matches!(done, Err(RateFileError::Write(_))));
        // A quote left open after many good rows.
        let endless = std::io::Read::chain(csv.as_bytes(), std::io::Read::chain(&b"\"x"[..], std::io::repeat(b'y')));
        let (mut out, mut rows) = (Vec::new(), 0);
        let done = rate_csv_on(threads, &usual(), endless, &mut out, RateOptions::default(), &mut |_| rows += 1, &mut |_| {});
        let error = done.expect_err("an end");
        assert!(matches!(error, RateFileError::Read(_)), "{error}");
        assert!(out.len() > csv.len() / 2, "what was whole is written");
    }
}
