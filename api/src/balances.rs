//! `/v1/balances` and `/v1/payments`: what accounts owe, hold and may still spend, and money that comes in (FN-06 to FN-08).

use axum::http::StatusCode;
use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_schemas::{
    money::{AMOUNT_PLACES, format_amount, parse_scaled},
    name,
};

use crate::{
    ApiState,
    ask::Ask,
    control,
    idempotency,
    ports::{Document, Kind, NewPayment, Paid, Problem},
    problem::Error,
    render,
    route::Reply,
};

const REASON_CHARS: usize = 256;
const REFERENCE_CHARS: usize = 64;
pub(crate) const KINDS: [&str; 3] = ["payment", "adjustment", "deposit"];

pub(crate) fn list(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let (limit, after) = (ask.query.whole("limit", 100) as usize, ask.query.text("cursor"));
        let wanted = ask.query.text("account");
        let mut accounts = state.parts.control.list(Kind::Account);
        accounts.retain(|d| {
            after.is_none_or(|a| d.name.as_str() > a)
                && wanted.is_none_or(|w| d.name == w)
                && caller.tenant.as_deref().is_none_or(|tenant| control::is_in_tree(&state, &d.name, tenant))
        });
        accounts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let more = accounts.len() > limit;
        accounts.truncate(limit);
        let next = accounts.last().filter(|_| more).map(|d| d.name.clone());
        let items = accounts.iter().flat_map(|account| rows(&state, account)).collect();
        Ok(render::json_response(&render::list(items, next)))
    }
    .boxed()
}

/// One row for each currency an account has money in; its deck's own always.
fn rows(state: &ApiState, account: &Document) -> Vec<Value> {
    let root = control::root(state, &account.name);
    let own = currency(state, account);
    let mut money = state.parts.ledger.money(&root, &account.name);
    if !money.iter().any(|m| m.currency == own) {
        money.push(crate::ports::Money { currency: own.clone(), ..crate::ports::Money::default() });
    }
    money.sort_by(|a, b| (a.currency != own, &a.currency).cmp(&(b.currency != own, &b.currency)));
    let spec = &account.spec;
    let prepaid = spec["billing"].as_str() == Some("prepaid");
    let limit = spec["credit_limit"].as_str().and_then(|l| parse_scaled(l, AMOUNT_PLACES).ok()).or(prepaid.then_some(0));
    money
        .into_iter()
        .map(|m| {
            let exposure = m.owed_e8.saturating_add(m.held_e8).saturating_sub(m.deposits_e8);
            let limit = limit.filter(|_| m.currency == own);
            json!({
                "account": account.name,
                "root_account": root,
                "billing": if prepaid { "prepaid" } else { "postpaid" },
                "currency": m.currency,
                "balance": format_amount(m.owed_e8.saturating_neg()),
                "held": format_amount(m.held_e8),
                "deposits": format_amount(m.deposits_e8),
                "exposure": format_amount(exposure),
                "credit_limit": limit.map(format_amount),
                "available": limit.map(|l| format_amount(l.saturating_sub(exposure))),
            })
        })
        .collect()
}

fn currency(state: &ApiState, account: &Document) -> String {
    let deck = account.spec["sell_deck"].as_str().and_then(|deck| state.parts.control.get(Kind::Deck, deck));
    deck.and_then(|d| d.spec["currency"].as_str().map(str::to_owned)).unwrap_or_else(|| "USD".to_owned())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    account: String,
    #[serde(default)]
    amount: String,
    currency: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    reference: String,
}

pub(crate) fn pay(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let order: Order = ask.json()?;
        let mut problems = Vec::new();
        let mut say = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
        let account = state.parts.control.get(Kind::Account, &order.account);
        if let Err(e) = name::check(&order.account) {
            say("account", e.to_string());
        } else if account.is_none() {
            say("account", format!("there is no account '{}'", order.account));
        }
        let amount_e8 = parse_scaled(&order.amount, AMOUNT_PLACES).unwrap_or(0);
        if amount_e8 == 0 {
            say("amount", format!("'{}' is no amount: want a decimal with up to 8 places, not 0, as 25.00; what is taken back is negative", order.amount));
        }
        let kind = order.kind.as_deref().unwrap_or(KINDS[0]);
        if !KINDS.contains(&kind) {
            say("kind", format!("'{kind}' is none: want payment, adjustment or deposit"));
        }
        let own = account.as_ref().map(|a| currency(&state, a)).unwrap_or_default();
        let currency = order.currency.clone().unwrap_or_else(|| own.clone());
        let agreed = || state.parts.control.list(Kind::Contract).iter().any(|c| c.spec["account"] == order.account && c.spec["currency"] == currency);
        if account.is_some() && currency != own && !agreed() {
            say("currency", format!("'{currency}': the account's deck is in {own} and it has no contract in {currency}; amounts of two currencies never meet"));
        }
        match order.reason.trim() {
            "" => say("reason", "say why: it stays in the ledger".to_owned()),
            r if r.chars().count() > REASON_CHARS => say("reason", "longer than 256 characters".to_owned()),
            _ => {}
        }
        if order.reference.chars().count() > REFERENCE_CHARS {
            say("reference", "longer than 64 characters".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::unprocessable(problems));
        }
        let payment = NewPayment {
            root_account: control::root(&state, &order.account),
            account: order.account,
            kind: kind.to_owned(),
            amount_e8,
            currency,
            actor: format!("operator:{}", caller.id),
            reason: order.reason.trim().to_owned(),
            reference: order.reference,
            request: idempotency::request(&ask),
        };
        let (id, currency) = match state.parts.ledger.pay(payment.clone()).await? {
            Paid::Booked { id, currency } => (id, currency),
            Paid::KeyReused(detail) => return Err(idempotency::reused(&detail)),
            Paid::ReferenceUsed(first) => {
                let problem = Problem { path: "reference".to_owned(), message: first };
                return Err(Error { status: StatusCode::CONFLICT, kind: "reference-used", ..Error::unprocessable(vec![problem]) });
            }
            Paid::Refused(problems) => return Err(Error::unprocessable(problems)),
        };
        let mut response = render::json_response(&json!({
            "payment_id": id,
            "account": payment.account,
            "kind": payment.kind,
            "amount": format_amount(payment.amount_e8),
            "currency": currency,
            "actor": payment.actor,
            "reason": payment.reason,
            "reference": payment.reference,
        }));
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }
    .boxed()
}
