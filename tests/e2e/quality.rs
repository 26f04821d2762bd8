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

/// Offers by what they prefer.
const WIDEBAND: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 9 0 101\r\na=rtpmap:9 G722/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n";
const NARROWBAND: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 9\r\n";
const NONE: &str = "v=0\r\n";

impl Traffic {
    /// So many calls, one every few milliseconds; gives their Call-IDs when all have their answer.
    fn run(&mut self, calls: u32, every: Duration) -> Vec<String> {
        self.run_with(calls, every, NONE)
    }

    /// The same with an offer of one's choice.
    fn run_with(&mut self, calls: u32, every: Duration, offer: &str) -> Vec<String> {
        let ids = (0..calls)
            .map(|_| {
                self.next += 1;
                std::thread::sleep(every);
                self.dialer.call_with(&format!("1212{:07}", 2_000_000 + self.next), offer)
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

#[test]
fn r_37_a_carrier_that_fails_wideband_alone_is_left_for_wideband_calls_and_keeps_the_narrowband_ones() {
    let mut setup = Setup::new(2);
    setup.doc("route_policy", "by-quality", json!({ "order": "cost", "exploration_pct": "0" }));
    setup.spec("account", "acme")["route_policy"] = "by-quality".into();
    let plan = |refuses| Plan { rings_after: ms(5), answers_after: ms(10), refuses, hangs_up_after: Some(ms(30)) };
    let alpha = AutoCarrier::start("alpha", setup.net.carrier(0), move |invite| plan(invite.body.contains("RTP/AVP 9 ").then_some(503)));
    let _beta = AutoCarrier::start("beta", setup.net.carrier(1), move |_| plan(None));
    let node = Node::start(setup);
    let mut traffic = Traffic { dialer: Dialer::start(node.setup.net.caller(), node.sip), next: 0 };
    let at_alpha = |ids: &[String]| {
        let seen: HashSet<String> = alpha.seen().into_keys().collect();
        ids.iter().filter(|id| seen.contains(*id)).count()
    };
    let state = |class: Option<&str>| {
        let all = node.api.items("/v1/quality?dest_group=usa");
        let of = match class {
            None => all.first()?.clone(),
            Some(class) => all.first()?["classes"].as_array()?.iter().find(|c| c["codec_class"] == class)?.clone(),
        };
        Some(of["carriers"].as_array()?.iter().find(|c| c["carrier"] == "alpha")?["state"].as_str()?.to_owned())
    };
    // Twice as many wideband calls, so that all calls together are bad enough to demote, too.
    wait_for("the carrier is demoted for wideband, and with all calls", Duration::from_secs(90), || {
        traffic.run_with(40, ms(8), WIDEBAND);
        traffic.run_with(20, ms(8), NARROWBAND);
        (state(Some("wideband"))? == "demoted" && state(None)? == "demoted").then_some(())
    });
    assert_eq!(state(Some("narrowband")).as_deref(), Some("good"));
    // The proxy follows within a poll.
    std::thread::sleep(ms(1_000));
    let (wide, narrow, none) = (traffic.run_with(60, ms(8), WIDEBAND), traffic.run_with(60, ms(8), NARROWBAND), traffic.run_with(20, ms(8), NONE));
    assert_eq!((at_alpha(&wide), at_alpha(&narrow), at_alpha(&none)), (0, 60, 0), "wideband calls leave it, narrowband ones do not, others go by all calls");

    // Asked by class, as the node decides now.
    for (codec, first, quality, class) in [(Some("wideband"), "beta", "demoted", json!("wideband")), (Some("narrowband"), "alpha", "good", json!("narrowband")), (None, "beta", "demoted", json!(null))] {
        let mut args = vec!["--account", "acme", "--from", "12025550199", "--to", "12125550100", "--quality", "now"];
        args.extend(codec.iter().flat_map(|c| ["--codec", c]));
        let (found, code) = route(&node, &args);
        let carriers = found["carriers"].as_array().expect("carriers");
        let of_alpha = carriers.iter().find(|c| c["carrier"] == "alpha").expect("alpha");
        assert_eq!((code, &found["codec_class"], &carriers[0]["carrier"]), (0, &json!(codec), &json!(first)), "{found:#}");
        assert_eq!((&of_alpha["quality"], &of_alpha["quality_class"]), (&json!(quality), &class), "{codec:?}: {found:#}");
    }
    // A verdict as the API gives it decides in a file as it does in the node.
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("verdicts.json");
    std::fs::write(&file, node.api.get("/v1/quality?dest_group=usa").to_string()).expect("file");
    for (codec, first) in [("wideband", "beta"), ("narrowband", "alpha")] {
        let documents = node.config().with_file_name("provision.yaml");
        let (file, documents) = (file.to_string_lossy(), documents.to_string_lossy());
        let args = ["--account", "acme", "--from", "12025550199", "--to", "12125550100", "--quality", &*file, "-f", &*documents, "--codec", codec];
        assert_eq!(route(&node, &args).0["carriers"][0]["carrier"], json!(first), "{codec} by a file");
    }

    // What was decided by a class is decided so again, and the CDR says by which.
    for (name, ids, class) in [("wideband", &wide, "wideband"), ("narrowband", &narrow, "narrowband"), ("none", &none, "")] {
        let cdr = wait_for("the final CDR", Duration::from_secs(10), || node.finals(&ids[0]).into_iter().next());
        let (found, code) = route(&node, &["--call", cdr.text("call_uuid")]);
        assert_eq!((code, &found["agrees"]), (0, &json!(true)), "{name}: {found:#}");
        assert_eq!(found["then"]["codec_class"].as_str().unwrap_or_default(), class, "{name}");
        let explained: Value = serde_json::from_str(cdr.text("route_explain")).expect("JSON");
        let of_alpha = explained.as_array().expect("a list").iter().find(|c| c["carrier"] == "alpha").expect("alpha").clone();
        assert_eq!(of_alpha["quality_class"].as_str().unwrap_or_default(), class, "{name}: {explained}");
    }
}
