//! The published schema of provisioning documents, JSON Schema 2020-12: what `tollgate apply --schema` prints and what
//! documents are checked by. Defaults are taken from the types themselves.

use serde::Serialize;
use serde_json::{Map, Value, json};
use tollgate_schemas::control::{self, Kind};

mod contract;
mod geography;

/// A name of one of ours.
fn name(about: &str) -> Value {
    json!({ "type": "string", "format": "tollgate-name", "pattern": "^[a-z0-9._-]{1,64}$", "description": about })
}

/// Money and thresholds are text, so that no reader makes them binary fractions.
fn decimal(about: &str) -> Value {
    json!({ "type": "string", "format": "decimal", "pattern": "^[0-9]*\\.?[0-9]*$", "description": format!("{about} (decimal in quotes)") })
}

fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

fn formatted(format: &str, about: &str) -> Value {
    json!({ "type": "string", "format": format, "description": about })
}

fn one_of(words: &[&str], about: &str) -> Value {
    json!({ "type": "string", "enum": words, "description": about })
}

fn flag(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

fn whole(from: u64, to: u64, about: &str) -> Value {
    json!({ "type": "integer", "minimum": from, "maximum": to, "description": about })
}

fn list(of: Value, about: &str) -> Value {
    json!({ "type": "array", "items": of, "description": about })
}

fn or_null(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

fn part(name: &str, about: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}"), "description": about })
}

/// An object with these properties and no others. `defaults` is one with nothing given, as its type has it.
fn object(about: &str, required: &[&str], mut properties: Value, defaults: impl Serialize) -> Value {
    let defaults = serde_json::to_value(defaults).unwrap_or(Value::Null);
    for (key, property) in properties.as_object_mut().into_iter().flatten() {
        if !required.contains(&key.as_str()) && property.get("$ref").is_none() {
            let default = defaults.get(key).cloned().unwrap_or(Value::Null);
            if default.is_null() && property["type"].is_string() {
                *property = or_null(property.take());
            }
            property["default"] = default;
        }
    }
    json!({ "type": "object", "description": about, "required": required, "properties": properties, "additionalProperties": false })
}

const LARGE: u64 = u32::MAX as u64;
const DAY_MS: u64 = 86_400_000;
const YEAR_S: u64 = 366 * 86_400;

fn account() -> Value {
    let defaults: Option<control::Account> = serde_json::from_value(json!({ "sell_deck": "" })).ok();
    let properties = json!({
        "parent": name("Account above this one; its events have the key of the topmost"),
        "sell_deck": name("Deck the account buys from; calls without a sell price are refused"),
        "billing": one_of(&["postpaid", "prepaid"], "prepaid: it has what was paid in, and its calls end with it; postpaid: the limit stops new calls (FN-06, FN-07)"),
        "credit_limit": decimal("Most the account may owe, calls that are up included, in its deck's currency; none = no limit, and nothing for a prepaid one"),
        "slice_s": whole(1, 3_600, "How long a call is paid for in advance, each time anew"),
        "warn_pct": list(whole(1, 99, "Percent of the limit"), "At which use of the limit people are told, besides 100, rising"),
        "fraud_policy": name("Fraud policy; none = default"),
        "carriers": list(name("A carrier"), "Carriers its calls may go to; empty = all"),
        "max_attempts": whole(1, 255, "Carriers tried for one call (R-35)"),
        "margin_guard": flag("Refuse routes that are expected to lose money (R-41)"),
        "min_margin": decimal("Least a call must be expected to earn with the margin guard, in its deck's currency; none = 0"),
        "route_policy": name("How its calls' carriers are ordered; none = by expected cost"),
        "route_classes": list(text("A class"), "Classes of routes the account buys (S1-23); empty = all"),
        "cnam": flag("Look up the names of callers that send none, on each of its trunks (R-29)"),
        "test": flag("Left out of KPIs and billing (C-107)"),
        "tax": part("tax_profile", "Where it is taxed; none = its invoices have the taxes their details name"),
    });
    object("Who pays", &["sell_deck"], properties, defaults)
}

fn trunk() -> Value {
    let defaults: Option<control::Trunk> = serde_json::from_value(json!({ "account": "", "sources": [] })).ok();
    let mut sources = list(formatted("source", "A source"), "CIDR, IP or IP:PORT; the most specific party of an address wins");
    sources["minItems"] = 1.into();
    let properties = json!({
        "account": name("Who pays for its calls"),
        "sources": sources,
        "channels": whole(1, LARGE, "Calls at once"),
        "cps": whole(1, LARGE, "New calls a second"),
        "burst": whole(0, LARGE, "Calls beyond cps that one moment may bring"),
        "numbers": part("number_plan", "How the trunk writes numbers"),
        "dial": part("dial_policy", "What the trunk may dial"),
        "emergency": list(formatted("dialled", "A dialled string"), "Whole dialled strings that are emergency calls, beside urn:service:sos"),
        "require_cli": flag("Refuse callers without a valid number (R-03)"),
        "party": name("Who it belongs to, where that party is a carrier, too: its calls do not go back to it (R-42)"),
        "relay_503": flag("Relay a carrier's lone 503 as it is (P-10)"),
        "trust_npdi": flag("Believe what its numbers say of portability (npdi, rn) and of the caller's switch (jip); no look-up is made then (R-04)"),
        "cnam": flag("Look up the names of callers that send none, for carriers to show (R-29)"),
    });
    object("Where an account's calls come in", &["account", "sources"], properties, defaults)
}

fn number_plan() -> Value {
    let properties = json!({
        "country_code": text("Own country calling code; empty = numbers come in international form only"),
        "international_prefixes": list(text("Dialled before an international number"), "Longest first wins"),
        "national_prefix": text("Dialled before a national number; empty = none"),
        "national_min": whole(0, 255, "Least digits of a national number"),
        "national_max": whole(0, 255, "Most digits of a national number"),
        "bare_is_e164": flag("Numbers without plus or prefix already are E.164"),
        "refuse_invalid": flag("Refuse numbers the plan says cannot exist, rather than record it"),
    });
    object("How the trunk writes numbers (R-01, S1-05)", &[], properties, control::NumberPlan::default())
}

fn dial_policy() -> Value {
    let prefixes = |about| list(formatted("number-prefix", "1 to 15 digits, a leading + is dropped"), about);
    let properties = json!({
        "international": flag("International numbers"),
        "premium": flag("Premium numbers"),
        "high_risk": flag("Satellite, the risk list and listed numbers"),
        "unknown": flag("Numbers that no assigned country code begins (R-02)"),
        "test_numbers": one_of(&["mark", "reject"], "Numbers on test-number lists (R-02)"),
        "hot_numbers": one_of(&["mark", "reject"], "Numbers on lists of numbers known for abuse (R-02)"),
        "max_rate": decimal("Most a minute may cost the customer, in the deck's currency; null = no limit"),
        "daily_spend": decimal("Most the trunk may spend in a UTC day; null = no limit"),
        "allow": prefixes("Number prefixes that pass whatever the switches say"),
        "deny": prefixes("Number prefixes that never pass"),
        "group_channels": whole(1, LARGE, "Calls at once to one destination group; none = the trunk's channels"),
        "hot_spot_channels": whole(0, LARGE, "Calls at once to each high-risk group"),
        "hot_spot_calls_12h": whole(0, LARGE, "Calls in 12 h to each high-risk group"),
    });
    let mut schema = object("What the trunk may dial; the defaults are the safe ones", &[], properties, control::DialPolicy::default());
    for limit in ["max_rate", "daily_spend"] {
        let property = schema["properties"][limit].take();
        schema["properties"][limit] = or_null(property);
    }
    schema
}

fn carrier() -> Value {
    let defaults: Option<control::Carrier> = serde_json::from_value(json!({ "addresses": [], "deck": "" })).ok();
    let statuses = |about| list(whole(300, 699, "A final response"), about);
    let mut addresses = list(formatted("ip-port", "IP:PORT"), "Calls go to the first; the others are siblings that may send in-dialog requests");
    addresses["minItems"] = 1.into();
    let properties = json!({
        "addresses": addresses,
        "sources": list(formatted("source", "A source"), "Further CIDR, IP or IP:PORT that are this carrier"),
        "deck": name("What the carrier charges"),
        "prefix": formatted("dial-prefix", "Put before the E.164 digits in the Request-URI: +, a tech prefix, or nothing"),
        "channels": whole(1, LARGE, "Calls at once; none = no limit"),
        "cps": whole(1, LARGE, "New calls a second; none = no limit"),
        "route_class": text("Class of the rows of its deck that name none"),
        "emergency": flag("Takes emergency calls"),
        "suspended": flag("Gets no calls"),
        "party": name("Who it belongs to, where several are one: a call never goes back to where it came from (R-42); none = itself"),
        "upstream": name("Whose network its calls run over (S1-27); none = its own"),
        "cli_guaranteed": flag("Calling numbers arrive as they were sent"),
        "priority": whole(0, LARGE, "Decides between carriers of like cost, higher first"),
        "weight": whole(0, LARGE, "Decides after the priority, higher first"),
        "timers": part("carrier_timers", "P-46 for this carrier"),
        "advance_on": statuses("Final responses that move on to the next carrier, over the defaults of P-47"),
        "stop_on": statuses("Final responses that stop, over the defaults of P-47"),
    });
    object("Where calls go", &["addresses", "deck"], properties, defaults)
}

fn route_policy() -> Value {
    let percent = |about: &str| decimal(&format!("{about}, percent"));
    let properties = json!({
        "order": one_of(&["cost", "score", "quality", "weight", "penalties"], "cost: cheapest call first; score: what the whole hunt is expected to earn; quality: by metrics; weight: priority, then weight; penalties: best first by multiplicative penalties"),
        "metrics": list(one_of(&["asr", "ner", "ccr", "acd", "tcd", "tcc", "pdd"], "A metric"), "What order: quality compares, one after the other"),
        "delta": decimal("Carriers whose call costs so much more than the cheapest are of like cost, in money; none = no band"),
        "delta_pct": percent("The same, of the cheapest one's cost"),
        "splits": list(part("route_split", "A share"), "Percent of calls that go to a carrier first"),
        "floors": part("route_floors", "Under which a carrier gets no call"),
        "exploration_pct": percent("Calls that first try a carrier that was demoted or of which too little is known (R-40), 0 to 5"),
        "premium": flag("No exploration: premium traffic is not for trying out"),
        "cli_guaranteed": flag("Only carriers that guarantee the calling number"),
        "delay_price": decimal("What a second of the caller's waiting costs, in the currency of the sale; counts in order: score"),
        "max_attempts": whole(1, 255, "Carriers tried for one call, within what the account allows"),
        "classes": list(text("A class"), "Classes allowed, within those the account buys; empty = those"),
    });
    object("How carriers are chosen and ordered (R-35 to R-40)", &[], properties, control::RoutePolicy::default())
}

fn route_split() -> Value {
    let properties = json!({ "carrier": name("Who"), "percent": whole(1, 100, "Of the calls that may go there") });
    object("A carrier's share of calls", &["carrier", "percent"], properties, Value::Null)
}

fn route_floors() -> Value {
    let properties = json!({
        "asr": decimal("Least answer-seizure ratio, percent, Wilson's lower bound (S1-08)"),
        "ner": decimal("Least network-effectiveness ratio, percent, Wilson's lower bound"),
        "class": text("Lowest class of classes_from_best"),
        "classes_from_best": list(text("A class"), "Classes in order, best first"),
    });
    object("Under which a carrier gets no call, whatever its price", &[], properties, control::RouteFloors::default())
}

fn carrier_timers() -> Value {
    let ms = |about| whole(1, DAY_MS, about);
    let properties = json!({
        "first_response_ms": ms("Nothing at all: move on; none = the node's"),
        "pdd_ms": ms("No 18x: move on; none = the node's"),
        "no_answer_ms": ms("Ringing without an answer: stop; none = the node's"),
    });
    object("P-46, per carrier", &[], properties, control::CarrierTimers::default())
}

fn deck() -> Value {
    let defaults: Option<control::Deck> = serde_json::from_value(json!({})).ok();
    let properties = json!({
        "file": text("The sheet as a CSV file, relative to the document; it is read where apply runs"),
        "csv": text("The sheet itself, instead of a file"),
        "version": text("Set when the document is accepted: first 16 hex digits of the sheet's SHA-256"),
        "currency": formatted("currency", "ISO 4217; the sheet's own column goes before it"),
        "timezone": formatted("timezone", "IANA zone of dates without a time"),
        "places": whole(0, 8, "Decimal places of an amount (R-08)"),
        "rounding": one_of(&["half_up", "up", "half_even", "down"], "How an amount is rounded (R-08)"),
        "tariff": part("tariff", "What is charged beyond the rows; none = nothing"),
        "jurisdiction": part("jurisdiction_rules", "Which of the sheet's prices by US jurisdiction a call has (R-25)"),
        "lookup_fees": part("lookup_fees", "What look-ups cost whoever buys from this deck (R-29)"),
        "notice_days": whole(0, 366, "Days of notice that what gets dearer needs in an import, 7 by default (R-13)"),
    });
    let mut schema = object("A rate sheet: file or csv, one of them", &[], properties, defaults);
    schema["oneOf"] = json!([{ "required": ["file"] }, { "required": ["csv"] }]);
    schema
}

fn tariff() -> Value {
    let ms = |about| whole(0, DAY_MS, about);
    let properties = json!({
        "seconds": one_of(&["ceil", "half_up", "floor"], "How a duration becomes whole seconds (R-06)"),
        "tolerance_ms": ms("Cut from the duration before that"),
        "grace_ms": ms("Answered calls up to this long cost what an unanswered one does (R-09)"),
        "free_s": whole(0, 86_400, "The first seconds have no price; charging begins after them"),
        "min_charge": decimal("Least an answered call's usage comes to"),
        "max_charge": decimal("Most an answered call's usage comes to"),
        "at_max": one_of(&["free", "disconnect"], "At the maximum the call goes on for nothing, or is ended"),
        "answer_fee": decimal("Once of an answered call"),
        "attempt_fee": decimal("Of every attempt, answered or not (R-44)"),
        "ringing_fee": decimal("Per minute of ringing, to the second"),
        "call_fee": decimal("Once of every call, answered or not"),
        "steps": list(part("tariff_step", "A step"), "Other prices from some time into the call on (R-17)"),
        "profiles": list(part("time_profile", "A profile"), "Other prices by the clock, in the deck's zone (R-18)"),
        "split_at_change": flag("A row that comes into force while a call is up prices the rest of it (R-12)"),
    });
    object("How calls are charged beyond rate, connect fee and increments of their row", &[], properties, control::Tariff::default())
}

fn tariff_step() -> Value {
    let defaults: Option<control::TariffStep> = serde_json::from_value(json!({ "after_s": 1 })).ok();
    let properties = json!({
        "after_s": whole(1, 86_400, "Seconds from the answer"),
        "rate_factor": decimal("Of the price that holds from the answer on"),
        "deck": name("A deck of the same currency whose own longest prefix gives the price"),
        "increment_s": whole(1, 86_400, "Increment from then on; none = as before"),
    });
    object("A price from some time into the call on: rate_factor or deck", &["after_s"], properties, defaults)
}

fn time_profile() -> Value {
    let defaults: Option<control::TimeProfile> = serde_json::from_value(json!({ "name": "" })).ok();
    let properties = json!({
        "name": text("Shown in explanations"),
        "rate_factor": decimal("Of the row's price of a minute; connect fee and increments stay the row's"),
        "deck": name("A deck of the same currency whose own longest prefix gives the price; without one the row's own stays"),
        "weekdays": list(one_of(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "A day of the week"), "Empty = every day"),
        "months": list(whole(1, 12, "A month"), "Empty = every month"),
        "days": list(whole(1, 31, "A day of the month"), "Empty = every day"),
        "dates": list(formatted("day", "YYYY-MM-DD"), "Empty = every day; a holiday is a profile with dates and a higher weight"),
        "from": formatted("clock", "HH:MM or HH:MM:SS it begins at"),
        "to": formatted("clock", "HH:MM or HH:MM:SS it ends before, 24:00 = the end of the day; not after from: it lasts over midnight"),
        "weight": json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX, "description": "Of those that hold the highest wins; of equals the one that began last" }),
    });
    object("When another price holds, and which: rate_factor or deck", &["name"], properties, defaults)
}

fn fraud_policy() -> Value {
    let properties = json!({
        "rules": { "type": "array", "items": part("fraud_rule", "A rule"), "maxItems": 16, "description": "Judged per account and destination group" },
        "block_s": whole(0, YEAR_S, "How long a block made by a critical verdict stands; 0 = alerts only"),
        "block_scope": one_of(&["dest_group", "high_risk", "international"], "What a critical verdict blocks, of the account"),
        "sip_code": whole(400, 699, "What blocked calls are refused with"),
        "teardown": flag("End the calls that are up, too"),
        "cool_down_s": whole(0, YEAR_S, "Do not raise the same verdict for the same key again within this time"),
        "high_risk_prefixes": list(formatted("number-prefix", "1 to 15 digits, a leading + is dropped"), "High risk, over the built-in list"),
        "allow_groups": list(text("A destination group"), "Destination groups that are never judged"),
    });
    object("What the fraud stage judges, for accounts that name this policy", &[], properties, control::FraudPolicy::default())
}

fn fraud_rule() -> Value {
    let defaults: Option<control::FraudRule> = serde_json::from_value(json!({ "feature": "" })).ok();
    let properties = json!({
        "feature": one_of(&["concurrent_calls", "calls_per_minute", "spend", "call_duration"], "What is measured"),
        "watch": one_of(&["all", "international", "high_risk"], "Which destinations the rule watches"),
        "window_s": whole(1, 7 * 86_400, "Window of spend; calls_per_minute always has 60"),
        "warning": decimal("Calls, money or seconds; reached means hit; none = off"),
        "critical": decimal("Calls, money or seconds; reached means hit; none = off"),
    });
    object("One threshold pair", &["feature"], properties, defaults)
}

fn spec(kind: Kind) -> Value {
    match kind {
        Kind::NumberTable => geography::number_table(),
        Kind::OriginGroup => geography::origin_group(),
        Kind::Surcharge => geography::surcharge(),
        Kind::NumberList => geography::number_list(),
        Kind::FxRate => geography::fx_rate(),
        Kind::Tax => geography::tax(),
        Kind::Deck => deck(),
        Kind::FraudPolicy => fraud_policy(),
        Kind::Carrier => carrier(),
        Kind::RoutePolicy => route_policy(),
        Kind::Account => account(),
        Kind::Trunk => trunk(),
        Kind::Contract => contract::contract(),
    }
}

/// The whole schema.
pub fn schema() -> Value {
    let mut parts = Map::new();
    let mut documents = Vec::new();
    for kind in Kind::ALL {
        parts.insert(kind.name().to_owned(), spec(kind));
        documents.push(json!({
            "type": "object",
            "required": ["kind", "name", "spec"],
            "properties": {
                "kind": { "const": kind.name() },
                "name": name("What others call it by; one of its kind has it"),
                "spec": { "$ref": format!("#/$defs/{}", kind.name()) },
            },
            "additionalProperties": false,
        }));
    }
    for (name, part) in geography::parts().into_iter().chain(contract::parts()) {
        parts.insert(name.to_owned(), part);
    }
    let parts_of_kinds = [
        ("number_plan", number_plan()),
        ("dial_policy", dial_policy()),
        ("carrier_timers", carrier_timers()),
        ("fraud_rule", fraud_rule()),
        ("route_split", route_split()),
        ("route_floors", route_floors()),
        ("tariff", tariff()),
        ("tariff_step", tariff_step()),
        ("time_profile", time_profile()),
    ];
    for (name, part) in parts_of_kinds {
        parts.insert(name.to_owned(), part);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tollgate provisioning document",
        "oneOf": documents,
        "$defs": parts,
    })
}
