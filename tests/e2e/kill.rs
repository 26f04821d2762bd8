//! `kill -9` under 200 calls a second, at random instants, again and again on one data folder: nothing a carrier saw is
//! without its one final CDR, and the log replays to what was said (P-49, design §3).

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

use crate::{
    harness::{Cdr, Node, Setup, Sipp, check, ms, scenario, wait_for},
    ua::{AutoCarrier, Msg, Plan, Seen},
};

const USA: &str = "12125550100";
const CALLS: usize = 1_600;
const CPS: usize = 200;

/// A small generator: the seed is printed, so that a run's instants can be had again.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn seed() -> u64 {
    let given = std::env::var("E2E_SEED").ok().and_then(|s| s.parse().ok());
    given.unwrap_or_else(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |d| d.as_micros() as u64 | 1))
}

/// A quarter of the calls is hung up by the carrier; answers take 100 to 400 ms; one in eight the first carrier refuses.
fn plan(invite: &Msg, first: bool) -> Plan {
    let mut hasher = DefaultHasher::new();
    invite.call_id().hash(&mut hasher);
    let hash = hasher.finish();
    Plan {
        refuses: (first && hash % 8 == 3).then_some(503),
        rings_after: ms(30),
        answers_after: ms(100 + hash / 32 % 300),
        hangs_up_after: (hash / 8).is_multiple_of(4).then_some(ms(1_000 + hash / 32 % 1_000)),
    }
}

/// Every row of a kind, without its processing time.
fn rows(node: &Node, kind: &str) -> Vec<Value> {
    let text = node.api.text(&format!("/v1/cdrs?record_type={kind}&format=jsonl"));
    text.lines().map(|line| plain(serde_json::from_str(line).expect("JSON"))).collect()
}

fn plain(mut row: Value) -> Value {
    row.as_object_mut().expect("a row").remove("ingest_ts");
    row
}

/// What a row is of.
fn name(row: &Value) -> String {
    format!("{} {} {}", row["call_uuid"], row["record_type"], row["attempt_no"])
}

#[test]
fn p_49_kill_under_load_leaves_one_final_cdr_for_everything_a_carrier_saw() {
    let seed = seed();
    println!("seed {seed} (E2E_SEED={seed} for the same instants)");
    let mut random = Random(seed);
    let mut setup = Setup::new(2).timer("t1_ms", 100).timer("first_response_ms", 2_000).timer("pdd_ms", 4_000).timer("no_answer_ms", 8_000);
    setup.drain_s = 2;
    (setup.trunk()["channels"], setup.trunk()["cps"], setup.trunk()["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    let alpha = AutoCarrier::start("alpha", setup.net.carrier(0), |m| plan(m, true));
    let beta = AutoCarrier::start("beta", setup.net.carrier(1), |m| plan(m, false));
    let mut node = Node::start(setup);
    let rate = CPS.to_string();
    let mut caller = Sipp::caller(scenario!("load"), node.setup.net.caller(), node.sip, USA, CALLS, &["-r", &rate, "-l", "10000"]);
    let began = Instant::now();
    let mut instants: Vec<u64> = (0..3).map(|_| 500 + random.next(7_500)).collect();
    instants.sort_unstable();
    for at in instants {
        std::thread::sleep(ms(at).saturating_sub(began.elapsed()));
        let up = node.api.items("/v1/calls?limit=1000").len();
        node.kill();
        let killed = began.elapsed();
        println!("killed at {killed:?} with {up} calls up, ready again after {:?}", node.restart());
    }
    let outcome = caller.exit();
    println!("the callers are done after {:?}, sipp says {outcome:?} (1: some calls fell to a kill)", began.elapsed());
    // What is left is up on one side only: it is ended by command.
    let left = wait_for("calls end, or are few", Duration::from_secs(15), || {
        let live = node.api.items("/v1/calls?limit=1000");
        let old = live.iter().all(|c| c["state"] == "answered");
        (old && began.elapsed() > ms(14_000)).then_some(live)
    });
    println!("{} calls are ended by command", left.len());
    for call in &left {
        let (status, answer) = node.api.post(&format!("/v1/calls/{}/end", call["call_uuid"].as_str().expect("id")), &json!({ "reason": "left over" }));
        // It may have ended since.
        assert!(matches!(status, 202 | 404), "{answer}");
    }
    wait_for("no call is up", Duration::from_secs(10), || node.api.items("/v1/calls").is_empty().then_some(()));

    // What both carriers saw of each call; beta's part comes after alpha's.
    let mut seen = alpha.seen();
    for (id, at_beta) in beta.seen() {
        let tried_before = seen.get(&id).map_or(0, |s| s.branches);
        seen.insert(id, Seen { branches: at_beta.branches + tried_before, ..at_beta });
    }
    let moved_on = seen.values().filter(|s| s.branches > 1).count();
    println!("{moved_on} calls moved on to the second carrier");
    assert!(moved_on > CALLS / 20);
    let finals = wait_for("as many finals as calls that carriers saw", Duration::from_secs(10), || {
        let finals = rows(&node, "final");
        let mut by_call: HashMap<String, Vec<Cdr>> = HashMap::new();
        for row in finals {
            by_call.entry(row["sip_call_id_in"].as_str().expect("Call-ID").to_owned()).or_default().push(Cdr(row));
        }
        seen.keys().all(|id| by_call.contains_key(id)).then_some(by_call).or_else(|| {
            (began.elapsed() > ms(45_000)).then(|| panic!("no final CDR for {:?}", seen.keys().filter(|id| finals_missing(&node, id)).take(5).collect::<Vec<_>>()))
        })
    });
    judge(&seen, &finals);
    let attempts = rows(&node, "attempt");
    let tried: u64 = finals.values().flatten().map(|c| c.int("attempts_total")).sum();
    assert_eq!(attempts.len() as u64, tried, "one attempt CDR for each carrier tried");

    // Stopped, the log is whole, gives the same again, and what the API said is what the log says.
    let mut said: BTreeMap<String, Value> = rows(&node, "final").into_iter().chain(attempts).map(|r| (name(&r), r)).collect();
    node.stop();
    node.log_is_sound_and_replays();
    let tail = node.on_data(&["log", "tail", "cdrs", "--json"]);
    assert!(tail.status.success());
    let mut logged: BTreeMap<String, Value> = BTreeMap::new();
    for line in String::from_utf8_lossy(&tail.stdout).lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let Some(row) = find_cdr(&event) else { panic!("no CDR in {event}") };
        let row = plain(row.clone());
        // A later version replaces an earlier one.
        let newer = logged.get(&name(&row)).is_none_or(|old| old["cdr_version"].as_u64() < row["cdr_version"].as_u64());
        if newer {
            logged.insert(name(&row), row);
        }
    }
    assert_eq!(said.len(), logged.len());
    for (name, row) in &logged {
        assert_eq!(said.remove(name).as_ref(), Some(row), "{name}");
    }
    println!("all of it took {:?}", began.elapsed());
}

fn finals_missing(node: &Node, call_id: &str) -> bool {
    node.finals(call_id).is_empty()
}

/// The object of an event that is a CDR.
fn find_cdr(event: &Value) -> Option<&Value> {
    match event {
        Value::Object(fields) if fields.contains_key("record_type") => Some(event),
        Value::Object(fields) => fields.values().find_map(find_cdr),
        _ => None,
    }
}

fn judge(seen: &HashMap<String, Seen>, finals: &HashMap<String, Vec<Cdr>>) {
    let (mut answered, mut cancelled, mut worst) = (0, 0, Duration::ZERO);
    for (id, at_carrier) in seen {
        let own = &finals[id];
        assert_eq!(own.len(), 1, "final CDRs of {id}: {own:#?}\nthe carrier saw {at_carrier:?}");
        let call = &own[0];
        assert!(call.int("attempts_total") >= at_carrier.branches as u64, "{call:?}");
        if at_carrier.acked.is_some() && call.text("disposition") == "answered" {
            answered += 1;
            check(call, &json!({ "rating_status": "rated", "sip_final_code": 200, "sell_amount": "0.070000" }));
            if let (Some(from), Some(to)) = (at_carrier.answered, at_carrier.ended) {
                worst = worst.max((to - from).abs_diff(ms(call.int("duration_ms"))));
            }
        } else if at_carrier.acked.is_some() {
            // Given up by a crash before its answer was durable: acknowledged and ended from here, and owed.
            assert_eq!(call.text("end_reason"), "node_restart", "{call:?}\nthe carrier saw {at_carrier:?}");
            assert_ne!(call.text("cost_amount"), "0.000000", "the carrier will bill its second: {call:?}");
        }
        cancelled += usize::from(at_carrier.cancelled);
    }
    let all: usize = finals.values().map(Vec::len).sum();
    println!(
        "carriers saw {} calls, {answered} answered, {cancelled} cancelled; {all} final CDRs; a duration is off by {worst:?} at most",
        seen.len()
    );
    assert!(seen.len() > CALLS / 2 && answered > CALLS / 3, "the load went through at all");
    // An end that fell into a restart is seen when it is repeated.
    assert!(worst < Duration::from_secs(8), "{worst:?}");
}
