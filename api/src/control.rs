//! `/v1/accounts`, `/v1/trunks`, `/v1/carriers`, `/v1/decks` and the other kinds' folders: provisioning documents.

use axum::http::StatusCode;
use futures::FutureExt;
use serde_json::{Value, json};
use tollgate_schemas::name;

use crate::{
    ApiState,
    ask::Ask,
    auth::Key,
    ports::{Command, Decision, Document, Kind},
    problem::Error,
    render,
    route::Reply,
};

/// Levels of resale that are followed upwards; a hierarchy is no deeper.
const LEVELS: usize = 16;

/// The folder of a kind under `/v1`.
pub(crate) fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::NumberTable => "number_tables",
        Kind::OriginGroup => "origin_groups",
        Kind::Surcharge => "surcharges",
        Kind::NumberList => "number_lists",
        Kind::FxRate => "fx_rates",
        Kind::Tax => "taxes",
        Kind::Deck => "decks",
        Kind::FraudPolicy => "fraud_policies",
        Kind::Carrier => "carriers",
        Kind::RoutePolicy => "route_policies",
        Kind::Account => "accounts",
        Kind::Trunk => "trunks",
        Kind::Contract => "contracts",
    }
}

/// The kind a route is about, by its folder.
fn kind(ask: &Ask) -> Result<Kind, Error> {
    let folder_of = ask.route.path.split('/').nth(2).unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|k| folder(*k) == folder_of);
    kind.ok_or_else(|| Error::not_found("kind", folder_of))
}

pub(crate) fn list(state: ApiState, ask: Ask) -> Reply {
    async move {
        let (caller, kind) = (ask.caller()?, kind(&ask)?);
        let limit = ask.query.whole("limit", 100) as usize;
        let after = ask.query.text("cursor");
        let mut documents = state.parts.control.list(kind);
        documents.retain(|d| after.is_none_or(|a| d.name.as_str() > a) && may_see(&state, &caller, d));
        documents.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let more = documents.len() > limit;
        documents.truncate(limit);
        // A document's name is its place: it is stable, and no secret to who may see it.
        let next = documents.last().filter(|_| more).map(|d| d.name.clone());
        let items = documents.into_iter().map(|d| show(d, &caller)).collect();
        Ok(render::json_response(&render::list(items, next)))
    }
    .boxed()
}

pub(crate) fn one(state: ApiState, ask: Ask) -> Reply {
    async move {
        let (caller, kind) = (ask.caller()?, kind(&ask)?);
        let document = state.parts.control.get(kind, &ask.path).filter(|d| may_see(&state, &caller, d));
        let document = document.ok_or_else(|| Error::not_found(kind.name(), &ask.path))?;
        Ok(render::json_response(&show(document, &caller)))
    }
    .boxed()
}

fn show(mut document: Document, caller: &Key) -> Value {
    if let (false, Some(spec)) = (caller.sees_costs(), document.spec.as_object_mut()) {
        // Whom an account's calls may go to, and whether they may lose money, is the operator's business.
        for hidden in ["carriers", "margin_guard"] {
            spec.remove(hidden);
        }
    }
    json!({ "kind": document.kind, "name": document.name, "spec": document.spec })
}

/// A tenant sees its tree's accounts, their trunks and the decks they buy from.
fn may_see(state: &ApiState, caller: &Key, document: &Document) -> bool {
    let Some(tenant) = &caller.tenant else { return true };
    match document.kind {
        Kind::Account => is_in_tree(state, &document.name, tenant),
        Kind::Trunk => document.spec["account"].as_str().is_some_and(|a| is_in_tree(state, a, tenant)),
        Kind::Deck => state.parts.control.list(Kind::Account).iter().any(|a| {
            a.spec["sell_deck"].as_str() == Some(document.name.as_str()) && is_in_tree(state, &a.name, tenant)
        }),
        Kind::Carrier | Kind::FraudPolicy | Kind::RoutePolicy | Kind::NumberTable | Kind::OriginGroup | Kind::Surcharge | Kind::NumberList | Kind::FxRate | Kind::Tax | Kind::Contract => false,
    }
}

/// The top of an account's hierarchy; itself where nothing is known of it.
pub(crate) fn root(state: &ApiState, account: &str) -> String {
    let mut name = account.to_owned();
    for _ in 0..LEVELS {
        let parent = state.parts.control.get(Kind::Account, &name).and_then(|d| d.spec["parent"].as_str().map(str::to_owned));
        match parent {
            Some(parent) => name = parent,
            None => break,
        }
    }
    name
}

/// Whether an account exists and is `root` or below it.
pub(crate) fn is_in_tree(state: &ApiState, account: &str, root: &str) -> bool {
    let mut name = account.to_owned();
    for _ in 0..LEVELS {
        let Some(document) = state.parts.control.get(Kind::Account, &name) else { return false };
        match document.spec["parent"].as_str() {
            Some(parent) if name != root => name = parent.to_owned(),
            parent => return name == root && parent.is_none(),
        }
    }
    false
}

pub(crate) fn put(state: ApiState, ask: Ask) -> Reply {
    async move {
        let spec: Value = ask.json()?;
        if !spec.is_object() {
            let problem = crate::ports::Problem { path: String::new(), message: "want the spec as an object".to_owned() };
            return Err(Error::unprocessable(vec![problem]));
        }
        submit(&state, &ask, Some(spec)).await
    }
    .boxed()
}

pub(crate) fn remove(state: ApiState, ask: Ask) -> Reply {
    async move {
        let kind = kind(&ask)?;
        if state.parts.control.get(kind, &ask.path).is_none() {
            return Err(Error::not_found(kind.name(), &ask.path));
        }
        submit(&state, &ask, None).await
    }
    .boxed()
}

async fn submit(state: &ApiState, ask: &Ask, spec: Option<Value>) -> Result<axum::response::Response, Error> {
    let (caller, kind) = (ask.caller()?, kind(ask)?);
    if let Err(e) = name::check(&ask.path) {
        return Err(Error::unprocessable(vec![crate::ports::Problem { path: "name".to_owned(), message: e.to_string() }]));
    }
    let (dry_run, removed) = (ask.query.is_true("dry_run"), spec.is_none());
    let command = Command {
        kind,
        name: ask.path.clone(),
        spec,
        actor: caller.id.clone(),
        reason: ask.query.text("reason").unwrap_or_default().to_owned(),
        dry_run,
    };
    match state.parts.control.submit(command).await? {
        Decision::Refused { problems } => Err(Error::unprocessable(problems)),
        Decision::Accepted { position } => {
            let mut response = render::json_response(&json!({
                "kind": kind, "name": ask.path, "removed": removed, "dry_run": dry_run, "position": position,
            }));
            *response.status_mut() = StatusCode::OK;
            Ok(response)
        }
    }
}
