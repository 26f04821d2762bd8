//! Brings a database to this program's tables: versioned migrations, columns added to the column table since, retention,
//! row policies. A database that a newer program made, or with a column of another type, is refused.

use std::collections::BTreeMap;

use tollgate_schemas::store::StoreError;

use crate::{
    client::{Bound, Server, Sql},
    options::Retention,
    rowbinary::{Broken, Reader},
    schema::{self, MIGRATIONS, MIGRATIONS_TABLE},
};

/// The setting a query names its tenant in, for row policies. Servers take custom settings that begin `SQL_`.
pub const TENANT_SETTING: &str = "SQL_tollgate_tenant";

/// The name under which the retention in force is noted among the migrations, with version 0.
const RETENTION: &str = "retention";

pub fn broken(e: Broken) -> StoreError {
    StoreError::Corrupt(format!("an answer cannot be read: {e}"))
}

/// `outside`: not in the database yet.
pub async fn run(outside: &Server, server: &Server, retention: &[Retention]) -> Result<(), StoreError> {
    outside.execute(&Sql::new(format!("CREATE DATABASE IF NOT EXISTS {}", identifier(&server.database)?))).await?;
    server.execute(&Sql::new(MIGRATIONS_TABLE)).await?;
    let applied = applied(server).await?;
    refuse_newer(&applied)?;
    for migration in MIGRATIONS {
        let checksum = checksum(migration.text);
        match applied.get(&migration.version) {
            Some((_, known)) if *known == checksum => {}
            Some((name, _)) => {
                return Err(StoreError::Corrupt(format!(
                    "migration {} ('{name}') of database {} was applied with another text than this program's",
                    migration.version, server.database
                )));
            }
            None => {
                for statement in (migration.statements)() {
                    server.execute(&Sql::new(statement)).await?;
                }
                note(server, migration.version, migration.name, &checksum).await?;
            }
        }
    }
    columns(server).await?;
    keep(server, &applied, retention).await
}

type Applied = BTreeMap<u32, (String, String)>;

/// The latest entry of each version.
async fn applied(server: &Server) -> Result<Applied, StoreError> {
    let answer = server.fetch(&Sql::new("SELECT version, name, checksum FROM schema_migrations ORDER BY version, applied")).await?;
    let mut from = Reader(&answer);
    let mut applied = Applied::new();
    while !from.is_empty() {
        let version = from.u32().map_err(broken)?;
        let name = from.text().map_err(broken)?.to_owned();
        applied.insert(version, (name, from.text().map_err(broken)?.to_owned()));
    }
    Ok(applied)
}

fn refuse_newer(applied: &Applied) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |m| m.version);
    match applied.last_key_value() {
        Some((version, (name, _))) if *version > known => Err(StoreError::Corrupt(format!(
            "the database is at schema {version} ('{name}'), this program knows up to {known}: run the newer program"
        ))),
        _ => Ok(()),
    }
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

async fn note(server: &Server, version: u32, name: &str, checksum: &str) -> Result<(), StoreError> {
    let mut sql = Sql::new("INSERT INTO schema_migrations (version, name, checksum) SELECT toUInt32(");
    sql.bind(Bound::UInt(version.into())).push("), ").bind(Bound::Text(name.into())).push(", ").bind(Bound::Text(checksum.into()));
    server.execute(&sql).await
}

/// Compares the table with the column table.
async fn columns(server: &Server) -> Result<(), StoreError> {
    let sql = Sql::new("SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'cdr'");
    let answer = server.fetch(&sql).await?;
    let mut from = Reader(&answer);
    let mut found = BTreeMap::new();
    while !from.is_empty() {
        let name = from.text().map_err(broken)?;
        found.insert(name, from.text().map_err(broken)?);
    }
    let mut missing: Vec<&schema::Wanted> = Vec::new();
    let expected = schema::expected();
    for wanted in &expected {
        match found.remove(wanted.name) {
            Some(ty) if ty == wanted.ty => {}
            Some(ty) => {
                return Err(StoreError::Corrupt(format!(
                    "column {} of table cdr is {ty}, and {} in this program: it was changed by hand or by another program",
                    wanted.name, wanted.ty
                )));
            }
            None => missing.push(wanted),
        }
    }
    if let Some((name, _)) = found.first_key_value() {
        return Err(StoreError::Corrupt(format!("table cdr has a column {name} that this program does not know: a newer one made it")));
    }
    for wanted in missing {
        tracing::info!(column = wanted.name, "column added to table cdr");
        server.execute(&Sql::new(format!("ALTER TABLE cdr ADD COLUMN IF NOT EXISTS {}", wanted.definition))).await?;
    }
    Ok(())
}

/// Sets the table's TTL where another one is in force.
async fn keep(server: &Server, applied: &Applied, retention: &[Retention]) -> Result<(), StoreError> {
    let ttl = ttl(retention)?;
    let in_force = applied.get(&0).map_or("", |(_, ttl)| ttl);
    if in_force == ttl {
        return Ok(());
    }
    let change = if ttl.is_empty() { "ALTER TABLE cdr REMOVE TTL".to_owned() } else { format!("ALTER TABLE cdr MODIFY TTL {ttl}") };
    server.execute(&Sql::new(change)).await?;
    note(server, 0, RETENTION, &ttl).await
}

fn ttl(retention: &[Retention]) -> Result<String, StoreError> {
    let countries: Vec<&str> = retention.iter().map(|r| r.country.as_str()).filter(|c| *c != "*").collect();
    // They stand in the table's definition, where nothing can be bound.
    if let Some(bad) = countries.iter().find(|c| c.is_empty() || c.len() > 8 || !c.bytes().all(|b| b.is_ascii_digit())) {
        return Err(StoreError::BadQuery(format!("retention: '{bad}' is no country code (digits, or * for the rest)")));
    }
    let mut rules = Vec::new();
    for (i, r) in retention.iter().enumerate() {
        if r.days == 0 || retention[..i].iter().any(|other| other.country == r.country) {
            return Err(StoreError::BadQuery(format!("retention of '{}': want one rule, of a day or more", r.country)));
        }
        let which = match r.country.as_str() {
            "*" if countries.is_empty() => String::new(),
            "*" => format!(" WHERE b_country NOT IN ('{}')", countries.join("', '")),
            country => format!(" WHERE b_country = '{country}'"),
        };
        rules.push(format!("toDateTime(invite_ts) + INTERVAL {} DAY DELETE{which}", r.days));
    }
    Ok(rules.join(", "))
}

/// A row is seen by a query of its tenant, and by queries that name none. False where the server has no access control.
pub async fn fence(server: &Server) -> Result<bool, StoreError> {
    for table in schema::FENCED {
        let tenant = format!("getSetting('{TENANT_SETTING}')");
        let policy = format!(
            "CREATE ROW POLICY OR REPLACE tollgate_tenant ON {table} USING {tenant} = '' OR root_account = {tenant} OR account = {tenant} TO ALL"
        );
        match server.execute(&Sql::new(policy)).await {
            Ok(()) => {}
            // 497: this user may not; 514, 495, 497: no storage for policies, as in an engine without a server.
            Err(StoreError::BadQuery(text)) if text.contains("Code: 497") => {
                tracing::warn!(text, "row policies: not exercised, the server refuses them");
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

pub fn identifier(name: &str) -> Result<String, StoreError> {
    let ok = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.as_bytes()[0].is_ascii_digit();
    if ok { Ok(format!("`{name}`")) } else { Err(StoreError::BadQuery(format!("'{name}' cannot be a database: want letters, digits and '_'"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_by_jurisdiction_with_one_rule_each() {
        let rule = |country: &str, days| Retention { country: country.into(), days };
        assert_eq!(ttl(&[]).expect("none"), "");
        let both = ttl(&[rule("49", 180), rule("*", 400)]).expect("ttl");
        assert_eq!(
            both,
            "toDateTime(invite_ts) + INTERVAL 180 DAY DELETE WHERE b_country = '49', \
             toDateTime(invite_ts) + INTERVAL 400 DAY DELETE WHERE b_country NOT IN ('49')"
        );
        for bad in [vec![rule("49' OR 1", 5)], vec![rule("49", 0)], vec![rule("1", 5), rule("1", 6)], vec![rule("", 5)]] {
            assert!(ttl(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_newer_database_is_refused() {
        let mut applied = Applied::from([(0, ("retention".to_owned(), String::new())), (1, ("cdr".to_owned(), "x".to_owned()))]);
        assert!(refuse_newer(&applied).is_ok());
        applied.insert(99, ("later".into(), "y".into()));
        let e = refuse_newer(&applied).expect_err("newer").to_string();
        assert!(e.contains("schema 99") && e.contains("newer program"), "{e}");
    }
}
