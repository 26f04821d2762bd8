//! Reports of a period on a running node over real SIP: calling numbers, short calls with the fee of the invoice, and what one
//! call did to a balance.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    finance::{Desk, with},
    harness::{Setup, World, ms, wait_for},
    ua::{Leg, Ua, established, invite},
};

const USA: &str = "12125550100";
/// What the contract's limit is here, so that a long call does not take long.
const SHORT_S: u64 = 1;

fn key(tenant: &str) -> String {
    let secret = format!("{tenant}-key-of-the-case");
    let hash = Sha256::digest(secret.as_bytes()).iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    });
    format!("[[api.keys]]\nid = \"{tenant}\"\nsha256 = \"{hash}\"\ntenant = \"{tenant}\"\n")
}

fn hang_up(caller: &Ua, world: &World, leg: &mut Leg) {
    caller.send(world.node.sip, &leg.next("BYE", "", ""));
    let id = leg.call_id.clone();
    let bye = world.alpha().expect("the BYE", |m| m.method() == Some("BYE") && m.call_id() == id);
    world.alpha().reply(&bye, 200, "OK", "");
}

fn turned_down(caller: &Ua, world: &World, leg: &Leg) {
    let got = world.alpha().expect("the INVITE", |m| m.method() == Some("INVITE") && m.call_id() == leg.call_id);
    world.alpha().reply(&got, 486, "Busy Here", "t");
    let end = caller.expect("486", |m| m.status() == Some(486) && m.call_id() == leg.call_id);
    caller.send(world.node.sip, &leg.ack_failure(&end));
}

/// acme: two short calls and a long one, one busy, one busy without a number, one that nobody sells; shop, below it: two short ones.
fn traffic(world: &World, shop: &Ua) {
    let (caller, node) = (&world.caller, world.node.sip);
    let (mut long, _) = established(caller, world.alpha(), node, USA);
    let began = Instant::now();
    for from in [caller, caller, shop, shop] {
        let (mut leg, _) = established(from, world.alpha(), node, USA);
        hang_up(from, world, &mut leg);
    }
    turned_down(caller, world, &invite(caller, node, USA));
    let mut nameless = Leg::new(caller, node, USA);
    nameless.local = format!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={}", nameless.branch);
    caller.send(node, &nameless.invite(""));
    turned_down(caller, world, &nameless);
    let unsold = invite(caller, node, "33142685300");
    let no = caller.expect("404", |m| m.status() == Some(404) && m.call_id() == unsold.call_id);
    caller.send(node, &unsold.ack_failure(&no));
    std::thread::sleep((Duration::from_millis(SHORT_S * 1_000 + 200)).saturating_sub(began.elapsed()));
    hang_up(caller, world, &mut long);
    wait_for("every CDR", Duration::from_secs(10), || (world.node.api.items("/v1/cdrs?limit=100").len() == 8).then_some(()));
}

#[test]
fn r_26_r_28_reports_tell_who_is_under_the_mark_and_over_the_allowance_and_the_fee_is_the_invoices() {
    let mut setup = Setup::new(1);
    let from = setup.net.numbered(3);
    setup.doc("deck", "retail", json!({ "csv": "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,usa,0.15,0.02,60,60,2020-01-01\n" }));
    setup.doc("account", "shop", json!({ "parent": "acme", "sell_deck": "retail" }));
    let trunk = json!({ "account": "shop", "sources": [from.to_string()], "channels": 10, "cps": 10, "burst": 10, "numbers": { "country_code": "1" } });
    setup.doc("trunk", "shop-in", trunk);
    setup.doc("contract", "acme-2026", json!({
        "account": "acme", "currency": "USD", "cycle": "invoice", "short_calls": { "max_s": SHORT_S, "allowance_pct": "25", "fee": "0.01", "charge": "all" },
    }));
    setup.more = key("acme") + &key("shop");
    let mut world = World::of(setup);
    let shop = Ua::on("shop", from);
    traffic(&world, &shop);
    let until = world.node.api.items("/v1/cdrs?limit=1")[0]["end_ts"].as_str().expect("a time").to_owned();
    // The long call began first and ended last.
    let until = until.max(world.node.api.items("/v1/cdrs?limit=100")[7]["end_ts"].as_str().expect("a time").to_owned());
    let desk = Desk::of(&world.node);
    let period = ["--from", "2020-01-01", "--until", &until];

    // eight calls, of which seven were handed on; five of these are acme's.
    let cpn = desk.json(&with(&["report", "cpn", "--json"], &period));
    let fields = ["account", "calls", "valid", "missing", "invalid", "cpn_pct", "under_mark", "lacking", "refused", "refused_valid"];
    let told = |report: &Value, fields: &[&str]| -> Vec<Value> { report["items"].as_array().expect("items").iter().map(|i| fields.iter().map(|f| i[*f].clone()).collect()).collect() };
    assert_eq!(told(&cpn, &fields), [json!(["acme", 5, 4, 1, 0, "80.00", true, 1, 1, 1]), json!(["shop", 2, 2, 0, 0, "100.00", false, 0, 0, 0])]);
    assert_eq!((&cpn["under"], &cpn["mark_pct"]), (&json!(["acme"]), &json!(90)));
    let (_, text, _) = desk.run(&with(&["report", "cpn", "--by", "root_account"], &period));
    assert!(text.contains("UNDER 90 %: acme: 85.71 % of 7 calls had a valid calling number; 1 more would have to"), "{text}");
    let (_, text, _) = desk.run(&with(&["report", "cpn", "--mark", "80"], &period));
    assert!(text.contains("nobody is under 80 %"), "{text}");

    // of connected calls only, by customer and by carrier.
    let limits = ["--max-s", "1", "--allowance", "25", "--min-calls", "0"];
    let short = |by: &str| desk.json(&[&["report", "short-calls", "--json", "--by", by][..], &period, &limits].concat());
    let fields = ["connected", "short", "short_pct", "allowed", "excess", "breach"];
    let (customers, carriers) = (short("account"), short("carrier"));
    assert_eq!(customers["breaches"], json!(["acme", "shop"]));
    assert_eq!(told(&customers, &fields), [json!([3, 2, "66.67", 0, 2, true]), json!([2, 2, "100.00", 0, 2, true])]);
    assert_eq!((carriers["breaches"].clone(), told(&carriers, &fields)), (json!(["alpha"]), vec![json!([5, 4, "80.00", 1, 3, true])]));
    let unjudged = desk.json(&with(&["report", "short-calls", "--json", "--max-s", "1"], &period));
    assert_eq!((&unjudged["breaches"], &unjudged["min_calls"], &unjudged["items"][0]["judged"]), (&json!([]), &json!(200), &json!(false)));
    // The fee counts what acme is invoiced for: the calls of shop, too.
    let fee = &customers["items"][0]["contract"];
    assert_eq!((&fee["contract"], &fee["connected"], &fee["short"], &fee["excess"], &fee["fee"], &fee["note"]), (&json!("acme-2026"), &json!(5), &json!(4), &json!(3), &json!("0.040000"), &Value::Null));
    assert!(customers["items"][1]["contract"].is_null(), "shop has no contract");
    let bill = desk.json(&["invoice", "--account", "acme", "--from", "2020-01-01T00:00:00Z", "--until", &until, "--freeze-days", "0", "--json", "--dry-run"]);
    let line = bill["lines"].as_array().expect("lines").iter().find(|l| l["description"].as_str().is_some_and(|d| d.contains("short calls, 4 of 5"))).expect("the fee's line");
    assert_eq!(line["amount"], fee["fee"], "one function, one number");
    let (_, csv, _) = desk.run(&[&["report", "short-calls", "--csv"][..], &period, &limits].concat());
    assert!(csv.lines().any(|l| l.starts_with("acme,acme,3,2,66.67,0,true,2,true,acme-2026,1,25,0,all,0.01,5,4,3,0.040000,USD")), "{csv}");
    let (_, text, _) = desk.run(&[&["report", "short-calls"][..], &period, &limits].concat());
    assert!(text.contains("BREACH: acme: 2 of 3 calls were short (66.67 %), 2 more than the 0 allowed") && text.contains("contract acme-2026: acme: 4 of 5 calls up to 1 s, 25 % allowed: 0.040000 USD"), "{text}");

    // a reseller sees itself and below, a customer itself, neither of them carriers.
    let query = format!("since=2020-01-01T00:00:00Z&until={until}&max_s=1&allowance_pct=25&min_calls=0");
    for (tenant, sees) in [("acme", vec!["acme", "shop"]), ("shop", vec!["shop"])] {
        let api = world.node.api.with_key(&format!("{tenant}-key-of-the-case"));
        for report in ["cpn", "short-calls"] {
            let query = if report == "cpn" { format!("since=2020-01-01T00:00:00Z&until={until}") } else { query.clone() };
            let mut accounts: Vec<String> = api.items(&format!("/v1/reports/{report}?{query}")).iter().map(|i| i["account"].as_str().expect("account").to_owned()).collect();
            accounts.sort();
            assert_eq!(accounts, sees, "{tenant} {report}");
        }
        assert_eq!(api.status(&format!("/v1/reports/short-calls?{query}&by=carrier")), 403, "{tenant}");
        let own = api.get(&format!("/v1/reports/short-calls?{query}"))["items"].as_array().expect("items").iter().any(|i| i["contract"].is_object());
        assert_eq!(own, tenant == "acme", "a contract is its account's and those above it");
    }
    // From files, too.
    world.node.stop();
    world.node.log_is_sound_and_replays();
    world.node.restart();
    let desk = Desk::of(&world.node);
    assert_eq!(desk.json(&with(&["report", "cpn", "--json"], &period)), cpn);
    assert_eq!(desk.json(&[&["report", "short-calls", "--json", "--by", "account"][..], &period, &limits].concat()), customers);
}

#[test]
fn c_098_a_prepaid_call_says_what_was_held_and_the_ledger_the_balance_around_it() {
    let mut setup = Setup::new(1);
    let account = setup.spec("account", "acme");
    (account["billing"], account["slice_s"]) = ("prepaid".into(), 60.into());
    let mut world = World::of(setup);
    let api = &world.node.api;
    let paid = api.post("/v1/payments", &json!({ "account": "acme", "amount": "5.00", "reason": "bank transfer", "reference": "RF-1" }));
    assert_eq!(paid.0, 201, "{}", paid.1);
    wait_for("the money is lent", ms(5_000), || (api.items("/v1/balances?account=acme")[0]["available"] == "5.000000").then_some(()));
    std::thread::sleep(ms(500));
    let (mut leg, _) = established(&world.caller, world.alpha(), world.node.sip, USA);
    hang_up(&world.caller, &world, &mut leg);
    let row = wait_for("the CDR", ms(5_000), || api.items(&format!("/v1/cdrs?sip_call_id_in={}", leg.call_id)).pop());
    // A minute and the connect fee are held, and come to the charge.
    assert_eq!((&row["balance_type"], &row["credit_held"], &row["sell_amount"]), (&json!("prepaid"), &json!("0.070000"), &json!("0.070000")));
    let reservation = row["credit_reservation_id"].as_str().expect("a reservation").to_owned();
    let attempt = api.items(&format!("/v1/cdrs?record_type=attempt&sip_call_id_in={}", leg.call_id)).remove(0);
    assert_eq!(attempt["credit_reservation_id"], row["credit_reservation_id"]);
    let call = row["call_uuid"].as_str().expect("an id").to_owned();
    let desk = Desk::of(&world.node);
    let fields = ["kind", "account", "currency", "balance_before", "balance_after", "held_before", "held_after"];
    let ledger = |desk: &Desk<'_>| -> Vec<Value> {
        let told = desk.json(&["balance", "--call", &call, "--json"]);
        assert_eq!(told["items"][0]["posting_id"], json!(reservation), "the reservation is a posting");
        told["items"].as_array().expect("items").iter().map(|i| fields.iter().map(|f| i[*f].clone()).collect()).collect()
    };
    let want = [
        json!(["hold", "acme", "USD", "5.000000", "5.000000", "0.000000", "0.070000"]),
        json!(["usage", "acme", "USD", "5.000000", "4.930000", "0.070000", "0.000000"]),
    ];
    wait_for("the postings are read", ms(5_000), || (ledger(&desk) == want).then_some(()));
    // What comes later does not change what was.
    let (mut leg, _) = established(&world.caller, world.alpha(), world.node.sip, USA);
    hang_up(&world.caller, &world, &mut leg);
    wait_for("the next call", ms(5_000), || (api.items("/v1/balances?account=acme")[0]["balance"] == "4.860000").then_some(()));
    assert_eq!(ledger(&desk), want);
    let (_, text, _) = desk.run(&["balance", "--call", &call]);
    assert!(text.contains("HELD BEFORE") && text.contains("4.930000"), "{text}");
    desk.refused(&["balance", "--call", "00000000-0000-0000-0000-000000000001"], "there is no CDR");
    world.node.stop();
    world.node.log_is_sound_and_replays();
    world.node.restart();
    assert_eq!(ledger(&Desk::of(&world.node)), want);
}
