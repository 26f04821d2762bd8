//! `kill -9` at chosen moments of a call, and what the next start does with it (design §3, After a crash). The load of
//! many calls is in `kill`.

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{Setup, World, check, ms},
    ua::{established, invite, unique},
};

const USA: &str = "12125550100";
const UK: &str = "442079460100";

#[test]
fn s_3_live_calls_survive_a_crash_and_can_be_ended_by_everyone() {
    let mut world = World::new(1);
    let node = world.node.sip;
    let (mut by_caller, _) = established(&world.caller, world.alpha(), node, USA);
    let (_, mut by_callee) = established(&world.caller, world.alpha(), node, USA);
    let (by_command, _) = established(&world.caller, world.alpha(), node, UK);
    std::thread::sleep(ms(300));
    world.node.kill();
    println!("started again in {:?}", world.node.restart());
    world.alpha().send(node, &by_callee.next("BYE", "", ""));
    let bye = world.caller.expect("the carrier's BYE", |m| m.method() == Some("BYE") && m.call_id() == by_callee.call_id);
    world.caller.reply(&bye, 200, "OK", "");
    world.alpha().response(200, "BYE");
    world.caller.send(node, &by_caller.next("BYE", "", ""));
    let bye = world.alpha().expect("the caller's BYE", |m| m.method() == Some("BYE") && m.call_id() == by_caller.call_id);
    world.alpha().reply(&bye, 200, "OK", "");
    world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == by_caller.call_id);
    let id = world.node.live(UK, "answered");
    assert_eq!(world.node.api.post(&format!("/v1/calls/{id}/end"), &json!({})).0, 202);
    for (side, last) in [(&world.caller, 0), (world.alpha(), by_command.cseq)] {
        let bye = side.expect("BYE on both legs", |m| m.method() == Some("BYE") && m.call_id() == by_command.call_id);
        assert!(bye.cseq().0 > last, "{}", bye.text);
        side.reply(&bye, 200, "OK", "");
    }
    for (id, party) in [(&by_caller.call_id, "caller"), (&by_callee.call_id, "callee"), (&by_command.call_id, "system")] {
        let (call, _) = world.node.cdrs(id, Instant::now());
        check(&call, &json!({ "disposition": "answered", "hangup_party": party, "attempts_total": 1 }));
    }
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn s_3_a_ringing_call_is_cancelled_and_refused_after_a_crash() {
    let mut world = World::new(2);
    let node = world.node.sip;
    let leg = invite(&world.caller, node, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 180, "Ringing", "t");
    world.caller.response(180, "INVITE");
    world.node.kill();
    world.node.restart();
    let restarted = Instant::now();
    let cancel = world.alpha().request("CANCEL");
    assert_eq!((cancel.branch(), cancel.uri()), (got.branch(), got.uri()), "the CANCEL is of that INVITE");
    world.alpha().reply(&cancel, 200, "OK", "t");
    world.alpha().reply(&got, 487, "Request Terminated", "t");
    let ack = world.alpha().request("ACK");
    assert_eq!(ack.branch(), got.branch());
    let end = world.caller.response(500, "INVITE");
    assert_eq!(end.branch(), leg.branch);
    world.caller.send(node, &leg.ack_failure(&end));
    world.beta().never(ms(100), "a call of before", |_| true);
    let (call, attempts) = world.node.cdrs(&leg.call_id, restarted);
    check(&call, &json!({ "sip_final_code": 500, "hangup_party": "system", "end_reason": "node_restart", "attempts_total": 1, "answer_ts": null, "sell_amount": "0.000000" }));
    check(&attempts[0], &json!({ "carrier": "alpha", "cost_amount": "0.000000", "release_cause_local": "node_restart" }));
}

#[test]
fn s_3_an_answer_that_comes_after_the_crash_is_acknowledged_and_ended() {
    let mut world = World::new(1);
    let node = world.node.sip;
    let leg = invite(&world.caller, node, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 180, "Ringing", "t");
    world.caller.response(180, "INVITE");
    world.node.kill();
    world.node.restart();
    world.alpha().request("CANCEL");
    // It had answered before the CANCEL came.
    world.alpha().reply(&got, 200, "OK", "t");
    let ack = world.alpha().request("ACK");
    assert_eq!((ack.to_tag(), ack.cseq().0), ("t", 1));
    let bye = world.alpha().request("BYE");
    assert!(bye.cseq().0 > 1, "{}", bye.text);
    world.alpha().reply(&bye, 200, "OK", "");
    world.caller.response(500, "INVITE");
    world.caller.never(ms(200), "an answer to a call that was refused", |m| m.status() == Some(200));
    // The carrier bills the second it was up.
    let (call, attempts) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "sip_final_code": 500, "answer_ts": null, "sell_amount": "0.000000" }));
    check(&attempts[0], &json!({ "end_reason": "late_answer", "cost_amount": "0.000500" }));
}

#[test]
fn s_3_an_answer_not_yet_acknowledged_goes_on_after_the_crash() {
    let mut world = World::new(1);
    let node = world.node.sip;
    let leg = invite(&world.caller, node, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 200, "OK", "t");
    world.caller.response(200, "INVITE");
    world.node.kill();
    world.node.restart();
    // The carrier repeats its answer; its own bytes differ only in what nobody reads.
    world.alpha().reply_with(&got, 200, "OK", "t", &format!("Contact: <sip:{}>\r\nX-Again: 1\r\n", world.alpha().addr), "");
    let ok = world.caller.expect("the repeated 200", |m| m.status() == Some(200) && m.has("X-Again"));
    let mut leg = leg.confirmed(&ok);
    world.caller.send(node, &leg.ack());
    world.alpha().request("ACK");
    world.caller.send(node, &leg.next("BYE", "", ""));
    let bye = world.alpha().request("BYE");
    world.alpha().reply(&bye, 200, "OK", "");
    world.caller.response(200, "BYE");
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "hangup_party": "caller", "end_reason": "normal" }));
}

#[test]
fn s_3_a_call_that_ended_while_the_node_was_down_is_closed_by_its_next_sign() {
    // Both sides hung up while nobody was there; the carrier's repeated BYE finds the new process.
    let mut world = World::new(1);
    let node = world.node.sip;
    let (_, mut callee) = established(&world.caller, world.alpha(), node, USA);
    world.node.kill();
    let bye = callee.write("BYE", &unique("z9hG4bK-"), callee.cseq + 1, "", "");
    callee.cseq += 1;
    world.alpha().send_bytes(node, bye.as_bytes());
    world.node.restart();
    world.alpha().send(node, &bye);
    let got = world.caller.request("BYE");
    world.caller.reply(&got, 481, "Call/Transaction Does Not Exist", "");
    world.alpha().expect("the BYE's answer", |m| m.cseq().1 == "BYE" && m.status().is_some());
    let (call, _) = world.node.cdrs(&callee.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "hangup_party": "callee" }));
    world.node.is_idle();
}

#[test]
fn s_2_the_cdr_store_can_be_thrown_away_and_is_built_again() {
    let mut setup = Setup::new(1);
    setup.drain_s = 0;
    let mut world = World::of(setup);
    let node = world.node.sip;
    for _ in 0..5 {
        let (mut leg, _) = established(&world.caller, world.alpha(), node, USA);
        world.caller.send(node, &leg.next("BYE", "", ""));
        let bye = world.alpha().request("BYE");
        world.alpha().reply(&bye, 200, "OK", "");
        world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == leg.call_id);
        world.node.cdrs_at_once(&leg.call_id, Instant::now());
    }
    let rows = |world: &World| -> Vec<String> {
        let mut rows = Vec::new();
        for kind in ["final", "attempt"] {
            for line in world.node.api.text(&format!("/v1/cdrs?record_type={kind}&format=jsonl")).lines() {
                let mut row: serde_json::Value = serde_json::from_str(line).expect("JSON");
                row.as_object_mut().expect("row").remove("ingest_ts");
                rows.push(row.to_string());
            }
        }
        rows.sort();
        rows
    };
    let before = rows(&world);
    assert_eq!(before.len(), 10);
    world.node.stop();
    std::fs::remove_dir_all(world.node.data().join("cdrs")).expect("the store's folder");
    world.node.restart();
    crate::harness::wait_for("the rows are back", ms(10_000), || (rows(&world).len() == before.len()).then_some(()));
    assert_eq!(rows(&world), before);
}
