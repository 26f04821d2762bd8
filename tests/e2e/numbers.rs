//! Portability on the first call (R-04): a service over HTTP and a name server over UDP, as slow as the case wants them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    finance::{Desk, with},
    harness::{Cdr, Setup, World, check, ms, wait_for},
    ua::{Leg, Msg, established, invite},
};

const PORTED: &str = "12125550100";

/// Says of every number that it is ported to +1 201 555 0000, after a while that can be changed.
struct Service {
    url: String,
    asked: Arc<AtomicUsize>,
    after_ms: Arc<AtomicU64>,
}

impl Service {
    fn start(setup: &Setup, after_ms: u64) -> Service {
        let listener = TcpListener::bind((setup.net.numbered(50), 0)).expect("a port");
        let url = format!("http://{}/lrn/{{number}}", listener.local_addr().expect("an address"));
        let (asked, after) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(after_ms)));
        let (count, wait) = (asked.clone(), after.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (count, wait) = (count.clone(), wait.clone());
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0u8; 1024]);
                    count.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(wait.load(Ordering::SeqCst)));
                    let body = r#"{"lrn":"12015550000","state":"NJ","ocn":"9206","name":"ACME LTD"}"#;
                    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                });
            }
        });
        Service { url, asked, after_ms: after }
    }
}

/// +1 201 555 costs 0.60, the rest of +1 0.06; a look-up made for a call costs 0.0003.
fn setup(lrn: &str) -> Setup {
    let mut setup = Setup::new(1);
    let sell = setup.spec("deck", "sell");
    let rows = sell["csv"].as_str().expect("rows").to_owned() + "1201555,new jersey,0.60,0,60,60,2020-01-01\n";
    *sell = json!({ "csv": rows, "lookup_fees": { "lrn": "0.0003" } });
    setup.more = format!("[lrn]\n{lrn}");
    setup
}

fn world(after_ms: u64, more: &str) -> (World, Service) {
    let mut setup = setup("");
    let service = Service::start(&setup, after_ms);
    setup.more = format!("[lrn]\nurl = \"{}\"\n{more}", service.url);
    (World::of(setup), service)
}

/// The INVITE of a call at the carrier, turned down.
fn turn_down(world: &World, leg: &Leg) {
    let got = world.alpha().expect("the INVITE", |m| m.method() == Some("INVITE") && m.call_id() == leg.call_id);
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.expect("486", |m| m.status() == Some(486) && m.call_id() == leg.call_id);
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
}

fn cdr(world: &World, leg: &Leg) -> Cdr {
    world.node.cdrs_at_once(&leg.call_id, Instant::now()).0
}

#[test]
fn r_04_the_first_call_to_a_ported_number_is_rated_by_its_routing_number() {
    let (world, service) = world(80, "");
    let (caller, alpha, node) = (&world.caller, world.alpha(), world.node.sip);
    let (mut leg, _) = established(caller, alpha, node, PORTED);
    caller.send(node, &leg.next("BYE", "", ""));
    let bye = alpha.request("BYE");
    alpha.reply(&bye, 200, "OK", "");
    let call = cdr(&world, &leg);
    check(&call, &json!({
        "lrn": "12015550000", "lrn_source": "dip", "b_state": "NJ", "sell_prefix": "1201555", "dip_fees": "0.000300",
        "sell_amount": "0.600300",
    }));
    assert!((80..2_000).contains(&call.int("lrn_dip_ms")), "{}", call.int("lrn_dip_ms"));
    // The next call has it from memory: no look-up, no fee.
    let again = invite(caller, node, PORTED);
    turn_down(&world, &again);
    check(&cdr(&world, &again), &json!({ "lrn": "12015550000", "lrn_source": "cache", "dip_fees": "0.000000" }));
    assert_eq!(service.asked.load(Ordering::SeqCst), 1);
    assert_eq!(world.node.api.metric("tollgate_lrn_lookups") as u64, 1);
}

#[test]
fn r_45_a_nodes_calls_cost_the_same_when_its_documents_price_them_from_a_file() {
    let mut setup = setup("");
    let service = Service::start(&setup, 20);
    setup.more = format!("[lrn]\nurl = \"{}\"\n", service.url);
    let rows = "prefix,destination,rate,connect_fee,initial,increment,effective_from,interrate,intrarate,ijrate\n1,usa,0.06,0.01,60,60,2020-01-01,,,\n\
        1201555,new jersey,0.60,0,60,60,2020-01-01,0.50,0.40,0.55\n";
    *setup.spec("deck", "sell") = json!({ "csv": rows, "lookup_fees": { "lrn": "0.0003" }, "jurisdiction": { "caller": "routing" } });
    setup.doc("number_table", "us", json!({ "csv": "npanxx,state\n201555,NJ\n212555,NY\n" }));
    let world = World::of(setup);
    let (caller, alpha, node) = (&world.caller, world.alpha(), world.node.sip);
    let (mut leg, _) = established(caller, alpha, node, PORTED);
    caller.send(node, &leg.next("BYE", "", ""));
    let bye = alpha.request("BYE");
    alpha.reply(&bye, 200, "OK", "");
    let call = cdr(&world, &leg);
    check(&call, &json!({ "lrn_source": "dip", "dip_fees": "0.000300" }));
    assert!(["inter", "intra", "indeterminate"].contains(&call.text("jurisdiction")), "{}", call.text("jurisdiction"));
    turn_down(&world, &invite(caller, node, PORTED));
    wait_for("both calls", ms(5_000), || (world.node.api.items("/v1/cdrs?limit=10&record_type=final").len() == 2).then_some(()));

    let desk = Desk::of(&world.node);
    let documents = world.node.config().with_file_name("provision.yaml");
    let path = |name: &str| documents.with_file_name(name).display().to_string();
    let period = ["--from", "2020-01-01", "--until", "2100-01-01", "--json"];
    assert_eq!(desk.json(&with(&["rerate"], &period))["by_ani"], json!(2), "no CDR keeps the number of the caller's switch");
    desk.json(&with(&["export", "cdrs", "--out", &path("now.parquet")], &period));
    let rerate = |documents: &str| desk.json(&["rerate", "--cdrs", &path("now.parquet"), "-f", documents, "--json"]);
    let same = rerate(&path("provision.yaml"));
    assert_eq!((&same["calls"], &same["changed"], &same["problems"], &same["left_out"]), (&json!(2), &json!(0), &json!(0), &json!(0)), "{same}");
    let text = std::fs::read_to_string(&documents).expect("documents");
    std::fs::write(path("dearer.yaml"), text.replace("0.0003", "0.0004")).expect("file");
    let dearer = rerate(&path("dearer.yaml"));
    assert_eq!((&dearer["changed"], &dearer["summary"][0]["side"], &dearer["summary"][0]["delta"]), (&json!(1), &json!("sell"), &json!("0.000100")), "{dearer}");
}

#[test]
fn r_04_calls_to_one_number_wait_together_and_no_other_call_waits_with_them() {
    let (mut world, service) = world(700, "timeout_ms = 3000\n");
    let (node, began) = (world.node.sip, Instant::now());
    let legs: Vec<Leg> = (0..5).map(|_| invite(&world.caller, node, PORTED)).collect();
    // Numbers that are not looked up pass at once.
    let uk = invite(&world.caller, node, "442079460000");
    turn_down(&world, &uk);
    assert!(began.elapsed() < ms(600), "it took {:?}", began.elapsed());
    // A repeated INVITE of a call that waits is a repetition.
    world.caller.send(node, &legs[0].invite(""));
    world.alpha().never(ms(100), "a call that waits", |m| m.method() == Some("INVITE") && m.call_id() == legs[0].call_id);
    for leg in &legs {
        turn_down(&world, leg);
    }
    let mut sources: Vec<String> = legs.iter().map(|leg| cdr(&world, leg).text("lrn_source").to_owned()).collect();
    sources.sort();
    assert_eq!(sources, ["cache", "cache", "cache", "cache", "dip"]);
    assert_eq!(service.asked.load(Ordering::SeqCst), 1);
    assert_eq!(world.alpha().repeated(|m| m.method() == Some("INVITE")), 0);
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn r_04_a_slow_service_costs_calls_its_limit_and_after_some_failures_nothing() {
    let (world, service) = world(3_000, "timeout_ms = 300\ncircuit_failures = 3\ncircuit_s = 2\n");
    let node = world.node.sip;
    for n in 0..3 {
        let began = Instant::now();
        let leg = invite(&world.caller, node, &format!("1212555020{n}"));
        turn_down(&world, &leg);
        assert!(began.elapsed() > ms(290), "it waited {:?}", began.elapsed());
        let call = cdr(&world, &leg);
        check(&call, &json!({ "lrn": "", "lrn_source": "fallback", "dip_fees": "0.000000" }));
        assert!(call.int("lrn_dip_ms") >= 290, "{}", call.int("lrn_dip_ms"));
    }
    wait_for("the source is left alone", ms(3_000), || (world.node.api.metric("tollgate_lrn_circuit") as u64 == 1).then_some(()));
    let leg = invite(&world.caller, node, "12125550210");
    turn_down(&world, &leg);
    let call = cdr(&world, &leg);
    check(&call, &json!({ "lrn_source": "fallback", "lrn_dip_ms": 0 }));
    assert_eq!(service.asked.load(Ordering::SeqCst), 3);
    // It is well again: the call that tries finds out.
    service.after_ms.store(0, Ordering::SeqCst);
    let well = wait_for("an answer", ms(8_000), || {
        let leg = invite(&world.caller, node, "12125550211");
        turn_down(&world, &leg);
        Some(cdr(&world, &leg)).filter(|c| c.text("lrn_source") == "dip")
    });
    check(&well, &json!({ "lrn": "12015550000" }));
    assert_eq!(world.node.api.metric("tollgate_lrn_circuit") as u64, 0);
}

#[test]
fn p_16_a_call_cancelled_while_it_waits_ends_with_487_and_never_reaches_a_carrier() {
    let (mut world, _service) = world(400, "timeout_ms = 5000\n");
    let node = world.node.sip;
    let leg = invite(&world.caller, node, PORTED);
    world.caller.response(100, "INVITE");
    world.caller.send(node, &leg.cancel());
    world.caller.response(200, "CANCEL");
    let end = world.caller.response(487, "INVITE");
    world.caller.send(node, &leg.ack_failure(&end));
    let call = cdr(&world, &leg);
    check(&call, &json!({ "disposition": "cancelled", "sip_final_code": 487, "hangup_party": "caller", "attempts_total": 0, "lrn_source": "fallback" }));
    world.alpha().never(ms(600), "a cancelled call", |m| m.method() == Some("INVITE"));
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

#[test]
fn p_44_a_call_that_waits_when_the_node_stops_is_refused_with_503() {
    let (mut world, _service) = world(5_000, "timeout_ms = 9000\n");
    let node = world.node.sip;
    let leg = invite(&world.caller, node, PORTED);
    world.caller.response(100, "INVITE");
    world.node.terminate();
    let end = world.caller.response(503, "INVITE");
    assert!(end.text.contains("Retry-After:"), "{}", end.text);
    world.caller.send(node, &leg.ack_failure(&end));
    assert!(world.node.ended().success());
    world.node.log_is_sound_and_replays();
}

/// R-29: three fees, alike in the CDR, in what was held, when it is rated again and from a file.
#[test]
fn r_29_a_call_with_both_look_ups_and_a_surcharge_of_origin_has_three_fees_wherever_it_is_priced() {
    let mut setup = setup("");
    let service = Service::start(&setup, 60);
    setup.more = format!("[lrn]\nurl = \"{0}\"\ntimeout_ms = 2000\n[cnam]\nurl = \"{0}\"\n", service.url);
    setup.spec("deck", "sell")["lookup_fees"] = json!({ "lrn": "0.0003", "cnam": "0.0005" });
    setup.doc("surcharge", "origin", json!({ "currency": "USD", "decks": ["sell"], "rows": [{ "origin_group": "non-eea", "per_call": "0.02", "legs": ["sell"] }] }));
    setup.spec("account", "acme")["credit_limit"] = "100".into();
    setup.trunk()["cnam"] = true.into();
    let mut world = World::of(setup);
    let (caller, alpha, node) = (&world.caller, world.alpha(), world.node.sip);
    let began = Instant::now();
    let leg = invite(caller, node, PORTED);
    let got = alpha.expect("the INVITE", |m| m.method() == Some("INVITE") && m.call_id() == leg.call_id);
    assert!(began.elapsed() < ms(600), "both were asked at once, it took {:?}", began.elapsed());
    // The name stands beside the number, which is as it came; the caller hears what it wrote.
    assert_eq!(got.header("From"), format!("\"ACME LTD\" {}", leg.local));
    alpha.reply(&got, 200, "OK", "t");
    let ok = caller.expect("200", |m| m.status() == Some(200) && m.call_id() == leg.call_id);
    assert_eq!(ok.header("From"), leg.local);
    let mut leg = leg.confirmed(&ok);
    caller.send(node, &leg.ack());
    alpha.expect("the ACK", |m| m.method() == Some("ACK") && m.call_id() == leg.call_id);
    caller.send(node, &leg.next("BYE", "", ""));
    let bye = alpha.request("BYE");
    alpha.reply(&bye, 200, "OK", "");
    let call = cdr(&world, &leg);
    // A minute at 0.60.
    check(&call, &json!({
        "lrn_source": "dip", "cnam_source": "dip", "a_name": "ACME LTD", "dip_fees": "0.000800", "per_call_fees": "0.020000", "sell_amount": "0.620800",
        "credit_held": "0.620800",
    }));
    let lines: Vec<serde_json::Value> = serde_json::from_str(call.text("sell_lines")).expect("lines");
    let fees: Vec<(&str, &str)> = lines[1..].iter().map(|l| (l["name"].as_str().expect("name"), l["amount"].as_str().expect("amount"))).collect();
    assert!(fees.len() == 3 && fees.contains(&("lrn_dip", "0.000300")) && fees.contains(&("cnam_dip", "0.000500")), "{fees:?}");

    // From memory there is nothing to pay, and a caller that hides is not asked about.
    let again = invite(caller, node, PORTED);
    turn_down(&world, &again);
    check(&cdr(&world, &again), &json!({ "lrn_source": "cache", "cnam_source": "cache", "a_name": "ACME LTD", "dip_fees": "0.000000" }));
    let private = Leg::new(caller, node, PORTED);
    caller.send(node, &private.invite("Privacy: id\r\n"));
    let got = alpha.expect("the INVITE", |m| m.method() == Some("INVITE") && m.call_id() == private.call_id);
    assert_eq!(got.header("From"), private.local);
    alpha.reply(&got, 486, "Busy Here", "t");
    let end = caller.expect("486", |m| m.status() == Some(486) && m.call_id() == private.call_id);
    caller.send(node, &private.ack_failure(&end));
    check(&cdr(&world, &private), &json!({ "cnam_source": "none", "a_name": "" }));
    assert_eq!((service.asked.load(Ordering::SeqCst), world.node.api.metric("tollgate_cnam_lookups") as u64), (2, 1));

    // Rated again from a file of CDRs, and as a file of calls.
    let desk = Desk::of(&world.node);
    let documents = world.node.config().with_file_name("provision.yaml");
    let path = |name: &str| documents.with_file_name(name).display().to_string();
    desk.json(&["export", "cdrs", "--out", &path("now.parquet"), "--from", "2020-01-01", "--until", "2100-01-01", "--json"]);
    let same = desk.json(&["rerate", "--cdrs", &path("now.parquet"), "-f", &path("provision.yaml"), "--json"]);
    assert_eq!((&same["calls"], &same["changed"], &same["problems"]), (&json!(3), &json!(0), &json!(0)), "{same}");
    assert_eq!(desk.json(&["rerate", "--from", "2020-01-01", "--until", "2100-01-01", "--json"])["changed"], json!(0));
    let row = format!("1,acme,12125550199,{PORTED},{0},{0},{0},12015550000,{1},dip,dip\n", call.text("answer_ts"), call.int("duration_ms"));
    std::fs::write(path("calls.csv"), format!("call_id,account,from,to,setup,answer,end,lrn,duration_ms,lrn_source,cnam_source\n{row}")).expect("file");
    let (code, _, err) = desk.run_alone(&["rate", "-f", &path("provision.yaml"), "--calls", &path("calls.csv"), "--out", &path("rated.csv")]);
    assert_eq!(code, 0, "{err}");
    let rated = std::fs::read_to_string(path("rated.csv")).expect("rated");
    assert!(rated.lines().nth(1).expect("a row").contains(",0.620800,USD,"), "{rated}");
    world.node.stop();
    world.node.log_is_sound_and_replays();
}

/// Answers each question with one record of RFC 4769.
fn name_server(addr: SocketAddr) {
    let socket = UdpSocket::bind(addr).expect("a port");
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            // The question without its OPT record, as a response with one answer.
            let mut out = buffer[..n - 11].to_vec();
            out[2..4].copy_from_slice(&[0x81, 0x80]);
            out[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            let text = b"!^.*$!tel:+12125550100;npdi;rn=+12015550000!";
            let mut data = vec![0, 10, 0, 10, 1, b'u', 12];
            data.extend_from_slice(b"E2U+pstn:tel");
            data.push(text.len() as u8);
            data.extend_from_slice(text);
            data.push(0);
            out.extend_from_slice(&[0xc0, 12, 0, 35, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            out.extend_from_slice(&data);
            let _ = socket.send_to(&out, from);
        }
    });
}

#[test]
fn r_04_a_name_server_is_asked_as_enum_has_it() {
    let mut setup = setup("");
    let server = SocketAddr::new(setup.net.numbered(53).into(), 5353);
    name_server(server);
    setup.more = format!("[lrn]\nenum_server = \"{server}\"\nenum_suffix = \"e164.example\"\n");
    let world = World::of(setup);
    let leg = invite(&world.caller, world.node.sip, PORTED);
    let got: Msg = world.alpha().request("INVITE");
    // What is dialled stays what it was.
    assert!(got.uri().contains(PORTED), "{}", got.uri());
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.response(486, "INVITE");
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    check(&cdr(&world, &leg), &json!({ "lrn": "12015550000", "lrn_source": "dip", "sell_prefix": "1201555" }));
}
