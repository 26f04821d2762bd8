//! What a plan charges a call, a file of it is charged.

use std::fs;

use clap::Parser;
use tollgate_proxy::admission::Sell;
use tollgate_rating::rate_file::{RateOptions, rate_csv_on};
use tollgate_schemas::{
    money::{AMOUNT_PLACES, format_scaled},
    number::E164,
    parties::{Parties, Place},
    portability::{NumberSource, Ported, needs_dip},
    terms::LegContext,
    time::format_rfc3339,
};

use super::*;
use crate::{
    cli::made::{HEADER, NUMBERS, RETAIL},
    config::documents::{Compiled, check_together},
};

const SWITCH: &str = "1,US,0.0060,0,1,1,,,0.0040,0.0050,0.0090,,\n33,France,0.0200,0,1,1,,,,,,,\n33,France,0.0110,0,1,1,,,,,,islands,\n";
const PORTED: &str = "number,lrn,state\n12125550111,12015550000,NJ\n12125550112,,NY\n13105550113,12015550001,\n";
const DOCUMENTS: &str = r#"
kind: deck
name: retail
spec:
  file: retail.csv
  lookup_fees: { lrn: "0.0003", toll_free: "0.0002" }
  tariff: { attempt_fee: "0.0001", free_s: 3 }
---
kind: deck
name: switch
spec: { file: switch.csv, currency: EUR, jurisdiction: { caller: routing, indeterminate: highest, invalid_caller: intrastate } }
---
{ kind: account, name: shop, spec: { sell_deck: retail } }
---
{ kind: account, name: north, spec: { sell_deck: switch } }
---
{ kind: number_table, name: us, spec: { file: us.csv } }
---
{ kind: origin_group, name: islands, spec: { members: [{ prefix: "441534" }, { prefix: "441481", until: "2026-11-19" }] } }
---
kind: surcharge
name: eea
spec:
  currency: USD
  decks: [retail]
  rows:
    - { origin_group: non-eea, dest_group: eea, per_minute: "0.25", per_call: "0.01" }
    - { origin_group: islands, dest_group: eea, per_minute: "0.15", from: "2026-11-20" }
    - { origin_group: invalid, dest_group: eea, per_minute: "0.30" }
---
{ kind: surcharge, name: all, spec: { currency: EUR, rows: [{ per_call: "0.002", legs: [sell] }, { per_call: "5", legs: [cost] }] } }
"#;

/// 2026-11-19T00:00:00Z; calls are made in the two days from then on.
const FIRST_US: i64 = 1_795_046_400_000_000;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let (retail, switch) = (format!("{HEADER}{RETAIL}"), format!("{HEADER}{SWITCH}"));
    for (name, text) in [("docs.yaml", DOCUMENTS), ("retail.csv", &retail), ("switch.csv", &switch), ("us.csv", NUMBERS), ("ported.csv", PORTED)] {
        fs::write(folder.path().join(name), text).expect("file");
    }
    folder
}

/// As the command line has it.
fn loaded(folder: &Path, options: &[(&str, &str)]) -> anyhow::Result<Decks> {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut line = vec!["rate".to_owned(), "--calls".to_owned(), "-".to_owned(), "--out".to_owned(), "-".to_owned()];
    line.extend(options.iter().flat_map(|(option, file)| [(*option).to_owned(), path(file)]));
    let args = Cli::try_parse_from(line)?.args;
    add(&args, super::super::decks(&args)?)
}

#[derive(Debug, Clone)]
struct Made {
    account: &'static str,
    from: &'static str,
    to: &'static str,
    lrn: &'static str,
    jip: &'static str,
    source: &'static str,
    setup_us: i64,
    /// Milliseconds after the setup and from the answer on.
    answered: Option<(u32, u32)>,
}

/// Draws that are the same at every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }
}

fn made(draws: &mut Draws) -> Made {
    Made {
        account: draws.of(&["shop", "north"]),
        from: draws.of(&[
            "", "anonymous", "123", "12125550101", "+12015550101", "13105550101", "18005550101", "17875550101", "14165550101", "442071838750", "441534123456",
            "441481123456", "491711234567", "31201234567", "99912345678901", "0123456789",
        ]),
        to: draws.of(&[
            "12125550110", "12125550111", "12125550112", "13105550113", "12015550114", "18005550115", "+17875550116", "14165550117", "33142345678", "33612345678",
            "+442071838750", "861012345678",
        ]),
        lrn: draws.of(&["", "", "", "12015550000", "+12125550000"]),
        jip: draws.of(&["", "", "12015550100", "12125550100"]),
        source: draws.of(&["", "", "dip", "cache", "trusted", "fallback", "none"]),
        setup_us: FIRST_US + draws.below(172_800) as i64 * 1_000_000,
        answered: (draws.below(5) > 0).then(|| (draws.below(90_000_000) as u32, draws.below(400_000) as u32)),
    }
}

fn csv(calls: &[Made]) -> String {
    let mut csv = "call_id,account,from,to,setup,answer,end,lrn,duration_ms,jip,lrn_source\n".to_owned();
    for (at, call) in calls.iter().enumerate() {
        let Made { account, from, to, lrn, jip, source, .. } = call;
        let (answer, ms) = call.answered.map_or((String::new(), String::new()), |(after, ms)| (format_rfc3339(answer_us(call, after)), ms.to_string()));
        csv += &format!("{at},{account},{from},{to},{},{answer},,{lrn},{ms},{jip},{source}\n", format_rfc3339(call.setup_us));
    }
    csv
}

fn answer_us(call: &Made, after_ms: u32) -> i64 {
    call.setup_us + i64::from(after_ms) * 1_000
}

/// What a node's plan charges for the call: the terms of the answer, or of the INVITE of a call that nobody answered.
fn of_plan(plan: &Compiled, ported: &PortedFile, tables: &Tables, call: &Made) -> String {
    let number = |text: &str| E164::parse(text).ok();
    let to = number(call.to).expect("a number");
    let (mut found, mut dipped) = (Ported { lrn: number(call.lrn), ..Ported::default() }, call.source == "dip");
    if call.lrn.is_empty() && call.source.is_empty() && needs_dip(&to) {
        (found, dipped) = (ported.lookup(&to, None, call.setup_us).expect("a file answers").found, true);
    }
    let (a_validity, a) = caller(tables, &NumberPlan::default(), Some(call.from));
    let place = Some(&found.place).filter(|p| **p != Place::default());
    let parties = Parties { a, a_validity, a_routing: number(call.jip), lrn: found.lrn.as_ref(), place, dipped, ..Parties::to(to.digits()) };
    let (at_us, ms) = call.answered.map_or((call.setup_us, 0), |(after, ms)| (answer_us(call, after), ms));
    match plan.plan.routing.sell(call.account, &parties, at_us).sell {
        Sell::Terms(terms) => {
            let leg = if call.answered.is_some() { LegContext::default() } else { LegContext::unanswered(0) };
            format_scaled(terms.lines(at_us, ms.into(), &leg).amount_e8(), AMOUNT_PLACES, terms.places)
        }
        Sell::Blocked(_) | Sell::None => String::new(),
    }
}

fn rated(decks: &Decks, csv: &str, explain: bool) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let problem = &mut |p: tollgate_rating::rate_file::RowProblem| panic!("{p}");
    rate_csv_on(2, decks, csv.as_bytes(), &mut out, RateOptions { explain }, problem, &mut |_| {}).expect("rated");
    let mut reader = csv::Reader::from_reader(&out[..]);
    reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect()
}

#[test]
fn r_25_r_27_r_29_a_file_of_calls_costs_what_a_plan_charges() {
    let folder = folder();
    let decks = loaded(folder.path(), &[("-f", "docs.yaml"), ("--lrn", "ported.csv")]).expect("loads");
    let plan = check_together(&read_documents(&[folder.path().join("docs.yaml")]).expect("documents")).map_err(|p| format!("{p:?}")).expect("a plan");
    let ported = PortedFile::read(PORTED.as_bytes()).expect("a file of the test");
    let tables = Tables::builtin();
    let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
    let calls: Vec<Made> = (0..20_000).map(|_| made(&mut draws)).collect();
    let rows = rated(&decks, &csv(&calls), false);
    assert_eq!(rows.len(), calls.len());
    let mut amounts = std::collections::BTreeSet::new();
    for (call, row) in calls.iter().zip(&rows) {
        assert_eq!(row[15], of_plan(&plan, &ported, &tables, call), "{call:?} {row:?}");
        amounts.insert(&row[15]);
    }
    assert!(amounts.len() > 2_000, "{} different amounts: too few to tell", amounts.len());
    // With quotes somewhere, rows are read the long way.
    assert_eq!(rated(&decks, &csv(&calls[..500]).replacen("\n0,", "\n\"0\",", 1), false), rows[..500]);
}

fn explained(decks: &Decks, cells: &[(&str, &str, &str, &str)]) -> Vec<(String, String)> {
    let mut csv = "call_id,account,from,to,setup,answer,end,lrn,duration_ms\n".to_owned();
    for (account, from, to, lrn) in cells {
        csv += &format!("x,{account},{from},{to},2026-11-20T12:00:00Z,2026-11-20T12:00:00Z,,{lrn},60000\n");
    }
    rated(decks, &csv, true).into_iter().map(|row| (row[13].clone(), row[17].clone())).collect()
}

#[test]
fn r_25_r_27_the_explanation_names_jurisdiction_rule_and_surcharge() {
    let folder = folder();
    let decks = loaded(folder.path(), &[("-f", "docs.yaml"), ("--lrn", "ported.csv")]).expect("loads");
    let lines = explained(&decks, &[
        ("shop", "12125550101", "12125550110", ""),
        ("shop", "12125550101", "12125550111", ""),
        ("shop", "12125550101", "33142345678", ""),
        ("north", "", "12125550110", "12125550000"),
        ("north", "441534123456", "33142345678", ""),
    ]);
    for ((amount, text), (want, parts)) in lines.iter().zip([
        ("0.018400", &["3 s free, 60 s × 0.0180/60", "lrn_dip 0.000300", "; intra (same_state, NY to NY)", "; caller of non-eea"][..]),
        ("0.025400", &["0.0150/60", "; inter (states_differ, NY to NJ)", "; lrn +12015550000"]),
        ("0.295100", &["0.3000/60", "+ eea 0.010000", "; intl (b_outside)", "; surcharge eea 0.2500/60 in the rate"]),
        ("0.007000", &["+ all 0.002000", "; indeterminate (a_missing) at the intra rate", "; caller of invalid"]),
        ("0.013000", &["0.0110/60", "; caller of islands, by its row"]),
    ]) {
        assert!(amount == want && parts.iter().all(|p| text.contains(p)), "{amount}, want {want}: {text}");
    }
}

#[test]
fn decks_of_documents_are_who_their_accounts_say() {
    let folder = folder();
    let one = loaded(folder.path(), &[("--deck", "retail.csv"), ("--number-table", "us.csv")]).expect("loads");
    assert_eq!(explained(&one, &[("anyone", "12015550101", "12125550110", "")])[0].0, "0.015000");
    // Nothing asks for the caller: rows are not looked at for one.
    let plain = format!("{}\n", HEADER.trim_end()) + "1,US,0.0300,0,6,6,,,,,,,\n";
    fs::write(folder.path().join("plain.csv"), plain).expect("file");
    assert!(loaded(folder.path(), &[("--deck", "plain.csv")]).expect("loads").callers().is_none());
    let why = |options: &[(&str, &str)]| loaded(folder.path(), options).map(drop).expect_err("refused").to_string();
    let wrong = DOCUMENTS.replace("sell_deck: switch", "sell_deck: swich").replace("decks: [retail]", "decks: [detail]");
    fs::write(folder.path().join("wrong.yaml"), &wrong).expect("file");
    assert!(why(&[("-f", "wrong.yaml")]).contains("there is no deck 'swich'"), "{}", why(&[("-f", "wrong.yaml")]));
    fs::write(folder.path().join("wrong.yaml"), wrong.replace("swich", "switch")).expect("file");
    assert!(why(&[("-f", "wrong.yaml")]).contains("there is no deck 'detail'"), "{}", why(&[("-f", "wrong.yaml")]));
    let decks: Vec<&str> = DOCUMENTS.split("---").filter(|d| d.contains("kind: deck")).collect();
    fs::write(folder.path().join("decks.yaml"), decks.join("---")).expect("file");
    assert!(why(&[("-f", "decks.yaml")]).contains("2 decks and no account"));
    fs::write(folder.path().join("bad.csv"), "npanxx,state\n21255,NY\n").expect("file");
    assert!(why(&[("--deck", "retail.csv"), ("--number-table", "bad.csv")]).contains("bad.csv: line 2, column npanxx"));
    assert!(why(&[("--deck", "retail.csv"), ("--lrn", "us.csv")]).contains("us.csv: line 1: 'npanxx' is no column"));
}
