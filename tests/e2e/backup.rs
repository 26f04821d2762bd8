//! A backup of a node under load, restored into another folder: the same facts, a sound log, and a node that goes on from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{KEY, Node, Setup, Sipp, check, ms, scenario, tollgate, wait_for},
    ua::{AutoCarrier, Plan, Ua, invite},
};

const USA: &str = "12125550100";
const UK: &str = "442079460100";
const CALLS: usize = 1_000;
const CPS: usize = 100;

/// Every final CDR by its call, without its processing time.
fn finals(node: &Node) -> BTreeMap<String, Value> {
    let text = node.api.text("/v1/cdrs?record_type=final&format=jsonl");
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row.as_object_mut().expect("a row").remove("ingest_ts");
        (row["call_uuid"].as_str().expect("id").to_owned(), row)
    };
    text.lines().map(row).collect()
}

fn run(args: &[&str], path: &Path) -> Output {
    tollgate().args(args).arg(path).env("TOLLGATE_ADMIN_KEY", KEY).output().expect("the program runs")
}

#[track_caller]
fn done(output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}{err}", output.status);
    serde_json::from_str(&out).unwrap_or(Value::Null)
}

/// It said no, and why; nothing is there.
#[track_caller]
fn refused(output: &Output, why: &[&str]) {
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(why.iter().all(|w| err.contains(w)), "{why:?} in: {err}");
    println!("refused: {}", err.trim());
}

/// Ids of a topic's events.
fn ids(data: &Path, topic: &str) -> Vec<String> {
    let out = run(&["log", "tail", topic, "--json", "--data"], data);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let id = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_str().expect("id").to_owned();
    String::from_utf8_lossy(&out.stdout).lines().map(id).collect()
}

fn backup(source: &[&str], to: &Path) -> Output {
    run(&[&["backup", "--json"], source, &["--out"]].concat(), to)
}

fn restore(file: &Path, data: &Path) -> Output {
    run(&["restore", "--json", "--from", file.to_str().expect("UTF-8"), "--data"], data)
}

#[test]
fn a_backup_taken_under_load_is_restored_into_a_node_that_says_the_same_and_goes_on() {
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name);
    let (file, data) = (at("taken"), at("restored"));
    let mut setup = Setup::new(1).timer("t1_ms", 100).timer("pdd_ms", 4_000).timer("no_answer_ms", 8_000);
    (setup.trunk()["channels"], setup.trunk()["cps"], setup.trunk()["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    let plan = Plan { refuses: None, rings_after: ms(30), answers_after: ms(100), hangs_up_after: None };
    let _alpha = AutoCarrier::start("alpha", setup.net.carrier(0), move |_| plan);
    let mut node = Node::start(setup.clone());
    let (status, block) = node.api.post("/v1/blocks", &json!({ "scope": { "b_number": "12125550666" }, "reason": "a number nobody wants" }));
    assert_eq!(status, 201, "{block}");
    let rate = CPS.to_string();
    let mut caller = Sipp::caller(scenario!("load"), node.setup.net.caller(), node.sip, USA, CALLS, &["-r", &rate, "-l", "10000"]);
    std::thread::sleep(ms(6_000));

    // Under load, calls up, one backup: what had ended before it began is in it.
    let before = finals(&node);
    let documents: Vec<Value> = ["accounts", "trunks", "carriers", "decks"].iter().map(|k| node.api.get(&format!("/v1/{k}"))).collect();
    let url = format!("http://{}", node.api.addr);
    let began = Instant::now();
    let taken = done(&backup(&["--secrets", "--url", &url], &file));
    println!("{} events, {} bytes in {:?} with {} finals before it", taken["events"], taken["bytes"], began.elapsed(), before.len());
    assert!(before.len() > CALLS / 10 && taken["secrets"] == 1);
    refused(&backup(&["--url", &url], &file), &["is there already"]);
    refused(&backup(&["--key", "a-key-that-is-not-its-own", "--url", &url], &at("other")), &["does not take this key"]);
    let running = node.data().to_str().expect("UTF-8").to_owned();
    refused(&backup(&["--data", &running], &at("other")), &["--url"]);
    assert!(!at("other").exists() && !at("other.part").exists());

    // Whole or nothing.
    done(&run(&["restore", "--check", "--json", "--from"], &file));
    let bytes = std::fs::read(&file).expect("file");
    std::fs::write(at("torn"), &bytes[..bytes.len() * 2 / 3]).expect("file");
    refused(&restore(&at("torn"), &data), &["damaged at byte", "is torn", "nothing was restored"]);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    std::fs::write(at("flipped"), &flipped).expect("file");
    refused(&restore(&at("flipped"), &data), &["damaged at byte", "was changed"]);
    refused(&run(&["restore", "--check", "--from"], &at("flipped")), &["damaged at byte"]);
    assert!(!data.exists(), "nothing of either");

    let told = done(&restore(&file, &data));
    let up = told["calls_closed"].as_u64().expect("a count") as usize;
    assert_eq!((&told["hash"], &told["events"]), (&taken["hash"], &taken["events"]));
    assert_ne!(told["new_node"], taken["node"], "a new node");
    assert!(up > CPS, "{up} calls of 2 to 4 s were up at {CPS} calls/s");
    refused(&restore(&file, &data), &["holds a node's log already"]);
    assert_eq!(std::fs::read(data.join("token.key")).expect("key"), std::fs::read(node.data().join("token.key")).expect("key"));
    for args in [&["log", "verify", "--data"][..], &["log", "replay", "--stage", "rating", "--data"], &["log", "replay", "--stage", "fraud", "--data"]] {
        let out = run(args, &data);
        println!("{}: {}", args.join(" "), String::from_utf8_lossy(&out.stdout).trim());
        done(&out);
    }
    let first: Vec<Vec<String>> = ["cdrs", "ledger"].iter().map(|t| ids(&data, t)).collect();

    // It starts on what it has: no call is up, what was known is known, what was up is closed.
    let restored_dir = tempfile::tempdir().expect("folder");
    let mut again = Node::start_in(setup, restored_dir, data.clone());
    assert_eq!(again.api.items("/v1/calls"), Vec::<Value>::new(), "calls of the other node are not resumed");
    let rows = wait_for("the CDRs of what had ended and of what was up", Duration::from_secs(20), || {
        let rows = finals(&again);
        let lost = rows.values().filter(|r| r["end_reason"] == "node_lost").count();
        (lost == up && before.keys().all(|id| rows.contains_key(id))).then_some(rows)
    });
    for (id, row) in &before {
        assert_eq!(&rows[id], row);
    }
    let lost: Vec<&Value> = rows.values().filter(|r| r["end_reason"] == "node_lost").collect();
    let answered = lost.iter().filter(|r| r["disposition"] == "answered").count();
    println!("{} finals after the restore; of {up} that were up {answered} are closed as answered", rows.len());
    assert!(answered > up / 2);
    for row in lost.iter().filter(|r| r["disposition"] == "answered") {
        assert_eq!((&row["rating_status"], &row["duration_confidence"]), (&json!("rated"), &json!("node_lost")), "{row}");
        assert!(row["duration_ms"].as_u64().expect("ms") <= 6_000, "until the last word of its node: {row}");
    }
    let now: Vec<Value> = ["accounts", "trunks", "carriers", "decks"].iter().map(|k| again.api.get(&format!("/v1/{k}"))).collect();
    assert_eq!(now, documents);
    assert_eq!(again.api.items("/v1/blocks")[0]["block_id"], block["block_id"]);

    // A new call through it, and the block still holds.
    let ua = Ua::on("caller", again.setup.net.caller());
    let leg = invite(&ua, again.sip, "12125550666");
    let end = ua.expect("a refusal", |m| m.status().is_some_and(|s| s >= 300));
    ua.send(again.sip, &leg.ack_failure(&end));
    let leg = invite(&ua, again.sip, UK);
    let ok = ua.expect("200", |m| m.status() == Some(200) && m.call_id() == leg.call_id);
    let mut leg = leg.confirmed(&ok);
    ua.send(again.sip, &leg.ack());
    std::thread::sleep(ms(200));
    ua.send(again.sip, &leg.next("BYE", "", ""));
    ua.response(200, "BYE");
    let (call, _) = again.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "rating_status": "rated", "hangup_party": "caller" }));
    again.stop();
    again.log_is_sound_and_replays();

    // The node it was taken of lost nothing by it, and every fact of the copy is one of its own, once.
    caller.passes();
    node.is_idle();
    wait_for("every call's CDR", Duration::from_secs(10), || (finals(&node).len() >= CALLS).then_some(()));
    node.stop();
    node.log_is_sound_and_replays();
    for (topic, copied) in ["cdrs", "ledger"].iter().zip(first) {
        let own: BTreeSet<String> = ids(node.data(), topic).into_iter().collect();
        assert!(copied.iter().all(|id| own.contains(id)), "{topic}");
        assert_eq!(copied.iter().collect::<BTreeSet<_>>().len(), copied.len(), "{topic}: each once");
        let after = ids(&data, topic);
        assert_eq!(after.iter().collect::<BTreeSet<_>>().len(), after.len(), "{topic}: each once, after it went on");
    }
    // Stopped, it is backed up in place.
    let own = node.data().to_str().expect("UTF-8").to_owned();
    done(&backup(&["--data", &own], &at("stopped")));
    assert_eq!(done(&run(&["restore", "--check", "--json", "--from"], &at("stopped")))["secrets"], 0);
}
