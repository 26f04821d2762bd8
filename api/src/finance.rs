//! `/v1/as_of`, `/v1/rerates`, `/v1/invoices`, `/v1/notes`, `/v1/disputes`: orders of finance, carried to the node.

use futures::FutureExt;
use serde_json::Value;

use crate::{ApiState, ask::Ask, ports::FinanceVerb, problem::Error, render, route::Reply};

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

fn carry(state: ApiState, ask: Ask, verb: FinanceVerb) -> Reply {
    async move {
        let caller = ask.caller()?;
        let order: Value = if ask.body.is_empty() { Value::Null } else { ask.json()? };
        let name = if verb == FinanceVerb::Documents { ask.query.text("account").unwrap_or_default() } else { ask.path.as_str() };
        match state.parts.finance.ask(verb, name, order, &caller.id).await? {
            Some(Ok(answer)) => Ok(render::json_response(&answer)),
            Some(Err(problems)) => Err(Error::unprocessable(problems)),
            None => Err(Error::not_found("document", &ask.path)),
        }
    }
    .boxed()
}
