//! Traffic leaves a carrier that fails and comes back when it is well again, and every choice can be made again.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{KEY, Node, Setup, ms, tollgate, wait_for},
    ua::{AutoCarrier, Dialer, Plan},
};

/// One number after the other, so that no call is a redial.
struct Traffic {
    dialer: Dialer,
    next: u32,
}

impl Traffic {
    /// So many calls, one every few milliseconds; gives their Call-IDs when all have their answer.
    fn run(&mut self, calls: u32, every: Duration) -> Vec<String> {
        let ids = (0..calls)
            .map(|_| {
                self.next += 1;
                std::thread::sleep(every);
                self.dialer.call(&format!("1212{:07}", 2_000_000 + self.next))
            })
            .collect();
        wait_for("every call has its answer", Duration::from_secs(20), || (self.dialer.waiting() == 0).then_some(()));
        ids
    }
}

fn verdict(node: &Node, carrier: &str) -> Option<Value> {
    let all = node.api.items("/v1/quality?dest_group=usa");
    all.first()?["carriers"].as_array()?.iter().find(|c| c["carrier"] == carrier).cloned()
}

/// What the command says, and its exit code.
fn route(node: &Node, args: &[&str]) -> (Value, i32) {
    let mut command = tollgate();
    command.args(["route", "--json", "--key", KEY, "--url", &format!("http://{}", node.api.addr)]).args(args);
    let out = command.output().expect("the program runs");
    let found = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    (found, out.status.code().unwrap_or(-1))
}

#[test]
fn r_39_r_40_traffic_leaves_a_failing_carrier_comes_back_and_every_choice_can_be_made_again() {
    let mut setup = Setup::new(2);
    setup.more = "[rating]\nquality_hold_down_s = 10\n".to_owned();
    setup.doc("route_policy", "by-quality", json!({ "order": "cost", "exploration_pct": "5", "splits": [{ "carrier": "beta", "percent": 30 }] }));
    setup.spec("account", "acme")["route_policy"] = "by-quality".into();
    let failing = Arc::new(AtomicBool::new(false));
    let plan = |refuses| Plan { rings_after: ms(5), answers_after: ms(10), refuses, hangs_up_after: Some(ms(30)) };
    let fails = failing.clone();
    let alpha = AutoCarrier::start("alpha", setup.net.carrier(0), move |_| plan(fails.load(Ordering::Relaxed).then_some(503)));
    let _beta = AutoCarrier::start("beta", setup.net.carrier(1), move |_| plan(None));
    let node = Node::start(setup);
    let mut traffic = Traffic { dialer: Dialer::start(node.setup.net.caller(), node.sip), next: 0 };
    let at_alpha = |ids: &[String]| {
        let seen: HashSet<String> = alpha.seen().into_keys().collect();
        ids.iter().filter(|id| seen.contains(*id)).count()
    };

    let well = traffic.run(240, ms(15));
    println!("well: {} of 240 calls at the cheaper carrier", at_alpha(&well));
    assert!((130..=200).contains(&at_alpha(&well)), "70 % are not beta's by the split: {}", at_alpha(&well));

    failing.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let mut tried = 0;
    wait_for("the failing carrier is demoted", Duration::from_secs(90), || {
        let calls = traffic.run(40, ms(10));
        tried += at_alpha(&calls);
        (verdict(&node, "alpha")?["state"] == "demoted").then_some(())
    });
    println!("demoted {:?} after it began to fail, {tried} calls had tried it first", began.elapsed());
    // The proxy follows within a poll.
    std::thread::sleep(ms(1_000));
    let without = traffic.run(200, ms(10));
    println!("demoted: {} of 200 calls at the failing carrier", at_alpha(&without));
    assert!(at_alpha(&without) <= 25, "about 5 % explore: {}", at_alpha(&without));

    let (found, code) = route(&node, &["--account", "acme", "--from", "12025550199", "--to", "12125550100", "--quality", "now"]);
    let carriers = found["carriers"].as_array().expect("carriers");
    assert_eq!((code, &carriers[0]["carrier"], &carriers[1]["carrier"]), (0, &json!("beta"), &json!("alpha")), "{found:#}");
    assert_eq!((&carriers[1]["quality"], &found["policy"]), (&json!("demoted"), &json!("by-quality")));

    failing.store(false, Ordering::Relaxed);
    let began = Instant::now();
    let mut calls = 0;
    wait_for("the carrier that is well again is promoted", Duration::from_secs(240), || {
        traffic.run(150, ms(8));
        calls += 150;
        (verdict(&node, "alpha")?["state"] != "demoted").then_some(())
    });
    println!("promoted {:?} and {calls} calls after it was well again", began.elapsed());
    std::thread::sleep(ms(1_000));
    let back = traffic.run(200, ms(10));
    println!("promoted: {} of 200 calls at the cheaper carrier", at_alpha(&back));
    assert!((100..=175).contains(&at_alpha(&back)), "it has its share back: {}", at_alpha(&back));

    // A call of each time is decided again, by what was known then: the same.
    for (name, ids) in [("well", &well), ("demoted", &without), ("back", &back)] {
        for id in [&ids[0], &ids[ids.len() / 2], &ids[ids.len() - 1]] {
            let cdr = wait_for("the final CDR", Duration::from_secs(10), || node.finals(id).into_iter().next());
            let (found, code) = route(&node, &["--call", cdr.text("call_uuid")]);
            assert_eq!((code, &found["agrees"]), (0, &json!(true)), "{name}: {found:#}");
            // The CDR's own explanation is the event's.
            let explained: Value = serde_json::from_str(cdr.text("route_explain")).expect("JSON");
            let then = found["then"]["carriers"].as_array().expect("carriers");
            for (a, b) in explained.as_array().expect("a list").iter().zip(then) {
                assert_eq!((&a["carrier"], &a["reason"], &a["quality"]), (&b["carrier"], &b["reason"], &b["quality"]), "{name}");
            }
            let snapshot = found["then"]["quality_snapshot"].as_str().unwrap_or_default();
            assert_eq!(cdr.text("quality_snapshot"), snapshot);
            assert!(name == "well" || snapshot.starts_with("q-"), "{name}: by a verdict that has a name");
        }
    }
}
