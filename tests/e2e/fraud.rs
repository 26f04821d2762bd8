//! A verdict from live traffic: from the first fraudulent answer to the first refused INVITE and to the end of the live
//! calls, with a policy of low thresholds and with the proxy's own guard against one burst.

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{Setup, World, check, ms, wait_for},
    ua::{Leg, Msg, established, invite},
};

const UK: &str = "442079460100";
const USA: &str = "12125550100";

fn watched(rules: serde_json::Value) -> Setup {
    let mut setup = Setup::new(1).timer("no_answer_ms", 8_000);
    setup.doc("fraud_policy", "strict", json!({ "rules": rules, "block_s": 600, "block_scope": "dest_group", "sip_code": 403, "teardown": true }));
    setup.spec("account", "acme")["fraud_policy"] = "strict".into();
    setup
}

/// What the calls of an attack came to.
struct Attack {
    /// Calls that were up.
    up: Vec<Leg>,
    /// Calls the verdict fell on before they were answered.
    swept: Vec<Leg>,
    /// The first call that no carrier saw, and when it was refused.
    refused: Leg,
    refused_at: Instant,
    first_answer: Instant,
}

/// Calls a number again and again; the carrier answers whatever comes to it; until a call is refused at its INVITE.
fn attack(world: &World, number: &str) -> Attack {
    let (mut up, mut swept, mut first_answer) = (Vec::new(), Vec::new(), None);
    for _ in 0..60 {
        let leg = invite(&world.caller, world.node.sip, number);
        let own = |m: &Msg| m.call_id() == leg.call_id;
        let mut at_carrier = false;
        let end = wait_for("an answer", ms(5_000), || {
            if let Some(got) = world.alpha().within(ms(1), &|m: &Msg| own(m) && m.method() == Some("INVITE")) {
                at_carrier = true;
                world.alpha().reply(&got, 200, "OK", "t");
                first_answer.get_or_insert_with(Instant::now);
            }
            world.caller.within(ms(1), &|m: &Msg| own(m) && m.status().is_some_and(|s| s >= 200))
        });
        if end.status() == Some(200) {
            let leg = leg.confirmed(&end);
            world.caller.send(world.node.sip, &leg.ack());
            up.push(leg);
        } else {
            assert_eq!(end.status(), Some(403), "{}", end.text);
            world.caller.send(world.node.sip, &leg.ack_failure(&end));
            if !at_carrier {
                let first_answer = first_answer.expect("calls were answered");
                return Attack { up, swept, refused: leg, refused_at: Instant::now(), first_answer };
            }
            swept.push(leg);
        }
        std::thread::sleep(ms(20));
    }
    panic!("sixty calls and none was refused");
}

#[test]
fn f_01_a_verdict_refuses_the_next_invite_and_ends_the_live_calls() {
    let world = World::of(watched(json!([
        { "feature": "concurrent_calls", "watch": "international", "warning": "2", "critical": "4" },
    ])));
    let node = world.node.sip;
    // What nobody complains about stays up.
    let (good, _) = established(&world.caller, world.alpha(), node, USA);
    let Attack { up, swept, refused, refused_at: at, first_answer } = attack(&world, UK);
    assert!((3..=30).contains(&up.len()), "{} calls up before the verdict, {} swept; {:#?}", up.len(), swept.len(), world.node.api.items("/v1/alerts"));
    for leg in &up {
        for side in [&world.caller, world.alpha()] {
            let bye = side.expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == leg.call_id);
            side.reply(&bye, 200, "OK", "");
        }
    }
    let ended = Instant::now();
    println!(
        "first fraudulent answer to first refused INVITE {:?}, to the end of all {} live calls {:?}; {} were swept unanswered",
        at - first_answer, up.len(), ended - first_answer, swept.len()
    );
    assert!(ended - first_answer < ms(5_000));
    let alerts = wait_for("the alerts", ms(5_000), || {
        let alerts = world.node.api.items("/v1/alerts");
        alerts.iter().any(|a| a["severity"] == "critical").then_some(alerts)
    });
    assert!(alerts.iter().any(|a| a["severity"] == "warning"), "a warning came first: {alerts:?}");
    let (call, _) = world.node.cdrs(&refused.call_id, at);
    check(&call, &json!({ "disposition": "blocked", "fraud_action": "refused", "attempts_total": 0 }));
    let block = call.text("block_id");
    let shown = world.node.api.get(&format!("/v1/blocks/{block}"));
    assert_eq!((&shown["state"], &shown["scope"]["account"]), (&json!("active"), &json!("acme")));
    assert!(alerts.iter().any(|a| a["block_id"] == block && a["severity"] == "critical" && a["account"] == "acme"), "{alerts:?}");
    for leg in &swept {
        let (call, attempts) = world.node.cdrs_at_once(&leg.call_id, ended);
        check(&call, &json!({ "end_reason": "fraud_teardown", "hangup_party": "system", "answer_ts": null, "sell_amount": "0.000000" }));
        assert_eq!(attempts.len(), 1);
    }
    for leg in &up {
        let (call, attempts) = world.node.cdrs_at_once(&leg.call_id, ended);
        check(&call, &json!({ "disposition": "answered", "hangup_party": "system", "end_reason": "fraud_teardown", "fraud_action": "teardown" }));
        assert_eq!(attempts.len(), 1);
    }
    let live = world.node.api.items("/v1/calls");
    assert_eq!(live.len(), 1, "the good call is up: {live:?}");
    world.alpha().never(ms(1), "BYE of the good call", |m| m.method() == Some("BYE") && m.call_id() == good.call_id);
}

#[test]
fn f_01_spend_is_seen_while_calls_are_up() {
    // One call of 0.12 a minute owes 0.002 each second; ticks see it grow.
    let mut setup = watched(json!([{ "feature": "spend", "watch": "all", "window_s": 600, "warning": "0.002", "critical": "0.006" }]));
    setup.more = "[fraud]\ntick_ms = 200\n".to_owned();
    let world = World::of(setup);
    let (leg, _) = established(&world.caller, world.alpha(), world.node.sip, UK);
    let answered = Instant::now();
    for side in [&world.caller, world.alpha()] {
        let bye = side.expect("BYE", |m| m.method() == Some("BYE"));
        side.reply(&bye, 200, "OK", "");
    }
    println!("a call that owes 0.006 after 2 to 3 s was ended {:?} after its answer", answered.elapsed());
    assert!(answered.elapsed() > ms(1_500) && answered.elapsed() < ms(6_000));
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "end_reason": "fraud_teardown", "fraud_action": "teardown" }));
}

#[test]
fn f_16_two_hundred_invites_in_one_burst_do_not_outrun_the_guard() {
    let mut setup = Setup::new(1).timer("no_answer_ms", 8_000);
    setup.trunk()["dial"]["group_channels"] = 10.into();
    let world = World::of(setup);
    let legs: Vec<_> = (0..200).map(|_| invite(&world.caller, world.node.sip, UK)).collect();
    let (mut refused, mut ringing) = (0, 0);
    wait_for("each call's answer", ms(10_000), || {
        // The carrier keeps its calls ringing, or they would move on.
        while let Some(got) = world.alpha().within(ms(1), &|m: &Msg| m.method() == Some("INVITE")) {
            world.alpha().reply(&got, 180, "Ringing", "t");
            ringing += 1;
        }
        while let Some(no) = world.caller.within(ms(1), &|m: &Msg| m.status().is_some_and(|s| s >= 300)) {
            assert_eq!(no.status(), Some(403), "{}", no.text);
            let leg = legs.iter().find(|l| l.call_id == no.call_id()).expect("of ours");
            world.caller.send(world.node.sip, &leg.ack_failure(&no));
            refused += 1;
        }
        (refused + ringing >= 200).then_some(())
    });
    assert_eq!((refused, ringing), (190, 10));
    wait_for("ten calls are up", ms(2_000), || (world.node.api.items("/v1/calls?limit=1000").len() == 10).then_some(()));
}
