//! `/v1/blocks`: what is blocked, blocking, and lifting.

use axum::http::StatusCode;
use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_schemas::{name, time::format_rfc3339, v1::BlockScope};

use crate::{
    ApiState,
    ask::Ask,
    auth::Key,
    control,
    cursor::{self, Mark, Place},
    ports::{LiftResult, NewBlock, Problem},
    problem::Error,
    render,
    route::Reply,
    views::{Block, BlockState},
};

/// Longest block with an end: a year.
pub(crate) const LONGEST_S: u64 = 366 * 24 * 3600;
const REASON_CHARS: usize = 256;

pub(crate) fn list(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let now = state.now_us();
        let wanted = ask.query.text("state").unwrap_or("active").to_owned();
        let account = ask.query.owned("account");
        let mark = Mark::of(&("blocks", &caller.tenant, &wanted, &account));
        let after = cursor::read(mark, ask.query.text("cursor"))?.map(|p| (p.us, p.id));
        let limit = ask.query.whole("limit", 100) as usize;
        let mut blocks = state.parts.views.blocks(|b| {
            may_see(&caller, b)
                && (wanted == "all" || b.state(now).name() == wanted)
                && account.as_deref().is_none_or(|a| b.scope.account == a)
                && after.is_none_or(|a| (b.placed_us, b.block_id) < a)
        });
        let more = blocks.len() > limit;
        blocks.truncate(limit);
        let last = blocks.last().filter(|_| more);
        let next = last.map(|b| cursor::write(mark, Place { us: b.placed_us, id: b.block_id, attempt_no: 0 }));
        let items = blocks.iter().map(|b| render::block(b, now)).collect();
        Ok(render::json_response(&render::list(items, next)))
    }
    .boxed()
}

pub(crate) fn one(state: ApiState, ask: Ask) -> Reply {
    async move {
        let (id, caller) = (ask.path_id("block")?, ask.caller()?);
        let block = state.parts.views.block(id).filter(|b| may_see(&caller, b));
        let block = block.ok_or_else(|| Error::not_found("block", &ask.path))?;
        Ok(render::json_response(&render::block(&block, state.now_us())))
    }
    .boxed()
}

fn may_see(caller: &Key, block: &Block) -> bool {
    caller.tenant.as_deref().is_none_or(|t| block.tenant() == t)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    scope: ScopeOrder,
    #[serde(default)]
    reason: String,
    expires_s: Option<u64>,
    #[serde(default)]
    teardown: bool,
    sip_code: Option<u16>,
    /// Also of names that nothing has yet.
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ScopeOrder {
    account: String,
    trunk: String,
    dest_group: String,
    a_number: String,
    b_number: String,
    b_prefix: String,
    ip: String,
    carrier: String,
    high_risk: bool,
    international: bool,
}

pub(crate) fn place(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let order: Order = ask.json()?;
        let problems = order.problems();
        if !problems.is_empty() {
            return Err(Error::unprocessable(problems));
        }
        confine(&state, &caller, &order.scope)?;
        let scope = order.scope.into_scope();
        if !order.force {
            let unknown = state.parts.blocks.unknown(scope.clone()).await?;
            if !unknown.is_empty() {
                return Err(Error::unprocessable(unknown));
            }
        }
        let block = NewBlock {
            scope,
            reason: order.reason.trim().to_owned(),
            expires_s: order.expires_s,
            teardown: order.teardown,
            sip_code: order.sip_code.unwrap_or(403),
            actor: caller.id.clone(),
        };
        let now = state.now_us();
        let id = state.parts.blocks.place(block.clone()).await?;
        let mut response = render::json_response(&placed(id, &block, now));
        *response.status_mut() = StatusCode::CREATED;
        if let Ok(location) = format!("/v1/blocks/{id}").parse() {
            response.headers_mut().insert(axum::http::header::LOCATION, location);
        }
        Ok(response)
    }
    .boxed()
}

/// The block just ordered: durable, though the views may not have read it yet.
fn placed(id: tollgate_schemas::id::Id, block: &NewBlock, now_us: i64) -> Value {
    let expires = block.expires_s.map(|s| format_rfc3339(now_us + s as i64 * 1_000_000));
    json!({
        "block_id": id,
        "state": BlockState::Active.name(),
        "placed_ts": format_rfc3339(now_us),
        "expires_ts": expires,
        "scope": render::scope(&block.scope),
        "actor": block.actor,
        "reason": block.reason,
        "rule": "",
        "sip_code": block.sip_code,
        "teardown": block.teardown,
        "evidence": [],
        "calls_refused": 0,
        "calls_ended": 0,
        "lifted_ts": null,
        "lifted_by": null,
        "lift_reason": null,
    })
}

impl Order {
    /// Every mistake at once.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut say = |path: &str, message: &str| problems.push(Problem { path: path.to_owned(), message: message.to_owned() });
        let scope = &self.scope;
        if scope.is_empty() {
            say("scope", "restricts nothing, so it would block every call; name at least one thing");
        }
        for (path, value) in [("scope.account", &scope.account), ("scope.trunk", &scope.trunk), ("scope.carrier", &scope.carrier)] {
            if let (false, Err(e)) = (value.is_empty(), name::check(value)) {
                say(path, &e.to_string());
            }
        }
        for (path, value) in [("scope.a_number", &scope.a_number), ("scope.b_number", &scope.b_number), ("scope.b_prefix", &scope.b_prefix)] {
            if value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
                say(path, "want up to 20 digits, without plus");
            }
        }
        if !scope.ip.is_empty() && scope.ip.parse::<std::net::IpAddr>().is_err() {
            say("scope.ip", "want one IP address");
        }
        if scope.dest_group.chars().count() > 128 {
            say("scope.dest_group", "longer than 128 characters");
        }
        match self.reason.trim() {
            "" => say("reason", "say why: it stays in the log"),
            r if r.chars().count() > REASON_CHARS => say("reason", "longer than 256 characters"),
            _ => {}
        }
        if self.expires_s.is_some_and(|s| !(1..=LONGEST_S).contains(&s)) {
            say("expires_s", "want 1 second to 366 days; leave it out for a block without end");
        }
        if self.sip_code.is_some_and(|c| !(400..=699).contains(&c)) {
            say("sip_code", "want 400 to 699");
        }
        problems
    }
}

impl ScopeOrder {
    fn is_empty(&self) -> bool {
        let texts = [
            &self.account, &self.trunk, &self.dest_group, &self.a_number, &self.b_number, &self.b_prefix, &self.ip, &self.carrier,
        ];
        texts.iter().all(|t| t.is_empty()) && !self.high_risk && !self.international
    }

    fn into_scope(self) -> BlockScope {
        BlockScope {
            account: self.account,
            trunk: self.trunk,
            dest_group: self.dest_group,
            a_number: self.a_number,
            b_number: self.b_number,
            b_prefix: self.b_prefix,
            ip: self.ip,
            carrier: self.carrier,
            high_risk: self.high_risk,
            international: self.international,
        }
    }
}

/// A tenant blocks its own accounts' calls only. An account of somebody else and one that does not exist look alike.
fn confine(state: &ApiState, caller: &Key, scope: &ScopeOrder) -> Result<(), Error> {
    let Some(tenant) = &caller.tenant else { return Ok(()) };
    let problem = |path: &str, message: &str| Err(Error::unprocessable(vec![Problem { path: path.to_owned(), message: message.to_owned() }]));
    if scope.account.is_empty() {
        return problem("scope.account", "your key is confined to an account's tree; name one of its accounts");
    }
    if !control::is_in_tree(state, &scope.account, tenant) {
        return problem("scope.account", "there is no such account");
    }
    if !scope.carrier.is_empty() {
        return problem("scope.carrier", "your key cannot block a carrier");
    }
    Ok(())
}

pub(crate) fn lift(state: ApiState, ask: Ask) -> Reply {
    async move {
        let (id, caller) = (ask.path_id("block")?, ask.caller()?);
        let known = state.parts.views.block(id);
        // An operator's block that the views have not read yet can be lifted; whose it is, only they know.
        if caller.tenant.is_some() && !known.is_some_and(|b| may_see(&caller, &b)) {
            return Err(Error::not_found("block", &ask.path));
        }
        let reason = ask.query.text("reason").unwrap_or("lifted through the API");
        match state.parts.blocks.lift(id, &caller.id, reason).await? {
            LiftResult::Unknown => Err(Error::not_found("block", &ask.path)),
            LiftResult::Lifted => Ok(render::json_response(&json!({ "block_id": id, "state": BlockState::Lifted.name() }))),
        }
    }
    .boxed()
}
