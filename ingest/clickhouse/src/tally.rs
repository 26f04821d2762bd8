//! Tallies: calls by party and class of calling number, and short ones among those that connected, from rows:
//! no rollup knows the length of a call or what its number was worth.

use tollgate_schemas::{
    cdr::ATTEMPT,
    store::{StoreError, TallyBy, TallyQuery, TallyRow},
};

use crate::{
    client::{Bound, Sql},
    migrate::broken,
    rowbinary::{Broken, Reader},
    scope::{self, Scope, TIMES},
    store::Inner,
};

impl Inner {
    /// One row for each party and class, in their order.
    pub async fn tally(&self, query: &TallyQuery) -> Result<Vec<TallyRow>, StoreError> {
        let scope = self.scope(&query.filter)?;
        let answer = scope.server.fetch(&report(&scope, query)).await?;
        let mut rows = Vec::new();
        let mut from = Reader(&answer);
        while !from.is_empty() {
            rows.push(row(&mut from).map_err(broken)?);
        }
        rows.sort_unstable_by(|a, b| (&a.party, &a.root_account, &a.a_validity).cmp(&(&b.party, &b.root_account, &b.a_validity)));
        Ok(rows)
    }
}

fn report(scope: &Scope, query: &TallyQuery) -> Sql {
    let (party, root) = match query.by {
        TallyBy::Account => ("account", "toString(root_account)"),
        TallyBy::Carrier => ("carrier", "''"),
    };
    let delivered = if query.filter.record_type == ATTEMPT { "true" } else { "attempts_total > 0" };
    let mut sql = Sql::new("WITH greatest(count, 1) AS calls, isNotNull(answer_ts)");
    if let Some((from, until)) = query.answered_us {
        let at = |us: i64| us.clamp(*TIMES.start(), *TIMES.end() + 1);
        sql.push(" AND ifNull(answer_ts >= ");
        scope::time(&mut sql, at(from));
        sql.push(" AND answer_ts < ");
        scope::time(&mut sql, at(until));
        sql.push(", false)");
    }
    sql.push(&format!(
        " AS connected SELECT toString({party}) AS g_party, {root} AS g_root, toString(a_validity) AS g_validity, \
         sum(calls), sumIf(calls, {delivered}), countIf(connected), countIf(connected AND duration_ms <= "
    ));
    sql.bind(Bound::UInt(query.short_ms)).push(")").append(&scope.current(&scope.times()));
    sql.push(" AND NOT test_call GROUP BY g_party, g_root, g_validity");
    sql
}

fn row(from: &mut Reader<'_>) -> Result<TallyRow, Broken> {
    let mut text = || from.text().map(str::to_owned);
    let (party, root_account, a_validity) = (text()?, text()?, text()?);
    let mut natural = || from.u64();
    Ok(TallyRow { party, root_account, a_validity, calls: natural()?, delivered: natural()?, connected: natural()?, short: natural()? })
}
