//! Blocks, alerts, ending calls, idempotency.

use serde_json::{Value, json};

use crate::{client::Server, fakes::ADMIN_KEY};

#[test]
fn f_30_a_block_is_placed_listed_lifted_and_its_reasons_kept() {
    let server = Server::start();
    let body = json!({ "scope": { "account": "acme", "dest_group": "Cuba" }, "reason": "looks stolen", "expires_s": 600, "teardown": true });
    let placed = server.ask("admin", "POST", "/v1/blocks", Some(&body));
    assert_eq!(placed.status, 201, "{}", placed.body);
    let block = placed.json();
    let path = format!("/v1/blocks/{}", block["block_id"].as_str().expect("id"));
    assert_eq!(placed.header("location"), path);
    assert_eq!((&block["sip_code"], &block["teardown"], &block["actor"]), (&json!(403), &json!(true), &json!("admin")));
    let list = |state: &str| server.get("admin", &format!("/v1/blocks{state}")).json()["items"].as_array().cloned().expect("items");
    assert_eq!(list("")[0]["scope"], json!({ "account": "acme", "dest_group": "Cuba" }));
    let lifted = server.ask("admin", "DELETE", &format!("{path}?reason=was%20a%20test"), None);
    assert_eq!((lifted.status, &lifted.json()["state"]), (200, &json!("lifted")));
    assert!(list("").is_empty());
    let all = list("?state=all");
    assert_eq!((&all[0]["state"], &all[0]["lift_reason"], &all[0]["lifted_by"]), (&json!("lifted"), &json!("was a test"), &json!("admin")));
    assert_eq!(server.ask("admin", "DELETE", &path, None).status, 200, "lifting again changes nothing");
    assert_eq!(server.get("admin", &path).json(), all[0]);
}

#[test]
fn a_block_that_says_nothing_or_nonsense_is_422_with_every_mistake() {
    let server = Server::start();
    let paths = |body: Value| -> (u16, Vec<String>) {
        let reply = server.ask("admin", "POST", "/v1/blocks", Some(&body));
        let problems = reply.json()["problems"].as_array().cloned().unwrap_or_default();
        (reply.status, problems.iter().filter_map(|p| p["path"].as_str().map(str::to_owned)).collect())
    };
    assert_eq!(paths(json!({})), (422, vec!["scope".to_owned(), "reason".to_owned()]));
    assert_eq!(paths(json!({ "scope": {}, "reason": "x" })), (422, vec!["scope".to_owned()]));
    assert_eq!(paths(json!({ "scope": { "high_risk": false }, "reason": " " })), (422, vec!["scope".to_owned(), "reason".to_owned()]));
    let all = json!({ "scope": { "account": "A", "b_prefix": "+53", "ip": "10.0.0.0/8" }, "reason": "x", "expires_s": 0, "sip_code": 200 });
    assert_eq!(paths(all), (422, ["scope.account", "scope.b_prefix", "scope.ip", "expires_s", "sip_code"].map(str::to_owned).to_vec()));
    assert_eq!(paths(json!({ "scope": { "planet": "mars" }, "reason": "x" })).0, 422);
    assert_eq!(paths(json!(["x"])).0, 422);
    let nobody = json!({ "scope": { "carrier": "nobody" }, "reason": "x" });
    assert_eq!(paths(nobody.clone()), (422, vec!["scope.carrier".to_owned()]), "it would stop no call");
    assert!(server.fakes.orders.lock().expect("orders").is_empty(), "nothing was ordered");
    let mut forced = nobody;
    forced["force"] = true.into();
    assert_eq!(paths(forced).0, 201, "for a name to come");
}

#[test]
fn x_09_a_tenant_blocks_its_own_accounts_only() {
    let server = Server::start();
    server.furnish();
    let place = |scope: Value| server.ask("acme", "POST", "/v1/blocks", Some(&json!({ "scope": scope, "reason": "x" }))).status;
    assert_eq!(place(json!({ "account": "acme.shop" })), 201);
    for scope in [json!({ "account": "globex" }), json!({ "account": "nobody" }), json!({ "dest_group": "Cuba" }), json!({ "account": "acme", "carrier": "northtel" })] {
        assert_eq!(place(scope.clone()), 422, "{scope}");
    }
}

#[test]
fn alerts_say_what_was_lost_and_what_was_done() {
    let server = Server::start();
    let [acme, _] = server.furnish();
    let alert = server.get("admin", "/v1/alerts?account=acme&severity=critical").json()["items"][0].clone();
    assert_eq!((&alert["loss_amount"], &alert["block_state"], &alert["open"]), (&json!("30.000000"), &json!("active"), &json!(true)));
    server.ask("admin", "DELETE", &format!("/v1/blocks/{}", acme.block), None);
    let alert = server.get("admin", "/v1/alerts?account=acme").json()["items"][0].clone();
    assert_eq!((&alert["block_state"], &alert["open"]), (&json!("lifted"), &json!(false)));
    let first = server.get("admin", "/v1/alerts?limit=1").json();
    let next = first["next_cursor"].as_str().expect("two alerts, one a page");
    let second = server.get("admin", &format!("/v1/alerts?limit=1&cursor={next}")).json();
    assert_ne!(first["items"][0]["alert_id"], second["items"][0]["alert_id"]);
    assert!(second["next_cursor"].is_null());
}

#[test]
fn a_live_call_is_ended_by_order_with_actor_and_reason() {
    let server = Server::start();
    let [acme, _] = server.furnish();
    let path = format!("/v1/calls/{}/end", acme.call);
    let reply = server.ask("acme", "POST", &path, Some(&json!({ "reason": "wrong number" })));
    assert_eq!((reply.status, &reply.json()["state"]), (202, &json!("ending")), "{}", reply.body);
    assert_eq!(server.ask("acme", "POST", &path, None).status, 202, "no body is no reason");
    let orders = server.fakes.orders.lock().expect("orders").clone();
    assert!(orders.contains(&format!("acme ends {}: wrong number", acme.call)), "{orders:?}");
    assert_eq!(server.ask("admin", "POST", &format!("/v1/calls/{}/end", server.fakes.id()), None).status, 404);
    assert_eq!(server.get("admin", "/v1/calls?state=ending").json()["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn x_08_the_same_idempotency_key_is_done_once_and_answered_alike() {
    let server = Server::start();
    let bearer = format!("Bearer {ADMIN_KEY}");
    let place = |key: &str, reason: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        server.send("POST", "/v1/blocks", &headers, &json!({ "scope": { "account": "acme" }, "reason": reason }).to_string())
    };
    let (first, again) = (place("k1", "x"), place("k1", "x"));
    assert_eq!((first.status, &first.body, first.header("location")), (201, &again.body, again.header("location")));
    assert_eq!(again.status, 201);
    assert_eq!(server.fakes.orders.lock().expect("orders").len(), 1, "done once");
    assert_eq!(place("k1", "y").status, 422, "another request under the same key");
    assert_ne!(place("k2", "x").body, first.body);
    assert_eq!((place("k3", "").status, place("k3", "").status), (422, 422), "a refusal is an answer too");
    assert_eq!(place(&"k".repeat(129), "x").status, 400);
}
