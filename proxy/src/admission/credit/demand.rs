//! What this node says of its leases: accounts that changed, at most twice a second, and at once when a call waits.

use std::collections::BTreeMap;

use tollgate_schemas::{
    time::Now,
    v1::{CreditDemand, LeaseAsked, LeaseDemand},
};

use super::ASKS;
use crate::admission::{Admission, Policy};

pub const SCOPE: &str = "account";
/// Accounts one demand may name; further ones wait for the next.
pub const MAX_DEMANDS: usize = 8_192;
/// Between two demands of one partition, unless a call waits.
const EVERY_NS: u64 = 500_000_000;
/// Every lease in use is named this often, whatever became of the demands and grants before.
const REFRESH_NS: u64 = 10_000_000_000;
/// A sign of life, so that leases last.
const ALIVE_NS: u64 = 5_000_000_000;

impl Admission {
    /// What to append to topic `calls`, by partition, behind all events of calls made before; to be called often. Empty where no
    /// account has a limit, and where there is nothing to say.
    pub fn credit_demands(&mut self, policy: &Policy, now: Now) -> Vec<(u16, LeaseAsked)> {
        self.adopt(policy);
        if self.credit.placed.replace(policy.control_position()) != Some(policy.control_position()) {
            self.place_again(policy, now);
        }
        if now.mono_ns.saturating_sub(self.credit.refreshed_ns) >= REFRESH_NS {
            self.credit.refreshed_ns = now.mono_ns;
            for index in 0..self.accounts.len() as u32 {
                if self.accounts[index as usize].credit.as_ref().is_some_and(|l| l.ceiling_e8 != 0 || l.used() != 0 || l.revision == 0) {
                    self.credit_changed(index, now);
                }
            }
        }
        let urgent = std::mem::take(&mut self.credit.urgent);
        let due: Vec<bool> = self.credit.parts.iter().map(|p| urgent || now.mono_ns.saturating_sub(p.asked_ns) >= EVERY_NS).collect();
        let mut by_partition: BTreeMap<u16, Vec<LeaseDemand>> = BTreeMap::new();
        let mut changed = std::mem::take(&mut self.credit.changed);
        changed.retain(|index| {
            let state = &mut self.accounts[*index as usize];
            let Some(line) = state.credit.as_deref_mut() else { return false };
            if !line.changed {
                line.listed = false;
                return false;
            }
            if !due[usize::from(line.partition)] {
                return true;
            }
            let Some((view, credit)) = policy.account_named(&state.name).map(|ix| policy.account(ix)).and_then(|v| Some((v, v.credit.as_ref()?))) else {
                // It has no limit any more.
                line.listed = false;
                return false;
            };
            let demands = by_partition.entry(line.partition).or_default();
            if demands.len() < MAX_DEMANDS {
                let credit = CreditDemand {
                    root_account: view.root.clone(),
                    currency: credit.currency.clone(),
                    limit_e8: credit.limit_e8,
                    prepaid: credit.prepaid,
                    warn_pct: credit.warn_pct.clone(),
                    ceiling_e8: line.ceiling_e8,
                    used_e8: line.used(),
                    wanted_e8: line.wanted(),
                    applied_revision: line.revision,
                };
                demands.push(LeaseDemand { scope: SCOPE.to_owned(), name: state.name.clone(), credit: Some(credit), ..LeaseDemand::default() });
            }
            true
        });
        self.credit.changed = changed;
        let mut asked = Vec::new();
        for (partition, part) in self.credit.parts.iter_mut().enumerate() {
            let demands = by_partition.remove(&(partition as u16));
            let alive = part.lines > 0 && now.mono_ns.saturating_sub(part.asked_ns) >= ALIVE_NS;
            if demands.is_none() && !alive {
                continue;
            }
            part.asked_ns = now.mono_ns;
            let demands = demands.unwrap_or_default();
            asked.push((partition as u16, LeaseAsked { node: self.credit.node.clone(), demands, credit: true, asked_ns: now.mono_ns, ..LeaseAsked::default() }));
        }
        if !asked.is_empty() {
            if self.credit.asks.len() >= ASKS {
                self.credit.asks.pop_front();
            }
            self.credit.asks.push_back(now.mono_ns);
        }
        asked
    }

    /// Another policy: limits are told anew, of every account that has one.
    fn place_again(&mut self, policy: &Policy, now: Now) {
        for (ix, view) in policy.accounts().filter(|(_, view)| view.credit.is_some()) {
            let index = self.account_state(ix);
            self.credit_line(index, policy, ix, now);
            let partition = tollgate_schemas::id::partition_of(&view.root, self.credit.parts.len() as u16);
            if let Some(line) = self.accounts[index as usize].credit.as_deref_mut()
                && line.partition != partition
            {
                // Another root is another lender, who has lent nothing yet.
                self.credit.parts[usize::from(line.partition)].lines -= 1;
                self.credit.parts[usize::from(partition)].lines += 1;
                (line.partition, line.revision, line.ceiling_e8, line.unknown_ns) = (partition, 0, 0, now.mono_ns);
            }
            self.credit_changed(index, now);
        }
        // New limits are not waited for.
        self.credit.urgent = true;
    }
}
