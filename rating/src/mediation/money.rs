//! Money beside the rows: credit lent to proxies, payments, and limits that come near.

use tollgate_schemas::{
    event::{Body, Event, OLDEST_READER_3},
    id::Id,
    log::Topic,
    money::format_amount,
    stage::{Outputs, Poison},
    v1::{AlertRaised, CreditHold, DocumentPosted, Feature, LeaseAsked, PaymentPosted},
};

use super::{NAME, Rater, state::Call};
use crate::{credit::Credit, ledger};

/// What the proxy took for a call that ended, the first time it says so.
pub(super) fn tell<'b>(credit: &mut Credit, call: &mut Call, event: &Event, body: &'b Body) -> Option<&'b [CreditHold]> {
    let Body::CallEnded(ended) = body else { return None };
    if ended.settled.is_empty() || std::mem::replace(&mut call.told, true) {
        return None;
    }
    credit.settled(event.id(), &call.key, &ended.settled);
    Some(&ended.settled)
}

impl Rater {
    pub(super) fn lend(&mut self, event: &Event, asked: &LeaseAsked, out: &mut Outputs) {
        for (ordinal, granted) in (0..).zip(self.credit.asked(event, asked)) {
            out.push(Topic::Leases, self.desk.partition(), Event::derived(NAME, event, "credit", ordinal, Body::LeaseGranted(granted)));
        }
    }

    pub(super) fn paid(&mut self, event: &Event, paid: &PaymentPosted, out: &mut Outputs) -> Result<(), Poison> {
        let asked = paid.request.as_ref().map(|r| Id::of(&r.id));
        let id = match paid.reference.as_str() {
            "" => event.id(),
            reference => ledger::reference(&paid.root_account, &paid.account, reference),
        };
        if self.payments.contains(id) || asked.is_some_and(|asked| self.requests.get(asked, event.occurred_us).is_some()) {
            return Ok(());
        }
        // Earlier versions posted whatever was asked for.
        if event.version >= OLDEST_READER_3 {
            let standing = self.credit.standing(&paid.root_account, &paid.account, &paid.currency).unwrap_or_default();
            let refused = ledger::takes(&paid.kind, paid.amount_e8, standing.owed_e8, standing.deposits_e8);
            refused.map_err(|e| Poison(format!("{} {} of {} for {}: {e}", event.name(), event.id(), format_amount(paid.amount_e8), paid.account)))?;
        }
        let posted = self.desk.pay(event, paid, out);
        posted.ok_or_else(|| Poison(format!("{} {} is a '{}' of {}: nothing that can be posted", event.name(), event.id(), paid.kind, format_amount(paid.amount_e8))))?;
        self.payments.insert(id);
        if let Some(asked) = asked {
            self.requests.insert(asked, event.occurred_us, ());
        }
        Ok(())
    }

    /// An invoice or note: posted once, however often it is said.
    pub(super) fn document(&mut self, event: &Event, document: &DocumentPosted, out: &mut Outputs) -> Result<(), Poison> {
        let id = Id::derived("document", Id::NIL, &document.number, 0);
        if self.payments.contains(id) {
            return Ok(());
        }
        let posted = self.desk.post_document(event, document, out);
        posted.ok_or_else(|| Poison(format!("{} {} of {} has no entries that balance", event.name(), event.id(), document.number)))?;
        self.payments.insert(id);
        Ok(())
    }

    /// Takes up what this event posted, and says which limits it brought near.
    pub(super) fn balance(&mut self, event: &Event, from: usize, out: &mut Outputs) {
        for append in &out.appends[from..] {
            if let Some(Body::LedgerPosted(posted)) = &append.event.body {
                self.credit.posted(&posted.entries);
            }
        }
        for crossing in self.credit.crossings() {
            let (root, account) = crossing.account.split_once('/').unwrap_or((&crossing.account, &crossing.account));
            let rule = format!("credit_{}", crossing.pct);
            let full = crossing.pct >= 100;
            let (used, limit) = (format_amount(crossing.exposure_e8), format_amount(crossing.limit_e8));
            let explanation = match (crossing.prepaid, full) {
                (true, _) => format!("the credit is used up: {used} {} owed or held, at most {limit}", crossing.currency),
                (false, true) => format!("the limit is reached: {used} of {limit} {} owed or held; new calls are refused", crossing.currency),
                (false, false) => format!("{used} of {limit} {} owed or held: {} % of the limit", crossing.currency, crossing.pct),
            };
            let threshold = (i128::from(crossing.limit_e8) * i128::from(crossing.pct) / 100) as i64;
            let body = Body::AlertRaised(AlertRaised {
                rule: rule.clone(),
                severity: if full { "critical" } else { "warning" }.to_owned(),
                account: account.to_owned(),
                features: vec![Feature { name: "credit_used".to_owned(), value: crossing.exposure_e8, threshold, unit: "e8".to_owned(), counted_at: "posting".to_owned() }],
                explanation,
                currency: crossing.currency.clone(),
                first_us: event.occurred_us,
                control_position: event.control_position as i64,
                ..AlertRaised::default()
            });
            let mut alert = Event::derived(NAME, event, &format!("{rule}:{account}"), 0, body);
            root.clone_into(&mut alert.key);
            out.push(Topic::Alerts, self.desk.partition(), alert);
        }
    }
}
