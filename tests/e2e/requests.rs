//! Requests that are not served, each with its own status (P-01, P-20, P-21, P-23), and OPTIONS.

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{Setup, World, check, ms, wait_for},
    ua::{Leg, Ua, invite, unique},
};

const USA: &str = "12125550100";

/// Sends an INVITE changed by `change` and gives the final's status.
#[track_caller]
fn refused(world: &World, change: impl Fn(&Leg, String) -> String) -> (u16, crate::ua::Msg) {
    let leg = Leg::new(&world.caller, world.node.sip, USA);
    world.caller.send(world.node.sip, &change(&leg, leg.invite("")));
    let end = world.caller.expect("a final", |m| m.status().is_some_and(|s| s >= 200) && m.call_id() == leg.call_id);
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    (end.status().unwrap_or_default(), end)
}

#[test]
fn p_01_each_mistake_has_its_own_status() {
    let world = World::new(1);
    let (status, _) = refused(&world, |_, text| text.replacen("INVITE sip:", "INVITE fax:", 1));
    assert_eq!(status, 416);
    let (status, _) = refused(&world, |_, text| text.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(status, 483);
    let (status, end) = refused(&world, |_, text| text.replace("Max-Forwards: 70\r\n", "Max-Forwards: 70\r\nProxy-Require: nothing-we-know\r\n"));
    assert_eq!((status, end.header("Unsupported")), (420, "nothing-we-know"));
    let (status, _) = refused(&world, |_, text| text.replace("1 INVITE\r\n", "1 BYE\r\n"));
    assert_eq!(status, 400, "CSeq names another method");
    let (status, _) = refused(&world, |_, text| text.replacen("INVITE sip:12125550100@", "INVITE sip:12@", 1));
    assert_eq!(status, 484);
    world.alpha().never(ms(100), "a request that should not pass", |_| true);
    // Without Max-Forwards there are 70.
    let leg = Leg::new(&world.caller, world.node.sip, USA);
    world.caller.send(world.node.sip, &leg.invite("").replace("Max-Forwards: 70\r\n", ""));
    let got = world.alpha().request("INVITE");
    assert_eq!(got.header("Max-Forwards"), "70");
    world.alpha().reply(&got, 486, "Busy Here", "t");
}

#[test]
fn p_21_sizes_are_limited() {
    let world = World::new(1);
    let (status, _) = refused(&world, |_, text| text.replacen("INVITE sip:12125550100@", &format!("INVITE sip:12125550100{}@", "0".repeat(2_000)), 1));
    assert_eq!(status, 414);
    // The most one datagram can carry.
    let (status, _) = refused(&world, |_, text| text.replace("Max-Forwards", &format!("X-Long: {}\r\nMax-Forwards", "x".repeat(64_000))));
    assert_eq!(status, 513);
    world.alpha().never(ms(100), "an oversized request", |_| true);
}

#[test]
fn p_20_a_merged_request_is_refused_and_a_repeated_one_is_not() {
    let world = World::new(1);
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 180, "Ringing", "t");
    // The same request by another way.
    let mut merged = leg.clone();
    merged.branch = unique("z9hG4bK-other");
    world.caller.send(world.node.sip, &merged.invite(""));
    let end = world.caller.response(482, "INVITE");
    assert_eq!(end.branch(), merged.branch);
    world.caller.send(world.node.sip, &merged.ack_failure(&end));
    world.alpha().never(ms(100), "the merged request", |m| m.method() == Some("INVITE"));
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.response(486, "INVITE");
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    let mut answers = Vec::new();
    wait_for("both CDRs", ms(5_000), || {
        answers = world.node.finals(&leg.call_id).iter().map(|c| c.int("sip_final_code")).collect();
        answers.sort_unstable();
        (answers.len() == 2).then_some(())
    });
    assert_eq!(answers, [482, 486]);
}

#[test]
fn p_01_our_own_via_is_a_loop() {
    let world = World::new(1);
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    // What we sent comes back to us through the caller.
    let again = Leg::new(&world.caller, world.node.sip, USA);
    let text = again.invite("").replacen("Max-Forwards", &format!("Via: {}\r\nMax-Forwards", got.all("Via")[0]), 1);
    world.caller.send(world.node.sip, &text);
    let end = world.caller.expect("482", |m| m.status() == Some(482) && m.call_id() == again.call_id);
    world.caller.send(world.node.sip, &again.ack_failure(&end));
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.expect("486", |m| m.status() == Some(486));
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    let (call, _) = world.node.cdrs(&again.call_id, Instant::now());
    check(&call, &json!({ "disposition": "blocked", "sip_final_code": 482, "block_reason": "loop_detected", "attempts_total": 0 }));
}

#[test]
fn r_42_a_call_that_comes_back_from_where_it_was_sent_ends_after_one_lap() {
    let mut setup = Setup::new(2);
    let them = setup.net.numbered(30);
    // The carrier sends us calls, too: from another address, under its own trunk.
    setup.doc("trunk", "alpha-in", json!({ "account": "acme", "sources": [them.to_string()], "party": "alpha", "numbers": { "country_code": "1" } }));
    let world = World::of(setup);
    let theirs = Ua::on("alpha's other side", them);
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    // A B2BUA: it finds us cheapest, and nothing of the call but its two numbers is as it was.
    let again = invite(&theirs, world.node.sip, USA);
    let end = theirs.expect("482", |m| m.status() == Some(482) && m.call_id() == again.call_id);
    theirs.send(world.node.sip, &again.ack_failure(&end));
    // Another of their calls is a call, and does not go back to them.
    let other = invite(&theirs, world.node.sip, "12125550101");
    let at_beta = world.beta().expect("INVITE", |m| m.call_id() == other.call_id);
    world.beta().reply(&at_beta, 486, "Busy Here", "b");
    let end = theirs.expect("486", |m| m.status() == Some(486) && m.call_id() == other.call_id);
    theirs.send(world.node.sip, &other.ack_failure(&end));
    world.alpha().reply(&got, 486, "Busy Here", "a");
    let end = world.caller.expect("486", |m| m.status() == Some(486));
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    let (call, _) = world.node.cdrs(&again.call_id, Instant::now());
    check(&call, &json!({ "disposition": "blocked", "sip_final_code": 482, "block_reason": "loop_detected", "attempts_total": 0 }));
    let (call, _) = world.node.cdrs(&other.call_id, Instant::now());
    let why: serde_json::Value = serde_json::from_str(call.text("route_explain")).expect("JSON");
    assert_eq!((&why[1]["carrier"], &why[1]["reason"]), (&json!("alpha"), &json!("loop")));
}

#[test]
fn r_42_a_call_redirected_more_than_five_times_is_refused() {
    let world = World::new(1);
    let diverted = |n: usize| (0..n).map(|i| format!("Diversion: <sip:{i}@example.net>;reason=unconditional\r\n")).collect::<String>();
    let history = |n: usize| format!("History-Info: {}\r\n", (0..n).map(|i| format!("<sip:{i}@example.net>;index=1.{i}")).collect::<Vec<_>>().join(", "));
    let with = |more: String| refused(&world, move |_, text| text.replacen("Max-Forwards", &format!("{more}Max-Forwards"), 1)).0;
    assert_eq!((with(diverted(6)), with(history(7))), (483, 483));
    // Five are let in, and are the carrier's to answer.
    for more in [diverted(5), history(6)] {
        let leg = Leg::new(&world.caller, world.node.sip, USA);
        world.caller.send(world.node.sip, &leg.invite(&more));
        let got = world.alpha().expect("INVITE", |m| m.method() == Some("INVITE") && m.call_id() == leg.call_id);
        world.alpha().reply(&got, 486, "Busy Here", &unique("t"));
        let end = world.caller.expect("486", |m| m.status() == Some(486) && m.call_id() == leg.call_id);
        world.caller.send(world.node.sip, &leg.ack_failure(&end));
    }
}

#[test]
fn p_23_answers_go_where_the_via_says() {
    let world = World::new(1);
    let node = world.node.sip;
    // rport: back to where it came from, with both filled in.
    let leg = invite(&world.caller, node, USA);
    let trying = world.caller.response(100, "INVITE");
    let via = trying.header("Via").to_owned();
    assert!(via.contains(&format!("rport={}", world.caller.addr.port())) && via.contains(&format!("received={}", world.caller.addr.ip())), "{via}");
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.expect("486", |m| m.status() == Some(486) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&end));
    // Without rport: to the port the Via names.
    let at_sent_by = Ua::on("sent-by", world.node.setup.net.caller());
    let leg = Leg::new(&world.caller, node, USA);
    let text = leg.invite("").replace(&format!("UDP {};branch={};rport", world.caller.addr, leg.branch), &format!("UDP {};branch={}", at_sent_by.addr, leg.branch));
    world.caller.send(node, &text);
    at_sent_by.response(100, "INVITE");
    let got = world.alpha().expect("INVITE", |m| m.call_id() == leg.call_id);
    world.alpha().reply(&got, 486, "Busy Here", "t");
    at_sent_by.response(486, "INVITE");
    world.caller.never(ms(20), "what was for the Via's port", |m| m.call_id() == leg.call_id);
}

#[test]
fn vias_in_one_line_are_as_good_as_in_many() {
    let world = World::new(1);
    let leg = Leg::new(&world.caller, world.node.sip, USA);
    let before = "SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bK-before, SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK-first";
    let text = leg.invite("").replacen(";rport\r\n", &format!(";rport, {before}\r\n"), 1);
    world.caller.send(world.node.sip, &text);
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.response(486, "INVITE");
    let vias = end.all("Via").join(", ");
    assert!(!vias.contains(&world.node.sip.to_string()) && vias.contains(&leg.branch), "{vias}");
    assert!(vias.ends_with(before), "the others stay, in order: {vias}");
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
}

#[test]
fn s_3_options_and_methods_outside_a_call() {
    let world = World::new(1);
    let node = world.node.sip;
    for peer in [&world.caller, world.alpha()] {
        let leg = Leg::new(peer, node, "");
        peer.send(node, &leg.write("OPTIONS", &unique("z9hG4bK-"), 1, "", ""));
        let ok = peer.response(200, "OPTIONS");
        assert!(ok.header("Allow").contains("INVITE"), "{}", ok.text);
    }
    for method in ["REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "FROBNICATE"] {
        let leg = Leg::new(&world.caller, node, USA);
        world.caller.send(node, &leg.write(method, &unique("z9hG4bK-"), 1, "", ""));
        let no = world.caller.response(405, method);
        assert!(no.header("Allow").contains("INVITE"), "{}", no.text);
    }
    let stranger = Ua::on("a stranger", world.node.setup.net.stranger());
    stranger.send(node, &Leg::new(&stranger, node, "").write("OPTIONS", &unique("z9hG4bK-"), 1, "", ""));
    stranger.never(ms(150), "an answer", |_| true);
}

#[test]
fn x_01_garbage_is_dropped_and_counted_and_the_rest_goes_on() {
    let world = World::new(1);
    let node = world.node.sip;
    let good = Leg::new(&world.caller, node, USA).invite("");
    let mut junk: Vec<Vec<u8>> = vec![b"\r\n\r\n".to_vec(), b"\0".to_vec(), vec![0xff; 1400], b"GET / HTTP/1.1\r\n\r\n".to_vec(), Vec::new()];
    // Every prefix of a good message, and one with each line cut out.
    junk.extend((1..good.len()).step_by(17).map(|n| good.as_bytes()[..n].to_vec()));
    let lines: Vec<&str> = good.split("\r\n").collect();
    junk.extend((0..lines.len()).map(|skip| {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| *l).collect();
        kept.join("\r\n").replace("call-", "junk-").into_bytes()
    }));
    for datagram in &junk {
        world.caller.send_bytes(node, datagram);
        world.alpha().send_bytes(node, datagram);
    }
    let malformed = wait_for("malformed datagrams are counted", ms(5_000), || {
        Some(world.node.api.metric("tollgate_sip_malformed")).filter(|n| *n >= 20.0)
    });
    println!("{malformed} of {} datagrams are counted as malformed", junk.len() * 2);
    let leg = invite(&world.caller, node, USA);
    let got = world.alpha().expect("a good call", |m| m.call_id() == leg.call_id);
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.expect("its final", |m| m.status() == Some(486) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&end));
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "busy" }));
}
