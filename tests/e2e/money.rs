//! Money booked by hand on a running node: asked for again after a crash, refused where it cannot be, found again by its reference, and
//! accounts that go nowhere with money of theirs (FN-04, FN-08, X-08).

use serde_json::{Value, json};

use crate::{
    finance::Desk,
    harness::{Node, Setup, Sipp, ms, scenario, wait_for},
    ua::{AutoCarrier, Plan},
};

const USA: &str = "12125550100";
const ALL: [&str; 4] = ["--from", "2020-01-01", "--until", "2100-01-01"];

fn row(node: &Node, account: &str) -> Value {
    node.api.items(&format!("/v1/balances?account={account}")).remove(0)
}

fn pay(node: &Node, account: &str, amount: &str, kind: &str, reference: &str) -> (u16, Value) {
    node.api.post("/v1/payments", &json!({ "account": account, "amount": amount, "kind": kind, "reason": "bank", "reference": reference }))
}

fn has(node: &Node, account: &str, field: &str, want: &str) {
    wait_for(&format!("{field} of {account} is {want}"), ms(5_000), || (row(node, account)[field] == want).then_some(()));
}

fn problem(told: &Value) -> String {
    format!("{} {}", told["problems"][0]["path"].as_str().unwrap_or_default(), told["problems"][0]["message"].as_str().unwrap_or_default())
}

/// `acme`, and `shop` beside it.
fn setup() -> Setup {
    let mut setup = Setup::new(1);
    setup.docs.push(json!({ "kind": "account", "name": "shop", "spec": { "sell_deck": "sell", "billing": "prepaid" } }));
    setup.docs.push(json!({ "kind": "account", "name": "top", "spec": { "sell_deck": "sell" } }));
    setup
}

#[test]
fn x_08_a_payment_asked_for_again_with_its_key_is_booked_once_over_a_kill_and_a_restart() {
    let mut node = Node::start(setup());
    let order = json!({ "account": "acme", "amount": "2.00", "reason": "bank" });
    let (status, first) = node.api.post_once("/v1/payments", "retry-1", &order);
    assert_eq!(status, 201, "{first}");
    has(&node, "acme", "balance", "2.000000");
    for how in ["killed", "stopped"] {
        if how == "killed" { node.kill() } else { node.stop() }
        node.restart();
        let (status, again) = node.api.post_once("/v1/payments", "retry-1", &order);
        assert_eq!((status, &again), (201, &first), "{how}");
        assert_eq!(row(&node, "acme")["balance"], "2.000000", "{how}");
    }
    // Another request under the key, and the same under another key.
    let (status, told) = node.api.post_once("/v1/payments", "retry-1", &json!({ "account": "acme", "amount": "3.00", "reason": "bank" }));
    assert_eq!((status, told["type"].as_str()), (422, Some("urn:tollgate:problem:idempotency-key-reused")), "{told}");
    assert_eq!(node.api.post_once("/v1/payments", "retry-2", &order).0, 201);
    has(&node, "acme", "balance", "4.000000");
    node.stop();
    node.log_is_sound_and_replays();
}

#[test]
fn fn_08_what_cannot_be_booked_is_refused_with_why_and_nobody_elses_money_is_lost() {
    let mut node = Node::start(setup());
    // The rest of the ledger's room is not one customer's.
    for absurd in ["92233720368", "-92233720368", "10000000000.01"] {
        let (status, told) = pay(&node, "acme", absurd, "payment", "");
        assert!(status == 422 && problem(&told).starts_with("amount ") && problem(&told).contains("one booking is at most 10000000000"), "{told}");
    }
    for _ in 0..4 {
        assert_eq!(pay(&node, "acme", "10000000000", "payment", "").0, 201);
    }
    let (status, told) = pay(&node, "acme", "0.01", "payment", "");
    assert!(status == 422 && problem(&told).contains("at most 40000000000"), "{told}");
    assert_eq!(pay(&node, "shop", "5.00", "payment", "").0, 201);
    has(&node, "shop", "balance", "5.000000");
    // A deposit that is not kept cannot be given back.
    let (status, told) = pay(&node, "shop", "-5", "deposit", "");
    assert!(status == 422 && problem(&told).contains("only 0.000000 is kept as deposit"), "{told}");
    assert_eq!((pay(&node, "shop", "5", "deposit", "").0, pay(&node, "shop", "-4", "deposit", "").0, pay(&node, "shop", "-2", "deposit", "").0), (201, 201, 422));
    has(&node, "shop", "deposits", "1.000000");
    // A reference is one booking's.
    let (status, first) = pay(&node, "shop", "7.00", "payment", "X9");
    assert_eq!(status, 201, "{first}");
    let (status, same) = pay(&node, "shop", "7.00", "payment", "X9");
    assert_eq!((status, &same["payment_id"]), (201, &first["payment_id"]), "the same again is the first");
    for (amount, kind) in [("8.00", "payment"), ("7.00", "deposit"), ("7.00", "adjustment")] {
        let (status, told) = pay(&node, "shop", amount, kind, "X9");
        assert!(status == 409 && told.to_string().contains(first["payment_id"].as_str().expect("an id")), "{amount} {kind}: {told}");
    }
    has(&node, "shop", "balance", "12.000000");
    assert_eq!(node.api.metric("tollgate_ledger_difference_e8"), 0.0);
    // The statement has what the bank has, and what was given out.
    let statement = node.api.get("/v1/statements?account=shop&since=2020-01-01&until=2100-01-01");
    let rows = statement["items"][0]["rows"].as_array().cloned().expect("rows");
    let row = rows.iter().find(|r| r["reference"] == "X9").unwrap_or_else(|| panic!("FN-04: {statement}"));
    assert_eq!((&row["payment_id"], &row["number"], &row["amount"]), (&first["payment_id"], &first["payment_id"], &json!("-7.000000")));
    let (code, out, err) = Desk::of(&node).run(&[&["statement", "--account", "shop"][..], &ALL].concat());
    assert!(code == 0 && out.contains("REFERENCE") && out.contains("X9"), "{out}{err}");
    node.stop();
    node.log_is_sound_and_replays();
}

#[test]
fn fn_08_an_account_goes_nowhere_while_money_is_booked_where_it_is() {
    let mut node = Node::start(setup());
    assert_eq!((pay(&node, "shop", "3.00", "payment", "").0, pay(&node, "shop", "1.00", "deposit", "").0, pay(&node, "top", "7.00", "payment", "").0), (201, 201, 201));
    let below = json!({ "sell_deck": "sell", "billing": "prepaid", "parent": "top" });
    let (status, told) = node.api.put("/v1/accounts/shop", &below);
    assert_eq!(status, 422, "{told}");
    for part in ["parent ", "3.000000 USD in its favour", "a deposit of 1.000000 USD"] {
        assert!(problem(&told).contains(part), "{part} in: {told}");
    }
    assert_eq!(node.api.put("/v1/accounts/shop?dry_run=true", &below).0, 422, "a dry run says so, too");
    assert_eq!((node.api.delete("/v1/accounts/top"), node.api.delete("/v1/accounts/shop")), (422, 422));
    has(&node, "shop", "balance", "3.000000");
    // What moves no money is no move.
    assert_eq!(node.api.put("/v1/accounts/shop", &json!({ "sell_deck": "sell", "billing": "prepaid", "slice_s": 30 })).0, 200);
    assert_eq!((pay(&node, "shop", "-3.00", "payment", "").0, pay(&node, "shop", "-1.00", "deposit", "").0), (201, 201));
    let (status, told) = node.api.put("/v1/accounts/shop", &below);
    assert_eq!(status, 200, "settled, it goes: {told}");
    assert_eq!(row(&node, "shop")["root_account"], "top");
    let statement = node.api.get("/v1/statements?account=shop&since=2020-01-01&until=2100-01-01");
    assert_eq!(statement["items"][0]["rows"].as_array().map(Vec::len), Some(2), "with its history: {statement}");
    assert_eq!(node.api.delete("/v1/accounts/shop"), 200);
    node.stop();
    node.log_is_sound_and_replays();
}

#[test]
fn x_08_r_08_an_agreed_credit_is_given_once_over_a_restart_and_in_cents_and_unknown_names_are_told() {
    let setup = setup();
    let plan = Plan { refuses: None, rings_after: ms(20), answers_after: ms(50), hangs_up_after: None };
    let _alpha = AutoCarrier::start("alpha", setup.net.carrier(0), move |_| plan);
    let mut node = Node::start(setup);
    let mut caller = Sipp::caller(scenario!("load"), node.setup.net.caller(), node.sip, USA, 3, &["-r", "30", "-l", "10"]);
    caller.passes();
    wait_for("every CDR", ms(15_000), || (node.api.items("/v1/cdrs?limit=100").len() == 3).then_some(()));
    let until = node.api.items("/v1/cdrs?limit=1")[0]["end_ts"].as_str().expect("a time").to_owned();
    let invoice = json!({ "account": "acme", "since": "2020-01-01", "until": until, "series": "t", "freeze_days": 0 });
    let (status, issued) = node.api.post_once("/v1/invoices", "bill-1", &invoice);
    assert_eq!((status, &issued["number"], &issued["total"]), (200, &json!("t-1"), &json!("0.21")), "{issued}");
    let credit = |amount: &str| json!({ "invoice": "t-1", "reason": "an outage", "amount": amount });
    let (status, told) = node.api.post("/v1/notes", &credit("0.001"));
    assert!(status == 422 && told.to_string().contains("in USD with 2 decimal places"), "{told}");
    let (status, note) = node.api.post_once("/v1/notes", "credit-1", &credit("0.05"));
    assert_eq!((status, &note["number"]), (200, &json!("t-2")), "{note}");
    node.kill();
    node.restart();
    let (status, told) = node.api.post_once("/v1/notes", "credit-1", &credit("0.06"));
    assert!(status == 422 && told.to_string().contains("t-2"), "{told}");
    assert_eq!(node.api.post_once("/v1/notes", "credit-1", &credit("0.05")), (200, note));
    assert_eq!(node.api.post_once("/v1/invoices", "bill-1", &invoice), (200, issued), "and not that there is one");
    assert_eq!(node.api.items("/v1/invoices").len(), 2);

    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("x.csv").to_str().expect("UTF-8").to_owned();
    let export = [&["export", "cdrs", "--out", &file][..], &ALL].concat();
    let desk = Desk::of(&node);
    for (more, why) in [
        (["--account", "nobody"], "there is no account 'nobody'"),
        (["--carrier", "nobody"], "there is no carrier 'nobody'"),
        (["--as-of", "1.2.3"], "has 3 partitions"),
    ] {
        desk.refused(&[&export[..], &more].concat(), why);
    }
    assert_eq!(desk.run(&[&export[..], &["--account", "acme"]].concat()).0, 0);
    // R-30: what no list has is no currency.
    let csv = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.06,0,1,1,2020-01-01\n";
    let (status, told) = node.api.put("/v1/decks/odd", &json!({ "csv": csv, "currency": "QQQ" }));
    assert!(status == 422 && problem(&told) == "currency 'QQQ' is no currency of ISO 4217: want a code of its list, as USD", "{told}");
    assert_eq!(node.api.put("/v1/decks/odd", &json!({ "csv": csv, "currency": "JPY" })).0, 200);
    node.stop();
    node.log_is_sound_and_replays();
}
