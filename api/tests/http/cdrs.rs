//! `/v1/cdrs`: paging, filters, exports.

use std::collections::BTreeSet;

use tollgate_schemas::cdr::{COLUMNS, Cdr};

use crate::client::{Server, row};

const DAY: i64 = 1_700_000_000_000_000;

/// 2,345 finals, several at the same instant, so that only the whole key orders them.
fn many(server: &Server) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for i in 0..2_345i64 {
        let id = server.fakes.id();
        ids.insert(id.to_string());
        server.fakes.store(row(id, "acme", DAY + (i / 4) * 1_000_000));
    }
    ids
}

#[test]
fn cursors_walk_every_row_once_newest_first_while_new_ones_arrive() {
    let server = Server::start();
    let ids = many(&server);
    let (mut seen, mut times, mut cursor) = (BTreeSet::new(), Vec::new(), String::new());
    loop {
        let page = server.get("admin", &format!("/v1/cdrs?limit=500&account=acme{cursor}")).json();
        let items = page["items"].as_array().expect("items").clone();
        for item in &items {
            assert!(seen.insert(item["call_uuid"].as_str().expect("id").to_owned()), "twice");
            times.push(item["invite_ts"].as_str().expect("time").to_owned());
        }
        server.fakes.store(row(server.fakes.id(), "acme", DAY + 86_400_000_000));
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(items.len(), 500);
                assert!(next.bytes().all(|b| b.is_ascii_alphanumeric()), "URL-safe: {next}");
                cursor = format!("&cursor={next}");
            }
            None => break,
        }
    }
    assert_eq!(seen, ids);
    assert!(times.windows(2).all(|w| w[0] >= w[1]));
}

#[test]
fn a_cursor_belongs_to_its_filter_and_to_its_key() {
    let server = Server::start();
    many(&server);
    let next = server.get("admin", "/v1/cdrs?account=acme").json()["next_cursor"].as_str().expect("next").to_owned();
    assert_eq!(server.get("admin", &format!("/v1/cdrs?account=acme&limit=7&cursor={next}")).status, 200, "the limit may change");
    for path in [format!("/v1/cdrs?cursor={next}"), format!("/v1/cdrs?account=globex&cursor={next}"), "/v1/cdrs?cursor=zz".to_owned()] {
        let reply = server.get("admin", &path);
        assert_eq!((reply.status, reply.json()["problems"][0]["path"].as_str()), (400, Some("cursor")), "{path}");
    }
    assert_eq!(server.get("acme-costs", &format!("/v1/cdrs?account=acme&cursor={next}")).status, 400);
}

#[test]
fn a_bad_parameter_is_400_and_named() {
    let server = Server::start();
    for (query, name) in [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=ten", "limit"), ("since=yesterday", "since"), ("until=2026-01-01", "until"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "until"), ("disposition=happy", "disposition"), ("record_type=both", "record_type"),
        ("call_uuid=1", "call_uuid"), ("account=Acme", "account"), ("account=", "account"), ("a_number=%2B4930", "a_number"), ("colour=red", "colour"),
        ("account=a&account=b", "account"), ("format=xml", "format"), ("format=csv&cursor=00", "cursor"), ("account=%27%20OR%201%3D1", "account"),
    ] {
        let reply = server.get("admin", &format!("/v1/cdrs?{query}"));
        assert_eq!(reply.status, 400, "{query}: {}", reply.body);
        let problem = reply.json();
        assert_eq!(problem["problems"][0]["path"], name, "{query}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains(name)), "{problem}");
    }
}

#[test]
fn every_filter_narrows() {
    let server = Server::start();
    let id = server.fakes.id();
    server.fakes.store(Cdr {
        trunk: "t9".to_owned(), carrier: "c9".to_owned(), disposition: "busy".to_owned(), sip_call_id_in: "x'; DROP@y".to_owned(),
        a_number_e164: "111".to_owned(), b_number_e164: "222".to_owned(), ..row(id, "solo", DAY + 5_000_000)
    });
    server.fakes.store(Cdr { record_type: "attempt".to_owned(), attempt_no: 1, ..row(id, "acme", DAY) });
    server.fakes.store(row(server.fakes.id(), "acme", DAY));
    for query in [
        "account=solo", "trunk=t9", "carrier=c9", "disposition=busy", "a_number=111", "b_number=222", "sip_call_id_in=x%27%3B%20DROP%40y",
        &format!("call_uuid={id}"), "since=2023-11-14T22:13:25Z", "since=2023-11-14T23:13:24.5%2B01:00&until=2023-11-14T22:13:25.000001Z",
    ] {
        let page = server.get("admin", &format!("/v1/cdrs?{query}")).json();
        let found: Vec<&str> = page["items"].as_array().expect("items").iter().filter_map(|i| i["call_uuid"].as_str()).collect();
        assert_eq!(found, [id.to_string()], "{query}");
    }
    let page = server.get("admin", "/v1/cdrs?record_type=attempt").json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.get("admin", "/v1/cdrs?until=2023-11-14T22:13:20Z").json()["items"].as_array().map(Vec::len), Some(0), "until is not included");
}

#[test]
fn fn_11_csv_has_a_header_and_every_row_of_every_page() {
    let server = Server::start();
    let ids = many(&server);
    server.fakes.store(Cdr { ingress_user_agent: "=cmd(),\"x\"".to_owned(), a_number_raw: "+4930".to_owned(), ..row(server.fakes.id(), "globex", DAY) });
    let reply = server.get("admin", "/v1/cdrs?format=csv&account=acme&limit=10");
    assert!(reply.header("content-type").starts_with("text/csv"), "{:?}", reply.headers);
    let lines: Vec<&str> = reply.body.strip_suffix("\r\n").expect("a last line end").split("\r\n").collect();
    let names: Vec<&str> = COLUMNS.iter().map(|c| c.name).collect();
    assert_eq!(lines[0].split(',').collect::<Vec<_>>(), names);
    let got: BTreeSet<String> = lines[1..].iter().map(|l| l.split(',').next().unwrap_or_default().to_owned()).collect();
    assert_eq!((lines.len() - 1, got), (ids.len(), ids));
    let at = |name: &str| names.iter().position(|n| *n == name).expect("column");
    let cells: Vec<&str> = lines[1].split(',').collect();
    assert_eq!((cells[at("sell_amount")], cells[at("sell_rate")], cells[at("first_100_ts")]), ("0.010333", "0.0100", ""));
    let other = server.get("admin", "/v1/cdrs?format=csv&account=globex").body;
    assert!(other.contains(",\"'=cmd(),\"\"x\"\"\",") && other.contains(",+4930,"), "{other}");
    assert_eq!(server.get("admin", "/v1/cdrs?format=csv&account=nobody").body.matches("\r\n").count(), 1, "a header even without rows");
}

#[test]
fn fn_11_json_lines_are_the_objects_of_the_list() {
    let server = Server::start();
    let ids = many(&server);
    let lines = server.get("admin", "/v1/cdrs?format=jsonl").body;
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().expect("line")).expect("JSON");
    assert_eq!((lines.lines().count(), &first), (ids.len(), &server.get("admin", "/v1/cdrs?limit=1").json()["items"][0]));
}

#[test]
fn one_call_comes_with_its_attempts_in_order() {
    let server = Server::start();
    let id = server.fakes.id();
    server.fakes.store(row(id, "acme", DAY));
    for n in [2, 1, 3] {
        server.fakes.store(Cdr { record_type: "attempt".to_owned(), attempt_no: n, ..row(id, "acme", DAY + i64::from(n)) });
    }
    let got = server.get("admin", &format!("/v1/cdrs/{id}")).json();
    assert_eq!(got["final"]["record_type"], "final");
    let order: Vec<u64> = got["attempts"].as_array().expect("attempts").iter().filter_map(|a| a["attempt_no"].as_u64()).collect();
    assert_eq!(order, [1, 2, 3]);
    for unknown in [server.fakes.id().to_string(), "nonsense".to_owned()] {
        assert_eq!(server.get("admin", &format!("/v1/cdrs/{unknown}")).status, 404);
    }
}

/// `shop` is below `acme`, a call of it is sold at 0.015 for which `acme` pays 0.006.
fn resold(server: &Server) {
    let tiers = r#"[{"account":"acme","deck":"wholesale","amount":"0.006000","currency":"USD","rate":"0.0060","billed_sec":60}]"#;
    let shop = Cdr { account: "shop".to_owned(), sell_amount: 1_500_000, tier_amounts: tiers.to_owned(), ..row(server.fakes.id(), "acme", DAY) };
    server.fakes.store(shop);
    server.fakes.store(Cdr { sell_amount: 700_000, ..row(server.fakes.id(), "acme", DAY + 1) });
    server.fakes.store(row(server.fakes.id(), "globex", DAY + 2));
}

#[test]
fn r_20_calls_a_payer_pays_for_are_its_own_and_those_below_at_its_price() {
    let server = Server::start();
    resold(&server);
    for key in ["admin", "acme"] {
        let items = server.get(key, "/v1/cdrs?payer=acme").json()["items"].clone();
        let told: Vec<(&str, &str)> = items.as_array().expect("items").iter().map(|r| (r["account"].as_str().expect("a name"), r["sell_amount"].as_str().expect("an amount"))).collect();
        assert_eq!(told, [("acme", "0.007000"), ("shop", "0.006000")], "{key}");
    }
    let csv = server.get("admin", "/v1/cdrs?payer=acme&view=customer&format=csv").body;
    assert!(csv.lines().count() == 3 && csv.contains("0.006000") && !csv.contains("0.015000") && !csv.contains("northtel"), "{csv}");
    // To ask for another's view would show it.
    let refused = server.get("acme", "/v1/cdrs?payer=globex");
    assert_eq!(refused.status, 403, "{}", refused.body);
}

#[test]
fn r_21_what_accounts_above_pay_is_not_handed_on_to_those_below() {
    let server = Server::start();
    resold(&server);
    for path in ["/v1/cdrs?account=shop&view=customer", "/v1/cdrs?account=shop&view=customer&format=csv", "/v1/cdrs?payer=shop&view=customer&format=jsonl"] {
        let body = server.get("admin", path).body;
        assert!(body.contains("0.015000") && !body.contains("wholesale") && !body.contains("0.006"), "{path}: {body}");
    }
    // The reseller sees its own price, as before.
    assert!(server.get("acme", "/v1/cdrs?account=shop").body.contains("0.006000"));
    // The caller's own key, whose account is not the root.
    let shop = server.get("shop", "/v1/cdrs").json()["items"].clone();
    assert_eq!((shop[0]["sell_amount"].as_str(), shop[0]["tier_amounts"].as_str()), (Some("0.015000"), Some("")), "{shop}");
    let one = server.get("shop", &format!("/v1/cdrs/{}", shop[0]["call_uuid"].as_str().expect("an id"))).body;
    assert!(one.contains("0.015000") && !one.contains("wholesale"), "{one}");
    assert_eq!(server.get("shop", "/v1/cdrs?payer=acme").status, 403);
}
