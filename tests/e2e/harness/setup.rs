//! What a node is started with: addresses of its own, a configuration, documents.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::atomic::{AtomicU8, Ordering},
};

use serde_json::{Value, json};

/// The admin key of every node here.
pub const KEY: &str = "end-to-end-admin-key-2f41";

/// Addresses of one case in 127/8. Nobody else has them, so ports on them can be fixed.
#[derive(Debug, Clone, Copy)]
pub struct Net(u8, u8);

impl Net {
    pub fn new() -> Net {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        Net(10 + (std::process::id() % 200) as u8, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn host(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0, self.1, last)
    }

    pub fn node(self) -> Ipv4Addr {
        self.host(1)
    }

    /// The trunk's one address.
    pub fn caller(self) -> Ipv4Addr {
        self.host(2)
    }

    /// Any other address of the case, 20 to 90: clusters have many.
    #[allow(dead_code)]
    pub fn numbered(self, last: u8) -> Ipv4Addr {
        self.host(last)
    }

    /// Where carrier `n` (from 0) takes calls.
    pub fn carrier(self, n: usize) -> SocketAddr {
        SocketAddr::new(self.host(11 + n as u8).into(), 5060)
    }

    /// An address nobody announced.
    pub fn stranger(self) -> Ipv4Addr {
        self.host(99)
    }
}

/// Names of carriers, in the order of their prices.
pub const CARRIERS: [&str; 3] = ["alpha", "beta", "gamma"];

#[derive(Debug, Clone)]
pub struct Setup {
    pub net: Net,
    /// `[sip.timers]` and what else the case wants in the configuration.
    pub timers: Vec<(&'static str, u64)>,
    pub drain_s: u64,
    pub reserve_mb: u64,
    /// Lines of `[log]`.
    pub log: String,
    /// Lines at the configuration's end: whole sections.
    pub more: String,
    pub docs: Vec<Value>,
}

impl Setup {
    /// An account `acme` with a trunk `acme-in` at the caller's address, and carriers in cost order.
    ///
    /// Sold: +1 at 0.06/min by whole minutes plus 0.01 to connect, +44 at 0.12/min by the second. Carriers charge by
    /// the second: alpha 0.03, beta 0.036, gamma 0.042 (+1) and twice that (+44).
    pub fn new(carriers: usize) -> Setup {
        const HEAD: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n";
        let net = Net::new();
        let deck = |name: &str, rows: &str| json!({ "kind": "deck", "name": name, "spec": { "csv": format!("{HEAD}{rows}") } });
        let mut docs = vec![deck("sell", "1,usa,0.06,0.01,60,60,2020-01-01\n44,uk,0.12,0,1,1,2020-01-01\n")];
        let prices = [("0.03", "0.06"), ("0.036", "0.072"), ("0.042", "0.084")];
        for (n, (usa, uk)) in prices.into_iter().enumerate().take(carriers) {
            let name = CARRIERS[n];
            docs.push(deck(&format!("{name}-cost"), &format!("1,usa,{usa},0,1,1,2020-01-01\n44,uk,{uk},0,1,1,2020-01-01\n")));
            docs.push(json!({ "kind": "carrier", "name": name, "spec": { "addresses": [net.carrier(n).to_string()], "deck": format!("{name}-cost") } }));
        }
        docs.push(json!({ "kind": "account", "name": "acme", "spec": { "sell_deck": "sell" } }));
        docs.push(json!({ "kind": "trunk", "name": "acme-in", "spec": {
            "account": "acme",
            "sources": [net.caller().to_string()],
            "channels": 1000, "cps": 1000, "burst": 1000,
            "numbers": { "country_code": "1" },
            "dial": { "international": true, "max_rate": null, "daily_spend": null },
        } }));
        Setup {
            net,
            timers: vec![
                ("t1_ms", 50), ("t2_ms", 400), ("t4_ms", 500),
                ("first_response_ms", 600), ("pdd_ms", 1200), ("pdd_international_ms", 1200),
                ("no_answer_ms", 1500), ("hunt_ms", 4000),
            ],
            drain_s: 1,
            reserve_mb: 16,
            log: String::new(),
            more: String::new(),
            docs,
        }
    }

    /// One setting of `[sip.timers]`.
    pub fn timer(mut self, name: &'static str, value: u64) -> Setup {
        self.timers.retain(|(n, _)| *n != name);
        self.timers.push((name, value));
        self
    }

    /// The spec of a document, to change it.
    pub fn spec(&mut self, kind: &str, name: &str) -> &mut Value {
        let found = self.docs.iter_mut().find(|d| d["kind"] == kind && d["name"] == name);
        &mut found.unwrap_or_else(|| panic!("no {kind} {name}"))["spec"]
    }

    pub fn trunk(&mut self) -> &mut Value {
        self.spec("trunk", "acme-in")
    }

    pub fn carrier(&mut self, name: &str) -> &mut Value {
        self.spec("carrier", name)
    }

    pub fn doc(&mut self, kind: &str, name: &str, spec: Value) {
        self.docs.push(json!({ "kind": kind, "name": name, "spec": spec }));
    }

    /// Writes both files. `sip` and `api` are addresses to listen on.
    pub fn write(&self, dir: &Path, sip: SocketAddr, api: SocketAddr) {
        let documents: Vec<String> = self.docs.iter().map(ToString::to_string).collect();
        std::fs::write(dir.join("provision.yaml"), documents.join("\n---\n")).expect("provision.yaml");
        let timers: String = self.timers.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        let text = format!(
            "provision = [\"provision.yaml\"]\ndrain_s = {}\n[log]\n{}reserve_mb = {}\n[api]\nlisten = \"{api}\"\n[sip]\nlisten = \"{sip}\"\n[sip.timers]\n{timers}{}",
            self.drain_s, self.log, self.reserve_mb, self.more
        );
        std::fs::write(dir.join("tollgate.toml"), text).expect("tollgate.toml");
    }
}
