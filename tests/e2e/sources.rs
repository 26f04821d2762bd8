//! Who is who: by source address only (X-02, X-05, design §3 point 5).

use std::{net::SocketAddr, time::Instant};

use serde_json::json;

use crate::{
    harness::{Setup, World, check, ms, wait_for},
    ua::{Leg, Ua, invite},
};

const USA: &str = "12125550100";

#[test]
fn x_02_a_stranger_hears_nothing_and_is_an_event() {
    let world = World::new(1);
    let stranger = Ua::on("a stranger", world.node.setup.net.stranger());
    // Whatever it claims in From, Contact and Via.
    let text = Leg::new(&world.caller, world.node.sip, USA).invite("User-Agent: acme-pbx\r\n");
    stranger.send(world.node.sip, &text);
    stranger.never(ms(200), "an answer", |_| true);
    world.caller.never(ms(50), "a stranger's answer", |_| true);
    world.alpha().never(ms(1), "a stranger's call", |_| true);
    let cdr = wait_for("its record", ms(5_000), || {
        world.node.api.items("/v1/cdrs").into_iter().find(|c| c["block_reason"] == "unknown_source").map(crate::harness::Cdr)
    });
    check(&cdr, &json!({ "disposition": "blocked", "account": "", "attempts_total": 0, "ingress_src_ip": world.node.setup.net.stranger().to_string() }));
    wait_for("it is counted", ms(5_000), || (world.node.api.metric("tollgate_sip_strangers") >= 1.0).then_some(()));
}

#[test]
fn x_02_a_flood_of_strangers_is_counted_not_written_one_by_one() {
    const SENT: u64 = 500;
    let world = World::new(1);
    let stranger = Ua::on("a stranger", world.node.setup.net.stranger());
    let text = Leg::new(&stranger, world.node.sip, USA).invite("");
    for _ in 0..SENT {
        stranger.send_bytes(world.node.sip, text.as_bytes());
    }
    // A good call passes meanwhile.
    let leg = invite(&world.caller, world.node.sip, USA);
    let got = world.alpha().request("INVITE");
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = world.caller.response(486, "INVITE");
    world.caller.send(world.node.sip, &leg.ack_failure(&end));
    wait_for("all are counted", ms(5_000), || (world.node.api.metric("tollgate_sip_strangers") as u64 == SENT).then_some(()));
    let rows = wait_for("what was counted", ms(15_000), || {
        let rows: Vec<_> = world.node.api.items("/v1/cdrs?limit=1000").into_iter().filter(|c| c["block_reason"] == "unknown_source").collect();
        let all: u64 = rows.iter().filter_map(|c| c["count"].as_u64()).sum();
        (all == SENT).then_some(rows)
    });
    println!("{SENT} datagrams of a stranger are {} rows", rows.len());
    assert!(rows.len() <= 110, "{} rows", rows.len());
}

#[test]
fn s_3_the_most_specific_party_of_an_address_wins() {
    // A whole network is one trunk, one address and port in it is another account's.
    let mut setup = Setup::new(1);
    let net = setup.net;
    let special = SocketAddr::new(net.caller().into(), 5090);
    let caller = net.caller().octets();
    setup.trunk()["sources"] = json!([format!("127.{}.{}.0/28", caller[1], caller[2])]);
    setup.doc("account", "globex", json!({ "sell_deck": "sell" }));
    setup.doc("trunk", "globex-in", json!({ "account": "globex", "sources": [special.to_string()], "numbers": { "country_code": "1" }, "dial": { "max_rate": null, "daily_spend": null } }));
    let world = World::of(setup);
    let globex = Ua::at("globex", special);
    for (ua, account) in [(&world.caller, "acme"), (&globex, "globex")] {
        let leg = invite(ua, world.node.sip, USA);
        let got = world.alpha().expect("INVITE", |m| m.call_id() == leg.call_id);
        world.alpha().reply(&got, 486, "Busy Here", "t");
        let end = ua.response(486, "INVITE");
        ua.send(world.node.sip, &leg.ack_failure(&end));
        let (call, _) = world.node.cdrs_at_once(&leg.call_id, Instant::now());
        check(&call, &json!({ "account": account, "trunk": format!("{account}-in") }));
    }
}

#[test]
fn x_05_a_carrier_cannot_place_calls() {
    let world = World::new(1);
    let leg = Leg::new(world.alpha(), world.node.sip, USA);
    world.alpha().send(world.node.sip, &leg.invite(""));
    world.alpha().response(403, "INVITE");
}
