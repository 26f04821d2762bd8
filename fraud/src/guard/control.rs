//! What provisioning and operators say: policies, which account has which, and blocks that were lifted.

use std::sync::Arc;

use tollgate_schemas::{
    control::{self, FraudPolicy, Kind},
    event::Body,
    id::Id,
    stage::Poison,
    v1::{ControlApplied, Event},
};

use super::Guard;
use crate::policy::Policy;

/// The policy of accounts that name none.
const DEFAULT: &str = "default";

impl Guard {
    /// A document that cannot be read changes nothing: what was in force stays.
    pub(super) fn apply_control(&mut self, event: &Event) -> Result<(), Poison> {
        match &event.body {
            Some(Body::ControlApplied(body)) => match Kind::from_name(&body.kind) {
                Some(Kind::FraudPolicy) => self.policy_applied(body)?,
                Some(Kind::Account) => self.account_applied(body)?,
                _ => return Ok(()),
            },
            Some(Body::BlockLifted(body)) => {
                self.lifted(Id::of(&body.block_id));
                return Ok(());
            }
            // Our own blocks are known since they were placed; other actors' never meet a verdict.
            _ => return Ok(()),
        }
        self.assign_policies();
        Ok(())
    }

    fn policy_applied(&mut self, body: &ControlApplied) -> Result<(), Poison> {
        if body.removed {
            self.policies.remove(&body.name);
            return Ok(());
        }
        let spec: FraudPolicy = read(body)?;
        // The same policy again is no change: it keeps what was compiled.
        if self.policies.get(&body.name).is_some_and(|(known, _)| *known == spec) {
            return Ok(());
        }
        let policy = Policy::compile(&spec).map_err(|e| Poison(format!("{}: {e}", body.name)))?;
        self.policies.insert(body.name.clone(), (spec, Arc::new(policy)));
        Ok(())
    }

    fn account_applied(&mut self, body: &ControlApplied) -> Result<(), Poison> {
        let named = if body.removed { None } else { read::<control::Account>(body)?.fraud_policy };
        match named {
            Some(policy) => drop(self.assigned.insert(body.name.clone(), policy)),
            None => drop(self.assigned.remove(&body.name)),
        }
        Ok(())
    }

    /// The policy in force for an account: the one it names, the one named `default`, the built-in one.
    pub(crate) fn policy_of(&self, account: &str) -> Arc<Policy> {
        let named = self.assigned.get(account).and_then(|name| self.policies.get(name));
        named.or_else(|| self.policies.get(DEFAULT)).map_or(&self.defaults, |(_, policy)| policy).clone()
    }

    /// Gives every account its policy; running calls are looked at under a new one with the next event.
    fn assign_policies(&mut self) {
        let mut changed = false;
        for i in 0..self.keys.accounts.len() {
            let policy = self.policy_of(&self.keys.accounts[i].name);
            let account = &mut self.keys.accounts[i];
            changed |= !Arc::ptr_eq(&account.policy, &policy);
            account.policy = policy;
        }
        if changed {
            self.calls.all_due();
            self.swept_us = 0;
        }
    }

    fn lifted(&mut self, block: Id) {
        let Some(slot) = self.keys.blocks.remove(&block) else { return };
        let memos = self.keys.get_mut(slot).map(|key| &mut key.memos);
        for memo in memos.into_iter().flatten().filter(|m| m.block == block) {
            memo.lifted = true;
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &ControlApplied) -> Result<T, Poison> {
    serde_json::from_str(&body.spec_json).map_err(|e| Poison(format!("{} {}: {e}", body.kind, body.name)))
}
