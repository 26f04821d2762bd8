//! Two of each stage under load while each is killed in turn, the broker is killed and cut off, and ClickHouse is away. The short
//! form is in the suite; `FAULTS=long` gives the long one (README).

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Cluster, alone, passed};
use crate::{
    harness::{Cdr, Setup, Sipp, check, micros, ms, scenario, wait_for},
    ua::{AutoCarrier, Msg, Plan},
};

const USA: &str = "12125550100";

/// How long things last.
struct Form {
    cps: usize,
    /// A killed stage stays away.
    down: Duration,
    cut_off: Duration,
    away: Duration,
    load: Duration,
}

fn form() -> Form {
    let s = Duration::from_secs;
    if std::env::var("FAULTS").is_ok_and(|f| f == "long") {
        Form { cps: 40, down: s(8), cut_off: s(60), away: s(120), load: s(420) }
    } else {
        Form { cps: 12, down: s(1), cut_off: s(6), away: s(5), load: s(75) }
    }
}

fn plan(invite: &Msg) -> Plan {
    let mut hasher = DefaultHasher::new();
    invite.call_id().hash(&mut hasher);
    let hash = hasher.finish();
    Plan {
        refuses: (hash % 16 == 3).then_some(486),
        rings_after: ms(30),
        answers_after: ms(100 + hash / 32 % 300),
        hangs_up_after: (hash / 8).is_multiple_of(4).then_some(ms(1_000 + hash / 32 % 1_000)),
    }
}

fn rows(cluster: &Cluster, kind: &str) -> Vec<Value> {
    let text = cluster.api().text(&format!("/v1/cdrs?record_type={kind}&format=jsonl"));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn answered(carriers: &[AutoCarrier]) -> usize {
    carriers.iter().map(|c| c.seen().values().filter(|s| s.acked.is_some()).count()).sum()
}

#[test]
fn issue_4_every_invite_has_one_final_cdr_whatever_is_killed_or_away() {
    let _alone = alone();
    let form = form();
    let mut setup = Setup::new(2).timer("t1_ms", 200).timer("first_response_ms", 3_000).timer("pdd_ms", 5_000).timer("no_answer_ms", 8_000);
    setup.drain_s = 2;
    let net = setup.net;
    let callers = [0, 1].map(|n| Cluster::caller_host(net, n));
    let trunk = setup.trunk();
    (trunk["channels"], trunk["cps"], trunk["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    trunk["sources"] = json!(callers.map(|c| c.to_string()));
    let carriers = [AutoCarrier::start("alpha", net.carrier(0), plan), AutoCarrier::start("beta", net.carrier(1), plan)];
    let began = Instant::now();
    let mut cluster = Cluster::new(setup);
    for (name, stages) in [
        ("proxy-a", "proxy"), ("proxy-b", "proxy"), ("rating-1", "rating"), ("rating-2", "rating"), ("fraud-1", "fraud"),
        ("fraud-2", "fraud"), ("ingest-1", "ingest"), ("ingest-2", "ingest"), ("api", "api"),
    ] {
        cluster.start(name, stages);
    }
    println!("servers and nine processes are up after {:?}", began.elapsed());
    let sips = ["proxy-a", "proxy-b"].map(|p| cluster.named(p).sip.expect("a proxy"));
    let calls = form.cps * form.load.as_secs() as usize;
    let mut load: Vec<Sipp> = (0..2)
        .map(|n| Sipp::long_caller(scenario!("load"), callers[n], sips[n], USA, calls, form.cps, form.load + Duration::from_secs(60)))
        .collect();
    let began = Instant::now();
    std::thread::sleep(ms(3_000));

    for name in ["rating-1", "fraud-1", "ingest-1", "proxy-a", "rating-2", "fraud-2", "ingest-2", "proxy-b"] {
        let before = answered(&carriers);
        cluster.named(name).kill();
        std::thread::sleep(form.down);
        cluster.named(name).up();
        std::thread::sleep(form.down);
        println!("{:?}: {name} was killed; {} calls answered meanwhile", began.elapsed(), answered(&carriers) - before);
    }
    let mut goes_on = |what: &str, before: usize, lasted: Duration, carriers: &[AutoCarrier]| {
        let taken = answered(carriers) - before;
        println!("{:?}: {what} for {lasted:?}; {taken} calls answered meanwhile", began.elapsed());
        let offered = (2 * form.cps) as f64 * lasted.as_secs_f64();
        if taken as f64 <= offered * 0.6 {
            load.iter_mut().for_each(|l| println!("{}", l.stands()));
        }
        assert!(taken as f64 > offered * 0.6, "the proxies kept taking calls: {taken} of {offered}");
    };
    if cluster.broker.own() {
        let (before, at) = (answered(&carriers), Instant::now());
        cluster.broker.kill();
        std::thread::sleep(form.down.max(ms(2_000)));
        cluster.broker.up();
        std::thread::sleep(ms(2_000));
        goes_on("the broker was killed", before, at.elapsed(), &carriers);
        let (before, at) = (answered(&carriers), Instant::now());
        cluster.broker.freeze(true);
        std::thread::sleep(form.cut_off);
        let backlog = cluster.named("proxy-a").api.metric("tollgate_forward_backlog_events");
        assert!(backlog > 0.0, "the backlog shows");
        cluster.broker.freeze(false);
        goes_on("the broker was cut off", before, at.elapsed(), &carriers);
    }
    let (before, at) = (answered(&carriers), Instant::now());
    cluster.clickhouse.kill();
    std::thread::sleep(form.away);
    cluster.clickhouse.up();
    goes_on("ClickHouse was away", before, at.elapsed(), &carriers);

    for caller in &mut load {
        println!("a caller is done after {:?}, sipp says {:?} (1: some calls fell to a kill)", began.elapsed(), caller.exit());
    }
    // What a kill left up on one side only is ended by command, through the log.
    let left = wait_for("calls end, or are few", Duration::from_secs(30), || {
        let live = cluster.api().items("/v1/calls?limit=1000");
        std::thread::sleep(ms(500));
        live.iter().all(|c| c["state"] == "answered").then_some(live)
    });
    println!("{} calls are ended by command", left.len());
    for call in &left {
        let (status, answer) = cluster.api().post(&format!("/v1/calls/{}/end", call["call_uuid"].as_str().expect("id")), &json!({ "reason": "left over" }));
        assert!(matches!(status, 202 | 404), "{answer}");
    }
    wait_for("no call is up", Duration::from_secs(30), || cluster.api().items("/v1/calls").is_empty().then_some(()));
    cluster.settled(Duration::from_secs(60));

    let seen: HashMap<String, _> = carriers.iter().flat_map(|c| c.seen()).collect();
    let finals = wait_for("as many finals as calls that carriers saw", Duration::from_secs(30), || {
        let mut by_call: HashMap<String, Vec<Cdr>> = HashMap::new();
        for row in rows(&cluster, "final") {
            by_call.entry(row["sip_call_id_in"].as_str().expect("Call-ID").to_owned()).or_default().push(Cdr(row));
        }
        let missing = seen.keys().filter(|id| !by_call.contains_key(*id)).count();
        if missing > 0 {
            println!("{missing} finals are still to come");
            std::thread::sleep(ms(1_000));
        }
        (missing == 0).then_some(by_call)
    });
    let mut priced = 0;
    for (id, at_carrier) in &seen {
        let own = &finals[id];
        assert_eq!(own.len(), 1, "final CDRs of {id}: {own:#?}");
        if at_carrier.acked.is_some() && own[0].text("disposition") == "answered" {
            priced += 1;
            check(&own[0], &json!({ "rating_status": "rated", "sip_final_code": 200, "sell_amount": "0.070000" }));
        }
    }
    let all: Vec<&Cdr> = finals.values().flatten().collect();
    println!("carriers saw {} calls; {} final CDRs, {priced} answered and priced", seen.len(), all.len());
    assert!(seen.len() > calls && priced > calls, "the load went through at all");

    // Balances: what the ledger says is what the CDRs say.
    let tail = passed(&cluster.on_log(&["log", "tail", "ledger", "--json"]));
    let mut balances: BTreeMap<String, i64> = BTreeMap::new();
    for line in tail.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        for entry in event["body"]["entries"].as_array().expect("entries") {
            *balances.entry(entry["account"].as_str().expect("account").to_owned()).or_default() += entry["amount_e8"].as_i64().expect("amount");
        }
    }
    let owed: i64 = balances.iter().filter(|(account, _)| account.starts_with("account:acme")).map(|(_, sum)| sum).sum();
    let sold: i64 = all.iter().map(|c| micros(c, "sell_amount")).sum();
    println!("acme owes {owed}e-8, its CDRs say {}e-8", sold * 100);
    assert_eq!(owed, sold * 100, "{balances:?}");
    assert_eq!(balances.values().sum::<i64>(), 0);
    println!("log verify: {}", passed(&cluster.on_log(&["log", "verify"])).trim());
    println!("log replay: {}", passed(&cluster.on_log(&["log", "replay", "--stage", "rating"])).trim());
    for process in &mut cluster.processes {
        process.stop();
    }
    println!("all of it took {:?}", began.elapsed());
}
