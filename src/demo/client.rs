//! What the demo asks of the node, as any customer's program would: over HTTP, with a key, page by page.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::account::Row;

/// Most rows of one page.
const PAGE: usize = 1_000;
/// A page of CDRs with every column is some megabytes.
const MAX_BYTES: u64 = 64 << 20;
/// How often the API's "too many requests" is waited out.
const TRIES: u32 = 20;

#[derive(Clone)]
pub struct Client {
    base: String,
    bearer: String,
    agent: ureq::Agent,
}

impl Client {
    pub fn new(api: std::net::SocketAddr, key: &str) -> Client {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Client { base: format!("http://{api}"), bearer: format!("Bearer {key}"), agent }
    }

    /// A GET; asks again later when told to.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        for _ in 0..TRIES {
            let call = self.agent.get(format!("{}{path}", self.base)).header("Authorization", &self.bearer).call();
            let mut response = call.with_context(|| format!("GET {path}"))?;
            match response.status().as_u16() {
                200 => return response.body_mut().with_config().limit(MAX_BYTES).read_json().with_context(|| format!("GET {path}")),
                429 => std::thread::sleep(Duration::from_millis(200)),
                status => bail!("GET {path}: {status} {}", response.body_mut().read_to_string().unwrap_or_default()),
            }
        }
        bail!("GET {path}: still too many requests")
    }

    pub fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let call = self.agent.put(format!("{}{path}", self.base)).header("Authorization", &self.bearer).send_json(body);
        let mut response = call.with_context(|| format!("PUT {path}"))?;
        match response.status().as_u16() {
            200 => Ok(()),
            status => bail!("PUT {path}: {status} {}", response.body_mut().read_to_string().unwrap_or_default()),
        }
    }

    pub fn delete(&self, path: &str) -> anyhow::Result<()> {
        let call = self.agent.delete(format!("{}{path}", self.base)).header("Authorization", &self.bearer).call();
        match call.with_context(|| format!("DELETE {path}"))?.status().as_u16() {
            200..=299 => Ok(()),
            status => bail!("DELETE {path}: {status}"),
        }
    }

    /// Every CDR of a kind (`final`, `attempt`) since a time in RFC 3339, over all pages.
    pub fn cdrs(&self, record_type: &str, since: &str) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.get(&format!("/v1/cdrs?record_type={record_type}&since={since}&limit={PAGE}{cursor}"))?;
            for item in page["items"].as_array_mut().context("a page without items")? {
                rows.push(Row::read(item.take()).context("a CDR")?);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// `/v1/reports/traffic` by `account` or `carrier`: its rows and totals.
    pub fn traffic(&self, group_by: &str, since: &str) -> anyhow::Result<Value> {
        let report = self.get(&format!("/v1/reports/traffic?group_by={group_by}&since={since}"))?;
        Ok(json!({ "items": report["items"], "totals": report["totals"] }))
    }

    /// Follows `/v1/stream` until it ends: (event, data), as they come.
    pub fn stream(&self, mut each: impl FnMut(&str, Value)) -> anyhow::Result<()> {
        let call = self.agent.get(format!("{}/v1/stream", self.base)).header("Authorization", &self.bearer).call();
        let mut response = call.context("GET /v1/stream")?;
        let mut name = String::new();
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let line = line?;
            if let Some(event) = line.strip_prefix("event:") {
                name = event.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                each(&name, serde_json::from_str(data.trim()).unwrap_or_default());
            }
        }
        Ok(())
    }
}
