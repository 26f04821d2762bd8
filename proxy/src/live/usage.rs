//! What calls so far add up to, for admission after a restart: day's spend by trunk, debts by account, and
//! high-risk calls of the last 12 hours. Emergency calls are in none.

use std::collections::BTreeMap;

use tollgate_schemas::v1::{CallFacts, Terms};

use crate::admission::HotWindow;

const DAY_US: i64 = 86_400_000_000;

/// One UTC day's charges of a trunk's ended calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spend {
    /// Days since 1970.
    pub day: i64,
    pub amount_e8: i64,
}

/// Sums of one partition. Partitions add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Latest event time seen.
    pub latest_us: i64,
    /// By trunk, of the last day it spent on.
    pub spend: BTreeMap<String, Spend>,
    /// By account: charges of its ended calls.
    pub owed: BTreeMap<String, i64>,
    /// By account and destination group.
    pub hot_spots: BTreeMap<(String, String), HotWindow>,
}

impl Usage {
    pub(super) fn advance(&mut self, at_us: i64) {
        let day = at_us.div_euclid(DAY_US);
        if day > self.latest_us.div_euclid(DAY_US) {
            // Once a day is soon enough to forget: readers judge by the day and the window themselves.
            self.spend.retain(|_, spend| spend.day >= day);
            self.hot_spots.retain(|_, window| window.calls(at_us) > 0);
        }
        self.latest_us = self.latest_us.max(at_us);
    }

    pub(super) fn attempted(&mut self, facts: &CallFacts, at_us: i64) {
        if facts.b_risk_flag != "high" || facts.emergency {
            return;
        }
        let window = self.hot_spots.entry((facts.account.clone(), facts.b_dest_group.clone())).or_default();
        window.add(at_us, 1);
        window.calls(at_us);
    }

    /// `sell`: when it was answered and the terms then; none when it was not answered.
    pub(super) fn ended(&mut self, facts: &CallFacts, sell: Option<(i64, &Terms)>, duration_ms: u64, at_us: i64) {
        let Some((answer_us, sell)) = sell.filter(|_| !facts.emergency) else { return };
        let charge = sell.charge(answer_us, duration_ms).amount_e8;
        if charge == 0 {
            return;
        }
        let owed = self.owed.entry(facts.account.clone()).or_default();
        *owed = owed.saturating_add(charge);
        let day = at_us.div_euclid(DAY_US);
        let spend = self.spend.entry(facts.trunk.clone()).or_default();
        if day > spend.day {
            *spend = Spend { day, amount_e8: 0 };
        }
        if day == spend.day {
            spend.amount_e8 = spend.amount_e8.saturating_add(charge);
        }
    }
}
