//! HTTP by hand over loopback: what goes out and comes back is seen as it is.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, mpsc},
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollgate_api::{KeyConfig, Limits, ports::Kind, ports::LiveCall};
use tollgate_schemas::{
    cdr::Cdr,
    event::Body,
    id::Id,
    log::Topic,
    v1::{AlertRaised, BlockPlaced, BlockScope, Feature},
};

use crate::fakes::{ADMIN_KEY, Fakes};

/// A server on a port of its own, stopped when dropped.
pub struct Server {
    pub addr: SocketAddr,
    pub fakes: Arc<Fakes>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub fn key_config(id: &str, tenant: Option<&str>, scopes: &[&str]) -> KeyConfig {
    let sha256 = Sha256::digest(format!("{id}-secret-key").as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    KeyConfig { id: id.to_owned(), sha256, tenant: tenant.map(str::to_owned), scopes: scopes.iter().map(|s| (*s).to_owned()).collect() }
}

impl Server {
    pub fn start() -> Server {
        Server::with(Limits { requests_per_s: 100_000, burst: 100_000, ..Limits::default() })
    }

    pub fn with(limits: Limits) -> Server {
        let fakes = Fakes::new();
        let keys = vec![
            key_config("acme", Some("acme"), &["admin"]),
            key_config("acme-costs", Some("acme"), &["read", "costs"]),
            key_config("globex", Some("globex"), &["admin"]),
            key_config("shop", Some("shop"), &["read"]),
            key_config("reader", None, &["read"]),
        ];
        let state = fakes.state(keys, limits);
        let (ready, addr) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
                ready.send(listener.local_addr().expect("address")).expect("ready");
                let done = async move { drop(stopped.await) };
                tollgate_api::serve(listener, state, done).await.expect("serve");
            });
        });
        Server { addr: addr.recv().expect("address"), fakes, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells the server to stop and waits until it has.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("server");
        }
    }

    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> BufReader<TcpStream> {
        let mut socket = TcpStream::connect(self.addr).expect("connect");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.addr);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        socket.write_all(head.as_bytes()).expect("head");
        // A server that refuses a long body may close before all of it is sent.
        let _ = socket.write_all(body.as_bytes());
        BufReader::new(socket)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut reader = self.open(method, path, headers, body);
        let (status, headers) = read_head(&mut reader);
        let mut raw = Vec::new();
        let _ = reader.read_to_end(&mut raw);
        let chunked = headers.get("transfer-encoding").is_some_and(|v| v == "chunked");
        let body = if chunked { unchunk(&raw) } else { raw };
        Reply { status, headers, body: String::from_utf8(body).expect("UTF-8") }
    }

    /// As the key of that id; `admin` is the admin key, `""` none.
    pub fn ask(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let bearer = match key {
            "admin" => format!("Bearer {ADMIN_KEY}"),
            other => format!("Bearer {other}-secret-key"),
        };
        let mut headers = Vec::new();
        if !key.is_empty() {
            headers.push(("authorization", bearer.as_str()));
        }
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        self.send(method, path, &headers, &body.map(Value::to_string).unwrap_or_default())
    }

    pub fn get(&self, key: &str, path: &str) -> Reply {
        self.ask(key, "GET", path, None)
    }

    /// Two tenants with an account tree, calls, an alert and a block each; gives what belongs to `acme` and `globex`.
    pub fn furnish(&self) -> [Owned; 2] {
        let f = &self.fakes;
        let mut documents = f.documents.lock().expect("documents");
        for (kind, name, spec) in [
            (Kind::Account, "acme", json!({ "sell_deck": "acme-sell", "carriers": ["northtel"], "margin_guard": true })),
            (Kind::Account, "acme.shop", json!({ "parent": "acme", "sell_deck": "shop-sell" })),
            (Kind::Account, "globex", json!({ "sell_deck": "globex-sell" })),
            (Kind::Trunk, "acme-1", json!({ "account": "acme.shop", "sources": ["192.0.2.1"] })),
            (Kind::Trunk, "globex-1", json!({ "account": "globex", "sources": ["192.0.2.2"] })),
            (Kind::Carrier, "northtel", json!({ "addresses": ["198.51.100.1:5060"], "deck": "northtel-buy" })),
            (Kind::Deck, "acme-sell", json!({ "currency": "USD" })),
            (Kind::Deck, "globex-sell", json!({ "currency": "USD" })),
            (Kind::Deck, "northtel-buy", json!({ "currency": "USD" })),
            (Kind::RoutePolicy, "default", json!({ "order": "score" })),
            (Kind::FraudPolicy, "default", json!({ "block_s": 3600 })),
            (Kind::NumberTable, "default", json!({ "version": "00" })),
            (Kind::OriginGroup, "default", json!({ "members": [{ "prefix": "49" }] })),
            (Kind::Surcharge, "default", json!({ "currency": "EUR", "rows": [{ "per_minute": "0.25" }] })),
            (Kind::FxRate, "default", json!({ "source": "ecb", "rates": [] })),
            (Kind::Tax, "default", json!({ "country": "DE", "rows": [] })),
            (Kind::Contract, "default", json!({ "account": "acme", "currency": "USD" })),
            (Kind::NumberList, "default", json!({ "list": "hot", "numbers": [{ "number": "25261" }] })),
        ] {
            documents.insert((kind, name.to_owned()), spec);
        }
        drop(documents);
        ["acme", "globex"].map(|root| self.owned(root))
    }

    fn owned(&self, root: &str) -> Owned {
        let f = &self.fakes;
        let (call, cdr, block) = (f.id(), f.id(), f.id());
        let now = crate::fakes::now_us();
        let live = LiveCall {
            call_uuid: call, account: root.to_owned(), root_account: root.to_owned(), carrier: "northtel".to_owned(),
            state: "answered", invite_us: now - 9_000_000, answer_us: Some(now - 4_000_000), sell_rate: "0.0100".to_owned(),
            currency: "USD".to_owned(), spent_e8: 200_000, attempt_no: 1, ..LiveCall::default()
        };
        f.live.lock().expect("live").push(live);
        f.store(row(cdr, root, now - 180_000_000));
        f.store(Cdr { record_type: "attempt".to_owned(), attempt_no: 1, ..row(cdr, root, now - 180_000_000) });
        let scope = BlockScope { account: root.to_owned(), dest_group: "Cuba".to_owned(), ..BlockScope::default() };
        let placed = BlockPlaced {
            block_id: block.to_vec(), scope: Some(scope), actor: "fraud".to_owned(), reason: "spend".to_owned(),
            expires_us: now + 3_600_000_000, sip_code: 403, rule: "spend".to_owned(), ..BlockPlaced::default()
        };
        f.tell(Topic::Blocks, root, now - 2_000_000, Body::BlockPlaced(placed));
        let feature = Feature { name: "spend".to_owned(), value: 30, threshold: 25, unit: "USD".to_owned(), counted_at: "tick".to_owned() };
        let raised = AlertRaised {
            rule: "spend".to_owned(), severity: "critical".to_owned(), account: root.to_owned(), dest_group: "Cuba".to_owned(),
            features: vec![feature], explanation: "30 USD in 15 min".to_owned(), block_id: block.to_vec(), loss_e8: 3_000_000_000,
            currency: "USD".to_owned(), first_us: now - 60_000_000, control_position: 1, stays_open: false,
        };
        f.tell(Topic::Alerts, root, now - 3_000_000, Body::AlertRaised(raised));
        f.orders.lock().expect("orders").push("fraud blocks: spend".to_owned());
        Owned { call, cdr, block }
    }
}

pub struct Owned {
    pub call: Id,
    pub cdr: Id,
    pub block: Id,
}

/// An answered final of 61.2 s sold at 0.0100 and bought at 0.0060.
pub fn row(call: Id, root: &str, invite_us: i64) -> Cdr {
    Cdr {
        call_uuid: call.to_vec(), cdr_version: 1, record_type: "final".to_owned(), account: root.to_owned(), root_account: root.to_owned(),
        trunk: format!("{root}-1"), a_number_e164: "4930123456".to_owned(), b_number_e164: "5355512".to_owned(),
        b_dest_group: "Cuba".to_owned(), invite_ts: invite_us, answer_ts: Some(invite_us + 5_000_000), end_ts: invite_us + 66_200_000,
        pdd_ms: Some(1_500), duration_ms: 61_200, billed_sec_sell: 62, billed_sec_cost: 66, disposition: "answered".to_owned(),
        sip_final_code: 200, carrier: "northtel".to_owned(), sell_amount: 1_033_300, sell_currency: "USD".to_owned(),
        sell_rate: Some(10_000_000_000), cost_amount: 660_000, cost_currency: "USD".to_owned(), margin_base: Some(373_300),
        margin_pct: "36.13".to_owned(), sip_call_id_in: "abc@192.0.2.1".to_owned(), count: 1, ..Cdr::default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

pub fn read_head(reader: &mut impl BufRead) -> (u16, HashMap<String, String>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("status line");
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status in {line:?}"));
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("header");
        match line.trim_end().split_once(':') {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return (status, headers),
        }
    }
}

fn unchunk(mut raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = raw.windows(2).position(|w| w == b"\r\n").expect("the body ends with a last chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).expect("size"), 16).expect("size");
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&raw[end + 2..end + 2 + size]);
        raw = &raw[end + 2 + size + 2..];
    }
}
