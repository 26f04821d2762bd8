//! A backup of the shared log while proxies, rating and fraud work on it, restored into another Kafka and into a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Cluster, alone};
use crate::{
    harness::{Api, Setup, Sipp, ms, scenario, tollgate, wait_for},
    ua::{AutoCarrier, Plan, Ua, invite},
};

const USA: &str = "12125550100";
const CALLS: usize = 1_500;
const CPS: usize = 60;
const LONG: Duration = Duration::from_secs(90);

fn finals(api: &Api) -> BTreeMap<String, Value> {
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row.as_object_mut().expect("a row").remove("ingest_ts");
        (row["call_uuid"].as_str().expect("id").to_owned(), row)
    };
    api.text("/v1/cdrs?record_type=final&format=jsonl").lines().map(row).collect()
}

fn run(args: &[&str], path: &Path) -> Output {
    tollgate().args(args).arg(path).output().expect("the program runs")
}

#[track_caller]
fn done(output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}{err}", output.status);
    serde_json::from_str(&out).unwrap_or(Value::Null)
}

/// Each event of the topic once; how many.
fn once(topic: &str, place: &[&str], at: &Path) -> usize {
    let out = run(&[&["log", "tail", topic, "--json"], place].concat(), at);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let ids: BTreeSet<String> = text.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")["id"].to_string()).collect();
    assert_eq!(ids.len(), text.lines().count(), "{topic}: some are there twice");
    ids.len()
}

#[test]
fn issue_4_a_backup_of_kafka_under_load_is_restored_into_kafka_and_into_a_folder() {
    let _alone = alone();
    let mut setup = Setup::new(1).timer("t1_ms", 200).timer("pdd_ms", 5_000).timer("no_answer_ms", 8_000);
    setup.drain_s = 2;
    let net = setup.net;
    let host = Cluster::caller_host(net, 0);
    let trunk = setup.trunk();
    (trunk["channels"], trunk["cps"], trunk["burst"], trunk["sources"]) = (10_000.into(), 5_000.into(), 5_000.into(), json!([host.to_string()]));
    let plan = Plan { refuses: None, rings_after: ms(30), answers_after: ms(100), hangs_up_after: None };
    let _alpha = AutoCarrier::start("alpha", net.carrier(0), move |_| plan);
    let mut cluster = Cluster::new(setup);
    for (name, stages) in [("proxy", "proxy"), ("stages", "rating,fraud,ingest"), ("api", "api")] {
        cluster.start(name, stages);
    }
    let sip = cluster.named("proxy").sip.expect("a proxy");
    let mut caller = Sipp::long_caller(scenario!("load"), host, sip, USA, CALLS, CPS, Duration::from_secs(60));
    std::thread::sleep(ms(7_000));
    let before = finals(cluster.api());
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("taken");
    let config = cluster.configure("commands");
    let began = Instant::now();
    let taken = done(&run(&["backup", "--json", "-c", config.to_str().expect("UTF-8"), "--out"], &file));
    println!("{taken}\nin {:?}, with {} finals before it", began.elapsed(), before.len());
    assert!(before.len() > CALLS / 10 && taken["shared"] == true);
    caller.passes();
    cluster.settled(LONG);
    let truth = wait_for("every call's CDR", LONG, || Some(finals(cluster.api())).filter(|f| f.len() >= CALLS));
    for process in &mut cluster.processes {
        process.stop();
    }

    // In a folder: sound, and what the stages put out is what its calls give, to where they had come.
    let data = dir.path().join("folder");
    let from = file.to_str().expect("UTF-8");
    let told = done(&run(&["restore", "--json", "--from", from, "--data"], &data));
    println!("{} calls were up", told["calls_closed"]);
    for args in [&["log", "verify", "--data"][..], &["log", "replay", "--stage", "rating", "--data"], &["log", "replay", "--stage", "fraud", "--data"]] {
        let out = run(args, &data);
        println!("{}: {}", args.join(" "), String::from_utf8_lossy(&out.stdout).trim());
        done(&out);
    }

    // In Kafka, under another prefix: a cluster that goes on.
    let Cluster { setup, broker, clickhouse, .. } = cluster;
    let mut second = Cluster::with(setup, broker, clickhouse);
    let config = second.configure("commands");
    let told = done(&run(&["restore", "--json", "--from", from, "-c"], &config));
    assert_eq!((&told["hash"], &told["calls_closed"]), (&taken["hash"], &Value::Null), "their proxies may be up");
    let again = run(&["restore", "--from", from, "-c"], &config);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("is not empty"), "{again:?}");
    for (name, stages) in [("stages", "rating,fraud,ingest"), ("api", "api"), ("proxy", "proxy")] {
        second.start(name, stages);
    }
    second.settled(LONG);
    let rows = wait_for("what had ended", LONG, || Some(finals(second.api())).filter(|rows| before.keys().all(|id| rows.contains_key(id))));
    for (id, row) in &rows {
        assert_eq!(Some(row), truth.get(id), "as the first cluster says it");
    }
    let ua = Ua::on("caller", host);
    let leg = invite(&ua, second.named("proxy").sip.expect("a proxy"), USA);
    let ok = ua.expect("200", |m| m.status() == Some(200) && m.call_id() == leg.call_id);
    let mut leg = leg.confirmed(&ok);
    ua.send(leg.node(), &leg.ack());
    ua.send(leg.node(), &leg.next("BYE", "", ""));
    ua.response(200, "BYE");
    wait_for("the new call's CDR", LONG, || (finals(second.api()).len() > rows.len()).then_some(()));
    second.settled(LONG);
    for process in &mut second.processes {
        process.stop();
    }
    let (cdrs, postings) = (once("cdrs", &["-c"], &config), once("ledger", &["-c"], &config));
    println!("{} finals of {} before the backup; {cdrs} CDRs and {postings} postings, each once", rows.len(), before.len());
    done(&run(&["log", "verify", "-c"], &config));
    done(&run(&["log", "replay", "--stage", "rating", "-c"], &config));
}
