//! Provisioning documents: `{kind, name, spec}` (design §5). What a person writes; parts compile it into what they
//! need. Durations say their unit in the name; money is a decimal string; every default is the safe one (§5.4).

mod contract;
mod decisions;
mod fraud_policy;
mod geography;
mod number_list;
mod route_policy;
mod tariff;

pub use contract::{Bundle, Contract, ShortCallPolicy, TaxPlace, TaxProfile, Volume, VolumeStep};
pub use decisions::Decisions;
pub use fraud_policy::{FraudPolicy, FraudRule};
pub use geography::{FxDay, FxRate, NumberTable, OriginGroup, OriginMember, Surcharge, SurchargeRow, Tax, TaxRow};
pub use number_list::{Listed, ListedAction, ListedNumber, NumberList};
pub use route_policy::{RouteFloors, RoutePolicy, RouteSplit};
pub use tariff::{Tariff, TariffStep, TimeProfile};

use serde::{Deserialize, Serialize};

/// The kinds of documents, in the order they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    NumberTable,
    OriginGroup,
    FxRate,
    Tax,
    Deck,
    Surcharge,
    NumberList,
    FraudPolicy,
    Carrier,
    RoutePolicy,
    Account,
    Trunk,
    Contract,
}

impl Kind {
    pub const ALL: [Kind; 13] = [
        Kind::NumberTable,
        Kind::OriginGroup,
        Kind::FxRate,
        Kind::Tax,
        Kind::Deck,
        Kind::Surcharge,
        Kind::NumberList,
        Kind::FraudPolicy,
        Kind::Carrier,
        Kind::RoutePolicy,
        Kind::Account,
        Kind::Trunk,
        Kind::Contract,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::NumberTable => "number_table",
            Kind::OriginGroup => "origin_group",
            Kind::Surcharge => "surcharge",
            Kind::NumberList => "number_list",
            Kind::FxRate => "fx_rate",
            Kind::Tax => "tax",
            Kind::Deck => "deck",
            Kind::FraudPolicy => "fraud_policy",
            Kind::Carrier => "carrier",
            Kind::RoutePolicy => "route_policy",
            Kind::Account => "account",
            Kind::Trunk => "trunk",
            Kind::Contract => "contract",
        }
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        // Both `fraud_policy` and `FraudPolicy`, `trunk` and `trunks` are what people type.
        let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase();
        Kind::ALL.into_iter().find(|k| {
            let own: String = k.name().chars().filter(|c| *c != '_').collect();
            plain == own || plain == format!("{own}s") || plain == format!("{own}es") || (own.ends_with('y') && plain == format!("{}ies", &own[..own.len() - 1]))
        })
    }
}

/// Who pays. A call's key is the root of its account's hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Deck the account buys from; calls without a sell price are refused.
    pub sell_deck: String,
    /// `postpaid`: calls end when they end, and the limit stops new ones. `prepaid`: it has what was paid in, and calls end with it.
    #[serde(default)]
    pub billing: Billing,
    /// Most the account may owe, calls that are up included, in its deck's currency (FN-06); none = no limit, and nothing
    /// for a prepaid one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_limit: Option<String>,
    /// How long a call is paid for in advance, each time anew (FN-07).
    #[serde(default = "default_slice")]
    pub slice_s: u32,
    /// Percent of the limit at which people are told, besides 100.
    #[serde(default = "default_warn")]
    pub warn_pct: Vec<u8>,
    /// Fraud policy by name; none = `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraud_policy: Option<String>,
    /// Carriers this account's calls may go to; empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carriers: Vec<String>,
    /// Carriers tried for one call.
    #[serde(default = "default_max_attempts")]
    pub max_attempts: u8,
    /// Refuse routes that are expected to lose money.
    #[serde(default)]
    pub margin_guard: bool,
    /// Least a call must be expected to earn where the margin guard is on, in its deck's currency; none = 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_margin: Option<String>,
    /// How its calls' carriers are ordered; none = by expected cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_policy: Option<String>,
    /// Classes of routes the account buys (S1-23); empty = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route_classes: Vec<String>,
    /// Look up the names of callers that send none, on each of its trunks.
    #[serde(default)]
    pub cnam: bool,
    /// Left out of KPIs and billing (C-107).
    #[serde(default)]
    pub test: bool,
    /// Where it is taxed; none = its invoices have the taxes their details name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<TaxProfile>,
}

/// How an account pays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    #[default]
    Postpaid,
    Prepaid,
}

impl Billing {
    pub fn name(self) -> &'static str {
        match self {
            Billing::Postpaid => "postpaid",
            Billing::Prepaid => "prepaid",
        }
    }
}

fn default_max_attempts() -> u8 {
    4
}
fn default_slice() -> u32 {
    60
}
fn default_warn() -> Vec<u8> {
    vec![70, 85]
}

/// Where an account's calls come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    pub account: String,
    /// `CIDR`, `IP` or `IP:PORT`; the most specific party of an address wins.
    pub sources: Vec<String>,
    #[serde(default = "default_channels")]
    pub channels: u32,
    #[serde(default = "default_cps")]
    pub cps: u32,
    /// Calls beyond `cps` that one moment may bring.
    #[serde(default = "default_burst")]
    pub burst: u32,
    #[serde(default)]
    pub numbers: NumberPlan,
    #[serde(default)]
    pub dial: DialPolicy,
    /// Whole dialled strings that are emergency calls, beside `urn:service:sos`.
    #[serde(default = "default_emergency")]
    pub emergency: Vec<String>,
    /// Refuse callers without a valid number.
    #[serde(default)]
    pub require_cli: bool,
    /// Who it belongs to, where that party is a carrier, too: its calls do not go back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Relay a carrier's lone 503 as it is, for PBXs that only fail over on it (P-10).
    #[serde(default)]
    pub relay_503: bool,
    /// Believe what its numbers say of portability (`npdi`, `rn`, R-04) and of the caller's switch (`rn`, `jip`): no look-up
    /// is made then.
    #[serde(default)]
    pub trust_npdi: bool,
    /// Look up the names of callers that send none.
    #[serde(default)]
    pub cnam: bool,
}

fn default_channels() -> u32 {
    10
}
fn default_cps() -> u32 {
    2
}
fn default_burst() -> u32 {
    4
}
fn default_emergency() -> Vec<String> {
    ["112", "911", "999"].map(str::to_owned).to_vec()
}

/// How the trunk writes numbers (R-01, S1-05).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NumberPlan {
    /// Own country calling code, for national forms and for what counts as international; empty = numbers come in
    /// international form only.
    pub country_code: String,
    /// Dialled before an international number, longest first wins: `00`, `011`.
    pub international_prefixes: Vec<String>,
    /// Dialled before a national number: `0`; empty = none.
    pub national_prefix: String,
    /// National significant number, digits.
    pub national_min: u8,
    pub national_max: u8,
    /// Numbers without plus or prefix already are E.164 (wholesale habit).
    pub bare_is_e164: bool,
    /// Refuse numbers the plan says cannot exist, rather than record it (design §3).
    pub refuse_invalid: bool,
}

impl Default for NumberPlan {
    fn default() -> NumberPlan {
        NumberPlan {
            country_code: String::new(),
            international_prefixes: vec!["00".to_owned(), "011".to_owned()],
            national_prefix: String::new(),
            national_min: 6,
            national_max: 12,
            bare_is_e164: true,
            refuse_invalid: false,
        }
    }
}

/// What the trunk may dial. The defaults are the safe ones (§5.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DialPolicy {
    pub international: bool,
    pub premium: bool,
    /// Satellite and the risk list.
    pub high_risk: bool,
    /// Numbers that no assigned country code begins; otherwise they are refused as `unknown_destination`.
    pub unknown: bool,
    /// Numbers on test-number lists, and on lists of numbers known for abuse.
    pub test_numbers: ListedAction,
    pub hot_numbers: ListedAction,
    /// Most a minute may cost the customer, in the deck's currency; none = no limit.
    pub max_rate: Option<String>,
    /// Most the trunk may spend in a UTC day; none = no limit.
    pub daily_spend: Option<String>,
    /// Number prefixes that pass whatever the switches say, and ones that never do.
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    /// Calls at once to one destination group; none = the trunk's channels.
    pub group_channels: Option<u32>,
    /// Calls at once, and in 12 h, to each high-risk group.
    pub hot_spot_channels: u32,
    pub hot_spot_calls_12h: u32,
}

impl Default for DialPolicy {
    fn default() -> DialPolicy {
        DialPolicy {
            international: false,
            premium: false,
            high_risk: false,
            unknown: false,
            test_numbers: ListedAction::Mark,
            hot_numbers: ListedAction::Reject,
            max_rate: Some("0.25".to_owned()),
            daily_spend: Some("50".to_owned()),
            allow: Vec::new(),
            deny: Vec::new(),
            group_channels: None,
            hot_spot_channels: 1,
            hot_spot_calls_12h: 1,
        }
    }
}

/// Where calls go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carrier {
    /// `IP:PORT` calls are sent to; the first is used, the others are siblings that may send in-dialog requests.
    pub addresses: Vec<String>,
    /// Further `CIDR`, `IP` or `IP:PORT` that are this carrier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// What the carrier charges.
    pub deck: String,
    /// Put before the E.164 digits in the Request-URI: `+`, a tech prefix, or nothing.
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub channels: Option<u32>,
    #[serde(default)]
    pub cps: Option<u32>,
    #[serde(default = "default_route_class")]
    pub route_class: String,
    /// Takes emergency calls; they go to such carriers first, in rank order.
    #[serde(default)]
    pub emergency: bool,
    #[serde(default)]
    pub suspended: bool,
    /// Who it belongs to, where several carriers are one party: a call never goes back to the party it came from. None =
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Whose network its calls run over: carriers with one upstream fail together (S1-27). None = its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Calling numbers arrive as they were sent.
    #[serde(default)]
    pub cli_guaranteed: bool,
    /// Decides between carriers of like cost, higher first: the priority, then the weight.
    #[serde(default)]
    pub priority: u32,
    #[serde(default)]
    pub weight: u32,
    #[serde(default)]
    pub timers: CarrierTimers,
    /// Final responses that move on to the next carrier, over the defaults of P-47.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advance_on: Vec<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_on: Vec<u16>,
}

fn default_route_class() -> String {
    "standard".to_owned()
}

/// P-46, per carrier; none = the node's setting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CarrierTimers {
    pub first_response_ms: Option<u64>,
    pub pdd_ms: Option<u64>,
    pub no_answer_ms: Option<u64>,
}

/// A rate sheet. `file` is read where `apply` runs, relative to the document; its bytes travel as chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deck {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The sheet itself, as CSV text, instead of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<String>,
    /// Set when the document is accepted: the chunks' hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default = "default_currency")]
    pub currency: String,
    /// IANA zone of dates without a time.
    #[serde(default = "default_timezone")]
    pub timezone: String,
    /// Decimal places of an amount and how it is rounded: `half_up`, `up`, `half_even`, `down`.
    #[serde(default = "default_places")]
    pub places: u8,
    #[serde(default = "default_rounding")]
    pub rounding: String,
    /// What is charged beyond the rows; none = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tariff: Option<Tariff>,
    /// Days of notice that what gets dearer needs in an import; none = 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_days: Option<u32>,
    /// Which of the sheet's prices by US jurisdiction a call has.
    #[serde(default, skip_serializing_if = "crate::json::unset")]
    pub jurisdiction: JurisdictionRules,
    /// What look-ups cost whoever buys from this deck, a line of its own each.
    #[serde(default, skip_serializing_if = "crate::json::unset")]
    pub lookup_fees: LookupFees,
}

/// A contract's reading of US jurisdiction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JurisdictionRules {
    /// Which number says where the caller is: `ani`, or `routing` for the number of its switch (JIP) or its LRN where a
    /// trusted trunk sent one.
    pub caller: String,
    /// What a call costs when one side's state is not known: `ij_rate`, `highest` or `intrastate`.
    pub indeterminate: String,
    /// The same for callers without a valid number; none = as `indeterminate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_caller: Option<String>,
}

impl Default for JurisdictionRules {
    fn default() -> JurisdictionRules {
        JurisdictionRules { caller: "ani".to_owned(), indeterminate: "ij_rate".to_owned(), invalid_caller: None }
    }
}

/// Fees of look-ups, per call, decimal; none = not charged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LookupFees {
    /// A portability look-up that was made for the call; one answered from memory costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lrn: Option<String>,
    /// A caller-name look-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnam: Option<String>,
    /// The toll-free query of a call to 8YY, once however many carriers are tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toll_free: Option<String>,
}

fn default_currency() -> String {
    "USD".to_owned()
}
fn default_timezone() -> String {
    "UTC".to_owned()
}
fn default_places() -> u8 {
    6
}
fn default_rounding() -> String {
    "half_up".to_owned()
}
