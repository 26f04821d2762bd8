//! What every address has in common: errors, methods, bodies, headers.

use crate::{client::Server, fakes::ADMIN_KEY};

#[test]
fn every_error_is_a_problem_that_names_its_status() {
    let server = Server::start();
    let bearer = format!("Bearer {ADMIN_KEY}");
    let auth = ("authorization", bearer.as_str());
    let json = ("content-type", "application/json");
    let big = format!("{{\"reason\":\"{}\"}}", "x".repeat(20_000));
    for (want, method, path, headers, body) in [
        (404, "GET", "/v1/nothing", &[auth][..], ""),
        (404, "GET", "/nothing", &[], ""),
        (405, "PATCH", "/v1/cdrs", &[auth], ""),
        (405, "DELETE", "/healthz", &[], ""),
        (413, "POST", "/v1/blocks", &[auth, json], &big),
        (415, "POST", "/v1/blocks", &[auth, ("content-type", "text/plain")], "{}"),
        (415, "POST", "/v1/blocks", &[auth], "{}"),
        (400, "POST", "/v1/blocks", &[auth, json], "{"),
        (400, "POST", "/v1/blocks", &[auth, json], ""),
        (422, "POST", "/v1/blocks", &[auth, json], "{}"),
        (400, "GET", "/v1/blocks?x=1", &[auth], ""),
    ] {
        let reply = server.send(method, path, headers, body);
        assert_eq!(reply.status, want, "{method} {path}: {}", reply.body);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let problem = reply.json();
        assert_eq!(problem["status"], want);
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].as_str().is_some_and(|t| t.starts_with("urn:tollgate:problem:")), "{problem}");
    }
    assert_eq!(server.send("PATCH", "/v1/blocks", &[auth], "").header("allow"), "OPTIONS, GET, HEAD, POST");
}

#[test]
fn x_08_options_says_what_there_is_and_lets_no_other_origin_in() {
    let server = Server::start();
    let reply = server.send("OPTIONS", "/v1/cdrs", &[("origin", "http://evil.example"), ("access-control-request-method", "GET")], "");
    assert_eq!((reply.status, reply.header("allow")), (204, "OPTIONS, GET, HEAD"));
    let get = server.send("GET", "/healthz", &[("origin", "http://evil.example")], "");
    for r in [&reply, &get] {
        assert!(r.headers.keys().all(|h| !h.starts_with("access-control")), "{:?}", r.headers);
        assert_eq!((r.header("x-content-type-options"), r.header("cache-control")), ("nosniff", "no-store"));
    }
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    let bearer = format!("Bearer {ADMIN_KEY}");
    let reply = server.send("HEAD", "/v1/cdrs", &[("authorization", &bearer)], "");
    assert_eq!((reply.status, reply.header("content-type"), reply.body.as_str()), (200, "application/json", ""));
    assert_eq!(server.send("HEAD", "/v1/cdrs", &[], "").status, 401);
}

#[test]
fn watchers_need_no_key() {
    let server = Server::start();
    assert_eq!(server.get("", "/healthz").json()["status"], "ok");
    assert_eq!(server.get("", "/readyz").json()["ready"], true);
    assert_eq!(server.get("", "/metrics").body, "# EOF\n");
    assert_eq!(server.get("", "/openapi.json").json()["openapi"], "3.1.0");
}
