//! Contracts and where an account is taxed.

use serde_json::{Value, json};
use tollgate_schemas::control;

use super::{LARGE, decimal, formatted, list, name, object, one_of, part, text, whole};

/// Rules of one sort in a contract, at most.
const RULES: u64 = 32;
/// Minutes of a bundle and bounds of steps: what counts without overflow.
const COUNT: u64 = 1_000_000_000_000;

fn few(of: Value, least: u64, about: &str) -> Value {
    let mut list = list(of, about);
    (list["minItems"], list["maxItems"]) = (least.into(), RULES.into());
    list
}

fn scope(properties: &mut Value) {
    properties["destinations"] = list(text("A destination group"), "As the deck names them; with prefixes both empty = everything");
    properties["prefixes"] = list(formatted("number-prefix", "Digits the called number starts with"), "Beside the destinations");
}

pub(super) fn contract() -> Value {
    let defaults: Option<control::Contract> = serde_json::from_value(json!({ "account": "", "currency": "" })).ok();
    let mut defaults = serde_json::to_value(defaults).unwrap_or_default();
    (defaults["bundles"], defaults["volumes"]) = (json!([]), json!([]));
    let properties = json!({
        "account": name("Whose calls; at most one contract at a time"),
        "currency": formatted("currency", "ISO 4217 of its invoices; calls in another are converted at the rate of their answer's day (R-30)"),
        "from": formatted("day", "First day, in the invoice's zone; none = since ever"),
        "until": formatted("day", "First day without it; none = until further notice"),
        "cycle": one_of(&["month", "half_month", "week", "invoice"], "What its amounts are for and an invoice covers; invoice = whatever period that has"),
        "partial": one_of(&["prorate", "full"], "In a cycle its own first or last day cuts: amounts and minutes by days, or whole"),
        "commitment": decimal("Least that calls come to in a cycle, after bundles and tiers"),
        "bundles": few(part("bundle", "Minutes"), 0, "Minutes that are paid for; drawn before tiers count"),
        "volumes": few(part("volume", "Tiers"), 0, "Of several that cover a call the first counts it"),
        "short_calls": part("short_call_policy", "Fee for too many short calls (R-28); none = none"),
    });
    object("Terms over a period of an account's own calls (R-22)", &["account", "currency"], properties, defaults)
}

fn bundle() -> Value {
    let mut properties = json!({
        "name": text("On the invoice"),
        "minutes": whole(1, COUNT, "Of a cycle"),
        "price": decimal("Of a cycle"),
        "weight": json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX, "description": "The highest is drawn first; of equals the first in the list" }),
    });
    scope(&mut properties);
    object("Minutes paid for", &["name", "minutes"], properties, json!({ "price": "0", "weight": 0, "destinations": [], "prefixes": [] }))
}

fn volume() -> Value {
    let mut properties = json!({
        "name": text("On the invoice"),
        "mode": one_of(&["incremental", "whole_volume"], "incremental: a step prices what is inside it; whole_volume: the step reached prices everything"),
        "basis": one_of(&["minutes", "amount"], "What steps count: billed minutes, or units of the currency"),
        "steps": few(part("volume_step", "A step"), 1, "Rising, the first from 0"),
    });
    scope(&mut properties);
    object("Volume tiers", &["name", "mode", "basis", "steps"], properties, json!({ "destinations": [], "prefixes": [] }))
}

fn volume_step() -> Value {
    let properties = json!({
        "from": whole(0, COUNT, "Minutes or units of the currency"),
        "rate": decimal("Instead of what the deck charged, per minute"),
        "discount_pct": decimal("Percent off what the deck charged"),
    });
    let mut schema = object("A step: rate or discount_pct", &["from"], properties, Value::Null);
    schema["oneOf"] = json!([{ "required": ["rate"] }, { "required": ["discount_pct"] }]);
    schema
}

fn short_call_policy() -> Value {
    let properties = json!({
        "max_s": whole(1, 3_600, "A call up to so many seconds is short"),
        "allowance_pct": decimal("Percent of connected calls that may be short"),
        "fee": decimal("Per call charged"),
        "charge": one_of(&["all", "excess"], "All short calls of a breach, or those over the allowance"),
        "min_calls": whole(0, LARGE, "Fewer connected calls are not judged"),
    });
    object("When short calls cost (R-28)", &[], properties, control::ShortCallPolicy::default())
}

fn tax_profile() -> Value {
    let properties = json!({
        "seller_country": text("ISO 3166 of who sells"),
        "places": few(part("tax_place", "A place"), 1, "Their shares are 100 percent together"),
        "vat_id": text("The customer's"),
        "vat_id_checked": formatted("day", "Day it was found valid; none = not checked, and VAT is charged"),
        "certificate": text("Number of a reseller's certificate (R-31)"),
        "certificate_until": formatted("day", "First day it does not stand"),
        "interstate_pct": decimal("Interstate and international part of the revenue by traffic study; none = safe harbour"),
    });
    object("Where an account is taxed, and as what (R-31, R-32)", &["seller_country", "places"], properties, Value::Null)
}

fn tax_place() -> Value {
    let properties = json!({
        "country": text("ISO 3166"),
        "region": text("State or region; none = not known"),
        "share_pct": decimal("Percent of the invoice's revenue"),
        "lines": whole(0, LARGE, "Lines there, for charges per line"),
    });
    object("A place a part of the revenue is of", &["country"], properties, json!({ "share_pct": "100", "lines": 0 }))
}

/// What the documents are made of.
pub(super) fn parts() -> [(&'static str, Value); 6] {
    [
        ("bundle", bundle()),
        ("volume", volume()),
        ("volume_step", volume_step()),
        ("short_call_policy", short_call_policy()),
        ("tax_profile", tax_profile()),
        ("tax_place", tax_place()),
    ]
}
