//! Balances and payments.

use serde_json::{Value, json};

use crate::{client::Server, fakes::ADMIN_KEY};

fn provision(server: &Server) {
    for (path, spec) in [
        ("/v1/decks/gold", json!({ "csv": "prefix,rate\n1,0.01\n", "currency": "USD" })),
        ("/v1/accounts/shop", json!({ "sell_deck": "gold", "billing": "prepaid" })),
        ("/v1/accounts/shop-sub", json!({ "sell_deck": "gold", "parent": "shop", "credit_limit": "10.00" })),
    ] {
        let put = server.ask("admin", "PUT", path, Some(&spec));
        assert_eq!(put.status, 200, "{path}: {}", put.body);
    }
}

#[test]
fn fn_07_a_payment_moves_the_balance_and_what_may_be_spent() {
    let server = Server::start();
    provision(&server);
    let row = |account: &str| server.get("admin", &format!("/v1/balances?account={account}")).json()["items"][0].clone();
    assert_eq!(row("shop")["available"], "0.000000");
    let paid = server.ask("admin", "POST", "/v1/payments", Some(&json!({ "account": "shop", "amount": "25.5", "reason": "bank transfer", "reference": "RF-1" })));
    assert_eq!(paid.status, 201, "{}", paid.body);
    let paid = paid.json();
    assert_eq!((&paid["amount"], &paid["currency"], &paid["kind"], &paid["actor"]), (&json!("25.500000"), &json!("USD"), &json!("payment"), &json!("operator:admin")));
    let shop = row("shop");
    assert_eq!((&shop["balance"], &shop["held"], &shop["exposure"], &shop["available"]), (&json!("25.500000"), &json!("0.050000"), &json!("-25.450000"), &json!("25.450000")));
    let sub = row("shop-sub");
    assert_eq!((&sub["root_account"], &sub["billing"], &sub["credit_limit"], &sub["available"]), (&json!("shop"), &json!("postpaid"), &json!("10.000000"), &json!("10.000000")));
}

#[test]
fn fn_08_a_payment_that_says_nonsense_is_422_with_every_mistake() {
    let server = Server::start();
    provision(&server);
    let paths = |body: Value| -> (u16, Vec<String>) {
        let reply = server.ask("admin", "POST", "/v1/payments", Some(&body));
        let problems = reply.json()["problems"].as_array().cloned().unwrap_or_default();
        (reply.status, problems.iter().filter_map(|p| p["path"].as_str().map(str::to_owned)).collect())
    };
    let all = ["account", "amount", "kind", "reason"].map(str::to_owned).to_vec();
    assert_eq!(paths(json!({ "account": "nobody", "amount": "0", "kind": "gift", "reason": " " })), (422, all));
    assert_eq!(paths(json!({ "account": "shop", "amount": "1.123456789", "reason": "x" })), (422, vec!["amount".to_owned()]));
    assert_eq!(paths(json!({ "account": "shop", "amount": "1", "currency": "EUR", "reason": "x" })), (422, vec!["currency".to_owned()]));
    assert_eq!(paths(json!({ "account": "shop", "amount": "-1", "reason": "taken back" })).0, 201);
    let _ = ADMIN_KEY;
}

/// The key goes with what is booked, so that whoever is asked again knows it.
#[test]
fn x_08_the_key_of_a_payment_goes_into_the_log_with_it() {
    let server = Server::start();
    provision(&server);
    let bearer = format!("Bearer {ADMIN_KEY}");
    let pay = |key: &str, reference: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        server.send("POST", "/v1/payments", &headers, &json!({ "account": "shop", "amount": "1", "reason": "x", "reference": reference }).to_string())
    };
    assert_eq!((pay("k1", "").status, pay("k1", "").status, pay("k2", "").status), (201, 201, 201));
    let keys: Vec<String> = server.fakes.orders.lock().expect("orders").iter().filter(|o| o.starts_with("key")).cloned().collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    let reused = pay("k3", "other");
    assert_eq!((reused.status, reused.json()["type"].as_str()), (422, Some("urn:tollgate:problem:idempotency-key-reused")));
    let used = pay("k4", "used");
    assert_eq!((used.status, used.json()["problems"][0]["path"].as_str()), (409, Some("reference")), "{}", used.body);
}

/// What is sent is an object that says each thing once, and a mistake is told with its field.
#[test]
fn x_08_a_body_that_is_a_list_says_a_thing_twice_or_has_another_type_does_nothing() {
    let server = Server::start();
    provision(&server);
    let before = server.fakes.orders.lock().expect("orders").len();
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for (verb, path, body, field) in [
        ("POST", "/v1/payments", r#"["shop","1.00","USD","payment","x",""]"#, ""),
        ("POST", "/v1/payments", r#"{"account":"shop","amount":"1.00","amount":"2.00","reason":"x"}"#, "amount"),
        ("POST", "/v1/payments", r#"{"account":"shop","amount":5,"reason":"x"}"#, "amount"),
        ("POST", "/v1/blocks", r#"{"scope":["acme"],"reason":"x"}"#, "scope"),
        ("POST", "/v1/invoices", r#"{"account":"shop","details":{"bank":[],"bank":[]}}"#, "details.bank"),
        ("PUT", "/v1/accounts/shop", r#"["gold"]"#, ""),
        ("PUT", "/v1/accounts/shop", r#"{"sell_deck":"gold","sell_deck":"tin"}"#, "sell_deck"),
    ] {
        let reply = server.send(verb, path, &headers, body);
        assert_eq!((reply.status, reply.json()["problems"][0]["path"].as_str()), (422, Some(field)), "{body}: {}", reply.body);
    }
    assert_eq!(server.fakes.orders.lock().expect("orders").len(), before, "nothing was done");
}
