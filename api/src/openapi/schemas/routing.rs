//! The shapes of routes and of what is known of carriers.

use serde_json::{Value, json};
use tollgate_schemas::codec::CodecClass;

use super::{count, decimal, flag, id, object, or_null, page, reference, text, time};

/// Of a call, or whose figures a carrier's quality is of; null: not known, or all of them together.
fn class() -> Value {
    or_null(json!({ "type": "string", "enum": CodecClass::NAMES }))
}

/// A carrier with its place or the reason it was left out.
fn choice() -> Value {
    let (words, numbers) = (|| or_null(text()), || or_null(decimal()));
    object(
        json!({
            "rank": or_null(count()), "carrier": text(), "reason": text(), "expected_cost": numbers(), "prefix": words(), "destination": words(),
            "rate": numbers(), "connect_fee": numbers(), "initial": or_null(count()), "increment": or_null(count()), "currency": words(),
            "covered_by_parent_prefix": flag(), "quality": words(), "quality_class": class(), "score": numbers(), "asr": numbers(), "ner": numbers(),
            "samples": or_null(count()), "acd_s": numbers(),
        }),
        &[],
    )
}

fn route() -> Value {
    let sell = object(
        json!({
            "deck": text(), "deck_version": text(), "prefix": text(), "destination": text(), "currency": text(), "rate": decimal(),
            "connect_fee": decimal(), "initial": count(), "increment": count(), "blocked": flag(),
        }),
        &[],
    );
    object(
        json!({
            "account": text(), "from": text(), "to": text(), "at": time(), "codec_class": class(), "emergency": flag(), "routed": flag(), "why_not": or_null(text()),
            "policy": text(), "quality_snapshot": or_null(text()), "durations": or_null(durations()), "draw": or_null(count()), "sell": or_null(sell),
            "carriers": { "type": "array", "items": reference("RouteChoice") },
        }),
        &[],
    )
}

/// How long calls to a destination last.
fn durations() -> Value {
    json!({ "type": "array", "items": object(json!({ "mean_s": decimal(), "calls": count() }), &[]) })
}

fn replay() -> Value {
    let decision = object(
        json!({
            "codec_class": class(), "policy": text(), "quality_snapshot": or_null(text()), "durations": or_null(durations()), "draw": count(), "carriers": { "type": "array", "items": reference("RouteChoice") },
        }),
        &[],
    );
    object(json!({ "call_uuid": id(), "control_position": count(), "agrees": flag(), "then": decision, "again": decision }), &[])
}

fn quality() -> Value {
    let numbers = || or_null(decimal());
    let window = object(
        json!({
            "window_s": count(), "attempts": count(), "answered": count(), "asr": decimal(), "ner": decimal(), "acd_s": numbers(), "pdd_s": numbers(),
            "short": decimal(),
        }),
        &[],
    );
    let carrier = object(
        json!({
            "carrier": text(), "state": { "type": "string", "enum": ["good", "neutral", "demoted"] }, "false_answer_suspected": flag(),
            "false_answer_until": or_null(time()), "samples": count(), "window_s": count(), "asr": numbers(), "ner": numbers(), "ccr": numbers(),
            "acd_s": numbers(), "acd_counted_s": numbers(), "pdd_s": numbers(), "setup_s": numbers(), "short": numbers(),
            "false_answer_score": decimal(), "answered": count(), "talk_s": decimal(), "bad": count(), "good": count(),
            "demoted_at": or_null(time()), "by_window": { "type": "array", "items": window },
        }),
        &[],
    );
    let carriers = || json!({ "type": "array", "items": carrier.clone() });
    let durations = || json!({ "type": "array", "items": object(json!({ "mean_s": decimal(), "calls": count() }), &[]) });
    let class = object(
        json!({
            "codec_class": { "type": "string", "enum": CodecClass::NAMES }, "samples": count(), "asr": numbers(), "later": numbers(), "pdd_s": numbers(),
            "carriers": carriers(), "durations": durations(),
        }),
        &[],
    );
    object(
        json!({
            "dest_group": text(), "name": text(), "at": time(), "asr": decimal(), "later": decimal(), "pdd_s": numbers(),
            "carriers": carriers(), "durations": durations(), "classes": { "type": "array", "items": class },
        }),
        &[],
    )
}

pub(super) fn all() -> Value {
    json!({ "RouteChoice": choice(), "Route": route(), "RouteReplay": replay(), "Quality": quality(), "QualityPage": page("Quality") })
}
