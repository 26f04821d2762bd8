//! `/v1/reports/short-calls`: what customers and carriers have of short calls. What is a breach, and its fee, is rating's
//! to say: the node answers, as it does for invoices.

use futures::FutureExt;
use serde_json::{Map, Value, json};
use tollgate_schemas::time::format_rfc3339;

use super::{csv_of, period};
use crate::{ApiState, ask::Ask, ports::FinanceVerb, problem::Error, render, route::Reply};

const DENOMINATOR: &str = "connected calls, by the time of their answer; test calls are in neither figure";
const FIGURES: [&str; 7] = ["connected", "short", "short_pct", "allowed", "judged", "excess", "breach"];
/// Of the contract, as columns of a line.
const CONTRACT: [&str; 12] =
    ["contract", "max_s", "allowance_pct", "min_calls", "charge", "fee_per_call", "connected", "short", "excess", "fee", "currency", "note"];

pub(crate) fn report(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let query = &ask.query;
        let (since, until) = period(query, state.now_us())?;
        let by_carrier = query.text("by") == Some("carrier");
        if (by_carrier || query.text("carrier").is_some()) && !caller.sees_costs() {
            return Err(Error::forbidden(format!("key '{}' does not see carriers: it has no scope 'costs'", caller.id)));
        }
        let order = json!({
            "tenant": caller.tenant,
            "by_carrier": by_carrier,
            "since_us": since,
            "until_us": until,
            "account": query.text("account"),
            "carrier": query.text("carrier"),
            "max_s": query.whole("max_s", 6),
            "allowance_pct": query.whole("allowance_pct", 15),
            "min_calls": query.whole("min_calls", 200),
        });
        let mut answer = match state.parts.finance.ask(FinanceVerb::ShortCalls, "", order, &caller.id, None).await? {
            Some(Ok(answer)) => answer,
            Some(Err(problems)) => return Err(Error::unprocessable(problems)),
            None => return Err(Error::not_found("report", "short-calls")),
        };
        if query.text("format") == Some("csv") {
            return Ok(csv(by_carrier, &answer));
        }
        answer["since"] = format_rfc3339(since).into();
        answer["until"] = format_rfc3339(until).into();
        answer["denominator"] = DENOMINATOR.into();
        answer["next_cursor"] = Value::Null;
        Ok(render::json_response(&answer))
    }
    .boxed()
}

fn csv(by_carrier: bool, answer: &Value) -> axum::response::Response {
    let contract: Vec<String> = CONTRACT.iter().map(|name| if *name == "contract" { (*name).to_owned() } else { format!("contract_{name}") }).collect();
    let mut columns = if by_carrier { vec!["carrier"] } else { vec!["account", "root_account"] };
    columns.extend(FIGURES);
    if !by_carrier {
        columns.extend(contract.iter().map(String::as_str));
    }
    let flat = |item: &Value| {
        let mut line: Map<String, Value> = item.as_object().cloned().unwrap_or_default();
        let of_contract = line.remove("contract").unwrap_or_default();
        line.extend(CONTRACT.iter().zip(&contract).map(|(name, column)| (column.clone(), of_contract[*name].clone())));
        line
    };
    let items: Vec<Map<String, Value>> = answer["items"].as_array().into_iter().flatten().map(flat).collect();
    csv_of(&columns, &items, "attachment; filename=\"short-calls.csv\"")
}
