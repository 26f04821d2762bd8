//! Judging keys and calls, and what follows from a verdict: it is sent, remembered, and quiet for a while.

use tollgate_schemas::id::Id;

use super::{Guard, Owing};
use crate::{
    calls::Call,
    destinations::Classes,
    detectors::{Hit, judge_key},
    features::{Feature, spend::Currency},
    memo::{Memo, RuleKey, Severity},
    policy::{Policy, Rule},
    verdict::{Case, Verdicts},
};

/// A verdict that is not raised, until then.
struct Quiet {
    until_us: i64,
}

impl Guard {
    pub(super) fn judge_money(&mut self, owing: &Owing, policy: &Policy, out: &mut Verdicts<'_>) {
        for slot in owing.slots(&self.keys) {
            self.judge(slot, owing.classes, policy, &[Feature::Spend], out);
        }
    }

    /// Judges some features of one key, in the order of the policy's rules.
    pub(super) fn judge(&mut self, slot: u32, classes: Classes, policy: &Policy, features: &[Feature], out: &mut Verdicts<'_>) {
        for rule in policy.rules.iter().filter(|r| features.contains(&r.feature) && classes.has(r.watch)) {
            if let Some(hit) = judge_key(&self.keys, slot, rule, self.now_us) {
                // Quiet is a quiet yes: what was said of this key still holds.
                let _ = self.raise(slot, policy, rule, hit, None, out);
            }
        }
    }

    /// Judges one call's length. A verdict is raised once a call, and again when its block has expired with the call
    /// still up.
    pub(super) fn judge_duration(&mut self, call: &mut Call, elapsed_ms: u64, policy: &Policy, out: &mut Verdicts<'_>) {
        if call.again_us != 0 && call.again_us <= self.now_us {
            call.raised.retain(|r| r.severity != Severity::Critical);
            call.again_us = 0;
        }
        let slot = call.key.unwrap_or(self.keys.accounts[call.account as usize].total);
        for rule in &policy.rules {
            let Some(long) = call.too_long(rule, elapsed_ms).filter(|long| !call.raised.contains(long)) else { continue };
            let value = i64::try_from(elapsed_ms).unwrap_or(i64::MAX);
            let hit = Hit { severity: long.severity, value, threshold: long.threshold, currency: Currency::default() };
            let again_us = match self.raise(slot, policy, rule, hit, call.answered_us, out) {
                Ok(blocked_until_us) => {
                    call.raised.push(long);
                    blocked_until_us
                }
                Err(Quiet { until_us }) => until_us,
            };
            call.again_us = if call.again_us == 0 { again_us } else { call.again_us.min(again_us) };
        }
    }

    /// Sends a verdict unless it is quiet; gives the end of the block it placed, 0 when it placed none.
    fn raise(
        &mut self,
        slot: u32,
        policy: &Policy,
        rule: &Rule,
        hit: Hit,
        answered_us: Option<i64>,
        out: &mut Verdicts<'_>,
    ) -> Result<i64, Quiet> {
        let (now_us, id) = (self.now_us, RuleKey::of(rule));
        let quiet = |m: &Memo| m.quiet_until(hit.severity, now_us, policy.cool_down_us);
        if let Some(until_us) = self.keys.get(slot).and_then(|k| k.memo(id)).and_then(quiet) {
            return Err(Quiet { until_us });
        }
        self.count_money_of(slot);
        let Some(key) = self.keys.get(slot) else { return Ok(0) };
        let account = &self.keys.accounts[key.account as usize];
        let block = out.send(&Case { policy, rule, account, key, hit, now_us, answered_us });
        self.remember(slot, id, hit.severity, block, now_us + policy.block_us);
        Ok(if block == Id::NIL { 0 } else { now_us + policy.block_us })
    }

    fn remember(&mut self, slot: u32, rule: RuleKey, severity: Severity, block: Id, until_us: i64) {
        let now_us = self.now_us;
        let Some(key) = self.keys.get_mut(slot) else { return };
        let (account, total) = (key.account, key.total);
        let memo = key.memo_mut(rule);
        let before = memo.block;
        match severity {
            Severity::Warning => memo.warned_us = Some(now_us),
            Severity::Critical => {
                memo.critical_us = Some(now_us);
                (memo.block, memo.block_until_us, memo.lifted) = (block, until_us, false);
            }
        }
        match severity {
            Severity::Warning => self.stats.warnings += 1,
            Severity::Critical => {
                self.stats.criticals += 1;
                self.keys.blocks.remove(&before);
                if block != Id::NIL {
                    self.stats.blocks += 1;
                    self.keys.blocks.insert(block, slot);
                }
            }
        }
        let hot = &mut self.keys.accounts[account as usize].hot;
        if !total && !hot.contains(&slot) {
            hot.push(slot);
        }
    }

    /// Counts what the key's running calls owe by now, so that an alert tells the whole loss: calls no spend rule
    /// watches are otherwise counted at their end.
    fn count_money_of(&mut self, slot: u32) {
        let now_us = self.now_us;
        let Some((account, total)) = self.keys.get(slot).map(|k| (k.account, k.total)) else { return };
        for call in self.calls.each_mut() {
            if call.account == account && call.silent.is_none() && (total || call.key == Some(slot)) {
                let added = call.accrue(now_us);
                Owing::of(call).post(&mut self.keys, now_us, added);
            }
        }
    }
}
