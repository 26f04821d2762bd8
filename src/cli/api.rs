//! The client of a running node's API.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tollgate_schemas::control::Kind;
use ureq::{Agent, http::Request};

/// Which node, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiArgs {
    /// Where the node's API is
    #[arg(long, env = "TOLLGATE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// API key
    #[arg(long, env = "TOLLGATE_ADMIN_KEY", hide_env_values = true)]
    key: Option<String>,
}

/// How an answer is shown, and whom it is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct Shown {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub api: ApiArgs,
}

pub struct Client {
    agent: Agent,
    /// For answers that take as long as they take.
    patient: Agent,
    url: String,
    key: Option<String>,
}

/// What came back: any status but those that no caller can do anything with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// How long a node may say that it is not ready.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest answer read: a page of documents.
const LONGEST: u64 = 256 << 20;

impl Client {
    pub fn new(args: &ApiArgs) -> anyhow::Result<Client> {
        let url = args.url.trim_end_matches('/');
        if !url.starts_with("http://") {
            bail!("the node's API speaks plain HTTP: --url (TOLLGATE_URL) is '{}', want http://HOST:PORT", args.url);
        }
        let config = || Agent::config_builder().http_status_as_error(false);
        let patient = config().timeout_connect(Some(Duration::from_secs(10))).build().new_agent();
        Ok(Client { agent: config().timeout_global(Some(Duration::from_secs(120))).build().new_agent(), patient, url: url.to_owned(), key: args.key.clone() })
    }

    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.send("GET", path, query, None)
    }

    pub fn send(&self, verb: &str, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> anyhow::Result<Answer> {
        let (mut response, uri) = self.ask(verb, path, query, body)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(LONGEST).read_to_string();
        let text = text.with_context(|| format!("the answer of {uri} broke off"))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        self.answer(status, body)
    }

    /// As `send`, and asks again while the node says that it is not ready for more (503), for some minutes.
    pub fn send_patiently(&self, verb: &str, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> anyhow::Result<Answer> {
        let began = std::time::Instant::now();
        loop {
            let (mut response, uri) = self.ask_of(&self.patient, verb, path, query, body)?;
            let status = response.status().as_u16();
            let text = response.body_mut().with_config().limit(LONGEST).read_to_string().with_context(|| format!("the answer of {uri} broke off"))?;
            let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
            if status != 503 || began.elapsed() > PATIENCE {
                return self.answer(status, answer);
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    /// The lines of an answer as they come. Errors as `send`.
    pub fn lines(&self, path: &str, query: &[(&str, &str)], take: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        // A file of a month takes longer than an answer may.
        let (mut response, _) = self.ask_of(&self.patient, "GET", path, query, None)?;
        let status = response.status().as_u16();
        if status != 200 {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            self.answer(status, serde_json::from_str(&text).unwrap_or(Value::Null))?.ok()?;
        }
        super::finance::each_line(response.body_mut().as_reader(), take)
    }

    fn ask(&self, verb: &str, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> anyhow::Result<(ureq::http::Response<ureq::Body>, String)> {
        self.ask_of(&self.agent, verb, path, query, body)
    }

    fn ask_of(&self, agent: &Agent, verb: &str, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> anyhow::Result<(ureq::http::Response<ureq::Body>, String)> {
        let mut uri = format!("{}{path}", self.url);
        for (i, (name, value)) in query.iter().enumerate() {
            uri.push(if i == 0 { '?' } else { '&' });
            uri.push_str(&format!("{name}={}", escaped(value)));
        }
        let mut request = Request::builder().method(verb).uri(&uri);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(serde_json::to_vec(body)?);
                agent.run(request.context("--url or --key cannot be sent")?)
            }
            None => agent.run(request.body(()).context("--url or --key cannot be sent")?),
        };
        let response = sent.map_err(|e| {
            anyhow::anyhow!("no answer from the node at {}: {e}; is `tollgate run` up, and is --url (TOLLGATE_URL) right?", self.url)
        })?;
        Ok((response, uri))
    }

    /// What came back, or what no caller can do anything with.
    fn answer(&self, status: u16, body: Value) -> anyhow::Result<Answer> {
        match status {
            401 => bail!("the node at {} does not take this key: set TOLLGATE_ADMIN_KEY, or --key, to one it knows", self.url),
            403 => bail!("{}", Answer { status, body }.problem()),
            500.. => bail!("the node at {} failed: {}", self.url, Answer { status, body }.problem()),
            _ => Ok(Answer { status, body }),
        }
    }

    /// An answer that is text.
    pub fn text(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
        let (mut response, uri) = self.ask("GET", path, query, None)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(LONGEST).read_to_string().with_context(|| format!("the answer of {uri} broke off"))?;
        self.answer(status, serde_json::from_str(&text).unwrap_or(Value::Null))?.ok()?;
        Ok(text)
    }

    /// Every item of a list, page by page; not more than `limit`.
    pub fn items(&self, path: &str, query: &[(&str, &str)], limit: usize) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = limit.saturating_sub(items.len()).clamp(1, 1000).to_string();
            let mut query = query.to_vec();
            query.push(("limit", &page));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let mut answer = self.get(path, &query)?.ok()?;
            if let Some(page) = answer["items"].as_array_mut() {
                items.append(page);
            }
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= limit {
                items.truncate(limit);
                return Ok(items);
            }
        }
    }
}

impl Answer {
    /// The body of a success; else its problem as an error.
    pub fn ok(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) { Ok(self.body) } else { bail!("{}", self.problem()) }
    }

    /// The problem's detail, and each mistake where there are several.
    pub fn problem(&self) -> String {
        let mut text = match self.body["detail"].as_str() {
            Some(detail) => detail.to_owned(),
            None => format!("it answered {}", self.status),
        };
        if let Some(many) = self.body["problems"].as_array().filter(|p| p.len() > 1) {
            for one in many {
                let (path, message) = (one["path"].as_str().unwrap_or_default(), one["message"].as_str().unwrap_or_default());
                text.push_str(&format!("\n  {path}{}{message}", if path.is_empty() { "" } else { ": " }));
            }
        }
        text
    }
}

/// Percent-encoded for a query (RFC 3986 §2.3: unreserved characters stay).
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for b in value.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// The folder of a kind under `/v1`.
pub fn folder(kind: Kind) -> &'static str {
    match kind {
        Kind::NumberTable => "number_tables",
        Kind::OriginGroup => "origin_groups",
        Kind::Surcharge => "surcharges",
        Kind::NumberList => "number_lists",
        Kind::FxRate => "fx_rates",
        Kind::Tax => "taxes",
        Kind::Deck => "decks",
        Kind::FraudPolicy => "fraud_policies",
        Kind::Carrier => "carriers",
        Kind::RoutePolicy => "route_policies",
        Kind::Account => "accounts",
        Kind::Trunk => "trunks",
        Kind::Contract => "contracts",
    }
}
