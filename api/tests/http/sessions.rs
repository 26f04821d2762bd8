//! The portal: its page, its session, and what a page of somebody else cannot do with it.

use serde_json::json;

use crate::{
    client::Server,
    fakes::ADMIN_KEY,
};

fn login(server: &Server) -> String {
    let reply = server.send("POST", "/login", &[("content-type", "application/json")], &json!({ "key": ADMIN_KEY }).to_string());
    assert_eq!(reply.status, 204, "{}", reply.body);
    let cookie = reply.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(ADMIN_KEY));
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn a_session_reads_changes_only_with_the_header_and_ends() {
    let server = Server::start();
    let [acme, _] = server.furnish();
    let cookie = login(&server);
    let with = |method: &str, path: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend_from_slice(more);
        server.send(method, path, &headers, "").status
    };
    assert_eq!(with("GET", "/v1/stats", &[]), 200);
    let lift = format!("/v1/blocks/{}?reason=x", acme.block);
    assert_eq!(with("DELETE", &lift, &[]), 403);
    assert_eq!(with("DELETE", &lift, &[("x-tollgate", "1")]), 200);
    assert_eq!(with("GET", "/v1/stats", &[("authorization", "Bearer wrong")]), 401, "a wrong key is not forgiven for a cookie");
    assert_eq!(with("POST", "/logout", &[]), 204);
    assert_eq!(with("GET", "/v1/stats", &[]), 401);
}

#[test]
fn a_login_can_fail_and_does_not_come_from_elsewhere() {
    let server = Server::start();
    let json = ("content-type", "application/json");
    assert_eq!(server.send("POST", "/login", &[json], "{\"key\":\"no\"}").status, 401);
    assert_eq!(server.send("POST", "/login", &[json, ("sec-fetch-site", "cross-site")], "{\"key\":\"no\"}").status, 403);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let reply = server.send("POST", "/login", &[form], &format!("key={ADMIN_KEY}"));
    assert_eq!((reply.status, reply.header("location")), (303, "/"));
    assert!(reply.header("set-cookie").starts_with("tollgate_session="));
    let reply = server.send("POST", "/login", &[form], "key=wrong");
    assert_eq!((reply.status, reply.header("location"), reply.header("set-cookie")), (303, "/?login=failed", ""));
}

#[test]
fn the_page_runs_only_what_is_ours_and_asks_nobody_else() {
    let server = Server::start();
    let page = server.get("", "/");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((page.header("x-content-type-options"), page.header("x-frame-options")), ("nosniff", "DENY"));
    for asset in ["/assets/app.js", "/assets/plots.js", "/assets/decks.js", "/assets/reports.js", "/assets/app.css", "/assets/icon.svg"] {
        let reply = server.get("", asset);
        assert_eq!(reply.status, 200, "{asset}");
        let elsewhere = reply.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{asset}");
    }
    let inline = ["<style", " style=", " onclick=", "javascript:"];
    assert!(inline.iter().all(|i| !page.body.contains(i)) && page.body.matches("<script").count() == page.body.matches("<script src=\"/").count());
}
