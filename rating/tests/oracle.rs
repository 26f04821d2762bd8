//! `tollgate rate` against an independent calculation: own look-up (reads every row), own arithmetic (decimals, the
//! quotient settled by its remainder), own text. Decks, calls and their spellings are random from a printed seed.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeZone};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use tollgate_rating::{
    deck::{Deck, DeckOptions},
    rate_file::{Decks, RateOptions, rate_csv},
};
use tollgate_schemas::v1::Rounding;

const CALLS_PER_ROUND: usize = 5_000;
/// A hundred thousand calls in all.
const ROUNDS: u64 = 20;
/// 2026-01-01T00:00:00Z, seconds.
const START: i64 = 1_767_225_600;
const YEAR: i64 = 365 * 86_400;

/// SplitMix64: the seed is the test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// Few different digits, so that prefixes nest and numbers meet them.
    fn digits(&mut self, len: u64) -> String {
        (0..len).map(|at| char::from(b'1' + self.below(if at < 2 { 3 } else { 2 }) as u8)).collect()
    }

    fn decimal(&mut self, places: u32, whole: u64) -> String {
        let value = Decimal::new(self.below(whole * 10u64.pow(places)) as i64, places);
        format!("{value:.0$}", places as usize)
    }
}

struct Row {
    prefix: String,
    destination: String,
    rate: String,
    connect: String,
    initial: u64,
    increment: u64,
    from_ns: i128,
    to_ns: Option<i128>,
    blocked: bool,
}

struct Sheet {
    rows: Vec<Row>,
    csv: String,
    currency: &'static str,
    places: u32,
    rounding: Rounding,
}

fn spell(random: &mut Random, ns: i128) -> String {
    let zone = FixedOffset::east_opt(*random.pick(&[0, 0, 3600, -5 * 3600, 5 * 3600 + 1800, 14 * 3600])).expect("an offset");
    let time: DateTime<FixedOffset> = zone.timestamp_nanos(ns as i64);
    // As few digits as the instant needs.
    let form = match ns {
        _ if ns % 1_000_000_000 == 0 => SecondsFormat::Secs,
        _ if ns % 1_000_000 == 0 => SecondsFormat::Millis,
        _ if ns % 1_000 == 0 => SecondsFormat::Micros,
        _ => SecondsFormat::Nanos,
    };
    time.to_rfc3339_opts(form, random.one_in(2))
}

fn sheet(random: &mut Random) -> Sheet {
    let mut prefixes: Vec<String> = Vec::new();
    for _ in 0..400 {
        let len = 1 + random.below(9);
        prefixes.push(random.digits(len));
    }
    prefixes.sort();
    prefixes.dedup();
    let currency = *random.pick(&["USD", "EUR"]);
    let mut csv = "blocked,prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,currency\n".to_owned();
    let mut rows = Vec::new();
    for prefix in prefixes {
        // One to three windows one after the other, with or without gaps; a last one may be open.
        let mut from = START + random.below(YEAR as u64) as i64 - YEAR / 2;
        for _ in 0..1 + random.below(3) {
            let to = from + 1 + random.below(YEAR as u64 / 2) as i64;
            let open = random.one_in(2);
            let (initial, increment) = *random.pick(&[(1, 1), (6, 6), (30, 6), (60, 60), (60, 1), (0, 7), (0, 1), (17, 13)]);
            let places = random.below(13) as u32;
            let row = Row {
                prefix: prefix.clone(),
                destination: format!("Group {}", random.below(50)),
                rate: random.decimal(places, 3),
                connect: if random.one_in(3) { random.decimal(4, 1) } else { "0".to_owned() },
                initial,
                increment,
                from_ns: i128::from(from) * 1_000_000_000,
                to_ns: (!open).then_some(i128::from(to) * 1_000_000_000),
                blocked: random.one_in(25),
            };
            csv += &format!(
                "{},{}{},{},{},{},{},{},{},{},{currency}\n",
                if row.blocked { "yes" } else { "" },
                if random.one_in(2) { "+" } else { "" },
                row.prefix, row.destination, row.rate, row.connect, row.initial, row.increment,
                spell(random, row.from_ns),
                row.to_ns.map(|ns| spell(random, ns)).unwrap_or_default(),
            );
            rows.push(row);
            if open {
                break;
            }
            from = to + if random.one_in(2) { 0 } else { random.below(YEAR as u64 / 4) as i64 };
        }
    }
    let rounding = *random.pick(&[Rounding::HalfUp, Rounding::HalfUp, Rounding::Up, Rounding::HalfEven, Rounding::Down]);
    Sheet { rows, csv, currency, places: *random.pick(&[6, 6, 4, 8, 2, 0]), rounding }
}

/// The amount's text: connect + rate · billed / 60, rounded once.
fn amount(sheet: &Sheet, row: &Row, billed: u64) -> String {
    let (rate, connect): (Decimal, Decimal) = (row.rate.parse().expect("rate"), row.connect.parse().expect("fee"));
    let sixty = Decimal::from(60);
    let sixty_times = connect * sixty + rate * Decimal::from(billed);
    let step = Decimal::new(1, sheet.places);
    let mut steps = (sixty_times / sixty).trunc_with_scale(sheet.places);
    let rest = sixty_times - steps * sixty;
    assert!(rest >= Decimal::ZERO && rest < step * sixty, "the quotient was cut, not rounded");
    let twice = rest * Decimal::TWO;
    let even = (steps / step) % Decimal::TWO == Decimal::ZERO;
    let up = match sheet.rounding {
        Rounding::HalfUp => twice >= step * sixty,
        Rounding::Up => !rest.is_zero(),
        Rounding::HalfEven => twice > step * sixty || (twice == step * sixty && !even),
        Rounding::Down => false,
    };
    if up {
        steps += step;
    }
    format!("{steps:.0$}", sheet.places as usize)
}

/// The cells `tollgate rate` must add.
fn expected(sheet: &Sheet, number: &str, setup_ns: i128, answer_ns: Option<i128>, duration_ms: i128) -> String {
    // The form's instants are microseconds.
    let instant = answer_ns.unwrap_or(setup_ns).div_euclid(1000) * 1000;
    let version: String = Sha256::digest(sheet.csv.as_bytes())[..8].iter().map(|b| format!("{b:02x}")).collect();
    let matching: Vec<&Row> = sheet.rows.iter().filter(|r| number.starts_with(&r.prefix)).collect();
    let row = matching.iter().filter(|r| r.from_ns <= instant && r.to_ns.is_none_or(|to| instant < to)).max_by_key(|r| r.prefix.len());
    let tail = |reason: &str| format!("{},{version},{reason}", sheet.currency);
    let Some(row) = row else {
        return format!(",,,,,{}", tail(if matching.is_empty() { "no_prefix" } else { "not_effective" }));
    };
    if row.blocked {
        return format!("{},{},,{},,{}", row.prefix, row.destination, row.rate, tail("blocked"));
    }
    if answer_ns.is_none() {
        let nothing = format!("{:.1$}", Decimal::ZERO, sheet.places as usize);
        return format!("{},{},0,{},{nothing},{}", row.prefix, row.destination, row.rate, tail("unanswered"));
    }
    let mut seconds = 1;
    while i128::from(seconds) * 1000 < duration_ms {
        seconds += 1;
    }
    let mut billed = row.initial;
    while billed < seconds {
        billed += row.increment;
    }
    let amount = amount(sheet, row, billed);
    format!("{},{},{billed},{},{amount},{}", row.prefix, row.destination, row.rate, tail("rated"))
}

/// A row of calls CSV, and what must come of it.
fn call(random: &mut Random, id: usize, sheets: &[Sheet]) -> (String, String) {
    let account = random.below(4) as usize;
    // Accounts 0 and 1 have decks of their own; the others share the last.
    let sheet = &sheets[account.min(2)];
    let (a, b) = (1 + random.below(15), 1 + random.below(15));
    // No sheet has a prefix that starts with 9.
    let mut to = if random.one_in(20) { "9".to_owned() } else { random.digits(a) };
    let lrn = if random.one_in(10) { random.digits(b) } else { String::new() };
    let second = 1_000_000_000;
    let mut setup = (i128::from(START) + i128::from(random.below(YEAR as u64))) * second + i128::from(random.below(second as u64));
    if random.one_in(2) {
        // A change of price while it rings: where the pricing instant matters.
        let row = random.pick(&sheet.rows);
        let change = row.to_ns.filter(|_| random.one_in(2)).unwrap_or(row.from_ns);
        setup = change - i128::from(random.below(45_000_000_000));
        to = format!("{}{}", row.prefix, random.digits(4));
    }
    let grain = i128::from(*random.pick(&[1u64, 1_000, 1_000_000, 1_000_000_000]));
    let cut = |ns: i128| ns - ns.rem_euclid(grain);
    let setup = cut(setup);
    let answer = (!random.one_in(5)).then(|| setup + cut(i128::from(random.below(40_000_000_000))));
    let longest = *random.pick(&[2_000_000_000u64, 90_000_000_000, 7_200_000_000_000]);
    let end = answer.unwrap_or(setup) + cut(i128::from(random.below(longest)));
    let given = random.one_in(4).then(|| random.below(longest / 1_000_000));
    let duration_ms = given.map_or_else(|| answer.map_or(0, |a| (end - a) / 1_000_000), i128::from);
    let plus = if random.one_in(2) { "+" } else { "" };
    let row = format!(
        "c{id},acc{account},anonymous,{plus}{to},{},{},{},{lrn},{}",
        spell(random, setup),
        answer.map(|ns| spell(random, ns)).unwrap_or_default(),
        spell(random, end),
        given.map(|ms| ms.to_string()).unwrap_or_default(),
    );
    let number = if lrn.is_empty() { to } else { lrn };
    let want = format!("{row},{}", expected(sheet, &number, setup, answer, duration_ms));
    (row, want)
}

#[test]
fn rated_files_equal_an_independent_calculation_to_the_last_character() {
    let mut reasons = std::collections::BTreeMap::new();
    for seed in 0..ROUNDS {
        let mut random = Random(seed);
        let sheets = [sheet(&mut random), sheet(&mut random), sheet(&mut random)];
        let mut decks = Decks::default();
        for (sheet, account) in sheets.iter().zip([Some("acc0"), Some("acc1"), None]) {
            let options = DeckOptions { places: sheet.places, rounding: sheet.rounding, ..DeckOptions::default() };
            let deck = Deck::compile("oracle", sheet.csv.as_bytes(), &options).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            decks.add(account, Arc::new(deck)).expect("once each");
        }
        let (mut input, mut want) = ("call_id,account,from,to,setup,answer,end,lrn,duration_ms\n".to_owned(), Vec::new());
        for id in 0..CALLS_PER_ROUND {
            let (row, rated) = call(&mut random, id, &sheets);
            input += &row;
            input.push('\n');
            want.push(rated);
        }
        let mut output = Vec::new();
        let problem = &mut |p| panic!("seed {seed}: {p}");
        let counts = rate_csv(&decks, input.as_bytes(), &mut output, RateOptions::default(), problem, &mut |_| {});
        assert_eq!(counts.map(|c| c.written()).ok(), Some(CALLS_PER_ROUND as u64), "seed {seed}");
        let output = String::from_utf8(output).expect("text");
        let got: Vec<&str> = output.lines().skip(1).collect();
        assert_eq!(got.len(), want.len(), "seed {seed}");
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "seed {seed}");
            *reasons.entry(want.rsplit(',').next().map(str::to_owned)).or_insert(0u32) += 1;
        }
    }
    println!("{reasons:?}");
    assert!(reasons.len() == 5 && reasons.values().all(|n| *n > 500), "every reason is well tried: {reasons:?}");
}
