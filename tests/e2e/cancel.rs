//! CANCEL: held until a provisional, and racing the answer (P-16).

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{World, check, ms},
    ua::invite,
};

const USA: &str = "12125550100";

#[test]
fn p_16_a_cancel_waits_for_the_carriers_first_provisional() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    world.caller.response(100, "INVITE");
    world.caller.send(node, &leg.cancel());
    world.caller.response(200, "CANCEL");
    alpha.never(ms(200), "a CANCEL before it said anything", |m| m.method() == Some("CANCEL"));
    alpha.reply(&got, 180, "Ringing", "t");
    let cancel = alpha.request("CANCEL");
    assert_eq!((cancel.branch(), cancel.uri(), cancel.cseq()), (got.branch(), got.uri(), (1, "CANCEL")));
    alpha.reply(&cancel, 200, "OK", "t");
    alpha.reply(&got, 487, "Request Terminated", "t");
    alpha.request("ACK");
    let end = world.caller.response(487, "INVITE");
    world.caller.send(node, &leg.ack_failure(&end));
    let (call, attempts) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "cancelled", "sip_final_code": 487, "hangup_party": "caller", "attempts_total": 1 }));
    check(&attempts[0], &json!({ "disposition": "cancelled" }));
}

#[test]
fn p_16_a_cancelled_call_goes_to_no_further_carrier() {
    let world = World::new(2);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    alpha.reply(&got, 180, "Ringing", "t");
    world.caller.response(180, "INVITE");
    world.caller.send(node, &leg.cancel());
    alpha.request("CANCEL");
    // It was failing anyway.
    alpha.reply(&got, 503, "Service Unavailable", "t");
    let end = world.caller.response(487, "INVITE");
    world.caller.send(node, &leg.ack_failure(&end));
    world.beta().never(ms(200), "a call that its caller had given up", |_| true);
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "cancelled", "sip_final_code": 487, "attempts_total": 1 }));
}

#[test]
fn p_16_an_answer_racing_the_cancel_is_one_clean_end_and_one_cdr() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    alpha.reply(&got, 180, "Ringing", "t");
    world.caller.response(180, "INVITE");
    world.caller.send(node, &leg.cancel());
    world.caller.response(200, "CANCEL");
    alpha.request("CANCEL");
    alpha.reply(&got, 200, "OK", "t");
    // A proxy passes every 2xx: the caller did not want it any more and hangs up.
    let ok = world.caller.response(200, "INVITE");
    let mut leg = leg.confirmed(&ok);
    world.caller.send(node, &leg.ack());
    alpha.request("ACK");
    world.caller.send(node, &leg.next("BYE", "", ""));
    let bye = alpha.request("BYE");
    alpha.reply(&bye, 200, "OK", "");
    world.caller.response(200, "BYE");
    let (call, attempts) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "sip_final_code": 200, "hangup_party": "caller", "attempts_total": 1 }));
    check(&attempts[0], &json!({ "disposition": "answered" }));
    world.caller.never(ms(300), "487 after 200", |m| m.status() == Some(487));
}

#[test]
fn p_16_a_cancel_of_nothing_gets_481_and_a_repeated_one_the_same_200() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let unsent = crate::ua::Leg::new(&world.caller, node, USA);
    world.caller.send(node, &unsent.cancel());
    world.caller.response(481, "CANCEL");
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    alpha.reply(&got, 180, "Ringing", "t");
    world.caller.send(node, &leg.cancel());
    world.caller.response(200, "CANCEL");
    world.caller.send(node, &leg.cancel());
    std::thread::sleep(ms(100));
    assert_eq!(world.caller.repeated(|m| m.status() == Some(200) && m.cseq().1 == "CANCEL"), 1);
    let cancel = alpha.request("CANCEL");
    alpha.reply(&cancel, 200, "OK", "t");
    alpha.reply(&got, 487, "Request Terminated", "t");
    let end = world.caller.response(487, "INVITE");
    world.caller.send(node, &leg.ack_failure(&end));
}
