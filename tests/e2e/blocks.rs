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
