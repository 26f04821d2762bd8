//! The rules once more, in the plainest words there are: decimals, one increment after the other, the local date and time read
//! anew for each. No code is shared with the engine but the forms.

use chrono::{DateTime, Datelike, Duration, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};
use tollgate_schemas::{
    terms::LegContext,
    v1::{FeeOn, RateStep, Rounding, SecondsRule, Terms, TimeBand},
};

use super::properties::{a_context, a_duration, a_tariff, an_answer};

/// Billed seconds, and the lines' sum.
pub fn price(terms: &Terms, answer_us: i64, duration_ms: u64, context: &LegContext) -> (u64, Decimal) {
    let mut total = Decimal::ZERO;
    let mut billed = 0;
    let charged = context.answered && !(terms.grace_ms > 0 && duration_ms <= u64::from(terms.grace_ms));
    if charged {
        let (seconds, usage) = usage(terms, answer_us, duration_ms);
        billed = seconds;
        total += round(terms, usage);
    }
    for fee in &terms.fees {
        let amount = e12(fee.amount_e12);
        total += round(terms, match fee.on() {
            FeeOn::Answer if charged => amount,
            FeeOn::Answer => Decimal::ZERO,
            FeeOn::Call => amount * Decimal::from(context.attempts.min(1)),
            FeeOn::Attempt => amount * Decimal::from(context.attempts),
            FeeOn::Ringing => amount * Decimal::from(context.ringing_ms.div_ceil(1000)) / Decimal::from(60),
        });
    }
    (billed, total)
}

fn usage(terms: &Terms, answer_us: i64, duration_ms: u64) -> (u64, Decimal) {
    let ms = duration_ms.saturating_sub(terms.tolerance_ms.into());
    let seconds = match terms.seconds_rule() {
        SecondsRule::Ceil => ms.div_ceil(1000),
        SecondsRule::HalfUp => (ms + 500) / 1000,
        SecondsRule::Floor => ms / 1000,
    };
    let seconds = seconds.max(1);
    let surcharge: Decimal = terms.surcharges.iter().map(|s| e12(s.per_minute_e12)).sum();
    let first = in_force(terms, answer_us, 0);
    // Prices of a minute times seconds; the sixtieth is taken at the end.
    let mut sum = e12(first.connect_fee_e12) * Decimal::from(60);
    let mut at = u64::from(terms.free_s);
    let mut billed = 0;
    let mut initial = Some(u64::from(first.initial_s)).filter(|s| *s > 0);
    while at < seconds {
        let price = in_force(terms, answer_us, at);
        let increment = initial.take().unwrap_or(u64::from(price.increment_s).max(1));
        sum += (e12(price.rate_e12) + surcharge) * Decimal::from(increment);
        at += increment;
        billed += increment;
    }
    let mut usage = sum / Decimal::from(60);
    if terms.min_charge_e12 > 0 {
        usage = usage.max(e12(terms.min_charge_e12));
    }
    if terms.max_charge_e12 > 0 && !terms.end_at_max {
        usage = usage.min(e12(terms.max_charge_e12));
    }
    (billed, usage)
}

/// The price of the increment that begins so many seconds into the call.
fn in_force(terms: &Terms, answer_us: i64, second: u64) -> RateStep {
    let zone: Tz = if terms.timezone.is_empty() { Tz::UTC } else { terms.timezone.parse().expect("zone") };
    let instant = Utc.timestamp_micros(answer_us).single().expect("instant") + Duration::seconds(second as i64);
    let local = instant.with_timezone(&zone);
    let holding = terms.bands.iter().enumerate().filter_map(|(at, band)| Some((band, began(band, instant, &local)?, at)));
    let band = holding.max_by_key(|(band, began, at)| (band.from_us, band.weight, *began, usize::MAX - at)).map(|(band, ..)| band);
    let row = RateStep {
        after_s: 0,
        rate_e12: terms.rate_e12,
        connect_fee_e12: terms.connect_fee_e12,
        initial_s: terms.initial_s,
        increment_s: terms.increment_s,
    };
    let steps: Vec<RateStep> = match band {
        Some(band) if !band.steps.is_empty() => band.steps.clone(),
        _ => [row].into_iter().chain(terms.steps.iter().copied()).collect(),
    };
    steps.into_iter().filter(|s| u64::from(s.after_s) <= second).max_by_key(|s| s.after_s).expect("the first is from 0 on")
}

/// The second of the day a band began at, if it holds.
fn began(band: &TimeBand, instant: DateTime<Utc>, local: &DateTime<Tz>) -> Option<i64> {
    if instant.timestamp_micros() < band.from_us {
        return None;
    }
    let today = local.date_naive();
    let of_day = |date: chrono::NaiveDate| {
        (band.weekdays == 0 || band.weekdays >> date.weekday().num_days_from_monday() & 1 == 1)
            && (band.months == 0 || band.months >> (date.month() - 1) & 1 == 1)
            && (band.month_days == 0 || band.month_days >> (date.day() - 1) & 1 == 1)
            && (band.dates.is_empty() || band.dates.contains(&format!("{}", date.format("%Y%m%d")).parse().expect("date")))
    };
    let clock = local.num_seconds_from_midnight();
    let to = if band.to_s == 0 { 86_400 } else { band.to_s };
    if band.from_s < to {
        (of_day(today) && (band.from_s..to).contains(&clock)).then_some(band.from_s.into())
    } else if clock >= band.from_s && of_day(today) {
        Some(band.from_s.into())
    } else {
        (clock < to && of_day(today - Duration::days(1))).then(|| i64::from(band.from_s) - 86_400)
    }
}

fn round(terms: &Terms, amount: Decimal) -> Decimal {
    let strategy = match terms.rounding() {
        Rounding::HalfUp => RoundingStrategy::MidpointAwayFromZero,
        Rounding::Up => RoundingStrategy::AwayFromZero,
        Rounding::HalfEven => RoundingStrategy::MidpointNearestEven,
        Rounding::Down => RoundingStrategy::ToZero,
    };
    amount.round_dp_with_strategy(terms.places, strategy)
}

fn e12(value: i64) -> Decimal {
    Decimal::new(value, 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn r_06_to_r_18_any_tariff_charges_what_the_plain_words_say(
        terms in a_tariff(), answer_us in an_answer(), ms in a_duration(), context in a_context()
    ) {
        let (billed, amount) = price(&terms, answer_us, ms, &context);
        let charge = terms.charge_leg(answer_us, ms, &context);
        prop_assert_eq!((charge.billed_s, Decimal::new(charge.amount_e8, 8)), (billed, amount));
    }
}
