//! R-38's baseline: a gateway's score begins at 1 and is multiplied by a penalty for each figure that is past its warning or its
//! critical threshold. A carrier of several gateways has the mean of those that are active. Best first; of equal scores the one that
//! was listed first.

/// Thresholds and penalties of one figure, in the figure's unit and 1e-6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    pub warning: u64,
    pub critical: u64,
    pub warning_e6: u64,
    pub critical_e6: u64,
    /// Past means above, as for delays; otherwise below.
    pub above: bool,
    /// Fewer samples than this say nothing.
    pub samples: u32,
}

/// Ratios in 1e-6, times in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Penalties {
    pub asr: Threshold,
    pub ccr: Threshold,
    pub pdd: Threshold,
    pub ast: Threshold,
    pub acd: Threshold,
}

impl Default for Penalties {
    /// Thresholds of our own choice, with R-37's least samples.
    fn default() -> Penalties {
        let low = |warning, critical, samples| Threshold { warning, critical, warning_e6: 900_000, critical_e6: 500_000, above: false, samples };
        let high = |warning, critical| Threshold { warning, critical, warning_e6: 900_000, critical_e6: 500_000, above: true, samples: 10 };
        Penalties {
            asr: low(400_000, 200_000, 30),
            ccr: low(800_000, 600_000, 30),
            pdd: high(5_000, 10_000),
            ast: high(20_000, 40_000),
            acd: low(60_000, 20_000, 20),
        }
    }
}

/// What is known of a gateway: each figure with the samples it is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gateway {
    pub asr: (u64, u32),
    pub ccr: (u64, u32),
    pub pdd: (u64, u32),
    pub ast: (u64, u32),
    pub acd: (u64, u32),
}

impl Threshold {
    /// 1e-6: 1,000,000 where the figure is well or not known.
    fn penalty_e6(&self, (value, samples): (u64, u32)) -> u64 {
        let past = |limit| if self.above { value > limit } else { value < limit };
        match () {
            () if samples < self.samples => 1_000_000,
            () if past(self.critical) => self.critical_e6,
            () if past(self.warning) => self.warning_e6,
            () => 1_000_000,
        }
    }
}

impl Penalties {
    /// In 1e-6.
    pub fn score_e6(&self, gateway: &Gateway) -> u64 {
        let all = [
            self.asr.penalty_e6(gateway.asr),
            self.ccr.penalty_e6(gateway.ccr),
            self.pdd.penalty_e6(gateway.pdd),
            self.ast.penalty_e6(gateway.ast),
            self.acd.penalty_e6(gateway.acd),
        ];
        all.iter().fold(1_000_000, |score, penalty| score * penalty / 1_000_000)
    }

    /// The mean of a carrier's active gateways; none without one.
    pub fn carrier_e6(&self, active: &[Gateway]) -> Option<u64> {
        let sum: u64 = active.iter().map(|g| self.score_e6(g)).sum();
        (!active.is_empty()).then(|| sum / active.len() as u64)
    }
}
