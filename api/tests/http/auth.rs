//! Who sees what.

use tollgate_api::{
    Limits,
    route::{Access, routes},
};

use crate::client::{Owned, Server};

/// A path with its parameter filled with somebody's id.
fn fill(path: &str, owned: &Owned) -> String {
    path.replace("{call_uuid}/end", &format!("{}/end", owned.call))
        .replace("/v1/calls/{call_uuid}", &format!("/v1/calls/{}", owned.call))
        .replace("{call_uuid}", &owned.cdr.to_string())
        .replace("{block_id}", &owned.block.to_string())
        .replace("{name}", "northtel")
}

#[test]
fn x_08_every_route_without_a_key_or_with_a_wrong_one_is_401_unless_it_is_open() {
    let server = Server::start();
    let [acme, _] = server.furnish();
    for route in routes() {
        let path = fill(&route.path, &acme);
        for key in ["", "wrong"] {
            let reply = server.ask(key, route.verb.name(), &path, None);
            if route.access == Access::Open {
                assert_ne!(reply.status, 401, "{path} {key}: without a body POST /login is 400, others are served");
            } else {
                assert_eq!(reply.status, 401, "{} {path} with key '{key}'", route.verb.name());
                assert!(reply.header("www-authenticate").starts_with("Bearer"), "{path}");
                assert_eq!(reply.header("content-type"), "application/problem+json");
            }
        }
    }
    let open: Vec<&str> = routes().iter().filter(|r| r.access == Access::Open && !r.path.starts_with("/assets")).map(|r| r.path.as_str()).collect();
    assert_eq!(open, ["/openapi.json", "/metrics", "/healthz", "/readyz", "/", "/login", "/logout"], "and the portal's assets");
}

#[test]
fn x_09_a_tenant_gets_403_or_404_for_everything_that_is_not_its_own() {
    let server = Server::start();
    let [_, globex] = server.furnish();
    for route in routes().iter().filter(|r| r.access != Access::Open && r.path.contains('{')) {
        let path = fill(&route.path, &globex);
        let status = server.ask("acme", route.verb.name(), &path, None).status;
        assert!(matches!(status, 403 | 404), "{} {path}: {status}", route.verb.name());
    }
    for path in ["/v1/accounts/globex", "/v1/trunks/globex-1", "/v1/decks/globex-sell", "/v1/decks/northtel-buy"] {
        assert_eq!(server.get("acme", path).status, 404, "{path}");
    }
    for path in ["/v1/carriers", "/v1/fraud_policies", "/v1/surcharges", "/v1/fx_rates", "/v1/taxes", "/v1/number_tables", "/v1/origin_groups", "/v1/backup"] {
        assert_eq!(server.get("acme", path).status, 403, "{path}");
    }
}

#[test]
fn x_09_no_list_report_or_plot_shows_a_tenant_anything_of_another() {
    let server = Server::start();
    server.furnish();
    for path in [
        "/v1/cdrs", "/v1/cdrs?format=csv", "/v1/cdrs?format=jsonl", "/v1/cdrs?account=globex", "/v1/calls", "/v1/calls?account=globex", "/v1/alerts",
        "/v1/blocks?state=all", "/v1/reports/traffic?group_by=account,destination", "/v1/reports/traffic?format=csv", "/v1/reports/cpn",
        "/v1/reports/cpn?by=root_account", "/v1/reports/cpn?format=csv", "/v1/stats", "/v1/stats/series", "/v1/accounts", "/v1/trunks", "/v1/decks",
    ] {
        let reply = server.get("acme", path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        assert!(!reply.body.contains("globex"), "{path}: {}", reply.body);
        assert!(server.get("admin", path).body.len() > reply.body.len(), "{path}: the operator sees more");
    }
    let items = |path: &str| server.get("acme", path).json()["items"].as_array().map(Vec::len);
    for path in ["/v1/cdrs", "/v1/calls", "/v1/alerts", "/v1/blocks", "/v1/reports/traffic", "/v1/reports/cpn"] {
        assert_eq!(items(path), Some(1), "{path}: its own are there");
    }
    assert_eq!(items("/v1/accounts"), Some(2), "itself and the account below it");
    assert_eq!(items("/v1/trunks"), Some(1));
}

#[test]
fn r_21_costs_carriers_and_margins_are_absent_not_null_for_a_tenant() {
    let server = Server::start();
    let [acme, _] = server.furnish();
    let paths = [
        "/v1/cdrs".to_owned(), format!("/v1/cdrs/{}", acme.cdr), "/v1/cdrs?format=csv".to_owned(), "/v1/cdrs?format=jsonl".to_owned(),
        "/v1/calls".to_owned(), format!("/v1/calls/{}", acme.call), "/v1/reports/traffic".to_owned(), "/v1/reports/traffic?format=csv".to_owned(),
        "/v1/reports/cpn".to_owned(), "/v1/reports/short-calls".to_owned(), "/v1/reports/short-calls?format=csv".to_owned(), "/v1/stats".to_owned(), "/v1/stats/series".to_owned(), "/v1/accounts".to_owned(), "/v1/alerts".to_owned(), "/v1/blocks".to_owned(),
    ];
    for path in &paths {
        let body = server.get("acme", path).body;
        for hidden in ["cost", "margin", "carrier", "northtel", "vendor", "egress", "route_", "attempt"] {
            // The counter of calls asked for and the rows' own column have the word in their names.
            let body = body.replace("attempted", "").replace("attempt_no", "");
            assert!(!body.contains(hidden), "{path} shows '{hidden}': {body}");
        }
    }
    assert!(server.get("acme-costs", "/v1/cdrs").json()["items"][0]["cost_amount"] == "0.006600");
    assert!(server.get("acme-costs", &paths[1]).json()["attempts"][0]["carrier"] == "northtel");
    for oracle in ["/v1/cdrs?carrier=northtel", "/v1/cdrs?record_type=attempt", "/v1/calls?carrier=northtel", "/v1/reports/traffic?group_by=carrier", "/v1/reports/traffic?carrier=northtel", "/v1/reports/short-calls?by=carrier", "/v1/reports/short-calls?carrier=northtel"] {
        assert_eq!(server.get("acme", oracle).status, 403, "{oracle}");
        assert_eq!(server.get("acme-costs", oracle).status, 200, "{oracle}");
    }
}

#[test]
fn x_08_a_scope_that_is_missing_is_403() {
    let server = Server::start();
    let [acme, _] = server.furnish();
    for (method, path) in [
        ("POST", "/v1/blocks".to_owned()), ("DELETE", format!("/v1/blocks/{}", acme.block)), ("POST", format!("/v1/calls/{}/end", acme.call)),
        ("PUT", "/v1/accounts/x".to_owned()), ("DELETE", "/v1/accounts/acme".to_owned()),
    ] {
        let reply = server.ask("reader", method, &path, None);
        assert_eq!(reply.status, 403, "{method} {path}");
        assert!(reply.json()["detail"].as_str().is_some_and(|d| d.contains("no scope")), "{}", reply.body);
    }
    assert_eq!(server.get("reader", "/v1/carriers").status, 200);
    assert!(server.fakes.orders.lock().expect("orders").iter().all(|o| o.starts_with("fraud")), "nothing was done");
}

#[test]
fn x_08_a_key_beyond_its_rate_gets_429_with_retry_after_and_others_do_not() {
    let server = Server::with(Limits { requests_per_s: 1, burst: 3, ..Limits::default() });
    let statuses: Vec<u16> = (0..4).map(|_| server.get("acme", "/v1/stats").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(server.get("acme", "/v1/stats").header("retry-after"), "1");
    assert_eq!(server.get("globex", "/v1/stats").status, 200);
    assert_eq!(server.get("", "/healthz").status, 200);
}

/// An end user sees its calls; of balances and the like there are only whole trees.
#[test]
fn r_21_a_key_of_an_account_below_another_sees_its_calls_and_is_told_why_it_sees_no_more() {
    let server = Server::start();
    server.furnish();
    let spec = serde_json::json!({ "parent": "acme", "sell_deck": "shop-sell" });
    assert_eq!(server.ask("admin", "PUT", "/v1/accounts/shop", Some(&spec)).status, 200);
    for path in ["/v1/cdrs", "/v1/cdrs?payer=shop", "/v1/reports/traffic", "/v1/reports/cpn", "/v1/reports/short-calls"] {
        let reply = server.get("shop", path);
        assert_eq!(reply.status, 200, "{path}");
        let columns = ["carrier", "cost_amount", "margin_base"];
        assert!(reply.json()["items"].as_array().expect("items").iter().all(|i| columns.iter().all(|c| i.get(c).is_none())), "{path}");
    }
    assert_eq!(server.get("shop", "/v1/cdrs?payer=acme").status, 403);
    for path in ["/v1/balances", "/v1/accounts", "/v1/decks", "/v1/calls", "/v1/stats"] {
        let reply = server.get("shop", path);
        assert_eq!(reply.status, 403, "{path}");
        assert!(reply.json()["detail"].as_str().is_some_and(|d| d.contains("account 'shop', which is below 'acme'")), "{}", reply.body);
    }
    assert_eq!(server.get("acme", "/v1/balances").status, 200);
}
