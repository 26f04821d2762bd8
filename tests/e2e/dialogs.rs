//! Requests inside a call: both ways, repeated, and only from whom they may come (P-17, P-22, X-07, RFC 6026).

use std::{net::SocketAddr, time::Instant};

use serde_json::json;

use crate::{
    harness::{Setup, World, check, ms},
    ua::{Leg, Msg, Ua, established, invite, unique},
};

const USA: &str = "12125550100";

/// Ends a call from the caller's side.
fn hang_up(world: &World, leg: &mut Leg) {
    world.caller.send(leg.node(), &leg.next("BYE", "", ""));
    let bye = world.alpha().request("BYE");
    world.alpha().reply(&bye, 200, "OK", "");
    world.caller.response(200, "BYE");
}

/// `from` asks with `method`, `to` answers 200, the answer comes back.
fn both_ways(from: &Ua, leg: &mut Leg, to: &Ua, method: &str, body: &str) -> Msg {
    from.send(leg.node(), &leg.next(method, "", body));
    let got = to.expect(method, |m| m.method() == Some(method) && m.cseq().0 == leg.cseq);
    assert!(got.all("Route").is_empty(), "our Route is taken off: {}", got.text);
    assert_eq!(got.body, body);
    to.reply(&got, 200, "OK", "");
    from.expect("its 200", |m| m.status() == Some(200) && m.cseq() == (leg.cseq, method))
}

#[test]
fn p_22_requests_in_a_call_pass_both_ways() {
    let world = World::new(1);
    let (mut caller, mut callee) = established(&world.caller, world.alpha(), world.node.sip, USA);
    for method in ["INFO", "UPDATE", "MESSAGE", "NOTIFY"] {
        both_ways(&world.caller, &mut caller, world.alpha(), method, "");
        both_ways(world.alpha(), &mut callee, &world.caller, method, "");
    }
    // re-INVITE with its own ACK, both ways.
    both_ways(&world.caller, &mut caller, world.alpha(), "INVITE", "v=0\r\nhold\r\n");
    world.caller.send(world.node.sip, &caller.ack());
    world.alpha().expect("the re-INVITE's ACK", |m| m.method() == Some("ACK") && m.cseq().0 == caller.cseq);
    both_ways(world.alpha(), &mut callee, &world.caller, "INVITE", "v=0\r\n");
    world.alpha().send(world.node.sip, &callee.ack());
    world.caller.expect("the re-INVITE's ACK", |m| m.method() == Some("ACK") && m.cseq().0 == callee.cseq);
    // A refused re-INVITE leaves the call up.
    world.caller.send(world.node.sip, &caller.next("INVITE", "", "v=0\r\n"));
    let got = world.alpha().expect("re-INVITE", |m| m.method() == Some("INVITE") && m.cseq().0 == caller.cseq);
    world.alpha().reply(&got, 488, "Not Acceptable Here", "");
    let refused = world.caller.response(488, "INVITE");
    let branch = world_branch(&refused);
    world.caller.send(world.node.sip, &caller.write("ACK", &branch, caller.cseq, "", ""));
    assert_eq!(world.node.api.items("/v1/calls").len(), 1);
    hang_up(&world, &mut caller);
    let (call, _) = world.node.cdrs(&caller.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "hangup_party": "caller" }));
}

/// The branch a response came back with: the request's.
fn world_branch(response: &Msg) -> String {
    response.branch().to_owned()
}

#[test]
fn p_07_a_reliable_provisional_and_its_prack_pass() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    let contact = format!("Contact: <sip:{}>\r\nRequire: 100rel\r\nRSeq: 1\r\n", alpha.addr);
    alpha.reply_with(&got, 183, "Session Progress", "t", &contact, "v=0\r\n");
    let early = world.caller.response(183, "INVITE");
    assert_eq!((early.header("RSeq"), early.header("Require")), ("1", "100rel"));
    let mut leg = leg.confirmed(&early);
    world.caller.send(node, &leg.next("PRACK", "RAck: 1 1 INVITE\r\n", ""));
    let prack = alpha.request("PRACK");
    assert_eq!(prack.header("RAck"), "1 1 INVITE");
    alpha.reply(&prack, 200, "OK", "");
    world.caller.response(200, "PRACK");
    both_ways(&world.caller, &mut leg, alpha, "UPDATE", "v=0\r\n");
    alpha.reply(&got, 200, "OK", "t");
    world.caller.response(200, "INVITE");
    let ack = leg.write("ACK", &unique("z9hG4bK-"), 1, "", "");
    world.caller.send(node, &ack);
    alpha.request("ACK");
    hang_up(&world, &mut leg);
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "first_18x_code": 183 }));
}

#[test]
fn rfc_6026_a_repeated_200_passes_until_the_ack_and_repeated_requests_are_absorbed() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = Leg::new(&world.caller, node, USA);
    let text = leg.invite("");
    for _ in 0..3 {
        world.caller.send(node, &text);
    }
    let got = alpha.request("INVITE");
    // Say something, or timer A repeats it too.
    alpha.reply(&got, 180, "Ringing", "t");
    world.caller.response(180, "INVITE");
    assert_eq!(alpha.repeated(|m| m.method() == Some("INVITE")), 0, "P-20: a repeated INVITE is no second one");
    alpha.never(ms(100), "a second INVITE", |m| m.method() == Some("INVITE"));
    for n in 0..3 {
        alpha.reply(&got, 200, "OK", "t");
        std::thread::sleep(ms(60));
        let passed = world.caller.repeated(|m| m.status() == Some(200));
        assert_eq!(passed, n, "each 200 passes");
    }
    let ok = world.caller.response(200, "INVITE");
    let mut leg = leg.confirmed(&ok);
    let ack = leg.ack();
    world.caller.send(node, &ack);
    world.caller.send(node, &ack);
    alpha.request("ACK");
    let bye = leg.next("BYE", "", "");
    for _ in 0..3 {
        world.caller.send(node, &bye);
    }
    let got = alpha.request("BYE");
    alpha.reply(&got, 200, "OK", "");
    world.caller.response(200, "BYE");
    world.caller.send(node, &bye);
    std::thread::sleep(ms(60));
    assert!(world.caller.repeated(|m| m.status() == Some(200) && m.cseq().1 == "BYE") >= 1, "the repeated BYE is answered from here");
    assert_eq!(alpha.repeated(|m| m.method() == Some("BYE")), 0);
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "attempts_total": 1 }));
}

#[test]
fn s_3_the_answer_to_a_bye_waits_for_one_commit_and_no_longer() {
    let world = World::new(1);
    let mut waits: Vec<_> = (0..5)
        .map(|_| {
            let (mut leg, _) = established(&world.caller, world.alpha(), world.node.sip, USA);
            let asked = Instant::now();
            world.caller.send(world.node.sip, &leg.next("BYE", "", ""));
            let bye = world.alpha().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == leg.call_id);
            world.alpha().reply(&bye, 200, "OK", "");
            world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == leg.call_id);
            asked.elapsed()
        })
        .collect();
    waits.sort_unstable();
    println!("BYE to 200 on a quiet node: {waits:?}");
    assert!(waits[2] < ms(150), "{waits:?}");
}

#[test]
fn p_17_an_answer_that_is_never_acknowledged_ends_by_64_t1() {
    // 64 times 25 ms.
    let world = World::of(Setup::new(1).timer("t1_ms", 25));
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    alpha.reply(&got, 200, "OK", "t");
    let answered = Instant::now();
    world.caller.response(200, "INVITE");
    let bye = alpha.request("BYE");
    let after = answered.elapsed();
    alpha.reply(&bye, 200, "OK", "");
    let bye = world.caller.request("BYE");
    world.caller.reply(&bye, 200, "OK", "");
    println!("BYE {after:?} after an answer without ACK, 64 T1 is 1.6 s");
    assert!(after > ms(1_500) && after < ms(3_000), "{after:?}");
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "hangup_party": "system", "end_reason": "no_ack", "ack_ts": null }));
    call.lasted(after, "duration_ms");
}

/// A BYE as the caller would write it, with everything right but who sends it.
fn forged(leg: &Leg) -> String {
    leg.write("BYE", &unique("z9hG4bK-forged"), leg.cseq + 7, "", "")
}

#[test]
fn p_22_a_bye_from_elsewhere_is_dropped_and_the_call_stays_up() {
    let mut setup = Setup::new(2);
    // The trunk is one address and port: another port of it is somebody else.
    let caller_at = SocketAddr::new(setup.net.caller().into(), 5070);
    setup.trunk()["sources"] = json!([caller_at.to_string()]);
    let net = setup.net;
    let mut world = World::of(setup);
    world.caller = Ua::at("caller", caller_at);
    let node = world.node.sip;
    let (mut caller, callee) = established(&world.caller, world.alpha(), node, USA);
    let other_port = Ua::on("another port of the caller's address", net.caller());
    let stranger = Ua::on("a stranger", net.stranger());
    for forger in [&other_port, &stranger, world.beta()] {
        for leg in [&caller, &callee] {
            forger.send(node, &forged(leg));
        }
    }
    // The carrier does not speak for the caller either.
    world.alpha().send(node, &forged(&caller));
    for (who, ua) in [("the caller", &world.caller), ("the carrier", world.alpha())] {
        ua.never(ms(150), &format!("a forged BYE ({who})"), |m| m.method() == Some("BYE"));
    }
    for forger in [&other_port, &stranger, world.beta()] {
        forger.never(ms(20), "an answer to a forged BYE", |_| true);
    }
    assert_eq!(world.node.api.items("/v1/calls").len(), 1, "the call is up");
    hang_up(&world, &mut caller);
    let (call, _) = world.node.cdrs(&caller.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "hangup_party": "caller", "end_reason": "normal" }));
}

#[test]
fn s_3_a_carriers_sibling_address_may_send_the_bye() {
    let mut setup = Setup::new(1);
    let sibling = setup.net.carrier(5);
    setup.carrier("alpha")["sources"] = json!([sibling.ip().to_string()]);
    let world = World::of(setup);
    let (caller, mut callee) = established(&world.caller, world.alpha(), world.node.sip, USA);
    let sibling = Ua::on("sibling", match sibling { SocketAddr::V4(v4) => *v4.ip(), SocketAddr::V6(_) => unreachable!("127/8") });
    sibling.send(world.node.sip, &callee.next("BYE", "", ""));
    let bye = world.caller.request("BYE");
    world.caller.reply(&bye, 200, "OK", "");
    let ended = Instant::now();
    sibling.response(200, "BYE");
    let (call, _) = world.node.cdrs(&caller.call_id, ended);
    check(&call, &json!({ "disposition": "answered", "hangup_party": "callee" }));
}

#[test]
fn s_3_an_address_learned_from_the_dialog_may_speak() {
    // The caller moves to an address of its re-INVITE's Contact that nobody announced.
    let world = World::new(1);
    let node = world.node.sip;
    let moved = Ua::on("the caller's new address", world.node.setup.net.stranger());
    let (mut caller, _) = established(&world.caller, world.alpha(), node, USA);
    let text = caller.next("INVITE", "", "v=0\r\n").replace(&format!("Contact: <sip:{}>", world.caller.addr), &format!("Contact: <sip:{}>", moved.addr));
    world.caller.send(node, &text);
    let got = world.alpha().expect("re-INVITE", |m| m.method() == Some("INVITE") && m.cseq().0 == caller.cseq);
    world.alpha().reply(&got, 200, "OK", "");
    world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().0 == caller.cseq);
    world.caller.send(node, &caller.ack());
    let bye = caller.next("BYE", "", "").replace(&world.caller.addr.to_string(), &moved.addr.to_string());
    moved.send(node, &bye);
    let got = world.alpha().request("BYE");
    world.alpha().reply(&got, 200, "OK", "");
    moved.response(200, "BYE");
    let (call, _) = world.node.cdrs(&caller.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "hangup_party": "caller" }));
}

#[test]
fn p_22_an_unknown_dialog_is_481_for_the_known_and_silence_for_strangers() {
    let world = World::new(1);
    let node = world.node.sip;
    let stranger = Ua::on("a stranger", world.node.setup.net.stranger());
    let mut leg = Leg::new(&world.caller, node, USA);
    leg.remote = format!("{};tag=nobody", leg.remote);
    for known in [&world.caller, world.alpha()] {
        known.send(node, &leg.next("BYE", "", "").replace(&world.caller.addr.to_string(), &known.addr.to_string()));
        known.response(481, "BYE");
    }
    stranger.send(node, &leg.next("BYE", "", ""));
    stranger.never(ms(150), "an answer", |_| true);
    // A token that was made up is as good as none.
    leg.routes = vec![format!("<sip:{node};lr;tg=0123456789abcdef0123456789abcdef>")];
    world.caller.send(node, &leg.next("BYE", "", ""));
    world.caller.expect("481", |m| m.status() == Some(481) && m.cseq().0 == leg.cseq);
}

#[test]
fn x_07_refer_in_a_trunks_call_is_not_passed() {
    let world = World::new(1);
    let (mut caller, _) = established(&world.caller, world.alpha(), world.node.sip, USA);
    world.caller.send(world.node.sip, &caller.next("REFER", "Refer-To: <sip:19005550100@127.0.0.1>\r\n", ""));
    let refused = world.caller.expect("a final", |m| m.status().is_some_and(|s| s >= 200) && m.cseq().1 == "REFER");
    assert_eq!(refused.status(), Some(403), "{}", refused.text);
    world.alpha().never(ms(100), "the REFER", |m| m.method() == Some("REFER"));
    hang_up(&world, &mut caller);
}
