use std::collections::BTreeSet;

use serde_json::json;
use tollgate_schemas::control;

use super::{super::{fields, tests::Folder}, *};

const SHEET: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,US,0.01,0,6,6,\n31,NL,0.02,0,1,1,\n";

fn told(folder: &Folder, problems: &[ConfigProblem]) -> Vec<String> {
    let prefix = format!("{}/", folder.0.display());
    problems.iter().map(|p| p.to_string().replace(&prefix, "")).collect()
}

#[test]
fn documents_come_in_the_order_of_their_kinds_with_sheets_taken_in() {
    let folder = Folder::new("order");
    folder.put("sell.csv", SHEET);
    let yaml = "kind: trunk\nname: t1\nspec: {account: acme, sources: [10.0.0.1]}\n---\nkind: account\nname: acme\nspec:\n  sell_deck: sell\n---\n\
                kind: deck\nname: sell\nspec:\n  file: sell.csv\n";
    let json = r#"{ "kind": "carrier", "name": "c1", "spec": { "addresses": ["10.0.0.9:5060"], "deck": "sell" } }"#;
    let files = [folder.put("a.yaml", yaml), folder.put("b.json", json)];
    let documents = read_documents(&files).expect("right");
    let found: Vec<(&str, &str, u64)> = documents.iter().map(|d| (d.kind.name(), d.name.as_str(), d.line)).collect();
    assert_eq!(found, [("deck", "sell", 10), ("carrier", "c1", 1), ("account", "acme", 5), ("trunk", "t1", 1)]);
    assert_eq!(documents[0].spec, json!({ "csv": SHEET }));
    assert_eq!(documents[0].deck.as_ref().map(|d| d.len()), Some(2));
    assert!(check_together(&documents).is_ok());
}

#[test]
fn every_mistake_of_documents_is_said_with_its_place() {
    let folder = Folder::new("mistakes");
    folder.put("bad.csv", "prefix,destination,rate,connect_fee,initial,increment,effective_from\n1,US,x,0,6,6,\n31,NL,0.02,0,1,0,\n");
    let yaml = "\
kind: trunks
name: Acme
spec:
  account: acme
  sources:
    - 10.0.0.1
    - 10.0.0.0/40
  chanels: 4
  cps: many
  dial:
    max_rate: 0.25
---
kind: fraud_policy
name: strict
spec:
  rules:
    - feature: spend
      critical: \"0\"
    - {feature: spent}
---
kind: deck
name: bad
spec:
  file: bad.csv
---
kind: acount
nmae: x
spec: []
---
kind: account
name: a
spec: {sell_deck: d}
---
kind: account
name: a
spec: {sell_deck: d}
";
    let problems = read_documents(&[folder.put("p.yaml", yaml), folder.0.join("gone.yaml")]).expect_err("mistakes");
    let found = told(&folder, &problems);
    let wanted = [
        ("p.yaml:2:7: ", "'Acme' is not a name"),
        ("p.yaml:7:7: ", "sources[1]"),
        ("p.yaml:8:3: ", "did you mean 'channels'?"),
        ("p.yaml:9:8: ", "want a whole number"),
        ("p.yaml:11:15: ", "is the number 0.25: put it in quotes"),
        ("p.yaml:19:17: ", "did you mean 'spend'?"),
        ("bad.csv:2: ", "rate"),
        ("bad.csv:3: ", "increment"),
        ("p.yaml:27:1: ", "did you mean 'name'?"),
        ("p.yaml:26:7: ", "did you mean 'account'?"),
        ("p.yaml:26:1: ", "the document has no name"),
        ("p.yaml:28:7: ", "spec is no set of fields"),
        ("gone.yaml: ", "cannot be read"),
        ("p.yaml:36:7: ", "is there already, at "),
    ];
    for (place, mend) in wanted {
        assert!(found.iter().any(|l| l.starts_with(place) && l.contains(mend)), "want {place}…{mend} in {found:#?}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn what_only_the_fraud_stage_knows_is_said_at_its_place() {
    let folder = Folder::new("fraud");
    let file = folder.put("p.yaml", "kind: fraud_policy\nname: strict\nspec:\n  rules:\n    - feature: spend\n      critical: \"0\"\n");
    let found = told(&folder, &read_documents(&[file]).expect_err("mistake"));
    assert!(found[0].starts_with("p.yaml:6:17: fraud_policy 'strict': rules[0].critical: "), "{found:#?}");
}

#[test]
fn yaml_that_cannot_be_read_is_said_with_its_place() {
    let folder = Folder::new("syntax-yaml");
    let cases = [("kind: account\nname: [a\nspec: {}\n", "p.yaml:"), ("kind: account\nkind: trunk\n", "p.yaml:1:1: "), ("", "p.yaml: holds no document"), ("- a\n", "p.yaml:1:1: is no document")];
    for (text, place) in cases {
        let found = told(&folder, &read_documents(&[folder.put("p.yaml", text)]).expect_err("mistake"));
        assert!(found.len() == 1 && found[0].starts_with(place), "{text:?}: {found:#?}");
    }
}

#[test]
fn what_a_document_names_must_be_there() {
    let folder = Folder::new("together");
    folder.put("sell.csv", SHEET);
    let yaml = "kind: deck\nname: sell\nspec: {file: sell.csv}\n---\nkind: account\nname: acme\nspec:\n  sell_deck: sell\n  carriers: [c9]\n---\n\
                kind: trunk\nname: t1\nspec:\n  account: acmee\n  sources: [10.0.0.1]\n";
    let documents = read_documents(&[folder.put("p.yaml", yaml)]).expect("right by themselves");
    let problems = check_together(&documents).map(drop).expect_err("mistakes");
    let found = told(&folder, &problems);
    assert!(found.iter().any(|l| l.starts_with("p.yaml:9:14: ") && l.contains("no carrier 'c9'")), "{found:#?}");
    assert!(found.iter().any(|l| l.starts_with("p.yaml:14:12: ") && l.contains("no account 'acmee'")), "{found:#?}");
}

#[test]
fn r_27_a_deck_for_callers_of_a_group_that_no_document_has_is_refused() {
    let folder = Folder::new("groups");
    folder.put("sell.csv", "prefix,destination,rate,connect_fee,initial,increment,effective_from,origin_group\n44,UK,0.9,0,1,1,,\n44,UK,0.7,0,1,1,,EEA\n44,UK,0.6,0,1,1,,Islands\n");
    let deck = "kind: deck\nname: sell\nspec: {file: sell.csv}\n";
    let found = told(&folder, &check_together(&read_documents(&[folder.put("p.yaml", deck)]).expect("right by itself")).map(drop).expect_err("mistake"));
    assert!(found.len() == 1 && found[0].starts_with("p.yaml:") && found[0].contains("1 rows are for callers of origin group 'islands'"), "{found:#?}");
    let group = format!("{deck}---\nkind: origin_group\nname: islands\nspec: {{members: [{{prefix: \"441534\"}}]}}\n");
    assert!(check_together(&read_documents(&[folder.put("p.yaml", &group)]).expect("right by themselves")).is_ok());
}

#[test]
fn r_14_a_deck_document_takes_a_converted_sheet_and_says_what_a_workbook_needs() {
    let folder = Folder::new("converted");
    let form = "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,interrate,intrarate,ijrate,route_class,origin_group,change,claimed,previous_rate,source,currency\n\
                44,UK,0.9,,1,1,2027-01-01T00:00:00Z,,,,,,,set,,,2,USD\n44,UK,,,1,1,2027-06-01T00:00:00Z,,,,,,,close,closed,,3,USD\n";
    folder.put("sell.csv", form);
    let read = |currency: &str, file: &str| read_documents(&[folder.put("p.yaml", &format!("kind: deck\nname: sell\nspec: {{file: {file}, currency: {currency}}}\n"))]);
    let documents = read("USD", "sell.csv").expect("right");
    let ends: Vec<bool> = documents[0].deck.iter().flat_map(|d| d.rows()).map(|r| r.effective_to_us().is_some()).collect();
    assert_eq!(ends, [true], "the closed code ends");
    assert!(told(&folder, &read("EUR", "sell.csv").expect_err("mistake"))[0].contains("the sheet is in USD, the document in EUR"));
    std::fs::write(folder.0.join("book.xlsx"), b"PK\x03\x04\xff\xfe").expect("file");
    assert!(told(&folder, &read("USD", "book.xlsx").expect_err("mistake"))[0].contains("is a workbook: `tollgate deck convert`"));
}

/// Property names of a part, sorted.
fn properties(part: &Value) -> BTreeSet<&str> {
    part["properties"].as_object().into_iter().flat_map(|p| p.keys()).map(String::as_str).collect()
}

#[test]
fn the_published_schema_has_every_field_of_every_kind() {
    let schema = schema::schema();
    let parts = &schema["$defs"];
    let types: [(&str, &[&str]); 19] = [
        ("deck", fields::names_of::<control::Deck>()),
        ("fraud_policy", fields::names_of::<control::FraudPolicy>()),
        ("carrier", fields::names_of::<control::Carrier>()),
        ("account", fields::names_of::<control::Account>()),
        ("trunk", fields::names_of::<control::Trunk>()),
        ("number_plan", fields::names_of::<control::NumberPlan>()),
        ("dial_policy", fields::names_of::<control::DialPolicy>()),
        ("carrier_timers", fields::names_of::<control::CarrierTimers>()),
        ("fraud_rule", fields::names_of::<control::FraudRule>()),
        ("tariff", fields::names_of::<control::Tariff>()),
        ("tariff_step", fields::names_of::<control::TariffStep>()),
        ("time_profile", fields::names_of::<control::TimeProfile>()),
        ("contract", fields::names_of::<control::Contract>()),
        ("bundle", fields::names_of::<control::Bundle>()),
        ("volume", fields::names_of::<control::Volume>()),
        ("volume_step", fields::names_of::<control::VolumeStep>()),
        ("short_call_policy", fields::names_of::<control::ShortCallPolicy>()),
        ("tax_profile", fields::names_of::<control::TaxProfile>()),
        ("tax_place", fields::names_of::<control::TaxPlace>()),
    ];
    for (part, names) in types {
        assert!(!names.is_empty(), "{part}");
        assert_eq!(properties(&parts[part]), names.iter().copied().collect(), "{part}");
    }
    assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(Kind::ALL.len()));
}

#[test]
fn the_published_schema_says_the_types_own_defaults() {
    let schema = schema::schema();
    let trunk = &schema["$defs"]["trunk"]["properties"];
    assert_eq!((&trunk["channels"]["default"], &trunk["emergency"]["default"]), (&json!(10), &json!(["112", "911", "999"])));
    assert_eq!(schema["$defs"]["dial_policy"]["properties"]["max_rate"]["default"], "0.25");
    assert_eq!(schema["$defs"]["fraud_policy"]["properties"]["rules"]["default"].as_array().map(Vec::len), Some(4));
    assert_eq!(schema["$defs"]["fraud_rule"]["properties"]["window_s"]["default"], 600);
}

/// What the schema lets pass, the type reads; what the type writes, the schema lets pass.
#[test]
fn the_published_schema_and_the_types_agree() {
    let schema = schema::schema();
    let right = |part: &str, value: Value| {
        let found = validate::validate(&schema, part, &value);
        assert!(found.is_empty(), "{part} {value}: {found:?}");
    };
    let sample = |part: &str| match part {
        "trunk" => json!({ "account": "a", "sources": ["10.0.0.0/8", "10.0.0.1:5060"] }),
        "carrier" => json!({ "addresses": ["10.0.0.1:5060"], "deck": "d", "channels": null, "advance_on": [404] }),
        "account" => json!({ "sell_deck": "d", "parent": null, "credit_limit": "10.50" }),
        "deck" => json!({ "csv": SHEET, "jurisdiction": { "indeterminate": "highest" }, "lookup_fees": { "lrn": "0.0003" }, "tariff": {
            "max_charge": "10", "at_max": "disconnect", "steps": [{ "after_s": 60, "rate_factor": "0.5" }],
            "profiles": [{ "name": "weekend", "deck": "cheap", "weekdays": ["sat", "sun"], "dates": ["2026-12-25"], "from": "18:00", "weight": -1 }],
        } }),
        "number_table" => json!({ "csv": "npanxx,state\n212555,NY\n" }),
        "origin_group" => json!({ "members": [{ "prefix": "44", "until": "2021-01-01" }] }),
        "surcharge" => json!({ "currency": "EUR", "rows": [{ "origin_group": "non-eea", "dest_group": "eea", "per_minute": "0.25", "legs": ["sell"] }] }),
        "number_list" => json!({ "list": "hot", "numbers": [{ "number": "+12125550100", "to": "12125550199", "from": "2026-01-01" }, { "number": "8816*" }] }),
        "fx_rate" => json!({ "source": "ecb", "rates": [{ "base": "EUR", "quote": "USD", "rate": "1.1650", "date": "2026-11-20" }] }),
        "tax" => json!({ "country": "US", "rows": [{ "code": "usf", "rate": "37.0", "base": "interstate", "resale_exempt": true }] }),
        "contract" => json!({ "account": "a", "currency": "EUR", "from": "2026-01-01", "commitment": "1000", "bundles": [{ "name": "uk", "minutes": 500, "prefixes": ["44"] }],
            "volumes": [{ "name": "all", "mode": "incremental", "basis": "minutes", "steps": [{ "from": 0, "rate": "0.01" }, { "from": 1000, "discount_pct": "10" }] }], "short_calls": {} }),
        "tax_profile" => json!({ "seller_country": "NL", "places": [{ "country": "US", "region": "TX", "lines": 3 }], "vat_id": null }),
        _ => json!({}),
    };
    for part in ["trunk", "carrier", "account", "deck", "fraud_policy"] {
        right(part, sample(part));
    }
    let full = |value: Result<Value, serde_json::Error>| value.expect("value");
    right("trunk", full(serde_json::from_value::<control::Trunk>(sample("trunk")).and_then(serde_json::to_value)));
    right("carrier", full(serde_json::from_value::<control::Carrier>(sample("carrier")).and_then(serde_json::to_value)));
    right("account", full(serde_json::from_value::<control::Account>(sample("account")).and_then(serde_json::to_value)));
    right("deck", full(serde_json::from_value::<control::Deck>(sample("deck")).and_then(serde_json::to_value)));
    right("number_table", full(serde_json::from_value::<control::NumberTable>(sample("number_table")).and_then(serde_json::to_value)));
    right("origin_group", full(serde_json::from_value::<control::OriginGroup>(sample("origin_group")).and_then(serde_json::to_value)));
    right("surcharge", full(serde_json::from_value::<control::Surcharge>(sample("surcharge")).and_then(serde_json::to_value)));
    right("number_list", full(serde_json::from_value::<control::NumberList>(sample("number_list")).and_then(serde_json::to_value)));
    right("fx_rate", full(serde_json::from_value::<control::FxRate>(sample("fx_rate")).and_then(serde_json::to_value)));
    right("contract", sample("contract"));
    right("contract", full(serde_json::from_value::<control::Contract>(sample("contract")).and_then(serde_json::to_value)));
    right("tax_profile", full(serde_json::from_value::<control::TaxProfile>(sample("tax_profile")).and_then(serde_json::to_value)));
    right("tax", full(serde_json::from_value::<control::Tax>(sample("tax")).and_then(serde_json::to_value)));
    right("route_policy", full(serde_json::to_value(control::RoutePolicy::default())));
    right("fraud_policy", full(serde_json::to_value(control::FraudPolicy::default())));
}

#[test]
fn wrong_values_of_every_form_are_found() {
    let schema = schema::schema();
    let found = |part: &str, value: Value| -> Vec<String> { validate::validate(&schema, part, &value).into_iter().map(|m| m.path).collect() };
    let trunk = json!({
        "account": "A", "sources": [], "channels": 0, "require_cli": "yes", "emergency": ["help"], "dial": { "allow": ["+44x"], "daily_spend": "-1" },
        "numbers": { "national_min": -1 },
    });
    assert_eq!(
        found("trunk", trunk),
        ["account", "sources", "channels", "require_cli", "emergency[0]", "dial.allow[0]", "dial.daily_spend", "numbers.national_min"]
    );
    let carrier = json!({ "addresses": ["10.0.0.1", "10.0.0.1:0"], "prefix": "x", "stop_on": [200], "timers": { "pdd_ms": 0 } });
    assert_eq!(found("carrier", carrier), ["addresses[0]", "addresses[1]", "prefix", "stop_on[0]", "timers.pdd_ms", ""]);
    assert_eq!(found("deck", json!({ "currency": "usd", "timezone": "Mars", "places": 9, "rounding": "off" })), ["currency", "timezone", "places", "rounding", ""]);
    assert_eq!(found("deck", json!({ "file": "a", "csv": "b" })), [""]);
}
