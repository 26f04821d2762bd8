//! `/v1/cdrs`: pages, exports, and one call with its attempts.

use futures::FutureExt;
use serde_json::json;
use tollgate_schemas::{
    cdr,
    store::{CdrFilter, CdrQuery, RowKey},
};

use crate::{
    ApiState,
    ask::{Ask, Query},
    auth::Key,
    cursor::{self, Mark, Place},
    export::{self, Format},
    ports::FinanceVerb,
    problem::Error,
    render,
    route::Reply,
};

/// Attempts of one call that are shown; hunting is capped far below.
const ATTEMPTS: usize = 100;

pub(crate) fn list(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let filter = filter(&ask.query, &caller)?;
        let customer = ask.query.text("view") == Some("customer");
        let columns = if customer { render::customer_columns() } else { render::columns(&caller) };
        let sight = render::Sight::of(&caller, filter.payer.as_deref(), customer);
        let format = match ask.query.text("format") {
            Some("csv") => Some(Format::Csv),
            Some("jsonl") => Some(Format::JsonLines),
            _ => None,
        };
        if let Some(format) = format {
            if ask.query.text("cursor").is_some() {
                return Err(Error::bad_parameter("cursor", "an export has every row; leave it out"));
            }
            return export::cdrs(state.parts.cdrs.clone(), filter, render::Seen { columns, sight }, format).await;
        }
        let seen = render::Seen { columns, sight };
        let mark = Mark::of(&filter);
        let after = cursor::read(mark, ask.query.text("cursor"))?;
        let after = after.map(|p| RowKey { invite_us: p.us, call: p.id, attempt_no: p.attempt_no });
        let limit = ask.query.whole("limit", 100) as usize;
        // One more than asked for tells whether there is a next page.
        let mut rows = state.parts.cdrs.cdrs(CdrQuery { filter, after, limit: limit + 1 }).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).map(|r| RowKey::of(r));
        let next = last.map(|k| cursor::write(mark, Place { us: k.invite_us, id: k.call, attempt_no: k.attempt_no }));
        let items = rows.iter().filter_map(|r| seen.cdr(r)).collect();
        Ok(render::json_response(&render::list(items, next)))
    }
    .boxed()
}

pub(crate) fn one(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let call = ask.path_id("CDR")?;
        let seen = render::Seen { columns: render::columns(&caller), sight: render::Sight::of(&caller, None, false) };
        let of = |record_type: &str| CdrQuery {
            filter: CdrFilter {
                tenant: caller.tenant.clone(),
                record_type: record_type.to_owned(),
                call_uuid: Some(call),
                ..CdrFilter::default()
            },
            after: None,
            limit: ATTEMPTS,
        };
        let finals = state.parts.cdrs.cdrs(of(cdr::FINAL)).await?;
        let mut out = json!({ "final": finals.first().and_then(|r| seen.cdr(r)) });
        let mut found = !finals.is_empty();
        if caller.sees_costs() {
            let mut attempts = state.parts.cdrs.cdrs(of(cdr::ATTEMPT)).await?;
            attempts.sort_by_key(|a| a.attempt_no);
            found |= !attempts.is_empty();
            out["attempts"] = attempts.iter().filter_map(|r| seen.cdr(r)).collect();
        }
        if !found {
            return Err(Error::not_found("CDR", &ask.path));
        }
        Ok(render::json_response(&out))
    }
    .boxed()
}

/// The call's postings, with the balances of its accounts before and after each: a CDR cannot have them (C-098).
pub(crate) fn ledger(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let call = ask.path_id("CDR")?;
        let filter = CdrFilter { tenant: caller.tenant.clone(), record_type: cdr::FINAL.to_owned(), call_uuid: Some(call), ..CdrFilter::default() };
        let rows = state.parts.cdrs.cdrs(CdrQuery { filter, after: None, limit: 1 }).await?;
        let row = rows.first().ok_or_else(|| Error::not_found("CDR", &ask.path))?;
        let order = json!({
            "root_account": row.root_account,
            "account": row.account,
            "invite_us": row.invite_ts,
            "reservation": row.credit_reservation_id.as_deref().map(tollgate_schemas::id::Id::of),
            "tenant": caller.tenant,
        });
        match state.parts.finance.ask(FinanceVerb::CallLedger, &call.to_string(), order, &caller.id, None).await? {
            Some(Ok(answer)) => Ok(render::json_response(&answer)),
            Some(Err(problems)) => Err(Error::unprocessable(problems)),
            None => Err(Error::not_found("CDR", &ask.path)),
        }
    }
    .boxed()
}

/// The filter a request asks for, within what its key may see: attempts and carriers are the wholesale side, and
/// to filter by what one may not see would show it.
pub(crate) fn filter(query: &Query, caller: &Key) -> Result<CdrFilter, Error> {
    let (since_us, until_us) = query.span()?;
    let record_type = query.text("record_type").unwrap_or(cdr::FINAL).to_owned();
    if !caller.sees_costs() && (record_type != cdr::FINAL || query.text("carrier").is_some()) {
        return Err(Error::forbidden(format!("key '{}' does not see carriers: it has no scope 'costs'", caller.id)));
    }
    let payer = query.owned("payer");
    if let (Some(payer), Some(own)) = (&payer, &caller.tenant)
        && payer != own
    {
        return Err(Error::forbidden(format!("key '{}' sees what account '{own}' pays, not what '{payer}' does", caller.id)));
    }
    Ok(CdrFilter {
        // What it pays for is all its own, also where its account is in the middle of a tree.
        tenant: caller.tenant.clone().filter(|_| payer.is_none()),
        record_type,
        since_us,
        until_us,
        account: query.owned("account"),
        payer,
        resold: false,
        trunk: query.owned("trunk"),
        carrier: query.owned("carrier"),
        disposition: query.owned("disposition"),
        call_uuid: query.id("call_uuid"),
        sip_call_id_in: query.owned("sip_call_id_in"),
        a_number: query.owned("a_number"),
        b_number: query.owned("b_number"),
        as_of: query.text("as_of").map(|text| text.split('.').filter_map(|n| n.parse().ok()).collect()),
    })
}
