//! Numbers and times that mostly follow from others: an answer comes some seconds after the INVITE, a duration is the
//! time from answer to end give or take the millisecond between two clocks. Stored is the difference, which is small or 0.
//! The expectation is computed alike in two places, here and in the SQL of the ALIAS column; differences wrap at 64
//! bits, so that any value comes back whatever was expected of it.

use tollgate_schemas::cdr::{Cdr, Column, ColumnType};

pub struct Near {
    pub name: &'static str,
    /// What is expected, from columns read before this one.
    pub expect: fn(&Cdr) -> i64,
    /// The same, Int64 in SQL.
    pub expect_sql: &'static str,
    pub codec: &'static str,
}

const BITS: &str = "T64, ZSTD(3)";

static NEAR: [Near; 14] = [
    Near { name: "event_last_offset", expect: |c| c.event_first_offset as i64, expect_sql: "reinterpretAsInt64(event_first_offset)", codec: BITS },
    Near { name: "first_100_ts", expect: |c| c.invite_ts, expect_sql: INVITE, codec: BITS },
    Near { name: "first_18x_ts", expect: |c| c.invite_ts, expect_sql: INVITE, codec: BITS },
    Near { name: "answer_ts", expect: |c| c.invite_ts, expect_sql: INVITE, codec: BITS },
    Near { name: "ack_ts", expect: begun, expect_sql: BEGUN, codec: BITS },
    Near { name: "end_ts", expect: begun, expect_sql: BEGUN, codec: BITS },
    Near {
        name: "pdd_ms",
        expect: |c| c.first_18x_ts.or(c.answer_ts).map_or(0, |t| ms(c.invite_ts, t)),
        expect_sql: "intDiv(ifNull(coalesce(first_18x_ts_x, answer_ts_x), 0), 1000)",
        codec: BITS,
    },
    Near {
        name: "setup_ms",
        expect: |c| c.answer_ts.map_or(0, |t| ms(c.invite_ts, t)),
        expect_sql: "intDiv(ifNull(answer_ts_x, 0), 1000)",
        codec: BITS,
    },
    Near {
        name: "ring_ms",
        expect: |c| c.first_18x_ts.map_or(0, |rang| ms(rang, c.answer_ts.unwrap_or(c.end_ts))),
        expect_sql: "if(isNull(first_18x_ts_x), 0, intDiv(assumeNotNull(ifNull(answer_ts_x, end_ts_x) - first_18x_ts_x), 1000))",
        codec: BITS,
    },
    Near {
        name: "duration_ms",
        expect: |c| c.answer_ts.map_or(0, |t| ms(t, c.end_ts)),
        expect_sql: "if(isNull(answer_ts_x), 0, intDiv(end_ts_x, 1000))",
        codec: BITS,
    },
    Near { name: "billed_sec_sell", expect: |c| c.duration_ms.div_ceil(1_000) as i64, expect_sql: "toInt64(intDiv(duration_ms, 1000) + (duration_ms % 1000 > 0))", codec: BITS },
    Near { name: "billed_sec_cost", expect: |c| c.billed_sec_sell as i64, expect_sql: "toInt64(billed_sec_sell)", codec: BITS },
    Near {
        name: "margin_base",
        expect: |c| c.sell_amount.wrapping_sub(c.cost_amount),
        expect_sql: "reinterpretAsInt64(sell_amount) - reinterpretAsInt64(cost_amount)",
        codec: BITS,
    },
    Near { name: "ingest_ts", expect: |c| c.end_ts, expect_sql: "reinterpretAsInt64(end_ts)", codec: "Delta(8), T64, ZSTD(3)" },
];

const INVITE: &str = "reinterpretAsInt64(invite_ts)";
const BEGUN: &str = "reinterpretAsInt64(invite_ts) + ifNull(answer_ts_x, 0)";

/// The answer, before it the INVITE.
fn begun(c: &Cdr) -> i64 {
    c.answer_ts.unwrap_or(c.invite_ts)
}

/// Whole milliseconds, towards zero as `intDiv`.
fn ms(from_us: i64, to_us: i64) -> i64 {
    to_us.wrapping_sub(from_us) / 1_000
}

pub fn of(name: &str) -> Option<&'static Near> {
    NEAR.iter().find(|n| n.name == name)
}

impl Near {
    /// The value, from the difference in `NAME_x`.
    pub fn sql(&self, c: &Column) -> String {
        let sum = format!("({}) + {}_x", self.expect_sql, c.name);
        match c.ty {
            ColumnType::Ts => format!("fromUnixTimestamp64Micro({sum}, 'UTC')"),
            ColumnType::U32 => format!("toUInt32({sum})"),
            ColumnType::U64 => format!("toUInt64({sum})"),
            ColumnType::Money => format!("reinterpret({sum}, 'Decimal(18, 8)')"),
            ColumnType::Uuid | ColumnType::Str | ColumnType::Bool | ColumnType::Rate => sum,
        }
    }
}
