//! Blocks placed by people: the next INVITE is refused, live calls end, and a lifted block is gone (F-30 to F-33).

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    harness::{Node, Setup, Sipp, World, check, ms, scenario, wait_for},
    ua::{Msg, established, invite},
};

const USA: &str = "12125550100";
const UK: &str = "442079460100";

fn place(node: &Node, order: &Value) -> String {
    let (status, block) = node.api.post("/v1/blocks", order);
    assert_eq!(status, 201, "{block}");
    block["block_id"].as_str().expect("id").to_owned()
}

/// The answer to an INVITE for `number`: a refusal, or none when it is at the carrier (where it is declined).
fn ask(world: &World, number: &str) -> (String, Option<Msg>) {
    let leg = invite(&world.caller, world.node.sip, number);
    let refusal = wait_for("an answer", ms(5_000), || {
        let own = |m: &Msg| m.call_id() == leg.call_id;
        if let Some(no) = world.caller.within(ms(2), &|m: &Msg| own(m) && m.status().is_some_and(|s| s >= 300)) {
            return Some(Some(no));
        }
        world.alpha().within(ms(2), &|m: &Msg| own(m) && m.method() == Some("INVITE")).map(|got| {
            world.alpha().reply(&got, 486, "Busy Here", "t");
            None
        })
    });
    let end = refusal.clone().unwrap_or_else(|| world.caller.expect("486", |m| m.call_id() == leg.call_id && m.status() == Some(486)));
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    (leg.call_id, refusal)
}

#[test]
fn f_33_a_block_ends_live_and_ringing_calls_and_refuses_the_next() {
    let world = World::of(Setup::new(1).timer("no_answer_ms", 8_000));
    let (alpha, node) = (world.alpha(), world.node.sip);
    let (live, _) = established(&world.caller, alpha, node, UK);
    let ringing = invite(&world.caller, node, UK);
    let got = alpha.expect("INVITE", |m| m.call_id() == ringing.call_id);
    alpha.reply(&got, 180, "Ringing", "r");
    world.caller.expect("180", |m| m.status() == Some(180) && m.call_id() == ringing.call_id);
    let (other, _) = established(&world.caller, alpha, node, USA);
    let placed = Instant::now();
    let block = place(&world.node, &json!({ "scope": { "account": "acme", "dest_group": "uk" }, "reason": "ordered by a test", "teardown": true, "sip_code": 480, "expires_s": 600 }));
    for side in [&world.caller, alpha] {
        let bye = side.expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == live.call_id);
        side.reply(&bye, 200, "OK", "");
    }
    println!("BYE on both legs {:?} after the block was ordered", placed.elapsed());
    assert!(placed.elapsed() < ms(2_000));
    let cancel = alpha.expect("CANCEL", |m| m.method() == Some("CANCEL") && m.call_id() == ringing.call_id);
    alpha.reply(&cancel, 200, "OK", "r");
    alpha.reply(&got, 487, "Request Terminated", "r");
    let end = world.caller.expect("the ringing call's final", |m| m.call_id() == ringing.call_id && m.status().is_some_and(|s| s >= 300));
    assert_eq!(end.status(), Some(480), "the block's own status");
    world.caller.send(node, &ringing.ack_failure(&end));
    let (refused, no) = ask(&world, UK);
    assert_eq!(no.and_then(|m| m.status()), Some(480));
    let (call, _) = world.node.cdrs_at_once(&refused, Instant::now());
    check(&call, &json!({ "disposition": "blocked", "block_reason": "blocked", "block_id": block, "fraud_action": "refused", "block_response_code": 480, "attempts_total": 0 }));
    let (call, _) = world.node.cdrs(&live.call_id, placed);
    check(&call, &json!({ "disposition": "answered", "hangup_party": "system", "end_reason": "block", "attempts_total": 1 }));
    let (call, _) = world.node.cdrs_at_once(&ringing.call_id, placed);
    check(&call, &json!({ "sip_final_code": 480, "hangup_party": "system", "end_reason": "block" }));
    // What it does not cover goes on.
    let calls = world.node.api.items("/v1/calls");
    assert_eq!(calls.len(), 1, "{calls:?}");
    alpha.never(ms(1), "BYE of a call that is not covered", |m| m.method() == Some("BYE") && m.call_id() == other.call_id);
    // Lifted, the next passes.
    assert_eq!(world.node.api.delete(&format!("/v1/blocks/{block}?reason=over")), 200);
    wait_for("calls pass again", ms(2_000), || ask(&world, UK).1.is_none().then_some(()));
    let shown = world.node.api.get(&format!("/v1/blocks/{block}"));
    assert_eq!((&shown["state"], &shown["lift_reason"], &shown["reason"]), (&json!("lifted"), &json!("over"), &json!("ordered by a test")));
    assert_eq!(world.node.api.delete("/v1/blocks/07070707-0707-0707-0707-070707070707"), 404);
}

#[test]
fn f_31_a_block_expires_by_itself() {
    let world = World::new(1);
    place(&world.node, &json!({ "scope": { "b_prefix": "1212" }, "reason": "for a second", "expires_s": 1 }));
    wait_for("the block is in force", ms(2_000), || ask(&world, USA).1.map(|m| assert_eq!(m.status(), Some(403))));
    let began = Instant::now();
    wait_for("calls pass again", ms(4_000), || ask(&world, USA).1.is_none().then_some(()));
    println!("in force again for {:?}", began.elapsed());
}

#[test]
fn s_3_blocks_stand_before_the_first_call_after_a_restart() {
    let mut world = World::new(1);
    place(&world.node, &json!({ "scope": { "account": "acme" }, "reason": "closed" }));
    wait_for("the block is in force", ms(2_000), || ask(&world, USA).1.map(drop));
    world.node.kill();
    world.node.restart();
    let (_, no) = ask(&world, USA);
    assert_eq!(no.and_then(|m| m.status()), Some(403));
}

#[test]
fn f_33_both_sipp_sides_of_a_blocked_call_see_bye() {
    let node = Node::start(Setup::new(1));
    let mut carrier = Sipp::carrier("alpha", scenario!("carrier_hears_bye"), node.setup.net.carrier(0), 3);
    let mut caller = Sipp::caller(scenario!("caller_hears_bye"), node.setup.net.caller(), node.sip, USA, 3, &["-r", "20"]);
    wait_for("three calls are up", ms(5_000), || {
        (node.api.items("/v1/calls?state=answered").len() == 3).then_some(())
    });
    std::thread::sleep(ms(200));
    place(&node, &json!({ "scope": { "trunk": "acme-in" }, "reason": "stop", "teardown": true }));
    caller.passes();
    carrier.passes();
    node.is_idle();
}

#[test]
fn a_block_must_say_what_and_why() {
    let node = Node::start(Setup::new(1));
    let (status, problem) = node.api.post("/v1/blocks", &json!({ "scope": {}, "sip_code": 200 }));
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["problems"].as_array().map(Vec::len), Some(3), "every mistake at once: {problem}");
}

/// What the command says as JSON, and its exit code.
fn route(node: &Node, args: &[&str]) -> (Value, i32) {
    let out = node.command(&[&["route", "--json"], args].concat());
    let found = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    (found, out.status.code().unwrap_or(-1))
}

fn explained(carriers: &Value) -> Vec<(&str, Option<u64>, &str)> {
    carriers.as_array().expect("carriers").iter().map(|c| (c["carrier"].as_str().expect("a name"), c["rank"].as_u64().filter(|r| *r > 0), c["reason"].as_str().expect("a reason"))).collect()
}

/// The call's own explanation, what the command says of it, and that deciding again says the same.
fn told(world: &World, call_id: &str) -> (crate::harness::Cdr, Value) {
    let (call, _) = world.node.cdrs_at_once(call_id, Instant::now());
    let (found, code) = route(&world.node, &["--call", call.text("call_uuid")]);
    let own: Value = serde_json::from_str(call.text("route_explain")).expect("an explanation");
    assert_eq!((code, explained(&own)), (0, explained(&found["then"]["carriers"])), "{found:#}");
    (call, own)
}

#[test]
fn r_35_blocked_and_full_carriers_are_named_where_a_call_is_explained() {
    let mut setup = Setup::new(2);
    setup.carrier("beta")["channels"] = 1.into();
    setup.doc("route_policy", "cli", json!({ "cli_guaranteed": true }));
    let world = World::of(setup);
    let node = world.node.sip;
    let block = place(&world.node, &json!({ "scope": { "carrier": "alpha" }, "reason": "fraud at alpha" }));
    std::thread::sleep(ms(300));

    // Another takes it: the blocked one is named, in the CDR, by the command, and by what the node would do now.
    let (up, _) = established(&world.caller, world.beta(), node, USA);
    let (now, code) = route(&world.node, &["--account", "acme", "--from", "12125550199", "--to", USA, "--quality", "now"]);
    assert_eq!((code, explained(&now["carriers"])), (1, vec![("alpha", None, "carrier_blocked"), ("beta", None, "carrier_channels")]), "beta is full now: {now:#}");

    // Nobody can: refused, with the block and every reason.
    let leg = invite(&world.caller, node, USA);
    let no = world.caller.expect("503", |m| m.status() == Some(503) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&no));
    let (call, own) = told(&world, &leg.call_id);
    assert_eq!(explained(&own), [("alpha", None, "carrier_blocked"), ("beta", None, "carrier_channels")]);
    check(&call, &json!({ "sip_final_code": 503, "q850_cause": 34, "release_cause_local": "carrier_unavailable", "block_reason": "carrier_unavailable", "block_id": block, "attempts_total": 0 }));

    let mut up = up;
    world.caller.send(node, &up.next("BYE", "", ""));
    let bye = world.beta().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == up.call_id);
    world.beta().reply(&bye, 200, "OK", "");
    let (call, own) = told(&world, &up.call_id);
    assert_eq!(explained(&own), [("beta", Some(1), "chosen"), ("alpha", None, "carrier_blocked")]);
    check(&call, &json!({ "carrier": "beta", "route_rank": 1, "disposition": "answered" }));
    let (now, code) = route(&world.node, &["--account", "acme", "--from", "12125550199", "--to", USA, "--quality", "now"]);
    assert_eq!((code, explained(&now["carriers"])), (0, explained(&own)), "{now:#}");

    // The documents leave everybody out: the same is told of that.
    let mut account = world.node.api.get("/v1/accounts/acme")["spec"].clone();
    account["route_policy"] = "cli".into();
    assert_eq!(world.node.api.put("/v1/accounts/acme", &account).0, 200);
    std::thread::sleep(ms(300));
    let leg = invite(&world.caller, node, USA);
    let no = world.caller.expect("404", |m| m.status() == Some(404) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&no));
    let (call, own) = told(&world, &leg.call_id);
    assert_eq!(explained(&own), [("alpha", None, "cli_not_guaranteed"), ("beta", None, "cli_not_guaranteed")]);
    check(&call, &json!({ "sip_final_code": 404, "release_cause_local": "no_route", "route_policy": "cli" }));
    let mut world = world;
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn r_35_a_carrier_that_fills_up_before_its_turn_is_named_in_the_calls_events() {
    let mut setup = Setup::new(3).timer("no_answer_ms", 8_000);
    setup.carrier("beta")["channels"] = 1.into();
    let world = World::of(setup);
    let node = world.node.sip;
    let leg = invite(&world.caller, node, USA);
    let at_alpha = world.alpha().expect("INVITE", |m| m.method() == Some("INVITE") && m.call_id() == leg.call_id);
    world.alpha().reply(&at_alpha, 180, "Ringing", "t");
    // Meanwhile another call takes beta's channel.
    let mut documents = world.node.api.get("/v1/accounts/acme")["spec"].clone();
    documents["carriers"] = json!(["beta"]);
    assert_eq!(world.node.api.put("/v1/accounts/acme", &documents).0, 200);
    std::thread::sleep(ms(200));
    let _up = established(&world.caller, world.beta(), node, USA);
    world.alpha().reply(&at_alpha, 503, "Service Unavailable", "t");
    let gamma = &world.carriers[2];
    let got = gamma.expect("INVITE", |m| m.method() == Some("INVITE") && m.call_id() == leg.call_id);
    gamma.reply(&got, 486, "Busy Here", "t");
    let no = world.caller.expect("486", |m| m.status() == Some(486) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&no));
    let (call, own) = told(&world, &leg.call_id);
    assert_eq!(explained(&own), [("alpha", Some(1), "chosen"), ("beta", Some(2), "carrier_channels"), ("gamma", Some(3), "chosen")]);
    check(&call, &json!({ "attempts_total": 2, "carrier": "gamma", "disposition": "busy" }));
}

#[test]
fn f_30_a_block_of_a_name_that_there_is_not_is_refused_with_the_one_that_was_meant() {
    let world = World::new(1);
    for (scope, meant) in [
        (json!({ "carrier": "alfa" }), "there is no carrier 'alfa': did you mean 'alpha'?"),
        (json!({ "account": "acmee" }), "there is no account 'acmee': did you mean 'acme'?"),
        (json!({ "trunk": "acme-im" }), "there is no trunk 'acme-im': did you mean 'acme-in'?"),
        (json!({ "account": "acme", "dest_group": "usaa" }), "there is no destination 'usaa' of account 'acme': did you mean 'usa'?"),
    ] {
        let (status, problem) = world.node.api.post("/v1/blocks", &json!({ "scope": scope, "reason": "a slip" }));
        assert!(status == 422 && problem.to_string().contains(meant), "{status} {problem}");
    }
    assert!(world.node.api.items("/v1/blocks").is_empty());
    let out = world.node.command(&["block", "place", "--carrier", "alfa", "--reason", "a slip"]);
    assert!(out.status.code() != Some(0) && String::from_utf8_lossy(&out.stderr).contains("did you mean 'alpha'"), "{}", String::from_utf8_lossy(&out.stderr));
    place(&world.node, &json!({ "scope": { "carrier": "alpha" }, "reason": "meant" }));
    // A carrier that comes next week may be blocked before it does.
    let out = world.node.command(&["block", "place", "--carrier", "delta", "--reason", "not before the audit", "--force"]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
}
