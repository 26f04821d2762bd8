//! The shapes of reports about numbers and short calls, and of what a call did to balances.

use serde_json::{Value, json};

use super::{count, decimal, flag, id, object, or_null, text, time};

fn cpn() -> Value {
    let figures = json!({
        "calls": count(), "valid": count(), "missing": count(), "invalid": count(), "invalid_short": count(), "invalid_long": count(),
        "invalid_bad_cc": count(), "invalid_other": count(), "cpn_pct": or_null(decimal()), "under_mark": flag(), "lacking": count(),
        "refused": count(), "refused_valid": count(),
    });
    let mut row = figures.clone();
    (row["account"], row["root_account"]) = (text(), text());
    object(
        json!({
            "since": time(), "until": time(), "mark_pct": count(), "denominator": text(), "by": text(),
            "under": { "type": "array", "items": text(), "description": "Who is under the mark, the one that lacks most first" },
            "items": { "type": "array", "items": object(row, &["account"]) },
            "totals": object(figures, &[]),
            "next_cursor": { "type": "null" },
        }),
        &[],
    )
}

fn short_calls() -> Value {
    let contract = json!({
        "contract": text(), "max_s": count(), "allowance_pct": decimal(), "min_calls": count(), "charge": text(), "fee_per_call": decimal(),
        "connected": count(), "short": count(), "excess": count(), "fee": decimal(), "currency": text(), "note": or_null(text()),
    });
    // Of a period that only a part of is under the contract there is no more than why.
    let all: Vec<&str> = contract.as_object().into_iter().flat_map(|c| c.keys()).map(String::as_str).filter(|n| *n != "note").collect();
    let contract = object(contract.clone(), &all);
    let row = json!({
        "account": text(), "root_account": text(), "carrier": text(), "connected": count(), "short": count(), "short_pct": or_null(decimal()),
        "allowed": count(), "judged": flag(), "excess": count(), "breach": flag(), "contract": or_null(contract),
    });
    object(
        json!({
            "since": time(), "until": time(), "denominator": text(), "by": text(), "max_s": count(), "allowance_pct": count(), "min_calls": count(),
            "breaches": { "type": "array", "items": text(), "description": "Who breaches the allowance, the most calls beyond it first" },
            "items": { "type": "array", "items": object(row, &["account", "root_account", "carrier", "contract"]) },
            "next_cursor": { "type": "null" },
        }),
        &[],
    )
}

fn call_ledger() -> Value {
    let posting = object(
        json!({
            "account": text(), "kind": text(), "at": time(), "posting_id": id(), "cdr_version": count(), "currency": text(),
            "balance_before": decimal(), "balance_after": decimal(), "held_before": decimal(), "held_after": decimal(),
        }),
        &[],
    );
    object(json!({ "call_uuid": id(), "account": text(), "items": { "type": "array", "items": posting }, "next_cursor": { "type": "null" } }), &[])
}

pub(super) fn all() -> Value {
    json!({ "CallLedger": call_ledger(), "CpnReport": cpn(), "ShortCallReport": short_calls() })
}
