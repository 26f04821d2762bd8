//! A broker that is killed, comes back, is cut off and comes back, again and again: no process ends by it, and each goes on. The short
//! form is in the suite; `FAULTS=long` gives sixty rounds.

use std::time::Duration;

use serde_json::json;

use super::{Cluster, alone};
use crate::{
    harness::{Setup, Sipp, ms, scenario, wait_for},
    ua::{AutoCarrier, Plan},
};

const CPS: usize = 8;

#[test]
fn issue_4_no_process_ends_however_often_the_broker_comes_and_goes() {
    let _alone = alone();
    let rounds = if std::env::var("FAULTS").is_ok_and(|f| f == "long") { 60 } else { 3 };
    let mut setup = Setup::new(1).timer("t1_ms", 200).timer("first_response_ms", 3_000).timer("pdd_ms", 5_000).timer("no_answer_ms", 8_000);
    setup.drain_s = 2;
    let net = setup.net;
    let caller = Cluster::caller_host(net, 0);
    let trunk = setup.trunk();
    (trunk["channels"], trunk["cps"], trunk["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    trunk["sources"] = json!([caller.to_string()]);
    let plan = |_: &_| Plan { rings_after: ms(30), answers_after: ms(100), refuses: None, hangs_up_after: Some(ms(300)) };
    let carrier = AutoCarrier::start("alpha", net.carrier(0), plan);
    let mut cluster = Cluster::new(setup);
    if !cluster.broker.own() {
        println!("not exercised: the broker of KAFKA_BOOTSTRAP is not this test's to kill");
        return;
    }
    for (name, stages) in [("proxy-a", "proxy"), ("proxy-b", "proxy"), ("stages-1", "rating,fraud,ingest"), ("stages-2", "rating,fraud,ingest"), ("api", "api")] {
        cluster.start(name, stages);
    }
    let sip = cluster.named("proxy-a").sip.expect("a proxy");
    let _load = Sipp::long_caller(scenario!("load"), caller, sip, "12125550100", 100_000, CPS, Duration::from_secs(3_600));
    let answered = || carrier.seen().values().filter(|s| s.acked.is_some()).count();
    for round in 0..rounds {
        let before = answered();
        cluster.broker.kill();
        std::thread::sleep(ms(1_000 + round % 5 * 700));
        cluster.all_run("the broker was killed");
        cluster.broker.up();
        std::thread::sleep(ms(2_000));
        cluster.all_run("the broker came back");
        cluster.broker.freeze(true);
        std::thread::sleep(ms(3_000 + round % 4 * 1_500));
        cluster.all_run("the broker was cut off");
        cluster.broker.freeze(false);
        std::thread::sleep(ms(1_000 + round % 3 * 1_000));
        cluster.all_run("the broker was heard again");
        wait_for("calls go on", Duration::from_secs(20), || (answered() > before).then_some(()));
        println!("round {round}: {} calls answered meanwhile", answered() - before);
    }
    drop(_load);
    // What was taken meanwhile is rated and stored.
    let seen = carrier.seen();
    let want = seen.values().filter(|s| s.acked.is_some()).count();
    wait_for("every answered call has its CDR", Duration::from_secs(90), || {
        std::thread::sleep(ms(500));
        let rows = cluster.api().text("/v1/cdrs?record_type=final&format=jsonl");
        (rows.lines().filter(|l| l.contains("\"answered\"")).count() >= want).then_some(())
    });
    println!("{want} answered calls, each with its CDR");
    for process in &mut cluster.processes {
        process.stop();
    }
}
