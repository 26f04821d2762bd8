//! Currencies of calls. Two files are compared in one currency: what is in another meets it at the dated rate of the
//! call's day, or not at all.

use std::collections::BTreeMap;

use thiserror::Error;
use tollgate_schemas::time::format_rfc3339;

use super::Billed;
use crate::fx::{Fx, convert};

/// ISO 4217; none where a file does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    pub fn of(text: &str) -> Option<Currency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    pub fn is_said(self) -> bool {
        self != Currency::default()
    }

    pub fn code(&self) -> &str {
        if self.is_said() { std::str::from_utf8(&self.0).unwrap_or_default() } else { "" }
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoCurrency {
    #[error("neither file says a currency: say it with --currency")]
    Nowhere,
    #[error("our calls are in {ours} and theirs in {theirs}, and there is no exchange rate: compare files of one currency, or give dated rates (-f, documents of kind fx_rate) and with --currency what to compare in")]
    Differ { ours: String, theirs: String },
    #[error("there is no rate of {from}/{to} for {day} nor the 7 days before, of the call in line {line}: give one (kind fx_rate)")]
    NoRate { from: String, to: String, day: String, line: u64 },
}

/// Currencies of the calls that cost something, with how many there are.
pub fn currencies(calls: &[Billed]) -> BTreeMap<Currency, u64> {
    let mut all = BTreeMap::new();
    for call in calls.iter().filter(|c| c.currency.is_said() && (c.amount_e8 != 0 || c.rate_e12.is_some())) {
        *all.entry(call.currency).or_default() += 1;
    }
    all
}

fn listed(all: &BTreeMap<Currency, u64>) -> String {
    if all.is_empty() {
        return "none that their file names".to_owned();
    }
    all.iter().map(|(c, n)| format!("{} ({n} call{})", c.code(), if *n == 1 { "" } else { "s" })).collect::<Vec<_>>().join(", ")
}

/// Brings both lists into one currency and gives it, and how many calls were converted: the one asked for, else the one that all
/// are in, else theirs (a bill is argued about in its own). Calls whose file says none are taken to be in it.
pub fn in_one(ours: &mut [Billed], theirs: &mut [Billed], asked: Option<Currency>, rates: &Fx) -> Result<(Currency, u64), NoCurrency> {
    let (our, their) = (currencies(ours), currencies(theirs));
    let only = |all: &BTreeMap<Currency, u64>| all.keys().next().copied().filter(|_| all.len() == 1);
    let into = match asked.or_else(|| only(&their)).or_else(|| only(&our).filter(|_| their.is_empty())) {
        Some(into) => into,
        None if our.is_empty() && their.is_empty() => return Err(NoCurrency::Nowhere),
        None => return Err(NoCurrency::Differ { ours: listed(&our), theirs: listed(&their) }),
    };
    let differs = |all: &BTreeMap<Currency, u64>| all.keys().any(|c| *c != into);
    if rates.is_empty() && (differs(&our) || differs(&their)) {
        let named = |all: &BTreeMap<Currency, u64>| if all.is_empty() { format!("{} (as asked)", into.code()) } else { listed(all) };
        return Err(NoCurrency::Differ { ours: named(&our), theirs: named(&their) });
    }
    let mut converted = 0;
    for call in ours.iter_mut().chain(theirs) {
        if call.currency.is_said() && call.currency != into && (call.amount_e8 != 0 || call.rate_e12.is_some()) {
            let at_us = call.answer_us.unwrap_or(call.start_us);
            let (from, to) = (call.currency, into.code());
            let used = rates.rate(from.code(), to, at_us).ok_or_else(|| NoCurrency::NoRate {
                from: from.code().to_owned(), to: to.to_owned(), day: format_rfc3339(at_us).get(..10).unwrap_or_default().to_owned(), line: call.line,
            })?;
            call.amount_e8 = convert(call.amount_e8, used.rate_e12);
            call.rate_e12 = call.rate_e12.map(|r| convert(r, used.rate_e12));
            call.connect_e12 = convert(call.connect_e12, used.rate_e12);
            converted += 1;
        }
        call.currency = into;
    }
    Ok((into, converted))
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::control;

    use super::*;

    fn call(currency: &str, amount_e8: i64) -> Billed {
        let start_us = 1_772_323_200_000_000; // 2026-03-01
        Billed { currency: Currency::of(currency).unwrap_or_default(), amount_e8, rate_e12: Some(4_000_000_000), start_us, answer_us: Some(start_us), ..Billed::default() }
    }

    fn rates() -> Fx {
        let day = control::FxDay { base: "EUR".to_owned(), quote: "USD".to_owned(), rate: "1.1650".to_owned(), date: "2026-03-01".to_owned() };
        Fx::compile(&BTreeMap::from([("ecb".to_owned(), control::FxRate { source: "ecb".to_owned(), rates: vec![day] })])).expect("rates")
    }

    #[test]
    fn r_30_two_currencies_do_not_meet_without_a_dated_rate() {
        let usd = Currency::of("USD");
        for (ours, theirs, asked) in [(vec!["USD"], vec!["EUR"], None), (vec!["USD", "EUR"], vec![""], None), (vec!["USD"], vec!["USD", "EUR"], None), (vec!["EUR"], vec![""], usd)] {
            let list = |of: &[&str]| of.iter().map(|c| call(c, 400_000)).collect::<Vec<_>>();
            let refused = in_one(&mut list(&ours), &mut list(&theirs), asked, &Fx::default());
            assert!(matches!(refused, Err(NoCurrency::Differ { .. })), "{ours:?} {theirs:?}: {refused:?}");
        }
        assert_eq!(in_one(&mut [call("", 1)], &mut [call("", 1)], None, &Fx::default()), Err(NoCurrency::Nowhere));
        let (mut ours, mut theirs) = ([call("GBP", 1)], [call("USD", 1)]);
        assert!(matches!(in_one(&mut ours, &mut theirs, None, &rates()), Err(NoCurrency::NoRate { .. })));
    }

    #[test]
    fn r_30_calls_of_another_currency_are_compared_at_the_rate_of_their_day_in_that_of_the_bill() {
        let (mut ours, mut theirs) = ([call("EUR", 400_000)], [call("USD", 466_000), call("", 7)]);
        let (into, converted) = in_one(&mut ours, &mut theirs, None, &rates()).expect("a rate");
        assert_eq!((into.code(), converted), ("USD", 1));
        // 0.0040 EUR at 1.1650, and its price with it.
        assert_eq!((ours[0].amount_e8, ours[0].rate_e12, theirs[0].amount_e8, theirs[1].amount_e8), (466_000, Some(4_660_000_000), 466_000, 7));
    }
}
