//! Orders of finance reach the node with who asks; refusals and unknown numbers come back as such.

use serde_json::json;

use crate::client::Server;

#[test]
fn fn_01_orders_reach_the_node_and_its_refusals_come_back() {
    let server = Server::start();
    let asked = server.ask("admin", "POST", "/v1/invoices", Some(&json!({ "account": "acme" })));
    assert_eq!(asked.status, 200, "{}", asked.body);
    let refused = server.ask("admin", "POST", "/v1/invoices", Some(&json!({ "since": "x" })));
    assert_eq!((refused.status, refused.json()["problems"][0]["path"].as_str()), (422, Some("account")));
    assert_eq!(server.get("admin", "/v1/invoices/nobody-1").status, 404);
    let orders = server.fakes.orders.lock().expect("orders").clone();
    assert!(orders[0].starts_with("Invoice") && orders[0].contains("acme") && orders[0].ends_with("by admin"), "{orders:?}");
}

#[test]
fn r_21_finance_is_the_operators() {
    let server = Server::start();
    for (verb, path) in [("POST", "/v1/invoices"), ("POST", "/v1/rerates"), ("POST", "/v1/notes"), ("POST", "/v1/disputes")] {
        assert_eq!(server.ask("acme", verb, path, Some(&json!({}))).status, 403, "{path}");
    }
    for path in ["/v1/invoices", "/v1/disputes", "/v1/invoices/2026-1"] {
        assert_eq!(server.get("acme", path).status, 403, "{path}");
    }
}
