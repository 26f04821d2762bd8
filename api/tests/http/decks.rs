//! Imports of rate sheets, and what decks said when.

use serde_json::json;

use crate::client::Server;

#[test]
fn r_14_who_proposed_a_sheet_does_not_approve_it() {
    let server = Server::start();
    server.furnish();
    let body = json!({ "deck": "acme-sell", "mode": "partial", "rows": "prefix", "file": "a.csv", "reason": "May" });
    assert_eq!(server.ask("admin", "POST", "/v1/deck-imports?dry_run=true", Some(&body)).status, 200);
    assert_eq!(server.get("admin", "/v1/deck-imports").json()["items"], json!([]));
    let proposed = server.ask("admin", "POST", "/v1/deck-imports", Some(&body));
    assert_eq!(proposed.status, 201, "{}", proposed.body);
    let id = proposed.json()["import_id"].as_str().expect("id").to_owned();
    assert_eq!(proposed.header("location"), format!("/v1/deck-imports/{id}"));
    let own = server.ask("admin", "POST", &format!("/v1/deck-imports/{id}/approve"), Some(&json!({ "reason": "mine" })));
    assert_eq!((own.status, own.json()["detail"].as_str().is_some_and(|d| d.contains("somebody else"))), (422, true));
    assert_eq!(server.ask("admin", "POST", "/v1/deck-imports/00000000-0000-0000-0000-000000000001/approve", None).status, 404);
    let rejected = server.ask("admin", "POST", &format!("/v1/deck-imports/{id}/reject"), None);
    assert_eq!((rejected.status, &rejected.json()["state"]), (200, &json!("rejected")));
    let count = |state: &str| server.get("admin", &format!("/v1/deck-imports?state={state}")).json()["items"].as_array().map(Vec::len);
    assert_eq!((count("proposed"), count("rejected"), count("all")), (Some(0), Some(1), Some(1)));
    for (bad, status) in [(json!({ "deck": "acme-sell" }), 422), (json!({ "deck": "a", "mode": "full", "rows": "" }), 422), (json!({ "deck": "a", "mode": "full", "rows": "x", "sheet": 1 }), 422)] {
        assert_eq!(server.ask("admin", "POST", "/v1/deck-imports", Some(&bad)).status, status, "{bad}");
    }
}

#[test]
fn x_09_imports_and_prices_of_decks_are_the_operators() {
    let server = Server::start();
    server.furnish();
    for path in ["/v1/deck-imports", "/v1/decks/acme-sell/price?number=1", "/v1/decks/acme-sell/versions", "/v1/decks/acme-sell/sheet", "/v1/coverage"] {
        assert_eq!((server.get("acme", path).status, server.get("admin", path).status), (403, 200), "{path}");
    }
    assert_eq!(server.get("admin", "/v1/decks/nothing/price?number=1").status, 404);
    assert_eq!(server.get("admin", "/v1/decks/acme-sell/price").status, 400);
}
