//! Calls between SIPp and SIPp: each leaves one call CDR and one CDR for each carrier tried, with the right times, codes
//! and money.

use std::time::Instant;

use serde_json::json;

use crate::{
    harness::{Cdr, Net, Node, Setup, Sipp, check, micros, money, ms, per_second, scenario},
    ua::{Ua, unique},
};

const USA: &str = "12125550100";
const UK: &str = "442079460100";

/// One call of SIPp's from the trunk, whose Call-ID is given back.
fn call(node: &Node, xml: String, number: &str) -> (Sipp, String) {
    let word = unique("sipp-");
    let sipp = Sipp::caller(xml, node.setup.net.caller(), node.sip, number, 1, &["-cid_str", &format!("{word}-%u")]);
    (sipp, format!("{word}-1"))
}

/// What a call costs a customer: +1 by whole minutes and a connect fee.
fn sold_usa(cdr: &Cdr) -> i64 {
    60_000 * cdr.int("duration_ms").div_ceil(60_000) as i64 + 10_000
}

/// Money of an answered call: sold as `sold`, bought from the carrier by the second at `cost` millionths a minute.
fn earns(call: &Cdr, attempt: &Cdr, sold: i64, cost: i64) {
    let cost = per_second(cost, call.int("duration_ms"));
    check(call, &json!({ "sell_amount": money(sold), "cost_amount": money(cost), "margin_base": money(sold - cost), "sell_currency": "USD", "rating_status": "rated" }));
    check(attempt, &json!({ "sell_amount": money(sold), "cost_amount": money(cost), "rating_status": "rated" }));
}

fn earns_nothing(cdrs: &[&Cdr]) {
    for cdr in cdrs {
        check(cdr, &json!({ "sell_amount": money(0), "cost_amount": money(0), "duration_ms": 0, "answer_ts": null }));
    }
}

fn unavailable(net: Net, n: usize) -> Ua {
    Ua::at("a carrier that never answers", net.carrier(n))
}

#[test]
fn s_2_an_answered_call_that_the_caller_ends() {
    let node = Node::start(Setup::new(1));
    let mut carrier = Sipp::carrier("alpha", scenario!("carrier_answers", "MS" => 300), node.setup.net.carrier(0), 1);
    let (mut caller, id) = call(&node, scenario!("caller_hangs_up", "MS" => 1300), USA);
    caller.passes();
    let ended = Instant::now();
    carrier.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({
        "record_type": "final", "cdr_version": 1, "disposition": "answered", "sip_final_code": 200, "q850_cause": 16,
        "hangup_party": "caller", "end_reason": "normal", "carrier": "alpha", "attempts_total": 1, "attempt_no": 1,
        "account": "acme", "trunk": "acme-in", "auth_method": "ip", "ingress_src_ip": node.setup.net.caller().to_string(),
        "ingress_src_port": 5060, "a_number_e164": "12125550199", "b_number_raw": USA, "b_number_e164": USA, "b_dest_group": "usa",
        "first_18x_code": 180, "duration_confidence": "exact", "sell_prefix": "1", "emergency_flag": false, "count": 1,
        "sell_deck": "sell", "billed_sec_sell": 60, "billed_sec_cost": 2, "fraud_action": "none", "block_id": null,
    }));
    check(&attempts[0], &json!({
        "record_type": "attempt", "disposition": "answered", "sip_final_code": 200, "carrier": "alpha", "cost_deck": "alpha-cost",
        "egress_dst_ip": node.setup.net.carrier(0).ip().to_string(), "egress_dst_port": 5060, "hangup_party": "caller",
    }));
    call.lasted(ms(1300), "duration_ms");
    call.lasted(ms(300), "ring_ms");
    assert!(call.has("ack_ts") && call.int("setup_ms") >= call.int("pdd_ms"));
    earns(&call, &attempts[0], sold_usa(&call), 30_000);
    node.is_idle();
}

#[test]
fn s_2_an_answered_call_that_the_callee_ends() {
    let node = Node::start(Setup::new(1));
    let mut carrier = Sipp::carrier("alpha", scenario!("carrier_hangs_up", "MS" => 2300), node.setup.net.carrier(0), 1);
    let (mut caller, id) = call(&node, scenario!("caller_hears_bye"), UK);
    caller.passes();
    let ended = Instant::now();
    carrier.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "answered", "sip_final_code": 200, "hangup_party": "callee", "end_reason": "normal", "b_dest_group": "uk", "attempts_total": 1 }));
    call.lasted(ms(2300), "duration_ms");
    // By the second: 0.002 each.
    let sold = per_second(120_000, call.int("duration_ms"));
    assert!((6_000..=8_000).contains(&sold), "2.3 s and what a loaded machine adds: {sold}");
    earns(&call, &attempts[0], sold, 60_000);
}

#[test]
fn c_054_busy_is_one_call_and_one_attempt_without_money() {
    let node = Node::start(Setup::new(2));
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_refuses", "STATUS" => "486 Busy Here"), node.setup.net.carrier(0), 1);
    let beta = Ua::at("beta", node.setup.net.carrier(1));
    let (mut caller, id) = call(&node, scenario!("caller_is_refused", "CODE" => 486), USA);
    caller.passes();
    let ended = Instant::now();
    alpha.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "busy", "sip_final_code": 486, "vendor_sip_code": 486, "q850_cause": 17, "hangup_party": "callee", "attempts_total": 1, "carrier": "alpha" }));
    check(&attempts[0], &json!({ "disposition": "busy", "sip_final_code": 486, "q850_cause": 17 }));
    earns_nothing(&[&call, &attempts[0]]);
    beta.never(ms(1), "a call that was busy elsewhere", |_| true);
}

#[test]
fn p_09_a_decline_stops_the_hunt() {
    let node = Node::start(Setup::new(2));
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_rings_then_refuses", "STATUS" => "603 Decline", "MS" => 300), node.setup.net.carrier(0), 1);
    let beta = Ua::at("beta", node.setup.net.carrier(1));
    let (mut caller, id) = call(&node, scenario!("caller_is_refused", "CODE" => 603), USA);
    caller.passes();
    let ended = Instant::now();
    alpha.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "rejected", "sip_final_code": 603, "attempts_total": 1, "first_18x_code": 180 }));
    check(&attempts[0], &json!({ "disposition": "rejected", "sip_final_code": 603 }));
    call.lasted(ms(300), "ring_ms");
    beta.never(ms(1), "a call that was declined elsewhere", |_| true);
}

#[test]
fn p_46_nobody_answers_a_ringing_telephone() {
    let node = Node::start(Setup::new(2));
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_rings"), node.setup.net.carrier(0), 1);
    let beta = Ua::at("beta", node.setup.net.carrier(1));
    let (mut caller, id) = call(&node, scenario!("caller_is_refused", "CODE" => 480), USA);
    caller.passes();
    let ended = Instant::now();
    alpha.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "noanswer", "sip_final_code": 480, "q850_cause": 19, "hangup_party": "system", "attempts_total": 1 }));
    check(&attempts[0], &json!({ "disposition": "noanswer", "release_cause_local": "no_answer_timeout" }));
    call.lasted(ms(1500), "ring_ms");
    earns_nothing(&[&call, &attempts[0]]);
    beta.never(ms(1), "a call that rang elsewhere", |_| true);
}

#[test]
fn p_16_a_caller_gives_up_while_it_rings() {
    let node = Node::start(Setup::new(1));
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_rings"), node.setup.net.carrier(0), 1);
    let (mut caller, id) = call(&node, scenario!("caller_gives_up", "MS" => 500), USA);
    caller.passes();
    let ended = Instant::now();
    alpha.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "cancelled", "sip_final_code": 487, "hangup_party": "caller", "end_reason": "cancelled", "attempts_total": 1 }));
    check(&attempts[0], &json!({ "disposition": "cancelled", "hangup_party": "caller" }));
    call.lasted(ms(500), "ring_ms");
    earns_nothing(&[&call, &attempts[0]]);
}

#[test]
fn p_47_a_carriers_503_moves_on_and_the_next_answers() {
    let node = Node::start(Setup::new(2));
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_refuses", "STATUS" => "503 Service Unavailable"), node.setup.net.carrier(0), 1);
    let mut beta = Sipp::carrier("beta", scenario!("carrier_answers", "MS" => 200), node.setup.net.carrier(1), 1);
    let (mut caller, id) = call(&node, scenario!("caller_hangs_up", "MS" => 1300), USA);
    caller.passes();
    let ended = Instant::now();
    alpha.passes();
    beta.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "answered", "sip_final_code": 200, "carrier": "beta", "attempts_total": 2, "attempt_no": 2, "hangup_party": "caller" }));
    check(&attempts[0], &json!({ "carrier": "alpha", "disposition": "failed", "sip_final_code": 503, "vendor_sip_code": 503, "cost_amount": money(0), "sell_amount": money(0), "route_rank": 1 }));
    check(&attempts[1], &json!({ "carrier": "beta", "disposition": "answered", "sip_final_code": 200, "route_rank": 2 }));
    earns(&call, &attempts[1], sold_usa(&call), 36_000);
    assert!(call.text("attempts_summary").contains("alpha") && call.text("attempts_summary").contains("503"));
    assert!(call.text("route_explain").contains("alpha") && call.text("route_explain").contains("beta"));
}

#[test]
fn p_46_a_carrier_that_says_nothing_is_left_for_the_next() {
    let node = Node::start(Setup::new(2));
    let alpha = unavailable(node.setup.net, 0);
    let mut beta = Sipp::carrier("beta", scenario!("carrier_answers", "MS" => 100), node.setup.net.carrier(1), 1);
    let (mut caller, id) = call(&node, scenario!("caller_hangs_up", "MS" => 600), USA);
    caller.passes();
    let ended = Instant::now();
    beta.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "answered", "carrier": "beta", "attempts_total": 2 }));
    check(&attempts[0], &json!({ "carrier": "alpha", "disposition": "failed", "vendor_sip_code": null, "release_cause_local": "first_response_timeout" }));
    assert!(call.int("pdd_ms") >= 600, "the first carrier's silence is part of what the caller waits: {}", call.int("pdd_ms"));
    earns(&call, &attempts[1], sold_usa(&call), 36_000);
    assert!(alpha.repeated(|m| m.method() == Some("INVITE")) >= 2, "the INVITE was repeated (timer A)");
    alpha.request("INVITE");
    alpha.never(ms(1), "a CANCEL before any response (P-16)", |m| m.method() == Some("CANCEL"));
}

#[test]
fn p_05_no_carrier_at_all_counts_as_408() {
    let node = Node::start(Setup::new(2));
    let (_alpha, _beta) = (unavailable(node.setup.net, 0), unavailable(node.setup.net, 1));
    let (mut caller, id) = call(&node, scenario!("caller_is_refused", "CODE" => 408), USA);
    caller.passes();
    let (call, attempts) = node.cdrs(&id, Instant::now());
    check(&call, &json!({ "disposition": "failed", "sip_final_code": 408, "hangup_party": "system", "attempts_total": 2 }));
    for attempt in &attempts {
        check(attempt, &json!({ "disposition": "failed", "vendor_sip_code": null, "release_cause_local": "first_response_timeout" }));
    }
    earns_nothing(&[&call, &attempts[0], &attempts[1]]);
}

#[test]
fn p_10_a_lone_503_goes_upstream_as_500() {
    let node = Node::start(Setup::new(1));
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_refuses", "STATUS" => "503 Service Unavailable"), node.setup.net.carrier(0), 1);
    let (mut caller, id) = call(&node, scenario!("caller_is_refused", "CODE" => 500), USA);
    caller.passes();
    alpha.passes();
    let (call, attempts) = node.cdrs(&id, Instant::now());
    check(&call, &json!({ "disposition": "failed", "sip_final_code": 500, "vendor_sip_code": 503, "attempts_total": 1 }));
    check(&attempts[0], &json!({ "disposition": "failed", "sip_final_code": 503 }));
}

#[test]
fn p_10_a_trunk_may_want_the_503_as_it_is() {
    let mut setup = Setup::new(1);
    setup.trunk()["relay_503"] = true.into();
    let node = Node::start(setup);
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_refuses", "STATUS" => "503 Service Unavailable"), node.setup.net.carrier(0), 1);
    let (mut caller, id) = call(&node, scenario!("caller_is_refused", "CODE" => 503), USA);
    caller.passes();
    alpha.passes();
    let (call, _) = node.cdrs(&id, Instant::now());
    check(&call, &json!({ "sip_final_code": 503, "disposition": "failed" }));
}

#[test]
fn p_17_a_lost_ack_is_made_good_by_the_next_200() {
    let node = Node::start(Setup::new(1));
    let mut carrier = Sipp::carrier("alpha", scenario!("carrier_answers", "MS" => 100), node.setup.net.carrier(0), 1);
    let (mut caller, id) = call(&node, scenario!("caller_loses_its_ack", "LOST" => 900, "MS" => 400), USA);
    caller.passes();
    let ended = Instant::now();
    carrier.passes();
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "disposition": "answered", "hangup_party": "caller", "end_reason": "normal" }));
    call.lasted(ms(1300), "duration_ms");
    assert!(call.us("ack_ts") - call.us("answer_ts") > 700_000, "the ACK came late");
    earns(&call, &attempts[0], sold_usa(&call), 30_000);
}

#[test]
fn r_44_three_attempts_cost_one_leg() {
    let node = Node::start(Setup::new(3));
    let net = node.setup.net;
    let mut alpha = Sipp::carrier("alpha", scenario!("carrier_refuses", "STATUS" => "500 Server Internal Error"), net.carrier(0), 1);
    let mut beta = Sipp::carrier("beta", scenario!("carrier_refuses", "STATUS" => "504 Server Time-out"), net.carrier(1), 1);
    let mut gamma = Sipp::carrier("gamma", scenario!("carrier_answers", "MS" => 100), net.carrier(2), 1);
    let (mut caller, id) = call(&node, scenario!("caller_hangs_up", "MS" => 1200), UK);
    caller.passes();
    let ended = Instant::now();
    [&mut alpha, &mut beta, &mut gamma].into_iter().for_each(Sipp::passes);
    let (call, attempts) = node.cdrs(&id, ended);
    check(&call, &json!({ "carrier": "gamma", "attempts_total": 3, "disposition": "answered" }));
    let costs: Vec<_> = attempts.iter().map(|a| micros(a, "cost_amount")).collect();
    assert_eq!(costs, [0, 0, per_second(84_000, call.int("duration_ms"))]);
    assert_eq!(micros(&call, "cost_amount"), costs[2], "the call costs what its legs cost");
    let codes: Vec<_> = attempts.iter().map(|a| a.int("sip_final_code")).collect();
    assert_eq!(codes, [500, 504, 200]);
}
