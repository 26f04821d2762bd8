//! Whether a call may go on, from memory, in microseconds (design §3 point 2). Pure: the time comes in, the decision
//! and its facts come out; a refusal is a closed enum and always becomes an event (S1-75).
//!
//! In the order data flows: who it is from (`policy`, `source`), what was dialled (`normalise`, `classify`), the
//! decision and its order (`admit`), what is counted for it (`counters`, `bucket`, `hot_spot`, `blocks`, `carriers`), what
//! of it is shared with other proxies (`lease`), what money is lent (`credit`), and what is written when refusals come in floods (`meter`).
//!
//! Tables and their limits: calls [`MAX_CALLS`] (then ordinary calls are refused as `overload`), destination groups
//! of one account [`MAX_GROUPS`] (idle ones go first, then `group_limit`), blocks [`MAX_BLOCKS`] (the one that would
//! expire first gives way), names 100,000 of each kind and listed numbers [`MAX_LISTED`] (checked when the policy is compiled), refusal counters
//! [`MAX_BUCKETS`] buckets of strangers (then one common bucket), scopes in one demand [`MAX_DEMANDS`].

mod admit;
mod blocks;
mod bucket;
mod carriers;
mod classify;
mod counters;
mod credit;
mod hot_spot;
mod laps;
mod lease;
mod meter;
mod normalise;
mod number_lists;
mod policy;
mod portability;
mod prefixes;
mod source;

use std::net::SocketAddr;

use tollgate_schemas::{
    id::Id,
    number::E164,
    parties::{Geography, Parties, Place},
    refusal::Refusal,
    time::Now,
    v1::{CallFacts, CallRefused, CreditHold, Terms, Tier},
};

pub use self::{
    blocks::{Applied, BadBlock, BlockView, CallView, MAX_BLOCKS},
    carriers::{CarrierFull, CarrierSlot, Shut},
    laps::Laps,
    classify::{CallerValidity, Class, NumberType, Tables},
    counters::{AccountGauge, Admission, CarrierGauge, Gauges, MAX_CALLS, MAX_GROUPS, Resumed, Slot, TrunkGauge},
    credit::{CreditGauge, CreditRules, FIRST_LEASE_MS, LEAD_MS, MARGIN_MS, MAX_CREDIT_DEMANDS, Slice},
    hot_spot::HotWindow,
    lease::{LeaseGauge, LeaseRules, MAX_DEMANDS},
    meter::{CountedRefusal, MAX_BUCKETS, RefusalMeter, SourceBucket, Verdict, WRITTEN_PER_SECOND},
    number_lists::{BadNumber, MAX_LISTED, NumberLists},
    normalise::{NormError, Normalised, Rules, caller, normalise},
    policy::{AccountIx, AccountView, CarrierIx, CarrierView, CreditView, Dial, Documents, Party, Policy, Problem, TrunkIx, TrunkView},
    portability::{Answers, Lookup, Source as PortabilitySource},
    source::{Source, Sources},
};

/// What an account pays for a call. Implemented over the rating crate's compiled decks and number tables.
pub trait Prices {
    /// `at_us`: UTC microseconds of the INVITE.
    fn sell<'p>(&'p self, account: &str, parties: &Parties<'p>, at_us: i64) -> Sale<'p>;
}

/// The answer to [`Prices::sell`]. Nothing is allocated for what is not there.
#[derive(Debug, Clone, PartialEq)]
pub struct Sale<'p> {
    pub sell: Sell,
    /// What each account above pays, nearest first, up to the one that pays the house; all of them have a price, or
    /// `sell` is [`Sell::None`] or [`Sell::Blocked`] by the first that has not.
    pub tiers: Vec<Tier>,
    pub geography: Geography<'p>,
}

impl From<Sell> for Sale<'_> {
    /// A sale without resellers or geography.
    fn from(sell: Sell) -> Self {
        Sale { sell, tiers: Vec::new(), geography: Geography::default() }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Sell {
    Terms(Terms),
    /// Nobody sells this number to the account.
    None,
    /// The row is marked blocked.
    Blocked(Terms),
}

/// Whether the node takes new calls. Emergency calls it always takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    Open,
    /// A clean stop is under way.
    Draining,
    /// Commits are slow, or fail.
    LogSlow,
    LogFailing,
    Overloaded,
}

/// One INVITE that wants to become a call.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub trunk: TrunkIx,
    pub source: SocketAddr,
    /// User part of the Request-URI, escaped and with parameters as it came (`tel:`: what follows the scheme).
    pub dialled: &'a str,
    /// The Request-URI is `urn:service:sos` or below it (RFC 5031).
    pub urn_sos: bool,
    /// User part of the caller's identity; which header it is from is the proxy's to say.
    pub a_user: Option<&'a str>,
    /// What the caller says of its name.
    pub shown: Shown,
    pub now: Now,
    pub node: NodeState,
}

/// What a caller lets others see of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// It sent none, and hides nothing.
    #[default]
    Number,
    /// It sent one itself.
    Name,
    /// It wants to be private (RFC 3323): nobody is asked about it.
    Nothing,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    Number(E164),
    /// An emergency string as dialled, without separators, or `sos` for the URN.
    Emergency(String),
}

impl Called {
    pub fn number(&self) -> Option<&E164> {
        match self {
            Called::Number(number) => Some(number),
            Called::Emergency(_) => None,
        }
    }
}

/// A call that may go on.
#[derive(Debug)]
pub struct Admitted {
    /// As they go into `call.attempted`; `a_number_source` and `a_privacy` are the proxy's to fill in.
    pub facts: CallFacts,
    pub called: Called,
    /// The caller's number, when valid.
    pub a_e164: Option<E164>,
    pub a_validity: CallerValidity,
    /// Number of the caller's switch, where a trusted trunk sent one.
    pub a_routing: Option<E164>,
    /// What the call is rated and routed by instead of the dialled number, and where that is.
    pub lrn: Option<E164>,
    pub place: Option<Box<Place>>,
    /// The caller's name, where one was looked up.
    pub a_name: String,
    /// None for emergency calls.
    pub sell: Option<Terms>,
    /// What the accounts above pay, nearest first.
    pub tiers: Vec<Tier>,
    /// The first slice's charge, held until the call ends; 0 for emergency calls.
    pub hold_e8: i64,
    /// Of the accounts of its hierarchy that have a limit, itself among them.
    pub holds: Vec<CreditHold>,
    /// What the call takes up. Give it back exactly once: `release`, or `cancel` if nothing was sent.
    pub slot: Slot,
}

/// Why a call does not go on now.
#[derive(Debug)]
pub enum Halt {
    Refused(Box<Refused>),
    /// It waits for what sources say of these numbers, at most so many milliseconds, and is decided again then.
    Waits { awaits: Awaits, within_ms: u32 },
}

/// What a call waits for: one of them at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Awaits {
    /// Portability of the called number.
    pub number: Option<E164>,
    /// Name of the calling number.
    pub name: Option<E164>,
}

/// A call that may not go on. Nothing is reserved for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub refusal: Refusal,
    /// The refusal's status, or the block's own.
    pub sip_code: u16,
    /// For people and the event: which value met which limit, or the normalisation rule.
    pub detail: String,
    pub facts: CallFacts,
    pub called: Option<E164>,
    pub a_e164: Option<E164>,
    pub block: Option<Id>,
    /// The row that was found, also when it is why.
    pub sell: Option<Terms>,
}

impl Refused {
    /// A refusal with its default status.
    pub fn new(refusal: Refusal, detail: impl Into<String>, facts: CallFacts) -> Refused {
        Refused {
            refusal,
            sip_code: refusal.sip_code(),
            detail: detail.into(),
            facts,
            called: None,
            a_e164: None,
            block: None,
            sell: None,
        }
    }

    /// The event's body: one call, refused now.
    pub fn body(&self) -> CallRefused {
        CallRefused {
            facts: Some(self.facts.clone()),
            reason: self.refusal.name().to_owned(),
            sip_code: u32::from(self.sip_code),
            q850: u32::from(self.refusal.q850()),
            detail: self.detail.clone(),
            count: 1,
            first_us: 0,
            block_id: self.block.map(Id::to_vec).unwrap_or_default(),
            sell: self.sell.clone(),
            ..CallRefused::default()
        }
    }
}
