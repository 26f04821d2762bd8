//! The one place that says which rows a query may see. Lists, reports and rollups get their `FROM … WHERE` from a [`Scope`],
//! and a `Scope` is made from a whole filter only: no method of the store can leave the tenant out.

use tollgate_schemas::{
    cdr::{ATTEMPT, FINAL},
    id::Id,
    store::{CdrFilter, RowKey, StoreError},
    tiers,
};

use crate::{
    client::{Bound, Server, Sql},
    migrate::TENANT_SETTING,
};

/// What `DateTime64(6)` holds: years 1900 to 2299.
pub const TIMES: std::ops::RangeInclusive<i64> = -2_208_988_800_000_000..=10_413_791_999_999_999;

/// Identity but the version, and the version.
pub const CHAIN: &str = "call_hi, call_lo, attempt_no";
pub const NEWEST_FIRST: &str = "invite_ts DESC, call_hi DESC, call_lo DESC, attempt_no DESC";

#[derive(Clone)]
pub struct Scope {
    /// Asks with the tenant as a setting, for the row policies.
    pub server: Server,
    /// Conditions that hold for a row whatever its version.
    tenant: Sql,
    kind: String,
    /// The filter's, without times.
    narrow: Sql,
    /// ` AND …`: the row was there then; empty = as it stands.
    visible: Sql,
    pub since_us: i64,
    /// Not included.
    pub until_us: i64,
}

impl Scope {
    /// `fenced`: row policies are in force.
    pub fn of(server: &Server, fenced: bool, filter: &CdrFilter) -> Result<Scope, StoreError> {
        // Named in full so that a new condition cannot be forgotten here.
        let CdrFilter {
            tenant,
            record_type,
            since_us,
            until_us,
            account,
            payer,
            resold,
            trunk,
            carrier,
            disposition,
            call_uuid,
            sip_call_id_in,
            a_number,
            b_number,
            as_of,
        } = filter;
        if record_type != FINAL && record_type != ATTEMPT {
            return Err(StoreError::BadQuery(format!("record_type '{record_type}' is neither 'final' nor 'attempt'")));
        }
        let mut narrow = Sql::default();
        let equal = [
            ("account", account),
            ("trunk", trunk),
            ("carrier", carrier),
            ("disposition", disposition),
            ("sip_call_id_in", sip_call_id_in),
            ("a_number_e164", a_number),
            ("b_number_e164", b_number),
        ];
        for (name, value) in equal {
            if let Some(value) = value {
                narrow.push(&format!(" AND {name} = ")).bind(Bound::Text(value.clone()));
            }
        }
        if let Some(payer) = payer {
            narrow.push(" AND (account = ").bind(Bound::Text(payer.clone())).push(" OR position(tier_amounts, ").bind(Bound::Text(tiers::mark(payer))).push(") > 0)");
        }
        if *resold {
            narrow.push(" AND tier_amounts != ''");
        }
        if let Some(id) = call_uuid {
            let (hi, lo) = halves(*id);
            narrow.push(" AND call_hi = ").bind(Bound::UInt(hi)).push(" AND call_lo = ").bind(Bound::UInt(lo));
        }
        let server = match (fenced, tenant) {
            (false, _) => server.clone(),
            (true, tenant) => server.clone().with(TENANT_SETTING, tenant.as_deref().unwrap_or("")),
        };
        Ok(Scope {
            server,
            tenant: tenant_condition(tenant.as_deref()),
            kind: record_type.clone(),
            narrow,
            visible: visible(as_of.as_deref()),
            since_us: since_us.unwrap_or(*TIMES.start()).clamp(*TIMES.start(), *TIMES.end() + 1),
            until_us: until_us.unwrap_or(*TIMES.end() + 1).clamp(*TIMES.start(), *TIMES.end() + 1),
        })
    }

    /// ` WHERE …`: the tenant's rows of this kind.
    pub fn kind_and_tenant(&self) -> Sql {
        let mut sql = Sql::new(" WHERE record_type = ");
        sql.bind(Bound::Text(self.kind.clone())).append(&self.tenant);
        sql
    }

    /// ` FROM cdr FINAL WHERE …`: current rows that meet the filter, in the times given instead of the filter's own.
    pub fn current(&self, times: &[(i64, i64)]) -> Sql {
        let mut sql = Sql::new(" FROM cdr FINAL");
        sql.append(&self.kind_and_tenant()).append(&self.narrow).push(" AND (");
        for (i, (since, until)) in times.iter().enumerate() {
            sql.push(if i == 0 { "(invite_ts >= " } else { " OR (invite_ts >= " });
            time(&mut sql, *since);
            sql.push(" AND invite_ts < ");
            time(&mut sql, *until);
            sql.push(")");
        }
        sql.push(if times.is_empty() { "false)" } else { ")" });
        self.is_current(&mut sql);
        sql
    }

    /// Versions of one row may differ in everything but the call, the kind and the attempt; in time and account too. So
    /// the few rows that have a second version are looked up by those alone (whoever's they are: nothing of them is
    /// shown), in the same snapshot of the table.
    fn is_current(&self, sql: &mut Sql) {
        let mut revised = Sql::new(" FROM cdr WHERE record_type = ");
        revised.bind(Bound::Text(self.kind.clone())).push(" AND cdr_version > 1").append(&self.visible);
        sql.append(&self.visible);
        sql.push(&format!(" AND (cdr_version = 1 AND ({CHAIN}) NOT IN (SELECT {CHAIN}")).append(&revised);
        sql.push(&format!(") OR cdr_version > 1 AND ({CHAIN}, cdr_version) IN (SELECT {CHAIN}, max(cdr_version)")).append(&revised);
        sql.push(&format!(" GROUP BY {CHAIN}))"));
    }

    /// ` AND …`, for the rollups, which have both columns too.
    pub fn tenant(&self) -> &Sql {
        &self.tenant
    }

    pub fn times(&self) -> Vec<(i64, i64)> {
        if self.since_us < self.until_us { vec![(self.since_us, self.until_us)] } else { Vec::new() }
    }

    /// Whether an index leads to the few rows there can be, or a column has to be read.
    pub fn is_narrow(filter: &CdrFilter) -> bool {
        filter.call_uuid.is_some() || filter.sip_call_id_in.is_some() || filter.a_number.is_some() || filter.b_number.is_some()
    }
}

/// FN-12: rows whose last event lies before the position of its partition.
fn visible(as_of: Option<&[u64]>) -> Sql {
    let mut sql = Sql::default();
    if let Some(as_of) = as_of {
        sql.push(" AND partition < ").bind(Bound::UInt(as_of.len() as u64)).push(" AND event_last_offset < arrayElement(");
        sql.bind(Bound::UInts(as_of.to_vec())).push(", partition + 1)");
    }
    sql
}

fn tenant_condition(tenant: Option<&str>) -> Sql {
    let mut sql = Sql::default();
    if let Some(tenant) = tenant {
        sql.push(" AND (root_account = ").bind(Bound::Text(tenant.into())).push(" OR account = ").bind(Bound::Text(tenant.into())).push(")");
    }
    sql
}

/// ` AND …`: rows behind `key` in the order of lists.
pub fn older_than(key: RowKey) -> Sql {
    let (hi, lo) = halves(key.call);
    let mut sql = Sql::new(" AND invite_ts <= ");
    time(&mut sql, key.invite_us.clamp(*TIMES.start(), *TIMES.end()));
    sql.push(" AND (invite_ts < ");
    time(&mut sql, key.invite_us.clamp(*TIMES.start(), *TIMES.end()));
    sql.push(&format!(" OR ({CHAIN}) < (")).bind(Bound::UInt(hi)).push(", ").bind(Bound::UInt(lo)).push(", ");
    sql.bind(Bound::UInt(key.attempt_no.into())).push("))");
    sql
}

pub fn halves(id: Id) -> (u64, u64) {
    ((id.0 >> 64) as u64, id.0 as u64)
}

pub fn time(sql: &mut Sql, us: i64) {
    sql.push("fromUnixTimestamp64Micro(").bind(Bound::Int(us)).push(", 'UTC')");
}
