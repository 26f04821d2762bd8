use proptest::prelude::*;
use tollgate_schemas::money::{format_amount, parse_scaled};

use super::*;

fn e8(text: &str) -> i64 {
    parse_scaled(text, 8).expect("an amount")
}

fn used(destination: &'static str, minutes: u64, amount: &str) -> Used<'static> {
    Used { number: "4420", destination, billed_s: minutes * 60, amount_e8: e8(amount) }
}

fn volume(mode: VolumeMode, basis: VolumeBasis, steps: &[(u64, StepPrice)]) -> Volume {
    let steps = steps.iter().map(|(from, price)| Step { from: *from, price: *price }).collect();
    Volume { name: "UK".to_owned(), scope: Scope::default(), basis, mode, steps }
}

fn amounts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|l| format_amount(l.amount_e8)).collect()
}

#[test]
fn r_22_a_commitment_that_was_not_reached_is_charged_as_a_shortfall_line() {
    for (commit, used, want) in [
        ("1000", "600", Some("400.000000")),
        ("1000", "1000", None),
        ("1000", "1000.01", None),
        ("1000", "0", Some("1000.000000")),
        ("0", "0", None),
        ("1000", "999.99999999", Some("0.00000001")),
    ] {
        let line = shortfall(e8(commit), e8(used));
        assert_eq!(line.map(|l| format_amount(l.amount_e8)).as_deref(), want, "commit {commit}, used {used}");
    }
}

#[test]
fn r_22_incremental_and_whole_volume_differ_as_specified() {
    use StepPrice::{DiscountE6, RateE12};
    use VolumeBasis::{Amount, Minutes};
    use VolumeMode::{Incremental, WholeVolume};
    // 1,500 minutes at 0.0100: the deck charged 15.00. From 1,000 minutes on a minute costs 0.0080.
    let rates = [(0, RateE12(10_000_000_000)), (1000, RateE12(8_000_000_000))];
    let usage = || [used("UK", 1500, "15.00")];
    let of = |mode, basis, steps: &[(u64, StepPrice)], usage: &[Used<'static>]| {
        amounts(&volume(mode, basis, steps).lines(usage.iter().copied(), LineRounding::default()).expect("right"))
    };
    // 1,000 at 0.01 + 500 at 0.008 = 14.00; all 1,500 at 0.008 = 12.00.
    assert_eq!(of(Incremental, Minutes, &rates, &usage()), ["0.000000", "-1.000000"]);
    assert_eq!(of(WholeVolume, Minutes, &rates, &usage()), ["-3.000000"]);
    // The step is reached exactly at its bound.
    assert_eq!(of(WholeVolume, Minutes, &rates, &[used("UK", 1000, "10.00")]), ["-2.000000"]);
    assert_eq!(of(WholeVolume, Minutes, &rates, &[used("UK", 999, "9.99")]), ["0.000000"]);
    // 10 % off beyond 100, 20 % beyond 200, of 250 charged: 100·0 + 100·10 % + 50·20 % = 20; whole: 250·20 % = 50.
    let discounts = [(0, DiscountE6(0)), (100, DiscountE6(100_000)), (200, DiscountE6(200_000))];
    assert_eq!(of(Incremental, Amount, &discounts, &[used("UK", 7, "250")]), ["0.000000", "-10.000000", "-10.000000"]);
    assert_eq!(of(WholeVolume, Amount, &discounts, &[used("UK", 7, "250")]), ["-50.000000"]);
    assert_eq!(of(WholeVolume, Amount, &discounts, &[]), Vec::<String>::new());
}

/// Large carriers' months: products of seconds, money and prices beyond 128 bits are cut down first, or told.
#[test]
fn r_22_a_large_volume_is_priced_exactly_or_told() {
    let priced = |minutes, charged: &str, rate| {
        let volume = volume(VolumeMode::WholeVolume, VolumeBasis::Amount, &[(0, StepPrice::RateE12(rate))]);
        volume.lines([used("UK", minutes, charged)], LineRounding::default()).map(|lines| amounts(&lines))
    };
    assert_eq!(priced(20_000_000, "200000.00", 10_000_000_000), Ok(vec!["0.000000".to_owned()]));
    assert_eq!(priced(50_000_000, "500000.00", 8_000_000_000), Ok(vec!["-100000.000000".to_owned()]));
    let steps = [(0, StepPrice::RateE12(8_123_456_789)), (7, StepPrice::RateE12(8_123_456_789))];
    let many = volume(VolumeMode::Incremental, VolumeBasis::Amount, &steps);
    assert_eq!(many.lines([used("UK", 900_000_000_000, "90000000.00000001")], LineRounding::default()), Err(BadContract::TooLarge));
}

#[test]
fn r_22_a_rule_counts_only_its_scope() {
    let mut rule = volume(VolumeMode::WholeVolume, VolumeBasis::Amount, &[(0, StepPrice::DiscountE6(100_000))]);
    rule.scope.destinations.push("UK".to_owned());
    let lines = rule.lines([used("UK", 1, "10"), used("France", 1, "10")], LineRounding::default()).expect("right");
    assert_eq!(amounts(&lines), ["-1.000000"]);
    rule.scope = Scope { destinations: Vec::new(), prefixes: vec!["442".to_owned()] };
    let lines = rule.lines([used("UK", 1, "10"), used("France", 1, "10")], LineRounding::default()).expect("right");
    assert_eq!(amounts(&lines), ["-2.000000"], "both numbers start with 442");
}

#[test]
fn r_22_steps_that_cannot_be_are_refused() {
    let rule = |steps: &[(u64, StepPrice)]| volume(VolumeMode::Incremental, VolumeBasis::Minutes, steps).check();
    assert_eq!(rule(&[]), Err(BadContract::NoFirstStep));
    assert_eq!(rule(&[(5, StepPrice::DiscountE6(0))]), Err(BadContract::NoFirstStep));
    assert_eq!(rule(&[(0, StepPrice::DiscountE6(0)), (0, StepPrice::DiscountE6(1))]), Err(BadContract::StepsDoNotRise(0, 0)));
    assert_eq!(rule(&[(0, StepPrice::DiscountE6(1_000_001))]), Err(BadContract::Discount(1_000_001)));
    assert_eq!(rule(&[(0, StepPrice::RateE12(-1))]), Err(BadContract::Negative(-1)));
}

#[test]
fn r_22_bundled_minutes_cover_calls_in_order_and_the_last_one_in_part() {
    let bundle = |name: &str, minutes: u64, destination: &str, weight| Bundle {
        name: name.to_owned(),
        scope: Scope { destinations: vec![destination.to_owned()], prefixes: Vec::new() },
        left_s: minutes * 60,
        weight,
    };
    let mut bundles = [bundle("uk", 5, "UK", 0), bundle("fr", 1, "France", 0)];
    let calls = [used("UK", 3, "0.30"), used("France", 2, "0.50"), used("Spain", 1, "0.10"), used("UK", 4, "0.40"), used("UK", 1, "0.10")];
    let drawn = draw(&mut bundles, calls, LineRounding::default());
    let got: Vec<_> = drawn.iter().map(|d| (d.covered_s / 60, format_amount(d.credit_e8))).collect();
    let want = [(3, "0.300000"), (1, "0.250000"), (0, "0.000000"), (2, "0.200000"), (0, "0.000000")];
    assert_eq!(got, want.map(|(m, a)| (m, a.to_owned())));
    assert_eq!((bundles[0].left_s, bundles[1].left_s), (0, 0));
    assert_eq!(Drawn::line(&drawn).map(|l| (l.name, format_amount(l.amount_e8))), Some(("bundled minutes, 6:00".to_owned(), "-0.750000".to_owned())));
    // The heavier bundle goes first, and a call may take from two.
    let mut bundles = [bundle("later", 5, "UK", 0), bundle("first", 2, "UK", 10)];
    assert_eq!(draw(&mut bundles, [used("UK", 3, "0.30")], LineRounding::default())[0].credit_e8, e8("0.30"));
    assert_eq!((bundles[0].left_s, bundles[1].left_s), (240, 0));
}

#[test]
fn r_28_short_calls_beyond_the_allowance_cost_a_fee_each() {
    let policy = ShortPolicy::default();
    // (connected, short, charge, fee): the published example first.
    for (connected, short, charge, want) in [
        (1000, 200, ShortCharge::All, Some("2.000000")),
        (1000, 200, ShortCharge::Excess, Some("0.500000")),
        (1000, 150, ShortCharge::All, None),
        (1000, 151, ShortCharge::All, Some("1.510000")),
        (0, 0, ShortCharge::All, None),
        (1, 1, ShortCharge::All, Some("0.010000")),
    ] {
        let policy = ShortPolicy { charge, ..policy };
        let line = ShortCalls { connected, short }.line(&policy);
        assert_eq!(line.map(|l| format_amount(l.amount_e8)).as_deref(), want, "{short} of {connected}");
    }
    assert_eq!(ShortCalls { connected: 10, short: 10 }.line(&ShortPolicy { min_calls: 100, ..policy }), None);
}

proptest! {
    /// Incremental steps of one same discount are that discount of the whole.
    #[test]
    fn r_22_equal_steps_are_no_steps(amount in 0i64..10_000_000_000_000, bound in 1u64..100_000, discount in 0u32..=1_000_000) {
        let usage = [Used { number: "1", destination: "x", billed_s: 60, amount_e8: amount }];
        let how = LineRounding { places: 8, ..LineRounding::default() };
        let sum = |steps: &[(u64, StepPrice)]| {
            let lines = volume(VolumeMode::Incremental, VolumeBasis::Amount, steps).lines(usage, how).expect("right");
            (lines.len() as i64, lines.iter().map(|l| l.amount_e8).sum::<i64>())
        };
        let (_, one) = sum(&[(0, StepPrice::DiscountE6(discount))]);
        let (count, two) = sum(&[(0, StepPrice::DiscountE6(discount)), (bound, StepPrice::DiscountE6(discount))]);
        // Each line is rounded by itself.
        prop_assert!((one - two).abs() <= count.max(1), "{one} {two}");
    }

    /// Bundles never cover more than they hold nor credit more than was charged.
    #[test]
    fn r_22_bundles_are_never_overdrawn(left in 0u64..2_000, calls in prop::collection::vec((0u64..500, 0i64..1_000_000), 0..20)) {
        let mut bundles = [Bundle { name: "b".to_owned(), scope: Scope::default(), left_s: left, weight: 0 }];
        let usage = calls.iter().map(|(s, a)| Used { number: "1", destination: "x", billed_s: *s, amount_e8: *a });
        let drawn = draw(&mut bundles, usage, LineRounding::default());
        let covered: u64 = drawn.iter().map(|d| d.covered_s).sum();
        prop_assert_eq!(covered + bundles[0].left_s, left);
        for (one, (seconds, amount)) in drawn.iter().zip(&calls) {
            prop_assert!(one.covered_s <= *seconds && one.credit_e8 <= *amount && one.credit_e8 >= 0);
        }
    }
}
