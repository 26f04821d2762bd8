//! Tariffs and cases as a finance person writes them.
//!
//! A tariff is parts parted by `;`. The first is the row: `60/1 0.0500` is 60 seconds, then every second, at 0.05 a minute.
//!
//! | part | is |
//! |---|---|
//! | `connect 0.02` | connect fee |
//! | `places 4 up` | decimal places and rounding of a line |
//! | `seconds floor`, `tolerance 200ms`, `grace 1000ms`, `free 10s` | how time counts |
//! | `min 0.05`, `max 10 free`, `max 10 disconnect` | bounds of the usage |
//! | `from 60s 1/1 0.02` | another price from then on |
//! | `surcharge eea 0.25` | per minute |
//! | `fee call 0.01` | a line of its own: `answer`, `attempt`, `ringing` (a minute) or `call` |
//! | `zone Europe/Amsterdam` | of the clock |
//! | `band night 18:00-08:00 mon,fri weight 5 = connect 0.1 6/6 0.005, from 60s 1/1 0.001` | a price by the clock; also `months 1,12`, `days 1`, `dates 2026-12-25`, `since TIME` |

use tollgate_schemas::{
    money::parse_scaled,
    time::parse_rfc3339,
    v1::{Fee, FeeOn, RateStep, Rounding, SecondsRule, Surcharge, Terms, TimeBand},
};

pub fn tariff(text: &str) -> Terms {
    let mut parts = text.split(';').map(str::trim).filter(|p| !p.is_empty());
    let row = price(parts.next().unwrap_or_default());
    let mut terms = Terms {
        rate_e12: row.rate_e12,
        connect_fee_e12: row.connect_fee_e12,
        initial_s: row.initial_s,
        increment_s: row.increment_s,
        places: 6,
        ..Terms::default()
    };
    for part in parts {
        let words: Vec<&str> = part.split_whitespace().collect();
        match words[..] {
            ["connect", fee] => terms.connect_fee_e12 = money(fee),
            ["places", places, rounding] => {
                terms.places = places.parse().expect(part);
                terms.set_rounding(match rounding {
                    "half_up" => Rounding::HalfUp,
                    "up" => Rounding::Up,
                    "half_even" => Rounding::HalfEven,
                    "down" => Rounding::Down,
                    _ => panic!("{part}"),
                });
            }
            ["seconds", rule] => terms.set_seconds_rule(match rule {
                "ceil" => SecondsRule::Ceil,
                "half_up" => SecondsRule::HalfUp,
                "floor" => SecondsRule::Floor,
                _ => panic!("{part}"),
            }),
            ["tolerance", ms] => terms.tolerance_ms = unit(ms, "ms"),
            ["grace", ms] => terms.grace_ms = unit(ms, "ms"),
            ["free", s] => terms.free_s = unit(s, "s"),
            ["min", amount] => terms.min_charge_e12 = money(amount),
            ["max", amount, at_max] => {
                assert!(["free", "disconnect"].contains(&at_max), "{part}");
                (terms.max_charge_e12, terms.end_at_max) = (money(amount), at_max == "disconnect");
            }
            ["from", ..] => terms.steps.push(step(part)),
            ["surcharge", name, rate] => terms.surcharges.push(Surcharge { name: name.to_owned(), per_minute_e12: money(rate) }),
            ["fee", on, amount] => {
                let kind = match on {
                    "answer" => FeeOn::Answer,
                    "attempt" => FeeOn::Attempt,
                    "ringing" => FeeOn::Ringing,
                    "call" => FeeOn::Call,
                    _ => panic!("{part}"),
                };
                terms.fees.push(Fee { name: on.to_owned(), amount_e12: money(amount), on: kind.into() });
            }
            ["zone", zone] => terms.timezone = zone.to_owned(),
            ["band", ..] => terms.bands.push(band(part)),
            _ => panic!("no such part of a tariff: {part}"),
        }
    }
    terms
}

fn band(text: &str) -> TimeBand {
    let (when, prices) = text.split_once('=').expect(text);
    let mut words = when.split_whitespace().skip(1);
    let mut band = TimeBand { name: words.next().expect(text).to_owned(), ..TimeBand::default() };
    while let Some(word) = words.next() {
        match word {
            "weight" => band.weight = words.next().expect(text).parse().expect(text),
            "months" => band.months = bits(words.next().expect(text)),
            "days" => band.month_days = bits(words.next().expect(text)),
            "dates" => band.dates = words.next().expect(text).split(',').map(|d| d.replace('-', "").parse().expect(text)).collect(),
            "since" => band.from_us = parse_rfc3339(words.next().expect(text)).expect(text),
            clock if clock.contains(':') => {
                let (from, to) = clock.split_once('-').expect(text);
                (band.from_s, band.to_s) = (time_of_day(from), time_of_day(to) % 86_400);
            }
            days => {
                for day in days.split(',') {
                    let at = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().position(|d| *d == day);
                    band.weekdays |= 1 << at.expect(text);
                }
            }
        }
    }
    let mut prices = prices.split(',').map(str::trim);
    band.steps.push(price(prices.next().expect(text)));
    band.steps.extend(prices.map(step));
    band
}

/// `[connect FEE] INITIAL/INCREMENT RATE`.
fn price(text: &str) -> RateStep {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (fee, increments, rate) = match words[..] {
        ["connect", fee, increments, rate] => (money(fee), increments, rate),
        [increments, rate] => (0, increments, rate),
        _ => panic!("no price: {text}"),
    };
    let (initial, increment) = increments.split_once('/').expect(text);
    RateStep {
        after_s: 0,
        rate_e12: money(rate),
        connect_fee_e12: fee,
        initial_s: initial.parse().expect(text),
        increment_s: increment.parse().expect(text),
    }
}

/// `from 60s 1/1 0.02`.
fn step(text: &str) -> RateStep {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["from", after, increments, rate] = words[..] else { panic!("no step: {text}") };
    RateStep { after_s: unit(after, "s"), ..price(&format!("{increments} {rate}")) }
}

pub fn money(text: &str) -> i64 {
    parse_scaled(text, 12).expect(text)
}

fn unit(text: &str, unit: &str) -> u32 {
    text.strip_suffix(unit).expect(text).parse().expect(text)
}

fn bits(text: &str) -> u32 {
    text.split(',').map(|n| 1 << (n.parse::<u32>().expect(text) - 1)).sum()
}

fn time_of_day(text: &str) -> u32 {
    let parts: Vec<u32> = text.split(':').map(|p| p.parse().expect(text)).collect();
    parts[0] * 3600 + parts[1] * 60 + parts.get(2).copied().unwrap_or(0)
}

/// The rows of a table: tab-separated cells, without the header, comments and empty lines; each with its line.
pub fn table(text: &'static str) -> Vec<(usize, Vec<&'static str>)> {
    let lines = text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')).skip(1);
    lines.map(|(at, line)| (at + 1, line.split('\t').map(str::trim).collect())).collect()
}
