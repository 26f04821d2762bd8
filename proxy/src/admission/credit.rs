//! Credit (FN-06, FN-07): an account with a limit, or a prepaid one, pays for its calls from a lease that the one writer of its
//! money lends this node for a short time (`rating/src/credit.rs`). All shards of the node take from the same lease, behind the
//! lock of the gate. It works alike on a node alone: then the writer is in the same process, behind the same log.
//!
//! **Ceiling.** A grant says what the node's calls may come to since its process began: calls that ended with what was taken
//! for them, calls that are up with what they hold. A late, lost or repeated grant lends nothing twice.
//!
//! **Slices.** A call holds the charge of a slice (60 s unless the account says otherwise, connect fee included) before it
//! rings, of every account of its hierarchy that has a limit, each by its own price, all of them or none. [`LEAD_MS`] before
//! a slice runs out it takes the next; where there is not enough left it asks for more, takes what there is at the last moment,
//! and when that is nothing the call ends ([`Slice::Ended`]), [`MARGIN_MS`] before its money does. Accounts that pay later hold beyond their lease: their
//! limit refuses new calls and ends none. At its end a call settles what it came to and gives the rest back.
//!
//! **After a start** calls that are up hold what the log says they held. Nothing is known of the money until the first lease, which is
//! asked for at once: a call whose slice ran out while the process was away, or runs out before that lease, goes on until it is there
//! and takes its next slice from it, or ends by it; after [`FIRST_LEASE_MS`] without any it ends. An account that gets a limit while it
//! has calls up ([`Admission::credit_began`]) is the same to them: they hold what they came to so far and a slice more, or end.
//!
//! **The bound.** Nothing here takes more than the lease, so an account's calls together cost at most what was lent, which is
//! at most its limit, and each of them what it costs from when its money ran out until its end is seen: a timer of this node, whatever
//! became of the log and of rating. Fees of ringing and of failed attempts come on top, and of a call that was up when its process ended
//! what it comes to from the end of its slice until the first lease of the next.
//!
//! **Without the log** the lease is spent for as long as it lasts (`hold_ms` from when the answered demand was made), then such
//! calls are refused and those that are up end with what they hold. On a node alone it does not run out. A node that was never
//! granted anything refuses with 503, since it does not know yet.
//!
//! **Limits.** Accounts as many as the policy has; of one partition [`MAX_DEMANDS`] in one demand, further ones wait for the next.

mod demand;
mod line;
mod slices;

use std::collections::VecDeque;

use tollgate_schemas::{money::format_amount, refusal::Refusal, time::Now, v1::LeaseGranted};

pub(super) use self::line::Line;
pub use self::{demand::MAX_DEMANDS as MAX_CREDIT_DEMANDS, slices::Slice};
pub(super) use self::slices::CallHold;
use super::{AccountIx, Admission, Policy};

/// A slice is taken so long before the one before runs out, and no longer than half of it: time to ask for what is not there.
pub const LEAD_MS: u64 = 10_000;
/// A call is ended so long before what it holds is used up: what a timer may be late without costing another increment.
pub const MARGIN_MS: u64 = 250;
/// Between two tries to take a slice that is not there.
const RETRY_MS: u64 = 500;
/// How long a call goes on without money while this process has not yet been told what there is: after a start, or once an account
/// gets a limit or another lender.
pub const FIRST_LEASE_MS: u64 = 30_000;
/// Demands whose answer is awaited.
const ASKS: usize = 256;

/// How a node holds its leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditRules {
    /// Of topic calls: an account's partition follows from its root.
    pub partitions: u16,
    /// Leases last only as long as they say; false where the lender dies with the node.
    pub expires: bool,
    /// How long a first lease is waited for before a call that needs it is ended.
    pub first_ms: u64,
}

impl Default for CreditRules {
    fn default() -> CreditRules {
        CreditRules { partitions: 16, expires: true, first_ms: FIRST_LEASE_MS }
    }
}

/// What a node knows of its leases as a whole.
#[derive(Debug)]
pub(super) struct Credit {
    node: String,
    rules: CreditRules,
    parts: Vec<Part>,
    /// Accounts with something to say, as `Line::changed_ns` has it.
    changed: Vec<u32>,
    /// A call waits for more.
    urgent: bool,
    /// When the newest demands were made, which tells their answers from those to another process.
    asks: VecDeque<u64>,
    refreshed_ns: u64,
    /// The control position at which limits were read.
    placed: Option<u64>,
}

/// The leases of one partition's writer.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    until_ns: u64,
    /// Counts how often they ran out: a lease of an earlier one must be granted anew.
    generation: u32,
    lines: u32,
    asked_ns: u64,
}

/// A lease as figures, for metrics, people and tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreditGauge {
    pub account: String,
    /// What its calls here may come to since the start, what ended ones came to, and what those that are up hold.
    pub ceiling_e8: i64,
    pub settled_e8: i64,
    pub held_e8: i64,
    /// What a new call could hold now.
    pub available_e8: i64,
}

impl Default for Credit {
    fn default() -> Credit {
        let rules = CreditRules::default();
        Credit {
            node: String::new(),
            parts: vec![Part::default(); usize::from(rules.partitions)],
            rules,
            changed: Vec::new(),
            urgent: false,
            asks: VecDeque::new(),
            refreshed_ns: 0,
            placed: None,
        }
    }
}

impl Credit {
    fn part(&self, line: &Line) -> Part {
        self.parts.get(usize::from(line.partition)).copied().unwrap_or_default()
    }

    /// What a line may still hold.
    fn available(&self, line: &Line, now: Now) -> i64 {
        let part = self.part(line);
        let lasts = line.generation == part.generation && (now.mono_ns < part.until_ns || !self.rules.expires);
        if lasts && line.revision > 0 { line.ceiling_e8.saturating_sub(line.used()).max(0) } else { 0 }
    }

    /// Whether what a line has is yet to be heard, and soon enough to wait for it.
    fn awaited(&self, line: &Line, now: Now) -> bool {
        line.revision == 0 && now.mono_ns.saturating_sub(line.unknown_ns) < self.rules.first_ms.saturating_mul(1_000_000)
    }
}

/// Why a call may not go on.
pub(super) type NoCredit = (Refusal, String);

impl Admission {
    /// Before the first call. `node`: 12 hex digits, `Mint::node_name`.
    pub fn credit_mode(&mut self, node: &str, rules: CreditRules) {
        self.credit.node = node.to_owned();
        self.credit.parts = vec![Part::default(); usize::from(rules.partitions.max(1))];
        self.credit.rules = rules;
    }

    /// Whether something waits for more credit than it was given: the next demand should not wait for its time.
    pub fn credit_urgent(&self) -> bool {
        self.credit.urgent
    }

    /// Whether every account with a limit was granted something, be it nothing.
    pub fn credit_known(&mut self, policy: &Policy) -> bool {
        self.adopt(policy);
        policy.accounts().filter(|(_, view)| view.credit.is_some()).all(|(ix, _)| {
            self.accounts[self.account_state(ix) as usize].credit.as_ref().is_some_and(|line| line.revision > 0)
        })
    }

    /// Takes over what the lender of a partition gave this process. What is of others, or older than what was applied, changes nothing.
    pub fn apply_credit(&mut self, partition: u16, granted: &LeaseGranted, now: Now) {
        if !granted.credit || granted.node != self.credit.node || usize::from(partition) >= self.credit.parts.len() {
            return;
        }
        // What was taken away for others answers no demand; it is only ever less.
        let answers = granted.asked_ns != 0;
        if answers && !self.credit.asks.contains(&granted.asked_ns) {
            return;
        }
        if answers {
            self.renew(partition, granted, now);
        }
        let generation = self.credit.parts[usize::from(partition)].generation;
        for share in granted.shares.iter().filter(|s| s.scope == demand::SCOPE) {
            let Some(index) = self.account_index(&share.name) else { continue };
            let Some(line) = self.accounts[index as usize].credit.as_deref_mut() else { continue };
            if granted.revision <= line.revision || line.partition != partition || !answers && share.ceiling_e8 >= line.ceiling_e8 {
                continue;
            }
            let lower = share.ceiling_e8 < line.ceiling_e8;
            (line.ceiling_e8, line.revision) = (share.ceiling_e8, granted.revision);
            if answers {
                line.generation = generation;
            }
            if lower {
                // The lender must hear that it was applied before it can lend it to others.
                self.credit_changed(index, now);
            } else if answers && line.changed_ns <= granted.asked_ns {
                line.changed = false;
            }
        }
    }

    /// A lease lasts from when it was asked for. One that had run out is not the same lease: its accounts must be granted again.
    fn renew(&mut self, partition: u16, granted: &LeaseGranted, now: Now) {
        let part = &mut self.credit.parts[usize::from(partition)];
        let until_ns = granted.asked_ns.saturating_add(granted.hold_ms.saturating_mul(1_000_000));
        let ran_out = now.mono_ns >= part.until_ns && (self.credit.rules.expires || part.generation == 0);
        part.until_ns = part.until_ns.max(until_ns);
        if !ran_out {
            return;
        }
        part.generation += 1;
        for index in 0..self.accounts.len() as u32 {
            if self.accounts[index as usize].credit.as_ref().is_some_and(|line| line.partition == partition) {
                self.credit_changed(index, now);
            }
        }
    }

    /// Leases by account, ones that never were anything left out.
    pub fn credit_gauges(&self, now: Now) -> Vec<CreditGauge> {
        let gauge = |name: &str, line: &Line| CreditGauge {
            account: name.to_owned(),
            ceiling_e8: line.ceiling_e8,
            settled_e8: line.settled_e8,
            held_e8: line.held_e8,
            available_e8: self.credit.available(line, now),
        };
        let mut gauges: Vec<_> = self.accounts.iter().filter_map(|a| Some(gauge(a.name(), a.credit.as_deref()?))).collect();
        gauges.retain(|g| (g.ceiling_e8, g.settled_e8, g.held_e8) != (0, 0, 0));
        gauges.sort_by(|a, b| a.account.cmp(&b.account));
        gauges
    }

    /// What a call holds of each account of its hierarchy that has a limit, before anything is taken. `pays`: what an account pays,
    /// by the account's name. Empty where nobody has a limit.
    pub(super) fn judge_credit<'t>(
        &mut self,
        policy: &Policy,
        account: AccountIx,
        pays: impl Fn(&str) -> Option<&'t tollgate_schemas::v1::Terms>,
        now: Now,
    ) -> Result<Vec<CallHold>, NoCredit> {
        let view = policy.account(account);
        if !view.has_credit {
            return Ok(Vec::new());
        }
        let mut holds = Vec::with_capacity(1);
        let mut duration_ms = u64::from(view.slice_s) * 1_000;
        let mut at = Some(account);
        while let Some(ix) = at {
            let view = policy.account(ix);
            at = view.parent;
            let (Some(credit), Some(terms)) = (&view.credit, pays(&view.name)) else { continue };
            let index = self.account_state(ix);
            self.credit_line(index, policy, ix, now);
            let Some(line) = self.accounts[index as usize].credit.as_deref_mut() else { continue };
            if line.revision == 0 {
                line.unmet(terms.charge(now.utc_us, duration_ms).amount_e8);
                self.credit_short(index, now);
                return Err((Refusal::LogUnavailable, format!("the credit of {} is not known yet", view.name)));
            }
            let available = self.credit.available(&*line, now);
            let whole = terms.charge(now.utc_us, duration_ms).amount_e8.max(0);
            // A prepaid account may spend the last of it, for a second at least.
            let affordable_ms = if whole <= available { duration_ms } else { terms.affordable_ms(now.utc_us, available) };
            if affordable_ms < duration_ms && (!credit.prepaid || affordable_ms < 1_000) {
                line.unmet(whole);
                let (held, lent) = (format_amount(line.used()), format_amount(line.ceiling_e8));
                self.credit_short(index, now);
                return Err((Refusal::Credit, format!("{}: {held} of {lent} lent to this node are used, {} more", view.name, format_amount(whole))));
            }
            duration_ms = duration_ms.min(affordable_ms);
            holds.push(CallHold::new(index, credit.prepaid, u64::from(view.slice_s) * 1_000, terms));
        }
        for hold in &mut holds {
            hold.held_e8 = hold.charge(now.utc_us, duration_ms);
        }
        Ok(holds)
    }

    pub(super) fn take_holds(&mut self, holds: &[CallHold], now: Now) {
        for hold in holds {
            if let Some(line) = self.accounts[hold.account as usize].credit.as_deref_mut() {
                line.hold(hold.held_e8);
                self.credit_changed(hold.account, now);
            }
        }
    }

    /// The line of an account, made at first sight.
    fn credit_line(&mut self, index: u32, policy: &Policy, ix: AccountIx, now: Now) {
        let state = &mut self.accounts[index as usize];
        if state.credit.is_none() {
            let partition = tollgate_schemas::id::partition_of(&policy.account(ix).root, self.credit.parts.len() as u16);
            state.credit = Some(Box::new(Line::new(partition, now.mono_ns)));
            self.credit.parts[usize::from(partition)].lines += 1;
        }
    }

    fn credit_changed(&mut self, index: u32, now: Now) {
        let Some(line) = self.accounts[index as usize].credit.as_deref_mut() else { return };
        line.changed_ns = now.mono_ns;
        line.changed = true;
        if !std::mem::replace(&mut line.listed, true) {
            self.credit.changed.push(index);
        }
    }

    fn credit_short(&mut self, index: u32, now: Now) {
        self.credit.urgent = true;
        self.credit_changed(index, now);
    }
}
