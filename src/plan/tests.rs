//! Documents in, prices out: what the plan says of a call when number tables, origin groups, surcharges, resellers and
//! exchange rates have their say.
#![allow(clippy::expect_used)]

use serde_json::json;
use tollgate_schemas::{money::format_rate, number::E164, parties::Jurisdiction, time::parse_rfc3339};

use super::*;
use tollgate_proxy::admission::TrunkIx;

const HEADER: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,interrate,intrarate,ijrate,origin_group";

fn registry() -> Registry {
    let mut registry = Registry::default();
    let deck = |registry: &mut Registry, name: &str, more: Value, rows: &str| {
        let mut spec = json!({ "csv": format!("{HEADER}\n{rows}") });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let parsed: control::Deck = read(Kind::Deck, name, &spec).expect("a deck of the test");
        let compiled = compile_deck(name, &parsed, spec["csv"].as_str().unwrap_or_default().as_bytes()).expect("a sheet of the test");
        registry.decks.insert(name.to_owned(), compiled);
        registry.documents.insert((Kind::Deck, name.to_owned()), spec);
    };
    deck(&mut registry, "retail", json!({ "lookup_fees": { "lrn": "0.0003", "cnam": "0.0005", "toll_free": "0.0002" } }),
        "1212,NY,0.0200,0,6,6,,0.0150,0.0180,0.0250,\n1201,NJ,0.0200,0,6,6,,0.0150,0.0180,0.0250,\n1800,Toll-free,0.0300,0,6,6,,,,,\n33,France,0.0500,0,1,1,,,,,\n");
    deck(&mut registry, "wholesale", json!({}), "1,US,0.0100,0,6,6,,,,,\n33,France,0.0300,0,1,1,,,,,\n");
    deck(&mut registry, "north", json!({ "currency": "EUR", "jurisdiction": { "indeterminate": "intrastate" } }),
        "1,US,0.0060,0,1,1,,0.0040,0.0050,0.0090,\n33,France,0.0200,0,1,1,,,,,\n33,France,0.0100,0,1,1,,,,,eea\n");
    let table = "npanxx,state,lata,ocn,rate_center\n212555,NY,132,9104,NWYRCYZN01\n201555,NJ,224,9206,HACKENSACK\n";
    registry.number_tables.insert("us".to_owned(), compile_number_table("us", table.as_bytes()).expect("a table of the test"));
    for (kind, name, spec) in [
        (Kind::Account, "acme", json!({ "sell_deck": "wholesale" })),
        (Kind::Account, "shop", json!({ "sell_deck": "retail", "parent": "acme" })),
        (Kind::Trunk, "t", json!({ "account": "shop", "sources": ["192.0.2.1"] })),
        (Kind::Carrier, "north", json!({ "addresses": ["198.51.100.1:5060"], "deck": "north" })),
        (Kind::Surcharge, "eea", json!({ "currency": "USD", "decks": ["retail"], "rows": [
            { "origin_group": "non-eea", "dest_group": "eea", "per_minute": "0.25", "per_call": "0.01" },
            { "origin_group": "invalid", "dest_group": "eea", "per_minute": "0.30" },
        ] })),
        (Kind::FxRate, "ecb", json!({ "source": "ecb", "rates": [{ "base": "EUR", "quote": "USD", "rate": "1.1650", "date": "2026-11-20" }] })),
    ] {
        registry.documents.insert((kind, name.to_owned()), spec);
    }
    registry
}

fn plan() -> Plan {
    registry().compile(1).unwrap_or_else(|p| panic!("{p:#?}"))
}

fn at() -> i64 {
    parse_rfc3339("2026-11-20T12:00:00Z").expect("a time of the test")
}

fn number(text: &str) -> E164 {
    E164::parse(text).expect("a number of the test")
}

fn sold(sale: &Sale<'_>) -> Terms {
    match &sale.sell {
        Sell::Terms(terms) => terms.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn r_25_each_leg_has_the_price_of_its_own_contract_for_the_calls_jurisdiction() {
    let plan = plan();
    let lrn = number("12015550000");
    // Within New York; ported to New Jersey the same call is interstate, by the LRN's row.
    for (a, lrn, jurisdiction, sell, cost, state) in [
        (Some("12125550101"), None, Jurisdiction::Intra, "0.0180", "0.0050", "NY"),
        (Some("12125550101"), Some(&lrn), Jurisdiction::Inter, "0.0150", "0.0040", "NJ"),
        // No caller: the customer pays the ij price, the carrier by its contract charges intrastate.
        (None, None, Jurisdiction::Indeterminate, "0.0250", "0.0050", "NY"),
    ] {
        let parties = Parties { lrn, ..Parties::to("12125550100") };
        let parties = a.map_or(parties, |a| parties.from(number(a)));
        let sale = plan.routing.sell("shop", &parties, at());
        assert_eq!((sale.geography.jurisdiction, sale.geography.b_state), (jurisdiction, state));
        assert_eq!(format_rate(sold(&sale).rate_e12), sell);
        let query = RouteQuery { account: "shop", trunk: TrunkIx(0), parties: &parties, dest_group: "", at_us: at(), emergency: false, codec_class: Default::default(), revenue: None, draw_e6: 0, shut: &[] };
        let routes = plan.routing.routes(&query);
        let chosen = routes.routes[0].cost.clone().expect("a price");
        assert_eq!(format_rate(chosen.rate_e12), cost);
        assert_eq!(plan.routing.cost(routes.routes[0].carrier, &parties, at()), Some(chosen), "the answer's row is the route's");
    }
}

#[test]
fn r_20_every_account_above_pays_by_its_own_deck() {
    let plan = plan();
    let sale = plan.routing.sell("shop", &Parties::to("33142345678").from(number("31201234567")), at());
    assert_eq!(format_rate(sold(&sale).rate_e12), "0.0500");
    let tiers: Vec<_> = sale.tiers.iter().map(|t| (t.account.as_str(), t.terms.as_ref().map(|t| format_rate(t.rate_e12)))).collect();
    assert_eq!(tiers, [("acme", Some("0.0300".to_owned()))]);
    // A destination the account above cannot buy is not sold below it either.
    let mut without = registry();
    let sheet = format!("{HEADER}\n44,UK,0.0100,0,6,6,,,,,\n");
    let spec = json!({ "csv": sheet });
    let parsed: control::Deck = read(Kind::Deck, "wholesale", &spec).expect("a deck");
    without.decks.insert("wholesale".to_owned(), compile_deck("wholesale", &parsed, sheet.as_bytes()).expect("a sheet"));
    let plan = without.compile(1).expect("a plan");
    assert_eq!(plan.routing.sell("shop", &Parties::to("33142345678"), at()).sell, Sell::None);
}

#[test]
fn r_27_surcharges_and_origin_rows_are_in_the_terms_of_their_leg() {
    let plan = plan();
    let of = |parties: &Parties<'_>| {
        let sale = plan.routing.sell("shop", parties, at());
        let terms = sold(&sale);
        let surcharge = terms.surcharges.first().map_or("-".to_owned(), |s| format_rate(s.per_minute_e12));
        let cost = plan.routing.cost(CarrierIx(0), parties, at()).map(|t| format_rate(t.rate_e12));
        (surcharge, terms.fees.len(), sale.geography.origin_group.to_owned(), cost.unwrap_or_default())
    };
    let to = Parties::to("33142345678");
    let want = |s: &str, fees, group: &str, cost: &str| (s.to_owned(), fees, group.to_owned(), cost.to_owned());
    assert_eq!(of(&to.from(number("31201234567"))), want("-", 0, "eea", "0.0100"));
    assert_eq!(of(&to.from(number("12125550101"))), want("0.2500", 1, "non-eea", "0.0200"));
    assert_eq!(of(&to), want("0.3000", 0, "invalid", "0.0200"));
}

#[test]
fn r_29_r_05_look_ups_are_fees_of_the_customers_leg_alone() {
    let plan = plan();
    let fees = |parties: &Parties<'_>| {
        let sale = plan.routing.sell("shop", parties, at());
        sold(&sale).fees.iter().map(|f| format!("{} {}", f.name, format_rate(f.amount_e12))).collect::<Vec<_>>()
    };
    assert_eq!(fees(&Parties { dipped: true, ..Parties::to("12125550100") }), ["lrn_dip 0.0003"]);
    assert_eq!(fees(&Parties { dipped: true, named: true, ..Parties::to("12125550100") }), ["lrn_dip 0.0003", "cnam_dip 0.0005"]);
    assert!(fees(&Parties::to("12125550100")).is_empty(), "an answer from memory is no look-up");
    assert_eq!(fees(&Parties::to("18005550100")), ["toll_free_query 0.0002"]);
    let cost = plan.routing.cost(CarrierIx(0), &Parties { dipped: true, ..Parties::to("12125550100") }, at()).expect("a price");
    assert!(cost.fees.is_empty());
}

#[test]
fn r_30_the_plan_gives_the_days_rate_and_no_other() {
    let plan = plan();
    let fx = plan.routing.fx("EUR", "USD", at()).expect("a rate");
    assert_eq!((fx.rate_e12, fx.source.as_str(), fx.date.as_str()), (1_165_000_000_000, "ecb", "2026-11-20"));
    assert_eq!(plan.routing.fx("EUR", "GBP", at()), None);
}

#[test]
fn what_documents_name_must_be_there() {
    let mut registry = registry();
    registry.documents.insert((Kind::Surcharge, "lost".to_owned()), json!({ "currency": "USD", "decks": ["nobody", "north"], "rows": [{ "origin_group": "no-such", "per_minute": "1" }] }));
    let problems: Vec<String> = registry.compile(1).err().into_iter().flatten().map(|p| p.to_string()).collect();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems.iter().any(|p| p.contains("there is no deck 'nobody'")) && problems.iter().any(|p| p.contains("'no-such'")), "{problems:#?}");
}

#[test]
fn r_22_contracts_and_tax_profiles_are_checked_before_anything_is_billed_by_them() {
    let with = |more: &[(Kind, &str, Value)]| {
        let mut registry = registry();
        for (kind, name, spec) in more {
            registry.documents.insert((*kind, (*name).to_owned()), spec.clone());
        }
        registry.compile(1).err().into_iter().flatten().map(|p| p.to_string()).collect::<Vec<_>>()
    };
    let contract = |account: &str, more: Value| {
        let mut spec = json!({ "account": account, "currency": "USD" });
        more.as_object().into_iter().flatten().for_each(|(key, value)| spec[key] = value.clone());
        spec
    };
    let right = [(Kind::Contract, "a", contract("acme", json!({ "until": "2026-04-01" }))), (Kind::Contract, "b", contract("acme", json!({ "from": "2026-04-01", "currency": "EUR" })))];
    assert_eq!(with(&right), [""; 0]);
    for (more, want) in [
        (vec![(Kind::Contract, "a", contract("nobody", json!({})))], "contract 'a', account: there is no account 'nobody'"),
        (vec![(Kind::Contract, "a", contract("acme", json!({}))), (Kind::Contract, "b", contract("acme", json!({})))], "contract 'b', from: account 'acme' has contract 'a' at the same time"),
        (vec![(Kind::Contract, "a", contract("acme", json!({ "commitment": "ten" })))], "contract 'a', commitment: "),
        (
            vec![(Kind::Account, "acme", json!({ "sell_deck": "wholesale", "credit_limit": "10" })), (Kind::Contract, "a", contract("acme", json!({ "currency": "EUR" })))],
            "contract 'a', currency: 'EUR': account 'acme' has its limit in USD",
        ),
        (
            vec![(Kind::Account, "acme", json!({ "sell_deck": "wholesale", "tax": { "seller_country": "NL", "places": [{ "country": "US", "share_pct": "40" }] } }))],
            "account 'acme', tax.places: their shares are 40 percent together: want 100",
        ),
    ] {
        let told = with(&more);
        assert!(told.len() == 1 && told[0].starts_with(want), "{want}: {told:#?}");
    }
}
