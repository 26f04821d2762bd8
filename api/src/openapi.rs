//! `/openapi.json`: made from the table of routes and the CDR's columns.

mod schemas;

use std::sync::LazyLock;

use futures::FutureExt;
use serde_json::{Map, Value, json};

use crate::{
    ApiState,
    ask::Ask,
    auth::Scope,
    render,
    route::{Access, Content, Form, Param, Reply, Route, Verb, routes},
};

static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub(crate) fn serve(_: ApiState, _: Ask) -> Reply {
    async move { Ok(render::typed("application/json", TEXT.as_str())) }.boxed()
}

/// The whole document (OpenAPI 3.1).
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let path = paths.entry(&route.path).or_insert_with(|| json!({}));
        path[route.verb.name().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Money is decimal text, times are RFC 3339 in UTC with six digits, durations say their unit in the \
                name. Fields about carriers, costs and margins are absent for keys that may not see them. Unknown parameters \
                are refused.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer" },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": crate::auth::COOKIE,
                    "description": "Begun with /login; changes need the header `x-tollgate: 1` too.",
                },
            },
            "schemas": schemas::all(),
            "responses": {
                "Problem": {
                    "description": "What is wrong",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| {
            let form = match name {
                "name" => Form::Name,
                "number" => Form::Text,
                _ => Form::Id,
            };
            json!({ "name": name, "in": "path", "required": true, "schema": form_schema(form) })
        })
        .collect();
    parameters.extend(route.params.iter().map(parameter));
    if route.verb == Verb::Post && route.access != Access::Open {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false, "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
            "description": idempotency_about(route),
        }));
    }
    let mut out = json!({
        "operationId": route.id,
        "summary": route.about,
        "tags": [route.path.split('/').nth(if route.path.starts_with("/v1/") { 2 } else { 1 }).filter(|t| route.path.starts_with("/v1/") && !t.is_empty()).unwrap_or("service")],
        "parameters": parameters,
        "responses": responses(route),
    });
    match route.access {
        Access::Open => out["security"] = json!([]),
        Access::Scoped(scope) => out["x-scope"] = scope_text(scope, false),
        Access::Operator(scope) => out["x-scope"] = scope_text(scope, true),
    }
    if let Some(takes) = route.takes {
        let schema = json!({ "schema": { "$ref": format!("#/components/schemas/{}", takes.schema) } });
        let mut content = json!({ "application/json": schema });
        if takes.or_form {
            content["application/x-www-form-urlencoded"] = schema;
        }
        // Ending a call needs no word; everything else says what it wants.
        out["requestBody"] = json!({ "required": takes.schema != "EndCall", "content": content });
    }
    out
}

/// How far a key carries: what goes into the log takes it along.
fn idempotency_about(route: &Route) -> &'static str {
    match route.id.as_str() {
        "postPayment" | "issueInvoice" | "issueNote" | "draftDispute" | "stepDispute" => {
            "The same key and request give the same answer, done once, for a day: over restarts and by whatever process"
        }
        _ => "The same key and request give the same answer, done once, for a day, by the process that was asked and until it is started again",
    }
}

fn scope_text(scope: Scope, operator: bool) -> Value {
    json!({ "scope": scope.name(), "operator_only": operator })
}

fn parameter(p: &Param) -> Value {
    let mut out = json!({ "name": p.name, "in": "query", "required": false, "description": p.about, "schema": form_schema(p.form) });
    if let Form::ListOf(_) = p.form {
        out["style"] = "form".into();
        out["explode"] = false.into();
    }
    out
}

fn form_schema(form: Form) -> Value {
    match form {
        Form::Text => json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        Form::Name => json!({ "type": "string", "pattern": "^[a-z0-9._-]{1,64}$" }),
        Form::Id => json!({ "type": "string", "format": "uuid" }),
        Form::Time => json!({ "type": "string", "format": "date-time" }),
        Form::Digits => json!({ "type": "string", "pattern": "^[0-9]{1,20}$" }),
        Form::Positions => json!({ "type": "string", "pattern": "^[0-9]+([.][0-9]+)*$", "maxLength": 4096 }),
        Form::Whole { from, to, default } => json!({ "type": "integer", "minimum": from, "maximum": to, "default": default }),
        Form::Bool => json!({ "type": "boolean", "default": false }),
        Form::OneOf(names) => json!({ "type": "string", "enum": names }),
        Form::ListOf(names) => json!({ "type": "array", "items": { "type": "string", "enum": names }, "uniqueItems": true, "minItems": 1 }),
    }
}

fn responses(route: &Route) -> Value {
    let reference = |schema: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } });
    let text = json!({ "schema": { "type": "string" } });
    let mut content = Map::new();
    match route.gives.content {
        Content::Nothing => {}
        Content::Json(schema) => drop(content.insert("application/json".to_owned(), reference(schema))),
        Content::JsonOr(schema, others) => {
            content.insert("application/json".to_owned(), reference(schema));
            content.extend(others.iter().map(|m| ((*m).to_owned(), text.clone())));
        }
        Content::Text(media_type) => drop(content.insert(media_type.to_owned(), text)),
    }
    let mut out = Map::new();
    let mut answer = json!({ "description": "Done" });
    if !content.is_empty() {
        answer["content"] = Value::Object(content);
    }
    out.insert(route.gives.status.to_string(), answer);
    for status in problems(route) {
        out.insert(status.to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    if route.path == "/readyz" {
        out.insert("503".to_owned(), json!({ "description": "Not ready", "content": { "application/json": reference("Readiness") } }));
    }
    if route.path == "/login" {
        out.insert("303".to_owned(), json!({ "description": "For a browser's form: back to the portal" }));
    }
    Value::Object(out)
}

/// The errors a route can answer.
fn problems(route: &Route) -> Vec<u16> {
    let mut out = vec![400];
    if route.access != Access::Open {
        out.extend([401, 403, 429, 500, 503]);
    }
    if route.path.contains('{') {
        out.push(404);
    }
    if route.takes.is_some() {
        out.extend([408, 413, 415, 422]);
    }
    if route.verb == Verb::Delete && route.path.ends_with("{name}") {
        out.push(422);
    }
    if route.verb == Verb::Post && route.access != Access::Open {
        out.push(409);
    }
    if route.path == "/login" {
        out.extend([401, 403, 503]);
    }
    out.sort_unstable();
    out
}
