//! Who plays: customers, carriers, their prices and qualities, as data; and the provisioning documents made of it.
//! Numbers are of the ranges that numbering authorities set aside for fiction, but for those of the attack.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::ua::carrier::Quality;

/// A range of numbers calls go to.
pub struct Range {
    /// As this customer dials it, without the last digits.
    pub dialled: &'static str,
    /// Random digits at the end.
    pub digits: u32,
    pub weight: u32,
}

pub struct Customer {
    pub name: &'static str,
    /// Share of all calls, of a hundred.
    pub share: u32,
    pub number: &'static str,
    /// Sell deck, rows without the header's dates.
    pub deck: &'static [&'static str],
    pub ranges: &'static [Range],
    /// Length of calls, milliseconds, before scaling.
    pub hold_ms: (u64, u64),
    /// Of a thousand callers, those who give up within a second or so.
    pub impatient: u32,
    /// Dials as people do in the United Kingdom, else E.164 digits.
    pub national: bool,
    /// Policy of the trunk.
    pub high_risk: bool,
}

pub struct CarrierPart {
    pub name: &'static str,
    pub deck: &'static [&'static str],
    pub emergency: bool,
    pub quality: Quality,
}

const fn range(dialled: &'static str, digits: u32, weight: u32) -> Range {
    Range { dialled, digits, weight }
}

/// The customer whose PBX is hacked.
pub const OFFICE: &str = "office";

/// Where the attack goes: as the office dials it, and the digits of it that are random.
pub const TRAPS: [(&str, u32); 2] = [("0025290", 7), ("009609000", 3)];
/// What the office pays a minute there, and what the carrier charges, 1e-2.
pub const TRAP_SELL_CENTS: u64 = 100;
const TRAP_DIGITS: &[&str] = &["252", "960"];

pub const CUSTOMERS: [Customer; 3] = [
    Customer {
        name: "dialler",
        share: 50,
        number: "12125550100",
        deck: &[
            "1,United States,0.0120,0,6,6",
            "44,United Kingdom,0.0150,0,1,1",
            "447,United Kingdom mobile,0.0290,0,1,1",
            "49,Germany,0.0150,0,1,1",
            "33,France,0.0140,0,1,1",
            "61,Australia,0.0240,0,1,1",
            "614,Australia mobile,0.0480,0,1,1",
        ],
        ranges: &[
            range("121255501", 2, 40),
            range("44207946", 4, 15),
            range("447700900", 3, 15),
            range("493023125", 3, 12),
            range("331990012", 2, 8),
            range("6125550", 4, 6),
            range("61491570", 3, 4),
        ],
        hold_ms: (1_500, 6_000),
        impatient: 90,
        national: false,
        high_risk: false,
    },
    Customer {
        name: "callcentre",
        share: 32,
        number: "02079460001",
        deck: &["44,United Kingdom,0.0250,0,30,1", "447,United Kingdom mobile,0.0600,0,30,1"],
        ranges: &[range("0207946", 4, 60), range("07700900", 3, 40)],
        hold_ms: (3_000, 9_000),
        impatient: 60,
        national: true,
        high_risk: false,
    },
    Customer {
        name: OFFICE,
        share: 18,
        number: "02079460999",
        deck: &[
            "44,United Kingdom,0.0400,0.0200,60,60",
            "447,United Kingdom mobile,0.1200,0.0200,60,60",
            "33,France,0.0900,0.0200,60,60",
            "49,Germany,0.0900,0.0200,60,60",
            "252,Somalia,1.0000,0,60,60",
            "960,Maldives,1.0000,0,60,60",
        ],
        ranges: &[range("0207946", 4, 55), range("07700900", 3, 25), range("0033199001", 3, 10), range("00493023125", 3, 10)],
        hold_ms: (2_500, 8_000),
        impatient: 25,
        national: true,
        // It trades with the whole world, so its dial policy stops nothing: the fraud stage must.
        high_risk: true,
    },
];

pub fn carriers() -> [CarrierPart; 4] {
    let ordinary = Quality {
        busy: 90,
        no_answer: 110,
        unavailable: 10,
        not_found: 15,
        silent: 0,
        pdd_ms: 120..=350,
        ring_ms: 300..=1_800,
        hangs_up: 350,
        hold_ms: 800..=6_000,
        traps: TRAP_DIGITS,
    };
    [
        CarrierPart {
            name: "bargain",
            deck: &[
                "1,United States,0.0060,0,6,6",
                "44,United Kingdom,0.0070,0,1,1",
                "447,United Kingdom mobile,0.0190,0,1,1",
                "49,Germany,0.0080,0,1,1",
                "33,France,0.0070,0,1,1",
                "61,Australia,0.0120,0,1,1",
                "614,Australia mobile,0.0300,0,1,1",
            ],
            emergency: false,
            // Cheap, and one call in three shows why: the next carrier is tried, and the margin shrinks.
            quality: Quality { busy: 60, no_answer: 130, unavailable: 300, not_found: 20, silent: 3, pdd_ms: 300..=900, ..ordinary.clone() },
        },
        CarrierPart {
            name: "steady",
            deck: &[
                "1,United States,0.0080,0,6,6",
                "44,United Kingdom,0.0090,0,1,1",
                "447,United Kingdom mobile,0.0160,0,1,1",
                "49,Germany,0.0100,0,1,1",
                "33,France,0.0090,0,1,1",
                "61,Australia,0.0150,0,1,1",
                "614,Australia mobile,0.0260,0,1,1",
            ],
            emergency: false,
            quality: Quality { unavailable: 25, ..ordinary.clone() },
        },
        CarrierPart {
            name: "premier",
            deck: &[
                "1,United States,0.0110,0,1,1",
                "44,United Kingdom,0.0120,0,1,1",
                "447,United Kingdom mobile,0.0240,0,1,1",
                "49,Germany,0.0130,0,1,1",
                "33,France,0.0120,0,1,1",
                "61,Australia,0.0200,0,1,1",
                "614,Australia mobile,0.0380,0,1,1",
                "252,Somalia,0.9200,0,60,60",
                "960,Maldives,0.9200,0,60,60",
            ],
            emergency: true,
            quality: Quality { pdd_ms: 60..=180, unavailable: 2, ..ordinary.clone() },
        },
        CarrierPart {
            name: "isles",
            deck: &["252,Somalia,0.8000,0,60,60", "960,Maldives,0.8000,0,60,60"],
            emergency: false,
            quality: ordinary,
        },
    ]
}

fn sheet(rows: &[&str]) -> String {
    let mut csv = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n".to_owned();
    for row in rows {
        csv.push_str(row);
        csv.push_str(",2020-01-01\n");
    }
    csv
}

fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "kind": kind, "name": name, "spec": spec })
}

/// The provisioning of the play: what `tollgate apply` would take. `callers` and `carriers`: each one's socket, in
/// order. `cps`: of all customers together.
pub fn documents(callers: &[SocketAddr], carrier_addrs: &[SocketAddr], cps: u32) -> Vec<Value> {
    let mut all = Vec::new();
    for (part, addr) in carriers().iter().zip(carrier_addrs) {
        let deck = format!("buy-{}", part.name);
        all.push(document("deck", &deck, json!({ "csv": sheet(part.deck), "currency": "USD", "timezone": "UTC" })));
        all.push(document("carrier", part.name, json!({ "addresses": [addr.to_string()], "deck": deck, "emergency": part.emergency })));
    }
    // F-01's figures, with money counted from the answer on; what is blocked is every high-risk destination, so that
    // changing the country does not help.
    let rule = |feature: &str, window: u64, warning: &str, critical: &str| {
        json!({ "feature": feature, "watch": "high_risk", "window_s": window, "warning": warning, "critical": critical })
    };
    all.push(document(
        "fraud_policy",
        "demo",
        json!({
            "rules": [rule("concurrent_calls", 600, "3", "6"), rule("calls_per_minute", 60, "5", "20"), rule("spend", 900, "5", "25")],
            "block_s": 3600, "block_scope": "high_risk", "sip_code": 403, "teardown": true, "cool_down_s": 15,
        }),
    ));
    for (customer, addr) in CUSTOMERS.iter().zip(callers) {
        let deck = format!("sell-{}", customer.name);
        all.push(document("deck", &deck, json!({ "csv": sheet(customer.deck), "currency": "USD", "timezone": "UTC" })));
        all.push(document("account", customer.name, json!({ "sell_deck": deck, "fraud_policy": "demo" })));
        let numbers = if customer.national {
            json!({ "country_code": "44", "international_prefixes": ["00"], "national_prefix": "0", "national_min": 7, "national_max": 10, "bare_is_e164": false })
        } else {
            json!({ "bare_is_e164": true })
        };
        all.push(document(
            "trunk",
            customer.name,
            json!({
                "account": customer.name,
                "sources": [addr.to_string()],
                "channels": cps * 20 + 200,
                "cps": cps * 2 + 50,
                "burst": cps * 4 + 100,
                "numbers": numbers,
                "dial": {
                    "international": true,
                    "premium": false,
                    "high_risk": customer.high_risk,
                    "max_rate": if customer.high_risk { "5" } else { "0.25" },
                    "daily_spend": null,
                    "hot_spot_channels": if customer.high_risk { 1_000 } else { 1 },
                    "hot_spot_calls_12h": if customer.high_risk { 1_000_000 } else { 1 },
                },
            }),
        ));
    }
    all
}

/// How much shorter or longer calls are than in [`CUSTOMERS`], so that a short run ends calls too.
pub fn scaled(ms: u64, seconds: u32) -> Duration {
    Duration::from_millis(ms * u64::from(seconds.clamp(20, 90)) / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_and_the_attack_is_sold_at_what_the_tables_say() {
        assert_eq!(CUSTOMERS.iter().map(|c| c.share).sum::<u32>(), 100);
        let office = CUSTOMERS.iter().find(|c| c.name == OFFICE).expect("the office");
        let want = format!(",{}.{:02}00,0,60,60", TRAP_SELL_CENTS / 100, TRAP_SELL_CENTS % 100);
        for prefix in TRAP_DIGITS {
            assert!(office.deck.iter().any(|row| row.starts_with(prefix) && row.ends_with(&want)), "{prefix}");
        }
    }

    #[test]
    fn every_document_reads_as_its_kind() {
        use tollgate_schemas::control;
        let any: SocketAddr = "127.0.0.1:5999".parse().expect("an address");
        for doc in documents(&[any; 3], &[any; 4], 20) {
            let spec = doc["spec"].clone();
            let read = match doc["kind"].as_str().expect("a kind") {
                "deck" => serde_json::from_value::<control::Deck>(spec).map(drop),
                "carrier" => serde_json::from_value::<control::Carrier>(spec).map(drop),
                "account" => serde_json::from_value::<control::Account>(spec).map(drop),
                "trunk" => serde_json::from_value::<control::Trunk>(spec).map(drop),
                "fraud_policy" => serde_json::from_value::<control::FraudPolicy>(spec).map(drop),
                other => panic!("kind {other}"),
            };
            read.unwrap_or_else(|e| panic!("{}: {e}", doc["name"]));
        }
    }
}
