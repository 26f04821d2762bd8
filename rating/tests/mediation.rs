//! A call's events in, its rows and postings out: every column of every kind of call.
#![allow(clippy::expect_used)]

#[path = "mediation/calls.rs"]
mod calls;
#[path = "mediation/credit.rs"]
mod credit;
#[path = "mediation/fees.rs"]
mod fees;
#[path = "mediation/lost.rs"]
mod lost;
#[path = "mediation/properties.rs"]
mod properties;
#[path = "mediation/rerate.rs"]
mod rerate;
#[path = "mediation/tiers.rs"]
mod tiers;

use calls::*;
use tollgate_rating::{
    ledger::Balances,
    mediation::{KEEP_US, MAX_SETTLED, Rater, WAIT_US},
};
use tollgate_schemas::{
    cdr::Cdr,
    event::Body,
    id::Id,
    log::Topic,
    stage::{Outputs, Stage},
    v1::*,
};

fn rater() -> Rater {
    Rater::new(5, 9)
}

fn fold(story: &Story) -> Outputs {
    play(&mut rater(), &story.events)
}

fn us(ms: i64) -> i64 {
    T0 + ms * 1_000
}

/// What `facts`, the caller's leg and the story's place fill, in every row.
fn head(call: Id) -> Cdr {
    Cdr {
        call_uuid: call.to_vec(),
        event_first_offset: 100,
        node_id: "0123456789ab".into(),
        partition: 5,
        account: "shop".into(),
        root_account: "acme".into(),
        trunk: "acme-pbx".into(),
        auth_method: "ip".into(),
        ingress_src_ip: "192.0.2.10".into(),
        ingress_src_port: 5062,
        ingress_transport: "udp".into(),
        ingress_user_agent: "Asterisk PBX 20.5.0".into(),
        direction: "outbound".into(),
        service_type: "voice".into(),
        sip_call_id_in: "in-77@pbx".into(),
        from_tag: "ft1".into(),
        a_number_raw: "004930123456".into(),
        a_number_e164: "4930123456".into(),
        a_number_source: "pai".into(),
        a_presentation_number: "030123456".into(),
        a_privacy: "id".into(),
        a_validity: "valid".into(),
        b_number_raw: "00442071838750".into(),
        b_number_e164: "442071838750".into(),
        b_country: "44".into(),
        b_dest_group: "GB London".into(),
        b_number_type: "fixed".into(),
        b_risk_flag: "none".into(),
        fraud_action: "none".into(),
        rating_version: 9,
        schema_version: 3,
        balance_type: "prepaid".into(),
        count: 1,
        cdr_version: 1,
        ..Cdr::default()
    }
}

fn with_sell(row: Cdr) -> Cdr {
    Cdr {
        sell_deck: "retail".into(),
        sell_deck_version: "0123456789abcdef".into(),
        sell_prefix: "4420".into(),
        sell_rate: Some(15_000_000_000),
        sell_connect: Some(0),
        sell_increment: "6/6".into(),
        sell_currency: "USD".into(),
        ..row
    }
}

fn with_carrier(row: Cdr, no: u32, carrier: &str) -> Cdr {
    Cdr {
        attempt_no: no,
        attempts_total: no,
        carrier: carrier.into(),
        sip_call_id_out: format!("out-{no}"),
        b_number_out: "+442071838750".into(),
        egress_dst_ip: format!("2001:db8::{no}"),
        egress_dst_port: 5080,
        route_class: "premium".into(),
        route_rank: no,
        cost_deck: format!("{carrier}-deck"),
        cost_deck_version: "0123456789abcdef".into(),
        cost_prefix: "4420".into(),
        cost_rate: Some(10_000_000_000),
        cost_connect: Some(0),
        cost_increment: "1/1".into(),
        cost_currency: "USD".into(),
        margin_base: Some(0),
        ..row
    }
}

const EXPLAIN: &str = concat!(
    r#"[{"carrier":"north","rank":1,"reason":"chosen","prefix":"4420","rate":"0.0100","expected_cost":"0.010000"},"#,
    r#"{"carrier":"south","rank":2,"reason":"chosen","prefix":"4420","rate":"0.0100","expected_cost":"0.010000"},"#,
    r#"{"carrier":"west","rank":0,"reason":"suspended","prefix":"4420","rate":"0.0100","expected_cost":"0.010000"}]"#
);

/// Names the column that differs, not two screens of text.
#[track_caller]
fn assert_row(got: &Cdr, want: &Cdr) {
    for column in tollgate_schemas::cdr::COLUMNS {
        assert_eq!((column.get)(got), (column.get)(want), "column {} of {} {}", column.name, got.record_type, got.attempt_no);
    }
}

#[test]
fn c_4_1_an_answered_call_fills_every_column_of_both_rows() {
    let story = answered(1, 0, 100, 10_000);
    let out = fold(&story);
    let rows = rows(&out);
    assert_eq!(rows.len(), 2);
    let shared = Cdr {
        route_policy: "lcr".into(),
        first_100_ts: Some(us(40)),
        first_18x_ts: Some(us(1_200)),
        first_18x_code: Some(180),
        answer_ts: Some(us(3_500)),
        end_ts: us(13_500),
        ring_ms: 2_300,
        duration_ms: 10_000,
        duration_confidence: "exact".into(),
        // 10 s in steps of 6 are 12: 12/60 · 0.0150 = 0.0030. In steps of 1: 10/60 · 0.0100 = 0.001667.
        billed_sec_sell: 12,
        billed_sec_cost: 10,
        sell_amount: 300_000,
        cost_amount: 166_700,
        margin_base: Some(133_300),
        margin_pct: "44.43".into(),
        rating_status: "rated".into(),
        disposition: "answered".into(),
        sip_final_code: 200,
        vendor_sip_code: Some(200),
        q850_cause: 16,
        hangup_party: "callee".into(),
        end_reason: "normal".into(),
        ..with_carrier(with_sell(head(story.call)), 1, "north")
    };
    assert_row(&rows[0], &Cdr {
        record_type: "attempt".into(),
        event_last_offset: 105,
        invite_ts: us(5),
        pdd_ms: Some(1_195),
        setup_ms: Some(3_495),
        reason_phrase: "Said The Carrier".into(),
        ..shared.clone()
    });
    assert_row(&rows[1], &Cdr {
        record_type: "final".into(),
        event_last_offset: 106,
        invite_ts: us(0),
        pdd_ms: Some(1_200),
        setup_ms: Some(3_500),
        ack_ts: Some(us(3_560)),
        to_tag: "tt9".into(),
        reason_phrase: "As It Is".into(),
        route_explain: EXPLAIN.into(),
        attempts_summary: r#"[{"carrier":"north","code":200,"ms":3495}]"#.into(),
        ..shared
    });
    let entry = |account: &str, amount_e8| LedgerEntry { account: account.into(), amount_e8, currency: "USD".into() };
    assert_eq!(postings(&out), [LedgerPosted {
        kind: "usage".into(),
        call_id: story.call.to_vec(),
        attempt_no: 1,
        cdr_version: 1,
        entries: vec![
            entry("account:acme/shop", 300_000), entry("revenue/5", -300_000), entry("cost/5", 166_700), entry("carrier:north/5", -166_700),
        ],
        reason: "final".into(),
        ..LedgerPosted::default()
    }]);
}

#[test]
fn c_4_1_a_busy_call_costs_nothing_and_shows_the_terms() {
    let story = busy(1, 0, 100);
    let out = fold(&story);
    let shared = Cdr {
        route_policy: "lcr".into(),
        first_100_ts: Some(us(100)),
        duration_confidence: "exact".into(),
        disposition: "busy".into(),
        sip_final_code: 486,
        reason_phrase: "Busy Here".into(),
        vendor_sip_code: Some(486),
        vendor_q850: Some(17),
        q850_cause: 17,
        hangup_party: "callee".into(),
        end_reason: "normal".into(),
        rating_status: "zero".into(),
        ..with_carrier(with_sell(head(story.call)), 1, "north")
    };
    assert_row(&attempts(&out)[0], &Cdr { record_type: "attempt".into(), event_last_offset: 102, invite_ts: us(5), end_ts: us(800), ..shared.clone() });
    assert_row(&finals(&out)[0], &Cdr {
        record_type: "final".into(),
        event_last_offset: 103,
        invite_ts: us(0),
        end_ts: us(801),
        route_explain: EXPLAIN.into(),
        attempts_summary: r#"[{"carrier":"north","code":486,"ms":795}]"#.into(),
        ..shared
    });
    assert!(postings(&out).is_empty(), "nothing is posted for nothing");
}

#[test]
fn c_050_a_cancelled_call_rang_until_its_end() {
    let out = fold(&cancelled(1, 0, 100));
    for (row, ring_ms, pdd_ms) in [(&attempts(&out)[0], 7_500, 1_495), (&finals(&out)[0], 7_500, 1_500)] {
        assert_eq!((row.disposition.as_str(), row.hangup_party.as_str()), ("cancelled", "caller"));
        assert_eq!((row.ring_ms, row.pdd_ms, row.setup_ms, row.duration_ms), (ring_ms, Some(pdd_ms), None, 0));
    }
}

#[test]
fn r_44_only_the_carrier_that_answers_bills() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().at(5).tried(1, "north").at(200);
    s.attempt_ended(1, "north", 503, 0, 0);
    s.tried(2, "south").at(500);
    s.attempt_ended(2, "south", 500, 0, 0);
    s.tried(3, "west").at(2_500).answered(3, "west").at(62_500);
    s.attempt_ended(3, "west", 200, 0, 60_000);
    s.ended(CallEnded { duration_ms: 60_000, answered_attempt: 3, ..end("answered", 200, 3) });
    let out = fold(&s);
    let attempts = attempts(&out);
    assert_eq!(attempts.iter().map(|a| (a.attempt_no, a.disposition.as_str(), a.cost_amount)).collect::<Vec<_>>(), [
        (1, "failed", 0), (2, "failed", 0), (3, "answered", 1_000_000),
    ]);
    assert_eq!(attempts[2].pdd_ms, Some(2_000), "M-05: answered without ringing, so the setup time");
    let finals = finals(&out);
    assert_eq!(finals.len(), 1);
    assert_eq!((finals[0].carrier.as_str(), finals[0].attempt_no, finals[0].attempts_total), ("west", 3, 3));
    assert_eq!((finals[0].sell_amount, finals[0].cost_amount), (1_500_000, 1_000_000));
    assert_eq!(finals[0].attempts_summary, r#"[{"carrier":"north","code":503,"ms":195},{"carrier":"south","code":500,"ms":300},{"carrier":"west","code":200,"ms":2000}]"#);
}

#[test]
fn m_05_pdd_counts_the_hunt_on_the_call_and_not_on_the_attempt() {
    let out = fold(&failover(1, 0, 100, 8_000));
    let attempts = attempts(&out);
    assert_eq!(attempts.len(), 2);
    assert_eq!((attempts[0].pdd_ms, attempts[0].vendor_sip_code, attempts[0].q850_cause), (None, Some(503), 41));
    assert_eq!((attempts[0].end_reason.as_str(), attempts[0].hangup_party.as_str()), ("normal", "callee"));
    assert_eq!((attempts[1].pdd_ms, attempts[1].setup_ms, attempts[1].ring_ms), (Some(1_699), Some(4_000), 2_301));
    let call = &finals(&out)[0];
    assert_eq!((call.pdd_ms, call.setup_ms, call.ring_ms), (Some(2_000), Some(4_301), 2_301));
    assert_eq!((call.carrier.as_str(), call.hangup_party.as_str()), ("south", "caller"));
}

#[test]
fn s1_17_refused_calls_leave_one_row_each_or_one_for_many() {
    let block = Id(0xabc);
    let mut s = Story::new(1, 0, 100);
    s.refused("blocked", 403, 21, 1, &block.to_vec());
    let out = fold(&s);
    assert_row(&rows(&out)[0], &Cdr {
        record_type: "final".into(),
        event_last_offset: 100,
        invite_ts: us(0),
        end_ts: us(0),
        duration_confidence: "exact".into(),
        disposition: "blocked".into(),
        sip_final_code: 403,
        reason_phrase: "Forbidden".into(),
        q850_cause: 21,
        hangup_party: "system".into(),
        end_reason: "refused".into(),
        fraud_rules_hit: "spend_per_hour".into(),
        fraud_action: "refused".into(),
        block_id: Some(block.to_vec()),
        block_reason: "blocked".into(),
        block_response_code: Some(403),
        rating_status: "zero".into(),
        release_cause_local: "blocked".into(),
        ..with_sell(head(s.call))
    });
    for (reason, cps, channel) in [("cps_limit", true, false), ("channel_limit", false, true), ("group_limit", false, true), ("credit", false, false)] {
        let mut s = Story::new(2, 5_000, 100);
        s.refused(reason, 503, 42, 250, &[]);
        let row = &finals(&fold(&s))[0];
        assert_eq!((row.cps_limited, row.channel_limited, row.count), (cps, channel, 250), "{reason}");
        assert_eq!((row.invite_ts, row.end_ts, row.block_reason.as_str()), (us(4_000), us(5_000), reason));
        assert_eq!((row.fraud_action.as_str(), row.fraud_rules_hit.as_str(), &row.block_id), ("none", "", &None));
    }
}

#[test]
fn p_61_a_torn_down_call_names_its_block() {
    let block = Id(0xdef);
    let row = finals(&fold(&torn_down(1, 0, 100, block))).remove(0);
    assert_eq!((row.fraud_action.as_str(), row.fraud_rules_hit.as_str(), row.block_reason.as_str()), ("teardown", "spend_per_hour", "spend_per_hour"));
    assert_eq!((row.block_id, row.end_reason.as_str(), row.hangup_party.as_str()), (Some(block.to_vec()), "fraud_teardown", "system"));
    assert_eq!((row.disposition.as_str(), row.duration_ms, row.rating_status.as_str()), ("answered", 18_010, "rated"));
}

#[test]
fn a_teardown_that_came_too_late_is_not_the_calls_end() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().tried(1, "north").at(1_000).answered(1, "north").at(5_000).teardown("fraud", "spend_per_hour", Id(1));
    s.attempt_ended(1, "north", 200, 0, 4_000);
    s.ended(CallEnded { duration_ms: 4_000, answered_attempt: 1, ..end("answered", 200, 1) });
    assert_eq!(finals(&fold(&s))[0].fraud_action, "none");
}

#[test]
fn c_046_durations_across_a_boot_are_utc() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().at(5).tried(1, "north").at(900).ringing(1).at(2_000).answered(1, "north").ack().at(300_000).interim(298_000);
    s.reboot();
    s.at(400_000);
    s.attempt_ended_as(CallAttemptEnded { attempt_no: 1, carrier: "north".into(), sip_code: 200, duration_ms: 298_000, local_cause: "LOCAL_RESTART".into(), ..CallAttemptEnded::default() });
    s.ended(CallEnded { duration_ms: 298_000, duration_confidence: "node_lost".into(), hangup_party: "system".into(), answered_attempt: 1, ..end("answered", 200, 1) });
    let row = &finals(&fold(&s))[0];
    assert_eq!((row.end_ts, row.duration_ms, row.duration_confidence.as_str()), (us(300_000), 298_000, "node_lost"), "it ended at its last proof of life");
    assert_eq!((row.first_18x_ts, row.first_18x_code, row.pdd_ms), (Some(us(900)), Some(180), Some(900)), "from the ringing event, where the end does not tell");
    assert_eq!((row.ack_ts, row.billed_sec_sell), (Some(us(2_000)), 298_000u64.div_ceil(6_000) * 6), "the ACK from its own event");

    let mut s = Story::new(2, 0, 100);
    s.attempted().at(5).tried(1, "north");
    s.reboot();
    s.at(30_005);
    s.attempt_ended_as(CallAttemptEnded { attempt_no: 1, carrier: "north".into(), local_cause: "LOCAL_RESTART".into(), ..CallAttemptEnded::default() });
    s.ended(CallEnded { local_cause: "LOCAL_RESTART".into(), hangup_party: "system".into(), ..end("failed", 500, 1) });
    let out = fold(&s);
    assert_eq!(finals(&out)[0].attempts_summary, r#"[{"carrier":"north","code":0,"ms":30000}]"#);
    assert_eq!((attempts(&out)[0].vendor_sip_code, attempts(&out)[0].release_cause_local.as_str()), (None, "LOCAL_RESTART"));
}

#[test]
fn c_4_1_a_clock_set_back_moves_no_duration_and_no_order() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().at(5).tried(1, "north").at(1_000).ringing(1);
    s.step_clock(-60_000);
    s.at(3_000).answered(1, "north").at(8_000);
    s.attempt_ended_as(CallAttemptEnded { attempt_no: 1, carrier: "north".into(), sip_code: 200, duration_ms: 5_000, first_18x_us: us(1_000), first_18x_code: 180, ..CallAttemptEnded::default() });
    s.ended(CallEnded { duration_ms: 5_000, answered_attempt: 1, ..end("answered", 200, 1) });
    for row in rows(&fold(&s)) {
        let answer = row.answer_ts.expect("answered");
        assert!(row.invite_ts <= answer && answer <= row.end_ts);
        assert!(row.first_18x_ts.is_none_or(|t| row.invite_ts <= t && t <= answer));
        assert!(row.setup_ms.is_some_and(|ms| (2_995..=3_000).contains(&ms)), "monotonic, not {:?}", row.setup_ms);
        assert_eq!(row.duration_ms, 5_000);
    }
}

#[test]
fn r_12_the_answers_rows_price_the_call() {
    let mut s = Story::new(1, 0, 100);
    let (dearer_sell, dearer_cost) = (terms("new-retail", 60_000_000_000, 60, 60), terms("new-north", 30_000_000_000, 60, 60));
    s.attempted().tried(1, "north").at(1_000).answered_at(1, "north", Some(dearer_sell), Some(dearer_cost)).at(11_000);
    s.attempt_ended(1, "north", 200, 0, 10_000);
    s.ended(CallEnded { duration_ms: 10_000, answered_attempt: 1, ..end("answered", 200, 1) });
    let row = &finals(&fold(&s))[0];
    assert_eq!((row.sell_deck.as_str(), row.sell_amount, row.billed_sec_sell), ("new-retail", 6_000_000, 60));
    assert_eq!((row.cost_deck.as_str(), row.cost_amount, row.margin_pct.as_str()), ("new-north", 3_000_000, "50.00"));
}

#[test]
fn c_095_what_a_missing_price_means() {
    let play_with = |emergency: bool, service: &str, sell_terms: Option<Terms>, cost_terms: Option<Terms>| {
        let mut s = Story::new(1, 0, 100);
        let facts = CallFacts { emergency, service_type: service.into(), ..facts() };
        s.attempted_as(facts, sell_terms.clone()).tried_at(1, "north", cost_terms.clone()).at(1_000).answered_at(1, "north", sell_terms, cost_terms).at(61_000);
        s.attempt_ended(1, "north", 200, 0, 60_000);
        s.ended(CallEnded { duration_ms: 60_000, answered_attempt: 1, ..end("answered", 200, 1) });
        let out = fold(&s);
        (finals(&out).remove(0), postings(&out))
    };
    let (row, posted) = play_with(true, "emergency", None, Some(cost("north")));
    assert_eq!((row.rating_status.as_str(), row.sell_amount, row.cost_amount, row.margin_base), ("zero", 0, 1_000_000, None));
    assert!(row.emergency_flag && posted[0].entries.len() == 2, "its carrier is paid");
    let (row, posted) = play_with(true, "emergency", None, None);
    assert_eq!((row.rating_status.as_str(), row.billed_sec_sell, posted.len()), ("zero", 0, 0));
    let (row, _) = play_with(false, "voice", Some(sell()), None);
    assert_eq!((row.rating_status.as_str(), row.sell_amount, row.cost_amount), ("unrated", 1_500_000, 0));
    let (row, posted) = play_with(false, "test", Some(sell()), Some(cost("north")));
    assert!(row.test_call && posted.is_empty(), "C-107: tests are not billed");
    let euro = Terms { currency: "EUR".into(), ..cost("north") };
    let (row, posted) = play_with(false, "voice", Some(sell()), Some(euro));
    assert_eq!((row.margin_base, row.margin_pct.as_str(), row.cost_currency.as_str()), (None, "", "EUR"), "currencies never meet");
    assert_eq!(posted[0].entries.iter().map(|e| e.currency.as_str()).collect::<Vec<_>>(), ["USD", "USD", "EUR", "EUR"]);
}

#[test]
fn a_late_answer_makes_the_next_version_of_both_rows_and_posts_its_cost() {
    let story = late_answered(1, 0, 100, 2_400);
    let out = fold(&story);
    let north: Vec<_> = attempts(&out).into_iter().filter(|a| a.carrier == "north").collect();
    let told = |r: &Cdr| (r.cdr_version, r.disposition.clone(), r.cost_amount, r.billed_sec_cost, r.duration_ms);
    assert_eq!(north.iter().map(told).collect::<Vec<_>>(), [(1, "failed".into(), 0, 0, 0), (2, "answered".into(), 50_000, 3, 2_400)]);
    assert_eq!((north[1].answer_ts, north[1].end_ts, north[1].release_cause_local.as_str()), (Some(us(15_605)), us(18_005), "LOCAL_LATE_ANSWER"));
    assert_eq!(north[1].sell_amount, 0, "the customer never got it");
    let finals = finals(&out);
    // 10 s at the second carrier and 3 s at the first.
    assert_eq!(finals.iter().map(|r| (r.cdr_version, r.cost_amount, r.sell_amount, r.billed_sec_cost)).collect::<Vec<_>>(), [
        (1, 166_700, 300_000, 10), (2, 216_700, 300_000, 13),
    ]);
    assert_eq!(finals[1].event_last_offset, story.events.last().expect("late").0);
    let posted = postings(&out);
    assert_eq!(posted.iter().map(|p| (p.kind.as_str(), p.cdr_version)).collect::<Vec<_>>(), [("usage", 1), ("correction", 2)]);
    let entry = |account: &str, amount_e8| LedgerEntry { account: account.into(), amount_e8, currency: "USD".into() };
    assert_eq!(posted[1].entries, [entry("cost/5", 50_000), entry("carrier:north/5", -50_000)]);
    assert_eq!(out.appends.iter().filter(|a| a.topic == Topic::Cdrs).count(), 5, "south's row has no second version");
}

#[test]
fn a_late_answer_before_the_calls_end_is_in_the_first_final() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().tried(1, "north").at(4_000);
    s.attempt_ended_as(CallAttemptEnded { attempt_no: 1, carrier: "north".into(), local_cause: "LOCAL_PDD_TIMEOUT".into(), ..CallAttemptEnded::default() });
    s.tried(2, "south").at(5_000).late_answer(1, "north", 600);
    s.at(6_000).attempt_ended(2, "south", 486, 0, 0);
    s.ended(end("busy", 486, 2));
    let out = fold(&s);
    let finals = finals(&out);
    assert_eq!((finals.len(), finals[0].cost_amount, finals[0].sell_amount, finals[0].disposition.as_str()), (1, 16_700, 0, "busy"));
    assert_eq!(postings(&out).len(), 1);
}

#[test]
fn design_3_a_contradicting_end_makes_version_2_and_a_correction() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().tried(1, "north").at(1_000).answered(1, "north").at(61_000);
    s.attempt_ended(1, "north", 200, 0, 30_000);
    s.ended(CallEnded { duration_ms: 30_000, duration_confidence: "node_lost".into(), answered_attempt: 1, ..end("answered", 200, 1) });
    s.at(91_000).attempt_ended(1, "north", 200, 0, 90_000);
    s.ended(CallEnded { duration_ms: 90_000, answered_attempt: 1, ..end("answered", 200, 1) });
    // The same words again contradict nothing.
    s.at(92_000).ended(CallEnded { duration_ms: 90_000, answered_attempt: 1, ..end("answered", 200, 1) });
    let out = fold(&s);
    assert_eq!(finals(&out).iter().map(|r| (r.cdr_version, r.duration_ms, r.sell_amount, r.cost_amount)).collect::<Vec<_>>(), [
        (1, 30_000, 750_000, 500_000), (2, 90_000, 2_250_000, 1_500_000),
    ]);
    assert_eq!(attempts(&out).iter().map(|r| (r.cdr_version, r.duration_ms, r.end_ts)).collect::<Vec<_>>(), [(1, 30_000, us(31_000)), (2, 90_000, us(91_000))]);
    let mut corrected = Balances::default();
    for posted in postings(&out) {
        corrected.apply(&posted).expect("balanced");
    }
    assert_eq!(corrected.owed("account:acme/shop").collect::<Vec<_>>(), [("USD", 2_250_000)]);
    assert_eq!(corrected.balance("carrier:north/5", "USD"), -1_500_000);
    assert!(corrected.totals().values().all(|sum| *sum == 0));
}

#[test]
fn a_repeated_event_changes_nothing() {
    for story in [answered(1, 0, 100, 10_000), failover(2, 0, 100, 5_000), late_answered(3, 0, 100, 2_000), torn_down(4, 0, 100, Id(9))] {
        let mut twice = rater();
        let mut out = Outputs::default();
        for (i, (offset, event)) in story.events.iter().enumerate() {
            for (_, repeated) in [(offset, event)].into_iter().chain(story.events[..i].iter().map(|(o, e)| (o, e))) {
                twice.apply(*offset, repeated, &mut out).expect("no poison");
            }
        }
        assert_eq!(ids(&out), ids(&fold(&story)));
        let mut refused = Story::new(5, 0, 100);
        refused.refused("cps_limit", 503, 42, 1, &[]);
        assert_eq!(rows(&play(&mut twice, refused.events.iter().chain(&refused.events))).len(), 1);
    }
}

fn ids(out: &Outputs) -> Vec<Id> {
    out.appends.iter().map(|a| a.event.id()).collect()
}

#[test]
fn an_ended_call_waits_a_minute_for_a_missing_fact_and_not_longer() {
    let mut story = answered(1, 0, 100, 10_000);
    let missing = story.events.iter().position(|(_, e)| matches!(&e.body, Some(Body::CallAttemptEnded(_)))).expect("there");
    let missing = story.events.remove(missing);
    let end_us = us(13_500);
    let mut stage = rater();
    assert!(play(&mut stage, &story.events).appends.is_empty());
    assert!(play(&mut stage, &[(200, tick(1, end_us + WAIT_US - 1))]).appends.is_empty());
    let out = play(&mut stage, &[(201, tick(2, end_us + WAIT_US))]);
    let row = &finals(&out)[0];
    assert_eq!((row.rating_status.as_str(), row.release_cause_local.as_str(), row.sell_amount), ("error", "incomplete", 300_000));
    assert_eq!(attempts(&out)[0].rating_status, "error");
    // The fact comes after all: the next version is right.
    let out = play(&mut stage, &[missing]);
    assert_eq!((finals(&out)[0].cdr_version, finals(&out)[0].rating_status.as_str(), finals(&out)[0].release_cause_local.as_str()), (2, "rated", ""));
    assert!(postings(&out).is_empty(), "the money was right");
}

#[test]
fn facts_without_a_call_go_to_quarantine_once() {
    let mut story = answered(1, 0, 100, 10_000);
    story.events.remove(0);
    let mut stage = rater();
    play(&mut stage, &story.events);
    let out = play(&mut stage, &[(200, tick(1, us(13_500) + WAIT_US)), (201, tick(2, us(13_500) + 2 * WAIT_US))]);
    assert_eq!(out.appends.len(), 1);
    match &out.appends[0].event.body {
        Some(Body::Quarantined(q)) => assert_eq!((q.stage.as_str(), Id::of(&q.call_id), q.offset, q.partition), ("rater", story.call, 101, 5)),
        other => panic!("not quarantined: {other:?}"),
    }
    assert_eq!(stage.calls_in_memory(), 0);
}

#[test]
fn closed_calls_are_forgotten_after_a_while_and_a_fact_later_still_is_poison() {
    let story = answered(1, 0, 100, 10_000);
    let mut stage = rater();
    play(&mut stage, &story.events);
    play(&mut stage, &[(200, tick(1, us(13_500) + KEEP_US - 1))]);
    assert_eq!(stage.calls_in_memory(), 1);
    play(&mut stage, &[(201, tick(2, us(13_500) + KEEP_US))]);
    assert_eq!(stage.calls_in_memory(), 0);
    let mut out = Outputs::default();
    for (offset, event) in &story.events {
        let poison = matches!(event.body, Some(Body::CallEnded(_) | Body::CallAttemptEnded(_)));
        assert_eq!(stage.apply(*offset, event, &mut out).is_err(), poison, "{}", event.name());
    }
    assert!(out.appends.is_empty());
}

#[test]
fn what_is_due_is_not_lost_with_a_poisoned_event() {
    let mut story = answered(1, 0, 100, 10_000);
    story.events.retain(|(_, e)| !matches!(&e.body, Some(Body::CallAttemptEnded(_))));
    let mut stage = rater();
    play(&mut stage, &story.events);
    let mut broken = Story::new(2, 200_000, 300);
    broken.ended(end("failed", 500, 0));
    // The runner throws away what an event that is poison put out.
    let mut out = Outputs::default();
    assert!(stage.apply(300, &broken.events[0].1, &mut out).is_err());
    assert!(out.appends.is_empty());
    assert_eq!(finals(&play(&mut stage, &[(301, tick(1, us(200_001)))])).len(), 1, "the next event does what was due");
}

#[test]
fn the_memory_of_closed_calls_is_bounded() {
    let mut stage = rater();
    for seq in 0..MAX_SETTLED as u32 + 10 {
        play(&mut stage, &busy(seq, 0, u64::from(seq) * 10).events);
    }
    assert_eq!(stage.calls_in_memory(), MAX_SETTLED);
    // Calls that may still get a late answer do not give way to settled ones.
    play(&mut stage, &cancelled(9_000_000, 0, 1).events);
    assert_eq!(stage.calls_in_memory(), MAX_SETTLED + 1);
}

#[test]
fn broken_events_are_poison_and_open_nothing() {
    let mut stage = rater();
    let mut s = Story::new(1, 0, 100);
    s.ended(end("failed", 500, 0));
    s.call = Id(77);
    s.tried(0, "north").tried(65, "north");
    let mut out = Outputs::default();
    for (offset, event) in &s.events {
        assert!(stage.apply(*offset, event, &mut out).is_err(), "{}", event.name());
    }
    assert_eq!((stage.calls_in_memory(), out.appends.len()), (0, 0));
}

#[test]
fn snapshots_of_another_partition_or_form_are_refused() {
    let mut stage = rater();
    play(&mut stage, &answered(1, 0, 100, 10_000).events[..3]);
    let state = stage.snapshot();
    assert!(Rater::new(6, 9).restore(&state).is_err());
    assert!(rater().restore(&state[..state.len() - 1]).is_err());
    assert!(rater().restore(&state).is_ok());
}

/// R-35: what was chosen and then passed over is told as that.
#[test]
fn r_35_a_carrier_passed_over_when_its_turn_came_is_named_in_the_explanation() {
    let explain = |out: &Outputs| -> Vec<(String, u64, String)> {
        let all: serde_json::Value = serde_json::from_str(&finals(out).last().expect("a final").route_explain).expect("JSON");
        let text = |v: &serde_json::Value| v.as_str().expect("text").to_owned();
        all.as_array().expect("a list").iter().map(|c| (text(&c["carrier"]), c["rank"].as_u64().expect("a rank"), text(&c["reason"]))).collect()
    };
    let skip = |s: &mut Story, carrier: &str, rank: u32, reason: &str, block_id: Id| {
        let body = CallRouteSkipped { call_id: s.call.to_vec(), carrier: carrier.to_owned(), rank, reason: reason.to_owned(), block_id: if block_id == Id::NIL { Vec::new() } else { block_id.to_vec() }, ..CallRouteSkipped::default() };
        s.write(None, Body::CallRouteSkipped(body));
    };
    let mut s = Story::new(1, 0, 100);
    s.attempted().at(5);
    skip(&mut s, "north", 1, "carrier_channels", Id::NIL);
    s.tried(1, "south").at(300);
    s.attempt_ended(1, "south", 486, 0, 0);
    s.ended(end("busy", 486, 1));
    let out = fold(&s);
    let want = [("north", 1, "carrier_channels"), ("south", 2, "chosen"), ("west", 0, "suspended")].map(|(c, r, why)| (c.to_owned(), r, why.to_owned()));
    assert_eq!(explain(&out), want);
    assert_eq!((finals(&out).len(), finals(&out)[0].block_id.clone()), (1, None));
    // Nobody could be tried: the row says why, and by which block.
    let mut s = Story::new(2, 0, 200);
    s.attempted().at(5);
    skip(&mut s, "north", 1, "carrier_blocked", Id(9));
    skip(&mut s, "south", 2, "carrier_channels", Id::NIL);
    s.ended(CallEnded { local_cause: "carrier_unavailable".to_owned(), ..end("failed", 503, 0) });
    let row = finals(&fold(&s)).remove(0);
    assert_eq!((row.block_id, row.block_reason.as_str(), row.release_cause_local.as_str()), (Some(Id(9).to_vec()), "carrier_unavailable", "carrier_unavailable"));
    assert!(row.route_explain.contains(r#""north","rank":1,"reason":"carrier_blocked""#), "{}", row.route_explain);
}

#[test]
fn r_35_a_call_refused_for_want_of_a_carrier_has_its_explanation() {
    let mut s = Story::new(1, 0, 100);
    let choice = RouteChoice { carrier: "north".to_owned(), reason: "cli_not_guaranteed".to_owned(), ..RouteChoice::default() };
    let body = CallRefused {
        facts: Some(facts()), reason: "no_route".to_owned(), sip_code: 404, q850: 3, count: 1, choices: vec![choice], route_policy: "cli".to_owned(), quality_snapshot: "q-1".to_owned(),
        ..CallRefused::default()
    };
    s.write(None, Body::CallRefused(body));
    let row = finals(&fold(&s)).remove(0);
    assert_eq!((row.route_policy.as_str(), row.quality_snapshot.as_str(), row.block_reason.as_str()), ("cli", "q-1", "no_route"));
    assert!(row.route_explain.starts_with(r#"[{"carrier":"north","rank":0,"reason":"cli_not_guaranteed""#), "{}", row.route_explain);
}
