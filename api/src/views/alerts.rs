//! Alerts, newest first, capped.

use std::{collections::BTreeMap, sync::Arc};

use tollgate_schemas::{
    event::Event,
    id::Id,
    v1::{AlertClosed, AlertRaised, Feature},
};

/// Alerts kept; beyond it the oldest are forgotten here (the log has them for ever).
const KEPT: usize = 10_000;
/// How long an alert that blocked nothing stays open, unless it says that it stays open until it is closed.
pub(super) const OPEN_US: i64 = 15 * 60 * 1_000_000;

/// Where an alert stands: when it was raised, then its id.
pub type AlertKey = (i64, Id);

#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub alert_id: Id,
    pub raised_us: i64,
    pub rule: String,
    /// `warning` or `critical`.
    pub severity: String,
    pub account: String,
    pub root_account: String,
    pub dest_group: String,
    pub features: Vec<Feature>,
    pub explanation: String,
    pub block_id: Option<Id>,
    pub loss_e8: i64,
    pub currency: String,
    /// The first suspicious event.
    pub first_us: i64,
    /// Open until it is closed.
    pub stays_open: bool,
    /// When what it told of was over.
    pub closed_us: Option<i64>,
}

impl Alert {
    pub(super) fn of(event: &Event, body: &AlertRaised) -> Alert {
        Alert {
            alert_id: event.id(),
            raised_us: event.occurred_us,
            rule: body.rule.clone(),
            severity: body.severity.clone(),
            account: body.account.clone(),
            root_account: event.key.clone(),
            dest_group: body.dest_group.clone(),
            features: body.features.clone(),
            explanation: body.explanation.clone(),
            block_id: Id::from_bytes(&body.block_id),
            loss_e8: body.loss_e8,
            currency: body.currency.clone(),
            first_us: body.first_us,
            stays_open: body.stays_open,
            closed_us: None,
        }
    }

    pub fn key(&self) -> AlertKey {
        (self.raised_us, self.alert_id)
    }
}

#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    pub tenant: Option<String>,
    pub account: Option<String>,
    pub severity: Option<String>,
    pub since_us: Option<i64>,
    pub until_us: Option<i64>,
}

impl AlertFilter {
    fn admits(&self, a: &Alert) -> bool {
        let is = |want: &Option<String>, have: &str| want.as_deref().is_none_or(|w| w == have);
        is(&self.tenant, &a.root_account)
            && is(&self.account, &a.account)
            && is(&self.severity, &a.severity)
            && self.since_us.is_none_or(|t| a.raised_us >= t)
            && self.until_us.is_none_or(|t| a.raised_us < t)
    }
}

#[derive(Default)]
pub(super) struct Alerts(BTreeMap<AlertKey, Arc<Alert>>);

impl Alerts {
    /// False when it is known already or older than everything kept.
    pub(super) fn insert(&mut self, alert: &Arc<Alert>) -> bool {
        let new = self.0.insert(alert.key(), alert.clone()).is_none();
        while self.0.len() > KEPT {
            self.0.pop_first();
        }
        new
    }

    /// Closes what is open of a rule, account and destination group; gives what was closed, as it is now.
    pub(super) fn close(&mut self, event: &Event, body: &AlertClosed) -> Option<Arc<Alert>> {
        let same = |a: &Alert| a.stays_open && a.closed_us.is_none() && a.rule == body.rule && a.account == body.account && a.dest_group == body.dest_group;
        let mut closed = None;
        for alert in self.0.values_mut().filter(|a| same(a)) {
            Arc::make_mut(alert).closed_us = Some(event.occurred_us);
            closed = Some(alert.clone());
        }
        closed
    }

    pub(super) fn newest<'a>(&'a self, filter: &'a AlertFilter, after: Option<AlertKey>) -> impl Iterator<Item = &'a Arc<Alert>> {
        let end = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.0.range((std::ops::Bound::Unbounded, end)).rev().map(|(_, a)| a).filter(|a| filter.admits(a))
    }
}
