//! From one carrier to the next: what moves on, what stops, and what goes upstream (P-08 to P-12, P-19, P-47).

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{Setup, World, check, micros, money, ms},
    ua::{Leg, Msg, invite, unique},
};

const USA: &str = "12125550100";

fn invited(id: &str) -> impl Fn(&Msg) -> bool + '_ {
    move |m| m.method() == Some("INVITE") && m.call_id() == id
}

/// Final response to the INVITE of this call.
fn final_of(id: &str) -> impl Fn(&Msg) -> bool + '_ {
    move |m| m.status().is_some_and(|s| s >= 200) && m.cseq().1 == "INVITE" && m.call_id() == id
}

#[test]
fn p_47_what_moves_on_and_what_stops() {
    let world = World::new(2);
    let (caller, alpha, beta, node) = (&world.caller, world.alpha(), world.beta(), world.node.sip);
    let cause = |n: u8| format!("Reason: Q.850;cause={n}\r\n");
    let none = String::new;
    let table: Vec<(u16, String, bool)> = vec![
        (401, none(), true), (402, none(), true), (403, none(), true), (407, none(), true), (408, none(), true),
        (404, none(), true), (404, cause(1), false), (484, none(), true), (484, cause(28), false),
        (480, none(), true), (480, cause(18), false), (480, cause(20), false),
        (500, none(), true), (501, none(), true), (502, none(), true), (503, none(), true), (504, none(), true), (505, none(), true), (513, none(), true),
        (486, none(), false), (600, none(), false), (603, none(), false), (604, none(), false), (606, none(), false), (607, none(), false), (608, none(), false),
        (410, none(), false), (487, none(), false),
    ];
    let mut calls = Vec::new();
    for (status, reason, moves_on) in &table {
        let leg = invite(caller, node, USA);
        let got = alpha.expect("the INVITE", invited(&leg.call_id));
        alpha.reply_with(&got, *status, "Whatever", &unique("a"), reason, "");
        alpha.expect("its ACK", |m| m.method() == Some("ACK") && m.branch() == got.branch());
        let expected = if *moves_on {
            let got = beta.expect(&format!("the call after {status}"), invited(&leg.call_id));
            beta.reply(&got, 486, "Busy Here", &unique("b"));
            486
        } else {
            *status
        };
        let end = caller.expect("a final", final_of(&leg.call_id));
        assert_eq!(end.status(), Some(expected), "after {status} {reason}");
        caller.send(node, &leg.ack_failure(&end));
        calls.push((leg.call_id, *status, if *moves_on { 2 } else { 1 }, expected));
    }
    beta.never(ms(1), "a call that had stopped", |m| m.method() == Some("INVITE"));
    let ended = Instant::now();
    for (id, status, attempts, last) in calls {
        let (call, tried) = world.node.cdrs_at_once(&id, ended);
        check(&call, &json!({ "attempts_total": attempts, "sip_final_code": last, "sell_amount": money(0), "cost_amount": money(0) }));
        check(&tried[0], &json!({ "sip_final_code": status, "vendor_sip_code": status, "carrier": "alpha" }));
    }
}

#[test]
fn p_47_a_failure_after_early_media_stops() {
    let world = World::new(2);
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    let contact = format!("Contact: <sip:{}>\r\n", world.alpha().addr);
    world.alpha().reply_with(&got, 183, "Session Progress", "early", &contact, "v=0\r\n");
    let early = world.caller.response(183, "INVITE");
    assert_eq!(early.body, "v=0\r\n");
    world.alpha().reply(&got, 503, "Service Unavailable", "early");
    let end = world.caller.expect("a final", final_of(&leg.call_id));
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    world.beta().never(ms(300), "a call whose caller had heard the other carrier's media", |_| true);
    assert_eq!(end.status(), Some(500));
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "attempts_total": 1, "disposition": "failed", "first_18x_code": 183 }));
}

#[test]
fn p_47_is_data_of_each_carrier() {
    let mut setup = Setup::new(2);
    setup.carrier("alpha")["stop_on"] = json!([503]);
    setup.carrier("beta")["advance_on"] = json!([486]);
    let world = World::of(setup);
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 503, "Service Unavailable", "a");
    let end = world.caller.expect("a final", final_of(&leg.call_id));
    assert_eq!(end.status(), Some(500));
    world.beta().never(ms(200), "a call that stopped", |_| true);
}

#[test]
fn p_11_every_challenge_goes_upstream() {
    let world = World::new(2);
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply_with(&got, 401, "Unauthorized", "a", "WWW-Authenticate: Digest realm=\"alpha\", nonce=\"1\"\r\n", "");
    let got = world.beta().request("INVITE");
    world.beta().reply_with(&got, 407, "Proxy Authentication Required", "b", "Proxy-Authenticate: Digest realm=\"beta\", nonce=\"2\"\r\n", "");
    let end = world.caller.expect("a final", final_of(&leg.call_id));
    assert!(matches!(end.status(), Some(401 | 407)), "{}", end.text);
    assert!(end.header("WWW-Authenticate").contains("alpha") && end.header("Proxy-Authenticate").contains("beta"), "{}", end.text);
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    let (call, attempts) = world.node.cdrs(&leg.call_id, Instant::now());
    assert_eq!((call.int("attempts_total"), attempts[0].int("sip_final_code"), attempts[1].int("sip_final_code")), (2, 401, 407));
}

#[test]
fn p_19_a_redirect_is_not_followed_nor_shown() {
    let world = World::new(1);
    let trap = crate::ua::Ua::on("the redirect's target", world.node.setup.net.stranger());
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply_with(&got, 302, "Moved Temporarily", "a", &format!("Contact: <sip:19005550100@{}>\r\n", trap.addr), "");
    let end = world.caller.expect("a final", final_of(&leg.call_id));
    assert!(end.status().is_some_and(|s| s >= 400) && !end.has("Contact"), "{}", end.text);
    trap.never(ms(200), "the redirected call", |_| true);
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    let (_, attempts) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&attempts[0], &json!({ "vendor_sip_code": 302 }));
}

#[test]
fn p_07_provisionals_pass_and_100_never_does() {
    let world = World::new(1);
    let leg = invite(&world.caller, world.node.sip, USA);
    let trying = world.caller.response(100, "INVITE");
    assert!(trying.to_tag().is_empty(), "100 makes no dialog: {}", trying.text);
    let got = world.alpha().request("INVITE");
    world.alpha().reply_with(&got, 100, "Trying", "", "X-Carrier: alpha\r\n", "");
    let contact = format!("Contact: <sip:{}>\r\nX-Carrier: alpha\r\n", world.alpha().addr);
    let sent = Instant::now();
    world.alpha().reply_with(&got, 183, "Session Progress", "t1", &contact, "v=0\r\n");
    let early = world.caller.response(183, "INVITE");
    println!("183 relayed in {:?}", sent.elapsed());
    assert_eq!((early.to_tag(), early.header("X-Carrier"), early.body.as_str()), ("t1", "alpha", "v=0\r\n"));
    assert_eq!(early.all("Via").len(), 1, "our Via is cut: {}", early.text);
    world.caller.never(ms(50), "the carrier's 100", |m| m.status() == Some(100) && m.has("X-Carrier"));
    world.alpha().reply(&got, 486, "Busy Here", "t1");
    let end = world.caller.expect("a final", final_of(&leg.call_id));
    assert_eq!(end.to_tag(), "t1");
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
}

#[test]
fn p_02_each_attempt_has_its_own_branch_and_our_record_route() {
    let world = World::new(2);
    let leg = invite(&world.caller, world.node.sip, USA);
    let first = world.alpha().request("INVITE");
    world.alpha().reply(&first, 503, "Service Unavailable", "a");
    let ack = world.alpha().request("ACK");
    let second = world.beta().request("INVITE");
    assert_eq!(ack.branch(), first.branch(), "the hop's ACK has the INVITE's branch");
    assert_ne!(first.branch(), second.branch());
    for got in [&first, &second] {
        assert!(got.branch().starts_with("z9hG4bK") && got.branch() != leg.branch, "{}", got.text);
        assert_eq!(got.all("Via").len(), 2);
        assert!(got.header("Record-Route").contains(";lr") && got.header("Record-Route").contains(&world.node.sip.to_string()), "P-03: {}", got.text);
        assert_eq!(got.header("Max-Forwards"), "69");
        assert_eq!((got.header("From"), got.header("CSeq")), (leg.local.as_str(), "1 INVITE"));
    }
    world.beta().reply(&second, 486, "Busy Here", "b");
    let end = world.caller.expect("a final", final_of(&leg.call_id));
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
}

#[test]
fn p_46_a_late_answer_after_the_next_carrier_was_tried_is_ended_and_owed() {
    let world = World::new(2);
    let (alpha, beta, node) = (world.alpha(), world.beta(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let first = alpha.request("INVITE");
    alpha.reply(&first, 100, "Trying", "");
    // No 18x within the post-dial delay allowed: CANCEL, and on.
    let cancel = alpha.request("CANCEL");
    assert_eq!(cancel.branch(), first.branch());
    let second = beta.request("INVITE");
    // The answer crosses the CANCEL.
    alpha.reply(&first, 200, "OK", "late");
    alpha.request("ACK");
    let bye = alpha.request("BYE");
    assert_eq!(bye.to_tag(), "late");
    alpha.reply(&bye, 200, "OK", "");
    beta.reply(&second, 200, "OK", "b");
    let ok = world.caller.response(200, "INVITE");
    assert_eq!(ok.to_tag(), "b");
    let mut leg = leg.confirmed(&ok);
    world.caller.send(node, &leg.ack());
    std::thread::sleep(ms(300));
    world.caller.send(node, &leg.next("BYE", "", ""));
    let bye = beta.request("BYE");
    beta.reply(&bye, 200, "OK", "");
    world.caller.response(200, "BYE");
    let (call, attempts) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "carrier": "beta", "attempts_total": 2 }));
    check(&attempts[0], &json!({ "carrier": "alpha", "end_reason": "late_answer", "cost_amount": money(500), "sell_amount": money(0) }));
    assert_eq!(micros(&call, "cost_amount"), 500 + micros(&attempts[1], "cost_amount"), "what both carriers will bill");
    world.caller.never(ms(1), "the late answer", |m| m.to_tag() == "late");
}

#[test]
fn p_07_every_2xx_of_a_fork_passes_and_the_call_ends_with_its_last_dialog() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    for tag in ["left", "right"] {
        alpha.reply(&got, 180, "Ringing", tag);
    }
    let mut legs = Vec::new();
    for tag in ["left", "right"] {
        alpha.reply(&got, 200, "OK", tag);
        let ok = world.caller.expect("each 200", |m| m.status() == Some(200) && m.to_tag() == tag);
        let leg: Leg = leg.confirmed(&ok);
        world.caller.send(node, &leg.ack());
        alpha.expect("its ACK", |m| m.method() == Some("ACK") && m.to_tag() == tag);
        legs.push(leg);
    }
    let answered = Instant::now();
    let mut hang_up = |n: usize| {
        let bye = legs[n].next("BYE", "", "");
        world.caller.send(node, &bye);
        let got = alpha.request("BYE");
        alpha.reply(&got, 200, "OK", "");
        world.caller.response(200, "BYE");
    };
    hang_up(0);
    std::thread::sleep(ms(500));
    assert!(world.node.finals(&leg.call_id).is_empty(), "one dialog is still up");
    assert_eq!(world.node.api.items("/v1/calls").len(), 1);
    hang_up(1);
    let ended = Instant::now();
    let (call, _) = world.node.cdrs(&leg.call_id, ended);
    check(&call, &json!({ "disposition": "answered", "attempts_total": 1, "hangup_party": "caller" }));
    call.lasted(ended - answered, "duration_ms");
}
