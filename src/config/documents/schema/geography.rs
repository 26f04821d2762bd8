//! Number tables, origin groups, surcharges, exchange rates and taxes, and what decks say of them.

use serde_json::{Value, json};
use tollgate_schemas::control;

use super::{decimal, flag, formatted, list, name, object, one_of, part, text};

fn day(about: &str) -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "description": format!("{about} (YYYY-MM-DD)") })
}

pub(super) fn number_table() -> Value {
    let properties = json!({
        "file": text("The table as a CSV file (npanxx,state,lata,ocn,rate_center), relative to the document; it is read where apply runs"),
        "csv": text("The table itself, instead of a file"),
        "version": text("Set when the document is accepted: first 16 hex digits of the table's SHA-256"),
    });
    let mut schema = object("Which state, LATA, company and rate centre an exchange is of (R-25): file or csv, one of them", &[], properties, control::NumberTable::default());
    schema["oneOf"] = json!([{ "required": ["file"] }, { "required": ["csv"] }]);
    schema
}

pub(super) fn origin_group() -> Value {
    let properties = json!({
        "members": list(part("origin_member", "A range of calling numbers"), "Who is in the group"),
        "except": name("A group with members: this one is every valid number that is not of it"),
    });
    object("Callers that prices tell apart (R-27); built in: eea, non-eea, invalid", &[], properties, control::OriginGroup::default())
}

fn origin_member() -> Value {
    let properties = json!({
        "prefix": formatted("number-prefix", "Digits the calling number starts with"),
        "from": day("First day of membership; none = since ever"),
        "until": day("First day without; none = until further notice"),
    });
    object("A dated membership", &["prefix"], properties, Value::Null)
}

pub(super) fn surcharge() -> Value {
    let properties = json!({
        "currency": formatted("currency", "ISO 4217"),
        "decks": list(name("A deck"), "Decks whose prices it adds to; empty = every deck in the currency"),
        "rows": list(part("surcharge_row", "A row"), "At most one applies to a call, the narrowest"),
    });
    let mut schema = object("A table of surcharges by origin (R-27); tables add up", &["currency", "rows"], properties, json!({ "decks": [] }));
    schema["properties"]["rows"]["minItems"] = 1.into();
    schema
}

fn surcharge_row() -> Value {
    let properties = json!({
        "origin_group": name("Group of the caller; none = every caller"),
        "dest_group": name("Origin group that the called number is of"),
        "prefixes": list(formatted("number-prefix", "Digits the called number starts with"), "Any of them"),
        "destinations": list(text("A destination group"), "As the deck names them"),
        "per_minute": decimal("Added to the price of a minute"),
        "per_call": decimal("Once per answered call, a line of its own"),
        "from": day("First day; none = since ever"),
        "until": day("First day without; none = until further notice"),
        "legs": list(one_of(&["sell", "cost"], "A leg"), "Empty = both"),
    });
    let defaults = json!({ "prefixes": [], "destinations": [], "per_minute": "0", "per_call": "0", "legs": [] });
    object("What calls of an origin to a destination cost more", &[], properties, defaults)
}

pub(super) fn number_list() -> Value {
    let properties = json!({
        "list": one_of(&["test", "hot"], "Test numbers of revenue-share ranges, or numbers known for abuse"),
        "source": text("Who publishes it"),
        "numbers": list(part("listed_number", "Numbers"), "Dated; a number on several lists is on the first by kind (test, hot) and name"),
    });
    object("Called numbers of a subscription (R-02); what trunks do with them: dial.test_numbers, dial.hot_numbers", &["list", "numbers"], properties, Value::Null)
}

fn listed_number() -> Value {
    let number = |about| json!({ "type": "string", "pattern": "^\\+?[0-9]{1,15}\\*?$", "description": about });
    let properties = json!({
        "number": number("E.164 digits: the whole number, or with * at the end whatever starts with it"),
        "to": number("Last number of a range that begins with number, of as many digits"),
        "from": day("First day; none = since ever"),
        "until": day("First day without; none = until further notice"),
    });
    object("A number, a prefix or a range", &["number"], properties, Value::Null)
}

pub(super) fn fx_rate() -> Value {
    let properties = json!({
        "source": text("Who published them"),
        "rates": list(part("fx_day", "A rate"), "A pair has one rate a day"),
    });
    object("Exchange rates by day (R-30)", &["source", "rates"], properties, Value::Null)
}

fn fx_day() -> Value {
    let properties = json!({
        "base": formatted("currency", "One unit of this"),
        "quote": formatted("currency", "is so many units of this"),
        "rate": decimal("Units of quote for one of base"),
        "date": day("Day of UTC it is of; it holds for up to 7 days more where no newer one is there"),
    });
    object("A dated rate", &["base", "quote", "rate", "date"], properties, Value::Null)
}

pub(super) fn tax() -> Value {
    let properties = json!({
        "country": text("ISO 3166 of the customer's place"),
        "region": text("State or region; none = the whole country"),
        "rows": list(part("tax_row", "A row"), "Dated; rows of one code must not overlap"),
    });
    object("Taxes and regulatory charges by day (R-31, R-32); not authoritative", &["country", "rows"], properties, Value::Null)
}

fn tax_row() -> Value {
    let properties = json!({
        "code": text("What the line is called: usf, vat"),
        "kind": one_of(&["percent", "per_line", "share"], "share = the assessable part of revenue, no line of its own"),
        "rate": decimal("Percent, or an amount for per_line"),
        "base": one_of(&["all", "interstate"], "What a percentage is of"),
        "reverse_charge": flag("Not charged to a business abroad with a valid VAT id"),
        "resale_exempt": flag("Not charged to a reseller with a valid certificate"),
        "from": day("First day; none = since ever"),
        "until": day("First day without; none = until further notice"),
    });
    let defaults = json!({ "kind": "percent", "base": "all", "reverse_charge": false, "resale_exempt": false });
    object("A dated rate of tax", &["code", "rate"], properties, defaults)
}

fn jurisdiction_rules() -> Value {
    let unknown = &["ij_rate", "highest", "intrastate"];
    let properties = json!({
        "caller": one_of(&["ani", "routing"], "Which number says where the caller is"),
        "indeterminate": one_of(unknown, "What a call costs when one side's state is not known"),
        "invalid_caller": one_of(unknown, "The same for callers without a valid number; none = as indeterminate"),
    });
    object("A contract's reading of US jurisdiction", &[], properties, control::JurisdictionRules::default())
}

fn lookup_fees() -> Value {
    let properties = json!({
        "lrn": decimal("A portability look-up made for the call"),
        "cnam": decimal("A caller-name look-up"),
        "toll_free": decimal("The toll-free query, once however many carriers are tried"),
    });
    object("Fees of look-ups, per call", &[], properties, control::LookupFees::default())
}

/// What the documents are made of.
pub(super) fn parts() -> [(&'static str, Value); 7] {
    [
        ("origin_member", origin_member()),
        ("listed_number", listed_number()),
        ("surcharge_row", surcharge_row()),
        ("fx_day", fx_day()),
        ("tax_row", tax_row()),
        ("jurisdiction_rules", jurisdiction_rules()),
        ("lookup_fees", lookup_fees()),
    ]
}
