//! `/v1/alerts`: what the fraud stage has found, newest first, with what was done about it.

use futures::FutureExt;

use crate::{
    ApiState,
    ask::Ask,
    cursor::{self, Mark, Place},
    render,
    route::Reply,
    views::AlertFilter,
};

pub(crate) fn list(state: ApiState, ask: Ask) -> Reply {
    async move {
        let (since_us, until_us) = ask.query.span()?;
        let filter = AlertFilter {
            tenant: ask.caller()?.tenant.clone(),
            account: ask.query.owned("account"),
            severity: ask.query.owned("severity"),
            since_us,
            until_us,
        };
        let mark = Mark::of(&filter);
        let after = cursor::read(mark, ask.query.text("cursor"))?.map(|p| (p.us, p.id));
        let limit = ask.query.whole("limit", 100) as usize;
        let now = state.now_us();
        let mut alerts = state.parts.views.alerts(&filter, after, limit + 1, now);
        let more = alerts.len() > limit;
        alerts.truncate(limit);
        let last = alerts.last().filter(|_| more).map(|(a, _, _)| a.key());
        let next = last.map(|(us, id)| cursor::write(mark, Place { us, id, attempt_no: 0 }));
        let items = alerts.iter().map(|a| render::alert(a, now)).collect();
        Ok(render::json_response(&render::list(items, next)))
    }
    .boxed()
}
