//! A contract applied to a period's calls: lines by name, exact, none counted twice.
//!
//! **Order.** 1. Bundles are drawn, in the order of the calls' answers. 2. Of a call that several volumes cover the first in the
//! contract counts it; it counts the seconds and the money that no bundle covered, so a minute is either bundled or in a tier.
//! 3. The commitment is compared with what the calls came to, fees included, after 1 and 2. The price of a bundle and the fee
//! for short calls count for nothing but themselves.
//!
//! **Limit.** Calls a bundle may cover are held until all are known, [`MAX_HELD`] at most (48 bytes each); all others are sums.

use thiserror::Error;
use tollgate_schemas::{id::Id, money::round_amount, v1::Rounding};

use super::{BadContract, Contract, LineRounding, Share, Used, bundle, shortfall, short_calls::ShortCalls, volume::Total};

/// Calls in the scope of a bundle, at most.
pub const MAX_HELD: usize = 5_000_000;

/// A call of the period, in the contract's currency.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// When it was answered, else when it began: with `id` the order bundles are drawn in.
    pub at_us: i64,
    pub id: Id,
    /// Usage without fees.
    pub used: Used<'a>,
    pub fees_e8: i64,
}

/// What a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    BundlePrice,
    Bundle,
    Volume,
    Commitment,
    ShortCalls,
}

/// A line of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractLine {
    pub rule: Rule,
    pub name: String,
    /// Seconds a bundle covered.
    pub billed_s: Option<u64>,
    /// 1e-8; negative = a credit.
    pub amount_e8: i64,
}

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadMeter {
    #[error("more than {MAX_HELD} calls of the period are in the scope of a bundle: invoice shorter periods")]
    TooManyCalls,
    #[error(transparent)]
    Contract(#[from] BadContract),
}

/// A call that waits for the calls before it.
struct Held {
    at_us: i64,
    id: Id,
    /// Bit n: bundle n covers it.
    bundles: u32,
    /// The volume that counts it.
    volume: Option<u8>,
    billed_s: u64,
    amount_e8: i64,
}

/// Counts a period's calls, in any order.
pub struct Meter<'c> {
    contract: &'c Contract,
    share: Share,
    held: Vec<Held>,
    volumes: Vec<Total>,
    charged_e8: i128,
}

impl<'c> Meter<'c> {
    pub fn new(contract: &'c Contract, share: Share) -> Meter<'c> {
        Meter { contract, share, held: Vec::new(), volumes: vec![Total::default(); contract.volumes.len()], charged_e8: 0 }
    }

    pub fn add(&mut self, call: &Call<'_>) -> Result<(), BadMeter> {
        self.charged_e8 += i128::from(call.used.amount_e8) + i128::from(call.fees_e8);
        let covers = self.contract.bundles.iter().enumerate().filter(|(_, (b, _))| b.scope.covers(&call.used));
        let bundles = covers.fold(0u32, |bits, (n, _)| bits | 1 << n);
        let volume = self.contract.volumes.iter().position(|v| v.scope.covers(&call.used));
        let (billed_s, amount_e8) = (call.used.billed_s, call.used.amount_e8);
        if bundles == 0 || billed_s == 0 {
            if let Some(n) = volume {
                self.volumes[n].add(billed_s, amount_e8);
            }
            return Ok(());
        }
        if self.held.len() >= MAX_HELD {
            return Err(BadMeter::TooManyCalls);
        }
        self.held.push(Held { at_us: call.at_us, id: call.id, bundles, volume: volume.and_then(|n| u8::try_from(n).ok()), billed_s, amount_e8 });
        Ok(())
    }

    /// A cycle's amount in this period.
    fn part(&self, amount_e8: i64) -> i64 {
        let how = LineRounding::default();
        match self.share {
            Share { days, of } if days == of => amount_e8,
            Share { days, of } => round_amount(i128::from(amount_e8) * i128::from(days), i128::from(of) * 100_000_000, how.places, Rounding::HalfUp),
        }
    }

    /// The lines, in the contract's order. `short`: the count R-28 is judged by, where the contract has it.
    pub fn lines(mut self, short: Option<ShortCalls>) -> Result<Vec<ContractLine>, BadMeter> {
        let how = LineRounding::default();
        let mut lines = Vec::new();
        self.held.sort_unstable_by_key(|h| (h.at_us, h.id));
        let mut bundles: Vec<_> = self.contract.bundles.iter().map(|(b, _)| b.clone()).collect();
        for bundle in &mut bundles {
            bundle.left_s = u64::try_from(u128::from(bundle.left_s) * u128::from(self.share.days) / u128::from(self.share.of)).unwrap_or(bundle.left_s);
        }
        let order = bundle::order(&bundles);
        let mut drawn = vec![bundle::Drawn::default(); bundles.len()];
        for call in &self.held {
            let covers = |n: usize| call.bundles & (1 << n) != 0;
            let got = bundle::draw_one(&mut bundles, &order, covers, call.billed_s, call.amount_e8, how, |n, part| drawn[n].add(part));
            self.charged_e8 -= i128::from(got.credit_e8);
            if let Some(n) = call.volume {
                self.volumes[usize::from(n)].add(call.billed_s - got.covered_s, call.amount_e8 - got.credit_e8);
            }
        }
        for (n, (bundle, price_e8)) in self.contract.bundles.iter().enumerate() {
            let price_e8 = self.part(*price_e8);
            if price_e8 != 0 {
                lines.push(ContractLine { rule: Rule::BundlePrice, name: format!("{}, {} minutes", bundle.name, bundle.left_s / 60), billed_s: None, amount_e8: price_e8 });
            }
            if drawn[n].covered_s > 0 {
                lines.push(ContractLine { rule: Rule::Bundle, name: format!("{}, bundled minutes used", bundle.name), billed_s: Some(drawn[n].covered_s), amount_e8: -drawn[n].credit_e8 });
            }
        }
        for (volume, total) in self.contract.volumes.iter().zip(&self.volumes) {
            for line in volume.lines_of(*total, how)? {
                self.charged_e8 += i128::from(line.amount_e8);
                lines.push(ContractLine { rule: Rule::Volume, name: line.name, billed_s: None, amount_e8: line.amount_e8 });
            }
        }
        let charged_e8 = i64::try_from(self.charged_e8).unwrap_or(if self.charged_e8 < 0 { i64::MIN } else { i64::MAX });
        if let Some(line) = self.contract.commitment_e8.and_then(|commit_e8| shortfall(self.part(commit_e8), charged_e8)) {
            lines.push(ContractLine { rule: Rule::Commitment, name: line.name, billed_s: None, amount_e8: line.amount_e8 });
        }
        let fee = self.contract.short_calls.as_ref().zip(short).and_then(|(policy, count)| count.line(policy));
        lines.extend(fee.map(|line| ContractLine { rule: Rule::ShortCalls, name: line.name, billed_s: None, amount_e8: line.amount_e8 }));
        Ok(lines)
    }
}

#[cfg(test)]
mod tests;
