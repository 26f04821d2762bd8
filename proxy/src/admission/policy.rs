//! What the proxy admits by: accounts, trunks and carriers, compiled from their documents into one immutable value
//! that is shared and swapped whole. Nothing here counts; counters are in `Admission`.

mod compile;

use std::{collections::BTreeMap, net::SocketAddr};

use foldhash::HashMap;
use tollgate_schemas::control::{self, CarrierTimers, Kind, ListedAction, NumberPlan};

use super::{classify::Tables, number_lists::NumberLists, prefixes::PrefixMap, source::Sources};

/// Index of a trunk in one policy; another policy has other indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrunkIx(pub u32);

/// Index of a carrier in one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CarrierIx(pub u32);

/// Index of an account in one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountIx(pub u32);

/// Who an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    Trunk(TrunkIx),
    Carrier(CarrierIx),
}

/// The documents a policy is made of, by name.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    pub accounts: BTreeMap<String, control::Account>,
    pub trunks: BTreeMap<String, control::Trunk>,
    pub carriers: BTreeMap<String, control::Carrier>,
    /// For their high-risk prefixes, and to know the names accounts may use.
    pub fraud_policies: BTreeMap<String, control::FraudPolicy>,
    pub number_lists: BTreeMap<String, control::NumberList>,
    /// Of decks by name; of one that is not here USD, the default.
    pub currencies: BTreeMap<String, String>,
}

/// One mistake in the documents. All are reported at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub name: String,
    /// Path of the field in `spec`, as `dial.max_rate` or `sources[2]`; empty for the document as a whole.
    pub field: String,
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} '{}'", self.kind.name(), self.name)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

#[derive(Debug, Clone)]
pub struct AccountView {
    pub name: String,
    pub parent: Option<AccountIx>,
    /// Top of the hierarchy: the key of the account's events.
    pub root: String,
    pub sell_deck: String,
    /// None: it may owe whatever it comes to.
    pub credit: Option<CreditView>,
    /// It, or an account above it, has a limit.
    pub has_credit: bool,
    /// What a call holds is the charge of so long.
    pub slice_s: u32,
    pub fraud_policy: Option<String>,
    /// Carriers the account's calls may go to; empty = all.
    pub carriers: Vec<CarrierIx>,
    pub max_attempts: u8,
    pub margin_guard: bool,
    pub test: bool,
}

impl AccountView {
    /// How it pays, as CDRs say (C-098).
    pub fn billing(&self) -> &'static str {
        if self.credit.as_ref().is_some_and(|c| c.prepaid) { "prepaid" } else { "postpaid" }
    }
}

/// What an account may owe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditView {
    /// 1e-8 of the deck's currency.
    pub limit_e8: i64,
    pub currency: String,
    /// Its calls end with its money.
    pub prepaid: bool,
    /// Percent of the limit at which people are told, rising.
    pub warn_pct: Vec<u32>,
}

#[derive(Debug, Clone)]
pub struct TrunkView {
    pub name: String,
    pub account: AccountIx,
    pub channels: u32,
    pub cps: u32,
    pub burst: u32,
    pub numbers: NumberPlan,
    pub require_cli: bool,
    /// Who it belongs to, where that party is a carrier, too.
    pub party: Option<String>,
    pub relay_503: bool,
    pub trust_npdi: bool,
    /// Names of its callers are looked up.
    pub cnam: bool,
    /// Whole dialled strings, without separators.
    pub emergency: Vec<String>,
    pub dial: Dial,
}

/// A trunk's dial policy, compiled.
#[derive(Debug, Clone)]
pub struct Dial {
    pub international: bool,
    pub premium: bool,
    pub high_risk: bool,
    pub unknown: bool,
    pub test_numbers: ListedAction,
    pub hot_numbers: ListedAction,
    /// 1e-12 of the deck's currency per minute.
    pub max_rate_e12: Option<i64>,
    /// 1e-8 of the deck's currency per UTC day.
    pub daily_spend_e8: Option<i64>,
    pub allow: PrefixMap<()>,
    pub deny: PrefixMap<()>,
    /// The trunk's channels where the document says nothing.
    pub group_channels: u32,
    pub hot_spot_channels: u32,
    pub hot_spot_calls_12h: u32,
}

/// A carrier as the proxy core uses it.
#[derive(Debug, Clone)]
pub struct CarrierView {
    pub name: String,
    /// Where calls go: the first; never empty.
    pub addresses: Vec<SocketAddr>,
    pub deck: String,
    /// Put before the digits in the Request-URI.
    pub prefix: String,
    pub channels: Option<u32>,
    pub cps: Option<u32>,
    pub route_class: String,
    pub emergency: bool,
    pub suspended: bool,
    /// The party it belongs to, where a trunk belongs to it, too: its calls may come back.
    pub party: Option<String>,
    pub timers: CarrierTimers,
    /// Final responses that move on, or stop, over the defaults of P-47; sorted.
    pub advance_on: Vec<u16>,
    pub stop_on: Vec<u16>,
}

impl CarrierView {
    pub fn is_limited(&self) -> bool {
        self.channels.is_some() || self.cps.is_some()
    }
}

/// The compiled whole.
#[derive(Debug)]
pub struct Policy {
    control_position: u64,
    /// Alike for two policies whose indices mean the same names.
    stamp: u128,
    accounts: Vec<AccountView>,
    trunks: Vec<TrunkView>,
    carriers: Vec<CarrierView>,
    account_names: HashMap<String, AccountIx>,
    trunk_names: HashMap<String, TrunkIx>,
    carrier_names: HashMap<String, CarrierIx>,
    parties: Sources<Party>,
    emergency_carriers: Vec<CarrierIx>,
    tables: Tables,
    number_lists: NumberLists,
}

impl Policy {
    /// Checks the documents against each other and compiles them, or gives every mistake there is.
    /// `control_position`: how many control events they are the fold of.
    pub fn compile(documents: &Documents, control_position: u64) -> Result<Policy, Vec<Problem>> {
        compile::compile(documents, control_position)
    }

    pub fn control_position(&self) -> u64 {
        self.control_position
    }

    /// Who sends from this address; none: a stranger.
    pub fn party(&self, addr: SocketAddr) -> Option<Party> {
        self.parties.get(addr)
    }

    pub fn trunk(&self, ix: TrunkIx) -> &TrunkView {
        &self.trunks[ix.0 as usize]
    }

    pub fn carrier(&self, ix: CarrierIx) -> &CarrierView {
        &self.carriers[ix.0 as usize]
    }

    pub fn account(&self, ix: AccountIx) -> &AccountView {
        &self.accounts[ix.0 as usize]
    }

    pub fn trunks(&self) -> impl ExactSizeIterator<Item = (TrunkIx, &TrunkView)> {
        self.trunks.iter().enumerate().map(|(i, t)| (TrunkIx(i as u32), t))
    }

    pub fn carriers(&self) -> impl ExactSizeIterator<Item = (CarrierIx, &CarrierView)> {
        self.carriers.iter().enumerate().map(|(i, c)| (CarrierIx(i as u32), c))
    }

    pub fn accounts(&self) -> impl ExactSizeIterator<Item = (AccountIx, &AccountView)> {
        self.accounts.iter().enumerate().map(|(i, a)| (AccountIx(i as u32), a))
    }

    pub fn trunk_named(&self, name: &str) -> Option<TrunkIx> {
        self.trunk_names.get(name).copied()
    }

    pub fn carrier_named(&self, name: &str) -> Option<CarrierIx> {
        self.carrier_names.get(name).copied()
    }

    pub fn account_named(&self, name: &str) -> Option<AccountIx> {
        self.account_names.get(name).copied()
    }

    /// The event key of an account's calls: the top of its hierarchy; the name itself when nobody has it.
    pub fn root_of<'a>(&'a self, account: &'a str) -> &'a str {
        self.account_named(account).map_or(account, |ix| self.account(ix).root.as_str())
    }

    /// Carriers that take emergency calls, in order of name, suspended ones last: a carrier taken out for price or
    /// quality still beats no help.
    pub fn emergency_carriers(&self) -> &[CarrierIx] {
        &self.emergency_carriers
    }

    /// Number tables, with the operator's high-risk prefixes.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Called numbers of subscriptions.
    pub fn number_lists(&self) -> &NumberLists {
        &self.number_lists
    }

    pub(super) fn stamp(&self) -> u128 {
        self.stamp
    }
}

#[cfg(test)]
mod tests;
