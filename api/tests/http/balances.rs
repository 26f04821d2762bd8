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
