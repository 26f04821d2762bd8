//! Money owed within a rolling window, in the customer's terms stamped on `call.answered`.
//!
//! Money counts at the moment it falls due: a call owes its first increment with the answer, and each further one as
//! it begins. So a running call counts while it runs, nothing counts twice at its end (only what the final charge adds
//! or takes back is posted then), and what an ended call owed stays until the window has passed it, increment by
//! increment. A window of W keeps an increment up to W/60 too long (see [`Window`]). Currencies never add up: each has
//! its own window and is judged alone.

use tollgate_schemas::{terms::PlainPrice, v1::Terms};

use crate::window::Window;

pub const NAME: &str = "spend";
pub const COUNTED_AT: &str = "answer";

/// Entries that share a window at most.
pub const PARTS: i64 = 60;

/// A currency code of up to eight bytes; longer ones are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Currency([u8; 8]);

impl Currency {
    pub fn new(code: &str) -> Currency {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(code.bytes()) {
            *to = from;
        }
        Currency(bytes)
    }

    pub fn code(&self) -> &str {
        let len = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        std::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Spend {
    /// One window a currency, in the order they were first seen; nearly always one.
    pub windows: Vec<(Currency, Window)>,
}

impl Spend {
    pub fn post(&mut self, currency: Currency, now_us: i64, amount_e8: i64, span_us: i64) {
        let known = self.windows.iter().position(|(c, _)| *c == currency);
        let at = known.unwrap_or_else(|| {
            self.windows.push((currency, Window::default()));
            self.windows.len() - 1
        });
        let window = &mut self.windows[at].1;
        window.expire(now_us, span_us);
        window.add(now_us, amount_e8, span_us / PARTS);
    }

    /// Money owed in the window, never below zero.
    pub fn value(&self, currency: Currency, now_us: i64, span_us: i64) -> i64 {
        self.windows.iter().find(|(c, _)| *c == currency).map_or(0, |(_, w)| w.sum(now_us, span_us).max(0))
    }

    /// The currency in which most is owed, and how much.
    pub fn largest(&self, now_us: i64, span_us: i64) -> (Currency, i64) {
        let sums = self.windows.iter().map(|(c, w)| (*c, w.sum(now_us, span_us).max(0)));
        // The first of equals, so that the answer does not depend on what else was seen.
        sums.reduce(|best, one| if one.1 > best.1 { one } else { best }).unwrap_or_default()
    }
}

/// What of its terms prices a call: a few numbers for a plain row, which nearly all are; a tariff's whole for the others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Price {
    pub plain: PlainPrice,
    pub currency: Currency,
    pub tariff: Option<Box<Tariff>>,
}

/// Terms that are not plain, and the instant their prices by the clock count from.
#[derive(Debug, Clone, PartialEq)]
pub struct Tariff {
    /// The numbers only.
    pub terms: Terms,
    pub answer_us: i64,
}

impl Price {
    /// `answer_us`: of the answer as its event tells, which is the CDR's; before the answer it is not asked for.
    pub fn of(terms: &Terms, answer_us: i64) -> Price {
        let tariff = (!terms.is_plain()).then(|| Box::new(Tariff { terms: terms.numbers(), answer_us }));
        Price { plain: terms.plain(), currency: Currency::new(&terms.currency), tariff }
    }

    /// What an answered call of this length owes, by the house's one charge function, and the shortest length in
    /// milliseconds that owes more; `None` when no length does. Fees of ringing are not known here and not counted.
    pub fn owed(&self, duration_ms: u64) -> (i64, Option<u64>) {
        if let Some(tariff) = &self.tariff {
            let Tariff { terms, answer_us } = &**tariff;
            return (terms.charge(*answer_us, duration_ms).amount_e8, terms.next_change_ms(*answer_us, duration_ms));
        }
        let charge = self.plain.charge(duration_ms);
        let next = (self.plain.rate_e12 != 0).then(|| charge.billed_s.saturating_mul(1000).saturating_add(1));
        (charge.amount_e8, next)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::v1::RateStep;

    use super::*;

    #[test]
    fn r_12_the_next_length_owes_more_and_no_shorter_one_does() {
        let row = Terms { rate_e12: 1_000_000_000_000, initial_s: 30, increment_s: 6, places: 6, ..Terms::default() };
        // With a step to twice the price after 33 s, from 36 s on as increments go.
        let step = RateStep { after_s: 33, rate_e12: 2_000_000_000_000, increment_s: 6, ..RateStep::default() };
        for price in [Price::of(&row, 0), Price::of(&Terms { steps: vec![step], ..row.clone() }, 0)] {
            owes_more(&price);
        }
        assert_eq!(Price::of(&Terms { steps: vec![step], ..row }, 0).owed(36_001).0 - Price::of(&Terms::default(), 0).owed(1).0, 80_000_000);
        assert_eq!(Price::default().owed(5).1, None);
    }

    fn owes_more(price: &Price) {
        for ms in [0, 1, 29_999, 30_000, 30_001, 36_000, 36_001, 100_500] {
            let (owed, next) = price.owed(ms);
            let next = next.expect("a rate above zero");
            assert!(next > ms && price.owed(next).0 > owed, "{ms}");
            assert_eq!(price.owed(next - 1).0, owed, "{ms}");
        }
    }

    #[test]
    fn money_of_two_currencies_never_adds_up() {
        let mut spend = Spend::default();
        let (usd, eur) = (Currency::new("USD"), Currency::new("EUR"));
        spend.post(usd, 10, 5, 1_000);
        spend.post(eur, 10, 7, 1_000);
        assert_eq!((spend.value(usd, 10, 1_000), spend.largest(10, 1_000)), (5, (eur, 7)));
        assert_eq!(eur.code(), "EUR");
    }
}
