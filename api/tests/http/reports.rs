//! `/v1/reports` and the plots.

use serde_json::json;
use tollgate_schemas::cdr::Cdr;
use tollgate_schemas::{event::Body, log::Topic, v1::{CallAnswered, CallAttempted, CallRefused}};

use crate::{client::{Server, row}, fakes::now_us};

const DAY: i64 = 1_700_000_000_000_000;

fn traffic() -> Server {
    let server = Server::start();
    for (disposition, n) in [("answered", 2), ("busy", 1), ("failed", 4), ("blocked", 3)] {
        for _ in 0..n {
            let answered = disposition == "answered";
            let own = row(server.fakes.id(), "acme", DAY);
            let cdr = Cdr { disposition: disposition.to_owned(), ..own };
            server.fakes.store(if answered { cdr } else { Cdr { sell_amount: 0, cost_amount: 0, duration_ms: 0, pdd_ms: None, ..cdr } });
        }
    }
    server
}

#[test]
fn m_01_to_m_05_ratios_are_of_the_right_things() {
    let report = traffic().get("admin", "/v1/reports/traffic?group_by=account,hour").json();
    assert_eq!((&report["scope"], &report["group_by"]), (&json!("customer"), &json!(["account", "hour"])));
    let row = &report["items"][0];
    assert_eq!((&row["account"], &row["hour"]), (&json!("acme"), &json!("2023-11-14T22:00:00.000000Z")));
    // Ten bids, three refused: seven seizures, two answered, one busy.
    for (field, want) in [
        ("bids", json!(10)), ("refused", json!(3)), ("calls", json!(7)), ("seizures", json!(7)), ("answered", json!(2)), ("asr", json!("28.57")),
        ("ner", json!("42.86")), ("abr", json!("20.00")), ("acd_s", json!("61.20")), ("minutes", json!("2.04")), ("pdd_ms_avg", json!("1500.00")),
        ("revenue", json!("0.020666")), ("cost", json!("0.013200")), ("margin", json!("0.007466")), ("margin_pct", json!("36.13")),
    ] {
        assert_eq!(row[field], want, "{field}");
    }
    assert_eq!(report["totals"][0]["asr"], "28.57");
    assert!(report["totals"][0].get("pdd_ms_p50").is_none(), "percentiles do not add up");
}

#[test]
fn m_01_a_report_by_carrier_counts_attempts_and_says_so() {
    let server = traffic();
    server.fakes.store(Cdr { record_type: "attempt".to_owned(), attempt_no: 1, ..row(server.fakes.id(), "acme", DAY) });
    for query in ["group_by=carrier", "carrier=northtel"] {
        let report = server.get("admin", &format!("/v1/reports/traffic?{query}")).json();
        assert_eq!((&report["scope"], &report["items"][0]["bids"]), (&json!("vendor"), &json!(1)), "{query}");
        assert!(report["measurement_point"].as_str().is_some_and(|m| m.starts_with("attempts")));
    }
}

#[test]
fn a_ratio_without_a_denominator_is_null_and_an_empty_csv_cell() {
    let server = Server::start();
    server.fakes.store(Cdr { disposition: "blocked".to_owned(), pdd_ms: None, sell_amount: 0, ..row(server.fakes.id(), "acme", DAY) });
    let row = server.get("admin", "/v1/reports/traffic").json()["items"][0].clone();
    assert!(row["asr"].is_null() && row["acd_s"].is_null() && row["margin_pct"].is_null() && row["pdd_ms_p50"].is_null());
    let csv = server.get("admin", "/v1/reports/traffic?format=csv").body;
    let lines: Vec<Vec<&str>> = csv.lines().map(|l| l.split(',').collect()).collect();
    let asr = lines[0].iter().position(|c| *c == "asr").expect("asr");
    assert_eq!((lines[0][0], lines[1][0], lines[1][asr]), ("account", "acme", ""));
    for (query, name) in [("group_by=planet", "group_by"), ("group_by=account,account", "group_by"), ("group_by=", "group_by"), ("limit=3", "limit")] {
        let reply = server.get("admin", &format!("/v1/reports/traffic?{query}"));
        assert_eq!((reply.status, &reply.json()["problems"][0]["path"]), (400, &json!(name)), "{query}");
    }
}

#[test]
fn plots_count_calls_refusals_and_money_where_they_happened() {
    let server = Server::start();
    // A minute that is over whatever the second is.
    let at = now_us() - 90_000_000;
    server.fakes.tell(Topic::Calls, "acme", at, Body::CallAttempted(CallAttempted::default()));
    server.fakes.tell(Topic::Calls, "acme", at, Body::CallAnswered(CallAnswered::default()));
    let refused = CallRefused { reason: "cps_limit".to_owned(), count: 5, ..CallRefused::default() };
    server.fakes.tell(Topic::Calls, "acme", at, Body::CallRefused(refused));
    server.fakes.store(Cdr { end_ts: at, ..row(server.fakes.id(), "acme", at - 66_200_000) });
    for step in ["second&points=3600", "minute"] {
        let series = server.get("admin", &format!("/v1/stats/series?step={step}")).json();
        let points = series["points"].as_array().expect("points");
        let sum = |field: &str| points.iter().filter_map(|p| p[field].as_u64()).sum::<u64>();
        assert_eq!((sum("attempted"), sum("answered"), sum("refused")), (6, 1, 5), "{step}");
        let busy = points.iter().find(|p| p["attempted"] == 6).expect("one point");
        assert_eq!(busy["refused_by_reason"], json!({ "cps_limit": 5 }));
        assert_eq!(busy["money"]["USD"], json!({ "revenue": "0.010333", "cost": "0.006600", "fraud_loss": "0.000000" }));
    }
    assert_eq!(server.get("acme", "/v1/stats/series?step=second").status, 400);
}

#[test]
fn r_26_who_is_under_the_mark_is_told_by_account_and_by_root() {
    let server = Server::start();
    // (account, class, delivered, refused)
    for (account, class, delivered, refused) in [
        ("good", "valid", 9, 1), ("good", "missing", 1, 5), ("bad", "valid", 3, 0), ("bad", "missing", 1, 0), ("bad", "bad_cc", 1, 0), ("bad", "", 1, 0),
        ("idle", "missing", 0, 2), ("", "missing", 0, 7),
    ] {
        for n in 0..delivered + refused {
            let attempts_total = u32::from(n < delivered);
            let own = Cdr { root_account: "root".to_owned(), ..row(server.fakes.id(), account, DAY) };
            server.fakes.store(Cdr { attempts_total, a_validity: class.to_owned(), ..own });
        }
    }
    server.fakes.store(Cdr { attempts_total: 1, a_validity: "missing".to_owned(), test_call: true, ..row(server.fakes.id(), "bad", DAY) });
    let period = "since=2023-11-01T00:00:00Z&until=2023-12-01T00:00:00Z";
    let report = server.get("admin", &format!("/v1/reports/cpn?{period}")).json();
    assert_eq!((&report["under"], &report["mark_pct"], &report["by"]), (&json!(["bad"]), &json!(90), &json!("account")));
    let want = [
        // account, calls, valid, missing, invalid, bad_cc, other, share, under, lacking, refused, of them valid
        json!(["bad", 6, 3, 1, 2, 1, 1, "50.00", true, 3, 0, 0]),
        json!(["good", 10, 9, 1, 0, 0, 0, "90.00", false, 0, 6, 1]),
        json!(["idle", 0, 0, 0, 0, 0, 0, null, false, 0, 2, 0]),
    ];
    let fields = ["account", "calls", "valid", "missing", "invalid", "invalid_bad_cc", "invalid_other", "cpn_pct", "under_mark", "lacking", "refused", "refused_valid"];
    let got: Vec<_> = report["items"].as_array().expect("items").iter().map(|i| json!(fields.map(|f| &i[f]))).collect();
    assert_eq!(got, want);
    let root = server.get("admin", &format!("/v1/reports/cpn?{period}&by=root_account&mark_pct=80")).json();
    assert_eq!((&root["under"], &root["items"][0]["calls"], &root["items"][0]["cpn_pct"]), (&json!(["root"]), &json!(16), &json!("75.00")));
    assert_eq!(root["totals"]["cpn_pct"], "75.00");
    let csv = server.get("admin", &format!("/v1/reports/cpn?{period}&format=csv"));
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert_eq!(csv.body.lines().nth(1), Some("bad,root,6,3,1,2,0,0,1,1,50.00,true,3,0,0"));
    // Without a period it is the month so far.
    assert_eq!(server.get("admin", "/v1/reports/cpn").json()["items"], json!([]));
    assert_eq!(server.get("admin", "/v1/reports/cpn?since=2999-01-01T00:00:00Z").status, 400);
}

#[test]
fn r_28_limits_of_the_question_go_to_the_node_and_a_tenant_asks_for_itself() {
    let server = Server::start();
    let period = "since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z";
    let report = server.get("acme", &format!("/v1/reports/short-calls?{period}&max_s=9&allowance_pct=20&min_calls=0")).json();
    assert_eq!((&report["breaches"], &report["since"]), (&json!(["acme"]), &json!("2026-01-01T00:00:00.000000Z")));
    assert_eq!(report["items"][0]["contract"]["fee"], "2.000000");
    let order = server.fakes.orders.lock().expect("orders").last().expect("an order").clone();
    for part in ["ShortCalls", "\"tenant\":\"acme\"", "\"by_carrier\":false", "\"max_s\":9", "\"allowance_pct\":20", "\"min_calls\":0", "\"since_us\":1767225600000000"] {
        assert!(order.contains(part), "{part}: {order}");
    }
    server.get("admin", "/v1/reports/short-calls?by=carrier");
    let order = server.fakes.orders.lock().expect("orders").last().expect("an order").clone();
    for part in ["\"tenant\":null", "\"by_carrier\":true", "\"max_s\":6", "\"allowance_pct\":15", "\"min_calls\":200"] {
        assert!(order.contains(part), "{part}: {order}");
    }
    let csv = server.get("admin", "/v1/reports/short-calls?format=csv").body;
    assert_eq!(csv.lines().nth(1), Some("acme,acme,1000,200,20.00,150,true,50,true,acme-2026,6,15,0,all,0.01,1000,200,50,2.000000,USD,"));
    assert_eq!(server.get("admin", "/v1/reports/short-calls?by=carrier&format=csv").body.lines().next(), Some("carrier,connected,short,short_pct,allowed,judged,excess,breach"));
}
