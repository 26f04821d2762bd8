//! `/v1/as_of`, `/v1/rerates`, `/v1/invoices`, `/v1/notes`, `/v1/statements`, `/v1/ageing`, `/v1/accrual`, `/v1/netting`, `/v1/disputes`: orders of finance, carried to the node.

use futures::FutureExt;
use serde_json::Value;

use crate::{
    ApiState,
    ask::Ask,
    idempotency,
    ports::{FinanceVerb, KEY_REUSED},
    problem::Error,
    render,
    route::Reply,
};

pub(crate) fn as_of(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::AsOf)
}

pub(crate) fn rerate(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Rerate)
}

pub(crate) fn invoice(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Invoice)
}

pub(crate) fn invoices(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Documents)
}

pub(crate) fn one(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Document)
}

pub(crate) fn note(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Note)
}

pub(crate) fn disputes(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Disputes)
}

pub(crate) fn dispute(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Dispute)
}

pub(crate) fn step(state: ApiState, ask: Ask) -> Reply {
    carry(state, ask, FinanceVerb::Step)
}

pub(crate) fn statement(state: ApiState, ask: Ask) -> Reply {
    query(state, ask, FinanceVerb::Statement, &["account", "since", "until", "timezone", "currency"])
}

pub(crate) fn ageing(state: ApiState, ask: Ask) -> Reply {
    query(state, ask, FinanceVerb::Ageing, &["account", "at", "timezone"])
}

pub(crate) fn accrual(state: ApiState, ask: Ask) -> Reply {
    query(state, ask, FinanceVerb::Accrual, &["at", "timezone", "account", "currency"])
}

pub(crate) fn netting(state: ApiState, ask: Ask) -> Reply {
    query(state, ask, FinanceVerb::Netting, &["account", "carrier", "payable", "currency"])
}

/// A question whose parameters are the order.
fn query(state: ApiState, ask: Ask, verb: FinanceVerb, params: &'static [&'static str]) -> Reply {
    async move {
        let caller = ask.caller()?;
        let given = params.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(ask.query.text(name)?))));
        match state.parts.finance.ask(verb, "", Value::Object(given.collect()), &caller.id, None).await? {
            Some(Ok(answer)) => Ok(render::json_response(&answer)),
            Some(Err(problems)) => Err(Error::unprocessable(problems)),
            None => Err(Error::not_found("account", "")),
        }
    }
    .boxed()
}

fn carry(state: ApiState, ask: Ask, verb: FinanceVerb) -> Reply {
    async move {
        let caller = ask.caller()?;
        let order: Value = if ask.body.is_empty() { Value::Null } else { ask.json()? };
        let name = if verb == FinanceVerb::Documents { ask.query.text("account").unwrap_or_default() } else { ask.path.as_str() };
        match state.parts.finance.ask(verb, name, order, &caller.id, idempotency::request(&ask)).await? {
            Some(Ok(answer)) => Ok(render::json_response(&answer)),
            Some(Err(problems)) if problems.iter().any(|p| p.path == KEY_REUSED) => Err(idempotency::reused(&problems[0].message)),
            Some(Err(problems)) => Err(Error::unprocessable(problems)),
            None => Err(Error::not_found("document", &ask.path)),
        }
    }
    .boxed()
}
