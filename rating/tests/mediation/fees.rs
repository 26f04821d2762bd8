//! Fees in CDRs and ledger: what an attempt costs that nobody answered, and what a charge is made of.

use tollgate_rating::ledger::Balances;
use tollgate_schemas::v1::*;

use super::{calls::*, fold};

fn fee(name: &str, amount: &str, on: FeeOn) -> Fee {
    Fee { name: name.into(), amount_e12: tollgate_schemas::money::parse_scaled(amount, 12).expect("money"), on: on.into() }
}

/// 0.0100 a minute, 1/1, and 0.003 for every attempt.
fn cost_with_attempt_fee(carrier: &str) -> Terms {
    Terms { fees: vec![fee("attempt", "0.003", FeeOn::Attempt)], ..cost(carrier) }
}

/// Two carriers are busy, the third answers for 10 s; the second is of another tariff.
fn three_attempts(cost_of: impl Fn(u32, &str) -> Terms) -> Story {
    let mut s = Story::new(1, 0, 100);
    s.attempted();
    for (no, carrier) in [(1, "north"), (2, "south")] {
        s.at(i64::from(no) * 100).tried_at(no, carrier, Some(cost_of(no, carrier))).at(i64::from(no) * 100 + 50);
        s.attempt_ended(no, carrier, 503, 0, 0);
    }
    let terms = cost_of(3, "west");
    s.at(300).tried_at(3, "west", Some(terms.clone())).at(1_000).answered_at(3, "west", Some(sell()), Some(terms)).at(11_000);
    s.attempt_ended(3, "west", 200, 0, 10_000);
    s.ended(CallEnded { duration_ms: 10_000, answered_attempt: 3, ..end("answered", 200, 3) });
    s
}

#[test]
fn r_44_three_attempts_are_three_rows_and_one_billed_cost_leg() {
    let out = fold(&three_attempts(|_, carrier| cost(carrier)));
    let told: Vec<_> = attempts(&out).iter().map(|a| (a.attempt_no, a.billed_sec_cost, a.cost_amount)).collect();
    assert_eq!(told, [(1, 0, 0), (2, 0, 0), (3, 10, 166_700)]);
    let last = &finals(&out)[0];
    assert_eq!((last.billed_sec_cost, last.cost_amount, last.cost_lines.as_str()), (10, 166_700, ""));
}

#[test]
fn r_44_an_attempt_fee_is_owed_to_the_carrier_that_did_not_answer() {
    let with_fee = |no: u32, carrier: &str| if no == 2 { cost_with_attempt_fee(carrier) } else { cost(carrier) };
    let out = fold(&three_attempts(with_fee));
    let told: Vec<_> = attempts(&out).iter().map(|a| (a.attempt_no, a.billed_sec_cost, a.cost_amount, a.cost_lines.clone())).collect();
    let fee_line = r#"[{"name":"attempt","amount":"0.003000"}]"#.to_owned();
    assert_eq!(told, [(1, 0, 0, String::new()), (2, 0, 300_000, fee_line), (3, 10, 166_700, String::new())]);
    let last = &finals(&out)[0];
    assert_eq!((last.billed_sec_cost, last.cost_amount, last.sell_amount, last.margin_base), (10, 466_700, 300_000, Some(-166_700)));
    assert_eq!(last.cost_lines, r#"[{"name":"attempt","amount":"0.003000"},{"name":"usage","amount":"0.001667"}]"#);
    let mut balances = Balances::default();
    for posted in postings(&out) {
        balances.apply(&posted).expect("balanced");
    }
    let of = |account: &str| balances.balance(account, "USD");
    assert_eq!((of("carrier:north/5"), of("carrier:south/5"), of("carrier:west/5"), of("cost/5")), (0, -300_000, -166_700, 466_700));
}

#[test]
fn r_44_a_call_nobody_answers_costs_its_attempt_fees() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().tried_at(1, "north", Some(cost_with_attempt_fee("north"))).at(800);
    s.attempt_ended(1, "north", 486, 0, 0);
    s.at(801).ended(end("busy", 486, 1));
    let out = fold(&s);
    let row = &finals(&out)[0];
    assert_eq!((row.sell_amount, row.cost_amount, row.billed_sec_cost, row.rating_status.as_str()), (0, 300_000, 0, "rated"));
    assert_eq!(postings(&out)[0].entries.len(), 2, "the carrier is owed it");
}

#[test]
fn r_44_a_late_answer_and_its_attempt_owe_one_attempt_fee() {
    let mut s = Story::new(1, 0, 100);
    s.attempted().tried_at(1, "north", Some(cost_with_attempt_fee("north"))).at(5_000);
    s.attempt_ended_as(CallAttemptEnded { attempt_no: 1, carrier: "north".into(), local_cause: "LOCAL_PDD_TIMEOUT".into(), ..CallAttemptEnded::default() });
    s.ended(end("failed", 480, 1));
    s.at(8_000).late_answer(1, "north", 2_000);
    let out = fold(&s);
    let told: Vec<_> = attempts(&out).iter().map(|a| (a.cdr_version, a.billed_sec_cost, a.cost_amount)).collect();
    // The fee at once; then 2 s at 0.0100 a minute beside it.
    assert_eq!(told, [(1, 0, 300_000), (2, 2, 333_300)]);
    let owed: i64 = postings(&out).iter().flat_map(|p| &p.entries).filter(|e| e.account == "carrier:north/5").map(|e| e.amount_e8).sum();
    assert_eq!(owed, -333_300, "the correction is the difference");
}

#[test]
fn r_09_r_29_fees_of_the_customer_are_lines_of_their_own() {
    let terms = Terms {
        fees: vec![
            fee("call", "0.01", FeeOn::Call),
            fee("ringing", "0.06", FeeOn::Ringing),
            fee("answer", "0.02", FeeOn::Answer),
            fee("attempt", "0.005", FeeOn::Attempt),
            fee("lrn_dip", "0.0003", FeeOn::Call),
        ],
        surcharges: vec![Surcharge { name: "eea".into(), per_minute_e12: 30_000_000_000 }],
        ..sell()
    };
    let mut s = Story::new(1, 0, 100);
    s.attempted_as(facts(), Some(terms.clone())).at(5).tried(1, "north").at(1_000).ringing(1).at(3_500);
    s.answered_at(1, "north", Some(terms.clone()), Some(cost("north"))).at(13_500);
    s.attempt_ended(1, "north", 200, 1_000, 10_000);
    s.ended(CallEnded { duration_ms: 10_000, answered_attempt: 1, ..end("answered", 200, 1) });
    let out = fold(&s);
    let row = &finals(&out)[0];
    // 12 s at 0.0150 + 0.0300 a minute; 2.5 s of ringing are 3 at 0.06 a minute.
    assert_eq!(row.sell_lines, concat!(
        r#"[{"name":"usage","amount":"0.009000"},{"name":"call","amount":"0.010000"},{"name":"ringing","amount":"0.003000"},"#,
        r#"{"name":"answer","amount":"0.020000"},{"name":"attempt","amount":"0.005000"},{"name":"lrn_dip","amount":"0.000300"}]"#
    ));
    assert_eq!((row.sell_amount, row.per_call_fees, row.dip_fees, row.billed_sec_sell), (4_730_000, 3_800_000, 30_000, 12));
    assert_eq!((row.sell_surcharges.as_str(), row.cost_surcharges.as_str()), (r#"{"eea":"0.0300"}"#, ""));
    assert_eq!(postings(&out)[0].entries[0].amount_e8, 4_730_000);

    // Nobody answers: what is owed all the same, for 4 s of ringing.
    let mut s = Story::new(2, 0, 100);
    s.attempted_as(facts(), Some(terms)).at(5).tried(1, "north").at(1_000).ringing(1).at(5_000);
    s.attempt_ended(1, "north", 487, 1_000, 0);
    s.ended(CallEnded { hangup_party: "caller".into(), ..end("cancelled", 487, 1) });
    let row = &finals(&fold(&s))[0];
    assert_eq!(row.sell_lines, r#"[{"name":"call","amount":"0.010000"},{"name":"ringing","amount":"0.004000"},{"name":"attempt","amount":"0.005000"},{"name":"lrn_dip","amount":"0.000300"}]"#);
    assert_eq!((row.sell_amount, row.billed_sec_sell, row.rating_status.as_str()), (1_930_000, 0, "rated"));
}
