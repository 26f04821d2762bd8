//! What a plan charged a call, a re-rating of its CDR in a file charges it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use clap::Parser;
use prost::Message as _;
use tollgate_proxy::{
    admission::{Sell, Tables, caller},
    routing::Plan,
};
use tollgate_rating::mediation::Rater;
use tollgate_schemas::{
    cdr::{COLUMNS, Column, Cdr},
    control::NumberPlan,
    event::{Body, Origin},
    id::Mint,
    log::Topic,
    money::parse_scaled,
    number::E164,
    parties::{Parties, Place},
    stage::{Outputs, Stage as _},
    time::Now,
    v1::{CallAnswered, CallAttemptEnded, CallAttempted, CallEnded, CallFacts, CallRouteTried, Event, Personal},
};
use tollgate_store::cdr_file::CdrWriter;

use super::*;
use crate::{
    cli::made::{HEADER, NUMBERS, RETAIL},
    config::documents::{check_together, read_documents},
};

const SWITCH: &str = "1,US,0.0060,0,1,1,,,0.0040,0.0050,0.0090,,\n33,France,0.0200,0,1,1,,,,,,,\n33,France,0.0110,0,1,1,,,,,,islands,\n44,UK,0.0300,0,1,1,,,,,,,\n";
const ALPHA: &str = "1,US,0.0030,0,1,1,,,0.0020,0.0025,0.0070,,\n33,France,0.0080,0,1,1,,,,,,,\n33,France,0.0060,0,1,1,,,,,,eea,\n44,UK,0.0100,0,1,1,,2026-11-20,,,,,\n44,UK,0.0120,0,1,1,2026-11-20,,,,,,\n";
const BETA: &str = "1,US,0.0031,0.001,6,6,,,0.0021,0.0026,,,\n336,France mobile,0.0180,0,1,1,,,,,,,\n44,UK,0.0110,0,30,6,,,,,,,\n";
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
{ kind: deck, name: alpha, spec: { file: alpha.csv, tariff: { attempt_fee: "0.0005" } } }
---
{ kind: deck, name: beta, spec: { file: beta.csv, jurisdiction: { indeterminate: intrastate } } }
---
{ kind: account, name: shop, spec: { sell_deck: retail } }
---
{ kind: account, name: branch, spec: { sell_deck: retail, parent: shop } }
---
{ kind: account, name: north, spec: { sell_deck: switch } }
---
{ kind: carrier, name: alpha, spec: { addresses: ["192.0.2.1:5060"], deck: alpha } }
---
{ kind: carrier, name: beta, spec: { addresses: ["192.0.2.2:5060"], deck: beta } }
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
---
{ kind: surcharge, name: all, spec: { currency: EUR, rows: [{ per_call: "0.002", legs: [sell] }, { per_call: "0.003", legs: [cost] }] } }
---
{ kind: surcharge, name: buy, spec: { currency: USD, decks: [beta], rows: [{ origin_group: non-eea, per_minute: "0.001", per_call: "0.0004", legs: [cost] }] } }
"#;

/// 2026-11-19T00:00:00Z; calls are made in the two days from then on.
const FIRST_US: i64 = 1_795_046_400_000_000;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn folder(changes: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for (name, text) in [("docs.yaml", DOCUMENTS), ("retail.csv", RETAIL), ("switch.csv", SWITCH), ("alpha.csv", ALPHA), ("beta.csv", BETA), ("us.csv", NUMBERS)] {
        let mut text = if name.ends_with(".csv") && name != "us.csv" { format!("{HEADER}{text}") } else { text.to_owned() };
        for (_, from, to) in changes.iter().filter(|(file, ..)| *file == name) {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        fs::write(folder.path().join(name), text).expect("file");
    }
    folder
}

fn plan(folder: &Path) -> Plan {
    let documents = read_documents(&[folder.join("docs.yaml")]).expect("documents");
    check_together(&documents).map_err(|p| format!("{p:?}")).expect("a plan").plan
}

/// What `tollgate rerate --cdrs` with these options comes to, and the rows of its difference.
fn rerated(folder: &Path, cdrs: &Path, options: &[&str]) -> anyhow::Result<(Outcome, Vec<Vec<String>>)> {
    let out = folder.join("diff.csv");
    let path = |word: &&str| if word.starts_with('-') || !word.contains('.') { (*word).to_owned() } else { at_folder(folder, word) };
    let mut line: Vec<String> = ["rerate", "--cdrs", &cdrs.display().to_string(), "--out", &out.display().to_string()].map(str::to_owned).to_vec();
    line.extend(options.iter().map(path));
    let args = Cli::try_parse_from(line)?.args;
    let mut sink = Some(Diff::create(&out)?);
    let done = walk(&args, cdrs, &mut sink)?;
    sink.expect("a file").finish()?;
    let mut reader = csv::Reader::from_path(&out)?;
    let rows = reader.records().map(|row| Ok(row?.iter().map(str::to_owned).collect())).collect::<anyhow::Result<_>>()?;
    Ok((done, rows))
}

/// `shop=retail.csv` or `retail.csv`, in the folder.
fn at_folder(folder: &Path, word: &str) -> String {
    let (who, file) = word.split_once('=').map_or((String::new(), word), |(who, file)| (format!("{who}="), file));
    format!("{who}{}", folder.join(file).display())
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

    fn of<T: Copy>(&mut self, words: &[T]) -> T {
        words[self.below(words.len() as u64) as usize]
    }
}

#[derive(Debug)]
struct Made {
    account: &'static str,
    from: &'static str,
    to: &'static str,
    lrn: &'static str,
    source: &'static str,
    /// Where the look-up says the number is.
    state: &'static str,
    carriers: Vec<&'static str>,
    setup_us: i64,
    rings: bool,
    /// Milliseconds from the last attempt's INVITE to its answer, and from then on.
    answered: Option<(u64, u64)>,
    /// The first carrier answers after it was given up, for so long.
    late_ms: Option<u64>,
}

fn made(draws: &mut Draws) -> Made {
    let lrn = draws.of(&["", "", "12015550000", "12125550000", "13105550000"]);
    let answered = (draws.below(5) > 0).then(|| (draws.below(90_000), draws.below(400_000)));
    let carriers = draws.of(&[&["alpha"][..], &["beta"], &["alpha", "beta"], &["beta", "alpha"]]).to_vec();
    Made {
        account: draws.of(&["shop", "branch", "north"]),
        from: draws.of(&[
            "", "anonymous", "123", "12125550101", "+12015550101", "13105550101", "18005550101", "17875550101", "14165550101", "442071838750", "441534123456",
            "441481123456", "491711234567", "31201234567", "99912345678901", "0123456789",
        ]),
        to: draws.of(&["12125550110", "12125550111", "13105550113", "12015550114", "18005550115", "17875550116", "14165550117", "33142345678", "33612345678", "442071838750"]),
        source: if lrn.is_empty() { draws.of(&["", "dip", "fallback", "none"]) } else { draws.of(&["dip", "cache", "trusted"]) },
        state: if lrn.starts_with("1310") { draws.of(&["", "NY", "CA"]) } else { "" },
        lrn,
        setup_us: FIRST_US + draws.below(172_800) as i64 * 1_000_000,
        rings: draws.below(2) == 0,
        answered,
        late_ms: (carriers.len() > 1 && draws.below(3) == 0).then(|| draws.below(5_000)),
        carriers,
    }
}

/// One call's events into a rater of its own.
struct Story<'m> {
    mint: &'m Mint,
    rater: Rater,
    offset: u64,
    out: Outputs,
    call: Vec<u8>,
}

impl Story<'_> {
    fn write(&mut self, at_us: i64, personal: Option<Personal>, body: Body) {
        let now = Now { utc_us: at_us, mono_ns: 5_000_000_000 + (at_us - FIRST_US) as u64 * 1_000 };
        let event = Event { personal, ..Event::born(Origin { mint: self.mint, boot_id: 7, now, control_position: 3 }, "root", body) };
        if self.call.is_empty() {
            self.call = event.id().to_vec();
        }
        self.rater.apply(self.offset, &event, &mut self.out).expect("no poison");
        self.offset += 1;
    }
}

/// The call as the plan sells and costs it, event by event; its rows. Nothing of one that nobody sells or carries.
fn rows(plan: &Plan, tables: &Tables, mint: &Mint, call: &Made) -> Option<Vec<Cdr>> {
    let number = |text: &str| E164::parse(text).ok();
    let (to, lrn) = (number(call.to)?, number(call.lrn));
    let place = Place { state: call.state.to_owned(), ..Place::default() };
    let (a_validity, a) = caller(tables, &NumberPlan::default(), Some(call.from));
    let parties = Parties { a, a_validity, lrn: lrn.as_ref(), place: (!call.state.is_empty()).then_some(&place), dipped: call.source == "dip", ..Parties::to(to.digits()) };
    let sale = plan.routing.sell(call.account, &parties, call.setup_us);
    let Sell::Terms(sell) = sale.sell else { return None };
    let cost = |carrier: &str, at_us: i64| plan.routing.cost(plan.policy.carrier_named(carrier)?, &parties, at_us);
    let mut facts = CallFacts {
        account: call.account.into(), root_account: "root".into(), trunk: "pbx".into(), a_validity: a_validity.name().into(), b_dest_group: sell.destination.clone(),
        b_valid: true, lrn: call.lrn.into(), lrn_source: call.source.into(), ..CallFacts::default()
    };
    sale.geography.describe(&mut facts);
    let told = Personal { a_raw: call.from.into(), a_e164: a.map_or(String::new(), |a| a.digits().to_owned()), b_raw: call.to.into(), b_e164: call.to.into(), ..Personal::default() };
    let mut story = Story { mint, rater: Rater::new(5, 9), offset: 100, out: Outputs::default(), call: Vec::new() };
    story.write(call.setup_us, Some(told), Body::CallAttempted(CallAttempted { facts: Some(facts), sell: Some(sell), tiers: sale.tiers, ..CallAttempted::default() }));
    let (call_id, attempts) = (story.call.clone(), call.carriers.len() as u32);
    let ended = CallEnded { call_id: call_id.clone(), account: call.account.into(), attempts, duration_confidence: "exact".into(), end_reason: "normal".into(), ..CallEnded::default() };
    let mut at_us = call.setup_us;
    for (no, carrier) in (1..).zip(&call.carriers) {
        at_us += 5_000;
        let tried = CallRouteTried { call_id: call_id.clone(), attempt_no: no, carrier: (*carrier).into(), cost: Some(cost(carrier, at_us)?), rank: no, ..CallRouteTried::default() };
        story.write(at_us, None, Body::CallRouteTried(tried));
        let (first_18x_us, first_18x_code) = if call.rings { (at_us + 200_000, 180) } else { (0, 0) };
        let attempt = CallAttemptEnded { call_id: call_id.clone(), attempt_no: no, carrier: (*carrier).into(), first_18x_us, first_18x_code, ..CallAttemptEnded::default() };
        match call.answered.filter(|_| no == attempts) {
            None => {
                at_us += 700_000;
                story.write(at_us, None, Body::CallAttemptEnded(CallAttemptEnded { sip_code: 486, ..attempt }));
            }
            Some((after_ms, duration_ms)) => {
                at_us += 200_000 + after_ms as i64 * 1_000;
                let (sell, tiers) = plan.routing.sell_at(call.account, &parties, at_us)?;
                let body = CallAnswered { call_id: call_id.clone(), attempt_no: no, sell: Some(sell), cost: Some(cost(carrier, at_us)?), code: 200, account: call.account.into(), carrier: (*carrier).into(), tiers, ..CallAnswered::default() };
                story.write(at_us, None, Body::CallAnswered(body));
                at_us += duration_ms as i64 * 1_000;
                story.write(at_us, None, Body::CallAttemptEnded(CallAttemptEnded { sip_code: 200, duration_ms, ..attempt }));
                story.write(at_us, None, Body::CallEnded(CallEnded { disposition: "answered".into(), sip_code: 200, duration_ms, answered_attempt: no, ..ended.clone() }));
            }
        }
    }
    if call.answered.is_none() {
        story.write(at_us, None, Body::CallEnded(CallEnded { disposition: "busy".into(), sip_code: 486, ..ended }));
    }
    if let Some(duration_ms) = call.late_ms {
        let carrier = call.carriers[0];
        // Across a day's end the late answer's price is another day's than its INVITE's.
        if cost(carrier, at_us + 3_000_000) == cost(carrier, call.setup_us) {
            let late = CallAttemptEnded { call_id, attempt_no: 1, carrier: carrier.into(), sip_code: 200, late_answer: true, local_cause: "LOCAL_LATE_ANSWER".into(), duration_ms, ..CallAttemptEnded::default() };
            story.write(at_us + duration_ms as i64 * 1_000 + 1_000_000, None, Body::CallAttemptEnded(late));
        }
    }
    // The newest version of each row.
    let mut newest: BTreeMap<(bool, u32), Cdr> = BTreeMap::new();
    for append in story.out.appends.iter().filter(|a| a.topic == Topic::Cdrs) {
        let Some(Body::CdrWritten(written)) = &append.event.body else { continue };
        let row = Cdr::decode(written.cdr.as_slice()).expect("a CDR");
        newest.insert((row.is_final(), row.attempt_no), row);
    }
    assert_eq!(newest.len(), call.carriers.len() + 1, "{call:?}");
    Some(newest.into_values().collect())
}

fn all_rows(plan: &Plan, calls: &[Made]) -> Vec<Arc<Cdr>> {
    let (tables, mint) = (Tables::builtin(), Mint::new(7, 1));
    calls.iter().filter_map(|call| rows(plan, &tables, &mint, call)).flatten().map(Arc::new).collect()
}

fn written(folder: &Path, rows: &[Arc<Cdr>], columns: &[&'static Column]) -> PathBuf {
    let path = folder.join("month.parquet");
    let mut writer = CdrWriter::create(&path, columns).expect("file");
    writer.write(rows).expect("rows");
    writer.finish().expect("finished");
    path
}

fn every_column() -> Vec<&'static Column> {
    COLUMNS.iter().collect()
}

fn calls(count: usize) -> Vec<Made> {
    let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
    (0..count).map(|_| made(&mut draws)).collect()
}

#[test]
fn r_45_r_25_r_27_r_29_unchanged_documents_change_nothing_and_a_changed_price_just_its_rows() {
    let (was, calls) = (folder(&[]), calls(6_000));
    let before = all_rows(&plan(was.path()), &calls);
    let some = |what: &str, least: usize, has: &dyn Fn(&Cdr) -> bool| {
        let found = before.iter().filter(|r| has(r)).count();
        assert!(found >= least, "{found} rows with {what}: too few to tell");
    };
    some("a look-up's fee", 300, &|r| r.is_final() && r.dip_fees != 0);
    some("a surcharge", 200, &|r| r.is_final() && !r.sell_surcharges.is_empty());
    some("a state by its look-up alone", 50, &|r| r.is_final() && r.lrn.starts_with("1310") && r.jurisdiction == "inter");
    some("an account above", 500, &|r| r.is_final() && !r.tier_amounts.is_empty());
    some("an attempt's fee", 200, &|r| !r.is_final() && r.disposition != "answered" && r.cost_amount != 0);
    some("a late answer", 100, &|r| r.end_reason == "late_answer");
    some("a carrier's surcharge", 200, &|r| !r.is_final() && !r.cost_surcharges.is_empty());
    assert!(before.iter().all(|r| r.rating_status != "error"));
    for jurisdiction in ["inter", "intra", "indeterminate", "intl"] {
        some(jurisdiction, 200, &|r| r.is_final() && r.jurisdiction == jurisdiction);
    }
    let file = written(was.path(), &before, &every_column());
    let (done, changes) = rerated(was.path(), &file, &["-f", "docs.yaml"]).expect("priced");
    assert_eq!((changes.first(), done.changed, done.problems, done.left_out), (None, 0, 0, 0));
    assert_eq!(done.calls, before.iter().filter(|r| r.is_final()).count() as u64);

    let changed = folder(&[("retail.csv", "0.0180,0.0250", "0.0170,0.0250"), ("beta.csv", "0.0026", "0.0027"), ("docs.yaml", "lrn: \"0.0003\"", "lrn: \"0.0004\"")]);
    let after: BTreeMap<(Vec<u8>, bool, u32), Arc<Cdr>> =
        all_rows(&plan(changed.path()), &calls).into_iter().map(|r| ((r.call_uuid.clone(), r.is_final(), r.attempt_no), r)).collect();
    let amount = |r: &Cdr| if r.is_final() { r.sell_amount } else { r.cost_amount };
    let mut expected = Vec::new();
    for old in &before {
        let new = &after[&(old.call_uuid.clone(), old.is_final(), old.attempt_no)];
        let above = |r: &Cdr| tiers::read(&r.tier_amounts).into_iter().filter(|_| r.is_final()).map(|t| t.amount_e8).collect::<Vec<_>>();
        let (was, is) = ([vec![amount(old)], above(old)].concat(), [vec![amount(new)], above(new)].concat());
        for (was, is) in was.into_iter().zip(is).filter(|(was, is)| was != is) {
            expected.push((Id::of(&old.call_uuid).to_string(), old.record_type.clone(), old.attempt_no.to_string(), was, is));
        }
    }
    let (done, changes) = rerated(changed.path(), &file, &["-f", "docs.yaml"]).expect("priced");
    let e8 = |text: &str| parse_scaled(text, 8).expect("money");
    let told: Vec<_> = changes.iter().map(|c| (c[0].clone(), c[1].clone(), c[2].clone(), e8(&c[10]), e8(&c[11]))).collect();
    assert!(expected.len() > 500 && expected.iter().any(|e| e.1 == "attempt"), "{}", expected.len());
    let row_of = |e: &(String, String, String, i64, i64)| before.iter().find(|r| Id::of(&r.call_uuid).to_string() == e.0 && r.record_type == e.1 && r.attempt_no.to_string() == e.2);
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!(told, expected, "{:?}", row_of(expected));
    }
    assert_eq!((told.len(), done.changed), (expected.len(), expected.len() as u64));
    let sum = |rows: &[(String, String, String, i64, i64)]| rows.iter().map(|r| i128::from(r.4 - r.3)).sum::<i128>();
    assert_eq!(done.summary.rows.values().map(|t| t.new_e8 - t.old_e8).sum::<i128>(), sum(&expected));
    let of_shop = changes.iter().filter(|c| c[1] == "final" && c[4] == "shop").count();
    assert!(of_shop > changes.iter().filter(|c| c[1] == "final" && c[4] == "branch").count() + 100, "shop pays for branch's calls too (R-20)");
    let (_, own) = rerated(changed.path(), &file, &["-f", "docs.yaml", "--account", "shop", "--side", "sell"]).expect("priced");
    assert_eq!((own.len(), own.iter().all(|c| c[4] == "shop")), (of_shop, true));
    // The called number alone says something else: what this is for.
    let (plain, _) = rerated(was.path(), &file, &["--deck", "retail.csv", "--account", "shop"]).expect("priced");
    assert!(plain.changed > 300, "{}", plain.changed);
}

#[test]
fn r_25_prices_by_the_callers_switch_go_by_the_ani_and_are_counted() {
    let (folder, calls) = (folder(&[]), calls(500));
    let rows = all_rows(&plan(folder.path()), &calls);
    let file = written(folder.path(), &rows, &every_column());
    let by_switch = rows.iter().filter(|r| r.is_final() && r.account == "north" && matches!(r.jurisdiction.as_str(), "inter" | "intra" | "indeterminate")).count();
    let (done, _) = rerated(folder.path(), &file, &["-f", "docs.yaml"]).expect("priced");
    assert!(by_switch > 50);
    assert_eq!(done.by_ani, by_switch as u64);
    assert_eq!(rerated(folder.path(), &file, &["-f", "docs.yaml", "--account", "shop"]).expect("priced").0.by_ani, 0);
}

#[test]
fn r_45_sheets_price_by_jurisdiction_with_a_number_table() {
    let folder = folder(&[]);
    let row = |a: &str| {
        Arc::new(Cdr {
            call_uuid: vec![a.len() as u8; 16], record_type: "final".into(), account: "anyone".into(), a_number_e164: a.into(), a_validity: if a.is_empty() { "missing" } else { "valid" }.into(),
            b_number_e164: "12125550110".into(), disposition: "answered".into(), rating_status: "rated".into(), invite_ts: FIRST_US, answer_ts: Some(FIRST_US), duration_ms: 60_000,
            sell_currency: "USD".into(), sell_amount: 1_800_000, cdr_version: 1, ..Cdr::default()
        })
    };
    // Within New York at the sheet's price, from New Jersey, from nobody.
    let file = written(folder.path(), &[row("12125550101"), row("+12015550101"), row("")], &every_column());
    let news = |options: &[&str]| rerated(folder.path(), &file, options).expect("priced").1.into_iter().map(|r| r[11].clone()).collect::<Vec<_>>();
    assert_eq!(news(&["--deck", "retail.csv", "--number-table", "us.csv"]), ["0.015000", "0.025000"]);
    assert_eq!(news(&["--deck", "anyone=retail.csv"]), ["0.020000", "0.020000", "0.020000"], "a number's plain price");
    let (done, _) = rerated(folder.path(), &file, &["-f", "docs.yaml"]).expect("priced");
    assert_eq!((done.left_out, done.changed), (0, 0), "no deck priced them: they stay");
    let why = |options: &[&str]| rerated(folder.path(), &file, options).map(drop).expect_err("refused").to_string();
    assert!(why(&["-f", "docs.yaml", "--deck", "shop=retail.csv"]).contains("account 'shop' has a deck in the documents"));
    assert!(why(&["-f", "docs.yaml", "--carrier-deck", "alpha=alpha.csv"]).contains("carrier 'alpha' has a deck in the documents"));
    assert!(why(&[]).contains("-f DOCUMENTS"));
    fs::write(folder.path().join("bad.csv"), "npanxx,state\n21255,NY\n").expect("file");
    assert!(why(&["--deck", "retail.csv", "--number-table", "bad.csv"]).contains("bad.csv: line 2, column npanxx"));
}

#[test]
fn r_45_a_file_of_before_the_column_table_grew_is_priced() {
    let (folder, mut calls) = (folder(&[]), calls(1_000));
    // Of what such a file does not tell these calls have nothing.
    calls.iter_mut().for_each(|c| (c.lrn, c.source, c.state) = ("", "", ""));
    let rows = all_rows(&plan(folder.path()), &calls);
    let old: Vec<&'static Column> = COLUMNS.iter().filter(|c| c.since <= 1).collect();
    assert!(old.len() < 100 && old.iter().all(|c| c.name != "lrn"), "{}", old.len());
    let file = written(folder.path(), &rows, &old);
    let accounts: BTreeSet<&str> = rows.iter().map(|r| r.account.as_str()).collect();
    let (done, changes) = rerated(folder.path(), &file, &["-f", "docs.yaml"]).expect("priced");
    assert_eq!((changes.first(), done.changed, done.problems, accounts.len()), (None, 0, 0, 3));
    // The command itself: plain sheets need no more than they did.
    fs::write(folder.path().join("plain.csv"), format!("{HEADER}1,US,0.0300,0,6,6,,,,,,,\n33,France,0.0500,0,1,1,,,,,,,\n44,UK,0.0400,0,1,1,,,,,,,\n")).expect("file");
    let (file, sheet) = (file.display().to_string(), at_folder(folder.path(), "plain.csv"));
    let out = at_folder(folder.path(), "plain.parquet");
    let args = Cli::try_parse_from(["rerate", "--cdrs", &file, "--deck", &sheet, "--side", "sell", "--json", "--out", &out]).expect("a command").args;
    assert!(run(&args, Path::new(&file)).is_ok_and(|done| matches!(done, Done::Yes)));
    assert!(fs::metadata(&out).expect("a file").len() > 0);
}
