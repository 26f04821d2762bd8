//! What one call holds, slice by slice, until it ends (FN-07).

use tollgate_schemas::{
    time::Now,
    v1::{CreditHold, Terms, Tier},
};

use super::{LEAD_MS, MARGIN_MS, RETRY_MS};
use crate::admission::{Admission, counters::Slot};

/// A call's hold of one account.
#[derive(Debug)]
pub struct CallHold {
    /// By its place in the counters.
    pub account: u32,
    prepaid: bool,
    slice_ms: u64,
    /// What the account pays.
    terms: Box<Terms>,
    pub held_e8: i64,
}

/// What became of a call's slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// Ask again when the call has lasted so long; `u64::MAX` = never. `changed`: it holds more than before.
    Until { ms: u64, changed: bool },
    /// Its money is used up.
    Ended,
}

impl CallHold {
    pub fn new(account: u32, prepaid: bool, slice_ms: u64, terms: &Terms) -> CallHold {
        CallHold { account, prepaid, slice_ms, terms: Box::new(priced(terms)), held_e8: 0 }
    }

    pub fn charge(&self, answer_us: i64, duration_ms: u64) -> i64 {
        self.terms.charge(answer_us, duration_ms).amount_e8.max(0)
    }
}

/// The numbers, and whose money they are of.
fn priced(terms: &Terms) -> Terms {
    Terms { currency: terms.currency.clone(), ..terms.numbers() }
}

impl Admission {
    /// The terms of the answer price the call from now on. Ask [`Admission::next_slice`] at once: what is held was the
    /// slice of the terms before.
    pub fn credit_answered(&mut self, slot: &Slot, sell: Option<&Terms>, tiers: &[Tier]) {
        let Some(mut holds) = self.calls.get_mut(slot).map(|call| std::mem::take(&mut call.holds)) else { return };
        let own = self.calls.get_mut(slot).map(|call| call.account);
        for hold in &mut holds {
            let name = self.accounts[hold.account as usize].name();
            let terms = if own == Some(hold.account) { sell } else { tiers.iter().find(|t| t.account == name).and_then(|t| t.terms.as_ref()) };
            if let Some(terms) = terms {
                *hold.terms = priced(terms);
            }
        }
        if let Some(call) = self.calls.get_mut(slot) {
            call.holds = holds;
        }
    }

    /// After a crash: what a call that is up held before, whatever is left of the credit.
    pub fn credit_resumed(&mut self, slot: &Slot, policy: &super::Policy, holds: &[CreditHold], sell: Option<&Terms>, tiers: &[Tier], now: Now) {
        let mut resumed = Vec::with_capacity(holds.len());
        for held in holds {
            let Some(ix) = policy.account_named(&held.account) else { continue };
            let Some(view) = Some(policy.account(ix)).filter(|v| v.credit.is_some()) else { continue };
            // The tiers name the accounts above; who is not among them made the call.
            let terms = tiers.iter().find(|t| t.account == held.account).map_or(sell, |t| t.terms.as_ref());
            let Some(terms) = terms else { continue };
            let index = self.account_state(ix);
            self.credit_line(index, policy, ix, now);
            let prepaid = view.credit.as_ref().is_some_and(|c| c.prepaid);
            resumed.push(CallHold { held_e8: held.amount_e8, ..CallHold::new(index, prepaid, u64::from(view.slice_s) * 1_000, terms) });
        }
        self.take_holds(&resumed, now);
        if let Some(call) = self.calls.get_mut(slot) {
            call.holds = resumed;
        }
    }

    /// The policy has other limits than when the call came: from now on it holds of every account above it that has one, and by what
    /// is prepaid now. True where that changes what it does: ask [`Admission::next_slice`] at once, or at its answer.
    pub fn credit_began(&mut self, slot: &Slot, policy: &super::Policy, account: &str, sell: Option<&Terms>, tiers: &[Tier], now: Now) -> bool {
        let Some(first) = policy.account_named(account).filter(|ix| policy.account(*ix).has_credit) else { return false };
        self.adopt(policy);
        let Some(mut holds) = self.calls.get_mut(slot).filter(|call| !call.emergency).map(|call| std::mem::take(&mut call.holds)) else { return false };
        let mut changed = false;
        let mut at = Some(first);
        while let Some(ix) = at {
            let view = policy.account(ix);
            at = view.parent;
            let terms = if ix == first { sell } else { tiers.iter().find(|t| t.account == view.name).and_then(|t| t.terms.as_ref()) };
            let (Some(credit), Some(terms)) = (&view.credit, terms) else { continue };
            let index = self.account_state(ix);
            match holds.iter_mut().find(|h| h.account == index) {
                Some(held) if held.prepaid == credit.prepaid => {}
                Some(held) => (held.prepaid, changed) = (credit.prepaid, true),
                None => {
                    self.credit_line(index, policy, ix, now);
                    holds.push(CallHold::new(index, credit.prepaid, u64::from(view.slice_s) * 1_000, terms));
                    changed = true;
                }
            }
        }
        if let Some(call) = self.calls.get_mut(slot) {
            call.holds = holds;
        }
        changed
    }

    /// What a call holds, for its events; empty where nobody has a limit.
    pub fn credit_holds(&self, slot: &Slot) -> Vec<CreditHold> {
        self.calls.get(slot).map_or_else(Vec::new, |call| call.holds.iter().map(|h| self.told(h, h.held_e8)).collect())
    }

    /// What it comes to for each of them if it ends having lasted so long; none when it was not answered.
    pub fn credit_charges(&self, slot: &Slot, answered_us: i64, duration_ms: Option<u64>) -> Vec<CreditHold> {
        let (Some(call), Some(ms)) = (self.calls.get(slot), duration_ms) else { return Vec::new() };
        call.holds.iter().map(|h| self.told(h, h.charge(answered_us, ms))).collect()
    }

    fn told(&self, hold: &CallHold, amount_e8: i64) -> CreditHold {
        CreditHold { account: self.accounts[hold.account as usize].name().to_owned(), amount_e8, currency: hold.terms.currency.clone() }
    }

    /// Gives back what a call held; what it came to is spent.
    pub(in crate::admission) fn settle_holds(&mut self, holds: &[CallHold], answered: Option<(i64, u64)>, now: Now) {
        for hold in holds {
            let charge = answered.map_or(0, |(at_us, ms)| hold.charge(at_us, ms));
            if let Some(line) = self.accounts[hold.account as usize].credit.as_deref_mut() {
                line.settle(hold.held_e8, charge);
                self.credit_changed(hold.account, now);
            }
        }
    }

    /// As though the call had never come. Said with the next demand of the account.
    pub(in crate::admission) fn return_holds(&mut self, holds: &[CallHold]) {
        for hold in holds {
            if let Some(line) = self.accounts[hold.account as usize].credit.as_deref_mut() {
                line.settle(hold.held_e8, 0);
            }
        }
    }

    /// Looks after a call that has lasted `elapsed_ms` since its answer at `answer_us`: takes its next slice in good time, or what is
    /// left of it.
    pub fn next_slice(&mut self, slot: &Slot, answer_us: i64, elapsed_ms: u64, now: Now) -> Slice {
        let never = Slice::Until { ms: u64::MAX, changed: false };
        let Some(mut holds) = self.calls.get_mut(slot).map(|call| std::mem::take(&mut call.holds)) else { return never };
        let slice = if holds.is_empty() { never } else { self.slice(&mut holds, answer_us, elapsed_ms, now) };
        if let Some(call) = self.calls.get_mut(slot) {
            call.holds = holds;
        }
        slice
    }

    fn slice(&mut self, holds: &mut [CallHold], answer_us: i64, elapsed_ms: u64, now: Now) -> Slice {
        let paid_until = |holds: &[CallHold]| holds.iter().map(|h| h.terms.affordable_ms(answer_us, h.held_e8)).min().unwrap_or(u64::MAX);
        let slice_ms = holds.iter().map(|h| h.slice_ms).min().unwrap_or(0);
        let lead_ms = LEAD_MS.min(slice_ms / 2).max(2 * MARGIN_MS);
        let paid_ms = paid_until(holds);
        if paid_ms == u64::MAX {
            return Slice::Until { ms: u64::MAX, changed: false };
        }
        if elapsed_ms.saturating_add(lead_ms) < paid_ms {
            return Slice::Until { ms: paid_ms - lead_ms, changed: false };
        }
        let whole_ms = paid_ms.max(elapsed_ms).saturating_add(slice_ms);
        let mut short = false;
        for hold in holds.iter().filter(|h| h.prepaid) {
            let more = hold.charge(answer_us, whole_ms).saturating_sub(hold.held_e8).max(0);
            if more > self.left(hold, now) {
                short = true;
                if let Some(line) = self.accounts[hold.account as usize].credit.as_deref_mut() {
                    line.unmet(more);
                }
                self.credit_short(hold.account, now);
            }
        }
        if !short {
            self.extend(holds, answer_us, whole_ms, now);
            let ms = paid_until(holds).saturating_sub(lead_ms).max(elapsed_ms + 1);
            return Slice::Until { ms, changed: true };
        }
        if elapsed_ms + MARGIN_MS < paid_ms {
            return Slice::Until { ms: (elapsed_ms + RETRY_MS).min(paid_ms - MARGIN_MS), changed: false };
        }
        // What there is left is not known yet: it is asked for, and the call goes on until the answer.
        if holds.iter().any(|h| h.prepaid && self.accounts[h.account as usize].credit.as_deref().is_some_and(|line| self.credit.awaited(line, now))) {
            return Slice::Until { ms: elapsed_ms + RETRY_MS, changed: false };
        }
        // The last moment: what is left, all of it.
        let last_ms = holds.iter().filter(|h| h.prepaid).map(|h| h.terms.affordable_ms(answer_us, h.held_e8.saturating_add(self.left(h, now)))).min();
        match last_ms {
            Some(last_ms) if last_ms > paid_ms && last_ms > elapsed_ms + MARGIN_MS => {
                self.extend(holds, answer_us, last_ms, now);
                Slice::Until { ms: (elapsed_ms + RETRY_MS).min(last_ms - MARGIN_MS), changed: true }
            }
            _ => Slice::Ended,
        }
    }

    fn left(&self, hold: &CallHold, now: Now) -> i64 {
        self.accounts[hold.account as usize].credit.as_deref().map_or(0, |line| self.credit.available(line, now))
    }

    /// All of them together: what a call holds is the same time for each.
    fn extend(&mut self, holds: &mut [CallHold], answer_us: i64, to_ms: u64, now: Now) {
        for hold in holds {
            let more = hold.charge(answer_us, to_ms).saturating_sub(hold.held_e8).max(0);
            hold.held_e8 += more;
            if let Some(line) = self.accounts[hold.account as usize].credit.as_deref_mut() {
                line.hold(more);
            }
            self.credit_changed(hold.account, now);
        }
    }
}
