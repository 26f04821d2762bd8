//! Files and commands with mistakes: all of them at once, each with its place and what to do (design §5).

use std::{path::Path, process::Output};

use serde_json::json;

use crate::{
    harness::{KEY, Setup, World, ms, tollgate, wait_for},
    ua::{established, invite},
};

const USA: &str = "12125550100";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let file = dir.join(name);
    std::fs::write(&file, text).expect("file");
    file.to_str().expect("UTF-8").to_owned()
}

/// The program says no with every one of these.
#[track_caller]
fn refuses(args: &[&str], every: &[&str]) {
    let output = tollgate().args(args).output().expect("the program runs");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    for one in every {
        assert!(text.contains(one), "{args:?} does not say '{one}':\n{text}");
    }
}

#[test]
fn s_5_a_wrong_configuration_names_every_mistake_with_its_place() {
    let dir = tempfile::tempdir().expect("folder");
    let file = write(
        dir.path(),
        "tollgate.toml",
        "provision = [\"nowhere.yaml\"]\ndrain_s = \"ten\"\n[sip]\nlisten = \"0.0.0.0:5060\"\nshard = 2\n[sip.timers]\nt1_ms = 0\nt2_msec = 4\n[log]\npartitions = 0\n[nothing]\n",
    );
    let places = ["tollgate.toml:1:", "tollgate.toml:2:", "tollgate.toml:4:", "tollgate.toml:5:", "tollgate.toml:7:", "tollgate.toml:8:", "tollgate.toml:10:", "tollgate.toml:11:"];
    refuses(&["check-config", "-c", &file], &places);
    refuses(&["run", "-c", &file, "--data", dir.path().join("data").to_str().expect("UTF-8")], &places);
    refuses(&["check-config", "-c", &file], &["shards", "t2_ms", "nowhere.yaml"]);
    assert!(!dir.path().join("data").exists(), "nothing was started");
    let broken = write(dir.path(), "broken.toml", "[sip\nlisten = 3\n");
    refuses(&["check-config", "-c", &broken], &["broken.toml:1:"]);
    refuses(&["run", "-c", "no-such-file.toml"], &["no-such-file.toml"]);
}

#[test]
fn s_5_wrong_documents_name_every_mistake_with_its_place() {
    let dir = tempfile::tempdir().expect("folder");
    write(
        dir.path(),
        "provision.yaml",
        "kind: account\nname: acme\nspec: { sell_deck: nothing, max_attempts: -1 }\n---\nkind: trunk\nname: in\nspec:\n  account: acme\n  sources: [\"300.0.0.1\"]\n  chanels: 5\n---\nkind: carrier\nname: A B\nspec: { addresses: [], deck: nothing }\n---\nkind: spaceship\nname: x\nspec: {}\n",
    );
    let file = write(dir.path(), "tollgate.toml", "provision = [\"provision.yaml\"]\n[sip]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n");
    let every = ["provision.yaml:3", "provision.yaml:9", "provision.yaml:10", "channels", "provision.yaml:13", "provision.yaml:14", "provision.yaml:16"];
    refuses(&["check-config", "-c", &file], &every);
    refuses(&["run", "-c", &file, "--data", dir.path().join("data").to_str().expect("UTF-8")], &["provision.yaml:3"]);
}

#[test]
fn s_5_wrong_deck_rows_are_named_by_row_and_column_and_nothing_of_the_sheet_is_taken() {
    let dir = tempfile::tempdir().expect("folder");
    let sheet = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.06,0.01,60,60,2020-01-01\n4x,uk,0.12,0,1,1,2020-01-01\n44,uk,cheap,0,1,1,2020-01-01\n49,germany,0.1,0,1,0,2020-01-01\n33,france,0.1,0,1,1,yesterday\n";
    let file = write(dir.path(), "sell.csv", sheet);
    let every = ["sell.csv:3:prefix", "sell.csv:4:rate", "sell.csv:5:increment", "sell.csv:6:effective_from"];
    refuses(&["deck", "check", &file], &every);
    // The same through the API of a running node: all problems, and the old sheet stays in force.
    let world = World::new(1);
    let (status, problem) = world.node.api.put("/v1/decks/sell", &json!({ "csv": sheet }));
    assert_eq!(status, 422, "{problem}");
    let text = problem.to_string();
    for one in ["line 3", "line 4", "line 5", "line 6"] {
        assert!(text.contains(one), "{one} in {text}");
    }
    established(&world.caller, world.alpha(), world.node.sip, USA);
}

#[test]
fn s_5_a_new_sheet_prices_calls_from_then_on() {
    let world = World::new(1);
    let sheet = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.09,0,60,60,2020-01-01\n";
    let (status, answer) = world.node.api.put("/v1/decks/sell", &json!({ "csv": sheet }));
    assert_eq!(status, 200, "{answer}");
    wait_for("+44 is not sold any more", ms(3_000), || {
        let leg = invite(&world.caller, world.node.sip, "442079460100");
        let end = world.caller.within(ms(100), &|m: &crate::ua::Msg| m.status() == Some(404) && m.call_id() == leg.call_id)?;
        world.caller.send(world.node.sip, &leg.ack_failure(&end));
        Some(())
    });
    let (mut leg, _) = established(&world.caller, world.alpha(), world.node.sip, USA);
    world.caller.send(world.node.sip, &leg.next("BYE", "", ""));
    let bye = world.alpha().request("BYE");
    world.alpha().reply(&bye, 200, "OK", "");
    let (call, _) = world.node.cdrs(&leg.call_id, std::time::Instant::now());
    crate::harness::check(&call, &json!({ "sell_amount": "0.090000", "sell_rate": call.0["sell_rate"] }));
    assert!(call.text("sell_rate").starts_with("0.09"));
}

#[test]
fn s_5_misuse_is_2_and_a_running_nodes_log_is_its_own() {
    let misuse = tollgate().args(["run", "--no-such-flag"]).output().expect("runs");
    assert_eq!(misuse.status.code(), Some(2), "{}", said(&misuse));
    let mut command = tollgate();
    command.env("TOLLGATE_ADMIN_KEY", "short").args(["run", "-c"]);
    let dir = tempfile::tempdir().expect("folder");
    let file = write(dir.path(), "tollgate.toml", "[sip]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n");
    let short = command.arg(&file).arg("--data").arg(dir.path().join("data")).output().expect("runs");
    assert_eq!(short.status.code(), Some(1));
    assert!(said(&short).contains("TOLLGATE_ADMIN_KEY"), "{}", said(&short));
    let world = World::of(Setup::new(1));
    let verify = world.node.on_data(&["log", "verify"]);
    assert_eq!(verify.status.code(), Some(1));
    assert!(said(&verify).contains("running node"), "{}", said(&verify));
    // A second node on the same folder is refused too.
    let second = tollgate().env("TOLLGATE_ADMIN_KEY", KEY).args(["run", "-c"]).arg(&file).arg("--data").arg(world.node.data()).output().expect("runs");
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
}

#[test]
fn s_5_without_a_key_only_the_open_pages_answer() {
    let world = World::new(1);
    let url = |path: &str| format!("http://{}{path}", world.node.api.addr);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let status = |path: &str, key: &str| {
        let request = agent.get(url(path));
        let request = if key.is_empty() { request } else { request.header("Authorization", format!("Bearer {key}")) };
        request.call().expect("API answers").status().as_u16()
    };
    for open in ["/healthz", "/readyz", "/openapi.json", "/metrics"] {
        assert_eq!(status(open, ""), 200, "{open}");
    }
    for closed in ["/v1/cdrs", "/v1/calls", "/v1/alerts", "/v1/blocks", "/v1/trunks", "/v1/reports/traffic"] {
        assert_eq!((status(closed, ""), status(closed, "not-the-key-at-all"), status(closed, KEY)), (401, 401, 200), "{closed}");
    }
}
