//! Ending a call from here, by its state (P-60 to P-63), and what still comes afterwards.

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{Setup, World, check, ms},
    ua::{established, invite},
};

const USA: &str = "12125550100";

/// Ends the call to `USA` by command and gives when the order was taken.
fn end(world: &World, state: &str) -> Instant {
    let id = world.node.live(USA, state);
    let ordered = Instant::now();
    let (status, answer) = world.node.api.post(&format!("/v1/calls/{id}/end"), &json!({ "reason": "a test wants it" }));
    assert_eq!(status, 202, "{answer}");
    ordered
}

#[test]
fn p_61_a_live_call_gets_bye_on_both_legs_within_a_second() {
    let world = World::new(1);
    let node = world.node.sip;
    let (mut caller, mut callee) = established(&world.caller, world.alpha(), node, USA);
    // Each side has its own count of requests.
    for _ in 0..3 {
        world.caller.send(node, &caller.next("INFO", "", ""));
        let got = world.alpha().expect("INFO", |m| m.method() == Some("INFO") && m.cseq().0 == caller.cseq);
        world.alpha().reply(&got, 200, "OK", "");
        world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().0 == caller.cseq);
    }
    let ordered = end(&world, "answered");
    let at_callee = world.alpha().request("BYE");
    let at_caller = world.caller.request("BYE");
    println!("BYE at both sides {:?} after the command", ordered.elapsed());
    assert!(ordered.elapsed() < ms(1_000));
    assert!(at_callee.cseq().0 > caller.cseq, "P-60: as if from the caller, after its last request: {}", at_callee.text);
    assert_eq!((at_callee.from_tag(), at_caller.to_tag()), (tag(&caller.local), tag(&caller.local)));
    assert!(at_caller.header("Reason").contains("Q.850"), "{}", at_caller.text);
    for bye in [&at_callee, &at_caller] {
        assert!(!bye.text.contains("a test wants it"), "P-61: the reason is ours: {}", bye.text);
    }
    // Unanswered, they are repeated; a BYE that crosses is content, other requests find no call.
    std::thread::sleep(ms(200));
    assert!(world.caller.repeated(|m| m.method() == Some("BYE")) >= 1 && world.alpha().repeated(|m| m.method() == Some("BYE")) >= 1);
    world.caller.send(node, &caller.next("INFO", "", ""));
    world.caller.expect("481", |m| m.status() == Some(481) && m.cseq().1 == "INFO");
    world.caller.send(node, &caller.next("BYE", "", ""));
    world.alpha().send(node, &callee.next("BYE", "", ""));
    world.caller.response(200, "BYE");
    world.alpha().response(200, "BYE");
    world.caller.reply(&at_caller, 481, "Call/Transaction Does Not Exist", "");
    world.alpha().reply(&at_callee, 200, "OK", "");
    let (call, attempts) = world.node.cdrs(&caller.call_id, ordered);
    check(&call, &json!({ "disposition": "answered", "hangup_party": "system", "end_reason": "command", "attempts_total": 1 }));
    check(&attempts[0], &json!({ "disposition": "answered", "hangup_party": "system" }));
    world.node.is_idle();
}

fn tag(value: &str) -> &str {
    value.split(";tag=").nth(1).unwrap_or_default()
}

#[test]
fn p_61_a_ringing_call_gets_cancel_and_a_final() {
    let world = World::new(2);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    alpha.reply(&got, 180, "Ringing", "t");
    world.caller.response(180, "INVITE");
    let ordered = end(&world, "ringing");
    let cancel = alpha.request("CANCEL");
    alpha.reply(&cancel, 200, "OK", "t");
    alpha.reply(&got, 487, "Request Terminated", "t");
    alpha.request("ACK");
    let last = world.caller.expect("a final", |m| m.status().is_some_and(|s| s >= 300));
    world.caller.send(node, &leg.ack_failure(&last));
    world.beta().never(ms(100), "a call that was ended", |_| true);
    let (call, _) = world.node.cdrs(&leg.call_id, ordered);
    check(&call, &json!({ "hangup_party": "system", "end_reason": "command", "attempts_total": 1, "answer_ts": null }));
    assert_eq!(call.int("sip_final_code"), u64::from(last.status().unwrap_or_default()));
}

#[test]
fn p_61_answered_but_not_acknowledged_the_200_goes_on_until_the_ack_and_then_bye() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let leg = invite(&world.caller, node, USA);
    let got = alpha.request("INVITE");
    alpha.reply(&got, 200, "OK", "t");
    let ok = world.caller.response(200, "INVITE");
    let ordered = end(&world, "answered");
    alpha.request("ACK");
    let bye = alpha.request("BYE");
    alpha.reply(&bye, 200, "OK", "");
    std::thread::sleep(ms(300));
    assert!(world.caller.repeated(|m| m.status() == Some(200)) >= 1, "the 200 goes on without the carrier");
    world.caller.never(ms(1), "BYE before its ACK", |m| m.method() == Some("BYE"));
    world.caller.send(node, &leg.confirmed(&ok).ack());
    let bye = world.caller.request("BYE");
    world.caller.reply(&bye, 200, "OK", "");
    let (call, _) = world.node.cdrs(&leg.call_id, ordered);
    check(&call, &json!({ "disposition": "answered", "hangup_party": "system", "end_reason": "command" }));
}

#[test]
fn p_62_a_re_invite_crossing_the_teardown_does_not_revive_the_call() {
    let world = World::new(1);
    let (alpha, node) = (world.alpha(), world.node.sip);
    let (mut caller, _) = established(&world.caller, alpha, node, USA);
    world.caller.send(node, &caller.next("INVITE", "", "v=0\r\n"));
    let got = alpha.expect("re-INVITE", |m| m.method() == Some("INVITE") && m.cseq().0 == caller.cseq);
    let ordered = end(&world, "answered");
    let at_callee = alpha.request("BYE");
    let at_caller = world.caller.request("BYE");
    // Its final still passes, and its 2xx is acknowledged from here if the caller, who has hung up, does not.
    alpha.reply(&got, 200, "OK", "");
    world.caller.expect("the re-INVITE's 200", |m| m.status() == Some(200) && m.cseq() == (caller.cseq, "INVITE"));
    alpha.expect("the re-INVITE's ACK", |m| m.method() == Some("ACK") && m.cseq().0 == caller.cseq);
    alpha.reply(&at_callee, 200, "OK", "");
    world.caller.reply(&at_caller, 200, "OK", "");
    let (call, _) = world.node.cdrs(&caller.call_id, ordered);
    check(&call, &json!({ "disposition": "answered", "hangup_party": "system", "end_reason": "command" }));
    world.node.is_idle();
}

#[test]
fn p_63_a_call_has_a_longest_duration() {
    let world = World::of(Setup::new(1).timer("max_call_ms", 1_000));
    let (caller, _) = established(&world.caller, world.alpha(), world.node.sip, USA);
    for side in [&world.caller, world.alpha()] {
        let bye = side.request("BYE");
        side.reply(&bye, 200, "OK", "");
    }
    let (call, _) = world.node.cdrs(&caller.call_id, Instant::now());
    check(&call, &json!({ "disposition": "answered", "hangup_party": "system", "end_reason": "max_duration" }));
    call.lasted(ms(1_000), "duration_ms");
}

#[test]
fn r_17_a_carriers_maximum_charge_ends_the_call_before_it_is_passed() {
    let mut setup = Setup::new(1);
    // 0.03 a minute by the second: two of them come to 0.001.
    setup.spec("deck", "alpha-cost")["tariff"] = json!({ "max_charge": "0.001", "at_max": "disconnect", "attempt_fee": "0.0002" });
    setup.spec("deck", "sell")["tariff"] = json!({ "call_fee": "0.002" });
    let world = World::of(setup);
    let (caller, _) = established(&world.caller, world.alpha(), world.node.sip, USA);
    for side in [&world.caller, world.alpha()] {
        let bye = side.request("BYE");
        side.reply(&bye, 200, "OK", "");
    }
    let (call, attempts) = world.node.cdrs(&caller.call_id, Instant::now());
    check(&call, &json!({
        "disposition": "answered", "hangup_party": "system", "end_reason": "max_charge", "billed_sec_cost": 2, "billed_sec_sell": 60,
        "cost_amount": "0.001200", "cost_lines": r#"[{"name":"usage","amount":"0.001000"},{"name":"attempt","amount":"0.000200"}]"#,
        "sell_amount": "0.072000", "sell_lines": r#"[{"name":"usage","amount":"0.070000"},{"name":"call","amount":"0.002000"}]"#,
        "per_call_fees": "0.002000",
    }));
    check(&attempts[0], &json!({ "end_reason": "max_charge", "cost_amount": "0.001200" }));
    call.lasted(ms(1_900), "duration_ms");
}

#[test]
fn an_unknown_call_cannot_be_ended() {
    let world = World::new(1);
    let (status, answer) = world.node.api.post("/v1/calls/07070707-0707-0707-0707-070707070707/end", &json!({}));
    assert_eq!((status, answer["status"].as_u64()), (404, Some(404)));
}
