//! Provisioning documents over HTTP.

use serde_json::json;

use crate::client::Server;

#[test]
fn a_document_is_set_read_listed_and_removed() {
    let server = Server::start();
    let spec = json!({ "sell_deck": "d" });
    let put = server.ask("admin", "PUT", "/v1/accounts/acme?reason=new%20customer", Some(&spec));
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(put.json(), json!({ "kind": "account", "name": "acme", "removed": false, "dry_run": false, "position": 1 }));
    assert_eq!(server.get("admin", "/v1/accounts/acme").json(), json!({ "kind": "account", "name": "acme", "spec": spec }));
    assert_eq!(server.get("admin", "/v1/accounts").json()["items"][0]["name"], "acme");
    assert_eq!(*server.fakes.orders.lock().expect("orders"), ["admin sets account acme: new customer"]);
    assert_eq!(server.ask("admin", "DELETE", "/v1/accounts/acme", None).json()["removed"], true);
    assert_eq!(server.get("admin", "/v1/accounts/acme").status, 404);
    assert_eq!(server.ask("admin", "DELETE", "/v1/accounts/acme", None).status, 404);
}

#[test]
fn a_dry_run_decides_and_changes_nothing() {
    let server = Server::start();
    let reply = server.ask("admin", "PUT", "/v1/carriers/c?dry_run=true", Some(&json!({})));
    assert_eq!((reply.status, &reply.json()["dry_run"]), (200, &json!(true)));
    assert_eq!(server.get("admin", "/v1/carriers/c").status, 404);
}

#[test]
fn a_refused_document_is_422_with_its_problems_by_path() {
    let server = Server::start();
    let reply = server.ask("admin", "PUT", "/v1/trunks/t", Some(&json!({})));
    assert_eq!(reply.status, 422);
    assert_eq!(reply.json()["problems"], json!([{ "path": "account", "message": "is missing" }]));
    assert_eq!(server.ask("admin", "PUT", "/v1/trunks/Upper", Some(&json!({}))).status, 422);
    assert_eq!(server.ask("admin", "PUT", "/v1/trunks/t", Some(&json!(7))).status, 422);
}

#[test]
fn documents_are_paged_by_name() {
    let server = Server::start();
    for name in ["c", "a", "b"] {
        server.ask("admin", "PUT", &format!("/v1/decks/{name}"), Some(&json!({})));
    }
    let first = server.get("admin", "/v1/decks?limit=2").json();
    assert_eq!((&first["items"][0]["name"], &first["next_cursor"]), (&json!("a"), &json!("b")));
    let second = server.get("admin", "/v1/decks?limit=2&cursor=b").json();
    assert_eq!((&second["items"][0]["name"], second["next_cursor"].is_null()), (&json!("c"), true));
}
