//! Rows to store, from a small seeded generator.

use tollgate_schemas::{
    cdr::{ATTEMPT, COLUMNS, Cdr, ColumnType, FINAL, Value},
    id::Id,
    store::CdrFilter,
};

/// 2026-11-30T00:00:00Z: a day later the month ends.
pub const T0: i64 = 1_795_996_800_000_000;
pub const HOUR: i64 = 3_600_000_000;

/// xorshift64*.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A plain answered call, or its attempt.
pub fn cdr(call: u128, record_type: &str, attempt_no: u32, version: u32) -> Cdr {
    Cdr {
        call_uuid: Id(call).to_vec(),
        record_type: record_type.to_owned(),
        attempt_no,
        cdr_version: version,
        account: "acme".into(),
        root_account: "acme".into(),
        trunk: "t1".into(),
        carrier: "alfa".into(),
        disposition: "answered".into(),
        sip_final_code: 200,
        attempts_total: 1,
        invite_ts: T0,
        count: 1,
        sell_currency: "USD".into(),
        cost_currency: "USD".into(),
        ..Cdr::default()
    }
}

/// A row with a value in each column, made from the seed; optional ones are sometimes unknown.
pub fn full_row(rng: &mut Rng, call: u128) -> Cdr {
    let mut row = Cdr::default();
    for c in COLUMNS {
        if c.optional && rng.below(3) == 0 {
            continue;
        }
        let n = rng.next();
        let text = match n % 7 {
            0 => String::new(),
            1 => "12025550123".to_owned(),
            2 => format!("00{}", "12025550123"),
            _ => format!("{}-{n:x} ü \"',;\n\u{1}{{p0:String}}?", c.name),
        };
        let id = Id(u128::from(n) << 64 | 1).to_vec();
        let money = (n >> 5) as i64 * if n & 1 == 0 { 1 } else { -1 };
        let value = match c.ty {
            ColumnType::Uuid => Value::Uuid(&id),
            ColumnType::Str => Value::Str(&text),
            ColumnType::Bool => Value::Bool(n & 1 == 0),
            ColumnType::U32 => Value::U32(n as u32),
            ColumnType::U64 => Value::U64(n | 1 << 63),
            ColumnType::Ts => Value::Ts(T0 + (n % 1_000_000_000_000) as i64),
            ColumnType::Money => Value::Money(money),
            ColumnType::Rate => Value::Rate(money),
        };
        (c.set)(&mut row, value);
    }
    row.call_uuid = Id(call).to_vec();
    row.record_type = if rng.below(2) == 0 { FINAL } else { ATTEMPT }.to_owned();
    row.cdr_version = 1;
    row
}

/// Calls that [`small_row`] chooses among.
pub const CALLS: u64 = 400;

/// A row among few values, so that filters match some, on a call chosen among few, so that versions meet.
pub fn small_row(rng: &mut Rng) -> Cdr {
    let call = 1 + u128::from(rng.below(CALLS));
    let kind = *rng.pick(&[FINAL, ATTEMPT]);
    let attempt = if kind == FINAL { 1 } else { 1 + rng.below(3) as u32 };
    let version = if rng.below(12) == 0 { 2 + rng.below(2) as u32 } else { 1 };
    // Everything else follows from the identity, as a row written again is the same row.
    let mut own = Rng(0x9e37 + (call as u64) * 977 + u64::from(attempt) * 31 + u64::from(version) * 7 + kind.len() as u64);
    own.next();
    let mut row = cdr(call, kind, attempt, version);
    // Three days around the end of a month, many of them at whole hours.
    let grid = *own.pick(&[HOUR, HOUR / 4, 30_000_000]);
    row.invite_ts = T0 + own.below(72 * HOUR as u64) as i64 / grid * grid - own.below(2) as i64;
    row.account = (*own.pick(&["acme", "globex", "it's; --"])).to_owned();
    // The tenant is part of a row's identity: a version does not change it.
    row.root_account = ["acme", "globex"][call as usize % 2].to_owned();
    row.trunk = (*own.pick(&["t1", "t2"])).to_owned();
    row.carrier = (*own.pick(&["alfa", "beta", ""])).to_owned();
    row.disposition = (*own.pick(&["answered", "busy", "blocked", "failed"])).to_owned();
    row.sip_final_code = *own.pick(&[200, 486, 480, 408, 487, 503, 603]);
    row.first_18x_ts = (own.below(2) == 0).then_some(row.invite_ts + 5);
    row.vendor_q850 = (own.below(4) == 0).then_some(*own.pick(&[16, 18, 19, 20]));
    row.attempts_total = own.below(3) as u32;
    row.count = own.below(2) * own.below(50);
    row.sip_call_id_in = format!("c{}", own.below(50));
    row.a_number_e164 = format!("4930{}", own.below(10));
    row.b_number_e164 = format!("1212{}", own.below(10));
    row.b_dest_group = (*own.pick(&["us", "de", "ü 'quoted'"])).to_owned();
    row.b_country = (*own.pick(&["1", "49"])).to_owned();
    row.end_ts = row.invite_ts + own.below(100_000_000) as i64;
    row.answer_ts = (own.below(2) == 0).then_some(row.invite_ts + own.below(9_000_000) as i64);
    row.duration_ms = own.below(100_000);
    row.billed_sec_sell = own.below(100);
    row.billed_sec_cost = own.below(100);
    row.pdd_ms = (own.below(3) > 0).then_some(own.below(900));
    row.sell_amount = own.below(4) as i64 * own.below(1_000_000_000) as i64;
    row.cost_amount = own.below(1_000_000_000) as i64 - 300_000_000;
    row.sell_currency = (*own.pick(&["USD", "EUR", "USD", ""])).to_owned();
    row.cost_currency = (*own.pick(&["USD", "EUR", "USD"])).to_owned();
    let tier = |account: &str| format!(r#"{{"account":"{account}","deck":"d","amount":"0.5","currency":"USD"}}"#);
    row.tier_amounts = match own.below(4) {
        0 => format!("[{}]", tier("acme")),
        1 => format!("[{},{}]", tier("mid_1"), tier("globex")),
        _ => String::new(),
    };
    row.margin_base = (own.below(2) == 0).then_some(row.sell_amount - row.cost_amount);
    row.a_validity = (*own.pick(&["valid", "valid", "missing", "short", ""])).to_owned();
    row.test_call = own.below(10) == 0;
    row
}

pub fn random_filter(rng: &mut Rng) -> CdrFilter {
    let some = |rng: &mut Rng, values: &[&str]| (rng.below(5) == 0).then(|| (*rng.pick(values)).to_owned());
    let time = |rng: &mut Rng| {
        let grid = *rng.pick(&[HOUR, 24 * HOUR, 30_000_000]);
        T0 + rng.below(72 * HOUR as u64) as i64 / grid * grid
    };
    CdrFilter {
        record_type: (*rng.pick(&[FINAL, ATTEMPT])).to_owned(),
        tenant: some(rng, &["acme", "globex", "it's; --", "nobody"]),
        since_us: (rng.below(3) == 0).then(|| time(rng)),
        until_us: (rng.below(3) == 0).then(|| time(rng)),
        account: some(rng, &["acme", "globex", "it's; --", "' OR 1=1 --"]),
        payer: some(rng, &["acme", "mid_1", "mid-1", "it's; --"]),
        resold: rng.below(8) == 0,
        trunk: some(rng, &["t1", "t2"]),
        carrier: some(rng, &["alfa", "beta", ""]),
        disposition: some(rng, &["answered", "busy"]),
        call_uuid: (rng.below(12) == 0).then(|| Id(1 + u128::from(rng.below(CALLS)))),
        sip_call_id_in: (rng.below(12) == 0).then(|| format!("c{}", rng.below(50))),
        a_number: (rng.below(8) == 0).then(|| format!("4930{}", rng.below(10))),
        b_number: (rng.below(8) == 0).then(|| format!("1212{}", rng.below(10))),
        as_of: None,
    }
}
