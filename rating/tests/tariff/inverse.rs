//! The charge turned round: what funds buy (FN-07), where a maximum ends a call, when a call next costs more.

use proptest::prelude::*;
use tollgate_schemas::{money::parse_scaled, terms::LegContext, time::parse_rfc3339, v1::Terms};

use super::{
    language::{table, tariff},
    properties::{a_duration, a_tariff, an_answer},
};

#[test]
fn fn_07_funds_buy_the_longest_call_within_them() {
    let rows = table(include_str!("cases/fn_07.tsv"));
    assert!(rows.len() >= 12);
    for (line, cells) in rows {
        let [terms, answer, funds, seconds, why] = cells[..] else { panic!("line {line}") };
        let terms = tariff(terms);
        let answer_us = if answer == "-" { 0 } else { parse_rfc3339(answer).expect(answer) };
        let got = terms.affordable_ms(answer_us, parse_scaled(funds, 8).expect(funds));
        let want = match seconds {
            "no end" => u64::MAX,
            s => u64::try_from(parse_scaled(s, 3).expect(s)).expect(s),
        };
        assert_eq!(got, want, "line {line}: {why}");
    }
}

#[test]
fn r_17_a_maximum_that_disconnects_ends_the_call_before_it_is_passed() {
    for (terms, want) in [
        ("1/1 60; max 10 disconnect", Some(10_000)),
        ("1/1 60; max 10 free", None),
        ("1/1 60", None),
        ("1/1 60; connect 1; max 10 disconnect", Some(9_000)),
        ("60/60 6; from 60s 1/1 1; max 10 disconnect", Some(300_000)),
        ("1/1 0; connect 1; max 10 disconnect", None),
        ("60/60 6; max 5 disconnect", Some(0)),
        ("60/60 6; max 5 disconnect; grace 2000ms", Some(2_000)),
        ("60/60 6; max 6 disconnect; free 30s", Some(90_000)),
        ("60/60 6; max 6 disconnect; tolerance 500ms", Some(60_500)),
        // Surcharges count, fees of the call do not: the maximum is of the usage.
        ("1/1 30; surcharge x 30; fee call 5; max 10 disconnect", Some(10_000)),
        ("1/1 60; band night 00:00-00:01 = 1/1 6; max 10 disconnect", Some(64_000)),
    ] {
        assert_eq!(tariff(terms).end_at_ms(0), want, "{terms}");
    }
}

#[test]
fn s1_54_the_dearest_minute_of_a_calls_first_hour() {
    for (terms, want) in [
        ("1/1 0.6", "0.6"),
        ("1/1 0.6; surcharge x 0.1", "0.7"),
        ("1/1 0.6; from 60s 1/1 5", "5"),
        ("1/1 0.6; from 3600s 1/1 5", "0.6"),
        ("1/1 0.6; band night 00:00-06:00 = 1/1 0.3; band noon 12:00-13:00 = 1/1 5", "0.3"),
        ("1/1 0.6; band soon 00:59-13:00 = 1/1 5", "5"),
        ("7200/1 0.6; from 60s 1/1 5", "0.6"),
    ] {
        assert_eq!(tariff(terms).dearest_e12(0, 3_600), super::language::money(want), "{terms}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn fn_07_what_is_affordable_is_the_exact_inverse_of_the_charge(terms in a_tariff(), answer_us in an_answer(), funds in prop_oneof![0i64..5_000_000_000, 0i64..100_000_000]) {
        let longest = terms.affordable_ms(answer_us, funds);
        if longest > 0 {
            prop_assert!(terms.charge(answer_us, longest).amount_e8 <= funds);
        }
        if longest < u64::MAX {
            prop_assert!(terms.charge(answer_us, longest + u64::from(longest > 0)).amount_e8 > funds);
        }
    }

    #[test]
    fn fn_07_the_charge_of_a_call_buys_at_least_that_call(terms in a_tariff(), answer_us in an_answer(), ms in a_duration()) {
        let owed = terms.charge(answer_us, ms).amount_e8;
        let longest = terms.affordable_ms(answer_us, owed);
        prop_assert!(longest >= ms, "{longest} < {ms}");
        prop_assert_eq!(terms.next_change_ms(answer_us, ms), longest.checked_add(1));
        if let Some(next) = terms.next_change_ms(answer_us, ms) {
            prop_assert!(next > ms && terms.charge(answer_us, next).amount_e8 > owed);
            prop_assert_eq!(terms.charge(answer_us, next - 1).amount_e8, owed);
        }
    }

    #[test]
    fn r_17_a_call_ended_at_its_maximum_has_not_passed_it(terms in a_tariff(), answer_us in an_answer()) {
        // As many places as the price has, so that the line is not rounded past the maximum.
        let terms = Terms { places: 8, rounding: 3, end_at_max: true, min_charge_e12: 0, fees: Vec::new(), ..terms };
        if let Some(end) = terms.end_at_ms(answer_us) {
            let usage = |ms| terms.charge_leg(answer_us, ms, &LegContext::default()).amount_e8;
            let most = terms.max_charge_e12 / 10_000;
            if end > u64::from(terms.grace_ms) {
                prop_assert!(usage(end) <= most);
            }
            prop_assert!(usage(end + 1) >= most, "{end}");
            prop_assert!(exact(&terms, answer_us, end + 1) > i128::from(terms.max_charge_e12) * 60);
        }
    }
}

/// The usage in 1e-12 / 60, from the segments.
fn exact(terms: &Terms, answer_us: i64, ms: u64) -> i128 {
    let lines = terms.lines(answer_us, ms, &LegContext::default());
    lines.segments.iter().map(|s| i128::from(s.rate_e12) * i128::from(s.billed_s)).sum::<i128>() + i128::from(lines.connect_fee_e12) * 60
}
