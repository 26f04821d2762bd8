//! Requests to the server: bound parameters, limits, and what its errors mean to a caller.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use clickhouse::{Client, error::Error};
use tollgate_schemas::store::StoreError;

use crate::options::{Compression, Options};

#[derive(Clone)]
pub struct Server {
    client: Client,
    /// Names the database: before it is made nothing else can be asked.
    pub database: String,
    timeout: Duration,
}

/// A value for `{name: Type}`; text is never put into a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    Text(String),
    Int(i64),
    UInt(u64),
    Ints(Vec<i64>),
    UInts(Vec<u64>),
    Pairs(Vec<(i64, u64)>),
}

/// Text of a query and the values bound in it.
#[derive(Debug, Clone, Default)]
pub struct Sql {
    pub text: String,
    pub values: Vec<Bound>,
}

impl Sql {
    pub fn new(text: impl Into<String>) -> Sql {
        Sql { text: text.into(), values: Vec::new() }
    }

    pub fn push(&mut self, text: &str) -> &mut Sql {
        self.text.push_str(text);
        self
    }

    /// A place for `value`, of the server's type for it.
    pub fn bind(&mut self, value: Bound) -> &mut Sql {
        let ty = match value {
            Bound::Text(_) => "String",
            Bound::Int(_) => "Int64",
            Bound::UInt(_) => "UInt64",
            Bound::Ints(_) => "Array(Int64)",
            Bound::UInts(_) => "Array(UInt64)",
            Bound::Pairs(_) => "Array(Tuple(Int64, UInt64))",
        };
        self.text.push_str(&format!("{{p{}:{ty}}}", self.values.len()));
        self.values.push(value);
        self
    }

    /// Another piece behind this one; its places are counted on from here.
    pub fn append(&mut self, other: &Sql) -> &mut Sql {
        let mut rest = other.text.as_str();
        for (i, value) in other.values.iter().enumerate() {
            let place = format!("{{p{i}:");
            if let Some((before, after)) = rest.split_once(place.as_str()) {
                self.text.push_str(before);
                self.text.push_str(&format!("{{p{}:", self.values.len()));
                self.values.push(value.clone());
                rest = after;
            }
        }
        self.text.push_str(rest);
        self
    }
}

impl Server {
    pub fn new(options: &Options) -> Server {
        let mut client = Client::default().with_url(&options.url).with_product_info("tollgate", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &options.user {
            client = client.with_user(user);
        }
        if let Some(password) = &options.password {
            client = client.with_password(password);
        }
        client = client.with_compression(match options.compression {
            Compression::Lz4 => clickhouse::Compression::Lz4,
            Compression::None => clickhouse::Compression::None,
        });
        if options.max_threads > 0 {
            client = client.with_setting("max_threads", options.max_threads.to_string());
        }
        if options.max_memory > 0 {
            client = client.with_setting("max_memory_usage", options.max_memory.to_string());
        }
        client = client.with_setting("max_execution_time", options.request_timeout.as_secs().max(1).to_string());
        Server { client, database: options.database.clone(), timeout: options.request_timeout }
    }

    /// The same with a setting for every query.
    pub fn with(mut self, name: &str, value: &str) -> Server {
        self.client = self.client.with_setting(name, value);
        self
    }

    /// The same, with tables looked up in the database of the options.
    pub fn inside(mut self) -> Server {
        self.client = self.client.with_database(self.database.clone());
        self
    }

    async fn timed<T>(&self, what: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, what).await {
            Ok(done) => done.map_err(|e| failed(&e)),
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", self.timeout.as_secs_f32()))),
        }
    }

    fn query(&self, sql: &Sql) -> clickhouse::query::Query {
        let mut query = self.client.query_raw(&sql.text);
        for (i, value) in sql.values.iter().enumerate() {
            let name = format!("p{i}");
            query = match value {
                Bound::Text(v) => query.param(&name, v),
                Bound::Int(v) => query.param(&name, v),
                Bound::UInt(v) => query.param(&name, v),
                Bound::Ints(v) => query.param(&name, v),
                Bound::UInts(v) => query.param(&name, v),
                Bound::Pairs(v) => query.param(&name, v),
            };
        }
        query
    }

    pub async fn execute(&self, sql: &Sql) -> Result<(), StoreError> {
        self.timed(self.query(sql).execute()).await
    }

    /// The whole answer, in RowBinary.
    pub async fn fetch(&self, sql: &Sql) -> Result<Bytes, StoreError> {
        self.timed(async { self.query(sql).fetch_bytes("RowBinary")?.collect().await }).await
    }

    /// Sends rows in RowBinary as one insert, which the server takes whole or not at all, month by month. Durable as the
    /// server's own settings say when this returns.
    pub async fn insert(&self, sql: &str, data: Bytes, token: Option<&str>) -> Result<(), StoreError> {
        let mut insert = self.client.insert_formatted_with(sql).with_setting("async_insert", "0");
        if let Some(token) = token {
            insert = insert.with_setting("insert_deduplication_token", token);
        }
        self.timed(async {
            insert.send(data).await?;
            insert.end().await
        })
        .await
    }
}

/// What the asker did wrong; any other answer of a server is its own trouble, and passes.
/// ClickHouse: src/Common/ErrorCodes.cpp.
const TERMINAL: &[(u32, Kind)] = &[
    (32, Kind::Damaged), (33, Kind::Damaged), (40, Kind::Damaged), (228, Kind::Damaged), (246, Kind::Damaged), (271, Kind::Damaged),
    (16, Kind::Asked), (36, Kind::Asked), (42, Kind::Asked), (43, Kind::Asked), (44, Kind::Asked), (46, Kind::Asked), (47, Kind::Asked),
    (53, Kind::Asked), (62, Kind::Asked), (115, Kind::Asked), (386, Kind::Asked), (456, Kind::Asked), (457, Kind::Asked), (497, Kind::Asked),
];

#[derive(Clone, Copy)]
enum Kind {
    Asked,
    Damaged,
}

/// The code in `Code: 241. DB::Exception: …`.
pub fn code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

pub fn failed(e: &Error) -> StoreError {
    let text = match e {
        Error::Network(source) => {
            // The crate's text says no more than that there was an error.
            let mut text = format!("network error: {source}");
            let mut cause = source.source();
            while let Some(deeper) = cause {
                text.push_str(&format!(": {deeper}"));
                cause = deeper.source();
            }
            return StoreError::Unavailable(text);
        }
        Error::BadResponse(text) => text.clone(),
        Error::TimedOut => return StoreError::Unavailable("timed out".into()),
        Error::InvalidParams(e) => return StoreError::BadQuery(format!("invalid parameters: {e}")),
        Error::Compression(_) | Error::Decompression(_) | Error::NotEnoughData => return StoreError::Unavailable(e.to_string()),
        other => return StoreError::BadQuery(other.to_string()),
    };
    match code(&text).and_then(|code| TERMINAL.iter().find(|(c, _)| *c == code)) {
        Some((_, Kind::Asked)) => StoreError::BadQuery(text),
        Some((_, Kind::Damaged)) => StoreError::Corrupt(text),
        None => StoreError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_trouble_passes_and_a_wrong_question_does_not() {
        let kind = |text: &str| match failed(&Error::BadResponse(text.into())) {
            StoreError::Unavailable(_) => "unavailable",
            StoreError::BadQuery(_) => "bad query",
            StoreError::Corrupt(_) => "corrupt",
        };
        for (text, want) in [
            ("Code: 252. DB::Exception: Too many parts (3001). (TOO_MANY_PARTS)", "unavailable"),
            ("Code: 241. DB::Exception: Memory limit exceeded", "unavailable"),
            ("Code: 159. DB::Exception: Timeout exceeded", "unavailable"),
            ("502 Bad Gateway", "unavailable"),
            ("Code: 47. DB::Exception: Unknown identifier", "bad query"),
            ("Code: 40. DB::Exception: Checksum doesn't match", "corrupt"),
        ] {
            assert_eq!(kind(text), want, "{text}");
        }
    }

    #[test]
    fn pieces_keep_their_own_values() {
        let mut a = Sql::new("x = ");
        a.bind(Bound::Int(1)).push(" AND y = ").bind(Bound::Text("{p0:Int64}".into()));
        let mut b = Sql::new("z = ");
        b.bind(Bound::UInt(9)).push(" AND (").append(&a).push(")");
        assert_eq!(b.text, "z = {p0:UInt64} AND (x = {p1:Int64} AND y = {p2:String})");
        assert_eq!(b.values, [Bound::UInt(9), Bound::Int(1), Bound::Text("{p0:Int64}".into())]);
    }
}
