//! Destinations that lose their carriers: the matrix, the calls, the alert (S1-85, S1-27).

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tollgate_schemas::time::format_rfc3339;

use crate::{
    harness::{Setup, World, check, ms, wait_for},
    ua::invite,
};

const USA: &str = "12125550100";

/// Rule, destination and whether it is open, of every alert.
fn alerts(world: &World) -> Vec<(String, String, bool)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = world.node.api.items("/v1/alerts").iter().map(|a| (text(&a["rule"]), text(&a["dest_group"]), a["open"] == true)).collect();
    all.sort();
    all
}

/// How many are there of a rule, and how many of them are open.
fn count(world: &World, rule: &str) -> (usize, usize) {
    let all: Vec<_> = alerts(world).into_iter().filter(|a| a.0 == rule).collect();
    (all.len(), all.iter().filter(|a| a.2).count())
}

#[test]
fn s1_85_a_destination_that_loses_its_last_carrier_is_a_gap_a_404_and_an_alert_until_it_has_one_again() {
    let mut world = World::new(2);
    let (alpha, beta) = (world.node.api.get("/v1/carriers/alpha")["spec"].clone(), world.node.api.get("/v1/carriers/beta")["spec"].clone());
    let seen = |world: &World, what: &str, diversity: (usize, usize), no_route: (usize, usize)| {
        wait_for(what, ms(5_000), || ((count(world, "diversity_1"), count(world, "no_route")) == (diversity, no_route)).then_some(()));
    };
    seen(&world, "nothing to tell of two carriers", (0, 0), (0, 0));
    assert_eq!(world.node.api.delete("/v1/carriers/beta"), 200);
    seen(&world, "one upstream for both destinations (S1-27)", (2, 2), (0, 0));
    assert_eq!(world.node.api.delete("/v1/carriers/alpha"), 200);
    seen(&world, "gaps", (2, 0), (2, 2));
    let matrix = world.node.api.get("/v1/coverage");
    assert_eq!((&matrix["gaps"], &matrix["destinations"][1]["uncovered_prefixes"]), (&json!(2), &json!(["1"])));
    let gap = world.node.api.items("/v1/alerts").into_iter().find(|a| a["rule"] == "no_route" && a["dest_group"] == "usa").expect("the alert");
    assert_eq!((&gap["severity"], &gap["open"], &gap["closed_ts"]), (&json!("critical"), &json!(true), &json!(null)));
    assert!(gap["explanation"].as_str().is_some_and(|text| text.contains("no carrier takes 1 of its 1 prefixes (1)")), "{gap}");

    let leg = invite(&world.caller, world.node.sip, USA);
    let no = world.caller.response(404, "INVITE");
    assert!(no.text.contains("Reason: Q.850;cause=3"), "{}", no.text);
    world.caller.send(world.node.sip, &leg.ack_failure(&no));
    let (call, attempts) = world.node.cdrs_at_once(&leg.call_id, Instant::now());
    check(&call, &json!({ "block_reason": "no_route", "sip_final_code": 404, "q850_cause": 3, "attempts_total": 0 }));
    assert!(attempts.is_empty());

    // Another change, of something else, tells nothing again.
    let account = world.node.api.get("/v1/accounts/acme")["spec"].clone();
    assert_eq!(world.node.api.put("/v1/accounts/acme", &account).0, 200);
    assert_eq!(world.node.api.put("/v1/carriers/alpha", &alpha).0, 200);
    seen(&world, "covered again, by one", (4, 2), (2, 0));
    assert_eq!(world.node.api.put("/v1/carriers/beta", &beta).0, 200);
    seen(&world, "all is well", (4, 0), (2, 0));
    assert!(world.node.api.items("/v1/alerts").iter().all(|a| a["closed_ts"].is_string()));
    world.node.stop();
    world.node.log_is_sound_and_replays();
    // What was told is not told again by the next start, and what is open is known.
    world.node.restart();
    seen(&world, "the same alerts", (4, 0), (2, 0));
}

/// So many seconds from now, as a sheet has it.
fn in_seconds(s: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    format_rfc3339(now.as_micros() as i64 + s as i64 * 1_000_000)
}

#[test]
fn s1_85_coverage_that_lapses_and_comes_back_by_date_is_told_when_the_date_comes() {
    let mut setup = Setup::new(1);
    let (ends, begins) = (in_seconds(8), in_seconds(14));
    let sheet = format!(
        "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,blocked\n1,usa,0.03,0,1,1,2020-01-01,{ends},\n\
         1,usa,0.03,0,1,1,{begins},,\n44,uk,0.06,0,1,1,2020-01-01,,\n"
    );
    setup.spec("deck", "alpha-cost")["csv"] = sheet.into();
    let mut world = World::of(setup);
    let seen = |world: &World, what: &str, no_route: (usize, usize)| {
        wait_for(what, ms(20_000), || {
            // Slowly: a key may not ask as often as it likes.
            std::thread::sleep(ms(200));
            (count(world, "no_route") == no_route).then_some(())
        });
    };
    assert_eq!((count(&world, "no_route"), count(&world, "diversity_1")), ((0, 0), (0, 0)), "one carrier is how it was begun");
    seen(&world, "nobody takes it from its end on", (1, 1));
    let raised = world.node.api.items("/v1/alerts").into_iter().find(|a| a["rule"] == "no_route").expect("the alert");
    assert!(raised["raised_ts"].as_str().is_some_and(|at| at >= ends.as_str()), "not before {ends}: {raised}");
    seen(&world, "and from the beginning of the next row on alpha does", (1, 0));
    assert_eq!(count(&world, "diversity_1"), (1, 1), "alone");

    // A date that comes while the node is away is told by its next start.
    let (path, document) = ("/v1/decks/alpha-cost", world.node.api.get("/v1/decks/alpha-cost"));
    let mut spec = document["spec"].clone();
    let ends = in_seconds(4);
    spec["csv"] = format!("prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to\n1,usa,0.03,0,1,1,2020-01-01,{ends}\n44,uk,0.06,0,1,1,2020-01-01,\n").into();
    assert_eq!(world.node.api.put(path, &spec).0, 200);
    world.node.stop();
    std::thread::sleep(ms(4_200));
    world.node.restart();
    seen(&world, "told by the start after", (2, 1));
    std::thread::sleep(ms(1_500));
    assert_eq!(count(&world, "no_route"), (2, 1), "once");
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn s1_85_a_kill_between_a_decision_and_its_alert_loses_none_and_tells_none_twice() {
    let mut world = World::new(2);
    let beta = world.node.api.get("/v1/carriers/beta")["spec"].clone();
    for round in 1..=4 {
        assert_eq!(world.node.api.delete("/v1/carriers/beta"), 200);
        world.node.kill();
        world.node.restart();
        let all = (2 * round, 2);
        wait_for("both destinations are told of", ms(5_000), || (count(&world, "diversity_1") == all).then_some(()));
        std::thread::sleep(ms(300));
        assert_eq!(count(&world, "diversity_1"), all, "once each");
        assert_eq!(world.node.api.put("/v1/carriers/beta", &beta).0, 200);
        world.node.kill();
        world.node.restart();
        wait_for("and of two carriers again", ms(5_000), || (count(&world, "diversity_1") == (2 * round, 0)).then_some(()));
    }
    assert_eq!(count(&world, "no_route"), (0, 0));
}
