//! The shapes of bodies and answers, as JSON Schema.

mod reports;
mod routing;

use serde_json::{Map, Value, json};
use tollgate_schemas::cdr::{COLUMNS, Column, ColumnType};

use crate::render;

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn page(item: &str) -> Value {
    object(json!({ "items": { "type": "array", "items": reference(item) }, "next_cursor": { "type": ["string", "null"] } }), &[])
}

/// An object with these properties and no others; all are there but those in `optional`.
fn object(properties: Value, optional: &[&str]) -> Value {
    let names = properties.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<&String> = names.filter(|n| !optional.contains(&n.as_str())).collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn decimal() -> Value {
    json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn or_null(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

/// A spec as people write it; what it may hold is checked by the owner of provisioning, with every mistake named.
fn spec(about: &str) -> Value {
    json!({ "type": "object", "description": about })
}

fn cdr() -> Value {
    let property = |c: &Column| {
        let mut schema = match c.ty {
            ColumnType::Uuid => id(),
            ColumnType::Str => text(),
            ColumnType::Bool => flag(),
            ColumnType::U32 | ColumnType::U64 => count(),
            ColumnType::Ts => time(),
            ColumnType::Money | ColumnType::Rate => decimal(),
        };
        if c.optional {
            schema = or_null(schema);
        }
        schema["description"] = format!("{} ({})", c.meaning, c.source).into();
        (c.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = COLUMNS.iter().map(property).collect();
    let hidden: Vec<&str> = COLUMNS.iter().map(|c| c.name).filter(|n| render::is_wholesale(n)).collect();
    object(Value::Object(properties), &hidden)
}

fn live_call() -> Value {
    let properties = json!({
        "call_uuid": id(), "account": text(), "root_account": text(), "trunk": text(), "a_number": text(), "b_number": text(),
        "dest_group": text(), "state": { "type": "string", "enum": ["trying", "ringing", "answered", "ending"] },
        "invite_ts": or_null(time()), "answer_ts": or_null(time()), "sell_rate": text(), "currency": text(), "spent": decimal(),
        "emergency": flag(), "carrier": text(), "attempt_no": count(),
    });
    object(properties, &["carrier", "attempt_no"])
}

fn features() -> Value {
    let one = object(
        json!({ "name": text(), "value": { "type": "integer" }, "threshold": { "type": "integer" }, "unit": text(), "counted_at": text() }),
        &[],
    );
    json!({ "type": "array", "items": one })
}

fn alert() -> Value {
    object(
        json!({
            "alert_id": id(), "raised_ts": or_null(time()), "rule": text(), "severity": { "type": "string", "enum": ["warning", "critical"] },
            "open": { "type": "boolean", "description": "Its block is active; without a block: what it tells of is not over, or raised in the last 15 minutes" },
            "account": text(), "root_account": text(), "dest_group": text(), "explanation": text(), "features": features(),
            "loss_amount": decimal(), "currency": text(), "first_ts": or_null(time()), "closed_ts": or_null(time()), "block_id": or_null(id()),
            "block_state": or_null(text()), "calls_refused": count(), "calls_ended": count(),
        }),
        &[],
    )
}

fn scope() -> Value {
    let properties = json!({
        "account": text(), "trunk": text(), "dest_group": text(), "a_number": text(), "b_number": text(), "b_prefix": text(),
        "ip": text(), "carrier": text(), "high_risk": flag(), "international": flag(),
    });
    let names: Vec<String> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    let mut out = object(properties, &names.iter().map(String::as_str).collect::<Vec<_>>());
    out["minProperties"] = 1.into();
    out["description"] = "All that is set must hold".into();
    out
}

fn block() -> Value {
    object(
        json!({
            "block_id": id(), "state": { "type": "string", "enum": ["active", "lifted", "expired"] }, "placed_ts": or_null(time()),
            "expires_ts": or_null(time()), "scope": reference("BlockScope"), "actor": text(), "reason": text(), "rule": text(),
            "sip_code": count(), "teardown": flag(), "evidence": features(), "calls_refused": count(), "calls_ended": count(),
            "lifted_ts": or_null(time()), "lifted_by": or_null(text()), "lift_reason": or_null(text()),
        }),
        &[],
    )
}

fn new_block() -> Value {
    object(
        json!({
            "scope": reference("BlockScope"), "reason": { "type": "string", "minLength": 1, "maxLength": 256 },
            "expires_s": { "type": ["integer", "null"], "minimum": 1, "maximum": crate::blocks::LONGEST_S },
            "teardown": { "type": "boolean", "default": false, "description": "End the calls that are up, too" },
            "sip_code": { "type": ["integer", "null"], "minimum": 400, "maximum": 699, "default": 403 },
            "force": { "type": "boolean", "default": false, "description": "Also of an account, trunk, carrier or destination group that there is not yet" },
        }),
        &["expires_s", "teardown", "sip_code", "force"],
    )
}

fn balance() -> Value {
    object(
        json!({
            "account": text(), "root_account": text(), "billing": { "type": "string", "enum": ["prepaid", "postpaid"] }, "currency": text(),
            "balance": decimal(), "held": decimal(), "deposits": decimal(), "exposure": decimal(), "credit_limit": or_null(decimal()),
            "available": or_null(decimal()),
        }),
        &[],
    )
}

fn payment_kind() -> Value {
    json!({ "type": "string", "enum": crate::balances::KINDS })
}

fn new_payment() -> Value {
    object(
        json!({
            "account": text(), "amount": decimal(), "currency": { "type": ["string", "null"] }, "kind": payment_kind(),
            "reason": { "type": "string", "minLength": 1, "maxLength": 256 },
            "reference": { "type": "string", "maxLength": 64, "description": "Booked once for the account: the same again answers the first, with another amount, kind or currency it is 409" },
        }),
        &["currency", "kind", "reference"],
    )
}

fn payment() -> Value {
    object(
        json!({
            "payment_id": id(), "account": text(), "kind": payment_kind(), "amount": decimal(), "currency": text(), "actor": text(),
            "reason": text(), "reference": text(),
        }),
        &[],
    )
}

fn figures() -> Value {
    let amounts = object(json!({ "revenue": decimal(), "fraud_loss": decimal(), "cost": decimal() }), &["cost"]);
    json!({
        "attempted": count(), "answered": count(), "refused": count(),
        "refused_by_reason": { "type": "object", "additionalProperties": count() },
        "money": { "type": "object", "additionalProperties": amounts, "description": "By currency" },
    })
}

fn stats() -> Value {
    let figures = object(figures(), &[]);
    let node = object(
        json!({ "node_id": text(), "uptime_s": count(), "cps_1s": count(), "cps_10s": decimal(), "draining": flag(), "log_health": text() }),
        &[],
    );
    object(
        json!({
            "at": time(), "calls_up": count(), "calls_answered": count(), "open_critical_alerts": count(), "active_blocks": count(),
            "last_minute": figures, "last_second": figures, "node": node,
        }),
        &["last_second", "node"],
    )
}

fn series() -> Value {
    let mut point = figures();
    point["at"] = time();
    object(
        json!({ "step": { "type": "string", "enum": ["second", "minute"] }, "points": { "type": "array", "items": object(point, &[]) } }),
        &[],
    )
}

fn traffic() -> Value {
    let figures = json!({
        "currency": text(), "calls": count(), "bids": count(), "refused": count(), "seizures": count(), "answered": count(),
        "asr": or_null(decimal()), "ner": or_null(decimal()), "abr": or_null(decimal()), "acd_s": or_null(decimal()),
        "pdd_ms_avg": or_null(decimal()), "pdd_ms_p50": or_null(count()), "pdd_ms_p95": or_null(count()),
        "minutes": decimal(), "billed_sell_s": count(), "billed_cost_s": count(), "revenue": decimal(), "cost": decimal(),
        "margin": decimal(), "margin_pct": or_null(decimal()),
    });
    let mut row = figures.clone();
    let groups = ["account", "trunk", "carrier", "destination", "country", "hour", "day"];
    for group in groups {
        row[group] = text();
    }
    let hidden = ["billed_cost_s", "cost", "margin", "margin_pct"];
    let optional: Vec<&str> = groups.into_iter().chain(hidden).collect();
    let no_percentiles: Vec<&str> = hidden.into_iter().chain(["pdd_ms_p50", "pdd_ms_p95"]).collect();
    object(
        json!({
            "scope": { "type": "string", "enum": ["customer", "vendor"], "description": "Customer: calls; vendor: attempts, hunted ones too" },
            "measurement_point": text(), "rounding": text(), "since": or_null(time()), "until": or_null(time()),
            "group_by": { "type": "array", "items": text() },
            "items": { "type": "array", "items": object(row, &optional) },
            "totals": { "type": "array", "items": object(figures, &no_percentiles), "description": "One for each currency" },
            "next_cursor": { "type": "null" },
        }),
        &[],
    )
}

fn deck_import() -> Value {
    let counts = json!({ "type": "object", "additionalProperties": count() });
    object(
        json!({
            "import_id": id(), "deck": text(), "state": { "type": "string", "enum": ["proposed", "approved", "rejected"] }, "mode": text(), "file": text(),
            "base_version": { "type": ["string", "null"] }, "version": text(), "counts": counts, "flags": counts, "proposed_by": text(), "proposed_at": text(),
            "reason": text(), "decided_by": text(), "decided_at": text(), "decision_reason": text(), "order": { "type": "object" },
            "spec": { "type": "object" }, "position": count(),
        }),
        &["decided_by", "decided_at", "decision_reason", "spec", "position"],
    )
}

/// What `/v1/deck-imports`, `/v1/decks/{name}/…` and `/v1/coverage` take and give.
fn of_decks() -> Value {
    json!({
        "NewDeckImport": spec("A carrier's sheet read into rows: deck, mode (full, full_country, partial), rows (CSV), file, closes, past_now, short_notice, jump_percent, currency, left_out (columns nothing was taken from), spec, reason"),
        "DeckImport": deck_import(),
        "DeckImportPage": page("DeckImport"),
        "DeckImportWithPreview": { "type": "object", "description": "The import, and `preview`: counts, flags, lines, covered_by_parent_prefix, warnings, left_out" },
        "DeckImportDecision": object(
            json!({ "reason": text(), "short_notice": { "type": ["string", "null"], "description": "Why notice that is too short by now is taken (R-13); with approve" } }),
            &["reason", "short_notice"],
        ),
        "DeckPrice": object(
            json!({
                "deck": text(), "number": text(), "as_of": text(), "known_at": text(), "result": text(), "currency": text(), "deck_version": text(),
                "known_since": text(), "position": count(), "row": { "type": ["object", "null"] },
            }),
            &[],
        ),
        "DeckVersions": object(
            json!({
                "deck": text(),
                "items": {
                    "type": "array",
                    "items": object(json!({ "version": text(), "position": count(), "known_since": text(), "actor": text(), "reason": text(), "removed": flag() }), &[]),
                },
            }),
            &[],
        ),
        "Coverage": { "type": "object", "description": "`destinations`: each with its sell decks, prefixes, what every carrier covers of them, gaps and diversity" },
    })
}

/// Orders and documents of finance; docs/finance.md has every field.
fn finance() -> [(&'static str, Value); 12] {
    [
        ("AsOf", object(json!({ "as_of": text(), "key": text() }), &[])),
        ("RerateOrder", spec("Which calls (since, until, account, carrier, deck, call_uuid), by what (side: sell | cost | both; known_at), batch, reason, apply, cursor, limit")),
        ("RerateReply", spec("calls read and changed, by_ani (calls priced by the calling number for want of the switch's), rows with old and new amounts, problems, next_cursor")),
        ("InvoiceOrder", spec("account, since, until, timezone, currency, series, dry_run, freeze_days, details, as_of")),
        ("NoteOrder", spec("invoice (SERIES-NUMBER), reason, batches, series, dry_run; amount for a credit that is no re-rating's")),
        ("FinanceDocument", spec("An invoice or note as it was issued")),
        ("Statement", spec("account, period; items by currency: opening, rows (of a payment with its payment_id and reference), invoiced, credited, paid, closing, disputed, disputes, deposits")),
        ("AgeingPage", spec("at; items by account and currency: not_due, days_1_30, days_31_60, days_61_90, days_over_90, disputed, unallocated, owed, dunned, invoices, ledger, unbilled")),
        ("AccrualPage", spec("at, as_of; items by account and currency: rated, invoiced, accrual; converted and total where a currency was asked for")),
        ("Netting", spec("receivable and payable with what is disputed of them, set_off, they_pay, we_pay")),
        ("Dispute", spec("A dispute: id, carrier, bill_date, deadline, amounts (disputed above 0 and at most what is billed; more with amount_override), reason, state, evidence")),
        ("DisputeStep", spec("to (sent | acknowledged | accepted | rejected | escalated | closed), note, credit (at most what is disputed), late_override, amount_override")),
    ]
}

pub(super) fn all() -> Value {
    let mut all = most();
    if let (Some(all), Value::Object(routing), Value::Object(reports)) = (all.as_object_mut(), routing::all(), reports::all()) {
        all.extend(routing);
        all.extend(reports);
        all.extend(finance().map(|(name, schema)| (name.to_owned(), schema)));
        all.insert("FinanceDocuments".to_owned(), page("FinanceDocument"));
        all.insert("Disputes".to_owned(), page("Dispute"));
    }
    all
}

fn most() -> Value {
    let document = object(json!({ "kind": text(), "name": text(), "spec": { "type": "object" } }), &[]);
    let accepted = object(
        json!({ "kind": text(), "name": text(), "removed": flag(), "dry_run": flag(), "position": count() }),
        &[],
    );
    let problem = object(
        json!({
            "type": text(), "title": text(), "status": count(), "detail": text(),
            "problems": { "type": "array", "items": object(json!({ "path": text(), "message": text() }), &[]) },
        }),
        &["problems"],
    );
    let mut all = json!({
        "Problem": problem,
        "Cdr": cdr(),
        "CdrPage": page("Cdr"),
        "CdrWithAttempts": object(
            json!({
                "final": { "anyOf": [reference("Cdr"), { "type": "null" }] },
                "attempts": { "type": "array", "items": reference("Cdr") },
            }),
            &["attempts"],
        ),
        "LiveCall": live_call(),
        "LiveCallPage": page("LiveCall"),
        "EndCall": object(json!({ "reason": text() }), &["reason"]),
        "CallEnding": object(json!({ "call_uuid": id(), "state": { "type": "string", "const": "ending" } }), &[]),
        "Alert": alert(),
        "AlertPage": page("Alert"),
        "BlockScope": scope(),
        "NewBlock": new_block(),
        "Block": block(),
        "BlockPage": page("Block"),
        "BlockLifted": object(json!({ "block_id": id(), "state": { "type": "string", "const": "lifted" } }), &[]),
        "TrafficReport": traffic(),
        "Stats": stats(),
        "Series": series(),
        "Document": document,
        "DocumentPage": page("Document"),
        "ControlAccepted": accepted,
        "Account": spec("Who pays: sell_deck, parent, billing, credit_limit, slice_s, warn_pct, fraud_policy, carriers, max_attempts, margin_guard, min_margin, route_policy, route_classes, cnam, test"),
        "Trunk": spec("Where an account's calls come in: account, sources, channels, cps, burst, numbers, dial, emergency, require_cli, relay_503, trust_npdi, cnam"),
        "NumberTable": spec("Which state, LATA, company and rate centre an exchange is of: csv"),
        "OriginGroup": spec("Callers that prices tell apart: members, except"),
        "Surcharge": spec("A table of surcharges by origin: currency, decks, rows"),
        "NumberList": spec("Called numbers of a subscription, test numbers or ones known for abuse: list, source, numbers"),
        "FxRate": spec("Exchange rates by day: source, rates"),
        "Contract": spec("Terms over a period of an account's calls: account, currency, from, until, cycle, partial, commitment, bundles, volumes, short_calls"),
        "Tax": spec("Taxes and regulatory charges by day, not authoritative: country, region, rows"),
        "Carrier": spec("Where calls go: addresses, sources, deck, prefix, channels, cps, route_class, emergency, suspended, party, upstream, cli_guaranteed, priority, weight, timers, advance_on, stop_on"),
        "Deck": spec("A rate sheet: csv, currency, timezone, places, rounding, tariff, notice_days, jurisdiction, lookup_fees"),
        "RoutePolicy": spec("How carriers are chosen and ordered: order, metrics, delta, delta_pct, splits, floors, exploration_pct, premium, cli_guaranteed, delay_price, max_attempts, classes"),
        "FraudPolicy": spec("What the fraud stage judges: rules, block_s, block_scope, sip_code, teardown, cool_down_s, high_risk_prefixes, allow_groups"),
        "Alive": object(json!({ "status": { "type": "string", "const": "ok" } }), &[]),
        "Readiness": object(json!({ "ready": flag(), "waiting_for": { "type": "array", "items": text() } }), &[]),
        "Login": object(json!({ "key": text() }), &[]),
        "OpenApi": { "type": "object" },
    });
    if let (Some(all), Value::Object(decks)) = (all.as_object_mut(), of_decks()) {
        all.extend(decks);
    }
    // One macro does not take so many.
    all["Balance"] = balance();
    all["BalancePage"] = page("Balance");
    all["NewPayment"] = new_payment();
    all["Payment"] = payment();
    all
}
