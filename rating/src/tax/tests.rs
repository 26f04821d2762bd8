use std::collections::BTreeMap;

use tollgate_schemas::{
    control,
    money::{format_scaled, parse_scaled},
    time::parse_rfc3339,
};

use super::*;

fn at(text: &str) -> i64 {
    parse_rfc3339(&format!("{text}T00:00:00Z")).expect("a day of the test")
}

fn tables(yaml: serde_json::Value) -> Result<TaxTables, Vec<String>> {
    let documents: BTreeMap<String, control::Tax> = serde_json::from_value(yaml).expect("documents of the test");
    TaxTables::compile(&documents).map_err(|bad| bad.into_iter().map(|(name, b)| format!("{name}: {b}")).collect())
}

/// The published quarters of R-31, an EU country, and a state charge per line.
fn world() -> TaxTables {
    tables(serde_json::json!({
        "us": { "country": "US", "rows": [
            { "code": "usf-share", "kind": "share", "rate": "64.9" },
            { "code": "usf", "rate": "38.1", "base": "interstate", "resale_exempt": true, "from": "2025-10-01", "until": "2026-01-01" },
            { "code": "usf", "rate": "37.6", "base": "interstate", "resale_exempt": true, "from": "2026-01-01", "until": "2026-04-01" },
            { "code": "usf", "rate": "37.0", "base": "interstate", "resale_exempt": true, "from": "2026-04-01", "until": "2026-07-01" },
        ] },
        "us-tx": { "country": "US", "region": "TX", "rows": [{ "code": "911", "kind": "per_line", "rate": "0.50" }] },
        "de": { "country": "DE", "rows": [{ "code": "vat", "rate": "19", "reverse_charge": true }] },
        "nl": { "country": "NL", "rows": [{ "code": "vat", "rate": "21", "reverse_charge": true }] },
    }))
    .expect("tables are right")
}

fn query<'a>(country: &'a str, region: &'a str, day: &str) -> TaxQuery<'a> {
    TaxQuery {
        country,
        region,
        seller_country: "NL",
        at_us: at(day),
        amount_e8: parse_scaled("100.00", 8).expect("an amount"),
        currency: "USD",
        places: 2,
        lines: 3,
        valid_vat_id: false,
        certificate_until_us: None,
        interstate_e6: None,
    }
}

/// `code amount reason` of each line.
fn shown(query: &TaxQuery<'_>) -> Vec<String> {
    let lines = world().lines(query).unwrap_or_else(|e| panic!("{e}"));
    lines.iter().map(|l| format!("{} {} {}", l.code, format_scaled(l.amount_e8, 8, 2), l.reason).trim_end().to_owned()).collect()
}

#[test]
fn r_31_usf_is_of_the_assessable_share_at_the_quarters_factor() {
    // $100.00 × 64.9 % × 37.0 % = 24.013.
    assert_eq!(shown(&query("US", "", "2026-05-15")), ["usf 24.01"]);
    assert_eq!(shown(&query("US", "", "2026-02-15")), ["usf 24.40"]);
    assert_eq!(shown(&query("US", "", "2025-12-31")), ["usf 24.73"]);
    // The day a factor begins is its own.
    assert_eq!(shown(&query("US", "", "2026-04-01")), ["usf 24.01"]);
    // Beyond the last published quarter there is no factor, and none is made up.
    assert!(shown(&query("US", "", "2026-07-01")).is_empty());
    let study = TaxQuery { interstate_e6: Some(100_000), ..query("US", "", "2026-05-15") };
    assert_eq!(shown(&study), ["usf 3.70"], "a traffic study goes before the safe harbour");
}

#[test]
fn r_31_a_reseller_with_a_valid_certificate_is_left_out() {
    let day = "2026-05-15";
    let certified = |until| TaxQuery { certificate_until_us: Some(at(until)), ..query("US", "", day) };
    assert_eq!(shown(&certified("2026-06-01")), ["usf 0.00 resale certificate"]);
    assert_eq!(shown(&certified("2026-05-15")), ["usf 24.01"], "it ends on that day");
}

#[test]
fn r_32_charges_per_line_belong_to_their_region() {
    assert_eq!(shown(&query("US", "TX", "2026-05-15")), ["usf 24.01", "911 1.50"]);
    assert_eq!(shown(&query("US", "CA", "2026-05-15")), ["usf 24.01"]);
}

#[test]
fn r_32_vat_is_reversed_for_a_valid_vat_id_abroad() {
    for (country, valid_vat_id, want) in [
        ("DE", true, "vat 0.00 reverse charge"),
        ("DE", false, "vat 19.00"),
        // At home the seller charges it whatever the id.
        ("NL", true, "vat 21.00"),
        ("NL", false, "vat 21.00"),
    ] {
        assert_eq!(shown(&TaxQuery { valid_vat_id, ..query(country, "", "2026-05-15") }), [want], "{country} {valid_vat_id}");
    }
}

#[test]
fn r_32_what_is_not_known_is_an_error_and_every_line_is_labelled() {
    assert_eq!(world().lines(&query("FR", "", "2026-05-15")), Err(TaxError::NoTable { country: "FR".to_owned() }));
    let no_share = tables(serde_json::json!({ "us": { "country": "US", "rows": [{ "code": "usf", "rate": "37", "base": "interstate" }] } })).expect("right");
    assert!(matches!(no_share.lines(&query("US", "", "2026-05-15")), Err(TaxError::NoShare { .. })));
    let lines = world().lines(&query("US", "", "2026-05-15")).expect("lines");
    assert!(lines.iter().all(|l| l.note.contains("non-authoritative")));
    assert_eq!(format_scaled(lines[0].base_e8, 8, 2), "64.90");
}

#[test]
fn r_31_tables_that_cannot_be_are_told_row_by_row() {
    let bad = tables(serde_json::json!({ "x": { "country": "usa", "rows": [
        { "code": "a", "rate": "101" }, { "code": "b", "rate": "x" }, { "code": "c", "kind": "lump", "rate": "1" },
        { "code": "d", "rate": "1", "base": "some" }, { "code": "e", "rate": "1", "from": "1.1.26" },
        { "code": "f", "rate": "1", "from": "2026-01-01" }, { "code": "f", "rate": "2", "until": "2026-02-01" },
    ] } }));
    let text = bad.err().unwrap_or_default();
    assert_eq!(text.len(), 7, "{text:#?}");
}
