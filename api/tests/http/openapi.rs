//! `/openapi.json` is true: every route is in it, every answer has the shape it says.

use serde_json::{Value, json};
use tollgate_api::route::{Access, routes};
use tollgate_schemas::cdr::COLUMNS;

use crate::client::Server;

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => document.pointer(&path[1..]).unwrap_or_else(|| panic!("{path} is nowhere")),
        None => schema,
    }
}

/// The part of JSON Schema the document uses.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(document, schema);
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|s| resolve(document, s)["type"] != "null" || value.is_null());
        assert!(fits, "{at}");
        if !value.is_null() {
            check(document, &any[0], value, at);
        }
        return;
    }
    let is = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        other => panic!("{at}: type {other:?}"),
    };
    let fits = match &schema["type"] {
        Value::Array(names) => names.iter().any(is),
        one => is(one),
    };
    assert!(fits, "{at}: {value} is not {}", schema["type"]);
    if let (Some(names), Some(text)) = (schema["enum"].as_array(), value.as_str()) {
        assert!(names.iter().any(|n| n == text), "{at}: {text}");
    }
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str()) {
        tollgate_schemas::time::parse_rfc3339(text).unwrap_or_else(|e| panic!("{at}: {e}"));
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{at}[{i}]"));
    }
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(object.contains_key(name), "{at}: no {name} in {value}");
        }
        for (name, value) in object {
            let schema = properties.get(name).unwrap_or_else(|| panic!("{at}: {name} is not in the document"));
            check(document, schema, value, &format!("{at}.{name}"));
        }
    } else if let (Some(object), extra @ Value::Object(_)) = (value.as_object(), &schema["additionalProperties"]) {
        object.iter().for_each(|(name, value)| check(document, extra, value, &format!("{at}.{name}")));
    }
}

#[test]
fn the_document_has_every_route_and_the_router_every_path_of_the_document() {
    let server = Server::start();
    let document = server.get("", "/openapi.json").json();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let plain = path.replace("{call_uuid}", &server.fakes.id().to_string()).replace("{block_id}", "x").replace("{name}", "x").replace("{number}", "x-1").replace("{dispute_id}", &server.fakes.id().to_string());
        for method in methods.as_object().expect("methods").keys() {
            let reply = server.ask("", &method.to_ascii_uppercase(), &plain, None);
            assert!(!matches!(reply.status, 404 | 405), "{method} {path} is in the document, not in the router: {}", reply.status);
            operations += 1;
        }
        let patch = server.ask("", "PATCH", &plain, None);
        assert_eq!(patch.status, 405, "{path}");
        let allowed: Vec<String> = patch.header("allow").split(", ").filter(|m| !matches!(*m, "OPTIONS" | "HEAD")).map(str::to_ascii_lowercase).collect();
        let mut said: Vec<&String> = methods.as_object().expect("methods").keys().collect();
        let mut allowed: Vec<&String> = allowed.iter().collect();
        said.sort();
        allowed.sort();
        assert_eq!(said, allowed, "{path}: the router's own word for its methods");
    }
    assert_eq!(operations, routes().len());
    let ids: std::collections::BTreeSet<&str> = routes().iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids.len(), routes().len(), "operation ids are unique");
}

/// The parameters a route does not answer without.
fn needed(path: &str) -> &'static [&'static str] {
    match path {
        "/v1/route" => &["account=acme", "from=12025550100", "to=442079460000"],
        "/v1/accrual" => &["at=2026-04-01"],
        "/v1/decks/{name}/price" => &["number=442079460000"],
        _ => &[],
    }
}

#[test]
fn every_parameter_of_the_document_is_taken_and_every_reference_leads_somewhere() {
    let server = Server::start();
    server.furnish();
    let document = server.get("", "/openapi.json").json();
    for route in routes().iter().filter(|r| !r.path.contains('{') && r.verb.name() == "GET" && r.path != "/v1/stream") {
        for parameter in document["paths"][&route.path]["get"]["parameters"].as_array().expect("parameters") {
            let (name, schema) = (parameter["name"].as_str().expect("name"), &parameter["schema"]);
            let value = match (name, schema["enum"].as_array(), schema["items"]["enum"].as_array()) {
                ("cursor", ..) => continue,
                ("call_uuid", ..) => server.fakes.id().to_string(),
                ("since" | "until" | "at", ..) => "2026-01-01T00:00:00Z".to_owned(),
                (_, Some(names), _) | (_, _, Some(names)) => names[0].as_str().expect("name").to_owned(),
                _ => "1".to_owned(),
            };
            let rest: Vec<&str> = needed(&route.path).iter().copied().filter(|n| !n.starts_with(&format!("{name}="))).collect();
            let reply = server.get("admin", &format!("{}?{name}={value}&{}", route.path, rest.join("&")).trim_end_matches('&').to_owned());
            assert_eq!(reply.status, 200, "{} {name}={value}: {}", route.path, reply.body);
        }
    }
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(o) => o.iter().for_each(|(k, v)| if k == "$ref" { found.extend(v.as_str()) } else { walk(v, found) }),
            Value::Array(a) => a.iter().for_each(|v| walk(v, found)),
            _ => {}
        }
    }
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 100);
    references.iter().for_each(|r| assert!(document.pointer(&r[1..]).is_some(), "{r}"));
}

#[test]
fn answers_have_the_shape_the_document_says_for_operators_and_tenants() {
    let server = Server::start();
    let [acme, _] = server.furnish();
    let proposal = json!({ "deck": "acme-sell", "mode": "partial", "rows": "prefix" });
    let import = server.ask("admin", "POST", "/v1/deck-imports", Some(&proposal)).json()["import_id"].as_str().expect("id").to_owned();
    let document = server.get("", "/openapi.json").json();
    for route in routes().iter().filter(|r| r.verb.name() == "GET" && r.path != "/v1/stream") {
        let answer = &document["paths"][&route.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if answer.is_null() {
            continue;
        }
        let name = match route.path.split('/').nth(2) {
            Some("accounts") => "acme",
            Some("trunks") => "acme-1",
            Some("decks") => "acme-sell",
            Some("carriers") => "northtel",
            _ => "default",
        };
        let path = route.path.replace("/v1/calls/{call_uuid}", &format!("/v1/calls/{}", acme.call)).replace("{call_uuid}", &acme.cdr.to_string());
        let path = path.replace("{block_id}", &acme.block.to_string()).replace("{name}", name).replace("{import_id}", &import).replace("{number}", "2026-1");
        let path = match needed(&route.path) {
            [] => path,
            some => format!("{path}?{}", some.join("&")),
        };
        for key in ["admin", "acme"] {
            if key == "acme" && matches!(route.access, Access::Operator(_)) {
                continue;
            }
            let reply = server.get(key, &path);
            assert_eq!(reply.status, 200, "{path}: {}", reply.body);
            check(&document, answer, &reply.json(), &path);
        }
    }
    let placed = server.ask("admin", "POST", "/v1/blocks", Some(&json!({ "scope": { "ip": "192.0.2.7" }, "reason": "x" })));
    check(&document, &json!({ "$ref": "#/components/schemas/Block" }), &placed.json(), "POST /v1/blocks");
    let problem = server.get("admin", "/v1/cdrs?limit=0").json();
    check(&document, &json!({ "$ref": "#/components/schemas/Problem" }), &problem, "a problem");
    let put = server.ask("admin", "PUT", "/v1/decks/d", Some(&json!({}))).json();
    check(&document, &json!({ "$ref": "#/components/schemas/ControlAccepted" }), &put, "PUT");
}

#[test]
fn the_cdr_of_the_document_is_the_column_table() {
    let document = Server::start().get("", "/openapi.json").json();
    let cdr = &document["components"]["schemas"]["Cdr"];
    let names: Vec<&String> = cdr["properties"].as_object().expect("properties").keys().collect();
    assert_eq!(names, COLUMNS.iter().map(|c| c.name).collect::<Vec<_>>());
    assert_eq!(cdr["properties"]["answer_ts"]["type"], json!(["string", "null"]));
    let required = cdr["required"].as_array().expect("required");
    assert!(required.contains(&json!("sell_amount")) && !required.contains(&json!("cost_amount")));
}
