//! Limits of a trunk: each refusal has its answer and its event, and none stops an emergency call (S1-17, S1-75, P-45, P-50).

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    harness::{Setup, World, check, ms, wait_for},
    ua::{Leg, Msg, established, invite},
};

const USA: &str = "12125550100";

/// Sends `count` INVITEs at once and gives the answers of the refused ones and the legs of the others.
fn burst(world: &World, count: usize) -> (Vec<Msg>, Vec<Leg>) {
    let legs: Vec<_> = (0..count).map(|_| invite(&world.caller, world.node.sip, USA)).collect();
    let mut refused = Vec::new();
    let mut passed = Vec::new();
    for leg in legs {
        // Each is either at the carrier or refused.
        let answer = wait_for("one of both", ms(5_000), || {
            if let Some(no) = world.caller.within(ms(1), &|m: &Msg| m.call_id() == leg.call_id && m.status().is_some_and(|s| s >= 300)) {
                return Some(Some(no));
            }
            let at_carrier = world.alpha().within(ms(1), &|m: &Msg| m.call_id() == leg.call_id && m.method() == Some("INVITE"));
            at_carrier.map(|got| {
                world.alpha().reply(&got, 180, "Ringing", "t");
                None
            })
        });
        match answer {
            Some(no) => {
                world.caller.send(world.node.sip, &leg.ack_failure(&no));
                refused.push(no);
            }
            None => passed.push(leg),
        }
    }
    (refused, passed)
}

/// Rows of refused calls with this reason, once there are `count`.
fn blocked(world: &World, reason: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} rows of {reason}"), ms(5_000), || {
        let rows: Vec<_> = world.node.api.items("/v1/cdrs?disposition=blocked&limit=1000").into_iter().filter(|c| c["block_reason"] == reason).collect();
        (rows.len() >= count).then_some(rows)
    })
}

#[test]
fn s1_17_thirty_simultaneous_invites_pass_twenty() {
    let mut setup = Setup::new(1).timer("no_answer_ms", 8_000);
    (setup.trunk()["cps"], setup.trunk()["burst"]) = (10.into(), 20.into());
    setup.carrier("alpha")["emergency"] = true.into();
    let world = World::of(setup);
    let (refused, passed) = burst(&world, 30);
    // Tokens come back at 10 a second while the thirty are read.
    assert!((20..=21).contains(&passed.len()), "{} pass", passed.len());
    for no in &refused {
        assert_eq!((no.status(), no.has("Retry-After")), (Some(503), false), "P-45: {}", no.text);
    }
    let rows = blocked(&world, "cps_limit", refused.len());
    assert_eq!(rows.len(), refused.len(), "S1-75: one event for each refusal");
    for row in &rows {
        assert_eq!((&row["sip_final_code"], &row["cps_limited"], &row["attempts_total"], &row["count"]), (&json!(503), &json!(true), &json!(0), &json!(1)));
    }
    // Emergency passes at the limit.
    let leg = invite(&world.caller, world.node.sip, "911");
    world.alpha().expect("the emergency call", |m| m.call_id() == leg.call_id);
}

#[test]
fn s1_75_identical_refusals_beyond_a_rate_are_one_counted_event() {
    let mut setup = Setup::new(1);
    (setup.trunk()["cps"], setup.trunk()["burst"]) = (1.into(), 1.into());
    let world = World::of(setup);
    const SENT: u64 = 300;
    let legs: Vec<_> = (0..SENT).map(|_| invite(&world.caller, world.node.sip, USA)).collect();
    let total = wait_for("every refusal in the count", ms(8_000), || {
        let rows = world.node.api.items("/v1/cdrs?disposition=blocked&limit=1000");
        let sum: u64 = rows.iter().filter(|r| r["block_reason"] == "cps_limit").filter_map(|r| r["count"].as_u64()).sum();
        (sum + 3 >= SENT).then_some((sum, rows.len()))
    });
    println!("{} refusals in {} rows", total.0, total.1);
    assert!(total.0 < SENT && total.1 < 260, "{total:?}");
    drop(legs);
}

#[test]
fn p_45_channels_are_given_back_on_every_way_out() {
    let mut setup = Setup::new(1);
    setup.trunk()["channels"] = 2.into();
    let world = World::of(setup);
    let node = world.node.sip;
    let refusal = |what: &str| {
        let leg = invite(&world.caller, node, USA);
        let no = world.caller.expect(what, |m| m.status().is_some_and(|s| s >= 300) && m.call_id() == leg.call_id);
        world.caller.send(node, &leg.ack_failure(&no));
        assert_eq!((no.status(), no.has("Retry-After")), (Some(503), false), "{}", no.text);
    };
    for round in 0..3 {
        let (mut one, _) = established(&world.caller, world.alpha(), node, USA);
        let ringing = invite(&world.caller, node, USA);
        let got = world.alpha().expect("INVITE", |m| m.call_id() == ringing.call_id);
        world.alpha().reply(&got, 180, "Ringing", "t");
        refusal("the third call's refusal");
        // A ringing call fails, an answered one ends: both give their channel back.
        world.alpha().reply(&got, 486, "Busy Here", "t");
        let end = world.caller.expect("486", |m| m.status() == Some(486) && m.call_id() == ringing.call_id);
        world.caller.send(node, &ringing.ack_failure(&end));
        world.caller.send(node, &one.next("BYE", "", ""));
        let bye = world.alpha().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == one.call_id);
        world.alpha().reply(&bye, 200, "OK", "");
        world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == one.call_id);
        println!("round {round} done");
    }
    for row in blocked(&world, "channel_limit", 3) {
        assert_eq!((&row["channel_limited"], &row["sip_final_code"]), (&json!(true), &json!(503)));
    }
}

#[test]
fn p_45_a_full_carrier_is_passed_over() {
    let mut setup = Setup::new(2);
    setup.carrier("alpha")["channels"] = 1.into();
    let world = World::of(setup);
    let node = world.node.sip;
    let (mut first, _) = established(&world.caller, world.alpha(), node, USA);
    let (mut second, _) = established(&world.caller, &world.carriers[1], node, USA);
    for (leg, carrier) in [(&mut first, &world.carriers[0]), (&mut second, &world.carriers[1])] {
        world.caller.send(node, &leg.next("BYE", "", ""));
        let bye = carrier.request("BYE");
        carrier.reply(&bye, 200, "OK", "");
        world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == leg.call_id);
    }
    let (call, attempts) = world.node.cdrs(&second.call_id, Instant::now());
    check(&call, &json!({ "carrier": "beta", "attempts_total": 1, "disposition": "answered" }));
    check(&attempts[0], &json!({ "route_rank": 1 }));
    assert!(call.text("route_explain").contains(r#""alpha","rank":0,"reason":"carrier_channels""#), "{}", call.text("route_explain"));
    // Its channel is free again.
    established(&world.caller, world.alpha(), node, USA);
}

#[test]
fn p_50_emergency_passes_a_full_trunk() {
    let mut setup = Setup::new(2);
    setup.trunk()["channels"] = 1.into();
    (setup.trunk()["cps"], setup.trunk()["burst"]) = (1.into(), 1.into());
    setup.carrier("beta")["emergency"] = true.into();
    let world = World::of(setup);
    let node = world.node.sip;
    let (_up, _) = established(&world.caller, world.alpha(), node, USA);
    let body = "pidf-lo, byte for byte \t as it came\r\n";
    for (n, urn) in [false, true].into_iter().enumerate() {
        let leg = Leg::new(&world.caller, node, "911");
        let mut text = leg.write("INVITE", &leg.branch, 1, "Geolocation: <cid:here@acme>\r\n", body);
        if urn {
            text = text.replacen(&leg.target, "urn:service:sos.fire", 1);
        }
        world.caller.send(node, &text);
        let got = world.beta().expect("the emergency call at the carrier that takes them", |m| m.call_id() == leg.call_id);
        assert_eq!((got.header("Geolocation"), got.body.as_str()), ("<cid:here@acme>", body));
        if urn {
            assert_eq!(got.uri(), "urn:service:sos.fire");
        }
        world.beta().reply(&got, 200, "OK", "t");
        let ok = world.caller.expect("200", |m| m.status() == Some(200) && m.call_id() == leg.call_id);
        let mut leg = leg.confirmed(&ok);
        world.caller.send(node, &leg.ack());
        world.caller.send(node, &leg.next("BYE", "", ""));
        let bye = world.beta().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == leg.call_id);
        world.beta().reply(&bye, 200, "OK", "");
        let (call, _) = world.node.cdrs_at_once(&leg.call_id, Instant::now());
        check(&call, &json!({ "emergency_flag": true, "service_type": "emergency", "disposition": "answered", "carrier": "beta" }));
        println!("emergency call {n} passed");
    }
    // And past a block of the whole account.
    let (status, _) = world.node.api.post("/v1/blocks", &json!({ "scope": { "account": "acme" }, "reason": "closed", "teardown": true }));
    assert_eq!(status, 201);
    std::thread::sleep(ms(200));
    let leg = invite(&world.caller, node, "911");
    world.beta().expect("the emergency call", |m| m.call_id() == leg.call_id);
}

#[test]
fn s_3_refusals_have_their_own_status_and_say_what_they_are() {
    let mut setup = Setup::new(1);
    setup.trunk()["dial"]["deny"] = json!(["1212666"]);
    setup.spec("account", "acme")["credit_limit"] = "0.05".into();
    let world = World::of(setup);
    for (number, status, cause, reason) in
        [("1", 484, 28, "invalid_number"), ("12126660100", 403, 21, "destination_denied"), ("33142685300", 404, 3, "no_sell_price"), ("99912345678", 404, 3, "unknown_destination"), (USA, 402, 21, "credit")]
    {
        let leg = invite(&world.caller, world.node.sip, number);
        let no = world.caller.expect("a refusal", |m| m.status().is_some_and(|s| s >= 300) && m.call_id() == leg.call_id);
        assert_eq!(no.status(), Some(status), "{number}: {}", no.text);
        world.caller.send(world.node.sip, &leg.ack_failure(&no));
        let (call, attempts) = world.node.cdrs_at_once(&leg.call_id, Instant::now());
        check(&call, &json!({ "disposition": "blocked", "sip_final_code": status, "q850_cause": cause, "block_reason": reason, "hangup_party": "system", "attempts_total": 0, "account": "acme" }));
        assert!(attempts.is_empty());
    }
    world.alpha().never(ms(50), "a refused call", |_| true);
}
