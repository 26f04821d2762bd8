//! Lists of rows. The order of lists is by time over all tenants, the table's is by tenant first: so a page is looked for
//! in a window of time at the newest end, a larger one before it when that held too few, and so on. Within a window the keys
//! of the page are found first, on few columns; the other hundred are read for those rows alone.

use std::sync::Arc;

use tollgate_schemas::{
    cdr::Cdr,
    store::{CdrQuery, StoreError},
};

use crate::{
    client::Sql,
    migrate::broken,
    rowbinary::{self, Reader},
    scope::{self, CHAIN, NEWEST_FIRST, Scope},
    store::Inner,
};

/// Pages from here on read their rows at once: so many keys are no index.
const MANY: usize = 20_000;
/// A window is at least so long, and each further one so many times longer.
const LEAST_US: i64 = 60_000_000;
const GROWTH: i64 = 8;
/// Rows of a window hoped for, for each row of the page: most filters leave some out.
const SLACK: u128 = 8;

impl Inner {
    pub async fn cdrs(&self, query: &CdrQuery) -> Result<Vec<Arc<Cdr>>, StoreError> {
        let scope = self.scope(&query.filter)?;
        let mut page: Vec<Arc<Cdr>> = Vec::new();
        if query.limit == 0 {
            return Ok(page);
        }
        let mut until = scope.until_us;
        if let Some(after) = query.after {
            until = until.min(after.invite_us.saturating_add(1));
        }
        if scope.since_us >= until {
            return Ok(page);
        }
        if Scope::is_narrow(&query.filter) || query.limit >= MANY {
            return self.page(&scope, query, query.limit, (scope.since_us, until)).await;
        }
        let Some(held) = self.held(&scope).await? else { return Ok(page) };
        let since = scope.since_us.max(held.first_us);
        until = until.min(held.last_us.saturating_add(1));
        let span = held.last_us - held.first_us + 1;
        let hoped = (span as u128) * (query.limit as u128 * SLACK) / u128::from(held.rows.max(1));
        let mut window = i64::try_from(hoped).unwrap_or(i64::MAX).max(LEAST_US);
        while until > since && page.len() < query.limit {
            let from = until.saturating_sub(window).max(since);
            page.extend(self.page(&scope, query, query.limit - page.len(), (from, until)).await?);
            until = from;
            window = window.saturating_mul(GROWTH);
        }
        Ok(page)
    }

    async fn page(&self, scope: &Scope, query: &CdrQuery, limit: usize, times: (i64, i64)) -> Result<Vec<Arc<Cdr>>, StoreError> {
        let columns = rowbinary::columns();
        let mut wanted = scope.current(&[times]);
        if let Some(after) = query.after {
            wanted.append(&scope::older_than(after));
        }
        wanted.push(&format!(" ORDER BY {NEWEST_FIRST} LIMIT {limit}"));
        let sql = if limit >= MANY {
            let mut sql = Sql::new(format!("SELECT {columns}"));
            sql.append(&wanted);
            sql
        } else {
            let key = format!("root_account, invite_ts, {CHAIN}, cdr_version");
            let mut sql = Sql::new(format!("SELECT {columns} FROM cdr"));
            sql.append(&scope.kind_and_tenant()).push(&format!(" AND ({key}) IN (SELECT {key}")).append(&wanted);
            // A row that came twice and is not merged yet stands here twice.
            sql.push(&format!(") ORDER BY {NEWEST_FIRST} LIMIT 1 BY {CHAIN}"));
            sql
        };
        let answer = scope.server.fetch(&sql).await?;
        let rows = rowbinary::decode(&answer).map_err(broken)?;
        Ok(rows.into_iter().map(Arc::new).collect())
    }

    /// The reach of the table; answered from what parts know of themselves.
    async fn held(&self, scope: &Scope) -> Result<Option<Held>, StoreError> {
        let text = "SELECT count(), reinterpretAsInt64(min(invite_ts)), reinterpretAsInt64(max(invite_ts)) FROM cdr";
        let answer = scope.server.fetch(&Sql::new(text)).await?;
        let mut from = Reader(&answer);
        let rows = from.u64().map_err(broken)?;
        let (first_us, last_us) = (from.i64().map_err(broken)?, from.i64().map_err(broken)?);
        Ok((rows > 0).then_some(Held { rows, first_us, last_us }))
    }
}

struct Held {
    rows: u64,
    first_us: i64,
    last_us: i64,
}
