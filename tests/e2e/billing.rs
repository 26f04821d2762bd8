//! Invoices by contracts, tax tables and exchange rates, and what they add to an account's money, on a running node over real SIP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    finance::{Desk, with},
    harness::{Node, Setup, Sipp, ms, scenario, wait_for},
    ua::{AutoCarrier, Plan},
};

const USA: &str = "12125550100";
/// Each is a minute for 0.06, and 0.01 to connect.
const CALLS: usize = 20;

fn node_with(more: impl FnOnce(&mut Setup)) -> (Node, AutoCarrier) {
    let mut setup = Setup::new(1);
    (setup.trunk()["channels"], setup.trunk()["cps"], setup.trunk()["burst"]) = (10_000.into(), 5_000.into(), 5_000.into());
    more(&mut setup);
    let plan = Plan { refuses: None, rings_after: ms(20), answers_after: ms(50), hangs_up_after: None };
    let alpha = AutoCarrier::start("alpha", setup.net.carrier(0), move |_| plan);
    (Node::start(setup), alpha)
}

fn calls(node: &Node, count: usize) {
    let before = node.api.items("/v1/cdrs?limit=1000").len();
    let mut caller = Sipp::caller(scenario!("load"), node.setup.net.caller(), node.sip, USA, count, &["-r", "30", "-l", "1000"]);
    caller.passes();
    wait_for("every CDR", Duration::from_secs(20), || (node.api.items("/v1/cdrs?limit=1000").len() == before + count).then_some(()));
}

fn balance(node: &Node, currency: &str) -> Value {
    let rows = node.api.items("/v1/balances?account=acme");
    rows.iter().find(|r| r["currency"] == currency).map_or(Value::Null, |r| r["balance"].clone())
}

fn has_balance(node: &Node, currency: &str, want: &str) {
    wait_for(&format!("a balance of {want} {currency}"), Duration::from_secs(10), || (balance(node, currency) == want).then_some(()));
}

/// `section description amount` of an invoice's lines.
fn lines(invoice: &Value) -> Vec<String> {
    let text = |l: &Value, name: &str| l[name].as_str().unwrap_or_default().to_owned();
    invoice["lines"].as_array().expect("lines").iter().map(|l| format!("{} {} {}", text(l, "section"), text(l, "description"), text(l, "amount"))).collect()
}

/// 20 calls are 1.40. Ten minutes are bundled for 0.50 and give 0.70 back; the tier takes 10 % off the other 0.70; 0.63 of 5.00 committed; with
/// the trunk 100.00 before taxes.
#[test]
fn r_22_r_31_fn_06_fn_08_an_invoice_is_made_by_contract_and_tables_and_is_in_the_balance_once() {
    let (mut node, _alpha) = node_with(|setup| {
        let account = setup.spec("account", "acme");
        account["credit_limit"] = "500".into();
        account["tax"] = json!({ "seller_country": "US", "places": [{ "country": "US" }] });
        setup.doc("tax", "us", json!({ "country": "US", "rows": [
            { "code": "usf-share", "kind": "share", "rate": "64.9" },
            { "code": "usf", "rate": "37.0", "base": "interstate", "resale_exempt": true },
        ] }));
        setup.doc("contract", "acme-2026", json!({
            "account": "acme", "currency": "USD", "cycle": "invoice", "commitment": "5",
            "bundles": [{ "name": "usa 10", "minutes": 10, "price": "0.50", "destinations": ["usa"] }],
            "volumes": [{ "name": "usa", "mode": "whole_volume", "basis": "amount", "steps": [{ "from": 0, "discount_pct": "10" }] }],
        }));
    });
    calls(&node, CALLS);
    has_balance(&node, "USD", "-1.400000");
    let dir = tempfile::tempdir().expect("folder");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(dir.path().join("details.yaml"), "recurring: [{ description: trunk, amount: '94.50' }]\n").expect("file");
    let until = node.api.items("/v1/cdrs?limit=1")[0]["end_ts"].as_str().expect("a time").to_owned();
    let desk = Desk::of(&node);
    let (details, bills) = (path("details.yaml"), path("bills"));
    let bill = ["invoice", "--account", "acme", "--from", "2020-01-01T00:00:00Z", "--until", &until, "--series", "t", "--freeze-days", "0", "--details", &details, "--json", "--out", &bills];
    desk.json(&with(&bill, &["--dry-run"]));
    let accrued = |rated: &str, invoiced: &str, left: &str| {
        let found = desk.json(&["accrual", "--at", "2100-01-01", "--json"]);
        let item = &found["items"][0];
        assert_eq!((&item["account"], &item["rated"], &item["invoiced"], &item["accrual"]), (&json!("acme"), &json!(rated), &json!(invoiced), &json!(left)));
    };
    accrued("1.400000", "0.000000", "1.400000");
    let invoice = desk.json(&bill);
    assert_eq!(lines(&invoice), [
        "recurring trunk 94.500000", "recurring usa 10, 10 minutes 0.500000", "usage calls 1.400000", "contract usa 10, bundled minutes used -0.700000",
        "contract usa, from 0, less 10% -0.070000", "contract commitment shortfall 4.370000", "taxes usf (US) 37 % on 64.900000 24.010000",
    ]);
    assert_eq!((&invoice["subtotal"], &invoice["total"]), (&json!("100.000000"), &json!("124.01")));
    let of = invoice["lines"].as_array().expect("lines").iter().filter(|l| l["contract"].as_str().is_some_and(|c| c.starts_with("acme-2026 "))).count();
    assert_eq!(of, 4, "{invoice}");
    assert!(invoice["lines"][6]["tax"]["note"].as_str().expect("a note").contains("non-authoritative"));
    // Calls were owed already: 124.01 altogether.
    has_balance(&node, "USD", "-124.010000");
    let row = node.api.items("/v1/balances?account=acme").remove(0);
    assert_eq!((&row["exposure"], &row["available"]), (&json!("124.010000"), &json!("375.990000")), "what is invoiced and unpaid counts");

    // A credit that was agreed.
    desk.json(&["invoice", "note", "--invoice", "t-1", "--reason", "outage", "--amount", "4.01", "--json", "--out", &bills]);
    has_balance(&node, "USD", "-120.000000");
    owed(&node, &desk);
    accrued("1.400000", "1.400000", "0.000000");

    node.stop();
    node.log_is_sound_and_replays();
    node.restart();
    has_balance(&node, "USD", "-100.000000");
    // Nothing is said again, by the issuer or by who looks for what is missing.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(balance(&node, "USD"), "-100.000000");
}

/// FN-03, FN-04: 124.01 less a note of 4.01 less a payment of 20.00, of which 30.00 are disputed.
fn owed(node: &Node, desk: &Desk<'_>) {
    let pay = || node.api.post("/v1/payments", &json!({ "account": "acme", "amount": "20.00", "reason": "bank", "reference": "RF-1" })).1;
    assert_eq!(pay()["payment_id"], pay()["payment_id"], "said again it is the same one");
    has_balance(node, "USD", "-100.000000");
    desk.refused(&["dispute", "raise", "--invoice", "t-1", "--amount", "121", "--reason", "rate"], "more than the 120.000000 of invoice t-1");
    let (code, out, err) = desk.run(&["dispute", "raise", "--invoice", "t-1", "--amount", "30.00", "--reason", "rate"]);
    assert_eq!(code, 0, "{out}{err}");
    let found = desk.json(&["statement", "--account", "acme", "--from", "2020-01-01", "--until", "2100-01-01", "--json"]);
    let item = &found["items"][0];
    let kinds: Vec<&str> = item["rows"].as_array().expect("rows").iter().map(|r| r["kind"].as_str().expect("kind")).collect();
    assert_eq!(kinds, ["invoice", "credit_note", "payment"]);
    let sums: Vec<&str> = ["opening", "invoiced", "credited", "paid", "closing", "disputed"].iter().map(|name| item[*name].as_str().expect("an amount")).collect();
    assert_eq!(sums, ["0.000000", "124.010000", "4.010000", "20.000000", "100.000000", "30.000000"]);
    let aged = desk.json(&["ageing", "--json"]);
    let of = |name: &str| aged[0][name].as_str().expect("an amount").to_owned();
    assert_eq!(["not_due", "days_1_30", "disputed", "owed", "ledger", "unbilled"].map(of), ["70.000000", "0.000000", "30.000000", "100.000000", "100.000000", "0.000000"]);
    let net = desk.json(&["netting", "--account", "acme", "--carrier", "alpha", "--payable", "50.00", "--json"]);
    assert_eq!((&net["set_off"], &net["they_pay"], &net["we_pay"]), (&json!("50.000000"), &json!("20.000000"), &json!("0.000000")));
    let (code, table, _) = desk.run(&["ageing", "--account", "acme"]);
    assert!(code == 0 && table.contains("NOT DUE") && table.contains("70.000000"), "{table}");
    desk.refused(&["statement", "--account", "nobody", "--from", "2020-01-01", "--until", "2100-01-01"], "there is no account 'nobody'");
}

/// Four calls of `shop`, below `acme`: it pays 0.17 each and `acme` 0.07; two of `acme`'s own.
#[test]
fn r_20_r_21_fn_09_fn_20_a_reseller_and_the_account_below_it_are_invoiced_from_the_same_calls() {
    let (mut node, _alpha) = node_with(|setup| {
        setup.doc("deck", "retail", json!({ "csv": "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.15,0.02,60,60,2020-01-01\n" }));
        setup.doc("account", "shop", json!({ "parent": "acme", "sell_deck": "retail" }));
        setup.trunk()["account"] = "shop".into();
    });
    calls(&node, 4);
    let mut trunk = node.setup.trunk().clone();
    trunk["account"] = "acme".into();
    assert_eq!(node.api.put("/v1/trunks/acme-in?reason=own", &trunk).0, 200);
    calls(&node, 2);
    let rows = node.api.items("/v1/cdrs?limit=1000");
    let e8 = |v: &Value| tollgate_schemas::money::parse_scaled(v.as_str().expect("an amount"), 8).expect("decimal");
    // What each account pays, by the CDRs.
    let (mut shop, mut acme) = (0, 0);
    for row in &rows {
        match row["account"].as_str() {
            Some("shop") => {
                shop += e8(&row["sell_amount"]);
                let tiers: Vec<Value> = serde_json::from_str(row["tier_amounts"].as_str().expect("tiers")).expect("JSON");
                assert_eq!((tiers.len(), &tiers[0]["account"], &tiers[0]["billed_sec"]), (1, &json!("acme"), &json!(60)));
                acme += e8(&tiers[0]["amount"]);
            }
            _ => acme += e8(&row["sell_amount"]),
        }
    }
    assert_eq!((shop, acme), (68_000_000, 42_000_000));
    let desk = Desk::of(&node);
    let accrued = |want: &[(&str, &str, &str)]| {
        let found = desk.json(&["accrual", "--at", "2100-01-01", "--json"]);
        let told: Vec<(&str, &str, &str)> = found["items"].as_array().expect("items").iter().map(|i| (i["account"].as_str().expect("a"), i["invoiced"].as_str().expect("b"), i["accrual"].as_str().expect("c"))).collect();
        assert_eq!(told, want);
    };
    accrued(&[("acme", "0.000000", "0.420000"), ("shop", "0.000000", "0.680000")]);
    let entries = || ["acme", "shop"].map(|account| node.api.items(&format!("/v1/balances?account={account}")));
    let before = entries();
    let until = rows[0]["end_ts"].as_str().expect("a time").to_owned();
    let dir = tempfile::tempdir().expect("folder");
    let bills = dir.path().to_str().expect("UTF-8").to_owned();
    let bill = |account: &str| desk.json(&["invoice", "--account", account, "--from", "2020-01-01T00:00:00Z", "--until", &until, "--series", "t", "--freeze-days", "0", "--json", "--out", &bills]);
    let (retail, wholesale) = (bill("shop"), bill("acme"));
    assert_eq!((&retail["total"], &wholesale["total"]), (&json!("0.68"), &json!("0.42")));
    let usage = |invoice: &Value| -> Vec<(String, u64, String, String)> {
        let text = |l: &Value, name: &str| l[name].as_str().unwrap_or_default().to_owned();
        invoice["lines"].as_array().expect("lines").iter().map(|l| (text(l, "sub_account"), l["calls"].as_u64().expect("calls"), text(l, "rate"), text(l, "amount"))).collect()
    };
    assert_eq!(usage(&retail), [(String::new(), 4, "0.1500".to_owned(), "0.680000".to_owned())]);
    assert_eq!(usage(&wholesale), [(String::new(), 2, "0.0600".to_owned(), "0.140000".to_owned()), ("shop".to_owned(), 4, "0.0600".to_owned(), "0.280000".to_owned())]);
    // The reseller's margin: what it charges less what it pays for those calls.
    assert_eq!(shop - 28_000_000, 40_000_000);
    // The calls behind each, at its own price and nobody else's.
    let annex = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("an annex");
    let (of_shop, of_acme) = (annex("t-1.cdrs.csv"), annex("t-2.cdrs.csv"));
    assert_eq!((of_shop.lines().count(), of_acme.lines().count()), (5, 7));
    assert!(of_shop.contains(",0.170000,") && !of_shop.contains("0.070000"), "{of_shop}");
    assert!(of_acme.contains(",0.070000,") && !of_acme.contains("0.170000") && !of_acme.contains("alpha"), "{of_acme}");
    assert!(std::fs::read_to_string(dir.path().join("t-2.csv")).expect("lines").contains(",shop,usa,"));
    accrued(&[("acme", "0.420000", "0.000000"), ("shop", "0.680000", "0.000000")]);
    // Calls were in the balances when they were rated: documents of whole cents add nothing.
    assert_eq!(entries(), before);
    desk.refused(&["invoice", "note", "--invoice", "t-2", "--reason", "none"], "nothing of invoice t-2 has changed");

    // R-45: the wholesale price was wrong. A cent less of each call that acme pays for, the four of shop among them; shop pays what it did.
    desk.sell_at("0.05");
    let period = ["rerate", "--json", "--from", "2020-01-01T00:00:00Z", "--until", &until, "--reason", "0.05 was agreed", "--apply"];
    let summed = |done: &Value| done["summary"].as_array().expect("sums").iter().map(|s| (s["account"].clone(), s["calls"].clone(), s["delta"].clone())).collect::<Vec<_>>();
    assert_eq!(summed(&desk.json(&with(&period, &["--account", "shop"]))), [], "acme's price is not what shop pays");
    let done = desk.json(&with(&period, &["--account", "acme"]));
    assert_eq!((&done["refused"], summed(&done)), (&json!(0), vec![(json!("acme"), json!(6), json!("-0.060000"))]));
    for row in node.api.items("/v1/cdrs?limit=1000").iter().filter(|r| r["account"] == "shop") {
        let tiers: Vec<Value> = serde_json::from_str(row["tier_amounts"].as_str().expect("tiers")).expect("JSON");
        assert_eq!((&row["cdr_version"], &row["sell_amount"], &tiers[0]["amount"], &row["rerate_reason"]), (&json!(2), &json!("0.170000"), &json!("0.060000"), &json!("0.05 was agreed")));
    }
    let again = desk.json(&with(&period, &[]));
    assert_eq!(again["changed"], json!(0), "a second run, of everybody, changes nothing");
    let note = desk.json(&["invoice", "note", "--invoice", "t-2", "--reason", "0.05 was agreed", "--batch", done["batch"].as_str().expect("batch"), "--json", "--out", &bills]);
    assert_eq!((&note["kind"], &note["invoice"], &note["total"]), (&json!("credit_note"), &json!("t-2"), &json!("0.06")));
    desk.refused(&["invoice", "note", "--invoice", "t-1", "--reason", "none"], "nothing of invoice t-1 has changed");
    let owes = |account: &str| node.api.items(&format!("/v1/balances?account={account}")).iter().map(|b| e8(&b["balance"])).sum::<i64>();
    let was = |account: usize| before[account].iter().map(|b| e8(&b["balance"])).sum::<i64>();
    assert_eq!((owes("acme") - was(0), owes("shop") - was(1)), (6_000_000, 0), "what is owed is less by the note, once");
    node.stop();
    node.log_is_sound_and_replays();
}

/// FN-17: the call is up when its period is invoiced, and is on the next invoice; what is corrected of it is on the note of that one.
#[test]
fn r_46_fn_17_a_late_call_that_is_rated_again_is_on_the_note_of_the_invoice_it_is_on() {
    let (mut node, _alpha) = node_with(|_| {});
    let mut caller = Sipp::caller(scenario!("load"), node.setup.net.caller(), node.sip, USA, 1, &["-r", "1", "-l", "1"]);
    wait_for("a live call", Duration::from_secs(10), || (node.api.items("/v1/calls").len() == 1).then_some(()));
    let now = || {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        tollgate_schemas::time::format_rfc3339(since_epoch.as_micros() as i64)
    };
    let desk = Desk::of(&node);
    let dir = tempfile::tempdir().expect("folder");
    let bills = dir.path().to_str().expect("UTF-8").to_owned();
    let bill = |from: &str, until: &str| desk.json(&["invoice", "--account", "acme", "--from", from, "--until", until, "--series", "t", "--freeze-days", "0", "--json", "--out", &bills]);
    let first_ends = now();
    assert_eq!(bill("2020-01-01T00:00:00Z", &first_ends)["total"], json!("0.00"), "it is not known yet what the call costs");
    caller.passes();
    wait_for("its CDR", Duration::from_secs(20), || (node.api.items("/v1/cdrs?limit=10").len() == 1).then_some(()));
    calls(&node, 2);
    let second_ends = now();
    let second = bill(&first_ends, &second_ends);
    let sections: Vec<(&str, &str)> = second["lines"].as_array().expect("lines").iter().map(|l| (l["section"].as_str().expect("a"), l["amount"].as_str().expect("b"))).collect();
    assert_eq!((sections, &second["total"]), (vec![("usage", "0.140000"), ("late_usage", "0.070000")], &json!("0.21")));
    desk.sell_at("0.05");
    let done = desk.json(&["rerate", "--json", "--from", "2020-01-01T00:00:00Z", "--until", &second_ends, "--reason", "0.05 was agreed", "--apply"]);
    assert_eq!((&done["changed"], &done["refused"], &done["busy"]), (&json!(3), &json!(0), &json!(0)));
    desk.refused(&["invoice", "note", "--invoice", "t-1", "--reason", "0.05"], "nothing of invoice t-1 has changed");
    let note = desk.json(&["invoice", "note", "--invoice", "t-2", "--reason", "0.05", "--json", "--out", &bills]);
    let mut lines: Vec<(&str, &str)> = note["lines"].as_array().expect("lines").iter().map(|l| (l["section"].as_str().expect("a"), l["amount"].as_str().expect("b"))).collect();
    lines.sort_unstable();
    // The lines of the old rate go, those of the new one come.
    assert_eq!((lines, &note["total"]), (vec![("late_usage", "-0.070000"), ("late_usage", "0.060000"), ("usage", "-0.140000"), ("usage", "0.120000")], &json!("0.03")));
    desk.refused(&["invoice", "note", "--invoice", "t-2", "--reason", "again"], "nothing of invoice t-2 has changed");
    node.stop();
    node.log_is_sound_and_replays();
}

/// A customer that is given another deck pays by it from then on: a re-rating of the past goes by the deck it had, unless it is told to do otherwise.
#[test]
fn r_45_calls_are_rated_again_by_the_deck_they_were_priced_by() {
    let (node, _alpha) = node_with(|setup| {
        setup.doc("deck", "dear", json!({ "csv": "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.50,0,60,60,2020-01-01\n" }));
        setup.doc("deck", "euro", json!({ "currency": "EUR", "csv": "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.50,0,60,60,2020-01-01\n" }));
    });
    calls(&node, 2);
    let desk = Desk::of(&node);
    let buys = |deck: &str| {
        let mut account = node.api.get("/v1/accounts/acme")["spec"].clone();
        account["sell_deck"] = deck.into();
        assert_eq!(node.api.put("/v1/accounts/acme?reason=moved", &account).0, 200);
    };
    let rerate = |more: &[&str]| {
        let done = desk.json(&with(&["rerate", "--json", "--from", "2020-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z"], more));
        let text = |s: &Value, name: &str| s[name].as_str().unwrap_or_default().to_owned();
        done["summary"].as_array().expect("sums").iter().map(|s| (text(s, "currency"), text(s, "old_amount"), text(s, "new_amount"))).collect::<Vec<_>>()
    };
    let of = |currency: &str, old: &str, new: &str| (currency.to_owned(), old.to_owned(), new.to_owned());
    buys("dear");
    assert_eq!(rerate(&[]), [], "the deck it paid by says what it said");
    assert_eq!(rerate(&["--reassign"]), [of("USD", "0.140000", "1.000000")]);
    buys("euro");
    // Amounts in two currencies have no difference.
    assert_eq!(rerate(&["--reassign"]), [of("EUR", "0.000000", "1.000000"), of("USD", "0.140000", "0.000000")]);
    desk.sell_at("0.05");
    assert_eq!(rerate(&[]), [of("USD", "0.140000", "0.120000")], "its deck was corrected");
    for (option, name, said) in [("--account", "nobody", "there is no account 'nobody'"), ("--carrier", "alfa", "there is no carrier 'alfa'"), ("--deck", "sel", "there is no deck 'sel'")] {
        desk.refused(&["rerate", "--from", "2020-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z", option, name], said);
    }
}

#[test]
fn r_30_an_invoice_in_the_contracts_currency_converts_by_the_day_or_says_which_day_has_no_rate() {
    let (node, _alpha) = node_with(|setup| setup.doc("contract", "acme-eur", json!({ "account": "acme", "currency": "EUR", "cycle": "invoice" })));
    calls(&node, 2);
    let until = node.api.items("/v1/cdrs?limit=1")[0]["end_ts"].as_str().expect("a time").to_owned();
    let today = until[..10].to_owned();
    let dir = tempfile::tempdir().expect("folder");
    let bills = dir.path().to_str().expect("UTF-8").to_owned();
    let desk = Desk::of(&node);
    let bill = ["invoice", "--account", "acme", "--from", "2020-01-01T00:00:00Z", "--until", &until, "--series", "t", "--freeze-days", "0", "--json", "--out", &bills];
    desk.refused(&bill, &format!("calls answered on {today} are in USD, and there is no rate of USD/EUR"));
    desk.refused(&with(&bill, &["--currency", "USD"]), "contract 'acme-eur' is in EUR");
    let rates = json!({ "source": "ecb", "rates": [{ "base": "USD", "quote": "EUR", "rate": "0.5", "date": today }] });
    assert_eq!(node.api.put("/v1/fx_rates/ecb?reason=day", &rates).0, 200);
    let invoice = desk.json(&bill);
    assert_eq!((&invoice["currency"], &invoice["total"]), (&json!("EUR"), &json!("0.07")));
    let at = json!({ "currency": "USD", "amount": "0.140000", "rate": "0.5000", "source": "ecb", "date": today });
    assert_eq!((&invoice["lines"][0]["exchanged"], &invoice["lines"][0]["amount"]), (&at, &json!("0.070000")));
    // What was owed in one currency is owed in the other.
    has_balance(&node, "USD", "0.000000");
    has_balance(&node, "EUR", "-0.070000");
    assert_eq!(node.api.post("/v1/payments", &json!({ "account": "acme", "amount": "0.07", "currency": "EUR", "reason": "bank" })).0, 201);
    has_balance(&node, "EUR", "0.000000");
}
