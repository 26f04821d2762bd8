use chrono_tz::Tz;
use proptest::prelude::*;
use tollgate_schemas::time::parse_rfc3339;

use super::*;
use crate::{
    deck::Lookup,
    sheet::{Mapping, SheetReader, feed_csv},
};

const NOW: &str = "2026-11-25T12:00:00Z";

fn us(text: &str) -> i64 {
    parse_rfc3339(text).expect("time")
}

fn deck(csv: &str) -> Deck {
    Deck::compile("acme", csv.as_bytes(), &DeckOptions::default()).expect("deck")
}

fn rows(sheet: &str) -> Vec<ImportRow> {
    let mut reader = SheetReader::new(Mapping::default(), Tz::UTC);
    feed_csv(sheet.as_bytes(), &mut reader).expect("memory");
    reader.finish().unwrap_or_else(|p| panic!("{p}")).rows
}

fn import(base: &str, sheet: &str, order: &Order) -> Result<Prepared, ImportProblems> {
    let deck = deck(base);
    let in_force = InForce { deck: &deck, csv: base.as_bytes(), timezone: Tz::UTC };
    prepare("acme", &DeckOptions::default(), Some(in_force), &rows(sheet), order, &[])
}

fn order(mode: Mode) -> Order {
    Order::new(mode, us(NOW))
}

/// `prefix@from-to rate` of every row, in days.
fn shape(deck: &Deck) -> Vec<String> {
    let day = |t: Option<i64>| t.map_or_else(String::new, |us| tollgate_schemas::time::format_rfc3339(us)[..10].to_owned());
    deck.rows().map(|r| format!("{}@{}..{} {}", r.prefix(), day(r.effective_from_us()), day(r.effective_to_us()), if r.blocked() { "blocked".to_owned() } else { r.rate_text() })).collect()
}

const BASE: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to\n\
    31,Netherlands,0.0150,0,1,1,2026-01-01,\n\
    316,Netherlands Mobile,0.0400,0,1,1,2026-01-01,\n\
    32,Belgium,0.0200,0,1,1,2026-01-01,\n\
    44,United Kingdom,0.0100,0,1,1,2026-01-01,\n\
    447,UK Mobile,0.0250,0,1,1,2026-01-01,\n\
    49,Germany,0.0110,0,1,1,2026-01-01,\n\
    49,Germany,0.0120,0,1,1,2026-12-20,\n\
    53,Cuba,0.7000,0,60,60,2026-01-01,\n\
    81,Japan,0.0180,0,1,1,2026-01-01,\n";
const HEAD: &str = "code,destination,rate,increments,effective,change,previous rate\n";

#[test]
fn r_14_the_preview_is_the_golden_file() {
    let sheet = format!(
        "{HEAD}31,Netherlands,0.0150,1/1,2026-01-01,unchanged,\n316,Netherlands Mobile,0.0420,1/1,2026-12-10,increased,0.0390\n32,Belgium,0.0090,1/1,2026-11-26,decreased,0.0200\n44,United Kingdom,0.0100,60/60,2026-12-10,,\n\
         447,UK Mobile,,,2026-12-10,closed,\n4479,UK Mobile Three,0.0300,1/1,2026-12-10,new,\n49,Germany,0.0115,1/1,2026-12-10,increased,\n53,Cuba,,,2026-12-10,blocked,\n33,France,0.0080,1/1,2026-12-10,increased,\n"
    );
    let other = deck("prefix,destination,rate,connect_fee,initial,increment,effective_from\n3165,KPN,0.03,0,1,1,\n3161,Vodafone,0.03,0,1,1,\n324,BE mobile,0.05,0,1,1,\n");
    let base = deck(BASE);
    let in_force = InForce { deck: &base, csv: BASE.as_bytes(), timezone: Tz::UTC };
    let done = prepare("acme", &DeckOptions::default(), Some(in_force), &rows(&sheet), &order(Mode::Full), &[("globex", &other)]).unwrap_or_else(|p| panic!("{p}"));
    let text = format!("{}\n", done.preview);
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import_preview.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).expect("golden file");
    }
    let want = std::fs::read_to_string(&golden).expect("golden file");
    assert_eq!(text, want, "run with UPDATE_GOLDEN=1 and read the difference");
    let json = serde_json::to_string(&done.preview).expect("json");
    assert_eq!(serde_json::from_str::<Preview>(&json).expect("json"), done.preview);
}

#[test]
fn r_15_a_partial_sheet_closes_nothing_a_full_one_what_it_does_not_list() {
    let sheet = format!("{HEAD}44,United Kingdom,0.0090,1/1,2026-12-01,,\n");
    let open = |mode| {
        let done = import(BASE, &sheet, &order(mode)).unwrap_or_else(|p| panic!("{p}"));
        let at = us("2026-12-02T00:00:00Z");
        let mut open: Vec<String> = done.deck.rows().filter(|r| r.effective_from_us() <= Some(at) && r.effective_to_us().is_none_or(|t| at < t)).map(|r| r.prefix()).collect();
        open.sort();
        (open.join(" "), done.preview.count(Change::Closed))
    };
    assert_eq!(open(Mode::Partial), ("31 316 32 44 447 49 53 81".to_owned(), 0));
    assert_eq!(open(Mode::FullCountry), ("31 316 32 44 49 53 81".to_owned(), 1));
    assert_eq!(open(Mode::Full), ("44".to_owned(), 7));
}

#[test]
fn r_13_rows_in_force_are_closed_where_the_new_ones_start_and_keep_their_past() {
    let cases: &[(&str, &[&str])] = &[
        ("44,UK,0.0090,1/1,2026-12-01,,\n", &["44@2026-01-01..2026-12-01 0.0100", "44@2026-12-01.. 0.0090"]),
        ("44,UK,0.0090,1/1,now,,\n", &["44@2026-01-01..2026-11-25 0.0100", "44@2026-11-25.. 0.0090"]),
        ("44,UK,0.0090,1/1,2026-12-01,,\n44,UK,0.0110,1/1,2027-01-01,,\n", &["44@2026-01-01..2026-12-01 0.0100", "44@2026-12-01..2027-01-01 0.0090", "44@2027-01-01.. 0.0110"]),
        ("44,UK,,,2026-12-01,closed,\n", &["44@2026-01-01..2026-12-01 0.0100"]),
        ("44,UK,,,2026-12-01,blocked,\n", &["44@2026-01-01..2026-12-01 0.0100", "44@2026-12-01.. blocked"]),
        // What was announced is withdrawn by a word about the code …
        ("49,Germany,0.0105,1/1,2026-12-01,,\n", &["49@2026-01-01..2026-12-01 0.0110", "49@2026-12-01.. 0.0105"]),
        ("49,Germany,,,2026-12-01,closed,\n", &["49@2026-01-01..2026-12-01 0.0110"]),
        ("49,Germany,,,2026-12-20,closed,\n", &["49@2026-01-01..2026-12-20 0.0110"]),
        // … and not by saying again what is in force, or what was announced.
        ("49,Germany,0.0110,1/1,2026-01-01,,\n", &["49@2026-01-01..2026-12-20 0.0110", "49@2026-12-20.. 0.0120"]),
        ("49,Germany,0.0120,1/1,2026-12-20,,\n", &["49@2026-01-01..2026-12-20 0.0110", "49@2026-12-20.. 0.0120"]),
        ("34,Spain,0.0100,1/1,2026-12-01,,\n", &["34@2026-12-01.. 0.0100"]),
    ];
    for (sheet, want) in cases {
        let done = import(BASE, &format!("{HEAD}{sheet}"), &order(Mode::Partial)).unwrap_or_else(|p| panic!("{sheet}: {p}"));
        let code = &sheet[..2];
        let found: Vec<String> = shape(&done.deck).into_iter().filter(|r| r.starts_with(&format!("{code}@"))).collect();
        assert_eq!(found, *want, "{sheet}");
        // Whatever the sheet says, nothing that was is another.
        for number in ["31612345678", "4420", "4479", "4930", "5312", "8190"] {
            for at in ["2026-01-01T00:00:00Z", "2026-06-15T12:00:00Z", "2026-11-25T11:59:59Z"] {
                assert_eq!(rate(&done.deck, number, us(at)), rate(&deck(BASE), number, us(at)), "{sheet} {number} {at}");
            }
        }
    }
}

fn rate(deck: &Deck, number: &str, at: i64) -> Option<i64> {
    match deck.lookup(number, at) {
        Lookup::Row(row) => Some(row.rate_e12()),
        Lookup::Blocked(_) => Some(-1),
        _ => None,
    }
}

#[test]
fn r_13_a_date_in_the_past_is_refused_or_made_now() {
    let sheet = format!("{HEAD}44,UK,0.0090,1/1,2026-11-01,,\n");
    let refused = import(BASE, &sheet, &order(Mode::Partial)).unwrap_err();
    assert_eq!((refused.problems[0].source.as_str(), refused.problems[0].problem.contains("--past now")), ("2", true));
    let done = import(BASE, &sheet, &Order { past_now: true, ..order(Mode::Partial) }).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(done.preview.lines[0].flags, [Flag::MovedToNow { was: "2026-11-01T00:00:00.000000Z".to_owned() }]);
    assert_eq!((rate(&done.deck, "44", us(NOW) - 1), rate(&done.deck, "44", us(NOW))), (Some(10_000_000_000), Some(9_000_000_000)));
}

#[test]
fn r_13_what_gets_dearer_needs_notice_unless_a_reason_is_given() {
    let cases = [
        ("44,UK,0.0110,1/1,2026-12-01,,", true), ("44,UK,0.0110,1/1,2026-12-02T12:00:00Z,,", false), ("44,UK,0.0100,60/60,2026-12-01,,", true), ("44,UK,0.0090,1/1,now,,", false),
        // Numbers of 44 so far: 0.0100. A new code makes some of them dearer; a closed one lets 447's fall to the cheaper 44.
        ("4420,London,0.0110,1/1,2026-12-01,,", true), ("447,UK Mobile,,,now,closed,", false), ("53,Cuba,,,now,blocked,", false), ("34,Spain,0.5,1/1,now,,", false),
    ];
    for (row, refused) in cases {
        let sheet = format!("{HEAD}{row}\n");
        let found = import(BASE, &sheet, &order(Mode::Partial));
        assert_eq!(found.is_err(), refused, "{row}");
        let taken = import(BASE, &sheet, &Order { short_notice: Some("agreed by phone".to_owned()), ..order(Mode::Partial) }).unwrap_or_else(|p| panic!("{p}"));
        assert_eq!(taken.preview.flags.contains_key("short_notice"), refused, "{row}");
        assert!(import(BASE, &sheet, &Order { notice_days: 0, ..order(Mode::Partial) }).is_ok(), "{row}");
    }
    // Closing the cheap code drops its numbers on a dearer one.
    let cheap = format!("{BASE}4421,UK special,0.0010,0,1,1,2026-01-01,\n");
    assert!(import(&cheap, &format!("{HEAD}4421,UK special,,,now,closed,\n"), &order(Mode::Partial)).is_err());
}

#[test]
fn r_11_overlapping_windows_of_one_code_are_refused() {
    let sheet = "code,destination,rate,increments,effective,end\n44,UK,0.009,1/1,2026-12-01,2027-02-01\n44,UK,0.008,1/1,2027-01-01,\n";
    let problems = import(BASE, sheet, &order(Mode::Partial)).unwrap_err();
    assert!(problems.problems[0].problem.contains("overlaps that of row 2"), "{problems}");
}

#[test]
fn r_14_another_currency_is_refused_whole() {
    let order = Order { currency: Some("EUR".to_owned()), ..order(Mode::Partial) };
    let problems = import(BASE, &format!("{HEAD}44,UK,0.009,1/1,2026-12-01,,\n"), &order).unwrap_err();
    assert!(problems.to_string().contains("the sheet is in EUR, the deck in USD"), "{problems}");
}

#[test]
fn r_14_a_first_sheet_has_no_past_to_keep() {
    let done = prepare("acme", &DeckOptions::default(), None, &rows(&format!("{HEAD}44,UK,0.009,1/1,2020-01-01,,\n")), &order(Mode::Full), &[]).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!((shape(&done.deck), done.preview.base_version, done.preview.counts["new"]), (vec!["44@2020-01-01.. 0.009".to_owned()], None, 1));
}

#[test]
fn a_sheet_that_says_nothing_new_leaves_the_deck_as_it_is() {
    let done = import(BASE, &format!("{HEAD}44,United Kingdom,0.010,1/1,2026-01-01,,\n81,Japan,0.0180,1/1,2026-01-01,unchanged,\n"), &order(Mode::Partial)).unwrap_or_else(|p| panic!("{p}"));
    assert!(!done.preview.changes());
    assert_eq!(done.csv, BASE.as_bytes());
}

/// What a sheet says of a code: day of December, or closed.
#[derive(Debug, Clone)]
struct Said {
    code: usize,
    day: u32,
    rate: Option<u32>,
}

const CODES: [&str; 8] = ["3", "31", "316", "44", "447", "4479", "49", "81"];

#[test]
fn r_14_a_converted_sheet_is_a_deck_by_itself() {
    let sheet = format!("{HEAD}31,Netherlands,0.0150,1/1,2026-01-01,,\n31,Netherlands,,,2026-06-01,closed,\n53,Cuba,,,2026-01-01,blocked,\n44,UK,0.0100,1/1,2026-01-01,,\n");
    let form = write_rows(&rows(&sheet), Some("EUR"));
    assert!(is_rows(form.as_bytes()) && !is_rows(sheet.as_bytes()));
    let (rows_of_form, currency) = read_rows(&form).unwrap_or_else(|e| panic!("{e}"));
    let done = whole_sheet("acme", &DeckOptions::default(), &rows_of_form, currency.as_deref()).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!((shape(&done.deck), done.deck.currency()), (vec!["31@2026-01-01..2026-06-01 0.0150".to_owned(), "44@2026-01-01.. 0.0100".to_owned(), "53@2026-01-01.. blocked".to_owned()], "EUR"));
    // What holds "now" has no date.
    let now = rows(&format!("{HEAD}31,Netherlands,0.0150,1/1,now,,\n"));
    assert!(whole_sheet("acme", &DeckOptions::default(), &now, None).is_err_and(|e| e.to_string().contains("2: 31: effective now")));
    let closed = rows(&format!("{HEAD}31,Netherlands,,,2026-06-01,closed,\n"));
    assert!(whole_sheet("acme", &DeckOptions::default(), &closed, None).is_err());
}

#[test]
fn r_14_what_gets_dearer_by_jurisdiction_is_told_with_its_prices() {
    let base = "prefix,destination,rate,connect_fee,initial,increment,effective_from,interrate,intrarate,ijrate\n1201,NJ,0.005,0,6,6,2026-01-01,0.003,0.004,0.005\n";
    let sheet = "code,destination,interrate,intrarate,ijrate,increments,effective\n1201,NJ,0.003,0.0045,0.005,6/6,2026-11-26\n";
    let problems = import(base, sheet, &order(Mode::Partial)).unwrap_err();
    assert!(problems.to_string().contains("dearer (0.005 6/6 inter 0.0030 intra 0.0040 ij 0.0050 to 0.005 6/6 inter 0.0030 intra 0.0045 ij 0.0050)"), "{problems}");
}

#[test]
fn r_27_a_group_is_known_by_its_name_in_small_letters() {
    let base = "prefix,destination,rate,connect_fee,initial,increment,effective_from,origin_group\n44,UK,0.9,0,1,1,2026-01-01,\n44,UK,0.7,0,1,1,2026-01-01,EEA\n";
    let sheet = "code,destination,rate,increments,effective,origin\n44,UK,0.6,1/1,2026-12-10,Eea\n";
    let done = import(base, sheet, &order(Mode::Partial)).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!((done.preview.count(Change::Decreased), done.preview.count(Change::New)), (1, 0), "{}", done.preview);
    let groups: Vec<&str> = done.deck.origin_rows().map(|(_, group)| group).collect();
    assert_eq!(groups, ["eea", "eea"]);
}

proptest! {
    /// Sheet → rows → merged deck → compiled: every number costs, at every instant, what the sheet's last word on its longest prefix
    /// says, or what the deck in force said where the sheet is silent; the past is what it was.
    #[test]
    fn r_13_the_merged_deck_prices_as_the_sheet_over_the_deck_in_force(
        said in prop::collection::vec((0..CODES.len(), 1u32..28, prop::option::weighted(0.8, 1u32..500)), 1..12),
        before in prop::collection::vec((0..CODES.len(), 1u32..28, 1u32..500), 0..8),
        full in any::<bool>(),
    ) {
        let said: Vec<Said> = said.into_iter().map(|(code, day, rate)| Said { code, day, rate }).collect();
        let mut said: Vec<Said> = said.into_iter().map(|s| ((s.code, s.day), s)).collect::<std::collections::BTreeMap<_, _>>().into_values().collect();
        said.sort_by_key(|s| (s.code, s.day));
        let before: std::collections::BTreeMap<(usize, u32), u32> = before.into_iter().map(|(code, month, rate)| ((code, month % 11 + 1), rate)).collect();
        let mut base = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n9,X,1,0,1,1,2020-01-01\n".to_owned();
        for ((code, month), rate) in &before {
            base.push_str(&format!("{},D{code},0.{rate:04},0,1,1,2025-{month:02}-01\n", CODES[*code]));
        }
        let mut sheet = HEAD.to_owned();
        for s in &said {
            match s.rate {
                Some(rate) => sheet.push_str(&format!("{},D{},0.{rate:04},1/1,2026-12-{:02},,\n", CODES[s.code], s.code, s.day)),
                None => sheet.push_str(&format!("{},D{},,,2026-12-{:02},closed,\n", CODES[s.code], s.code, s.day)),
            }
        }
        let mode = if full { Mode::Full } else { Mode::Partial };
        let order = Order { notice_days: 0, ..order(mode) };
        let done = import(&base, &sheet, &order).unwrap_or_else(|p| panic!("{p}\n{base}\n{sheet}"));
        let closes = said.iter().map(|s| s.day).min().unwrap_or(1);
        let at = |day: u32| us(&format!("2026-12-{day:02}T00:00:00Z"));
        // The model: each code alone, then the longest that has a price.
        let own = |code: usize, t: i64| -> Option<i64> {
            let of_code = said.iter().filter(|s| s.code == code);
            if let Some(last) = of_code.clone().rfind(|s| at(s.day) <= t) {
                return last.rate.map(|r| i64::from(r) * 100_000_000);
            }
            if full && of_code.count() == 0 && t >= at(closes) {
                return None;
            }
            before.iter().filter(|((c, _), _)| *c == code).rfind(|((_, month), _)| us(&format!("2025-{month:02}-01T00:00:00Z")) <= t).map(|(_, rate)| i64::from(*rate) * 100_000_000)
        };
        for number in ["31", "3165", "320", "4479123", "44712", "4420", "4912", "8190"] {
            for t in [us("2025-03-01T00:00:00Z"), us("2025-12-31T00:00:00Z"), us(NOW), at(1), at(7), at(14), at(27), us("2027-06-01T00:00:00Z")] {
                let mut codes: Vec<usize> = (0..CODES.len()).filter(|c| number.starts_with(CODES[*c])).collect();
                codes.sort_by_key(|c| std::cmp::Reverse(CODES[*c].len()));
                let want = codes.into_iter().find_map(|c| own(c, t));
                prop_assert_eq!(rate(&done.deck, number, t), want, "{} at {}\n{}\n{}", number, t, base, sheet);
            }
        }
    }

    /// The form rows travel in loses nothing.
    #[test]
    fn rows_come_back_from_their_form(rate in prop::option::of((0i64..10_000_000_000_000, 0u8..=12)), fee in 0i64..1_000_000_000_000, initial in 0u32..86_400, increment in 1u32..86_400, from in prop::option::of(0i64..4_000_000_000_000_000), end in prop::option::of(0i64..4_000_000_000_000_000), what in 0usize..3, name in "[ -~é\n,\"]{0,20}") {
        let action = if rate.is_none() { Action::Close } else { [Action::Set, Action::Close, Action::Block][what] };
        let row = ImportRow {
            prefix: "4479".parse().expect("prefix"), origin_group: "eea".into(), destination: name.as_str().into(), rate: rate.map(|(e12, _)| (e12, 12)), jurisdiction: crate::deck::JurisdictionRates { inter_e12: Some(fee), ..Default::default() },
            connect_fee_e12: fee, initial_s: initial, increment_s: increment, from: from.map_or(Start::Now, Start::At), to: end, route_class: "premium".into(), action, claimed: "new", previous_e12: Some(fee), source: "Rates!12".into(),
        };
        let back = read_rows(&write_rows(std::slice::from_ref(&row), None)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(back, (vec![row.clone()], None));
        let text = write_rows(std::slice::from_ref(&row), Some("EUR"));
        let back = read_rows(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(is_rows(text.as_bytes()));
        prop_assert_eq!(back, (vec![row], Some("EUR".to_owned())));
    }
}
