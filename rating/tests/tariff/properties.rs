//! What must hold of every tariff.

use proptest::{collection::vec, option, prelude::*, sample::select};
use tollgate_schemas::{
    terms::{Charge, LegContext},
    v1::{Fee, FeeOn, RateStep, Rounding, SecondsRule, Surcharge, Terms, TimeBand},
};

use super::language::tariff;

/// 0 to 3 a minute, to six places, and often a round figure.
fn a_price() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0i64), (0i64..300).prop_map(|n| n * 10_000_000_000), (0i64..3_000_000).prop_map(|n| n * 1_000_000)]
}

fn some_seconds() -> impl Strategy<Value = u32> {
    prop_oneof![select(vec![1u32, 6, 30, 60]), 1u32..200]
}

fn steps(first: bool) -> impl Strategy<Value = Vec<RateStep>> {
    vec((1u32..4_000, a_price(), a_price(), some_seconds(), some_seconds()), 0..4).prop_map(move |all| {
        let mut steps: Vec<RateStep> = all
            .into_iter()
            .enumerate()
            .map(|(at, (after_s, rate_e12, connect_fee_e12, initial_s, increment_s))| RateStep {
                after_s: if first && at == 0 { 0 } else { after_s },
                rate_e12,
                connect_fee_e12,
                initial_s,
                increment_s,
            })
            .collect();
        steps.sort_by_key(|s| s.after_s);
        steps.dedup_by_key(|s| s.after_s);
        steps
    })
}

fn a_band() -> impl Strategy<Value = TimeBand> {
    let days = prop_oneof![Just(0u32), 1u32..128];
    let clock = prop_oneof![select(vec![0u32, 7_200, 9_000, 10_800, 64_800]), 0u32..86_400];
    let since = option::weighted(0.2, an_answer());
    let dates = option::weighted(0.2, select(vec![20_260_328u32, 20_260_329, 20_261_024, 20_261_025, 20_261_026]));
    (days, clock.clone(), clock, -2i32..3, since, steps(true), dates).prop_map(|(weekdays, from_s, to_s, weight, since, steps, date)| TimeBand {
        name: "band".to_owned(),
        weekdays,
        dates: date.into_iter().collect(),
        from_s,
        to_s,
        weight,
        from_us: since.unwrap_or(0),
        steps,
        ..TimeBand::default()
    })
}

/// Around the days the clocks of the zones below change, and others.
pub fn an_answer() -> impl Strategy<Value = i64> {
    let start = select(vec![1_774_742_400i64, 1_792_886_400, 1_793_491_200, 1_780_000_000, 1_791_036_000]);
    (start, -100_000_000_000i64..100_000_000_000).prop_map(|(s, us)| s * 1_000_000 + us)
}

pub fn a_duration() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..5_000, (0u64..300).prop_map(|s| s * 1000), 0u64..600_000, 0u64..20_000_000]
}

pub fn a_context() -> impl Strategy<Value = LegContext> {
    (any::<bool>(), 0u32..4, 0u64..100_000).prop_map(|(answered, attempts, ringing_ms)| LegContext { answered, attempts, ringing_ms })
}

pub fn a_tariff() -> impl Strategy<Value = Terms> {
    let row = (a_price(), prop_oneof![Just(0i64), a_price()], prop_oneof![Just(0u32), some_seconds()], some_seconds());
    let prices = (steps(false), vec(a_band(), 0..4), select(vec!["", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"]));
    let bounds = (option::of(a_price()), option::of(a_price()), any::<bool>());
    let time = (option::of(0u32..4_000), option::of(0u32..100), 0i32..3, option::of(0u32..1_500));
    let extra = (vec(a_price(), 0..3), vec((a_price(), 0i32..4), 0..3));
    (row, prices, bounds, time, extra, 0u32..9, 0i32..4).prop_map(|(row, prices, bounds, time, extra, places, rounding)| Terms {
        rate_e12: row.0,
        connect_fee_e12: row.1,
        initial_s: row.2,
        increment_s: row.3,
        steps: prices.0,
        bands: prices.1,
        timezone: prices.2.to_owned(),
        min_charge_e12: bounds.0.unwrap_or(0),
        max_charge_e12: bounds.1.unwrap_or(0),
        end_at_max: bounds.2,
        grace_ms: time.0.unwrap_or(0),
        free_s: time.1.unwrap_or(0),
        seconds_rule: time.2,
        tolerance_ms: time.3.unwrap_or(0),
        surcharges: extra.0.into_iter().map(|e12| Surcharge { name: "s".to_owned(), per_minute_e12: e12 }).collect(),
        fees: extra.1.into_iter().map(|(e12, on)| Fee { name: "f".to_owned(), amount_e12: e12, on }).collect(),
        places,
        rounding,
        ..Terms::default()
    })
}

/// The row alone.
fn a_plain_row() -> impl Strategy<Value = Terms> {
    a_tariff().prop_map(|terms| terms.plain().terms())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn r_08_the_usage_is_its_segments_and_the_charge_its_lines(terms in a_tariff(), answer_us in an_answer(), ms in a_duration(), context in a_context()) {
        let lines = terms.lines(answer_us, ms, &context);
        let charge = terms.charge_leg(answer_us, ms, &context);
        prop_assert_eq!((lines.billed_s, lines.amount_e8()), (charge.billed_s, charge.amount_e8));
        prop_assert_eq!(lines.segments.iter().map(|s| s.billed_s).sum::<u64>(), lines.billed_s);
        // Segments follow each other without a gap.
        let mut at = u64::from(terms.free_s);
        for s in &lines.segments {
            prop_assert_eq!(s.start_s, at);
            at += s.billed_s;
        }
        // The segments as one price: a row of a second each at 60 times their sum is rounded to the same line.
        if let Some(usage) = lines.lines.first().filter(|l| l.fee.is_none()) {
            let exact: i128 = lines.segments.iter().map(|s| i128::from(s.rate_e12) * i128::from(s.billed_s)).sum::<i128>() + 60 * i128::from(lines.connect_fee_e12);
            let one = Terms {
                rate_e12: i64::try_from(exact).expect("small"), initial_s: 1, increment_s: 1, places: terms.places, rounding: terms.rounding,
                min_charge_e12: terms.min_charge_e12, max_charge_e12: terms.max_charge_e12, end_at_max: terms.end_at_max, ..Terms::default()
            };
            prop_assert_eq!(one.charge(0, 1).amount_e8, usage.amount_e8);
        }
    }

    #[test]
    fn r_18_a_day_cut_into_bands_of_the_rows_price_is_the_row(
        row in a_plain_row(), zone in select(vec!["Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
        cuts in vec(1u32..86_400, 1..6), answer_us in an_answer(), ms in a_duration()
    ) {
        let mut edges = cuts;
        edges.extend([0, 86_400]);
        edges.sort_unstable();
        edges.dedup();
        let same = RateStep { after_s: 0, rate_e12: row.rate_e12, connect_fee_e12: row.connect_fee_e12, initial_s: row.initial_s, increment_s: row.increment_s };
        let bands = edges.windows(2).map(|w| TimeBand { from_s: w[0], to_s: w[1] % 86_400, steps: vec![same], ..TimeBand::default() });
        let banded = Terms { bands: bands.collect(), timezone: zone.to_owned(), ..row.clone() };
        prop_assert_eq!(banded.charge(answer_us, ms), row.charge(answer_us, ms));
    }

    #[test]
    fn r_17_steps_and_a_price_list_of_the_rows_price_are_the_row(row in a_plain_row(), after in 1u32..3_000, since in an_answer(), answer_us in an_answer(), ms in a_duration()) {
        let same = RateStep { after_s: after, rate_e12: row.rate_e12, connect_fee_e12: 7, initial_s: 9, increment_s: row.increment_s };
        let stepped = Terms { steps: vec![same], ..row.clone() };
        prop_assert_eq!(stepped.charge(answer_us, ms), row.charge(answer_us, ms));
        let list = TimeBand { from_us: since, steps: vec![RateStep { after_s: 0, connect_fee_e12: row.connect_fee_e12, initial_s: row.initial_s, ..same }], ..TimeBand::default() };
        prop_assert_eq!(Terms { bands: vec![list], ..row.clone() }.charge(answer_us, ms), row.charge(answer_us, ms));
    }

    #[test]
    fn r_07_no_increment_is_charged_that_the_call_does_not_reach(terms in a_tariff(), answer_us in an_answer(), ms in a_duration()) {
        let whole = terms.charge(answer_us, ms);
        let s = terms.seconds(ms);
        if whole.billed_s > 0 {
            prop_assert!(u64::from(terms.free_s) + whole.billed_s >= s, "it is covered");
            // A call that ends where the last increment begins has one less.
            let last = (1..s).rev().find(|t| terms_of(&terms, answer_us, *t).billed_s < whole.billed_s);
            if let Some(t) = last {
                let shorter = terms_of(&terms, answer_us, t);
                prop_assert!(u64::from(terms.free_s) + shorter.billed_s >= t && u64::from(terms.free_s) + shorter.billed_s <= s);
            }
        }
    }

    #[test]
    fn r_08_a_longer_call_costs_no_less(terms in a_tariff(), answer_us in an_answer(), (a, b) in (a_duration(), a_duration())) {
        let (short, long) = (terms.charge(answer_us, a.min(b)), terms.charge(answer_us, a.max(b)));
        prop_assert!(short.amount_e8 <= long.amount_e8 && short.billed_s <= long.billed_s);
    }
}

/// Of whole seconds, whatever the rule and the tolerance.
fn terms_of(terms: &Terms, answer_us: i64, seconds: u64) -> Charge {
    let exact = Terms { tolerance_ms: 0, seconds_rule: SecondsRule::Ceil.into(), grace_ms: 0, ..terms.clone() };
    exact.charge(answer_us, seconds * 1000)
}

#[test]
fn r_08_the_largest_figures_saturate_and_do_not_overflow() {
    let most = i64::MAX;
    for (rate, connect, surcharges, want) in [(most, most, 0, i64::MAX), (most, most, 40, i64::MAX), (i64::MIN, i64::MIN, 0, i64::MIN)] {
        let row = Terms { rate_e12: rate, connect_fee_e12: connect, initial_s: u32::MAX, increment_s: u32::MAX, places: 0, ..Terms::default() };
        let tariff = Terms {
            surcharges: (0..surcharges).map(|_| Surcharge { name: String::new(), per_minute_e12: most }).collect(),
            steps: vec![RateStep { after_s: 1, rate_e12: rate, increment_s: u32::MAX, ..RateStep::default() }],
            bands: vec![TimeBand { from_s: 1, to_s: 2, steps: vec![RateStep { rate_e12: rate, increment_s: 1, ..RateStep::default() }], ..TimeBand::default() }],
            fees: vec![Fee { name: String::new(), amount_e12: rate, on: FeeOn::Ringing.into() }; 3],
            ..row.clone()
        };
        for ms in [0, 1, 86_400_000, u64::MAX - 1, u64::MAX] {
            for terms in [&row, &tariff] {
                let charge = terms.charge_leg(most, ms, &LegContext { answered: true, attempts: u32::MAX, ringing_ms: u64::MAX });
                assert_eq!(charge.amount_e8, want);
            }
        }
        if rate > 0 {
            assert_eq!(tariff.affordable_ms(most, 0), 0);
            assert_eq!(tariff.affordable_ms(i64::MIN, i64::MAX), u64::MAX);
        }
    }
}

#[test]
fn r_18_from_four_hundred_days_on_a_price_stays() {
    let terms = tariff("60/60 0.6; band odd 00:00-12:00 = 60/60 0.3");
    let (freeze_ms, day_ms) = (tollgate_schemas::terms::FREEZE_S * 1000, 86_400_000);
    let frozen = terms.charge(0, freeze_ms);
    // At 00:00 UTC, so the cheap half of the day it is.
    assert_eq!(terms.charge(0, freeze_ms + day_ms).amount_e8 - frozen.amount_e8, 1440 * 30_000_000);
    assert_eq!(frozen.amount_e8, 400 * 720 * 90_000_000);
    assert!(terms.charge(0, u64::MAX).amount_e8 > 0, "and the charge of an endless call ends");
}

#[test]
fn r_08_every_rule_of_rounding_has_a_name() {
    for (rule, want) in [(Rounding::HalfUp, 300), (Rounding::Up, 300), (Rounding::HalfEven, 200), (Rounding::Down, 200)] {
        let terms = Terms { rounding: rule.into(), ..tariff("60/60 0.0000025") };
        assert_eq!(terms.charge(0, 60_000).amount_e8, want, "{rule:?}");
    }
}
