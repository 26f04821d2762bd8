//! `/v1/deck-imports` and what decks said when: `/v1/decks/{name}/price`, `…/versions`, `…/sheet`, `/v1/coverage`.

use axum::http::{StatusCode, header};
use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    ApiState,
    ask::Ask,
    ports::{Approval, NewImport, Problem},
    problem::Error,
    render,
    route::Reply,
};

const REASON_CHARS: usize = 256;
/// Columns a sheet may leave out, and what is told of each.
const MAX_LEFT_OUT: usize = 1_000;

pub(crate) fn imports(state: ApiState, ask: Ask) -> Reply {
    async move {
        let limit = ask.query.whole("limit", 100) as usize;
        let wanted = ask.query.text("state").unwrap_or("proposed").to_owned();
        let mut all = state.parts.decks.imports();
        all.retain(|i| wanted == "all" || i["state"] == wanted.as_str());
        // Ids are unique, and the list only grows at its front.
        if let Some(after) = ask.query.text("cursor") {
            let at = all.iter().position(|i| i["import_id"] == after).map_or(all.len(), |at| at + 1);
            all.drain(..at);
        }
        let more = all.len() > limit;
        all.truncate(limit);
        let next = all.last().filter(|_| more).and_then(|i| i["import_id"].as_str().map(str::to_owned));
        Ok(render::json_response(&render::list(all, next)))
    }
    .boxed()
}

pub(crate) fn import(state: ApiState, ask: Ask) -> Reply {
    async move {
        let found = state.parts.decks.import(ask.path.clone()).await?;
        let found = found.ok_or_else(|| Error::not_found("import", &ask.path))?;
        Ok(render::json_response(&found))
    }
    .boxed()
}

pub(crate) fn propose(state: ApiState, ask: Ask) -> Reply {
    async move {
        let import: NewImport = ask.json()?;
        let problem = |path: &str, message: &str| Err(Error::unprocessable(vec![Problem { path: path.to_owned(), message: message.to_owned() }]));
        for (name, text) in [("reason", &import.reason), ("file", &import.file), ("short_notice", import.short_notice.as_ref().unwrap_or(&String::new()))] {
            if text.chars().count() > REASON_CHARS {
                return problem(name, "more than 256 characters");
            }
        }
        if import.left_out.len() > MAX_LEFT_OUT || import.left_out.iter().any(|c| c.chars().count() > REASON_CHARS) {
            return problem("left_out", "more than 1000 columns, or one of more than 256 characters");
        }
        let dry_run = ask.query.is_true("dry_run");
        let import = NewImport { actor: ask.caller()?.id.clone(), dry_run, ..import };
        let told = state.parts.decks.propose(import).await?.map_err(Error::unprocessable)?;
        let mut response = render::json_response(&told);
        if !dry_run {
            *response.status_mut() = StatusCode::CREATED;
            let location = told["import_id"].as_str().and_then(|id| format!("/v1/deck-imports/{id}").parse().ok());
            if let Some(location) = location {
                response.headers_mut().insert(header::LOCATION, location);
            }
        }
        Ok(response)
    }
    .boxed()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Word {
    reason: String,
    short_notice: Option<String>,
}

pub(crate) fn approve(state: ApiState, ask: Ask) -> Reply {
    decide(state, ask, true).boxed()
}

pub(crate) fn reject(state: ApiState, ask: Ask) -> Reply {
    decide(state, ask, false).boxed()
}

async fn decide(state: ApiState, ask: Ask, approve: bool) -> Result<axum::response::Response, Error> {
    let word: Word = if ask.body.is_empty() { Word::default() } else { ask.json()? };
    for (path, said) in [("reason", &word.reason), ("short_notice", word.short_notice.as_ref().unwrap_or(&String::new()))] {
        if said.chars().count() > REASON_CHARS {
            return Err(Error::unprocessable(vec![Problem { path: path.to_owned(), message: "more than 256 characters".to_owned() }]));
        }
    }
    if !state.parts.decks.imports().iter().any(|i| i["import_id"] == ask.path.as_str()) {
        return Err(Error::not_found("import", &ask.path));
    }
    let approval = Approval { approve, actor: ask.caller()?.id.clone(), reason: word.reason, short_notice: word.short_notice.filter(|r| !r.trim().is_empty()) };
    let told = state.parts.decks.decide(ask.path.clone(), approval).await?.map_err(Error::unprocessable)?;
    Ok(render::json_response(&told))
}

pub(crate) fn price(state: ApiState, ask: Ask) -> Reply {
    async move {
        let Some(number) = ask.query.text("number") else { return Err(Error::bad_parameter("number", "is missing: want a number's digits")) };
        let now = state.now_us();
        let as_of = ask.query.time("as_of").unwrap_or(now);
        // What a past call cost is what was known then: a correction since does not change the answer.
        let known = ask.query.time("known_at").unwrap_or(as_of.min(now));
        let found = state.parts.decks.price(ask.path.clone(), number.to_owned(), as_of, known).await?;
        let found = found.ok_or_else(|| Error::not_found("deck, as known then,", &ask.path))?;
        Ok(render::json_response(&found))
    }
    .boxed()
}

pub(crate) fn versions(state: ApiState, ask: Ask) -> Reply {
    async move {
        let items: Option<Value> = state.parts.decks.versions(&ask.path);
        let items = items.ok_or_else(|| Error::not_found("deck", &ask.path))?;
        Ok(render::json_response(&json!({ "deck": ask.path, "items": items })))
    }
    .boxed()
}

pub(crate) fn sheet(state: ApiState, ask: Ask) -> Reply {
    async move {
        let known = ask.query.time("known_at").unwrap_or(state.now_us());
        let found = state.parts.decks.sheet(ask.path.clone(), known).await?;
        let found = found.ok_or_else(|| Error::not_found("deck, as known then,", &ask.path))?;
        Ok(render::typed("text/csv", found))
    }
    .boxed()
}

pub(crate) fn coverage(state: ApiState, ask: Ask) -> Reply {
    async move {
        let at = ask.query.time("at").unwrap_or(state.now_us());
        Ok(render::json_response(&state.parts.decks.coverage(at).await?))
    }
    .boxed()
}
