//! A tariff's document, checked; every mistake at once.

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use tollgate_schemas::{
    control,
    money::{RATE_PLACES, parse_scaled},
    v1::{Fee, FeeOn, SecondsRule, Terms, TimeBand},
};

use super::{BadTariff, Price, Profile, Step, Tariff};

/// More of either are refused: every charge looks at them.
const MAX_STEPS: usize = 32;
const MAX_PROFILES: usize = 64;
/// Holidays of one profile.
const MAX_DATES: usize = 1_000;
/// Decimal places of a factor, and the largest there is.
const FACTOR_PLACES: u32 = 6;
const MAX_FACTOR: i64 = 1_000_000_000;
/// Longest time into a call, and longest tolerance or grace.
const DAY_S: u32 = 86_400;

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(super) fn compile(spec: &control::Tariff, zone: Tz) -> Result<Option<Tariff>, Vec<BadTariff>> {
    let mut check = Check::default();
    let modifiers = check.modifiers(spec, zone);
    if spec.steps.len() > MAX_STEPS {
        check.wrong("steps", format_args!("{} steps: want at most {MAX_STEPS}", spec.steps.len()));
    }
    let steps = check.steps(&spec.steps);
    if spec.profiles.len() > MAX_PROFILES {
        check.wrong("profiles", format_args!("{} profiles: want at most {MAX_PROFILES}", spec.profiles.len()));
    }
    let profiles: Vec<Profile> = spec.profiles.iter().enumerate().filter_map(|(at, p)| check.profile(at, p, &spec.profiles[..at])).collect();
    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    let tariff = Tariff { modifiers, steps, profiles, split_at_change: spec.split_at_change, names: check.names };
    let nothing = tariff.modifiers.is_plain() && tariff.steps.is_empty() && tariff.profiles.is_empty() && !tariff.split_at_change;
    Ok((!nothing).then_some(tariff))
}

#[derive(Default)]
struct Check {
    problems: Vec<BadTariff>,
    names: Vec<(String, String)>,
}

impl Check {
    fn wrong(&mut self, path: &str, problem: impl ToString) {
        self.problems.push(BadTariff { path: format!("tariff.{path}"), problem: problem.to_string() });
    }

    fn modifiers(&mut self, spec: &control::Tariff, zone: Tz) -> Terms {
        let seconds_rule = match spec.seconds.as_str() {
            "ceil" => SecondsRule::Ceil,
            "half_up" => SecondsRule::HalfUp,
            "floor" => SecondsRule::Floor,
            other => {
                self.wrong("seconds", format_args!("'{other}' is not a rule: want ceil, half_up or floor"));
                SecondsRule::Ceil
            }
        };
        let end_at_max = match spec.at_max.as_str() {
            "free" => false,
            "disconnect" => true,
            other => {
                self.wrong("at_max", format_args!("'{other}' is neither free nor disconnect"));
                false
            }
        };
        let min_charge_e12 = self.money("min_charge", spec.min_charge.as_deref());
        let max_charge_e12 = self.money("max_charge", spec.max_charge.as_deref());
        if end_at_max && max_charge_e12 == 0 {
            self.wrong("at_max", "disconnect needs a max_charge above 0");
        }
        if max_charge_e12 != 0 && min_charge_e12 > max_charge_e12 {
            self.wrong("min_charge", "is above max_charge");
        }
        for (path, value) in [("tolerance_ms", spec.tolerance_ms), ("grace_ms", spec.grace_ms)] {
            if value > DAY_S * 1000 {
                self.wrong(path, format_args!("{value} ms is more than a day"));
            }
        }
        if spec.free_s > DAY_S {
            self.wrong("free_s", format_args!("{} s is more than a day", spec.free_s));
        }
        let mut fees = Vec::new();
        for (name, amount, on) in [
            ("answer", &spec.answer_fee, FeeOn::Answer),
            ("attempt", &spec.attempt_fee, FeeOn::Attempt),
            ("ringing", &spec.ringing_fee, FeeOn::Ringing),
            ("call", &spec.call_fee, FeeOn::Call),
        ] {
            let amount_e12 = self.money(&format!("{name}_fee"), amount.as_deref());
            if amount_e12 != 0 {
                fees.push(Fee { name: name.to_owned(), amount_e12, on: on.into() });
            }
        }
        Terms {
            timezone: if zone == Tz::UTC { String::new() } else { zone.name().to_owned() },
            min_charge_e12,
            max_charge_e12,
            end_at_max,
            grace_ms: spec.grace_ms,
            free_s: spec.free_s,
            seconds_rule: seconds_rule.into(),
            tolerance_ms: spec.tolerance_ms,
            fees,
            ..Terms::default()
        }
    }

    fn money(&mut self, path: &str, text: Option<&str>) -> i64 {
        match text.map(|t| parse_scaled(t, RATE_PLACES)) {
            None => 0,
            Some(Ok(e12)) if e12 >= 0 => e12,
            Some(Ok(_)) => {
                self.wrong(path, format_args!("'{}' is below 0", text.unwrap_or_default()));
                0
            }
            Some(Err(e)) => {
                self.wrong(path, e);
                0
            }
        }
    }

    fn steps(&mut self, specs: &[control::TariffStep]) -> Vec<Step> {
        let mut steps = Vec::with_capacity(specs.len());
        for (at, spec) in specs.iter().enumerate() {
            let path = format!("steps[{at}]");
            if spec.after_s == 0 || spec.after_s > DAY_S {
                self.wrong(&format!("{path}.after_s"), format_args!("{} s: want 1 to {DAY_S}; the row's price is the one from the answer on", spec.after_s));
            }
            if specs[..at].iter().any(|s| s.after_s == spec.after_s) {
                self.wrong(&format!("{path}.after_s"), format_args!("there is a step after {} s already", spec.after_s));
            }
            if spec.increment_s.is_some_and(|s| s == 0 || s > DAY_S) {
                self.wrong(&format!("{path}.increment_s"), format_args!("want 1 to {DAY_S} seconds"));
            }
            if let Some(price) = self.price(&path, spec.rate_factor.as_deref(), spec.deck.as_deref()) {
                steps.push(Step { after_s: spec.after_s, price, increment_s: spec.increment_s });
            }
        }
        steps.sort_by_key(|s| s.after_s);
        steps
    }

    fn price(&mut self, path: &str, factor: Option<&str>, deck: Option<&str>) -> Option<Price> {
        match (factor, deck) {
            (Some(text), None) => match parse_scaled(text, FACTOR_PLACES) {
                Ok(e6) if (0..=MAX_FACTOR).contains(&e6) => return u32::try_from(e6).ok().map(Price::Factor),
                Ok(_) => self.wrong(&format!("{path}.rate_factor"), format_args!("'{text}': want 0 to 1000")),
                Err(e) => self.wrong(&format!("{path}.rate_factor"), e),
            },
            (None, Some(name)) => match tollgate_schemas::name::check(name) {
                Ok(_) => {
                    let known = self.names.iter().position(|(_, n)| n == name);
                    return Some(Price::Deck(known.unwrap_or_else(|| {
                        self.names.push((format!("tariff.{path}.deck"), name.to_owned()));
                        self.names.len() - 1
                    })));
                }
                Err(e) => self.wrong(&format!("{path}.deck"), e),
            },
            _ => self.wrong(path, "want rate_factor or deck, one of them"),
        }
        None
    }

    fn profile(&mut self, at: usize, spec: &control::TimeProfile, before: &[control::TimeProfile]) -> Option<Profile> {
        let path = format!("profiles[{at}]");
        if spec.name.is_empty() || spec.name.chars().count() > 64 || spec.name.chars().any(char::is_control) {
            self.wrong(&format!("{path}.name"), "want 1 to 64 characters");
        }
        if before.iter().any(|p| p.name == spec.name) {
            self.wrong(&format!("{path}.name"), format_args!("there is a profile '{}' already", spec.name));
        }
        let mut weekdays = 0;
        for (day_at, day) in spec.weekdays.iter().enumerate() {
            match WEEKDAYS.iter().position(|d| d == day) {
                Some(bit) => weekdays |= 1 << bit,
                None => self.wrong(&format!("{path}.weekdays[{day_at}]"), format_args!("'{day}' is not a day: want {}", WEEKDAYS.join(", "))),
            }
        }
        let months = self.bits(&format!("{path}.months"), &spec.months, 12);
        let month_days = self.bits(&format!("{path}.days"), &spec.days, 31);
        if spec.dates.len() > MAX_DATES {
            self.wrong(&format!("{path}.dates"), format_args!("{} dates: want at most {MAX_DATES}", spec.dates.len()));
        }
        let mut dates = Vec::with_capacity(spec.dates.len());
        for (date_at, text) in spec.dates.iter().enumerate() {
            match date(text) {
                Some(number) => dates.push(number),
                None => self.wrong(&format!("{path}.dates[{date_at}]"), format_args!("'{text}' is not a date: want YYYY-MM-DD")),
            }
        }
        let from_s = clock(&spec.from).filter(|s| *s < DAY_S);
        if from_s.is_none() {
            self.wrong(&format!("{path}.from"), format_args!("'{}' is not a time of day: want HH:MM or HH:MM:SS", spec.from));
        }
        let to_s = clock(&spec.to);
        if to_s.is_none() {
            self.wrong(&format!("{path}.to"), format_args!("'{}' is not a time of day: want HH:MM, HH:MM:SS or 24:00", spec.to));
        }
        let price = self.price(&path, spec.rate_factor.as_deref(), spec.deck.as_deref());
        let band = TimeBand {
            name: spec.name.clone(),
            weekdays,
            months,
            month_days,
            dates,
            from_s: from_s?,
            // The band's own form of the end of the day.
            to_s: to_s? % DAY_S,
            weight: spec.weight,
            ..TimeBand::default()
        };
        Some(Profile { band, price: price? })
    }

    /// Numbers from 1 on, as bits from 0 on.
    fn bits(&mut self, path: &str, numbers: &[u32], most: u32) -> u32 {
        let mut bits = 0;
        for (at, number) in numbers.iter().enumerate() {
            match (1..=most).contains(number) {
                true => bits |= 1 << (number - 1),
                false => self.wrong(&format!("{path}[{at}]"), format_args!("{number}: want 1 to {most}")),
            }
        }
        bits
    }
}

/// `yyyymmdd` of `YYYY-MM-DD`.
fn date(text: &str) -> Option<u32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|d| text.len() == 10 && (1..=9999).contains(&d.year()))?;
    Some(date.year() as u32 * 10_000 + date.month() * 100 + date.day())
}

/// Seconds of the day of `HH:MM` or `HH:MM:SS`, up to `24:00`.
fn clock(text: &str) -> Option<u32> {
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) || parts.iter().any(|p| p.len() != 2 || !p.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let number = |at: usize| parts.get(at).map_or(Ok(0), |p| p.parse::<u32>()).ok();
    let (h, m, s) = (number(0)?, number(1)?, number(2)?);
    let whole = h * 3600 + m * 60 + s;
    (m < 60 && s < 60 && whole <= DAY_S).then_some(whole)
}
