//! A clean stop: new calls are refused and emergency ones are not, calls that are up are taken up by the next start
//! (design §3).

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{Setup, World, check, ms, wait_for},
    ua::{Leg, established, invite, unique},
};

const USA: &str = "12125550100";
const UK: &str = "442079460100";

#[test]
fn s_3_sigterm_refuses_new_calls_and_lets_emergency_and_live_ones_go_on() {
    let mut setup = Setup::new(1);
    setup.drain_s = 20;
    setup.carrier("alpha")["emergency"] = true.into();
    let mut world = World::of(setup);
    let node = world.node.sip;
    let (mut live, _) = established(&world.caller, world.alpha(), node, USA);
    world.node.terminate();
    wait_for("/readyz says 503", ms(5_000), || (world.node.api.status("/readyz") == 503).then_some(()));
    let leg = invite(&world.caller, node, USA);
    let no = world.caller.expect("a refusal", |m| m.status().is_some_and(|s| s >= 300) && m.call_id() == leg.call_id);
    assert_eq!(no.status(), Some(503));
    let wait: u32 = no.header("Retry-After").parse().expect("P-44: the whole node is meant");
    assert!((1..=60).contains(&wait));
    world.caller.send(node, &leg.ack_failure(&no));
    let options = Leg::new(world.alpha(), node, "");
    world.alpha().send(node, &options.write("OPTIONS", &unique("z9hG4bK-"), 1, "", ""));
    world.alpha().response(503, "OPTIONS");
    let (mut emergency, _) = established(&world.caller, world.alpha(), node, "911");
    for leg in [&mut emergency, &mut live] {
        world.caller.send(node, &leg.next("BYE", "", ""));
        let bye = world.alpha().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == leg.call_id);
        world.alpha().reply(&bye, 200, "OK", "");
        world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == leg.call_id);
    }
    let last = Instant::now();
    assert!(world.node.ended().success());
    println!("stopped {:?} after its last call", last.elapsed());
    world.node.log_is_sound_and_replays();
    world.node.restart();
    for (id, disposition) in [(&live.call_id, "answered"), (&emergency.call_id, "answered"), (&leg.call_id, "blocked")] {
        let (call, _) = world.node.cdrs_at_once(id, Instant::now());
        check(&call, &json!({ "disposition": disposition, "duration_confidence": "exact" }));
    }
}

#[test]
fn s_3_calls_that_are_up_at_a_stop_are_resumed_and_can_be_ended_by_everyone() {
    let mut setup = Setup::new(1);
    setup.drain_s = 0;
    let mut world = World::of(setup);
    let node = world.node.sip;
    let (mut by_caller, _) = established(&world.caller, world.alpha(), node, USA);
    let began = Instant::now();
    let (_, mut by_callee) = established(&world.caller, world.alpha(), node, USA);
    let (by_command, _) = established(&world.caller, world.alpha(), node, UK);
    world.node.stop();
    println!("started again in {:?}", world.node.restart());
    assert_eq!(world.node.api.items("/v1/calls?state=answered").len(), 3);
    assert!(world.node.finals(&by_caller.call_id).is_empty());
    world.caller.send(node, &by_caller.next("BYE", "", ""));
    let bye = world.alpha().expect("the caller's BYE", |m| m.method() == Some("BYE") && m.call_id() == by_caller.call_id);
    world.alpha().reply(&bye, 200, "OK", "");
    world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == by_caller.call_id);
    let lasted = began.elapsed();
    world.alpha().send(node, &by_callee.next("BYE", "", ""));
    let bye = world.caller.expect("the carrier's BYE", |m| m.method() == Some("BYE") && m.call_id() == by_callee.call_id);
    world.caller.reply(&bye, 200, "OK", "");
    world.alpha().response(200, "BYE");
    let id = world.node.live(UK, "answered");
    assert_eq!(world.node.api.post(&format!("/v1/calls/{id}/end"), &json!({})).0, 202);
    for side in [&world.caller, world.alpha()] {
        let bye = side.expect("BYE on both legs", |m| m.method() == Some("BYE") && m.call_id() == by_command.call_id);
        side.reply(&bye, 200, "OK", "");
    }
    let ended = Instant::now();
    for (id, party, reason) in
        [(&by_caller.call_id, "caller", "normal"), (&by_callee.call_id, "callee", "normal"), (&by_command.call_id, "system", "command")]
    {
        let (call, _) = world.node.cdrs(id, ended);
        check(&call, &json!({ "disposition": "answered", "hangup_party": party, "end_reason": reason, "attempts_total": 1, "rating_status": "rated" }));
    }
    let (call, _) = world.node.cdrs_at_once(&by_caller.call_id, ended);
    call.lasted(lasted, "duration_ms");
    world.node.stop();
    world.node.log_is_sound_and_replays();
}
