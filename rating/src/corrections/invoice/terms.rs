//! A period's calls with what their contract makes of them.

use std::collections::BTreeMap;

use tollgate_schemas::{cdr::Cdr, id::Id};

use super::{ContractUsed, Line, Section, Usage, is_billed, usage::{billed, minutes}};
use crate::{
    contract::{self, BadMeter, Call, Contract, Meter, Rule, Share, ShortCalls},
    fx::{self, Used},
};

/// Calls of earlier periods that became known after their invoice, by their day (FN-17).
pub type Late = BTreeMap<String, Usage>;

static NONE_LATE: Late = Late::new();

/// What an invoice is made of: calls added up, those of earlier periods, and the contract's lines about the period's.
#[derive(Debug, Clone)]
pub struct Bill<'a> {
    pub usage: &'a Usage,
    pub late: &'a Late,
    pub contract: Vec<(Line, i128)>,
}

impl<'a> Bill<'a> {
    /// Of an account without a contract.
    pub fn plain(usage: &'a Usage) -> Bill<'a> {
        Bill { usage, late: &NONE_LATE, contract: Vec::new() }
    }
}

/// A contract over a period, fed with its calls.
pub struct Terms<'c> {
    contract: &'c Contract,
    share: Share,
    meter: Meter<'c>,
}

impl<'c> Terms<'c> {
    pub fn new(contract: &'c Contract, share: Share) -> Terms<'c> {
        Terms { contract, share, meter: Meter::new(contract, share) }
    }

    pub fn share_of(used: &ContractUsed) -> Share {
        Share { days: used.days, of: used.of }
    }

    /// Counts a call's final, converted where it is in another currency.
    pub fn add(&mut self, row: &Cdr, at: Option<&Used>) -> Result<(), BadMeter> {
        if !is_billed(row) {
            return Ok(());
        }
        let (used_e8, fees) = billed(row);
        let convert = |e8: i64| at.map_or(e8, |at| fx::convert(e8, at.rate_e12));
        let used = contract::Used { number: &row.b_number_e164, destination: &row.b_dest_group, billed_s: row.billed_sec_sell, amount_e8: convert(used_e8) };
        let fees_e8 = fees.iter().fold(0i64, |sum, (_, fee)| sum.saturating_add(convert(*fee)));
        self.meter.add(&Call { at_us: row.answer_ts.unwrap_or(row.invite_ts), id: Id::of(&row.call_uuid), used, fees_e8 })
    }

    /// Its lines, each with the contract and version it is of.
    pub fn lines(self, short: Option<ShortCalls>) -> Result<Vec<(Line, i128)>, BadMeter> {
        let of = format!("{} {}", self.contract.name, self.contract.version);
        let line = |found: contract::ContractLine| {
            let line = Line {
                section: Some(if found.rule == Rule::BundlePrice { Section::Recurring } else { Section::Contract }),
                description: found.name,
                minutes: found.billed_s.map(minutes).unwrap_or_default(),
                contract: of.clone(),
                ..Line::default()
            };
            (line, i128::from(found.amount_e8))
        };
        Ok(self.meter.lines(short)?.into_iter().map(line).collect())
    }

    pub fn used(&self) -> ContractUsed {
        let (name, version) = (self.contract.name.clone(), self.contract.version.clone());
        ContractUsed { name, version, days: self.share.days, of: self.share.of, spec: self.contract.spec.clone() }
    }
}
