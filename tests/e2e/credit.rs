//! Money of accounts over real SIP: slices, the end of a call with its money, payments, limits, and a thousand calls at once
//! against a balance that carries half of them (FN-06 to FN-08).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    harness::{Setup, Sipp, World, check, micros, ms, scenario, wait_for},
    ua::{AutoCarrier, Plan, established, invite},
};

const UK: &str = "442071838750";
const USA: &str = "12125550100";

/// Millionths of a decimal as the API writes it.
fn millionths(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no decimal: {value}"));
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    sign * (whole.parse::<i64>().expect(text) * 1_000_000 + format!("{part:0<6}")[..6].parse::<i64>().expect(text))
}

fn balance(world: &World) -> Value {
    world.node.api.items("/v1/balances?account=acme").remove(0)
}

fn pay(world: &World, amount: &str, reference: &str) -> (u16, Value) {
    world.node.api.post("/v1/payments", &json!({ "account": "acme", "amount": amount, "reason": "bank transfer", "reference": reference }))
}

/// The balance is this, as soon as the posting is read.
fn has(world: &World, field: &str, want: i64) {
    wait_for(&format!("{field} is {want}"), ms(5_000), || (millionths(&balance(world)[field]) == want).then_some(()));
}

fn prepaid(slice_s: u64) -> Setup {
    let mut setup = Setup::new(1);
    let account = setup.spec("account", "acme");
    (account["billing"], account["slice_s"]) = ("prepaid".into(), slice_s.into());
    setup
}

#[test]
fn fn_07_a_prepaid_call_ends_with_its_money_and_a_payment_lets_it_go_on() {
    let mut setup = prepaid(2);
    // A second costs 0.01.
    setup.spec("deck", "sell")["csv"] = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n44,uk,0.60,0,1,1,2020-01-01\n".into();
    setup.carrier("alpha")["emergency"] = true.into();
    let world = World::of(setup);
    let node = world.node.sip;
    // Nothing was ever paid.
    let leg = invite(&world.caller, node, UK);
    let no = world.caller.expect("402", |m| m.status() == Some(402) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&no));
    // Emergency needs no money.
    let leg = invite(&world.caller, node, "911");
    let got = world.alpha().expect("the emergency call", |m| m.call_id() == leg.call_id);
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let busy = world.caller.expect("486", |m| m.status() == Some(486) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&busy));

    assert_eq!(pay(&world, "0.04", "RF-1").0, 201);
    assert_eq!(pay(&world, "0.04", "RF-1").0, 201, "the same again is taken, and posted once");
    has(&world, "balance", 40_000);
    let leg = wait_for("the lease", ms(3_000), || {
        let leg = invite(&world.caller, node, UK);
        let at_carrier = world.alpha().within(ms(200), &|m| m.method() == Some("INVITE") && m.call_id() == leg.call_id)?;
        world.alpha().reply(&at_carrier, 200, "OK", "t1");
        Some(leg)
    });
    let ok = world.caller.expect("200", |m| m.status() == Some(200) && m.call_id() == leg.call_id);
    let began = Instant::now();
    world.caller.send(node, &leg.confirmed(&ok).ack());
    has(&world, "held", 40_000);
    // Two seconds more, while it is up.
    assert_eq!(pay(&world, "0.02", "RF-2").0, 201);
    for ua in [&world.caller, world.alpha()] {
        let bye = wait_for("the BYE", ms(9_000), || ua.within(ms(50), &|m| m.method() == Some("BYE") && m.call_id() == leg.call_id));
        assert!(bye.header("Reason").starts_with("Q.850;cause=21"), "neutral: {}", bye.header("Reason"));
        ua.reply(&bye, 200, "OK", "");
    }
    let lasted = began.elapsed();
    println!("0.06 at 0.01 a second: BYE after {lasted:?}");
    assert!(lasted > ms(5_400) && lasted < ms(6_400), "{lasted:?}");
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "end_reason": "credit", "disposition": "answered", "hangup_party": "system", "sell_amount": "0.060000" }));
    has(&world, "balance", 0);
    has(&world, "held", 0);
    let alerts = wait_for("it is told", ms(5_000), || {
        let alerts = world.node.api.items("/v1/alerts");
        alerts.iter().any(|a| a["rule"] == "credit_100").then_some(alerts)
    });
    assert!(alerts.iter().all(|a| a["account"] == "acme"));
    let leg = invite(&world.caller, node, UK);
    let no = world.caller.expect("402", |m| m.status() == Some(402) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&no));

    // Said on the command line as well.
    let shown = world.node.command(&["balance", "acme", "--json"]);
    let rows: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&rows[0]["balance"], &rows[0]["billing"]), (&json!("0.000000"), &json!("prepaid")), "{rows}");
    let bad = world.node.command(&["payment", "acme", "1.00", "--reason", "test", "--currency", "EUR"]);
    assert_eq!(bad.status.code(), Some(1));
    let mut world = world;
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn fn_06_a_limit_is_told_at_70_85_and_100_percent_and_refuses_new_calls_only() {
    let mut setup = Setup::new(1);
    // A call of up to a minute is 0.07.
    setup.spec("account", "acme")["credit_limit"] = "0.21".into();
    let world = World::of(setup);
    let node = world.node.sip;
    let mut legs = Vec::new();
    for _ in 0..3 {
        legs.push(established(&world.caller, world.alpha(), node, USA));
    }
    let leg = invite(&world.caller, node, USA);
    let no = world.caller.expect("402", |m| m.status() == Some(402) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&no));
    let rules = wait_for("three alerts", ms(5_000), || {
        let mut rules: Vec<String> = world.node.api.items("/v1/alerts").iter().map(|a| a["rule"].as_str().expect("rule").to_owned()).collect();
        rules.sort();
        (rules.len() >= 2).then_some(rules)
    });
    println!("told: {rules:?}");
    has(&world, "held", 210_000);
    for (mut leg, _) in legs {
        world.caller.send(node, &leg.next("BYE", "", ""));
        let bye = world.alpha().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == leg.call_id);
        world.alpha().reply(&bye, 200, "OK", "");
        world.caller.expect("200", |m| m.status() == Some(200) && m.cseq().1 == "BYE" && m.call_id() == leg.call_id);
    }
    has(&world, "held", 0);
    has(&world, "balance", -210_000);
    has(&world, "available", 0);
    let all = wait_for("all marks", ms(5_000), || {
        let mut rules: Vec<String> = world.node.api.items("/v1/alerts").iter().map(|a| a["rule"].as_str().expect("rule").to_owned()).collect();
        rules.sort();
        (rules == ["credit_100", "credit_70", "credit_85"]).then_some(rules)
    });
    println!("each once: {all:?}");
    let leg = invite(&world.caller, node, USA);
    let no = world.caller.expect("402", |m| m.status() == Some(402) && m.call_id() == leg.call_id);
    world.caller.send(node, &leg.ack_failure(&no));
    assert_eq!(pay(&world, "0.21", "").0, 201);
    wait_for("it may call again", ms(5_000), || {
        let leg = invite(&world.caller, node, USA);
        world.alpha().within(ms(200), &|m| m.method() == Some("INVITE") && m.call_id() == leg.call_id).map(|got| world.alpha().reply(&got, 486, "Busy Here", "t"))
    });
}

#[test]
fn fn_07_a_thousand_calls_at_once_against_half_of_their_money() {
    const CALLS: usize = 1_000;
    let mut setup = prepaid(4).timer("t1_ms", 200).timer("first_response_ms", 4_000).timer("pdd_ms", 8_000).timer("no_answer_ms", 20_000);
    // A second costs 0.01, a slice of four seconds 0.04: 20.00 holds 500 slices.
    setup.spec("deck", "sell")["csv"] = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.60,0,1,1,2020-01-01\n".into();
    (setup.trunk()["channels"], setup.trunk()["cps"], setup.trunk()["burst"]) = (10_000.into(), 10_000.into(), 10_000.into());
    let net = setup.net;
    let plan = |_: &_| Plan { rings_after: ms(5), answers_after: ms(20), refuses: None, hangs_up_after: None };
    let carrier = AutoCarrier::start("alpha", net.carrier(0), plan);
    let mut node = crate::harness::Node::start(setup);
    let post = |body: Value| node.api.post("/v1/payments", &body).0;
    assert_eq!(post(json!({ "account": "acme", "amount": "20.00", "reason": "half of what they want" })), 201);
    let row = |node: &crate::harness::Node| node.api.items("/v1/balances?account=acme").remove(0);
    wait_for("it is there", ms(5_000), || (row(&node)["balance"] == "20.000000").then_some(()));
    std::thread::sleep(ms(700));
    let began = Instant::now();
    let mut caller = Sipp::caller(scenario!("caller_until_its_money_ends"), net.caller(), node.sip, USA, CALLS, &["-r", "400", "-l", "2000"]);
    let mut least = i64::MAX;
    let mut most_held = 0;
    let done = wait_for("all are refused or ended", Duration::from_secs(60), || {
        let row = row(&node);
        least = least.min(millionths(&row["balance"]));
        most_held = most_held.max(millionths(&row["held"]));
        std::thread::sleep(ms(150));
        let finals = node.api.items("/v1/cdrs?limit=1");
        let live = node.api.items("/v1/calls?limit=1");
        (!finals.is_empty() && live.is_empty() && began.elapsed() > ms(6_000)).then_some(began.elapsed())
    });
    println!("sipp: {:?}; all over after {done:?}; at most {most_held}e-6 held", caller.exit());
    let mut finals: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = node.api.get(&format!("/v1/cdrs?limit=1000{cursor}"));
        finals.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let answered: Vec<&Value> = finals.iter().filter(|c| c["disposition"] == "answered").collect();
    let by_credit = answered.iter().filter(|c| c["end_reason"] == "credit").count();
    let spent: i64 = answered.iter().map(|c| micros(&crate::harness::Cdr((*c).clone()), "sell_amount")).sum();
    let last = row(&node);
    let left = millionths(&last["balance"]);
    println!("{} answered, {by_credit} of them ended for want of money; {spent}e-6 spent, {left}e-6 left, least seen {least}e-6", answered.len());
    assert!(answered.len() >= 450 && answered.len() < CALLS, "{} answered", answered.len());
    assert_eq!(by_credit, answered.len(), "every one of them");
    assert_eq!(spent + left, 20_000_000, "the CDRs are the ledger");
    assert_eq!((millionths(&last["held"]), node.api.metric("tollgate_ledger_difference_e8")), (0, 0.0));
    // The bound: nothing here; on a machine that stalls, one second a call at most.
    let bound = 10_000 * answered.len() as i64;
    assert!(left >= -bound && least >= -bound, "{left} and {least}");
    println!("beyond the balance: {}e-6 of a bound of {bound}e-6", (-left).max(0));
    assert!(left < 600_000, "what is left is less than a second each: {left}");
    assert!(carrier.seen().values().filter(|s| s.answered.is_some()).all(|s| s.ended.is_some()), "the carrier heard the end of each");
    node.stop();
    node.log_is_sound_and_replays();
}

#[test]
fn fn_07_slices_outlive_a_kill() {
    let mut setup = prepaid(2);
    setup.spec("deck", "sell")["csv"] = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n44,uk,0.60,0,1,1,2020-01-01\n".into();
    let mut world = World::of(setup);
    assert_eq!(pay(&world, "0.09", "RF").0, 201);
    has(&world, "balance", 90_000);
    std::thread::sleep(ms(600));
    let (leg, _) = established(&world.caller, world.alpha(), world.node.sip, UK);
    let began = Instant::now();
    std::thread::sleep(ms(2_500));
    world.node.kill();
    world.node.restart();
    println!("killed and back after {:?}", began.elapsed());
    for ua in [&world.caller, world.alpha()] {
        let bye = wait_for("the BYE", ms(12_000), || ua.within(ms(50), &|m| m.method() == Some("BYE") && m.call_id() == leg.call_id));
        ua.reply(&bye, 200, "OK", "");
    }
    let lasted = began.elapsed();
    println!("BYE after {lasted:?}");
    assert!(lasted > ms(8_300) && lasted < ms(9_800), "{lasted:?}");
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "end_reason": "credit" }));
    has(&world, "held", 0);
    let left = millionths(&balance(&world)["balance"]);
    assert!((-10_000..=10_000).contains(&left), "{left}");
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn fn_07_calls_with_money_go_on_through_a_kill_longer_than_their_slice() {
    let mut setup = prepaid(2);
    setup.spec("deck", "sell")["csv"] = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n44,uk,0.60,0,1,1,2020-01-01\n".into();
    let mut world = World::of(setup);
    assert_eq!(pay(&world, "5.00", "RF").0, 201);
    has(&world, "balance", 5_000_000);
    std::thread::sleep(ms(600));
    let mut legs: Vec<_> = (0..4).map(|_| established(&world.caller, world.alpha(), world.node.sip, UK).0).collect();
    std::thread::sleep(ms(1_000));
    world.node.kill();
    // Every slice is over by then.
    std::thread::sleep(ms(4_000));
    world.node.restart();
    let ours = |m: &crate::ua::Msg| m.method() == Some("BYE") && legs.iter().any(|leg| m.call_id() == leg.call_id);
    world.caller.never(ms(3_000), "the end of a call that has money", ours);
    for leg in &mut legs {
        world.caller.send(world.node.sip, &leg.next("BYE", "", ""));
        let bye = world.alpha().expect("BYE", |m| m.method() == Some("BYE") && m.call_id() == leg.call_id);
        world.alpha().reply(&bye, 200, "OK", "");
        let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
        check(&call, &json!({ "end_reason": "normal", "hangup_party": "caller", "disposition": "answered" }));
    }
    has(&world, "held", 0);
    let spent = 5_000_000 - millionths(&balance(&world)["balance"]);
    println!("{spent}e-6 spent");
    assert!((320_000..600_000).contains(&spent), "four calls of more than eight seconds: {spent}");
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn fn_07_an_account_that_becomes_prepaid_pays_for_calls_that_are_up() {
    let mut setup = Setup::new(1);
    setup.spec("deck", "sell")["csv"] = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n44,uk,0.60,0,1,1,2020-01-01\n".into();
    let mut world = World::of(setup);
    let (leg, _) = established(&world.caller, world.alpha(), world.node.sip, UK);
    let began = Instant::now();
    assert_eq!(pay(&world, "0.06", "RF").0, 201);
    let mut account = world.node.api.get("/v1/accounts/acme")["spec"].clone();
    (account["billing"], account["slice_s"]) = ("prepaid".into(), 2.into());
    assert_eq!(world.node.api.put("/v1/accounts/acme", &account).0, 200);
    for ua in [&world.caller, world.alpha()] {
        let bye = wait_for("the BYE", ms(9_000), || ua.within(ms(50), &|m| m.method() == Some("BYE") && m.call_id() == leg.call_id));
        ua.reply(&bye, 200, "OK", "");
    }
    let lasted = began.elapsed();
    println!("0.06 at 0.01 a second, prepaid since its call was up: BYE after {lasted:?}");
    assert!(lasted > ms(5_300) && lasted < ms(6_600), "{lasted:?}");
    let (call, _) = world.node.cdrs(&leg.call_id, Instant::now());
    check(&call, &json!({ "end_reason": "credit", "disposition": "answered", "sell_amount": "0.060000" }));
    has(&world, "held", 0);
    has(&world, "balance", 0);
    world.node.stop();
    world.node.log_is_sound_and_replays();
}
