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
                    let body = r#"{"lrn":"12015550000","state":"NJ","ocn":"9206"}"#;
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
