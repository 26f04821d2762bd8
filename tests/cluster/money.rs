//! Money and routing on a cluster: an account's balance over two proxies and without the process that lends it, prices corrected and
//! invoiced by whichever process is asked, and a failing carrier left by every proxy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Cluster, alone};
use crate::{
    harness::{Api, KEY, Setup, Sipp, ms, scenario, tollgate, wait_for},
    ua::{AutoCarrier, Dialer, Plan},
};

const USA: &str = "12125550100";
const EACH: usize = 120;
const PAID: i64 = 6_000_000;
const HEAD: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n";

fn micros(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no decimal: {value}"));
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    sign * (whole.parse::<i64>().expect(text) * 1_000_000 + format!("{part:0<6}")[..6].parse::<i64>().expect(text))
}

fn balance(api: &Api) -> Value {
    api.items("/v1/balances?account=acme").remove(0)
}

fn finals(api: &Api) -> Vec<Value> {
    api.text("/v1/cdrs?record_type=final&format=jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A command that asks a process.
#[track_caller]
fn asked(api: &Api, args: &[&str]) -> Value {
    let out = tollgate().args(args).args(["--json", "--url", &format!("http://{}", api.addr)]).env("TOLLGATE_ADMIN_KEY", KEY).output().expect("the program runs");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(out.status.success(), "{args:?}: {}\n{}{}", out.status, text(&out.stdout), text(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", text(&out.stdout)))
}

#[test]
fn issue_5_money_and_routing_are_one_over_many_processes() {
    let _alone = alone();
    let mut setup = Setup::new(2).timer("t1_ms", 200).timer("first_response_ms", 4_000).timer("pdd_ms", 8_000).timer("no_answer_ms", 20_000);
    setup.drain_s = 2;
    setup.more = "[rating]\nquality_hold_down_s = 10\n".to_owned();
    let net = setup.net;
    let hosts = [0, 1].map(|n| Cluster::caller_host(net, n));
    // Nothing explores: whoever is second is known by that alone.
    setup.doc("route_policy", "by-quality", json!({ "order": "cost", "exploration_pct": "0" }));
    let account = setup.spec("account", "acme");
    (account["billing"], account["slice_s"], account["route_policy"]) = ("prepaid".into(), 4.into(), "by-quality".into());
    // A second costs 0.01, a slice 0.04: what is paid holds 150 slices of the 240 that are asked for.
    setup.spec("deck", "sell")["csv"] = format!("{HEAD}1,usa,0.60,0,1,1,2020-01-01\n").into();
    let trunk = setup.trunk();
    (trunk["channels"], trunk["cps"], trunk["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    trunk["sources"] = json!(hosts.map(|h| h.to_string()));
    let failing = Arc::new(AtomicBool::new(false));
    let brief = Arc::new(AtomicBool::new(false));
    let (fails, short) = (failing.clone(), brief.clone());
    let alpha = AutoCarrier::start("alpha", net.carrier(0), move |_| Plan {
        rings_after: ms(5),
        answers_after: ms(20),
        refuses: fails.load(Ordering::Relaxed).then_some(503),
        hangs_up_after: short.load(Ordering::Relaxed).then_some(ms(40)),
    });
    let _beta = AutoCarrier::start("beta", net.carrier(1), |_| Plan { rings_after: ms(5), answers_after: ms(10), refuses: None, hangs_up_after: Some(ms(40)) });
    let mut cluster = Cluster::new(setup);
    for (name, stages) in
        [("proxy-a", "proxy"), ("proxy-b", "proxy"), ("rating-1", "rating"), ("rating-2", "rating,fraud"), ("ingest", "ingest"), ("api-1", "api"), ("api-2", "api")]
    {
        cluster.start(name, stages);
    }
    let nodes = ["proxy-a", "proxy-b"].map(|p| cluster.named(p).sip.expect("a proxy"));
    let apis = ["api-1", "api-2"].map(|p| cluster.named(p).api.clone());

    a_balance_holds_over_two_proxies_and_without_its_lender(&mut cluster, &apis, hosts, nodes, &alpha);
    prices_are_corrected_and_invoiced_wherever_one_asks(&apis);
    brief.store(true, Ordering::Relaxed);
    a_failing_carrier_is_left_by_both_proxies(&apis, hosts, nodes, &alpha, &failing);

    cluster.settled(Duration::from_secs(60));
    println!("log verify: {}", super::passed(&cluster.on_log(&["log", "verify"])).trim());
    println!("log replay: {}", super::passed(&cluster.on_log(&["log", "replay", "--stage", "rating"])).trim());
    for process in &mut cluster.processes {
        process.stop();
    }
}

/// FN-07: each proxy has slices of one balance; the lender is killed while they are used, and no call goes on beyond what was lent.
fn a_balance_holds_over_two_proxies_and_without_its_lender(
    cluster: &mut Cluster,
    apis: &[Api; 2],
    hosts: [std::net::Ipv4Addr; 2],
    nodes: [std::net::SocketAddr; 2],
    carrier: &AutoCarrier,
) {
    let (status, said) = apis[0].post("/v1/payments", &json!({ "account": "acme", "amount": "6.00", "reason": "most of what they want", "reference": "RF-1" }));
    assert_eq!(status, 201, "{said}");
    wait_for("the other process knows of the payment", Duration::from_secs(10), || {
        let items = apis[1].items("/v1/balances?account=acme");
        (items.first()?["balance"] == "6.000000").then_some(())
    });
    std::thread::sleep(ms(1_500));
    let limit = Duration::from_secs(120);
    let mut callers = [0, 1].map(|n| Sipp::long_caller(scenario!("caller_until_its_money_ends"), hosts[n], nodes[n], USA, EACH, 60, limit));
    let up = || carrier.seen().values().filter(|s| s.answered.is_some() && s.ended.is_none()).count();
    wait_for("calls are up at both", Duration::from_secs(20), || (up() > EACH / 2).then_some(()));
    cluster.named("rating-1").kill();
    cluster.named("rating-2").kill();
    let began = Instant::now();
    println!("{} calls are up, and nobody lends", up());
    // What a proxy was lent it may use; after that its own timers end the calls.
    wait_for("the proxies end every call by themselves", Duration::from_secs(60), || {
        std::thread::sleep(ms(100));
        (up() == 0).then_some(())
    });
    println!("all calls ended {:?} after their lender was killed", began.elapsed());
    cluster.named("rating-1").up();
    cluster.named("rating-2").up();
    for caller in &mut callers {
        println!("sipp says {:?}", caller.exit());
    }
    cluster.settled(Duration::from_secs(60));
    let seen = carrier.seen();
    let rows = wait_for("every call of the carrier has its CDR", Duration::from_secs(40), || {
        std::thread::sleep(ms(500));
        let rows = finals(&apis[0]);
        let answered = rows.iter().filter(|r| r["disposition"] == "answered").count();
        (answered == seen.values().filter(|s| s.answered.is_some()).count()).then_some(rows)
    });
    let answered: Vec<&Value> = rows.iter().filter(|r| r["disposition"] == "answered").collect();
    let spent: i64 = answered.iter().map(|r| micros(&r["sell_amount"])).sum();
    let row = wait_for("nothing is held", Duration::from_secs(120), || {
        std::thread::sleep(ms(500));
        Some(balance(&apis[1])).filter(|b| micros(&b["held"]) == 0)
    });
    let left = micros(&row["balance"]);
    println!("{} calls answered of {}; {spent}e-6 spent, {left}e-6 left", answered.len(), 2 * EACH);
    assert_eq!(spent + left, PAID, "the CDRs are the ledger");
    assert!(answered.iter().all(|r| r["end_reason"] == "credit"), "each was ended for want of money, or of who lends it");
    // The bound: nothing; where the machine stalls, a second a call.
    assert!(left >= -10_000 * answered.len() as i64, "{left}");
    assert!(spent > PAID / 4, "they could call at all: {spent}");
}

/// FN-12: asked of one process, seen by the other, in ClickHouse.
fn prices_are_corrected_and_invoiced_wherever_one_asks(apis: &[Api; 2]) {
    let dir = tempfile::tempdir().expect("folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let rows = finals(&apis[0]);
    let until = rows.iter().filter_map(|r| r["end_ts"].as_str()).max().expect("a time").to_owned();
    let sold: i64 = rows.iter().map(|r| r["sell_amount"].as_str().map_or(0, |_| micros(&r["sell_amount"]))).sum();
    let answered = rows.iter().filter(|r| r["disposition"] == "answered").count();
    let period = ["--from", "2020-01-01T00:00:00Z", "--until", "2100-01-01"];
    let export = |api: &Api, name: &str, more: &[&str]| asked(api, &[&["export", "cdrs", "--out", &path(name)][..], &period, more].concat());
    let before = export(&apis[0], "before.csv", &[]);
    let bill = |series: &'static str| ["invoice", "--account", "acme", "--from", "2020-01-01T00:00:00Z", "--freeze-days", "0", "--series", series];
    let invoice = asked(&apis[1], &[&bill("k")[..], &["--until", &until, "--out", &path("bills")]].concat());
    let total = micros(&invoice["total"]);
    assert!((total - sold).abs() <= 5_000, "{total} of {sold}, in cents");

    // Half the price, told to one and known to the other.
    let (status, said) = apis[0].put("/v1/decks/sell?reason=corrected", &json!({ "csv": format!("{HEAD}1,usa,0.30,0,1,1,2020-01-01\n") }));
    assert_eq!(status, 200, "{said}");
    wait_for("the other process prices by it", Duration::from_secs(10), || (apis[1].get("/v1/decks/sell/price?number=12125550100")["row"]["rate"] == "0.3").then_some(()).or_else(|| {
        let rate = apis[1].get("/v1/decks/sell/price?number=12125550100")["row"]["rate"].as_str().map(str::to_owned);
        (rate.as_deref() == Some("0.30")).then_some(())
    }));
    let paid_for = rows.iter().filter(|r| r["sell_amount"].as_str().is_some_and(|a| a != "0.000000")).count();
    let rerate = [&["rerate", "--apply", "--side", "sell", "--reason", "half was agreed"][..], &period].concat();
    let done = asked(&apis[1], &rerate);
    assert_eq!((done["changed"].as_u64(), done["refused"].as_u64()), (Some(paid_for as u64), Some(0)), "{done}");
    let now = wait_for("the corrected CDRs", Duration::from_secs(30), || {
        std::thread::sleep(ms(300));
        let rows = finals(&apis[0]);
        (rows.iter().filter(|r| r["cdr_version"].as_u64() == Some(2)).count() >= paid_for).then_some(rows)
    });
    let half: i64 = now.iter().filter(|r| r["sell_amount"].is_string()).map(|r| micros(&r["sell_amount"])).sum();
    assert_eq!((now.len(), 2 * half), (rows.len(), sold), "newest versions only, at half the price");
    assert_eq!(asked(&apis[0], &rerate)["changed"].as_u64(), Some(0), "asked again of the other process, nothing changes");
    let credited = wait_for("the balance has the difference", Duration::from_secs(20), || {
        std::thread::sleep(ms(200));
        Some(micros(&balance(&apis[0])["balance"])).filter(|b| *b == PAID - half)
    });
    println!("{answered} answered calls, {paid_for} cost something: {sold}e-6 became {half}e-6, balance {credited}e-6");

    // As of before: the same file, from the other process.
    let again = export(&apis[1], "again.csv", &["--as-of", before["as_of"].as_str().expect("a position")]);
    assert_eq!(again["sha256"], before["sha256"]);
    let note = asked(&apis[0], &["invoice", "note", "--invoice", invoice["number"].as_str().expect("number"), "--reason", "half was agreed", "--out", &path("notes")]);
    assert_eq!((&note["kind"], &note["invoice"]), (&json!("credit_note"), &invoice["number"]));
    assert!((micros(&note["total"]) - (sold - half)).abs() <= 10_000, "{note}");
    wait_for("the other process has both", Duration::from_secs(10), || {
        let list = asked(&apis[1], &["invoice", "list"]);
        (list.as_array().is_some_and(|l| l.len() == 2)).then_some(())
    });
}

/// judged by one process from the calls of both proxies.
fn a_failing_carrier_is_left_by_both_proxies(
    apis: &[Api; 2],
    hosts: [std::net::Ipv4Addr; 2],
    nodes: [std::net::SocketAddr; 2],
    alpha: &AutoCarrier,
    failing: &AtomicBool,
) {
    let (status, said) = apis[1].post("/v1/payments", &json!({ "account": "acme", "amount": "500.00", "reason": "on account", "reference": "RF-2" }));
    assert_eq!(status, 201, "{said}");
    wait_for("the payment", Duration::from_secs(10), || (micros(&balance(&apis[0])["balance"]) > 400_000_000).then_some(()));
    std::thread::sleep(ms(1_500));
    let dialers = [0, 1].map(|n| Dialer::start(hosts[n], nodes[n]));
    let mut next = 0;
    let mut run = |calls: usize| {
        let mut ids: [Vec<String>; 2] = Default::default();
        for _ in 0..calls {
            next += 1;
            std::thread::sleep(ms(20));
            (0..2).for_each(|n| ids[n].push(dialers[n].call(&format!("1212{:07}", 2_000_000 + 2 * next + n))));
        }
        wait_for("every call has its answer", Duration::from_secs(30), || dialers.iter().all(|d| d.waiting() == 0).then_some(()));
        ids
    };
    let at_alpha = |ids: &[String]| {
        let seen = alpha.seen();
        ids.iter().filter(|id| seen.contains_key(*id)).count()
    };
    let well = run(40);
    let first = well.each_ref().map(|ids| at_alpha(ids));
    println!("well: {first:?} of 40 calls of each proxy at the cheaper carrier");
    assert!(first.iter().all(|n| *n >= 30), "{first:?}");
    failing.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let state = |api: &Api| -> Option<String> {
        let groups = api.items("/v1/quality?dest_group=usa");
        let carrier = groups.first()?["carriers"].as_array()?.iter().find(|c| c["carrier"] == "alpha")?.clone();
        Some(carrier["state"].as_str()?.to_owned())
    };
    wait_for("both processes say that it is demoted", Duration::from_secs(120), || {
        run(20);
        apis.iter().all(|api| state(api).as_deref() == Some("demoted")).then_some(())
    });
    println!("demoted {:?} after it began to fail", began.elapsed());
    std::thread::sleep(ms(2_000));
    let without = run(60);
    let tried = without.each_ref().map(|ids| at_alpha(ids));
    println!("demoted: {tried:?} of 60 calls of each proxy at the failing carrier");
    assert!(tried.iter().all(|n| *n <= 20), "both proxies know: {tried:?}");
}
