//! The rules at their own figures; the tables a finance person reads are in `rating/tests/tariff`.

use super::*;
use crate::v1::Rounding;
use crate::money::{format_scaled, parse_scaled};

fn terms(plan: &str, rate: &str, connect: &str) -> Terms {
    let (initial, increment) = plan.split_once('/').map(|(a, b)| (a.parse(), b.parse())).unwrap_or((Ok(1), Ok(1)));
    Terms {
        rate_e12: parse_scaled(rate, 12).expect("rate"),
        connect_fee_e12: parse_scaled(connect, 12).expect("fee"),
        initial_s: initial.expect("initial"),
        increment_s: increment.expect("increment"),
        places: 6,
        ..Terms::default()
    }
}

#[test]
fn r_10_test_vectors_are_exact() {
    for (plan, ms, rate, connect, billed, amount) in [
        ("6/6", 10_000, "0.0100", "0", 12, "0.002000"),
        ("6/6", 6_000, "0.0080", "0", 6, "0.000800"),
        ("6/6", 6_001, "0.0080", "0", 12, "0.001600"),
        ("6/6", 400, "0.0080", "0", 6, "0.000800"),
        ("30/6", 31_000, "0.1200", "0", 36, "0.072000"),
        ("30/6", 30_000, "0.0090", "0", 30, "0.004500"),
        ("60/60", 10_000, "0.0500", "0", 60, "0.050000"),
        ("60/60", 60_001, "0.1850", "0", 120, "0.370000"),
        ("60/1", 61_200, "0.2500", "0", 62, "0.258333"),
        ("1/1", 30_100, "0.0125", "0", 31, "0.006458"),
        ("1/1", 1, "0.0077", "0", 1, "0.000128"),
        ("1/1", 3_599_999, "0.0077", "0", 3600, "0.462000"),
        ("1/1", 90_000, "0.0600", "0.02", 90, "0.110000"),
        // The surcharge of 0.25 a minute belongs to the same line, so it adds to the rate.
        ("1/1", 75_000, "0.2620", "0", 75, "0.327500"),
    ] {
        let charge = terms(plan, rate, connect).charge(0, ms);
        assert_eq!((charge.billed_s, format_scaled(charge.amount_e8, 8, 6).as_str()), (billed, amount), "{plan} {ms} ms at {rate}");
    }
    let four_up = Terms { places: 4, rounding: Rounding::Up.into(), ..terms("1/1", "0.0125", "0") };
    assert_eq!(format_scaled(four_up.charge(0, 30_100).amount_e8, 8, 4), "0.0065");
}

#[test]
fn r_08_halves_go_up_or_to_even_as_the_tariff_says() {
    // 60 s at 0.0000025 a minute is exactly half a millionth above 0.000002.
    let half = terms("60/60", "0.0000025", "0");
    assert_eq!(half.charge(0, 60_000).amount_e8, 300);
    assert_eq!(Terms { rounding: Rounding::HalfEven.into(), ..half.clone() }.charge(0, 60_000).amount_e8, 200);
    assert_eq!(Terms { rounding: Rounding::Down.into(), ..half }.charge(0, 60_000).amount_e8, 200);
}

proptest::proptest! {
    #[test]
    fn r_07_billed_is_minimal(s in 1u64..200_000, initial in 0u32..400, inc in 1u32..400) {
        let billed = billed_seconds(s, initial, inc);
        let floor = u64::from(initial);
        assert!(billed >= s && billed >= floor);
        assert!(billed == floor || (billed - floor).is_multiple_of(u64::from(inc)));
        assert!(billed == floor.max(1) || billed - u64::from(inc) < s, "one increment less would not cover the call");
    }

    #[test]
    fn r_06_whole_seconds_cover_the_call(ms in 0u64..10_000_000) {
        let s = rated_seconds(ms);
        assert!(s >= 1 && s * 1000 >= ms && (s == 1 || (s - 1) * 1000 < ms));
    }
}
