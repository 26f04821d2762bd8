//! What is counted, per account and destination group and per account in total ("*"): one file a feature, each saying
//! when it counts. A [`Lane`] holds the counts of one key for one [`Watch`](crate::destinations::Watch).

pub mod call_duration;
pub mod calls_per_minute;
pub mod concurrent_calls;
pub mod spend;

use tollgate_schemas::money::{self, BadDecimal};

use self::{calls_per_minute::CallsPerMinute, concurrent_calls::ConcurrentCalls, spend::Spend};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Feature {
    ConcurrentCalls = 0,
    CallsPerMinute = 1,
    Spend = 2,
    CallDuration = 3,
}

impl Feature {
    pub const ALL: [Feature; 4] =
        [Feature::ConcurrentCalls, Feature::CallsPerMinute, Feature::Spend, Feature::CallDuration];

    /// As policies and alerts name it.
    pub fn name(self) -> &'static str {
        match self {
            Feature::ConcurrentCalls => concurrent_calls::NAME,
            Feature::CallsPerMinute => calls_per_minute::NAME,
            Feature::Spend => spend::NAME,
            Feature::CallDuration => call_duration::NAME,
        }
    }

    pub fn from_name(name: &str) -> Option<Feature> {
        Feature::ALL.into_iter().find(|f| f.name() == name)
    }

    /// The moment its value grows: `invite`, `answer` or `tick`.
    pub fn counted_at(self) -> &'static str {
        match self {
            Feature::ConcurrentCalls => concurrent_calls::COUNTED_AT,
            Feature::CallsPerMinute => calls_per_minute::COUNTED_AT,
            Feature::Spend => spend::COUNTED_AT,
            Feature::CallDuration => call_duration::COUNTED_AT,
        }
    }

    /// Decimal places of a threshold's text: values are whole calls, 1e-8 of a currency's unit, or milliseconds.
    fn places(self) -> u32 {
        match self {
            Feature::ConcurrentCalls | Feature::CallsPerMinute => 0,
            Feature::Spend => money::AMOUNT_PLACES,
            Feature::CallDuration => 3,
        }
    }

    /// A threshold in the feature's own unit, exact or an error.
    pub fn parse_threshold(self, text: &str) -> Result<i64, BadDecimal> {
        money::parse_scaled(text, self.places())
    }

    /// A value as people read it, without its unit.
    pub fn format(self, value: i64) -> String {
        money::format_scaled(value, self.places(), if self == Feature::Spend { 2 } else { 0 })
    }
}

/// One key's counts of one kind of call.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    pub concurrent: ConcurrentCalls,
    pub per_minute: CallsPerMinute,
    pub spend: Spend,
    /// First event of the running burst; a burst ends when no call is up and none began or ended for a spend window.
    pub burst_us: i64,
    pub last_us: i64,
}

impl Lane {
    /// A call was let in.
    pub fn begin(&mut self, at_us: i64, now_us: i64, quiet_us: i64) {
        if self.concurrent.value() == 0 && at_us - self.last_us >= quiet_us {
            self.burst_us = at_us;
        }
        self.last_us = self.last_us.max(at_us);
        self.concurrent.begin();
        self.per_minute.count(at_us, now_us);
    }

    /// A call that did not count as up counts again; it begins nothing.
    pub fn resume(&mut self, now_us: i64) {
        self.last_us = self.last_us.max(now_us);
        self.concurrent.begin();
    }

    /// A call that was let in is over.
    pub fn end(&mut self, now_us: i64) {
        self.last_us = self.last_us.max(now_us);
        self.concurrent.end();
    }
}
