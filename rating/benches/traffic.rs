//! Decks and calls for benches, the same at every run: a seed is a file.

/// Xorshift: good enough to spread numbers, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// 2026-05-28T20:26:40Z, microseconds.
pub const NOW_US: i64 = 1_780_000_000_000_000;

/// A sheet of `rows` prefixes of 1 to 8 digits, dense as the trade's: every country, most rows of 6 to 8 digits, 2,000
/// destinations, four kinds of increments.
pub fn deck_csv(rows: u64, seed: u64) -> String {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut prefixes: std::collections::BTreeSet<u64> = (1..1000.min(rows + 1)).collect();
    while (prefixes.len() as u64) < rows {
        let digits = 4 + random.below(5) as u32;
        prefixes.insert(10u64.pow(digits - 1) + random.below(9 * 10u64.pow(digits - 1)));
    }
    let mut csv = String::with_capacity(48 * rows as usize);
    csv += "prefix,destination,rate,connect_fee,initial,increment,effective_from\n";
    for prefix in prefixes {
        let plan = ["1,1", "6,6", "30,6", "60,60"][random.below(4) as usize];
        let (group, rate) = (random.below(2000), random.below(100_000));
        csv += &format!("{prefix},Group {group},0.{rate:05},0,{plan},2026-01-01\n");
    }
    csv
}

/// A call of the file of calls: its number is anything, so that the caches see the worst of a deck.
pub struct Traffic {
    /// Of `account-0` to `account-n`.
    pub account: u64,
    pub from: u64,
    pub to: u64,
    pub setup_us: i64,
    /// Three of four calls are answered.
    pub answer_us: Option<i64>,
    pub end_us: i64,
}

/// Calls in the order of their setup, a millisecond apart.
pub fn calls(count: u64, accounts: u64, seed: u64) -> impl Iterator<Item = Traffic> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..count).map(move |at| {
        let setup_us = NOW_US + at as i64 * 1000;
        let rings_us = 1_000_000 + random.below(20_000_000) as i64;
        let answered = random.below(4) > 0;
        // Many short calls, few long ones.
        let longest = [20, 60, 180, 900][random.below(4) as usize] * 1_000_000;
        let talks_us = random.below(longest) as i64;
        Traffic {
            account: random.below(accounts),
            from: 440_000_000_000 + random.below(10_000_000_000),
            to: 100_000_000_000 + random.below(899_999_999_999),
            setup_us,
            answer_us: answered.then_some(setup_us + rings_us),
            end_us: setup_us + rings_us + if answered { talks_us } else { 0 },
        }
    })
}
