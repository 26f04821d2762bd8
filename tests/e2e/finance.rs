//! Finance on a running node, by its command line: calls rated again, invoices and notes, exports that come again, disputes.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{KEY, Node, Setup, Sipp, ms, scenario, tollgate, wait_for},
    ua::{AutoCarrier, Plan},
};

const USA: &str = "12125550100";
const CALLS: usize = 60;
const HEAD: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n";

pub struct Desk<'a> {
    node: &'a Node,
    url: String,
}

impl Desk<'_> {
    pub fn of(node: &Node) -> Desk<'_> {
        Desk { node, url: format!("http://{}", node.api.addr) }
    }

    /// A command's exit code, standard output and error.
    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        let out = tollgate().args(args).args(["--url", &self.url]).env("TOLLGATE_ADMIN_KEY", KEY).output().expect("the program runs");
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let (code, out, err) = self.run(args);
        assert_eq!(code, 0, "{args:?}\n{out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
    }

    #[track_caller]
    pub fn refused(&self, args: &[&str], why: &str) {
        let (code, out, err) = self.run(args);
        assert_eq!(code, 1, "{args:?}\n{out}{err}");
        assert!(err.contains(why), "{why} in: {err}");
    }

    /// A minute to the USA is sold at this price.
    pub fn sell_at(&self, rate: &str) {
        let spec = json!({ "csv": format!("{HEAD}1,usa,{rate},0.01,60,60,2020-01-01\n44,uk,0.12,0,1,1,2020-01-01\n") });
        let (status, said) = self.node.api.put("/v1/decks/sell?reason=corrected", &spec);
        assert_eq!(status, 200, "{said}");
    }

    fn revenue(&self) -> String {
        self.node.api.get("/v1/reports/traffic?group_by=account")["totals"][0]["revenue"].as_str().expect("revenue").to_owned()
    }
}

pub fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn r_45_r_46_fn_12_prices_are_corrected_by_versions_notes_and_files_that_come_again() {
    let mut setup = Setup::new(1);
    (setup.trunk()["channels"], setup.trunk()["cps"], setup.trunk()["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    let plan = Plan { refuses: None, rings_after: ms(20), answers_after: ms(50), hangs_up_after: None };
    let _alpha = AutoCarrier::start("alpha", setup.net.carrier(0), move |_| plan);
    let mut node = Node::start(setup);
    let since = "2020-01-01T00:00:00Z";
    let mut caller = Sipp::caller(scenario!("load"), node.setup.net.caller(), node.sip, USA, CALLS, &["-r", "30", "-l", "1000"]);
    caller.passes();
    wait_for("every CDR", Duration::from_secs(20), || (node.api.items("/v1/cdrs?limit=1000").len() == CALLS).then_some(()));
    let until = node.api.items("/v1/cdrs?limit=1")[0]["end_ts"].as_str().expect("a time").to_owned();
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name);
    let path = |name: &str| at(name).to_str().expect("UTF-8").to_owned();
    let desk = Desk::of(&node);
    // Each call is a minute: 0.06 and 0.01.
    assert_eq!(desk.revenue(), "4.200000");

    // FN-12: what is exported now comes again later, whatever was corrected since.
    let period = ["--from", since, "--until", "2100-01-01"];
    let export = |name: &str, more: &[&str]| desk.json(&[&["export", "cdrs", "--json", "--out", &path(name)][..], &period, more].concat());
    let manifest = export("before.csv", &[]);
    assert_eq!((manifest["rows"].as_u64(), &manifest["sums"]["USD"]["sell_amount"]), (Some(CALLS as u64), &json!("4.200000")));

    // FN-01: an invoice, and its calls.
    let bills = path("bills");
    let bill = ["invoice", "--account", "acme", "--from", since, "--until", &until, "--series", "t", "--freeze-days", "0", "--json", "--out", &bills];
    let draft = desk.json(&with(&bill, &["--dry-run"]));
    assert_eq!((&draft["draft"], &draft["number"], &draft["total"]), (&json!(true), &json!("t-1"), &json!("4.20")));
    let invoice = desk.json(&bill);
    assert_eq!(invoice["lines"][0]["calls"].as_u64(), Some(CALLS as u64));
    let issued = read(&at("bills/t-1.json"));
    assert!(read(&at("bills/t-1.html")).len() > 1_000 && read(&at("bills/t-1.cdrs.csv")).iter().filter(|b| **b == b'\n').count() == CALLS + 1);
    desk.refused(&bill, "has some of this period already");

    // R-45: a wrong price is corrected.
    desk.sell_at("0.05");
    let rerate = [&["rerate", "--json"][..], &period].concat();
    let dry = desk.json(&with(&rerate, &["--out", &path("diff.csv")]));
    assert_eq!((dry["calls"].as_u64(), dry["changed"].as_u64(), &dry["applied"]), (Some(CALLS as u64), Some(CALLS as u64), &json!(false)));
    assert_eq!((&dry["summary"][0]["old_amount"], &dry["summary"][0]["new_amount"], &dry["summary"][0]["delta"]), (&json!("4.200000"), &json!("3.600000"), &json!("-0.600000")));
    assert_eq!(String::from_utf8_lossy(&read(&at("diff.csv"))).lines().count(), CALLS + 1);
    assert_eq!(desk.revenue(), "4.200000", "a dry run changes nothing");
    desk.refused(&with(&rerate, &["--apply"]), "--reason");
    let done = desk.json(&with(&rerate, &["--apply", "--reason", "0.05 was agreed"]));
    assert_eq!((done["changed"].as_u64(), done["refused"].as_u64()), (Some(CALLS as u64), Some(0)));
    assert_eq!(desk.revenue(), "3.600000", "sums show the newest versions only");
    let again = desk.json(&with(&rerate, &["--apply", "--reason", "0.05 was agreed"]));
    assert_eq!(again["changed"].as_u64(), Some(0), "a second run changes nothing");
    let row = &node.api.items("/v1/cdrs?limit=1")[0];
    assert_eq!((&row["cdr_version"], &row["rerate_reason"], &row["sell_amount"], &row["sell_rate"]), (&json!(2), &json!("0.05 was agreed"), &json!("0.060000"), &json!("0.0500")));
    let known = desk.json(&with(&rerate, &["--known-at", &until]));
    assert_eq!(known["summary"][0]["new_amount"], json!("4.200000"), "by the prices known then it is what it was");

    let old = manifest["as_of"].as_str().expect("a position");
    let same = export("again.csv", &["--as-of", old]);
    assert_eq!((&same["sha256"], read(&at("again.csv"))), (&manifest["sha256"], read(&at("before.csv"))));
    let now = export("now.parquet", &[]);
    assert_eq!(now["sums"]["USD"]["sell_amount"], json!("3.600000"));

    // R-46: the invoiced period gets a note, and the invoice stays.
    let note = desk.json(&["invoice", "note", "--invoice", "t-1", "--reason", "0.05 was agreed", "--batch", done["batch"].as_str().expect("batch"), "--json", "--out", &path("bills")]);
    assert_eq!((&note["kind"], &note["number"], &note["invoice"]), (&json!("credit_note"), &json!("t-2"), &json!("t-1")));
    assert_eq!(note["total"], json!("0.60"), "a cent a call");
    desk.refused(&["invoice", "note", "--invoice", "t-1", "--reason", "again"], "nothing of invoice t-1 has changed");
    desk.refused(&["invoice", "note", "--invoice", "t-1", "--reason", "too much", "--amount", "4"], "more than the");
    desk.json(&["invoice", "show", "t-1", "--json", "--out", &path("shown")]);
    assert_eq!(read(&at("shown/t-1.json")), issued, "byte for byte");
    assert_eq!(read(&at("shown/t-1.cdrs.csv")), read(&at("bills/t-1.cdrs.csv")));

    // The file of the node's own CDRs, priced with a sheet and nothing running.
    std::fs::write(at("sheet.csv"), format!("{HEAD}1,usa,0.06,0.01,60,60,2020-01-01\n")).expect("file");
    let offline = tollgate().args(["rerate", "--cdrs", &path("now.parquet"), "--deck", &path("sheet.csv"), "--side", "sell", "--json", "--out", &path("offline.parquet")]).output().expect("runs");
    let offline: Value = serde_json::from_slice(&offline.stdout).expect("JSON");
    assert_eq!((offline["changed"].as_u64(), &offline["summary"][0]["delta"]), (Some(CALLS as u64), &json!("0.600000")));

    // A restart: the books are there; the log is sound, and the rater gives all of it again.
    node.stop();
    node.log_is_sound_and_replays();
    node.restart();
    let desk = Desk::of(&node);
    let list = desk.json(&["invoice", "list", "--json"]);
    assert_eq!(list.as_array().expect("documents").iter().map(|d| d["number"].as_str().expect("number")).collect::<Vec<_>>(), ["t-1", "t-2"]);
}

#[test]
fn r_47_r_48_a_carriers_file_is_compared_and_its_dispute_goes_its_way() {
    let mut setup = Setup::new(1);
    (setup.trunk()["channels"], setup.trunk()["cps"], setup.trunk()["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    let plan = Plan { refuses: None, rings_after: ms(20), answers_after: ms(50), hangs_up_after: None };
    let _alpha = AutoCarrier::start("alpha", setup.net.carrier(0), move |_| plan);
    let node = Node::start(setup);
    let mut caller = Sipp::caller(scenario!("load"), node.setup.net.caller(), node.sip, USA, CALLS, &["-r", "30", "-l", "1000"]);
    caller.passes();
    wait_for("every CDR", Duration::from_secs(20), || (node.api.items("/v1/cdrs?limit=1000&record_type=attempt").len() == CALLS).then_some(()));
    let dir = tempfile::tempdir().expect("folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    // The carrier's file: its own layout, three hours ahead, and a price a third higher.
    let mut theirs = "CallType;StartTime;CallDuration;BasePrice;CallPrice;CallerID;DialedNumber\n".to_owned();
    for row in node.api.items("/v1/cdrs?limit=1000&record_type=attempt") {
        let answer: i64 = tollgate_schemas::time::parse_rfc3339(row["answer_ts"].as_str().expect("answered")).expect("a time");
        let there = tollgate_schemas::time::format_rfc3339(answer + 3 * 3_600_000_000)[..19].replace('T', " ");
        let seconds = row["duration_ms"].as_u64().expect("ms").div_ceil(1000);
        // 0.04 a minute instead of 0.03; six places.
        let price = (40_000 * seconds + 30) / 60;
        theirs.push_str(&format!("O;{there};{seconds};0,04;0,{price:06};{};00{}\n", row["a_number_e164"].as_str().expect("a"), row["b_number_e164"].as_str().expect("b")));
    }
    std::fs::write(dir.path().join("theirs.cdr"), theirs).expect("file");
    let desk = Desk::of(&node);
    let args = [
        "reconcile", "--ours", "api", "--from", "2020-01-01", "--until", "2100-01-01", "--carrier", "alpha", "--theirs", &path("theirs.cdr"), "--out", &path("result"),
        "--dispute-least", "0.001", "--bill-date", "2026-01-31", "--json", "--submit",
    ];
    let (code, out, err) = desk.run(&args);
    assert_eq!(code, 1, "they differ: {out}{err}");
    let summary: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&summary["classes"]["exact"]["calls"], summary["causes"].as_object().expect("causes").keys().map(String::as_str).collect::<Vec<_>>()), (&json!(CALLS), vec!["rate"]), "{summary}");
    assert!(summary["clock"]["seconds_ahead"].as_str().expect("clock").starts_with("10799") || summary["clock"]["seconds_ahead"].as_str().expect("clock").starts_with("10800"), "{}", summary["clock"]);

    let id = summary["dispute"].as_str().expect("a dispute").to_owned();
    let list = desk.json(&["dispute", "list", "--json"]);
    assert_eq!((&list[0]["id"], &list[0]["state"], &list[0]["deadline"]), (&json!(id), &json!("draft"), &json!("2026-03-02")));
    desk.refused(&["dispute", "step", &id, "--to", "accepted"], "from there it goes to sent, closed");
    // FN-05: its last day has passed.
    desk.refused(&["dispute", "step", &id, "--to", "sent"], "the last day to raise it was 2026-03-02");
    for (to, more) in [("sent", "--late-override"), ("acknowledged", "--note=seen"), ("accepted", "--credit=0.01"), ("closed", "--note=paid")] {
        let (code, out, err) = desk.run(&["dispute", "step", &id, "--to", to, more]);
        assert_eq!(code, 0, "{to}: {out}{err}");
    }
    assert_eq!(desk.json(&["dispute", "list", "--json"])[0]["state"], json!("closed"));
}
