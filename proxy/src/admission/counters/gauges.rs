//! The counters as figures, for metrics, the API, and tests that nothing leaks. Ordered by name; what is all zero is
//! left out.

use super::Admission;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Slots given out, emergency calls among them.
    pub calls: usize,
    pub blocks: usize,
    pub trunks: Vec<TrunkGauge>,
    pub accounts: Vec<AccountGauge>,
    pub carriers: Vec<CarrierGauge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkGauge {
    pub trunk: String,
    pub channels: u32,
    /// Charges of calls ended on the last UTC day with any, and the exposure of calls that are up.
    pub spent_e8: i64,
    pub exposure_e8: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountGauge {
    pub account: String,
    pub owed_e8: i64,
    pub exposure_e8: i64,
    /// Destination group, calls, high-risk calls among them, high-risk calls kept for the 12-hour count.
    pub groups: Vec<(String, u32, u32, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierGauge {
    pub carrier: String,
    pub channels: u32,
}

impl Admission {
    pub fn gauges(&self) -> Gauges {
        let mut trunks: Vec<TrunkGauge> = self
            .trunks
            .iter()
            .map(|t| TrunkGauge { trunk: t.name.clone(), channels: t.channels, spent_e8: t.spent_e8, exposure_e8: t.exposure_e8 })
            .filter(|t| (t.channels, t.spent_e8, t.exposure_e8) != (0, 0, 0))
            .collect();
        trunks.sort_by(|a, b| a.trunk.cmp(&b.trunk));
        let mut accounts: Vec<AccountGauge> = self
            .accounts
            .iter()
            .map(|a| {
                let mut groups: Vec<(String, u32, u32, u64)> = a
                    .group_names
                    .values()
                    .map(|index| &a.groups[*index as usize])
                    .map(|g| {
                        let kept = g.hot.iter().flat_map(|hot| hot.minutes()).map(|(_, calls)| u64::from(calls)).sum();
                        (g.name.to_string(), g.calls, g.hot_calls, kept)
                    })
                    .filter(|(_, calls, hot, kept)| (*calls, *hot, *kept) != (0, 0, 0))
                    .collect();
                groups.sort();
                AccountGauge { account: a.name.clone(), owed_e8: a.owed_e8, exposure_e8: a.exposure_e8, groups }
            })
            .filter(|a| (a.owed_e8, a.exposure_e8) != (0, 0) || !a.groups.is_empty())
            .collect();
        accounts.sort_by(|a, b| a.account.cmp(&b.account));
        let mut carriers: Vec<CarrierGauge> = self
            .carriers
            .iter()
            .filter(|c| c.channels > 0)
            .map(|c| CarrierGauge { carrier: c.name.clone(), channels: c.channels })
            .collect();
        carriers.sort_by(|a, b| a.carrier.cmp(&b.carrier));
        Gauges { calls: self.calls.len(), blocks: self.blocks.iter().len(), trunks, accounts, carriers }
    }
}
