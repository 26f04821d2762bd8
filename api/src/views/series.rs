//! Counters for plots: each second and each minute of the last hour for the whole node, each minute for a root
//! account. A bucket is found by the time of the fact, so feeding late or again from a log gives the same plots.

use foldhash::{HashMap, HashMapExt};
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event},
    refusal::Refusal,
};

use super::alerts::Alert;

/// How far back the plots go.
pub const SECONDS: i64 = 3600;
const MINUTES: i64 = SECONDS / 60;
/// Root accounts with plots of their own; those that come later have none.
const TENANTS: usize = 2_000;
/// Keys whose last loss is remembered, so that alerts about the same money are counted once.
const LOSSES: usize = 10_000;

/// Amounts of one currency, 1e-8 of its unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money {
    pub revenue_e8: i64,
    pub cost_e8: i64,
    pub fraud_loss_e8: i64,
}

/// What happened in one second or minute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Number of the second or minute since 1970.
    epoch: i64,
    /// Every call asked for: admitted and refused ones.
    pub attempted: u64,
    pub answered: u64,
    pub refused: Vec<(&'static str, u64)>,
    pub money: Vec<(String, Money)>,
}

impl Bucket {
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().map(|(_, n)| n).sum()
    }

    pub fn add(&mut self, other: &Bucket) {
        self.attempted += other.attempted;
        self.answered += other.answered;
        for (reason, n) in &other.refused {
            self.refuse(reason, *n);
        }
        for (currency, m) in &other.money {
            let own = self.money(currency);
            own.revenue_e8 = own.revenue_e8.saturating_add(m.revenue_e8);
            own.cost_e8 = own.cost_e8.saturating_add(m.cost_e8);
            own.fraud_loss_e8 = own.fraud_loss_e8.saturating_add(m.fraud_loss_e8);
        }
    }

    fn refuse(&mut self, reason: &'static str, count: u64) {
        match self.refused.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, n)) => *n += count,
            None => self.refused.push((reason, count)),
        }
    }

    fn money(&mut self, currency: &str) -> &mut Money {
        let at = self.money.iter().position(|(c, _)| c == currency).unwrap_or_else(|| {
            self.money.push((currency.to_owned(), Money::default()));
            self.money.len() - 1
        });
        &mut self.money[at].1
    }
}

/// Buckets of the last hour, found by time; one too old for its place is dropped.
#[derive(Debug)]
pub struct Ring {
    step_us: i64,
    buckets: Vec<Bucket>,
}

impl Ring {
    fn new(step_us: i64, len: i64) -> Ring {
        Ring { step_us, buckets: vec![Bucket::default(); len as usize] }
    }

    fn at(&mut self, us: i64) -> Option<&mut Bucket> {
        let epoch = us.div_euclid(self.step_us);
        let len = self.buckets.len() as i64;
        let bucket = &mut self.buckets[epoch.rem_euclid(len) as usize];
        if bucket.epoch < epoch {
            *bucket = Bucket { epoch, ..Bucket::default() };
        }
        (bucket.epoch == epoch).then_some(bucket)
    }

    /// The last `n` buckets before the one that is running at `now_us`, oldest first: when each began, and what
    /// happened in it (none = nothing).
    pub fn last(&self, n: i64, now_us: i64) -> Vec<(i64, Option<&Bucket>)> {
        let len = self.buckets.len() as i64;
        let now = now_us.div_euclid(self.step_us);
        ((now - n.clamp(0, len - 1))..now)
            .map(|epoch| {
                let bucket = &self.buckets[epoch.rem_euclid(len) as usize];
                (epoch * self.step_us, (bucket.epoch == epoch).then_some(bucket))
            })
            .collect()
    }

    /// Everything of the last `n` whole buckets.
    pub fn sum(&self, n: i64, now_us: i64) -> Bucket {
        let mut sum = Bucket::default();
        self.last(n, now_us).into_iter().filter_map(|(_, b)| b).for_each(|b| sum.add(b));
        sum
    }
}

pub struct Series {
    pub seconds: Ring,
    pub minutes: Ring,
    tenants: HashMap<String, Ring>,
    /// The last alert about (account, destination group): when, and the loss it told.
    losses: HashMap<(String, String), (i64, i64)>,
}

impl Series {
    pub(super) fn new() -> Series {
        Series {
            seconds: Ring::new(1_000_000, SECONDS + 1),
            minutes: Ring::new(60_000_000, MINUTES + 1),
            tenants: HashMap::new(),
            losses: HashMap::new(),
        }
    }

    /// Minutes of a root account; none before its first call.
    pub fn tenant(&self, root: &str) -> Option<&Ring> {
        self.tenants.get(root)
    }

    fn count(&mut self, us: i64, root: &str, add: impl Fn(&mut Bucket)) {
        self.seconds.at(us).map(&add);
        self.minutes.at(us).map(&add);
        if root.is_empty() {
            return;
        }
        if let Some(ring) = self.tenants.get_mut(root) {
            ring.at(us).map(&add);
        } else if self.tenants.len() < TENANTS {
            let mut ring = Ring::new(60_000_000, MINUTES + 1);
            ring.at(us).map(&add);
            self.tenants.insert(root.to_owned(), ring);
        }
    }

    pub(super) fn call(&mut self, event: &Event, body: &Body) {
        let us = event.occurred_us;
        match body {
            Body::CallAttempted(_) => self.count(us, &event.key, |b| b.attempted += 1),
            Body::CallAnswered(_) => self.count(us, &event.key, |b| b.answered += 1),
            Body::CallRefused(r) => {
                let (reason, n) = (reason_name(&r.reason), r.count.max(1));
                self.count(us, &event.key, |b| {
                    b.attempted += n;
                    b.refuse(reason, n);
                });
            }
            _ => {}
        }
    }

    /// Money of a final CDR at its end; with `calls_too` its call at its own times.
    pub(super) fn cdr(&mut self, cdr: &Cdr, calls_too: bool) {
        let root = &cdr.root_account;
        if cdr.sell_amount != 0 || cdr.cost_amount != 0 {
            self.count(cdr.end_ts, root, |b| {
                if cdr.sell_amount != 0 {
                    let revenue = b.money(&cdr.sell_currency);
                    revenue.revenue_e8 = revenue.revenue_e8.saturating_add(cdr.sell_amount);
                }
                if cdr.cost_amount != 0 {
                    let cost = b.money(&cdr.cost_currency);
                    cost.cost_e8 = cost.cost_e8.saturating_add(cdr.cost_amount);
                }
            });
        }
        if calls_too {
            let n = cdr.count.max(1);
            self.count(cdr.invite_ts, root, |b| b.attempted += n);
            if let Some(at) = cdr.answer_ts {
                self.count(at, root, |b| b.answered += n);
            }
            if cdr.disposition == "blocked" {
                let reason = reason_name(&cdr.block_reason);
                self.count(cdr.invite_ts, root, |b| b.refuse(reason, n));
            }
        }
    }

    /// Counts what an alert says is lost. Windows of alerts about the same key overlap: of an alert whose window
    /// reaches back over the one before, only the increase is new.
    pub(super) fn alert(&mut self, alert: &Alert) {
        if alert.loss_e8 <= 0 {
            return;
        }
        if self.losses.len() >= LOSSES {
            self.losses.retain(|_, (at, _)| *at > alert.raised_us - SECONDS * 1_000_000);
            if self.losses.len() >= LOSSES {
                self.losses.clear();
            }
        }
        let last = self.losses.entry((alert.account.clone(), alert.dest_group.clone())).or_default();
        let counted = if alert.first_us <= last.0 { last.1 } else { 0 };
        *last = (alert.raised_us, alert.loss_e8.max(counted));
        let new = alert.loss_e8 - counted;
        if new > 0 {
            self.count(alert.raised_us, &alert.root_account, |b| {
                let money = b.money(&alert.currency);
                money.fraud_loss_e8 = money.fraud_loss_e8.saturating_add(new);
            });
        }
    }
}

/// The refusal's own name; one this program does not know is `other`.
fn reason_name(name: &str) -> &'static str {
    Refusal::ALL.iter().map(|r| r.name()).find(|n| *n == name).unwrap_or("other")
}
