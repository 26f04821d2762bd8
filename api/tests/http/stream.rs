//! `/v1/stream`.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Value, json};

use crate::client::{Server, read_head, row};

/// Reads events until `want` of the name were seen; gives everything before it too.
fn until(reader: &mut impl BufRead, want: &str) -> Vec<(String, Value)> {
    let (mut seen, mut name) = (Vec::new(), String::new());
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("an event within the time") > 0, "the stream ended before '{want}': {seen:?}");
        let line = line.trim_end();
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            seen.push((name.clone(), serde_json::from_str(data).expect("JSON")));
            if name == want {
                return seen;
            }
        }
    }
}

fn open(server: &Server, key: &str) -> BufReader<std::net::TcpStream> {
    let mut reader = server.open("GET", "/v1/stream", &[("authorization", &format!("Bearer {key}"))], "");
    let (status, headers) = read_head(&mut reader);
    assert_eq!((status, headers.get("content-type").map(String::as_str)), (200, Some("text/event-stream")));
    reader
}

#[test]
fn the_stream_tells_alerts_blocks_cdrs_and_stats_to_whom_they_belong() {
    let server = Server::start();
    let mut admin = open(&server, crate::fakes::ADMIN_KEY);
    let mut acme = open(&server, "acme-secret-key");
    until(&mut admin, "stats");
    until(&mut acme, "stats");
    let [own, _] = server.furnish();
    let of = |events: &[(String, Value)], name: &str| events.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    let mut all = until(&mut admin, "alert");
    all.extend(until(&mut admin, "alert"));
    let accounts: Vec<Value> = of(&all, "alert").iter().map(|a| a["account"].clone()).collect();
    assert_eq!(accounts, [json!("acme"), json!("globex")]);
    assert_eq!((of(&all, "block").len(), of(&all, "cdr").len()), (2, 2));
    let mine = until(&mut acme, "alert");
    assert_eq!((of(&mine, "block").len(), of(&mine, "cdr").len()), (1, 1), "{mine:?}");
    assert!(of(&mine, "cdr")[0].get("cost_amount").is_none());
    server.ask("acme", "DELETE", &format!("/v1/blocks/{}", own.block), None);
    let events = until(&mut acme, "unblock");
    assert_eq!(of(&events, "unblock")[0]["state"], "lifted");
    assert!(events.iter().all(|(_, v)| !v.to_string().contains("globex")), "{events:?}");
}

#[test]
fn a_slow_reader_loses_facts_and_is_told() {
    let server = Server::start();
    let mut admin = open(&server, crate::fakes::ADMIN_KEY);
    until(&mut admin, "stats");
    // More than the backlog, written while the stream's task has no turn to send them all.
    for _ in 0..20_000 {
        server.fakes.store(row(server.fakes.id(), "acme", 1_700_000_000_000_000));
    }
    let seen = until(&mut admin, "lagged");
    assert!(seen.last().is_some_and(|(_, v)| v["lost"].as_u64() > Some(0)), "{seen:?}");
    until(&mut admin, "stats");
}

#[test]
fn a_stop_ends_streams_at_once() {
    let mut server = Server::start();
    let mut admin = open(&server, crate::fakes::ADMIN_KEY);
    until(&mut admin, "stats");
    let began = std::time::Instant::now();
    server.stop();
    let mut rest = String::new();
    let _ = admin.read_to_string(&mut rest);
    assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
}
