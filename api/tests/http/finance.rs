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

/// The parameters are the order; which are needed the node says.
#[test]
fn fn_03_fn_04_fn_09_questions_of_what_is_owed_reach_the_node_with_their_parameters() {
    let server = Server::start();
    for (path, verb, order) in [
        ("/v1/statements?account=acme&since=2026-03-01&until=2026-04-01&timezone=Europe/Amsterdam&currency=EUR", "Statement",
            json!({ "account": "acme", "since": "2026-03-01", "until": "2026-04-01", "timezone": "Europe/Amsterdam", "currency": "EUR" })),
        ("/v1/ageing", "Ageing", json!({})),
        ("/v1/ageing?account=acme&at=2026-03-31&timezone=UTC", "Ageing", json!({ "account": "acme", "at": "2026-03-31", "timezone": "UTC" })),
        ("/v1/accrual?at=2026-04-01&account=acme&currency=EUR", "Accrual", json!({ "at": "2026-04-01", "account": "acme", "currency": "EUR" })),
        ("/v1/netting?account=acme&carrier=northtel&payable=50.00", "Netting", json!({ "account": "acme", "carrier": "northtel", "payable": "50.00" })),
    ] {
        let reply = server.get("reader", path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let told = server.fakes.orders.lock().expect("orders").last().cloned().expect("an order");
        let said = told.strip_prefix(&format!("{verb}  ")).and_then(|t| t.strip_suffix(" by reader")).unwrap_or_else(|| panic!("{path}: {told}"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(said).expect("JSON"), order, "{path}");
    }
}

#[test]
fn r_21_what_is_owed_is_the_operators_and_unknown_parameters_are_told() {
    let server = Server::start();
    for path in ["/v1/statements?account=acme&since=2026-03-01&until=2026-04-01", "/v1/ageing", "/v1/accrual?at=2026-04-01", "/v1/netting?account=acme&carrier=northtel&payable=1"] {
        assert_eq!(server.get("acme", path).status, 403, "{path}");
        assert_eq!(server.get("", path).status, 401, "{path}");
        let bad = server.get("reader", &format!("{path}{}wrong=1", if path.contains('?') { "&" } else { "?" }));
        assert_eq!((bad.status, bad.json()["problems"][0]["path"].as_str()), (400, Some("wrong")), "{path}: {}", bad.body);
    }
    let bad = server.get("reader", "/v1/ageing?account=No%20Name");
    assert_eq!((bad.status, bad.json()["problems"][0]["path"].as_str()), (400, Some("account")), "{}", bad.body);
    assert!(server.fakes.orders.lock().expect("orders").is_empty(), "nothing reached the node");
}

/// What the node refuses comes back with where.
#[test]
fn fn_09_a_refusal_of_the_node_is_422_with_its_place() {
    let server = Server::start();
    let refused = server.get("reader", "/v1/accrual");
    assert_eq!((refused.status, refused.json()["problems"][0]["path"].as_str()), (422, Some("at")), "{}", refused.body);
}
