//! The node's HTTP interface.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;

use super::KEY;

#[derive(Clone)]
pub struct Api {
    pub addr: SocketAddr,
    key: String,
    agent: ureq::Agent,
}

impl Api {
    pub fn new(addr: SocketAddr) -> Api {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build();
        Api { addr, key: KEY.to_owned(), agent: config.into() }
    }

    /// Asks as somebody else.
    #[allow(dead_code)]
    pub fn with_key(&self, key: &str) -> Api {
        Api { key: key.to_owned(), ..self.clone() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The status alone; 0 when nobody answers.
    pub fn status(&self, path: &str) -> u16 {
        self.agent.get(self.url(path)).header("Authorization", format!("Bearer {}", self.key)).call().map_or(0, |r| r.status().as_u16())
    }

    pub fn text(&self, path: &str) -> String {
        let mut answer = self.agent.get(self.url(path)).header("Authorization", format!("Bearer {}", self.key)).call().expect("API answers");
        let text = answer.body_mut().with_config().limit(256 << 20).read_to_string().expect("body");
        assert_eq!(answer.status().as_u16(), 200, "GET {path}: {text}");
        text
    }

    /// GET that must succeed.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).expect("JSON")
    }

    /// `items` of a list.
    pub fn items(&self, path: &str) -> Vec<Value> {
        match self.get(path)["items"].take() {
            Value::Array(items) => items,
            other => panic!("GET {path} has no items: {other}"),
        }
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(self.agent.post(self.url(path)), body)
    }

    /// With an Idempotency-Key.
    #[allow(dead_code)]
    pub fn post_once(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        self.send(self.agent.post(self.url(path)).header("Idempotency-Key", key), body)
    }

    pub fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(self.agent.put(self.url(path)), body)
    }

    fn send(&self, request: ureq::RequestBuilder<ureq::typestate::WithBody>, body: &Value) -> (u16, Value) {
        let request = request.header("Authorization", format!("Bearer {}", self.key)).header("Content-Type", "application/json");
        let mut answer = request.send(body.to_string()).expect("API answers");
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub fn delete(&self, path: &str) -> u16 {
        self.agent.delete(self.url(path)).header("Authorization", format!("Bearer {}", self.key)).call().expect("API answers").status().as_u16()
    }

    /// A figure of `/metrics`, summed over its labels; 0 when it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let figure = |line: &str| {
            let (left, value) = line.rsplit_once(' ')?;
            let bare = left.split('{').next()?;
            (bare == name || bare.strip_suffix("_total") == Some(name)).then(|| value.parse::<f64>().ok())?
        };
        self.text("/metrics").lines().filter(|l| !l.starts_with('#')).filter_map(figure).sum()
    }
}
